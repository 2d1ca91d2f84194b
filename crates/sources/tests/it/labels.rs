//! A load is known by its label, wherever that stands: the header of the request, or every item of the body. A test is
//! known by what the normalizer will say of it.

use serde_json::{Value, json};
use sources::{Accepted, Decision, WorkspaceConfig, Workspaces, is_load_label, is_test_label};

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

/// The development workspace with accounts of staff.
fn staffed(environment: &str) -> Workspaces {
    let test_accounts =
        vec!["qa@acme.example".to_owned(), "@bots.example".to_owned(), "user:tester".to_owned()];
    let environment = environment.to_owned();
    let config = WorkspaceConfig { test_accounts, environment, ..WorkspaceConfig::development() };
    Workspaces::from_configs([config]).unwrap()
}

fn is_test(decision: Decision) -> bool {
    accepted(decision).headers.iter().any(|(name, _)| is_test_label(name))
}

#[test]
fn cio_c17_what_will_be_marked_as_a_test_goes_first_and_nothing_else_does() {
    let workspaces = staffed("production");
    let shop = |body: &Value| {
        let body = body.to_string();
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sign(SECRET, body.as_bytes()));
        post(&workspaces, CREATE, None, &[("x-shopify-hmac-sha256", &signature)], body.as_bytes())
    };
    let person = |id: &str| {
        let path = format!("/api/v1/customers/{id}/events");
        post(&workspaces, &path, None, &[("authorization", BASIC)], br#"{"name":"product_viewed"}"#)
    };
    assert!(is_test(shop(&with(order(), json!({"test": true})))));
    assert!(is_test(shop(&with(order(), json!({"email": "QA@Acme.example"})))));
    assert!(is_test(shop(&with(order(), json!({"email": "any@bots.example"})))));
    assert!(is_test(person("tester")) && is_test(person("qa%40acme.example")));

    assert!(!is_test(shop(&with(order(), json!({"test": false})))));
    assert!(!is_test(shop(&with(order(), json!({"note": "ask qa@acme.example, \"test\": true"})))));
    assert!(!is_test(person("jane%40doe.example")) && !is_test(person("7")));
    let batch = json!({"events": [
        {"event_type": "search", "user_id": "tester"}, {"event_type": "search", "user_id": "jane"}]});
    let path = "/v1/api/analytics/ecommerce/batch";
    let headers = [("x-api-key", "sk_dev_demo")];
    assert!(!is_test(post(&workspaces, path, None, &headers, batch.to_string().as_bytes())));
}

#[test]
fn in_an_environment_that_consists_of_tests_nobody_goes_first_for_being_one() {
    let body = with(order(), json!({"test": true})).to_string();
    let signature =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sign(SECRET, body.as_bytes()));
    let headers = [("x-shopify-hmac-sha256", signature.as_str())];
    assert!(!is_test(post(&staffed("staging"), CREATE, None, &headers, body.as_bytes())));
    assert!(is_test(post(&staffed("production"), CREATE, None, &headers, body.as_bytes())));
}

#[test]
fn cio_c16_of_100_000_labelled_events_each_waits_and_none_of_the_live_ones_between_them_does() {
    let workspaces = workspaces();
    let is_load = |n: u32, backfill: bool| {
        let body = format!(
            r#"{{"name":"order_paid","data":{{"order_id":"{n}","total":1,"currency":"USD","backfill":{backfill}}}}}"#
        );
        let decision = post(
            &workspaces,
            "/api/v1/customers/5/events",
            None,
            &[("authorization", BASIC)],
            body.as_bytes(),
        );
        is_load(&accepted(decision))
    };
    let load = (0..100_000).filter(|n| is_load(*n, true)).count();
    let live = (0..1_000).filter(|n| is_load(*n, false)).count();
    assert_eq!((load, live), (100_000, 0));
}
