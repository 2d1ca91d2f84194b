//! Input, topics and times that are not what they should be: each has a defined end, and nothing is lost.

use rdkafka::producer::{BaseRecord, Producer};
use std::time::Duration;

use crate::books::anomalies;
use crate::cluster::{produce, producer, read, wait, widen};
use crate::counting::Job;
use crate::crashes::open_foreign;
use crate::process::settings;

fn write(topic: &str, records: &[BaseRecord<'_, str, str>]) {
    let producer = producer();
    for record in records {
        let mut copy = BaseRecord::to(topic).payload(record.payload.unwrap());
        copy.key = record.key;
        copy.timestamp = record.timestamp;
        producer.send(copy).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn record<'a>(value: &'a str) -> BaseRecord<'a, str, str> {
    BaseRecord::to("").key("k").payload(value)
}

#[test]
fn a_dead_letter_that_its_topic_cannot_take_is_cut_and_says_where_the_rest_is() {
    let mut job = Job::new("large-letter", 1);
    job.stage.outputs[1].max_message_bytes = 2_000;
    let large = format!("poison-whole{}", "x".repeat(10_000));
    write(&job.stage.input, &[record("1"), record(&large), record("2")]);
    let copy = job.start("a");
    wait("three records", || copy.seen.at() == 3);
    copy.stop().unwrap();
    let dead: Vec<_> = read(job.dead()).into_values().flatten().map(|(_, v)| v.unwrap()).collect();
    assert_eq!(dead.len(), 1);
    let (message, body) = dead[0].split_once('|').unwrap();
    let place = format!("all of them are at {}-0@1", job.stage.input);
    assert!(message.contains(&format!("the first {} of 10012 bytes", body.len())), "{message}");
    assert!(message.contains(&place), "{message}");
    assert!(body.len() > 1_000 && large.starts_with(body));
    let out: Vec<_> = read(job.out()).into_values().flatten().map(|(_, v)| v.unwrap()).collect();
    assert_eq!(out, ["1:1", "2:2"]);
}

#[test]
fn a_dead_letter_that_can_never_be_written_stops_the_stage_with_its_place() {
    let mut job = Job::new("no-letter", 1);
    job.stage.outputs[1].max_message_bytes = 100;
    write(&job.stage.input, &[record("1"), record("poison-whole")]);
    let error = job.start("a").end().unwrap_err().to_string();
    assert!(error.contains(&format!("{}-0@1 can't be set aside", job.stage.input)), "{error}");
}

/// A stage that has processed something, then more partitions.
fn widened(name: &str, changelog_too: bool) -> String {
    let job = Job::new(name, 2);
    produce(&job.stage.input, 0, 100, 20);
    let copy = job.start("a");
    wait("100 records", || copy.seen.at() == 100);
    copy.stop().unwrap();
    widen(&[&job.stage.input], 4);
    if changelog_too {
        widen(&[&job.stage.changelog], 4);
    }
    produce(&job.stage.input, 100, 100, 20);
    let error = job.start("a").end().unwrap_err().to_string();
    assert_eq!(read(job.out()).into_values().flatten().count(), 100, "nothing was done under a wrong owner");
    error
}

#[test]
fn an_input_that_was_given_more_partitions_stops_the_stage_at_its_start() {
    let error = widened("wider-input", false);
    assert!(error.contains("has 2 partitions where the state was written for 4"), "{error}");
}

#[test]
fn widening_input_and_changelog_alike_does_not_hide_that_keys_have_moved() {
    let error = widened("wider-both", true);
    assert!(error.contains("has 4 partitions where the state was written for 2"), "{error}");
}

#[test]
fn a_partition_that_was_added_is_not_started_although_nothing_is_known_of_the_others_yet() {
    let mut job = Job::new("added", 2);
    settings(&mut job);
    produce(&job.stage.input, 0, 100, 20);
    let copy = job.start("a");
    wait("100 records", || copy.seen.at() == 100);
    copy.stop().unwrap();
    widen(&[&job.stage.input, &job.stage.changelog], 3);
    // The others can't be restored, as if another copy had them.
    let foreign = open_foreign(&job);
    produce(&job.stage.input, 100, 100, 20);
    // Another member: one that comes back under its old name gets its old partitions, without the new one.
    let error = job.start("b").end().unwrap_err().to_string();
    foreign.abort_transaction(Duration::from_secs(20)).unwrap();
    assert!(error.contains("has 3 partitions where the state was written for 2"), "{error}");
}

#[test]
fn an_input_that_is_given_more_partitions_stops_a_running_stage() {
    let mut job = Job::new("widening", 2);
    job.stage.client.set("topic.metadata.refresh.interval.ms", "1000");
    produce(&job.stage.input, 0, 100, 20);
    let copy = job.start("a");
    wait("100 records", || copy.seen.at() == 100);
    widen(&[&job.stage.input, &job.stage.changelog], 4);
    let error = copy.end().unwrap_err().to_string();
    assert!(error.contains("has 4 partitions where the state was written for 2"), "{error}");
    // The state says two partitions, as it must; all else is as with four.
    assert_eq!(anomalies(&job), ["state: the changelog differs"]);
}

#[test]
fn a_changelog_of_another_version_stops_the_stage_with_what_to_do() {
    // Format 4, then whatever that version writes; format 2, of one partition and the offset 0.
    let newer =
        (&[4_u8, 9, 9, 9, 9][..], "written in format 4, this version reads up to 3: run the newer version");
    let older = (
        &[2_u8, 2, 0][..],
        "written in format 2, this version reads only 3: run the older version, or replay",
    );
    for (name, (progress, message)) in [("newer", newer), ("older", older)] {
        let job = Job::new(name, 1);
        let producer = producer();
        let record = BaseRecord::to(&job.stage.changelog).key(&b"\xFFoffset"[..]).payload(progress);
        producer.send(record).map_err(|(e, _)| e).unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        produce(&job.stage.input, 0, 10, 1);
        let error = job.start("a").end().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert_eq!(read(job.out()).len(), 0);
    }
}

#[test]
fn times_that_jump_by_years_change_nothing_but_the_times() {
    let job = Job::new("times", 1);
    let values: Vec<String> = (0..60).map(|n| n.to_string()).collect();
    // 2026, 2100, 1970, 2025: what a clock that is set back and forth writes.
    let times = [1_795_000_000_000, 4_102_444_800_000, 1, 1_735_689_600_000];
    let records: Vec<_> =
        values.iter().zip(times.iter().cycle()).map(|(value, at)| record(value).timestamp(*at)).collect();
    write(&job.stage.input, &records[..30]);
    let copy = job.start("a");
    wait("the first half", || copy.seen.at() == 30);
    copy.stop().unwrap();
    write(&job.stage.input, &records[30..]);
    let copy = job.start("a");
    wait("the second half", || copy.seen.at() == 60);
    assert_eq!(*copy.seen.aborted.lock().unwrap(), [""; 0]);
    copy.stop().unwrap();
    assert_eq!(anomalies(&job), [""; 0]);
}
