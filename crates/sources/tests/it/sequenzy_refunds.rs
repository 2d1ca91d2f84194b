//! What a push says of refunds, and what becomes of them in the join.

use commerce::event::{Event, FinancialStatus, Refund};
use serde_json::{Value, json};

use crate::fixture::*;
use crate::sequenzy_events::{AT, order, usd, view};

#[test]
fn seq_c13_an_amount_is_the_sum_so_far_and_one_refund_stands_for_it() {
    let refunded =
        |amount: Value| order(json!({"status": "refunded", "orderedAt": AT, "refundAmountCents": amount}));
    let partial = refunded(json!(1000));
    let one = |minor: i64| vec![Refund { id: "cumulative".into(), amount: usd(minor), at: at(AT) }];
    assert_eq!((&partial.order().refunds, partial.order().refunded_rest), (&one(1000), None));
    assert_eq!(partial.order().financial_status, Some(FinancialStatus::PartiallyRefunded));
    let full = refunded(json!(5000));
    assert_eq!(full.order().financial_status, Some(FinancialStatus::Refunded));
    assert_eq!(full.order().refunds, one(5000));
    let nothing = refunded(json!(0));
    assert_eq!((&nothing.order().refunds, nothing.order().financial_status), (&one(0), None));
    let over = refunded(json!(999_999));
    let placed = order(json!({"orderedAt": AT}));
    assert_eq!(view(&[placed.clone(), over]).refunded_total.unwrap().minor, 5000, "cut to the total");
    let rest = refunded(json!(null));
    assert_eq!((rest.order().refunds.len(), rest.order().refunded_rest), (0, Some(true)));
    assert_eq!(view(&[rest, placed]).refunded_total.unwrap().minor, 5000, "the whole rest");
    // An amount on another status is no refund.
    assert_eq!(order(json!({"refundAmountCents": 1000})).order().refunds, []);
}

#[test]
fn refunds_with_ids_are_refunds_of_their_own_and_add_up() {
    let refund = |id: Value| {
        let fields = json!({
            "status": "refunded", "orderedAt": AT, "refundAmountCents": 1000, "properties": {"refundId": id},
        });
        order(fields)
    };
    let (first, second) = (refund(json!("r-1")), refund(json!(2)));
    assert_eq!((first.order().refunds[0].id.as_str(), second.order().refunds[0].id.as_str()), ("r-1", "2"));
    assert_ne!(first.keys.semantic, second.keys.semantic);
    assert_eq!(first.payload.properties["refundId"], r#""r-1""#, "it is passed on");
    assert_eq!(view(&[first.clone(), second, first]).refunded_total.unwrap().minor, 2000);
}

#[test]
fn seq_c13_the_greatest_sum_counts_in_every_order_of_arrival() {
    let refunded = |time: &str, amount: Value| {
        order(json!({"status": "refunded", "orderedAt": time, "refundAmountCents": amount}))
    };
    let early = refunded("2026-03-14T13:00:00Z", json!(1000));
    let late = refunded("2026-03-14T14:00:00Z", json!(2500));
    let placed = order(json!({"orderedAt": AT}));
    let total = |events: &[&Event]| {
        let events: Vec<Event> = events.iter().map(|event| (*event).clone()).collect();
        view(&events).refunded_total.unwrap().minor
    };
    assert_eq!(total(&[&placed, &early, &early]), 1000);
    for events in [[&placed, &early, &late], [&late, &early, &placed], [&early, &placed, &late]] {
        assert_eq!(total(&events), 2500);
    }
    // Senders that repeat the time of the order, or whose clocks go wrong, take no refund back.
    let (small, great) = (refunded(AT, json!(1000)), refunded(AT, json!(2500)));
    assert_eq!(total(&[&placed, &small, &great]), 2500);
    assert_eq!(total(&[&great, &small, &placed]), 2500);
    assert_eq!(total(&[&placed, &refunded("2026-03-14T15:00:00Z", json!(1000)), &late]), 2500);
    let all = refunded("2026-03-14T13:00:00Z", json!(null));
    assert_eq!(total(&[&placed, &all, &late]), 5000, "nor does an amount after the whole went back");
}
