//! What is answered is what `/openapi.json` says: every path, every method.

use reqwest::{Method, Response};
use serde_json::Value;

use crate::rig::Rig;

const METHODS: [Method; 8] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
];

/// A path with the examples of its parameters.
fn path_of(path: &str, item: &Value) -> String {
    let operations = item.as_object().unwrap().values();
    let parameters = operations.filter_map(|operation| operation["parameters"].as_array()).flatten();
    parameters.filter(|one| one["in"] == "path").fold(path.to_owned(), |path, one| {
        let example = one["example"].as_str().unwrap().replace('+', "%2B");
        path.replace(&format!("{{{}}}", one["name"].as_str().unwrap()), &example)
    })
}

/// What is wrong with an answer, held against the document's item of its path.
fn untold(item: &Value, method: &Method, answer: &Response) -> Option<String> {
    let status = answer.status().as_u16();
    let responses = |name: &str| item[name]["responses"].as_object();
    // HEAD of a report is GET without the body; a source's path has it only where it says so.
    let told = match responses(&method.as_str().to_ascii_lowercase()) {
        None if *method == Method::HEAD => responses("get"),
        told => told,
    };
    if let Some(told) = told {
        return (!told.contains_key(&status.to_string())).then(|| format!("{status} isn't told"));
    }
    let allowed = answer.headers().get("allow").and_then(|value| value.to_str().ok());
    if status != 405
        || allowed.is_none_or(|allowed| allowed.split(',').any(|one| one.trim() == method.as_str()))
    {
        return Some(format!("{status} with Allow {allowed:?} for a method that isn't told"));
    }
    let every =
        item.as_object().unwrap().iter().filter(|(name, _)| !matches!(name.as_str(), "servers" | "options"));
    let silent = every.into_iter().any(|(_, told)| told["responses"]["405"].is_null());
    silent.then(|| "405 isn't told".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_to_every_method_of_every_path_is_in_the_document() {
    let rig = Rig::start("documented").await;
    // Where nobody listens: what a gateway answers for a query service that is down.
    let cut = Rig::start_with("documented-cut", |env| {
        env.push(("TILLSTREAM_GATEWAY__REPORTS_URL", "http://127.0.0.1:9".to_owned()));
    })
    .await;
    let document: Value = serde_json::from_str(service::docs::OPENAPI).unwrap();
    let (mut others, mut asked) = (Vec::new(), 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        let here =
            item["servers"].as_array().unwrap().iter().any(|one| one["url"] == "http://127.0.0.1:8080");
        if !here {
            continue;
        }
        let address = path_of(path, item);
        for method in METHODS {
            // Without a credential, unreadable, and in an encoding that isn't known.
            for (rig, encoding, body) in
                [(&rig, None, ""), (&cut, None, "{}"), (&rig, Some("gzip"), "{}"), (&rig, Some("br"), "{}")]
            {
                let mut request = rig.client.request(method.clone(), rig.url(&address)).body(body);
                if let Some(encoding) = encoding {
                    request = request.header("content-encoding", encoding);
                }
                let answer = request.send().await.unwrap();
                asked += 1;
                assert!(answer.headers().contains_key("x-correlation-id"), "{method} {path}");
                if let Some(wrong) = untold(item, &method, &answer) {
                    others.push(format!("{method} {path} {encoding:?}: {wrong}"));
                }
            }
        }
    }
    assert!(others.is_empty(), "{others:#?}");
    assert!(asked > 1_000, "{asked}");
}
