//! One request, from its head to its answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use commerce::{DuplicateLevel, Mark, Outcome, Reason, ReceivedTime, Source};
use http::request::Parts;
use http::{Method, StatusCode};
use prometheus::IntCounter;
use service::clock;
use service::http::Peer;
use service::metrics::{Counter, Histogram, Metrics, NO_SOURCE, Timer};
use sources::http::Letter;
use sources::{Accepted, Decision, Reply, Route, Workspaces};
use topics::{Lane, Topic};

use crate::body::{self, Bounds, Fault, Whole};
use crate::claims::Claims;
use crate::letter::{self, Letters, STAGE};
use crate::producer::{Producer, Record};
use crate::reports::{self, Reports};
use crate::room::{Hold, Room};
use crate::trace::Correlation;
use crate::{answer, meter, server};

/// Hashing and checking a larger body takes milliseconds, which other requests mustn't wait for.
const INLINE: usize = 64 * 1024;
/// Browsers post here from other origins.
const BROWSERS: [&str; 2] = ["/v1/api/analytics/ecommerce/track", "/v1/api/analytics/ecommerce/batch"];

/// What all requests share.
pub(crate) struct Intake {
    pub(crate) workspaces: ArcSwap<Workspaces>,
    pub(crate) claims: Claims,
    pub(crate) producer: Arc<Producer>,
    pub(crate) letters: Letters,
    pub(crate) reports: Option<Reports>,
    pub(crate) room: Room,
    pub(crate) body_timeout: Duration,
    pub(crate) commit_timeout: Duration,
    pub(crate) counts: Counts,
    pub(crate) trouble: server::Trouble,
    pub(crate) meter: Arc<meter::Counts>,
}

/// What is raised with every accepted request is looked up once.
pub(crate) struct Counts {
    metrics: Metrics,
    sources: Vec<(Source, IntCounter, Timer)>,
}

impl Counts {
    pub(crate) fn new(metrics: Metrics) -> Self {
        let of = |source: Source| {
            let name = source.as_str();
            let published = [STAGE, name, Outcome::Published.as_str(), Outcome::Published.detail()];
            let published = metrics.counter(Counter::Records, &published);
            (source, published, metrics.histogram(Histogram::HttpRequestDuration, &["ingest", name]))
        };
        Self { sources: Source::ALL.into_iter().map(of).collect(), metrics }
    }

    /// Counts further items of a request whose outcome is counted once.
    pub(crate) fn more_duplicates(&self, source: Source, level: DuplicateLevel, items: u64) {
        self.metrics.counter(Counter::Duplicates, &[level.as_str(), source.as_str()]).inc_by(items);
    }

    fn outcome(&self, source: Option<Source>, outcome: Outcome) {
        match (outcome, self.of(source)) {
            (Outcome::Published, Some((_, published, _))) => published.inc(),
            _ => self.metrics.record(STAGE, source, outcome, 1),
        }
    }

    fn answered(&self, endpoint: &str, source: Option<Source>, status: StatusCode, took: Duration) {
        let name = source.map_or(NO_SOURCE, Source::as_str);
        self.metrics.counter(Counter::HttpRequests, &[endpoint, name, status.as_str()]).inc();
        match (endpoint, self.of(source)) {
            ("ingest", Some((_, _, timer))) => timer.observe(took),
            _ => self.metrics.histogram(Histogram::HttpRequestDuration, &[endpoint, name]).observe(took),
        }
    }

    fn of(&self, source: Option<Source>) -> Option<&(Source, IntCounter, Timer)> {
        self.sources.iter().find(|(known, _, _)| Some(*known) == source)
    }
}

/// A request whose body is complete.
pub(crate) struct Delivered<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) bytes: Bytes,
    pub(crate) hold: Hold,
    pub(crate) received_at: ReceivedTime,
    pub(crate) correlation: &'a Correlation,
    pub(crate) deadline: tokio::time::Instant,
}

/// What the gateway adds to what is stored.
pub(crate) struct Stamp<'a> {
    received_at: String,
    traceparent: String,
    content_type: Option<&'a str>,
}

impl<'a> Stamp<'a> {
    pub(crate) fn of(delivered: &Delivered<'a>) -> Self {
        let headers = &delivered.parts.headers;
        Self {
            received_at: delivered.received_at.to_rfc3339(),
            traceparent: delivered.correlation.traceparent(headers),
            content_type: headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()),
        }
    }

    /// The headers of the raw record, and how it travels.
    pub(crate) fn headers<'b>(&'b self, accepted: &'b Accepted) -> (Vec<(&'b str, &'b str)>, Lane) {
        let mut headers = Vec::with_capacity(6 + accepted.headers.len());
        headers.extend([
            ("source", accepted.source.as_str()),
            ("workspace", accepted.workspace.as_str()),
            ("received_at", self.received_at.as_str()),
            ("verdict", accepted.verdict),
            ("traceparent", self.traceparent.as_str()),
        ]);
        headers.extend(self.content_type.map(|value| ("content-type", value)));
        headers.extend(accepted.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let has = |is_label: fn(&str) -> bool| headers.iter().any(|(name, _)| is_label(name));
        // A load of tests is a load.
        let lane = match (has(sources::is_load_label), has(sources::is_test_label)) {
            (true, _) => Lane::Slow,
            (false, true) => Lane::First,
            (false, false) => Lane::Live,
        };
        (headers, lane)
    }
}

/// How a request ended, but for its answer.
pub(crate) struct Ended {
    reply: Reply,
    outcome: Outcome,
    /// When its body was complete; `None` when it wasn't read to its end.
    complete: Option<Instant>,
    /// The name of another request, whose answer this is.
    of: Option<Correlation>,
}

impl Ended {
    pub(crate) fn new(reply: Reply, outcome: Outcome) -> Self {
        Self { reply, outcome, complete: None, of: None }
    }

    /// The answer to an earlier request, under its name.
    pub(crate) fn replayed(reply: Reply, outcome: Outcome, of: Option<Correlation>) -> Self {
        Self { reply, outcome, complete: None, of }
    }

    fn rejected(reason: Reason, reply: Reply) -> Self {
        Self::new(reply, Outcome::Rejected(reason))
    }
}

/// Answers everything that isn't health or metrics.
pub(crate) async fn handle(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let began = Instant::now();
    let correlation = Correlation::new();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let from_browser = BROWSERS.contains(&path);
    let route = match sources::route(&parts.method, path) {
        Ok(route) => route,
        Err(_)
            if from_browser
                && parts.method == Method::OPTIONS
                && sources::route(&Method::POST, path).is_ok() =>
        {
            let response = answer::preflight(&correlation);
            intake.counts.answered("preflight", None, response.status(), began.elapsed());
            return response;
        }
        Err(reply) => {
            if let Some(reports) = intake.reports.as_ref().filter(|_| reply.status == 404)
                && reports::is_report(&parts.method, path)
            {
                let response = reports.forward(&parts, &correlation).await;
                intake.counts.answered("reports", None, response.status(), began.elapsed());
                return response;
            }
            let reply = match reply.status {
                404 if reports::is_path(path) && !reports::is_report(&parts.method, path) => {
                    Reply { allow: Some("GET, HEAD"), ..Reply::new(405, r#"{"error":"method not allowed"}"#) }
                }
                _ => reply,
            };
            let reason = if reply.status == 405 { Reason::WrongMethod } else { Reason::UnknownPath };
            let response = intake.finish(None, Ended::rejected(reason, reply), &correlation, began);
            return response;
        }
    };
    let bounds = Bounds { bytes: route.body_limit, time: intake.body_timeout };
    let ended = match body::read(&parts.headers, body, &intake.room, bounds).await {
        Ok(whole) => intake.take(route, parts, whole, &correlation).await,
        Err(fault) => refuse(route.source, fault, &correlation),
    };
    let mut response = intake.finish(Some(route.source), ended, &correlation, began);
    if from_browser {
        answer::share(&mut response);
    }
    response
}

fn refuse(source: Source, fault: Fault, correlation: &Correlation) -> Ended {
    let name = correlation.as_str();
    let unreadable = |status| Reply { status, ..sources::unreadable_body(source, name) };
    match fault {
        Fault::TooLarge => Ended::rejected(Reason::PayloadTooLarge, sources::too_large(source, name)),
        Fault::Late => Ended::rejected(Reason::UnreadableBody, unreadable(408)),
        Fault::Unreadable => Ended::rejected(Reason::UnreadableBody, unreadable(400)),
        Fault::UnknownEncoding => Ended::rejected(Reason::UnreadableBody, unreadable(415)),
        Fault::NoRoom => Ended::rejected(Reason::Unavailable, sources::unavailable(source, name)),
    }
}

impl Intake {
    /// From a complete body to its end.
    async fn take(&self, route: Route, parts: Parts, whole: Whole, correlation: &Correlation) -> Ended {
        let complete = Instant::now();
        let deadline = tokio::time::Instant::from_std(complete + self.commit_timeout);
        let received_at = clock::now();
        let Whole { bytes, hold } = whole;
        let peer = peer(&parts);
        let arrival = Arrival { received_at, correlation: correlation.clone(), peer };
        let (decision, parts) = self.decide(route, parts, bytes.clone(), arrival).await;
        let delivered = Delivered { parts: &parts, bytes, hold, received_at, correlation, deadline };
        let ended = match decision {
            Some(decision) => self.settle(route.source, decision, delivered).await,
            None => {
                let error = std::io::Error::other("the check of a body ended early");
                self.unavailable(route.source, &error, correlation)
            }
        };
        Ended { complete: Some(complete), ..ended }
    }

    /// What is asked of a key comes first.
    async fn settle(&self, source: Source, mut decision: Decision, delivered: Delivered<'_>) -> Ended {
        let keyed = match &mut decision {
            Decision::Accept(accepted) => accepted.keyed.take(),
            Decision::Refuse(refused) => refused.keyed.take(),
            Decision::Answer(_) => None,
        };
        match keyed {
            Some(keyed) => self.by_key(source, &keyed, decision, delivered).await,
            None => self.carry_out(source, decision, delivered).await,
        }
    }

    /// From a decision to its end.
    pub(crate) async fn carry_out(
        &self,
        source: Source,
        decision: Decision,
        delivered: Delivered<'_>,
    ) -> Ended {
        let correlation = delivered.correlation;
        match decision {
            Decision::Accept(accepted) => match self.publish(&accepted, delivered).await {
                Ok(()) => Ended::new(accepted.reply, Outcome::Published),
                Err(error) => self.unavailable(source, &error, correlation),
            },
            Decision::Refuse(refused) => match refused.letter {
                None => Ended::new(refused.reply, Outcome::Rejected(refused.reason)),
                Some(letter) => {
                    let outcome = Outcome::DeadLettered(letter.failure.reason);
                    match self.keep(source, letter, None, delivered).await {
                        Ok(()) => Ended::new(refused.reply, outcome),
                        Err(error) => self.unavailable(source, &*error, correlation),
                    }
                }
            },
            Decision::Answer(reply) => Ended::new(reply, Outcome::Filtered(Reason::Question)),
        }
    }

    async fn decide(
        &self,
        route: Route,
        parts: Parts,
        body: Bytes,
        arrival: Arrival,
    ) -> (Option<Decision>, Parts) {
        if body.len() <= INLINE {
            let decision = accept(&route, &parts, &body, &arrival, &self.workspaces.load(), &self.meter);
            return (Some(decision), parts);
        }
        let (workspaces, meter) = (self.workspaces.load_full(), Arc::clone(&self.meter));
        let parts = Arc::new(parts);
        let shared = Arc::clone(&parts);
        let check = move || accept(&route, &shared, &body, &arrival, &workspaces, &meter);
        let decision = tokio::task::spawn_blocking(check).await.ok();
        // The closure has ended, so this is the only one.
        let parts = Arc::try_unwrap(parts).unwrap_or_else(|shared| (*shared).clone());
        (decision, parts)
    }

    async fn publish(
        &self,
        accepted: &Accepted,
        delivered: Delivered<'_>,
    ) -> Result<(), crate::producer::Error> {
        let stamp = Stamp::of(&delivered);
        let (headers, lane) = stamp.headers(accepted);
        let key = accepted.delivery.to_hex();
        let Delivered { bytes, hold, received_at, deadline, .. } = delivered;
        let value = accepted.body.as_deref().unwrap_or(&bytes);
        let record = Record { topic: Topic::Raw, key: &key, value, headers: &headers, received_at, lane };
        self.producer.commit(&record, hold, deadline).await
    }

    /// Writes a dead letter, under a name of its own unless it has one.
    pub(crate) async fn keep(
        &self,
        source: Source,
        letter: Letter,
        name: Option<Mark>,
        delivered: Delivered<'_>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let Delivered { bytes, hold, received_at, deadline, .. } = delivered;
        let mut letter = letter::of(source, letter, &bytes, received_at);
        if let Some(name) = name {
            letter.id = name.to_uuid();
        }
        // The registry is asked within the same time.
        let value = tokio::time::timeout_at(deadline, self.letters.encode(&letter)).await??;
        let record = Record {
            topic: Topic::DeadLetters,
            key: &letter.id,
            value: &value,
            headers: &[],
            received_at,
            lane: Lane::Live,
        };
        Ok(self.producer.commit(&record, hold, deadline).await?)
    }

    pub(crate) fn unavailable(
        &self,
        source: Source,
        error: &dyn std::error::Error,
        correlation: &Correlation,
    ) -> Ended {
        self.trouble.tell(source, error, correlation);
        let reply = sources::unavailable(source, correlation.as_str());
        Ended::new(reply, Outcome::Rejected(Reason::Unavailable))
    }

    fn finish(
        &self,
        source: Option<Source>,
        ended: Ended,
        correlation: &Correlation,
        began: Instant,
    ) -> Response {
        let Ended { reply, outcome, complete, of } = ended;
        let mut response = answer::of(reply, of.as_ref().unwrap_or(correlation));
        if complete.is_none() {
            answer::close(&mut response);
        }
        if !matches!(outcome, Outcome::Published | Outcome::Duplicate(_)) {
            tracing::debug!(
                source = source.map_or(NO_SOURCE, Source::as_str),
                outcome = outcome.as_str(),
                reason = outcome.detail(),
                status = response.status().as_u16(),
                correlation = correlation.as_str(),
                "a request was refused"
            );
        }
        self.counts.outcome(source, outcome);
        self.counts.answered("ingest", source, response.status(), complete.unwrap_or(began).elapsed());
        response
    }
}

/// Who sent a request. A proxy on this machine or network says it in `X-Forwarded-For`, where the last entry is its own
/// word; a sender from outside can't choose its address.
fn peer(parts: &Parts) -> Option<IpAddr> {
    let Peer(direct) = parts.extensions.get::<Peer>().copied()?;
    let near = match direct.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    };
    let named = || {
        let header = parts.headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        header.rsplit(',').next()?.trim().parse().ok()
    };
    near.then(named).flatten().or(Some(direct.ip()))
}

/// When and how a request came.
struct Arrival {
    received_at: ReceivedTime,
    correlation: Correlation,
    peer: Option<IpAddr>,
}

fn accept(
    route: &Route,
    parts: &Parts,
    body: &[u8],
    arrival: &Arrival,
    workspaces: &Workspaces,
    meter: &meter::Counts,
) -> Decision {
    let request = sources::Request {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &parts.headers,
        body,
        received_at: arrival.received_at,
        correlation: arrival.correlation.as_str(),
        peer: arrival.peer,
    };
    sources::accept(route, &request, workspaces, meter)
}
