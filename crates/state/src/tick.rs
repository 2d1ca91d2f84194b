//! Time that passes in a workspace where nothing arrives.
//!
//! The stage asks itself what is due; where something is that no event has brought about, it writes a tick to the events,
//! which comes round like any other of them. So the passage of time is part of the input, and a replay has it at the same
//! places.

use commerce::{Event, Outcome, ReceivedTime, tick};
use service::stage::encode_error;
use stream::{Context, Failure};

use crate::processor::StateStage;
use crate::{EVENTS, audience, timers};

/// As many people fall due per tick at most. The rest is due at the next one.
const REVIEWED_AT_ONCE: usize = 1_000;
/// As many timers do: what a cart's says may be large, and a tick is one record of one transaction.
const FIRED_AT_ONCE: usize = 100;

impl StateStage {
    /// When the first thing is due, in any workspace.
    pub(crate) fn first_due(&self, ctx: &Context<'_>) -> Result<Option<i64>, Failure> {
        let mut first = None;
        for workspace in self.tenants.keys() {
            let timer = timers::first(ctx, workspace)?.map(|at| at.0);
            let review = audience::first_due(ctx, workspace).map(|at| at.0);
            first = [first, timer, review].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// Writes a tick for each workspace where something is due by now.
    pub(crate) fn tick(&mut self, now: ReceivedTime, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let tenants: Vec<_> = self.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.clone())).collect();
        for (workspace, tenant) in tenants {
            let timer = timers::first(ctx, &workspace)?;
            let review = audience::first_due(ctx, &workspace).map(|at| ReceivedTime(at.0));
            if timer.into_iter().chain(review).all(|at| at > now) {
                continue;
            }
            let event = tick::tick(&workspace, &tenant.environment, now);
            self.value.clear();
            self.events.encode(&event, &mut self.value).map_err(|e| encode_error(&e))?;
            let key = format!("{workspace}:_tick");
            ctx.emit(EVENTS, Some(ctx.partition()), key.as_bytes(), Some(&self.value))?;
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
