//! Ids that are used again (D-ANA-1): where a workspace allows it, a purchase of the analytics API that comes long enough
//! after the last one with its `transaction_id` is another order.
//!
//! ```text
//! t-1 ─▶ t-1 (first order), t-1~2 (second), t-1~3 …
//! ```
//!
//! Which order a delivery means is decided by its arrival: the last one that was bought by then. So a refund is of the
//! order that its sender knows as the last, and a delivery that is read again finds the order that it found before.
//!
//! When each was bought is kept apart from the orders: one whose buyer is erased vanishes, and without it the next
//! delivery would begin the count anew and make another order of one that is there. What is kept is a mark and two
//! instants, which say nothing of anybody.

use commerce::event::Entity;
use commerce::order::links::Cluster;
use commerce::{Event, EventName, Mark, ReceivedTime, Source, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::policy::Versions;
use crate::processor::StateStage;
use crate::shelf::Orders;
use crate::tables::{BOUGHT, get, put};

/// One id names no more orders than this: what comes then is of the last one.
const MOST: u32 = 1_000;

/// When the purchases of one order arrived.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Bought {
    first: ReceivedTime,
    last: ReceivedTime,
}

impl Bought {
    fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

impl StateStage {
    /// The event of an order under the id of the order that it means; `None`: under its own.
    pub(crate) fn reused(
        &mut self,
        event: &Event,
        versions: &Versions,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Event>, Failure> {
        if !is_reused(event, versions) {
            return Ok(None);
        }
        let (mut meant, mut latest) = (1, None);
        for number in 1..=MOST {
            let of = named(event, number);
            // What was bought before the workspace used its ids again has no row yet.
            let bought = match get(ctx, BOUGHT, &row(&of))? {
                Some(bought) => Some(bought),
                None => self.bought(&of, ctx)?,
            };
            let Some(bought) = bought else { break };
            // The first one is meant also by what arrived before it was bought.
            if number == 1 || bought.first <= event.received_at {
                (meant, latest) = (number, Some(bought));
            }
        }
        let quiet = |bought: Bought| event.received_at.0.saturating_sub(bought.last.0);
        if let (EventName::OrderPlaced, Some(bought), Some(after)) =
            (event.event, latest, versions.at(event.received_at).reused_after())
            && quiet(bought) >= after
        {
            meant = (meant + 1).min(MOST);
        }
        Ok((meant > 1).then(|| named(event, meant)))
    }

    /// Keeps when an order was bought, once the event, which is under the id of the order that it means, is taken in.
    pub(crate) fn note_bought(
        &mut self,
        event: &Event,
        versions: &Versions,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        if !is_reused(event, versions) {
            return Ok(());
        }
        let Some(bought) = self.bought(event, ctx)? else { return Ok(()) };
        let row = row(event);
        let known: Option<Bought> = get(ctx, BOUGHT, &row)?;
        let all = known.map_or(bought, |known| known.and(bought));
        if known == Some(all) { Ok(()) } else { put(ctx, BOUGHT, &row, &all, &mut self.stored) }
    }

    fn bought(&mut self, of: &Event, ctx: &mut Context<'_>) -> Result<Option<Bought>, Failure> {
        let workspace: &WorkspaceId = &of.workspace;
        let cluster = Cluster::find(&Orders { ctx, buffer: &mut self.stored }, workspace, &of.entity.id)?;
        let order = cluster.order_of(of).and_then(|state| state.source(of));
        Ok(order
            .and_then(|order| Some(Bought { first: order.first_arrival()?, last: order.purchased_at()? })))
    }
}

fn is_reused(event: &Event, versions: &Versions) -> bool {
    event.source == Source::Analytics && event.payload.order.is_some() && versions.reuse_ids()
}

/// The key of what is kept of an order.
fn row(of: &Event) -> Vec<u8> {
    let mark = Mark::of(&[of.source_space.as_bytes(), of.entity.id.as_bytes()]);
    [of.workspace.as_str().as_bytes(), b":", &mark.0.to_be_bytes()].concat()
}

fn named(event: &Event, number: u32) -> Event {
    if number == 1 {
        return event.clone();
    }
    let id = format!("{}~{number}", event.entity.id);
    Event { entity: Entity { id, ..event.entity.clone() }, ..event.clone() }
}
