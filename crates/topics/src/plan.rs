//! What differs between the list of topics and a cluster, as values.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::registry::Topic;

/// How large a deployment is: what the list of topics leaves open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Copies of each partition: 1 on one machine, 3 in production, where two of them must have a record.
    pub replication: i32,
    /// Other numbers of partitions than the list's, by topic. Copartitioned topics follow.
    pub partitions: BTreeMap<Topic, i32>,
}

impl Layout {
    /// The list's numbers of partitions.
    pub fn new(replication: i32) -> Self {
        Self { replication, partitions: BTreeMap::new() }
    }

    /// A sentence for each mistake.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.replication < 1 {
            mistakes.push(format!("a replication of {} is none", self.replication));
        }
        for (topic, partitions) in &self.partitions {
            let leader = topic.leader();
            if leader != *topic {
                mistakes.push(format!("{topic} has as many partitions as {leader}: set that one's number"));
            } else if *partitions < 1 {
                mistakes.push(format!("{topic} can't have {partitions} partitions"));
            }
        }
        mistakes
    }

    /// The number of partitions of a topic in a new cluster.
    pub fn partitions(&self, topic: Topic) -> i32 {
        self.partitions.get(&topic.leader()).copied().unwrap_or(topic.spec().partitions)
    }
}

/// A topic as it is in the cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Found {
    pub(crate) partitions: i32,
    /// Of the partition that has the fewest.
    pub(crate) replicas: i32,
    /// Every setting in force.
    pub(crate) config: BTreeMap<String, String>,
    /// Those that were set for this topic.
    pub(crate) own: BTreeMap<String, String>,
}

/// One step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A topic is missing.
    CreateTopic {
        /// Which.
        topic: Topic,
        /// With how many partitions.
        partitions: i32,
        /// With how many copies of each.
        replication: i32,
        /// With all its settings.
        config: BTreeMap<&'static str, String>,
    },
    /// A setting differs.
    SetConfig {
        /// Of which topic.
        topic: Topic,
        /// Kafka's name of the setting.
        name: &'static str,
        /// What it is.
        from: Option<String>,
        /// What it should be.
        to: String,
    },
    /// A topic has too few partitions, and may have more.
    AddPartitions {
        /// Which.
        topic: Topic,
        /// What it has.
        from: i32,
        /// What it should have.
        to: i32,
    },
    /// This build's schema isn't registered, and may be.
    RegisterSchema {
        /// Of which topic.
        topic: Topic,
        /// Under which subject.
        subject: String,
    },
    /// The subject's rule of compatibility isn't ours.
    SetCompatibility {
        /// Of which topic.
        topic: Topic,
        /// Of which subject.
        subject: String,
        /// What it is.
        from: Option<String>,
        /// What it should be.
        to: String,
    },
}

impl Change {
    pub(crate) const fn is_of_schemas(&self) -> bool {
        matches!(self, Self::RegisterSchema { .. } | Self::SetCompatibility { .. })
    }
}

/// A difference that can't be mended without a person's decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Refusal {
    /// At which topic.
    pub topic: Topic,
    /// What differs, why it is left alone, and what can be done.
    pub sentence: String,
}

/// All that differs. `Display` is a diff for people, `Serialize` the same for programs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Plan {
    /// What [`crate::Admin::apply`] will do, in this order.
    pub changes: Vec<Change>,
    /// What it won't; while there is one, it does nothing.
    pub refusals: Vec<Refusal>,
}

impl Plan {
    /// True when nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.refusals.is_empty()
    }

    /// The plan for the topics themselves.
    pub(crate) fn of_topics(layout: &Layout, found: &BTreeMap<Topic, Found>) -> Self {
        let mut plan = Self::default();
        for topic in Topic::ALL {
            let wanted = target(layout, found, *topic);
            match found.get(topic) {
                Some(there) => plan.compare(layout, *topic, there, wanted),
                None => plan.changes.push(Change::CreateTopic {
                    topic: *topic,
                    partitions: wanted,
                    replication: layout.replication,
                    config: topic.spec().config(layout.replication),
                }),
            }
        }
        plan
    }

    fn compare(&mut self, layout: &Layout, topic: Topic, there: &Found, wanted: i32) {
        if there.partitions < wanted && topic.spec().may_grow() {
            self.changes.push(Change::AddPartitions { topic, from: there.partitions, to: wanted });
        } else if there.partitions != wanted {
            self.refuse(topic, partitions_sentence(topic, there.partitions, wanted));
        }
        if there.replicas < layout.replication {
            self.refuse(
                topic,
                format!(
                    "has partitions with {} of {} copies, and only the brokers' own tool can move them: \
                     run kafka-reassign-partitions, or set the replication to what is there",
                    there.replicas, layout.replication
                ),
            );
        }
        for (name, to) in topic.spec().config(layout.replication) {
            let from = there.config.get(name);
            if from != Some(&to) {
                self.changes.push(Change::SetConfig { topic, name, from: from.cloned(), to });
            }
        }
    }

    pub(crate) fn refuse(&mut self, topic: Topic, sentence: String) {
        self.refusals.push(Refusal { topic, sentence });
    }
}

/// The number of partitions that a topic should have in this cluster.
fn target(layout: &Layout, found: &BTreeMap<Topic, Found>, topic: Topic) -> i32 {
    let leader = topic.leader();
    let wanted = layout.partitions(leader);
    let Some(there) = found.get(&leader).map(|found| found.partitions) else { return wanted };
    if topic == leader {
        // More than the list says is a decision that somebody took; only another explicit one contradicts it.
        let settled = there > wanted && !layout.partitions.contains_key(&leader);
        return if settled { there } else { wanted };
    }
    // Followers match what the leader has after the plan, which is what it has now if it can't grow.
    if there < wanted && leader.spec().may_grow() { wanted } else { there }
}

fn partitions_sentence(topic: Topic, there: i32, wanted: i32) -> String {
    let leader = topic.leader();
    if leader != topic {
        return format!(
            "has {there} partitions and {leader} {wanted}, but a task uses the same partition of both: \
             records would meet the wrong state. Bring {leader} back to {there}, or start a new cluster from a replay"
        );
    }
    if wanted < there {
        return format!(
            "has {there} partitions and is to have {wanted}, but Kafka can't take partitions away: \
             set its number to {there}"
        );
    }
    format!(
        "has {there} partitions and is to have {wanted}, but its records and the state made from them lie where \
         their hash put them among {there}: set its number to {there}, or start a new cluster from a replay"
    )
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTopic { topic, partitions, replication, config } => {
                write!(f, "+ {topic}: {partitions} partitions, replication {replication}")?;
                for (name, value) in config {
                    write!(f, "\n    {name} = {value}")?;
                }
                Ok(())
            }
            Self::SetConfig { topic, name, from, to } => {
                write!(f, "~ {topic}: {name} {} -> {to}", from.as_deref().unwrap_or("(none)"))
            }
            Self::AddPartitions { topic, from, to } => write!(f, "~ {topic}: partitions {from} -> {to}"),
            Self::RegisterSchema { subject, .. } => write!(f, "+ {subject}: this build's schema"),
            Self::SetCompatibility { subject, from, to, .. } => {
                write!(f, "~ {subject}: compatibility {} -> {to}", from.as_deref().unwrap_or("(none)"))
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "! {} {}", self.topic, self.sentence)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing differs\n");
        }
        for refusal in &self.refusals {
            writeln!(f, "{refusal}")?;
        }
        for change in &self.changes {
            writeln!(f, "{change}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster that is as the list and `layout` say.
    fn cluster(layout: &Layout) -> BTreeMap<Topic, Found> {
        let found = |topic: &Topic| {
            let config: BTreeMap<String, String> =
                topic.spec().config(layout.replication).into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
            Found {
                partitions: layout.partitions(*topic),
                replicas: layout.replication,
                own: config.clone(),
                config,
            }
        };
        Topic::ALL.iter().map(|topic| (*topic, found(topic))).collect()
    }

    fn with(topic: Topic, partitions: i32) -> Layout {
        Layout { partitions: BTreeMap::from([(topic, partitions)]), ..Layout::new(1) }
    }

    #[test]
    fn a_cluster_as_it_should_be_needs_nothing() {
        let layout = Layout::new(3);
        let plan = Plan::of_topics(&layout, &cluster(&layout));
        assert!(plan.is_empty());
        assert_eq!(plan.to_string(), "nothing differs\n");
    }

    #[test]
    fn an_empty_cluster_gets_everything_with_the_partitions_of_the_leader() {
        let plan = Plan::of_topics(&with(Topic::Events, 12), &BTreeMap::new());
        assert!(plan.refusals.is_empty());
        assert_eq!(plan.changes.len(), Topic::ALL.len());
        for change in &plan.changes {
            let Change::CreateTopic { topic, partitions, .. } = change else { panic!("{change}") };
            let expected = if topic.leader() == Topic::Events { 12 } else { topic.spec().partitions };
            assert_eq!(*partitions, expected, "{topic}");
        }
    }

    #[test]
    fn raw_grows_and_the_normalizers_changelog_with_it() {
        let found = cluster(&Layout::new(1));
        let plan = Plan::of_topics(&with(Topic::Raw, 8), &found);
        assert_eq!(
            plan.to_string(),
            "~ commerce.raw.v1: partitions 4 -> 8\n~ tillstream.normalizer.main.changelog: partitions 4 -> 8\n"
        );
    }

    #[test]
    fn a_topic_with_state_keeps_its_partitions_and_the_refusal_says_why() {
        let found = cluster(&Layout::new(1));
        let plan = Plan::of_topics(&with(Topic::Events, 8), &found);
        assert!(plan.changes.is_empty(), "{plan}");
        let [Refusal { topic: Topic::Events, sentence }] = plan.refusals.as_slice() else { panic!("{plan}") };
        assert!(sentence.starts_with("has 4 partitions and is to have 8, but"), "{sentence}");
    }

    #[test]
    fn partitions_are_never_taken_away() {
        let found = cluster(&with(Topic::Raw, 8));
        let asked = Plan::of_topics(&with(Topic::Raw, 4), &found);
        assert!(asked.to_string().contains("Kafka can't take partitions away"), "{asked}");
        assert!(asked.changes.is_empty());
        assert!(Plan::of_topics(&Layout::new(1), &found).is_empty(), "more than the list says is fine");
    }

    #[test]
    fn a_missing_follower_gets_the_partitions_that_its_leader_has() {
        let layout = with(Topic::Events, 6);
        let mut found = cluster(&layout);
        found.remove(&Topic::Signals);
        let plan = Plan::of_topics(&Layout::new(1), &found);
        let [Change::CreateTopic { topic: Topic::Signals, partitions: 6, .. }] = plan.changes.as_slice()
        else {
            panic!("{plan}")
        };
        assert!(plan.refusals.is_empty());
    }

    #[test]
    fn a_changelog_beside_another_number_of_partitions_is_refused() {
        let mut found = cluster(&Layout::new(1));
        found.get_mut(&Topic::StateChangelog).unwrap().partitions = 3;
        let plan = Plan::of_topics(&Layout::new(1), &found);
        assert_eq!(plan.refusals.len(), 1);
        assert!(plan.to_string().contains("a task uses the same partition of both"), "{plan}");
    }

    #[test]
    fn too_few_copies_and_a_changed_setting_are_found() {
        let mut found = cluster(&Layout::new(3));
        let raw = found.get_mut(&Topic::Raw).unwrap();
        raw.replicas = 1;
        raw.config.insert("retention.ms".to_owned(), "1".to_owned());
        let text = Plan::of_topics(&Layout::new(3), &found).to_string();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("! commerce.raw.v1 has partitions with 1 of 3 copies"), "{text}");
        assert!(text.contains("~ commerce.raw.v1: retention.ms 1 -> 2592000000"), "{text}");
    }

    #[test]
    fn a_layout_that_cannot_be_is_refused() {
        assert!(Layout::new(3).mistakes().is_empty());
        assert_eq!(Layout::new(0).mistakes().len(), 1);
        assert_eq!(with(Topic::Facts, 8).mistakes().len(), 1);
        assert_eq!(with(Topic::Events, 0).mistakes().len(), 1);
    }

    #[test]
    fn a_plan_is_json_for_programs() {
        let plan = Plan::of_topics(&with(Topic::Raw, 8), &cluster(&Layout::new(1)));
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(json["changes"][0]["change"], "add_partitions");
        assert_eq!(json["changes"][0]["topic"], Topic::Raw.name());
        assert_eq!(json["refusals"], serde_json::json!([]));
    }
}
