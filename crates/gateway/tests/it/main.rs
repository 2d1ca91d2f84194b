//! The gateway against a real Kafka and a real registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says where"
)]

mod documented;
mod ended;
mod keys;
mod lanes;
mod outage;
mod reload;
mod reports;
mod rig;

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::StatusCode;
use rig::{Rig, sign};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use topics::Topic;

const ORDER: &[u8] = br#"{"id":5766207635539,  "total_price":"30.49", "note":"\u00e4 \t"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_is_stored_byte_for_byte_and_then_answered() {
    let rig = Rig::start("signed").await;
    let answer = rig
        .shopify(ORDER)
        .header("X-Shopify-Webhook-Id", "w-1")
        .header("authorization", "Bearer never-stored")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["x-correlation-id"].len(), 32);
    assert_eq!(answer.headers()["content-type"], "application/json; charset=utf-8");
    assert_eq!(answer.text().await.unwrap(), r#"{"ok":true}"#);

    let records = rig.records(Topic::Raw).await;
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.value, ORDER);
    assert_eq!(record.key.len(), 32);
    for (name, value) in [
        ("source", "shopify"),
        ("workspace", rig.workspace.as_str()),
        ("verdict", "hmac"),
        ("content-type", "application/json"),
        ("http.x-shopify-webhook-id", "w-1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
    ] {
        assert_eq!(record.header(name), Some(value), "{name}");
    }
    assert!(commerce::time::parse_received(record.header("received_at").unwrap()).is_ok());
    let all = format!("{:?}", record.headers);
    for secret in ["never-stored", rig.secret().as_str(), &sign(&rig.secret(), ORDER)] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
    let metrics = rig.get("/metrics").await.1;
    assert!(
        metrics.contains(
            r#"tillstream_records_total{detail="",outcome="published",source="shopify",stage="gateway"} 1"#
        ),
        "{metrics}"
    );
    assert!(metrics.contains("tillstream_gateway_in_flight_bytes 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documentation_is_served_to_everybody() {
    let rig = Rig::start("docs").await;
    let (status, document) = rig.get("/openapi.json").await;
    assert_eq!((status, document.as_str()), (StatusCode::OK, service::docs::OPENAPI));
    let (status, page) = rig.get("/docs").await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.starts_with("<!doctype html>"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_sent_twice_meets_itself() {
    let rig = Rig::start("twice").await;
    for _ in 0..2 {
        assert_eq!(rig.shopify(ORDER).send().await.unwrap().status(), StatusCode::OK);
    }
    let records = rig.records(Topic::Raw).await;
    assert_eq!(records.len(), 2);
    assert_eq!((&records[0].key, records[0].partition), (&records[1].key, records[1].partition));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_leaves_nothing_behind() {
    let rig = Rig::start("unknown").await;
    let unsigned = rig.post("/webhooks/shopify/orders/create").body(ORDER).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(unsigned.text().await.unwrap(), r#"{"error":"invalid signature"}"#);
    let forged =
        rig.post("/webhooks/shopify/orders/create").header("X-Shopify-Hmac-Sha256", sign("other", ORDER));
    assert_eq!(forged.body(ORDER).send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let wrong = rig.post("/transform-webhook-data?key=no-such-key-1234&event_name=orders_create").body("{}");
    assert_eq!(wrong.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert!(rig.records(Topic::Raw).await.is_empty());
    assert!(rig.letters().await.is_empty());
    let metrics = rig.get("/metrics").await.1;
    assert!(
        metrics.contains(r#"detail="bad_signature",outcome="rejected",source="shopify",stage="gateway"} 2"#),
        "{metrics}"
    );
    assert!(!rig::logs().contains("no-such-key-1234"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_body_that_is_no_json_is_accepted_because_a_retry_would_bring_it_again() {
    let rig = Rig::start("nojson").await;
    let answer = rig.shopify(b"not json \xff").send().await.unwrap();
    assert_eq!((answer.status(), answer.text().await.unwrap().as_str()), (StatusCode::OK, r#"{"ok":true}"#));
    assert_eq!(rig.records(Topic::Raw).await[0].value, b"not json \xff");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_refused_in_the_shape_of_its_source() {
    let rig = Rig::start("large").await;
    let answer = rig.shopify(&vec![b' '; 5 * 1024 * 1024 + 1]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.text().await.unwrap(), r#"{"error":"payload too large"}"#);
    let fits = rig.shopify(&vec![b' '; 5 * 1024 * 1024]).send().await.unwrap();
    assert_eq!(fits.status(), StatusCode::OK);
    let sizes: Vec<_> = rig.records(Topic::Raw).await.iter().map(|record| record.value.len()).collect();
    assert_eq!(sizes, [5 * 1024 * 1024]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_body_is_verified_and_stored_as_its_sender_wrote_it() {
    let rig = Rig::start("gzip").await;
    let pack = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let post = |bytes: &[u8]| {
        let request = rig.post("/webhooks/shopify/orders/create").header("content-encoding", "gzip");
        request.header("X-Shopify-Hmac-Sha256", sign(&rig.secret(), bytes)).body(pack(bytes)).send()
    };
    assert_eq!(post(ORDER).await.unwrap().status(), StatusCode::OK);
    let bomb = vec![b' '; 6 * 1024 * 1024];
    assert_eq!(post(&bomb).await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let damaged = rig.shopify(ORDER).header("content-encoding", "gzip").send().await.unwrap();
    assert_eq!(damaged.status(), StatusCode::BAD_REQUEST);
    let values: Vec<_> = rig.records(Topic::Raw).await.into_iter().map(|record| record.value).collect();
    assert_eq!(values, [ORDER]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_known_sender_got_wrong_is_kept_as_a_dead_letter() {
    let rig = Rig::start("letter").await;
    let body = br#"{"id":1,"line_items":[{"price":"1.00"}]}"#;
    let answer = rig.lifesight("orders_create", body).header("x-note", "1").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(answer.text().await.unwrap().contains("currency"));
    assert!(rig.records(Topic::Raw).await.is_empty());
    let letters = rig.letters().await;
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter.body, body);
    assert_eq!((letter.stage.as_str(), letter.source.as_str()), ("gateway", "lifesight"));
    assert_eq!((letter.origin_topic.as_str(), letter.origin_offset), ("http", -1));
    assert!(letter.field.is_some() && letter.received_at.is_some());
    let all = format!("{letter:?}");
    assert!(!all.contains(&rig.key()) && !rig::logs().contains(&rig.key()), "{all}");
    let metrics = rig.get("/metrics").await.1;
    assert!(
        metrics.contains(r#"outcome="dead_lettered",source="lifesight",stage="gateway"} 1"#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_registry_raw_goes_on_and_what_needs_a_letter_comes_again() {
    let rig = Rig::start_with("noregistry", |env| {
        env.push(("TILLSTREAM_REGISTRY__URL", "http://127.0.0.1:9/x".to_owned()))
    })
    .await;
    assert_eq!(rig.shopify(ORDER).send().await.unwrap().status(), StatusCode::OK);
    let began = Instant::now();
    let answer = rig.lifesight("orders_create", b"{}").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after") && began.elapsed() < Duration::from_secs(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_and_wrong_methods_say_so() {
    let rig = Rig::start("paths").await;
    let unknown = rig.post("/no/such/path").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert!(unknown.headers().contains_key("x-correlation-id"));
    let wrong = rig.client.get(rig.url("/webhooks/shopify/orders/create")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers()["allow"], "POST");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_what_is_there() {
    let rig = Rig::start("health").await;
    assert_eq!(rig.get("/livez").await.0, StatusCode::OK);
    let (status, report) = rig.get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert!(report.contains("commerce.raw.v1 has"), "{report}");
    rig.shutdown.trigger();
    tokio::time::timeout(Duration::from_secs(10), rig.server).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_slow_bodies_are_cut() {
    let rig = Rig::start_with("slow", |env| {
        env.push(("TILLSTREAM_GATEWAY__HEADER_TIMEOUT", "300ms".to_owned()));
        env.push(("TILLSTREAM_GATEWAY__BODY_TIMEOUT", "400ms".to_owned()));
    })
    .await;
    let send = async |text: &str| {
        let began = Instant::now();
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        answer
    };
    assert_eq!(send("POST /webhooks/shopify HTTP/1.1\r\nhost: x\r\nx-").await, "");
    let late = send("POST /webhooks/shopify HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await;
    assert!(late.starts_with("HTTP/1.1 408 ") && late.contains("connection: close"), "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_requests_that_have_begun() {
    let rig = Rig::start("drain").await;
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    let signature = sign(&rig.secret(), ORDER);
    let head = format!(
        "POST /webhooks/shopify HTTP/1.1\r\nhost: x\r\nx-shopify-hmac-sha256: {signature}\r\ncontent-length: {}\r\n\r\n",
        ORDER.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&ORDER[..5]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    rig.shutdown.trigger();
    tokio::time::sleep(Duration::from_millis(200)).await;
    stream.write_all(&ORDER[5..]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let workspace = rig.workspace.clone();
    tokio::time::timeout(Duration::from_secs(10), rig.server).await.unwrap().unwrap();
    assert_eq!(rig::records(localkafka::shared().bootstrap(), Topic::Raw, &workspace).len(), 1);
}
