use proptest::prelude::*;

use crate::event::{Event, EventName, FinancialStatus, Keys};
use crate::order::tests::{delivery, policy};
use crate::order::{State, View};
use crate::person::{Identifier, Kind};
use crate::time::SECOND;
use crate::{Currency, DuplicateLevel, Mark, Money, Outcome, ReceivedTime, Source};

const START: i64 = 1_767_312_000 * SECOND;

/// A body of the version of that second, as it arrives.
fn body(version: i64, total: i64, arrival: i64) -> Event {
    let mut event = delivery(version, FinancialStatus::Paid, &[]);
    event.event = EventName::OrderUpdated;
    event.source = Source::Lifesight;
    event.received_at = ReceivedTime(START + arrival * SECOND);
    event.raw_offset = arrival;
    let order = event.payload.order.as_mut().unwrap();
    order.paid_at = order.placed_at;
    order.total = Some(Money::new(total, Currency::USD));
    let address = Identifier::plain(Kind::Email, format!("{total}@example.com"));
    event.person.as_mut().unwrap().identifiers = vec![address];
    let content = Mark::of(&[&postcard::to_allocvec(order).unwrap()]).to_hex();
    event.keys = Keys {
        transport: content.clone(),
        semantic: content,
        content: None,
        stated: Some(version.to_string()),
    };
    event
}

fn end(events: &[Event]) -> (State, View) {
    let mut state = State::default();
    for event in events {
        let _ = state.observe(event);
    }
    let view = state.view(&policy()).unwrap();
    (state, view)
}

/// All orders of so many.
fn orders(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for shorter in orders(n - 1) {
        for at in 0..n {
            let mut order = shorter.clone();
            order.insert(at, n - 1);
            all.push(order);
        }
    }
    all
}

#[test]
fn a_body_that_was_corrected_and_comes_again_counts_no_more_in_any_order_of_processing() {
    let events = [body(5, 100, 1), body(5, 200, 2), body(5, 100, 3), body(5, 200, 4)];
    let expected = end(&events);
    assert_eq!(expected.1.total.unwrap().minor, 200);
    assert_eq!(expected.0.buyer().unwrap().value, "200@example.com");
    for order in orders(4) {
        // With twenty versions in between, no delivery is remembered any more.
        for between in [0, 20] {
            let mut told = Vec::new();
            for place in &order {
                told.push(events[*place].clone());
                told.extend((0..between).map(|n| body(-n, 1_000 + n, 100 + n)));
            }
            let (state, view) = end(&told);
            assert_eq!(view, expected.1, "{order:?}, {between} between");
            assert!(between > 0 || state.same_as(&expected.0), "{order:?}");
        }
    }
}

#[test]
fn a_body_that_comes_again_is_a_duplicate_though_its_delivery_is_forgotten() {
    let (mut state, before) = end(&[body(5, 100, 1), body(5, 200, 2)]);
    for n in 0..20 {
        let _ = state.observe(&body(-n, 1_000 + n, 100 + n));
    }
    for total in [100, 200] {
        let observed = state.observe(&body(5, total, 500));
        assert_eq!(
            (observed.outcome, observed.new_version),
            (Outcome::Duplicate(DuplicateLevel::Entity), false)
        );
    }
    assert_eq!(state.view(&policy()).unwrap(), before);
}

#[test]
fn an_earlier_arrival_that_makes_another_body_count_is_published() {
    let (mut state, view) = end(&[body(5, 100, 3), body(5, 200, 2)]);
    assert_eq!(view.total.unwrap().minor, 100);
    let observed = state.observe(&body(5, 100, 1));
    let mut after = state.view(&policy()).unwrap();
    assert_eq!(observed.settle(Some(&view), &mut after), Outcome::Published);
    assert_eq!((after.total.unwrap().minor, observed.new_version), (200, true));
}

#[test]
fn what_a_later_version_says_ends_the_keeping_of_bodies() {
    let (state, _) = end(&[body(5, 100, 1), body(5, 200, 2), body(6, 100, 3)]);
    let (later, _) = end(&[body(6, 100, 3), body(5, 200, 2), body(5, 100, 1)]);
    let kept = |state: &State| state.sources.values().map(|order| order.rivals.len()).sum::<usize>();
    // What only they named the buyer by is still theirs.
    assert_eq!((kept(&state), kept(&later)), (0, 0));
    assert!(state.same_as(&later));
}

#[test]
fn hundreds_of_corrections_of_one_version_are_bounded_and_the_last_one_counts() {
    let mut events: Vec<Event> = (1..=300).map(|n| body(5, n, n)).collect();
    let (state, view) = end(&events);
    events.reverse();
    let (_, turned) = end(&events);
    assert_eq!((view.total, turned.total), (Some(Money::new(300, Currency::USD)), view.total));
    let stored = postcard::to_allocvec(&state).unwrap().len();
    assert!(stored < 12_000, "{stored} bytes");
}

proptest! {
    #[test]
    fn corrections_and_repetitions_end_alike_in_any_order(
        (events, shuffled) in prop::collection::vec((4_i64..6, 1_i64..4, 0_i64..9), 1..9)
            .prop_map(|all| all.into_iter().map(|(version, total, arrival)| {
                let mut event = body(version, total, arrival);
                if total == 3 {
                    event.payload.order.as_mut().unwrap().total = None;
                }
                event
            }).collect::<Vec<_>>())
            .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
    ) {
        let ((a, view), (b, other)) = (end(&events), end(&shuffled));
        prop_assert_eq!(view, other);
        prop_assert!(a.same_as(&b));
    }
}
