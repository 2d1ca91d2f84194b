//! `bench`: what this build does on this machine, with the totals checked.
//!
//! Every command starts a Kafka of its own in a temporary folder (or takes `--kafka`), works in this one process, and
//! prints how it measured beside what. A figure alone says little: machines differ, and the broker is on the same
//! cores. What compares is a ratio of two figures of one run, so commands that can measure both sides do, in turn.
//!
//! | file | what it measures |
//! |---|---|
//! | [`pipeline`] | workload W through all stages, cold, until the last figure is committed |
//! | [`copy`] | the runtime alone: exactly once against at least once |
//! | [`gateway`], [`doors`] | webhooks over HTTP, against the same without Kafka; requests of each source |
//! | [`latency`] | from a webhook to the report that has it |
//! | [`restore`] | stages one by one, and the state read back from its changelog |
//! | [`normalize`] | the normalizer's work by source, without Kafka |
//! | [`logic`] | what the stages compute, without Kafka |
//! | [`query`] | the reports of a large shop's year, at a steady rate |

#![allow(clippy::float_arithmetic, reason = "rates and spans; no amount of money comes near them")]

pub mod cluster;
pub mod copy;
pub mod doors;
pub mod gateway;
pub mod latency;
pub mod load;
pub mod logic;
pub mod machine;
pub mod normalize;
pub mod pipeline;
pub mod preload;
pub mod query;
pub mod report;
pub mod restore;
pub mod sample;
pub mod shops;
pub mod stages;
pub mod verify;
pub mod workload;
pub mod year;

use crate::cli::Common;
use crate::{Output, Stop};

/// `bench …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Workload W through all stages, cold, until everything is committed; the totals are checked.
    #[command(after_help = "Example:\n  tillstream bench pipeline --n 1000000 -o json")]
    Pipeline(pipeline::Args),
    /// The runtime alone: a copy that is exactly once against one that is at least once.
    Copy(copy::Args),
    /// Signed webhooks over HTTP, against the same handler without Kafka; with `--source` requests of each source.
    #[command(after_help = "Example:\n  tillstream bench gateway --source all --secs 3")]
    Gateway(gateway::Args),
    /// From a webhook to the figure in the report, at a fixed rate.
    Latency(latency::Args),
    /// Normalizer and state stage one after the other, and the state read back from its changelog.
    Restore(restore::Args),
    /// What the stages compute, on one thread and without Kafka.
    Logic(logic::Args),
    /// What the normalizer computes of typical requests of each source, on one thread and without Kafka.
    #[command(after_help = "Example:\n  tillstream bench normalize --source stripe -o json")]
    Normalize(normalize::Args),
    /// Every report over a year of a large shop, asked for at a steady rate while its figures change.
    #[command(after_help = "Example:\n  tillstream bench query --rate 100 --secs 10 -o json")]
    Query(query::Args),
}

/// Where to measure, and how to write what was measured.
#[derive(clap::Args, Debug, Clone)]
pub struct Place {
    /// An existing cluster instead of one of its own. Its topics must be empty.
    #[arg(long, value_name = "BOOTSTRAP", requires = "registry")]
    kafka: Option<String>,
    /// The schema registry of the existing cluster.
    #[arg(long, value_name = "URL", requires = "kafka")]
    registry: Option<String>,
    /// Deletes the product's topics on the existing cluster first, with everything in them.
    #[arg(long, requires = "kafka")]
    wipe: bool,
    /// The existing broker's process, when it is on this machine: for its CPU time.
    #[arg(long, value_name = "PID", requires = "kafka")]
    broker_pid: Option<u32>,
    /// How to write the figures.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Measures.
pub fn run(common: &Common, command: &Command) -> Result<(), Stop> {
    if cfg!(debug_assertions) {
        eprintln!("bench: this is a debug build; its figures mean nothing (cargo build --release)");
    }
    let (report, output) = match command {
        Command::Pipeline(args) => (pipeline::run(common, args)?, args.place.output),
        Command::Copy(args) => (copy::run(common, args)?, args.place.output),
        Command::Gateway(args) => (gateway::run(common, args)?, args.place.output),
        Command::Latency(args) => (latency::run(common, args)?, args.place.output),
        Command::Restore(args) => (restore::run(common, args)?, args.place.output),
        Command::Normalize(args) => (normalize::run(args)?, args.output),
        Command::Logic(args) => (logic::run(args)?, args.output),
        Command::Query(args) => (query::run(args)?, args.output),
    };
    report.print(output)
}

/// Progress, for people.
fn say(text: &str) {
    eprintln!("bench: {text}");
}

/// A count as a float, for rates.
#[expect(clippy::cast_precision_loss, reason = "counts of a measurement are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}
