//! Time that passes in a workspace where nothing arrives.
//!
//! The stage asks itself what is due; where something is that no event has brought about, it writes a tick to the events,
//! which comes round like any other of them. So the passage of time is part of the input, and a replay has it at the same
//! places.

use commerce::{Event, Outcome, ReceivedTime, WorkspaceId, tick, time};
use service::stage::encode_error;
use stream::{Context, Failure};

use crate::processor::StateStage;
use crate::{EVENTS, audience, timers};

/// As many people fall due per tick at most. The rest is due at the next one.
const REVIEWED_AT_ONCE: usize = 1_000;
/// As many timers do: what a cart's says may be large, and a tick is one record of one transaction.
const FIRED_AT_ONCE: usize = 100;
/// A tick that hasn't come round for as long is written once more: its transaction may have been aborted, and nothing
/// else would ever arrive. Until then it waits behind what is to be processed, and a second one would say the same.
const AGAIN: i64 = 600 * time::SECOND;

impl StateStage {
    /// When the first thing is due, in any workspace.
    pub(crate) fn first_due(&self, ctx: &Context<'_>) -> Result<Option<i64>, Failure> {
        let mut first = None;
        for workspace in self.tenants.keys() {
            first = first.into_iter().chain(self.due_in(workspace, ctx)?).min();
        }
        Ok(first.map(|at| at.0))
    }

    /// When a tick is due in a workspace: with the first thing that is, but for one that is on its way already.
    fn due_in(&self, workspace: &WorkspaceId, ctx: &Context<'_>) -> Result<Option<ReceivedTime>, Failure> {
        let timer = timers::first(ctx, workspace)?;
        let review = audience::first_due(ctx, workspace).map(|at| ReceivedTime(at.0));
        let Some(first) = timer.into_iter().chain(review).min() else { return Ok(None) };
        let Some(last) = self.ticks.get(workspace) else { return Ok(Some(first)) };
        // It has come round, or something later has, as soon as the stream's time is there.
        let is_on_its_way = timers::now(ctx, workspace)? < *last;
        let again = ReceivedTime(last.0.saturating_add(AGAIN));
        Ok(Some(if is_on_its_way { first.max(again) } else { first }))
    }

    /// Writes a tick for each workspace where something is due by now.
    pub(crate) fn tick(&mut self, now: ReceivedTime, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let tenants: Vec<_> = self.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.clone())).collect();
        for (workspace, tenant) in tenants {
            if self.due_in(&workspace, ctx)?.is_none_or(|at| at > now) {
                continue;
            }
            let event = tick::tick(&workspace, &tenant.environment, now);
            self.value.clear();
            self.events.encode(&event, &mut self.value).map_err(|e| encode_error(&e))?;
            let key = format!("{workspace}:_tick");
            ctx.emit(EVENTS, Some(ctx.partition()), key.as_bytes(), Some(&self.value))?;
            self.ticks.insert(workspace, now);
        }
        Ok(())
    }

    /// Takes a tick in.
    pub(crate) fn ticked(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Outcome, Failure> {
        if self.tenant(&event.workspace, ctx)?.is_none() {
            return Ok(Outcome::Filtered(commerce::Reason::UnknownWorkspace));
        }
        self.pass_time(event, FIRED_AT_ONCE, ctx)?;
        self.review(event, REVIEWED_AT_ONCE, ctx)?;
        Ok(Outcome::Published)
    }
}
