//! Requests as the documentation shows them, with the development credentials: whoever tests all paths of all sources begins here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::Source;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sources::meter::Unmetered;
use sources::operation::{self, CORRELATION, Example, In, Operation, RECEIVED_AT, Scheme};
use sources::{Decision, Reply, Request, Route, Workspaces, accept, route, too_large};

use crate::fixture::*;

/// A request as the documentation shows it.
#[derive(Clone)]
pub(crate) struct Call<'a> {
    pub(crate) source: Source,
    pub(crate) operation: &'a Operation,
    pub(crate) example: &'a Example,
    /// In place of the example's.
    pub(crate) body: Option<Vec<u8>>,
    pub(crate) signed: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        operation::all().flat_map(|(source, operation)| {
            let of = move |example| Call { source, operation, example, body: None, signed: true };
            operation.examples.iter().map(of)
        })
    }

    /// The value of a parameter, where it is sent.
    fn value(&self, name: &str) -> Option<&'a str> {
        let given = self.example.given.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let usual =
            self.operation.parameters.iter().find(|p| p.name == name && p.required).map(|p| p.example);
        given.or(usual)
    }

    fn parameters(&self, place: In) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of_place = self.operation.parameters.iter().filter(move |parameter| parameter.place == place);
        of_place.filter_map(|parameter| Some((parameter.name, self.value(parameter.name)?)))
    }

    pub(crate) fn path(&self) -> String {
        self.parameters(In::Path).fold(self.operation.path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        })
    }

    /// What is sent.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or(self.example.body.as_bytes())
    }

    /// Where it is sent to.
    pub(crate) fn route(&self) -> Route {
        let route = route(&self.method(), &self.path()).unwrap();
        assert_eq!(route.source, self.source, "{}", self.name());
        route
    }

    pub(crate) fn send(&self) -> Reply {
        match self.decide(&workspaces()) {
            Decision::Accept(accepted) => accepted.reply,
            Decision::Refuse(refused) => refused.reply,
            Decision::Answer(reply) => reply,
        }
    }

    /// What becomes of it at the door; of what is too large, what the gateway makes of it.
    pub(crate) fn decide(&self, workspaces: &Workspaces) -> Decision {
        let (route, body) = (self.route(), self.bytes());
        if body.len() > route.body_limit {
            return Decision::Answer(too_large(self.source, CORRELATION));
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.parameters(In::Query));
        let mut headers = HeaderMap::new();
        let mut header = |name: &str, value: &str| {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        };
        for (name, value) in self.parameters(In::Header) {
            header(name, value);
        }
        for credential in self.operation.credentials.iter().filter(|_| self.signed) {
            match (self.source, credential.scheme) {
                (Source::Shopify, Scheme::Header(name)) => {
                    header(name, &STANDARD.encode(sign(SECRET, body)));
                }
                (Source::Stripe, Scheme::Header(name)) => {
                    let seconds = received(RECEIVED_AT).0 / 1_000_000;
                    let signed = [format!("{seconds}.").as_bytes(), body].concat();
                    header(name, &format!("t={seconds},v1={}", hex::encode(sign("whsec_dev", &signed))));
                }
                (Source::Analytics | Source::Operator, Scheme::Header(name)) => header(name, "sk_dev_demo"),
                (Source::Lifesight, Scheme::Query(name)) => {
                    query.append_pair(name, "dev-backend-key");
                }
                (Source::Customerio, Scheme::Basic) => {
                    header("authorization", &format!("Basic {}", STANDARD.encode("dev-site:dev-track-key")));
                }
                (source, Scheme::Bearer) => {
                    let key = match source {
                        Source::Sequenzy => "dev-orders-key",
                        Source::Records => "dev-records-key",
                        _ => "sk_dev_demo",
                    };
                    header("authorization", &format!("Bearer {key}"));
                }
                other => panic!("no development credential for {other:?}"),
            }
        }
        let (method, path, query) = (self.method(), self.path(), query.finish());
        let request = Request {
            method: &method,
            path: &path,
            query: Some(&query),
            headers: &headers,
            body,
            received_at: received(RECEIVED_AT),
            correlation: CORRELATION,
            peer: None,
        };
        accept(&route, &request, workspaces, &Unmetered)
    }

    pub(crate) fn method(&self) -> Method {
        self.operation.method.parse().unwrap()
    }

    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.operation.id, self.example.name)
    }
}
