//! The totals in the topics against what the workload knows that it made.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap, HashSet};

use commerce::order::View;
use commerce::time::Day;
use commerce::{EventName, Fact, Mark, Metric, Profile};
use stream::{Follow, Followed, follow};
use topics::Topic;

use super::cluster::Kafka;
use super::report::Report;
use super::workload::{CustomerTotals, DayTotals, Expected, SHOPS, email_of, shop_of};
use crate::tail::Reader;

/// What the topics say.
#[derive(Default)]
struct Found {
    days: BTreeMap<(usize, Day), DayTotals>,
    /// By workspace and e-mail.
    customers: HashMap<(String, String), CustomerTotals>,
    repeated: i64,
    dead_letters: i64,
    facts: HashMap<EventName, i64>,
    fact_ids: HashSet<u128>,
    /// Facts whose id was there before.
    twice: i64,
    /// By shop, what facts move: gross, refunded.
    moved: BTreeMap<usize, (i64, i64)>,
}

/// Reads everything and compares it.
pub fn verify(kafka: &Kafka, expected: &Expected, report: &mut Report) -> anyhow::Result<()> {
    let found = read(kafka)?;
    for (index, shop) in SHOPS.iter().enumerate() {
        let of_found = Expected { days: found.days.clone(), ..Expected::default() }.of_shop(index);
        report.check(format!("{} totals", shop.currency), &expected.of_shop(index), &of_found);
        let totals = expected.of_shop(index);
        let moved = found.moved.get(&index).copied().unwrap_or_default();
        report.check(format!("{} moved by facts", shop.currency), &(totals.gross, totals.refunded), &moved);
    }
    let cells = |days: &BTreeMap<(usize, Day), DayTotals>| -> Vec<((usize, Day), DayTotals)> {
        days.iter().map(|(place, totals)| (*place, *totals)).collect()
    };
    differing(report, "cells of day and currency", &cells(&expected.days), |(place, totals)| {
        found.days.get(place) == Some(totals)
    });
    report.check("number of cells", &expected.days.len(), &found.days.len());
    let customers: Vec<(u64, CustomerTotals)> =
        expected.customers.iter().map(|(number, totals)| (*number, *totals)).collect();
    differing(report, "profiles", &customers, |(number, totals)| {
        let key = (SHOPS[shop_of(*number)].workspace.to_owned(), email_of(*number));
        found.customers.get(&key) == Some(totals)
    });
    report.check("number of profiles", &expected.customers.len(), &found.customers.len());
    report.check("duplicates", &expected.repeated, &found.repeated);
    report.check("dead letters", &0, &found.dead_letters);
    for (name, count) in [
        (EventName::OrderPlaced, expected.orders),
        (EventName::OrderPaid, expected.orders),
        (EventName::OrderRefunded, expected.refunds),
    ] {
        report.check(format!("facts {name}"), &count, &found.facts.get(&name).copied().unwrap_or(0));
    }
    report.check("facts that are there twice", &0, &found.twice);
    Ok(())
}

/// Checks that all entries are right: the number of those that are, and the first that isn't.
fn differing<T: std::fmt::Debug + PartialEq>(
    report: &mut Report,
    what: &str,
    expected: &[T],
    is_right: impl Fn(&T) -> bool,
) {
    let wrong: Vec<&T> = expected.iter().filter(|entry| !is_right(entry)).collect();
    let expected = (expected.len(), None::<&T>);
    report.check(what, &expected, &(expected.0 - wrong.len(), wrong.first().copied()));
}

fn read(kafka: &Kafka) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut reader = Reader::new(&kafka.config)?;
    let mut metrics: BTreeMap<Vec<u8>, Metric> = BTreeMap::new();
    let mut profiles: HashMap<Vec<u8>, Profile> = HashMap::new();
    let topics = [Topic::Metrics, Topic::Profiles, Topic::DeadLetters, Topic::Facts];
    let what =
        Follow { client: kafka.client(), topics: topics.map(|topic| topic.name().to_owned()).to_vec() };
    let (done, mut failed) = (Cell::new(false), None);
    follow(&what, &|| done.get(), &mut |followed| {
        match followed {
            Followed::CaughtUp => done.set(true),
            Followed::Record { topic, key, value: Some(value), .. } => {
                let mut take = || -> anyhow::Result<()> {
                    match Topic::parse(topic) {
                        Some(Topic::Metrics) => drop(metrics.insert(key.to_vec(), reader.decode(value)?)),
                        Some(Topic::Profiles) => drop(profiles.insert(key.to_vec(), reader.decode(value)?)),
                        Some(Topic::DeadLetters) => found.dead_letters += 1,
                        Some(Topic::Facts) => found.fact(&reader.decode(value)?),
                        _ => {}
                    }
                    Ok(())
                };
                if let Err(error) = take() {
                    failed.get_or_insert(error);
                    done.set(true);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if let Some(error) = failed {
        return Err(error.context("a record of the measurement can't be read"));
    }
    metrics.values().for_each(|metric| found.metric(metric));
    profiles.into_values().for_each(|profile| found.profile(profile));
    Ok(found)
}

impl Found {
    fn metric(&mut self, metric: &Metric) {
        let value = |name: &str| metric.values.get(name).copied().unwrap_or(0);
        let dimension = |name: &str| metric.dimensions.get(name).map_or("", String::as_str);
        if metric.metric == "outcomes" && dimension("outcome") == "duplicate" {
            self.repeated += value("count");
        }
        let shop = SHOPS.iter().position(|shop| {
            metric.workspace.as_str() == shop.workspace && dimension("currency") == shop.currency
        });
        if let ("revenue", Some(shop), Some(day)) =
            (metric.metric.as_str(), shop, Day::parse(&metric.window_start))
        {
            let totals = DayTotals {
                orders: value("orders"),
                gross: value("gross"),
                items: value("items"),
                discount: value("discount"),
                refunds: value("refunds"),
                refunded: value("refund_amount"),
            };
            // A cell that was left again stays as one of zeros.
            if totals != DayTotals::default() {
                self.days.insert((shop, day), totals);
            }
        }
    }

    fn profile(&mut self, profile: Profile) {
        let Some(email) = profile.contact.email else { return };
        let totals = CustomerTotals {
            orders: profile.orders_count,
            spent: profile.total_spent.minor,
            refunded: profile.total_spent.minor - profile.lifetime_value.minor,
            first: profile.first_order_at,
            last: profile.last_order_at,
        };
        self.customers.insert((profile.workspace.to_string(), email), totals);
    }

    fn fact(&mut self, fact: &Fact) {
        *self.facts.entry(fact.event).or_default() += 1;
        let id = Mark::from_hex(&fact.event_id.replace('-', "")).unwrap_or(Mark(0));
        if !self.fact_ids.insert(id.0) {
            self.twice += 1;
        }
        let shop = SHOPS.iter().position(|shop| shop.workspace == fact.workspace.as_str());
        let moved = self.moved.entry(shop.unwrap_or(SHOPS.len())).or_default();
        for (view, sign) in [(&fact.before, -1), (&fact.after, 1)] {
            let view = view.as_ref();
            let of = |view: &View| {
                let gross = view.total.filter(|_| view.counted).map_or(0, |total| total.minor);
                (gross, view.refunded_total.map_or(0, |refunded| refunded.minor))
            };
            let (gross, refunded) = view.map(of).unwrap_or_default();
            moved.0 += sign * gross;
            moved.1 += sign * refunded;
        }
    }
}
