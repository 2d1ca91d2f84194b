//! The gateway by source: typical requests of each over HTTP, in turn; of the analytics API also in batches.

use std::sync::Arc;
use std::time::Duration;

use commerce::{ReceivedTime, Source};

use super::cluster::Kafka;
use super::gateway::{Args, Running, Side, runtime};
use super::load::{self, Load};
use super::report::Report;
use super::sample::{REFERENCE, Sample, Which, workspace};
use super::say;
use crate::Stop;
use crate::cli::Common;

const METHOD: &str = "typical requests of each source over kept connections, client and server in one process on the \
    same cores, everything in Kafka before it is answered; the sources in turn";
/// Different ones, so that all partitions are written to.
const REQUESTS: u64 = 512;
/// Events of one batch of the analytics API, and how many batches differ.
const BATCH: u64 = 100;
const BATCHES: u64 = 32;

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Typical(Source),
    Batch,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Typical(source) => source.as_str(),
            Self::Batch => "analytics_batch",
        }
    }

    /// Signed now: a signature of some sources holds for minutes only.
    fn requests(self) -> anyhow::Result<Arc<[load::Bytes]>> {
        let now = ReceivedTime(service::clock::now().0);
        let samples: anyhow::Result<Vec<Sample>> = match self {
            Self::Typical(source) => (0..REQUESTS).map(|n| Sample::typical(source, n, now)).collect(),
            Self::Batch => (0..BATCHES).map(|n| Sample::batch(BATCH, n, now)).collect(),
        };
        Ok(samples?.iter().map(Sample::bytes).collect())
    }

    /// Events of a request.
    const fn events(self) -> u64 {
        match self {
            Self::Typical(_) => 1,
            Self::Batch => BATCH,
        }
    }
}

/// Measures the sources that are meant in turn.
pub fn run(common: &Common, args: &Args, which: Which) -> Result<Report, Stop> {
    let mut kafka = Kafka::with_topics(common, &args.place)?;
    kafka.config.workspaces = vec![workspace()];
    let mut report = Report::new("gateway", kafka.local, METHOD);
    let mut sides: Vec<(Kind, Side)> = Vec::new();
    for source in which.sources() {
        sides.push((Kind::Typical(source), Side::default()));
        if source == Source::Analytics {
            sides.push((Kind::Batch, Side::default()));
        }
    }
    let client = runtime("load", 1)?;
    let gateway = Running::start(&kafka)?;
    let span = Duration::from_secs(args.secs);
    for round in 0..args.rounds {
        for (kind, side) in &mut sides {
            say(&format!("round {} of {}: {}", round + 1, args.rounds, kind.name()));
            let requests = kind.requests()?;
            let load: Load =
                client.block_on(load::flood(gateway.address, &requests, args.connections, span))?;
            side.add(load);
        }
    }
    gateway.end()?;
    let rate = |wanted: Kind| {
        let side = sides.iter().find(|(kind, _)| *kind == wanted);
        side.map_or(f64::NAN, |(_, side)| side.rate())
    };
    let (reference, single) = (rate(Kind::Typical(REFERENCE)), rate(Kind::Typical(Source::Analytics)));
    for (kind, _) in &sides {
        let (name, per_s) = (kind.name(), rate(*kind));
        report.figure(format!("{name}_per_s"), per_s, "requests/s");
        match kind {
            Kind::Typical(_) => {
                report.figure(format!("{name}_ratio"), per_s / reference, "rate / that of shopify");
            }
            Kind::Batch => {
                let events = per_s * super::float(kind.events());
                report.figure(format!("{name}_events_per_s"), events, "events/s");
                report.figure(format!("{name}_ratio"), events / single, "events / events sent one by one");
            }
        }
    }
    report.figure("connections", f64::from(args.connections), "");
    for (kind, mut side) in sides {
        report.check(format!("requests of {} that were refused", kind.name()), &0, &side.refused);
        report.spans(kind.name(), &mut side.millis);
    }
    Ok(report)
}
