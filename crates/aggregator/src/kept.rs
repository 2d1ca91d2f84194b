//! The stage's state as values.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stream::{Context, Failure, Table};

/// The value of a key.
pub(crate) fn get<T: DeserializeOwned>(
    ctx: &Context<'_>,
    table: Table,
    key: &[u8],
) -> Result<Option<T>, Failure> {
    ctx.get(table, key).map(|bytes| read(table, &bytes)).transpose()
}

/// Reads a value of a table.
pub(crate) fn read<'a, T: Deserialize<'a>>(table: Table, bytes: &'a [u8]) -> Result<T, Failure> {
    postcard::from_bytes(bytes)
        .map_err(|e| Failure::Fatal(format!("stored state of table {} can't be read: {e}", table.name)))
}

/// Stores a value.
pub(crate) fn put<T: Serialize>(
    ctx: &mut Context<'_>,
    table: Table,
    key: &[u8],
    value: &T,
) -> Result<(), Failure> {
    let bytes = postcard::to_allocvec(value)
        .map_err(|e| Failure::Fatal(format!("state of table {} can't be stored: {e}", table.name)))?;
    ctx.put(table, key, &bytes)
}

/// A key, or the first part of one, from what it is made of.
pub(crate) fn key<T: Serialize>(parts: &T) -> Result<Vec<u8>, Failure> {
    postcard::to_allocvec(parts).map_err(|e| unreadable_key(&e))
}

/// A key that can't be made or read.
pub(crate) fn unreadable_key(error: &postcard::Error) -> Failure {
    Failure::Fatal(format!("a key of the state: {error}"))
}

/// A time whose bytes are in the order of time.
pub(crate) fn sortable(micros: i64) -> [u8; 8] {
    (micros ^ i64::MIN).to_be_bytes()
}

/// The time of such bytes.
pub(crate) fn sorted(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_come_before_those_after() {
        let times = [i64::MIN, -1, 0, 1, i64::MAX];
        assert!(times.map(sortable).is_sorted());
        assert_eq!(times.map(|time| sorted(sortable(time))), times);
    }
}
