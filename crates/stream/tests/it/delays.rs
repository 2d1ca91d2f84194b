//! Requests that are delayed or lost on the way, one at a time, in front of a real broker.

use std::time::Duration;

use localkafka::{ApiKey, Held, shared_proxy};

use crate::books::anomalies;
use crate::cluster::{end_of, produce, stable_end, wait};
use crate::counting::{Copy, Job};
use crate::process::{Process, settings};

const SOON: Duration = Duration::from_secs(30);

fn wait_at(copy: &Copy, offsets: i64) {
    wait("the end of the input", || copy.seen.at() == offsets);
}

/// Processes a hundred records, then a hundred more with one request caught on the way.
fn with_one(key: ApiKey, catch: fn(&str, ApiKey) -> Held, then: fn(&Held)) {
    let job = Job::new("delay", 1).proxied();
    let name = job.stage.name.clone();
    produce(&job.stage.input, 0, 100, 10);
    let mut copy = job.start("a");
    wait_at(&copy, 100);
    let held = if key == ApiKey::InitProducerId {
        copy.stop().unwrap();
        let held = catch(&name, key);
        copy = job.start("a");
        held
    } else {
        catch(&name, key)
    };
    produce(&job.stage.input, 100, 100, 10);
    assert!(held.wait_until_held(SOON), "{key:?} was never sent");
    then(&held);
    wait_at(&copy, 200);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0], "{key:?}");
}

const KEYS: [ApiKey; 5] =
    [ApiKey::EndTxn, ApiKey::TxnOffsetCommit, ApiKey::AddOffsetsToTxn, ApiKey::InitProducerId, ApiKey::Fetch];

fn request(client: &str, key: ApiKey) -> Held {
    shared_proxy().hold(client, key)
}

fn answer(client: &str, key: ApiKey) -> Held {
    shared_proxy().hold_answer(client, key)
}

#[test]
fn a_request_that_never_arrives_changes_nothing() {
    for key in KEYS {
        with_one(key, request, Held::cut);
    }
}

#[test]
fn a_request_whose_answer_is_lost_changes_nothing() {
    for key in KEYS {
        with_one(key, answer, Held::cut);
    }
}

#[test]
fn a_request_that_is_delayed_changes_nothing() {
    for key in KEYS {
        with_one(key, request, |held| {
            // Longer than an end of transaction may take without the producer being replaced.
            std::thread::sleep(Duration::from_millis(1_500));
            held.release();
        });
    }
}

/// The error code of an answer to EndTxn: after the correlation id and the throttle time.
fn error_code(held: &Held) -> i16 {
    let answer = held.answer(SOON).expect("an answer");
    i16::from_be_bytes([answer[8], answer[9]])
}

/// An EndTxn gets stuck in the network, its client gives it up and ends the transaction over another connection. It
/// arrives while the outputs of a later transaction are on the broker, but neither their changelog nor the offsets; then
/// the copy dies. What the broker says to the late request, and the job after a new copy has done the rest.
fn delayed_end(failpoints: &str) -> (i16, Job) {
    let mut job = Job::new("late-end", 1).proxied();
    settings(&mut job);
    let name = job.stage.name.clone();
    produce(&job.stage.input, 0, 40, 10);
    let mut copy = Process::start(&job, "a", failpoints, Some("stream::after-produce"));
    copy.wait_held(1);
    copy.go();
    copy.wait_at(1, 40);
    let end = shared_proxy().hold(&name, ApiKey::EndTxn);
    produce(&job.stage.input, 40, 40, 10);
    assert!(end.wait_until_held(SOON));
    end.abandon();
    copy.wait_at(1, 80);
    wait("the end of the second transaction", || stable_end(job.out()) == end_of(job.out()));
    let before = end_of(job.out());
    copy.hold();
    produce(&job.stage.input, 80, 40, 10);
    copy.wait_held(2);
    wait("open outputs", || end_of(job.out()) > before);
    end.release();
    let code = error_code(&end);
    copy.kill();
    let copy = Process::start(&job, "a", failpoints, None);
    copy.wait_at(1, 120);
    copy.stop();
    (code, job)
}

const INVALID_PRODUCER_EPOCH: i16 = 47;
const PRODUCER_FENCED: i16 = 90;

#[test]
fn an_end_of_transaction_that_arrives_in_a_later_one_is_fenced() {
    let (code, job) = delayed_end("");
    assert!([INVALID_PRODUCER_EPOCH, PRODUCER_FENCED].contains(&code), "{code}");
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn without_recycling_a_late_end_of_transaction_ends_a_later_one_and_the_check_finds_it() {
    let (code, job) = delayed_end("stream::no-recycling=return");
    assert_eq!(code, 0, "the broker took it");
    let found = anomalies(&job);
    assert!(found.iter().any(|anomaly| anomaly.starts_with("repeated")), "{found:?}");
}
