//! The reports about what shoppers did: parameters, errors, shapes.

use commerce::event::Activity;
use commerce::{EventName, PersonId};

use super::*;
use crate::journey;

const BASE: &str = "/v1/api/analytics/ecommerce";

async fn refused(path: &str, sentence: &str) {
    let service = Service::new(OPEN);
    assert_eq!(service.get(&format!("{BASE}/{path}"), &[SECRET]).await, (400, error(sentence)), "{path}");
}

#[tokio::test]
async fn what_a_report_does_not_offer_is_answered_with_400_and_its_sentence() {
    for (path, sentence) in [
        ("attribution?model=first_click", "Invalid attribution model"),
        ("attribution?window=31", "Invalid attribution window"),
        ("attribution?model=x&window=y", "Invalid attribution model"),
        ("cohorts?months=0", "Invalid months"),
        ("cohorts?months=25", "Invalid months"),
        ("cohorts?months=x", "Invalid months"),
        ("cohorts?start=2026-03-02&end=2026-03-01", "Invalid date range"),
        ("user-journey", "user_id is required"),
        ("user-journey?user_id=", "user_id is required"),
        ("user-journey?user_id=u&days=0", "Invalid date range"),
        ("funnel?days=0", "Invalid date range"),
        ("cart-abandonment?days=x", "Invalid date range"),
        ("cohorts?source=shopify", "source is not supported yet"),
        ("funnel?ordered=true&window=31", "Invalid funnel window"),
    ] {
        refused(path, sentence).await;
    }
}

#[tokio::test]
async fn ana_c02_a_journey_is_for_a_secret_key() {
    let service = Service::new(OPEN);
    let path = format!("{BASE}/user-journey?user_id=u");
    assert_eq!(service.get(&path, &[]).await, (401, error("Invalid API key")));
    let publishable = [("x-api-key", "pk_dev_demo")];
    assert_eq!(service.get(&path, &publishable).await, (403, error("Secret key required")));
    assert_eq!(service.json(&path).await, json!({"events": [], "user_id": "u"}));
}

#[tokio::test]
async fn defaults_are_last_click_thirty_days_and_six_months() {
    let service = Service::new(OPEN);
    let attribution = service.json(&format!("{BASE}/attribution")).await;
    assert_eq!((&attribution["model"], &attribution["window_days"]), (&json!("last_click"), &json!(30)));
    assert_eq!(attribution["unattributed"], json!({"revenue": 0.0, "orders": 0}));
    let asked = service.json(&format!("{BASE}/attribution?model=time_decay&window=7")).await;
    assert_eq!((&asked["model"], &asked["window_days"]), (&json!("time_decay"), &json!(7)));
    let cohorts = service.json(&format!("{BASE}/cohorts")).await;
    assert_eq!((&cohorts["cohorts"], &cohorts["total_purchasing_users"]), (&json!([]), &json!(0)));
}

#[tokio::test]
async fn every_identifier_of_a_person_finds_the_journey_of_the_range() {
    let mut service = Service::new(OPEN);
    let second = |text: &str| commerce::time::parse_iso(text).unwrap().at.0 / commerce::time::SECOND;
    for (event, id, at) in [
        (EventName::CartViewed, "b", "2026-03-15T11:00:00Z"),
        (EventName::ProductViewed, "a", "2026-03-14T11:00:00Z"),
        (EventName::ProductViewed, "old", "2026-01-01T11:00:00Z"),
    ] {
        let mut fact = journey::tests::fact(event, id, 7, second(at));
        fact.activity = Some(Activity { cart_id: Some("c".to_owned()), ..Activity::default() });
        service.working.fact(&fact).unwrap();
    }
    service.publish();
    let person = PersonId(7).to_string();
    for id in ["jane%2B1%40example.com", &person] {
        let answer = service.json(&format!("{BASE}/user-journey?user_id={id}")).await;
        assert_eq!(
            answer["events"],
            json!([
                {"event_type": "view_item", "timestamp": "2026-03-14T11:00:00Z", "cart_id": "c"},
                {"event_type": "view_cart", "timestamp": "2026-03-15T11:00:00Z", "cart_id": "c"},
            ]),
            "{id}"
        );
    }
    let today = service.json(&format!("{BASE}/user-journey?user_id={person}&days=1")).await;
    assert_eq!(today["events"].as_array().unwrap().len(), 1);
}
