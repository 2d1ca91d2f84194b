//! The order body that Shopify and the custom backend share, to the canonical event.
//!
//! ```text
//! body -> person  (who)
//!      -> observe (what it says and proves) -> refund (what went back), discount (what was taken off)
//!      -> customer (what it reports of the customer inside it: an event of its own)
//!      -> content (what makes a repetition one)
//! ```

pub(crate) mod body;
pub(crate) mod content;
mod discount;
pub(crate) mod observe;
pub(crate) mod person;
pub(crate) mod refund;

use commerce::event::{Channel, Entity, Event, EventName, OrderObservation, Payload, Person};
use commerce::reason::Failure;
use commerce::{EventTime, Mark, Reason, Source};

use crate::customer::{self, consent};
use crate::envelope::{self, Draft};
use crate::json::Scalar;
use crate::read::{self, Reader};
use crate::{Item, Raw};
use body::Order;

/// What the delivery around a body says.
#[derive(Clone, Copy)]
pub(crate) struct Delivery<'a> {
    /// What its topic or event name means.
    pub(crate) event: EventName,
    /// The source's own word for it.
    pub(crate) source_event: &'a str,
    /// The shop or system that ids belong to.
    pub(crate) space: &'a str,
    /// The transport key.
    pub(crate) transport: Mark,
}

/// Reads an order into its event, and into that of the customer inside it.
pub(crate) fn events(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    order: &Order<'_>,
    mut reader: Reader,
) -> Result<Vec<Item>, Failure> {
    let id = order_id(order.id, "id")?;
    let currency = observe::required(read::currency(order.currency, format_args!("currency"))?, "currency")?;
    let times = observe::Times::read(&mut reader, raw.source, order)?;
    if raw.source == Source::Shopify {
        observe::required(times.created, "created_at")?;
    } else {
        observe::flag_expected(&mut reader, order);
    }
    let observation = observe::observe(&mut reader, raw.source, delivery.event, order, &times, currency)?;
    observe::required(observation.total, "total_price")?;
    let mut person = person::of_order(&mut reader, raw, delivery.space, order, currency)?;
    let test = order.test.is_true();
    let around = customer::Around { id: &id, version: times.version(), test };
    let customer = customer::embedded(raw, delivery, &around, person.as_ref(), order.customer.get());
    if let Some(person) = &mut person {
        customer::date_totals(person, observation.version);
        if order.buyer_accepts_marketing.is_true() {
            let said = customer.as_ref().and_then(|customer| customer.person.as_ref());
            let at = times.created.or(times.version());
            consent::of_buyer(person, said, Channel::Email, at);
        }
    }
    let parts = Parts {
        aliases: aliases(order, &id),
        id,
        occurred_at: times.of_fact(raw.source, delivery.event),
        version: times.version(),
        person,
        observation,
        test,
    };
    let mut items = Vec::with_capacity(1 + usize::from(customer.is_some()));
    items.push(Ok(assemble(raw, delivery, parts, reader)));
    items.extend(customer.map(Ok));
    Ok(items)
}

/// What an event is made of.
pub(crate) struct Parts {
    pub(crate) id: String,
    pub(crate) aliases: Vec<String>,
    /// When it happened, as far as the source says.
    pub(crate) occurred_at: Option<EventTime>,
    /// The version in the semantic key; only what the source says, never the clock.
    pub(crate) version: Option<EventTime>,
    pub(crate) person: Option<Person>,
    pub(crate) observation: OrderObservation,
    pub(crate) test: bool,
}

/// Makes the event of what was read.
pub(crate) fn assemble(raw: &Raw<'_>, delivery: Delivery<'_>, parts: Parts, reader: Reader) -> Event {
    envelope::seal(raw, draft(raw, delivery, parts), reader)
}

/// Makes the draft of what was read, for a delivery that has more to say than an order: its place in a batch, a label.
pub(crate) fn draft<'a>(raw: &Raw<'_>, delivery: Delivery<'a>, parts: Parts) -> Draft<'a> {
    let test = parts.test && raw.workspace.is_production();
    let content = content::of(&parts.observation, parts.person.as_ref(), raw.received_at, test);
    let said = |at: Option<EventTime>| at.map_or(i64::MIN, |at| at.0).to_le_bytes();
    let semantic = Mark::of(&[
        raw.source.as_str().as_bytes(),
        raw.workspace.id.as_str().as_bytes(),
        delivery.space.as_bytes(),
        delivery.source_event.as_bytes(),
        parts.id.as_bytes(),
        said(parts.occurred_at).as_slice(),
        said(parts.version).as_slice(),
        &content,
    ]);
    let entity = Entity { r#type: "order".to_owned(), id: parts.id, aliases: parts.aliases };
    let keys = (delivery.transport, semantic);
    Draft {
        occurred_at: parts.occurred_at,
        person: parts.person,
        payload: Payload { order: Some(parts.observation), ..Payload::default() },
        test: parts.test,
        ..Draft::new(delivery.event, delivery.source_event, delivery.space, entity, keys)
    }
}

/// The id of an order; its absence has a reason of its own.
pub(crate) fn order_id(value: Scalar<'_>, field: &str) -> Result<String, Failure> {
    read::id(value, format_args!("{field}"))?
        .ok_or_else(|| Failure::at(Reason::MissingOrderId, field, "the order has no id"))
}

/// Other names of the order: `number:1001` for what a person sees, and the id as Shopify's other API writes it.
fn aliases(order: &Order<'_>, id: &str) -> Vec<String> {
    let mut aliases = Vec::new();
    let mut add = |alias: String| {
        if alias != id && alias.len() <= commerce::id::LONGEST_ID && !aliases.contains(&alias) {
            aliases.push(alias);
        }
    };
    for value in [order.name, order.order_number] {
        if let Some(number) = value.text() {
            let number = number.trim_start_matches('#');
            if !number.is_empty() {
                add(format!("number:{number}"));
            }
        }
    }
    for value in [order.id, order.admin_graphql_api_id] {
        if let Some(gid) = value.text().filter(|text| text.starts_with("gid://")) {
            add(gid.into_owned());
        }
    }
    aliases
}
