//! D-ANA-1: an id of the analytics API names one order for ever, unless the workspace uses its ids again.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

fn purchase(revenue: f64) -> Value {
    json!({"event_type": "purchase", "transaction_id": "t-1", "user_id": "5", "revenue": revenue, "currency": "USD"})
}

fn refund(revenue: f64) -> Value {
    with(purchase(revenue), json!({"event_type": "refund"}))
}

fn reusing(days: u32) -> Story {
    Story::configured(|config| config.reuse_transaction_id_after_s = Some(days * 86_400))
}

fn total(story: &Story, id: &str) -> i64 {
    story.order(id).total.unwrap().minor
}

/// Counted orders and gross of the buyer.
fn totals(story: &Story) -> (i64, i64) {
    let buyer = story.profile(Kind::User, "5");
    (buyer.orders_count, buyer.total_spent.minor)
}

#[test]
fn d_ana_1_by_default_a_purchase_that_comes_again_is_the_same_order_with_another_amount() {
    let mut story = Story::new();
    story.analytics(&purchase(49.99));
    story.at("2027-03-14T16:00:00Z").analytics(&purchase(60.0));
    assert_eq!((totals(&story), story.all_orders().len()), ((1, 6_000), 1));
}

#[test]
fn d_ana_1_where_ids_are_used_again_a_purchase_long_after_the_last_one_is_another_order() {
    let mut story = reusing(30);
    story.analytics(&purchase(10.0));
    // Within a day it is the same call, within the thirty days the same order.
    story.at("2026-03-14T18:00:00Z").analytics(&purchase(11.0));
    assert_eq!(totals(&story), (1, 1_000));
    story.at("2026-04-01T16:00:00Z").analytics(&purchase(12.0));
    assert_eq!(totals(&story), (1, 1_200));
    // Thirty days after the last one, to the second.
    story.at("2026-05-01T15:59:59Z").analytics(&purchase(13.0));
    assert_eq!(totals(&story), (1, 1_300));
    story.at("2026-05-31T15:59:59Z").analytics(&purchase(20.0));
    assert_eq!(totals(&story), (2, 3_300));
    assert_eq!((total(&story, "t-1"), total(&story, "t-1~2")), (1_300, 2_000));
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (2, 2));
    story.at("2026-07-31T16:00:00Z").analytics(&purchase(30.0));
    assert_eq!((total(&story, "t-1~3"), totals(&story)), (3_000, (3, 6_300)));
    for id in ["t-1", "t-1~2", "t-1~3"] {
        story.assert_chain(id);
    }
}

#[test]
fn d_ana_1_a_refund_is_of_the_last_order_that_was_bought_by_then() {
    let mut story = reusing(1);
    story.analytics(&purchase(10.0));
    story.at("2026-03-14T17:00:00Z").analytics(&refund(1.0));
    story.at("2026-03-20T16:00:00Z").analytics(&purchase(20.0));
    story.at("2026-03-20T17:00:00Z").analytics(&refund(5.0));
    let back = |id: &str| story.order(id).refunded_total.unwrap().minor;
    assert_eq!((back("t-1"), back("t-1~2")), (100, 500));
}

#[test]
fn d_ana_1_a_delivery_that_is_read_again_finds_the_order_that_it_found_before() {
    let mut story = reusing(1);
    let line = || (http::Method::POST, "/v1/api/analytics/ecommerce/track", None);
    let mut stored = Vec::new();
    for (time, revenue) in [("2026-03-14T16:00:00Z", 10.0), ("2026-03-20T16:00:00Z", 20.0)] {
        let headers = [("x-api-key", "sk_dev_demo")];
        let body = purchase(revenue).to_string();
        stored.extend(story.at(time).store(line(), &headers, &body).1);
    }
    for place in [0, 1, 0, 1, 1, 0] {
        story.take(&stored[place]);
    }
    assert_eq!((totals(&story), story.count(EventName::OrderPlaced)), ((2, 3_000), 2));
}

#[test]
fn d_ana_1_orders_of_other_sources_keep_their_ids() {
    let mut story = reusing(1);
    let push = json!({"orderId": "t-1", "status": "placed", "totalCents": 1000, "currency": "USD",
        "customer": {"email": "jane@example.com"}, "items": []});
    story.sequenzy(&push);
    story.at("2026-04-14T16:00:00Z").sequenzy(&with(push, json!({"totalCents": 1200})));
    assert_eq!(story.all_orders().len(), 1);
}

/// Two buyers of one id, the first of whom is forgotten then.
fn forgotten() -> Story {
    let mut story = reusing(1);
    story.analytics(&purchase(10.0));
    story.at("2026-03-20T16:00:00Z").analytics(&with(purchase(20.0), json!({"user_id": "6"})));
    let line = (http::Method::DELETE, "/v1/api/analytics/user/5", None);
    assert_eq!(story.at("2026-03-20T17:00:00Z").call(line, &[("x-api-key", "sk_dev_demo")], ""), 200);
    assert_eq!((story.has_order("t-1"), story.has_order("t-1~2")), (false, true));
    story
}

#[test]
fn d_ana_1_where_the_buyer_of_the_first_order_is_erased_the_second_keeps_its_refunds_and_repetitions() {
    let mut story = forgotten();
    let of_john = |event: Value| with(event, json!({"user_id": "6"}));
    story.at("2026-03-20T18:00:00Z").analytics(&of_john(refund(5.0)));
    story.analytics(&of_john(purchase(21.0)));
    assert!(!story.has_order("t-1"), "nothing is bought anew");
    assert_eq!(story.order("t-1~2").refunded_total.unwrap().minor, 500);
    let john = story.profile(Kind::User, "6");
    assert_eq!((john.orders_count, story.all_orders().len()), (1, 1));
    story.at("2026-04-20T18:00:00Z").analytics(&of_john(purchase(30.0)));
    assert_eq!((total(&story, "t-1~3"), story.profile(Kind::User, "6").orders_count), (3_000, 2));
}

#[test]
fn d_ana_1_an_erased_order_keeps_its_number() {
    let mut story = reusing(1);
    story.analytics(&purchase(10.0));
    let line = (http::Method::DELETE, "/v1/api/analytics/user/5", None);
    assert_eq!(story.at("2026-03-14T17:00:00Z").call(line, &[("x-api-key", "sk_dev_demo")], ""), 200);
    story.at("2026-03-20T16:00:00Z").analytics(&with(purchase(20.0), json!({"user_id": "6"})));
    assert_eq!((story.has_order("t-1"), total(&story, "t-1~2")), (false, 2_000));
}
