//! Reading changelogs, record by record.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};

use super::client;
use crate::changelog::{FORMAT, Key, OFFSET_KEY, Progress, read_key};
use crate::fault::{self, Crash};
use crate::overlay::Overlay;
use crate::patience::{Patience, passes};
use crate::store::Reached;
use crate::{Error, Stage, Store, StoreError};

/// No progress for that long is said, and said again.
const STALL: Duration = Duration::from_secs(180);

/// How a reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With the last record.
    Reached,
    /// Nobody waits for it any more.
    Stopped,
    /// The next record was removed before it was read.
    Overtaken,
}

fn is_gone(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}

/// Gives what changelogs say of the input, from the given offsets of partitions on, until it is enough.
pub(super) fn read_offsets(
    stage: &Stage,
    from: &[(i32, i64)],
    patience: &Patience<'_>,
    each: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<End, Error> {
    let failed = |source| Error::Kafka { what: format!("read {}", stage.changelog), source };
    let consumer = client(stage, "read_committed")?;
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from {
        list.add_partition_offset(&stage.changelog, *partition, Offset::Offset(*offset)).map_err(failed)?;
    }
    let mut open = from.len();
    if open > 0 {
        consumer.assign(&list).map_err(failed)?;
    }
    while open > 0 {
        match consumer.poll(Duration::from_millis(200)) {
            Some(Ok(message)) => {
                if message.key() == Some(OFFSET_KEY)
                    && let Some(Ok(progress)) = message.payload().map(Progress::decode)
                    && progress.format <= FORMAT
                    && each(progress).is_break()
                {
                    return Ok(End::Reached);
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(error)) if is_gone(&error) => return Ok(End::Overtaken),
            Some(Err(source)) if !passes(&source) => return Err(failed(source)),
            Some(Err(error)) => tracing::warn!(error = %error, "reading the changelogs' ends, trying again"),
            None => {}
        }
        patience.sleep(Duration::ZERO)?;
    }
    Ok(End::Reached)
}

/// A store that is being read back.
pub(super) struct Reading {
    pub(super) store: Box<dyn Store>,
    /// What a store on disk gets at once; memory takes each record as it comes.
    pub(super) batch: Option<Batch>,
    /// The input offset to which a store on disk went when it was opened.
    pub(super) found: Option<i64>,
    pub(super) progress: Option<Progress>,
    /// The last that the changelog itself said, in what was read of it.
    pub(super) said: Option<Progress>,
    /// The next record of the changelog; `None` when nothing of it was ever read.
    pub(super) next: Option<i64>,
    pub(super) records: u64,
}

pub(super) struct Batch {
    pub(super) changes: Overlay,
    pub(super) bytes: usize,
    pub(super) clock: fn() -> i64,
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
    pub(super) fn flush(&mut self, next: i64, complete_at: Option<i64>) -> Result<(), StoreError> {
        let Some(batch) = &mut self.batch else { return Ok(()) };
        let input = self.progress.map(|progress| progress.offset);
        batch.bytes = 0;
        batch.changes.apply_to(&mut *self.store, Reached::Changelog { next, input, complete_at })
    }
}

/// Reads on, to the end.
pub(super) fn read(
    stage: &Stage,
    partition: i32,
    consumer: &BaseConsumer,
    state: &mut Reading,
    stall: &mut Stall<'_>,
    stop: &dyn Fn() -> bool,
) -> Result<End, Error> {
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
                        if progress.format < FORMAT {
                            return Err(Error::OlderChangelog {
                                topic: stage.changelog.clone(),
                                found: progress.format,
                                known: FORMAT,
                            });
                        }
                        (state.progress, state.said) = (Some(progress), Some(progress));
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
            }
            // Everything below the target was decided before this read began, so the end is at or behind it.
            Some(Err(KafkaError::PartitionEOF(_))) => break,
            Some(Err(error)) if is_gone(&error) => return Ok(End::Overtaken),
            Some(Err(error)) if !passes(&error) => return Err(failed("read", error)),
            Some(Err(error)) => {
                tracing::warn!(error = %error, partition, "restoring, trying again");
                stall.check(-1);
                thread::sleep(Duration::from_millis(100));
            }
            None => stall.check(-1),
        }
        if stop() {
            return Ok(End::Stopped);
        }
    }
    // The partition stays assigned until the consumer goes: taking it away and closing in quick succession is what
    // librdkafka stumbles over (see `follow`).
    Ok(End::Reached)
}

/// Notices when nothing moves.
pub(super) struct Stall<'a> {
    stage: &'a Stage,
    partition: i32,
    target: i64,
    at: i64,
    since: Instant,
    /// Told how far it still is.
    behind: &'a AtomicI64,
}

impl<'a> Stall<'a> {
    pub(super) fn new(stage: &'a Stage, partition: i32, target: i64, behind: &'a AtomicI64) -> Self {
        Self { stage, partition, target, at: -1, since: Instant::now(), behind }
    }

    /// What holds a restore up passes: an open transaction at its time-out, a broker when it is back. Ending the stage
    /// would take the other partitions along, and the next start would meet the same.
    pub(super) fn check(&mut self, at: i64) {
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
