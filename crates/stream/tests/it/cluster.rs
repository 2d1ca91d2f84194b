//! Topics on the shared broker, and plain clients that share nothing with the runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

pub fn client() -> ClientConfig {
    // `RUST_LOG=stream=debug cargo test -p stream -- --nocapture` shows what the workers do.
    static LOG: std::sync::Once = std::sync::Once::new();
    LOG.call_once(|| {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    });
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap());
    config
}

/// The shared broker, or in a process that another test has started, that one's.
pub fn bootstrap() -> String {
    std::env::var(crate::process::BOOTSTRAP)
        .unwrap_or_else(|_| localkafka::shared_kafka().bootstrap().to_owned())
}

pub fn delete(topics: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    for result in runtime.block_on(admin.delete_topics(topics, &AdminOptions::new())).unwrap() {
        result.unwrap();
    }
    let exists = |topic: &&str| {
        let metadata = admin.inner().fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
        !metadata.topics()[0].partitions().is_empty()
    };
    wait("the topics to be gone", || !topics.iter().any(exists));
}

/// A name that no other test uses.
pub fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn create(topics: &[(&str, i32, &[(&str, &str)])]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let new: Vec<NewTopic<'_>> = topics
            .iter()
            .map(|(name, partitions, settings)| {
                let topic = NewTopic::new(name, *partitions, TopicReplication::Fixed(1));
                settings.iter().fold(topic, |topic, (k, v)| topic.set(k, v))
            })
            .collect();
        for result in admin.create_topics(&new, &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    });
}

/// Changes the number of partitions of topics.
pub fn widen(topics: &[&str], partitions: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
        let new: Vec<_> = topics.iter().map(|topic| NewPartitions::new(topic, partitions)).collect();
        for result in admin.create_partitions(&new, &AdminOptions::new()).await.unwrap() {
            result.unwrap();
        }
    });
    wait("the new partitions", || {
        topics.iter().all(|topic| super::cluster::partitions(topic) as usize == partitions)
    });
}

/// Removes the records of partition 0 before an offset, as a compaction does with those that have successors.
pub fn remove_before(topic: &str, offset: i64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    let removed = runtime.block_on(admin.delete_records(&list, &AdminOptions::new())).unwrap();
    removed.elements()[0].error().unwrap();
}

/// The ids of a group's members.
pub fn members(group: &str) -> BTreeSet<String> {
    let consumer: BaseConsumer = client().set("group.id", "test-groups").create().unwrap();
    let groups = consumer.fetch_group_list(Some(group), Duration::from_secs(10)).unwrap();
    groups.groups().iter().flat_map(|group| group.members()).map(|member| member.id().to_owned()).collect()
}

/// True when a group of so many members has shared its partitions out.
pub fn is_stable(group: &str, members: usize) -> bool {
    let consumer: BaseConsumer = client().set("group.id", "test-groups").create().unwrap();
    let groups = consumer.fetch_group_list(Some(group), Duration::from_secs(10)).unwrap();
    groups.groups().iter().any(|group| group.state() == "Stable" && group.members().len() == members)
}

/// Forgets a group with its offsets, as the broker does after their retention. Its members have to be gone.
pub fn forget_group(group: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let admin: AdminClient<DefaultClientContext> = client().create().unwrap();
    wait("the group's members to be gone", || {
        let results = runtime.block_on(admin.delete_groups(&[group], &AdminOptions::new())).unwrap();
        results.into_iter().all(|result| result.is_ok())
    });
}

pub fn producer() -> ThreadedProducer<DefaultProducerContext> {
    client()
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "1")
        .create()
        .unwrap()
}

/// Writes `n` records with keys `k0..` and values `from..from + n`.
pub fn produce(topic: &str, from: u64, n: u64, keys: u64) {
    let producer = producer();
    for i in from..from + n {
        let (key, value) = (format!("k{}", i % keys), i.to_string());
        producer.send(BaseRecord::to(topic).key(&key).payload(&value)).map_err(|(e, _)| e).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// Writes records with keys `k0..k9` and values `0, 1, 2…` until it is told to stop.
pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    pub fn start(topic: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (topic, stopped) = (topic.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let (producer, mut n) = (producer(), 0_u64);
            while !stopped.load(Ordering::Relaxed) {
                let (key, value) = (format!("k{}", n % 10), n.to_string());
                producer.send(BaseRecord::to(&topic).key(&key).payload(&value)).map_err(|(e, _)| e).unwrap();
                n += 1;
                std::thread::sleep(Duration::from_millis(2));
            }
            producer.flush(Duration::from_secs(30)).unwrap();
            n
        });
        Self { stop, thread }
    }

    /// How many it has written.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// The number of partitions of a topic.
pub fn partitions(topic: &str) -> i32 {
    stream::partition_count(&client(), topic, &|| false).unwrap()
}

/// Where the next record of partition 0 goes, open transactions counted.
pub fn end_of(topic: &str) -> i64 {
    watermark(topic, "read_uncommitted")
}

/// Up to where partition 0 is decided.
pub fn stable_end(topic: &str) -> i64 {
    watermark(topic, "read_committed")
}

fn watermark(topic: &str, isolation: &str) -> i64 {
    let consumer: BaseConsumer =
        client().set("group.id", "test-ends").set("isolation.level", isolation).create().unwrap();
    consumer.fetch_watermarks(topic, 0, Duration::from_secs(10)).unwrap().1
}

/// Every committed record of a topic, by partition.
pub fn read(topic: &str) -> BTreeMap<i32, Vec<(String, Option<String>)>> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let texts = |(key, value): Bytes| (text(key), value.map(text));
    let all = read_bytes(topic).into_iter();
    all.map(|(partition, records)| (partition, records.into_iter().map(texts).collect())).collect()
}

type Bytes = (Vec<u8>, Option<Vec<u8>>);

/// The same as bytes.
pub fn read_bytes(topic: &str) -> BTreeMap<i32, Vec<Bytes>> {
    let consumer: BaseConsumer = client()
        .set("group.id", "test-reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).unwrap();
    let mut list = TopicPartitionList::new();
    let mut open = metadata.topics()[0].partitions().len();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut records: BTreeMap<i32, Vec<Bytes>> = BTreeMap::new();
    while open > 0 {
        match consumer.poll(Duration::from_secs(20)).expect("the end of the topic within 20 s") {
            Ok(m) => {
                let record = (m.key().unwrap_or_default().to_vec(), m.payload().map(<[u8]>::to_vec));
                records.entry(m.partition()).or_default().push(record);
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(e) => panic!("{e}"),
        }
    }
    records
}

pub fn count(topic: &str) -> usize {
    read(topic).values().map(Vec::len).sum()
}

/// Waits until `done`, at most a minute.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited a minute for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
