//! The binary as a user runs it: processes, a data folder, HTTP.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use localkafka::{Turn, Turns};
use serde_json::Value;
use tempfile::TempDir;
use tillstream::home::{Endpoints, Home};

/// The development workspace's secret key.
const KEY: &str = "sk_dev_demo";

/// A running `tillstream up`, killed when it is dropped.
pub struct Up {
    child: Option<Child>,
    dir: PathBuf,
    pub endpoints: Endpoints,
}

impl Up {
    /// Starts it and waits until everything is ready.
    pub fn start(dir: &Path, args: &[&str]) -> Self {
        Self::start_with(dir, args, &[])
    }

    /// The same with keys of the configuration.
    pub fn start_with(dir: &Path, args: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut up = command(dir, &[&["up"], args].concat());
        let mut child = spawned(dir, up.envs(settings.iter().copied()));
        let home = Home::new(Some(dir)).unwrap();
        let deadline = Instant::now() + Duration::from_secs(180);
        let endpoints = loop {
            if let Ok(endpoints) = home.endpoints() {
                break endpoints;
            }
            if let Some(status) = child.try_wait().unwrap() {
                panic!("up ended with {status}: {}", log(dir));
            }
            assert!(Instant::now() < deadline, "not ready: {}", log(dir));
            std::thread::sleep(Duration::from_millis(50));
        };
        Self { child: Some(child), dir: dir.to_owned(), endpoints }
    }

    /// kill -9, to it and, through it, to Kafka and the registry.
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // It stays behind until the next start gets to it, and would be taken for the next start's.
        Home::new(Some(&self.dir)).unwrap().forget_endpoints();
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Runs another command against it.
    pub fn run(&self, args: &[&str]) -> Output {
        command(&self.dir, args).output().unwrap()
    }

    /// Runs a command that must succeed, and gives its stdout.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A report, or anything else under the query service.
    pub fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap()
    }

    /// The same as text.
    pub fn text(&self, path: &str) -> String {
        let url = format!("{}{path}", self.endpoints.query);
        let answer = client().get(url).header("x-api-key", KEY).send().unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.text().unwrap()
    }

    /// The same of something that isn't there at once: topics reach the query service independently.
    pub fn found(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.endpoints.query);
        wait(path, || client().get(&url).header("x-api-key", KEY).send().unwrap().status().is_success());
        self.get(path)
    }

    /// The overview of a range of days.
    pub fn overview(&self, range: &str) -> String {
        self.text(&format!("/v1/api/analytics/ecommerce/overview?{range}"))
    }

    /// Posts a body, and gives status and answer.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
        let mut request = client().post(format!("{}{path}", self.endpoints.gateway)).body(body.to_vec());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    /// Sends a deletion with the secret key, and gives status and answer.
    pub fn delete(&self, path: &str) -> (u16, String) {
        let url = format!("{}{path}", self.endpoints.gateway);
        let answer = client().delete(url).header("x-api-key", KEY).send().unwrap();
        (answer.status().as_u16(), answer.text().unwrap())
    }

    /// A page of Prometheus text.
    pub fn metrics(&self) -> String {
        client().get(format!("{}/metrics", self.endpoints.metrics)).send().unwrap().text().unwrap()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The binary with the data folder, away from the environment's own settings and from the usual ports.
pub fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillstream"));
    command.args(args).env("TILLSTREAM_DATA_DIR", dir).env_remove("TILLSTREAM_CONFIG");
    if args.first() == Some(&"up") {
        // Somewhere else in each run and test, and `up` goes on to the next free port.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let offset = 1_000 + std::process::id() * 7 % 15_000 + NEXT.fetch_add(20, Ordering::Relaxed);
        command.args(["--port-offset", &offset.to_string()]);
    }
    command
}

/// Starts the binary; its stderr goes to a file in the folder.
pub fn spawn(dir: &Path, args: &[&str]) -> Child {
    spawned(dir, &mut command(dir, args))
}

/// Starts a command; its stderr goes to a file in the folder.
pub fn spawned(dir: &Path, command: &mut Command) -> Child {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("stderr.txt")).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file).stdin(Stdio::null()).spawn().unwrap()
}

/// What a spawned binary said.
pub fn log(dir: &Path) -> String {
    let mut text = String::new();
    if let Ok(mut file) = std::fs::File::open(dir.join("stderr.txt")) {
        let _ = file.read_to_string(&mut text);
    }
    text
}

/// Tests that run a whole pipeline wait for their turn.
pub fn turn() -> Turn<'static> {
    static TURNS: Turns = Turns::new(3);
    TURNS.take(1)
}

pub fn folder() -> TempDir {
    tempfile::Builder::new().prefix("tillstream-it-").tempdir().unwrap()
}

fn client() -> reqwest::blocking::Client {
    reqwest::blocking::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

/// Waits until `done`, at most a minute.
pub fn wait(what: &str, done: impl FnMut() -> bool) {
    wait_within(Duration::from_secs(60), what, String::new, done);
}

/// The same for what needs a start first; says what the processes said when it was in vain.
pub fn wait_in(dir: &Path, what: &str, done: impl FnMut() -> bool) {
    wait_within(Duration::from_secs(180), what, || diagnosis(dir), done);
}

fn wait_within(limit: Duration, what: &str, why: impl Fn() -> String, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < deadline, "waited {limit:?} for: {what}\n{}", why());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The last lines of what was said in a data folder: by the binary, then by Kafka of transactions and groups.
pub fn diagnosis(dir: &Path) -> String {
    const LINES: usize = 40;
    let last = |lines: Vec<String>| lines[lines.len().saturating_sub(LINES)..].join("\n");
    let said = log(dir).lines().map(str::to_owned).collect();
    let kafka = std::fs::read_to_string(dir.join("kafka/logs/broker-1.log")).unwrap_or_default();
    let telling = [
        "ERROR",
        "WARN",
        "leader endpoint",
        "Kafka Server started",
        "[GroupCoordinator",
        "[TransactionCoordinator",
    ];
    let kafka = kafka.lines().filter(|line| telling.iter().any(|part| line.contains(part)));
    format!("{}\nKafka:\n{}", last(said), last(kafka.map(str::to_owned).collect()))
}

/// The process id of the Kafka that a running `up` has started.
pub fn broker_of(parent: u32) -> u32 {
    let parent = parent.to_string();
    let output = Command::new("ps").args(["-o", "pid=,args=", "--ppid", &parent]).output().unwrap();
    let children = String::from_utf8(output.stdout).unwrap();
    let broker = children.lines().find(|line| line.contains(" kafka.Kafka ")).expect(&children);
    broker.split_whitespace().next().unwrap().parse().unwrap()
}

/// kill -9, to nobody else.
pub fn kill(pid: u32) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
}
