//! The service over a real Kafka and a real schema registry.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails"
)]

mod browser;
mod figures;
mod histories;
mod shoppers;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::profile::{Contact, Known};
use commerce::time::Zone;
use commerce::{Currency, Metric, Money, PersonId, Profile, ReceivedTime, WorkspaceId};
use query::Query;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use reqwest::blocking::Client;
use serde_json::Value;
use service::{Config, Metrics, Readiness, Shutdown};
use sources::WorkspaceConfig;
use topics::{Admin, Layout, SchemaRegistry, Schemas, Topic};

const PATIENCE: Duration = Duration::from_secs(20);

/// Writes what the stages write, in transactions.
struct Stages {
    schemas: Schemas,
    producer: BaseProducer,
}

impl Stages {
    /// `name` is that of the producer, which no other test may have.
    fn new(name: &str) -> Self {
        let cluster = localkafka::shared();
        let registry = SchemaRegistry::new(cluster.registry_url(), PATIENCE).unwrap();
        let admin = Admin::new(cluster.bootstrap(), &BTreeMap::new(), Layout::new(1)).unwrap();
        let plan = admin.plan(Some(&registry)).unwrap();
        admin.apply(&plan, Some(&registry)).unwrap();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap())
            .set("transactional.id", name)
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        Self { schemas: Schemas::lookup(&registry).unwrap(), producer }
    }

    fn send(&self, topic: Topic, key: &str, value: Option<&[u8]>) {
        let mut record = BaseRecord::<str, [u8]>::to(topic.name()).key(key);
        if let Some(value) = value {
            record = record.payload(value);
        }
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
    }

    fn put(&self, topic: Topic, key: &str, value: &impl commerce::avro::Datum) {
        let mut bytes = Vec::new();
        self.schemas.encoder(topic).unwrap().encode(value, &mut bytes).unwrap();
        self.send(topic, key, Some(&bytes));
    }

    fn committed(&self, write: impl FnOnce(&Self)) {
        self.producer.begin_transaction().unwrap();
        write(self);
        self.producer.commit_transaction(PATIENCE).unwrap();
    }
}

fn revenue(gross: i64, orders: i64) -> Metric {
    let now = service::clock::now();
    Metric {
        workspace: WorkspaceId::try_new("demo").unwrap(),
        metric: "revenue".to_owned(),
        window: "day".to_owned(),
        window_start: Zone::utc().day_of(now.as_event()).to_string(),
        dimensions: BTreeMap::from([("currency".to_owned(), "USD".to_owned())]),
        values: BTreeMap::from([("gross".to_owned(), gross), ("orders".to_owned(), orders)]),
        revision: 0,
        corrected: false,
        as_of: ReceivedTime(1_000_000),
        window_end_at: None,
        members: None,
    }
}

fn profile() -> Profile {
    let contact = Contact {
        identifiers: vec![Identifier::plain(Kind::Email, "jane@example.com")],
        email: Some("jane@example.com".to_owned()),
        ..Contact::default()
    };
    let workspace = WorkspaceId::try_new("demo").unwrap();
    let known = Known { contact, ..Known::default() };
    Profile::new(workspace, PersonId(7), known, Currency::USD, ReceivedTime(1))
}

fn order() -> View {
    let total = Some(Money::new(3049, Currency::USD));
    View {
        id: "1".to_owned(),
        aliases: vec!["number:1001".to_owned()],
        counted: true,
        total,
        ..View::default()
    }
}

struct Service {
    address: SocketAddr,
    http: Client,
    shutdown: Shutdown,
    thread: Option<thread::JoinHandle<()>>,
}

impl Service {
    fn start() -> Self {
        let cluster = localkafka::shared();
        let overrides = [
            ("kafka.bootstrap", cluster.bootstrap()),
            ("registry.url", cluster.registry_url()),
            ("query.listen", "127.0.0.1:0"),
        ];
        let overrides = overrides.map(|(key, value)| (key.to_owned(), value.into())).to_vec();
        let mut config = Config::load_from(None, &[], overrides).unwrap();
        config.workspaces = vec![WorkspaceConfig::development()];
        let shutdown = Shutdown::new();
        let (tell, address) = std::sync::mpsc::channel();
        let until = shutdown.clone();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let readiness = Readiness::new(until.clone());
                let metrics = Metrics::new("test").unwrap();
                let query = Query::build(&config, metrics, readiness, until).await.unwrap();
                tell.send(query.address()).unwrap();
                query.run().await.unwrap();
            });
        });
        let http = Client::builder().no_proxy().timeout(None).build().unwrap();
        Self { address: address.recv_timeout(PATIENCE).unwrap(), http, shutdown, thread: Some(thread) }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let request =
            self.http.get(format!("http://{}{path}", self.address)).header("x-api-key", "sk_dev_demo");
        let answer = request.send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Asks until the answer is right; how long it took.
    fn until(&self, path: &str, right: impl Fn(u16, &str) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let (status, body) = self.get(path);
            if right(status, &body) {
                return began.elapsed();
            }
            assert!(began.elapsed() < PATIENCE, "{path} says {status} {body}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(mut self) {
        self.shutdown.trigger();
        self.thread.take().unwrap().join().unwrap();
    }
}

/// One of them pauses the broker that all share.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const OVERVIEW: &str = "/v1/api/analytics/ecommerce/overview";

#[test]
fn what_the_stages_commit_is_answered_and_outlives_kafka() {
    let _alone = alone();
    let stages = Stages::new("figures");
    let key = revenue(0, 0).key();
    stages.committed(|stages| {
        for n in 1..=500 {
            stages.put(Topic::Metrics, &key, &revenue(n * 100, n));
        }
        stages.put(Topic::Profiles, &format!("demo:{}", PersonId(7)), &profile());
        stages.put(Topic::Orders, "demo:1", &order());
        stages.send(Topic::Metrics, "demo:revenue:day:2026-01-01:currency=USD", Some(b"no Avro"));
    });
    stages.producer.begin_transaction().unwrap();
    stages.put(Topic::Metrics, &key, &revenue(99_999_999, 1));
    stages.producer.flush(PATIENCE).unwrap();
    stages.producer.abort_transaction(PATIENCE).unwrap();

    let service = Service::start();
    service.until("/readyz", |status, _| status == 200);
    let overview = service.json(OVERVIEW);
    assert_eq!(overview["total_revenue"].to_string(), "500.0", "{overview}");
    assert_eq!(overview["total_orders"], 500);
    assert_eq!(overview["as_of"], "1970-01-01T00:00:01Z");
    assert_eq!(service.json("/v1/people/jane@example.com")["person_id"], PersonId(7).to_string());
    assert_eq!(service.json("/v1/orders/1001")["total"]["minor"], 3049);
    let (_, metrics) = service.get("/metrics");
    assert!(metrics.contains("tillstream_query_unreadable_records_total 1"), "{metrics}");

    stages.committed(|stages| {
        stages.put(Topic::Metrics, &key, &revenue(77, 501));
        stages.send(Topic::Orders, "demo:1", None);
    });
    let took = service.until(OVERVIEW, |_, body| body.contains(r#""total_revenue":0.77,"#));
    assert!(took < Duration::from_secs(2), "a commit was seen after {took:?}");
    service.until("/v1/orders/1001", |status, _| status == 404);

    let stream = service.http.get(format!("http://{}/dashboard/stream", service.address)).send().unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with(r#"data: {"workspace":"demo""#)));
    let cluster = localkafka::shared();
    cluster.pause(1).unwrap();
    let gone = lines.any(|line| line == r#"data: {"reading":"interrupted"}"#);
    assert!(gone && service.json(OVERVIEW)["total_orders"] == 501);
    cluster.resume(1).unwrap();
    assert!(lines.any(|line| line == r#"data: {"reading":"live"}"#));

    service.stop();
    assert!(lines.all(|line| !line.contains("error")), "the stream ends with the service");
}

/// Somebody wished for something, `n` seconds after 1970.
fn wish(n: i64) -> commerce::Fact {
    commerce::Fact {
        event_id: format!("wish-{n}"),
        event: commerce::EventName::WishlistItemAdded,
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source: commerce::Source::Customerio,
        source_space: String::new(),
        source_event: "wished".to_owned(),
        occurred_at: commerce::EventTime(n * 1_000_000),
        received_at: ReceivedTime(n * 1_000_000),
        entity_type: "event".to_owned(),
        entity_id: format!("wish-{n}"),
        order_id: None,
        person_id: Some(PersonId(77)),
        before: None,
        after: None,
        refund: None,
        activity: None,
        group: None,
        payment: None,
        subscription: None,
        properties: BTreeMap::new(),
        flags: vec!["shadow".to_owned()],
        origin: commerce::event::Origin::live(),
        trigger_eligible: false,
        qa: false,
        fraud: None,
        from_person_id: None,
    }
}

#[test]
fn a_history_is_seen_within_seconds_by_every_copy_and_again_after_a_restart() {
    let _alone = alone();
    let stages = Stages::new("histories");
    stages.committed(|stages| stages.put(Topic::Facts, "demo:wish", &wish(1)));
    stages.producer.begin_transaction().unwrap();
    stages.put(Topic::Facts, "demo:wish", &wish(9));
    stages.producer.flush(PATIENCE).unwrap();
    stages.producer.abort_transaction(PATIENCE).unwrap();
    let (one, other) = (Service::start(), Service::start());
    let path = format!("/v1/people/{}/events", PersonId(77));
    for copy in [&one, &other] {
        copy.until(&path, |status, _| status == 200);
    }
    stages.committed(|stages| stages.put(Topic::Facts, "demo:wish", &wish(2)));
    for copy in [&one, &other] {
        copy.until(&path, |_, body| body.contains("wish-2"));
    }
    let told = one.json(&path);
    let ids: Vec<_> =
        told["events"].as_array().unwrap().iter().map(|event| event["event_id"].clone()).collect();
    assert_eq!(ids, ["wish-2", "wish-1"], "newest first, and nothing that was aborted");
    assert_eq!(told["events"][0]["flags"], serde_json::json!(["shadow"]));
    one.stop();
    let again = Service::start();
    again.until(&path, |status, _| status == 200);
    assert_eq!((again.json(&path), other.json(&path)), (told.clone(), told));
    again.stop();
    other.stop();
}
