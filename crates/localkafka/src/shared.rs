//! One cluster per test process, for the tests of other crates.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use crate::{Artifacts, Cluster, Error, FaultProxy, Options, sys};

static SHARED: OnceLock<Shared> = OnceLock::new();

struct Shared {
    cluster: Cluster,
    proxy: FaultProxy,
    dir: PathBuf,
    /// Held for as long as this process lives; a folder whose lock is free is rubbish.
    _lock: File,
}

/// The test process's cluster, with Kafka and the registry ready. The first call starts it.
///
/// Use topics, groups and subjects of your own: all tests of the binary share it. It ends with the process, however
/// that ends; its folder is removed at exit, or by the next test process if this one was killed.
///
/// # Panics
/// With the sentence of the [`Error`] when it cannot be started.
#[must_use]
pub fn shared() -> &'static Cluster {
    &get(true).cluster
}

/// Like [`shared`], without the registry unless another test of the process has asked for it.
///
/// # Panics
/// With the sentence of the [`Error`] when it cannot be started.
#[must_use]
pub fn shared_kafka() -> &'static Cluster {
    &get(false).cluster
}

/// The proxy in front of the test process's Kafka.
///
/// # Panics
/// With the sentence of the [`Error`] when it cannot be started.
#[must_use]
pub fn shared_proxy() -> &'static FaultProxy {
    &get(false).proxy
}

#[expect(
    clippy::panic,
    reason = "for tests, which have nothing to do with a missing Kafka but to fail with its sentence"
)]
fn get(with_registry: bool) -> &'static Shared {
    let fail = |error: Error| -> ! { panic!("no local kafka for tests: {error}{}", sources(&error)) };
    let shared = SHARED.get_or_init(|| start(with_registry).unwrap_or_else(|e| fail(e)));
    let cluster = &shared.cluster;
    let ready = if with_registry {
        cluster.add_registry().and_then(|()| cluster.wait_registry())
    } else {
        cluster.wait_kafka()
    };
    ready.unwrap_or_else(|e| fail(e));
    shared
}

fn sources(error: &Error) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}

fn start(with_registry: bool) -> Result<Shared, Error> {
    let artifacts = Artifacts::resolve(&|line| eprintln!("{line}"))?;
    let parent = env::temp_dir().join(format!("tillstream-tests-{}", sys::user_id()));
    let (dir, lock) = new_folder(&parent)?;
    sys::at_exit(clean_up);
    let proxy = FaultProxy::bind()?;
    let options =
        Options { with_registry, proxy_port: Some(proxy.port()), ..Options::ephemeral(dir.join("data")) };
    let cluster = Cluster::start(&artifacts, options)?;
    if let Some(port) = cluster.proxied_port() {
        proxy.forward_to(port);
    }
    Ok(Shared { cluster, proxy, dir, _lock: lock })
}

/// A new locked folder in `parent`, after those of test processes that were killed have been removed.
fn new_folder(parent: &Path) -> Result<(PathBuf, File), Error> {
    let open = |path: &Path| File::create(path).map_err(|e| Error::io("create the lock file", path, e));
    fs::create_dir_all(parent).map_err(|e| Error::io("create the folder", parent, e))?;
    // Nobody else may sweep between the making of a folder and the taking of its lock.
    let path = parent.join("lock");
    let sweeping = open(&path)?;
    sys::lock(&sweeping).map_err(|e| Error::io("lock", &path, e))?;
    for entry in fs::read_dir(parent).map_err(|e| Error::io("read the folder", parent, e))?.flatten() {
        let dir = entry.path();
        if dir.is_dir()
            && open(&dir.join("lock")).is_ok_and(|lock| sys::try_lock(&lock).is_ok_and(|free| free))
        {
            let _ = fs::remove_dir_all(&dir);
        }
    }
    let dir = parent.join(uuid::Uuid::new_v4().to_string());
    fs::create_dir(&dir).map_err(|e| Error::io("create the folder", &dir, e))?;
    let path = dir.join("lock");
    let lock = open(&path)?;
    sys::lock(&lock).map_err(|e| Error::io("lock", &path, e))?;
    Ok((dir, lock))
}

extern "C" fn clean_up() {
    if let Some(shared) = SHARED.get() {
        shared.cluster.kill_all();
        let _ = fs::remove_dir_all(&shared.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_nobody_holds_is_swept_and_one_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let (held, _lock) = new_folder(parent.path()).unwrap();
        let (left, lock) = new_folder(parent.path()).unwrap();
        drop(lock);
        let (_own, _own_lock) = new_folder(parent.path()).unwrap();
        assert!(held.exists());
        assert!(!left.exists());
    }
}
