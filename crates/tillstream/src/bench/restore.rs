//! Stages one after the other, and the state read back.

use std::sync::Arc;

use service::metrics::Counter;

use super::cluster::Kafka;
use super::machine::{self, Moment};
use super::preload::preload;
use super::report::Report;
use super::shops::Shops;
use super::stages::{Progress, Stages};
use super::workload::Workload;
use super::{Place, float, say};
use crate::Stop;
use crate::cli::{Common, Service};

/// `bench restore`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Webhooks.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    n: u64,
    /// The same seed makes the same webhooks.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    pub(super) place: Place,
}

const METHOD: &str = "workload W preloaded into the raw topic; the normalizer alone, then the state stage alone, each from \
    its start until its last commit; then the state stage started again, until all its partitions are restored";

/// Measures.
pub fn run(common: &Common, args: &Args) -> Result<Report, Stop> {
    let kafka = Kafka::with_topics(common, &args.place)?;
    let mut report = Report::new("restore", kafka.local, METHOD);
    let shops = Shops::new()?;
    say(&format!("preloading {} webhooks", args.n));
    let expected = preload(&kafka, &shops, Workload::new(args.seed, args.n))?;
    let config = Arc::new(kafka.config.clone());
    for (name, service) in [("normalizer", Service::Normalizer), ("state", Service::State)] {
        say(&format!("{name} alone"));
        machine::forget_peak();
        let resident = machine::resident_mib();
        let start = Moment::now(kafka.broker);
        let stages = Stages::start(&kafka, &config, &[service])?;
        stages.wait_ready()?;
        let ready = Moment::now(kafka.broker);
        let mut progress = Progress::new(&stages, name, kafka.broker);
        Progress::wait(&stages, &mut [&mut progress], kafka.broker, &mut |items, _| Ok(items == [args.n]))?;
        let passed = ready.to(&progress.last);
        report.figure(format!("{name}_per_s"), float(args.n) / passed.seconds, "events/s, alone");
        report.figure(format!("{name}_ready_after"), start.to(&ready).seconds, "s");
        report.figure(
            format!("{name}_cpu_us"),
            passed.own * 1e6 / float(args.n),
            "µs per event, this process",
        );
        let broker = passed.broker.map(|cpu| cpu * 1e6 / float(args.n));
        report.figure_if(&format!("{name}_broker_cpu_us"), broker, "µs per event, the broker");
        let entries = stages.metrics.gauge(service::metrics::Gauge::StateEntries, &[name]).get();
        if name == "state" {
            report.figure("state_entries", float(entries.unsigned_abs()), "entries");
            let grown = machine::resident_mib().zip(resident).map(|(now, before)| now - before);
            report.figure_if("state_grown", grown, "MiB, while it ran alone");
        }
        report.check(format!("transactions of the {name} that were aborted"), &0, &stages.disturbed(name));
        stages.stop()?;
    }
    say("restoring");
    let start = Moment::now(kafka.broker);
    let stages = Stages::start(&kafka, &config, &[Service::State])?;
    stages.wait_ready()?;
    let passed = start.to(&Moment::now(kafka.broker));
    let records = stages.metrics.counter(Counter::RestoreRecords, &["state"]).get();
    report.figure("restore_per_s", float(records) / passed.seconds, "records/s");
    report.figure("restore_seconds", passed.seconds, "s, from the start to ready");
    report.figure("restored", float(records), "records");
    report.figure("restore_cpu_us", passed.own * 1e6 / float(records.max(1)), "µs per record, this process");
    report.figure("orders", float(expected.orders.unsigned_abs()), "orders");
    report.figure("people", float(expected.customers.len() as u64), "people");
    stages.stop()?;
    Ok(report)
}
