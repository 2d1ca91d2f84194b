//! Who is in which audience, also when nothing of theirs happens.

use commerce::person::Kind;
use http::Method;
use serde_json::{Value, json};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";

/// A shop with audiences of its own.
fn shop() -> Story {
    let audiences = json!([
        {"name": "gold_teams", "all": [{"attribute": "plan", "is": "gold"}, {"attribute": "seats", "at_least": "10"}]},
        {"name": "no_plan", "all": [{"attribute": "plan", "exists": false}]},
        {"name": "gold_buyers", "all": [{"attribute": "plan", "is": "gold"}, {"audience": "high_value_paid"}]},
    ]);
    Story::configured(|config| config.audiences = serde_json::from_value(audiences).unwrap())
}

fn push(story: &mut Story, id: &str, cents: i64, attributes: &Value) {
    story.sequenzy(&json!({"orderId": id, "totalCents": cents, "currency": "USD",
        "customer": {"email": JANE, "attributes": attributes}}));
}

#[test]
fn seq_08_custom_attributes_of_a_push_pick_out_an_audience() {
    let mut story = shop();
    let bought = ["frequent_90d", "high_value_paid"];
    for (id, cents, attributes, expected) in [
        ("o-1", 1_000, json!({}), &["no_plan"][..]),
        ("o-2", 1_000, json!({"plan": "gold"}), &[]),
        // Attributes are merged key by key.
        ("o-3", 1_000, json!({"seats": 12}), &["gold_teams"]),
        ("o-4", 60_000, json!({}), &[bought[0], "gold_buyers", "gold_teams", bought[1]]),
        ("o-5", 1_000, json!({"plan": "silver"}), &bought),
    ] {
        story.at(&format!("2026-03-14T16:0{}:00Z", &id[2..]));
        push(&mut story, id, cents, &attributes);
        assert_eq!(audiences(&story), expected, "{id}");
    }
}

#[test]
fn seq_08_an_audience_comes_out_the_same_in_whatever_order_its_attributes_arrive() {
    let said = [
        (
            "2026-03-14T16:00:00Z",
            json!({"email": JANE, "plan": "silver", "seats": 20, "_timestamp": 1_773_500_000}),
        ),
        ("2026-03-14T16:00:01Z", json!({"email": JANE, "plan": "gold", "_timestamp": 1_773_500_100})),
        ("2026-03-14T16:00:02Z", json!({"email": JANE, "seats": 5, "_timestamp": 1_773_400_000})),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut story = shop();
        for n in order {
            let (at, attributes) = &said[n];
            story.at(at).identify("5", attributes);
        }
        assert_eq!(story.profile(Kind::User, "5").audiences, ["gold_teams"], "{order:?}");
    }
}

fn append(story: &mut Story, id: &str, placed_at: &str, fields: Value) {
    let row = json!({"shopify_order_id": id, "customer_email": JANE, "total": 49.99, "currency": "USD",
        "financial_status": "paid", "placed_at": placed_at});
    story.at(placed_at).records("orders/append", id, &json!({"record": with(row, fields)}));
}

/// Something that somebody else does.
fn elsewhere(story: &mut Story, time: &str) {
    story.at(time).identify("somebody-else", &json!({"seen": time}));
}

fn audiences(story: &Story) -> Vec<&str> {
    story.profile(Kind::Email, JANE).audiences.iter().map(String::as_str).collect()
}

#[test]
fn rec_c15_four_orders_in_90_days_are_frequent_until_one_falls_out_without_a_further_event() {
    let mut story = Story::new();
    for (n, day) in ["01", "05", "10"].iter().enumerate() {
        append(&mut story, &format!("o-{n}"), &format!("2026-03-{day}T12:00:00Z"), json!({}));
    }
    assert!(audiences(&story).is_empty());
    append(&mut story, "o-3", "2026-03-20T12:00:00Z", json!({}));
    assert_eq!(audiences(&story), ["frequent_90d"]);
    elsewhere(&mut story, "2026-05-30T11:59:00Z");
    assert_eq!(audiences(&story), ["frequent_90d"]);
    elsewhere(&mut story, "2026-05-30T12:00:00Z");
    assert!(audiences(&story).is_empty());
}

#[test]
fn rec_c16_an_order_above_500_that_is_paid_is_of_high_value() {
    let time = "2026-03-01T12:00:00Z";
    for (fields, expected) in [
        (json!({"total": 500.01}), true),
        (json!({"total": 500.00}), false),
        (json!({"total": 500.01, "financial_status": "pending"}), false),
        (json!({"total": 500.01, "financial_status": "partially_refunded", "refund_total": 1.00}), false),
    ] {
        let mut story = Story::new();
        append(&mut story, "o-1", time, fields.clone());
        assert_eq!(audiences(&story).contains(&"high_value_paid"), expected, "{fields}");
    }
}

#[test]
fn rec_c17_a_refund_is_recent_for_30_days() {
    let mut story = Story::new();
    append(&mut story, "o-1", "2026-03-01T12:00:00Z", json!({}));
    let refunded = json!({"record": {"shopify_order_id": "o-1", "customer_email": JANE, "total": 49.99, "currency": "USD",
        "financial_status": "partially_refunded", "refund_total": 10.00, "placed_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-14T16:00:00Z"}});
    story.at("2026-03-14T16:00:00Z").records("orders/append", "r-1", &refunded);
    assert_eq!(audiences(&story), ["recent_refund_30d"]);
    elsewhere(&mut story, "2026-04-13T16:01:00Z");
    assert!(audiences(&story).is_empty());
}

#[test]
fn whoever_has_not_ordered_for_90_days_has_lapsed_until_the_next_order() {
    let mut story = Story::new();
    append(&mut story, "o-1", "2026-03-01T12:00:00Z", json!({}));
    elsewhere(&mut story, "2026-05-30T12:00:00Z");
    assert_eq!(audiences(&story), ["lapsed_90d"]);
    append(&mut story, "o-2", "2026-06-01T12:00:00Z", json!({}));
    assert!(audiences(&story).is_empty());
}

#[test]
fn an_event_dated_in_the_future_moves_nobody() {
    let mut story = Story::new();
    append(&mut story, "o-1", "2026-03-01T12:00:00Z", json!({}));
    story.track(Method::PUT, "x", &json!({"_timestamp": 4_070_908_800_i64}));
    assert!(audiences(&story).is_empty());
}

#[test]
fn whoever_becomes_somebody_else_or_is_forgotten_takes_their_dates_along() {
    let mut story = Story::new();
    append(&mut story, "o-1", "2026-03-01T12:00:00Z", json!({}));
    story.identify("5", &json!({"email": JANE}));
    elsewhere(&mut story, "2026-05-30T12:00:00Z");
    assert_eq!(audiences(&story), ["lapsed_90d"]);
    assert_eq!(story.people().len(), 2, "the forwarding record stays one");
    story.track(Method::DELETE, "5", &json!({}));
    elsewhere(&mut story, "2027-05-30T12:00:00Z");
    assert!(story.is_gone(Kind::User, "5") && story.is_gone(Kind::Email, JANE));
}
