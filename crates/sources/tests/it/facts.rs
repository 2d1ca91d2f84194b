//! The lines of the checklists that count facts: what the events of several deliveries become when they are joined.

use commerce::order::{Policy, State, View, steps};
use commerce::{Event, EventName, Source, WorkspaceId};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixture::*;

fn policy() -> Policy {
    Policy {
        workspace: WorkspaceId::try_new("demo").unwrap(),
        precedence: Source::ALL.to_vec(),
        ownership: std::collections::BTreeMap::new(),
    }
}

/// The facts in the order in which they come to be known, and the view at the end.
fn join<'a>(events: impl IntoIterator<Item = &'a Event>) -> (Vec<EventName>, View) {
    let (mut state, mut facts, mut before) = (State::default(), Vec::new(), None::<View>);
    for event in events {
        let observed = state.observe(event);
        let after = state.view(&policy()).unwrap();
        let update = observed.new_version && event.event == EventName::OrderUpdated;
        steps(before.as_ref(), &after, update, |step, _| {
            facts.push(step.name);
            Ok::<_, ()>(())
        })
        .unwrap();
        before = Some(after);
    }
    (facts, before.unwrap())
}

fn count(facts: &[EventName], name: EventName) -> usize {
    facts.iter().filter(|fact| **fact == name).count()
}

fn create(fields: Value) -> Event {
    Delivery::shopify("orders/create").event(&with(order(), fields))
}

fn update(minute: u32, fields: Value) -> Event {
    let body = with(with(order(), json!({"updated_at": format!("2026-03-14T14:{minute:02}:00Z")})), fields);
    Delivery::shopify("orders/updated").event(&body)
}

fn refunds() -> Value {
    json!([
        {"id": 1, "created_at": "2026-03-14T14:01:00Z", "transactions": [{"amount": "5.00", "kind": "refund", "status": "success"}, {"amount": "2.50"}]},
        {"id": 2, "created_at": "2026-03-14T14:02:00Z", "transactions": [{"amount": "1.00"}, {"amount": "9.00", "status": "failure"}]},
    ])
}

#[test]
fn shop_c05_a_delivery_that_came_ten_times_is_one_order_placed() {
    let event = create(json!({}));
    let (facts, _) = join(std::iter::repeat_n(&event, 10));
    assert_eq!(facts, [EventName::OrderPlaced]);
}

#[test]
fn shop_c11_a_paid_creation_and_a_paid_update_are_one_payment() {
    let events =
        [create(json!({"financial_status": "paid"})), update(1, json!({"financial_status": "paid"}))];
    let (facts, view) = join(&events);
    assert_eq!(facts, [EventName::OrderPlaced, EventName::OrderPaid, EventName::OrderUpdated]);
    assert_eq!(view.paid_at, Some(at("2026-03-14T13:00:00Z")));
}

#[test]
fn shop_c12_two_refunds_are_two_facts_and_their_sum_and_resending_gives_none() {
    let paid = create(json!({"financial_status": "paid"}));
    let refunded = update(5, json!({"financial_status": "partially_refunded", "refunds": refunds()}));
    let (facts, view) = join([&paid, &refunded, &refunded]);
    assert_eq!(count(&facts, EventName::OrderRefunded), 2);
    assert_eq!(view.refunded_total.unwrap().minor, 850, "the failed transaction is not among them");
}

#[test]
fn shop_c15_partial_and_full_fulfilment_are_one_fact_each() {
    let events = [
        create(json!({"fulfillment_status": null})),
        update(1, json!({"fulfillment_status": null})),
        update(2, json!({"fulfillment_status": "partial"})),
        update(3, json!({"fulfillment_status": "partial", "tags": "x"})),
        update(4, json!({"fulfillment_status": "fulfilled"})),
    ];
    let (facts, _) = join(&events);
    assert_eq!(count(&facts, EventName::OrderPartiallyFulfilled), 1);
    assert_eq!(count(&facts, EventName::OrderFulfilled), 1);
}

#[test]
fn shop_c19_an_update_before_its_creation_places_the_order_once_at_its_own_time() {
    let (facts, view) = join(&[update(1, json!({})), create(json!({}))]);
    assert_eq!(count(&facts, EventName::OrderPlaced), 1);
    assert_eq!(view.placed_at, Some(at("2026-03-14T13:00:00Z")));
}

#[test]
fn life_c14_a_paid_creation_and_orders_paid_are_one_payment() {
    let paid = json!({"financial_status": "paid", "processed_at": "2026-03-14T13:01:00Z"});
    let read = |name: &str| Delivery::lifesight(name).event(&with(order(), paid.clone()));
    let (facts, _) = join(&[read("orders_create"), read("orders_paid")]);
    assert_eq!((count(&facts, EventName::OrderPlaced), count(&facts, EventName::OrderPaid)), (1, 1));
}

proptest! {
    #[test]
    fn shop_c16_every_order_of_the_deliveries_ends_in_the_same_order(
        shuffled in Just((0..5).collect::<Vec<usize>>()).prop_shuffle(),
        repeated in proptest::collection::vec(0..5_usize, 0..4),
    ) {
        let discount = json!([{"code": "A", "amount": "1.00"}]);
        let all = [
            create(json!({})),
            update(1, json!({"financial_status": "paid", "discount_codes": discount, "shipping_address": {"country": "Canada"}})),
            update(2, json!({"financial_status": "partially_refunded", "refunds": refunds()})),
            update(2, json!({"financial_status": "partially_refunded", "refunds": refunds(), "tags": "x"})),
            update(3, json!({"financial_status": "partially_refunded", "refunds": refunds(), "cancelled_at": "2026-03-14T14:03:00Z"})),
        ];
        let (_, expected) = join(&all);
        let (facts, view) = join(shuffled.iter().chain(&repeated).map(|place| &all[*place]));
        prop_assert_eq!(&view, &expected);
        for once in [EventName::OrderPlaced, EventName::OrderPaid, EventName::OrderCancelled] {
            prop_assert_eq!(count(&facts, once), 1);
        }
        prop_assert_eq!(count(&facts, EventName::OrderRefunded), 2);
    }
}
