//! Reading stored deliveries and writing events, without any I/O.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use commerce::ReceivedTime;
use sources::{Accepted, Raw};
use topics::{Schemas, Topic};

use super::float;
use super::report::{Report, percentile};
use super::shops::Shops;
use super::workload::Workload;
use crate::{Output, Stop};

/// `bench normalize`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whose bodies.
    #[arg(long, value_enum, default_value_t)]
    source: Family,
    /// Different bodies.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    n: u64,
    /// How often all of them are read.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: u8,
    /// How to write the figures.
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// A source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
enum Family {
    /// Webhooks of Shopify.
    #[default]
    Shopify,
    /// The same orders from a custom backend.
    Lifesight,
}

const METHOD: &str = "bodies of workload W (2 KB) read into events, and these written as Avro, by one thread from memory; \
    the median of the rounds";

struct Stored {
    accepted: Accepted,
    body: Vec<u8>,
}

/// Measures.
pub fn run(args: &Args) -> Result<Report, Stop> {
    let mut report = Report::new("normalize", false, METHOD);
    let shops = Shops::new()?;
    let stored: Vec<Stored> = Workload::new(42, args.n)
        .map(|webhook| {
            let request = match args.source {
                Family::Shopify => shops.request(&webhook),
                Family::Lifesight => shops.backend_request(&webhook),
            };
            let request = request.context("a webhook of no shop")?;
            Ok(Stored { accepted: shops.accept(&request)?, body: request.body })
        })
        .collect::<anyhow::Result<_>>()?;
    let encoder = Schemas::offline().encoder(Topic::Events)?;
    let (mut out, mut rounds, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut reading = Vec::new();
    for _ in 0..args.rounds {
        bytes = 0;
        let began = Instant::now();
        for (offset, one) in (0..).zip(&stored) {
            black_box(event(&shops, one, offset)?);
        }
        reading.push(began.elapsed().as_secs_f64());
        let began = Instant::now();
        for (offset, one) in (0..).zip(&stored) {
            out.clear();
            encoder.encode(&event(&shops, one, offset)?, &mut out)?;
            bytes += black_box(&out).len() as u64;
        }
        rounds.push(began.elapsed().as_secs_f64());
    }
    let median = |seconds: &mut Vec<f64>| {
        seconds.sort_unstable_by(f64::total_cmp);
        percentile(seconds, 0.5).unwrap_or(f64::NAN)
    };
    let (both, reading, n) = (median(&mut rounds), median(&mut reading), float(args.n));
    report.figure("events_per_s", n / both, "events/s on one core");
    report.figure("us_per_event", both * 1e6 / n, "µs");
    report.figure("us_reading", reading * 1e6 / n, "µs, of which without writing Avro");
    report.figure("mean_body", float(stored.iter().map(|one| one.body.len() as u64).sum()) / n, "bytes");
    report.figure("mean_event", float(bytes) / n, "bytes");
    Ok(report)
}

fn event(shops: &Shops, stored: &Stored, offset: i64) -> anyhow::Result<commerce::Event> {
    let accepted = &stored.accepted;
    let workspace = shops.workspaces().get(accepted.workspace.as_str()).context("no such workspace")?;
    let headers: Vec<(&str, &str)> =
        accepted.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let raw = Raw {
        source: accepted.source,
        workspace,
        received_at: ReceivedTime(1_780_000_000_000_000),
        partition: 0,
        offset,
        headers: &headers,
        body: &stored.body,
    };
    let items = sources::normalize(&raw).map_err(|failure| anyhow!("{failure:?}"))?;
    let first = items.into_iter().next().context("a body without an event")?;
    first.map_err(|fault| anyhow!("{fault:?}"))
}
