//! The JSON Schema of a configuration file: types from the code, texts and defaults from the defaults file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Config;
use crate::config::DEFAULTS;

impl Config {
    /// The schema (2020-12) of a file that [`Config::load`] reads, for editors.
    pub fn schema() -> Value {
        let mut schema = schemars::schema_for!(Self).to_value();
        let texts = texts(DEFAULTS);
        let defaults: toml::Table = DEFAULTS.parse().unwrap_or_default();
        schema["title"] = json!("Configuration of tillstream");
        schema["description"] = json!("What isn't there has its default.");
        let mut sections = BTreeMap::new();
        for (name, property) in object(&mut schema, "/properties") {
            let definition = property["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
            sections.extend(definition.map(|definition| (name.clone(), format!("/$defs/{definition}"))));
        }
        for (name, path) in &sections {
            let defaults = defaults.get(name).and_then(toml::Value::as_table);
            for (key, property) in object(&mut schema, &format!("{path}/properties")) {
                if let Some(text) = texts.get(&format!("{name}.{key}")) {
                    property["description"] = json!(text);
                }
                if let Some(default) = defaults.and_then(|defaults| defaults.get(key)) {
                    property["default"] = json!(default);
                }
            }
            // The defaults are below every file.
            let _ = schema
                .pointer_mut(path)
                .and_then(Value::as_object_mut)
                .map(|section| section.remove("required"));
        }
        if let (Some(root), Some(text)) = (schema.as_object_mut(), texts.get("instance")) {
            root.remove("required");
            root["properties"]["instance"]["description"] = json!(text);
        }
        schema
    }
}

fn object<'a>(schema: &'a mut Value, path: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    schema.pointer_mut(path).and_then(Value::as_object_mut).into_iter().flat_map(Map::iter_mut)
}

/// The comment above each key, by the key's dotted path; also above keys that are commented out.
fn texts(file: &str) -> BTreeMap<String, String> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let (mut section, mut text) = (String::new(), Vec::new());
    for line in file.lines() {
        let comment = line.strip_prefix('#').map(str::trim);
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
            text.clear();
        } else if let Some(key) = key(comment.unwrap_or(line)) {
            let path = format!("{section}{key}");
            // Some comments go on from one key to the next.
            let sentence = std::mem::take(&mut text).join(" ");
            let sentence = sentence.trim_start_matches("... ").trim_end_matches([' ', '.', ',']);
            texts.insert(path, format!("{sentence}."));
        } else if let Some(comment) = comment {
            text.push(comment.to_owned());
        } else {
            text.clear();
        }
    }
    let known = texts.clone();
    for (path, text) in &mut texts {
        let key = path.rsplit('.').next().unwrap_or_default();
        for (said, stage) in [("As for the state stage", "state"), ("As for the normalizer", "normalizer")] {
            // Whoever reads one key has no other one beside it.
            if let Some(meant) = known.get(&format!("{stage}.{key}")).filter(|_| text.starts_with(said)) {
                *text = text.replacen(said, meant.trim_end_matches('.'), 1);
            }
        }
    }
    texts
}

/// The key of a line `key = value`.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(" = ")?;
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    is_key(key).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What of a value the schema doesn't allow, as far as names and kinds go.
    fn faults(schema: &Value, rule: &Value, value: &Value, at: &str) -> Vec<String> {
        let rule = match rule["$ref"].as_str() {
            Some(path) => schema.pointer(path.trim_start_matches('#')).unwrap(),
            None => rule,
        };
        let is_one = |kind: &Value| match kind.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            other => other == "null" && value.is_null(),
        };
        if let Some(any) = rule["anyOf"].as_array() {
            let fits = any.iter().any(|rule| faults(schema, rule, value, at).is_empty());
            return if fits { vec![] } else { vec![format!("{at}: none of its kinds")] };
        }
        let mut found = vec![];
        let kinds = rule["type"].as_array().cloned().unwrap_or_else(|| vec![rule["type"].clone()]);
        if !kinds[0].is_null() && !kinds.iter().any(is_one) {
            found.push(format!("{at}: not {kinds:?}"));
        }
        for (key, inner) in value.as_object().into_iter().flatten() {
            match (&rule["properties"][key], &rule["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => found.push(format!("{at}.{key}: unknown")),
                (Value::Null, more) => found.extend(faults(schema, more, inner, key)),
                (rule, _) => found.extend(faults(schema, rule, inner, &format!("{at}.{key}"))),
            }
        }
        for inner in value.as_array().into_iter().flatten() {
            found.extend(faults(schema, &rule["items"], inner, &format!("{at}[]")));
        }
        for name in rule["required"].as_array().into_iter().flatten() {
            if value.get(name.as_str().unwrap()).is_none() {
                found.push(format!("{at}: {name} is missing"));
            }
        }
        found
    }

    fn of_file(text: &str) -> Vec<String> {
        let schema = Config::schema();
        let file: toml::Table = text.parse().unwrap();
        faults(&schema, &schema, &serde_json::to_value(file).unwrap(), "")
    }

    #[test]
    fn the_defaults_and_a_full_configuration_are_as_the_schema_says() {
        assert_eq!(of_file(DEFAULTS), Vec::<String>::new());
        let mut config = Config::load_from(None, &[], vec![]).unwrap();
        config.workspaces.push(sources::WorkspaceConfig::development());
        assert_eq!(of_file(&config.to_toml()), Vec::<String>::new());
    }

    #[test]
    fn what_the_program_refuses_the_schema_refuses() {
        for (text, at) in [
            ("[gateway]\nlistn = '127.0.0.1:1'", ".gateway.listn: unknown"),
            ("[state]\nworkers = 'two'", ".state.workers"),
            ("[[workspaces]]\nbase_currency = 'USD'", "\"id\" is missing"),
            ("[[workspaces]]\nid = 'a'\n[[workspaces.shopify]]\nshop = 'a'", "\"secrets\" is missing"),
        ] {
            let found = of_file(text);
            assert!(found.len() == 1 && found[0].contains(at), "{at} in {found:?}");
        }
    }

    #[test]
    fn every_key_has_its_text_and_its_default_from_the_defaults_file() {
        let schema = Config::schema();
        let defaults: toml::Table = DEFAULTS.parse().unwrap();
        assert!(defaults.len() >= 8);
        for section in defaults.keys() {
            let path = schema["properties"][section]["$ref"].as_str().unwrap().trim_start_matches('#');
            for (key, property) in schema.pointer(path).unwrap()["properties"].as_object().unwrap() {
                let text = property["description"].as_str().unwrap_or_default();
                let told = key == "properties" || (!text.contains("[`") && !text.starts_with("As for"));
                assert!(told && !text.is_empty(), "{section}.{key}: {text:?}");
            }
        }
        assert_eq!(schema.pointer("/$defs/Gateway/properties/max_connections/default"), Some(&json!(8192)));
        let folder = schema.pointer("/$defs/Aggregator/properties/folder/description").unwrap();
        assert!(folder.as_str().unwrap().starts_with("The folder of a store on disk"), "{folder}");
    }
}
