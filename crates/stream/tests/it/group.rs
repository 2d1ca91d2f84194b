//! Copies that come and go, groups that forget, brokers that are away.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use localkafka::{ApiKey, Held, shared_proxy};
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};

use crate::books::anomalies;
use crate::cluster::{Writer, client, end_of, forget_group, is_stable, members, produce, read, wait};
use crate::counting::{Copy, Job, Kind, over_both_stores};
use crate::crashes::{open_foreign, open_foreign_on};
use crate::process::{Process, SESSION, settings};

over_both_stores! {
    an_outage_in_the_middle_of_a_commit_is_waited_for
    an_outage_in_the_middle_of_a_restore_is_waited_for
    a_restore_that_waits_for_the_cluster_can_be_stopped
    a_copy_that_waits_for_the_cluster_can_be_stopped
}

const SOON: Duration = Duration::from_secs(30);

fn wait_at(copy: &Copy, offsets: i64) {
    wait("the end of the input", || copy.seen.at() == offsets);
}

#[test]
fn a_group_whose_offsets_have_expired_goes_on_where_its_changelog_says() {
    let mut job = Job::new("expired", 2);
    settings(&mut job);
    produce(&job.stage.input, 0, 200, 20);
    let copy = job.start("a");
    wait_at(&copy, 200);
    copy.stop().unwrap();
    forget_group(&job.stage.name);
    produce(&job.stage.input, 200, 200, 20);
    let copy = job.start("a");
    wait_at(&copy, 400);
    assert_eq!(copy.records(), 200, "nothing is read from the beginning or skipped to the end");
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

/// A commit whose outcome its producer doesn't get to know, because it is fenced before. `arrives` says whether the
/// broker gets the request before that.
fn unknown_outcome(arrives: bool) {
    let job = Job::new("unknown", 1).proxied();
    let name = &job.stage.name;
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait_at(&copy, 100);
    let proxy = shared_proxy();
    let held =
        if arrives { proxy.hold_answer(name, ApiKey::EndTxn) } else { proxy.hold(name, ApiKey::EndTxn) };
    produce(&job.stage.input, 100, 100, 10);
    assert!(held.wait_until_held(SOON));
    let other: ThreadedProducer<DefaultProducerContext> =
        client().set("transactional.id", format!("{name}-a-0")).create().unwrap();
    other.init_transactions(Duration::from_secs(20)).unwrap();
    held.cut();
    wait_at(&copy, 200);
    let recycled = copy.seen.recycled.lock().unwrap().clone();
    assert!(recycled.contains(&"unknown"), "{recycled:?}");
    assert_eq!(copy.records(), 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn a_commit_that_happened_without_an_answer_is_found_out_and_kept() {
    unknown_outcome(true);
}

#[test]
fn a_commit_that_never_arrived_is_found_out_and_done_again() {
    unknown_outcome(false);
}

/// A commit that fails for its producer with an error after which nothing is known. `arrives` says whether it happened.
fn unclear_error(arrives: bool, code: i16) {
    let job = Job::new("unclear", 1).proxied();
    let name = &job.stage.name;
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait_at(&copy, 100);
    let proxy = shared_proxy();
    let held =
        if arrives { proxy.hold_answer(name, ApiKey::EndTxn) } else { proxy.hold(name, ApiKey::EndTxn) };
    produce(&job.stage.input, 100, 100, 10);
    assert!(held.wait_until_held(SOON));
    // Throttle time, error code.
    held.answer_with(&[&[0; 4][..], &code.to_be_bytes()].concat());
    wait_at(&copy, 200);
    assert_eq!(copy.records(), 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0], "{code}");
}

const INVALID_TXN_STATE: i16 = 48;

#[test]
fn a_commit_that_happened_although_it_failed_for_its_producer_is_kept() {
    unclear_error(true, INVALID_TXN_STATE);
}

const UNKNOWN_SERVER_ERROR: i16 = -1;

#[test]
fn a_commit_that_happened_although_its_producer_was_told_to_abort_is_kept() {
    unclear_error(true, UNKNOWN_SERVER_ERROR);
}

#[test]
fn a_commit_that_did_not_happen_and_broke_its_producer_is_done_again() {
    unclear_error(false, INVALID_TXN_STATE);
}

fn an_outage_in_the_middle_of_a_commit_is_waited_for(kind: Kind) {
    let job = Job::on(kind, "outage", 1).proxied();
    let name = &job.stage.name;
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait_at(&copy, 100);
    let held = shared_proxy().hold(name, ApiKey::EndTxn);
    produce(&job.stage.input, 100, 100, 10);
    assert!(held.wait_until_held(SOON));
    shared_proxy().block(name);
    held.cut();
    wait("it tries again and again", || shared_proxy().refused(name) > 20);
    assert!(!copy.is_finished());
    shared_proxy().unblock(name);
    wait_at(&copy, 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

fn a_copy_that_waits_for_the_cluster_can_be_stopped(kind: Kind) {
    let job = Job::on(kind, "stopped", 1).proxied();
    shared_proxy().block(&job.stage.name);
    let copy = job.start("a");
    wait("it says that it waits", || copy.seen.waited.load(Ordering::Relaxed) > 0);
    copy.stop().unwrap();
}

/// A copy that has a partition and can't ask the cluster about its state, and the job.
fn blocked_in_its_restore(kind: Kind, name: &str) -> (Job, Copy) {
    let job = Job::on(kind, name, 2).proxied();
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait_at(&copy, 100);
    copy.stop().unwrap();
    let foreign = open_foreign(&job);
    produce(&job.stage.input, 100, 100, 10);
    let copy = job.start("a");
    wait("it restores", || copy.seen.tasks() == 2);
    shared_proxy().block(&job.stage.name);
    foreign.abort_transaction(Duration::from_secs(20)).unwrap();
    wait("it tries again and again", || shared_proxy().refused(&job.stage.name) > 20);
    (job, copy)
}

fn an_outage_in_the_middle_of_a_restore_is_waited_for(kind: Kind) {
    let (job, copy) = blocked_in_its_restore(kind, "restore-outage");
    assert!(!copy.is_finished());
    shared_proxy().unblock(&job.stage.name);
    wait_at(&copy, 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

fn a_restore_that_waits_for_the_cluster_can_be_stopped(kind: Kind) {
    let (_, copy) = blocked_in_its_restore(kind, "restore-stopped");
    copy.stop().unwrap();
}

#[test]
fn a_restore_that_takes_longer_than_the_session_does_not_cost_the_membership() {
    let mut job = Job::new("long-restore", 2);
    settings(&mut job);
    // Heartbeats come from a thread of librdkafka's: it is the polls that a restore could keep from coming.
    let session = SESSION.as_millis().to_string();
    job.stage.client.set("session.timeout.ms", &session).set("max.poll.interval.ms", &session);
    produce(&job.stage.input, 0, 100, 20);
    let copy = job.start("a");
    wait_at(&copy, 100);
    copy.stop().unwrap();
    let foreign = open_foreign(&job);
    produce(&job.stage.input, 100, 100, 20);
    let copy = job.start("a");
    wait("both restore", || copy.seen.tasks() == 2);
    let before = members(&job.stage.name);
    // This span is what the test is about.
    thread::sleep(3 * SESSION);
    assert_eq!((copy.seen.tasks(), copy.seen.running()), (2, 0));
    assert_eq!(members(&job.stage.name), before);
    foreign.abort_transaction(Duration::from_secs(20)).unwrap();
    wait_at(&copy, 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn a_partition_whose_state_is_there_works_while_another_is_restored() {
    let mut job = Job::new("half-restored", 2);
    settings(&mut job);
    produce(&job.stage.input, 0, 100, 20);
    let copy = job.start("a");
    wait_at(&copy, 100);
    copy.stop().unwrap();
    let foreign = open_foreign_on(&job, &[1]);
    produce(&job.stage.input, 100, 100, 20);
    let copy = job.start("a");
    let first = i64::try_from(read(&job.stage.input)[&0].len()).unwrap();
    wait_at(&copy, first);
    assert_eq!((copy.seen.tasks(), copy.seen.running()), (2, 1));
    foreign.abort_transaction(Duration::from_secs(20)).unwrap();
    wait_at(&copy, 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;

/// What the broker said about the offsets of the last partition: it stands before the ends of partition, topic and all.
fn refusal(held: &Held) -> i16 {
    let answer = held.answer(SOON).expect("an answer");
    let [.., high, low, 0, 0, 0] = answer[..] else { panic!("{answer:?}") };
    i16::from_be_bytes([high, low])
}

#[test]
fn offsets_that_are_refused_for_their_generation_are_taken_back_with_their_records_and_state() {
    let mut job = Job::new("generation", 2).proxied();
    settings(&mut job);
    produce(&job.stage.input, 0, 100, 20);
    let a = job.start("a");
    wait_at(&a, 100);
    let offsets = shared_proxy().hold(&job.stage.name, ApiKey::TxnOffsetCommit);
    produce(&job.stage.input, 100, 40, 20);
    assert!(offsets.wait_until_held(SOON));
    let b = job.direct().start("b");
    // The first has joined the next generation when the group goes on.
    wait("the next generation", || is_stable(&job.stage.name, 2));
    offsets.release();
    assert_eq!(refusal(&offsets), ILLEGAL_GENERATION);
    wait("both work", || a.seen.running() == 1 && b.seen.running() == 1);
    wait("the end of the input", || a.seen.at() + b.seen.at() == 140);
    // A slow machine may meet the group in motion once more.
    let aborted = a.seen.aborted.lock().unwrap().clone();
    assert!(aborted.first() == Some(&"commit") && !aborted.contains(&"unknown"), "{aborted:?}");
    a.stop().unwrap();
    b.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn offsets_that_are_refused_for_their_member_are_taken_back_with_their_records_and_state() {
    let mut job = Job::new("member", 2).proxied();
    settings(&mut job);
    produce(&job.stage.input, 0, 100, 20);
    let copy = Process::start(&job, "a", "", None);
    copy.wait_at(2, 100);
    let offsets = shared_proxy().hold(&job.stage.name, ApiKey::TxnOffsetCommit);
    produce(&job.stage.input, 100, 40, 20);
    assert!(offsets.wait_until_held(SOON));
    copy.signal("STOP");
    wait("the group to forget it", || members(&job.stage.name).is_empty());
    offsets.release();
    assert_eq!(refusal(&offsets), UNKNOWN_MEMBER_ID);
    copy.signal("CONT");
    copy.wait_at(2, 140);
    assert!(copy.seen("aborts") > 0);
    copy.stop();
    assert_eq!(anomalies(&job), [""; 0]);
}

/// Two copies of a job that cuts no transaction by itself: the first through the proxy and with an open transaction.
fn with_open_transaction(name: &str) -> (Job, Copy) {
    let mut job = Job::new(name, 2).proxied();
    settings(&mut job);
    (job.stage.cut.records, job.stage.cut.interval) = (1_000, Duration::from_secs(600));
    job.stage.cut.idle_interval = job.stage.cut.interval;
    produce(&job.stage.input, 0, 100, 20);
    let copy = job.start("a");
    wait("outputs", || end_of(job.out()) > 0);
    (job, copy)
}

#[test]
fn what_is_open_is_committed_before_a_partition_is_handed_over() {
    let (job, a) = with_open_transaction("hand-over");
    let b = job.direct().start("b");
    wait("both work", || a.seen.running() == 1 && b.seen.running() == 1);
    assert!(a.records() > 0, "the work of before the revocation counts");
    assert_eq!(*a.seen.aborted.lock().unwrap(), [""; 0]);
    a.stop().unwrap();
    b.stop().unwrap();
    let copy = job.start("a");
    wait_at(&copy, 100);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn what_is_open_when_an_assignment_is_lost_is_aborted_and_not_even_offered() {
    let (job, a) = with_open_transaction("lost");
    shared_proxy().block(&job.stage.name);
    let mut quick = job.direct();
    settings(&mut quick);
    quick.stage.cut.interval = Duration::from_millis(100);
    let b = quick.start("b");
    // It has both only when the group has given the other one up.
    wait("b does it alone", || b.seen.running() == 2);
    wait("a notices", || !a.seen.aborted.lock().unwrap().is_empty());
    shared_proxy().unblock(&job.stage.name);
    wait("both work", || a.seen.running() == 1 && b.seen.running() == 1);
    assert_eq!(a.seen.aborted.lock().unwrap().first(), Some(&"lost"));
    a.stop().unwrap();
    b.stop().unwrap();
    let copy = quick.start("a");
    wait_at(&copy, 100);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn copies_come_and_go_while_records_arrive() {
    let mut job = Job::new("scale", 4);
    settings(&mut job);
    // Long enough that whatever is revoked has records in the open transaction.
    (job.stage.cut.records, job.stage.cut.interval) = (100_000, Duration::from_secs(3));
    job.stage.cut.idle_interval = job.stage.cut.interval;
    let writer = Writer::start(&job.stage.input);
    let a = job.start("a");
    wait("one works", || a.seen.running() == 4);
    // One after the other, so that each takes partitions from copies that work.
    let b = job.start("b");
    wait("two work", || [&a, &b].iter().all(|copy| copy.seen.running() == 2));
    let c = job.start("c");
    let spread = || [&a, &b, &c].map(|copy| copy.seen.running());
    wait("three work", || spread().iter().all(|n| *n > 0) && spread().iter().sum::<usize>() == 4);
    wait("three have done something", || [&a, &b, &c].iter().all(|copy| copy.records() > 0));
    b.stop().unwrap();
    c.stop().unwrap();
    wait("one has all again", || a.seen.running() == 4);
    let total = writer.stop();
    wait_at(&a, i64::try_from(total).unwrap());
    a.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}
