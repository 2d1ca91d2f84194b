//! A cluster with the services of a run, its shops, and what was done to them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use localkafka::{Artifacts, Cluster, FaultProxy, Options};
use serde_json::json;
use tempfile::TempDir;

use crate::checker::{self, Verdict};
use crate::fleet::Fleet;
use crate::plan::Size;
use crate::sender::Sender;

pub struct Rig {
    began: Instant,
    folder: TempDir,
    pub cluster: Cluster,
    /// Between the services and their only broker.
    proxy: Option<FaultProxy>,
    pub fleet: Fleet,
    pub sender: Sender,
    /// What was done besides kills, and how often.
    others: BTreeMap<&'static str, usize>,
}

impl Rig {
    /// Starts everything; nothing is sent yet.
    pub fn start(size: &Size, services: &[(&'static str, usize)]) -> Self {
        let began = Instant::now();
        let folder = tempfile::Builder::new().prefix("tillstream-chaos-").tempdir().unwrap();
        checker::generate(folder.path(), size.orders, size.seed);
        let proxy = (size.brokers == 1).then(|| FaultProxy::bind().unwrap());
        let cluster = start_cluster(folder.path(), size.brokers, proxy.as_ref());
        let bootstrap = proxy.as_ref().map_or_else(|| cluster.bootstrap().to_owned(), FaultProxy::bootstrap);
        write_config(folder.path(), &bootstrap, cluster.registry_url());
        apply_topics(folder.path(), size.brokers);
        let mut fleet = Fleet::new(folder.path());
        for (service, copies) in services {
            for _ in 0..*copies {
                fleet.add(service);
            }
        }
        fleet.wait_ready();
        let sender = Sender::start(folder.path(), fleet.ports("gateway"));
        let rig = Self { began, folder, cluster, proxy, fleet, sender, others: BTreeMap::new() };
        rig.say(&format!("{size:?}, {} deliveries, in {}", rig.sender.len(), rig.folder.path().display()));
        rig
    }

    /// Notes that something was done.
    pub fn count(&mut self, what: &'static str) {
        *self.others.entry(what).or_default() += 1;
    }

    /// Stops the only broker in order and starts it again. The services have it back when the transactions are ended
    /// whose markers Kafka forgot, as `up` does it: one that writes before that can put its next transaction over what
    /// is still open, and what becomes of both is then Kafka's chance.
    pub fn restart_broker(&mut self) {
        let proxy = self.proxy.as_ref().unwrap();
        proxy.shut();
        self.cluster.restart(1).unwrap();
        self.cluster.wait_kafka().unwrap();
        proxy.open();
        self.count("restarts of the broker");
    }

    /// Waits until every stage has done what it can. What stays behind is for the checker to name.
    pub fn drain(&self) {
        let drained = checker::drained(self.cluster.bootstrap(), self.cluster.registry_url());
        self.say(if drained { "drained" } else { "not drained" });
    }

    /// Stops everything and lets the checker compare.
    pub fn verdict(mut self) -> Verdict {
        self.fleet.stop();
        self.sender.finish();
        let faults = json!({"kills": self.fleet.kills, "others": self.others});
        std::fs::write(self.folder.path().join("faults.json"), faults.to_string()).unwrap();
        let verdict =
            checker::check(self.folder.path(), self.cluster.bootstrap(), self.cluster.registry_url());
        tell(&format!("{:>4} s  checked", self.began.elapsed().as_secs()));
        if !verdict.is_clean() && std::env::var_os("CHAOS_KEEP").is_some() {
            // For a look at the logs of the services.
            tell(&format!("everything is kept in {}", self.folder.keep().display()));
        }
        // Whatever is done to it, a service goes on; a supervisor is no excuse.
        assert!(self.fleet.ended_by_themselves.is_empty(), "{:?}", self.fleet.ended_by_themselves);
        verdict
    }

    pub fn say(&self, text: &str) {
        let (seconds, answered) = (self.began.elapsed().as_secs(), self.sender.answered());
        tell(&format!("{seconds:>4} s  {answered:>6} answered  {text}"));
    }
}

/// Past the capture of the test's output: a run takes minutes.
pub fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "chaos: {text}");
}

fn start_cluster(folder: &Path, brokers: u8, proxy: Option<&FaultProxy>) -> Cluster {
    let artifacts = Artifacts::resolve(&|line| eprintln!("{line}")).unwrap();
    let proxy_port = proxy.map(FaultProxy::port);
    let options = Options { brokers, proxy_port, ..Options::new(folder.join("kafka")) };
    let cluster = Cluster::start(&artifacts, options).unwrap();
    cluster.wait_registry().unwrap();
    if let (Some(proxy), Some(port)) = (proxy, cluster.proxied_port()) {
        proxy.forward_to(port);
    }
    cluster
}

fn write_config(folder: &Path, bootstrap: &str, registry: &str) {
    let tenants = std::fs::read_to_string(folder.join("workspaces.toml")).unwrap();
    let text =
        format!("[kafka]\nbootstrap = \"{bootstrap}\"\n\n[registry]\nurl = \"{registry}\"\n\n{tenants}");
    std::fs::write(folder.join("tillstream.toml"), text).unwrap();
}

fn apply_topics(folder: &Path, brokers: u8) {
    let status = Command::new(env!("CARGO_BIN_EXE_tillstream"))
        .args(["topics", "apply", "--replication", &brokers.to_string(), "--config"])
        .arg(folder.join("tillstream.toml"))
        .env("TILLSTREAM_DATA_DIR", folder)
        .env_remove("TILLSTREAM_CONFIG")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
