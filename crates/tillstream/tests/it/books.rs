//! The demo's books against the stages' own code: every delivery goes through the door, the normalizer, the state stage
//! and the aggregator, without HTTP and without Kafka, and everything in the table must be equal.

use std::collections::{BTreeMap, HashSet};

use commerce::order::View;
use commerce::time::{SECOND, Zone};
use commerce::{Currency, DuplicateLevel, EventTime, ReceivedTime};
use sources::{Decision, Raw, WorkspaceConfig, Workspaces};
use tillstream::demo::delivery::Purpose;
use tillstream::demo::expected::Part;
use tillstream::demo::shop::{Options, Shop};
use tillstream::demo::{Credentials, Delivery, Expected, Measured, Uncertainty};
use tillstream::measure::Found;
use tillstream::trigger;
use topics::Topic;

use crate::convergence::{parts, run, store};

const NOW: EventTime = EventTime(1_795_000_000 * SECOND);

/// What the stages make of some deliveries, in that order of arrival.
fn process(deliveries: &[&Delivery], base: Currency) -> Measured {
    let parts = parts();
    let (mut found, mut rejected, mut letters) = (Found::default(), BTreeMap::new(), Vec::new());
    for delivery in deliveries {
        let status = match delivery.decide(&parts.workspaces, ReceivedTime(NOW.0)).unwrap() {
            Decision::Accept(accepted) => {
                found.accepted += 1;
                accepted.reply.status
            }
            Decision::Refuse(refused) => {
                *rejected.entry(refused.reply.status).or_default() += 1;
                letters.extend(refused.letter.map(|letter| letter.failure.reason));
                refused.reply.status
            }
            Decision::Answer(reply) => panic!("{delivery:?} is answered {reply:?}"),
        };
        assert_eq!(status, delivery.expect_status, "{delivery:?}");
    }
    let stored = store(deliveries.iter().copied(), &parts);
    let done = run(&stored.iter().collect::<Vec<_>>(), 50, &parts);
    let mut decoder = parts.schemas.decoder();
    for ((topic, key), value) in &done.latest {
        match topic {
            Topic::Orders => found.order(key, decoder.decode(value).unwrap()),
            Topic::Profiles => found.profile(key, decoder.decode(value).unwrap()),
            Topic::Metrics => found.metric(key, decoder.decode(value).unwrap()),
            other => panic!("{other:?}"),
        }
    }
    done.facts.iter().for_each(|fact| found.fact(&decoder.decode(fact).unwrap()));
    done.letters.iter().for_each(|letter| found.letter(decoder.decode(letter).unwrap()));
    let (mut totals, mut days) = (BTreeMap::new(), BTreeMap::new());
    let (mut by_device, mut by_coupon) = (BTreeMap::new(), BTreeMap::new());
    for view in found.orders().filter(|view| view.counted && !view.qa) {
        add(view, &mut totals, &mut days);
        let total = view.total.unwrap();
        if total.currency == base {
            let device = view.context.as_ref().and_then(|context| context.device.clone());
            let device = by_device.entry(device.unwrap_or_else(|| "unknown".to_owned())).or_default();
            let mut all: Vec<&mut Part> = vec![device];
            all.extend(view.coupon_codes.first().map(|code| by_coupon.entry(code.clone()).or_default()));
            for part in all {
                part.orders += 1;
                part.gross += total.minor;
            }
        }
    }
    let mut measured = found.measured();
    for reason in letters {
        *measured.dead_letters.as_mut().unwrap().entry(reason).or_default() += 1;
    }
    Measured {
        by_currency: Some(totals),
        by_day: Some(days),
        by_device: Some(by_device),
        by_coupon: Some(by_coupon),
        rejected: Some(rejected),
        ..measured
    }
}

type Totals = BTreeMap<Currency, tillstream::demo::expected::Totals>;
type Days = BTreeMap<(commerce::time::Day, Currency), tillstream::demo::expected::DayTotals>;

fn add(view: &View, totals: &mut Totals, days: &mut Days) {
    let zone = Zone::utc();
    let total = view.total.unwrap();
    let sums = totals.entry(total.currency).or_default();
    sums.orders += 1;
    sums.gross += total.minor;
    sums.items += view.item_count;
    sums.refunds += view.refunds.len() as i64;
    sums.refunded += view.refunded_total.unwrap().minor;
    sums.cancelled += i64::from(view.cancelled_at.is_some());
    let day = days.entry((zone.day_of(view.counted_at.unwrap()), total.currency)).or_default();
    day.orders += 1;
    day.gross += total.minor;
    for (id, amount) in &view.refunds {
        let day = days.entry((zone.day_of(view.refund_times[id]), total.currency)).or_default();
        day.refunds += 1;
        day.refunded += amount.minor;
    }
}

fn check<'a>(shop: &Shop, deliveries: impl Iterator<Item = &'a Delivery>) {
    let expected = Expected::of(shop, Currency::USD);
    let deliveries: Vec<_> = deliveries.collect();
    let mut measured = process(&deliveries, Currency::USD);
    // There is no gateway here: what it answers from what is stored gets as far as the stages, which catch it.
    let answered: Vec<_> = deliveries.iter().filter(|delivery| delivery.is_answered_again()).collect();
    let repeated = answered.iter().filter(|delivery| delivery.purpose == Purpose::Repeats).count();
    *measured.accepted.as_mut().unwrap() -= i64::try_from(answered.len()).unwrap();
    let caught = measured.duplicates.as_mut().unwrap();
    *caught.get_mut(&DuplicateLevel::Transport).unwrap() -= i64::try_from(repeated).unwrap();
    let table = expected.compare(&measured, Uncertainty::default());
    assert!(table.all_equal(), "\n{table}");
}

#[test]
fn the_books_of_the_demo_are_what_the_stages_make_of_its_deliveries() {
    let shop = Shop::generate(&Options { orders: 700, ..Options::default_at(NOW) });
    check(&shop, shop.deliveries.iter());
}

#[test]
fn the_books_hold_for_any_seed_and_any_order_of_arrival() {
    for seed in 0..3 {
        let shop = Shop::generate(&Options { seed, orders: 200, ..Options::default_at(NOW) });
        check(&shop, shop.deliveries.iter());
        check(&shop, shop.deliveries.iter().rev());
        let mut mixed: Vec<&Delivery> = shop.deliveries.iter().collect();
        mixed.sort_by_key(|delivery| delivery.at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        check(&shop, mixed.into_iter());
    }
}

/// Everything has an id or a key, of its sender's or made of what it says, but for statements about a person, which are
/// news each time.
fn is_told_apart(source: commerce::Source, event: &str) -> bool {
    let statements = ["identify", "merge", "delete", "suppress", "unsuppress", "entity", "batch"];
    match source {
        commerce::Source::Customerio => !statements.contains(&event),
        _ => event != "delete_user",
    }
}

#[test]
fn what_is_triggered_is_accepted_and_read_whatever_the_source() {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    for kind in &trigger::KINDS {
        for event in kind.events {
            let request = trigger::Request {
                source: kind.source.as_str(),
                event,
                set: &[],
                count: 3,
                same: true,
                now: NOW,
            };
            let mut marks: Vec<HashSet<String>> = Vec::new();
            for (n, delivery) in
                trigger::deliveries(&request, &Credentials::default()).unwrap().iter().enumerate()
            {
                let decided = delivery.decide(&workspaces, ReceivedTime(NOW.0)).unwrap();
                let Decision::Accept(accepted) = decided else {
                    panic!("{} {event} is not accepted: {decided:?}", kind.source);
                };
                assert_eq!(accepted.reply.status, delivery.expect_status, "{} {event}", kind.source);
                let stored: Vec<(&str, &str)> =
                    accepted.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
                let raw = Raw {
                    source: accepted.source,
                    workspace: workspaces.get(accepted.workspace.as_str()).unwrap(),
                    received_at: ReceivedTime(NOW.0 + 1),
                    partition: 0,
                    offset: n as i64,
                    headers: &stored,
                    body: &delivery.body,
                };
                let items = sources::normalize(&raw).unwrap();
                assert!(!items.is_empty(), "{} {event} says nothing", kind.source);
                let events: Vec<_> = items.into_iter().map(Result::unwrap).collect();
                assert!(
                    events.iter().all(|e| !e.qa && e.event != commerce::EventName::CustomTracked),
                    "{} {event} is test traffic or unknown",
                    kind.source
                );
                marks.push(events.into_iter().map(|e| e.keys.transport).collect());
            }
            let same = marks[0] == marks[1] && marks[1] == marks[2];
            assert!(same || !is_told_apart(kind.source, event), "{} {event}", kind.source);
        }
    }
}

#[test]
fn an_order_that_is_triggered_is_worth_what_was_set_whatever_the_source() {
    for (source, event, set) in [
        ("shopify", "orders/paid", "total_price=99.00"),
        ("lifesight", "orders_paid", "total_price=99.00"),
        ("customerio", "order_paid", "total=99.00"),
        ("sequenzy", "order_placed", "totalCents=9900"),
        ("analytics", "purchase", "revenue=99.00"),
        ("records", "orders/append", "total=99.00"),
    ] {
        let set = [set.to_owned()];
        let request = trigger::Request { source, event, set: &set, count: 3, same: true, now: NOW };
        let deliveries = trigger::deliveries(&request, &Credentials::default()).unwrap();
        let measured = process(&deliveries.iter().collect::<Vec<_>>(), Currency::USD);
        assert!(measured.dead_letters.unwrap().is_empty(), "{source} {event}");
        assert_eq!(measured.by_currency.unwrap()[&Currency::USD].gross, 9900, "{source} {event}");
        let duplicates: i64 = measured.duplicates.unwrap().values().sum();
        assert_eq!(duplicates, 2, "{source} {event}: the same delivery three times");
    }
}
