//! The folder of one task's store on disk: who may use it, and what is known about it from outside.
//!
//! `data/` is the store; `lock` is held while it is open; `corrupt` says that it must be wiped; `rebuilt` says when it
//! was wiped for that; `opening` counts the attempts to open it that didn't come to an end.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::StoreError;

/// A second corruption within that time is not bad luck any more.
const AGAIN: Duration = Duration::from_secs(3_600);
/// How long a predecessor in another process may take to let go: it is ending. One in this process is waited for as
/// long as it takes: a restore that was given up may be in the middle of a call to the cluster.
const PATIENCE: Duration = Duration::from_secs(60);
/// An open that ended the process so many times is a corruption that its code didn't survive.
const ATTEMPTS: u32 = 3;

/// What this process holds.
static HELD: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn held<T>(look: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
    look(&mut HELD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A folder that nobody else uses, as long as this lives: the kernel lets go of the lock when a process ends, however
/// it ends.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// In [`HELD`].
    name: PathBuf,
    _lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        held(|held| held.remove(&self.name));
    }
}

impl Folder {
    /// Waits for the folder. `None`: stopped while waiting.
    pub(crate) fn acquire(path: &Path, stop: &dyn Fn() -> bool) -> Result<Option<Self>, StoreError> {
        Self::acquire_within(path, PATIENCE, stop)
    }

    fn acquire_within(
        path: &Path,
        patience: Duration,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, StoreError> {
        let failed = |error: io::Error| io_error(path, "make the folder of", &error);
        // State has personal data.
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        // One folder, whatever way leads to it.
        let name = path.canonicalize().map_err(failed)?;
        let mut deadline = Instant::now() + patience;
        loop {
            let ours = held(|held| held.contains(&name));
            if ours {
                deadline = Instant::now() + patience;
            }
            match lock.try_lock() {
                Ok(()) => {
                    held(|held| held.insert(name.clone()));
                    return Ok(Some(Self { path: path.to_owned(), name, _lock: lock }));
                }
                Err(TryLockError::Error(error)) => return Err(io_error(path, "lock", &error)),
                Err(TryLockError::WouldBlock) if stop() => return Ok(None),
                Err(TryLockError::WouldBlock) if !ours && Instant::now() >= deadline => {
                    return Err(StoreError::InUse { folder: path.to_owned() });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Removes the store, and what an earlier removal left. Renamed first: a store of which half was removed might
    /// look like a whole one.
    pub(crate) fn wipe(&self) -> Result<(), StoreError> {
        let old = self.path.join("removed");
        let gone = |result: io::Result<()>| match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error(&self.path, "wipe", &error))
            }
            _ => Ok(()),
        };
        gone(fs::remove_dir_all(&old))?;
        gone(fs::rename(self.data(), &old))?;
        gone(fs::remove_file(self.path.join("corrupt")))?;
        gone(fs::remove_file(self.path.join("opening")))?;
        gone(fs::remove_dir_all(&old))
    }

    /// Notes that the store must not be used again. A note that can't be written is made at the next failure.
    pub(crate) fn condemn(&self, detail: &str) {
        if let Err(error) = fs::write(self.path.join("corrupt"), detail) {
            tracing::warn!(folder = %self.path.display(), error = %error, "a corrupt store couldn't be marked");
        }
    }

    /// What [`Folder::condemn`] noted.
    pub(crate) fn condemned(&self) -> Option<String> {
        fs::read(self.path.join("corrupt")).ok().map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    /// Wipes a corrupt store. A second time within an hour is refused.
    pub(crate) fn rebuild(&self, detail: &str, now: i64) -> Result<(), StoreError> {
        let note = self.path.join("rebuilt");
        let last: Option<i64> = fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok());
        let since = last.and_then(|last| u64::try_from(now.saturating_sub(last)).ok());
        if let Some(since) = since.map(Duration::from_millis)
            && since < AGAIN
        {
            return Err(StoreError::CorruptAgain {
                folder: self.path.clone(),
                minutes: since.as_secs() / 60,
                detail: detail.to_owned(),
            });
        }
        tracing::warn!(
            folder = %self.path.display(),
            detail,
            "the local store is corrupt: it is wiped and restored from the changelog"
        );
        fs::write(&note, now.to_string()).map_err(|e| io_error(&self.path, "note the rebuilding of", &e))?;
        self.wipe()
    }

    /// Counts an attempt to open the store; false when too many before it ended the process.
    pub(crate) fn may_open(&self) -> Result<bool, StoreError> {
        let note = self.path.join("opening");
        let before: u32 =
            fs::read_to_string(&note).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        fs::write(&note, (before + 1).to_string()).map_err(|e| io_error(&self.path, "open", &e))?;
        Ok(before < ATTEMPTS)
    }

    /// The attempt came to an end, good or bad.
    pub(crate) fn opened(&self) {
        let _ = fs::remove_file(self.path.join("opening"));
    }
}

pub(crate) fn io_error(folder: &Path, doing: &'static str, error: &io::Error) -> StoreError {
    StoreError::Io { folder: folder.to_owned(), doing, detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    fn folder(dir: &Path) -> Folder {
        Folder::acquire(dir, &|| false).unwrap().unwrap()
    }

    #[test]
    fn a_folder_has_one_user_and_is_free_when_that_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let first = folder(dir.path());
        assert!(Folder::acquire(dir.path(), &|| true).unwrap().is_none(), "waits, and stops when told to");
        drop(first);
        drop(folder(dir.path()));
    }

    #[test]
    fn a_holder_in_this_process_is_waited_for_and_another_one_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let first = folder(dir.path());
        let looks = std::cell::Cell::new(0);
        let stop = || looks.replace(looks.get() + 1) == 3;
        assert!(Folder::acquire_within(dir.path(), Duration::ZERO, &stop).unwrap().is_none());
        drop(first);

        // What another process's lock looks like.
        let other = File::open(dir.path().join("lock")).unwrap();
        other.lock().unwrap();
        let error = Folder::acquire_within(dir.path(), Duration::ZERO, &|| false).unwrap_err();
        assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    }

    #[test]
    fn wiping_ends_what_an_interrupted_wiping_began() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        fs::create_dir_all(dir.path().join("removed/x")).unwrap();
        fs::create_dir_all(folder.data().join("y")).unwrap();
        folder.condemn("bad");
        assert_eq!(folder.condemned().as_deref(), Some("bad"));
        folder.wipe().unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"]);
    }

    #[test]
    fn a_second_corruption_within_an_hour_is_fatal() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        folder.rebuild("bad", NOW).unwrap();
        let again = folder.rebuild("worse", NOW + 1_800_000).unwrap_err();
        assert!(!again.is_corrupt() && again.to_string().contains("30 minutes after"), "{again}");
        folder.rebuild("bad", NOW + 3_600_000).unwrap();
    }

    #[test]
    fn an_open_that_ended_the_process_three_times_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder(dir.path());
        let attempts: Vec<bool> = (0..4).map(|_| folder.may_open().unwrap()).collect();
        assert_eq!(attempts, [true, true, true, false]);
        folder.opened();
        assert!(folder.may_open().unwrap());
    }
}
