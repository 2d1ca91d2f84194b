//! What a body asks for, and what its sender is told instead.
//!
//! The same function reads at the door and in the normalizer: what the one takes, the other can read.

use commerce::person::Identifier;
use commerce::reason::Failure;
use commerce::{Reason, ReceivedTime};

use super::call::Call;
use super::{fields, person};
use crate::json::{self, Bag, Scalar, Value};
use crate::read::{self, Reader};
use crate::workspace::Workspace;

const LONGEST_IDENTIFIER: usize = 150;
const LONGEST_ATTRIBUTE_NAME: usize = 150;
const LONGEST_ATTRIBUTE: usize = 1_000;
const MOST_ATTRIBUTES: usize = 300;
const LONGEST_NAME: usize = 100;
const LARGEST_DATA: usize = 100_000;
const LARGEST_ENTITY: usize = 32_000;
const LARGEST_BATCH: usize = 500_000;

/// What a call, or an item of a batch, asks for.
#[derive(Debug)]
pub(super) enum Act<'a> {
    /// Attributes of a person.
    Identify(Identify<'a>),
    /// The person is to be forgotten.
    Delete(Vec<Identifier>),
    /// The identifier is barred.
    Suppress(Vec<Identifier>),
    /// The identifier is readmitted.
    Unsuppress(Vec<Identifier>),
    /// Something happened.
    Track(Track<'a>),
    /// Two persons are one; the first remains.
    Merge(Vec<Identifier>, Vec<Identifier>),
    /// Somebody has unsubscribed by a message, which is all that is known of them unless the sender says more.
    Unsubscribe(String, Vec<Identifier>),
    /// It is stored and has no event.
    Kept,
}

/// Attributes of a person.
#[derive(Debug)]
pub(super) struct Identify<'a> {
    pub(super) who: Vec<Identifier>,
    pub(super) attributes: Bag<'a>,
    /// Version 2 has a time beside the attributes too.
    pub(super) timestamp: Scalar<'a>,
}

/// An event of a person or of nobody yet.
#[derive(Debug)]
pub(super) struct Track<'a> {
    pub(super) who: Vec<Identifier>,
    /// A page or screen was looked at: the name is an address.
    pub(super) is_view: bool,
    /// Trimmed.
    pub(super) name: String,
    pub(super) id: Scalar<'a>,
    pub(super) timestamp: Scalar<'a>,
    pub(super) data: Bag<'a>,
}

impl Track<'_> {
    /// The sender's own id of the event.
    pub(super) fn id(&self) -> Option<String> {
        read::loose_id(self.id)
    }
}

/// What kind of fault it is: the `reason` of version 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Required,
    Invalid,
    TooLarge,
    Malformed,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Malformed => "parse_error",
        }
    }

    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::Required => Reason::MissingField,
            Self::Invalid | Self::TooLarge => Reason::BadValue,
            Self::Malformed => Reason::MalformedJson,
        }
    }
}

/// Why a call, or an item of a batch, is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) field: String,
    pub(super) message: String,
}

impl Fault {
    fn new(kind: Kind, field: &str, message: impl Into<String>) -> Self {
        Self { kind, field: field.to_owned(), message: message.into() }
    }

    fn blank(field: &str) -> Self {
        Self::new(Kind::Required, field, format!("{field} cannot be blank"))
    }

    pub(super) fn invalid(field: &str, message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, field, message)
    }

    fn too_large(field: &str, limit: &str) -> Self {
        Self::new(Kind::TooLarge, field, format!("{field} cannot be larger than {limit}"))
    }

    /// As a failure of the normalizer.
    pub(super) fn failure(&self) -> Failure {
        Failure::at(self.kind.reason(), self.field.as_str(), self.message.as_str())
    }
}

/// Reads a body. Only a batch has more or less than one item.
pub(super) fn read<'a>(
    call: &Call,
    deletes: bool,
    body: &'a [u8],
    workspace: &Workspace,
) -> Result<Vec<Result<Act<'a>, Fault>>, Fault> {
    let one = |act| Ok(vec![Ok(act)]);
    match call {
        Call::Person(text) if deletes => one(Act::Delete(of_path(text)?)),
        Call::Person(text) => {
            let who = of_path(text)?;
            let attributes = object(body)?;
            check_attributes(&attributes)?;
            one(Act::Identify(Identify { who, attributes, timestamp: Scalar::default() }))
        }
        Call::Events(text) => {
            let who = of_path(text)?;
            one(Act::Track(track(&object(body)?, who, "data", false)?))
        }
        Call::AnonymousEvents => one(Act::Track(track(&object(body)?, Vec::new(), "data", false)?)),
        Call::Suppress(text) => one(Act::Suppress(of_path(text)?)),
        Call::Unsuppress(text) => one(Act::Unsuppress(of_path(text)?)),
        Call::Merge => one(merge(&object(body)?, workspace)?),
        Call::Devices(text) => {
            of_path(text)?;
            check_device(&object(body)?, &["id"], &["platform"])?;
            one(Act::Kept)
        }
        Call::Device(text) => {
            of_path(text)?;
            one(Act::Kept)
        }
        Call::Unsubscribe(delivery) => {
            check_identifier("delivery_id", delivery)?;
            let body = object(body)?;
            if !body.get("unsubscribe").is_true() {
                return one(Act::Kept);
            }
            let who = person::of_object(&body, workspace);
            one(Act::Unsubscribe(delivery.clone(), who))
        }
        Call::Segment | Call::Form | Call::Metrics | Call::Push | Call::Region => {
            object(body)?;
            one(Act::Kept)
        }
        Call::Entity if body.len() > LARGEST_ENTITY => Err(Fault::too_large("entity", "32 kB")),
        Call::Entity => one(entity(&object(body)?, workspace)?),
        Call::Batch if body.len() > LARGEST_BATCH => Err(Fault::too_large("batch", "500 kB")),
        Call::Batch => {
            let must_be = || Fault::new(Kind::Required, "batch", "batch must be an array");
            let items = object(body)?.get("batch").list().ok_or_else(must_be)?;
            Ok(items.into_iter().map(|item| of_batch(item, workspace)).collect())
        }
    }
}

/// A body without bytes is one without fields, and so is `null`: clients send them where there is nothing to say.
fn object(body: &[u8]) -> Result<Bag<'_>, Fault> {
    if matches!(body.trim_ascii(), b"" | b"null") {
        return Ok(Bag::default());
    }
    json::bag(body).map_err(|_| Fault::new(Kind::Malformed, "body", "the body must be a JSON object"))
}

fn of_batch<'a>(item: Scalar<'a>, workspace: &Workspace) -> Result<Act<'a>, Fault> {
    if item.json().len() > LARGEST_ENTITY {
        return Err(Fault::too_large("entity", "32 kB"));
    }
    let object = item.object().ok_or_else(|| Fault::invalid("entity", "an item must be an object"))?;
    entity(&object, workspace)
}

fn of_path(text: &str) -> Result<Vec<Identifier>, Fault> {
    check_identifier("identifier", text)?;
    Ok(vec![person::of_text(text.trim())])
}

fn check_identifier(field: &str, text: &str) -> Result<(), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::blank(field));
    }
    if text.len() > LONGEST_IDENTIFIER {
        return Err(Fault::too_large(field, "150 bytes"));
    }
    if text.contains(['\0', '\u{fffd}']) {
        return Err(Fault::invalid(field, format!("{field} must be text in UTF-8")));
    }
    Ok(())
}

fn check_attributes(attributes: &Bag<'_>) -> Result<(), Fault> {
    let mut count = 0_usize;
    for (name, value) in attributes.entries() {
        count += 1;
        if name.len() > LONGEST_ATTRIBUTE_NAME {
            return Err(Fault::too_large("attribute name", "150 bytes"));
        }
        let length = match value.value() {
            Value::Text(text) => text.len(),
            _ => value.json().len(),
        };
        if length > LONGEST_ATTRIBUTE {
            return Err(Fault::too_large(name, "1000 bytes"));
        }
        if matches!(name, "id" | "anonymous_id" | "cio_id") && length > LONGEST_IDENTIFIER {
            return Err(Fault::too_large(name, "150 bytes"));
        }
    }
    if count > MOST_ATTRIBUTES {
        return Err(Fault::new(Kind::TooLarge, "attributes", "there cannot be more than 300 attributes"));
    }
    check_time(attributes.get("_timestamp"), "_timestamp")
}

fn check_time(value: Scalar<'_>, field: &str) -> Result<(), Fault> {
    match fields::instant(&mut Reader::new(ReceivedTime(0)), value, field) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::invalid(field, format!("{field} must be a unix timestamp"))),
    }
}

fn check_device(body: &Bag<'_>, ids: &[&str], others: &[&str]) -> Result<(), Fault> {
    let device = body.get("device").object().ok_or_else(|| Fault::blank("device"))?;
    if device.first(ids).text().is_none() {
        return Err(Fault::blank("device.id"));
    }
    match others.iter().find(|name| device.get(name).text().is_none()) {
        Some(name) => Err(Fault::blank(&format!("device.{name}"))),
        None => Ok(()),
    }
}

/// Reads an event; `data` is what version 2 calls `attributes`.
fn track<'a>(
    body: &Bag<'a>,
    mut who: Vec<Identifier>,
    data: &str,
    is_view: bool,
) -> Result<Track<'a>, Fault> {
    let name = match body.get("name").value() {
        Value::Text(name) => name.into_owned(),
        Value::Absent => return Err(Fault::blank("name")),
        _ => return Err(Fault::invalid("name", "name must be a string")),
    };
    if name.len() > LONGEST_NAME {
        return Err(Fault::too_large("name", "100 bytes"));
    }
    let timestamp = body.get("timestamp");
    check_time(timestamp, "timestamp")?;
    let value = body.get(data);
    if value.json().len() > LARGEST_DATA {
        return Err(Fault::too_large(data, "100000 bytes"));
    }
    let data = match value.value() {
        Value::Absent => Bag::default(),
        _ => value.object().ok_or_else(|| Fault::invalid(data, format!("{data} must be an object")))?,
    };
    if let Some(anonymous) = body.get("anonymous_id").owned() {
        check_identifier("anonymous_id", &anonymous)?;
        who.push(person::anonymous(anonymous));
    }
    let is_view = is_view || matches!(body.get("type").text().as_deref(), Some("page" | "screen"));
    Ok(Track { who, is_view, name, id: body.get("id"), timestamp, data })
}

fn merge<'a>(body: &Bag<'a>, workspace: &Workspace) -> Result<Act<'a>, Fault> {
    let read = |field: &str| {
        let who = body.get(field).object().ok_or_else(|| Fault::blank(field))?;
        identified(&who, field, workspace)
    };
    Ok(Act::Merge(read("primary")?, read("secondary")?))
}

/// The identifiers of an object, of which there must be one.
fn identified(object: &Bag<'_>, field: &str, workspace: &Workspace) -> Result<Vec<Identifier>, Fault> {
    for (_, value) in object.entries() {
        if let Some(text) = value.text() {
            check_identifier(field, &text)?;
        }
    }
    let who = person::of_object(object, workspace);
    if who.is_empty() {
        let message = format!("{field} must have an id, email, phone or cio_id");
        return Err(Fault::new(Kind::Required, field, message));
    }
    Ok(who)
}

/// Reads an operation of version 2.
fn entity<'a>(body: &Bag<'a>, workspace: &Workspace) -> Result<Act<'a>, Fault> {
    let word = |field: &str| body.get(field).owned().ok_or_else(|| Fault::blank(field));
    let (of, action) = (word("type")?, word("action")?);
    let identifiers = || {
        let object = body.get("identifiers").object().ok_or_else(|| Fault::blank("identifiers"))?;
        Ok::<_, Fault>(object)
    };
    match of.as_str() {
        "person" if action == "merge" => return merge(body, workspace),
        "person" => {}
        "object" => {
            let known = ["identify", "delete", "event", "add_relationships", "delete_relationships"];
            if !known.contains(&action.as_str()) {
                return Err(unknown_action());
            }
            identifiers()?;
            if action == "event" {
                track(body, Vec::new(), "attributes", false)?;
            }
            return Ok(Act::Kept);
        }
        "delivery" => return Ok(Act::Kept),
        _ => return Err(Fault::invalid("type", "type must be person, object or delivery")),
    }
    let object = identifiers()?;
    if let Some(anonymous) = object.get("anonymous_id").owned()
        && matches!(action.as_str(), "event" | "page" | "screen")
    {
        check_identifier("identifiers", &anonymous)?;
        let mut who = person::of_object(&object, workspace);
        who.push(person::anonymous(anonymous));
        return track(body, who, "attributes", action != "event").map(Act::Track);
    }
    let who = identified(&object, "identifiers", workspace)?;
    Ok(match action.as_str() {
        "identify" => {
            let value = body.get("attributes");
            let attributes = match value.value() {
                Value::Absent => Bag::default(),
                _ => value
                    .object()
                    .ok_or_else(|| Fault::invalid("attributes", "attributes must be an object"))?,
            };
            check_attributes(&attributes)?;
            let timestamp = body.get("timestamp");
            check_time(timestamp, "timestamp")?;
            Act::Identify(Identify { who, attributes, timestamp })
        }
        "event" => Act::Track(track(body, who, "attributes", false)?),
        "page" | "screen" => Act::Track(track(body, who, "attributes", true)?),
        "delete" => Act::Delete(who),
        "suppress" => Act::Suppress(who),
        "unsuppress" => Act::Unsuppress(who),
        "add_device" | "delete_device" => {
            check_device(body, &["token", "id"], &[])?;
            Act::Kept
        }
        "add_relationships" | "delete_relationships" => Act::Kept,
        _ => return Err(unknown_action()),
    })
}

fn unknown_action() -> Fault {
    Fault::invalid("action", "action is not one of this type")
}
