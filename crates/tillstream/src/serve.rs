//! Running services: one alone, or all of them in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, anyhow};
use service::health::ops_router;
use service::http::Limits;
use service::{Config, Metrics, Readiness, Shutdown};
use sources::workspace::Secret;
use sources::{Workspace, Workspaces};
use tokio::signal::unix::{SignalKind, signal};

use crate::Stop;
use crate::cli::{Common, Service};
use crate::demo::Credentials;

/// `serve`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Which service.
    #[arg(value_enum)]
    service: Service,
    /// Name of this copy: stable over restarts, different for every copy. Also `instance` in the configuration.
    #[arg(long, value_name = "NAME")]
    instance: Option<String>,
}

/// Runs until SIGTERM or Ctrl-C.
pub fn run(common: &Common, args: &Args) -> Result<(), Stop> {
    let overrides = args.instance.iter().map(|name| ("instance".to_owned(), name.clone().into())).collect();
    let config = common.load(overrides)?;
    if config.instance.is_none() {
        return Err(Stop::Usage(anyhow!(
            "each copy needs a name of its own that stays the same over restarts: --instance NAME"
        )));
    }
    if config.workspaces.is_empty() {
        return Err(Stop::Usage(anyhow!(
            "no workspace is configured: see `[[workspaces]]` in the documentation"
        )));
    }
    if matches!(args.service, Service::Gateway | Service::All) {
        let checked = config.workspaces().and_then(|workspaces| gateway::check(&config, &workspaces));
        checked.map_err(|mistakes| Stop::Usage(anyhow!(mistakes.join("; "))))?;
    }
    service::log::init(&config.log).map_err(|e| Stop::Usage(anyhow!(e)))?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let shutdown = Shutdown::new();
        service::lifecycle::on_signals(&shutdown)?;
        let services = Services::start(&Arc::new(config), &metrics, &shutdown, args.service, None).await?;
        reload_on_hangup(services.doors.clone(), common.clone())?;
        shutdown.wait().await;
        services.end().await
    });
    runtime.shutdown_background();
    Ok(result?)
}

/// Where credentials and limits are looked at, in the services of one process.
#[derive(Clone, Default)]
struct Doors {
    gateway: Option<gateway::Door>,
    query: Option<query::Door>,
}

impl Doors {
    /// Hands over what was read. What needs a restart is the same for both.
    fn reload(&self, new: &Workspaces) -> Result<Vec<String>, Vec<String>> {
        let kept = self.gateway.as_ref().map_or(Ok(vec![]), |door| door.reload(new))?;
        let of_query = self.query.as_ref().map_or(Ok(vec![]), |door| door.reload(new))?;
        Ok(if self.gateway.is_some() { kept } else { of_query })
    }
}

/// Reads the configuration again at every SIGHUP and hands over its credentials and limits. A configuration with
/// mistakes changes nothing. A stage has neither, and goes on: nobody who reloads all services may end one by it.
fn reload_on_hangup(doors: Doors, common: Common) -> std::io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            let read = common.load(vec![]).map_err(|stop| vec![format!("{:#}", stop.error())]);
            let read = read.and_then(|config| config.workspaces()).and_then(|new| doors.reload(&new));
            match read {
                Ok(kept) => {
                    for left in kept {
                        tracing::warn!(left, "a part of the configuration needs a restart");
                    }
                    tracing::info!("credentials and limits were read again");
                }
                Err(mistakes) => {
                    let mistakes = mistakes.join("; ");
                    tracing::error!(mistakes, "the configuration has mistakes, the old one stays");
                }
            }
        }
    });
    Ok(())
}

/// Services of one process.
pub struct Services {
    http: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
    stages: Vec<(&'static str, JoinHandle<anyhow::Result<()>>)>,
    readiness: Vec<(&'static str, Readiness)>,
    /// Where the gateway listens, if it is among them.
    pub gateway: Option<SocketAddr>,
    /// Where the query service listens, if it is among them.
    pub query: Option<SocketAddr>,
    /// Health and metrics of the stages.
    pub ops: Option<SocketAddr>,
    /// Who may come in and who may ask.
    doors: Doors,
}

type StageRun = fn(&Config, &Metrics, &Readiness, &Shutdown) -> anyhow::Result<()>;

impl Services {
    /// Starts what `which` stands for. A service that fails triggers the shutdown, so that nothing stays half alive.
    /// `ops`: one address for the health of all stages, instead of one per stage.
    pub async fn start(
        config: &Arc<Config>,
        metrics: &Metrics,
        shutdown: &Shutdown,
        which: Service,
        ops: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let mut services = Self {
            http: vec![],
            stages: vec![],
            readiness: vec![],
            gateway: None,
            query: None,
            ops: None,
            doors: Doors::default(),
        };
        let wanted = |service| which == service || which == Service::All;
        if wanted(Service::Query) {
            let readiness = Readiness::new(shutdown.clone());
            let query =
                query::Query::build(config, metrics.clone(), readiness.clone(), shutdown.clone()).await?;
            services.query = Some(query.address());
            services.doors.query = Some(query.door());
            services.readiness.push(("query", readiness));
            let shutdown = shutdown.clone();
            services.http.push(tokio::spawn(async move {
                let result = query.run().await.context("query");
                shutdown.trigger();
                result
            }));
        }
        if which == Service::Fx
            || (which == Service::All && config.fx.provider != service::config::FxProvider::Off)
        {
            services.fx(config, metrics, shutdown, which, ops).await?;
        }
        let stages: [(Service, &'static str, StageRun, SocketAddr); 3] = [
            (Service::Normalizer, "normalizer", normalizer::run, config.normalizer.listen),
            (Service::State, "state", state::run, config.state.listen),
            (Service::Aggregator, "aggregator", aggregator::run, config.aggregator.listen),
        ];
        // All stages of a process share one address for health and metrics; a stage alone has its own.
        let shared = ops.or((which == Service::All).then_some(config.normalizer.listen));
        let all = Readiness::new(shutdown.clone());
        for (service, name, run, listen) in stages {
            if !wanted(service) {
                continue;
            }
            let readiness =
                if which == Service::All { all.scoped(name) } else { Readiness::new(shutdown.clone()) };
            services.readiness.push((name, readiness.clone()));
            if which != Service::All {
                let key = format!("{name}.listen");
                services.serve_ops(&key, ops.unwrap_or(listen), readiness.clone(), metrics, shutdown).await?;
            }
            let (config, metrics, shutdown) = (Arc::clone(config), metrics.clone(), shutdown.clone());
            let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
                let result = run(&config, &metrics, &readiness, &shutdown);
                if let Err(error) = &result {
                    tracing::error!(
                        service = name,
                        error = format!("{error:#}"),
                        "service failed, stopping all"
                    );
                }
                shutdown.trigger();
                result
            })?;
            services.stages.push((name, thread));
        }
        if let (Service::All, Some(listen)) = (which, shared) {
            services.serve_ops("normalizer.listen", listen, all, metrics, shutdown).await?;
        }
        if wanted(Service::Gateway) {
            let readiness = Readiness::new(shutdown.clone());
            let gateway =
                gateway::Gateway::bind(config, metrics.clone(), readiness.clone(), shutdown.clone()).await?;
            services.gateway = Some(gateway.address());
            services.doors.gateway = Some(gateway.door());
            services.readiness.push(("gateway", readiness));
            let shutdown = shutdown.clone();
            services.http.push(tokio::spawn(async move {
                gateway.run().await;
                shutdown.trigger();
                Ok(())
            }));
        }
        Ok(services)
    }

    /// Starts fetching rates. In a process with others its readiness isn't theirs: they work without a rate, and what
    /// waits for one is healed.
    async fn fx(
        &mut self,
        config: &Arc<Config>,
        metrics: &Metrics,
        shutdown: &Shutdown,
        which: Service,
        ops: Option<SocketAddr>,
    ) -> anyhow::Result<()> {
        let readiness = Readiness::new(shutdown.clone());
        if which == Service::Fx {
            let listen = ops.unwrap_or(config.fx.listen);
            self.serve_ops("fx.listen", listen, readiness.clone(), metrics, shutdown).await?;
        }
        let (config, shutdown) = (Arc::clone(config), shutdown.clone());
        let thread = thread::Builder::new().name("fx".to_owned()).spawn(move || {
            let result = crate::fx::fetch::serve(&config, &readiness, &shutdown);
            shutdown.trigger();
            result
        })?;
        self.stages.push(("fx", thread));
        Ok(())
    }

    async fn serve_ops(
        &mut self,
        key: &str,
        listen: SocketAddr,
        readiness: Readiness,
        metrics: &Metrics,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let listener = service::http::bind(listen, key).await?;
        self.ops = Some(listener.local_addr()?);
        let router = ops_router(readiness, metrics.clone());
        let shutdown = shutdown.clone();
        self.http.push(tokio::spawn(async move {
            service::http::serve(listener, router, shutdown, Limits::default()).await;
            Ok(())
        }));
        Ok(())
    }

    /// What isn't ready yet, and what it waits for.
    pub fn waiting_for(&self) -> Vec<String> {
        let missing = |(name, readiness): &(&str, Readiness)| {
            (!readiness.is_ready()).then(|| format!("{name} ({})", readiness.missing().join(", ")))
        };
        self.readiness.iter().filter_map(missing).collect()
    }

    /// Waits for all to end, and gives the first failure. What hasn't ended when the drain budget is used up (a
    /// commit that waits for a broker that is gone) ends with the process: the next start finds the transaction
    /// aborted, as after kill -9.
    pub async fn end(self) -> anyhow::Result<()> {
        let budget = service::lifecycle::DRAIN_BUDGET;
        if let Ok(result) = tokio::time::timeout(budget, self.join()).await {
            return result;
        }
        Err(anyhow!(
            "not everything ended within {} s; what was open is undone by the next start",
            budget.as_secs()
        ))
    }

    async fn join(self) -> anyhow::Result<()> {
        let mut first = Ok(());
        for task in self.http {
            first = first.and(task.await.map_err(anyhow::Error::from).and_then(|result| result));
        }
        for (name, stage) in self.stages {
            let ended = tokio::task::spawn_blocking(move || stage.join()).await?;
            let result = ended.unwrap_or_else(|_| Err(anyhow!("it panicked")));
            first = first.and(result.with_context(|| format!("service {name}")));
        }
        first
    }
}

/// Credentials of the first workspace that has what the demo and `trigger` need.
pub fn credentials(config: &Config) -> Result<Credentials, Stop> {
    let workspaces = config.workspaces().map_err(|mistakes| Stop::Usage(anyhow!(mistakes.join("; "))))?;
    let shops = |workspace: &&Workspace| !workspace.shopify.is_empty() && !workspace.lifesight.is_empty();
    let whole = |workspace: &&Workspace| {
        let rest = workspace.stripe.is_some() && workspace.customerio.is_some();
        shops(workspace) && rest && workspace.sequenzy.is_some() && workspace.records.is_some()
    };
    let Some(workspace) = workspaces.iter().find(whole).or_else(|| workspaces.iter().find(shops)) else {
        // Nothing configured: the development workspace of an `up` somewhere else.
        return Ok(Credentials::default());
    };
    let mut found = Credentials { workspace: workspace.id.to_string(), ..Credentials::default() };
    // What the workspace doesn't have stays that of the development workspace, which the gateway then refuses.
    let first = |secrets: &[Secret], known: &mut String| {
        if let Some(secret) = secrets.first() {
            secret.expose().clone_into(known);
        }
    };
    if let Some(shop) = workspace.shopify.first() {
        found.shop.clone_from(&shop.shop);
        first(&shop.secrets, &mut found.shopify_secret);
    }
    first(&workspace.lifesight, &mut found.backend_key);
    first(&workspace.analytics.publishable_keys, &mut found.publishable_key);
    first(&workspace.analytics.secret_keys, &mut found.secret_key);
    if let Some(stripe) = &workspace.stripe {
        first(&stripe.secrets, &mut found.stripe_secret);
    }
    if let Some(site) = workspace.customerio.iter().flat_map(|of| &of.credentials).next() {
        found.track_site.clone_from(&site.site_id);
        site.api_key.expose().clone_into(&mut found.track_key);
    }
    if let Some(sequenzy) = &workspace.sequenzy {
        first(&sequenzy.keys, &mut found.orders_key);
    }
    if let Some(records) = &workspace.records {
        first(&records.keys, &mut found.records_key);
    }
    Ok(found)
}
