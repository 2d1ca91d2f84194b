//! Measures the gateway: `load CONNECTIONS SECONDS` starts Kafka, a gateway in a process of its own, and sends it signed
//! webhooks of 2 KB over so many connections; first forged ones (HTTP and HMAC, no Kafka), then good ones (acks=all).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "a measuring tool")]

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use service::{Config, Metrics, Readiness, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use topics::Topic;

const SECRET: &str = "load-secret";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", bootstrap, address] => runtime.block_on(serve(bootstrap, address)),
        [connections, seconds] => {
            let cluster = localkafka::shared_kafka();
            runtime.block_on(create_topic(cluster.bootstrap()));
            let address = "127.0.0.1:18080";
            let mut gateway = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["serve", cluster.bootstrap(), address])
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_secs(3));
            let seconds = Duration::from_secs(seconds.parse().unwrap());
            for (what, secret) in [
                ("warm-up", SECRET),
                ("without kafka", "forged"),
                ("acks=all", SECRET),
                ("without kafka", "forged"),
                ("acks=all", SECRET),
            ] {
                let connections = connections.parse().unwrap();
                runtime.block_on(measure(what, address, connections, seconds, secret));
            }
            gateway.kill().unwrap();
            gateway.wait().unwrap();
        }
        _ => println!("load CONNECTIONS SECONDS"),
    }
}

async fn serve(bootstrap: &str, address: &str) {
    let workspaces =
        format!("[{{id = 'load', shopify = [{{shop = 'load.example', secrets = ['{SECRET}']}}]}}]");
    let environment = [
        ("TILLSTREAM_KAFKA__BOOTSTRAP", bootstrap),
        ("TILLSTREAM_GATEWAY__LISTEN", address),
        ("TILLSTREAM_WORKSPACES", &workspaces),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::load_from(None, &environment, Vec::new()).unwrap();
    let shutdown = Shutdown::new();
    let readiness = Readiness::new(shutdown.clone());
    gateway::run(&config, Metrics::new("load").unwrap(), readiness, shutdown).await.unwrap();
}

async fn create_topic(bootstrap: &str) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let config = Topic::Raw.spec().config(1);
    let raw = NewTopic::new(Topic::Raw.name(), Topic::Raw.spec().partitions, TopicReplication::Fixed(1));
    let raw = config.iter().fold(raw, |raw, (key, value)| raw.set(key, value));
    admin.create_topics([&raw], &AdminOptions::new()).await.unwrap();
}

/// A different body each time would only measure the sender's HMAC; the id in it makes the key differ by connection.
fn request(connection: usize, secret: &str) -> Vec<u8> {
    let mut body = format!(r#"{{"id":{connection},"total_price":"30.49","currency":"USD","line_items":["#);
    while body.len() < 2_000 {
        body.push_str(r#"{"title":"a thing to buy","price":"10.00","quantity":1,"sku":"SKU-1"},"#);
    }
    body.push_str("{}]}");
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(&body);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    format!(
        "POST /webhooks/shopify/orders/create HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-shopify-topic: orders/create\r\nx-shopify-shop-domain: load.example\r\nx-shopify-webhook-id: {connection}\r\nx-shopify-hmac-sha256: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn measure(what: &str, address: &str, connections: usize, time: Duration, secret: &str) {
    let began = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let (request, address) = (request(connection, secret), address.to_owned());
            let expected = if secret == SECRET { "HTTP/1.1 200" } else { "HTTP/1.1 401" };
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut took, mut buffer, mut bad) = (Vec::new(), [0; 4096], 0_u64);
                while began.elapsed() < time {
                    let sent = Instant::now();
                    stream.write_all(&request).await.unwrap();
                    // An answer is far below 4 KB, and comes in one piece.
                    let length = stream.read(&mut buffer).await.unwrap();
                    bad += u64::from(!buffer[..length].starts_with(expected.as_bytes()));
                    took.push(u64::try_from(sent.elapsed().as_micros()).unwrap());
                }
                (took, bad)
            })
        })
        .collect();
    let (mut all, mut bad) = (Vec::new(), 0);
    for task in tasks {
        let (took, faults) = task.await.unwrap();
        all.extend(took);
        bad += faults;
    }
    let millis = u64::try_from(began.elapsed().as_millis()).unwrap();
    all.sort_unstable();
    let at = |share: usize| all.get(all.len() * share / 1000).copied().unwrap_or_default();
    let rate = u64::try_from(all.len()).unwrap() * 1000 / millis.max(1);
    println!(
        "{connections} connections, {what}: {rate}/s, p50 {} us, p99 {} us, {bad} other answers",
        at(500),
        at(990)
    );
}
