//! A stored webhook to its event.

use commerce::event::OrderObservation;
use commerce::reason::Failure;
use commerce::{EventName, Reason};

use super::{transport, validate};
use crate::json::{self, Maybe, Scalar, object};
use crate::order::body::{Order, Refund};
use crate::order::{self, Delivery, Parts, refund};
use crate::read::Reader;
use crate::{Item, Raw};

object! {
    /// `orders/edited` brings the edit and not the order.
    Edited<'a> {
        order_edit: Maybe<Edit<'a>>,
    }

    /// What was edited, when.
    Edit<'a> {
        order_id: Scalar<'a>,
        committed_at: Scalar<'a>,
        created_at: Scalar<'a>,
    }
}

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let (header, path) = (raw.http_header("x-shopify-topic"), raw.header("path"));
    let topic = validate::topic(header, path)
        .ok_or_else(|| Failure::new(Reason::UnsupportedEvent, "neither header nor path names a topic"))?;
    let Some(event) = validate::order_event(&topic) else {
        // What is no JSON at all is the sender's fault whatever its topic.
        json::parse::<Edited<'_>>(raw.body)?;
        let message = format!("the topic '{}' has no event", topic.chars().take(60).collect::<String>());
        return Err(Failure::new(Reason::UnsupportedEvent, message));
    };
    let space = space(raw)?;
    let webhook_id = raw.http_header("x-shopify-webhook-id");
    let transport = transport(raw.workspace.id.as_str(), space, webhook_id, &topic, raw.body);
    let mut reader = Reader::new(raw.received_at);
    if validate::mismatch(header, path) {
        reader.flag("topic_mismatch");
    }
    let delivery = Delivery { event, source_event: &topic, space, transport };
    let event = match event {
        EventName::OrderRefunded => refunded(raw, delivery, reader)?,
        _ if topic == "orders/edited" => edited(raw, delivery, reader)?,
        _ => order::event(raw, delivery, &json::parse::<Order<'_>>(raw.body)?, reader)?,
    };
    Ok(vec![Ok(event)])
}

/// The shop of the credential. A record without it was not written by this gateway: then a tenant's only shop is meant,
/// or the one of its shops that the header names.
fn space<'a>(raw: &Raw<'a>) -> Result<&'a str, Failure> {
    if let Some(space) = raw.header("space") {
        return Ok(space);
    }
    let shops = &raw.workspace.shopify;
    let named = raw.http_header("x-shopify-shop-domain");
    let shop = shops.iter().find(|shop| Some(shop.shop.as_str()) == named).or(match shops.as_slice() {
        [only] => Some(only),
        _ => None,
    });
    shop.map(|shop| shop.shop.as_str()).ok_or_else(|| {
        Failure::at(Reason::MissingField, "space", "the record doesn't say which shop signed it")
    })
}

/// `refunds/create`: one refund of an order that it only names. It says nothing of total or status.
fn refunded(raw: &Raw<'_>, delivery: Delivery<'_>, mut reader: Reader) -> Result<commerce::Event, Failure> {
    let body = json::parse::<Refund<'_>>(raw.body)?;
    let id = order::order_id(body.order_id, "order_id")?;
    let created = reader.time(body.created_at, format_args!("created_at"))?;
    let at = match created {
        Some(at) => Some(at),
        None => reader.time(body.processed_at, format_args!("processed_at"))?,
    };
    let version = at.unwrap_or(raw.received_at.as_event());
    let (refunds, currency) = refund::alone(&mut reader, &body, version)?;
    let mut observation = OrderObservation::at(version);
    observation.currency = currency;
    observation.refunds = refunds.list;
    observation.refunded_rest = refunds.rest;
    Ok(bare(raw, delivery, reader, id, at, observation))
}

/// `orders/edited`: Shopify sends the edit, and the order itself in the `orders/updated` beside it. A body that is an
/// order is read as one.
fn edited(raw: &Raw<'_>, delivery: Delivery<'_>, mut reader: Reader) -> Result<commerce::Event, Failure> {
    let body = json::parse::<Edited<'_>>(raw.body)?;
    let Some(edit) = body.order_edit.get() else {
        return order::event(raw, delivery, &json::parse::<Order<'_>>(raw.body)?, reader);
    };
    let id = order::order_id(edit.order_id, "order_edit.order_id")?;
    let committed = reader.time(edit.committed_at, format_args!("order_edit.committed_at"))?;
    let at = match committed {
        Some(at) => Some(at),
        None => reader.time(edit.created_at, format_args!("order_edit.created_at"))?,
    };
    let observation = OrderObservation::at(at.unwrap_or(raw.received_at.as_event()));
    Ok(bare(raw, delivery, reader, id, at, observation))
}

/// An event of a body that is not the order.
fn bare(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    reader: Reader,
    id: String,
    at: Option<commerce::EventTime>,
    observation: OrderObservation,
) -> commerce::Event {
    let parts = Parts {
        id,
        aliases: Vec::new(),
        occurred_at: at,
        version: at,
        person: None,
        observation,
        test: false,
    };
    order::assemble(raw, delivery, parts, reader)
}
