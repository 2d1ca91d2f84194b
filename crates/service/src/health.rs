//! Whether a service lives, whether it can work, and what it does: `/livez`, `/readyz`, `/metrics`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use crate::{Metrics, Shutdown, docs};

/// What a service needs to do its work, by name: `kafka`, `assignment`, `restored`. Clones are the same value.
#[derive(Clone, Debug)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<String, Status>>>,
    shutdown: Shutdown,
    scope: Option<&'static str>,
    /// Who is told of every change of a part, too.
    told: Arc<Mutex<Option<Box<Readiness>>>>,
}

/// What is known of one part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Status {
    ready: bool,
    /// A sentence: what it has, or what it waits for.
    detail: String,
}

/// The document of `/readyz`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Report {
    ready: bool,
    /// True from the signal on: no new work is taken.
    draining: bool,
    parts: BTreeMap<String, Status>,
}

impl Readiness {
    /// One without parts, which is not ready: a service that hasn't said what it needs can't have it.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { parts: Arc::default(), shutdown, scope: None, told: Arc::default() }
    }

    /// The same readiness seen by one of several services that share it: its parts are `scope.name`, and it is ready
    /// when they are.
    #[must_use]
    pub fn scoped(&self, scope: &'static str) -> Self {
        Self { scope: Some(scope), ..self.clone() }
    }

    /// A named part; not ready until it says so. The same name is the same part.
    pub fn part(&self, name: &'static str) -> Part {
        self.named(name)
    }

    fn named(&self, name: &str) -> Part {
        let name = self.scope.map_or_else(|| name.to_owned(), |scope| format!("{scope}.{name}"));
        self.parts()
            .entry(name.clone())
            .or_insert_with(|| Status { ready: false, detail: "starting".to_owned() });
        Part { readiness: self.clone(), name }
    }

    /// Has another one say what the parts of this one say, from now on; `None`: nobody any more. So one of several that
    /// do the same work can take over from another without beginning anew.
    pub fn tell(&self, other: Option<Self>) {
        let mut told = self.told();
        if let Some(other) = &other {
            for (name, Status { ready, detail }) in self.parts().clone() {
                other.named(&name).set(ready, detail);
            }
        }
        *told = other.map(Box::new);
    }

    /// True when there are parts, all are ready, and the end hasn't begun.
    pub fn is_ready(&self) -> bool {
        self.report().ready
    }

    /// True from the signal on.
    pub fn is_draining(&self) -> bool {
        self.shutdown.is_triggered()
    }

    /// What isn't ready, each part with what it waits for.
    pub fn missing(&self) -> Vec<String> {
        let report = self.report();
        let missing = report.parts.into_iter().filter(|(_, status)| !status.ready);
        missing.map(|(name, status)| format!("{name}: {}", status.detail)).collect()
    }

    /// What `/readyz` answers, as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.report()).unwrap_or_default()
    }

    fn report(&self) -> Report {
        let mut parts = self.parts().clone();
        if let Some(scope) = self.scope {
            parts.retain(|name, _| name.strip_prefix(scope).is_some_and(|rest| rest.starts_with('.')));
        }
        let draining = self.shutdown.is_triggered();
        let ready = !draining && !parts.is_empty() && parts.values().all(|status| status.ready);
        Report { ready, draining, parts }
    }

    fn told(&self) -> MutexGuard<'_, Option<Box<Self>>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, Status>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the things that a service needs.
#[derive(Clone, Debug)]
pub struct Part {
    readiness: Readiness,
    name: String,
}

impl Part {
    /// It is there; `detail` says what.
    pub fn ready(&self, detail: impl Into<String>) {
        self.set(true, detail.into());
    }

    /// It isn't; `reason` says what is waited for, in a sentence for a person.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.set(false, reason.into());
    }

    fn set(&self, ready: bool, detail: String) {
        // Held to the end, so that whoever is told hears of changes in their order, and of none twice or never.
        let told = self.readiness.told();
        if let Some(other) = told.as_ref() {
            other.named(&self.name).set(ready, detail.clone());
        }
        let changed = {
            let mut parts = self.readiness.parts();
            let before = parts.insert(self.name.clone(), Status { ready, detail: detail.clone() });
            before.is_none_or(|before| before.ready != ready)
        };
        if changed {
            tracing::info!(part = self.name.as_str(), ready, detail, "readiness changed");
        }
    }
}

/// The header of `/metrics` that names the process: addresses of one process have the same counters.
pub const PROCESS: &str = "tillstream-process";

/// A name of this process that no other has.
pub fn process() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| format!("{}-{}", std::process::id(), crate::clock::now().0))
}

/// The three addresses, to be served alone or merged into a service's own router.
pub fn ops_router(readiness: Readiness, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|| async { ([(header::CONTENT_TYPE, "application/json")], r#"{"live":true}"#) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .method_not_allowed_fallback(docs::wrong_method)
        .with_state((readiness, metrics))
}

async fn readyz(State((readiness, _)): State<(Readiness, Metrics)>) -> Response {
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], readiness.to_json()).into_response()
}

async fn scrape(State((_, metrics)): State<(Readiness, Metrics)>) -> Response {
    match metrics.to_text() {
        Ok(text) => {
            let head = [
                (header::CONTENT_TYPE, "text/plain; version=0.0.4"),
                (HeaderName::from_static(PROCESS), process()),
            ];
            (head, text).into_response()
        }
        Err(error) => {
            tracing::error!(error, "metrics couldn't be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_means_that_every_part_is_and_the_end_has_not_begun() {
        let shutdown = Shutdown::new();
        let readiness = Readiness::new(shutdown.clone());
        assert!(!readiness.is_ready());
        let (kafka, restored) = (readiness.part("kafka"), readiness.part("restored"));
        kafka.ready("3 brokers");
        assert!(!readiness.is_ready());
        restored.ready("120 records");
        assert!(readiness.is_ready());
        kafka.not_ready("no broker answers");
        assert_eq!(
            readiness.to_json(),
            r#"{"ready":false,"draining":false,"parts":{"kafka":{"ready":false,"detail":"no broker answers"},"restored":{"ready":true,"detail":"120 records"}}}"#
        );
        kafka.ready("3 brokers");
        shutdown.trigger();
        assert!(!readiness.is_ready());
    }

    #[test]
    fn who_takes_over_is_heard_at_once_and_who_is_followed_no_more() {
        let of_service = Readiness::new(Shutdown::new());
        let seen = of_service.scoped("aggregator");
        let [first, second] = [(); 2].map(|()| Readiness::new(Shutdown::new()));
        let [before, after] = [&first, &second].map(|one| one.part("partitions"));
        first.tell(Some(seen.clone()));
        before.ready("2 partitions");
        after.not_ready("restoring 1 of 2 partitions");
        assert!(seen.is_ready() && of_service.is_ready());
        first.tell(None);
        second.tell(Some(seen.clone()));
        assert_eq!(seen.missing(), ["aggregator.partitions: restoring 1 of 2 partitions"]);
        before.ready("2 partitions, 9 entries");
        assert!(!seen.is_ready(), "the first one isn't listened to any more");
        after.ready("2 partitions");
        assert!(seen.is_ready());
    }
}
