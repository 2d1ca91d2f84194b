//! People who are identified, what they do, and who may say that an order is paid.

use commerce::EventName;
use commerce::person::Kind;
use serde_json::{Value, json};

use crate::fixture::*;

fn paid(fields: Value) -> Value {
    with(json!({"order_id": "1001", "total": 49.99, "currency": "USD"}), fields)
}

#[test]
fn cio_c05_three_order_paid_of_one_order_are_one_payment() {
    let mut story = Story::new();
    for id in ["01HB4HBDKTFWYZCK01DMRSWRFD", "01HB4HBDKTFWYZCK01DMRSWRFE", "01HB4HBDKTFWYZCK01DMRSWRFF"] {
        let body =
            json!({"name": "order_paid", "id": id, "data": paid(json!({})), "timestamp": 1_773_500_400});
        story.track(http::Method::POST, "5/events", &body);
    }
    assert_eq!(story.count(EventName::OrderPaid), 1);
    let person = story.profile(Kind::User, "5");
    assert_eq!((person.orders_count, person.total_spent.minor), (1, 4999));
}

#[test]
fn cio_c06_an_order_paid_without_an_order_is_a_dead_letter_and_no_revenue() {
    let mut story = Story::new();
    story.event("5", "order_paid", json!({"total": 49.99}));
    assert_eq!((story.letters.len(), story.facts.len()), (1, 0));
}

#[test]
fn cio_c08_the_profile_shows_the_order_right_after_the_payment() {
    let mut story = Story::new();
    story.identify("5", &json!({"email": "jane@example.com"}));
    assert_eq!(story.profile(Kind::User, "5").orders_count, 0);
    let body = json!({"name": "order_paid", "timestamp": 1_773_500_400, "data": paid(json!({}))});
    story.track(http::Method::POST, "5/events", &body);
    let person = story.profile(Kind::User, "5");
    assert_eq!((person.orders_count, person.lifetime_value.minor), (1, 4999));
    assert_eq!(person.last_order_at, Some(instant("2026-03-14T15:00:00Z")));
}

#[test]
fn cio_c10_an_address_in_the_path_is_the_person_who_has_it() {
    let mut story = Story::new();
    story.identify("5", &json!({"email": "jane@example.com"}));
    story.event("jane%40example.com", "order_paid", paid(json!({})));
    assert_eq!(story.people().len(), 1);
    assert_eq!(story.profile(Kind::User, "5").orders_count, 1);
}

#[test]
fn cio_c13_what_was_done_before_the_identify_belongs_to_the_person_and_counts_once() {
    let mut story = Story::new();
    let viewed = json!({"name": "product_viewed", "anonymous_id": "a-1", "data": {"product_id": "p-1"}});
    let authorization = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
    let line = (http::Method::POST, "/api/v1/events", None);
    assert_eq!(story.call(line, &[authorization], &viewed.to_string()), 200);
    assert!(story.people().is_empty(), "a browser alone is nobody yet");
    let before = story.named(EventName::ProductViewed)[0].person_id.unwrap();
    story.identify("5", &json!({"anonymous_id": "a-1"}));
    let merged = story.named(EventName::CustomerMerged);
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].from_person_id, Some(before));
    assert_eq!(merged[0].person_id, Some(story.id(Kind::User, "5")));
    assert_eq!(story.count(EventName::ProductViewed), 1);
    story.identify("5", &json!({"anonymous_id": "a-1"}));
    assert_eq!(story.count(EventName::CustomerMerged), 1);
}

#[test]
fn cio_c14_an_identify_with_somebody_elses_address_merges_nobody_and_is_flagged() {
    let mut story = Story::new();
    story.identify("5", &json!({"email": "jane@example.com", "first_name": "Jane"}));
    story.identify("6", &json!({"email": "jane@example.com", "first_name": "John"}));
    let (jane, john) = (story.profile(Kind::User, "5"), story.profile(Kind::User, "6"));
    assert_ne!(jane.person_id, john.person_id);
    assert_eq!(jane.contact.first_name.as_deref(), Some("Jane"));
    assert_eq!(story.count(EventName::CustomerMerged), 0);
    assert!([jane, john].iter().all(|person| person.flags.iter().any(|flag| flag == "identity_conflict")));
}

#[test]
fn cio_c17_a_staff_address_is_marked_and_counts_nowhere() {
    let mut story = Story::configured(|config| config.test_accounts = vec!["acme.example".to_owned()]);
    story.event("qa%40acme.example", "order_paid", paid(json!({})));
    assert!(!story.facts.is_empty() && story.facts.iter().all(|fact| fact.qa));
    assert!(!story.order("1001").counted);
}

#[test]
fn cio_c22_credentials_of_another_environment_never_change_production() {
    use sources::WorkspaceConfig;
    use sources::workspace::{CustomerioConfig, CustomerioCredential, Secret};
    let mut staging = WorkspaceConfig::new("demo-staging");
    staging.customerio = Some(CustomerioConfig {
        credentials: vec![CustomerioCredential {
            site_id: "staging".to_owned(),
            api_key: Secret::new("track-key-of-staging"),
        }],
        event_map: std::collections::BTreeMap::new(),
    });
    let mut story = Story::of([WorkspaceConfig::development(), staging]);
    story.identify("5", &json!({"plan": "a"}));
    // staging:track-key-of-staging
    let authorization = ("authorization", "Basic c3RhZ2luZzp0cmFjay1rZXktb2Ytc3RhZ2luZw==");
    let line = (http::Method::PUT, "/api/v1/customers/5", None);
    assert_eq!(story.call(line, &[authorization], &json!({"plan": "b"}).to_string()), 200);
    assert_eq!(story.profile(Kind::User, "5").attributes["plan"], r#""a""#);
    assert_eq!(story.people().len(), 2);
}

#[test]
fn cio_c23_what_another_source_owns_is_stored_and_neither_counts_nor_triggers() {
    let mut story = Story::configured(|config| {
        config.ownership.insert("order.paid".to_owned(), "customerio".to_owned());
        config.ownership.insert("product.viewed".to_owned(), "shopify".to_owned());
    });
    story.shopify(
        "orders/create",
        &json!({"id": 1001, "email": "jane@example.com", "created_at": "2026-03-14T13:00:00Z",
            "updated_at": "2026-03-14T13:00:00Z", "currency": "USD", "total_price": "49.99",
            "financial_status": "paid", "line_items": []}),
    );
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 0));
    assert!(!story.order("1001").counted);
    story.event("5", "product_viewed", json!({"product_id": "p-1"}));
    let viewed = story.named(EventName::ProductViewed)[0];
    assert!(viewed.flags.iter().any(|flag| flag == "shadow") && !viewed.trigger_eligible);
    assert_eq!(story.outcomes("customerio/shadow/"), 1);
    story.event("jane%40example.com", "order_paid", paid(json!({})));
    assert_eq!(story.count(EventName::OrderPaid), 1);
    assert!(story.order("1001").counted);
    assert_eq!(story.profile(Kind::Email, "jane@example.com").orders_count, 1);
}

#[test]
fn cio_c24_both_spellings_of_a_cancelled_subscription_are_one_fact() {
    let mut story = Story::new();
    for name in ["subscription_canceled", "subscription_cancelled"] {
        let body = json!({"name": name, "timestamp": 1_773_500_400, "data": {"subscription_id": "s-1"}});
        story.track(http::Method::POST, "5/events", &body);
    }
    assert_eq!(story.names(), ["subscription.cancelled"]);
}

#[test]
fn cio_c25_an_older_timestamp_does_not_overwrite_a_newer_attribute() {
    let mut story = Story::new();
    story.identify("5", &json!({"plan": "new", "_timestamp": 1_773_500_400}));
    story.identify("5", &json!({"plan": "old", "city": "Salem", "_timestamp": 1_773_400_000}));
    let attributes = &story.profile(Kind::User, "5").attributes;
    assert_eq!((attributes["plan"].as_str(), attributes["city"].as_str()), (r#""new""#, r#""Salem""#));
    assert_eq!(story.count(EventName::OrderPlaced), 0, "an attribute is no moment");
}
