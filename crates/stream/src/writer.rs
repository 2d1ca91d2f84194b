//! Transactions of a tool: no input of a group, no state, a handful of records that count together or not at all.

use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};

use crate::changelog::{FORMAT, OFFSET_KEY, Progress};
use crate::client::Client;
use crate::error::{Class, TransactionError};
use crate::fault::{self, Crash};
use crate::patience::{CALL, Patience};
use crate::producer::{Disturbance, again, config};
use crate::{Error, Position, native};

/// One record to be written.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// Topic.
    pub topic: &'a str,
    /// `None` partitions by key, as every producer here does.
    pub partition: Option<i32>,
    /// Key.
    pub key: &'a [u8],
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Milliseconds since 1970; 0 leaves it to the client.
    pub timestamp_millis: i64,
    /// In their order.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Why a transaction of a tool failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Another one has begun under the same id, and this one wrote nothing of the transaction.
    #[error("another one has begun since, and this one is out ({0})")]
    Fenced(String),
    /// Nothing of the transaction counts.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
    /// It counts or it doesn't: a new [`Writer`] of the same id decides it, then a look at the topics tells.
    #[error("it isn't known how the transaction ended: {0}")]
    Unknown(String),
    /// A client couldn't be made, or a call failed for good.
    #[error(transparent)]
    Client(#[from] Error),
}

/// A transactional producer of a fixed id: whoever starts one ends what its predecessor left open and fences it.
pub struct Writer {
    client: Client<Disturbance>,
    id: String,
}

impl Writer {
    /// Takes over the id. When it returns, every transaction of a predecessor is decided. `largest` is the size of the
    /// largest record.
    pub fn start(
        client: &ClientConfig,
        id: &str,
        largest: usize,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, WriteError> {
        fault::arm()?;
        let client = Client::start(&config(client, id, largest), Disturbance::default())?;
        let patience = Patience { stop, observer: None };
        patience
            .insist(&format!("start transactions as {id}"), || client.producer().init_transactions(CALL))?;
        Ok(Self { client, id: id.to_owned() })
    }

    /// Writes the records in one transaction. On an error there is nothing left open that could count later, unless
    /// the error says that it isn't known.
    pub fn write(&self, records: &[Outgoing<'_>]) -> Result<(), WriteError> {
        self.attempt(records).map_err(|error| match error.class {
            Class::Fenced => WriteError::Fenced(error.message),
            Class::Unknown => WriteError::Unknown(error.message),
            Class::Abortable | Class::Retriable => match again(|| native::abort(self.client.producer())) {
                Ok(()) => WriteError::Aborted(error.message),
                Err(abort) if abort.class == Class::Fenced => WriteError::Fenced(abort.message),
                Err(abort) => WriteError::Unknown(abort.message),
            },
        })
    }

    /// Writes the state of tasks that have none yet: nothing, and that they begin at these offsets of their input, of all
    /// partitions of which they are given one. Whoever restores them begins there.
    pub fn begin_at(&self, changelog: &str, offsets: &Position) -> Result<(), WriteError> {
        let input_partitions = i32::try_from(offsets.len()).unwrap_or(i32::MAX);
        let progress = |offset: &i64| Progress { format: FORMAT, input_partitions, offset: *offset }.encode();
        let values: Vec<(i32, Vec<u8>)> =
            offsets.iter().map(|(partition, offset)| (*partition, progress(offset))).collect();
        let records: Vec<Outgoing<'_>> = values
            .iter()
            .map(|(partition, value)| Outgoing {
                topic: changelog,
                partition: Some(*partition),
                key: OFFSET_KEY,
                value: Some(value),
                timestamp_millis: 0,
                headers: &[],
            })
            .collect();
        self.write(&records)
    }

    fn attempt(&self, records: &[Outgoing<'_>]) -> Result<(), TransactionError> {
        self.client.producer().begin_transaction().map_err(|e| TransactionError::from_kafka(&e))?;
        for record in records {
            self.send(record)?;
        }
        self.crash(Crash::BeforeCommit)?;
        again(|| native::commit(self.client.producer()))?;
        self.crash(Crash::AfterCommit)
    }

    fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), TransactionError> {
        let mut headers = OwnedHeaders::new_with_capacity(outgoing.headers.len());
        for (key, value) in outgoing.headers {
            headers = headers.insert(Header { key, value: Some(*value) });
        }
        let mut record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(outgoing.topic).key(outgoing.key).headers(headers);
        record.payload = outgoing.value;
        record.partition = outgoing.partition;
        record.timestamp = (outgoing.timestamp_millis > 0).then_some(outgoing.timestamp_millis);
        loop {
            match self.client.producer().send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    thread::sleep(Duration::from_millis(1));
                    record = back;
                }
                Err((error, _)) => {
                    // Not even queued, so an abort is always right.
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    return Err(TransactionError::new(code, false, true, false, error.to_string()));
                }
            }
        }
    }

    fn crash(&self, at: Crash) -> Result<(), TransactionError> {
        let settle = || {
            let _ = self.client.producer().flush(Duration::from_secs(10));
        };
        fault::crash(at, settle).map_err(|error| {
            TransactionError::new(RDKafkaErrorCode::NoError, false, true, false, error.to_string())
        })
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("id", &self.id).finish_non_exhaustive()
    }
}
