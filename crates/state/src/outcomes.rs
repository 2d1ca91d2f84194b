//! Counts of outcomes that are as durable and as exact as the state itself.
//!
//! A process's own counters start at zero with it. These are written in the transaction of the record that they
//! count, so after any number of crashes they still add up to what came in.

use std::collections::BTreeMap;

use commerce::{Metric, Outcome, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::STAGE;
use crate::tables::{OUTCOME, get, put};

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

/// The published form of a stored count; `None` for a key that isn't one.
pub(crate) fn metric(key: &[u8], count: Count) -> Option<Metric> {
    let text = std::str::from_utf8(key).ok()?;
    let mut parts = text.split('\0');
    let workspace = WorkspaceId::try_new(parts.next()?).ok()?;
    let names = ["source", "outcome", "detail"];
    let mut dimensions: BTreeMap<String, String> =
        names.iter().zip(parts).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect();
    dimensions.insert("stage".to_owned(), STAGE.to_owned());
    Some(Metric {
        workspace,
        metric: "outcomes".to_owned(),
        window: "all".to_owned(),
        window_start: String::new(),
        dimensions,
        values: BTreeMap::from([("count".to_owned(), count.count)]),
        revision: 0,
        corrected: false,
        as_of: ReceivedTime(count.as_of),
        window_end_at: None,
    })
}
