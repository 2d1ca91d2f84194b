//! What the documentation says of the operations is what the code does.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::Source;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;
use sources::meter::Unmetered;
use sources::operation::{self, CORRELATION, Example, In, Operation, RECEIVED_AT, Scheme};
use sources::{Decision, Reply, Request, accept, route};

use crate::fixture::*;

/// A request as the documentation shows it.
#[derive(Clone)]
struct Call<'a> {
    source: Source,
    operation: &'a Operation,
    example: &'a Example,
    /// In place of the example's.
    body: Option<String>,
    signed: bool,
}

impl<'a> Call<'a> {
    fn all() -> impl Iterator<Item = Self> {
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

    fn path(&self) -> String {
        self.parameters(In::Path).fold(self.operation.path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        })
    }

    fn send(&self) -> Reply {
        let body = self.body.as_deref().unwrap_or(self.example.body).as_bytes();
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
        let route = route(&method, &path).unwrap();
        assert_eq!(route.source, self.source, "{method} {path}");
        match accept(&route, &request, &workspaces(), &Unmetered) {
            Decision::Accept(accepted) => accepted.reply,
            Decision::Refuse(refused) => refused.reply,
            Decision::Answer(reply) => reply,
        }
    }

    fn method(&self) -> Method {
        self.operation.method.parse().unwrap()
    }

    fn name(&self) -> String {
        format!("{} {}", self.operation.id, self.example.name)
    }
}

#[test]
fn every_example_gets_the_answer_that_is_shown() {
    let mut others = Vec::new();
    for call in Call::all() {
        let reply = call.send();
        let shown = (call.example.status, call.example.answer);
        if (reply.status, reply.body.as_str()) != shown {
            others.push(format!("{}: {} {}", call.name(), reply.status, reply.body));
        }
        let statuses: Vec<_> = call.operation.answers.iter().map(|answer| answer.status).collect();
        assert!(statuses.contains(&reply.status), "{}: {} isn't documented", call.name(), reply.status);
    }
    assert!(others.is_empty(), "these are answered otherwise:\n{}", others.join("\n"));
}

#[test]
fn without_a_credential_the_documented_refusal_is_given() {
    for call in Call::all() {
        assert!(!call.operation.credentials.is_empty(), "{}", call.name());
        let reply = Call { signed: false, ..call }.send();
        let (status, body) = (reply.status, reply.body.as_str());
        let answers = operation::all().flat_map(|(_, operation)| operation.answers);
        assert!(matches!(status, 400 | 401), "{status}");
        assert!(
            answers.into_iter().any(|answer| answer.status == status && answer.body == body),
            "{status} {body}"
        );
    }
}

#[test]
fn a_body_without_a_required_field_is_refused() {
    let mut tried = 0;
    for call in Call::all().filter(|call| call.example.status < 300) {
        for field in call.operation.body.iter().flat_map(|body| body.fields).filter(|field| field.required) {
            let whole: Value = serde_json::from_str(call.example.body).unwrap();
            assert!(!whole[field.name].is_null(), "{}: {} isn't shown", call.name(), field.name);
            let body = Some(without(whole, field.name).to_string());
            let reply = Call { body, ..call.clone() }.send();
            assert_eq!(reply.status, 400, "{}: {} isn't required", call.name(), field.name);
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn every_source_tells_all_methods_of_each_path_and_every_parameter_of_it() {
    let mut methods = BTreeMap::<_, BTreeSet<&str>>::new();
    let mut ids = BTreeSet::new();
    for (source, operation) in operation::all() {
        assert!(ids.insert(operation.id), "{} is there twice", operation.id);
        assert!(!operation.examples.is_empty(), "{} has no example", operation.id);
        let named: BTreeSet<_> =
            operation.path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let of_path = operation.parameters.iter().filter(|parameter| parameter.place == In::Path);
        assert_eq!(named, of_path.map(|parameter| parameter.name).collect(), "{}", operation.path);
        methods.entry((source, operation.path)).or_default().insert(operation.method);
        let names: BTreeSet<_> = operation.parameters.iter().map(|parameter| parameter.name).collect();
        for (name, _) in operation.examples.iter().flat_map(|example| example.given) {
            assert!(names.contains(name), "{}: {name} is no parameter", operation.id);
        }
    }
    for call in Call::all() {
        let allowed = route(&Method::TRACE, &call.path()).unwrap_err().allow.unwrap();
        let told = &methods[&(call.source, call.operation.path)];
        assert_eq!(told, &allowed.split(", ").collect(), "{}", call.operation.path);
    }
    let told: BTreeSet<_> = methods.keys().map(|(source, _)| *source).collect();
    assert_eq!(told, Source::ALL.into_iter().collect());
}

#[test]
fn every_file_of_examples_is_shown() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/examples");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let shown = operation::all().flat_map(|(_, operation)| operation.examples);
    let shown: BTreeSet<String> =
        shown.filter(|example| !example.body.is_empty()).map(|example| example.name.to_owned()).collect();
    assert_eq!(files, shown);
}
