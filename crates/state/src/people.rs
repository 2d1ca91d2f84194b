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
    /// Takes over what a delivery says of the person: the last writer by event time wins, ties by value. True when
    /// anything changed.
    fn learn(&mut self, event: &Event) -> bool {
        let Some(said) = &event.person else { return false };
        let mut changed = false;
        for identifier in &said.identifiers {
            // The smallest ones by a fixed order, so that it doesn't matter in which order they came.
            let full = self.identifiers.len() >= MOST_IDENTIFIERS;
            if full && self.identifiers.last().is_some_and(|last| last < identifier)
                || self.identifiers.contains(identifier)
            {
                continue;
            }
            self.identifiers.insert(identifier.clone());
            if full {
                self.identifiers.pop_last();
            }
            changed = true;
        }
        // A claim from the far future must not pin what is known for ever.
        let at = event.occurred_at.for_window(event.received_at);
        for (known, value) in [
            (&mut self.email, &said.email),
            (&mut self.phone, &said.phone),
            (&mut self.first_name, &said.first_name),
            (&mut self.last_name, &said.last_name),
        ] {
            let Some(value) = value else { continue };
            if known.as_ref().is_some_and(|known| known.at > at) {
                continue;
            }
            let new = Some(Dated { at, value: value.chars().take(LONGEST_TEXT).collect() });
            if new > *known {
                *known = new;
                changed = true;
            }
        }
        changed
    }
}

/// The person that a delivery itself names: a function of the delivery alone.
pub(crate) fn of_event(event: &Event, key: &str) -> Option<PersonId> {
    let said = event.person.as_ref()?;
    Some(PersonId::derive(key, &event.workspace, representative(&said.identifiers)?))
}

/// The people that one delivery touches: each is read once and stored once.
#[derive(Default)]
pub(crate) struct People(Vec<Touched>);

struct Touched {
    key: Vec<u8>,
    person: Person,
    changed: bool,
}

impl People {
    fn load(
        &mut self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        id: PersonId,
    ) -> Result<&mut Touched, Failure> {
        let key = tables::person(workspace.as_str(), id);
        let at = match self.0.iter().position(|touched| touched.key == key) {
            Some(at) => at,
            None => {
                let person = get(ctx, PERSON, &key)?.unwrap_or_default();
                self.0.push(Touched { key, person, changed: false });
                self.0.len() - 1
            }
        };
        Ok(&mut self.0[at])
    }

    /// Takes over what a delivery says of its person. True when that was news.
    pub(crate) fn learn(
        &mut self,
        ctx: &Context<'_>,
        event: &Event,
        person: PersonId,
    ) -> Result<bool, Failure> {
        let touched = self.load(ctx, &event.workspace, person)?;
        let changed = touched.person.learn(event);
        if changed {
            touched.change(event.received_at);
        }
        Ok(changed)
    }

    /// Moves an order's contribution from where it was to where it is.
    pub(crate) fn roll_up(
        &mut self,
        ctx: &mut Context<'_>,
        event: &Event,
        order: &[u8],
        before: Option<&View>,
        after: &View,
    ) -> Result<(), Failure> {
        let (old, new) = (before.and_then(Contribution::of), Contribution::of(after));
        if old == new {
            return Ok(());
        }
        for (contribution, sign) in [(old, -1), (new, 1)] {
            let Some(contribution) = contribution else { continue };
            let touched = self.load(ctx, &event.workspace, contribution.person)?;
            touched.person.rollup.apply(&contribution, sign).map_err(|e| {
                let reason = commerce::Reason::AmountOverflow.code();
                Failure::Poison(Poison { reason, field: None, message: e.to_string() })
            })?;
            touched.change(event.received_at);
            let index = tables::person_order(&touched.key, contribution.placed_at, order);
            if sign < 0 {
                ctx.remove(PERSON_ORDER, &index)?;
            } else {
                ctx.put(PERSON_ORDER, &index, &[])?;
            }
        }
        Ok(())
    }

    /// Stores who was changed.
    pub(crate) fn store(self, ctx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        self.0
            .iter()
            .filter(|touched| touched.changed)
            .try_for_each(|touched| put(ctx, PERSON, &touched.key, &touched.person, buffer))
    }
}

impl Touched {
    fn change(&mut self, received_at: ReceivedTime) {
        self.changed = true;
        self.person.as_of = self.person.as_of.max(received_at.0);
    }
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
