//! What types can't say.

use std::path::Path;
use std::time::Duration;

use crate::config::{Config, FxProvider, Mistake, Origin, Stage, Store};
use crate::unit::ByteSize;
use crate::{kafka, log};

/// The answer is never later than 4 s (R8.3); the rest is for reading, checking and sending.
const LONGEST_COMMIT: Duration = Duration::from_millis(3_500);

/// All mistakes of a configuration whose types are right.
pub(super) fn all(config: &Config) -> Vec<Mistake> {
    let mut found = Vec::new();
    let mut wrong = |key: &str, message: String| {
        let origin = config.origins.get(key).cloned().unwrap_or(Origin::Default);
        found.push(Mistake { key: key.to_owned(), origin, message });
    };

    if let Some(instance) = &config.instance {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if instance.is_empty() || instance.len() > 64 || !instance.bytes().all(fine) {
            wrong("instance", "a name has 1 to 64 letters, digits, '-', '_' and '.'".to_owned());
        }
    }
    if config.kafka.bootstrap.trim().is_empty() {
        wrong("kafka.bootstrap", "it is empty".to_owned());
    }
    for name in config.kafka.properties.keys() {
        if kafka::RESERVED.contains(&name.as_str()) {
            let message = "is set by tillstream: exactly-once rests on it".to_owned();
            wrong(&format!("kafka.properties.{name}"), message);
        }
    }
    let services = config.query.services.iter().map(|url| ("query.services", Some(url)));
    for (key, url) in [
        ("registry.url", Some(&config.registry.url)),
        ("gateway.reports_url", config.gateway.reports_url.as_ref()),
        ("fx.url", config.fx.url.as_ref()),
    ]
    .into_iter()
    .chain(services)
    {
        let fine = |url: &String| {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
            rest.is_some_and(|rest| !rest.is_empty())
                && !url.ends_with('/')
                && !url.contains(char::is_whitespace)
        };
        if url.is_some_and(|url| !fine(url)) {
            wrong(key, "it is not an http or https address without a slash at its end".to_owned());
        }
    }
    gateway(config, &mut wrong);
    stage("normalizer", &config.normalizer.stage(), &mut wrong);
    stage("state", &config.state.stage(), &mut wrong);
    stage("aggregator", &config.aggregator.stage(), &mut wrong);
    let (state, aggregator) = (&config.state, &config.aggregator);
    store("state", state.store, state.folder.as_deref(), state.cache, state.write_buffer, &mut wrong);
    let buffer = aggregator.write_buffer;
    store("aggregator", aggregator.store, aggregator.folder.as_deref(), aggregator.cache, buffer, &mut wrong);
    if config.state.person_id_key.as_ref().is_some_and(|key| key.trim().len() < 16) {
        wrong("state.person_id_key", "it has fewer than 16 characters".to_owned());
    }
    if state.tick.0 > Duration::from_secs(30 * 60) {
        let message =
            "it is more than 30m: whoever leaves an audience by the passage of time is told within an hour";
        wrong("state.tick", message.to_owned());
    }
    let fx = &config.fx;
    if fx.provider == FxProvider::OpenExchangeRates
        && fx.app_id.as_ref().is_none_or(|id| id.trim().is_empty())
    {
        wrong("fx.app_id", "it is needed with fx.provider = \"open_exchange_rates\"".to_owned());
    }
    if fx.provider == FxProvider::File && fx.file.as_ref().is_none_or(|file| file.as_os_str().is_empty()) {
        wrong("fx.file", "it is needed with fx.provider = \"file\"".to_owned());
    }
    if let Err(message) = log::filter(&config.log.level) {
        wrong("log.level", message);
    }
    if let Err(messages) = config.workspaces() {
        let origin = config.origins.get("workspaces").cloned().unwrap_or(Origin::Default);
        for message in messages {
            let (key, message) = message.split_once(": ").unwrap_or(("workspaces", &message));
            found.push(Mistake { key: key.to_owned(), origin: origin.clone(), message: message.to_owned() });
        }
    }
    found
}

fn gateway(config: &Config, wrong: &mut impl FnMut(&str, String)) {
    let gateway = &config.gateway;
    if gateway.max_in_flight_bytes.0 < 16 << 20 || gateway.max_in_flight_bytes.0 > 4 << 30 {
        wrong(
            "gateway.max_in_flight_bytes",
            "it is not between 16MiB (a body may have 10) and 4GiB".to_owned(),
        );
    }
    if gateway.max_connections == 0 {
        wrong("gateway.max_connections", "it is 0".to_owned());
    }
    if gateway.threads > 1_024 {
        wrong("gateway.threads", "it is more than 1024".to_owned());
    }
    if gateway.commit_timeout.0 > LONGEST_COMMIT || gateway.commit_timeout.0 < Duration::from_millis(10) {
        wrong(
            "gateway.commit_timeout",
            "it is not between 10ms and 3500ms: providers give up after 5s".to_owned(),
        );
    }
    for (key, span) in
        [("gateway.header_timeout", gateway.header_timeout), ("gateway.body_timeout", gateway.body_timeout)]
    {
        if span.0.is_zero() {
            wrong(key, "it is 0".to_owned());
        }
    }
}

fn stage(name: &str, stage: &Stage, wrong: &mut impl FnMut(&str, String)) {
    if stage.workers == 0 || stage.workers > 256 {
        wrong(&format!("{name}.workers"), "it is not between 1 and 256".to_owned());
    }
    if stage.commit_interval.0.is_zero() || stage.commit_interval.0 > Duration::from_secs(5) {
        let message =
            "it is not between 1ms and 5s: a transaction is given up by the broker after 10s".to_owned();
        wrong(&format!("{name}.commit_interval"), message);
    }
    if stage.idle_commit_interval > stage.commit_interval {
        wrong(&format!("{name}.idle_commit_interval"), format!("it is more than {name}.commit_interval"));
    }
    if stage.max_transaction_records == 0 {
        wrong(&format!("{name}.max_transaction_records"), "it is 0".to_owned());
    }
    if stage.max_transaction_bytes.0 < 1 << 16 {
        wrong(&format!("{name}.max_transaction_bytes"), "it is less than 64KiB".to_owned());
    }
    if stage.breaker.share.of(1_000) == 0 {
        let message = "it is less than 0.001; breaker_records = 0 switches the breaker off".to_owned();
        wrong(&format!("{name}.breaker_share"), message);
    }
    if stage.breaker.records > 100_000 || (1..20).contains(&stage.breaker.records) {
        let message = "it is neither 0 (off) nor between 20 and 100000".to_owned();
        wrong(&format!("{name}.breaker_records"), message);
    }
    if stage.session_timeout.0 < Duration::from_secs(6) || stage.session_timeout.0 > Duration::from_secs(30) {
        wrong(&format!("{name}.session_timeout"), "it is not between 6s (brokers' least) and 30s".to_owned());
    }
}

fn store(
    name: &str,
    store: Store,
    folder: Option<&Path>,
    cache: ByteSize,
    write_buffer: ByteSize,
    wrong: &mut impl FnMut(&str, String),
) {
    if store == Store::Disk && folder.is_none_or(|folder| folder.as_os_str().is_empty()) {
        wrong(&format!("{name}.folder"), format!("it is needed with {name}.store = \"disk\""));
    }
    for (key, size) in [("cache", cache), ("write_buffer", write_buffer)] {
        if size.0 < 8 << 20 || size.0 > 64 << 30 {
            wrong(&format!("{name}.{key}"), "it is not between 8MiB and 64GiB".to_owned());
        }
    }
}
