//! Shopify webhooks, and the calls of the custom backend with the same bodies: orders, refunds, checkouts, customers.

use commerce::{Currency, Mark, Money, Source};
use serde_json::{Value, json};

use super::{Error, Kind, Occasion, Set, bytes, example, nothing_inside, one_line, put, take_out};
use crate::demo::{Credentials, Delivery, WebhookIds, uuid_text};

const SHOPIFY_ORDER: &str = include_str!("../../../../schemas/examples/shopify_order_create.json");
const BACKEND_ORDER: &str = include_str!("../../../../schemas/examples/lifesight_orders_create.json");
const CHECKOUT: &str = include_str!("../../../../schemas/examples/lifesight_checkouts_update.json");
const CUSTOMER: &str = include_str!("../../../../schemas/examples/lifesight_customers_create.json");

pub(super) const SHOPIFY: Kind = Kind {
    source: Source::Shopify,
    events: &[
        "orders/create",
        "orders/updated",
        "orders/paid",
        "orders/partially_fulfilled",
        "orders/fulfilled",
        "orders/cancelled",
        "refunds/create",
        "checkouts/create",
        "checkouts/update",
        "customers/create",
        "customers/update",
    ],
    hint: "total_price, email, currency, line_items[0].quantity",
    fresh: |occasion| fresh(Source::Shopify, occasion),
    inside: nothing_inside,
    follow,
    deliver: |occasion, body, credentials: &Credentials| -> Delivery {
        credentials.shopify(occasion.event, &ids(occasion), bytes(&body))
    },
};

pub(super) const LIFESIGHT: Kind = Kind {
    source: Source::Lifesight,
    events: &[
        "orders_create",
        "orders_updated",
        "orders_paid",
        "orders_partially_fulfilled",
        "orders_fulfilled",
        "orders_cancelled",
        "checkouts_create",
        "checkouts_update",
        "customers_create",
        "customers_update",
    ],
    hint: "total_price, email, currency, line_items[0].quantity",
    fresh: |occasion| fresh(Source::Lifesight, occasion),
    inside: nothing_inside,
    follow,
    deliver: |occasion, body, credentials| credentials.backend(occasion.event, bytes(&body)),
};

fn ids(occasion: &Occasion<'_>) -> WebhookIds {
    let name = |what| uuid_text(occasion.mark(what).0);
    WebhookIds { webhook: name("webhook"), event: name("event"), triggered_at: occasion.now.to_rfc3339() }
}

fn fresh(source: Source, occasion: &Occasion<'_>) -> Result<Value, Error> {
    let object = occasion.event.split(['/', '_']).next().unwrap_or_default();
    match object {
        "refunds" => Ok(refund(occasion.id, &occasion.now.to_rfc3339())),
        "checkouts" => checkout(occasion),
        "customers" => customer(occasion),
        _ => order(source, occasion),
    }
}

/// The example as an order of now, with what the event stands for.
fn order(source: Source, occasion: &Occasion<'_>) -> Result<Value, Error> {
    let (id, now) = (occasion.id, occasion.now.to_rfc3339());
    let mut body = example(if source == Source::Shopify { SHOPIFY_ORDER } else { BACKEND_ORDER })?;
    let number = id.rem_euclid(1_000_000_000);
    put(
        &mut body,
        json!({
            "id": id,
            "name": format!("#T{number}"),
            "order_number": number,
            "created_at": now,
            "updated_at": now,
            "processed_at": now,
            "financial_status": "paid",
        }),
    );
    let (partial, whole) = ("partial", if source == Source::Shopify { "fulfilled" } else { "shipped" });
    match occasion.action() {
        "partially_fulfilled" => put(&mut body, json!({"fulfillment_status": partial})),
        "fulfilled" => put(&mut body, json!({"fulfillment_status": whole})),
        "cancelled" => put(
            &mut body,
            json!({"cancelled_at": now, "cancel_reason": "customer", "financial_status": "voided"}),
        ),
        _ => {}
    }
    // One order's links belong to no other, and its totals are none of the customer's.
    take_out(
        &mut body,
        &["admin_graphql_api_id", "checkout_id", "checkout_token", "cart_token", "token", "checkout"],
    );
    take_out(&mut body["customer"], &["orders_count", "total_spent"]);
    another_person(&mut body, occasion.set);
    Ok(body)
}

/// Another e-mail is another person, so the other identifiers of the example must not stay.
fn another_person(body: &mut Value, set: Set<'_>) {
    let Some(email) = set.text("email") else { return };
    body["contact_email"] = json!(email);
    body["phone"] = Value::Null;
    if body["customer"].is_object() {
        let fields = json!({"id": customer_id(email), "email": email, "phone": null});
        put(&mut body["customer"], fields);
    }
}

fn customer_id(email: &str) -> u64 {
    Mark::of(&[b"customer", email.as_bytes()]).high() >> 20
}

fn refund(id: i64, now: &str) -> Value {
    json!({
        "id": id,
        "order_id": id,
        "created_at": now,
        "processed_at": now,
        "note": "",
        "restock": false,
        "refund_line_items": [],
        "transactions": [{
            "id": id,
            "order_id": id,
            "kind": "refund",
            "status": "success",
            "amount": "10.00",
            "currency": "USD",
            "gateway": "shopify_payments",
            "created_at": now,
        }],
    })
}

fn checkout(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let (id, now) = (occasion.id, occasion.now.to_rfc3339());
    let token = occasion.mark("checkout").to_hex();
    let mut body = example(CHECKOUT)?;
    put(
        &mut body,
        json!({
            "id": id,
            "abandoned_checkout_url": format!("https://shop.example.com/checkouts/{token}"),
            "token": token,
            "created_at": now,
            "updated_at": now,
        }),
    );
    Ok(body)
}

fn customer(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let now = occasion.now.to_rfc3339();
    let mut body = example(CUSTOMER)?;
    put(&mut body, json!({"created_at": now, "updated_at": now}));
    take_out(&mut body, &["orders_count", "total_spent"]);
    if let Some(email) = occasion.set.text("email") {
        // Another e-mail is another customer.
        put(&mut body, json!({"id": customer_id(email), "phone": null}));
    }
    Ok(body)
}

/// Makes the rest of the body agree with what was set, except where it was set too.
fn follow(occasion: &Occasion<'_>, body: &mut Value) {
    let set = occasion.set;
    if let Some(currency) = set.text("currency") {
        recur(body, currency);
    }
    if set.text("order_id").is_some() && !set.touches("transactions") {
        body["transactions"][0]["order_id"] = body["order_id"].clone();
    }
    if set.text("total_price").is_none() {
        return;
    }
    let Some(total) = amount(body) else { return };
    let (text, zero) = (total.to_major(), Money::zero(total.currency).to_major());
    let mut agree = |names: &[&str], text: &str| {
        for name in names {
            if set.text(name).is_none()
                && let Some(value) = body.get_mut(*name)
            {
                *value = json!(text);
            }
        }
    };
    agree(
        &["subtotal_price", "current_total_price", "current_subtotal_price", "total_line_items_price"],
        &text,
    );
    agree(&["total_discounts", "current_total_discounts", "total_tax", "current_total_tax"], &zero);
    if !set.touches("total_shipping_price_set") {
        for money in ["/total_shipping_price_set/shop_money", "/total_shipping_price_set/presentment_money"] {
            if let Some(money) = body.pointer_mut(money) {
                money["amount"] = json!(zero);
            }
        }
    }
    for list in ["discount_codes", "discount_applications", "tax_lines", "shipping_lines"] {
        if !set.touches(list) && body.get(list).is_some() {
            body[list] = json!([]);
        }
    }
    if !set.touches("line_items")
        && let Some(lines) = body.get_mut("line_items")
    {
        one_line(lines, ("price", &json!(text)));
        for line in lines.as_array_mut().into_iter().flatten() {
            line["total_discount"] = json!(zero);
            if line.get("discount_allocations").is_some() {
                line["discount_allocations"] = json!([]);
            }
        }
    }
}

/// The total, unless it was set to something that is none: then the body is sent as it is, to see what happens.
fn amount(body: &Value) -> Option<Money> {
    let currency = Currency::parse(body.get("currency")?.as_str()?).ok()?;
    let read = Money::parse_major(body.get("total_price")?.as_str()?, currency).ok()?;
    (!read.rounded).then_some(read.money)
}

/// Names the currency in every place of a body that names one.
fn recur(value: &mut Value, code: &str) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let names = matches!(name.as_str(), "currency" | "presentment_currency" | "currency_code");
                if names && value.is_string() {
                    *value = json!(code);
                } else {
                    recur(value, code);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| recur(value, code)),
        _ => {}
    }
}
