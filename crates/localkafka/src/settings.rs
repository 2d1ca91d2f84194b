//! The brokers' and the registry's settings: pure text and arguments, in one place.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use crate::options::Heap;

/// The ports of one broker, which is also a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    /// 1, 2, 3: the node id.
    pub(crate) id: u8,
    pub(crate) kafka: u16,
    pub(crate) controller: u16,
    /// Where it listens for a proxy, and the proxy's port, which it announces there.
    pub(crate) proxied: Option<(u16, u16)>,
}

/// All brokers' addresses, for clients.
pub(crate) fn bootstrap(nodes: &[Node]) -> String {
    let addresses: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.kafka)).collect();
    addresses.join(",")
}

/// The name of a broker's folder, and of its settings and log with an ending.
pub(crate) fn broker_name(id: u8) -> String {
    format!("broker-{id}")
}

/// The content of `broker-<id>.properties`.
///
/// Written anew at each start, since ports may differ: with a static quorum the voters' addresses live here and not in
/// the log. Paths are relative to the data folder, where brokers run, because a properties file can hold neither
/// every path (it is Latin-1) nor a comma in this one.
pub(crate) fn broker(node: Node, nodes: &[Node]) -> String {
    let Node { id, kafka, controller, proxied } = node;
    let (listener, announced, protocol) = proxied.map_or_else(Default::default, |(port, announced)| {
        (
            format!(",PROXIED://127.0.0.1:{port}"),
            format!(",PROXIED://127.0.0.1:{announced}"),
            ",PROXIED:PLAINTEXT",
        )
    });
    let brokers = nodes.len();
    let min_isr = if brokers == 1 { 1 } else { 2 };
    let voters: Vec<String> = nodes.iter().map(|n| format!("{}@127.0.0.1:{}", n.id, n.controller)).collect();
    let voters = voters.join(",");
    let dir = broker_name(id);
    format!(
        "\
# Written by tillstream at each start; changes are lost.
process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}{listener}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}{announced}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocol}
inter.broker.listener.name=PLAINTEXT
log.dirs={dir}

# Topics are made on purpose, and replicated as far as there are brokers.
auto.create.topics.enable=false
num.partitions=1
default.replication.factor={brokers}
min.insync.replicas={min_isr}
# A topic without a retention of its own is kept: the registry's journal is one.
log.retention.ms=-1

# Few partitions: each costs file handles, and one machine has few groups.
offsets.topic.num.partitions=4
offsets.topic.replication.factor={brokers}
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor={brokers}
transaction.state.log.min.isr={min_isr}
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor={brokers}
share.coordinator.state.topic.min.isr={min_isr}

# A pipeline that was off for months resumes where it was: offsets for a year, transactional ids for as long as the
# setting can say (24 days).
offsets.retention.minutes=525600
transactional.id.expiration.ms=2147483647

# A group's first member need not wait for others, and tests may ask for short sessions.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

# A dead broker is noticed in half the usual time.
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=4500

# Threads and memory for a machine of a few cores. Writes reach the disk when the system sees fit, as is Kafka's default:
# they survive the death of a process, and with one broker not that of the machine.
num.network.threads=2
num.io.threads=4
background.threads=4
log.cleaner.enable=true
log.cleaner.dedupe.buffer.size=33554432
"
    )
}

/// What `java` is given to run a broker, in the data folder.
pub(crate) fn broker_arguments(kafka: &Path, heap: Heap, id: u8, temporary: &Path) -> Vec<OsString> {
    let mut arguments = jvm(heap);
    // It unpacks native code there, and one that is killed leaves it.
    arguments.push(with_path("-Djava.io.tmpdir=", temporary));
    arguments.extend(kafka_classes(kafka));
    arguments.extend(["kafka.Kafka".into(), format!("{}.properties", broker_name(id)).into()]);
    arguments
}

/// What `java` is given to prepare a broker's folder before its first start.
pub(crate) fn format_arguments(kafka: &Path, id: u8, cluster_id: &str) -> Vec<OsString> {
    let mut arguments = jvm(Heap { initial: 32, max: 128 });
    arguments.push("-XX:TieredStopAtLevel=1".into());
    arguments.extend(kafka_classes(kafka));
    arguments.extend(
        ["kafka.tools.StorageTool", "format", "--ignore-formatted", "--cluster-id", cluster_id, "--config"]
            .map(OsString::from),
    );
    arguments.push(format!("{}.properties", broker_name(id)).into());
    arguments
}

/// What `java` is given to run the registry.
pub(crate) fn registry_arguments(runner: &Path, heap: Heap, port: u16, dir: &Path) -> Vec<OsString> {
    let mut arguments = jvm(heap);
    // It is idle but for its start: the first compiler alone starts sooner and takes less memory.
    arguments.push("-XX:TieredStopAtLevel=1".into());
    arguments.push(with_path("-Djava.io.tmpdir=", dir));
    arguments.push("-Dquarkus.http.host=127.0.0.1".into());
    arguments.push(format!("-Dquarkus.http.port={port}").into());
    arguments.push("-jar".into());
    arguments.push(runner.into());
    arguments
}

/// The registry's settings: schemas and rules in Kafka.
pub(crate) fn registry_environment(bootstrap: &str, dir: &Path) -> Vec<(&'static str, OsString)> {
    vec![
        ("APICURIO_STORAGE_KIND", "kafkasql".into()),
        ("APICURIO_KAFKASQL_BOOTSTRAP_SERVERS", bootstrap.into()),
        // Snapshots would shorten the replay of long journals, and name their file by a path that a data folder loses
        // when it is moved. This journal is short and kept whole. A start waits once for a snapshot for as long as one
        // poll, by default 5 s.
        ("APICURIO_KAFKASQL_SNAPSHOT_EVERY_SECONDS", "off".into()),
        ("APICURIO_KAFKASQL_CONSUMER_POLL_TIMEOUT", "250".into()),
        ("APICURIO_STORAGE_SNAPSHOT_LOCATION", dir.into()),
        ("QUARKUS_HTTP_ACCESS_LOG_ENABLED", "false".into()),
    ]
}

fn jvm(heap: Heap) -> Vec<OsString> {
    vec![
        format!("-Xms{}m", heap.initial).into(),
        format!("-Xmx{}m", heap.max).into(),
        // Measured on two cores: as fast as the parallel and concurrent collectors, in 40 to 50 MB less.
        "-XX:+UseSerialGC".into(),
        "-XX:+ExitOnOutOfMemoryError".into(),
        "-XX:-UsePerfData".into(),
        "-Djava.awt.headless=true".into(),
    ]
}

fn kafka_classes(kafka: &Path) -> [OsString; 3] {
    let jars: PathBuf = kafka.join("*");
    ["-Dlog4j2.configurationFile=log4j2.properties".into(), "-cp".into(), jars.into()]
}

fn with_path(prefix: &str, path: &Path) -> OsString {
    let mut argument = OsString::from(prefix);
    argument.push(path);
    argument
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [Node; 3] = [
        Node { id: 1, kafka: 9092, controller: 20001, proxied: None },
        Node { id: 2, kafka: 20002, controller: 20003, proxied: None },
        Node { id: 3, kafka: 20004, controller: 20005, proxied: None },
    ];

    #[test]
    fn every_setting_is_given_once() {
        let text = broker(NODES[0], &NODES);
        let mut keys: Vec<&str> =
            text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| Some(l.split_once('=')?.0)).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn three_brokers_replicate_and_know_each_other() {
        let text = broker(NODES[1], &NODES);
        for line in [
            "node.id=2",
            "controller.quorum.voters=1@127.0.0.1:20001,2@127.0.0.1:20003,3@127.0.0.1:20005",
            "listeners=PLAINTEXT://127.0.0.1:20002,CONTROLLER://127.0.0.1:20003",
            "offsets.topic.replication.factor=3",
            "transaction.state.log.min.isr=2",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        assert_eq!(bootstrap(&NODES), "127.0.0.1:9092,127.0.0.1:20002,127.0.0.1:20004");
    }

    #[test]
    fn one_broker_needs_no_second_copy() {
        let text = broker(NODES[0], &NODES[..1]);
        for line in
            ["offsets.topic.replication.factor=1", "transaction.state.log.min.isr=1", "min.insync.replicas=1"]
        {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_proxied_listener_announces_the_proxy_and_changes_nothing_else() {
        let node = Node { proxied: Some((20010, 20011)), ..NODES[0] };
        let text = broker(node, &NODES[..1]);
        for line in [
            "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:20001,PROXIED://127.0.0.1:20010",
            "advertised.listeners=PLAINTEXT://127.0.0.1:9092,PROXIED://127.0.0.1:20011",
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        let changed = broker(NODES[0], &NODES[..1]).lines().zip(text.lines()).filter(|(a, b)| a != b).count();
        assert_eq!(changed, 3);
    }

    #[test]
    fn nothing_listens_beyond_this_machine() {
        let text = broker(NODES[0], &NODES);
        let listeners = text.lines().find_map(|l| l.strip_prefix("listeners=")).unwrap();
        assert!(listeners.split(',').all(|l| l.split_once("://").unwrap().1.starts_with("127.0.0.1:")));
        let arguments =
            registry_arguments(Path::new("r.jar"), Heap { initial: 1, max: 2 }, 8081, Path::new("/d"));
        assert!(arguments.contains(&"-Dquarkus.http.host=127.0.0.1".into()));
    }
}
