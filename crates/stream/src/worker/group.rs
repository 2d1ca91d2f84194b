//! The group: partitions come, are restored and go.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use super::Worker;
use crate::fault::{self, Crash, Sabotage};
use crate::native::Membership;
use crate::rebalance::{Rebalances, Wish};
use crate::restore::watermarks;
use crate::task::{Restoring, Running, Task};
use crate::{Error, Stage};

impl Worker<'_> {
    pub(super) fn rebalance(&mut self, wish: Wish) -> Result<(), Error> {
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
                    let (_, end) =
                        watermarks(&self.consumer, &self.stage.input, *partition, &self.patience())?;
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
                let lost = (self.consumer.assignment_lost()
                    && !fault::is_broken(Sabotage::StaleGroupMetadata))
                    || self.is_another_member();
                tracing::info!(slot = self.slot, ?partitions, lost, "partitions revoked");
                if lost {
                    // Somebody else may work on them already: nothing of theirs may be committed.
                    self.forget(&partitions);
                    self.drop_transaction("lost")?;
                } else {
                    self.cut()?;
                    // A transaction that was begun but never filled must not outlive its assignment either.
                    self.drop_transaction("revoked")?;
                    fault::crash(Crash::InRevocation, || self.producer.settle())?;
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

    /// Takes over the tasks whose state is there.
    pub(super) fn adopt_restored(&mut self) -> Result<(), Error> {
        if self.member.is_none() && !self.tasks.is_empty() {
            // Read while we were nobody to the group: somebody else may have written since.
            return if self.member().is_some() { self.restart("a new membership") } else { Ok(()) };
        }
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
            self.resume(partition)?;
            tracing::info!(slot = self.slot, partition, offset, records, ?took, "state restored");
            self.observer.restored(partition, records, took);
            self.report();
        }
        Ok(())
    }

    /// What we hold may have been somebody else's in the meantime: drop the transaction and read all state anew.
    pub(super) fn restart(&mut self, cause: &'static str) -> Result<(), Error> {
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

    pub(super) fn forget(&mut self, partitions: &[i32]) {
        for partition in partitions {
            self.tasks.remove(partition);
        }
    }

    /// Our membership, unless we are outside of a generation: a broker would take offsets unchecked.
    pub(super) fn membership(&self) -> Option<Membership> {
        #[cfg(feature = "failpoints")]
        if fault::is_broken(Sabotage::StaleGroupMetadata) {
            return std::ffi::CString::new(self.stage.name.as_str()).ok().map(|n| Membership::anonymous(&n));
        }
        Membership::of(&self.consumer).filter(|membership| membership.member().is_some())
    }

    pub(super) fn member(&self) -> Option<String> {
        Membership::of(&self.consumer).and_then(|membership| membership.member())
    }

    /// True when the group knows us as somebody else than at the assignment. Outside of a generation there is no
    /// answer, and a commit is refused anyway.
    pub(super) fn is_another_member(&self) -> bool {
        if fault::is_broken(Sabotage::StaleGroupMetadata) {
            return false;
        }
        self.member().is_some_and(|now| self.member.as_ref().is_some_and(|then| *then != now))
    }

    /// Goes to an offset. Right after an assignment the fetcher may not run yet, which librdkafka reports as an
    /// erroneous state: that passes. A partition that was taken away in the meantime needs no seek.
    pub(super) fn seek(&self, partition: i32, offset: i64) -> Result<(), Error> {
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

    pub(super) fn is_assigned(&self, partition: i32) -> bool {
        self.consumer.assignment().is_ok_and(|assignment| {
            assignment.elements().iter().any(|element| element.partition() == partition)
        })
    }

    pub(super) fn list(&self, partitions: &[i32], offset: Offset) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            // Logical offsets are always accepted.
            let added = list.add_partition_offset(&self.stage.input, *partition, offset);
            debug_assert!(added.is_ok(), "{offset:?}");
        }
        list
    }
}

/// A consumer that isn't subscribed yet, and what it notes down.
pub(super) fn consumer(
    stage: &Stage,
    slot: usize,
) -> Result<(Arc<BaseConsumer<Rebalances>>, Rebalances), Error> {
    let rebalances = Rebalances::default();
    let consumer = consumer_config(stage, slot)
        .create_with_context(rebalances.clone())
        .map_err(|source| Error::Client { what: "consumer", source })?;
    Ok((Arc::new(consumer), rebalances))
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
        // An answer waits for records at most this long: the pulse of an idle pipeline.
        .set("fetch.wait.max.ms", "500")
        // With small queues the default of 1000 ms makes gaps of a second.
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.min.messages", "50000")
        .set("queued.max.messages.kbytes", "16384")
        .set("statistics.interval.ms", "2000");
    if config.get("topic.metadata.refresh.interval.ms").is_none() {
        // How soon a changed number of partitions is noticed.
        config.set("topic.metadata.refresh.interval.ms", "30000");
    }
    config
}
