//! Orders of a shop and of its backend.

use commerce::EventName;
use commerce::event::{Channel, ConsentState};
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";

/// The smallest order that Shopify could send.
fn order(fields: Value) -> Value {
    let order = json!({
        "id": 1001,
        "email": JANE,
        "created_at": "2026-03-14T09:00:00-04:00",
        "updated_at": "2026-03-14T09:05:00-04:00",
        "currency": "USD",
        "total_price": "30.49",
        "financial_status": "pending",
        "fulfillment_status": null,
        "line_items": [{"product_id": 1, "variant_id": 2, "title": "Shirt", "quantity": 1, "price": "23.49"}],
        "refunds": [],
    });
    with(order, fields)
}

fn paid(fields: Value) -> Value {
    order(with(json!({"financial_status": "paid"}), fields))
}

fn updated(minute: u32, fields: Value) -> Value {
    paid(with(json!({"updated_at": format!("2026-03-14T14:{minute:02}:00Z")}), fields))
}

/// Count, gross and net of Jane in minor units.
fn totals(story: &Story) -> (i64, i64, i64) {
    let jane = story.profile(Kind::Email, JANE);
    (jane.orders_count, jane.total_spent.minor, jane.lifetime_value.minor)
}

#[test]
fn shop_c05_ten_equal_deliveries_are_one_order_and_nine_duplicates() {
    let mut story = Story::new();
    for _ in 0..10 {
        story.shopify("orders/create", &paid(json!({})));
    }
    assert_eq!(story.names(), ["order.placed", "order.paid"]);
    assert_eq!(totals(&story), (1, 3049, 3049));
    assert_eq!(story.outcomes("shopify/duplicate/transport"), 9);
}

#[test]
fn shop_c10_an_order_of_nobody_counts_and_makes_no_profile() {
    let mut story = Story::new();
    story.shopify("orders/create", &paid(json!({"email": null})));
    assert_eq!(story.names(), ["order.placed", "order.paid"]);
    let order = story.order("1001");
    assert!(order.counted && order.person_id.is_none() && order.total.unwrap().minor == 3049);
    assert!(story.people().is_empty() && story.letters.is_empty());
}

#[test]
fn shop_c14_a_cancellation_is_one_fact_that_lowers_the_lifetime_value_and_not_the_gross() {
    let mut story = Story::new();
    story.shopify("orders/create", &paid(json!({})));
    assert_eq!(totals(&story), (1, 3049, 3049));
    let cancelled = json!({"cancelled_at": "2026-03-14T14:02:00Z"});
    story.shopify("orders/updated", &updated(2, cancelled.clone()));
    story.shopify("orders/updated", &updated(3, with(cancelled, json!({"tags": "x"}))));
    let facts = story.named(EventName::OrderCancelled);
    assert_eq!((facts.len(), facts[0].occurred_at), (1, instant("2026-03-14T14:02:00Z")));
    assert_eq!(totals(&story), (1, 3049, 0));
    story.assert_chain("1001");
}

#[test]
fn shop_c22_a_try_that_was_stored_without_an_answer_and_its_retry_are_counted_once() {
    let mut story = Story::new();
    let body = paid(json!({})).to_string();
    // The broker kept the first one, though the gateway could not tell and answered 503.
    let first = story.shopify_store("orders/create", &body);
    let retry = story.at("2026-03-14T16:10:00Z").shopify_store("orders/create", &body);
    for both in [[&first, &retry], [&retry, &first]] {
        let mut story = Story::new();
        both.into_iter().for_each(|stored| story.take(stored));
        assert_eq!(story.names(), ["order.placed", "order.paid"]);
        assert_eq!(totals(&story), (1, 3049, 3049));
        assert_eq!(story.outcomes("shopify/duplicate/transport"), 1);
    }
}

#[test]
fn shop_c16_every_order_of_the_deliveries_ends_in_the_same_order_and_profile() {
    let mut door = Story::new();
    let refund =
        json!([{"id": 1, "created_at": "2026-03-14T14:02:00Z", "transactions": [{"amount": "5.00"}]}]);
    let customer = |count: u32| json!({"id": 7, "orders_count": count, "total_spent": "250.00"});
    let deliveries: Vec<Stored> = [
        ("orders/create", order(json!({"customer": customer(4)}))),
        ("orders/updated", updated(1, json!({"customer": customer(5), "phone": "+12025550100"}))),
        ("orders/updated", updated(2, json!({"financial_status": "partially_refunded", "refunds": refund}))),
        (
            "orders/updated",
            updated(3, json!({"financial_status": "refunded", "refunds": refund, "cancelled_at": "2026-03-14T14:03:00Z"})),
        ),
    ]
    .into_iter()
    .map(|(topic, body)| door.shopify_store(topic, &body.to_string()))
    .collect();
    let mut expected = None;
    for places in permutations(deliveries.len()) {
        let mut story = Story::new();
        for place in &places {
            story.take(&deliveries[*place]);
        }
        story.assert_chain("1001");
        for once in [EventName::OrderPlaced, EventName::OrderPaid, EventName::OrderCancelled] {
            assert_eq!(story.count(once), 1, "{places:?} {once}");
        }
        let (orders, profiles) = story.settled();
        let settled = format!("{orders:?} {profiles:?}");
        assert_eq!(expected.get_or_insert_with(|| settled.clone()), &settled, "{places:?}");
    }
}

#[test]
fn who_becomes_known_after_being_linked_is_forwarded_however_the_transactions_are_cut() {
    let mut door = Story::new();
    let both = order(json!({"customer": {"id": 7, "email": JANE}}));
    let alone = |id: u32, further: Value| {
        let mut body = order(json!({"id": id, "order_number": id, "name": id.to_string()}));
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        body
    };
    let bodies = [
        both,
        alone(2002, json!({"email": null, "customer": {"id": 7}})),
        alone(2003, json!({"email": JANE, "customer": null})),
    ];
    let stored: Vec<Stored> =
        bodies.iter().map(|body| door.shopify_store("orders/create", &body.to_string())).collect();
    let mut expected = None;
    for cuts in 0..1 << stored.len() {
        let mut story = Story::new();
        for (place, one) in stored.iter().enumerate() {
            story.process(one);
            if cuts >> place & 1 == 1 {
                story.commit();
            }
        }
        story.commit();
        let forwarded = story.settled().1.into_iter().filter_map(|(_, profile)| profile?.merged_into).count();
        assert_eq!(forwarded, 1, "{cuts:b}");
        let settled = format!("{:?}", story.settled());
        assert_eq!(expected.get_or_insert_with(|| settled.clone()), &settled, "{cuts:b}");
    }
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else { return vec![vec![]] };
    let shorter = permutations(last);
    let insert = |rest: &Vec<usize>, at: usize| [&rest[..at], &[last], &rest[at..]].concat();
    shorter.iter().flat_map(|rest| (0..n).map(move |at| insert(rest, at))).collect()
}

#[test]
fn shop_c17_a_customer_without_totals_leaves_the_stored_ones_as_they_are() {
    let mut story = Story::new();
    let totals = json!({"customer": {"id": 7, "orders_count": 5, "total_spent": "250.00"}});
    story.shopify("orders/create", &order(totals));
    let before = story.profile(Kind::Email, JANE).clone();
    assert_eq!((before.orders_count, before.total_spent.minor), (5, 25_000));
    story.shopify(
        "orders/updated",
        &updated(3, json!({"financial_status": "pending", "customer": {"id": 7}})),
    );
    let after = story.profile(Kind::Email, JANE);
    assert_eq!((after.orders_count, after.total_spent), (5, before.total_spent));
    assert_eq!(after.reported, before.reported);
}

#[test]
fn shop_c18_the_shops_totals_are_published_and_an_older_delivery_does_not_set_them_back() {
    let mut story = Story::new();
    let report =
        |count: u32, spent: &str| json!({"customer": {"id": 7, "orders_count": count, "total_spent": spent}});
    story.shopify("orders/updated", &updated(5, report(5, "250.00")));
    let published = |story: &Story| {
        let jane = story.profile(Kind::Email, JANE);
        (jane.orders_count, jane.total_spent.minor)
    };
    assert_eq!(published(&story), (5, 25_000));
    story.shopify("orders/updated", &updated(4, report(4, "200.00")));
    assert_eq!(published(&story), (5, 25_000));
    assert_eq!(story.profile(Kind::Email, JANE).last_order_at, Some(instant("2026-03-14T13:00:00Z")));
}

#[test]
fn shop_08_names_and_phone_of_the_customer_are_on_the_profile() {
    let mut story = Story::new();
    let customer = json!({"id": 7, "first_name": "Jane", "last_name": "Doe", "phone": "(202) 555-0100",
        "default_address": {"country_code": "US"}});
    story.shopify("orders/create", &order(json!({"customer": customer})));
    let contact = &story.profile(Kind::Email, JANE).contact;
    assert_eq!((contact.first_name.as_deref(), contact.last_name.as_deref()), (Some("Jane"), Some("Doe")));
    assert_eq!(contact.email.as_deref(), Some(JANE));
    let phone = contact.identifiers.iter().find(|identifier| identifier.kind == Kind::Phone);
    assert_eq!(phone.unwrap().value, "+12025550100");
}

#[test]
fn shop_c20_a_test_order_is_on_the_streams_and_counts_for_nobody() {
    let mut story = Story::new();
    story.shopify("orders/create", &paid(json!({"test": true})));
    assert_eq!(story.names(), ["order.placed", "order.paid"]);
    assert!(story.facts.iter().all(|fact| fact.qa));
    assert!(!story.order("1001").counted);
    let jane = story.find(Kind::Email, JANE);
    assert!(jane.is_none_or(|jane| jane.orders_count == 0 && jane.total_spent.minor == 0));
}

#[test]
fn shop_c21_a_signed_body_that_is_no_json_is_one_dead_letter_and_no_fact() {
    let mut story = Story::new();
    let stored = story.shopify_store("orders/create", "not json");
    story.take(&stored);
    let reasons: Vec<&str> = story.letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!((reasons, story.facts.len()), (vec!["malformed_json"], 0));
    assert_eq!(story.letters[0].body, b"not json");
}

#[test]
fn life_c12_the_same_body_twice_is_one_event_and_another_event_name_is_another() {
    let mut story = Story::new();
    let body = order(json!({}));
    story.lifesight("orders_create", &body);
    story.lifesight("orders_create", &body);
    assert_eq!(story.names(), ["order.placed"]);
    story.lifesight("orders_updated", &body);
    assert_eq!(story.count(EventName::OrderPlaced), 1);
    assert_eq!(story.outcomes("lifesight/duplicate/transport"), 1);
}

fn customer(fields: Value) -> Value {
    let customer = json!({"id": 7, "email": JANE, "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-03-14T15:00:00Z"});
    with(customer, fields)
}

#[test]
fn life_c18_the_totals_of_a_customer_are_published_and_a_zero_too_where_nothing_was_counted() {
    let mut story = Story::new();
    let none = json!({"updated_at": "2026-03-14T14:00:00Z", "orders_count": 0, "total_spent": "0.00"});
    story.lifesight("customers_update", &customer(none));
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!((jane.reported.orders_count, jane.reported.total_spent.unwrap().minor), (Some(0), 0));
    assert_eq!((jane.orders_count, jane.flags.len()), (0, 0));
    let three = json!({"orders_count": 3, "total_spent": "99.00"});
    story.lifesight("customers_update", &customer(three));
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!((jane.reported.orders_count, jane.reported.total_spent.unwrap().minor), (Some(3), 9900));
    assert_eq!((jane.orders_count, jane.total_spent.minor), (3, 9900));
}

#[test]
fn life_c19_a_consent_is_on_the_profile_with_its_level() {
    let mut story = Story::new();
    let consent = json!({"state": "not_subscribed", "opt_in_level": "single_opt_in"});
    story.lifesight("customers_update", &customer(json!({"email_marketing_consent": consent})));
    let jane = story.profile(Kind::Email, JANE);
    let email = jane.consent.iter().find(|consent| consent.channel == Channel::Email).unwrap();
    assert_eq!(
        (email.state, email.opt_in_level.as_deref()),
        (ConsentState::NotSubscribed, Some("single_opt_in"))
    );
}
