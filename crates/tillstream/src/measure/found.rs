//! Figures from what is on the topics: the last record of each key where a topic keeps state, every record where it keeps
//! history.

use std::collections::{BTreeMap, BTreeSet};

use commerce::letter::DeadLetter;
use commerce::order::View;
use commerce::time::Day;
use commerce::{Currency, DuplicateLevel, EventName, Fact, Metric, Profile, Reason};

use crate::demo::Measured;
use crate::demo::expected::{Customer, DayTotals};

/// What was read so far.
#[derive(Default)]
pub struct Found {
    /// Records of the raw topic.
    pub accepted: i64,
    orders: BTreeMap<Vec<u8>, View>,
    profiles: BTreeMap<Vec<u8>, Profile>,
    metrics: BTreeMap<Vec<u8>, Metric>,
    letters: BTreeSet<(String, String)>,
    done: BTreeMap<EventName, i64>,
    collected: BTreeMap<Currency, (i64, i64)>,
}

impl Found {
    /// Takes an order in.
    pub fn order(&mut self, key: &[u8], order: View) {
        self.orders.insert(key.to_vec(), order);
    }

    /// Takes a profile in.
    pub fn profile(&mut self, key: &[u8], profile: Profile) {
        self.profiles.insert(key.to_vec(), profile);
    }

    /// Takes a cell in.
    pub fn metric(&mut self, key: &[u8], metric: Metric) {
        self.metrics.insert(key.to_vec(), metric);
    }

    /// Takes a dead letter in.
    pub fn letter(&mut self, letter: DeadLetter) {
        self.letters.insert((letter.id, letter.reason));
    }

    /// Takes a fact in. Those of orders and of what is known of people come more than once, as their order or person
    /// changes.
    pub fn fact(&mut self, fact: &Fact) {
        // A version of the policy is nothing that the shop does.
        if fact.event == EventName::PolicyPublished {
            return;
        }
        if fact.event.is_order() || fact.event.as_str().starts_with("customer.") {
            return;
        }
        *self.done.entry(fact.event).or_default() += 1;
        if fact.event == EventName::PaymentSucceeded
            && let Some(amount) = fact.payment.as_ref().and_then(|payment| payment.amount)
        {
            let (times, sum) = self.collected.entry(amount.currency).or_default();
            *times += 1;
            *sum = sum.saturating_add(amount.minor);
        }
    }

    /// The orders.
    pub fn orders(&self) -> impl Iterator<Item = &View> {
        self.orders.values()
    }

    /// Counted orders that were cancelled, by currency.
    pub fn cancelled_paid(&self) -> BTreeMap<Currency, i64> {
        let mut cancelled = BTreeMap::new();
        for view in self.orders().filter(|view| view.cancelled_at.is_some() && !view.qa && view.counted) {
            if let Some(total) = view.total {
                *cancelled.entry(total.currency).or_default() += 1;
            }
        }
        cancelled
    }

    /// Refunds by the day on which they were made.
    pub fn refunds_by_day(&self) -> BTreeMap<(Day, Currency), DayTotals> {
        let mut days: BTreeMap<(Day, Currency), DayTotals> = BTreeMap::new();
        let own = |metric: &&Metric| metric.metric == "revenue" && !metric.dimensions.contains_key("base");
        for metric in self.metrics.values().filter(own) {
            let currency = metric.dimensions.get("currency").map_or("", String::as_str);
            let (Some(day), Ok(currency)) = (Day::parse(&metric.window_start), Currency::parse(currency))
            else {
                continue;
            };
            let totals = days.entry((day, currency)).or_default();
            totals.refunds += value(metric, "refunds");
            totals.refunded += value(metric, "refund_amount");
        }
        days
    }

    fn duplicates(&self) -> BTreeMap<DuplicateLevel, i64> {
        let mut duplicates = BTreeMap::new();
        for metric in self.metrics.values().filter(|metric| metric.metric == "outcomes") {
            let dimension = |name: &str| metric.dimensions.get(name).map_or("", String::as_str);
            if dimension("outcome") == "duplicate"
                && let Some(level) =
                    DuplicateLevel::ALL.into_iter().find(|level| level.as_str() == dimension("detail"))
            {
                *duplicates.entry(level).or_default() += value(metric, "count");
            }
        }
        duplicates
    }

    /// Everything that the topics say.
    pub fn measured(self) -> Measured {
        let duplicates = self.duplicates();
        let orders = || self.orders().filter(|view| !view.qa);
        let cancelled = orders().filter(|view| view.cancelled_at.is_some()).count();
        let mut by_source = BTreeMap::new();
        for source in orders().filter(|view| view.counted).filter_map(|view| view.source) {
            *by_source.entry(source).or_default() += 1;
        }
        let mut dead_letters = BTreeMap::new();
        for reason in self.letters.iter().filter_map(|(_, reason)| Reason::parse(reason)) {
            *dead_letters.entry(reason).or_default() += 1;
        }
        let (mut people, mut customers, mut past_due) = (0, 0, 0);
        let (mut loyalty, mut by_email) = (BTreeMap::new(), BTreeMap::new());
        // Whoever has become somebody else is counted there.
        for profile in self.profiles.into_values().filter(|profile| profile.merged_into.is_none()) {
            people += 1;
            customers += i64::from(profile.orders_count > 0);
            past_due += i64::from(profile.payment_status.as_deref() == Some("past_due"));
            if let Some(kind) = profile.attributes.get("loyalty") {
                *loyalty.entry(kind.trim_matches('"').to_owned()).or_default() += 1;
            }
            let customer = Customer {
                orders_count: profile.orders_count,
                total_spent: profile.total_spent.minor,
                lifetime_value: profile.lifetime_value.minor,
                first_order_at: profile.first_order_at,
                last_order_at: profile.last_order_at,
            };
            if let Some(email) = profile.contact.email.as_deref().and_then(commerce::person::email) {
                by_email.insert(email, customer);
            }
        }
        Measured {
            by_source: Some(by_source),
            cancelled: Some(i64::try_from(cancelled).unwrap_or(i64::MAX)),
            customers: Some(customers),
            profiles: Some(people),
            done: Some(self.done),
            collected: Some(self.collected),
            past_due: Some(past_due),
            loyalty: Some(loyalty),
            duplicates: Some(duplicates),
            dead_letters: Some(dead_letters),
            accepted: Some(self.accepted),
            customers_by_email: Some(by_email),
            ..Measured::default()
        }
    }
}

fn value(metric: &Metric, name: &str) -> i64 {
    metric.values.get(name).copied().unwrap_or(0)
}
