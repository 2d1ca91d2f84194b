//! Names of carts and checkouts: by which of them an open automation is found, and which of them are done with.
//!
//! A cart or checkout has several names (its id, its token, the cart that it came of), and an order names it by some
//! of them. Names belong to one space of one source.

use std::collections::BTreeSet;

use commerce::event::{Activity, Link};
use commerce::{Event, EventTime, Mark, PersonId, ReceivedTime, WorkspaceId, time};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::tables::{self, NAME, get, put};
use crate::timers::{self, Purpose};

/// A closing is remembered for as long; an event that comes later than 72 hours starts nothing anyway (R13.2).
const REMEMBERED: i64 = 30 * time::DAY;

/// One name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) key: Vec<u8>,
    /// A checkout is bought once and never opened again; a cart may be filled again.
    pub(crate) once: bool,
}

/// What is known under a name.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Keys of open automations.
    pub(crate) open: BTreeSet<Vec<u8>>,
    /// What happened until then opens nothing any more.
    pub(crate) closed_at: Option<EventTime>,
    /// It never opens again.
    pub(crate) done: bool,
    /// When all of this is forgotten.
    forgotten_at: Option<ReceivedTime>,
}

/// The names that an activity gives its cart or checkout.
pub(crate) fn of_activity(event: &Event, activity: &Activity) -> Vec<Name> {
    let own = [("checkout", &activity.checkout_id), ("cart", &activity.cart_id)];
    let own = own.into_iter().filter_map(|(kind, id)| id.as_deref().map(|id| (kind, id)));
    of(event, own.chain(activity.links.iter().map(pair)))
}

/// The names by which an order tells what it came of.
pub(crate) fn of_order(event: &Event) -> Vec<Name> {
    of(event, event.payload.order.iter().flat_map(|order| &order.links).map(pair))
}

/// The name of the one basket of a handle whose source doesn't name baskets.
pub(crate) fn unnamed(handle: &[u8], workspace: &WorkspaceId) -> Name {
    let mark = Mark::of(&[b"basket of", handle]);
    Name { key: tables::person(workspace.as_str(), PersonId(mark.0)), once: false }
}

fn pair(link: &Link) -> (&str, &str) {
    (&link.kind, &link.id)
}

fn of<'a>(event: &Event, named: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<Name> {
    let mut names: Vec<Name> = named
        .filter_map(|(kind, id)| {
            let (kind, once): (&[u8], bool) = match kind {
                "checkout" | "checkout_token" | "token" => (b"checkout", true),
                "cart" => (b"cart", false),
                _ => return None,
            };
            let space = event.source_space.as_bytes();
            let mark = Mark::of(&[b"basket", event.source.as_str().as_bytes(), space, kind, id.as_bytes()]);
            Some(Name { key: tables::person(event.workspace.as_str(), PersonId(mark.0)), once })
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What is known under a name.
pub(crate) fn look(ctx: &Context<'_>, name: &Name) -> Result<Named, Failure> {
    Ok(get(ctx, NAME, &name.key)?.unwrap_or_default())
}

/// Lists an automation under its names, or takes it off them.
pub(crate) fn list(
    ctx: &mut Context<'_>,
    names: &[Name],
    automation: &[u8],
    open: bool,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    for name in names {
        let mut named = look(ctx, name)?;
        let changed =
            if open { named.open.insert(automation.to_vec()) } else { named.open.remove(automation) };
        if !changed {
            continue;
        }
        if named.open.is_empty() && named.closed_at.is_none() {
            ctx.remove(NAME, &name.key)?;
        } else {
            put(ctx, NAME, &name.key, &named, buffer)?;
        }
    }
    Ok(())
}

/// Remembers that whatever happened under the names until `at` is settled. `bought`: by an order that named them.
pub(crate) fn close(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    names: &[Name],
    (at, bought): (EventTime, bool),
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let forgotten_at = ReceivedTime(timers::now(ctx, workspace)?.0.saturating_add(REMEMBERED));
    for name in names {
        let mut named = look(ctx, name)?;
        if let Some(before) = named.forgotten_at.replace(forgotten_at) {
            timers::clear(ctx, workspace, before, Purpose::Name, &name.key)?;
        }
        named.closed_at = named.closed_at.max(Some(at));
        named.done |= bought && name.once;
        put(ctx, NAME, &name.key, &named, buffer)?;
        timers::set(ctx, workspace, forgotten_at, Purpose::Name, &name.key)?;
    }
    Ok(())
}

/// Forgets what was remembered of a closing.
pub(crate) fn forget(ctx: &mut Context<'_>, key: &[u8], buffer: &mut Vec<u8>) -> Result<(), Failure> {
    let Some(named) = get::<Named>(ctx, NAME, key)? else { return Ok(()) };
    if named.open.is_empty() {
        return ctx.remove(NAME, key);
    }
    put(ctx, NAME, key, &Named { open: named.open, ..Named::default() }, buffer)
}
