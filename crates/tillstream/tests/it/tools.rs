//! The tools of whoever runs it, with the binary itself and real Kafka.

use serde_json::{Value, json};

use crate::running::{Up, broker_of, folder, kill, turn, wait};

const CUSTOMERS: &str = "email,ltv,order_count,last_order_at,tier
ada@example.com,500.00,7,2026-01-05T10:00:00Z,gold
nobody,1,1,,
grace@example.com,20,1,,silver
";

/// One `up` serves the whole story, because a start costs ten seconds and more.
#[test]
fn rec_c19_an_import_adds_orders_to_its_totals_and_a_second_run_changes_nothing() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let checks = doctor(&up, true);
    assert!(checks.len() >= 9, "{checks:?}");
    assert!(checks.iter().all(|check| check["status"] != "fail"), "{checks:?}");

    // The totals of the file, and an order that came after them.
    let file = dir.path().join("customers.csv");
    std::fs::write(&file, CUSTOMERS).unwrap();
    let import = ["import", "profiles", file.to_str().unwrap(), "--as-of", "2026-01-06T02:00:00Z"];
    let run = |more: &[&str]| {
        let output = up.run(&[&import[..], more, &["-o", "json"]].concat());
        assert_eq!(output.status.code(), Some(1), "a bad line: {output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let bad = json!([{"line": 3, "field": "email", "reason": "bad_value", "message": "it is not an e-mail address"}]);
    let dry = run(&["--dry-run"]);
    assert_eq!((&dry["records"], &dry["accepted"], &dry["bad_lines"]), (&2.into(), &0.into(), &bad));
    let first = run(&[]);
    assert_eq!((&first["accepted"], &first["bad_lines"]), (&2.into(), &bad));
    let paid = ["--set", "total_price=99.00", "--set", "financial_status=paid"];
    let buyer = ["--set", "email=ada@example.com", "--set", "customer.email=ada@example.com"];
    up.ok(&[&["trigger", "shopify", "orders/create"][..], &paid, &buyer].concat());
    let ada = || up.get("/v1/people/ada@example.com");
    up.found("/v1/people/ada@example.com");
    wait("the order beside the totals of the file", || ada()["orders_count"] == 8);
    let person = ada();
    assert_eq!(person["total_spent"]["minor"], 59_900);
    assert_eq!(person["attributes"]["tier"], "\"gold\"");

    let second = run(&[]);
    assert_eq!((&second["accepted"], &second["repeated"]), (&2.into(), &2.into()));
    let duplicates = r#"tillstream_duplicates_total{level="transport",source="records"}"#;
    wait("the second run", || up.metrics().contains(duplicates));
    assert_eq!(ada(), person);
    assert_eq!(up.get("/v1/people/grace@example.com")["orders_count"], 1);

    // The totals are those of the books and the file together; the file that comes out has the books alone.
    let totals = dir.path().join("totals.csv");
    let text = up.ok(&["recompute", "-o", "json", "--csv", totals.to_str().unwrap()]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["equal"], &document["orders"]), (&true.into(), &1.into()), "{document}");
    let totals = std::fs::read_to_string(totals).unwrap();
    assert!(totals.lines().nth(1).unwrap().starts_with("ada@example.com,99.00,1,"), "{totals}");

    // Nothing waits, though each partition's last offset is a transaction's marker.
    let waiting = || -> i64 {
        let list = up.ok(&["lag", "-o", "json"]);
        let lines = list.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|place| place["lag"].as_i64().unwrap()).sum()
    };
    wait("no lag", || waiting() == 0);

    // Without Kafka it says so, and what to type.
    kill(broker_of(up.id()));
    let checks = doctor(&up, false);
    let kafka = checks.iter().find(|check| check["check"] == "kafka").unwrap();
    assert_eq!((&kafka["status"], &kafka["next"]), (&"fail".into(), &"tillstream up".into()), "{kafka}");
}

/// The checks of `doctor`, which must end well or not.
fn doctor(up: &Up, well: bool) -> Vec<Value> {
    let output = up.run(&["doctor", "-o", "json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!well)), "{document}");
    assert_eq!(document["ok"], well, "{document}");
    document["checks"].as_array().unwrap().clone()
}

#[test]
fn each_shell_has_its_completions() {
    for (shell, sign) in
        [("bash", "complete -F"), ("zsh", "#compdef tillstream"), ("fish", "complete -c tillstream")]
    {
        let output = crate::running::command(folder().path(), &["completions", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(sign) && text.contains("redrive"), "{shell}");
    }
}
