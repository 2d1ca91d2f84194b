//! Plans against a real cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use commerce::DeadLetter;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use topics::admin::Error;
use topics::{Admin, Change, Layout, Schemas, Topic, largest_message};

use crate::cluster::{admin, alone, ready, registry};
use crate::samples::full_letter;

fn kafka() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", localkafka::shared().bootstrap()).create().unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn settings(topic: Topic) -> BTreeMap<String, Option<String>> {
    let asked = [ResourceSpecifier::Topic(topic.name())];
    let mut answer = block_on(kafka().describe_configs(&asked, &AdminOptions::new())).unwrap();
    answer.remove(0).unwrap().entries.into_iter().map(|entry| (entry.name, entry.value)).collect()
}

#[test]
fn an_empty_cluster_gets_everything_and_then_nothing_differs() {
    let _alone = alone();
    let ready = ready();
    assert!(ready.first.refusals.is_empty(), "{}", ready.first);
    for topic in Topic::ALL {
        let created = |c: &Change| matches!(c, Change::CreateTopic { topic: t, .. } if t == topic);
        assert!(ready.first.changes.iter().any(created), "{topic} isn't in\n{}", ready.first);
        let registered = |c: &Change| matches!(c, Change::RegisterSchema { topic: t, .. } if t == topic);
        assert_eq!(ready.first.changes.iter().any(registered), topic.avro().is_some(), "{}", ready.first);
    }
    assert!(ready.second.is_empty(), "{}", ready.second);
    let raw = settings(Topic::Raw);
    assert_eq!(raw["max.message.bytes"].as_deref(), Some("11534336"));
    assert_eq!(raw["retention.ms"].as_deref(), Some("2592000000"));
}

#[test]
fn a_schema_that_cannot_read_older_records_is_refused_with_the_field() {
    let _alone = alone();
    let refused = &ready().refused;
    assert_eq!(refused.refusals.len(), 1, "{refused}");
    let said = refused.refusals[0].to_string();
    assert!(said.starts_with("! commerce.metrics.v1 has a schema that can't read"), "{said}");
    assert!(said.contains("window_start"), "{said}");
    let error = admin(Layout::new(1)).apply(refused, Some(&registry())).unwrap_err();
    assert!(matches!(error, Error::Refused(_)), "{error}");
}

#[test]
fn a_changed_setting_is_shown_and_set_back_and_others_are_left_alone() {
    let _alone = alone();
    ready();
    let topic = Topic::Signals;
    let own = topic.spec().config(1);
    let mut changed = AlterConfig::new(ResourceSpecifier::Topic(topic.name()));
    for (name, value) in &own {
        changed = changed.set(name, value);
    }
    changed = changed.set("retention.ms", "1000").set("segment.bytes", "20000000");
    block_on(kafka().alter_configs(&[changed], &AdminOptions::new())).unwrap();

    let admin = admin(Layout::new(1));
    let registry = registry();
    let plan = eventually(|| {
        let plan = admin.plan(Some(&registry)).unwrap();
        (!plan.is_empty()).then_some(plan)
    });
    assert_eq!(plan.to_string(), "~ commerce.signals.v1: retention.ms 1000 -> 2592000000\n");
    admin.apply(&plan, Some(&registry)).unwrap();
    assert!(admin.plan(Some(&registry)).unwrap().is_empty());
    let after = settings(topic);
    assert_eq!(after["retention.ms"].as_deref(), Some("2592000000"));
    assert_eq!(after["segment.bytes"].as_deref(), Some("20000000"), "somebody else's setting is gone");
}

fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..100 {
        if let Some(seen) = look() {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not within 10 s");
}

#[test]
fn raw_grows_with_its_changelog_and_events_do_not() {
    let _alone = alone();
    ready();
    let with = |topic, n| admin(Layout { partitions: BTreeMap::from([(topic, n)]), ..Layout::new(1) });
    let grown = with(Topic::Raw, 6);
    let plan = grown.plan(None).unwrap();
    assert_eq!(plan.changes.len(), 2, "{plan}");
    grown.apply(&plan, None).unwrap();
    assert!(grown.plan(None).unwrap().is_empty());
    assert!(admin(Layout::new(1)).plan(None).unwrap().is_empty(), "more than the list says is fine");

    let events = with(Topic::Events, 8);
    let plan = events.plan(None).unwrap();
    assert!(plan.changes.is_empty() && plan.refusals.len() == 1, "{plan}");
    assert!(matches!(events.apply(&plan, None), Err(Error::Refused(_))));
}

#[test]
fn more_copies_than_there_are_is_refused() {
    let _alone = alone();
    ready();
    let plan = admin(Layout::new(3)).plan(None).unwrap();
    assert_eq!(plan.refusals.len(), Topic::ALL.len(), "{plan}");
    assert!(plan.to_string().contains("1 of 3 copies"), "{plan}");
}

#[test]
fn a_body_of_ten_mebibytes_goes_through_a_broker_with_the_topics_settings() {
    let noise = |n: u32| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes()[3];
    let letter = DeadLetter { body: (0..10 << 20).map(noise).collect(), ..full_letter() };
    let mut record = Vec::new();
    Schemas::offline().encoder(Topic::DeadLetters).unwrap().encode(&letter, &mut record).unwrap();
    for (topic, name) in [(Topic::Raw, "it.raw"), (Topic::DeadLetters, "it.letters")] {
        let config = topic.spec().config(1);
        let mut new = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        for (name, value) in &config {
            new = new.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
        block_on(kafka().create_topics(&[new], &options)).unwrap().remove(0).unwrap();
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", localkafka::shared().bootstrap())
            .set("compression.type", topic.spec().compression.as_str())
            .set("message.max.bytes", largest_message(&[topic]).0.to_string())
            .create()
            .unwrap();
        let header = Header { key: "http.x-long", value: Some(&[b'x'; 60_000]) };
        let headers = OwnedHeaders::new().insert(header);
        producer.send(BaseRecord::to(name).key("k").payload(&record).headers(headers)).unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();
        let (_, end) = producer.client().fetch_watermarks(name, 0, Duration::from_secs(10)).unwrap();
        assert_eq!(end, 1, "{name}");
    }
}

#[test]
fn a_cluster_that_is_not_there_and_a_layout_that_cannot_be_say_so() {
    let mistaken = Layout { partitions: BTreeMap::from([(Topic::Facts, 2)]), ..Layout::new(1) };
    let error = Admin::new("127.0.0.1:9", &BTreeMap::new(), mistaken).unwrap_err();
    assert!(error.to_string().contains("commerce.events.v1"), "{error}");
    let properties = BTreeMap::from([("no.such.property".to_owned(), "1".to_owned())]);
    let error = Admin::new("127.0.0.1:9", &properties, Layout::new(1)).unwrap_err();
    assert!(error.to_string().contains("no.such.property"), "{error}");
}
