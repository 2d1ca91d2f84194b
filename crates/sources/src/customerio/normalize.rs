//! A stored delivery to its events.
//!
//! What a semantic key is made of: an event with a business id (order, cart, checkout, the period of a subscription) is
//! the same fact when person, name, id, time and data are the same, so that a client's retry is one. A payment is guarded
//! by its entity, which is the payment and not its person. Everything else
//! without an id of the sender's is an event each time: its keys name its place in the raw topic.

use commerce::event::{Activity, Entity, Event, Payload, Person};
use commerce::person::{Identifier, Kind};
use commerce::reason::Failure;
use commerce::{EventName, Mark, Reason};

use super::call::Call;
use super::fields::{self, Fields};
use super::validate::{self, Act, Track};
use super::{METHOD, by_id, names, person};
use crate::envelope::{self, Draft};
use crate::json::Bag;
use crate::read::Reader;
use crate::{Fault, Item, Raw};

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let call = raw.header("path").and_then(Call::parse);
    let call =
        call.ok_or_else(|| Failure::new(Reason::UnsupportedEvent, "the path is none of the Track API"))?;
    let deletes = raw.header(METHOD).is_some_and(|method| method.eq_ignore_ascii_case("DELETE"));
    let acts = validate::read(&call, deletes, raw.body, raw.workspace).map_err(|fault| fault.failure())?;
    if call != Call::Batch {
        let act = acts.into_iter().next().transpose().map_err(|fault| fault.failure())?;
        let event = act.map(|act| event(raw, 0, &act)).transpose()?.flatten();
        return Ok(event.map(Ok).into_iter().collect());
    }
    let mut items = Vec::with_capacity(acts.len());
    for (place, act) in acts.into_iter().enumerate() {
        let Ok(item) = i32::try_from(place) else { break };
        // Its sender was told, and asked to send it again: it is nobody's loss.
        if raw.is_rejected(item) {
            continue;
        }
        let read = act.map_err(|fault| fault.failure()).and_then(|act| event(raw, item, &act));
        items.extend(read.map_err(|failure| Fault { item, failure }).transpose());
    }
    Ok(items)
}

fn event(raw: &Raw<'_>, item: i32, act: &Act<'_>) -> Result<Option<Event>, Failure> {
    let mut reader = Reader::new(raw.received_at);
    let transport = by_place(raw, item);
    let of_person = |event: EventName, word, who: Vec<Identifier>| {
        let person = Person { identifiers: who, ..Person::default() };
        about(raw, event, word, person, transport)
    };
    let draft = match act {
        Act::Kept => return Ok(None),
        Act::Track(track) => return tracked(raw, item, track, reader).map(Some),
        Act::Identify(identify) => {
            let person = person::of_identify(raw, &mut reader, identify);
            let occurred_at = person.attributes_at;
            Draft { occurred_at, ..about(raw, EventName::CustomerUpdated, "identify", person, transport) }
        }
        Act::Delete(who) => of_person(EventName::CustomerDeleted, "delete", who.clone()),
        Act::Suppress(who) => of_person(EventName::CustomerSuppressed, "suppress", who.clone()),
        Act::Unsuppress(who) => of_person(EventName::CustomerUnsuppressed, "unsuppress", who.clone()),
        Act::Merge(primary, secondary) => {
            let mut draft = of_person(EventName::CustomerMerged, "merge", primary.clone());
            if let Some(person) = &mut draft.person {
                person.absorbed = secondary.clone();
            }
            draft
        }
        Act::Unsubscribe(delivery, who) => {
            let mut draft = of_person(EventName::CustomerUpdated, "unsubscribe", who.clone());
            if let Some(person) = &mut draft.person {
                person.consent = person::unsubscribed();
                person.attributes.insert("unsubscribed".to_owned(), "true".to_owned());
            }
            if who.is_empty() {
                // The message would say who it was, and it was somebody else who sent it.
                reader.flag("person_unknown");
                draft.entity = envelope::entity("delivery", delivery.as_str());
            }
            draft
        }
    };
    Ok(Some(envelope::seal(raw, Draft { item, ..draft }, reader)))
}

/// A draft about a person, which is an event each time it is sent.
fn about<'a>(raw: &Raw<'_>, event: EventName, word: &'a str, person: Person, transport: Mark) -> Draft<'a> {
    let entity = of_person(raw, &person.identifiers, transport);
    let semantic = each_time(raw, event, transport);
    Draft { person: Some(person), ..Draft::new(event, word, "", entity, (transport, semantic)) }
}

fn tracked(raw: &Raw<'_>, item: i32, track: &Track<'_>, mut reader: Reader) -> Result<Event, Failure> {
    let claimed = fields::instant(&mut reader, track.timestamp, "timestamp")?;
    let id = track.id();
    let transport =
        id.as_ref().map_or_else(|| by_place(raw, item), |id| by_id(raw.workspace.id.as_str(), id));
    if id.as_ref().is_some_and(|id| !is_ulid(id)) {
        reader.flag("event_id_not_ulid");
    }
    let map = raw.workspace.customerio.as_ref().map(|settings| &settings.event_map);
    let mut meaning = names::meaning(&track.name, map);
    if track.is_view {
        (meaning.event, meaning.drift) = (EventName::CustomTracked, None);
    }
    if let Some(canonical) = meaning.drift {
        reader.flag("event_name_drift");
        reader.flag(&format!("event_name_drift:{canonical}"));
    }
    let said = read(raw, &mut reader, track, meaning.event, claimed, transport)?;
    let semantic = match said.business {
        Some(business) => {
            let content = content(&track.data, &track.who);
            let at = claimed.map_or(i64::MIN, |at| at.0).to_le_bytes();
            let event = meaning.event.as_str().as_bytes();
            let version = meaning.schema_version.to_le_bytes();
            let workspace = raw.workspace.id.as_str().as_bytes();
            Mark::of(&[b"customerio", workspace, event, &version, business.as_bytes(), &at, &content])
        }
        None => each_time(raw, meaning.event, transport),
    };
    let mut identifiers = track.who.clone();
    identifiers.extend(said.cart_id.map(|id| Identifier::plain(Kind::Cart, id)));
    let person = (!identifiers.is_empty()).then(|| Person { identifiers, ..Person::default() });
    let draft = Draft {
        schema_version: meaning.schema_version,
        occurred_at: claimed,
        person,
        payload: said.payload,
        item,
        backfill: said.backfill,
        ..Draft::new(meaning.event, &track.name, "", said.entity, (transport, semantic))
    };
    Ok(envelope::seal(raw, draft, reader))
}

/// What was read of an event's data.
struct Said {
    entity: Entity,
    payload: Payload,
    cart_id: Option<String>,
    backfill: Option<String>,
    /// The id by which a repetition is known, where there is one.
    business: Option<String>,
}

fn read(
    raw: &Raw<'_>,
    reader: &mut Reader,
    track: &Track<'_>,
    event: EventName,
    claimed: Option<commerce::EventTime>,
    transport: Mark,
) -> Result<Said, Failure> {
    let base = raw.workspace.base_currency;
    let mut fields = Fields::new(&track.data, base, claimed, reader);
    let backfill = fields.backfill();
    let mut payload = Payload::default();
    let mut entity = of_person(raw, &track.who, transport);
    let (mut cart_id, mut business) = (None, None);
    match event {
        _ if event.is_order() => {
            let order = fields::order(reader, &mut fields, event)?;
            entity = Entity { aliases: order.aliases, ..envelope::entity("order", order.id.as_str()) };
            (cart_id, business) = (order.cart_id, Some(order.id));
            payload.order = Some(order.observation);
        }
        EventName::SubscriptionRenewed
        | EventName::SubscriptionSkipped
        | EventName::SubscriptionPaused
        | EventName::SubscriptionCancelled => {
            let subscription = fields::subscription(reader, &mut fields)?;
            if let Some(id) = &subscription.id {
                entity = envelope::entity("subscription", id.as_str());
                // Without a period or a time, next month's renewal would look like a repetition of this one.
                let is_dated =
                    claimed.is_some() || subscription.period_start.or(subscription.period_end).is_some();
                business = is_dated.then(|| id.clone());
            }
            payload.subscription = Some(subscription);
        }
        EventName::PaymentSucceeded | EventName::PaymentFailed | EventName::PaymentRefunded => {
            let whose = (entity.id.as_str(), &*transport.to_hex());
            let (id, payment) = fields::payment(reader, &mut fields, event, whose)?;
            entity = envelope::entity("payment", id);
            payload.payment = Some(payment);
        }
        EventName::CustomTracked => payload.activity = fields::lines(&track.data, base, reader),
        EventName::CustomerCreated
        | EventName::CustomerUpdated
        | EventName::CustomerMerged
        | EventName::CustomerDeleted
        | EventName::CustomerSuppressed
        | EventName::CustomerUnsuppressed => {}
        _ => {
            let activity = fields::activity(reader, &mut fields, event)?;
            if let Some((kind, id)) = place_of(event, &activity) {
                let begins = matches!(event, EventName::CartCreated | EventName::CheckoutStarted);
                business = begins.then(|| id.clone());
                entity = envelope::entity(kind, id);
            }
            cart_id.clone_from(&activity.cart_id);
            payload.activity = Some(activity);
        }
    }
    payload.properties = fields.properties();
    Ok(Said { entity, payload, cart_id, backfill, business })
}

/// The checkout or cart that an activity is about; either id stands in for the other, since senders name one of them.
fn place_of(event: EventName, activity: &Activity) -> Option<(&'static str, String)> {
    let checkout = activity.checkout_id.clone().map(|id| ("checkout", id));
    let cart = activity.cart_id.clone().map(|id| ("cart", id));
    match event {
        EventName::CheckoutStarted | EventName::CheckoutUpdated | EventName::CheckoutPaymentInfoAdded => {
            checkout.or(cart).map(|(_, id)| ("checkout", id))
        }
        EventName::CartCreated
        | EventName::CartViewed
        | EventName::CartItemAdded
        | EventName::CartItemRemoved => cart.or(checkout).map(|(_, id)| ("cart", id)),
        _ => checkout.or(cart),
    }
}

/// The person as an entity: by the id of the workspace, else by a mark, since an entity shows no personal data.
fn of_person(raw: &Raw<'_>, identifiers: &[Identifier], transport: Mark) -> Entity {
    let Some(first) = identifiers.iter().min() else { return envelope::entity("event", transport.to_hex()) };
    if first.kind == Kind::User && first.space.is_empty() {
        return envelope::entity("person", first.value.as_str());
    }
    let (workspace, kind) = (raw.workspace.id.as_str().as_bytes(), first.kind.as_str().as_bytes());
    let mark = Mark::of(&[b"person", workspace, kind, first.space.as_bytes(), first.value.as_bytes()]);
    envelope::entity("person", mark.to_hex())
}

fn by_place(raw: &Raw<'_>, item: i32) -> Mark {
    let (partition, offset) = (raw.partition.to_le_bytes(), raw.offset.to_le_bytes());
    let workspace = raw.workspace.id.as_str().as_bytes();
    Mark::of(&[b"customerio", workspace, b"place", &partition, &offset, &item.to_le_bytes()])
}

fn each_time(raw: &Raw<'_>, event: EventName, transport: Mark) -> Mark {
    let workspace = raw.workspace.id.as_str().as_bytes();
    Mark::of(&[b"customerio", workspace, event.as_str().as_bytes(), b"each", transport.to_hex().as_bytes()])
}

/// Data and person as bytes, whatever the order of the keys.
fn content(data: &Bag<'_>, who: &[Identifier]) -> Vec<u8> {
    let mut content = Vec::new();
    let mut add = |text: &str| {
        content.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        content.extend_from_slice(text.as_bytes());
    };
    for (name, value) in data.rest(&[]) {
        add(&name);
        add(&value);
    }
    // A phone counts as nobody: what it resolves to depends on settings and on tables that change.
    for identifier in who.iter().filter(|identifier| identifier.kind != Kind::Phone) {
        add(identifier.kind.as_str());
        add(&identifier.space);
        add(&identifier.value);
    }
    content
}

/// 26 characters of Crockford's base 32, of which the first is at most 7.
fn is_ulid(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_digit() || b.is_ascii_alphabetic() && !b"ILOUilou".contains(&b);
    text.len() == 26 && text.bytes().all(known) && matches!(text.as_bytes().first(), Some(b'0'..=b'7'))
}
