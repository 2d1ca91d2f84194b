//! Contracts R10.3 and R10.5: who becomes somebody else, what is said of it, and how a merge is undone.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

fn paid(story: &mut Story, user: &str, order: &str, total: i64) {
    let data = json!({"order_id": order, "total": total, "currency": "USD"});
    let body = json!({"name": "order_paid", "timestamp": 1_773_500_400, "data": data});
    story.track(http::Method::POST, &format!("{user}/events"), &body);
}

fn operator(story: &mut Story, word: &str, a: &str, b: &str) -> u16 {
    let line = format!("/v1/identity/{word}");
    let body = json!({"a": a, "b": b}).to_string();
    story.call((http::Method::POST, &line, None), &[("x-api-key", "sk_dev_demo")], &body)
}

fn two() -> Story {
    let mut story = Story::new();
    for (user, first_name) in [("5", "Jane"), ("6", "John")] {
        story
            .identify(user, &json!({"first_name": first_name, "email": format!("{first_name}@example.com")}));
    }
    paid(&mut story, "5", "W-1", 10);
    paid(&mut story, "6", "W-2", 20);
    story
}

#[test]
fn a_merge_that_is_called_off_leaves_orders_profiles_and_forwarding_records_as_they_were() {
    let mut story = two();
    let before = story.settled();
    let (jane, john) = (story.id(Kind::User, "5"), story.id(Kind::User, "6"));
    assert_eq!(operator(&mut story, "merge", "user:5", "user:6"), 200);
    assert_eq!(story.profile(Kind::User, "6").person_id, jane, "a forwarding record leads there");
    assert_eq!(story.profile(Kind::User, "5").orders_count, 2);
    assert_eq!(story.order("W-2").person_id, Some(jane));
    assert_ne!(story.settled(), before);

    assert_eq!(operator(&mut story, "unmerge", "user:6", "user:5"), 200);
    // The address was forwarded to its own account before, and is again.
    assert_eq!(story.settled(), before);
    assert_eq!(story.profile(Kind::User, "6").person_id, john);
    let separated: Vec<_> = story
        .named(EventName::CustomerSeparated)
        .into_iter()
        .filter(|f| f.from_person_id.is_some())
        .collect();
    assert_eq!(separated.len(), 1);
    assert_eq!((separated[0].from_person_id, separated[0].person_id), (Some(jane), Some(john)));
    let moved: Vec<_> =
        story.facts.iter().filter(|fact| fact.flags.iter().any(|f| f == "person_moved")).collect();
    assert_eq!(moved.len(), 2, "there and back");
    assert_eq!(moved[1].before.as_ref().unwrap().person_id, Some(jane));
    assert_eq!(moved[1].after.as_ref().unwrap().person_id, Some(john));
    story.assert_chain("W-2");

    // It stands for ever.
    assert_eq!(operator(&mut story, "merge", "user:5", "user:6"), 200);
    assert_eq!(operator(&mut story, "merge", "user:6", "user:5"), 200);
    assert_eq!(story.settled(), before);
}

#[test]
fn whoever_loses_a_shared_handle_to_an_earlier_sighting_stays_who_they_are() {
    let mut door = Story::new();
    let shared = |door: &mut Story, user: &str, body: Value| {
        let authorization = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
        let path = format!("/api/v1/customers/{user}");
        door.store((http::Method::PUT, &path, None), &[authorization], &body.to_string()).1.unwrap()
    };
    let first = shared(&mut door, "5", json!({"email": "home@example.com"}));
    let second = shared(&mut door, "6", json!({"email": "home@example.com"}));
    let mut story = Story::new();
    story.take(&second);
    assert_eq!(story.profile(Kind::User, "6").contact.identifiers.len(), 2);
    story.take(&first);
    let (jane, john) = (story.profile(Kind::User, "5"), story.profile(Kind::User, "6"));
    assert_eq!((jane.contact.identifiers.len(), john.contact.identifiers.len()), (2, 1));
    assert_eq!(story.count(EventName::CustomerMerged), 0, "nobody became anybody else");
}

#[test]
fn an_operators_word_makes_nobody_known() {
    let mut story = Story::new();
    assert_eq!(operator(&mut story, "unmerge", "user:5", "user:6"), 200);
    assert_eq!(operator(&mut story, "merge", "user:7", "email:x@example.com"), 200);
    assert!(story.people().is_empty());
    assert_eq!(operator(&mut story, "merge", "user:7", "user:7"), 400);
    assert_eq!(operator(&mut story, "merge", "user:7", "somebody"), 400);
}

#[test]
fn who_comes_back_after_an_erasure_is_linked_anew_with_what_names_them() {
    let mut story = Story::new();
    let (email, phone) = (json!({"email": "home@example.com"}), json!({"phone": "+15551234567"}));
    story.identify("6", &email);
    story.identify("5", &email);
    story.identify("6", &phone);
    story.track(http::Method::DELETE, "5", &json!({}));
    // Both handles are the other one's, who shares them.
    story.identify("5", &phone);
    story.identify("5", &email);
    assert_eq!(operator(&mut story, "unmerge", "user:6", "email:home@example.com"), 200);
    let theirs = &story.profile(Kind::User, "5").contact.identifiers;
    assert!(theirs.iter().any(|handle| handle.kind == Kind::Email), "{theirs:?}");
}

#[test]
fn a_browser_of_somebody_who_was_erased_is_somebody_else_when_it_comes_again() {
    let view = |story: &mut Story, who: Value| {
        let viewed = with(json!({"name": "product_viewed", "data": {"product_id": "p-1"}}), who);
        let authorization = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
        let line = (http::Method::POST, "/api/v1/events", None);
        assert_eq!(story.call(line, &[authorization], &viewed.to_string()), 200);
    };
    let mut story = Story::new();
    view(&mut story, json!({"anonymous_id": "a-1"}));
    story.identify("5", &json!({"anonymous_id": "a-1"}));
    assert_eq!(story.count(EventName::CustomerMerged), 1);
    story.track(http::Method::DELETE, "5", &json!({}));
    let viewers = |story: &Story| {
        let metrics = crate::linked_orders::metrics(story);
        let views =
            metrics.iter().filter(|(key, _)| key.starts_with("\"funnel\"") && key.contains("view_item"));
        views.map(|(_, values)| values["actors"]).sum::<i64>()
    };
    assert_eq!(viewers(&story), 0);
    story.at("2026-03-14T17:00:00Z");
    story.event("5", "product_viewed", json!({"product_id": "p-1"}));
    view(&mut story, json!({"anonymous_id": "a-1"}));
    assert_eq!(viewers(&story), 2, "the one isn't the other any more");
}

#[test]
fn accounts_that_are_merged_in_a_ring_are_one_person_whichever_merge_comes_first() {
    let rings = [
        [("5", "6"), ("6", "7"), ("7", "5")],
        [("7", "5"), ("5", "6"), ("6", "7")],
        [("6", "7"), ("7", "5"), ("5", "6")],
    ];
    for ring in rings {
        let mut story = two();
        paid(&mut story, "7", "W-3", 30);
        for (a, b) in ring {
            assert_eq!(operator(&mut story, "merge", &format!("user:{a}"), &format!("user:{b}")), 200);
        }
        assert_eq!(story.people().len(), 1, "{ring:?}");
        for user in ["5", "6", "7"] {
            let person = story.profile(Kind::User, user);
            assert_eq!((person.orders_count, person.total_spent.minor), (3, 6_000), "{ring:?} {user}");
        }
        ["W-1", "W-2", "W-3"].iter().for_each(|id| story.assert_chain(id));
        // Each can still be told apart.
        for (a, b) in ring {
            assert_eq!(operator(&mut story, "unmerge", &format!("user:{a}"), &format!("user:{b}")), 200);
        }
        let counts = ["5", "6", "7"].map(|user| story.profile(Kind::User, user).orders_count);
        assert_eq!(counts, [1, 1, 1], "{ring:?}");
    }
}

#[test]
fn who_stood_for_somebody_else_alone_has_no_record_once_they_are_told_apart() {
    let mut story = Story::new();
    // Of account 5 nothing is known but that it was merged.
    assert_eq!(operator(&mut story, "merge", "user:5", "user:6"), 200);
    story.identify("6", &json!({"first_name": "John"}));
    assert_eq!(story.profile(Kind::User, "5").contact.first_name.as_deref(), Some("John"));
    assert_eq!(operator(&mut story, "unmerge", "user:5", "user:6"), 200);
    assert!(story.is_gone(Kind::User, "5"));
    assert_eq!(story.people().len(), 1);
}
#[test]
fn a_hundred_thousand_handles_of_one_person_hold_nobody_up() {
    use crate::world::{HOUR, World, anonymous, by, paid, user};
    let mut world = World::new();
    let browsers: Vec<_> = (0..100_000).map(|n| anonymous(&format!("a{n}"))).collect();
    for browsers in browsers.chunks(19) {
        let mut handles = vec![user("u1")];
        handles.extend(browsers.iter().cloned());
        world.send(&by(&handles, EventName::CustomerUpdated, 0));
    }
    let said = world.send(&paid(&[user("u1"), anonymous("a99999")], "o1", &["coffee"], HOUR));
    assert_eq!(said.len(), 1, "the person goes on as everybody else: {said:?}");
    world.restart();
    assert!(world.send(&paid(&[user("u2"), anonymous("a1")], "o2", &["coffee"], HOUR)).len() == 1);
}
