//! Layers into one table, the table into a [`Config`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::{Figment, providers::Serialized};
use serde::de::DeserializeOwned;
use sources::WorkspaceConfig;
use toml::{Table, Value};

use crate::Config;
use crate::config::{DEFAULTS, Errors, Mistake, Origin, check};

/// Values of the command line by dotted key (`gateway.listen`): the last layer.
pub type Overrides = Vec<(String, Value)>;

/// Names that are not keys but choose files; the command line reads them.
const PREFIX: &str = "TILLSTREAM_";
const PROPERTIES: &str = "kafka.properties.";

impl Config {
    /// Reads all layers. Without `file`, `TILLSTREAM_CONFIG` names the file.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, Errors> {
        let environment: Vec<_> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = environment.iter().find(|(name, value)| name == "TILLSTREAM_CONFIG" && !value.is_empty());
        let file = file.map(Path::to_owned).or_else(|| named.map(|(_, value)| PathBuf::from(value)));
        Self::load_from(file.as_deref(), &environment, overrides)
    }

    /// The same with an environment that is passed in.
    pub fn load_from(
        file: Option<&Path>,
        environment: &[(String, String)],
        overrides: Overrides,
    ) -> Result<Self, Errors> {
        let mut layers = Layers::default();
        layers.read(DEFAULTS, &Origin::Default);
        let defaults = layers.table.clone();
        if let Some(path) = file {
            layers.read_file(path);
        }
        layers.read_environment(environment, &defaults);
        for (key, value) in overrides {
            layers.set(&key, value, &Origin::CommandLine);
        }
        layers.finish(&defaults)
    }
}

#[derive(Default)]
struct Layers {
    table: Table,
    origins: BTreeMap<String, Origin>,
    mistakes: Vec<Mistake>,
}

impl Layers {
    fn wrong(&mut self, key: &str, origin: Origin, message: impl Into<String>) {
        self.mistakes.push(Mistake { key: key.to_owned(), origin, message: message.into() });
    }

    fn read_file(&mut self, path: &Path) {
        let origin = Origin::File(path.to_owned());
        match std::fs::read_to_string(path) {
            Ok(text) => self.read(&text, &origin),
            Err(error) => self.wrong("", origin, format!("can't be read: {error}")),
        }
    }

    fn read(&mut self, text: &str, origin: &Origin) {
        match text.parse::<Table>() {
            Ok(table) => {
                for (key, value) in table {
                    self.merge(&key, value, origin);
                }
            }
            // Not `to_string`: that prints the line, and a line may hold a secret.
            Err(error) => {
                let before = error.span().and_then(|span| text.get(..span.start));
                let line = before.map_or(1, |before| before.matches('\n').count() + 1);
                self.wrong("", origin.clone(), format!("line {line}: {}", error.message().trim()));
            }
        }
    }

    /// Tables are merged key by key, everything else is replaced.
    fn merge(&mut self, key: &str, value: Value, origin: &Origin) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                for (inner, value) in table {
                    self.merge(&format!("{key}.{inner}"), value, origin);
                }
            }
            Value::Table(_) if section(&self.table, key).is_some() => {}
            value => self.set(key, value, origin),
        }
    }

    fn set(&mut self, key: &str, value: Value, origin: &Origin) {
        // `security.protocol = "SSL"` makes tables of a name that has dots in it; and librdkafka wants texts.
        let (path, value) = match key.strip_prefix(PROPERTIES) {
            Some(name) => (vec!["kafka", "properties", name], text_of(value)),
            None => (key.split('.').collect(), value),
        };
        let Some((last, parents)) = path.split_last() else { return };
        let mut table = &mut self.table;
        for parent in parents {
            let entry = table.entry((*parent).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                // A scalar where a table belongs, in an earlier layer: it is reported there, or replaced here.
                *entry = Value::Table(Table::new());
            }
            let Value::Table(inner) = entry else { return };
            table = inner;
        }
        table.insert((*last).to_owned(), value);
        self.origins.insert(key.to_owned(), origin.clone());
    }

    fn read_environment(&mut self, environment: &[(String, String)], defaults: &Table) {
        for (name, value) in environment {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let origin = Origin::Environment(name.clone());
            match rest.split_once("__") {
                Some(("KAFKA", property)) if property.starts_with("PROPERTIES__") => {
                    let property = property.trim_start_matches("PROPERTIES__").replace('_', ".");
                    let key = format!("{PROPERTIES}{}", property.to_lowercase());
                    self.set(&key, Value::String(value.clone()), &origin);
                }
                Some((section, key)) => {
                    let key = format!("{}.{}", section, key.replace("__", ".")).to_lowercase();
                    self.set(&key, typed(value, find(defaults, &key)), &origin);
                }
                None if rest == "INSTANCE" => self.set("instance", Value::String(value.clone()), &origin),
                None if rest == "WORKSPACES" => match format!("workspaces = {value}").parse::<Table>() {
                    Ok(table) => {
                        for (key, value) in table {
                            self.merge(&key, value, &origin);
                        }
                    }
                    Err(_) => {
                        self.wrong("workspaces", origin, "is not a TOML list such as [{id = \"acme\"}]")
                    }
                },
                None => self.check_single_underscore(rest, origin, defaults),
            }
        }
    }

    /// `TILLSTREAM_GATEWAY_LISTEN` would be ignored without a word. Other names with our prefix are not ours to judge:
    /// Kubernetes makes `TILLSTREAM_GATEWAY_PORT` for a service called `tillstream-gateway`.
    fn check_single_underscore(&mut self, rest: &str, origin: Origin, defaults: &Table) {
        let lower = rest.to_lowercase();
        for (section, keys) in defaults {
            let Some(key) = lower.strip_prefix(&format!("{section}_")) else { continue };
            if keys.get(key).is_some() {
                let right = format!("{PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase());
                self.wrong(
                    &format!("{section}.{key}"),
                    origin,
                    format!("the name has one underscore, it is {right}"),
                );
                return;
            }
        }
    }

    fn finish(mut self, defaults: &Table) -> Result<Config, Errors> {
        let workspaces = self.table.remove("workspaces");
        let config: Option<Config> = self.extract(defaults);
        let workspaces = self.workspaces(workspaces);
        if let Some(mut config) = config {
            config.workspaces = workspaces;
            config.origins = std::mem::take(&mut self.origins);
            self.mistakes.extend(check::all(&config));
            if self.mistakes.is_empty() {
                return Ok(config);
            }
        }
        self.mistakes.sort_by(|a, b| a.key.cmp(&b.key));
        self.mistakes.dedup();
        Err(Errors(self.mistakes))
    }

    /// Deserializing stops at the first mistake: note it, put the default in its place, go on.
    fn extract(&mut self, defaults: &Table) -> Option<Config> {
        for _ in 0..MOST_MISTAKES {
            let (path, message) = match deserialize(&self.table) {
                Ok(config) => return Some(config),
                Err(found) => found,
            };
            let key = path.join(".");
            let origin = self.origin_of(&key);
            self.wrong(&key, origin, message);
            let default = find(defaults, &key).cloned();
            if !replace(&mut self.table, &path, default) {
                return None;
            }
        }
        None
    }

    fn workspaces(&mut self, value: Option<Value>) -> Vec<WorkspaceConfig> {
        let origin = self.origin_of("workspaces");
        let tables = match value {
            None => return Vec::new(),
            Some(Value::Array(tables)) => tables,
            Some(_) => {
                self.wrong("workspaces", origin, "it is a list: [[workspaces]]");
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (index, value) in tables.into_iter().enumerate() {
            let place = |path: &[String]| {
                let path = if path.is_empty() { String::new() } else { format!(".{}", path.join(".")) };
                format!("workspaces[{index}]{path}")
            };
            let Value::Table(mut table) = value else {
                self.wrong(&place(&[]), origin.clone(), "it is a table");
                continue;
            };
            // What was taken out because it was wrong isn't missing.
            let mut removed: Vec<Vec<String>> = Vec::new();
            for _ in 0..MOST_MISTAKES {
                match deserialize(&table) {
                    Ok(workspace) if removed.is_empty() => found.push(workspace),
                    Ok(_) => {}
                    Err((path, message)) => {
                        if !removed.contains(&path) {
                            self.wrong(&place(&path), origin.clone(), message);
                            if replace(&mut table, &path, None) {
                                removed.push(path);
                                continue;
                            }
                        }
                    }
                }
                break;
            }
        }
        found
    }

    /// The layer of a key: its own, else that of what it lies in or of what lies in it.
    fn origin_of(&self, key: &str) -> Origin {
        let within =
            |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        let found = self.origins.get(key).or_else(|| {
            let mut all = self.origins.iter();
            all.find(|(known, _)| within(known, key) || within(key, known)).map(|(_, origin)| origin)
        });
        found.cloned().unwrap_or(Origin::Default)
    }
}

/// So that a fault in the repair can't hang the start.
const MOST_MISTAKES: usize = 200;

/// The value, or the path and the sentence of the first mistake.
fn deserialize<T: DeserializeOwned>(table: &Table) -> Result<T, (Vec<String>, String)> {
    Figment::from(Serialized::defaults(table)).extract().map_err(|error| {
        let mut path = error.path.clone();
        let message = match &error.kind {
            Kind::UnknownField(name, known) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                match MOVED.iter().find(|(old, _)| path.join(".") == *old) {
                    Some((_, to)) => (*to).to_owned(),
                    None => unknown(name, known),
                }
            }
            Kind::MissingField(name) => {
                if path.last().map(String::as_str) != Some(name.as_ref()) {
                    path.push(name.to_string());
                }
                "is missing".to_owned()
            }
            kind => kind.to_string(),
        };
        (path, message)
    })
}

/// Keys that there were, and what stands in their place.
const MOVED: [(&str, &str); 1] = [(
    "aggregator.abandoned_after",
    "it is no setting of a process any more, but of each workspace: abandoned_after_s, in seconds, in its [[workspaces]]",
)];

fn unknown(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown key, did you mean '{near}'?"),
        None => format!("unknown key, known are: {}", known.join(", ")),
    }
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let close = |other: &&&str| {
        let same = name.bytes().filter(|byte| other.bytes().any(|b| b == *byte)).count();
        let length = name.len().max(other.len());
        name.len().abs_diff(other.len()) <= 2
            && same + 2 >= length
            && name.bytes().next() == other.bytes().next()
    };
    known.iter().find(close).copied()
}

/// Puts `value` at `path`, or takes out what is there; false when there was nothing.
fn replace(table: &mut Table, path: &[String], value: Option<Value>) -> bool {
    // A property's name has dots of its own.
    let joined = path.get(2..).map(|rest| rest.join("."));
    let (last, parents) = match (path, &joined) {
        ([kafka, properties, _, ..], Some(name)) if kafka == "kafka" && properties == "properties" => {
            (name, &path[..2])
        }
        _ => match path.split_last() {
            Some(split) => split,
            None => return false,
        },
    };
    let mut at = table;
    for parent in parents {
        if !at.get(parent).is_some_and(Value::is_table) {
            // Inside a list: the whole list goes.
            return at.remove(parent).is_some();
        }
        let Some(Value::Table(inner)) = at.get_mut(parent) else { return false };
        at = inner;
    }
    match value {
        Some(value) => {
            let before = at.insert(last.clone(), value);
            before.as_ref() != at.get(last)
        }
        None => at.remove(last).is_some(),
    }
}

fn find<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    let mut path = key.split('.');
    let first = table.get(path.next()?)?;
    path.try_fold(first, |value, part| value.get(part))
}

fn section<'t>(table: &'t Table, key: &str) -> Option<&'t Table> {
    find(table, key)?.as_table()
}

/// The environment has only texts: what the default is decides what a text is read as.
fn typed(text: &str, default: Option<&Value>) -> Value {
    let read = match default {
        Some(Value::Integer(_)) => text.trim().parse().ok().map(Value::Integer),
        Some(Value::Boolean(_)) => text.trim().parse().ok().map(Value::Boolean),
        _ => None,
    };
    read.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn text_of(value: Value) -> Value {
    match value {
        Value::Integer(number) => Value::String(number.to_string()),
        Value::Boolean(truth) => Value::String(truth.to_string()),
        other => other,
    }
}
