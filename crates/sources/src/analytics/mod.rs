//! The e-commerce analytics API (described at `/docs`): single events, batches, and the erasure of a user.
//!
//! | path | key | what is stored |
//! |---|---|---|
//! | `POST …/ecommerce/track` | publishable or secret | the body, without its `apiKey` |
//! | `POST …/ecommerce/batch` | publishable or secret | the body, the places that were refused, the verdicts |
//! | `DELETE …/user/{userId}` | secret | the path and no body |
//!
//! What is wrong with an event its sender is told at the door, so a refused one leaves no dead letter. A batch whose
//! rest is taken is stored whole; `rejected_items` names the places that give no event. What the fraud rules say of an
//! event stands in the header `fraud`; a blocked one is answered, stored and read like any other, and is in no figure.
//!
//! Two limits of the door: it has no memory of transactions, so that a duplicate uses up the quota until the pipeline
//! has said what it counted, and it has no rates, so that a greatest revenue is held against amounts of the base currency alone.

mod authenticate;
mod body;
mod deliveries;
mod device;
mod door;
mod fields;
mod fraud;
mod normalize;
pub(crate) mod operations;
mod properties;
mod transaction;
mod validate;

use std::borrow::Cow;

use commerce::id::LONGEST_ID;
use commerce::{EventName, Mark, Source};

pub(crate) use authenticate::caller;
pub(crate) use door::too_fast;

use crate::http::Reply;
use crate::{Family, Place, json};

pub(crate) use authenticate::present;

pub(crate) const FAMILY: Family = Family {
    source: Source::Analytics,
    title: ("Analytics", "E-commerce events of pages and servers."),
    operations: operations::OPERATIONS,
    place,
    accept: door::accept,
    normalize: normalize::normalize,
    present: authenticate::present,
    #[cfg(test)]
    vocabulary: || vocabulary().collect(),
    deliveries: deliveries::all,
    error,
};

/// The types, and what each is named after.
pub(crate) fn vocabulary() -> impl Iterator<Item = (&'static str, EventName)> {
    validate::Kind::ALL.into_iter().map(|kind| (kind.as_str(), kind.event()))
}

/// A single event, and an erasure.
const TRACK_LIMIT: usize = 256 * 1024;

const BATCH_LIMIT: usize = 1024 * 1024;

/// What a path of this source is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Endpoint<'a> {
    Track,
    Batch,
    /// The user's id as it stands in the path, percent-encoded.
    Erase(&'a str),
}

impl<'a> Endpoint<'a> {
    fn of(path: &'a str) -> Option<Self> {
        match path.strip_prefix("/v1/api/analytics/")? {
            "ecommerce/track" => Some(Self::Track),
            "ecommerce/batch" => Some(Self::Batch),
            rest => {
                let id = rest.strip_prefix("user/")?;
                (!id.is_empty() && !id.contains('/')).then_some(Self::Erase(id))
            }
        }
    }
}

fn place(path: &str) -> Option<Place> {
    Some(match Endpoint::of(path)? {
        Endpoint::Track => Place { body_limit: TRACK_LIMIT, allow: "POST" },
        Endpoint::Batch => Place { body_limit: BATCH_LIMIT, allow: "POST" },
        Endpoint::Erase(_) => Place { body_limit: TRACK_LIMIT, allow: "DELETE" },
    })
}

fn error(status: u16, message: &str, _: &str) -> Reply {
    Reply::new(status, format!(r#"{{"error":{}}}"#, json::quoted(message)))
}

/// The header under which the value of the workspace's country header is stored.
const COUNTRY: &str = "country";

const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A transport key that the sender chose: `kind` is `key` for a request and `event` for one event.
fn chosen(workspace: &str, kind: &str, key: &str, item: Option<i32>) -> Mark {
    let item = item.map(i32::to_le_bytes);
    let item = item.as_ref().map_or(&[][..], |item| item.as_slice());
    Mark::of(&[b"analytics", workspace.as_bytes(), kind.as_bytes(), key.as_bytes(), item])
}

/// The id of a user in a path. `None`: there is no user of such an id, since ingestion keeps none of that kind.
fn user_of_path(encoded: &str) -> Option<String> {
    let decoded = percent_decoded(encoded);
    let id = decoded.trim();
    (!id.is_empty() && id.len() <= LONGEST_ID).then(|| id.to_owned())
}

/// `%41` to `A`. What is no escape stays as it is, and what is no UTF-8 is replaced: an answer can be given to any path.
fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_of_three() {
        for (path, endpoint) in [
            ("/v1/api/analytics/ecommerce/track", Some(Endpoint::Track)),
            ("/v1/api/analytics/ecommerce/batch", Some(Endpoint::Batch)),
            ("/v1/api/analytics/user/a%2Fb", Some(Endpoint::Erase("a%2Fb"))),
            ("/v1/api/analytics/user/", None),
            ("/v1/api/analytics/user/a/b", None),
            ("/v1/api/analytics/ecommerce/overview", None),
            ("/v1/api/analytics/ecommerce/track/", None),
            ("/v1/api/analytics", None),
        ] {
            assert_eq!(Endpoint::of(path), endpoint, "{path}");
        }
    }

    #[test]
    fn a_path_is_decoded_and_an_odd_escape_stays() {
        for (text, expected) in [
            ("user_123", "user_123"),
            ("a%2Fb%20c+d", "a/b c+d"),
            ("%C3%A4", "ä"),
            ("100%", "100%"),
            ("%4", "%4"),
            ("%zz%41", "%zzA"),
            ("%+1", "%+1"),
        ] {
            assert_eq!(percent_decoded(text), expected);
        }
        assert_eq!(percent_decoded("%ff"), "\u{fffd}");
        assert_eq!(user_of_path("%20u%20").as_deref(), Some("u"));
        assert_eq!(user_of_path("%20"), None);
        assert_eq!(user_of_path(&"u".repeat(LONGEST_ID + 1)), None);
    }
}
