//! A policy that changes while orders come in, with the binary itself and real Kafka.

use serde_json::Value;

use crate::product::ORDER;
use crate::running::{Up, command, folder, turn};

const ORDERS: &str =
    "/transform-webhook-data?key=dev-backend-key&workspace=demo&source=backend&event_name=orders_create";
const FIRST: &str = "5766207635539";

/// Sends an order, and says whether it counts once it is known.
fn counts(up: &Up, id: &str) -> bool {
    let body = ORDER.replace("[email\u{a0}protected]", "jane.doe@example.com").replace(FIRST, id);
    assert_eq!(up.post(ORDERS, &[("content-type", "application/json")], body.as_bytes()).0, 200);
    up.found(&format!("/v1/orders/{id}"))["counted"].as_bool().unwrap()
}

fn shown(up: &Up) -> Vec<Value> {
    let lines = up.ok(&["policy", "show", "demo", "--all", "-o", "json"]);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_published_version_counts_from_its_place_on_after_a_kill_a_restart_and_a_replay() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let first = shown(&up);
    assert_eq!(
        (first.len(), &first[0]["published_by"]),
        (1, &"configuration".into()),
        "`up` publishes version 1"
    );
    up.ok(&["policy", "diff"]);
    assert!(counts(&up, FIRST));

    let own = std::fs::read_to_string(dir.path().join("config.toml")).unwrap();
    let (id, file) = ("id = \"demo\"\n", dir.path().join("changed.toml"));
    assert!(own.contains(id), "{own}");
    let change = |to: &str| std::fs::write(&file, own.replace(id, &format!("{id}{to}\n"))).unwrap();
    let config = file.to_str().unwrap();
    let publish = ["policy", "publish", "demo", "--yes", "--by", "jane", "-o", "json", "--config", config];
    let with = |more: &[&str]| up.run(&[&publish, more].concat());

    // What days are cut by stays, and every mistake is said at once.
    std::fs::write(&file, own.replace("time_zone = \"UTC\"", "time_zone = \"Europe/Berlin\"")).unwrap();
    let refused = with(&["--base", "7"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(64), "{said}");
    assert!(said.contains("--base: version 1") && said.contains("time_zone: UTC → Europe/Berlin"), "{said}");

    change("ownership = { \"order.paid\" = \"customerio\" }");
    assert_eq!(up.run(&["policy", "diff", "--config", config]).status.code(), Some(1));
    let tried: Value = serde_json::from_slice(&with(&["--dry-run"]).stdout).unwrap();
    assert_eq!((&tried["result"], &tried["differences"][0]["key"]), (&"dry_run".into(), &"ownership".into()));
    assert_eq!(shown(&up).len(), 1);

    // Killed with everything written and nothing decided, then after the decision.
    let killed = |at: &str| {
        let failpoint = format!("stream::{at}=return(abort)");
        let died = command(dir.path(), &publish).env("FAILPOINTS", failpoint).output().unwrap();
        assert_eq!(died.status.code(), None, "{died:?}");
        shown(&up).len()
    };
    assert_eq!(killed("before-commit"), 1);
    assert_eq!(killed("after-commit"), 2);
    let again: Value = serde_json::from_slice(&with(&[]).stdout).unwrap();
    assert_eq!((&again["result"], &again["policy"]["version"]), (&"unchanged".into(), &2.into()));

    assert!(!counts(&up, "5766207635540"), "whoever owns the payment hasn't said it");
    up.kill();
    let up = Up::start(dir.path(), &[]);
    assert_eq!(shown(&up).len(), 2, "the configuration of `up` is the old one, and publishes nothing");
    assert!(!counts(&up, "5766207635541"));
    assert!(counts(&up, FIRST), "what was counted stays");
    let audit: Value = serde_json::from_slice(&up.run(&["audit", "-o", "json"]).stdout).unwrap();
    assert_eq!(audit["equal"], true, "{audit}");

    let doctor: Value = serde_json::from_slice(&up.run(&["doctor", "-o", "json"]).stdout).unwrap();
    let checks = doctor["checks"].as_array().unwrap();
    let policies = checks.iter().find(|check| check["check"] == "policies").unwrap();
    assert_eq!(policies["status"], "warn", "{policies}");
    assert!(policies["detail"].as_str().unwrap().contains("demo, version 2: ownership"), "{policies}");
}
