//! One HTTP request to the gateway: addressed, signed, and with the answer that it must get.

use std::borrow::Cow;

use anyhow::anyhow;
use commerce::{ReceivedTime, time};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sources::meter::Unmetered;
use sources::{Decision, Request, Workspaces};

use super::credentials::sign_at;

/// Why a delivery is sent, and so what it must do to the figures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Purpose {
    /// A version of an order that no other delivery tells: accepted, never a duplicate.
    Tells,
    /// The same delivery once more: a duplicate at the transport level, unless [`Delivery::is_answered_again`].
    Repeats,
    /// The same fact from another subscription, under another delivery id: a duplicate at the semantic level.
    Resubscribes,
    /// The same fact through another source: a duplicate that the state of the entity finds.
    Echoes,
    /// A forged signature: 401, of Stripe 400, nothing changes.
    Forges,
    /// A wrong key: 401, nothing changes.
    Guesses,
    /// Accepted from a known crawler, and in no figure.
    Crawls,
    /// Refused with 400 and forgotten: its sender knows.
    Errs,
    /// An order without an id: 200 and a dead letter `missing_order_id`.
    Anonymises,
    /// A key that came before with another body: 200 and a dead letter `idempotency_body_mismatch`, of whichever of
    /// the two arrives second.
    Contradicts,
    /// Validly signed, not a JSON object: 200, of Stripe 400, and a dead letter `malformed_json`.
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
    /// How many things it tells of: of a batch its events. A repetition of it repeats as many.
    pub items: i64,
    /// HTTP method.
    pub method: &'static str,
    /// Path and query; the query of the custom backend has the key in it.
    pub path_and_query: String,
    /// HTTP headers, those apart that depend on the time of sending.
    pub headers: Vec<(String, String)>,
    /// The secret of a request that is signed when it is sent.
    pub stripe_secret: Option<String>,
    /// The body, byte for byte as signed.
    pub body: Vec<u8>,
    /// The status of the right answer.
    pub expect_status: u16,
}

impl Delivery {
    /// What the gateway decides about it, without HTTP, limits and memory.
    pub fn decide(&self, workspaces: &Workspaces, received_at: ReceivedTime) -> anyhow::Result<Decision> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers_at(received_at) {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(&value)?);
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
    /// A request whose key was used before by another one: the gateway answers it as it answered that one, and nothing of
    /// it comes into the raw topic.
    pub fn is_answered_again(&self) -> bool {
        let keyed = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("idempotency-key"));
        let again = matches!(self.purpose, Purpose::Repeats | Purpose::Contradicts);
        keyed && again && self.path().starts_with("/public/v1/records/")
    }

    /// The path without the query, which has the key in it: fit for logs.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// The headers of an attempt at a time.
    pub fn headers_at(&self, now: ReceivedTime) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let signature = self.stripe_secret.as_ref().map(|secret| {
            let signature = sign_at(secret, now.0.div_euclid(time::SECOND), &self.body);
            ("Stripe-Signature", Cow::Owned(signature))
        });
        let fixed = self.headers.iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str())));
        fixed.chain(signature)
    }

    /// The same with a further header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use commerce::{EventTime, Reason};
    use sources::WorkspaceConfig;

    use super::*;
    use crate::demo::Credentials;

    #[test]
    fn an_event_of_stripe_is_signed_anew_at_each_attempt_and_by_nobody_else() {
        let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
        let event = br#"{"id":"evt_1","type":"customer.created","data":{"object":{}}}"#;
        let delivery = Credentials::default().stripe(event.to_vec());
        let now = EventTime(1_795_000_000 * time::SECOND).0;
        for later in [0, time::DAY] {
            let decided = delivery.decide(&workspaces, ReceivedTime(now + later)).unwrap();
            assert!(matches!(decided, Decision::Accept(_)), "{decided:?}");
        }
        let other = Delivery { stripe_secret: Some("whsec_guessed".to_owned()), ..delivery };
        match other.decide(&workspaces, ReceivedTime(now)).unwrap() {
            Decision::Refuse(refused) => assert_eq!(refused.reason, Reason::BadSignature),
            other => panic!("{other:?}"),
        }
    }
}
