//! What a store on disk says of itself, in the same batch as the state: whose it is and how far it goes.

use serde::{Deserialize, Serialize};

use super::Reached;

/// The format of what is stored: the one of the changelog ([`crate::changelog`]). Another one is rebuilt, not read.
pub(crate) const FORMAT: u16 = crate::changelog::FORMAT;

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) stage: String,
    pub(crate) changelog: String,
    /// The cluster's id of the changelog topic: a topic that was made anew under the old name has another one. `None`
    /// when the brokers don't tell.
    pub(crate) topic_id: Option<String>,
    pub(crate) partition: i32,
    /// Of input and changelog.
    pub(crate) partitions: i32,
}

impl Identity {
    /// True when a store of this identity serves that task. An id that wasn't known when the store was written says
    /// nothing; one that was known then must be the one of now.
    pub(crate) fn serves(&self, other: &Self) -> bool {
        let topic_id = self.topic_id.is_none() || self.topic_id == other.topic_id;
        let rest = |i: &Self| (i.stage.clone(), i.changelog.clone(), i.partition, i.partitions);
        topic_id && rest(self) == rest(other)
    }
}

/// Whose it is and how far it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    pub(crate) format: u16,
    pub(crate) identity: Identity,
    /// Number of the batch, from 1 on, without a gap.
    pub(crate) batch: u64,
    /// The next input record; `None` when the changelog hasn't said yet.
    pub(crate) input: Option<i64>,
    /// Everything in the changelog before this offset is in the store. Something behind it may be, too: the offsets
    /// that a transaction got aren't asked for, they are counted, and aborted ones aren't counted. Reading a record
    /// once more does no harm, as records are whole values and come in order.
    pub(crate) changelog: i64,
    /// The store was complete at this time, milliseconds since 1970.
    pub(crate) complete_at: i64,
    /// Entries whose key is one of the sampled ones.
    pub(crate) sampled: u64,
}

impl Marks {
    pub(crate) fn new(identity: Identity, now: i64) -> Self {
        Self { format: FORMAT, identity, batch: 0, input: None, changelog: 0, complete_at: now, sampled: 0 }
    }

    /// The marks of the next batch with that many changes. `before_commit`: a time before its transaction ended.
    pub(crate) fn next(&self, reached: Reached, changes: usize, before_commit: i64) -> Self {
        let mut next = Self { batch: self.batch + 1, ..self.clone() };
        match reached {
            Reached::Input(offset) => {
                next.input = Some(offset);
                // The changes, the input offset, and the transaction's end marker.
                next.changelog += i64::try_from(changes).unwrap_or(i64::MAX - 2) + 2;
                next.complete_at = before_commit;
            }
            Reached::Changelog { next: changelog, input, complete_at } => {
                next.changelog = changelog;
                // Reading again what is in the store already takes nothing out of it: it stays as far as it was.
                next.input = input.max(next.input);
                // On the way to the end the store is as old as it was: a tombstone further on may be for a key that
                // was stored long ago.
                next.complete_at = complete_at.unwrap_or(next.complete_at);
            }
        }
        next
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Numbers and texts into a vector: can't fail.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// `Err(Some(format))`: another format; `Err(None)`: nothing that can be read.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Option<u16>> {
        let (format, _) = postcard::take_from_bytes::<u16>(bytes).map_err(|_| None)?;
        if format != FORMAT {
            return Err(Some(format));
        }
        postcard::from_bytes(bytes).map_err(|_| None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        let identity = Identity {
            stage: "s".into(),
            changelog: "c".into(),
            topic_id: None,
            partition: 1,
            partitions: 4,
        };
        Marks { input: Some(5), changelog: 100, ..Marks::new(identity, 1_000) }
    }

    #[test]
    fn marks_read_back_and_another_format_is_recognised() {
        assert_eq!(Marks::decode(&marks().encode()), Ok(marks()));
        for format in [FORMAT - 1, FORMAT + 1] {
            let other = Marks { format, ..marks() };
            assert_eq!(Marks::decode(&other.encode()), Err(Some(format)));
        }
        assert_eq!(Marks::decode(b""), Err(None));
        assert_eq!(Marks::decode(&marks().encode()[..5]), Err(None));
    }

    #[test]
    fn a_transaction_takes_an_offset_for_each_change_one_for_the_input_offset_and_one_for_its_end() {
        let next = marks().next(Reached::Input(9), 3, 2_000);
        assert_eq!((next.changelog, next.input, next.complete_at, next.batch), (105, Some(9), 2_000, 1));
    }

    #[test]
    fn reading_the_changelog_makes_a_store_younger_only_when_it_has_come_to_the_end() {
        let on_the_way = Reached::Changelog { next: 150, input: None, complete_at: None };
        let next = marks().next(on_the_way, 3, 2_000);
        assert_eq!((next.changelog, next.input, next.complete_at), (150, Some(5), 1_000));
        let at_the_end = Reached::Changelog { next: 160, input: Some(8), complete_at: Some(1_900) };
        let next = next.next(at_the_end, 0, 2_000);
        assert_eq!((next.changelog, next.input, next.complete_at, next.batch), (160, Some(8), 1_900, 2));
    }

    #[test]
    fn reading_again_what_is_in_a_store_does_not_make_it_one_that_is_less_far() {
        let on_the_way = Reached::Changelog { next: 110, input: Some(3), complete_at: None };
        let next = marks().next(on_the_way, 3, 2_000);
        assert_eq!((next.changelog, next.input), (110, Some(5)));
    }
}
