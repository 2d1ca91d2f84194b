//! Requests as senders of this source make them, one for each of its names.

use commerce::Source;
use serde_json::{Value, json};

use crate::taxonomy::{Delivery, post, shown, with};

pub(super) fn all() -> Vec<Delivery> {
    let row = |object: &str, operation: &str, body: Value| {
        post(Source::Records, format!("/public/v1/records/{object}/{operation}"), body)
    };
    let first = |batch: &Value| json!({"record": batch.pointer("/records/0").cloned().unwrap_or_default()});
    let order = shown!("records_order_append");
    let later = order.pointer("/record").cloned().unwrap_or_default();
    let later = with(later, json!({"financial_status": "partially_refunded", "refund_total": "10.00"}));
    let product = |event_type: &str| {
        json!({"record": {"event_type": event_type, "product_id": "mug-blue", "product_name": "Stoneware Mug",
            "quantity": 2, "price": "24.00", "currency": "USD", "customer_email": "ada.byrne@example.com",
            "occurred_at": "2026-03-14T13:21:10Z"}})
    };
    let mut all = vec![
        row("orders", "append", order),
        row("orders", "append", json!({"record": later})),
        row("payments", "append", first(&shown!("records_payments_append_batch"))),
        row("profiles", "upsert", shown!("records_profile_upsert")),
    ];
    let types = ["product_view", "add_to_cart", "back_in_stock_requested", "size_chosen"];
    all.extend(types.map(|event_type| row("product_events", "append", product(event_type))));
    all
}
