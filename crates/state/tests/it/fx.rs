//! R5.7: amounts in base at the rate of the hour, whichever of the two comes first.

use commerce::order::FX_MISSING;
use commerce::person::Kind;
use serde_json::{Value, json};
use sources::WorkspaceConfig;

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";
const HOUR: &str = "2026-03-14T13";

fn order(id: u32, fields: Value) -> Value {
    let order = json!({
        "id": id,
        "email": JANE,
        "created_at": "2026-03-14T13:00:00Z",
        "processed_at": "2026-03-14T13:00:00Z",
        "updated_at": "2026-03-14T13:05:00Z",
        "currency": "EUR",
        "total_price": "100.00",
        "total_tax": "19.99",
        "financial_status": "paid",
        "line_items": [{"product_id": 1, "title": "Shirt", "quantity": 1, "price": "100.00"}],
        "refunds": [],
    });
    with(order, fields)
}

fn refunded(id: u32, minute: u32, amounts: &[&str]) -> Value {
    let refunds: Vec<Value> = amounts
        .iter()
        .enumerate()
        .map(|(n, amount)| {
            json!({"id": id * 10 + n as u32, "created_at": format!("2026-03-14T15:0{n}:00Z"),
                "transactions": [{"kind": "refund", "status": "success", "amount": amount, "currency": "EUR"}]})
        })
        .collect();
    order(id, json!({"updated_at": format!("2026-03-14T15:{minute:02}:00Z"), "refunds": refunds}))
}

#[test]
fn an_amount_stands_in_base_at_the_rate_of_its_hour_and_its_refund_at_the_same() {
    let mut story = Story::new();
    story.rates("USD", HOUR, &[("EUR", "1.08425")]);
    story.rates("USD", "2026-03-14T15", &[("EUR", "1.5")]);
    story.shopify("orders/create", &order(1, json!({})));
    let base = story.order("1").base.clone().unwrap();
    assert_eq!(
        (base.total.unwrap().to_string().as_str(), base.rate.to_string().as_str()),
        ("108.43 USD", "1.08425")
    );
    assert_eq!((base.rate_at, base.tax_total.unwrap().minor), (instant("2026-03-14T13:00:00Z"), 2_167));
    story.shopify("orders/updated", &refunded(1, 10, &["33.33", "33.33", "33.34"]));
    let base = story.order("1").base.clone().unwrap();
    assert_eq!((base.refunded_total.unwrap().minor, base.net.unwrap().minor), (10_843, 0));
    story.assert_chain("1");
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!(
        (jane.total_spent.minor, jane.lifetime_value.minor, jane.refunded_total.minor),
        (10_843, 0, 10_843)
    );
    assert!(jane.flags.is_empty());
}

#[test]
fn a_missing_rate_holds_the_amount_and_heals_it_when_it_comes() {
    let mut story = Story::new();
    // The hour before and the hour after are no substitute.
    story.rates("USD", "2026-03-14T12", &[("EUR", "1.1")]);
    story.rates("USD", "2026-03-14T14", &[("EUR", "1.2")]);
    story.shopify("orders/create", &order(1, json!({})));
    assert_eq!(
        (story.order("1").base.is_none(), story.order("1").flags.as_slice()),
        (true, [FX_MISSING.to_owned()].as_slice())
    );
    let jane = story.profile(Kind::Email, JANE);
    assert_eq!(
        (jane.orders_count, jane.total_spent.minor, jane.flags.as_slice()),
        (1, 0, [FX_MISSING.to_owned()].as_slice())
    );
    let facts = story.facts.len();
    // Another currency of the hour doesn't help it.
    story.rates("USD", HOUR, &[("GBP", "1.27")]);
    assert_eq!(story.facts.len(), facts);
    story.rates("USD", HOUR, &[("EUR", "1.08425"), ("JPY", "0.0064")]);
    assert_eq!(story.facts.len(), facts + 1);
    let fact = story.facts.last().unwrap();
    assert_eq!(
        (fact.event.as_str(), fact.flags.as_slice()),
        ("order.updated", ["fx_healed".to_owned()].as_slice())
    );
    assert_eq!(story.order("1").base.as_ref().unwrap().total.unwrap().minor, 10_843);
    assert!(story.order("1").flags.is_empty());
    assert_eq!(story.profile(Kind::Email, JANE).total_spent.minor, 10_843);
    story.assert_chain("1");
    // Once: neither the same rates again nor a changed one move anything.
    let facts = story.facts.len();
    story.rates("USD", HOUR, &[("EUR", "1.08425")]);
    story.rates("USD", HOUR, &[("EUR", "9")]);
    assert_eq!(
        (story.facts.len(), story.order("1").base.as_ref().unwrap().total.unwrap().minor),
        (facts, 10_843)
    );
}

#[test]
fn an_order_in_the_base_currency_is_what_it_was() {
    let mut story = Story::new();
    story.rates("USD", HOUR, &[("EUR", "1.1"), ("USD", "7")]);
    story.shopify("orders/create", &order(1, json!({"currency": "USD"})));
    assert!(story.order("1").base.is_none() && story.order("1").flags.is_empty());
    assert_eq!(story.profile(Kind::Email, JANE).total_spent.minor, 10_000);
}

type Deed = Box<dyn Fn(&mut Story)>;

/// What happens, each by itself.
fn deeds() -> Vec<Deed> {
    vec![
        Box::new(|story| story.rates("USD", HOUR, &[("EUR", "1.08425"), ("JPY", "0.0064")])),
        Box::new(|story| story.rates("USD", "2026-03-14T15", &[("EUR", "1.5")])),
        Box::new(|story| story.shopify("orders/create", &order(1, json!({"financial_status": "pending"})))),
        Box::new(|story| story.shopify("orders/updated", &refunded(1, 10, &["33.33", "33.34"]))),
        Box::new(|story| {
            let yen = json!({"currency": "JPY", "total_price": "5000", "total_tax": "99", "email": "joe@example.com"});
            story.shopify("orders/paid", &order(2, yen));
        }),
        // No rate of it ever comes.
        Box::new(|story| story.shopify("orders/paid", &order(3, json!({"currency": "CHF"})))),
    ]
}

#[test]
fn the_end_is_the_same_in_whatever_order_rates_and_orders_come() {
    let (deeds, mut ends) = (deeds(), vec![]);
    let n = deeds.len();
    for permutation in permutations(n) {
        let mut story = Story::new();
        for deed in &permutation {
            deeds[*deed](&mut story);
        }
        // And once more, which changes nothing.
        deeds[permutation[0]](&mut story);
        ["1", "2", "3"].iter().for_each(|id| story.assert_chain(id));
        ends.push(story.settled());
    }
    assert_eq!(ends.len(), 720);
    assert!(ends.iter().all(|end| *end == ends[0]));
    let (orders, _) = &ends[0];
    let worth: Vec<Option<i64>> =
        orders.iter().map(|(_, order)| Some(order.as_ref()?.base.as_ref()?.net?.minor)).collect();
    // The first was paid two hours after it was placed, and counts at the rate of then.
    assert_eq!(worth, [Some(15_000 - 10_001), Some(3_200), None]);
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for next in 0..n {
        let insert = |p: &Vec<usize>, at: usize| [&p[..at], &[next], &p[at..]].concat();
        all = all.iter().flat_map(|p| (0..=p.len()).map(move |at| insert(p, at))).collect();
    }
    all
}

#[test]
fn a_great_many_orders_that_waited_are_said_in_portions_and_each_once() {
    let mut story = Story::new();
    for id in 1..=1_100 {
        story.shopify("orders/create", &order(id, json!({"email": null})));
    }
    let facts = story.facts.len();
    story.rates("USD", HOUR, &[("EUR", "1.08425"), ("JPY", "0.0064")]);
    assert_eq!((story.facts.len() - facts, story.rounds), (1_100, 3));
    assert!((1..=1_100).all(|id| story.order(&id.to_string()).base.is_some()));
}

#[test]
fn somebody_elses_word_about_rates_is_set_aside() {
    let mut story = Story::new();
    story.event("5", "fx.rates_published", json!({"EUR": "9"}));
    story.shopify("orders/create", &order(1, json!({})));
    assert!(story.order("1").base.is_none());
}

#[test]
fn an_erased_buyer_leaves_the_amounts_in_base_too() {
    let mut story = Story::new();
    story.rates("USD", HOUR, &[("EUR", "1.1")]);
    story.shopify("orders/create", &order(1, json!({})));
    let request = json!({"shop_domain": "demo-shop.myshopify.com", "customer": {"id": 7, "email": JANE}});
    story.at("2026-03-15T16:00:00Z").shopify("customers/redact", &request);
    let order = story.order("1");
    assert!(order.person_id.is_none());
    assert_eq!(order.base.as_ref().unwrap().total.unwrap().minor, 11_000);
}

/// An order whose description takes some 20 kB: a fact with what it was before takes twice that.
fn long(id: u32) -> Value {
    let line = |n: u32| json!({"product_id": n, "title": "x".repeat(190), "quantity": 1, "price": "1.00"});
    order(id, json!({"financial_status": "pending", "line_items": (0..100).map(line).collect::<Vec<_>>()}))
}

#[test]
fn an_order_that_can_not_be_healed_is_set_aside_by_itself_and_the_others_of_the_hour_are_healed() {
    let mut story = Story::with_facts_of_at_most(40_000);
    for order in [order(1, json!({})), long(2), order(3, json!({}))] {
        story.shopify("orders/create", &order);
    }
    assert!(story.letters.is_empty(), "what is said of it first is within the limit");
    story.rates("USD", HOUR, &[("EUR", "1.1"), ("JPY", "0.0064")]);
    let worth = |story: &Story, id: &str| story.order(id).base.as_ref().map(|base| base.total.unwrap().minor);
    assert_eq!(["1", "2", "3"].map(|id| worth(&story, id)), [Some(11_000), None, Some(11_000)]);
    let letters: Vec<_> = story.letters.iter().map(|l| (l.reason.as_str(), l.workspace.as_str())).collect();
    assert_eq!(letters, [("output_too_large", "demo")], "a letter of the order's own workspace");
    assert_eq!(story.outcomes("/dead_lettered/output_too_large"), 1);
    assert_eq!(story.order("2").flags, [FX_MISSING]);
    // The rate itself is there.
    story.shopify("orders/create", &order(4, json!({})));
    assert_eq!(worth(&story, "4"), Some(11_000));
    story.rates("USD", HOUR, &[("EUR", "1.1")]);
    assert_eq!(story.letters.len(), 1, "it is said once");
    ["1", "2", "3", "4"].iter().for_each(|id| story.assert_chain(id));
}

#[test]
fn an_order_of_a_workspace_that_is_not_configured_for_a_while_waits_on() {
    let mut story = Story::new();
    story.shopify("orders/create", &order(1, json!({})));
    let other = WorkspaceConfig { id: "other".to_owned(), ..WorkspaceConfig::development() };
    story.reconfigure([other]);
    story.rates("USD", HOUR, &[("EUR", "1.1")]);
    assert!(story.order("1").base.is_none());
    story.reconfigure([WorkspaceConfig::development()]);
    story.rates("USD", HOUR, &[("EUR", "1.1")]);
    assert_eq!(story.order("1").base.as_ref().unwrap().total.unwrap().minor, 11_000);
}

#[test]
fn what_is_healed_is_said_in_the_environment_of_its_order() {
    let mut story = Story::configured(|config| config.environment = "staging".to_owned());
    story.shopify("orders/create", &order(1, json!({})));
    story.rates("USD", HOUR, &[("EUR", "1.1")]);
    let environments: Vec<_> = story.facts.iter().map(|fact| fact.environment.as_str()).collect();
    assert!(environments.len() > 1 && environments.iter().all(|name| *name == "staging"), "{environments:?}");
}

#[test]
fn rates_older_than_any_live_order_go_and_what_they_have_settled_stays() {
    let mut story = Story::new();
    story.rates("USD", HOUR, &[("EUR", "1.1")]);
    story.shopify("orders/create", &order(1, json!({})));
    let rows = story.rate_rows();
    story.at("2027-07-01T00:10:00Z").rates("USD", "2027-07-01T00", &[("EUR", "2")]);
    assert_eq!(story.rate_rows(), rows, "one came and one went");
    let update = json!({"updated_at": "2027-07-01T00:00:00Z", "tags": "vip", "total_price": "200.00"});
    story.shopify("orders/updated", &order(1, update));
    assert_eq!(
        story.order("1").base.as_ref().unwrap().total.unwrap().minor,
        22_000,
        "at the rate that it has"
    );
    // An order of then that comes only now waits, and is healed by the rates that are loaded for it.
    story.shopify("orders/create", &order(2, json!({})));
    assert_eq!(story.order("2").flags, [FX_MISSING]);
    story.rates("USD", HOUR, &[("EUR", "1.2")]);
    assert_eq!(story.order("2").base.as_ref().unwrap().total.unwrap().minor, 12_000);
    // What was loaded just now is kept as long as what is of now.
    story.at("2027-07-01T01:10:00Z").rates("USD", "2027-07-01T01", &[("EUR", "2")]);
    story.shopify("orders/create", &order(3, json!({})));
    assert_eq!(story.order("3").base.as_ref().unwrap().total.unwrap().minor, 12_000);
}
