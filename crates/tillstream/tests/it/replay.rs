//! A second version of the figures beside the first, with processes that are killed, and real Kafka.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use commerce::Metric;
use rdkafka::ClientConfig;
use serde_json::{Value, json};
use stream::{Followed, Outgoing, Writer, read_decided};
use topics::{SchemaRegistry, Schemas, Topic};

use crate::running::{Up, command, diagnosis, folder, spawned, turn, wait, wait_in};

const REPORTS: [&str; 6] = [
    "overview?days=365",
    "revenue-timeseries?days=365",
    "top-products?days=365",
    "funnel?days=365",
    "attribution?days=365",
    "cohorts?months=12",
];

/// The services of one process, and a second copy of the query service in another.
struct Services {
    all: Child,
    query: Child,
    second: String,
}

impl Services {
    fn start(dir: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = dir.join("config.toml");
        let mut query =
            command(dir, &["serve", "query", "--config", config.to_str().unwrap(), "--instance", "b"]);
        query.env("TILLSTREAM_QUERY__LISTEN", format!("127.0.0.1:{port}"));
        let second = format!("http://127.0.0.1:{port}");
        Self { all: Self::all(dir), query: spawned(dir, &mut query), second }
    }

    fn all(dir: &Path) -> Child {
        let config = dir.join("config.toml");
        let mut all =
            command(dir, &["serve", "all", "--config", config.to_str().unwrap(), "--instance", "a"]);
        // So small that a replay of a few hundred facts lasts until it is killed.
        spawned(dir, all.env("TILLSTREAM_AGGREGATOR__MAX_TRANSACTION_RECORDS", "1"))
    }

    fn kill(&mut self) {
        self.all.kill().unwrap();
        self.all.wait().unwrap();
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        for child in [&mut self.all, &mut self.query] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn get(base: &str, path: &str) -> Option<String> {
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build();
    let answer = client.unwrap().get(format!("{base}{path}")).header("x-api-key", "sk_dev_demo").send();
    answer.ok().filter(|answer| answer.status().is_success()).map(|answer| answer.text().unwrap())
}

/// A report without its time.
fn report(base: &str, report: &str) -> Option<String> {
    let text = get(base, &format!("/v1/api/analytics/ecommerce/{report}"))?;
    let Some(from) = text.find("\"as_of\":") else { return Some(text) };
    let to = from + text[from..].find([',', '}']).unwrap();
    Some(format!("{}{}", &text[..from], &text[to..]))
}

fn reports(base: &str) -> Vec<String> {
    REPORTS.iter().map(|path| report(base, path).unwrap()).collect()
}

fn orders(base: &str) -> i64 {
    let text = get(base, "/v1/api/analytics/ecommerce/overview?days=365").unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["total_orders"].as_i64().unwrap()
}

fn document(up: &Up, args: &[&str]) -> (Option<i32>, Value) {
    let output = up.run(&[args, &["-o", "json"]].concat());
    let document = serde_json::from_slice(&output.stdout);
    (output.status.code(), document.unwrap_or_else(|_| panic!("{args:?}: {output:?}")))
}

/// How a version stands.
fn standing(up: &Up, version: &str) -> Value {
    let (_, document) = document(up, &["replay", "status"]);
    let all = document["versions"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["version"] == version).unwrap_or(Value::Null)
}

fn trigger(up: &Up, count: &str) {
    let set = ["--set", "total_price=10.00", "--set", "financial_status=paid", "--count", count];
    up.ok(&[&["trigger", "shopify", "orders/create"][..], &set].concat());
}

/// A cell of revenue with an order too many, written by somebody else.
fn plant(up: &Up, topic: &str) -> (String, i64) {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &up.endpoints.kafka);
    let registry = SchemaRegistry::new(&up.endpoints.registry, Duration::from_secs(10)).unwrap();
    let schemas = Schemas::lookup(&registry).unwrap();
    let mut cells: BTreeMap<Vec<u8>, (i32, Vec<u8>)> = BTreeMap::new();
    let whole = read_decided(&client, topic, &|| false, &mut |met| {
        if let Followed::Record { key, value: Some(value), partition, .. } = met {
            cells.insert(key.to_vec(), (partition, value.to_vec()));
        }
        Ok(())
    });
    assert!(whole.unwrap());
    let (key, (partition, value)) =
        cells.into_iter().find(|(key, _)| key.starts_with(b"demo:revenue:day:")).unwrap();
    let mut metric: Metric = schemas.decoder().decode(&value).unwrap();
    let orders = metric.values["orders"];
    metric.values.insert("orders".to_owned(), orders + 1);
    let mut value = Vec::new();
    schemas.encoder(Topic::Metrics).unwrap().encode(&metric, &mut value).unwrap();
    let writer = Writer::start(&client, "tillstream-test", 1_000_000, &|| false).unwrap();
    let planted = Outgoing {
        topic,
        partition: Some(partition),
        key: &key,
        value: Some(&value),
        timestamp_millis: 1_767_225_600_000,
        headers: &[],
    };
    writer.write(&[planted]).unwrap();
    (String::from_utf8(key).unwrap(), orders)
}

/// Asks both copies again and again for as long as `change` takes, and gives every answer that wasn't `expected`.
fn watched(bases: &[&str], expected: &str, change: impl FnOnce()) -> Vec<String> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let (mut wrong, mut asked) = (Vec::new(), 0);
            while !over.load(Ordering::Relaxed) || asked == 0 {
                for base in bases {
                    let answer = report(base, REPORTS[0]).unwrap_or_else(|| "no answer".to_owned());
                    wrong.extend(Some(answer).filter(|text| text != expected));
                    asked += 1;
                }
            }
            wrong
        });
        change();
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    })
}

/// How often the state of a version of the figures was read back so far.
fn restores(up: &Up) -> u64 {
    let text = get(&up.endpoints.metrics, "/metrics").unwrap();
    let of_versions = |line: &&str| {
        line.starts_with("tillstream_restore_duration_seconds_count")
            && (line.contains("stage=\"aggregator\"") || line.contains("stage=\"replay\""))
    };
    let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    text.lines().filter(of_versions).map(count).sum()
}

/// True when a copy of the query service answers from the topic.
fn serves(base: &str, topic: &str) -> bool {
    get(base, "/readyz").is_some_and(|text| text.contains(&format!("all figures of {topic} are loaded")))
}

#[test]
fn a_replay_is_killed_goes_on_agrees_and_is_switched_to_without_a_wrong_report() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &["--no-services"]);
    let mut services = Services::start(dir.path());
    let (first, second) = (up.endpoints.query.clone(), services.second.clone());
    let both = [first.as_str(), second.as_str()];
    wait_in(dir.path(), "both query copies", || both.iter().all(|base| get(base, "/readyz").is_some()));
    up.ok(&["demo", "--orders", "60", "--rate", "0"]);
    let sold = orders(&first);
    assert!(sold > 30, "{sold}");
    assert_eq!(up.run(&["replay", "compare"]).status.code(), Some(1), "there is one version only");
    assert_eq!(up.run(&["replay", "start", "--version", "V-2"]).status.code(), Some(64));

    // A new version is begun, more orders come, and everything is killed in the middle of it.
    let (_, dry) = document(&up, &["replay", "start", "--version", "v2", "--dry-run"]);
    assert!(dry["facts_at_most"].as_i64().unwrap() > 100, "{dry}");
    assert_eq!(standing(&up, "v2"), Value::Null);
    up.ok(&["replay", "start", "--version", "v2"]);
    assert_eq!(
        up.run(&["replay", "start", "--version", "v3"]).status.code(),
        Some(1),
        "one beside is enough"
    );
    trigger(&up, "5");
    let behind = |version: &str| standing(&up, version)["behind"].as_i64().unwrap();
    let all = standing(&up, "v2")["of"].as_i64().unwrap();
    wait_in(dir.path(), "the middle of the replay", || behind("v2") < all * 9 / 10);
    services.kill();
    let left = behind("v2");
    assert!(left < all, "{left} of {all}");
    assert!(!serves(&second, "commerce.metrics.v1.v2"));
    services.all = Services::all(dir.path());
    wait_in(dir.path(), "the services again", || get(&first, "/readyz").is_some());
    trigger(&up, "4");
    up.ok(&["replay", "status", "--wait"]);
    wait("the new orders", || both.iter().all(|base| orders(base) == sold + 9));

    let (code, compared) = document(&up, &["replay", "compare"]);
    assert_eq!((code, &compared["differences"]), (Some(0), &json!([])), "{}", diagnosis(dir.path()));
    assert!(compared["compared"].as_u64().unwrap() > 100, "{compared}");

    // What somebody else has written is found and named.
    let (key, true_orders) = plant(&up, "commerce.metrics.v1.v2");
    let (code, found) = document(&up, &["replay", "compare"]);
    let expected =
        json!([{"key": key, "field": "values.orders", "served": true_orders, "other": true_orders + 1}]);
    assert_eq!((code, &found["differences"]), (Some(1), &expected));
    let table = up.run(&["replay", "compare"]);
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(
        text.contains(&key) && text.contains(&format!("main {true_orders}, v2 {}", true_orders + 1)),
        "{text}"
    );
    // A version that isn't right is dropped, and made anew.
    up.ok(&["replay", "drop", "v2", "--yes"]);
    assert_eq!(up.run(&["replay", "drop", "main", "--yes"]).status.code(), Some(1), "it is served");
    up.ok(&["replay", "start", "--version", "v2"]);
    up.ok(&["replay", "status", "--wait"]);
    assert_eq!(document(&up, &["replay", "compare"]).0, Some(0));

    // The switch: no report is another one before, in between or after, and neither version begins anew.
    let shown = reports(&first);
    let before = restores(&up);
    assert!(before > 0);
    let wrong = watched(&both, &shown[0], || {
        up.ok(&["replay", "switch", "v2"]);
        let topic = "commerce.metrics.v1.v2";
        wait_in(dir.path(), "both copies to go over", || both.iter().all(|base| serves(base, topic)));
    });
    assert_eq!(wrong, Vec::<String>::new());
    for base in both {
        assert_eq!(reports(base), shown, "{base}");
    }

    // What comes afterwards counts once, in both versions, and after another kill too.
    trigger(&up, "3");
    wait("orders after the switch", || both.iter().all(|base| orders(base) == sold + 12));
    assert_eq!(restores(&up), before, "a version was begun anew by the switch");
    assert_eq!(document(&up, &["replay", "compare"]).0, Some(0));
    let (code, audit) = document(&up, &["audit"]);
    assert_eq!((code, &audit["equal"]), (Some(0), &json!(true)), "{audit}");
    up.ok(&["replay", "drop", "main", "--yes"]);
    services.kill();
    services.all = Services::all(dir.path());
    wait_in(dir.path(), "the services once more", || serves(&first, "commerce.metrics.v1.v2"));
    trigger(&up, "2");
    wait("orders without the first version", || both.iter().all(|base| orders(base) == sold + 14));
    assert_eq!(standing(&up, "main"), Value::Null);

    // One of the facts that come from now on can be looked at, and isn't served.
    let now = service::clock::now().to_rfc3339();
    up.ok(&["replay", "start", "--version", "v3", "--from", &now]);
    up.ok(&["replay", "status", "--wait"]);
    let refused = up.run(&["replay", "switch", "v3"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("has only the facts since"));
    assert_eq!(document(&up, &["replay", "compare"]).0, Some(1));
    let doctor = up.ok(&["doctor"]);
    assert!(doctor.contains("version v2 is served, beside it is kept v3 (0 facts behind)"), "{doctor}");
    up.ok(&["replay", "drop", "v3", "--yes"]);
    let doctor = up.ok(&["doctor"]);
    assert!(doctor.contains("version v2 is served, there is no other"), "{doctor}");
    assert_eq!(document(&up, &["audit"]).0, Some(0));
}
