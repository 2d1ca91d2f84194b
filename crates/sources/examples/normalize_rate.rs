//! Measures how long a stored delivery takes to become its events: `cargo run --release -p sources --example normalize_rate`.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement for a person")]

use std::hint::black_box;
use std::time::Instant;

use commerce::{ReceivedTime, Source};
use sources::{Raw, Workspace};

const SHOPIFY: &str = include_str!("../../../schemas/examples/shopify_order_create.json");
const LIFESIGHT: &str = include_str!("../../../schemas/examples/lifesight_orders_create.json");
const SEED: &str = include_str!("../tests/samples/order.json");

fn main() {
    let workspace = Workspace::development().expect("the development workspace is valid");
    let shopify = [
        ("path", "/webhooks/shopify/orders/create"),
        ("space", "demo-shop.myshopify.com"),
        ("http.x-shopify-topic", "orders/create"),
        ("http.x-shopify-webhook-id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    ];
    let lifesight = [("query.source", "shop"), ("query.event_name", "orders_create")];
    for (what, source, headers, body) in [
        ("shopify", Source::Shopify, &shopify[..], compact(SHOPIFY)),
        ("shopify, indented", Source::Shopify, &shopify[..], SHOPIFY.to_owned()),
        ("shopify without webhook id", Source::Shopify, &shopify[..3], compact(SHOPIFY)),
        ("lifesight", Source::Lifesight, &lifesight[..], compact(LIFESIGHT)),
        ("lifesight, the seed's sample", Source::Lifesight, &lifesight[..], SEED.to_owned()),
    ] {
        let raw = Raw {
            source,
            workspace: &workspace,
            received_at: ReceivedTime(1_773_500_000_000_000),
            partition: 0,
            offset: 0,
            headers,
            body: body.as_bytes(),
        };
        let best = (0..10).map(|_| nanoseconds(&raw)).min().unwrap_or_default();
        println!("{what}: {} bytes, {best} ns", body.len());
    }
}

fn nanoseconds(raw: &Raw<'_>) -> u128 {
    const ROUNDS: u128 = 20_000;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let items = sources::normalize(black_box(raw)).expect("the body is valid");
        assert!(
            !black_box(items).is_empty(),
            "an event a body, and one of its customer where that says more"
        );
    }
    start.elapsed().as_nanos() / ROUNDS
}

fn compact(body: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(body).expect("the example is JSON");
    value.to_string()
}
