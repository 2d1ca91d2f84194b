//! The documentation of the HTTP API: `/openapi.json` and, for people, `/docs`; of the events: `/taxonomy.json`.
//!
//! The documents are the checked-in ones, which `tillstream openapi --check` and `tillstream taxonomy --check` hold
//! against the code. The page is one file of our own: it loads the document from where it came from itself, and nothing else.

use std::sync::LazyLock;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::id::Mark;
use sha2::{Digest, Sha256};
use sources::operation::{Answer, Operation, WRONG_METHOD};

/// The OpenAPI document.
pub const OPENAPI: &str = include_str!("../../../schemas/openapi.json");

/// The taxonomy of events.
pub const TAXONOMY: &str = include_str!("../../../schemas/taxonomy.json");

const PAGE: &str = include_str!("docs.html");

/// Allows the page its own style and script by their digests, and to load from its own origin. Nothing else: a text of
/// the document can't become code.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (style, script) =
        (digest(between(PAGE, "<style>", "</style>")), digest(between(PAGE, "<script>", "</script>")));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
});

/// The routes of the documentation. They need no credential: there is nothing of any workspace in it.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route(
            "/openapi.json",
            get(async |headers: HeaderMap| answer(&headers, OPENAPI, "application/json", &[])),
        )
        .route(
            "/taxonomy.json",
            get(async |headers: HeaderMap| answer(&headers, TAXONOMY, "application/json", &[])),
        )
        .route(
            "/docs",
            get(async |headers: HeaderMap| {
                let own = [
                    (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
                    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
                ];
                answer(&headers, PAGE, "text/html; charset=utf-8", &own)
            }),
        )
        .method_not_allowed_fallback(wrong_method)
}

/// The answer to another method than a path has; the router adds `Allow`.
pub(crate) async fn wrong_method() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::METHOD_NOT_ALLOWED, kind, COMMON[0].body).into_response()
}

/// What every one of [`OPERATIONS`] answers beside its own answers.
pub const COMMON: &[Answer] = &[Answer::new(405, WRONG_METHOD, r#"{"error":"method not allowed"}"#)];

fn answer(
    asked: &HeaderMap,
    content: &'static str,
    kind: &'static str,
    further: &[(HeaderName, &str)],
) -> Response {
    let tag = format!("\"{}\"", Mark::of(&[content.as_bytes()]).to_hex());
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known =
        known.flat_map(|value| value.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { content.into_response() };
    let always = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in always.iter().chain(further) {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn digest(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = text.split_once(start).map_or("", |(_, rest)| rest);
    rest.split_once(end).map_or("", |(inner, _)| inner)
}

const UNCHANGED: Answer = Answer::new(304, "It is what `If-None-Match` names.", "");

const READY: &str =
    r#"{"ready":true,"draining":false,"parts":{"kafka":{"ready":true,"detail":"3 brokers"}}}"#;
const NOT_READY: &str =
    r#"{"ready":false,"draining":false,"parts":{"kafka":{"ready":false,"detail":"no broker answers"}}}"#;

const fn read(
    id: &'static str,
    path: &'static str,
    summary: &'static str,
    answers: &'static [Answer],
) -> Operation {
    Operation {
        id,
        method: "GET",
        path,
        summary,
        description: "",
        credentials: &[],
        parameters: &[],
        body: None,
        examples: &[],
        answers,
    }
}

/// What every service with an address answers.
pub const OPERATIONS: &[Operation] = &[
    read(
        "livez",
        "/livez",
        "Says whether the process lives",
        &[Answer::new(200, "It does.", r#"{"live":true}"#)],
    ),
    read(
        "readyz",
        "/readyz",
        "Says whether the service can do its work, and what it waits for",
        &[
            Answer::new(200, "All that it needs is ready.", READY),
            Answer::new(503, "Something isn't, or the service is ending.", NOT_READY),
        ],
    ),
    read(
        "metrics",
        "/metrics",
        "Counts and times, in Prometheus' text format",
        &[
            Answer::new(
                200,
                "All families.",
                "tillstream_http_requests_total{endpoint=\"ingest\",source=\"shopify\",status=\"200\"} 7\n",
            ),
            Answer::new(
                500,
                "They couldn't be written, which is a fault of this program; the log says why.",
                "",
            ),
        ],
    ),
    read("openapi", "/openapi.json", "This document", &[Answer::new(200, "OpenAPI 3.1.", ""), UNCHANGED]),
    read(
        "taxonomy",
        "/taxonomy.json",
        "All names of events, with who says them, the fields they need and a sample of each",
        &[Answer::new(200, "As `tillstream taxonomy` prints it.", ""), UNCHANGED],
    ),
    read("docs", "/docs", "This document as a page for people", &[Answer::new(200, "HTML.", ""), UNCHANGED]),
];

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str, known: Option<&HeaderValue>) -> Response {
        let mut request = Request::get(path);
        if let Some(tag) = known {
            request = request.header(header::IF_NONE_MATCH, tag);
        }
        router::<()>().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn the_page_may_run_its_own_code_and_no_other() {
        let response = ask("/docs", None).await;
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-") && !policy.contains("unsafe"));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
        for tag in ["<style>", "<script>"] {
            assert_eq!(PAGE.matches(tag).count(), 1, "{tag}");
        }
        // Nothing from elsewhere, no handler or style in an attribute, and no text that is read as HTML.
        for foreign in
            ["src=", "//cdn", "http://", "https://", "@import", "url(", " style=", " onclick", "innerHTML"]
        {
            assert!(!PAGE.contains(foreign), "{foreign}");
        }
    }

    #[tokio::test]
    async fn the_document_is_sent_once() {
        let first = ask("/openapi.json", None).await;
        assert_eq!(
            (first.status(), &first.headers()[header::CONTENT_TYPE]),
            (StatusCode::OK, &"application/json".parse().unwrap())
        );
        let tag = &first.headers()[header::ETAG];
        assert_eq!(ask("/openapi.json", Some(tag)).await.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("/openapi.json", Some(&"\"x\"".parse().unwrap())).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_every_service_answers_is_what_is_described() {
        let shutdown = crate::Shutdown::new();
        let ops =
            crate::health::ops_router(crate::Readiness::new(shutdown), crate::Metrics::new("test").unwrap());
        let router = ops.merge(router());
        for operation in OPERATIONS {
            let request = Request::get(operation.path).body(Body::empty()).unwrap();
            let status = router.clone().oneshot(request).await.unwrap().status().as_u16();
            assert!(
                operation.answers.iter().any(|answer| answer.status == status),
                "{} {status}",
                operation.path
            );
        }
    }
}
