//! What was said of people, orders and payments, from requests to answers: through the door, the stages' own processors,
//! the index on disk and the routes, without Kafka.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::ReceivedTime;
use commerce::order::View;
use commerce::time::{SECOND, parse_iso, parse_received};
use commerce::{Currency, Event, Fact, Profile, WorkspaceId};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use query::history::{History, Index, Waiting};
use query::http::{Access, App, router};
use query::snapshot::{Published, Working};
use query::tenants::{KeyKind, Tenant, Tenants};
use serde_json::{Value, json};
use service::stage::{Parts, harness};
use service::{Metrics, Shutdown};
use sources::meter::Unmetered;
use sources::{Decision, WorkspaceConfig, Workspaces, accept, route};
use stream::{Emitted, Harness, Record};
use topics::{Decoder, Schemas, Topic};
use tower::ServiceExt;

const KEY: &str = "key";
const JANE: &str = "jane@example.com";

/// Everything from the door to the answers.
struct Shop {
    parts: Parts,
    decoder: Decoder,
    normalizer: Harness<normalizer::Normalizer>,
    state: Harness<state::StateStage>,
    index: Arc<Index>,
    waiting: Waiting,
    working: Working,
    published: Arc<Published>,
    now: ReceivedTime,
    raw: i64,
    facts: i64,
}

impl Shop {
    fn new() -> Self {
        Self::of([WorkspaceConfig::development()])
    }

    fn of(configs: impl IntoIterator<Item = WorkspaceConfig>) -> Self {
        let workspaces = Arc::new(Workspaces::from_configs(configs).unwrap());
        let parts = Parts { workspaces, schemas: Schemas::offline(), event_partitions: 1 };
        Self {
            decoder: parts.schemas.decoder(),
            normalizer: harness(&normalizer::PLAN, normalizer::Normalizer::new(&parts).unwrap()),
            state: harness(&state::PLAN, state::StateStage::new(&parts, KEY).unwrap()),
            parts,
            index: Arc::new(Index::create(&std::env::temp_dir()).unwrap()),
            waiting: Waiting::default(),
            working: Working::default(),
            published: Arc::new(Published::with_history(History::new(Some(KEY.to_owned())))),
            now: parse_received("2026-03-14T16:00:00Z").unwrap(),
            raw: 0,
            facts: 0,
        }
    }

    /// A request; it arrives a second after the one before.
    fn call(&mut self, method: Method, target: &str, headers: &[(&'static str, &str)], body: &str) {
        self.now.0 += SECOND;
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let request = sources::Request {
            method: &method,
            path,
            query,
            headers: &map,
            body: body.as_bytes(),
            received_at: self.now,
            correlation: "c-1",
            peer: None,
        };
        let decision = accept(&route(&method, path).unwrap(), &request, &self.parts.workspaces, &Unmetered);
        let Decision::Accept(accepted) = decision else { panic!("{target} isn't taken: {decision:?}") };
        let (source, workspace) = (accepted.source.to_string(), accepted.workspace.to_string());
        let at = self.now.to_rfc3339();
        let stored = accepted.body.unwrap_or_else(|| body.as_bytes().to_vec());
        self.raw += 1;
        let mut record = Record::new(Topic::Raw.name(), 0, self.raw, b"", &stored);
        for (name, value) in &accepted.headers {
            record = record.with_header(name, value.as_bytes());
        }
        for (name, value) in [("source", &source), ("workspace", &workspace), ("received_at", &at)] {
            record = record.with_header(name, value.as_bytes());
        }
        let emitted = self.normalizer.process(&record).unwrap();
        for (_, _, key, value) in emitted {
            let value = value.unwrap();
            let event: Event = self.decoder.decode(&value).unwrap();
            self.index.event(&event, &mut self.waiting).unwrap();
            let emitted = self.state.process(&Record::new(Topic::Events.name(), 0, 0, &key, &value)).unwrap();
            self.read(emitted);
        }
        let published = self.state.commit(0).unwrap();
        self.read(published);
        self.index.write(&mut self.waiting).unwrap();
        self.working.publish(&self.published);
    }

    fn read(&mut self, emitted: Vec<Emitted>) {
        for (output, _, key, value) in emitted {
            match state::PLAN.outputs[output] {
                Topic::Facts => {
                    let fact: Fact<View> = self.decoder.decode(&value.unwrap()).unwrap();
                    self.facts += 1;
                    self.index.fact(fact, self.facts, &mut self.waiting).unwrap();
                }
                Topic::Orders => {
                    let view: Option<View> = value.map(|value| self.decoder.decode(&value).unwrap());
                    self.working.order(&key, view.as_ref()).unwrap();
                }
                Topic::Profiles => {
                    let profile: Option<Profile> = value.map(|value| self.decoder.decode(&value).unwrap());
                    self.working.profile(&key, profile.as_ref()).unwrap();
                }
                _ => {}
            }
        }
    }

    fn post(&mut self, target: &str, headers: &[(&'static str, &str)], body: &Value) {
        self.call(Method::POST, target, headers, &body.to_string());
    }

    fn shopify(&mut self, topic: &str, body: &Value) {
        let signature = STANDARD.encode(sign("dev-shopify-secret", &body.to_string()));
        let headers = [
            ("x-shopify-hmac-sha256", signature.as_str()),
            ("x-shopify-shop-domain", "demo-shop.myshopify.com"),
        ];
        self.post(&format!("/webhooks/shopify/{topic}"), &headers, body);
    }

    fn stripe(&mut self, id: &str, r#type: &str, invoice: &Value) {
        let created = (self.now.0 / SECOND) - 60;
        let body = json!({"id": id, "object": "event", "type": r#type, "created": created, "livemode": true,
            "data": {"object": invoice}});
        let t = self.now.0 / SECOND + 1;
        let signature = format!("t={t},v1={}", hex::encode(sign("whsec_dev", &format!("{t}.{body}"))));
        self.post("/webhooks/stripe/payment", &[("stripe-signature", &signature)], &body);
    }

    fn customer(&mut self, method: Method, path: &str, body: &Value) {
        let authorization = format!("Basic {}", STANDARD.encode("dev-site:dev-track-key"));
        let path = format!("/api/v1/customers/{path}");
        self.call(method, &path, &[("authorization", &authorization)], &body.to_string());
    }

    fn event(&mut self, id: &str, name: &str, data: &Value) {
        self.customer(Method::POST, &format!("{id}/events"), &json!({"name": name, "data": data}));
    }

    fn anonymous(&mut self, id: &str, name: &str, data: &Value) {
        let authorization = format!("Basic {}", STANDARD.encode("dev-site:dev-track-key"));
        let body = json!({"name": name, "anonymous_id": id, "data": data});
        self.post("/api/v1/events", &[("authorization", &authorization)], &body);
    }

    fn analytics(&mut self, body: &Value) {
        self.post("/v1/api/analytics/ecommerce/track", &[("x-api-key", "sk_dev_demo")], body);
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.get_as("demo", path).await
    }

    /// With the key of a workspace, which is called as the workspace is.
    async fn get_as(&self, key: &str, path: &str) -> (u16, Value) {
        self.published.history().complete(Arc::clone(&self.index));
        let mut tenants = Tenants::default();
        for id in ["demo", "other"] {
            let tenant = Tenant {
                id: WorkspaceId::try_new(id).unwrap(),
                base: Currency::USD,
                zone: commerce::time::Zone::utc(),
                retention_days: None,
            };
            tenants.add(tenant, [(KeyKind::Secret, id)]).unwrap();
        }
        let now = || parse_iso("2026-03-15T18:00:00Z").unwrap().at;
        let metrics = Metrics::new("histories").unwrap();
        let published = Arc::clone(&self.published);
        let app = App::new(tenants, published, Access::Key, now, Shutdown::new(), metrics);
        let request = Request::builder().uri(path).header("x-api-key", key).body(Body::empty()).unwrap();
        let response = router(Arc::new(app)).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }
}

fn sign(secret: &str, body: &str) -> Vec<u8> {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.chain_update(body.as_bytes()).finalize().into_bytes().to_vec()
}

fn with(mut body: Value, fields: &Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

fn order(fields: &Value) -> Value {
    let order = json!({"id": 1001, "email": JANE, "created_at": "2026-03-14T13:00:00Z",
        "updated_at": "2026-03-14T13:00:00Z", "currency": "USD", "total_price": "30.49", "subtotal_price": "25.00",
        "total_discounts": "5.00", "financial_status": "pending", "tags": "vip, news",
        "line_items": [{"product_id": 7, "title": "Mug", "quantity": 3, "price": "10.00"}]});
    with(order, fields)
}

/// The members of the answer's rows.
fn column(answer: &Value, list: &str, name: &str) -> Vec<Value> {
    answer[list].as_array().unwrap().iter().map(|row| row[name].clone()).collect()
}

#[tokio::test]
async fn nobody_is_told_the_history_of_another_workspace_by_whatever_id() {
    use sources::workspace::{CustomerioConfig, CustomerioCredential, Secret};
    let credential =
        CustomerioCredential { site_id: "o".to_owned(), api_key: Secret::new("other-track-key") };
    let mut other = WorkspaceConfig::new("other");
    other.customerio = Some(CustomerioConfig { credentials: vec![credential], event_map: [].into() });
    let mut shop = Shop::of([WorkspaceConfig::development(), other]);
    // Both know a person 5 with the same address and an order 1001.
    shop.customer(Method::PUT, "5", &json!({"email": JANE, "city": "Salem"}));
    shop.event("5", "product_viewed", &json!({"product_id": "p-1"}));
    shop.event("9", "product_viewed", &json!({"product_id": "p-1"}));
    shop.shopify("orders/create", &order(&json!({"financial_status": "paid"})));
    shop.shopify("orders/create", &order(&json!({"id": 1002})));
    shop.stripe("evt_1", "invoice.payment_succeeded", &invoice("in_1", &json!({})));
    let authorization = format!("Basic {}", STANDARD.encode("o:other-track-key"));
    let headers = [("authorization", authorization.as_str())];
    let theirs = json!({"email": JANE, "city": "Ipswich"});
    shop.call(Method::PUT, "/api/v1/customers/5", &headers, &theirs.to_string());
    let bought = json!({"name": "order_paid", "data": {"order_id": "1001", "total": 7, "currency": "USD"}});
    shop.post("/api/v1/customers/5/events", &headers, &bought);

    let person = |answer: &Value| answer["person_id"].as_str().unwrap().to_owned();
    let mut ids: Vec<String> = Vec::new();
    for (key, events, sources) in [
        ("demo", &["customer.updated", "product.viewed"][..], "shopify"),
        ("other", &["customer.updated"], "customerio"),
    ] {
        let (status, by_id) = shop.get_as(key, "/v1/people/5/events").await;
        let (_, by_address) = shop.get_as(key, &format!("/v1/people/{JANE}/events")).await;
        assert_eq!((status, &by_id), (200, &by_address));
        let told = column(&by_id, "events", "event");
        assert!(events.iter().all(|event| told.contains(&json!(event))), "{key}: {told:?}");
        let has_viewed = told.contains(&json!("product.viewed"));
        assert_eq!(has_viewed, key == "demo", "{key}: {told:?}");
        let (_, versions) = shop.get_as(key, "/v1/orders/1001/history").await;
        assert_eq!(column(&versions, "history", "source"), [json!(sources)], "{key}");
        let (_, payments) = shop.get_as(key, "/v1/payments").await;
        assert_eq!(payments["payments"].as_array().unwrap().len(), usize::from(key == "demo"), "{key}");
        ids.push(person(&by_id));
    }
    assert_ne!(ids[0], ids[1]);
    for path in [
        format!("/v1/people/{}/events", ids[0]),
        "/v1/people/9/events".to_owned(),
        "/v1/orders/1002/history".to_owned(),
    ] {
        assert_eq!(shop.get_as("demo", &path).await.0, 200, "{path}");
        assert_eq!(shop.get_as("other", &path).await.0, 404, "{path}");
    }
    assert_eq!(shop.get_as("demo", &format!("/v1/people/{}/events", ids[1])).await.0, 404);
    assert_eq!(shop.get_as("nobody", "/v1/payments").await.0, 401);
}

#[tokio::test]
async fn shop_11_every_accepted_version_of_an_order_is_a_row_that_no_later_one_changes() {
    let mut shop = Shop::new();
    shop.shopify("orders/create", &order(&json!({})));
    let first = shop.json("/v1/orders/1001/history").await["history"][0].clone();
    assert_eq!(
        (&first["total"], &first["subtotal"], &first["discount_total"]),
        (
            &json!({"minor": 3049, "currency": "USD"}),
            &json!({"minor": 2500, "currency": "USD"}),
            &json!({"minor": 500, "currency": "USD"})
        )
    );
    for (name, value) in [
        ("order_id", json!("1001")),
        ("customer_email", json!(JANE)),
        ("currency", json!("USD")),
        ("item_count", json!(3)),
        ("financial_status", json!("pending")),
        ("tags", json!(["vip", "news"])),
        ("placed_at", json!("2026-03-14T13:00:00Z")),
        ("source", json!("shopify")),
        ("received_at", json!("2026-03-14T16:00:01Z")),
    ] {
        assert_eq!(first[name], value, "{name}");
    }
    let paid = json!({"updated_at": "2026-03-14T15:00:00Z", "financial_status": "paid",
        "fulfillment_status": "fulfilled"});
    shop.shopify("orders/updated", &order(&paid));
    shop.shopify("orders/updated", &order(&paid));
    // A version between the two comes last.
    shop.shopify("orders/updated", &order(&json!({"updated_at": "2026-03-14T14:00:00Z", "tags": ""})));
    let history = shop.json("/v1/orders/1001/history").await;
    assert_eq!(history["history"][0], first, "an earlier row is untouched");
    let updated = column(&history, "history", "updated_at");
    assert_eq!(updated, ["2026-03-14T13:00:00Z", "2026-03-14T15:00:00Z", "2026-03-14T14:00:00Z"]);
    assert_eq!(column(&history, "history", "financial_status"), ["pending", "paid", "pending"]);
    assert_eq!(column(&history, "history", "fulfillment_status")[1], "fulfilled");
    assert_eq!(column(&history, "history", "deliveries"), [1, 2, 1]);
    assert_eq!(column(&history, "history", "stale"), [false, false, true]);
    assert_eq!(shop.get("/v1/orders/1002/history").await, (404, json!({"error": "Not found"})));
}

#[tokio::test]
async fn shop_c23_rows_of_earlier_versions_are_readable_after_ten_updates() {
    let mut shop = Shop::new();
    shop.shopify("orders/create", &order(&json!({})));
    let mut rows = vec![shop.json("/v1/orders/1001/history").await["history"][0].clone()];
    for n in 1..=10 {
        let changed =
            json!({"updated_at": format!("2026-03-14T14:{n:02}:00Z"), "total_price": format!("{n}.50")});
        shop.shopify("orders/updated", &order(&changed));
        let history = shop.json("/v1/orders/1001/history").await;
        assert_eq!(history["history"].as_array().unwrap()[..n], rows, "after {n} updates");
        rows.push(history["history"][n].clone());
    }
    let totals: Vec<i64> = rows.iter().map(|row| row["total"]["minor"].as_i64().unwrap()).collect();
    assert_eq!(totals, [3049, 150, 250, 350, 450, 550, 650, 750, 850, 950, 1050]);
}

#[tokio::test]
async fn rec_c06_ten_rows_of_one_order_are_all_readable_and_each_source_has_its_own() {
    let mut shop = Shop::new();
    shop.shopify("orders/create", &order(&json!({})));
    for n in 0..10 {
        let key = format!("row-{n}");
        let headers = [("authorization", "Bearer dev-records-key"), ("idempotency-key", key.as_str())];
        let row = json!({"record": {"shopify_order_id": "1001", "total": 30.49, "currency": "USD",
            "placed_at": "2026-03-14T13:00:00Z", "updated_at": format!("2026-03-14T13:0{n}:00Z"),
            "financial_status": "paid", "refund_total": n}});
        shop.post("/public/v1/records/orders/append", &headers, &row);
    }
    let history = shop.json("/v1/orders/1001/history").await;
    let sources = column(&history, "history", "source");
    assert_eq!(sources.iter().filter(|source| **source == "records").count(), 10);
    assert_eq!(sources.iter().filter(|source| **source == "shopify").count(), 1);
    let last = &history["history"][10];
    assert_eq!(last["refund_total"], json!({"minor": 900, "currency": "USD"}));
}

#[tokio::test]
async fn rec_c03_a_row_that_lost_to_the_first_of_its_key_is_readable_and_marked() {
    let mut shop = Shop::new();
    let mut append = |key: &str, order: &str, total: &str| {
        let headers = [("authorization", "Bearer dev-records-key"), ("idempotency-key", key)];
        let row = json!({"record": {"shopify_order_id": order, "total": total, "currency": "USD",
            "placed_at": "2026-03-14T13:00:00Z", "financial_status": "paid"}});
        shop.post("/public/v1/records/orders/append", &headers, &row);
    };
    // The second and the fourth lose; the last says the same as the second, under a key of its own.
    for (key, order, total) in [
        ("k", "1001", "49.99"),
        ("k", "1001", "99.99"),
        ("k", "1001", "49.99"),
        ("k", "1002", "7.00"),
        ("l", "1001", "99.99"),
    ] {
        append(key, order, total);
    }
    let history = shop.json("/v1/orders/1001/history").await;
    let minor = |row: &Value| row["total"]["minor"].as_i64().unwrap();
    let totals: Vec<i64> = history["history"].as_array().unwrap().iter().map(minor).collect();
    assert_eq!(totals, [4_999, 9_999, 9_999]);
    assert_eq!(column(&history, "history", "set_aside"), [false, true, false]);
    assert_eq!(column(&history, "history", "deliveries"), [2, 1, 1]);
    // There is no order 1002, but what was said of it can be read.
    assert_eq!(shop.get("/v1/orders/1002").await.0, 404);
    let lost = shop.json("/v1/orders/1002/history").await;
    assert_eq!((lost["history"].as_array().unwrap().len(), minor(&lost["history"][0])), (1, 700));
    assert_eq!(lost["history"][0]["set_aside"], true);
    assert_eq!(shop.get("/v1/orders/1003/history").await.0, 404);
}

fn invoice(id: &str, fields: &Value) -> Value {
    let invoice = json!({"id": id, "object": "invoice", "customer": "cus_1", "customer_email": "Jane@Example.com",
        "amount_paid": 4999, "amount_due": 5999, "currency": "usd", "subscription": "sub_1",
        "period_start": 1_772_323_200, "period_end": 1_775_001_600, "attempt_count": 1,
        "billing_reason": "subscription_cycle", "status_transitions": {"paid_at": 1_773_500_400}});
    with(invoice, fields)
}

#[tokio::test]
async fn str_03_and_str_04_a_paid_invoice_is_one_row_of_payments_with_all_its_fields_and_a_failure_none() {
    let mut shop = Shop::new();
    shop.stripe("evt_1", "invoice.payment_succeeded", &invoice("in_1", &json!({})));
    shop.stripe("evt_1", "invoice.payment_succeeded", &invoice("in_1", &json!({})));
    shop.stripe("evt_2", "invoice.paid", &invoice("in_1", &json!({})));
    shop.stripe("evt_3", "invoice.payment_failed", &invoice("in_2", &json!({"amount_paid": 0})));
    let answer = shop.json(&format!("/v1/payments?person={JANE}")).await;
    let row = &answer["payments"][0];
    let person = shop.json(&format!("/v1/people/{JANE}")).await["person_id"].clone();
    for (name, value) in [
        ("stripe_invoice_id", json!("in_1")),
        ("stripe_customer_id", json!("cus_1")),
        ("customer_email", json!(JANE)),
        ("amount_paid", json!({"minor": 4999, "currency": "USD"})),
        ("amount_due", json!({"minor": 5999, "currency": "USD"})),
        ("currency", json!("USD")),
        ("subscription_id", json!("sub_1")),
        ("period_start", json!("2026-03-01T00:00:00Z")),
        ("period_end", json!("2026-04-01T00:00:00Z")),
        ("paid_at", json!("2026-03-14T15:00:00Z")),
        ("billing_reason", json!("subscription_cycle")),
        ("person_id", person),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    assert_eq!(answer["payments"].as_array().unwrap().len(), 1);
    assert_eq!(answer["next_before"], Value::Null);
}

#[tokio::test]
async fn payments_are_paged_newest_first_and_those_of_nobody_are_the_workspaces() {
    let mut shop = Shop::new();
    for n in 1..=5 {
        shop.stripe(
            &format!("evt_{n}"),
            "invoice.payment_succeeded",
            &invoice(&format!("in_{n}"), &json!({})),
        );
    }
    let nobody = json!({"customer": null, "customer_email": null});
    shop.stripe("evt_6", "invoice.payment_succeeded", &invoice("in_6", &nobody));
    let (mut path, mut found) = ("/v1/payments?person=cus_1&limit=2".to_owned(), Vec::new());
    loop {
        let answer = shop.json(&path).await;
        found.extend(column(&answer, "payments", "stripe_invoice_id"));
        let Some(next) = answer["next_before"].as_str() else { break };
        path = format!("/v1/payments?person=cus_1&limit=2&before={next}");
    }
    assert_eq!(found, ["in_5", "in_4", "in_3", "in_2", "in_1"]);
    let all = shop.json("/v1/payments").await;
    assert_eq!(column(&all, "payments", "stripe_invoice_id")[0], "in_6");
    assert_eq!(
        (&all["payments"][0]["customer_email"], &all["payments"][0]["person_id"]),
        (&json!(null), &json!(null))
    );
    assert_eq!(column(&all, "payments", "customer_email")[1], JANE);
    assert_eq!(shop.get("/v1/payments?person=cus_2").await, (404, json!({"error": "Not found"})));
}

#[tokio::test]
async fn cio_29_the_recent_events_of_a_person_are_listed_with_name_flags_times_and_whom_they_attached_to() {
    let mut shop = Shop::new();
    shop.anonymous("device-1", "product_viewed", &json!({"product_id": "mug"}));
    // Nobody yet, and found by the device all the same.
    let alone = shop.json("/v1/people/device-1/events").await;
    assert_eq!(column(&alone, "events", "event"), ["product.viewed"]);
    shop.customer(Method::PUT, "5", &json!({"email": JANE, "anonymous_id": "device-1"}));
    shop.event("5", "Order Paid", &json!({"order_id": "o-1"}));
    shop.event("5", "product_viewed", &json!({"product_id": "mug", "backfill": "old"}));
    let paid = json!({"order_id": "o-1", "total": 30.49, "currency": "USD"});
    shop.event(JANE, "order_paid", &paid);
    shop.event(JANE, "order_paid", &paid);
    let answer = shop.json(&format!("/v1/people/{JANE}/events")).await;
    let names = column(&answer, "events", "event");
    assert_eq!(names[..4], ["order.paid", "order.placed", "product.viewed", "custom.tracked"], "{answer}");
    assert_eq!(names.iter().filter(|name| **name == "order.paid").count(), 1);
    assert_eq!(names.last().unwrap(), "product.viewed", "what the device did before is theirs: {names:?}");
    let flags = column(&answer, "events", "flags");
    assert!(flags[3].as_array().unwrap().contains(&json!("event_name_drift")), "{}", flags[3]);
    assert!(flags[1].as_array().unwrap().contains(&json!("placed_inferred")), "{}", flags[1]);
    assert_eq!(answer["events"][2]["origin"], json!({"kind": "backfill", "label": "old"}));
    assert_eq!(answer["events"][0]["order"]["total"], json!({"minor": 3049, "currency": "USD"}));
    assert_eq!(answer["events"][0]["received_at"], "2026-03-14T16:00:05Z");
    let person = shop.json("/v1/people/5").await["person_id"].clone();
    assert_eq!((&answer["person_id"], &answer["events"][0]["person_id"]), (&person, &person));
    for id in ["5", "device-1", person.as_str().unwrap(), alone["person_id"].as_str().unwrap()] {
        assert_eq!(shop.json(&format!("/v1/people/{id}/events")).await, answer, "{id}");
    }
}

#[tokio::test]
async fn a_list_goes_on_where_the_last_answer_ended_or_before_an_instant() {
    let mut shop = Shop::new();
    for n in 0..7 {
        shop.event("5", "wished", &json!({"n": n}));
    }
    let all = shop.json("/v1/people/5/events").await;
    let expected = column(&all, "events", "event_id");
    assert_eq!(expected.len(), 7);
    let (mut path, mut found) = ("/v1/people/5/events?limit=3".to_owned(), Vec::new());
    loop {
        let answer = shop.json(&path).await;
        found.extend(column(&answer, "events", "event_id"));
        let Some(next) = answer["next_before"].as_str() else { break };
        path = format!("/v1/people/5/events?limit=3&before={next}");
    }
    assert_eq!(found, expected);
    let before = shop.json("/v1/people/5/events?before=2026-03-14T16:00:03Z").await;
    assert_eq!(column(&before, "events", "event_id"), expected[5..]);
    for (query, error) in
        [("limit=0", "Invalid limit"), ("limit=x", "Invalid limit"), ("before=x", "Invalid before")]
    {
        let (status, body) = shop.get(&format!("/v1/people/5/events?{query}")).await;
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{query}");
    }
    assert_eq!(shop.get("/v1/people/6/events").await, (404, json!({"error": "Not found"})));
}

#[tokio::test]
async fn ana_c23_a_purchase_that_a_rule_blocks_is_in_no_history() {
    let mut shop = Shop::new();
    let purchase = json!({"event_type": "purchase", "transaction_id": "1001", "revenue": 30.49, "currency": "USD",
        "user_id": "5"});
    shop.analytics(&purchase);
    let before = shop.json("/v1/orders/1001/history").await;
    shop.analytics(&with(purchase, &json!({"revenue": -1})));
    shop.analytics(
        &json!({"event_type": "purchase", "transaction_id": "1002", "revenue": -1, "currency": "USD"}),
    );
    assert_eq!(shop.json("/v1/orders/1001/history").await, before);
    assert_eq!(shop.get("/v1/orders/1002/history").await.0, 404);
}

#[tokio::test]
async fn an_erasure_removes_what_was_told_of_a_person_and_leaves_amounts_of_nobody() {
    let mut shop = Shop::new();
    shop.anonymous("device-1", "product_viewed", &json!({"product_id": "mug"}));
    shop.customer(Method::PUT, "5", &json!({"email": JANE, "anonymous_id": "device-1"}));
    shop.shopify("orders/create", &order(&json!({"financial_status": "paid"})));
    let purchase = json!({"event_type": "purchase", "transaction_id": "1001", "revenue": 30.49, "currency": "USD",
        "user_id": "5"});
    shop.analytics(&purchase);
    shop.stripe("evt_1", "invoice.payment_succeeded", &invoice("in_1", &json!({})));
    assert_eq!(
        column(&shop.json("/v1/orders/1001/history").await, "history", "source"),
        ["shopify", "analytics"]
    );
    let person = shop.json("/v1/people/5").await["person_id"].as_str().unwrap().to_owned();
    let device = shop.json("/v1/people/device-1/events").await;
    assert!(device["events"].as_array().unwrap().len() > 4, "{device}");

    shop.customer(Method::DELETE, "5", &json!({}));
    for id in ["5", JANE, "device-1", &person] {
        assert_eq!(shop.get(&format!("/v1/people/{id}/events")).await.0, 404, "{id}");
    }
    let history = shop.json("/v1/orders/1001/history").await;
    assert_eq!(column(&history, "history", "source"), ["shopify"]);
    assert_eq!(column(&history, "history", "customer_email"), [json!(null)]);
    let payment = shop.json("/v1/payments").await["payments"][0].clone();
    assert_eq!(payment["amount_paid"]["minor"], 4999);
    for gone in ["person_id", "customer_email", "stripe_customer_id"] {
        assert_eq!(payment[gone], json!(null), "{gone}");
    }
    // Whoever comes again starts anew, also on the same device.
    shop.customer(Method::PUT, "6", &json!({"email": JANE, "anonymous_id": "device-1"}));
    let again = shop.json(&format!("/v1/people/{JANE}/events")).await;
    assert!(column(&again, "events", "event").iter().all(|name| name != "product.viewed"), "{again}");
    assert_eq!(shop.json("/v1/payments").await["payments"][0]["person_id"], json!(null));
    assert_eq!(shop.json(&format!("/v1/payments?person={JANE}")).await["payments"], json!([]));
    let history = shop.json("/v1/orders/1001/history").await;
    assert_eq!(column(&history, "history", "customer_email"), [json!(null)]);
}

#[tokio::test]
async fn nothing_is_answered_before_the_index_is_complete_and_its_folder_goes_with_it() {
    let mut shop = Shop::new();
    shop.event("5", "wished", &json!({}));
    let published = Arc::new(Published::default());
    Working::default().publish(&published);
    let folder = tempfile::tempdir().unwrap();
    let is_empty = || std::fs::read_dir(folder.path()).unwrap().next().is_none();
    let index = Index::create(folder.path()).unwrap();
    assert!(!is_empty());
    drop(index);
    assert!(is_empty());
    let complete = std::mem::replace(&mut shop.published, published);
    assert!(complete.history().index().is_none());
    let mut tenants = Tenants::default();
    let tenant = Tenant {
        id: WorkspaceId::try_new("demo").unwrap(),
        base: Currency::USD,
        zone: commerce::time::Zone::utc(),
        retention_days: None,
    };
    tenants.add(tenant, [(KeyKind::Secret, "sk"), (KeyKind::Publishable, "pk")]).unwrap();
    let metrics = Metrics::new("histories").unwrap();
    let now = || parse_iso("2026-03-15T18:00:00Z").unwrap().at;
    let published = Arc::clone(&shop.published);
    let app = Arc::new(App::new(tenants, published, Access::Key, now, Shutdown::new(), metrics));
    for path in ["/v1/people/5/events", "/v1/orders/1/history", "/v1/payments"] {
        for (key, status) in [("sk", 503), ("pk", 403), ("x", 401)] {
            let request = Request::builder().uri(path).header("x-api-key", key).body(Body::empty()).unwrap();
            let response = router(Arc::clone(&app)).oneshot(request).await.unwrap();
            assert_eq!(response.status(), status, "{path} {key}");
        }
    }
}

#[tokio::test]
async fn a_device_that_turns_out_to_be_somebody_elses_takes_nobody_with_it() {
    let mut shop = Shop::new();
    shop.anonymous("device-1", "product_viewed", &json!({"product_id": "mug"}));
    shop.customer(Method::PUT, "6", &json!({"email": "noel@example.org", "anonymous_id": "device-1"}));
    shop.event("6", "wished", &json!({"n": 1}));
    // It arrived before, and is processed late: the device is whose it was first.
    shop.now = parse_received("2026-03-14T15:00:00Z").unwrap();
    shop.customer(Method::PUT, "5", &json!({"email": JANE, "anonymous_id": "device-1"}));
    let six = shop.json("/v1/people/6/events").await;
    let names = column(&six, "events", "event");
    assert!(names.contains(&json!("custom.tracked")), "{six}");
    let five = shop.json("/v1/people/5/events").await;
    let names = column(&five, "events", "event");
    assert!(
        names.contains(&json!("customer.separated")) && !names.contains(&json!("custom.tracked")),
        "{five}"
    );
    shop.customer(Method::DELETE, "5", &json!({}));
    assert_eq!(shop.json("/v1/people/6/events").await, six);
}
