//! The state stage: joins what deliveries say into orders and people, and says each fact once.
//!
//! | in | out |
//! |---|---|
//! | `commerce.events.v1` | `commerce.facts.v1`: each fact once, with the order before and after |
//! | | `commerce.orders.v1`, `commerce.profiles.v1`: compacted, one record per order and per person |
//! | | `commerce.signals.v1`: what a sender of messages should start or stop, each once |
//! | | `commerce.reconciliation.v1`: where sources disagree about one order, once per change of it |
//! | | `commerce.metrics.v1`: `outcomes`, how many items ended how, kept with the state |
//! | | `commerce.dead-letters.v1`: events that can't be read |
//! | | `commerce.events.v1`: rates of exchange once more, while orders are left that waited for them; that time has passed, where something is due and nothing comes |
//!
//! A commit promises that an order, its person, its facts and the mark "this delivery is known" are visible together
//! or not at all. A person who asked to be forgotten is gone from all of these with the fact `customer.deleted`; their
//! orders stay as amounts without a person. Everything of a workspace is in one partition, so linking and moving is local and atomic.

mod abandonment;
mod audience;
mod automations;
mod baskets;
mod fx;
mod handles;
mod identity;
mod ids;
mod linked;
mod moment;
mod order;
mod outcomes;
mod payments;
mod people;
mod policy;
mod privacy;
mod processor;
mod reconciliation;
mod replenishment;
mod reuse;
mod seen;
mod shelf;
mod signals;
mod tables;
mod tick;
mod timers;
mod wide;

pub use processor::StateStage;

use service::stage::{Parts, Plan, Upstream};
use service::{Config, Metrics, Readiness, Shutdown};
use topics::Topic;

pub(crate) const STAGE: &str = "state";
pub(crate) const FACTS: usize = 0;
pub(crate) const ORDERS: usize = 1;
pub(crate) const PROFILES: usize = 2;
pub(crate) const METRICS: usize = 3;
pub(crate) const LETTERS: usize = 4;
pub(crate) const SIGNALS: usize = 5;
pub(crate) const RECONCILIATION: usize = 6;
pub(crate) const EVENTS: usize = 7;

/// What the stage reads, keeps and writes.
pub const PLAN: Plan = Plan {
    name: STAGE,
    input: Topic::Events,
    changelog: Topic::StateChangelog,
    outputs: &[
        Topic::Facts,
        Topic::Orders,
        Topic::Profiles,
        Topic::Metrics,
        Topic::DeadLetters,
        Topic::Signals,
        Topic::Reconciliation,
        Topic::Events,
    ],
    tables: &tables::ALL,
    storage: |config| {
        let kept = &config.state;
        service::stage::storage(kept.store, kept.folder.as_deref(), kept.cache, kept.write_buffer)
    },
    lane_per_second: |_| None,
    wake: |config| {
        let every = config.state.tick.0;
        let upstream = Upstream { every, stage: "normalizer", topic: Topic::Raw, has_lane: true };
        Some(upstream).filter(|_| !every.is_zero())
    },
};

/// Runs the service until the shutdown. Blocks.
pub fn run(
    config: &Config,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    if config.state.person_id_key.is_none() {
        tracing::warn!(
            "state.person_id_key isn't set: person ids can be guessed from e-mails, fine for development only"
        );
    }
    let settings = config.state.stage();
    service::stage::run(&PLAN, config, settings, metrics, readiness, shutdown, &|parts| {
        Ok(Box::new(processor(config, parts)?))
    })
}

/// The stage's logic as the service runs it.
pub fn processor(config: &Config, parts: &Parts) -> anyhow::Result<StateStage> {
    StateStage::new(
        parts,
        config.state.person_id_key.as_deref().unwrap_or(commerce::PersonId::DEVELOPMENT_KEY),
    )
}
