//! Dead letters from their arrival to their end, with the binary itself and real Kafka.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use commerce::DeadLetter;
use commerce::letter::{Status, WHOLE};
use rdkafka::ClientConfig;
use serde_json::Value;
use service::stage::Parts;
use sources::{WorkspaceConfig, Workspaces};
use stream::{Followed, Harness, Outgoing, Output, Record, Writer, read_decided};
use topics::{SchemaRegistry, Schemas, Topic};

use crate::product::{ORDER, sign};
use crate::running::{Up, command, folder, turn, wait};

fn client(up: &Up) -> ClientConfig {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &up.endpoints.kafka);
    client
}

/// The letters that `dlq ls` lists.
fn list(up: &Up, args: &[&str]) -> Vec<Value> {
    let text = up.ok(&[&["dlq", "ls", "-o", "json"], args].concat());
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for the only open letter of a reason, redriven so often.
fn letter(up: &Up, reason: &str, redriven: i64) -> Value {
    let found = || list(up, &["--reason", reason]);
    wait(
        &format!("a letter for {reason}, redriven {redriven} times"),
        || matches!(found().as_slice(), [one] if one["redrive_count"] == redriven),
    );
    found().remove(0)
}

/// How many committed records of a topic have this value.
fn records(up: &Up, topic: &str, value: &[u8]) -> usize {
    let mut count = 0;
    let whole = read_decided(&client(up), topic, &|| false, &mut |followed| {
        if let Followed::Record { value: Some(found), .. } = followed {
            count += usize::from(found == value);
        }
        Ok(())
    });
    assert!(whole.unwrap());
    count
}

/// Runs `dlq redrive` until it kills itself at this point.
fn redrive_and_die(dir: &Path, id: &str, at: &str) {
    let mut redrive = command(dir, &["dlq", "redrive", id]);
    let output = redrive.env("FAILPOINTS", format!("{at}=return(abort)")).output().unwrap();
    assert_eq!(output.status.code(), None, "{output:?}");
}

/// What the normalizer makes of an order that was redriven, with further headers: events, and letters.
fn normalized(body: &str, headers: &[(&str, &str)]) -> (usize, Vec<DeadLetter>) {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    let schemas = Schemas::offline();
    let parts = Parts { workspaces: Arc::new(workspaces), schemas: schemas.clone(), event_partitions: 1 };
    let output = |topic: &Topic| Output { topic: topic.name().to_owned(), max_message_bytes: usize::MAX };
    let outputs = normalizer::PLAN.outputs.iter().map(output).collect();
    let mut harness = Harness::new(normalizer::Normalizer::new(&parts).unwrap(), &[], outputs);
    let stored = [
        ("source", "shopify"),
        ("workspace", "demo"),
        ("received_at", "2026-01-01T00:00:00Z"),
        ("path", "/webhooks/shopify/orders/create"),
        ("space", "demo-shop.myshopify.com"),
    ];
    let mut record = Record::new("commerce.raw.v1", 1, 99, b"k", body.as_bytes());
    for (name, value) in stored.iter().chain(headers) {
        record = record.with_header(name, value.as_bytes());
    }
    let mut decoder = schemas.decoder();
    let (mut events, mut letters) = (0, Vec::new());
    for (output, _, key, value) in harness.process(&record).unwrap() {
        match normalizer::PLAN.outputs[output] {
            Topic::Events => events += 1,
            _ => {
                let letter: DeadLetter = decoder.decode(&value.unwrap()).unwrap();
                assert_eq!(key, letter.id.as_bytes());
                letters.push(letter);
            }
        }
    }
    (events, letters)
}

#[test]
fn a_record_that_was_redriven_gives_the_item_that_is_meant_and_keeps_its_letter() {
    let redriven = [
        ("redrive_of", "first-id"),
        ("redrive_count", "2"),
        ("redrive_first_seen_at", "2025-12-31T10:00:00Z"),
        ("redrive_item", "0"),
    ];
    // The order, and the customer inside it.
    assert_eq!(normalized(ORDER, &[]), (2, vec![]));
    assert_eq!(normalized(ORDER, &redriven), (2, vec![]));
    // The order is the item at the place 0: that at 1 was another one of its batch.
    assert_eq!(normalized(ORDER, &[&redriven[..3], &[("redrive_item", "1")]].concat()), (0, vec![]));

    let (events, letters) = normalized("not json", &redriven);
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((events, letter.id.as_str(), letter.redrive_count, letter.item), (0, "first-id", 2, 0));
    assert_eq!(letter.first_seen_at.to_rfc3339(), "2025-12-31T10:00:00Z");
    assert_eq!((letter.status, letter.key.as_slice()), (Status::Open, &b"k"[..]));
    assert!(!letter.headers.keys().any(|name| name.starts_with("redrive")), "{:?}", letter.headers);

    let (_, letters) = normalized("not json", &[]);
    assert_eq!((letters[0].redrive_count, letters[0].item), (0, WHOLE));
    assert_ne!(letters[0].id, "first-id");
}

#[test]
fn a_dead_letter_is_listed_redriven_exactly_once_fails_again_as_itself_and_is_discarded() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    assert_eq!(list(&up, &["--all"]), [] as [Value; 0]);

    // An order without a readable total, refused by the gateway and kept.
    let bad = ORDER
        .replace("[email\u{a0}protected]", "jane.doe@example.com")
        .replace(r#""total_price": "30.49""#, r#""total_price": "thirty""#);
    assert!(bad.contains("thirty"));
    let path =
        "/transform-webhook-data?key=dev-backend-key&workspace=demo&source=backend&event_name=orders_create";
    assert_eq!(up.post(path, &[("content-type", "application/json")], bad.as_bytes()).0, 400);
    let refused = letter(&up, "missing_field", 0);
    let id = refused["id"].as_str().unwrap().to_owned();
    assert_eq!((&refused["stage"], &refused["status"]), (&"gateway".into(), &"open".into()));

    // Still bad, so the normalizer makes the same letter of it, for its own reason.
    let done = up.ok(&["dlq", "redrive", &id[..12], "-o", "json"]);
    assert!(done.contains(r#""status":"redriven""#) && done.contains(&id), "{done}");
    let again = letter(&up, "bad_money", 1);
    assert_eq!((again["id"].as_str(), again["stage"].as_str()), (Some(&*id), Some("normalizer")));
    assert_eq!(again["first_seen_at"], refused["first_seen_at"]);
    assert_eq!(records(&up, "commerce.raw.v1", bad.as_bytes()), 1);

    // Killed with the transaction open: neither the record nor the status is there.
    redrive_and_die(dir.path(), &id, "stream::before-commit");
    assert_eq!(letter(&up, "bad_money", 1)["status"], "open");
    assert_eq!(records(&up, "commerce.raw.v1", bad.as_bytes()), 1);
    // Killed right after the commit: both are.
    redrive_and_die(dir.path(), &id, "stream::after-commit");
    assert_eq!(letter(&up, "bad_money", 2)["id"].as_str(), Some(&*id));
    assert_eq!(records(&up, "commerce.raw.v1", bad.as_bytes()), 2);

    // A signed body that is no JSON, and a record of the events that nobody can read.
    let signature = sign(b"not json");
    let signed = [("x-shopify-hmac-sha256", signature.as_str())];
    assert_eq!(up.post("/webhooks/shopify/orders/create", &signed, b"not json").0, 200);
    let writer = Writer::start(&client(&up), "tillstream-test", 1_000_000, &|| false).unwrap();
    let garbage = Outgoing {
        topic: "commerce.events.v1",
        partition: Some(2),
        key: b"demo:1",
        value: Some(b"garbage"),
        timestamp_millis: 1_767_225_600_000,
        headers: &[],
    };
    writer.write(&[garbage]).unwrap();
    let unreadable = letter(&up, "unreadable_record", 0);
    up.ok(&["dlq", "redrive", "--reason", "unreadable_record", "--yes"]);
    let failed = letter(&up, "unreadable_record", 1);
    assert_eq!((&failed["id"], &failed["stage"]), (&unreadable["id"], &"state".into()));
    assert_eq!(records(&up, "commerce.events.v1", b"garbage"), 2);
    letter(&up, "malformed_json", 0);

    // Totals are those of the filter, and what is done by filter is counted and asked for.
    let said = |args: &[&str]| {
        let output = up.run(args);
        (output.status.code(), String::from_utf8(output.stderr).unwrap(), output.stdout)
    };
    let (_, talk, _) = said(&["dlq", "ls", "--reason", "bad_money", "--limit", "5"]);
    assert_eq!(talk, "1 of 1 open dead letters\n");
    let (_, talk, _) = said(&["dlq", "ls", "--limit", "2"]);
    assert_eq!(talk, "2 of 3 open dead letters\n");
    let (code, talk, _) = said(&["dlq", "discard", "--source", "shopify"]);
    assert!(code == Some(64) && talk.contains("--yes"), "{talk}");
    let (code, _, counts) = said(&["dlq", "discard", "--all", "--dry-run", "-o", "json"]);
    let counts = String::from_utf8(counts).unwrap();
    assert_eq!((code, counts.lines().count()), (Some(0), 3), "{counts}");
    assert_eq!(list(&up, &[]).len(), 3);

    // The end of them, in the topic, the lists and the dashboard.
    up.ok(&["dlq", "discard", &id]);
    let (code, talk, _) = said(&["dlq", "redrive", &id]);
    assert!(code == Some(1) && talk.contains("discarded already"), "{talk}");
    up.ok(&["dlq", "discard", "--since", "1h", "--yes"]);
    assert_eq!(list(&up, &[]), [] as [Value; 0]);
    let all = list(&up, &["--all"]);
    assert_eq!(all.len(), 3);
    assert!(all.iter().all(|letter| letter["status"] == "discarded"), "{all:?}");
    assert!(up.ok(&["dlq", "show", &id]).contains("status     discarded since"));
    wait("no open letters in the report", || up.get("/v1/dead-letters/summary")["total"] == 0);

    the_oldest_so_many_go_back_at_the_rate(&up);
}

/// `--limit` and `--rate`: three of four letters, one a second.
fn the_oldest_so_many_go_back_at_the_rate(up: &Up) {
    let bodies = ["no json 1", "no json 2", "no json 3", "no json 4"];
    let open = || list(up, &["--reason", "malformed_json"]);
    for (sent, body) in bodies.iter().enumerate() {
        let signature = sign(body.as_bytes());
        let signed = [("x-shopify-hmac-sha256", signature.as_str())];
        assert_eq!(up.post("/webhooks/shopify/orders/create", &signed, body.as_bytes()).0, 200);
        // Each is a letter before the next one is sent, so that it is the older one.
        wait("a letter", || open().len() == sent + 1);
    }
    let refused = up.run(&["dlq", "redrive", "--all", "--rate", "0", "--yes"]);
    assert_eq!(refused.status.code(), Some(64), "{refused:?}");
    let oldest: Vec<Value> = open().into_iter().map(|letter| letter["id"].clone()).take(3).collect();
    let redrive = ["dlq", "redrive", "--reason", "malformed_json", "--limit", "3", "-o", "json"];
    let tried = up.ok(&[&redrive[..], &["--dry-run"]].concat());
    assert_eq!(serde_json::from_str::<Value>(&tried).unwrap()["letters"], 3);
    assert!(open().iter().all(|letter| letter["redrive_count"] == 0));

    let done = up.ok(&[&redrive[..], &["--rate", "1", "--yes"]].concat());
    let done: Vec<Value> = done.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(done.iter().map(|letter| letter["id"].clone()).collect::<Vec<_>>(), oldest);
    // They fail again as what they are; the fourth was left alone.
    let redriven = || open().iter().map(|letter| letter["redrive_count"].clone()).collect::<Vec<_>>();
    wait("three letters that failed again", || redriven() == [1, 1, 1, 0]);
    let sent = bodies.map(|body| records(up, "commerce.raw.v1", body.as_bytes()));
    assert_eq!(sent, [2, 2, 2, 1]);

    // From the moment at which the command decided on them, the third one waited for two seconds.
    let registry = SchemaRegistry::new(&up.endpoints.registry, Duration::from_secs(10)).unwrap();
    let (mut decoder, mut took) = (Schemas::lookup(&registry).unwrap().decoder(), Vec::new());
    let read = read_decided(&client(up), "commerce.dead-letters.v1", &|| false, &mut |followed| {
        if let Followed::Record { value: Some(value), timestamp_millis, .. } = followed
            && let Ok(letter) = decoder.decode::<DeadLetter>(value)
            && (letter.status, &letter.reason[..]) == (Status::Redriven, "malformed_json")
            && oldest.contains(&Value::from(letter.id.as_str()))
        {
            took.push(timestamp_millis - letter.changed_at.unwrap().0 / 1_000);
        }
        Ok(())
    });
    assert!(read.unwrap());
    took.sort_unstable();
    assert!(took.len() == 3 && took[1] >= 1_000 && took[2] >= 2_000, "{took:?}");
}
