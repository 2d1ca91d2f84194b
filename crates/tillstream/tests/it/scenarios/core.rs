//! The stages without Kafka: the same processors, on state in memory.

use std::sync::Arc;
use std::time::Duration;

use service::stage::{Parts, Plan, harness};
use sources::Workspaces;
use stream::{Emitted, Harness, Record};
use topics::{Decoder, Schemas, Topic};

use super::left::{KEY, Left, Said};
use super::requests::Stored;
use super::told::Scenario;

/// How a run is to go.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Each stage commits after so many deliveries.
    pub commit_every: usize,
    /// Each stage is a new one after each commit, as after a restart.
    pub restart: bool,
}

/// The three stages.
struct Stages {
    parts: Parts,
    decoder: Decoder,
    normalizer: Harness<normalizer::Normalizer>,
    state: Harness<state::StateStage>,
    aggregator: Harness<aggregator::Aggregator>,
    left: Left,
    said: Said,
}

/// What the stages need to know.
pub fn parts(scenario: &Scenario) -> Parts {
    let workspaces = Workspaces::from_configs([scenario.config()]);
    let workspaces = workspaces.unwrap_or_else(|e| panic!("{}: {e:?}", scenario.name));
    Parts { workspaces: Arc::new(workspaces), schemas: Schemas::offline(), event_partitions: 1 }
}

/// Processes the records in their order.
pub fn run(parts: &Parts, records: &[&Stored], way: Way) -> (Left, Said) {
    let mut stages = Stages::new(parts);
    for (n, stored) in records.iter().enumerate() {
        stages.process(stored);
        if n % way.commit_every == 0 || n + 1 == records.len() {
            stages.commit();
            if way.restart {
                stages.renew();
            }
        }
    }
    (stages.left, stages.said)
}

fn normalizer_of(parts: &Parts) -> normalizer::Normalizer {
    normalizer::Normalizer::new(parts).unwrap()
}

fn state_of(parts: &Parts) -> state::StateStage {
    state::StateStage::new(parts, KEY).unwrap()
}

fn aggregator_of(parts: &Parts) -> aggregator::Aggregator {
    aggregator::Aggregator::new(parts, Duration::ZERO).unwrap()
}

impl Stages {
    fn new(parts: &Parts) -> Self {
        Self {
            decoder: parts.schemas.decoder(),
            normalizer: harness(&normalizer::PLAN, normalizer_of(parts)),
            state: harness(&state::PLAN, state_of(parts)),
            aggregator: harness(&aggregator::PLAN, aggregator_of(parts)),
            parts: parts.clone(),
            left: Left::default(),
            said: Said::default(),
        }
    }

    fn renew(&mut self) {
        self.normalizer.processor = normalizer_of(&self.parts);
        self.state.processor = state_of(&self.parts);
        self.aggregator.processor = aggregator_of(&self.parts);
    }

    fn process(&mut self, stored: &Stored) {
        let mut record = Record::new(Topic::Raw.name(), 0, stored.offset, b"", &stored.body);
        for (name, value) in &stored.headers {
            record = record.with_header(name, value.as_bytes());
        }
        let emitted = self.normalizer.process(&record).unwrap();
        for (key, event) in self.take(&normalizer::PLAN, emitted) {
            let emitted = self.state.process(&Record::new(Topic::Events.name(), 0, 0, &key, &event)).unwrap();
            let facts = self.take(&state::PLAN, emitted);
            self.aggregate(facts);
        }
    }

    fn aggregate(&mut self, facts: Vec<(Vec<u8>, Vec<u8>)>) {
        for (key, fact) in facts {
            let emitted =
                self.aggregator.process(&Record::new(Topic::Facts.name(), 0, 0, &key, &fact)).unwrap();
            self.take(&aggregator::PLAN, emitted);
        }
    }

    fn commit(&mut self) {
        let published = self.state.commit(0).unwrap();
        let facts = self.take(&state::PLAN, published);
        self.aggregate(facts);
        let published = self.aggregator.commit(0).unwrap();
        self.take(&aggregator::PLAN, published);
    }

    fn take(&mut self, plan: &Plan, emitted: Vec<Emitted>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut onward = Vec::new();
        for (output, _, key, value) in emitted {
            let topic = plan.outputs[output];
            match (topic, &value) {
                // What the state stage puts back for itself is no fact.
                (Topic::Events, Some(value)) if plan.name == normalizer::PLAN.name => {
                    onward.push((key, value.clone()));
                }
                (Topic::Facts, Some(fact)) => {
                    onward.push((key.clone(), fact.clone()));
                    take(topic, &key, value.as_deref(), &mut self.decoder, (&mut self.left, &mut self.said));
                }
                _ => take(topic, &key, value.as_deref(), &mut self.decoder, (&mut self.left, &mut self.said)),
            }
        }
        onward
    }
}

/// Takes a record of a public topic.
pub fn take(
    topic: Topic,
    key: &[u8],
    value: Option<&[u8]>,
    decoder: &mut Decoder,
    (left, said): (&mut Left, &mut Said),
) {
    let name = String::from_utf8_lossy(key).into_owned();
    match (topic, value) {
        (Topic::Orders, value) => left.order(&name, value.map(|value| decoder.decode(value).unwrap())),
        (Topic::Profiles, value) => left.profile(&name, value.map(|value| decoder.decode(value).unwrap())),
        (Topic::Metrics, value) => left.metric(name, value.map(|value| decoder.decode(value).unwrap())),
        (Topic::Facts, Some(value)) => {
            let fact: commerce::Fact = decoder.decode(value).unwrap();
            said.facts.push(fact.event.to_string());
        }
        (Topic::Signals, Some(value)) => {
            let signal: commerce::Signal = decoder.decode(value).unwrap();
            said.signals.push(format!("{} {} ({})", signal.signal.as_str(), signal.target, signal.reason));
        }
        (Topic::DeadLetters, Some(value)) => {
            let letter: commerce::DeadLetter = decoder.decode(value).unwrap();
            said.letters.push(letter.reason);
        }
        // Who disagrees with whom on the way is history; what is open in the end is a metric.
        (Topic::Reconciliation, Some(value)) => {
            let _: commerce::Reconciliation = decoder.decode(value).unwrap();
        }
        (topic, value) => panic!("{topic:?} {value:?}"),
    }
}
