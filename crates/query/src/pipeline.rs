//! `GET /dashboard/pipeline`: what the stages have done since their processes began, from the services' own counters.
//!
//! Every process counts by itself (`/metrics`). Counters that only grow are answered as they stand, and whoever looks
//! twice has the rate between. Two addresses of one process are counted once. A service that doesn't answer is named; its
//! figures are left out rather than guessed.
//!
//! | file | what it is |
//! |---|---|
//! | [`exposition`] | Prometheus' text, read; pure |
//! | [`services`] | asks the services |

pub mod exposition;
pub mod services;

use std::collections::BTreeMap;

use serde::Serialize;
use service::metrics::{Counter, Gauge, Histogram};

use topics::Versions;

use exposition::{Sample, samples};
use services::Service;

/// The stages, in the direction of the flow.
pub const STAGES: [&str; 4] = ["gateway", "normalizer", "state", "aggregator"];

/// The answer.
#[derive(Debug, Serialize)]
pub struct Pipeline {
    /// When the services were asked, RFC 3339.
    pub at: String,
    /// Who was asked.
    pub services: Vec<Service>,
    /// In the direction of the flow.
    pub stages: Vec<Stage>,
}

/// The answer, and which version of the figures reports are answered from.
#[derive(Debug, Serialize)]
pub struct Seen<'a> {
    /// What the services say.
    #[serde(flatten)]
    pub pipeline: &'a Pipeline,
    /// All versions, and the served one.
    pub versions: &'a Versions,
}

/// One stage, over all its processes that answered.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stage {
    /// Its name.
    pub stage: &'static str,
    /// False where no process that answered runs it: then nothing below means anything.
    pub known: bool,
    /// Items by how they ended.
    pub outcomes: Vec<Ended>,
    /// All of them: what came in.
    pub received: u64,
    /// Input records of the committed transactions; a record of several items is one. `null` for the gateway.
    pub records: Option<u64>,
    /// Input records that wait.
    pub lag: Option<i64>,
    /// Seconds: at the gateway to the answer, at a stage from the gateway's stamp to the commit. Cumulative, by upper bound.
    pub latency: Vec<Bucket>,
    /// Transactions by result.
    pub transactions: BTreeMap<String, u64>,
    /// Entries of its state.
    pub entries: Option<i64>,
    /// What a restore still has to read.
    pub restoring: Option<i64>,
    /// Partitions held by the breaker.
    pub held: Option<i64>,
}

/// Items with one outcome.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// `published`, `duplicate`, …
    pub outcome: String,
    /// The level of a duplicate, the reason of a refusal, else empty.
    pub detail: String,
    /// How many.
    pub count: u64,
}

/// Observations up to a bound.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Seconds, as a text: the last is `+Inf`.
    pub le: String,
    /// How many were at most that.
    pub count: u64,
}

/// Adds up what the processes say of every stage. `texts`: one per process.
pub fn stages(texts: &[String]) -> Vec<Stage> {
    let samples: Vec<Sample<'_>> = texts.iter().flat_map(|text| samples(text)).collect();
    STAGES.map(|stage| of(stage, &samples)).into()
}

fn of(stage: &'static str, samples: &[Sample<'_>]) -> Stage {
    let mine = |name: &'static str| {
        samples.iter().filter(move |sample| sample.name == name && sample.label("stage") == stage)
    };
    let mut outcomes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for sample in mine(Counter::Records.family().name) {
        let count = outcomes.entry((sample.label("outcome"), sample.label("detail"))).or_default();
        *count = count.saturating_add(sample.count());
    }
    let mut transactions = BTreeMap::new();
    for sample in mine(Counter::Transactions.family().name) {
        let count: &mut u64 = transactions.entry(sample.label("result").to_owned()).or_default();
        *count = count.saturating_add(sample.count());
    }
    let gauge = |gauge: Gauge| {
        mine(gauge.family().name).map(Sample::level).reduce(|sum, level| sum.saturating_add(level))
    };
    let latency = if stage == "gateway" {
        let name = Histogram::HttpRequestDuration.family().name;
        buckets(samples.iter().filter(|sample| {
            sample.name.strip_suffix("_bucket") == Some(name) && sample.label("endpoint") == "ingest"
        }))
    } else {
        let name = Histogram::EndToEndLatency.family().name;
        buckets(samples.iter().filter(|sample| {
            sample.name.strip_suffix("_bucket") == Some(name) && sample.label("stage") == stage
        }))
    };
    let records = Histogram::TransactionRecords.family().name;
    let records = samples
        .iter()
        .filter(|sample| sample.name.strip_suffix("_sum") == Some(records) && sample.label("stage") == stage)
        .map(Sample::count)
        .reduce(u64::saturating_add);
    let lag = gauge(Gauge::ConsumerLag);
    Stage {
        stage,
        known: !outcomes.is_empty() || lag.is_some() || records.is_some(),
        received: outcomes.values().fold(0, |sum, count| sum.saturating_add(*count)),
        outcomes: outcomes
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|((outcome, detail), count)| Ended {
                outcome: outcome.to_owned(),
                detail: detail.to_owned(),
                count,
            })
            .collect(),
        records,
        lag,
        latency,
        transactions,
        entries: gauge(Gauge::StateEntries),
        restoring: gauge(Gauge::RestoreRemaining),
        held: gauge(Gauge::BreakerHeld),
    }
}

/// The sum of histograms with the same bounds, in the order of the first.
fn buckets<'a>(samples: impl Iterator<Item = &'a Sample<'a>>) -> Vec<Bucket> {
    let mut sum: Vec<Bucket> = Vec::new();
    for sample in samples {
        let le = sample.label("le");
        match sum.iter_mut().find(|bucket| bucket.le == le) {
            Some(bucket) => bucket.count = bucket.count.saturating_add(sample.count()),
            None => sum.push(Bucket { le: le.to_owned(), count: sample.count() }),
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use commerce::{DuplicateLevel, Outcome, Reason, Source};
    use service::Metrics;

    use super::*;

    fn process() -> Metrics {
        Metrics::new("test").unwrap()
    }

    #[test]
    fn what_came_in_is_the_sum_of_the_outcomes_over_all_processes() {
        let (one, two) = (process(), process());
        one.record("state", Some(Source::Shopify), Outcome::Published, 10);
        one.record("state", Some(Source::Lifesight), Outcome::Published, 5);
        two.record("state", Some(Source::Shopify), Outcome::Duplicate(DuplicateLevel::Semantic), 2);
        two.record("gateway", None, Outcome::Rejected(Reason::BadSignature), 3);
        one.gauge(Gauge::ConsumerLag, &["state"]).set(4);
        two.gauge(Gauge::ConsumerLag, &["state"]).set(3);
        one.histogram(Histogram::TransactionRecords, &["state"]).observe_size(15);
        two.histogram(Histogram::TransactionRecords, &["state"]).observe_size(2);
        let stages = stages(&[one.to_text().unwrap(), two.to_text().unwrap()]);
        assert_eq!(stages.iter().map(|stage| stage.stage).collect::<Vec<_>>(), STAGES);
        let state = &stages[2];
        assert_eq!((state.received, state.records, state.lag), (17, Some(17), Some(7)));
        let counts: Vec<_> =
            state.outcomes.iter().map(|o| (o.outcome.as_str(), o.detail.as_str(), o.count)).collect();
        assert_eq!(counts, [("duplicate", "semantic", 2), ("published", "", 15)]);
        assert_eq!((stages[0].received, stages[0].records), (3, None));
    }

    #[test]
    fn a_stage_that_nobody_runs_is_not_known_and_one_without_work_is() {
        let one = process();
        one.gauge(Gauge::ConsumerLag, &["normalizer"]).set(0);
        let stages = stages(&[one.to_text().unwrap()]);
        let known: Vec<_> = stages.iter().map(|stage| stage.known).collect();
        assert_eq!(known, [false, true, false, false]);
        assert_eq!((stages[1].received, stages[1].lag), (0, Some(0)));
    }

    #[test]
    fn latencies_of_copies_are_one_histogram() {
        let (one, two) = (process(), process());
        for (process, millis) in [(&one, 20), (&two, 70), (&two, 120_000)] {
            process.histogram(Histogram::EndToEndLatency, &["state"]).observe(Duration::from_millis(millis));
        }
        one.histogram(Histogram::HttpRequestDuration, &["ingest", "shopify"])
            .observe(Duration::from_millis(3));
        one.histogram(Histogram::HttpRequestDuration, &["reports", "none"]).observe(Duration::from_millis(3));
        let stages = stages(&[one.to_text().unwrap(), two.to_text().unwrap()]);
        let at = |stage: &Stage, le: &str| stage.latency.iter().find(|b| b.le == le).unwrap().count;
        let state = &stages[2];
        assert_eq!((at(state, "0.01"), at(state, "0.03"), at(state, "0.1")), (0, 1, 2));
        assert_eq!((at(state, "60"), at(state, "+Inf"), at(&stages[0], "+Inf")), (2, 3, 1));
    }
}
