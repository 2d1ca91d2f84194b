//! What the documentation says of the operations is what the code does.

use std::collections::{BTreeMap, BTreeSet};

use commerce::Source;
use http::Method;
use serde_json::Value;
use sources::operation::{self, In};
use sources::route;

use crate::call::Call;
use crate::fixture::*;

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
            let body = Some(without(whole, field.name).to_string().into_bytes());
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
