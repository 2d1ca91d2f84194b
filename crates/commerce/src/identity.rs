//! Identity: which handles are one person, as a function of the set of links between them.
//!
//! A link says that two handles were seen in one delivery, or that somebody merged two people, or called that off. All
//! links are kept. The people are worked out from them in the order of their stamps, so that it doesn't matter in which
//! order they are processed:
//!
//! - a `user` handle is an *anchor*: two people with different anchors are one only by an explicit merge;
//! - a link between two people who both have an anchor joins nobody: it is a conflict, which is flagged;
//! - a handle with very many neighbours is a till, a shared inbox or an attack, and links nobody: how many, and which
//!   handles are nobody's whatever they are seen with, is for the workspace to say ([`Limits`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::Stamp;
use crate::person::{Identifier, Kind};
use crate::policy::DEFAULT_NEIGHBOURS;

/// More links of one component aren't kept: beyond it nothing is learned about who is who. All of them are gone through
/// when one is new, and all handles of a person are published with them, so it bounds what a till or a robot costs.
const MOST_LINKS: usize = 1_000;

/// What is known of two handles.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Link {
    /// The smallest stamp of a delivery that named both.
    seen: Option<Stamp>,
    /// The smallest stamp of a merge in which the first handle was to stay.
    merged: Option<Stamp>,
    /// The same for the second one.
    merged_back: Option<Stamp>,
    /// Somebody called it off, for ever.
    vetoed: bool,
}

/// What a workspace has settled of handles.
pub trait Limits {
    /// A handle with more neighbours than this isn't joined with another one by a delivery of this stamp.
    fn most_neighbours(&self, seen: Stamp) -> usize;

    /// True for a handle that is nobody's: only what somebody has said on purpose joins it.
    fn is_blocked(&self, handle: &Identifier) -> bool;
}

/// The limits of a workspace that has said nothing.
impl Limits for () {
    fn most_neighbours(&self, _: Stamp) -> usize {
        usize::try_from(DEFAULT_NEIGHBOURS).unwrap_or(usize::MAX)
    }

    fn is_blocked(&self, _: &Identifier) -> bool {
        false
    }
}

/// Handles that are linked, whether or not they are one person.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Component {
    /// By the pair of handles, the smaller one first.
    links: BTreeMap<(Identifier, Identifier), Link>,
    handles: BTreeSet<Identifier>,
}

/// One person of a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Their handles, ascending.
    pub handles: Vec<Identifier>,
    /// The one that stands for them.
    pub representative: Identifier,
    /// A link to somebody else with an anchor was refused.
    pub conflict: bool,
}

/// What a delivery says of two handles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// It names both.
    Together,
    /// They are one person, and the first one stays.
    Merge,
    /// They are not one person, whatever else is said.
    Veto,
}

impl Component {
    /// Takes in what a delivery says of two handles. True when that was news.
    pub fn link(&mut self, a: &Identifier, b: &Identifier, said: Said, stamp: Stamp) -> bool {
        if a == b {
            return self.handles.insert(a.clone());
        }
        let turned = b < a;
        let key = if turned { (b.clone(), a.clone()) } else { (a.clone(), b.clone()) };
        // What somebody has said on purpose is kept all the same.
        if said == Said::Together && self.is_full() && !self.links.contains_key(&key) {
            return false;
        }
        let link = self.links.entry(key).or_default();
        let before = *link;
        match (said, turned) {
            (Said::Together, _) => earlier(&mut link.seen, stamp),
            (Said::Merge, false) => earlier(&mut link.merged, stamp),
            (Said::Merge, true) => earlier(&mut link.merged_back, stamp),
            (Said::Veto, _) => link.vetoed = true,
        }
        let changed = *link != before;
        self.handles.insert(a.clone()) | self.handles.insert(b.clone()) | changed
    }

    /// Takes in another component.
    pub fn absorb(&mut self, other: Self) {
        for (key, theirs) in other.links {
            let ours = self.links.entry(key).or_default();
            for (ours, theirs) in [
                (&mut ours.seen, theirs.seen),
                (&mut ours.merged, theirs.merged),
                (&mut ours.merged_back, theirs.merged_back),
            ] {
                if let Some(stamp) = theirs {
                    earlier(ours, stamp);
                }
            }
            ours.vetoed |= theirs.vetoed;
        }
        self.handles.extend(other.handles);
    }

    /// Forgets handles and everything that links them.
    pub fn forget(&mut self, handles: &[Identifier]) {
        self.handles.retain(|handle| !handles.contains(handle));
        self.links.retain(|(a, b), _| !handles.contains(a) && !handles.contains(b));
    }

    /// All handles.
    pub fn handles(&self) -> impl Iterator<Item = &Identifier> {
        self.handles.iter()
    }

    /// True when no further links of deliveries are kept.
    pub fn is_full(&self) -> bool {
        self.links.len() >= MOST_LINKS
    }

    /// The smallest stamp of a delivery that named both.
    pub fn seen(&self, a: &Identifier, b: &Identifier) -> Option<Stamp> {
        let key = if b < a { (b.clone(), a.clone()) } else { (a.clone(), b.clone()) };
        self.links.get(&key).and_then(|link| link.seen)
    }

    /// The people.
    pub fn groups(&self, limits: &impl Limits) -> Vec<Group> {
        let handles: Vec<&Identifier> = self.handles.iter().collect();
        let place = |handle: &Identifier| handles.binary_search(&handle).unwrap_or_default();
        let mut neighbours: Vec<usize> = vec![0; handles.len()];
        for ((a, b), link) in &self.links {
            if link.seen.is_some() {
                neighbours[place(a)] += 1;
                neighbours[place(b)] += 1;
            }
        }
        let blocked: Vec<bool> = handles.iter().map(|handle| limits.is_blocked(handle)).collect();
        let crowded = |handle: usize, most: usize| neighbours[handle] > most && !is_anchor(handles[handle]);

        let mut people = People::new(&handles);
        // Merges first: what a person has said stands before what deliveries happen to show.
        let mut merges: Vec<(Stamp, usize, usize)> = Vec::new();
        let mut seen: Vec<(Stamp, usize, usize)> = Vec::new();
        for ((a, b), link) in &self.links {
            let (a, b) = (place(a), place(b));
            if link.vetoed {
                people.keep_apart(a, b);
                continue;
            }
            merges.extend(link.merged.map(|stamp| (stamp, a, b)));
            merges.extend(link.merged_back.map(|stamp| (stamp, b, a)));
            if let Some(stamp) = link.seen.filter(|_| !blocked[a] && !blocked[b]) {
                let most = limits.most_neighbours(stamp);
                if !crowded(a, most) && !crowded(b, most) {
                    seen.push((stamp, a, b));
                }
            }
        }
        merges.sort_unstable();
        seen.sort_unstable();
        for (_, stays, goes) in merges {
            people.merge(stays, goes);
        }
        for (_, a, b) in seen {
            people.meet(a, b);
        }
        people.groups()
    }
}

fn earlier(known: &mut Option<Stamp>, stamp: Stamp) {
    if known.is_none_or(|known| stamp < known) {
        *known = Some(stamp);
    }
}

/// True for handles that no delivery joins with another of their kind.
pub fn is_anchor(handle: &Identifier) -> bool {
    handle.kind == Kind::User && handle.space.is_empty()
}

/// The people while they are worked out.
struct People<'a> {
    handles: &'a [&'a Identifier],
    /// To which person a handle belongs, by the place of one of theirs.
    of: Vec<usize>,
    members: Vec<Vec<usize>>,
    /// The anchor that stands for them, where they have one.
    anchor: Vec<Option<usize>>,
    conflict: Vec<bool>,
    apart: BTreeSet<(usize, usize)>,
}

impl<'a> People<'a> {
    fn new(handles: &'a [&'a Identifier]) -> Self {
        let all = 0..handles.len();
        Self {
            of: all.clone().collect(),
            members: all.clone().map(|handle| vec![handle]).collect(),
            anchor: all.map(|handle| is_anchor(handles[handle]).then_some(handle)).collect(),
            conflict: vec![false; handles.len()],
            apart: BTreeSet::new(),
            handles,
        }
    }

    fn keep_apart(&mut self, a: usize, b: usize) {
        self.apart.insert((a.min(b), a.max(b)));
    }

    fn may_meet(&self, a: usize, b: usize) -> bool {
        self.apart.is_empty()
            || !self.members[a]
                .iter()
                .any(|x| self.members[b].iter().any(|y| self.apart.contains(&(*x.min(y), *x.max(y)))))
    }

    fn join(&mut self, stays: usize, goes: usize) {
        let moved = std::mem::take(&mut self.members[goes]);
        for handle in &moved {
            self.of[*handle] = stays;
        }
        self.members[stays].extend(moved);
        self.anchor[stays] = self.anchor[stays].or(self.anchor[goes]);
        self.conflict[stays] |= self.conflict[goes];
    }

    fn merge(&mut self, stays: usize, goes: usize) {
        let (a, b) = (self.of[stays], self.of[goes]);
        if a != b && self.may_meet(a, b) {
            self.join(a, b);
        }
    }

    fn meet(&mut self, a: usize, b: usize) {
        let (a, b) = (self.of[a], self.of[b]);
        if a == b {
            return;
        }
        if (self.anchor[a].is_some() && self.anchor[b].is_some()) || !self.may_meet(a, b) {
            self.conflict[a] = true;
            self.conflict[b] = true;
            return;
        }
        self.join(a, b);
    }

    fn groups(self) -> Vec<Group> {
        let mut groups = Vec::new();
        for (person, mut members) in self.members.into_iter().enumerate() {
            members.sort_unstable();
            // The handles are sorted, so the first one is the best of those without an anchor.
            let Some(first) = members.first() else { continue };
            let representative = self.anchor[person].unwrap_or(*first);
            groups.push(Group {
                representative: self.handles[representative].clone(),
                handles: members.iter().map(|handle| self.handles[*handle].clone()).collect(),
                conflict: self.conflict[person],
            });
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ReceivedTime;

    fn handle(text: &str) -> Identifier {
        let kind = match text.as_bytes()[0] {
            b'u' => Kind::User,
            b'e' => Kind::Email,
            b'p' => Kind::Phone,
            _ => Kind::Anonymous,
        };
        Identifier::plain(kind, text)
    }

    fn stamp(t: i64) -> Stamp {
        Stamp { received_at: ReceivedTime(t), partition: 0, offset: t, item: 0, part: 0 }
    }

    fn component(links: &[(&str, &str, Said, i64)]) -> Component {
        let mut component = Component::default();
        for (a, b, said, t) in links {
            component.link(&handle(a), &handle(b), *said, stamp(*t));
        }
        component
    }

    /// Each person as their handles, the representative first.
    fn people(links: &[(&str, &str, Said, i64)]) -> Vec<String> {
        let of = |group: Group| {
            let others = group.handles.iter().filter(|handle| **handle != group.representative);
            let all: Vec<&str> =
                std::iter::once(&group.representative).chain(others).map(|h| h.value.as_str()).collect();
            format!("{}{}", all.join(" "), if group.conflict { "!" } else { "" })
        };
        let mut all: Vec<String> = component(links).groups(&()).into_iter().map(of).collect();
        all.sort();
        all
    }

    use Said::{Merge, Together, Veto};

    #[test]
    fn what_is_seen_together_is_one_person_under_the_best_handle() {
        assert_eq!(people(&[("a1", "e1", Together, 1), ("e1", "p1", Together, 2)]), ["e1 p1 a1"]);
        assert_eq!(people(&[("a1", "e1", Together, 1), ("u1", "e1", Together, 2)]), ["u1 e1 a1"]);
    }

    #[test]
    fn two_anchors_are_one_person_by_a_merge_alone() {
        let shared = [("u1", "e1", Together, 1), ("u2", "e1", Together, 2)];
        assert_eq!(people(&shared), ["u1 e1!", "u2!"]);
        // The smaller stamp has the shared handle, whichever was processed first.
        assert_eq!(people(&[("u2", "e1", Together, 2), ("u1", "e1", Together, 3)]), ["u1!", "u2 e1!"]);
        let merged = [shared[0], shared[1], ("u2", "u1", Merge, 3)];
        assert_eq!(people(&merged), ["u2 u1 e1"]);
        let called_off = [merged[0], merged[1], merged[2], ("u1", "u2", Veto, 4)];
        assert_eq!(people(&called_off), people(&shared));
    }

    #[test]
    fn what_is_forgotten_leaves_the_others_as_if_it_had_never_been_named() {
        let all = [("u1", "e1", Together, 1), ("u2", "e1", Together, 2), ("u2", "p2", Together, 3)];
        let mut component = component(&all);
        component.forget(&[handle("u1"), handle("e1")]);
        assert_eq!(component, super::tests::component(&all[2..]));
    }

    #[test]
    fn a_handle_of_a_hundred_people_links_nobody() {
        let mut component = Component::default();
        let most = ().most_neighbours(stamp(1));
        for i in 0..=most {
            component.link(&handle("e-shared"), &handle(&format!("a{i}")), Together, stamp(1));
        }
        assert_eq!(component.groups(&()).len(), most + 2);
    }

    /// Two neighbours from stamp 5 on, three before; one handle is nobody's.
    struct Settled;

    impl Limits for Settled {
        fn most_neighbours(&self, seen: Stamp) -> usize {
            if seen.received_at.0 < 5 { 3 } else { 2 }
        }

        fn is_blocked(&self, handle: &Identifier) -> bool {
            handle.value == "e-blocked"
        }
    }

    #[test]
    fn a_handle_links_by_the_limit_of_the_time_when_it_was_seen() {
        let seen = [("e1", "a1", Together, 1), ("e1", "a2", Together, 2), ("e1", "a3", Together, 7)];
        // Three neighbours: the links from before still count, the last one is of a stricter time.
        let groups = component(&seen).groups(&Settled);
        let of: Vec<usize> = groups.iter().map(|group| group.handles.len()).collect();
        assert_eq!(of, [3, 1]);
        assert_eq!(component(&seen).groups(&()).len(), 1);
    }

    #[test]
    fn a_blocked_handle_joins_nobody_but_by_a_merge() {
        let seen = [("u1", "e-blocked", Together, 1), ("a1", "e-blocked", Together, 2)];
        assert_eq!(component(&seen).groups(&Settled).len(), 3);
        let merged = [seen[0], seen[1], ("u1", "e-blocked", Merge, 3)];
        assert_eq!(component(&merged).groups(&Settled).len(), 2);
    }

    fn any_link() -> impl Strategy<Value = (&'static str, &'static str, Said, i64)> {
        let name = prop::sample::select(vec!["u1", "u2", "u3", "e1", "e2", "p1", "a1", "a2"]);
        let said = prop::sample::select(vec![Together, Together, Together, Merge, Veto]);
        (name.clone(), name, said, 0..30_i64)
    }

    proptest! {
        #[test]
        fn the_people_are_the_same_in_whatever_order_and_however_often_links_come(
            links in prop::collection::vec(any_link(), 1..14),
            order in any::<prop::sample::Index>(),
        ) {
            let once = component(&links);
            let mut turned = links.clone();
            turned.rotate_left(order.index(links.len()));
            turned.reverse();
            turned.extend(links.iter().copied());
            prop_assert_eq!(once.groups(&()), component(&turned).groups(&()));
            // In two parts that are joined later, as well.
            let (left, right) = links.split_at(order.index(links.len()));
            let mut joined = component(right);
            joined.absorb(component(left));
            prop_assert_eq!(once.groups(&()), joined.groups(&()));
        }

        #[test]
        fn a_merge_that_is_called_off_leaves_what_was(links in prop::collection::vec(any_link(), 0..10)) {
            let links: Vec<_> = links.into_iter().filter(|(a, b, said, _)| {
                *said == Together && (*a, *b) != ("u1", "u2") && (*a, *b) != ("u2", "u1")
            }).collect();
            let mut after = links.clone();
            after.push(("u1", "u2", Merge, 40));
            after.push(("u1", "u2", Veto, 41));
            let handles = [("u1", "u1", Together, 0), ("u2", "u2", Together, 0)];
            let before: Vec<_> = links.into_iter().chain(handles).collect();
            prop_assert_eq!(people(&before), people(&after));
        }
    }
}
