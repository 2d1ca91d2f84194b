//! What a commit promises.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::cluster::{Writer, client, count, produce, producer, read, wait};
use crate::counting::{Job, Kind, over_both_stores};

over_both_stores! {
    every_record_has_its_effect_once_and_a_restart_goes_on_where_it_was
    a_restore_reads_beyond_an_open_foreign_transaction
    two_copies_share_the_partitions_and_one_takes_over_when_the_other_leaves
    a_second_copy_with_the_same_name_stops_the_first_with_a_message
    two_workers_of_a_copy_come_to_share_the_partitions_however_their_joins_interleave
    a_producer_that_was_fenced_while_its_copy_is_still_a_member_goes_on_exactly_once
}

/// Every key's outputs are `1:…, 2:…, 3:…` in order, with no gap and no repetition, and `total` in all.
pub fn check(job: &Job, total: usize) {
    let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut values = Vec::new();
    for (key, value) in read(job.out()).into_values().flatten() {
        let value = value.unwrap();
        let (n, rest) = value.split_once(':').unwrap();
        seen.entry(key).or_default().push(n.parse().unwrap());
        values.push(rest.parse::<u64>().unwrap_or(0));
    }
    for (key, counts) in &seen {
        let expected: Vec<u64> = (1..=counts.len() as u64).collect();
        assert_eq!(*counts, expected, "{key}");
    }
    assert_eq!(values.len(), total);
    let latest: BTreeMap<String, String> =
        read(job.latest()).into_values().flatten().map(|(k, v)| (k, v.unwrap())).collect();
    for (key, counts) in &seen {
        assert_eq!(latest[key], counts.len().to_string(), "{key}");
    }
}

fn every_record_has_its_effect_once_and_a_restart_goes_on_where_it_was(kind: Kind) {
    let job = Job::on(kind, "once", 3);
    produce(&job.stage.input, 0, 5_000, 50);
    let copy = job.start("a");
    wait("the first half", || copy.records() == 5_000);
    copy.stop().unwrap();
    check(&job, 5_000);

    produce(&job.stage.input, 5_000, 5_000, 50);
    let copy = job.start("a");
    wait("the second half", || copy.records() == 5_000);
    let restored = copy.seen.restored.load(Ordering::Relaxed);
    match kind {
        Kind::Memory => assert!(restored >= 50, "the state was read back, not {restored} records"),
        Kind::Disk => assert_eq!(restored, 0, "the state was there"),
    }
    copy.stop().unwrap();
    check(&job, 10_000);
}

#[test]
fn a_poison_record_leaves_nothing_behind_but_its_dead_letter() {
    let job = Job::new("poison", 1);
    let producer = producer();
    for value in ["1", "poison-x", "2"] {
        producer.send(BaseRecord::to(&job.stage.input).key("k").payload(value)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let copy = job.start("a");
    wait("three records", || copy.records() == 3);
    assert_eq!(copy.seen.published.load(Ordering::Relaxed), 2);
    copy.stop().unwrap();
    let out: Vec<_> = read(job.out()).into_values().flatten().map(|(_, v)| v.unwrap()).collect();
    assert_eq!(out, ["1:1", "2:2"]);
    let dead: Vec<_> = read(job.dead()).into_values().flatten().map(|(_, v)| v.unwrap()).collect();
    assert_eq!(dead, ["poison:poison-x"]);
}

#[test]
fn an_output_that_its_topic_cannot_take_is_poison_and_not_an_endless_abort() {
    let job = Job::new("large", 1);
    let producer = producer();
    let large = "x".repeat(100_000);
    for value in ["1", &large, "2"] {
        producer.send(BaseRecord::to(&job.stage.input).key("k").payload(value)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let copy = job.start("a");
    wait("three records", || copy.records() == 3);
    copy.stop().unwrap();
    let dead: Vec<_> = read(job.dead()).into_values().flatten().map(|(_, v)| v.unwrap()).collect();
    assert_eq!(dead.len(), 1);
    assert!(dead[0].starts_with("output_too_large:"));
    assert_eq!(count(job.out()), 2);
}

#[test]
fn a_transient_failure_backs_off_and_loses_nothing() {
    let job = Job::new("transient", 1);
    job.world.store(false, Ordering::Relaxed);
    let producer = producer();
    for value in ["1", "wait", "3"] {
        producer.send(BaseRecord::to(&job.stage.input).key("k").payload(value)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
    let copy = job.start("a");
    wait("what came before", || copy.records() == 1);
    job.world.store(true, Ordering::Relaxed);
    wait("the rest", || copy.records() == 3);
    copy.stop().unwrap();
    check(&job, 3);
}

#[test]
fn a_fatal_failure_stops_the_stage_and_commits_nothing_of_it() {
    let job = Job::new("fatal", 1);
    let producer = producer();
    producer.send(BaseRecord::to(&job.stage.input).key("k").payload("fatal")).map_err(|(e, _)| e).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    let error = job.start("a").end().unwrap_err();
    assert!(error.to_string().contains("told to"), "{error}");
    assert_eq!(count(job.out()), 0);
}

fn a_restore_reads_beyond_an_open_foreign_transaction(kind: Kind) {
    let job = Job::on(kind, "foreign", 1);
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait("100 records", || copy.records() == 100);
    copy.stop().unwrap();

    // Somebody else's open transaction on the changelog holds the last stable offset back; behind it, one more
    // committed run of the stage. A restore that trusted the stable end would miss that run.
    let foreign: ThreadedProducer<DefaultProducerContext> = client()
        .set("transactional.id", &job.stage.name)
        .set("transaction.timeout.ms", "60000")
        .create()
        .unwrap();
    foreign.init_transactions(Duration::from_secs(20)).unwrap();
    foreign.begin_transaction().unwrap();
    foreign
        .send(BaseRecord::to(&job.stage.changelog).partition(0).key(&b"\x00zzz"[..]).payload(&b"\x07"[..]))
        .map_err(|(e, _)| e)
        .unwrap();
    foreign.flush(Duration::from_secs(10)).unwrap();

    produce(&job.stage.input, 100, 100, 10);
    let copy = job.start("a");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(copy.records(), 0, "nothing is processed while the state can't be known");
    foreign.abort_transaction(Duration::from_secs(10)).unwrap();
    wait("the next 100 records", || copy.records() == 100);
    copy.stop().unwrap();
    check(&job, 200);
}

fn two_copies_share_the_partitions_and_one_takes_over_when_the_other_leaves(kind: Kind) {
    let job = Job::on(kind, "copies", 4);
    produce(&job.stage.input, 0, 4_000, 40);
    let a = job.start("a");
    wait("some records", || a.records() > 0);
    let b = job.start("b");
    wait("partitions on both", || {
        let (a, b) = (a.seen.running(), b.seen.running());
        a > 0 && b > 0 && a + b == 4
    });
    produce(&job.stage.input, 4_000, 4_000, 40);
    wait("8,000 records", || a.records() + b.records() == 8_000);
    a.stop().unwrap();
    produce(&job.stage.input, 8_000, 4_000, 40);
    let before = b.records();
    wait("b does it alone", || b.records() - before >= 4_000 || count(job.out()) == 12_000);
    b.stop().unwrap();
    check(&job, 12_000);
}

fn a_second_copy_with_the_same_name_stops_the_first_with_a_message(kind: Kind) {
    let job = Job::on(kind, "same-name", 1);
    let first = job.start("a");
    // The first is busy all along: which of the two processes a record of that time is open.
    let writer = Writer::start(&job.stage.input);
    wait("the first works", || first.records() > 0);
    let second = job.start("a");
    let error = first.end().unwrap_err();
    assert!(error.to_string().contains("instance name 'a'"), "{error}");
    let written = writer.stop();
    produce(&job.stage.input, written, 10, 10);
    let total = written + 10;
    wait("the second does the rest", || second.seen.at() == i64::try_from(total).unwrap());
    second.stop().unwrap();
    check(&job, usize::try_from(total).unwrap());
}

fn two_workers_of_a_copy_come_to_share_the_partitions_however_their_joins_interleave(kind: Kind) {
    let job = Job::on(kind, "workers", 4);
    produce(&job.stage.input, 0, 400, 40);
    let stage = stream::Stage { workers: 2, ..job.stage.clone() };
    let job = Job { stage, ..job };
    let mut total = 0;
    for round in 0..8 {
        let copy = job.start("a");
        wait("all partitions running", || copy.seen.running() == 4);
        wait("the records of this round", || copy.records() == 400);
        copy.stop().unwrap();
        total += 400;
        produce(&job.stage.input, 400 * (round + 1), 400, 40);
    }
    check(&job, total);
}

#[test]
fn an_idle_copy_notices_that_another_one_has_taken_its_name() {
    let job = Job::new("idle-name", 1);
    let first = job.start("a");
    wait("the first runs", || first.seen.running() == 1);
    let second = job.start("a");
    let error = first.end().unwrap_err();
    assert!(error.to_string().contains("instance name 'a'"), "{error}");
    produce(&job.stage.input, 0, 10, 1);
    wait("the second works", || second.records() == 10);
    second.stop().unwrap();
    check(&job, 10);
}

fn a_producer_that_was_fenced_while_its_copy_is_still_a_member_goes_on_exactly_once(kind: Kind) {
    let job = Job::on(kind, "fenced", 2);
    produce(&job.stage.input, 0, 2_000, 40);
    let copy = job.start("a");
    wait("some records", || copy.records() > 0);
    // What the coordinator does to a transaction that took too long: the epoch is raised, the group knows nothing.
    let id = format!("{}-a-0", job.stage.name);
    let other: ThreadedProducer<DefaultProducerContext> =
        client().set("transactional.id", &id).create().unwrap();
    other.init_transactions(Duration::from_secs(20)).unwrap();
    produce(&job.stage.input, 2_000, 2_000, 40);
    wait("all records", || copy.records() == 4_000);
    copy.stop().unwrap();
    check(&job, 4_000);
}

#[test]
fn records_that_arrive_while_a_copy_starts_are_not_skipped() {
    let job = Job::new("arriving", 4);
    let stage = stream::Stage { workers: 2, ..job.stage.clone() };
    let job = Job { stage, ..job };
    let producer = producer();
    let mut next = 0;
    for _ in 0..10 {
        let copy = job.start("a");
        let mut sent = 0;
        // Until the copy works, and a little longer: an offset that was looked up meanwhile must not be where it starts.
        while copy.records() < 50 || sent < 400 {
            let (key, value) = (format!("k{}", next % 40), next.to_string());
            producer
                .send(BaseRecord::to(&job.stage.input).key(&key).payload(&value))
                .map_err(|(e, _)| e)
                .unwrap();
            next += 1;
            sent += 1;
            std::thread::sleep(Duration::from_millis(3));
        }
        producer.flush(Duration::from_secs(10)).unwrap();
        wait("all records of this round", || copy.records() == sent);
        copy.stop().unwrap();
    }
    check(&job, next);
}
