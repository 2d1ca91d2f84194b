//! One HTTP request to the gateway: addressed, signed, and with the answer that it must get.

use anyhow::anyhow;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use commerce::ReceivedTime;
use form_urlencoded::Serializer;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::Sha256;
use sources::meter::Unmetered;
use sources::{Decision, Request, Workspaces};

/// What opens the gateway's doors.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The Shopify shop's domain.
    pub shop: String,
    /// The secret that signs its webhooks.
    pub shopify_secret: String,
    /// The `key` of the custom backend.
    pub backend_key: String,
    /// The workspace that the key belongs to.
    pub workspace: String,
    /// The name under which the custom backend sends.
    pub backend_source: String,
}

impl Default for Credentials {
    /// Those of the development workspace, which open nothing else.
    fn default() -> Self {
        Self {
            shop: "demo-shop.myshopify.com".to_owned(),
            shopify_secret: "dev-shopify-secret".to_owned(),
            backend_key: "dev-backend-key".to_owned(),
            workspace: "demo".to_owned(),
            backend_source: "storefront".to_owned(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("shop", &self.shop)
            .field("workspace", &self.workspace)
            .field("backend_source", &self.backend_source)
            .finish_non_exhaustive()
    }
}

/// Why a delivery is sent, and so what it must do to the figures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// A version of an order that no other delivery tells: accepted, never a duplicate.
    Tells,
    /// The same delivery once more: a duplicate at the transport level.
    Repeats,
    /// The same fact from another subscription, under another delivery id: a duplicate at the semantic level.
    Resubscribes,
    /// A forged signature: 401, nothing changes.
    Forges,
    /// A wrong key: 401, nothing changes.
    Guesses,
    /// Validly signed, not a JSON object: 200 and a dead letter `malformed_json`.
    Garbles,
    /// A topic without a canonical event: 200 and a dead letter `unsupported_event`.
    Digresses,
    /// A required field is missing: 400 and a dead letter `missing_field`.
    Omits,
}

/// One request to the gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the order of sending.
    pub at: usize,
    /// Why it is sent.
    pub purpose: Purpose,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query; the query of the custom backend has the key in it.
    pub path_and_query: String,
    /// HTTP headers.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte as signed.
    pub body: Vec<u8>,
    /// The status of the right answer.
    pub expect_status: u16,
}

impl Delivery {
    /// What the gateway decides about it, without HTTP, limits and memory.
    pub fn decide(&self, workspaces: &Workspaces, received_at: ReceivedTime) -> anyhow::Result<Decision> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        let (path, query) = match self.path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.path_and_query.as_str(), None),
        };
        let method = Method::from_bytes(self.method.as_bytes())?;
        let route = sources::route(&method, path).map_err(|reply| anyhow!("{path}: {}", reply.body))?;
        let request = Request {
            method: &method,
            path,
            query,
            headers: &headers,
            body: &self.body,
            received_at,
            correlation: "",
            peer: None,
        };
        Ok(sources::accept(&route, &request, workspaces, &Unmetered))
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the query, which has the key in it, and without the signature.
        f.debug_struct("Delivery")
            .field("at", &self.at)
            .field("purpose", &self.purpose)
            .field("path", &self.path())
            .field("bytes", &self.body.len())
            .field("expect_status", &self.expect_status)
            .finish_non_exhaustive()
    }
}

impl Delivery {
    /// The path without the query, which has the key in it: fit for logs.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// The ids by which Shopify names one delivery.
#[derive(Clone, Debug)]
pub struct WebhookIds {
    /// `X-Shopify-Webhook-Id`: this delivery of one subscription.
    pub webhook: String,
    /// `X-Shopify-Event-Id`: the merchant's action behind it.
    pub event: String,
    /// `X-Shopify-Triggered-At`.
    pub triggered_at: String,
}

impl Credentials {
    /// A Shopify webhook, signed.
    pub fn shopify(&self, topic: &str, ids: &WebhookIds, body: Vec<u8>) -> Delivery {
        let signature = sign(&self.shopify_secret, &body);
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Shopify-Topic", topic),
            ("X-Shopify-Hmac-Sha256", &signature),
            ("X-Shopify-Shop-Domain", &self.shop),
            ("X-Shopify-API-Version", "2025-10"),
            ("X-Shopify-Webhook-Id", &ids.webhook),
            ("X-Shopify-Event-Id", &ids.event),
            ("X-Shopify-Triggered-At", &ids.triggered_at),
        ];
        Delivery {
            at: 0,
            purpose: Purpose::Tells,
            method: "POST",
            path_and_query: format!("/webhooks/shopify/{topic}"),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body,
            expect_status: 200,
        }
    }

    /// A call of the custom backend.
    pub fn backend(&self, event_name: &str, body: Vec<u8>) -> Delivery {
        let query = Serializer::new(String::new())
            .append_pair("key", &self.backend_key)
            .append_pair("workspace", &self.workspace)
            .append_pair("source", &self.backend_source)
            .append_pair("event_name", event_name)
            .finish();
        Delivery {
            at: 0,
            purpose: Purpose::Tells,
            method: "POST",
            path_and_query: format!("/transform-webhook-data?{query}"),
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body,
            expect_status: 200,
        }
    }
}

/// The value of `X-Shopify-Hmac-Sha256`.
pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    // HMAC takes a key of any length, so there is no other case.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_test_vector_verifies() {
        let signature = sign("test_secret_key", br#"{"foo": "bar"}"#);
        assert_eq!(signature, "B23tXN681gZ0qIWNRrgtzBE9XSDo5yaUu6wfmhu3a7g=");
    }

    #[test]
    fn a_key_with_reserved_characters_survives_the_query() {
        let credentials = Credentials { backend_key: "a&b=c d".to_owned(), ..Credentials::default() };
        let delivery = credentials.backend("orders_create", vec![]);
        assert!(delivery.path_and_query.contains("key=a%26b%3Dc+d&"));
        assert_eq!(delivery.path(), "/transform-webhook-data");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let credentials = Credentials::default();
        let printed = format!("{credentials:?} {:?}", credentials.backend("orders_paid", vec![]));
        assert!(!printed.contains("dev-"), "{printed}");
    }
}
