//! The schema registry, by its Confluent API (Apicurio speaks it under `/apis/ccompat/v7`).
//!
//! Blocking: not for async contexts, see the crate's page. The HTTP client is made at the first call.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Response};
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value as Json, json};

use crate::difference;

/// One answer must come within this.
const ANSWER: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The rule of every subject: a new version reads what was written with any older one.
pub const BACKWARD_TRANSITIVE: &str = "BACKWARD_TRANSITIVE";

/// What went wrong with the registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The address can't be one.
    #[error("'{url}' is not the address of a schema registry: {message}")]
    BadAddress {
        /// As configured, without credentials.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// No connection, no answer in time, or it answers that it can't now. The one transient error.
    #[error("the schema registry at {registry} didn't answer within {waited:?}: {message}")]
    Unreachable {
        /// Its address.
        registry: String,
        /// How long it was tried.
        waited: Duration,
        /// The last fault.
        message: String,
    },
    /// Nobody registered it there.
    #[error("schema id {id} is unknown to the registry at {registry}")]
    UnknownSchema {
        /// Its address.
        registry: String,
        /// The id.
        id: u32,
    },
    /// The new version can't read records of an older one.
    #[error("the schema of {subject} isn't compatible with its older versions: {message}")]
    Incompatible {
        /// The subject.
        subject: String,
        /// What the registry says, with the field.
        message: String,
    },
    /// This build's schema isn't there.
    #[error(
        "the schema registry at {registry} doesn't have this build's schema of {subject}: \
         run `tillstream topics apply`"
    )]
    NotRegistered {
        /// Its address.
        registry: String,
        /// The subject.
        subject: String,
    },
    /// Any other refusal: no right, no schema, not a registry.
    #[error("the schema registry at {registry} refused {what} ({status}): {message}")]
    Rejected {
        /// Its address.
        registry: String,
        /// What was asked.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
}

impl Error {
    /// True when the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Rejected { status: 429 | 500..=599, .. })
    }
}

/// A registry's address, and how long a call may try. Clones share the connections.
#[derive(Clone, Debug)]
pub struct SchemaRegistry {
    site: Arc<Site>,
    budget: Duration,
}

#[derive(Debug)]
struct Site {
    base: Url,
    /// The address without credentials.
    shown: String,
    http: OnceLock<Client>,
}

/// An answer: the status and the body, `Null` where it is no JSON.
type Answer = (StatusCode, Json);

impl SchemaRegistry {
    /// A registry at `url`, which may carry `user:password@`. Connects to nothing yet.
    ///
    /// A call that meets no registry, or one that can't answer now, tries again for `budget`.
    pub fn new(url: &str, budget: Duration) -> Result<Self, Error> {
        let bad = |message: String| Error::BadAddress { url: shown(url), message };
        let mut base = Url::parse(url).map_err(|e| bad(e.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(bad("it starts with http:// or https://".to_owned()));
        }
        let path = base.path().trim_end_matches('/').to_owned();
        base.set_path(&path);
        base.set_query(None);
        let shown = shown(base.as_str()).trim_end_matches('/').to_owned();
        Ok(Self { site: Arc::new(Site { base, shown, http: OnceLock::new() }), budget })
    }

    /// The same registry with another budget.
    #[must_use]
    pub fn within(&self, budget: Duration) -> Self {
        Self { site: Arc::clone(&self.site), budget }
    }

    /// The address, without credentials.
    pub fn address(&self) -> &str {
        &self.site.shown
    }

    /// Registers a schema, or finds it registered; its id.
    pub fn register(&self, subject: &str, schema: &str) -> Result<u32, Error> {
        let body = json!({ "schema": schema });
        let answer = self.call(&Method::POST, &["subjects", subject, "versions"], &[], Some(&body))?;
        match answer {
            (StatusCode::OK, json) => self.id_of(subject, &json),
            (StatusCode::CONFLICT, json) => {
                Err(Error::Incompatible { subject: subject.to_owned(), message: message(&json) })
            }
            other => Err(self.rejected(format!("to register {subject}"), other)),
        }
    }

    /// The id of exactly this schema under a subject; `None` when it isn't registered there.
    pub fn find(&self, subject: &str, schema: &str) -> Result<Option<u32>, Error> {
        let body = json!({ "schema": schema });
        match self.call(&Method::POST, &["subjects", subject], &[], Some(&body))? {
            (StatusCode::OK, json) => self.id_of(subject, &json).map(Some),
            (StatusCode::NOT_FOUND, json) if is_registrys(&json) => Ok(None),
            other => Err(self.rejected(format!("to look up {subject}"), other)),
        }
    }

    /// The text of a schema.
    pub fn schema_by_id(&self, id: u32) -> Result<String, Error> {
        match self.call(&Method::GET, &["schemas", "ids", &id.to_string()], &[], None)? {
            (StatusCode::OK, json) if json["schema"].is_string() => {
                Ok(json["schema"].as_str().unwrap_or_default().to_owned())
            }
            // A 404 of something else than a registry says nothing about the id.
            (StatusCode::NOT_FOUND, json) if is_registrys(&json) => {
                Err(Error::UnknownSchema { registry: self.address().to_owned(), id })
            }
            other => Err(self.rejected(format!("schema {id}"), other)),
        }
    }

    /// The subject's own rule; `None` when it has none or there is no such subject.
    pub fn compatibility(&self, subject: &str) -> Result<Option<String>, Error> {
        match self.call(&Method::GET, &["config", subject], &[], None)? {
            (StatusCode::OK, json) => Ok(json["compatibilityLevel"].as_str().map(str::to_owned)),
            (StatusCode::NOT_FOUND, json) if is_registrys(&json) => Ok(None),
            other => Err(self.rejected(format!("the rule of {subject}"), other)),
        }
    }

    /// Sets the subject's rule. The subject must exist.
    pub fn set_compatibility(&self, subject: &str, rule: &str) -> Result<(), Error> {
        let body = json!({ "compatibility": rule });
        match self.call(&Method::PUT, &["config", subject], &[], Some(&body))? {
            (StatusCode::OK, _) => Ok(()),
            other => Err(self.rejected(format!("to set the rule of {subject}"), other)),
        }
    }

    /// Asks whether a schema may be registered under a subject's rule, without doing it. A new subject takes any.
    pub fn check(&self, subject: &str, schema: &str) -> Result<(), Error> {
        let body = json!({ "schema": schema });
        let path = ["compatibility", "subjects", subject, "versions"];
        match self.call(&Method::POST, &path, &[("verbose", "true")], Some(&body))? {
            (StatusCode::OK, json) if json["is_compatible"] == Json::Bool(false) => {
                // Apicurio says no and not why.
                let own = json["messages"].as_array().is_some_and(|messages| !messages.is_empty());
                let message = if own { message(&json) } else { self.why(subject, schema)? };
                Err(Error::Incompatible { subject: subject.to_owned(), message })
            }
            (StatusCode::OK, _) => Ok(()),
            (StatusCode::NOT_FOUND, json) if is_registrys(&json) => Ok(()),
            other => Err(self.rejected(format!("to check {subject}"), other)),
        }
    }

    /// What may be at fault with a schema that a subject's rule refuses.
    fn why(&self, subject: &str, schema: &str) -> Result<String, Error> {
        let mut older = Vec::new();
        let versions = match self.call(&Method::GET, &["subjects", subject, "versions"], &[], None)? {
            (StatusCode::OK, json) => json,
            other => return Err(self.rejected(format!("the versions of {subject}"), other)),
        };
        for version in versions.as_array().into_iter().flatten().filter_map(Json::as_u64) {
            let path = ["subjects", subject, "versions", &version.to_string()];
            if let (StatusCode::OK, json) = self.call(&Method::GET, &path, &[], None)? {
                older.push((version, json["schema"].as_str().unwrap_or_default().to_owned()));
            }
        }
        Ok(difference::explain(schema, &older))
    }

    fn id_of(&self, subject: &str, json: &Json) -> Result<u32, Error> {
        let id = json["id"].as_u64().and_then(|id| u32::try_from(id).ok());
        id.ok_or_else(|| self.rejected(format!("the id of {subject}"), (StatusCode::OK, json.clone())))
    }

    fn rejected(&self, what: String, (status, json): Answer) -> Error {
        let registry = self.address().to_owned();
        Error::Rejected { registry, what, status: status.as_u16(), message: message(&json) }
    }

    /// Calls until there is an answer other than "not now", or the budget is used up.
    fn call(
        &self,
        method: &Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<Answer, Error> {
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let fault = match self.try_call(method, path, query, body) {
                Ok(answer) => match settled(answer) {
                    Ok(answer) => return Ok(answer),
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            let waited = start.elapsed();
            if waited.saturating_add(pause) >= self.budget {
                let registry = self.address().to_owned();
                return Err(Error::Unreachable { registry, waited, message: fault });
            }
            tracing::debug!(registry = self.address(), %fault, "asking the schema registry again");
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn try_call(
        &self,
        method: &Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Json>,
    ) -> Result<Response, String> {
        let mut url = self.site.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let mut request = self.http()?.request(method.clone(), url).query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.timeout(ANSWER.min(self.budget)).send().map_err(|e| causes(e.without_url()))
    }

    fn http(&self) -> Result<&Client, String> {
        if let Some(http) = self.site.http.get() {
            return Ok(http);
        }
        let mut builder = Client::builder();
        if matches!(self.site.base.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(causes)?;
        Ok(self.site.http.get_or_init(|| http))
    }
}

/// The answer, unless it says that the registry can't answer now.
fn settled(response: Response) -> Result<Answer, String> {
    let status = response.status();
    let text = response.text().map_err(|e| causes(e.without_url()))?;
    let json = serde_json::from_str(&text).unwrap_or(Json::Null);
    if status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429) {
        return Err(format!("{status}: {}", message(&json)));
    }
    Ok((status, json))
}

/// True for an error in the registry's own form, as opposed to that of a proxy or of a wrong path.
fn is_registrys(json: &Json) -> bool {
    json["error_code"].is_number()
}

fn message(json: &Json) -> String {
    if let Some(messages) = json["messages"].as_array().filter(|messages| !messages.is_empty()) {
        return messages.iter().filter_map(Json::as_str).collect::<Vec<_>>().join("; ");
    }
    match json["message"].as_str() {
        Some(message) => message.to_owned(),
        None => "it gives no reason".to_owned(),
    }
}

fn causes(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// An address without `user:password@`.
fn shown(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let url = "http://user:secret@registry.example:8081/apis/ccompat/v7/";
        let registry = SchemaRegistry::new(url, Duration::ZERO).unwrap();
        assert_eq!(registry.address(), "http://registry.example:8081/apis/ccompat/v7");
        assert!(
            !format!("{}", registry.rejected("x".into(), (StatusCode::OK, Json::Null))).contains("secret")
        );
        for url in ["", "registry:8081", "ftp://user:secret@a/", "http://user:secret@/"] {
            let error = SchemaRegistry::new(url, Duration::ZERO).unwrap_err();
            assert!(!error.is_transient() && !error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_registry_that_is_not_there_is_a_transient_error_after_the_budget() {
        let budget = Duration::from_millis(300);
        let registry = SchemaRegistry::new("http://127.0.0.1:9/apis/ccompat/v7", budget).unwrap();
        let start = Instant::now();
        let error = registry.schema_by_id(1).unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert!(error.to_string().contains("http://127.0.0.1:9/apis/ccompat/v7"), "{error}");
        assert!(start.elapsed() > Duration::from_millis(100), "it was tried again within the budget");
    }
}
