//! What stops a stage, and how errors of Kafka are sorted.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a stage stopped or a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A client couldn't be made: the configuration is wrong.
    #[error("cannot create the {what} client")]
    Client {
        /// Which client.
        what: &'static str,
        /// The cause.
        #[source]
        source: KafkaError,
    },
    /// A call to the cluster failed for good.
    #[error("cannot {what}")]
    Kafka {
        /// What was attempted.
        what: String,
        /// The cause.
        #[source]
        source: KafkaError,
    },
    /// Another copy uses the same instance name.
    #[error("another copy runs with the instance name '{instance}': give each copy its own name ({detail})")]
    Fenced {
        /// The name that is taken.
        instance: String,
        /// What the broker said.
        detail: String,
    },
    /// A group that is waited for finishes nothing.
    #[error("{group} has records of {topic} before it and finishes none: is the service running?")]
    Standstill {
        /// The group.
        group: String,
        /// Its input.
        topic: String,
    },
    /// A topic that the stage needs isn't there.
    #[error("topic {topic} is missing: run `tillstream topics apply`")]
    MissingTopic {
        /// Its name.
        topic: String,
    },
    /// The changelog has another number of partitions than the input, or the input's number changed.
    #[error(
        "{topic} has {found} partitions where the state was written for {expected}: state is bound to its partitions, so a changed count needs a replay into new topics"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// Now.
        found: i32,
        /// Then.
        expected: i32,
    },
    /// The changelog was written by an older version of the program, in a form that is read no more.
    #[error(
        "changelog {topic} was written in format {found}, this version reads only {known}: run the older version, or replay into new topics"
    )]
    OlderChangelog {
        /// The topic.
        topic: String,
        /// Its format.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// The changelog was written by a newer version of the program.
    #[error(
        "changelog {topic} was written in format {found}, this version reads up to {known}: run the newer version"
    )]
    NewerChangelog {
        /// The topic.
        topic: String,
        /// Its format.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// A changelog record that this runtime didn't write.
    #[error("changelog {topic}-{partition} holds a record at offset {offset} that is no state: {detail}")]
    ForeignChangelog {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// What is wrong.
        detail: String,
    },
    /// Records of a changelog were removed again and again while they were read.
    #[error(
        "changelog {topic} loses records while they are read: its cleanup.policy must be compact, and nothing may delete its records"
    )]
    Overtaken {
        /// The topic.
        topic: String,
    },
    /// The changelog has state but doesn't say for which input offset.
    #[error(
        "changelog {topic}-{partition} has state but no input offset: it was cut or written by something else; nothing starts silently from the beginning"
    )]
    NoOffset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Asked to stop while waiting for the cluster. Never leaves the crate but through [`crate::partition_count`].
    #[error("stopped while waiting for the cluster")]
    Stopped,
    /// The local store failed.
    #[error("the local store failed")]
    Store(#[from] crate::StoreError),
    /// A processor said that it can't go on.
    #[error("{0}")]
    Processor(String),
    /// The system refused something, or a thread of our own died.
    #[error("{what}: {detail}")]
    System {
        /// What didn't happen.
        what: &'static str,
        /// What the system said.
        detail: String,
    },
    /// A worker thread died.
    #[error("worker {slot} panicked: {message}")]
    Panicked {
        /// Which one.
        slot: usize,
        /// Its message.
        message: String,
    },
}

/// What to do about an error inside a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// The same call again, with the same arguments.
    Retriable,
    /// Abort, drop the overlay, rewind.
    Abortable,
    /// Another copy has taken the place of this one.
    Fenced,
    /// The outcome isn't known, or the producer is of no use any more: drop it and ask the broker what was committed.
    Unknown,
}

/// An error of a transactional call.
#[derive(Debug, Clone)]
pub(crate) struct TransactionError {
    pub(crate) class: Class,
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) message: String,
}

impl TransactionError {
    pub(crate) fn new(
        code: RDKafkaErrorCode,
        retriable: bool,
        abortable: bool,
        fatal: bool,
        message: String,
    ) -> Self {
        let class = match code {
            _ if retriable => Class::Retriable,
            RDKafkaErrorCode::ProducerFenced | RDKafkaErrorCode::Fenced => Class::Fenced,
            _ if abortable => Class::Abortable,
            _ if fatal => Class::Unknown,
            RDKafkaErrorCode::IllegalGeneration
            | RDKafkaErrorCode::UnknownMemberId
            | RDKafkaErrorCode::RebalanceInProgress
            // The membership's fault, not the producer's: the consumer hears of it with its next heartbeat.
            | RDKafkaErrorCode::FencedInstanceId => Class::Abortable,
            _ => Class::Unknown,
        };
        Self { class, code, message }
    }

    /// Nothing of the transaction counts, because what was read may be wrong.
    pub(crate) fn of_store(error: &crate::StoreError) -> Self {
        Self { class: Class::Abortable, code: RDKafkaErrorCode::NoError, message: error.to_string() }
    }

    pub(crate) fn from_kafka(error: &KafkaError) -> Self {
        match error {
            KafkaError::Transaction(e) => {
                Self::new(e.code(), e.is_retriable(), e.txn_requires_abort(), e.is_fatal(), e.to_string())
            }
            other => {
                let code = other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                Self::new(code, false, false, false, other.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as Code;

    fn class(code: Code, retriable: bool, abortable: bool, fatal: bool) -> Class {
        TransactionError::new(code, retriable, abortable, fatal, String::new()).class
    }

    #[test]
    fn what_can_be_repeated_is_repeated_whatever_else_it_is() {
        assert_eq!(class(Code::OperationTimedOut, true, false, false), Class::Retriable);
        assert_eq!(class(Code::ProducerFenced, true, true, true), Class::Retriable);
    }

    #[test]
    fn a_fenced_producer_is_never_merely_aborted() {
        for code in [Code::ProducerFenced, Code::Fenced] {
            assert_eq!(class(code, false, true, false), Class::Fenced);
            assert_eq!(class(code, false, false, true), Class::Fenced);
        }
    }

    #[test]
    fn a_lost_membership_aborts_and_does_not_stop() {
        for code in [
            Code::IllegalGeneration,
            Code::UnknownMemberId,
            Code::RebalanceInProgress,
            Code::FencedInstanceId,
        ] {
            assert_eq!(class(code, false, false, false), Class::Abortable);
        }
        assert_eq!(class(Code::InvalidTransactionalState, false, true, false), Class::Abortable);
    }

    #[test]
    fn what_is_fatal_or_nobody_knows_is_looked_up() {
        assert_eq!(class(Code::InvalidTransactionalState, false, false, true), Class::Unknown);
        assert_eq!(class(Code::IllegalGeneration, false, false, true), Class::Unknown);
        assert_eq!(class(Code::OperationTimedOut, false, false, false), Class::Unknown);
        assert_eq!(class(Code::State, false, false, false), Class::Unknown);
    }
}
