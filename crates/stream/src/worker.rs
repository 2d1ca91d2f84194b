//! The worker: one thread, one consumer, one transactional producer, the state of the assigned partitions.
//!
//! The order is everything: start transactions (fencing whoever had the name before), restore, read the committed
//! offsets, consume. In a transaction: outputs and changelog first, offsets last, then the commit; the overlay is
//! merged only when the commit is known to have succeeded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{Offset, TopicPartitionList};

use crate::changelog::{self, FORMAT, OFFSET_KEY, Progress};
use crate::error::{Class, TransactionError};
use crate::native::Membership;
use crate::outbox::Outbox;
use crate::producer::{Message, Producer, fenced};
use crate::rebalance::{Rebalances, Wish};
use crate::restore::{committed, watermarks};
use crate::status::Counts;
use crate::task::{Restoring, Running, Task};
use crate::{Committed, Context, Error, Failure, Observer, Phase, Processor, Record, Stage, TaskStatus};

/// An end of transaction that took longer may still be in flight somewhere and hit a later transaction.
const SLOW_COMMIT: Duration = Duration::from_secs(1);
/// First and greatest pause after a transient failure.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
const REPORT: Duration = Duration::from_secs(1);

/// The open transaction.
struct Transaction {
    since: Instant,
    records: u64,
    bytes: u64,
    oldest_millis: i64,
    /// Set when a message couldn't be queued: only an abort is left.
    failed: Option<TransactionError>,
}

pub(crate) struct Worker<'s> {
    stage: &'s Stage,
    slot: usize,
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
    /// Aborts in a row, and when the producer was fenced last.
    aborts: u32,
    /// True when the last poll found nothing.
    drained: bool,
    fenced_at: Option<Instant>,
    outbox: Outbox,
    counts: Counts,
    last_commit: Instant,
    last_report: Instant,
    back_off: Duration,
    scratch: Vec<u8>,
}

impl<'s> Worker<'s> {
    pub(crate) fn start(
        stage: &'s Stage,
        slot: usize,
        processor: Box<dyn Processor>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let producer = Producer::start(stage, &stage.slot_id(slot))?;
        let rebalances = Rebalances::default();
        let consumer: BaseConsumer<Rebalances> = consumer_config(stage, slot)
            .create_with_context(rebalances.clone())
            .map_err(|source| Error::Client { what: "consumer", source })?;
        consumer
            .subscribe(&[&stage.input])
            .map_err(|source| Error::Kafka { what: format!("subscribe to {}", stage.input), source })?;
        let now = Instant::now();
        Ok(Self {
            stage,
            slot,
            consumer: Arc::new(consumer),
            rebalances,
            producer,
            processor,
            observer,
            tasks: BTreeMap::new(),
            transaction: None,
            member: None,
            aborts: 0,
            drained: false,
            fenced_at: None,
            outbox: Outbox::default(),
            counts: Counts::default(),
            last_commit: now,
            last_report: now.checked_sub(REPORT).unwrap_or(now),
            back_off: BACK_OFF.0,
            scratch: Vec::new(),
        })
    }

    pub(crate) fn run(mut self, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        let consumer = Arc::clone(&self.consumer);
        let result = loop {
            if stop() {
                break self.cut();
            }
            if let Err(error) = self.step(&consumer) {
                break Err(error);
            }
        };
        if self.transaction.is_some()
            && let Err(error) = self.producer.abort()
        {
            tracing::warn!(
                error = error.message,
                "aborting the last transaction; the broker will, after its time-out"
            );
        }
        self.tasks.clear();
        self.observer.tasks(self.slot, &[]);
        result
    }

    /// One turn: what the group wants, what was restored, one record, one commit if it is due.
    fn step(&mut self, consumer: &BaseConsumer<Rebalances>) -> Result<(), Error> {
        let polled = consumer.poll(self.patience());
        while let Some(wish) = self.rebalances.take() {
            self.rebalance(wish)?;
        }
        self.adopt_restored()?;
        let drained = polled.is_none();
        self.drained = drained;
        match polled {
            Some(Ok(message)) => self.handle(&message)?,
            Some(Err(error)) => self.input_error(error)?,
            None => {}
        }
        if self.is_due(drained) {
            self.cut()?;
        }
        if self.last_report.elapsed() >= REPORT {
            if let Some(fatal) = self.fatal() {
                return Err(fatal);
            }
            self.report();
        }
        Ok(())
    }

    /// How long to wait for a record.
    fn patience(&self) -> Duration {
        let restoring = self.tasks.values().any(|task| matches!(task, Task::Restoring(_)));
        match &self.transaction {
            None if restoring => Duration::from_millis(10),
            None => Duration::from_millis(100),
            Some(transaction) if transaction.records == 0 && transaction.failed.is_none() => {
                Duration::from_millis(100)
            }
            Some(transaction) => {
                let age = self.stage.cut.interval.saturating_sub(transaction.since.elapsed());
                age.min(self.stage.cut.idle_interval.saturating_sub(self.last_commit.elapsed()))
            }
        }
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
            || transaction.since.elapsed() >= cut.interval
            || (drained && self.last_commit.elapsed() >= cut.idle_interval)
    }

    // ---- records ----

    fn handle(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Error> {
        let (partition, offset) = (message.partition(), message.offset());
        let Some(Task::Running(task)) = self.tasks.get_mut(&partition) else { return Ok(()) };
        if offset < task.position {
            return Ok(());
        }
        if self.transaction.is_none() {
            if let Err(error) = self.producer.begin() {
                self.recover(error, "begin")?;
                // The record in hand was taken from the consumer and not processed.
                return self.come_back(partition);
            }
            self.transaction = Some(Transaction {
                since: Instant::now(),
                records: 0,
                bytes: 0,
                oldest_millis: i64::MAX,
                failed: None,
            });
        }
        let record = Record::from_message(message);
        self.outbox.begin(record.headers().iter().find(|(n, _)| *n == "traceparent").map(|(_, v)| *v));
        let mut ctx = Context {
            store: &*task.store,
            overlay: &mut task.overlay,
            outbox: &mut self.outbox,
            counts: &mut self.counts,
            outputs: &self.stage.outputs,
            changelog_limit: self.stage.changelog_limit,
            partition,
            timestamp_millis: record.timestamp_millis,
        };
        let mut result = self.processor.process(&record, &mut ctx);
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
            result = match self.processor.dead_letter(&record, poison, &mut ctx) {
                Err(Failure::Poison(again)) => Err(Failure::Fatal(format!(
                    "{}-{partition}@{offset} can't be set aside: {again}",
                    record.topic
                ))),
                other => other,
            };
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

    /// The consumer's fatal error, if it has one. A fenced group instance is the sign that another copy has our name;
    /// librdkafka gives the partitions up without a word, so nothing would ever be processed again.
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

    // ---- transactions ----

    /// Commits what was processed, if anything was.
    fn cut(&mut self) -> Result<(), Error> {
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        if transaction.records == 0 && transaction.failed.is_none() {
            // Nothing in it: leave it open for the next record rather than paying for an empty commit.
            transaction.since = Instant::now();
            return Ok(());
        }
        if let Some(error) = transaction.failed.take() {
            return self.recover(error, "produce");
        }
        if self.is_another_member() {
            return self.restart("another membership");
        }
        let begun = Instant::now();
        self.publish()?;
        if let Some(error) = self.transaction.as_mut().and_then(|transaction| transaction.failed.take()) {
            return self.recover(error, "produce");
        }
        let result = self.write_changelog().and_then(|()| {
            let Some(membership) = Membership::of(&self.consumer).filter(|m| m.member().is_some()) else {
                let message = "not a member of the group at the moment".to_owned();
                return Err(TransactionError {
                    class: Class::Abortable,
                    code: RDKafkaErrorCode::UnknownMemberId,
                    message,
                });
            };
            let offsets = self.dirty_offsets();
            self.producer.send_offsets(&offsets, &membership)?;
            self.producer.commit()
        });
        match result {
            Ok(()) => {
                self.finish(begun.elapsed())?;
                if begun.elapsed() > SLOW_COMMIT || self.producer.was_disturbed() {
                    self.recycle("slow")?;
                }
                Ok(())
            }
            Err(error) => self.recover(error, "commit"),
        }
    }

    /// Lets the processor publish what changed in each task.
    fn publish(&mut self) -> Result<(), Error> {
        let dirty: Vec<i32> = self
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task, Task::Running(task) if task.is_dirty()))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in dirty {
            let Some(Task::Running(task)) = self.tasks.get_mut(&partition) else { continue };
            self.outbox.begin(None);
            let mut ctx = Context {
                store: &*task.store,
                overlay: &mut task.overlay,
                outbox: &mut self.outbox,
                counts: &mut self.counts,
                outputs: &self.stage.outputs,
                changelog_limit: self.stage.changelog_limit,
                partition,
                timestamp_millis: task.timestamp_millis,
            };
            self.processor.publish(&mut ctx).map_err(|e| Error::Processor(format!("publishing: {e}")))?;
            task.overlay.keep();
            self.counts.keep();
            self.flush_outbox();
        }
        Ok(())
    }

    /// The changed state, then how far it goes.
    fn write_changelog(&mut self) -> Result<(), TransactionError> {
        let mut bytes = 0_u64;
        for (partition, task) in &self.tasks {
            let Task::Running(task) = task else { continue };
            if !task.is_dirty() {
                continue;
            }
            let mut send = |key: &[u8], value: Option<&[u8]>| {
                bytes += (key.len() + value.map_or(0, <[u8]>::len)) as u64;
                self.producer.send(&Message {
                    topic: &self.stage.changelog,
                    partition: Some(*partition),
                    key,
                    value,
                    timestamp_millis: 0,
                    traceparent: None,
                })
            };
            if !task.overlay.is_empty() {
                for (table, key, value) in task.overlay.changes() {
                    changelog::key(table, key, &mut self.scratch);
                    send(&self.scratch, value)?;
                }
            }
            let progress =
                Progress { format: FORMAT, input_partitions: task.input_partitions, offset: task.position };
            send(OFFSET_KEY, Some(&progress.encode()))?;
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.bytes += bytes;
        }
        Ok(())
    }

    fn dirty_offsets(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, task) in &self.tasks {
            if let Task::Running(task) = task
                && task.is_dirty()
            {
                // Only a negative offset could be refused here, and positions start at 0.
                let added =
                    list.add_partition_offset(&self.stage.input, *partition, Offset::Offset(task.position));
                debug_assert!(added.is_ok(), "offset {}", task.position);
            }
        }
        list
    }

    /// The commit succeeded: the overlay becomes state.
    fn finish(&mut self, commit: Duration) -> Result<(), Error> {
        for task in self.tasks.values_mut() {
            if let Task::Running(task) = task
                && task.is_dirty()
            {
                task.overlay.merge_into(&mut *task.store, task.position)?;
                task.committed = task.position;
            }
        }
        if let Some(transaction) = self.transaction.take() {
            self.observer.committed(&Committed {
                records: transaction.records,
                bytes: transaction.bytes,
                duration: transaction.since.elapsed(),
                commit,
                counts: self.counts.all(),
                oldest_millis: transaction.oldest_millis,
            });
        }
        self.counts.clear();
        self.last_commit = Instant::now();
        self.aborts = 0;
        Ok(())
    }

    fn member(&self) -> Option<String> {
        Membership::of(&self.consumer).and_then(|membership| membership.member())
    }

    /// True when the group knows us as somebody else than at the assignment. Outside of a generation there is no
    /// answer, and a commit is refused anyway.
    fn is_another_member(&self) -> bool {
        self.member().is_some_and(|now| self.member.as_ref().is_some_and(|then| *then != now))
    }

    /// What we hold may have been somebody else's in the meantime: drop the transaction and read all state anew.
    fn restart(&mut self, cause: &'static str) -> Result<(), Error> {
        tracing::warn!(slot = self.slot, cause, "dropping the open transaction and restoring all tasks");
        let partitions: Vec<i32> = self.tasks.keys().copied().collect();
        self.tasks.clear();
        self.drop_transaction(cause)?;
        self.consumer
            .pause(&self.list(&partitions, Offset::Invalid))
            .map_err(|source| Error::Kafka { what: "pause partitions".to_owned(), source })?;
        for partition in partitions {
            self.tasks.insert(partition, Task::Restoring(Restoring::start(self.stage, partition)?));
        }
        self.member = self.member();
        self.report();
        Ok(())
    }

    /// Nothing of the open transaction counts: forget it and go back to the committed offsets.
    fn rewind(&mut self) -> Result<(), Error> {
        self.transaction = None;
        self.counts.clear();
        self.outbox.clear();
        let mut back = Vec::new();
        for (partition, task) in &mut self.tasks {
            if let Task::Running(task) = task {
                if task.is_dirty() {
                    back.push((*partition, task.committed));
                }
                task.rewind();
            }
        }
        for (partition, offset) in back {
            self.seek(partition, offset)?;
        }
        self.last_commit = Instant::now();
        Ok(())
    }

    /// Sorts an error of a transactional call and does what its class demands.
    fn recover(&mut self, error: TransactionError, during: &'static str) -> Result<(), Error> {
        match error.class {
            Class::Fenced => self.fenced(&error),
            Class::Abortable | Class::Retriable => {
                if matches!(
                    error.code,
                    RDKafkaErrorCode::IllegalGeneration
                        | RDKafkaErrorCode::UnknownMemberId
                        | RDKafkaErrorCode::RebalanceInProgress
                        | RDKafkaErrorCode::NoError
                ) {
                    // Everyday life of a group whose members come and go.
                    tracing::info!(error = error.message, during, "transaction aborted, doing it again");
                } else {
                    tracing::warn!(error = error.message, code = ?error.code, during, "transaction aborted");
                }
                self.observer.aborted(during);
                self.aborts += 1;
                if self.aborts > 2 {
                    // Something persistent: don't abort ten times a second.
                    thread::sleep((BACK_OFF.0 * self.aborts).min(BACK_OFF.1));
                }
                let begun = Instant::now();
                match self.producer.abort() {
                    Ok(()) if begun.elapsed() <= SLOW_COMMIT && !self.producer.was_disturbed() => {
                        self.rewind()
                    }
                    Ok(()) => {
                        self.rewind()?;
                        self.recycle("slow abort")
                    }
                    Err(error) if error.class == Class::Fenced => self.fenced(&error),
                    Err(error) => {
                        tracing::warn!(error = error.message, "the abort failed, replacing the producer");
                        self.recycle("failed abort")?;
                        self.rewind()
                    }
                }
            }
            Class::Unknown => {
                tracing::warn!(error = error.message, code = ?error.code, during, "outcome unknown, asking the broker");
                self.observer.aborted("unknown");
                self.resolve()
            }
        }
    }

    /// The producer was fenced: by another copy with our name, or by the coordinator because a transaction took too
    /// long (a paused machine, a slow broker). Who owns the name is decided by the group, so the consumer is asked.
    fn fenced(&mut self, error: &TransactionError) -> Result<(), Error> {
        if let Some(fatal) = self.fatal() {
            return Err(fatal);
        }
        if self.fenced_at.is_some_and(|at| at.elapsed() < Duration::from_secs(5)) {
            return Err(fenced(self.stage, error));
        }
        self.fenced_at = Some(Instant::now());
        tracing::warn!(
            error = error.message,
            "the producer was fenced, asking the broker what was committed"
        );
        self.observer.aborted("fenced");
        self.resolve()
    }

    /// A new producer under the same id. Its `init_transactions` fences whatever is still in flight of the old one:
    /// librdkafka has no KIP-890 part 2, so a delayed end of transaction could otherwise end a later one.
    fn recycle(&mut self, cause: &'static str) -> Result<(), Error> {
        self.observer.recycled(cause);
        self.producer = Producer::start(self.stage, &self.stage.slot_id(self.slot))?;
        Ok(())
    }

    /// The outcome of a commit isn't known. After `init_transactions` it is decided, so the committed offsets say
    /// which way: those that were sent, then the overlay holds; those from before, then it is discarded.
    fn resolve(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        self.recycle("unknown")?;
        let dirty: Vec<(i32, i64, i64)> = self
            .tasks
            .iter()
            .filter_map(|(partition, task)| match task {
                Task::Running(task) if task.is_dirty() => Some((*partition, task.committed, task.position)),
                _ => None,
            })
            .collect();
        let numbers: Vec<i32> = dirty.iter().map(|(partition, ..)| *partition).collect();
        let found = committed(&self.consumer, &self.stage.input, &numbers)?;
        let mut happened = None;
        for ((partition, before, sent), (_, found)) in dirty.into_iter().zip(found) {
            // A partition that never had a commit stands at the offset from which it started.
            let found = found.unwrap_or(before);
            let this = found == sent;
            if (!this && found != before) || *happened.get_or_insert(this) != this {
                tracing::warn!(
                    partition,
                    found,
                    before,
                    sent,
                    "somebody else has committed for this partition"
                );
                return self.restart("foreign commit");
            }
        }
        tracing::info!(committed = happened.unwrap_or(false), "outcome resolved");
        if happened == Some(true) { self.finish(begun.elapsed()) } else { self.rewind() }
    }

    /// Goes to an offset. Right after an assignment the fetcher may not run yet, which librdkafka reports as an
    /// erroneous state: that passes. A partition that was taken away in the meantime needs no seek.
    fn seek(&self, partition: i32, offset: i64) -> Result<(), Error> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let sought = self.consumer.seek(
                &self.stage.input,
                partition,
                Offset::Offset(offset),
                Duration::from_secs(10),
            );
            let Err(source) = sought else { return Ok(()) };
            if !self.is_assigned(partition) {
                tracing::info!(partition, error = %source, "no seek: the partition isn't assigned any more");
                return Ok(());
            }
            if Instant::now() >= deadline {
                let what = format!("go to {}-{partition}@{offset}", self.stage.input);
                return Err(Error::Kafka { what, source });
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_assigned(&self, partition: i32) -> bool {
        self.consumer.assignment().is_ok_and(|assignment| {
            assignment.elements().iter().any(|element| element.partition() == partition)
        })
    }

    // ---- the group ----

    fn rebalance(&mut self, wish: Wish) -> Result<(), Error> {
        let failed = |what: &str, source| Error::Kafka { what: format!("{what} partitions"), source };
        match wish {
            Wish::Assign(partitions) => {
                tracing::info!(slot = self.slot, ?partitions, "partitions assigned");
                if self.is_another_member() && !self.tasks.is_empty() {
                    self.restart("another membership")?;
                }
                self.member = self.member();
                // At an absolute offset, never at a logical one: librdkafka looks a logical offset up and, when a seek
                // made the answer outdated, asks again half a second later and goes there, behind the seek's back
                // (rd_kafka_toppar_handle_Offset). Records would be skipped.
                let mut list = TopicPartitionList::new();
                for partition in &partitions {
                    let (_, end) = watermarks(&self.consumer, &self.stage.input, *partition)?;
                    list.add_partition_offset(&self.stage.input, *partition, Offset::Offset(end))
                        .map_err(|e| failed("assign", e))?;
                }
                for partition in &partitions {
                    self.tasks.insert(*partition, Task::Restoring(Restoring::start(self.stage, *partition)?));
                }
                // Paused until restored; a record that slips through before the pause is dropped by `handle`, and
                // the seek that follows goes back to the right place.
                self.consumer.incremental_assign(&list).map_err(|e| failed("assign", e))?;
                self.consumer
                    .pause(&self.list(&partitions, Offset::Invalid))
                    .map_err(|e| failed("pause", e))?;
            }
            Wish::Revoke(partitions) => {
                let lost = self.consumer.assignment_lost() || self.is_another_member();
                tracing::info!(slot = self.slot, ?partitions, lost, "partitions revoked");
                if lost {
                    // Somebody else may work on them already: nothing of theirs may be committed.
                    self.forget(&partitions);
                    self.drop_transaction("lost")?;
                } else {
                    self.cut()?;
                    // A transaction that was begun but never filled must not outlive its assignment either.
                    self.drop_transaction("revoked")?;
                    self.forget(&partitions);
                }
                self.consumer
                    .incremental_unassign(&self.list(&partitions, Offset::Invalid))
                    .map_err(|e| failed("unassign", e))?;
            }
        }
        self.report();
        Ok(())
    }

    fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.tasks.remove(partition);
        }
    }

    /// Aborts the open transaction, if there is one.
    fn drop_transaction(&mut self, cause: &'static str) -> Result<(), Error> {
        if self.transaction.is_none() {
            return Ok(());
        }
        let message = format!("assignment {cause}");
        self.recover(
            TransactionError { class: Class::Abortable, code: RDKafkaErrorCode::NoError, message },
            cause,
        )
    }

    fn list(&self, partitions: &[i32], offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            // Logical offsets are always accepted.
            let added = list.add_partition_offset(&self.stage.input, *partition, offset);
            debug_assert!(added.is_ok(), "{offset:?}");
        }
        list
    }

    /// Takes over the tasks whose state is there.
    fn adopt_restored(&mut self) -> Result<(), Error> {
        let ready: Vec<_> = self
            .tasks
            .iter_mut()
            .filter_map(|(partition, task)| match task {
                Task::Restoring(restoring) => Some((*partition, restoring.poll()?)),
                Task::Running(_) => None,
            })
            .collect();
        for (partition, result) in ready {
            let Some(restored) = result? else { continue };
            let (records, took, offset) = (restored.records, restored.took, restored.offset);
            self.tasks.insert(partition, Task::Running(Running::new(self.stage, restored)));
            self.seek(partition, offset)?;
            self.consumer.resume(&self.list(&[partition], Offset::Invalid)).map_err(|source| {
                Error::Kafka { what: format!("resume {}-{partition}", self.stage.input), source }
            })?;
            tracing::info!(slot = self.slot, partition, offset, records, ?took, "state restored");
            self.observer.restored(partition, records, took);
            self.report();
        }
        Ok(())
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

fn consumer_config(stage: &Stage, slot: usize) -> rdkafka::ClientConfig {
    let mut config = stage.client.clone();
    let session = stage.session_timeout.as_millis().to_string();
    config
        .set("group.id", &stage.name)
        // A restarted copy takes its own partitions over at once; a static member sends no LeaveGroup, so the
        // session time-out is also the longest time that nobody works on them.
        .set("group.instance.id", stage.slot_id(slot))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", session)
        .set("heartbeat.interval.ms", "1000")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", "100")
        // With small queues the default of 1000 ms makes gaps of a second.
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "50000")
        .set("queued.max.messages.kbytes", "16384")
        .set("statistics.interval.ms", "2000");
    config
}
