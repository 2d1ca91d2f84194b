//! The audit against a running pipeline: it agrees while orders come in, and finds what somebody else has written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use commerce::order::View;
use commerce::{Metric, Money, Profile};
use rdkafka::ClientConfig;
use serde_json::{Value, json};
use stream::{Followed, Outgoing, Writer, read_decided};
use topics::{SchemaRegistry, Schemas, Topic};

use crate::running::{Up, diagnosis, folder, turn, wait_in};

/// What an audit said: the exit code, its document, and its talk.
fn told(up: &Up, args: &[&str]) -> (Option<i32>, Value, String) {
    let output = up.run(&[&["audit", "-o", "json"], args].concat());
    let document = serde_json::from_slice(&output.stdout);
    let document = document.unwrap_or_else(|_| panic!("{output:?}"));
    (output.status.code(), document, String::from_utf8(output.stderr).unwrap())
}

fn audit(up: &Up, args: &[&str]) -> (Option<i32>, Value) {
    let (code, document, _) = told(up, args);
    (code, document)
}

/// The latest record of each key: its partition and value.
fn latest(client: &ClientConfig, topic: Topic) -> BTreeMap<Vec<u8>, (i32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let whole = read_decided(client, topic.name(), &|| false, &mut |followed| {
        if let Followed::Record { key, value: Some(value), partition, .. } = followed {
            found.insert(key.to_vec(), (partition, value.to_vec()));
        }
        Ok(())
    });
    assert!(whole.unwrap());
    found
}

#[test]
fn the_audit_agrees_while_orders_come_in_and_names_what_was_written_by_somebody_else() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    assert_eq!(audit(&up, &[]), (Some(0), json!({"equal": true, "compared": 0, "differences": []})));

    up.ok(&["demo", "--orders", "200", "--rate", "0"]);
    // Orders come until an audit has met one in the middle of its work: records move under its hands.
    let met = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            while !met.load(Ordering::Relaxed) {
                up.ok(&["trigger", "shopify", "orders/create", "--set", "financial_status=paid"]);
            }
        });
        wait_in(dir.path(), "an audit under which something moves", || {
            let (code, found, talk) = told(&up, &[]);
            let is_equal = (code, &found["equal"]) == (Some(0), &json!(true));
            // Also where the audit fails: the sender must come to its end before the test can.
            met.store(!is_equal || !talk.contains(" 0 of them moved"), Ordering::Relaxed);
            assert!(is_equal, "{found}\n{}", diagnosis(dir.path()));
            met.load(Ordering::Relaxed) || sender.is_finished()
        });
    });
    let (code, quiet) = audit(&up, &["--workspace", "demo"]);
    assert_eq!((code, &quiet["equal"]), (Some(0), &json!(true)), "{quiet}");
    assert!(quiet["compared"].as_u64().unwrap() > 500, "{quiet}");
    assert_eq!(up.run(&["audit", "--workspace", "nobody"]).status.code(), Some(64));

    // One order a cent dearer, one cell with an order too many, a cell of a day that had none, and a person gone.
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &up.endpoints.kafka);
    let registry = SchemaRegistry::new(&up.endpoints.registry, std::time::Duration::from_secs(10)).unwrap();
    let schemas = Schemas::lookup(&registry).unwrap();
    let mut decoder = schemas.decoder();
    let (mut order, mut cell, mut new) = (Vec::new(), Vec::new(), Vec::new());

    let orders = latest(&client, Topic::Orders);
    let read = |value: &[u8]| schemas.decoder().decode::<View>(value).unwrap();
    let (order_key, (order_at, view)) = orders
        .iter()
        .map(|(key, (at, value))| (key, (*at, read(value))))
        .find(|(_, (_, v))| v.total.is_some())
        .unwrap();
    let total = view.total.unwrap();
    let dearer = Money::new(total.minor + 1, total.currency);
    let encoder = schemas.encoder(Topic::Orders).unwrap();
    encoder.encode(&View { total: Some(dearer), ..view }, &mut order).unwrap();

    let metrics = latest(&client, Topic::Metrics);
    let (cell_key, (cell_at, value)) =
        metrics.iter().find(|(key, _)| key.starts_with(b"demo:revenue:day:")).unwrap();
    let mut metric: Metric = decoder.decode(value).unwrap();
    let true_count = metric.values["orders"];
    metric.values.insert("orders".to_owned(), true_count + 1);
    // Marks of time are history: alone they make no difference.
    metric.revision += 1;
    let encoder = schemas.encoder(Topic::Metrics).unwrap();
    encoder.encode(&metric, &mut cell).unwrap();
    metric.window_start = "1999-12-31".to_owned();
    let new_key = metric.key();
    encoder.encode(&metric, &mut new).unwrap();

    let profiles = latest(&client, Topic::Profiles);
    let (profile_key, (profile_at, value)) = profiles.iter().next().unwrap();
    let mut profile: Profile = decoder.decode(value).unwrap();
    profile.contact.email = Some("somebody@else.example".to_owned());
    let mut person = Vec::new();
    schemas.encoder(Topic::Profiles).unwrap().encode(&profile, &mut person).unwrap();

    let record = |topic: Topic, partition: i32, key, value| Outgoing {
        topic: topic.name(),
        partition: Some(partition),
        key,
        value: Some(value),
        timestamp_millis: 1_767_225_600_000,
        headers: &[],
    };
    let writer = Writer::start(&client, "tillstream-test", 1_000_000, &|| false).unwrap();
    let planted = [
        record(Topic::Orders, order_at, order_key, &order),
        record(Topic::Metrics, *cell_at, cell_key, &cell),
        record(Topic::Metrics, *cell_at, new_key.as_bytes(), &new),
        record(Topic::Profiles, *profile_at, profile_key, &person),
    ];
    writer.write(&planted).unwrap();

    let (code, found) = audit(&up, &[]);
    assert_eq!((code, &found["equal"]), (Some(1), &json!(false)), "{found}");
    let text = |key: &[u8]| String::from_utf8(key.to_vec()).unwrap();
    let named: BTreeMap<(String, String), &Value> = found["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| ((d["key"].as_str().unwrap().to_owned(), d["field"].as_str().unwrap().to_owned()), d))
        .collect();
    assert_eq!(named.len(), 4, "{found}");
    let total_field = named[&(text(order_key), "total.minor".to_owned())];
    assert_eq!(total_field["topic"], "commerce.orders.v1");
    assert_eq!(
        (&total_field["published"], &total_field["computed"]),
        (&json!(dearer.minor), &json!(total.minor))
    );
    let count = named[&(text(cell_key), "values.orders".to_owned())];
    assert_eq!((&count["published"], &count["computed"]), (&json!(true_count + 1), &json!(true_count)));
    let extra = named[&(new_key.clone(), String::new())];
    assert_eq!(
        (&extra["published"]["window_start"], &extra["computed"]),
        (&json!("1999-12-31"), &Value::Null)
    );
    assert_eq!(named[&(text(profile_key), "contact.email".to_owned())]["published"], "somebody@else.example");

    // For people the same, with the exit code.
    let table = up.run(&["audit"]);
    let (out, talk) = (String::from_utf8(table.stdout).unwrap(), String::from_utf8(table.stderr).unwrap());
    assert!(table.status.code() == Some(1) && talk.contains("4 of "), "{talk}");
    assert!(out.contains(&new_key) && out.contains("total.minor"), "{out}");
}
