//! Measures encoding and decoding: `cargo run --release -p topics --example codec`.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement prints, and stops at a fault")]
#![allow(unreachable_pub, dead_code, reason = "the samples are those of the tests")]

#[path = "../tests/it/samples.rs"]
mod samples;

use std::hint::black_box;
use std::time::Instant;

use commerce::avro::Datum;
use commerce::{Event, Fact};
use serde::de::DeserializeOwned;
use topics::{Schemas, Topic};

const RECORDS: u32 = 200_000;

fn measure<T: Datum + DeserializeOwned>(name: &str, topic: Topic, value: &T) {
    let schemas = Schemas::offline();
    let (encoder, mut decoder) = (schemas.encoder(topic).unwrap(), schemas.decoder());
    let mut out = Vec::new();
    let mut best = [u128::MAX; 2];
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..RECORDS {
            out.clear();
            encoder.encode(black_box(value), &mut out).unwrap();
        }
        best[0] = best[0].min(start.elapsed().as_nanos() / u128::from(RECORDS));
        let start = Instant::now();
        for _ in 0..RECORDS {
            black_box(decoder.decode::<T>(black_box(&out)).unwrap());
        }
        best[1] = best[1].min(start.elapsed().as_nanos() / u128::from(RECORDS));
    }
    println!("{name}: {} bytes, encode {} ns, decode {} ns", out.len(), best[0], best[1]);
}

fn main() {
    measure::<Event>("event, full", Topic::Events, &samples::full_event());
    measure::<Event>("event, bare", Topic::Events, &samples::bare_event());
    measure::<Fact>("fact, full", Topic::Facts, &samples::full_fact());
    measure::<Fact>("fact, bare", Topic::Facts, &samples::bare_fact());
}
