//! From one view to the next: the named facts between them, in the order in which they would have happened.
//!
//! Each step carries the view before and after it, and the steps are a chain: the first starts at the view published
//! last, the last ends at the new one. So a sum over all facts of `f(after) - f(before)` is `f` of the final view,
//! whatever happened in between.

use super::view::View;
use crate::{EventName, EventTime, Money};

/// One fact: its name, and when it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// The canonical name.
    pub name: EventName,
    /// When it happened; `None`: at the time of the event that brought it.
    pub at: Option<EventTime>,
    /// Of `order.refunded`: which refund.
    pub refund: Option<String>,
}

/// The facts between `before` and `after`: calls `see` with each and the view after it, and gives their number.
/// `update`: the delivery is a version of the order that states a change without naming it, so `order.updated` is due
/// even if nothing visible moved.
pub fn steps<E>(
    before: Option<&View>,
    after: &View,
    update: bool,
    mut see: impl FnMut(&Step, &View) -> Result<(), E>,
) -> Result<usize, E> {
    let blank = View::default();
    let old = before.unwrap_or(&blank);
    let mut steps = named(old, after, update);
    if steps.is_empty() && before != Some(after) {
        steps.push(Step { name: EventName::OrderUpdated, at: None, refund: None });
    }
    // Whatever no name stands for (an instant that moved, a refund whose amount changed) rides on the last step.
    let Some((last, others)) = steps.split_last() else { return Ok(0) };
    if !others.is_empty() {
        let mut now = described_by(after, old);
        for step in others {
            take(&mut now, step, after);
            now.take_rate(after.base.as_ref());
            see(step, &now)?;
        }
    }
    see(last, after)?;
    Ok(steps.len())
}

fn named(old: &View, after: &View, update: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut push = |name, at, refund| steps.push(Step { name, at, refund });
    if old.placed_at.is_none() && after.placed_at.is_some() {
        push(EventName::OrderPlaced, after.placed_at, None);
    } else if update {
        push(EventName::OrderUpdated, None, None);
    }
    for (name, old, new) in [
        (EventName::OrderPaid, old.paid_at, after.paid_at),
        (EventName::OrderPartiallyFulfilled, old.partially_fulfilled_at, after.partially_fulfilled_at),
        (EventName::OrderFulfilled, old.fulfilled_at, after.fulfilled_at),
        (EventName::OrderCancelled, old.cancelled_at, after.cancelled_at),
    ] {
        if old.is_none() && new.is_some() {
            push(name, new, None);
        }
    }
    let mut new: Vec<(EventTime, &String)> = after
        .refunds
        .keys()
        .filter(|id| !old.refunds.contains_key(*id))
        .filter_map(|id| Some((*after.refund_times.get(id)?, id)))
        .collect();
    new.sort_unstable();
    for (at, id) in new {
        push(EventName::OrderRefunded, Some(at), Some(id.clone()));
    }
    steps
}

/// Moves the view on by one step.
fn take(now: &mut View, step: &Step, after: &View) {
    match step.name {
        EventName::OrderPaid => {
            now.paid_at = after.paid_at;
            now.counted_at = after.counted_at;
            now.counted = after.counted;
            now.financial_status = after.financial_status;
        }
        EventName::OrderPartiallyFulfilled => now.partially_fulfilled_at = after.partially_fulfilled_at,
        EventName::OrderFulfilled => now.fulfilled_at = after.fulfilled_at,
        EventName::OrderCancelled => now.cancelled_at = after.cancelled_at,
        EventName::OrderRefunded => {
            let refund = step.refund.as_ref().and_then(|id| Some((id, *after.refunds.get(id)?)));
            if let (Some((id, amount)), Some(at)) = (refund, step.at) {
                now.refunds.insert(id.clone(), amount);
                now.refund_times.insert(id.clone(), at);
                settle(now);
            }
        }
        // The description is there already, and what is about no order has no step.
        _ => {}
    }
}

/// The new description of the order with the old progress.
fn described_by(after: &View, old: &View) -> View {
    let mut now = View {
        financial_status: if old.paid_at.is_some() { after.financial_status } else { old.financial_status },
        paid_at: old.paid_at,
        counted: old.counted,
        counted_at: old.counted_at,
        partially_fulfilled_at: old.partially_fulfilled_at,
        fulfilled_at: old.fulfilled_at,
        cancelled_at: old.cancelled_at,
        refunds: old.refunds.clone(),
        refund_times: old.refund_times.clone(),
        ..after.clone()
    };
    settle(&mut now);
    now
}

/// Recomputes the sums of a view from its refunds.
fn settle(view: &mut View) {
    let sum = view.refunds.values().fold(0_i64, |sum, money| sum.saturating_add(money.minor));
    let currency =
        view.total.map(|t| t.currency).or_else(|| view.refunds.values().next().map(|m| m.currency));
    view.refunded_total = currency.map(|currency| Money::new(sum, currency));
    view.net = view
        .total
        .zip(view.refunded_total)
        .map(|(t, r)| Money::new(t.minor.saturating_sub(r.minor), t.currency));
}
