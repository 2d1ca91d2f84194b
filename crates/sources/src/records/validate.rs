//! What a request must be before any of its records is read.

use commerce::Reason;
use commerce::reason::Failure;

use super::address::{Address, Operation};
use crate::http::Request;
use crate::json::{self, Scalar, Value};

/// The most records of a batch.
pub(super) const LARGEST_BATCH: usize = 10_000;

/// The longest key, in characters.
const LONGEST_KEY: usize = 255;

/// The match key of an upsert that names none.
const DEFAULT_MATCH_KEY: &str = "email";

/// A body, taken apart as far as its records.
#[derive(Debug)]
pub(super) struct Body<'a> {
    /// Each as it stands there; it need not be an object.
    pub(super) records: Vec<Scalar<'a>>,
    /// Of an upsert: the field whose value says which row is meant.
    pub(super) match_key: Option<String>,
}

/// Takes a body apart. `Err` says why nothing of it can be read.
pub(super) fn body<'a>(address: Address<'_>, body: &'a [u8]) -> Result<Body<'a>, Failure> {
    let body = json::bag(body)?;
    let records = if address.batch {
        let missing = || Failure::at(Reason::MissingField, "records", "it is not a list of records");
        let records = body.get("records").list().ok_or_else(missing)?;
        if records.is_empty() {
            return Err(Failure::at(Reason::MissingField, "records", "the list is empty"));
        }
        if records.len() > LARGEST_BATCH {
            return Err(Failure::at(Reason::BadValue, "records", "more than 10,000 records"));
        }
        records
    } else {
        vec![body.get("record")]
    };
    let match_key = match (address.operation, body.get("matchKey").value()) {
        (Operation::Append, _) => None,
        (Operation::Upsert, Value::Absent) => Some(DEFAULT_MATCH_KEY.to_owned()),
        (Operation::Upsert, Value::Text(name)) => Some(name.into_owned()),
        (Operation::Upsert, Value::Number(_) | Value::Bool(_) | Value::Other) => {
            return Err(Failure::at(Reason::BadValue, "matchKey", "it is not the name of a field"));
        }
    };
    Ok(Body { records, match_key })
}

/// Reads the `Idempotency-Key`: `None` where the sender gives none.
pub(super) fn idempotency_key<'a>(request: &Request<'a>) -> Result<Option<&'a str>, Failure> {
    let bad = |message: &str| Err(Failure::at(Reason::BadValue, "headers.idempotency-key", message));
    let mut keys = request.headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    if keys.next().is_some() {
        return bad("the header is there twice");
    }
    let key = key.as_bytes().trim_ascii();
    match std::str::from_utf8(key) {
        Ok(text) if (1..=LONGEST_KEY).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic) => {
            Ok(Some(text))
        }
        _ => bad("it must be 1 to 255 visible ASCII characters"),
    }
}
