//! The data folder of `up`: Kafka's data, the addresses in use, the configuration in use.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Serialize};
use service::Config;

/// Where everything of a running `up` is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Webhooks and tracking calls.
    pub gateway: String,
    /// Reports and dashboard.
    pub query: String,
    /// Bootstrap servers.
    pub kafka: String,
    /// Confluent API of the schema registry.
    pub registry: String,
    /// Health and metrics of the stages.
    pub metrics: String,
}

/// A data folder.
#[derive(Debug, Clone)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// The given folder, else the platform's.
    pub fn new(dir: Option<&Path>) -> anyhow::Result<Self> {
        let dir = match dir {
            Some(dir) => std::path::absolute(dir).context("the data folder")?,
            None => dirs::data_dir()
                .ok_or_else(|| anyhow!("this platform has no data folder: choose one with --data-dir"))?
                .join("tillstream"),
        };
        Ok(Self { dir })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// `endpoints.json`
    pub fn endpoints_file(&self) -> PathBuf {
        self.dir.join("endpoints.json")
    }

    /// `config.toml`
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("config.toml")
    }

    /// Where Kafka and the registry keep their data.
    pub fn kafka_dir(&self) -> PathBuf {
        self.dir.join("kafka")
    }

    /// Where stages keep their state, if they do on disk.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Where the demo notes how far it has come.
    pub fn demo_file(&self) -> PathBuf {
        self.dir.join("demo.json")
    }

    /// The addresses of the running `up`.
    pub fn endpoints(&self) -> anyhow::Result<Endpoints> {
        let path = self.endpoints_file();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("no running `tillstream up` in {}", self.dir.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// Writes the configuration, for its owner alone: it holds credentials.
    pub fn write_config(&self, config: &Config) -> anyhow::Result<()> {
        let head = "# Written by `tillstream up`: the configuration that it runs with.\n\n";
        write(&self.config_file(), &format!("{head}{}", config.to_toml()))
    }

    /// Writes the addresses, when everything is ready.
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> anyhow::Result<()> {
        write(&self.endpoints_file(), &serde_json::to_string(endpoints)?)
    }

    /// Forgets the addresses that a killed `up` left behind: nobody answers there. Those of a living one stay.
    pub fn forget_stale_endpoints(&self) {
        let Ok(endpoints) = self.endpoints() else { return };
        let address = endpoints.gateway.trim_start_matches("http://").parse().ok();
        let answers = |address| TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok();
        if !address.is_some_and(answers) {
            self.forget_endpoints();
        }
    }

    /// Forgets the addresses: nothing runs any more.
    pub fn forget_endpoints(&self) {
        let _ = fs::remove_file(self.endpoints_file());
    }
}

/// Where a service that listens there is reached from this machine.
pub fn here(listen: SocketAddr) -> String {
    let host = match listen.ip() {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    format!("http://{}", SocketAddr::new(host, listen.port()))
}

/// Atomically, readable for the owner.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("new");
    let failed = || format!("cannot write {}", path.display());
    let _ = fs::remove_file(&temporary);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .with_context(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(failed)?;
    fs::rename(&temporary, path).with_context(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_listens_everywhere_is_reached_on_this_machine() {
        for (listen, url) in [
            ("0.0.0.0:8080", "http://127.0.0.1:8080"),
            ("[::]:8080", "http://[::1]:8080"),
            ("10.1.2.3:8080", "http://10.1.2.3:8080"),
        ] {
            assert_eq!(here(listen.parse().unwrap()), url);
        }
    }

    #[test]
    fn addresses_are_found_by_the_data_folder() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(Some(dir.path())).unwrap();
        assert!(home.endpoints().unwrap_err().to_string().contains("no running"));
        let endpoints = Endpoints {
            gateway: "http://a".into(),
            query: "http://b".into(),
            kafka: "c".into(),
            registry: "http://d".into(),
            metrics: "http://e".into(),
        };
        home.write_endpoints(&endpoints).unwrap();
        assert_eq!(home.endpoints().unwrap(), endpoints);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = Endpoints { gateway: format!("http://{}", listener.local_addr().unwrap()), ..endpoints };
        home.write_endpoints(&alive).unwrap();
        home.forget_stale_endpoints();
        assert_eq!(home.endpoints().unwrap(), alive);
        drop(listener);
        home.forget_stale_endpoints();
        assert!(home.endpoints().is_err());
        home.write_endpoints(&alive).unwrap();
        home.forget_endpoints();
        assert!(home.endpoints().is_err());
    }
}
