use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

fn value() -> Value {
    serde_json::from_str(&text().unwrap()).unwrap()
}

#[test]
fn the_kept_document_is_what_the_code_says() {
    let difference = first_difference(service::docs::OPENAPI, &text().unwrap());
    assert_eq!(difference, None, "run `tillstream openapi --write`");
}

#[test]
fn another_reader_of_openapi_reads_the_document() {
    let spec = oas3::from_json(text().unwrap()).unwrap();
    assert_eq!(spec.openapi, "3.1.0");
    spec.validate_version().unwrap();
    let mut bodies = 0;
    for (path, method, operation) in spec.operations() {
        let at = format!("{method} {path}");
        for parameter in operation.parameters(&spec).unwrap() {
            assert!(parameter.schema.is_some(), "{at}");
        }
        bodies += usize::from(operation.request_body(&spec).unwrap_or_default().is_some());
        assert!(!operation.responses(&spec).is_empty(), "{at}");
    }
    assert!(bodies > 20, "{bodies}");
}

#[test]
fn every_operation_is_there_once_and_whole() {
    let api = value();
    let tags: BTreeSet<_> =
        api["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).map(Value::to_string).collect();
    let schemes = api["components"]["securitySchemes"].as_object().unwrap();
    let mut ids = BTreeSet::new();
    for (path, item) in api["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "servers") {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}");
            assert!(tags.contains(&operation["tags"][0].to_string()), "{at}");
            assert!(
                operation["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')),
                "{at}"
            );
            for requirement in operation["security"].as_array().unwrap() {
                assert!(
                    requirement.as_object().unwrap().keys().all(|name| schemes.contains_key(name)),
                    "{at}"
                );
            }
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let of_path = parameters.iter().filter(|one| one["in"] == "path");
            assert_eq!(of_path.count(), path.matches('{').count(), "{at}");
        }
    }
    let told: usize = groups().iter().map(|group| group.operations.len()).sum();
    assert_eq!(ids.len(), told);
}

#[test]
fn a_difference_is_named_by_its_line() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
    assert_eq!(first_difference("a\n", "a\nc\n"), Some(2));
    assert_eq!(first_difference("", "a\n"), Some(1));
}
