//! `replay start`: the topics of a new version, and its place in the list.

use std::collections::BTreeMap;

use anyhow::anyhow;
use commerce::EventTime;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use service::Config;
use stream::{Extent, Position, extents, offsets_at};
use topics::{Topic, Version, version::Entry};

use super::list::Hand;
use super::{list, name, say};
use crate::{Output, Stop, topic};

/// `replay start`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The new version's name: up to 16 lower-case letters and digits.
    #[arg(long, value_name = "NAME", value_parser = name)]
    version: Version,
    /// Only facts that arrived since then (RFC 3339). The days before have wrong figures then, so it can't be switched to
    /// without --force.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Says what would be done, and does nothing.
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(config: &Config, args: &Args) -> Result<(), Stop> {
    let from = args.from.as_deref().map(commerce::time::parse_received).transpose();
    let from = from.map_err(|e| Stop::Usage(anyhow!("--from: {e}")))?;
    let name = &args.version;
    let entry = Entry {
        name: name.clone(),
        begun_at: Some(service::clock::now().as_event().to_rfc3339()),
        from: from.map(|at| EventTime(at.0).to_rfc3339()),
        was_served: false,
    };
    let own = [(name.metrics(), Topic::Metrics), (name.changelog(), Topic::AggregatorChangelog)];
    let client = service::kafka::client_config(config);
    let facts = extents(&client, Topic::Facts.name(), &|| false)?;
    let starts = from
        .map(|at| offsets_at(&client, Topic::Facts.name(), at.0.div_euclid(1000), &|| false))
        .transpose()?;
    if starts.is_none() {
        whole(&facts)?;
    }
    let left = waiting(&facts, starts.as_ref());
    if args.dry_run {
        list::read(config)?.begun(entry).map_err(|why| Stop::Failed(anyhow!(why)))?;
        unused(config, &own)?;
        return say(
            args.output,
            &json!({"version": name, "facts_at_most": left, "topics": own.clone().map(|(topic, _)| topic)}),
            &format!("{name} would be made from at most {left} facts, in {} and {}", own[0].0, own[1].0),
        );
    }
    let hand = Hand::take(config)?;
    let versions = hand.read()?.begun(entry).map_err(|why| Stop::Failed(anyhow!(why)))?;
    unused(config, &own)?;
    let partitions = i32::try_from(facts.len())?;
    topic::admin(config, topic::replication(config)?)?.create_like(&own, partitions)?;
    if let Some(starts) = &starts {
        hand.writer().begin_at(&name.changelog(), starts)?;
        stands_at(config, name, starts)?;
    }
    hand.write(&versions)?;
    say(
        args.output,
        &json!({"version": name, "facts_at_most": left, "served": versions.served}),
        &format!(
            "the aggregator makes version {name} from at most {left} facts, and from those that come; \
             `tillstream replay status` says how far it is"
        ),
    )
}

/// Has the group stand where its state does, also in partitions to which nothing comes: how far it is behind is counted
/// from there.
fn stands_at(config: &Config, name: &Version, starts: &Position) -> anyhow::Result<()> {
    let group: BaseConsumer = service::kafka::client_config(config).set("group.id", name.group()).create()?;
    let mut list = TopicPartitionList::new();
    for (partition, offset) in starts {
        list.add_partition_offset(Topic::Facts.name(), *partition, Offset::Offset(*offset))?;
    }
    Ok(group.commit(&list, CommitMode::Sync)?)
}

/// The first facts must be there: what a later one takes back was never added otherwise.
fn whole(facts: &BTreeMap<i32, Extent>) -> Result<(), Stop> {
    match facts.iter().find(|(_, extent)| extent.low > 0) {
        None => Ok(()),
        Some((partition, extent)) => Err(Stop::Failed(anyhow!(
            "the facts of {}-{partition} begin at offset {}: the first ones are gone, and figures without them would be \
             wrong; --from makes a version of the later ones, to look at",
            Topic::Facts,
            extent.low
        ))),
    }
}

/// How many offsets there are to be read.
fn waiting(facts: &BTreeMap<i32, Extent>, starts: Option<&Position>) -> i64 {
    let from = |partition: &i32, extent: &Extent| {
        starts.and_then(|starts| starts.get(partition)).map_or(extent.low, |start| extent.low.max(*start))
    };
    facts.iter().map(|(partition, extent)| (extent.high - from(partition, extent)).max(0)).sum()
}

/// Topics of that name may only be what an earlier version has left, whose state would be taken for the new one's.
fn unused(config: &Config, own: &[(String, Topic)]) -> Result<(), Stop> {
    let there = topic::names(config)?;
    match own.iter().find(|(name, _)| there.contains(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Stop::Failed(anyhow!(
            "{name} is left of an earlier version: choose another name, or delete it with `tillstream replay drop`"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_whose_first_ones_are_gone_make_no_whole_version() {
        let extent = |low, high| Extent { low, high };
        assert!(whole(&BTreeMap::from([(0, extent(0, 5)), (1, extent(0, 0))])).is_ok());
        let Err(Stop::Failed(error)) = whole(&BTreeMap::from([(0, extent(0, 5)), (1, extent(3, 9))])) else {
            panic!("it was taken");
        };
        assert!(error.to_string().contains("-1 begin at offset 3"), "{error}");
    }

    #[test]
    fn what_waits_is_counted_from_the_start_or_from_the_first_that_is_left() {
        let facts = BTreeMap::from([(0, Extent { low: 2, high: 10 }), (1, Extent { low: 0, high: 4 })]);
        assert_eq!(waiting(&facts, None), 12);
        assert_eq!(waiting(&facts, Some(&Position::from([(0, 9), (1, 4)]))), 1);
        assert_eq!(waiting(&facts, Some(&Position::from([(0, 1), (1, 3)]))), 9);
    }
}
