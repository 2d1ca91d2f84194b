//! Fold and comparison without Kafka: what is published is what the same fold made of fewer, or of all, events.

use std::collections::HashMap;

use commerce::time::SECOND;
use commerce::{EventTime, ReceivedTime};
use service::Config;
use service::stage::{Parts, harness};
use sources::{Decision, WorkspaceConfig};
use stream::Record;
use topics::{Schemas, Topic};

use super::compare::{Comparison, compare};
use super::cut::Key;
use super::fold::{Computed, Fold};
use crate::demo::shop::{Options, Shop};
use crate::tail::Reader;

const NOW: EventTime = EventTime(1_795_000_000 * SECOND);

fn config() -> Config {
    let mut config = Config::load(None, vec![]).unwrap();
    config.workspaces = vec![WorkspaceConfig::development()];
    config
}

/// The events of a small shop: key and value.
fn events(config: &Config) -> Vec<(Vec<u8>, Vec<u8>)> {
    let workspaces = std::sync::Arc::new(config.workspaces().unwrap());
    let parts = Parts { workspaces, schemas: Schemas::offline(), event_partitions: 1 };
    let mut harness = harness(&normalizer::PLAN, normalizer::Normalizer::new(&parts).unwrap());
    let mut events = Vec::new();
    let shop = Shop::generate(&Options { orders: 60, ..Options::default_at(NOW) });
    for (offset, delivery) in (0_i64..).zip(&shop.deliveries) {
        let received_at = ReceivedTime(NOW.0 + offset * 1000);
        let Decision::Accept(accepted) = delivery.decide(&parts.workspaces, received_at).unwrap() else {
            continue;
        };
        let (source, workspace) = (accepted.source.to_string(), accepted.workspace.to_string());
        let stamp = received_at.to_rfc3339();
        let own = [("source", &source), ("workspace", &workspace), ("received_at", &stamp)];
        let mut record = Record::new(Topic::Raw.name(), 0, offset, b"", &delivery.body);
        for (name, value) in own {
            record = record.with_header(name, value.as_bytes());
        }
        for (name, value) in &accepted.headers {
            record = record.with_header(name, value.as_bytes());
        }
        let emitted = harness.process(&record).unwrap();
        let is_event = |output: usize| normalizer::PLAN.outputs[output] == Topic::Events;
        events.extend(
            emitted.into_iter().filter(|e| is_event(e.0)).map(|(_, _, key, value)| (key, value.unwrap())),
        );
    }
    events
}

/// What the events come to; all but the first `settled` came while the audit ran.
fn fold(config: &Config, events: &[(Vec<u8>, Vec<u8>)], settled: usize) -> Computed {
    let mut fold = Fold::with(config, Schemas::offline()).unwrap();
    for (place, (key, value)) in events.iter().enumerate() {
        let record = Record::new(Topic::Events.name(), 0, i64::try_from(place).unwrap(), key, value);
        fold.take(&record, place < settled).unwrap();
    }
    fold.end().unwrap()
}

fn published(computed: &Computed) -> HashMap<Key, Vec<u8>> {
    computed.latest.iter().filter_map(|(key, value)| Some((key.clone(), value.clone()?))).collect()
}

fn compared(published: &HashMap<Key, Vec<u8>>, computed: &Computed) -> Comparison {
    compare(published, computed, &mut Reader::with(&Schemas::offline())).unwrap()
}

#[test]
fn a_record_may_stand_anywhere_between_the_cut_and_the_end_and_nowhere_else() {
    let config = config();
    let events = events(&config);
    let all = events.len();
    assert!(all > 100, "{all}");
    let (early, late) = (all / 3, all / 2);
    let whole = fold(&config, &events, early);
    assert!(!whole.moved.is_empty());
    // Published by somebody who has come to the cut, some way further, or to the end.
    for stand in [early, late, all] {
        let published = published(&fold(&config, &events[..stand], stand));
        let found = compared(&published, &whole);
        assert!(found.compared > 100 && found.moved > 0);
        assert_eq!(found.differences, [], "{stand} of {all}");
    }
    // By somebody who has not even come to the cut: that isn't excused.
    let behind = published(&fold(&config, &events[..early / 2], early / 2));
    assert!(!compared(&behind, &whole).differences.is_empty());
    // And once all are settled, nothing but the end is.
    let stale = published(&fold(&config, &events[..late], late));
    assert!(!compared(&stale, &fold(&config, &events, all)).differences.is_empty());
}

#[test]
fn a_record_too_many_and_one_that_is_missing_are_both_found() {
    let config = config();
    let events = events(&config);
    let whole = fold(&config, &events, events.len());
    let mut published = published(&whole);
    let gone = published.keys().min().unwrap().clone();
    let value = published.remove(&gone).unwrap();
    published.insert((gone.0, b"demo:nobody".to_vec()), value);
    let found = compared(&published, &whole).differences;
    let seen: Vec<_> =
        found.iter().map(|d| (d.key.as_bytes(), d.published.is_some(), d.computed.is_some())).collect();
    assert_eq!(found.len(), 2);
    assert!(
        seen.contains(&(gone.1.as_slice(), false, true)) && seen.contains(&(b"demo:nobody", true, false))
    );
}
