//! `topics plan|apply`: what the registry of topics and schemas says against what the cluster has.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::anyhow;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use service::Config;
use topics::{Admin, Layout, Plan, SchemaRegistry, Schemas, Topic};

use crate::{Output, Stop, data};

/// How long the cluster may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// `topics …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Shows what differs. Exit code 1 when something does.
    #[command(after_help = "Example:\n  tillstream topics plan --replication 3")]
    Plan(Args),
    /// Shows what differs and applies it.
    #[command(after_help = "Example:\n  tillstream topics apply")]
    Apply(Args),
}

/// What both take.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Copies of each partition: 1 on one broker, 3 in production.
    #[arg(long, default_value_t = 1)]
    replication: i32,
    /// How to write the difference.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(config: &Config, command: &Command) -> Result<(), Stop> {
    let (Command::Plan(args) | Command::Apply(args)) = command;
    let admin = admin(config, args.replication)?;
    let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(10))?;
    let plan = admin.plan(Some(&registry))?;
    show(&plan, args.output)?;
    match command {
        Command::Plan(_) if plan.is_empty() && plan.refusals.is_empty() => Ok(()),
        Command::Plan(_) => {
            Err(Stop::Failed(anyhow!("the cluster differs; `tillstream topics apply` changes that")))
        }
        Command::Apply(_) => {
            admin.apply(&plan, Some(&registry))?;
            seed(config, &registry)
        }
    }
}

/// Publishes version 1 of the policy of every configured workspace that has none.
pub fn seed(config: &Config, registry: &SchemaRegistry) -> Result<(), Stop> {
    let workspaces = config.workspaces().map_err(|mistakes| Stop::Usage(anyhow!(mistakes.join("; "))))?;
    if workspaces.iter().next().is_none() {
        return Ok(());
    }
    let (_, new) = service::policy::seed(config, &workspaces, &Schemas::lookup(registry)?, &|| false)?;
    if new > 0 {
        let plural = if new == 1 { "workspace" } else { "workspaces" };
        eprintln!("version 1 of the policy of {new} {plural} is published, as the configuration says");
    }
    Ok(())
}

/// A client of the configured cluster.
pub fn admin(config: &Config, replication: i32) -> anyhow::Result<Admin> {
    Ok(Admin::new(&config.kafka.bootstrap, &config.kafka.properties, Layout::new(replication))?)
}

/// The names of all topics that there are.
pub fn names(config: &Config) -> anyhow::Result<BTreeSet<String>> {
    let metadata = client(config)?.fetch_metadata(None, ANSWER)?;
    Ok(metadata.topics().iter().map(|topic| topic.name().to_owned()).collect())
}

/// As many copies as the topics have, or a new cluster of this size would get.
pub fn replication(config: &Config) -> anyhow::Result<i32> {
    let metadata = client(config)?.fetch_metadata(None, ANSWER)?;
    let raw = metadata.topics().iter().find(|topic| topic.name() == Topic::Raw.name());
    let copies = raw.and_then(|topic| topic.partitions().iter().map(|p| p.replicas().len()).min());
    let copies = copies.unwrap_or(if metadata.brokers().len() >= 3 { 3 } else { 1 });
    Ok(i32::try_from(copies.max(1))?)
}

fn client(config: &Config) -> anyhow::Result<BaseConsumer> {
    Ok(service::kafka::client_config(config).set("group.id", "tillstream-doctor").create()?)
}

fn show(plan: &Plan, output: Output) -> Result<(), Stop> {
    match output {
        Output::Table => data(plan.to_string().trim_end()),
        Output::Json => data(&serde_json::to_string(plan)?),
    }
}
