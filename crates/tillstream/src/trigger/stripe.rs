//! Stripe's Event objects: invoices, refunds, plans.

use commerce::{Mark, Source};
use serde_json::{Value, json};

use super::{Error, Kind, Occasion, bytes, example, put, take_out};

const INVOICE: &str = include_str!("../../../../schemas/examples/stripe_invoice_payment_succeeded.json");

const DAY: i64 = 86_400;

pub(super) const STRIPE: Kind = Kind {
    source: Source::Stripe,
    events: &[
        "invoice.payment_succeeded",
        "invoice.paid",
        "invoice.payment_failed",
        "charge.refunded",
        "refund.created",
        "refund.updated",
        "customer.subscription.deleted",
        "customer.subscription.paused",
    ],
    hint: "amount_paid (in cents), currency, customer_email; all of data.object",
    fresh,
    inside: |_| &["data", "object"],
    follow,
    deliver: |_, body, credentials| credentials.stripe(bytes(&body)),
};

fn fresh(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let (id, now) = (occasion.id, occasion.seconds());
    let mut body = example(INVOICE)?;
    put(
        &mut body,
        json!({"id": format!("evt_{id}"), "created": now, "livemode": true, "type": occasion.event}),
    );
    let object = &mut body["data"]["object"];
    match occasion.event {
        "charge.refunded" => {
            let refund = refund(id, now);
            *object = json!({
                "id": format!("ch_{id}"), "object": "charge", "currency": "usd", "amount": 2900,
                "amount_refunded": 1000, "customer": object["customer"], "refunded": false,
                "refunds": {"object": "list", "data": [refund]},
            });
        }
        "refund.created" | "refund.updated" => *object = refund(id, now),
        "customer.subscription.deleted" | "customer.subscription.paused" => {
            *object = json!({
                "id": format!("sub_{id}"), "object": "subscription", "customer": object["customer"],
                "status": if occasion.event.ends_with("deleted") { "canceled" } else { "paused" },
                "current_period_start": now - 30 * DAY, "current_period_end": now,
            });
        }
        event => {
            let failed = event == "invoice.payment_failed";
            put(
                object,
                json!({
                    "id": format!("in_{id}"),
                    "created": now,
                    "period_start": now - 30 * DAY,
                    "period_end": now,
                    "status": if failed { "open" } else { "paid" },
                    "status_transitions": {"paid_at": if failed { Value::Null } else { json!(now) }},
                    "attempt_count": 1,
                    "next_payment_attempt": if failed { json!(now + 3 * DAY) } else { Value::Null },
                }),
            );
            if failed {
                put(object, json!({"amount_paid": 0}));
            }
        }
    }
    Ok(body)
}

fn refund(id: i64, now: i64) -> Value {
    json!({
        "id": format!("re_{id}"), "object": "refund", "amount": 1000, "charge": format!("ch_{id}"),
        "created": now, "currency": "usd", "reason": "requested_by_customer", "status": "succeeded",
    })
}

/// What is paid was due, and another e-mail is another customer.
fn follow(occasion: &Occasion<'_>, body: &mut Value) {
    let set = occasion.set;
    let object = &mut body["data"]["object"];
    let other = |names: [&str; 2]| names.iter().any(|name| set.text(name).is_some());
    if set.text("amount_paid").is_some() && !other(["amount_due", "data.object.amount_due"]) {
        object["amount_due"] = object["amount_paid"].clone();
    }
    if let Some(email) = set.text("customer_email")
        && !other(["customer", "data.object.customer"])
    {
        let id = Mark::of(&[b"stripe customer", email.as_bytes()]).to_hex();
        object["customer"] = json!(format!("cus_{}", id.get(..14).unwrap_or_default()));
    }
    if object["customer"].is_null() {
        take_out(object, &["customer"]);
    }
}
