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
        for (table, key, value) in changes {
            let entries = self
                .tables
                .get_mut(usize::from(table))
                .and_then(Option::as_mut)
                .ok_or(StoreError::Undeclared(table))?;
            // The lengths of what goes out and of what comes in.
            let (removed, added) = match (entries, value) {
                (Entries::Hashed(map), Some(value)) => match map.get_mut(key) {
                    Some(slot) => {
                        let old = slot.len();
                        *slot = value.into();
                        (old, value.len())
                    }
                    None => {
                        map.insert(key.into(), value.into());
                        (0, key.len() + value.len())
                    }
                },
                (Entries::Ordered(map), Some(value)) => {
                    match map.insert(Sorted::from_slice(key), value.into()) {
                        Some(old) => (old.len(), value.len()),
                        None => (0, key.len() + value.len()),
                    }
                }
                (Entries::Hashed(map), None) => (map.remove(key).map_or(0, |old| key.len() + old.len()), 0),
                (Entries::Ordered(map), None) => (map.remove(key).map_or(0, |old| key.len() + old.len()), 0),
            };
            self.bytes = self.bytes.saturating_add(added as u64).saturating_sub(removed as u64);
        }
        Ok(())
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
