//! Reading topics to their end and beyond, outside any group: for tables that a service serves from memory.

use std::collections::HashSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Error;
use crate::patience::Patience;
use crate::restore::{assign_only, partitions, watermarks};

/// What to follow.
#[derive(Debug, Clone)]
pub struct Follow {
    /// Bootstrap servers and whatever else the cluster wants of a client.
    pub client: ClientConfig,
    /// Topics, each from its beginning.
    pub topics: Vec<String>,
}

/// What the follower met.
#[derive(Debug)]
pub enum Followed<'a> {
    /// A committed record.
    Record {
        /// Topic.
        topic: &'a str,
        /// Partition.
        partition: i32,
        /// Offset.
        offset: i64,
        /// Milliseconds since 1970.
        timestamp_millis: i64,
        /// Key, empty when there is none.
        key: &'a [u8],
        /// Value; `None` is a tombstone.
        value: Option<&'a [u8]>,
    },
    /// Everything that was there when the follower started has been read. Comes once.
    CaughtUp,
    /// Nothing new for a moment.
    Idle,
}

/// Follows the topics until `stop` says so. Blocks.
pub fn follow(
    follow: &Follow,
    stop: &dyn Fn() -> bool,
    on: &mut dyn FnMut(Followed<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    // Not a group: the id only satisfies the client, and nothing is committed under it.
    let consumer: BaseConsumer = assign_only(&follow.client, "tillstream-follow", "read_committed")
        .set("fetch.wait.max.ms", "200")
        .create()
        .map_err(|source| Error::Client { what: "follow", source })?;
    // First topic by topic, because the end-of-partition event names only the partition: a topic that has been read
    // is paused until the others are. Partitions are only ever added: librdkafka 2.12 aborts the process when one is
    // taken away, given again and taken away in quick succession (rd_kafka_assignment_partition_stopped).
    let mut all = TopicPartitionList::new();
    let patience = Patience { stop, observer: None };
    for topic in &follow.topics {
        let count = match partitions(&consumer, topic, &patience) {
            Err(Error::Stopped) => return Ok(()),
            other => other?,
        };
        let mut behind: HashSet<i32> = (0..count).collect();
        let mut added = TopicPartitionList::new();
        for partition in &behind {
            for list in [&mut added, &mut all] {
                list.add_partition_offset(topic, *partition, Offset::Beginning)
                    .map_err(|source| Error::Kafka { what: format!("follow {topic}-{partition}"), source })?;
            }
        }
        consumer.incremental_assign(&added).map_err(kafka)?;
        while !behind.is_empty() {
            if stop() {
                return Ok(());
            }
            if let Polled::End(partition) = poll(&consumer, on)? {
                behind.remove(&partition);
            }
        }
        consumer.pause(&added).map_err(kafka)?;
    }
    consumer.resume(&all).map_err(kafka)?;
    on(Followed::CaughtUp)?;
    while !stop() {
        match poll(&consumer, on)? {
            Polled::Record => {}
            Polled::End(_) | Polled::Nothing => on(Followed::Idle)?,
        }
    }
    Ok(())
}

/// Reads all committed records that a topic has when it is called, those of transactions that are open then included as
/// soon as they are decided: [`follow`] says that it has caught up when it stands before the first open one. For a tool
/// that is about to act on what it read. True when it was read to its end, and not stopped before.
pub fn read_decided(
    client: &ClientConfig,
    topic: &str,
    stop: &dyn Fn() -> bool,
    on: &mut dyn FnMut(Followed<'_>) -> Result<(), Error>,
) -> Result<bool, Error> {
    let patience = Patience { stop, observer: None };
    match decided(client, topic, &|_| Offset::Beginning, &patience, on) {
        Err(Error::Stopped) => Ok(false),
        other => other.map(|()| true),
    }
}

/// [`read_decided`] from the given place of each partition on.
pub(crate) fn decided(
    client: &ClientConfig,
    topic: &str,
    from: &dyn Fn(i32) -> Offset,
    patience: &Patience<'_>,
    on: &mut dyn FnMut(Followed<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let consumer = |isolation| -> Result<BaseConsumer, Error> {
        assign_only(client, "tillstream-follow", isolation)
            .create()
            .map_err(|source| Error::Client { what: "follow", source })
    };
    let (committed, all) = (consumer("read_committed")?, consumer("read_uncommitted")?);
    let count = partitions(&committed, topic, patience)?;
    let mut behind = HashSet::new();
    let mut list = TopicPartitionList::new();
    for partition in 0..count {
        // Only with read_uncommitted the watermark is the high one: see `restore`.
        let (_, end) = watermarks(&all, topic, partition, patience)?;
        while watermarks(&committed, topic, partition, patience)?.1 < end {
            patience.sleep(Duration::from_millis(50))?;
        }
        list.add_partition_offset(topic, partition, from(partition))
            .map_err(|source| Error::Kafka { what: format!("follow {topic}-{partition}"), source })?;
        behind.insert(partition);
    }
    committed.assign(&list).map_err(kafka)?;
    while !behind.is_empty() {
        if (patience.stop)() {
            return Err(Error::Stopped);
        }
        if let Polled::End(partition) = poll(&committed, on)? {
            behind.remove(&partition);
        }
    }
    on(Followed::CaughtUp)
}

fn kafka(source: KafkaError) -> Error {
    Error::Kafka { what: "follow".to_owned(), source }
}

enum Polled {
    Record,
    End(i32),
    Nothing,
}

fn poll(
    consumer: &BaseConsumer,
    on: &mut dyn FnMut(Followed<'_>) -> Result<(), Error>,
) -> Result<Polled, Error> {
    match consumer.poll(Duration::from_millis(50)) {
        Some(Ok(message)) => {
            on(Followed::Record {
                topic: message.topic(),
                partition: message.partition(),
                offset: message.offset(),
                timestamp_millis: message.timestamp().to_millis().unwrap_or(0),
                key: message.key().unwrap_or_default(),
                value: message.payload(),
            })?;
            Ok(Polled::Record)
        }
        Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Polled::End(partition)),
        Some(Err(error))
            if matches!(
                error.rdkafka_error_code(),
                Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
            ) =>
        {
            // The next record is gone: going on would serve what is stale without a word.
            Err(kafka(error))
        }
        Some(Err(error)) => {
            tracing::warn!(error = %error, "following, trying again");
            Ok(Polled::Nothing)
        }
        None => Ok(Polled::Nothing),
    }
}

/// The number of partitions of a topic. Waits for the cluster until `stop` says so, then with [`Error::Stopped`].
pub fn partition_count(client: &ClientConfig, topic: &str, stop: &dyn Fn() -> bool) -> Result<i32, Error> {
    let consumer: BaseConsumer = assign_only(client, "tillstream-follow", "read_committed")
        .create()
        .map_err(|source| Error::Client { what: "metadata", source })?;
    partitions(&consumer, topic, &Patience { stop, observer: None })
}
