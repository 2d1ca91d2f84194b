//! Published records against computed ones.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::cut::Key;
use super::fold::Computed;
use crate::tail::Reader;

/// What says when something was processed and not what is: history, outside the claim.
const HISTORY: [&str; 4] = ["as_of", "audiences_since", "corrected", "revision"];

/// A field that isn't what the events say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The topic.
    pub topic: &'static str,
    /// The record's key.
    pub key: String,
    /// Path of the field; empty when one of the two has no record at all.
    pub field: String,
    /// What the topic says; absent: nothing.
    pub published: Option<Value>,
    /// What the events say; absent: nothing.
    pub computed: Option<Value>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    pub(super) compared: usize,
    /// How many of them moved meanwhile.
    pub(super) moved: usize,
    pub(super) differences: Vec<Difference>,
}

/// Compares key by key.
pub(super) fn compare(
    published: &HashMap<Key, Vec<u8>>,
    computed: &Computed,
    reader: &mut Reader,
) -> anyhow::Result<Comparison> {
    let mut found = Comparison::default();
    let there = computed.latest.iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key);
    let keys: BTreeSet<&Key> = there.chain(published.keys()).collect();
    for key in keys {
        found.compared += 1;
        found.moved += usize::from(computed.moved.contains_key(key));
        let (topic, name) = key;
        let ours = computed.latest.get(key).and_then(Option::as_deref);
        let theirs = published.get(key).map(Vec::as_slice);
        if ours == theirs {
            continue;
        }
        let mut read = |value: Option<&[u8]>| value.map(|value| reader.read(*topic, name, Some(value)));
        let published = read(theirs);
        let mut differences = fields(&published, &read(ours));
        for between in computed.moved.get(key).into_iter().flatten() {
            if !differences.is_empty() && fields(&published, &read(between.as_deref())).is_empty() {
                differences.clear();
            }
        }
        found.differences.extend(differences.into_iter().map(|(field, published, computed)| Difference {
            topic: topic.name(),
            key: String::from_utf8_lossy(name).into_owned(),
            field,
            published,
            computed,
        }));
    }
    Ok(found)
}

pub(crate) type Field = (String, Option<Value>, Option<Value>);

/// The fields in which two records differ.
pub(crate) fn fields(published: &Option<Value>, computed: &Option<Value>) -> Vec<Field> {
    let mut found = Vec::new();
    match (published, computed) {
        (Some(published), Some(computed)) => differ(String::new(), published, computed, &mut found),
        (None, None) => {}
        _ => found.push((String::new(), published.clone(), computed.clone())),
    }
    found
}

fn differ(path: String, published: &Value, computed: &Value, found: &mut Vec<Field>) {
    match (published, computed) {
        (Value::Object(left), Value::Object(right)) => {
            let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            for name in names {
                if path.is_empty() && HISTORY.contains(&name.as_str()) {
                    continue;
                }
                let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match (left.get(name), right.get(name)) {
                    (Some(left), Some(right)) => differ(inner, left, right, found),
                    (left, right) => found.push((inner, left.cloned(), right.cloned())),
                }
            }
        }
        _ if published == computed => {}
        _ => found.push((path, Some(published.clone()), Some(computed.clone()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_named_by_the_path_of_its_field_and_history_is_none() {
        let published =
            json!({"total": {"minor": 1, "currency": "USD"}, "items": [1], "as_of": 5, "gone": 1});
        let computed = json!({"total": {"minor": 2, "currency": "USD"}, "items": [1, 2], "as_of": 6});
        let found = fields(&Some(published.clone()), &Some(computed));
        let names: Vec<&str> = found.iter().map(|(field, ..)| field.as_str()).collect();
        assert_eq!(names, ["gone", "items", "total.minor"]);
        assert_eq!(found[2], ("total.minor".to_owned(), Some(json!(1)), Some(json!(2))));
        assert!(fields(&Some(published.clone()), &Some(published.clone())).is_empty());
        assert_eq!(fields(&Some(published.clone()), &None), [(String::new(), Some(published), None)]);
        assert!(fields(&None, &None).is_empty());
    }

    #[test]
    fn only_the_records_own_marks_of_time_are_history() {
        let (one, other) = (json!({"inner": {"as_of": 1}}), json!({"inner": {"as_of": 2}}));
        assert_eq!(fields(&Some(one), &Some(other)).len(), 1);
    }
}
