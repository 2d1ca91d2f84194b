//! Revenue per currency from tillstream's topics: summed from facts, and from the figures. See `examples/README.md`.
//!
//! `cargo run -p topics --example consume -- ENDPOINTS_JSON [WORKSPACE]` prints one JSON document and ends at the present
//! end of the topics. It uses nothing of tillstream: structs name the fields that they want, the registry says the rest.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_avro_fast::Schema;

type Revenue = BTreeMap<String, i64>;

#[derive(Deserialize)]
struct Endpoints {
    kafka: String,
    registry: String,
}

#[derive(Deserialize)]
struct Fact {
    workspace: String,
    before: Option<Order>,
    after: Option<Order>,
}

#[derive(Deserialize)]
struct Order {
    counted: bool,
    qa: bool,
    total: Option<Money>,
}

#[derive(Deserialize)]
struct Money {
    minor: i64,
    currency: String,
}

#[derive(Deserialize)]
struct Cell {
    workspace: String,
    metric: String,
    dimensions: HashMap<String, String>,
    values: HashMap<String, i64>,
}

#[derive(Deserialize)]
struct Profile {
    merged_into: Option<String>,
    orders_count: i64,
}

/// Reads Confluent's wire format: a zero byte, the number of the schema, the record.
struct Registry {
    url: String,
    schemas: HashMap<u32, Schema>,
}

impl Registry {
    fn read<T: DeserializeOwned>(&mut self, bytes: &[u8]) -> anyhow::Result<T> {
        let Some(([0, number @ ..], record)) = bytes.split_first_chunk::<5>() else {
            bail!("not the wire format")
        };
        let number = u32::from_be_bytes(*number);
        if !self.schemas.contains_key(&number) {
            let answer =
                reqwest::blocking::get(format!("{}/schemas/ids/{number}", self.url))?.error_for_status()?;
            let text = answer.json::<HashMap<String, serde_json::Value>>()?;
            let schema = text.get("schema").and_then(|schema| schema.as_str()).context("no schema")?;
            self.schemas.insert(number, schema.parse()?);
        }
        let schema = self.schemas.get(&number).context("no schema")?;
        Ok(serde_avro_fast::from_datum_slice(record, schema)?)
    }
}

/// Calls `each` with key and value of every committed record, up to the present end; a tombstone has no value.
fn records<T: DeserializeOwned>(
    endpoints: &Endpoints,
    topic: &str,
    mut each: impl FnMut(String, Option<T>),
) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &endpoints.kafka)
        .set("group.id", "example-rust")
        .set("enable.auto.commit", "false")
        // What a transaction has taken back is never seen.
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(30))?;
    let topics = metadata.topics().first().context("no such topic")?;
    let mut open: HashSet<i32> = topics.partitions().iter().map(|partition| partition.id()).collect();
    let mut assignment = TopicPartitionList::new();
    for partition in &open {
        assignment.add_partition_offset(topic, *partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut registry = Registry { url: endpoints.registry.clone(), schemas: HashMap::new() };
    while !open.is_empty() {
        match consumer.poll(Duration::from_secs(1)) {
            None => {}
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(open.remove(&partition)),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(message)) => {
                let key = String::from_utf8(message.key().unwrap_or_default().to_vec())?;
                each(key, message.payload().map(|bytes| registry.read(bytes)).transpose()?);
            }
        }
    }
    Ok(())
}

/// A compacted topic: the last value of each key.
fn table<T: DeserializeOwned>(endpoints: &Endpoints, topic: &str) -> anyhow::Result<HashMap<String, T>> {
    let mut rows = HashMap::new();
    records(endpoints, topic, |key, value| match value {
        Some(value) => drop(rows.insert(key, value)),
        None => drop(rows.remove(&key)),
    })?;
    Ok(rows)
}

/// Adds what an order adds to the revenue, times `sign`: its total while it counts and is no test.
fn add(revenue: &mut Revenue, order: Option<Order>, sign: i64) {
    if let Some(Order { counted: true, qa: false, total: Some(total) }) = order {
        *revenue.entry(total.currency).or_default() += sign * total.minor;
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("usage: consume ENDPOINTS_JSON [WORKSPACE]")?;
    let workspace = arguments.next().unwrap_or_else(|| "demo".to_owned());
    let endpoints: Endpoints = serde_json::from_slice(&std::fs::read(&file).with_context(|| file.clone())?)?;

    let mut facts = Revenue::new();
    records(&endpoints, "commerce.facts.v1", |_, fact: Option<Fact>| {
        if let Some(fact) = fact.filter(|fact| fact.workspace == workspace) {
            add(&mut facts, fact.before, -1);
            add(&mut facts, fact.after, 1);
        }
    })?;
    let mut metrics = Revenue::new();
    for cell in table::<Cell>(&endpoints, "commerce.metrics.v1")?.into_values() {
        // A cell with the dimension `base` is the same money once more, converted.
        let own =
            cell.workspace == workspace && cell.metric == "revenue" && !cell.dimensions.contains_key("base");
        if let (true, Some(currency), Some(gross)) =
            (own, cell.dimensions.get("currency"), cell.values.get("gross"))
        {
            *metrics.entry(currency.clone()).or_default() += gross;
        }
    }
    // A person who turned out to be another one leads there.
    let prefix = format!("{workspace}:");
    let mut people: Vec<Profile> = Vec::new();
    for (key, profile) in table::<Profile>(&endpoints, "commerce.profiles.v1")? {
        if key.starts_with(&prefix) && profile.merged_into.is_none() {
            people.push(profile);
        }
    }
    for revenue in [&mut facts, &mut metrics] {
        revenue.retain(|_, minor| *minor != 0);
    }
    let said = serde_json::json!({
        "facts": facts,
        "metrics": metrics,
        "people": people.len(),
        "buyers": people.iter().filter(|profile| profile.orders_count > 0).count(),
    });
    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    {
        println!("{said}");
    }
    Ok(())
}
