//! Build, run, drain.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use axum::Router;
use commerce::EventTime;
use prometheus::IntCounter;
use rdkafka::ClientConfig;
use service::config::{Config, Dashboard};
use service::http::{BindError, Limits};
use service::{Metrics, Readiness, Shutdown};
use sources::Workspaces;
use tokio::net::TcpListener;

use crate::business::Shops;
use crate::history::{self, History, Place};
use crate::http::{Access, App, router};
use crate::pipeline::services::Services;
use crate::reading::{Reader, probe};
use crate::snapshot::Published;
use crate::tenants::{KeyKind, Tenant, Tenants};

/// The service, built and bound, not yet running.
#[derive(Debug)]
pub struct Query {
    listener: TcpListener,
    address: SocketAddr,
    door: Door,
    router: Router,
    client: ClientConfig,
    registry: String,
    place: Place,
    published: Arc<Published>,
    readiness: Readiness,
    unreadable: IntCounter,
    shutdown: Shutdown,
    workspaces: Workspaces,
}

/// Why the service can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The workspaces have mistakes.
    #[error("the configuration has mistakes: {}", .0.join("; "))]
    Workspaces(Vec<String>),
    /// The address is taken.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The figures for Prometheus can't be made.
    #[error("the figures for Prometheus can't be made")]
    Metrics(#[source] prometheus::Error),
    /// The client that asks the other services can't be made.
    #[error("the other services can't be asked")]
    Client(#[source] reqwest::Error),
    /// A thread couldn't be started, or the address not be learnt.
    #[error("the system refused")]
    System(#[from] std::io::Error),
}

impl Query {
    /// Takes the address of `query.listen`. Nothing is read or answered before [`Query::run`].
    pub async fn build(
        config: &Config,
        metrics: Metrics,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> Result<Self, StartError> {
        let workspaces = config.workspaces().map_err(StartError::Workspaces)?;
        let tenants = tenants(&workspaces).map_err(StartError::Workspaces)?;
        let listener = service::http::bind(config.query.listen, "query.listen").await?;
        let address = listener.local_addr()?;
        let access = match config.query.dashboard {
            Dashboard::Open => Access::Open { loopback: address.ip().is_loopback() },
            Dashboard::Key => Access::Key,
        };
        let history = History::new(config.state.person_id_key.clone());
        let published = Arc::new(Published::with_history(history));
        let instance = config.instance.as_deref().unwrap_or("query");
        let place = match &config.query.folder {
            Some(folder) => Place::Folder(folder.join("query").join(instance)),
            None => Place::Temporary,
        };
        let unreadable = unreadable(&metrics);
        let clock: fn() -> EventTime = || service::clock::now().as_event();
        let shops =
            Shops::new(tenants.clone(), Arc::clone(&published), clock).map_err(StartError::Metrics)?;
        // Refused only where a second copy runs in one process: it would say the same.
        let _ = metrics.registry().register(Box::new(shops));
        let app = App::new(tenants, Arc::clone(&published), access, clock, shutdown.clone(), metrics.clone());
        let app = app.watching(Services::of(config, metrics.clone()).map_err(StartError::Client)?);
        let app = Arc::new(app);
        let door = Door { app: Arc::clone(&app), workspaces: Arc::new(Mutex::new(workspaces.clone())) };
        let router = router(app).merge(service::health::ops_router(readiness.clone(), metrics));
        let client = service::kafka::client_config(config);
        let registry = config.registry.url.clone();
        Ok(Self {
            listener,
            address,
            door,
            router,
            client,
            registry,
            place,
            published,
            readiness,
            unreadable,
            shutdown,
            workspaces,
        })
    }

    /// A handle by which its keys are changed while it runs.
    pub fn door(&self) -> Door {
        self.door.clone()
    }

    /// The address that was bound; the port is a real one also where 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads and answers until the shutdown; then ends the live streams and lets what has begun end.
    pub async fn run(self) -> Result<(), StartError> {
        let histories = history::Reader {
            client: self.client.clone(),
            registry: self.registry.clone(),
            published: Arc::clone(&self.published),
            place: self.place,
            unreadable: self.unreadable.clone(),
            shutdown: self.shutdown.clone(),
        };
        let reader = Reader {
            client: self.client.clone(),
            registry: self.registry,
            published: Arc::clone(&self.published),
            loaded: self.readiness.part("figures"),
            unreadable: self.unreadable,
            shutdown: self.shutdown.clone(),
            workspaces: self.workspaces,
        };
        let (client, published, shutdown) = (self.client, self.published, self.shutdown.clone());
        let threads = [
            thread::Builder::new().name("query-read".to_owned()).spawn(move || reader.run())?,
            thread::Builder::new().name("query-history".to_owned()).spawn(move || histories.run())?,
            thread::Builder::new()
                .name("query-probe".to_owned())
                .spawn(move || probe(&client, &published, &shutdown))?,
        ];
        tracing::info!(address = %self.address, "reports and dashboard");
        service::http::serve(self.listener, self.router, self.shutdown, Limits::default()).await;
        let ended = tokio::task::spawn_blocking(move || threads.map(thread::JoinHandle::join)).await;
        if ended.is_err() || ended.is_ok_and(|threads| threads.iter().any(Result::is_err)) {
            tracing::error!("a thread of the query service panicked");
        }
        Ok(())
    }
}

/// Changes who may ask, while questions go on.
#[derive(Clone)]
pub struct Door {
    app: Arc<App>,
    workspaces: Arc<Mutex<Workspaces>>,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    /// Takes over keys and limits; gives what it left as it was, see [`Workspaces::reloaded`].
    pub fn reload(&self, new: &Workspaces) -> Result<Vec<String>, Vec<String>> {
        let mut present = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let (workspaces, kept) = present.reloaded(new)?;
        self.app.tenants.store(Arc::new(tenants(&workspaces)?));
        *present = workspaces;
        Ok(kept)
    }
}

fn tenants(workspaces: &Workspaces) -> Result<Tenants, Vec<String>> {
    let mut tenants = Tenants::default();
    let mut mistakes = Vec::new();
    for workspace in workspaces.iter() {
        let tenant = Tenant {
            id: workspace.id.clone(),
            base: workspace.base_currency,
            zone: workspace.zone.clone(),
            retention_days: workspace.plan.retention_days,
        };
        let publishable =
            workspace.analytics.publishable_keys.iter().map(|key| (KeyKind::Publishable, key.expose()));
        let secret = workspace.analytics.secret_keys.iter().map(|key| (KeyKind::Secret, key.expose()));
        if let Err(mistake) = tenants.add(tenant, publishable.chain(secret)) {
            mistakes.push(mistake);
        }
    }
    if mistakes.is_empty() { Ok(tenants) } else { Err(mistakes) }
}

fn unreadable(metrics: &Metrics) -> IntCounter {
    #[expect(clippy::unwrap_used, reason = "a constant, valid name")]
    let counter = IntCounter::new(
        "tillstream_query_unreadable_records_total",
        "Records that the query service couldn't read and left out.",
    )
    .unwrap();
    // Refused only where a second copy runs in one process: then this one's count isn't exported.
    let _ = metrics.registry().register(Box::new(counter.clone()));
    counter
}
