//! What the requests of all sources are made with.

use commerce::Source;
use serde_json::{Value, json};

/// A request to the development workspace.
pub(crate) struct Delivery {
    pub(crate) source: Source,
    pub(crate) method: &'static str,
    pub(crate) target: String,
    /// Null: none.
    pub(crate) body: Value,
}

/// A body that is also shown in the documentation.
macro_rules! shown {
    ($name:literal) => {
        $crate::taxonomy::read(include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../schemas/examples/",
            $name,
            ".json"
        )))
    };
}
pub(crate) use shown;

pub(crate) fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// `body` with other fields.
pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    body
}

pub(crate) fn post(source: Source, target: impl Into<String>, body: Value) -> Delivery {
    Delivery { source, method: "POST", target: target.into(), body }
}

/// What an order, checkout or customer of a shop says under one of its names.
pub(crate) fn of_shop(name: &str, order: Value) -> Value {
    let name = name.replace('/', "_");
    let changed = json!({"updated_at": "2026-03-14T15:40:00+00:00"});
    match name.as_str() {
        "orders_create" | "orders_paid" => order,
        "orders_fulfilled" => with(order, with(changed, json!({"fulfillment_status": "fulfilled"}))),
        "orders_partially_fulfilled" => with(order, with(changed, json!({"fulfillment_status": "partial"}))),
        "orders_cancelled" => {
            with(order, with(changed, json!({"cancelled_at": "2026-03-14T15:40:00+00:00"})))
        }
        "refunds_create" => shown!("shopify_refund_create"),
        "customers_redact" => json!({"shop_domain": "demo-shop.myshopify.com",
            "customer": {"id": 7_031_184_426_612_i64, "email": "noel.ferreira@example.org"}, "orders_to_redact": []}),
        name if name.starts_with("checkouts") => shown!("lifesight_checkouts_update"),
        name if name.starts_with("customers") => shown!("lifesight_customers_create"),
        _ => with(order, changed),
    }
}
