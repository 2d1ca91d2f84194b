//! Reading a task's state back from its changelog.
//!
//! It runs on a thread and a consumer of its own, so that the group consumer keeps polling: a long restore must not
//! cost the membership, and partitions that stayed keep working.
//!
//! A store on disk says how far it goes, and only what came behind that is read. One that can't be trusted is wiped,
//! and then everything is read, as it is into memory.

mod read;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::changelog::{FORMAT, Progress};
use crate::fault::{self, Sabotage};
use crate::overlay::Overlay;
use crate::patience::{CALL, Patience};
use crate::store::{Changelog, Folder, Identity, Opening, Storage, Unusable};
use crate::{Error, Memory, Stage, Store, topic};
use read::{Batch, End, Reading, Stall, read, read_offsets};

/// For that long a cluster may answer that a topic isn't there.
const MISSING: Duration = Duration::from_secs(30);
/// A look at the end of a changelog: more than what aborted transactions leave there.
const LAST_RECORDS: i64 = 10_000;
/// The first look at it, for what mostly is the last record.
const FEW_RECORDS: i64 = 100;
/// So often a changelog may lose records that are about to be read.
const ATTEMPTS: u32 = 5;

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
    let Some(mut state) = open(stage, partition, input_partitions, None, patience)? else { return Ok(None) };
    let (mut attempts, mut wiped) = (0, 0);
    loop {
        // First the group's offset, which waits until no open transaction touches it: a predecessor whose offsets
        // were taken before its changelog was written must be decided before the end of the changelog is asked for.
        let committed = committed(&consumer, &stage.input, &[partition], patience)?
            .first()
            .and_then(|(_, offset)| *offset);
        let unusable = match read_to_the_end(stage, partition, &mut state, behind, patience)? {
            End::Stopped => return Ok(None),
            End::Reached => ahead(stage, partition, &state, patience)?,
            End::Overtaken => Some(Unusable::Overtaken),
        };
        if let Some(why) = unusable {
            wiped += 1;
            if wiped > ATTEMPTS {
                return Err(Error::Overtaken { topic: stage.changelog.clone() });
            }
            tracing::warn!(partition, reason = %why, "what was restored is of no use: all of it is read anew");
            // It has the folder.
            drop(state);
            let anew = open(stage, partition, input_partitions, Some(&why), patience)?;
            let Some(anew) = anew else { return Ok(None) };
            state = anew;
            continue;
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
    for _ in 0..ATTEMPTS {
        let mut from = Vec::new();
        for partition in 0..partitions {
            let (low, end) = watermarks(&consumer, &stage.changelog, partition, patience)?;
            if end > low {
                // Every transaction ends with its offset.
                from.push((partition, low.max(end - LAST_RECORDS)));
            }
        }
        let mut found = None;
        let end = read_offsets(stage, &from, patience, &mut |progress| {
            found = Some(progress.input_partitions);
            ControlFlow::Break(())
        })?;
        if end == End::Reached {
            return Ok(found);
        }
    }
    Err(Error::Overtaken { topic: stage.changelog.clone() })
}

/// Why the store isn't to be believed although all of the changelog was read. What a machine lost in a crash are the
/// newest records of the changelog and not those of the store: it would go on as if they were there. Its marks don't
/// tell, because a changelog with aborted transactions is longer than they say; so the changelog is asked.
fn ahead(
    stage: &Stage,
    partition: i32,
    state: &Reading,
    patience: &Patience<'_>,
) -> Result<Option<Unusable>, Error> {
    let Some(store) = state.found else { return Ok(None) };
    let said = match state.said {
        Some(progress) => Some(progress),
        None => last_progress(stage, partition, patience)?,
    };
    let changelog = said.map(|progress| progress.offset);
    Ok((changelog < Some(store)).then_some(Unusable::Ahead { store, changelog }))
}

/// The last that the changelog says, however far back it is.
fn last_progress(stage: &Stage, partition: i32, patience: &Patience<'_>) -> Result<Option<Progress>, Error> {
    let consumer = client(stage, "read_committed")?;
    let mut back = FEW_RECORDS;
    loop {
        let (low, end) = watermarks(&consumer, &stage.changelog, partition, patience)?;
        let from = low.max(end.saturating_sub(back));
        let mut last = None;
        read_offsets(stage, &[(partition, from)], patience, &mut |progress| {
            last = Some(progress);
            ControlFlow::Continue(())
        })?;
        if last.is_some() || from == low {
            return Ok(last);
        }
        back = back.saturating_mul(10);
    }
}

/// The store as it is found; an empty one when what was found turned out to be unusable. `None`: stopped.
fn open(
    stage: &Stage,
    partition: i32,
    partitions: i32,
    unusable: Option<&Unusable>,
    patience: &Patience<'_>,
) -> Result<Option<Reading>, Error> {
    let Storage::Disk(options) = &stage.storage else {
        return Ok(Some(Reading {
            store: Box::new(Memory::new(&stage.tables)),
            batch: None,
            found: None,
            progress: None,
            said: None,
            next: None,
            records: 0,
        }));
    };
    let path = options.of_copy(&stage.name, &stage.instance).join(partition.to_string());
    let Some(folder) = Folder::acquire(&path, patience.stop)? else { return Ok(None) };
    if unusable.is_some() {
        folder.wipe()?;
    }
    let (low, end) = watermarks(&client(stage, "read_uncommitted")?, &stage.changelog, partition, patience)?;
    let described = topic::describe(&stage.client, &stage.changelog, patience)?;
    let identity = Identity {
        stage: stage.name.clone(),
        changelog: stage.changelog.clone(),
        topic_id: described.id,
        partition,
        partitions,
    };
    let changelog = Changelog { low, end, tombstones: described.tombstones };
    let opening = Opening { options, identity: &identity, tables: &stage.tables, changelog: &changelog };
    let disk = opening.open(folder)?.closing_apart().map_err(|source| Error::System {
        what: "the thread that closes the store couldn't start",
        detail: source.to_string(),
    })?;
    let (input, next) = disk.reached().unzip();
    tracing::debug!(partition, ?input, ?next, low, end, "store opened");
    let found = input.flatten();
    let progress = found.map(|offset| Progress { format: FORMAT, input_partitions: partitions, offset });
    let batch = Batch { changes: Overlay::new(&stage.tables), bytes: 0, clock: options.clock };
    let store = Box::new(disk);
    Ok(Some(Reading { store, batch: Some(batch), found, progress, said: None, next, records: 0 }))
}

/// Reads everything that was in the changelog when it was called and isn't in the store.
fn read_to_the_end(
    stage: &Stage,
    partition: i32,
    state: &mut Reading,
    behind: &AtomicI64,
    patience: &Patience<'_>,
) -> Result<End, Error> {
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
    if target > state.next.unwrap_or(low) {
        let end = read(stage, partition, &consumer, state, &mut stall, patience.stop)?;
        if end != End::Reached {
            return Ok(end);
        }
    }
    let from = state.next.unwrap_or(low);
    state.flush(from, begun_at)?;
    tracing::debug!(partition, records = state.records, "changelog read");
    Ok(End::Reached)
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
