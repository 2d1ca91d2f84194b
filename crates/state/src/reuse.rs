//! Ids that are used again (D-ANA-1): where a workspace allows it, a purchase of the analytics API that comes long enough
//! after the last one with its `transaction_id` is another order.
//!
//! ```text
//! t-1 ─▶ t-1 (first order), t-1~2 (second), t-1~3 …
//! ```
//!
//! Which order a delivery means is decided by its arrival: the last one that was bought by then. So a refund is of the
//! order that its sender knows as the last, and a delivery that is read again finds the order that it found before.

use commerce::event::Entity;
use commerce::order::links::Cluster;
use commerce::{Event, EventName, ReceivedTime, Source, WorkspaceId};
use stream::{Context, Failure};

use crate::policy::Versions;
use crate::processor::StateStage;
use crate::shelf::Orders;

/// One id names no more orders than this: what comes then is of the last one.
const MOST: u32 = 1_000;

/// When the purchases of one order arrived.
#[derive(Clone, Copy)]
struct Bought {
    first: ReceivedTime,
    last: ReceivedTime,
}

impl StateStage {
    /// The event of an order under the id of the order that it means; `None`: under its own.
    pub(crate) fn reused(
        &mut self,
        event: &Event,
        versions: &Versions,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Event>, Failure> {
        if event.source != Source::Analytics || event.payload.order.is_none() || !versions.reuse_ids() {
            return Ok(None);
        }
        let (mut meant, mut latest) = (1, None);
        for number in 1..=MOST {
            let Some(bought) = self.bought(event, number, ctx)? else { break };
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

    fn bought(
        &mut self,
        event: &Event,
        number: u32,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Bought>, Failure> {
        let of = named(event, number);
        let workspace: &WorkspaceId = &event.workspace;
        let cluster = Cluster::find(&Orders { ctx, buffer: &mut self.stored }, workspace, &of.entity.id)?;
        let order = cluster.order_of(&of).and_then(|state| state.source(&of));
        Ok(order
            .and_then(|order| Some(Bought { first: order.first_arrival()?, last: order.purchased_at()? })))
    }
}

fn named(event: &Event, number: u32) -> Event {
    if number == 1 {
        return event.clone();
    }
    let id = format!("{}~{number}", event.entity.id);
    Event { entity: Entity { id, ..event.entity.clone() }, ..event.clone() }
}
