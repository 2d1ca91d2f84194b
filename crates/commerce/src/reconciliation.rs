//! Where two sources disagree about one order (`commerce.reconciliation.v1`): both figures, once per change of either.

use serde::{Deserialize, Serialize};

use crate::event::{Event, SCHEMA_VERSION, words};
use crate::order::{Disagreement, Matter, Said};
use crate::{Mark, Money, ReceivedTime, Source, WorkspaceId};

words! {
    /// Whether two sources disagree still.
    Standing {
        /// They do, with these figures.
        Open = "open",
        /// They don't any more; the figures are those published last.
        Resolved = "resolved",
    }
}

/// One disagreement, as of one delivery.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reconciliation {
    /// UUID of the order, the matter and the source that isn't followed: the same for each change of one disagreement.
    pub disagreement_id: String,
    /// Version of the structure.
    pub schema_version: i32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// `production`, `staging`, …
    pub environment: String,
    /// The order.
    pub order_id: String,
    /// What it is about.
    pub matter: Matter,
    /// Whether they disagree still.
    pub standing: Standing,
    /// What counts.
    pub taken: Figure,
    /// What doesn't.
    pub other: Figure,
    /// The event that brought it to light.
    pub event_id: String,
    /// Its arrival.
    pub received_at: ReceivedTime,
    /// Test traffic.
    pub qa: bool,
}

/// What one source says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The family of the source.
    pub source: Source,
    /// Its shop or system.
    pub source_space: String,
    /// A state, a currency or an amount in major units.
    pub value: String,
    /// The total, where it is about that or its currency.
    pub amount: Option<Money>,
}

impl From<&Said> for Figure {
    fn from(said: &Said) -> Self {
        Self {
            source: said.by.source,
            source_space: said.by.space.clone(),
            value: said.value.clone(),
            amount: said.amount,
        }
    }
}

impl Reconciliation {
    /// The record of a disagreement about an order, brought to light by an event.
    pub fn of(event: &Event, order: (&str, bool), standing: Standing, found: &Disagreement) -> Self {
        let (order_id, qa) = order;
        let (matter, by) = (found.matter.as_str(), &found.other.by);
        let id = [event.workspace.as_str(), order_id, matter, by.source.as_str(), &by.space];
        let id = id.map(str::as_bytes);
        Self {
            disagreement_id: Mark::of(&[b"disagreement", id[0], id[1], id[2], id[3], id[4]]).to_uuid(),
            schema_version: SCHEMA_VERSION,
            workspace: event.workspace.clone(),
            environment: event.environment.clone(),
            order_id: order_id.to_owned(),
            matter: found.matter,
            standing,
            taken: Figure::from(&found.taken),
            other: Figure::from(&found.other),
            event_id: event.event_id.clone(),
            received_at: event.received_at,
            qa,
        }
    }

    /// The records that lead from the disagreements published last to those that there are now: of each that is new,
    /// has other figures, or is gone, one.
    pub fn between(
        event: &Event,
        order: (&str, bool),
        before: &[Disagreement],
        after: &[Disagreement],
    ) -> Vec<Self> {
        let gone = before.iter().filter(|old| !after.iter().any(|new| new.is_same_as(old)));
        let new = after.iter().filter(|new| !before.contains(new));
        gone.map(|old| Self::of(event, order, Standing::Resolved, old))
            .chain(new.map(|new| Self::of(event, order, Standing::Open, new)))
            .collect()
    }

    /// The key of its record.
    pub fn key(&self) -> String {
        format!("{}:{}", self.workspace, self.order_id)
    }
}
