//! Whether the cluster is there at all: asked before a tool begins, so that nobody waits for a client's own patience to
//! end with half a sentence.

use std::net::{IpAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::anyhow;
use service::Config;

use crate::Stop;

/// For one plain connection.
const CONNECT: Duration = Duration::from_secs(2);

/// Fails where no broker, or no registry, accepts a connection, and says what to type next.
pub fn check(config: &Config) -> Result<(), Stop> {
    let bootstrap = &config.kafka.bootstrap;
    let addresses = bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty());
    any("Kafka", addresses, &next_for(bootstrap, "kafka.bootstrap"))?;
    let url = &config.registry.url;
    any("the schema registry", address_of(url).iter().map(String::as_str), &next_for(url, "registry.url"))
}

fn any<'a>(what: &str, addresses: impl Iterator<Item = &'a str>, next: &str) -> Result<(), Stop> {
    let mut met = Vec::new();
    for address in addresses {
        match connect(address) {
            Ok(()) => return Ok(()),
            Err(error) => met.push(format!("{address}: {error}")),
        }
    }
    Err(Stop::Failed(anyhow!(
        "{what} can't be reached ({}) → {next}; --config FILE names the configuration of another cluster",
        met.join("; ")
    )))
}

/// What a plain connection to `host:port` meets.
pub fn connect(address: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::other("the name has no address");
    for found in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&found, CONNECT) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// `host:port` of an address on the web. `None`: it has none that could be tried.
fn address_of(url: &str) -> Option<String> {
    let url = reqwest::Url::parse(url).ok()?;
    Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?))
}

/// What to do about an address that doesn't answer: on this machine it is `up` that starts it.
pub fn next_for(address: &str, key: &str) -> String {
    let host = address.rsplit_once("://").map_or(address, |(_, rest)| rest);
    let host = host.split([',', '/']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if local {
        "tillstream up".to_owned()
    } else {
        format!("start it, or set {key}; `tillstream config show` says what is in use")
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn config(bootstrap: &str, registry: &str) -> Config {
        let mut config = Config::load_from(None, &[], Vec::new()).unwrap();
        config.kafka.bootstrap = bootstrap.to_owned();
        config.registry.url = registry.to_owned();
        config
    }

    #[test]
    fn what_does_not_answer_is_named_with_what_to_type() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap().to_string();
        // Nobody listens on what was free a moment ago and is given back.
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let sentence = |config: &Config| check(config).unwrap_err().error().to_string();
        let both = format!("http://{there}/apis/ccompat/v7");
        assert!(check(&config(&format!("{gone}, {there}"), &both)).is_ok());
        let said = sentence(&config(&gone, &both));
        assert!(said.starts_with(&format!("Kafka can't be reached ({gone}: ")), "{said}");
        assert!(said.contains(") → tillstream up; --config FILE"), "{said}");
        let said = sentence(&config(&there, &format!("http://{gone}/apis/ccompat/v7")));
        assert!(said.starts_with(&format!("the schema registry can't be reached ({gone}: ")), "{said}");
    }

    #[test]
    fn only_what_is_on_this_machine_is_started_by_up() {
        for local in ["127.0.0.1:9092", "localhost:9092", "http://[::1]:8081/apis", "127.0.0.1:1,10.0.0.1:2"]
        {
            assert_eq!(next_for(local, "k"), "tillstream up", "{local}");
        }
        for remote in ["kafka-1:9092,kafka-2:9092", "http://registry:8080/apis", "10.0.0.1:9092"] {
            assert!(next_for(remote, "kafka.bootstrap").contains("kafka.bootstrap"), "{remote}");
        }
        assert_eq!(address_of("http://registry/apis").as_deref(), Some("registry:80"));
        assert_eq!(address_of("https://r.example:8443").as_deref(), Some("r.example:8443"));
    }
}
