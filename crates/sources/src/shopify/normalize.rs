//! A stored webhook to its events.

use std::collections::BTreeMap;

use commerce::event::OrderObservation;
use commerce::reason::Failure;
use commerce::{Event, EventName, EventTime, Mark, Reason};

use super::validate::Subject;
use super::{transport, validate};
use crate::checkout::{self, Checkout};
use crate::customer;
use crate::json::{self, Maybe, Scalar, object};
use crate::order::body::{Customer, Order, Refund};
use crate::order::{self, Delivery, Parts, observe, refund};
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

    /// A customer to be forgotten, with the orders that name them.
    Redaction<'a> {
        customer: Maybe<Customer<'a>>,
        orders_to_redact: Scalar<'a>,
    }
}

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let (header, path) = (raw.http_header("x-shopify-topic"), raw.header("path"));
    let topic = validate::topic(header, path)
        .ok_or_else(|| Failure::new(Reason::UnsupportedEvent, "neither header nor path names a topic"))?;
    let subject = match validate::subject(&topic) {
        Some(Subject::Operator) => {
            return Err(unsupported(
                raw,
                format!("'{topic}' is kept for an operator, who has to answer it"),
            )?);
        }
        Some(subject) => subject,
        None => {
            let topic: String = topic.chars().take(60).collect();
            return Err(unsupported(raw, format!("the topic '{topic}' has no event"))?);
        }
    };
    let space = space(raw)?;
    let webhook_id = raw.http_header("x-shopify-webhook-id");
    let transport = transport(raw.workspace.id.as_str(), space, webhook_id, &topic, raw.body);
    let mut reader = Reader::new(raw.received_at);
    if validate::mismatch(header, path) {
        reader.flag("topic_mismatch");
    }
    let named = |event| Delivery { event, source_event: &topic, space, transport };
    let one = |event| vec![Ok(event)];
    let items = match subject {
        Subject::Order(event) => {
            order::events(raw, named(event), &json::parse::<Order<'_>>(raw.body)?, reader)
        }
        Subject::Edit => edited(raw, named(EventName::OrderUpdated), reader),
        Subject::Refund => refunded(raw, named(EventName::OrderRefunded), reader).map(one),
        Subject::Checkout(event) => {
            checkout::events(raw, named(event), &json::parse::<Checkout<'_>>(raw.body)?, reader)
        }
        Subject::Customer(event) => {
            customer::event(raw, named(event), &json::parse::<Customer<'_>>(raw.body)?, reader).map(one)
        }
        Subject::RemovedCustomer => {
            let body = json::parse::<Customer<'_>>(raw.body)?;
            let delivery = named(EventName::CustomerDeleted);
            customer::erasure(raw, delivery, &body, "", BTreeMap::new(), reader).map(one)
        }
        Subject::Redaction => redacted(raw, named(EventName::CustomerDeleted), reader).map(one),
        Subject::Operator => Ok(Vec::new()),
    };
    let mut items = items?;
    if let Some(id) = raw.http_header("x-shopify-event-id").map(str::trim).filter(|id| !id.is_empty()) {
        // Only the delivery's own object: the customer inside it is another one in the delivery of each order.
        let own = items.iter_mut().flatten().filter(|event| event.raw_part == 0);
        own.for_each(|event| event.keys.stated = Some(stated(event, id).to_hex()));
    }
    Ok(items)
}

/// The event behind the delivery. One action of a merchant has one id in several topics and may touch
/// several resources, so the id says something only together with shop, topic and resource.
fn stated(event: &Event, id: &str) -> Mark {
    Mark::of(&[
        b"shopify",
        event.workspace.as_str().as_bytes(),
        event.source_space.as_bytes(),
        b"event",
        event.source_event.as_bytes(),
        event.entity.r#type.as_bytes(),
        event.entity.id.as_bytes(),
        id.as_bytes(),
    ])
}

/// The failure of a body that has no event; what is no JSON at all is the sender's fault whatever its topic.
fn unsupported(raw: &Raw<'_>, message: String) -> Result<Failure, Failure> {
    json::parse::<Edited<'_>>(raw.body)?;
    Ok(Failure::new(Reason::UnsupportedEvent, message))
}

/// `customers/redact`: who is to be forgotten, and the orders from which.
fn redacted(raw: &Raw<'_>, delivery: Delivery<'_>, reader: Reader) -> Result<Event, Failure> {
    let body = json::parse::<Redaction<'_>>(raw.body)?;
    let customer = body.customer.get();
    let customer = observe::required(customer, "customer")?;
    let orders = body.orders_to_redact;
    let properties = orders
        .is_present()
        .then(|| ("orders_to_redact".to_owned(), orders.json().to_owned()))
        .into_iter()
        .collect();
    customer::erasure(raw, delivery, customer, "customer.", properties, reader)
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
fn refunded(raw: &Raw<'_>, delivery: Delivery<'_>, mut reader: Reader) -> Result<Event, Failure> {
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
fn edited(raw: &Raw<'_>, delivery: Delivery<'_>, mut reader: Reader) -> Result<Vec<Item>, Failure> {
    let body = json::parse::<Edited<'_>>(raw.body)?;
    let Some(edit) = body.order_edit.get() else {
        return order::events(raw, delivery, &json::parse::<Order<'_>>(raw.body)?, reader);
    };
    let id = order::order_id(edit.order_id, "order_edit.order_id")?;
    let committed = reader.time(edit.committed_at, format_args!("order_edit.committed_at"))?;
    let at = match committed {
        Some(at) => Some(at),
        None => reader.time(edit.created_at, format_args!("order_edit.created_at"))?,
    };
    let observation = OrderObservation::at(at.unwrap_or(raw.received_at.as_event()));
    Ok(vec![Ok(bare(raw, delivery, reader, id, at, observation))])
}

/// An event of a body that is not the order.
fn bare(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    reader: Reader,
    id: String,
    at: Option<EventTime>,
    observation: OrderObservation,
) -> Event {
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
