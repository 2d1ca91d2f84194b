//! Each record through the codec, without a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use commerce::avro::Datum;
use commerce::order::Figures;
use commerce::{DeadLetter, Fact, Metric, Profile};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use topics::{DecodeError, EncodeError, Schemas, Topic};

use crate::samples::*;

/// Calls `$see` with each topic that has a schema, a full value and bare ones.
macro_rules! each_record {
    ($see:ident) => {
        $see(Topic::Events, &full_event(), &[bare_event(), hollow_event()]);
        $see(Topic::Facts, &full_fact(), &[bare_fact()]);
        $see(Topic::Orders, &full_order(), &[bare_order()]);
        $see(Topic::Profiles, &full_profile(), &[bare_profile()]);
        $see(Topic::Metrics, &full_metric(), &[bare_metric()]);
        $see(Topic::Signals, &full_signal(), &[bare_signal()]);
        $see(Topic::Reconciliation, &full_reconciliation(), &[bare_reconciliation()]);
        $see(Topic::DeadLetters, &full_letter(), &[bare_letter()]);
        $see(Topic::FxRates, &full_rate(), &[bare_rate()]);
        $see(Topic::Policies, &full_policy(), &[bare_policy()]);
    };
}
pub(crate) use each_record;

/// Encodes and decodes with `schemas`, and expects the same value.
pub(crate) fn survives<T>(schemas: &Schemas, topic: Topic, value: &T)
where
    T: Datum + DeserializeOwned + PartialEq + fmt::Debug,
{
    let (encoder, mut decoder) = (schemas.encoder(topic).unwrap(), schemas.decoder());
    let mut out = b"before".to_vec();
    // Twice: the encoder's buffers are used again.
    for _ in 0..2 {
        out.truncate(6);
        encoder.encode(value, &mut out).unwrap();
        assert_eq!(&decoder.decode::<T>(&out[6..]).unwrap(), value, "{topic}");
    }
}

#[test]
fn every_record_survives_its_schema() {
    fn see<T: Datum + Serialize + DeserializeOwned + PartialEq + fmt::Debug>(
        topic: Topic,
        full: &T,
        bare: &[T],
    ) {
        let schemas = Schemas::offline();
        survives(&schemas, topic, full);
        bare.iter().for_each(|bare| survives(&schemas, topic, bare));
    }
    each_record!(see);
    assert_eq!(Topic::with_schema().count(), 10, "a record without a sample");
}

#[test]
fn the_bytes_are_those_of_a_codec_that_goes_by_the_schema() {
    fn see<T: Datum + Serialize + DeserializeOwned + PartialEq + fmt::Debug>(
        topic: Topic,
        full: &T,
        bare: &[T],
    ) {
        let schema = &topic.avro().unwrap().schema;
        let encoder = Schemas::offline().encoder(topic).unwrap();
        for value in bare.iter().chain([full]) {
            let mut out = Vec::new();
            encoder.encode(value, &mut out).unwrap();
            let mut config = serde_avro_fast::ser::SerializerConfig::new(schema);
            assert_eq!(out[5..], serde_avro_fast::to_datum_vec(value, &mut config).unwrap(), "{topic}");
            assert_eq!(&serde_avro_fast::from_datum_slice::<T>(&out[5..], schema).unwrap(), value, "{topic}");
        }
    }
    each_record!(see);
}

#[test]
fn the_figures_of_an_order_are_those_of_its_record() {
    let schemas = Schemas::offline();
    let schema = &Topic::Facts.avro().unwrap().schema;
    for fact in [full_fact(), bare_fact()] {
        let mut out = Vec::new();
        schemas.encoder(Topic::Facts).unwrap().encode(&fact, &mut out).unwrap();
        let short: Fact<Figures> = schemas.decoder().decode(&out).unwrap();
        assert_eq!(short, serde_avro_fast::from_datum_slice(&out[5..], schema).unwrap());
        assert_eq!(short.after.map(|f| f.total), fact.after.map(|view| view.total));
    }
}

/// A JSON value that keeps the order of its keys.
enum Tree {
    Map(Vec<(String, Tree)>),
    List(Vec<Tree>),
    Null,
    Leaf,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> de::Visitor<'de> for Any {
            type Value = Tree;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Tree::Map(entries))
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                let mut list = Vec::new();
                while let Some(one) = seq.next_element()? {
                    list.push(one);
                }
                Ok(Tree::List(list))
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Null)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
            fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
                Ok(Tree::Leaf)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Compares names and order of fields, into every part of the value.
fn same_fields(path: &str, tree: &Tree, schema: &Json, named: &mut Vec<Json>) {
    let named_before = schema.as_str().and_then(|n| named.iter().find(|t| t["name"] == n).cloned());
    let schema = named_before.as_ref().unwrap_or(schema);
    if let Json::Array(union) = schema {
        return same_fields(path, tree, &union[1], named);
    }
    match (tree, schema["type"].as_str()) {
        (Tree::Map(fields), Some("record")) => {
            if named_before.is_none() {
                named.push(schema.clone());
            }
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            let avro = schema["fields"].as_array().unwrap();
            let expected: Vec<&str> = avro.iter().map(|f| f["name"].as_str().unwrap()).collect();
            assert_eq!(names, expected, "at {path}");
            for ((name, value), field) in fields.iter().zip(avro) {
                same_fields(&format!("{path}.{name}"), value, &field["type"], named);
            }
        }
        (Tree::Map(entries), Some("map")) => {
            assert!(!entries.is_empty(), "the sample has nothing at {path}");
            entries.iter().for_each(|(_, value)| same_fields(path, value, &schema["values"], named));
        }
        (Tree::List(list), Some("array")) => {
            assert!(!list.is_empty(), "the sample has nothing at {path}");
            list.iter().for_each(|value| same_fields(path, value, &schema["items"], named));
        }
        (Tree::Null, _) => panic!("the sample has nothing at {path}"),
        (Tree::Leaf, _) => assert!(schema.is_string() || schema["logicalType"].is_string(), "at {path}"),
        (Tree::List(_), _) => assert_eq!(schema, "bytes", "at {path}"),
        (Tree::Map(_), other) => panic!("{other:?} at {path}"),
    }
}

#[test]
fn schema_and_type_have_the_same_fields_in_the_same_order() {
    fn see<T: Serialize>(topic: Topic, full: &T, _: &[T]) {
        let tree: Tree = serde_json::from_str(&serde_json::to_string(full).unwrap()).unwrap();
        let schema = serde_json::from_str(&topic.avro().unwrap().text).unwrap();
        same_fields(topic.name(), &tree, &schema, &mut Vec::new());
    }
    each_record!(see);
}

/// Takes what is nullable out of a schema and out of a value.
fn without_nullable(schema: &mut Json) {
    match schema {
        Json::Array(all) => all.iter_mut().for_each(without_nullable),
        Json::Object(object) => {
            if let Some(Json::Array(fields)) = object.get_mut("fields") {
                fields.retain(|field| field.get("default") != Some(&Json::Null));
            }
            object.values_mut().for_each(without_nullable);
        }
        _ => {}
    }
}

/// Puts the definition of a type where its name is now first used.
fn define_at_first_use(schema: &mut Json, types: &BTreeMap<String, Json>, defined: &mut BTreeSet<String>) {
    if let Some(body) = schema.as_str().filter(|name| !defined.contains(*name)).and_then(|n| types.get(n)) {
        *schema = body.clone();
    }
    match schema {
        Json::Array(all) => all.iter_mut().for_each(|one| define_at_first_use(one, types, defined)),
        Json::Object(object) => {
            if let Some(Json::Array(fields)) = object.get_mut("fields") {
                let mut fields = std::mem::take(fields);
                defined.insert(object["name"].as_str().unwrap().to_owned());
                fields.iter_mut().for_each(|f| define_at_first_use(&mut f["type"], types, defined));
                object["fields"] = fields.into();
                return;
            }
            for part in ["type", "items", "values"] {
                if let Some(inner) = object.get_mut(part) {
                    define_at_first_use(inner, types, defined);
                }
            }
        }
        _ => {}
    }
}

fn collect_types(schema: &Json, types: &mut BTreeMap<String, Json>) {
    match schema {
        Json::Array(all) => all.iter().for_each(|one| collect_types(one, types)),
        Json::Object(object) => {
            if object.contains_key("fields") {
                types.insert(object["name"].as_str().unwrap().to_owned(), schema.clone());
            }
            object.values().for_each(|inner| collect_types(inner, types));
        }
        _ => {}
    }
}

fn without_nulls(value: &mut Json) {
    match value {
        Json::Array(all) => all.iter_mut().for_each(without_nulls),
        Json::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(without_nulls);
        }
        _ => {}
    }
}

#[test]
fn a_record_from_before_the_nullable_fields_has_none_of_them() {
    fn see<T: Datum + Serialize + DeserializeOwned + PartialEq + fmt::Debug>(
        topic: Topic,
        _: &T,
        bare: &[T],
    ) {
        let mut schema: Json = serde_json::from_str(&topic.avro().unwrap().text).unwrap();
        let mut types = BTreeMap::new();
        collect_types(&schema, &mut types);
        without_nullable(&mut schema);
        types.values_mut().for_each(without_nullable);
        define_at_first_use(&mut schema, &types, &mut BTreeSet::new());
        let schema: serde_avro_fast::Schema = schema.to_string().parse().unwrap();
        let mut value = serde_json::to_value(&bare[0]).unwrap();
        without_nulls(&mut value);
        let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
        config.allow_slow_sequence_to_bytes();
        let datum = serde_avro_fast::to_datum_vec(&value, &mut config).unwrap();
        let read: T = serde_avro_fast::from_datum_slice(&datum, &schema).unwrap();
        assert_eq!(read, bare[0], "{topic}");
    }
    each_record!(see);
}

#[test]
fn a_dead_letter_from_before_letters_had_a_status_is_open() {
    let later = ["status", "item", "changed_at", "key", "cut"];
    let mut schema: Json = serde_json::from_str(&Topic::DeadLetters.avro().unwrap().text).unwrap();
    let fields = schema["fields"].as_array_mut().unwrap();
    fields.retain(|field| !later.contains(&field["name"].as_str().unwrap()));
    let mut value = serde_json::to_value(bare_letter()).unwrap();
    for field in later {
        value.as_object_mut().unwrap().remove(field);
    }
    without_nulls(&mut value);
    let schema: serde_avro_fast::Schema = schema.to_string().parse().unwrap();
    let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
    config.allow_slow_sequence_to_bytes();
    let datum = serde_avro_fast::to_datum_vec(&value, &mut config).unwrap();
    let read: DeadLetter = serde_avro_fast::from_datum_slice(&datum, &schema).unwrap();
    assert_eq!(read, DeadLetter { item: 0, ..bare_letter() });
}

#[test]
fn a_field_that_the_reader_doesnt_know_is_skipped() {
    let mut schema: Json = serde_json::from_str(&Topic::Metrics.avro().unwrap().text).unwrap();
    let new = serde_json::json!({ "name": "new", "type": { "type": "array", "items": "string" } });
    schema["fields"].as_array_mut().unwrap().insert(2, new);
    let mut value = serde_json::to_value(full_metric()).unwrap();
    value["new"] = serde_json::json!(["a", "b"]);
    let schema: serde_avro_fast::Schema = schema.to_string().parse().unwrap();
    let mut config = serde_avro_fast::ser::SerializerConfig::new(&schema);
    config.allow_slow_sequence_to_bytes();
    let datum = serde_avro_fast::to_datum_vec(&value, &mut config).unwrap();
    assert_eq!(serde_avro_fast::from_datum_slice::<Metric>(&datum, &schema).unwrap(), full_metric());
}

#[test]
fn a_damaged_record_is_an_error_and_never_a_panic() {
    fn see<T: Datum + DeserializeOwned>(topic: Topic, full: &T, _: &[T]) {
        let schemas = Schemas::offline();
        let (encoder, mut decoder) = (schemas.encoder(topic).unwrap(), schemas.decoder());
        let mut record = Vec::new();
        encoder.encode(full, &mut record).unwrap();
        for end in 0..record.len() {
            let error = decoder.decode::<T>(&record[..end]).map(drop).unwrap_err();
            assert!(!error.is_transient());
            assert_eq!(matches!(error, DecodeError::NotWireFormat), end < 5, "{end}: {error}");
        }
        for byte in 5..record.len() {
            let mut record = record.clone();
            for damage in [0x00, 0x01, 0x7f, 0x80, 0xff] {
                record[byte] = damage;
                // Some damage is another value.
                let _ = decoder.decode::<T>(&record);
            }
        }
        record.push(0);
        let error = decoder.decode::<T>(&record).map(drop).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
    }
    each_record!(see);
}

#[test]
fn what_is_not_in_the_wire_format_says_so() {
    let mut decoder = Schemas::offline().decoder();
    for bytes in [&b""[..], b"{}", b"\x00\x00\x00", b"\x01\x00\x00\x00\x01\x00"] {
        assert_eq!(decoder.decode::<Metric>(bytes).unwrap_err(), DecodeError::NotWireFormat);
    }
    let error = decoder.decode::<Metric>(b"\x00\x00\x00\x00\x63\x00").unwrap_err();
    assert_eq!(error, DecodeError::UnknownSchema(99));
}

#[test]
fn a_record_of_another_topic_is_malformed() {
    let schemas = Schemas::offline();
    let mut record = Vec::new();
    schemas.encoder(Topic::Metrics).unwrap().encode(&full_metric(), &mut record).unwrap();
    let error = schemas.decoder().decode::<Profile>(&record).unwrap_err();
    assert!(matches!(error, DecodeError::Malformed { .. }), "{error}");
}

#[test]
fn a_value_that_doesnt_fit_leaves_no_bytes_behind() {
    let schemas = Schemas::offline();
    let encoder = schemas.encoder(Topic::Facts).unwrap();
    let mut out = b"kept".to_vec();
    let error = encoder.encode(&full_metric(), &mut out).unwrap_err();
    assert!(matches!(error, EncodeError::Unfit { topic: Topic::Facts, .. }), "{error}");
    assert_eq!(out, b"kept");
    encoder.encode(&full_fact(), &mut out).unwrap();
    assert!(matches!(schemas.encoder(Topic::Raw), Err(EncodeError::NoSchema(Topic::Raw))));
}

#[test]
fn a_body_of_ten_mebibytes_fits_its_topic() {
    let schemas = Schemas::offline();
    let letter = DeadLetter { body: vec![0xab; 10 << 20], ..full_letter() };
    let mut record = Vec::new();
    schemas.encoder(Topic::DeadLetters).unwrap().encode(&letter, &mut record).unwrap();
    assert!((record.len() as u64) < Topic::DeadLetters.spec().max_message.0);
    assert_eq!(schemas.decoder().decode::<DeadLetter>(&record).unwrap(), letter);
}

#[test]
fn a_worker_thread_can_own_them() {
    fn owned<T: Send + 'static>() {}
    owned::<topics::Encoder>();
    owned::<topics::Decoder>();
    owned::<topics::Admin>();
}
