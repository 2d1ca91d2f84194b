//! The published policies: read, compared with the configuration, and the one place that writes a version.
//!
//! Everything is written under one transactional id. Whoever starts ends what a killed predecessor left open and fences
//! one that still runs; then it reads what is published, up to and including what was just decided. So a version is
//! written behind the one that it was made from or not at all, in one transaction to the topic of policies and to the
//! workspace's partition of the events, where the stages meet it.
//!
//! Of a workspace without a policy the first stage that starts, `up` and `topics apply` publish version 1, which says what
//! their configuration says. From then on that part of a configuration is a proposal: [`settle`] gives a stage what is
//! published, and says where its configuration says something else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, anyhow};
use commerce::policy::{Difference, Policy, Rules};
use commerce::{EventTime, ReceivedTime, WorkspaceId};
use rdkafka::ClientConfig;
use sources::Workspaces;
use stream::{Followed, Outgoing, WriteError, Writer, partition_count, read_decided};
use topics::{Schemas, Topic, partition_of};

use crate::{Config, clock, kafka};

/// The one name under which policies are published.
const TRANSACTIONAL_ID: &str = "tillstream-policy";
/// How often it is begun anew when somebody else was quicker, or the cluster slower.
const ATTEMPTS: u32 = 8;
/// Who published a version 1 that nobody published by hand.
const BY_CONFIGURATION: &str = "configuration";

/// The first versions of several services of one process are written by one of them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// All published versions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Published(BTreeMap<WorkspaceId, Vec<Policy>>);

impl Published {
    /// Takes in a record. One that can't stand where it stands is left out, and said: nobody but us writes them.
    pub fn take(&mut self, policy: Policy) {
        let versions = self.0.entry(policy.workspace.clone()).or_default();
        if versions.contains(&policy) {
            return;
        }
        match policy.after(versions.last()) {
            Ok(()) => versions.push(policy),
            Err(wrong) => tracing::error!(
                workspace = %policy.workspace,
                version = policy.version,
                wrong = wrong.join("; "),
                "a published policy can't stand where it stands, and is left out"
            ),
        }
    }

    /// The versions of a workspace, in their order.
    pub fn of(&self, workspace: &str) -> &[Policy] {
        let found = self.0.iter().find(|(id, _)| id.as_str() == workspace);
        found.map(|(_, versions)| versions.as_slice()).unwrap_or_default()
    }

    /// Where the rules of a configuration differ from the last published version.
    pub fn differences(&self, workspace: &str, configured: &Rules) -> Vec<Difference> {
        self.of(workspace).last().map(|last| configured.differences(&last.rules)).unwrap_or_default()
    }
}

/// What a workspace is counted by that its configuration has otherwise and that no version can change: a service that
/// only reads figures can't go by it.
pub fn misread(configured: &Workspaces, published: &Published) -> Vec<String> {
    let of = |workspace: &sources::Workspace| {
        let id = workspace.id.clone();
        let fixed = |difference: &Difference| matches!(difference.key, "base_currency" | "time_zone");
        let found = published.differences(id.as_str(), &workspace.rules).into_iter().filter(fixed);
        found.map(move |Difference { key, from, to }| {
            format!("workspaces.{id}.{key}: {from} is configured, and the workspace is counted by {to}")
        })
    };
    configured.iter().flat_map(of).collect()
}

/// Reads everything that is published. Blocks, as everything here.
pub fn read(client: &ClientConfig, schemas: &Schemas, stop: &dyn Fn() -> bool) -> anyhow::Result<Published> {
    let (mut published, mut decoder) = (Published::default(), schemas.decoder());
    let mut unreadable = None;
    let whole = read_decided(client, Topic::Policies.name(), stop, &mut |followed| {
        if let Followed::Record { value: Some(value), offset, .. } = followed {
            match decoder.decode::<Policy>(value) {
                Ok(policy) => published.take(policy),
                Err(error) => drop(unreadable.get_or_insert(format!("offset {offset}: {error}"))),
            }
        }
        Ok(())
    })
    .with_context(|| format!("cannot read {}", Topic::Policies))?;
    // What can't be read might be the version that counts.
    if let Some(message) = unreadable {
        anyhow::bail!("{} can't be read: {message}", Topic::Policies);
    }
    anyhow::ensure!(whole, "stopped before everything was read");
    Ok(published)
}

/// Publishes version 1 of every configured workspace that has none. Gives all that is published then, and how many were
/// new.
pub fn seed(
    config: &Config,
    workspaces: &Workspaces,
    schemas: &Schemas,
    stop: &dyn Fn() -> bool,
) -> anyhow::Result<(Published, usize)> {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let now = clock::now();
    write(config, schemas, stop, &|published| {
        let without = workspaces.iter().filter(|workspace| published.of(workspace.id.as_str()).is_empty());
        Ok(without.map(|workspace| first(&workspace.id, &workspace.rules, now)).collect())
    })
}

fn first(workspace: &WorkspaceId, rules: &Rules, now: ReceivedTime) -> Policy {
    Policy {
        workspace: workspace.clone(),
        version: 1,
        effective_at: EventTime(now.0),
        published_at: EventTime(now.0),
        published_by: BY_CONFIGURATION.to_owned(),
        note: None,
        rules: rules.clone(),
    }
}

/// Publishes one version behind the one that it was made from. The error lists all that speaks against it.
pub fn publish(config: &Config, schemas: &Schemas, policy: &Policy) -> anyhow::Result<()> {
    write(config, schemas, &|| false, &|published| {
        let versions = published.of(policy.workspace.as_str());
        if versions.contains(policy) {
            // An attempt whose end wasn't known has counted.
            return Ok(vec![]);
        }
        policy.after(versions.last()).map_err(|wrong| anyhow!(wrong.join("; ")))?;
        Ok(vec![policy.clone()])
    })?;
    Ok(())
}

/// Writes what `choose` makes of what is published. Reads alone where that is nothing.
fn write(
    config: &Config,
    schemas: &Schemas,
    stop: &dyn Fn() -> bool,
    choose: &dyn Fn(&Published) -> anyhow::Result<Vec<Policy>>,
) -> anyhow::Result<(Published, usize)> {
    let client = kafka::client_config(config);
    let published = read(&client, schemas, stop)?;
    if choose(&published)?.is_empty() {
        return Ok((published, 0));
    }
    let partitions = partition_count(&client, Topic::Events.name(), stop)?;
    let largest = usize::try_from(Topic::Events.spec().max_message.0)?;
    let mut new = 0;
    for attempt in 1_u32.. {
        let writer = Writer::start(&client, TRANSACTIONAL_ID, largest, stop)?;
        let mut published = read(&client, schemas, stop)?;
        let policies = choose(&published)?;
        if policies.is_empty() {
            return Ok((published, new));
        }
        let records = records(schemas, &policies, partitions)?;
        let outgoing: Vec<Outgoing<'_>> = records.iter().map(Prepared::outgoing).collect();
        match writer.write(&outgoing) {
            Ok(()) => {
                new += policies.len();
                policies.into_iter().for_each(|policy| published.take(policy));
                return Ok((published, new));
            }
            Err(WriteError::Client(error)) => return Err(error.into()),
            Err(error) if attempt >= ATTEMPTS => return Err(error.into()),
            Err(error) => tracing::warn!(error = %error, "looking what counts, and going on"),
        }
    }
    Ok((published, new))
}

/// A record that is ready to be written.
struct Prepared {
    topic: Topic,
    partition: i32,
    key: String,
    value: Vec<u8>,
    millis: i64,
}

impl Prepared {
    fn outgoing(&self) -> Outgoing<'_> {
        Outgoing {
            topic: self.topic.name(),
            partition: Some(self.partition),
            key: self.key.as_bytes(),
            value: Some(&self.value),
            timestamp_millis: self.millis,
            headers: &[],
        }
    }
}

fn records(schemas: &Schemas, policies: &[Policy], partitions: i32) -> anyhow::Result<Vec<Prepared>> {
    let [own, events] = [Topic::Policies, Topic::Events].map(|topic| schemas.encoder(topic));
    let (own, events) = (own?, events?);
    let mut records = Vec::new();
    for policy in policies {
        let millis = policy.published_at.0 / 1_000;
        let mut value = Vec::new();
        own.encode(policy, &mut value)?;
        records.push(Prepared { topic: Topic::Policies, partition: 0, key: policy.key(), value, millis });
        let event = policy.announcement()?;
        let mut value = Vec::new();
        events.encode(&event, &mut value)?;
        let partition = partition_of(policy.workspace.as_str().as_bytes(), partitions);
        let key = format!("{}:{}", policy.workspace, event.entity.id);
        records.push(Prepared { topic: Topic::Events, partition, key, value, millis });
    }
    Ok(records)
}

/// The workspaces that a stage starts with: those of the configuration, each with a policy.
pub fn start(config: &Config, schemas: &Schemas, stop: &dyn Fn() -> bool) -> anyhow::Result<Workspaces> {
    let configured = config.workspaces().map_err(|mistakes| anyhow!(mistakes.join("; ")))?;
    let (published, _) = seed(config, &configured, schemas, stop)?;
    settle(&configured, &published)
}

/// The workspaces as a stage starts with them: under version 1 of their policies, whatever is configured. The versions
/// behind it come in the stream. Says in the log where the configuration differs from the last version.
pub fn settle(configured: &Workspaces, published: &Published) -> anyhow::Result<Workspaces> {
    let mut all = Vec::new();
    for workspace in configured.iter() {
        let id = workspace.id.as_str();
        for Difference { key, from, to } in published.differences(id, &workspace.rules) {
            tracing::warn!(
                workspace = id,
                key,
                configured = from,
                published = to,
                "the configuration isn't the published policy, which counts; `tillstream policy diff` compares them"
            );
        }
        let settled = match published.of(id).first() {
            Some(first) => workspace
                .clone()
                .under(&first.rules)
                .map_err(|message| anyhow!("the policy of workspace '{id}': {message}"))?,
            None => workspace.clone(),
        };
        all.push(settled);
    }
    Workspaces::try_new(all).map_err(|mistakes| anyhow!(mistakes.join("; ")))
}

#[cfg(test)]
mod tests {
    use sources::WorkspaceConfig;

    use super::*;

    fn workspaces(change: impl FnOnce(&mut WorkspaceConfig)) -> Workspaces {
        let mut config = WorkspaceConfig::new("acme");
        change(&mut config);
        Workspaces::from_configs([config]).unwrap()
    }

    fn rules(workspaces: &Workspaces) -> Rules {
        workspaces.get("acme").unwrap().rules.clone()
    }

    fn version(version: i32, rules: Rules) -> Policy {
        Policy { version, ..first(&WorkspaceId::try_new("acme").unwrap(), &rules, ReceivedTime(7)) }
    }

    #[test]
    fn a_stage_starts_under_the_first_version_whatever_is_configured() {
        let was = workspaces(|config| config.time_zone = "Europe/Berlin".into());
        let is = workspaces(|config| {
            config.base_currency = "EUR".into();
            config.ownership.insert("order.paid".into(), "stripe".into());
        });
        let mut published = Published::default();
        published.take(version(1, rules(&was)));
        published.take(version(2, Rules { abandoned_after_s: 60, ..rules(&was) }));
        let settled = settle(&is, &published).unwrap();
        let acme = settled.get("acme").unwrap();
        assert_eq!((acme.zone.name(), acme.base_currency.as_str()), ("Europe/Berlin", "USD"));
        assert_eq!((acme.rules.abandoned_after_s, acme.rules.ownership.len()), (3_600, 0));
        let differing: Vec<&str> = published.differences("acme", &rules(&is)).iter().map(|d| d.key).collect();
        assert_eq!(misread(&is, &published).len(), 2, "of those two figures would be told wrongly");
        assert_eq!(differing, ["base_currency", "time_zone", "ownership", "abandoned_after_s"]);
    }

    #[test]
    fn a_workspace_without_a_policy_is_as_configured() {
        let is = workspaces(|config| config.base_currency = "EUR".into());
        let settled = settle(&is, &Published::default()).unwrap();
        assert_eq!(settled.get("acme"), is.get("acme"));
        assert_eq!(Published::default().differences("acme", &rules(&is)), []);
    }

    #[test]
    fn a_record_that_comes_again_or_has_no_place_changes_nothing() {
        let rules = rules(&workspaces(|_| {}));
        let mut published = Published::default();
        for record in [version(1, rules.clone()), version(1, rules.clone()), version(3, rules)] {
            published.take(record);
        }
        assert_eq!(published.of("acme").len(), 1);
    }
}
