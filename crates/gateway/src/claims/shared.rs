//! What the threads of the claims share, and how one waits until another has read a record.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commerce::ReceivedTime;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;

use super::Error;
use super::entry::Answer;
use super::reader::View;
use super::table::Table;
use crate::producer::Producer;

/// Of answers that needn't be fetched from the topic, in bytes.
const AT_HAND: u64 = 16 * 1024 * 1024;
/// A larger answer is always fetched: that of a batch with many errors.
const LARGEST_AT_HAND: usize = 64 * 1024;

/// What the threads share.
pub(crate) struct Shared {
    pub(super) producer: Arc<Producer>,
    table: Mutex<Table>,
    pub(super) answers: Cache<Uuid, Arc<Answer>>,
    /// Who waits until a record of theirs was read, by view.
    waiting: [Mutex<HashMap<Uuid, oneshot::Sender<()>>>; 2],
    pub(super) flying: Mutex<HashSet<Uuid>>,
    /// Which producer it is; the lowest bit is set while there is none.
    session: AtomicU64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(producer: Arc<Producer>) -> Self {
        let weight =
            |_: &Uuid, answer: &Arc<Answer>| u32::try_from(answer.body.len() + 200).unwrap_or(u32::MAX);
        Self {
            producer,
            table: Mutex::default(),
            // Who comes again does so soon, so a new answer is worth more than one that was often asked for.
            answers: Cache::builder()
                .max_capacity(AT_HAND)
                .weigher(weight)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            waiting: Default::default(),
            flying: Mutex::default(),
            session: AtomicU64::new(1),
        }
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    pub(super) fn keep(&self, answer: Answer) {
        if answer.body.len() <= LARGEST_AT_HAND {
            self.answers.insert(answer.claim, Arc::new(answer));
        }
    }

    pub(super) fn forget(&self, now: ReceivedTime) {
        self.table().forget(now);
    }

    pub(super) fn len(&self) -> usize {
        self.table().len()
    }

    pub(super) fn passed(&self, view: View, id: Uuid) {
        if let Some(waiting) = lock(&self.waiting[view as usize]).remove(&id) {
            // Who waited may have gone.
            let _ = waiting.send(());
        }
    }

    pub(super) fn session(&self) -> u64 {
        self.session.load(Ordering::SeqCst)
    }

    pub(super) fn pause(&self) {
        self.session.fetch_or(1, Ordering::SeqCst);
    }

    pub(super) fn begin(&self) {
        self.session.fetch_add(1, Ordering::SeqCst);
    }
}

/// Two waits for one record: until it was read as it stands there, and until everything before it is decided.
pub(super) struct Passage {
    id: Uuid,
    views: [oneshot::Receiver<()>; 2],
    shared: Arc<Shared>,
}

impl Passage {
    /// To be made before the record is written.
    pub(super) fn new(shared: &Arc<Shared>, id: Uuid) -> Self {
        let views = View::ALL.map(|view| {
            let (passed, waits) = oneshot::channel();
            lock(&shared.waiting[view as usize]).insert(id, passed);
            waits
        });
        Self { id, views, shared: Arc::clone(shared) }
    }

    pub(super) async fn passed(&mut self, view: View, deadline: Instant) -> Result<(), Error> {
        match tokio::time::timeout_at(deadline, &mut self.views[view as usize]).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Late),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        for view in View::ALL {
            lock(&self.shared.waiting[view as usize]).remove(&self.id);
        }
    }
}
