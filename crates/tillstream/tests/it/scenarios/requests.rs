//! From a delivery as it is written down to the request that a sender would make.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use commerce::ReceivedTime;
use commerce::time::{SECOND, parse_received};
use hmac::{Hmac, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use sources::{Decision, WorkspaceConfig, Workspaces};
use tillstream::demo::delivery::{Delivery as Request, Purpose};

use super::told::{Delivery, Scenario};

/// A record of the raw topic.
#[derive(Clone, Debug)]
pub struct Stored {
    pub offset: i64,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

const START: &str = "2026-03-14T16:00:00Z";

impl Scenario {
    /// A workspace of its own, whose credentials are made of its name.
    pub fn config(&self) -> WorkspaceConfig {
        let id = self.id();
        let mut config = json!({
            "id": id,
            "shopify": [{ "shop": self.shop(), "secrets": [format!("{id}-shop")] }],
            "lifesight": { "keys": [format!("{id}-backend")] },
            "analytics": { "secret_keys": [format!("{id}-analytics")] },
            "stripe": { "secrets": [format!("{id}-stripe")] },
            "customerio": { "credentials": [{ "site_id": id, "api_key": format!("{id}-track") }] },
            "sequenzy": { "keys": [format!("{id}-orders")] },
            "records": { "keys": [format!("{id}-records")] },
        });
        let settings: &mut Map<String, Value> = config.as_object_mut().unwrap();
        settings.extend(self.workspace.clone());
        serde_json::from_value(config).unwrap_or_else(|e| panic!("{}: workspace: {e}", self.name))
    }

    pub fn shop(&self) -> String {
        format!("{}.myshopify.com", self.id())
    }

    /// All requests with the time of their arrival and the status that is expected.
    pub fn requests(&self) -> Vec<(Request, ReceivedTime, Option<u16>)> {
        self.requests_from(received(START))
    }

    /// The same, with the first one at a time unless it says another.
    pub fn requests_from(&self, start: ReceivedTime) -> Vec<(Request, ReceivedTime, Option<u16>)> {
        let mut now = ReceivedTime(start.0 - SECOND);
        let mut all = Vec::new();
        for delivery in &self.deliveries {
            for _ in 0..delivery.times {
                now = match &delivery.at {
                    Some(at) => received(at),
                    None => ReceivedTime(now.0 + SECOND),
                };
                all.push((self.request(delivery, now), now, delivery.status));
            }
        }
        all
    }

    /// What the gateway stores of them; a status that isn't expected is a failure.
    pub fn stored(&self, workspaces: &Arc<Workspaces>) -> Vec<Stored> {
        let mut stored = Vec::new();
        for (n, (request, at, expected)) in self.requests().into_iter().enumerate() {
            let (status, accepted) = match request.decide(workspaces, at).unwrap() {
                Decision::Accept(accepted) => (accepted.reply.status, Some(accepted)),
                Decision::Refuse(refused) => (refused.reply.status, None),
                Decision::Answer(reply) => (reply.status, None),
            };
            let fine = expected.map_or((200..300).contains(&status), |expected| expected == status);
            assert!(fine, "{}: request {} ({}) was answered {status}", self.name, n + 1, request.path());
            let Some(accepted) = accepted else { continue };
            let mut headers = accepted.headers;
            headers.push(("source".into(), accepted.source.to_string()));
            headers.push(("workspace".into(), accepted.workspace.to_string()));
            headers.push(("received_at".into(), at.to_rfc3339()));
            let body = accepted.body.unwrap_or(request.body);
            stored.push(Stored { offset: i64::try_from(stored.len()).unwrap(), headers, body });
        }
        stored
    }

    fn request(&self, delivery: &Delivery, at: ReceivedTime) -> Request {
        let (id, body) = (self.id(), self.body(delivery));
        let secret = |name: &str| if delivery.forged { "forged".to_owned() } else { format!("{id}-{name}") };
        let split = |text: &str| {
            let (method, path) = text.split_once(' ').unwrap_or_else(|| panic!("{}: {text}", self.name));
            let known = ["GET", "POST", "PUT", "DELETE", "PATCH"].into_iter().find(|known| *known == method);
            (known.unwrap(), path.to_owned())
        };
        let (method, path, mut headers) = if let Some(topic) = &delivery.shopify {
            let signature = STANDARD.encode(sign(&secret("shop"), &body));
            let headers = vec![("X-Shopify-Hmac-Sha256", signature), ("X-Shopify-Shop-Domain", self.shop())];
            ("POST", format!("/webhooks/shopify/{topic}"), headers)
        } else if let Some(event) = &delivery.lifesight {
            let query = format!("key={}&workspace={id}&source=backend&event_name={event}", secret("backend"));
            ("POST", format!("/transform-webhook-data?{query}"), vec![])
        } else if let Some(endpoint) = &delivery.stripe {
            let t = at.0 / SECOND;
            let signed = [format!("{t}.").as_bytes(), &body].concat();
            let signature = format!("t={t},v1={}", hex::encode(sign(&secret("stripe"), &signed)));
            ("POST", format!("/webhooks/stripe/{endpoint}"), vec![("Stripe-Signature", signature)])
        } else if let Some(what) = &delivery.sequenzy {
            let bearer = format!("Bearer {}", secret("orders"));
            ("POST", format!("/api/v1/{what}"), vec![("Authorization", bearer)])
        } else if let Some(call) = &delivery.customerio {
            let (method, path) = split(call);
            let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{}", secret("track"))));
            (method, format!("/api/v1/{path}"), vec![("Authorization", basic)])
        } else if let Some(call) = &delivery.analytics {
            let (method, path) = split(call);
            (method, format!("/v1/api/analytics/{path}"), vec![("X-Api-Key", secret("analytics"))])
        } else if let Some(path) = &delivery.records {
            let bearer = format!("Bearer {}", secret("records"));
            ("POST", format!("/public/v1/records/{path}"), vec![("Authorization", bearer)])
        } else if let Some(what) = &delivery.operator {
            ("POST", format!("/v1/identity/{what}"), vec![("X-Api-Key", secret("analytics"))])
        } else {
            panic!("{}: a delivery of no source", self.name)
        };
        headers.push(("Content-Type", "application/json".to_owned()));
        headers.extend(delivery.key.clone().map(|key| ("Idempotency-Key", key)));
        Request {
            at: 0,
            purpose: Purpose::Tells,
            items: 1,
            method,
            path_and_query: path,
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            stripe_secret: None,
            body,
            expect_status: delivery.status.unwrap_or(200),
        }
    }
}

fn received(text: &str) -> ReceivedTime {
    parse_received(text).unwrap()
}

fn sign(secret: &str, body: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.chain_update(body).finalize().into_bytes().to_vec()
}
