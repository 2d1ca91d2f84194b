//! One page: the sorted rows of a group, or of a part of it, as one stored value. Pure.
//!
//! A first byte says whether the group has further pages. Then row behind row: the number of its table, the lengths of
//! the rest of its key and of its value (LEB128), and both. A page is read and changed as it is stored, so one that is
//! only looked at is never taken apart.

use std::cmp::Ordering;
use std::ops::Range;

/// What a row is sorted by: the number of its table, and its key behind the group.
pub(crate) type Name<'a> = (u8, &'a [u8]);

/// A stored page isn't one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A page without rows.
pub(crate) const EMPTY: &[u8] = &[ALONE];
const ALONE: u8 = 0;
const MORE: u8 = 1;
/// Where the first row begins.
const ROWS: usize = 1;
const LONGEST_LENGTH: usize = 5;

/// A row and where it stands in its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) name: Name<'a>,
    pub(crate) at: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// True when the group has further pages. Only its first one says so.
pub(crate) fn has_more(page: &[u8]) -> bool {
    page.first() == Some(&MORE)
}

pub(crate) fn is_empty(page: &[u8]) -> bool {
    page.len() <= ROWS
}

/// The same rows, and whether there are further pages.
pub(crate) fn with_more(page: &[u8], more: bool) -> Box<[u8]> {
    let mut page: Box<[u8]> = page.into();
    if let Some(first) = page.first_mut() {
        *first = if more { MORE } else { ALONE };
    }
    page
}

/// The rows of two pages, of which the second one comes behind the first.
pub(crate) fn joined(first: &[u8], second: &[u8]) -> Box<[u8]> {
    [first, second.get(ROWS..).unwrap_or_default()].concat().into()
}

/// The rows, from the first one on.
pub(crate) fn rows(page: &[u8]) -> impl Iterator<Item = Result<Row<'_>, Malformed>> {
    let mut at = ROWS;
    std::iter::from_fn(move || match row_at(page, at) {
        Ok(row) => {
            let row = row?;
            at = row.at.end;
            Some(Ok(row))
        }
        Err(malformed) => {
            // The end, as there is nothing that could be read behind it.
            at = page.len();
            Some(Err(malformed))
        }
    })
}

fn row_at(page: &[u8], at: usize) -> Result<Option<Row<'_>>, Malformed> {
    let bytes = page.get(at..).ok_or(Malformed)?;
    let Some((table, bytes)) = bytes.split_first() else { return Ok(None) };
    let (of_key, bytes) = read_length(bytes)?;
    let (of_value, bytes) = read_length(bytes)?;
    let (key, bytes) = bytes.split_at_checked(of_key).ok_or(Malformed)?;
    let start = page.len() - bytes.len();
    let end = start + of_value;
    if end > page.len() {
        return Err(Malformed);
    }
    Ok(Some(Row { name: (*table, key), at: at..end, value: start..end }))
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let mut length = 0;
    let mut rest = bytes;
    for shift in (0..LONGEST_LENGTH).map(|n| 7 * n) {
        let (byte, behind) = rest.split_first().ok_or(Malformed)?;
        length |= usize::from(byte & 0x7F) << shift;
        rest = behind;
        if byte & 0x80 == 0 {
            return Ok((length, rest));
        }
    }
    Err(Malformed)
}

/// How many bytes a length takes.
const fn length_of(length: usize) -> usize {
    match length {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => LONGEST_LENGTH,
    }
}

fn write_length(mut length: usize, page: &mut Vec<u8>) {
    // The low seven bits at a time: the cast loses nothing.
    while length >= 0x80 {
        page.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    page.push(length as u8);
}

/// Where the value of a row is.
pub(crate) fn find(page: &[u8], name: Name<'_>) -> Result<Option<Range<usize>>, Malformed> {
    Ok(place(page, name)?.err().map(|row| row.value))
}

/// The row, or without one where it would begin.
fn place<'a>(page: &'a [u8], name: Name<'_>) -> Result<Result<usize, Row<'a>>, Malformed> {
    let mut at = ROWS;
    while let Some(row) = row_at(page, at)? {
        match row.name.cmp(&name) {
            Ordering::Less => at = row.at.end,
            Ordering::Equal => return Ok(Err(row)),
            Ordering::Greater => break,
        }
    }
    Ok(Ok(at))
}

/// The page with a row written or removed; `None` when that changes nothing.
pub(crate) fn edited(
    page: &[u8],
    name: Name<'_>,
    value: Option<&[u8]>,
) -> Result<Option<Box<[u8]>>, Malformed> {
    let (at, known) = match place(page, name)? {
        Ok(at) => (at..at, None),
        Err(row) => (row.at, page.get(row.value)),
    };
    if known == value {
        return Ok(None);
    }
    let (before, behind) = (page.get(..at.start), page.get(at.end..));
    let ((Some(before), Some(behind)), (table, key)) = ((before, behind), name) else {
        return Err(Malformed);
    };
    // To the byte: then the vector becomes the page without being moved.
    let row =
        value.map_or(0, |value| 1 + length_of(key.len()) + length_of(value.len()) + key.len() + value.len());
    let mut edited = Vec::with_capacity(before.len() + row + behind.len());
    edited.extend_from_slice(before);
    if let Some(value) = value {
        edited.push(table);
        write_length(key.len(), &mut edited);
        write_length(value.len(), &mut edited);
        edited.extend_from_slice(key);
        edited.extend_from_slice(value);
    }
    edited.extend_from_slice(behind);
    Ok(Some(edited.into()))
}

/// Cuts a page into such that have at most `most` bytes or one row each. None of them says that there are more.
pub(crate) fn split(page: &[u8], most: usize) -> Result<Vec<Box<[u8]>>, Malformed> {
    let ends: Vec<usize> = rows(page).map(|row| row.map(|row| row.at.end)).collect::<Result<_, _>>()?;
    let mut parts = Vec::new();
    cut(page, ROWS, &ends, most, &mut parts);
    Ok(parts)
}

/// Cuts rows that begin at `start` and have these ends.
fn cut(page: &[u8], start: usize, ends: &[usize], most: usize, parts: &mut Vec<Box<[u8]>>) {
    let end = ends.last().copied().unwrap_or(start);
    if ends.len() <= 1 || end - start + ROWS <= most {
        parts.push([EMPTY, page.get(start..end).unwrap_or_default()].concat().into());
        return;
    }
    // In the middle, and at least one row on either side: one of more than half of the bytes gets a part of its own
    // sooner or later.
    let middle = start + (end - start) / 2;
    let first = ends.partition_point(|end| *end <= middle).clamp(1, ends.len() - 1);
    let (left, right) = ends.split_at(first);
    cut(page, start, left, most, parts);
    cut(page, left.last().copied().unwrap_or(start), right, most, parts);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(rows: &[(u8, &[u8], &[u8])]) -> Box<[u8]> {
        rows.iter().fold(EMPTY.into(), |page: Box<[u8]>, (table, key, value)| {
            edited(&page, (*table, key), Some(value)).unwrap().unwrap_or(page)
        })
    }

    fn read(page: &[u8]) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
        let own = |row: Row<'_>| (row.name.0, row.name.1.to_vec(), page[row.value].to_vec());
        rows(page).map(|row| own(row.unwrap())).collect()
    }

    #[test]
    fn a_page_says_what_it_is_in_a_few_bytes() {
        let page = written(&[(7, b"k", b"value"), (2, b"", b"")]);
        assert_eq!(&*page, b"\x00\x02\x00\x00\x07\x01\x05kvalue");
    }

    #[test]
    fn what_changes_nothing_is_no_new_page() {
        let page = written(&[(1, b"a", b"1")]);
        assert_eq!(edited(&page, (1, b"a"), Some(b"1")), Ok(None));
        assert_eq!(edited(&page, (2, b"a"), None), Ok(None));
        assert_eq!(edited(&page, (1, b"a"), None), Ok(Some(EMPTY.into())));
    }

    #[test]
    fn a_row_that_is_longer_than_a_page_has_one_of_its_own() {
        let long = vec![9; 1_000];
        let page = written(&[(1, b"a", b"1"), (1, b"b", &long), (1, b"c", b"3"), (2, b"d", b"4")]);
        let parts: Vec<_> = split(&page, 100).unwrap().iter().map(|part| read(part)).collect();
        assert_eq!(parts.concat(), read(&page));
        let lengths: Vec<usize> = parts.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 1, 2]);
    }

    #[test]
    fn a_page_that_is_cut_short_anywhere_but_between_rows_is_malformed() {
        let page = written(&[(1, b"ab", &[5; 200]), (1, b"b", b"2")]);
        let whole: Vec<usize> = rows(&page).map(|row| row.unwrap().at.end).collect();
        for length in 2..page.len() {
            let read: Result<Vec<_>, _> = rows(&page[..length]).collect();
            assert_eq!(read.is_ok(), whole.contains(&length), "{length}");
        }
    }

    proptest! {
        #[test]
        fn bytes_from_anywhere_are_read_or_refused(page: Vec<u8>, table: u8, key: Vec<u8>) {
            let count = rows(&page).count();
            prop_assert!(count <= page.len() + 1, "each is a byte at least, or the end");
            if let Ok(Some(value)) = find(&page, (table, &key)) {
                prop_assert!(page.get(value).is_some());
            }
        }

        #[test]
        fn the_parts_of_a_page_are_its_rows_and_small_or_single(
            lengths in prop::collection::vec((0..4_u8, 0..40_usize, 0..300_usize), 0..60),
            most in 60..500_usize,
        ) {
            let row = |(n, (table, key, value)): (usize, &(u8, usize, usize))| {
                (*table, [vec![u8::try_from(n).unwrap(); *key], vec![n as u8]].concat(), vec![1; *value])
            };
            let all: Vec<_> = lengths.iter().enumerate().map(row).collect();
            let all: Vec<_> = all.iter().map(|(t, k, v)| (*t, k.as_slice(), v.as_slice())).collect();
            let page = written(&all);
            let parts = split(&page, most).unwrap();
            prop_assert!(parts.iter().all(|part| part.len() <= most || read(part).len() == 1));
            prop_assert_eq!(parts.iter().flat_map(|part| read(part)).collect::<Vec<_>>(), read(&page));
        }
    }
}
