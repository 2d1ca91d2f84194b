//! What a delivery says about money that a provider moved, and about plans that recur.

use serde::{Deserialize, Serialize};

use crate::{EventTime, Money};

/// What a delivery says about a payment. Payments are not orders: they enter no revenue (D-R-3).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Payment {
    /// Collected; of `payment.refunded` what went back.
    pub amount: Option<Money>,
    /// Asked for.
    pub amount_due: Option<Money>,
    /// When it was collected.
    pub paid_at: Option<EventTime>,
    /// The plan that it is for.
    pub subscription_id: Option<String>,
    /// The period that it is for.
    pub period_start: Option<EventTime>,
    /// The period that it is for.
    pub period_end: Option<EventTime>,
    /// Which attempt it was, counted from 1.
    pub attempt: Option<i64>,
    /// When the next attempt is planned.
    pub next_attempt_at: Option<EventTime>,
    /// Why it was asked for, in the source's words: `subscription_cycle`.
    pub reason: Option<String>,
    /// The order that it pays, where the source says.
    pub order_id: Option<String>,
    /// Of `payment.refunded`: the source's id of the refund.
    pub refund_id: Option<String>,
}

/// What a delivery says about a recurring order or plan.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Subscription {
    /// The source's id; absent where it names only the person.
    pub id: Option<String>,
    /// The period that the event belongs to.
    pub period_start: Option<EventTime>,
    /// The period that the event belongs to.
    pub period_end: Option<EventTime>,
    /// What the period costs.
    pub amount: Option<Money>,
}
