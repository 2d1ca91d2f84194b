//! The claim of the product, through the stages' own code and without Kafka: final orders, profiles and figures are a
//! function of the set of stamped deliveries, not of the order or the number of times in which they are processed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commerce::order::View;
use commerce::time::SECOND;
use commerce::{EventTime, Fact, Metric, Profile, ReceivedTime};
use service::stage::{Parts, Plan, harness};
use sources::{Decision, WorkspaceConfig, Workspaces};
use stream::{Emitted, Record};
use tillstream::demo::Delivery;
use tillstream::demo::shop::{Options, Shop};
use topics::{Decoder, Schemas, Topic};

const NOW: EventTime = EventTime(1_795_000_000 * SECOND);

/// A record of the raw topic.
pub struct Stored {
    offset: i64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

pub fn parts() -> Parts {
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
    Parts { workspaces: Arc::new(workspaces), schemas: Schemas::offline(), event_partitions: 1 }
}

/// The gateway's part: what is accepted, with its stamp.
pub fn store<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>, parts: &Parts) -> Vec<Stored> {
    let mut stored = Vec::new();
    for delivery in deliveries {
        let Decision::Accept(accepted) = delivery.decide(&parts.workspaces, ReceivedTime(NOW.0)).unwrap()
        else {
            continue;
        };
        let offset = i64::try_from(stored.len()).unwrap();
        let mut headers = accepted.headers;
        headers.push(("source".into(), accepted.source.to_string()));
        headers.push(("workspace".into(), accepted.workspace.to_string()));
        headers.push(("received_at".into(), ReceivedTime(NOW.0 + offset * 1000).to_rfc3339()));
        stored.push(Stored { offset, headers, body: delivery.body.clone() });
    }
    stored
}

/// What is left on the compacted topics, every fact and every dead letter.
#[derive(Default)]
pub struct Final {
    pub latest: BTreeMap<(Topic, Vec<u8>), Vec<u8>>,
    pub facts: Vec<Vec<u8>>,
    pub letters: Vec<Vec<u8>>,
}

impl Final {
    fn take(&mut self, plan: &Plan, emitted: Vec<Emitted>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut onward = Vec::new();
        for (output, _, key, value) in emitted {
            let Some(value) = value else {
                self.latest.remove(&(plan.outputs[output], key));
                continue;
            };
            match plan.outputs[output] {
                Topic::Events | Topic::Facts => onward.push((key, value)),
                // Signals are history: they depend on when something was processed.
                Topic::Signals => {}
                Topic::DeadLetters => self.letters.push(value),
                topic => {
                    self.latest.insert((topic, key), value);
                }
            }
        }
        onward
    }
}

/// Processes the records in the given order, with a commit of each stage after every few.
pub fn run(order: &[&Stored], commit_every: usize, parts: &Parts) -> Final {
    let mut normalizer = harness(&normalizer::PLAN, normalizer::Normalizer::new(parts).unwrap());
    let mut state = harness(&state::PLAN, state::StateStage::new(parts, "key").unwrap());
    let mut aggregator =
        harness(&aggregator::PLAN, aggregator::Aggregator::new(parts, Duration::ZERO).unwrap());
    let (mut done, mut events) = (Final::default(), 0..);
    for (n, stored) in order.iter().enumerate() {
        let mut record = Record::new(Topic::Raw.name(), 0, stored.offset, b"", &stored.body);
        for (name, value) in &stored.headers {
            record = record.with_header(name, value.as_bytes());
        }
        let emitted = normalizer.process(&record).unwrap();
        for (key, event) in done.take(&normalizer::PLAN, emitted) {
            let offset = events.next().unwrap();
            let record = Record::new(Topic::Events.name(), 0, offset, &key, &event);
            let emitted = state.process(&record).unwrap();
            for (key, fact) in done.take(&state::PLAN, emitted) {
                let emitted =
                    aggregator.process(&Record::new(Topic::Facts.name(), 0, 0, &key, &fact)).unwrap();
                assert!(emitted.is_empty());
                done.facts.push(fact);
            }
        }
        if n % commit_every == 0 || n + 1 == order.len() {
            let published = state.commit(0).unwrap();
            done.take(&state::PLAN, published);
            let published = aggregator.commit(0).unwrap();
            done.take(&aggregator::PLAN, published);
        }
    }
    done
}

/// The final records in a form that leaves out history: revisions and counts of outcomes.
fn settled(done: &Final, decoder: &mut Decoder) -> BTreeMap<(Topic, String), String> {
    let mut settled = BTreeMap::new();
    for ((topic, key), value) in &done.latest {
        let text = match topic {
            Topic::Orders => format!("{:?}", decoder.decode::<View>(value).unwrap()),
            Topic::Profiles => {
                let profile: Profile = decoder.decode(value).unwrap();
                // It stands where somebody was published under another id before, which is history.
                if profile.merged_into.is_some() {
                    continue;
                }
                let audiences_since = BTreeMap::new();
                format!("{:?}", Profile { as_of: ReceivedTime(0), audiences_since, ..profile })
            }
            Topic::Metrics => {
                let metric: Metric = decoder.decode(value).unwrap();
                let empty = !metric.values.is_empty() && metric.values.values().all(|v| *v == 0);
                if metric.metric == "outcomes" || empty {
                    continue;
                }
                // Actors are numbered as they are seen; how many there are is a figure.
                let metric =
                    Metric { revision: 0, corrected: false, as_of: ReceivedTime(0), members: None, ..metric };
                format!("{metric:?}")
            }
            other => panic!("{other:?}"),
        };
        settled.insert((*topic, String::from_utf8_lossy(key).into_owned()), text);
    }
    settled
}

/// A small generator of its own, so that a failing order can be had again by its seed.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut state = seed;
    for i in (1..list.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
    }
}

#[test]
fn any_processing_order_and_repetition_gives_the_same_orders_profiles_and_figures() {
    let parts = parts();
    let mut decoder = parts.schemas.decoder();
    let shop = Shop::generate(&Options { seed: 5, orders: 150, ..Options::default_at(NOW) });
    let stored = store(&shop.deliveries, &parts);
    let in_order: Vec<&Stored> = stored.iter().collect();
    let reference = settled(&run(&in_order, 7, &parts), &mut decoder);
    assert!(reference.keys().filter(|(topic, _)| *topic == Topic::Orders).count() > 100);
    for seed in 0..12 {
        let mut order = in_order.clone();
        if seed % 2 == 1 {
            order.extend(in_order.iter().copied());
        }
        shuffle(&mut order, seed);
        let got = settled(&run(&order, 1 + usize::try_from(seed).unwrap() * 5, &parts), &mut decoder);
        let other: Vec<_> = got.iter().filter(|(key, _)| !reference.contains_key(key)).collect();
        assert!(other.is_empty(), "seed {seed}: {other:?}");
        for (key, value) in &reference {
            assert_eq!(got.get(key), Some(value), "seed {seed}, {key:?}");
        }
    }
}

#[test]
fn the_facts_of_an_order_are_a_gapless_chain_that_ends_in_its_published_record() {
    let parts = parts();
    let mut decoder = parts.schemas.decoder();
    let shop = Shop::generate(&Options { seed: 6, orders: 200, ..Options::default_at(NOW) });
    let stored = store(&shop.deliveries, &parts);
    let mut order: Vec<&Stored> = stored.iter().collect();
    shuffle(&mut order, 99);
    let done = run(&order, 10, &parts);
    let mut last: BTreeMap<String, View> = BTreeMap::new();
    let mut named: BTreeMap<(String, commerce::EventName), usize> = BTreeMap::new();
    for bytes in &done.facts {
        let fact: Fact = decoder.decode(bytes).unwrap();
        if !fact.event.is_order() {
            assert!(fact.before.is_none() && fact.after.is_none(), "{}", fact.event_id);
            continue;
        }
        assert_eq!(fact.before.as_ref(), last.get(&fact.entity_id), "{}", fact.event_id);
        *named.entry((fact.entity_id.clone(), fact.event)).or_default() += 1;
        last.insert(fact.entity_id.clone(), fact.after.unwrap());
    }
    for (id, view) in &last {
        let published = &done.latest[&(Topic::Orders, format!("demo:{id}").into_bytes())];
        assert_eq!(*view, decoder.decode::<View>(published).unwrap());
        for once in [
            commerce::EventName::OrderPlaced,
            commerce::EventName::OrderPaid,
            commerce::EventName::OrderCancelled,
        ] {
            assert!(named.get(&(id.clone(), once)).copied().unwrap_or(0) <= 1, "{id} {once}");
        }
    }
}
