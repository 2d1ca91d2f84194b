//! The real schema registry.

use std::fmt;
use std::time::{Duration, Instant};

use commerce::Metric;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use topics::schemas::{BACKWARD_TRANSITIVE, Error};
use topics::{DecodeError, SchemaRegistry, Schemas, Topic};

use crate::cluster::{alone, ready, registry};
use crate::records::{each_record, survives};
use crate::samples::*;

fn order(fields: &[Json]) -> String {
    json!({ "type": "record", "name": "Order", "fields": fields }).to_string()
}

#[test]
fn every_record_survives_the_real_registry() {
    fn see<T: commerce::avro::Datum + DeserializeOwned + PartialEq + fmt::Debug>(
        topic: Topic,
        full: &T,
        bare: &[T],
    ) {
        survives(&ready().schemas, topic, full);
        bare.iter().for_each(|bare| survives(&ready().schemas, topic, bare));
    }
    each_record!(see);
}

#[test]
fn registering_again_gives_the_same_ids() {
    let _alone = alone();
    let (ready, again) = (ready(), Schemas::register_all(&registry()).unwrap());
    let mut ids = Vec::new();
    for (topic, _) in Topic::with_schema() {
        let id = ready.schemas.id(topic).unwrap();
        assert_eq!(again.id(topic), Some(id), "{topic}");
        assert_eq!(registry().compatibility(&topic.subject()).unwrap().as_deref(), Some(BACKWARD_TRANSITIVE));
        ids.push(id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 10);
}

#[test]
fn an_incompatible_schema_is_refused_with_the_field() {
    let registry = registry();
    let subject = "it.incompatible-value";
    let id = json!({ "name": "id", "type": "string" });
    let first = registry.register(subject, &order(std::slice::from_ref(&id))).unwrap();
    registry.set_compatibility(subject, BACKWARD_TRANSITIVE).unwrap();

    let wrong = order(&[id.clone(), json!({ "name": "tip_amount", "type": "long" })]);
    for error in
        [registry.check(subject, &wrong).unwrap_err(), registry.register(subject, &wrong).unwrap_err()]
    {
        assert!(matches!(&error, Error::Incompatible { .. }), "{error}");
        assert!(!error.is_transient());
        let said = error.to_string();
        assert!(said.contains(subject) && said.contains("tip_amount"), "{said}");
    }
    assert_eq!(registry.find(subject, &wrong).unwrap(), None);

    let fine = order(&[id, json!({ "name": "tip_amount", "type": "long", "default": 0 })]);
    registry.check(subject, &fine).unwrap();
    let second = registry.register(subject, &fine).unwrap();
    assert_ne!(first, second);
    assert_eq!(registry.find(subject, &fine).unwrap(), Some(second));
}

#[test]
fn what_is_no_schema_is_rejected() {
    let error = registry().register("it.rejected-value", "{\"type\":\"recort\"}").unwrap_err();
    assert!(matches!(error, Error::Rejected { .. }), "{error}");
}

#[test]
fn an_unknown_id_is_a_clear_error_and_is_asked_for_once() {
    let error = registry().schema_by_id(1_234_567).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("schema id 1234567 is unknown to the registry at http://127.0.0.1:"), "{said}");
    let mut decoder = ready().schemas.decoder();
    let record = b"\x00\x00\x12\xd6\x87\x00";
    let error = decoder.decode::<Metric>(record).unwrap_err();
    assert_eq!(error, DecodeError::UnknownSchema(1_234_567));
    assert!(!error.is_transient());
    let start = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(decoder.decode::<Metric>(record).unwrap_err(), DecodeError::UnknownSchema(1_234_567));
    }
    assert!(start.elapsed() < Duration::from_secs(1), "the registry was asked again");
}

#[test]
fn a_record_of_another_version_is_read_with_the_schema_it_was_written_with() {
    let mut schema: Json = serde_json::from_str(&Topic::Metrics.avro().unwrap().text).unwrap();
    let new = json!({ "name": "unit", "type": ["null", "string"], "default": null });
    schema["fields"].as_array_mut().unwrap().insert(0, new);
    let text = schema.to_string();
    let id = registry().register("it.another-version-value", &text).unwrap();

    let schema: serde_avro_fast::Schema = text.parse().unwrap();
    let mut value = serde_json::to_value(full_metric()).unwrap();
    value["unit"] = json!("cents");
    let mut record = vec![0];
    record.extend_from_slice(&id.to_be_bytes());
    let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
    config.allow_slow_sequence_to_bytes();
    let record = serde_avro_fast::to_datum(&value, record, &mut config).unwrap();
    let mut decoder = ready().schemas.decoder();
    assert_eq!(decoder.decode::<Metric>(&record).unwrap(), full_metric());
}

#[test]
fn a_wrong_path_of_the_registry_makes_no_record_poison() {
    let url = localkafka::shared().registry_url().replace("/apis/ccompat/v7", "/nowhere");
    let error = SchemaRegistry::new(&url, Duration::from_secs(2)).unwrap().schema_by_id(1).unwrap_err();
    assert!(matches!(error, Error::Rejected { status: 404, .. }), "{error}");
}
