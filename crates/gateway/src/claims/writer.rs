//! Writes a raw record and its answer in one transaction, on a thread of its own.
//!
//! Whatever waits goes into the same transaction. A claim is bound to the producer under which it was made: once that one
//! is gone, whether it was fenced or met an error, it is decided whether the claim has an answer, and it never gets one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use service::Shutdown;
use service::health::Part;
use stream::{Outgoing, WriteError, Writer};
use tokio::sync::{mpsc, oneshot};
use topics::Topic;

use super::flight::Flight;
use super::shared::Shared;
use super::wants;
use crate::room::Hold;

/// Jobs that may wait; each holds a part of the room, which bounds their bytes.
pub(crate) const WAITING: usize = 1_024;
/// The most of one transaction.
const MOST_JOBS: usize = 256;
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// After a commit that took longer, a new producer: what is late can't end its transactions (EndTxn of an old epoch).
const SLOW: Duration = Duration::from_secs(1);

/// A raw record and the answer that it is worth.
pub(crate) struct Job {
    pub(crate) flight: Flight,
    pub(crate) raw_key: String,
    pub(crate) raw: Bytes,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) partition: Option<i32>,
    pub(crate) millis: i64,
    pub(crate) answer: Vec<u8>,
    pub(crate) done: oneshot::Sender<Result<(), String>>,
    pub(crate) hold: Hold,
}

impl Job {
    fn bytes(&self) -> usize {
        self.raw.len() + self.answer.len()
    }

    fn end(self, result: Result<(), String>) {
        drop(self.flight);
        // Who waited may have gone; the answer is in the log.
        let _ = self.done.send(result);
        drop(self.hold);
    }
}

/// What the thread works with.
pub(crate) struct Scribe {
    pub(crate) client: ClientConfig,
    pub(crate) id: Arc<str>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) end: Shutdown,
    pub(crate) part: Part,
}

impl Scribe {
    /// Writes until nobody is left who could have something to write.
    pub(crate) fn run(&self, mut jobs: mpsc::Receiver<Job>) {
        let Some(mut writer) = self.start() else { return };
        while let Some(first) = jobs.blocking_recv() {
            let mut bytes = first.bytes();
            let mut batch = vec![first];
            while batch.len() < MOST_JOBS && bytes < MOST_BYTES {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.bytes();
                batch.push(job);
            }
            let Some(next) = self.write(writer, batch) else { return };
            writer = next;
        }
    }

    /// `None` when the end has come before a producer could begin.
    fn start(&self) -> Option<Writer> {
        self.shared.pause();
        let largest = topics::largest_message(&[Topic::Raw, Topic::Claims]).0;
        let largest = usize::try_from(largest).unwrap_or(usize::MAX);
        loop {
            match Writer::start(&self.client, &self.id, largest, &|| self.end.is_triggered()) {
                Ok(writer) => {
                    self.shared.begin();
                    self.part.ready("transactions for requests with a key");
                    return Some(writer);
                }
                Err(error) => {
                    tracing::error!(%error, id = &*self.id, "no transactions for keyed requests: may this client write under this transactional id?");
                    wants(&self.part, &format!("no transactions as {}: {error}", self.id));
                }
            }
            if self.end.sleep(SLOW) {
                return None;
            }
        }
    }

    fn write(&self, writer: Writer, batch: Vec<Job>) -> Option<Writer> {
        // A claim of an earlier producer may have been ended by another copy, which fenced that one. And whoever was told
        // to come again does so, with the same key.
        let lasts = |job: &Job| job.flight.session == self.shared.session() && !job.done.is_closed();
        let (mut batch, over): (Vec<_>, Vec<_>) = batch.into_iter().partition(lasts);
        fail(over, "its time was over before its turn came");
        if batch.is_empty() {
            return Some(writer);
        }
        mark(&mut batch, true);
        let began = Instant::now();
        let error = match attempt(&writer, &batch) {
            Ok(()) => {
                for job in batch {
                    job.end(Ok(()));
                }
                if began.elapsed() < SLOW {
                    return Some(writer);
                }
                drop(writer);
                return self.start();
            }
            Err(error) => error,
        };
        tracing::warn!(%error, jobs = batch.len(), "a transaction of keyed requests failed");
        let message = error.to_string();
        if matches!(error, WriteError::Aborted(_)) {
            mark(&mut batch, false);
        }
        match error {
            // One that can never be written mustn't take the others with it.
            WriteError::Aborted(_) if batch.len() > 1 => {
                let mut writer = writer;
                for job in batch {
                    writer = self.write(writer, vec![job])?;
                }
                Some(writer)
            }
            WriteError::Aborted(_) => {
                fail(batch, &message);
                Some(writer)
            }
            WriteError::Fenced(_) | WriteError::Unknown(_) | WriteError::Client(_) => {
                if matches!(error, WriteError::Fenced(_)) {
                    let id = &*self.id;
                    tracing::warn!(
                        id,
                        "another copy ended claims of this one, or has the same instance name"
                    );
                }
                drop(writer);
                let writer = self.start()?;
                fail(batch, &message);
                Some(writer)
            }
        }
    }
}

/// Whether the answers of these may be in the log. Where that isn't known, no claim is given up: who meets it finds out.
fn mark(jobs: &mut [Job], attempted: bool) {
    for job in jobs {
        job.flight.attempted = attempted;
    }
}

fn fail(jobs: Vec<Job>, message: &str) {
    for job in jobs {
        job.end(Err(message.to_owned()));
    }
}

fn attempt(writer: &Writer, batch: &[Job]) -> Result<(), WriteError> {
    let keys: Vec<String> = batch.iter().map(|job| job.flight.key.to_hex()).collect();
    let headers: Vec<Vec<(&str, &[u8])>> = batch
        .iter()
        .map(|job| {
            let lawful = job.headers.iter().filter(|(name, _)| !name.contains('\0'));
            lawful.map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
        })
        .collect();
    let mut records = Vec::with_capacity(2 * batch.len());
    for ((job, key), headers) in batch.iter().zip(&keys).zip(&headers) {
        records.push(Outgoing {
            topic: Topic::Raw.name(),
            partition: job.partition,
            key: job.raw_key.as_bytes(),
            value: Some(&job.raw),
            timestamp_millis: job.millis,
            headers,
        });
        records.push(Outgoing {
            topic: Topic::Claims.name(),
            partition: None,
            key: key.as_bytes(),
            value: Some(&job.answer),
            timestamp_millis: job.millis,
            headers: &[],
        });
    }
    writer.write(&records)
}
