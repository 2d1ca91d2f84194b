//! Who is in which audience: kept per person, worked out anew by the very event that changes what it depends on and when
//! time may have changed it, and told as `audience.entered` and `audience.exited` (R12.4).
//!
//! Both are told at most once, and forward in the stream's time alone: what is compared is what was known before an event
//! and after it, never what the stage would have said had events come in another order. So signals are history, and how
//! transactions are cut, a replay of an event or a restart tells nothing twice. Of what a load brings, what is old and
//! what tests do (R13), membership is taken over without a word; it is left aloud. Whoever is joined with somebody is in
//! what either was in, and whoever parts takes along what they are still in: neither enters it again. Who is erased
//! leaves without a word: the fact `customer.deleted` is that word.
//!
//! The clock is the stage's own ([`crate::timers`]), in whole minutes: the one that has begun counts whole, so that an
//! order isn't yet to come where the clock of its source goes a little ahead.

use std::collections::{BTreeMap, BTreeSet};

use commerce::audience::{Audience, Membership};
use commerce::person::Kind;
use commerce::signal::{Signal, SignalName};
use commerce::{Event, EventTime, PersonId, WorkspaceId, time};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::processor::{StateStage, Tenant};
use crate::tables::{self, DUE, LINK, MEMBER, PERSON, PERSON_ORDER, get, put};
use crate::{people, timers, wide};

const MINUTE: i64 = 60 * time::SECOND;
/// An order that had to wait longer for its rate starts nothing any more: as old as an event that does (R13.2).
const LATE: i64 = 72 * 3_600 * time::SECOND;

/// What is kept of a person. Who is in nothing, and may come into nothing by waiting, has no row.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// When they are asked about again: the passage of time changes nothing before. `None`: it never does.
    until: Option<EventTime>,
    /// Since when they are in which, by the clock of the workspace.
    pub(crate) since: BTreeMap<String, EventTime>,
}

/// A handle has left one person for another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Parted {
    pub(crate) workspace: WorkspaceId,
    pub(crate) from: PersonId,
    pub(crate) to: PersonId,
}

/// What has changed who is in which audience.
#[derive(Clone, Copy)]
pub(crate) enum Cause<'a> {
    /// An event of a tenant.
    Event(&'a Event),
    /// Rates of exchange that orders had waited for.
    Rates(&'a Event),
    /// Time alone.
    Time(&'a Event),
}

/// What somebody is in now.
struct Now {
    names: BTreeSet<String>,
    until: Option<EventTime>,
    /// The newest order, for what is too late to start anything.
    last: Option<EventTime>,
    keys: Vec<Vec<u8>>,
}

type Who = (WorkspaceId, PersonId);

impl StateStage {
    /// Has those asked about again whose time has come, so many at most.
    pub(crate) fn review(
        &mut self,
        event: &Event,
        most: usize,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let workspace = &event.workspace;
        let now = clock(ctx, workspace)?;
        let prefix = tables::due(workspace.as_str(), None);
        for _ in 0..most {
            let Some((entry, _)) = ctx.first(DUE, &prefix) else { break };
            let Some((_, key)) = tables::read_due(&prefix, &entry).filter(|(at, _)| *at <= now) else {
                break;
            };
            ctx.remove(DUE, &entry)?;
            let Some((_, person)) = tables::read_person(key) else { continue };
            let who = BTreeSet::from([(workspace.clone(), person)]);
            self.compare(&who, &[], Cause::Time(event), ctx)?;
        }
        Ok(())
    }

    /// Works out anew who is in which audience, of those whom the record in hand has changed.
    pub(crate) fn settle(&mut self, cause: Cause<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let parted = std::mem::take(&mut self.parted);
        let (bought, linked) = (!ctx.touched(PERSON_ORDER).is_empty(), !ctx.touched(LINK).is_empty());
        let mut who: BTreeSet<Who> = BTreeSet::new();
        for key in ctx.touched(PERSON) {
            let Some((workspace, handle)) = tables::read_person(&key) else { continue };
            let workspace = WorkspaceId::try_new(workspace).map_err(Failure::Fatal)?;
            let has_rules = self.tenants.get(&workspace).is_some_and(|tenant| !tenant.audiences.is_empty());
            if bought || linked || has_rules || !people::is_known(ctx, &key) {
                let person = self.person_of(ctx, &workspace, handle)?;
                who.insert((workspace, person));
            }
        }
        for Parted { workspace, from, to } in &parted {
            who.insert((workspace.clone(), *from));
            who.insert((workspace.clone(), *to));
        }
        if who.is_empty() { Ok(()) } else { self.compare(&who, &parted, cause, ctx) }
    }

    /// Compares what some people are in with what they were in, tells the difference, and keeps it.
    fn compare(
        &mut self,
        who: &BTreeSet<Who>,
        parted: &[Parted],
        cause: Cause<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let mut all = BTreeMap::new();
        for (workspace, person) in who {
            let before = kept(ctx, workspace, *person)?;
            let now = self.audiences_of(workspace, *person, ctx)?;
            all.insert((workspace, *person), (before, now));
        }
        for ((workspace, person), (before, now)) in &all {
            let key = tables::person(workspace.as_str(), *person);
            let former = before.clone().unwrap_or_default();
            let Some(now) = now else {
                self.keep(ctx, (workspace, &key), former.until, None)?;
                continue;
            };
            // Who comes from somebody else was in what these were in; what a person is in no more who is only this one
            // now is theirs to leave.
            let (mut known, mut theirs) = (former.since.clone(), former.since);
            for other in parted.iter().filter(|other| other.workspace == **workspace && other.to == *person) {
                let Some((Some(other), left)) = all.get(&(*workspace, other.from)) else { continue };
                for (name, since) in &other.since {
                    let earlier = known.get(name).map_or(*since, |known| *known.min(since));
                    known.insert(name.clone(), earlier);
                    if left.is_none() {
                        theirs.insert(name.clone(), earlier);
                    }
                }
            }
            let at = EventTime(timers::now(ctx, workspace)?.0.max(0));
            let since = now.names.iter().map(|name| (name.clone(), known.get(name).copied().unwrap_or(at)));
            let until = date(former.until, now.until, clock(ctx, workspace)?);
            let next = Kept { until, since: since.collect() };
            let entered = now.names.iter().filter(|name| !known.contains_key(*name));
            let exited = theirs.keys().filter(|name| !now.names.contains(*name));
            for (name, word) in entered
                .map(|name| (name, SignalName::AudienceEntered))
                .chain(exited.map(|name| (name, SignalName::AudienceExited)))
            {
                if is_told(cause, now, at) {
                    self.tell_audience((word, name), (workspace, *person), now, cause, ctx)?;
                }
            }
            self.keep(
                ctx,
                (workspace, &key),
                former.until,
                Some(&next).filter(|next| **next != Kept::default()),
            )?;
        }
        Ok(())
    }

    fn keep(
        &mut self,
        ctx: &mut Context<'_>,
        (workspace, key): (&WorkspaceId, &[u8]),
        was_due: Option<EventTime>,
        next: Option<&Kept>,
    ) -> Result<(), Failure> {
        let due = next.and_then(|next| next.until);
        let entry = |at| tables::due(workspace.as_str(), Some((at, key)));
        if let Some(at) = was_due.filter(|at| due != Some(*at)) {
            ctx.remove(DUE, &entry(at))?;
        }
        if let Some(at) = due.filter(|at| was_due != Some(*at)) {
            ctx.put(DUE, &entry(at), &[])?;
        }
        match next {
            Some(next) => put(ctx, MEMBER, key, &next, &mut self.stored),
            None if ctx.get(MEMBER, key).is_some() => ctx.remove(MEMBER, key),
            None => Ok(()),
        }
    }

    /// What a person is in now; `None`: there is no such person, or no more.
    fn audiences_of(
        &mut self,
        workspace: &WorkspaceId,
        person: PersonId,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Now>, Failure> {
        let Some(tenant) = self.tenants.get(workspace).cloned() else { return Ok(None) };
        let alone = || people::handle(ctx, &tables::person(workspace.as_str(), person));
        let Some((kind, keys)) = self.keys_of(ctx, workspace, person, alone)? else { return Ok(None) };
        if kind > Kind::Phone {
            return Ok(None);
        }
        let now = clock(ctx, workspace)?;
        let standing = wide::standing(ctx, &keys, (tenant.base, now), &mut self.stored)?;
        let Membership { audiences, until } = standing.membership();
        let mut names = audiences.iter().map(|audience| audience.as_str().to_owned()).collect();
        if !tenant.audiences.is_empty() {
            let alone = || people::handle(ctx, &tables::person(workspace.as_str(), person));
            let group = self.group_of(ctx, workspace, person, alone)?;
            if let Some((group, keys)) = group.filter(|(group, _)| !is_test(&tenant, &group.handles)) {
                own_of(ctx, &tenant, (&group, &keys), &audiences, &mut names)?;
            }
        }
        Ok(Some(Now { names, until, last: standing.last(), keys }))
    }

    fn tell_audience(
        &mut self,
        (word, name): (SignalName, &str),
        (workspace, person): (&WorkspaceId, PersonId),
        now: &Now,
        cause: Cause<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (event, reason) = match cause {
            Cause::Event(event) => (event, event.event.as_str().replace('.', "_")),
            Cause::Rates(event) => (event, "rate_known".to_owned()),
            Cause::Time(event) => (event, "time_passed".to_owned()),
        };
        let said_by = match cause {
            Cause::Event(event) => Some(event),
            Cause::Rates(_) | Cause::Time(_) => None,
        };
        let place =
            [event.raw_partition.to_string(), event.raw_offset.to_string(), event.raw_item.to_string()];
        let which = [person.to_string(), name.to_owned(), event.event_id.clone(), place.join(":")];
        let which: Vec<&[u8]> = which.iter().map(String::as_bytes).collect();
        let environment = self.tenants.get(workspace).map(|tenant| tenant.environment.clone());
        let signal = Signal {
            signal_id: Signal::id(word, workspace, &which),
            person_id: Some(person),
            occurred_at: event.occurred_at.for_window(event.received_at),
            emitted_at: timers::now(ctx, workspace)?,
            reason,
            consent: people::consent(ctx, &now.keys)?,
            order_id: said_by.filter(|event| event.event.is_order()).map(|event| event.entity.id.clone()),
            trigger_event: said_by.map(|event| event.event),
            trigger_event_id: said_by.map(|event| event.event_id.clone()),
            trigger_source: said_by.map(|event| event.source),
            ..Signal::new(word, workspace, environment.as_deref().unwrap_or_default(), ("audience", name))
        };
        self.emit_signal(&signal, ctx)
    }
}

/// Whether a change is told, by what brought it.
fn is_told(cause: Cause<'_>, now: &Now, at: EventTime) -> bool {
    match cause {
        Cause::Event(event) => event.trigger_eligible && !event.qa,
        // Which of their orders came of a load isn't known any more; those are old.
        Cause::Rates(_) => now.last.is_some_and(|last| at.0.saturating_sub(last.0) <= LATE),
        Cause::Time(_) => true,
    }
}

/// True for staff and tests, who are in no audience.
fn is_test(tenant: &Tenant, handles: &[commerce::person::Identifier]) -> bool {
    handles.iter().any(|handle| match handle.kind {
        Kind::Email => tenant.test_accounts.contains(&handle.value),
        Kind::User => tenant.test_accounts.is_user(&handle.value),
        _ => false,
    })
}

/// Adds the audiences of the workspace's own that somebody is in.
fn own_of(
    ctx: &Context<'_>,
    tenant: &Tenant,
    (group, keys): (&commerce::identity::Group, &[Vec<u8>]),
    audiences: &BTreeSet<Audience>,
    names: &mut BTreeSet<String>,
) -> Result<(), Failure> {
    if let Some((known, _)) = people::known(ctx, group, keys)? {
        let own = tenant.audiences.iter().filter(|rule| rule.holds(&known, audiences));
        names.extend(own.map(|rule| rule.name.clone()));
    }
    Ok(())
}

/// When to ask about somebody again of whom nothing changes before `until`. A date that is still to come stays, as most
/// orders only put off when somebody lapses: to ask once in vain costs less than to move the date with each.
fn date(known: Option<EventTime>, until: Option<EventTime>, now: EventTime) -> Option<EventTime> {
    let sooner = |known: &EventTime| *known > now && until.is_some_and(|until| *known < until);
    known.filter(sooner).or(until)
}

/// What a person was in when they were last asked about.
pub(crate) fn kept(
    ctx: &Context<'_>,
    workspace: &WorkspaceId,
    person: PersonId,
) -> Result<Option<Kept>, Failure> {
    get(ctx, MEMBER, &tables::person(workspace.as_str(), person))
}

/// When somebody of a workspace is to be asked about again.
pub(crate) fn first_due(ctx: &Context<'_>, workspace: &WorkspaceId) -> Option<EventTime> {
    let prefix = tables::due(workspace.as_str(), None);
    let (entry, _) = ctx.first(DUE, &prefix)?;
    tables::read_due(&prefix, &entry).map(|(at, _)| at)
}

/// The clock of a workspace.
fn clock(ctx: &Context<'_>, workspace: &WorkspaceId) -> Result<EventTime, Failure> {
    let now = timers::now(ctx, workspace)?.0.max(0);
    Ok(EventTime(now.saturating_add(MINUTE - 1).div_euclid(MINUTE) * MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_is_to_come_stays_while_nothing_changes_before_it() {
        let at = |minute: i64| Some(EventTime(minute * MINUTE));
        let now = EventTime(10 * MINUTE);
        assert_eq!(date(at(20), at(30), now), at(20));
        assert_eq!(date(at(30), at(20), now), at(20), "something changes sooner");
        assert_eq!(date(at(10), at(30), now), at(30), "they were asked about");
        assert_eq!(date(at(20), None, now), None);
        assert_eq!(date(None, at(30), now), at(30));
    }
}
