//! The runtime alone: records of 300 bytes from one topic to another.
//!
//! Both sides read what a transaction made visible at one moment, after their groups had settled: so neither's start
//! is part of the figure. At least once is a loop of consumer and idempotent producer, which every 100 ms waits for
//! the acknowledgements and then commits its offsets without waiting.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use stream::{
    Committed, Context, Cut, Failure, Observer, Output, Phase, Poison, Processor, Record, Stage, Storage,
    TaskStatus,
};

use super::cluster::Kafka;
use super::machine::Moment;
use super::report::Report;
use super::workload::Workload;
use super::{Place, float, say};
use crate::Stop;
use crate::cli::Common;

/// `bench copy`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Records.
    #[arg(long, default_value_t = 1_500_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    n: u64,
    /// Threads of each side.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=4))]
    workers: u8,
    /// How often each side is measured, in turn.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    #[command(flatten)]
    pub(super) place: Place,
}

const METHOD: &str = "records of 300 B copied from topic to topic of 4 partitions each, exactly once by the runtime \
    (commit every 100 ms) and at least once by a consumer and an idempotent producer (offsets every 100 ms), in turn";
const SIZE: usize = 300;
const EVERY: Duration = Duration::from_millis(100);
const SETTLE: Duration = Duration::from_secs(60);

/// Measures both sides in turn.
pub fn run(common: &Common, args: &Args) -> Result<Report, Stop> {
    let kafka = Kafka::start(common, &args.place)?;
    let mut report = Report::new("copy", kafka.local, METHOD);
    let payloads: Vec<Vec<u8>> = Workload::new(7, 4_000)
        .map(|webhook| webhook.body.iter().copied().cycle().take(SIZE).collect())
        .collect();
    let (mut once, mut least) = (Vec::new(), Vec::new());
    for round in 0..args.rounds {
        for (exactly, taken) in [(true, &mut once), (false, &mut least)] {
            let name = if exactly { "exactly once" } else { "at least once" };
            say(&format!("round {} of {}: {name}", round + 1, args.rounds));
            let round = Round::new(&kafka, &payloads, args, exactly, round)?;
            let side = if exactly { round.exactly_once() } else { round.at_least_once() };
            let copied = round.count()?;
            if exactly {
                report.check(format!("records {name}"), &args.n, &copied);
            } else {
                report.check(format!("all records {name}"), &true, &(copied >= args.n));
            }
            round.end()?;
            taken.push(side?);
        }
    }
    let n = float(args.n);
    let rate =
        |sides: &[Side]| n * float(sides.len() as u64) / sides.iter().map(|side| side.seconds).sum::<f64>();
    report.figure("exactly_once_per_s", rate(&once), "records/s");
    report.figure("at_least_once_per_s", rate(&least), "records/s");
    report.figure("ratio", rate(&once) / rate(&least), "exactly once / at least once");
    for (name, sides) in [("exactly_once", &once), ("at_least_once", &least)] {
        for (index, side) in sides.iter().enumerate() {
            report.figure(format!("{name}_{}_per_s", index + 1), n / side.seconds, "records/s");
        }
        let cpu =
            |get: fn(&Side) -> f64| sides.iter().map(get).sum::<f64>() * 1e6 / n / float(sides.len() as u64);
        report.figure(format!("{name}_cpu_us"), cpu(|side| side.own), "µs per record, this process");
        report.figure(format!("{name}_broker_cpu_us"), cpu(|side| side.broker), "µs per record, the broker");
    }
    let mut commits: Vec<f64> = once.iter().flat_map(|side| side.commits.iter().copied()).collect();
    report.spans("exactly_once_commit", &mut commits);
    Ok(report)
}

/// One side, measured once.
struct Side {
    seconds: f64,
    own: f64,
    broker: f64,
    /// Milliseconds of each commit.
    commits: Vec<f64>,
}

impl Side {
    fn between(start: &Moment, end: &Moment, commits: Vec<f64>) -> Self {
        let passed = start.to(end);
        Self { seconds: passed.seconds, own: passed.own, broker: passed.broker.unwrap_or(0.0), commits }
    }
}

/// Topics, filled and not yet visible.
struct Round<'k> {
    kafka: &'k Kafka,
    n: u64,
    workers: u8,
    name: String,
    gate: ThreadedProducer<DefaultProducerContext>,
}

impl<'k> Round<'k> {
    fn new(
        kafka: &'k Kafka,
        payloads: &[Vec<u8>],
        args: &Args,
        exactly: bool,
        round: u8,
    ) -> anyhow::Result<Self> {
        let how = if exactly { "once" } else { "least" };
        let name = format!("tillstream.bench-copy.{}-{round}-{how}", std::process::id());
        let topics = ["in", "out", "changelog"].map(|part| format!("{name}.{part}"));
        kafka.create(&topics.each_ref().map(String::as_str))?;
        let gate: ThreadedProducer<DefaultProducerContext> = kafka
            .producer_config()
            .set("transactional.id", &name)
            .set("transaction.timeout.ms", "600000")
            .create()?;
        gate.init_transactions(Duration::from_secs(30))?;
        gate.begin_transaction()?;
        for (index, payload) in (0..args.n).zip(payloads.iter().cycle()) {
            send(&gate, &topics[0], index.to_string().as_bytes(), payload)?;
        }
        gate.flush(Duration::from_secs(60))?;
        Ok(Self { kafka, n: args.n, workers: args.workers, name, gate })
    }

    fn topic(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }

    /// Makes the input visible.
    fn open(&self) -> anyhow::Result<()> {
        Ok(self.gate.commit_transaction(Duration::from_secs(30))?)
    }

    fn exactly_once(&self) -> anyhow::Result<Side> {
        let stage = Stage {
            client: self.kafka.client(),
            name: self.name.clone(),
            instance: "bench".to_owned(),
            workers: usize::from(self.workers),
            input: self.topic("in"),
            changelog: self.topic("changelog"),
            changelog_limit: 1 << 20,
            outputs: vec![Output { topic: self.topic("out"), max_message_bytes: 1 << 20 }],
            tables: Vec::new(),
            storage: Storage::Memory,
            cut: Cut { interval: EVERY, ..Cut::default() },
            session_timeout: Duration::from_secs(6),
            lane_per_second: None,
            wake: None,
        };
        let seen = Arc::new(Seen::new(self.kafka.broker));
        let observer: Arc<dyn Observer> = Arc::clone(&seen) as _;
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let running = scope.spawn(|| {
                let make = || Ok(Box::new(Copy(Arc::clone(&seen))) as Box<dyn Processor>);
                let result = stream::run(&stage, &make, &observer, &|| stop.load(Ordering::Relaxed));
                stop.store(true, Ordering::Relaxed);
                result
            });
            let ended = || stop.load(Ordering::Relaxed);
            let waited = seen
                .settled(i32::from(self.workers), &ended)
                .and_then(|()| self.open())
                .and_then(|()| wait(&ended, &|| seen.records.load(Ordering::Acquire) >= self.n));
            stop.store(true, Ordering::Relaxed);
            running.join().map_err(|_| anyhow!("the runtime panicked"))??;
            waited
        })?;
        seen.side()
    }

    fn at_least_once(&self) -> anyhow::Result<Side> {
        let seen = Arc::new(Seen::new(self.kafka.broker));
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let ended = || stop.load(Ordering::Relaxed);
            let copies: Vec<_> = (0..self.workers)
                .map(|slot| {
                    let (seen, stop) = (&seen, &stop);
                    let copy = move || {
                        let result = self.copy(slot, seen, stop);
                        stop.store(true, Ordering::Relaxed);
                        result
                    };
                    thread::Builder::new().name(format!("least-{slot}")).spawn_scoped(scope, copy)
                })
                .collect::<Result<_, _>>()?;
            let waited = seen
                .settled(i32::from(self.workers), &ended)
                .and_then(|()| self.open())
                .and_then(|()| wait(&ended, &|| seen.records.load(Ordering::Acquire) >= self.n));
            stop.store(true, Ordering::Relaxed);
            for copy in copies {
                copy.join().map_err(|_| anyhow!("a copy panicked"))??;
            }
            waited
        })?;
        seen.side()
    }

    fn copy(&self, slot: u8, seen: &Seen, stop: &AtomicBool) -> anyhow::Result<()> {
        let (input, output) = (self.topic("in"), self.topic("out"));
        let mut config = self.kafka.producer_config();
        config.set("linger.ms", "2").set("queue.buffering.max.messages", "1000000");
        config.set("queue.buffering.max.kbytes", "262144");
        let producer: ThreadedProducer<DefaultProducerContext> = config.create()?;
        // As the runtime's consumer, but for the offsets.
        let consumer: BaseConsumer = self
            .kafka
            .client()
            .set("group.id", &self.name)
            .set("group.instance.id", format!("{}-{slot}", self.name))
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1000")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.queue.backoff.ms", "2")
            .set("queued.min.messages", "50000")
            .set("queued.max.messages.kbytes", "16384")
            .create()?;
        consumer.subscribe(&[&input])?;
        let (mut next, mut copied, mut last) = ([-1_i64; 4], 0_u64, Instant::now());
        loop {
            match consumer.poll(EVERY.saturating_sub(last.elapsed()).max(Duration::from_millis(1))) {
                Some(Ok(message)) => {
                    seen.started();
                    send(
                        &producer,
                        &output,
                        message.key().unwrap_or_default(),
                        message.payload().unwrap_or_default(),
                    )?;
                    if let Some(next) =
                        usize::try_from(message.partition()).ok().and_then(|p| next.get_mut(p))
                    {
                        *next = message.offset() + 1;
                    }
                    copied += 1;
                }
                Some(Err(error)) => return Err(error.into()),
                None => {}
            }
            if last.elapsed() < EVERY {
                continue;
            }
            if copied > 0 {
                // The client's own flush polls in steps of 100 ms.
                while producer.in_flight_count() > 0 {
                    thread::sleep(Duration::from_micros(200));
                }
                let mut offsets = TopicPartitionList::new();
                for (partition, next) in (0..).zip(&mut next).filter(|(_, next)| **next >= 0) {
                    offsets.add_partition_offset(&input, partition, Offset::Offset(*next))?;
                    *next = -1;
                }
                consumer.commit(&offsets, CommitMode::Async)?;
                seen.add(copied);
                copied = 0;
            } else {
                seen.assign(usize::from(slot), consumer.assignment()?.count());
            }
            last = Instant::now();
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
    }

    /// The records of the output, as a reader sees them.
    fn count(&self) -> anyhow::Result<u64> {
        let (mut records, done) = (0, std::cell::Cell::new(false));
        let what = stream::Follow { client: self.kafka.client(), topics: vec![self.topic("out")] };
        stream::follow(&what, &|| done.get(), &mut |followed| {
            match followed {
                stream::Followed::Record { .. } => records += 1,
                stream::Followed::CaughtUp => done.set(true),
                stream::Followed::Idle => {}
            }
            Ok(())
        })?;
        Ok(records)
    }

    fn end(self) -> anyhow::Result<()> {
        let topics = ["in", "out", "changelog"].map(|part| self.topic(part));
        self.kafka.delete(&topics.each_ref().map(String::as_str))
    }
}

/// What is known of a side while it runs.
struct Seen {
    broker: Option<u32>,
    start: OnceLock<Moment>,
    records: AtomicU64,
    partitions: Vec<AtomicI32>,
    last: Mutex<(Option<Moment>, Vec<f64>)>,
}

impl Seen {
    fn new(broker: Option<u32>) -> Self {
        Self {
            broker,
            start: OnceLock::new(),
            records: AtomicU64::new(0),
            partitions: (0..4).map(|_| AtomicI32::new(0)).collect(),
            last: Mutex::default(),
        }
    }

    /// The first record of all is the start.
    fn started(&self) {
        if self.start.get().is_none() {
            self.start.get_or_init(|| Moment::now(self.broker));
        }
    }

    fn assign(&self, slot: usize, partitions: usize) {
        if let Some(place) = self.partitions.get(slot) {
            place.store(i32::try_from(partitions).unwrap_or(0), Ordering::Relaxed);
        }
    }

    fn add(&self, records: u64) {
        let now = Moment::now(self.broker);
        self.last.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(now);
        self.records.fetch_add(records, Ordering::Release);
    }

    /// Waits until the partitions are shared out evenly and nothing moves any more.
    fn settled(&self, workers: i32, ended: &dyn Fn() -> bool) -> anyhow::Result<()> {
        let even = || {
            let counts: Vec<i32> =
                self.partitions.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            let sharing = counts.iter().filter(|count| **count > 0);
            counts.iter().sum::<i32>() == 4
                && i32::try_from(sharing.count()).is_ok_and(|n| n == workers.min(4))
                && counts.iter().max().is_some_and(|most| *most <= (4 + workers - 1) / workers)
        };
        wait(ended, &even)?;
        thread::sleep(Duration::from_millis(500));
        wait(ended, &even)
    }

    fn side(&self) -> anyhow::Result<Side> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let commits = std::mem::take(&mut last.1);
        let (start, end) = self.start.get().zip(last.0.as_ref()).context("nothing was copied")?;
        Ok(Side::between(start, end, commits))
    }
}

impl Observer for Seen {
    fn committed(&self, committed: &Committed<'_>) {
        self.add(committed.records);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.1.push(committed.commit.as_secs_f64() * 1e3);
    }
    fn aborted(&self, cause: &'static str) {
        tracing::warn!(cause, "a transaction of the measurement was aborted");
    }
    fn recycled(&self, _: &'static str) {}
    fn restored(&self, _: i32, _: u64, _: Duration) {}
    fn tasks(&self, slot: usize, tasks: &[TaskStatus]) {
        self.assign(slot, tasks.iter().filter(|task| task.phase == Phase::Running).count());
    }
    fn waiting(&self, _: usize, _: &str) {}
    fn lag(&self, _: usize, _: i64) {}
}

/// Emits what comes in.
struct Copy(Arc<Seen>);

impl Processor for Copy {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.0.started();
        ctx.emit(0, None, record.key, record.value)
    }

    fn dead_letter(&mut self, _: &Record<'_>, poison: &Poison, _: &mut Context<'_>) -> Result<(), Failure> {
        Err(Failure::Fatal(poison.to_string()))
    }
}

fn wait(ended: &dyn Fn() -> bool, until: &dyn Fn() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE;
    while !until() {
        if ended() {
            return Err(anyhow!("the copy ended early"));
        }
        if Instant::now() >= deadline {
            return Err(anyhow!("the copy took longer than {} s", SETTLE.as_secs()));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    key: &[u8],
    value: &[u8],
) -> anyhow::Result<()> {
    let mut message = BaseRecord::to(topic).key(key).payload(value);
    while let Err((error, back)) = producer.send(message) {
        if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            return Err(error.into());
        }
        thread::sleep(Duration::from_millis(1));
        message = back;
    }
    Ok(())
}
