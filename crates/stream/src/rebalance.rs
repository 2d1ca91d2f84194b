//! Rebalances are noted by the callback and carried out by the worker's loop.
//!
//! librdkafka waits for the application's assign or unassign call, wherever it is made, before the rebalance goes on.
//! So the callback only takes the note, and the loop commits what is open before it hands a partition over.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;

/// What the group wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wish {
    Assign(Vec<i32>),
    Revoke(Vec<i32>),
}

#[derive(Default)]
struct Notes {
    wishes: VecDeque<Wish>,
    /// End of each input partition as the last statistics said, below open transactions.
    ends: HashMap<i32, i64>,
    /// Number of partitions of the input as the last statistics said.
    partitions: Option<i32>,
    /// Set when the loop has ended: nobody reads the notes any more, so the callback gives back by itself.
    closing: bool,
}

/// The consumer's context: a notebook.
#[derive(Clone, Default)]
pub(crate) struct Rebalances(Arc<Mutex<Notes>>);

impl Rebalances {
    pub(crate) fn take(&self) -> Option<Wish> {
        self.lock().wishes.pop_front()
    }

    /// The loop has ended; what is revoked from now on is given back at once.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
    }

    /// The known end of a partition.
    pub(crate) fn end_of(&self, partition: i32) -> Option<i64> {
        self.lock().ends.get(&partition).copied()
    }

    /// The known number of partitions of the input.
    pub(crate) fn partitions(&self) -> Option<i32> {
        self.lock().partitions
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Rebalances {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(error = %error, reason, "kafka client error");
    }

    fn stats(&self, statistics: Statistics) {
        let ends = statistics
            .topics
            .values()
            .flat_map(|topic| topic.partitions.values())
            .filter(|partition| partition.partition >= 0 && partition.ls_offset >= 0)
            .map(|partition| (partition.partition, partition.ls_offset))
            .collect();
        let known = |topic: &rdkafka::statistics::Topic| topic.partitions.keys().filter(|n| **n >= 0).count();
        let partitions = statistics.topics.values().map(known).max().and_then(|n| i32::try_from(n).ok());
        let mut notes = self.lock();
        notes.ends = ends;
        notes.partitions = partitions.filter(|n| *n > 0);
    }
}

impl ConsumerContext for Rebalances {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if self.lock().closing {
            let given_back = match error {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                    consumer.incremental_unassign(partitions)
                }
                _ => consumer.unassign(),
            };
            if let Err(error) = given_back {
                tracing::debug!(error = %error, "giving partitions back while closing");
            }
            return;
        }
        let numbers = partitions.elements().iter().map(|p| p.partition()).collect();
        let wish = match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Wish::Assign(numbers),
            // rdkafka calls this for nothing else.
            _ => Wish::Revoke(numbers),
        };
        self.lock().wishes.push_back(wish);
    }
}
