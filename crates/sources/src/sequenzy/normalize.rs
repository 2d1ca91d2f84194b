//! A stored push to its events: the order or checkout, and the customer.
//!
//! Places within a delivery: 0 what was pushed, 1 the customer. Names, attributes and reported totals are with the
//! customer alone, as of the push's `orderedAt`.

use commerce::event::{
    Activity, Event, EventName, FinancialStatus, FulfillmentStatus, OrderObservation, Payload, Person, Refund,
};
use commerce::id::LONGEST_ID;
use commerce::person;
use commerce::reason::Failure;
use commerce::{EventTime, Mark, Reason, ReceivedTime};

use super::transport;
use super::validate::{self, Kind, Push, Status};
use crate::envelope::{self, Draft, entity};
use crate::order::content;
use crate::read::Reader;
use crate::{Item, Raw};

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let unsupported = || Failure::at(Reason::UnsupportedEvent, "path", "the path is neither of the two");
    let kind = raw.header("path").and_then(Kind::of_path).ok_or_else(unsupported)?;
    let push = validate::push(kind, raw.workspace, raw.received_at, raw.body).map_err(|faults| {
        let first = faults.into_iter().next();
        first.map_or_else(|| Failure::new(Reason::BadValue, "the body has a fault"), Failure::from)
    })?;
    let transport = transport(raw.workspace.id.as_str(), kind, raw.body);
    let mut events = vec![Ok(subject(raw, &push, transport))];
    events.extend(customer(raw, &push, transport).map(Ok));
    Ok(events)
}

/// The order or checkout.
fn subject(raw: &Raw<'_>, push: &Push, transport: Mark) -> Event {
    let (event, alias) = push.event();
    let mut entity = entity(push.kind.as_str(), push.id.as_str());
    if let Some(number) = push.number.as_deref().map(|number| number.trim_start_matches('#'))
        && (1..=LONGEST_ID).contains(&number.len())
        && number != push.id
    {
        entity.aliases.push(format!("number:{number}"));
    }
    let mut payload = Payload { properties: push.properties.clone(), ..Payload::default() };
    match push.kind {
        Kind::Order => payload.order = Some(observation(push, raw.received_at)),
        Kind::Checkout => payload.activity = Some(activity(push)),
    }
    let keys = (transport, fact(raw.workspace.id.as_str(), push, raw.received_at));
    let draft = Draft {
        occurred_at: push.ordered_at,
        person: Some(buyer(push)),
        payload,
        backfill: push.backfill.clone(),
        ..Draft::new(event, alias, "", entity, keys)
    };
    envelope::seal(raw, draft, flags(push))
}

/// What a push says of its customer.
fn customer(raw: &Raw<'_>, push: &Push, transport: Mark) -> Option<Event> {
    let id = person::representative(&push.customer.identifiers)?.value.as_str();
    let keys = (transport, key(raw.workspace.id.as_str(), push, raw.received_at, "customer", &push.customer));
    let draft = Draft {
        occurred_at: push.ordered_at,
        person: Some(push.customer.clone()),
        backfill: push.backfill.clone(),
        part: 1,
        ..Draft::new(EventName::CustomerUpdated, push.event().1, "", entity("person", id), keys)
    };
    Some(envelope::seal(raw, draft, flags(push)))
}

fn flags(push: &Push) -> Reader {
    Reader { received_at: push.reader.received_at, flags: push.reader.flags.clone() }
}

/// Who it was, without what the customer's own event says.
fn buyer(push: &Push) -> Person {
    Person {
        identifiers: push.customer.identifiers.clone(),
        email: push.customer.email.clone(),
        ..Person::default()
    }
}

/// The semantic key of the order or checkout, whose id is derived from it: id, status and content, so that a repeat is
/// one and a changed push isn't lost. A time that the sender doesn't give is no part of it.
pub(super) fn fact(workspace: &str, push: &Push, received_at: ReceivedTime) -> Mark {
    key(workspace, push, received_at, push.kind.as_str(), &buyer(push))
}

fn key(workspace: &str, push: &Push, received_at: ReceivedTime, word: &str, person: &Person) -> Mark {
    let said = push.ordered_at.map_or(i64::MIN, |at| at.0).to_le_bytes();
    let content = content::of(&observation(push, received_at), Some(person), received_at, false);
    let mut parts: Vec<&[u8]> = vec![b"sequenzy", workspace.as_bytes(), word.as_bytes()];
    parts.extend([push.event().1.as_bytes(), push.id.as_bytes(), &said, &content]);
    for text in [&push.number, &push.url] {
        parts.push(text.as_deref().unwrap_or_default().as_bytes());
    }
    for (name, value) in &push.properties {
        parts.extend([name.as_bytes(), value.as_bytes()]);
    }
    Mark::of(&parts)
}

/// What an order push says, and what its status proves. Only `placed` proves a payment (R3.4): an order that is known
/// by another status alone doesn't count yet.
fn observation(push: &Push, received_at: ReceivedTime) -> OrderObservation {
    let at = push.ordered_at.unwrap_or(received_at.as_event());
    let mut order = OrderObservation::at(at);
    order.currency = push.currency;
    order.total = push.total;
    order.items.clone_from(&push.items);
    order.item_count = push
        .items
        .as_ref()
        .map(|items| items.iter().fold(0_i64, |sum, item| sum.saturating_add(item.quantity)));
    match push.status {
        Status::Placed if push.kind == Kind::Order => {
            order.placed_at = Some(at);
            order.paid_at = Some(at);
            order.financial_status = Some(FinancialStatus::Paid);
        }
        Status::Placed => {}
        Status::Cancelled => order.cancelled_at = Some(at),
        Status::Fulfilled => {
            order.fulfilled_at = Some(at);
            order.fulfillment_status = Some(FulfillmentStatus::Fulfilled);
        }
        Status::Refunded => refunded(&mut order, push, at.for_window(received_at)),
    }
    order
}

/// An amount is the sum so far, or with an id one refund of several; without an amount the whole rest went back. An
/// amount never takes back that the rest went back: the greatest sum holds, and that was the total.
fn refunded(order: &mut OrderObservation, push: &Push, at: EventTime) {
    let Some(amount) = push.refund else {
        order.refunded_rest = Some(true);
        order.financial_status = Some(FinancialStatus::Refunded);
        return;
    };
    let all = push.total.is_some_and(|total| amount.minor >= total.minor);
    order.financial_status = match amount.minor {
        0 => None,
        _ if all => Some(FinancialStatus::Refunded),
        _ => Some(FinancialStatus::PartiallyRefunded),
    };
    let id = push.refund_id.clone().unwrap_or_else(|| Refund::CUMULATIVE.to_owned());
    order.refunds.push(Refund { id, amount, at });
}

fn activity(push: &Push) -> Activity {
    Activity {
        checkout_id: Some(push.id.clone()),
        currency: push.currency,
        value: push.total,
        items: push.items.clone(),
        recovery_url: push.url.clone(),
        ..Activity::default()
    }
}
