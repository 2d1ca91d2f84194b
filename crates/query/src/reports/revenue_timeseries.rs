//! `revenue-timeseries` (§6.2): dense, gross; by day, or asked for so (beyond the contract) by hour.
//!
//! An hour is the one that the clock of the workspace's zone shows. Every day has 24 of them: that which is skipped when
//! a clock is set forward has nothing, and that which comes twice when it is set back is one of two hours' length.

use std::collections::BTreeMap;

use commerce::ReceivedTime;
use commerce::time::Day;
use serde::{Serialize, Serializer};

use super::{Basis, Question, Revenue, value};
use crate::amount::Amount;
use crate::range::Range;

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

/// The answer by hour.
#[derive(Debug, Serialize)]
pub struct ByHour {
    /// 24 entries for every day of the range, ascending, zeros included.
    pub series: Vec<Hour>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// One hour.
#[derive(Debug, Serialize)]
pub struct Hour {
    /// Its day in the workspace's zone.
    #[serde(serialize_with = "as_text")]
    pub date: Day,
    /// As the clock shows it, 0 to 23.
    pub hour: u8,
    /// Gross.
    pub revenue: Amount,
    /// Counted orders.
    pub orders: i64,
}

/// As many days are answered hour by hour.
pub const MOST_DAYS_IN_HOURS: i32 = 92;

/// What isn't offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// Neither `day` nor `hour`.
    Granularity,
    /// More days than are answered hour by hour.
    TooMany,
}

/// Reads `granularity`: true for hours.
pub fn hourly(text: Option<&str>, range: Range) -> Result<bool, Invalid> {
    match text {
        None | Some("day") => Ok(false),
        Some("hour") if range.days() > MOST_DAYS_IN_HOURS => Err(Invalid::TooMany),
        Some("hour") => Ok(true),
        Some(_) => Err(Invalid::Granularity),
    }
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

/// Computes the answer by hour.
pub fn by_hour(question: &Question<'_>) -> ByHour {
    let (daily, hourly) = (Revenue::of(question), Revenue::named(question, value::BY_HOUR));
    let (currency, range) = (hourly.currency, question.range);
    let mut sums: BTreeMap<(Day, u8), [i64; 2]> = BTreeMap::new();
    let mut corrected = false;
    for (series, sign) in hourly.series(currency) {
        for (day, hour, cell) in series.hours(range) {
            let [gross, orders] = sums.entry((day, hour)).or_default();
            *gross = gross.saturating_add(cell.value(value::GROSS).saturating_mul(sign));
            *orders = orders.saturating_add(cell.value(value::ORDERS).saturating_mul(sign));
        }
        corrected = corrected || series.hours_corrected(range);
    }
    let exponent = currency.exponent();
    let hour = |date, hour| {
        let [gross, orders] = sums.get(&(date, hour)).copied().unwrap_or_default();
        Hour { date, hour, revenue: Amount { minor: gross.into(), exponent }, orders }
    };
    let series = range.iter().flat_map(|date| (0..24).map(move |number| (date, number)));
    let series = series.map(|(date, number)| hour(date, number)).collect();
    // What waits for a rate is known by day.
    let as_of = hourly.as_of.map(ReceivedTime::to_rfc3339);
    ByHour { series, days: range.days(), basis: Basis { as_of, corrected, ..daily.basis(question) } }
}

#[cfg(test)]
mod tests {
    use super::super::{overview, samples};
    use super::*;
    use crate::cells::samples::{cells, of_hour, revenue};
    use crate::range::Asked;
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

    #[test]
    fn every_day_has_24_hours_that_sum_to_what_it_brought_in_in_base() {
        let mut converted = of_hour("2026-03-01", 23, "EUR", &[("gross", 110), ("orders", 1)]);
        converted.dimensions.insert("base".to_owned(), "USD".to_owned());
        let mut marked = of_hour("2026-03-01", 5, "USD", &[("gross", 250), ("orders", 1)]);
        marked.metric = "flagged_revenue_by_hour".to_owned();
        let mut late = of_hour("2026-03-03", 0, "USD", &[("gross", 1), ("orders", 1)]);
        late.corrected = true;
        let cells = cells(&[
            of_hour("2026-02-28", 23, "USD", &[("gross", 1), ("orders", 1)]),
            of_hour("2026-03-01", 5, "USD", &[("gross", 1_250), ("orders", 2)]),
            of_hour("2026-03-01", 23, "EUR", &[("gross", 100), ("orders", 1)]),
            converted,
            marked,
            late,
        ]);
        let asked = samples::question(Some(&cells), "2026-03-01", "2026-03-02");
        let sold = |question: &Question<'_>| -> Vec<(String, u8, i128, i64)> {
            let hours = by_hour(question).series;
            assert_eq!(hours.len(), 48);
            assert!(hours.windows(2).all(|pair| (pair[0].date, pair[0].hour) < (pair[1].date, pair[1].hour)));
            let sold = hours.into_iter().filter(|hour| hour.orders != 0);
            sold.map(|hour| (hour.date.to_string(), hour.hour, hour.revenue.minor, hour.orders)).collect()
        };
        let first = || "2026-03-01".to_owned();
        assert_eq!(sold(&asked), [(first(), 5, 1_250, 2), (first(), 23, 110, 1)]);
        assert!(!by_hour(&asked).basis.corrected);
        assert!(by_hour(&samples::question(Some(&cells), "2026-03-01", "2026-03-03")).basis.corrected);
        let unmarked = Question { exclude_flagged: true, ..asked };
        assert_eq!(sold(&unmarked), [(first(), 5, 1_000, 1), (first(), 23, 110, 1)]);
        let euros = Question { currency: Currency::parse("EUR").ok(), ..asked };
        assert_eq!(sold(&euros), [(first(), 23, 100, 1)]);
        assert_eq!(by_hour(&samples::question(None, "2026-03-01", "2026-03-01")).series.len(), 24);
    }

    #[test]
    fn hours_are_asked_for_and_of_a_quarter_at_most() {
        let range = |days| Range::until(Day(20_000), days);
        assert_eq!(hourly(None, range(400)), Ok(false));
        assert_eq!(hourly(Some("day"), range(400)), Ok(false));
        assert_eq!(hourly(Some("hour"), range(92)), Ok(true));
        assert_eq!(hourly(Some("hour"), range(93)), Err(Invalid::TooMany));
        assert_eq!(hourly(Some("week"), range(1)), Err(Invalid::Granularity));
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
