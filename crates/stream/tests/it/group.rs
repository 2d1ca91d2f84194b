//! Copies that come and go, groups that forget, brokers that are away.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use localkafka::{ApiKey, shared_proxy};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{DefaultProducerContext, Producer, ThreadedProducer};

use crate::books::anomalies;
use crate::cluster::{Writer, client, forget_group, produce, wait};
use crate::counting::{Copy, Job, Kind, over_both_stores};
use crate::crashes::open_foreign;
use crate::process::{SESSION, settings};

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

/// The ids of a group's members.
fn members(group: &str) -> BTreeSet<String> {
    let consumer: BaseConsumer = client().set("group.id", "test-groups").create().unwrap();
    let groups = consumer.fetch_group_list(Some(group), Duration::from_secs(10)).unwrap();
    groups.groups().iter().flat_map(|group| group.members()).map(|member| member.id().to_owned()).collect()
}

#[test]
fn a_restore_that_takes_longer_than_the_session_does_not_cost_the_membership() {
    let mut job = Job::new("long-restore", 2);
    settings(&mut job);
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
fn copies_come_and_go_while_records_arrive() {
    let mut job = Job::new("scale", 4);
    settings(&mut job);
    let writer = Writer::start(&job.stage.input);
    let a = job.start("a");
    wait("one works", || a.seen.running() == 4);
    let (b, c) = (job.start("b"), job.start("c"));
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
