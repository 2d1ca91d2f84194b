//! Time that passes where no records come: the processors are asked what is due, and told how late it is.
//!
//! How late it is isn't the wall clock's to say alone. What was accepted before and still waits in the topic before the
//! input may be the very thing that makes a timer pointless, so time goes on as far as the group that makes the input has
//! come: an instant has passed once everything that was written before it is in the input. What a processor then writes
//! to its input comes behind all of that.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use super::{Worker, context};
use crate::restore::assign_only;
use crate::task::Task;
use crate::{Error, Wake};

/// One question to the cluster. A worker that waits for it processes nothing, and time can pass a little later.
const CALL: Duration = Duration::from_secs(1);

impl Worker<'_> {
    /// Wakes the processors of tasks where something is due.
    pub(super) fn wake(&mut self) -> Result<(), Error> {
        let Some(wake) = self.stage.wake.as_ref().filter(|wake| self.last_wake.elapsed() >= wake.every)
        else {
            return Ok(());
        };
        self.last_wake = Instant::now();
        let margin = i64::try_from(wake.margin.as_micros()).unwrap_or(i64::MAX);
        let now = (wake.clock)().saturating_sub(margin);
        let mut due = Vec::new();
        for (partition, task) in &mut self.tasks {
            let Task::Running(task) = task else { continue };
            let at = (*partition, task.timestamp_millis);
            let ctx = context(self.stage, task, &mut self.outbox, &mut self.counts, at);
            let at = self.processor.wakes_at(&ctx).map_err(|e| Error::Processor(format!("waking: {e}")))?;
            if at.is_some_and(|at| at <= now) {
                due.push(*partition);
            }
        }
        if due.is_empty() {
            return Ok(());
        }
        // The questions may take longer than a transaction may be open.
        self.cut()?;
        match self.is_handed_on(wake, now) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "time can't pass yet");
                return Ok(());
            }
        }
        for partition in due {
            self.wake_task(partition, now)?;
        }
        self.cut()
    }

    fn wake_task(&mut self, partition: i32, now: i64) -> Result<(), Error> {
        if !self.begin()? {
            return Ok(());
        }
        let Some(Task::Running(task)) = self.tasks.get_mut(&partition) else { return Ok(()) };
        self.outbox.begin(None);
        let mut ctx = context(self.stage, task, &mut self.outbox, &mut self.counts, (partition, now / 1_000));
        let woken = self.processor.wake(now, &mut ctx);
        let stays_as_it_was = task.store.failure().is_some() || woken.is_err();
        task.overlay.undo();
        self.counts.undo();
        if stays_as_it_was {
            self.outbox.clear();
            return woken.map_err(|e| Error::Processor(format!("waking: {e}")));
        }
        self.flush_outbox();
        if let Some(transaction) = &mut self.transaction {
            transaction.records += 1;
        }
        Ok(())
    }

    /// True when everything that was written to the topic before an instant is in the input.
    fn is_handed_on(&self, wake: &Wake, now: i64) -> Result<bool, KafkaError> {
        let consumer: BaseConsumer =
            assign_only(&self.stage.client, &wake.group, "read_committed").create()?;
        let metadata = consumer.fetch_metadata(Some(&wake.topic), CALL)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let mut partitions: Vec<i32> = partitions.map(rdkafka::metadata::MetadataPartition::id).collect();
        partitions.sort_unstable();
        if wake.has_lane && partitions.len() > 1 {
            partitions.pop();
        }
        let mut wanted = TopicPartitionList::new();
        for partition in &partitions {
            wanted.add_partition_offset(&wake.topic, *partition, Offset::Offset(now / 1_000))?;
        }
        // Asked first: what is committed only grows.
        let reached = consumer.offsets_for_times(wanted, CALL)?;
        let mut group = TopicPartitionList::new();
        for partition in &partitions {
            group.add_partition(&wake.topic, *partition);
        }
        let committed = consumer.committed_offsets(group, CALL)?;
        let mut rest = TopicPartitionList::new();
        for partition in reached.elements() {
            partition.error()?;
            let done = committed.find_partition(&wake.topic, partition.partition());
            let done = match done.map(|done| done.offset()) {
                Some(Offset::Offset(offset)) => offset,
                _ => 0,
            };
            match partition.offset() {
                Offset::Offset(end) if done < end => return Ok(false),
                Offset::Offset(_) => {}
                // Nothing was written since: all that is there has to be handed on.
                _ => {
                    let (start, end) = consumer.fetch_watermarks(&wake.topic, partition.partition(), CALL)?;
                    if done < end {
                        let from = Offset::Offset(done.max(start));
                        rest.add_partition_offset(&wake.topic, partition.partition(), from)?;
                    }
                }
            }
        }
        is_empty(&consumer, &rest)
    }
}

/// True when nothing is left behind these places but the markers that end transactions, which take an offset each.
fn is_empty(consumer: &BaseConsumer, rest: &TopicPartitionList) -> Result<bool, KafkaError> {
    if rest.count() == 0 {
        return Ok(true);
    }
    consumer.assign(rest)?;
    for _ in 0..rest.count() {
        match consumer.poll(CALL) {
            Some(Err(KafkaError::PartitionEOF(_))) => {}
            Some(Err(error)) => return Err(error),
            Some(Ok(_)) | None => return Ok(false),
        }
    }
    Ok(true)
}
