//! Purchases and refunds that come again.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

fn purchase(fields: Value) -> Value {
    let purchase = json!({"event_type": "purchase", "transaction_id": "t-1", "revenue": 49.99, "currency": "USD",
        "user_id": "5"});
    with(purchase, fields)
}

fn refund(fields: Value) -> Value {
    purchase(with(json!({"event_type": "refund", "revenue": 10.00}), fields))
}

#[test]
fn ana_c08_a_purchase_counts_once_within_24_hours_and_after_them() {
    let mut story = Story::new();
    story.analytics(&purchase(json!({})));
    story.at("2026-03-15T15:59:00Z").analytics(&purchase(json!({})));
    assert_eq!(story.names(), ["order.placed", "order.paid"]);
    story.at("2026-03-15T17:00:00Z").analytics(&purchase(json!({})));
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 1));
    let person = story.profile(Kind::User, "5");
    assert_eq!((person.orders_count, person.total_spent.minor), (1, 4999));
    assert_eq!(story.order("t-1").total.unwrap().minor, 4999);
}

#[test]
fn ana_c09_a_second_refund_within_24_hours_is_the_same_unless_it_has_an_id() {
    let mut story = Story::new();
    story.analytics(&purchase(json!({})));
    let back = |story: &Story| story.order("t-1").refunded_total.unwrap().minor;
    story.analytics(&refund(json!({})));
    assert_eq!(back(&story), 1000);
    story.at("2026-03-14T18:00:00Z").analytics(&refund(json!({"revenue": 5.00})));
    assert_eq!((back(&story), story.count(EventName::OrderRefunded)), (1000, 1));
    story.analytics(&refund(json!({"revenue": 5.00, "properties": {"refund_id": "r-2"}})));
    assert_eq!((back(&story), story.count(EventName::OrderRefunded)), (1500, 2));
    story.assert_chain("t-1");
}
