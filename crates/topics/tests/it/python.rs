//! Another language's client reads what we write.

use std::process::{Command, Stdio};

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde::Serialize;
use serde_json::Value as Json;
use std::time::Duration;
use topics::{Topic, partition_of};

use crate::cluster::ready;
use crate::records::each_record;
use crate::samples::*;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");

/// Runs a script in the pinned environment; one JSON document a line.
fn python(script: &str, arguments: &[&str]) -> Vec<Json> {
    let venv = Command::new("sh").arg(format!("{DIR}/venv.sh")).stderr(Stdio::inherit()).output().unwrap();
    assert!(venv.status.success(), "venv.sh failed");
    let python = String::from_utf8(venv.stdout).unwrap();
    let output = Command::new(python.trim())
        .arg(format!("{DIR}/{script}"))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{script} failed:\n{text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pythons_avro_deserializer_reads_every_topic() {
    fn see<T: commerce::avro::Datum + Serialize>(topic: Topic, full: &T, bare: &[T]) {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", localkafka::shared().bootstrap())
            .set("partitioner", "murmur2_random")
            .create()
            .unwrap();
        let encoder = ready().schemas.encoder(topic).unwrap();
        let mut expected = Vec::new();
        // The hollow event is left out: Python has no datetime for its version.
        for value in [full, &bare[0]] {
            let mut record = Vec::new();
            encoder.encode(value, &mut record).unwrap();
            producer.send(BaseRecord::to(topic.name()).key("demo:1").payload(&record)).unwrap();
            expected.push(serde_json::to_value(value).unwrap());
        }
        producer.flush(Duration::from_secs(30)).unwrap();
        let cluster = localkafka::shared();
        let arguments = [cluster.bootstrap(), cluster.registry_url(), topic.name(), "2"];
        let read = python("consume_avro.py", &arguments);
        let values: Vec<&Json> = read.iter().map(|line| &line["value"]).collect();
        assert_eq!(values, expected.iter().collect::<Vec<_>>(), "{topic}");
        let partitions = topic.spec().partitions;
        for line in &read {
            assert_eq!(line["key"], "demo:1");
            assert_eq!(line["partition"], partition_of(b"demo:1", partitions), "librdkafka disagrees");
        }
    }
    let _alone = crate::cluster::alone();
    each_record!(see);
}

#[test]
fn every_default_is_what_its_field_can_be() {
    let files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/avro"))
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    let checked = python("check_defaults.py", &files);
    assert_eq!(checked.len(), Topic::with_schema().count());
    let without =
        checked.iter().filter(|file| file["defaults"] == 0).map(|file| file["file"].as_str().unwrap());
    let without: Vec<&str> = without.map(|file| file.rsplit('/').next().unwrap()).collect();
    assert_eq!(without, ["fx_rate.avsc"], "a rate alone has nothing that can be left out");
}
