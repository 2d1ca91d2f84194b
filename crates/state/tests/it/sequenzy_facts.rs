//! Pushed orders and the figures of their customer.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane@example.com";

fn push(fields: Value) -> Value {
    let least = json!({"orderId": "o-1", "totalCents": 5000, "currency": "USD", "customer": {"email": JANE}});
    with(least, fields)
}

/// Count, gross, mean and net of Jane in minor units.
fn figures(story: &Story) -> (i64, i64, i64, i64) {
    let jane = story.profile(Kind::Email, JANE);
    (jane.orders_count, jane.total_spent.minor, jane.aov.unwrap().minor, jane.lifetime_value.minor)
}

#[test]
fn seq_c06_a_hundred_equal_pushes_are_one_order() {
    let mut story = Story::new();
    for _ in 0..100 {
        story.sequenzy(&push(json!({})));
    }
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 1));
    assert_eq!(figures(&story), (1, 5000, 5000, 5000));
}

#[test]
fn seq_c07_the_same_push_after_a_year_of_other_traffic_adds_nothing() {
    let mut story = Story::new();
    let ordered = json!({"orderedAt": "2026-03-14T15:00:00Z"});
    story.sequenzy(&push(ordered.clone()));
    for month in 4..=12 {
        for n in 0..20 {
            let other =
                json!({"orderId": format!("other-{month}-{n}"), "customer": {"email": "x@example.com"}});
            story.at(&format!("2026-{month:02}-14T16:00:00Z")).sequenzy(&push(other));
        }
    }
    let facts = story.facts.len();
    story.at("2027-03-15T16:00:00Z").sequenzy(&push(ordered));
    assert_eq!(figures(&story), (1, 5000, 5000, 5000));
    assert_eq!(story.facts.len(), facts);
}

#[test]
fn seq_c08_the_four_statuses_are_four_facts_each_once() {
    let mut story = Story::new();
    for _ in 0..2 {
        for status in ["placed", "fulfilled", "refunded", "cancelled"] {
            story.sequenzy(&push(json!({"status": status, "orderedAt": "2026-03-14T15:00:00Z"})));
        }
    }
    for once in [
        EventName::OrderPlaced,
        EventName::OrderFulfilled,
        EventName::OrderRefunded,
        EventName::OrderCancelled,
        EventName::OrderPaid,
    ] {
        assert_eq!(story.count(once), 1, "{once}");
    }
    story.assert_chain("o-1");
}

#[test]
fn seq_c10_the_mean_is_rounded_half_away_from_zero() {
    let mut story = Story::new();
    story.sequenzy(&push(json!({"totalCents": 10_000})));
    story.sequenzy(&push(json!({"orderId": "o-2", "totalCents": 5001})));
    assert_eq!(figures(&story), (2, 15_001, 7501, 15_001));
}

#[test]
fn seq_c11_a_refund_lowers_the_lifetime_value_alone() {
    let mut story = Story::new();
    story.sequenzy(&push(json!({})));
    story.sequenzy(&push(json!({"status": "refunded", "refundAmountCents": 2000})));
    assert_eq!(figures(&story), (1, 5000, 5000, 3000));
    story.sequenzy(&push(json!({"status": "cancelled"})));
    assert_eq!(figures(&story), (1, 5000, 5000, 0));
}

#[test]
fn seq_c12_reported_totals_are_the_base_and_resending_the_first_push_changes_nothing() {
    let mut story = Story::new();
    let first = push(json!({
        "orderedAt": "2026-03-14T15:00:00Z",
        "customerTotals": {"ordersCount": 5, "totalSpentCents": 50_000},
    }));
    story.sequenzy(&first);
    let published = |story: &Story| {
        let jane = story.profile(Kind::Email, JANE);
        (jane.orders_count, jane.total_spent.minor)
    };
    assert_eq!(published(&story), (5, 50_000));
    let next = json!({"orderId": "o-2", "totalCents": 1000, "orderedAt": "2026-03-14T15:30:00Z"});
    story.sequenzy(&push(next));
    assert_eq!(published(&story), (6, 51_000));
    story.sequenzy(&first);
    assert_eq!(published(&story), (6, 51_000));
}

#[test]
fn seq_c13_the_amount_of_a_refund_is_the_sum_so_far_and_is_cut_at_the_total() {
    let mut story = Story::new();
    story.sequenzy(&push(json!({})));
    let refunded = |story: &mut Story, cents: i64| {
        story.sequenzy(&push(json!({"status": "refunded", "refundAmountCents": cents})));
        story.order("o-1").refunded_total.unwrap().minor
    };
    assert_eq!(refunded(&mut story, 1000), 1000);
    assert_eq!(refunded(&mut story, 1000), 1000);
    assert_eq!(refunded(&mut story, 2500), 2500);
    assert_eq!(refunded(&mut story, 999_999), 5000);
    assert!(story.order("o-1").flags.iter().any(|flag| flag == "refund_exceeds_order"));
    story.assert_chain("o-1");
}

#[test]
fn seq_c19_attributes_are_merged_and_not_replaced() {
    let mut story = Story::new();
    let customer = |attributes: Value| json!({"email": JANE, "attributes": attributes});
    story.sequenzy(&push(json!({"orderedAt": "2026-03-14T15:00:00Z", "customer": customer(json!({"tier": "gold", "size": "M"}))})));
    let second = json!({"orderId": "o-2", "orderedAt": "2026-03-14T15:30:00Z", "customer": customer(json!({"size": "L"}))});
    story.sequenzy(&push(second));
    let attributes = &story.profile(Kind::Email, JANE).attributes;
    assert_eq!((attributes["tier"].as_str(), attributes["size"].as_str()), (r#""gold""#, r#""L""#));
}
