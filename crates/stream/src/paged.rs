//! The rows of a group, over the open transaction and the store.
//!
//! A group's first page lies under the group's bytes. When it grows beyond [`PAGE`] it is cut, and from then on it says
//! that there are more: each further page lies, in an ordered table, under the group and the name of the row that it
//! began with when it was cut off. That name never changes, and a row is in the last page whose name isn't greater, else
//! in the first one; so a change touches one page, two when one is cut, and two or three when one that became small is
//! joined with the page before it.

use std::borrow::Cow;
use std::ops::Bound;

use smallvec::SmallVec;

use crate::overlay::Overlay;
use crate::page::{self, EMPTY, Malformed, Name};
use crate::store::Entry;
use crate::table::Pages;
use crate::{Failure, Store, Table};

/// A page with more bytes is cut, unless it is one row.
const PAGE: usize = 4 << 10;

/// The key of a further page is so many bytes longer than that of a row: the table's number.
pub(crate) const MOST_ADDED: usize = 1;

/// Key and value.
pub(crate) type Found = (Vec<u8>, Vec<u8>);

/// One group of rows.
#[derive(Clone, Copy)]
pub(crate) struct Group<'a> {
    pages: &'static Pages,
    table: Table,
    /// The head of the keys.
    group: &'a [u8],
}

/// A page of a group: the key of a further one, `None` for the first.
type Place = Option<Vec<u8>>;

impl<'a> Group<'a> {
    /// The group of a key, and what follows it; `None` when the table isn't one of pages.
    pub(crate) fn of(table: Table, key: &'a [u8]) -> Option<Result<(Self, &'a [u8]), Failure>> {
        let pages = table.pages?;
        let parts = (pages.group)(key).and_then(|length| key.split_at_checked(length));
        Some(match parts {
            Some((group, rest)) => Ok((Self { pages, table, group }, rest)),
            None => Err(Failure::Fatal(format!(
                "rows of table {} are kept by group, and a key or prefix of {} bytes doesn't name one",
                table.name,
                key.len()
            ))),
        })
    }

    /// What follows the group in another key of it.
    pub(crate) fn rest<'k>(&self, key: &'k [u8]) -> Result<&'k [u8], Failure> {
        key.strip_prefix(self.group).ok_or_else(|| {
            Failure::Fatal(format!("a scan of table {} begins outside of its group", self.table.name))
        })
    }

    /// The value of a row.
    pub(crate) fn get<'o>(
        &self,
        overlay: &'o Overlay,
        store: &'o dyn Store,
        rest: &[u8],
    ) -> Result<Option<Cow<'o, [u8]>>, Failure> {
        let name = (self.table.number, rest);
        let Some((_, page)) = self.page(overlay, store, name) else { return Ok(None) };
        let value = page::find(&page, name).map_err(|e| self.malformed(e))?;
        let Some(value) = value else { return Ok(None) };
        Ok(Some(match page {
            Cow::Borrowed(page) => Cow::Borrowed(page.get(value).unwrap_or_default()),
            Cow::Owned(mut page) => {
                page.truncate(value.end);
                page.drain(..value.start);
                Cow::Owned(page)
            }
        }))
    }

    /// The page in which a row is, or would be; `None` when the group has none at all.
    fn page<'o>(
        &self,
        overlay: &'o Overlay,
        store: &'o dyn Store,
        name: Name<'_>,
    ) -> Option<(Place, Cow<'o, [u8]>)> {
        let first = self.first(overlay, store)?;
        if page::has_more(&first)
            && let Some((key, page)) = self.further(overlay, store, Bound::Included(&self.key(name)), true)
        {
            return Some((Some(key.into_owned()), page));
        }
        Some((None, first))
    }

    fn first<'o>(&self, overlay: &'o Overlay, store: &'o dyn Store) -> Option<Cow<'o, [u8]>> {
        let table = self.pages.numbers.0;
        match overlay.get(table, self.group) {
            Some(page) => page.map(Cow::Borrowed),
            None => store.get(table, self.group),
        }
    }

    /// The nearest further page.
    fn further<'o>(
        &self,
        overlay: &'o Overlay,
        store: &'o dyn Store,
        from: Bound<&[u8]>,
        reverse: bool,
    ) -> Option<Entry<'o>> {
        let found = overlay.next(store, self.pages.numbers.1, from, reverse)?;
        found.0.starts_with(self.group).then_some(found)
    }

    /// The page behind one, or before it.
    fn neighbour<'o>(
        &self,
        overlay: &'o Overlay,
        store: &'o dyn Store,
        of: &Place,
        reverse: bool,
    ) -> Option<(Place, Cow<'o, [u8]>)> {
        let found = match (of, reverse) {
            (None, true) => return None,
            (None, false) => self.further(overlay, store, Bound::Included(self.group), false),
            (Some(key), _) => self.further(overlay, store, Bound::Excluded(key), reverse),
        };
        match found {
            Some((key, page)) => Some((Some(key.into_owned()), page)),
            None if reverse => Some((None, self.first(overlay, store)?)),
            None => None,
        }
    }

    /// The key of a further page. No group is the beginning of another one, so all that begin with it are of this one.
    fn key(&self, (table, rest): Name<'_>) -> Vec<u8> {
        [self.group, &[table], rest].concat()
    }

    /// Writes or removes a row. `limit`: the longest record that the changelog takes.
    pub(crate) fn set(
        &self,
        overlay: &mut Overlay,
        store: &dyn Store,
        (rest, value): (&[u8], Option<&[u8]>),
        limit: usize,
    ) -> Result<(), Failure> {
        if !overlay.touch(self.table.number, self.group, rest) {
            return Err(Failure::Fatal(format!("table {} isn't declared by its stage", self.table.name)));
        }
        let name = (self.table.number, rest);
        let (place, page) = self.page(overlay, store, name).unwrap_or((None, Cow::Borrowed(EMPTY)));
        let Some(edited) = page::edited(&page, name, value).map_err(|e| self.malformed(e))? else {
            return Ok(());
        };
        let more = place.is_some() || page::has_more(&page);
        let most = PAGE.min(limit / 2);
        if edited.len() > most {
            return self.split(overlay, (place, more), edited, most);
        }
        if more && value.is_none() && edited.len() <= most / 4 {
            return self.join(overlay, store, place, edited, most);
        }
        if more || !page::is_empty(&edited) {
            self.store(overlay, place, Some(edited))
        } else {
            self.store(overlay, None, None)
        }
    }

    /// Puts a page, or removes it.
    fn store(&self, overlay: &mut Overlay, place: Place, page: Option<Box<[u8]>>) -> Result<(), Failure> {
        let declared = match &place {
            None => overlay.set_slot(self.pages.numbers.0, self.group, page),
            Some(key) => overlay.set_slot(self.pages.numbers.1, key, page),
        };
        if declared {
            return Ok(());
        }
        Err(Failure::Fatal(format!("the pages {} aren't declared by their stage", self.pages.name)))
    }

    /// Stores a page that has become too long as several.
    fn split(
        &self,
        overlay: &mut Overlay,
        (place, more): (Place, bool),
        page: Box<[u8]>,
        most: usize,
    ) -> Result<(), Failure> {
        let parts = page::split(&page, most).map_err(|e| self.malformed(e))?;
        let several = parts.len() > 1;
        for (n, part) in parts.into_iter().enumerate() {
            if n == 0 {
                let more = place.is_none() && (more || several);
                self.store(overlay, place.clone(), Some(page::with_more(&part, more)))?;
                continue;
            }
            let first = page::rows(&part).next().unwrap_or(Err(Malformed)).map_err(|e| self.malformed(e))?;
            let key = self.key(first.name);
            self.store(overlay, Some(key), Some(part))?;
        }
        Ok(())
    }

    /// Stores a page that has become small, of a group with further ones: together with its neighbour where that leaves
    /// room.
    fn join(
        &self,
        overlay: &mut Overlay,
        store: &dyn Store,
        place: Place,
        page: Box<[u8]>,
        most: usize,
    ) -> Result<(), Failure> {
        let is_first = place.is_none();
        let neighbour = self.neighbour(overlay, store, &place, !is_first);
        let (left, right, joined) = match neighbour {
            Some((other, beside)) if page::is_empty(&page) || page.len() + beside.len() <= most / 2 => {
                if is_first {
                    (None, other, page::joined(&page, &beside))
                } else {
                    (other, place, page::joined(&beside, &page))
                }
            }
            _ => return self.store(overlay, place, Some(page)),
        };
        self.store(overlay, right, None)?;
        self.store(overlay, left, Some(joined))?;
        if self.neighbour(overlay, store, &None, false).is_none() {
            // One page is left, and it may have been an empty one.
            let first = self.first(overlay, store).map(|first| page::with_more(&first, false));
            self.store(overlay, None, first.filter(|first| !page::is_empty(first)))?;
        }
        Ok(())
    }

    /// The rows of the table in the group whose keys lie behind a bound, and as long as they start with `prefix`.
    pub(crate) fn scan(
        &self,
        overlay: &Overlay,
        store: &dyn Store,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Found>, Failure> {
        let mut found = Vec::new();
        let number = self.table.number;
        let mut next = self.page(overlay, store, (number, after.unwrap_or(prefix)));
        while let Some((place, page)) = next {
            for row in page::rows(&page) {
                let row = row.map_err(|e| self.malformed(e))?;
                let (table, rest) = row.name;
                let is_before = after.map_or(rest < prefix, |after| rest <= after);
                if table < number || table == number && is_before {
                    continue;
                }
                if found.len() == limit || table > number || !rest.starts_with(prefix) {
                    return Ok(found);
                }
                found.push(self.own(rest, page.get(row.value)));
            }
            next = self.neighbour(overlay, store, &place, false).filter(|_| found.len() < limit);
        }
        Ok(found)
    }

    /// Shows the rows of the table in the group whose keys start with `prefix`, as long as `see` says true.
    pub(crate) fn each(
        &self,
        overlay: &Overlay,
        store: &dyn Store,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let name = (self.table.number, prefix);
        let mut next = self.page(overlay, store, name);
        let mut key = SmallVec::<[u8; 128]>::from_slice(self.group);
        while let Some((place, page)) = next {
            for row in page::rows(&page) {
                let row = row.map_err(|e| self.malformed(e))?;
                if row.name < name {
                    continue;
                }
                let (table, rest) = row.name;
                if table > self.table.number || !rest.starts_with(prefix) {
                    return Ok(());
                }
                key.truncate(self.group.len());
                key.extend_from_slice(rest);
                if !see(&key, page.get(row.value).unwrap_or_default())? {
                    return Ok(());
                }
            }
            next = self.neighbour(overlay, store, &place, false);
        }
        Ok(())
    }

    /// The last row of the table in the group whose key starts with `prefix`.
    pub(crate) fn last(
        &self,
        overlay: &Overlay,
        store: &dyn Store,
        prefix: &[u8],
        end: Option<&[u8]>,
    ) -> Result<Option<Found>, Failure> {
        let number = self.table.number;
        let end = end.map_or((number.saturating_add(1), EMPTY_KEY), |end| (number, end));
        let mut next = self.page(overlay, store, end);
        while let Some((place, page)) = next {
            let mut last = None;
            for row in page::rows(&page) {
                let row = row.map_err(|e| self.malformed(e))?;
                if row.name >= end {
                    break;
                }
                last = Some(row);
            }
            if let Some(row) = last {
                let is_it = row.name.0 == number && row.name.1.starts_with(prefix);
                return Ok(is_it.then(|| self.own(row.name.1, page.get(row.value))));
            }
            next = self.neighbour(overlay, store, &place, true);
        }
        Ok(None)
    }

    fn own(&self, rest: &[u8], value: Option<&[u8]>) -> Found {
        ([self.group, rest].concat(), value.unwrap_or_default().to_vec())
    }

    fn malformed(&self, _: Malformed) -> Failure {
        Failure::Fatal(format!("a stored page of {} can't be read", self.pages.name))
    }
}

const EMPTY_KEY: &[u8] = &[];

#[cfg(test)]
mod tests;
