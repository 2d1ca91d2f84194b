//! A load is known by its label, wherever that stands: the header of the request, or every item of the body.

use serde_json::{Value, json};
use sources::{Accepted, is_load_label};

use crate::fixture::*;

fn is_load(accepted: &Accepted) -> bool {
    accepted.headers.iter().any(|(name, _)| is_load_label(name))
}

fn sent(path: &str, authorization: &str, body: &Value) -> Accepted {
    let headers = [("authorization", authorization)];
    accepted(post(&workspaces(), path, None, &headers, body.to_string().as_bytes()))
}

const BASIC: &str = "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==";

fn customerio(data: &Value) -> Accepted {
    sent("/api/v1/customers/5/events", BASIC, &json!({"name": "order_paid", "data": data}))
}

fn tracked(properties: &[Value]) -> Accepted {
    let event = |properties: &Value| json!({"event_type": "search", "properties": properties});
    let events: Vec<Value> = properties.iter().map(event).collect();
    sent("/v1/api/analytics/ecommerce/batch", "Bearer sk_dev_demo", &json!({"events": events}))
}

fn pushed(properties: &Value) -> Accepted {
    let body = json!({
        "orderId": "1", "totalCents": 100, "currency": "USD", "customer": {"email": "a@b.example"}, "properties": properties,
    });
    sent("/api/v1/orders", "Bearer dev-orders-key", &body)
}

fn rows(labels: &[Value]) -> Accepted {
    let row = |label: &Value| json!({"email": "a@b.example", "_backfill": label});
    let records: Vec<Value> = labels.iter().map(row).collect();
    sent("/public/v1/records/profiles/upsert-batch", "Bearer dev-records-key", &json!({"records": records}))
}

#[test]
fn a_body_that_labels_itself_waits_in_the_slow_lane_whatever_the_source() {
    let order = json!({"order_id": "1", "total": 1, "currency": "USD"});
    for label in [json!(true), json!("spring")] {
        let labelled = json!({"backfill": label});
        assert!(is_load(&customerio(&with(order.clone(), labelled.clone()))), "{label}");
        assert!(is_load(&tracked(&[labelled.clone(), labelled.clone()])), "{label}");
        assert!(is_load(&pushed(&labelled)), "{label}");
        assert!(is_load(&rows(&[label.clone(), label.clone()])), "{label}");
    }
}

#[test]
fn a_live_event_is_not_held_back_for_a_word_or_for_its_neighbours() {
    for no_label in [json!({"backfill": false}), json!({"note": "backfill"}), json!({"backfill": {"a": 1}})] {
        assert!(!is_load(&customerio(&with(json!({"order_id": "1"}), no_label.clone()))), "{no_label}");
        assert!(!is_load(&tracked(std::slice::from_ref(&no_label))), "{no_label}");
    }
    assert!(!is_load(&tracked(&[json!({"backfill": true}), json!({})])));
    assert!(!is_load(&rows(&[json!(true), Value::Null])));
    assert!(!is_load(&pushed(&json!({}))));
}

#[test]
fn a_label_of_the_head_is_enough_and_is_told_once() {
    let headers = [("authorization", "Bearer dev-orders-key"), ("tillstream-backfill", "spring")];
    let body = json!({
        "orderId": "1", "totalCents": 1, "currency": "USD", "customer": {"email": "a@b.example"},
        "properties": {"backfill": true},
    });
    let accepted =
        accepted(post(&workspaces(), "/api/v1/orders", None, &headers, body.to_string().as_bytes()));
    let labels = accepted.headers.iter().filter(|(name, _)| is_load_label(name));
    assert_eq!(labels.map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["http.tillstream-backfill"]);
}
