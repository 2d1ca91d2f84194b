//! Orders that are hard to take: what they say contradicts itself, is out of all bounds, or comes from the future.

use commerce::EventName;
use commerce::person::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";

fn order(fields: Value) -> Value {
    let order = json!({
        "id": 1001,
        "email": JANE,
        "created_at": "2026-03-14T09:00:00-04:00",
        "updated_at": "2026-03-14T09:05:00-04:00",
        "currency": "USD",
        "total_price": "30.00",
        "subtotal_price": "25.00",
        "financial_status": "paid",
        "fulfillment_status": null,
        "line_items": [{"product_id": 1, "title": "Shirt", "quantity": 1, "price": "25.00"}],
        "refunds": [],
    });
    with(order, fields)
}

fn refunded(id: i64, amount: &str, currency: &str) -> Value {
    json!({"id": id, "created_at": "2026-03-14T14:02:00Z",
        "transactions": [{"amount": amount, "currency": currency, "kind": "refund", "status": "success"}]})
}

fn flags(story: &Story) -> Vec<&str> {
    story.order("1001").flags.iter().map(String::as_str).collect()
}

/// Gross by currency, as published of Jane.
fn gross(story: &Story) -> Vec<(String, i64)> {
    let jane = story.profile(Kind::Email, JANE);
    let sums = jane.total_spent_by_currency.iter().filter(|(_, minor)| **minor != 0);
    sums.map(|(currency, minor)| (currency.to_string(), *minor)).collect()
}

#[test]
fn an_order_whose_currency_changes_moves_to_it_with_all_that_it_counted() {
    let refund = refunded(1, "10.00", "USD");
    let in_dollars = order(json!({"financial_status": "partially_refunded", "refunds": [refund]}));
    let in_euros = order(json!({"currency": "EUR", "total_price": "28.00", "subtotal_price": null,
        "financial_status": "partially_refunded", "refunds": [], "updated_at": "2026-03-14T14:05:00Z"}));
    let mut both = vec![];
    for deliveries in [[&in_dollars, &in_euros], [&in_euros, &in_dollars]] {
        let mut story = Story::new();
        deliveries.into_iter().for_each(|order| story.shopify("orders/updated", order));
        let order = story.order("1001");
        assert_eq!(order.total.unwrap().to_string(), "28.00 EUR");
        // Dollars can't be taken off euros: they are left out, and it says so.
        assert_eq!((order.subtotal, order.refunds.len()), (None, 0));
        assert_eq!(flags(&story), ["currency_conflict", "fx_missing"]);
        assert_eq!(gross(&story), [("EUR".to_owned(), 2800)]);
        story.assert_chain("1001");
        both.push(format!("{:?}", story.order("1001")));
    }
    assert_eq!(both[0], both[1]);
}

#[test]
fn refunds_beyond_the_total_are_cut_at_it_and_flagged_whichever_comes_first() {
    let version = |minute: u32, refunds: Value| {
        let at = format!("2026-03-14T14:{minute:02}:00Z");
        order(json!({"financial_status": "refunded", "refunds": refunds, "updated_at": at}))
    };
    let first = version(5, json!([refunded(1, "20.00", "USD")]));
    let second = version(6, json!([refunded(1, "20.00", "USD"), refunded(2, "20.00", "USD")]));
    for deliveries in [[&first, &second], [&second, &first]] {
        let mut story = Story::new();
        deliveries.into_iter().for_each(|order| story.shopify("orders/updated", order));
        let order = story.order("1001");
        assert_eq!((order.refunded_total.unwrap().minor, order.net.unwrap().minor), (3000, 0));
        assert_eq!(flags(&story), ["refund_exceeds_order"]);
        assert_eq!(story.count(EventName::OrderRefunded), 2);
        assert_eq!(story.profile(Kind::Email, JANE).lifetime_value.minor, 0);
        story.assert_chain("1001");
    }
}

#[test]
fn a_version_from_the_future_stays_the_newest_and_its_refund_falls_into_no_later_day() {
    let future = order(json!({"updated_at": "2099-01-01T00:00:00Z", "total_price": "40.00"}));
    let later = order(json!({"updated_at": "2026-03-14T15:00:00Z", "refunds": [refunded(1, "5.00", "USD")]}));
    for deliveries in [[&future, &later], [&later, &future]] {
        let mut story = Story::new();
        deliveries.into_iter().for_each(|order| story.shopify("orders/updated", order));
        let order = story.order("1001");
        // The claim is kept (R6.6), and what an older version proves still counts (R4.1).
        assert_eq!((order.total.unwrap().minor, order.refunded_total.unwrap().minor), (4000, 500));
        assert!(order.counted_at.unwrap() <= instant("2026-03-14T16:00:00Z"));
        assert!(order.refund_times.values().all(|at| *at <= instant("2026-03-14T16:00:00Z")));
        assert!(story.facts.iter().any(|fact| fact.flags.iter().any(|flag| flag == "timestamp_future")));
    }
}

#[test]
fn a_negative_quantity_is_set_aside_with_its_path_and_counts_nowhere() {
    let mut story = Story::new();
    let lines = json!([{"product_id": 1, "title": "Shirt", "quantity": -1, "price": "25.00"}]);
    story.shopify("orders/create", &order(json!({"line_items": lines})));
    assert_eq!((story.facts.len(), story.all_orders().len()), (0, 0));
    let [letter] = story.letters.as_slice() else { panic!("{:?}", story.letters) };
    let (reason, field) = (letter.reason.as_str(), letter.field.as_deref());
    assert_eq!((reason, field), ("bad_value", Some("line_items[0].quantity")));
}

#[test]
fn an_id_of_ten_kilobytes_is_set_aside_or_refused_and_a_number_of_that_length_links_nothing() {
    let long = "x".repeat(10_240);
    let mut story = Story::new();
    story.shopify("orders/create", &order(json!({"id": long})));
    let [letter] = story.letters.as_slice() else { panic!("{:?}", story.letters) };
    assert_eq!((letter.reason.as_str(), letter.field.as_deref()), ("bad_value", Some("id")));
    let push = |id: &str, number: &str| {
        json!({"orderId": id, "orderNumber": number, "totalCents": 3000, "currency": "USD",
            "customer": {"email": JANE}})
    };
    let headers = [("authorization", "Bearer dev-orders-key")];
    let line = (Method::POST, "/api/v1/orders", None);
    assert_eq!(story.call(line, &headers, &push(&long, "1").to_string()), 400);
    assert!(story.all_orders().is_empty());
    // The order of a number that is too long is taken without it.
    story.shopify("orders/create", &order(json!({"name": long})));
    story.sequenzy(&push("s-1", &long));
    let mut ids: Vec<&str> = story.all_orders().iter().map(|order| order.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["1001", "s-1"]);
    assert!(story.all_orders().iter().all(|order| order.aliases.is_empty()));
}
