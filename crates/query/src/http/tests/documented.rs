//! What is answered is what `/openapi.json` says: every path, every method.

use super::*;

const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// What is wrong with an answer, held against the document's item of its path.
fn untold(item: &Value, method: &str, response: &Response) -> Option<String> {
    let status = response.status().as_u16();
    // HEAD is GET without the body.
    let name = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let told = &item[name];
    if !told.is_null() {
        let is_told = !told["responses"][status.to_string()].is_null();
        return (!is_told).then(|| format!("{status} isn't told"));
    }
    let allowed = response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok());
    if status != 405 || allowed.is_none_or(|allowed| allowed.split(',').any(|one| one.trim() == method)) {
        return Some(format!("{status} with Allow {allowed:?} for a method that isn't told"));
    }
    let every = item.as_object().unwrap().iter().filter(|(name, _)| *name != "servers");
    let silent = every.into_iter().any(|(_, told)| told["responses"]["405"].is_null());
    silent.then(|| "405 isn't told".to_owned())
}

#[tokio::test]
async fn every_answer_to_every_method_of_every_path_is_in_the_document() {
    let document: Value = serde_json::from_str(service::docs::OPENAPI).unwrap();
    let services = [
        Service::new(Access::Key),
        Service::new(OPEN),
        Service::loading(Access::Key),
        Service::loading(Access::Open { loopback: false }),
    ];
    let local = ("host", "localhost");
    let callers = [
        &[][..],
        &[local],
        &[SECRET, local],
        &[("x-api-key", "pk_dev_demo")],
        &[("if-none-match", "*"), SECRET],
    ];
    let (mut others, mut asked) = (std::collections::BTreeSet::new(), 0);
    let docs =
        service::docs::OPERATIONS.iter().filter(|one| one.path.ends_with(".json") || one.path == "/docs");
    for operation in REPORTS.iter().chain(OPERATIONS).chain(docs) {
        let item = &document["paths"][operation.path];
        assert!(!item.is_null(), "{} isn't told", operation.path);
        for query in
            ["", "?days=0&limit=0&workspace=nobody", "?x=%ff", "?source=x&exclude_flagged=true&months=99"]
        {
            let path = path_of(operation) + query;
            for method in METHODS {
                for (service, headers) in
                    services.iter().flat_map(|one| callers.map(|headers| (one, headers)))
                {
                    asked += 1;
                    let response = service.send(method, &path, headers).await;
                    if let Some(wrong) = untold(item, method, &response) {
                        others.insert(format!("{method} {path}: {wrong}"));
                    }
                }
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert!(asked > 10_000, "{asked}");
}

#[tokio::test]
async fn a_path_that_is_nowhere_is_said_to_be_none() {
    let service = Service::new(Access::Key);
    for path in ["/v1/nothing", "/v1/api/analytics/ecommerce/nothing", "/assets/nothing", "/v1/people"] {
        let (status, body) = service.get(path, &[SECRET]).await;
        assert_eq!((status, body.as_str()), (404, r#"{"error":"Not found"}"#), "{path}");
    }
}
