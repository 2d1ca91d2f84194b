//! The orders of a handle, as far as its profile and audiences need them: all of them where they are few, and where they
//! are many sums and an index, so that an order of somebody who has a hundred thousand costs no more than one of anybody.

use std::collections::BTreeMap;

use commerce::audience::Standing;
use commerce::profile::{Later, Share, Since};
use commerce::{Currency, EventTime};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::tables::{self, PERSON_ORDER, PERSON_REFUND, WIDE, get, put};

/// The orders of a handle with more are summed up.
const MANY: usize = 32;
/// The sums of one that has no more any more are dropped. Not at the same number, or an order that comes and goes would
/// have them made anew each time.
const FEW: i64 = 16;
/// Orders and refunds are read in portions.
const PORTION: usize = 500;
/// As many orders that were cancelled are passed over in search of others.
const MOST_PASSED: usize = 10_000;

/// What is kept of a handle with many orders.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Wide {
    /// What is said here in base is said in this one.
    base: Currency,
    /// How many orders are of a high value.
    high: i64,
    /// What came after the totals that were reported last, see [`later`].
    later: Option<(Since, Later)>,
}

impl Wide {
    fn apply(&mut self, share: &Share, sign: i64) {
        self.high += if share.is_high(self.base) { sign } else { 0 };
        if let Some((since, later)) = &mut self.later {
            later.apply(share, since, sign);
        }
    }
}

/// Lists an order under its handle, or takes it out (`sign` -1) as it was when it was listed; so many orders of the
/// handle count then.
pub(crate) fn list(
    ctx: &mut Context<'_>,
    (handle, order): (&[u8], &[u8]),
    (share, sign): (&Share, i64),
    orders: i64,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let index = tables::person_order(handle, share.placed_at, order);
    if sign < 0 {
        ctx.remove(PERSON_ORDER, &index)?;
    } else {
        put(ctx, PERSON_ORDER, &index, share, buffer)?;
    }
    let Some(mut wide) = get::<Wide>(ctx, WIDE, handle)? else { return Ok(()) };
    index_refunds(ctx, handle, &index[handle.len()..], share, sign > 0)?;
    wide.apply(share, sign);
    if orders > FEW {
        return put(ctx, WIDE, handle, &wide, buffer);
    }
    ctx.remove(WIDE, handle)?;
    forget_refunds(ctx, handle)
}

/// Forgets the orders of a handle.
pub(crate) fn forget(ctx: &mut Context<'_>, handle: &[u8]) -> Result<(), Failure> {
    while let Some((order, _)) = ctx.first(PERSON_ORDER, handle) {
        ctx.remove(PERSON_ORDER, &order)?;
    }
    ctx.remove(WIDE, handle)?;
    forget_refunds(ctx, handle)
}

fn forget_refunds(ctx: &mut Context<'_>, handle: &[u8]) -> Result<(), Failure> {
    while let Some((refund, _)) = ctx.first(PERSON_REFUND, handle) {
        ctx.remove(PERSON_REFUND, &refund)?;
    }
    Ok(())
}

/// What audiences need to know of the orders of some handles at an instant. Makes the sums of a handle that has got many
/// orders.
pub(crate) fn standing(
    ctx: &mut Context<'_>,
    handles: &[Vec<u8>],
    (base, now): (Currency, EventTime),
    buffer: &mut Vec<u8>,
) -> Result<Standing, Failure> {
    let mut standing = Standing::at(now);
    for handle in handles {
        match orders(ctx, handle, base, buffer)? {
            Orders::Few(shares) => standing.take(&shares, base),
            Orders::Many(wide) => {
                if wide.high > 0 {
                    standing.value_high();
                }
                stand(ctx, handle, now, &mut standing)?;
            }
        }
    }
    Ok(standing)
}

/// Tells of the newest orders and refunds up to an instant, and of the next ones.
fn stand(ctx: &Context<'_>, handle: &[u8], now: EventTime, standing: &mut Standing) -> Result<(), Failure> {
    let then = tables::person_order(handle, EventTime(now.0.saturating_add(1)), b"");
    let mut end = then.clone();
    for _ in 0..MOST_PASSED {
        let Some((key, share)) = ctx.before(PERSON_ORDER, handle, &end) else { break };
        let share = read(&share)?;
        standing.order(share.placed_at, share.cancelled);
        if standing.is_frequent() || share.placed_at <= standing.horizon() {
            break;
        }
        end = key;
    }
    for (_, share) in ctx.scan(PERSON_ORDER, handle, Some(&then), 1) {
        let share = read(&share)?;
        standing.order(share.placed_at, share.cancelled);
    }
    let last = ctx.before(PERSON_REFUND, handle, &then);
    let next = ctx.scan(PERSON_REFUND, handle, Some(&then), 1);
    for (key, _) in last.into_iter().chain(next) {
        tables::placed_at(handle, &key).into_iter().for_each(|at| standing.refund(at));
    }
    Ok(())
}

/// What the orders of some handles add to the totals that were reported of their person. The newest report moves on with
/// the orders as a rule, so the sums of a handle with many are kept, and moved by what lies in between.
pub(crate) fn later(
    ctx: &mut Context<'_>,
    handles: &[Vec<u8>],
    since: &Since,
    buffer: &mut Vec<u8>,
) -> Result<Later, Failure> {
    let mut sum = Later::default();
    for handle in handles {
        match orders(ctx, handle, since.base, buffer)? {
            Orders::Few(shares) => sum.join(Later::of(&shares, since)),
            Orders::Many(mut wide) => {
                let known = wide.later.filter(|(then, _)| then == since);
                let later = match (known, wide.later) {
                    (Some((_, later)), _) => later,
                    (None, Some((then, later))) if then.between(since).is_some() => {
                        moved(ctx, handle, later, (&then, since))?
                    }
                    _ => {
                        let mut later = Later::default();
                        each(ctx, handle, |share| later.apply(share, since, 1))?;
                        later
                    }
                };
                if known.is_none() {
                    wide.later = Some((*since, later));
                    put(ctx, WIDE, handle, &wide, buffer)?;
                }
                sum.join(later);
            }
        }
    }
    Ok(sum)
}

/// What was added to one report, as it is added to another one: only what happened between the two differs.
fn moved(
    ctx: &Context<'_>,
    handle: &[u8],
    mut later: Later,
    (from, to): (&Since, &Since),
) -> Result<Later, Failure> {
    let Some((first, last)) = from.between(to) else { return Ok(later) };
    let mut between: BTreeMap<Vec<u8>, Share> = BTreeMap::new();
    for table in [PERSON_ORDER, PERSON_REFUND] {
        let mut after = tables::person_order(handle, EventTime(first.0.saturating_add(1)), b"");
        'all: loop {
            let portion = ctx.scan(table, handle, Some(&after), PORTION);
            let full = portion.len() == PORTION;
            for (key, share) in portion {
                if tables::placed_at(handle, &key).is_none_or(|at| at > last) {
                    break 'all;
                }
                if table == PERSON_ORDER {
                    between.insert(key.clone(), read(&share)?);
                } else if let Some(order) = key.get(handle.len() + 8..) {
                    let order = [handle, order].concat();
                    if let Some(share) = ctx.get(PERSON_ORDER, &order) {
                        let share = read(&share)?;
                        between.insert(order, share);
                    }
                }
                after = key;
            }
            if !full {
                break;
            }
        }
    }
    for share in between.values() {
        later.apply(share, from, -1);
        later.apply(share, to, 1);
    }
    Ok(later)
}

/// The orders of a handle.
enum Orders {
    /// All of them.
    Few(Vec<Share>),
    /// What is kept of many.
    Many(Wide),
}

fn orders(
    ctx: &mut Context<'_>,
    handle: &[u8],
    base: Currency,
    buffer: &mut Vec<u8>,
) -> Result<Orders, Failure> {
    if let Some(wide) = get::<Wide>(ctx, WIDE, handle)?.filter(|wide| wide.base == base) {
        return Ok(Orders::Many(wide));
    }
    let (mut few, mut seen) = (Vec::new(), 0);
    ctx.each(PERSON_ORDER, handle, |_, share| {
        seen += 1;
        if seen > MANY {
            return Ok(false);
        }
        few.push(read(share)?);
        Ok(true)
    })?;
    if seen <= MANY {
        return Ok(Orders::Few(few));
    }
    let mut wide = Wide { base, high: 0, later: None };
    let mut refunded = Vec::new();
    each_with_key(ctx, handle, |key, share| {
        wide.apply(share, 1);
        if !share.refunds.is_empty() {
            refunded.push((key[handle.len()..].to_vec(), share.clone()));
        }
    })?;
    for (order, share) in refunded {
        index_refunds(ctx, handle, &order, &share, true)?;
    }
    put(ctx, WIDE, handle, &wide, buffer)?;
    Ok(Orders::Many(wide))
}

fn each(ctx: &Context<'_>, handle: &[u8], mut see: impl FnMut(&Share)) -> Result<(), Failure> {
    each_with_key(ctx, handle, |_, share| see(share))
}

fn each_with_key(
    ctx: &Context<'_>,
    handle: &[u8],
    mut see: impl FnMut(&[u8], &Share),
) -> Result<(), Failure> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let portion = ctx.scan(PERSON_ORDER, handle, after.as_deref(), PORTION);
        for (key, share) in &portion {
            see(key, &read(share)?);
        }
        match portion.into_iter().next_back() {
            Some((last, _)) => after = Some(last),
            None => return Ok(()),
        }
    }
}

/// Lists the refunds of an order by their instants, or takes them out.
fn index_refunds(
    ctx: &mut Context<'_>,
    handle: &[u8],
    order: &[u8],
    share: &Share,
    listed: bool,
) -> Result<(), Failure> {
    for at in share.refunded_at() {
        let key = tables::person_order(handle, at, order);
        if listed {
            ctx.put(PERSON_REFUND, &key, &[])?;
        } else {
            ctx.remove(PERSON_REFUND, &key)?;
        }
    }
    Ok(())
}

fn read(share: &[u8]) -> Result<Share, Failure> {
    postcard::from_bytes(share).map_err(|e| {
        Failure::Fatal(format!("stored state of table {} can't be read: {e}", PERSON_ORDER.name))
    })
}
