//! What an Event object says.

use commerce::event::{Event, Payment};
use commerce::reason::Failure;
use commerce::{EventName, Source};
use serde_json::{Value, json};
use sources::{Raw, Workspace, WorkspaceConfig};

use crate::fixture::*;

/// 2026-03-14T15:00:00Z, an hour before the deliveries of these tests arrive.
const CREATED: i64 = 1_773_500_400;

/// An Event object around an invoice with fields replaced.
pub(crate) fn invoice_event(r#type: &str, fields: Value) -> Value {
    let invoice = json!({
        "id": "in_1",
        "object": "invoice",
        "customer": "cus_1",
        "customer_email": " Jane.Doe@Example.com ",
        "amount_paid": 4999,
        "amount_due": 4999,
        "currency": "usd",
        "subscription": "sub_1",
        "period_start": 1_770_822_000,
        "period_end": 1_773_500_000,
        "status_transitions": {"paid_at": 1_773_500_399, "finalized_at": 1_773_500_000},
        "attempt_count": 1,
        "next_payment_attempt": null,
        "billing_reason": "manual",
        "metadata": {"order_id": "1001"},
    });
    event(r#type, with(invoice, fields))
}

fn event(r#type: &str, object: Value) -> Value {
    json!({
        "id": "evt_1",
        "object": "event",
        "type": r#type,
        "created": CREATED,
        "livemode": true,
        "api_version": "2026-01-28.clover",
        "account": null,
        "data": {"object": object},
    })
}

fn read_in(workspace: &Workspace, body: &Value) -> Result<Vec<Event>, Failure> {
    let body = body.to_string();
    let raw = Raw {
        source: Source::Stripe,
        workspace,
        received_at: received(NOW),
        partition: 3,
        offset: 7,
        headers: &[("path", "/webhooks/stripe/payment")],
        body: body.as_bytes(),
    };
    Ok(sources::normalize(&raw)?.into_iter().map(Result::unwrap).collect())
}

fn read(body: &Value) -> Vec<Event> {
    read_in(&Workspace::development().unwrap(), body).unwrap()
}

fn failure(body: &Value) -> (&'static str, String) {
    let failure = read_in(&Workspace::development().unwrap(), body).unwrap_err();
    (failure.reason.code(), failure.field.unwrap_or_default())
}

fn succeeded(fields: Value) -> Vec<Event> {
    read(&invoice_event("invoice.payment_succeeded", fields))
}

fn failed(fields: Value) -> Vec<Event> {
    let unpaid = json!({"amount_paid": 0, "status_transitions": {"paid_at": null}});
    read(&invoice_event("invoice.payment_failed", with(unpaid, fields)))
}

fn names(events: &[Event]) -> Vec<(&'static str, i32)> {
    events.iter().map(|event| (event.event.as_str(), event.raw_part)).collect()
}

fn payment(event: &Event) -> &Payment {
    event.payload.payment.as_ref().unwrap()
}

fn attributes(event: &Event) -> Vec<(&str, &str)> {
    let person = event.person.as_ref().unwrap();
    person.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn str_c01_a_paid_invoice_is_one_payment_and_its_person() {
    let events = succeeded(json!({}));
    assert_eq!(names(&events), [("payment.succeeded", 0), ("customer.updated", 1)]);
    let event = &events[0];
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("payment", "in_1"));
    assert_eq!(event.source_event, "invoice.payment_succeeded");
    assert_eq!(event.occurred_at, at("2026-03-14T15:00:00Z"));
    assert!(!event.qa && event.trigger_eligible && event.flags.is_empty());
    let payment = payment(event);
    assert_eq!(payment.amount_due.unwrap().to_string(), "49.99 USD");
    assert_eq!(payment.subscription_id.as_deref(), Some("sub_1"));
    assert_eq!(payment.order_id.as_deref(), Some("1001"));
    assert_eq!((payment.attempt, payment.reason.as_deref()), (Some(1), Some("manual")));
    assert_eq!(
        event.identifiers(),
        [("email", "jane.doe@example.com".to_owned()), ("stripe_customer", "cus_1".to_owned())]
    );
    assert_eq!(event.payload.properties["api_version"], r#""2026-01-28.clover""#);
    assert!(!event.payload.properties.contains_key("account"), "null says nothing");
}

#[test]
fn str_c06_an_amount_is_read_in_the_unit_that_stripe_uses_for_its_currency() {
    for (amount, currency, expected) in [
        (4999, "usd", "49.99 USD"),
        (5000, "jpy", "5000 JPY"),
        (500_000, "ugx", "5000 UGX"),
        (500_000, "isk", "5000 ISK"),
        (5000, "mga", "5000.00 MGA"),
        (5124, "kwd", "5.124 KWD"),
        (5000, "xaf", "5000 XAF"),
        (0, "usd", "0.00 USD"),
    ] {
        let events = succeeded(json!({"amount_paid": amount, "amount_due": amount, "currency": currency}));
        assert_eq!(payment(&events[0]).amount.unwrap().to_string(), expected);
        assert_eq!(events[0].flags, Vec::<String>::new());
    }
    let paid = |currency: &str| {
        let amount = json!({"amount_paid": 1234, "amount_due": 1234, "currency": currency});
        payment(&succeeded(amount)[0]).amount.unwrap()
    };
    let whole = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf";
    for currency in whole.split(' ') {
        assert_eq!(paid(currency).to_major().trim_end_matches(".00"), "1234", "{currency}");
    }
    for currency in ["bhd", "jod", "kwd", "omr", "tnd"] {
        assert_eq!(paid(currency).to_major(), "1.234", "{currency}");
    }
    for (amount, expected) in [(50, 1), (49, 0), (149, 1), (150, 2), (-150, -2)] {
        let events = succeeded(json!({"amount_paid": amount, "currency": "ugx"}));
        assert_eq!(payment(&events[0]).amount.unwrap().minor, expected, "{amount}");
        assert_eq!(events[0].flags, ["amount_rounded"]);
    }
}

#[test]
fn an_amount_that_is_none_is_a_fault_and_never_nothing() {
    let paid = |value: Value| failure(&invoice_event("invoice.paid", json!({"amount_paid": value})));
    let at_amount = |code| (code, "data.object.amount_paid".to_owned());
    for value in [json!("x"), json!(10.5), json!(true), json!([1]), json!(1_000_000_000_000_001_i64)] {
        assert_eq!(paid(value.clone()), at_amount("bad_money"), "{value}");
    }
    assert_eq!(paid(json!(null)), at_amount("missing_field"));
    assert_eq!(
        failure(&invoice_event("invoice.paid", json!({"currency": "xqq"}))),
        ("bad_currency", "data.object.currency".into())
    );
    assert_eq!(
        failure(&invoice_event("invoice.paid", json!({"currency": null}))),
        ("missing_field", "data.object.currency".into())
    );
}

#[test]
fn str_c07_the_currency_is_upper_case() {
    assert_eq!(payment(&succeeded(json!({"currency": "eur"}))[0]).amount.unwrap().currency.as_str(), "EUR");
}

#[test]
fn str_c08_unix_times_are_published_in_utc() {
    let events = succeeded(json!({"period_end": 1_776_178_800}));
    let payment = payment(&events[0]);
    assert_eq!(payment.period_start.unwrap().to_rfc3339(), "2026-02-11T15:00:00Z");
    assert_eq!(payment.period_end.unwrap().to_rfc3339(), "2026-04-14T15:00:00Z");
    assert_eq!(payment.paid_at.unwrap().to_rfc3339(), "2026-03-14T14:59:59Z");
    assert_eq!(events[0].flags, Vec::<String>::new(), "a period that goes on is no remark");
    let events = succeeded(json!({"period_end": 1_776_178_800_000_i64}));
    assert_eq!(events[0].flags, ["timestamp_unit_guessed"]);
    assert_eq!(events[0].payload.payment.as_ref().unwrap().period_end, Some(at("2026-04-14T15:00:00Z")));
}

#[test]
fn str_c09_an_unknown_time_of_payment_is_the_events_and_then_the_arrival() {
    for transitions in [json!({"paid_at": null}), json!(null), json!({}), json!([])] {
        let events = succeeded(json!({"status_transitions": transitions}));
        assert_eq!(payment(&events[0]).paid_at, Some(at("2026-03-14T15:00:00Z")));
    }
    let body = without(invoice_event("invoice.paid", json!({"status_transitions": null})), "created");
    let events = read(&body);
    assert_eq!((payment(&events[0]).paid_at, events[0].occurred_at), (Some(at(NOW)), at(NOW)));
}

#[test]
fn str_c10_an_invoice_without_an_address_is_a_payment_without_one() {
    for email in [json!(null), json!(""), json!("  ")] {
        let events = succeeded(json!({"customer_email": email}));
        assert_eq!(names(&events), [("payment.succeeded", 0), ("customer.updated", 1)]);
        let person = events[1].person.as_ref().unwrap();
        assert_eq!((person.email.as_deref(), person.update_only), (None, true));
        assert_eq!(events[0].identifiers(), [("stripe_customer", "cus_1".to_owned())]);
    }
    let events = succeeded(json!({"customer_email": null, "customer": null}));
    assert_eq!(names(&events), [("payment.succeeded", 0)], "nobody's profile is written");
    assert_eq!(events[0].person, None);
    let missing = without(invoice_event("x", json!({}))["data"]["object"].clone(), "customer_email");
    assert_eq!(read(&event("invoice.payment_failed", missing)).len(), 2);
}

#[test]
fn an_invalid_address_is_kept_and_identifies_nobody() {
    let events = succeeded(json!({"customer_email": "[email protected]", "customer": null}));
    assert_eq!(names(&events), [("payment.succeeded", 0)]);
    let person = events[0].person.as_ref().unwrap();
    assert_eq!((person.email.as_deref(), person.identifiers.len()), (Some("[email protected]"), 0));
    assert_eq!(events[0].flags, ["email_invalid"]);
}

#[test]
fn str_c11_an_expanded_customer_is_its_id() {
    let by_id = succeeded(json!({}));
    let expanded = json!({"id": "cus_1", "object": "customer", "email": "other@example.com"});
    let by_object = succeeded(json!({"customer": expanded, "subscription": {"id": "sub_1"}}));
    assert_eq!(by_id, by_object);
    assert!(!by_id[1].person.as_ref().unwrap().update_only);
}

#[test]
fn the_plan_is_found_where_newer_versions_of_the_api_put_it() {
    for plan in [json!("sub_1"), json!({"id": "sub_1"})] {
        let parent = json!({"type": "subscription_details", "subscription_details": {"subscription": plan}});
        let events = succeeded(json!({"subscription": null, "parent": parent}));
        assert_eq!(payment(&events[0]).subscription_id.as_deref(), Some("sub_1"));
    }
    let events = succeeded(json!({"subscription": null, "parent": {"subscription_details": null}}));
    assert_eq!(payment(&events[0]).subscription_id, None);
}

#[test]
fn str_c12_the_same_event_again_is_the_same_to_the_letter() {
    let again = succeeded(json!({}));
    for _ in 0..5 {
        assert_eq!(succeeded(json!({})), again);
    }
    assert_ne!(again[0].event_id, again[1].event_id);
    assert_eq!(again[0].keys.transport, again[1].keys.transport);
}

#[test]
fn str_c13_two_event_objects_of_one_paid_invoice_are_one_fact() {
    let one = succeeded(json!({}));
    let other =
        with(invoice_event("invoice.paid", json!({})), json!({"id": "evt_2", "created": CREATED + 1}));
    let other = read(&other);
    for (one, other) in one.iter().zip(&other) {
        assert_eq!((one.event, &one.event_id), (other.event, &other.event_id));
        assert_eq!(one.keys.semantic, other.keys.semantic);
        assert_ne!(one.keys.transport, other.keys.transport);
    }
    let elsewhere = Workspace::try_new(WorkspaceConfig::new("elsewhere")).unwrap();
    let there = read_in(&elsewhere, &invoice_event("invoice.paid", json!({}))).unwrap();
    assert_ne!(there[0].keys.semantic, one[0].keys.semantic, "an id belongs to its workspace");
    assert_ne!(succeeded(json!({"id": "in_2"}))[0].keys.semantic, one[0].keys.semantic);
}

#[test]
fn str_c14_success_and_failure_say_what_the_payment_status_is_since_when() {
    let paid = &succeeded(json!({}))[1];
    assert_eq!(
        attributes(paid),
        [("last_payment_at", r#""2026-03-14T14:59:59Z""#), ("payment_status", r#""current""#)]
    );
    let due = &failed(json!({}))[1];
    assert_eq!(
        attributes(due),
        [("payment_failed_at", r#""2026-03-14T15:00:00Z""#), ("payment_status", r#""past_due""#)]
    );
    for event in [paid, due] {
        assert_eq!(event.event, EventName::CustomerUpdated);
        assert_eq!(
            (event.entity.r#type.as_str(), event.entity.id.as_str()),
            ("person", "jane.doe@example.com")
        );
        assert_eq!(event.person.as_ref().unwrap().attributes_at, Some(at("2026-03-14T15:00:00Z")));
        assert_eq!(event.occurred_at, at("2026-03-14T15:00:00Z"), "the events are ordered by `created`");
    }
}

#[test]
fn str_c16_a_failed_invoice_is_a_failure_and_no_payment() {
    let events = failed(json!({"attempt_count": 2, "next_payment_attempt": 1_774_000_000}));
    assert_eq!(names(&events), [("payment.failed", 0), ("customer.updated", 1)]);
    let payment = payment(&events[0]);
    assert_eq!((payment.paid_at, payment.attempt), (None, Some(2)));
    assert_eq!(payment.amount.unwrap().minor, 0);
    assert_eq!(payment.amount_due.unwrap().minor, 4999);
    assert_eq!(payment.next_attempt_at.unwrap().to_rfc3339(), "2026-03-20T09:46:40Z");
    assert_eq!(events[0].flags, Vec::<String>::new());
}

#[test]
fn each_attempt_of_an_invoice_is_a_failure_of_its_own() {
    let key = |id: &str, attempt: Value| {
        let body = invoice_event("invoice.payment_failed", json!({"attempt_count": attempt}));
        read(&with(body, json!({"id": id})))[0].keys.semantic.clone()
    };
    assert_eq!(key("evt_1", json!(1)), key("evt_2", json!(1)));
    assert_ne!(key("evt_1", json!(1)), key("evt_1", json!(2)));
    assert_ne!(key("evt_1", json!(null)), key("evt_2", json!(null)), "without a number the event counts");
    assert_eq!(key("evt_1", json!(null)), key("evt_1", json!(null)));
}

#[test]
fn str_c17_a_type_that_is_not_used_has_no_event() {
    for r#type in ["customer.created", "invoice.created", "payment_intent.succeeded", "INVOICE.PAID"] {
        assert_eq!(read(&invoice_event(r#type, json!({}))), [], "{type}");
    }
    assert_eq!(read(&json!({"id": "evt_1", "type": "ping"})), [], "not even an object is asked for");
}

#[test]
fn str_c18_test_mode_is_qa_in_production_alone() {
    let body = with(invoice_event("invoice.paid", json!({})), json!({"livemode": false}));
    assert!(read(&body).iter().all(|event| event.qa));
    let staging = WorkspaceConfig { environment: "staging".into(), ..WorkspaceConfig::new("acme-staging") };
    let staging = Workspace::try_new(staging).unwrap();
    assert!(read_in(&staging, &body).unwrap().iter().all(|event| !event.qa));
    let silent = without(body, "livemode");
    assert!(read(&silent).iter().all(|event| !event.qa));
}

#[test]
fn str_c19_a_payment_says_nothing_of_orders_or_totals() {
    for event in succeeded(json!({"billing_reason": "subscription_cycle"})) {
        assert_eq!(event.payload.order, None);
        let person = event.person.unwrap();
        assert_eq!((person.reported_total_spent, person.reported_orders_count), (None, None));
    }
}

#[test]
fn an_invoice_of_a_plans_cycle_renews_the_plan() {
    let events = succeeded(json!({"billing_reason": "subscription_cycle"}));
    assert_eq!(
        names(&events),
        [("payment.succeeded", 0), ("customer.updated", 1), ("subscription.renewed", 2)]
    );
    let renewed = &events[2];
    assert_eq!((renewed.entity.r#type.as_str(), renewed.entity.id.as_str()), ("subscription", "sub_1"));
    let plan = renewed.payload.subscription.as_ref().unwrap();
    assert_eq!(plan.amount.unwrap().to_string(), "49.99 USD");
    assert_eq!(plan.period_end.unwrap().to_rfc3339(), "2026-03-14T14:53:20Z");
    let later = succeeded(json!({"billing_reason": "subscription_cycle", "id": "in_2"}));
    assert_ne!(later[2].keys.semantic, renewed.keys.semantic, "each cycle is a renewal");
    for reason in ["subscription_create", "subscription_update", "manual"] {
        assert_eq!(succeeded(json!({"billing_reason": reason})).len(), 2, "{reason}");
    }
    let nameless = succeeded(json!({
        "billing_reason": "subscription_cycle", "customer": null, "customer_email": null, "subscription": null,
    }));
    assert_eq!(names(&nameless), [("payment.succeeded", 0), ("subscription.renewed", 2)]);
    assert_eq!(nameless[1].entity.id, "in_1");
}

#[test]
fn a_plan_ends_once_and_may_rest_often() {
    let plan = json!({
        "id": "sub_1", "customer": "cus_1", "current_period_start": 1_773_000_000, "current_period_end": 1_775_000_000,
    });
    let ended = read(&event("customer.subscription.deleted", plan.clone()));
    assert_eq!(names(&ended), [("subscription.cancelled", 0)]);
    assert_eq!((ended[0].entity.r#type.as_str(), ended[0].entity.id.as_str()), ("subscription", "sub_1"));
    assert_eq!(ended[0].identifiers(), [("stripe_customer", "cus_1".to_owned())]);
    assert_eq!(ended[0].payload.subscription.as_ref().unwrap().id.as_deref(), Some("sub_1"));
    let later = with(event("customer.subscription.deleted", plan.clone()), json!({"created": CREATED + 9}));
    assert_eq!(read(&later)[0].keys.semantic, ended[0].keys.semantic);

    let items =
        json!({"data": [{"current_period_start": 1_773_000_000, "current_period_end": 1_775_000_000}]});
    let newer = json!({"id": "sub_1", "customer": {"id": "cus_1"}, "items": items});
    let rests = read(&event("customer.subscription.paused", newer));
    assert_eq!(names(&rests), [("subscription.paused", 0)]);
    assert_eq!(rests[0].payload.subscription, ended[0].payload.subscription);
    let again = with(event("customer.subscription.paused", plan), json!({"created": CREATED + 9}));
    assert_ne!(read(&again)[0].keys.semantic, rests[0].keys.semantic);
}

fn refund(id: &str) -> Value {
    json!({
        "id": id, "object": "refund", "amount": 1000, "currency": "usd", "charge": "ch_1", "created": CREATED - 60,
        "status": "succeeded", "reason": "requested_by_customer", "metadata": {"order_id": "1001"},
    })
}

#[test]
fn a_refund_is_one_fact_by_its_id_whichever_event_brings_it() {
    let alone = read(&event("refund.created", refund("re_1")));
    assert_eq!(names(&alone), [("payment.refunded", 0)]);
    let payment = payment(&alone[0]);
    assert_eq!((payment.refund_id.as_deref(), payment.order_id.as_deref()), (Some("re_1"), Some("1001")));
    assert_eq!(payment.amount.unwrap().to_string(), "10.00 USD");
    assert_eq!(payment.reason.as_deref(), Some("requested_by_customer"));
    assert_eq!(alone[0].entity.id, "ch_1");
    assert_eq!(alone[0].occurred_at, at("2026-03-14T14:59:00Z"));

    let list = json!({"object": "list", "data": [refund("re_2"), null, refund("re_1")], "has_more": false});
    let charge = json!({"id": "ch_1", "customer": "cus_1", "amount_refunded": 2000, "refunds": list});
    let listed = read(&with(event("charge.refunded", charge), json!({"id": "evt_2"})));
    assert_eq!(names(&listed), [("payment.refunded", 0), ("payment.refunded", 2)]);
    assert_eq!(listed[1].keys.semantic, alone[0].keys.semantic);
    assert_ne!(listed[0].keys.semantic, alone[0].keys.semantic);
    assert_eq!((listed[1].entity.id.as_str(), listed[1].occurred_at), ("ch_1", alone[0].occurred_at));
    assert_eq!(listed[1].identifiers(), [("stripe_customer", "cus_1".to_owned())]);
}

#[test]
fn a_refund_counts_once_the_money_has_gone() {
    for (status, expected) in
        [("succeeded", 1), ("pending", 0), ("requires_action", 0), ("failed", 0), ("canceled", 0)]
    {
        let body = event("refund.updated", with(refund("re_1"), json!({"status": status})));
        assert_eq!(read(&body).len(), expected, "{status}");
    }
    let old = without(refund("re_1"), "status");
    assert_eq!(read(&event("refund.created", old)).len(), 1, "the first versions of the API had no status");
}

#[test]
fn a_charge_that_does_not_list_its_refunds_leaves_them_to_their_own_events() {
    for refunds in [json!(null), json!({"data": []}), json!([])] {
        let charge = json!({"id": "ch_1", "amount_refunded": 1000, "currency": "usd", "refunds": refunds});
        assert_eq!(read(&event("charge.refunded", charge)), []);
    }
}

#[test]
fn a_refund_without_a_charge_belongs_to_its_payment_intent_else_to_itself() {
    let of =
        |fields: Value| read(&event("refund.created", with(refund("re_1"), fields)))[0].entity.id.clone();
    assert_eq!(of(json!({"charge": {"id": "ch_2"}})), "ch_2");
    assert_eq!(of(json!({"charge": null, "payment_intent": "pi_1"})), "pi_1");
    assert_eq!(of(json!({"charge": null})), "re_1");
}

#[test]
fn a_body_without_what_its_type_needs_fails_with_the_field() {
    let without_id = event("invoice.paid", json!({"currency": "usd"}));
    assert_eq!(failure(&without_id), ("missing_field", "data.object.id".into()));
    for data in [json!(null), json!({}), json!({"object": null}), json!({"object": []})] {
        let body = with(invoice_event("invoice.paid", json!({})), json!({"data": data}));
        assert_eq!(failure(&body), ("missing_field", "data.object".into()));
    }
    let body = with(invoice_event("invoice.paid", json!({})), json!({"created": "soon"}));
    assert_eq!(failure(&body), ("bad_time", "created".into()));
    let list = json!({"data": [with(refund("re_1"), json!({"amount": "x"}))]});
    let body = event("charge.refunded", json!({"id": "ch_1", "refunds": list}));
    assert_eq!(failure(&body), ("bad_money", "data.object.refunds.data[0].amount".into()));
    let body = event("refund.created", without(refund("re_1"), "amount"));
    assert_eq!(failure(&body), ("missing_field", "data.object.amount".into()));
}

#[test]
fn odd_bytes_are_read_or_fail_with_a_reason() {
    let workspace = Workspace::development().unwrap();
    let read = |body: &[u8]| {
        sources::normalize(&Raw {
            source: Source::Stripe,
            workspace: &workspace,
            received_at: received(NOW),
            partition: 0,
            offset: 0,
            headers: &[],
            body,
        })
    };
    for body in
        [&b""[..], b"\xff\xfe", b"{\"id\":\"\0\"}", b"null", b"{\"id\":\"a\",\"id\":2,\"type\":\"x\"}"]
    {
        assert!(read(body).is_err(), "{body:?}");
    }
    let twice = br#"{"id":"a","type":"x","type":"invoice.paid","data":{"object":{"id":9007199254740993,
        "amount_paid":1,"amount_paid":"2","currency":"usd","created":99999999999}},"created":99999999999}"#;
    let items = read(twice).unwrap();
    let event = items[0].as_ref().unwrap();
    assert_eq!((event.entity.id.as_str(), payment(event).amount.unwrap().minor), ("9007199254740993", 2));
    assert_eq!(event.flags, ["timestamp_future"]);
    assert_eq!(event.occurred_at.to_rfc3339(), "5138-11-16T09:46:39Z");
    let long = format!(
        r#"{{"id":"a","type":"invoice.paid","data":{{"object":{{"id":"in_1","currency":"usd","amount_paid":{}}}}}}}"#,
        "9".repeat(300)
    );
    assert_eq!(read(long.as_bytes()).unwrap_err().reason.code(), "bad_money");
}
