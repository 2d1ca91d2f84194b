//! What was found against what must be, line by line.

use std::collections::{BTreeMap, BTreeSet};

use commerce::time::Day;
use commerce::{Currency, DuplicateLevel, EventName, EventTime, Money, Source};

use super::expected::{Customer, DayTotals, Expected, Measured, Part, Totals};
use super::table::{Table, Uncertainty};

impl Expected {
    /// Sets what was found against what must be.
    pub fn compare(&self, measured: &Measured, uncertainty: Uncertainty) -> Table {
        let mut table = Table::default();
        self.compare_totals(measured, &mut table);
        self.compare_days(measured, &mut table);
        self.compare_sources(measured, &mut table);
        let parts = [
            ("orders and revenue by device", &self.by_device, &measured.by_device),
            ("orders and revenue by coupon", &self.by_coupon, &measured.by_coupon),
        ];
        for (name, expected, found) in parts {
            self.compare_parts(name, expected, found.as_ref(), &mut table);
        }
        table.count("orders cancelled, paid or not", self.cancelled, measured.cancelled);
        table.count("customers with a counted order", self.customers, measured.customers);
        table.count("profiles", self.profiles, measured.profiles);
        self.compare_payments(measured, &mut table);
        self.compare_done(measured, &mut table);
        self.compare_customers(measured, &mut table);
        for level in DuplicateLevel::ALL {
            let of = |all: &BTreeMap<DuplicateLevel, i64>| all.get(&level).copied().unwrap_or(0);
            let name = format!("duplicates caught, {} level", level.as_str());
            let touched = level != DuplicateLevel::Entity;
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

    fn compare_sources(&self, measured: &Measured, table: &mut Table) {
        let found = measured.by_source.iter().flat_map(BTreeMap::keys);
        for source in self.by_source.keys().chain(found).collect::<BTreeSet<_>>() {
            let of = |all: &BTreeMap<Source, i64>| all.get(source).copied().unwrap_or(0);
            let name = format!("orders told by {source}");
            table.count(&name, of(&self.by_source), measured.by_source.as_ref().map(of));
        }
    }

    /// One row: the first part that differs is named.
    fn compare_parts(
        &self,
        name: &str,
        expected: &BTreeMap<String, Part>,
        found: Option<&BTreeMap<String, Part>>,
        table: &mut Table,
    ) {
        let whole = format!("{} rows", expected.len());
        let cell = |all: &BTreeMap<String, Part>, of: &str| {
            let part = all.get(of).copied().unwrap_or_default();
            format!("{}/{}", part.orders, Money::new(part.gross, self.base).to_major())
        };
        let found = found.map(|found| {
            let all: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
            let differs = all.into_iter().find(|of| cell(expected, of) != cell(found, of));
            differs.map_or_else(
                || whole.clone(),
                |of| format!("{of}: {} for {}", cell(found, of), cell(expected, of)),
            )
        });
        table.text(format!("{name}, {}", self.base), whole, found);
    }

    fn compare_payments(&self, measured: &Measured, table: &mut Table) {
        let found = measured.collected.iter().flat_map(BTreeMap::keys);
        for currency in self.collected.keys().chain(found).collect::<BTreeSet<_>>() {
            let of = |all: &BTreeMap<Currency, (i64, i64)>| {
                let (times, sum) = all.get(currency).copied().unwrap_or_default();
                format!("{times} of {}", Money::new(sum, *currency).to_major())
            };
            let name = format!("payments for subscriptions, {currency}");
            table.text(name, of(&self.collected), measured.collected.as_ref().map(of));
        }
        table.count("people whose last payment failed", self.past_due, measured.past_due);
        let found = measured.loyalty.iter().flat_map(BTreeMap::keys);
        for kind in self.loyalty.keys().chain(found).collect::<BTreeSet<_>>() {
            let of = |all: &BTreeMap<String, i64>| all.get(kind).copied().unwrap_or(0);
            let name = format!("people with a {kind} loyalty card");
            table.count(&name, of(&self.loyalty), measured.loyalty.as_ref().map(of));
        }
    }

    fn compare_done(&self, measured: &Measured, table: &mut Table) {
        let found = measured.done.iter().flat_map(BTreeMap::keys);
        for name in self.done.keys().chain(found).collect::<BTreeSet<_>>() {
            let of = |all: &BTreeMap<EventName, i64>| all.get(name).copied().unwrap_or(0);
            table.count(&format!("facts, {name}"), of(&self.done), measured.done.as_ref().map(of));
        }
    }

    fn compare_customers(&self, measured: &Measured, table: &mut Table) {
        let time = |at: Option<EventTime>| at.map_or_else(|| "never".to_owned(), EventTime::to_rfc3339);
        let money = |minor| Money::new(minor, self.base).to_major();
        let top = self.top_customers.iter().map(|top| ("", top));
        let across = self.across.iter().map(|across| ("by address and by account, ", across));
        for (known, (email, customer)) in top.chain(across) {
            let none = Customer::default();
            let found = measured.customers_by_email.as_ref().map(|all| all.get(email).unwrap_or(&none));
            let mut row = |name: &str, print: &dyn Fn(&Customer) -> String| {
                table.text(format!("{known}{email}: {name}"), print(customer), found.map(print));
            };
            row("orders", &|c| c.orders_count.to_string());
            row("spent", &|c| money(c.total_spent));
            row("lifetime value", &|c| money(c.lifetime_value));
            row("first order", &|c| time(c.first_order_at));
            row("last order", &|c| time(c.last_order_at));
        }
    }
}

fn print_day(totals: Option<&DayTotals>, currency: Currency) -> String {
    let totals = totals.copied().unwrap_or_default();
    let money = |minor| Money::new(minor, currency).to_major();
    format!("{}/{} -{}/{}", totals.orders, money(totals.gross), totals.refunds, money(totals.refunded))
}
