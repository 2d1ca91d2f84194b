//! Real brokers and a real registry, in temporary folders.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a step that fails is a test that fails, helpers included"
)]

mod transactions;

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use localkafka::{Artifacts, Cluster, Error, Options, shared, shared_kafka};

fn artifacts() -> Artifacts {
    Artifacts::resolve(&|line| eprintln!("{line}")).unwrap()
}

fn start(options: Options) -> Cluster {
    Cluster::start(&artifacts(), options).unwrap()
}

fn refused(options: Options) -> Error {
    Cluster::start(&artifacts(), options).unwrap_err()
}

fn alive(pid: u32) -> bool {
    // A zombie has ended: its parent has yet to ask how.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        thread::sleep(Duration::from_millis(20));
    }
}

fn get(url: &str) -> (u16, serde_json::Value) {
    let answer = reqwest::blocking::get(url).unwrap();
    (answer.status().as_u16(), answer.json().unwrap())
}

fn send_json(
    request: reqwest::blocking::RequestBuilder,
    body: &serde_json::Value,
) -> (u16, serde_json::Value) {
    let answer = request.json(body).send().unwrap();
    (answer.status().as_u16(), answer.json().unwrap())
}

fn record(fields: &[(&str, &str)]) -> serde_json::Value {
    let fields: Vec<_> =
        fields.iter().map(|(name, kind)| serde_json::json!({ "name": name, "type": kind })).collect();
    let schema = serde_json::json!({ "type": "record", "name": "Order", "fields": fields });
    serde_json::json!({ "schema": schema.to_string() })
}

#[test]
fn kafka_and_the_registry_answer_and_are_shared_by_the_tests_of_a_process() {
    let cluster = shared();
    assert!(cluster.is_alive());
    assert!(cluster.bootstrap().starts_with("127.0.0.1:"));
    assert!(cluster.registry_url().ends_with("/apis/ccompat/v7"));
    assert_eq!(get(&format!("{}/subjects", cluster.registry_url())).0, 200);
    assert_eq!(cluster.pid(1), shared_kafka().pid(1));
    assert_eq!(cluster.pid(2), None);
}

#[test]
fn a_schema_and_its_rule_survive_a_restart_of_everything_on_other_ports_in_a_moved_folder() {
    let parent = tempfile::tempdir().unwrap();
    // A path that no properties file could hold.
    let [dir, moved] = ["a, b=\u{e9}", "moved"].map(|name| parent.path().join(name));
    let http = reqwest::blocking::Client::new();

    let first = start(Options::new(&dir));
    first.wait_registry().unwrap();
    let url = first.registry_url().to_owned();
    let (status, created) = send_json(
        http.post(format!("{url}/subjects/orders-value/versions")),
        &record(&[("id", "string"), ("total", "long")]),
    );
    assert_eq!(status, 200, "{created}");
    let rule = serde_json::json!({ "compatibility": "BACKWARD_TRANSITIVE" });
    let (status, answer) = send_json(http.put(format!("{url}/config/orders-value")), &rule);
    assert_eq!(status, 200, "{answer}");
    let pids = [first.pid(1).unwrap(), first.registry_pid().unwrap()];
    first.stop();
    assert!(!pids.into_iter().any(alive), "stopped children are still there");

    fs::rename(&dir, &moved).unwrap();
    let second = start(Options::new(&moved));
    second.wait_registry().unwrap();
    let url = second.registry_url();
    assert_ne!(url, first.registry_url());
    let (status, kept) = get(&format!("{url}/subjects/orders-value/versions/latest"));
    assert_eq!(status, 200, "{kept}");
    assert_eq!(kept["id"], created["id"]);
    assert_eq!(get(&format!("{url}/config/orders-value")).1["compatibilityLevel"], "BACKWARD_TRANSITIVE");
    // A new field without a default cannot read what is there.
    let incompatible = record(&[("id", "string"), ("total", "long"), ("currency", "string")]);
    let (status, answer) =
        send_json(http.post(format!("{url}/subjects/orders-value/versions")), &incompatible);
    assert_eq!(status, 409, "{answer}");
}

/// Not a test: the process that the next test kills. It runs in a thread of the harness, as a caller's worker would.
#[test]
#[ignore = "started and killed by another test"]
fn a_parent_that_holds_a_cluster() {
    let Some(dir) = env::var_os("LOCALKAFKA_HOLD") else { return };
    let cluster = start(Options::new(dir));
    cluster.wait_kafka().unwrap();
    println!("\npids {} {}", cluster.pid(1).unwrap(), cluster.registry_pid().unwrap());
    thread::sleep(Duration::from_secs(300));
}

#[test]
fn a_parent_killed_at_once_leaves_no_process_and_its_data_folder_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(env::current_exe().unwrap())
        .args(["a_parent_that_holds_a_cluster", "--exact", "--ignored", "--nocapture"])
        .env("LOCALKAFKA_HOLD", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let pids: Vec<u32> = lines
        .map(Result::unwrap)
        .find_map(|line| {
            line.strip_prefix("pids ").map(|l| l.split(' ').map(|p| p.parse().unwrap()).collect())
        })
        .expect("the parent died before it had a cluster");
    assert!(pids.iter().all(|pid| alive(*pid)));

    let busy = refused(Options::ephemeral(dir.path()));
    let holder = parent.id();
    assert!(matches!(busy, Error::InUse { pid: Some(pid), .. } if pid == holder), "{busy}");

    parent.kill().unwrap();
    parent.wait().unwrap();
    // At once: the start waits for the children's lock.
    let again = start(Options::ephemeral(dir.path()));
    assert!(!pids.iter().any(|pid| alive(*pid)), "children outlived their parent");
    again.wait_kafka().unwrap();
}

/// Not a test: the next one runs it with other surroundings.
#[test]
#[ignore = "started by another test"]
fn a_process_that_resolves() {
    if env::var_os("LOCALKAFKA_RESOLVE").is_some() {
        println!("\nresolved {}", Artifacts::resolve(&|_| {}).err().unwrap());
    }
}

#[test]
fn a_missing_java_a_missing_maven_and_a_failing_maven_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let resolve = |home: Option<&Path>| {
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["a_process_that_resolves", "--exact", "--ignored", "--nocapture"])
            .env("LOCALKAFKA_RESOLVE", "1")
            .env("TILLSTREAM_CACHE_DIR", dir.path().join("cache"))
            .env("PATH", &bin)
            .env_remove("JAVA_HOME");
        if let Some(home) = home {
            command.env("JAVA_HOME", home);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let script = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let answer = resolve(None);
    assert!(answer.contains("resolved java was not found: install Java 17 or later"), "{answer}");

    let home = dir.path().join("jdk");
    script(&home.join("bin/java"), "echo '    java.specification.version = 1.8' >&2");
    let answer = resolve(Some(&home));
    assert!(answer.contains("is version 8, and Kafka needs 17 or later"), "{answer}");

    script(&home.join("bin/java"), "echo '    java.specification.version = 21' >&2");
    let answer = resolve(Some(&home));
    assert!(answer.contains("resolved mvn was not found on PATH: install Apache Maven"), "{answer}");

    script(&bin.join("mvn"), "echo '[ERROR] no route to the mirror'; echo 'a broken JVM' >&2; exit 1");
    let answer = resolve(Some(&home));
    assert!(answer.contains("[ERROR] no route to the mirror\na broken JVM"), "{answer}");
}

#[test]
fn a_data_folder_in_use_is_refused_with_a_sentence() {
    let dir = shared_kafka().data_dir();
    let sentence = refused(Options::ephemeral(dir)).to_string();
    let expected =
        format!("data folder {} is in use by process {}: stop it", dir.display(), std::process::id());
    assert!(sentence.starts_with(&expected), "{sentence}");
}

#[test]
fn a_busy_port_is_refused_with_a_sentence_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let kafka = refused(Options { kafka_port: Some(port), ..Options::ephemeral(dir.path()) }).to_string();
    assert!(kafka.starts_with(&format!("port {port} for kafka is in use: ")), "{kafka}");
    let registry = refused(Options { registry_port: Some(port), ..Options::new(dir.path()) }).to_string();
    assert!(registry.starts_with(&format!("port {port} for the registry is in use: ")), "{registry}");
    assert!(!dir.path().join("broker-1").exists());
}

#[test]
fn two_brokers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = refused(Options { brokers: 2, ..Options::ephemeral(dir.path()) });
    assert!(matches!(refused, Error::BrokerCount(2)), "{refused}");
}

#[test]
fn a_broker_that_dies_is_reported_with_its_log() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(Options::ephemeral(dir.path()));
    cluster.wait_kafka().unwrap();
    assert!(matches!(cluster.wait_registry(), Err(Error::NoRegistry)));
    send("-KILL", cluster.pid(1).unwrap());
    eventually("the death is noticed", || !cluster.is_alive());
    let died = cluster.check().unwrap_err();
    assert!(
        matches!(&died, Error::ChildDied { name, log, .. } if name == "broker-1" && log.is_file()),
        "{died}"
    );
    assert!(died.to_string().contains("signal: 9"), "{died}");
    assert!(died.to_string().contains("Kafka Server started"), "{died}");
    assert_eq!(cluster.pid(1), None);
    cluster.restart(1).unwrap();
    cluster.wait_kafka().unwrap();
}

#[test]
fn a_broker_without_memory_to_start_is_reported_while_waiting_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let heap = localkafka::Heap { initial: 8, max: 8 };
    let cluster = start(Options { kafka_heap: heap, ..Options::ephemeral(dir.path()) });
    let died = cluster.wait_kafka().unwrap_err();
    assert!(matches!(died, Error::ChildDied { .. }), "{died}");
    assert!(died.to_string().contains("OutOfMemoryError"), "{died}");
}

#[test]
fn one_of_three_brokers_can_be_killed_paused_and_restarted_and_the_others_serve_on() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { brokers: 3, with_registry: true, ..Options::ephemeral(dir.path()) };
    let cluster = start(options.clone());
    cluster.wait_registry().unwrap();
    assert_eq!(cluster.bootstrap().split(',').count(), 3);
    let subjects = format!("{}/subjects", cluster.registry_url());
    let url = format!("{subjects}/orders-value/versions");
    let register =
        |fields: &[(&str, &str)]| send_json(reqwest::blocking::Client::new().post(&url), &record(fields));
    assert_eq!(register(&[("id", "string")]).0, 200);

    let before = cluster.pid(2).unwrap();
    cluster.kill(2).unwrap();
    assert!(!alive(before));
    assert_eq!(cluster.pid(2), None);
    assert!(matches!(cluster.kill(2), Err(Error::NotRunning(2))));
    assert!(matches!(cluster.kill(4), Err(Error::NoSuchBroker { broker: 4, brokers: 3 })));
    assert!(cluster.is_alive(), "a broker killed on purpose is not a failure");
    cluster.wait_kafka().unwrap();
    eventually("a schema is registered with two brokers of three", || register(&[("id", "long")]).0 == 200);

    cluster.restart(2).unwrap();
    cluster.wait_kafka().unwrap();
    assert_ne!(cluster.pid(2), Some(before));

    cluster.pause(3).unwrap();
    cluster.wait_kafka().unwrap();
    assert!(cluster.is_alive());
    cluster.resume(3).unwrap();
    cluster.wait_kafka().unwrap();

    let pids: Vec<u32> = (1..=3).filter_map(|broker| cluster.pid(broker)).collect();
    cluster.pause(1).unwrap();
    let stopping = Instant::now();
    cluster.stop();
    eprintln!("three brokers, one of them paused, stopped in {:?}", stopping.elapsed());
    assert!(!pids.into_iter().any(alive));

    let again = start(options);
    assert_ne!(again.bootstrap(), cluster.bootstrap());
    again.wait_registry().unwrap();
    assert_eq!(get(&format!("{}/subjects", again.registry_url())).1, serde_json::json!(["orders-value"]));
    assert!(is_in(again.data_dir(), dir.path()));
}

fn is_in(path: &Path, dir: &Path) -> bool {
    path == dir.canonicalize().unwrap()
}
