//! The slow lane beside what is live, with a load of its real size.

use std::num::NonZeroU32;
use std::time::Instant;

use rdkafka::producer::{BaseRecord, Producer};

use crate::cluster::{producer, read, wait};
use crate::counting::Job;

const LOAD: usize = 100_000;
const LANE: i32 = 2;
const PER_SECOND: u64 = 200;

/// Writes records to one partition.
fn write(topic: &str, partition: i32, values: std::ops::Range<usize>) {
    let producer = producer();
    for value in values {
        let (key, value) = (format!("k{}", value % 10), value.to_string());
        let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
        while let Err((error, again)) = producer.send(record) {
            assert!(error.to_string().contains("QueueFull"), "{error}");
            producer.poll(std::time::Duration::from_millis(10));
            record = again;
        }
    }
    producer.flush(std::time::Duration::from_secs(60)).unwrap();
}

#[test]
fn cio_c16_a_load_of_100_000_waits_at_its_rate_and_all_that_is_live_overtakes_it() {
    let mut job = Job::new("lane", LANE + 1);
    job.stage.lane_per_second = NonZeroU32::new(u32::try_from(PER_SECOND).unwrap());
    write(&job.stage.input, LANE, 0..LOAD);
    let began = Instant::now();
    let copy = job.start("a");
    wait("the load to have begun", || copy.seen.at() > 0);
    let live = |processed: usize| {
        let out = read(job.out());
        (0..LANE).map(|partition| out.get(&partition).map_or(0, Vec::len)).sum::<usize>() == processed
    };
    for round in 0..10 {
        for partition in 0..LANE {
            write(&job.stage.input, partition, round * 50..(round + 1) * 50);
        }
        wait("what is live", || live((round + 1) * 100));
    }
    let through = read(job.out()).get(&LANE).map_or(0, Vec::len);
    // A portion for each second that has begun. A slow machine makes this greater, and the lane no faster.
    let most = (began.elapsed().as_secs() + 1) * PER_SECOND;
    assert!(through > 0 && through as u64 <= most, "{through} of the load, {most} at most");
    assert!(through < LOAD, "the load was through before what was live");
    copy.stop().unwrap();
}
