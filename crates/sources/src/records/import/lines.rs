//! JSON lines: each line is a record as the upsert takes it.

use commerce::Reason;
use commerce::reason::Failure;

use super::{AS_OF, EMAIL, bad, check, dated};
use crate::json::{self, Value};

/// A file that is being read.
pub(super) struct Lines<'a> {
    rest: Option<&'a [u8]>,
    line: u64,
}

/// Opens a file.
pub(super) const fn open(text: &[u8]) -> Lines<'_> {
    Lines { rest: Some(text), line: 0 }
}

impl Lines<'_> {
    /// The record of the next line that isn't empty, with its number.
    pub(super) fn next(&mut self, as_of: Option<&str>) -> Option<(u64, Result<String, Failure>)> {
        loop {
            let rest = self.rest?;
            self.line += 1;
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (line, rest) = match end {
                Some(end) => (&rest[..end], Some(&rest[end + 1..])),
                None => (rest, None),
            };
            self.rest = rest;
            let line = line.trim_ascii();
            if !line.is_empty() {
                return Some((self.line, record(line, as_of)));
            }
        }
    }
}

/// One line to one record: the same text, with the instant as of which it holds.
fn record(line: &[u8], as_of: Option<&str>) -> Result<String, Failure> {
    let bag = json::bag(line).map_err(|failure| Failure::at(failure.reason, "line", failure.message))?;
    for (name, value) in bag.entries() {
        if name.is_empty() || name.starts_with('_') {
            return Err(bad("line", "a field has no name, or one that begins with '_'"));
        }
        match value.value() {
            Value::Text(text) => check(name, &text)?,
            Value::Number(text) => check(name, text)?,
            Value::Bool(_) => check(name, "true")?,
            Value::Other => check(name, "[]")?,
            Value::Absent => {}
        }
    }
    if !bag.get(EMAIL).is_present() {
        return Err(Failure::at(Reason::MissingField, EMAIL, "the field is absent"));
    }
    dated(|name| bag.get(name).is_present(), as_of)?;
    let text = String::from_utf8_lossy(line);
    Ok(match (as_of, text.strip_suffix('}')) {
        (Some(as_of), Some(open)) => format!(r#"{open},"{AS_OF}":"{as_of}"}}"#),
        _ => text.into_owned(),
    })
}
