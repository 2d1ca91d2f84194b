//! Which events stand behind which published records, without stopping anybody.
//!
//! 1. Wait until the state stage has finished the events that are there, and note where it stands.
//! 2. Wait until the aggregator has finished the facts that are there: those of all events before that place, since facts
//!    and place are committed together.
//! 3. Read the published records. Each holds at least the events before that place.
//! 4. Read the events to their end: more than that no published record can hold.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, anyhow};
use commerce::metric::is_of_the_state;
use service::Config;
use stream::{Extent, Followed, Position, Record, extents, read_decided, wait_until_finished};
use topics::{Topic, Version};

use super::COMPARED;
use super::fold::Fold;
use crate::progress::Progress;

/// Topic and key.
pub(super) type Key = (Topic, Vec<u8>);

/// Where the state stage stood before anything published was read.
pub(super) struct Cut {
    settled: Position,
}

impl Cut {
    /// Waits for the services, and notes where they stand.
    pub(super) fn take(config: &Config, served: &Version) -> anyhow::Result<Self> {
        let client = service::kafka::client_config(config);
        let finished = |group: String, plan: &service::stage::Plan| {
            let mut told = false;
            wait_until_finished(&client, &group, plan.input.name(), &|| false, &mut |left| {
                if !std::mem::replace(&mut told, true) {
                    eprintln!("waiting for {group}, behind in {left} partitions of {}", plan.input.name());
                }
            })
        };
        let settled = finished(format!("tillstream-{}", state::PLAN.name), &state::PLAN)?;
        finished(served.group(), &aggregator::PLAN)?;
        Ok(Self { settled })
    }

    /// Folds all events. Gives how many there were.
    pub(super) fn fold(
        &self,
        config: &Config,
        workspace: Option<&str>,
        fold: &mut Fold<'_>,
    ) -> anyhow::Result<u64> {
        let client = service::kafka::client_config(config);
        let topic = Topic::Events.name();
        let found = extents(&client, topic, &|| false)?;
        if let Some((partition, extent)) = found.iter().find(|(_, extent)| extent.low > 0) {
            return Err(anyhow!(
                "the events of {topic}-{partition} begin at offset {}: without the first ones nothing can be computed anew",
                extent.low
            ));
        }
        let mut progress = Progress::new("events", size(&found));
        let (mut events, mut failed) = (0, None);
        let whole = read_decided(&client, topic, &|| false, &mut |followed| {
            let Followed::Record { partition, offset, timestamp_millis, key, value, .. } = followed else {
                return Ok(());
            };
            progress.step();
            // What is said of rates is said to every workspace.
            let concerns = is_of(key, workspace) || is_of(key, Some(commerce::fx::WORKSPACE));
            let (Some(value), None, true) = (value, &failed, concerns) else { return Ok(()) };
            let record = Record::new(topic, partition, offset, key, value).with_timestamp(timestamp_millis);
            let is_settled = self.settled.get(&partition).is_some_and(|next| offset < *next);
            events += 1;
            failed = fold.take(&record, is_settled).err();
            Ok(())
        });
        progress.end();
        whole?;
        failed.map_or(Ok(events), |error| Err(error.context("an event can't be computed anew")))
    }
}

/// The published records of each key.
pub(super) fn published(
    config: &Config,
    served: &Version,
    workspace: Option<&str>,
) -> anyhow::Result<HashMap<Key, Vec<u8>>> {
    let client = service::kafka::client_config(config);
    let mut latest = HashMap::new();
    let figures = served.metrics();
    let mut names: Vec<(Topic, &str)> = COMPARED.iter().map(|topic| (*topic, topic.name())).collect();
    if !served.is_main() {
        names.push((Topic::Metrics, &figures));
    }
    for (topic, name) in names {
        let found = extents(&client, name, &|| false)?;
        let mut progress = Progress::new(name, size(&found));
        let whole = read_decided(&client, name, &|| false, &mut |followed| {
            if let Followed::Record { key, value, .. } = followed {
                progress.step();
                // The first version's topic has figures of the state stage beside its own.
                let counts = topic != Topic::Metrics || name == figures || is_of_the_state(key);
                if counts && is_of(key, workspace) {
                    match value {
                        Some(value) => drop(latest.insert((topic, key.to_vec()), value.to_vec())),
                        None => drop(latest.remove(&(topic, key.to_vec()))),
                    }
                }
            }
            Ok(())
        });
        progress.end();
        whole.with_context(|| format!("cannot read {name}"))?;
    }
    Ok(latest)
}

/// About how many records there are: a topic has a few offsets more, those of the marks of transactions.
fn size(extents: &BTreeMap<i32, Extent>) -> u64 {
    extents.values().map(|extent| u64::try_from(extent.high).unwrap_or(0)).sum()
}

/// Every key begins with its workspace.
fn is_of(key: &[u8], workspace: Option<&str>) -> bool {
    workspace.is_none_or(|wanted| {
        key.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&b':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_the_workspace_that_it_begins_with() {
        assert!(is_of(b"demo:1", None) && is_of(b"demo:1", Some("demo")));
        assert!(!is_of(b"demo2:1", Some("demo")) && !is_of(b"demo", Some("demo")));
        assert!(!is_of(b"a:demo:1", Some("demo")));
    }
}
