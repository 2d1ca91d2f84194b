//! Events of the e-commerce analytics API, and the erasure of a user.

use commerce::Source;
use serde_json::{Value, json};

use super::{Error, Kind, Occasion, bytes, example, nothing_inside, one_line, put, take, take_out};
use crate::demo::{AnalyticsKey, Credentials, Delivery, path_part};

const PURCHASE: &str = include_str!("../../../../schemas/examples/analytics_purchase.json");
const BATCH: &str = include_str!("../../../../schemas/examples/analytics_batch.json");

pub(super) const ANALYTICS: Kind = Kind {
    source: Source::Analytics,
    events: &[
        "view_item",
        "add_to_cart",
        "remove_from_cart",
        "add_to_wishlist",
        "view_cart",
        "begin_checkout",
        "add_payment_info",
        "purchase",
        "refund",
        "search",
        "share",
        "rate",
        "spend_credits",
        "batch",
        "delete_user",
    ],
    hint: "revenue, currency, user_id, cart_id, transaction_id, coupon_code, properties.device_type",
    fresh,
    inside: nothing_inside,
    follow,
    deliver,
};

fn fresh(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let (id, now) = (occasion.id, occasion.now.to_rfc3339());
    let user = json!({"user_id": "user_123"});
    if occasion.event == "delete_user" {
        return Ok(user);
    }
    if occasion.event == "batch" {
        let mut body = example(BATCH)?;
        for (n, event) in body["events"].as_array_mut().into_iter().flatten().enumerate() {
            put(event, json!({"event_id": format!("evt_{id}_{n}"), "timestamp": now}));
            if event.get("cart_id").is_some() {
                put(event, json!({"cart_id": format!("cart_{id}")}));
            }
        }
        return Ok(body);
    }
    let whole = example(PURCHASE)?;
    let mut body = json!({
        "event_type": occasion.event, "event_id": format!("evt_{id}"), "timestamp": now, "user_id": user["user_id"],
    });
    let mut copy = |names: &[&str]| {
        for name in names {
            body[*name] = whole[*name].clone();
        }
    };
    match occasion.event {
        "view_item" | "add_to_wishlist" => copy(&["items"]),
        "add_to_cart" | "remove_from_cart" => copy(&["items", "cart_id"]),
        "view_cart" => copy(&["cart_id"]),
        "begin_checkout" | "add_payment_info" => {
            copy(&["items", "cart_id", "revenue", "currency", "coupon_code"]);
        }
        "purchase" => copy(&[
            "items",
            "cart_id",
            "revenue",
            "currency",
            "discount",
            "shipping",
            "tax",
            "coupon_code",
            "transaction_id",
        ]),
        "refund" => copy(&["revenue", "currency", "transaction_id"]),
        "spend_credits" => copy(&["revenue", "currency"]),
        "search" => body["properties"] = json!({"search_term": "blue mug"}),
        "share" => body["properties"] = json!({"item_id": "mug-blue"}),
        _ => body["properties"] = json!({"item_id": "mug-blue", "rating": "5"}),
    }
    for (name, prefix) in [("cart_id", "cart"), ("transaction_id", "web")] {
        if body.get(name).is_some() {
            body[name] = json!(format!("{prefix}_{id}"));
        }
    }
    Ok(body)
}

/// One piece for the whole amount, without parts that would have to add up to it.
fn follow(occasion: &Occasion<'_>, body: &mut Value) {
    let set = occasion.set;
    if set.text("revenue").is_none() {
        return;
    }
    let revenue = body["revenue"].clone();
    if !set.touches("items") && body.get("items").is_some() {
        one_line(&mut body["items"], ("price", &revenue));
    }
    let parts = ["discount", "shipping", "tax"];
    let parts: Vec<&str> = parts.into_iter().filter(|part| set.text(part).is_none()).collect();
    take_out(body, &parts);
}

fn deliver(occasion: &Occasion<'_>, mut body: Value, credentials: &Credentials) -> Delivery {
    let (method, path) = match occasion.event {
        "delete_user" => ("DELETE", format!("user/{}", path_part(&take(&mut body, "user_id")))),
        "batch" => ("POST", "ecommerce/batch".to_owned()),
        _ => ("POST", "ecommerce/track".to_owned()),
    };
    let items = body["events"].as_array().map_or(1, |events| i64::try_from(events.len()).unwrap_or(1));
    let delivery = credentials.analytics(method, &path, AnalyticsKey::Secret, bytes(&body));
    Delivery { items, ..delivery }
}
