//! `GET /v1/metrics/summary`: everything that the dashboard's first page shows, from one snapshot.

use std::collections::BTreeMap;

use commerce::time::Day;
use commerce::{Currency, EventTime};
use serde::Serialize;

use super::revenue_timeseries::as_text;
use super::{Basis, Question, Revenue, Sums, outcomes, value};
use crate::amount::Amount;
use crate::letters;
use crate::range::Range;
use crate::snapshot::Workspace;
use crate::tenants::Tenant;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The tenant.
    pub workspace: String,
    /// Its base currency.
    pub base_currency: Currency,
    /// The zone that cuts its days.
    pub time_zone: String,
    /// Today there.
    #[serde(serialize_with = "as_text")]
    pub today: Day,
    /// Days of the range.
    pub days: i32,
    /// The base currency first, with all that is known in it; then every other in which there was anything in the
    /// range, by itself.
    pub currencies: Vec<Line>,
    /// The days in the shown currency.
    pub series: Vec<Point>,
    /// What became of every item.
    pub outcomes: outcomes::Outcomes,
    /// What was set aside.
    pub dead_letters: letters::Summary,
    /// What the figures rest on; its `currency` is the shown one.
    #[serde(flatten)]
    pub basis: Basis,
}

/// One currency.
#[derive(Debug, Serialize)]
pub struct Line {
    /// Which.
    pub currency: Currency,
    /// Digits after its point.
    pub exponent: u32,
    /// True for the workspace's own.
    pub base: bool,
    /// Over the range.
    pub range: Figures,
    /// Today alone.
    pub today: Figures,
}

/// The figures of one currency.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Counted orders.
    pub orders: i128,
    /// Gross.
    pub revenue: Amount,
    /// Number of refunds.
    pub refunds: i128,
    /// Their sum.
    pub refund_amount: Amount,
    /// Gross less refunds.
    pub net_revenue: Amount,
    /// Gross per order.
    pub avg_order_value: Amount,
    /// Sum of quantities.
    pub items: i128,
}

impl Figures {
    fn of(sums: &Sums) -> Self {
        Self {
            orders: sums.orders,
            revenue: sums.amount(sums.gross),
            refunds: sums.refunds,
            refund_amount: sums.amount(sums.refund_amount),
            net_revenue: sums.amount(sums.net()),
            avg_order_value: sums.amount(sums.average()),
            items: sums.items,
        }
    }

    fn is_nothing(&self) -> bool {
        self.orders == 0 && self.revenue.minor == 0 && self.refunds == 0 && self.refund_amount.minor == 0
    }
}

/// One day.
#[derive(Debug, Serialize)]
pub struct Point {
    /// In the workspace's zone.
    #[serde(serialize_with = "as_text")]
    pub date: Day,
    /// Gross.
    pub revenue: Amount,
    /// Counted orders.
    pub orders: i64,
    /// Sum of the refunds of that day.
    pub refund_amount: Amount,
    /// Gross less refunds.
    pub net_revenue: Amount,
}

/// Computes the answer. `now` decides what is today.
pub fn of(
    tenant: &Tenant,
    workspace: Option<&Workspace>,
    range: Range,
    currency: Option<Currency>,
    now: EventTime,
) -> Summary {
    let cells = workspace.map(|workspace| &workspace.cells);
    // The shown currency chooses the series only; what is held is said all the same.
    let question = Question::of_revenue(cells, range, tenant.base);
    let mut revenue = Revenue::of(&question);
    let today = tenant.zone.day_of(now);
    let line = |revenue: &Revenue<'_>, currency: Currency| Line {
        currency,
        exponent: currency.exponent(),
        base: currency == tenant.base,
        range: Figures::of(&revenue.sums(currency, range)),
        today: Figures::of(&revenue.sums(currency, Range::day(today))),
    };
    let mut currencies = vec![line(&revenue, tenant.base)];
    let others = revenue.all.own.keys().copied().filter(|currency| *currency != tenant.base);
    currencies
        .extend(others.map(|currency| line(&revenue, currency)).filter(|line| !line.range.is_nothing()));
    revenue.currency = currency.unwrap_or(tenant.base);
    Summary {
        workspace: tenant.id.to_string(),
        base_currency: tenant.base,
        time_zone: tenant.zone.name().to_owned(),
        today,
        days: range.days(),
        currencies,
        series: series(&revenue, range),
        outcomes: outcomes::of(cells),
        dead_letters: workspace.map_or_else(
            || letters::Letters::default().summary(now),
            |workspace| workspace.letters.summary(now),
        ),
        basis: revenue.basis(&question),
    }
}

fn series(revenue: &Revenue<'_>, range: Range) -> Vec<Point> {
    let exponent = revenue.currency.exponent();
    let [gross, orders, refunded] = [value::GROSS, value::ORDERS, value::REFUND_AMOUNT]
        .map(|name| revenue.by_day(revenue.currency, range, name));
    let point = |date: Day| {
        let of = |days: &BTreeMap<Day, i64>| days.get(&date).copied().unwrap_or(0);
        let amount = |minor| Amount { minor, exponent };
        let (gross, refunded) = (i128::from(of(&gross)), i128::from(of(&refunded)));
        Point {
            date,
            revenue: amount(gross),
            orders: of(&orders),
            refund_amount: amount(refunded),
            net_revenue: amount(gross - refunded),
        }
    };
    range.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::samples::{cells, revenue};
    use crate::range::Asked;
    use crate::tenants::samples::demo;

    #[test]
    fn the_summary_shows_the_base_first_and_every_other_currency_that_moved() {
        let now = commerce::time::parse_iso("2026-03-15T12:00:00Z").unwrap().at;
        let workspace = Workspace {
            cells: cells(&[
                revenue("2026-03-15", "USD", &[("gross", 1_000), ("orders", 1)]),
                revenue("2026-03-14", "EUR", &[("gross", 2_000), ("orders", 2), ("refund_amount", 500)]),
                revenue("2020-01-01", "JPY", &[("gross", 5), ("orders", 1)]),
            ]),
            ..Workspace::default()
        };
        let range = Range::read(Asked::default(), Day::parse("2026-03-15").unwrap(), None).unwrap();
        let summary = of(&demo(), Some(&workspace), range, Currency::parse("EUR").ok(), now);
        let codes: Vec<_> = summary.currencies.iter().map(|line| line.currency.to_string()).collect();
        assert_eq!(codes, ["USD", "EUR"]);
        assert_eq!(summary.currencies[0].today.revenue.minor, 1_000);
        assert_eq!(summary.currencies[1].today.revenue.minor, 0);
        assert_eq!(summary.currencies[1].range.net_revenue.minor, 1_500);
        assert_eq!((summary.series.len(), summary.basis.currency.as_str()), (30, "EUR"));
        assert_eq!(summary.series[28].net_revenue.minor, 1_500);
        assert_eq!(summary.basis.held.len(), 1);
    }

    #[test]
    fn a_workspace_of_which_nothing_was_seen_has_zeros() {
        let now = EventTime(0);
        let range = Range::read(Asked::default(), Day(0), None).unwrap();
        let summary = of(&demo(), None, range, None, now);
        assert_eq!((summary.currencies.len(), summary.series.len()), (1, 30));
        assert!(summary.currencies[0].range.is_nothing());
        serde_json::to_string(&summary).unwrap();
    }
}
