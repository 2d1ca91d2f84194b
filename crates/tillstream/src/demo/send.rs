//! Sends the deliveries of a shop as its providers would: in order, at a rate, again until they are taken.
//!
//! An attempt that was refused by the connection never arrived. After a timeout, a broken connection or a 5xx nobody
//! knows, so such retries are counted: each may show as one more duplicate. With a progress file a killed run goes
//! on where it was; what was in flight is sent again.

use std::collections::BTreeSet;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use reqwest::StatusCode;
use reqwest::header::RETRY_AFTER;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::delivery::Delivery;
use super::table::Uncertainty;

/// The first pause before a retry; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, whatever `Retry-After` asks for: a demo has no four hours.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);
/// A provider's patience with one attempt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often progress is written and told.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// How far the sender may catch up with its rate after being held up.
const CATCH_UP: Duration = Duration::from_millis(10);
/// How many unexpected answers are kept to be shown.
const KEPT_ANSWERS: usize = 20;

/// How to send.
#[derive(Clone, Debug)]
pub struct Options {
    /// The gateway, such as `http://127.0.0.1:8080`.
    pub base_url: String,
    /// At most so many deliveries begin per second; `None`: as fast as they are taken.
    pub rate: Option<NonZeroU32>,
    /// At most so many are under way at once. The more, the less the order is kept.
    pub concurrency: usize,
    /// Gives up when one delivery wasn't taken for so long.
    pub patience: Duration,
    /// Where progress is kept, with what the shop was made from.
    pub progress: Option<(PathBuf, Plan)>,
}

impl Options {
    /// 300 a second, 8 at once, without a progress file.
    pub fn to(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            rate: NonZeroU32::new(300),
            concurrency: 8,
            patience: Duration::from_secs(300),
            progress: None,
        }
    }
}

/// What a shop was made from: a run that goes on must send the very same deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// How many orders.
    pub orders: usize,
    /// The end of the span of order dates, microseconds since 1970.
    pub now: i64,
}

/// How far a run has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// What is being sent.
    pub plan: Plan,
    /// All deliveries before this one are done.
    pub done: usize,
    /// How many there are.
    pub of: usize,
    /// Retries whose first attempt's fate is unknown.
    pub uncertain: u64,
    /// True once a run went on in the middle.
    pub resumed: bool,
    /// Answers with another status than the right one.
    pub unexpected: u64,
}

impl Progress {
    /// Reads a progress file; `None` when there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let failed = |source| Error::ReadProgress { path: path.to_owned(), source };
        match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| failed(io::Error::other(e))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes it so that a kill in the middle leaves the old one.
    async fn save(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::WriteProgress { path: path.to_owned(), source };
        let bytes = serde_json::to_vec(self).map_err(|e| failed(io::Error::other(e)))?;
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(".new");
        tokio::fs::write(&temporary, bytes).await.map_err(failed)?;
        tokio::fs::rename(&temporary, path).await.map_err(failed)
    }
}

/// Why sending stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client couldn't be built.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The progress file is unreadable.
    #[error("cannot read the progress file {}", path.display())]
    ReadProgress {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The progress file can't be written.
    #[error("cannot write the progress file {}", path.display())]
    WriteProgress {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The progress file belongs to other deliveries.
    #[error("the progress file {} is of another run; remove it to start anew", path.display())]
    AnotherPlan {
        /// The file.
        path: PathBuf,
    },
    /// One delivery wasn't taken for too long.
    #[error("delivery {at} ({path}) was not taken for {} s; last: {last}", patience.as_secs())]
    GaveUp {
        /// Its place.
        at: usize,
        /// Its path.
        path: String,
        /// How long it was tried.
        patience: Duration,
        /// What the last attempt met.
        last: String,
    },
}

/// An answer with another status than the right one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unexpected {
    /// Place of the delivery.
    pub at: usize,
    /// Its path.
    pub path: String,
    /// The status of the right answer.
    pub expected: u16,
    /// The status that came.
    pub got: u16,
    /// The beginning of the body that came.
    pub body: String,
}

/// What became of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Where it began: 0, or where an earlier run was killed.
    pub began_at: usize,
    /// Deliveries that got an answer in this run.
    pub sent: usize,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Retries whose first attempt's fate is unknown, earlier runs included.
    pub uncertain: u64,
    /// True when an earlier run was killed.
    pub resumed: bool,
    /// How many answers had another status than the right one, earlier runs included.
    pub unexpected_count: u64,
    /// The first of them in this run.
    pub unexpected: Vec<Unexpected>,
}

impl Report {
    /// What the table has to allow for.
    pub const fn uncertainty(&self) -> Uncertainty {
        Uncertainty { retries: self.uncertain, resumed: self.resumed }
    }
}

/// Sends all deliveries that a progress file doesn't call done. `tell` hears of progress a few times a second.
pub async fn send(
    deliveries: &[Delivery],
    options: &Options,
    mut tell: impl FnMut(&Progress),
) -> Result<Report, Error> {
    let client = reqwest::Client::builder()
        .timeout(ATTEMPT_TIMEOUT)
        .pool_max_idle_per_host(options.concurrency)
        .no_proxy()
        .build()
        .map_err(Error::Client)?;
    let mut progress = begin(deliveries.len(), options)?;
    let mut report = Report { began_at: progress.done, resumed: progress.resumed, ..Report::default() };
    let mut waiting = deliveries.get(progress.done..).unwrap_or_default().iter();
    let mut done: BTreeSet<usize> = BTreeSet::new();
    let mut under_way = FuturesUnordered::new();
    let period = options.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.get());
    let mut next_at = Instant::now();
    let mut telling = interval(TELL_EVERY);
    if let Some((path, _)) = &options.progress {
        // Before the first delivery: from here on, a kill is a resumption.
        progress.save(path).await?;
    }
    loop {
        let free = under_way.len() < options.concurrency.max(1) && waiting.len() > 0;
        tokio::select! {
            biased;
            Some(answer) = under_way.next() => {
                let answer: Answer = match answer {
                    Ok(answer) => answer,
                    Err(error) => {
                        save(&progress, options).await?;
                        return Err(error);
                    }
                };
                account(answer, &mut report, &mut progress, &mut done);
            }
            _ = telling.tick() => {
                tell(&progress);
                save(&progress, options).await?;
            }
            () = sleep_until(next_at), if free => {
                if let Some(delivery) = waiting.next() {
                    under_way.push(deliver(&client, options, delivery));
                }
                // Timers tick in milliseconds, so a little may be caught up, but not a stall.
                let earliest = Instant::now().checked_sub(CATCH_UP).unwrap_or(next_at);
                next_at = (next_at + period).max(earliest);
            }
        }
        if waiting.len() == 0 && under_way.is_empty() {
            break;
        }
    }
    tell(&progress);
    save(&progress, options).await?;
    report.uncertain = progress.uncertain;
    report.unexpected_count = progress.unexpected;
    Ok(report)
}

/// Where to begin. The file of a finished run begins at its end, so nothing is sent twice.
fn begin(of: usize, options: &Options) -> Result<Progress, Error> {
    let plan = options.progress.as_ref().map_or(Plan { seed: 0, orders: 0, now: 0 }, |(_, plan)| *plan);
    let fresh = Progress { plan, done: 0, of, uncertain: 0, resumed: false, unexpected: 0 };
    let Some((path, _)) = &options.progress else { return Ok(fresh) };
    match Progress::load(path)? {
        None => Ok(fresh),
        Some(known) if known.plan != plan || known.of != of => Err(Error::AnotherPlan { path: path.clone() }),
        Some(known) => Ok(Progress { resumed: known.resumed || known.done < of, ..known }),
    }
}

async fn save(progress: &Progress, options: &Options) -> Result<(), Error> {
    match &options.progress {
        Some((path, _)) => progress.save(path).await,
        None => Ok(()),
    }
}

fn account(answer: Answer, report: &mut Report, progress: &mut Progress, done: &mut BTreeSet<usize>) {
    report.sent += 1;
    report.retries += answer.retries;
    progress.uncertain += answer.uncertain;
    if let Some(unexpected) = answer.unexpected {
        progress.unexpected += 1;
        if report.unexpected.len() < KEPT_ANSWERS {
            report.unexpected.push(unexpected);
        }
    }
    done.insert(answer.at);
    while done.remove(&progress.done) {
        progress.done += 1;
    }
}

/// The end of one delivery.
struct Answer {
    at: usize,
    retries: u64,
    uncertain: u64,
    unexpected: Option<Unexpected>,
}

/// What one attempt met.
enum Attempt {
    Answered(StatusCode, String),
    /// Not taken; to be made again after at least this long.
    Refused {
        certainly: bool,
        what: String,
        after: Duration,
    },
}

async fn deliver(client: &reqwest::Client, options: &Options, delivery: &Delivery) -> Result<Answer, Error> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut answer = Answer { at: delivery.at, retries: 0, uncertain: 0, unexpected: None };
    loop {
        match attempt(client, options, delivery).await {
            Attempt::Answered(status, body) => {
                let got = status.as_u16();
                answer.unexpected = (got != delivery.expect_status).then(|| Unexpected {
                    at: delivery.at,
                    path: delivery.path().to_owned(),
                    expected: delivery.expect_status,
                    got,
                    body: body.chars().take(200).collect(),
                });
                return Ok(answer);
            }
            Attempt::Refused { what: last, .. } if began.elapsed() >= options.patience => {
                let path = delivery.path().to_owned();
                return Err(Error::GaveUp { at: delivery.at, path, patience: options.patience, last });
            }
            Attempt::Refused { certainly, after, .. } => {
                answer.retries += 1;
                answer.uncertain += u64::from(!certainly);
                sleep(pause.max(after).min(LONGEST_PAUSE)).await;
                pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
            }
        }
    }
}

async fn attempt(client: &reqwest::Client, options: &Options, delivery: &Delivery) -> Attempt {
    let url = format!("{}{}", options.base_url.trim_end_matches('/'), delivery.path_and_query);
    let method = reqwest::Method::from_bytes(delivery.method.as_bytes()).unwrap_or(reqwest::Method::POST);
    let mut request = client.request(method, url).body(delivery.body.clone());
    for (name, value) in delivery.headers_at(service::clock::now()) {
        request = request.header(name, value.as_ref());
    }
    let refused = |certainly, what| Attempt::Refused { certainly, what, after: Duration::ZERO };
    let response = match request.send().await {
        Ok(response) => response,
        // The address has the key in it.
        Err(error) => return refused(error.is_connect(), error.without_url().to_string()),
    };
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let again =
        status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT].contains(&status);
    if again && status.as_u16() != delivery.expect_status {
        // What was answered 429 wasn't looked at, 409 not taken. A 5xx may come after the record was written.
        let certainly = !status.is_server_error();
        let after = after.map_or(Duration::ZERO, Duration::from_secs);
        return Attempt::Refused { certainly, what: status.to_string(), after };
    }
    // The answer has been given; a body that breaks off takes nothing back.
    Attempt::Answered(status, response.text().await.unwrap_or_default())
}

#[cfg(test)]
mod tests;
