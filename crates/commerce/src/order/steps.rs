//! From one view to the next: the named facts between them, in the order in which they would have happened.
//!
//! Each step carries the view before and after it, and the steps are a chain: the first starts at the view published
//! last, the last ends at the new one. So a sum over all facts of `f(after) - f(before)` is `f` of the final view,
//! whatever happened in between.

use super::view::View;
use crate::{EventName, EventTime, Money};

/// One fact: its name, when it happened, and the view after it.
#[derive(Clone, PartialEq, Debug)]
pub struct Step {
    /// The canonical name.
    pub name: EventName,
    /// When it happened; `None`: at the time of the event that brought it.
    pub at: Option<EventTime>,
    /// Of `order.refunded`: which refund.
    pub refund: Option<String>,
    /// The order after this step.
    pub after: View,
}

/// The facts between `before` and `after`. `update`: the delivery is a version of the order that states a change
/// without naming it, so `order.updated` is due even if nothing visible moved.
pub fn steps(before: Option<&View>, after: &View, update: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    let blank = View { id: after.id.clone(), ..View::default() };
    let old = before.unwrap_or(&blank);
    let mut push = |name, at, refund, now: &View| steps.push(Step { name, at, refund, after: now.clone() });

    let mut now = described_by(after, old);
    let placed = old.placed_at.is_none() && after.placed_at.is_some();
    if placed {
        push(EventName::OrderPlaced, after.placed_at, None, &now);
    } else if update {
        push(EventName::OrderUpdated, None, None, &now);
    }
    if old.paid_at.is_none() && after.paid_at.is_some() {
        now.paid_at = after.paid_at;
        now.counted_at = after.counted_at;
        now.counted = after.counted;
        now.financial_status = after.financial_status;
        push(EventName::OrderPaid, after.paid_at, None, &now);
    }
    if old.partially_fulfilled_at.is_none() && after.partially_fulfilled_at.is_some() {
        now.partially_fulfilled_at = after.partially_fulfilled_at;
        push(EventName::OrderPartiallyFulfilled, after.partially_fulfilled_at, None, &now);
    }
    if old.fulfilled_at.is_none() && after.fulfilled_at.is_some() {
        now.fulfilled_at = after.fulfilled_at;
        push(EventName::OrderFulfilled, after.fulfilled_at, None, &now);
    }
    if old.cancelled_at.is_none() && after.cancelled_at.is_some() {
        now.cancelled_at = after.cancelled_at;
        push(EventName::OrderCancelled, after.cancelled_at, None, &now);
    }
    let mut new: Vec<&String> = after.refunds.keys().filter(|id| !old.refunds.contains_key(*id)).collect();
    new.sort_by_key(|id| (after.refund_times.get(*id), *id));
    for id in new {
        let (Some(amount), Some(at)) = (after.refunds.get(id), after.refund_times.get(id)) else { continue };
        now.refunds.insert(id.clone(), *amount);
        now.refund_times.insert(id.clone(), *at);
        settle(&mut now);
        push(EventName::OrderRefunded, Some(*at), Some(id.clone()), &now);
    }

    match steps.last_mut() {
        // Whatever no name stands for (an instant that moved, a refund whose amount changed) rides on the last step.
        Some(last) => last.after = after.clone(),
        None if before != Some(after) => {
            steps.push(Step { name: EventName::OrderUpdated, at: None, refund: None, after: after.clone() });
        }
        None => {}
    }
    steps
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
