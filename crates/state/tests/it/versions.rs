//! What a delivery states, whatever its content.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::EventName;
use commerce::person::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";
const CORRECTED: &str = "same_version_new_content";

fn order(total: &str, fields: Value) -> Value {
    let order = json!({"id": 1001, "email": JANE, "created_at": "2026-03-14T13:00:00Z",
        "updated_at": "2026-03-14T13:05:00Z", "currency": "USD", "total_price": total, "financial_status": "paid",
        "line_items": []});
    with(order, fields)
}

/// A webhook with the ids of its delivery and of the event behind it.
fn told(door: &mut Story, topic: &str, (webhook, event): (&str, &str), body: &Value) -> Stored {
    let (body, path) = (body.to_string(), format!("/webhooks/shopify/{topic}"));
    let signature = STANDARD.encode(sign("dev-shopify-secret", body.as_bytes()));
    let headers = [
        ("x-shopify-hmac-sha256", signature.as_str()),
        ("x-shopify-webhook-id", webhook),
        ("x-shopify-event-id", event),
    ];
    door.store((Method::POST, &path, None), &headers, &body).1.unwrap()
}

fn tell(story: &mut Story, topic: &str, ids: (&str, &str), body: &Value) {
    let stored = told(story, topic, ids, body);
    story.take(&stored);
}

/// How many facts have the flag.
fn corrections(story: &Story) -> usize {
    story.facts.iter().filter(|fact| fact.flags.iter().any(|flag| flag == CORRECTED)).count()
}

fn total(story: &Story) -> i64 {
    story.order("1001").total.unwrap().minor
}

#[test]
fn r9_one_shop_topic_and_event_id_are_one_fact_though_another_subscription_words_it_otherwise() {
    let mut story = Story::new();
    tell(&mut story, "orders/updated", ("w-1", "e-1"), &order("30.49", json!({})));
    let before = story.facts.len();
    // The other version of the API has a note in it that no figure reads, and one that is kept.
    tell(&mut story, "orders/updated", ("w-2", "e-1"), &order("30.49", json!({"location_id": 7})));
    assert_eq!(story.facts.len(), before);
    assert_eq!(story.outcomes("shopify/duplicate/semantic"), 1);
    // Without the id, or under another one, the same words are one fact by their content.
    tell(&mut story, "orders/updated", ("w-3", "e-2"), &order("30.49", json!({})));
    assert_eq!((story.facts.len(), story.outcomes("shopify/duplicate/semantic")), (before, 2));
}

#[test]
fn r9_an_event_id_says_nothing_across_topics_and_orders() {
    let mut story = Story::new();
    tell(&mut story, "orders/create", ("w-1", "e-1"), &order("30.49", json!({})));
    let cancelled = json!({"cancelled_at": "2026-03-14T13:05:00Z"});
    tell(&mut story, "orders/cancelled", ("w-2", "e-1"), &order("30.49", cancelled));
    tell(&mut story, "orders/create", ("w-3", "e-1"), &order("5.00", json!({"id": 1002})));
    assert_eq!(story.count(EventName::OrderCancelled), 1);
    assert_eq!(story.order("1002").total.unwrap().minor, 500);
    assert_eq!(story.outcomes("shopify/duplicate/semantic"), 0);
}

#[test]
fn r9_an_unsigned_event_id_takes_no_money_away() {
    let mut story = Story::new();
    tell(&mut story, "orders/updated", ("w-1", "e-1"), &order("30.49", json!({})));
    let refund = json!({"updated_at": "2026-03-14T13:06:00Z", "refunds": [{"id": 5,
        "transactions": [{"id": 6, "amount": "10.00", "kind": "refund", "status": "success"}]}]});
    tell(&mut story, "orders/updated", ("w-2", "e-1"), &order("30.49", refund));
    assert_eq!(story.count(EventName::OrderRefunded), 1);
    assert_eq!(story.order("1001").refunded_total.unwrap().minor, 1000);
    story.assert_chain("1001");
}

#[test]
fn r9_a_customer_that_two_subscriptions_tell_of_is_one_fact() {
    let mut story = Story::new();
    let customer =
        |fields| with(json!({"id": 7, "email": JANE, "updated_at": "2026-03-14T13:05:00Z"}), fields);
    tell(&mut story, "customers/update", ("w-1", "e-1"), &customer(json!({})));
    tell(&mut story, "customers/update", ("w-2", "e-1"), &customer(json!({"tags": "vip"})));
    assert_eq!(story.count(EventName::CustomerUpdated), 1);
    tell(&mut story, "customers/update", ("w-3", "e-2"), &customer(json!({"tags": "vip"})));
    assert_eq!(story.count(EventName::CustomerUpdated), 2);
    assert_eq!(story.profile(Kind::Email, JANE).tags, ["vip"]);
}

#[test]
fn life_6_4_another_body_of_one_version_is_the_newer_one_and_is_marked() {
    for totals in [["30.49", "12.00", "99.00"], ["99.00", "12.00", "30.49"]] {
        let mut story = Story::new();
        story.lifesight("orders_create", &order("30.49", json!({})));
        for (minute, total) in totals.into_iter().enumerate() {
            story.at(&format!("2026-03-14T16:{:02}:00Z", minute + 1));
            story.lifesight("orders_updated", &order(total, json!({})));
        }
        let last: String = totals[2].chars().filter(char::is_ascii_digit).collect();
        assert_eq!(total(&story), last.parse::<i64>().unwrap());
        assert_eq!(corrections(&story), 2, "{:?}", story.names());
        assert_eq!(story.profile(Kind::Email, JANE).total_spent.minor, total(&story));
        // What was corrected and comes again is a repetition, and corrects nothing.
        story.at("2026-03-14T17:00:00Z").lifesight("orders_updated", &order(totals[1], json!({})));
        assert_eq!(total(&story), last.parse::<i64>().unwrap());
        assert_eq!((corrections(&story), story.outcomes("lifesight/duplicate/transport")), (2, 1));
        story.assert_chain("1001");
    }
}

#[test]
fn life_6_4_what_was_corrected_stays_so_in_whatever_order_it_is_processed() {
    let stored = bodies("orders_updated", &[(1, "30.49"), (2, "12.00"), (3, "30.49")], |total| {
        order(total, json!({}))
    });
    let others: Vec<Value> = (10..30)
        .map(|second| order("5.00", json!({"updated_at": format!("2026-03-14T13:04:{second}Z")})))
        .collect();
    // The third repeats what was corrected.
    for places in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        for between in [&[][..], &others] {
            let mut story = Story::new();
            for place in places {
                story.take(&stored[place]);
                between.iter().for_each(|other| {
                    story.lifesight("orders_updated", other);
                });
            }
            assert_eq!(total(&story), 1_200, "{places:?}, {} between", between.len());
            let facts = story.facts.len();
            stored.iter().for_each(|again| story.take(again));
            assert_eq!((total(&story), story.facts.len()), (1_200, facts), "{places:?}");
            assert_eq!(story.profile(Kind::Email, JANE).total_spent.minor, 1_200);
            story.assert_chain("1001");
        }
    }
}

/// Bodies that arrived at those tenths of a second, each with its text in it.
fn bodies(event: &str, texts: &[(u32, &str)], body: impl Fn(&str) -> Value) -> Vec<Stored> {
    let mut door = Story::new();
    let line = format!("key=dev-backend-key&workspace=demo&source=shop&event_name={event}");
    let store = |(tenth, text): &(u32, &str)| {
        let request = (Method::POST, "/transform-webhook-data", Some(line.as_str()));
        let body = body(text).to_string();
        door.at(&format!("2026-03-14T16:00:00.{tenth}Z")).store(request, &[], &body).1.unwrap()
    };
    texts.iter().map(store).collect()
}

#[test]
fn life_6_4_of_corrections_of_a_customer_within_a_second_the_last_arrival_counts_in_any_order() {
    let customer = |name: &str| json!({"id": 7, "email": JANE, "first_name": name, "updated_at": "2026-03-14T13:05:00Z"});
    for names in [["Janette", "Anna", "Jane"], ["Jane", "Janette", "Anna"]] {
        let stored = bodies("customers_update", &[(1, names[0]), (2, names[1]), (3, names[2])], customer);
        for places in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut story = Story::new();
            places.iter().for_each(|place| story.take(&stored[*place]));
            let known = story.profile(Kind::Email, JANE).contact.first_name.clone();
            assert_eq!(known.as_deref(), Some(names[2]), "{places:?}");
            assert_eq!(corrections(&story), 2);
        }
    }
}

#[test]
fn life_6_4_a_version_of_its_own_a_repetition_and_another_event_name_are_no_corrections() {
    let mut story = Story::new();
    story.lifesight("orders_updated", &order("30.49", json!({})));
    story.lifesight("orders_updated", &order("30.49", json!({})));
    // The same instant in another offset is the same version, of the same content.
    story.lifesight("orders_updated", &order("30.49", json!({"updated_at": "2026-03-14T09:05:00-04:00"})));
    story.lifesight("orders_updated", &order("31.00", json!({"updated_at": "2026-03-14T13:06:00Z"})));
    story.lifesight("orders_fulfilled", &order("31.00", json!({"updated_at": "2026-03-14T13:06:00Z"})));
    assert_eq!(corrections(&story), 0);
    assert_eq!(total(&story), 3_100);
}

#[test]
fn life_6_4_customers_and_checkouts_are_corrected_too() {
    let mut story = Story::new();
    let customer = |name: &str| json!({"id": 7, "email": JANE, "first_name": name, "updated_at": "2026-03-14T13:05:00Z"});
    for (minute, name) in [(1, "Janette"), (2, "Anna"), (3, "Jane")] {
        story.at(&format!("2026-03-14T16:{minute:02}:00Z")).lifesight("customers_update", &customer(name));
    }
    assert_eq!(story.profile(Kind::Email, JANE).contact.first_name.as_deref(), Some("Jane"));
    assert_eq!(corrections(&story), 2);
    let checkout = |total: &str| {
        json!({"id": 55, "email": JANE, "currency": "USD", "total_price": total, "line_items": [],
            "created_at": "2026-03-14T13:00:00Z", "updated_at": "2026-03-14T13:05:00Z"})
    };
    story.lifesight("checkouts_update", &checkout("10.00"));
    story.lifesight("checkouts_update", &checkout("20.00"));
    assert_eq!((corrections(&story), story.count(EventName::CheckoutUpdated)), (3, 2));
}

#[test]
fn r9_one_event_id_with_three_orders_of_one_customer_brings_all_that_is_said_of_them() {
    let mut story = Story::new();
    for (number, spent, minor) in [(1, "10.00", 1_000), (2, "30.00", 3_000), (3, "60.00", 6_000)] {
        let customer = json!({"id": 7, "email": JANE, "total_spent": spent, "orders_count": number,
            "updated_at": format!("2026-03-14T13:0{number}:00Z")});
        let fields = json!({"id": 1000 + number, "customer": customer,
            "updated_at": format!("2026-03-14T13:0{number}:00Z")});
        tell(&mut story, "orders/updated", (&format!("w-{number}"), "e-1"), &order("30.49", fields));
        let jane = story.profile(Kind::Email, JANE);
        let reported = &jane.reported;
        let told = (reported.orders_count, reported.total_spent.unwrap().minor);
        assert_eq!(told, (Some(number), minor), "under {number}");
    }
}
