//! What a new user does, with the binary itself and real Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::running::{Up, broker_of, command, diagnosis, folder, kill, log, spawn, turn, wait, wait_in};

pub const ORDER: &str = include_str!("../../../sources/tests/samples/order.json");

/// A field of a report as it is printed.
pub fn amount(report: &str, name: &str) -> String {
    let fields: BTreeMap<String, Box<RawValue>> = serde_json::from_str(report).unwrap();
    fields[name].get().to_owned()
}

/// One `up` serves the whole story, because a start costs ten seconds and more.
#[test]
fn a_signed_order_goes_from_http_to_a_revenue_figure_once() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);

    // The custom backend's own sample order, its masked e-mail made valid.
    let sample = ORDER.replace("[email\u{a0}protected]", "jane.doe@example.com");
    let path =
        "/transform-webhook-data?key=dev-backend-key&workspace=demo&source=backend&event_name=orders_create";
    let (status, answer) = up.post(path, &[("content-type", "application/json")], sample.as_bytes());
    assert_eq!(
        (status, answer.as_str()),
        (200, r#"{"success":true,"event":"orders_create","id":"5766207635539"}"#)
    );
    let november = "start=2023-11-01&end=2023-11-30";
    wait("the sample order in the report", || amount(&up.overview(november), "total_orders") == "1");
    assert_eq!(amount(&up.overview(november), "total_revenue"), "30.49");
    let order = up.found("/v1/orders/5766207635539");
    assert_eq!(order["total"]["minor"], 3049);
    let person = up.found("/v1/people/jane.doe@example.com");
    assert_eq!((&person["orders_count"], &person["total_spent"]["minor"]), (&1.into(), &3049.into()));

    // A webhook made by `trigger` shows in the report of today.
    let trigger = [
        "trigger",
        "shopify",
        "orders/create",
        "--set",
        "total_price=99.00",
        "--set",
        "financial_status=paid",
    ];
    assert!(up.ok(&trigger).contains("200"));
    wait("99.00 in today's report", || amount(&up.overview("days=1"), "total_revenue") == "99.00");
    // Of each order two facts, one of the customer that the first one brought along, and the workspace's policy.
    let facts = up.ok(&["tail", "facts", "--from-beginning", "-n", "6"]);
    assert_eq!(facts.matches("order.paid").count(), 2, "{facts}");
    assert!(facts.contains("99.00 USD"), "{facts}");

    // The same webhook five times: nothing changes, and four duplicates are counted.
    let same = [
        &trigger[..3],
        &["--set", "total_price=10.00", "--set", "financial_status=paid", "--count", "5", "--same"],
    ];
    up.ok(&same.concat());
    let duplicates = |up: &Up| {
        let outcomes = up.get("/v1/metrics/outcomes");
        let text = outcomes.to_string();
        (text.contains("duplicate"), text)
    };
    wait("the order once", || amount(&up.overview("days=1"), "total_revenue") == "109.00");
    wait("four duplicates", || {
        up.metrics().contains(r#"tillstream_duplicates_total{level="transport",source="shopify"} 4"#)
    });
    assert!(duplicates(&up).0, "{}", duplicates(&up).1);
    let overview = up.overview("days=1");
    assert_eq!(
        (amount(&overview, "total_revenue"), amount(&overview, "total_orders")),
        ("109.00".to_owned(), "2".to_owned())
    );

    // Garbage: a wrong signature is refused and leaves nothing; a signed body that is no JSON is a dead letter.
    let bad = [("x-shopify-hmac-sha256", "AAAA"), ("x-shopify-topic", "orders/create")];
    assert_eq!(
        up.post("/webhooks/shopify/orders/create", &bad, b"{}"),
        (401, r#"{"error":"invalid signature"}"#.to_owned())
    );
    let signature = sign(b"not json");
    let signed = [("x-shopify-hmac-sha256", signature.as_str())];
    assert_eq!(
        up.post("/webhooks/shopify/orders/create", &signed, b"not json"),
        (200, r#"{"ok":true}"#.to_owned())
    );
    wait("a dead letter", || up.ok(&["dlq", "ls", "-o", "json"]).contains("malformed_json"));
    let list = up.ok(&["dlq", "ls", "-o", "json"]);
    let letter: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let shown = up.ok(&["dlq", "show", letter["id"].as_str().unwrap()]);
    assert!(shown.ends_with("not json\n") && shown.contains("verdict hmac"), "{shown}");

    // Topics are as the registry says, and the configuration hides secrets.
    up.ok(&["topics", "plan"]);
    let shown = up.ok(&["config", "show"]);
    assert!(!shown.contains("dev-shopify-secret") && shown.contains("demo-shop.myshopify.com"), "{shown}");

    // A second start keeps the data, also after kill -9.
    up.kill();
    let up = Up::start(dir.path(), &[]);
    let overview = up.overview("days=1");
    assert_eq!(
        (amount(&overview, "total_revenue"), amount(&overview, "total_orders")),
        ("109.00".to_owned(), "2".to_owned())
    );
    assert_eq!(amount(&up.overview(november), "total_revenue"), "30.49");
    up.ok(&trigger);
    wait("a further order", || amount(&up.overview("days=1"), "total_revenue") == "208.00");

    // Every other source, too: five that tell of orders, and Stripe, whose payments are no order.
    for (source, event, set) in [
        ("lifesight", "orders_paid", "total_price=10.00"),
        ("customerio", "order_paid", "total=10.00"),
        ("sequenzy", "order_placed", "totalCents=1000"),
        ("analytics", "purchase", "revenue=10.00"),
        ("records", "orders/append", "total=10.00"),
        ("stripe", "invoice.payment_succeeded", "amount_paid=4900"),
        ("customerio", "identify", "plan=gold"),
    ] {
        let said = up.ok(&["trigger", source, event, "--set", set]);
        assert!(said.contains(" → 20"), "{said}");
    }
    wait("five more orders", || amount(&up.overview("days=1"), "total_revenue") == "258.00");
    wait("the payment's person", || {
        up.text("/v1/people/ada.byrne@example.com").contains(r#""payment_status":"current""#)
    });
    assert!(up.ok(&["trigger", "--list"]).contains("invoice.payment_failed"));
}

#[test]
fn killing_all_services_and_the_sender_in_the_middle_of_the_demo_loses_nothing_and_doubles_nothing() {
    let _turn = turn();
    let dir = folder();
    let _up = Up::start(dir.path(), &["--no-services"]);
    let config = dir.path().join("config.toml");
    let serve = || {
        let args = ["serve", "all", "--config", config.to_str().unwrap(), "--instance", "a"];
        spawn(dir.path(), &args)
    };
    for wanted in [150, 400, 700] {
        let mut services = serve();
        let mut demo = spawn(dir.path(), &["demo", "--orders", "400", "--rate", "150"]);
        wait_in(dir.path(), "some deliveries", || {
            assert!(services.try_wait().unwrap().is_none(), "{}", log(dir.path()));
            let text = std::fs::read_to_string(dir.path().join("demo.json")).unwrap_or_default();
            let progress: Value = serde_json::from_str(&text).unwrap_or_default();
            progress["done"].as_u64().is_some_and(|done| done >= wanted)
        });
        for child in [&mut services, &mut demo] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    let mut services = serve();
    let output = command(dir.path(), &["demo", "-o", "json"]).output().unwrap();
    let audit = command(dir.path(), &["audit"]).output().unwrap();
    let _ = services.kill();
    let _ = services.wait();
    assert!(audit.status.success(), "{audit:?}\n{}", diagnosis(dir.path()));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let table: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(table["equal"], true);
    assert!(table["rows"].as_array().unwrap().len() > 30);
}

/// Kafka dies here as well: with its parent, or before it as in a power cut.
#[test]
fn killing_everything_in_the_middle_of_the_demo_loses_nothing_and_doubles_nothing() {
    let _turn = turn();
    let dir = folder();
    let demo = ["up", "--demo", "--orders", "400", "--rate", "150"];
    for (wanted, kafka_first) in [(150, true), (400, false), (700, true)] {
        let mut up = spawn(dir.path(), &demo);
        wait_in(dir.path(), "some deliveries", || {
            assert!(up.try_wait().unwrap().is_none(), "{}", diagnosis(dir.path()));
            let text = std::fs::read_to_string(dir.path().join("demo.json")).unwrap_or_default();
            let progress: Value = serde_json::from_str(&text).unwrap_or_default();
            progress["done"].as_u64().is_some_and(|done| done >= wanted)
        });
        if kafka_first {
            kill(broker_of(up.id()));
        }
        up.kill().unwrap();
        up.wait().unwrap();
    }
    // It gives up by itself when the figures stand still.
    let output = command(dir.path(), &["up", "--demo", "--once", "-o", "json"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}\n{}", diagnosis(dir.path()));
    let table: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(table["equal"], true);
    assert!(table["rows"].as_array().unwrap().len() > 30);
}

#[test]
fn services_run_as_processes_of_their_own_and_survive_kill_9_one_by_one() {
    let _turn = turn();
    let dir = folder();
    let _up = Up::start(dir.path(), &["--no-services"]);
    let config = dir.path().join("config.toml");
    let serve = |service: &str, instance: &str| {
        spawn(dir.path(), &["serve", service, "--config", config.to_str().unwrap(), "--instance", instance])
    };
    let names = ["gateway", "normalizer", "state", "aggregator", "query"];
    let mut services: Vec<_> = names.iter().map(|name| (*name, serve(name, "a"))).collect();
    let mut demo = spawn(dir.path(), &["demo", "--orders", "600", "--rate", "120"]);
    // One after the other, the gateway too: the sender retries, as a provider does.
    for round in 0..2 {
        for (name, child) in &mut services {
            std::thread::sleep(Duration::from_millis(700 + 200 * round));
            child.kill().unwrap();
            child.wait().unwrap();
            *child = serve(name, "a");
        }
    }
    let status = demo.wait().unwrap();
    for (_, child) in &mut services {
        let _ = child.kill();
        let _ = child.wait();
    }
    assert!(status.success(), "{}", log(dir.path()));
}

/// Kafka and the registry of an `up` without services, and the services that are started beside it.
struct Beside {
    up: Up,
    dir: tempfile::TempDir,
    services: Vec<std::process::Child>,
}

impl Beside {
    fn start() -> Self {
        let dir = folder();
        Self { up: Up::start(dir.path(), &["--no-services"]), dir, services: vec![] }
    }

    fn serve(&mut self, service: &str) -> u32 {
        let config = self.dir.path().join("config.toml");
        let args = ["serve", service, "--config", config.to_str().unwrap(), "--instance", "a"];
        self.services.push(spawn(self.dir.path(), &args));
        self.services.last().unwrap().id()
    }

    fn until_ready(&self, service: &str, url: &str) {
        let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let ready =
            || client.get(format!("{url}/readyz")).send().is_ok_and(|answer| answer.status().is_success());
        wait_in(self.dir.path(), service, ready);
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

fn push(up: &Up, key: &str, id: &str) -> u16 {
    let body = format!(
        r#"{{"orderId":"{id}","totalCents":4900,"currency":"USD","customer":{{"email":"ada@example.com"}}}}"#
    );
    let authorization = format!("Bearer {key}");
    up.post("/api/v1/orders", &[("authorization", &authorization)], body.as_bytes()).0
}

#[test]
fn seq_c18_a_push_is_answered_while_processing_stands_still_and_processed_after_the_start() {
    let _turn = turn();
    let mut beside = Beside::start();
    let gateway = beside.up.endpoints.gateway.clone();
    beside.serve("gateway");
    beside.until_ready("the gateway", &gateway);
    assert_eq!(push(&beside.up, "dev-orders-key", "order-18"), 202);
    for service in ["normalizer", "state", "aggregator", "query"] {
        beside.serve(service);
    }
    let query = beside.up.endpoints.query.clone();
    beside.until_ready("the query service", &query);
    assert_eq!(beside.up.found("/v1/orders/order-18")["total"]["minor"], 4900);
}

#[test]
fn a_key_that_is_added_opens_after_sighup_and_no_service_ends_by_it() {
    let _turn = turn();
    let mut beside = Beside::start();
    let services: Vec<u32> =
        ["gateway", "normalizer", "query"].into_iter().map(|service| beside.serve(service)).collect();
    let (gateway, query) = (beside.up.endpoints.gateway.clone(), beside.up.endpoints.query.clone());
    beside.until_ready("the gateway", &gateway);
    beside.until_ready("the query service", &query);
    assert_eq!(push(&beside.up, "another-orders-key", "1"), 401);

    let file = beside.dir.path().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let changed = text
        .replace("\"dev-orders-key\"", "\"dev-orders-key\", \"another-orders-key\"")
        .replace("\"sk_dev_demo\"", "\"sk_dev_demo\", \"sk_another\"");
    assert_ne!(changed, text);
    std::fs::write(&file, changed).unwrap();
    for service in services {
        let status = std::process::Command::new("kill").args(["-HUP", &service.to_string()]).status();
        assert!(status.unwrap().success());
    }
    wait_in(beside.dir.path(), "the key that was added", || {
        push(&beside.up, "another-orders-key", "2") == 202
    });
    let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
    let asked = |key: &str| {
        let url = format!("{query}/v1/api/analytics/ecommerce/overview?days=1");
        client.get(url).header("x-api-key", key).send().unwrap().status().as_u16()
    };
    wait_in(beside.dir.path(), "the report's key that was added", || asked("sk_another") == 200);
    assert_eq!((asked("sk_dev_demo"), asked("sk_never")), (200, 401));
    for service in &mut beside.services {
        assert!(service.try_wait().unwrap().is_none(), "{}", log(beside.dir.path()));
    }
}

#[test]
fn a_tool_without_a_cluster_ends_at_once_and_says_what_to_type() {
    let dir = folder();
    // Whatever listens at the usual ports is none of this test's business.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for args in [
        &["tail", "facts"][..],
        &["lag"],
        &["dlq", "ls"],
        &["topics", "plan"],
        &["audit"],
        &["recompute"],
        &["fx", "ls"],
        &["identity", "show", "demo", "user:1"],
    ] {
        let mut tool = command(dir.path(), args);
        let output = tool.env("TILLSTREAM_KAFKA__BOOTSTRAP", &free).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        let named = said.contains(&format!("Kafka can't be reached ({free}: "));
        assert!(named && said.contains("→ tillstream up"), "{args:?}: {said}");
    }
}

#[test]
fn mistakes_of_the_command_line_and_configuration_exit_with_64_and_a_sentence() {
    let dir = folder();
    for (args, said) in [
        (&["nonsense"][..], "unrecognized subcommand"),
        (&["serve", "state"], "--instance"),
        (&["trigger", "shopify", "orders/nothing"], "orders/create"),
        (&["trigger", "stripe"], "invoice.payment_failed"),
        (&["trigger", "paypal", "paid"], "add_to_cart"),
        (&["tail", "nothing"], "facts"),
        (&["config", "show", "--config", "missing.toml"], "missing.toml"),
    ] {
        let output = command(dir.path(), args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(64), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
}

/// The signature of the development shop.
pub fn sign(body: &[u8]) -> String {
    use base64::Engine as _;
    use hmac::Mac as _;
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"dev-shopify-secret").unwrap();
    mac.update(body);
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}
