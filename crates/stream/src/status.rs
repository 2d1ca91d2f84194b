//! What others may see of a worker: counters after each commit, and snapshots of its tasks.

use std::time::Duration;

/// Labels of a counter: outcome, detail, source.
pub type Labels = [&'static str; 3];

/// Counters of the open transaction, with a savepoint.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    kept: Vec<(Labels, u64)>,
    current: Vec<Labels>,
}

impl Counts {
    pub(crate) fn add(&mut self, labels: Labels) {
        self.current.push(labels);
    }

    pub(crate) fn keep(&mut self) {
        for labels in self.current.drain(..) {
            match self.kept.iter_mut().find(|(known, _)| *known == labels) {
                Some((_, n)) => *n += 1,
                None => self.kept.push((labels, 1)),
            }
        }
    }

    pub(crate) fn undo(&mut self) {
        self.current.clear();
    }

    /// How much the record has counted so far.
    pub(crate) fn counted(&self) -> usize {
        self.current.len()
    }

    /// Drops what the record counted but for the first of it.
    pub(crate) fn undo_to(&mut self, counted: usize) {
        self.current.truncate(counted);
    }

    pub(crate) fn clear(&mut self) {
        self.current.clear();
        self.kept.clear();
    }

    pub(crate) fn all(&self) -> &[(Labels, u64)] {
        &self.kept
    }
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Its state is being read from the changelog.
    Restoring,
    /// It processes.
    Running,
}

/// A snapshot of one task, as of the last commit.
#[derive(Debug, Clone)]
pub struct TaskStatus {
    /// The partition.
    pub partition: i32,
    /// Where it stands.
    pub phase: Phase,
    /// The next input offset after the last commit.
    pub committed: i64,
    /// Entries in its store.
    pub entries: usize,
    /// Bytes of keys and values in its store.
    pub bytes: u64,
    /// Changelog offsets that a restore still has to read.
    pub behind: i64,
}

/// A committed transaction.
#[derive(Debug)]
pub struct Committed<'a> {
    /// Input records.
    pub records: u64,
    /// Bytes produced.
    pub bytes: u64,
    /// From the first record to the end of the commit.
    pub duration: Duration,
    /// The commit itself.
    pub commit: Duration,
    /// Counters.
    pub counts: &'a [(Labels, u64)],
    /// Timestamp of the oldest input record in it, milliseconds since 1970.
    pub oldest_millis: i64,
}

/// Told about everything that happens to a stage; called on worker threads, so it must not block.
pub trait Observer: Send + Sync {
    /// A transaction was committed.
    fn committed(&self, committed: &Committed<'_>);
    /// A transaction was aborted: a stable cause.
    fn aborted(&self, cause: &'static str);
    /// A producer was replaced; with the cause `self-fenced` the consumer as well, because the group had fenced us although
    /// nobody else has our name.
    fn recycled(&self, cause: &'static str);
    /// A task's state was read back.
    fn restored(&self, partition: i32, records: u64, took: Duration);
    /// A worker's tasks, after a commit or a rebalance and at least once a second.
    fn tasks(&self, slot: usize, tasks: &[TaskStatus]);
    /// The cluster can't be reached: a worker tries again until it succeeds, and processes nothing meanwhile. Over with
    /// the next report of its tasks.
    fn waiting(&self, slot: usize, what: &str);
    /// The distance of the worker's input from its end, in records.
    fn lag(&self, slot: usize, records: i64);
}
