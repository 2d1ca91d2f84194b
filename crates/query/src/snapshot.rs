//! What the reading thread gives to those who answer.
//!
//! The reading thread alone owns its working copy; it publishes by swapping one pointer, and an answer is computed from
//! the one snapshot that it took. Nobody waits for anybody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use commerce::letter::Status;
use commerce::order::{Figures, View};
use commerce::{DeadLetter, Fact, Metric, Profile};
use hashbrown::HashMap;
use tokio::sync::watch;
use topics::Versions;

use crate::cells::{Cells, Names, Place};
use crate::history::History;
use crate::journey::Journeys;
use crate::letters::Letters;
use crate::store::Store;

/// Of how many letters it is remembered how they stand: a record that is delivered again comes soon or never.
const REMEMBERED_LETTERS: usize = 16_384;

/// The figures and letters of one workspace.
#[derive(Clone, Debug, Default)]
pub struct Workspace {
    /// The maintained figures.
    pub cells: Cells,
    /// The dead letters.
    pub letters: Arc<Letters>,
}

/// The figures and letters of all workspaces at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    workspaces: HashMap<String, Arc<Workspace>>,
}

impl Snapshot {
    /// One workspace; the empty name has the letters of which no workspace could be read.
    pub fn workspace(&self, id: &str) -> Option<&Arc<Workspace>> {
        self.workspaces.get(id)
    }

    /// All of them, with their names.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Arc<Workspace>)> {
        self.workspaces.iter().map(|(id, workspace)| (id.as_str(), workspace))
    }
}

/// People and orders.
#[derive(Debug, Default)]
pub struct Stores {
    /// `commerce.profiles.v1`.
    pub people: Store<Profile>,
    /// `commerce.orders.v1`.
    pub orders: Store<View>,
    /// `commerce.facts.v1`.
    pub journeys: Journeys,
}

/// How the reading goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Not everything that was there at the start has been read: no figure is right yet.
    Loading,
    /// Up to date.
    Live,
    /// The topics can't be read; the last figures stay.
    Interrupted,
}

/// What keeps the figures from following the topics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The reading ended with an error; it begins anew.
    Stopped,
    /// The cluster doesn't answer.
    Unreachable,
}

/// The published state.
#[derive(Debug)]
pub struct Published {
    snapshot: ArcSwap<Snapshot>,
    stores: ArcSwap<Stores>,
    history: History,
    /// Which versions of the figures there are.
    versions: ArcSwap<Versions>,
    /// True from the first complete reading on.
    loaded: AtomicBool,
    stopped: AtomicBool,
    unreachable: AtomicBool,
    changed: watch::Sender<u64>,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            snapshot: ArcSwap::default(),
            stores: ArcSwap::default(),
            history: History::default(),
            versions: ArcSwap::default(),
            loaded: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            unreachable: AtomicBool::new(false),
            changed: watch::Sender::new(0),
        }
    }
}

impl Published {
    /// Nothing yet, with a history of its own.
    pub fn with_history(history: History) -> Self {
        Self { history, ..Self::default() }
    }

    /// What was said of people, orders and payments.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Which versions of the figures there are, as far as it has been read.
    pub fn versions(&self) -> Arc<Versions> {
        self.versions.load_full()
    }

    /// Says which versions there are.
    pub fn set_versions(&self, versions: &Versions) {
        if **self.versions.load() != *versions {
            self.versions.store(Arc::new(versions.clone()));
        }
    }

    /// The newest snapshot.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// People and orders.
    pub fn stores(&self) -> Arc<Stores> {
        self.stores.load_full()
    }

    /// How the reading goes.
    pub fn reading(&self) -> Reading {
        if !self.loaded.load(Ordering::Acquire) {
            Reading::Loading
        } else if self.stopped.load(Ordering::Acquire) || self.unreachable.load(Ordering::Acquire) {
            Reading::Interrupted
        } else {
            Reading::Live
        }
    }

    /// Wakes after each publication and each change of [`Reading`].
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Says that there is a trouble, or that it is over.
    pub fn set(&self, trouble: Trouble, there: bool) {
        let flag = match trouble {
            Trouble::Stopped => &self.stopped,
            Trouble::Unreachable => &self.unreachable,
        };
        if flag.swap(there, Ordering::AcqRel) != there {
            self.wake();
        }
    }

    fn wake(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }
}

/// What the reading thread knows: the working copy.
#[derive(Debug, Default)]
pub struct Working {
    snapshot: Snapshot,
    names: Names,
    stores: Arc<Stores>,
    counted: HashMap<String, (i32, Status)>,
    counted_order: VecDeque<String>,
    changed: bool,
}

/// Why a record was left out.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Its key has another form than the topic's.
    #[error("the record's key is not one of this topic")]
    Key,
    /// It couldn't be packed for keeping.
    #[error("the record couldn't be packed")]
    Pack(#[from] postcard::Error),
}

impl Working {
    /// A cell, or the end of one.
    pub fn metric(&mut self, key: &[u8], metric: Option<&Metric>) -> Result<(), Unreadable> {
        let key = std::str::from_utf8(key).map_err(|_| Unreadable::Key)?;
        if let Some(place) = Place::parse(key).ok_or(Unreadable::Key)? {
            let workspace = self.snapshot.workspaces.entry_ref(place.workspace).or_default();
            Arc::make_mut(workspace).cells.apply(&mut self.names, &place, metric);
            self.changed = true;
        }
        Ok(())
    }

    /// A person, or the end of one.
    pub fn profile(&self, key: &[u8], profile: Option<&Profile>) -> Result<(), Unreadable> {
        Ok(self.stores.people.put(key, tenant(key)?, profile)?)
    }

    /// An order, or the end of one.
    pub fn order(&self, key: &[u8], view: Option<&View>) -> Result<(), Unreadable> {
        Ok(self.stores.orders.put(key, tenant(key)?, view)?)
    }

    /// A fact.
    pub fn fact(&self, fact: &Fact<Figures>) -> Result<(), Unreadable> {
        Ok(self.stores.journeys.take(fact)?)
    }

    /// A dead letter, or how it stands now; a record that was written twice is counted once.
    pub fn letter(&mut self, letter: &DeadLetter) {
        let stands = (letter.redrive_count, letter.status);
        match self.counted.insert(letter.id.clone(), stands) {
            Some(before) if before == stands => return,
            Some(_) => {}
            None => self.counted_order.push_back(letter.id.clone()),
        }
        if self.counted_order.len() > REMEMBERED_LETTERS
            && let Some(oldest) = self.counted_order.pop_front()
        {
            self.counted.remove(&oldest);
        }
        let workspace = self.snapshot.workspaces.entry_ref(letter.workspace.as_str()).or_default();
        Arc::make_mut(&mut Arc::make_mut(workspace).letters).apply(letter);
        self.changed = true;
    }

    /// True when figures changed since the last publication.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Makes the working copy what everybody sees. The first time says that it is complete.
    pub fn publish(&mut self, to: &Published) {
        to.snapshot.store(Arc::new(self.snapshot.clone()));
        // The stores change in place; the swap matters when a new reading has replaced an interrupted one.
        if !Arc::ptr_eq(&to.stores.load(), &self.stores) {
            to.stores.store(Arc::clone(&self.stores));
        }
        to.stopped.store(false, Ordering::Release);
        to.loaded.store(true, Ordering::Release);
        to.wake();
        self.changed = false;
    }
}

/// The tenant in a key `workspace:…`.
fn tenant(key: &[u8]) -> Result<&str, Unreadable> {
    let text = std::str::from_utf8(key).map_err(|_| Unreadable::Key)?;
    text.split_once(':').map(|(workspace, _)| workspace).ok_or(Unreadable::Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::samples::revenue;
    use crate::letters::samples::letter;

    #[test]
    fn nothing_is_seen_before_it_is_published_and_a_snapshot_never_changes() {
        let (published, mut working) = (Published::default(), Working::default());
        let changes = published.changes();
        let metric = revenue("2026-03-01", "USD", &[("gross", 10)]);
        working.metric(metric.key().as_bytes(), Some(&metric)).unwrap();
        assert!(published.snapshot().workspace("demo").is_none());
        assert_eq!(published.reading(), Reading::Loading);
        working.publish(&published);
        let before = published.snapshot();
        assert!(changes.has_changed().unwrap() && !working.is_changed());
        assert_eq!(published.reading(), Reading::Live);

        working.metric(metric.key().as_bytes(), None).unwrap();
        working.publish(&published);
        let series =
            |s: &Snapshot| s.workspace("demo").unwrap().cells.figure("revenue").unwrap().series().count();
        assert_eq!((series(&before), series(&published.snapshot())), (1, 0));
    }

    #[test]
    fn an_untouched_workspace_is_shared_between_snapshots() {
        let (published, mut working) = (Published::default(), Working::default());
        working.letter(&letter("a", "bad_time", "2026-03-15T10:00:00Z"));
        working.publish(&published);
        let before = published.snapshot();
        let mut other = revenue("2026-03-01", "USD", &[("gross", 10)]);
        other.workspace = commerce::WorkspaceId::try_new("other").unwrap();
        working.metric(other.key().as_bytes(), Some(&other)).unwrap();
        working.publish(&published);
        let after = published.snapshot();
        assert!(Arc::ptr_eq(before.workspace("demo").unwrap(), after.workspace("demo").unwrap()));
    }

    #[test]
    fn a_letter_that_comes_twice_counts_once() {
        let (published, mut working) = (Published::default(), Working::default());
        for _ in 0..2 {
            working.letter(&letter("a", "bad_time", "2026-03-15T10:00:00Z"));
        }
        working.publish(&published);
        let now = commerce::time::parse_iso("2026-03-15T11:00:00Z").unwrap().at;
        let total = |published: &Published| {
            published.snapshot().workspace("demo").unwrap().letters.summary(now).total
        };
        assert_eq!(total(&published), 1);
        // Redriven, failed again, discarded: each record twice.
        let first = letter("a", "bad_time", "2026-03-15T10:00:00Z");
        for (status, redrive_count, left) in
            [(Status::Redriven, 1, 0), (Status::Open, 1, 1), (Status::Discarded, 1, 0)]
        {
            for _ in 0..2 {
                working.letter(&DeadLetter { status, redrive_count, ..first.clone() });
            }
            working.publish(&published);
            assert_eq!(total(&published), left, "{status:?}");
        }
    }

    #[test]
    fn an_interruption_keeps_what_was_loaded_and_never_ends_the_loading() {
        let (published, mut working) = (Published::default(), Working::default());
        published.set(Trouble::Stopped, true);
        assert_eq!(published.reading(), Reading::Loading);
        working.publish(&published);
        assert_eq!(published.reading(), Reading::Live);
        published.set(Trouble::Stopped, true);
        published.set(Trouble::Unreachable, true);
        published.set(Trouble::Unreachable, false);
        // The cluster is there again, but nobody reads it yet.
        assert_eq!(published.reading(), Reading::Interrupted);
        working.publish(&published);
        assert_eq!(published.reading(), Reading::Live);
    }

    #[test]
    fn a_key_of_another_form_is_refused() {
        let mut working = Working::default();
        assert!(working.metric(b"nonsense", None).is_err());
        assert!(working.metric(b"\xff:\xfe", None).is_err());
        assert!(working.order(b"nonsense", None).is_err());
        assert!(working.metric(b"demo:revenue:week:2026-W09:currency=USD", None).is_ok());
        assert!(!working.is_changed());
    }
}
