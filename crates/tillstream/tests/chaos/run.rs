//! One run: start, send, ill-treat, wait, check.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use localkafka::{Artifacts, Cluster, Options};
use serde_json::json;
use tempfile::TempDir;

use crate::checker::{self, Verdict};
use crate::fleet::Fleet;
use crate::plan::{self, Back, Fault, SERVICES, Size};
use crate::sender::Sender;

/// The share that is sent after all stages have been killed at rest, in thousandths of all deliveries: what they
/// restored is put to use.
const EPILOGUE: usize = 30;

/// Runs it, and gives the checker's verdict.
pub fn run(size: &Size) -> Verdict {
    let mut run = Run::start(size);
    run.ill_treat();
    run.verdict()
}

struct Run {
    size: Size,
    began: Instant,
    folder: TempDir,
    cluster: Cluster,
    fleet: Fleet,
    sender: Sender,
    /// What happens at an instant, not at a count.
    later: Vec<(Instant, Later)>,
    others: Vec<(&'static str, usize)>,
}

/// The second half of a fault.
enum Later {
    Start { service: &'static str, copy: usize },
    KillAgain { service: &'static str, copy: usize },
    Thaw { service: &'static str, copy: usize },
}

impl Run {
    fn start(size: &Size) -> Self {
        let began = Instant::now();
        let folder = tempfile::Builder::new().prefix("tillstream-chaos-").tempdir().unwrap();
        checker::generate(folder.path(), size.orders, size.seed);
        let cluster = start_cluster(folder.path(), size.brokers);
        write_config(folder.path(), &cluster);
        apply_topics(folder.path(), size.brokers);
        let mut fleet = Fleet::new(folder.path());
        for (service, copies) in SERVICES {
            for _ in 0..copies {
                fleet.add(service);
            }
        }
        fleet.wait_ready();
        let sender = Sender::start(folder.path(), fleet.ports("gateway"));
        let run = Self {
            size: *size,
            began,
            folder,
            cluster,
            fleet,
            sender,
            later: Vec::new(),
            others: Vec::new(),
        };
        run.say(&format!("{size:?}, {} deliveries, in {}", run.sender.len(), run.folder.path().display()));
        run
    }

    /// Sends, and does all faults at their counts.
    fn ill_treat(&mut self) {
        let most = self.sender.len() * (1000 - EPILOGUE) / 1000;
        self.sender.send_up_to(most);
        for (share, fault) in plan::faults(&self.size) {
            self.wait_until(|run| run.sender.answered() >= most * share / 1000);
            self.say(&format!("{fault:?}"));
            self.strike(&fault);
        }
        self.wait_until(|run| run.sender.answered() >= most && run.later.is_empty());
        self.say("all stages are killed at rest");
        self.drain();
        self.fleet.kill_stages();
        self.sender.send_up_to(self.sender.len());
        self.wait_until(|run| run.sender.answered() == run.sender.len());
        self.drain();
    }

    /// Waits, doing meanwhile what is due and what a supervisor does.
    fn wait_until(&mut self, done: impl Fn(&Self) -> bool) {
        loop {
            let due = self.later.iter().position(|(at, _)| Instant::now() >= *at);
            if let Some(index) = due {
                let (_, later) = self.later.swap_remove(index);
                self.resume(&later);
                continue;
            }
            self.fleet.supervise();
            if done(self) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn strike(&mut self, fault: &Fault) {
        match *fault {
            Fault::Kill { service, copy, moment, back } => {
                thread::sleep(moment);
                self.kill(service, copy, back);
            }
            Fault::Freeze { service, copy, lasts } => {
                // One that has just been killed has nothing to hold on to: it comes first.
                self.fleet.start(service, copy);
                assert!(self.fleet.freeze(service, copy));
                self.postpone(lasts, Later::Thaw { service, copy });
                self.count("frozen beyond the session, and woken");
            }
            Fault::Add { service } => {
                self.fleet.add(service);
                self.count("copies added");
            }
            Fault::Remove { service, gently } => {
                self.fleet.remove(service, gently);
                self.count("copies removed");
            }
            Fault::RestartBroker => {
                self.cluster.restart(1).unwrap();
                self.count("restarts of the broker");
            }
            Fault::KillBroker(broker) => {
                self.cluster.kill(broker).unwrap();
                self.count("`kill -9` of a broker of three, and back");
            }
            Fault::ReviveBroker(broker) => self.cluster.restart(broker).unwrap(),
        }
    }

    /// Kills a copy; if that one is frozen or away just now, its neighbour or the next service's.
    fn kill(&mut self, service: &'static str, copy: usize, back: Back) {
        let first = SERVICES.iter().position(|(name, _)| *name == service).unwrap();
        let services = (first..).map(|index| SERVICES[index % SERVICES.len()]).take(SERVICES.len());
        let mut copies = services.flat_map(|(service, copies)| {
            (copy..copy + copies).map(move |copy| (service, copy % copies))
        });
        let able = |run: &mut Self, (service, copy)| {
            !run.fleet.is_frozen(service, copy) && run.fleet.kill(service, copy)
        };
        let (service, copy) = copies.find(|copy| able(self, *copy)).unwrap();
        match back {
            Back::AtOnce => self.fleet.start(service, copy),
            Back::KilledAgainAfter(moment) => {
                self.fleet.start(service, copy);
                self.postpone(moment, Later::KillAgain { service, copy });
            }
            Back::After(moment) => self.postpone(moment, Later::Start { service, copy }),
        }
    }

    fn resume(&mut self, later: &Later) {
        match *later {
            Later::Start { service, copy } => self.fleet.start(service, copy),
            Later::KillAgain { service, copy } => {
                // Another fault may have come in between.
                self.fleet.thaw(service, copy);
                self.fleet.start(service, copy);
                self.fleet.kill(service, copy);
                self.fleet.start(service, copy);
            }
            Later::Thaw { service, copy } => self.fleet.thaw(service, copy),
        }
    }

    fn postpone(&mut self, by: Duration, later: Later) {
        self.later.push((Instant::now() + by, later));
    }

    fn count(&mut self, what: &'static str) {
        match self.others.iter_mut().find(|(known, _)| *known == what) {
            Some((_, count)) => *count += 1,
            None => self.others.push((what, 1)),
        }
    }

    fn drain(&self) {
        // What stays behind is for the checker to name.
        let drained = checker::drained(self.cluster.bootstrap(), self.cluster.registry_url());
        self.say(if drained { "drained" } else { "not drained" });
    }

    fn verdict(mut self) -> Verdict {
        self.fleet.stop();
        self.sender.finish();
        self.others.push(("copies that ended by themselves", self.fleet.ended_by_themselves));
        let others: serde_json::Map<String, serde_json::Value> =
            self.others.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
        let faults = json!({"kills": self.fleet.kills, "others": others});
        std::fs::write(self.folder.path().join("faults.json"), faults.to_string()).unwrap();
        let verdict =
            checker::check(self.folder.path(), self.cluster.bootstrap(), self.cluster.registry_url());
        tell(&format!("{:>4} s  checked", self.began.elapsed().as_secs()));
        if !verdict.is_clean() {
            // For a look at the logs of the services.
            tell(&format!("everything is kept in {}", self.folder.keep().display()));
        }
        verdict
    }

    fn say(&self, text: &str) {
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
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
}
