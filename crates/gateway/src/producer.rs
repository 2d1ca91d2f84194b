//! The one idempotent producer: a record is committed, or the sender is told to come again.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use commerce::ReceivedTime;
use prometheus::IntCounter;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use service::Config;
use service::metrics::{Counter, Metrics};
use tokio::sync::oneshot;
use tokio::time::Instant;
use topics::{Compression, Lane, Topic};

use crate::room::Hold;

/// A record on its way: who waits for it, and the place it takes until librdkafka lets go of it. That may be later
/// than the answer: a 503 doesn't take the record back.
struct Ticket {
    done: oneshot::Sender<Result<(), KafkaError>>,
    _hold: Option<Hold>,
}

struct Context;

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(facility, message, "kafka client");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka client"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, message, "kafka client")
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "kafka client reports an error");
    }
}

type Client = ThreadedProducer<Context>;
type Report = oneshot::Receiver<Result<(), KafkaError>>;

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, report: &DeliveryResult<'_>, ticket: Self::DeliveryOpaque) {
        let result = report.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits any more for a record that was given up with a 503.
        let _ = ticket.done.send(result);
    }
}

/// Why a record isn't known to be committed. It may be, later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// librdkafka didn't take it: its queue is full, or the record is too large.
    #[error("the record can't be queued")]
    Queue(#[source] KafkaError),
    /// The broker refused it, or it expired.
    #[error("the record wasn't delivered")]
    Delivery(#[source] KafkaError),
    /// No report in time.
    #[error("the record wasn't acknowledged in time")]
    Late,
}

/// One record.
pub(crate) struct Record<'a> {
    pub(crate) topic: Topic,
    pub(crate) key: &'a str,
    pub(crate) value: &'a [u8],
    /// In their order.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) received_at: ReceivedTime,
    /// How a delivery travels.
    pub(crate) lane: Lane,
}

/// Made anew after a fatal error, which an idempotent producer doesn't survive, and when a record runs out of time.
///
/// The latter isn't left to librdkafka (`message.timeout.ms`): it fills the gap in the sequence with a new epoch, under
/// which it sends again what brokers may have appended without an acknowledgement. They can't know those
/// for repetitions, and a sender that tried once would be stored twice
/// (<https://github.com/confluentinc/librdkafka/issues/4953>).
pub(crate) struct Producer {
    current: ArcSwap<Client>,
    /// Of the raw topic; 0 until a broker has said.
    partitions: AtomicI32,
    /// Held while a new one is made: of many records that run out of time together, one replaces it.
    replacing: Mutex<()>,
    config: ClientConfig,
    restarts: IntCounter,
}

impl Producer {
    /// Connects in the background.
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Result<Self, KafkaError> {
        let client = client_config(config);
        Ok(Self {
            current: ArcSwap::from_pointee(client.create_with_context(Context)?),
            partitions: AtomicI32::new(0),
            replacing: Mutex::new(()),
            config: client,
            restarts: metrics.counter(Counter::ProducerRestarts, &[]),
        })
    }

    /// Waits until the record is committed, at most until `deadline`.
    pub(crate) async fn commit(
        &self,
        record: &Record<'_>,
        hold: Hold,
        deadline: Instant,
    ) -> Result<(), Error> {
        let (report, sent_by) = self.send(record, Some(hold))?;
        match tokio::time::timeout_at(deadline, report).await {
            Ok(Ok(result)) => result.map_err(Error::Delivery),
            // The ticket was dropped without a report: the producer is gone.
            Ok(Err(_)) => Err(Error::Late),
            Err(_) => {
                if let Some(slow) = sent_by.upgrade() {
                    tracing::warn!("a record wasn't acknowledged in time, its producer is made anew");
                    self.replace(slow);
                }
                Err(Error::Late)
            }
        }
    }

    /// Waits until a record is committed that may also come late, at most until `deadline`. So nothing is given up for it
    /// that others wait for.
    pub(crate) async fn note(&self, record: &Record<'_>, deadline: Instant) -> Result<(), Error> {
        let (report, _) = self.send(record, None)?;
        match tokio::time::timeout_at(deadline, report).await {
            Ok(Ok(result)) => result.map_err(Error::Delivery),
            Ok(Err(_)) | Err(_) => Err(Error::Late),
        }
    }

    /// Sends a record whose loss does no harm.
    pub(crate) fn tell(&self, record: &Record<'_>) {
        if let Err(error) = self.send(record, None) {
            tracing::debug!(%error, topic = record.topic.name(), "a record wasn't sent");
        }
    }

    /// The report to come, and who will give it.
    fn send(&self, record: &Record<'_>, hold: Option<Hold>) -> Result<(Report, Weak<Client>), Error> {
        let (done, report) = oneshot::channel();
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        // A name with a NUL would be a panic in rdkafka; no source makes one.
        for (key, value) in record.headers.iter().filter(|(key, _)| !key.contains('\0')) {
            headers = headers.insert(Header { key, value: Some(*value) });
        }
        let ticket = Box::new(Ticket { done, _hold: hold });
        let mut message = BaseRecord::with_opaque_to(record.topic.name(), ticket)
            .key(record.key)
            .payload(record.value)
            .headers(headers)
            // Retention then counts from the same instant.
            .timestamp(record.received_at.0.div_euclid(1_000));
        if let Some(partition) = self.partition(record) {
            message = message.partition(partition);
        }
        let producer = self.current.load();
        match producer.send(message) {
            Ok(()) => Ok((report, Arc::downgrade(&producer))),
            Err((error, _)) => Err(Error::Queue(error)),
        }
    }

    /// Where a record goes. `None`: by the hash of its key over all partitions; so it is with a delivery until the
    /// number of partitions is known, and some then wait in the slow lane.
    pub(crate) fn partition(&self, record: &Record<'_>) -> Option<i32> {
        let partitions = self.partitions.load(Ordering::Relaxed);
        (record.topic == Topic::Raw && partitions > 0)
            .then(|| topics::raw_partition(record.key.as_bytes(), partitions, record.lane))
    }

    /// Whether the brokers know the raw topic and all its partitions have a leader; a sentence either way. Blocks.
    pub(crate) fn check(&self, within: Duration) -> Result<String, String> {
        let producer = self.current.load_full();
        let topic = Topic::Raw.name();
        let metadata = producer
            .client()
            .fetch_metadata(Some(topic), within)
            .map_err(|error| format!("no broker answers: {error}"))?;
        let partitions = metadata
            .topics()
            .iter()
            .find(|found| found.name() == topic && found.error().is_none())
            .map(rdkafka::metadata::MetadataTopic::partitions)
            .filter(|partitions| !partitions.is_empty())
            .ok_or_else(|| format!("topic {topic} doesn't exist: run `tillstream topics apply`"))?;
        self.partitions.store(i32::try_from(partitions.len()).unwrap_or(0), Ordering::Relaxed);
        let leaderless = partitions.iter().filter(|partition| partition.leader() < 0).count();
        if leaderless > 0 {
            return Err(format!("{leaderless} of {} partitions of {topic} have no leader", partitions.len()));
        }
        Ok(format!("{} brokers, {topic} has {} partitions", metadata.brokers().len(), partitions.len()))
    }

    /// Replaces a producer that met a fatal error.
    pub(crate) fn mend(&self) {
        let broken = self.current.load_full();
        let Some((code, reason)) = broken.client().fatal_error() else { return };
        tracing::error!(?code, reason, "the producer met a fatal error and is made anew");
        self.replace(broken);
    }

    /// Puts a new producer in the place of an old one. All that the old one holds is reported as failed and comes again;
    /// it sends none of it any more.
    fn replace(&self, old: Arc<Client>) {
        let _turn = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&old, &self.current.load()) {
            return;
        }
        match self.config.create_with_context(Context) {
            Ok(producer) => {
                self.current.store(Arc::new(producer));
                self.restarts.inc();
                // Both block: the purge for its threads, the end for its reports.
                tokio::task::spawn_blocking(move || {
                    old.purge(PurgeConfig::default().queue().inflight());
                    drop(old);
                });
            }
            Err(error) => tracing::error!(%error, "the producer can't be made anew"),
        }
    }

    /// Waits for what is on its way. Blocks.
    pub(crate) fn flush(&self, within: Duration) {
        if let Err(error) = self.current.load().flush(within) {
            tracing::warn!(%error, "not everything was acknowledged before the end; nobody was told that it was");
        }
    }
}

fn client_config(config: &Config) -> ClientConfig {
    let gateway = &config.gateway;
    let mut client = service::kafka::client_config(config);
    let mut unless_set = |name: &str, value: &str| {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    };
    // Measured: 5 ms costs two thirds of the rate at 64 connections, 0 costs too.
    unless_set("linger.ms", "1");
    unless_set("compression.type", compression());
    // A broker that is back is used within a second, not within ten.
    unless_set("reconnect.backoff.ms", "50");
    unless_set("reconnect.backoff.max.ms", "1000");
    unless_set("socket.keepalive.enable", "true");

    client.set("acks", "all");
    client.set("enable.idempotence", "true");
    client.set("partitioner", "murmur2_random");
    // Never: a record that runs out of time is given up together with its producer, see there. It is when its sender is
    // told so: an outage doesn't leave a backlog that is delivered long after its senders have come again, and its
    // memory is free for those who do.
    client.set("message.timeout.ms", "0");
    let largest = topics::largest_message(&[Topic::Raw, Topic::DeadLetters]).0;
    client.set("message.max.bytes", largest.to_string());
    // The bound is the room; librdkafka's own is far enough above it never to be met first.
    let kilobytes = gateway.max_in_flight_bytes.0.saturating_add(2 * largest) * 2 / 1024;
    client.set("queue.buffering.max.kbytes", kilobytes.to_string());
    client.set("queue.buffering.max.messages", (gateway.max_in_flight_bytes.0 / 1024 + 1_000).to_string());
    client
}

fn compression() -> &'static str {
    match Topic::Raw.spec().compression {
        Compression::Producer => "lz4",
        other => other.as_str(),
    }
}
