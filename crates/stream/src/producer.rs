//! The transactional producer of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::client::Client;
use crate::error::{Class, TransactionError};
use crate::fault::{self, Sabotage};
use crate::native::{self, Membership};
use crate::patience::{CALL, Patience};
use crate::{Error, Stage};

/// Remembers whether the connection was disturbed since it was asked last.
#[derive(Clone, Default)]
pub(crate) struct Disturbance(Arc<AtomicBool>);

impl ClientContext for Disturbance {
    fn error(&self, error: KafkaError, reason: &str) {
        self.0.store(true, Ordering::Relaxed);
        tracing::debug!(error = %error, reason, "kafka client error");
    }

    /// A connection that is lost, or a request that gets no answer in time, is no error to librdkafka: it asks again, over
    /// a new connection, and only its log tells. But the first request may still be on its way.
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        if matches!(fac, "FAIL" | "REQTMOUT") {
            self.0.store(true, Ordering::Relaxed);
        }
        if !matches!(level, RDKafkaLogLevel::Debug) {
            tracing::debug!(fac, message, "librdkafka");
        }
    }
}

impl ProducerContext for Disturbance {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): Self::DeliveryOpaque) {
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code();
            if matches!(code, Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)) {
                // What an aborted transaction had yet to send: it is done again.
                return;
            }
            tracing::warn!(error = %error, "a message of the open transaction was not delivered");
        }
    }
}

/// A producer between `init_transactions` and its end.
pub(crate) struct Producer {
    client: Client<Disturbance>,
    disturbance: Disturbance,
    /// Without transactions: only a test that breaks things on purpose wants that.
    plain: bool,
}

/// One message.
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) partition: Option<i32>,
    pub(crate) key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) timestamp_millis: i64,
    pub(crate) traceparent: Option<&'a [u8]>,
}

impl Producer {
    /// Creates the producer and takes over its transactional id: an open transaction of a predecessor is aborted, and
    /// the predecessor is fenced.
    pub(crate) fn start(stage: &Stage, id: &str, patience: &Patience<'_>) -> Result<Self, Error> {
        let disturbance = Disturbance::default();
        let plain = fault::is_broken(Sabotage::NoTransactionalId);
        let largest = stage.outputs.iter().map(|output| output.max_message_bytes).max().unwrap_or(0);
        let mut config = config(&stage.client, id, largest.max(stage.changelog_limit));
        if plain {
            config.remove("transactional.id");
            config.remove("transaction.timeout.ms");
        }
        if fault::is_broken(Sabotage::StaleGroupMetadata) {
            // Kafka's own end of a transaction that somebody left open would come first, now and then.
            config.set("transaction.timeout.ms", "120000");
        }
        let client = Client::start(&config, disturbance.clone())?;
        if !plain {
            let what = format!("start transactions as {id}");
            let begun = patience.insist(&what, || client.producer().init_transactions(CALL));
            if let Err(Error::Kafka { source, .. }) = &begun {
                let error = TransactionError::from_kafka(source);
                if error.class == Class::Fenced {
                    return Err(fenced(stage, &error));
                }
            }
            begun?;
        }
        // What disturbed the start is over.
        client.take();
        disturbance.0.store(false, Ordering::Relaxed);
        Ok(Self { client, disturbance, plain })
    }

    pub(crate) fn begin(&self) -> Result<(), TransactionError> {
        if self.plain {
            return Ok(());
        }
        self.client.producer().begin_transaction().map_err(|e| TransactionError::from_kafka(&e))
    }

    /// Queues a message. A full queue is waited for: the transaction's size bounds how long that takes.
    pub(crate) fn send(&self, message: &Message<'_>) -> Result<(), TransactionError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(message.topic).key(message.key);
        record.payload = message.value;
        record.partition = message.partition;
        if message.timestamp_millis > 0 {
            record.timestamp = Some(message.timestamp_millis);
        }
        if let Some(traceparent) = message.traceparent {
            record.headers =
                Some(OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(traceparent) }));
        }
        loop {
            match self.client.producer().send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    thread::sleep(Duration::from_millis(1));
                    record = back;
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                    // Not even queued: nothing of it is on the wire, so an abort is always right.
                    return Err(TransactionError::new(code, false, true, false, error.to_string()));
                }
            }
        }
    }

    pub(crate) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        membership: &Membership,
    ) -> Result<(), TransactionError> {
        again(|| native::send_offsets(self.client.producer(), offsets, membership))
    }

    pub(crate) fn commit(&self) -> Result<(), TransactionError> {
        if self.plain {
            self.settle();
            return Ok(());
        }
        again(|| native::commit(self.client.producer()))
    }

    pub(crate) fn abort(&self) -> Result<(), TransactionError> {
        if self.plain {
            return Ok(());
        }
        again(|| native::abort(self.client.producer()))
    }

    /// Waits until what was sent has arrived.
    pub(crate) fn settle(&self) {
        if let Err(error) = self.client.producer().flush(Duration::from_secs(10)) {
            tracing::warn!(error = %error, "flushing");
        }
    }

    /// True when the connection was disturbed since the last call.
    pub(crate) fn was_disturbed(&self) -> bool {
        // What was logged before the last call returned is in the queue: see it now, not when the other thread gets to it.
        self.client.take();
        self.disturbance.0.swap(false, Ordering::Relaxed)
    }
}

/// The same call with identical arguments as long as it says "retriable".
pub(crate) fn again(mut call: impl FnMut() -> Result<(), TransactionError>) -> Result<(), TransactionError> {
    loop {
        match call() {
            Err(error) if error.class == Class::Retriable => {
                tracing::debug!(error = error.message, "retriable transaction error");
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
}

pub(crate) fn fenced(stage: &Stage, error: &TransactionError) -> Error {
    Error::Fenced { instance: stage.instance.clone(), detail: error.message.clone() }
}

/// `largest`: the size of the largest record.
pub(crate) fn config(client: &ClientConfig, id: &str, largest: usize) -> ClientConfig {
    let mut config = client.clone();
    config
        .set("transactional.id", id)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("transaction.timeout.ms", "10000")
        .set("message.timeout.ms", "9000")
        // Right after a commit the coordinator may answer CONCURRENT_TRANSACTIONS: the default of 100 ms would cost
        // half of the rate.
        .set("retry.backoff.ms", "2")
        .set("retry.backoff.max.ms", "1000")
        // A commit flushes whatever still lingers, and before it nobody reads any of it: few large batches cost nothing.
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        // What Java clients use; librdkafka's own default would put a key elsewhere.
        .set("partitioner", "murmur2_random")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("message.max.bytes", largest.max(1_000_000).to_string())
        .set("delivery.report.only.error", "true")
        // Lost connections are logged at this level, all of them: see `Disturbance`. It says little else.
        .set("debug", "broker")
        .set_log_level(RDKafkaLogLevel::Debug);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: Class) -> TransactionError {
        TransactionError { class, code: RDKafkaErrorCode::OperationTimedOut, message: String::new() }
    }

    #[test]
    fn a_call_is_made_again_as_long_as_it_says_so_and_no_other_error_is_swallowed() {
        let mut answers = vec![Ok(()), Err(error(Class::Retriable)), Err(error(Class::Retriable))];
        assert!(again(|| answers.pop().unwrap()).is_ok());
        assert!(answers.is_empty());
        for class in [Class::Abortable, Class::Fenced, Class::Unknown] {
            let mut calls = 0;
            let result = again(|| {
                calls += 1;
                Err(error(class))
            });
            assert_eq!((result.unwrap_err().class, calls), (class, 1));
        }
    }
}
