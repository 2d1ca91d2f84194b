//! Which orders are one: those of different sources that are known by one name.
//!
//! Two sources tell of one order if the id that one has for it is any id that the other has for it, or if a display
//! number is the same, total and currency being equal. Orders of one source are never one, not even by way of a third.
//! What is one is a function of what was said: names are only ever added, and where not all links can hold, the
//! strongest and then the earliest do.
//!
//! ```text
//! workspace:id of an order  ─▶ Entry::Orders ◀─ Entry::At ─ workspace:any other name
//! ```
//!
//! Orders that share names, linked or not, are kept as one [`Entry`], so that one look finds all that a delivery may
//! touch. Nearly always that is one order, which needs no second look.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::disagreement::Disagreement;
use super::name::{Name, Standing, key};
use super::state::{Observed, REMEMBERED, SourceOrder, Space, State};
use super::view::View;
use crate::event::Event;
use crate::id::Stamp;
use crate::{PersonId, WorkspaceId};

/// So many orders are remembered that have lost a name to one: they are asked again when it is gone.
const MOST_OUTDONE: usize = 16;

/// What is kept under a name.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// The orders that share it.
    Orders(Vec<State>),
    /// The id under which they are kept.
    At(String),
}

/// Where entries are kept.
pub trait Shelf {
    /// What can go wrong.
    type Error;

    /// What is kept under a key.
    fn get(&self, key: &[u8]) -> Result<Option<Entry>, Self::Error>;

    /// Keeps something under a key, `None`: nothing.
    fn put(&mut self, key: &[u8], entry: Option<&Entry>) -> Result<(), Self::Error>;
}

/// Orders that share names.
#[derive(Clone, PartialEq, Debug)]
pub struct Cluster {
    workspace: WorkspaceId,
    /// The id under which it is kept.
    home: String,
    /// The orders, each of which is one to everybody.
    pub orders: Vec<State>,
}

/// What a delivery did to a cluster.
#[derive(Debug)]
pub struct Joined {
    /// What it did to its order.
    pub observed: Observed,
    /// Which order that is now.
    pub at: usize,
    /// Which orders are made of other sources than before.
    pub change: Change,
}

/// How orders are made of other sources than before.
#[derive(Default, Debug)]
pub struct Change {
    /// Orders that are part of another one now, or have another id.
    pub former: Vec<Former>,
    /// Places of the orders that are made of other sources.
    pub changed: Vec<usize>,
}

/// A published order that isn't one of its own any more.
#[derive(Debug)]
pub struct Former {
    /// As published last.
    pub view: View,
    /// The handle under which it counted.
    pub attached: Option<PersonId>,
    /// Further handles under which it was listed.
    pub others: Vec<PersonId>,
    /// In what its sources disagreed.
    pub disagreements: Vec<Disagreement>,
    /// The order that has its place now, its view being that of the former one with another id.
    pub moved: Option<usize>,
}

/// What one source says of an order, on its way from one order to another.
struct Part {
    home: usize,
    space: Space,
    order: SourceOrder,
}

impl Part {
    /// "First" is the smallest stamp; no two deliveries have the same.
    fn rank(&self) -> (Option<&(Stamp, String)>, &Space) {
        (self.order.first.as_ref(), &self.space)
    }
}

impl Cluster {
    /// The orders that share an id with others, or none yet.
    pub fn find<S: Shelf>(shelf: &S, workspace: &WorkspaceId, id: &str) -> Result<Self, S::Error> {
        let (home, orders) = follow(shelf, workspace, id.to_owned())?;
        Ok(Self { workspace: workspace.clone(), home, orders: orders.unwrap_or_default() })
    }

    /// The order of an event, as far as it is known.
    pub fn order_of(&self, event: &Event) -> Option<&State> {
        self.orders.get(self.place_of(event)?)
    }

    fn place_of(&self, event: &Event) -> Option<usize> {
        let own = |order: &State| order.source(event).is_some_and(|o| o.id() == Some(&event.entity.id));
        self.orders.iter().position(own)
    }

    /// The place of the order that is published under an id.
    pub fn place_of_id(&self, id: &str) -> Option<usize> {
        self.orders.iter().position(|order| order.id() == Some(id))
    }

    /// True where an id that an order here is said to have is that under which another one is published.
    pub fn is_of_another<S: Shelf>(&self, shelf: &S, id: &str, at: usize) -> Result<bool, S::Error> {
        if let Some(place) = self.place_of_id(id) {
            return Ok(place != at);
        }
        let (home, found) = follow(shelf, &self.workspace, id.to_owned())?;
        // What is kept under its own id is what these orders were before.
        let is_elsewhere = home != self.home;
        Ok(is_elsewhere && found.iter().flatten().any(|order| order.id() == Some(id)))
    }

    /// Keeps it as it is now.
    pub fn store<S: Shelf>(self, shelf: &mut S) -> Result<(), S::Error> {
        let home = key(&self.workspace, &self.home);
        if self.orders.is_empty() {
            return shelf.put(&home, None);
        }
        for apart in self.orders.iter().filter_map(|order| order.apart.as_deref()) {
            let key = key(&self.workspace, apart);
            if apart != self.home && shelf.get(&key)?.is_none() {
                shelf.put(&key, Some(&Entry::At(self.home.clone())))?;
            }
        }
        shelf.put(&home, Some(&Entry::Orders(self.orders)))
    }

    /// Joins one delivery in, and looks up what it says for the first time of its order's names.
    pub fn join<S: Shelf>(&mut self, shelf: &mut S, event: &Event) -> Result<Joined, S::Error> {
        let place = self.place_of(event);
        let at = place.unwrap_or(self.orders.len());
        if place.is_none() {
            self.orders.push(State::default());
        }
        let Some(state) = self.orders.get_mut(at) else { unreachable!("it was found or put there") };
        let stamp = |order: &SourceOrder| order.first.as_ref().map(|(stamp, _)| *stamp);
        let before = state.source(event).and_then(stamp);
        let observed = state.observe(event);
        let Some(order) = state.source_mut(event) else {
            return Ok(Joined { observed, at, change: Change::default() });
        };
        let earlier = before != stamp(order);
        if earlier && before.is_some() {
            // What was lost to another order of the source may be won now.
            order.names.values_mut().for_each(|standing| *standing = Standing::Open);
        }
        let open = |(name, standing): (&Name, &Standing)| (*standing == Standing::Open).then(|| name.clone());
        let names: Vec<Name> = order.names.iter().filter_map(open).collect();
        for name in &names {
            let standing = self.settle(shelf, &Space::of(event), at, name)?;
            let order = self.orders.get_mut(at).and_then(|state| state.source_mut(event));
            if let Some(known) = order.and_then(|order| order.names.get_mut(name)) {
                *known = standing;
            }
        }
        let parts: usize = self.orders.iter().map(|order| order.sources.len()).sum();
        if parts < 2 || (names.is_empty() && !earlier) {
            return Ok(Joined { observed, at, change: Change::default() });
        }
        let change = self.regroup();
        let at = self.place_of(event).unwrap_or_default();
        Ok(Joined { observed, at, change })
    }

    /// Takes in the orders that are known by a name of an order here.
    fn settle<S: Shelf>(
        &mut self,
        shelf: &mut S,
        space: &Space,
        at: usize,
        name: &Name,
    ) -> Result<Standing, S::Error> {
        let known = match name {
            Name::Id(id) => Some(id.clone()),
            Name::Number(_) => match shelf.get(&name.key(&self.workspace))? {
                Some(Entry::At(id)) => Some(id),
                Some(Entry::Orders(_)) | None => None,
            },
        };
        let (key, found) = match known {
            Some(id) => {
                let (id, found) = follow(shelf, &self.workspace, id)?;
                if id == self.home {
                    return Ok(Standing::Held);
                }
                (key(&self.workspace, &id), found)
            }
            None => (name.key(&self.workspace), None),
        };
        if let Some(mut others) = found {
            let own = self.orders.get(at).and_then(|state| state.sources.get(space));
            let own = own.map(|order| (claim(order, name), order.first.as_ref()));
            let wins = |state: &State| {
                let rivals = state.sources.iter().filter(|(rival, _)| rival.source == space.source);
                let mut claims = rivals.map(|(_, order)| (claim(order, name), order.first.as_ref()));
                claims.any(|rival| rival.0.is_some() && Some(rival) < own)
            };
            if let Some(winner) = others.iter().position(wins) {
                let outdone = others.get_mut(winner).map(|winner| &mut winner.outdone);
                if outdone.is_some_and(|all| all.len() < MOST_OUTDONE && all.insert(self.home.clone())) {
                    shelf.put(&key, Some(&Entry::Orders(others)))?;
                }
                return Ok(Standing::Lost);
            }
            self.orders.extend(others);
        }
        shelf.put(&key, Some(&Entry::At(self.home.clone())))?;
        Ok(Standing::Held)
    }

    /// Looks the names up again that orders here have lost to others: who won them may be gone.
    pub fn reopen<S: Shelf>(&mut self, shelf: &mut S) -> Result<Change, S::Error> {
        let mut lost = Vec::new();
        for (at, state) in self.orders.iter().enumerate() {
            for (space, order) in &state.sources {
                let names = order.names.iter().filter(|(_, standing)| **standing == Standing::Lost);
                lost.extend(names.map(|(name, _)| (at, space.clone(), name.clone())));
            }
        }
        for (at, space, name) in &lost {
            let standing = self.settle(shelf, space, *at, name)?;
            let order = self.orders.get_mut(*at).and_then(|state| state.sources.get_mut(space));
            if let Some(known) = order.and_then(|order| order.names.get_mut(name)) {
                *known = standing;
            }
        }
        Ok(self.regroup())
    }

    /// Puts the orders together of what their sources say.
    pub fn regroup(&mut self) -> Change {
        let (mut parts, mut homes) = (Vec::new(), Vec::new());
        for (home, mut state) in std::mem::take(&mut self.orders).into_iter().enumerate() {
            let sources = std::mem::take(&mut state.sources);
            parts.extend(sources.into_iter().map(|(space, order)| Part { home, space, order }));
            homes.push(state);
        }
        parts.sort_by(|a, b| a.rank().cmp(&b.rank()));
        let groups = groups(&parts);
        let sizes = parts.iter().fold(vec![0_usize; homes.len()], |mut sizes, part| {
            sizes[part.home] += 1;
            sizes
        });
        // Where each order was before, in the order of the places that they have now.
        let from: Vec<Vec<usize>> =
            groups.iter().map(|group| group.iter().map(|part| parts[*part].home).collect()).collect();
        let mut taken: Vec<Option<Part>> = parts.into_iter().map(Some).collect();
        for group in &groups {
            let mut state = State::default();
            let parts: Vec<Part> =
                group.iter().filter_map(|part| taken.get_mut(*part).and_then(Option::take)).collect();
            let space = parts.first().map(|part| part.space.space.clone()).unwrap_or_default();
            state.sources = parts.into_iter().map(|part| (part.space, part.order)).collect();
            while let Some(id) = state.id().filter(|id| self.place_of_id(id).is_some()).map(str::to_owned) {
                state.apart = Some(format!("{id}@{space}"));
            }
            self.orders.push(state);
        }
        self.move_in(&mut homes, &from, &sizes)
    }

    /// Gives the orders what was kept of those that they come of.
    fn move_in(&mut self, homes: &mut [State], from: &[Vec<usize>], sizes: &[usize]) -> Change {
        let mut change = Change::default();
        let published = |home: &State| home.published.as_ref().map(|view| view.id.clone());
        for (at, (state, from)) in self.orders.iter_mut().zip(from).enumerate() {
            for home in from.iter().collect::<BTreeSet<_>>() {
                state.remembered.extend(homes[*home].remembered.iter().copied());
                state.outdone.extend(homes[*home].outdone.iter().cloned());
            }
            while state.outdone.len() > MOST_OUTDONE {
                state.outdone.pop_last();
            }
            let excess = state.remembered.len().saturating_sub(REMEMBERED);
            state.remembered.drain(..excess);
            let own = homes
                .iter()
                .position(|home| home.published.is_some() && published(home).as_deref() == state.id());
            if let Some(own) = own {
                let home = &mut homes[own];
                state.published = home.published.take();
                state.attached = home.attached.take();
                state.others = std::mem::take(&mut home.others);
                state.disagreements = std::mem::take(&mut home.disagreements);
            }
            let same =
                own.is_some_and(|own| from.len() == sizes[own] && from.iter().all(|home| *home == own));
            if !same {
                change.changed.push(at);
            }
        }
        for (home, state) in homes.iter_mut().enumerate() {
            let Some(view) = state.published.take() else { continue };
            let whole = |from: &Vec<usize>| {
                sizes[home] > 0 && from.iter().filter(|part| **part == home).count() == sizes[home]
            };
            // It goes on under another id where that id is new.
            let into = from.iter().position(whole);
            let next = into.and_then(|into| Some((into, self.orders.get_mut(into)?)));
            let moved = next.filter(|(_, next)| next.published.is_none()).map(|(into, next)| {
                let id = next.id().unwrap_or_default().to_owned();
                next.published = Some(View { id, ..view.clone() });
                into
            });
            let disagreements = std::mem::take(&mut state.disagreements);
            let (attached, others) = (state.attached, std::mem::take(&mut state.others));
            change.former.push(Former { view, attached, others, disagreements, moved });
        }
        change
    }
}

type Found = (String, Option<Vec<State>>);

/// Follows an id to the one under which orders are kept, or would be.
fn follow<S: Shelf>(shelf: &S, workspace: &WorkspaceId, mut id: String) -> Result<Found, S::Error> {
    loop {
        match shelf.get(&key(workspace, &id))? {
            Some(Entry::At(next)) => id = next,
            Some(Entry::Orders(orders)) => return Ok((id, Some(orders))),
            None => return Ok((id, None)),
        }
    }
}

/// How well an order stands under a name, the smaller the better: its own id stands above one that it is said to have
/// elsewhere. `None`: not at all.
fn claim(order: &SourceOrder, name: &Name) -> Option<u8> {
    match name {
        Name::Id(id) if order.id() == Some(id) => Some(0),
        _ => order.names.get(name).filter(|standing| **standing != Standing::Lost).map(|_| 1),
    }
}

/// Which parts are one order, as places in the list; the parts are in the order of their stamps.
fn groups(parts: &[Part]) -> Vec<Vec<usize>> {
    let mut names: BTreeMap<Name, BTreeSet<(u8, usize)>> = BTreeMap::new();
    for (place, part) in parts.iter().enumerate() {
        let own = part.order.id().map(|id| Name::Id(id.to_owned()));
        for name in part.order.names.keys().chain(&own) {
            if let Some(claim) = claim(&part.order, name) {
                names.entry(name.clone()).or_default().insert((claim, place));
            }
        }
    }
    let mut links = BTreeSet::new();
    for (name, claims) in &names {
        // Of each source the one that stands best under the name.
        let mut best: Vec<(u8, usize)> = Vec::new();
        for claim in claims {
            if best.iter().all(|(_, other)| parts[*other].space.source != parts[claim.1].space.source) {
                best.push(*claim);
            }
        }
        for (n, a) in best.iter().enumerate() {
            for b in best.iter().skip(n + 1) {
                let strength = match name {
                    // What both say that a third one has is nothing between the two.
                    Name::Id(_) if a.0 + b.0 > 1 => continue,
                    Name::Id(_) => a.0 + b.0,
                    Name::Number(_) => 2,
                };
                links.insert((strength, a.1.max(b.1), a.1.min(b.1)));
            }
        }
    }
    let mut group: Vec<usize> = (0..parts.len()).collect();
    for (_, a, b) in links {
        let (keep, gone) = (group[a].min(group[b]), group[a].max(group[b]));
        let sources = |of: usize| {
            let members = group.iter().zip(parts).filter(move |(group, _)| **group == of);
            members.map(|(_, part)| part.space.source).collect::<BTreeSet<_>>()
        };
        if keep != gone && sources(keep).is_disjoint(&sources(gone)) {
            group.iter_mut().filter(|known| **known == gone).for_each(|known| *known = keep);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (part, group) in group.into_iter().enumerate() {
        groups.entry(group).or_default().push(part);
    }
    groups.into_values().collect()
}

#[cfg(test)]
mod tests;
