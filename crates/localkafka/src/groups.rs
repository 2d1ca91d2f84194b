//! Has groups share out their partitions again whose rebalance was cut short.
//!
//! A cooperative rebalance takes two steps: in the first the members give up what others are to get, in the second
//! those get it. Each step is kept in Kafka, and a static member (`group.instance.id`) that comes back gets what is kept
//! for it, without a rebalance. When all members are killed between the steps, each comes back to its share of the
//! first, and what was given up is nobody's for ever: members that live do not rejoin a group that is stable.
//! (`GroupMetadataManager`: "Static member which joins during Stable stage and doesn't affect selectProtocol will not
//! trigger a rebalance".)
//!
//! So the static members of such a group are taken out of it. They had gone when Kafka was stopped, and join as new
//! ones; one that lives learns from its next heartbeat that it has to join again.

use std::{collections::HashSet, io, time::Duration};

use crate::wire::{self, Metadata};

const OFFSETS: &str = "__consumer_offsets";

/// A consumer group, as its coordinator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) id: String,
    pub(crate) stable: bool,
    pub(crate) members: Vec<Member>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// `group.instance.id`, of a static one.
    pub(crate) instance: Option<String>,
    pub(crate) topics: Vec<String>,
    pub(crate) assigned: Vec<(String, i32)>,
}

impl Group {
    fn instances(&self) -> Vec<&str> {
        self.members.iter().filter_map(|member| member.instance.as_deref()).collect()
    }

    /// Whether it is at rest and yet has partitions that are nobody's, and members that may wait for them for ever.
    fn was_cut_short(&self, cluster: &Metadata) -> bool {
        let assigned: HashSet<_> = self.members.iter().flat_map(|member| &member.assigned).collect();
        let wanted = |topic: &String| self.members.iter().any(|member| member.topics.contains(topic));
        let mut partitions = cluster.partitions.iter().filter(|partition| wanted(&partition.topic));
        self.stable
            && !self.instances().is_empty()
            && partitions.any(|partition| !assigned.contains(&(partition.topic.clone(), partition.index)))
    }
}

/// Takes the static members out of all groups that were cut short.
///
/// An error means that a coordinator is not there yet, and that it is to be tried again.
pub(crate) fn settle(port: u16, timeout: Duration) -> io::Result<()> {
    let cluster = wire::partitions(port, timeout)?;
    all_are_loaded(&cluster, timeout)?;
    for (_, port) in &cluster.brokers {
        for group in wire::groups(*port, timeout)?.iter().filter(|group| group.was_cut_short(&cluster)) {
            wire::remove_members(*port, timeout, &group.id, &group.instances())?;
            tracing::info!(group = group.id, "took members out of a group whose rebalance was cut short");
        }
    }
    Ok(())
}

/// A coordinator that has yet to load a partition lists the groups of the others, without a word. One that is asked for
/// a group of that partition says so, even if there is no such group.
fn all_are_loaded(cluster: &Metadata, timeout: Duration) -> io::Result<()> {
    let partitions: Vec<_> =
        cluster.partitions.iter().filter(|partition| partition.topic == OFFSETS).collect();
    for partition in &partitions {
        let leader =
            cluster.leader(partition).ok_or_else(|| io::Error::other("a coordinator has no leader"))?;
        let count = i32::try_from(partitions.len()).map_err(io::Error::other)?;
        let mut names = (0_u32..).map(|n| format!("localkafka-{n}"));
        if let Some(name) = names.find(|name| coordinated_by(name, count) == partition.index) {
            wire::describe_groups(leader, timeout, &[name])?;
        }
    }
    Ok(())
}

/// The partition of `__consumer_offsets` that a group belongs to: Java's hash of its (here ASCII) name.
fn coordinated_by(group: &str, partitions: i32) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    hash.checked_abs().unwrap_or(0) % partitions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Partition;

    fn cluster() -> Metadata {
        let partition = |topic: &str, index| Partition { topic: topic.into(), index, leader: 1 };
        let partitions = vec![partition("raw", 0), partition("raw", 1), partition("unrelated", 0)];
        Metadata { partitions, ..Metadata::default() }
    }

    fn group(shares: [&[i32]; 2]) -> Group {
        let member = |instance: &str, share: &[i32]| Member {
            instance: Some(instance.into()),
            topics: vec!["raw".into()],
            assigned: share.iter().map(|p| ("raw".to_owned(), *p)).collect(),
        };
        Group {
            id: "stage".into(),
            stable: true,
            members: vec![member("a", shares[0]), member("b", shares[1])],
        }
    }

    #[test]
    fn a_group_at_rest_with_a_partition_that_is_nobodys_was_cut_short() {
        assert!(group([&[0], &[]]).was_cut_short(&cluster()));
        assert!(!group([&[0], &[1]]).was_cut_short(&cluster()));
        assert!(!group([&[0, 1], &[]]).was_cut_short(&cluster()));
    }

    #[test]
    fn a_group_that_rebalances_or_whose_members_time_out_helps_itself() {
        let cut = group([&[0], &[]]);
        assert!(!Group { stable: false, ..cut.clone() }.was_cut_short(&cluster()));
        let mut dynamic = cut;
        dynamic.members.iter_mut().for_each(|member| member.instance = None);
        assert!(!dynamic.was_cut_short(&cluster()));
    }

    #[test]
    fn a_groups_partition_is_found_as_kafka_finds_it() {
        // Of a broker with four partitions, from its log.
        assert_eq!(coordinated_by("tillstream-normalizer", 4), 3);
    }
}
