//! The programs in Python: the generator of deliveries and the checker, in the pinned environment of `topics`' tests.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/chaos");
const ENVIRONMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../topics/tests/python/venv.sh");

/// What the checker found.
#[derive(Debug)]
pub struct Verdict {
    pub anomalies: Vec<Anomaly>,
}

/// Anomalies of one kind on one topic.
#[derive(Debug)]
pub struct Anomaly {
    pub topic: String,
    pub kind: String,
    pub count: u64,
}

impl Verdict {
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty()
    }
}

/// The interpreter in the folder of the scripts.
pub fn python(args: &[&str]) -> Command {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let interpreter = PYTHON.get_or_init(|| {
        let output = Command::new("sh").arg(ENVIRONMENT).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "venv.sh failed");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    let mut command = Command::new(interpreter);
    command.args(args).current_dir(SCRIPTS).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    command
}

/// Makes the deliveries and the tenants.
pub fn generate(folder: &Path, orders: usize, seed: u64) {
    let args = [
        "generate.py",
        folder.to_str().unwrap(),
        "--orders",
        &orders.to_string(),
        "--seed",
        &seed.to_string(),
    ];
    assert!(python(&args).status().unwrap().success());
}

/// Waits until every stage has done all that it can. False when that doesn't come.
pub fn drained(bootstrap: &str, registry: &str) -> bool {
    python(&["checker.py", "drained", bootstrap, registry]).status().unwrap().success()
}

/// The same of one group alone.
pub fn group_drained(bootstrap: &str, registry: &str, group: &str) -> bool {
    python(&["checker.py", "drained", bootstrap, registry, "--group", group]).status().unwrap().success()
}

/// Waits until a transaction stays open on a topic. False when none does.
pub fn held(bootstrap: &str, registry: &str, topic: &str) -> bool {
    python(&["checker.py", "held", bootstrap, registry, topic]).status().unwrap().success()
}

/// Compares, and prints the table.
pub fn check(folder: &Path, bootstrap: &str, registry: &str) -> Verdict {
    let status =
        python(&["checker.py", "check", folder.to_str().unwrap(), bootstrap, registry]).status().unwrap();
    let text = std::fs::read_to_string(folder.join("result.json"))
        .unwrap_or_else(|_| panic!("the checker gave up: {status}"));
    let result: Value = serde_json::from_str(&text).unwrap();
    let anomalies: Vec<Anomaly> = result["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|each| Anomaly {
            topic: each["topic"].as_str().unwrap().to_owned(),
            kind: each["kind"].as_str().unwrap().to_owned(),
            count: each["count"].as_u64().unwrap(),
        })
        .collect();
    assert_eq!(status.success(), anomalies.is_empty());
    Verdict { anomalies }
}
