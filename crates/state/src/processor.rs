//! One event: join, compare, say what is new.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use commerce::audience::rule::Rule;
use commerce::letter::WHOLE;
use commerce::profile::Since;
use commerce::{
    Currency, DuplicateLevel, Event, EventName, Outcome, PersonId, Profile, Reason, ReceivedTime, WorkspaceId,
};
use service::stage::{Letters, Parts, decode, encode_error};
use sources::TestAccounts;
use stream::{Context, Failure, Poison, Processor, Record};
use topics::{Decoder, Encoder, Topic};

use crate::audience::{Cause, Parted};
use crate::ids::Ids;
use crate::order::Views;
use crate::policy::Versions;
use crate::privacy::Leave;
use crate::replenishment::Replenished;
use crate::seen::{self, Seen};
use crate::tables::{self, DISAGREED, OUTCOME, USAGE, get};
use crate::{LETTERS, METRICS, PROFILES, STAGE, audience, baskets, outcomes, people, wide};

/// As many timers fire per event at most, so that a pile of them can't hold up what comes in.
const MOST_FIRED: usize = 16;
/// As many people are asked about again per event at most, so that a clock that leaps holds nobody up.
const MOST_REVIEWED: usize = 50;

/// The stage's logic.
pub struct StateStage {
    pub(crate) tenants: HashMap<WorkspaceId, Arc<Tenant>>,
    pub(crate) person_key: String,
    pub(crate) ids: RefCell<Ids>,
    decoder: Decoder,
    pub(crate) facts: Encoder,
    pub(crate) orders: Encoder,
    profiles: Encoder,
    metrics: Encoder,
    pub(crate) signals: Encoder,
    pub(crate) events: Encoder,
    pub(crate) reconciliation: Encoder,
    pub(crate) letters: Letters,
    pub(crate) value: Vec<u8>,
    pub(crate) stored: Vec<u8>,
    pub(crate) encoded: Views,
    /// Who has become somebody else by the record in hand.
    pub(crate) parted: Vec<Parted>,
    /// The record in hand under the id of the order that it means, where that isn't its own: see [`crate::reuse`].
    pub(crate) meant: Option<Event>,
    /// The last tick that was written of each workspace, see [`crate::tick`]. A stage that has just started knows of
    /// none: one more than needed says nothing new.
    pub(crate) ticks: HashMap<WorkspaceId, ReceivedTime>,
}

/// What the stage needs to know of a workspace.
#[derive(Clone)]
pub(crate) struct Tenant {
    /// Its policy, as far as the stream was read.
    pub(crate) versions: Arc<Versions>,
    /// The same in all versions.
    pub(crate) base: Currency,
    /// `production`, `staging`, …
    pub(crate) environment: String,
    /// Products that are bought again.
    pub(crate) replenished: Vec<Replenished>,
    /// Audiences of its own.
    pub(crate) audiences: Vec<Rule>,
    /// Staff and tests, who are in no audience.
    pub(crate) test_accounts: TestAccounts,
}

impl StateStage {
    /// A processor with its codecs and policies.
    pub fn new(parts: &Parts, person_key: &str) -> anyhow::Result<Self> {
        let tenants = parts.workspaces.iter().map(|workspace| {
            let versions = Arc::new(Versions::first(&workspace.id, &workspace.rules));
            let replenished = workspace.replenishment.iter().map(|product| Replenished {
                product: product.product_id.clone(),
                variant: product.variant_id.clone(),
                days: product.days,
            });
            let replenished = replenished.collect();
            let audiences = workspace.audiences.clone();
            let tenant = Tenant {
                versions,
                base: workspace.base_currency,
                environment: workspace.environment.clone(),
                replenished,
                audiences,
                test_accounts: workspace.test_accounts.clone(),
            };
            (workspace.id.clone(), Arc::new(tenant))
        });
        Ok(Self {
            tenants: tenants.collect(),
            person_key: person_key.to_owned(),
            ids: RefCell::default(),
            decoder: parts.schemas.decoder(),
            facts: parts.schemas.encoder(Topic::Facts)?,
            orders: parts.schemas.encoder(Topic::Orders)?,
            profiles: parts.schemas.encoder(Topic::Profiles)?,
            metrics: parts.schemas.encoder(Topic::Metrics)?,
            signals: parts.schemas.encoder(Topic::Signals)?,
            events: parts.schemas.encoder(Topic::Events)?,
            reconciliation: parts.schemas.encoder(Topic::Reconciliation)?,
            letters: Letters::new(parts, STAGE, LETTERS)?,
            value: Vec::new(),
            stored: Vec::new(),
            encoded: Views::default(),
            parted: Vec::new(),
            meant: None,
            ticks: HashMap::new(),
        })
    }
}

impl StateStage {
    /// Brings an event to its outcome.
    fn handle(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Outcome, Failure> {
        let Some(tenant) = self.tenant(&event.workspace, ctx)? else {
            let message = format!("workspace '{}' isn't configured", event.workspace);
            return Err(poison(Reason::UnknownWorkspace, message));
        };
        let named = tenant.versions.at(event.received_at).without_blocked(event);
        let event = named.as_ref().unwrap_or(event);
        self.pass_time(event, MOST_FIRED, ctx)?;
        self.review(event, MOST_REVIEWED, ctx)?;
        if event.fraud.as_ref().is_some_and(|fraud| fraud.severity >= 2) {
            self.tell_blocked(event, ctx)?;
            return Ok(Outcome::Filtered(Reason::FraudBlocked));
        }
        let joined = event.payload.order.is_some();
        if event.event.is_order() != joined {
            let message = format!("{} has no payload that is known here", event.event);
            return Err(poison(Reason::UnsupportedEvent, message));
        }
        let (without, corrected);
        let leave = self.leave(event, &tenant, ctx)?;
        let left_out = matches!(leave, Leave::Amounts);
        let mut event = match leave {
            Leave::Whole => event,
            Leave::Without(handles) => {
                let mut person = event.person.clone();
                if let Some(person) = &mut person {
                    person.identifiers.retain(|handle| !handles.contains(handle));
                    person.absorbed.retain(|handle| !handles.contains(handle));
                }
                without = Event { person, ..event.clone() };
                &without
            }
            Leave::Amounts => {
                without = Event { person: None, ..event.clone() };
                &without
            }
            Leave::Nothing(reason) => return Ok(Outcome::Filtered(reason)),
        };
        // The join finds repetitions itself. It is asked about keys that a sender chose alone: such a key may come
        // with another body, and then the first body stands.
        if !joined || event.keys.content.is_some() {
            match seen::look(ctx, event, &mut self.stored)? {
                Seen::New => {}
                Seen::Corrected => {
                    corrected = seen::corrected(event);
                    event = &corrected;
                }
                Seen::Again(level) if joined && level != DuplicateLevel::Transport => {}
                Seen::Again(level) => return Ok(Outcome::Duplicate(level)),
                Seen::OtherBody => {
                    return Err(Failure::Poison(Poison {
                        reason: Reason::IdempotencyBodyMismatch.code(),
                        field: Some("Idempotency-Key".to_owned()),
                        message: "the key came before with another body, which stands".to_owned(),
                    }));
                }
            }
        }
        let outcome = if joined {
            let meant = self.reused(event, &tenant.versions, ctx)?;
            let of = meant.as_ref().unwrap_or(event);
            let outcome = self.order(of, &tenant, ctx)?;
            self.note_bought(of, &tenant.versions, ctx)?;
            self.meant = meant;
            outcome
        } else {
            self.moment((event, left_out), &tenant, ctx)?
        };
        self.tell_flagged(event, outcome, ctx)?;
        Ok(outcome)
    }
}

impl StateStage {
    /// The published form of a person.
    fn profile(
        &mut self,
        ctx: &mut Context<'_>,
        workspace: WorkspaceId,
        person: PersonId,
    ) -> Result<Option<Profile>, Failure> {
        let alone = || people::handle(ctx, &tables::person(workspace.as_str(), person));
        let Some((group, keys)) = self.group_of(ctx, &workspace, person, alone)? else { return Ok(None) };
        let Some((mut known, as_of)) = people::known(ctx, &group, &keys)? else { return Ok(None) };
        let base = self.tenants.get(&workspace).map_or(Currency::USD, |tenant| tenant.base);
        if let Some(since) = Since::of(&known.reported, base) {
            known.later = wide::later(ctx, &keys, &since, &mut self.stored)?;
        }
        known.audiences = audience::kept(ctx, &workspace, person)?.unwrap_or_default().since;
        Ok(Some(Profile::new(workspace, person, known, base, as_of)))
    }

    fn publish_profile(&mut self, ctx: &mut Context<'_>, profile: &Profile) -> Result<(), Failure> {
        self.value.clear();
        self.profiles.encode(profile, &mut self.value).map_err(|e| encode_error(&e))?;
        let key = format!("{}:{}", profile.workspace, profile.person_id).into_bytes();
        let emitted = ctx.emit(PROFILES, Some(ctx.partition()), &key, Some(&self.value));
        published(emitted, Topic::Profiles, &key)
    }
}

impl Processor for StateStage {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let event: Event = decode(&mut self.decoder, record)?;
        self.parted.clear();
        self.meant = None;
        // Of no tenant, or of none who has sent it: not counted among what tenants have sent.
        let own = match event.event {
            EventName::FxRatesPublished => Some(self.rates(record, &event, ctx)?),
            EventName::TimePassed => Some(self.ticked(&event, ctx)?),
            _ => None,
        };
        if let Some(outcome) = own {
            ctx.count([outcome.as_str(), outcome.detail(), ""]);
            return Ok(());
        }
        if event.event == EventName::PolicyPublished {
            let outcome = self.policy(&event, ctx)?;
            self.settle(Cause::Event(&event), ctx)?;
            ctx.count([outcome.as_str(), outcome.detail(), ""]);
            return Ok(());
        }
        let outcome = match self.handle(&event, ctx)? {
            // What a delivery brings along isn't a delivery: duplicates are counted by what was sent.
            Outcome::Duplicate(_) if event.raw_part > 0 => Outcome::Filtered(Reason::NothingNew),
            outcome => outcome,
        };
        let meant = self.meant.take();
        self.settle(Cause::Event(meant.as_ref().unwrap_or(&event)), ctx)?;
        outcomes::use_up(ctx, &event, outcome, &mut self.stored)?;
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
        baskets::note_closed(ctx)?;
        let changed = self.changed_people(ctx)?;
        for (workspace, person) in changed.people {
            if let Some(profile) = self.profile(ctx, workspace.clone(), person)? {
                self.publish_profile(ctx, &profile)?;
            } else if changed.relinked.contains(&(workspace.clone(), person)) {
                // Who stood for others alone, and doesn't any more, has no record.
                let key = format!("{workspace}:{person}");
                ctx.emit(PROFILES, partition, key.as_bytes(), None)?;
            }
        }
        for (workspace, from, to) in changed.forwarded {
            let base = self.tenants.get(&workspace).map_or(Currency::USD, |tenant| tenant.base);
            let profile = Profile::forwarding(workspace, from, to, base, ReceivedTime(0));
            self.publish_profile(ctx, &profile)?;
        }
        let counted = [
            (OUTCOME, outcomes::metric as fn(&[u8], _) -> _),
            (USAGE, outcomes::usage),
            (DISAGREED, outcomes::disagreements),
        ];
        for (table, metric) in counted {
            for key in ctx.changed(table) {
                let Some(count) = get(ctx, table, &key)? else { continue };
                let Some(metric) = metric(&key, count) else { continue };
                self.value.clear();
                self.metrics.encode(&metric, &mut self.value).map_err(|e| encode_error(&e))?;
                ctx.emit(METRICS, partition, metric.key().as_bytes(), Some(&self.value))?;
            }
        }
        Ok(())
    }

    fn wakes_at(&self, ctx: &Context<'_>) -> Result<Option<i64>, Failure> {
        self.first_due(ctx)
    }

    fn wake(&mut self, now: i64, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.tick(ReceivedTime(now), ctx)
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (letter, outcome) = self.letters.set_aside(record, WHOLE, poison, ctx)?;
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
pub(crate) fn published(result: Result<(), Failure>, topic: Topic, key: &[u8]) -> Result<(), Failure> {
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

pub(crate) fn poison(reason: Reason, message: String) -> Failure {
    Failure::Poison(Poison { reason: reason.code(), field: None, message })
}
