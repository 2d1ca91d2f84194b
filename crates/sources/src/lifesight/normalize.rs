//! A stored delivery to its events.

use commerce::Reason;
use commerce::reason::Failure;

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
    if kind.is_checkout() {
        checkout::events(raw, delivery, &json::parse::<Checkout<'_>>(raw.body)?, reader)
    } else if kind.is_customer() {
        let customer = json::parse::<Customer<'_>>(raw.body)?;
        customer::event(raw, delivery, &customer, reader).map(|event| vec![Ok(event)])
    } else {
        order::events(raw, delivery, &json::parse::<Order<'_>>(raw.body)?, reader)
    }
}
