//! The shell of a stage service: from a [`Config`] to running workers, and from their commits to metrics.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use commerce::letter::Status;
use commerce::letter::redrive::{self, Redriven};
use commerce::{DeadLetter, DuplicateLevel, Mark, Outcome, Reason, ReceivedTime, Source, avro};
use sources::Workspaces;
use stream::{
    Committed, Context, Cut, Failure, Harness, Observer, OnDisk, Output, Phase, Poison, Processor, Record,
    Storage, TaskStatus,
};
use topics::{DecodeError, Decoder, EncodeError, Encoder, SchemaRegistry, Schemas, Topic};

use crate::breaker::{Guarded, Held};
use crate::health::Part;
use crate::metrics::{Counter, Gauge, Histogram, NO_SOURCE, Timer};
use crate::unit::ByteSize;
use crate::{Config, Metrics, Readiness, Shutdown, clock, config, kafka, policy};

/// How long a start waits for the schema registry.
const REGISTRY_WAIT: Duration = Duration::from_secs(60);

/// What distinguishes one stage service from another.
#[derive(Debug, Clone)]
pub struct Plan {
    /// `normalizer`, `state`, `aggregator`.
    pub name: &'static str,
    /// What it reads.
    pub input: Topic,
    /// Where its state is kept.
    pub changelog: Topic,
    /// What it writes, in the order of the processor's output numbers.
    pub outputs: &'static [Topic],
    /// Its state.
    pub tables: &'static [stream::Table],
    /// Where that is kept.
    pub storage: fn(&Config) -> anyhow::Result<Storage>,
    /// The rate of the slow lane of its input, where it has one.
    pub lane_per_second: fn(&Config) -> Option<NonZeroU32>,
    /// How time passes in it where no records come; `None`: with records alone.
    pub wake: fn(&Config) -> Option<Upstream>,
}

/// What a stage's counters are labelled with. It can change while the stage works; clones are the same value.
#[derive(Debug, Clone)]
pub struct Label {
    names: [&'static str; 2],
    is_second: Arc<AtomicBool>,
}

impl Label {
    /// One that stays.
    pub fn new(name: &'static str) -> Self {
        Self::either(name, name, false)
    }

    /// One of two.
    pub fn either(first: &'static str, second: &'static str, is_second: bool) -> Self {
        Self { names: [first, second], is_second: Arc::new(AtomicBool::new(is_second)) }
    }

    /// Changes it.
    pub fn turn(&self, is_second: bool) {
        self.is_second.store(is_second, Ordering::Release);
    }

    /// What it is now.
    pub fn get(&self) -> &'static str {
        let [first, second] = self.names;
        if self.is_second.load(Ordering::Acquire) { second } else { first }
    }
}

impl PartialEq for Label {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Label {}

/// The names under which a stage works, by which several versions of its work can be kept side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// What its counters are labelled with.
    pub label: Label,
    /// Its consumer group, and the prefix of its transactional ids.
    pub group: String,
    /// Where its state is kept.
    pub changelog: String,
    /// What it writes, in the order of [`Plan::outputs`].
    pub outputs: Vec<String>,
}

impl Names {
    /// Those of the plan itself.
    pub fn of(plan: &Plan) -> Self {
        Self {
            label: Label::new(plan.name),
            group: format!("tillstream-{}", plan.name),
            changelog: plan.changelog.name().to_owned(),
            outputs: plan.outputs.iter().map(|topic| topic.name().to_owned()).collect(),
        }
    }
}

/// The stage that makes the input of another one: time passes there as far as this one has come.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// How often the other one is asked what is due.
    pub every: Duration,
    /// The name of this one.
    pub stage: &'static str,
    /// What it reads.
    pub topic: Topic,
    /// True where that has a slow lane, which isn't waited for.
    pub has_lane: bool,
}

/// What arrives just now must have been written before its instant can pass: a request is answered within 4 s.
const MARGIN: Duration = Duration::from_secs(10);

/// What a processor is made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The tenants, under version 1 of their policies.
    pub workspaces: Arc<Workspaces>,
    /// Schema ids.
    pub schemas: Schemas,
    /// Number of partitions of everything from the events on.
    pub event_partitions: i32,
}

/// Makes the processor of one worker.
pub type Make<'a> = dyn Fn(&Parts) -> anyhow::Result<Box<dyn Processor>> + Sync + 'a;

/// Runs the workers until the shutdown. Blocks, and must not be called on an async thread.
pub fn run(
    plan: &Plan,
    config: &Config,
    settings: config::Stage,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
    make: &Make<'_>,
) -> anyhow::Result<()> {
    run_as(plan, &Names::of(plan), config, settings, metrics, readiness, shutdown, make)
}

/// The same under other names.
#[expect(clippy::too_many_arguments, reason = "those of `run` and the names")]
pub fn run_as(
    plan: &Plan,
    names: &Names,
    config: &Config,
    settings: config::Stage,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
    make: &Make<'_>,
) -> anyhow::Result<()> {
    let kafka_part = readiness.part("kafka");
    let registry_part = readiness.part("registry");
    let workers_part = readiness.part("partitions");
    kafka_part.not_ready("connecting");
    registry_part.not_ready("connecting");
    workers_part.not_ready("none assigned yet");

    let registry = SchemaRegistry::new(&config.registry.url, REGISTRY_WAIT)?;
    let schemas = Schemas::lookup(&registry)?;
    registry_part.ready("schemas found");
    let client = kafka::client_config(config);
    let event_partitions =
        match stream::partition_count(&client, Topic::Events.name(), &|| shutdown.is_triggered()) {
            Err(stream::Error::Stopped) => return Ok(()),
            count => count?,
        };
    let workspaces = match policy::start(config, &schemas, &|| shutdown.is_triggered()) {
        Err(_) if shutdown.is_triggered() => return Ok(()),
        settled => settled?,
    };
    kafka_part.ready(format!("reads {}", plan.input.name()));

    let parts = Parts { workspaces: Arc::new(workspaces), schemas, event_partitions };
    let output = |(topic, name): (&Topic, &String)| Output {
        topic: name.clone(),
        max_message_bytes: usize::try_from(topic.spec().max_message.0).unwrap_or(usize::MAX),
    };
    let stage = stream::Stage {
        client,
        name: names.group.clone(),
        instance: instance(config).to_owned(),
        workers: settings.workers,
        input: plan.input.name().to_owned(),
        changelog: names.changelog.clone(),
        changelog_limit: usize::try_from(plan.changelog.spec().max_message.0).unwrap_or(usize::MAX),
        outputs: plan.outputs.iter().zip(&names.outputs).map(output).collect(),
        tables: plan.tables.to_vec(),
        storage: (plan.storage)(config)?,
        cut: Cut {
            interval: settings.commit_interval.0,
            idle_interval: settings.idle_commit_interval.0,
            records: settings.max_transaction_records as u64,
            bytes: settings.max_transaction_bytes.0,
        },
        session_timeout: settings.session_timeout.0,
        lane_per_second: (plan.lane_per_second)(config),
        wake: (plan.wake)(config).map(|upstream| stream::Wake {
            every: upstream.every,
            margin: MARGIN,
            clock: || clock::now().0,
            topic: upstream.topic.name().to_owned(),
            group: format!("tillstream-{}", upstream.stage),
            has_lane: upstream.has_lane,
        }),
    };
    let held = Held::new(plan.name, readiness.part("breaker"));
    let label = names.label.clone();
    let observer: Arc<dyn Observer> =
        Arc::new(Telemetry::new(label, metrics, workers_part, settings.workers, held.clone()));
    let make = || {
        let processor = make(&parts).map_err(|e| stream::Error::Processor(e.to_string()))?;
        Ok(Guarded::around(processor, settings.breaker, &held))
    };
    stream::run(&stage, &make, &observer, &|| shutdown.is_triggered())?;
    Ok(())
}

/// The name of this copy.
pub fn instance(config: &Config) -> &str {
    config.instance.as_deref().unwrap_or("local")
}

/// A stage's logic without Kafka, with the limits of its topics: for the audit, and for tests.
pub fn harness<P: Processor>(plan: &Plan, processor: P) -> Harness<P> {
    let limit = |topic: &Topic| usize::try_from(topic.spec().max_message.0).unwrap_or(usize::MAX);
    let output = |topic: &Topic| Output { topic: topic.name().to_owned(), max_message_bytes: limit(topic) };
    Harness::new(processor, plan.tables, plan.outputs.iter().map(output).collect())
        .with_changelog_limit(limit(&plan.changelog))
}

/// Where a stage keeps its state, by what its section of the configuration says.
pub fn storage(
    store: config::Store,
    folder: Option<&Path>,
    cache: ByteSize,
    write_buffer: ByteSize,
) -> anyhow::Result<Storage> {
    match (store, folder) {
        (config::Store::Memory, _) => Ok(Storage::Memory),
        (config::Store::Disk, Some(folder)) => Ok(Storage::Disk(OnDisk {
            folder: folder.to_owned(),
            cache_bytes: cache.0,
            write_buffer_bytes: write_buffer.0,
            clock: || clock::now().0 / 1_000,
        })),
        (config::Store::Disk, None) => {
            anyhow::bail!("state is to be kept on disk, and no folder is set for it")
        }
    }
}

/// From a worker's commits to Prometheus.
struct Telemetry {
    label: Label,
    metrics: Metrics,
    part: Part,
    slots: Mutex<Vec<(Vec<TaskStatus>, i64)>>,
    held: Held,
}

impl Telemetry {
    fn new(label: Label, metrics: &Metrics, part: Part, workers: usize, held: Held) -> Self {
        let slots = Mutex::new(vec![(Vec::new(), 0); workers.max(1)]);
        let telemetry = Self { label, metrics: metrics.clone(), part, slots, held };
        // There from the beginning, also before anything has been observed.
        for histogram in [
            Histogram::TransactionDuration,
            Histogram::EndToEndLatency,
            Histogram::TransactionRecords,
            Histogram::TransactionBytes,
            Histogram::RestoreDuration,
        ] {
            telemetry.timer(histogram);
        }
        telemetry
    }

    fn timer(&self, histogram: Histogram) -> Timer {
        self.metrics.histogram(histogram, &[self.label.get()])
    }
}

impl Observer for Telemetry {
    fn committed(&self, committed: &Committed<'_>) {
        let stage = self.label.get();
        self.metrics.counter(Counter::Transactions, &[stage, "committed"]).inc();
        self.timer(Histogram::TransactionDuration).observe(committed.duration);
        self.timer(Histogram::TransactionRecords).observe_size(committed.records);
        self.timer(Histogram::TransactionBytes).observe_size(committed.bytes);
        let oldest = clock::now().0.saturating_sub(committed.oldest_millis.saturating_mul(1000));
        if let Ok(micros) = u64::try_from(oldest) {
            self.timer(Histogram::EndToEndLatency).observe(Duration::from_micros(micros));
        }
        for ([outcome, detail, source], n) in committed.counts {
            let source = if source.is_empty() { NO_SOURCE } else { source };
            self.metrics.counter(Counter::Records, &[stage, source, outcome, detail]).inc_by(*n);
            if *outcome == "duplicate" && DuplicateLevel::ALL.iter().any(|level| level.as_str() == *detail) {
                self.metrics.counter(Counter::Duplicates, &[detail, source]).inc_by(*n);
            }
        }
    }

    fn aborted(&self, cause: &'static str) {
        let stage = self.label.get();
        let result = if cause == "unknown" { "unknown" } else { "aborted" };
        self.metrics.counter(Counter::Transactions, &[stage, result]).inc();
        self.metrics.counter(Counter::TransactionAborts, &[stage, cause]).inc();
    }

    fn recycled(&self, cause: &'static str) {
        let stage = self.label.get();
        tracing::info!(stage, cause, "producer replaced");
        self.metrics.counter(Counter::ProducerRecycles, &[stage, cause]).inc();
    }

    fn restored(&self, _: i32, records: u64, took: Duration) {
        self.timer(Histogram::RestoreDuration).observe(took);
        self.metrics.counter(Counter::RestoreRecords, &[self.label.get()]).inc_by(records);
    }

    fn tasks(&self, slot: usize, tasks: &[TaskStatus]) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = slots.get_mut(slot) {
            entry.0 = tasks.to_vec();
        }
        let stage = self.label.get();
        let all = || slots.iter().flat_map(|(tasks, _)| tasks);
        let entries: usize = all().map(|task| task.entries).sum();
        self.metrics.gauge(Gauge::StateEntries, &[stage]).set(i64::try_from(entries).unwrap_or(i64::MAX));
        let bytes: u64 = all().map(|task| task.bytes).sum();
        self.metrics.gauge(Gauge::StateBytes, &[stage]).set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let behind = all().map(|task| task.behind).sum();
        self.metrics.gauge(Gauge::RestoreRemaining, &[stage]).set(behind);
        let held = self.held.retain(|partition| all().any(|task| task.partition == partition));
        self.metrics.gauge(Gauge::BreakerHeld, &[stage]).set(i64::try_from(held).unwrap_or(i64::MAX));
        let (total, running) = (all().count(), all().filter(|task| task.phase == Phase::Running).count());
        if total == 0 {
            self.part.not_ready("none assigned");
        } else if running < total {
            self.part.not_ready(format!("restoring {} of {total} partitions", total - running));
        } else {
            self.part.ready(format!("{running} partitions, {entries} entries"));
        }
    }

    fn waiting(&self, _: usize, what: &str) {
        self.part.not_ready(format!("waiting for Kafka: {what}"));
    }

    fn lag(&self, slot: usize, records: i64) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = slots.get_mut(slot) {
            entry.1 = records;
        }
        self.metrics
            .gauge(Gauge::ConsumerLag, &[self.label.get()])
            .set(slots.iter().map(|(_, lag)| lag).sum());
    }
}

/// What decoding a record failed with, in the runtime's terms.
pub fn decode<'a, T>(decoder: &mut Decoder, record: &Record<'a>) -> Result<T, Failure>
where
    T: avro::Read + avro::Record + serde::Deserialize<'a>,
{
    decoder.decode(record.value.unwrap_or_default()).map_err(|error| match &error {
        _ if error.is_transient() => Failure::Transient(error.to_string()),
        DecodeError::Registry(_) => Failure::Fatal(error.to_string()),
        _ => Failure::Poison(Poison {
            reason: commerce::Reason::UnreadableRecord.code(),
            field: None,
            message: error.to_string(),
        }),
    })
}

/// What encoding a record failed with: always our fault, because our own types go in.
pub fn encode_error(error: &EncodeError) -> Failure {
    Failure::Fatal(error.to_string())
}

/// Where a stage sets items aside.
#[derive(Debug)]
pub struct Letters {
    stage: &'static str,
    output: usize,
    encoder: Encoder,
    value: Vec<u8>,
}

impl Letters {
    /// For a stage whose plan has the topic as this output.
    pub fn new(parts: &Parts, stage: &'static str, output: usize) -> Result<Self, EncodeError> {
        Ok(Self { stage, output, encoder: parts.schemas.encoder(Topic::DeadLetters)?, value: Vec::new() })
    }

    /// Writes the dead letter of one item of an input record, or with [`commerce::letter::WHOLE`] of all of it; gives the letter and how
    /// the item ended. A record that was redriven keeps its letter's id.
    pub fn set_aside(
        &mut self,
        record: &Record<'_>,
        item: i32,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(DeadLetter, Outcome), Failure> {
        let letter = letter(self.stage, record, item, poison);
        self.value.clear();
        self.encoder.encode(&letter, &mut self.value).map_err(|e| encode_error(&e))?;
        ctx.emit(self.output, None, letter.id.as_bytes(), Some(&self.value))?;
        // A reason comes from a closed set, so that its code is a bounded label.
        let reason = Reason::parse(poison.reason).unwrap_or(Reason::BadValue);
        Ok((letter, Outcome::DeadLettered(reason)))
    }
}

/// The dead letter of an input record, or of one item of it.
fn letter(stage: &str, record: &Record<'_>, item: i32, poison: &Poison) -> DeadLetter {
    let header = |name: &str| record.header(name).unwrap_or_default().to_owned();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let redriven = Redriven::read(|name| record.header(name));
    let first = || {
        // A whole record had the place 0 before items had one, and a rolling update must not write it twice.
        let place = item.max(0).to_be_bytes();
        let (partition, offset) = (record.partition.to_be_bytes(), record.offset.to_be_bytes());
        Mark::of(&[stage.as_bytes(), record.topic.as_bytes(), &partition, &offset, &place]).to_uuid()
    };
    // The sender's own; of two of one name the first, as they are read.
    let mut headers = BTreeMap::new();
    for (name, value) in record.headers() {
        if !redrive::HEADERS.contains(name) {
            headers.entry((*name).to_owned()).or_insert_with(|| text(value));
        }
    }
    // From the events on the key begins with the workspace; raw names it in a header.
    let in_key = || text(record.key).split_once(':').map(|(workspace, _)| workspace.to_owned());
    let workspace = record.header("workspace").map(str::to_owned).or_else(in_key).unwrap_or_default();
    let received_at =
        record
            .header("received_at")
            .and_then(|at| commerce::time::parse_received(at).ok())
            .or((record.timestamp_millis > 0)
                .then(|| ReceivedTime(record.timestamp_millis.saturating_mul(1000))));
    DeadLetter {
        id: redriven.as_ref().map_or_else(first, |redriven| redriven.letter_id(item)),
        workspace,
        stage: stage.to_owned(),
        source: header("source"),
        reason: poison.reason.to_owned(),
        field: poison.field.clone(),
        message: poison.message.clone(),
        origin_topic: record.topic.to_owned(),
        origin_partition: record.partition,
        origin_offset: record.offset,
        received_at,
        first_seen_at: redriven
            .as_ref()
            .and_then(|redriven| redriven.first_seen_at)
            .unwrap_or_else(|| clock::now().as_event()),
        redrive_count: redriven.as_ref().map_or(0, |redriven| redriven.count),
        verdict: header("verdict"),
        headers,
        body: record.value.unwrap_or_default().to_vec(),
        status: Status::Open,
        // What was one item of a batch stays one, also where now the whole body can't be read.
        item: redriven.and_then(|redriven| redriven.item).unwrap_or(item),
        changed_at: None,
        key: record.key.to_vec(),
        cut: record.is_cut(),
    }
}

/// The static name of a source, for counters.
pub fn source_label(text: &str) -> &'static str {
    Source::parse(text).map_or("", Source::as_str)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A registry that gives every schema the id 1 and answers a question for an id with `status` and `body`.
    fn registry(status: &'static str, body: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = Vec::new();
                let mut chunk = [0; 65_536];
                while !is_whole(&request) {
                    let n = stream.read(&mut chunk).unwrap();
                    request.extend_from_slice(&chunk[..n]);
                }
                let asked = request.windows(12).any(|window| window == b"/schemas/ids");
                let (status, body) = if asked { (status, body) } else { ("200 OK", r#"{"id":1}"#) };
                let length = body.len();
                write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
                )
                .unwrap();
            }
        });
        format!("http://127.0.0.1:{port}")
    }

    /// True when the head and as much body as it announces are there.
    fn is_whole(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        body.len() >= length.unwrap_or(0)
    }

    /// What becomes of a record of a schema id that this build doesn't know.
    fn failure(status: &'static str, body: &'static str) -> Failure {
        let url = registry(status, body);
        let registry = SchemaRegistry::new(&url, Duration::from_secs(10)).unwrap();
        let mut decoder = Schemas::lookup(&registry).unwrap().decoder();
        let record = Record::new("commerce.events.v1", 0, 7, b"k", &[0, 0, 0, 0x30, 0x39, 1, 2, 3]);
        decode::<commerce::Event>(&mut decoder, &record).unwrap_err()
    }

    #[test]
    fn a_schema_id_that_the_registry_does_not_know_makes_a_dead_letter() {
        match failure("404 Not Found", r#"{"error_code":40403,"message":"Schema not found"}"#) {
            Failure::Poison(poison) => {
                assert_eq!(poison.reason, commerce::Reason::UnreadableRecord.code());
                assert!(poison.message.contains("12345"), "{poison}");
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_registry_that_cannot_answer_now_is_asked_again() {
        let failure = failure("503 Service Unavailable", r#"{"error_code":503,"message":"later"}"#);
        assert!(matches!(failure, Failure::Transient(_)), "{failure}");
    }

    #[test]
    fn a_registry_that_refuses_us_stops_the_stage_and_costs_no_record() {
        for (status, body) in [("403 Forbidden", "{}"), ("404 Not Found", "nothing here")] {
            let failure = failure(status, body);
            assert!(matches!(failure, Failure::Fatal(_)), "{failure}");
        }
    }

    #[test]
    fn state_that_is_to_be_on_disk_is_never_kept_in_memory_instead() {
        let kept = |store, folder| storage(store, folder, ByteSize(1), ByteSize(2));
        assert!(matches!(kept(config::Store::Memory, None), Ok(Storage::Memory)));
        let Ok(Storage::Disk(disk)) = kept(config::Store::Disk, Some(Path::new("f"))) else { panic!() };
        assert_eq!(
            (disk.folder.as_path(), disk.cache_bytes, disk.write_buffer_bytes),
            (Path::new("f"), 1, 2)
        );
        assert!(kept(config::Store::Disk, None).is_err());
    }

    #[test]
    fn what_a_worker_does_is_counted() {
        let metrics = Metrics::new("test").unwrap();
        let readiness = Readiness::new(Shutdown::new());
        let telemetry = Telemetry::new(
            Label::new("state"),
            &metrics,
            readiness.part("partitions"),
            1,
            Held::new("state", readiness.part("breaker")),
        );
        let counts: &[(stream::Labels, u64)] = &[(["published", "", "shopify"], 3)];
        let (duration, commit) = (Duration::from_millis(50), Duration::from_millis(5));
        let oldest_millis = clock::now().0 / 1000;
        telemetry.committed(&Committed { records: 3, bytes: 2_000, duration, commit, counts, oldest_millis });
        telemetry.aborted("produce");
        telemetry.recycled("slow");
        telemetry.restored(0, 40, Duration::from_secs(2));
        let task = |phase, entries, bytes, behind| TaskStatus {
            partition: 0,
            phase,
            committed: 3,
            entries,
            bytes,
            behind,
        };
        telemetry.tasks(0, &[task(Phase::Running, 5, 100, 0), task(Phase::Restoring, 0, 0, 77)]);
        telemetry.lag(0, 9);
        let text = metrics.to_text().unwrap();
        for line in [
            r#"tillstream_transaction_records_bucket{stage="state",le="10"} 1"#,
            r#"tillstream_transaction_bytes_bucket{stage="state",le="10000"} 1"#,
            r#"tillstream_transaction_aborts_total{cause="produce",stage="state"} 1"#,
            r#"tillstream_producer_recycles_total{cause="slow",stage="state"} 1"#,
            r#"tillstream_restore_duration_seconds_sum{stage="state"} 2"#,
            r#"tillstream_restore_remaining_records{stage="state"} 77"#,
            r#"tillstream_breaker_held_partitions{stage="state"} 0"#,
            r#"tillstream_state_bytes{stage="state"} 100"#,
            r#"tillstream_state_entries{stage="state"} 5"#,
            r#"tillstream_consumer_lag_records{stage="state"} 9"#,
            r#"tillstream_end_to_end_latency_seconds_count{stage="state"} 1"#,
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
