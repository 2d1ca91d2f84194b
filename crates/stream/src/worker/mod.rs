//! The worker: one thread, one consumer, one transactional producer, the state of the assigned partitions.
//!
//! The order is everything: start transactions (fencing whoever had the name before), restore, read the committed
//! offsets, consume. In a transaction: outputs and changelog first, offsets last, then the commit; the overlay is
//! merged only when the commit is known to have succeeded.

mod group;
mod lane;
mod name;
mod owners;
mod transaction;
mod wake;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};

use crate::error::TransactionError;
use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::producer::{Message, Producer};
use crate::rebalance::Rebalances;
use crate::status::Counts;
use crate::task::{Running, Task};
use crate::{Context, Error, Failure, Observer, Phase, Poison, Processor, Record, Stage, TaskStatus};
use lane::Lane;
use owners::Owners;

/// An end of transaction that took longer may still be in flight somewhere and hit a later transaction.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// First and greatest pause after a transient failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
const REPORT: Duration = Duration::from_secs(1);
/// As many times its interval a transaction may take that never was without a next record.
const BEHIND: u32 = 3;
/// It doesn't make one longer than that, or the broker would give it up (`transaction.timeout.ms`).
const LONGEST: Duration = Duration::from_secs(3);

/// The open transaction.
struct Transaction {
    since: Instant,
    records: u64,
    bytes: u64,
    oldest_millis: i64,
    /// True once there was no next record: until then more is waiting than is done in the same time.
    drained: bool,
    /// Set when a message couldn't be queued: only an abort is left.
    failed: Option<TransactionError>,
}

impl Transaction {
    /// How old it may become. What a commit costs, and what is written once per transaction however often it changes,
    /// weighs least when there is most to do: a worker that is behind takes longer transactions. What waits behind them
    /// has waited for longer than that already.
    fn longest(&self, interval: Duration) -> Duration {
        if self.drained { interval } else { interval.saturating_mul(BEHIND).min(interval.max(LONGEST)) }
    }
}

pub(crate) struct Worker<'s> {
    stage: &'s Stage,
    slot: usize,
    stop: &'s (dyn Fn() -> bool + Sync),
    consumer: Arc<BaseConsumer<Rebalances>>,
    rebalances: Rebalances,
    producer: Producer,
    processor: Box<dyn Processor>,
    observer: Arc<dyn Observer>,
    tasks: BTreeMap<i32, Task>,
    transaction: Option<Transaction>,
    /// The member id under which the tasks were assigned. With another one the partitions may have been somebody
    /// else's in between: librdkafka keeps the assignment when it has to rejoin as a new member.
    member: Option<String>,
    owners: Owners,
    lane: Lane,
    /// Aborts in a row, and when the producer was fenced last.
    aborts: u32,
    /// True when the last poll found nothing.
    drained: bool,
    fenced_at: Option<Instant>,
    outbox: Outbox,
    counts: Counts,
    last_commit: Instant,
    last_report: Instant,
    last_wake: Instant,
    back_off: Duration,
    scratch: Vec<u8>,
}

impl<'s> Worker<'s> {
    pub(crate) fn start(
        stage: &'s Stage,
        slot: usize,
        processor: Box<dyn Processor>,
        observer: Arc<dyn Observer>,
        stop: &'s (dyn Fn() -> bool + Sync),
    ) -> Result<Self, Error> {
        let patience = Patience { stop, observer: Some((&*observer, slot)) };
        let producer = Producer::start(stage, &stage.slot_id(slot), &patience)?;
        let (consumer, rebalances) = group::consumer(stage, slot)?;
        let now = Instant::now();
        let worker = Self {
            stage,
            slot,
            stop,
            consumer,
            rebalances,
            producer,
            processor,
            observer,
            tasks: BTreeMap::new(),
            transaction: None,
            member: None,
            owners: Owners::unknown(),
            lane: Lane::default(),
            aborts: 0,
            drained: false,
            fenced_at: None,
            outbox: Outbox::default(),
            counts: Counts::default(),
            last_commit: now,
            last_report: now.checked_sub(REPORT).unwrap_or(now),
            last_wake: now,
            back_off: BACK_OFF.0,
            scratch: Vec::new(),
        };
        worker.subscribe()?;
        Ok(worker)
    }

    fn subscribe(&self) -> Result<(), Error> {
        self.consumer
            .subscribe(&[&self.stage.input])
            .map_err(|source| Error::Kafka { what: format!("subscribe to {}", self.stage.input), source })
    }

    pub(crate) fn run(mut self) -> Result<(), Error> {
        let result = loop {
            if (self.stop)() {
                break self.cut();
            }
            if let Err(error) = self.step()
                && let Err(error) = self.survive(error)
            {
                break Err(error);
            }
        };
        if matches!(result, Err(Error::Stopped)) {
            // In the middle of an outage: the next start finds out what was committed.
            return Ok(());
        }
        if self.transaction.is_some()
            && let Err(error) = self.producer.abort()
        {
            tracing::warn!(
                error = error.message,
                "aborting the last transaction; the broker will, after its time-out"
            );
        }
        self.tasks.clear();
        // The process may go on without this stage.
        self.observer.lag(self.slot, 0);
        self.observer.tasks(self.slot, &[]);
        result
    }

    /// One turn: one record, what the group wants, what was restored, one commit if it is due.
    fn step(&mut self) -> Result<(), Error> {
        // The record in hand borrows from the consumer, which has to live that long.
        let consumer = Arc::clone(&self.consumer);
        let polled = consumer.poll(self.record_wait());
        let drained = polled.is_none();
        self.drained = drained;
        self.transaction.iter_mut().for_each(|open| open.drained |= drained);
        // The record first: whatever else is to be done may go back to an earlier one, and this one must not be taken
        // for its successor then.
        match polled {
            Some(Ok(message)) => {
                self.handle(&message)?;
                self.pace(message.partition())?;
            }
            Some(Err(error)) => self.input_error(error)?,
            None => {}
        }
        while let Some(wish) = self.rebalances.take() {
            self.rebalance(wish)?;
        }
        self.adopt_restored()?;
        self.resume_lane()?;
        if self.is_due(drained) {
            self.cut()?;
        }
        self.wake()?;
        if self.last_report.elapsed() >= REPORT {
            if let Some(fatal) = self.fatal() {
                return Err(fatal);
            }
            self.check_partitions()?;
            self.look_for_owners()?;
            self.report();
        }
        Ok(())
    }

    /// State is bound to its partition: with another number of them, keys are elsewhere.
    fn check_partitions(&self) -> Result<(), Error> {
        let Some(found) = self.rebalances.partitions() else { return Ok(()) };
        let expected = self.tasks.values().find_map(|task| match task {
            Task::Running(task) if task.input_partitions != found => Some(task.input_partitions),
            _ => None,
        });
        match expected {
            Some(expected) => Err(Error::Partitions { topic: self.stage.input.clone(), found, expected }),
            None => Ok(()),
        }
    }

    /// How long to wait for a record.
    fn record_wait(&self) -> Duration {
        let restoring = self.tasks.values().any(|task| matches!(task, Task::Restoring(_)));
        // What else a turn looks after (the group, restored state) isn't kept waiting by a long interval.
        let turn = Duration::from_millis(if restoring { 10 } else { 100 });
        match &self.transaction {
            Some(transaction) if transaction.records > 0 || transaction.failed.is_some() => {
                let age = self.stage.cut.interval.saturating_sub(transaction.since.elapsed());
                let idle = self.stage.cut.idle_interval.saturating_sub(self.last_commit.elapsed());
                whole_millis(turn.min(age).min(idle))
            }
            _ => turn,
        }
    }

    /// For calls to the cluster that are repeated until they succeed.
    fn patience(&self) -> Patience<'_> {
        Patience { stop: self.stop, observer: Some((&*self.observer, self.slot)) }
    }

    fn is_due(&self, drained: bool) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        let cut = &self.stage.cut;
        if transaction.records == 0 && transaction.failed.is_none() {
            return false;
        }
        transaction.failed.is_some()
            || transaction.records >= cut.records
            || transaction.bytes >= cut.bytes
            || transaction.since.elapsed() >= transaction.longest(cut.interval)
            || (drained && self.last_commit.elapsed() >= cut.idle_interval)
    }

    /// Has a transaction open. False: it couldn't be, and everything starts over from what is committed.
    fn begin(&mut self) -> Result<bool, Error> {
        if self.transaction.is_some() {
            return Ok(true);
        }
        if let Err(error) = self.producer.begin() {
            self.recover(error, "begin")?;
            return Ok(false);
        }
        self.transaction = Some(Transaction {
            since: Instant::now(),
            records: 0,
            bytes: 0,
            oldest_millis: i64::MAX,
            drained: false,
            failed: None,
        });
        Ok(true)
    }

    fn handle(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Error> {
        let (partition, offset) = (message.partition(), message.offset());
        let Some(Task::Running(task)) = self.tasks.get(&partition) else { return Ok(()) };
        if offset < task.position {
            return Ok(());
        }
        if !self.begin()? {
            // The record in hand was taken from the consumer and not processed.
            return self.come_back(partition);
        }
        let Some(Task::Running(task)) = self.tasks.get_mut(&partition) else { return Ok(()) };
        let record = Record::from_message(message);
        self.outbox.begin(record.headers().iter().find(|(n, _)| *n == "traceparent").map(|(_, v)| *v));
        let mut ctx = context(
            self.stage,
            task,
            &mut self.outbox,
            &mut self.counts,
            (partition, record.timestamp_millis),
        );
        let processed = self.processor.process(&record, &mut ctx);
        let mut result = ctx.overlay.fault().and(processed);
        if let Err(Failure::Poison(poison)) = &result {
            ctx.overlay.undo();
            ctx.outbox.clear();
            ctx.counts.undo();
            tracing::debug!(
                topic = record.topic,
                partition,
                offset,
                reason = poison.reason,
                field = poison.field,
                "record set aside"
            );
            let set_aside = set_aside(&mut *self.processor, &record, poison, &mut ctx);
            result = ctx.overlay.fault().and(set_aside);
        }
        if let Some(error) = task.store.failure() {
            return self.store_failed(error);
        }
        match result {
            Ok(()) => {
                task.overlay.keep();
                self.counts.keep();
                task.position = offset + 1;
                task.timestamp_millis = task.timestamp_millis.max(record.timestamp_millis);
                self.back_off = BACK_OFF.0;
                let transaction = self.transaction.as_mut();
                if let Some(transaction) = transaction {
                    transaction.records += 1;
                    transaction.oldest_millis = transaction.oldest_millis.min(record.timestamp_millis);
                }
                self.flush_outbox();
                Ok(())
            }
            Err(failure) => {
                task.overlay.undo();
                self.counts.undo();
                self.outbox.clear();
                match failure {
                    Failure::Transient(reason) => self.back_off(partition, offset, &reason),
                    Failure::Fatal(reason) => {
                        Err(Error::Processor(format!("{}-{partition}@{offset}: {reason}", record.topic)))
                    }
                    Failure::Poison(poison) => Err(Error::Processor(poison.to_string())),
                }
            }
        }
    }

    /// The record counts: hand its messages to the producer.
    fn flush_outbox(&mut self) {
        let pending = self.outbox.drain();
        for message in &pending {
            let (key, value) = (self.outbox.key(message), self.outbox.value(message));
            let sent = self.producer.send(&Message {
                topic: &self.stage.outputs[usize::from(message.topic)].topic,
                partition: message.partition,
                key,
                value,
                timestamp_millis: message.timestamp_millis,
                traceparent: self.outbox.traceparent(message),
            });
            if let Some(transaction) = &mut self.transaction {
                transaction.bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                if let Err(error) = sent {
                    transaction.failed.get_or_insert(error);
                    break;
                }
            }
        }
        self.outbox.recycle(pending);
    }

    /// The world's fault: commit what is done, then come back to this record after a pause.
    fn back_off(&mut self, partition: i32, offset: i64, reason: &str) -> Result<(), Error> {
        tracing::warn!(partition, offset, reason, pause = ?self.back_off, "backing off");
        self.cut()?;
        // Not to the record itself: the commit may have failed, and then all before it has to be done again.
        self.come_back(partition)?;
        thread::sleep(self.back_off);
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
        Ok(())
    }

    /// Goes back to the next record of a task.
    fn come_back(&mut self, partition: i32) -> Result<(), Error> {
        match self.tasks.get(&partition) {
            Some(Task::Running(task)) => self.seek(partition, task.position),
            _ => Ok(()),
        }
    }

    /// The consumer's fatal error, if it has one. librdkafka gives the partitions up without a word, so nothing would ever
    /// be processed again. A fenced group instance mostly means that another copy has our name: see [`name`].
    fn fatal(&self) -> Option<Error> {
        let (code, detail) = self.consumer.client().fatal_error()?;
        Some(match code {
            RDKafkaErrorCode::FencedInstanceId | RDKafkaErrorCode::Fenced => {
                Error::Fenced { instance: self.stage.instance.clone(), detail }
            }
            code => Error::Kafka {
                what: format!("go on consuming {}: {detail}", self.stage.input),
                source: KafkaError::MessageConsumptionFatal(code),
            },
        })
    }

    fn input_error(&mut self, error: KafkaError) -> Result<(), Error> {
        if let Some(fatal) = self.fatal() {
            return Err(fatal);
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(Error::Kafka {
                    what: format!("go on in {}: the next record is gone (retention?)", self.stage.input),
                    source: error,
                })
            }
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                tracing::warn!(error = %error, "the input topic isn't there yet");
                Ok(())
            }
            _ => {
                tracing::warn!(error = %error, "reading the input, trying again");
                Ok(())
            }
        }
    }

    fn report(&mut self) {
        self.last_report = Instant::now();
        let tasks: Vec<TaskStatus> =
            self.tasks.iter().map(|(partition, task)| task.status(*partition)).collect();
        let lag = |status: &TaskStatus| {
            self.rebalances.end_of(status.partition).map_or(0, |end| (end - status.committed.max(0)).max(0))
        };
        // The marker behind the last record takes an offset, so a drained partition looks one behind.
        let processing = tasks.iter().all(|task| task.phase == Phase::Running);
        let lag = if self.drained && processing { 0 } else { tasks.iter().map(lag).sum() };
        self.observer.lag(self.slot, lag);
        self.observer.tasks(self.slot, &tasks);
    }
}

impl Drop for Worker<'_> {
    fn drop(&mut self) {
        self.rebalances.close();
    }
}

/// Rounded up: librdkafka would cut it to whole milliseconds, and what is left be asked for again and again without a wait.
fn whole_millis(wait: Duration) -> Duration {
    Duration::from_millis(u64::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

/// Writes the dead letter. One that its topic can't take is written again with half of the record's value, and so on: the
/// whole record stays where it came from, and the letter says where that is and what is missing.
fn set_aside(
    processor: &mut dyn Processor,
    record: &Record<'_>,
    poison: &Poison,
    ctx: &mut Context<'_>,
) -> Result<(), Failure> {
    let place = format!("{}-{}@{}", record.topic, record.partition, record.offset);
    let size = record.value.map_or(0, <[u8]>::len);
    let mut result = processor.dead_letter(record, poison, ctx);
    let mut kept = size;
    while let Err(Failure::Poison(again)) = &result {
        ctx.overlay.undo();
        ctx.outbox.clear();
        ctx.counts.undo();
        if again.reason != Poison::OUTPUT_TOO_LARGE || kept == 0 {
            return Err(Failure::Fatal(format!("{place} can't be set aside: {again}")));
        }
        kept /= 2;
        let message =
            format!("{} (the first {kept} of {size} bytes; all of them are at {place})", poison.message);
        result = processor.dead_letter(&record.cut_to(kept), &Poison { message, ..poison.clone() }, ctx);
    }
    result
}

/// What the processor sees of a task.
fn context<'a>(
    stage: &'a Stage,
    task: &'a mut Running,
    outbox: &'a mut Outbox,
    counts: &'a mut Counts,
    (partition, timestamp_millis): (i32, i64),
) -> Context<'a> {
    Context {
        store: &*task.store,
        overlay: &mut task.overlay,
        outbox,
        counts,
        outputs: &stage.outputs,
        changelog_limit: stage.changelog_limit,
        partition,
        timestamp_millis,
    }
}
