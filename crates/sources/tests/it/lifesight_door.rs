//! Who may come in, and what is refused with which answer.

use std::sync::Mutex;

use commerce::{Mark, Reason, ReceivedTime, WorkspaceId};
use http::Method;
use serde_json::{Value, json};
use sources::meter::Velocity;
use sources::{Decision, Meter, WorkspaceConfig, Workspaces};

use crate::fixture::*;

const PATH: &str = "/transform-webhook-data";
const NAMES: [&str; 10] = [
    "orders_create",
    "orders_updated",
    "orders_fulfilled",
    "orders_partially_fulfilled",
    "orders_paid",
    "orders_cancelled",
    "checkouts_create",
    "checkouts_update",
    "customers_create",
    "customers_update",
];

fn query(query: &str) -> Decision {
    post(&workspaces(), PATH, Some(query), &[("authorization", "hidden")], ORDER.as_bytes())
}

fn send(event_name: &str, body: &Value) -> Decision {
    lifesight(event_name, body.to_string().as_bytes())
}

/// The fields of a 400, and the reason of its dead letter.
fn faults(event_name: &str, body: &Value) -> (Vec<String>, Reason) {
    let refused = refused(send(event_name, body));
    assert_eq!(refused.reply.status, 400);
    let answer: Value = serde_json::from_str(&refused.reply.body).unwrap();
    assert_eq!(answer["success"], false);
    let fields: Vec<_> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap().to_owned())
        .collect();
    let letter = refused.letter.unwrap();
    assert_eq!(
        letter.failure.field.as_deref(),
        fields.first().map(String::as_str),
        "the first fault names the letter"
    );
    assert_eq!(
        (letter.workspace.as_str(), letter.verdict, letter.failure.reason),
        ("demo", "key", refused.reason)
    );
    (fields, refused.reason)
}

#[test]
fn life_c01_each_sample_body_of_the_seed_is_accepted_unchanged() {
    let customers = [(CUSTOMER, &NAMES[8..]), (CUSTOMER_REQUEST, &NAMES[8..])];
    for (body, names) in [(ORDER, &NAMES[..5]), (CHECKOUT, &NAMES[6..8])].into_iter().chain(customers) {
        for name in names {
            let accepted = accepted(lifesight(name, body.as_bytes()));
            let id: Value = serde_json::from_str::<Value>(body).unwrap()["id"].clone();
            let answer = format!(r#"{{"success":true,"event":"{name}","id":"{id}"}}"#);
            assert_eq!((accepted.reply.status, accepted.reply.body.clone()), (200, answer));
            let events = items(&accepted, body.as_bytes()).unwrap();
            assert!(events.iter().all(Result::is_ok) && !events.is_empty(), "{name}");
        }
    }
    let lists = json!({
        "line_items": serde_json::from_str::<Value>(LINE_ITEMS).unwrap(),
        "discount_codes": serde_json::from_str::<Value>(DISCOUNT_CODES).unwrap(),
    });
    let body = with(serde_json::from_str(ORDER).unwrap(), lists);
    assert_eq!(accepted(send("orders_create", &body)).reply.status, 200);
}

#[test]
fn life_c02_a_wrong_or_missing_key_is_401_and_leaves_nothing() {
    for text in [
        "",
        "key=",
        "key=nope&workspace=demo",
        "workspace=demo&event_name=orders_create",
        "KEY=dev-backend-key",
    ] {
        let refused = refused(query(text));
        assert_eq!((refused.reply.status, refused.reason), (401, Reason::UnknownKey), "{text}");
        assert_eq!(refused.reply.body, r#"{"success":false,"error":"invalid key"}"#);
        assert_eq!(refused.letter, None);
    }
}

#[test]
fn life_c02_the_key_is_in_no_stored_record() {
    let text = "key=dev%2Dbackend-key&event_name=orders_create&source=s&secret=hidden";
    let accepted = accepted(query(text));
    let printed = format!("{accepted:?}");
    assert!(!printed.contains("dev-backend-key") && !printed.contains("hidden"), "{printed}");
    assert!(accepted.headers.contains(&("query.source".into(), "s".into())));
    assert!(accepted.headers.contains(&("query.event_name".into(), "orders_create".into())));
    assert!(accepted.headers.contains(&("path".into(), PATH.into())));
}

#[test]
fn life_c03_a_key_of_another_workspace_is_403() {
    for text in
        ["key=other-key&workspace=demo&event_name=orders_create", "key=dev-backend-key&workspace=nowhere"]
    {
        let refused = refused(query(text));
        assert_eq!((refused.reply.status, refused.reason), (403, Reason::WrongWorkspace));
        assert_eq!(refused.reply.body, r#"{"success":false,"error":"key does not belong to workspace"}"#);
        assert_eq!(refused.letter, None);
    }
    assert_eq!(accepted(query("key=other-key&event_name=orders_create")).workspace.as_str(), "other");
}

#[test]
fn life_c04_an_unknown_event_name_is_400_and_each_of_the_ten_is_accepted() {
    for text in [
        "key=dev-backend-key",
        "key=dev-backend-key&event_name=orders_deleted",
        "key=dev-backend-key&%7B%7Bworkspace%7D%7D&source=shopevent_name=checkouts_create",
    ] {
        let refused = refused(query(text));
        assert_eq!(refused.reply.status, 400);
        let expected =
            r#"{"success":false,"errors":[{"field":"event_name","message":"unknown event_name"}]}"#;
        assert_eq!((refused.reply.body.as_str(), refused.letter), (expected, None));
    }
    let full = with(order(), json!({"cancelled_at": "2026-03-14T11:00:00Z"}));
    for name in NAMES {
        assert_eq!(accepted(send(name, &full)).reply.status, 200, "{name}");
    }
    assert_eq!(accepted(send("%20Orders_CREATE%20", &full)).reply.status, 200, "case and space don't matter");
}

#[test]
fn life_c05_a_cancellation_needs_its_time_and_a_creation_no_version() {
    let body = with(order(), json!({"cancelled_at": null}));
    assert_eq!(faults("orders_cancelled", &body), (vec!["cancelled_at".into()], Reason::MissingField));
    assert_eq!(accepted(send("orders_create", &without(order(), "updated_at"))).reply.status, 200);
}

#[test]
fn life_c06_each_event_requires_its_own_time() {
    for name in [
        "orders_updated",
        "orders_fulfilled",
        "orders_partially_fulfilled",
        "checkouts_update",
        "customers_update",
    ] {
        assert_eq!(faults(name, &without(order(), "updated_at")).0, ["updated_at"], "{name}");
    }
    for name in ["orders_create", "orders_paid", "checkouts_create", "customers_create"] {
        assert_eq!(faults(name, &with(order(), json!({"created_at": ""}))).0, ["created_at"], "{name}");
        assert_eq!(faults(name, &with(order(), json!({"created_at": "soon"}))).0, ["created_at"], "{name}");
    }
}

#[test]
fn what_cannot_be_committed_or_is_too_large_has_its_answer() {
    let reply = sources::unavailable(commerce::Source::Lifesight, "c-1");
    assert_eq!((reply.status, reply.body.as_str()), (503, r#"{"success":false,"error":"unavailable"}"#));
    assert_eq!(reply.retry_after, Some(5));
    let reply = sources::too_large(commerce::Source::Lifesight, "c-1");
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (413, r#"{"success":false,"error":"payload too large"}"#)
    );
}

#[test]
fn life_c07_an_order_of_nobody_is_refused_and_one_identifier_is_enough() {
    let nobody = with(order(), json!({"email": null, "phone": "", "customer": []}));
    assert_eq!(faults("orders_create", &nobody), (vec!["email".into()], Reason::MissingField));
    for fields in [
        json!({"customer": {"id": 7}}),
        json!({"customer": {"email": "a@b.c"}}),
        json!({"customer": {"phone": "1"}}),
        json!({"phone": "2025550100"}),
        json!({"contact_email": "a@b.c"}),
        json!({"email": "[email protected]"}),
    ] {
        assert_eq!(accepted(send("orders_create", &with(nobody.clone(), fields))).reply.status, 200);
    }
}

#[test]
fn life_c22_all_faults_are_listed_with_their_paths_and_the_first_names_the_letter() {
    let one = refused(send("orders_create", &with(order(), json!({"line_items": [{"price": "1.00"}]}))));
    let answer = r#"{"success":false,"errors":[{"field":"line_items[0].quantity","message":"is required"}]}"#;
    assert_eq!((one.reply.status, one.reply.body.as_str()), (400, answer));
    let body = with(order(), json!({"line_items": [{"price": "1.00"}]}));
    assert_eq!(faults("orders_create", &body), (vec!["line_items[0].quantity".into()], Reason::MissingField));
    let everything = json!({"line_items": [{}, {"price": "x", "quantity": -1}, null]});
    let expected = [
        "id",
        "created_at",
        "currency",
        "total_price",
        "email",
        "line_items[0].price",
        "line_items[0].quantity",
        "line_items[1].price",
        "line_items[1].quantity",
        "line_items[2].price",
        "line_items[2].quantity",
    ];
    assert_eq!(faults("orders_create", &everything).0, expected);
    assert_eq!(accepted(send("orders_create", &without(order(), "line_items"))).reply.status, 200);
    let zero = with(order(), json!({"line_items": [{"price": "0.00", "quantity": 0}]}));
    assert_eq!(accepted(send("orders_create", &zero)).reply.status, 200);
}

#[test]
fn an_unknown_currency_is_refused_with_a_reason_of_its_own() {
    assert_eq!(
        faults("orders_create", &with(order(), json!({"currency": "XQQ"}))),
        (vec!["currency".into()], Reason::BadCurrency)
    );
    assert_eq!(
        faults("orders_create", &without(order(), "currency")),
        (vec!["currency".into()], Reason::MissingField)
    );
}

#[test]
fn a_body_that_is_no_json_object_is_400_and_a_dead_letter() {
    for body in [&b"not json"[..], b"[]", b"", b"\xff"] {
        let refused = refused(lifesight("orders_create", body));
        let answer = r#"{"success":false,"errors":[{"field":"body","message":"must be a JSON object"}]}"#;
        assert_eq!((refused.reply.status, refused.reply.body.as_str()), (400, answer));
        let failure = refused.letter.unwrap().failure;
        assert_eq!((failure.reason, failure.field.as_deref()), (Reason::MalformedJson, Some("body")));
    }
}

#[test]
fn checkouts_and_customers_are_checked_by_their_own_rules() {
    let checkout: Value = serde_json::from_str(CHECKOUT).unwrap();
    assert_eq!(
        accepted(send("checkouts_create", &with(checkout.clone(), json!({"email": null})))).reply.status,
        200
    );
    let by_token = accepted(send("checkouts_create", &without(checkout.clone(), "id"))).reply.body;
    assert!(by_token.contains(r#""id":"00000000000000000000000000000005""#), "{by_token}");
    assert_eq!(faults("checkouts_create", &without(checkout, "total_price")).0, ["total_price"]);
    let customer: Value = serde_json::from_str(CUSTOMER).unwrap();
    assert_eq!(faults("customers_update", &with(customer.clone(), json!({"email": null}))).0, ["email"]);
    assert_eq!(faults("customers_create", &json!({})).0, ["id", "created_at", "email"]);
}

#[test]
fn life_c09_the_id_of_the_answer_is_exact_and_escaped() {
    for (id, expected) in [
        (json!(9007199254740993_u64), r#""9007199254740993""#),
        (json!("5766207635539"), r#""5766207635539""#),
        (json!("a\"b"), r#""a\"b""#),
    ] {
        let answer = accepted(send("orders_create", &with(order(), json!({"id": id})))).reply.body;
        assert_eq!(answer, format!(r#"{{"success":true,"event":"orders_create","id":{expected}}}"#));
    }
}

#[test]
fn a_source_has_at_most_100_characters() {
    let text = |n| format!("key=dev-backend-key&event_name=orders_create&source={}", "s".repeat(n));
    assert_eq!(accepted(query(&text(100))).reply.status, 200);
    assert!(refused(query(&text(101))).reply.body.contains(r#""field":"source""#));
}

#[test]
fn life_c12_the_transport_key_has_everything_in_it() {
    let key = |name: &str, body: &str| accepted(lifesight(name, body.as_bytes())).delivery;
    assert_eq!(key("orders_create", ORDER), key("orders_create", ORDER));
    assert_ne!(key("orders_create", ORDER), key("orders_updated", ORDER));
    assert_ne!(key("orders_create", ORDER), key("orders_create", &format!("{ORDER} ")));
    let of = |source: &str| {
        accepted(query(&format!("key=dev-backend-key&event_name=orders_create&source={source}"))).delivery
    };
    assert_ne!(of("a"), of("b"));
    assert_eq!(of(""), of("custom"));
}

/// A key that has used up its rate.
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
fn a_key_beyond_its_rate_is_429_and_leaves_no_letter_of_what_it_sent() {
    let limited = |limit| {
        let mut config = WorkspaceConfig::development();
        config.lifesight.as_mut().unwrap().keys.push(sources::workspace::Secret::new("second-key"));
        config.plan.requests_per_second = limit;
        Workspaces::from_configs([config]).unwrap()
    };
    let meter = Full::default();
    let send = |workspaces: &Workspaces, key: &str, body: &str| {
        let query = format!("key={key}&event_name=orders_create");
        call(workspaces, &meter, &Method::POST, PATH, Some(&query), &[], body.as_bytes())
    };
    // Also what would be refused for its content.
    for body in [ORDER, "{}"] {
        let found = refused(send(&limited(Some(5)), "dev-backend-key", body));
        assert_eq!((found.reply.status, found.reply.retry_after), (429, Some(7)));
        assert_eq!(found.reply.body, r#"{"success":false,"error":"too many requests"}"#);
        assert_eq!((found.reason, found.letter), (Reason::RateLimited, None));
    }
    assert_eq!(refused(send(&limited(Some(5)), "second-key", ORDER)).reply.status, 429);
    assert_eq!(refused(send(&limited(Some(5)), "wrong", ORDER)).reply.status, 401);
    assert_eq!(accepted(send(&limited(None), "dev-backend-key", ORDER)).reply.status, 200);
    let asked = meter.0.lock().unwrap();
    let limits: Vec<u32> = asked.iter().map(|(_, limit)| *limit).collect();
    assert_eq!(
        limits,
        [5, 5, 5],
        "a stranger uses nothing up, and where there is no limit nothing is counted"
    );
    assert!(asked[0].0 == asked[1].0 && asked[1].0 != asked[2].0, "each key has a rate of its own");
}
