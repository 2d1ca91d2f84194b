//! The days of one series, so kept that a range of them is summed by two look-ups, and united by a few dozen, however
//! long it is.
//!
//! Values are kept as running sums: a day's value is what the sum rose by. A set keeps, beside its days, the unions of
//! blocks of 8 and of 64 days. A change of an old day costs a pass over the later ones; most changes are of the last.

use std::sync::Arc;

use commerce::members::Members;
use commerce::time::Day;

use crate::range::Range;

/// Days of a block, by level.
const BLOCKS: [i32; 2] = [8, 64];

/// A block of fewer days isn't kept: its days are as quickly united. By level.
const WORTH_IT: [usize; 2] = [3, 12];

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Days {
    /// Ascending.
    days: Vec<Day>,
    names: Vec<Arc<str>>,
    /// Per day one for each name: the sum of the values up to this day. Sums of 64-bit values fit 128 bits.
    sums: Vec<i128>,
    /// Per day, how many days up to it were corrected.
    corrected: Vec<u32>,
    /// Of a set, per day the members as they were written, which is short for the many small ones; else empty.
    members: Vec<Arc<[u8]>>,
    /// By level the unions of blocks, by their number, ascending.
    blocks: [Vec<(i32, Arc<[u8]>)>; BLOCKS.len()],
}

/// One day of a series.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'a> {
    days: &'a Days,
    index: usize,
}

impl Cell<'_> {
    /// A value; 0 where the cell doesn't have it.
    pub fn value(self, name: &str) -> i64 {
        self.days.column(name).map_or(0, |column| self.days.value(self.index, column))
    }
}

impl Days {
    /// True without any day.
    pub(super) fn is_empty(&self) -> bool {
        self.days.is_empty()
    }

    /// Puts a day in its place; what was there before is gone.
    pub(super) fn set(
        &mut self,
        day: Day,
        values: &[(Arc<str>, i64)],
        corrected: bool,
        members: Option<&[u8]>,
    ) {
        for (name, _) in values {
            if self.column(name).is_none() {
                self.widen(Arc::clone(name));
            }
        }
        let index = match self.days.binary_search(&day) {
            Ok(index) => index,
            Err(index) => {
                self.days.insert(index, day);
                let before = self.row(index);
                let width = self.names.len();
                self.sums.splice(index * width..index * width, before);
                self.corrected.insert(index, self.corrected_before(index));
                if !self.members.is_empty() {
                    self.members.insert(index, Arc::default());
                }
                index
            }
        };
        for column in 0..self.names.len() {
            let new = self.names.get(column).and_then(|name| values.iter().find(|(known, _)| known == name));
            let delta =
                i128::from(new.map_or(0, |(_, value)| *value)) - i128::from(self.value(index, column));
            self.shift(index, column, delta);
        }
        let was = self.corrected.get(index).is_some_and(|sum| *sum > self.corrected_before(index));
        for sum in self.corrected.iter_mut().skip(index).filter(|_| was != corrected) {
            *sum = if corrected { sum.saturating_add(1) } else { sum.saturating_sub(1) };
        }
        if members.is_some() && self.members.is_empty() {
            self.members = vec![Arc::default(); self.days.len()];
        }
        if let Some(place) = self.members.get_mut(index) {
            *place = members.unwrap_or_default().into();
            self.refresh(day);
        }
    }

    /// Takes a day away.
    pub(super) fn remove(&mut self, day: Day) {
        if self.days.binary_search(&day).is_err() {
            return;
        }
        // Without values it adds nothing to those after it.
        self.set(day, &[], false, None);
        let Ok(index) = self.days.binary_search(&day) else { return };
        let width = self.names.len();
        self.days.remove(index);
        self.sums.drain(index * width..(index + 1) * width);
        self.corrected.remove(index);
        if !self.members.is_empty() {
            self.members.remove(index);
            self.refresh(day);
        }
    }

    /// The cell of a day.
    pub(super) fn cell(&self, day: Day) -> Option<Cell<'_>> {
        let index = self.days.binary_search(&day).ok()?;
        Some(Cell { days: self, index })
    }

    /// The cells of a range, ascending.
    pub(super) fn cells(&self, range: Range) -> impl Iterator<Item = (Day, Cell<'_>)> {
        let (from, to) = self.indexes(range);
        (from..to).filter_map(|index| Some((*self.days.get(index)?, Cell { days: self, index })))
    }

    /// The sums of some values over a range; `None` where the range has no day.
    pub(super) fn sums<const V: usize>(&self, range: Range, names: [&str; V]) -> Option<[i128; V]> {
        let (from, to) = self.indexes(range);
        (from < to).then(|| {
            names.map(|name| {
                self.column(name).map_or(0, |column| self.up_to(to, column) - self.up_to(from, column))
            })
        })
    }

    /// True when a day of the range was corrected.
    pub(super) fn corrected(&self, range: Range) -> bool {
        let (from, to) = self.indexes(range);
        self.corrected_before(to) > self.corrected_before(from)
    }

    /// Unites the members of the days of a range; false where there are none.
    pub(super) fn unite(&self, range: Range, into: &mut Members) -> bool {
        let (mut index, to) = self.indexes(range);
        let mut any = false;
        while let (true, Some(day), Some(of_day)) =
            (index < to, self.days.get(index), self.members.get(index))
        {
            let block = (0..BLOCKS.len()).rev().find_map(|level| self.block(level, *day, range));
            let (members, next) = match block {
                Some((members, end)) => (members, self.days.partition_point(|day| *day < end)),
                None => (of_day, index + 1),
            };
            // What can't be read was counted when it was read from its topic.
            any |= into.unite_written(members).is_ok();
            index = next;
        }
        any
    }

    /// The block that begins with the first known day at or after its start, if all of it is in the range.
    fn block(&self, level: usize, day: Day, range: Range) -> Option<(&Arc<[u8]>, Day)> {
        let (first, end) = block_of(level, day);
        if first < range.first() || end > range.end() {
            return None;
        }
        let known = self.blocks.get(level)?;
        let at = known.binary_search_by_key(&first.0, |(start, _)| *start).ok()?;
        known.get(at).map(|(_, members)| (members, end))
    }

    /// Computes the blocks of a day anew.
    fn refresh(&mut self, day: Day) {
        for level in 0..BLOCKS.len() {
            let (first, end) = block_of(level, day);
            let range =
                self.days.partition_point(|day| *day < first)..self.days.partition_point(|day| *day < end);
            let united = (range.len() >= WORTH_IT.get(level).copied().unwrap_or(usize::MAX)).then(|| {
                let mut all = Members::default();
                let lower = level.checked_sub(1).and_then(|level| self.blocks.get(level));
                let mut index = range.start;
                while index < range.end {
                    let start = self.days.get(index).map(|day| block_of(0, *day));
                    let lower = start.and_then(|(start, end)| {
                        let lower = lower?;
                        let at = lower.binary_search_by_key(&start.0, |(known, _)| *known).ok()?;
                        Some((&lower.get(at)?.1, end))
                    });
                    let (members, next) = match lower {
                        Some((members, end)) => (Some(members), self.days.partition_point(|day| *day < end)),
                        None => (self.members.get(index), index + 1),
                    };
                    members.map(|members| all.unite_written(members));
                    index = next;
                }
                all.written().0.into()
            });
            let Some(known) = self.blocks.get_mut(level) else { continue };
            match (known.binary_search_by_key(&first.0, |(start, _)| *start), united) {
                (Ok(at), Some(united)) => known.splice(at..=at, [(first.0, united)]).for_each(drop),
                (Ok(at), None) => drop(known.remove(at)),
                (Err(at), Some(united)) => known.insert(at, (first.0, united)),
                (Err(_), None) => {}
            }
        }
    }

    fn indexes(&self, range: Range) -> (usize, usize) {
        let from = self.days.partition_point(|day| *day < range.first());
        (from, self.days.partition_point(|day| *day < range.end()))
    }

    fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| &**known == name)
    }

    /// The sum of the days before an index.
    fn up_to(&self, index: usize, column: usize) -> i128 {
        let row = index.checked_sub(1);
        row.and_then(|row| self.sums.get(row * self.names.len() + column)).copied().unwrap_or(0)
    }

    fn value(&self, index: usize, column: usize) -> i64 {
        i64::try_from(self.up_to(index + 1, column) - self.up_to(index, column)).unwrap_or_default()
    }

    /// The running sums before an index.
    fn row(&self, index: usize) -> Vec<i128> {
        (0..self.names.len()).map(|column| self.up_to(index, column)).collect()
    }

    fn corrected_before(&self, index: usize) -> u32 {
        index.checked_sub(1).and_then(|row| self.corrected.get(row)).copied().unwrap_or(0)
    }

    /// Adds to the running sums of a value from an index on.
    fn shift(&mut self, index: usize, column: usize, delta: i128) {
        if delta != 0 {
            let width = self.names.len();
            for sum in self.sums.iter_mut().skip(index * width + column).step_by(width.max(1)) {
                *sum += delta;
            }
        }
    }

    /// Makes place for a value of a new name.
    fn widen(&mut self, name: Arc<str>) {
        let width = self.names.len();
        let rows = self.days.len();
        let mut sums = Vec::with_capacity(rows * (width + 1));
        for row in 0..rows {
            sums.extend(self.sums.get(row * width..(row + 1) * width).unwrap_or_default());
            sums.push(0);
        }
        self.sums = sums;
        self.names.push(name);
    }
}

/// The first day of the block that a day is in, and the day after its last.
fn block_of(level: usize, day: Day) -> (Day, Day) {
    let days = BLOCKS.get(level).copied().unwrap_or(1);
    let first = day.0.div_euclid(days).saturating_mul(days);
    (Day(first), Day(first.saturating_add(days)))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    /// Day, value if it has any, corrected, members; `None`: the day is taken away.
    type Change = (i32, Option<(i64, i64, bool, Vec<u16>)>);

    fn any_change() -> impl Strategy<Value = Change> {
        let members = prop::collection::vec(0_u16..4096, 0..12);
        let value = (any::<i64>(), -5_i64..5, any::<bool>(), members);
        (-40_i32..160, prop::option::weighted(0.8, value))
    }

    proptest! {
        #[test]
        fn any_range_after_any_changes_is_what_its_days_say(
            changes in prop::collection::vec(any_change(), 0..120),
            ranges in prop::collection::vec((-50_i32..170, 1_i32..220), 1..20),
        ) {
            let mut kept = Days::default();
            let mut known: BTreeMap<i32, (i64, i64, bool, BTreeSet<u16>)> = BTreeMap::new();
            let names: [Arc<str>; 2] = ["a".into(), "b".into()];
            for (day, change) in changes {
                match change {
                    Some((a, b, corrected, members)) => {
                        let mut set = Members::default();
                        members.iter().for_each(|place| set.insert(*place));
                        // The second name is there from the first day on which it isn't 0.
                        let mut values = vec![(Arc::clone(&names[0]), a)];
                        values.extend((b != 0).then(|| (Arc::clone(&names[1]), b)));
                        kept.set(Day(day), &values, corrected, Some(&set.written().0));
                        known.insert(day, (a, b, corrected, members.into_iter().collect()));
                    }
                    None => {
                        kept.remove(Day(day));
                        known.remove(&day);
                    }
                }
            }
            prop_assert_eq!(kept.is_empty(), known.is_empty());
            for (first, days) in ranges {
                let range = Range::until(Day(first + days - 1), days);
                let of: Vec<_> = known.range(first..first + days).collect();
                let sums = (!of.is_empty()).then(|| [
                    of.iter().map(|(_, day)| i128::from(day.0)).sum::<i128>(),
                    of.iter().map(|(_, day)| i128::from(day.1)).sum::<i128>(),
                    0,
                ]);
                prop_assert_eq!(kept.sums(range, ["a", "b", "unheard of"]), sums);
                prop_assert_eq!(kept.corrected(range), of.iter().any(|(_, day)| day.2));
                let cells: Vec<_> =
                    kept.cells(range).map(|(day, cell)| (day.0, cell.value("a"), cell.value("b"))).collect();
                let expected: Vec<_> = of.iter().map(|(day, of)| (**day, of.0, of.1)).collect();
                prop_assert_eq!(cells, expected);
                let mut members = Members::default();
                kept.unite(range, &mut members);
                let all: BTreeSet<u16> = of.iter().flat_map(|(_, day)| &day.3).copied().collect();
                prop_assert_eq!(members.iter().collect::<BTreeSet<_>>(), all);
            }
        }
    }

    #[test]
    fn a_year_is_united_from_a_few_blocks() {
        let mut kept = Days::default();
        for day in 0..365 {
            kept.set(Day(day), &[], false, Some(&[0, 1]));
        }
        assert_eq!(kept.blocks.each_ref().map(Vec::len), [46, 6]);
        for day in 0..365 {
            kept.remove(Day(day));
        }
        assert!(kept.is_empty() && kept.blocks.iter().all(Vec::is_empty));
    }
}
