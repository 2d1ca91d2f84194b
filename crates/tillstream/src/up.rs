//! `up`: Kafka, the registry, topics, all services and, if wanted, the demo, in one command.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use localkafka::{Artifacts, Cluster};
use service::config::Dashboard;
use service::{Config, Metrics, Shutdown};
use sources::WorkspaceConfig;
use topics::SchemaRegistry;

use crate::cli::{Common, Service};
use crate::home::{Endpoints, Home, here};
use crate::measure::{self, Size};
use crate::serve::Services;
use crate::{Output, Stop, topic};

/// How long the services may take to get ready.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// `up`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Sends the demo shop's deliveries and compares the figures.
    #[arg(long)]
    demo: bool,
    /// Ends after the demo: exit code 0 only if every figure is what it must be. Without --data-dir in a folder of its
    /// own that is removed afterwards.
    #[arg(long, requires = "demo")]
    once: bool,
    /// Kafka, registry, topics and schemas alone; the services then run with `tillstream serve`.
    #[arg(long, conflicts_with = "demo")]
    no_services: bool,
    /// Moves all ports, so that two can run side by side.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=50_000))]
    port_offset: u16,
    /// An existing cluster instead of a local one.
    #[arg(long, value_name = "BOOTSTRAP", requires = "registry")]
    kafka: Option<String>,
    /// The schema registry of the existing cluster.
    #[arg(long, value_name = "URL", requires = "kafka")]
    registry: Option<String>,
    /// Local brokers: 1, or 3 to try failures.
    #[arg(long, default_value_t = 1, value_parser = brokers)]
    brokers: u8,
    #[command(flatten)]
    size: Size,
    /// How to write the demo's table.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs until SIGTERM or Ctrl-C, or until the demo is over.
pub fn run(common: &Common, args: &Args) -> Result<(), Stop> {
    let begun = Instant::now();
    let temporary = Temporary::if_wanted(common, args)?;
    let home = match &temporary {
        Some(temporary) => Home::new(Some(&temporary.0)).map_err(Stop::Usage)?,
        None => common.home()?,
    };
    std::fs::create_dir_all(home.dir()).with_context(|| format!("cannot create {}", home.dir().display()))?;
    home.forget_stale_endpoints();
    let mut config =
        load(common.config.as_deref(), &home).map_err(|errors| Stop::Usage(anyhow!("{errors}")))?;
    if config.instance.is_none() {
        config.instance = Some("up".to_owned());
    }
    if config.workspaces.is_empty() {
        config.workspaces = vec![WorkspaceConfig::development()];
        config.query.dashboard = Dashboard::Open;
    }
    service::log::init(&quiet(&config)).map_err(|e| Stop::Usage(anyhow!(e)))?;
    say(&format!("data folder {}", home.dir().display()));

    let mut ports = Ports { offset: args.port_offset, taken: BTreeSet::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let shutdown = Shutdown::new();
    {
        let _guard = runtime.enter();
        service::lifecycle::on_signals(&shutdown)?;
    }
    let cluster = match (&args.kafka, &args.registry) {
        (Some(kafka), Some(registry)) => {
            config.kafka.bootstrap.clone_from(kafka);
            config.registry.url.clone_from(registry);
            None
        }
        _ => Some(start_cluster(&mut config, &home, args, &mut ports)?),
    };
    // Not before Kafka has the folder's lock: another `up` may be running here.
    home.forget_endpoints();
    choose_ports(&mut config, &mut ports, args.no_services);
    apply_topics(&config, cluster.as_ref(), args.brokers)?;
    // Without the name: a service that is started with this file needs one of its own.
    let instance = config.instance.take();
    home.write_config(&config)?;
    config.instance = instance;
    let config = Arc::new(config);
    say(&format!("Kafka, registry and topics are ready ({:.1} s)", begun.elapsed().as_secs_f32()));

    let result = runtime.block_on(with_services(&config, &home, args, &shutdown, begun));
    shutdown.trigger();
    home.forget_endpoints();
    runtime.shutdown_timeout(Duration::from_secs(1));
    if let Some(cluster) = cluster {
        say("stopping Kafka");
        cluster.stop();
    }
    result
}

/// The configuration, with stores on disk in the data folder where no other one was chosen.
fn load(file: Option<&Path>, home: &Home) -> Result<Config, service::config::Errors> {
    let own = |key: &str, value: &str| (key.to_owned(), value.into());
    let in_memory = vec![own("state.store", "memory"), own("aggregator.store", "memory")];
    let chosen = Config::load(file, in_memory)?;
    let folder = home.state_dir();
    let chosen = [
        ("state.folder", chosen.state.folder),
        ("aggregator.folder", chosen.aggregator.folder),
        ("query.folder", chosen.query.folder),
    ];
    let folders = chosen
        .into_iter()
        .filter(|(_, chosen)| chosen.is_none())
        .map(|(key, _)| own(key, &folder.to_string_lossy()));
    Config::load(file, folders.collect())
}

/// Everything between a ready cluster and its end.
async fn with_services(
    config: &Arc<Config>,
    home: &Home,
    args: &Args,
    shutdown: &Shutdown,
    begun: Instant,
) -> Result<(), Stop> {
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
    let http = here;
    let mut endpoints = Endpoints {
        gateway: http(config.gateway.listen),
        query: http(config.query.listen),
        kafka: config.kafka.bootstrap.clone(),
        registry: config.registry.url.clone(),
        metrics: http(config.normalizer.listen),
    };
    if args.no_services {
        home.write_endpoints(&endpoints)?;
        say(&format!(
            "start services with: tillstream serve <service> --config {} --instance <name>",
            home.config_file().display()
        ));
        shutdown.wait().await;
        return Ok(());
    }
    let ops = Some(config.normalizer.listen);
    let services = Services::start(config, &metrics, shutdown, Service::All, ops).await?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let waiting = services.waiting_for();
        if waiting.is_empty() || shutdown.is_triggered() {
            break;
        }
        if Instant::now() >= deadline {
            shutdown.trigger();
            services.end().await?;
            return Err(Stop::Failed(anyhow!(
                "not ready within {} s: {}",
                READY_WITHIN.as_secs(),
                waiting.join(", ")
            )));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut result = Ok(());
    if !shutdown.is_triggered() {
        endpoints.gateway = services.gateway.map_or(endpoints.gateway, http);
        endpoints.query = services.query.map_or(endpoints.query, http);
        endpoints.metrics = services.ops.map_or(endpoints.metrics, http);
        home.write_endpoints(&endpoints)?;
        announce(&endpoints, begun);
        if args.demo {
            let demo = measure::demo(
                Arc::clone(config),
                &args.size,
                endpoints.gateway.clone(),
                endpoints.query.clone(),
                home.demo_file(),
            );
            tokio::select! {
                table = demo => result = table.and_then(|table| measure::print(&table, args.output)),
                () = shutdown.wait() => {
                    if args.once {
                        result = Err(Stop::Failed(anyhow!("interrupted before the demo was over")));
                    }
                }
            }
        }
        if args.once {
            shutdown.trigger();
        } else {
            if let Err(Stop::Failed(error)) = &result {
                eprintln!("tillstream: {error:#}");
            }
            if args.demo && !shutdown.is_triggered() {
                say("everything keeps running; Ctrl-C stops it, and a second start keeps the data");
            }
            shutdown.wait().await;
        }
    }
    say("stopping the services");
    services.end().await?;
    result
}

fn announce(endpoints: &Endpoints, begun: Instant) {
    say(&format!("ready ({:.1} s)", begun.elapsed().as_secs_f32()));
    for (name, url) in [
        ("dashboard", format!("{}/", endpoints.query)),
        ("webhooks", endpoints.gateway.clone()),
        ("API docs", format!("{}/docs", endpoints.gateway)),
        ("metrics", format!("{}/metrics", endpoints.metrics)),
        ("Kafka", endpoints.kafka.clone()),
        ("registry", endpoints.registry.clone()),
    ] {
        eprintln!("  {name:<10} {url}");
    }
}

fn say(text: &str) {
    eprintln!("tillstream: {text}");
}

/// Under `up` the services' everyday lines would drown what it says: warnings and errors remain, unless a level was
/// chosen.
fn quiet(config: &Config) -> service::config::Log {
    let mut log = config.log.clone();
    if log.level == "info" {
        log.level = "warn".to_owned();
    }
    log
}

fn start_cluster(config: &mut Config, home: &Home, args: &Args, ports: &mut Ports) -> Result<Cluster, Stop> {
    let artifacts = Artifacts::resolve(&|text| say(text))?;
    let mut options = localkafka::Options::new(home.kafka_dir());
    options.brokers = args.brokers;
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    options.kafka_port = Some(ports.next("Kafka", local(9092)));
    options.registry_port = Some(ports.next("the registry", local(8081)));
    say("starting Kafka and the schema registry");
    let cluster = Cluster::start(&artifacts, options)?;
    cluster.wait_kafka()?;
    config.kafka.bootstrap = cluster.bootstrap().to_owned();
    config.registry.url = cluster.registry_url().to_owned();
    Ok(cluster)
}

/// Topics need no registry, so they are made while it starts.
fn apply_topics(config: &Config, cluster: Option<&Cluster>, brokers: u8) -> Result<(), Stop> {
    let replication = if cluster.is_some() { i32::from(brokers) } else { 1 };
    let admin = topic::admin(config, replication)?;
    let plan = admin.plan(None)?;
    admin.apply(&plan, None)?;
    if let Some(cluster) = cluster {
        cluster.wait_registry()?;
    }
    let registry = SchemaRegistry::new(&config.registry.url, Duration::from_secs(60))?;
    let plan = admin.plan(Some(&registry))?;
    admin.apply(&plan, Some(&registry))?;
    topic::seed(config, &registry)
}

/// Hosts are those of the configuration, which are loopback unless somebody chose another one.
fn choose_ports(config: &mut Config, ports: &mut Ports, no_services: bool) {
    for (what, listen) in [
        ("the gateway", &mut config.gateway.listen),
        ("the query service", &mut config.query.listen),
        ("metrics", &mut config.normalizer.listen),
    ] {
        listen.set_port(ports.next(what, *listen));
        if !listen.ip().is_loopback() {
            say(&format!("{what} listens on {listen}, where other machines may reach it"));
        }
    }
    // For `serve` with the written configuration, where each stage has an address of its own.
    let mut after = config.normalizer.listen.port();
    for listen in [&mut config.state.listen, &mut config.aggregator.listen, &mut config.fx.listen] {
        after = ports.free_after(listen.ip(), after);
        listen.set_port(after);
    }
    if config.gateway.reports_url.is_none() {
        config.gateway.reports_url = Some(here(config.query.listen));
    }
    // All stages answer at one address here; the other two may be somebody else's.
    if !no_services && config.query.services.is_empty() {
        config.query.services = [config.gateway.listen, config.normalizer.listen].map(here).into();
    }
}

/// Ports as they are documented, or the next free ones.
struct Ports {
    offset: u16,
    taken: BTreeSet<u16>,
}

impl Ports {
    fn next(&mut self, what: &str, documented: SocketAddr) -> u16 {
        let wanted = documented.port().saturating_add(self.offset);
        let port = self.free_after(documented.ip(), wanted.saturating_sub(1));
        if port != wanted {
            say(&format!("port {wanted} is taken, {what} uses {port}"));
        }
        port
    }

    fn free_after(&mut self, host: IpAddr, port: u16) -> u16 {
        let free = |port: &u16| !self.taken.contains(port) && TcpListener::bind((host, *port)).is_ok();
        let found = (port.saturating_add(1)..u16::MAX).find(free).unwrap_or(0);
        self.taken.insert(found);
        found
    }
}

/// The folder of a single demo run.
struct Temporary(PathBuf);

impl Temporary {
    fn if_wanted(common: &Common, args: &Args) -> Result<Option<Self>, Stop> {
        if !args.once || common.data_dir.is_some() {
            return Ok(None);
        }
        let dir = std::env::temp_dir().join(format!("tillstream-once-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Some(Self(dir)))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn brokers(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_was_chosen_stays_and_ports_are_free_ones() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut config = Config::load_from(None, &[], Vec::new()).unwrap();
        config.gateway.listen = "0.0.0.0:28080".parse().unwrap();
        config.query.listen = taken.local_addr().unwrap();
        let mut ports = Ports { offset: 0, taken: BTreeSet::new() };
        choose_ports(&mut config, &mut ports, false);
        assert!(config.gateway.listen.ip().is_unspecified() && config.gateway.listen.port() > 0);
        assert!(config.query.listen.ip().is_loopback());
        assert_ne!(config.query.listen, taken.local_addr().unwrap());
        // Whoever connects needs an address that leads somewhere.
        let gateway = format!("http://127.0.0.1:{}", config.gateway.listen.port());
        assert_eq!(config.query.services, [gateway, here(config.normalizer.listen)]);
        let all = [config.normalizer.listen, config.state.listen, config.aggregator.listen, config.fx.listen];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn stores_on_disk_are_in_the_data_folder_unless_another_one_was_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(Some(dir.path())).unwrap();
        let file = dir.path().join("config.toml");
        let text = "[state]\nstore = 'disk'\n[aggregator]\nstore = 'disk'\nfolder = '/elsewhere'";
        std::fs::write(&file, text).unwrap();
        let config = load(Some(&file), &home).unwrap();
        assert_eq!(config.state.folder, Some(home.state_dir()));
        assert_eq!(config.aggregator.folder, Some(PathBuf::from("/elsewhere")));
        assert_eq!(config.query.folder, Some(home.state_dir()));
        assert_eq!(config.state.store, service::config::Store::Disk);
    }
}
