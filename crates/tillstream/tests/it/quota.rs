//! Plans, from what the pipeline has counted to the answer at the door.

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};

use crate::running::{Up, folder, turn, wait, wait_in};

const TRACK: &str = "/v1/api/analytics/ecommerce/track";
/// Three events a month, and a workspace that has none at all.
const WORKSPACES: &str = "[\
    {id = 'demo', plan = {monthly_events = 3}, analytics = {secret_keys = ['sk_dev_demo']}},\
    {id = 'free', plan = {ecommerce = false}, analytics = {secret_keys = ['sk_free_0123456789']}},\
    {id = 'slow', plan = {requests_per_second = 1}, analytics = {secret_keys = ['sk_slow_0123456789']},\
     lifesight = {keys = ['slow-backend-key']}}]";

fn send(up: &Up, path: &str, key: &str, body: &Value) -> Response {
    let client = Client::builder().no_proxy().build().unwrap();
    let url = format!("{}{path}", up.endpoints.gateway);
    client.post(url).header("x-api-key", key).body(body.to_string()).send().unwrap()
}

fn search(id: &str) -> Value {
    json!({"event_type": "search", "event_id": id, "user_id": "u-1", "properties": {"search_term": "mug"}})
}

/// Sends an event, and says whether it was let in; otherwise the answer must be the contract's.
fn is_let_in(up: &Up, id: &str) -> bool {
    let answer = send(up, TRACK, "sk_dev_demo", &search(id));
    if answer.status() == 200 {
        return true;
    }
    assert_eq!(answer.status(), 429);
    let again: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=31 * 86_400 + 1).contains(&again), "until the next month: {again}");
    let expected = r#"{"error":"Ecommerce event quota exceeded","code":"USAGE_EXCEEDED"}"#;
    assert_eq!(answer.text().unwrap(), expected);
    false
}

/// What the pipeline has counted of all months: the test may run over the end of one.
fn counted(up: &Up) -> u64 {
    let usage = up.get("/v1/metrics/usage");
    let months = usage["months"].as_array().unwrap();
    months
        .iter()
        .filter(|month| month["source"] == "analytics")
        .map(|month| month["events"].as_u64().unwrap())
        .sum()
}

#[test]
fn a_quota_is_used_up_by_what_was_counted_also_after_a_restart_and_not_by_duplicates() {
    let _turn = turn();
    let dir = folder();
    let settings = [("TILLSTREAM_WORKSPACES", WORKSPACES)];
    let up = Up::start_with(dir.path(), &[], &settings);
    // One event, three times: at the door that is the whole quota, until the pipeline has said that it was one.
    for _ in 0..3 {
        assert!(is_let_in(&up, "a"));
    }
    wait("the first event", || counted(&up) == 1);
    for (id, events) in [("b", 2), ("c", 3)] {
        // What was a duplicate is forgotten after a minute.
        wait_in(dir.path(), "room for another event", || is_let_in(&up, id));
        wait("its count", || counted(&up) == events);
    }
    assert!(!is_let_in(&up, "d"), "three are three");

    // Of a batch everything would be beyond it, too.
    let batch = json!({"events": [search("e"), search("f")]});
    let refused = send(&up, "/v1/api/analytics/ecommerce/batch", "sk_dev_demo", &batch);
    assert_eq!(refused.status(), 429);

    // A plan without events is told so, whatever is left; a key beyond its rate is sent away for a second.
    let gated = send(&up, TRACK, "sk_free_0123456789", &search("a"));
    assert_eq!(gated.status(), 403);
    assert_eq!(
        gated.text().unwrap(),
        r#"{"error":"Ecommerce events are not available on the free tier","code":"FEATURE_GATED"}"#
    );
    let backend = "/transform-webhook-data?key=slow-backend-key&event_name=orders_create";
    let two = r#"{"a":"user:5","b":"email:jane@example.com"}"#.parse::<Value>().unwrap();
    for (path, body, expected) in [
        (backend, json!({}), r#"{"success":false,"error":"too many requests"}"#),
        ("/v1/identity/merge", two, r#"{"error":"Too many requests. Please slow down."}"#),
    ] {
        let mut early = None;
        wait("a request that is too early", || {
            let answer = send(&up, path, "sk_slow_0123456789", &body);
            let is_early = answer.status() == 429;
            early = is_early.then_some(answer);
            is_early
        });
        let early = early.unwrap();
        assert_eq!(early.headers()["retry-after"], "1", "{path}");
        assert_eq!(early.text().unwrap(), expected, "{path}");
    }

    // What was counted is known to a gateway that remembers nothing, as soon as it has asked.
    up.kill();
    let up = Up::start_with(dir.path(), &[], &settings);
    wait("the quota after a restart", || !is_let_in(&up, "a"));
    assert_eq!(counted(&up), 3);
}

#[test]
fn a_plan_that_could_never_be_held_is_a_mistake_of_the_configuration() {
    let dir = folder();
    let start = |workspaces: &str| {
        let mut serve = crate::running::command(dir.path(), &["serve", "gateway", "--instance", "a"]);
        let serve =
            serve.env("TILLSTREAM_WORKSPACES", workspaces).env("TILLSTREAM_GATEWAY__LISTEN", "127.0.0.1:0");
        let ended = serve.output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let (code, said) = start(
        "[{id = 'acme', plan = {monthly_events = 3}, analytics = {secret_keys = ['sk_acme_0123456789']}}]",
    );
    assert!(code == Some(64) && said.contains("gateway.reports_url"), "{said}");
    let (code, said) = start("[{id = 'acme', plan = {monthly_events = 3}}]");
    assert!(code == Some(64) && said.contains("analytics.secret_keys"), "{said}");
}
