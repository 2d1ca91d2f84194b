//! One event: join, compare, say what is new.

use std::collections::HashMap;
use std::ops::Range;

use commerce::avro::{Encoded, Write as _};
use commerce::order::{Policy, State, View, steps};
use commerce::{Currency, Event, EventName, Fact, Outcome, Reason, WorkspaceId};
use service::stage::{Letters, Parts, decode, encode_error};
use stream::{Context, Failure, Poison, Processor, Record};
use topics::{Decoder, Encoder, Topic};

use crate::people::{self, People};
use crate::tables::{ORDER, OUTCOME, PERSON, get, put};
use crate::{FACTS, LETTERS, METRICS, ORDERS, PROFILES, STAGE, outcomes};

/// More refunds than any order has; each is a fact of its own with the order before and after.
const MOST_REFUNDS: usize = 250;

/// The stage's logic.
pub struct StateStage {
    policies: HashMap<WorkspaceId, (Policy, Currency)>,
    decoder: Decoder,
    facts: Encoder,
    orders: Encoder,
    profiles: Encoder,
    metrics: Encoder,
    letters: Letters,
    value: Vec<u8>,
    stored: Vec<u8>,
    encoded: Views,
}

impl StateStage {
    /// A processor with its codecs and policies.
    pub fn new(parts: &Parts, person_key: &str) -> anyhow::Result<Self> {
        let policies = parts.workspaces.iter().map(|workspace| {
            let policy = Policy {
                workspace: workspace.id.clone(),
                precedence: workspace.source_precedence.clone(),
                person_key: person_key.to_owned(),
            };
            (workspace.id.clone(), (policy, workspace.base_currency))
        });
        Ok(Self {
            policies: policies.collect(),
            decoder: parts.schemas.decoder(),
            facts: parts.schemas.encoder(Topic::Facts)?,
            orders: parts.schemas.encoder(Topic::Orders)?,
            profiles: parts.schemas.encoder(Topic::Profiles)?,
            metrics: parts.schemas.encoder(Topic::Metrics)?,
            letters: Letters::new(parts, STAGE, LETTERS)?,
            value: Vec::new(),
            stored: Vec::new(),
            encoded: Views::default(),
        })
    }

    /// Loads the state of an event's order and the key it is stored under.
    ///
    /// Ids of two spaces of one source are different orders, even when they are equal: the later one gets the space
    /// into its key. Ids of two sources that are equal are one order (contracts R4.5).
    fn load(ctx: &Context<'_>, event: &Event) -> Result<(Vec<u8>, State), Failure> {
        let plain = format!("{}:{}", event.workspace, event.entity.id).into_bytes();
        let state: State = get(ctx, ORDER, &plain)?.unwrap_or_default();
        let foreign = state.sources.keys().any(|s| s.source == event.source && s.space != event.source_space);
        let own = state.sources.keys().any(|s| s.source == event.source && s.space == event.source_space);
        if !foreign || own {
            return Ok((plain, state));
        }
        let apart = format!("{}:{}@{}", event.workspace, event.entity.id, event.source_space).into_bytes();
        let state = get(ctx, ORDER, &apart)?.unwrap_or_default();
        Ok((apart, state))
    }

    fn order(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Outcome, Failure> {
        let Some((policy, _)) = self.policies.get(&event.workspace) else {
            return Err(poison(
                Reason::UnknownWorkspace,
                format!("workspace '{}' isn't configured", event.workspace),
            ));
        };
        self.encoded.0.clear();
        let (key, mut state) = Self::load(ctx, event)?;
        let observed = state.observe(event);
        let Some(view) = state.view(policy) else {
            return Err(poison(Reason::MissingOrderId, "an order event without an order".to_owned()));
        };
        if view.refunds.len() > MOST_REFUNDS {
            return Err(poison(
                Reason::BadValue,
                format!("the order would have {} refunds", view.refunds.len()),
            ));
        }
        let mut people = People::default();
        if let Some(person) = people::of_event(event, &policy.person_key) {
            people.learn(ctx, event, person)?;
        }
        let before = state.published.take();
        people.roll_up(ctx, event, &key, before.as_ref(), &view)?;
        people.store(ctx, &mut self.stored)?;
        let update = observed.new_version && event.event == EventName::OrderUpdated;
        let stale = observed.outcome == Outcome::Stale;
        let mut last = before.as_ref().map(|before| self.encoded.push(before));
        let facts = steps(before.as_ref(), &view, update, |step, after| {
            let range = self.encoded.push(after);
            let datum = |range: &Range<usize>| Encoded(&self.encoded.0[range.clone()]);
            let mut fact = Fact::of_step(event, step, after, (last.as_ref().map(datum), datum(&range)));
            if stale {
                fact.flags.push("stale".to_owned());
            }
            self.value.clear();
            self.facts.encode(&fact, &mut self.value).map_err(|e| encode_error(&e))?;
            ctx.emit(FACTS, Some(ctx.partition()), &key, Some(&self.value))?;
            last = Some(range);
            Ok::<_, Failure>(())
        })?;
        if let (1.., Some(range)) = (facts, last) {
            self.value.clear();
            self.orders
                .encode(&Encoded(&self.encoded.0[range]), &mut self.value)
                .map_err(|e| encode_error(&e))?;
            published(ctx.emit(ORDERS, Some(ctx.partition()), &key, Some(&self.value)), Topic::Orders, &key)?;
        }
        state.published = Some(view);
        // A delivery that was known to the last byte leaves the order as it is; facts come of a changed policy, too.
        if observed.changed || facts > 0 {
            put(ctx, ORDER, &key, &state, &mut self.stored)?;
        }
        Ok(observed.outcome)
    }
}

/// Views of the order in hand, each encoded once and written several times.
#[derive(Default)]
struct Views(Vec<u8>);

impl Views {
    fn push(&mut self, view: &View) -> Range<usize> {
        let start = self.0.len();
        view.write(&mut self.0);
        start..self.0.len()
    }
}

impl Processor for StateStage {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let event: Event = decode(&mut self.decoder, record)?;
        let outcome = if event.payload.order.is_some() {
            self.order(&event, ctx)?
        } else {
            return Err(poison(
                Reason::UnsupportedEvent,
                format!("{} has no payload that is known here", event.event),
            ));
        };
        outcomes::record(
            ctx,
            &event.workspace,
            event.source.as_str(),
            outcome,
            event.received_at,
            &mut self.stored,
        )
    }

    fn publish(&mut self, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let partition = Some(ctx.partition());
        for key in ctx.changed(PERSON) {
            let base = |workspace: &str| {
                let id = WorkspaceId::try_new(workspace).ok();
                id.and_then(|id| self.policies.get(&id)).map_or(Currency::USD, |(_, base)| *base)
            };
            let Some(profile) = people::profile(ctx, &key, base)? else { continue };
            self.value.clear();
            self.profiles.encode(&profile, &mut self.value).map_err(|e| encode_error(&e))?;
            let key = format!("{}:{}", profile.workspace, profile.person_id);
            published(
                ctx.emit(PROFILES, partition, key.as_bytes(), Some(&self.value)),
                Topic::Profiles,
                key.as_bytes(),
            )?;
        }
        for key in ctx.changed(OUTCOME) {
            let Some(count) = get(ctx, OUTCOME, &key)? else { continue };
            let Some(metric) = outcomes::metric(&key, count) else { continue };
            self.value.clear();
            self.metrics.encode(&metric, &mut self.value).map_err(|e| encode_error(&e))?;
            ctx.emit(METRICS, partition, metric.key().as_bytes(), Some(&self.value))?;
        }
        Ok(())
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (letter, outcome) = self.letters.set_aside(record, 0, poison, ctx)?;
        match (WorkspaceId::try_new(letter.workspace.as_str()), letter.received_at) {
            // The source is inside the record that couldn't be read.
            (Ok(workspace), Some(at)) => outcomes::record(ctx, &workspace, "", outcome, at, &mut self.stored),
            _ => {
                ctx.count([outcome.as_str(), outcome.detail(), ""]);
                Ok(())
            }
        }
    }
}

/// A published record that its topic can't take must not stop the stage for ever: the state is kept, the record is
/// left at its last version, and an operator is told.
fn published(result: Result<(), Failure>, topic: Topic, key: &[u8]) -> Result<(), Failure> {
    match result {
        Err(Failure::Poison(poison)) => {
            tracing::error!(
                topic = topic.name(),
                key_bytes = key.len(),
                message = poison.message,
                "a record is too large to be published and stays at its last version"
            );
            Ok(())
        }
        other => other,
    }
}

fn poison(reason: Reason, message: String) -> Failure {
    Failure::Poison(Poison { reason: reason.code(), field: None, message })
}
