//! A record of `profiles`: what is known about a customer. Fields of orders are plain attributes here.

use commerce::event::{Payload, Person};
use commerce::person::{self, Identifier, Kind};
use commerce::reason::Failure;
use commerce::{EventName, Mark, Reason};

use super::{AS_OF, Context, RESERVED, Row, instant, money};
use crate::envelope::entity;
use crate::json::{Bag, Value};
use crate::phone;
use crate::read::{self, Reader};

/// The fields that say who it is. `null` never clears one.
const IDENTIFIERS: [&str; 5] = ["email", "customer_id", "phone", "stripe_customer_id", "shopify_customer_id"];

/// The totals that a source maintains itself. `null` never clears one.
const TOTALS: [&str; 3] = ["order_count", "ltv", "last_order_at"];

/// Attributes that are times.
const TIMES: [&str; 2] = ["last_payment_at", "payment_failed_at"];

pub(super) fn read(reader: &mut Reader, context: Context<'_>, record: &Bag<'_>) -> Result<Row, Failure> {
    let mut person = Person::default();
    let matched = identifiers(reader, context, record, &mut person)?;
    totals(reader, context, record, &mut person)?;
    for field in TIMES {
        instant(reader, record, field)?;
    }
    for (field, value) in record.entries() {
        if IDENTIFIERS.contains(&field) || TOTALS.contains(&field) || RESERVED.contains(&field) {
            continue;
        }
        // Of two equal keys the last one counts.
        person.attributes.remove(field);
        match (field, value.value()) {
            ("first_name", Value::Text(_) | Value::Number(_)) => person.first_name = value.owned(),
            ("last_name", Value::Text(_) | Value::Number(_)) => person.last_name = value.owned(),
            // An empty text says nothing (R7.4), while `null` clears the attribute and `[]` is a value.
            (_, Value::Absent) if value.json().starts_with('"') => {}
            (_, _) => {
                clear_name(field, &mut person);
                person.attributes.insert(field.to_owned(), value.json().to_owned());
            }
        }
    }
    // Not the address itself: personal data is confined to the person.
    let (workspace, kind) = (context.workspace.id.as_str(), matched.kind.as_str());
    let parts: [&[u8]; 4] = [b"person", workspace.as_bytes(), kind.as_bytes(), matched.value.as_bytes()];
    let id = Mark::of(&parts).to_hex();
    Ok(Row {
        person: Some(person),
        payload: Payload::default(),
        ..Row::new(EventName::CustomerUpdated, "profiles/upsert", entity("person", id))
    })
}

/// A name that a later key of the record takes back.
fn clear_name(field: &str, person: &mut Person) {
    match field {
        "first_name" => person.first_name = None,
        "last_name" => person.last_name = None,
        _ => {}
    }
}

/// Reads who it is and returns the identifier of the match key.
fn identifiers(
    reader: &mut Reader,
    context: Context<'_>,
    record: &Bag<'_>,
    person: &mut Person,
) -> Result<Identifier, Failure> {
    let match_key = context.match_key.unwrap_or("email");
    if !record.get(match_key).is_present() {
        let message = format!("the record has no {}", match_key.chars().take(40).collect::<String>());
        return Err(Failure::at(Reason::MissingField, "matchKey", message));
    }
    if !IDENTIFIERS.contains(&match_key) {
        let message = format!("it is none of {}", IDENTIFIERS.join(", "));
        return Err(Failure::at(Reason::BadValue, "matchKey", message));
    }
    let mut matched = None;
    for field in IDENTIFIERS {
        let identifier = identifier(reader, context, record, field, person)?;
        if field == match_key {
            matched.clone_from(&identifier);
        }
        person.identifiers.extend(identifier);
    }
    matched.ok_or_else(|| {
        Failure::at(
            Reason::BadValue,
            match_key,
            format!("it is no {match_key} that rows could be matched by"),
        )
    })
}

/// Reads one identifier. What is none is kept as it was given, with a flag.
fn identifier(
    reader: &mut Reader,
    context: Context<'_>,
    record: &Bag<'_>,
    field: &str,
    person: &mut Person,
) -> Result<Option<Identifier>, Failure> {
    let value = record.get(field);
    Ok(match field {
        "email" => {
            person.email = value.owned();
            let email = person.email.as_deref().map(person::email);
            if email == Some(None) {
                reader.flag("email_invalid");
            }
            email.flatten().map(|email| Identifier::plain(Kind::Email, email))
        }
        "phone" => {
            person.phone = value.owned();
            let regions = || context.workspace.phone_region.clone().into_iter();
            let number = person.phone.as_deref().map(|number| phone::e164(number, regions()));
            if number == Some(None) {
                reader.flag("phone_unresolved");
            }
            number.flatten().map(|number| Identifier::plain(Kind::Phone, number))
        }
        _ => {
            let id = read::id(value, format_args!("{field}"))?;
            let kind = match field {
                "customer_id" => Kind::User,
                "stripe_customer_id" => Kind::StripeCustomer,
                _ => Kind::ShopifyCustomer,
            };
            let space = if kind == Kind::ShopifyCustomer { shop(context) } else { "" };
            id.map(|value| Identifier { kind, space: space.to_owned(), value })
        }
    })
}

/// The shop whose customers are meant: with several shops a number alone doesn't say.
fn shop<'a>(context: Context<'a>) -> &'a str {
    match context.workspace.shopify.as_slice() {
        [only] => &only.shop,
        _ => "",
    }
}

/// Reads the totals that the sender maintains, and as of when they hold: a live record when it arrives, a row of a load as
/// it says, else as of the last order that it knows of (R11.1).
fn totals(
    reader: &mut Reader,
    context: Context<'_>,
    record: &Bag<'_>,
    person: &mut Person,
) -> Result<(), Failure> {
    person.reported_orders_count = read::count(record.get("order_count"), format_args!("order_count"))?;
    person.reported_total_spent = money(reader, record, "ltv", context.workspace.base_currency)?;
    person.reported_last_order_at = instant(reader, record, "last_order_at")?;
    let as_of = instant(reader, record, AS_OF)?;
    if person.reported_orders_count.is_some() || person.reported_total_spent.is_some() {
        let last = person.reported_last_order_at.filter(|_| context.labelled);
        let arrival = reader.received_at.as_event();
        let at = as_of.or(last).unwrap_or(arrival);
        person.reported_at = Some(at.for_window(reader.received_at));
    }
    Ok(())
}
