//! Routes, keys, parameters.

mod inspection;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use commerce::{Currency, EventTime, PersonId, Source};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use service::metrics::{Counter, Histogram, NO_SOURCE};
use service::{Metrics, Shutdown};
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::page::{self, unless_known};
use crate::pipeline::Seen;
use crate::pipeline::services::Services;
use crate::range::{Asked, Range};
use crate::reports::{
    Question, Report, attribution, cohorts, funnel, outcomes, revenue_timeseries, summary, top_products,
    usage, user_journey,
};
use crate::snapshot::{Published, Reading, Workspace};
use crate::tenants::{Refused, Tenant, Tenants};
use crate::{amount, csv, live, orders, people};

/// The secret key of `sources`' development workspace.
const DEVELOPMENT_KEY: &str = "sk_dev_demo";
/// How many dashboards may be watched at once.
const STREAMS: usize = 256;

/// Who may see the dashboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Everybody who reaches the address. On a loopback address only under a name of this machine: otherwise any web
    /// page could read the figures by giving its own name this address (DNS rebinding).
    Open {
        /// Whether the address is one of loopback.
        loopback: bool,
    },
    /// Whoever has a secret key.
    Key,
}

/// What the routes share.
pub struct App {
    /// Workspaces and keys, which can be changed while it answers.
    pub(crate) tenants: ArcSwap<Tenants>,
    /// What is known.
    pub(crate) published: Arc<Published>,
    /// Who may see the dashboard.
    pub(crate) access: Access,
    /// The clock.
    pub(crate) now: fn() -> EventTime,
    /// Ends the live streams.
    pub(crate) shutdown: Shutdown,
    /// Counts the answers.
    pub(crate) metrics: Metrics,
    /// Bounds the live streams.
    pub(crate) streams: Arc<Semaphore>,
    /// Whose counters the pipeline's view shows.
    services: Option<Services>,
}

impl App {
    /// An application over published figures.
    pub fn new(
        tenants: Tenants,
        published: Arc<Published>,
        access: Access,
        now: fn() -> EventTime,
        shutdown: Shutdown,
        metrics: Metrics,
    ) -> Self {
        Self {
            tenants: ArcSwap::from_pointee(tenants),
            published,
            access,
            now,
            shutdown,
            metrics,
            streams: Arc::new(Semaphore::new(STREAMS)),
            services: None,
        }
    }

    /// The workspace of a secret key.
    pub(crate) fn tenant(&self, headers: &HeaderMap) -> Result<Arc<Tenant>, Refused> {
        self.tenants.load().authenticate(headers).cloned()
    }

    /// The same, with a view of the pipeline.
    #[must_use]
    pub fn watching(self, services: Services) -> Self {
        Self { services: Some(services), ..self }
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App").field("access", &self.access).finish_non_exhaustive()
    }
}

type Shared = State<Arc<App>>;
type Parameters = Result<Query<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>;

/// All routes of the service except health and metrics.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/api/analytics/ecommerce/user-journey", get(journey))
        .route("/v1/api/analytics/ecommerce/{report}", get(report))
        .route("/v1/metrics/outcomes", get(outcomes_report))
        .route("/v1/metrics/usage", get(usage_report))
        .route("/v1/metrics/summary", get(summary_report))
        .route("/v1/dead-letters/summary", get(dead_letters))
        .route("/v1/people/{id}", get(person))
        .route("/v1/people/{id}/events", get(inspection::events))
        .route("/v1/orders/{id}", get(order))
        .route("/v1/orders/{id}/history", get(inspection::versions))
        .route("/v1/payments", get(inspection::payments))
        .route("/", get(|headers: HeaderMap| async move { page::INDEX.answer(&headers) }))
        .route("/assets/{name}", get(asset))
        .route("/dashboard/access", get(access))
        .route("/dashboard/stream", get(stream))
        .route("/dashboard/pipeline", get(pipeline))
        .route("/dashboard/reports/{report}", get(dashboard_report))
        .merge(service::docs::router())
        .fallback(|| async { Error::NotFound })
        .method_not_allowed_fallback(|| async { Error::MethodNotAllowed })
        .layer(middleware::from_fn_with_state(Arc::clone(&app), frame))
        .with_state(app)
}

/// What every answer has, and its count.
async fn frame(State(app): Shared, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let endpoint = if request.uri().path().starts_with("/v1/") { "reports" } else { "dashboard" };
    let correlation = request.headers().get("x-correlation-id").filter(|id| is_id(id)).cloned();
    let mut response = next.run(request).await;
    let correlation = correlation.or_else(|| HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok());
    let headers = response.headers_mut();
    if let Some(id) = correlation {
        headers.insert("x-correlation-id", id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    let status = response.status();
    app.metrics.counter(Counter::HttpRequests, &[endpoint, NO_SOURCE, status.as_str()]).inc();
    app.metrics.histogram(Histogram::HttpRequestDuration, &[endpoint, NO_SOURCE]).observe(began.elapsed());
    response
}

/// A forwarded correlation id is kept when it is short and plain.
fn is_id(value: &HeaderValue) -> bool {
    let fine = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    (1..=64).contains(&value.len()) && value.as_bytes().iter().all(fine)
}

async fn report(
    State(app): Shared,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    report_of(&app, &tenant, &name, &parameters?.0, &headers)
}

/// The same report for whoever may see the dashboard.
async fn dashboard_report(
    State(app): Shared,
    Path(name): Path<String>,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let parameters = parameters?.0;
    let tenant = watched(&app, &parameters, &headers)?;
    report_of(&app, &tenant, &name, &parameters, &headers)
}

fn report_of(
    app: &App,
    tenant: &Tenant,
    name: &str,
    parameters: &[(String, String)],
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let report = Report::parse(name).ok_or(Error::NotFound)?;
    let view = View::read(parameters, tenant, (app.now)())?;
    let limit = match report {
        Report::TopProducts => top_products::limit(value(parameters, "limit"))?,
        _ => 0,
    };
    let asked = |name| value(parameters, name);
    let attribution = match report {
        Report::Attribution => attribution::Asked::read(asked("model"), asked("window"))?,
        _ => attribution::Asked::default(),
    };
    let ranged = asked("start").is_some() && asked("end").is_some();
    let months = asked("months").filter(|_| report == Report::Cohorts);
    let today = tenant.zone.day_of((app.now)());
    let cohorts = cohorts::Asked::read(months, ranged.then_some(view.range), today)?;
    // Whose first purchase it was doesn't depend on the source that is asked for.
    if report == Report::Cohorts && view.source.is_some() {
        return Err(Error::Unsupported("source"));
    }
    if view.exclude_flagged && !report.is_of_orders() {
        return Err(Error::Unsupported("exclude_flagged"));
    }
    let hourly = match report {
        Report::RevenueTimeseries => revenue_timeseries::hourly(asked("granularity"), view.range)?,
        _ => false,
    };
    if hourly && view.source.is_some() {
        return Err(Error::Unsupported("source"));
    }
    let ordered = match report {
        Report::Funnel => funnel::window(asked("ordered"), asked("window"))?,
        _ => None,
    };
    let snapshot = app.published.snapshot();
    loaded(app)?;
    let workspace = snapshot.workspace(tenant.id.as_str());
    let question = Question {
        cells: workspace.map(|workspace| &workspace.cells),
        range: view.range,
        base: tenant.base,
        currency: view.currency,
        source: view.source,
        hourly,
        limit,
        exclude_flagged: view.exclude_flagged,
        ordered,
        attribution,
        cohorts,
    };
    let body = report.json(&question)?;
    if wants_csv(headers) {
        let mut response =
            tagged(headers, report.table(hourly).of(&body)?, "text/csv; charset=utf-8; header=present");
        // What a table has no place for.
        for (name, member) in [
            ("x-currency", "currency"),
            ("x-as-of", "as_of"),
            ("x-corrected", "corrected"),
            ("x-days", "days"),
        ] {
            if let Some(text) = csv::member(&body, member)
                && let Ok(text) = HeaderValue::from_str(&text)
            {
                response.headers_mut().insert(name, text);
            }
        }
        return Ok(response);
    }
    Ok(json(headers, body))
}

async fn journey(State(app): Shared, parameters: Parameters, headers: HeaderMap) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    let parameters = parameters?.0;
    let user_id = value(&parameters, "user_id").ok_or(Error::UserIdRequired)?;
    let view = View::of_all_sources(&parameters, &tenant, (app.now)())?;
    loaded(&app)?;
    let stores = app.published.stores();
    let workspace = tenant.id.as_str();
    // Any identifier of the person finds the journey (D-ANA-18), and a person id does so before there is a profile.
    let profile = people::find(&stores.people, workspace, user_id);
    let person = profile.map(|profile| profile.person_id).or_else(|| PersonId::parse(user_id.trim()));
    let (from, to) = (tenant.zone.start_of(view.range.first()), tenant.zone.start_of(view.range.end()));
    let events = person.map(|person| stores.journeys.of(workspace, person, from, to)).unwrap_or_default();
    answer(&headers, &user_journey::of(user_id, events, tenant.base))
}

/// True when the client names CSV before JSON and before everything.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = accepted.flat_map(|value| value.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next()?.to_ascii_lowercase();
        let refused = parts.any(|parameter| matches!(parameter, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"));
        (!refused).then_some(kind)
    });
    kinds.find(|kind| matches!(kind.as_str(), "text/csv" | "application/json" | "*/*"))
        == Some("text/csv".to_owned())
}

async fn outcomes_report(State(app): Shared, headers: HeaderMap) -> Result<Response, Error> {
    let workspace = workspace(&app, &headers)?;
    answer(&headers, &outcomes::of(workspace.as_deref().map(|workspace| &workspace.cells)))
}

async fn usage_report(State(app): Shared, headers: HeaderMap) -> Result<Response, Error> {
    let workspace = workspace(&app, &headers)?;
    answer(&headers, &usage::of(workspace.as_deref().map(|workspace| &workspace.cells)))
}

async fn dead_letters(State(app): Shared, headers: HeaderMap) -> Result<Response, Error> {
    let workspace = workspace(&app, &headers)?;
    answer(&headers, &workspace.unwrap_or_default().letters.summary((app.now)()))
}

async fn summary_report(
    State(app): Shared,
    parameters: Parameters,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    let now = (app.now)();
    let view = View::of_all_sources(&parameters?.0, &tenant, now)?;
    let workspace = workspace(&app, &headers)?;
    answer(&headers, &summary::of(&tenant, workspace.as_deref(), view.range, view.currency, now))
}

async fn person(State(app): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    loaded(&app)?;
    let stores = app.published.stores();
    let profile = people::find(&stores.people, tenant.id.as_str(), &id).ok_or(Error::NotFound)?;
    answer(&headers, &people::json(&profile)?)
}

async fn order(State(app): Shared, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Error> {
    let tenant = app.tenant(&headers)?;
    loaded(&app)?;
    let stores = app.published.stores();
    let view = orders::find(&stores.orders, tenant.id.as_str(), &id).ok_or(Error::NotFound)?;
    answer(&headers, &orders::json(&view)?)
}

/// What the page must know before it can ask for anything.
#[derive(Debug, Serialize)]
struct AccessAnswer<'a> {
    key: bool,
    /// Empty where a key is asked: names of tenants are not for strangers.
    workspaces: Vec<&'a str>,
    /// The key of the development workspace, which is printed in the documentation; on a machine of its own alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    development_key: Option<&'static str>,
    /// Whose key that is: it opens no other workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    development_workspace: Option<&'a str>,
    /// Digits after the point of the currencies that haven't two.
    digits: &'static BTreeMap<Currency, u32>,
}

async fn access(State(app): Shared, headers: HeaderMap) -> Result<Response, Error> {
    let open = app.access != Access::Key;
    if open {
        own_name(&app, &headers)?;
    }
    let tenants = app.tenants.load();
    let workspaces = tenants.all().iter().filter(|_| open).map(|tenant| tenant.id.as_str()).collect();
    let development =
        (app.access == Access::Open { loopback: true }).then(|| tenants.of_secret(DEVELOPMENT_KEY)).flatten();
    let access = AccessAnswer {
        key: !open,
        workspaces,
        development_key: development.map(|_| DEVELOPMENT_KEY),
        development_workspace: development.map(|tenant| tenant.id.as_str()),
        digits: amount::digits(),
    };
    answer(&headers, &access)
}

/// A file of the page.
async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Error> {
    page::File::named(&name).map(|file| file.answer(&headers)).ok_or(Error::NotFound)
}

async fn pipeline(State(app): Shared, parameters: Parameters, headers: HeaderMap) -> Result<Response, Error> {
    watched(&app, &parameters?.0, &headers)?;
    // Its counters are those of all workspaces together: no affair of one of several tenants.
    let alone = app.access != Access::Key || app.tenants.load().all().len() == 1;
    let services = app.services.as_ref().filter(|_| alone).ok_or(Error::NotFound)?;
    let (pipeline, versions) = (services.ask(app.now).await, app.published.versions());
    answer(&headers, &Seen { pipeline: &pipeline, versions: &versions })
}

/// The workspace that is looked at, by whoever may see the dashboard.
fn watched(app: &App, parameters: &[(String, String)], headers: &HeaderMap) -> Result<Arc<Tenant>, Error> {
    match app.access {
        Access::Key => Ok(app.tenant(headers)?),
        Access::Open { .. } => {
            own_name(app, headers)?;
            let tenants = app.tenants.load();
            let found = match value(parameters, "workspace") {
                Some(id) => tenants.get(id),
                None => tenants.all().first(),
            };
            found.cloned().ok_or(Error::NotFound)
        }
    }
}

async fn stream(State(app): Shared, parameters: Parameters, headers: HeaderMap) -> Result<Response, Error> {
    let parameters = parameters?.0;
    let tenant = watched(&app, &parameters, &headers)?;
    let asked = live::Asked::read(parameters, &tenant, (app.now)())?;
    let permit = Arc::clone(&app.streams).try_acquire_owned().map_err(|_| Error::TooManyStreams)?;
    Ok(live::answer(Arc::clone(&app), tenant, asked, permit))
}

/// In an open dashboard on loopback, the request must name this machine.
fn own_name(app: &App, headers: &HeaderMap) -> Result<(), Error> {
    if app.access != (Access::Open { loopback: true }) {
        return Ok(());
    }
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let name = host.and_then(|host| host.parse::<Authority>().ok());
    let own = name.is_some_and(|name| {
        let name = name.host().trim_matches(['[', ']']);
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    if own { Ok(()) } else { Err(Error::ForeignHost) }
}

/// The range, currency and source parameters, read for a workspace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct View {
    pub(crate) range: Range,
    pub(crate) currency: Option<Currency>,
    pub(crate) source: Option<Source>,
    pub(crate) exclude_flagged: bool,
}

impl View {
    pub(crate) fn read(
        parameters: &[(String, String)],
        tenant: &Tenant,
        now: EventTime,
    ) -> Result<Self, Error> {
        let asked = Asked {
            days: value(parameters, "days"),
            start: value(parameters, "start"),
            end: value(parameters, "end"),
        };
        let range = Range::read(asked, tenant.zone.day_of(now), tenant.retention_days)?;
        let currency = value(parameters, "currency").map(Currency::parse).transpose();
        let currency = currency.map_err(|_| Error::InvalidCurrency)?;
        let source = value(parameters, "source").map(|text| Source::parse(text).ok_or(Error::InvalidSource));
        let exclude_flagged = match value(parameters, "exclude_flagged") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Error::InvalidExcludeFlagged),
        };
        Ok(Self { range, currency, source: source.transpose()?, exclude_flagged })
    }

    /// The same, of an answer that has more than what is kept apart by source, and of orders that are marked.
    pub(crate) fn of_all_sources(
        parameters: &[(String, String)],
        tenant: &Tenant,
        now: EventTime,
    ) -> Result<Self, Error> {
        let view = Self::read(parameters, tenant, now)?;
        match view {
            Self { source: Some(_), .. } => Err(Error::Unsupported("source")),
            Self { exclude_flagged: true, .. } => Err(Error::Unsupported("exclude_flagged")),
            view => Ok(view),
        }
    }
}

/// The first parameter of that name that isn't empty.
pub(crate) fn value<'a>(parameters: &'a [(String, String)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(known, text)| known == name && !text.is_empty()).map(|(_, text)| text.as_str())
}

impl From<axum::extract::rejection::QueryRejection> for Error {
    fn from(_: axum::extract::rejection::QueryRejection) -> Self {
        Self::InvalidQuery
    }
}

fn loaded(app: &App) -> Result<(), Error> {
    if app.published.reading() == Reading::Loading { Err(Error::Loading) } else { Ok(()) }
}

fn workspace(app: &App, headers: &HeaderMap) -> Result<Option<Arc<Workspace>>, Error> {
    let tenant = app.tenant(headers)?;
    loaded(app)?;
    Ok(app.published.snapshot().workspace(tenant.id.as_str()).cloned())
}

fn answer(headers: &HeaderMap, body: &impl Serialize) -> Result<Response, Error> {
    Ok(json(headers, serde_json::to_vec(body)?))
}

fn json(headers: &HeaderMap, body: Vec<u8>) -> Response {
    tagged(headers, body, "application/json")
}

/// An answer of a kind, or that the client has it already.
fn tagged(headers: &HeaderMap, body: Vec<u8>, kind: &'static str) -> Response {
    let body = bytes::Bytes::from(body);
    let content = body.clone();
    let mut response = unless_known(headers, &body, move || (StatusCode::OK, content).into_response());
    let known = response.headers_mut();
    known.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Kept by the client alone, and asked for again each time: figures move, and keys are taken back.
    known.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    known.insert(header::VARY, HeaderValue::from_static("accept, x-api-key, authorization"));
    response
}

#[cfg(test)]
mod tests;
