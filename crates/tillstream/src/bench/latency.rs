//! From a webhook to the figure that contains it.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use commerce::time::{DAY, Day, Zone};
use commerce::{EventTime, Metric};
use stream::{Follow, Followed, follow};
use topics::Topic;

use super::cluster::Kafka;
use super::load::{self, Connection};
use super::machine::Moment;
use super::report::Report;
use super::shops::{Shops, report_key};
use super::stages::Stages;
use super::workload::{SHOPS, Workload};
use super::{Place, float, say};
use crate::Stop;
use crate::cli::{Common, Service};
use crate::tail::Reader;

/// `bench latency`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Orders a second.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: u32,
    /// Seconds, after five of warming up.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    secs: u32,
    #[command(flatten)]
    pub(super) place: Place,
}

const METHOD: &str = "signed orders of one shop at a fixed rate through the gateway, all services in this process; from the \
    moment at which an order is due until the report (asked without a pause) and the metrics topic (read committed) \
    count it; the k-th order to be due belongs to the k-th to be counted";
const WARM: u32 = 5;
const CONNECTIONS: usize = 16;
const SETTLE: Duration = Duration::from_secs(30);
/// Between two questions to the report.
const PAUSE: Duration = Duration::from_millis(3);

/// Counts and when they were seen, ascending.
type Seen = Vec<(i64, Instant)>;

/// Measures.
pub fn run(common: &Common, args: &Args) -> Result<Report, Stop> {
    let kafka = Kafka::with_topics(common, &args.place)?;
    let mut report = Report::new("latency", kafka.local, METHOD);
    let shops = Shops::new()?;
    let total = u64::from(args.rate) * u64::from(args.secs + WARM);
    let now = service::clock::now().as_event();
    // Twice as many as are needed, because only new orders of the largest shop are taken.
    let webhooks = Workload::during(42, total * 2, EventTime(now.0 - DAY / 24), 3_600);
    let orders =
        webhooks.filter(|webhook| !webhook.repeated && webhook.shop == 0 && webhook.topic == "orders/create");
    let requests: Vec<load::Bytes> = orders
        .filter_map(|webhook| shops.request(&webhook))
        .map(|delivery| load::post(&delivery))
        .take(usize::try_from(total).unwrap_or(usize::MAX))
        .collect();
    if requests.len() as u64 != total {
        return Err(Stop::Failed(anyhow!("the workload has only {} of {total} orders", requests.len())));
    }

    say("starting all services");
    let config = Arc::new(kafka.config.clone());
    let stages = Stages::start(&kafka, &config, &[Service::All])?;
    stages.wait_ready()?;
    let (Some(gateway), Some(query)) = stages.addresses() else {
        return Err(Stop::Failed(anyhow!("the services have no address")));
    };
    say(&format!("{} orders a second for {} s", args.rate, args.secs + WARM));
    let today = Zone::utc().day_of(now);
    let question = format!(
        "/v1/api/analytics/ecommerce/overview?currency={}&start={}&end={}",
        SHOPS[0].currency,
        Day(today.0 - 1),
        Day(today.0 + 1)
    );
    let question = load::get(&question, &report_key(SHOPS[0].workspace));
    let start = Instant::now() + Duration::from_millis(200);
    let due =
        |index: u64| start + Duration::from_secs(1) * u32::try_from(index).unwrap_or(u32::MAX) / args.rate;
    let before = Moment::now(kafka.broker);
    let (sent, in_report, in_topic) = watch(&kafka, gateway, query, &question, &requests, total, &due)?;
    let passed = before.to(&Moment::now(kafka.broker));
    let skip = u64::from(args.rate) * u64::from(WARM);
    for (name, seen) in [("report", &in_report), ("topic", &in_topic)] {
        report.check(
            format!("orders in the {name}"),
            &Some(total.cast_signed()),
            &seen.last().map(|(count, _)| *count),
        );
        report.spans(name, &mut spans(seen, skip, total, &due));
    }
    let mut sent: Vec<f64> =
        sent.into_iter().filter(|(index, _)| *index >= skip).map(|(_, millis)| millis).collect();
    report.spans("answer", &mut sent);
    report.figure("rate", f64::from(args.rate), "orders/s");
    report.figure("cpu_share", passed.own / passed.seconds, "cores, this process, client included");
    report.figure_if("broker_cpu_share", passed.broker.map(|cpu| cpu / passed.seconds), "cores, the broker");
    report.figure("orders", float(total), "orders");
    stages.stop()?;
    Ok(report)
}

type Sent = Vec<(u64, f64)>;

fn watch(
    kafka: &Kafka,
    gateway: SocketAddr,
    query: SocketAddr,
    question: &load::Bytes,
    requests: &[load::Bytes],
    total: u64,
    due: &(dyn Fn(u64) -> Instant + Sync),
) -> anyhow::Result<(Sent, Seen, Seen)> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("load")
        .enable_all()
        .build()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let topic = scope.spawn(|| {
            let seen = follow_topic(kafka, total, &over);
            over.fetch_or(seen.is_err(), Ordering::Relaxed);
            seen
        });
        let asking = scope.spawn(|| {
            let asked = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            asked.block_on(ask_report(query, question, total, &over))
        });
        let sending = runtime.block_on(async {
            let shared: Arc<[load::Bytes]> = requests.into();
            let dues: Arc<[Instant]> = (0..total).map(due).collect();
            let tasks: Vec<_> = (0..CONNECTIONS)
                .map(|number| tokio::spawn(send(gateway, number, Arc::clone(&shared), Arc::clone(&dues))))
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.extend(task.await??);
            }
            anyhow::Ok(all)
        });
        let deadline = Instant::now() + SETTLE;
        while sending.is_ok() && !(topic.is_finished() && asking.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        over.store(true, Ordering::Relaxed);
        let topic = topic.join().map_err(|_| anyhow!("following the topic panicked"))??;
        let asked = asking.join().map_err(|_| anyhow!("asking the report panicked"))??;
        Ok((sending?, asked, topic))
    })
}

/// Every so-many-th request when it is due. The answer's time counts from then, so that a late one isn't hidden.
async fn send(
    gateway: SocketAddr,
    number: usize,
    requests: Arc<[load::Bytes]>,
    dues: Arc<[Instant]>,
) -> anyhow::Result<Sent> {
    let mut connection = Connection::open(gateway).await?;
    let mut sent = Vec::new();
    for (index, (request, due)) in
        requests.iter().zip(dues.iter()).enumerate().skip(number).step_by(CONNECTIONS)
    {
        tokio::time::sleep_until((*due).into()).await;
        let (status, _) = connection.ask(request).await?;
        if status != 200 {
            return Err(anyhow!("the gateway answered {status}"));
        }
        sent.push((index as u64, due.elapsed().as_secs_f64() * 1e3));
    }
    Ok(sent)
}

async fn ask_report(
    query: SocketAddr,
    question: &load::Bytes,
    total: u64,
    over: &AtomicBool,
) -> anyhow::Result<Seen> {
    let mut connection = Connection::open(query).await?;
    let mut seen = Seen::new();
    while !over.load(Ordering::Relaxed) {
        let (status, body) = connection.ask(question).await?;
        let at = Instant::now();
        if status != 200 {
            return Err(anyhow!("the report answered {status}: {}", String::from_utf8_lossy(body)));
        }
        let answer: serde_json::Value = serde_json::from_slice(body)?;
        let count = answer["total_orders"].as_i64().context("a report without total_orders")?;
        note(&mut seen, count, at);
        if count >= total.cast_signed() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(seen)
}

fn follow_topic(kafka: &Kafka, total: u64, over: &AtomicBool) -> anyhow::Result<Seen> {
    let mut reader = Reader::new(&kafka.config)?;
    let what = Follow { client: kafka.client(), topics: vec![Topic::Metrics.name().to_owned()] };
    let (mut seen, mut cells, done) = (Seen::new(), HashMap::<String, i64>::new(), Cell::new(false));
    let mut failed = None;
    follow(&what, &|| done.get() || over.load(Ordering::Relaxed), &mut |followed| {
        let Followed::Record { value: Some(value), .. } = followed else { return Ok(()) };
        match reader.decode::<Metric>(value) {
            Ok(metric) if metric.metric == "revenue" => {
                let at = Instant::now();
                cells.insert(metric.window_start, metric.values.get("orders").copied().unwrap_or(0));
                let count = cells.values().sum();
                note(&mut seen, count, at);
                done.set(count >= total.cast_signed());
            }
            Ok(_) => {}
            Err(error) => {
                failed.get_or_insert(error);
                done.set(true);
            }
        }
        Ok(())
    })?;
    failed.map_or(Ok(seen), Err)
}

fn note(seen: &mut Seen, count: i64, at: Instant) {
    if seen.last().is_none_or(|(last, _)| *last < count) {
        seen.push((count, at));
    }
}

/// Milliseconds from due to seen, of the orders from `skip` on.
fn spans(seen: &Seen, skip: u64, total: u64, due: &dyn Fn(u64) -> Instant) -> Vec<f64> {
    let mut seen = seen.iter().peekable();
    let mut spans = Vec::new();
    for index in 0..total {
        while seen.next_if(|(count, _)| *count <= index.cast_signed()).is_some() {}
        let Some((_, at)) = seen.peek() else { break };
        if index >= skip {
            spans.push(at.saturating_duration_since(due(index)).as_secs_f64() * 1e3);
        }
    }
    spans
}
