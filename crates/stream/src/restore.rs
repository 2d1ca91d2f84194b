//! Reading a task's state back from its changelog.
//!
//! It runs on a thread and a consumer of its own, so that the group consumer keeps polling: a long restore must not
//! cost the membership, and partitions that stayed keep working.
//!
//! A store on disk says how far it goes, and only what came behind that is read. One that can't be trusted is wiped,
//! and then everything is read, as it is into memory.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::changelog::{FORMAT, Key, OFFSET_KEY, Progress, read_key};
use crate::fault::{self, Crash, Sabotage};
use crate::overlay::Overlay;
use crate::patience::{CALL, Patience, passes};
use crate::store::{Changelog, Folder, Identity, Opening, Reached, Storage};
use crate::{Error, Memory, Stage, Store, StoreError, topic};

/// No progress for that long is said, and said again.
const STALL: Duration = Duration::from_secs(180);

/// For that long a cluster may answer that a topic isn't there.
const MISSING: Duration = Duration::from_secs(30);
/// A look at the end of a changelog: more than what aborted transactions leave there.
const LAST_RECORDS: i64 = 10_000;

/// A task's state, ready to work on.
pub(crate) struct Restored {
    pub(crate) store: Box<dyn Store>,
    /// The first input record to process.
    pub(crate) offset: i64,
    pub(crate) input_partitions: i32,
    pub(crate) records: u64,
    pub(crate) took: Duration,
}

/// Restores one partition. `stop` ends it early, with `None`.
pub(crate) fn restore(
    stage: &Stage,
    partition: i32,
    behind: &AtomicI64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Restored>, Error> {
    loop {
        match attempt(stage, partition, behind, stop) {
            Err(Error::Stopped) => return Ok(None),
            // The next attempt wipes it, or refuses to do so again.
            Err(Error::Store(error)) if error.is_corrupt() => {
                tracing::warn!(partition, error = %error, "restoring once more");
            }
            other => return other,
        }
    }
}

fn attempt(
    stage: &Stage,
    partition: i32,
    behind: &AtomicI64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Restored>, Error> {
    // Restoring isn't ready anyway, so nobody needs to be told.
    let patience = &Patience { stop, observer: None };
    let begun = Instant::now();
    let consumer = client(stage, "read_committed")?;
    let input_partitions = partitions(&consumer, &stage.input, patience)?;
    let changelog_partitions = partitions(&consumer, &stage.changelog, patience)?;
    if changelog_partitions != input_partitions {
        return Err(Error::Partitions {
            topic: stage.changelog.clone(),
            found: changelog_partitions,
            expected: input_partitions,
        });
    }
    let Some(mut state) = open(stage, partition, input_partitions, patience)? else { return Ok(None) };
    let mut attempts = 0;
    loop {
        // First the group's offset, which waits until no open transaction touches it: a predecessor whose offsets
        // were taken before its changelog was written must be decided before the end of the changelog is asked for.
        let committed = committed(&consumer, &stage.input, &[partition], patience)?
            .first()
            .and_then(|(_, offset)| *offset);
        if read_to_the_end(stage, partition, &mut state, behind, patience)?.is_break() {
            return Ok(None);
        }
        let written_for = match state.progress {
            Some(progress) => Some(progress.input_partitions),
            // Nothing here yet. But if the others have state for fewer partitions, this one has been added, and the keys
            // that are in it now have their state elsewhere.
            None => written_for(stage, input_partitions, patience)?,
        };
        if let Some(expected) = written_for
            && expected != input_partitions
        {
            return Err(Error::Partitions { topic: stage.input.clone(), found: input_partitions, expected });
        }
        // The two are written in one transaction, so a changelog that is behind the group was read too short.
        if let (Some(progress), Some(committed)) = (state.progress, committed)
            && progress.offset < committed
            && attempts < 10
        {
            attempts += 1;
            tracing::warn!(
                partition,
                committed,
                changelog = progress.offset,
                "the changelog was read too short, again"
            );
            patience.sleep(Duration::from_millis(200))?;
            continue;
        }
        let offset = start(stage, partition, &consumer, &state, committed, patience)?;
        return Ok(Some(Restored {
            store: state.store,
            offset,
            input_partitions,
            records: state.records,
            took: begun.elapsed(),
        }));
    }
}

/// The number of input partitions that the state of any partition was written for.
fn written_for(stage: &Stage, partitions: i32, patience: &Patience<'_>) -> Result<Option<i32>, Error> {
    let consumer = client(stage, "read_committed")?;
    let mut list = TopicPartitionList::new();
    let mut open = 0;
    for partition in 0..partitions {
        let (low, end) = watermarks(&consumer, &stage.changelog, partition, patience)?;
        if end > low {
            open += 1;
            // Every transaction ends with its offset.
            list.add_partition_offset(
                &stage.changelog,
                partition,
                Offset::Offset(low.max(end - LAST_RECORDS)),
            )
            .map_err(|source| Error::Kafka { what: format!("read {}", stage.changelog), source })?;
        }
    }
    if open == 0 {
        return Ok(None);
    }
    consumer
        .assign(&list)
        .map_err(|source| Error::Kafka { what: format!("read {}", stage.changelog), source })?;
    while open > 0 {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                if message.key() == Some(OFFSET_KEY)
                    && let Some(Ok(progress)) = message.payload().map(Progress::decode)
                    && progress.format <= FORMAT
                {
                    return Ok(Some(progress.input_partitions));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(source)) if !passes(&source) => {
                return Err(Error::Kafka { what: format!("read {}", stage.changelog), source });
            }
            Some(Err(error)) => tracing::warn!(error = %error, "reading the changelogs' ends, trying again"),
            None => {}
        }
        patience.sleep(Duration::ZERO)?;
    }
    Ok(None)
}

/// The store as it is found. `None`: stopped.
fn open(
    stage: &Stage,
    partition: i32,
    partitions: i32,
    patience: &Patience<'_>,
) -> Result<Option<Reading>, Error> {
    let Storage::Disk(options) = &stage.storage else {
        return Ok(Some(Reading {
            store: Box::new(Memory::new(&stage.tables)),
            batch: None,
            progress: None,
            next: None,
            records: 0,
        }));
    };
    let path = options.folder.join(format!("{}-{}", stage.name, stage.instance)).join(partition.to_string());
    let Some(folder) = Folder::acquire(&path, patience.stop)? else { return Ok(None) };
    let (low, end) = watermarks(&client(stage, "read_uncommitted")?, &stage.changelog, partition, patience)?;
    let described = topic::describe(&stage.client, &stage.changelog)?;
    let identity = Identity {
        stage: stage.name.clone(),
        changelog: stage.changelog.clone(),
        topic_id: described.id,
        partition,
        partitions,
    };
    let changelog = Changelog { low, end, tombstones: described.tombstones };
    let opening = Opening { options, identity: &identity, tables: &stage.tables, changelog: &changelog };
    let disk = opening.open(folder)?;
    let (input, next) = disk.reached().unzip();
    tracing::debug!(partition, ?input, ?next, low, end, "store opened");
    let progress =
        input.flatten().map(|offset| Progress { format: FORMAT, input_partitions: partitions, offset });
    let batch = Batch { changes: Overlay::new(&stage.tables), bytes: 0, clock: options.clock };
    Ok(Some(Reading { store: Box::new(disk), batch: Some(batch), progress, next, records: 0 }))
}

/// Reads everything that was in the changelog when it was called and isn't in the store. Break: stopped.
fn read_to_the_end(
    stage: &Stage,
    partition: i32,
    state: &mut Reading,
    behind: &AtomicI64,
    patience: &Patience<'_>,
) -> Result<ControlFlow<()>, Error> {
    // Tombstones that are further on than the end that is asked for below are younger than this.
    let begun_at = state.batch.as_ref().map(|batch| (batch.clock)());
    let consumer = client(stage, "read_committed")?;
    // The target is the high watermark, which counts open transactions. Under read_committed neither the watermark
    // nor the end-of-partition event sees beyond the last stable offset: a foreign open transaction would make the
    // restore silently short. So first wait until everything below the target is decided, then read to the end.
    let uncommitted = client(stage, "read_uncommitted")?;
    let (low, target) = watermarks(&uncommitted, &stage.changelog, partition, patience)?;
    let mut stall = Stall::new(stage, partition, target, behind);
    behind.store(target - low, Ordering::Relaxed);
    loop {
        let (_, stable) = watermarks(&consumer, &stage.changelog, partition, patience)?;
        if stable >= target || fault::is_broken(Sabotage::RestoreToLso) {
            break;
        }
        stall.check(stable);
        patience.sleep(Duration::from_millis(50))?;
    }
    drop(uncommitted);
    tracing::debug!(partition, low, target, next = state.next, "everything below the target is decided");
    if target > state.next.unwrap_or(low)
        && read(stage, partition, &consumer, state, &mut stall, patience.stop)?.is_break()
    {
        return Ok(ControlFlow::Break(()));
    }
    let from = state.next.unwrap_or(low);
    state.flush(from, begun_at)?;
    tracing::debug!(partition, records = state.records, "changelog read");
    Ok(ControlFlow::Continue(()))
}

/// A store that is being read back.
struct Reading {
    store: Box<dyn Store>,
    /// What a store on disk gets at once; memory takes each record as it comes.
    batch: Option<Batch>,
    progress: Option<Progress>,
    /// The next record of the changelog; `None` when nothing of it was ever read.
    next: Option<i64>,
    records: u64,
}

struct Batch {
    changes: Overlay,
    bytes: usize,
    clock: fn() -> i64,
}

impl Batch {
    /// Large enough that a batch's own cost doesn't count.
    const CHANGES: usize = 10_000;
    const BYTES: usize = 4 << 20;

    fn is_full(&self) -> bool {
        self.changes.len() >= Self::CHANGES || self.bytes >= Self::BYTES
    }
}

impl Reading {
    fn put(&mut self, table: u8, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        let Some(batch) = &mut self.batch else {
            let reached = Reached::Changelog { next: 0, input: None, complete_at: None };
            return self.store.apply(&mut std::iter::once((table, key, value)), reached);
        };
        if !batch.changes.set(table, key, value) {
            return Err(StoreError::Undeclared(table));
        }
        batch.changes.keep();
        batch.bytes += key.len() + value.map_or(0, <[u8]>::len);
        Ok(())
    }

    /// Gives a store on disk what was collected. `complete_at`: when the reading began that has come to the end.
    fn flush(&mut self, next: i64, complete_at: Option<i64>) -> Result<(), StoreError> {
        let Some(batch) = &mut self.batch else { return Ok(()) };
        let input = self.progress.map(|progress| progress.offset);
        batch.bytes = 0;
        batch.changes.apply_to(&mut *self.store, Reached::Changelog { next, input, complete_at })
    }
}

fn read(
    stage: &Stage,
    partition: i32,
    consumer: &BaseConsumer,
    state: &mut Reading,
    stall: &mut Stall<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<ControlFlow<()>, Error> {
    let failed =
        |what: &str, source| Error::Kafka { what: format!("{what} {}-{partition}", stage.changelog), source };
    let mut list = TopicPartitionList::new();
    let from = state.next.map_or(Offset::Beginning, Offset::Offset);
    list.add_partition_offset(&stage.changelog, partition, from)
        .and_then(|()| consumer.assign(&list))
        .map_err(|source| failed("read", source))?;
    loop {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                let foreign = |detail: String| Error::ForeignChangelog {
                    topic: stage.changelog.clone(),
                    partition,
                    offset: message.offset(),
                    detail,
                };
                let key =
                    message.key().and_then(read_key).ok_or_else(|| foreign("unknown key".to_owned()))?;
                match (key, message.payload()) {
                    (Key::Offset, Some(value)) => {
                        let progress = Progress::decode(value).map_err(foreign)?;
                        if progress.format > FORMAT {
                            return Err(Error::NewerChangelog {
                                topic: stage.changelog.clone(),
                                found: progress.format,
                                known: FORMAT,
                            });
                        }
                        state.progress = Some(progress);
                    }
                    (Key::Offset, None) => {}
                    (Key::State(table, key), value) => match state.put(table, key, value) {
                        Err(error @ StoreError::Undeclared(_)) => return Err(foreign(error.to_string())),
                        other => other?,
                    },
                }
                state.next = Some(message.offset() + 1);
                state.records += 1;
                fault::crash(Crash::InRestore, || ())?;
                stall.behind.store(stall.target - message.offset() - 1, Ordering::Relaxed);
                stall.check(message.offset());
                if state.batch.as_ref().is_some_and(Batch::is_full) {
                    state.flush(message.offset() + 1, None)?;
                }
                if state.records.is_multiple_of(4096) && stop() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            // Everything below the target was decided before this read began, so the end is at or behind it.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if !passes(&error) => return Err(failed("read", error)),
            Some(Err(error)) => {
                tracing::warn!(error = %error, partition, "restoring, trying again");
                stall.check(-1);
                thread::sleep(Duration::from_millis(100));
            }
            None => stall.check(-1),
        }
        if stop() {
            return Ok(ControlFlow::Break(()));
        }
    }
    // The partition stays assigned until the consumer goes: taking it away and closing in quick succession is what
    // librdkafka stumbles over (see `follow`).
    Ok(ControlFlow::Continue(()))
}

/// Where to go on in the input. The changelog knows best: its offset was written with the state.
fn start(
    stage: &Stage,
    partition: i32,
    consumer: &BaseConsumer,
    state: &Reading,
    committed: Option<i64>,
    patience: &Patience<'_>,
) -> Result<i64, Error> {
    match (state.progress, committed) {
        (_, Some(committed)) if fault::is_broken(Sabotage::OffsetsOutside) => Ok(committed),
        (Some(progress), Some(committed)) => {
            if committed != progress.offset {
                tracing::warn!(
                    partition,
                    committed,
                    changelog = progress.offset,
                    "the group's offset and the changelog disagree; the changelog holds, as it was written with the state"
                );
            }
            Ok(progress.offset)
        }
        (Some(progress), None) => {
            tracing::warn!(
                partition,
                offset = progress.offset,
                "the group has no offset (expired?), going on where the changelog says"
            );
            Ok(progress.offset)
        }
        (None, None) if state.records == 0 && state.store.is_empty() => {
            // Nobody has ever worked here: the beginning is right, and chosen on purpose.
            let (low, _) = watermarks(consumer, &stage.input, partition, patience)?;
            Ok(low)
        }
        (None, _) => Err(Error::NoOffset { topic: stage.changelog.clone(), partition }),
    }
}

/// The offsets that the group has committed; waits until none of them is part of an open transaction.
pub(crate) fn committed<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partitions: &[i32],
    patience: &Patience<'_>,
) -> Result<Vec<(i32, Option<i64>)>, Error> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition(topic, *partition);
    }
    let found = patience.insist(&format!("read the committed offsets of {topic}"), || {
        let found = consumer.committed_offsets(list.clone(), CALL)?;
        // An error of one partition hides in the answer, and would look as if nothing had been committed.
        found.elements().iter().try_for_each(|element| element.error())?;
        Ok(found)
    })?;
    let offset = |offset| match offset {
        Offset::Offset(n) => Some(n),
        _ => None,
    };
    Ok(found.elements().iter().map(|e| (e.partition(), offset(e.offset()))).collect())
}

/// A consumer that only assigns: for restoring, for watermarks and for offsets.
pub(crate) fn client(stage: &Stage, isolation: &str) -> Result<BaseConsumer, Error> {
    assign_only(&stage.client, &stage.name, isolation)
        .create()
        .map_err(|source| Error::Client { what: "restore", source })
}

pub(crate) fn assign_only(client: &ClientConfig, group: &str, isolation: &str) -> ClientConfig {
    let mut config = client.clone();
    config
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "2")
        .set("queued.max.messages.kbytes", "32768");
    config
}

pub(crate) fn watermarks<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    patience: &Patience<'_>,
) -> Result<(i64, i64), Error> {
    let what = format!("read the watermarks of {topic}-{partition}");
    patience.insist(&what, || consumer.fetch_watermarks(topic, partition, CALL))
}

/// The number of partitions of a topic.
pub(crate) fn partitions<C: rdkafka::consumer::ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    patience: &Patience<'_>,
) -> Result<i32, Error> {
    let what = format!("read the metadata of {topic}");
    let mut missing = None;
    loop {
        let metadata = patience.insist(&what, || consumer.fetch_metadata(Some(topic), CALL))?;
        let count = metadata.topics().first().map_or(0, |t| t.partitions().len());
        if count > 0 {
            return Ok(i32::try_from(count).unwrap_or(i32::MAX));
        }
        // A broker that has just started may not know it yet; an outage doesn't count.
        if missing.get_or_insert_with(Instant::now).elapsed() >= MISSING {
            return Err(Error::MissingTopic { topic: topic.to_owned() });
        }
        patience.sleep(Duration::from_millis(200))?;
    }
}

/// Notices when nothing moves.
struct Stall<'a> {
    stage: &'a Stage,
    partition: i32,
    target: i64,
    at: i64,
    since: Instant,
    /// Told how far it still is.
    behind: &'a AtomicI64,
}

impl<'a> Stall<'a> {
    fn new(stage: &'a Stage, partition: i32, target: i64, behind: &'a AtomicI64) -> Self {
        Self { stage, partition, target, at: -1, since: Instant::now(), behind }
    }

    /// What holds a restore up passes: an open transaction at its time-out, a broker when it is back. Ending the stage
    /// would take the other partitions along, and the next start would meet the same.
    fn check(&mut self, at: i64) {
        if at > self.at {
            self.at = at;
            self.since = Instant::now();
        }
        if self.since.elapsed() >= STALL {
            self.since = Instant::now();
            tracing::error!(
                topic = self.stage.changelog,
                partition = self.partition,
                at = self.at,
                target = self.target,
                for_at_least = ?STALL,
                "restoring makes no progress: an open transaction or an unreachable broker"
            );
        }
    }
}
