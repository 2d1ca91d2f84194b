//! State in memory.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

use hashbrown::HashMap;

use super::{Change, Entry, Reached, Store, StoreError};
use crate::Table;
use crate::table::stored;

type Bytes = Box<[u8]>;

/// A key of an ordered table. Most lie in the nodes of the tree themselves: a look-up compares with some twenty of them,
/// and one that lay elsewhere would be a cache miss each.
pub(crate) type Sorted = smallvec::SmallVec<[u8; 56]>;

#[derive(Debug)]
enum Entries {
    Hashed(HashMap<Bytes, Bytes>),
    Ordered(BTreeMap<Sorted, Bytes>),
}

/// State in memory; the changelog is its only durable form.
#[derive(Debug)]
pub struct Memory {
    tables: Vec<Option<Entries>>,
    names: Vec<(u8, &'static str)>,
    bytes: u64,
}

impl Memory {
    /// An empty store for the given tables.
    pub fn new(tables: &[Table]) -> Self {
        let mut all: Vec<Option<Entries>> = Vec::new();
        let stored = stored(tables);
        for table in &stored {
            let index = usize::from(table.number);
            if all.len() <= index {
                all.resize_with(index + 1, || None);
            }
            all[index] = Some(if table.ordered {
                Entries::Ordered(BTreeMap::new())
            } else {
                Entries::Hashed(HashMap::new())
            });
        }
        let names = stored.iter().map(|table| (table.number, table.name)).collect();
        Self { tables: all, names, bytes: 0 }
    }

    /// The tables, each with its entries and the bytes of their keys and values.
    pub fn sizes(&self) -> Vec<(&'static str, usize, usize)> {
        let size = |table| match self.table(table) {
            Some(Entries::Hashed(map)) => (map.len(), map.iter().map(|(k, v)| k.len() + v.len()).sum()),
            Some(Entries::Ordered(map)) => (map.len(), map.iter().map(|(k, v)| k.len() + v.len()).sum()),
            None => (0, 0),
        };
        let sizes = self.names.iter().map(|(number, name)| (*name, size(*number)));
        sizes.map(|(name, (entries, bytes))| (name, entries, bytes)).collect()
    }

    fn entries_mut(&mut self, table: u8) -> Result<&mut Entries, StoreError> {
        let entries = self.tables.get_mut(usize::from(table)).and_then(Option::as_mut);
        entries.ok_or(StoreError::Undeclared(table))
    }

    /// Takes over a change of a hashed table.
    pub(crate) fn set_hashed(
        &mut self,
        table: u8,
        key: Bytes,
        value: Option<Bytes>,
    ) -> Result<(), StoreError> {
        let Entries::Hashed(map) = self.entries_mut(table)? else {
            return self.set_ordered(table, Sorted::from_slice(&key), value);
        };
        let of_key = key.len();
        let added = value.as_ref().map(|value| value.len());
        let removed = match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
        self.account(of_key, added, removed.map(|old| old.len()));
        Ok(())
    }

    /// Takes over a change of an ordered table.
    pub(crate) fn set_ordered(
        &mut self,
        table: u8,
        key: Sorted,
        value: Option<Bytes>,
    ) -> Result<(), StoreError> {
        let Entries::Ordered(map) = self.entries_mut(table)? else {
            return self.set_hashed(table, key.as_slice().into(), value);
        };
        let of_key = key.len();
        let added = value.as_ref().map(|value| value.len());
        let removed = match value {
            Some(value) => map.insert(key, value),
            None => map.remove(&key),
        };
        self.account(of_key, added, removed.map(|old| old.len()));
        Ok(())
    }

    /// Counts the bytes of a value that came, and of one that went.
    fn account(&mut self, key: usize, added: Option<usize>, removed: Option<usize>) {
        let with_key = |value: Option<usize>| value.map_or(0, |value| (key + value) as u64);
        self.bytes = self.bytes.saturating_add(with_key(added)).saturating_sub(with_key(removed));
    }

    fn table(&self, table: u8) -> Option<&Entries> {
        self.tables.get(usize::from(table)).and_then(Option::as_ref)
    }
}

impl Store for Memory {
    fn get(&self, table: u8, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self.table(table)? {
            Entries::Hashed(map) => map.get(key),
            Entries::Ordered(map) => map.get(key),
        }
        .map(|value| Cow::Borrowed(&**value))
    }

    fn next(&self, table: u8, from: Bound<&[u8]>, reverse: bool) -> Option<Entry<'_>> {
        let Entries::Ordered(map) = self.table(table)? else { return None };
        let entry = if reverse {
            map.range::<[u8], _>((Bound::Unbounded, from)).next_back()
        } else {
            map.range::<[u8], _>((from, Bound::Unbounded)).next()
        };
        entry.map(|(k, v)| (Cow::Borrowed(k.as_slice()), Cow::Borrowed(&**v)))
    }

    fn apply(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        _reached: Reached,
    ) -> Result<(), StoreError> {
        for (number, key, value) in changes {
            match self.entries_mut(number)? {
                Entries::Hashed(_) => self.set_hashed(number, key.into(), value.map(Into::into))?,
                Entries::Ordered(_) => {
                    self.set_ordered(number, Sorted::from_slice(key), value.map(Into::into))?;
                }
            }
        }
        Ok(())
    }

    fn memory(&mut self) -> Option<&mut Memory> {
        Some(self)
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn len(&self) -> usize {
        let size = |entries: &Entries| match entries {
            Entries::Hashed(map) => map.len(),
            Entries::Ordered(map) => map.len(),
        };
        self.tables.iter().flatten().map(size).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_store_are_those_of_its_keys_and_values() {
        let mut store = Memory::new(&[Table::hashed(0, "t"), Table::ordered(1, "t")]);
        for number in [0, 1] {
            let mut apply = |key: &'static [u8], value: Option<&'static [u8]>| {
                store.apply(&mut std::iter::once((number, key, value)), Reached::Input(0)).unwrap();
                store.bytes()
            };
            assert_eq!(apply(b"ab", Some(b"1234")), 6);
            assert_eq!(apply(b"cd", Some(b"1")), 9);
            assert_eq!(apply(b"ab", Some(b"12")), 7);
            assert_eq!(apply(b"ab", None), 3);
            assert_eq!(apply(b"ab", None), 3);
            assert_eq!(apply(b"cd", None), 0);
        }
    }
}
