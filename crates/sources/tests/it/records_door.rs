//! Who may come in, what is answered, and what is refused with which words.

use commerce::{Mark, Reason, ReceivedTime, WorkspaceId};
use http::Method;
use serde_json::{Value, json};
use sources::meter::Unmetered;
use sources::workspace::Secret;
use sources::{Decision, Meter, Refused, WorkspaceConfig, Workspaces, meter::Velocity};

use crate::fixture::*;

pub(crate) const TOKEN: &str = "Bearer dev-records-key";
pub(crate) const APPEND: &str = "/public/v1/records/orders/append";
pub(crate) const UPSERT: &str = "/public/v1/records/profiles/upsert";
const REMEDY: &str = "Mend the request; the same bytes get the same answer.";

pub(crate) fn configured(change: impl FnOnce(&mut WorkspaceConfig)) -> Workspaces {
    let mut config = WorkspaceConfig::development();
    change(&mut config);
    Workspaces::from_configs([config]).unwrap()
}

pub(crate) fn send(path: &str, headers: &[(&'static str, &str)], body: &Value) -> Decision {
    let mut all = vec![("authorization", TOKEN)];
    all.extend_from_slice(headers);
    post(&workspaces(), path, None, &all, body.to_string().as_bytes())
}

fn row() -> Value {
    json!({
        "shopify_order_id": "1001", "customer_email": "jane.doe@example.com", "total": 49.99, "currency": "USD",
        "financial_status": "pending", "placed_at": "2026-03-14T09:00:00-04:00",
    })
}

fn append(record: &Value) -> Decision {
    send(APPEND, &[], &json!({"record": record}))
}

pub(crate) fn answer(reply: &sources::Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap()
}

/// A refusal that leaves nothing behind: its status and body.
fn turned_away(decision: Decision) -> (u16, String) {
    let Refused { reply, letter, .. } = refused(decision);
    assert_eq!(letter, None);
    (reply.status, reply.body)
}

/// The code and details of a refusal.
pub(crate) fn error_of(decision: Decision) -> (u16, String, Value) {
    let (status, body) = turned_away(decision);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&body["success"], &body["correlationId"]), (&json!(false), &json!("c-1")));
    assert!(body["error"]["message"].as_str().unwrap().len() > 5, "{body}");
    assert!(body["error"]["remediation"].as_str().unwrap().len() > 5, "{body}");
    (status, body["error"]["code"].as_str().unwrap().to_owned(), body["error"]["details"].clone())
}

pub(crate) fn invalid(details: Value) -> (u16, String, Value) {
    (400, "CDP_ETL.VALIDATION.REQUEST_INVALID".to_owned(), details)
}

#[test]
fn rec_c01_an_append_with_bearer_and_key_is_200_with_one_record_accepted() {
    let key = [("idempotency-key", "shopify:order:1001:created")];
    let accepted = accepted(send(APPEND, &key, &json!({"record": row()})));
    assert_eq!(accepted.reply.status, 200);
    assert_eq!(
        accepted.reply.body,
        r#"{"success":true,"data":{"operation":"append","objectName":"orders","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":1},"correlationId":"c-1"}"#
    );
    assert_eq!((accepted.workspace.as_str(), accepted.verdict, accepted.body), ("demo", "key", None));
}

#[test]
fn rec_c01_without_bearer_it_is_401_and_leaves_nothing() {
    let body = json!({"record": row()}).to_string();
    let expected = r#"{"success":false,"correlationId":"c-1","error":{"code":"CDP_ETL.AUTH.UNAUTHORIZED","message":"the token is missing or unknown","details":{"path":"headers.authorization"},"remediation":"Send Authorization: Bearer and a token of the workspace."}}"#;
    for token in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nope",
        "Basic dev-records-key",
        "dev-records-key",
        "Bearer dev-orders-key",
    ] {
        let decision = post(&workspaces(), APPEND, None, &[("authorization", token)], body.as_bytes());
        assert_eq!(refused(decision.clone()).reason, Reason::UnknownKey);
        assert_eq!(turned_away(decision), (401, expected.to_owned()), "{token}");
    }
    assert_eq!(turned_away(post(&workspaces(), APPEND, None, &[], body.as_bytes())).0, 401);
    let lower =
        post(&workspaces(), APPEND, None, &[("authorization", "bearer  dev-records-key ")], body.as_bytes());
    assert_eq!(accepted(lower).reply.status, 200);
}

#[test]
fn an_upsert_answers_with_its_match_key() {
    let body = json!({"record": {"email": "a@b.c", "tier": "gold"}, "matchKey": "email"});
    assert_eq!(
        accepted(send(UPSERT, &[], &body)).reply.body,
        r#"{"success":true,"data":{"operation":"upsert","objectName":"profiles","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":1,"matchKey":"email"},"correlationId":"c-1"}"#
    );
    let default = accepted(send(UPSERT, &[], &json!({"record": {"email": "a@b.c"}})));
    assert_eq!(answer(&default.reply)["data"]["matchKey"], "email");
}

#[test]
fn a_token_of_another_object_is_403() {
    let workspaces = configured(|config| {
        let records = config.records.as_mut().unwrap();
        records.object_keys.insert("payments".to_owned(), vec![Secret::new("only-payments")]);
    });
    let call = |path: &str, body: &Value| {
        let token = [("authorization", "Bearer only-payments")];
        post(&workspaces, path, None, &token, body.to_string().as_bytes())
    };
    let decision = call(APPEND, &json!({"record": row()}));
    assert_eq!(refused(decision.clone()).reason, Reason::KeyNotAllowed);
    assert_eq!(
        turned_away(decision),
        (403, r#"{"success":false,"correlationId":"c-1","error":{"code":"CDP_ETL.AUTH.FORBIDDEN","message":"the token doesn't open this object","details":{"path":"object"},"remediation":"Use a token that opens this object."}}"#.to_owned())
    );
    let payment = json!({"record": {"payment_id": "p", "amount_paid": 1}});
    assert_eq!(accepted(call("/public/v1/records/payments/append", &payment)).reply.status, 200);
}

#[test]
fn rec_c14_an_unknown_object_is_404_and_the_other_operation_400() {
    let body = json!({"record": {"email": "a@b.c"}});
    assert_eq!(
        turned_away(send("/public/v1/records/visits/append", &[], &body)),
        (404, r#"{"success":false,"correlationId":"c-1","error":{"code":"CDP_ETL.NOT_FOUND","message":"there is no such object","details":{"path":"object"},"remediation":"Use an object of the workspace, or add it to records.objects."}}"#.to_owned())
    );
    for path in [
        "/public/v1/records/profiles/append",
        "/public/v1/records/profiles/append-batch",
        "/public/v1/records/orders/upsert",
        "/public/v1/records/payments/upsert",
        "/public/v1/records/product_events/upsert-batch",
    ] {
        assert_eq!(error_of(send(path, &[], &body)), invalid(json!({"path": "operation"})), "{path}");
    }
    for path in
        ["/public/v1/records/orders", "/public/v1/records/orders/delete", "/public/v1/records//append"]
    {
        assert_eq!(sources::route(&Method::POST, path).unwrap_err().status, 404, "{path}");
    }
    let reply = sources::route(&Method::GET, APPEND).unwrap_err();
    assert_eq!((reply.status, reply.allow), (405, Some("POST")));
    assert_eq!(sources::route(&Method::POST, APPEND).unwrap().body_limit, 10 * 1024 * 1024);
}

#[test]
fn rec_c14_an_unknown_field_is_kept_by_default_and_422_in_strict_mode() {
    let record = with(row(), json!({"gift": true, "_backfill": "old"}));
    assert_eq!(accepted(append(&record)).reply.status, 200);
    let strict = configured(|config| config.records.as_mut().unwrap().strict_schema = true);
    let call = |path: &str, body: Value| {
        post(&strict, path, None, &[("authorization", TOKEN)], body.to_string().as_bytes())
    };
    assert_eq!(
        turned_away(call(APPEND, json!({"record": record}))),
        (422, r#"{"success":false,"correlationId":"c-1","error":{"code":"CDP_ETL.VALIDATION.REQUEST_SCHEMA","message":"the schema has no such field","details":{"path":"record.gift","value":true},"remediation":"Leave the field out, or switch records.strict_schema off."}}"#.to_owned())
    );
    let known = with(row(), json!({"_backfill": true}));
    assert_eq!(accepted(call(APPEND, json!({"record": known}))).reply.status, 200);
    let profile = json!({"record": {"email": "a@b.c", "anything": 1}});
    assert_eq!(accepted(call(UPSERT, profile)).reply.status, 200, "a profile may have any attribute");
    let batch = call("/public/v1/records/orders/append-batch", json!({"records": [row(), record]}));
    let entry = &answer(&accepted(batch).reply)["data"]["errors"][0];
    assert_eq!(
        (&entry["path"], &entry["code"]),
        (&json!("records[1].gift"), &json!("CDP_ETL.VALIDATION.REQUEST_SCHEMA"))
    );
}

#[test]
fn an_object_of_the_settings_takes_any_row() {
    let workspaces =
        configured(|config| config.records.as_mut().unwrap().objects = vec!["visits".to_owned()]);
    let call = |path: &str| {
        post(&workspaces, path, None, &[("authorization", TOKEN)], br#"{"record":{"shop":"Kiel"}}"#)
    };
    assert_eq!(accepted(call("/public/v1/records/visits/append")).reply.status, 200);
    assert_eq!(error_of(call("/public/v1/records/visits/upsert")).0, 400);
}

#[test]
fn a_body_that_is_none_is_400_with_its_place() {
    for body in ["", "no", "[]", "1", "{", "\u{1}"] {
        let decision = post(&workspaces(), APPEND, None, &[("authorization", TOKEN)], body.as_bytes());
        assert_eq!(refused(decision.clone()).reason, Reason::MalformedJson);
        assert_eq!(error_of(decision), invalid(json!({"path": "body"})), "{body}");
    }
    for body in [
        json!({}),
        json!({"record": null}),
        json!({"record": {}}),
        json!({"record": []}),
        json!({"record": "x"}),
        json!({"records": [row()]}),
    ] {
        assert_eq!(error_of(send(APPEND, &[], &body)), invalid(json!({"path": "record"})), "{body}");
    }
    for body in [
        json!({}),
        json!({"records": []}),
        json!({"records": {}}),
        json!({"record": row()}),
        json!({"records": vec![0; 10_001]}),
    ] {
        let decision = send("/public/v1/records/orders/append-batch", &[], &body);
        assert_eq!(error_of(decision), invalid(json!({"path": "records"})));
    }
}

#[test]
fn a_bad_value_is_400_with_its_path_and_itself() {
    let bad = |fields: Value| error_of(append(&with(row(), fields)));
    assert_eq!(
        turned_away(append(&with(row(), json!({"total": "abc"})))),
        (
            400,
            format!(
                r#"{{"success":false,"correlationId":"c-1","error":{{"code":"CDP_ETL.VALIDATION.REQUEST_INVALID","message":"'abc' is not a decimal amount","details":{{"path":"record.total","value":"abc"}},"remediation":"{REMEDY}"}}}}"#
            )
        )
    );
    assert_eq!(bad(json!({"total": null})), invalid(json!({"path": "record.total"})));
    assert_eq!(bad(json!({"total": true})), invalid(json!({"path": "record.total", "value": true})));
    assert_eq!(bad(json!({"total": [1]})), invalid(json!({"path": "record.total"})));
    assert_eq!(
        bad(json!({"total": "9".repeat(300)})),
        invalid(json!({"path": "record.total"})),
        "too long to send back"
    );
    assert_eq!(
        bad(json!({"refund_total": -1})),
        invalid(json!({"path": "record.refund_total", "value": -1}))
    );
    assert_eq!(bad(json!({"currency": "XYZ"})), invalid(json!({"path": "record.currency", "value": "XYZ"})));
    assert_eq!(bad(json!({"item_count": 1.5})), invalid(json!({"path": "record.item_count", "value": 1.5})));
    assert_eq!(
        bad(json!({"updated_at": 1_700_000_000})),
        invalid(json!({"path": "record.updated_at", "value": 1_700_000_000}))
    );
    assert_eq!(bad(json!({"shopify_order_id": null})), invalid(json!({"path": "record.shopify_order_id"})));
    assert_eq!(
        bad(json!({"shopify_order_id": "", "order_id": 1.5})),
        invalid(json!({"path": "record.order_id", "value": 1.5}))
    );
    for (object, record, path) in [
        ("payments", json!({"amount_paid": 1}), "record.stripe_invoice_id"),
        ("payments", json!({"payment_id": "p"}), "record.amount_paid"),
        ("product_events", json!({"product_id": "p"}), "record.event_type"),
        ("product_events", json!({"event_type": "product_view"}), "record.product_id"),
    ] {
        let decision = send(&format!("/public/v1/records/{object}/append"), &[], &json!({"record": record}));
        assert_eq!(error_of(decision), invalid(json!({"path": path})));
    }
}

#[test]
fn rec_c12_a_time_without_offset_is_400() {
    for text in ["2026-03-14T09:00:00", "2026-03-14", "2026-03-14 09:00:00.5"] {
        for field in ["placed_at", "updated_at"] {
            let decision = append(&with(row(), json!({field: text})));
            assert_eq!(refused(decision.clone()).reason, Reason::BadTime);
            assert_eq!(
                error_of(decision),
                invalid(json!({"path": format!("record.{field}"), "value": text}))
            );
        }
    }
    let cases = [
        ("payments/append", json!({"payment_id": "p", "amount_paid": 1}), "paid_at"),
        ("payments/append", json!({"payment_id": "p", "amount_paid": 1}), "period_end"),
        ("product_events/append", json!({"event_type": "x", "product_id": "p"}), "occurred_at"),
        ("profiles/upsert", json!({"email": "a@b.c"}), "last_order_at"),
        ("profiles/upsert", json!({"email": "a@b.c"}), "payment_failed_at"),
    ];
    for (path, record, field) in cases {
        let path = format!("/public/v1/records/{path}");
        let call =
            |text: &str| send(&path, &[], &json!({"record": with(record.clone(), json!({field: text}))}));
        assert_eq!(error_of(call("2026-03-14T09:00:00")).2["path"], format!("record.{field}"));
        assert_eq!(accepted(call("2026-03-14T09:00:00Z")).reply.status, 200);
    }
}

#[test]
fn rec_c08_a_match_key_that_is_not_in_the_record_is_400() {
    let upsert = |body: Value| error_of(send(UPSERT, &[], &body));
    for body in [
        json!({"record": {"email": "a@b.c"}, "matchKey": "phone"}),
        json!({"record": {"email": null, "tier": "x"}, "matchKey": "email"}),
        json!({"record": {"email": "", "tier": "x"}}),
        json!({"record": {"customer_id": "7"}}),
        json!({"record": {"email": "a@b.c"}, "matchKey": 7}),
        json!({"record": {"email": "a@b.c", "tier": "x"}, "matchKey": "tier"}),
    ] {
        assert_eq!(upsert(body.clone()), invalid(json!({"path": "matchKey"})), "{body}");
    }
    let masked = json!({"record": {"email": "[email protected]"}});
    assert_eq!(upsert(masked), invalid(json!({"path": "record.email", "value": "[email protected]"})));
    let phone = json!({"record": {"phone": "call me"}, "matchKey": "phone"});
    assert_eq!(upsert(phone), invalid(json!({"path": "record.phone", "value": "call me"})));
    for (field, value) in [
        ("customer_id", "7"),
        ("phone", "+1 202 555 0100"),
        ("stripe_customer_id", "cus_1"),
        ("shopify_customer_id", "9"),
    ] {
        let body = json!({"record": {field: value}, "matchKey": field});
        assert_eq!(answer(&accepted(send(UPSERT, &[], &body)).reply)["data"]["matchKey"], field);
    }
}

#[test]
fn the_token_is_in_no_stored_record() {
    let accepted =
        accepted(send(APPEND, &[("idempotency-key", "k"), ("cookie", "hidden")], &json!({"record": row()})));
    let printed = format!("{accepted:?}");
    assert!(!printed.contains("dev-records-key") && !printed.contains("hidden"), "{printed}");
    assert!(accepted.headers.contains(&("http.idempotency-key".into(), "k".into())));
    assert!(accepted.headers.contains(&("path".into(), APPEND.into())));
}

/// A meter that knows some keys and is out of breath after some requests.
pub(crate) struct Stub {
    pub(crate) wait: Option<u32>,
}

impl Meter for Stub {
    fn pace(&self, _: Mark, per_second: u32) -> Result<(), u32> {
        assert_eq!(per_second, 5);
        self.wait.map_or(Ok(()), Err)
    }

    fn take(&self, _: &WorkspaceId, events: u64, _: u64, _: ReceivedTime) -> u64 {
        events
    }

    fn velocity(&self, _: &WorkspaceId, _: Mark, _: u32, _: u32) -> Velocity {
        Velocity::default()
    }
}

pub(crate) fn sources_call(
    workspaces: &Workspaces,
    meter: &dyn Meter,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Decision {
    call(workspaces, meter, &Method::POST, path, None, headers, body)
}

#[test]
fn too_many_requests_are_429_with_the_seconds_to_wait() {
    let limited = configured(|config| config.plan.requests_per_second = Some(5));
    let body = json!({"record": row()}).to_string();
    let call = |wait| {
        let meter = Stub { wait };
        sources_call(&limited, &meter, APPEND, &[("authorization", TOKEN)], body.as_bytes())
    };
    assert_eq!(accepted(call(None)).reply.status, 200);
    let refused = refused(call(Some(3)));
    assert_eq!(
        (refused.reply.status, refused.reply.retry_after, refused.reason),
        (429, Some(3), Reason::RateLimited)
    );
    assert_eq!(
        refused.reply.body,
        r#"{"success":false,"correlationId":"c-1","error":{"code":"CDP_ETL.RATE.LIMITED","message":"too many requests","remediation":"Send the same request with the same Idempotency-Key again after Retry-After."}}"#
    );
    let unlimited =
        sources_call(&workspaces(), &Unmetered, APPEND, &[("authorization", TOKEN)], body.as_bytes());
    assert_eq!(accepted(unlimited).reply.status, 200);
}

#[test]
fn what_the_gateway_says_itself_has_the_same_envelope() {
    let source = commerce::Source::Records;
    let large = sources::too_large(source, "c-9");
    assert_eq!(
        (large.status, large.body),
        (
            413,
            format!(
                r#"{{"success":false,"correlationId":"c-9","error":{{"code":"CDP_ETL.VALIDATION.REQUEST_INVALID","message":"payload too large","details":{{"path":"body"}},"remediation":"{REMEDY}"}}}}"#
            )
        )
    );
    let unavailable = sources::unavailable(source, "c-9");
    assert_eq!((unavailable.status, unavailable.retry_after), (503, Some(5)));
    assert_eq!(
        unavailable.body,
        r#"{"success":false,"correlationId":"c-9","error":{"code":"CDP_ETL.INTERNAL.UNAVAILABLE","message":"unavailable","remediation":"Send the same request with the same Idempotency-Key again after Retry-After."}}"#
    );
    let unreadable = sources::unreadable_body(source, "c-9");
    assert_eq!(
        (unreadable.status, answer(&unreadable)["error"]["code"].as_str()),
        (400, Some("CDP_ETL.VALIDATION.REQUEST_INVALID"))
    );
}

#[test]
fn rec_c20_a_batch_with_one_bad_record_reports_its_index_and_keeps_the_others() {
    let bad = with(row(), json!({"total": "abc"}));
    let body = json!({"records": [row(), bad, row(), null]});
    let accepted = accepted(send("/public/v1/records/orders/append-batch", &[], &body));
    assert_eq!(
        accepted.reply.body,
        r#"{"success":true,"data":{"operation":"append","objectName":"orders","accepted":true,"acceptedAt":"2026-03-14T16:00:00Z","acceptedRecords":2,"rejectedRecords":2,"errors":[{"index":1,"code":"CDP_ETL.VALIDATION.REQUEST_INVALID","path":"records[1].total","message":"'abc' is not a decimal amount"},{"index":3,"code":"CDP_ETL.VALIDATION.REQUEST_INVALID","path":"records[3]","message":"it is not an object with a field"}]},"correlationId":"c-1"}"#
    );
    assert!(accepted.headers.contains(&("rejected_items".into(), "1,3".into())));
    let items = items(&accepted, body.to_string().as_bytes()).unwrap();
    let places: Vec<_> = items.iter().map(|item| item.as_ref().unwrap().raw_item).collect();
    assert_eq!(places, [0, 2], "what the gateway refused gives no item");
}

#[test]
fn a_batch_of_good_records_has_an_empty_list_of_errors() {
    let body = json!({"records": [{"email": "a@b.c"}, {"email": "d@e.f"}], "matchKey": "email"});
    let accepted = accepted(send("/public/v1/records/profiles/upsert-batch", &[], &body));
    assert_eq!(
        answer(&accepted.reply)["data"],
        json!({"operation": "upsert", "objectName": "profiles", "accepted": true, "acceptedAt": "2026-03-14T16:00:00Z",
               "acceptedRecords": 2, "matchKey": "email", "rejectedRecords": 0, "errors": []})
    );
    assert!(!accepted.headers.iter().any(|(name, _)| name == "rejected_items"));
    let most = json!({"records": vec![row(); 10_000]});
    let decision = send("/public/v1/records/orders/append-batch", &[], &most);
    assert_eq!(answer(&self::accepted(decision).reply)["data"]["acceptedRecords"], 10_000);
}

#[test]
fn a_batch_without_a_good_record_is_answered_and_not_stored() {
    let refused = refused(send("/public/v1/records/orders/append-batch", &[], &json!({"records": [1, {}]})));
    assert_eq!((refused.reply.status, refused.reason, refused.letter), (200, Reason::MissingField, None));
    let data = &answer(&refused.reply)["data"];
    assert_eq!(
        (&data["acceptedRecords"], &data["rejectedRecords"], &data["accepted"]),
        (&json!(0), &json!(2), &json!(false))
    );
}
