//! What every figure must be, from the shop's own books.
//!
//! Nothing here asks the join, a view or a service. The rules are those of the contracts: an order counts once it is
//! paid and no test, on the day of the earliest evidence of payment; a refund is dated by itself and never takes back
//! more than the total; a cancelled order keeps its revenue and leaves the customer's lifetime value.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use commerce::time::Day;
use commerce::time::Zone;
use commerce::{Currency, DuplicateLevel, EventName, EventTime, Reason, Source};

use super::delivery::{Delivery, Purpose};
use super::shop::{Life, Shop};

/// How many customers are compared one by one.
pub const TOP_CUSTOMERS: usize = 3;

/// Figures in one currency, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Counted orders: paid, and no test.
    pub orders: i64,
    /// Sum of their totals.
    pub gross: i64,
    /// Refunds of them, by refund id.
    pub refunds: i64,
    /// What went back, never more than each order's total.
    pub refunded: i64,
    /// Pieces in them.
    pub items: i64,
    /// Those of them that were cancelled.
    pub cancelled: i64,
}

impl Totals {
    /// What is left of gross.
    pub const fn net(&self) -> i64 {
        self.gross - self.refunded
    }
}

/// Figures of one day of the workspace (UTC) in one currency, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DayTotals {
    /// Orders paid on it.
    pub orders: i64,
    /// Their totals.
    pub gross: i64,
    /// Refunds made on it, whenever the order was paid.
    pub refunds: i64,
    /// What went back on it.
    pub refunded: i64,
}

/// A part of the counted orders, in the base currency, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Part {
    /// How many.
    pub orders: i64,
    /// Sum of their totals.
    pub gross: i64,
}

/// The rollup of one customer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Customer {
    /// Counted orders in all currencies.
    pub orders_count: i64,
    /// Gross in the base currency.
    pub total_spent: i64,
    /// What the merchant kept, in the base currency: cancelled orders drop out, refunds are subtracted.
    pub lifetime_value: i64,
    /// Placed time of the first counted order.
    pub first_order_at: Option<EventTime>,
    /// Placed time of the last counted order.
    pub last_order_at: Option<EventTime>,
}

/// What the figures must be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The base currency of the workspace.
    pub base: Currency,
    /// By currency; the base figures are those of the base currency.
    pub by_currency: BTreeMap<Currency, Totals>,
    /// By UTC day and currency, days without anything left out.
    pub by_day: BTreeMap<(Day, Currency), DayTotals>,
    /// Counted orders by the source that told of them.
    pub by_source: BTreeMap<Source, i64>,
    /// By the device that the shopper sat at; `unknown` where nobody says.
    pub by_device: BTreeMap<String, Part>,
    /// By coupon.
    pub by_coupon: BTreeMap<String, Part>,
    /// Orders that were cancelled, paid or not, tests left out.
    pub cancelled: i64,
    /// Persons with at least one counted order.
    pub customers: i64,
    /// Persons who were named, in an order that is no test or in anything else.
    pub profiles: i64,
    /// What people did apart from ordering, by the name of the fact.
    pub done: BTreeMap<EventName, i64>,
    /// What was collected for subscriptions: how often, and minor units.
    pub collected: BTreeMap<Currency, (i64, i64)>,
    /// Persons whose last payment failed.
    pub past_due: i64,
    /// How many persons have a loyalty card, by its kind.
    pub loyalty: BTreeMap<String, i64>,
    /// Deliveries that taught nothing, by the level that caught them.
    pub duplicates: BTreeMap<DuplicateLevel, i64>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<Reason, i64>,
    /// Deliveries that were stored and answered 200.
    pub accepted: i64,
    /// Deliveries refused, by status.
    pub rejected: BTreeMap<u16, i64>,
    /// Some of the best customers in the base currency, by e-mail.
    pub top_customers: Vec<(String, Customer)>,
    /// The best of those who are known to some sources by their address alone and to others by the id of their account
    /// alone: it takes both to be one person.
    pub across: Option<(String, Customer)>,
}

/// What was found. A figure that is left at `None` is shown as not measured, and the table isn't equal.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// See [`Expected::by_currency`]; a currency without an entry has nothing.
    pub by_currency: Option<BTreeMap<Currency, Totals>>,
    /// See [`Expected::by_day`]; cells of nothing are ignored.
    pub by_day: Option<BTreeMap<(Day, Currency), DayTotals>>,
    /// See [`Expected::by_source`].
    pub by_source: Option<BTreeMap<Source, i64>>,
    /// See [`Expected::by_device`].
    pub by_device: Option<BTreeMap<String, Part>>,
    /// See [`Expected::by_coupon`].
    pub by_coupon: Option<BTreeMap<String, Part>>,
    /// See [`Expected::done`].
    pub done: Option<BTreeMap<EventName, i64>>,
    /// See [`Expected::collected`].
    pub collected: Option<BTreeMap<Currency, (i64, i64)>>,
    /// See [`Expected::past_due`].
    pub past_due: Option<i64>,
    /// See [`Expected::loyalty`].
    pub loyalty: Option<BTreeMap<String, i64>>,
    /// See [`Expected::cancelled`].
    pub cancelled: Option<i64>,
    /// See [`Expected::customers`].
    pub customers: Option<i64>,
    /// See [`Expected::profiles`].
    pub profiles: Option<i64>,
    /// See [`Expected::duplicates`].
    pub duplicates: Option<BTreeMap<DuplicateLevel, i64>>,
    /// See [`Expected::dead_letters`].
    pub dead_letters: Option<BTreeMap<Reason, i64>>,
    /// See [`Expected::accepted`].
    pub accepted: Option<i64>,
    /// See [`Expected::rejected`].
    pub rejected: Option<BTreeMap<u16, i64>>,
    /// Profiles by e-mail; those of [`Expected::top_customers`] are looked up in it.
    pub customers_by_email: Option<BTreeMap<String, Customer>>,
}

impl Expected {
    /// The expectation of a whole shop whose deliveries were all sent.
    pub fn of(shop: &Shop, base: Currency) -> Self {
        let mut expected = Self {
            base,
            by_currency: BTreeMap::from([(base, Totals::default())]),
            by_day: BTreeMap::new(),
            by_source: BTreeMap::new(),
            by_device: BTreeMap::new(),
            by_coupon: BTreeMap::new(),
            cancelled: 0,
            customers: 0,
            profiles: 0,
            done: shop.done.clone(),
            collected: BTreeMap::new(),
            past_due: 0,
            loyalty: BTreeMap::new(),
            duplicates: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            accepted: 0,
            rejected: BTreeMap::new(),
            top_customers: Vec::new(),
            across: None,
        };
        expected.orders(shop);
        expected.payments(shop);
        for kind in shop.loyalty.values() {
            *expected.loyalty.entry((*kind).to_owned()).or_default() += 1;
        }
        for delivery in &shop.deliveries {
            expected.send(delivery);
        }
        expected
    }

    fn orders(&mut self, shop: &Shop) {
        let mut people: BTreeSet<&str> = shop.named.iter().map(String::as_str).collect();
        let mut customers: BTreeMap<&str, Customer> = BTreeMap::new();
        // By which kinds of name somebody has bought: account, address.
        let mut names: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
        for life in shop.lives.iter().filter(|life| !life.test) {
            people.extend(life.person.as_deref());
            self.cancelled += i64::from(life.cancelled_at.is_some());
            let Some(paid_at) = life.paid_at else { continue };
            let refunded = self.count(life, paid_at);
            if let Some(person) = &life.person {
                names.entry(person).or_default().insert(life.by_account);
                let customer = customers.entry(person).or_default();
                customer.orders_count += 1;
                customer.first_order_at = customer.first_order_at.into_iter().chain([life.placed_at]).min();
                customer.last_order_at = customer.last_order_at.into_iter().chain([life.placed_at]).max();
                if life.currency == self.base {
                    customer.total_spent += life.total;
                    customer.lifetime_value +=
                        if life.cancelled_at.is_none() { life.total - refunded } else { 0 };
                }
            }
        }
        self.profiles = count(people.len());
        self.customers = count(customers.len());
        let across = |person: &str| names.get(person).is_some_and(|names| names.len() == 2);
        let best = customers.iter().filter(|(person, _)| across(person));
        let best = best.max_by_key(|(email, customer)| (customer.total_spent, Reverse(**email)));
        self.across = best.map(|(email, customer)| ((*email).to_owned(), customer.clone()));
        self.top_customers = top(customers);
    }

    /// What was collected, and who owes: of two attempts of one instant the successful one counts.
    fn payments(&mut self, shop: &Shop) {
        let mut last: BTreeMap<&str, (EventTime, bool)> = BTreeMap::new();
        for attempt in &shop.attempts {
            let name = if attempt.paid { EventName::PaymentSucceeded } else { EventName::PaymentFailed };
            *self.done.entry(name).or_default() += 1;
            if attempt.paid {
                let (times, sum) = self.collected.entry(attempt.currency).or_default();
                *times += 1;
                *sum += attempt.amount;
            }
            let known = last.entry(&attempt.person).or_insert((attempt.at, attempt.paid));
            *known = (*known).max((attempt.at, attempt.paid));
        }
        self.past_due = count(last.values().filter(|(_, paid)| !paid).count());
    }

    /// Counts a paid order; gives what went back of it.
    fn count(&mut self, life: &Life, paid_at: EventTime) -> i64 {
        let zone = Zone::utc();
        let totals = self.by_currency.entry(life.currency).or_default();
        totals.orders += 1;
        totals.gross += life.total;
        totals.items += life.items;
        totals.cancelled += i64::from(life.cancelled_at.is_some());
        let day = self.by_day.entry((zone.day_of(paid_at), life.currency)).or_default();
        day.orders += 1;
        day.gross += life.total;
        *self.by_source.entry(life.source).or_default() += 1;
        if life.currency == self.base {
            let device = self.by_device.entry(life.device.unwrap_or("unknown").to_owned()).or_default();
            let coupon = life.coupon.map(|code| self.by_coupon.entry(code.to_owned()).or_default());
            for part in [Some(device), coupon].into_iter().flatten() {
                part.orders += 1;
                part.gross += life.total;
            }
        }
        let mut left = life.total;
        for (at, asked) in &life.refunds {
            let amount = left.min(*asked);
            left -= amount;
            totals.refunds += 1;
            totals.refunded += amount;
            let day = self.by_day.entry((zone.day_of(*at), life.currency)).or_default();
            day.refunds += 1;
            day.refunded += amount;
        }
        life.total - left
    }

    /// Counts what one delivery does besides telling.
    fn send(&mut self, delivery: &Delivery) {
        let level = match delivery.purpose {
            Purpose::Repeats => Some(DuplicateLevel::Transport),
            Purpose::Resubscribes => Some(DuplicateLevel::Semantic),
            Purpose::Echoes => Some(DuplicateLevel::Entity),
            _ => None,
        };
        let reason = match delivery.purpose {
            Purpose::Garbles => Some(Reason::MalformedJson),
            Purpose::Digresses => Some(Reason::UnsupportedEvent),
            Purpose::Omits => Some(Reason::MissingField),
            Purpose::Anonymises => Some(Reason::MissingOrderId),
            Purpose::Contradicts => Some(Reason::IdempotencyBodyMismatch),
            _ => None,
        };
        if let Some(level) = level.filter(|_| !delivery.is_answered_again()) {
            *self.duplicates.entry(level).or_default() += delivery.items;
        }
        if let Some(reason) = reason {
            *self.dead_letters.entry(reason).or_default() += 1;
        }
        match delivery.expect_status {
            200..=299 => self.accepted += i64::from(!delivery.is_answered_again()),
            status => *self.rejected.entry(status).or_default() += 1,
        }
    }
}

/// The best customer, and then the best whose lifetime value says something of its own.
fn top(customers: BTreeMap<&str, Customer>) -> Vec<(String, Customer)> {
    let mut ranked: Vec<(&str, Customer)> =
        customers.into_iter().filter(|(person, _)| person.contains('@')).collect();
    ranked.sort_by_key(|(email, customer)| (-customer.total_spent, *email));
    if let Some((_, rest)) = ranked.split_first_mut() {
        rest.sort_by_key(|(_, customer)| customer.lifetime_value == customer.total_spent);
    }
    ranked.into_iter().take(TOP_CUSTOMERS).map(|(email, customer)| (email.to_owned(), customer)).collect()
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
