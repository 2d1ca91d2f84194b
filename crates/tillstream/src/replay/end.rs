//! `replay switch` and `replay drop`: which version is served, and which are no more.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use commerce::metric::is_of_the_state;
use serde_json::json;
use service::Config;
use stream::{Followed, Outgoing, WriteError, extents, read_decided};
use topics::{Admin, Topic, Version, Versions};

use super::list::Hand;
use super::{list, name, say, status};
use crate::progress::Progress;
use crate::{Output, Stop, identity, topic};

/// A version that is further behind than this isn't waited for: a switch would show figures of long ago.
const NEAR: i64 = 10_000;
/// A copy of the aggregator that was killed is a member of its group for a session.
const LEAVES_WITHIN: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// So many deletions make a transaction.
const DELETIONS: usize = 2_000;

/// `replay switch`
#[derive(clap::Args, Debug)]
pub struct SwitchArgs {
    /// The version that reports are to be answered from.
    #[arg(value_parser = name)]
    version: Version,
    /// Also one that is far behind, or that was made from a part of the facts.
    #[arg(long)]
    force: bool,
    /// Says whether it could be done, and doesn't.
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// `replay drop`
#[derive(clap::Args, Debug)]
pub struct DropArgs {
    /// The version to end.
    #[arg(value_parser = name)]
    version: Version,
    /// Doesn't ask.
    #[arg(long)]
    yes: bool,
    /// Also one that doesn't finish the facts that are there. Dead letters of those it hasn't seen may be missing then.
    #[arg(long)]
    force: bool,
    /// Says what would be deleted, and deletes nothing.
    #[arg(long)]
    dry_run: bool,
    /// How to write the answer.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Why a version may not be switched to as it is.
fn doubt(versions: &Versions, version: &Version, behind: i64) -> Option<String> {
    let entry = versions.get(version)?;
    if let Some(from) = &entry.from {
        return Some(format!("it has only the facts since {from}: the days before would be wrong"));
    }
    (behind > NEAR).then(|| format!("it is {behind} facts behind"))
}

/// Runs `replay switch`.
pub fn switch(config: &Config, args: &SwitchArgs) -> Result<(), Stop> {
    let name = &args.version;
    let versions = list::read(config)?;
    let before = versions.served.clone();
    if before == *name {
        let document = json!({"served": name, "before": before});
        return say(args.output, &document, &format!("{name} is served already"));
    }
    versions.clone().switched(name).map_err(|why| Stop::Failed(anyhow!(why)))?;
    if !args.force {
        if let Some(doubt) = doubt(&versions, name, status::behind(config, name)?) {
            return Err(Stop::Failed(anyhow!(
                "{name} isn't switched to: {doubt}; --force does it nevertheless"
            )));
        }
        // What is served now may contain all of these.
        status::caught_up(config, name)?;
    }
    if args.dry_run {
        let document = json!({"served": before, "would_be": name});
        return say(args.output, &document, &format!("{name} could be served instead of {before}"));
    }
    let hand = Hand::take(config)?;
    let switched = hand.read()?.switched(name).map_err(|why| Stop::Failed(anyhow!(why)))?;
    hand.write(&switched)?;
    say(
        args.output,
        &json!({"served": name, "before": before}),
        &format!(
            "{name} is served; {before} is kept beside it until `tillstream replay drop {before}`, and \
             `tillstream replay switch {before}` goes back"
        ),
    )
}

/// Runs `replay drop`. It can be repeated until nothing is left.
pub fn drop_version(config: &Config, args: &DropArgs) -> Result<(), Stop> {
    let name = &args.version;
    let versions = list::read(config)?;
    let there = topic::names(config)?;
    let own: Vec<String> = [name.metrics(), name.changelog()]
        .into_iter()
        .filter(|own| !name.is_main() && there.contains(own))
        .collect();
    let is_listed = versions.get(name).is_some();
    if is_listed {
        versions.clone().dropped(name).map_err(|why| Stop::Failed(anyhow!(why)))?;
    } else if own.is_empty() && !name.is_main() {
        return Err(Stop::Failed(anyhow!("there is no version {name}")));
    }
    let what = if name.is_main() {
        format!("the figures in {} and the state in {}", name.metrics(), name.changelog())
    } else {
        own.join(" and ")
    };
    if args.dry_run {
        let document = json!({"version": name, "would_delete": own});
        return say(args.output, &document, &format!("{what} would be deleted"));
    }
    if !args.yes && !identity::confirmed(&format!("This ends version {name} and deletes {what}."))? {
        return Err(Stop::Failed(anyhow!("nothing was done")));
    }
    // What the served version had when it was switched to, this one must have had too: of facts in between that can't be
    // read nobody else wrote the letters.
    if is_listed && !args.force && versions.get(name).is_some_and(|entry| entry.was_served) {
        status::caught_up(config, name)?;
    }
    let hand = Hand::take(config)?;
    let listed = hand.read()?;
    if listed.get(name).is_some() {
        hand.write(&listed.dropped(name).map_err(|why| Stop::Failed(anyhow!(why)))?)?;
    }
    let admin = topic::admin(config, topic::replication(config)?)?;
    leave(&admin, name)?;
    if name.is_main() {
        empty(config, &hand)?;
    } else {
        admin.delete_unlisted(&own)?;
    }
    say(args.output, &json!({"dropped": name}), &format!("{name} is no more: {what} are deleted"))
}

/// Waits until nobody works on the version any more, and forgets where it stood: offsets without the state that belongs to
/// them would stop a later version of that name.
fn leave(admin: &Admin, name: &Version) -> Result<(), Stop> {
    let deadline = Instant::now() + LEAVES_WITHIN;
    loop {
        match admin.delete_group(&name.group()) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                let why = format!("{} still has members; repeat it when they are gone", name.group());
                return Err(Stop::Failed(anyhow::Error::from(error).context(why)));
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Deletes the figures and the state of the first version, whose topics are in the list and stay: a figure that nobody keeps
/// any more must not look like one that is. What the state stage keeps stays, too.
fn empty(config: &Config, hand: &Hand<'_>) -> Result<(), Stop> {
    delete(config, hand, Topic::Metrics, &|key| !is_of_the_state(key))?;
    delete(config, hand, Topic::AggregatorChangelog, &|_| true)
}

/// Deletes the records of a compacted topic whose keys are gone for good, as they are met: however many there are, one
/// transaction's keys are in memory. It can be repeated.
fn delete(
    config: &Config,
    hand: &Hand<'_>,
    topic: Topic,
    is_gone: &dyn Fn(&[u8]) -> bool,
) -> Result<(), Stop> {
    let client = service::kafka::client_config(config);
    let there: i64 =
        extents(&client, topic.name(), &|| false)?.values().map(|extent| extent.high - extent.low).sum();
    let mut progress = Progress::new("deleted", u64::try_from(there).unwrap_or(0));
    let mut seen = 0;
    let mut tombstones = Tombstones::default();
    let failed: RefCell<Option<WriteError>> = RefCell::new(None);
    let write = |keys: &BTreeSet<Place>| {
        if let Err(error) = hand.writer().write(&outgoing(topic, keys)) {
            failed.replace(Some(error));
        }
    };
    read_decided(&client, topic.name(), &|| failed.borrow().is_some(), &mut |met| {
        if let Followed::Record { key, value, partition, .. } = met
            && is_gone(key)
        {
            if let Some(full) = tombstones.meet((partition, key.to_vec()), value.is_some()) {
                write(&full);
            }
            seen += 1;
            progress.reach(seen, topic.name());
        }
        Ok(())
    })?;
    if failed.borrow().is_none() {
        write(&tombstones.waiting);
    }
    progress.end();
    failed.into_inner().map_or(Ok(()), |error| Err(error.into()))
}

/// A partition and a key: each partition of a changelog has keys of the same name.
type Place = (i32, Vec<u8>);

/// The keys that are to be deleted with the next transaction.
#[derive(Default)]
struct Tombstones {
    waiting: BTreeSet<Place>,
}

impl Tombstones {
    /// A record is met; gives the keys of a transaction as soon as there are enough for one.
    fn meet(&mut self, place: Place, has_value: bool) -> Option<BTreeSet<Place>> {
        if has_value {
            self.waiting.insert(place);
        } else {
            self.waiting.remove(&place);
        }
        (self.waiting.len() >= DELETIONS).then(|| std::mem::take(&mut self.waiting))
    }
}

/// The deletions as records.
fn outgoing(topic: Topic, keys: &BTreeSet<Place>) -> Vec<Outgoing<'_>> {
    let tombstone = |(partition, key)| Outgoing {
        topic: topic.name(),
        partition: Some(partition),
        key,
        value: None,
        timestamp_millis: 0,
        headers: &[],
    };
    keys.iter().map(|(partition, key)| tombstone((*partition, key.as_slice()))).collect()
}

#[cfg(test)]
mod tests {
    use topics::version::Entry;

    use super::*;

    #[test]
    fn a_version_that_is_far_behind_or_has_a_part_of_the_facts_is_not_switched_to() {
        let v2 = Version::try_new("v2").unwrap();
        let with = |from: Option<&str>| {
            let entry =
                Entry { name: v2.clone(), begun_at: None, from: from.map(str::to_owned), was_served: false };
            Versions::default().begun(entry).unwrap()
        };
        assert_eq!(doubt(&with(None), &v2, NEAR), None);
        assert!(doubt(&with(None), &v2, NEAR + 1).unwrap().contains("10001 facts behind"));
        assert!(doubt(&with(Some("2026-01-01T00:00:00Z")), &v2, 0).unwrap().contains("since 2026"));
    }

    #[test]
    fn any_number_of_keys_is_deleted_in_transactions_of_a_few_thousand() {
        let (mut tombstones, mut written, mut transactions) = (Tombstones::default(), BTreeSet::new(), 0);
        let count = i32::try_from(DELETIONS).unwrap() * 3;
        for number in 0..count {
            // Each key in two partitions, and each of them twice.
            for partition in [0, 1, 0, 1] {
                if let Some(full) = tombstones.meet((partition, number.to_be_bytes().to_vec()), true) {
                    assert!(full.len() == DELETIONS && tombstones.waiting.is_empty());
                    transactions += 1;
                    written.extend(full);
                }
            }
        }
        // What was deleted before it was written needs no second deletion.
        assert_eq!(tombstones.meet((0, b"gone".to_vec()), true), None);
        assert_eq!(tombstones.meet((0, b"gone".to_vec()), false), None);
        // What is met again behind its transaction is deleted again, and moves some others behind the last one.
        assert_eq!(outgoing(Topic::AggregatorChangelog, &tombstones.waiting).len(), tombstones.waiting.len());
        assert_eq!(transactions, 6);
        written.extend(tombstones.waiting);
        assert_eq!(written.len(), DELETIONS * 6);
    }
}
