use std::collections::{BTreeSet, HashMap, HashSet};

use commerce::time;

use super::*;
use crate::demo::{Expected, Purpose};

const NOW: EventTime = EventTime(1_795_000_000 * time::SECOND);

fn shop(seed: u64, orders: usize) -> Shop {
    Shop::generate(&Options { seed, orders, now: NOW, credentials: Credentials::default() })
}

/// What is sent by a shop or a backend about its orders.
fn is_of_a_shop(delivery: &Delivery) -> bool {
    delivery.path().starts_with("/webhooks/shopify") || delivery.path() == "/transform-webhook-data"
}

fn id_of(delivery: &Delivery) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(&delivery.body).ok()?;
    Some(body.get("order_id").or(body.get("id"))?.to_string())
}

#[test]
fn one_seed_makes_the_same_bytes_and_another_seed_another_shop() {
    let (a, b, other) = (shop(1, 200), shop(1, 200), shop(2, 200));
    assert_eq!(a.deliveries, b.deliveries);
    assert_ne!(a.deliveries, other.deliveries);
    let ids = |shop: &Shop| shop.lives.iter().map(|life| life.id.clone()).collect::<HashSet<_>>();
    assert_eq!(ids(&a).len(), 200);
    assert!(ids(&a).is_disjoint(&ids(&other)), "two runs with different seeds have nothing in common");
}

#[test]
fn shares_are_roughly_met() {
    let shop = shop(DEFAULT_SEED, 5_000);
    let lives = |p: &dyn Fn(&Life) -> bool| shop.lives.iter().filter(|life| p(life)).count();
    let sent = |purpose| shop.deliveries.iter().filter(|d| d.purpose == purpose).count();
    let told = sent(Purpose::Tells);
    let tells = |path: &str| {
        let told = shop.deliveries.iter().filter(|d| d.purpose == Purpose::Tells);
        told.filter(|d| d.path().starts_with(path)).count()
    };
    let near = |what: &str, got: usize, per_mille: u32, of: usize| {
        let want = of * per_mille as usize / 1000;
        assert!(got.abs_diff(want) <= want / 4 + 10, "{what}: {got} for {want}");
    };
    near("shopify", lives(&|l| l.source == Source::Shopify), SHOPIFY, 5_000);
    for (source, share) in ELSEWHERE {
        near(source.as_str(), lives(&|l| l.source == source), share, 5_000);
    }
    let shops = lives(&|l| matches!(l.source, Source::Shopify | Source::Lifesight));
    near("tests", lives(&|l| l.test), TEST_ORDERS, shops);
    near("euro", lives(&|l| l.currency != Currency::USD), EUR_ORDERS, 5_000);
    near("refunded", lives(&|l| !l.refunds.is_empty()), 40, 5_000);
    near("repeated", sent(Purpose::Repeats), REPEATED, told);
    near("forged", sent(Purpose::Forges) + sent(Purpose::Guesses), FORGED, told);
    near("garbled", sent(Purpose::Garbles), GARBLED, tells("/webhooks/"));
    near("omitting", sent(Purpose::Omits), OMITTED, tells("/transform-webhook-data"));
    for purpose in [
        Purpose::Resubscribes,
        Purpose::Echoes,
        Purpose::Crawls,
        Purpose::Errs,
        Purpose::Anonymises,
        Purpose::Contradicts,
    ] {
        assert!(sent(purpose) > 0, "{purpose:?}");
    }
    assert!(sent(Purpose::Digresses) > 0);
    assert!(lives(&|l| l.refunds.len() > 1) > 0);
    assert!(lives(&|l| l.refunds.iter().map(|r| r.1).sum::<i64>() > l.total) > 0, "some exceed the total");
    assert!(lives(&|l| l.cancelled_at.is_some() && l.paid_at.is_none()) > 0);
    assert!(lives(&|l| l.person.is_none()) > 0, "guests");
}

#[test]
fn the_shop_of_the_demo_has_every_edge() {
    let shop = Shop::generate(&Options::default_at(NOW));
    let some = |what: &str, p: &dyn Fn(&Life) -> bool| assert!(shop.lives.iter().any(p), "{what}");
    some("paid after it was placed", &|l| l.paid_at.is_some_and(|at| at > l.placed_at));
    some("never paid", &|l| l.paid_at.is_none() && l.cancelled_at.is_none());
    some("cancelled without payment", &|l| l.paid_at.is_none() && l.cancelled_at.is_some());
    some("cancelled and refunded", &|l| l.cancelled_at.is_some() && !l.refunds.is_empty());
    some("cancelled, not refunded", &|l| l.cancelled_at > l.paid_at && l.refunds.is_empty());
    some("refunded beyond its total", &|l| l.refunds.iter().any(|r| r.1 > l.total));
    some("refunded in part", &|l| l.refunds.iter().map(|r| r.1).sum::<i64>() < l.total);
    some("refunded twice", &|l| l.refunds.len() == 2);
    some("a test with a person", &|l| l.test && l.person.is_some());
    some("a guest", &|l| l.person.is_none() && l.paid_at.is_some());
    some("a customer number alone", &|l| l.person.as_ref().is_some_and(|p| p.starts_with("backend:")));
    let text = |d: &Delivery| String::from_utf8_lossy(&d.body).into_owned();
    let sent = |what: &str, p: &dyn Fn(&str) -> bool| {
        assert!(shop.deliveries.iter().any(|d| d.expect_status == 200 && p(&text(d))), "{what}");
    };
    sent("refunded without amounts", &|b| {
        b.contains(r#""financial_status":"refunded""#) && b.contains(r#""refunds":[]"#)
    });
    sent("a failed transaction", &|b| b.contains(r#""status":"failure""#));
    sent("an e-mail in capitals", &|b| b.contains("@EXAMPLE.COM "));
    assert!(shop.deliveries.iter().any(|d| d.path().ends_with("refunds/create")));
}

#[test]
fn somebody_buys_through_both_sources() {
    let shop = shop(DEFAULT_SEED, 500);
    let people = |source| {
        let lives = shop.lives.iter().filter(|l| l.source == source);
        lives.filter_map(|l| l.person.clone()).collect::<BTreeSet<_>>()
    };
    assert!(people(Source::Shopify).intersection(&people(Source::Lifesight)).count() > 20);
}

#[test]
fn somebody_is_known_by_an_address_here_and_by_an_account_there_and_is_identified_once() {
    let shop = shop(DEFAULT_SEED, 1_000);
    let people = |by_account| {
        let lives = shop.lives.iter().filter(|l| l.by_account == by_account && !l.test);
        lives.filter_map(|l| l.person.clone()).collect::<BTreeSet<_>>()
    };
    let both: Vec<_> = people(true).intersection(&people(false)).cloned().collect();
    assert!(both.len() > 5, "{both:?}");
    for email in both {
        let introduces = |d: &&Delivery| {
            let text = String::from_utf8_lossy(&d.body).into_owned();
            d.purpose == Purpose::Tells && text.contains(&email) && text.contains("marketing_opt_in")
        };
        assert_eq!(shop.deliveries.iter().filter(introduces).count(), 1, "{email}");
    }
}

#[test]
fn every_source_has_its_part_and_its_own_ids() {
    let shop = shop(DEFAULT_SEED, 1_000);
    for path in [
        "/webhooks/shopify/",
        "/webhooks/stripe/payment",
        "/transform-webhook-data",
        "/api/v1/customers/",
        "/api/v1/events",
        "/api/v2/entity",
        "/api/v1/orders",
        "/v1/api/analytics/ecommerce/track",
        "/v1/api/analytics/ecommerce/batch",
        "/public/v1/records/orders/append",
        "/public/v1/records/payments/append",
        "/public/v1/records/profiles/upsert",
        "/public/v1/records/product_events/append",
    ] {
        assert!(shop.deliveries.iter().any(|d| d.path().starts_with(path)), "{path}");
    }
    let ids: HashSet<_> = shop.lives.iter().map(|life| &life.id).collect();
    assert_eq!(ids.len(), shop.lives.len(), "no two orders are one, whatever tells of them");
}

#[test]
fn an_order_stays_within_what_it_remembers_and_each_version_has_its_own_time() {
    let shop = shop(DEFAULT_SEED, 3_000);
    let mut per_order: HashMap<String, usize> = HashMap::new();
    let mut versions: HashSet<(String, String)> = HashSet::new();
    for delivery in shop.deliveries.iter().filter(|d| d.expect_status == 200 && is_of_a_shop(d)) {
        let body: serde_json::Value = match serde_json::from_slice(&delivery.body) {
            Ok(body @ serde_json::Value::Object(_)) => body,
            _ => continue,
        };
        let id = id_of(delivery).unwrap();
        *per_order.entry(id.clone()).or_default() += 1;
        if delivery.purpose == Purpose::Tells {
            let version = body.get("updated_at").or(body.get("created_at")).unwrap().to_string();
            assert!(versions.insert((id, version)), "two versions of one instant: {delivery:?}");
        }
    }
    assert!(per_order.values().max().unwrap() < &16);
}

#[test]
fn some_orders_are_told_from_the_end() {
    let shop = shop(DEFAULT_SEED, 1_000);
    let mut first: HashMap<String, bool> = HashMap::new();
    for delivery in shop.deliveries.iter().filter(|d| d.purpose == Purpose::Tells && is_of_a_shop(d)) {
        first.entry(id_of(delivery).unwrap()).or_insert(delivery.path_and_query.contains("create"));
    }
    assert!(first.values().filter(|creates| !**creates).count() > 10);
}

#[test]
fn bodies_are_of_a_real_size_and_name_nobody_real() {
    let shop = shop(DEFAULT_SEED, 300);
    let all: Vec<_> = shop.deliveries.iter().filter(|d| d.purpose == Purpose::Tells).collect();
    let orders: Vec<_> = all.iter().filter(|d| is_of_a_shop(d)).collect();
    let mean = orders.iter().map(|d| d.body.len()).sum::<usize>() / orders.len();
    assert!((1_500..4_500).contains(&mean), "{mean} bytes");
    for delivery in all {
        let text = String::from_utf8_lossy(&delivery.body).to_lowercase();
        assert_eq!(text.matches('@').count(), text.matches("@example.com").count());
    }
}

#[test]
fn nothing_happens_after_now_and_nothing_long_before() {
    let shop = shop(3, 2_000);
    for life in &shop.lives {
        let last = life.refunds.iter().map(|r| r.0).chain(life.paid_at).chain(life.cancelled_at).max();
        assert!(last.unwrap_or(life.placed_at) < NOW);
        assert!(NOW.0 - life.placed_at.0 < (SPAN_DAYS + 1) * time::DAY);
    }
    let days = shop.lives.iter().map(|l| l.placed_at.0 / time::DAY).collect::<BTreeSet<_>>();
    assert!(days.len() >= 30);
}

#[test]
fn what_is_sent_is_what_is_expected() {
    let shop = shop(DEFAULT_SEED, 400);
    let expected = Expected::of(&shop, Currency::USD);
    let refused: i64 = expected.rejected.values().sum();
    let again = shop.deliveries.iter().filter(|delivery| delivery.is_answered_again()).count() as i64;
    assert!(again > 0);
    assert_eq!(expected.accepted + refused + again, shop.deliveries.len() as i64);
    assert!(shop.deliveries.iter().enumerate().all(|(i, d)| d.at == i));
    assert!(expected.by_currency.len() == 2);
}

#[test]
fn a_shop_of_nothing_is_fine() {
    assert!(shop(1, 0).deliveries.is_empty());
    assert!(!shop(1, 1).deliveries.is_empty());
}
