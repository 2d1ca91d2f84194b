//! Rows and upserts of the records API.

use commerce::Source;
use serde_json::{Value, json};

use super::{Error, Kind, Occasion, bytes, example, put, take_out};

const ORDER: &str = include_str!("../../../../schemas/examples/records_order_append.json");
const PROFILE: &str = include_str!("../../../../schemas/examples/records_profile_upsert.json");
const PAYMENTS: &str = include_str!("../../../../schemas/examples/records_payments_append_batch.json");
const PRODUCTS: &str = include_str!("../../../../schemas/examples/records_product_events_append_batch.json");

pub(super) const RECORDS: Kind = Kind {
    source: Source::Records,
    events: &[
        "orders/append",
        "payments/append",
        "profiles/upsert",
        "product_view",
        "add_to_cart",
        "back_in_stock_requested",
    ],
    hint: "all of record: total, customer_email, financial_status, refund_total, amount_paid",
    fresh,
    inside: |_| &["record"],
    follow,
    deliver: |occasion, body, credentials| {
        let path = if occasion.event.contains('/') { occasion.event } else { "product_events/append" };
        let key = format!("trigger:{}:{}", occasion.event, occasion.id);
        credentials.record(path, &key, bytes(&body))
    },
};

fn fresh(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let (id, now) = (occasion.id, occasion.now.to_rfc3339());
    let row = |text: &str, index: usize| Ok(json!({"record": example(text)?["records"][index]}));
    let (mut body, fields) = match occasion.event {
        "orders/append" => {
            (example(ORDER)?, json!({"order_id": format!("till_{id}"), "placed_at": now, "updated_at": now}))
        }
        "payments/append" => (row(PAYMENTS, 0)?, json!({"payment_id": format!("in_{id}"), "paid_at": now})),
        "profiles/upsert" => (example(PROFILE)?, json!({})),
        "product_view" => (row(PRODUCTS, 0)?, json!({"occurred_at": now})),
        event => (row(PRODUCTS, 1)?, json!({"event_type": event, "occurred_at": now})),
    };
    put(&mut body["record"], fields);
    take_out(&mut body["record"], &["ltv", "order_count", "last_order_at"]);
    Ok(body)
}

/// Parts of an order would have to add up to its total; another e-mail is another customer.
fn follow(occasion: &Occasion<'_>, body: &mut Value) {
    let set = occasion.set;
    let unset = |names: &[&'static str]| -> Vec<&'static str> {
        names.iter().copied().filter(|name| set.text(name).is_none()).collect()
    };
    if set.text("total").is_some() {
        take_out(&mut body["record"], &unset(&["subtotal", "discount_total", "item_count"]));
    }
    if set.text("customer_email").is_some() {
        take_out(&mut body["record"], &unset(&["stripe_customer_id"]));
    }
}
