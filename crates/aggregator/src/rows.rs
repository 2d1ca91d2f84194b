//! What the figures of people are kept in: sorted rows of bytes, and the moves that a change of them makes.
//!
//! The cores ([`crate::people`] and its kin) see rows and nothing of Kafka or a store, so a test runs them over a map.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;

use commerce::EventTime;
use commerce::time::{Day, Zone};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stream::{Failure, Pages, Table};

use crate::aggregation::Aggregation;
use crate::cell::{Place, Span, end_of};
use crate::funnel::Presence;
use crate::people::Actor;

/// Per workspace: actors with their lists, carts, and the clock. Ordered: a list is a run of keys, so that a long
/// history isn't rewritten for each event.
pub(crate) const PEOPLE: Table = Table::ordered(5, "people").in_pages(&PAGES);
/// Per workspace, set, day and chunk: who is in it ([`crate::funnel::Chunk`]).
pub(crate) const SETS: Table = Table::hashed(6, "sets");
/// Carts by when they are to be looked at again, over all actors of a workspace. No value.
pub(crate) const DUE: Table = Table::ordered(7, "carts_due");

/// What is kept of an actor lies together: most have a handful of rows, and what they do touches several of them.
pub(crate) const PAGES: Pages = Pages { numbers: (20, 21), name: "people_pages", group };

/// The head of a key of [`PEOPLE`] or [`crate::BUYER`]: the workspace, and whose row it is.
fn group(key: &[u8]) -> Option<usize> {
    let workspace = key.iter().position(|byte| *byte == 0)? + 1;
    let whose = match key.get(workspace..)? {
        // Cut between two purchases: found by the actor.
        [b'C', b'a', ..] => 2 + Actor::LENGTH,
        // The id of a cart is as long as an actor.
        [b'A' | b'C', ..] => 1 + Actor::LENGTH,
        // The clock and the like: a row each.
        [_, ..] => 1,
        [] => return None,
    };
    Some(workspace + whose).filter(|length| key.len() >= *length)
}

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Sorted rows.
pub(crate) trait Rows {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>>;
    /// Writes a value, or removes the key.
    fn set(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure>;
    /// The first row whose key starts with `prefix`, beyond `after` where given.
    fn next(&self, table: Table, prefix: &[u8], after: Option<&[u8]>) -> Option<Row>;
    /// All rows whose keys start with `prefix`.
    fn all(&self, table: Table, prefix: &[u8]) -> Vec<Row>;
}

impl Rows for stream::Context<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        stream::Context::get(self, table, key).map(Cow::into_owned)
    }

    fn set(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        match value {
            Some(value) => self.put(table, key, value),
            None => self.remove(table, key),
        }
    }

    fn next(&self, table: Table, prefix: &[u8], after: Option<&[u8]>) -> Option<Row> {
        self.scan(table, prefix, after, 1).pop()
    }

    fn all(&self, table: Table, prefix: &[u8]) -> Vec<Row> {
        self.scan(table, prefix, None, usize::MAX)
    }
}

/// Where a figure stands: the metric, its day, and what it is cut by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Spot {
    pub(crate) metric: &'static str,
    pub(crate) day: Day,
    /// In the order of the aggregation's `cut`.
    pub(crate) dimensions: Vec<String>,
    /// True where the day is the first of the month that the figure is of.
    is_of_months: bool,
}

impl Spot {
    /// A spot of an aggregation.
    pub(crate) fn new<const N: usize>(of: &Aggregation, day: Day, dimensions: [String; N]) -> Self {
        Self { metric: of.metric, day, dimensions: dimensions.into(), is_of_months: of.is_of_months() }
    }

    /// The window of its cell.
    pub(crate) const fn span(&self) -> Span {
        if self.is_of_months { Span::Month(self.day) } else { Span::Day(self.day) }
    }

    /// The place of its cell.
    pub(crate) fn place(self) -> Place<'static> {
        let dimensions = self.dimensions.into_iter().map(Cow::Owned).collect();
        Place { metric: Cow::Borrowed(self.metric), day: self.day, dimensions }
    }
}

/// How much which figures move.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Moves(pub(crate) BTreeMap<Spot, Vec<i64>>);

impl Moves {
    /// Adds `figures` times `sign` at a spot. Amounts from outside are below 10^15, so what one fact moves is far from
    /// the end of 64 bits; the cell itself checks.
    pub(crate) fn add(&mut self, spot: Spot, figures: &[i64], sign: i64) {
        let sums = self.0.entry(spot).or_default();
        if sums.len() < figures.len() {
            sums.resize(figures.len(), 0);
        }
        for (sum, figure) in sums.iter_mut().zip(figures) {
            *sum = sum.saturating_add(figure.saturating_mul(sign));
        }
    }

    /// What really moved.
    pub(crate) fn settle(mut self) -> BTreeMap<Spot, Vec<i64>> {
        self.0.retain(|_, figures| figures.iter().any(|figure| *figure != 0));
        self.0
    }
}

/// The rows of one workspace, while one fact is handled.
pub(crate) struct Book<'a> {
    rows: &'a mut dyn Rows,
    /// The workspace and a zero byte, which no id of a workspace has.
    prefix: Vec<u8>,
    /// Cuts days and months.
    pub(crate) zone: &'a Zone,
    /// Windows that end before this have closed.
    pub(crate) closed_before: i64,
    /// The end of the day that was asked about last: nearly always it is the same one again.
    end: Cell<Option<(Day, EventTime)>>,
    /// What moved.
    pub(crate) moves: Moves,
    /// Who came into which set, or left it.
    pub(crate) presences: Vec<Presence>,
}

impl<'a> Book<'a> {
    /// The rows of a workspace.
    pub(crate) fn new(rows: &'a mut dyn Rows, workspace: &str, zone: &'a Zone, closed_before: i64) -> Self {
        let prefix = [workspace.as_bytes(), &[0]].concat();
        let end = Cell::new(None);
        Self { rows, prefix, zone, closed_before, end, moves: Moves::default(), presences: Vec::new() }
    }

    /// True when a change of what is kept for the day, and can move for so many microseconds after it, is a correction.
    pub(crate) fn is_closed(&self, day: Day, and_after: i64) -> bool {
        let known = self.end.get().filter(|(known, _)| *known == day);
        let end = known.map_or_else(|| end_of(self.zone, day), |(_, end)| end);
        self.end.set(Some((day, end)));
        end.0.saturating_add(and_after) <= self.closed_before
    }

    /// Its name.
    pub(crate) fn workspace(&self) -> &str {
        std::str::from_utf8(self.prefix.strip_suffix(&[0]).unwrap_or_default()).unwrap_or_default()
    }

    /// A key of this workspace.
    pub(crate) fn key(&self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = self.prefix.clone();
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }

    /// A stored value.
    pub(crate) fn get<T: DeserializeOwned>(&self, table: Table, key: &[u8]) -> Result<Option<T>, Failure> {
        self.rows.get(table, key).map(|bytes| read(&bytes)).transpose()
    }

    /// Stores a value.
    pub(crate) fn put<T: Serialize>(&mut self, table: Table, key: &[u8], value: &T) -> Result<(), Failure> {
        let bytes = write(value)?;
        self.rows.set(table, key, Some(&bytes))
    }

    /// Moves a value as it is.
    pub(crate) fn put_bytes(&mut self, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        self.rows.set(PEOPLE, key, Some(value))
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<(), Failure> {
        self.remove_from(PEOPLE, key)
    }

    /// Removes a row of a table.
    pub(crate) fn remove_from(&mut self, table: Table, key: &[u8]) -> Result<(), Failure> {
        self.rows.set(table, key, None)
    }

    /// True when there is such a row.
    pub(crate) fn has(&self, key: &[u8]) -> bool {
        self.rows.get(PEOPLE, key).is_some()
    }

    /// The next row of a run.
    pub(crate) fn next(&self, prefix: &[u8], after: Option<&[u8]>) -> Option<Row> {
        self.rows.next(PEOPLE, prefix, after)
    }

    /// The first row of a run of a table.
    pub(crate) fn first_of(&self, table: Table, prefix: &[u8]) -> Option<Row> {
        self.rows.next(table, prefix, None)
    }

    /// A whole run.
    pub(crate) fn all(&self, prefix: &[u8]) -> Vec<Row> {
        self.rows.all(PEOPLE, prefix)
    }
}

/// Reads a stored value.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    postcard::from_bytes(bytes).map_err(|e| Failure::Fatal(format!("a stored row can't be read: {e}")))
}

/// Writes a value for storing.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Failure> {
    postcard::to_allocvec(value).map_err(|e| Failure::Fatal(format!("a row can't be written: {e}")))
}

/// A time whose bytes sort as the times do.
pub(crate) fn ascending(at: EventTime) -> [u8; 8] {
    (at.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// A time whose bytes sort newest first.
pub(crate) fn descending(at: EventTime) -> [u8; 8] {
    (!(at.0.cast_unsigned() ^ (1 << 63))).to_be_bytes()
}

/// Reads [`ascending`]; `None` for fewer bytes.
pub(crate) fn read_ascending(bytes: &[u8]) -> Option<EventTime> {
    let bytes: &[u8; 8] = bytes.first_chunk()?;
    Some(EventTime((u64::from_be_bytes(*bytes) ^ (1 << 63)).cast_signed()))
}

/// Reads [`descending`]; `None` for fewer bytes.
pub(crate) fn read_descending(bytes: &[u8]) -> Option<EventTime> {
    let bytes: &[u8; 8] = bytes.first_chunk()?;
    Some(EventTime((!u64::from_be_bytes(*bytes) ^ (1 << 63)).cast_signed()))
}

#[cfg(test)]
pub(crate) mod memory {
    use super::*;
    use std::ops::Bound;

    /// Rows in a map.
    #[derive(Clone, Default, Debug)]
    pub(crate) struct Memory(pub(crate) BTreeMap<(u8, Vec<u8>), Vec<u8>>);

    impl Rows for Memory {
        fn get(&self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
            self.0.get(&(table.number, key.to_vec())).cloned()
        }

        fn set(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
            let key = (table.number, key.to_vec());
            match value {
                Some(value) => self.0.insert(key, value.to_vec()),
                None => self.0.remove(&key),
            };
            Ok(())
        }

        fn next(&self, table: Table, prefix: &[u8], after: Option<&[u8]>) -> Option<Row> {
            let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let from = from.map(|key| (table.number, key.to_vec()));
            let (key, value) = self.0.range((from, Bound::Unbounded)).next()?;
            (key.0 == table.number && key.1.starts_with(prefix)).then(|| (key.1.clone(), value.clone()))
        }

        fn all(&self, table: Table, prefix: &[u8]) -> Vec<Row> {
            let from = self.0.range((table.number, prefix.to_vec())..);
            let run = from.take_while(|(key, _)| key.0 == table.number && key.1.starts_with(prefix));
            run.map(|(key, value)| (key.1.clone(), value.clone())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_rows_of_an_actor_and_those_of_a_cart_lie_together() {
        let mut rows = memory::Memory::default();
        let zone = Zone::utc();
        let book = Book::new(&mut rows, "demo", &zone, 0);
        let actor = Actor::person(commerce::PersonId(7));
        let named = |parts: &[&[u8]]| {
            let key = book.key(parts);
            group(&key).map(|length| key.get(..length).unwrap_or_default().to_vec())
        };
        let whose = [b"demo\0A".as_slice(), actor.bytes()].concat();
        assert_eq!(named(&[b"A", actor.bytes(), b"n"]), Some(whose.clone()));
        assert_eq!(named(&[b"A", actor.bytes()]), Some(whose));
        let own = [b"demo\0Ca".as_slice(), actor.bytes()].concat();
        assert_eq!(named(&[b"C", b"a", actor.bytes(), &[9; 8]]), Some(own));
        assert_eq!(named(&[b"C", &[b'c'; 17]]), Some([b"demo\0C".as_slice(), &[b'c'; 17]].concat()));
        assert_eq!(named(&[b"N"]), Some(b"demo\0N".to_vec()));
        for short in [&[b"A".as_slice(), &[1; 16]], &[b"C", b"a"], &[b"", b""]] {
            assert_eq!(named(short), None);
        }
        assert_eq!(group(b"demo"), None);
    }

    proptest! {
        #[test]
        fn times_sort_as_their_bytes(a: i64, b: i64) {
            let (a, b) = (EventTime(a), EventTime(b));
            prop_assert_eq!(ascending(a).cmp(&ascending(b)), a.cmp(&b));
            prop_assert_eq!(descending(a).cmp(&descending(b)), b.cmp(&a));
            prop_assert_eq!(read_ascending(&ascending(a)), Some(a));
            prop_assert_eq!(read_descending(&descending(a)), Some(a));
        }
    }
}
