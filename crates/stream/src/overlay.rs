//! The changes of the open transaction: read before the store, merged into it after the commit, dropped on abort.

use std::any::Any;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, Range};

use hashbrown::HashMap;

use crate::store::{Change, Entry, Reached, Sorted};
use crate::table::stored;
use crate::{Failure, Memory, Store, StoreError, Table};

type Bytes = Box<[u8]>;
type Slot = Option<Bytes>;

#[derive(Debug)]
enum Entries {
    Hashed(HashMap<Bytes, Slot>),
    Ordered(BTreeMap<Sorted, Slot>),
}

impl Entries {
    fn get(&self, key: &[u8]) -> Option<&Slot> {
        match self {
            Self::Hashed(map) => map.get(key),
            Self::Ordered(map) => map.get(key),
        }
    }

    fn set(&mut self, key: &[u8], slot: Slot) -> Option<Slot> {
        match self {
            Self::Hashed(map) => match map.get_mut(key) {
                Some(known) => Some(std::mem::replace(known, slot)),
                None => map.insert(key.into(), slot),
            },
            Self::Ordered(map) => map.insert(Sorted::from_slice(key), slot),
        }
    }

    fn unset(&mut self, key: &[u8]) {
        match self {
            Self::Hashed(map) => {
                map.remove(key);
            }
            Self::Ordered(map) => {
                map.remove(key);
            }
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Hashed(map) => map.clear(),
            Self::Ordered(map) => map.clear(),
        }
    }
}

/// Uncommitted changes over a store, with an undo log back to the last savepoint.
pub(crate) struct Overlay {
    tables: Vec<Option<Entries>>,
    /// What the current record replaced: table, key, and the slot before (`None`: no slot).
    undo: Vec<(u8, Range<usize>, Option<Slot>)>,
    /// The keys of what it replaced, one behind the other.
    undo_keys: Vec<u8>,
    changes: usize,
    touched: Touched,
    /// What was wrong with a look-up that has no way to say so.
    fault: RefCell<Option<Box<Failure>>>,
    /// What the processor keeps of the open transaction; it goes when the changes go, whichever way.
    scratch: Option<Box<dyn Any + Send>>,
}

/// Rows in pages that were written or removed. Of a page itself it isn't known which of its rows changed.
#[derive(Debug, Default)]
struct Touched {
    /// Numbers of the tables whose rows are in pages.
    tables: Vec<u8>,
    /// Table and end of the key of each row, in the order of writing.
    rows: Vec<(u8, usize)>,
    /// Their keys, one behind the other.
    keys: Vec<u8>,
    /// So many of them count.
    kept: usize,
}

impl Touched {
    /// The keys of a table, without those that were written first.
    fn keys(&self, table: u8, but: usize) -> Vec<Vec<u8>> {
        // Only what is asked for is gone through: a transaction has many more rows than a record.
        let rows = self.rows.get(but..).unwrap_or_default();
        let first = but.checked_sub(1).and_then(|last| self.rows.get(last)).map_or(0, |(_, end)| *end);
        let starts = std::iter::once(first).chain(rows.iter().map(|(_, end)| *end));
        let key = |(start, (_, end)): (usize, &(u8, usize))| self.keys.get(start..*end);
        let mut keys: Vec<_> = starts.zip(rows).filter(|(_, row)| row.0 == table).filter_map(key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(<[u8]>::to_vec).collect()
    }

    fn truncate(&mut self, rows: usize) {
        self.rows.truncate(rows);
        self.keys.truncate(self.rows.last().map_or(0, |(_, end)| *end));
    }

    fn clear(&mut self) {
        self.kept = 0;
        self.truncate(0);
    }
}

/// A point in the writes of a record to which they can be undone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    slots: usize,
    touched: usize,
}

impl Overlay {
    pub(crate) fn new(tables: &[Table]) -> Self {
        let mut all: Vec<Option<Entries>> = Vec::new();
        for table in &stored(tables) {
            let index = usize::from(table.number);
            if all.len() <= index {
                all.resize_with(index + 1, || None);
            }
            let empty = if table.ordered {
                Entries::Ordered(BTreeMap::new())
            } else {
                Entries::Hashed(HashMap::new())
            };
            all[index] = Some(empty);
        }
        let paged = tables.iter().filter(|table| table.pages.is_some()).map(|table| table.number).collect();
        Self {
            tables: all,
            undo: Vec::new(),
            undo_keys: Vec::new(),
            changes: 0,
            touched: Touched { tables: paged, ..Touched::default() },
            fault: RefCell::new(None),
            scratch: None,
        }
    }

    pub(crate) fn get(&self, table: u8, key: &[u8]) -> Option<Option<&[u8]>> {
        let entries = self.tables.get(usize::from(table))?.as_ref()?;
        entries.get(key).map(Option::as_deref)
    }

    /// Writes a value, or a removal; false when the table isn't declared.
    pub(crate) fn set(&mut self, table: u8, key: &[u8], value: Option<&[u8]>) -> bool {
        self.set_slot(table, key, value.map(Into::into))
    }

    /// The same with a value that needs no copy.
    pub(crate) fn set_slot(&mut self, table: u8, key: &[u8], value: Slot) -> bool {
        let Some(Some(entries)) = self.tables.get_mut(usize::from(table)) else { return false };
        let before = entries.set(key, value);
        if before.is_none() {
            self.changes += 1;
        }
        let start = self.undo_keys.len();
        self.undo_keys.extend_from_slice(key);
        self.undo.push((table, start..self.undo_keys.len(), before));
        true
    }

    /// Notes that a row in a page is about to change; false when its table isn't declared.
    pub(crate) fn touch(&mut self, table: u8, group: &[u8], rest: &[u8]) -> bool {
        let Touched { tables, rows, keys, .. } = &mut self.touched;
        if !tables.contains(&table) {
            return false;
        }
        keys.extend_from_slice(group);
        keys.extend_from_slice(rest);
        rows.push((table, keys.len()));
        true
    }

    /// Notes the first thing that was wrong with a look-up: its answer isn't to be believed.
    pub(crate) fn note(&self, failure: Failure) {
        self.fault.borrow_mut().get_or_insert_with(|| Box::new(failure));
    }

    /// What was noted, once.
    pub(crate) fn fault(&self) -> Result<(), Failure> {
        self.fault.borrow_mut().take().map_or(Ok(()), |failure| Err(*failure))
    }

    /// The scratch of the open transaction, empty at its start.
    pub(crate) fn scratch<T: Any + Send + Default>(&mut self) -> &mut T {
        let scratch = self.scratch.get_or_insert_with(|| Box::<T>::default());
        #[expect(
            clippy::expect_used,
            reason = "a processor has one type of scratch: a second one would lose the first"
        )]
        scratch.downcast_mut().expect("the scratch of one type")
    }

    /// The record counts: its changes stay.
    pub(crate) fn keep(&mut self) {
        self.undo.clear();
        self.undo_keys.clear();
        self.touched.kept = self.touched.rows.len();
    }

    /// The record doesn't count: back to the savepoint.
    pub(crate) fn undo(&mut self) {
        self.undo_to(Written { slots: 0, touched: self.touched.kept });
    }

    /// What the record has written so far.
    pub(crate) fn written(&self) -> Written {
        Written { slots: self.undo.len(), touched: self.touched.rows.len() }
    }

    /// Undoes what the record has written since.
    pub(crate) fn undo_to(&mut self, to: Written) {
        while self.undo.len() > to.slots {
            let Some((table, key, before)) = self.undo.pop() else { break };
            let end = key.start;
            let key = self.undo_keys.get(key).unwrap_or_default();
            if let Some(Some(entries)) = self.tables.get_mut(usize::from(table)) {
                match before {
                    Some(slot) => {
                        entries.set(key, slot);
                    }
                    None => {
                        entries.unset(key);
                        self.changes -= 1;
                    }
                }
            }
            self.undo_keys.truncate(end);
        }
        self.touched.truncate(to.touched);
    }

    pub(crate) fn clear(&mut self) {
        self.keep();
        self.touched.clear();
        self.changes = 0;
        self.scratch = None;
        self.tables.iter_mut().flatten().for_each(Entries::clear);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes == 0
    }

    /// Every change, in a fixed order within ordered tables.
    pub(crate) fn changes(&self) -> Box<dyn Iterator<Item = Change<'_>> + '_> {
        Box::new(self.tables.iter().zip(0_u8..).filter_map(|(t, n)| Some((t.as_ref()?, n))).flat_map(
            |(entries, number)| -> Box<dyn Iterator<Item = Change<'_>> + '_> {
                match entries {
                    Entries::Hashed(map) => {
                        Box::new(map.iter().map(move |(k, v)| (number, &**k, v.as_deref())))
                    }
                    Entries::Ordered(map) => {
                        Box::new(map.iter().map(move |(k, v)| (number, k.as_slice(), v.as_deref())))
                    }
                }
            },
        ))
    }

    /// The keys of one table that have a slot, or of rows in pages that were written or removed.
    pub(crate) fn changed(&self, table: u8) -> Vec<Vec<u8>> {
        if self.touched.tables.contains(&table) {
            return self.touched.keys(table, 0);
        }
        match self.tables.get(usize::from(table)).and_then(Option::as_ref) {
            Some(Entries::Hashed(map)) => map.keys().map(|key| key.to_vec()).collect(),
            Some(Entries::Ordered(map)) => map.keys().map(|key| key.to_vec()).collect(),
            None => Vec::new(),
        }
    }

    /// The keys of one table that were written since the last savepoint.
    pub(crate) fn touched(&self, table: u8) -> Vec<Vec<u8>> {
        if self.touched.tables.contains(&table) {
            return self.touched.keys(table, self.touched.kept);
        }
        let written = self.undo.iter().filter(|(number, _, _)| *number == table);
        let keys = written.filter_map(|(_, key, _)| self.undo_keys.get(key.clone()));
        let mut keys: Vec<Vec<u8>> = keys.map(<[u8]>::to_vec).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Merges a committed transaction into the store.
    pub(crate) fn merge_into(&mut self, store: &mut dyn Store, offset: i64) -> Result<(), StoreError> {
        self.apply_to(store, Reached::Input(offset))
    }

    /// Moves everything into the store.
    pub(crate) fn apply_to(&mut self, store: &mut dyn Store, reached: Reached) -> Result<(), StoreError> {
        match store.memory() {
            Some(memory) => self.move_to(memory)?,
            None => store.apply(&mut self.changes(), reached)?,
        }
        self.clear();
        Ok(())
    }

    /// The same without a copy of any key or value. Can fail for a table alone that one of both doesn't have, and a task
    /// makes both of the same tables.
    fn move_to(&mut self, memory: &mut Memory) -> Result<(), StoreError> {
        for (entries, number) in self.tables.iter_mut().zip(0_u8..) {
            match entries {
                None => {}
                Some(Entries::Hashed(map)) => {
                    for (key, slot) in map.drain() {
                        memory.set_hashed(number, key, slot)?;
                    }
                }
                Some(Entries::Ordered(map)) => {
                    for (key, slot) in std::mem::take(map) {
                        memory.set_ordered(number, key, slot)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Number of keys that have a slot.
    pub(crate) fn len(&self) -> usize {
        self.changes
    }

    /// The nearest entry of an ordered table, the overlay before the store.
    pub(crate) fn next<'o>(
        &'o self,
        store: &'o dyn Store,
        table: u8,
        from: Bound<&[u8]>,
        reverse: bool,
    ) -> Option<Entry<'o>> {
        let ours = self.tables.get(usize::from(table))?.as_ref();
        let Some(Entries::Ordered(map)) = ours else { return None };
        let mut bound = from;
        loop {
            let mine = if reverse {
                map.range::<[u8], _>((Bound::Unbounded, bound)).next_back()
            } else {
                map.range::<[u8], _>((bound, Bound::Unbounded)).next()
            };
            let stored = store.next(table, bound, reverse);
            let mine_first = match (&mine, &stored) {
                (None, None) => return None,
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (Some((a, _)), Some((b, _))) => match a.as_slice().cmp(b) {
                    std::cmp::Ordering::Equal => true,
                    std::cmp::Ordering::Less => !reverse,
                    std::cmp::Ordering::Greater => reverse,
                },
            };
            if mine_first {
                let (key, slot) = mine?;
                match slot {
                    Some(value) => return Some((Cow::Borrowed(key), Cow::Borrowed(value))),
                    None => bound = Bound::Excluded(key.as_slice()),
                }
            } else {
                return stored;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    const HASHED: Table = Table::hashed(0, "h");
    const ORDERED: Table = Table::ordered(1, "o");

    #[test]
    fn a_record_that_does_not_count_leaves_nothing_behind() {
        let mut overlay = Overlay::new(&[HASHED, ORDERED]);
        overlay.set(0, b"a", Some(b"1"));
        overlay.keep();
        overlay.set(0, b"a", Some(b"2"));
        overlay.set(0, b"a", None);
        overlay.set(0, b"b", Some(b"3"));
        assert_eq!((overlay.touched(0), overlay.touched(1).len()), (vec![b"a".to_vec(), b"b".to_vec()], 0));
        overlay.undo();
        assert_eq!(overlay.get(0, b"a"), Some(Some(&b"1"[..])));
        assert_eq!(overlay.get(0, b"b"), None);
        assert_eq!((overlay.changes().count(), overlay.touched(0).len()), (1, 0));
    }

    #[test]
    fn the_scratch_goes_with_the_transaction_whichever_way_it_ends() {
        let mut store = Memory::new(&[HASHED]);
        let mut overlay = Overlay::new(&[HASHED]);
        *overlay.scratch::<u64>() += 3;
        overlay.keep();
        overlay.undo();
        assert_eq!(*overlay.scratch::<u64>(), 3);
        overlay.clear();
        assert_eq!(*overlay.scratch::<u64>(), 0);
        *overlay.scratch::<u64>() += 4;
        overlay.merge_into(&mut store, 1).unwrap();
        assert_eq!(*overlay.scratch::<u64>(), 0);
    }

    #[test]
    fn neighbours_are_found_across_overlay_and_store() {
        let mut store = Memory::new(&[HASHED, ORDERED]);
        let mut overlay = Overlay::new(&[HASHED, ORDERED]);
        for key in [b"a", b"c", b"e"] {
            overlay.set(1, key, Some(b"old"));
        }
        overlay.merge_into(&mut store, 1).unwrap();
        overlay.set(1, b"b", Some(b"new"));
        overlay.set(1, b"c", None);
        overlay.set(1, b"e", Some(b"new"));
        let walk = |reverse| {
            let mut found = Vec::new();
            let mut from = Bound::Unbounded;
            while let Some((key, value)) =
                overlay.next(&store, 1, from.as_ref().map(|k: &Vec<u8>| k.as_slice()), reverse)
            {
                found.push((String::from_utf8(key.to_vec()).unwrap(), *value == *b"new"));
                from = Bound::Excluded(key.into_owned());
            }
            found
        };
        let expected = [("a".to_owned(), false), ("b".to_owned(), true), ("e".to_owned(), true)];
        assert_eq!(walk(false), expected);
        assert_eq!(walk(true), expected.iter().rev().cloned().collect::<Vec<_>>());
    }
}
