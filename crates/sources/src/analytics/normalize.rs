//! A stored body to its events.
//!
//! An event with several items stays one event; each item is a fact of its own only where the vocabulary names one.
//!
//! | key | from |
//! |---|---|
//! | transport | `event_id`; else `Idempotency-Key` and the place in the batch; else the place in the raw topic, so that each call counts (§5.4) |
//! | semantic of orders | type, transaction, what it says: the same purchase again is the same |
//! | semantic of a refund that nothing tells from another | its transport key: whether it is a repetition is a matter of hours (§5.5) |
//! | semantic of the others | the transport key |

use std::collections::BTreeMap;

use commerce::event::{
    Activity, Campaign, Context, Entity, Event, EventName, Item as Line, Link, Payload, Person,
};
use commerce::person::{Identifier, Kind as Identity};
use commerce::reason::Failure;
use commerce::{Currency, EventTime, Mark, Reason};

use super::body::{self, Body, Named, Tracked};
use super::properties::Properties;
use super::validate::{self, Kind};
use super::{COUNTRY, Endpoint, IDEMPOTENCY_KEY, chosen, device, fields, transaction, user_of_path};
use crate::envelope::{self, Draft};
use crate::json;
use crate::read::Reader;
use crate::{Fault, Item, Raw};

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let path = raw.header("path").unwrap_or_default();
    let endpoint = Endpoint::of(path)
        .ok_or_else(|| Failure::at(Reason::UnsupportedEvent, "path", "the path is none of this source"))?;
    if let Endpoint::Erase(user) = endpoint {
        return erasure(raw, user).map(|event| vec![Ok(event)]);
    }
    let body = Body::read(endpoint, raw.body)?;
    let events = body.events();
    if events.is_empty() {
        return Err(Failure::at(Reason::MissingField, "events", "the array is absent or empty"));
    }
    let around = Around::of(raw, endpoint == Endpoint::Batch);
    let mut items = Vec::with_capacity(events.len());
    for (place, event) in (0_i32..).zip(events) {
        if raw.is_rejected(place) {
            continue;
        }
        match (tracked(raw, &around, event, place), &body) {
            (Ok(event), _) => items.push(Ok(event)),
            (Err(failure), Body::One(_)) => return Err(failure),
            (Err(failure), Body::Many(_)) => items.push(Err(Fault { item: place, failure })),
        }
    }
    Ok(items)
}

/// What the headers say, the same for all events of a body.
pub(super) struct Around<'a> {
    is_batch: bool,
    pub(super) agent: device::Device,
    pub(super) country: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> Around<'a> {
    fn of(raw: &Raw<'a>, is_batch: bool) -> Self {
        Self {
            is_batch,
            agent: raw.http_header("user-agent").map(device::of).unwrap_or_default(),
            country: raw.header(COUNTRY),
            key: raw.http_header(IDEMPOTENCY_KEY),
        }
    }
}

/// The erasure of a user. Each is one of its own: after it the same id starts a new history.
fn erasure(raw: &Raw<'_>, user: &str) -> Result<Event, Failure> {
    let user = user_of_path(user)
        .ok_or_else(|| Failure::at(Reason::MissingField, "path", "the path names no user that can be"))?;
    let workspace = raw.workspace.id.as_str();
    let transport = of_place(raw, 0);
    let semantic = Mark::of(&[b"analytics", workspace.as_bytes(), b"erasure", &transport.0.to_le_bytes()]);
    let person =
        Person { identifiers: vec![Identifier::plain(Identity::User, user.as_str())], ..Person::default() };
    let draft = Draft {
        person: Some(person),
        ..Draft::new(
            EventName::CustomerDeleted,
            "delete_user",
            "",
            envelope::entity("person", user),
            (transport, semantic),
        )
    };
    Ok(envelope::seal(raw, draft, Reader::new(raw.received_at)))
}

/// The key of what nobody gave a key: its place in the raw topic. The arrival is part of it, because a topic that is
/// made anew counts from 0 again.
fn of_place(raw: &Raw<'_>, item: i32) -> Mark {
    Mark::of(&[
        b"analytics",
        raw.workspace.id.as_str().as_bytes(),
        b"place",
        &raw.received_at.0.to_le_bytes(),
        &raw.partition.to_le_bytes(),
        &raw.offset.to_le_bytes(),
        &item.to_le_bytes(),
    ])
}

/// What is read of every event, whatever its type.
pub(super) struct Basics {
    pub(super) kind: Kind,
    pub(super) item: i32,
    pub(super) at: Option<EventTime>,
    pub(super) currency: Currency,
    pub(super) transport: Mark,
    pub(super) person: Option<Person>,
    pub(super) user: Option<String>,
    pub(super) cart: Option<String>,
    pub(super) coupon: Option<String>,
    pub(super) campaign: Option<Campaign>,
    pub(super) context: Option<Context>,
    pub(super) backfill: Option<String>,
    pub(super) lines: Option<Vec<Line>>,
}

fn tracked(
    raw: &Raw<'_>,
    around: &Around<'_>,
    event: Option<&Tracked<'_>>,
    item: i32,
) -> Result<Event, Failure> {
    let kind = validate::event(event)?;
    let Some(event) = event else { return Err(validate::Fault::TypeMissing.into()) };
    let workspace = raw.workspace.id.as_str();
    let mut reader = Reader::new(raw.received_at);
    let mut properties = Properties::of(event);
    let mut extra = BTreeMap::new();

    let named = Named::read(event.currency);
    if named == Named::Unknown {
        reader.flag("currency_unknown");
        extra.insert("currency".to_owned(), event.currency.json().to_owned());
    }
    let currency = named.or(raw.workspace.base_currency);
    let transport = match (event.event_id.text(), around.key) {
        (Some(id), _) => chosen(workspace, "event", &id, None),
        (None, Some(key)) => chosen(workspace, "key", key, around.is_batch.then_some(item)),
        (None, None) => of_place(raw, item),
    };
    let user = body::name(&mut reader, event.user_id, "user_id");
    let cart = body::name(&mut reader, event.cart_id, "cart_id");
    // A refund is none: what it says of a campaign or a device stays a property, and the order keeps that of its purchase.
    let is_visit = kind != Kind::Refund;
    let basics = Basics {
        kind,
        item,
        at: reader.time(event.timestamp, format_args!("timestamp"))?,
        currency,
        transport,
        person: fields::person(user.as_deref(), cart.as_deref()),
        user,
        cart,
        coupon: event.coupon_code.owned(),
        campaign: is_visit.then(|| fields::campaign(event, &mut properties)).flatten(),
        context: is_visit.then(|| fields::context(event, &mut properties, around, &mut reader)).flatten(),
        backfill: properties.take_backfill(),
        lines: fields::lines(event, currency, &mut reader, &mut extra)?,
    };
    let mut draft = match kind {
        Kind::Purchase => transaction::purchase(raw, &basics, event, &mut reader)?,
        Kind::Refund => transaction::refund(raw, &basics, event, &mut properties, &mut reader)?,
        _ => activity(raw, &basics, event, &mut properties, &mut reader, &mut extra)?,
    };
    // What the sender calls by such a name stands before what was put there.
    extra.extend(properties.rest());
    draft.payload.properties = extra;
    draft.item = basics.item;
    draft.backfill = basics.backfill;
    Ok(envelope::seal(raw, draft, reader))
}

/// The semantic key of an event that is what its transport key says.
pub(super) fn of_kind(raw: &Raw<'_>, basics: &Basics) -> Mark {
    let workspace = raw.workspace.id.as_str().as_bytes();
    let (kind, transport) = (basics.kind.as_str().as_bytes(), basics.transport.0.to_le_bytes());
    Mark::of(&[b"analytics", workspace, kind, &transport])
}

/// Everything that is no order.
fn activity<'a>(
    raw: &Raw<'_>,
    basics: &Basics,
    event: &Tracked<'_>,
    properties: &mut Properties<'_>,
    reader: &mut Reader,
    extra: &mut BTreeMap<String, String>,
) -> Result<Draft<'a>, Failure> {
    let kind = basics.kind;
    let value = reader.money(event.revenue, basics.currency, format_args!("revenue"))?;
    for (amount, field) in [(event.discount, "discount"), (event.shipping, "shipping"), (event.tax, "tax")] {
        if let Some(text) = amount.text() {
            extra.insert(field.to_owned(), json::quoted(&text));
        }
    }
    let mut expected = |properties: &mut Properties<'_>, key: &'static str| {
        let found = properties.take(key);
        if found.is_none() {
            reader.missing(format_args!("properties.{key}"));
        }
        found
    };
    let mut found = Activity {
        cart_id: basics.cart.clone(),
        links: event
            .transaction_id
            .owned()
            .map(|id| Link { kind: "order".to_owned(), id })
            .into_iter()
            .collect(),
        currency: Some(basics.currency),
        value,
        items: basics.lines.clone(),
        coupon_codes: basics.coupon.iter().cloned().collect(),
        campaign: basics.campaign.clone(),
        context: basics.context.clone(),
        ..Activity::default()
    };
    match kind {
        Kind::Search => found.search_term = expected(properties, "search_term"),
        Kind::Share | Kind::Rate => {
            // A sender may list the product as other events do.
            if found.items.as_ref().is_none_or(Vec::is_empty) {
                let id = expected(properties, "item_id");
                found.items = id.map(|id| vec![Line { product_id: Some(id), ..fields::nothing() }]);
            }
            if kind == Kind::Rate {
                found.rating = expected(properties, "rating");
            }
        }
        _ => {}
    }
    let semantic = of_kind(raw, basics);
    Ok(Draft {
        occurred_at: basics.at,
        person: basics.person.clone(),
        payload: Payload { activity: Some(found), ..Payload::default() },
        ..Draft::new(kind.event(), kind.as_str(), "", entity(basics, semantic), (basics.transport, semantic))
    })
}

/// The cart or its checkout, else the person, else nothing but the event.
fn entity(basics: &Basics, semantic: Mark) -> Entity {
    match (&basics.cart, &basics.user) {
        (Some(cart), _) => {
            let is_checkout = matches!(basics.kind, Kind::BeginCheckout | Kind::AddPaymentInfo);
            envelope::entity(if is_checkout { "checkout" } else { "cart" }, cart.as_str())
        }
        (None, Some(user)) => envelope::entity("person", user.as_str()),
        (None, None) => envelope::entity("event", semantic.to_hex()),
    }
}
