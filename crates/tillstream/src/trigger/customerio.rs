//! Calls of Customer.io's Track API: people, and what they do.

use commerce::Source;
use serde_json::{Value, json};

use super::{Error, Kind, Occasion, bytes, example, one_line, put, take};
use crate::demo::{Credentials, Delivery, path_part, ulid};

const IDENTIFY: &str = include_str!("../../../../schemas/examples/customerio_identify.json");
const ANONYMOUS: &str = include_str!("../../../../schemas/examples/customerio_anonymous_event.json");
const MERGE: &str = include_str!("../../../../schemas/examples/customerio_merge.json");
const ENTITY: &str = include_str!("../../../../schemas/examples/customerio_entity.json");
const BATCH: &str = include_str!("../../../../schemas/examples/customerio_batch.json");

pub(super) const CUSTOMERIO: Kind = Kind {
    source: Source::Customerio,
    events: &[
        "identify",
        "cart_created",
        "checkout_started",
        "order_paid",
        "order_fulfilled",
        "product_viewed",
        "back_in_stock_requested",
        "subscription_renewed",
        "subscription_canceled",
        "subscription_skipped",
        "subscription_paused",
        "anonymous",
        "merge",
        "delete",
        "suppress",
        "unsuppress",
        "entity",
        "batch",
    ],
    hint: "identifier (the person in the path); of an event all of data: total, order_id, currency; of entity its attributes",
    fresh,
    inside: |event| match event {
        "identify" | "merge" | "batch" | "delete" | "suppress" | "unsuppress" => &[],
        "entity" => &["attributes"],
        _ => &["data"],
    },
    follow,
    deliver,
};

/// The person in the path, where there is one.
const IDENTIFIER: &str = "identifier";

/// The person of the examples.
const SOMEBODY: &str = "5";

fn fresh(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let (id, now) = (occasion.id, occasion.seconds());
    let data = match occasion.event {
        "identify" => {
            let mut body = example(IDENTIFY)?;
            // Another person isn't the one of the example, e-mail included.
            if occasion.set.text(IDENTIFIER).is_some() {
                body = json!({"first_name": "Ada"});
            }
            put(&mut body, json!({"created_at": now}));
            body[IDENTIFIER] = json!(SOMEBODY);
            return Ok(body);
        }
        "anonymous" => {
            let mut body = example(ANONYMOUS)?;
            put(&mut body, json!({"timestamp": now, "id": ulid(occasion.mark("event").0)}));
            return Ok(body);
        }
        "merge" => return example(MERGE),
        "entity" => return example(ENTITY),
        "delete" | "suppress" | "unsuppress" => return Ok(json!({IDENTIFIER: SOMEBODY})),
        "batch" => {
            let mut body = example(BATCH)?;
            let (order, event) = (format!("app_{id}"), ulid(occasion.mark("event").0));
            let item = &mut body["batch"][1];
            put(item, json!({"name": "order_paid", "id": event, "timestamp": now}));
            put(&mut item["attributes"], json!({"order_id": order}));
            return Ok(body);
        }
        "cart_created" => json!({"cart_id": format!("cart_{id}"), "line_items": lines()}),
        "checkout_started" => json!({
            "cart_id": format!("cart_{id}"), "checkout_id": format!("chk_{id}"), "value": "48.00",
            "currency": "USD", "line_items": lines(),
        }),
        "order_paid" => json!({
            "order_id": format!("app_{id}"), "total": "48.00", "currency": "USD", "line_items": lines(),
            "coupon": "SPRING10", "discount": "0.00", "shipping": "0.00", "tax": "0.00",
        }),
        "order_fulfilled" => json!({"order_id": format!("app_{id}")}),
        "product_viewed" => json!({"product_id": "mug-blue", "name": "Stoneware Mug"}),
        "back_in_stock_requested" => json!({"product_id": "mug-blue"}),
        _ => json!({"subscription_id": format!("sub_{id}")}),
    };
    Ok(json!({
        IDENTIFIER: SOMEBODY,
        "name": occasion.event,
        "id": ulid(occasion.mark("event").0),
        "timestamp": now,
        "data": data,
    }))
}

fn lines() -> Value {
    json!([{"product_id": "mug-blue", "sku": "MUG-BLUE-L", "name": "Stoneware Mug", "quantity": 2, "price": "24.00"}])
}

/// One piece for the whole amount.
fn follow(occasion: &Occasion<'_>, body: &mut Value) {
    let set = occasion.set;
    for total in ["total", "value"] {
        if set.text(total).is_some() && !set.touches("line_items") && body["data"]["line_items"].is_array() {
            let amount = body["data"][total].clone();
            one_line(&mut body["data"]["line_items"], ("price", &amount));
        }
    }
}

fn deliver(occasion: &Occasion<'_>, mut body: Value, credentials: &Credentials) -> Delivery {
    let person = path_part(&take(&mut body, IDENTIFIER));
    let (method, path) = match occasion.event {
        "identify" => ("PUT", format!("v1/customers/{person}")),
        "delete" => ("DELETE", format!("v1/customers/{person}")),
        "suppress" | "unsuppress" => ("POST", format!("v1/customers/{person}/{}", occasion.event)),
        "anonymous" => ("POST", "v1/events".to_owned()),
        "merge" => ("POST", "v1/merge_customers".to_owned()),
        "entity" | "batch" => ("POST", format!("v2/{}", occasion.event)),
        _ => ("POST", format!("v1/customers/{person}/events")),
    };
    credentials.track(method, &path, bytes(&body))
}
