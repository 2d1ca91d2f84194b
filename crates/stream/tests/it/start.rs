//! What a copy does before its first record, and in which order.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use localkafka::{ApiKey, shared_proxy};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::books::{anomalies, books, expected};
use crate::cluster::{client, end_of, members, produce, producer, remove_before, unique, wait};
use crate::counting::{Job, Kind, over_both_stores};
use crate::process::{Process, settings};

over_both_stores! {
    a_restore_whose_records_are_removed_under_it_reads_everything_anew
}

const SOON: Duration = Duration::from_secs(30);
/// As long as it takes to see that nothing happens.
const NOTHING: Duration = Duration::from_secs(2);

#[test]
fn nobody_joins_restores_or_reads_before_the_predecessor_is_fenced() {
    let job = Job::new("fence-first", 1).proxied();
    produce(&job.stage.input, 0, 100, 10);
    let fence = shared_proxy().hold(&job.stage.name, ApiKey::InitProducerId);
    let copy = job.start("a");
    assert!(fence.wait_until_held(SOON));
    thread::sleep(NOTHING);
    assert_eq!(copy.seen.tasks(), 0);
    assert!(members(&job.stage.name).is_empty());
    fence.release();
    wait("the end of the input", || copy.seen.at() == 100);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

/// Another copy's transaction has its offsets on the broker and nothing in the changelog yet: a client sends the two
/// over different ways. The end of the changelog says nothing before that is decided.
#[test]
fn what_another_copy_has_in_the_air_is_decided_before_the_end_of_its_changelog_is_looked_up() {
    let job = Job::new("in-the-air", 1);
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait("the first half", || copy.seen.at() == 100);
    copy.stop().unwrap();
    produce(&job.stage.input, 100, 100, 10);

    let other: ThreadedProducer<DefaultProducerContext> =
        client().set("transactional.id", format!("{}-z-0", job.stage.name)).create().unwrap();
    other.init_transactions(Duration::from_secs(20)).unwrap();
    other.begin_transaction().unwrap();
    let group: BaseConsumer = client().set("group.id", &job.stage.name).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&job.stage.input, 0, Offset::Offset(200)).unwrap();
    let member = group.group_metadata().unwrap();
    other.send_offsets_to_transaction(&offsets, &member, Duration::from_secs(20)).unwrap();
    let copy = job.start("a");
    wait("it restores", || copy.seen.tasks() == 1);
    thread::sleep(NOTHING);
    assert_eq!(copy.seen.running(), 0);
    let all = expected(&job);
    let send = |topic: &str, key: &[u8], value: &[u8]| {
        let record = BaseRecord::to(topic).partition(0).key(key).payload(value);
        other.send(record).map_err(|(e, _)| e).unwrap();
    };
    for (key, line) in &all.out[&0][100..] {
        send(job.out(), key.as_bytes(), line.as_bytes());
    }
    for (key, n) in &all.latest {
        send(job.latest(), key.as_bytes(), n.as_bytes());
    }
    for ((_, key), value) in &all.state {
        send(&job.stage.changelog, key, value);
    }
    other.commit_transaction(Duration::from_secs(20)).unwrap();

    wait("the other one's work", || copy.seen.at() == 200);
    assert_eq!(copy.records(), 0, "there was nothing left to do");
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

/// A job with 300 records done and a changelog of several batches, read one batch at a time. Its records may be removed,
/// which a broker refuses for a topic that is only compacted.
fn removable(kind: Kind) -> Job {
    let mut job = Job::of(kind, &unique("removed"));
    settings(&mut job);
    job.create(1, &[("cleanup.policy", "compact,delete")]);
    for n in 0..3 {
        produce(&job.stage.input, n * 100, 100, 20);
        let copy = job.start("a");
        wait("100 records more", || copy.records() == 100);
        copy.stop().unwrap();
    }
    job.stage.client.set("max.partition.fetch.bytes", "1").set("queued.min.messages", "1");
    job
}

/// What a compaction leaves of a changelog, further on: the last value of each key, and nothing before.
fn compact(changelog: &str, state: &BTreeMap<(i32, Vec<u8>), Vec<u8>>) {
    let (end, producer) = (end_of(changelog), producer());
    for ((_, key), value) in state {
        let record = BaseRecord::to(changelog).partition(0).key(key).payload(value);
        producer.send(record).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(SOON).unwrap();
    remove_before(changelog, end);
}

fn a_restore_whose_records_are_removed_under_it_reads_everything_anew(kind: Kind) {
    let job = removable(kind);
    // Another copy, which has nothing on its disk.
    let mut copy = Process::start(&job, "b", "", Some("stream::in-restore"));
    copy.wait_held(1);
    compact(&job.stage.changelog, &books(&job).state);
    copy.go();
    copy.wait_at(1, 300);
    produce(&job.stage.input, 300, 100, 20);
    copy.wait_at(1, 400);
    let log = copy.stop();
    assert_eq!(anomalies(&job), [""; 0]);
    assert!(log.contains("all of it is read anew"), "{log}");
}

#[test]
fn a_changelog_that_loses_records_again_and_again_ends_the_stage_with_what_is_wrong_with_it() {
    let job = removable(Kind::Memory);
    let state = books(&job).state;
    // Slow enough that at the end of each batch the next one is gone.
    let mut copy = Process::start(&job, "b", "stream::in-restore=sleep(100)", None);
    wait("the stage to end", || {
        compact(&job.stage.changelog, &state);
        !copy.is_running()
    });
    let (_, error) = copy.end();
    assert!(error.contains("loses records while they are read"), "{error}");
}
