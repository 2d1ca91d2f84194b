//! Who may come in, what is refused with which answer, and what is stored.

use commerce::{EventName, Reason};
use http::Method;
use serde_json::{Value, json};
use sources::meter::Unmetered;
use sources::{Decision, WorkspaceConfig, Workspaces, route};

use crate::fixture::*;

pub(crate) const TRACK: &str = "/v1/api/analytics/ecommerce/track";
pub(crate) const BATCH: &str = "/v1/api/analytics/ecommerce/batch";
pub(crate) const PUBLISHABLE: (&str, &str) = ("x-api-key", "pk_dev_demo");
pub(crate) const SECRET_KEY: (&str, &str) = ("x-api-key", "sk_dev_demo");

const TYPES: [&str; 13] = [
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
];

/// The purchase of the seed.
pub(crate) fn purchase() -> Value {
    serde_json::from_str(include_str!("../samples/purchase.json")).unwrap()
}

/// An event of a type with what it needs and nothing else.
pub(crate) fn minimal(kind: &str) -> Value {
    let mut event = json!({"event_type": kind});
    if matches!(kind, "view_item" | "add_to_cart" | "remove_from_cart" | "add_to_wishlist") {
        event["items"] = json!([{"item_id": "sku_1"}]);
    }
    if matches!(kind, "purchase" | "refund") {
        event["transaction_id"] = json!("order_456");
    }
    if matches!(kind, "purchase" | "refund" | "spend_credits") {
        event["revenue"] = json!(49.99);
    }
    event
}

pub(crate) fn track(headers: &[(&'static str, &str)], event: &Value) -> Decision {
    post(&workspaces(), TRACK, None, headers, event.to_string().as_bytes())
}

pub(crate) fn batch(headers: &[(&'static str, &str)], events: &[Value]) -> Decision {
    post(&workspaces(), BATCH, None, headers, json!({"events": events}).to_string().as_bytes())
}

pub(crate) fn header<'a>(accepted: &'a sources::Accepted, name: &str) -> Option<&'a str> {
    accepted.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// The development workspace with other settings.
pub(crate) fn configured(change: impl FnOnce(&mut WorkspaceConfig)) -> Workspaces {
    let mut config = WorkspaceConfig::development();
    change(&mut config);
    Workspaces::from_configs([config]).unwrap()
}

fn erase(headers: &[(&'static str, &str)], id: &str) -> Decision {
    let path = format!("/v1/api/analytics/user/{id}");
    call(&workspaces(), &Unmetered, &Method::DELETE, &path, None, headers, b"")
}

#[test]
fn ana_c01_the_sample_purchase_is_answered_200_with_either_kind_of_key() {
    for key in [
        PUBLISHABLE,
        SECRET_KEY,
        ("authorization", "Bearer pk_dev_demo"),
        ("authorization", "bearer sk_dev_demo"),
    ] {
        let accepted = accepted(track(&[key], &purchase()));
        assert_eq!((accepted.reply.status, accepted.reply.body.as_str()), (200, r#"{"ok":true}"#), "{key:?}");
        assert_eq!((accepted.workspace.as_str(), accepted.verdict), ("demo", "key"));
        assert_eq!(accepted.body, None, "it is stored as it came");
        assert_eq!(header(&accepted, "path"), Some(TRACK));
    }
}

#[test]
fn ana_c01_without_a_known_key_it_is_401_and_nothing_is_stored() {
    let body = with(purchase(), json!({"apiKey": "sk_dev_demo"})).to_string();
    for headers in [
        &[("x-api-key", "nope")][..],
        &[("authorization", "Bearer nope")],
        &[("x-api-key", "nope"), ("authorization", "Bearer sk_dev_demo")],
        &[("x-api-key", "dev-backend-key")],
    ] {
        let refused = refused(post(&workspaces(), TRACK, None, headers, body.as_bytes()));
        assert_eq!((refused.reply.status, refused.reason), (401, Reason::UnknownKey), "{headers:?}");
        assert_eq!(refused.reply.body, r#"{"error":"Invalid API key"}"#);
        assert_eq!(refused.letter, None);
    }
    for headers in [&[][..], &[("x-api-key", " ")], &[("authorization", "Basic sk_dev_demo")]] {
        for body in [&b"not json"[..], br#"{"apiKey":"nope"}"#, br#"{"apiKey":["pk_dev_demo"]}"#, b"{}"] {
            assert_eq!(refused(post(&workspaces(), BATCH, None, headers, body)).reply.status, 401);
        }
    }
}

#[test]
fn ana_c02_a_publishable_key_erases_nobody() {
    let refused = refused(erase(&[PUBLISHABLE], "user_123"));
    assert_eq!(
        (refused.reply.status, refused.reply.body.as_str()),
        (403, r#"{"error":"Secret key required"}"#)
    );
    assert_eq!((refused.reason, refused.letter), (Reason::KeyNotAllowed, None));
}

/// All faults of an event with the sentence of §3.
fn faults() -> Vec<(Value, &'static str)> {
    let refund = || minimal("refund");
    vec![
        (json!({}), "event_type is required"),
        (json!({"event_type": null}), "event_type is required"),
        (json!({"event_type": ""}), "event_type is required"),
        (json!({"event_type": 7}), "event_type is required"),
        (json!({"event_type": "add_shipping_info"}), "Invalid ecommerce event_type"),
        (json!({"event_type": "Purchase"}), "Invalid ecommerce event_type"),
        (json!({"event_type": " purchase"}), "Invalid ecommerce event_type"),
        (json!({"event_type": "purchase"}), "transaction_id is required for purchase events"),
        (
            with(minimal("purchase"), json!({"transaction_id": "  "})),
            "transaction_id is required for purchase events",
        ),
        (without(refund(), "transaction_id"), "transaction_id is required for refund events"),
        (without(minimal("purchase"), "revenue"), "revenue is required for purchase events"),
        (with(minimal("purchase"), json!({"revenue": "many"})), "revenue is required for purchase events"),
        (with(minimal("purchase"), json!({"revenue": true})), "revenue is required for purchase events"),
        (without(refund(), "revenue"), "revenue is required for refund events"),
        (json!({"event_type": "spend_credits"}), "revenue is required for spend_credits events"),
        (json!({"event_type": "view_item"}), "items is required for view_item events"),
        (json!({"event_type": "add_to_cart", "items": []}), "items is required for add_to_cart events"),
        (
            json!({"event_type": "remove_from_cart", "items": {}}),
            "items is required for remove_from_cart events",
        ),
        (
            json!({"event_type": "add_to_wishlist", "items": "x"}),
            "items is required for add_to_wishlist events",
        ),
        (json!({"event_type": "view_item", "items": [{}]}), "items[0].item_id is required"),
        (
            json!({"event_type": "view_item", "items": [{"item_id": "a"}, {"item_id": " "}]}),
            "items[1].item_id is required",
        ),
        (json!({"event_type": "view_item", "items": [null]}), "items[0].item_id is required"),
        (with(minimal("purchase"), json!({"items": [{"item_name": "x"}]})), "items[0].item_id is required"),
    ]
}

#[test]
fn ana_c03_each_fault_has_its_exact_message_by_track() {
    for (event, message) in faults() {
        let refused = refused(track(&[SECRET_KEY], &event));
        assert_eq!(refused.reply.status, 400, "{event}");
        assert_eq!(refused.reply.body, json!({"error": message}).to_string(), "{event}");
        assert_eq!(refused.letter, None);
    }
}

#[test]
fn ana_c03_each_fault_has_its_place_and_message_by_batch() {
    let mut events: Vec<_> = faults().into_iter().map(|(event, _)| event).collect();
    events.insert(0, minimal("view_cart"));
    events.push(json!([]));
    let accepted = accepted(batch(&[SECRET_KEY], &events));
    let mut messages: Vec<_> = faults().into_iter().map(|(_, message)| message).collect();
    messages.push("event_type is required");
    let errors: Vec<_> =
        messages.iter().enumerate().map(|(i, message)| format!("events[{}]: {message}", i + 1)).collect();
    let answer: Value = serde_json::from_str(&accepted.reply.body).unwrap();
    assert_eq!(answer, json!({"ok": true, "accepted": 1, "errors": errors}));
}

#[test]
fn ana_c03_a_body_that_is_no_json_object_is_400() {
    for body in [&b"not json"[..], b"[]", b"", b"\xff", b"{\"event_type\":\"purchase\"", b"null"] {
        for path in [TRACK, BATCH] {
            let refused = refused(post(&workspaces(), path, None, &[PUBLISHABLE], body));
            assert_eq!(
                (refused.reply.status, refused.reply.body.as_str()),
                (400, r#"{"error":"Invalid JSON"}"#)
            );
            assert_eq!((refused.reason, refused.letter), (Reason::MalformedJson, None));
        }
    }
}

#[test]
fn ana_c04_each_of_the_thirteen_types_needs_only_its_fields() {
    for kind in TYPES {
        assert_eq!(accepted(track(&[PUBLISHABLE], &minimal(kind))).reply.body, r#"{"ok":true}"#, "{kind}");
    }
    let all: Vec<_> = TYPES.into_iter().map(minimal).collect();
    assert_eq!(accepted(batch(&[PUBLISHABLE], &all)).reply.body, r#"{"ok":true,"accepted":13}"#);
}

#[test]
fn ana_c05_a_revenue_of_nothing_is_a_value_and_so_is_a_decimal_text() {
    for revenue in [json!(0), json!("0"), json!("49.99"), json!(1e3), json!("1e3"), json!(1e300)] {
        let event = with(minimal("purchase"), json!({"revenue": revenue, "transaction_id": 7}));
        assert_eq!(accepted(track(&[SECRET_KEY], &event)).reply.status, 200, "{event}");
    }
}

#[test]
fn ana_c06_a_batch_has_1_to_100_events() {
    let of = |n: usize| batch(&[SECRET_KEY], &vec![minimal("view_cart"); n]);
    assert_eq!(accepted(of(100)).reply.body, r#"{"ok":true,"accepted":100}"#);
    let over = refused(of(101));
    assert_eq!(
        (over.reply.status, over.reply.body.as_str()),
        (400, r#"{"error":"Maximum 100 events per batch"}"#)
    );
    assert_eq!(over.letter, None);
    let none = r#"{"error":"events array is required and must not be empty"}"#;
    for body in
        [r#"{"events":[]}"#, "{}", r#"{"events":{}}"#, r#"{"events":"x"}"#, r#"{"event_type":"search"}"#]
    {
        let refused = refused(post(&workspaces(), BATCH, None, &[SECRET_KEY], body.as_bytes()));
        assert_eq!((refused.reply.status, refused.reply.body.as_str()), (400, none), "{body}");
    }
}

#[test]
fn ana_c07_a_bad_first_event_is_named_and_the_good_one_is_stored() {
    let events = [json!({"event_type": "purchase", "revenue": 1}), purchase()];
    let accepted = accepted(batch(&[PUBLISHABLE], &events));
    let expected =
        r#"{"ok":true,"accepted":1,"errors":["events[0]: transaction_id is required for purchase events"]}"#;
    assert_eq!(accepted.reply.body, expected);
    assert_eq!(header(&accepted, "rejected_items"), Some("0"));
    let found = items(&accepted, json!({"events": events}).to_string().as_bytes()).unwrap();
    assert_eq!(found.len(), 1, "its sender knows of the other, so it is no dead letter");
    assert_eq!(found[0].as_ref().unwrap().entity.id, "order_456");
}

#[test]
fn a_batch_of_nothing_but_faults_is_200_with_none_accepted_and_leaves_nothing() {
    let Decision::Answer(reply) = batch(&[SECRET_KEY], &[json!({}), json!({"event_type": "x"})]) else {
        panic!("something was stored")
    };
    let expected = r#"{"ok":true,"accepted":0,"errors":["events[0]: event_type is required","events[1]: Invalid ecommerce event_type"]}"#;
    assert_eq!((reply.status, reply.body.as_str()), (200, expected));
}

#[test]
fn ana_c10_a_key_in_the_body_opens_the_door_and_is_not_stored() {
    let body = r#" {"event_type": "purchase", "apiKey":"pk_dev_demo", "transaction_id": 9007199254740993, "revenue": 49.990,"a\u0062": {"x" : 1.0e2}, "api\u004bey": "pk_dev_demo"} "#;
    let found = accepted(post(&workspaces(), TRACK, None, &[], body.as_bytes()));
    assert_eq!(found.reply.body, r#"{"ok":true}"#);
    let stored = String::from_utf8(found.body.clone().unwrap()).unwrap();
    let expected =
        r#"{"event_type":"purchase","transaction_id":9007199254740993,"revenue":49.990,"ab":{"x" : 1.0e2}}"#;
    assert_eq!(stored, expected, "order and numbers are as they were sent");
    assert!(!format!("{found:?}").contains("pk_dev_demo"));
    assert_eq!(items(&found, body.as_bytes()).unwrap().len(), 1);

    let body = json!({"apiKey": "sk_dev_demo", "events": [minimal("search")]}).to_string();
    let found = accepted(post(&workspaces(), BATCH, None, &[], body.as_bytes()));
    assert_eq!(found.body.as_deref(), Some(&br#"{"events":[{"event_type":"search"}]}"#[..]));
}

#[test]
fn the_key_of_a_header_stands_before_that_of_the_body_which_is_stripped_all_the_same() {
    let body = with(minimal("search"), json!({"apiKey": "nope"}));
    let accepted = accepted(track(&[PUBLISHABLE], &body));
    assert_eq!(accepted.body.as_deref(), Some(&br#"{"event_type":"search"}"#[..]));
    let path = "/v1/api/analytics/user/u";
    let erasure =
        call(&workspaces(), &Unmetered, &Method::DELETE, path, None, &[], br#"{"apiKey":"sk_dev_demo"}"#);
    assert_eq!(refused(erasure).reply.status, 401, "a body opens only the two that pages send to");
}

#[test]
fn what_is_stored_beside_the_body_holds_no_secret_and_all_that_is_read_of_it() {
    let with_country = configured(|config| config.analytics.country_header = Some("cf-ipcountry".into()));
    let headers = [
        PUBLISHABLE,
        ("authorization", "Bearer hidden"),
        ("cookie", "hidden"),
        ("user-agent", "Mozilla/5.0 (iPhone)"),
        ("idempotency-key", " k1 "),
        ("cf-ipcountry", "DE"),
        ("tillstream-backfill", "2025"),
    ];
    let body = purchase().to_string();
    let stored =
        accepted(post(&with_country, TRACK, Some("apiKey=hidden"), &headers, body.as_bytes())).headers;
    for expected in [
        ("path", TRACK),
        ("country", "DE"),
        ("http.user-agent", "Mozilla/5.0 (iPhone)"),
        ("http.idempotency-key", "k1"),
        ("http.tillstream-backfill", "2025"),
    ] {
        assert!(stored.contains(&(expected.0.into(), expected.1.into())), "{expected:?} in {stored:?}");
    }
    let printed = format!("{stored:?}");
    assert!(!printed.contains("hidden") && !printed.contains("pk_dev_demo"), "{printed}");
    let plain = accepted(track(&headers, &purchase()));
    assert_eq!(header(&plain, "country"), None, "only the header that is configured is believed");
}

#[test]
fn the_transport_key_is_the_senders_own_or_all_that_was_sent() {
    let key = |headers: &[(&'static str, &str)], event: &Value| {
        let mut all = vec![SECRET_KEY];
        all.extend_from_slice(headers);
        accepted(track(&all, event)).delivery
    };
    let (a, b) = (minimal("search"), minimal("view_cart"));
    assert_eq!(key(&[], &a), key(&[], &a));
    assert_ne!(key(&[], &a), key(&[], &b));
    assert_eq!(key(&[("idempotency-key", "k")], &a), key(&[("idempotency-key", "k")], &b));
    assert_ne!(key(&[("idempotency-key", "k")], &a), key(&[("idempotency-key", "l")], &a));
    let id = |id: &str, event: &Value| with(event.clone(), json!({"event_id": id}));
    assert_eq!(key(&[], &id("e", &a)), key(&[("idempotency-key", "k")], &id("e", &b)));
    assert_ne!(key(&[], &id("e", &a)), key(&[], &id("f", &a)));
    assert_ne!(key(&[], &id("k", &a)), key(&[("idempotency-key", "k")], &a));
}

#[test]
fn ana_c25_a_user_is_erased_by_a_secret_key_known_or_not() {
    for (id, expected) in [("user_123", "user_123"), ("a%2Fb%20%22c%22+d", "a/b \"c\"+d"), ("%C3%A4", "ä")] {
        let accepted = accepted(erase(&[SECRET_KEY], id));
        assert_eq!(accepted.reply.status, 200);
        let answer: Value = serde_json::from_str(&accepted.reply.body).unwrap();
        assert_eq!(answer, json!({"ok": true, "deleted_user_id": expected}));
        let event = items(&accepted, b"").unwrap().remove(0).unwrap();
        assert_eq!(event.event, EventName::CustomerDeleted);
        assert_eq!(event.identifiers(), [("user", expected.to_owned())]);
        assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("person", expected));
    }
    let answer = accepted(erase(&[SECRET_KEY], "user_123")).reply.body;
    assert_eq!(answer, r#"{"ok":true,"deleted_user_id":"user_123"}"#);
    assert_eq!(refused(erase(&[], "user_123")).reply.body, r#"{"error":"Invalid API key"}"#);
}

#[test]
fn an_erasure_is_stored_without_a_body_and_one_of_nobody_not_at_all() {
    let path = "/v1/api/analytics/user/u";
    let found =
        accepted(call(&workspaces(), &Unmetered, &Method::DELETE, path, None, &[SECRET_KEY], b"{\"x\":1}"));
    assert_eq!(found.body.as_deref(), Some(&b""[..]));
    assert_eq!(header(&found, "path"), Some(path));
    for nobody in ["%20", &"x".repeat(513)] {
        let Decision::Answer(reply) = erase(&[SECRET_KEY], nobody) else { panic!("something was stored") };
        assert_eq!(reply.status, 200);
    }
}

#[test]
fn paths_have_their_methods_limits_and_shape_of_error() {
    for (method, allow, path, limit) in [
        (Method::POST, "POST", TRACK, 256 * 1024),
        (Method::POST, "POST", BATCH, 1024 * 1024),
        (Method::DELETE, "DELETE", "/v1/api/analytics/user/u", 256 * 1024),
    ] {
        assert_eq!(route(&method, path).unwrap().body_limit, limit);
        let wrong = route(&Method::PUT, path).unwrap_err();
        assert_eq!((wrong.status, wrong.allow), (405, Some(allow)));
    }
    for path in
        ["/v1/api/analytics/ecommerce/overview", "/v1/api/analytics/user/", "/v1/api/analytics/user/a/b"]
    {
        assert_eq!(route(&Method::GET, path).unwrap_err().status, 404, "{path}");
    }
    let source = commerce::Source::Analytics;
    assert_eq!(sources::too_large(source, "c").body, r#"{"error":"payload too large"}"#);
    let busy = sources::unavailable(source, "c");
    assert_eq!(
        (busy.status, busy.body.as_str(), busy.retry_after.is_some()),
        (503, r#"{"error":"unavailable"}"#, true)
    );
}
