//! A stored delivery to its events.

use commerce::reason::Failure;
use commerce::{Event, Mark, Reason};

use super::validate::Kind;
use super::{DEFAULT_SPACE, transport};
use crate::checkout::{self, Checkout};
use crate::customer;
use crate::json;
use crate::order::body::{Customer, Order};
use crate::order::{self, Delivery};
use crate::read::Reader;
use crate::{Item, Raw};

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let kind = raw.header("query.event_name").and_then(Kind::parse).ok_or_else(|| {
        Failure::at(Reason::UnsupportedEvent, "event_name", "the event_name is not one of the ten")
    })?;
    let space = raw.header("query.source").unwrap_or(DEFAULT_SPACE);
    let transport = transport(raw.workspace.id.as_str(), space, kind, raw.body);
    let delivery = Delivery { event: kind.event(), source_event: kind.as_str(), space, transport };
    let reader = Reader::new(raw.received_at);
    let mut items = if kind.is_checkout() {
        checkout::events(raw, delivery, &json::parse::<Checkout<'_>>(raw.body)?, reader)?
    } else if kind.is_customer() {
        let customer = json::parse::<Customer<'_>>(raw.body)?;
        vec![Ok(customer::event(raw, delivery, &customer, reader)?)]
    } else {
        order::events(raw, delivery, &json::parse::<Order<'_>>(raw.body)?, reader)?
    };
    items.iter_mut().flatten().for_each(|event| event.keys.stated = Some(stated(event).to_hex()));
    Ok(items)
}

/// The version of which a delivery tells, whatever it says of it. The customer inside an order
/// or checkout has one of its own.
fn stated(event: &Event) -> Mark {
    Mark::of(&[
        b"lifesight",
        event.workspace.as_str().as_bytes(),
        event.source_space.as_bytes(),
        b"version",
        event.source_event.as_bytes(),
        event.entity.r#type.as_bytes(),
        event.entity.id.as_bytes(),
        &event.occurred_at.0.to_le_bytes(),
    ])
}
