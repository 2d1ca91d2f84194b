//! Pushed orders and checkouts.

use commerce::Source;
use serde_json::{Value, json};

use super::{Error, Kind, Occasion, bytes, example, nothing_inside, one_line, put, take_out};

const ORDER: &str = include_str!("../../../../schemas/examples/sequenzy_order_placed.json");
const CHECKOUT: &str = include_str!("../../../../schemas/examples/sequenzy_checkout_started.json");

pub(super) const SEQUENZY: Kind = Kind {
    source: Source::Sequenzy,
    events: &["order_placed", "order_fulfilled", "order_cancelled", "order_refunded", "checkout_started"],
    hint: "totalCents, currency, orderId, customer.email, refundAmountCents",
    fresh,
    inside: nothing_inside,
    follow,
    deliver: |occasion, body, credentials| {
        let path = if occasion.event == CHECKOUT_STARTED { "checkouts" } else { "orders" };
        credentials.push(path, bytes(&body))
    },
};

const CHECKOUT_STARTED: &str = "checkout_started";

fn fresh(occasion: &Occasion<'_>) -> Result<Value, Error> {
    let id = occasion.id;
    if occasion.event == CHECKOUT_STARTED {
        let mut body = example(CHECKOUT)?;
        put(
            &mut body,
            json!({
                "checkoutId": format!("chk_{id}"),
                "checkoutUrl": format!("https://shop.example.com/checkout/chk_{id}"),
            }),
        );
        return Ok(body);
    }
    let mut body = example(ORDER)?;
    put(
        &mut body,
        json!({
            "orderId": format!("ord_{id}"),
            "orderNumber": format!("T{}", id.rem_euclid(1_000_000_000)),
            "status": occasion.action(),
            "orderedAt": occasion.now.to_rfc3339(),
        }),
    );
    take_out(&mut body, &["customerTotals"]);
    Ok(body)
}

/// One piece for the whole amount, and another e-mail is another customer.
fn follow(occasion: &Occasion<'_>, body: &mut Value) {
    let set = occasion.set;
    if set.text("totalCents").is_some() && !set.touches("items") {
        let total = body["totalCents"].clone();
        one_line(&mut body["items"], ("priceCents", &total));
    }
    if set.text("customer.email").is_some() && set.text("customer.externalId").is_none() {
        take_out(&mut body["customer"], &["externalId"]);
    }
    if set.text("orderId").is_some() && set.text("orderNumber").is_none() {
        // The number would be another order's.
        take_out(body, &["orderNumber"]);
    }
}
