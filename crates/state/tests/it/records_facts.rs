//! Rows and profiles.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";

fn row(fields: Value) -> Value {
    let row = json!({"shopify_order_id": "1001", "customer_email": JANE, "total": 49.99, "currency": "USD",
        "financial_status": "paid", "placed_at": "2026-03-14T09:00:00-04:00"});
    json!({"record": with(row, fields)})
}

fn append(story: &mut Story, key: &str, fields: Value) {
    story.records("orders/append", key, &row(fields));
}

fn upsert(story: &mut Story, key: &str, fields: Value) {
    let body = json!({"matchKey": "email", "record": with(json!({"email": JANE}), fields)});
    story.records("profiles/upsert", key, &body);
}

#[test]
fn rec_c02_the_same_append_twice_is_one_order() {
    let mut story = Story::new();
    append(&mut story, "k", json!({}));
    append(&mut story, "k", json!({}));
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 1));
    assert_eq!(story.profile(Kind::Email, JANE).orders_count, 1);
    assert!(story.letters.is_empty());
    assert_eq!(story.outcomes("records/duplicate/transport"), 1);
}

#[test]
fn rec_c03_the_same_key_with_another_total_leaves_the_first_row_and_one_letter() {
    let mut story = Story::new();
    append(&mut story, "k", json!({}));
    append(&mut story, "k", json!({"total": 99.99}));
    assert_eq!(story.order("1001").total.unwrap().minor, 4999);
    let letters: Vec<&str> = story.letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(letters, ["idempotency_body_mismatch"]);
}

#[test]
fn rec_c04_the_same_key_with_another_ltv_applies_the_last() {
    let mut story = Story::new();
    upsert(&mut story, "k", json!({"ltv": 100.0}));
    story.at("2026-03-14T16:01:00Z");
    upsert(&mut story, "k", json!({"ltv": 150.0}));
    assert_eq!(story.profile(Kind::Email, JANE).total_spent.minor, 15_000);
    assert!(story.letters.is_empty());
}

#[test]
fn rec_c05_two_requests_with_one_key_are_one_row() {
    let mut story = Story::new();
    let body = row(json!({})).to_string();
    let line = || (http::Method::POST, "/public/v1/records/orders/append", None);
    let headers = [("authorization", "Bearer dev-records-key"), ("idempotency-key", "k")];
    // Both are taken before either is processed.
    let stored: Vec<(u16, Option<Stored>)> = (0..2).map(|_| story.store(line(), &headers, &body)).collect();
    for (status, stored) in &stored {
        assert_eq!(*status, 200);
        story.take(stored.as_ref().unwrap());
    }
    assert_eq!(story.count(EventName::OrderPlaced), 1);
}

#[test]
fn rec_c06_an_order_of_ten_rows_counts_once() {
    let mut story = Story::new();
    for n in 0..10 {
        let row = json!({"updated_at": format!("2026-03-14T14:{n:02}:00Z"), "tags": format!("t{n}")});
        append(&mut story, &format!("k{n}"), row);
    }
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 1));
    assert_eq!(story.count(EventName::OrderUpdated), 9, "each row is a fact that stays");
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!((jane.orders_count, jane.total_spent.minor), (1, 4999));
    story.assert_chain("1001");
}

#[test]
fn rec_c07_an_upsert_keeps_what_it_leaves_out_and_null_clears_attributes_alone() {
    let mut story = Story::new();
    upsert(&mut story, "a", json!({"first_name": "Jane", "city": "Salem", "order_count": 4, "plan": "gold"}));
    story.at("2026-03-14T16:01:00Z");
    upsert(&mut story, "b", json!({"city": "Lynn"}));
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!((jane.contact.first_name.as_deref(), jane.orders_count), (Some("Jane"), 4));
    assert_eq!(
        (jane.attributes["city"].as_str(), jane.attributes["plan"].as_str()),
        (r#""Lynn""#, r#""gold""#)
    );
    story.at("2026-03-14T16:02:00Z");
    upsert(&mut story, "c", json!({"first_name": null, "order_count": null, "plan": null}));
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!((jane.contact.first_name.as_deref(), jane.orders_count), (None, 4));
    assert!(!jane.attributes.contains_key("plan") && jane.attributes.contains_key("city"));
}

#[test]
fn rec_c09_an_address_in_another_form_is_the_same_person() {
    let mut story = Story::new();
    upsert(&mut story, "a", json!({"plan": "gold"}));
    upsert(&mut story, "b", json!({"email": " JANE.DOE@example.com ", "city": "Salem"}));
    assert_eq!(story.people().len(), 1);
    assert_eq!(story.profile(Kind::Email, JANE).attributes.len(), 2);
}

#[test]
fn rec_c11_a_paid_row_is_one_payment_and_a_growing_sum_one_refund() {
    let mut story = Story::new();
    append(&mut story, "a", json!({"financial_status": "pending"}));
    assert_eq!(story.count(EventName::OrderPaid), 0);
    append(&mut story, "b", json!({"updated_at": "2026-03-14T14:00:00Z"}));
    let refunded = json!({"updated_at": "2026-03-14T15:00:00Z", "financial_status": "partially_refunded", "refund_total": 10.00});
    append(&mut story, "c", refunded.clone());
    append(&mut story, "d", refunded);
    assert_eq!(story.count(EventName::OrderPaid), 1);
    let refunds = story.named(EventName::OrderRefunded);
    assert_eq!((refunds.len(), refunds[0].refund.as_ref().unwrap().amount.minor), (1, 1000));
    story.assert_chain("1001");
}
