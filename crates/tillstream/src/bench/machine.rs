//! What it runs on, and what it takes: CPU time and memory, read from `/proc`. Elsewhere than on Linux these are
//! absent.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// `/proc` counts in hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Cores, memory, processor.
pub fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    json!({
        "cores": cores,
        "memory_mib": kib.map(|kib| kib / 1024),
        "cpu": field("/proc/cpuinfo", "model name"),
        "os": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// Versions of what is measured. `local`: the Kafka is the one that this build starts.
pub fn versions(local: bool) -> Value {
    const POM: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/pom.xml"));
    let between = |text: &'static str, from: &str, to: &str| Some(text.split_once(from)?.1.split_once(to)?.0);
    json!({
        "tillstream": env!("CARGO_PKG_VERSION"),
        "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        "kafka": if local { between(POM, "<kafka.version>", "</kafka.version>") } else { None },
        "librdkafka": rdkafka::util::get_rdkafka_version().1,
    })
}

/// Time and CPU time at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    at: Instant,
    own: f64,
    broker: Option<f64>,
}

/// What passed between two moments, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// On the wall.
    pub seconds: f64,
    /// CPU of this process.
    pub own: f64,
    /// CPU of the broker, where its process is known.
    pub broker: Option<f64>,
}

impl Moment {
    /// Now.
    pub fn now(broker: Option<u32>) -> Self {
        Self {
            at: Instant::now(),
            own: cpu("/proc/self/stat").unwrap_or(0.0),
            broker: broker.and_then(|pid| cpu(&format!("/proc/{pid}/stat"))),
        }
    }

    /// From this moment to a later one.
    pub fn to(&self, later: &Self) -> Passed {
        Passed {
            seconds: later.at.duration_since(self.at).as_secs_f64(),
            own: later.own - self.own,
            broker: later.broker.zip(self.broker).map(|(later, earlier)| later - earlier),
        }
    }
}

fn cpu(stat: &str) -> Option<f64> {
    let text = fs::read_to_string(stat).ok()?;
    // The name may have spaces in it; user and system time are the 12th and 13th field behind it.
    let mut fields = text.rsplit(')').next()?.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// CPU seconds of this process's threads by name, those of one name together.
pub fn threads() -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let path = task.path();
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let seconds = cpu(&path.join("stat").to_string_lossy()).unwrap_or(0.0);
        *found.entry(name.trim().to_owned()).or_default() += seconds;
    }
    found
}

/// How long the calling thread has been on a core; `None` where the system doesn't say.
pub fn on_core() -> Option<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Forgets the peak of memory so far: the next one is that of what is measured.
pub fn forget_peak() {
    let _ = fs::write("/proc/self/clear_refs", "5");
}

/// The peak of resident memory, in MiB.
pub fn peak_mib() -> Option<f64> {
    status_mib("VmHWM:")
}

/// Resident memory now, in MiB.
pub fn resident_mib() -> Option<f64> {
    status_mib("VmRSS:")
}

fn status_mib(name: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}
