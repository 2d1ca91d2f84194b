//! The services as processes, and what is done to them.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::rig::tell;

/// All copies of all services.
pub struct Fleet {
    folder: PathBuf,
    copies: Vec<Copy>,
    /// Variables that one service is started with.
    environment: Vec<(&'static str, &'static str, String)>,
    /// Kills by service.
    pub kills: BTreeMap<&'static str, usize>,
    /// Copies that ended without being told to, and were started again as a supervisor does.
    pub ended_by_themselves: Vec<String>,
}

/// One copy of a service.
struct Copy {
    service: &'static str,
    name: String,
    port: u16,
    child: Option<Child>,
    frozen: bool,
    /// Gone for good.
    removed: bool,
}

impl Fleet {
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            copies: Vec::new(),
            environment: Vec::new(),
            kills: BTreeMap::new(),
            ended_by_themselves: Vec::new(),
        }
    }

    /// Sets a variable that the copies of a service are started with from now on; an empty one is as good as none.
    pub fn set(&mut self, service: &'static str, name: &'static str, value: &str) {
        self.environment.retain(|(of, known, _)| (*of, *known) != (service, name));
        self.environment.push((service, name, value.to_owned()));
    }

    /// Starts one more copy and gives its number among those of its service.
    pub fn add(&mut self, service: &'static str) -> usize {
        let number = self.copies.iter().filter(|copy| copy.service == service).count();
        let taken: Vec<u16> = self.copies.iter().map(|copy| copy.port).collect();
        self.copies.push(Copy {
            service,
            name: format!("{service}-{number}"),
            port: free_port(&taken),
            child: None,
            frozen: false,
            removed: false,
        });
        self.start(service, number);
        number
    }

    /// The ports of a service's copies.
    pub fn ports(&self, service: &str) -> Vec<u16> {
        self.copies.iter().filter(|copy| copy.service == service).map(|copy| copy.port).collect()
    }

    /// Starts a copy that doesn't run.
    pub fn start(&mut self, service: &str, number: usize) {
        let (folder, environment) = (self.folder.clone(), self.environment.clone());
        let copy = self.copy(service, number);
        if copy.child.is_some() || copy.removed {
            return;
        }
        let log = |name: &str| {
            OpenOptions::new().create(true).append(true).open(folder.join(format!("{name}.log"))).unwrap()
        };
        let file: File = log(&copy.name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tillstream"));
        command
            .args(["serve", copy.service, "--instance", &copy.name, "--config"])
            .arg(folder.join("tillstream.toml"))
            .env("TILLSTREAM_DATA_DIR", &folder)
            .env_remove("TILLSTREAM_CONFIG")
            .env(
                format!("TILLSTREAM_{}__LISTEN", copy.service.to_uppercase()),
                format!("127.0.0.1:{}", copy.port),
            )
            .envs(
                environment
                    .iter()
                    .filter(|(of, ..)| *of == copy.service)
                    .map(|(_, name, value)| (name, value)),
            )
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        copy.child = Some(command.spawn().unwrap());
    }

    /// `kill -9`. False when it doesn't run.
    pub fn kill(&mut self, service: &'static str, number: usize) -> bool {
        let copy = self.copy(service, number);
        let Some(mut child) = copy.child.take() else { return false };
        copy.frozen = false;
        child.kill().unwrap();
        child.wait().unwrap();
        *self.kills.entry(service).or_default() += 1;
        true
    }

    /// `SIGSTOP`. False when it doesn't run.
    pub fn freeze(&mut self, service: &str, number: usize) -> bool {
        let copy = self.copy(service, number);
        let Some(child) = &copy.child else { return false };
        signal("-STOP", child);
        copy.frozen = true;
        true
    }

    /// `SIGCONT`.
    pub fn thaw(&mut self, service: &str, number: usize) {
        let copy = self.copy(service, number);
        if let (true, Some(child)) = (copy.frozen, &copy.child) {
            signal("-CONT", child);
        }
        copy.frozen = false;
    }

    pub fn is_frozen(&mut self, service: &str, number: usize) -> bool {
        self.copy(service, number).frozen
    }

    /// The last copy of a service goes for good.
    pub fn remove(&mut self, service: &'static str, gently: bool) {
        let number = self.copies.iter().filter(|copy| copy.service == service).count() - 1;
        let copy = self.copy(service, number);
        copy.removed = true;
        if gently {
            if let Some(mut child) = copy.child.take() {
                signal("-TERM", &child);
                wait_for_the_end(&mut child);
            }
        } else {
            self.kill(service, number);
        }
    }

    /// Waits until a copy has ended by itself, and leaves it so.
    pub fn wait_for_the_end(&mut self, service: &str, number: usize) -> ExitStatus {
        let mut child = self.copy(service, number).child.take().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("{service} didn't end");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Starts again what has ended by itself.
    pub fn supervise(&mut self) {
        let mut ended = Vec::new();
        for copy in &mut self.copies {
            if let Some(child) = &mut copy.child
                && let Some(status) = child.try_wait().unwrap()
            {
                tell(&format!("{} ended by itself: {status}", copy.name));
                copy.child = None;
                copy.frozen = false;
                ended.push((copy.service, copy.name.clone(), status));
            }
        }
        for (service, name, status) in ended {
            self.ended_by_themselves.push(format!("{name}: {status}"));
            let number = name.rsplit('-').next().unwrap().parse().unwrap();
            self.start(service, number);
        }
    }

    /// Kills all copies of all stages at once, and starts them again.
    pub fn kill_stages(&mut self) {
        let stages: Vec<_> = self
            .numbered()
            .filter(|(service, _)| ["normalizer", "state", "aggregator"].contains(service))
            .collect();
        let killed: Vec<_> =
            stages.into_iter().filter(|(service, number)| self.kill(service, *number)).collect();
        for (service, number) in killed {
            self.start(service, number);
        }
    }

    fn numbered(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let named = self.copies.iter().map(|copy| (copy.service, copy.name.clone())).collect::<Vec<_>>();
        named.into_iter().map(|(service, name)| (service, name.rsplit('-').next().unwrap().parse().unwrap()))
    }

    /// Asks all to end, and waits until they have.
    pub fn stop(&mut self) {
        for copy in &mut self.copies {
            if let Some(child) = &copy.child {
                signal("-TERM", child);
            }
        }
        for copy in &mut self.copies {
            if let Some(mut child) = copy.child.take() {
                wait_for_the_end(&mut child);
            }
        }
    }

    /// Waits until all copies that run say that they have all they need.
    pub fn wait_ready(&self) {
        let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + Duration::from_secs(120);
        for copy in self.copies.iter().filter(|copy| copy.child.is_some()) {
            // A copy without partitions isn't ready, and right in that: what listens has come far enough.
            let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, copy.port)).is_ok();
            let answers = |path: &str| {
                let url = format!("http://127.0.0.1:{}{path}", copy.port);
                client.get(url).send().is_ok_and(|answer| answer.status().is_success())
            };
            while !(listens() && (copy.service != "gateway" || answers("/readyz"))) {
                assert!(Instant::now() < deadline, "{} isn't ready", copy.name);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Whether a copy has all it needs; a stage's also its state.
    pub fn is_ready(&self, service: &str, number: usize) -> bool {
        let url = format!("http://127.0.0.1:{}/readyz", self.ports(service)[number]);
        let client = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        client.get(url).send().is_ok_and(|answer| answer.status().is_success())
    }

    fn copy(&mut self, service: &str, number: usize) -> &mut Copy {
        self.copies.iter_mut().filter(|copy| copy.service == service).nth(number).unwrap()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        for copy in &mut self.copies {
            if let Some(child) = &mut copy.child {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Waits as an orchestrator does for one that it has asked to end: what takes too long is killed.
fn wait_for_the_end(child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(name: &str, child: &Child) {
    // One that has just ended isn't there any more, and that is fine.
    let _ = Command::new("kill").args([name, &child.id().to_string()]).stderr(Stdio::null()).status();
}

/// Ports below those that the kernel gives to outgoing connections: while a copy is dead no client of anything may take
/// its port, or it could never start again.
const PORTS: std::ops::Range<u16> = 14_000..20_000;

/// A port that nobody listens on, and that no copy has, dead or alive.
fn free_port(taken: &[u16]) -> u16 {
    let span = PORTS.end - PORTS.start;
    // Anywhere, so that two runs at a time rarely meet.
    let first = u16::try_from(RandomState::new().build_hasher().finish() % u64::from(span)).unwrap();
    let mut ports = (0..span).map(|step| PORTS.start + (first + step) % span);
    let free = |port: &u16| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    ports.find(free).expect("a free port")
}
