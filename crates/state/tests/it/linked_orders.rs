//! An order that several sources tell of is one, counted once, whichever of them is processed first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commerce::order::{Matter, View};
use commerce::person::Kind;
use commerce::reconciliation::Standing;
use commerce::{EventName, Metric, Source};
use http::Method;
use serde_json::{Value, json};
use service::stage::Parts;
use sources::{WorkspaceConfig, Workspaces};
use stream::{Harness, Output, Record};
use topics::{Schemas, Topic};

use crate::fixture::*;

const JANE: &str = "jane.doe@example.com";
const JOHN: &str = "john@example.com";

/// Order 5766207 of the shop, `#1001` to its customer, 30.49 USD.
fn shop(fields: Value) -> Value {
    let order = json!({
        "id": 5_766_207,
        "name": "#1001",
        "order_number": 1001,
        "email": JANE,
        "created_at": "2026-03-14T09:00:00-04:00",
        "updated_at": "2026-03-14T09:05:00-04:00",
        "currency": "USD",
        "total_price": "30.49",
        "financial_status": "paid",
        "fulfillment_status": null,
        "line_items": [{"product_id": 1, "title": "Shirt", "quantity": 1, "price": "30.49"}],
        "refunds": [],
    });
    with(order, fields)
}

fn pushed(fields: Value) -> Value {
    let push = json!({"orderId": "s-1", "orderNumber": "1001", "totalCents": 3049, "currency": "USD",
        "orderedAt": "2026-03-14T13:00:00Z", "customer": {"email": JANE}});
    with(push, fields)
}

fn bought(fields: Value) -> Value {
    let purchase = json!({"event_type": "purchase", "transaction_id": "5766207", "revenue": 30.49,
        "currency": "USD", "user_id": "5"});
    with(purchase, fields)
}

fn row(fields: Value) -> Value {
    let row = json!({"shopify_order_id": "5766207", "customer_email": JANE, "total": 30.49, "currency": "USD",
        "financial_status": "paid", "placed_at": "2026-03-14T09:00:00-04:00"});
    json!({"record": with(row, fields)})
}

/// Orders, gross and refunds over all days, as the aggregator sums them up from the facts.
fn revenue(story: &Story) -> (i64, i64, i64) {
    let metrics = metrics(story);
    let cells = || metrics.iter().filter(|(key, _)| key.contains("\"revenue\""));
    let sum = |name: &str| cells().filter_map(|(_, values)| values.get(name)).sum::<i64>();
    (sum("orders"), sum("gross"), sum("refund_amount"))
}

/// All figures that aren't zero.
pub(crate) fn metrics(story: &Story) -> BTreeMap<String, BTreeMap<String, i64>> {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    let parts = Parts { workspaces: Arc::new(workspaces), schemas: Schemas::offline(), event_partitions: 1 };
    let output = |topic: &Topic| Output { topic: topic.name().to_owned(), max_message_bytes: usize::MAX };
    let stage = aggregator::Aggregator::new(&parts, Duration::from_secs(3600)).unwrap();
    let outputs = aggregator::PLAN.outputs.iter().map(output).collect();
    let mut harness = Harness::new(stage, aggregator::PLAN.tables, outputs);
    for (key, value) in &story.told {
        let emitted = harness.process(&Record::new(Topic::Facts.name(), 0, 0, key, value)).unwrap();
        assert!(emitted.is_empty(), "a fact became a dead letter");
    }
    let mut decoder = parts.schemas.decoder();
    let mut all = BTreeMap::new();
    for (_, _, _, value) in harness.commit(0).unwrap() {
        let Some(value) = value else { continue };
        let metric: Metric = decoder.decode(&value).unwrap();
        let values: BTreeMap<String, i64> = metric.values.into_iter().filter(|(_, n)| *n != 0).collect();
        if !values.is_empty() {
            all.insert(
                format!("{:?} {} {:?}", metric.metric, metric.window_start, metric.dimensions),
                values,
            );
        }
    }
    all
}

fn ids(story: &Story) -> Vec<&str> {
    story.all_orders().iter().map(|view| view.id.as_str()).collect()
}

/// Count and gross of somebody, in minor units.
fn spent(story: &Story, email: &str) -> (i64, i64) {
    let person = story.profile(Kind::Email, email);
    (person.orders_count, person.total_spent.minor)
}

/// Each order's facts lead from nothing to what is published of it, with no gap.
fn assert_chains(story: &Story) {
    let mut last: BTreeMap<String, View> = BTreeMap::new();
    for fact in &story.facts {
        let Some(id) = &fact.order_id else { continue };
        let after = fact.after.clone().unwrap();
        let known = last.insert(id.clone(), after);
        assert_eq!(fact.before, known.filter(|view| view.total.is_some()), "{id} {}", fact.event);
    }
    last.retain(|_, view| view.total.is_some());
    let published = story.all_orders().into_iter().map(|view| (view.id.clone(), view.clone()));
    assert_eq!(published.collect::<BTreeMap<_, _>>(), last);
}

#[test]
fn an_order_that_a_shop_and_a_push_tell_of_counts_once() {
    let mut story = Story::new();
    story.shopify("orders/create", &shop(json!({})));
    story.sequenzy(&pushed(json!({})));
    assert_eq!(ids(&story), ["5766207"]);
    let order = story.order("5766207");
    assert_eq!(order.sources, [Source::Shopify, Source::Sequenzy]);
    assert!(order.aliases.contains(&"s-1".to_owned()));
    assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 1));
    assert_eq!(spent(&story, JANE), (1, 3049));
    assert_eq!(revenue(&story), (1, 3049, 0));
    assert_chains(&story);
}

#[test]
fn a_link_that_is_found_later_takes_back_what_was_counted_twice() {
    let mut story = Story::new();
    story.shopify("orders/create", &shop(json!({})));
    // The push says its number only when it is repeated.
    story.sequenzy(&pushed(json!({"orderNumber": null, "customer": {"email": JOHN}})));
    assert_eq!((ids(&story), revenue(&story)), (vec!["5766207", "s-1"], (2, 6098, 0)));
    assert_eq!(spent(&story, JOHN), (1, 3049));
    story.sequenzy(&pushed(json!({"customer": {"email": JOHN}})));
    assert_eq!((ids(&story), revenue(&story)), (vec!["5766207"], (1, 3049, 0)));
    assert!(!story.has_order("s-1"));
    assert_eq!((spent(&story, JANE), spent(&story, JOHN)), ((1, 3049), (0, 0)));
    assert_chains(&story);
    let linked = story.facts.iter().filter(|fact| fact.flags.iter().any(|flag| flag == "order_linked"));
    let linked: Vec<_> = linked.map(|fact| (fact.order_id.as_deref(), fact.trigger_eligible)).collect();
    assert_eq!(linked, [(Some("s-1"), false)]);
    // What comes of it later finds the one order under each of its ids.
    story.sequenzy(&pushed(json!({"status": "cancelled"})));
    assert!(story.order("5766207").cancelled_at.is_some());
    assert_chains(&story);
}

#[test]
fn an_order_is_found_by_the_id_that_the_first_delivery_had_whichever_is_processed_first() {
    let mut door = Story::new();
    let first = stored(&mut door, "/api/v1/orders", &pushed(json!({})));
    let second = door.shopify_store("orders/create", &shop(json!({})).to_string());
    for order in [[&first, &second], [&second, &first]] {
        let mut story = Story::new();
        order.into_iter().for_each(|delivery| story.take(delivery));
        assert_eq!(ids(&story), ["s-1"]);
        assert_eq!(story.order("s-1").source, Some(Source::Shopify));
        assert_eq!((spent(&story, JANE), revenue(&story)), ((1, 3049), (1, 3049, 0)));
        assert_eq!((story.count(EventName::OrderPlaced), story.count(EventName::OrderPaid)), (1, 1));
        assert_chains(&story);
    }
}

#[test]
fn the_same_number_with_another_total_is_another_order() {
    let mut story = Story::new();
    story.shopify("orders/create", &shop(json!({})));
    story.sequenzy(&pushed(json!({"totalCents": 3050})));
    assert_eq!((ids(&story), revenue(&story)), (vec!["5766207", "s-1"], (2, 6099, 0)));
}

#[test]
fn a_refund_that_both_tell_of_goes_back_once() {
    let mut story = Story::new();
    story.sequenzy(&pushed(json!({})));
    story.sequenzy(&pushed(json!({"status": "refunded", "refundAmountCents": 1000})));
    let refunds =
        json!([{"id": 1, "created_at": "2026-03-14T14:02:00Z", "transactions": [{"amount": "10.00"}]}]);
    story.shopify(
        "orders/updated",
        &shop(json!({"financial_status": "partially_refunded", "refunds": refunds, "updated_at": "2026-03-14T14:03:00Z"})),
    );
    assert_eq!(story.order("s-1").refunded_total.unwrap().minor, 1000);
    assert_eq!(revenue(&story), (1, 3049, 1000));
    assert_chains(&story);
}

#[test]
fn a_disagreement_is_published_with_both_figures_once_and_when_it_ends() {
    let mut story = Story::new();
    story.shopify("orders/create", &shop(json!({})));
    story.analytics(&bought(json!({"revenue": 30.00})));
    let said = |story: &Story| {
        let of = |record: &commerce::Reconciliation| {
            let figures = (record.taken.value.clone(), record.other.value.clone());
            (record.matter, record.standing, record.taken.source, record.other.source, figures)
        };
        story.reconciliations.iter().map(of).collect::<Vec<_>>()
    };
    let total = |standing, taken: &str, other: &str| {
        (Matter::Total, standing, Source::Shopify, Source::Analytics, (taken.to_owned(), other.to_owned()))
    };
    assert_eq!(said(&story), [total(Standing::Open, "30.49", "30.00")]);
    assert_eq!(story.outcomes("analytics/total"), 1);
    assert_eq!(story.order("5766207").total.unwrap().minor, 3049);
    // Nothing new, nothing said.
    story.analytics(&bought(json!({"revenue": 30.00})));
    story.shopify("orders/updated", &shop(json!({"tags": "a", "updated_at": "2026-03-14T14:00:00Z"})));
    assert_eq!(story.reconciliations.len(), 1);
    // Another figure, and then the same as the other's.
    let edit = |story: &mut Story, minute: u32, total: &str| {
        let at = format!("2026-03-14T14:{minute:02}:00Z");
        story.shopify("orders/updated", &shop(json!({"total_price": total, "updated_at": at})));
    };
    edit(&mut story, 1, "31.00");
    assert_eq!(story.outcomes("analytics/total"), 1);
    edit(&mut story, 2, "30.00");
    assert_eq!(
        said(&story)[1..],
        [total(Standing::Open, "31.00", "30.00"), total(Standing::Resolved, "31.00", "30.00"),]
    );
    let ids: std::collections::BTreeSet<_> =
        story.reconciliations.iter().map(|record| &record.disagreement_id).collect();
    assert_eq!((ids.len(), story.outcomes("analytics/total")), (1, 0));
}

#[test]
fn what_is_disagreed_about_a_test_order_is_said_and_counts_in_no_figure() {
    let mut story = Story::new();
    story.shopify("orders/create", &shop(json!({})));
    story.analytics(&bought(json!({"revenue": 30.00})));
    assert_eq!(story.outcomes("analytics/total"), 1);
    // That it was a test is said only now.
    let test = json!({"test": true, "updated_at": "2026-03-14T14:00:00Z"});
    story.shopify("orders/updated", &shop(test));
    assert!(story.order("5766207").qa);
    assert_eq!(story.outcomes("analytics/total"), 0);
    // And one that is a test from its beginning.
    story.shopify("orders/create", &shop(json!({"id": 9, "name": "#9", "order_number": 9, "test": true})));
    story.analytics(&bought(json!({"transaction_id": "9", "revenue": 30.00, "user_id": "6"})));
    assert!(story.reconciliations.iter().any(|record| record.qa && record.order_id == "9"));
    assert_eq!(story.outcomes("analytics/total"), 0);
}

#[test]
fn a_currency_is_disagreed_about_as_a_currency_and_nothing_is_summed_across() {
    let mut story = Story::new();
    story.shopify("orders/create", &shop(json!({})));
    story.analytics(&bought(json!({"currency": "EUR"})));
    let found: Vec<_> =
        story.reconciliations.iter().map(|record| (record.matter, &*record.other.value)).collect();
    assert_eq!(found, [(Matter::Currency, "EUR")]);
    assert_eq!(revenue(&story), (1, 3049, 0));
}

#[test]
fn what_linked_two_orders_by_the_api_alone_goes_with_its_user() {
    let mut story = Story::new();
    // The purchase has the id of the one and is, by its number and total, the other one.
    story.shopify("orders/create", &shop(json!({"id": 77, "name": "#s-1", "order_number": null})));
    story.analytics(&bought(json!({"transaction_id": "s-1"})));
    story.sequenzy(&pushed(json!({"totalCents": 9900, "orderNumber": null, "customer": {"email": JOHN}})));
    assert_eq!((ids(&story), revenue(&story).0), (vec!["77"], 1));
    let line = (Method::DELETE, "/v1/api/analytics/user/5", None);
    assert_eq!(story.call(line, &[("x-api-key", "sk_dev_demo")], ""), 200);
    assert_eq!(ids(&story), ["77", "s-1"]);
    assert_eq!(revenue(&story), (2, 3049 + 9900, 0));
    assert_chains(&story);
}

/// Every order of processing gives the same orders, people and figures.
#[test]
fn every_order_of_processing_of_four_sources_ends_the_same() {
    let mut door = Story::new();
    let refunds =
        json!([{"id": 1, "created_at": "2026-03-14T14:02:00Z", "transactions": [{"amount": "5.00"}]}]);
    let deliveries = [
        stored(&mut door, "/api/v1/orders", &pushed(json!({"customer": {"email": JOHN}}))),
        door.shopify_store("orders/create", &shop(json!({})).to_string()),
        stored(&mut door, "/v1/api/analytics/ecommerce/track", &bought(json!({"revenue": 30.00}))),
        stored(&mut door, "/public/v1/records/orders/append", &row(json!({"order_id": "s-1"}))),
        door.shopify_store(
            "orders/updated",
            &shop(
                json!({"total_price": "29.00", "refunds": refunds, "financial_status": "partially_refunded",
                "updated_at": "2026-03-14T14:03:00Z"}),
            )
            .to_string(),
        ),
    ];
    let mut expected = None;
    for places in permutations(deliveries.len()) {
        let mut story = Story::new();
        for place in places.iter().chain(&places[..2]) {
            story.take(&deliveries[*place]);
        }
        assert_chains(&story);
        let (mut orders, mut profiles) = story.settled();
        orders.retain(|(_, order)| order.is_some());
        profiles.retain(|(_, profile)| profile.as_ref().is_some_and(|profile| profile.merged_into.is_none()));
        assert_eq!((ids(&story), revenue(&story)), (vec!["s-1"], (1, 2900, 500)), "{places:?}");
        // What is disagreed about in the end, by the last record of each.
        let mut open = BTreeMap::new();
        for record in &story.reconciliations {
            let key = (record.order_id.clone(), record.matter, record.other.source);
            match record.standing {
                Standing::Open => drop(open.insert(key, (record.taken.clone(), record.other.clone()))),
                Standing::Resolved => drop(open.remove(&key).unwrap()),
            }
        }
        let settled = format!("{orders:#?} {profiles:#?} {open:#?} {:#?}", metrics(&story));
        let expected = expected.get_or_insert_with(|| settled.clone());
        for (line, (a, b)) in expected.lines().zip(settled.lines()).enumerate() {
            assert_eq!(a, b, "{places:?}, line {line}");
        }
        assert_eq!(*expected, settled, "{places:?}");
    }
}

fn stored(door: &mut Story, path: &str, body: &Value) -> Stored {
    let key = match path {
        "/api/v1/orders" => ("authorization", "Bearer dev-orders-key"),
        "/v1/api/analytics/ecommerce/track" => ("x-api-key", "sk_dev_demo"),
        _ => ("authorization", "Bearer dev-records-key"),
    };
    let headers = [key, ("idempotency-key", "k-1")];
    door.store((Method::POST, path, None), &headers, &body.to_string()).1.unwrap()
}

fn permutations(n: usize) -> Vec<Vec<usize>> {
    let Some(last) = n.checked_sub(1) else { return vec![vec![]] };
    let shorter = permutations(last);
    let insert = |rest: &Vec<usize>, at: usize| [&rest[..at], &[last], &rest[at..]].concat();
    shorter.iter().flat_map(|rest| (0..n).map(move |at| insert(rest, at))).collect()
}

#[test]
fn a_name_that_was_lost_to_an_order_that_is_erased_is_won_by_the_next() {
    let mut door = Story::new();
    let mut purchase = |transaction: &str, user: &str| {
        let body = bought(json!({"transaction_id": transaction, "user_id": user})).to_string();
        let line = (Method::POST, "/v1/api/analytics/ecommerce/track", None);
        door.store(line, &[("x-api-key", "sk_dev_demo")], &body).1.unwrap()
    };
    // Both call it by what its customer sees.
    let (first, second) = (purchase("#1001", "5"), purchase("1001", "6"));
    let created = door.shopify_store("orders/create", &shop(json!({})).to_string());
    let line = (Method::DELETE, "/v1/api/analytics/user/5", None);
    door.at("2026-03-14T17:00:00Z");
    let gone = door.store(line, &[("x-api-key", "sk_dev_demo")], "").1.unwrap();
    let all = [first, second, created, gone];
    for places in permutations(4) {
        let mut story = Story::new();
        places.iter().for_each(|place| story.take(&all[*place]));
        assert_eq!(story.all_orders().len(), 1, "{places:?}: {:?}", ids(&story));
        assert_eq!(story.all_orders()[0].sources, [Source::Shopify, Source::Analytics], "{places:?}");
        assert_eq!(revenue(&story), (1, 3049, 0), "{places:?}");
        assert_chains(&story);
    }
}
