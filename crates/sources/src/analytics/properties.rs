//! The `properties` of an event: those with a place of their own are taken out, the rest travels on as texts (§4.2).

use std::collections::BTreeMap;

use super::body::Tracked;
use crate::json::{self, Bag, Scalar, Value};

/// What is left of an event's properties.
pub(super) struct Properties<'a> {
    bag: Bag<'a>,
    taken: Vec<&'static str>,
}

impl<'a> Properties<'a> {
    /// The properties of an event; what is no object has none.
    pub(super) fn of(event: &Tracked<'a>) -> Self {
        Self { bag: event.properties.object().unwrap_or_default(), taken: Vec::new() }
    }

    /// Takes a known property out. An array or object is none: it stays among the rest.
    pub(super) fn take(&mut self, key: &'static str) -> Option<String> {
        self.take_if(key, |_| true)
    }

    /// As [`Self::take`], if its value is of use.
    pub(super) fn take_if(&mut self, key: &'static str, is_fine: impl Fn(&str) -> bool) -> Option<String> {
        let found = text(self.bag.get(key)).filter(|value| is_fine(value))?;
        self.taken.push(key);
        Some(found)
    }

    /// True when a property says anything at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.bag.get(key).is_present()
    }

    /// A field of the event itself, else the property of that name.
    pub(super) fn take_unless(&mut self, own: Scalar<'a>, key: &'static str) -> Option<String> {
        text(own).or_else(|| self.take(key))
    }

    /// What a load is labelled with: a name, or nothing but the fact.
    pub(super) fn take_backfill(&mut self) -> Option<String> {
        let found = label(self.bag.get(BACKFILL))?;
        self.taken.push(BACKFILL);
        Some(found)
    }

    /// The others, each as the JSON of a text. `null` and empty texts are absent (R7.4).
    pub(super) fn rest(self) -> BTreeMap<String, String> {
        let rest = self.bag.entries().filter(|(key, _)| !self.taken.contains(key));
        rest.filter_map(|(key, value)| Some((key.to_owned(), as_text(value)?))).collect()
    }
}

/// True for an event that labels itself as part of a load.
pub(super) fn is_backfill(event: &Tracked<'_>) -> bool {
    // Nearly no event does, and this is asked of each of them at the door.
    event.properties.json().contains(BACKFILL)
        && event.properties.object().is_some_and(|bag| label(bag.get(BACKFILL)).is_some())
}

const BACKFILL: &str = "backfill";

fn label(value: Scalar<'_>) -> Option<String> {
    match value.value() {
        Value::Bool(true) => Some(String::new()),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(String::new()),
        Value::Text(text) if text.eq_ignore_ascii_case("false") => None,
        Value::Text(text) => Some(text.into_owned()),
        Value::Number(text) => Some(text.to_owned()),
        Value::Absent | Value::Bool(false) | Value::Other => None,
    }
}

fn text(value: Scalar<'_>) -> Option<String> {
    match value.value() {
        Value::Text(text) => Some(text.into_owned()),
        Value::Number(text) => Some(text.to_owned()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Absent | Value::Other => None,
    }
}

/// The JSON of a text: a string as it was written, anything else its own JSON as a text.
fn as_text(value: Scalar<'_>) -> Option<String> {
    let written = value.json();
    match value.value() {
        Value::Absent if !written.starts_with(['[', '{']) => None,
        Value::Text(_) => Some(written.to_owned()),
        _ => Some(json::quoted(written)),
    }
}
