//! The policy of a workspace, as far as the stage has read the stream.
//!
//! A version is an ordinary event of the workspace's partition: kept with the state, in the transaction that takes it in.
//! Each is stored with the arrival after which it counts: see [`commerce::policy`]. What was ever looked up stays right
//! after a restart, a rollback and a replay, because nothing but the stored versions and a stamp decides it. Before the
//! stream has brought any, version 1 holds, which the stage was started with.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use commerce::id::Stamp;
use commerce::identity::Limits;
use commerce::order::{self, State};
use commerce::person::Identifier;
use commerce::policy::{Policy, Rules};
use commerce::{DuplicateLevel, Event, EventName, Fact, Outcome, Reason, ReceivedTime, Source, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::processor::{StateStage, Tenant, poison};
use crate::tables::POLICY;
use crate::timers;

/// One version, and where it begins to count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Kept {
    version: i32,
    /// It holds for what arrived after this.
    after: ReceivedTime,
    rules: Rules,
}

/// A version that is ready for use.
#[derive(Debug)]
pub(crate) struct Settled {
    kept: Kept,
    pub(crate) orders: order::Policy,
    blocked: HashSet<Identifier>,
}

impl Settled {
    fn new(workspace: &WorkspaceId, kept: Kept) -> Self {
        Self { orders: kept.rules.of_orders(workspace), blocked: kept.rules.blocked().collect(), kept }
    }

    /// How long a cart may rest, in microseconds.
    pub(crate) const fn abandoned_after(&self) -> i64 {
        self.kept.rules.abandoned_after_s.saturating_mul(commerce::time::SECOND)
    }

    /// True where payments that name no order enter the lifetime value.
    pub(crate) const fn includes_unlinked_payments(&self) -> bool {
        self.kept.rules.include_unlinked_payments
    }

    /// After how long a purchase is another order, in microseconds; `None`: never.
    pub(crate) fn reused_after(&self) -> Option<i64> {
        let seconds = self.kept.rules.reuse_transaction_id_after_s;
        (seconds > 0).then(|| seconds.saturating_mul(commerce::time::SECOND))
    }

    /// The event without the handles that are nobody's; `None` where it names none. What somebody asks for a handle on
    /// purpose is left to them.
    pub(crate) fn without_blocked(&self, event: &Event) -> Option<Event> {
        let said = event.person.as_ref().filter(|_| !self.blocked.is_empty())?;
        let on_purpose = event.source == Source::Operator
            || matches!(
                event.event,
                EventName::CustomerDeleted | EventName::CustomerSuppressed | EventName::CustomerUnsuppressed
            );
        let named = |handle: &Identifier| self.blocked.contains(handle);
        if on_purpose || !said.identifiers.iter().chain(&said.absorbed).any(named) {
            return None;
        }
        let mut said = said.clone();
        said.identifiers.retain(|handle| !named(handle));
        said.absorbed.retain(|handle| !named(handle));
        Some(Event { person: Some(said), ..event.clone() })
    }
}

/// All versions of a workspace so far, the first one first.
#[derive(Debug)]
pub(crate) struct Versions(Vec<Settled>);

impl Versions {
    /// Version 1 alone.
    pub(crate) fn first(workspace: &WorkspaceId, rules: &Rules) -> Self {
        let kept = Kept { version: 1, after: ReceivedTime(i64::MIN), rules: rules.clone() };
        Self(vec![Settled::new(workspace, kept)])
    }

    /// The version that is in force for what arrived at an instant.
    pub(crate) fn at(&self, arrival: ReceivedTime) -> &Settled {
        let later = self.0.iter().skip(1).rev().find(|settled| settled.kept.after < arrival);
        // There is a first one: both constructors see to it.
        later.unwrap_or(&self.0[0])
    }

    /// The version that an order is under, for ever: that of its first delivery.
    pub(crate) fn of_order(&self, order: &State) -> &order::Policy {
        let first = order.first_stamp().map_or(ReceivedTime(i64::MIN), |stamp| stamp.received_at);
        &self.at(first).orders
    }

    /// True where an id may name several orders, or could before.
    pub(crate) fn reuse_ids(&self) -> bool {
        self.0.iter().any(|settled| settled.reused_after().is_some())
    }

    fn newest(&self) -> &Settled {
        self.0.last().unwrap_or(&self.0[0])
    }

    fn number(&self) -> i32 {
        self.newest().kept.version
    }

    /// The bytes of a row: the number of the newest version, then all of them.
    fn row(kept: &[&Kept]) -> Result<Vec<u8>, Failure> {
        let number = kept.last().map_or(0, |kept| kept.version);
        let mut row = number.to_be_bytes().to_vec();
        serde_json::to_writer(&mut row, kept).map_err(|e| Failure::Fatal(e.to_string()))?;
        Ok(row)
    }

    fn read(workspace: &WorkspaceId, row: &[u8]) -> Result<Self, Failure> {
        let unreadable = |e: &dyn std::fmt::Display| {
            Failure::Fatal(format!("the stored policy of workspace '{workspace}' can't be read: {e}"))
        };
        let kept: Vec<Kept> =
            serde_json::from_slice(row.get(4..).unwrap_or_default()).map_err(|e| unreadable(&e))?;
        if kept.is_empty() {
            return Err(unreadable(&"it is empty"));
        }
        Ok(Self(kept.into_iter().map(|kept| Settled::new(workspace, kept)).collect()))
    }
}

/// A link is judged by the version of the time when it was seen, a handle by the newest one.
impl Limits for Versions {
    fn most_neighbours(&self, seen: Stamp) -> usize {
        usize::try_from(self.at(seen.received_at).kept.rules.shared_handle_neighbours).unwrap_or(usize::MAX)
    }

    fn is_blocked(&self, handle: &Identifier) -> bool {
        self.newest().blocked.contains(handle)
    }
}

impl StateStage {
    /// The workspace under the versions that the stream has brought so far; `None` for one that isn't configured.
    pub(crate) fn tenant(
        &mut self,
        workspace: &WorkspaceId,
        ctx: &Context<'_>,
    ) -> Result<Option<Arc<Tenant>>, Failure> {
        let Some(known) = self.tenants.get(workspace).cloned() else { return Ok(None) };
        let row = ctx.get(POLICY, workspace.as_str().as_bytes());
        let number = row.as_deref().and_then(|row| row.first_chunk()).map_or(1, |n| i32::from_be_bytes(*n));
        if known.versions.number() == number {
            return Ok(Some(known));
        }
        // Another one took the workspace further, or a transaction was rolled back.
        let versions = match row {
            Some(row) => Versions::read(workspace, &row)?,
            None => Versions::first(workspace, &known.versions.0[0].kept.rules),
        };
        let tenant = Arc::new(Tenant { versions: Arc::new(versions), ..(*known).clone() });
        self.tenants.insert(workspace.clone(), tenant.clone());
        Ok(Some(tenant))
    }

    /// Takes in a version. It begins to count after everything that was seen of the workspace before it.
    pub(crate) fn policy(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Outcome, Failure> {
        let refuse = |message: String| poison(Reason::UnsupportedEvent, message);
        let workspace = &event.workspace;
        let announced = Policy::announced(workspace, &event.payload.properties);
        let Some(policy) = announced.filter(|_| event.source == Source::Operator && event.raw_partition < 0)
        else {
            return Err(refuse("a policy that isn't of our own publisher".to_owned()));
        };
        let Some(tenant) = self.tenant(workspace, ctx)? else {
            let message = format!("workspace '{workspace}' isn't configured");
            return Err(poison(Reason::UnknownWorkspace, message));
        };
        let newest = &tenant.versions.newest().kept;
        let row_key = workspace.as_str().as_bytes();
        let is_stored = ctx.get(POLICY, row_key).is_some();
        if policy.version < newest.version || (policy.version == newest.version && is_stored) {
            return Ok(Outcome::Duplicate(DuplicateLevel::Entity));
        }
        let after = policy.in_force_after(timers::now(ctx, workspace)?).max(newest.after);
        let kept = Kept { version: policy.version, after, rules: policy.rules };
        let mut all: Vec<&Kept> = tenant.versions.0.iter().map(|settled| &settled.kept).collect();
        if kept.version == newest.version {
            // The record of version 1, which the stage was started with.
            all = vec![&kept];
        } else {
            let fixed = newest.rules.fixed(&kept.rules);
            if kept.version != newest.version + 1 || !fixed.is_empty() {
                let why = if fixed.is_empty() {
                    String::new()
                } else {
                    format!(": {}", fixed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
                };
                let message = format!("version {} can't stand behind {}{why}", kept.version, newest.version);
                return Err(refuse(message));
            }
            all.push(&kept);
        }
        ctx.put(POLICY, row_key, &Versions::row(&all)?)?;
        let were: BTreeSet<Identifier> = newest.rules.blocked().collect();
        let changed = were.symmetric_difference(&kept.rules.blocked().collect()).cloned().collect();
        // What follows is judged by the version that was just stored.
        self.tenant(workspace, ctx)?;
        self.part_blocked(event, &changed, ctx)?;
        let mut facts = Fact::<order::View>::of_event(event, None);
        if let Some(fact) = facts.first_mut() {
            fact.properties = Policy::told(std::mem::take(&mut fact.properties), kept.after);
            let key = format!("{workspace}:{}", event.entity.id);
            self.tell(key.as_bytes(), fact, ctx)?;
        }
        Ok(Outcome::Published)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(version: i32, after: i64) -> Kept {
        let config = sources::WorkspaceConfig::new("demo");
        let rules = sources::Workspace::try_new(config).unwrap().rules;
        Kept {
            version,
            after: ReceivedTime(after),
            rules: Rules { shared_handle_neighbours: version, ..rules },
        }
    }

    fn versions(all: &[(i32, i64)]) -> Versions {
        let kept: Vec<Kept> = all.iter().map(|(version, after)| kept(*version, *after)).collect();
        let row = Versions::row(&kept.iter().collect::<Vec<_>>()).unwrap();
        Versions::read(&WorkspaceId::try_new("demo").unwrap(), &row).unwrap()
    }

    #[test]
    fn what_arrived_falls_under_the_version_of_its_time() {
        let versions = versions(&[(1, i64::MIN), (2, 100), (3, 100), (4, 200)]);
        let found: Vec<i32> = [i64::MIN, 0, 100, 101, 200, 201, i64::MAX]
            .into_iter()
            .map(|at| versions.at(ReceivedTime(at)).kept.version)
            .collect();
        assert_eq!(found, [1, 1, 1, 3, 3, 4, 4]);
        assert_eq!(versions.number(), 4);
    }

    #[test]
    fn a_row_that_is_damaged_stops_the_stage_with_a_sentence() {
        let workspace = WorkspaceId::try_new("demo").unwrap();
        for row in [&b""[..], b"\0\0\0\x01", b"\0\0\0\x01[]", b"\0\0\0\x01{"] {
            assert!(matches!(Versions::read(&workspace, row), Err(Failure::Fatal(_))), "{row:?}");
        }
    }
}
