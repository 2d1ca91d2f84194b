//! Counts of outcomes that are as durable and as exact as the state itself.
//!
//! A process's own counters start at zero with it. These are written in the transaction of the record that they
//! count, so after any number of crashes they still add up to what came in.

use std::collections::BTreeMap;

use commerce::order::Disagreement;
use commerce::time::Zone;
use commerce::{Event, Metric, Outcome, ReceivedTime, Source, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::STAGE;
use crate::tables::{DISAGREED, OUTCOME, USAGE, get, put};

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Count {
    count: i64,
    as_of: i64,
}

/// Counts one item.
pub(crate) fn record(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    source: &'static str,
    outcome: Outcome,
    received_at: ReceivedTime,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    ctx.count([outcome.as_str(), outcome.detail(), source]);
    let key = [workspace.as_str(), source, outcome.as_str(), outcome.detail()].join("\0").into_bytes();
    let mut count: Count = get(ctx, OUTCOME, &key)?.unwrap_or_default();
    count.count += 1;
    count.as_of = count.as_of.max(received_at.0);
    put(ctx, OUTCOME, &key, &count, buffer)
}

/// Counts an event against the month's quota of its workspace: what was known already and what a fraud rule blocked
/// uses nothing up.
pub(crate) fn use_up(
    ctx: &mut Context<'_>,
    event: &Event,
    outcome: Outcome,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let counts = matches!(outcome, Outcome::Published | Outcome::Stale | Outcome::Shadow);
    if event.source != Source::Analytics || !counts {
        return Ok(());
    }
    let month: String =
        Zone::utc().day_of(event.received_at.as_event()).to_string().chars().take(7).collect();
    let key = [event.workspace.as_str(), event.source.as_str(), &month].join("\0").into_bytes();
    let mut count: Count = get(ctx, USAGE, &key)?.unwrap_or_default();
    count.count += 1;
    count.as_of = count.as_of.max(event.received_at.0);
    put(ctx, USAGE, &key, &count, buffer)
}

/// Counts the disagreements that are open, by what they are about and who isn't followed: `change` is 1 or -1.
pub(crate) fn disagree(
    ctx: &mut Context<'_>,
    event: &Event,
    found: &Disagreement,
    change: i64,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let parts = [event.workspace.as_str(), found.other.by.source.as_str(), found.matter.as_str()];
    let key = parts.join("\0").into_bytes();
    let mut count: Count = get(ctx, DISAGREED, &key)?.unwrap_or_default();
    count.count += change;
    count.as_of = count.as_of.max(event.received_at.0);
    put(ctx, DISAGREED, &key, &count, buffer)
}

/// The published form of a stored outcome; `None` for a key that isn't one.
pub(crate) fn metric(key: &[u8], count: Count) -> Option<Metric> {
    let (workspace, mut dimensions) = dimensions(key, &["source", "outcome", "detail"])?;
    dimensions.insert("stage".to_owned(), STAGE.to_owned());
    Some(cell(workspace, "outcomes", dimensions, "count", count))
}

/// The published form of a stored usage; `None` for a key that isn't one.
pub(crate) fn usage(key: &[u8], count: Count) -> Option<Metric> {
    let (workspace, dimensions) = dimensions(key, &["source", "month"])?;
    Some(cell(workspace, "usage", dimensions, "events", count))
}

/// The published form of stored disagreements; `None` for a key that isn't of any.
pub(crate) fn disagreements(key: &[u8], count: Count) -> Option<Metric> {
    let (workspace, dimensions) = dimensions(key, &["source", "matter"])?;
    Some(cell(workspace, "disagreements", dimensions, "open", count))
}

fn dimensions(key: &[u8], names: &[&str]) -> Option<(WorkspaceId, BTreeMap<String, String>)> {
    let mut parts = std::str::from_utf8(key).ok()?.split('\0');
    let workspace = WorkspaceId::try_new(parts.next()?).ok()?;
    let named = names.iter().zip(parts).map(|(name, value)| ((*name).to_owned(), value.to_owned()));
    Some((workspace, named.collect()))
}

fn cell(
    workspace: WorkspaceId,
    metric: &str,
    dimensions: BTreeMap<String, String>,
    value: &str,
    count: Count,
) -> Metric {
    debug_assert!(
        commerce::metric::OF_THE_STATE.contains(&metric),
        "{metric} isn't among those of the state"
    );
    Metric {
        workspace,
        metric: metric.to_owned(),
        window: "all".to_owned(),
        window_start: String::new(),
        dimensions,
        values: BTreeMap::from([(value.to_owned(), count.count)]),
        revision: 0,
        corrected: false,
        as_of: ReceivedTime(count.as_of),
        window_end_at: None,
        members: None,
    }
}
