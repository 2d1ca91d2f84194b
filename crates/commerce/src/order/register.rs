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
    /// When this body of it arrived first; [`Version::NO_TURN`] of a source that corrects no version, where the arrival
    /// decides nothing.
    pub turn: ReceivedTime,
    /// Content hash: decides what whole seconds can't.
    pub hash: u64,
}

impl Version {
    /// Stands where the arrival decides nothing.
    pub const NO_TURN: ReceivedTime = ReceivedTime(0);

    /// What bodies that correct each other have in common.
    pub(super) const fn place(self) -> (EventTime, u8) {
        (self.at, self.rank)
    }

    /// True when both are the same, whenever they arrived.
    pub(super) fn is_body_of(self, other: Self) -> bool {
        self.place() == other.place() && self.hash == other.hash
    }
}

/// When each body arrived first, by place and content.
#[derive(Default)]
pub(super) struct Turns(BTreeMap<((EventTime, u8), u64), ReceivedTime>);

impl Turns {
    /// True when there is another body of the version.
    pub(super) fn have_rival(&self, version: Version) -> bool {
        let place = version.place();
        self.0.range((place, u64::MIN)..=(place, u64::MAX)).any(|((_, hash), _)| *hash != version.hash)
    }
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

    /// True when its source corrects versions.
    pub(super) fn take_turns(&self) -> bool {
        self.0.iter().any(|version| version.turn != Version::NO_TURN)
    }

    pub(super) fn numbered(&self) -> impl Iterator<Item = (u16, Version)> {
        (0..=u16::MAX).zip(self.0.iter().copied())
    }

    /// Says when its bodies arrived.
    pub(super) fn tell(&self, turns: &mut Turns) {
        for version in &self.0 {
            let turn = turns.0.entry((version.place(), version.hash)).or_insert(version.turn);
            *turn = version.turn.min(*turn);
        }
    }

    pub(super) fn turn_of(&self, version: Version) -> Option<ReceivedTime> {
        self.0.iter().find(|known| known.is_body_of(version)).map(|known| known.turn)
    }

    /// Gives each version its turn and sorts them; returns where each is now.
    pub(super) fn retune(&mut self, turns: &Turns) -> Vec<u16> {
        for version in &mut self.0 {
            if let Some(turn) = turns.0.get(&(version.place(), version.hash)) {
                version.turn = *turn;
            }
        }
        let before = self.0.clone();
        self.0.sort_unstable();
        before.iter().map(|version| self.index_of(*version)).collect()
    }

    /// Leaves of each version what it is known by whenever it arrived.
    pub(super) fn forget_turns(&mut self) {
        self.0.iter_mut().for_each(|version| version.turn = Version::NO_TURN);
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
