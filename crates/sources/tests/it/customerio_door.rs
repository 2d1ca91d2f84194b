//! Who may come in, what is refused with which answer, and what real clients send.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use commerce::{Mark, Reason, ReceivedTime, Source, WorkspaceId};
use http::Method;
use serde_json::{Value, json};
use sources::meter::{Unmetered, Velocity};
use sources::workspace::{CustomerioConfig, CustomerioCredential, Secret};
use sources::{Decision, Meter, Refused, WorkspaceConfig, Workspaces};

use crate::fixture::*;

/// Every call that the clients make, as they were recorded (Python, Node) or read (Go), with the status they expect.
const CALLS: &str = include_str!("../samples/customerio_calls.jsonl");
const TRACK: &str = "/api/v1/customers/5/events";
const UNAUTHORIZED: &str = r#"{"meta":{"error":"Unauthorized request","errors":["Unauthorized request"]}}"#;

fn basic(text: &str) -> String {
    format!("Basic {}", STANDARD.encode(text))
}

pub(crate) fn send(method: &Method, path: &str, body: &[u8]) -> Decision {
    let authorization = basic("dev-site:dev-track-key");
    call(&workspaces(), &Unmetered, method, path, None, &[("authorization", &authorization)], body)
}

pub(crate) fn sent(path: &str, body: Value) -> Decision {
    send(&Method::POST, path, body.to_string().as_bytes())
}

fn with_authorization(value: &str) -> Decision {
    call(
        &workspaces(),
        &Unmetered,
        &Method::POST,
        TRACK,
        None,
        &[("authorization", value)],
        br#"{"name":"x"}"#,
    )
}

/// A 400 of version 1, by its message.
fn message(decision: Decision) -> String {
    let Refused { reply, letter, .. } = refused(decision);
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    let text = answer["meta"]["error"].as_str().unwrap().to_owned();
    assert_eq!((reply.status, &answer["meta"]["errors"], letter), (400, &json!([text]), None), "{text}");
    text
}

/// A 400 of version 2, by reason and field.
pub(crate) fn fault(decision: Decision) -> (String, String) {
    let Refused { reply, letter, .. } = refused(decision);
    let answer: Value = serde_json::from_str(&reply.body).unwrap();
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!((reply.status, errors.len(), letter), (400, 1, None));
    let text = |name: &str| errors[0][name].as_str().unwrap().to_owned();
    assert!(!text("message").is_empty());
    (text("reason"), text("field"))
}

pub(crate) fn text(length: usize) -> String {
    "x".repeat(length)
}

#[test]
fn cio_c01_identify_answers_200_with_an_empty_object_and_a_line_feed() {
    let accepted = accepted(send(&Method::PUT, "/api/v1/customers/5", br#"{"email":"jane@example.com"}"#));
    assert_eq!((accepted.reply.status, accepted.reply.body.as_str()), (200, "{}\n"));
    assert_eq!((accepted.workspace.as_str(), accepted.verdict, accepted.body), ("demo", "key", None));
    let printed = format!("{:?}", accepted.headers);
    assert!(
        !printed.contains("dev-track-key") && !printed.contains(&STANDARD.encode("dev-site")),
        "{printed}"
    );
    assert!(accepted.headers.contains(&("path".into(), "/api/v1/customers/5".into())));
}

#[test]
fn cio_c01_wrong_credentials_are_401_and_leave_nothing() {
    let key = STANDARD.encode("dev-site:dev-track-key");
    for value in [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Bearer dev-track-key",
        &format!("Bearer {key}"),
        &basic("dev-site:wrong"),
        &basic("dev-site"),
        &basic("dev-site:"),
        &basic(":dev-track-key"),
        &basic("dev-track-key:dev-site"),
        &basic("dev-site:dev-track-key "),
        &format!("Basic {}", STANDARD.encode(b"\xff:\xff")),
    ] {
        let refused = refused(with_authorization(value));
        assert_eq!((refused.reply.status, refused.reply.body.as_str()), (401, UNAUTHORIZED), "{value}");
        assert_eq!((refused.reason, refused.letter), (Reason::UnknownKey, None));
    }
    for (method, path) in [(Method::GET, "/api/v1/accounts/region"), (Method::POST, "/unsubscribe/d1")] {
        let decision = call(&workspaces(), &Unmetered, &method, path, None, &[], b"");
        assert_eq!(refused(decision).reply.body, UNAUTHORIZED, "{path}");
    }
}

/// Two environments, whose credentials look different in the two alphabets.
fn environments() -> Workspaces {
    let of = |id: &str, environment: &str, api_key: &str| WorkspaceConfig {
        environment: environment.to_owned(),
        customerio: Some(CustomerioConfig {
            credentials: vec![CustomerioCredential { site_id: "s?>".into(), api_key: Secret::new(api_key) }],
            event_map: Default::default(),
        }),
        ..WorkspaceConfig::new(id)
    };
    Workspaces::from_configs([
        of("acme", "production", "k~~\u{fc}?"),
        of("acme-staging", "staging", "k2:\u{ff}>>"),
    ])
    .unwrap()
}

#[test]
fn cio_c02_both_alphabets_are_read_with_and_without_padding() {
    for api_key in ["k~~\u{fc}?", "k2:\u{ff}>>"] {
        let credentials = format!("s?>:{api_key}");
        let forms = [
            STANDARD.encode(&credentials),
            STANDARD_NO_PAD.encode(&credentials),
            URL_SAFE.encode(&credentials),
            URL_SAFE_NO_PAD.encode(&credentials),
        ];
        assert_ne!(forms[0], forms[2]);
        for form in forms {
            let value = format!("basic {form}");
            let headers = [("authorization", value.as_str())];
            let decision =
                call(&environments(), &Unmetered, &Method::PUT, "/api/v1/customers/5", None, &headers, b"{}");
            assert_eq!(accepted(decision).reply.status, 200, "{form}");
        }
    }
}

#[test]
fn cio_c22_credentials_belong_to_one_environment() {
    for (api_key, id) in [("k~~\u{fc}?", "acme"), ("k2:\u{ff}>>", "acme-staging")] {
        let value = basic(&format!("s?>:{api_key}"));
        let headers = [("authorization", value.as_str())];
        let decision =
            call(&environments(), &Unmetered, &Method::PUT, "/api/v1/customers/5", None, &headers, b"{}");
        let accepted = accepted(decision);
        assert_eq!(accepted.workspace.as_str(), id);
        let workspaces = environments();
        let workspace = workspaces.get(id).unwrap();
        let event = items_of(workspace, &accepted, b"{}").unwrap().remove(0).unwrap();
        assert_eq!((event.workspace.as_str(), &event.environment), (id, &workspace.environment));
    }
}

#[test]
fn cio_c03_a_blank_name_is_told_in_both_forms() {
    for body in [json!({}), json!({"name": ""}), json!({"name": "  "}), json!({"name": null})] {
        for path in [TRACK, "/api/v1/events"] {
            let refused = refused(sent(path, body.clone()));
            assert_eq!(refused.reply.status, 400);
            assert_eq!(
                refused.reply.body,
                r#"{"meta":{"error":"name cannot be blank","errors":["name cannot be blank"]}}"#
            );
            assert_eq!((refused.reason, refused.letter), (Reason::MissingField, None));
        }
    }
    let entity = json!({"type": "person", "action": "event", "identifiers": {"id": 5}});
    assert_eq!(
        refused(sent("/api/v2/entity", entity)).reply.body,
        r#"{"errors":[{"reason":"required","field":"name","message":"name cannot be blank"}]}"#
    );
}

#[test]
fn cio_c04_every_call_of_the_real_clients_is_routed_and_answered_as_they_expect() {
    let mut clients = std::collections::BTreeMap::<String, usize>::new();
    for line in CALLS.lines() {
        let sent: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| sent[name].as_str().unwrap_or_default();
        let method: Method = text("method").parse().unwrap();
        let headers = [("authorization", text("authorization")), ("content-type", "application/json")];
        let (query, body) = (sent["query"].as_str(), text("body").as_bytes());
        let decision = call(&workspaces(), &Unmetered, &method, text("path"), query, &headers, body);
        let reply = match &decision {
            Decision::Accept(accepted) => {
                let items = items(accepted, body).unwrap();
                assert!(items.iter().all(Result::is_ok), "{line} {items:?}");
                &accepted.reply
            }
            Decision::Answer(reply) => reply,
            Decision::Refuse(refused) => &refused.reply,
        };
        assert_eq!(u64::from(reply.status), sent["status"].as_u64().unwrap(), "{line} {}", reply.body);
        let expected = match reply.status {
            204 => "",
            _ if text("path").ends_with("/region") => continue,
            _ => "{}\n",
        };
        assert_eq!(reply.body, expected, "{line}");
        *clients.entry(text("client").to_owned()).or_default() += 1;
    }
    let count: Vec<_> = clients.values().copied().collect();
    assert_eq!(count, [38, 16, 13, 13], "{clients:?}");
}

#[test]
fn the_region_is_told_and_leaves_nothing() {
    let authorization = basic("dev-site:dev-track-key");
    let headers = [("authorization", authorization.as_str()), ("host", "track.example.com")];
    let decision =
        call(&workspaces(), &Unmetered, &Method::GET, "/api/v1/accounts/region", None, &headers, b"");
    let Decision::Answer(reply) = decision else { panic!("{decision:?}") };
    let expected = r#"{"url":"track.example.com","region":"us","environment_id":"demo"}"#;
    assert_eq!((reply.status, reply.body.as_str()), (200, expected));
}

#[test]
fn a_path_allows_its_methods_alone() {
    for (path, allow) in [
        ("/api/v1/customers/5", "PUT, DELETE"),
        (TRACK, "POST"),
        ("/api/v1/customers/5/devices", "PUT"),
        ("/api/v1/customers/5/devices/t", "DELETE"),
        ("/api/v1/accounts/region", "GET"),
        ("/api/v2/batch", "POST"),
        ("/unsubscribe/d1", "POST"),
    ] {
        let reply = sources::route(&Method::PATCH, path).unwrap_err();
        assert_eq!((reply.status, reply.allow), (405, Some(allow)), "{path}");
        let route = sources::route(&allow.split(", ").next().unwrap().parse().unwrap(), path).unwrap();
        assert_eq!((route.source, route.body_limit), (Source::Customerio, 1024 * 1024));
    }
    assert_eq!(sources::route(&Method::POST, "/api/v1/customers/5/nothing").unwrap_err().status, 404);
}

#[test]
fn limits_are_told_for_the_call() {
    let put = |body: Value| send(&Method::PUT, "/api/v1/customers/5", body.to_string().as_bytes());
    let many = |count: usize| {
        json!((0..count).map(|n| (format!("a{n}"), json!(n))).collect::<serde_json::Map<_, _>>())
    };
    for (fine, beyond, expected) in [
        (json!({"v": text(1_000)}), json!({"v": text(1_001)}), "v cannot be larger than 1000 bytes"),
        (json!({text(150): 1}), json!({text(151): 1}), "attribute name cannot be larger than 150 bytes"),
        (many(300), many(301), "there cannot be more than 300 attributes"),
        (
            json!({"anonymous_id": text(150)}),
            json!({"anonymous_id": text(151)}),
            "anonymous_id cannot be larger than 150 bytes",
        ),
        (json!({"_timestamp": 1}), json!({"_timestamp": "soon"}), "_timestamp must be a unix timestamp"),
    ] {
        assert_eq!(accepted(put(fine)).reply.status, 200);
        assert_eq!(message(put(beyond)), expected);
    }
    for (fine, beyond, expected) in [
        (json!({"name": text(100)}), json!({"name": text(101)}), "name cannot be larger than 100 bytes"),
        (
            json!({"name": "x", "data": {"v": text(100_000 - 8)}}),
            json!({"name": "x", "data": {"v": text(100_001 - 8)}}),
            "data cannot be larger than 100000 bytes",
        ),
        (json!({"name": "x", "data": null}), json!({"name": "x", "data": [1]}), "data must be an object"),
        (json!({"name": "x", "type": "event"}), json!({"name": 5}), "name must be a string"),
    ] {
        assert_eq!(accepted(sent(TRACK, fine)).reply.status, 200);
        assert_eq!(message(sent(TRACK, beyond)), expected);
    }
    for (method, verb) in
        [(Method::PUT, ""), (Method::DELETE, ""), (Method::POST, "/suppress"), (Method::POST, "/unsuppress")]
    {
        let path = |length: usize| format!("/api/v1/customers/{}%2F{verb}", text(length - 1));
        assert_eq!(accepted(send(&method, &path(150), b"")).reply.status, 200);
        assert_eq!(message(send(&method, &path(151), b"")), "identifier cannot be larger than 150 bytes");
    }
    assert_eq!(message(send(&Method::DELETE, "/api/v1/customers/%20", b"")), "identifier cannot be blank");
    assert_eq!(
        message(send(&Method::DELETE, "/api/v1/customers/%ff", b"")),
        "identifier must be text in UTF-8"
    );
}

#[test]
fn a_time_is_whole_unix_seconds_or_iso_8601_with_an_offset() {
    for fine in [
        json!(1_700_000_000),
        json!(0),
        json!(null),
        json!("2023-11-14T22:13:20Z"),
        json!("2023-11-14T23:13:20+01:00"),
    ] {
        assert_eq!(
            accepted(sent(TRACK, json!({"name": "x", "timestamp": fine}))).reply.status,
            200,
            "{fine}"
        );
    }
    for bad in [
        json!("2023-11-14T22:13:20"),
        json!("1700000000"),
        json!("now"),
        json!(1.5),
        json!(-1),
        json!(true),
        json!([1]),
        json!(1e300),
    ] {
        let decision = sent(TRACK, json!({"name": "x", "timestamp": bad}));
        assert_eq!(message(decision), "timestamp must be a unix timestamp", "{bad}");
    }
}

#[test]
fn what_is_no_json_object_is_400_in_the_shape_of_its_version() {
    for body in [&b"not json"[..], b"[]", b"1", b"{\"name\":\"x\"", b"{\"name\":\"\xff\"}", b"{\"name\":NaN}"]
    {
        for (method, path) in [
            (Method::PUT, "/api/v1/customers/5"),
            (Method::PUT, "/api/v1/customers/5/devices"),
            (Method::POST, TRACK),
            (Method::POST, "/api/v1/merge_customers"),
            (Method::POST, "/api/v1/segments/3/add_customers"),
            (Method::POST, "/unsubscribe/d1"),
        ] {
            assert_eq!(message(send(&method, path, body)), "the body must be a JSON object", "{path}");
        }
        for path in ["/api/v2/entity", "/api/v2/batch"] {
            assert_eq!(fault(send(&Method::POST, path, body)), ("parse_error".into(), "body".into()));
        }
    }
}

#[test]
fn a_merge_and_a_device_name_what_they_are_about() {
    let merge = |body: Value| message(sent("/api/v1/merge_customers", body));
    assert_eq!(merge(json!({})), "primary cannot be blank");
    assert_eq!(merge(json!({"primary": {"id": 1}})), "secondary cannot be blank");
    let needs = "secondary must have an id, email, phone or cio_id";
    assert_eq!(merge(json!({"primary": {"id": 1}, "secondary": {"email": "nobody"}})), needs);
    let long = json!({"primary": {"id": text(151)}, "secondary": {"id": 1}});
    assert_eq!(merge(long), "primary cannot be larger than 150 bytes");
    let device =
        |body: Value| message(send(&Method::PUT, "/api/v1/customers/5/devices", body.to_string().as_bytes()));
    assert_eq!(device(json!({})), "device cannot be blank");
    assert_eq!(device(json!({"device": {"platform": "ios"}})), "device.id cannot be blank");
    assert_eq!(device(json!({"device": {"id": "t"}})), "device.platform cannot be blank");
}

#[test]
fn an_operation_of_version_2_names_its_type_action_and_identifiers() {
    let entity = |body: Value| fault(sent("/api/v2/entity", body));
    let pair = |reason: &str, field: &str| (reason.to_owned(), field.to_owned());
    assert_eq!(entity(json!({})), pair("required", "type"));
    assert_eq!(entity(json!({"type": "person"})), pair("required", "action"));
    assert_eq!(entity(json!({"type": "shop", "action": "identify"})), pair("invalid", "type"));
    assert_eq!(entity(json!({"type": "person", "action": "identify"})), pair("required", "identifiers"));
    assert_eq!(
        entity(json!({"type": "person", "action": "identify", "identifiers": {"x": 1}})),
        pair("required", "identifiers")
    );
    let person = |action: &str, more: Value| {
        with(json!({"type": "person", "action": action, "identifiers": {"id": 5}}), more)
    };
    assert_eq!(entity(person("jump", json!({}))), pair("invalid", "action"));
    assert_eq!(entity(person("identify", json!({"attributes": [1]}))), pair("invalid", "attributes"));
    assert_eq!(entity(person("event", json!({"name": "x", "attributes": 1}))), pair("invalid", "attributes"));
    assert_eq!(entity(person("event", json!({"name": "x", "timestamp": "t"}))), pair("invalid", "timestamp"));
    assert_eq!(entity(person("add_device", json!({}))), pair("required", "device"));
    assert_eq!(entity(person("merge", json!({}))), pair("required", "primary"));
    assert_eq!(entity(json!({"type": "object", "action": "merge"})), pair("invalid", "action"));
    let large = person("event", json!({"name": "x", "attributes": {"v": text(32_000)}}));
    assert_eq!(entity(large), pair("too_large", "entity"));
    assert_eq!(fault(sent("/api/v2/batch", json!({"batch": {}}))), pair("required", "batch"));
    assert_eq!(fault(sent("/api/v2/batch", json!({}))), pair("required", "batch"));
}

#[test]
fn over_the_rate_it_is_429_with_retry_after() {
    let limited = |requests_per_second| {
        let mut config = WorkspaceConfig::development();
        config.plan.requests_per_second = requests_per_second;
        Workspaces::from_configs([config]).unwrap()
    };
    for (limit, asked) in [(None, 1_000), (Some(7), 7)] {
        let meter = Full(0.into());
        let authorization = basic("dev-site:dev-track-key");
        let headers = [("authorization", authorization.as_str())];
        let decision =
            call(&limited(limit), &meter, &Method::POST, TRACK, None, &headers, br#"{"name":"x"}"#);
        let refused = refused(decision);
        assert_eq!((refused.reply.status, refused.reply.retry_after), (429, Some(2)));
        assert_eq!(
            refused.reply.body,
            r#"{"meta":{"error":"too many requests","errors":["too many requests"]}}"#
        );
        assert_eq!(meter.0.into_inner(), asked);
    }
}

#[test]
fn an_id_of_the_senders_is_the_mark_of_the_delivery() {
    let mark = |body: Value| accepted(sent(TRACK, body)).delivery;
    let first = mark(json!({"name": "x", "id": "01HB4HBDKTFWYZCK01DMRSWRFD"}));
    assert_eq!(first, mark(json!({"name": "y", "id": "01HB4HBDKTFWYZCK01DMRSWRFD"})));
    assert_ne!(first, mark(json!({"name": "x", "id": "01HB4HBDKTFWYZCK01DMRSWRFE"})));
    assert_ne!(mark(json!({"name": "x"})), mark(json!({"name": "y"})));
}
#[test]
fn beyond_the_greatest_body_it_is_400_too_and_an_outage_is_503() {
    let reply = sources::too_large(Source::Customerio, "c-1");
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body, r#"{"meta":{"error":"payload too large","errors":["payload too large"]}}"#);
    let reply = sources::unavailable(Source::Customerio, "c-1");
    assert_eq!((reply.status, reply.retry_after.is_some()), (503, true));
    assert_eq!(reply.body, r#"{"meta":{"error":"unavailable","errors":["unavailable"]}}"#);
}

/// Lets nobody through, and remembers the limit that it was asked about.
pub(crate) struct Full(pub(crate) std::sync::atomic::AtomicU32);

impl Meter for Full {
    fn pace(&self, _: Mark, per_second: u32) -> Result<(), u32> {
        self.0.store(per_second, std::sync::atomic::Ordering::Relaxed);
        Err(2)
    }
    fn take(&self, _: &WorkspaceId, events: u64, _: u64, _: ReceivedTime) -> u64 {
        events
    }
    fn velocity(&self, _: &WorkspaceId, _: Mark, _: u32, _: u32) -> Velocity {
        Velocity::default()
    }
}
