//! `tail`: records of a topic as they come.

use std::cell::Cell;
use std::time::Duration;

use anyhow::anyhow;
use commerce::avro::Datum;
use commerce::order::View;
use commerce::{DeadLetter, Event, Fact, Metric, Profile, Reconciliation, Signal};
use serde::Serialize;
use serde_json::{Value, json};
use service::Config;
use stream::{Follow, Followed, follow};
use topics::{Decoder, SchemaRegistry, Schemas, Topic, Version};

use crate::{Output, Stop, data, replay};

/// `tail`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// events, facts, orders, profiles, metrics, dead-letters, raw, or a full topic name. `metrics` are those of the version
    /// that reports are answered from when it starts.
    topic: String,
    /// Also what is there already.
    #[arg(long)]
    from_beginning: bool,
    /// Ends after so many records.
    #[arg(short = 'n', long)]
    count: Option<u64>,
    /// How to write records.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Args {
    /// What is meant.
    pub fn wanted(&self) -> Result<Wanted, Stop> {
        find(&self.topic).map_err(Stop::Usage)
    }
}

/// Which records are followed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// Those of a topic.
    Topic(Topic),
    /// The figures that reports are answered from.
    Served,
    /// The figures of a version.
    Figures(Version),
}

impl Wanted {
    /// What the records are, and the name of their topic, given which version is served.
    fn place(&self, served: impl FnOnce() -> anyhow::Result<Version>) -> anyhow::Result<(Topic, String)> {
        Ok(match self {
            Self::Topic(topic) => (*topic, topic.name().to_owned()),
            Self::Served => (Topic::Metrics, served()?.metrics()),
            Self::Figures(version) => (Topic::Metrics, version.metrics()),
        })
    }
}

/// Runs until interrupted.
pub fn run(config: &Config, wanted: &Wanted, args: &Args) -> Result<(), Stop> {
    let (topic, name) = wanted.place(|| Ok(replay::list::read(config)?.served))?;
    let mut reader = Reader::new(config)?;
    let left = Cell::new(args.count.unwrap_or(u64::MAX));
    let live = Cell::new(args.from_beginning);
    let what = Follow { client: service::kafka::client_config(config), topics: vec![name.clone()] };
    let mut failed = Ok(());
    follow(&what, &|| left.get() == 0, &mut |followed| {
        match followed {
            Followed::CaughtUp if !live.replace(true) => {
                eprintln!("waiting for new records of {name} (Ctrl-C ends)");
            }
            Followed::Record { partition, offset, timestamp_millis, key, value, .. }
                if live.get() && left.get() > 0 =>
            {
                let record = reader.read(topic, key, value);
                let line = match args.output {
                    Output::Table => line(topic, key, &record),
                    Output::Json => {
                        json!({"partition": partition, "offset": offset, "timestamp": timestamp_millis,
                        "key": String::from_utf8_lossy(key), "value": record})
                        .to_string()
                    }
                };
                if let Err(stop) = data(&line) {
                    failed = Err(stop);
                    left.set(0);
                    return Ok(());
                }
                left.set(left.get() - 1);
            }
            _ => {}
        }
        Ok(())
    })?;
    failed
}

/// A topic by its short or full name.
fn find(name: &str) -> anyhow::Result<Wanted> {
    let short =
        |topic: Topic| topic.name().trim_start_matches("commerce.").trim_end_matches(".v1").to_owned();
    let of_version = |name: &str| {
        let version = name.strip_prefix(Topic::Metrics.name())?.strip_prefix('.')?;
        Version::try_new(version).ok().filter(|version| version.metrics() == name)
    };
    if name == short(Topic::Metrics) {
        return Ok(Wanted::Served);
    }
    if let Some(version) = of_version(name) {
        return Ok(Wanted::Figures(version));
    }
    let found = Topic::ALL.iter().copied().find(|topic| topic.name() == name || short(*topic) == name);
    found.map(Wanted::Topic).ok_or_else(|| {
        let known: Vec<String> = Topic::ALL.iter().map(|topic| short(*topic)).collect();
        anyhow!("no topic '{name}'; there are {}", known.join(", "))
    })
}

/// Decodes records of any topic into JSON.
pub struct Reader {
    decoder: Decoder,
}

impl Reader {
    /// Asks the registry for the schemas.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(10))?;
        Ok(Self::with(&Schemas::lookup(&registry)?))
    }

    /// With schemas that are known.
    pub fn with(schemas: &Schemas) -> Self {
        Self { decoder: schemas.decoder() }
    }

    /// The value of a record; what can't be decoded is shown as it is.
    pub fn read(&mut self, topic: Topic, key: &[u8], value: Option<&[u8]>) -> Value {
        let Some(bytes) = value else { return Value::Null };
        let decoded = match topic {
            Topic::Events => self.typed::<Event>(bytes),
            Topic::Facts => self.typed::<Fact>(bytes),
            Topic::Orders => self.typed::<View>(bytes),
            Topic::Profiles => self.typed::<Profile>(bytes),
            Topic::Metrics => self.typed::<Metric>(bytes),
            Topic::Signals => self.typed::<Signal>(bytes),
            Topic::Reconciliation => self.typed::<Reconciliation>(bytes),
            Topic::DeadLetters => self.letter(bytes).map(|letter| shown(&letter)),
            _ => return text(key, bytes),
        };
        decoded.unwrap_or_else(|error| json!({"unreadable": error.to_string()}))
    }

    fn typed<'a, T: Datum + serde::Deserialize<'a> + Serialize>(
        &mut self,
        bytes: &'a [u8],
    ) -> anyhow::Result<Value> {
        Ok(serde_json::to_value(self.decoder.decode::<T>(bytes)?)?)
    }

    /// A dead letter.
    pub fn letter(&mut self, bytes: &[u8]) -> anyhow::Result<DeadLetter> {
        Ok(self.decoder.decode(bytes)?)
    }

    /// Any record by its type.
    pub fn decode<'a, T: Datum + serde::Deserialize<'a>>(&mut self, bytes: &'a [u8]) -> anyhow::Result<T> {
        Ok(self.decoder.decode(bytes)?)
    }
}

/// A dead letter with body and key as text.
pub fn shown(letter: &DeadLetter) -> Value {
    let mut value = serde_json::to_value(letter).unwrap_or_default();
    value["body"] = Value::String(String::from_utf8_lossy(&letter.body).into_owned());
    value["key"] = Value::String(String::from_utf8_lossy(&letter.key).into_owned());
    for field in ["received_at", "first_seen_at", "changed_at"] {
        if let Some(micros) = value[field].as_i64() {
            value[field] = Value::String(commerce::EventTime(micros).to_rfc3339());
        }
    }
    value
}

fn text(key: &[u8], bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(
        |_| json!({"key": String::from_utf8_lossy(key), "text": String::from_utf8_lossy(bytes)}),
    )
}

/// One record as one line for a person.
fn line(topic: Topic, key: &[u8], value: &Value) -> String {
    let key = String::from_utf8_lossy(key);
    let time =
        |field: &Value| field.as_i64().map_or_else(String::new, |t| commerce::EventTime(t).to_rfc3339());
    let money = |field: &Value| {
        let money: Option<commerce::Money> = serde_json::from_value(field.clone()).ok();
        money.map_or_else(|| "-".to_owned(), |money| money.to_string())
    };
    let word = |field: &Value| field.as_str().unwrap_or("-").to_owned();
    match topic {
        Topic::Events => format!(
            "{}  {:<26} {}  {} {}  {}",
            time(&value["occurred_at"]),
            word(&value["event"]),
            key,
            word(&value["source"]),
            word(&value["source_event"]),
            money(&value["payload"]["order"]["total"]),
        ),
        Topic::Facts if value["after"].is_null() => {
            format!("{}  {:<26} {key}", time(&value["occurred_at"]), word(&value["event"]))
        }
        Topic::Facts => format!(
            "{}  {:<26} {}  total {}  refunded {}  counted {}",
            time(&value["occurred_at"]),
            word(&value["event"]),
            key,
            money(&value["after"]["total"]),
            money(&value["after"]["refunded_total"]),
            value["after"]["counted"],
        ),
        Topic::Orders => format!(
            "{key}  {}  total {}  net {}",
            word(&value["financial_status"]),
            money(&value["total"]),
            money(&value["net"]),
        ),
        Topic::Profiles => format!(
            "{key}  orders {}  spent {}  lifetime {}",
            value["orders_count"],
            money(&value["total_spent"]),
            money(&value["lifetime_value"]),
        ),
        Topic::Signals => format!(
            "{}  {:<26} {}  {} {}  {}",
            time(&value["occurred_at"]),
            word(&value["signal"]),
            key,
            word(&value["target_type"]),
            word(&value["target"]),
            word(&value["reason"]),
        ),
        Topic::Reconciliation => format!(
            "{key}  {} {}  {} {}  {} {}",
            word(&value["matter"]),
            word(&value["standing"]),
            word(&value["taken"]["source"]),
            word(&value["taken"]["value"]),
            word(&value["other"]["source"]),
            word(&value["other"]["value"]),
        ),
        Topic::Metrics => format!("{key}  {}", value["values"]),
        Topic::DeadLetters => format!(
            "{}  {:<9} {:<24} {}  {}  {}",
            word(&value["first_seen_at"]),
            word(&value["status"]),
            word(&value["reason"]),
            word(&value["stage"]),
            word(&value["source"]),
            word(&value["message"]),
        ),
        _ => format!("{key}  {value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> (Topic, String) {
        find(name).unwrap().place(|| Ok(Version::try_new("v2").unwrap())).unwrap()
    }

    #[test]
    fn figures_are_those_that_reports_are_answered_from_unless_a_version_is_named() {
        for (typed, topic) in [
            ("metrics", "commerce.metrics.v1.v2"),
            ("commerce.metrics.v1", "commerce.metrics.v1"),
            ("commerce.metrics.v1.v3", "commerce.metrics.v1.v3"),
        ] {
            assert_eq!(place(typed), (Topic::Metrics, topic.to_owned()), "{typed}");
        }
        assert_eq!(place("facts"), (Topic::Facts, "commerce.facts.v1".to_owned()));
        for typed in ["nothing", "commerce.metrics.v1.", "commerce.metrics.v1.No Version"] {
            assert!(find(typed).unwrap_err().to_string().contains("metrics"), "{typed}");
        }
    }
}
