//! The rows: what is kept of a fact or event, and how it is answered.

use std::collections::BTreeMap;

use commerce::event::OrderObservation;
use commerce::order::View;
use commerce::person::Kind;
use commerce::{Event, EventTime, Fact, Mark, Money, PersonId, Profile, ReceivedTime, Source};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::keys::{self, Keyed};
use crate::orders::times;

/// Stands for contact data that isn't kept.
pub type Masked = u64;

/// The mark of an address or customer id in a workspace.
pub fn mark_of(workspace: &str, value: &str) -> Masked {
    Mark::of(&[workspace.as_bytes(), b"contact", value.as_bytes()]).high()
}

/// A row as it is kept.
pub(super) trait Packed: Serialize + for<'a> Deserialize<'a> {
    fn pack(&self) -> postcard::Result<Vec<u8>> {
        postcard::to_allocvec(self)
    }

    fn unpack(bytes: &[u8]) -> postcard::Result<Self> {
        postcard::from_bytes(bytes)
    }
}

/// One version of an order: what a delivery said.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OrderRow {
    event_id: String,
    event: String,
    /// Who said it.
    pub source: Source,
    source_space: String,
    source_event: String,
    order_id: String,
    occurred_at: EventTime,
    /// When it arrived.
    pub received_at: ReceivedTime,
    /// Of the address that it named.
    pub email: Option<Masked>,
    said: OrderObservation,
    flags: Vec<String>,
    origin: String,
    qa: bool,
    /// How often it came.
    deliveries: u64,
    /// An older version than one that the same source had sent before.
    stale: bool,
    /// The key that its sender chose.
    pub(super) key: Option<Keyed>,
    /// Its key came before with another body, which stands: it says nothing of the order (D-REC-1).
    pub(super) set_aside: bool,
}

impl Packed for OrderRow {}

impl OrderRow {
    /// The row of an event that has an order.
    pub(super) fn of(event: &Event) -> Self {
        let said = event.payload.order.clone();
        Self {
            event_id: event.event_id.clone(),
            event: event.event.as_str().to_owned(),
            source: event.source,
            source_space: event.source_space.clone(),
            source_event: event.source_event.clone(),
            order_id: event.entity.id.clone(),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            email: marked(event, Kind::Email),
            said: said.unwrap_or_else(|| OrderObservation::at(event.occurred_at)),
            flags: event.flags.clone(),
            origin: event.origin.kind.clone(),
            qa: event.qa,
            deliveries: 1,
            stale: false,
            key: keys::of(event),
            set_aside: false,
        }
    }

    /// The row as it is answered, with the names that an appended row of `orders` has.
    pub fn answer(&self, workspace: &str, profile: Option<&Profile>) -> serde_json::Result<Value> {
        let mut row = serde_json::to_value(&self.said)?;
        // What one delivery says went back: each refund that it lists once.
        let first = self.said.refunds.first().map(|refund| refund.amount.currency);
        let listed = self.said.refunds.iter().filter(|refund| Some(refund.amount.currency) == first);
        let sum = listed.map(|refund| refund.amount.minor).try_fold(0_i64, i64::checked_add);
        let refund_total = first.zip(sum).map(|(currency, minor)| Money::new(minor, currency));
        if let Value::Object(row) = &mut row {
            let version = row.remove("version").unwrap_or_default();
            row.insert("updated_at".to_owned(), version);
            row.insert("refund_total".to_owned(), serde_json::to_value(refund_total)?);
            for name in ["discounts", "links", "campaign", "context", "country", "refunded_rest"] {
                row.remove(name);
            }
            let email = self.email.and_then(|mark| shown(profile?, workspace, Kind::Email, mark));
            for (name, value) in [
                ("event_id", json!(self.event_id)),
                ("event", json!(self.event)),
                ("source", json!(self.source)),
                ("source_space", json!(self.source_space)),
                ("source_event", json!(self.source_event)),
                ("order_id", json!(self.order_id)),
                ("customer_email", json!(email)),
                ("occurred_at", json!(self.occurred_at)),
                ("received_at", json!(self.received_at)),
                ("flags", json!(self.flags)),
                ("origin", json!(self.origin)),
                ("qa", json!(self.qa)),
                ("deliveries", json!(self.deliveries)),
                ("stale", json!(self.stale)),
                ("set_aside", json!(self.set_aside)),
            ] {
                row.insert(name.to_owned(), value);
            }
        }
        times(
            &mut row,
            &[
                "updated_at",
                "occurred_at",
                "received_at",
                "placed_at",
                "paid_at",
                "partially_fulfilled_at",
                "fulfilled_at",
                "cancelled_at",
            ],
        );
        for refund in row.get_mut("refunds").and_then(Value::as_array_mut).into_iter().flatten() {
            times(refund, &["at"]);
        }
        Ok(row)
    }
}

/// Rows by arrival, each version once: a delivery that came again is counted with the first. A version is stale where its
/// source had sent a newer one before.
pub(super) fn versions(rows: impl Iterator<Item = OrderRow>) -> Vec<OrderRow> {
    let mut versions: Vec<OrderRow> = Vec::new();
    let mut places: BTreeMap<(bool, String), usize> = BTreeMap::new();
    let mut newest: BTreeMap<(Source, String), EventTime> = BTreeMap::new();
    for mut row in rows {
        // The same words may stand under another key.
        let which = (row.set_aside, row.event_id.clone());
        if let Some(known) = places.get(&which).and_then(|place| versions.get_mut(*place)) {
            known.deliveries += 1;
            continue;
        }
        places.insert(which, versions.len());
        if row.set_aside {
            versions.push(row);
            continue;
        }
        let newest = newest.entry((row.source, row.source_space.clone())).or_insert(row.said.version);
        row.stale = row.said.version < *newest;
        *newest = row.said.version.max(*newest);
        versions.push(row);
    }
    versions
}

/// A payment that succeeded.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PaymentRow {
    pub(super) workspace: String,
    /// The event that said it.
    pub event_id: String,
    source: Source,
    id: String,
    /// Who paid; nobody after an erasure.
    pub person_id: Option<PersonId>,
    occurred_at: EventTime,
    received_at: ReceivedTime,
    said: commerce::event::Payment,
    flags: Vec<String>,
    qa: bool,
    /// Address and customer id, as marks.
    #[serde(skip)]
    pub(super) payer: (Option<Masked>, Option<Masked>),
}

impl Packed for PaymentRow {}

impl PaymentRow {
    pub(super) fn of(fact: &Fact<View>) -> Self {
        Self {
            workspace: fact.workspace.as_str().to_owned(),
            event_id: fact.event_id.clone(),
            source: fact.source,
            id: fact.entity_id.clone(),
            person_id: fact.person_id,
            occurred_at: fact.occurred_at,
            received_at: fact.received_at,
            said: fact.payment.clone().unwrap_or_default(),
            flags: fact.flags.clone(),
            qa: fact.qa,
            payer: (None, None),
        }
    }

    /// The row as it is answered, with the names that an appended row of `payments` has.
    pub fn answer(&self, profile: Option<&Profile>) -> serde_json::Result<Value> {
        let of = |kind, mark: Option<Masked>| shown(profile?, &self.workspace, kind, mark?);
        let (email, customer) = self.payer;
        let said = &self.said;
        let currency = said.amount.or(said.amount_due).map(|money| money.currency);
        let mut row = json!({
            "stripe_invoice_id": self.id,
            "stripe_customer_id": of(Kind::StripeCustomer, customer),
            "customer_email": of(Kind::Email, email),
            "amount_paid": said.amount,
            "amount_due": said.amount_due,
            "currency": currency,
            "subscription_id": said.subscription_id,
            "period_start": said.period_start,
            "period_end": said.period_end,
            "paid_at": said.paid_at,
            "attempt_count": said.attempt,
            "next_payment_attempt": said.next_attempt_at,
            "billing_reason": said.reason,
            "order_id": said.order_id,
            "person_id": profile.map(|profile| profile.person_id).or(self.person_id),
            "event_id": self.event_id,
            "source": self.source,
            "occurred_at": self.occurred_at,
            "received_at": self.received_at,
            "flags": self.flags,
            "qa": self.qa,
        });
        let instants =
            ["period_start", "period_end", "paid_at", "next_payment_attempt", "occurred_at", "received_at"];
        times(&mut row, &instants);
        Ok(row)
    }
}

/// Address and customer id of a payment's event, as they are kept.
pub(super) fn payer(event: &Event) -> [u8; 16] {
    let mut marks = [0; 16];
    marks[..8].copy_from_slice(&marked(event, Kind::Email).unwrap_or(0).to_be_bytes());
    marks[8..].copy_from_slice(&marked(event, Kind::StripeCustomer).unwrap_or(0).to_be_bytes());
    marks
}

/// What [`payer`] has written.
pub(super) fn read_payer(marks: &[u8]) -> (Option<Masked>, Option<Masked>) {
    let mut marks = marks.chunks_exact(8).map(|mark| {
        let mark = mark.iter().fold(0, |mark: u64, byte| (mark << 8) | u64::from(*byte));
        Some(mark).filter(|mark| *mark != 0)
    });
    (marks.next().flatten(), marks.next().flatten())
}

fn marked(event: &Event, kind: Kind) -> Option<Masked> {
    let said = event.person.as_ref()?.identifiers.iter().find(|identifier| identifier.kind == kind)?;
    Some(mark_of(event.workspace.as_str(), &said.value))
}

/// The text behind a mark, where the person has it today.
fn shown(profile: &Profile, workspace: &str, kind: Kind, mark: Masked) -> Option<String> {
    let identifiers = profile.contact.identifiers.iter();
    let mut values =
        identifiers.filter(|identifier| identifier.kind == kind).map(|identifier| &identifier.value);
    values.find(|value| mark_of(workspace, value) == mark).cloned()
}

impl Packed for Fact<View> {}

/// What is kept of a fact: what [`told`] makes its answer of.
pub(super) fn kept(mut fact: Fact<View>) -> postcard::Result<Vec<u8>> {
    fact.before = None;
    if let Some(after) = &mut fact.after {
        after.items = Vec::new();
    }
    fact.pack()
}

/// What is answered of a fact: the names of the topic, absent parts left out, of an order its figures alone.
pub(super) fn told(fact: &Fact<View>) -> serde_json::Result<Value> {
    let mut row = json!({
        "event_id": fact.event_id,
        "event": fact.event,
        "schema_version": fact.schema_version,
        "source": fact.source,
        "source_space": fact.source_space,
        "source_event": fact.source_event,
        "occurred_at": fact.occurred_at,
        "received_at": fact.received_at,
        "entity": {"type": fact.entity_type, "id": fact.entity_id},
        "person_id": fact.person_id,
        "flags": fact.flags,
        "origin": fact.origin,
        "trigger_eligible": fact.trigger_eligible,
        "qa": fact.qa,
    });
    times(&mut row, &["occurred_at", "received_at"]);
    let mut parts = Map::new();
    let mut part = |name: &str, value: serde_json::Result<Value>, instants: &[&str]| {
        let mut value = value?;
        if !value.is_null() {
            if let Value::Object(members) = &mut value {
                members.retain(|_, member| !member.is_null());
            }
            times(&mut value, instants);
            parts.insert(name.to_owned(), value);
        }
        Ok::<_, serde_json::Error>(())
    };
    let order = fact.after.as_ref().map(|view| {
        json!({
            "id": view.id,
            "financial_status": view.financial_status,
            "fulfillment_status": view.fulfillment_status,
            "counted": view.counted,
            "total": view.total,
            "refunded_total": view.refunded_total,
            "net": view.net,
            "item_count": view.item_count,
        })
    });
    let periods = ["paid_at", "period_start", "period_end", "next_attempt_at"];
    part("order", serde_json::to_value(order), &[])?;
    part("refund", serde_json::to_value(&fact.refund), &[])?;
    part("activity", serde_json::to_value(&fact.activity), &["version", "started_at", "completed_at"])?;
    part("payment", serde_json::to_value(&fact.payment), &periods)?;
    part("subscription", serde_json::to_value(&fact.subscription), &periods)?;
    part("fraud", serde_json::to_value(&fact.fraud), &[])?;
    part("from_person_id", serde_json::to_value(fact.from_person_id), &[])?;
    if !fact.properties.is_empty() {
        part("properties", serde_json::to_value(&fact.properties), &[])?;
    }
    if let Value::Object(row) = &mut row {
        row.extend(parts);
    }
    Ok(row)
}
