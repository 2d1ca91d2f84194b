//! Requests as senders make them: one for each name that a source has.

use commerce::{EventName, Source};
use serde_json::{Value, json};

use crate::{analytics, customerio, lifesight, sequenzy, shopify};

/// A request to the development workspace.
pub(super) struct Delivery {
    pub(super) source: Source,
    pub(super) method: &'static str,
    pub(super) target: String,
    /// Null: none.
    pub(super) body: Value,
}

/// A body that is also shown in the documentation.
macro_rules! shown {
    ($name:literal) => {
        read(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/examples/", $name, ".json")))
    };
}

fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// `body` with other fields.
fn with(mut body: Value, fields: Value) -> Value {
    if let (Some(body), Value::Object(fields)) = (body.as_object_mut(), fields) {
        body.extend(fields);
    }
    body
}

#[cfg(test)]
/// The names of the sources that have a list of them, and what they mean.
pub(super) fn vocabulary() -> [(Source, Vec<(&'static str, EventName)>); 5] {
    [
        (Source::Shopify, shopify::vocabulary().collect()),
        (Source::Lifesight, lifesight::vocabulary().collect()),
        (Source::Customerio, customerio::vocabulary().collect()),
        (Source::Sequenzy, sequenzy::vocabulary().collect()),
        (Source::Analytics, analytics::vocabulary().collect()),
    ]
}

pub(super) fn all() -> Vec<Delivery> {
    [shopify(), stripe(), lifesight(), customerio(), sequenzy(), analytics(), records(), operator()]
        .into_iter()
        .flatten()
        .collect()
}

fn post(source: Source, target: impl Into<String>, body: Value) -> Delivery {
    Delivery { source, method: "POST", target: target.into(), body }
}

/// What an order, checkout or customer of a shop says under one of its names.
fn of_shop(name: &str, order: Value) -> Value {
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

fn shopify() -> Vec<Delivery> {
    let of = |(topic, _): (&'static str, EventName)| {
        let body = of_shop(topic, shown!("shopify_order_create"));
        post(Source::Shopify, format!("/webhooks/shopify/{topic}"), body)
    };
    shopify::vocabulary().map(of).collect()
}

fn lifesight() -> Vec<Delivery> {
    let of = |(name, _): (&'static str, EventName)| {
        let query = format!("key=dev-backend-key&workspace=demo&source=shop&event_name={name}");
        let body = of_shop(name, shown!("lifesight_orders_create"));
        post(Source::Lifesight, format!("/transform-webhook-data?{query}"), body)
    };
    lifesight::vocabulary().map(of).collect()
}

fn stripe() -> Vec<Delivery> {
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

fn customerio() -> Vec<Delivery> {
    let data = |event| match event {
        EventName::OrderPaid | EventName::OrderFulfilled | EventName::OrderPlaced => {
            json!({"order_id": "81744",
            "total": 84.47, "currency": "USD", "cart_id": "cart_42",
            "items": [{"product_id": "mug-blue", "sku": "MUG-BLUE-L", "quantity": 2, "price": 24.00}]})
        }
        EventName::CheckoutStarted | EventName::CartCreated => {
            json!({"checkout_id": "chk_5521", "cart_id": "cart_42",
            "value": 48.00, "currency": "USD", "items": [{"product_id": "mug-blue", "quantity": 2, "price": 24.00}]})
        }
        EventName::ProductViewed | EventName::BackInStockRequested => json!({"product_id": "mug-blue"}),
        EventName::CustomTracked => json!({"size": "L"}),
        _ => json!({"subscription_id": "sub_77", "amount": 29.00, "currency": "USD"}),
    };
    let event = |(name, event): (&'static str, EventName)| {
        let body = json!({"name": name, "timestamp": 1_773_494_813, "data": data(event)});
        post(Source::Customerio, "/api/v1/customers/5/events", body)
    };
    let mut all: Vec<_> =
        customerio::vocabulary().chain([("size_chosen", EventName::CustomTracked)]).map(event).collect();
    let person = |method, target: &str, body| Delivery {
        source: Source::Customerio,
        method,
        target: format!("/api/v1{target}"),
        body,
    };
    all.extend([
        person("PUT", "/customers/5", shown!("customerio_identify")),
        person("DELETE", "/customers/5", Value::Null),
        person("POST", "/customers/5/suppress", Value::Null),
        person("POST", "/customers/5/unsuppress", Value::Null),
        person("POST", "/merge_customers", shown!("customerio_merge")),
    ]);
    all
}

fn sequenzy() -> Vec<Delivery> {
    let order = |status| {
        let of = json!({"status": status, "refundAmountCents": 2000});
        post(Source::Sequenzy, "/api/v1/orders", with(shown!("sequenzy_order_placed"), of))
    };
    let mut all: Vec<_> = sequenzy::statuses().map(order).collect();
    all.push(post(Source::Sequenzy, "/api/v1/checkouts", shown!("sequenzy_checkout_started")));
    all
}

fn analytics() -> Vec<Delivery> {
    let event = |(name, _): (&'static str, EventName)| {
        let of =
            json!({"event_type": name, "search_term": "mug", "properties": {"rating": 5, "method": "mail"}});
        let body = with(shown!("analytics_purchase"), of);
        post(Source::Analytics, "/v1/api/analytics/ecommerce/track", body)
    };
    let mut all: Vec<_> = analytics::vocabulary().map(event).collect();
    all.push(Delivery {
        source: Source::Analytics,
        method: "DELETE",
        target: "/v1/api/analytics/user/user_123".to_owned(),
        body: Value::Null,
    });
    all
}

fn records() -> Vec<Delivery> {
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

fn operator() -> Vec<Delivery> {
    let of = |word: &str| {
        let handles = json!({"a": "user:5", "b": "email:ada.byrne@example.com"});
        post(Source::Operator, format!("/v1/identity/{word}"), handles)
    };
    vec![of("merge"), of("unmerge")]
}
