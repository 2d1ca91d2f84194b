//! The days that a report speaks of.

use commerce::time::Day;

/// The days of a report when nothing is asked.
pub const DEFAULT_DAYS: i32 = 30;

/// A hundred years: the most that is answered where the plan sets no retention, so that a request can't ask for an
/// answer without end.
pub const GREATEST_DAYS: i32 = 36_525;

/// The range parameters as they came; an empty text is an absent one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// `days`.
    pub days: Option<&'a str>,
    /// `start`.
    pub start: Option<&'a str>,
    /// `end`.
    pub end: Option<&'a str>,
}

/// Consecutive calendar days of the workspace's zone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    first: Day,
    /// 0 only where all that was asked lies before the retention.
    days: i32,
}

/// The range can't be read, ends before it starts, or has no day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Invalid date range")]
pub struct Invalid;

impl Range {
    /// `days` = `today` and the days before it; or `start` and `end`, inclusive, which win; only one of the two is
    /// ignored. Reaching back further than `retention` days is cut.
    pub fn read(asked: Asked<'_>, today: Day, retention: Option<u32>) -> Result<Self, Invalid> {
        let given = |text: Option<&'_ str>| text.is_some_and(|text| !text.is_empty());
        let limit = retention.and_then(|days| i32::try_from(days).ok()).unwrap_or(GREATEST_DAYS);
        let limit = limit.clamp(1, GREATEST_DAYS);
        let oldest = today.0.saturating_sub(limit - 1);
        if let (true, true, Some(start), Some(end)) =
            (given(asked.start), given(asked.end), asked.start, asked.end)
        {
            let (start, end) = (date(start).ok_or(Invalid)?, date(end).ok_or(Invalid)?);
            if end < start {
                return Err(Invalid);
            }
            let first = start.0.max(oldest);
            let days = end.0.saturating_sub(first).saturating_add(1).max(0);
            if days > GREATEST_DAYS {
                return Err(Invalid);
            }
            return Ok(Self { first: Day(first), days });
        }
        let days = match asked.days.filter(|text| !text.is_empty()) {
            None => DEFAULT_DAYS,
            Some(text) => number(text).filter(|days| *days >= 1).ok_or(Invalid)?,
        }
        .min(limit);
        Ok(Self { first: Day(today.0.saturating_sub(days - 1)), days })
    }

    /// Every day that a figure may stand on.
    pub fn always() -> Self {
        Self { first: Day(-1_000_000), days: 4_000_000 }
    }

    /// One day.
    pub fn day(day: Day) -> Self {
        Self { first: day, days: 1 }
    }

    /// So many days, the last of which is `day`.
    pub fn until(day: Day, days: i32) -> Self {
        Self { first: Day(day.0.saturating_sub(days.saturating_sub(1))), days }
    }

    /// The hours of these days in the place of days, 24 of each.
    pub(crate) fn in_hours(self) -> Self {
        Self { first: Day(self.first.0.saturating_mul(24)), days: self.days.saturating_mul(24) }
    }

    /// How many days.
    pub fn days(self) -> i32 {
        self.days
    }

    /// Each day, ascending.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Day> {
        (0..self.days).map(move |n| Day(self.first.0.saturating_add(n)))
    }

    /// The first day.
    pub fn first(self) -> Day {
        self.first
    }

    /// The day after the last.
    pub fn end(self) -> Day {
        Day(self.first.0.saturating_add(self.days))
    }
}

/// `YYYY-MM-DD`, a day that exists.
fn date(text: &str) -> Option<Day> {
    let b = text.as_bytes();
    let shaped = b.len() == 10
        && b.iter()
            .enumerate()
            .all(|(i, c)| if matches!(i, 4 | 7) { *c == b'-' } else { c.is_ascii_digit() });
    shaped.then(|| Day::parse(text)).flatten()
}

/// Digits alone. A number beyond what an `i32` holds is a great many days.
fn number(text: &str) -> Option<i32> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn today() -> Day {
        Day::parse("2026-03-15").unwrap()
    }

    fn read(query: &str, retention: Option<u32>) -> Result<(String, i32), Invalid> {
        let mut asked = Asked::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap();
            match name {
                "days" => asked.days = Some(value),
                "start" => asked.start = Some(value),
                _ => asked.end = Some(value),
            }
        }
        Range::read(asked, today(), retention).map(|range| (range.first().to_string(), range.days()))
    }

    #[test]
    fn the_range_rules_of_the_contract() {
        for (query, first, days) in [
            ("", "2026-02-14", 30),
            ("days=1", "2026-03-15", 1),
            ("days=", "2026-02-14", 30),
            ("days=007", "2026-03-09", 7),
            ("start=2026-03-01&end=2026-03-01", "2026-03-01", 1),
            ("start=2026-02-27&end=2026-03-02", "2026-02-27", 4),
            // Both given: days is ignored, whatever it says.
            ("start=2026-03-01&end=2026-03-02&days=nonsense", "2026-03-01", 2),
            // Only one of the two is ignored, whatever it says.
            ("start=2026-03-01", "2026-02-14", 30),
            ("end=nonsense&days=2", "2026-03-14", 2),
            ("start=2026-03-01&end=", "2026-02-14", 30),
            // The future is a day like any other.
            ("start=2026-03-15&end=2026-03-20", "2026-03-15", 6),
        ] {
            assert_eq!(read(query, None), Ok((first.to_owned(), days)), "{query}");
        }
    }

    #[test]
    fn what_is_no_range_is_invalid() {
        for query in [
            "days=0",
            "days=-1",
            "days=1.5",
            "days=%2B7",
            "days=+7",
            "days=many",
            "start=2026-03-02&end=2026-03-01",
            "start=2026-02-30&end=2026-03-01",
            "start=20260301&end=20260302",
            "start=2026-03-01T00:00:00Z&end=2026-03-02",
            "start=x&end=y",
            "start=2026-01-01&end=9999-12-31",
        ] {
            assert_eq!(read(query, None), Err(Invalid), "{query}");
        }
        assert_eq!(Invalid.to_string(), "Invalid date range");
    }

    #[test]
    fn the_plan_limits_how_far_a_report_reaches_back() {
        assert_eq!(read("days=400", Some(180)).unwrap().1, 180);
        assert_eq!(read("days=99999999999999999999", None).unwrap().1, GREATEST_DAYS);
        assert_eq!(read("start=2020-01-01&end=2026-03-15", Some(10)).unwrap(), ("2026-03-06".to_owned(), 10));
        // All of it is gone: no days, and no error.
        assert_eq!(read("start=2020-01-01&end=2020-01-31", Some(10)).unwrap().1, 0);
    }

    #[test]
    fn ana_c15_days_are_clamped_one_end_is_ignored_and_an_end_before_its_start_is_refused() {
        assert_eq!(read("days=400", Some(180)).unwrap().1, 180);
        assert_eq!(read("start=2026-03-01", Some(180)), read("", Some(180)));
        assert_eq!(read("start=2026-03-02&end=2026-03-01", Some(180)), Err(Invalid));
    }

    proptest! {
        #[test]
        fn a_range_has_as_many_days_as_it_says(days in 1_i32..2000, retention in proptest::option::of(1_u32..3000)) {
            let text = days.to_string();
            let range = Range::read(Asked { days: Some(&text), ..Asked::default() }, today(), retention).unwrap();
            prop_assert_eq!(range.iter().len(), usize::try_from(range.days()).unwrap());
            prop_assert_eq!(range.iter().last(), Some(today()));
            prop_assert_eq!(range.end().0, today().0 + 1);
        }

        #[test]
        fn no_text_makes_it_panic(days in ".{0,12}", start in ".{0,12}", end in "[0-9-]{0,12}") {
            let asked = Asked { days: Some(&days), start: Some(&start), end: Some(&end) };
            let _ = Range::read(asked, today(), Some(0));
        }
    }
}
