//! What waits for products: reminders to buy again, and requests for what is out of stock.

use commerce::event::{Item, Refund};
use commerce::signal::Automation;
use commerce::{Currency, Event, EventName, Money, ReceivedTime, SignalName};

use crate::world::*;

const SCHEDULED: SignalName = SignalName::ReplenishmentScheduled;
const DUE: SignalName = SignalName::ReplenishmentDue;
const CANCELLED: SignalName = SignalName::AutomationCancelled;

fn names(said: &[(SignalName, String)]) -> Vec<SignalName> {
    said.iter().map(|(name, _)| *name).collect()
}

fn requested(by_whom: &str, product: &str, variant: Option<&str>, after: i64) -> Event {
    let mut event = by(&[user(by_whom)], EventName::BackInStockRequested, after);
    event.payload.activity.as_mut().unwrap().items = Some(vec![item(product, variant)]);
    event
}

fn with_items(mut order: Event, items: Vec<Item>) -> Event {
    order.payload.order.as_mut().unwrap().items = Some(items);
    order
}

#[test]
fn seq_c16_a_purchase_calls_off_the_reminder_of_its_product_for_that_person_and_no_other() {
    let mut world = World::new();
    world.send(&paid(&[user("u1")], "o1", &["coffee"], 0));
    world.send(&paid(&[user("u2")], "o2", &["coffee"], 0));
    world.send(&with_items(paid(&[user("u1")], "o3", &[], 0), vec![item("tea", Some("green"))]));
    let said = world.send(&paid(&[user("u1")], "o4", &["coffee"], days(1)));
    assert_eq!(names(&said), [CANCELLED, SCHEDULED]);
    let cancelled = &world.signals[world.signals.len() - 2];
    assert_eq!((cancelled.kind, cancelled.target.as_str()), (Some(Automation::Replenishment), "coffee"));
    assert_eq!((cancelled.reason.as_str(), cancelled.order_id.as_deref()), ("bought", Some("o4")));
    // The tea, the other person, and then the moved one.
    assert_eq!(world.pass(days(10)), [(DUE, "tea".to_owned())]);
    assert_eq!(names(&world.pass(days(30))), [DUE]);
    assert_eq!(names(&world.pass(days(31))), [DUE]);
}

#[test]
fn seq_c17_a_reminder_is_due_days_after_the_order_moves_with_a_purchase_and_ends_with_a_cancellation() {
    let mut world = World::new();
    let said = world.send(&paid(&[user("u1")], "o1", &["coffee"], 0));
    assert_eq!(said, [(SCHEDULED, "coffee".to_owned())]);
    assert_eq!(world.last().due_at, Some(at(days(30))));
    assert!(world.pass(days(30) - MINUTE).is_empty());
    world.restart();
    assert_eq!(world.pass(days(30)), [(DUE, "coffee".to_owned())]);
    assert_eq!(world.last().items[0].title.as_deref(), Some("the coffee"));
    assert!(world.pass(days(40)).is_empty(), "once");

    world.send(&paid(&[user("u1")], "o2", &["coffee"], days(50)));
    world.send(&paid(&[user("u1")], "o3", &["coffee"], days(60)));
    assert!(world.pass(days(81)).is_empty(), "it was moved");
    assert_eq!(names(&world.send(&cancelled(&[user("u1")], "o3", days(82)))), [CANCELLED]);
    assert_eq!(world.last().reason, "order_cancelled");
    assert!(world.pass(days(95)).is_empty());
}

#[test]
fn a_refund_of_all_ends_a_reminder_and_a_refund_of_a_part_does_not() {
    let mut world = World::new();
    world.send(&paid(&[user("u1")], "o1", &["coffee"], 0));
    let refund = |id: &str, minor, after| {
        let mut event = cancelled(&[user("u1")], "o1", after);
        event.event = EventName::OrderRefunded;
        let order = event.payload.order.as_mut().unwrap();
        order.cancelled_at = None;
        order.refunds =
            vec![Refund { id: id.to_owned(), amount: Money::new(minor, Currency::USD), at: at(after) }];
        event
    };
    assert!(world.send(&refund("r1", 400, HOUR)).is_empty());
    assert_eq!(names(&world.send(&refund("r2", 600, 2 * HOUR))), [CANCELLED]);
    assert_eq!(world.last().reason, "order_refunded");
    assert!(world.pass(days(31)).is_empty());
}

#[test]
fn a_purchase_that_is_older_than_the_reminder_leaves_it_as_it_is() {
    let mut world = World::new();
    world.send(&paid(&[user("u1")], "o2", &["coffee"], days(2)));
    let late = Event {
        received_at: ReceivedTime(at(days(2) + HOUR).0),
        ..paid(&[user("u1")], "o1", &["coffee"], 0)
    };
    assert!(world.send(&late).is_empty());
    assert_eq!(names(&world.pass(days(32))), [DUE]);
}

#[test]
fn people_who_are_joined_are_reminded_of_a_product_once() {
    let mut world = World::new();
    world.send(&paid(&[user("u1")], "o1", &["coffee"], 0));
    world.send(&paid(&[email("a@x.example")], "o2", &["coffee"], days(1)));
    world.send(&by(&[user("u1"), email("a@x.example")], EventName::CustomerUpdated, days(2)));
    assert_eq!(names(&world.pass(days(30))), [CANCELLED]);
    assert_eq!(world.last().reason, "superseded");
    assert_eq!(names(&world.pass(days(31))), [DUE]);
}

#[test]
fn a_purchase_ends_a_request_for_the_product_unless_both_name_another_variant() {
    let mut world = World::new();
    world.send(&requested("u1", "lamp", Some("red"), 0));
    world.send(&requested("u1", "rug", None, 0));
    world.send(&requested("u1", "sofa", None, days(1)));
    let order = |id, product: &str, variant, after| {
        with_items(paid(&[user("u1")], id, &[], after), vec![item(product, variant)])
    };
    assert!(world.send(&order("o1", "lamp", Some("blue"), HOUR)).is_empty());
    assert_eq!(names(&world.send(&order("o2", "lamp", Some("red"), HOUR))), [CANCELLED]);
    assert_eq!(world.last().kind, Some(Automation::BackInStock));
    assert_eq!(names(&world.send(&order("o3", "rug", Some("any"), HOUR))), [CANCELLED]);
    // Bought before it was asked for.
    assert!(world.send(&order("o4", "sofa", None, 2 * HOUR)).is_empty());
}

#[test]
fn a_labelled_order_plans_nothing_and_an_unpaid_one_neither() {
    let mut world = World::new();
    let labelled = Event { trigger_eligible: false, ..paid(&[user("u1")], "o1", &["coffee"], 0) };
    assert!(world.send(&labelled).is_empty());
    let unpaid = with_items(placed(&[user("u1")], "o2", vec![], 0), vec![item("coffee", None)]);
    assert!(world.send(&unpaid).is_empty());
    assert!(world.pass(days(31)).is_empty());
}

#[test]
fn a_cancellation_leaves_the_reminder_of_another_order_that_has_one_of_its_names() {
    let mut world = World::new();
    let of = |mut order: Event, alias: &str| {
        order.entity.aliases = vec![alias.to_owned()];
        order
    };
    world.send(&paid(&[user("u1")], "o1", &["coffee"], 0));
    // Of the same source, so the two are never one, whatever name it gives itself.
    world.send(&of(with_items(paid(&[user("u1")], "o2", &[], HOUR), vec![item("tea", Some("green"))]), "o1"));
    assert_eq!(
        world.send(&of(cancelled(&[user("u1")], "o2", days(1)), "o1")),
        [(CANCELLED, "tea".to_owned())]
    );
    assert_eq!(world.pass(days(31)), [(DUE, "coffee".to_owned())]);
}
