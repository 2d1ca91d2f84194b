//! What people asked for: to be forgotten, or to be left alone.
//!
//! An erasure applies to what arrived before it. Its stamp is kept per handle, under the id that says nothing of whom it
//! belongs to, so that what is processed late or once more brings nobody back; what arrives after it starts anew. Orders
//! of platforms stay as amounts without a person; what the analytics API said vanishes.

use std::collections::{BTreeMap, BTreeSet};

use commerce::fact::PERSON_ERASED;
use commerce::id::Stamp;
use commerce::identity::is_anchor;
use commerce::order::links::{Change, Cluster};
use commerce::person::Identifier;
use commerce::{Event, EventName, Fact, Outcome, PersonId, Reason, Source};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::identity::Who;
use crate::linked::{LINKED, Why};
use crate::people::People;
use crate::processor::{StateStage, Tenant};
use crate::shelf::{Orders, Stored};
use crate::tables::{self, NOTICE, ORDER_OF, get, put};
use crate::{PROFILES, people};

/// More changes of mind of one person aren't kept: the oldest ones go.
const MOST_CHANGES: usize = 50;

/// The person of an order is forgotten.
const ERASED: Why<'_> = Why { flag: PERSON_ERASED, mark: b"erased" };

/// What was asked for under one handle.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Notice {
    /// The greatest stamp of an erasure.
    erased: Option<Stamp>,
    /// True where an anchor was erased with it: whoever else has an anchor and was seen with the handle before is
    /// somebody else.
    anchored: bool,
    /// Barred from processing, or readmitted, since when.
    barred: BTreeMap<Stamp, bool>,
}

impl Notice {
    fn is_barred_at(&self, stamp: Stamp) -> bool {
        self.barred.range(..stamp).next_back().is_some_and(|(_, barred)| *barred)
    }

    fn is_erased_after(&self, stamp: Stamp) -> bool {
        self.erased.is_some_and(|erased| stamp < erased)
    }
}

/// What may be taken of an event.
pub(crate) enum Leave {
    /// All of it.
    Whole,
    /// It, but for handles of somebody else who was erased.
    Without(Vec<Identifier>),
    /// What the books need, without whom it was.
    Amounts,
    /// Nothing.
    Nothing(Reason),
}

impl StateStage {
    /// What may be taken of an event, as far as the people in it are concerned.
    pub(crate) fn leave(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        ctx: &mut Context<'_>,
    ) -> Result<Leave, Failure> {
        let asks = matches!(
            event.event,
            EventName::CustomerDeleted | EventName::CustomerSuppressed | EventName::CustomerUnsuppressed
        );
        let Some(said) = event.person.as_ref().filter(|_| !asks) else { return Ok(Leave::Whole) };
        let (stamp, mut reason, mut theirs) = (event.stamp(), None, Vec::new());
        for handle in said.identifiers.iter().chain(&said.absorbed) {
            let Some(notice) = self.notice(event, handle, ctx)? else { continue };
            if let Some(erased) = notice.erased.filter(|erased| stamp < *erased) {
                if notice.anchored && self.names_another(event, ctx)? {
                    theirs.push(handle.clone());
                    continue;
                }
                self.erase_late(event, tenant, (erased, notice.anchored), ctx)?;
                reason = Some(Reason::Erased);
                break;
            }
            if notice.is_barred_at(stamp) {
                reason = Some(Reason::Suppressed);
            }
        }
        let is_books = event.event.is_order() || event.payload.payment.is_some();
        Ok(match (reason, event.source) {
            (None, _) if theirs.is_empty() => Leave::Whole,
            (None, _) => Leave::Without(theirs),
            (Some(reason), Source::Analytics) => Leave::Nothing(reason),
            // Whoever bars a person from messages doesn't mean the shop's books.
            (Some(Reason::Suppressed), Source::Customerio) => Leave::Nothing(Reason::Suppressed),
            (Some(_), _) if is_books => Leave::Amounts,
            (Some(reason), _) => Leave::Nothing(reason),
        })
    }

    /// True where an event has an anchor that wasn't erased since: a handle in it that was erased with another anchor was
    /// shared, and nothing of the event was said of whom was erased.
    fn names_another(&self, event: &Event, ctx: &Context<'_>) -> Result<bool, Failure> {
        if event.event == EventName::CustomerMerged {
            return Ok(false);
        }
        let anchors =
            event.person.iter().flat_map(|said| &said.identifiers).filter(|handle| is_anchor(handle));
        for anchor in anchors {
            let notice = self.notice(event, anchor, ctx)?;
            if !notice.is_some_and(|notice| notice.is_erased_after(event.stamp())) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn notice(
        &self,
        event: &Event,
        handle: &Identifier,
        ctx: &Context<'_>,
    ) -> Result<Option<Notice>, Failure> {
        let id = self.id_of(&event.workspace, handle);
        get(ctx, NOTICE, &tables::person(event.workspace.as_str(), id))
    }

    /// Bars the handles of an event, or readmits them.
    pub(crate) fn bar(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Outcome, Failure> {
        let mut person = None;
        for handle in event.person.iter().flat_map(|said| &said.identifiers) {
            let id = self.id_of(&event.workspace, handle);
            if person.is_none() {
                person = Some(self.person_of(ctx, &event.workspace, id)?);
            }
            let mut notice = self.notice(event, handle, ctx)?.unwrap_or_default();
            notice.barred.insert(event.stamp(), event.event == EventName::CustomerSuppressed);
            if notice.barred.len() > MOST_CHANGES {
                notice.barred.pop_first();
            }
            let key = tables::person(event.workspace.as_str(), id);
            put(ctx, NOTICE, &key, &notice, &mut self.stored)?;
        }
        self.tell_of(event, person, ctx)
    }

    /// Forgets the person of an event: what was said of them, who they are, and which orders are theirs.
    pub(crate) fn forget(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        ctx: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        for handle in event.person.iter().flat_map(|said| &said.identifiers) {
            let notice = self.notice(event, handle, ctx)?;
            if notice.is_some_and(|notice| notice.is_erased_after(event.stamp())) {
                return Ok(Outcome::Filtered(Reason::Erased));
            }
        }
        let who = self.identify(event, ctx)?;
        if let Some(who) = &who {
            self.erase(event, tenant, who, (event.stamp(), false), ctx)?;
        }
        self.tell_of(event, who.map(|who| who.person), ctx)
    }

    /// An event from before an erasure came after it: whom else it names belonged to the person then. Who was heard of
    /// since is somebody again.
    fn erase_late(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        (erased, anchored): (Stamp, bool),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        for handle in event.person.iter().flat_map(|said| &said.identifiers) {
            let known = self.notice(event, handle, ctx)?.and_then(|notice| notice.erased);
            let is_another = anchored && is_anchor(handle) && event.event != EventName::CustomerMerged;
            if known >= Some(erased) || is_another || event.event == EventName::CustomerSeparated {
                continue;
            }
            let id = self.id_of(&event.workspace, handle);
            let person = self.person_of(ctx, &event.workspace, id)?;
            let who = Who { handle: handle.clone(), id, person, joined: false };
            let others = anchored && !is_anchor(handle) && self.is_anchored(event, person, ctx)?;
            self.erase(event, tenant, &who, (erased, others), ctx)?;
        }
        Ok(())
    }

    /// True for a person whom an anchor stands for.
    fn is_anchored(&self, event: &Event, person: PersonId, ctx: &Context<'_>) -> Result<bool, Failure> {
        let alone = || people::handle(ctx, &tables::person(event.workspace.as_str(), person));
        let group = self.group_of(ctx, &event.workspace, person, alone)?;
        Ok(group.is_some_and(|(group, _)| is_anchor(&group.representative)))
    }

    /// Erases a person as of a stamp; `others`: the handle alone, which is somebody else's.
    fn erase(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        who: &Who,
        (stamp, others): (Stamp, bool),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let alone = || Ok(Some(who.handle.clone()));
        if let Some((mut group, mut keys)) = self.group_of(ctx, &event.workspace, who.person, alone)? {
            // Of one who was named again since, the handle alone is remembered: what is kept of them may be newer.
            if stamp != event.stamp() && people::is_newer(ctx, &keys, stamp.received_at)? {
                let key = tables::person(event.workspace.as_str(), who.id);
                return self.note(&key, stamp, is_anchor(&who.handle), ctx);
            }
            let anchored = is_anchor(&group.representative);
            if others {
                // Whose the handle is now wasn't erased: it is taken from them.
                group.handles = vec![who.handle.clone()];
                keys = vec![tables::person(event.workspace.as_str(), who.id)];
            }
            let ids: Vec<PersonId> =
                keys.iter().filter_map(|key| Some(tables::read_person(key)?.1)).collect();
            for key in &keys {
                while let Some((entry, _)) = ctx.first(ORDER_OF, key) {
                    ctx.remove(ORDER_OF, &entry)?;
                    let erased = (group.handles.as_slice(), ids.as_slice());
                    self.forget_buyer(event, tenant, (&entry[key.len()..], erased), ctx)?;
                }
                self.note(key, stamp, anchored, ctx)?;
                let known = people::forget(ctx, key)?;
                let Some((workspace, id)) = tables::read_person(key) else { continue };
                if known && id != who.person {
                    // Who comes back under the handle is somebody else.
                    self.tell_parted(event, (who.person, id), ctx)?;
                }
                // Under the ids of the other handles a forwarding record is published.
                if known || id == who.person {
                    let profile = format!("{workspace}:{id}");
                    ctx.emit(PROFILES, Some(ctx.partition()), profile.as_bytes(), None)?;
                }
            }
            self.unlink(event, &group, &keys, ctx)?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        key: &[u8],
        stamp: Stamp,
        anchored: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let mut notice: Notice = get(ctx, NOTICE, key)?.unwrap_or_default();
        if notice.erased < Some(stamp) {
            (notice.erased, notice.anchored) = (Some(stamp), anchored);
        }
        put(ctx, NOTICE, key, &notice, &mut self.stored)
    }

    fn tell_of(
        &mut self,
        event: &Event,
        person: Option<PersonId>,
        ctx: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        let key = format!("{}:{}", event.workspace, event.entity.id);
        for fact in Fact::of_event(event, person) {
            self.tell(key.as_bytes(), &fact, ctx)?;
        }
        Ok(Outcome::Published)
    }

    /// Leaves of an order what names other people and the amounts, and of what the analytics API says of those who are
    /// erased nothing.
    fn forget_buyer(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        (key, (handles, ids)): (&[u8], (&[Identifier], &[PersonId])),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(mut stored) = Stored::find(ctx, key, &mut self.stored)? else { return Ok(()) };
        let state = stored.state();
        // What it counted under them is gone with them.
        state.attached = state.attached.filter(|attached| !ids.contains(attached));
        state.others.retain(|other| !ids.contains(other));
        let told = state.sources.len();
        state.sources.retain(|space, order| !order.forget(handles) || space.source != Source::Analytics);
        let gone = state.sources.len() < told;
        let outdone = if gone { std::mem::take(&mut state.outdone) } else { BTreeSet::new() };
        let id = state.published.as_ref().map(|view| view.id.clone()).unwrap_or_default();
        // What the analytics API said may have been what linked the others.
        let Change { former, mut changed } = stored.cluster.regroup();
        changed.extend(stored.cluster.place_of_id(&id));
        changed.sort_unstable();
        changed.dedup();
        let (cluster, mut people) = (&mut stored.cluster, People::default());
        self.rearrange((event, ERASED), tenant, (cluster, &former, changed), &mut people, ctx)?;
        people.store(ctx, &mut self.stored)?;
        stored.store(ctx, &mut self.stored)?;
        for id in outdone {
            // Names that were lost to what is gone are to be had again.
            let shelf = &mut Orders { ctx, buffer: &mut self.stored };
            let mut cluster = Cluster::find(shelf, &event.workspace, &id)?;
            let Change { former, changed } = cluster.reopen(shelf)?;
            let mut people = People::default();
            self.rearrange((event, LINKED), tenant, (&mut cluster, &former, changed), &mut people, ctx)?;
            people.store(ctx, &mut self.stored)?;
            cluster.store(&mut Orders { ctx, buffer: &mut self.stored })?;
        }
        Ok(())
    }
}
