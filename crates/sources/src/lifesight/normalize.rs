//! A stored delivery to its event.

use commerce::Reason;
use commerce::reason::Failure;

use super::validate::Kind;
use super::{DEFAULT_SPACE, transport};
use crate::json;
use crate::order::body::Order;
use crate::order::{self, Delivery};
use crate::read::Reader;
use crate::{Item, Raw};

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let unsupported = |message: &str| Failure::at(Reason::UnsupportedEvent, "event_name", message);
    let kind = raw
        .header("query.event_name")
        .and_then(Kind::parse)
        .ok_or_else(|| unsupported("the event_name is not one of the ten"))?;
    let body = json::parse::<Order<'_>>(raw.body)?;
    let Some(event) = kind.order_event() else {
        return Err(unsupported("checkouts and customers have no event yet"));
    };
    let space = raw.header("query.source").unwrap_or(DEFAULT_SPACE);
    let transport = transport(raw.workspace.id.as_str(), space, kind, raw.body);
    let delivery = Delivery { event, source_event: kind.as_str(), space, transport };
    order::event(raw, delivery, &body, Reader::new(raw.received_at)).map(|event| vec![Ok(event)])
}
