//! A stage: N workers over one input topic.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::worker::Worker;
use crate::{Error, Observer, Processor, Storage, Table, fault};

/// A topic that a stage writes to.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its name.
    pub topic: String,
    /// `max.message.bytes` of the topic: a larger record is poison, because it could never be produced.
    pub max_message_bytes: usize,
}

/// When a transaction is cut: whichever comes first.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// Age of the transaction; three times that as long as there always is a next record.
    pub interval: Duration,
    /// With the input drained, a commit comes as soon as this has passed since the last one. A commit per record
    /// would eat the machine at low load.
    pub idle_interval: Duration,
    /// Input records.
    pub records: u64,
    /// Bytes produced.
    pub bytes: u64,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(100),
            idle_interval: Duration::from_millis(30),
            records: 50_000,
            bytes: 64 << 20,
        }
    }
}

/// Everything that makes a stage, but its logic.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Bootstrap servers and whatever else the cluster wants of a client.
    pub client: ClientConfig,
    /// Consumer group and prefix of transactional ids: `tillstream-state`.
    pub name: String,
    /// Name of this copy. Stable over restarts, so that a restarted copy takes its own place again at once.
    pub instance: String,
    /// Worker threads.
    pub workers: usize,
    /// Input topic.
    pub input: String,
    /// Changelog topic, with as many partitions as the input.
    pub changelog: String,
    /// Largest record that the changelog takes.
    pub changelog_limit: usize,
    /// Topics that the processor emits to, by index.
    pub outputs: Vec<Output>,
    /// State tables of the processor.
    pub tables: Vec<Table>,
    /// Where they are kept.
    pub storage: Storage,
    /// When to commit.
    pub cut: Cut,
    /// After how long a silent copy loses its partitions.
    pub session_timeout: Duration,
    /// At most so many records a second are read of the input's last partition, the slow lane. `None`: there is none. An
    /// input of one partition has no lane either.
    pub lane_per_second: Option<NonZeroU32>,
    /// How time passes where no records come. `None`: it doesn't.
    pub wake: Option<Wake>,
}

/// How a stage is woken ([`Processor::wake`]): by the wall clock, as far as everything that arrived before was handed on
/// to its input. A slow lane isn't waited for.
#[derive(Debug, Clone)]
pub struct Wake {
    /// How often a processor is asked whether anything is due.
    pub every: Duration,
    /// The clock stays behind the wall clock by as much: what arrives just now must have been written.
    pub margin: Duration,
    /// The wall clock, in microseconds.
    pub clock: fn() -> i64,
    /// The topic that the input is made of.
    pub topic: String,
    /// The consumer group that makes it.
    pub group: String,
    /// True where the topic's last partition is a slow lane.
    pub has_lane: bool,
}

impl Stage {
    /// `<app>-<stage>-<instance>-<slot>`: transactional id and group instance id.
    pub(crate) fn slot_id(&self, slot: usize) -> String {
        format!("{}-{}-{slot}", self.name, self.instance)
    }
}

/// Stops the other workers when one panics: its partitions must not look as if somebody worked on them.
struct PanicGuard<'a>(&'a AtomicBool);

impl Drop for PanicGuard<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs the stage until `stop` says so or a worker fails. Blocks; `make` is called once per worker.
pub fn run(
    stage: &Stage,
    make: &(dyn Fn() -> Result<Box<dyn Processor>, Error> + Sync),
    observer: &Arc<dyn Observer>,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<(), Error> {
    fault::arm()?;
    let failed = AtomicBool::new(false);
    let stop_all = || stop() || failed.load(Ordering::Relaxed);
    thread::scope(|scope| {
        let mut handles = Vec::new();
        for slot in 0..stage.workers.max(1) {
            let (failed, stop_all, observer) = (&failed, &stop_all, Arc::clone(observer));
            let work = move || {
                let _guard = PanicGuard(failed);
                let result = make().and_then(|processor| {
                    match Worker::start(stage, slot, processor, observer, stop_all) {
                        Err(Error::Stopped) => Ok(()),
                        worker => worker?.run(),
                    }
                });
                if let Err(error) = &result {
                    failed.store(true, Ordering::Relaxed);
                    tracing::error!(error = error as &dyn std::error::Error, slot, "worker stopped");
                }
                result
            };
            let name = format!("{}-{slot}", stage.name.strip_prefix("tillstream-").unwrap_or(&stage.name));
            let spawned = thread::Builder::new().name(name).spawn_scoped(scope, work);
            match spawned {
                Ok(handle) => handles.push((slot, handle)),
                Err(error) => {
                    failed.store(true, Ordering::Relaxed);
                    return Err(Error::Panicked {
                        slot,
                        message: format!("its thread couldn't start: {error}"),
                    });
                }
            }
        }
        let mut first = Ok(());
        for (slot, handle) in handles {
            let result = handle.join().unwrap_or_else(|panic| {
                failed.store(true, Ordering::Relaxed);
                let message = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
                    .unwrap_or_default();
                Err(Error::Panicked { slot, message })
            });
            first = first.and(result);
        }
        first
    })
}
