//! Requests as senders of this source make them, one for each of its names.

use commerce::Source;
use serde_json::{Value, json};

use crate::taxonomy::{Delivery, post, shown, with};

pub(super) fn all() -> Vec<Delivery> {
    let invoice = shown!("stripe_invoice_payment_succeeded");
    let event = |name: &str, object: Value| {
        let event = json!({"type": name, "data": {"object": object}});
        post(Source::Stripe, "/webhooks/stripe/payment", with(invoice.clone(), event))
    };
    let object = invoice.pointer("/data/object").cloned().unwrap_or_default();
    let refund = json!({"id": "re_1TAr0", "object": "refund", "charge": "ch_1TAqY", "amount": 2900, "currency": "usd",
        "status": "succeeded", "created": 1_773_503_993, "reason": "requested_by_customer"});
    let charge = json!({"id": "ch_1TAqY", "object": "charge", "customer": "cus_U8r4Tg1vXw0Zpq",
        "refunds": {"data": [refund.clone()]}});
    let plan = json!({"id": "sub_1T0gV", "object": "subscription", "customer": "cus_U8r4Tg1vXw0Zpq",
        "current_period_start": 1_771_081_191, "current_period_end": 1_773_500_391});
    vec![
        event("invoice.payment_succeeded", object.clone()),
        event("invoice.paid", object.clone()),
        event("invoice.payment_failed", with(object, json!({"amount_paid": 0, "attempt_count": 2}))),
        event("charge.refunded", charge),
        event("refund.created", refund),
        event("customer.subscription.deleted", plan.clone()),
        event("customer.subscription.paused", plan),
    ]
}
