//! `--set path=value`.

use serde_json::{Value, json};

use super::Error;

/// One `--set`.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Assignment {
    pub(super) path: String,
    steps: Vec<Step>,
    /// The value as typed: an amount keeps its digits.
    pub(super) text: String,
    value: Value,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Step {
    Field(String),
    Index(usize),
}

impl Assignment {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let not = || Error::NotAnAssignment(text.to_owned());
        let (path, value) = text.split_once('=').ok_or_else(not)?;
        let path = path.trim();
        let mut steps = Vec::new();
        for part in path.split('.') {
            let (field, indices) = part.split_at(part.find('[').unwrap_or(part.len()));
            if field.is_empty() {
                return Err(not());
            }
            steps.push(Step::Field(field.to_owned()));
            if indices.is_empty() {
                continue;
            }
            let inner = indices.strip_prefix('[').and_then(|i| i.strip_suffix(']')).ok_or_else(not)?;
            for index in inner.split("][") {
                steps.push(Step::Index(index.parse().map_err(|_| not())?));
            }
        }
        let parsed = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        // Quotes make a string of what would be a number.
        let text = parsed.as_str().unwrap_or(value).to_owned();
        Ok(Self { path: path.to_owned(), steps, text, value: parsed })
    }

    /// Sets the value. A name that the body itself doesn't have is one of the object `inside`.
    pub(super) fn apply(&self, body: &mut Value, inside: &[&str]) -> Result<(), Error> {
        let wrong = |reason: String| Error::Path { path: self.path.clone(), reason };
        let mut place = body;
        if let Some(Step::Field(first)) = self.steps.first()
            && place.get(first).is_none()
        {
            for name in inside {
                place = place
                    .as_object_mut()
                    .ok_or_else(|| wrong("the body is no object".to_owned()))?
                    .entry((*name).to_owned())
                    .or_insert(Value::Null);
            }
        }
        for step in &self.steps {
            place = match step {
                Step::Field(name) => {
                    if place.is_null() {
                        *place = json!({});
                    }
                    let what = kind(place);
                    let object = place.as_object_mut();
                    let object =
                        object.ok_or_else(|| wrong(format!("'{name}' would be a field of {what}")))?;
                    object.entry(name.clone()).or_insert(Value::Null)
                }
                Step::Index(index) => {
                    if place.is_null() {
                        *place = json!([]);
                    }
                    let what = kind(place);
                    let list = place.as_array_mut();
                    let list =
                        list.ok_or_else(|| wrong(format!("[{index}] would be an element of {what}")))?;
                    let length = list.len();
                    if *index == length {
                        list.push(Value::Null);
                    }
                    list.get_mut(*index).ok_or_else(|| {
                        wrong(format!("the list has {length} elements, so the next is [{length}]"))
                    })?
                }
            };
        }
        *place = if self.value.is_number() && (place.is_string() || (place.is_null() && self.is_money())) {
            Value::String(self.text.clone())
        } else {
            self.value.clone()
        };
        Ok(())
    }

    /// True where both sources send a decimal string, so that a new field is no number either.
    fn is_money(&self) -> bool {
        let Some(Step::Field(name)) = self.steps.last() else { return false };
        let names = ["amount", "total_tax", "total_discount", "total_discounts", "total_spent"];
        name.ends_with("price") || names.contains(&name.as_str())
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a yes or no",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Everything that was set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a>(pub(super) &'a [Assignment]);

impl<'a> Set<'a> {
    /// The last value of a path, as typed.
    pub(super) fn text(self, path: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|a| a.path == path).map(|a| a.text.as_str())
    }

    /// True when the path, or one inside of it, was set.
    pub(super) fn touches(self, root: &str) -> bool {
        let inside = |path: &str| {
            path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.0.iter().any(|a| inside(&a.path))
    }
}
