//! The reading threads: topics in, [`Working`] copy changed, snapshots published.
//!
//! One thread follows the list of versions. For the version that is served another one reads all topics, and publishes. When
//! another version becomes the served one, a second one reads them beside the first, which goes on publishing until the
//! second has read everything: so every snapshot is of one version, and none is older than the one before it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use commerce::order::{Figures, View};
use commerce::{DeadLetter, Fact, Metric, Profile};
use prometheus::IntCounter;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use service::health::Part;
use service::{Shutdown, policy};
use sources::Workspaces;
use stream::{Follow, Followed, follow};
use topics::{DecodeError, Decoder, SchemaRegistry, Schemas, Topic, Version, Versions, version};

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
    /// As configured.
    pub(crate) workspaces: Workspaces,
}

/// Beside the figures of the served version.
const TOPICS: [Topic; 5] = [Topic::Metrics, Topic::DeadLetters, Topic::Orders, Topic::Profiles, Topic::Facts];

impl Reader {
    /// Reads until the end of the service.
    pub(crate) fn run(self) {
        let reader = Arc::new(self);
        let passes = RefCell::new(Passes {
            reader: Arc::clone(&reader),
            turn: Arc::default(),
            last: 0,
            running: vec![],
        });
        let what = Follow { client: reader.client.clone(), topics: vec![Topic::Versions.name().to_owned()] };
        let stop = || reader.shutdown.is_triggered();
        while !stop() {
            // What a record that can't be read says isn't known: what was published goes on, and nothing is begun.
            let (mut versions, mut is_known) = (Versions::default(), true);
            let followed = follow(&what, &stop, &mut |met| {
                match met {
                    Followed::Record { key: version::KEY, value: Some(value), .. } => {
                        match Versions::read(value) {
                            Ok(read) => (versions, is_known) = (read, true),
                            Err(error) => {
                                tracing::error!(error, "the list of versions can't be read");
                                is_known = false;
                                if !reader.loaded_before() {
                                    reader.loaded.not_ready(format!("the list of versions: {error}"));
                                }
                            }
                        }
                    }
                    Followed::Record { .. } => {}
                    Followed::CaughtUp | Followed::Idle if is_known => passes.borrow_mut().serve(&versions),
                    Followed::CaughtUp | Followed::Idle => {}
                }
                Ok(())
            });
            match followed {
                Ok(()) => {}
                Err(stream::Error::MissingTopic { topic }) => {
                    // A cluster from before there were versions.
                    tracing::warn!(topic, "there is one version only; run `tillstream topics apply`");
                    passes.borrow_mut().serve(&Versions::default());
                    reader.shutdown.sleep(PAUSE);
                }
                Err(error) => {
                    tracing::warn!(error = chain(&error), "the list of versions can't be read, trying again");
                    reader.shutdown.sleep(PAUSE);
                }
            }
        }
        passes.into_inner().end();
    }
}

/// Whose turn it is to publish: the number of the pass that did so last.
#[derive(Default)]
struct Turn {
    /// Held while publishing, so that a pass that is overtaken can't publish after the one that overtook it.
    last: Mutex<()>,
    number: AtomicU64,
}

impl Turn {
    /// True when a later pass has taken over.
    fn is_over(&self, number: u64) -> bool {
        self.number.load(Ordering::Acquire) > number
    }

    /// True when that pass was the last to publish.
    fn is_of(&self, number: u64) -> bool {
        self.number.load(Ordering::Acquire) == number
    }
}

/// The readings from the beginning that are going on: one, and a second while that takes over.
struct Passes {
    reader: Arc<Reader>,
    turn: Arc<Turn>,
    /// The number of the last one.
    last: u64,
    running: Vec<(Version, JoinHandle<()>)>,
}

impl Passes {
    /// Sees to it that the served version is read.
    fn serve(&mut self, versions: &Versions) {
        self.reader.published.set_versions(versions);
        let is_read =
            |(name, thread): &(Version, JoinHandle<()>)| *name == versions.served && !thread.is_finished();
        if self.running.last().is_some_and(is_read) {
            return;
        }
        self.running.retain(|(_, thread)| !thread.is_finished());
        self.last = self.last.saturating_add(1);
        let number = self.last;
        let (reader, turn) = (Arc::clone(&self.reader), Arc::clone(&self.turn));
        let figures = versions.served.metrics();
        tracing::info!(version = versions.served.as_str(), "reading the figures");
        let spawned = thread::Builder::new()
            .name("query-pass".to_owned())
            .spawn(move || reader.read(&figures, number, &turn));
        match spawned {
            Ok(thread) => self.running.push((versions.served.clone(), thread)),
            Err(error) => tracing::error!(%error, "a reading thread couldn't start, trying again"),
        }
    }

    fn end(self) {
        for (_, thread) in self.running {
            if thread.join().is_err() {
                tracing::error!("a reading thread panicked");
            }
        }
    }
}

impl Reader {
    /// Reads until the end of the service or until a later pass has taken over. After a failure everything is read anew
    /// into a fresh copy, while the last figures stay published: what was deleted and compacted away meanwhile must not
    /// linger.
    fn read(&self, figures: &str, number: u64, turn: &Turn) {
        let stop = || self.shutdown.is_triggered() || turn.is_over(number);
        while !stop() {
            if let Err(error) = self.once(figures, number, turn, &stop) {
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

    fn once(&self, figures: &str, number: u64, turn: &Turn, stop: &dyn Fn() -> bool) -> Result<(), Error> {
        let registry = SchemaRegistry::new(&self.registry, REGISTRY_BUDGET)?;
        let schemas = Schemas::lookup(&registry)?;
        // Days and totals that are cut otherwise than they were counted would be wrong, so nothing is answered.
        let published =
            policy::read(&self.client, &schemas, stop).map_err(|e| Error::Policies(format!("{e:#}")))?;
        let misread = policy::misread(&self.workspaces, &published);
        if !misread.is_empty() {
            return Err(Error::Misread(misread.join("; ")));
        }
        let decoder = schemas.decoder();
        let mut pass = Pass {
            reader: self,
            figures,
            number,
            turn,
            decoder,
            working: Working::default(),
            caught_up: false,
            last: Instant::now(),
        };
        let mut topics: Vec<String> = TOPICS.iter().map(|topic| topic.name().to_owned()).collect();
        if !topics.iter().any(|topic| topic == figures) {
            topics.push(figures.to_owned());
        }
        let what = Follow { client: self.client.clone(), topics };
        follow(&what, stop, &mut |followed| {
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
    #[error("the policies couldn't be read: {0}")]
    Policies(String),
    #[error("{0}: mend the configuration and start again")]
    Misread(String),
    #[error("the topics couldn't be read")]
    Stream(#[from] stream::Error),
}

/// One reading from the beginning.
struct Pass<'a> {
    reader: &'a Reader,
    /// The topic of the figures that are served.
    figures: &'a str,
    number: u64,
    turn: &'a Turn,
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
                self.show();
                self.reader.loaded.ready(format!("all figures of {} are loaded", self.figures));
            }
            Followed::Idle => self.publish(),
        }
    }

    fn publish(&mut self) {
        if self.caught_up && self.working.is_changed() {
            self.show();
        }
        self.last = Instant::now();
    }

    /// Publishes, unless a later pass has begun to.
    fn show(&mut self) {
        let versions = self.reader.published.versions();
        if !versions.all.iter().any(|entry| entry.name.metrics() == self.figures) {
            // It was dropped, and its topic is emptied: what was published last stays until another version is read.
            return;
        }
        let _turn = self.turn.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.turn.is_of(self.number) && versions.served.metrics() != self.figures {
            // Switched back meanwhile: the one that answers goes on.
            return;
        }
        if self.turn.number.fetch_max(self.number, Ordering::AcqRel) <= self.number {
            self.working.publish(&self.reader.published);
        }
        self.last = Instant::now();
    }

    /// A cell: those of the served version are all of its topic; in the topic of the first version there are also those
    /// that the state stage keeps, of which there is one version.
    fn cell(&mut self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        if topic != self.figures && !commerce::metric::is_of_the_state(key) {
            return Ok(());
        }
        let metric: Option<Metric> = self.decode(value)?;
        self.working.metric(key, metric.as_ref()).map_err(|error| chain(&error))
    }

    fn record(&mut self, topic: &str, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let text = |error: Unreadable| chain(&error);
        match Topic::parse(topic) {
            Some(Topic::Metrics) => self.cell(topic, key, value),
            None if topic == self.figures => self.cell(topic, key, value),
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
