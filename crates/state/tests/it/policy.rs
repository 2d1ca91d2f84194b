//! The policy of a workspace changes in the middle of the stream: what was counted stays, what follows is counted anew,
//! whatever the restarts and the order of processing.

use commerce::person::Kind;
use commerce::policy::{Policy, Rules};
use commerce::{EventName, EventTime, Source};
use serde_json::{Value, json};

use crate::fixture::*;

/// When version 2 is published, and holds from.
const CHANGE: &str = "2026-03-14T16:00:00Z";

fn version(story: &Story, number: i32, change: impl FnOnce(&mut Rules)) -> Policy {
    let mut rules = story.rules();
    change(&mut rules);
    Policy {
        workspace: commerce::WorkspaceId::try_new("demo").unwrap(),
        version: number,
        effective_at: instant(CHANGE),
        published_at: instant(CHANGE),
        published_by: "jane".to_owned(),
        note: None,
        rules,
    }
}

fn paid_by_customerio(rules: &mut Rules) {
    rules.ownership.insert(EventName::OrderPaid, Source::Customerio);
}

fn order(id: u32, fields: Value) -> Value {
    let order = json!({"id": id, "email": "jane@example.com", "created_at": "2026-03-14T13:00:00Z",
        "updated_at": "2026-03-14T13:00:00Z", "currency": "USD", "total_price": "49.99",
        "financial_status": "paid", "line_items": []});
    with(order, fields)
}

#[test]
fn an_order_stays_under_the_version_of_its_first_delivery() {
    let mut story = Story::new();
    story.at("2026-03-14T15:00:00Z").shopify("orders/create", &order(1, json!({})));
    story.policy(&version(&story, 2, paid_by_customerio));
    assert!(story.order("1").counted, "what was counted stays");
    story.at("2026-03-14T17:00:00Z");
    story.shopify(
        "orders/updated",
        &order(1, json!({"updated_at": "2026-03-14T16:30:00Z", "total_price": "59.99"})),
    );
    let first = story.order("1");
    assert_eq!((first.counted, first.total.unwrap().minor), (true, 5_999), "and moves as it would have");
    story.shopify("orders/create", &order(2, json!({})));
    assert!(!story.order("2").counted, "a new order is paid when its owner says so");
    assert_eq!(story.count(EventName::OrderPaid), 1);
    let body = json!({"order_id": "2", "total": "49.99", "currency": "USD", "email": "jane@example.com"});
    story.event("jane%40example.com", "order_paid", body);
    assert!(story.order("2").counted);
    assert_eq!(story.profile(Kind::Email, "jane@example.com").orders_count, 2);
    story.assert_chain("1");
    story.assert_chain("2");
}

#[test]
fn a_delivery_that_is_no_order_falls_under_the_version_of_its_arrival() {
    let mut story = Story::new();
    let views = |story: &Story| -> Vec<bool> {
        let facts = story.named(EventName::ProductViewed);
        facts.iter().map(|fact| fact.flags.iter().any(|flag| flag == "shadow")).collect()
    };
    story.at("2026-03-14T15:59:59Z").event("5", "product_viewed", json!({"product_id": "p-1"}));
    story.policy(&version(&story, 2, |rules| {
        rules.ownership.insert(EventName::ProductViewed, Source::Shopify);
    }));
    story.at(CHANGE).event("5", "product_viewed", json!({"product_id": "p-2"}));
    // It was under way while the version was published.
    story.at("2026-03-14T15:59:58Z").event("5", "product_viewed", json!({"product_id": "p-3"}));
    assert_eq!(views(&story), [false, true, false]);
}

#[test]
fn the_same_is_left_whatever_the_restarts_and_the_order_of_processing() {
    let deliveries = |story: &mut Story| -> (Vec<Stored>, Vec<Stored>) {
        let mut store = |time: &str, topic: &str, body: Value| {
            story.at(time);
            story.shopify_store(topic, &body.to_string())
        };
        let newer = json!({"updated_at": "2026-03-14T15:30:00Z", "total_price": "20.00"});
        let before = vec![
            store("2026-03-14T15:00:00Z", "orders/create", order(1, json!({}))),
            store("2026-03-14T15:10:00Z", "orders/create", order(2, json!({"email": "joe@example.com"}))),
            store("2026-03-14T15:30:00Z", "orders/updated", order(1, newer)),
        ];
        let last = json!({"updated_at": "2026-03-14T16:40:00Z", "total_price": "30.00"});
        let after = vec![
            store("2026-03-14T16:20:00Z", "orders/create", order(3, json!({}))),
            store("2026-03-14T16:40:00Z", "orders/updated", order(1, last)),
            store(
                "2026-03-14T16:50:00Z",
                "orders/updated",
                order(3, json!({"updated_at": "2026-03-14T16:45:00Z"})),
            ),
            // Stamped before the change, and processed after it: an order of its own, and one that is known.
            store("2026-03-14T15:50:00Z", "orders/create", order(4, json!({}))),
            store(
                "2026-03-14T15:55:00Z",
                "orders/updated",
                order(2, json!({"updated_at": "2026-03-14T15:54:00Z"})),
            ),
        ];
        (before, after)
    };
    let run = |turn: usize, restarts: bool| {
        let mut story = Story::new();
        let (mut before, mut after) = deliveries(&mut story);
        let (n, m) = (before.len(), after.len());
        before.rotate_left(turn % n);
        after.rotate_left(turn % m);
        if turn % 2 == 1 {
            after.reverse();
        }
        let take = |story: &mut Story, stored: &Stored| {
            story.take(stored);
            if restarts {
                story.restart();
            }
        };
        before.iter().for_each(|stored| take(&mut story, stored));
        let policy = version(&story, 2, paid_by_customerio);
        story.policy(&policy);
        story.policy(&policy);
        after.iter().for_each(|stored| take(&mut story, stored));
        assert!(story.letters.is_empty());
        let counted: Vec<bool> = ["1", "2", "3", "4"].iter().map(|id| story.order(id).counted).collect();
        assert_eq!(counted, [true, true, false, true], "turn {turn}");
        story.settled()
    };
    let expected = run(0, false);
    for turn in 0..15 {
        assert_eq!(run(turn, false), expected, "turn {turn}");
        assert_eq!(run(turn, true), expected, "turn {turn}, restarted");
    }
}

#[test]
fn a_transaction_that_is_rolled_back_takes_its_version_with_it() {
    let begun = || {
        let mut story = Story::new();
        story.at("2026-03-14T15:00:00Z").shopify("orders/create", &order(1, json!({})));
        story
    };
    let (mut story, mut further) = (begun(), begun());
    further.policy(&version(&story, 2, paid_by_customerio));
    further.at("2026-03-14T17:00:00Z").shopify("orders/create", &order(2, json!({})));
    assert!(!further.order("2").counted);
    further.roll_back_to(&mut story);
    story.at("2026-03-14T17:00:00Z").shopify("orders/create", &order(2, json!({})));
    assert!(story.order("2").counted, "the version wasn't committed");
    story.policy(&version(&story, 2, paid_by_customerio));
    story.at("2026-03-14T18:00:00Z").shopify("orders/create", &order(3, json!({})));
    assert!(!story.order("3").counted);
}

#[test]
fn a_version_is_told_once_with_where_it_begins_to_count() {
    let mut story = Story::new();
    story.policy(&version(&story, 1, |_| {}));
    story.at("2026-03-14T16:30:00Z").shopify("orders/create", &order(1, json!({})));
    let next = version(&story, 2, paid_by_customerio);
    story.policy(&next);
    story.policy(&next);
    let told = story.named(EventName::PolicyPublished);
    assert_eq!(told.len(), 2);
    let read = Policy::announced(&next.workspace, &told[1].properties).unwrap();
    assert_eq!(read, next);
    // It was to hold from 16:00 on, and an order that came at 16:30 stood before it.
    assert_eq!(told[1].properties["in_force_after"], "\"2026-03-14T16:30:00Z\"");
    assert!(!told[0].properties.contains_key("in_force_after"), "the first one holds from the start");
}

#[test]
fn a_version_that_can_not_stand_where_it_stands_is_set_aside_and_changes_nothing() {
    let mut story = Story::new();
    let gap = version(&story, 3, paid_by_customerio);
    let zone = version(&story, 2, |rules| rules.time_zone = "Europe/Berlin".to_owned());
    for wrong in [gap, zone] {
        story.policy(&wrong);
    }
    let reasons: Vec<&str> = story.letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons, ["unsupported_event", "unsupported_event"]);
    assert!(
        story.letters[1].message.contains("time_zone: UTC → Europe/Berlin"),
        "{}",
        story.letters[1].message
    );
    assert_eq!(story.count(EventName::PolicyPublished), 0);
    story.at("2026-03-14T17:00:00Z").shopify("orders/create", &order(1, json!({})));
    assert!(story.order("1").counted);
}

/// An order of a customer of the shop, with or without an address.
fn bought(story: &mut Story, customer: u32, id: u32, email: Option<&str>) {
    let customer = json!({"id": customer, "email": email});
    story.shopify("orders/create", &order(id, json!({"email": email, "customer": customer})));
}

#[test]
fn who_was_joined_by_a_handle_that_is_nobodys_is_parted_and_stays_so() {
    let shared = Some("test@example.com");
    let mut story = Story::new();
    story.at("2026-03-14T15:00:00Z");
    for (customer, id, email) in [(71, 1, shared), (72, 2, shared), (71, 3, None), (72, 4, None)] {
        bought(&mut story, customer, id, email);
    }
    let nobody = story.order("1").person_id;
    assert_eq!(story.order("3").person_id, nobody, "an address joins who has no account");
    assert_eq!(story.order("4").person_id, nobody);
    story
        .policy(&version(&story, 2, |rules| rules.blocked_handles.push("email:test@example.com".to_owned())));
    let own = ["71", "72", "73"].map(|id| Some(story.id(Kind::ShopifyCustomer, id)));
    assert_eq!([story.order("3").person_id, story.order("4").person_id], own[..2]);
    assert_eq!(
        [story.order("1").person_id, story.order("2").person_id],
        [nobody; 2],
        "said of the address alone"
    );
    story.restart();
    story.at("2026-03-14T17:00:00Z");
    bought(&mut story, 72, 5, shared);
    bought(&mut story, 73, 6, shared);
    bought(&mut story, 73, 7, None);
    let found = ["5", "6", "7"].map(|id| story.order(id).person_id);
    assert_eq!(found, [own[1], own[2], own[2]]);
    for id in ["1", "2", "3", "4", "5", "6", "7"] {
        story.assert_chain(id);
    }
    story.policy(&version(&story, 3, |_| {}));
    let again = ["3", "4"].map(|id| story.order(id).person_id);
    assert_eq!(again, [nobody; 2], "what it joined is kept, for whoever finds that it is somebody's");
}

#[test]
fn the_limit_of_shared_handles_is_that_of_the_workspace() {
    let people = |limit: u32| {
        let mut story = Story::configured(|config| config.shared_handle_neighbours = Some(limit));
        for customer in [71, 72, 73] {
            bought(&mut story, customer, customer, Some("jane@example.com"));
            bought(&mut story, customer, customer + 10, None);
        }
        let of = |id: &str| story.order(id).person_id;
        ["81", "82", "83"].map(of).into_iter().collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((people(3), people(2)), (1, 3), "three customers of one address are nobody's");
}

#[test]
fn a_cart_is_abandoned_after_the_time_that_was_settled_when_it_was_left() {
    let mut story = Story::configured(|config| config.abandoned_after_s = Some(1_800));
    let quiet = |story: &mut Story, user: &str, left: &str, until: &str| -> bool {
        let before = story.signals.len();
        story.at(left).event(
            user,
            "checkout_started",
            json!({"checkout_id": user, "email": "jane@example.com"}),
        );
        story.at(until).event("bystander", "product_viewed", json!({"product_id": "p-1"}));
        story.signals.len() > before
    };
    assert!(!quiet(&mut story, "5", "2026-03-14T10:00:00Z", "2026-03-14T10:29:59Z"));
    assert!(quiet(&mut story, "6", "2026-03-14T11:00:00Z", "2026-03-14T11:30:00Z"));
    story.policy(&version(&story, 2, |rules| rules.abandoned_after_s = 600));
    assert!(quiet(&mut story, "7", "2026-03-14T17:00:00Z", "2026-03-14T17:10:00Z"));
    let late = EventTime(instant("2026-03-14T17:10:00Z").0);
    assert_eq!(story.signals.last().unwrap().occurred_at, late);
}
