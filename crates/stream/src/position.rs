//! Where a group stands in its input, seen from outside: for tools that compare what a stage has made with what it had.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::Error;
use crate::follow::{Followed, decided};
use crate::patience::{CALL, Patience};
use crate::restore::{assign_only, committed, partitions, watermarks};

/// A group that finishes nothing for that long is not waited for.
const STANDSTILL: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// By partition, the next record that a group will process.
pub type Position = BTreeMap<i32, i64>;

/// What a topic holds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first offset that is there.
    pub low: i64,
    /// The offset after the last.
    pub high: i64,
}

/// The extents of a topic's partitions.
pub fn extents(
    client: &ClientConfig,
    topic: &str,
    stop: &dyn Fn() -> bool,
) -> Result<BTreeMap<i32, Extent>, Error> {
    let patience = Patience { stop, observer: None };
    let consumer = consumer(client, "tillstream-follow")?;
    let mut found = BTreeMap::new();
    for partition in 0..partitions(&consumer, topic, &patience)? {
        let (low, high) = watermarks(&consumer, topic, partition, &patience)?;
        found.insert(partition, Extent { low, high });
    }
    Ok(found)
}

/// By partition, the first record whose timestamp isn't before `millis`; where there is none, the end.
pub fn offsets_at(
    client: &ClientConfig,
    topic: &str,
    millis: i64,
    stop: &dyn Fn() -> bool,
) -> Result<Position, Error> {
    let patience = Patience { stop, observer: None };
    let consumer = consumer(client, "tillstream-follow")?;
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions(&consumer, topic, &patience)? {
        asked
            .add_partition_offset(topic, partition, Offset::Offset(millis))
            .map_err(|source| Error::Kafka { what: format!("ask for times of {topic}"), source })?;
    }
    let what = format!("look for a time in {topic}");
    let found = patience.insist(&what, || {
        let found = consumer.offsets_for_times(asked.clone(), CALL)?;
        found.elements().iter().try_for_each(|element| element.error())?;
        Ok(found)
    })?;
    let mut offsets = Position::new();
    for element in found.elements() {
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => watermarks(&consumer, topic, element.partition(), &patience)?.1,
        };
        offsets.insert(element.partition(), offset);
    }
    Ok(offsets)
}

/// Waits until a group has finished all records that its input has when this is called, and gives where it stands then:
/// whatever it made of what is before that is visible. Says how many partitions are left. A group that stands still with
/// records before it is an error.
pub fn wait_until_finished(
    client: &ClientConfig,
    group: &str,
    topic: &str,
    stop: &dyn Fn() -> bool,
    waiting: &mut dyn FnMut(usize),
) -> Result<Position, Error> {
    let patience = Patience { stop, observer: None };
    let consumer = consumer(client, group)?;
    let all: Vec<i32> = (0..partitions(&consumer, topic, &patience)?).collect();
    let position = || -> Result<Position, Error> {
        let found = committed(&consumer, topic, &all, &patience)?;
        Ok(found.into_iter().map(|(partition, next)| (partition, next.unwrap_or(0))).collect())
    };
    let mut at = position()?;
    // The marks of transactions take offsets too: where a group stands is compared with records, not with ends.
    let mut last: Position = BTreeMap::new();
    let from = |partition: i32| match at.get(&partition) {
        Some(0) | None => Offset::Beginning,
        Some(next) => Offset::Offset(*next),
    };
    decided(client, topic, &from, &patience, &mut |followed| {
        if let Followed::Record { partition, offset, .. } = followed {
            last.insert(partition, offset);
        }
        Ok(())
    })?;
    let mut moved = Instant::now();
    loop {
        let behind = |partition: &&i32| last.get(*partition) >= at.get(*partition);
        let left = last.keys().filter(behind).count();
        if left == 0 {
            return Ok(at);
        }
        waiting(left);
        if moved.elapsed() >= STANDSTILL {
            return Err(Error::Standstill { group: group.to_owned(), topic: topic.to_owned() });
        }
        patience.sleep(PAUSE)?;
        let next = position()?;
        if next != at {
            (at, moved) = (next, Instant::now());
        }
    }
}

fn consumer(client: &ClientConfig, group: &str) -> Result<BaseConsumer, Error> {
    assign_only(client, group, "read_uncommitted")
        .create()
        .map_err(|source| Error::Client { what: "position", source })
}
