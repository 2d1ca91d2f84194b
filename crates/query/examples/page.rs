//! The dashboard over made-up figures, without Kafka: `cargo run -p query --example page -- 127.0.0.1:8095 [key]`.
//!
//! Workspaces: `demo` (busy), `empty`; with `interrupted` or `loading` as a further argument, that state.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example to look at")]

use std::collections::BTreeMap;
use std::sync::Arc;

use commerce::time::{Day, Zone};
use commerce::{Currency, DeadLetter, EventTime, Metric, ReceivedTime, WorkspaceId};
use query::http::{Access, App, router};
use query::snapshot::{Published, Trouble, Working};
use query::tenants::{KeyKind, Tenant, Tenants};
use service::{Metrics, Shutdown};

fn now() -> EventTime {
    service::clock::now().as_event()
}

fn metric(
    name: &str,
    window: &str,
    start: String,
    dimensions: &[(&str, &str)],
    values: &[(&str, i64)],
) -> Metric {
    Metric {
        workspace: WorkspaceId::try_new("demo").unwrap(),
        metric: name.to_owned(),
        window: window.to_owned(),
        window_start: start,
        dimensions: dimensions.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        values: values.iter().map(|(k, v)| ((*k).to_owned(), *v)).collect(),
        revision: 0,
        corrected: false,
        as_of: ReceivedTime(now().0 - 2_000_000),
        window_end_at: None,
        members: None,
    }
}

fn put(working: &mut Working, metric: &Metric) {
    working.metric(metric.key().as_bytes(), Some(metric)).unwrap();
}

fn sales(working: &mut Working) {
    let today = Zone::utc().day_of(now());
    for (currency, unit, every) in [("USD", 100_i64, 1), ("EUR", 100, 1), ("JPY", 1, 3)] {
        for back in 0..120_i64 {
            if back % every != 0 {
                continue;
            }
            let noise = (back * 7_919 + 13) % 41;
            let weekend = if (back + 2) % 7 < 2 { 3 } else { 5 };
            let orders = (38 + noise - back / 6).max(4) * weekend / if currency == "USD" { 4 } else { 19 };
            let gross = orders * (6_130 + noise * 37) * unit / 100;
            let refunds = if back % 4 == 1 { orders / 9 + 1 } else { 0 };
            let values = [
                ("gross", gross),
                ("orders", orders),
                ("items", orders * 2),
                ("refunds", refunds),
                ("refund_amount", refunds * 4_900 * unit / 100),
            ];
            let day = Day(today.0 - i32::try_from(back).unwrap()).to_string();
            put(working, &metric("revenue", "day", day, &[("currency", currency)], &values));
        }
    }
    for (source, outcome, detail, count) in [
        ("shopify", "published", "", 48_210),
        ("lifesight", "published", "", 3_944),
        ("shopify", "duplicate", "transport", 2_411),
        ("shopify", "duplicate", "entity", 160),
        ("lifesight", "duplicate", "semantic", 84),
        ("shopify", "stale", "", 37),
        ("shopify", "filtered", "qa", 12),
    ] {
        let dimensions = [("stage", "state"), ("source", source), ("outcome", outcome), ("detail", detail)];
        put(working, &metric("outcomes", "all", String::new(), &dimensions, &[("count", count)]));
    }
    for n in 0..9_i64 {
        let (reason, field, message) = match n % 3 {
            0 => ("bad_money", Some("total_price"), "'19,99' is not a decimal amount"),
            1 => ("malformed_json", None, "the body is not JSON: expected value at line 1 column 1"),
            _ => ("missing_order_id", Some("id"), "the order has no id"),
        };
        working.letter(&DeadLetter {
            id: format!("dl_{n}"),
            workspace: "demo".to_owned(),
            stage: "normalizer".to_owned(),
            source: if n % 2 == 0 { "shopify" } else { "lifesight" }.to_owned(),
            reason: reason.to_owned(),
            field: field.map(ToOwned::to_owned),
            message: message.to_owned(),
            origin_topic: "commerce.raw.v1".to_owned(),
            origin_partition: 0,
            origin_offset: n,
            received_at: None,
            first_seen_at: EventTime(now().0 - n * 3_700_000_000),
            redrive_count: 0,
            verdict: "hmac".to_owned(),
            headers: BTreeMap::new(),
            body: Vec::new(),
            status: commerce::letter::Status::Open,
            item: 0,
            changed_at: None,
            key: Vec::new(),
            cut: false,
        });
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    let address = arguments.first().map_or("127.0.0.1:8095", String::as_str);
    let mut tenants = Tenants::default();
    for id in ["demo", "empty"] {
        let tenant = Tenant {
            id: WorkspaceId::try_new(id).unwrap(),
            base: Currency::USD,
            zone: Zone::utc(),
            retention_days: None,
        };
        tenants.add(tenant, [(KeyKind::Secret, format!("sk_{id}").as_str())]).unwrap();
    }
    let published = Arc::new(Published::default());
    let mut working = Working::default();
    sales(&mut working);
    if !has("loading") {
        working.publish(&published);
    }
    published.set(Trouble::Unreachable, has("interrupted"));
    let access = if has("key") { Access::Key } else { Access::Open { loopback: true } };
    let shutdown = Shutdown::new();
    let app = App::new(
        tenants,
        Arc::clone(&published),
        access,
        now,
        shutdown.clone(),
        Metrics::new("example").unwrap(),
    );
    let listener = service::http::bind(address.parse().unwrap(), "query.listen").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    service::lifecycle::on_signals(&shutdown).unwrap();
    service::http::serve(listener, router(Arc::new(app)), shutdown, service::http::Limits::default()).await;
}
