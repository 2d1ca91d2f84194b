//! People: contact data and the rollups of their orders.

use std::collections::BTreeSet;

use commerce::order::View;
use commerce::person::{Identifier, representative};
use commerce::profile::{Contact, Contribution, Dated, Rollup};
use commerce::{Currency, Event, PersonId, Profile, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure, Poison};

use crate::tables::{self, PERSON, PERSON_ORDER, get, put};

/// A person has a handful of identifiers. One who has more is a till, a marketplace or an attack, and must not grow
/// beyond what a topic takes.
const MOST_IDENTIFIERS: usize = 200;
/// The longest contact text that is kept, in characters.
const LONGEST_TEXT: usize = 512;

/// What is kept of one person.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Person {
    rollup: Rollup,
    identifiers: BTreeSet<Identifier>,
    email: Option<Dated>,
    phone: Option<Dated>,
    first_name: Option<Dated>,
    last_name: Option<Dated>,
    as_of: i64,
}

impl Person {
    /// Takes over what a delivery says of the person: the last writer by event time wins, ties by value.
    fn learn(&mut self, event: &Event) {
        let Some(said) = &event.person else { return };
        self.identifiers.extend(said.identifiers.iter().cloned());
        // The smallest ones by a fixed order, so that it doesn't matter in which order they came.
        while self.identifiers.len() > MOST_IDENTIFIERS {
            self.identifiers.pop_last();
        }
        for (known, value) in [
            (&mut self.email, &said.email),
            (&mut self.phone, &said.phone),
            (&mut self.first_name, &said.first_name),
            (&mut self.last_name, &said.last_name),
        ] {
            // A claim from the far future must not pin what is known for ever.
            let at = event.occurred_at.for_window(event.received_at);
            let new =
                value.as_ref().map(|value| Dated { at, value: value.chars().take(LONGEST_TEXT).collect() });
            if new > *known {
                *known = new;
            }
        }
    }
}

/// The person that a delivery itself names: a function of the delivery alone.
pub(crate) fn of_event(event: &Event, key: &str) -> Option<PersonId> {
    let said = event.person.as_ref()?;
    Some(PersonId::derive(key, &event.workspace, representative(&said.identifiers)?))
}

/// Records what a delivery says of its person.
pub(crate) fn learn(
    ctx: &mut Context<'_>,
    event: &Event,
    person: PersonId,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let key = tables::person(event.workspace.as_str(), person);
    let known: Option<Person> = get(ctx, PERSON, &key)?;
    let mut now = known.clone().unwrap_or_default();
    now.learn(event);
    if known.as_ref() == Some(&now) {
        return Ok(());
    }
    now.as_of = now.as_of.max(event.received_at.0);
    put(ctx, PERSON, &key, &now, buffer)
}

/// Moves an order's contribution from where it was to where it is.
pub(crate) fn roll_up(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    order: &[u8],
    before: Option<&View>,
    after: &View,
    received_at: ReceivedTime,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let (old, new) = (before.and_then(Contribution::of), Contribution::of(after));
    if old == new {
        return Ok(());
    }
    for (contribution, sign) in [(old, -1), (new, 1)] {
        let Some(contribution) = contribution else { continue };
        let key = tables::person(workspace.as_str(), contribution.person);
        let mut person: Person = get(ctx, PERSON, &key)?.unwrap_or_default();
        person.rollup.apply(&contribution, sign).map_err(|e| {
            let reason = commerce::Reason::AmountOverflow.code();
            Failure::Poison(Poison { reason, field: None, message: e.to_string() })
        })?;
        person.as_of = person.as_of.max(received_at.0);
        put(ctx, PERSON, &key, &person, buffer)?;
        let index = tables::person_order(&key, contribution.placed_at, order);
        if sign < 0 {
            ctx.remove(PERSON_ORDER, &index)?;
        } else {
            ctx.put(PERSON_ORDER, &index, &[])?;
        }
    }
    Ok(())
}

/// The published form of a person.
pub(crate) fn profile(
    ctx: &Context<'_>,
    key: &[u8],
    base: impl Fn(&str) -> Currency,
) -> Result<Option<Profile>, Failure> {
    let Some((workspace, id)) = tables::read_person(key) else { return Ok(None) };
    let Some(person) = get::<Person>(ctx, PERSON, key)? else { return Ok(None) };
    let workspace = WorkspaceId::try_new(workspace).map_err(Failure::Fatal)?;
    let at = |entry: Option<(Vec<u8>, Vec<u8>)>| entry.and_then(|(found, _)| tables::placed_at(key, &found));
    let span = at(ctx.first(PERSON_ORDER, key)).zip(at(ctx.last(PERSON_ORDER, key)));
    let value = |dated: &Option<Dated>| dated.as_ref().map(|d| d.value.clone());
    let contact = Contact {
        email: value(&person.email),
        phone: value(&person.phone),
        first_name: value(&person.first_name),
        last_name: value(&person.last_name),
        identifiers: person.identifiers.into_iter().collect(),
    };
    let base = base(workspace.as_str());
    Ok(Some(Profile::new(workspace, id, contact, &person.rollup, base, span, ReceivedTime(person.as_of))))
}
