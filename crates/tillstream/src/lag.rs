//! `lag`: how far each stage is behind its input.
//!
//! Offsets alone say it badly: the marker behind each transaction takes one, so a stage that has read everything looks
//! behind. Where the distance is short, the records in it are counted instead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;
use service::Config;
use service::stage::Plan;
use topics::Topic;

use crate::replay::list;
use crate::{Output, Stop, data};

/// One request to the cluster.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest distance in offsets that is counted out.
const COUNTED: i64 = 1_000;
/// How long counting may take, for all partitions of a stage.
const COUNTING: Duration = Duration::from_secs(5);

/// The stages before the figures, in the order of the flow.
const STAGES: [&Plan; 2] = [&normalizer::PLAN, &state::PLAN];

/// `lag`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How to write the list.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Where a stage stands in one partition of its input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Place {
    /// Consumer group.
    pub group: String,
    /// Its input.
    pub topic: &'static str,
    /// Partition.
    pub partition: i32,
    /// True for the partition of labelled loads, which is read at a rate.
    pub slow_lane: bool,
    /// The offset up to which it has committed; `None` before its first commit.
    pub committed: Option<i64>,
    /// The end of what is decided: a reader of committed records gets no further.
    pub end: i64,
    /// Records that it could read: counted where there are few, else the distance in offsets.
    pub lag: i64,
    /// Offsets beyond, of transactions that are still open.
    pub open: i64,
}

/// The two ends of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The first record that is kept.
    pub start: i64,
    /// The end of what is decided.
    pub stable: i64,
    /// The end.
    pub high: i64,
}

/// Runs the command.
pub fn run(config: &Config, args: &Args) -> Result<(), Stop> {
    let places = places(config)?;
    if args.output == Output::Json {
        return places.iter().try_for_each(|place| data(&serde_json::to_string(place)?));
    }
    data(&format!(
        "{:<22} {:<20} {:>9} {:>12} {:>12} {:>9} {:>6}",
        "group", "topic", "partition", "committed", "end", "lag", "open"
    ))?;
    for place in &places {
        data(&format!(
            "{:<22} {:<20} {:>9} {:>12} {:>12} {:>9} {:>6}{}",
            place.group,
            place.topic,
            place.partition,
            place.committed.map_or_else(|| "-".to_owned(), |offset| offset.to_string()),
            place.end,
            place.lag,
            place.open,
            if place.slow_lane { "  slow lane" } else { "" }
        ))?;
    }
    Ok(())
}

/// Where all stages stand, the aggregator once for each version of the figures.
pub fn places(config: &Config) -> anyhow::Result<Vec<Place>> {
    let mut places = Vec::new();
    for plan in STAGES {
        let (name, has_lane) =
            (format!("tillstream-{}", plan.name), (plan.lane_per_second)(config).is_some());
        places.extend(group(config, &name, plan.input, has_lane)?);
    }
    for version in list::read(config)?.all {
        places.extend(group(config, &version.name.group(), aggregator::PLAN.input, false)?);
    }
    Ok(places)
}

/// Where a group stands in its input. `has_lane`: the last partition is the slow lane, where there are several.
pub fn group(config: &Config, group: &str, input: Topic, has_lane: bool) -> anyhow::Result<Vec<Place>> {
    of(config, group, input, has_lane).with_context(|| format!("the lag of {group}"))
}

fn of(config: &Config, group: &str, input: Topic, has_lane: bool) -> anyhow::Result<Vec<Place>> {
    let topic = input.name();
    // Uncommitted: an open transaction of the group would have to be waited for otherwise.
    let any = client(config, group, "read_uncommitted")?;
    let mut asked = TopicPartitionList::new();
    for partition in partitions(&any, topic)? {
        asked.add_partition(topic, partition);
    }
    // Before the ends: what is committed meanwhile isn't ahead of them then.
    let committed = any.committed_offsets(asked, ANSWER)?;
    let ends = ends(config, &[input])?;
    let last = ends.keys().map(|(_, partition)| *partition).max();
    let has_lane = has_lane && last > Some(0);
    let mut places = Vec::new();
    for ((_, partition), ends) in ends {
        let found = committed.find_partition(topic, partition).map(|found| found.offset());
        let committed = match found {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        };
        let from = committed.unwrap_or(ends.start).max(ends.start);
        places.push(Place {
            group: group.to_owned(),
            topic,
            partition,
            slow_lane: has_lane && last == Some(partition),
            committed,
            end: ends.stable,
            lag: (ends.stable - from).max(0),
            open: (ends.high - ends.stable).max(0),
        });
    }
    count(config, &mut places)?;
    Ok(places)
}

/// Counts the records of short distances.
fn count(config: &Config, places: &mut [Place]) -> anyhow::Result<()> {
    let mut list = TopicPartitionList::new();
    let mut left = BTreeSet::new();
    for place in places.iter().filter(|place| (1..=COUNTED).contains(&place.lag)) {
        list.add_partition_offset(place.topic, place.partition, Offset::Offset(place.end - place.lag))?;
        left.insert(place.partition);
    }
    if left.is_empty() {
        return Ok(());
    }
    // Not in the group: an assignment of its own, and nothing is committed.
    let consumer = client(config, "tillstream-lag", "read_committed")?;
    consumer.assign(&list)?;
    let mut counts: BTreeMap<i32, i64> = left.iter().map(|partition| (*partition, 0)).collect();
    let deadline = Instant::now() + COUNTING;
    while !left.is_empty() && Instant::now() < deadline {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                let place = places.iter().find(|place| place.partition == record.partition());
                if place.is_some_and(|place| record.offset() < place.end) {
                    *counts.entry(record.partition()).or_default() += 1;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    for place in places {
        if let (Some(count), false) = (counts.get(&place.partition), left.contains(&place.partition)) {
            place.lag = *count;
        }
    }
    Ok(())
}

/// The ends of all partitions of these topics.
pub fn ends(config: &Config, topics: &[Topic]) -> anyhow::Result<BTreeMap<(Topic, i32), Ends>> {
    // What is asked for as uncommitted is the high watermark, as committed the last stable offset.
    let stable = client(config, "tillstream-lag", "read_committed")?;
    let high = client(config, "tillstream-lag", "read_uncommitted")?;
    let mut ends = BTreeMap::new();
    for topic in topics {
        for partition in partitions(&stable, topic.name())? {
            let (start, stable) = stable.fetch_watermarks(topic.name(), partition, ANSWER)?;
            let (_, high) = high.fetch_watermarks(topic.name(), partition, ANSWER)?;
            ends.insert((*topic, partition), Ends { start, stable, high });
        }
    }
    Ok(ends)
}

/// The values of the last committed records of each partition, at most `most` offsets from its end.
pub fn last(config: &Config, topic: Topic, most: i64) -> anyhow::Result<Vec<Vec<u8>>> {
    let ends = ends(config, &[topic])?;
    let mut list = TopicPartitionList::new();
    let mut left = BTreeSet::new();
    for ((_, partition), ends) in ends.iter().filter(|(_, ends)| ends.stable > ends.start) {
        let from = (ends.stable - most).max(ends.start);
        list.add_partition_offset(topic.name(), *partition, Offset::Offset(from))?;
        left.insert(*partition);
    }
    let mut values = Vec::new();
    if left.is_empty() {
        return Ok(values);
    }
    let consumer = client(config, "tillstream-lag", "read_committed")?;
    consumer.assign(&list)?;
    let deadline = Instant::now() + ANSWER;
    while !left.is_empty() {
        anyhow::ensure!(Instant::now() < deadline, "{topic} couldn't be read to its end in time");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => values.extend(record.payload().map(<[u8]>::to_vec)),
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(left.remove(&partition)),
            Some(Err(error)) => return Err(error.into()),
            None => {}
        }
    }
    Ok(values)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), ANSWER)?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let partitions =
        found.filter(|found| found.error().is_none()).map(rdkafka::metadata::MetadataTopic::partitions);
    let partitions = partitions.filter(|partitions| !partitions.is_empty());
    let partitions = partitions.with_context(|| format!("there is no topic {topic}"))?;
    Ok(partitions.iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn client(config: &Config, group: &str, isolation: &str) -> anyhow::Result<BaseConsumer> {
    Ok(service::kafka::client_config(config)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", isolation)
        .create()?)
}
