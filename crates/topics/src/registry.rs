//! The list of topics, read from `schemas/topics/*.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::avro;
use crate::units::{self, Retention, Size};

macro_rules! topics {
    ($($(#[doc = $doc:literal])+ $variant:ident = $file:literal,)+) => {
        /// The topics. Their names are in their YAML files and nowhere else.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Topic {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Topic {
            /// All of them, in the order of the flow.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The variant's name, file name and text of the YAML.
            const fn source(self) -> (&'static str, &'static str, &'static str) {
                match self {
                    $(Self::$variant => (
                        stringify!($variant),
                        $file,
                        include_str!(concat!("../../../schemas/topics/", $file)),
                    ),)+
                }
            }
        }
    };
}

topics! {
    /// Deliveries as they came.
    Raw = "commerce.raw.v1.yaml",
    /// What each delivery says.
    Events = "commerce.events.v1.yaml",
    /// One record per order.
    Orders = "commerce.orders.v1.yaml",
    /// One record per person.
    Profiles = "commerce.profiles.v1.yaml",
    /// Each business fact once.
    Facts = "commerce.facts.v1.yaml",
    /// Triggers for automations.
    Signals = "commerce.signals.v1.yaml",
    /// One record per cell of a figure.
    Metrics = "commerce.metrics.v1.yaml",
    /// Where sources disagree.
    Reconciliation = "commerce.reconciliation.v1.yaml",
    /// What couldn't go on.
    DeadLetters = "commerce.dead-letters.v1.yaml",
    /// Rates of exchange.
    FxRates = "commerce.fx-rates.v1.yaml",
    /// The policy of each workspace, in versions.
    Policies = "commerce.policies.v1.yaml",
    /// Offsets of the normalizer.
    NormalizerChangelog = "tillstream.normalizer.main.changelog.yaml",
    /// State of the state stage.
    StateChangelog = "tillstream.state.main.changelog.yaml",
    /// State of the aggregator.
    AggregatorChangelog = "tillstream.aggregator.main.changelog.yaml",
    /// What each idempotency key stands for.
    Claims = "tillstream.gateway.claims.yaml",
    /// Which versions of the figures there are.
    Versions = "tillstream.aggregator.versions.yaml",
}

impl Topic {
    /// Everything that its YAML says.
    pub fn spec(self) -> &'static Spec {
        &SPECS[self as usize]
    }

    /// The name in Kafka.
    pub fn name(self) -> &'static str {
        &self.spec().name
    }

    /// The topic of that name, if it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|topic| topic.name() == name)
    }

    /// The topic whose number of partitions this one has: itself, unless it is copartitioned.
    pub fn leader(self) -> Self {
        self.spec().leader
    }

    /// The registry's subject of its values.
    pub fn subject(self) -> String {
        format!("{}-value", self.name())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How records are placed on partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partitioning {
    /// By the hash of the key, which is a delivery's.
    Delivery,
    /// By the hash of the key, for good: the order of a key's records decides.
    Key,
    /// By the hash of the workspace; the key stays what it is.
    Workspace,
    /// The partition is the task's own.
    Task,
}

/// What the values are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// Bytes as they came.
    Raw,
    /// The form is the producer's own affair.
    Internal,
    /// The record isn't defined yet.
    Undecided,
    /// Avro in the Confluent wire format; the file in `schemas/avro`.
    Avro(String),
}

/// What becomes of old records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cleanup {
    /// They are deleted.
    Delete {
        /// Not before this age.
        retention: Retention,
        /// Nor much later than this after it: only whole segments are deleted, and one covers this long.
        segment: Duration,
    },
    /// The newest record of each key stays.
    Compact {
        /// A superseded record stays at least this long.
        min_lag: Duration,
        /// A superseded record is gone soon after this.
        max_lag: Duration,
        /// A deletion can be read this long; a reader that was away longer must start afresh.
        tombstones: Duration,
    },
}

/// How producers compress; brokers keep batches as they come when they are compressed like this.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
    /// Whatever the producer does.
    Producer,
}

impl Compression {
    /// As Kafka calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
            Self::Producer => "producer",
        }
    }
}

/// Who writes or reads a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Party {
    /// The gateway.
    Gateway,
    /// The normalizer.
    Normalizer,
    /// The state stage.
    State,
    /// The aggregator.
    Aggregator,
    /// The query service.
    Query,
    /// `tillstream`'s own tools.
    Tools,
    /// Anybody: a public interface.
    Outside,
}

/// One topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// Its name in Kafka.
    pub name: String,
    /// What it is, for people.
    pub about: String,
    /// What the key is, for people.
    pub key: String,
    /// How records are placed.
    pub partitioning: Partitioning,
    /// Partitions of a new cluster; that of the leader for a copartitioned topic.
    pub partitions: i32,
    /// The topic that must always have as many partitions, because a task reads or writes the same partition of both.
    pub copartitioned_with: Option<Topic>,
    /// The end of that chain; the topic itself if there is none.
    pub leader: Topic,
    /// What the values are.
    pub value: Value,
    /// What becomes of old records.
    pub cleanup: Cleanup,
    /// The largest batch that the broker takes, after compression: key, headers and value of one record must fit.
    pub max_message: Size,
    /// How producers compress.
    pub compression: Compression,
    /// Who writes it.
    pub producers: Vec<Party>,
    /// Who reads it.
    pub consumers: Vec<Party>,
}

impl Spec {
    /// The topic's settings in Kafka, complete: nothing is left to a broker's defaults that decides what is kept.
    pub fn config(&self, replication: i32) -> BTreeMap<&'static str, String> {
        let mut config = BTreeMap::from([
            ("compression.type", self.compression.as_str().to_owned()),
            ("max.message.bytes", self.max_message.0.to_string()),
            ("message.timestamp.type", "CreateTime".to_owned()),
            // A record carries its first timestamp from stage to stage. By default a broker refuses one that is an hour
            // ahead of its clock: after a clock was set back, a stage would abort the same transaction for ever.
            ("message.timestamp.after.max.ms", i64::MAX.to_string()),
            ("min.insync.replicas", if replication >= 3 { "2" } else { "1" }.to_owned()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ]);
        let millis = |duration: Duration| duration.as_millis().to_string();
        match self.cleanup {
            Cleanup::Delete { retention, segment } => config.extend([
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", retention.millis()),
                ("retention.bytes", "-1".to_owned()),
                ("segment.ms", millis(segment)),
            ]),
            Cleanup::Compact { min_lag, max_lag, tombstones } => config.extend([
                ("cleanup.policy", "compact".to_owned()),
                ("min.compaction.lag.ms", millis(min_lag)),
                ("max.compaction.lag.ms", millis(max_lag)),
                ("delete.retention.ms", millis(tombstones)),
            ]),
        }
        config
    }

    /// True when partitions may be added to a topic that has records: nothing depends on where a key went.
    pub fn may_grow(&self) -> bool {
        let free = |spec: &Self| {
            spec.partitioning == Partitioning::Delivery && matches!(spec.cleanup, Cleanup::Delete { .. })
        };
        // Partition n of a changelog is task n's, wherever keys go.
        free(self) || (self.partitioning == Partitioning::Task && free(self.leader.spec()))
    }
}

/// The largest message that any of `topics` takes: what a producer's `message.max.bytes` must be.
pub fn largest_message(topics: &[Topic]) -> Size {
    topics.iter().map(|topic| topic.spec().max_message).max().unwrap_or(Size(0))
}

/// The YAML as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    topic: String,
    about: String,
    key: String,
    partitioning: Partitioning,
    partitions: Option<i32>,
    copartitioned_with: Option<String>,
    value: String,
    cleanup: Policy,
    retention: Option<String>,
    segment: Option<String>,
    min_compaction_lag: Option<String>,
    max_compaction_lag: Option<String>,
    tombstones: Option<String>,
    max_message: String,
    compression: Compression,
    producers: Vec<Party>,
    consumers: Vec<Party>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Policy {
    Delete,
    Compact,
}

static SPECS: LazyLock<Vec<Spec>> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "the files are part of the binary, and a test reads them")]
    build(Topic::source).expect("schemas/topics is sound")
});

/// Reads and checks all files; a mistake is a sentence that names the file.
fn build(source: impl Fn(Topic) -> (&'static str, &'static str, &'static str)) -> Result<Vec<Spec>, String> {
    let mut written = Vec::new();
    for topic in Topic::ALL {
        let (_, file, text) = source(*topic);
        let one: Written = serde_saphyr::from_str(text).map_err(|e| format!("{file}: {e}"))?;
        if Some(one.topic.as_str()) != file.strip_suffix(".yaml") {
            return Err(format!("{file}: the topic is called {}", one.topic));
        }
        written.push(one);
    }
    let find = |name: &str| Topic::ALL.iter().copied().find(|topic| written[*topic as usize].topic == name);
    Topic::ALL
        .iter()
        .map(|topic| {
            let one = &written[*topic as usize];
            spec(*topic, one, &written, &find).map_err(|e| format!("{}.yaml: {e}", one.topic))
        })
        .collect()
}

fn spec(
    topic: Topic,
    one: &Written,
    all: &[Written],
    find: &impl Fn(&str) -> Option<Topic>,
) -> Result<Spec, String> {
    let mut leader = topic;
    for _ in Topic::ALL {
        let Some(name) = &all[leader as usize].copartitioned_with else { break };
        leader = find(name).ok_or_else(|| format!("copartitioned_with: there is no topic {name}"))?;
    }
    let partitions = match (one.partitions, all[leader as usize].partitions) {
        (Some(_), _) if leader != topic => {
            return Err(format!("partitions: it has those of {}", all[leader as usize].topic));
        }
        (_, Some(partitions @ 1..)) => partitions,
        _ => return Err("partitions: at least 1, or copartitioned_with a topic that says so".to_owned()),
    };
    if one.partitioning == Partitioning::Task && leader == topic {
        return Err("copartitioned_with: whose tasks are meant".to_owned());
    }
    if one.producers.is_empty() || one.consumers.is_empty() {
        return Err("producers, consumers: at least one each".to_owned());
    }
    Ok(Spec {
        name: one.topic.clone(),
        about: one.about.trim().to_owned(),
        key: one.key.clone(),
        partitioning: one.partitioning,
        partitions,
        copartitioned_with: one.copartitioned_with.as_deref().and_then(find),
        leader,
        value: value(&one.value)?,
        cleanup: cleanup(one)?,
        max_message: Size::parse(&one.max_message).map_err(|e| format!("max_message: {e}"))?,
        compression: one.compression,
        producers: one.producers.clone(),
        consumers: one.consumers.clone(),
    })
}

fn value(text: &str) -> Result<Value, String> {
    match text {
        "raw" => Ok(Value::Raw),
        "internal" => Ok(Value::Internal),
        "undecided" => Ok(Value::Undecided),
        file if avro::text_of(file).is_some() => Ok(Value::Avro(file.to_owned())),
        other => {
            Err(format!("value: '{other}' is neither raw, internal, undecided nor a file of schemas/avro"))
        }
    }
}

fn cleanup(one: &Written) -> Result<Cleanup, String> {
    let needed = |name: &str, field: &Option<String>| {
        field.clone().ok_or_else(|| format!("{name}: needed by this cleanup"))
    };
    let unwanted = |fields: &[(&str, &Option<String>)]| match fields.iter().find(|(_, f)| f.is_some()) {
        Some((name, _)) => Err(format!("{name}: means nothing with this cleanup")),
        None => Ok(()),
    };
    let duration = |name: &str, text: &str| units::duration(text).map_err(|e| format!("{name}: {e}"));
    match one.cleanup {
        Policy::Delete => {
            unwanted(&[
                ("min_compaction_lag", &one.min_compaction_lag),
                ("max_compaction_lag", &one.max_compaction_lag),
                ("tombstones", &one.tombstones),
            ])?;
            let retention = needed("retention", &one.retention)?;
            Ok(Cleanup::Delete {
                retention: Retention::parse(&retention).map_err(|e| format!("retention: {e}"))?,
                segment: duration("segment", &needed("segment", &one.segment)?)?,
            })
        }
        Policy::Compact => {
            unwanted(&[("retention", &one.retention), ("segment", &one.segment)])?;
            let min_lag = duration("min_compaction_lag", one.min_compaction_lag.as_deref().unwrap_or("0s"))?;
            let max_lag =
                duration("max_compaction_lag", &needed("max_compaction_lag", &one.max_compaction_lag)?)?;
            if max_lag <= min_lag {
                return Err("max_compaction_lag: not above the min_compaction_lag".to_owned());
            }
            let tombstones = duration("tombstones", &needed("tombstones", &one.tombstones)?)?;
            Ok(Cleanup::Compact { min_lag, max_lag, tombstones })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn every_file_is_read_and_every_file_is_listed() {
        let specs = build(Topic::source).unwrap();
        assert_eq!(specs.len(), Topic::ALL.len());
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/topics");
        for entry in std::fs::read_dir(dir).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            assert!(Topic::ALL.iter().any(|t| t.source().1 == file), "{file} is not in the list");
        }
        for topic in Topic::ALL {
            assert_eq!(Topic::parse(topic.name()), Some(*topic));
            assert!(topic.name().starts_with("commerce.") || topic.name().starts_with("tillstream."));
        }
    }

    #[test]
    fn everything_from_events_on_has_the_partitions_of_events() {
        for topic in Topic::ALL {
            let leader = match topic {
                Topic::Raw | Topic::NormalizerChangelog => Topic::Raw,
                Topic::DeadLetters | Topic::FxRates | Topic::Policies | Topic::Claims | Topic::Versions => {
                    *topic
                }
                _ => Topic::Events,
            };
            assert_eq!(topic.leader(), leader, "{topic}");
            assert_eq!(topic.spec().partitions, leader.spec().partitions, "{topic}");
            let by_workspace = topic.spec().partitioning == Partitioning::Workspace;
            assert!(!by_workspace || leader == Topic::Events, "{topic}");
        }
    }

    #[test]
    fn the_books_are_kept_and_what_holds_state_cannot_grow() {
        let kept = Cleanup::Delete { retention: Retention::Forever, segment: 7 * DAY };
        assert_eq!(Topic::Events.spec().cleanup, kept);
        assert_eq!(Topic::Events.spec().config(3)["retention.ms"], "-1");
        let growing: Vec<Topic> = Topic::ALL.iter().copied().filter(|t| t.spec().may_grow()).collect();
        assert_eq!(growing, [Topic::Raw, Topic::DeadLetters, Topic::NormalizerChangelog]);
    }

    #[test]
    fn a_dead_letter_holds_what_raw_holds() {
        assert!(Topic::DeadLetters.spec().max_message > Topic::Raw.spec().max_message);
        assert!(Topic::Raw.spec().max_message > Size(10 << 20));
        assert_eq!(largest_message(&[Topic::Raw, Topic::DeadLetters]), Topic::DeadLetters.spec().max_message);
    }

    #[test]
    fn two_of_three_replicas_must_have_a_record_and_one_of_one() {
        assert_eq!(Topic::Raw.spec().config(3)["min.insync.replicas"], "2");
        assert_eq!(Topic::Raw.spec().config(1)["min.insync.replicas"], "1");
        for topic in [Topic::NormalizerChangelog, Topic::StateChangelog, Topic::AggregatorChangelog] {
            let config = topic.spec().config(3);
            assert_eq!(config["cleanup.policy"], "compact");
            assert_eq!(config["max.compaction.lag.ms"], "3600000");
            assert_eq!(config["delete.retention.ms"], (7 * DAY).as_millis().to_string());
        }
    }

    fn mistake(from: &str, to: &str) -> String {
        let text: &'static str = Topic::Orders.source().2.replace(from, to).leak();
        build(|t| if t == Topic::Orders { ("Orders", t.source().1, text) } else { t.source() }).unwrap_err()
    }

    #[test]
    fn a_mistake_names_the_file_and_the_field() {
        let cases = [
            ("key:", "kez:", "kez"),
            ("topic: commerce.orders.v1", "topic: commerce.order.v1", "called commerce.order.v1"),
            ("commerce.events.v1\n", "commerce.event.v1\n", "no topic commerce.event.v1"),
            ("copartitioned_with: commerce.events.v1", "partitions: 0", "partitions"),
            ("value: order.avsc", "value: orders.avsc", "orders.avsc"),
            ("tombstones: 7d", "retention: 7d", "retention"),
            ("max_compaction_lag: 1d", "max_compaction_lag: 0s", "max_compaction_lag"),
            ("max_message: 6MiB", "max_message: 6", "max_message"),
            ("[state]", "[stat]", "stat"),
            ("cleanup: compact", "cleanup: compact\npartitions: 3", "partitions"),
        ];
        for (from, to, named) in cases {
            let said = mistake(from, to);
            assert!(said.starts_with("commerce.order") && said.contains(named), "{to}: {said}");
        }
    }
}
