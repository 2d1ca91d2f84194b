//! The two readers of the claims topic.
//!
//! Claims must be seen while other transactions are open, so one reader takes claims as they stand there. An answer counts
//! only when its transaction is committed, so another reader takes answers, behind all that is undecided. Each tells who
//! waits for a record of its own that everything before that record has been taken in.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use commerce::Mark;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode::TopicAuthorizationFailed;
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use service::health::Part;
use service::{Shutdown, clock};
use topics::Topic;

use super::entry::{Answer, Entry};
use super::shared::Shared;
use super::table::Place;
use super::wants;

/// For one look at the brokers.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So often it is looked whether the end has come.
const POLL: Duration = Duration::from_millis(200);
/// Between two times of forgetting, in records.
const FORGET_EVERY: u32 = 10_000;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum View {
    /// Everything, as it stands there.
    Claims,
    /// What is committed, and nothing behind what is undecided.
    Answers,
}

impl View {
    pub(crate) const ALL: [Self; 2] = [Self::Claims, Self::Answers];

    const fn isolation(self) -> &'static str {
        match self {
            Self::Claims => "read_uncommitted",
            Self::Answers => "read_committed",
        }
    }
}

/// Reads until the end. Ready once all that was there at the start has been read.
pub(crate) fn run(view: View, client: &ClientConfig, shared: &Shared, part: &Part, end: &Shutdown) {
    let topic = Topic::Claims.name();
    let mut said = String::new();
    let consumer = loop {
        match assigned(view, client) {
            Ok(consumer) => break consumer,
            Err(Lack::Brokers(reason)) => {
                part.not_ready(reason);
                if end.sleep(LOOK_AGAIN) {
                    return;
                }
            }
            Err(Lack::Topic(reason)) => {
                if said != reason {
                    tracing::error!(?view, reason, "requests with a key can't be answered");
                }
                wants(part, &reason);
                said = reason;
                if end.sleep(LOOK_AGAIN) {
                    return;
                }
            }
        }
    };
    let (consumer, mut behind) = consumer;
    // Who waited for a person goes on taking the others in while it reads.
    if said.is_empty() {
        part.not_ready(format!("reads {topic}"));
    } else {
        wants(part, &format!("reads {topic}"));
    }
    let mut since = 0;
    while !end.is_triggered() {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                shared.take(view, message.key(), message.payload(), message.partition(), message.offset());
                since += 1;
                if since >= FORGET_EVERY {
                    since = 0;
                    shared.forget(clock::now());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                let first_time = behind.remove(&partition);
                if first_time && behind.is_empty() {
                    shared.forget(clock::now());
                    part.ready(format!("{topic} is read, {} keys", shared.len()));
                }
            }
            // Whatever it is, librdkafka tries again by itself; who waits for a record is told to come again.
            Some(Err(error)) => {
                tracing::warn!(?view, %error, "reading claims");
                if !behind.is_empty() && error.rdkafka_error_code() == Some(TopicAuthorizationFailed) {
                    wants(part, &format!("this client may not read {topic}"));
                }
            }
        }
    }
}

/// Why there is nothing to read.
enum Lack {
    /// It passes.
    Brokers(String),
    /// A person has to mend it.
    Topic(String),
}

/// A consumer of the whole topic from its beginning, and its partitions.
fn assigned(view: View, client: &ClientConfig) -> Result<(BaseConsumer, HashSet<i32>), Lack> {
    let topic = Topic::Claims.name();
    let lack = |error: &KafkaError| Lack::Brokers(format!("no reader of {topic}: {error}"));
    let consumer = consumer(view, client).map_err(|error| lack(&error))?;
    let metadata = consumer
        .fetch_metadata(Some(topic), LOOK_WITHIN)
        .map_err(|error| Lack::Brokers(format!("no broker answers: {error}")))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
    let partitions: HashSet<i32> =
        found.into_iter().flat_map(|found| found.partitions()).map(|partition| partition.id()).collect();
    if partitions.is_empty() {
        return Err(Lack::Topic(format!(
            "topic {topic} isn't there for this client: run `tillstream topics apply`, or let it read the topic"
        )));
    }
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition_offset(topic, *partition, Offset::Beginning).map_err(|error| lack(&error))?;
    }
    consumer.assign(&list).map_err(|error| lack(&error))?;
    Ok((consumer, partitions))
}

fn consumer(view: View, client: &ClientConfig) -> Result<BaseConsumer, KafkaError> {
    let mut config = client.clone();
    config
        // Not a group: the id only satisfies the client.
        .set("group.id", "tillstream-claims")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // The beginning moves as records grow old. To read a record twice changes nothing.
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", view.isolation())
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.queue.backoff.ms", "2");
    config.create()
}

/// Fetches one answer from where it stands. Blocks.
pub(crate) fn fetch(client: &ClientConfig, place: Place, within: Duration) -> Result<Answer, String> {
    let topic = Topic::Claims.name();
    // That it is committed is known.
    let consumer = consumer(View::Claims, client).map_err(|error| error.to_string())?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, place.partition, Offset::Offset(place.offset))
        .map_err(|error| error.to_string())?;
    consumer.assign(&list).map_err(|error| error.to_string())?;
    let began = Instant::now();
    loop {
        let left = within.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(format!("{topic}-{} at {} wasn't read in time", place.partition, place.offset));
        }
        match consumer.poll(left.min(POLL)) {
            Some(Ok(message)) if message.offset() == place.offset => {
                return match message.payload().map(serde_json::from_slice) {
                    Some(Ok(Entry::Answer(answer))) if answer.claim == place.claim => Ok(answer),
                    _ => Err(format!("{topic}-{} has no answer at {}", place.partition, place.offset)),
                };
            }
            Some(Ok(message)) => {
                return Err(format!("{topic} goes on at {}, not {}", message.offset(), place.offset));
            }
            None | Some(Err(_)) => {}
        }
    }
}

impl Shared {
    /// Takes in a record.
    fn take(&self, view: View, key: Option<&[u8]>, value: Option<&[u8]>, partition: i32, offset: i64) {
        let key = key.and_then(|key| std::str::from_utf8(key).ok()).and_then(Mark::from_hex);
        let entry = value.and_then(|value| serde_json::from_slice::<Entry>(value).ok());
        let (Some(key), Some(entry)) = (key, entry) else {
            // What another version wrote; without it a key may be taken for a new one, and stages downstream find out.
            tracing::warn!(partition, offset, "a record of the claims can't be read and is left out");
            return;
        };
        match (view, &entry) {
            (View::Claims, Entry::Claim(claim)) => self.table().claim(key, claim, Instant::now()),
            (View::Claims, Entry::Release { claim }) => self.table().release(key, *claim),
            (View::Answers, Entry::Answer(answer)) => self.table().answer(answer, partition, offset),
            _ => {}
        }
        match (view, entry) {
            (_, Entry::Claim(claim)) => self.passed(view, claim.id),
            (_, Entry::Look { id }) => self.passed(view, id),
            (View::Answers, Entry::Answer(answer)) => self.keep(answer),
            _ => {}
        }
    }
}
