//! Running stages in this process, and knowing when they have done everything.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use commerce::{DuplicateLevel, Outcome, Source};
use prometheus::IntCounter;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use service::metrics::Counter;
use service::{Config, Metrics, Shutdown};
use tokio::runtime::Runtime;
use topics::Topic;

use super::cluster::Kafka;
use super::machine::Moment;
use crate::cli::Service;
use crate::serve::Services;

/// How finely the end is known. Looking costs a few atomic reads and two files of `/proc`.
const LOOK: Duration = Duration::from_millis(5);
/// So long without progress may be the end, and is looked into.
const QUIET: Duration = Duration::from_millis(200);
/// So long without progress is a failure.
const STUCK: Duration = Duration::from_secs(60);
const CALL: Duration = Duration::from_secs(10);

/// Stages that run.
pub struct Stages<'k> {
    runtime: &'k Runtime,
    /// What they count.
    pub metrics: Metrics,
    shutdown: Shutdown,
    services: Vec<Services>,
}

impl<'k> Stages<'k> {
    /// Starts them; doesn't wait until they are ready.
    pub fn start(kafka: &'k Kafka, config: &Arc<Config>, which: &[Service]) -> anyhow::Result<Self> {
        let metrics = Metrics::new(env!("CARGO_PKG_VERSION"))?;
        let shutdown = Shutdown::new();
        let free = Some(config.gateway.listen);
        let start = |service: &Service| {
            kafka.runtime.block_on(Services::start(config, &metrics, &shutdown, *service, free))
        };
        let services = which.iter().map(start).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { runtime: &kafka.runtime, metrics, shutdown, services })
    }

    /// Waits until all have what they need.
    pub fn wait_ready(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let waiting: Vec<_> = self.services.iter().flat_map(Services::waiting_for).collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if self.shutdown.is_triggered() || Instant::now() >= deadline {
                return Err(anyhow!("{} didn't get ready", waiting.join(", ")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The gateway's and the query service's addresses, as far as they are among them.
    pub fn addresses(&self) -> (Option<std::net::SocketAddr>, Option<std::net::SocketAddr>) {
        let gateway = self.services.iter().find_map(|services| services.gateway);
        (gateway, self.services.iter().find_map(|services| services.query))
    }

    /// Ends them; the first failure of any of them.
    pub fn stop(self) -> anyhow::Result<()> {
        self.shutdown.trigger();
        let ended: Vec<_> =
            self.services.into_iter().map(|services| self.runtime.block_on(services.end())).collect();
        ended.into_iter().collect()
    }

    /// Whether a stage has failed.
    pub fn has_failed(&self) -> bool {
        self.shutdown.is_triggered()
    }

    /// Committed transactions of a stage.
    pub fn transactions(&self, stage: &str) -> u64 {
        self.metrics.counter(Counter::Transactions, &[stage, "committed"]).get()
    }

    /// Transactions of a stage that were aborted or whose outcome wasn't known.
    pub fn disturbed(&self, stage: &str) -> u64 {
        ["aborted", "unknown"]
            .iter()
            .map(|how| self.metrics.counter(Counter::Transactions, &[stage, how]).get())
            .sum()
    }
}

/// Committed items of a stage, by the counters that it raises after each commit.
pub struct Progress {
    counters: Vec<IntCounter>,
    /// Committed items.
    pub items: u64,
    /// When the last of them were, as far as they were looked at.
    pub last: Moment,
    changed: Instant,
}

impl Progress {
    /// Of one stage.
    pub fn new(stages: &Stages<'_>, stage: &str, broker: Option<u32>) -> Self {
        let levels = DuplicateLevel::ALL.map(Outcome::Duplicate);
        let outcomes = [Outcome::Published, Outcome::Stale].into_iter().chain(levels);
        let counter = |outcome: Outcome| {
            let labels = [stage, Source::Shopify.as_str(), outcome.as_str(), outcome.detail()];
            stages.metrics.counter(Counter::Records, &labels)
        };
        Self {
            counters: outcomes.map(counter).collect(),
            items: 0,
            last: Moment::now(broker),
            changed: Instant::now(),
        }
    }

    /// Looks; true when something was committed since.
    pub fn look(&mut self, broker: Option<u32>) -> bool {
        let items = self.counters.iter().map(IntCounter::get).sum();
        if items == self.items {
            return false;
        }
        self.items = items;
        self.last = Moment::now(broker);
        self.changed = Instant::now();
        true
    }

    /// Looks until `done` says so: given the items, and whether nothing has happened for a moment.
    pub fn wait(
        stages: &Stages<'_>,
        all: &mut [&mut Self],
        broker: Option<u32>,
        done: &mut dyn FnMut(&[u64], bool) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        loop {
            for progress in all.iter_mut() {
                progress.look(broker);
            }
            let items: Vec<u64> = all.iter().map(|progress| progress.items).collect();
            let still = all.iter().map(|progress| progress.changed.elapsed()).min().unwrap_or_default();
            if done(&items, still >= QUIET)? {
                return Ok(());
            }
            if stages.has_failed() {
                return Err(anyhow!("a stage has ended, see its error above"));
            }
            if still >= STUCK {
                return Err(anyhow!("nothing was committed for {} s, at {items:?} items", STUCK.as_secs()));
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// Whether a stage's group has committed all that there is of its input: from where it stands, there is nothing.
pub fn is_drained(kafka: &Kafka, stage: &str, input: Topic) -> anyhow::Result<bool> {
    let consumer: BaseConsumer = kafka
        .client()
        .set("group.id", format!("tillstream-{stage}"))
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .create()?;
    let partitions = i32::try_from(kafka.ends(input.name())?.len())?;
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions {
        asked.add_partition(input.name(), partition);
    }
    let committed = consumer.committed_offsets(asked, CALL)?;
    let mut from = TopicPartitionList::new();
    for element in committed.elements() {
        let offset = match element.offset() {
            Offset::Offset(offset) => Offset::Offset(offset),
            _ => Offset::Beginning,
        };
        from.add_partition_offset(input.name(), element.partition(), offset)?;
    }
    consumer.assign(&from)?;
    let (mut ended, deadline) = (0, Instant::now() + CALL);
    while ended < partitions {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(_)) => return Ok(false),
            Some(Err(KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => return Err(error.into()),
            None if Instant::now() >= deadline => return Err(anyhow!("{input} can't be read to its end")),
            None => {}
        }
    }
    Ok(true)
}
