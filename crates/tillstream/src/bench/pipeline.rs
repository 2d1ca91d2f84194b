//! Workload W through normalizer, state and aggregator.

use std::sync::Arc;

use anyhow::anyhow;
use topics::Topic;

use super::cluster::Kafka;
use super::machine::{self, Moment};
use super::preload::preload;
use super::report::Report;
use super::shops::Shops;
use super::stages::{Progress, Stages, is_drained};
use super::workload::Workload;
use super::{Place, float, say, verify};
use crate::Stop;
use crate::cli::{Common, Service};

/// `bench pipeline`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Webhooks.
    #[arg(long, default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=50_000_000))]
    n: u64,
    /// The same seed makes the same webhooks.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Worker threads of normalizer, state and aggregator. Default: those of the configuration.
    #[arg(long, value_name = "N/S/A", value_parser = workers)]
    workers: Option<[usize; 3]>,
    #[command(flatten)]
    pub(super) place: Place,
}

fn workers(text: &str) -> Result<[usize; 3], String> {
    let parts: Vec<usize> = text.split('/').map_while(|part| part.parse().ok()).collect();
    let fine = |parts: &[usize; 3]| parts.iter().all(|n| (1..=64).contains(n));
    let parts: Option<[usize; 3]> = parts.try_into().ok();
    parts.filter(fine).ok_or_else(|| "three numbers from 1 to 64, such as 2/1/1".to_owned())
}

const METHOD: &str = "workload W preloaded into the raw topic as the gateway writes it; then normalizer, state and \
    aggregator start cold in this process; the clock runs from their start until the last figure is committed";
const STAGES: [(&str, Service); 3] =
    [("normalizer", Service::Normalizer), ("state", Service::State), ("aggregator", Service::Aggregator)];

/// Measures, and checks the totals.
pub fn run(common: &Common, args: &Args) -> Result<Report, Stop> {
    let kafka = Kafka::with_topics(common, &args.place)?;
    let mut config = kafka.config.clone();
    if let Some([normalizer, state, aggregator]) = args.workers {
        (config.normalizer.workers, config.state.workers, config.aggregator.workers) =
            (normalizer, state, aggregator);
    }
    let mut report = Report::new("pipeline", kafka.local, METHOD);
    let shops = Shops::new()?;
    say(&format!("preloading {} webhooks", args.n));
    let before = Moment::now(kafka.broker);
    let expected = preload(&kafka, &shops, Workload::new(args.seed, args.n))?;
    let preloading = before.to(&Moment::now(kafka.broker));

    say("running the stages");
    machine::forget_peak();
    let resident = machine::resident_mib();
    let threads_before = machine::threads();
    let config = Arc::new(config);
    let start = Moment::now(kafka.broker);
    let stages = Stages::start(&kafka, &config, &STAGES.map(|(_, service)| service))?;
    let mut progress = STAGES.map(|(stage, _)| Progress::new(&stages, stage, kafka.broker));
    let mut first = None;
    let [normalizer, state, aggregator] = &mut progress;
    Progress::wait(&stages, &mut [normalizer, state, aggregator], kafka.broker, &mut |items, quiet| {
        if let [normalized, joined, _] = *items {
            if normalized > 0 {
                first.get_or_insert_with(|| Moment::now(None));
            }
            if normalized == args.n && joined == args.n && quiet {
                return is_drained(&kafka, "aggregator", Topic::Facts);
            }
            if quiet
                && normalized + joined > 0
                && kafka.ends(Topic::DeadLetters.name())?.iter().sum::<i64>() > 0
            {
                return Err(anyhow!("there are dead letters, at {items:?} items"));
            }
        }
        Ok(false)
    })?;
    // Threads end with their stages, so theirs are read before.
    let threads = machine::threads();
    let peak = machine::peak_mib();
    let passed = start.to(&progress[2].last);
    report.figure("events_per_s", float(args.n) / passed.seconds, "webhooks/s");
    report.figure("seconds", passed.seconds, "s");
    report.figure_if("first_commit_after", first.map(|first| start.to(&first).seconds), "s");
    for ((stage, _), progress) in STAGES.iter().zip(&progress) {
        report.figure(format!("{stage}_done_after"), start.to(&progress.last).seconds, "s");
    }
    report.figure("facts", float(progress[2].items), "facts");
    let million = float(args.n) / 1e6;
    report.figure("cpu_s_per_million", passed.own / million, "s, this process");
    report.figure_if("broker_cpu_s_per_million", passed.broker.map(|cpu| cpu / million), "s, the broker");
    for (stage, _) in STAGES {
        let of_stage = |name: &String| name.strip_prefix(stage).is_some_and(|rest| rest.starts_with('-'));
        let busy: f64 = threads.iter().filter(|(name, _)| of_stage(name)).map(|(_, seconds)| seconds).sum();
        report.figure(format!("{stage}_busy"), busy, "s of CPU, its worker threads");
        report.figure(format!("{stage}_transactions"), float(stages.transactions(stage)), "transactions");
        report.figure(format!("{stage}_disturbed"), float(stages.disturbed(stage)), "transactions");
    }
    let of_client = |(name, seconds): (&String, &f64)| {
        let before = threads_before.get(name).copied().unwrap_or(0.0);
        (name.starts_with("rdk:") || name.starts_with("producer")).then_some(seconds - before)
    };
    report.figure(
        "client_busy",
        threads.iter().filter_map(of_client).sum(),
        "s of CPU, librdkafka's threads",
    );
    report.figure_if("peak_memory", peak, "MiB, this process");
    report.figure_if("memory_before", resident, "MiB, this process, left by the preload");
    report.figure("preload_per_s", float(args.n) / preloading.seconds, "webhooks/s");
    stages.stop()?;
    say("checking the totals");
    verify::verify(&kafka, &expected, &mut report)?;
    Ok(report)
}
