//! What every figure must be, from the shop's own books; and the table *expected | measured | equal?*.
//!
//! Nothing here asks the join, a view or a service. The rules are those of the contracts: an order counts once it is
//! paid and no test, on the day of the earliest evidence of payment; a refund is dated by itself and never takes back
//! more than the total; a cancelled order keeps its revenue and leaves the customer's lifetime value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::io::{self, Write};

use commerce::time::{Day, Zone};
use commerce::{Currency, DuplicateLevel, EventTime, Money, Reason};
use serde_json::json;

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
    /// Orders that were cancelled, paid or not, tests left out.
    pub cancelled: i64,
    /// Persons with at least one counted order.
    pub customers: i64,
    /// Persons with any order, tests left out.
    pub profiles: i64,
    /// Deliveries that taught nothing, by the level that caught them.
    pub duplicates: BTreeMap<DuplicateLevel, i64>,
    /// Dead letters by reason.
    pub dead_letters: BTreeMap<Reason, i64>,
    /// Deliveries answered 200.
    pub accepted: i64,
    /// Deliveries refused, by status.
    pub rejected: BTreeMap<u16, i64>,
    /// Some of the best customers in the base currency, by e-mail.
    pub top_customers: Vec<(String, Customer)>,
}

/// What was found. A figure that is left at `None` is shown as not measured, and the table isn't equal.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// See [`Expected::by_currency`]; a currency without an entry has nothing.
    pub by_currency: Option<BTreeMap<Currency, Totals>>,
    /// See [`Expected::by_day`]; cells of nothing are ignored.
    pub by_day: Option<BTreeMap<(Day, Currency), DayTotals>>,
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
        Self::of_books(&shop.lives, &shop.deliveries, base)
    }

    /// The expectation of orders and the deliveries that told of them.
    pub fn of_books(lives: &[Life], deliveries: &[Delivery], base: Currency) -> Self {
        let mut expected = Self {
            base,
            by_currency: BTreeMap::from([(base, Totals::default())]),
            by_day: BTreeMap::new(),
            cancelled: 0,
            customers: 0,
            profiles: 0,
            duplicates: BTreeMap::new(),
            dead_letters: BTreeMap::new(),
            accepted: 0,
            rejected: BTreeMap::new(),
            top_customers: Vec::new(),
        };
        let mut people: BTreeSet<&str> = BTreeSet::new();
        let mut customers: BTreeMap<&str, Customer> = BTreeMap::new();
        for life in lives.iter().filter(|life| !life.test) {
            people.extend(life.person.as_deref());
            expected.cancelled += i64::from(life.cancelled_at.is_some());
            let Some(paid_at) = life.paid_at else { continue };
            let refunded = expected.count(life, paid_at);
            if let Some(person) = &life.person {
                let customer = customers.entry(person).or_default();
                customer.orders_count += 1;
                customer.first_order_at = customer.first_order_at.into_iter().chain([life.placed_at]).min();
                customer.last_order_at = customer.last_order_at.into_iter().chain([life.placed_at]).max();
                if life.currency == base {
                    customer.total_spent += life.total;
                    customer.lifetime_value +=
                        if life.cancelled_at.is_none() { life.total - refunded } else { 0 };
                }
            }
        }
        expected.profiles = count(people.len());
        expected.customers = count(customers.len());
        expected.top_customers = top(customers);
        for delivery in deliveries {
            expected.send(delivery);
        }
        expected
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
            _ => None,
        };
        let reason = match delivery.purpose {
            Purpose::Garbles => Some(Reason::MalformedJson),
            Purpose::Digresses => Some(Reason::UnsupportedEvent),
            Purpose::Omits => Some(Reason::MissingField),
            _ => None,
        };
        if let Some(level) = level {
            *self.duplicates.entry(level).or_default() += 1;
        }
        if let Some(reason) = reason {
            *self.dead_letters.entry(reason).or_default() += 1;
        }
        match delivery.expect_status {
            200..=299 => self.accepted += 1,
            status => *self.rejected.entry(status).or_default() += 1,
        }
    }

    /// Sets what was found against what must be.
    pub fn compare(&self, measured: &Measured, uncertainty: Uncertainty) -> Table {
        let mut table = Table::default();
        self.compare_totals(measured, &mut table);
        self.compare_days(measured, &mut table);
        table.count("orders cancelled, paid or not", self.cancelled, measured.cancelled);
        table.count("customers with a counted order", self.customers, measured.customers);
        table.count("profiles", self.profiles, measured.profiles);
        self.compare_customers(measured, &mut table);
        for level in DuplicateLevel::ALL {
            let of = |all: &BTreeMap<DuplicateLevel, i64>| all.get(&level).copied().unwrap_or(0);
            let name = format!("duplicates caught, {} level", level.as_str());
            let touched = level == DuplicateLevel::Transport;
            let found = measured.duplicates.as_ref().map(of);
            table.about(name, of(&self.duplicates), found, uncertainty.only_if(touched));
        }
        let reasons = measured.dead_letters.iter().flat_map(BTreeMap::keys).chain(self.dead_letters.keys());
        for reason in reasons.collect::<BTreeSet<_>>() {
            let expected = self.dead_letters.get(reason).copied().unwrap_or(0);
            let found = measured.dead_letters.as_ref().map(|all| all.get(reason).copied().unwrap_or(0));
            table.about(format!("dead letters, {reason}"), expected, found, uncertainty);
        }
        table.about("deliveries accepted".to_owned(), self.accepted, measured.accepted, uncertainty);
        for (status, expected) in &self.rejected {
            let found = measured.rejected.as_ref().map(|all| all.get(status).copied().unwrap_or(0));
            table.about(format!("deliveries refused with {status}"), *expected, found, uncertainty);
        }
        table
    }

    fn compare_totals(&self, measured: &Measured, table: &mut Table) {
        let others = self.by_currency.keys().filter(|currency| **currency != self.base);
        for currency in std::iter::once(&self.base).chain(others) {
            let expected = self.by_currency.get(currency).copied().unwrap_or_default();
            let found =
                measured.by_currency.as_ref().map(|all| all.get(currency).copied().unwrap_or_default());
            let mut count = |name: &str, get: fn(&Totals) -> i64| {
                table.count(&format!("{name}, {currency}"), get(&expected), found.as_ref().map(get));
            };
            count("orders", |t| t.orders);
            count("items sold", |t| t.items);
            count("refunds", |t| t.refunds);
            count("paid orders cancelled", |t| t.cancelled);
            let mut money = |name: &str, get: fn(&Totals) -> i64| {
                let print = |totals: &Totals| Money::new(get(totals), *currency).to_major();
                table.text(format!("{name}, {currency}"), print(&expected), found.as_ref().map(print));
            };
            money("gross", |t| t.gross);
            money("refunded", |t| t.refunded);
            money("net", Totals::net);
        }
        // A currency that nobody paid in is as wrong as a missing one.
        for currency in measured.by_currency.iter().flat_map(BTreeMap::keys) {
            if !self.by_currency.contains_key(currency) {
                table.text(format!("orders, {currency}"), "none".to_owned(), Some("some".to_owned()));
            }
        }
    }

    /// One row per currency: a table of sixty rows of days would be read by nobody.
    fn compare_days(&self, measured: &Measured, table: &mut Table) {
        for currency in self.by_currency.keys() {
            let of = |all: &BTreeMap<(Day, Currency), DayTotals>| -> BTreeMap<Day, DayTotals> {
                let cells =
                    all.iter().filter(|((_, c), totals)| c == currency && **totals != DayTotals::default());
                cells.map(|((day, _), totals)| (*day, *totals)).collect()
            };
            let expected = of(&self.by_day);
            let whole = format!("{} days", expected.len());
            let found = measured.by_day.as_ref().map(|all| {
                let found = of(all);
                let days: BTreeSet<Day> = expected.keys().chain(found.keys()).copied().collect();
                let differs = days.iter().copied().find(|day| expected.get(day) != found.get(day));
                differs.map_or_else(
                    || whole.clone(),
                    |day| {
                        let cell = |all: &BTreeMap<Day, DayTotals>| print_day(all.get(&day), *currency);
                        format!("{day}: {} for {}", cell(&found), cell(&expected))
                    },
                )
            });
            table.text(format!("days of revenue and refunds, {currency}"), whole, found);
        }
    }

    fn compare_customers(&self, measured: &Measured, table: &mut Table) {
        let time = |at: Option<EventTime>| at.map_or_else(|| "never".to_owned(), EventTime::to_rfc3339);
        let money = |minor| Money::new(minor, self.base).to_major();
        for (email, customer) in &self.top_customers {
            let none = Customer::default();
            let found = measured.customers_by_email.as_ref().map(|all| all.get(email).unwrap_or(&none));
            let mut row = |name: &str, print: &dyn Fn(&Customer) -> String| {
                table.text(format!("{email}: {name}"), print(customer), found.map(print));
            };
            row("orders", &|c| c.orders_count.to_string());
            row("spent", &|c| money(c.total_spent));
            row("lifetime value", &|c| money(c.lifetime_value));
            row("first order", &|c| time(c.first_order_at));
            row("last order", &|c| time(c.last_order_at));
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

fn print_day(totals: Option<&DayTotals>, currency: Currency) -> String {
    let totals = totals.copied().unwrap_or_default();
    let money = |minor| Money::new(minor, currency).to_major();
    format!("{}/{} -{}/{}", totals.orders, money(totals.gross), totals.refunds, money(totals.refunded))
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// What the sender can't know: deliveries that may have arrived twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Uncertainty {
    /// Attempts whose fate is unknown and that were made again.
    pub retries: u64,
    /// The sender was killed and went on: what was in flight was sent again.
    pub resumed: bool,
}

impl Uncertainty {
    /// No uncertainty where a second arrival can't show.
    const fn only_if(self, touched: bool) -> Self {
        if touched { self } else { Self { retries: 0, resumed: false } }
    }
}

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What is compared.
    pub name: String,
    /// What it must be; `at least …` and `… to …` where a retry may have arrived twice.
    pub expected: String,
    /// What it is; `None`: not measured.
    pub measured: Option<String>,
    /// True when what it is is what it must be.
    pub equal: bool,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Aligned columns for a person.
    Text,
    /// One JSON document.
    Json,
}

/// The table *expected, measured, equal?*.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// Its lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// True when everything was measured and is what it must be.
    pub fn all_equal(&self) -> bool {
        self.rows.iter().all(|row| row.equal)
    }

    fn text(&mut self, name: String, expected: String, measured: Option<String>) {
        let equal = measured.as_ref() == Some(&expected);
        self.rows.push(Row { name, expected, measured, equal });
    }

    fn count(&mut self, name: &str, expected: i64, measured: Option<i64>) {
        self.text(name.to_owned(), expected.to_string(), measured.map(|n| n.to_string()));
    }

    /// A count that deliveries of unknown fate may have raised.
    fn about(&mut self, name: String, expected: i64, measured: Option<i64>, uncertainty: Uncertainty) {
        let most = match uncertainty {
            Uncertainty { resumed: true, .. } => i64::MAX,
            Uncertainty { retries, .. } => expected.saturating_add_unsigned(retries),
        };
        let equal = measured.is_some_and(|n| (expected..=most).contains(&n));
        let expected = match most {
            _ if most == expected => expected.to_string(),
            i64::MAX => format!("at least {expected}"),
            most => format!("{expected} to {most}"),
        };
        self.rows.push(Row { name, expected, measured: measured.map(|n| n.to_string()), equal });
    }

    /// Writes the table.
    pub fn print(&self, out: &mut dyn Write, format: Format) -> io::Result<()> {
        match format {
            Format::Text => write!(out, "{self}"),
            Format::Json => {
                let rows = self.rows.iter().map(|row| {
                    json!({"name": row.name, "expected": row.expected, "measured": row.measured, "equal": row.equal})
                });
                let rows: Vec<_> = rows.collect();
                writeln!(out, "{}", json!({"equal": self.all_equal(), "rows": rows}))
            }
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NONE: &str = "not measured";
        let head = ["", "expected", "measured", "equal?"];
        let measured = |row: &Row| row.measured.clone().unwrap_or_else(|| NONE.to_owned());
        let width = |column: usize, get: &dyn Fn(&Row) -> usize| {
            self.rows.iter().map(get).chain([head.get(column).map_or(0, |h| h.len())]).max().unwrap_or(0)
        };
        let names = width(0, &|row| row.name.chars().count());
        let expecteds = width(1, &|row| row.expected.chars().count());
        let measureds = width(2, &|row| measured(row).chars().count());
        let [_, expected_head, measured_head, equal_head] = head;
        writeln!(f, "{:names$}  {expected_head:>expecteds$}  {measured_head:>measureds$}  {equal_head}", "")?;
        for row in &self.rows {
            let equal = if row.equal { "yes" } else { "NO" };
            writeln!(
                f,
                "{:names$}  {:>expecteds$}  {:>measureds$}  {equal}",
                row.name,
                row.expected,
                measured(row)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
