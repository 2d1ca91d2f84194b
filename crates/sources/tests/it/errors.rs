//! The contracts' tables of errors, line by line, each with its status and whole body: what a sender is told of a
//! request, and whether what it sent is kept as a dead letter.

use commerce::Source;
use http::Method;
use sources::meter::Unmetered;
use sources::{Decision, Meter, Reply, WorkspaceConfig, Workspaces, too_large, unavailable};

use crate::customerio_door::Full;
use crate::fixture::*;

type Header = (&'static str, &'static str);

const TRACKER: Header = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");
const PUSHES: Header = ("authorization", "Bearer dev-orders-key");
const ROWS: Header = ("authorization", "Bearer dev-records-key");
const SECRET_KEY: Header = ("x-api-key", "sk_dev_demo");
const PUBLISHABLE: Header = ("x-api-key", "pk_dev_demo");
const NO_CREDENTIAL: Header = ("accept", "*/*");

/// What is sent, and what is to come of it.
struct Line {
    method: Method,
    target: String,
    headers: Vec<Header>,
    body: Vec<u8>,
    status: u16,
    answer: String,
    is_kept: bool,
}

fn line(header: Header, target: &str, body: &str, status: u16, answer: &str) -> Line {
    Line {
        method: Method::POST,
        target: target.to_owned(),
        headers: vec![header],
        body: body.as_bytes().to_vec(),
        status,
        answer: answer.to_owned(),
        is_kept: false,
    }
}

impl Line {
    fn by(self, method: Method) -> Self {
        Self { method, ..self }
    }

    fn with(mut self, header: Header) -> Self {
        self.headers.push(header);
        self
    }

    fn kept(self) -> Self {
        Self { is_kept: true, ..self }
    }

    fn ask(&self, workspaces: &Workspaces, meter: &dyn Meter) -> Decision {
        let (path, query) = self.target.split_once('?').map_or((&*self.target, None), |(p, q)| (p, Some(q)));
        call(workspaces, meter, &self.method, path, query, &self.headers, &self.body)
    }
}

fn reply_of(decision: Decision) -> (Reply, bool) {
    match decision {
        Decision::Refuse(refused) => (refused.reply, refused.letter.is_some()),
        Decision::Accept(accepted) => (accepted.reply, false),
        Decision::Answer(reply) => (reply, false),
    }
}

/// Asks every line; what is answered otherwise is listed as a whole.
fn check(lines: Vec<Line>) {
    check_with(lines, &workspaces(), &Unmetered);
}

fn check_with(lines: Vec<Line>, workspaces: &Workspaces, meter: &dyn Meter) {
    let mut others = Vec::new();
    for line in lines {
        let (reply, is_kept) = reply_of(line.ask(workspaces, meter));
        if (reply.status, &reply.body, is_kept) != (line.status, &line.answer, line.is_kept) {
            let sent = String::from_utf8_lossy(&line.body[..line.body.len().min(200)]).into_owned();
            others.push(format!(
                "{} {} {sent}\n  {} {} kept: {is_kept}\n  expected {} {}",
                line.method, line.target, reply.status, reply.body, line.status, line.answer
            ));
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
}

/// What is too large, and what can't be committed now (R8.8: with whole seconds to wait).
fn check_shape(source: Source, large: (u16, &str), later: &str) {
    let (found, waits) = (too_large(source, "c-1"), unavailable(source, "c-1"));
    assert_eq!((found.status, found.body.as_str()), large);
    assert_eq!((waits.status, waits.body.as_str(), waits.retry_after), (503, later, Some(5)));
}

/// The development workspace with a rate.
fn limited() -> Workspaces {
    let plan = sources::workspace::Plan { requests_per_second: Some(1), ..Default::default() };
    Workspaces::from_configs([WorkspaceConfig { plan, ..WorkspaceConfig::development() }]).unwrap()
}

#[test]
fn shopify_3_signature_body_size_and_outage() {
    let unsigned = r#"{"error":"invalid signature"}"#;
    check(vec![
        line(NO_CREDENTIAL, CREATE, "{}", 401, unsigned),
        line(("x-shopify-hmac-sha256", "AAAA"), CREATE, "{}", 401, unsigned),
        line(("x-shopify-hmac-sha256", "no base64 at all"), CREATE, "{}", 401, unsigned),
    ]);
    // A retry would bring the same bytes: 200, and a dead letter when it is read.
    for body in [&b"not json"[..], b"[]", b"\xff", b""] {
        let taken = accepted(shopify(CREATE, &[], body));
        assert_eq!((taken.reply.status, taken.reply.body.as_str()), (200, r#"{"ok":true}"#));
        assert_eq!(items(&taken, body).unwrap_err().reason.code(), "malformed_json");
    }
    let taken = accepted(shopify("/webhooks/shopify/shops/moved", &[], b"{}"));
    assert_eq!((taken.reply.status, taken.reply.body.as_str()), (200, r#"{"ok":true}"#));
    assert_eq!(items(&taken, b"{}").unwrap_err().reason.code(), "unsupported_event");
    check_shape(Source::Shopify, (413, r#"{"error":"payload too large"}"#), r#"{"error":"unavailable"}"#);
}

#[test]
fn stripe_3_signature_payload_size_and_outage() {
    let (unsigned, invalid) = (r#"{"error":"invalid signature"}"#, r#"{"error":"invalid payload"}"#);
    let path = "/webhooks/stripe/payment";
    let signature = |header: &'static str| line(("stripe-signature", header), path, "{}", 400, unsigned);
    check(vec![
        line(NO_CREDENTIAL, path, "{}", 400, unsigned),
        signature("v1=00"),
        signature("t=1773504000"),
        signature("t=1773504000,v1=00"),
        signature("t=1,v1=00"),
    ]);
    let t = received(NOW).0 / commerce::time::SECOND;
    for body in [
        "not json",
        "[]",
        "{}",
        r#"{"id":"evt_1"}"#,
        r#"{"type":"x"}"#,
        r#"{"id":"evt_1","type":"x","object":"v2.core.event"}"#,
    ] {
        let signed = hex::encode(sign("whsec_dev", format!("{t}.{body}").as_bytes()));
        let header = format!("t={t},v1={signed}");
        let (reply, is_kept) =
            reply_of(post(&workspaces(), path, None, &[("stripe-signature", &header)], body.as_bytes()));
        assert_eq!((reply.status, reply.body.as_str(), is_kept), (400, invalid, true), "{body}");
    }
    check_shape(Source::Stripe, (413, r#"{"error":"payload too large"}"#), r#"{"error":"unavailable"}"#);
}

#[test]
fn lifesight_2_and_3_key_workspace_event_body_fields_size_and_outage() {
    let (key, other) = (
        r#"{"success":false,"error":"invalid key"}"#,
        r#"{"success":false,"error":"key does not belong to workspace"}"#,
    );
    let event = r#"{"success":false,"errors":[{"field":"event_name","message":"unknown event_name"}]}"#;
    let body = r#"{"success":false,"errors":[{"field":"body","message":"must be a JSON object"}]}"#;
    let at = |query: &str| format!("/transform-webhook-data?{query}");
    let create = at("key=dev-backend-key&workspace=demo&source=shop&event_name=orders_create");
    let fields = concat!(
        r#"{"success":false,"errors":[{"field":"total_price","message":"is required"},"#,
        r#"{"field":"line_items[0].quantity","message":"is required"}]}"#
    );
    let order = r#"{"id":1,"created_at":"2026-03-14T09:00:00Z","currency":"USD","email":"a@b.c","line_items":[{"price":"1"}]}"#;
    let ask =
        |query: &str, body: &str, status, answer: &str| line(NO_CREDENTIAL, &at(query), body, status, answer);
    check(vec![
        ask("workspace=demo&source=shop&event_name=orders_create", "{}", 401, key),
        ask("key=&workspace=demo&event_name=orders_create", "{}", 401, key),
        ask("key=nobodys&workspace=demo&event_name=orders_create", "{}", 401, key),
        ask("key=other-key&workspace=demo&event_name=orders_create", "{}", 403, other),
        ask("key=dev-backend-key&workspace=demo", "{}", 400, event),
        ask("key=dev-backend-key&workspace=demo&event_name=orders_deleted", "{}", 400, event),
        line(NO_CREDENTIAL, &create, "not json", 400, body).kept(),
        line(NO_CREDENTIAL, &create, "[]", 400, body).kept(),
        line(NO_CREDENTIAL, &create, order, 400, fields).kept(),
    ]);
    check_shape(
        Source::Lifesight,
        (413, r#"{"success":false,"error":"payload too large"}"#),
        r#"{"success":false,"error":"unavailable"}"#,
    );
}

#[test]
fn sequenzy_2_and_3_key_fields_rate_size_and_outage() {
    let key = r#"{"success":false,"error":"unauthorized","message":"Invalid or missing API key"}"#;
    let told = |faults: &[(&str, &str)]| {
        let details: Vec<_> = faults
            .iter()
            .map(|(field, message)| format!(r#"{{"field":"{field}","message":"{message}"}}"#))
            .collect();
        let (field, message) = faults[0];
        format!(
            r#"{{"success":false,"error":"validation_error","message":"{field} {message}","details":[{}]}}"#,
            details.join(",")
        )
    };
    let (orders, checkouts) = ("/api/v1/orders", "/api/v1/checkouts");
    let push = |fields: &str| {
        format!(
            r#"{{"orderId":"1","totalCents":1,"currency":"USD","customer":{{"email":"a@b.c"}},{fields}}}"#
        )
    };
    let required = ["orderId", "totalCents", "currency", "customer"].map(|field| (field, "is required"));
    let bad = |fields: &str, field: &str, message: &str| {
        line(PUSHES, orders, &push(fields), 400, &told(&[(field, message)]))
    };
    check(vec![
        line(NO_CREDENTIAL, orders, "{}", 401, key),
        line(("authorization", "Bearer nobodys"), orders, "{}", 401, key),
        line(("x-api-key", "dev-orders-key"), orders, "{}", 401, key),
        line(NO_CREDENTIAL, checkouts, "{}", 401, key),
        line(PUSHES, orders, "not json", 400, &told(&[("body", "must be a JSON object")])),
        line(PUSHES, checkouts, "[]", 400, &told(&[("body", "must be a JSON object")])),
        line(PUSHES, orders, "{}", 400, &told(&required)),
        line(
            PUSHES,
            checkouts,
            "{}",
            400,
            &told(&[("checkoutId", "is required"), ("customer", "is required")]),
        ),
        bad(r#""totalCents":10.5"#, "totalCents", "must be an integer"),
        bad(r#""totalCents":"1000""#, "totalCents", "must be an integer"),
        bad(r#""totalCents":-1"#, "totalCents", "must not be negative"),
        bad(r#""currency":"XQQ""#, "currency", "must be an ISO 4217 currency code"),
        bad(r#""status":"shipped""#, "status", "must be one of placed, cancelled, fulfilled, refunded"),
        bad(r#""orderedAt":"soon""#, "orderedAt", "must be an ISO 8601 time"),
        bad(r#""customer":{}"#, "customer.email", "is required"),
        bad(r#""items":[{"productId":"p","quantity":1}]"#, "items[0].title", "is required"),
    ]);
    let rate = r#"{"success":false,"error":"rate_limited","message":"Too many requests"}"#;
    check_with(
        vec![line(PUSHES, orders, &push(r#""status":"placed""#), 429, rate)],
        &limited(),
        &Full(0.into()),
    );
    check_shape(
        Source::Sequenzy,
        (413, r#"{"success":false,"error":"payload_too_large","message":"payload too large"}"#),
        r#"{"success":false,"error":"unavailable","message":"unavailable"}"#,
    );
}

#[test]
fn customerio_2_and_3_credentials_limits_both_versions_and_batches() {
    let denied = r#"{"meta":{"error":"Unauthorized request","errors":["Unauthorized request"]}}"#;
    let first = |message: &str| format!(r#"{{"meta":{{"error":"{message}","errors":["{message}"]}}}}"#);
    let second = |reason: &str, field: &str, message: &str| {
        format!(r#"{{"errors":[{{"reason":"{reason}","field":"{field}","message":"{message}"}}]}}"#)
    };
    let (person, events) = ("/api/v1/customers/5", "/api/v1/customers/5/events");
    let (entity, batch) = ("/api/v2/entity", "/api/v2/batch");
    let post = |path: &str, body: &str, answer: &str| line(TRACKER, path, body, 400, answer);
    let put = |path: &str, body: &str, answer: &str| line(TRACKER, path, body, 400, answer).by(Method::PUT);
    let x = |bytes: usize| "x".repeat(bytes);
    let many: Vec<_> = (0..301).map(|n| format!(r#""a{n}":1"#)).collect();
    let event =
        |more: &str| format!(r#"{{"type":"person","action":"event","identifiers":{{"id":5}}{more}}}"#);
    let mut lines: Vec<Line> = [
        (Method::PUT, person),
        (Method::POST, events),
        (Method::POST, "/api/v1/events"),
        (Method::POST, "/api/v1/merge_customers"),
        (Method::DELETE, person),
        (Method::POST, "/api/v1/customers/5/suppress"),
        (Method::POST, "/api/v1/customers/5/unsuppress"),
        (Method::PUT, "/api/v1/customers/5/devices"),
        (Method::DELETE, "/api/v1/customers/5/devices/d"),
        (Method::GET, "/api/v1/accounts/region"),
        (Method::POST, entity),
        (Method::POST, batch),
        (Method::POST, "/api/v1/segments/3/add_customers"),
        (Method::POST, "/api/v1/forms/f/submit"),
        (Method::POST, "/api/v1/metrics"),
        (Method::POST, "/api/v1/push/events"),
    ]
    .into_iter()
    .flat_map(|(method, path)| {
        [NO_CREDENTIAL, ("authorization", "Basic d3Jvbmc6d3Jvbmc=")]
            .map(|header| line(header, path, "{}", 401, denied).by(method.clone()))
    })
    .collect();
    lines.extend([
        post(events, r#"{"name":" "}"#, &first("name cannot be blank")),
        post(events, "{}", &first("name cannot be blank")),
        post(events, "not json", &first("the body must be a JSON object")),
        post(events, r#"{"name":"x","timestamp":"2026-03-14"}"#, &first("timestamp must be a unix timestamp")),
        post("/api/v1/merge_customers", "{}", &first("primary cannot be blank")),
        put("/api/v1/customers/5/devices", "{}", &first("device cannot be blank")),
        put(&format!("/api/v1/customers/{}", x(151)), "{}", &first("identifier cannot be larger than 150 bytes")),
        put(person, &format!(r#"{{"{}":1}}"#, x(151)), &first("attribute name cannot be larger than 150 bytes")),
        put(person, &format!(r#"{{"v":"{}"}}"#, x(1_001)), &first("v cannot be larger than 1000 bytes")),
        put(person, &format!("{{{}}}", many.join(",")), &first("there cannot be more than 300 attributes")),
        post(events, &format!(r#"{{"name":"{}"}}"#, x(101)), &first("name cannot be larger than 100 bytes")),
        post(
            events,
            &format!(r#"{{"name":"x","data":{{"v":"{}"}}}}"#, x(100_001)),
            &first("data cannot be larger than 100000 bytes"),
        ),
        post(entity, &event(""), &second("required", "name", "name cannot be blank")),
        post(entity, "not json", &second("parse_error", "body", "the body must be a JSON object")),
        post(
            entity,
            &event(&format!(r#","name":"x","attributes":{{"v":"{}"}}"#, x(32_000))),
            &second("too_large", "entity", "entity cannot be larger than 32 kB"),
        ),
        post(batch, "{}", &second("required", "batch", "batch must be an array")),
        post(batch, r#"{"batch":{}}"#, &second("required", "batch", "batch must be an array")),
        post(batch, "[]", &second("parse_error", "body", "the body must be a JSON object")),
        post(
            batch,
            &format!(r#"{{"batch":[],"x":"{}"}}"#, x(500_000)),
            &second("too_large", "batch", "batch cannot be larger than 500 kB"),
        ),
        line(
            TRACKER,
            batch,
            &format!(r#"{{"batch":[{},{}]}}"#, event(r#","name":"x""#), event("")),
            207,
            r#"{"errors":[{"batch_index":1,"reason":"required","field":"name","message":"name cannot be blank"}]}"#,
        ),
        line(
            TRACKER,
            batch,
            &format!(r#"{{"batch":[{}]}}"#, event("")),
            207,
            r#"{"errors":[{"batch_index":0,"reason":"required","field":"name","message":"name cannot be blank"}]}"#,
        ),
    ]);
    check(lines);
    let rate = vec![line(TRACKER, events, r#"{"name":"x"}"#, 429, &first("too many requests"))];
    check_with(rate, &workspaces(), &Full(0.into()));
    check_shape(Source::Customerio, (400, &first("payload too large")), &first("unavailable"));
}

#[test]
fn analytics_2_and_3_keys_faults_batches_size_and_outage() {
    let error = |message: &str| format!(r#"{{"error":"{message}"}}"#);
    let (track, batch) = ("/v1/api/analytics/ecommerce/track", "/v1/api/analytics/ecommerce/batch");
    let user = "/v1/api/analytics/user/5";
    let (unknown, secret) = (error("Invalid API key"), error("Secret key required"));
    let mut lines = vec![
        line(PUBLISHABLE, user, "", 403, &secret).by(Method::DELETE),
        line(NO_CREDENTIAL, user, "", 401, &unknown).by(Method::DELETE),
    ];
    for path in [track, batch] {
        lines.push(line(NO_CREDENTIAL, path, "{}", 401, &unknown));
        lines.push(line(("x-api-key", "nobodys"), path, "{}", 401, &unknown));
        lines.push(line(NO_CREDENTIAL, path, r#"{"apiKey":"nobodys"}"#, 401, &unknown));
        lines.push(line(SECRET_KEY, path, "not json", 400, &error("Invalid JSON")));
    }
    let many = format!(r#"{{"events":[{}]}}"#, vec!["{}"; 101].join(","));
    lines.push(line(SECRET_KEY, batch, &many, 400, &error("Maximum 100 events per batch")));
    let none = error("events array is required and must not be empty");
    lines.push(line(SECRET_KEY, batch, r#"{"events":[]}"#, 400, &none));
    lines.push(line(SECRET_KEY, batch, "{}", 400, &none));
    let of = |kind: &str, more: &str| format!(r#"{{"event_type":"{kind}"{more}}}"#);
    let mut faults = vec![
        ("{}".to_owned(), "event_type is required".to_owned()),
        (of("add_shipping_info", ""), "Invalid ecommerce event_type".to_owned()),
    ];
    for kind in ["purchase", "refund"] {
        // The first fault in the order of the table is told, here of three.
        let unnamed = of(kind, r#","items":[{}]"#);
        faults.push((unnamed, format!("transaction_id is required for {kind} events")));
    }
    for kind in ["purchase", "refund", "spend_credits"] {
        let unpaid = of(kind, r#","transaction_id":"t","items":[{}]"#);
        faults.push((unpaid, format!("revenue is required for {kind} events")));
    }
    for kind in ["view_item", "add_to_cart", "remove_from_cart", "add_to_wishlist"] {
        faults.push((of(kind, ""), format!("items is required for {kind} events")));
        let unnamed = of(kind, r#","items":[{"item_id":"a"},{}]"#);
        faults.push((unnamed, "items[1].item_id is required".to_owned()));
    }
    for (event, message) in faults {
        lines.push(line(PUBLISHABLE, track, &event, 400, &error(&message)));
        let answer = format!(r#"{{"ok":true,"accepted":1,"errors":["events[1]: {message}"]}}"#);
        let two = format!(r#"{{"events":[{{"event_type":"search"}},{event}]}}"#);
        lines.push(line(PUBLISHABLE, batch, &two, 200, &answer));
    }
    check(lines);
    check_shape(Source::Analytics, (413, &error("payload too large")), &error("unavailable"));
}

#[test]
fn records_3_2_tokens_bodies_values_keys_rate_size_and_outage() {
    const MEND: &str = "Mend the request; the same bytes get the same answer.";
    const AGAIN: &str = "Send the same request with the same Idempotency-Key again after Retry-After.";
    let error = |code: &str, message: &str, details: &str, remediation: &str| {
        format!(
            r#"{{"success":false,"correlationId":"c-1","error":{{"code":"CDP_ETL.{code}","message":"{message}",{details}"remediation":"{remediation}"}}}}"#
        )
    };
    let invalid = |message: &str, details: &str| {
        error("VALIDATION.REQUEST_INVALID", message, &format!(r#""details":{{{details}}},"#), MEND)
    };
    let (append, upsert) = ("/public/v1/records/orders/append", "/public/v1/records/profiles/upsert");
    let batch = "/public/v1/records/orders/append-batch";
    let row = |more: &str| format!(r#"{{"record":{{"order_id":"1","total":1{more}}}}}"#);
    let bad = |path: &str, body: &str, message: &str, details: &str| {
        line(ROWS, path, body, 400, &invalid(message, details))
    };
    let many = format!(r#"{{"records":[{}]}}"#, vec!["1"; 10_001].join(","));
    let long: &'static str = "k".repeat(256).leak();
    check(vec![
        line(
            NO_CREDENTIAL,
            append,
            "{}",
            401,
            &error(
                "AUTH.UNAUTHORIZED",
                "the token is missing or unknown",
                r#""details":{"path":"headers.authorization"},"#,
                "Send Authorization: Bearer and a token of the workspace.",
            ),
        ),
        line(
            ROWS,
            "/public/v1/records/nothing/append",
            "{}",
            404,
            &error(
                "NOT_FOUND",
                "there is no such object",
                r#""details":{"path":"object"},"#,
                "Use an object of the workspace, or add it to records.objects.",
            ),
        ),
        bad(
            append,
            "not json",
            "the body is not a JSON object: expected ident at line 1 column 2",
            r#""path":"body""#,
        ),
        bad(append, "{}", "it is not an object with a field", r#""path":"record""#),
        bad(append, r#"{"record":[]}"#, "it is not an object with a field", r#""path":"record""#),
        bad(append, r#"{"record":{}}"#, "it is not an object with a field", r#""path":"record""#),
        bad(upsert, r#"{"record":{"tier":"x"}}"#, "the record has no email", r#""path":"matchKey""#),
        bad(
            upsert,
            r#"{"record":{"email":"a@b.c"},"matchKey":"phone"}"#,
            "the record has no phone",
            r#""path":"matchKey""#,
        ),
        bad(
            append,
            &row(r#","refund_total":"abc""#),
            "'abc' is not a decimal amount",
            r#""path":"record.refund_total","value":"abc""#,
        ),
        bad(
            append,
            &row(r#","placed_at":"2026-03-14T09:00:00""#),
            "the time has no offset",
            r#""path":"record.placed_at","value":"2026-03-14T09:00:00""#,
        ),
        bad(
            append,
            &row(""),
            "it must be 1 to 255 visible ASCII characters",
            r#""path":"headers.idempotency-key""#,
        )
        .with(("idempotency-key", long)),
        bad(batch, r#"{"records":[]}"#, "the list is empty", r#""path":"records""#),
        bad(batch, &many, "more than 10,000 records", r#""path":"records""#),
        bad(
            "/public/v1/records/profiles/append",
            &row(""),
            "records of this object are upserted",
            r#""path":"operation""#,
        ),
        bad(
            "/public/v1/records/orders/upsert",
            &row(""),
            "records of this object are appended",
            r#""path":"operation""#,
        ),
    ]);
    let rate = error("RATE.LIMITED", "too many requests", "", AGAIN);
    check_with(vec![line(ROWS, append, &row(""), 429, &rate)], &limited(), &Full(0.into()));
    check_shape(
        Source::Records,
        (413, &invalid("payload too large", r#""path":"body""#)),
        &error("INTERNAL.UNAVAILABLE", "unavailable", "", AGAIN),
    );
}
