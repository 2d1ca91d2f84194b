//! D-R-3: payments have totals of their own, and enter the lifetime value where the policy lets them and no order is named.

use commerce::EventName;
use commerce::event::Origin;
use commerce::person::Kind;
use commerce::policy::{Policy, Rules};
use commerce::{Currency, EventTime, Profile};
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane@example.com";
/// 2026-03-14T15:00:00Z.
const THEN: i64 = 1_773_500_400;

fn succeeded(invoice: &str, amount: i64, fields: Value) -> Value {
    let invoice = with(
        json!({"id": invoice, "object": "invoice", "customer": "cus_1", "customer_email": JANE,
            "amount_paid": amount, "amount_due": amount, "currency": "usd", "attempt_count": 1,
            "status_transitions": {"paid_at": THEN}}),
        fields,
    );
    json!({"id": format!("evt_{}", invoice["id"]), "object": "event", "type": "invoice.payment_succeeded",
        "created": THEN, "livemode": true, "data": {"object": invoice}})
}

fn refunded(charge: &str, invoice: &str, amount: i64) -> Value {
    json!({"id": format!("evt_{charge}"), "object": "event", "type": "charge.refunded", "created": THEN + 60,
        "livemode": true, "data": {"object": {"id": charge, "object": "charge", "invoice": invoice,
        "customer": "cus_1", "currency": "usd", "amount_refunded": amount, "amount": 10_000,
        "refunds": {"data": [{"id": format!("re_{charge}"), "amount": amount, "currency": "usd",
            "created": THEN + 60, "status": "succeeded"}]}}}})
}

fn including() -> Story {
    Story::configured(|config| config.include_unlinked_payments = true)
}

fn jane(story: &Story) -> &Profile {
    story.profile(Kind::Email, JANE)
}

/// Collected, and lifetime value, in minor units.
fn figures(story: &Story) -> (i64, i64) {
    let jane = jane(story);
    (jane.payments_total.map_or(0, |total| total.minor), jane.lifetime_value.minor)
}

#[test]
fn d_r_3_payments_are_a_total_of_their_own_and_nothing_else_by_default() {
    let mut story = Story::new();
    story.stripe(&succeeded("in_1", 4_999, json!({})));
    story.stripe(&succeeded("in_2", 1_000, json!({})));
    // The same invoice told again is the same payment.
    story.stripe(&with(succeeded("in_2", 1_000, json!({})), json!({"id": "evt_x", "type": "invoice.paid"})));
    assert_eq!(figures(&story), (5_999, 0));
    let jane = jane(&story);
    assert_eq!((jane.orders_count, jane.total_spent.minor, jane.aov), (0, 0, None));
    assert!(jane.payments_in_lifetime_value_by_currency.is_empty());
}

#[test]
fn d_r_3_where_the_policy_includes_them_payments_that_name_no_order_enter_the_lifetime_value_alone() {
    let mut story = including();
    story.stripe(&succeeded("in_1", 4_999, json!({})));
    story.stripe(&succeeded("in_2", 1_000, json!({"metadata": {"order_id": "1001"}})));
    assert_eq!(figures(&story), (5_999, 4_999));
    let jane = jane(&story);
    assert_eq!((jane.orders_count, jane.total_spent.minor), (0, 0), "no order and no revenue");
    assert_eq!(jane.lifetime_value_by_currency[&Currency::USD], 4_999);
    assert_eq!(jane.payments_in_lifetime_value_by_currency[&Currency::USD], 4_999);
}

#[test]
fn d_r_3_a_payment_in_another_currency_is_by_its_currency_alone() {
    let mut story = including();
    story.stripe(&succeeded("in_1", 5_000, json!({"currency": "jpy"})));
    let jane = jane(&story);
    let yen = Currency::parse("JPY").unwrap();
    assert_eq!((jane.payments_total, jane.lifetime_value.minor), (None, 0));
    assert_eq!(jane.payments_total_by_currency[&yen], 5_000);
    assert_eq!(jane.lifetime_value_by_currency[&yen], 5_000);
}

#[test]
fn d_r_3_tests_and_payments_of_nobody_count_for_nobody() {
    let mut story = including();
    story.stripe(&succeeded("in_1", 4_999, json!({})));
    story.stripe(&with(succeeded("in_2", 100, json!({})), json!({"livemode": false})));
    story.stripe(&succeeded("in_3", 100, json!({"customer": null, "customer_email": null})));
    assert_eq!(figures(&story), (4_999, 4_999));
    assert_eq!(story.count(EventName::PaymentSucceeded), 3);
}

#[test]
fn d_r_3_a_version_counts_for_the_payments_that_arrive_under_it() {
    let mut story = Story::new();
    story.stripe(&succeeded("in_1", 100, json!({})));
    let rules = Rules { include_unlinked_payments: true, ..story.rules() };
    let instant = EventTime(received("2026-03-14T17:00:00Z").0);
    story.policy(&Policy {
        workspace: commerce::WorkspaceId::try_new("demo").unwrap(),
        version: 2,
        effective_at: instant,
        published_at: instant,
        published_by: "jane".to_owned(),
        note: None,
        rules,
    });
    story.at("2026-03-14T16:59:00Z").stripe(&succeeded("in_2", 20, json!({})));
    story.at("2026-03-14T17:01:00Z").stripe(&succeeded("in_3", 3, json!({})));
    assert_eq!(figures(&story), (123, 3));
    assert_eq!(story.facts[0].origin, Origin::live());
}

#[test]
fn d_r_3_what_went_back_of_a_payment_leaves_the_lifetime_value_whichever_comes_first() {
    for refund_first in [false, true] {
        let mut story = including();
        let refund = refunded("ch_1", "in_1", 1_500);
        let paid = succeeded("in_1", 4_999, json!({}));
        let both = if refund_first { [&refund, &paid] } else { [&paid, &refund] };
        both.into_iter().for_each(|event| story.stripe(event));
        story.stripe(&refund);
        assert_eq!(story.count(EventName::PaymentRefunded), 1);
        assert_eq!(figures(&story), (4_999, 3_499), "{refund_first}");
        assert_eq!(jane(&story).payments_in_lifetime_value_by_currency[&Currency::USD], 3_499);
    }
}

#[test]
fn d_r_3_payments_move_with_their_person() {
    let mut story = including();
    story.stripe(&succeeded("in_1", 4_999, json!({})));
    story.identify("5", &json!({"email": JANE}));
    assert_eq!(figures(&story), (4_999, 4_999));
    assert_eq!(story.profile(Kind::User, "5").lifetime_value.minor, 4_999);
}
