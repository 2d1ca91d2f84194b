use axum::body::Body;
use commerce::person::Kind;
use commerce::{DuplicateLevel, Outcome};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use sources::operation::Operation;

use super::*;
use crate::cells::samples::{of_hour, revenue};
use crate::letters::samples::letter;
use crate::operations::{OPERATIONS, REPORTS};
use crate::reports::breakdown::samples as breakdown;
use crate::reports::outcomes::samples::outcome;
use crate::snapshot::{Trouble, Working};
use crate::tenants::samples::tenants;

const SECRET: (&str, &str) = ("x-api-key", "sk_dev_demo");
const OPEN: Access = Access::Open { loopback: true };

fn now() -> EventTime {
    commerce::time::parse_iso("2026-03-15T12:00:00Z").unwrap().at
}

struct Service {
    app: Arc<App>,
    working: Working,
}

impl Service {
    /// Nothing has been read yet.
    fn loading(access: Access) -> Self {
        let metrics = Metrics::new("test").unwrap();
        metrics.record("state", Some(Source::Shopify), Outcome::Published, 2);
        metrics.record("state", Some(Source::Shopify), Outcome::Duplicate(DuplicateLevel::Transport), 4);
        let services = Services::new(metrics.clone(), vec![]).unwrap();
        let app = App::new(tenants(), Arc::default(), access, now, Shutdown::new(), metrics);
        let app = app.watching(services);
        Self { app: Arc::new(app), working: Working::default() }
    }

    /// A day of USD and one of EUR, a person, an order, outcomes and a dead letter.
    fn new(access: Access) -> Self {
        let mut service = Self::loading(access);
        let working = &mut service.working;
        for metric in [
            revenue("2026-03-15", "USD", &[("gross", 4_999), ("orders", 1), ("items", 2)]),
            revenue("2026-03-14", "EUR", &[("gross", 1_234), ("orders", 1)]),
            outcome("shopify", "published", "", 2),
            outcome("shopify", "duplicate", "transport", 4),
        ] {
            working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
        }
        let profile = crate::people::samples::profile(7, &[(Kind::Email, "jane+1@example.com")]);
        working.profile(format!("demo:{}", profile.person_id).as_bytes(), Some(&profile)).unwrap();
        let view = crate::orders::samples::order("450789469", &["number:1001"]);
        working.order(b"demo:450789469", Some(&view)).unwrap();
        working.letter(&letter("a", "bad_money", "2026-03-15T10:00:00Z"));
        service.app.published.history().complete(Arc::new(crate::history::samples::index()));
        service.publish();
        service
    }

    /// The same, with a row in every list.
    fn with_breakdowns() -> Self {
        let mut service = Self::new(OPEN);
        let values = [("revenue", 4_999), ("orders", 1), ("quantity", 2), ("discount", 500)];
        for (metric, dimensions) in [
            ("revenue_by_product", &[("item_id", "mug-blue")][..]),
            (
                "revenue_by_channel",
                &[("utm_campaign", "spring"), ("utm_source", "news"), ("utm_medium", "email")],
            ),
            ("revenue_by_coupon", &[("coupon", "SPRING10")]),
            ("revenue_by_device", &[("device", "mobile")]),
            ("revenue_by_platform", &[("platform", "web")]),
            ("revenue_by_country", &[("country", "DE")]),
        ] {
            let metric = breakdown::cell(metric, "2026-03-15", dimensions, &values);
            service.working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
        }
        let name = breakdown::name("mug-blue", "Stoneware Mug");
        service.working.metric(name.key().as_bytes(), Some(&name)).unwrap();
        service.publish();
        service
    }

    fn publish(&mut self) {
        self.working.publish(&self.app.published);
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        router(Arc::clone(&self.app)).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let response = self.send("GET", path, headers).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path, &[SECRET]).await;
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn error(sentence: &str) -> String {
    json!({ "error": sentence }).to_string()
}

const REPORT: &str = "/v1/api/analytics/ecommerce/overview";
const SECRET_PATHS: [&str; 10] = [
    REPORT,
    "/v1/api/analytics/ecommerce/revenue-timeseries",
    "/v1/metrics/outcomes",
    "/v1/metrics/summary",
    "/v1/dead-letters/summary",
    "/v1/people/jane+1@example.com",
    "/v1/orders/450789469",
    "/v1/people/jane+1@example.com/events",
    "/v1/orders/450789469/history",
    "/v1/payments",
];

#[tokio::test]
async fn every_path_answers_401_without_403_to_a_publishable_and_200_to_a_secret_key() {
    let service = Service::new(OPEN);
    for path in SECRET_PATHS {
        assert_eq!(service.get(path, &[]).await, (401, error("Invalid API key")), "{path}");
        assert_eq!(service.get(path, &[("x-api-key", "x")]).await, (401, error("Invalid API key")), "{path}");
        let publishable = [("authorization", "Bearer pk_dev_demo")];
        assert_eq!(service.get(path, &publishable).await, (403, error("Secret key required")), "{path}");
        assert_eq!(service.get(path, &[SECRET]).await.0, 200, "{path}");
        assert_eq!(service.get(path, &[("authorization", "Bearer sk_dev_demo")]).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn figures_of_another_workspace_are_not_seen() {
    let service = Service::new(OPEN);
    let other = [("x-api-key", "sk_other")];
    let (_, body) = service.get(REPORT, &other).await;
    assert!(body.contains(r#""total_revenue":0.00"#), "{body}");
    for path in ["/v1/people/jane+1@example.com", "/v1/orders/450789469"] {
        for path in [path.to_owned(), format!("{path}/events"), format!("{path}/history")] {
            assert_eq!(service.get(&path, &other).await, (404, error("Not found")));
        }
    }
    let (_, body) = service.get("/v1/payments", &other).await;
    assert_eq!(body, r#"{"payments":[],"next_before":null}"#);
    let (_, body) = service.get("/v1/dead-letters/summary", &other).await;
    assert!(body.contains(r#""total":0"#), "{body}");
}

#[tokio::test]
async fn the_text_of_each_error_is_that_of_the_contract() {
    let service = Service::new(OPEN);
    for (query, sentence) in [
        ("days=0", "Invalid date range"),
        ("days=x", "Invalid date range"),
        ("start=2026-03-02&end=2026-03-01", "Invalid date range"),
        ("start=2026-02-30&end=2026-03-01", "Invalid date range"),
        ("currency=XYZ", "Invalid currency"),
        ("source=nobody", "Invalid source"),
        ("exclude_flagged=yes", "Invalid exclude_flagged"),
    ] {
        for report in Report::ALL {
            let path = format!("/v1/api/analytics/ecommerce/{}?{query}", report.as_str());
            assert_eq!(service.get(&path, &[SECRET]).await, (400, error(sentence)), "{path}");
        }
    }
    for limit in ["0", "-1", "1.5", "many"] {
        let path = format!("/v1/api/analytics/ecommerce/top-products?limit={limit}");
        assert_eq!(service.get(&path, &[SECRET]).await, (400, error("Invalid limit")), "{limit}");
        // Where nothing is listed by rank, it is a parameter like any unknown one.
        assert_eq!(service.get(&format!("{REPORT}?limit={limit}"), &[SECRET]).await.0, 200);
    }
    for (query, sentence) in [
        ("ordered=yes", "Invalid ordered"),
        ("ordered=true&window=1h", "Invalid funnel window"),
        ("ordered=true&window=30", "Invalid funnel window"),
    ] {
        let path = format!("/v1/api/analytics/ecommerce/funnel?{query}");
        assert_eq!(service.get(&path, &[SECRET]).await, (400, error(sentence)), "{query}");
    }
    // Elsewhere it is a parameter like any unknown one.
    assert_eq!(service.get(&format!("{REPORT}?ordered=yes"), &[SECRET]).await.0, 200);
    let ordered = "/v1/api/analytics/ecommerce/funnel?ordered=true&window=7d";
    let (status, body) = service.get(ordered, &[SECRET]).await;
    assert!(status == 200 && body.contains(r#""window":"7d""#), "{body}");
    for report in Report::ALL {
        let path = format!("/v1/api/analytics/ecommerce/{}?exclude_flagged=true", report.as_str());
        let (status, body) = service.get(&path, &[SECRET]).await;
        match report {
            Report::Funnel | Report::CartAbandonment | Report::Attribution | Report::Cohorts => {
                assert_eq!((status, body), (400, error("exclude_flagged is not supported yet")), "{path}");
            }
            _ => assert_eq!(status, 200, "{path}"),
        }
    }
    let summary = "/v1/metrics/summary?source=shopify";
    assert_eq!(service.get(summary, &[SECRET]).await, (400, error("source is not supported yet")));
    // The key comes first: a stranger learns nothing of the rules.
    assert_eq!(service.get(&format!("{REPORT}?days=0"), &[]).await.0, 401);
    let unknown = "/v1/api/analytics/ecommerce/unheard-of";
    assert_eq!(service.get(unknown, &[SECRET]).await, (404, error("Not found")));
    assert_eq!(service.get("/nowhere", &[]).await, (404, error("Not found")));
}

#[tokio::test]
async fn a_report_has_all_its_fields_with_exact_amounts() {
    let service = Service::new(OPEN);
    let (_, body) = service.get(&format!("{REPORT}?days=7"), &[SECRET]).await;
    assert_eq!(
        body,
        concat!(
            r#"{"total_revenue":49.99,"net_revenue":49.99,"total_orders":1,"total_refunds":0,"#,
            r#""refund_amount":0.00,"avg_order_value":49.99,"total_items_sold":2,"#,
            r#""cart_abandonment_rate":0.0,"add_to_cart_rate":0.0,"days":7,"currency":"USD","#,
            r#""held":{"EUR":{"orders":1,"revenue":12.34}},"as_of":"1970-01-01T00:00:00Z","corrected":false}"#
        )
    );
    let series = service.json("/v1/api/analytics/ecommerce/revenue-timeseries?currency=eur&days=2").await;
    assert_eq!(series["series"][0], json!({"date": "2026-03-14", "revenue": 12.34, "orders": 1}));
    assert_eq!((series["series"].as_array().unwrap().len(), &series["days"]), (2, &json!(2)));
}

#[tokio::test]
async fn ana_c02_every_report_answers_403_to_a_publishable_key_and_200_to_a_secret_one() {
    let service = Service::new(OPEN);
    for report in Report::ALL {
        let path = format!("/v1/api/analytics/ecommerce/{}", report.as_str());
        let publishable = [("x-api-key", "pk_dev_demo")];
        assert_eq!(service.get(&path, &publishable).await, (403, error("Secret key required")), "{path}");
        assert_eq!(service.get(&path, &[SECRET]).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn without_data_every_report_has_its_shape_with_empty_lists() {
    let service = Service::new(OPEN);
    for report in Report::ALL {
        let path = format!("/v1/api/analytics/ecommerce/{}?days=3", report.as_str());
        let (_, body) = service.get(&path, &[("x-api-key", "sk_other")]).await;
        let answer: Value = serde_json::from_str(&body).unwrap();
        // Cohorts are by months.
        if report != Report::Cohorts {
            assert_eq!(answer["days"], json!(3), "{path}");
        }
        // Every day and every step of the funnel is there, also with nothing.
        let dense = matches!(report, Report::RevenueTimeseries | Report::Funnel);
        if let (Some(rows), false) = (report.table(false).rows, dense) {
            assert_eq!(answer[rows], json!([]), "{path}");
        }
    }
}

#[tokio::test]
async fn a_report_is_a_table_where_csv_is_asked_for_first() {
    let service = Service::new(OPEN);
    let path = "/v1/api/analytics/ecommerce/revenue-timeseries?days=2";
    let response = service.send("GET", path, &[SECRET, ("accept", "text/csv, */*;q=0.1")]).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    assert_eq!(
        (&response.headers()["x-currency"], &response.headers()["x-days"]),
        (&"USD".parse().unwrap(), &"2".parse().unwrap())
    );
    assert_eq!(response.headers()["x-corrected"], "false");
    let tag = response.headers()[header::ETAG].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "date,revenue,orders\r\n2026-03-14,0.00,0\r\n2026-03-15,49.99,1\r\n".as_bytes());
    let again = [SECRET, ("accept", "text/csv"), ("if-none-match", tag.as_str())];
    assert_eq!(service.send("GET", path, &again).await.status(), 304);
    for accept in ["application/json, text/csv", "*/*", "text/html", "text/csv;q=0, application/json"] {
        let response = service.send("GET", path, &[SECRET, ("accept", accept)]).await;
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json", "{accept}");
    }
    // The columns of each table are the members of its rows, or of the answer.
    for report in Report::ALL {
        let path = format!("/v1/api/analytics/ecommerce/{}?days=1", report.as_str());
        let (_, body) = service.get(&path, &[SECRET, ("accept", "text/csv")]).await;
        let columns = report.table(false).columns;
        assert_eq!(body.lines().next().unwrap(), columns.join(","), "{path}");
        if report.table(false).rows.is_none() {
            let answer = service.json(&path).await;
            assert!(columns.iter().all(|name| answer.get(name).is_some()), "{path}");
        }
    }
}

#[tokio::test]
async fn the_revenue_of_a_day_is_answered_by_its_hours_as_json_and_as_a_table() {
    let mut service = Service::new(OPEN);
    let metric = of_hour("2026-03-15", 9, "USD", &[("gross", 4_999), ("orders", 1)]);
    service.working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
    service.publish();
    let path = "/v1/api/analytics/ecommerce/revenue-timeseries?days=1&granularity=hour";
    let answer = service.json(path).await;
    let hours = answer["series"].as_array().unwrap();
    assert_eq!((hours.len(), &answer["days"], &answer["held"]), (24, &json!(1), &json!({})));
    assert_eq!(hours[9], json!({"date": "2026-03-15", "hour": 9, "revenue": 49.99, "orders": 1}));
    assert_eq!(hours[10], json!({"date": "2026-03-15", "hour": 10, "revenue": 0.0, "orders": 0}));
    let (_, table) = service.get(path, &[SECRET, ("accept", "text/csv")]).await;
    let mut lines = table.lines();
    assert_eq!(
        (lines.next(), lines.nth(9)),
        (Some("date,hour,revenue,orders"), Some("2026-03-15,9,49.99,1"))
    );
    let (status, body) = service.get(&format!("{path}&source=shopify"), &[SECRET]).await;
    assert_eq!((status, body), (400, error("source is not supported yet")));
}

#[tokio::test]
async fn one_source_is_asked_for_by_its_key() {
    let mut service = Service::new(OPEN);
    for (source, gross) in [("shopify", 4_000), ("analytics", 999)] {
        let mut metric = revenue("2026-03-15", "USD", &[("gross", gross), ("orders", 1)]);
        metric.metric = "revenue_by_source".to_owned();
        metric.dimensions.insert("source".to_owned(), source.to_owned());
        service.working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
    }
    service.publish();
    let total = async |source: &str| {
        service.json(&format!("{REPORT}?days=1{source}")).await["total_revenue"].to_string()
    };
    assert_eq!(total("").await, "49.99");
    assert_eq!(total("&source=analytics").await, "9.99");
    assert_eq!(total("&source=stripe").await, "0.0");
}

#[tokio::test]
async fn a_report_that_has_not_changed_is_not_sent_again() {
    let mut service = Service::new(OPEN);
    let first = service.send("GET", REPORT, &[SECRET]).await;
    let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(first.headers()[header::CACHE_CONTROL], "private, no-cache");
    let weak = format!("\"other\", W/{tag}");
    for known in [tag.as_str(), weak.as_str(), "*"] {
        let again = service.send("GET", REPORT, &[SECRET, ("if-none-match", known)]).await;
        assert_eq!(again.status(), 304);
        assert_eq!(again.headers()[header::ETAG], tag.as_str());
        assert!(again.into_body().collect().await.unwrap().to_bytes().is_empty());
    }
    let metric = revenue("2026-03-15", "USD", &[("gross", 5_000), ("orders", 1)]);
    service.working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
    service.publish();
    assert_eq!(service.send("GET", REPORT, &[SECRET, ("if-none-match", &tag)]).await.status(), 200);
    // A tag opens nothing.
    assert_eq!(service.send("GET", REPORT, &[("if-none-match", &tag)]).await.status(), 401);
}

#[tokio::test]
async fn before_everything_is_loaded_no_figure_is_told() {
    let service = Service::loading(OPEN);
    for path in SECRET_PATHS {
        let response = service.send("GET", path, &[SECRET]).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()[header::RETRY_AFTER]),
            (503, &"1".parse().unwrap())
        );
    }
    assert_eq!(service.get(REPORT, &[]).await.0, 401);
}

#[tokio::test]
async fn without_kafka_the_last_figures_are_told() {
    let service = Service::new(OPEN);
    service.app.published.set(Trouble::Unreachable, true);
    assert_eq!(service.get(REPORT, &[SECRET]).await.0, 200);
}

#[tokio::test]
async fn people_and_orders_are_found_by_any_of_their_ids() {
    let service = Service::new(OPEN);
    let person = service.json("/v1/people/Jane%2B1@Example.com").await;
    let id = person["person_id"].as_str().unwrap();
    assert_eq!(service.json(&format!("/v1/people/{id}")).await, person);
    for path in
        ["/v1/orders/450789469", "/v1/orders/%231001", "/v1/orders/gid:%2F%2Fshopify%2FOrder%2F450789469"]
    {
        let order = service.json(path).await;
        assert_eq!(order["refunded_total"], json!({"minor": 49, "currency": "USD"}), "{path}");
    }
    assert_eq!(service.get("/v1/people/nobody", &[SECRET]).await, (404, error("Not found")));
}

#[tokio::test]
async fn outcomes_and_dead_letters_are_told_without_bodies() {
    let service = Service::new(OPEN);
    let outcomes = service.json("/v1/metrics/outcomes").await;
    assert_eq!((&outcomes["duplicates"], &outcomes["total"]), (&json!(4), &json!(6)));
    let (_, letters) = service.get("/v1/dead-letters/summary", &[SECRET]).await;
    assert!(letters.contains(r#""reason":"bad_money""#) && !letters.contains("body"), "{letters}");
}

#[tokio::test]
async fn a_wrong_method_is_told_which_are_right() {
    let service = Service::new(OPEN);
    let response = service.send("POST", REPORT, &[SECRET]).await;
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, error("Method not allowed").as_bytes());
}

#[tokio::test]
async fn every_answer_can_be_found_again_and_is_counted() {
    let service = Service::new(OPEN);
    let given = service.send("GET", REPORT, &[SECRET, ("x-correlation-id", "abc-1")]).await;
    assert_eq!(given.headers()["x-correlation-id"], "abc-1");
    for bad in ["", "a b", &"x".repeat(65)] {
        let made = service.send("GET", "/nowhere", &[("x-correlation-id", bad)]).await;
        assert_eq!(made.headers()["x-correlation-id"].len(), 36, "{bad}");
        assert_eq!(made.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
    let counted = service.app.metrics.to_text().unwrap();
    let line = r#"tillstream_http_requests_total{endpoint="reports",source="none",status="200"} 1"#;
    assert!(counted.contains(line), "{counted}");
}

/// The next frame of a stream.
async fn frame(response: &mut Response) -> String {
    let frame = tokio::time::timeout(std::time::Duration::from_secs(30), response.body_mut().frame()).await;
    let data = frame.expect("a frame in time").expect("no end").unwrap().into_data().unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

const HOST: (&str, &str) = ("host", "localhost");

#[tokio::test(start_paused = true)]
async fn the_stream_tells_the_summary_then_each_change_and_beats_when_it_is_quiet() {
    let mut service = Service::new(OPEN);
    let mut stream = service.send("GET", "/dashboard/stream?workspace=demo&days=7", &[HOST]).await;
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    let first = frame(&mut stream).await;
    assert!(
        first.starts_with("event: reading\ndata: {\"reading\":\"live\"}\n\nevent: summary\ndata: {"),
        "{first}"
    );
    assert!(first.contains(r#""revenue":49.99"#) && first.ends_with("\n\n"), "{first}");

    // A publication that changes nothing here says nothing: the next frame is the beat.
    service.publish();
    assert_eq!(frame(&mut stream).await, "event: beat\ndata: {\"now\":\"2026-03-15T12:00:00Z\"}\n\n");

    let began = tokio::time::Instant::now();
    for gross in 1..=20 {
        let metric = revenue("2026-03-15", "USD", &[("gross", gross), ("orders", 1)]);
        service.working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
        service.publish();
    }
    let change = frame(&mut stream).await;
    assert!(change.starts_with("event: summary\n") && change.contains(r#""revenue":0.20"#), "{change}");
    let metric = revenue("2026-03-15", "USD", &[("gross", 100), ("orders", 1)]);
    service.working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
    service.publish();
    assert!(frame(&mut stream).await.contains(r#""revenue":1.00"#));
    assert!(began.elapsed() >= std::time::Duration::from_millis(250));

    service.app.published.set(Trouble::Unreachable, true);
    assert_eq!(frame(&mut stream).await, "event: reading\ndata: {\"reading\":\"interrupted\"}\n\n");
    service.app.shutdown.trigger();
    assert!(stream.body_mut().frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_during_loading_tells_the_summary_when_it_is_there() {
    let mut service = Service::loading(OPEN);
    let mut stream = service.send("GET", "/dashboard/stream", &[HOST]).await;
    assert_eq!(frame(&mut stream).await, "event: reading\ndata: {\"reading\":\"loading\"}\n\n");
    service.publish();
    assert!(frame(&mut stream).await.contains("event: summary\n"));
}

#[tokio::test]
async fn a_stream_that_can_not_be_is_refused() {
    let service = Service::new(OPEN);
    let path = "/dashboard/stream?workspace=nobody";
    assert_eq!(service.get(path, &[HOST]).await, (404, error("Not found")));
    let path = "/dashboard/stream?days=0";
    assert_eq!(service.get(path, &[HOST]).await, (400, error("Invalid date range")));
    let all = Arc::clone(&service.app.streams).try_acquire_many_owned(STREAMS as u32).unwrap();
    assert_eq!(service.get("/dashboard/stream", &[HOST]).await, (503, error("Too many live streams")));
    drop(all);
    let stream = service.send("GET", "/dashboard/stream", &[HOST]).await;
    assert_eq!(service.app.streams.available_permits(), STREAMS - 1);
    drop(stream);
    assert_eq!(service.app.streams.available_permits(), STREAMS);
}

mod dashboard;
mod documented;
mod shoppers;

/// A path of the documentation with its examples in it.
fn path_of(operation: &Operation) -> String {
    let parameters = operation.parameters.iter().filter(|parameter| parameter.required);
    parameters.fold(operation.path.to_owned(), |path, parameter| {
        path.replace(&format!("{{{}}}", parameter.name), &parameter.example.replace('+', "%2B"))
    })
}

#[tokio::test]
async fn every_answer_that_the_documentation_shows_is_the_one_that_is_given() {
    let service = Service::with_breakdowns();
    let mut others = Vec::new();
    for operation in REPORTS
        .iter()
        .chain(OPERATIONS)
        .filter(|o| !matches!(o.path, "/" | "/assets/{name}" | "/dashboard/stream"))
    {
        let path = path_of(operation);
        let mut query: Vec<String> = operation
            .parameters
            .iter()
            .filter(|parameter| {
                parameter.required && !operation.path.contains(&format!("{{{}}}", parameter.name))
            })
            .map(|parameter| format!("{}={}", parameter.name, parameter.example))
            .collect();
        if operation.parameters.len() > 1 {
            query.push("days=2".to_owned());
        }
        let path = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        let (status, body) = service.get(&path, &[SECRET, ("host", "localhost")]).await;
        assert_eq!(status, 200, "{path}: {body}");
        let shown = operation.answers.iter().find(|answer| answer.status == 200).unwrap();
        let (given, shown): (Value, Value) =
            (serde_json::from_str(&body).unwrap(), serde_json::from_str(shown.body).unwrap());
        if given != shown {
            let file = format!("{}/src/operations/{}.json", env!("CARGO_MANIFEST_DIR"), operation.id);
            if std::env::var_os("TILLSTREAM_WRITE_EXAMPLES").is_some() {
                std::fs::write(&file, body + "\n").unwrap();
            }
            others.push(file);
        }
    }
    assert!(others.is_empty(), "TILLSTREAM_WRITE_EXAMPLES=1 writes these anew: {others:?}");
}

#[tokio::test]
async fn every_path_is_documented_with_its_refusals() {
    let told: Vec<_> = REPORTS.iter().chain(OPERATIONS).map(|operation| operation.path).collect();
    for report in Report::ALL {
        let path = format!("/v1/api/analytics/ecommerce/{}", report.as_str());
        assert!(told.contains(&path.as_str()), "{path} is missing in src/operations.rs");
    }
    let routes =
        include_str!("../http.rs").split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next());
    for path in routes.filter(|path| !path.ends_with("ecommerce/{report}")) {
        assert!(told.contains(&path), "{path} is missing in src/operations.rs");
    }
    let (service, loading) = (Service::new(Access::Key), Service::loading(Access::Key));
    // A stream has no end; its refusals are those of `a_stream_that_can_not_be_is_refused`.
    let asked = |operation: &&Operation| !operation.path.starts_with("/dashboard") && operation.path != "/";
    for operation in REPORTS.iter().chain(OPERATIONS).filter(asked) {
        let path = path_of(operation);
        let refusals = [
            service.get(&path, &[]).await,
            service.get(&path, &[("x-api-key", "pk_dev_demo")]).await,
            service.get(&format!("{path}?days=0"), &[SECRET]).await,
            service.get(&format!("{path}?currency=XYZ"), &[SECRET]).await,
            service.get(&format!("{path}?source=x"), &[SECRET]).await,
            service.get(&format!("{path}?exclude_flagged=true"), &[SECRET]).await,
            service.get(&format!("{path}?exclude_flagged=x"), &[SECRET]).await,
            service.get(&format!("{path}?ordered=x"), &[SECRET]).await,
            service.get(&format!("{path}?ordered=true&window=x"), &[SECRET]).await,
            service.get(&format!("{path}?limit=0"), &[SECRET]).await,
            service.get(&format!("{path}?granularity=week"), &[SECRET]).await,
            service.get(&format!("{path}?granularity=hour&days=93"), &[SECRET]).await,
            service.get(&format!("{path}?granularity=hour&source=shopify"), &[SECRET]).await,
            loading.get(&path, &[SECRET]).await,
        ];
        for (status, body) in refusals.into_iter().filter(|(status, _)| *status != 200) {
            let shown = operation.answers.iter().any(|answer| answer.status == status && answer.body == body);
            assert!(shown, "{path}: {status} {body} isn't told");
        }
    }
}

#[tokio::test]
async fn the_documentation_is_served_to_everybody() {
    let service = Service::new(Access::Key);
    let (status, body) = service.get("/openapi.json", &[]).await;
    assert_eq!((status, body.as_str()), (200, service::docs::OPENAPI));
    let page = service.send("GET", "/docs", &[]).await;
    assert!(
        page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("script-src 'sha256-")
    );
}
