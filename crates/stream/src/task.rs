//! A task: one input partition with its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};

use crate::overlay::Overlay;
use crate::restore::{Restored, restore};
use crate::{Error, Phase, Stage, Store, TaskStatus};

/// What a worker owns per assigned partition.
pub(crate) enum Task {
    Restoring(Restoring),
    Running(Running),
}

impl Task {
    pub(crate) fn status(&self, partition: i32) -> TaskStatus {
        match self {
            Self::Restoring(restoring) => TaskStatus {
                partition,
                phase: Phase::Restoring,
                committed: -1,
                entries: 0,
                bytes: 0,
                behind: restoring.behind.load(Ordering::Relaxed).max(0),
            },
            Self::Running(task) => TaskStatus {
                partition,
                phase: Phase::Running,
                committed: task.committed,
                entries: task.store.len(),
                bytes: task.store.bytes(),
                behind: 0,
            },
        }
    }
}

/// State that is being read back on a thread of its own.
pub(crate) struct Restoring {
    cancel: Arc<AtomicBool>,
    /// Changelog offsets that are still to be read.
    behind: Arc<AtomicI64>,
    thread: Option<JoinHandle<Result<Option<Restored>, Error>>>,
}

impl Restoring {
    pub(crate) fn start(stage: &Stage, partition: i32) -> Result<Self, Error> {
        let cancel = Arc::new(AtomicBool::new(false));
        let behind = Arc::new(AtomicI64::new(0));
        let (stage, cancelled, left) = (stage.clone(), Arc::clone(&cancel), Arc::clone(&behind));
        let thread = thread::Builder::new()
            .name(format!("restore-{partition}"))
            .spawn(move || restore(&stage, partition, &left, &|| cancelled.load(Ordering::Relaxed)))
            .map_err(|e| Error::System {
                what: "the restore thread couldn't start",
                detail: e.to_string(),
            })?;
        Ok(Self { cancel, behind, thread: Some(thread) })
    }

    /// The result, once it is there.
    pub(crate) fn poll(&mut self) -> Option<Result<Option<Restored>, Error>> {
        let thread = self.thread.take_if(|thread| thread.is_finished())?;
        Some(thread.join().unwrap_or_else(|panic| {
            let detail = panic.downcast_ref::<String>().cloned();
            let detail = detail.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(Error::System { what: "the restore thread panicked", detail: detail.unwrap_or_default() })
        }))
    }
}

impl Drop for Restoring {
    fn drop(&mut self) {
        // The thread ends by itself within one poll; nobody waits for it.
        self.cancel.store(true, Ordering::Relaxed);
    }
}

/// A task that processes.
pub(crate) struct Running {
    pub(crate) store: Box<dyn Store>,
    pub(crate) overlay: Overlay,
    /// The next record, counting the open transaction.
    pub(crate) position: i64,
    /// The next record after the last commit.
    pub(crate) committed: i64,
    pub(crate) input_partitions: i32,
    /// Timestamp of the newest record, for what is published at the cut.
    pub(crate) timestamp_millis: i64,
}

impl Running {
    pub(crate) fn new(stage: &Stage, restored: Restored) -> Self {
        Self {
            store: restored.store,
            overlay: Overlay::new(&stage.tables),
            position: restored.offset,
            committed: restored.offset,
            input_partitions: restored.input_partitions,
            timestamp_millis: 0,
        }
    }

    /// True when the open transaction has records of this task.
    pub(crate) fn is_dirty(&self) -> bool {
        self.position != self.committed
    }

    pub(crate) fn rewind(&mut self) {
        self.overlay.clear();
        self.position = self.committed;
    }
}
