//! The dashboard's files, embedded: no build step, nothing from elsewhere.
//!
//! The page may load its own script and style and talk to its own origin, nothing else; text from events is only ever
//! set as text. So a product title with a tag in it stays a title.

use axum::response::{IntoResponse, Response};
use commerce::id::Mark;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// What the page may do.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";

/// A module of the page's script.
macro_rules! script {
    ($name:literal) => {
        ($name, File { kind: "text/javascript; charset=utf-8", text: include_str!(concat!("page/", $name)) })
    };
}

/// One embedded file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    kind: &'static str,
    text: &'static str,
}

/// The page.
pub const INDEX: File = File { kind: "text/html; charset=utf-8", text: include_str!("page/index.html") };

/// What the page loads, by name under `/assets/`.
const ASSETS: &[(&str, File)] = &[
    script!("app.js"),
    script!("dom.js"),
    script!("line.js"),
    script!("lookup.js"),
    script!("pipeline.js"),
    script!("rates.js"),
    script!("reports.js"),
    script!("revenue.js"),
    script!("text.js"),
    ("style.css", File { kind: "text/css; charset=utf-8", text: include_str!("page/style.css") }),
    ("icon.svg", File { kind: "image/svg+xml", text: include_str!("page/icon.svg") }),
];

impl File {
    /// An asset.
    pub fn named(name: &str) -> Option<Self> {
        ASSETS.iter().find(|(known, _)| *known == name).map(|(_, file)| *file)
    }

    /// The answer: the file, or that it hasn't changed.
    pub fn answer(self, headers: &HeaderMap) -> Response {
        let mut response = unless_known(headers, self.text.as_bytes(), || self.text.into_response());
        let known = response.headers_mut();
        known.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        known.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        known.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        known.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        response
    }
}

/// The names of all assets.
#[cfg(test)]
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|(name, _)| *name)
}

/// 304 when the client has this very `content`, else `full`; both with the entity tag.
pub(crate) fn unless_known(headers: &HeaderMap, content: &[u8], full: impl FnOnce() -> Response) -> Response {
    let tag = format!("\"{}\"", Mark::of(&[content]).to_hex());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|value| value.split(',')).map(|one| one.trim().trim_start_matches("W/"));
    let mut response = if known.into_iter().any(|one| one == tag || one == "*") {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        full()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
