//! Lines of the contracts' checklists that the whole pipeline alone shows: HTTP, Kafka, every stage and the reports of a
//! running `up`.

use std::collections::BTreeMap;
use std::sync::Barrier;

use commerce::avro::Datum;
use commerce::{Event, EventName, Fact, Signal, order::View};
use rdkafka::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stream::{Followed, read_decided};
use topics::{SchemaRegistry, Schemas, Topic};

use crate::product::amount;
use crate::running::{Up, folder, turn, wait};

const PUBLISHABLE: (&str, &str) = ("x-api-key", "pk_dev_demo");
const SECRET: (&str, &str) = ("x-api-key", "sk_dev_demo");
const ROWS: (&str, &str) = ("authorization", "Bearer dev-records-key");
const PUSHES: (&str, &str) = ("authorization", "Bearer dev-orders-key");
/// dev-site:dev-track-key
const TRACKER: (&str, &str) = ("authorization", "Basic ZGV2LXNpdGU6ZGV2LXRyYWNrLWtleQ==");

/// All committed records of a topic.
fn all<T: Datum + DeserializeOwned>(up: &Up, topic: Topic) -> Vec<T> {
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", &up.endpoints.kafka);
    let registry = SchemaRegistry::new(&up.endpoints.registry, std::time::Duration::from_secs(10)).unwrap();
    let mut decoder = Schemas::lookup(&registry).unwrap().decoder();
    let mut found = Vec::new();
    let whole = read_decided(&client, topic.name(), &|| false, &mut |followed| {
        if let Followed::Record { value: Some(value), .. } = followed {
            found.push(decoder.decode(value).unwrap());
        }
        Ok(())
    });
    assert!(whole.unwrap());
    found
}

/// Waits until so many deliveries have said something of these entities. All events of a workspace are in one
/// partition, so what is sent from now on is processed behind them.
fn said(up: &Up, ids: &[&str], deliveries: usize) {
    wait(&format!("{deliveries} deliveries of {ids:?}"), || {
        let events = all::<Event>(up, Topic::Events);
        events.iter().filter(|event| ids.contains(&event.entity.id.as_str())).count() == deliveries
    });
}

fn sent(up: &Up, path: &str, header: (&str, &str), body: &Value) -> (u16, String) {
    up.post(path, &[header], body.to_string().as_bytes())
}

fn track(up: &Up, header: (&str, &str), event: &Value) {
    let answer = sent(up, "/v1/api/analytics/ecommerce/track", header, event);
    assert_eq!(answer, (200, r#"{"ok":true}"#.to_owned()), "{event}");
}

fn push(id: &str) -> Value {
    json!({"orderId": id, "totalCents": 4900, "currency": "USD", "customer": {"email": "jane@example.com"}})
}

#[test]
fn seq_c06_the_same_push_100_times_in_parallel_is_100_answers_of_202_and_one_order() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let (body, at_once) = (push("o-1"), Barrier::new(100));
    let answers: Vec<_> = std::thread::scope(|scope| {
        let one = || {
            at_once.wait();
            sent(&up, "/api/v1/orders", PUSHES, &body)
        };
        let senders: Vec<_> = (0..100).map(|_| scope.spawn(one)).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    let answer: Value = serde_json::from_str(&answers[0].1).unwrap();
    let fields = ["success", "queued", "orderId", "status"].map(|field| answer[field].clone());
    assert_eq!(fields, [json!(true), json!(true), json!("o-1"), json!("placed")]);
    assert!(answer["jobId"].as_str().unwrap().starts_with("commerce-order-"), "{answer}");
    assert_eq!(answers, vec![(202, answers[0].1.clone()); 100]);

    said(&up, &["o-1"], 100);
    assert_eq!(sent(&up, "/api/v1/orders", PUSHES, &push("last")).0, 202);
    wait("the order behind them", || {
        up.found("/v1/people/jane@example.com")["orders_count"].as_i64() >= Some(2)
    });
    let mut facts = BTreeMap::<EventName, usize>::new();
    for fact in all::<Fact<View>>(&up, Topic::Facts) {
        if fact.order_id.as_deref() == Some("o-1") {
            *facts.entry(fact.event).or_default() += 1;
        }
    }
    assert_eq!(facts, BTreeMap::from([(EventName::OrderPlaced, 1), (EventName::OrderPaid, 1)]));
    let jane = up.get("/v1/people/jane@example.com");
    assert_eq!((&jane["orders_count"], &jane["total_spent"]["minor"]), (&json!(2), &json!(9800)));
}

fn purchase(id: &str, revenue: &str, currency: &str, day: &str) -> Value {
    let revenue: Value = serde_json::from_str(revenue).unwrap();
    json!({"event_type": "purchase", "transaction_id": id, "revenue": revenue, "currency": currency,
        "user_id": format!("user-{id}"), "timestamp": format!("{day}T10:20:00Z")})
}

const JANUARY: &str = "start=2026-01-01&end=2026-01-31";

#[test]
fn ana_c11_dollars_and_yen_at_a_rate_are_82_49_in_every_report_that_adds_revenue_up() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    track(&up, SECRET, &purchase("usd", "49.99", "USD", "2026-01-05"));
    track(&up, PUBLISHABLE, &purchase("jpy", "5000", "JPY", "2026-01-05"));
    let overview = |field: &str| amount(&up.overview(JANUARY), field);
    wait("the yen to be held", || overview("held").contains("JPY"));
    wait("the dollars", || overview("total_orders") == "1");
    assert_eq!(overview("total_revenue"), "49.99", "an amount without a rate is left out");

    let rates = dir.path().join("rates.csv");
    std::fs::write(&rates, "currency,base,rate,hour\nJPY,USD,0.0065,2026-01-05T10\n").unwrap();
    up.ok(&["fx", "put", rates.to_str().unwrap()]);
    wait("both", || overview("total_orders") == "2");
    assert_eq!(overview("total_revenue"), "82.49");
    assert_eq!((overview("net_revenue"), overview("refund_amount")), ("82.49".into(), "0.00".into()));
    // 41.245, half away from zero.
    assert_eq!((overview("avg_order_value"), overview("held")), ("41.25".into(), "{}".into()));
    for (report, list) in [
        ("revenue-timeseries", "series"),
        ("revenue-by-channel", "channels"),
        ("revenue-by-device", "devices"),
        ("revenue-by-platform", "platforms"),
        ("revenue-by-country", "countries"),
    ] {
        let answer = up.get(&format!("/v1/api/analytics/ecommerce/{report}?{JANUARY}"));
        let rows = answer[list].as_array().unwrap();
        let sold: Vec<_> = rows.iter().filter(|row| row["orders"] != 0).collect();
        let [row] = sold.as_slice() else { panic!("{report}: {answer}") };
        assert_eq!((row["revenue"].to_string().as_str(), &row["orders"]), ("82.49", &json!(2)), "{report}");
    }
    let cohorts = up.get(&format!("/v1/api/analytics/ecommerce/cohorts?{JANUARY}"));
    assert_eq!(cohorts["cohorts"][0]["revenue_by_month"]["0"].to_string(), "82.49", "{cohorts}");
}

const REPORTS: [&str; 13] = [
    "overview",
    "revenue-timeseries",
    "funnel",
    "top-products",
    "revenue-by-channel",
    "revenue-by-coupon",
    "revenue-by-device",
    "revenue-by-platform",
    "revenue-by-country",
    "cart-abandonment",
    "attribution",
    "cohorts",
    "user-journey",
];

/// What the reports say of January, but for when they say it.
fn reports(up: &Up) -> BTreeMap<&'static str, Value> {
    let said = |report: &'static str| {
        let mut said = up.get(&format!("/v1/api/analytics/ecommerce/{report}?{JANUARY}&user_id=jane"));
        said.as_object_mut().unwrap().remove("as_of");
        (report, said)
    };
    REPORTS.into_iter().map(said).collect()
}

#[test]
fn ana_c23_a_purchase_of_less_than_nothing_is_answered_ok_counted_as_accepted_and_in_none_of_the_13_reports()
{
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let whole = |id: &str, revenue: &str| {
        let mut event = purchase(id, revenue, "USD", "2026-01-06");
        let more = json!({"user_id": "jane", "cart_id": "c-1", "coupon_code": "SPRING", "discount": 1,
            "campaign": "spring", "source": "letter", "medium": "mail", "properties": {"device_type": "tablet",
            "platform": "ios", "country": "AT"}, "items": [{"item_id": "mug", "price": 5, "quantity": 2}]});
        more.as_object().unwrap().iter().for_each(|(field, value)| event[field] = value.clone());
        event
    };
    // A cart that is left, which a purchase would complete, and a purchase that any other adds to.
    let mut cart = whole("", "10");
    cart["event_type"] = "begin_checkout".into();
    cart["timestamp"] = "2026-01-06T10:00:00Z".into();
    track(&up, SECRET, &cart);
    track(&up, SECRET, &purchase("first", "20", "USD", "2026-01-05"));
    let february =
        |orders: &str| amount(&up.overview("start=2026-02-01&end=2026-02-28"), "total_orders") == orders;
    said(&up, &["first"], 1);
    track(&up, SECRET, &purchase("mark-1", "1", "USD", "2026-02-01"));
    wait("all before the first mark", || february("1"));
    let before = reports(&up);
    assert_eq!(before["overview"]["total_orders"], 1, "{}", before["overview"]);

    track(&up, PUBLISHABLE, &whole("minus-1", "-10"));
    track(&up, SECRET, &whole("minus-2", "-0.01"));
    let mut good = purchase("mark-2", "1", "USD", "2026-02-01");
    good["user_id"] = "john".into();
    let batch = json!({"events": [whole("minus-3", "-10"), good, whole("minus-4", "\"-10.00\"")]});
    let answer = sent(&up, "/v1/api/analytics/ecommerce/batch", PUBLISHABLE, &batch);
    assert_eq!(answer, (200, r#"{"ok":true,"accepted":3}"#.to_owned()));
    said(&up, &["minus-1", "minus-2", "minus-3", "minus-4"], 4);
    track(&up, SECRET, &purchase("mark-3", "1", "USD", "2026-02-01"));
    wait("all before the last mark", || february("3"));
    for (report, after) in reports(&up) {
        assert_eq!(after, before[report], "{report}");
    }
    let blocked = all::<Signal>(&up, Topic::Signals);
    let blocked: Vec<_> = blocked.iter().filter(|signal| signal.signal.as_str() == "event.blocked").collect();
    assert_eq!(blocked.len(), 4, "each is told to operators: {blocked:?}");

    // The same for 10.00 is in every report.
    track(&up, SECRET, &whole("plus", "10"));
    wait("the purchase in all reports", || {
        reports(&up).into_iter().all(|(report, after)| after != before[report])
    });
}

/// Full days from 1970 on, as a date.
fn day(seconds: i64) -> String {
    commerce::time::Day(i32::try_from(seconds.div_euclid(86_400)).unwrap()).to_string()
}

#[test]
fn cio_c15_cio_c16_a_late_order_and_a_load_count_on_their_days_and_start_nothing() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let now = service::clock::now().0 / commerce::time::SECOND;
    let (late, hour_ago) = (now - 10 * 86_400, now - 3_600);
    let paid = |person: &str, order: &str, at: i64, total: u32, backfill: bool| {
        let data = json!({"order_id": order, "total": total, "currency": "USD", "backfill": backfill,
            "line_items": [{"sku": "s", "price": total, "quantity": 1}]});
        let body = json!({"name": "order_paid", "timestamp": at, "data": data});
        let answer = sent(&up, &format!("/api/v1/customers/{person}/events"), TRACKER, &body);
        assert_eq!(answer, (200, "{}\n".to_owned()));
    };
    paid("late", "late-1", late, 600, false);
    for n in 0..4 {
        paid("loaded", &format!("loaded-{n}"), hour_ago, 700, true);
    }
    said(&up, &["late-1", "loaded-0", "loaded-1", "loaded-2", "loaded-3"], 5);
    paid("live", "live-1", now, 800, false);
    let of_day = |at: i64, field: &str| {
        let day = day(at);
        amount(&up.overview(&format!("start={day}&end={day}")), field)
    };
    let told = || -> Vec<(String, String)> {
        let started = all::<Signal>(&up, Topic::Signals).into_iter();
        started.map(|signal| (signal.signal.as_str().to_owned(), signal.target)).collect()
    };
    wait("what the live order starts", || !told().is_empty());
    // More than 500 paid. Four orders of the load would be frequent, and 600 and 700 high.
    assert_eq!(told(), [("audience.entered".to_owned(), "high_value_paid".to_owned())]);
    let signal = all::<Signal>(&up, Topic::Signals).remove(0);
    assert_eq!(up.found("/v1/people/live")["person_id"], signal.person_id.unwrap().to_string());

    wait("the late order on its day", || of_day(late, "total_orders") == "1");
    assert_eq!(of_day(late, "total_revenue"), "600.00");
    let recent = format!("start={}&end={}", day(hour_ago), day(now));
    wait("load and live order", || up.overview(&recent).contains(r#""total_orders":5,"#));
    assert!(up.overview(&recent).contains(r#""total_revenue":3600.00,"#), "{}", up.overview(&recent));
    for (person, orders, spent) in [("late", 1, 60_000), ("loaded", 4, 280_000), ("live", 1, 80_000)] {
        let person = up.found(&format!("/v1/people/{person}"));
        assert_eq!(
            (&person["orders_count"], &person["total_spent"]["minor"]),
            (&json!(orders), &json!(spent))
        );
    }
    let last = up.found("/v1/people/late")["last_order_at"].clone();
    assert!(last.as_str().unwrap().starts_with(&day(late)), "{last}");
}

#[test]
fn ana_c24_seq_c20_a_flagged_purchase_and_yen_are_in_the_reports_and_the_flag_is_on_the_stream() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    track(&up, SECRET, &purchase("usual", "20", "USD", "2026-01-05"));
    track(&up, PUBLISHABLE, &purchase("great", "1000000.01", "USD", "2026-01-06"));
    let yen = json!({"orderId": "yen", "totalCents": 5000, "currency": "JPY", "orderedAt": "2026-01-07T10:00:00Z",
        "customer": {"email": "jane@example.com"}});
    assert_eq!(sent(&up, "/api/v1/orders", PUSHES, &yen).0, 202);
    let january = |more: &str| up.overview(&format!("{JANUARY}{more}"));
    wait("both purchases", || amount(&january(""), "total_orders") == "2");
    assert_eq!(amount(&january(""), "total_revenue"), "1000020.01");
    assert_eq!(amount(&january("&exclude_flagged=true"), "total_revenue"), "20.00");
    wait("the yen", || amount(&january("&currency=JPY"), "total_orders") == "1");
    assert_eq!(amount(&january("&currency=JPY"), "total_revenue"), "5000");

    let facts = all::<Fact<View>>(&up, Topic::Facts);
    for (order, mark) in [("great", Some((1, vec!["impossible_revenue".to_owned()]))), ("usual", None)] {
        let mut of_order = facts.iter().filter(|fact| fact.order_id.as_deref() == Some(order)).peekable();
        assert!(of_order.peek().is_some(), "{order}");
        for fact in of_order {
            let found = fact.fraud.as_ref().map(|fraud| (fraud.severity, fraud.rules.clone()));
            assert_eq!(found, mark, "{order} {}", fact.event);
        }
    }
    let flagged = all::<Signal>(&up, Topic::Signals);
    let flagged: Vec<_> = flagged.iter().filter(|signal| signal.signal.as_str() == "event.flagged").collect();
    assert_eq!(flagged.len(), 1, "{flagged:?}");
}

#[test]
fn rec_c18_a_thousand_orders_of_three_rows_each_are_recomputed_to_the_live_rollups() {
    let _turn = turn();
    let dir = folder();
    let up = Up::start(dir.path(), &[]);
    let person = |n: i64| format!("person-{}@example.com", n % 37);
    let total = |n: i64| 1_000 + n * 7;
    let is_refunded = |n: i64| n % 5 == 0;
    let id = |n: i64| format!("order-{n}");
    // An order is placed, then paid, then partly refunded or fulfilled.
    for step in 0..3 {
        let row = |n: i64| {
            let mut row = json!({"order_id": id(n), "customer_email": person(n), "currency": "USD",
                "total": format!("{}.{:02}", total(n) / 100, total(n) % 100), "item_count": 1,
                "placed_at": "2026-01-05T10:00:00Z", "updated_at": format!("2026-01-05T1{step}:30:00Z")});
            row["financial_status"] = match step {
                0 => "pending".into(),
                2 if is_refunded(n) => "partially_refunded".into(),
                _ => "paid".into(),
            };
            if step == 2 {
                let (field, value) = if is_refunded(n) {
                    ("refund_total", json!("1.00"))
                } else {
                    ("fulfillment_status", json!("fulfilled"))
                };
                row[field] = value;
            }
            row
        };
        let rows: Vec<Value> = (0..1_000).map(row).collect();
        let (status, answer) =
            sent(&up, "/public/v1/records/orders/append-batch", ROWS, &json!({"records": rows}));
        assert!(status == 200 && answer.contains(r#""acceptedRecords":1000"#), "{status} {answer}");
    }
    let ids: Vec<String> = (0..1_000).map(id).collect();
    said(&up, &ids.iter().map(String::as_str).collect::<Vec<_>>(), 3_000);
    assert_eq!(sent(&up, "/api/v1/orders", PUSHES, &push("last")).0, 202);
    up.found("/v1/orders/last");

    for who in 0..37 {
        let of_person: Vec<i64> = (0..1_000).filter(|n| n % 37 == who).collect();
        let refunded = 100 * of_person.iter().filter(|n| is_refunded(**n)).count() as i64;
        let gross: i64 = of_person.iter().map(|n| total(*n)).sum();
        let live = up.found(&format!("/v1/people/{}", person(who)));
        let figures =
            ["total_spent", "lifetime_value", "refunded_total"].map(|sum| live[sum]["minor"].as_i64());
        assert_eq!(figures, [Some(gross), Some(gross - refunded), Some(refunded)], "{}", person(who));
        assert_eq!(live["orders_count"], of_person.len(), "{}", person(who));
    }
    let recomputed: Value = serde_json::from_str(&up.ok(&["recompute", "-o", "json"])).unwrap();
    assert_eq!((&recomputed["equal"], &recomputed["orders"]), (&json!(true), &json!(1_001)), "{recomputed}");
}
