//! Registers: the value of the greatest version wins, and absent never overwrites known.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EventTime, ReceivedTime};

/// Which of two statements of one source is the later one: its time, then the lifecycle rank, then the arrival where the
/// source corrects versions, then the content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Version {
    /// The source's `updated_at`.
    pub at: EventTime,
    /// Lifecycle rank of the payment state, 0 where the delivery has none.
    pub rank: u8,
    /// When it arrived; [`Version::NO_TURN`] of a source that corrects no version, where the arrival decides nothing.
    pub turn: ReceivedTime,
    /// Content hash: decides what whole seconds can't.
    pub hash: u64,
}

impl Version {
    /// Stands where the arrival decides nothing.
    pub const NO_TURN: ReceivedTime = ReceivedTime(0);
}

/// A value and the version that set it; `None` until some delivery had it.
///
/// The version is an index into the owner's list of versions, because nearly always one version has set everything
/// and an order shouldn't pay for it twenty times.
pub type Register<T> = Option<(u16, T)>;

/// The versions that registers of one owner point to, ascending.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Versions(Vec<Version>);

impl Versions {
    pub(super) fn of(version: Version) -> Self {
        Self(vec![version])
    }

    pub(super) fn get(&self, index: u16) -> Option<Version> {
        self.0.get(usize::from(index)).copied()
    }

    pub(super) fn greatest(&self) -> Option<Version> {
        self.0.last().copied()
    }

    /// The sorted union of both lists.
    pub(super) fn union(&self, other: &Self) -> Self {
        let mut all: Vec<Version> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        all.dedup();
        Self(all)
    }

    fn index_of(&self, version: Version) -> u16 {
        // The list is the union of what registers point to, at most a few dozen; see `prune`.
        self.0.binary_search(&version).ok().and_then(|i| u16::try_from(i).ok()).unwrap_or(u16::MAX)
    }
}

/// Two owners that are being joined, and the union that the result points into.
pub(super) struct Join<'a> {
    pub(super) left: &'a Versions,
    pub(super) right: &'a Versions,
    pub(super) union: &'a Versions,
}

impl Join<'_> {
    /// The register of the greater version; where both versions are equal the contents are too, and the greater
    /// value is taken so that a hash collision can't make the order of arrival matter.
    pub(super) fn register<T: Clone + Ord>(&self, left: &Register<T>, right: &Register<T>) -> Register<T> {
        let resolve = |list: &Versions, register: &Register<T>| {
            register.as_ref().and_then(|(i, value)| Some((list.get(*i)?, value.clone())))
        };
        let winner = resolve(self.left, left).into_iter().chain(resolve(self.right, right)).max()?;
        Some((self.union.index_of(winner.0), winner.1))
    }

    /// The union of two maps of registers.
    pub(super) fn map<K: Clone + Ord, T: Clone + Ord>(
        &self,
        left: &BTreeMap<K, (u16, T)>,
        right: &BTreeMap<K, (u16, T)>,
    ) -> BTreeMap<K, (u16, T)> {
        let mut out = BTreeMap::new();
        for key in left.keys().chain(right.keys()) {
            if out.contains_key(key) {
                continue;
            }
            let joined = self.register(&left.get(key).cloned(), &right.get(key).cloned());
            if let Some(register) = joined {
                out.insert(key.clone(), register);
            }
        }
        out
    }
}

/// Drops the versions that no register points to any more and renumbers the rest. `indices` visits every index.
/// The greatest version is kept even when nothing points to it: it says how new the order is.
pub(super) fn prune(versions: &mut Versions, mut visit: impl FnMut(&mut dyn FnMut(&mut u16))) {
    let last = versions.0.len().saturating_sub(1);
    let mut used = vec![false; versions.0.len()];
    if let Some(slot) = used.get_mut(last) {
        *slot = true;
    }
    visit(&mut |index| {
        if let Some(slot) = used.get_mut(usize::from(*index)) {
            *slot = true;
        }
    });
    if used.iter().all(|u| *u) {
        return;
    }
    let mut renumbered = vec![0_u16; used.len()];
    let mut next = 0_u16;
    for (slot, used) in renumbered.iter_mut().zip(&used) {
        *slot = next;
        next = next.saturating_add(u16::from(*used));
    }
    visit(&mut |index| {
        if let Some(new) = renumbered.get(usize::from(*index)) {
            *index = *new;
        }
    });
    let mut keep = used.iter();
    versions.0.retain(|_| keep.next().copied().unwrap_or(false));
}
