//! Who a delivery is about: its handles are linked with all that is known, and whoever becomes somebody else by that is
//! moved, with what was said of them.

use std::borrow::Cow;
use std::collections::BTreeSet;

use commerce::event::Event;
use commerce::fact::PERSON_ERASED;
use commerce::id::Stamp;
use commerce::identity::{Component, Group, Said};
use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::{EventName, Fact, Mark, PersonId, WorkspaceId};
use serde::{Deserialize, Serialize};
use service::stage::encode_error;
use stream::{Context, Failure};

use crate::audience::Parted;
use crate::handles::Kept;
use crate::linked::Why;
use crate::people;
use crate::processor::StateStage;
use crate::shelf::Stored;
use crate::tables::{self, COMPONENT, GROUP, LINK, MEMBER, ORDER_OF, get, put};
use crate::{FACTS, PROFILES};

/// As many handles of one delivery are linked; nobody has more, and each pair costs.
const MOST_HANDLES: usize = 20;
/// Orders that are moved are read in portions.
const PORTION: usize = 200;

/// Where a handle belongs, as soon as it is linked with another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Link {
    component: u128,
    person: PersonId,
    /// Kept here so that whoever gets into a conflict is published anew, though nothing else of theirs changed.
    conflict: bool,
    /// The handle that it was named with in a delivery, and the smallest stamp of such a one: a delivery that names
    /// both again, later, says nothing new, and the component need not be read.
    met: Option<(PersonId, Stamp)>,
    /// Of its component no further links are kept: what names another handle with it need not read it.
    full: bool,
}

/// The beginning of a [`Link`], for who asks whose a handle is, as most do.
#[derive(Deserialize)]
struct LinkHead {
    _component: u128,
    person: PersonId,
}

/// Who a delivery is about.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Who {
    /// The handle that stands for them in this delivery: what it says is kept under it.
    pub(crate) handle: Identifier,
    /// The id of the handle.
    pub(crate) id: PersonId,
    /// The person, as they are known now.
    pub(crate) person: PersonId,
    /// True when the delivery made somebody of it somebody else: orders may have been published again.
    pub(crate) joined: bool,
}

/// A handle that has become somebody else's.
pub(crate) struct Moved {
    handle: PersonId,
    from: PersonId,
    to: PersonId,
}

impl StateStage {
    /// Links the handles of a delivery and says who it is about. `None`: it names nobody.
    pub(crate) fn identify(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Option<Who>, Failure> {
        let Some(said) = &event.person else { return Ok(None) };
        let mut handles: Vec<&Identifier> = said.identifiers.iter().collect();
        handles.sort_unstable();
        handles.dedup();
        handles.truncate(MOST_HANDLES);
        let Some(handle) = handles.first().map(|handle| (*handle).clone()) else { return Ok(None) };
        let id = self.id_of(&event.workspace, &handle);
        let mut moved = Vec::new();
        if handles.len() > 1 || !said.absorbed.is_empty() {
            moved = self.link(event, &handles, &said.absorbed, ctx)?;
            self.move_all(event, &moved, ctx)?;
        }
        let person = self.person_of(ctx, &event.workspace, id)?;
        Ok(Some(Who { handle, id, person, joined: !moved.is_empty() }))
    }

    /// The id of a handle: that of the person whom it stands for while it is linked with no better one.
    pub(crate) fn id_of(&self, workspace: &WorkspaceId, handle: &Identifier) -> PersonId {
        self.ids.borrow_mut().get(&self.person_key, workspace, handle)
    }

    /// The person whom a handle belongs to now.
    pub(crate) fn person_of(
        &self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        handle: PersonId,
    ) -> Result<PersonId, Failure> {
        let link: Option<LinkHead> = get(ctx, LINK, &tables::person_key(workspace.as_str(), handle))?;
        Ok(link.map_or(handle, |link| link.person))
    }

    fn link(
        &mut self,
        event: &Event,
        handles: &[&Identifier],
        absorbed: &[Identifier],
        ctx: &mut Context<'_>,
    ) -> Result<Vec<Moved>, Failure> {
        let workspace = &event.workspace;
        let (Some(first), stamp) = (handles.first(), event.stamp()) else { return Ok(vec![]) };
        let first_id = self.id_of(workspace, first);
        let mut known: BTreeSet<u128> = BTreeSet::new();
        let (mut unlinked, mut full, mut repeated) = (false, false, absorbed.is_empty());
        for handle in handles.iter().copied().chain(absorbed.iter().take(MOST_HANDLES)) {
            let id = self.id_of(workspace, handle);
            match get::<Link>(ctx, LINK, &tables::person(workspace.as_str(), id))? {
                Some(link) => {
                    known.insert(link.component);
                    full |= link.full;
                    let met = link.met.is_some_and(|(with, when)| with == first_id && when <= stamp);
                    repeated &= met || id == first_id;
                }
                None => unlinked = true,
            }
        }
        let is_refused = unlinked && full && absorbed.is_empty();
        if known.len() == 1 && (is_refused || (repeated && !unlinked)) {
            return Ok(vec![]);
        }
        let mut component = Component::default();
        for number in &known {
            let key = component_key(workspace, *number);
            component.absorb(get(ctx, COMPONENT, &key)?.unwrap_or_default());
        }
        let mut news = unlinked || known.len() > 1;
        for other in handles.iter().skip(1) {
            news |= component.link(first, other, Said::Together, stamp);
        }
        for other in absorbed.iter().take(MOST_HANDLES) {
            let said = match event.event {
                EventName::CustomerMerged => Said::Merge,
                EventName::CustomerSeparated => Said::Veto,
                _ => Said::Together,
            };
            news |= component.link(first, other, said, stamp);
        }
        if !news {
            return Ok(vec![]);
        }
        let number = known.first().copied().unwrap_or(first_id.0);
        for other in known.iter().filter(|other| **other != number) {
            ctx.remove(COMPONENT, &component_key(workspace, *other))?;
        }
        let met = |handle: &Identifier, before: Option<Link>| {
            let named = handles.iter().skip(1).any(|other| *other == handle);
            let seen = if named { component.seen(first, handle) } else { None };
            seen.map(|stamp| (first_id, stamp)).or(before.and_then(|before| before.met))
        };
        self.regroup(workspace, number, &component, met, ctx)
    }

    /// Stores a component, and where each of its handles belongs now. Says who has become somebody else.
    fn regroup(
        &mut self,
        workspace: &WorkspaceId,
        number: u128,
        component: &Component,
        met: impl Fn(&Identifier, Option<Link>) -> Option<(PersonId, Stamp)>,
        ctx: &mut Context<'_>,
    ) -> Result<Vec<Moved>, Failure> {
        put(ctx, COMPONENT, &component_key(workspace, number), component, &mut self.stored)?;
        let (mut moved, full) = (Vec::new(), component.is_full());
        let (mut were, mut are) = (BTreeSet::new(), BTreeSet::new());
        let groups = match self.tenants.get(workspace) {
            Some(tenant) => component.groups(&*tenant.versions),
            None => component.groups(&()),
        };
        for Group { handles, representative, conflict } in groups {
            let person = self.id_of(workspace, &representative);
            are.insert(person);
            let mut kept = Kept { handles: Vec::with_capacity(handles.len()), conflict };
            for handle in handles {
                let id = self.id_of(workspace, &handle);
                let key = tables::person(workspace.as_str(), id);
                let before: Option<Link> = get(ctx, LINK, &key)?;
                were.extend(before.map(|before| before.person));
                let met = met(&handle, before);
                kept.handles.push((handle, id));
                let link = Link { component: number, person, conflict, met, full };
                if before == Some(link) {
                    continue;
                }
                put(ctx, LINK, &key, &link, &mut self.stored)?;
                let from = before.map_or(id, |before| before.person);
                if from != person {
                    moved.push(Moved { handle: id, from, to: person });
                }
            }
            let key = tables::person(workspace.as_str(), person);
            if get::<Kept>(ctx, GROUP, &key)?.as_ref() != Some(&kept) {
                put(ctx, GROUP, &key, &kept, &mut self.stored)?;
            }
        }
        for gone in were.difference(&are) {
            ctx.remove(GROUP, &tables::person(workspace.as_str(), *gone))?;
        }
        Ok(moved)
    }

    /// Parts the people whom a handle has joined that is nobody's from now on, and joins those again whom one would have
    /// that is somebody's again.
    pub(crate) fn part_blocked(
        &mut self,
        event: &Event,
        changed: &BTreeSet<Identifier>,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let workspace = &event.workspace;
        for handle in changed {
            let id = self.id_of(workspace, handle);
            let link: Option<Link> = get(ctx, LINK, &tables::person(workspace.as_str(), id))?;
            let Some(Link { component: number, .. }) = link else { continue };
            let component: Component =
                get(ctx, COMPONENT, &component_key(workspace, number))?.unwrap_or_default();
            let met = |_: &Identifier, before: Option<Link>| before.and_then(|before| before.met);
            let moved = self.regroup(workspace, number, &component, met, ctx)?;
            self.move_all(event, &moved, ctx)?;
        }
        Ok(())
    }

    /// Takes all handles of a person out of what links them, and moves those who belong to somebody else without them.
    pub(crate) fn unlink(
        &mut self,
        event: &Event,
        group: &Group,
        keys: &[Vec<u8>],
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let workspace = &event.workspace;
        let (mut number, mut were) = (None, BTreeSet::new());
        for key in keys {
            if let Some(link) = get::<Link>(ctx, LINK, key)? {
                number = Some(link.component);
                ctx.remove(LINK, key)?;
                let person = tables::person(workspace.as_str(), link.person);
                ctx.remove(GROUP, &person)?;
                were.insert(person);
            }
        }
        let Some(number) = number else { return Ok(()) };
        let key = component_key(workspace, number);
        let mut component: Component = get(ctx, COMPONENT, &key)?.unwrap_or_default();
        ctx.remove(COMPONENT, &key)?;
        component.forget(&group.handles);
        // A component is numbered by one of its handles, or two could come to have one number.
        let Some(number) = component.handles().next().map(|handle| self.id_of(workspace, handle).0) else {
            return Ok(());
        };
        // Those that they were named with may be gone.
        let moved = self.regroup(workspace, number, &component, |_, _| None, ctx)?;
        // Whoever is left may be linked as before, and has lost a handle all the same.
        were.iter().try_for_each(|person| again(ctx, person))?;
        self.move_all(event, &moved, ctx)
    }

    /// Says of whom was moved that they were, and moves their orders.
    fn move_all(&mut self, event: &Event, moved: &[Moved], ctx: &mut Context<'_>) -> Result<(), Failure> {
        let mut told = BTreeSet::new();
        for Moved { handle, from, to } in moved {
            let handle_key = tables::person(event.workspace.as_str(), *handle);
            let is_known = people::is_known(ctx, &handle_key);
            if is_known && handle == to {
                // Until now a forwarding record may stand under this id: what is published of the person comes after.
                let profile = format!("{}:{to}", event.workspace);
                ctx.emit(PROFILES, Some(ctx.partition()), profile.as_bytes(), None)?;
            }
            if is_known {
                self.parted.push(Parted { workspace: event.workspace.clone(), from: *from, to: *to });
            }
            let between = |moved: &&Moved| moved.from == *from && moved.to == *to;
            let mut both = moved.iter().filter(between);
            // Who leaves with the handle that stood for the person takes the person along.
            let whole = both.clone().any(|moved| moved.handle == *from);
            let part = if whole { *to } else { *handle };
            if is_known && told.insert((*from, *to, part)) {
                if !whole || both.any(|moved| moved.handle == *to) {
                    self.tell_moved(event, EventName::CustomerSeparated, (*from, *to), part, ctx)?;
                }
                if whole {
                    self.tell_moved(event, EventName::CustomerMerged, (*from, *to), *to, ctx)?;
                }
            }
            if handle != from {
                // They have lost a handle, though nothing that is kept of them has changed.
                again(ctx, &tables::person(event.workspace.as_str(), *from))?;
            }
            let mut after: Option<Vec<u8>> = None;
            loop {
                let portion = ctx.scan(ORDER_OF, &handle_key, after.as_deref(), PORTION);
                for (entry, _) in &portion {
                    self.move_order(event, &entry[handle_key.len()..], (*handle, *to), ctx)?;
                }
                match portion.last() {
                    Some((last, _)) if portion.len() == PORTION => after = Some(last.clone()),
                    _ => break,
                }
            }
        }
        let parted = moved.iter().filter(|moved| moved.handle != moved.from);
        let parted: BTreeSet<PersonId> = parted.flat_map(|moved| [moved.from, moved.to]).collect();
        parted.into_iter().try_for_each(|person| self.list_again(event, person, ctx))?;
        let joined: BTreeSet<PersonId> = moved.iter().map(|moved| moved.to).collect();
        joined.into_iter().try_for_each(|person| self.rejoin(event, person, ctx))
    }

    /// Says that a handle that was somebody's is nobody's: what is said of it later is said of another one.
    pub(crate) fn tell_parted(
        &mut self,
        event: &Event,
        (from, handle): (PersonId, PersonId),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let mut fact = moved(event, EventName::CustomerSeparated, (from, handle), handle);
        fact.flags.push(PERSON_ERASED.to_owned());
        self.tell(format!("{}:{handle}", event.workspace).as_bytes(), &fact, ctx)
    }

    /// Tells what [`moved`] says.
    fn tell_moved(
        &mut self,
        event: &Event,
        name: EventName,
        (from, to): (PersonId, PersonId),
        handle: PersonId,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let fact = moved(event, name, (from, to), handle);
        self.tell(format!("{}:{to}", event.workspace).as_bytes(), &fact, ctx)
    }

    /// Lists the orders of a person anew who has parted from somebody: who was one buyer may be two now.
    fn list_again(&mut self, event: &Event, person: PersonId, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some((_, keys)) = self.group_of(ctx, &event.workspace, person, || Ok(None))? else {
            return Ok(());
        };
        for handle in keys {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let portion = ctx.scan(ORDER_OF, &handle, after.as_deref(), PORTION);
                for (entry, _) in &portion {
                    let order = &entry[handle.len()..];
                    let Some(mut stored) = Stored::find(ctx, order, &mut self.stored)? else { continue };
                    let state = stored.state();
                    let listed = self.listed(state, state.attached, &event.workspace, ctx)?;
                    if state.others != listed.others {
                        self.attach(event, order, state, listed, ctx)?;
                        stored.store(ctx, &mut self.stored)?;
                    }
                }
                match portion.last() {
                    Some((last, _)) if portion.len() == PORTION => after = Some(last.clone()),
                    _ => break,
                }
            }
        }
        Ok(())
    }

    /// Publishes an order again under the person it belongs to now.
    fn move_order(
        &mut self,
        event: &Event,
        key: &[u8],
        (handle, person): (PersonId, PersonId),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(mut stored) = Stored::find(ctx, key, &mut self.stored)? else { return Ok(()) };
        let state = stored.state();
        // It may be listed here as one that names somebody else as well.
        if state.attached != Some(handle) {
            return Ok(());
        }
        let Some(before) = state.published.take() else { return Ok(()) };
        if before.person_id == Some(person) {
            return Ok(());
        }
        let after = View { person_id: Some(person), ..before.clone() };
        // The event that joined the people has no version of this order: the id says who it moved to instead.
        let why =
            Why { flag: "person_moved", mark: &[b"moved".as_slice(), &person.0.to_be_bytes()].concat() };
        self.republish((event, why), key, stored, (before, after), ctx)
    }

    /// Says a fact.
    pub(crate) fn tell(&mut self, key: &[u8], fact: &Fact, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.value.clear();
        self.facts.encode(fact, &mut self.value).map_err(|e| encode_error(&e))?;
        ctx.emit(FACTS, Some(ctx.partition()), key, Some(&self.value))
    }

    /// Whom the handles that changed since belong to: those whose profile is to be published, and those who are found
    /// under another id now.
    pub(crate) fn changed_people(&self, ctx: &Context<'_>) -> Result<Changed, Failure> {
        let (mut changed, mut people) = (Changed::default(), Vec::new());
        for (table, forwards) in [(tables::PERSON, false), (LINK, true), (MEMBER, false)] {
            for key in ctx.changed(table) {
                let Some((workspace, handle)) = tables::read_person(&key) else { continue };
                let workspace = WorkspaceId::try_new(workspace).map_err(Failure::Fatal)?;
                let person = self.person_of(ctx, &workspace, handle)?;
                if forwards && person != handle && people::is_known(ctx, &key) {
                    changed.forwarded.insert((workspace.clone(), handle, person));
                }
                if forwards {
                    changed.relinked.insert((workspace.clone(), person));
                }
                people.push((workspace, person));
            }
        }
        // At once: a set that is made of many sorts them, and doesn't look for the place of each.
        changed.people = people.into_iter().collect();
        Ok(changed)
    }
}

/// Counts a handle's link as changed, where it has one: the record of its person is written anew.
pub(crate) fn again(ctx: &mut Context<'_>, key: &[u8]) -> Result<(), Failure> {
    match ctx.get(LINK, key).map(Cow::into_owned) {
        Some(link) => ctx.put(LINK, key, &link),
        None => Ok(()),
    }
}

/// Whose published record is to be written anew.
#[derive(Default)]
pub(crate) struct Changed {
    pub(crate) people: BTreeSet<(WorkspaceId, PersonId)>,
    pub(crate) forwarded: BTreeSet<(WorkspaceId, PersonId, PersonId)>,
    /// Those who gained or lost handles: a record may stand under their id that is nobody's now.
    pub(crate) relinked: BTreeSet<(WorkspaceId, PersonId)>,
}

/// Who was `from` is `to` now, or a handle of theirs is; the entity is the id under which the handle stands alone.
fn moved(event: &Event, name: EventName, (from, to): (PersonId, PersonId), handle: PersonId) -> Fact<View> {
    let mut fact = Fact::<View>::about(event, name, to);
    fact.from_person_id = Some(from);
    fact.entity_id = handle.to_string();
    let word: &[u8] = if name == EventName::CustomerMerged { b"merged" } else { b"separated" };
    let stamp = event.stamp();
    let numbers = [stamp.partition, stamp.item, stamp.part].map(i32::to_be_bytes).concat();
    let when = [numbers.as_slice(), &stamp.offset.to_be_bytes()].concat();
    let ids = [from, to, handle].map(|id| id.0.to_be_bytes()).concat();
    fact.event_id = Mark::of(&[word, &ids, &when]).to_uuid();
    fact
}

/// True for a person who can have orders: a browser or a cart alone can't.
pub(crate) fn can_buy(handle: &Identifier) -> bool {
    handle.kind <= Kind::Phone
}

fn component_key(workspace: &WorkspaceId, number: u128) -> Vec<u8> {
    tables::person(workspace.as_str(), PersonId(number))
}
