//! A gateway of its own for each test, with a workspace of its own, on the test process's Kafka.

use std::net::SocketAddr;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::{DeadLetter, ReceivedTime};
use gateway::{Door, Gateway};
use hmac::{Hmac, Mac};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use reqwest::{Client, RequestBuilder, StatusCode};
use service::{Config, Metrics, Readiness, Shutdown};
use sha2::Sha256;
use sources::meter::Unmetered;
use sources::{Decision, Keyed, Workspaces};
use tokio::task::{JoinHandle, spawn_blocking};
use topics::{SchemaRegistry, Schemas, Topic};

pub type Environment = Vec<(&'static str, String)>;

pub struct Rig {
    pub client: Client,
    pub address: SocketAddr,
    pub workspace: String,
    pub shutdown: Shutdown,
    pub server: JoinHandle<()>,
    pub door: Door,
    workspaces: Workspaces,
    pub bootstrap: String,
}

/// The settings of a workspace with these secrets of its shop.
pub fn tenant(workspace: &str, secrets: &[String]) -> String {
    format!(
        "[{{id = '{workspace}', shopify = [{{shop = '{workspace}.example', secrets = ['{}']}}], lifesight = {{keys = ['key-{workspace}']}}, records = {{keys = ['records-{workspace}']}}}}]",
        secrets.join("', '")
    )
}

#[derive(Debug)]
pub struct Record {
    pub partition: i32,
    pub key: String,
    pub value: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Record {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Rig {
    pub async fn start(workspace: &str) -> Self {
        Self::start_with(workspace, |_| ()).await
    }

    pub async fn start_with(workspace: &str, adjust: impl FnOnce(&mut Environment)) -> Self {
        static TOPICS: OnceLock<()> = OnceLock::new();
        let cluster = spawn_blocking(localkafka::shared).await.unwrap();
        let registry = cluster.registry_url();
        spawn_blocking(move || {
            TOPICS.get_or_init(|| {
                create_topics(cluster.bootstrap());
                let registry = SchemaRegistry::new(cluster.registry_url(), Duration::from_secs(20)).unwrap();
                Schemas::register_all(&registry).unwrap();
            });
        })
        .await
        .unwrap();
        let rig = Self::on(cluster.bootstrap(), registry, workspace, adjust).await;
        rig.until_ready().await;
        rig
    }

    /// Another copy of the gateway, for the same workspace.
    pub async fn copy(&self, instance: &str) -> Self {
        let registry = localkafka::shared().registry_url();
        let rig = Self::on(&self.bootstrap, registry, &self.workspace, |env| {
            env.push(("TILLSTREAM_INSTANCE", instance.to_owned()));
        })
        .await;
        rig.until_ready().await;
        rig
    }

    /// What the door says of a request of the records API.
    pub fn keyed(&self, path: &str, key: &str, body: &str) -> Keyed {
        let request = self.row(path, key, body).build().unwrap();
        let route = sources::route(request.method(), request.url().path()).unwrap();
        let request = sources::Request {
            method: request.method(),
            path: request.url().path(),
            query: None,
            headers: request.headers(),
            body: body.as_bytes(),
            received_at: ReceivedTime(0),
            correlation: "",
            peer: None,
        };
        match sources::accept(&route, &request, &self.workspaces, &Unmetered) {
            Decision::Accept(accepted) => accepted.keyed.unwrap(),
            other => panic!("not accepted: {other:?}"),
        }
    }

    /// Ends it as SIGTERM does.
    pub async fn stop(self) {
        self.shutdown.trigger();
        self.server.await.unwrap();
    }

    pub async fn on(
        bootstrap: &str,
        registry: &str,
        workspace: &str,
        adjust: impl FnOnce(&mut Environment),
    ) -> Self {
        listen_to_logs();
        let mut environment = vec![
            ("TILLSTREAM_INSTANCE", workspace.to_owned()),
            ("TILLSTREAM_KAFKA__BOOTSTRAP", bootstrap.to_owned()),
            ("TILLSTREAM_REGISTRY__URL", registry.to_owned()),
            ("TILLSTREAM_GATEWAY__LISTEN", "127.0.0.1:0".to_owned()),
            ("TILLSTREAM_WORKSPACES", tenant(workspace, &[format!("secret-{workspace}")])),
        ];
        adjust(&mut environment);
        let environment: Vec<_> =
            environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let config = Config::load_from(None, &environment, Vec::new()).unwrap();
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        let gateway =
            Gateway::bind(&config, Metrics::new("test").unwrap(), readiness, shutdown.clone()).await.unwrap();
        Self {
            client: Client::builder().no_proxy().build().unwrap(),
            address: gateway.address(),
            workspace: workspace.to_owned(),
            shutdown,
            door: gateway.door(),
            workspaces: config.workspaces().unwrap(),
            server: tokio::spawn(gateway.run()),
            bootstrap: bootstrap.to_owned(),
        }
    }

    pub async fn until_ready(&self) {
        for _ in 0..200 {
            if self.get("/readyz").await.0 == StatusCode::OK {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not ready: {:?}", self.get("/readyz").await);
    }

    pub fn secret(&self) -> String {
        format!("secret-{}", self.workspace)
    }

    pub fn key(&self) -> String {
        format!("key-{}", self.workspace)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(self.url(path)).header("content-type", "application/json")
    }

    pub fn shopify(&self, body: &[u8]) -> RequestBuilder {
        let signature = sign(&self.secret(), body);
        self.post("/webhooks/shopify/orders/create")
            .header("X-Shopify-Hmac-Sha256", signature)
            .body(body.to_vec())
    }

    pub fn lifesight(&self, event: &str, body: &[u8]) -> RequestBuilder {
        let path = format!(
            "/transform-webhook-data?key={}&workspace={}&source=test&event_name={event}",
            self.key(),
            self.workspace
        );
        self.post(&path).body(body.to_vec())
    }

    /// A request of the records API; `path` is `orders/append`.
    pub fn row(&self, path: &str, key: &str, body: impl Into<String>) -> RequestBuilder {
        self.post(&format!("/public/v1/records/{path}"))
            .header("authorization", format!("Bearer records-{}", self.workspace))
            .header("idempotency-key", key)
            .body(body.into())
    }

    pub async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.client.get(self.url(path)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    pub async fn records(&self, topic: Topic) -> Vec<Record> {
        let (bootstrap, workspace) = (self.bootstrap.clone(), self.workspace.clone());
        spawn_blocking(move || records(&bootstrap, topic, &workspace)).await.unwrap()
    }

    pub async fn letters(&self) -> Vec<DeadLetter> {
        let (bootstrap, workspace) = (self.bootstrap.clone(), self.workspace.clone());
        spawn_blocking(move || {
            let registry =
                SchemaRegistry::new(localkafka::shared().registry_url(), Duration::from_secs(5)).unwrap();
            let mut decoder = Schemas::lookup(&registry).unwrap().decoder();
            let all = read(&bootstrap, Topic::DeadLetters);
            let all = all.iter().map(|record| decoder.decode::<DeadLetter>(&record.value).unwrap());
            all.filter(|letter| letter.workspace == workspace).collect()
        })
        .await
        .unwrap()
    }
}

pub fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

pub fn records(bootstrap: &str, topic: Topic, workspace: &str) -> Vec<Record> {
    let all = read(bootstrap, topic);
    all.into_iter().filter(|record| record.header("workspace") == Some(workspace)).collect()
}

/// A reader of committed records, or of all.
fn consumer(bootstrap: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "never-committed")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .set("fetch.message.max.bytes", "16000000")
        .create()
        .unwrap()
}

/// Waits until every transaction is decided that is open before the end that a partition has now: another test may have
/// left one open for a while, and to readers of committed records the partition ends there.
fn decided(committed: &BaseConsumer, bootstrap: &str, topic: Topic, partitions: &[i32]) {
    let wait = Duration::from_secs(10);
    let all = consumer(bootstrap, "read_uncommitted");
    let deadline = Instant::now() + Duration::from_secs(60);
    let end = |consumer: &BaseConsumer, partition| loop {
        match consumer.fetch_watermarks(topic.name(), partition, wait) {
            Ok((_, end)) => return end,
            Err(error) => assert!(Instant::now() < deadline, "{topic:?} {partition}: {error}"),
        }
    };
    for partition in partitions {
        let until = end(&all, *partition);
        while end(committed, *partition) < until {
            assert!(Instant::now() < deadline, "{topic:?} {partition}: a transaction stays open");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// All committed records of a topic, up to the end it has now.
fn read(bootstrap: &str, topic: Topic) -> Vec<Record> {
    let consumer = consumer(bootstrap, "read_committed");
    let wait = Duration::from_secs(10);
    let metadata = consumer.fetch_metadata(Some(topic.name()), wait).unwrap();
    let partitions: Vec<_> =
        metadata.topics()[0].partitions().iter().map(|partition| partition.id()).collect();
    decided(&consumer, bootstrap, topic, &partitions);
    let mut assignment = TopicPartitionList::new();
    for partition in &partitions {
        assignment.add_partition_offset(topic.name(), *partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let (mut records, mut ended) = (Vec::new(), 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ended < partitions.len() {
        let Some(next) = consumer.poll(wait) else {
            assert!(Instant::now() < deadline, "{topic:?}: {} records, {ended} ends", records.len());
            continue;
        };
        match next {
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
            Ok(message) => {
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                records.push(Record {
                    partition: message.partition(),
                    key: text(message.key()),
                    value: message.payload().unwrap_or_default().to_vec(),
                    headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
                });
            }
        }
    }
    records
}

pub fn create_topics(bootstrap: &str) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let configs: Vec<_> =
        [Topic::Raw, Topic::DeadLetters, Topic::Claims].map(|topic| (topic, topic.spec().config(1))).into();
    let wanted = configs.iter().map(|(topic, config)| {
        let new = NewTopic::new(topic.name(), topic.spec().partitions, TopicReplication::Fixed(1));
        config.iter().fold(new, |new, (key, value)| new.set(key, value))
    });
    let wanted: Vec<_> = wanted.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let made = runtime.block_on(admin.create_topics(&wanted, &AdminOptions::new())).unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

static LOGS: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct Log;

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGS.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn listen_to_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing_subscriber::fmt().with_env_filter("gateway=trace,service=trace").with_writer(|| Log).init();
    });
}

/// All that was logged so far, of all tests.
pub fn logs() -> String {
    String::from_utf8_lossy(&LOGS.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
