//! How state is written to its changelog.
//!
//! Key: the table's number, then the key. Value: the value, or a tombstone. One key per partition, number 255, holds
//! the input offset: it is written with every transaction, so the state in a changelog always says how far it goes.

use serde::{Deserialize, Serialize};

/// The format of keys and values: the second one knows pages ([`crate::page`]), the third one bodies that correct each
/// other. A reader refuses what is newer, and what is older: values don't say in which form they are.
pub(crate) const FORMAT: u16 = 3;

/// The key of the input offset.
pub(crate) const OFFSET_KEY: &[u8] = b"\xFFoffset";

/// Where the state of a partition stands in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) format: u16,
    /// Number of partitions of the input when it was written: state is bound to it.
    pub(crate) input_partitions: i32,
    /// The next record to process.
    pub(crate) offset: i64,
}

impl Progress {
    pub(crate) fn encode(self) -> Vec<u8> {
        // Three integers into a vector: can't fail.
        postcard::to_allocvec(&self).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        // The format comes first, so that it can be read whatever follows it.
        let (format, _) = postcard::take_from_bytes::<u16>(bytes).map_err(|e| e.to_string())?;
        if format > FORMAT {
            return Ok(Self { format, input_partitions: 0, offset: 0 });
        }
        postcard::from_bytes(bytes).map_err(|e| e.to_string())
    }
}

/// Puts table and key together.
pub(crate) fn key(table: u8, key: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.push(table);
    out.extend_from_slice(key);
}

/// What a changelog key stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    Offset,
    State(u8, &'a [u8]),
}

pub(crate) fn read_key(bytes: &[u8]) -> Option<Key<'_>> {
    match bytes {
        OFFSET_KEY => Some(Key::Offset),
        [table @ 0..=254, key @ ..] => Some(Key::State(*table, key)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_back_and_a_newer_format_is_recognised() {
        let progress = Progress { format: FORMAT, input_partitions: 4, offset: 77 };
        assert_eq!(Progress::decode(&progress.encode()), Ok(progress));
        let newer = Progress { format: FORMAT + 1, ..progress };
        assert_eq!(Progress::decode(&newer.encode()).unwrap().format, FORMAT + 1);
        assert!(Progress::decode(b"").is_err());
    }

    #[test]
    fn keys_read_back() {
        let mut out = Vec::new();
        key(3, b"abc", &mut out);
        assert_eq!(read_key(&out), Some(Key::State(3, b"abc")));
        assert_eq!(read_key(OFFSET_KEY), Some(Key::Offset));
        assert_eq!(read_key(b"\xFFother"), None);
    }
}
