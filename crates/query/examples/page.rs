//! The dashboard over made-up figures, without Kafka: `cargo run -p query --example page -- 127.0.0.1:8095 [key]`.
//!
//! Workspaces: `demo` (busy), `empty`; with `interrupted` or `loading` as a further argument, that state.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "an example to look at")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commerce::members::Members;
use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::profile::{Contact, Known};
use commerce::time::{Day, Zone};
use commerce::{
    Currency, DeadLetter, DuplicateLevel, EventTime, Metric, Money, Outcome, PersonId, Profile, Reason,
    ReceivedTime, Source, WorkspaceId,
};
use query::http::{Access, App, router};
use query::pipeline::services::Services;
use query::snapshot::{Published, Trouble, Working};
use query::tenants::{KeyKind, Tenant, Tenants};
use service::metrics::{Gauge, Histogram};
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

fn day(back: i32) -> String {
    Day(Zone::utc().day_of(now()).0 - back).to_string()
}

/// Who did a step, some of them on several days.
fn actors(working: &mut Working, figure: &str, dimensions: &[(&str, &str)], people: u32) {
    for back in 0..3 {
        let mut members = Members::default();
        for number in (0..people).filter(|number| number % 3 >= back) {
            members.insert(Members::place(number).1);
        }
        let mut all = dimensions.to_vec();
        all.extend([("source", "analytics"), ("chunk", "0")]);
        let set = metric(figure, "day", day(back.cast_signed()), &all, &[("actors", members.count())]);
        put(working, &Metric { members: Some(members.written()), ..set });
    }
}

fn reports(working: &mut Working) {
    for (step, people) in [
        ("view_item", 4_180),
        ("add_to_cart", 1_206),
        ("view_cart", 840),
        ("begin_checkout", 611),
        ("add_payment_info", 518),
        ("purchase", 482),
    ] {
        actors(working, "funnel", &[("step", step)], people);
    }
    let usd = [("currency", "USD"), ("source", "shopify")];
    let cell = |working: &mut Working, name: &str, more: &[(&str, &str)], values: &[(&str, i64)]| {
        let all = [&usd[..], more].concat();
        put(working, &metric(name, "day", day(1), &all, values));
    };
    put(
        working,
        &metric(
            "carts",
            "day",
            day(1),
            &[("source", "analytics")],
            &[("opened", 900), ("completed", 238), ("abandoned", 520)],
        ),
    );
    cell(working, "abandoned_value", &[], &[("value", 3_912_345)]);
    for (n, (id, title)) in [
        ("mug", "Stoneware mug"),
        ("kettle", "Kettle <b>1.7 l</b>, brushed steel"),
        ("tea", "Green tea, 100 g"),
    ]
    .into_iter()
    .enumerate()
    {
        let n = i64::try_from(n).unwrap();
        let values = [("revenue", 912_300 / (n + 1)), ("orders", 210 - n * 60), ("quantity", 402 - n * 90)];
        cell(working, "revenue_by_product", &[("item_id", id)], &values);
        put(
            working,
            &metric("product_name", "all", String::new(), &[("item_id", id), ("title", title)], &[]),
        );
    }
    for (campaign, source, medium, revenue, orders) in [
        ("(none)", "(none)", "(none)", 1_900_200, 320),
        ("spring", "newsletter", "email", 812_250, 119),
        ("brand", "google", "cpc", 310_000, 54),
    ] {
        let channel = [("utm_campaign", campaign), ("utm_source", source), ("utm_medium", medium)];
        cell(working, "revenue_by_channel", &channel, &[("revenue", revenue), ("orders", orders)]);
    }
    for (coupon, revenue) in [("SPRING10", 410_000), ("WELCOME", 99_000)] {
        let values = [("revenue", revenue), ("orders", 60), ("discount", 24_000)];
        cell(working, "revenue_by_coupon", &[("coupon", coupon)], &values);
    }
    for (country, revenue) in [("DE", 1_410_000), ("FR", 990_000), ("unknown", 22_000)] {
        cell(working, "revenue_by_country", &[("country", country)], &[("revenue", revenue), ("orders", 60)]);
    }
    let months: Vec<String> = (0..6).map(|n| day(n * 30)[..7].to_owned()).collect();
    for (n, cohort) in months.iter().enumerate() {
        let users = 140 - i64::try_from(n).unwrap() * 12;
        put(working, &metric("cohort_users", "day", format!("{cohort}-01"), &[], &[("users", users)]));
        for (m, month) in months[..=n].iter().enumerate() {
            let revenue = users * 5_113 / i64::try_from(n - m + 1).unwrap();
            let first = format!("{cohort}-01");
            let all = [("cohort", first.as_str()), ("currency", "USD")];
            put(
                working,
                &metric("cohort_revenue", "day", format!("{month}-01"), &all, &[("revenue", revenue)]),
            );
        }
    }
}

/// A person with an order.
fn known(working: &Working) {
    let workspace = WorkspaceId::try_new("demo").unwrap();
    let usd = |minor| Some(Money::new(minor, Currency::USD));
    let handle = |kind, value: &str| Identifier::plain(kind, value);
    let contact = Contact {
        email: Some("june@example.com".to_owned()),
        first_name: Some("June".to_owned()),
        identifiers: vec![handle(Kind::User, "user_1"), handle(Kind::Email, "june@example.com")],
        ..Contact::default()
    };
    let known = Known { contact, ..Known::default() };
    let profile = Profile::new(workspace, PersonId(7), known, Currency::USD, ReceivedTime(now().0));
    working.profile(format!("demo:{}", profile.person_id).as_bytes(), Some(&profile)).unwrap();
    let view = View {
        id: "450789469".to_owned(),
        aliases: vec!["#1001".to_owned()],
        person_id: Some(PersonId(7)),
        source: Some(Source::Shopify),
        placed_at: Some(now()),
        counted: true,
        total: usd(3_049),
        refunds: BTreeMap::from([("r1".to_owned(), Money::new(49, Currency::USD))]),
        refunded_total: usd(49),
        net: usd(3_000),
        ..View::default()
    };
    working.order(b"demo:450789469", Some(&view)).unwrap();
}

/// Stages at work.
fn pipeline(metrics: &Metrics) {
    for stage in ["normalizer", "state", "aggregator"] {
        metrics.gauge(Gauge::ConsumerLag, &[stage]).set(3);
    }
    let metrics = metrics.clone();
    std::thread::spawn(move || {
        loop {
            metrics.record("gateway", Some(Source::Shopify), Outcome::Published, 50);
            metrics.record("gateway", None, Outcome::Rejected(Reason::BadSignature), 1);
            metrics
                .histogram(Histogram::HttpRequestDuration, &["ingest", "shopify"])
                .observe(Duration::from_millis(7));
            for stage in ["normalizer", "state", "aggregator"] {
                metrics.record(stage, Some(Source::Shopify), Outcome::Published, 48);
                metrics.record(stage, Some(Source::Shopify), Outcome::DeadLettered(Reason::BadMoney), 1);
                metrics.histogram(Histogram::EndToEndLatency, &[stage]).observe(Duration::from_millis(42));
                metrics.histogram(Histogram::TransactionRecords, &[stage]).observe_size(49);
            }
            let twice = Outcome::Duplicate(DuplicateLevel::Semantic);
            metrics.record("state", Some(Source::Shopify), twice, 3);
            std::thread::sleep(Duration::from_millis(400));
        }
    });
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
    reports(&mut working);
    known(&working);
    if !has("loading") {
        working.publish(&published);
    }
    published.set(Trouble::Unreachable, has("interrupted"));
    let access = if has("key") { Access::Key } else { Access::Open { loopback: true } };
    let shutdown = Shutdown::new();
    let metrics = Metrics::new("example").unwrap();
    pipeline(&metrics);
    let services = Services::new(metrics.clone(), vec![]).unwrap();
    let app = App::new(tenants, Arc::clone(&published), access, now, shutdown.clone(), metrics);
    let app = app.watching(services);
    let listener = service::http::bind(address.parse().unwrap(), "query.listen").await.unwrap();
    println!("http://{}/", listener.local_addr().unwrap());
    service::lifecycle::on_signals(&shutdown).unwrap();
    service::http::serve(listener, router(Arc::new(app)), shutdown, service::http::Limits::default()).await;
}
