//! People who ask to be forgotten or to be left alone.

use commerce::EventName;
use commerce::person::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";

fn order(fields: Value) -> Value {
    let order = json!({"id": 1001, "email": JANE, "created_at": "2026-03-14T13:00:00Z",
        "updated_at": "2026-03-14T13:00:00Z", "currency": "USD", "total_price": "30.49",
        "financial_status": "paid", "line_items": []});
    with(order, fields)
}

fn purchase() -> Value {
    json!({"event_type": "purchase", "transaction_id": "t-1", "revenue": 49.99, "currency": "USD", "user_id": "5"})
}

fn forget(story: &mut Story, id: &str) {
    story.track(Method::DELETE, id, &json!({}));
}

fn forget_user(story: &mut Story, id: &str) {
    let path = format!("/v1/api/analytics/user/{id}");
    assert_eq!(story.call((Method::DELETE, &path, None), &[("x-api-key", "sk_dev_demo")], ""), 200);
}

/// A person with an address, a shop order and attributes.
fn known() -> Story {
    let mut story = Story::new();
    story.identify("5", &json!({"email": JANE, "first_name": "Jane", "plan": "gold", "email_opt_in": true}));
    story.shopify("orders/create", &order(json!({})));
    assert_eq!(story.profile(Kind::User, "5").orders_count, 1);
    story
}

#[test]
fn a_person_who_is_deleted_leaves_their_orders_as_amounts_of_nobody() {
    let mut story = known();
    let person = story.id(Kind::User, "5");
    let said = story.facts.len();
    forget(&mut story, "5");
    assert!(story.people().is_empty());
    assert!(
        story.is_gone(Kind::User, "5") && story.is_gone(Kind::Email, JANE),
        "also where they were known before"
    );
    let view = story.order("1001");
    assert!(view.person_id.is_none() && view.counted && view.total.unwrap().minor == 3049);
    let facts: Vec<_> = story.facts[said..].iter().map(|fact| (fact.event, fact.person_id)).collect();
    let parted = (EventName::CustomerSeparated, Some(story.id(Kind::Email, JANE)));
    assert_eq!(facts, [(EventName::OrderUpdated, None), parted, (EventName::CustomerDeleted, Some(person))]);
    let moved = &story.facts[said];
    assert!(moved.flags.iter().any(|flag| flag == "person_erased") && !moved.trigger_eligible);
    assert_eq!(moved.before.as_ref().unwrap().person_id, Some(person));
    story.assert_chain("1001");
}

#[test]
fn whoever_comes_again_after_a_deletion_starts_anew() {
    let mut story = known();
    forget(&mut story, "5");
    story.at("2026-03-14T16:01:00Z").identify("5", &json!({"city": "Salem"}));
    let person = story.profile(Kind::User, "5");
    assert_eq!((person.orders_count, person.total_spent.minor), (0, 0));
    assert_eq!((person.attributes.len(), person.contact.email.as_deref()), (1, None));
    assert!(person.contact.first_name.is_none() && person.consent.is_empty());
    assert_eq!(person.contact.identifiers.len(), 1, "the address isn't theirs any more");
    // The order is nobody's, and an update that names nobody leaves it so.
    let update = json!({"email": null, "updated_at": "2026-03-14T15:00:00Z", "tags": "x"});
    story.shopify("orders/updated", &order(update));
    assert_eq!(story.order("1001").person_id, None);
    story.assert_chain("1001");
}

#[test]
fn what_arrived_before_a_deletion_brings_nobody_back_when_it_is_processed_late_or_once_more() {
    let mut door = Story::new();
    let authorization = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
    let track = |door: &mut Story, method: Method, path: &str, body: Value| {
        door.store((method, path, None), &[authorization], &body.to_string()).1.unwrap()
    };
    let person = "/api/v1/customers/5";
    let identify = track(&mut door, Method::PUT, person, json!({"email": JANE, "plan": "gold"}));
    let placed = door.shopify_store("orders/create", &order(json!({"customer": {"id": 7}})).to_string());
    let viewed = json!({"name": "product_viewed", "data": {"product_id": "p-1"}});
    let viewed = track(&mut door, Method::POST, &format!("{person}/events"), viewed);
    door.at("2026-03-14T16:01:00Z");
    let redact = json!({"customer": {"id": 7, "email": JANE}, "orders_to_redact": [1001]});
    let redact = door.shopify_store("customers/redact", &redact.to_string());
    let before = [identify, placed, viewed];

    let mut story = Story::new();
    before.iter().for_each(|stored| story.take(stored));
    story.take(&redact);
    assert!(story.people().is_empty());
    let (settled, facts) = (story.settled().0, story.facts.len());
    before.iter().for_each(|stored| story.take(stored));
    assert!(story.people().is_empty(), "a replay ends as it did");
    assert_eq!((story.settled().0, story.facts.len()), (settled.clone(), facts));
    story.take(&redact);
    assert!(story.people().is_empty());

    // The shop names the address alone; that the person of the API had it is known from an event that comes late.
    for places in [[0, 1, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1]] {
        let mut late = Story::new();
        late.take(&redact);
        places.iter().for_each(|place| late.take(&before[*place]));
        assert!(late.people().is_empty(), "{places:?}");
        assert_eq!(late.settled().0, settled, "the order is the same whenever it is processed");
        assert!(late.outcomes("customerio/filtered/erased") >= 1);
        late.assert_chain("1001");
    }
}

#[test]
fn ana_c25_a_deletion_makes_purchases_of_the_user_vanish_and_nothing_brings_them_back() {
    let mut door = Story::new();
    let line = || (Method::POST, "/v1/api/analytics/ecommerce/track", None);
    let stored = door.store(line(), &[("x-api-key", "sk_dev_demo")], &purchase().to_string()).1.unwrap();
    let mut story = Story::new();
    story.take(&stored);
    assert!(story.order("t-1").counted);
    story.at("2026-03-14T16:05:00Z");
    forget_user(&mut story, "5");
    assert!(!story.has_order("t-1") && story.people().is_empty() && story.is_gone(Kind::User, "5"));
    let last = story.facts.iter().rfind(|fact| fact.order_id.as_deref() == Some("t-1")).unwrap();
    let after = last.after.as_ref().unwrap();
    assert!(!after.counted && after.total.is_none() && after.person_id.is_none());
    assert!(last.flags.iter().any(|flag| flag == "person_erased"));
    assert_eq!(story.named(EventName::CustomerDeleted)[0].person_id, Some(story.id(Kind::User, "5")));
    story.assert_chain("t-1");
    // A replay doesn't restore it, repeating is harmless, and a new purchase starts a new history.
    story.take(&stored);
    assert!(!story.has_order("t-1") && story.people().is_empty());
    assert_eq!(story.outcomes("analytics/filtered/erased"), 1);
    forget_user(&mut story, "5");
    forget_user(&mut story, "nobody");
    story.at("2026-03-14T17:00:00Z").analytics(&purchase());
    assert!(story.order("t-1").counted);
    assert_eq!(story.profile(Kind::User, "5").orders_count, 1);
}

#[test]
fn an_order_that_a_platform_knows_too_stays_when_the_user_of_the_api_is_deleted() {
    let mut story = Story::new();
    story.analytics(&with(purchase(), json!({"transaction_id": "1001"})));
    story.shopify("orders/create", &order(json!({})));
    story.at("2026-03-14T16:05:00Z");
    forget_user(&mut story, "5");
    let view = story.order("1001");
    assert!(view.counted && view.total.unwrap().minor == 3049);
    assert_eq!(view.person_id, Some(story.id(Kind::Email, JANE)), "whom the shop names is somebody else");
    assert_eq!(view.sources, [commerce::Source::Shopify]);
    story.assert_chain("1001");
}

#[test]
fn somebody_else_with_the_same_address_stays_who_they_are() {
    let mut story = known();
    story.identify("6", &json!({"email": JANE, "first_name": "John"}));
    forget(&mut story, "5");
    let john = story.profile(Kind::User, "6");
    assert_eq!(john.contact.first_name.as_deref(), Some("John"));
    assert!(
        !john.flags.iter().any(|flag| flag == "identity_conflict"),
        "there is nobody left to be confused with"
    );
    assert_eq!(john.contact.identifiers.len(), 1);
    assert_eq!(story.people().len(), 1);
}

#[test]
fn whoever_is_barred_is_left_out_until_they_are_readmitted() {
    let mut story = Story::new();
    story.identify("5", &json!({"plan": "gold"}));
    story.track(Method::POST, "5/suppress", &json!({}));
    let (facts, profile) = (story.facts.len(), story.profile(Kind::User, "5").clone());
    story.identify("5", &json!({"plan": "silver"}));
    story.event("5", "order_paid", json!({"order_id": "o-1", "total": 10, "currency": "USD"}));
    assert_eq!(story.outcomes("customerio/filtered/suppressed"), 2);
    assert_eq!((story.facts.len(), story.profile(Kind::User, "5")), (facts, &profile));
    story.track(Method::POST, "5/unsuppress", &json!({}));
    story.at("2026-03-14T16:02:00Z").identify("5", &json!({"plan": "silver"}));
    assert_eq!(story.profile(Kind::User, "5").attributes["plan"], r#""silver""#);
    let named = |name| story.named(name).iter().map(|fact| fact.person_id).collect::<Vec<_>>();
    assert_eq!(named(EventName::CustomerSuppressed), [Some(story.id(Kind::User, "5"))]);
    assert_eq!(named(EventName::CustomerUnsuppressed), [Some(story.id(Kind::User, "5"))]);
}

#[test]
fn the_books_of_a_shop_go_on_without_whoever_is_barred() {
    let mut story = Story::new();
    story.track(Method::POST, "jane.doe%40example.com/suppress", &json!({}));
    story.shopify("orders/create", &order(json!({})));
    let view = story.order("1001");
    assert!(view.counted && view.person_id.is_none());
    assert!(story.people().is_empty());
}

/// The same order, as the backend tells of it.
fn told(door: &mut Story, email: &str) -> Stored {
    let query = Some("key=dev-backend-key&workspace=demo&source=shop&event_name=orders_create");
    let body = order(json!({"email": email})).to_string();
    let line = (Method::POST, "/transform-webhook-data", query);
    door.store(line, &[("content-type", "application/json")], &body).1.unwrap()
}

fn redacted(door: &mut Story, email: &str) -> Stored {
    let request = json!({"shop_domain": "demo-shop.myshopify.com", "customer": {"email": email}});
    door.shopify_store("customers/redact", &request.to_string())
}

#[test]
fn of_an_order_that_two_sources_tell_under_two_people_the_erasure_of_one_leaves_the_other() {
    const JOHN: &str = "john@example.com";
    for (erased, left) in [(JANE, JOHN), (JOHN, JANE)] {
        let mut door = Story::new();
        let deliveries =
            [door.shopify_store("orders/create", &order(json!({})).to_string()), told(&mut door, JOHN)];
        let [shop, backend] = deliveries;
        let gone = redacted(door.at("2026-03-14T17:00:00Z"), erased);
        let later = json!({"email": null, "updated_at": "2026-03-14T15:00:00Z", "tags": "late"}).to_string();
        let later = with(order(json!({})), serde_json::from_str(&later).unwrap());
        let update = door.at("2026-03-14T18:00:00Z").shopify_store("orders/updated", &later.to_string());
        let all = [shop, backend, gone, update];
        let mut ends = vec![];
        for places in
            [[0, 1, 2, 3], [1, 0, 2, 3], [0, 2, 1, 3], [2, 0, 1, 3], [1, 2, 0, 3], [2, 1, 3, 0], [3, 2, 1, 0]]
        {
            let mut story = Story::new();
            places.iter().for_each(|place| story.take(&all[*place]));
            assert_eq!(story.order("1001").person_id, Some(story.id(Kind::Email, left)), "{places:?}");
            assert_eq!(story.profile(Kind::Email, left).orders_count, 1, "{places:?}");
            assert!(story.find(Kind::Email, erased).is_none(), "{places:?}");
            story.assert_chain("1001");
            ends.push((story.settled().0, story.people().len()));
        }
        assert!(ends.iter().all(|end| *end == ends[0]));
    }
}

#[test]
fn whoever_had_an_order_before_another_address_was_told_has_it_again_when_that_is_erased() {
    let mut door = Story::new();
    let first = door.shopify_store("orders/create", &order(json!({})).to_string());
    let corrected = json!({"email": "a.typo@example.com", "updated_at": "2026-03-14T14:00:00Z"});
    let corrected = door.shopify_store("orders/updated", &order(corrected).to_string());
    let gone = redacted(door.at("2026-03-14T17:00:00Z"), "a.typo@example.com");
    let all = [first, corrected, gone];
    for places in [[0, 1, 2], [1, 0, 2], [0, 2, 1], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
        let mut story = Story::new();
        places.iter().for_each(|place| story.take(&all[*place]));
        assert_eq!(story.order("1001").person_id, Some(story.id(Kind::Email, JANE)), "{places:?}");
        assert_eq!(story.people().len(), 1, "{places:?}");
    }
}

#[test]
fn a_rate_that_comes_after_an_erasure_keeps_nobody_from_being_forgotten() {
    let mut door = Story::new();
    let authorization = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
    let mut track = |method: Method, path: &str, body: Value| {
        let path = format!("/api/v1/customers/{path}");
        door.store((method, &path, None), &[authorization], &body.to_string()).1.unwrap()
    };
    let data = json!({"order_id": "o-1", "total": 10, "currency": "EUR"});
    let bought = track(
        Method::POST,
        "5/events",
        json!({"name": "order_paid", "timestamp": 1_773_493_200, "data": data}),
    );
    let named = track(Method::PUT, "5", json!({"email": JANE}));
    let gone = redacted(door.at("2026-03-14T17:00:00Z"), JANE);
    let rates = |story: &mut Story| {
        story.at("2026-03-14T18:00:00Z").rates("USD", "2026-03-14T13", &[("EUR", "1.1")]);
    };
    let mut straight = Story::new();
    [&bought, &named, &gone].into_iter().for_each(|stored| straight.take(stored));
    rates(&mut straight);
    assert!(straight.people().is_empty());
    let mut late = Story::new();
    [&bought, &gone].into_iter().for_each(|stored| late.take(stored));
    rates(&mut late);
    assert_eq!(late.order("o-1").base.as_ref().unwrap().total.unwrap().minor, 1_100);
    late.take(&named);
    assert!(late.people().is_empty(), "the rate named nobody");
    assert_eq!(late.settled().0, straight.settled().0);
}
