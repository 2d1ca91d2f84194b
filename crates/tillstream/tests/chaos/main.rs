//! The services as they are deployed, killed, frozen, moved and cut off while shops send; then a checker that shares no
//! code with them (`tests/chaos`, in Python) computes the answer from what was accepted and compares every record.
//!
//! `tests/chaos.sh` runs it with other sizes; so do the variables of [`plan::Size::or_from_environment`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails, helpers included"
)]

mod checker;
mod controls;
mod fleet;
mod plan;
mod rig;
mod run;
mod sender;

use localkafka::{Turn, Turns};
use plan::Size;

/// A cluster with all services waits for its turn; one with several copies of each weighs more.
fn turn(weight: usize) -> Turn<'static> {
    static TURNS: Turns = Turns::new(3);
    TURNS.take(weight)
}

const CONTROL: usize = 1;
const FLEET: usize = 2;

#[test]
fn the_checker_finds_what_is_planted_and_nothing_else() {
    let status = checker::python(&["-m", "unittest", "-q", "test_checker"]).status().unwrap();
    assert!(status.success());
}

#[test]
fn nothing_is_lost_doubled_or_wrong_while_every_service_is_killed_again_and_again() {
    let _turn = turn(FLEET);
    let size = Size { brokers: 1, orders: 20_000, kills: 28, seed: 1 }.or_from_environment();
    let verdict = run::run(&size);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn nothing_is_lost_doubled_or_wrong_while_one_of_three_brokers_is_killed_and_brought_back() {
    let _turn = turn(FLEET);
    let size = Size { brokers: 3, orders: 2_000, kills: 6, seed: 2 }.or_from_environment();
    let verdict = run::run(&size);
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn a_crash_without_transactions_repeats_and_the_checker_finds_it() {
    let _turn = turn(CONTROL);
    let verdict = controls::crash("stream::after-produce", "stream::no-transactional-id=return");
    assert!(verdict.has("facts", "doubled"), "{verdict:?}");
}

#[test]
fn a_crash_with_offsets_outside_the_transaction_loses_and_the_checker_finds_it() {
    let _turn = turn(CONTROL);
    let verdict = controls::crash("stream::before-commit", "stream::offsets-outside=return");
    assert!(verdict.has("facts", "lost"), "{verdict:?}");
}

#[test]
fn a_zombie_that_commits_without_its_membership_repeats_and_the_checker_finds_it() {
    let _turn = turn(CONTROL);
    let verdict = controls::zombie("stream::stale-group-metadata=return");
    assert!(verdict.has("facts", "doubled"), "{verdict:?}");
}

#[test]
fn a_zombie_with_nothing_taken_away_leaves_nothing_to_find() {
    let _turn = turn(CONTROL);
    let verdict = controls::zombie("");
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn the_same_crash_with_nothing_taken_away_leaves_nothing_to_find() {
    let _turn = turn(CONTROL);
    let verdict = controls::crash("stream::before-commit", "");
    assert!(verdict.is_clean(), "{verdict:?}");
}

#[test]
fn a_restore_that_ends_before_an_open_transaction_forgets_and_the_checker_finds_it() {
    let _turn = turn(CONTROL);
    let verdict = controls::restore_beside_an_open_transaction("stream::restore-to-lso=return");
    assert!(verdict.has("facts", "doubled"), "{verdict:?}");
}

#[test]
fn a_restore_that_waits_for_an_open_transaction_forgets_nothing() {
    let _turn = turn(CONTROL);
    let verdict = controls::restore_beside_an_open_transaction("");
    assert!(verdict.is_clean(), "{verdict:?}");
}
