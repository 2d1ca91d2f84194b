//! A cluster with the services of a run, its shops, and what was done to them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use localkafka::{Artifacts, Cluster, Options};
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
        let cluster = start_cluster(folder.path(), size.brokers);
        write_config(folder.path(), &cluster);
        apply_topics(folder.path(), size.brokers);
        let mut fleet = Fleet::new(folder.path());
        for (service, copies) in services {
            for _ in 0..*copies {
                fleet.add(service);
            }
        }
        fleet.wait_ready();
        let sender = Sender::start(folder.path(), fleet.ports("gateway"));
        let rig = Self { began, folder, cluster, fleet, sender, others: BTreeMap::new() };
        rig.say(&format!("{size:?}, {} deliveries, in {}", rig.sender.len(), rig.folder.path().display()));
        rig
    }

    /// Notes that something was done.
    pub fn count(&mut self, what: &'static str) {
        *self.others.entry(what).or_default() += 1;
    }

    /// Waits until every stage has done what it can. What stays behind is for the checker to name.
    pub fn drain(&self) {
        // What a restart of the only broker has left open would hold everything up.
        self.cluster.settle_again().unwrap();
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

fn start_cluster(folder: &Path, brokers: u8) -> Cluster {
    let artifacts = Artifacts::resolve(&|line| eprintln!("{line}")).unwrap();
    let options = Options { brokers, ..Options::new(folder.join("kafka")) };
    let cluster = Cluster::start(&artifacts, options).unwrap();
    cluster.wait_registry().unwrap();
    cluster
}

fn write_config(folder: &Path, cluster: &Cluster) {
    let tenants = std::fs::read_to_string(folder.join("workspaces.toml")).unwrap();
    let text = format!(
        "[kafka]\nbootstrap = \"{}\"\n\n[registry]\nurl = \"{}\"\n\n{tenants}",
        cluster.bootstrap(),
        cluster.registry_url()
    );
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
