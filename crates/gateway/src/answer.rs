//! Answers.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER,
};
use http::{HeaderName, HeaderValue, StatusCode};
use sources::Reply;

use crate::trace::{CORRELATION, Correlation};

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// It is the stored answer to an earlier request of the same key.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A source's reply as a response.
pub(crate) fn of(reply: Reply, correlation: &Correlation) -> Response {
    // The sources know no other statuses than lawful ones.
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let empty = reply.body.is_empty();
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !empty {
        headers.insert(CONTENT_TYPE, JSON);
    }
    if let Some(seconds) = reply.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if reply.replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    if let Some(allow) = reply.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    headers.insert(CORRELATION, correlation.header());
    response
}

/// The rest of the body wasn't read: what follows on the connection is no request.
pub(crate) fn close(response: &mut Response) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Browsers post analytics from any page: nothing but a publishable key is needed, and no cookie is looked at.
pub(crate) fn share(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-correlation-id, retry-after"));
}

/// What a browser is told before it posts.
pub(crate) fn preflight(correlation: &Correlation) -> Response {
    let mut response = of(Reply::new(204, ""), correlation);
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(
            "content-type, content-encoding, authorization, x-api-key, idempotency-key, tillstream-backfill, traceparent",
        ),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    share(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repetition_that_is_known_is_marked_as_one() {
        let reply = |replayed| Reply { replayed, ..Reply::new(200, "{}") };
        let marked = |replayed| of(reply(replayed), &Correlation::new()).headers().get(REPLAYED).cloned();
        assert_eq!(marked(true), Some(HeaderValue::from_static("true")));
        assert_eq!(marked(false), None);
    }
}
