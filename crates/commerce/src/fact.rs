//! Facts: each business fact exactly once, person resolved, order facts with the view before and after
//! (`commerce.facts.v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Activity, Event, Fraud, Item, Origin, Payload, Payment, SCHEMA_VERSION, Subscription};
use crate::order::{Step, View};
use crate::{EventName, EventTime, Mark, Money, PersonId, ReceivedTime, Source, WorkspaceId};

/// Flag of an order fact: whose order it was has been erased. Of a `customer.separated`: the handle was erased.
pub const PERSON_ERASED: &str = "person_erased";

/// One fact. The chain of an order's facts is gapless: each `before` is the `after` of the one before it.
///
/// `V` is the view, or what stands for it where it is written in some other form.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fact<V = View> {
    /// UUID derived from what the fact is, so that a replay gives the same id.
    pub event_id: String,
    /// What happened.
    pub event: EventName,
    /// Version of the structure.
    pub schema_version: i32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// `production`, `staging`, …
    pub environment: String,
    /// The source whose delivery brought it to light.
    pub source: Source,
    /// That source's shop or system.
    pub source_space: String,
    /// That source's own name of the event.
    pub source_event: String,
    /// When it happened.
    pub occurred_at: EventTime,
    /// Arrival of the delivery that brought it to light.
    pub received_at: ReceivedTime,
    /// What it is about: `order`, `checkout`, `person`, …
    #[serde(default)]
    pub entity_type: String,
    /// Its id; of an order the one by which it was seen first.
    #[serde(default)]
    pub entity_id: String,
    /// Of an order fact: the order.
    pub order_id: Option<String>,
    /// Whom it is about; of an order fact, whose order it is now.
    pub person_id: Option<PersonId>,
    /// The order as published before; absent for the first fact.
    pub before: Option<V>,
    /// The order now.
    pub after: Option<V>,
    /// Of `order.refunded`.
    pub refund: Option<RefundFact>,
    /// Of a fact about a cart, checkout, product or search.
    pub activity: Option<Activity>,
    /// The event that it is a part of: the facts of the several items of one event share it.
    pub group: Option<String>,
    /// Of a fact about a payment.
    pub payment: Option<Payment>,
    /// Of a fact about a subscription.
    pub subscription: Option<Subscription>,
    /// What else the tracked event carried, by name, each value as JSON text.
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Remarks of the event, and `placed_inferred`, `stale`.
    pub flags: Vec<String>,
    /// Live traffic, or a labelled load.
    pub origin: Origin,
    /// False: starts no automation.
    pub trigger_eligible: bool,
    /// Test traffic: in no figure.
    pub qa: bool,
    /// The verdict of the fraud rules, where one matched.
    pub fraud: Option<Fraud>,
    /// Of `customer.merged`: the id under which the person was known before. What was said of it is said of `person_id`
    /// now. Of `customer.separated`: the person whose handles they were until now, who stays somebody else.
    pub from_person_id: Option<PersonId>,
}

/// What an `order.refunded` says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RefundFact {
    /// The source's id of the refund.
    pub id: String,
    /// This refund, cut where the order's refunds would exceed its total.
    pub amount: Money,
    /// All refunds so far.
    pub refunded_total: Option<Money>,
    /// True when nothing of the total is left.
    pub full: bool,
}

impl<V> Fact<V> {
    /// The fact of one step to the view `after`; `views` are what is written for the order before and after it.
    pub fn of_step(event: &Event, step: &Step, after: &View, views: (Option<V>, V)) -> Self {
        let refund = step.refund.as_ref().and_then(|id| {
            Some(RefundFact {
                id: id.clone(),
                amount: *after.refunds.get(id)?,
                refunded_total: after.refunded_total,
                full: after.net.is_some_and(|net| net.minor <= 0),
            })
        });
        let mut flags = event.flags.clone();
        if step.name == EventName::OrderPlaced && event.event != EventName::OrderPlaced {
            flags.push("placed_inferred".to_owned());
        }
        // A named fact happens once per order, an update once per version.
        let which = match step.name {
            EventName::OrderRefunded => step.refund.as_deref().unwrap_or_default(),
            EventName::OrderUpdated => &event.keys.semantic,
            _ => "",
        };
        let id = Mark::of(&[
            b"fact",
            event.workspace.as_str().as_bytes(),
            after.id.as_bytes(),
            event.source_space.as_bytes(),
            step.name.as_str().as_bytes(),
            which.as_bytes(),
        ]);
        Fact {
            event_id: id.to_uuid(),
            event: step.name,
            schema_version: SCHEMA_VERSION,
            workspace: event.workspace.clone(),
            environment: event.environment.clone(),
            source: event.source,
            source_space: event.source_space.clone(),
            source_event: event.source_event.clone(),
            occurred_at: step.at.unwrap_or(event.occurred_at),
            received_at: event.received_at,
            entity_type: "order".to_owned(),
            entity_id: after.id.clone(),
            order_id: Some(after.id.clone()),
            person_id: after.person_id,
            before: views.0,
            after: Some(views.1),
            refund,
            activity: None,
            group: None,
            payment: None,
            subscription: None,
            properties: BTreeMap::new(),
            flags,
            origin: event.origin.clone(),
            trigger_eligible: event.trigger_eligible,
            qa: after.qa,
            fraud: event.fraud.clone(),
            from_person_id: None,
        }
    }

    /// A fact about a person that an event brought to light.
    pub fn about(event: &Event, name: EventName, person: PersonId) -> Self {
        let bare = Event { payload: Payload::default(), ..event.clone() };
        let fact = Self::part_of(&bare, Some(person), (0, 1));
        Fact { event: name, entity_type: "person".to_owned(), entity_id: person.to_string(), ..fact }
    }

    /// The facts of an event that no state is joined from: one, or one per item where the vocabulary names an
    /// item. `person` is who it is about.
    pub fn of_event(event: &Event, person: Option<PersonId>) -> Vec<Self> {
        let items = event.payload.activity.as_ref().and_then(|activity| activity.items.as_deref());
        let parts = match items {
            Some(items) if event.event.names_an_item() => items.len().max(1),
            _ => 1,
        };
        (0..parts).map(|part| Self::part_of(event, person, (part, parts))).collect()
    }

    fn part_of(event: &Event, person: Option<PersonId>, (part, parts): (usize, usize)) -> Self {
        let activity = event.payload.activity.as_ref().map(|activity| {
            let one = |items: &Vec<Item>| items.get(part).cloned().into_iter().collect();
            let items = if parts > 1 { activity.items.as_ref().map(one) } else { activity.items.clone() };
            Activity { items, ..activity.clone() }
        });
        let event_id = match part {
            0 => event.event_id.clone(),
            part => Mark::of(&[event.event_id.as_bytes(), part.to_string().as_bytes()]).to_uuid(),
        };
        Fact {
            event_id,
            event: event.event,
            schema_version: event.schema_version,
            workspace: event.workspace.clone(),
            environment: event.environment.clone(),
            source: event.source,
            source_space: event.source_space.clone(),
            source_event: event.source_event.clone(),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            entity_type: event.entity.r#type.clone(),
            entity_id: event.entity.id.clone(),
            order_id: None,
            person_id: person,
            before: None,
            after: None,
            refund: None,
            activity,
            group: (parts > 1).then(|| event.event_id.clone()),
            payment: event.payload.payment.clone(),
            subscription: event.payload.subscription.clone(),
            properties: event.payload.properties.clone(),
            flags: event.flags.clone(),
            origin: event.origin.clone(),
            trigger_eligible: event.trigger_eligible,
            qa: event.qa,
            fraud: event.fraud.clone(),
            from_person_id: None,
        }
    }
}
