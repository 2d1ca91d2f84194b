//! A processor that counts per key and says each count once, and a stage around it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use stream::{
    Committed, Context, Cut, Error, Failure, Observer, OnDisk, Output, Phase, Poison, Processor, Record,
    Stage, Storage, Table, TaskStatus,
};

use tempfile::TempDir;

use crate::cluster::client;

pub const COUNTS: Table = Table::hashed(0, "counts");

/// Emits `key -> n:value` for the n-th record of a key; `poison…` values are set aside, `wait` values are transient
/// until the switch is on.
pub struct Counting {
    pub world: Arc<AtomicBool>,
}

impl Processor for Counting {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let value = record.value.unwrap_or_default();
        let n = ctx.get(COUNTS, record.key).map_or(0, |v| u64::from_le_bytes((*v).try_into().unwrap())) + 1;
        ctx.put(COUNTS, record.key, &n.to_le_bytes())?;
        let mut line = format!("{n}:").into_bytes();
        line.extend_from_slice(value);
        ctx.emit(0, Some(ctx.partition()), record.key, Some(&line))?;
        ctx.count(["published", "", ""]);
        if value.starts_with(b"poison") {
            let message = "says so".to_owned();
            return Err(Poison { reason: "poison", field: None, message }.into());
        }
        if value == b"wait" && !self.world.load(Ordering::Relaxed) {
            return Err(Failure::Transient("not yet".to_owned()));
        }
        if value == b"fatal" {
            return Err(Failure::Fatal("told to".to_owned()));
        }
        Ok(())
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let mut value = format!("{}:", poison.reason).into_bytes();
        value.extend_from_slice(
            record.value.unwrap_or_default().get(..32).unwrap_or(record.value.unwrap_or_default()),
        );
        if record.value.unwrap_or_default().starts_with(b"poison-whole") {
            value = [poison.message.as_bytes(), b"|", record.value.unwrap_or_default()].concat();
        }
        ctx.count(["dead_lettered", poison.reason, ""]);
        ctx.emit(1, None, record.key, Some(&value))
    }

    fn publish(&mut self, ctx: &mut Context<'_>) -> Result<(), Failure> {
        for key in ctx.changed(COUNTS) {
            let n = ctx.get(COUNTS, &key).map(|v| u64::from_le_bytes((*v).try_into().unwrap()).to_string());
            ctx.emit(2, Some(ctx.partition()), &key, n.as_deref().map(str::as_bytes))?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub struct Seen {
    pub records: AtomicU64,
    /// What each abort came from.
    pub aborted: Mutex<Vec<&'static str>>,
    pub restored: AtomicU64,
    pub published: AtomicU64,
    pub recycled: Mutex<Vec<&'static str>>,
    pub waited: AtomicU64,
    pub lag: AtomicI64,
    tasks: Mutex<BTreeMap<usize, Vec<TaskStatus>>>,
}

impl Seen {
    /// Tasks, over all slots.
    pub fn tasks(&self) -> usize {
        self.tasks.lock().unwrap().values().map(Vec::len).sum()
    }

    /// Tasks that process, over all slots.
    pub fn running(&self) -> usize {
        let tasks = self.tasks.lock().unwrap();
        tasks.values().flatten().filter(|task| task.phase == Phase::Running).count()
    }

    /// The committed input offsets of all tasks that process, added up.
    pub fn at(&self) -> i64 {
        let tasks = self.tasks.lock().unwrap();
        let running = tasks.values().flatten().filter(|task| task.phase == Phase::Running);
        running.map(|task| task.committed).sum()
    }
}

impl Observer for Seen {
    fn committed(&self, committed: &Committed<'_>) {
        self.records.fetch_add(committed.records, Ordering::Relaxed);
        for (labels, n) in committed.counts {
            if labels[0] == "published" {
                self.published.fetch_add(*n, Ordering::Relaxed);
            }
        }
    }
    fn aborted(&self, cause: &'static str) {
        self.aborted.lock().unwrap().push(cause);
    }
    fn recycled(&self, cause: &'static str) {
        self.recycled.lock().unwrap().push(cause);
    }
    fn restored(&self, _: i32, records: u64, _: Duration) {
        self.restored.fetch_add(records, Ordering::Relaxed);
    }
    fn tasks(&self, slot: usize, tasks: &[TaskStatus]) {
        self.tasks.lock().unwrap().insert(slot, tasks.to_vec());
    }
    fn waiting(&self, _: usize, _: &str) {
        self.waited.fetch_add(1, Ordering::Relaxed);
    }
    fn lag(&self, _: usize, records: i64) {
        self.lag.store(records, Ordering::Relaxed);
    }
}

/// Where a job keeps its state.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Memory,
    Disk,
}

#[expect(clippy::disallowed_methods, reason = "the clock that is passed in")]
pub fn clock() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// A store on disk with as little memory as it takes.
pub fn on_disk(folder: &Path) -> OnDisk {
    OnDisk { folder: folder.to_owned(), cache_bytes: 1, write_buffer_bytes: 1, clock }
}

/// Topics and names of one test.
pub struct Job {
    pub stage: Stage,
    pub world: Arc<AtomicBool>,
    /// Of the stores.
    pub folder: Arc<TempDir>,
}

impl Job {
    pub fn new(name: &str, partitions: i32) -> Self {
        Self::on(Kind::Memory, name, partitions)
    }

    pub fn on(kind: Kind, name: &str, partitions: i32) -> Self {
        let job = Self::of(kind, &crate::cluster::unique(name));
        job.create(partitions, &[("cleanup.policy", "compact")]);
        job
    }

    pub fn create(&self, partitions: i32, changelog: &[(&str, &str)]) {
        // As on the real topics: no clock decides what is taken.
        let any_time = ("message.timestamp.after.max.ms", "9223372036854775807");
        let changelog: Vec<_> = changelog.iter().copied().chain([any_time]).collect();
        let compact: &[(&str, &str)] = &[("cleanup.policy", "compact"), any_time];
        let any_time: &[(&str, &str)] = &[any_time];
        crate::cluster::create(&[
            (&self.stage.input, partitions, any_time),
            (self.out(), partitions, any_time),
            (self.dead(), 1, any_time),
            (self.latest(), partitions, compact),
            (&self.stage.changelog, partitions, &changelog),
        ]);
    }

    /// A job in memory whose topics are there already.
    pub fn named(name: &str) -> Self {
        Self::of(Kind::Memory, name)
    }

    /// A job whose topics are there or will be made.
    pub fn of(kind: Kind, name: &str) -> Self {
        let topic = |kind: &str| format!("{name}.{kind}");
        let folder = tempfile::tempdir().unwrap();
        let output = |kind: &str| Output { topic: topic(kind), max_message_bytes: 100_000 };
        let stage = Stage {
            client: client(),
            name: name.to_owned(),
            instance: "a".to_owned(),
            workers: 1,
            input: topic("in"),
            changelog: topic("changelog"),
            changelog_limit: 100_000,
            outputs: vec![output("out"), output("dead"), output("latest")],
            tables: vec![COUNTS],
            storage: match kind {
                Kind::Memory => Storage::Memory,
                Kind::Disk => Storage::Disk(on_disk(folder.path())),
            },
            cut: Cut::default(),
            session_timeout: Duration::from_secs(6),
            lane_per_second: None,
            wake: None,
        };
        Self { stage, world: Arc::new(AtomicBool::new(true)), folder: Arc::new(folder) }
    }

    /// The same job past the proxy: nothing that is done to the others is done to its copies.
    pub fn direct(&self) -> Self {
        let stage = Stage { client: client(), ..self.stage.clone() };
        Self { stage, world: Arc::clone(&self.world), folder: Arc::clone(&self.folder) }
    }

    /// The same job through the proxy, under a client id of its own.
    pub fn proxied(mut self) -> Self {
        let name = self.stage.name.clone();
        self.stage
            .client
            .set("bootstrap.servers", localkafka::shared_proxy().bootstrap())
            .set("client.id", name);
        self
    }

    pub fn out(&self) -> &str {
        &self.stage.outputs[0].topic
    }

    pub fn dead(&self) -> &str {
        &self.stage.outputs[1].topic
    }

    pub fn latest(&self) -> &str {
        &self.stage.outputs[2].topic
    }

    pub fn start(&self, instance: &str) -> Copy {
        let seen = Arc::new(Seen::default());
        let stop = Arc::new(AtomicBool::new(false));
        let observer: Arc<dyn Observer> = Arc::clone(&seen) as _;
        let (stage, world, stopped) = (
            Stage { instance: instance.to_owned(), ..self.stage.clone() },
            Arc::clone(&self.world),
            Arc::clone(&stop),
        );
        let thread = std::thread::spawn(move || {
            let make = || Ok(Box::new(Counting { world: Arc::clone(&world) }) as Box<dyn Processor>);
            stream::run(&stage, &make, &observer, &|| stopped.load(Ordering::Relaxed))
        });
        Copy { seen, stop, thread: Some(thread) }
    }
}

/// A running copy of the stage.
pub struct Copy {
    pub seen: Arc<Seen>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Copy {
    pub fn records(&self) -> u64 {
        self.seen.records.load(Ordering::Relaxed)
    }

    /// Stops in order.
    pub fn stop(mut self) -> Result<(), Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().unwrap().is_finished()
    }

    /// Waits for the stage to end by itself.
    pub fn end(mut self) -> Result<(), Error> {
        self.thread.take().unwrap().join().unwrap()
    }
}

/// The same tests over each kind of store.
macro_rules! over_both_stores {
    ($($name:ident)+) => {$(
        mod $name {
            use crate::counting::Kind;

            #[test]
            fn in_memory() {
                super::$name(Kind::Memory);
            }

            #[test]
            fn on_disk() {
                super::$name(Kind::Disk);
            }
        }
    )+};
}
pub(crate) use over_both_stores;
