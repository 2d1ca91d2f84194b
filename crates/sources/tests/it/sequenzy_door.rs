//! Whose pushes are taken, and what is wrong with the others.

use std::sync::Mutex;

use commerce::{Mark, Reason, ReceivedTime, Source, WorkspaceId};
use http::Method;
use serde_json::{Value, json};
use sources::meter::{Meter, Velocity};
use sources::workspace::{Secret, SequenzyConfig};
use sources::{Decision, WorkspaceConfig, Workspaces};

use crate::fixture::*;

pub(crate) const ORDERS: &str = "/api/v1/orders";
pub(crate) const CHECKOUTS: &str = "/api/v1/checkouts";

/// The least that can be pushed.
pub(crate) fn least() -> Value {
    json!({
        "orderId": "order-1001",
        "totalCents": 5000,
        "currency": "USD",
        "customer": {"email": "jane@example.com"},
    })
}

/// A push with the development key.
pub(crate) fn push(path: &str, body: &[u8]) -> Decision {
    let headers = [("authorization", "Bearer dev-orders-key"), ("content-type", "application/json")];
    post(&workspaces(), path, None, &headers, body)
}

fn order(body: &Value) -> Decision {
    push(ORDERS, body.to_string().as_bytes())
}

fn checkout(body: &Value) -> Decision {
    push(CHECKOUTS, body.to_string().as_bytes())
}

fn answer(decision: Decision) -> Value {
    serde_json::from_str(&accepted(decision).reply.body).unwrap()
}

/// The faults of a 400, of which nothing is kept.
fn faults(decision: Decision) -> Vec<(String, String)> {
    let refused = refused(decision);
    assert_eq!((refused.reply.status, refused.letter), (400, None));
    let answer: Value = serde_json::from_str(&refused.reply.body).unwrap();
    assert_eq!((&answer["success"], &answer["error"]), (&json!(false), &json!("validation_error")));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let details = answer["details"].as_array().unwrap().iter();
    let found: Vec<_> = details.map(|fault| (text(&fault["field"]), text(&fault["message"]))).collect();
    assert_eq!(text(&answer["message"]), format!("{} {}", found[0].0, found[0].1));
    found
}

fn fault(decision: Decision) -> (String, String) {
    let mut found = faults(decision);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn is(field: &str, message: &str) -> (String, String) {
    (field.to_owned(), message.to_owned())
}

#[test]
fn seq_c01_the_least_push_is_202_with_the_five_fields() {
    let accepted = accepted(order(&least()));
    assert_eq!(accepted.reply.status, 202);
    let job = accepted.reply.body.split('"').nth(7).unwrap();
    assert!(job.starts_with("commerce-order-") && job.len() > 20, "{job}");
    let expected = format!(
        r#"{{"success":true,"queued":true,"jobId":"{job}","orderId":"order-1001","status":"placed"}}"#
    );
    assert_eq!(accepted.reply.body, expected);
    assert_eq!((accepted.source, accepted.workspace.as_str()), (Source::Sequenzy, "demo"));
    assert_eq!((accepted.verdict, accepted.body), ("key", None));
}

#[test]
fn the_job_is_the_same_for_the_same_order_and_status() {
    let job = |fields: Value| answer(order(&with(least(), fields)))["jobId"].clone();
    assert_eq!(job(json!({})), job(json!({"totalCents": 1, "status": "PLACED", "orderedAt": "2026-03-14"})));
    assert_ne!(job(json!({})), job(json!({"status": "refunded"})));
    assert_ne!(job(json!({})), job(json!({"orderId": "order-1002"})));
    let other = |status: &str| answer(order(&with(least(), json!({"status": status}))))["jobId"].clone();
    assert_eq!(other("canceled"), other("cancelled"));
}

#[test]
fn seq_c02_no_or_a_wrong_key_is_401_and_leaves_nothing() {
    let body = least().to_string();
    for headers in [
        vec![],
        vec![("authorization", "")],
        vec![("authorization", "Bearer")],
        vec![("authorization", "Bearer ")],
        vec![("authorization", "Bearer nope")],
        vec![("authorization", "dev-orders-key")],
        vec![("authorization", "Basic dev-orders-key")],
        vec![("authorization", "Bearer dev-records-key")],
        vec![("x-api-key", "dev-orders-key")],
    ] {
        for path in [ORDERS, CHECKOUTS] {
            let refused = refused(post(&workspaces(), path, None, &headers, body.as_bytes()));
            assert_eq!((refused.reply.status, refused.reason), (401, Reason::UnknownKey), "{headers:?}");
            assert_eq!(
                refused.reply.body,
                r#"{"success":false,"error":"unauthorized","message":"Invalid or missing API key"}"#
            );
            assert_eq!(refused.letter, None);
        }
    }
    let lower = [("authorization", "bearer  dev-orders-key")];
    assert_eq!(accepted(post(&workspaces(), ORDERS, None, &lower, body.as_bytes())).reply.status, 202);
}

#[test]
fn the_key_is_in_no_stored_record() {
    let printed = format!("{:?}", accepted(order(&least())));
    assert!(!printed.contains("dev-orders-key") && printed.contains(ORDERS), "{printed}");
}

#[test]
fn seq_c03_each_required_field_is_missed_by_name() {
    for field in ["orderId", "totalCents", "currency"] {
        assert_eq!(fault(order(&without(least(), field))), is(field, "is required"));
        for nothing in [json!(null), json!(""), json!("  "), json!([])] {
            assert_eq!(fault(order(&with(least(), json!({field: nothing})))), is(field, "is required"));
        }
    }
    assert_eq!(fault(order(&without(least(), "customer"))), is("customer", "is required"));
    for nobody in [json!({}), json!({"email": null}), json!({"email": " "}), json!({"externalId": "u-1"})] {
        let body = with(least(), json!({"customer": nobody}));
        assert_eq!(fault(order(&body)), is("customer.email", "is required"));
    }
    assert_eq!(
        faults(push(ORDERS, b"{}")).into_iter().map(|fault| fault.0).collect::<Vec<_>>(),
        ["orderId", "totalCents", "currency", "customer"]
    );
}

#[test]
fn seq_c04_a_total_that_is_no_integer_is_400_with_the_exact_body() {
    for value in [json!(10.5), json!("1000"), json!(true), json!({"a": 1}), json!(1e300)] {
        let refused = refused(order(&with(least(), json!({"totalCents": value}))));
        assert_eq!(
            (refused.reply.status, refused.reply.body.as_str()),
            (
                400,
                concat!(
                    r#"{"success":false,"error":"validation_error","message":"totalCents must be an integer","#,
                    r#""details":[{"field":"totalCents","message":"must be an integer"}]}"#
                )
            ),
            "{value}"
        );
    }
    for (value, message) in [
        (json!(-1), "must not be negative"),
        (json!(1_000_000_000_000_001_i64), "is too large"),
        (json!(9_223_372_036_854_775_808_u64), "must be an integer"),
    ] {
        let found = fault(order(&with(least(), json!({"totalCents": value}))));
        assert_eq!(found, is("totalCents", message));
    }
    for value in [json!(0), json!(5000.0), json!(1_000_000_000_000_000_i64)] {
        assert_eq!(accepted(order(&with(least(), json!({"totalCents": value})))).reply.status, 202);
    }
}

#[test]
fn seq_c05_a_status_is_one_of_four_and_placed_by_default() {
    let message = "must be one of placed, cancelled, fulfilled, refunded";
    for value in [json!("shipped"), json!(1), json!(true), json!(["placed"])] {
        assert_eq!(fault(order(&with(least(), json!({"status": value})))), is("status", message));
    }
    for (value, expected) in [
        (json!(null), "placed"),
        (json!(""), "placed"),
        (json!(" Placed "), "placed"),
        (json!("cancelled"), "cancelled"),
        (json!("CANCELED"), "cancelled"),
        (json!("fulfilled"), "fulfilled"),
        (json!("Refunded"), "refunded"),
    ] {
        assert_eq!(answer(order(&with(least(), json!({"status": value}))))["status"], expected);
    }
}

#[test]
fn seq_c21_an_item_is_checked_with_its_path() {
    let item = json!({"productId": "p", "title": "Shirt", "quantity": 1});
    let of = |item: Value| with(least(), json!({"items": [item]}));
    assert_eq!(fault(order(&of(without(item.clone(), "title")))), is("items[0].title", "is required"));
    for (fields, field, message) in [
        (json!({"productId": ""}), "items[0].productId", "is required"),
        (json!({"productId": [1]}), "items[0].productId", "must be a string of at most 512 bytes"),
        (json!({"title": {"en": "x"}}), "items[0].title", "must be a string"),
        (json!({"quantity": null}), "items[0].quantity", "is required"),
        (json!({"quantity": 0}), "items[0].quantity", "must be at least 1"),
        (json!({"quantity": 1.5}), "items[0].quantity", "must be an integer"),
        (json!({"quantity": "1"}), "items[0].quantity", "must be an integer"),
        (json!({"quantity": 1_000_000_000_001_i64}), "items[0].quantity", "is too large"),
        (json!({"priceCents": "5"}), "items[0].priceCents", "must be an integer"),
        (json!({"priceCents": -5}), "items[0].priceCents", "must not be negative"),
        (json!({"variantId": {"x": 1}}), "items[0].variantId", "must be a string of at most 512 bytes"),
        (json!({"sku": true}), "items[0].sku", "must be a string"),
    ] {
        assert_eq!(fault(order(&of(with(item.clone(), fields)))), is(field, message));
    }
    let second = with(least(), json!({"items": [item, null, "x"]}));
    assert_eq!(
        faults(order(&second)),
        [is("items[1]", "must be an object"), is("items[2]", "must be an object")]
    );
    for nothing in [json!(null), json!([])] {
        assert_eq!(accepted(order(&with(least(), json!({"items": nothing})))).reply.status, 202);
    }
    assert_eq!(fault(order(&with(least(), json!({"items": "x"})))), is("items", "must be an array"));
}

#[test]
fn every_other_field_is_checked_too() {
    let long = "x".repeat(513);
    for (fields, field, message) in [
        (json!({"orderId": long}), "orderId", "must be a string of at most 512 bytes"),
        (json!({"orderId": 1.5}), "orderId", "must be a string of at most 512 bytes"),
        (json!({"orderNumber": [1]}), "orderNumber", "must be a string"),
        (json!({"currency": "XQQ"}), "currency", "must be an ISO 4217 currency code"),
        (json!({"currency": 840}), "currency", "must be an ISO 4217 currency code"),
        (json!({"orderedAt": "yesterday"}), "orderedAt", "must be an ISO 8601 time"),
        (json!({"orderedAt": 1_773_500_400}), "orderedAt", "must be an ISO 8601 time"),
        (json!({"customer": "jane"}), "customer", "must be an object"),
        (json!({"customer": {"email": "jane"}}), "customer.email", "must be a valid e-mail address"),
        (json!({"customer": {"email": 7}}), "customer.email", "must be a valid e-mail address"),
        (json!({"customer": {"email": "a@b.c", "firstName": [1]}}), "customer.firstName", "must be a string"),
        (json!({"customer": {"email": "a@b.c", "lastName": true}}), "customer.lastName", "must be a string"),
        (
            json!({"customer": {"email": "a@b.c", "externalId": true}}),
            "customer.externalId",
            "must be a string of at most 512 bytes",
        ),
        (
            json!({"customer": {"email": "a@b.c", "attributes": ["x"]}}),
            "customer.attributes",
            "must be an object",
        ),
        (json!({"customerTotals": 5}), "customerTotals", "must be an object"),
        (json!({"customerTotals": {"ordersCount": "5"}}), "customerTotals.ordersCount", "must be an integer"),
        (
            json!({"customerTotals": {"totalSpentCents": 0.5}}),
            "customerTotals.totalSpentCents",
            "must be an integer",
        ),
        (json!({"refundAmountCents": "1"}), "refundAmountCents", "must be an integer"),
        (json!({"refundAmountCents": -1}), "refundAmountCents", "must not be negative"),
        (json!({"properties": "x"}), "properties", "must be an object"),
        (
            json!({"properties": {"refundId": true}}),
            "properties.refundId",
            "must be a string of at most 512 bytes",
        ),
    ] {
        assert_eq!(fault(order(&with(least(), fields.clone()))), is(field, message), "{fields}");
    }
}

#[test]
fn all_faults_are_listed_at_once_and_the_sentence_is_the_firsts() {
    let body = with(
        least(),
        json!({"totalCents": "x", "currency": "XQQ", "status": "x", "customer": {"email": "x"}, "items": [{}]}),
    );
    let fields: Vec<_> = faults(order(&body)).into_iter().map(|fault| fault.0).collect();
    for field in ["currency", "totalCents", "status", "customer.email", "items[0].title"] {
        assert!(fields.iter().any(|found| found == field), "{field} in {fields:?}");
    }
    assert_eq!(fields.len(), 7);
    let many = with(least(), json!({"items": vec![json!({}); 2_000]}));
    assert_eq!(faults(order(&many)).len(), 1_000, "an answer has an end");
}

#[test]
fn a_body_that_is_no_json_object_is_400() {
    for body in [&b""[..], b"x", b"[]", b"null", b"\xff", b"{\"orderId\":", b"{\"orderId\":\"a\"}\0"] {
        for path in [ORDERS, CHECKOUTS] {
            assert_eq!(fault(push(path, body)), is("body", "must be a JSON object"), "{body:?}");
        }
    }
}

#[test]
fn a_checkout_is_200_with_its_ids() {
    let body = json!({"checkoutId": "chk-1", "customer": {"email": "jane@example.com", "externalId": "u-1"}});
    let accepted = accepted(checkout(&body));
    assert_eq!(accepted.reply.status, 200);
    let found: Value = serde_json::from_str(&accepted.reply.body).unwrap();
    assert_eq!((&found["success"], &found["checkoutId"]), (&json!(true), &json!("chk-1")));
    let event = items(&accepted, body.to_string().as_bytes()).unwrap().remove(0).unwrap();
    assert_eq!(found["eventId"], json!(event.event_id), "the answer names the event that will be published");
    let again = with(body.clone(), json!({"checkoutId": "chk-2"}));
    assert_eq!(answer(checkout(&again))["subscriberId"], found["subscriberId"]);
    assert_ne!(answer(checkout(&again))["eventId"], found["eventId"]);

    assert_eq!(fault(checkout(&without(body.clone(), "checkoutId"))), is("checkoutId", "is required"));
    assert_eq!(fault(checkout(&without(body.clone(), "customer"))), is("customer", "is required"));
    for (fields, field, message) in [
        (json!({"totalCents": "1"}), "totalCents", "must be an integer"),
        (json!({"currency": "XQQ"}), "currency", "must be an ISO 4217 currency code"),
        (json!({"checkoutUrl": ["x"]}), "checkoutUrl", "must be a string"),
        (json!({"items": [1]}), "items[0]", "must be an object"),
        (json!({"properties": true}), "properties", "must be an object"),
    ] {
        assert_eq!(fault(checkout(&with(body.clone(), fields))), is(field, message));
    }
}

/// The bodies that `sequenzy` 2.1.35 of PyPI sends from `orders.push` and `orders.track_checkout_started`.
#[test]
fn seq_c22_what_the_official_client_sends_is_answered_in_the_form_that_it_reads() {
    let full = r#"{"currency":"USD","customer":{"attributes":{"tier":"gold","age":41},"email":"Jane@Example.com",
        "externalId":"u-1","firstName":"Jane"},"customerTotals":{"ordersCount":5,"totalSpentCents":50000},
        "items":[{"priceCents":2500,"productId":"p-1","quantity":2,"title":"Shirt","variantId":"v-1"}],
        "orderedAt":"2026-03-14T12:30:00Z","orderId":"order-1001","orderNumber":"1001","properties":{"utm":"x"},
        "refundAmountCents":1000,"status":"refunded","totalCents":5000}"#;
    let least = r#"{"currency":"USD","customer":{"email":"a@b.c"},"orderId":"order-1","totalCents":1}"#;
    for (body, status) in [(full, "refunded"), (least, "placed")] {
        let accepted = accepted(push(ORDERS, body.as_bytes()));
        assert_eq!(accepted.reply.status, 202);
        let answer: Value = serde_json::from_str(&accepted.reply.body).unwrap();
        for field in ["jobId", "orderId", "status"] {
            assert!(answer[field].is_string(), "{field}");
        }
        assert_eq!((&answer["queued"], &answer["success"]), (&json!(true), &json!(true)));
        assert_eq!(answer["status"], status);
        assert_eq!(items(&accepted, body.as_bytes()).unwrap().len(), 2);
    }
    let checkout = r#"{"checkoutId":"chk-1","checkoutUrl":"https://shop.example/c/1","currency":"USD",
        "customer":{"email":"Jane@Example.com","externalId":"u-1"},"totalCents":5000,
        "items":[{"priceCents":2500,"productId":"p-1","quantity":2,"title":"Shirt","variantId":"v-1"}]}"#;
    let answer = answer(push(CHECKOUTS, checkout.as_bytes()));
    for field in ["checkoutId", "subscriberId", "eventId"] {
        assert!(answer[field].is_string(), "{field}");
    }
}

#[derive(Default)]
struct Full(Mutex<Vec<(Mark, u32)>>);

impl Meter for Full {
    fn pace(&self, credential: Mark, per_second: u32) -> Result<(), u32> {
        self.0.lock().unwrap().push((credential, per_second));
        Err(7)
    }

    fn take(&self, _: &WorkspaceId, events: u64, _: u64, _: ReceivedTime) -> u64 {
        events
    }

    fn velocity(&self, _: &WorkspaceId, _: Mark, _: u32, _: u32) -> Velocity {
        Velocity::default()
    }
}

#[test]
fn a_key_beyond_its_rate_is_429_and_a_plan_without_a_rate_has_no_limit() {
    let limited = |limit: Option<u32>| {
        let mut config = WorkspaceConfig {
            sequenzy: Some(SequenzyConfig { keys: vec![Secret::new("k")], hundredths: false }),
            ..WorkspaceConfig::new("a")
        };
        config.plan.requests_per_second = limit;
        Workspaces::from_configs([config]).unwrap()
    };
    let (meter, body) = (Full::default(), least().to_string());
    let send = |workspaces: &Workspaces, key: &str| {
        let key = format!("Bearer {key}");
        let headers = [("authorization", key.as_str())];
        call(workspaces, &meter, &Method::POST, ORDERS, None, &headers, body.as_bytes())
    };
    let found = refused(send(&limited(Some(5)), "k"));
    assert_eq!((found.reply.status, found.reply.retry_after), (429, Some(7)));
    assert_eq!(found.reply.body, r#"{"success":false,"error":"rate_limited","message":"Too many requests"}"#);
    assert_eq!((found.reason, found.letter), (Reason::RateLimited, None));
    assert_eq!(refused(send(&limited(Some(5)), "wrong")).reply.status, 401);
    assert_eq!(accepted(send(&limited(None), "k")).reply.status, 202);
    let asked = meter.0.lock().unwrap();
    assert_eq!((asked.len(), asked[0].1), (1, 5), "a stranger uses nothing up");
}

#[test]
fn what_can_not_be_taken_is_answered_in_the_same_shape() {
    let large = sources::too_large(Source::Sequenzy, "c-1");
    assert_eq!(
        (large.status, large.body.as_str()),
        (413, r#"{"success":false,"error":"payload_too_large","message":"payload too large"}"#)
    );
    let later = sources::unavailable(Source::Sequenzy, "c-1");
    assert_eq!(
        (later.status, later.body.as_str()),
        (503, r#"{"success":false,"error":"unavailable","message":"unavailable"}"#)
    );
    assert!(later.retry_after.is_some());
    let broken = sources::unreadable_body(Source::Sequenzy, "c-1");
    assert_eq!(
        (broken.status, broken.body.as_str()),
        (400, r#"{"success":false,"error":"validation_error","message":"unreadable body"}"#)
    );
}

#[test]
fn the_addresses_take_1_mib_by_post_alone() {
    for path in [ORDERS, CHECKOUTS] {
        let route = sources::route(&Method::POST, path).unwrap();
        assert_eq!((route.source, route.body_limit), (Source::Sequenzy, 1024 * 1024));
        let refused = sources::route(&Method::PUT, path).unwrap_err();
        assert_eq!((refused.status, refused.allow), (405, Some("POST")));
    }
    for path in ["/api/v1/orders/", "/api/v1/order", "/orders"] {
        assert_eq!(sources::route(&Method::POST, path).unwrap_err().status, 404, "{path}");
    }
}

#[test]
fn the_transport_key_is_the_body_and_its_address() {
    let key = |path: &str, body: &str| accepted(push(path, body.as_bytes())).delivery;
    let body = with(least(), json!({"checkoutId": "chk-1"})).to_string();
    assert_eq!(key(ORDERS, &body), key(ORDERS, &body));
    assert_ne!(key(ORDERS, &body), key(ORDERS, &format!("{body} ")));
    assert_ne!(key(ORDERS, &body), key(CHECKOUTS, &body));
}
