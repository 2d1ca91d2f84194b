//! Compares a cluster and a schema registry with the list of topics, and makes them agree.
//!
//! Blocking: not for async contexts, see the crate's page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use tokio::runtime::{Builder, Runtime};

use crate::avro;
use crate::plan::{Change, Found, Layout, Plan, Refusal};
use crate::registry::Topic;
use crate::schemas::{self, BACKWARD_TRANSITIVE, SchemaRegistry};

/// One request to the cluster.
const ANSWER: Duration = Duration::from_secs(30);
/// Brokers learn of a change one after the other; so long an old answer is taken for one that is on its way.
const SPREADS_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(100);

/// What went wrong with the cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The layout can't be.
    #[error("{}", .0.join("; "))]
    Layout(Vec<String>),
    /// librdkafka doesn't take the properties, or there are no threads.
    #[error("the Kafka client can't be made: {0}")]
    Client(String),
    /// No broker answers.
    #[error("no broker of {bootstrap} answers: {message}")]
    Unreachable {
        /// Where they were looked for.
        bootstrap: String,
        /// What librdkafka says.
        message: String,
    },
    /// The cluster doesn't show a topic's settings: it is new or going, or we have no right to describe it.
    #[error("the cluster doesn't show the settings of {0}: the right to describe them may be missing")]
    Hidden(Topic),
    /// A request was refused.
    #[error("{what} failed: {message}")]
    Request {
        /// What was to be done.
        what: String,
        /// What the cluster says.
        message: String,
    },
    /// The plan has refusals, so nothing was done.
    #[error("nothing was changed, because of\n{}", lines(.0))]
    Refused(Vec<Refusal>),
    /// The cluster took the changes and doesn't show them.
    #[error("the cluster took the changes, but these still differ:\n{0}")]
    NotInForce(Plan),
    /// The plan has schemas and there is no registry to register them with.
    #[error("the plan has schemas, and no schema registry is given")]
    NoRegistry,
    /// The registry's fault.
    #[error(transparent)]
    Schemas(#[from] schemas::Error),
}

fn lines(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A cluster, and how it should be laid out.
pub struct Admin {
    bootstrap: String,
    layout: Layout,
    client: AdminClient<DefaultClientContext>,
    runtime: Runtime,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bootstrap, layout, .. } = self;
        f.debug_struct("Admin").field("bootstrap", bootstrap).field("layout", layout).finish_non_exhaustive()
    }
}

impl Admin {
    /// A client of the cluster at `bootstrap`. `properties` go to librdkafka (SASL, TLS). Connects to nothing yet.
    pub fn new(
        bootstrap: &str,
        properties: &BTreeMap<String, String>,
        layout: Layout,
    ) -> Result<Self, Error> {
        let mistakes = layout.mistakes();
        if !mistakes.is_empty() {
            return Err(Error::Layout(mistakes));
        }
        let mut config = ClientConfig::new();
        for (name, value) in properties {
            config.set(name, value);
        }
        config.set("bootstrap.servers", bootstrap);
        let client = config.create().map_err(|e| Error::Client(e.to_string()))?;
        // Only carries the answers over from librdkafka's own thread.
        let runtime = Builder::new_current_thread().build().map_err(|e| Error::Client(e.to_string()))?;
        Ok(Self { bootstrap: bootstrap.to_owned(), layout, client, runtime })
    }

    /// What differs. Without a registry the plan is for topics alone, which can be made while it is starting.
    pub fn plan(&self, registry: Option<&SchemaRegistry>) -> Result<Plan, Error> {
        let mut plan = Plan::of_topics(&self.layout, &self.look()?);
        if let Some(registry) = registry {
            add_schemas(&mut plan, registry)?;
        }
        Ok(plan)
    }

    /// Carries a plan out, and returns when the cluster shows it everywhere we can see.
    ///
    /// Carrying it out again is harmless. After an error some of it may be done; a new plan shows what is left.
    ///
    /// # Errors
    /// [`Error::Refused`] before anything is done.
    pub fn apply(&self, plan: &Plan, registry: Option<&SchemaRegistry>) -> Result<(), Error> {
        if !plan.refusals.is_empty() {
            return Err(Error::Refused(plan.refusals.clone()));
        }
        let (of_schemas, of_topics): (Vec<&Change>, Vec<&Change>) =
            plan.changes.iter().partition(|change| change.is_of_schemas());
        if !of_topics.is_empty() {
            self.create(&of_topics)?;
            self.grow(&of_topics)?;
            self.configure(&of_topics)?;
            self.wait()?;
        }
        for change in of_schemas {
            let registry = registry.ok_or(Error::NoRegistry)?;
            apply_to(registry, change)?;
            tracing::info!(%change, "changed a subject");
        }
        Ok(())
    }

    /// Creates topics that aren't in the list, each with the settings of one that is, and returns when the cluster shows
    /// them. One that is there already stays as it is.
    pub fn create_like(&self, new: &[(String, Topic)], partitions: i32) -> Result<(), Error> {
        let replication = self.layout.replication;
        let settings: Vec<_> = new.iter().map(|(_, like)| like.spec().config(replication)).collect();
        let topics: Vec<NewTopic<'_>> = new
            .iter()
            .zip(&settings)
            .map(|((name, _), settings)| {
                let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(replication));
                settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
            })
            .collect();
        let answers = self.runtime.block_on(self.client.create_topics(&topics, &options()));
        outcome("creating topics", answers, RDKafkaErrorCode::TopicAlreadyExists)?;
        self.wait_for("creating topics", |there| {
            new.iter().map(|(name, _)| name).find(|name| !is_led(there, name))
        })
    }

    /// Deletes topics that aren't in the list. One that isn't there is no fault.
    pub fn delete_unlisted(&self, names: &[String]) -> Result<(), Error> {
        if let Some(listed) = names.iter().find(|name| Topic::parse(name).is_some()) {
            let message = "it is in the list of topics, and those are never deleted".to_owned();
            return Err(Error::Request { what: format!("deleting {listed}"), message });
        }
        let topics: Vec<&str> = names.iter().map(String::as_str).collect();
        let answers = self.runtime.block_on(self.client.delete_topics(&topics, &options()));
        outcome("deleting topics", answers, RDKafkaErrorCode::UnknownTopicOrPartition)?;
        self.wait_for("deleting topics", |there| names.iter().find(|name| is_led(there, name)))
    }

    /// Deletes a consumer group's offsets. A group that isn't there is no fault.
    pub fn delete_group(&self, group: &str) -> Result<(), Error> {
        let answers = self.runtime.block_on(self.client.delete_groups(&[group], &options()));
        outcome("deleting a group", answers, RDKafkaErrorCode::GroupIdNotFound)
    }

    /// Waits until no topic is named that the cluster doesn't show as it should be.
    fn wait_for<'n>(&self, what: &str, left: impl Fn(&Metadata) -> Option<&'n String>) -> Result<(), Error> {
        let deadline = Instant::now() + SPREADS_WITHIN;
        loop {
            let there = self.client.inner().fetch_metadata(None, ANSWER).map_err(|e| Error::Unreachable {
                bootstrap: self.bootstrap.clone(),
                message: e.to_string(),
            })?;
            match left(&there) {
                None => return Ok(()),
                Some(name) if Instant::now() >= deadline => {
                    let message = format!("the cluster agreed and doesn't show it of {name}");
                    return Err(Error::Request { what: what.to_owned(), message });
                }
                Some(_) => std::thread::sleep(POLL),
            }
        }
    }

    /// Our topics as they are.
    fn look(&self) -> Result<BTreeMap<Topic, Found>, Error> {
        let unreachable =
            |e: KafkaError| Error::Unreachable { bootstrap: self.bootstrap.clone(), message: e.to_string() };
        // All topics: asking for one by name could create it.
        let metadata = self.client.inner().fetch_metadata(None, ANSWER).map_err(unreachable)?;
        let mut found = BTreeMap::new();
        for topic in metadata.topics() {
            let Some(ours) = Topic::parse(topic.name()) else { continue };
            let replicas = topic.partitions().iter().map(|p| p.replicas().len()).min().unwrap_or_default();
            let there = Found {
                partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
                replicas: i32::try_from(replicas).unwrap_or(i32::MAX),
                ..Found::default()
            };
            found.insert(ours, there);
        }
        let topics: Vec<Topic> = found.keys().copied().collect();
        let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic.name())).collect();
        if asked.is_empty() {
            return Ok(found);
        }
        let answers =
            self.runtime.block_on(self.client.describe_configs(&asked, &options())).map_err(unreachable)?;
        // Answers come in the order of the questions.
        for (topic, answer) in topics.into_iter().zip(answers) {
            // rdkafka doesn't hand on what is wrong with a single topic: it has no settings then.
            let entries = answer.map(|resource| resource.entries).unwrap_or_default();
            let Some(there) = found.get_mut(&topic).filter(|_| !entries.is_empty()) else {
                return Err(Error::Hidden(topic));
            };
            for entry in entries {
                let Some(value) = entry.value else { continue };
                if entry.source == ConfigSource::DynamicTopic {
                    there.own.insert(entry.name.clone(), value.clone());
                }
                there.config.insert(entry.name, value);
            }
        }
        Ok(found)
    }

    fn create(&self, changes: &[&Change]) -> Result<(), Error> {
        let mut new = Vec::new();
        for change in changes {
            let Change::CreateTopic { topic, partitions, replication, config } = change else { continue };
            let mut one = NewTopic::new(topic.name(), *partitions, TopicReplication::Fixed(*replication));
            for (name, value) in config {
                one = one.set(name, value);
            }
            new.push(one);
        }
        if new.is_empty() {
            return Ok(());
        }
        let answers = self.runtime.block_on(self.client.create_topics(&new, &options()));
        outcome("creating topics", answers, RDKafkaErrorCode::TopicAlreadyExists)
    }

    fn grow(&self, changes: &[&Change]) -> Result<(), Error> {
        // Changelogs before the topics that they belong to: a task must not start without its changelog.
        let more = changes.iter().rev().filter_map(|change| match change {
            Change::AddPartitions { topic, to, .. } => {
                Some((topic, usize::try_from(*to).unwrap_or_default()))
            }
            _ => None,
        });
        for (topic, to) in more {
            let one = [NewPartitions::new(topic.name(), to)];
            let answers = self.runtime.block_on(self.client.create_partitions(&one, &options()));
            let what = format!("adding partitions to {topic}");
            outcome(&what, answers, RDKafkaErrorCode::NoError)?;
        }
        Ok(())
    }

    fn configure(&self, changes: &[&Change]) -> Result<(), Error> {
        let mut wanted: BTreeMap<Topic, BTreeMap<String, String>> = BTreeMap::new();
        for change in changes {
            let Change::SetConfig { topic, name, to, .. } = change else { continue };
            wanted.entry(*topic).or_default().insert((*name).to_owned(), to.clone());
        }
        if wanted.is_empty() {
            return Ok(());
        }
        // The request replaces all of a topic's own settings: those that aren't ours go along.
        let there = self.look()?;
        for (topic, settings) in &mut wanted {
            let own = there.get(topic).map(|found| found.own.clone()).unwrap_or_default();
            for (name, value) in own {
                settings.entry(name).or_insert(value);
            }
        }
        let altered: Vec<AlterConfig<'_>> = wanted
            .iter()
            .map(|(topic, settings)| AlterConfig {
                specifier: ResourceSpecifier::Topic(topic.name()),
                entries: settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            })
            .collect();
        let answers = self.runtime.block_on(self.client.alter_configs(&altered, &options()));
        answers.map(drop).map_err(|e| Error::Request {
            what: "setting the topics' configuration".to_owned(),
            message: e.to_string(),
        })
    }

    /// Waits until what was changed is seen. Also how a refused setting comes to light, since rdkafka doesn't tell.
    fn wait(&self) -> Result<(), Error> {
        let deadline = Instant::now() + SPREADS_WITHIN;
        loop {
            let left = self.plan(None);
            match left {
                Ok(plan) if plan.is_empty() => return Ok(()),
                Ok(plan) if Instant::now() >= deadline => return Err(Error::NotInForce(plan)),
                Err(error) if Instant::now() >= deadline => return Err(error),
                _ => std::thread::sleep(POLL),
            }
        }
    }
}

/// True when a topic is there and each of its partitions has a leader.
fn is_led(there: &Metadata, name: &str) -> bool {
    let found = there.topics().iter().find(|topic| topic.name() == name);
    found.is_some_and(|topic| topic.partitions().iter().all(|partition| partition.leader() >= 0))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER))
}

fn outcome(
    what: &str,
    answers: Result<Vec<TopicResult>, KafkaError>,
    fine: RDKafkaErrorCode,
) -> Result<(), Error> {
    let failed = |message: String| Error::Request { what: what.to_owned(), message };
    let answers = answers.map_err(|e| failed(e.to_string()))?;
    let faults = answers.into_iter().filter_map(Result::err).filter(|(_, code)| *code != fine);
    let faults: Vec<String> = faults.map(|(topic, code)| format!("{topic}: {code}")).collect();
    if faults.is_empty() { Ok(()) } else { Err(failed(faults.join("; "))) }
}

fn add_schemas(plan: &mut Plan, registry: &SchemaRegistry) -> Result<(), Error> {
    for (topic, avro) in Topic::with_schema() {
        let subject = topic.subject();
        let rule = registry.compatibility(&subject)?;
        let ruled = rule.as_deref() == Some(BACKWARD_TRANSITIVE);
        if registry.find(&subject, &avro.text)?.is_none() {
            match registry.check(&subject, &avro.text) {
                Ok(()) => plan.changes.push(Change::RegisterSchema { topic, subject: subject.clone() }),
                Err(schemas::Error::Incompatible { message, .. }) => {
                    plan.refuse(topic, format!("has a schema that can't read its older records: {message}"));
                }
                Err(error) => return Err(error.into()),
            }
        }
        if !ruled {
            plan.changes.push(Change::SetCompatibility {
                topic,
                subject,
                from: rule,
                to: BACKWARD_TRANSITIVE.to_owned(),
            });
        }
    }
    Ok(())
}

fn apply_to(registry: &SchemaRegistry, change: &Change) -> Result<(), schemas::Error> {
    match change {
        Change::RegisterSchema { topic, .. } => match topic.avro() {
            Some(avro) => avro::register(registry, *topic, avro).map(drop),
            None => Ok(()),
        },
        Change::SetCompatibility { subject, to, .. } => registry.set_compatibility(subject, to),
        Change::CreateTopic { .. } | Change::SetConfig { .. } | Change::AddPartitions { .. } => Ok(()),
    }
}
