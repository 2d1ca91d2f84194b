//! What the kernel knows of this process, read at the moment of the scrape.

use std::fs;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts};

use super::family::Family;

/// The names that every Prometheus client uses, so that common dashboards work.
pub(super) const FAMILIES: [Family; 3] = [
    Family {
        name: "process_resident_memory_bytes",
        kind: "gauge",
        labels: &[],
        unit: "bytes",
        meaning: "Memory of the process that is in RAM.",
    },
    Family {
        name: "process_cpu_seconds_total",
        kind: "counter",
        labels: &[],
        unit: "seconds",
        meaning: "CPU time of the process, user and system.",
    },
    Family {
        name: "process_open_fds",
        kind: "gauge",
        labels: &[],
        unit: "handles",
        meaning: "File handles that the process holds.",
    },
];

/// Reads `/proc/self`; elsewhere than on Linux the figures stay 0.
pub(super) struct Process {
    memory: Gauge,
    cpu: prometheus::Counter,
    handles: Gauge,
}

impl Process {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let [memory, cpu, handles] = FAMILIES.map(|family| Opts::new(family.name, family.meaning));
        Ok(Self {
            memory: Gauge::with_opts(memory)?,
            cpu: prometheus::Counter::with_opts(cpu)?,
            handles: Gauge::with_opts(handles)?,
        })
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        [self.memory.desc(), self.cpu.desc(), self.handles.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(kibibytes) = memory() {
            self.memory.set(f64::from(kibibytes) * 1024.0);
        }
        if let Some(spent) = cpu() {
            let spent = spent.as_secs_f64();
            self.cpu.inc_by((spent - self.cpu.get()).max(0.0));
        }
        if let Some(handles) =
            fs::read_dir("/proc/self/fd").ok().and_then(|dir| u32::try_from(dir.count()).ok())
        {
            self.handles.set(f64::from(handles));
        }
        [self.memory.collect(), self.cpu.collect(), self.handles.collect()].concat()
    }
}

fn memory() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?.parse().ok()
}

/// Fields 14 and 15 of `stat`, in ticks of 10 ms (USER_HZ is 100 on every architecture). The name of the process may
/// hold blanks and parentheses, so fields are counted from the last parenthesis.
fn cpu() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.saturating_add(system).saturating_mul(10)))
}
