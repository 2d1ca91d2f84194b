//! Whether every partition of the input is assigned to somebody.
//!
//! A copy that comes back under its name is given what it had when it died, and nobody else is asked. If it died after
//! it had given partitions up and before it had joined again to have them given to others, they are nobody's for as
//! long as nobody comes or goes. So a copy that comes back looks, and if that is so it leaves and joins, which makes
//! the group share out anew.
//!
//! That takes two looks in a row that find the same, so at least six seconds, and more while the group is being shared
//! out or the broker doesn't answer. A copy that ends before that has found out nothing; its next start begins anew.
//! The group only knows who was given a partition: that its owner is alive is the business of the session, and that it
//! works, of the restore. And a hand-over whose commit takes as long as two looks is taken for a partition without an
//! owner: the copy then gives up what it has, for nothing, and restores what it is given.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataPartition;

use super::Worker;
use crate::Error;

/// Between two looks. A rebalance that is under way mostly has partitions that are nobody's for less.
const PAUSE: Duration = Duration::from_secs(3);
/// For an answer. Records wait meanwhile, and a broker that is away makes it as long as this.
const ANSWER: Duration = Duration::from_secs(1);

/// What is known so far of the owners.
#[derive(Debug)]
pub(super) enum Owners {
    /// To be looked at then.
    Look(Instant),
    /// Some partition had none, if only for the moment; to be looked at again then.
    LookAgain(Instant),
    /// Each had one. Whatever happens from now on either makes the group share out anew, or happens to a copy that comes
    /// back and looks in its turn.
    Known,
}

impl Owners {
    /// As of a start.
    pub(super) fn unknown() -> Self {
        Self::Look(Instant::now() + PAUSE)
    }
}

impl Worker<'_> {
    /// Looks, once after a start, until an answer is certain.
    pub(super) fn look_for_owners(&mut self) -> Result<(), Error> {
        let (Owners::Look(at) | Owners::LookAgain(at)) = self.owners else { return Ok(()) };
        if Instant::now() < at {
            return Ok(());
        }
        let next = Instant::now() + PAUSE;
        self.owners = match (self.without_owner(), &self.owners) {
            (Some(partitions), _) if partitions.is_empty() => Owners::Known,
            (Some(_), Owners::Look(_)) => Owners::LookAgain(next),
            (Some(partitions), _) => {
                tracing::warn!(
                    slot = self.slot,
                    ?partitions,
                    "partitions have no owner: leaving the group and joining again, so that they get one"
                );
                self.consumer.unsubscribe();
                self.subscribe()?;
                Owners::Look(next)
            }
            (None, _) => Owners::Look(next),
        };
        Ok(())
    }

    /// The partitions that no member has. `None` when it can't be said: the group is being shared out, or there is no
    /// answer.
    fn without_owner(&self) -> Option<BTreeSet<i32>> {
        let metadata = self.consumer.fetch_metadata(Some(&self.stage.input), ANSWER).ok()?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.stage.input)?;
        let groups = self.consumer.fetch_group_list(Some(&self.stage.name), ANSWER).ok()?;
        let group = groups.groups().iter().find(|group| group.name() == self.stage.name)?;
        if group.state() != "Stable" {
            return None;
        }
        let mut left: BTreeSet<i32> = topic.partitions().iter().map(MetadataPartition::id).collect();
        for member in group.members() {
            for partition in assigned(member.assignment().unwrap_or_default(), &self.stage.input)? {
                left.remove(&partition);
            }
        }
        Some(left)
    }
}

/// The partitions of a topic in a member's assignment, in the form of Kafka's consumer protocol. `None`: it isn't that.
fn assigned(bytes: &[u8], topic: &str) -> Option<Vec<i32>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = bytes;
    let mut found = Vec::new();
    let _version = take(&mut rest).map(i16::from_be_bytes)?;
    for _ in 0..take(&mut rest).map(i32::from_be_bytes)? {
        let length = take(&mut rest).map(i16::from_be_bytes)?;
        let (name, behind) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = behind;
        for _ in 0..take(&mut rest).map(i32::from_be_bytes)? {
            let partition = take(&mut rest).map(i32::from_be_bytes)?;
            if name == topic.as_bytes() {
                found.push(partition);
            }
        }
    }
    Some(found)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::assigned;

    #[test]
    fn an_assignment_is_read_and_a_short_one_is_not_taken_for_less() {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        bytes.extend([0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]);
        bytes.extend([0, 1, b'b', 0, 0, 0, 1, 0, 0, 0, 5, 255, 255, 255, 255]);
        assert_eq!(assigned(&bytes, "a"), Some(vec![3, 4]));
        assert_eq!(assigned(&bytes, "b"), Some(vec![5]));
        assert_eq!(assigned(&bytes, "c"), Some(vec![]));
        assert_eq!(assigned(&bytes[..bytes.len() - 5], "a"), None);
        assert_eq!(assigned(&[], "a"), Some(vec![]));
    }
}
