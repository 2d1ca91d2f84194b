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

/// The invoice as a row, with whom it names.
fn row(invoice: &str, amount: f64, named: Value) -> Value {
    let row = json!({"stripe_invoice_id": invoice, "amount_paid": amount, "currency": "USD"});
    json!({"record": with(row, named)})
}

/// Tells of one invoice by a webhook and by a row, in either order.
fn both(mut story: Story, row_first: bool, webhook: &Value, row: &Value) -> Story {
    if row_first {
        story.records("payments/append", "k", row);
    }
    story.stripe(webhook);
    if !row_first {
        story.records("payments/append", "k", row);
    }
    story
}

#[test]
fn what_another_source_owns_spends_nothing_of_the_payment_whichever_comes_first() {
    for row_first in [false, true] {
        let story = Story::configured(|config| {
            config.ownership.insert("payment.succeeded".to_owned(), "stripe".to_owned());
        });
        let row = row("in_1", 10.0, json!({"customer_email": JANE}));
        let mut story = both(story, row_first, &succeeded("in_1", 4_999, json!({})), &row);
        story.records("payments/append", "again", &row);
        assert_eq!(figures(&story).0, 4_999, "{row_first}");
        let shadows = |story: &Story| {
            let said = story.named(EventName::PaymentSucceeded);
            said.iter().filter(|fact| fact.flags.iter().any(|flag| flag == "shadow")).count()
        };
        assert_eq!((story.count(EventName::PaymentSucceeded), shadows(&story)), (2, 1), "{row_first}");
        assert_eq!(story.outcomes("stripe/duplicate/entity"), 0);
        assert_eq!(story.outcomes("records/duplicate/semantic"), 1);
    }
}

#[test]
fn a_test_spends_nothing_of_the_payment_whichever_comes_first() {
    for row_first in [false, true] {
        let test = with(succeeded("in_1", 100, json!({})), json!({"livemode": false}));
        let story = both(Story::new(), row_first, &test, &row("in_1", 10.0, json!({"customer_email": JANE})));
        assert_eq!((figures(&story).0, story.count(EventName::PaymentSucceeded)), (1_000, 2), "{row_first}");
    }
}

#[test]
fn a_payment_that_was_told_of_nobody_is_its_persons_once_one_is_named_and_once_only() {
    for row_first in [false, true] {
        let row = row("in_1", 49.99, json!({}));
        let mut story = both(including(), row_first, &succeeded("in_1", 4_999, json!({})), &row);
        assert_eq!(figures(&story), (4_999, 4_999), "{row_first}");
        // Whoever names the person again adds nothing.
        story.records("payments/append", "l", &self::row("in_1", 49.99, json!({"customer_email": JANE})));
        story.records("payments/append", "m", &row);
        assert_eq!((figures(&story).0, story.count(EventName::PaymentSucceeded)), (4_999, 1), "{row_first}");
        assert_eq!(jane(&story).last_payment_at, Some(instant("2026-03-14T15:00:00Z")));
    }
}

#[test]
fn a_payment_of_somebody_who_is_barred_is_nobodys_for_good() {
    let mut story = including();
    story.track(http::Method::POST, "jane%40example.com/suppress", &json!({}));
    story.at("2026-03-14T16:01:00Z").stripe(&succeeded("in_1", 4_999, json!({})));
    story.at("2026-03-14T16:02:00Z").track(http::Method::POST, "jane%40example.com/unsuppress", &json!({}));
    let row = row("in_1", 49.99, json!({"customer_email": JANE}));
    story.at("2026-03-14T16:03:00Z").records("payments/append", "k", &row);
    assert_eq!((story.count(EventName::PaymentSucceeded), story.people().len()), (1, 0));
}

fn mapping(name: &str, event: &str) -> Story {
    Story::configured(|config| {
        config.include_unlinked_payments = true;
        let map = &mut config.customerio.as_mut().unwrap().event_map;
        map.insert(name.to_owned(), event.to_owned());
    })
}

#[test]
fn each_payment_that_customer_io_tells_of_somebody_counts_once() {
    let mut story = mapping("charged", "payment.succeeded");
    let charged = |data: Value, timestamp: i64| {
        let data = with(json!({"currency": "USD"}), data);
        json!({"name": "charged", "timestamp": timestamp, "data": data})
    };
    let send = |story: &mut Story, data: Value, timestamp: i64| {
        story.track(http::Method::POST, "5/events", &charged(data, timestamp));
        story.profile(Kind::User, "5").payments_total.unwrap().minor
    };
    assert_eq!(send(&mut story, json!({"payment_id": "p-1", "amount": 10}), THEN), 1_000);
    assert_eq!(send(&mut story, json!({"payment_id": "p-2", "amount": 10}), THEN), 2_000);
    assert_eq!(send(&mut story, json!({"payment_id": "p-1", "amount": 10}), THEN + 60), 2_000);
    // Without an id by time and amount.
    assert_eq!(send(&mut story, json!({"amount": 5}), THEN), 2_500);
    assert_eq!(send(&mut story, json!({"amount": 5}), THEN), 2_500);
    assert_eq!(send(&mut story, json!({"amount": 5}), THEN + 60), 3_000);
    assert_eq!(story.count(EventName::PaymentSucceeded), 4);
    story.event("5", "charged", json!({"currency": "USD", "amount": 1}));
    story.event("5", "charged", json!({"currency": "USD", "amount": 1}));
    assert_eq!(story.profile(Kind::User, "5").payments_total.unwrap().minor, 3_200, "each, without a time");
}

#[test]
fn a_refund_that_customer_io_tells_of_without_an_id_happens_once() {
    let mut story = mapping("returned", "payment.refunded");
    let mut send = |data: Value, timestamp: i64| {
        let data = with(json!({"currency": "USD", "amount": 10}), data);
        let body = json!({"name": "returned", "timestamp": timestamp, "data": data});
        story.track(http::Method::POST, "5/events", &body);
        story.profile(Kind::User, "5").lifetime_value.minor
    };
    for (sent, is_now) in [(json!({}), -1_000), (json!({"payment_id": "p-1"}), -2_000)] {
        assert_eq!((send(sent.clone(), THEN), send(sent, THEN)), (is_now, is_now));
    }
    assert_eq!(send(json!({}), THEN + 60), -3_000);
    assert_eq!(send(json!({"refund_id": "r-1"}), THEN), -4_000);
    assert_eq!(send(json!({"refund_id": "r-1"}), THEN + 60), -4_000);
}
