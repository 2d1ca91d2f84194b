//! All events through the logic of the stages, as if they came for the first time.

use std::collections::HashMap;

use anyhow::anyhow;
use service::Config;
use service::stage::{Parts, Plan, harness};
use stream::{Emitted, Failure, Harness, Record};
use topics::{SchemaRegistry, Schemas, Topic};

use super::COMPARED;
use super::cut::Key;

/// So many events make a transaction while nothing is published between them.
const TRANSACTION: usize = 2_000;

/// What the events say of each key.
#[derive(Default)]
pub(super) struct Computed {
    /// Its record, or that there is none any more.
    pub(super) latest: HashMap<Key, Option<Vec<u8>>>,
    /// Of a key that moved while the audit ran: all that it was from then on.
    pub(super) moved: HashMap<Key, Vec<Option<Vec<u8>>>>,
}

impl Computed {
    fn note(&mut self, topic: Topic, key: Vec<u8>, value: Option<Vec<u8>>, is_settled: bool) {
        let key = (topic, key);
        if !is_settled {
            let before = || vec![self.latest.get(&key).cloned().flatten()];
            self.moved.entry(key.clone()).or_insert_with(before).push(value.clone());
        }
        self.latest.insert(key, value);
    }
}

/// The two stages of one partition.
struct Task {
    state: Harness<state::StateStage>,
    aggregator: Harness<aggregator::Aggregator>,
    pending: usize,
}

/// The stages, and what they made so far.
pub(super) struct Fold<'a> {
    config: &'a Config,
    parts: Parts,
    tasks: HashMap<i32, Task>,
    computed: Computed,
}

impl<'a> Fold<'a> {
    /// Nothing yet. Asks the registry for the schemas.
    pub(super) fn new(config: &'a Config) -> anyhow::Result<Self> {
        let registry = SchemaRegistry::new(&config.registry.url, std::time::Duration::from_secs(10))?;
        let mut fold = Self::with(config, Schemas::lookup(&registry)?)?;
        let published =
            service::policy::read(&service::kafka::client_config(config), &fold.parts.schemas, &|| false)?;
        fold.parts.workspaces = service::policy::settle(&fold.parts.workspaces, &published)?.into();
        Ok(fold)
    }

    /// The same with schemas that are known.
    pub(super) fn with(config: &'a Config, schemas: Schemas) -> anyhow::Result<Self> {
        let workspaces = config.workspaces().map_err(|mistakes| anyhow!(mistakes.join("; ")))?;
        let parts = Parts { workspaces: workspaces.into(), schemas, event_partitions: 1 };
        Ok(Self { config, parts, tasks: HashMap::new(), computed: Computed::default() })
    }

    /// Takes the next event of a partition. `is_settled`: all that is published has it.
    pub(super) fn take(&mut self, record: &Record<'_>, is_settled: bool) -> anyhow::Result<()> {
        let task = match self.tasks.entry(record.partition) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                new.insert(Task::new(self.config, &self.parts)?)
            }
        };
        if !is_settled && task.pending > 0 {
            // What follows may be published or not: what went before is.
            task.commit(record.partition, true, &mut self.computed)?;
        }
        task.take(record, is_settled, &mut self.computed)?;
        if !is_settled || task.pending >= TRANSACTION {
            task.commit(record.partition, is_settled, &mut self.computed)?;
        }
        Ok(())
    }

    /// What the events say.
    pub(super) fn end(mut self) -> anyhow::Result<Computed> {
        for (partition, task) in &mut self.tasks {
            task.commit(*partition, true, &mut self.computed)?;
        }
        Ok(self.computed)
    }
}

impl Task {
    fn new(config: &Config, parts: &Parts) -> anyhow::Result<Self> {
        Ok(Self {
            state: harness(&state::PLAN, state::processor(config, parts)?),
            aggregator: harness(&aggregator::PLAN, aggregator::processor(config, parts)?),
            pending: 0,
        })
    }

    fn take(
        &mut self,
        record: &Record<'_>,
        is_settled: bool,
        computed: &mut Computed,
    ) -> Result<(), Failure> {
        self.pending += 1;
        let emitted = self.state.process(record)?;
        for (key, fact) in note(&state::PLAN, emitted, is_settled, computed) {
            let fact = Record::new(Topic::Facts.name(), record.partition, 0, &key, &fact)
                .with_timestamp(record.timestamp_millis);
            let emitted = self.aggregator.process(&fact)?;
            note(&aggregator::PLAN, emitted, is_settled, computed);
            if !is_settled {
                // The aggregator may have come as far as any of the facts of an event.
                let published = self.aggregator.commit(record.partition)?;
                note(&aggregator::PLAN, published, is_settled, computed);
            }
        }
        Ok(())
    }

    fn commit(&mut self, partition: i32, is_settled: bool, computed: &mut Computed) -> Result<(), Failure> {
        self.pending = 0;
        note(&state::PLAN, self.state.commit(partition)?, is_settled, computed);
        note(&aggregator::PLAN, self.aggregator.commit(partition)?, is_settled, computed);
        Ok(())
    }
}

/// Notes what is compared, and gives the facts.
fn note(
    plan: &Plan,
    emitted: Vec<Emitted>,
    is_settled: bool,
    computed: &mut Computed,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut facts = Vec::new();
    for (output, _, key, value) in emitted {
        match (plan.outputs.get(output), value) {
            (Some(Topic::Facts), Some(fact)) => facts.push((key, fact)),
            (Some(topic), value) if COMPARED.contains(topic) => computed.note(*topic, key, value, is_settled),
            _ => {}
        }
    }
    facts
}
