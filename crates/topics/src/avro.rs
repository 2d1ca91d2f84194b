//! This build's schemas, and the ids that a registry gave them.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use crate::registry::{Topic, Value};
use crate::schemas::{self, BACKWARD_TRANSITIVE, SchemaRegistry};
use crate::wire::{Decoder, EncodeError, Encoder};

const FILES: &[(&str, &str)] = &[
    ("event.avsc", include_str!("../../../schemas/avro/event.avsc")),
    ("fact.avsc", include_str!("../../../schemas/avro/fact.avsc")),
    ("order.avsc", include_str!("../../../schemas/avro/order.avsc")),
    ("profile.avsc", include_str!("../../../schemas/avro/profile.avsc")),
    ("metric.avsc", include_str!("../../../schemas/avro/metric.avsc")),
    ("signal.avsc", include_str!("../../../schemas/avro/signal.avsc")),
    ("fx_rate.avsc", include_str!("../../../schemas/avro/fx_rate.avsc")),
    ("policy.avsc", include_str!("../../../schemas/avro/policy.avsc")),
    ("reconciliation.avsc", include_str!("../../../schemas/avro/reconciliation.avsc")),
    ("dead_letter.avsc", include_str!("../../../schemas/avro/dead_letter.avsc")),
];

/// A decoder waits this long for a schema that it hasn't met. Its caller may hold a transaction open.
const DECODER_WAITS: Duration = Duration::from_secs(2);

pub(crate) fn text_of(file: &str) -> Option<&'static str> {
    FILES.iter().find(|(name, _)| *name == file).map(|(_, text)| *text)
}

/// One schema of this build.
#[derive(Debug)]
pub struct Avro {
    /// What registries are given: the file without its layout, so that a new indentation is no new version.
    pub text: String,
    /// The name of its root record.
    pub name: String,
    /// The same, ready for use.
    pub schema: serde_avro_fast::Schema,
}

static PARSED: LazyLock<BTreeMap<Topic, Avro>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the files are part of the binary, and a test parses them")]
    parse_all().expect("schemas/avro is sound")
});

fn parse_all() -> Result<BTreeMap<Topic, Avro>, String> {
    let mut all = BTreeMap::new();
    for topic in Topic::ALL {
        let Value::Avro(file) = &topic.spec().value else { continue };
        let text = text_of(file).map(minified).ok_or_else(|| format!("{file}: no such file"))?;
        let schema = text.parse().map_err(|e| format!("{file}: {e}"))?;
        let name = root(&text).map_err(|e| format!("{file}: {e}"))?;
        all.insert(*topic, Avro { text, name, schema });
    }
    Ok(all)
}

fn root(text: &str) -> Result<String, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    json["name"].as_str().map(str::to_owned).ok_or_else(|| "the schema has no name".to_owned())
}

impl Topic {
    /// The schema of its values; `None` when they aren't Avro.
    pub fn avro(self) -> Option<&'static Avro> {
        PARSED.get(&self)
    }

    /// The topics whose values are Avro.
    pub fn with_schema() -> impl Iterator<Item = (Self, &'static Avro)> {
        PARSED.iter().map(|(topic, avro)| (*topic, avro))
    }
}

/// JSON without the white space between its tokens; the order of the keys stays.
fn minified(json: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    json.chars()
        .filter(|c| {
            if quoted {
                (quoted, escaped) = (escaped || *c != '"', !escaped && *c == '\\');
                return true;
            }
            quoted = *c == '"';
            !c.is_ascii_whitespace()
        })
        .collect()
}

/// The ids under which one registry has this build's schemas: where encoders and decoders come from.
#[derive(Clone, Debug)]
pub struct Schemas {
    ids: BTreeMap<Topic, u32>,
    registry: Option<SchemaRegistry>,
}

impl Schemas {
    /// Registers every schema, and the rule that later ones must be able to read it. Both may be there already.
    pub fn register_all(registry: &SchemaRegistry) -> Result<Self, schemas::Error> {
        Self::collect(registry, |topic, avro| register(registry, topic, avro))
    }

    /// Asks for the ids without registering anything: what services do, which may have no right to more.
    ///
    /// # Errors
    /// [`schemas::Error::NotRegistered`], whose sentence says which command registers.
    pub fn lookup(registry: &SchemaRegistry) -> Result<Self, schemas::Error> {
        Self::collect(registry, |topic, avro| {
            let subject = topic.subject();
            registry.find(&subject, &avro.text)?.ok_or_else(|| schemas::Error::NotRegistered {
                registry: registry.address().to_owned(),
                subject,
            })
        })
    }

    /// Made-up ids and no registry, for tests and measurements that meet no Kafka.
    pub fn offline() -> Self {
        let ids = Topic::with_schema().zip(1..).map(|((topic, _), id)| (topic, id)).collect();
        Self { ids, registry: None }
    }

    fn collect(
        registry: &SchemaRegistry,
        mut id: impl FnMut(Topic, &Avro) -> Result<u32, schemas::Error>,
    ) -> Result<Self, schemas::Error> {
        let ids = Topic::with_schema().map(|(topic, avro)| Ok((topic, id(topic, avro)?)));
        Ok(Self { ids: ids.collect::<Result<_, _>>()?, registry: Some(registry.clone()) })
    }

    /// The id of a topic's schema; `None` when its values aren't Avro.
    pub fn id(&self, topic: Topic) -> Option<u32> {
        self.ids.get(&topic).copied()
    }

    /// An encoder of a topic's values.
    ///
    /// # Errors
    /// [`EncodeError::NoSchema`] when they aren't Avro.
    pub fn encoder(&self, topic: Topic) -> Result<Encoder, EncodeError> {
        match (self.id(topic), topic.avro()) {
            (Some(id), Some(avro)) => Ok(Encoder::new(topic, id, &avro.name)),
            _ => Err(EncodeError::NoSchema(topic)),
        }
    }

    /// A decoder of any topic's values. It knows this build's schemas and asks the registry for those of others.
    pub fn decoder(&self) -> Decoder {
        let own = Topic::with_schema()
            .filter_map(|(topic, avro)| Some((self.id(topic)?, avro.name.as_str(), &avro.schema)));
        Decoder::new(own, self.registry.as_ref().map(|registry| registry.within(DECODER_WAITS)))
    }
}

/// Registers one schema under the rule that all subjects have; its id.
pub(crate) fn register(registry: &SchemaRegistry, topic: Topic, avro: &Avro) -> Result<u32, schemas::Error> {
    let subject = topic.subject();
    // The rule first, so that it holds for this version; a registry may refuse one for a subject that is yet to come.
    let ruled = if registry.compatibility(&subject)?.as_deref() == Some(BACKWARD_TRANSITIVE) {
        true
    } else {
        match registry.set_compatibility(&subject, BACKWARD_TRANSITIVE) {
            Ok(()) => true,
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => false,
        }
    };
    let id = registry.register(&subject, &avro.text)?;
    if !ruled {
        registry.set_compatibility(&subject, BACKWARD_TRANSITIVE)?;
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    #[test]
    fn every_file_is_listed_used_and_parsed() {
        assert_eq!(parse_all().unwrap().len(), FILES.len());
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/avro");
        for entry in std::fs::read_dir(dir).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            assert!(text_of(&file).is_some(), "{file} is not in the list");
        }
    }

    #[test]
    fn minifying_changes_the_layout_only() {
        assert_eq!(minified("{ \"a b\" :\n[ 1,\t\"\\\" \\\\\" , 2 ] }"), r#"{"a b":[1,"\" \\",2]}"#);
        for (file, text) in FILES {
            let (long, short): (Json, Json) =
                (serde_json::from_str(text).unwrap(), serde_json::from_str(&minified(text)).unwrap());
            assert_eq!(long, short, "{file}");
        }
    }

    /// Calls `see` with every named type, its nested definitions replaced by their names.
    fn flattened(schema: &Json, see: &mut impl FnMut(String, Json)) -> Json {
        match schema {
            Json::Array(variants) => variants.iter().map(|v| flattened(v, see)).collect(),
            Json::Object(object) => {
                let mut object = object.clone();
                for part in ["type", "items", "values"] {
                    if let Some(value) = object.get(part) {
                        let flat = flattened(value, see);
                        object.insert(part.to_owned(), flat);
                    }
                }
                if let Some(fields) = object.get("fields").and_then(Json::as_array) {
                    let flat = fields.iter().map(|field| flattened(field, see)).collect();
                    object.insert("fields".to_owned(), flat);
                    object.remove("namespace");
                    let name = object["name"].as_str().unwrap().to_owned();
                    see(name.clone(), object.into());
                    return name.into();
                }
                object.into()
            }
            other => other.clone(),
        }
    }

    #[test]
    fn a_type_is_the_same_in_every_file() {
        let mut seen: BTreeMap<String, (Json, &str)> = BTreeMap::new();
        for (file, text) in FILES {
            flattened(&serde_json::from_str(text).unwrap(), &mut |name, body| {
                let (first, where_first) = seen.entry(name.clone()).or_insert_with(|| (body.clone(), file));
                assert_eq!(*first, body, "{name} in {where_first} and in {file}");
            });
        }
        assert!(seen.contains_key("Order") && seen.contains_key("Money"));
    }

    fn is_of(value: &Json, plain: &Json) -> bool {
        match plain.as_str() {
            Some("string" | "bytes") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("int" | "long") => value.is_i64(),
            // A record of which nothing must be there.
            Some(_) => value.as_object().is_some_and(serde_json::Map::is_empty),
            None => false,
        }
    }

    #[test]
    fn every_field_has_a_doc_and_what_can_be_empty_has_a_default() {
        for (file, text) in FILES {
            flattened(&serde_json::from_str(text).unwrap(), &mut |name, body| {
                assert!(body["doc"].is_string(), "{file}: {name}");
                for field in body["fields"].as_array().unwrap() {
                    let at = format!("{file}: {name}.{}", field["name"]);
                    assert!(field["doc"].as_str().is_some_and(|doc| doc.len() > 3), "{at} has no doc");
                    let default = match &field["type"] {
                        Json::Array(union) => {
                            assert!(union.len() == 2 && union[0] == "null", "{at}");
                            Some(Json::Null)
                        }
                        Json::Object(of) if of["type"] == "array" => Some(Json::Array(vec![])),
                        Json::Object(of) if of["type"] == "map" => Some(Json::Object(Default::default())),
                        // A field that came later, so that records from before can be read.
                        plain => field.get("default").filter(|default| is_of(default, plain)).cloned(),
                    };
                    assert_eq!(field.get("default"), default.as_ref(), "{at}");
                }
            });
        }
    }
}
