//! What opens the gateway's doors, and how each source addresses and signs a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_urlencoded::Serializer;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::delivery::{Delivery, Purpose};

/// What opens the gateway's doors.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The workspace that all of them belong to.
    pub workspace: String,
    /// The Shopify shop's domain.
    pub shop: String,
    /// The secret that signs its webhooks.
    pub shopify_secret: String,
    /// The secret of Stripe's endpoint.
    pub stripe_secret: String,
    /// The `key` of the custom backend.
    pub backend_key: String,
    /// The name under which the custom backend sends.
    pub backend_source: String,
    /// The site of the Track API.
    pub track_site: String,
    /// The key of that site.
    pub track_key: String,
    /// The key of pushed orders and checkouts.
    pub orders_key: String,
    /// The analytics key that stands in web pages.
    pub publishable_key: String,
    /// The analytics key of a server.
    pub secret_key: String,
    /// The key of the records API.
    pub records_key: String,
}

impl Default for Credentials {
    /// Those of the development workspace, which open nothing else.
    fn default() -> Self {
        Self {
            workspace: "demo".to_owned(),
            shop: "demo-shop.myshopify.com".to_owned(),
            shopify_secret: "dev-shopify-secret".to_owned(),
            stripe_secret: "whsec_dev".to_owned(),
            backend_key: "dev-backend-key".to_owned(),
            backend_source: "storefront".to_owned(),
            track_site: "dev-site".to_owned(),
            track_key: "dev-track-key".to_owned(),
            orders_key: "dev-orders-key".to_owned(),
            publishable_key: "pk_dev_demo".to_owned(),
            secret_key: "sk_dev_demo".to_owned(),
            records_key: "dev-records-key".to_owned(),
        }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("workspace", &self.workspace)
            .field("shop", &self.shop)
            .field("backend_source", &self.backend_source)
            .finish_non_exhaustive()
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

/// Which analytics key a caller holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnalyticsKey {
    /// A web page's.
    Publishable,
    /// A server's, which no rule about bots and velocity is for.
    Secret,
}

impl Credentials {
    /// A Shopify webhook, signed.
    pub fn shopify(&self, topic: &str, ids: &WebhookIds, body: Vec<u8>) -> Delivery {
        let signature = sign(&self.shopify_secret, &body);
        post(format!("/webhooks/shopify/{topic}"), body)
            .with("X-Shopify-Topic", topic)
            .with("X-Shopify-Hmac-Sha256", &signature)
            .with("X-Shopify-Shop-Domain", &self.shop)
            .with("X-Shopify-API-Version", "2025-10")
            .with("X-Shopify-Webhook-Id", &ids.webhook)
            .with("X-Shopify-Event-Id", &ids.event)
            .with("X-Shopify-Triggered-At", &ids.triggered_at)
    }

    /// An Event object of Stripe. It is signed when it is sent, as Stripe signs each attempt anew: a signature is
    /// good for five minutes.
    pub fn stripe(&self, body: Vec<u8>) -> Delivery {
        let delivery = post("/webhooks/stripe/payment".to_owned(), body);
        Delivery { stripe_secret: Some(self.stripe_secret.clone()), ..delivery }
    }

    /// A call of the custom backend.
    pub fn backend(&self, event_name: &str, body: Vec<u8>) -> Delivery {
        let query = Serializer::new(String::new())
            .append_pair("key", &self.backend_key)
            .append_pair("workspace", &self.workspace)
            .append_pair("source", &self.backend_source)
            .append_pair("event_name", event_name)
            .finish();
        post(format!("/transform-webhook-data?{query}"), body)
    }

    /// A call of Customer.io's Track API. `path` is what follows `/api/`.
    pub fn track(&self, method: &'static str, path: &str, body: Vec<u8>) -> Delivery {
        let basic = STANDARD.encode(format!("{}:{}", self.track_site, self.track_key));
        Delivery { method, ..post(format!("/api/{path}"), body) }
            .with("Authorization", &format!("Basic {basic}"))
    }

    /// A pushed order or checkout. `path` is `orders` or `checkouts`.
    pub fn push(&self, path: &str, body: Vec<u8>) -> Delivery {
        let delivery = bearer(post(format!("/api/v1/{path}"), body), &self.orders_key);
        // Orders are queued, checkouts aren't.
        Delivery { expect_status: if path == "orders" { 202 } else { 200 }, ..delivery }
    }

    /// A call of the analytics API. `path` is what follows `/v1/api/analytics/`.
    pub fn analytics(&self, method: &'static str, path: &str, key: AnalyticsKey, body: Vec<u8>) -> Delivery {
        let key = match key {
            AnalyticsKey::Publishable => &self.publishable_key,
            AnalyticsKey::Secret => &self.secret_key,
        };
        let delivery = Delivery { method, ..post(format!("/v1/api/analytics/{path}"), body) };
        delivery.with("X-API-Key", key)
    }

    /// A row or an upsert of the records API. `path` is `orders/append`, `profiles/upsert`, …
    pub fn record(&self, path: &str, idempotency_key: &str, body: Vec<u8>) -> Delivery {
        bearer(post(format!("/public/v1/records/{path}"), body), &self.records_key)
            .with("Idempotency-Key", idempotency_key)
    }
}

fn post(path_and_query: String, body: Vec<u8>) -> Delivery {
    Delivery {
        at: 0,
        purpose: Purpose::Tells,
        items: 1,
        method: "POST",
        path_and_query,
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        stripe_secret: None,
        body,
        expect_status: 200,
    }
}

fn bearer(delivery: Delivery, key: &str) -> Delivery {
    delivery.with("Authorization", &format!("Bearer {key}"))
}

/// The value of `X-Shopify-Hmac-Sha256`.
pub(super) fn sign(secret: &str, body: &[u8]) -> String {
    STANDARD.encode(hmac(secret, &[body]))
}

/// The value of `Stripe-Signature` at a time in Unix seconds.
pub(super) fn sign_at(secret: &str, seconds: i64, body: &[u8]) -> String {
    let signature = hmac(secret, &[seconds.to_string().as_bytes(), b".", body]);
    format!("t={seconds},v1={}", hex::encode(signature))
}

fn hmac(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length, so there is no other case.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Vec::new() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// Percent-encodes one part of a path.
pub(crate) fn path_part(text: &str) -> String {
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            part.push(char::from(byte));
        } else {
            part.push_str(&format!("%{byte:02X}"));
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_test_vectors_verify() {
        let signature = sign("test_secret_key", br#"{"foo": "bar"}"#);
        assert_eq!(signature, "B23tXN681gZ0qIWNRrgtzBE9XSDo5yaUu6wfmhu3a7g=");
        let signature = sign_at("whsec_test_secret", 1_700_000_000, br#"{"id":"evt_test"}"#);
        let v1 = "13941114bb88ac44a76abcfddea5b92aa6182a4b63d8be3aae908a616083bd7e";
        assert_eq!(signature, format!("t=1700000000,v1={v1}"));
    }

    #[test]
    fn a_key_with_reserved_characters_survives_the_query() {
        let credentials = Credentials { backend_key: "a&b=c d".to_owned(), ..Credentials::default() };
        let delivery = credentials.backend("orders_create", vec![]);
        assert!(delivery.path_and_query.contains("key=a%26b%3Dc+d&"));
        assert_eq!(delivery.path(), "/transform-webhook-data");
        assert_eq!(path_part("a/b c@example.com"), "a%2Fb%20c%40example.com");
    }

    #[test]
    fn nothing_secret_is_printed() {
        let credentials = Credentials::default();
        let stripe = credentials.stripe(b"{}".to_vec());
        let printed = format!("{credentials:?} {:?} {stripe:?}", credentials.backend("orders_paid", vec![]));
        for secret in ["dev-", "whsec", "sk_dev", "pk_dev"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
