//! Persons by the calendar month of their first purchase, and what each month brought in after it.
//!
//! Per person and month of the workspace's zone the purchases are summed; the first month that has any is the cohort.
//! When an older purchase comes late, or the first one stops counting, everything of the person moves to the other
//! cohort. Months stand in cells by the first day of the month in which the money came; the cohort is a dimension.

use std::collections::BTreeMap;

use commerce::time::Day;
use commerce::{EventTime, Money};
use serde::{Deserialize, Serialize};
use stream::Failure;

use crate::aggregation::{Aggregation, Of};
use crate::people::{Actor, Kind};
use crate::rows::{Book, PEOPLE, Spot, read};
use crate::unit::Unit;

/// Persons who bought first in a month.
pub(crate) const USERS: Aggregation =
    Aggregation { metric: "cohort_users", cut: &[], figures: &["users"], of: Of::State };

/// What a cohort bought in a month, gross.
pub(crate) const REVENUE: Aggregation = Aggregation {
    metric: "cohort_revenue",
    cut: &["currency", "cohort"],
    figures: &["revenue"],
    of: Of::State,
};

/// The purchases of one month.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Month {
    orders: i64,
    /// Gross, minor units.
    revenue: BTreeMap<Unit, i64>,
}

impl Month {
    fn add(&mut self, other: &Self) {
        self.orders = self.orders.saturating_add(other.orders);
        for (unit, minor) in &other.revenue {
            let sum = self.revenue.entry(*unit).or_default();
            *sum = sum.saturating_add(*minor);
        }
        self.revenue.retain(|_, minor| *minor != 0);
    }
}

/// Adds (`sign` 1) or takes back a purchase of a person.
pub(crate) fn purchase(
    book: &mut Book<'_>,
    person: Actor,
    at: EventTime,
    (total, in_base): (Money, Option<Money>),
    sign: i64,
) -> Result<(), Failure> {
    let month = book.zone.day_of(at).first_of_month();
    let amounts = Unit::amounts(total, in_base).map(|(unit, minor)| (unit, minor.saturating_mul(sign)));
    let delta = Month { orders: sign, revenue: amounts.collect() };
    change(book, person, month, &delta)
}

/// Everything of one person becomes another's.
pub(crate) fn merge(book: &mut Book<'_>, from: Actor, to: Actor) -> Result<(), Failure> {
    for (month, sums) in months(book, from)? {
        let back = Month {
            orders: -sums.orders,
            revenue: sums.revenue.iter().map(|(unit, minor)| (*unit, -minor)).collect(),
        };
        change(book, from, month, &back)?;
        change(book, to, month, &sums)?;
    }
    Ok(())
}

/// Changes one month of a person, and moves the cells.
fn change(book: &mut Book<'_>, person: Actor, month: Day, delta: &Month) -> Result<(), Failure> {
    let cohort = first(book, person);
    let key = key(book, person, month);
    let mut sums: Month = book.get(PEOPLE, &key)?.unwrap_or_default();
    // As long as the cohort stays, only this month moves; a long history isn't read.
    let stays =
        cohort.is_some_and(|cohort| cohort < month || (cohort == month && sums.orders + delta.orders > 0));
    if !stays {
        show(book, person, -1)?;
    }
    sums.add(delta);
    if sums == Month::default() {
        book.remove(&key)?;
    } else {
        book.put(PEOPLE, &key, &sums)?;
    }
    match cohort {
        Some(cohort) if stays => revenue(book, cohort, month, delta, 1),
        _ => show(book, person, 1)?,
    }
    Ok(())
}

/// All cells of a person, times `sign`.
fn show(book: &mut Book<'_>, person: Actor, sign: i64) -> Result<(), Failure> {
    let Some(cohort) = first(book, person) else { return Ok(()) };
    book.moves.add(Spot::new(&USERS, cohort, []), &[1], sign);
    for (month, sums) in months(book, person)? {
        revenue(book, cohort, month, &sums, sign);
    }
    Ok(())
}

fn revenue(book: &mut Book<'_>, cohort: Day, month: Day, sums: &Month, sign: i64) {
    for (unit, minor) in &sums.revenue {
        let cut = [unit.to_string(), cohort.to_string()];
        book.moves.add(Spot::new(&REVENUE, month, cut), &[*minor], sign);
    }
}

fn key(book: &Book<'_>, person: Actor, month: Day) -> Vec<u8> {
    let mut key = person.run(book, Kind::Month);
    key.extend((month.0.cast_unsigned() ^ (1 << 31)).to_be_bytes());
    key
}

fn month_of(run: &[u8], key: &[u8]) -> Option<Day> {
    let bytes: &[u8; 4] = key.get(run.len()..)?.first_chunk()?;
    Some(Day((u32::from_be_bytes(*bytes) ^ (1 << 31)).cast_signed()))
}

/// The month of a person's first purchase.
fn first(book: &Book<'_>, person: Actor) -> Option<Day> {
    let run = person.run(book, Kind::Month);
    let (key, _) = book.next(&run, None)?;
    month_of(&run, &key)
}

fn months(book: &Book<'_>, person: Actor) -> Result<Vec<(Day, Month)>, Failure> {
    let run = person.run(book, Kind::Month);
    let mut months = Vec::new();
    for (key, value) in book.all(&run) {
        if let Some(month) = month_of(&run, &key) {
            months.push((month, read(&value)?));
        }
    }
    Ok(months)
}
