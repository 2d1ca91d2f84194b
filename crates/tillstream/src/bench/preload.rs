//! Webhooks put into the raw topic as the gateway would have put them.

use std::time::Duration;

use anyhow::Context as _;
use commerce::Mark;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use topics::Topic;

use super::cluster::Kafka;
use super::shops::Shops;
use super::workload::{Expected, Webhook, Workload};

/// Writes all webhooks of a workload, with the arrival of now, and gives what must come of them.
pub fn preload(kafka: &Kafka, shops: &Shops, mut workload: Workload) -> anyhow::Result<Expected> {
    let producer = kafka.producer()?;
    for webhook in workload.by_ref() {
        let record = Stored::of(shops, &webhook)?;
        let mut message = record.message();
        while let Err((error, back)) = producer.send(message) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(error.into());
            }
            std::thread::sleep(Duration::from_millis(1));
            message = back;
        }
    }
    producer.flush(Duration::from_secs(60)).context("the preload wasn't acknowledged")?;
    Ok(workload.into_expected())
}

/// A record of the raw topic.
struct Stored {
    key: String,
    body: Vec<u8>,
    headers: Vec<(String, String)>,
    millis: i64,
}

impl Stored {
    fn of(shops: &Shops, webhook: &Webhook) -> anyhow::Result<Self> {
        let request = shops.request(webhook).context("a webhook of no shop")?;
        let accepted = shops.accept(&request)?;
        let received_at = service::clock::now();
        // The gateway gives each request a trace of its own.
        let trace = Mark::of(&[b"trace", webhook.id.as_bytes(), &received_at.0.to_le_bytes()]);
        let traceparent = format!("00-{}-{:016x}-01", trace.to_hex(), trace.high() | 1);
        let own = [
            ("source", accepted.source.as_str()),
            ("workspace", accepted.workspace.as_str()),
            ("received_at", &received_at.to_rfc3339()),
            ("verdict", accepted.verdict),
            ("traceparent", &traceparent),
            ("content-type", "application/json"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Self {
            key: accepted.delivery.to_hex(),
            body: request.body,
            headers: own.into_iter().chain(accepted.headers).collect(),
            millis: received_at.0.div_euclid(1000),
        })
    }

    fn message(&self) -> BaseRecord<'_, str, [u8]> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let partitions = Topic::Raw.spec().partitions;
        BaseRecord::to(Topic::Raw.name())
            .partition(topics::raw_partition(self.key.as_bytes(), partitions, topics::Lane::Live))
            .key(self.key.as_str())
            .payload(self.body.as_slice())
            .headers(headers)
            .timestamp(self.millis)
    }
}
