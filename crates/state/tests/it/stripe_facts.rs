//! Payments.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane@example.com";

fn event(id: &str, r#type: &str, created: i64, invoice: Value) -> Value {
    let invoice = with(
        json!({"id": "in_1", "object": "invoice", "customer": "cus_1", "customer_email": JANE,
            "amount_paid": 4999, "amount_due": 4999, "currency": "usd", "attempt_count": 1}),
        invoice,
    );
    json!({"id": id, "object": "event", "type": r#type, "created": created, "livemode": true,
        "data": {"object": invoice}})
}

/// 2026-03-14T15:00:00Z.
const THEN: i64 = 1_773_500_400;

fn succeeded(id: &str, created: i64, invoice: Value) -> Value {
    let paid = json!({"status_transitions": {"paid_at": created}});
    event(id, "invoice.payment_succeeded", created, with(paid, invoice))
}

fn failed(id: &str, created: i64, invoice: Value) -> Value {
    event(id, "invoice.payment_failed", created, with(json!({"amount_paid": 0}), invoice))
}

#[test]
fn str_c12_the_same_event_five_times_is_one_payment() {
    let mut story = Story::new();
    for _ in 0..5 {
        story.stripe(&succeeded("evt_1", THEN, json!({})));
    }
    assert_eq!(story.count(EventName::PaymentSucceeded), 1);
    assert_eq!(story.outcomes("stripe/duplicate/transport"), 4);
}

#[test]
fn str_c13_two_events_of_one_invoice_are_one_payment_also_after_the_marks_have_gone() {
    let mut story = Story::new();
    story.stripe(&succeeded("evt_1", THEN, json!({})));
    story.stripe(&with(succeeded("evt_2", THEN + 1, json!({})), json!({"type": "invoice.paid"})));
    assert_eq!(story.count(EventName::PaymentSucceeded), 1);
    story.at("2027-03-14T16:00:00Z").stripe(&succeeded("evt_3", THEN, json!({})));
    assert_eq!(story.count(EventName::PaymentSucceeded), 1);
    assert_eq!(story.outcomes("stripe/duplicate/entity"), 1);
}

#[test]
fn str_c14_a_success_leaves_current_and_a_failure_past_due_with_its_time() {
    let mut story = Story::new();
    story.stripe(&succeeded("evt_1", THEN, json!({})));
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!(jane.payment_status.as_deref(), Some("current"));
    assert_eq!(jane.last_payment_at, Some(instant("2026-03-14T15:00:00Z")));
    assert_eq!(story.profile(Kind::Email, JANE).payment_failed_at, None);
    let stripe = |story: &Story| {
        let all = &story.profile(Kind::Email, JANE).contact.identifiers;
        all.iter().find(|identifier| identifier.kind == Kind::StripeCustomer).map(|found| found.value.clone())
    };
    assert_eq!(stripe(&story).as_deref(), Some("cus_1"));
    story.stripe(&failed("evt_2", THEN + 60, json!({"id": "in_2"})));
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!(jane.payment_status.as_deref(), Some("past_due"));
    assert_eq!(jane.payment_failed_at, Some(instant("2026-03-14T15:01:00Z")));
    assert_eq!(jane.last_payment_at, Some(instant("2026-03-14T15:00:00Z")));
}

#[test]
fn str_c15_an_older_failure_after_a_newer_success_leaves_current_and_so_do_equal_times() {
    let mut story = Story::new();
    story.stripe(&succeeded("evt_2", THEN, json!({})));
    story.stripe(&failed("evt_1", THEN - 60, json!({"id": "in_0"})));
    assert_eq!(story.profile(Kind::Email, JANE).payment_status.as_deref(), Some("current"));
    story.stripe(&failed("evt_3", THEN, json!({"id": "in_3"})));
    assert_eq!(story.profile(Kind::Email, JANE).payment_status.as_deref(), Some("current"));
    assert_eq!(story.count(EventName::PaymentFailed), 2, "both are said all the same");
}

#[test]
fn str_c16_a_failure_is_no_payment() {
    let mut story = Story::new();
    story.stripe(&failed("evt_1", THEN, json!({})));
    assert_eq!((story.count(EventName::PaymentFailed), story.count(EventName::PaymentSucceeded)), (1, 0));
    story.stripe(&failed("evt_2", THEN + 60, json!({"attempt_count": 2})));
    assert_eq!(story.count(EventName::PaymentFailed), 2, "each attempt is one of its own");
}

#[test]
fn str_c19_a_payment_changes_neither_the_gross_nor_the_orders() {
    let mut story = Story::new();
    story.sequenzy(
        &json!({"orderId": "o-1", "totalCents": 5000, "currency": "USD", "customer": {"email": JANE}}),
    );
    let before = story.profile(Kind::Email, JANE).clone();
    story.stripe(&succeeded("evt_1", THEN, json!({"amount_paid": 10_000})));
    let after = story.profile(Kind::Email, JANE);
    assert_eq!((after.orders_count, after.total_spent), (before.orders_count, before.total_spent));
    assert_eq!((after.lifetime_value, after.total_spent.minor), (before.lifetime_value, 5000));
    assert!(story.facts.iter().all(|fact| !fact.event.is_order() || fact.order_id.as_deref() == Some("o-1")));
}

#[test]
fn str_09_an_invoice_without_an_address_is_a_payment_and_makes_no_profile() {
    let mut story = Story::new();
    story.stripe(&succeeded("evt_1", THEN, json!({"customer_email": null})));
    assert_eq!(story.count(EventName::PaymentSucceeded), 1);
    assert!(story.people().is_empty());
    // The same customer, once known by an address, is found by the id alone.
    story.stripe(&succeeded("evt_2", THEN + 60, json!({"id": "in_2"})));
    story.stripe(&failed("evt_3", THEN + 120, json!({"id": "in_3", "customer_email": null})));
    assert_eq!(story.profile(Kind::Email, JANE).payment_status.as_deref(), Some("past_due"));
}

#[test]
fn str_c18_a_payment_outside_live_mode_is_marked() {
    let mut story = Story::new();
    story.stripe(&with(succeeded("evt_1", THEN, json!({})), json!({"livemode": false})));
    assert!(story.named(EventName::PaymentSucceeded)[0].qa);
}
