use commerce::time::{DAY, SECOND};

use super::*;
use crate::demo::shop::Attempt;
use crate::demo::table::Format;
use crate::demo::{Credentials, Uncertainty};

const BASE: i64 = 1_767_225_600 * SECOND;

fn at(days: i64) -> EventTime {
    EventTime(BASE + days * DAY)
}

fn life(person: Option<&str>, total: i64) -> Life {
    Life {
        id: "1".to_owned(),
        source: Source::Shopify,
        person: person.map(str::to_owned),
        by_account: false,
        currency: Currency::USD,
        test: false,
        placed_at: at(0),
        paid_at: Some(at(1)),
        cancelled_at: None,
        total,
        items: 2,
        device: None,
        coupon: None,
        refunds: Vec::new(),
    }
}

fn tiny() -> Vec<Life> {
    vec![
        life(Some("a@example.com"), 1000),
        // Refunded beyond its total, two days later.
        Life { refunds: vec![(at(2), 600), (at(3), 900)], ..life(Some("a@example.com"), 1000) },
        // Cancelled: revenue stays, lifetime value goes.
        Life { cancelled_at: Some(at(2)), placed_at: at(-1), ..life(Some("a@example.com"), 500) },
        // Pending, then called off.
        Life { paid_at: None, cancelled_at: Some(at(4)), ..life(Some("b@example.com"), 700) },
        Life { currency: Currency::parse("EUR").unwrap(), ..life(Some("backend:7"), 300) },
        Life { test: true, ..life(Some("c@example.com"), 9999) },
        Life {
            device: Some("mobile"),
            coupon: Some("SPRING10"),
            source: Source::Analytics,
            ..life(None, 50)
        },
        // One person under two names, and not the best customer.
        Life { by_account: true, ..life(Some("d@example.com"), 40) },
        life(Some("d@example.com"), 30),
    ]
}

fn attempt(person: &str, days: i64, paid: bool) -> Attempt {
    Attempt { person: person.to_owned(), at: at(days), currency: Currency::USD, amount: 990, paid }
}

fn delivery(purpose: Purpose, status: u16) -> Delivery {
    let delivery = Credentials::default().backend("orders_create", vec![]);
    Delivery { purpose, expect_status: status, ..delivery }
}

fn answered_again(purpose: Purpose) -> Delivery {
    let delivery = Credentials::default().record("orders/append", "k", vec![]);
    Delivery { purpose, expect_status: 200, ..delivery }
}

fn expected() -> Expected {
    let deliveries = [
        delivery(Purpose::Tells, 200),
        delivery(Purpose::Repeats, 200),
        answered_again(Purpose::Repeats),
        answered_again(Purpose::Contradicts),
        delivery(Purpose::Resubscribes, 200),
        delivery(Purpose::Forges, 401),
        delivery(Purpose::Garbles, 200),
        delivery(Purpose::Omits, 400),
    ];
    let shop = Shop {
        lives: tiny(),
        deliveries: deliveries.to_vec(),
        done: BTreeMap::from([(EventName::ProductViewed, 4)]),
        attempts: vec![
            attempt("a@example.com", 1, false),
            attempt("a@example.com", 2, true),
            attempt("e@example.com", 1, true),
            attempt("e@example.com", 8, false),
        ],
        named: ["a@example.com", "e@example.com"].map(str::to_owned).into(),
        loyalty: BTreeMap::from([("a@example.com".to_owned(), "gold")]),
    };
    Expected::of(&shop, Currency::USD)
}

fn all_measured(expected: &Expected) -> Measured {
    Measured {
        by_currency: Some(expected.by_currency.clone()),
        by_day: Some(expected.by_day.clone()),
        by_source: Some(expected.by_source.clone()),
        by_device: Some(expected.by_device.clone()),
        by_coupon: Some(expected.by_coupon.clone()),
        done: Some(expected.done.clone()),
        collected: Some(expected.collected.clone()),
        past_due: Some(expected.past_due),
        loyalty: Some(expected.loyalty.clone()),
        cancelled: Some(expected.cancelled),
        customers: Some(expected.customers),
        profiles: Some(expected.profiles),
        duplicates: Some(expected.duplicates.clone()),
        dead_letters: Some(expected.dead_letters.clone()),
        accepted: Some(expected.accepted),
        rejected: Some(expected.rejected.clone()),
        customers_by_email: Some(expected.top_customers.iter().chain(&expected.across).cloned().collect()),
    }
}

#[test]
fn a_tiny_shop_adds_up() {
    let expected = expected();
    let usd = expected.by_currency[&Currency::USD];
    assert_eq!(usd, Totals { orders: 6, gross: 2620, refunds: 2, refunded: 1000, items: 12, cancelled: 1 });
    assert_eq!(usd.net(), 1620);
    assert_eq!(expected.by_currency[&Currency::parse("EUR").unwrap()].gross, 300);
    assert_eq!((expected.cancelled, expected.customers, expected.profiles), (2, 3, 5));
    let day = |days| expected.by_day[&(Zone::utc().day_of(at(days)), Currency::USD)];
    assert_eq!(day(1), DayTotals { orders: 6, gross: 2620, ..DayTotals::default() });
    assert_eq!(day(3), DayTotals { refunds: 1, refunded: 400, ..DayTotals::default() });
    let (email, best) = &expected.top_customers[0];
    assert_eq!(email, "a@example.com");
    assert_eq!((best.orders_count, best.total_spent, best.lifetime_value), (3, 2500, 1000));
    assert_eq!((best.first_order_at, best.last_order_at), (Some(at(-1)), Some(at(0))));
    assert_eq!(expected.top_customers.len(), 2, "who has no e-mail or no counted order isn't named");
    let (email, across) = expected.across.as_ref().unwrap();
    assert_eq!((email.as_str(), across.orders_count, across.total_spent), ("d@example.com", 2, 70));
    assert_eq!(expected.by_source, BTreeMap::from([(Source::Shopify, 6), (Source::Analytics, 1)]));
    assert_eq!(expected.by_device["mobile"], Part { orders: 1, gross: 50 });
    assert_eq!(expected.by_device["unknown"], Part { orders: 5, gross: 2570 });
    assert_eq!(expected.by_coupon["SPRING10"], Part { orders: 1, gross: 50 });
    assert_eq!(expected.collected, BTreeMap::from([(Currency::USD, (2, 1980))]));
    assert_eq!((expected.past_due, expected.loyalty["gold"]), (1, 1));
    assert_eq!((expected.done[&EventName::PaymentFailed], expected.done[&EventName::ProductViewed]), (2, 4));
    assert_eq!(expected.accepted, 4);
    assert_eq!(expected.rejected, BTreeMap::from([(400, 1), (401, 1)]));
    assert_eq!(expected.duplicates.values().sum::<i64>(), 2);
    assert_eq!(
        expected.dead_letters.keys().map(|r| r.code()).collect::<Vec<_>>(),
        ["malformed_json", "missing_field", "idempotency_body_mismatch"]
    );
}

#[test]
fn the_table_is_equal_only_when_everything_was_measured_and_is_right() {
    let expected = expected();
    let none = Uncertainty::default();
    let right = all_measured(&expected);
    assert!(expected.compare(&right, none).all_equal());
    assert!(!expected.compare(&Measured::default(), none).all_equal());
    let mut wrong = right.clone();
    wrong.by_currency.as_mut().unwrap().get_mut(&Currency::USD).unwrap().gross += 1;
    let table = expected.compare(&wrong, none);
    let unequal: Vec<_> = table.rows.iter().filter(|r| !r.equal).map(|r| r.name.as_str()).collect();
    assert_eq!(unequal, ["gross, USD", "net, USD"]);
}

#[test]
fn a_wrong_day_is_named() {
    let expected = expected();
    let mut wrong = all_measured(&expected);
    let days = wrong.by_day.as_mut().unwrap();
    let cell = days.remove(&(Zone::utc().day_of(at(3)), Currency::USD)).unwrap();
    days.insert((Zone::utc().day_of(at(5)), Currency::USD), cell);
    let table = expected.compare(&wrong, Uncertainty::default());
    let row = table.rows.iter().find(|r| !r.equal).unwrap();
    assert_eq!(row.measured.as_deref(), Some("2026-01-04: 0/0.00 -0/0.00 for 0/0.00 -1/4.00"));
}

#[test]
fn money_and_reasons_that_nobody_expects_are_shown() {
    let expected = expected();
    let mut wrong = all_measured(&expected);
    wrong.by_currency.as_mut().unwrap().insert(Currency::parse("JPY").unwrap(), Totals::default());
    wrong.dead_letters.as_mut().unwrap().insert(Reason::BadMoney, 1);
    let table = expected.compare(&wrong, Uncertainty::default());
    assert_eq!(table.rows.iter().filter(|r| !r.equal).count(), 2, "{table}");
}

#[test]
fn a_retry_of_unknown_fate_widens_only_what_it_can_touch() {
    let expected = expected();
    let mut more = all_measured(&expected);
    *more.duplicates.as_mut().unwrap().get_mut(&DuplicateLevel::Transport).unwrap() += 2;
    *more.accepted.as_mut().unwrap() += 2;
    let compare = |retries, resumed| expected.compare(&more, Uncertainty { retries, resumed });
    assert!(!compare(0, false).all_equal());
    assert!(!compare(1, false).all_equal());
    assert!(compare(2, false).all_equal());
    assert!(compare(0, true).all_equal());
    let names: Vec<_> = compare(0, true).rows.into_iter().map(|r| r.expected).collect();
    assert!(names.contains(&"at least 1".to_owned()));
}

#[test]
fn it_prints_for_people_and_for_machines() {
    let expected = expected();
    let table = expected.compare(&all_measured(&expected), Uncertainty::default());
    let mut out = Vec::new();
    table.print(&mut out, Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["equal"], true);
    assert_eq!(json["rows"].as_array().unwrap().len(), table.rows.len());
    let mut out = Vec::new();
    table.print(&mut out, Format::Text).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.lines().count(), table.rows.len() + 1);
    let ends: BTreeSet<_> = text.lines().map(|l| l.rfind("  ").unwrap()).collect();
    assert_eq!(ends.len(), 1, "aligned:\n{text}");
}
