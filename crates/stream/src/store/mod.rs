//! Where a task keeps its state between transactions: in memory, or on disk when it outgrows that.
//!
//! Either way the changelog is the truth and a store is its copy. What distinguishes them is how much of the changelog
//! a start has to read: all of it, or what came since the store was written.

mod disk;
mod folder;
mod marks;
mod memory;
mod usable;

use std::borrow::Cow;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;

pub(crate) use disk::Opening;
pub(crate) use folder::Folder;
pub(crate) use marks::Identity;
pub use memory::Memory;
pub(crate) use memory::Sorted;
pub(crate) use usable::{Changelog, Unusable};

/// The longest key that a store takes.
pub const LONGEST_KEY: usize = 60_000;

/// Where a stage keeps its state between transactions.
#[derive(Debug, Clone, Default)]
pub enum Storage {
    /// In memory: the fastest, and a start reads the whole changelog.
    #[default]
    Memory,
    /// On disk: memory is bounded, and a start reads what came since.
    Disk(OnDisk),
}

/// A store on disk. Its memory is `cache_bytes` and, while much is written, a few times `write_buffer_bytes`.
#[derive(Debug, Clone)]
pub struct OnDisk {
    /// Each copy of each stage makes a folder of its own in it, and in that one for each partition.
    pub folder: PathBuf,
    /// Blocks that were read, for all partitions of the stage: each has its share.
    pub cache_bytes: u64,
    /// What was written and isn't in a table yet, for all partitions of the stage: each has its share.
    pub write_buffer_bytes: u64,
    /// Milliseconds since 1970: a store that is older than the changelog keeps tombstones is of no use.
    pub clock: fn() -> i64,
}

impl OnDisk {
    /// The folder of a copy of a stage, which has one for each partition.
    pub(crate) fn of_copy(&self, stage: &str, instance: &str) -> PathBuf {
        self.folder.join(format!("{stage}-{instance}"))
    }

    /// The names of the stages of which a copy has kept something.
    pub fn stages(&self, instance: &str) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|error| folder::io_error(&self.folder, "look into", &error))?,
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let stage = |name: String| name.strip_suffix(instance)?.strip_suffix('-').map(str::to_owned);
        Ok(names.filter_map(stage).collect())
    }

    /// Removes what a copy of a stage has kept; the stage is no more. False: stopped while somebody still had it.
    pub fn remove(&self, stage: &str, instance: &str, stop: &dyn Fn() -> bool) -> Result<bool, StoreError> {
        let path = self.of_copy(stage, instance);
        let failed = |error: io::Error| folder::io_error(&path, "remove", &error);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let of_partition = entry.map_err(failed)?.path();
            let Some(folder) = Folder::acquire(&of_partition, stop)? else { return Ok(false) };
            folder.wipe()?;
        }
        fs::remove_dir_all(&path).map_err(failed)?;
        Ok(true)
    }
}

/// A local store that failed. It holds nothing that the changelog doesn't have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The processor's mistake.
    #[error("table {0} isn't declared")]
    Undeclared(u8),
    /// What is on disk isn't what was written. The store is wiped and restored, once.
    #[error("the store in {} is corrupt: {detail}", folder.display())]
    Corrupt {
        /// Where.
        folder: PathBuf,
        /// What was found.
        detail: String,
    },
    /// It was wiped for that a short time ago: something is wrong with the disk.
    #[error(
        "the store in {} is corrupt again, {minutes} minutes after it was rebuilt: check the disk, then remove the folder ({detail})",
        folder.display()
    )]
    CorruptAgain {
        /// Where.
        folder: PathBuf,
        /// How long ago it was wiped.
        minutes: u64,
        /// What was found.
        detail: String,
    },
    /// The disk is full, or may not be written to, or is broken.
    #[error("cannot {doing} the store in {}: {detail}", folder.display())]
    Io {
        /// Where.
        folder: PathBuf,
        /// What was attempted.
        doing: &'static str,
        /// What the system said.
        detail: String,
    },
    /// Somebody else has it open.
    #[error(
        "the store in {} is in use by another process: give each copy its own instance name or folder",
        folder.display()
    )]
    InUse {
        /// Where.
        folder: PathBuf,
    },
}

impl StoreError {
    /// True when wiping and restoring is the answer.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }
}

/// A change: table, key, and the new value or `None` for a removal.
pub type Change<'a> = (u8, &'a [u8], Option<&'a [u8]>);

/// Key and value.
pub type Entry<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// How far a store goes once changes are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// One committed transaction more; the next input record.
    Input(i64),
    /// The changelog up to here, by reading it.
    Changelog {
        /// The next record of the changelog.
        next: i64,
        /// The next input record, as the changelog said; `None` when it didn't yet.
        input: Option<i64>,
        /// When the reading began, once it has come to the end; `None` on the way there.
        complete_at: Option<i64>,
    },
}

/// State of one task. Implementations are interchangeable: the same tests run over each.
pub trait Store: Send {
    /// The value of a key. A store that fails says `None` and from then on [`Store::failure`]: whoever asks for that
    /// before believing an answer needs no error at each look-up.
    fn get(&self, table: u8, key: &[u8]) -> Option<Cow<'_, [u8]>>;

    /// The next entry of an ordered table at or after (`reverse`: at or before) a bound. Fails like [`Store::get`].
    fn next(&self, table: u8, from: Bound<&[u8]>, reverse: bool) -> Option<Entry<'_>>;

    /// Applies changes, each key once, atomically with how far they go.
    fn apply(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        reached: Reached,
    ) -> Result<(), StoreError>;

    /// The store in memory, if it is that: it takes over what others copy.
    fn memory(&mut self) -> Option<&mut Memory> {
        None
    }

    /// Number of entries; a store on disk estimates it.
    fn len(&self) -> usize;

    /// Bytes of keys and values; a store on disk says what it takes there.
    fn bytes(&self) -> u64;

    /// True when nothing is stored.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why answers since the store was opened can't be believed, if they can't.
    fn failure(&self) -> Option<StoreError> {
        None
    }
}

#[cfg(test)]
mod rate;
#[cfg(test)]
mod tests;
