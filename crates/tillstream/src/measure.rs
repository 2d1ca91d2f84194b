//! What the product made of the demo: read from its topics and reports, compared with what must be.

pub mod found;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use commerce::metric::is_of_the_state;
use commerce::time::Day;
use commerce::{Currency, EventTime, Money};
use serde_json::value::RawValue;
use service::Config;
use stream::{Follow, Followed, follow};
use topics::Topic;

use crate::cli::Common;
use crate::demo::expected::{DayTotals, Part, Totals};
use crate::demo::send::{self, Plan, Progress};
use crate::demo::shop::{DEFAULT_ORDERS, DEFAULT_SEED, Options};
use crate::demo::table::Format;
use crate::demo::{Expected, Measured, Shop, Table};
use crate::tail::Reader;
use crate::{Output, Stop};
pub use found::Found;

/// How long the figures may stand still before they are equal: a slow machine is still at work as long as they move.
const SETTLE: Duration = Duration::from_secs(60);
/// How long they may move: whoever sends something else meanwhile isn't waited for.
const LONGEST: Duration = Duration::from_secs(900);

/// The demo's size; also options of `up --demo`.
#[derive(clap::Args, Debug, Clone)]
pub struct Size {
    /// Orders of the demo shop.
    #[arg(long, default_value_t = DEFAULT_ORDERS)]
    pub orders: usize,
    /// Seed of the demo shop: the same seed makes the same deliveries.
    #[arg(long, default_value_t = DEFAULT_SEED)]
    pub seed: u64,
    /// Deliveries per second; 0 is as fast as they are taken.
    #[arg(long, default_value_t = 300)]
    pub rate: u32,
}

/// `demo`
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    size: Size,
    /// How to write the table.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the demo against what is running.
pub fn run(common: &Common, args: &Args) -> Result<(), Stop> {
    let home = common.home()?;
    let endpoints = home.endpoints()?;
    let config = Arc::new(common.load(vec![])?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let table =
        runtime.block_on(demo(config, &args.size, endpoints.gateway, endpoints.query, home.demo_file()))?;
    print(&table, args.output)
}

/// Writes the table; unequal is a failure.
pub fn print(table: &Table, output: Output) -> Result<(), Stop> {
    let format = match output {
        Output::Table => Format::Text,
        Output::Json => Format::Json,
    };
    table.print(&mut std::io::stdout(), format)?;
    if table.all_equal() {
        Ok(())
    } else {
        Err(Stop::Failed(anyhow!(
            "the demo's figures are not what they must be (if this data folder has other orders as well, as those of \
             `trigger`, they are counted too: the demo expects only its own)"
        )))
    }
}

/// Sends the demo's deliveries, or what an earlier run left of them, and compares.
pub async fn demo(
    config: Arc<Config>,
    size: &Size,
    gateway: String,
    query: String,
    progress_file: PathBuf,
) -> Result<Table, Stop> {
    let credentials = crate::serve::credentials(&config)?;
    // An earlier run in this data folder is gone on with: its deliveries are part of the figures.
    let plan = match Progress::load(&progress_file)? {
        Some(progress) => {
            if progress.done < progress.of {
                eprintln!("demo: going on after {} of {} deliveries", progress.done, progress.of);
            } else {
                eprintln!("demo: this data folder has it already, comparing");
            }
            progress.plan
        }
        None => Plan { seed: size.seed, orders: size.orders, now: service::clock::now().0 },
    };
    let options = Options {
        seed: plan.seed,
        orders: plan.orders,
        credentials: credentials.clone(),
        ..Options::default_at(EventTime(plan.now))
    };
    let shop = Shop::generate(&options);
    let workspaces = config.workspaces().map_err(|m| Stop::Usage(anyhow!(m.join("; "))))?;
    let base = workspaces.get(&credentials.workspace).map_or(Currency::USD, |w| w.base_currency);
    let expected = Expected::of(&shop, base);
    let sending = send::Options {
        rate: std::num::NonZeroU32::new(size.rate),
        progress: Some((progress_file, plan)),
        ..send::Options::to(gateway)
    };
    let mut told = Instant::now();
    let report = send::send(&shop.deliveries, &sending, |progress| {
        if told.elapsed() >= Duration::from_secs(2) && progress.done < progress.of {
            told = Instant::now();
            eprintln!("demo: {} of {} deliveries sent", progress.done, progress.of);
        }
    })
    .await?;
    eprintln!("demo: all {} deliveries sent, waiting for the figures", shop.deliveries.len());
    for answer in &report.unexpected {
        eprintln!(
            "demo: {} answered {} instead of {}: {}",
            answer.path, answer.got, answer.expected, answer.body
        );
    }
    let rejected = expected.rejected.clone();
    let began = Instant::now();
    let mut moved = (began, Table::default());
    let target = Arc::new(Target {
        config,
        query,
        workspace: credentials.workspace,
        base,
        currencies: expected.by_currency.keys().copied().collect(),
        days: expected.by_day.keys().map(|(day, _)| *day).min(),
    });
    loop {
        let target = Arc::clone(&target);
        let mut measured = tokio::task::spawn_blocking(move || measure(&target)).await??;
        // What was refused is the sender's to tell: it compared each answer with the right one.
        measured.rejected = (report.unexpected_count == 0).then(|| rejected.clone());
        let table = expected.compare(&measured, report.uncertainty());
        if table != moved.1 {
            moved = (Instant::now(), table);
        }
        let (since, table) = &moved;
        if table.all_equal() || since.elapsed() >= SETTLE || began.elapsed() >= LONGEST {
            return Ok(moved.1);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whom to ask about what.
struct Target {
    config: Arc<Config>,
    query: String,
    workspace: String,
    base: Currency,
    currencies: Vec<Currency>,
    days: Option<Day>,
}

/// Reads every figure from where a user would: reports for revenue, topics for the rest.
fn measure(target: &Target) -> anyhow::Result<Measured> {
    let found = read_topics(target)?;
    let (cancelled_paid, refunds_by_day) = (found.cancelled_paid(), found.refunds_by_day());
    let (mut by_currency, mut by_day) = (BTreeMap::new(), BTreeMap::new());
    let today = commerce::time::Zone::utc().day_of(service::clock::now().as_event());
    let reports = Reports::new(target)?;
    for currency in &target.currencies {
        let range =
            format!("currency={currency}&start={}&end={}", target.days.unwrap_or(today), Day(today.0 + 1));
        let overview: Overview = reports.get("overview", &range)?;
        let totals = Totals {
            orders: overview.total_orders,
            gross: minor(&overview.total_revenue, *currency)?,
            refunds: overview.total_refunds,
            refunded: minor(&overview.refund_amount, *currency)?,
            items: overview.total_items_sold,
            cancelled: cancelled_paid.get(currency).copied().unwrap_or(0),
        };
        by_currency.insert(*currency, totals);
        let timeseries: Timeseries = reports.get("revenue-timeseries", &range)?;
        for entry in timeseries.series {
            let day = Day::parse(&entry.date).ok_or_else(|| anyhow!("a series entry without date"))?;
            let mut totals: DayTotals = refunds_by_day.get(&(day, *currency)).copied().unwrap_or_default();
            totals.orders = entry.orders;
            totals.gross = minor(&entry.revenue, *currency)?;
            if totals != DayTotals::default() {
                by_day.insert((day, *currency), totals);
            }
        }
    }
    let whole = format!(
        "currency={0}&start={1}&end={2}",
        target.base,
        target.days.unwrap_or(today),
        Day(today.0 + 1)
    );
    let devices: Devices = reports.get("revenue-by-device", &whole)?;
    let coupons: Coupons = reports.get("revenue-by-coupon", &whole)?;
    Ok(Measured {
        by_currency: Some(by_currency),
        by_day: Some(by_day),
        by_device: Some(parts(devices.devices, target.base)?),
        by_coupon: Some(parts(coupons.coupons, target.base)?),
        ..found.measured()
    })
}

fn parts(rows: Vec<Row>, base: Currency) -> anyhow::Result<BTreeMap<String, Part>> {
    let part = |row: Row| Ok((row.of, Part { orders: row.orders, gross: minor(&row.revenue, base)? }));
    rows.into_iter().map(part).collect()
}

/// The report `revenue-by-device`.
#[derive(serde::Deserialize)]
struct Devices {
    devices: Vec<Row>,
}

/// The report `revenue-by-coupon`.
#[derive(serde::Deserialize)]
struct Coupons {
    coupons: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    #[serde(alias = "device_type", alias = "coupon_code")]
    of: String,
    orders: i64,
    revenue: Box<RawValue>,
}

/// What is compared of the report `overview`; amounts as they are printed, never through a float.
#[derive(serde::Deserialize)]
struct Overview {
    total_orders: i64,
    total_refunds: i64,
    total_items_sold: i64,
    total_revenue: Box<RawValue>,
    refund_amount: Box<RawValue>,
}

/// The report `revenue-timeseries`.
#[derive(serde::Deserialize)]
struct Timeseries {
    series: Vec<Entry>,
}

#[derive(serde::Deserialize)]
struct Entry {
    date: String,
    orders: i64,
    revenue: Box<RawValue>,
}

fn minor(value: &RawValue, currency: Currency) -> anyhow::Result<i64> {
    let text = value.get();
    Ok(Money::parse_major(text, currency).with_context(|| format!("amount {text}"))?.money.minor)
}

struct Reports {
    client: reqwest::blocking::Client,
    base: String,
    key: String,
}

impl Reports {
    fn new(target: &Target) -> anyhow::Result<Self> {
        let workspaces = target.config.workspaces().map_err(|m| anyhow!(m.join("; ")))?;
        let workspace =
            workspaces.get(&target.workspace).ok_or_else(|| anyhow!("no workspace {}", target.workspace))?;
        let key = workspace
            .analytics
            .secret_keys
            .first()
            .ok_or_else(|| anyhow!("the workspace has no secret key"))?;
        Ok(Self {
            client: reqwest::blocking::Client::builder()
                .no_proxy()
                .timeout(Duration::from_secs(10))
                .build()?,
            base: target.query.clone(),
            key: key.expose().to_owned(),
        })
    }

    fn get<T: serde::de::DeserializeOwned>(&self, report: &str, query: &str) -> anyhow::Result<T> {
        let url = format!("{}/v1/api/analytics/ecommerce/{report}?{query}", self.base);
        let answer = self.client.get(url).header("x-api-key", &self.key).send()?.error_for_status()?;
        Ok(serde_json::from_str(&answer.text()?)?)
    }
}

/// Reads the topics as they are now.
fn read_topics(target: &Target) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut reader = Reader::new(&target.config)?;
    let read = [Topic::Orders, Topic::Profiles, Topic::Metrics, Topic::DeadLetters, Topic::Facts, Topic::Raw];
    // Another version than the first is served from a topic of its own; the first one's has figures of the state stage too.
    let figures = crate::replay::list::read(&target.config)?.served.metrics();
    let beside = (figures != Topic::Metrics.name()).then(|| figures.clone());
    let what = Follow {
        client: service::kafka::client_config(&target.config),
        topics: read.iter().map(|topic| topic.name().to_owned()).chain(beside).collect(),
    };
    let (done, mut failed) = (Cell::new(false), None);
    follow(&what, &|| done.get(), &mut |followed| {
        match followed {
            Followed::CaughtUp => done.set(true),
            Followed::Record { topic, key, value: Some(value), .. } => {
                let mut take = || -> anyhow::Result<()> {
                    match Topic::parse(topic) {
                        Some(Topic::Raw) => found.accepted += 1,
                        Some(Topic::Orders) => found.order(key, reader.decode(value)?),
                        Some(Topic::Profiles) => found.profile(key, reader.decode(value)?),
                        Some(Topic::Metrics) if topic != figures && !is_of_the_state(key) => {}
                        Some(Topic::Metrics) => found.metric(key, reader.decode(value)?),
                        None if topic == figures => found.metric(key, reader.decode(value)?),
                        Some(Topic::Facts) => found.fact(&reader.decode(value)?),
                        Some(Topic::DeadLetters) => found.letter(reader.letter(value)?),
                        _ => {}
                    }
                    Ok(())
                };
                if let Err(error) = take() {
                    failed.get_or_insert(error);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    match failed {
        Some(error) => Err(error.context("a record of the demo can't be read")),
        None => Ok(found),
    }
}
