//! State on disk: one fjall database per task.
//!
//! A batch is atomic, and it carries [`Marks`] with the state, so what a store says of itself is always true of it. It
//! isn't synced at each commit: after a crash of the machine the store is behind the changelog and catches up. What a
//! killed process has written stays, because the system has it.
//!
//! What is read is checked by fjall, block by block. Its journal is less strict: garbage in the middle of it can cost
//! batches without an error. So batches are numbered, and a store whose last batches aren't all there is corrupt.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::folder::{Folder, io_error};
use super::marks::{Identity, Marks};
use super::usable::{Changelog, Unusable, check};
use super::{Change, Entry, LONGEST_KEY, OnDisk, Reached, Store, StoreError};
use crate::Table;
use crate::table::stored as kept;

const KEYSPACE: &str = "state";
/// No table has the number 255.
const OURS: u8 = u8::MAX;
const MARKS: &[u8] = b"\xFFmarks";
/// Batch numbers are kept in so many slots, by turns.
const SLOTS: u64 = 8_192;
/// fjall counts versions, and counting keys takes a look-up for each change; so of so many keys, one is counted.
const SAMPLED: u64 = 16;
/// After so many batches what is in memory is written to a table, so that the journal never has more batches than
/// there are slots.
const CHECKPOINT: u64 = SLOTS / 4;
/// fjall would wait for ever for a background thread that has ended with an error; so it is waited for here, before,
/// and asked whether it lives.
const MOST_SEALED: usize = 3;
const MOST_LEVEL_0: usize = 18;
/// Nothing else happens in a worker meanwhile, not even its end.
const BACKGROUND_PATIENCE: Duration = Duration::from_secs(20);
const FJALL_LEAST_JOURNAL: u64 = 64 << 20;

/// What it takes to open a store.
pub(crate) struct Opening<'a> {
    pub(crate) options: &'a OnDisk,
    pub(crate) identity: &'a Identity,
    pub(crate) tables: &'a [Table],
    pub(crate) changelog: &'a Changelog,
}

impl Opening<'_> {
    /// Opens the store, or makes a new one where it is of no use any more.
    pub(crate) fn open(&self, folder: Folder) -> Result<Disk, StoreError> {
        let now = (self.options.clock)();
        if let Some(detail) = folder.condemned() {
            folder.rebuild(&detail, now)?;
        }
        if !folder.may_open()? {
            folder.rebuild("opening it has ended the process several times", now)?;
        }
        let mut loaded = match self.load(&folder) {
            Err(StoreError::Corrupt { detail, .. }) => {
                folder.rebuild(&detail, now)?;
                self.load(&folder)
            }
            other => other,
        };
        if let Ok(Loaded { unusable: Some(why), .. }) = &loaded {
            tracing::warn!(
                folder = %folder.path().display(),
                reason = %why,
                "the local store can't be caught up: it is wiped and restored from the changelog"
            );
            drop(loaded);
            folder.wipe()?;
            loaded = self.load(&folder);
        }
        folder.opened();
        let Loaded { database, keyspace, marks, .. } = loaded?;
        let known = marks.is_some();
        let mut marks = marks.unwrap_or_else(|| Marks::new(self.identity.clone(), now));
        if self.identity.topic_id.is_some() {
            marks.identity.topic_id.clone_from(&self.identity.topic_id);
        }
        Ok(Disk {
            files: Arc::new(Files { keyspace, database, folder }),
            tables: kept(self.tables),
            known,
            marks,
            clock: self.options.clock,
            before_commit: Cell::new(None),
            applied_at: now,
            failure: RefCell::new(None),
            closer: None,
        })
    }

    fn load(&self, folder: &Folder) -> Result<Loaded, StoreError> {
        let share = |bytes: u64, least: u64| {
            (bytes / u64::try_from(self.identity.partitions).unwrap_or(1).max(1)).max(least)
        };
        let (database, keyspace) = guarded(folder.path(), "open", || {
            let database = Database::builder(folder.data())
                .cache_size(share(self.options.cache_bytes, 1 << 20))
                .max_journaling_size(FJALL_LEAST_JOURNAL)
                .max_cached_files(Some(256))
                .worker_threads(2)
                .open()?;
            let memtable = share(self.options.write_buffer_bytes, 1 << 20);
            let keyspace = database
                .keyspace(KEYSPACE, || KeyspaceCreateOptions::default().max_memtable_size(memtable))?;
            Ok((database, keyspace))
        })?;
        let mut loaded = Loaded { database, keyspace, marks: None, unusable: None };
        let bytes = guarded(folder.path(), "read", || loaded.keyspace.get(MARKS))?;
        let marks = match bytes.map(|bytes| Marks::decode(&bytes)) {
            None if guarded(folder.path(), "read", || loaded.keyspace.is_empty())? => return Ok(loaded),
            Some(Ok(marks)) => marks,
            Some(Err(Some(format))) => {
                loaded.unusable = Some(Unusable::OtherFormat(format));
                return Ok(loaded);
            }
            None => return Err(corrupt(folder.path(), "it doesn't say how far it goes")),
            Some(Err(None)) => return Err(corrupt(folder.path(), "what it says of itself can't be read")),
        };
        loaded.batches_are_complete(folder.path(), marks.batch)?;
        loaded.unusable = check(&marks, self.identity, self.changelog, (self.options.clock)()).err();
        loaded.marks = Some(marks);
        Ok(loaded)
    }
}

struct Loaded {
    keyspace: Keyspace,
    database: Database,
    marks: Option<Marks>,
    unusable: Option<Unusable>,
}

impl Loaded {
    /// Every batch that a journal may have held is there, and none is newer than the newest.
    fn batches_are_complete(&self, folder: &Path, last: u64) -> Result<(), StoreError> {
        let first = last.saturating_sub(SLOTS - 1).max(1);
        let mut found: Vec<u64> = guarded(folder, "read", || {
            self.keyspace
                .range(slot(0)..=slot(SLOTS - 1))
                .map(|entry| {
                    let (_, value) = entry.into_inner()?;
                    // A value of another length is a number that is expected nowhere.
                    Ok(<[u8; 8]>::try_from(&*value).map_or(0, u64::from_be_bytes))
                })
                .collect()
        })?;
        found.sort_unstable();
        if found.iter().copied().eq(first..=last) {
            return Ok(());
        }
        Err(corrupt(
            folder,
            &format!("of the batches {first} to {last} some are missing or not as they were"),
        ))
    }
}

/// Closed in this order, the lock last.
pub(super) struct Files {
    pub(super) keyspace: Keyspace,
    database: Database,
    folder: Folder,
}

/// State on disk.
pub(crate) struct Disk {
    pub(super) files: Arc<Files>,
    tables: Vec<Table>,
    /// False until a first batch says how far the store goes.
    known: bool,
    pub(super) marks: Marks,
    clock: fn() -> i64,
    /// The first look-up since the last batch: surely before the end of the transaction that the next batch is of.
    /// A process that is stopped between a commit and its batch must not make the store younger than it is.
    before_commit: Cell<Option<i64>>,
    applied_at: i64,
    failure: RefCell<Option<StoreError>>,
    /// Dropped after the files, which makes another holder of them the last one.
    closer: Option<Sender<()>>,
}

impl Disk {
    /// Closes the store on a thread of its own, whenever that will be: fjall waits for its background threads then, and
    /// a worker that gives a partition away has no time for that. Whoever wants the folder next waits for its lock.
    pub(crate) fn closing_apart(mut self) -> Result<Self, std::io::Error> {
        let (closer, dropped) = channel();
        let files = Arc::clone(&self.files);
        thread::Builder::new().name("close-store".to_owned()).spawn(move || {
            // Nothing is ever sent.
            let _ = dropped.recv();
            drop(files);
        })?;
        self.closer = Some(closer);
        Ok(self)
    }

    /// Input offset and changelog offset from which the store has to be caught up; `None` when it is new.
    pub(crate) fn reached(&self) -> Option<(Option<i64>, i64)> {
        self.known.then_some((self.marks.input, self.marks.changelog))
    }

    fn declared(&self, table: u8) -> Option<&Table> {
        self.tables.iter().find(|declared| declared.number == table)
    }

    /// An answer, or the reason why from now on none is to be believed.
    fn answer<T>(&self, call: impl FnOnce() -> fjall::Result<Option<T>>) -> Option<T> {
        if self.before_commit.get().is_none() {
            self.before_commit.set(Some((self.clock)()));
        }
        guarded(self.files.folder.path(), "read", call).unwrap_or_else(|error| {
            self.note(&error);
            None
        })
    }

    fn note(&self, error: &StoreError) {
        if let StoreError::Corrupt { detail, .. } = error {
            self.files.folder.condemn(detail);
        }
        self.failure.borrow_mut().get_or_insert_with(|| error.clone());
    }

    fn write(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        reached: Reached,
    ) -> Result<(), StoreError> {
        self.wait_for_the_background()?;
        let mut batch = self.files.database.batch();
        let mut sampled = self.marks.sampled;
        for (table, key, value) in changes {
            self.declared(table).ok_or(StoreError::Undeclared(table))?;
            let key = stored(table, key);
            if is_sampled(&key) {
                let before =
                    guarded(self.files.folder.path(), "read", || self.files.keyspace.contains_key(&key))?;
                sampled = match (before, value.is_some()) {
                    (false, true) => sampled + 1,
                    (true, false) => sampled.saturating_sub(1),
                    _ => sampled,
                };
            }
            match value {
                Some(value) => batch.insert(&self.files.keyspace, key, value),
                None => batch.remove(&self.files.keyspace, key),
            }
        }
        let now = (self.clock)();
        let before_commit = self.before_commit.take().unwrap_or(self.applied_at);
        let marks = Marks { sampled, ..self.marks.next(reached, batch.len(), before_commit) };
        batch.insert(&self.files.keyspace, MARKS, marks.encode());
        batch.insert(&self.files.keyspace, slot(marks.batch % SLOTS), marks.batch.to_be_bytes());
        guarded(self.files.folder.path(), "write to", || batch.commit())?;
        (self.marks, self.known, self.applied_at) = (marks, true, now);
        if self.marks.batch.is_multiple_of(CHECKPOINT) {
            guarded(self.files.folder.path(), "write to", || self.files.keyspace.rotate_memtable())?;
        }
        Ok(())
    }

    fn wait_for_the_background(&self) -> Result<(), StoreError> {
        let deadline = Instant::now() + BACKGROUND_PATIENCE;
        while self.files.keyspace.sealed_memtable_count() >= MOST_SEALED
            || self.files.keyspace.l0_table_count() >= MOST_LEVEL_0
        {
            // Says so when a background thread has failed.
            guarded(self.files.folder.path(), "write to", || {
                self.files.database.persist(PersistMode::Buffer)
            })?;
            if Instant::now() >= deadline {
                let error =
                    std::io::Error::new(ErrorKind::TimedOut, "tables aren't written or merged any more");
                return Err(io_error(self.files.folder.path(), "write to", &error));
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Store for Disk {
    fn get(&self, table: u8, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.declared(table).filter(|_| key.len() <= LONGEST_KEY)?;
        let value = self.answer(|| self.files.keyspace.get(stored(table, key)))?;
        Some(Cow::Owned(value.to_vec()))
    }

    fn next(&self, table: u8, from: Bound<&[u8]>, reverse: bool) -> Option<Entry<'_>> {
        self.declared(table).filter(|declared| declared.ordered)?;
        let from = bound(from, reverse).map(|key| stored(table, key));
        // Undeclared tables have no entries, so the bounds of this one are those of its number.
        let (low, high) = (vec![table], vec![table.saturating_add(1)]);
        let range = match (from, reverse) {
            (Bound::Unbounded, _) => (Bound::Included(low), Bound::Excluded(high)),
            (from, false) => (from, Bound::Excluded(high)),
            (from, true) => (Bound::Included(low), from),
        };
        let (key, value) = self.answer(|| {
            let mut range = self.files.keyspace.range::<Vec<u8>, _>(range);
            let found = if reverse { range.next_back() } else { range.next() };
            found.map(fjall::Guard::into_inner).transpose()
        })?;
        Some((Cow::Owned(key.get(1..)?.to_vec()), Cow::Owned(value.to_vec())))
    }

    fn apply(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        reached: Reached,
    ) -> Result<(), StoreError> {
        self.write(changes, reached).inspect_err(|error| self.note(error))
    }

    fn bytes(&self) -> u64 {
        self.files.keyspace.disk_space()
    }

    fn len(&self) -> usize {
        usize::try_from(self.marks.sampled * SAMPLED).unwrap_or(usize::MAX)
    }

    fn is_empty(&self) -> bool {
        self.answer(|| self.files.keyspace.range(..[OURS]).next().map(fjall::Guard::into_inner).transpose())
            .is_none()
    }

    fn failure(&self) -> Option<StoreError> {
        self.failure.borrow().clone()
    }
}

/// fjall takes no longer keys, so it can't be asked about them: the same entries lie behind a bound that is cut.
fn bound(from: Bound<&[u8]>, reverse: bool) -> Bound<&[u8]> {
    match from {
        Bound::Included(key) | Bound::Excluded(key) if key.len() > LONGEST_KEY => {
            let cut = &key[..LONGEST_KEY];
            if reverse { Bound::Included(cut) } else { Bound::Excluded(cut) }
        }
        from => from,
    }
}

fn stored(table: u8, key: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(key.len() + 1);
    stored.push(table);
    stored.extend_from_slice(key);
    stored
}

fn slot(number: u64) -> [u8; 10] {
    let mut key = [OURS, b'b', 0, 0, 0, 0, 0, 0, 0, 0];
    key[2..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Always says the same of a key (FNV-1a, and its bits mixed once more).
fn is_sampled(key: &[u8]) -> bool {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    ((hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(SAMPLED)
}

fn corrupt(folder: &Path, detail: &str) -> StoreError {
    StoreError::Corrupt { folder: folder.to_owned(), detail: detail.to_owned() }
}

/// Calls fjall. It has assertions where a file is not as it was written, so a panic is a corruption, too.
fn guarded<T>(
    folder: &Path,
    doing: &'static str,
    call: impl FnOnce() -> fjall::Result<T>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(sorted(folder, doing, &error)),
        Err(_) => Err(corrupt(folder, "the storage engine couldn't make sense of it and panicked")),
    }
}

/// The world's fault, or that of what is on disk.
pub(super) fn sorted(folder: &Path, doing: &'static str, error: &fjall::Error) -> StoreError {
    let folder_of = || PathBuf::from(folder);
    match error {
        fjall::Error::Locked => StoreError::InUse { folder: folder_of() },
        fjall::Error::Io(io) | fjall::Error::Storage(fjall::LsmError::Io(io))
            // A file that is gone, or there where none should be, or shorter than it was, or sends its reader to nowhere.
            if !matches!(
                io.kind(),
                ErrorKind::NotFound
                    | ErrorKind::AlreadyExists
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::InvalidData
                    | ErrorKind::InvalidInput
            ) =>
        {
            io_error(folder, doing, io)
        }
        // A full disk, most of the time. Should it be a file that isn't as it was written, reading it says so.
        fjall::Error::Poisoned => StoreError::Io {
            folder: folder_of(),
            doing,
            detail: "a background thread of the storage engine has failed, as on a full or broken disk; the log says more"
                .to_owned(),
        },
        other => corrupt(folder, &other.to_string()),
    }
}
