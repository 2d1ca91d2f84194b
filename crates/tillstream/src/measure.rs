//! What the product made of the demo: read from its topics and reports, compared with what must be.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use commerce::order::View;
use commerce::time::Day;
use commerce::{Currency, DuplicateLevel, EventTime, Metric, Money, Profile, Reason};
use serde_json::value::RawValue;
use service::Config;
use stream::{Follow, Followed, follow};
use topics::Topic;

use crate::cli::Common;
use crate::demo::expected::{Customer, DayTotals, Format, Totals};
use crate::demo::send::{self, Plan, Progress};
use crate::demo::shop::{DEFAULT_ORDERS, DEFAULT_SEED, Options};
use crate::demo::{Expected, Measured, Shop, Table};
use crate::tail::Reader;
use crate::{Output, Stop};

/// How long the figures may take to become equal after the last delivery.
const SETTLE: Duration = Duration::from_secs(60);

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
    let deadline = Instant::now() + SETTLE;
    let target = Arc::new(Target {
        config,
        query,
        workspace: credentials.workspace,
        currencies: expected.by_currency.keys().copied().collect(),
        days: expected.by_day.keys().map(|(day, _)| *day).min(),
    });
    loop {
        let target = Arc::clone(&target);
        let mut measured = tokio::task::spawn_blocking(move || measure(&target)).await??;
        // What was refused is the sender's to tell: it compared each answer with the right one.
        measured.rejected = (report.unexpected_count == 0).then(|| rejected.clone());
        let table = expected.compare(&measured, report.uncertainty());
        if table.all_equal() || Instant::now() >= deadline {
            return Ok(table);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Whom to ask about what.
struct Target {
    config: Arc<Config>,
    query: String,
    workspace: String,
    currencies: Vec<Currency>,
    days: Option<Day>,
}

/// Reads every figure from where a user would: reports for revenue, topics for the rest.
fn measure(target: &Target) -> anyhow::Result<Measured> {
    let topics = read_topics(target)?;
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
            cancelled: topics.cancelled_paid.get(currency).copied().unwrap_or(0),
        };
        by_currency.insert(*currency, totals);
        let timeseries: Timeseries = reports.get("revenue-timeseries", &range)?;
        for entry in timeseries.series {
            let day = Day::parse(&entry.date).ok_or_else(|| anyhow!("a series entry without date"))?;
            let mut totals: DayTotals =
                topics.refunds_by_day.get(&(day, *currency)).copied().unwrap_or_default();
            totals.orders = entry.orders;
            totals.gross = minor(&entry.revenue, *currency)?;
            if totals != DayTotals::default() {
                by_day.insert((day, *currency), totals);
            }
        }
    }
    Ok(Measured {
        by_currency: Some(by_currency),
        by_day: Some(by_day),
        cancelled: Some(topics.cancelled),
        customers: Some(topics.customers),
        profiles: Some(topics.profiles),
        duplicates: Some(topics.duplicates),
        dead_letters: Some(topics.dead_letters),
        accepted: Some(topics.accepted),
        rejected: None,
        customers_by_email: Some(topics.customers_by_email),
    })
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

#[derive(Default)]
struct FromTopics {
    accepted: i64,
    cancelled: i64,
    cancelled_paid: BTreeMap<Currency, i64>,
    customers: i64,
    profiles: i64,
    customers_by_email: BTreeMap<String, Customer>,
    duplicates: BTreeMap<DuplicateLevel, i64>,
    dead_letters: BTreeMap<Reason, i64>,
    refunds_by_day: BTreeMap<(Day, Currency), DayTotals>,
}

fn read_topics(target: &Target) -> anyhow::Result<FromTopics> {
    let mut found = FromTopics::default();
    let mut reader = Reader::new(&target.config)?;
    let mut orders: BTreeMap<Vec<u8>, View> = BTreeMap::new();
    let mut profiles: BTreeMap<Vec<u8>, Profile> = BTreeMap::new();
    let mut metrics: BTreeMap<Vec<u8>, Metric> = BTreeMap::new();
    let mut letters = BTreeSet::new();
    let read = [Topic::Orders, Topic::Profiles, Topic::Metrics, Topic::DeadLetters, Topic::Raw];
    let what = Follow {
        client: service::kafka::client_config(&target.config),
        topics: read.iter().map(|topic| topic.name().to_owned()).collect(),
    };
    let (done, mut failed) = (Cell::new(false), None);
    follow(&what, &|| done.get(), &mut |followed| {
        match followed {
            Followed::CaughtUp => done.set(true),
            Followed::Record { topic, key, value: Some(value), .. } => {
                let mut take = || -> anyhow::Result<()> {
                    match Topic::parse(topic) {
                        Some(Topic::Raw) => found.accepted += 1,
                        Some(Topic::Orders) => drop(orders.insert(key.to_vec(), reader.decode(value)?)),
                        Some(Topic::Profiles) => drop(profiles.insert(key.to_vec(), reader.decode(value)?)),
                        Some(Topic::Metrics) => drop(metrics.insert(key.to_vec(), reader.decode(value)?)),
                        Some(Topic::DeadLetters) => {
                            let letter = reader.letter(value)?;
                            letters.insert((letter.id, letter.reason));
                        }
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
    if let Some(error) = failed {
        return Err(error.context("a record of the demo can't be read"));
    }
    for view in orders.values() {
        if view.cancelled_at.is_some() && !view.qa {
            found.cancelled += 1;
            if let (true, Some(total)) = (view.counted, view.total) {
                *found.cancelled_paid.entry(total.currency).or_default() += 1;
            }
        }
    }
    found.profiles = count(profiles.len());
    for profile in profiles.into_values() {
        found.customers += i64::from(profile.orders_count > 0);
        let customer = Customer {
            orders_count: profile.orders_count,
            total_spent: profile.total_spent.minor,
            lifetime_value: profile.lifetime_value.minor,
            first_order_at: profile.first_order_at,
            last_order_at: profile.last_order_at,
        };
        if let Some(email) = profile.contact.email.as_deref().and_then(commerce::person::email) {
            found.customers_by_email.insert(email, customer);
        }
    }
    for metric in metrics.values() {
        read_metric(metric, &mut found);
    }
    for (_, reason) in letters {
        if let Some(reason) = Reason::parse(&reason) {
            *found.dead_letters.entry(reason).or_default() += 1;
        }
    }
    Ok(found)
}

fn read_metric(metric: &Metric, found: &mut FromTopics) {
    let value = |name: &str| metric.values.get(name).copied().unwrap_or(0);
    let dimension = |name: &str| metric.dimensions.get(name).map_or("", String::as_str);
    if metric.metric == "outcomes" && dimension("outcome") == "duplicate" {
        if let Some(level) =
            DuplicateLevel::ALL.into_iter().find(|level| level.as_str() == dimension("detail"))
        {
            *found.duplicates.entry(level).or_default() += value("count");
        }
    } else if metric.metric == "revenue"
        && let (Some(day), Ok(currency)) =
            (Day::parse(&metric.window_start), Currency::parse(dimension("currency")))
    {
        let totals = found.refunds_by_day.entry((day, currency)).or_default();
        totals.refunds += value("refunds");
        totals.refunded += value("refund_amount");
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
