//! One record to what it says. The door reads a record as the normalizer does, so that what is
//! accepted can be read.

mod order;
mod payment;
mod product;
mod profile;

use commerce::event::{Entity, Payload, Person};
use commerce::person::{self, Identifier, Kind};
use commerce::reason::Failure;
use commerce::{Currency, EventName, EventTime, Money, Reason, time};

use super::address::{Address, Object};
use super::canonical;
use crate::envelope::entity;
use crate::json::{Bag, Scalar, Value};
use crate::read::{self, Reader};
use crate::workspace::Workspace;

/// What a row says, without its envelope.
pub(super) struct Row {
    pub(super) event: EventName,
    /// The sender's own word for it.
    pub(super) source_event: String,
    pub(super) entity: Entity,
    /// When it happened, as far as the row says.
    pub(super) occurred_at: Option<EventTime>,
    /// Of an order: the version, where the row says it.
    pub(super) version: Option<EventTime>,
    pub(super) person: Option<Person>,
    pub(super) payload: Payload,
    /// The row's own label of a backfill.
    pub(super) backfill: Option<String>,
}

/// What is known about a row beside its fields.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) workspace: &'a Workspace,
    /// True where a header labels the delivery as a load.
    pub(super) labelled: bool,
    pub(super) address: Address<'a>,
    pub(super) object: Object,
    pub(super) match_key: Option<&'a str>,
}

/// The label of a backfill, and the instant as of which reported totals hold: no fields of the row.
const RESERVED: [&str; 2] = [BACKFILL, AS_OF];
const BACKFILL: &str = "_backfill";
pub(super) const AS_OF: &str = "_as_of";

/// Reads a record. The field of a failure is a path within the record, empty for the record itself.
pub(super) fn read(reader: &mut Reader, context: Context<'_>, value: Scalar<'_>) -> Result<Row, Failure> {
    let record = value.object().filter(|record| !record.is_empty());
    let record =
        record.ok_or_else(|| Failure::at(Reason::MissingField, "", "it is not an object with a field"))?;
    let context = Context { labelled: context.labelled || backfill(&record).is_some(), ..context };
    let row = match context.object {
        Object::Profiles => profile::read(reader, context, &record)?,
        Object::Orders => order::read(reader, context, &record)?,
        Object::Payments => payment::read(reader, context, &record)?,
        Object::ProductEvents => product::read(reader, context, &record)?,
        Object::Further => further(reader, context, value, &record)?,
    };
    Ok(Row { backfill: backfill(&record), ..row })
}

/// The first field that the object's schema doesn't have. A profile may have any.
pub(super) fn unknown_field(object: Object, value: Scalar<'_>) -> Option<String> {
    let known = match object {
        Object::Profiles | Object::Further => return None,
        Object::Orders => order::FIELDS,
        Object::Payments => payment::FIELDS,
        Object::ProductEvents => product::FIELDS,
    };
    let record = value.object()?;
    let name =
        record.entries().map(|(name, _)| name).find(|name| !known.contains(name) && !RESERVED.contains(name));
    name.map(str::to_owned)
}

/// A row of an object that only the workspace knows the meaning of.
fn further(
    reader: &mut Reader,
    context: Context<'_>,
    value: Scalar<'_>,
    record: &Bag<'_>,
) -> Result<Row, Failure> {
    let id = read::loose_id(record.get("id"));
    let id = id.unwrap_or_else(|| canonical::content(value, None).to_hex());
    let payload = Payload { properties: properties(record, &["customer_email"]), ..Payload::default() };
    Ok(Row {
        occurred_at: instant(reader, record, "occurred_at")?,
        person: by_email(reader, record),
        payload,
        ..Row::new(EventName::CustomTracked, context.address.object, entity(context.address.object, id))
    })
}

impl Row {
    fn new(event: EventName, source_event: impl Into<String>, entity: Entity) -> Self {
        Self {
            event,
            source_event: source_event.into(),
            entity,
            occurred_at: None,
            version: None,
            person: None,
            payload: Payload::default(),
            backfill: None,
        }
    }
}

/// The row's own label (R13.1): `true`, or a text.
fn backfill(record: &Bag<'_>) -> Option<String> {
    match record.get(BACKFILL).value() {
        Value::Bool(true) => Some(String::new()),
        Value::Text(label) if label.eq_ignore_ascii_case("true") => Some(String::new()),
        Value::Text(label) if label.eq_ignore_ascii_case("false") => None,
        Value::Text(label) => Some(label.into_owned()),
        Value::Number(label) => Some(label.to_owned()),
        Value::Absent | Value::Bool(false) | Value::Other => None,
    }
}

/// What a row carries beyond the fields that are read (R7.5).
fn properties(record: &Bag<'_>, read: &[&str]) -> std::collections::BTreeMap<String, String> {
    let mut rest = record.rest(read);
    rest.retain(|name, value| value != "null" && !RESERVED.contains(&name.as_str()));
    rest
}

/// Reads a time, which must have its offset (R6.3).
fn instant(reader: &mut Reader, record: &Bag<'_>, field: &str) -> Result<Option<EventTime>, Failure> {
    let value = record.get(field);
    if let Value::Text(text) = value.value()
        && time::parse_iso(&text).is_ok_and(|read| read.naive)
    {
        return Err(Failure::at(Reason::BadTime, field, "the time has no offset"));
    }
    reader.time(value, format_args!("{field}"))
}

fn money(
    reader: &mut Reader,
    record: &Bag<'_>,
    field: &str,
    currency: Currency,
) -> Result<Option<Money>, Failure> {
    reader.money(record.get(field), currency, format_args!("{field}"))
}

/// The currency of a row's amounts. Without one it is the workspace's own, and the row says that it was not said.
fn currency(reader: &mut Reader, context: Context<'_>, record: &Bag<'_>) -> Result<Currency, Failure> {
    let said = read::currency(record.get("currency"), format_args!("currency"))?;
    Ok(said.unwrap_or_else(|| {
        reader.flag("currency_defaulted");
        context.workspace.base_currency
    }))
}

/// A field without which the row means nothing.
fn required<T>(value: Option<T>, field: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::at(Reason::MissingField, field, "the field is absent"))
}

/// The person of `customer_email`.
fn by_email(reader: &mut Reader, record: &Bag<'_>) -> Option<Person> {
    let text = record.get("customer_email").owned()?;
    let mut found = Person::default();
    match person::email(&text) {
        Some(email) => found.identifiers.push(Identifier::plain(Kind::Email, email)),
        None => reader.flag("email_invalid"),
    }
    found.email = Some(text);
    Some(found)
}
