//! Carts and checkouts that are left, and what calls them off.

use commerce::signal::Automation;
use commerce::time::{DAY, SECOND};
use commerce::{Currency, Event, EventName, Money, ReceivedTime, Signal, SignalName, Source};

use crate::sums::absorbing;
use crate::world::*;

const ABANDONED: SignalName = SignalName::CheckoutAbandoned;
const CANCELLED: SignalName = SignalName::AutomationCancelled;

fn said(name: SignalName, target: &str) -> Vec<(SignalName, String)> {
    vec![(name, target.to_owned())]
}

#[test]
fn cio_c09_a_payment_calls_a_checkout_off_and_it_is_never_abandoned() {
    let mut world = World::new();
    assert!(world.send(&checkout(&[user("u1")], "c1", 0)).is_empty());
    assert_eq!(world.send(&paid(&[user("u1")], "o1", &[], 30 * MINUTE)), said(CANCELLED, "c1"));
    let signal = world.last().clone();
    assert_eq!((signal.kind, signal.reason.as_str()), (Some(Automation::Abandonment), "order_paid"));
    assert_eq!((signal.order_id.as_deref(), signal.trigger_event), (Some("o1"), Some(EventName::OrderPaid)));
    assert!(world.pass(3 * HOUR).is_empty());
    assert!(world.pass(days(60)).is_empty());
}

#[test]
fn cio_c10_a_payment_under_the_email_calls_off_what_was_left_under_the_id() {
    let mut world = World::new();
    world.send(&by(&[user("u1"), email("a@x.example")], EventName::CustomerUpdated, 0));
    world.send(&checkout(&[user("u1")], "c1", MINUTE));
    assert_eq!(world.send(&paid(&[email("a@x.example")], "o1", &[], 2 * MINUTE)), said(CANCELLED, "c1"));
    assert!(world.pass(3 * HOUR).is_empty());
}

#[test]
fn cio_c11_a_checkout_that_is_left_is_abandoned_once_after_the_window() {
    let mut world = World::new();
    world.send(&checkout(&[user("u1")], "c1", 0));
    assert!(world.pass(59 * MINUTE).is_empty());
    world.restart();
    assert_eq!(world.pass(60 * MINUTE), said(ABANDONED, "c1"));
    world.restart();
    assert!(world.pass(10 * HOUR).is_empty());
    let signal = world.last();
    assert_eq!(signal.recovery_url.as_deref(), Some("https://shop.example/recover/c1"));
    assert_eq!((signal.items.len(), signal.value.map(|value| value.minor)), (1, Some(1_000)));
    assert_eq!(signal.consent.len(), 1, "the consent of that moment");
    assert_eq!((signal.occurred_at, signal.reason.as_str()), (at(60 * MINUTE), "quiet"));
}

#[test]
fn cio_c12_a_payment_older_than_the_checkout_does_not_close_it() {
    let mut world = World::new();
    world.send(&checkout(&[user("u1")], "c1", 10 * MINUTE));
    let late = Event {
        received_at: checkout(&[], "", 20 * MINUTE).received_at,
        ..paid(&[user("u1")], "o1", &[], 5 * MINUTE)
    };
    assert!(world.send(&late).is_empty());
    assert_eq!(world.pass(80 * MINUTE), said(ABANDONED, "c1"));
}

#[test]
fn life_c16_an_hour_of_quiet_is_one_signal_and_an_order_with_the_checkout_id_prevents_it() {
    let mut world = World::new();
    world.send(&checkout(&[email("a@x.example")], "901", 0));
    world.send(&checkout(&[email("b@x.example")], "902", 0));
    // The order of somebody who isn't known to be the same person.
    let mut order = paid(&[email("other@x.example")], "o1", &[], 30 * MINUTE);
    order.payload.order.as_mut().unwrap().links = vec![link("checkout", "902")];
    assert_eq!(world.send(&order), said(CANCELLED, "902"));
    assert_eq!(world.pass(2 * HOUR), said(ABANDONED, "901"));
    assert_eq!(world.last().recovery_url.as_deref(), Some("https://shop.example/recover/901"));
}

#[test]
fn life_c17_a_completed_checkout_is_not_abandoned() {
    let mut world = World::new();
    world.send(&checkout(&[email("a@x.example")], "901", 0));
    let mut done = updated(&[email("a@x.example")], "901", 10 * MINUTE);
    done.payload.activity.as_mut().unwrap().completed_at = Some(at(10 * MINUTE));
    assert_eq!(world.send(&done), said(CANCELLED, "901"));
    // And it doesn't open again.
    assert!(world.send(&updated(&[email("a@x.example")], "901", 11 * MINUTE)).is_empty());
    assert!(world.pass(3 * HOUR).is_empty());
}

#[test]
fn an_activity_starts_the_quiet_period_anew_and_each_period_is_a_signal_of_its_own() {
    let mut world = World::new();
    world.send(&checkout(&[user("u1")], "c1", 0));
    world.send(&updated(&[user("u1")], "c1", 50 * MINUTE));
    assert!(world.pass(100 * MINUTE).is_empty());
    assert_eq!(world.pass(110 * MINUTE), said(ABANDONED, "c1"));
    world.send(&updated(&[user("u1")], "c1", 200 * MINUTE));
    assert_eq!(world.pass(300 * MINUTE), said(ABANDONED, "c1"));
    assert_ne!(world.signals[0].signal_id, world.signals[1].signal_id);
    // What was said is called off by a later payment.
    assert_eq!(world.send(&paid(&[user("u1")], "o1", &[], 301 * MINUTE)), said(CANCELLED, "c1"));
}

#[test]
fn a_checkout_from_before_the_payment_that_comes_late_opens_nothing() {
    let mut world = World::new();
    world.send(&checkout(&[user("u1")], "c1", 0));
    world.send(&paid(&[user("u1")], "o1", &[], 30 * MINUTE));
    let arrival = checkout(&[], "", 40 * MINUTE).received_at;
    for id in ["c1", "c2"] {
        let late = Event { received_at: arrival, ..updated(&[user("u1")], id, 20 * MINUTE) };
        assert!(world.send(&late).is_empty());
    }
    assert!(world.pass(3 * HOUR).is_empty());
    // One from after it does.
    world.send(&checkout(&[user("u1")], "c3", 4 * HOUR));
    assert_eq!(world.pass(6 * HOUR), said(ABANDONED, "c3"));
}

#[test]
fn an_order_before_its_checkout_is_known_keeps_that_from_opening() {
    let mut world = World::new();
    let mut order = paid(&[], "o1", &[], 0);
    order.payload.order.as_mut().unwrap().links = vec![link("checkout_token", "t1")];
    world.send(&order);
    let mut late = checkout(&[email("a@x.example")], "c1", MINUTE);
    late.payload.activity.as_mut().unwrap().links = vec![link("token", "t1")];
    world.send(&late);
    assert!(world.pass(3 * HOUR).is_empty());
}

#[test]
fn an_order_that_is_not_paid_closes_its_own_checkout_alone() {
    let mut world = World::new();
    world.send(&checkout(&[user("u1")], "c1", 0));
    world.send(&checkout(&[user("u1")], "c2", 0));
    let order = placed(&[user("u1")], "o1", vec![link("checkout", "c1")], MINUTE);
    assert_eq!(world.send(&order), said(CANCELLED, "c1"));
    assert_eq!(world.last().reason, "order_placed");
    assert_eq!(world.send(&paid(&[user("u1")], "o1", &[], 2 * MINUTE)), said(CANCELLED, "c2"));
}

#[test]
fn a_checkout_that_was_bought_is_remembered_for_a_month_and_its_rows_do_not_pile_up() {
    let mut world = World::new();
    let order = |id: &str, after: i64| {
        let mut order = paid(&[], id, &[], after);
        order.payload.order.as_mut().unwrap().links = vec![link("checkout", id), link("cart", id)];
        order
    };
    let checkout = |day: i64| checkout(&[user("u1")], "c1", day * DAY);
    world.send(&order("c1", 0));
    for day in 0..50 {
        for n in 0..20 {
            world.send(&order(&format!("{day}-{n}"), day * DAY));
        }
        if day == 30 {
            world.send(&checkout(day));
            assert!(world.pass(day * DAY + 2 * HOUR).is_empty());
        }
        // Each day is a transaction of its own.
        world.rows("closings");
    }
    // No more than those of the period that runs and of the two before it, of two names each.
    let rows = world.rows("closings");
    assert!((30 * 40..=45 * 40).contains(&rows), "{rows}");
    // Which they are is said in one row a day.
    let listed = world.rows("closed_names");
    assert!((30..=45).contains(&listed), "{listed}");
    assert_eq!((world.rows("timers"), world.rows("basket_names")), (0, 0));
    world.send(&checkout(50));
    assert_eq!(world.pass(50 * DAY + 2 * HOUR), said(ABANDONED, "c1"));
}

#[test]
fn what_nobody_can_be_reached_about_is_said_once_they_are_known() {
    let mut world = World::new();
    world.send(&checkout(&[anonymous("a1")], "c1", 0));
    world.send(&checkout(&[anonymous("a2")], "c2", 0));
    assert!(world.pass(2 * HOUR).is_empty());
    world.restart();
    world.send(&by(&[user("u1"), anonymous("a1")], EventName::CustomerUpdated, 3 * HOUR));
    assert_eq!(world.pass(3 * HOUR + MINUTE), said(ABANDONED, "c1"));
    // After 72 hours it is too late for that.
    world.send(&by(&[user("u2"), anonymous("a2")], EventName::CustomerUpdated, days(4)));
    assert!(world.pass(days(4) + HOUR).is_empty());
    // The person is the one that they became.
    let signal = world.last().clone();
    world.send(&paid(&[user("u1")], "o1", &[], days(4) + 2 * HOUR));
    assert_eq!(world.last().person_id, signal.person_id);
}

#[test]
fn the_purchase_that_makes_somebody_known_calls_off_what_they_left() {
    let mut world = World::new();
    world.send(&checkout(&[anonymous("a1")], "c1", 0));
    world.pass(2 * HOUR);
    let order = paid(&[anonymous("a1"), email("a@x.example")], "o1", &[], 3 * HOUR);
    assert_eq!(world.send(&order), said(CANCELLED, "c1"));
    assert!(world.pass(5 * HOUR).is_empty());
}

#[test]
fn people_who_are_joined_after_a_payment_have_nothing_abandoned_and_nothing_is_said_twice() {
    let mut world = World::new();
    world.send(&checkout(&[anonymous("a1")], "c1", 0));
    world.send(&paid(&[email("a@x.example")], "o1", &[], 10 * MINUTE));
    let join = by(&[anonymous("a1"), email("a@x.example")], EventName::CustomerUpdated, 20 * MINUTE);
    assert_eq!(world.send(&join), said(CANCELLED, "c1"));
    world.send(&checkout(&[anonymous("a1")], "c2", HOUR));
    assert_eq!(world.pass(3 * HOUR), said(ABANDONED, "c2"));
    world.send(&by(&[user("u1"), anonymous("a1")], EventName::CustomerUpdated, 4 * HOUR));
    world.send(&by(&[user("u1"), email("a@x.example")], EventName::CustomerUpdated, 5 * HOUR));
    assert!(world.pass(9 * HOUR).is_empty());
    let ids: std::collections::BTreeSet<&str> =
        world.signals.iter().map(|signal| signal.signal_id.as_str()).collect();
    assert_eq!(ids.len(), world.signals.len());
}

#[test]
fn a_cart_that_becomes_a_checkout_is_one_automation() {
    let mut world = World::new();
    let mut cart = by(&[user("u1")], EventName::CartItemAdded, 0);
    let activity = cart.payload.activity.as_mut().unwrap();
    activity.cart_id = Some("k1".to_owned());
    activity.items = Some(vec![item("tea", None)]);
    world.send(&cart);
    let mut begun = checkout(&[user("u1")], "c1", 10 * MINUTE);
    begun.payload.activity.as_mut().unwrap().cart_id = Some("k1".to_owned());
    world.send(&begun);
    assert_eq!(world.pass(2 * HOUR), said(ABANDONED, "c1"));
    let mut alone = by(&[user("u2")], EventName::CartItemAdded, 3 * HOUR);
    alone.payload.activity.as_mut().unwrap().items = Some(vec![item("tea", None), item("tea", None)]);
    world.send(&alone);
    assert_eq!(world.pass(5 * HOUR)[0].0, SignalName::CartAbandoned);
    assert_eq!(world.last().value.map(|value| value.minor), Some(2_000));
}

#[test]
fn what_is_not_to_trigger_starts_nothing_and_stops_all_the_same() {
    let mut world = World::new();
    let silent = Event { trigger_eligible: false, ..checkout(&[user("u1")], "c1", 0) };
    world.send(&silent);
    // Another source than the one that owns it.
    let shadow =
        Event { source: commerce::Source::Analytics, ..by(&[user("u1")], EventName::CartCreated, 0) };
    world.send(&shadow);
    assert!(world.pass(2 * HOUR).is_empty());
    let mut test = checkout(&[user("u1")], "c2", 2 * HOUR);
    test.qa = true;
    world.send(&test);
    let order =
        Event { trigger_eligible: false, ..paid(&[user("u1")], "o1", &["coffee"], 3 * HOUR - MINUTE) };
    assert_eq!(world.send(&order), said(CANCELLED, "c2"));
    assert!(world.last().qa);
}

#[test]
fn a_pile_of_timers_fires_in_order_and_a_bounded_number_per_event() {
    let mut world = World::new();
    let ids: Vec<String> = (0..40).map(|n| format!("c{n:02}")).collect();
    for (n, id) in (0_i64..).zip(&ids) {
        world.send(&checkout(&[user(&format!("u{n}"))], id, n));
    }
    let mut fired: Vec<String> = vec![];
    for minute in 0..4 {
        let said = world.pass(days(1) + minute * MINUTE);
        assert!(said.len() <= 16);
        fired.extend(said.into_iter().map(|(_, target)| target));
    }
    assert_eq!(fired, ids);
}

#[test]
fn a_time_that_a_provider_claims_fires_nothing() {
    let mut world = World::new();
    world.send(&checkout(&[user("u1")], "c1", 0));
    let mut claim = by(&[anonymous("x")], EventName::ProductViewed, MINUTE);
    claim.occurred_at = at(days(30_000));
    assert!(world.send(&claim).is_empty());
}

#[test]
fn a_fraud_rule_that_matched_is_said_once_and_what_it_blocks_opens_nothing() {
    let mut world = World::new();
    let blocked = Event { fraud: fraud(2), ..checkout(&[user("u1")], "c1", 0) };
    assert_eq!(world.send(&blocked)[0].0, SignalName::EventBlocked);
    assert!(world.send(&blocked).is_empty());
    let flagged = Event { fraud: fraud(1), ..checkout(&[user("u1")], "c2", MINUTE) };
    assert_eq!(world.send(&flagged)[0].0, SignalName::EventFlagged);
    assert!(world.send(&flagged).is_empty());
    let Signal { reason, trigger_event, .. } = world.last().clone();
    assert_eq!((reason.as_str(), trigger_event), ("velocity", Some(EventName::CheckoutStarted)));
    assert_eq!(world.pass(2 * HOUR), said(ABANDONED, "c2"));
}

/// A body of one version of a checkout of the backend.
fn body(seconds: i64, value: i64) -> Event {
    let mut event = checkout(&[user("u1")], "c1", 0);
    event.source = Source::Lifesight;
    event.received_at = ReceivedTime(event.received_at.0 + seconds * SECOND);
    event.keys.stated = Some("c1 as of then".to_owned());
    let activity = event.payload.activity.as_mut().unwrap();
    activity.value = Some(Money::new(value, Currency::USD));
    event
}

#[test]
fn a_correction_that_a_fraud_rule_blocks_is_said_too() {
    let mut world = World::new();
    for blocked in [body(1, 1_000), body(2, 2_000)].map(|event| Event { fraud: fraud(2), ..event }) {
        assert_eq!(world.send(&blocked)[0].0, SignalName::EventBlocked);
        assert!(world.send(&blocked).is_empty());
    }
}

#[test]
fn of_two_bodies_of_one_version_of_a_checkout_the_later_one_is_what_was_left_in_any_order() {
    for turned in [false, true] {
        let mut bodies = [body(1, 1_000), body(2, 2_000)];
        if turned {
            bodies.reverse();
        }
        let mut world = World::new();
        bodies.iter().for_each(|body| assert!(world.send(body).is_empty()));
        assert_eq!(world.pass(2 * HOUR), said(ABANDONED, "c1"));
        assert_eq!(world.last().value, Some(Money::new(2_000, Currency::USD)), "turned: {turned}");
    }
}

#[test]
fn what_was_left_while_two_were_one_is_theirs_who_left_it_once_the_merge_is_called_off() {
    let (jane, joe) = (user("jane"), user("joe"));
    let mut world = World::new();
    world.send(&absorbing(&jane, &joe, EventName::CustomerMerged, 0));
    world.send(&checkout(std::slice::from_ref(&joe), "c-joe", MINUTE));
    world.send(&checkout(std::slice::from_ref(&jane), "c-jane", MINUTE));
    world.send(&absorbing(&joe, &jane, EventName::CustomerSeparated, 2 * MINUTE));
    assert_eq!(
        world.send(&paid(std::slice::from_ref(&jane), "o1", &[], 3 * MINUTE)),
        said(CANCELLED, "c-jane")
    );
    let jane = world.last().person_id;
    assert_eq!(world.pass(2 * HOUR), said(ABANDONED, "c-joe"));
    assert!(world.last().person_id.is_some() && world.last().person_id != jane);
}
