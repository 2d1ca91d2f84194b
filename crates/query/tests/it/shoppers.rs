//! What shoppers did, from facts to answers: through the aggregator's own processor and the service's working copy and
//! routes, without Kafka.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aggregator::{Aggregator, PLAN};
use axum::body::{Body, to_bytes};
use commerce::event::{Activity, Campaign, Origin};
use commerce::order::View;
use commerce::time::{SECOND, parse_iso};
use commerce::{Currency, EventName, EventTime, Fact, Money, PersonId, ReceivedTime, Source, WorkspaceId};
use http::Request;
use query::http::{Access, App, router};
use query::pipeline::services::Services;
use query::snapshot::{Published, Working};
use query::tenants::{KeyKind, Tenant, Tenants};
use serde_json::{Value, json};
use service::stage::{Parts, harness};
use service::{Metrics, Shutdown};
use sources::{WorkspaceConfig, Workspaces};
use stream::Record;
use topics::{Schemas, Topic};
use tower::ServiceExt;

const NOON: &str = "2026-03-15T12:00:00Z";

fn at(text: &str) -> EventTime {
    parse_iso(text).unwrap().at
}

/// Something that a person did, `minutes` after noon.
fn does(event: EventName, person: u128, minutes: i64, activity: Activity) -> Fact {
    let time = at(NOON).0 + minutes * 60 * SECOND;
    Fact {
        event_id: format!("{event} {person} {minutes}"),
        event,
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source: Source::Analytics,
        source_space: String::new(),
        source_event: String::new(),
        occurred_at: EventTime(time),
        received_at: ReceivedTime(time),
        entity_type: String::new(),
        entity_id: String::new(),
        order_id: None,
        person_id: Some(PersonId(person)),
        before: None,
        after: None,
        refund: None,
        activity: Some(activity),
        group: None,
        payment: None,
        subscription: None,
        properties: BTreeMap::new(),
        flags: Vec::new(),
        origin: Origin::live(),
        trigger_eligible: true,
        qa: false,
        fraud: None,
        from_person_id: None,
    }
}

fn spring() -> Option<Campaign> {
    let text = |text: &str| Some(text.to_owned());
    Some(Campaign {
        campaign: text("spring"),
        source: text("mail"),
        medium: text("email"),
        ..Campaign::default()
    })
}

fn from_spring() -> Activity {
    Activity { campaign: spring(), ..Activity::default() }
}

fn cart(id: &str, minor: i64) -> Activity {
    let value = Some(Money::new(minor, Currency::USD));
    Activity { cart_id: Some(id.to_owned()), value, ..Activity::default() }
}

fn bought(person: u128, order: &str, minor: i64, minutes: i64, carts: &[&str]) -> Fact {
    let fact = does(EventName::OrderPaid, person, minutes, Activity::default());
    let view = View {
        id: order.to_owned(),
        source: Some(Source::Analytics),
        person_id: Some(PersonId(person)),
        counted: true,
        counted_at: Some(fact.occurred_at),
        total: Some(Money::new(minor, Currency::USD)),
        campaign: spring(),
        carts: carts.iter().map(|cart| (*cart).to_owned()).collect(),
        ..View::default()
    };
    Fact { activity: None, order_id: Some(order.to_owned()), after: Some(view), ..fact }
}

/// The routes of a service that has read what the facts made.
pub(crate) fn service(facts: &[Fact]) -> axum::Router {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    let parts = Parts { workspaces: Arc::new(workspaces), schemas: Schemas::offline(), event_partitions: 1 };
    let mut stage = harness(&PLAN, Aggregator::new(&parts, Duration::ZERO).unwrap());
    let encoder = parts.schemas.encoder(Topic::Facts).unwrap();
    let mut decoder = parts.schemas.decoder();
    let (published, mut working) = (Arc::new(Published::default()), Working::default());
    if let Some(order) = facts.iter().find_map(|fact| fact.after.as_ref()) {
        working.order(format!("demo:{}", order.id).as_bytes(), Some(order)).unwrap();
    }
    for fact in facts {
        let mut bytes = Vec::new();
        encoder.encode(fact, &mut bytes).unwrap();
        stage.process(&Record::new(Topic::Facts.name(), 0, 0, b"demo", &bytes)).unwrap();
        working.fact(&decoder.decode(&bytes).unwrap()).unwrap();
        for (_, _, key, value) in stage.commit(0).unwrap() {
            let metric = value.map(|value| decoder.decode(&value).unwrap());
            working.metric(&key, metric.as_ref()).unwrap();
        }
    }
    working.publish(&published);
    let mut tenants = Tenants::default();
    let tenant = Tenant {
        id: WorkspaceId::try_new("demo").unwrap(),
        base: Currency::USD,
        zone: commerce::time::Zone::utc(),
        retention_days: None,
    };
    tenants.add(tenant, [(KeyKind::Secret, "sk")]).unwrap();
    let now = || at("2026-03-15T18:00:00Z");
    let metrics = Metrics::new("shoppers").unwrap();
    let services = Services::new(metrics.clone(), vec![]).unwrap();
    let app = App::new(tenants, published, Access::Key, now, Shutdown::new(), metrics);
    router(Arc::new(app.watching(services)))
}

async fn ask(service: &axum::Router, path: &str) -> Value {
    let uri = format!("/v1/api/analytics/ecommerce/{path}");
    let request = Request::builder().uri(uri).header("x-api-key", "sk").body(Body::empty()).unwrap();
    let response = service.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
}

pub(crate) fn story() -> Vec<Fact> {
    vec![
        does(EventName::ProductViewed, 1, 0, from_spring()),
        does(EventName::ProductViewed, 1, 1, Activity::default()),
        does(EventName::ProductViewed, 2, 2, from_spring()),
        does(EventName::ProductViewed, 3, 3, Activity::default()),
        does(EventName::ProductViewed, 4, 4, Activity::default()),
        does(EventName::CartItemAdded, 1, 5, cart("c1", 0)),
        does(EventName::CheckoutStarted, 1, 6, cart("c1", 5_000)),
        does(EventName::CartItemAdded, 2, 7, cart("c2", 0)),
        does(EventName::CheckoutStarted, 2, 8, cart("c2", 7_050)),
        does(EventName::CheckoutPaymentInfoAdded, 1, 9, cart("c1", 0)),
        bought(1, "o1", 5_000, 10, &["c1"]),
        // The clock goes on.
        does(EventName::ProductViewed, 3, 68, Activity::default()),
    ]
}

#[tokio::test]
async fn ana_c16_the_funnel_and_the_rates_of_the_overview_are_of_distinct_persons() {
    let service = service(&story());
    let funnel = ask(&service, "funnel?days=1").await;
    let counts: Vec<i64> =
        funnel["steps"].as_array().unwrap().iter().map(|s| s["count"].as_i64().unwrap()).collect();
    assert_eq!(counts, [4, 2, 0, 2, 1, 1]);
    assert_eq!(funnel["steps"][1]["percentage"], json!(50.0));
    let overview = ask(&service, "overview?days=1").await;
    assert_eq!(
        (&overview["add_to_cart_rate"], &overview["cart_abandonment_rate"]),
        (&json!(50.0), &json!(50.0))
    );
    // Nothing of it happened on another day.
    let before = ask(&service, "funnel?start=2026-03-01&end=2026-03-14").await;
    assert_eq!(before["steps"][0]["count"], 0);
}

#[tokio::test]
async fn a_channel_converts_those_of_its_visitors_who_bought() {
    let service = service(&story());
    let channels = ask(&service, "revenue-by-channel?days=1").await;
    assert_eq!(channels["channels"][0]["campaign"], "spring");
    assert_eq!(channels["channels"][0]["conversion_rate"], json!(50.0));
}

#[tokio::test]
async fn ana_c22_a_cart_is_abandoned_after_its_window_and_completed_by_a_later_purchase() {
    let mut facts = story();
    let open = ask(&service(&facts[..facts.len() - 1]), "cart-abandonment?days=1").await;
    assert_eq!((&open["abandoned_carts"], &open["completed_carts"]), (&json!(0), &json!(1)));
    let abandoned = ask(&service(&facts), "cart-abandonment?days=1").await;
    assert_eq!((&abandoned["abandoned_carts"], &abandoned["abandoned_revenue"]), (&json!(1), &json!(70.5)));
    assert_eq!(abandoned["abandonment_rate"], json!(50.0));
    facts.push(bought(2, "o2", 7_050, 120, &[]));
    let completed = ask(&service(&facts), "cart-abandonment?days=1").await;
    assert_eq!((&completed["abandoned_carts"], &completed["completed_carts"]), (&json!(0), &json!(2)));
    assert_eq!(completed["abandoned_revenue"], json!(0.0));
}

#[tokio::test]
async fn ana_c21_cohorts_and_ana_c19_credits_sum_to_the_revenue() {
    let mut facts = story();
    facts.push(bought(2, "o2", 7_050, 120, &[]));
    // Two months before.
    facts.push(bought(2, "o0", 1_000, -60 * 24 * 60, &[]));
    let service = service(&facts);
    let cohorts = ask(&service, "cohorts").await;
    assert_eq!(
        cohorts["cohorts"],
        json!([
            {"month": "2026-03", "users": 1, "revenue_by_month": {"0": 50.0}},
            {"month": "2026-01", "users": 1, "revenue_by_month": {"0": 10.0, "1": 0.0, "2": 70.5}},
        ])
    );
    assert_eq!((&cohorts["avg_ltv"], &cohorts["total_purchasing_users"]), (&json!(65.25), &json!(2)));
    for model in ["last_click", "linear", "time_decay"] {
        let answer = ask(&service, &format!("attribution?days=1&model={model}")).await;
        assert_eq!(answer["attributed"][0]["revenue"], json!(120.5), "{model}");
        assert_eq!(answer["attributed"][0]["pct_of_total"], json!(100.0), "{model}");
    }
    let journey = ask(&service, &format!("user-journey?user_id={}&days=1", PersonId(1))).await;
    let types: Vec<&str> =
        journey["events"].as_array().unwrap().iter().map(|e| e["event_type"].as_str().unwrap()).collect();
    let expected =
        ["view_item", "view_item", "add_to_cart", "begin_checkout", "add_payment_info", "purchase"];
    assert_eq!(types, expected);
    assert_eq!(journey["events"][5]["revenue"], json!(50.0));
}
