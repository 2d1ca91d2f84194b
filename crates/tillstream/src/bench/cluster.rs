//! The Kafka that is measured on: one of its own, gone afterwards, or an existing one.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use localkafka::{Artifacts, Cluster};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::ThreadedProducer;
use service::Config;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use topics::{SchemaRegistry, Topic};

use super::{Place, say, shops};
use crate::cli::Common;
use crate::{Stop, topic};

const CALL: Duration = Duration::from_secs(10);

/// A running cluster, and the configuration of services on it.
pub struct Kafka {
    /// With the shops of W as workspaces, and free ports on this machine.
    pub config: Config,
    /// Of clients and servers that belong to the measurement.
    pub runtime: Runtime,
    /// The broker's process, for its CPU time.
    pub broker: Option<u32>,
    /// True when the cluster is this command's own.
    pub local: bool,
    // In this order: the folder goes last.
    cluster: Option<Arc<Cluster>>,
    _folder: Option<TempDir>,
}

impl Kafka {
    /// A cluster without topics.
    pub fn start(common: &Common, place: &Place) -> Result<Self, Stop> {
        let mut config = Config::load(common.config.as_deref(), vec![])
            .map_err(|errors| Stop::Usage(anyhow!("{errors}")))?;
        config.instance = Some("bench".to_owned());
        config.workspaces = shops::configs();
        if config.log.level == "info" {
            config.log.level = "warn".to_owned();
        }
        service::log::init(&config.log).map_err(|e| Stop::Usage(anyhow!(e)))?;
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.gateway.listen = free;
        config.gateway.reports_url = None;
        config.query.listen = free;
        // The servers of the stages have next to nothing to do; those that are measured have a runtime of their own.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ops")
            .enable_all()
            .build()?;
        let (cluster, folder) = match (&place.kafka, &place.registry) {
            (Some(kafka), Some(registry)) => {
                config.kafka.bootstrap.clone_from(kafka);
                config.registry.url.clone_from(registry);
                (None, None)
            }
            _ => {
                let folder = tempfile::Builder::new().prefix("tillstream-bench-").tempdir()?;
                let cluster = Arc::new(local(&mut config, &folder)?);
                end_with_signal(&runtime, &cluster, &folder);
                (Some(cluster), Some(folder))
            }
        };
        let broker = cluster.as_ref().and_then(|cluster| cluster.pid(1)).or(place.broker_pid);
        let kafka = Self { config, runtime, broker, local: cluster.is_some(), cluster, _folder: folder };
        if place.wipe {
            kafka.wipe()?;
        }
        Ok(kafka)
    }

    /// A cluster with the product's topics and schemas; they must be empty.
    pub fn with_topics(common: &Common, place: &Place) -> Result<Self, Stop> {
        let kafka = Self::start(common, place)?;
        let admin = topic::admin(&kafka.config, 1)?;
        admin.apply(&admin.plan(None)?, None)?;
        if let Some(cluster) = &kafka.cluster {
            cluster.wait_registry()?;
        }
        let registry = SchemaRegistry::new(&kafka.config.registry.url, Duration::from_secs(60))?;
        admin.apply(&admin.plan(Some(&registry))?, Some(&registry))?;
        for topic in Topic::ALL {
            let records: i64 = kafka.ends(topic.name())?.iter().sum();
            if records > 0 {
                return Err(Stop::Usage(anyhow!(
                    "{} has records already: totals can be checked on an empty cluster only; --wipe deletes them",
                    topic.name()
                )));
            }
        }
        Ok(kafka)
    }

    /// A client without anything of its own.
    pub fn client(&self) -> ClientConfig {
        service::kafka::client_config(&self.config)
    }

    /// A producer as the gateway has it, but for a queue that suits a flood.
    pub fn producer(&self) -> anyhow::Result<ThreadedProducer<rdkafka::producer::DefaultProducerContext>> {
        Ok(self.producer_config().create()?)
    }

    /// The properties of [`Kafka::producer`].
    pub fn producer_config(&self) -> ClientConfig {
        let mut client = self.client();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "32768")
            .set("delivery.report.only.error", "true");
        client
    }

    /// The end offsets of a topic's partitions, open transactions included; empty when it doesn't exist.
    pub fn ends(&self, topic: &str) -> anyhow::Result<Vec<i64>> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "tillstream-bench")
            .set("isolation.level", "read_uncommitted")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), CALL)?;
        let partitions = metadata.topics().first().map_or(0, |found| found.partitions().len());
        let deadline = Instant::now() + CALL;
        let end = |partition: usize| loop {
            match consumer.fetch_watermarks(topic, i32::try_from(partition)?, CALL) {
                Ok((_, end)) => return anyhow::Ok(end),
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                // A topic that has just been made may not have its leaders yet.
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        (0..partitions).map(end).collect()
    }

    /// Makes topics of four partitions.
    pub fn create(&self, names: &[&str]) -> anyhow::Result<()> {
        let admin = self.admin()?;
        let new: Vec<NewTopic<'_>> =
            names.iter().map(|name| NewTopic::new(name, 4, TopicReplication::Fixed(1))).collect();
        let made = self.runtime.block_on(admin.create_topics(&new, &AdminOptions::new()))?;
        made.into_iter()
            .try_for_each(|made| made.map(drop).map_err(|(name, code)| anyhow!("{name}: {code}")))?;
        let deadline = Instant::now() + CALL;
        while !names.iter().all(|name| self.ends(name).is_ok_and(|ends| ends.len() == 4)) {
            if Instant::now() >= deadline {
                return Err(anyhow!("the topics aren't there {} s after they were made", CALL.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Deletes topics, and waits until they are gone.
    pub fn delete(&self, names: &[&str]) -> anyhow::Result<()> {
        let admin = self.admin()?;
        for deleted in self.runtime.block_on(admin.delete_topics(names, &AdminOptions::new()))? {
            match deleted {
                Ok(_) | Err((_, RDKafkaErrorCode::UnknownTopicOrPartition)) => {}
                Err((name, code)) => return Err(anyhow!("{name} can't be deleted: {code}")),
            }
        }
        let deadline = Instant::now() + CALL;
        while names.iter().any(|name| self.ends(name).is_ok_and(|ends| !ends.is_empty())) {
            if Instant::now() >= deadline {
                return Err(anyhow!("the deleted topics are still there after {} s", CALL.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn wipe(&self) -> anyhow::Result<()> {
        say("deleting the product's topics");
        let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        self.delete(&names)
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        let _guard = self.runtime.enter();
        Ok(self.client().create()?)
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if let Some(cluster) = &self.cluster {
            cluster.stop();
        }
    }
}

fn local(config: &mut Config, folder: &TempDir) -> Result<Cluster, Stop> {
    let artifacts = Artifacts::resolve(&|text| say(text))?;
    let mut options = localkafka::Options::new(folder.path());
    // The shortest-lived of clusters: nobody waits for it longer than for a build.
    options.ready_within = Duration::from_secs(180);
    say(&format!("starting Kafka in {}", folder.path().display()));
    let cluster = Cluster::start(&artifacts, options)?;
    cluster.wait_kafka()?;
    config.kafka.bootstrap = cluster.bootstrap().to_owned();
    config.registry.url = cluster.registry_url().to_owned();
    Ok(cluster)
}

/// Ctrl-C and SIGTERM end the measurement without a result, and leave no gigabytes behind.
fn end_with_signal(runtime: &Runtime, cluster: &Arc<Cluster>, folder: &TempDir) {
    let (cluster, folder) = (Arc::clone(cluster), folder.path().to_owned());
    runtime.spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        let status = tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        let ended = tokio::task::spawn_blocking(move || {
            cluster.stop();
            let _ = std::fs::remove_dir_all(folder);
        });
        let _ = ended.await.context("ending Kafka");
        std::process::exit(status);
    });
}
