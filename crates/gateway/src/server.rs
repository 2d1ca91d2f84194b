//! Config → build → run(drain).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware::map_response;
use axum::response::Response;
use commerce::Source;
use service::docs;
use service::health::{self, Part};
use service::http::{self as server, BindError, Limits};
use service::metrics::{Gauge, Metrics};
use service::{Config, Readiness, Shutdown};
use sources::Workspaces;
use tokio::net::TcpListener;

use crate::claims::Claims;
use crate::intake::{self, Counts, Intake};
use crate::letter::Letters;
use crate::meter;
use crate::producer::Producer;
use crate::reports::Reports;
use crate::room::Room;
use crate::trace::{CORRELATION, Correlation};
use crate::usage;

/// Between two looks at the brokers, while they are there and while they aren't.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// For one look.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// Why the gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tenants of the configuration aren't sound.
    #[error("the workspaces have mistakes: {}", .0.join("; "))]
    Workspaces(Vec<String>),
    /// librdkafka refuses a property.
    #[error("the producer can't be made, check [kafka.properties]")]
    Producer(#[source] rdkafka::error::KafkaError),
    /// The client for reports.
    #[error("the client of the query service can't be made")]
    Reports(#[source] reqwest::Error),
    /// The address.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// What of a configuration the gateway alone can't work with, each with its place.
pub fn check(config: &Config, workspaces: &Workspaces) -> Result<(), Vec<String>> {
    let mistakes = usage::unsettled(workspaces, config.gateway.reports_url.as_deref());
    if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
}

/// A gateway that has its address and doesn't answer yet.
pub struct Gateway {
    listener: TcpListener,
    address: SocketAddr,
    limits: Limits,
    intake: Arc<Intake>,
    readiness: Readiness,
    kafka: Part,
    metrics: Metrics,
    shutdown: Shutdown,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Binds and runs, to be awaited until the drain after `shutdown` has ended.
pub async fn run(
    config: &Config,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: Shutdown,
) -> Result<(), Error> {
    Gateway::bind(config, metrics, readiness, shutdown).await?.run().await;
    Ok(())
}

impl Gateway {
    /// Takes the address; connects to Kafka in the background.
    pub async fn bind(
        config: &Config,
        metrics: Metrics,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> Result<Self, Error> {
        let settings = &config.gateway;
        let workspaces = config.workspaces().map_err(Error::Workspaces)?;
        check(config, &workspaces).map_err(Error::Workspaces)?;
        let listener = server::bind(settings.listen, "gateway.listen").await?;
        let address = listener.local_addr().unwrap_or(settings.listen);
        let kafka = readiness.part("kafka");
        let gauge = metrics.gauge(Gauge::InFlightBytes, &[]);
        let producer = Arc::new(Producer::new(config, &metrics).map_err(Error::Producer)?);
        let intake = Intake {
            workspaces: ArcSwap::from_pointee(workspaces),
            claims: Claims::new(config, Arc::clone(&producer)),
            producer,
            letters: Letters::new(&config.registry.url),
            reports: settings.reports_url.as_deref().map(Reports::new).transpose().map_err(Error::Reports)?,
            room: Room::new(settings.max_in_flight_bytes.bytes(), gauge),
            body_timeout: settings.body_timeout.duration(),
            commit_timeout: settings.commit_timeout.duration(),
            counts: Counts::new(metrics.clone()),
            trouble: Trouble::new(),
            meter: Arc::new(meter::Counts::new()),
        };
        let limits = Limits {
            header_timeout: settings.header_timeout.duration(),
            max_connections: settings.max_connections,
        };
        Ok(Self { listener, address, limits, intake: Arc::new(intake), readiness, kafka, metrics, shutdown })
    }

    /// A handle by which its workspaces are changed while it runs.
    pub fn door(&self) -> Door {
        Door(Arc::clone(&self.intake))
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the shutdown, ends the requests that have begun, waits for their records, and returns.
    pub async fn run(self) {
        let Self { listener, address, limits, intake, readiness, kafka, metrics, shutdown } = self;
        tracing::info!(%address, "gateway listens");
        // Ends the watcher when this future is dropped, too: a runtime waits for its blocking tasks.
        let watching = Watching(Shutdown::new());
        let watcher = {
            let (intake, end) = (Arc::clone(&intake), watching.0.clone());
            tokio::task::spawn_blocking(move || watch(&intake.producer, &intake.meter, &kafka, &end))
        };
        if let Err(error) = intake.claims.start(&readiness, &watching.0) {
            // Requests with a key are told to come again, and `/readyz` says that something is missing.
            tracing::error!(%error, "the threads for requests with a key can't be started");
        }
        let warming = {
            let intake = Arc::clone(&intake);
            // Only so that the first dead letter needn't wait; if it fails, that one tries again.
            tokio::spawn(async move { intake.letters.prepare().await.is_ok() })
        };
        let counting = intake.reports.as_ref().map(|reports| {
            let (intake, base, end) = (Arc::clone(&intake), reports.base().to_owned(), shutdown.clone());
            tokio::spawn(async move { usage::settle(&intake, &base, &end).await })
        });
        let router = router(Arc::clone(&intake), readiness, metrics);
        server::serve(listener, router, shutdown.clone(), limits).await;
        warming.abort();
        if let Some(counting) = counting {
            counting.abort();
        }
        drop(watching);
        let left = shutdown.remaining();
        let flushing = tokio::task::spawn_blocking(move || {
            intake.producer.flush(left);
            // Dropping the producer blocks as well.
            drop(intake);
        });
        let _ = tokio::time::timeout(left, flushing).await;
        let _ = tokio::time::timeout(shutdown.remaining(), watcher).await;
        tracing::info!("gateway stopped");
    }
}

/// Changes who may come in, while requests go on.
#[derive(Clone)]
pub struct Door(Arc<Intake>);

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").finish_non_exhaustive()
    }
}

impl Door {
    /// Takes over credentials and limits; gives what it left as it was, see [`Workspaces::reloaded`].
    pub fn reload(&self, new: &Workspaces) -> Result<Vec<String>, Vec<String>> {
        let reports = self.0.reports.as_ref().map(Reports::base);
        let mistakes = usage::unsettled(new, reports);
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let (workspaces, kept) = self.0.workspaces.load().reloaded(new)?;
        self.0.workspaces.store(Arc::new(workspaces));
        Ok(kept)
    }
}

fn router(intake: Arc<Intake>, readiness: Readiness, metrics: Metrics) -> Router {
    let ops = health::ops_router(readiness, metrics).merge(docs::router()).layer(map_response(name));
    Router::new().fallback(intake::handle).with_state(intake).merge(ops)
}

/// Every answer has a name, those of health too.
async fn name(mut response: Response) -> Response {
    response.headers_mut().insert(CORRELATION, Correlation::new().header());
    response
}

struct Watching(Shutdown);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.trigger();
    }
}

/// Looks at the brokers for `/readyz`, and mends the producer.
fn watch(producer: &Producer, meter: &meter::Counts, part: &Part, end: &Shutdown) {
    loop {
        producer.mend();
        meter.tidy();
        let pause = match producer.check(LOOK_WITHIN) {
            Ok(detail) => {
                part.ready(detail);
                LOOK_EVERY
            }
            Err(reason) => {
                part.not_ready(reason);
                LOOK_AGAIN
            }
        };
        if end.sleep(pause) {
            return;
        }
    }
}

/// Says in the log, at most once a second, that requests can't be committed.
pub(crate) struct Trouble {
    since: Instant,
    /// Second of the last line, counted from `since`, plus one.
    last: AtomicU64,
}

impl Trouble {
    fn new() -> Self {
        Self { since: Instant::now(), last: AtomicU64::new(0) }
    }

    pub(crate) fn tell(&self, source: Source, error: &dyn std::error::Error, correlation: &Correlation) {
        let second = self.since.elapsed().as_secs() + 1;
        if self.last.swap(second, Ordering::Relaxed) == second {
            return;
        }
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(
            source = source.as_str(),
            %error,
            cause,
            correlation = correlation.as_str(),
            "requests can't be committed, their senders are told to come again"
        );
    }
}
