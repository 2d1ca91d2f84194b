//! Ends the transactions that Kafka itself leaves open for ever.
//!
//! A transaction is decided by a record in the coordinator's log (`PrepareCommit`, `PrepareAbort`), after which the
//! coordinator writes a marker to every partition of it, and at last `CompleteCommit` or `CompleteAbort`. In Kafka 4 the
//! coordinator forgets the markers of partitions that have no leader at that moment:
//! `TransactionMarkerChannelManager.addTxnMarkersToBrokerQueue` takes them for deleted ("Couldn't find leader endpoint …
//! hence can be skipped"), because `KRaftMetadataCache.getPartitionLeaderEndpoint` answers for a partition with the
//! leader -1 as for one that does not exist (until Kafka 3 it answered `Node.noNode`, and the marker was kept).
//!
//! A lone broker's partitions have no leader whenever its registration is fenced. After a `kill -9` that is so some
//! seconds into the next start: the broker first loads its old metadata, in which it leads everything, and its
//! coordinator begins to send the markers that were due; the controller refuses the new registration until the old
//! session has run out (`DuplicateBrokerRegistrationException`), and then takes all leaders away. Markers that are due
//! between `metadataCache.setImage` and `txnCoordinator.onResignation` of that change
//! (`BrokerMetadataPublisher.onMetadataUpdate`) are lost. The same can happen to a broker that shuts down.
//!
//! Readers of committed records wait at such a transaction for ever, and so do readers of a group's offsets when its
//! partition of `__consumer_offsets` is concerned. Kafka's own tool (`kafka-transactions.sh find-hanging`, `abort`) can
//! only abort, which would lose what was committed. The log of the coordinator has the decision; it is read here, and
//! the marker that it calls for is written.

use std::{
    collections::{HashMap, HashSet},
    io,
    time::Duration,
};

use bytes::{Buf, Bytes};

use crate::wire::{self, Metadata};

const LOG: &str = "__transaction_state";

/// A transaction that is open in one partition, as that partition's leader tells.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Open {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) producer: i64,
    pub(crate) epoch: i16,
    /// Of this producer's last marker in this partition; -1 before the first.
    pub(crate) coordinator_epoch: i32,
    /// The offset of its first record. No two transactions share it.
    pub(crate) start: i64,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Commit,
    Abort,
}

/// What is to be done about an open transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It goes on: its producer ends it, or its time-out does.
    Leave,
    /// It is decided and its markers are on their way.
    Wait,
    /// Nobody will ever write its marker.
    Write(Marker),
}

/// What the coordinator's log says of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    producer: i64,
    status: Status,
    partitions: Vec<(String, i32)>,
}

/// `TransactionState.java`'s codes, as far as they differ here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ongoing,
    Prepared(Marker),
    Completed(Marker),
    /// `Empty`, `Dead`, `PrepareEpochFence`: no transaction, or none that was decided.
    Other,
}

/// The coordinators' log, read from its start.
#[derive(Debug, Default)]
struct History {
    /// The last word on each transactional id, which is a record's key.
    last: HashMap<Bytes, (i64, Status)>,
    /// The last word on each producer and partition, and whose it is.
    words: HashMap<(i64, String, i32), (Bytes, Status)>,
    /// How each producer's last transaction ended.
    ended: HashMap<i64, Marker>,
}

impl History {
    fn add(&mut self, key: Bytes, entry: Option<Entry>) {
        let Some(entry) = entry else {
            self.last.remove(&key);
            return;
        };
        for (topic, partition) in entry.partitions {
            self.words.insert((entry.producer, topic, partition), (key.clone(), entry.status));
        }
        if let Status::Completed(marker) = entry.status {
            self.ended.insert(entry.producer, marker);
        }
        self.last.insert(key, (entry.producer, entry.status));
    }

    /// Judges a transaction that was open **before** this log was read and still is.
    ///
    /// A partition is in the log before the first record of a transaction is in the partition, so that what the log says
    /// last of this producer and partition is about this very transaction. A record of a decision that compaction has
    /// removed is followed by one of its end.
    fn judge(&self, open: &Open) -> Verdict {
        let ended = self.ended.get(&open.producer).copied();
        let word = self.words.get(&(open.producer, open.topic.clone(), open.partition));
        let now = word.and_then(|(key, _)| self.last.get(key)).filter(|(id, _)| *id == open.producer);
        match (word.map(|(_, status)| *status), now.map(|(_, status)| *status)) {
            (Some(Status::Ongoing), Some(Status::Ongoing)) => Verdict::Leave,
            (Some(Status::Prepared(_)), Some(Status::Prepared(_))) => Verdict::Wait,
            (Some(Status::Prepared(marker)), _) => Verdict::Write(marker),
            // Without any decision nobody can commit it any more.
            _ => Verdict::Write(ended.unwrap_or(Marker::Abort)),
        }
    }
}

/// The search for transactions without an end, which takes a look at a time.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// Those that were open at the first look and may have to be ended. Later ones are of living producers.
    suspects: Option<HashSet<Open>>,
}

impl Settling {
    /// Takes a look and ends what has to be ended; says whether no suspect is left.
    ///
    /// An error means that a leader or coordinator is not there yet, and that another look is to be taken.
    pub(crate) fn look(&mut self, port: u16, timeout: Duration) -> io::Result<bool> {
        let cluster = wire::partitions(port, timeout)?;
        let open = open(&cluster, timeout)?;
        let suspects = self.suspects.get_or_insert_with(|| open.iter().cloned().collect());
        suspects.retain(|suspect| open.contains(suspect));
        if suspects.is_empty() {
            return Ok(true);
        }
        let history = history(&cluster, timeout)?;
        suspects.retain(|suspect| history.judge(suspect) != Verdict::Leave);
        for suspect in suspects.iter() {
            let leader =
                cluster.partitions.iter().find(|p| p.topic == suspect.topic && p.index == suspect.partition);
            let leader = leader.and_then(|partition| Some((partition, cluster.leader(partition)?)));
            if let (Verdict::Write(marker), Some((partition, port))) = (history.judge(suspect), leader)
                // The markers may have come while the log was read.
                && wire::open_transactions(port, timeout, &[partition])?.contains(suspect)
            {
                wire::write_marker(port, timeout, suspect, marker)?;
                tracing::warn!(?suspect, ?marker, "ended a transaction that kafka had left open");
            }
        }
        Ok(suspects.is_empty())
    }
}

/// All open transactions, in partitions that have a leader. Those of a lone broker have one, or soon will: before that
/// nothing is known of them, which must not be taken for "nothing is open".
fn open(cluster: &Metadata, timeout: Duration) -> io::Result<HashSet<Open>> {
    if lacks_leaders(cluster) {
        return Err(io::Error::other("partitions without a leader"));
    }
    let mut open = HashSet::new();
    for (id, port) in &cluster.brokers {
        let led: Vec<_> = cluster.partitions.iter().filter(|partition| partition.leader == *id).collect();
        open.extend(wire::open_transactions(*port, timeout, &led)?);
    }
    Ok(open)
}

fn lacks_leaders(cluster: &Metadata) -> bool {
    cluster.brokers.len() < 2 && cluster.partitions.iter().any(|p| cluster.leader(p).is_none())
}

/// All of it or an error: a transaction that only a part knows of must not be taken for one that nobody knows.
fn history(cluster: &Metadata, timeout: Duration) -> io::Result<History> {
    let mut history = History::default();
    for partition in cluster.partitions.iter().filter(|partition| partition.topic == LOG) {
        let leader =
            cluster.leader(partition).ok_or_else(|| io::Error::other("a coordinator has no leader"))?;
        wire::read_log(leader, timeout, partition, |record| {
            let entry = record.value.clone().map(parse).transpose()?;
            if let Some(key) = &record.key {
                history.add(key.clone(), entry);
            }
            Ok(())
        })?;
    }
    Ok(history)
}

/// `TransactionLogValue.json` of Kafka's transaction coordinator, versions 0 and 1, up to the partitions.
fn parse(mut value: Bytes) -> io::Result<Entry> {
    let input = &mut value;
    let flexible = match input.try_get_i16()? {
        0 => false,
        1 => true,
        other => return Err(io::Error::other(format!("a transaction record of version {other}"))),
    };
    let producer = input.try_get_i64()?;
    let _epoch = input.try_get_i16()?;
    let _timeout = input.try_get_i32()?;
    let status = match input.try_get_i8()? {
        1 => Status::Ongoing,
        2 => Status::Prepared(Marker::Commit),
        3 => Status::Prepared(Marker::Abort),
        4 => Status::Completed(Marker::Commit),
        5 => Status::Completed(Marker::Abort),
        _ => Status::Other,
    };
    let mut partitions = Vec::new();
    for _ in 0..count(input, flexible)? {
        let length =
            if flexible { varint(input)?.saturating_sub(1) } else { usize::from(input.try_get_u16()?) };
        let topic = input.get(..length).map(String::from_utf8_lossy).map(String::from);
        let topic = topic.ok_or(io::ErrorKind::UnexpectedEof)?;
        input.advance(length);
        for _ in 0..count(input, flexible)? {
            partitions.push((topic.clone(), input.try_get_i32()?));
        }
        if flexible {
            skip_tags(input)?;
        }
    }
    Ok(Entry { producer, status, partitions })
}

/// How many elements an array has; null is none.
fn count(input: &mut Bytes, flexible: bool) -> io::Result<usize> {
    if flexible {
        return Ok(varint(input)?.saturating_sub(1));
    }
    Ok(usize::try_from(input.try_get_i32()?).unwrap_or(0))
}

fn varint(input: &mut Bytes) -> io::Result<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = input.try_get_u8()?;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn skip_tags(input: &mut Bytes) -> io::Result<()> {
    for _ in 0..varint(input)? {
        varint(input)?;
        let length = varint(input)?;
        if input.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        input.advance(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCER: i64 = 7;

    fn open() -> Open {
        Open {
            topic: "orders".into(),
            partition: 2,
            producer: PRODUCER,
            epoch: 0,
            coordinator_epoch: -1,
            start: 40,
        }
    }

    #[test]
    fn a_lone_brokers_partitions_without_a_leader_are_not_taken_for_settled() {
        let partition = |leader| crate::wire::Partition { topic: "orders".into(), index: 0, leader };
        let lacks = |brokers: &[(i32, u16)], leader| {
            let brokers = brokers.to_vec();
            lacks_leaders(&Metadata { brokers, controller: 1, partitions: vec![partition(leader)] })
        };
        assert!(lacks(&[], -1));
        assert!(lacks(&[(1, 9092)], -1));
        assert!(!lacks(&[(1, 9092)], 1));
        // The only copy may be on a broker that was killed, and the others go on.
        assert!(!lacks(&[(1, 9092), (2, 9093)], 3));
    }

    fn entry(producer: i64, status: Status, partitions: &[i32]) -> Option<Entry> {
        let partitions = partitions.iter().map(|p| ("orders".to_owned(), *p)).collect();
        Some(Entry { producer, status, partitions })
    }

    fn judge(records: impl IntoIterator<Item = Option<Entry>>) -> Verdict {
        let mut history = History::default();
        // Another application's transactions say nothing of this one.
        history.add(Bytes::from_static(b"other"), entry(8, Status::Prepared(Marker::Abort), &[2]));
        for record in records {
            history.add(Bytes::from_static(b"app"), record);
        }
        history.add(Bytes::from_static(b"other"), entry(8, Status::Completed(Marker::Abort), &[]));
        history.judge(&open())
    }

    #[test]
    fn a_transaction_that_goes_on_is_left_alone() {
        assert_eq!(judge([entry(PRODUCER, Status::Ongoing, &[1, 2])]), Verdict::Leave);
    }

    #[test]
    fn a_decided_transaction_is_its_coordinators_until_that_says_it_has_ended() {
        for marker in [Marker::Commit, Marker::Abort] {
            let going = entry(PRODUCER, Status::Ongoing, &[1, 2]);
            let prepared = entry(PRODUCER, Status::Prepared(marker), &[1, 2]);
            let completed = entry(PRODUCER, Status::Completed(marker), &[]);
            assert_eq!(judge([going.clone(), prepared.clone()]), Verdict::Wait);
            assert_eq!(judge([going, prepared, completed]), Verdict::Write(marker));
        }
    }

    #[test]
    fn what_came_after_its_end_does_not_change_how_a_transaction_ended() {
        let begun = [
            entry(PRODUCER, Status::Prepared(Marker::Commit), &[1, 2]),
            entry(PRODUCER, Status::Completed(Marker::Commit), &[]),
        ];
        for later in [
            vec![entry(PRODUCER, Status::Other, &[])],
            vec![entry(PRODUCER, Status::Ongoing, &[1])],
            vec![
                entry(PRODUCER, Status::Prepared(Marker::Abort), &[1]),
                entry(PRODUCER, Status::Completed(Marker::Abort), &[]),
            ],
            // The transactional id got a new producer id, or expired.
            vec![entry(9, Status::Ongoing, &[2])],
            vec![None],
        ] {
            let records = begun.iter().cloned().chain(later);
            assert_eq!(judge(records), Verdict::Write(Marker::Commit));
        }
    }

    #[test]
    fn an_end_without_its_decision_still_tells_how_it_ended() {
        for marker in [Marker::Commit, Marker::Abort] {
            assert_eq!(judge([entry(PRODUCER, Status::Completed(marker), &[])]), Verdict::Write(marker));
        }
    }

    #[test]
    fn a_transaction_that_nobody_knows_cannot_be_committed_any_more() {
        assert_eq!(judge([]), Verdict::Write(Marker::Abort));
        assert_eq!(judge([entry(PRODUCER, Status::Ongoing, &[2]), None]), Verdict::Write(Marker::Abort));
    }

    /// Producer 7, epoch 1, 10 s, prepared to commit, `ab` 2 and 3, two times.
    const OLD: &[u8] =
        b"\0\0\0\0\0\0\0\0\0\x07\0\x01\0\0\x27\x10\x02\0\0\0\x01\0\x02ab\0\0\0\x02\0\0\0\x02\0\0\0\x03\
                         \0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01";
    const FLEXIBLE: &[u8] =
        b"\0\x01\0\0\0\0\0\0\0\x07\0\x01\0\0\x27\x10\x02\x02\x03ab\x03\0\0\0\x02\0\0\0\x03\0\
                              \0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0";

    #[test]
    fn a_record_of_the_coordinator_is_read_in_both_versions_and_never_when_it_is_cut_short() {
        let partitions = vec![("ab".to_owned(), 2), ("ab".to_owned(), 3)];
        let expected = Entry { producer: 7, status: Status::Prepared(Marker::Commit), partitions };
        for (whole, unread) in [(OLD, 16), (FLEXIBLE, 17)] {
            assert_eq!(parse(Bytes::from_static(whole)).unwrap(), expected);
            for length in 0..whole.len() - unread {
                assert!(parse(Bytes::from_static(&whole[..length])).is_err(), "{length} bytes");
            }
        }
    }
}
