//! The command line.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use service::Config;
use service::config::Overrides;

use crate::{
    Output, Stop, asyncapi, audit, bench, dlq, doctor, explain, features, fx,
    home::{Home, here},
    identity, import, lag, measure, openapi, policy, reach, recompute, replay, serve, tail, taxonomy, topic,
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
    /// Sends one signed webhook or call of any source, made from an example body.
    #[command(
        after_help = "Examples:\n  tillstream trigger --list\n  tillstream trigger shopify orders/create --set total_price=99.00 --set financial_status=paid\n  tillstream trigger stripe invoice.payment_succeeded --set amount_paid=4900 --set customer_email=ada@example.com\n  tillstream trigger customerio order_paid --set identifier=ada@example.com --set total=49.00"
    )]
    Trigger(TriggerArgs),
    /// Loads profiles from a file.
    Import {
        #[command(subcommand)]
        command: import::Command,
    },
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
    /// Who decides where sources disagree, who owns an event, what is blocked: shows and publishes versions of it.
    #[command(
        after_help = "Examples:\n  tillstream policy show\n  tillstream policy diff\n  tillstream policy publish acme --dry-run"
    )]
    Policy {
        #[command(subcommand)]
        command: policy::Command,
    },
    /// Who is whom: shows why, and says that two are one person or never are.
    #[command(
        after_help = "Examples:\n  tillstream identity show demo email:jane@example.com\n  tillstream identity unmerge demo user:5 user:6"
    )]
    Identity {
        #[command(subcommand)]
        command: identity::Command,
    },
    /// Computes every order, person and figure anew from the events, and compares with what is published.
    #[command(after_help = "Example:\n  tillstream audit -o json | jq .equal")]
    Audit(audit::Args),
    /// Computes the figures anew beside the old ones, compares the two, and switches.
    #[command(
        after_help = "Examples:\n  tillstream replay start --version v2\n  tillstream replay status --wait\n  tillstream replay compare\n  tillstream replay switch v2"
    )]
    Replay {
        #[command(subcommand)]
        command: replay::Command,
    },
    /// Looks at everything that is needed, and says what to type next.
    #[command(after_help = "Example:\n  tillstream doctor\nExit code 1 when something is wrong.")]
    Doctor(doctor::Args),
    /// How far each stage is behind, by partition.
    #[command(after_help = "Example:\n  tillstream lag -o json | jq -s 'map(.lag) | add'")]
    Lag(lag::Args),
    /// Works out the totals of all people from their orders, and compares them with the live ones.
    #[command(after_help = "Examples:
  tillstream recompute
  tillstream recompute --csv totals.csv && tillstream import profiles totals.csv --as-of TIME --gateway URL --key KEY
Exit code 1 when a total differs.")]
    Recompute(recompute::Args),
    /// Which tests show which capability, and how they ended.
    #[command(after_help = "Example:\n  ./tests/run.sh; tillstream features")]
    Features(features::Args),
    /// Prints the description of the HTTP API, OpenAPI 3.1.
    #[command(after_help = "Example:\n  tillstream openapi | jq '.paths | keys'")]
    Openapi(openapi::Args),
    /// Prints the AsyncAPI document of the topics, or writes or checks the file that is kept of it.
    #[command(after_help = "Example:\n  tillstream asyncapi | jq '.channels | keys'")]
    Asyncapi(openapi::Args),
    /// Prints all names of events: what they mean, who says them, the fields they need, a sample of each.
    #[command(
        after_help = "Example:\n  tillstream taxonomy | jq '.events[] | select(.name == \"order.paid\")'"
    )]
    Taxonomy(openapi::Args),
    /// Says what a reason means (of a dead letter, a refusal, a metric) and what to do.
    #[command(after_help = "Example:\n  tillstream explain unknown_workspace")]
    Explain(explain::Args),
    /// Prints the completions of a shell.
    #[command(
        after_help = "Example:\n  tillstream completions bash > ~/.local/share/bash-completion/completions/tillstream"
    )]
    Completions {
        /// Whose.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
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
    /// Says every mistake of the configuration. Exit code 64 when there is one.
    #[command(after_help = "Example:\n  tillstream config check --config tillstream.toml")]
    Check,
    /// Prints the JSON Schema of a configuration file, for editors.
    #[command(after_help = "Example:\n  tillstream config schema > tillstream.schema.json")]
    Schema,
}

/// What to trigger.
#[derive(Args, Debug)]
struct TriggerArgs {
    /// shopify, stripe, lifesight, customerio, sequenzy, analytics or records.
    #[arg(required_unless_present = "list")]
    source: Option<String>,
    /// The source's own name of the event: orders/create, invoice.payment_failed, purchase, …
    #[arg(default_value = "")]
    event: String,
    /// Lists the sources, their events, and what is worth setting.
    #[arg(long)]
    list: bool,
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
            Command::Import { command } => import::run(&common, &command),
            Command::Tail(args) => {
                // A mistake in what was typed first, whether a cluster is there or not.
                let wanted = args.wanted()?;
                tail::run(&common.cluster()?, &wanted, &args)
            }
            Command::Topics { command } => topic::run(&common.cluster()?, &command),
            Command::Dlq { command } => dlq::run(&common.cluster()?, &command),
            Command::Fx { command } => fx::run(&common.cluster()?, &command),
            Command::Policy { command } => policy::run(&common.cluster()?, &command),
            Command::Identity { command } => identity::run(&common, &command),
            Command::Audit(args) => audit::run(&common.cluster()?, &args),
            Command::Replay { command } => replay::run(&common.cluster()?, &command),
            Command::Doctor(args) => doctor::run(&common, &args),
            Command::Lag(args) => lag::run(&common.cluster()?, &args),
            Command::Recompute(args) => recompute::run(&common.cluster()?, &args),
            Command::Completions { shell } => completions(shell),
            Command::Features(args) => features::run(&args),
            Command::Openapi(args) => openapi::run(&args),
            Command::Asyncapi(args) => asyncapi::run(&args),
            Command::Taxonomy(args) => taxonomy::run(&args),
            Command::Explain(args) => explain::run(&args),
            Command::Bench { command } => bench::run(&common, &command),
            Command::Config { command } => configuration(&common, &command),
        }
    }
}

impl Common {
    /// The data folder.
    pub fn home(&self) -> Result<Home, Stop> {
        Home::new(self.data_dir.as_deref()).map_err(Stop::Usage)
    }

    /// The gateway that was given, else that of the running `up`, else that of the configuration.
    pub fn gateway(&self, given: Option<&str>, config: &Config) -> Result<String, Stop> {
        if let Some(url) = given {
            return Ok(url.to_owned());
        }
        let running = self.home()?.endpoints();
        Ok(running.map_or_else(|_| here(config.gateway.listen), |running| running.gateway))
    }

    /// The configuration file: the one that was named, else that of the running `up`.
    pub fn file(&self) -> Option<PathBuf> {
        self.config.clone().or_else(|| {
            let set = std::env::var_os("TILLSTREAM_CONFIG").filter(|value| !value.is_empty());
            set.map(PathBuf::from)
                .or_else(|| self.home().ok().map(|home| home.config_file()).filter(|file| file.exists()))
        })
    }

    /// The configuration: that of [`Common::file`], else the defaults.
    pub fn load(&self, overrides: Overrides) -> Result<Config, Stop> {
        Config::load(self.file().as_deref(), overrides).map_err(|errors| Stop::Usage(anyhow!("{errors}")))
    }

    /// As [`Common::load`], for a tool that can do nothing without Kafka and the registry: it ends at once where they
    /// aren't there.
    pub fn cluster(&self) -> Result<Config, Stop> {
        let config = self.load(vec![])?;
        reach::check(&config)?;
        Ok(config)
    }
}

fn configuration(common: &Common, command: &ConfigCommand) -> Result<(), Stop> {
    match command {
        ConfigCommand::Show => crate::data(common.load(vec![])?.to_toml_redacted().trim_end()),
        ConfigCommand::Check => {
            let config = common.load(vec![])?;
            let file =
                common.file().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
            crate::data(&format!("{file}: no mistake, {} workspaces", config.workspaces.len()))
        }
        ConfigCommand::Schema => crate::data(&serde_json::to_string_pretty(&Config::schema())?),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tillstream", &mut script);
    crate::data(String::from_utf8_lossy(&script).trim_end())
}

/// What there is to trigger: one source a line, in JSON one object a line.
fn list_triggers(output: Output) -> Result<(), Stop> {
    for kind in &trigger::KINDS {
        let (source, events) = (kind.source.as_str(), kind.events);
        match output {
            Output::Table => {
                crate::data(&format!("{source:<10} {}\n{:<10}   --set {}", events.join(" "), "", kind.hint))?;
            }
            Output::Json => {
                crate::data(
                    &serde_json::json!({"source": source, "events": events, "set": kind.hint}).to_string(),
                )?;
            }
        }
    }
    Ok(())
}

fn run_trigger(common: &Common, args: &TriggerArgs) -> Result<(), Stop> {
    let Some(source) = args.source.as_deref().filter(|_| !args.list) else {
        return list_triggers(args.output);
    };
    let config = common.load(vec![])?;
    let request = trigger::Request {
        source,
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
    let gateway = common.gateway(args.gateway.as_deref(), &config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client =
            reqwest::Client::builder().no_proxy().timeout(std::time::Duration::from_secs(10)).build()?;
        let mut refused = 0;
        for delivery in deliveries {
            let url = format!("{gateway}{}", delivery.path_and_query);
            let method = reqwest::Method::from_bytes(delivery.method.as_bytes())?;
            let mut request = client.request(method, &url).body(delivery.body.clone());
            for (name, value) in delivery.headers_at(service::clock::now()) {
                request = request.header(name, value.as_ref());
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
                Output::Table => crate::data(&format!("{source} {} {id} → {status} {body}", args.event))?,
                Output::Json => crate::data(
                    &serde_json::json!({"source": source, "event": args.event, "id": id,
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

/// The id in a body, for the answer's line: that of what it is about.
fn delivery_id(body: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let places = [
        "/data/object/id",
        "/data/order_id",
        "/record/order_id",
        "/record/payment_id",
        "/orderId",
        "/checkoutId",
        "/transaction_id",
        "/event_id",
        "/id",
    ];
    match places.iter().find_map(|place| value.pointer(place)) {
        Some(serde_json::Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    }
}
