//! Sets of numbered actors, in chunks of 4096 numbers.
//!
//! A distinct count over a range can't be summed from counts of days. It can be taken from sets: each chunk of each day
//! is one record, and the union of chunks is exact. A chunk is written as the sorted list of its numbers (two bytes
//! each, big-endian) while that is shorter than the bitmap of 512 bytes, else as the bitmap; the length tells which.

use serde::{Deserialize, Serialize};

/// Numbers in one chunk.
pub const CHUNK: u32 = 4096;

/// A chunk as it is written.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Written(#[serde(with = "crate::letter::bytes")] pub Vec<u8>);

const WORDS: usize = 64;
const BITMAP_BYTES: usize = WORDS * 8;

/// The members of one chunk, or of a union of the chunks with the same place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Members([u64; WORDS]);

/// Bytes that aren't a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} bytes are no chunk of members")]
pub struct NoChunk(usize);

impl Default for Members {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Members {
    /// The chunk that a number belongs to, and its place in there.
    pub const fn place(number: u32) -> (u32, u16) {
        // The remainder is below 4096.
        (number / CHUNK, (number % CHUNK) as u16)
    }

    /// Puts a place in; places beyond the chunk are left out.
    pub fn insert(&mut self, place: u16) {
        if let Some(word) = self.0.get_mut(usize::from(place / 64)) {
            *word |= 1 << (place % 64);
        }
    }

    /// Takes a place out.
    pub fn remove(&mut self, place: u16) {
        if let Some(word) = self.0.get_mut(usize::from(place / 64)) {
            *word &= !(1 << (place % 64));
        }
    }

    /// Puts in all of another chunk.
    pub fn unite(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    /// Puts in all of a chunk as it is written.
    pub fn unite_written(&mut self, bytes: &[u8]) -> Result<(), NoChunk> {
        let (places, rest) = bytes.as_chunks();
        if bytes.len() == BITMAP_BYTES {
            for (word, bytes) in self.0.iter_mut().zip(bytes.as_chunks().0) {
                *word |= u64::from_be_bytes(*bytes);
            }
        } else if bytes.len() > BITMAP_BYTES || !rest.is_empty() {
            return Err(NoChunk(bytes.len()));
        } else {
            places.iter().for_each(|place| self.insert(u16::from_be_bytes(*place)));
        }
        Ok(())
    }

    /// How many members there are.
    pub fn count(&self) -> i64 {
        self.0.iter().map(|word| i64::from(word.count_ones())).sum()
    }

    /// The members, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0_u16..).step_by(64).zip(self.0).flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                // At most 63 while there is a bit, and 64 when there is none.
                let bit = word.trailing_zeros() as u16;
                word &= word.checked_sub(1)?;
                Some(first + bit)
            })
        })
    }

    /// The written form.
    pub fn written(&self) -> Written {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        if count < BITMAP_BYTES as u32 / 2 {
            Written(self.iter().flat_map(u16::to_be_bytes).collect())
        } else {
            Written(self.0.iter().flat_map(|word| word.to_be_bytes()).collect())
        }
    }

    /// Reads the written form.
    pub fn read(bytes: &[u8]) -> Result<Self, NoChunk> {
        let mut members = Self::default();
        members.unite_written(bytes)?;
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_chunk_reads_back_and_unites_like_a_set(
            a in proptest::collection::btree_set(0_u16..4096, 0..600),
            b in proptest::collection::btree_set(0_u16..4096, 0..600),
        ) {
            let chunk = |set: &BTreeSet<u16>| {
                let mut members = Members::default();
                set.iter().for_each(|place| members.insert(*place));
                members
            };
            let written = chunk(&a).written();
            prop_assert!(written.0.len() <= 512);
            let mut read = Members::read(&written.0).unwrap();
            prop_assert_eq!(read.iter().collect::<BTreeSet<_>>(), a.clone());
            read.unite(&chunk(&b));
            prop_assert_eq!(read.count(), i64::try_from(a.union(&b).count()).unwrap());
            b.iter().for_each(|place| read.remove(*place));
            prop_assert_eq!(read.iter().collect::<BTreeSet<_>>(), a.difference(&b).copied().collect());
        }

        #[test]
        fn any_bytes_give_a_chunk_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = Members::read(&bytes).map(|members| members.count());
        }
    }

    #[test]
    fn a_number_has_its_place_in_one_chunk() {
        assert_eq!(Members::place(0), (0, 0));
        assert_eq!(Members::place(4096), (1, 0));
        assert_eq!(Members::place(u32::MAX), (1_048_575, 4095));
    }
}
