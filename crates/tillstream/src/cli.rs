//! The command line.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, Parser, Subcommand, ValueEnum};
use service::Config;
use service::config::Overrides;

use crate::{
    Output, Stop, bench, dlq, explain, features, fx, home::Home, measure, openapi, serve, tail, topic,
    trigger, up,
};

/// Exactly-once commerce event pipeline on Apache Kafka.
#[derive(Parser, Debug)]
#[command(name = "tillstream", version, about, propagate_version = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  tillstream up --demo                     everything on this machine, with a simulated shop
  tillstream trigger shopify orders/paid --set total_price=99.00
  tillstream tail facts
  tillstream serve gateway --config tillstream.toml --instance a";

/// What all commands take.
#[derive(Args, Debug, Clone)]
pub struct Common {
    /// Configuration file. Default: TILLSTREAM_CONFIG, else that of the running `up`.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of `up`: Kafka's data, addresses, configuration. Default: the platform's data folder.
    #[arg(long, global = true, env = "TILLSTREAM_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Starts Kafka, the schema registry and all services on this machine.
    #[command(
        after_help = "Example:\n  tillstream up --demo --once     run the demo, compare, exit 0 if all is equal"
    )]
    Up(up::Args),
    /// Runs one service, or all, against an existing cluster.
    #[command(after_help = "Example:\n  tillstream serve state --config tillstream.toml --instance a")]
    Serve(serve::Args),
    /// Sends the demo shop's deliveries to a running gateway and compares the figures.
    #[command(after_help = "Example:\n  tillstream demo --orders 500 --seed 7")]
    Demo(measure::Args),
    /// Sends one signed webhook, made from an example body.
    #[command(
        after_help = "Example:\n  tillstream trigger shopify orders/create --set total_price=99.00 --set financial_status=paid"
    )]
    Trigger(TriggerArgs),
    /// Prints records of a topic as they come.
    #[command(after_help = "Example:\n  tillstream tail facts -o json --from-beginning")]
    Tail(tail::Args),
    /// Compares topics and schemas with the cluster, and applies the difference.
    #[command(after_help = "Example:\n  tillstream topics plan")]
    Topics {
        #[command(subcommand)]
        command: topic::Command,
    },
    /// The configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Dead letters: what couldn't be understood, with its bytes.
    #[command(
        after_help = "Examples:\n  tillstream dlq ls --reason malformed_json\n  tillstream dlq redrive --help"
    )]
    Dlq {
        #[command(subcommand)]
        command: dlq::Command,
    },
    /// Rates of exchange: fetches, publishes and lists them.
    #[command(
        after_help = "Examples:\n  tillstream fx put eurofxref-daily.xml\n  tillstream fx ls --currency EUR"
    )]
    Fx {
        #[command(subcommand)]
        command: fx::Command,
    },
    /// Which tests show which capability, and how they ended.
    #[command(after_help = "Example:\n  ./tests/run.sh; tillstream features")]
    Features(features::Args),
    /// Prints the description of the HTTP API, OpenAPI 3.1.
    #[command(after_help = "Example:\n  tillstream openapi | jq '.paths | keys'")]
    Openapi(openapi::Args),
    /// Says what a reason means (of a dead letter, a refusal, a metric) and what to do.
    #[command(after_help = "Example:\n  tillstream explain unknown_workspace")]
    Explain(explain::Args),
    /// Measures this build on this machine, with the totals checked.
    #[command(after_help = "Example:\n  tillstream bench pipeline --n 300000")]
    Bench {
        #[command(subcommand)]
        command: bench::Command,
    },
}

#[derive(Subcommand, Debug)]
enum ConfigCommand {
    /// Prints the configuration in use, secrets hidden.
    #[command(after_help = "Example:\n  tillstream config show --config tillstream.toml")]
    Show,
}

/// What to trigger.
#[derive(Args, Debug)]
struct TriggerArgs {
    /// shopify or lifesight.
    source: String,
    /// The source's own name: orders/create, orders_paid, …
    event: String,
    /// A field of the body: `path=value`, `line_items[0].price=5.00`. Repeatable.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// How many deliveries.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// The same delivery each time, instead of a new order each time.
    #[arg(long)]
    same: bool,
    /// The gateway. Default: that of the running `up`.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// Prints the bodies instead of sending them.
    #[arg(long)]
    print: bool,
    /// How to write the answers.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Service {
    /// HTTP in.
    Gateway,
    /// Raw deliveries to canonical events.
    Normalizer,
    /// Orders, people, facts.
    State,
    /// Figures.
    Aggregator,
    /// Reports and dashboard.
    Query,
    /// Rates of exchange, every hour.
    Fx,
    /// All of them in one process, rates only where a provider is configured.
    All,
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> Result<(), Stop> {
        let common = self.common;
        match self.command {
            Command::Up(args) => up::run(&common, &args),
            Command::Serve(args) => serve::run(&common, &args),
            Command::Demo(args) => measure::run(&common, &args),
            Command::Trigger(args) => run_trigger(&common, &args),
            Command::Tail(args) => tail::run(&common.load(vec![])?, &args),
            Command::Topics { command } => topic::run(&common.load(vec![])?, &command),
            Command::Dlq { command } => dlq::run(&common.load(vec![])?, &command),
            Command::Fx { command } => fx::run(&common.load(vec![])?, &command),
            Command::Features(args) => features::run(&args),
            Command::Openapi(args) => openapi::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Bench { command } => bench::run(&common, &command),
            Command::Config { command: ConfigCommand::Show } => {
                crate::data(common.load(vec![])?.to_toml_redacted().trim_end())
            }
        }
    }
}

impl Common {
    /// The data folder.
    pub fn home(&self) -> Result<Home, Stop> {
        Home::new(self.data_dir.as_deref()).map_err(Stop::Usage)
    }

    /// The configuration: the file that was named, else that of the running `up`, else the defaults.
    pub fn load(&self, overrides: Overrides) -> Result<Config, Stop> {
        let named = self.config.clone().or_else(|| {
            let set = std::env::var_os("TILLSTREAM_CONFIG").is_some_and(|value| !value.is_empty());
            let running = (!set).then(|| self.home().ok().map(|home| home.config_file()))??;
            running.exists().then_some(running)
        });
        Config::load(named.as_deref(), overrides).map_err(|errors| Stop::Usage(anyhow!("{errors}")))
    }
}

fn run_trigger(common: &Common, args: &TriggerArgs) -> Result<(), Stop> {
    let config = common.load(vec![])?;
    let request = trigger::Request {
        source: &args.source,
        event: &args.event,
        set: &args.set,
        count: args.count as usize,
        same: args.same,
        now: service::clock::now().as_event(),
    };
    let credentials = serve::credentials(&config)?;
    let deliveries = trigger::deliveries(&request, &credentials).map_err(|e| Stop::Usage(e.into()))?;
    if args.print {
        for delivery in &deliveries {
            crate::data(&String::from_utf8_lossy(&delivery.body))?;
        }
        return Ok(());
    }
    let gateway = match &args.gateway {
        Some(url) => url.clone(),
        None => common
            .home()?
            .endpoints()
            .map_or_else(|_| format!("http://{}", config.gateway.listen), |e| e.gateway),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client =
            reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(10)).build()?;
        let mut refused = 0;
        for delivery in deliveries {
            let url = format!("{gateway}{}", delivery.path_and_query);
            let mut request = client.post(&url).body(delivery.body.clone());
            for (name, value) in &delivery.headers {
                request = request.header(name, value);
            }
            let answer = request.send().await.map_err(|error| {
                let error = error.without_url();
                anyhow!("no answer from the gateway at {gateway} ({error}): is `tillstream up` running?")
            })?;
            let status = answer.status();
            let body = answer.text().await.unwrap_or_default();
            refused += u32::from(!status.is_success());
            let id = delivery_id(&delivery.body);
            match args.output {
                Output::Table => {
                    crate::data(&format!("{} {} {} → {status} {body}", args.source, args.event, id))?
                }
                Output::Json => crate::data(
                    &serde_json::json!({"source": args.source, "event": args.event, "id": id,
                        "status": status.as_u16(), "body": body})
                    .to_string(),
                )?,
            }
        }
        if refused > 0 {
            return Err(Stop::Failed(anyhow!("{refused} deliveries were refused")));
        }
        Ok(())
    })
}

/// The id in a body, for the answer's line.
fn delivery_id(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    match &value["id"] {
        serde_json::Value::String(id) => id.clone(),
        other => other.to_string(),
    }
}
