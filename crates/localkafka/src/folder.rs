//! The data folder: whose it is, and what it was made for.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::fd::{AsRawFd as _, RawFd},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{Error, error::NEEDED_BYTES, sys};

const IDENTITY: &str = "cluster.json";
/// How long the children of a parent that was killed may need to go.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data folder that no other process uses.
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    lock: File,
}

/// Written once, at the end of the first start's preparations.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Kafka's own id; a broker refuses data of another one.
    pub(crate) cluster_id: String,
    /// The voters of the metadata quorum are fixed when storage is formatted.
    pub(crate) brokers: u8,
}

impl Folder {
    /// Makes the folder if need be and takes its lock.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        fs::create_dir_all(dir).map_err(|e| Error::io("create the data folder", dir, e))?;
        let dir = dir.canonicalize().map_err(|e| Error::io("find", dir, e))?;
        let free = sys::free_bytes(&dir).map_err(|e| Error::io("ask for the free space of", &dir, e))?;
        if free < NEEDED_BYTES {
            return Err(Error::DiskFull { path: dir, free, needed: NEEDED_BYTES });
        }
        let path = dir.join("lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open the lock file", &path, e))?;
        take(&mut lock, &dir, &path)?;
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        write(&mut lock).map_err(|e| Error::io("write", &path, e))?;
        Ok(Self { dir, lock })
    }

    /// The lock's descriptor, which children inherit: the folder is free when the last of them has gone.
    pub(crate) fn lock(&self) -> RawFd {
        self.lock.as_raw_fd()
    }

    /// What the folder was made for; `None` before its first start was complete.
    pub(crate) fn identity(&self, brokers: u8) -> Result<Option<Identity>, Error> {
        let path = self.dir.join(IDENTITY);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        let identity: Identity =
            serde_json::from_slice(&text).map_err(|e| Error::Damaged { path, reason: e.to_string() })?;
        if identity.brokers != brokers {
            return Err(Error::OtherBrokerCount {
                dir: self.dir.clone(),
                kept: identity.brokers,
                asked: brokers,
            });
        }
        Ok(Some(identity))
    }

    /// Writes the identity, once storage is formatted: from then on the folder has data.
    pub(crate) fn keep(&self, identity: &Identity) -> Result<(), Error> {
        let path = self.dir.join(IDENTITY);
        let text = serde_json::to_string(identity).map_err(|e| Error::io("write", &path, e.into()))?;
        let partial = self.dir.join("cluster.json.partial");
        fs::write(&partial, text).map_err(|e| Error::io("write", &partial, e))?;
        fs::rename(&partial, &path).map_err(|e| Error::io("write", &path, e))
    }
}

impl Identity {
    pub(crate) fn new(brokers: u8) -> Self {
        Self { cluster_id: new_cluster_id(), brokers }
    }
}

fn take(lock: &mut File, dir: &Path, path: &Path) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if sys::try_lock(lock).map_err(|e| Error::io("lock", path, e))? {
            return Ok(());
        }
        let pid = holder(lock).filter(|pid| sys::is_alive(*pid));
        // A holder that is gone leaves children that are going too; without a number, one is about to be written.
        if pid.is_some() || Instant::now() >= deadline {
            return Err(Error::InUse { dir: dir.to_owned(), pid });
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn holder(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.rewind().ok()?;
    lock.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// 22 characters that Kafka reads as a UUID: URL-safe base64 of 16 bytes, of which the last character holds 2 bits.
fn new_cluster_id() -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";
    let random = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()];
    let letters = random.iter().flat_map(|uuid| uuid.as_bytes()).take(21);
    letters.map(|byte| char::from(LETTERS[usize::from(byte % 32)])).chain(['A']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_a_uuid_as_kafka_writes_it() {
        let id = new_cluster_id();
        assert_eq!(id.len(), 22);
        assert!(id.bytes().all(|b| b.is_ascii_alphabetic()));
        assert_ne!(id, new_cluster_id());
    }

    #[test]
    fn a_data_folder_keeps_its_identity_and_refuses_another_number_of_brokers() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        assert!(folder.identity(1).unwrap().is_none());
        let first = Identity::new(1);
        folder.keep(&first).unwrap();
        assert_eq!(folder.identity(1).unwrap().unwrap().cluster_id, first.cluster_id);
        let refused = folder.identity(3).unwrap_err();
        assert!(matches!(refused, Error::OtherBrokerCount { kept: 1, asked: 3, .. }), "{refused}");
    }

    #[test]
    fn a_data_folder_is_free_again_once_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let held = Folder::open(dir.path()).unwrap();
        let refused = Folder::open(dir.path()).map(|_| ()).unwrap_err();
        let own = std::process::id();
        assert!(matches!(refused, Error::InUse { pid: Some(pid), .. } if pid == own), "{refused}");
        assert!(refused.to_string().contains(&format!("in use by process {own}: stop it")), "{refused}");
        drop(held);
        Folder::open(dir.path()).unwrap();
    }
}
