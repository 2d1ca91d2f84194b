//! Entering and leaving an audience are told, each once.

use commerce::event::{Origin, Person};
use commerce::person::Identifier;
use commerce::{Currency, Event, EventName, Money, Signal, SignalName};

use crate::world::*;

const ENTERED: SignalName = SignalName::AudienceEntered;
const EXITED: SignalName = SignalName::AudienceExited;

/// An order of so many cents that is paid.
fn bought(identifiers: &[Identifier], id: &str, minor: i64, after: i64) -> Event {
    let mut event = paid(identifiers, id, &[], after);
    let order = event.payload.order.as_mut().unwrap();
    order.total = Some(Money::new(minor, Currency::USD));
    event
}

fn said(name: SignalName, audience: &str) -> (SignalName, String) {
    (name, audience.to_owned())
}

fn send(world: &mut World, event: &Event) -> Vec<(SignalName, String)> {
    world.enlisted(|world| drop(world.send(event)))
}

fn pass(world: &mut World, after: i64) -> Vec<(SignalName, String)> {
    world.enlisted(|world| drop(world.pass(after)))
}

/// Has somebody buy so often, a day after the other.
fn buy(world: &mut World, who: &Identifier, prefix: &str, days_after: std::ops::Range<i64>) {
    for day in days_after {
        send(world, &bought(std::slice::from_ref(who), &format!("{prefix}-{day}"), 1_000, days(day)));
    }
}

fn merge(absorbed: &str, into: &str, name: EventName, after: i64) -> Event {
    let mut event = by(&[user(into)], name, after);
    event.person = Some(Person {
        identifiers: vec![user(into)],
        absorbed: vec![user(absorbed)],
        ..event.person.unwrap()
    });
    event
}

#[test]
fn entering_and_leaving_are_told_once_each_with_whom_since_when_and_why() {
    let mut world = World::new();
    let jane = [user("jane")];
    let high = bought(&jane, "o-1", 50_001, 0);
    assert_eq!(send(&mut world, &high), [said(ENTERED, "high_value_paid")]);
    let told: &Signal = world.signals.last().unwrap();
    assert_eq!((told.target_type.as_str(), told.reason.as_str()), ("audience", "order_paid"));
    assert_eq!(told.trigger_event_id.as_deref(), Some(high.event_id.as_str()));
    assert_eq!((told.order_id.as_deref(), told.consent.len()), (Some("o-1"), 1));
    let profile = world.commit().remove(0);
    assert_eq!(
        profile.audiences_since.into_iter().collect::<Vec<_>>(),
        [("high_value_paid".to_owned(), at(0))]
    );
    // The same delivery again, and another order like it, are no news.
    assert_eq!(send(&mut world, &high), []);
    assert_eq!(send(&mut world, &bought(&jane, "o-2", 60_000, MINUTE)), []);
    let mut refunded = bought(&jane, "o-1", 50_001, 2 * MINUTE);
    refunded.event = EventName::OrderRefunded;
    refunded.payload.order.as_mut().unwrap().refunds = vec![refund_of("r-1", 100, 2 * MINUTE)];
    assert_eq!(send(&mut world, &refunded), [said(ENTERED, "recent_refund_30d")]);
    assert_eq!(pass(&mut world, days(29)), []);
    assert_eq!(pass(&mut world, days(30) + 3 * MINUTE), [said(EXITED, "recent_refund_30d")]);
    assert_eq!(
        (world.signals.last().unwrap().reason.as_str(), world.signals.last().unwrap().trigger_event),
        ("time_passed", None)
    );
    let ids: std::collections::BTreeSet<_> = world.signals.iter().map(|signal| &signal.signal_id).collect();
    assert_eq!(ids.len(), world.signals.len(), "each has an id of its own");
}

#[test]
fn signals_are_the_same_however_transactions_are_cut_and_wherever_the_process_starts_anew() {
    let story = |restarts: &dyn Fn(i64) -> bool| {
        let mut world = World::new();
        let mut told = Vec::new();
        for day in 0..100 {
            let bought = bought(
                &[user("jane")],
                &format!("o-{day}"),
                if day == 7 { 60_000 } else { 1_000 },
                days(day),
            );
            if day < 20 || day == 99 {
                told.extend(send(&mut world, &bought));
            } else {
                told.extend(pass(&mut world, days(day)));
            }
            if restarts(day) {
                world.restart();
            }
        }
        told.extend(pass(&mut world, days(200)));
        told
    };
    let never = story(&|_| false);
    assert_eq!(
        never,
        [
            said(ENTERED, "frequent_90d"),
            said(ENTERED, "high_value_paid"),
            said(ENTERED, "lapsed_90d"),
            said(EXITED, "frequent_90d"),
        ]
    );
    assert_eq!(never, story(&|_| true));
    assert_eq!(never, story(&|day| day % 7 == 3));
}

#[test]
fn loads_old_events_and_tests_bring_nobody_in_aloud_and_what_follows_is_told() {
    let mut world = World::new();
    let silent = |mut event: Event| {
        event.trigger_eligible = false;
        event.origin = Origin { kind: "bulk_import".to_owned(), label: Some("night".to_owned()) };
        event
    };
    for day in 0..4 {
        assert_eq!(
            send(&mut world, &silent(bought(&[user("jane")], &format!("o-{day}"), 60_000, days(day)))),
            []
        );
    }
    let profile = world.commit().remove(0);
    assert_eq!(profile.audiences, ["frequent_90d", "high_value_paid"]);
    assert_eq!(send(&mut world, &bought(&[user("jane")], "o-9", 1_000, days(4))), []);
    let lapses = pass(&mut world, days(94));
    assert_eq!(lapses, [said(ENTERED, "lapsed_90d"), said(EXITED, "frequent_90d")], "it is left aloud");
    let mut test = bought(&[user("tester")], "q-1", 60_000, days(95));
    test.qa = true;
    assert_eq!(send(&mut world, &test), []);
}

#[test]
fn staff_is_in_no_audience_of_the_workspace() {
    let rule = serde_json::json!([{"name": "known", "all": [{"attribute": "email", "exists": true}]}]);
    let mut world = World::configured(|config| {
        config.audiences = serde_json::from_value(rule).unwrap();
        config.test_accounts = vec!["staff@acme.example".to_owned()];
    });
    let seen = |address: &str| {
        let mut event = by(&[email(address)], EventName::CustomerUpdated, 0);
        event.person.as_mut().unwrap().email = Some(address.to_owned());
        event
    };
    assert_eq!(send(&mut world, &seen("staff@acme.example")), []);
    assert_eq!(send(&mut world, &seen("jane@example.com")), [said(ENTERED, "known")]);
}

#[test]
fn whoever_is_joined_enters_nothing_again_and_is_in_what_both_make_together() {
    let mut world = World::new();
    buy(&mut world, &user("a"), "a", 0..2);
    buy(&mut world, &user("b"), "b", 2..4);
    send(&mut world, &bought(&[user("b")], "b-high", 60_000, days(4)));
    assert_eq!(world.signals.len(), 1);
    let together = send(&mut world, &merge("b", "a", EventName::CustomerMerged, days(5)));
    assert_eq!(together, [said(ENTERED, "frequent_90d")], "high_value_paid was entered before");
    let a = world.signals.last().unwrap().person_id;
    // Called off: neither enters anything, and frequent is left by the one who was it.
    let apart = send(&mut world, &merge("b", "a", EventName::CustomerSeparated, days(6)));
    assert_eq!(apart, [said(EXITED, "frequent_90d"), said(EXITED, "high_value_paid")]);
    assert!(world.signals[2..].iter().all(|signal| signal.person_id == a));
    assert_eq!(send(&mut world, &merge("b", "a", EventName::CustomerMerged, days(7))), [], "the veto stands");
    let mut audiences: Vec<_> = world.commit().into_iter().map(|profile| profile.audiences).collect();
    audiences.sort();
    audiences.dedup();
    assert!(audiences.contains(&vec!["high_value_paid".to_owned()]), "{audiences:?}");
    assert!(!audiences.iter().flatten().any(|name| name == "frequent_90d"), "{audiences:?}");
}

#[test]
fn who_becomes_known_under_a_better_handle_takes_audiences_along_without_a_word() {
    let mut world = World::new();
    send(&mut world, &bought(&[email("jane@example.com")], "o-1", 60_000, 0));
    assert_eq!(world.signals.len(), 1);
    let known =
        send(&mut world, &by(&[user("5"), email("jane@example.com")], EventName::CustomerUpdated, MINUTE));
    assert_eq!(known, []);
    let told = world.commit();
    let profile = told.iter().find(|profile| profile.merged_into.is_none()).unwrap();
    assert_eq!(profile.audiences_since.get("high_value_paid"), Some(&at(0)), "since it was so");
    assert_eq!(
        pass(&mut world, days(91)),
        [said(ENTERED, "lapsed_90d")],
        "once, though both handles were due"
    );
}

#[test]
fn who_is_erased_leaves_without_a_word_and_is_never_due_again() {
    let mut world = World::new();
    send(&mut world, &bought(&[user("jane")], "o-1", 60_000, 0));
    send(&mut world, &by(&[user("jane")], EventName::CustomerDeleted, MINUTE));
    assert_eq!(pass(&mut world, days(100)), []);
    assert_eq!(world.signals.len(), 1);
    assert_eq!(world.rows("due"), 0);
}

#[test]
fn where_nothing_arrives_time_passes_by_ticks_and_each_thing_is_told_once() {
    let mut world = World::new();
    assert_eq!(world.wake(0), (0, vec![]), "nothing is due, nothing is written");
    world.send(&checkout(&[user("jane")], "c-1", 0));
    world.send(&bought(&[user("joe")], "o-1", 60_000, 0));
    world.restart();
    assert_eq!(world.wake(HOUR - 1), (0, vec![]));
    let reminder = vec![(SignalName::CheckoutAbandoned, "c-1".to_owned())];
    assert_eq!(world.wake(HOUR + 5 * MINUTE), (1, reminder));
    world.restart();
    assert_eq!(world.wake(HOUR + 6 * MINUTE), (0, vec![]));
    let wake = |world: &mut World, after| world.enlisted(|world| drop(world.wake(after)));
    assert_eq!(wake(&mut world, days(90) + MINUTE), [said(ENTERED, "lapsed_90d")]);
    assert_eq!(wake(&mut world, days(90) + HOUR), []);
    assert_eq!(world.wake(days(400)), (0, vec![]), "nothing is left to be due");
}

#[test]
fn two_copies_may_both_say_that_time_has_passed() {
    let mut world = World::new();
    world.send(&checkout(&[user("jane")], "c-1", 0));
    let first = world.ticks(2 * HOUR);
    // Another copy knows nothing of the ticks of the one before it.
    world.restart();
    let ticks = [first, world.ticks(2 * HOUR + 1)].concat();
    assert_eq!(ticks.len(), 2);
    let said_of_them: Vec<_> = ticks.iter().flat_map(|tick| world.process(tick)).collect();
    assert_eq!(said_of_them, [(SignalName::CheckoutAbandoned, "c-1".to_owned())]);
}

#[test]
fn while_a_tick_is_on_its_way_no_other_one_is_written_until_it_may_be_lost() {
    let mut world = World::new();
    world.send(&checkout(&[user("jane")], "c-1", 0));
    let tick = world.ticks(2 * HOUR);
    assert_eq!(tick.len(), 1);
    for minute in 1..10 {
        assert_eq!(world.ticks(2 * HOUR + minute * MINUTE).len(), 0, "after {minute} minutes");
    }
    assert_eq!(world.ticks(2 * HOUR + 10 * MINUTE).len(), 1, "nobody knows whether the first one was kept");
    let reminder = [(SignalName::CheckoutAbandoned, "c-1".to_owned())];
    assert_eq!(world.process(&tick[0]), reminder);
}

#[test]
fn what_is_due_after_a_tick_has_come_round_has_one_of_its_own() {
    let mut world = World::new();
    world.send(&checkout(&[user("jane")], "c-1", 0));
    world.send(&checkout(&[user("joe")], "c-2", 5 * MINUTE));
    let reminder = |id: &str| vec![(SignalName::CheckoutAbandoned, id.to_owned())];
    assert_eq!(world.wake(HOUR + MINUTE), (1, reminder("c-1")));
    assert_eq!(world.wake(HOUR + 6 * MINUTE), (1, reminder("c-2")));
}

#[test]
fn a_purchase_that_came_before_the_tick_calls_the_reminder_off() {
    let mut world = World::new();
    world.send(&checkout(&[user("jane")], "c-1", 0));
    assert_eq!(world.send(&bought(&[user("jane")], "o-1", 1_000, 30 * MINUTE)).len(), 1, "called off");
    let (_, said_then) = world.wake(days(1));
    assert_eq!(said_then, []);
}

#[test]
fn of_an_id_that_is_used_again_the_order_that_is_meant_is_named() {
    let mut world = World::configured(|config| config.reuse_transaction_id_after_s = Some(86_400));
    let purchase = |minor: i64, after: i64| Event {
        event: EventName::OrderPlaced,
        source: commerce::Source::Analytics,
        ..bought(&[user("jane")], "t-1", minor, after)
    };
    assert_eq!(send(&mut world, &purchase(1_000, 0)), []);
    assert_eq!(send(&mut world, &purchase(60_000, days(10))), [said(ENTERED, "high_value_paid")]);
    assert_eq!(world.signals.last().unwrap().order_id.as_deref(), Some("t-1~2"));
}
