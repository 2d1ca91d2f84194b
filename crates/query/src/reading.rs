//! The reading thread: topics in, [`Working`] copy changed, snapshots published.

use std::sync::Arc;
use std::time::{Duration, Instant};

use commerce::order::{Figures, View};
use commerce::{DeadLetter, Fact, Metric, Profile};
use prometheus::IntCounter;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use service::Shutdown;
use service::health::Part;
use stream::{Follow, Followed, follow};
use topics::{DecodeError, Decoder, SchemaRegistry, Schemas, Topic};

use crate::snapshot::{Published, Reading, Trouble, Unreadable, Working};

/// The longest wait between two publications while records come without a pause.
const PUBLISH_AT_LEAST: Duration = Duration::from_millis(100);
/// Before a new attempt after a failure.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);
/// How long one question to the registry may be tried.
pub(crate) const REGISTRY_BUDGET: Duration = Duration::from_secs(5);
/// How often the cluster is asked whether it is there.
const PROBE: Duration = Duration::from_secs(5);
/// How long it may take to answer.
const PROBE_ANSWER: Duration = Duration::from_secs(3);

/// What the thread needs.
pub(crate) struct Reader {
    pub(crate) client: ClientConfig,
    /// Address of the schema registry. Its client blocks, so it lives and dies on this thread.
    pub(crate) registry: String,
    pub(crate) published: Arc<Published>,
    pub(crate) loaded: Part,
    pub(crate) unreadable: IntCounter,
    pub(crate) shutdown: Shutdown,
}

const TOPICS: [Topic; 5] = [Topic::Metrics, Topic::DeadLetters, Topic::Orders, Topic::Profiles, Topic::Facts];

impl Reader {
    /// Reads until the end of the service. After a failure everything is read anew into a fresh copy, while the last
    /// figures stay published: what was deleted and compacted away meanwhile must not linger.
    pub(crate) fn run(self) {
        while !self.shutdown.is_triggered() {
            if let Err(error) = self.once() {
                self.published.set(Trouble::Stopped, true);
                let reason = chain(&error);
                tracing::warn!(error = reason, "reading stopped, trying again");
                if !self.loaded_before() {
                    self.loaded.not_ready(reason);
                }
                self.shutdown.sleep(PAUSE);
            }
        }
    }

    fn loaded_before(&self) -> bool {
        self.published.reading() != Reading::Loading
    }

    fn once(&self) -> Result<(), Error> {
        let registry = SchemaRegistry::new(&self.registry, REGISTRY_BUDGET)?;
        let decoder = Schemas::lookup(&registry)?.decoder();
        let mut pass = Pass {
            reader: self,
            decoder,
            working: Working::default(),
            caught_up: false,
            last: Instant::now(),
        };
        let topics = TOPICS.iter().map(|topic| topic.name().to_owned()).collect();
        let what = Follow { client: self.client.clone(), topics };
        let stop = || self.shutdown.is_triggered();
        follow(&what, &stop, &mut |followed| {
            pass.take(followed);
            Ok(())
        })?;
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the schemas couldn't be looked up")]
    Registry(#[from] topics::schemas::Error),
    #[error("the topics couldn't be read")]
    Stream(#[from] stream::Error),
}

/// One reading from the beginning.
struct Pass<'a> {
    reader: &'a Reader,
    decoder: Decoder,
    working: Working,
    caught_up: bool,
    last: Instant,
}

impl Pass<'_> {
    fn take(&mut self, followed: Followed<'_>) {
        match followed {
            Followed::Record { topic, partition, offset, key, value, .. } => {
                if let Err(reason) = self.record(topic, key, value) {
                    self.reader.unreadable.inc();
                    tracing::error!(
                        topic,
                        partition,
                        offset,
                        reason,
                        "a record can't be read and is left out"
                    );
                }
                if self.caught_up && self.last.elapsed() >= PUBLISH_AT_LEAST {
                    self.publish();
                }
            }
            Followed::CaughtUp => {
                self.caught_up = true;
                self.working.publish(&self.reader.published);
                self.last = Instant::now();
                self.reader.loaded.ready("all figures are loaded");
            }
            Followed::Idle => self.publish(),
        }
    }

    fn publish(&mut self) {
        if self.caught_up && self.working.is_changed() {
            self.working.publish(&self.reader.published);
        }
        self.last = Instant::now();
    }

    fn record(&mut self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let text = |error: Unreadable| chain(&error);
        match Topic::parse(topic) {
            Some(Topic::Metrics) => {
                let metric: Option<Metric> = self.decode(value)?;
                self.working.metric(key, metric.as_ref()).map_err(text)
            }
            Some(Topic::Orders) => {
                let view: Option<View> = self.decode(value)?;
                self.working.order(key, view.as_ref()).map_err(text)
            }
            Some(Topic::Profiles) => {
                let profile: Option<Profile> = self.decode(value)?;
                self.working.profile(key, profile.as_ref()).map_err(text)
            }
            Some(Topic::Facts) => {
                let fact: Option<Fact<Figures>> = self.decode(value)?;
                fact.map_or(Ok(()), |fact| self.working.fact(&fact).map_err(text))
            }
            Some(Topic::DeadLetters) => {
                if let Some(letter) = self.decode::<DeadLetter>(value)? {
                    self.working.letter(&letter);
                }
                Ok(())
            }
            _ => Err("a topic that wasn't asked for".to_owned()),
        }
    }
    fn decode<T: commerce::avro::Read + commerce::avro::Record + serde::de::DeserializeOwned>(
        &mut self,
        value: Option<&[u8]>,
    ) -> Result<Option<T>, String> {
        decode(&mut self.decoder, &self.reader.shutdown, value)
    }
}

/// Reads a value. A registry that can't answer now is waited for: the record may be fine.
pub(crate) fn decode<T: commerce::avro::Read + commerce::avro::Record + serde::de::DeserializeOwned>(
    decoder: &mut Decoder,
    shutdown: &Shutdown,
    value: Option<&[u8]>,
) -> Result<Option<T>, String> {
    let Some(value) = value else { return Ok(None) };
    loop {
        match decoder.decode(value) {
            Ok(value) => return Ok(Some(value)),
            Err(error) if waits(&error) && !shutdown.sleep(PAUSE) => {
                tracing::warn!(error = chain(&error), "waiting for the schema registry");
            }
            Err(error) => return Err(chain(&error)),
        }
    }
}

fn waits(error: &DecodeError) -> bool {
    error.is_transient()
}

/// Asks the cluster now and then whether it is there: the follower goes on quietly when it isn't.
pub(crate) fn probe(client: &ClientConfig, published: &Published, shutdown: &Shutdown) {
    let consumer: Result<BaseConsumer, _> = client.clone().set("group.id", "tillstream-query-probe").create();
    let consumer = match consumer {
        Ok(consumer) => consumer,
        Err(error) => {
            tracing::error!(%error, "the cluster can't be watched");
            return;
        }
    };
    while !shutdown.sleep(PROBE) {
        match consumer.fetch_metadata(Some(Topic::Metrics.name()), PROBE_ANSWER) {
            Ok(_) => published.set(Trouble::Unreachable, false),
            Err(error) => {
                if published.reading() == Reading::Live {
                    tracing::warn!(%error, "Kafka doesn't answer, the last figures stay");
                }
                published.set(Trouble::Unreachable, true);
            }
        }
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(": ");
        text.push_str(&next.to_string());
        cause = next.source();
    }
    text
}
