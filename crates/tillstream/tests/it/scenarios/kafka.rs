//! All scenarios in one run of the product: HTTP, real Kafka, the real services, killed and started again in the middle.
//!
//! Each plays in a workspace of its own. Where arrivals matter, they are long ago, and the gateway stamps what it takes
//! with the time that it is: those scenarios' deliveries are put into the raw topic with their stamps, as the gateway
//! would have stored them. All others come over HTTP. Between partitions there is no order, so a scenario that depends on
//! it isn't played here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use sources::WorkspaceConfig;
use stream::{Follow, Followed, follow};
use tillstream::demo::delivery::Delivery as Request;
use topics::{SchemaRegistry, Schemas, Topic};

use super::core::{parts, take};
use super::left::{Left, Said};
use super::requests::Stored;
use super::told::Scenario;
use crate::running::{Up, folder, log, turn};

/// A scenario's deliveries, as they are to be sent.
enum Play {
    Http(Vec<(Request, Option<u16>)>),
    Raw(Vec<Stored>),
}

impl Play {
    fn of(scenario: &Scenario) -> Self {
        if scenario.deliveries.iter().any(|delivery| delivery.at.is_some()) {
            return Self::Raw(scenario.stored(&parts(scenario).workspaces));
        }
        let requests = scenario.requests_from(service::clock::now());
        Self::Http(requests.into_iter().map(|(request, _, status)| (request, status)).collect())
    }

    fn len(&self) -> usize {
        match self {
            Self::Http(requests) => requests.len(),
            Self::Raw(records) => records.len(),
        }
    }

    fn send(&self, up: &Up, name: &str, which: std::ops::Range<usize>) {
        match self {
            Self::Http(requests) => requests[which].iter().for_each(|request| post(up, name, request)),
            Self::Raw(records) => write(up, &records[which]),
        }
    }
}

fn post(up: &Up, name: &str, (request, expected): &(Request, Option<u16>)) {
    let client =
        reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    let url = format!("{}{}", up.endpoints.gateway, request.path_and_query);
    let mut sent = client.request(request.method.parse().unwrap(), url).body(request.body.clone());
    for (name, value) in &request.headers {
        sent = sent.header(name, value);
    }
    let status = sent.send().unwrap().status().as_u16();
    let fine = expected.map_or((200..300).contains(&status), |expected| expected == status);
    assert!(fine, "{name}: {} was answered {status}", request.path());
}

fn client(up: &Up) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &up.endpoints.kafka);
    client
}

fn write(up: &Up, records: &[Stored]) {
    let producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext> =
        client(up).set("acks", "all").set("enable.idempotence", "true").create().unwrap();
    for stored in records {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &stored.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let key = stored.offset.to_string();
        producer
            .send(BaseRecord::to(Topic::Raw.name()).key(&key).payload(&stored.body).headers(headers))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

/// The configuration file with a workspace for each.
fn configure(dir: &Path, scenarios: &[Scenario]) -> String {
    let all: Vec<WorkspaceConfig> = scenarios.iter().map(Scenario::config).collect();
    let text = toml::to_string(&BTreeMap::from([("workspaces", all)])).unwrap();
    let path = dir.join("scenarios.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Reads the public topics until everything is as it is written down, or nothing has changed for a while; says where it
/// isn't.
fn differences(up: &Up, scenarios: &[Scenario]) -> Vec<String> {
    let registry = SchemaRegistry::new(&up.endpoints.registry, Duration::from_secs(10)).unwrap();
    let mut decoder = Schemas::lookup(&registry).unwrap().decoder();
    let topics = [Topic::Orders, Topic::Profiles, Topic::Metrics];
    let what = Follow { client: client(up), topics: topics.map(|topic| topic.name().to_owned()).to_vec() };
    let mut left: BTreeMap<String, Left> = BTreeMap::new();
    let (mut said, nothing) = (Said::default(), Left::default());
    let ended = std::cell::Cell::new(false);
    let mut changed = Instant::now();
    let mut found = Vec::new();
    let read = follow(&what, &|| ended.get(), &mut |followed| {
        match followed {
            Followed::Record { topic, key, value, .. } => {
                changed = Instant::now();
                let workspace = String::from_utf8_lossy(key).split(':').next().unwrap().to_owned();
                let topic = topics.into_iter().find(|known| known.name() == topic).unwrap();
                take(topic, key, value, &mut decoder, (left.entry(workspace).or_default(), &mut said));
            }
            Followed::CaughtUp | Followed::Idle => {
                let of = |scenario: &Scenario| {
                    let all = scenario.differences(left.get(&scenario.id()).unwrap_or(&nothing));
                    all.into_iter().map(|one| format!("{}: {one}", scenario.name)).collect::<Vec<String>>()
                };
                found = scenarios.iter().flat_map(of).collect();
                ended.set(found.is_empty() || changed.elapsed() > Duration::from_secs(60));
            }
        }
        Ok(())
    });
    read.unwrap();
    found
}

#[test]
fn every_scenario_ends_the_same_in_the_product_killed_and_started_again() {
    let _turn = turn();
    let dir = folder();
    let scenarios: Vec<Scenario> =
        Scenario::all().into_iter().filter(|scenario| scenario.depends_on_order.is_none()).collect();
    let plays: Vec<Play> = scenarios.iter().map(Play::of).collect();
    assert!(plays.iter().filter(|play| matches!(play, Play::Http(_))).count() > 15);
    let file = configure(dir.path(), &scenarios);
    let up = Up::start(dir.path(), &["--config", &file]);
    for (scenario, play) in scenarios.iter().zip(&plays) {
        play.send(&up, &scenario.name, 0..play.len() / 2);
    }
    up.kill();
    let up = Up::start(dir.path(), &["--config", &file]);
    for (scenario, play) in scenarios.iter().zip(&plays) {
        play.send(&up, &scenario.name, play.len() / 2..play.len());
    }
    let found = differences(&up, &scenarios);
    assert!(found.is_empty(), "{} differences\n{}\n{}", found.len(), found.join("\n"), log(dir.path()));
}
