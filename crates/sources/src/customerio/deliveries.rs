//! Requests as senders of this source make them, one for each of its names.

use commerce::{EventName, Source};
use serde_json::{Value, json};

use crate::taxonomy::{Delivery, post, shown};

pub(super) fn all() -> Vec<Delivery> {
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
        super::vocabulary().chain([("size_chosen", EventName::CustomTracked)]).map(event).collect();
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
