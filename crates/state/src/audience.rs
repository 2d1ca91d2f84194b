//! Who is in which audience: kept per person, asked again when their orders change and when time may have changed it.
//!
//! The clock is the stage's own ([`crate::timers`]), in whole minutes.

use std::collections::BTreeSet;

use commerce::audience::{Audience, Membership};
use commerce::{Event, EventTime, PersonId, WorkspaceId, time};
use stream::{Context, Failure};

use crate::processor::StateStage;
use crate::tables::{self, DUE, MEMBER, put};
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
            let mut membership = kept(ctx, person)?.unwrap_or_default();
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
        let before = kept(ctx, &key)?;
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

/// Which audiences a person was in when they were last asked about. What was kept before workspaces had audiences of their
/// own ends without them.
fn kept(ctx: &Context<'_>, person: &[u8]) -> Result<Option<Membership>, Failure> {
    let read = |stored: &[u8]| {
        let (built_in, rest) = postcard::take_from_bytes::<(BTreeSet<Audience>, _)>(stored)?;
        let own = if rest.is_empty() { BTreeSet::new() } else { postcard::from_bytes(rest)? };
        Ok(Membership { audiences: built_in.0, until: built_in.1, own })
    };
    let stored = ctx.get(MEMBER, person);
    stored.map(|stored| read(&stored)).transpose().map_err(|error: postcard::Error| {
        Failure::Fatal(format!("stored state of table {} can't be read: {error}", MEMBER.name))
    })
}

/// The clock of a workspace.
pub(crate) fn clock(ctx: &Context<'_>, workspace: &WorkspaceId) -> Result<EventTime, Failure> {
    let now = timers::now(ctx, workspace)?.0.max(0);
    Ok(EventTime(now.div_euclid(MINUTE) * MINUTE))
}
