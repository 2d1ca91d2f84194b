//! Webhooks over HTTP: the gateway, and a handler that does the same without Kafka.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use service::{Metrics, Readiness, Shutdown};
use sha2::Sha256;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::cluster::Kafka;
use super::load::{self, Load};
use super::machine::Moment;
use super::report::Report;
use super::sample::Which;
use super::shops::Shops;
use super::workload::Workload;
use super::{Place, doors, float, say};
use crate::Stop;
use crate::cli::Common;

/// `bench gateway`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(super) connections: u16,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(super) secs: u64,
    /// How often each side is measured, in turn.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=20))]
    pub(super) rounds: u8,
    /// Typical requests of this source instead, beside those of shopify: how each door compares.
    #[arg(long, value_enum)]
    source: Option<Which>,
    #[command(flatten)]
    pub(super) place: Place,
}

const METHOD: &str = "signed webhooks of about 2 KB over kept connections, client and server in one process on the same \
    cores; the gateway, and in turn a handler that verifies the signature and answers: the ceiling";
/// Different ones, so that all partitions are written to.
const REQUESTS: usize = 512;

/// Measures both in turn.
pub fn run(common: &Common, args: &Args) -> Result<Report, Stop> {
    if let Some(which) = args.source {
        return doors::run(common, args, which);
    }
    let kafka = Kafka::with_topics(common, &args.place)?;
    let mut report = Report::new("gateway", kafka.local, METHOD);
    let shops = Shops::new()?;
    let requests: Arc<[load::Bytes]> = Workload::new(42, 4_000)
        .filter(|webhook| {
            !webhook.repeated && webhook.shop == 0 && (1_900..2_200).contains(&webhook.body.len())
        })
        .filter_map(|webhook| shops.request(&webhook))
        .take(REQUESTS)
        .map(|delivery| load::post(&delivery))
        .collect();
    let secret = shops.workspaces().iter().next().and_then(|w| w.shopify.first()?.secrets.first().cloned());
    let secret = secret.context("a shop without a secret")?;

    let client = runtime("load", 1)?;
    let gateway = Running::start(&kafka)?;
    let of_ceiling = gateway.servers.block_on(ceiling(secret.expose()))?;

    let span = Duration::from_secs(args.secs);
    let (mut through, mut without) = (Side::default(), Side::default());
    for round in 0..args.rounds {
        for (name, address, side) in
            [("ceiling", of_ceiling, &mut without), ("gateway", gateway.address, &mut through)]
        {
            say(&format!("round {} of {}: {name}", round + 1, args.rounds));
            let before = Moment::now(kafka.broker);
            side.add(client.block_on(load::flood(address, &requests, args.connections, span))?);
            let passed = before.to(&Moment::now(kafka.broker));
            side.cpu += passed.own;
            side.broker += passed.broker.unwrap_or(0.0);
        }
    }
    gateway.end()?;
    report.figure("requests_per_s", through.rate(), "requests/s");
    report.figure("ceiling_per_s", without.rate(), "requests/s");
    report.figure("ratio", through.rate() / without.rate(), "gateway / ceiling");
    report.figure("connections", f64::from(args.connections), "");
    for (name, side) in [("request", &mut through), ("ceiling", &mut without)] {
        report.check(format!("{name}s that were refused"), &0, &side.refused);
        let requests = float(side.millis.len() as u64);
        // The second of warming up is in the CPU time and not among the requests.
        let share = float(args.secs) / float(args.secs + 1);
        report.figure(
            format!("{name}_cpu_us"),
            side.cpu * share * 1e6 / requests,
            "µs per request, client and server",
        );
        report.figure(
            format!("{name}_broker_cpu_us"),
            side.broker * share * 1e6 / requests,
            "µs per request",
        );
        report.spans(name, &mut side.millis);
    }
    Ok(report)
}

/// A gateway that serves, and its threads.
pub(super) struct Running {
    /// Where it listens.
    pub(super) address: SocketAddr,
    servers: Runtime,
    shutdown: Shutdown,
    serving: JoinHandle<()>,
}

impl Running {
    /// Starts it and waits until it is ready.
    pub(super) fn start(kafka: &Kafka) -> Result<Self, Stop> {
        let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let servers = runtime("http", threads)?;
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
        let gateway = servers.block_on(gateway::Gateway::bind(
            &kafka.config,
            metrics,
            readiness.clone(),
            shutdown.clone(),
        ))?;
        let address = gateway.address();
        let serving = servers.spawn(gateway.run());
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !readiness.is_ready() {
            if std::time::Instant::now() >= deadline {
                return Err(Stop::Failed(anyhow!("the gateway didn't get ready")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { address, servers, shutdown, serving })
    }

    /// Ends it, and waits until it has.
    pub(super) fn end(self) -> anyhow::Result<()> {
        self.shutdown.trigger();
        self.servers.block_on(self.serving)?;
        self.servers.shutdown_background();
        Ok(())
    }
}

/// All rounds of one of the things that are measured in turn.
#[derive(Default)]
pub(super) struct Side {
    pub(super) millis: Vec<f64>,
    pub(super) refused: u64,
    seconds: f64,
    cpu: f64,
    broker: f64,
}

impl Side {
    pub(super) fn add(&mut self, load: Load) {
        self.millis.extend(load.millis);
        self.refused += load.refused;
        self.seconds += load.seconds;
    }

    pub(super) fn rate(&self) -> f64 {
        float(self.millis.len() as u64) / self.seconds
    }
}

pub(super) fn runtime(name: &str, threads: usize) -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}

/// Serves the handler without Kafka until the runtime ends; its address.
async fn ceiling(secret: &str) -> anyhow::Result<SocketAddr> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new().fallback(verified).with_state(mac);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

async fn verified(
    State(mac): State<Hmac<Sha256>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let signature =
        headers.get("x-shopify-hmac-sha256").and_then(|value| STANDARD.decode(value.as_bytes()).ok());
    match signature {
        Some(signature) if mac.chain_update(&body).verify_slice(&signature).is_ok() => {
            (StatusCode::OK, r#"{"ok":true}"#)
        }
        _ => (StatusCode::UNAUTHORIZED, "{}"),
    }
}
