//! Names of carts and checkouts: by which of them an open automation is found, and which of them are done with.
//!
//! A cart or checkout has several names (its id, its token, the cart that it came of), and an order names it by some
//! of them. Names belong to one space of one source.
//!
//! Nearly every order closes a cart or a checkout, so a closing is one small row under its [`PERIOD`]: it is found by
//! asking for the name in the periods that count. Which names were closed in a period is said by rows of many, written
//! once per transaction: a name's place in a sorted table would cost more than all the rest of it. What is older than the
//! periods that count is swept away from the front of that table, without a timer of its own.

use std::collections::BTreeSet;

use commerce::event::{Activity, Link};
use commerce::{Event, EventTime, Mark, PersonId, WorkspaceId, time};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::tables::{self, CLOSED, CLOSING, NAME, get, put};
use crate::timers;

/// Closings are kept by the part of the stream's time in which they came.
const PERIOD: i64 = 15 * time::DAY;
/// A closing counts in its own period and in as many later ones: for 30 days at least, 45 at most. An event that comes
/// later than 72 hours starts nothing anyway (R13.2).
const LATER: u16 = 2;
/// One closing in so many sweeps, so that the others needn't look where the front of the table is.
const SWEEPS: u8 = 8;
/// As many are swept away at once, or all of one row: twice as many as have come since, so that they can't pile up.
const SWEPT: usize = 2 * SWEEPS as usize;
/// Names of one row.
const TOGETHER: usize = 64;
/// Ends the key of a row of many, behind the first of them.
const MANY: u8 = 1;
/// Bytes of a name's mark.
const MARK: usize = 16;

/// One name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Name {
    pub(crate) key: Vec<u8>,
    /// A checkout is bought once and never opened again; a cart may be filled again.
    pub(crate) once: bool,
}

/// What is known under a name.
#[derive(Debug, Default)]
pub(crate) struct Named {
    /// Keys of open automations.
    pub(crate) open: BTreeSet<Vec<u8>>,
    /// How it was closed, if it was.
    closed: Option<Closed>,
}

impl Named {
    /// True where what happened at an instant opens nothing any more.
    pub(crate) fn is_settled(&self, at: EventTime) -> bool {
        match self.closed {
            None => false,
            Some(Closed::Until(closed_at)) => closed_at >= at,
            Some(Closed::ForGood) => true,
        }
    }
}

/// How a name was closed; the greater one of two counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
enum Closed {
    /// What happened until then opens nothing any more.
    Until(EventTime),
    /// It never opens again.
    ForGood,
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
pub(crate) fn look(ctx: &Context<'_>, workspace: &WorkspaceId, name: &Name) -> Result<Named, Failure> {
    let now = period(ctx, workspace)?;
    let mut closed = None;
    for period in now.saturating_sub(LATER)..=now {
        let key = closing(workspace, period, &name.key);
        closed = closed.max(get(ctx, CLOSING, &key)?);
        // Before there were rows of many, each name had one with its closing there.
        closed = closed.max(get(ctx, CLOSED, &key)?);
    }
    Ok(Named { open: open(ctx, name)?, closed })
}

/// The open automations of a name.
pub(crate) fn open(ctx: &Context<'_>, name: &Name) -> Result<BTreeSet<Vec<u8>>, Failure> {
    Ok(get(ctx, NAME, &name.key)?.unwrap_or_default())
}

/// Lists an automation under its names, or takes it off them.
pub(crate) fn list(
    ctx: &mut Context<'_>,
    names: &[Name],
    automation: &[u8],
    is_open: bool,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    for name in names {
        let mut known = open(ctx, name)?;
        let changed = if is_open { known.insert(automation.to_vec()) } else { known.remove(automation) };
        match (changed, known.is_empty()) {
            (false, _) => {}
            (true, true) => ctx.remove(NAME, &name.key)?,
            (true, false) => put(ctx, NAME, &name.key, &known, buffer)?,
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
    let now = period(ctx, workspace)?;
    for name in names {
        let key = closing(workspace, now, &name.key);
        let before: Option<Closed> = get(ctx, CLOSING, &key)?;
        let closed = if bought && name.once { Closed::ForGood } else { Closed::Until(at) };
        if before < Some(closed) {
            put(ctx, CLOSING, &key, &closed, buffer)?;
        }
        if before.is_none() {
            if key.last().is_some_and(|byte| byte % SWEEPS == 0) {
                sweep(ctx, workspace, now)?;
            }
            ctx.scratch::<Fresh>().0.push(key);
        }
    }
    Ok(())
}

/// Names that the open transaction has closed for the first time in their period. One of a record that came to nothing
/// may be among them: there is nothing to be swept away of it then.
#[derive(Default)]
struct Fresh(Vec<Vec<u8>>);

/// Stores which names the transaction has closed. To be called once, at its end.
pub(crate) fn note_closed(ctx: &mut Context<'_>) -> Result<(), Failure> {
    let mut fresh = std::mem::take(&mut ctx.scratch::<Fresh>().0);
    fresh.sort_unstable();
    fresh.dedup();
    let head = |key: &Vec<u8>| key.len().saturating_sub(MARK);
    for of_period in fresh.chunk_by(|a, b| a[..head(a)] == b[..head(b)]) {
        for names in of_period.chunks(TOGETHER) {
            let Some(first) = names.first() else { continue };
            let row = [first.as_slice(), &[MANY]].concat();
            // An earlier transaction may have begun one with this name, the record of which came to nothing there.
            let mut marks = ctx.get(CLOSED, &row).unwrap_or_default().into_owned();
            names.iter().for_each(|key| marks.extend_from_slice(&key[head(key)..]));
            ctx.put(CLOSED, &row, &marks)?;
        }
    }
    Ok(())
}

/// Forgets closings of periods that don't count any more.
fn sweep(ctx: &mut Context<'_>, workspace: &WorkspaceId, now: u16) -> Result<(), Failure> {
    let all = closing(workspace, 0, &[]);
    let all = &all[..all.len() - 2];
    let mut swept = 0;
    while swept < SWEPT {
        let Some((key, marks)) = ctx.first(CLOSED, all) else { return Ok(()) };
        if key.as_slice() >= closing(workspace, now.saturating_sub(LATER), &[]).as_slice() {
            return Ok(());
        }
        ctx.remove(CLOSED, &key)?;
        swept += (marks.len() / MARK).max(1);
        for mark in marks.chunks_exact(MARK) {
            ctx.remove(CLOSING, &[&key[..all.len() + 2], mark].concat())?;
        }
    }
    Ok(())
}

/// The period in which the stream's time of a workspace is.
fn period(ctx: &Context<'_>, workspace: &WorkspaceId) -> Result<u16, Failure> {
    let now = timers::now(ctx, workspace)?.0.max(0);
    Ok(u16::try_from(now / PERIOD).unwrap_or(u16::MAX))
}

/// The key of a name's closing in a period, or what those of a period start with.
fn closing(workspace: &WorkspaceId, period: u16, name: &[u8]) -> Vec<u8> {
    let mark = name.last_chunk::<16>().map_or(&[][..], |mark| mark);
    [workspace.as_str().as_bytes(), &[0], &period.to_be_bytes(), mark].concat()
}
