//! Reports of a year at a steady rate, over the figures of a large shop, while its figures change.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use commerce::time::{DAY, Zone};
use commerce::{Currency, EventTime, PersonId, WorkspaceId};
use query::http::{Access, App, router};
use query::snapshot::{Published, Working};
use query::tenants::{KeyKind, Tenant, Tenants};
use service::{Metrics, Shutdown};

use super::gateway::runtime;
use super::load::{Bytes, Connection, get};
use super::machine::{self, Moment};
use super::report::Report;
use super::year::{self, Shop};
use super::{float, say};
use crate::{Output, Stop};

/// `bench query`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// People who bought or looked.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    people: u32,
    /// Products that are sold.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    products: u32,
    /// Orders, spread over 365 days.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(365..=50_000_000))]
    orders: u64,
    /// Requests per second of each report.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// For how long each report is asked for, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    secs: u64,
    /// How to write the figures.
    #[arg(short, long, value_enum, default_value_t)]
    pub(super) output: Output,
}

const WORKSPACE: &str = "bench";
const KEY: &str = "sk_bench";
const METHOD: &str = "records of commerce.metrics.v1 and facts of a made-up year are folded by the service's own working copy; \
    then each report is asked for over 365 days by HTTP on loopback, at a steady rate over 8 connections, without \
    If-None-Match, while ten times a second a product, a channel and the revenue of today change and are published; \
    a time is from the moment at which the request was due to the last byte of its answer; client and server share \
    this process and its cores";

/// Over how many connections.
const CONNECTIONS: u64 = 8;
/// How often something changes.
const BEAT: Duration = Duration::from_millis(100);

/// The reports, and how they are asked for.
const ASKED: [(&str, &str); 16] = [
    ("overview", "overview?days=365"),
    ("revenue_timeseries", "revenue-timeseries?days=365"),
    ("top_products", "top-products?days=365&limit=100"),
    ("revenue_by_channel", "revenue-by-channel?days=365"),
    ("revenue_by_coupon", "revenue-by-coupon?days=365"),
    ("revenue_by_device", "revenue-by-device?days=365"),
    ("revenue_by_platform", "revenue-by-platform?days=365"),
    ("revenue_by_country", "revenue-by-country?days=365"),
    ("funnel", "funnel?days=365"),
    ("funnel_ordered", "funnel?days=365&ordered=true&window=7d"),
    ("cart_abandonment", "cart-abandonment?days=365"),
    ("attribution_last_click", "attribution?days=365"),
    ("attribution_time_decay", "attribution?days=365&model=time_decay&window=90"),
    ("cohorts", "cohorts?months=12"),
    ("overview_exclude_flagged", "overview?days=365&exclude_flagged=true"),
    ("user_journey", "user-journey?days=365&user_id="),
];

fn now() -> EventTime {
    EventTime(i64::from(year::LAST.0) * DAY + DAY / 2)
}

/// Measures.
pub fn run(args: &Args) -> Result<Report, Stop> {
    let mut report = Report::new("query", false, METHOD);
    let before = machine::resident_mib();
    let began = Instant::now();
    let mut working = Working::default();
    say(&format!(
        "{} orders of {} people and {} products are loaded",
        args.orders, args.people, args.products
    ));
    let shop = Shop { people: args.people, products: args.products, orders: args.orders };
    let known = year::load(&mut working, WORKSPACE, &shop).context("the year can't be folded")?;
    let published = Arc::new(Published::default());
    working.publish(&published);
    report.figure("records", float(known.records), "records of commerce.metrics.v1");
    report.figure("load_seconds", began.elapsed().as_secs_f64(), "s, with making them up");
    report.figure_if("memory_mib", machine::resident_mib().zip(before).map(|(now, then)| now - then), "MiB");

    let servers = runtime("http", 2)?;
    let address = servers.block_on(serve(Arc::clone(&published)))?;
    let done = Arc::new(AtomicBool::new(false));
    let changing = {
        let (done, published) = (Arc::clone(&done), Arc::clone(&published));
        std::thread::Builder::new().name("changes".to_owned()).spawn(move || {
            let mut beat = 0;
            while !done.load(Ordering::Acquire) {
                year::change(&mut working, WORKSPACE, beat)?;
                working.publish(&published);
                beat += 1;
                std::thread::sleep(BEAT);
            }
            anyhow::Ok(())
        })?
    };
    let client = runtime("load", 1)?;
    let measured = client.block_on(all(args, address, &mut report, &known));
    done.store(true, Ordering::Release);
    changing.join().map_err(|_| anyhow!("the thread that changes figures panicked"))??;
    servers.shutdown_background();
    measured?;
    report.figure_if("peak_mib", machine::peak_mib(), "MiB");
    Ok(report)
}

/// Serves the reports; the address.
async fn serve(published: Arc<Published>) -> anyhow::Result<SocketAddr> {
    let mut tenants = Tenants::default();
    let tenant = Tenant {
        id: WorkspaceId::try_new(WORKSPACE).map_err(|e| anyhow!("{e}"))?,
        base: Currency::USD,
        zone: Zone::utc(),
        retention_days: None,
    };
    tenants.add(tenant, [(KeyKind::Secret, KEY)]).map_err(|e| anyhow!(e))?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
    let app = App::new(tenants, published, Access::Key, now, Shutdown::new(), metrics);
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router(Arc::new(app))).await });
    Ok(address)
}

async fn all(
    args: &Args,
    address: SocketAddr,
    report: &mut Report,
    known: &year::Known,
) -> anyhow::Result<()> {
    check(args, address, report, known).await?;
    let mut slowest: f64 = 0.0;
    for (name, path) in ASKED {
        let people = u128::from(args.people);
        let requests: Arc<[Bytes]> = (0..64_u128)
            .map(|n| {
                let whose =
                    if path.ends_with('=') { PersonId(n * 7919 % people).to_string() } else { String::new() };
                get(&format!("/v1/api/analytics/ecommerce/{path}{whose}"), KEY)
            })
            .collect();
        let from = Moment::now(None);
        let (mut millis, refused) = paced(address, &requests, args.rate, args.secs).await?;
        let passed = from.to(&Moment::now(None));
        report.check(format!("answers of {name} that are no 200"), &0, &refused);
        millis.sort_unstable_by(f64::total_cmp);
        for (which, share) in [("p50", 0.5), ("p99", 0.99)] {
            let value = super::report::percentile(&millis, share);
            report.figure_if(&format!("{name}_{which}_ms"), value, "ms");
            slowest = slowest.max(value.unwrap_or(f64::INFINITY));
        }
        report.figure(
            format!("{name}_cpu_ms"),
            passed.own * 1e3 / float(millis.len() as u64),
            "ms of CPU per request, client and changes included",
        );
    }
    report.figure("slowest_p99_ms", slowest, "ms");
    Ok(())
}

/// What must be in the answers.
async fn check(
    args: &Args,
    address: SocketAddr,
    report: &mut Report,
    known: &year::Known,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut ask = async |path: &str| -> anyhow::Result<serde_json::Value> {
        let (status, body) =
            connection.ask(&get(&format!("/v1/api/analytics/ecommerce/{path}"), KEY)).await?;
        anyhow::ensure!(status == 200, "{path} is answered with {status}");
        Ok(serde_json::from_slice(body)?)
    };
    let overview = ask("overview?days=365").await?;
    report.check("orders", &Some(args.orders), &overview["total_orders"].as_u64());
    let funnel = ask("funnel?days=365").await?;
    let of_step = |place: usize| funnel["steps"][place]["count"].as_u64();
    report.check("distinct buyers", &Some(known.buyers), &of_step(5));
    report.check("distinct visitors", &Some(known.visitors), &of_step(0));
    let cohorts = ask("cohorts?months=24").await?;
    report.check("buyers of all cohorts", &Some(known.buyers), &cohorts["total_purchasing_users"].as_u64());
    Ok(())
}

/// So many requests a second for so long; how long each took, from when it was due, and how many weren't answered 200.
async fn paced(
    address: SocketAddr,
    requests: &Arc<[Bytes]>,
    rate: u64,
    secs: u64,
) -> anyhow::Result<(Vec<f64>, u64)> {
    let start = tokio::time::Instant::now() + Duration::from_millis(200);
    let tasks: Vec<_> = (0..CONNECTIONS)
        .map(|lane| {
            let requests = Arc::clone(requests);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await?;
                let (mut millis, mut refused) = (Vec::new(), 0);
                for number in (lane..rate * secs).step_by(8) {
                    let due = start + Duration::from_secs_f64(float(number) / float(rate));
                    tokio::time::sleep_until(due).await;
                    let place = usize::try_from(number).unwrap_or_default() % requests.len();
                    let request = requests.get(place).context("no request")?;
                    let (status, _) = connection.ask(request).await?;
                    millis.push(due.elapsed().as_secs_f64() * 1e3);
                    refused += u64::from(status != 200);
                }
                anyhow::Ok((millis, refused))
            })
        })
        .collect();
    let (mut millis, mut refused) = (Vec::new(), 0);
    for task in tasks {
        let (more, not) = task.await??;
        millis.extend(more);
        refused += not;
    }
    Ok((millis, refused))
}
