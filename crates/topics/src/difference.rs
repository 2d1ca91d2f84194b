//! Says in words which fields keep a schema from reading older records. The registry decides; this only explains.

use std::collections::BTreeMap;

use serde_json::Value as Json;

/// Fields by name, by the name of their record: their type in words, and whether they have a default.
type Records = BTreeMap<String, BTreeMap<String, (String, bool)>>;

/// What may be wrong with `newer`, given the older versions with their numbers.
pub(crate) fn explain(newer: &str, older: &[(u64, String)]) -> String {
    let newer = records(newer);
    let mut said = Vec::new();
    for (version, text) in older {
        let older = records(text);
        for (record, fields) in &newer {
            let Some(before) = older.get(record) else { continue };
            for (name, (kind, default)) in fields {
                match before.get(name) {
                    None if !default => {
                        said.push(format!(
                            "{record}.{name} has no default, and version {version} doesn't have it"
                        ));
                    }
                    Some((was, _)) if !reads(kind, was) => {
                        said.push(format!("{record}.{name} is {kind} and was {was} in version {version}"));
                    }
                    _ => {}
                }
            }
        }
    }
    if said.is_empty() { "the registry gives no reason".to_owned() } else { said.join("; ") }
}

fn records(schema: &str) -> Records {
    let mut all = Records::new();
    words(&serde_json::from_str(schema).unwrap_or(Json::Null), &mut all);
    all
}

/// A type in words; records are noted in `all`.
fn words(schema: &Json, all: &mut Records) -> String {
    match schema {
        Json::String(name) => name.rsplit('.').next().unwrap_or(name).to_owned(),
        Json::Array(union) => union.iter().map(|one| words(one, all)).collect::<Vec<_>>().join(" or "),
        Json::Object(object) => {
            let name = object.get("name").and_then(Json::as_str).unwrap_or_default();
            match object.get("type").and_then(Json::as_str) {
                Some("record") => {
                    let fields = object.get("fields").and_then(Json::as_array).into_iter().flatten();
                    let fields = fields.map(|field| {
                        let kind = words(&field["type"], all);
                        let name = field["name"].as_str().unwrap_or_default().to_owned();
                        (name, (kind, field.get("default").is_some()))
                    });
                    let fields = fields.collect();
                    all.insert(name.to_owned(), fields);
                    name.to_owned()
                }
                Some("array") => format!("array of {}", words(&object["items"], all)),
                Some("map") => format!("map of {}", words(&object["values"], all)),
                Some("enum" | "fixed") => name.to_owned(),
                Some(simple) => simple.to_owned(),
                None => object.get("type").map_or_else(String::new, |inner| words(inner, all)),
            }
        }
        _ => String::new(),
    }
}

/// True when a value written as `was` can be read as `kind`.
fn reads(kind: &str, was: &str) -> bool {
    let promoted = |one: &str| {
        matches!(
            (was, one),
            ("int", "long" | "float" | "double") | ("long", "float" | "double") | ("float", "double")
        ) || matches!((was, one), ("string", "bytes") | ("bytes", "string"))
    };
    was.split(" or ").all(|part| kind.split(" or ").any(|one| one == part))
        || kind.split(" or ").any(promoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"a.Order","fields":[{fields}]}}"#)
    }

    #[test]
    fn the_field_at_fault_is_named() {
        let old =
            record(r#"{"name":"id","type":"string"},{"name":"n","type":"int"},{"name":"s","type":"string"}"#);
        let new = record(
            r#"{"name":"id","type":["null","string"]},{"name":"n","type":"long"},{"name":"s","type":"long"},
               {"name":"tip","type":{"type":"record","name":"Tip","fields":[]}},
               {"name":"fine","type":["null","string"],"default":null}"#,
        );
        assert_eq!(
            explain(&new, &[(3, old.clone())]),
            "a.Order.s is long and was string in version 3; \
             a.Order.tip has no default, and version 3 doesn't have it"
        );
        assert_eq!(explain(&old, &[(1, old.clone())]), "the registry gives no reason");
        assert_eq!(explain("", &[(1, "nonsense".to_owned())]), "the registry gives no reason");
    }
}
