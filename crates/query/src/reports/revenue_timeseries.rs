//! `revenue-timeseries` (§6.2): dense, gross.

use std::collections::BTreeMap;

use commerce::time::Day;
use serde::{Serialize, Serializer};

use super::{Basis, Question, Revenue, value};
use crate::amount::Amount;

/// The answer.
#[derive(Debug, Serialize)]
pub struct RevenueTimeseries {
    /// One entry for every day of the range, ascending, zeros included.
    pub series: Vec<Point>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
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
}

pub(super) fn as_text<S: Serializer>(day: &Day, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

/// Computes the answer.
pub fn of(question: &Question<'_>) -> RevenueTimeseries {
    let revenue = Revenue::of(question);
    let exponent = revenue.currency.exponent();
    let [gross, orders] =
        [value::GROSS, value::ORDERS].map(|name| revenue.by_day(revenue.currency, question.range, name));
    let series = question
        .range
        .iter()
        .map(|date| {
            let of = |days: &BTreeMap<Day, i64>| days.get(&date).copied().unwrap_or(0);
            Point { date, revenue: Amount { minor: i128::from(of(&gross)), exponent }, orders: of(&orders) }
        })
        .collect();
    RevenueTimeseries { series, days: question.range.days(), basis: revenue.basis(question) }
}

#[cfg(test)]
mod tests {
    use super::super::{overview, samples};
    use super::*;
    use crate::cells::samples::{cells, revenue};
    use crate::range::{Asked, Range};
    use commerce::Currency;
    use proptest::prelude::*;

    #[test]
    fn every_day_of_the_range_has_an_entry() {
        let cells = cells(&[revenue("2026-03-01", "USD", &[("gross", 1_250), ("orders", 2)])]);
        let json =
            serde_json::to_string(&of(&samples::question(Some(&cells), "2026-02-28", "2026-03-02"))).unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"series":[{"date":"2026-02-28","revenue":0.00,"orders":0},"#,
                r#"{"date":"2026-03-01","revenue":12.50,"orders":2},"#,
                r#"{"date":"2026-03-02","revenue":0.00,"orders":0}],"days":3,"#,
                r#""currency":"USD","held":{},"as_of":"1970-01-01T00:00:00Z","corrected":false}"#
            )
        );
    }

    proptest! {
        #[test]
        fn ana_c14_the_series_has_exactly_days_entries_and_sums_to_the_total(
            sales in proptest::collection::vec((-40_i32..40, 0_i64..10_000_000, 0_i64..50, "USD|EUR|JPY"), 0..60),
            days in 1_i32..60,
        ) {
            let today = Day::parse("2026-03-15").unwrap();
            // One record per day and currency, the last one holds.
            let records: Vec<_> = sales.iter().map(|(back, gross, orders, currency)| {
                revenue(&Day(today.0 - back).to_string(), currency, &[("gross", *gross), ("orders", *orders)])
            }).collect();
            let cells = cells(&records);
            let text = days.to_string();
            let range = Range::read(Asked { days: Some(&text), ..Asked::default() }, today, None).unwrap();
            for currency in [None, Currency::parse("JPY").ok()] {
                let question = Question { range, currency, ..samples::question(Some(&cells), "2026-03-01", "2026-03-01") };
                let (series, overview) = (of(&question), overview::of(&question));
                prop_assert_eq!(series.days, days);
                prop_assert_eq!(series.series.len(), usize::try_from(days).unwrap());
                prop_assert_eq!(series.series.iter().map(|p| p.revenue.minor).sum::<i128>(), overview.total_revenue.minor);
                prop_assert_eq!(series.series.iter().map(|p| i128::from(p.orders)).sum::<i128>(), overview.total_orders);
                prop_assert!(series.series.windows(2).all(|pair| pair[0].date.0 + 1 == pair[1].date.0));
                prop_assert_eq!(overview.net_revenue.minor, overview.total_revenue.minor - overview.refund_amount.minor);
            }
        }
    }
}
