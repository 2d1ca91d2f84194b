//! `asyncapi`: the topics as an AsyncAPI 3.0 document, for whoever reads or writes them with tools of their own.
//!
//! Made of the same list that topics and schemas are made from on a cluster, so it can't say anything else than what is
//! there. `schemas/asyncapi.json` is what this makes, checked in.

use serde_json::{Map, Value as Json, json};
use topics::{Topic, Value};

use crate::Stop;
use crate::openapi::{Args, keep};

/// Where the document is kept, from the root of the repository.
const FILE: &str = "schemas/asyncapi.json";

/// The format of an Avro schema, as AsyncAPI calls it.
const AVRO: &str = "application/vnd.apache.avro+json;version=1.9.0";

/// Prints, writes or checks the document.
pub fn run(args: &Args) -> Result<(), Stop> {
    keep(args, FILE, "tillstream asyncapi --write", &text()?)
}

fn text() -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string_pretty(&document()?)? + "\n")
}

fn document() -> Result<Json, serde_json::Error> {
    let (mut channels, mut operations, mut messages) = (Map::new(), Map::new(), Map::new());
    for topic in public() {
        let name = topic.name();
        messages.insert(name.to_owned(), message(topic)?);
        channels.insert(name.to_owned(), channel(topic));
        let channel = json!({"$ref": format!("#/channels/{name}")});
        operations.insert(
            format!("publish {name}"),
            json!({"action": "send", "channel": channel, "summary": format!("tillstream writes {name}.")}),
        );
    }
    Ok(json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "tillstream",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The topics of tillstream. Read them with isolation level `read_committed`: what a transaction \
                that was aborted has written never happened. Values are Avro in the Confluent wire format, registered under \
                the subject `<topic>-value` with compatibility BACKWARD_TRANSITIVE; times are microseconds in UTC; an amount \
                is a long of minor units with its ISO 4217 currency.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/vnd.apache.avro",
        "servers": {
            "local": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "What `tillstream up` starts; it says another address where the port is taken.",
                "bindings": {"kafka": {
                    "schemaRegistryUrl": "http://127.0.0.1:8081/apis/ccompat/v7",
                    "schemaRegistryVendor": "confluent",
                }},
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }))
}

/// The topics whose records are told to others.
fn public() -> impl Iterator<Item = Topic> {
    Topic::ALL.iter().copied().filter(|topic| topic.spec().value != Value::Internal)
}

fn channel(topic: Topic) -> Json {
    let (name, spec) = (topic.name(), topic.spec());
    let config: Map<String, Json> = spec
        .config(1)
        .into_iter()
        .filter(|(key, _)| KEPT.contains(key))
        .map(|(key, value)| (key.to_owned(), setting(key, &value)))
        .collect();
    json!({
        "address": name,
        "description": spec.about.trim(),
        "messages": {"record": {"$ref": format!("#/components/messages/{name}")}},
        "bindings": {"kafka": {
            "topic": name,
            "partitions": spec.partitions,
            "topicConfiguration": config,
        }},
    })
}

/// The settings that a reader needs to know: what is kept, how long, and how large it may be.
const KEPT: [&str; 4] = ["cleanup.policy", "retention.ms", "delete.retention.ms", "max.message.bytes"];

fn setting(key: &str, value: &str) -> Json {
    match value.parse::<i64>() {
        Ok(number) => number.into(),
        Err(_) if key == "cleanup.policy" => value.split(',').collect(),
        Err(_) => value.into(),
    }
}

fn message(topic: Topic) -> Result<Json, serde_json::Error> {
    let spec = topic.spec();
    let key = json!({"type": "string", "description": spec.key});
    let mut message = json!({
        "name": topic.name(),
        "summary": first_sentence(&spec.about),
        "bindings": {"kafka": {"key": key, "schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent"}},
    });
    match (&spec.value, topic.avro()) {
        (Value::Avro(_), Some(avro)) => {
            let schema: Json = serde_json::from_str(&avro.text)?;
            message["title"] = json!(avro.name);
            message["contentType"] = json!("application/vnd.apache.avro");
            message["payload"] = json!({"schemaFormat": AVRO, "schema": schema});
        }
        _ => {
            message["contentType"] = json!("application/octet-stream");
            message["bindings"]["kafka"] = json!({"key": key});
        }
    }
    Ok(message)
}

fn first_sentence(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split_inclusive(". ").next().unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_document_is_what_the_topics_are() {
        let kept = include_str!("../../../schemas/asyncapi.json");
        assert!(text().unwrap() == kept, "run `tillstream asyncapi --write`");
    }

    #[test]
    fn every_public_topic_has_a_channel_a_message_and_its_schema_with_all_names_that_it_uses() {
        let document = document().unwrap();
        assert!(public().count() >= 8);
        for topic in public() {
            let name = topic.name();
            assert_eq!(document["channels"][name]["address"], name);
            let message = &document["components"]["messages"][name];
            assert!(message["summary"].as_str().is_some_and(|text| text.len() > 10), "{name}");
            let is_avro = matches!(topic.spec().value, Value::Avro(_));
            assert_eq!(message["payload"]["schema"]["type"] == "record", is_avro, "{name}");
            let written = &document["operations"][format!("publish {name}")]["channel"]["$ref"];
            assert_eq!(written, &format!("#/channels/{name}"));
        }
        assert!(document["channels"].get("tillstream.state.main.changelog").is_none());
        let facts = &document["channels"]["commerce.facts.v1"]["bindings"]["kafka"]["topicConfiguration"];
        assert_eq!(facts["cleanup.policy"], json!(["delete"]));
        assert_eq!(facts["retention.ms"], json!(400_i64 * 24 * 3600 * 1000));
    }
}
