//! Fetching rates: once, or every hour as the service `fx`.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use commerce::Currency;
use commerce::fx::Hour;
use service::config::{Fx, FxProvider};
use service::{Config, Readiness, Shutdown, clock};
use topics::{SchemaRegistry, Schemas};

use super::book::Tally;
use super::provider::{self, Provider, Quotes};
use super::publish::Publisher;

/// No publication of rates is larger.
const LARGEST: u64 = 16 << 20;
/// No file of rates is larger.
const LARGEST_FILE: u64 = 64 << 20;
/// The provider answers in this time or is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after a failure.
const AGAIN: Duration = Duration::from_secs(60);
/// How often it is looked whether an hour has begun or the end has come.
const LOOK: Duration = Duration::from_millis(200);

/// The base currencies of the workspaces, as published.
pub fn bases(config: &Config) -> anyhow::Result<BTreeSet<Currency>> {
    let workspaces = config.workspaces().map_err(|mistakes| anyhow!(mistakes.join("; ")))?;
    let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(10))?;
    let client = service::kafka::client_config(config);
    let published = service::policy::read(&client, &Schemas::lookup(&registry)?, &|| false)?;
    let settled = service::policy::settle(&workspaces, &published)?;
    Ok(settled.iter().map(|workspace| workspace.base_currency).collect())
}

/// What the provider publishes now.
pub fn load(fx: &Fx) -> anyhow::Result<Vec<u8>> {
    match (fx.provider, &fx.file) {
        (FxProvider::File, Some(path)) => read_file(path),
        (FxProvider::Off | FxProvider::File, _) => {
            Err(anyhow!("fx.provider is off: nobody is asked for rates"))
        }
        _ => ask(fx),
    }
}

/// A file of rates. Ten times the whole history of the European Central Bank still fits; what is larger is something else.
pub fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    bounded(file, LARGEST_FILE).with_context(|| path.display().to_string())
}

/// All of it, or that it is too much: it is never held as a whole to find that out.
fn bounded(reader: impl std::io::Read, most: u64) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    reader.take(most + 1).read_to_end(&mut body)?;
    anyhow::ensure!(body.len() as u64 <= most, "it has more than {most} bytes");
    Ok(body)
}

fn ask(fx: &Fx) -> anyhow::Result<Vec<u8>> {
    let client = reqwest::blocking::Client::builder().timeout(PATIENCE).build()?;
    let mut request = client.get(fx.url());
    if let (FxProvider::OpenExchangeRates, Some(id)) = (fx.provider, &fx.app_id) {
        request = request.query(&[("app_id", id)]);
    }
    // An address can hold the key.
    let answer =
        request.send().and_then(|answer| answer.error_for_status()).map_err(reqwest::Error::without_url)?;
    bounded(answer, LARGEST).context("the answer")
}

/// Asks the provider and publishes what it says for this hour.
pub fn once(config: &Config, publisher: &Publisher<'_>, provider: &dyn Provider) -> anyhow::Result<Tally> {
    let bases = bases(config)?;
    let now = clock::now();
    let hour = Hour::of(now.as_event());
    let body = load(&config.fx).context("asking for rates")?;
    let quotes = provider.read(&body, hour).context("reading rates")?;
    let newest: &Quotes = quotes.last().context("no rates")?;
    publisher.publish(provider.name(), now, &|book| book.poll(newest, hour, &bases))
}

/// The service: looks at the provider as soon as an hour has begun, until the shutdown. Blocks.
pub fn serve(config: &Config, readiness: &Readiness, shutdown: &Shutdown) -> anyhow::Result<()> {
    let Some(provider) = provider::configured(config.fx.provider) else {
        return Err(anyhow!("fx.provider is off: nobody is asked for rates"));
    };
    let part = readiness.part("rates");
    part.not_ready("connecting");
    let stop = || shutdown.is_triggered();
    let mut done: Option<Hour> = None;
    while !stop() {
        let hour = Hour::of(clock::now().as_event());
        if done != Some(hour) {
            // A new publisher each time: another copy may have taken over in between, and gives way in turn.
            let looked =
                Publisher::new(config, &stop).and_then(|publisher| once(config, &publisher, provider));
            match looked {
                Ok(Tally { published, known, refused }) => {
                    tracing::info!(provider = provider.name(), %hour, published, known, refused, "rates of the hour");
                    done = Some(hour);
                    part.ready(format!("rates of {hour}"));
                }
                Err(_) if stop() => break,
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), %hour, "no rates, trying again in a minute");
                    part.not_ready(format!("{error:#}"));
                    rest(AGAIN, &stop);
                }
            }
        }
        rest(LOOK, &stop);
    }
    Ok(())
}

fn rest(span: Duration, stop: &dyn Fn() -> bool) {
    let turns = span.as_millis() / LOOK.as_millis();
    for _ in 0..turns.max(1) {
        if stop() {
            return;
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A provider that gives one answer and the request's first line.
    fn provider(status: &'static str, body: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/latest.json", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut chunk = [0; 4_096];
            while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                let n = stream.read(&mut chunk).unwrap();
                request.extend_from_slice(&chunk[..n]);
            }
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .unwrap();
            String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned()
        });
        (url, served)
    }

    fn fx(provider: FxProvider, url: &str) -> Fx {
        let listen = ([127, 0, 0, 1], 0).into();
        Fx {
            listen,
            provider,
            url: Some(url.to_owned()),
            app_id: Some("id-of-a-test".to_owned()),
            file: None,
        }
    }

    #[test]
    fn a_file_without_an_end_is_refused_and_not_read_to_it() {
        let refused = format!("{:#}", bounded(std::io::repeat(b' '), 1_000).unwrap_err());
        assert_eq!(refused, "it has more than 1000 bytes");
        assert_eq!(bounded(&b"rate"[..], 4).unwrap(), b"rate");
    }

    #[test]
    fn the_provider_is_asked_with_its_key_and_its_answer_is_read() {
        let body = r#"{"timestamp":1767261600,"base":"USD","rates":{"EUR":0.8}}"#;
        let (url, served) = provider("200 OK", body);
        let bytes = load(&fx(FxProvider::OpenExchangeRates, &url)).unwrap();
        assert_eq!(served.join().unwrap(), "GET /latest.json?app_id=id-of-a-test HTTP/1.1");
        let quotes = provider::OpenExchangeRates.read(&bytes, Hour(0)).unwrap();
        let rates = quotes[0].table.into_base(Currency::USD);
        assert_eq!(rates.values().map(ToString::to_string).collect::<Vec<_>>(), ["1.25"]);
    }

    #[test]
    fn the_bank_is_not_told_a_key() {
        let (url, served) =
            provider("200 OK", "<Cube time='2026-01-30'><Cube currency='USD' rate='1.18'/></Cube>");
        let bytes = load(&fx(FxProvider::Ecb, &url)).unwrap();
        assert_eq!(served.join().unwrap(), "GET /latest.json HTTP/1.1");
        assert_eq!(provider::Ecb.read(&bytes, Hour(0)).unwrap().len(), 1);
    }

    #[test]
    fn a_refusal_is_said_without_the_key() {
        let (url, served) = provider("401 Unauthorized", "{}");
        let error = format!("{:#}", load(&fx(FxProvider::OpenExchangeRates, &url)).unwrap_err());
        served.join().unwrap();
        assert!(error.contains("401") && !error.contains("id-of-a-test"), "{error}");
    }
}
