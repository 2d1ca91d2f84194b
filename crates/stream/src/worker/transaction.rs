//! From the first record of a transaction to the knowledge of how it ended.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::{BACK_OFF, SLOW_COMMIT, Worker, context};
use crate::changelog::{self, FORMAT, OFFSET_KEY, Progress};
use crate::error::{Class, TransactionError};
use crate::fault::{self, Crash, Sabotage};
use crate::producer::{Message, Producer, fenced};
use crate::restore::committed;
use crate::task::Task;
use crate::{Committed, Error, StoreError};

impl Worker<'_> {
    /// Commits what was processed, if anything was.
    pub(super) fn cut(&mut self) -> Result<(), Error> {
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
        self.crash(Crash::AfterProduce)?;
        if let Some(error) = self.transaction.as_mut().and_then(|transaction| transaction.failed.take()) {
            return self.recover(error, "produce");
        }
        if let Err(error) = self.write_changelog() {
            return self.recover(error, "commit");
        }
        self.crash(Crash::BeforeOffsets)?;
        if let Err(error) = self.send_offsets() {
            return self.recover(error, "commit");
        }
        self.crash(Crash::BeforeCommit)?;
        match self.producer.commit() {
            Ok(()) => {
                self.crash(Crash::AfterCommit)?;
                self.finish(begun.elapsed())?;
                if begun.elapsed() > SLOW_COMMIT || self.producer.was_disturbed() {
                    self.recycle("slow")?;
                }
                Ok(())
            }
            Err(error) => self.recover(error, "commit"),
        }
    }

    fn crash(&self, at: Crash) -> Result<(), Error> {
        fault::crash(at, || self.producer.settle())
    }

    /// Puts the offsets into the transaction, on behalf of the membership under which the state was built.
    fn send_offsets(&self) -> Result<(), TransactionError> {
        let offsets = self.dirty_offsets();
        if offsets.count() == 0 {
            // Woken, and nothing was consumed meanwhile.
            return Ok(());
        }
        if fault::is_broken(Sabotage::NoTransactionalId) || fault::is_broken(Sabotage::OffsetsOutside) {
            let committed = self.consumer.commit(&offsets, CommitMode::Sync);
            return committed.map_err(|e| TransactionError::from_kafka(&e));
        }
        let refused = |message: &str| {
            let code = RDKafkaErrorCode::UnknownMemberId;
            TransactionError { class: Class::Abortable, code, message: message.to_owned() }
        };
        let membership =
            self.membership().ok_or_else(|| refused("not a member of the group at the moment"))?;
        // It may have changed since it was looked at, and the broker would take the offsets of either.
        if membership.member() != self.member && !fault::is_broken(Sabotage::StaleGroupMetadata) {
            return Err(refused("another membership than that of the assignment"));
        }
        self.producer.send_offsets(&offsets, &membership)
    }

    /// Lets the processor publish what changed in each task.
    pub(super) fn publish(&mut self) -> Result<(), Error> {
        let dirty: Vec<i32> = self
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task, Task::Running(task) if task.is_dirty()))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in dirty {
            let Some(Task::Running(task)) = self.tasks.get_mut(&partition) else { continue };
            self.outbox.begin(None);
            let at = (partition, task.timestamp_millis);
            let mut ctx = context(self.stage, task, &mut self.outbox, &mut self.counts, at);
            let published = self.processor.publish(&mut ctx);
            let published = ctx.overlay.fault().and(published);
            if let Some(error) = task.store.failure() {
                // The abort comes back to the records, and they meet the failure again.
                self.transaction
                    .iter_mut()
                    .for_each(|open| open.failed = Some(TransactionError::of_store(&error)));
                return Ok(());
            }
            published.map_err(|e| Error::Processor(format!("publishing: {e}")))?;
            task.overlay.keep();
            self.counts.keep();
            self.flush_outbox();
        }
        Ok(())
    }

    /// The changed state, then how far it goes.
    pub(super) fn write_changelog(&mut self) -> Result<(), TransactionError> {
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

    pub(super) fn dirty_offsets(&self) -> TopicPartitionList {
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
    pub(super) fn finish(&mut self, commit: Duration) -> Result<(), Error> {
        let mut failed = None;
        for task in self.tasks.values_mut() {
            if let Task::Running(task) = task
                && task.is_dirty()
            {
                failed = task.overlay.merge_into(&mut *task.store, task.position).err().or(failed);
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
        failed.map_or(Ok(()), |error| self.store_failed(error))
    }

    /// What a store on disk said can't be believed: a corrupt one is wiped and restored by reading everything anew.
    pub(super) fn store_failed(&mut self, error: StoreError) -> Result<(), Error> {
        if !error.is_corrupt() {
            return Err(error.into());
        }
        tracing::warn!(slot = self.slot, error = %error, "a local store failed");
        self.restart("a corrupt local store")
    }

    /// Nothing of the open transaction counts: forget it and go back to the committed offsets.
    pub(super) fn rewind(&mut self) -> Result<(), Error> {
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
    pub(super) fn recover(&mut self, error: TransactionError, during: &'static str) -> Result<(), Error> {
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
                        // There may be nothing left to abort: a coordinator can carry a commit out and answer with
                        // an error that says nothing of it.
                        tracing::warn!(
                            error = error.message,
                            "the abort failed, asking the broker what was committed"
                        );
                        self.resolve()
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
    pub(super) fn fenced(&mut self, error: &TransactionError) -> Result<(), Error> {
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
    pub(super) fn recycle(&mut self, cause: &'static str) -> Result<(), Error> {
        if matches!(cause, "slow" | "slow abort") && fault::is_broken(Sabotage::NoRecycling) {
            return Ok(());
        }
        self.observer.recycled(cause);
        self.producer = Producer::start(self.stage, &self.stage.slot_id(self.slot), &self.patience())?;
        Ok(())
    }

    /// The outcome of a commit isn't known. After `init_transactions` it is decided, so the committed offsets say
    /// which way: those that were sent, then the overlay holds; those from before, then it is discarded.
    pub(super) fn resolve(&mut self) -> Result<(), Error> {
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
        let found = committed(&self.consumer, &self.stage.input, &numbers, &self.patience())?;
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

    /// Aborts the open transaction, if there is one.
    pub(super) fn drop_transaction(&mut self, cause: &'static str) -> Result<(), Error> {
        if self.transaction.is_none() {
            return Ok(());
        }
        let message = format!("assignment {cause}");
        self.recover(
            TransactionError { class: Class::Abortable, code: RDKafkaErrorCode::NoError, message },
            cause,
        )
    }
}
