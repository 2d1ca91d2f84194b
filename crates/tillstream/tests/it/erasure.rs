//! The erasure of a user of the analytics API, with the binary itself and real Kafka.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use topics::Topic;

use crate::running::{Up, folder, turn, wait};

fn buy(up: &Up, user: &str, order: &str, revenue: f64) {
    let body = json!({"event_type": "purchase", "transaction_id": order, "revenue": revenue, "currency": "USD",
        "user_id": user});
    let headers = [("x-api-key", "sk_dev_demo"), ("content-type", "application/json")];
    let path = "/v1/api/analytics/ecommerce/track";
    assert_eq!(up.post(path, &headers, body.to_string().as_bytes()).0, 200);
}

/// How many events the journey of a user has.
fn events(up: &Up, user: &str) -> usize {
    let journey = up.get(&format!("/v1/api/analytics/ecommerce/user-journey?user_id={user}"));
    journey["events"].as_array().unwrap().len()
}

/// Orders and revenue, as they are written.
fn totals(up: &Up) -> (String, String) {
    let report = up.overview("days=2");
    let written = |name: &str| {
        let (_, rest) = report.split_once(&format!("\"{name}\":")).unwrap();
        rest.split(',').next().unwrap().to_owned()
    };
    (written("total_orders"), written("total_revenue"))
}

fn bought(orders: &str, revenue: &str) -> (String, String) {
    (orders.to_owned(), revenue.to_owned())
}

/// How many records the stages have not read yet.
fn behind(up: &Up) -> i64 {
    let list = up.ok(&["lag", "-o", "json"]);
    let places = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    places.map(|place| place["lag"].as_i64().unwrap()).sum()
}

/// Writes every record of the raw topic once more behind what is there, as a replay of it does. Gives their number.
fn replay_raw(up: &Up) -> usize {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &up.endpoints.kafka);
    let producer: BaseProducer = client.create().unwrap();
    client.set("group.id", "never-committed").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = client.create().unwrap();
    let (topic, time) = (Topic::Raw.name(), Duration::from_secs(10));
    let metadata = consumer.fetch_metadata(Some(topic), time).unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        assignment.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut ended, mut records) = (0, Vec::new());
    while ended < assignment.count() {
        match consumer.poll(time).expect("records or the end") {
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            message => records.push(message.unwrap().detach()),
        }
    }
    for record in &records {
        let again = BaseRecord::to(topic)
            .partition(record.partition())
            .key(record.key().unwrap_or_default())
            .payload(record.payload().unwrap_or_default())
            .headers(record.headers().unwrap().clone());
        producer.send(again).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(time).unwrap();
    records.len()
}

#[test]
fn ana_c25_after_a_deletion_the_journey_is_empty_the_totals_fall_and_a_replay_of_raw_restores_nothing() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    buy(&up, "user_7", "w-7", 49.99);
    wait("the purchase in the journey and the totals", || {
        events(&up, "user_7") == 1 && totals(&up) == bought("1", "49.99")
    });

    // A minute is what is waited, of the five that are promised.
    let path = "/v1/api/analytics/user/user_7";
    assert_eq!(up.delete(path), (200, r#"{"ok":true,"deleted_user_id":"user_7"}"#.to_owned()));
    wait("the journey to be empty and the totals to fall", || {
        events(&up, "user_7") == 0 && totals(&up) == bought("0", "0.00")
    });
    buy(&up, "user_8", "w-8", 10.00);
    wait("a purchase behind the deletion", || totals(&up) == bought("1", "10.00"));

    assert_eq!(replay_raw(&up), 3);
    // Twice: what one stage had just handed on, the next one had yet to read when it was looked at.
    for _ in 0..2 {
        wait("every stage to have read all", || behind(&up) == 0);
    }
    assert_eq!((events(&up, "user_7"), events(&up, "user_8")), (0, 1));
    assert_eq!(totals(&up), bought("1", "10.00"));
}
