//! The normalizer's own work by source, on one thread and without Kafka.

use std::sync::Arc;
use std::time::Duration;

use commerce::{ReceivedTime, Source};
use service::stage::Parts;
use sources::{Accepted, Workspaces};
use topics::{Schemas, Topic};

use super::logic::{Stage, raw};
use super::report::Report;
use super::sample::{REFERENCE, Sample, Which, workspace};
use super::{float, say};
use crate::{Output, Stop};

/// `bench normalize`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whose requests; shopify's are always measured beside them.
    #[arg(long, value_enum, default_value = "all")]
    source: Which,
    /// Requests of each source and round.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    n: u64,
    /// How often each source is measured, in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// How to write the figures.
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

const METHOD: &str = "the typical request of each source, as it lies in the raw topic, through the processor of the \
    normalizer by one thread from memory, the canonical event's Avro included; the sources in turn";
/// Different requests of a source, and records per transaction.
const CUT: u64 = 1_000;

/// A source, its requests as the gateway stores them, and its normalizer.
struct Side {
    source: Source,
    stored: Vec<(Accepted, Vec<u8>)>,
    stage: Stage<normalizer::Normalizer>,
}

impl Side {
    /// Reads so many requests.
    fn read(&mut self, n: u64, stamp: &str) -> anyhow::Result<()> {
        let mut left = n;
        while left > 0 {
            let cut = usize::try_from(left.min(CUT)).unwrap_or(usize::MAX);
            let records = self.stored.iter().take(cut).zip(0..);
            let records = records.map(|((accepted, body), offset)| raw(accepted, body, offset, stamp));
            self.stage.transaction(records, None)?;
            left -= left.min(CUT);
        }
        Ok(())
    }
}

/// Measures.
pub fn run(args: &Args) -> Result<Report, Stop> {
    let workspaces = Workspaces::from_configs([workspace()])
        .map_err(|mistakes| Stop::Failed(anyhow::anyhow!(mistakes.join("; "))))?;
    let workspaces = Arc::new(workspaces);
    let now = ReceivedTime(service::clock::now().0);
    let parts =
        Parts { workspaces: Arc::clone(&workspaces), schemas: Schemas::offline(), event_partitions: 1 };
    let mut sides = Vec::new();
    for source in args.source.sources() {
        let mut stored = Vec::new();
        for n in 0..CUT.min(args.n) {
            let sample = Sample::typical(source, n, now)?;
            stored.push((sample.accept(&workspaces, now)?, sample.body));
        }
        let stage = Stage::new(&normalizer::PLAN, normalizer::Normalizer::new(&parts)?);
        sides.push(Side { source, stored, stage });
    }
    let stamp = now.to_rfc3339();
    for side in &mut sides {
        // Warms up what is shared and what isn't, and counts for nothing.
        side.read(CUT.min(args.n), &stamp)?;
        side.stage = Stage::new(&normalizer::PLAN, normalizer::Normalizer::new(&parts)?);
    }
    for round in 0..args.rounds {
        for side in &mut sides {
            say(&format!("round {} of {}: {}", round + 1, args.rounds, side.source.as_str()));
            side.read(args.n, &stamp)?;
        }
    }
    Ok(report(&sides, args))
}

fn report(sides: &[Side], args: &Args) -> Report {
    let mut report = Report::new("normalize", false, METHOD);
    let requests = args.n * u64::from(args.rounds);
    let per_request = |busy: Duration| busy.as_secs_f64() * 1e6 / float(requests);
    let reference = sides.iter().find(|side| side.source == REFERENCE);
    let reference = reference.map_or(f64::NAN, |side| per_request(side.stage.busy));
    for side in sides {
        let (name, micros) = (side.source.as_str(), per_request(side.stage.busy));
        let written = |topic: Topic| side.stage.written.get(&topic).map_or(0, |(records, _)| *records);
        let bytes = side.stored.iter().map(|(_, body)| body.len() as u64).sum::<u64>();
        report.figure(format!("{name}_per_s"), 1e6 / micros, "requests/s");
        report.figure(format!("{name}_us"), micros, "µs per request");
        report.figure(format!("{name}_ratio"), reference / micros, "rate / that of shopify");
        report.figure(format!("{name}_bytes"), float(bytes) / float(side.stored.len() as u64), "per body");
        let events = written(Topic::Events);
        report.figure(format!("{name}_events"), float(events) / float(requests), "per request");
        report.check(format!("dead letters of {name}"), &0, &written(Topic::DeadLetters));
        report.check(format!("whether {name} has events of each request"), &true, &(events >= requests));
    }
    report
}
