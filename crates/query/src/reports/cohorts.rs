//! `cohorts` (§6.12): persons by the month of their first purchase, and what they bought in each month since.

use std::collections::BTreeMap;

use commerce::time::Day;
use serde::{Serialize, Serializer};

use super::{Basis, Question, Revenue};
use crate::amount::{Amount, divide};
use crate::range::Range;

/// Months when nothing is asked.
const DEFAULT_MONTHS: i32 = 6;
/// The most that may be asked for.
const GREATEST_MONTHS: i32 = 24;

/// A calendar month: months since year 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Month(i32);

impl Month {
    /// The month of a day.
    pub fn of(day: Day) -> Self {
        let text = day.to_string();
        let mut parts = text.rsplitn(3, '-');
        let (_, month, year) = (parts.next(), parts.next(), parts.next());
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i32>().ok()).unwrap_or(0);
        Self(number(year).saturating_mul(12).saturating_add(number(month) - 1))
    }

    fn parse(day: &str) -> Option<Self> {
        Day::parse(day).map(Self::of)
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The cohorts that are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Asked {
    first: Month,
    last: Month,
    /// The current month, up to which each cohort is followed.
    now: Month,
}

/// `months` is no number from 1 to 24.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid;

impl Asked {
    /// The last `months` calendar months up to that of `today`, or those of the range where one is given as `start` and
    /// `end`.
    pub fn read(months: Option<&str>, given: Option<Range>, today: Day) -> Result<Self, Invalid> {
        let months = match months {
            None => DEFAULT_MONTHS,
            Some(text) => {
                let digits = text.bytes().all(|b| b.is_ascii_digit());
                let months = text.parse().ok().filter(|_| digits);
                months.filter(|months| (1..=GREATEST_MONTHS).contains(months)).ok_or(Invalid)?
            }
        };
        let now = Month::of(today);
        let (first, last) = match given {
            Some(range) => (Month::of(range.first()), Month::of(Day(range.end().0.saturating_sub(1)))),
            None => (Month(now.0.saturating_sub(months - 1)), now),
        };
        Ok(Self { first, last, now })
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Cohorts {
    /// Newest first; months without new buyers are left out.
    pub cohorts: Vec<Cohort>,
    /// Gross revenue per user over all of them.
    pub avg_ltv: Amount,
    /// Persons in all of them.
    pub total_purchasing_users: i128,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// Who bought first in one month.
#[derive(Debug, Serialize)]
pub struct Cohort {
    /// The month.
    pub month: Month,
    /// Persons.
    pub users: i128,
    /// Gross, by calendar months since, from 0 to the current one.
    #[serde(serialize_with = "by_offset")]
    pub revenue_by_month: Vec<Amount>,
}

fn by_offset<S: Serializer>(months: &[Amount], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(months.iter().enumerate().map(|(offset, amount)| (offset.to_string(), amount)))
}

/// Computes the answer.
pub fn of(question: &Question<'_>, asked: Asked) -> Cohorts {
    let revenue = Revenue::of(question);
    let exponent = revenue.currency.exponent();
    let within = |month: Month| (asked.first..=asked.last).contains(&month);
    let mut users: BTreeMap<Month, i128> = BTreeMap::new();
    let mut spent: BTreeMap<(Month, Month), i128> = BTreeMap::new();
    let figure = |name: &str| question.cells.and_then(|cells| cells.figure(name));
    for series in figure("cohort_users").iter().flat_map(|figure| figure.series()) {
        for (day, cell) in series.days(Range::always()) {
            *users.entry(Month::of(day)).or_default() += i128::from(cell.value("users"));
        }
    }
    for series in figure("cohort_revenue").iter().flat_map(|figure| figure.series()) {
        let text = |name: &str| series.dimensions.get(name).map_or("", String::as_str);
        let Some(cohort) = Month::parse(text("cohort")).filter(|month| within(*month)) else { continue };
        if !revenue.takes(series) {
            continue;
        }
        for (day, cell) in series.days(Range::always()) {
            *spent.entry((cohort, Month::of(day))).or_default() += i128::from(cell.value("revenue"));
        }
    }
    let mut cohorts = Vec::new();
    let (mut all_users, mut all_spent) = (0, 0);
    for (month, users) in users.into_iter().rev().filter(|(month, users)| within(*month) && *users > 0) {
        let minor = |at: i32| spent.get(&(month, Month(at))).copied().unwrap_or(0);
        let months: Vec<i128> = (month.0..=asked.now.0.max(month.0)).map(minor).collect();
        all_users += users;
        all_spent += months.iter().sum::<i128>();
        let revenue_by_month = months.into_iter().map(|minor| Amount { minor, exponent }).collect();
        cohorts.push(Cohort { month, users, revenue_by_month });
    }
    Cohorts {
        cohorts,
        avg_ltv: Amount { minor: divide(all_spent, all_users), exponent },
        total_purchasing_users: all_users,
        basis: revenue.basis(question),
    }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::cell;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn ana_c21_month_0_has_the_first_purchase_and_every_month_up_to_now_is_there() {
        let users = |month: &str, users| cell("cohort_users", month, &[], &[("users", users)]);
        let spent = |cohort: &str, month: &str, minor| {
            cell("cohort_revenue", month, &[("cohort", cohort)], &[("revenue", minor)])
        };
        let known = cells(&[
            users("2026-01-01", 2),
            users("2026-03-01", 1),
            users("2025-01-01", 9),
            spent("2026-01-01", "2026-01-01", 10_000),
            spent("2026-01-01", "2026-03-01", 5_000),
            spent("2026-03-01", "2026-03-01", 2_500),
            spent("2025-01-01", "2026-03-01", 77),
        ]);
        let asked = Asked::read(None, None, day("2026-03-15")).unwrap();
        let question = question(Some(&known), "2026-03-01", "2026-03-15");
        let answer = serde_json::to_string(&of(&question, asked)).unwrap();
        assert!(
            answer.starts_with(concat!(
                r#"{"cohorts":[{"month":"2026-03","users":1,"revenue_by_month":{"0":25.00}},"#,
                r#"{"month":"2026-01","users":2,"revenue_by_month":{"0":100.00,"1":0.00,"2":50.00}}],"#,
                r#""avg_ltv":58.33,"total_purchasing_users":3,"#
            )),
            "{answer}"
        );
        let given = Some(question.range);
        let only = of(&question, Asked::read(Some("24"), given, day("2026-03-15")).unwrap());
        assert_eq!((only.cohorts.len(), only.cohorts[0].month.to_string().as_str()), (1, "2026-03"));
    }

    #[test]
    fn months_are_1_to_24() {
        for text in ["0", "25", "-1", "+1", "x", "1.5", "99999999999"] {
            assert_eq!(Asked::read(Some(text), None, day("2026-03-15")), Err(Invalid), "{text}");
        }
        let asked = Asked::read(Some("24"), None, day("2026-03-15")).unwrap();
        assert_eq!((asked.first.to_string(), asked.last.to_string()), ("2024-04".into(), "2026-03".into()));
    }

    #[test]
    fn without_data_the_shape_is_the_same() {
        let asked = Asked::read(None, None, day("2026-03-15")).unwrap();
        let answer = serde_json::to_string(&of(&question(None, "2026-03-01", "2026-03-15"), asked)).unwrap();
        assert!(
            answer.starts_with(r#"{"cohorts":[],"avg_ltv":0.00,"total_purchasing_users":0,"#),
            "{answer}"
        );
    }
}
