//! Copies whose group fences them: with somebody else who has their name, and without.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::books::anomalies;
use crate::cluster::{Writer, client, members, produce, wait};
use crate::counting::{Copy, Job};
use crate::process::settings;

/// Joins under the first slot's name and is gone: the group has given the name to a member that nobody is, as a broker
/// does that goes back to an older membership.
fn take_name(job: &Job) {
    let group = &job.stage.name;
    let before = members(group);
    let consumer: BaseConsumer = client()
        .set("group.id", group)
        .set("group.instance.id", format!("{group}-a-0"))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", job.stage.session_timeout.as_millis().to_string())
        .create()
        .unwrap();
    consumer.subscribe(&[&job.stage.input]).unwrap();
    wait("the name to be taken", || {
        let _ = consumer.poll(Duration::from_millis(50));
        let now = members(group);
        !now.is_empty() && now != before
    });
}

#[test]
fn a_copy_that_was_fenced_by_nobody_alive_begins_anew() {
    let mut job = Job::new("self-fenced", 2);
    settings(&mut job);
    produce(&job.stage.input, 0, 100, 10);
    let copy = job.start("a");
    wait("the first records", || copy.seen.at() == 100);
    let writer = Writer::start(&job.stage.input);
    take_name(&job);
    wait("it has begun anew", || copy.seen.recycled.lock().unwrap().contains(&"self-fenced"));
    let total = 100 + i64::try_from(writer.stop()).unwrap();
    wait("the end of the input", || copy.seen.at() == total);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}

#[test]
fn of_two_copies_with_one_name_exactly_one_survives() {
    let mut job = Job::new("twins", 2);
    settings(&mut job);
    let writer = Writer::start(&job.stage.input);
    let twins = [job.start("a"), job.start("a")];
    wait("one of them to end", || twins.iter().any(Copy::is_finished));
    let (ended, left): (Vec<_>, Vec<_>) = twins.into_iter().partition(Copy::is_finished);
    for copy in ended {
        let error = copy.end().unwrap_err();
        assert!(error.to_string().contains("instance name 'a'"), "{error}");
    }
    let [left] = left.try_into().ok().expect("one that is left");
    let total = i64::try_from(writer.stop()).unwrap();
    wait("it does all", || left.seen.at() == total);
    left.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}
