//! What the stages compute, on one thread and without Kafka: the same processors over a store in memory.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use service::stage::{Parts, Plan};
use sources::Accepted;
use stream::{Emitted, Failure, Harness, Output as Topicked, Processor, Record};
use topics::{Schemas, Topic};

use super::float;
use super::machine;
use super::report::Report;
use super::shops::{self, Shops};
use super::workload::Workload;
use crate::{Output, Stop};

/// `bench logic`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Whose bodies.
    #[arg(long, value_enum, default_value_t)]
    source: Family,
    /// Webhooks.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    n: u64,
    /// Records per transaction.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..))]
    cut: u64,
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

const METHOD: &str = "workload W through the processors of normalizer, state and aggregator, one after the other by one \
    thread from memory; what they keep and emit is theirs alone, without the runtime, its clients and Kafka; the time \
    is that of the thread on a core";

/// A record between two stages.
pub(super) type Stored = (Vec<u8>, Vec<u8>);

/// One stage: its processor, its time, and what it wrote.
pub(super) struct Stage<P> {
    plan: &'static Plan,
    harness: Harness<P>,
    /// How long it computed.
    pub(super) busy: Duration,
    /// Records and bytes, by topic.
    pub(super) written: BTreeMap<Topic, (u64, u64)>,
}

impl<P: Processor> Stage<P> {
    pub(super) fn new(plan: &'static Plan, processor: P) -> Self {
        let output =
            |topic: &Topic| Topicked { topic: topic.name().to_owned(), max_message_bytes: usize::MAX };
        let outputs = plan.outputs.iter().map(output).collect();
        Self {
            plan,
            harness: Harness::new(processor, plan.tables, outputs),
            busy: Duration::ZERO,
            written: BTreeMap::new(),
        }
    }

    /// Processes the records as one transaction, and gives what goes to the topic `onward`.
    pub(super) fn transaction<'r>(
        &mut self,
        records: impl Iterator<Item = Record<'r>>,
        onward: Option<Topic>,
    ) -> anyhow::Result<Vec<Stored>> {
        let failed = |failure: Failure| anyhow!("{}: {failure:?}", self.plan.name);
        let began = (machine::on_core(), Instant::now());
        let mut emitted: Vec<Emitted> = Vec::new();
        for record in records {
            emitted.extend(self.harness.process(&record).map_err(failed)?);
        }
        emitted.extend(self.harness.commit(0).map_err(failed)?);
        let on_core = machine::on_core().zip(began.0).map(|(now, then)| now.saturating_sub(then));
        self.busy += on_core.unwrap_or_else(|| began.1.elapsed());
        let mut forward = Vec::new();
        for (output, _, key, value) in emitted {
            let topic = *self.plan.outputs.get(output).context("an output that isn't planned")?;
            let value = value.unwrap_or_default();
            let written = self.written.entry(topic).or_default();
            *written = (written.0 + 1, written.1 + value.len() as u64);
            if onward == Some(topic) {
                forward.push((key, value));
            }
        }
        Ok(forward)
    }

    fn report(&self, report: &mut Report, n: f64) {
        let name = self.plan.name;
        for (table, entries, bytes) in self.harness.sizes() {
            let (entries, bytes) = (float(entries as u64), float(bytes as u64));
            report.figure(format!("{name}.{table} entries"), entries / n, "per webhook");
            report.figure(format!("{name}.{table} bytes"), bytes / n, "per webhook, keys and values");
        }
        report.figure(format!("{name}_us"), self.busy.as_secs_f64() * 1e6 / n, "µs per webhook");
        for (topic, (records, bytes)) in &self.written {
            let topic = topic.name();
            report.figure(format!("{topic} records"), float(*records) / n, "per webhook");
            report.figure(format!("{topic} bytes"), float(*bytes) / n, "per webhook, uncompressed");
        }
    }
}

/// Measures.
pub fn run(args: &Args) -> Result<Report, Stop> {
    let shops = Shops::new()?;
    let parts = Parts {
        workspaces: std::sync::Arc::new(shops::workspaces()?),
        schemas: Schemas::offline(),
        event_partitions: 1,
    };
    let mut normalizer = Stage::new(&normalizer::PLAN, normalizer::Normalizer::new(&parts)?);
    let mut state = Stage::new(&state::PLAN, state::StateStage::new(&parts, "bench")?);
    let mut aggregator = Stage::new(&aggregator::PLAN, aggregator::Aggregator::new(&parts, Duration::ZERO)?);
    let mut webhooks = Workload::new(42, args.n);
    let mut offset = 0_i64;
    loop {
        let batch: Vec<(Accepted, Vec<u8>)> = webhooks
            .by_ref()
            .take(usize::try_from(args.cut).unwrap_or(usize::MAX))
            .map(|webhook| {
                let request = match args.source {
                    Family::Shopify => shops.request(&webhook),
                    Family::Lifesight => shops.backend_request(&webhook),
                };
                let request = request.context("a webhook of no shop")?;
                Ok((shops.accept(&request)?, request.body))
            })
            .collect::<anyhow::Result<_>>()?;
        if batch.is_empty() {
            break;
        }
        let stamp = commerce::ReceivedTime(1_780_000_000_000_000).to_rfc3339();
        let raw =
            batch.iter().zip(offset..).map(|((accepted, body), offset)| raw(accepted, body, offset, &stamp));
        let events = normalizer.transaction(raw, Some(Topic::Events))?;
        offset += i64::try_from(batch.len()).unwrap_or(i64::MAX);
        let facts = state.transaction(records(Topic::Events, &events), Some(Topic::Facts))?;
        aggregator.transaction(records(Topic::Facts, &facts), None)?;
    }
    let mut report = Report::new("logic", false, METHOD);
    let n = float(args.n);
    normalizer.report(&mut report, n);
    state.report(&mut report, n);
    aggregator.report(&mut report, n);
    report.figure("state_entries", float(state.harness.entries() as u64), "entries");
    Ok(report)
}

/// A delivery as it lies in the raw topic.
pub(super) fn raw<'r>(accepted: &'r Accepted, body: &'r [u8], offset: i64, stamp: &'r str) -> Record<'r> {
    let record = Record::new(Topic::Raw.name(), 0, offset, b"", body);
    let headers = accepted.headers.iter();
    let record =
        headers.fold(record, |record, (name, value)| record.with_header(name.as_str(), value.as_bytes()));
    record
        .with_header("source", accepted.source.as_str().as_bytes())
        .with_header("workspace", accepted.workspace.as_str().as_bytes())
        .with_header("received_at", stamp.as_bytes())
}

fn records(topic: Topic, stored: &[Stored]) -> impl Iterator<Item = Record<'_>> {
    stored.iter().map(move |(key, value)| Record::new(topic.name(), 0, 0, key, value))
}
