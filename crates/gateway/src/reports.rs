//! Forwards the paths of reports to the query service, so that clients need one base URL.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, header};
use http_body_util::BodyExt;
use sources::Reply;

use crate::answer;
use crate::trace::{CORRELATION, Correlation};

const WITHIN: Duration = Duration::from_secs(5);
const REPORTS: &str = "/v1/api/analytics/ecommerce/";

/// Of one connection, not of the message (RFC 9110 §7.6.1); and what the client writes itself.
const NOT_FORWARDED: [HeaderName; 11] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// Whether it is the path of a report, which can only be read.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix(REPORTS).is_some_and(|rest| !rest.is_empty())
}

/// Whether the query service answers this, not the gateway.
pub(crate) fn is_report(method: &Method, path: &str) -> bool {
    let is_read = method == Method::GET || method == Method::HEAD;
    is_read && is_path(path)
}

/// Where reports are answered.
pub(crate) struct Reports {
    base: String,
    client: reqwest::Client,
}

impl Reports {
    pub(crate) fn new(base: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .timeout(WITHIN)
            .redirect(reqwest::redirect::Policy::none())
            // The query service is ours and near; a proxy of the environment isn't on the way.
            .no_proxy()
            .build()?;
        Ok(Self { base: base.to_owned(), client })
    }

    /// The query service's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Asks there and passes the answer on as it comes. No body is forwarded: these requests have none.
    pub(crate) async fn forward(&self, parts: &http::request::Parts, correlation: &Correlation) -> Response {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut headers = end_to_end(&parts.headers);
        headers.insert(CORRELATION, correlation.header());
        let request =
            self.client.request(parts.method.clone(), format!("{}{path}", self.base)).headers(headers);
        match request.send().await {
            Ok(answer) => {
                let answer: http::Response<reqwest::Body> = answer.into();
                let (head, body) = answer.into_parts();
                let mut response = Response::new(Body::new(body.map_err(axum::Error::new)));
                *response.status_mut() = head.status;
                *response.headers_mut() = end_to_end(&head.headers);
                response.headers_mut().insert(CORRELATION, correlation.header());
                response
            }
            Err(error) => {
                // `without_url`: a query may hold a key.
                let error = error.without_url();
                tracing::warn!(%error, correlation = correlation.as_str(), "the query service doesn't answer");
                let reply = Reply::new(503, r#"{"error":"unavailable"}"#);
                answer::of(Reply { retry_after: Some(5), ..reply }, correlation)
            }
        }
    }
}

fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<_> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let passes = |name: &HeaderName| {
        !NOT_FORWARDED.contains(name) && !named.iter().any(|other| other == name.as_str())
    };
    headers
        .iter()
        .filter(|(name, _)| passes(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_reports_are_forwarded() {
        for (method, path, expected) in [
            (Method::GET, "/v1/api/analytics/ecommerce/revenue", true),
            (Method::DELETE, "/v1/api/analytics/user/u-1", false),
            (Method::POST, "/v1/api/analytics/ecommerce/track", false),
            (Method::GET, "/v1/api/analytics/ecommerce/", false),
            (Method::DELETE, "/v1/api/analytics/ecommerce/revenue", false),
            (Method::GET, "/v1/orders/1", false),
        ] {
            assert_eq!(is_report(&method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn headers_of_the_connection_stay_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("host", "a"),
            ("te", "b"),
            ("authorization", "Bearer k"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        assert_eq!(kept.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["authorization"]);
    }
}
