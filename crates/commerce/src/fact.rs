//! Facts: each business fact exactly once, person resolved, order facts with the view before and after
//! (`commerce.facts.v1`).

use serde::{Deserialize, Serialize};

use crate::event::{Event, Origin, SCHEMA_VERSION};
use crate::order::{Step, View};
use crate::{EventName, EventTime, Mark, Money, PersonId, ReceivedTime, Source, WorkspaceId};

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
    /// The order.
    pub order_id: String,
    /// Whose order it is now.
    pub person_id: Option<PersonId>,
    /// The order as published before; absent for the first fact.
    pub before: Option<V>,
    /// The order now.
    pub after: Option<V>,
    /// Of `order.refunded`.
    pub refund: Option<RefundFact>,
    /// Remarks of the event, and `placed_inferred`, `stale`.
    pub flags: Vec<String>,
    /// Live traffic, or a labelled load.
    pub origin: Origin,
    /// False: starts no automation.
    pub trigger_eligible: bool,
    /// Test traffic: in no figure.
    pub qa: bool,
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
            order_id: after.id.clone(),
            person_id: after.person_id,
            before: views.0,
            after: Some(views.1),
            refund,
            flags,
            origin: event.origin.clone(),
            trigger_eligible: event.trigger_eligible,
            qa: after.qa,
        }
    }
}
