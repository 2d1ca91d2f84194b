//! The bodies, as they are sent. A body is read once, whatever the number of its events.

use commerce::id::LONGEST_ID;
use commerce::reason::Failure;
use commerce::{Currency, Reason};

use super::Endpoint;
use crate::json::{self, List, Scalar, Value, object};
use crate::read::Reader;

object! {
    /// Several events at once.
    #[allow(non_snake_case, reason = "the names are those of the body")]
    Batch<'a> {
        apiKey: Scalar<'a>,
        events: List<Tracked<'a>>,
    }

    /// One event.
    #[allow(non_snake_case, reason = "the names are those of the body")]
    Tracked<'a> {
        apiKey: Scalar<'a>,
        event_type: Scalar<'a>,
        event_id: Scalar<'a>,
        timestamp: Scalar<'a>,
        transaction_id: Scalar<'a>,
        revenue: Scalar<'a>,
        currency: Scalar<'a>,
        user_id: Scalar<'a>,
        cart_id: Scalar<'a>,
        coupon_code: Scalar<'a>,
        discount: Scalar<'a>,
        shipping: Scalar<'a>,
        tax: Scalar<'a>,
        items: List<Line<'a>>,
        properties: Scalar<'a>,
        campaign: Scalar<'a>,
        source: Scalar<'a>,
        medium: Scalar<'a>,
        platform: Scalar<'a>,
        device_type: Scalar<'a>,
        country: Scalar<'a>,
    }

    /// One of its items.
    Line<'a> {
        item_id: Scalar<'a>,
        item_name: Scalar<'a>,
        item_category: Scalar<'a>,
        item_brand: Scalar<'a>,
        item_variant: Scalar<'a>,
        item_list_name: Scalar<'a>,
        item_list_id: Scalar<'a>,
        item_image_url: Scalar<'a>,
        coupon_code: Scalar<'a>,
        price: Scalar<'a>,
        quantity: Scalar<'a>,
        currency: Scalar<'a>,
        discount: Scalar<'a>,
    }
}

/// A body of either kind.
pub(super) enum Body<'a> {
    One(Box<Tracked<'a>>),
    Many(Batch<'a>),
}

impl<'a> Body<'a> {
    pub(super) fn read(endpoint: Endpoint<'_>, body: &'a [u8]) -> Result<Self, Failure> {
        match endpoint {
            Endpoint::Batch => json::parse(body).map(Self::Many),
            Endpoint::Track | Endpoint::Erase(_) => {
                json::parse(body).map(|tracked| Self::One(Box::new(tracked)))
            }
        }
    }

    /// The field in which a page that is being left sends its key.
    pub(super) fn key(&self) -> Scalar<'a> {
        match self {
            Self::One(tracked) => tracked.apiKey,
            Self::Many(batch) => batch.apiKey,
        }
    }

    /// The events by their places; `None` for an entry that is no object.
    pub(super) fn events(&self) -> Vec<Option<&Tracked<'a>>> {
        match self {
            Self::One(tracked) => vec![Some(tracked.as_ref())],
            Self::Many(batch) => batch.events.entries().map(|(_, event)| event).collect(),
        }
    }
}

/// A body without its `apiKey`. The other keys keep their order, and their values every character.
pub(super) fn without_key(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut stripped = Vec::with_capacity(body.len());
    for (name, value) in json::bag(body)?.entries().filter(|(name, _)| *name != "apiKey") {
        stripped.push(if stripped.is_empty() { b'{' } else { b',' });
        stripped.extend_from_slice(json::quoted(name).as_bytes());
        stripped.push(b':');
        stripped.extend_from_slice(value.json().as_bytes());
    }
    if stripped.is_empty() {
        stripped.push(b'{');
    }
    stripped.push(b'}');
    Ok(stripped)
}

/// What an event says of its currency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Named {
    /// Nothing: the base currency is meant.
    Nothing,
    /// A code of ISO 4217.
    Known(Currency),
    /// Something else.
    Unknown,
}

impl Named {
    pub(super) fn read(value: Scalar<'_>) -> Self {
        match value.value() {
            Value::Absent => Self::Nothing,
            Value::Text(text) => Currency::parse(&text).map_or(Self::Unknown, Self::Known),
            Value::Number(_) | Value::Bool(_) | Value::Other => Self::Unknown,
        }
    }

    /// The currency to count in. ISO 4217 has a code for "no currency": amounts in it are kept, and no rate leads from
    /// it to the base currency (§4.2).
    pub(super) fn or(self, default: Currency) -> Currency {
        match self {
            Self::Nothing => default,
            Self::Known(currency) => currency,
            Self::Unknown => Currency::parse("xxx").unwrap_or(default),
        }
    }
}

/// Reads an id whose fault would lose a link and not the event: then it is flagged.
pub(super) fn name(reader: &mut Reader, value: Scalar<'_>, path: &str) -> Option<String> {
    match value.text() {
        Some(text) if text.len() <= LONGEST_ID => Some(text.into_owned()),
        None if !value.is_present() => None,
        _ => {
            reader.flag(&format!("bad_value:{path}"));
            None
        }
    }
}

/// Reads an id without which the event is none.
pub(super) fn required_id(value: Scalar<'_>, path: &str, absent: Reason) -> Result<String, Failure> {
    match value.text() {
        Some(text) if text.len() <= LONGEST_ID => Ok(text.into_owned()),
        Some(_) => Err(Failure::at(Reason::BadValue, path, "the id is longer than 512 bytes")),
        None => Err(Failure::at(absent, path, "it is neither a text nor a number")),
    }
}
