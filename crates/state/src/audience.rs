//! Who is in which audience: kept per person, asked again when their orders change and when time may have changed it.
//!
//! The clock is the stage's own ([`crate::timers`]), in whole minutes.

use commerce::audience::Membership;
use commerce::{Event, EventTime, PersonId, WorkspaceId, time};
use stream::{Context, Failure};

use crate::processor::StateStage;
use crate::tables::{self, DUE, MEMBER, get, put};
use crate::timers;

const MINUTE: i64 = 60 * time::SECOND;
/// As many people are asked about again per event at most, so that a clock that leaps holds nobody up.
const AT_ONCE: usize = 50;

impl StateStage {
    /// Has those asked about again whose time has come.
    pub(crate) fn review(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let workspace = &event.workspace;
        let now = clock(ctx, workspace)?;
        let prefix = tables::due(workspace.as_str(), None);
        for _ in 0..AT_ONCE {
            let Some((entry, _)) = ctx.first(DUE, &prefix) else { break };
            let Some((_, person)) = tables::read_due(&prefix, &entry).filter(|(at, _)| *at <= now) else {
                break;
            };
            ctx.remove(DUE, &entry)?;
            // The change has them published anew, and what they are in is worked out then.
            let mut membership: Membership = get(ctx, MEMBER, person)?.unwrap_or_default();
            membership.until = None;
            put(ctx, MEMBER, person, &membership, &mut self.stored)?;
        }
        Ok(())
    }

    /// Keeps which audiences a person is in; `None`: there is no such person any more.
    ///
    /// What they entered and left is [`Membership::since`]: the signals `audience.entered` and `.exited` belong here.
    pub(crate) fn enlist(
        &mut self,
        ctx: &mut Context<'_>,
        (workspace, person): (&WorkspaceId, PersonId),
        now: Option<&Membership>,
    ) -> Result<(), Failure> {
        let key = tables::person(workspace.as_str(), person);
        let before: Option<Membership> = get(ctx, MEMBER, &key)?;
        if before.as_ref() == now {
            return Ok(());
        }
        if let Some(until) = before.and_then(|before| before.until) {
            ctx.remove(DUE, &tables::due(workspace.as_str(), Some((until, &key))))?;
        }
        let Some(now) = now else { return ctx.remove(MEMBER, &key) };
        if let Some(until) = now.until {
            ctx.put(DUE, &tables::due(workspace.as_str(), Some((until, &key))), &[])?;
        }
        put(ctx, MEMBER, &key, now, &mut self.stored)
    }
}

/// The clock of a workspace.
pub(crate) fn clock(ctx: &Context<'_>, workspace: &WorkspaceId) -> Result<EventTime, Failure> {
    let now = timers::now(ctx, workspace)?.0.max(0);
    Ok(EventTime(now.div_euclid(MINUTE) * MINUTE))
}
