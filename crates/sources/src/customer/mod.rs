//! Customers, as bodies of their own and inside an order or checkout, to events about a person.
//!
//! The customer inside a purchase gives an event of its own, behind that of the purchase: what the shop reports of
//! a person holds whatever becomes of the order, and an order without it stays the one event that it is.

pub(crate) mod consent;

use commerce::event::{Entity, Event, EventName, Person};
use commerce::person::{Identifier, representative};
use commerce::reason::Failure;
use commerce::{EventTime, Mark, Reason, Source};

use crate::Raw;
use crate::envelope::{self, Draft};
use crate::order::body::{Address, Customer};
use crate::order::person::Named;
use crate::order::{Delivery, content, observe, person};
use crate::read::{self, Reader};

/// What is known of the purchase that a customer stands in.
pub(crate) struct Around<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// Its version, as far as the source says: what it reports of the customer holds as of then.
    pub(crate) version: Option<EventTime>,
    /// A test says nothing of anybody.
    pub(crate) test: bool,
}

/// The event of the customer inside a purchase: `None` unless the customer object carries totals, consent or
/// attributes, and somebody is named by whom they can be kept. `person` is the person of the purchase, so that both
/// events are about the same one.
pub(crate) fn embedded(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    around: &Around<'_>,
    person: Option<&Person>,
    customer: Option<&Customer<'_>>,
) -> Option<Event> {
    let customer = customer.filter(|customer| reports(customer))?;
    let named = person.and_then(|person| Some((person, representative(&person.identifiers)?)));
    let (person, representative) = named?;
    let mut reader = Reader::new(raw.received_at);
    let mut time = |value, field: &str| {
        reader.time(value, format_args!("{field}")).unwrap_or_else(|_| {
            reader.flag(&format!("bad_time:{field}"));
            None
        })
    };
    let created_at = time(customer.created_at, "customer.created_at");
    let updated_at = time(customer.updated_at, "customer.updated_at").or(around.version);
    let mut found = Person {
        address: customer.default_address.get().and_then(person::address),
        created_at,
        consent: consent::of_customer(&mut reader, customer, updated_at, "customer."),
        tags: observe::tags(customer.tags),
        ..person.clone()
    };
    date_totals(&mut found, around.version.unwrap_or(raw.received_at.as_event()));
    let entity = entity(read::loose_id(customer.id), representative);
    let test = around.test && raw.workspace.is_production();
    let semantic = Mark::of(&[
        raw.source.as_str().as_bytes(),
        raw.workspace.id.as_str().as_bytes(),
        delivery.space.as_bytes(),
        b"customer in",
        around.id.as_bytes(),
        said(around.version).as_slice(),
        &content::of_person(&found, raw.received_at, test),
    ]);
    let keys = (delivery.transport, semantic);
    let draft = Draft {
        occurred_at: around.version,
        person: Some(found),
        part: 1,
        test: around.test,
        ..Draft::new(EventName::CustomerUpdated, delivery.source_event, delivery.space, entity, keys)
    };
    Some(envelope::seal(raw, draft, reader))
}

/// True when a customer object says more than who it is.
fn reports(customer: &Customer<'_>) -> bool {
    [customer.orders_count, customer.total_spent, customer.tags, customer.created_at]
        .into_iter()
        .any(|value| value.is_present())
        || consent::is_there(customer)
}

/// Dates the totals that a source reports: the newest report counts (R11.1).
pub(crate) fn date_totals(person: &mut Person, at: EventTime) {
    if person.reported_orders_count.is_some() || person.reported_total_spent.is_some() {
        person.reported_at = Some(at);
    }
}

/// Reads a customer that is a body of its own.
pub(crate) fn event(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    customer: &Customer<'_>,
    mut reader: Reader,
) -> Result<Event, Failure> {
    let id = observe::required(read::id(customer.id, format_args!("id"))?, "id")?;
    let created = reader.time(customer.created_at, format_args!("created_at"))?;
    let updated = reader.time(customer.updated_at, format_args!("updated_at"))?;
    let occurred_at = match (delivery.event, raw.source) {
        (EventName::CustomerCreated, Source::Shopify) => created.or(updated),
        (EventName::CustomerCreated, _) => Some(observe::required(created, "created_at")?),
        (_, Source::Shopify) => updated.or(created),
        _ => Some(observe::required(updated, "updated_at")?),
    };
    if raw.source != Source::Shopify && !customer.email.is_present() && !customer.phone.is_present() {
        return Err(Failure::at(Reason::MissingField, "email", "email or phone is required"));
    }
    let version = updated.or(created);
    let named = named(customer);
    let mut found = person::identify(&mut reader, raw, delivery.space, &named, "id")?;
    found.address = named.addresses.into_iter().flatten().find_map(person::address);
    found.created_at = created;
    found.tags = observe::tags(customer.tags);
    found.consent = consent::of_customer(&mut reader, customer, version, "");
    found.reported_orders_count = read::count(customer.orders_count, format_args!("orders_count"))?;
    if customer.total_spent.is_present() {
        let currency = match read::currency(customer.currency, format_args!("currency"))? {
            Some(currency) => currency,
            None => {
                reader.flag("currency_assumed");
                raw.workspace.base_currency
            }
        };
        found.reported_total_spent =
            reader.money(customer.total_spent, currency, format_args!("total_spent"))?;
    }
    date_totals(&mut found, version.unwrap_or(raw.received_at.as_event()));
    let semantic = Mark::of(&[
        raw.source.as_str().as_bytes(),
        raw.workspace.id.as_str().as_bytes(),
        delivery.space.as_bytes(),
        delivery.source_event.as_bytes(),
        b"customer",
        id.as_bytes(),
        said(occurred_at).as_slice(),
        said(version).as_slice(),
        &content::of_person(&found, raw.received_at, false),
    ]);
    let mut entity = envelope::entity("person", id);
    entity.aliases.extend(gid(customer));
    let keys = (delivery.transport, semantic);
    let draft = Draft {
        occurred_at,
        person: Some(found),
        ..Draft::new(delivery.event, delivery.source_event, delivery.space, entity, keys)
    };
    Ok(envelope::seal(raw, draft, reader))
}

/// The erasure of a customer. Nothing of what is to be forgotten is in it but the identifiers; `properties` are those
/// of the request. It holds as of its arrival: no later delivery of what was known before may undo it.
///
/// The same request again has the same key, and another request of the same customer another one: in between the
/// customer may have come back.
pub(crate) fn erasure(
    raw: &Raw<'_>,
    delivery: Delivery<'_>,
    customer: &Customer<'_>,
    path: &str,
    properties: std::collections::BTreeMap<String, String>,
    mut reader: Reader,
) -> Result<Event, Failure> {
    let id_path = format!("{path}id");
    let found = person::identify(&mut reader, raw, delivery.space, &named(customer), &id_path)?;
    let Some(representative) = representative(&found.identifiers) else {
        return Err(Failure::at(Reason::MissingField, id_path, "nobody is named"));
    };
    let entity = entity(read::loose_id(customer.id), representative);
    let semantic = Mark::of(&[
        raw.source.as_str().as_bytes(),
        raw.workspace.id.as_str().as_bytes(),
        delivery.space.as_bytes(),
        delivery.source_event.as_bytes(),
        b"erasure",
        entity.id.as_bytes(),
        delivery.transport.to_hex().as_bytes(),
    ]);
    let keys = (delivery.transport, semantic);
    let mut draft = Draft {
        person: Some(Person { identifiers: found.identifiers, ..Person::default() }),
        ..Draft::new(delivery.event, delivery.source_event, delivery.space, entity, keys)
    };
    draft.payload.properties = properties;
    Ok(envelope::seal(raw, draft, reader))
}

/// What a customer's own body names; the address that it calls its default comes first.
fn named<'b, 'a>(customer: &'b Customer<'a>) -> Named<'b, 'a> {
    let absent = Default::default();
    let of_list = || customer.addresses.objects().map(|(_, address)| address);
    let default = of_list().find(|address: &&Address<'_>| address.default.is_true());
    Named {
        emails: [customer.email, absent, absent],
        phones: [customer.phone, absent],
        customer: Some(customer),
        addresses: [customer.default_address.get(), default, of_list().next()],
    }
}

/// The person as the thing that an event is about: the source's id, else a mark of what stands for them, since keys
/// of topics carry no e-mail.
fn entity(id: Option<String>, representative: &Identifier) -> Entity {
    let mark = || {
        let Identifier { kind, space, value } = representative;
        Mark::of(&[b"person", kind.as_str().as_bytes(), space.as_bytes(), value.as_bytes()]).to_hex()
    };
    envelope::entity("person", id.unwrap_or_else(mark))
}

fn gid(customer: &Customer<'_>) -> Option<String> {
    let gid = customer.admin_graphql_api_id.text()?;
    (gid.starts_with("gid://") && gid.len() <= commerce::id::LONGEST_ID).then(|| gid.into_owned())
}

fn said(at: Option<EventTime>) -> [u8; 8] {
    at.map_or(i64::MIN, |at| at.0).to_le_bytes()
}
