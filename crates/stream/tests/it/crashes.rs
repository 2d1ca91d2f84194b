//! A copy that dies at each step leaves the same bytes as one that was never disturbed, and a runtime with a protection
//! taken away doesn't: the same check finds it.

use std::os::unix::process::ExitStatusExt;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::books::{Books, anomalies, books};
use crate::cluster::{client, produce, wait};
use crate::counting::Job;
use crate::process::{Process, settings};

/// SIGABRT.
const ABORTED: i32 = 6;
/// Half of the input of a walk.
const HALF: i64 = 300;

/// A job whose first half is processed and whose second half waits.
fn half_done(name: &str) -> Job {
    let mut job = Job::new(name, 2);
    settings(&mut job);
    produce(&job.stage.input, 0, HALF as u64, 20);
    let copy = Process::start(&job, "a", "", None);
    copy.wait_at(2, HALF);
    copy.stop();
    produce(&job.stage.input, HALF as u64, HALF as u64, 20);
    job
}

/// Lets a new copy do what is left.
fn finish(job: &Job, failpoints: &str) {
    let copy = Process::start(job, "a", failpoints, None);
    copy.wait_at(2, 2 * HALF);
    copy.stop();
}

fn die_once(job: &Job, failpoints: &str) {
    let copy = Process::start(job, "a", failpoints, None);
    let (status, error) = copy.end();
    if failpoints.ends_with("(abort)") {
        assert_eq!(status.signal(), Some(ABORTED), "{status}: {error}");
    } else {
        assert!(!status.success() && error.contains("told to fail at"), "{status}: {error}");
    }
}

/// The books of a job that nothing happened to.
fn undisturbed() -> &'static Books {
    static BOOKS: OnceLock<Books> = OnceLock::new();
    BOOKS.get_or_init(|| {
        let job = half_done("undisturbed");
        finish(&job, "");
        assert_eq!(anomalies(&job), [""; 0]);
        books(&job)
    })
}

/// A copy dies there, by a signal and by an error; another does the rest.
fn ends_at(point: &str, skip: u32) {
    for how in ["return(abort)", "return"] {
        let job = half_done("crash");
        die_once(&job, &format!("{point}={skip}*off->{how}"));
        finish(&job, "");
        assert_eq!(anomalies(&job), [""; 0], "{point} {how}");
        assert_eq!(&books(&job), undisturbed(), "{point} {how}");
    }
}

#[test]
fn a_copy_that_ends_behind_its_outputs_leaves_the_same_bytes_as_an_undisturbed_one() {
    ends_at("stream::after-produce", 2);
}

#[test]
fn a_copy_that_ends_before_its_offsets_leaves_the_same_bytes_as_an_undisturbed_one() {
    ends_at("stream::before-offsets", 2);
}

#[test]
fn a_copy_that_ends_before_its_commit_leaves_the_same_bytes_as_an_undisturbed_one() {
    ends_at("stream::before-commit", 2);
}

#[test]
fn a_copy_that_ends_behind_its_commit_leaves_the_same_bytes_as_an_undisturbed_one() {
    ends_at("stream::after-commit", 2);
}

#[test]
fn a_copy_that_ends_in_a_restore_leaves_the_same_bytes_as_an_undisturbed_one() {
    ends_at("stream::in-restore", 7);
}

#[test]
fn a_copy_that_dies_while_it_hands_a_partition_over_leaves_the_same_bytes() {
    for how in ["return(abort)", "return"] {
        let job = half_done("revocation");
        let first = Process::start(&job, "a", &format!("stream::in-revocation={how}"), None);
        wait("the first works", || first.seen("running") == 2);
        let second = Process::start(&job, "b", "", None);
        let (status, _) = first.end();
        assert!(!status.success());
        second.wait_at(2, 2 * HALF);
        second.stop();
        assert_eq!(anomalies(&job), [""; 0], "{how}");
        assert_eq!(&books(&job), undisturbed(), "{how}");
    }
}

/// It comes back under its name before the group has missed it, and is given what it had kept: what it had given up
/// must not stay nobody's.
#[test]
fn what_a_copy_gave_up_before_it_died_gets_an_owner_though_the_copy_comes_back() {
    let job = half_done("given-up");
    let first = Process::start(&job, "a", "stream::in-revocation=return(abort)", None);
    wait("the first works", || first.seen("running") == 2);
    let second = Process::start(&job, "b", "", None);
    let (status, _) = first.end();
    assert!(!status.success());
    let first = Process::start(&job, "a", "", None);
    wait("each partition with an owner", || {
        let copies = [&first, &second];
        copies.iter().map(|copy| copy.seen("running")).sum::<i64>() == 2
    });
    first.stop();
    second.stop();
    finish(&job, "");
    assert_eq!(anomalies(&job), [""; 0]);
    assert_eq!(&books(&job), undisturbed());
}

fn assert_found(job: &Job, kind: &str) {
    let found = anomalies(job);
    assert!(found.iter().any(|anomaly| anomaly.starts_with(kind)), "no '{kind}' in {found:?}");
}

#[test]
fn without_transactions_a_crash_repeats_outputs_and_the_check_finds_it() {
    let broken = "stream::no-transactional-id=return";
    let job = half_done("plain");
    die_once(&job, &format!("{broken};stream::after-produce=2*off->return(abort)"));
    finish(&job, broken);
    assert_found(&job, "repeated");
}

#[test]
fn offsets_outside_the_transaction_lose_records_and_the_check_finds_it() {
    let broken = "stream::offsets-outside=return";
    let job = half_done("outside");
    die_once(&job, &format!("{broken};stream::before-commit=2*off->return(abort)"));
    finish(&job, broken);
    assert_found(&job, "lost");
}

/// A frozen copy wakes up with an open transaction after another one has done its work.
fn zombie(name: &str, failpoints: &str) -> Job {
    let job = half_done(name);
    let mut zombie = Process::start(&job, "a", failpoints, Some("stream::after-produce"));
    zombie.wait_held(1);
    zombie.signal("STOP");
    let heir = Process::start(&job, "b", "", None);
    heir.wait_at(2, 2 * HALF);
    heir.stop();
    zombie.go();
    zombie.signal("CONT");
    // It finds out that it has lost its partitions, or doesn't; in both cases it goes on with all of them.
    zombie.wait_at(2, 2 * HALF);
    zombie.stop();
    job
}

#[test]
fn a_zombie_commits_nothing_of_what_another_copy_has_done() {
    assert_eq!(anomalies(&zombie("zombie", "")), [""; 0]);
}

#[test]
fn a_zombie_that_commits_without_its_membership_repeats_outputs_and_the_check_finds_it() {
    assert_found(&zombie("stale", "stream::stale-group-metadata=return"), "repeated");
}

/// Leaves a foreign transaction open on the changelog, between the first half and what comes after.
pub fn open_foreign(job: &Job) -> ThreadedProducer<DefaultProducerContext> {
    open_foreign_on(job, &[0, 1])
}

/// The same on some partitions.
pub fn open_foreign_on(job: &Job, partitions: &[i32]) -> ThreadedProducer<DefaultProducerContext> {
    let id = format!("{}-foreign", job.stage.name);
    let foreign: ThreadedProducer<DefaultProducerContext> =
        client().set("transactional.id", id).set("transaction.timeout.ms", "300000").create().unwrap();
    foreign.init_transactions(Duration::from_secs(20)).unwrap();
    foreign.begin_transaction().unwrap();
    for partition in partitions {
        foreign
            .send(BaseRecord::to(&job.stage.changelog).partition(*partition).key(&b"\0zzz"[..]).payload("x"))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    foreign.flush(Duration::from_secs(10)).unwrap();
    foreign
}

/// A restore beside an open transaction of somebody else, with committed state behind it.
fn restore_beside_foreign(name: &str, failpoints: &str) -> Job {
    let mut job = Job::new(name, 2);
    settings(&mut job);
    produce(&job.stage.input, 0, HALF as u64, 20);
    // It works while the transaction is opened, so that what it commits lies on both sides of it.
    let copy = Process::start(&job, "a", "", None);
    copy.wait_at(2, HALF);
    let foreign = open_foreign(&job);
    produce(&job.stage.input, HALF as u64, HALF as u64, 20);
    copy.wait_at(2, 2 * HALF);
    copy.stop();
    produce(&job.stage.input, 2 * HALF as u64, 100, 20);
    let next = Process::start(&job, "a", failpoints, None);
    if failpoints.is_empty() {
        // Nothing may be processed while the state can't be known.
        wait("the restores run", || next.seen("tasks") == 2);
        assert_eq!((next.seen("running"), next.seen("records")), (0, 0));
    } else {
        next.wait_at(2, 2 * HALF + 100);
    }
    foreign.abort_transaction(Duration::from_secs(20)).unwrap();
    next.wait_at(2, 2 * HALF + 100);
    next.stop();
    job
}

#[test]
fn a_restore_waits_for_what_is_open_below_the_end() {
    assert_eq!(anomalies(&restore_beside_foreign("beside", "")), [""; 0]);
}

#[test]
fn a_restore_that_ends_at_the_last_stable_offset_is_short_and_the_check_finds_it() {
    let job = restore_beside_foreign("short", "stream::restore-to-lso=return");
    assert_found(&job, "repeated");
}
