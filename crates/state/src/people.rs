//! People: what is known of each handle, and the profile that the handles of one person make together.
//!
//! Everything is kept by the handle that stood for the person in the delivery that said it. Which handles are one person
//! is [`crate::identity`]'s affair and may change; a profile is put together from the handles when it is published, so
//! that joining and parting move nothing but the published record.

use std::collections::BTreeMap;

use commerce::event::{Channel, Consent};
use commerce::identity::Group;
use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::profile::{
    Contact, Contribution, Dated, Known, Overflow, Paid, Payments, Reported, Rollup, Share,
};
use commerce::{Event, EventTime, Money, PersonId, ReceivedTime, WorkspaceId, time};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure, Poison};

use crate::tables::{self, PERSON, PERSON_ORDER, get, put};
use crate::{identity, wide};

/// The longest contact text that is kept, in characters.
const LONGEST_TEXT: usize = 512;
/// More attributes of one person aren't kept; those that are known go on changing.
const MOST_ATTRIBUTES: usize = 300;

/// How new a statement is: its time, and its arrival where that decides between two of one time ([`Event::turn`]).
type When = (EventTime, ReceivedTime);

/// What is kept of one handle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Person {
    rollup: Rollup,
    payments: Payments,
    /// The handle itself.
    handle: Option<Identifier>,
    /// False while nothing but updates of somebody who must be known already was said of it: they wait here, so that it
    /// doesn't matter whether they are processed before or after what makes the person known.
    asserted: bool,
    email: Option<Dated>,
    phone: Option<Dated>,
    first_name: Option<Dated>,
    last_name: Option<Dated>,
    attributes: BTreeMap<String, Dated>,
    consent: BTreeMap<Channel, (When, Consent)>,
    tags: Option<(When, Vec<String>)>,
    created_at: Option<EventTime>,
    reported_count: Option<(When, i64)>,
    reported_spent: Option<(When, Money)>,
    reported_last_order: Option<EventTime>,
    as_of: i64,
    /// The newest arrival of a delivery that named them and was news. What is worked out anew of their orders without
    /// them being named raises `as_of` alone.
    named_at: i64,
}

impl Person {
    /// Takes over what a delivery says of the person: the last writer by event time wins, ties by value. True when
    /// anything changed.
    fn learn(&mut self, event: &Event, handle: &Identifier) -> bool {
        let Some(said) = &event.person else { return false };
        let mut changed = self.handle.as_ref() != Some(handle);
        if changed {
            self.handle = Some(handle.clone());
        }
        changed |= !self.asserted && !said.update_only;
        self.asserted |= !said.update_only;
        // A claim from the far future must not pin what is known for ever.
        let at =
            (said.attributes_at.unwrap_or(event.occurred_at).for_window(event.received_at), event.turn());
        // An upsert clears a name with `null`, an identifier never.
        let named = |given: &Option<String>, name: &str| {
            let cleared =
                || said.attributes.get(name).filter(|value| *value == "null").map(|_| String::new());
            given.clone().or_else(cleared)
        };
        for (known, value) in [
            (&mut self.email, said.email.clone()),
            (&mut self.phone, said.phone.clone()),
            (&mut self.first_name, named(&said.first_name, "first_name")),
            (&mut self.last_name, named(&said.last_name, "last_name")),
        ] {
            let Some(value) = value else { continue };
            changed |= write(known, at, &value);
        }
        for (name, value) in &said.attributes {
            let full = self.attributes.len() >= MOST_ATTRIBUTES;
            match self.attributes.get_mut(name) {
                Some(known) => {
                    let mut slot = Some(known.clone());
                    if write_attribute(&mut slot, name, at, value)
                        && let Some(new) = slot
                    {
                        *known = new;
                        changed = true;
                    }
                }
                None if full => {}
                None => {
                    self.attributes.insert(name.clone(), dated(at, value));
                    changed = true;
                }
            }
        }
        for consent in &said.consent {
            let since = consent.updated_at.unwrap_or(at.0).for_window(event.received_at);
            let new = ((since, at.1), Consent { updated_at: Some(since), ..consent.clone() });
            if self.consent.get(&consent.channel).is_none_or(|known| *known < new) {
                self.consent.insert(consent.channel, new);
                changed = true;
            }
        }
        if let Some(tags) = &said.tags {
            let new = (at, tags.clone());
            if self.tags.as_ref().is_none_or(|known| *known < new) {
                self.tags = Some(new);
                changed = true;
            }
        }
        if let Some(created) = said.created_at
            && self.created_at.is_none_or(|known| created < known)
        {
            self.created_at = Some(created);
            changed = true;
        }
        changed | self.learn_totals(event)
    }

    /// The newest report wins, by its own time (R11.3); of equal times the greater figure.
    fn learn_totals(&mut self, event: &Event) -> bool {
        let Some(said) = &event.person else { return false };
        let at = (said.reported_at.unwrap_or(event.occurred_at).for_window(event.received_at), event.turn());
        let before = (self.reported_count, self.reported_spent, self.reported_last_order);
        if let Some(count) = said.reported_orders_count {
            self.reported_count = self.reported_count.max(Some((at, count)));
        }
        if let Some(spent) = said.reported_total_spent {
            let newer = self
                .reported_spent
                .is_none_or(|(known_at, known)| (known_at, known.minor) < (at, spent.minor));
            if newer {
                self.reported_spent = Some((at, spent));
            }
        }
        self.reported_last_order = self.reported_last_order.max(said.reported_last_order_at);
        before != (self.reported_count, self.reported_spent, self.reported_last_order)
    }
}

fn dated((at, turn): When, value: &str) -> Dated {
    Dated { at, turn, value: value.chars().take(LONGEST_TEXT * 2).collect() }
}

fn write(known: &mut Option<Dated>, (at, turn): When, value: &str) -> bool {
    if known.as_ref().is_some_and(|known| (known.at, known.turn) > (at, turn)) {
        return false;
    }
    let new = Some(Dated { at, turn, value: value.chars().take(LONGEST_TEXT).collect() });
    let newer = new > *known;
    if newer {
        *known = new;
    }
    newer
}

/// Of two payment events of one instant the success counts (D-STR-5); everything else goes by value.
fn write_attribute(known: &mut Option<Dated>, name: &str, at: When, value: &str) -> bool {
    let new = dated(at, value);
    let newer = match known {
        None => true,
        Some(known) if (known.at, known.turn) == at && name == PAYMENT_STATUS => {
            known.value != new.value && new.value.contains("current")
        }
        Some(known) => *known < new,
    };
    if newer {
        *known = Some(new);
    }
    newer
}

const PAYMENT_STATUS: &str = "payment_status";

/// The handles that one delivery touches: each is read once and stored once.
#[derive(Default)]
pub(crate) struct People(Vec<Touched>);

struct Touched {
    key: Vec<u8>,
    person: Person,
    /// Nothing was kept under the key so far.
    is_new: bool,
    changed: bool,
    /// When a delivery came that names them, where it is that which is in hand.
    named_at: i64,
}

impl People {
    fn load(
        &mut self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        handle: PersonId,
    ) -> Result<&mut Touched, Failure> {
        let key = tables::person(workspace.as_str(), handle);
        let at = match self.0.iter().position(|touched| touched.key == key) {
            Some(at) => at,
            None => {
                let person: Option<Person> = get(ctx, PERSON, &key)?;
                let is_new = person.is_none();
                let person = person.unwrap_or_default();
                self.0.push(Touched { key, person, is_new, changed: false, named_at: 0 });
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[at])
    }

    /// Takes over what a delivery says of its person, by the handle that stands for them in it. True when that was news.
    pub(crate) fn learn(
        &mut self,
        ctx: &Context<'_>,
        event: &Event,
        (handle, id): (&Identifier, PersonId),
    ) -> Result<bool, Failure> {
        let touched = self.load(ctx, &event.workspace, id)?;
        let changed = touched.person.learn(event, handle);
        touched.named_at = event.received_at.0;
        if changed {
            touched.change(event.received_at);
        }
        Ok(changed)
    }

    /// Moves an order's contribution from the handle where it was to the one where it is.
    pub(crate) fn roll_up(
        &mut self,
        ctx: &mut Context<'_>,
        event: &Event,
        order: &[u8],
        before: (Option<PersonId>, Option<&View>),
        after: (Option<(&Identifier, PersonId)>, &View),
    ) -> Result<(), Failure> {
        let (buyer, after) = (after.0.map(|(handle, _)| handle), (after.0.map(|(_, id)| id), after.1));
        let of = |handle: Option<PersonId>, view: &View| {
            let contribution = Contribution::of(view, handle?)?;
            let share = Share::of(view, &contribution);
            Some((contribution, share))
        };
        let old = before.1.and_then(|view| of(before.0, view));
        let new = of(after.0, after.1);
        if old == new {
            return Ok(());
        }
        let mut buffer = Vec::new();
        for (entry, sign) in [(old, -1), (new, 1)] {
            let Some((contribution, share)) = entry else { continue };
            let touched = self.load(ctx, &event.workspace, contribution.person)?;
            touched.person.rollup.apply(&contribution, sign).map_err(overflow)?;
            if touched.person.handle.is_none() {
                touched.person.handle = buyer.cloned();
            }
            touched.person.asserted = true;
            touched.change(event.received_at);
            let orders = touched.person.rollup.orders_count();
            wide::list(ctx, (&touched.key, order), (&share, sign), orders, &mut buffer)?;
        }
        Ok(())
    }

    /// Adds what an event of a payment moves.
    pub(crate) fn pay(
        &mut self,
        ctx: &Context<'_>,
        event: &Event,
        handle: PersonId,
        paid: &Paid,
    ) -> Result<(), Failure> {
        let touched = self.load(ctx, &event.workspace, handle)?;
        touched.person.payments.add(paid).map_err(overflow)?;
        touched.change(event.received_at);
        Ok(())
    }

    /// Stores what was changed.
    pub(crate) fn store(mut self, ctx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        for touched in self.0.iter_mut().filter(|touched| touched.changed) {
            touched.person.named_at = touched.person.named_at.max(touched.named_at);
            put(ctx, PERSON, &touched.key, &touched.person, buffer)?;
            if touched.is_new {
                // Known from now on: who was linked with a better handle before that is found under its id, whether or
                // not both came in one transaction.
                identity::again(ctx, &touched.key)?;
            }
        }
        Ok(())
    }
}

fn overflow(error: Overflow) -> Failure {
    let reason = commerce::Reason::AmountOverflow.code();
    Failure::Poison(Poison { reason, field: None, message: error.to_string() })
}

impl Touched {
    fn change(&mut self, received_at: ReceivedTime) {
        self.changed = true;
        self.person.as_of = self.person.as_of.max(received_at.0);
    }
}

/// The handle that stands behind a key, where something is kept of it.
pub(crate) fn handle(ctx: &Context<'_>, key: &[u8]) -> Result<Option<Identifier>, Failure> {
    Ok(get::<Person>(ctx, PERSON, key)?.and_then(|person| person.handle))
}

/// True when something is kept of a handle itself.
pub(crate) fn is_known(ctx: &Context<'_>, key: &[u8]) -> bool {
    ctx.get(PERSON, key).is_some()
}

/// True when one of these handles was named by a delivery that arrived after an instant and was news.
pub(crate) fn is_newer(ctx: &Context<'_>, keys: &[Vec<u8>], than: ReceivedTime) -> Result<bool, Failure> {
    for key in keys {
        if get::<Person>(ctx, PERSON, key)?.is_some_and(|person| person.named_at > than.0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Forgets everything that is kept of a handle. False: nothing was.
pub(crate) fn forget(ctx: &mut Context<'_>, key: &[u8]) -> Result<bool, Failure> {
    wide::forget(ctx, key)?;
    let known = is_known(ctx, key);
    ctx.remove(PERSON, key)?;
    Ok(known)
}

/// What a person has agreed to.
pub(crate) fn consent(ctx: &Context<'_>, keys: &[Vec<u8>]) -> Result<Vec<Consent>, Failure> {
    let mut all = BTreeMap::new();
    for key in keys {
        let Some(person) = get::<Person>(ctx, PERSON, key)? else { continue };
        agree(&mut all, person.consent);
    }
    Ok(all.into_values().map(|(_, consent)| consent).collect())
}

/// What is known of a person, from all handles that something is kept of, but for what their orders add to the totals
/// that were reported, and for their audiences. `None`: nobody who has a profile.
pub(crate) fn known(
    ctx: &Context<'_>,
    group: &Group,
    keys: &[Vec<u8>],
) -> Result<Option<(Known, ReceivedTime)>, Failure> {
    // A browser or cart alone is nobody yet: it counts in reports, and has a profile once it is somebody's.
    if group.representative.kind > Kind::Phone {
        return Ok(None);
    }
    let mut all = Person::default();
    let mut known = Known { conflict: group.conflict, ..Known::default() };
    for key in keys {
        let Some(person) = get::<Person>(ctx, PERSON, key)? else { continue };
        let at =
            |entry: Option<(Vec<u8>, Vec<u8>)>| entry.and_then(|(order, _)| tables::placed_at(key, &order));
        let span = at(ctx.first(PERSON_ORDER, key)).zip(at(ctx.last(PERSON_ORDER, key)));
        known.span = match (known.span, span) {
            (Some(a), Some(b)) => Some((a.0.min(b.0), a.1.max(b.1))),
            (a, b) => a.or(b),
        };
        all.join(person);
    }
    if !all.asserted {
        return Ok(None);
    }
    let as_of = ReceivedTime(all.as_of);
    let value = |dated: Option<Dated>| dated.map(|d| d.value).filter(|value| !value.is_empty());
    known.contact = Contact {
        email: value(all.email),
        phone: value(all.phone),
        first_name: value(all.first_name),
        last_name: value(all.last_name),
        identifiers: group.handles.clone(),
    };
    known.rollup = all.rollup;
    known.payments = all.payments;
    known.reported = Reported {
        orders_count: all.reported_count.map(|(_, count)| count),
        orders_count_at: all.reported_count.map(|((at, _), _)| at),
        total_spent: all.reported_spent.map(|(_, spent)| spent),
        total_spent_at: all.reported_spent.map(|((at, _), _)| at),
        last_order_at: all.reported_last_order,
    };
    let attributes = all.attributes.into_iter().filter(|(_, dated)| dated.value != "null");
    known.attributes = attributes.map(|(name, dated)| (name, dated.value)).collect();
    let text = |name: &str| {
        let json = known.attributes.get(name)?;
        Some(json.trim_matches('"').to_owned())
    };
    let instant = |name: &str| text(name).and_then(|text| time::parse_iso(&text).ok()).map(|read| read.at);
    known.payment_status = text(PAYMENT_STATUS);
    known.last_payment_at = instant("last_payment_at");
    known.payment_failed_at = instant("payment_failed_at");
    known.created_at = all.created_at;
    known.consent = all.consent.into_values().map(|(_, consent)| consent).collect();
    known.tags = all.tags.map(|(_, tags)| tags).unwrap_or_default();
    Ok(Some((known, as_of)))
}

/// Takes in what was agreed to under another handle: the newest word counts.
fn agree(ours: &mut BTreeMap<Channel, (When, Consent)>, theirs: BTreeMap<Channel, (When, Consent)>) {
    for (channel, theirs) in theirs {
        if ours.get(&channel).is_none_or(|ours| *ours < theirs) {
            ours.insert(channel, theirs);
        }
    }
}

impl Person {
    /// Takes in what is known of another handle of the same person: commutative, so that their order doesn't matter.
    fn join(&mut self, other: Self) {
        self.rollup.join(other.rollup);
        self.payments.join(other.payments);
        for (ours, theirs) in [
            (&mut self.email, other.email),
            (&mut self.phone, other.phone),
            (&mut self.first_name, other.first_name),
            (&mut self.last_name, other.last_name),
        ] {
            if theirs > *ours {
                *ours = theirs;
            }
        }
        for (name, theirs) in other.attributes {
            let mut ours = self.attributes.remove(&name);
            write_attribute(&mut ours, &name, (theirs.at, theirs.turn), &theirs.value);
            if let Some(ours) = ours {
                self.attributes.insert(name, ours);
            }
        }
        agree(&mut self.consent, other.consent);
        self.tags = self.tags.take().max(other.tags);
        self.created_at = match (self.created_at, other.created_at) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.reported_count = self.reported_count.max(other.reported_count);
        let key = |spent: &Option<(When, Money)>| spent.map(|(at, money)| (at, money.minor));
        if key(&other.reported_spent) > key(&self.reported_spent) {
            self.reported_spent = other.reported_spent;
        }
        self.reported_last_order = self.reported_last_order.max(other.reported_last_order);
        self.asserted |= other.asserted;
        self.as_of = self.as_of.max(other.as_of);
    }
}
