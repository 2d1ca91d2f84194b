//! One fact: which cells move, by how much.

use std::collections::HashMap;
use std::time::Duration;

use commerce::letter::WHOLE;
use commerce::order::Figures;
use commerce::time::Zone;
use commerce::{Fact, Outcome, ReceivedTime, WorkspaceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::stage::{Letters, Parts, decode, encode_error};
use stream::{Context, Failure, Poison, Processor, Record, Table};
use topics::{Decoder, Encoder, Topic};

use crate::cell::{Cell, Place, end_of};
use crate::{CELL, CLOCK, LETTERS, METRICS, STAGE, revenue};

/// The stored clock is behind the true one by at most this, so that not every fact has to store it.
const CLOCK_STEP: i64 = 60 * commerce::time::SECOND;

/// The stage's logic.
pub struct Aggregator {
    zones: HashMap<WorkspaceId, Zone>,
    grace: i64,
    decoder: Decoder,
    metrics: Encoder,
    letters: Letters,
    value: Vec<u8>,
}

impl Aggregator {
    /// A processor with its codecs. `grace`: how long after its end a window may move without being marked.
    pub fn new(parts: &Parts, grace: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            zones: parts.workspaces.iter().map(|w| (w.id.clone(), w.zone.clone())).collect(),
            grace: i64::try_from(grace.as_micros()).unwrap_or(i64::MAX),
            decoder: parts.schemas.decoder(),
            metrics: parts.schemas.encoder(Topic::Metrics)?,
            letters: Letters::new(parts, STAGE, LETTERS)?,
            value: Vec::new(),
        })
    }

    /// Days were cut in the zone that is stored here: with another one a fact would take back from a day what was
    /// added to another.
    fn check_zone(ctx: &mut Context<'_>, workspace: &WorkspaceId, zone: &Zone) -> Result<(), Failure> {
        let key = [b"zone:", workspace.as_str().as_bytes()].concat();
        match get::<String>(ctx, CLOCK, &key)? {
            Some(known) if known == zone.name() => Ok(()),
            Some(known) => Err(Failure::Fatal(format!(
                "the time zone of workspace '{workspace}' was {known} and is {} now: its days have to be computed anew",
                zone.name()
            ))),
            None => put(ctx, CLOCK, &key, &zone.name()),
        }
    }

    /// The stream clock of a workspace, moved forward to `received_at`.
    fn clock(
        ctx: &mut Context<'_>,
        workspace: &WorkspaceId,
        received_at: ReceivedTime,
    ) -> Result<i64, Failure> {
        let key = workspace.as_str().as_bytes();
        let known: i64 = get(ctx, CLOCK, key)?.unwrap_or(i64::MIN);
        if received_at.0.saturating_sub(known) >= CLOCK_STEP {
            put(ctx, CLOCK, key, &received_at.0)?;
        }
        Ok(known.max(received_at.0))
    }
}

impl Processor for Aggregator {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let fact: Fact<Figures> = decode(&mut self.decoder, record)?;
        let Some(zone) = self.zones.get(&fact.workspace) else {
            // Setting it aside would break the chain of its order: the next fact takes back what was never added.
            let message =
                format!("workspace '{}' isn't configured: its facts wait until it is", fact.workspace);
            return Err(Failure::Transient(message));
        };
        Self::check_zone(ctx, &fact.workspace, zone)?;
        let clock = Self::clock(ctx, &fact.workspace, fact.received_at)?;
        for (place, delta) in revenue::deltas(fact.before.as_ref(), fact.after.as_ref(), zone) {
            let key = key(&fact.workspace, &place)?;
            let mut cell: Cell = get(ctx, CELL, &key)?.unwrap_or_default();
            let closed = clock >= end_of(zone, place.day).0.saturating_add(self.grace);
            cell.add(&delta, closed, fact.received_at)
                .map_err(|e| Failure::Fatal(format!("{} {}: {e}", fact.workspace, place.day)))?;
            put(ctx, CELL, &key, &cell)?;
        }
        ctx.count([Outcome::Published.as_str(), "", fact.source.as_str()]);
        Ok(())
    }

    fn publish(&mut self, ctx: &mut Context<'_>) -> Result<(), Failure> {
        for key in ctx.changed(CELL) {
            let Some(cell) = get::<Cell>(ctx, CELL, &key)? else { continue };
            let (workspace, place) = read_key(&key)?;
            let zone = self.zones.get(&workspace).cloned().unwrap_or_else(Zone::utc);
            let metric = cell.metric(workspace, &place, &revenue::NAMES, &zone);
            self.value.clear();
            self.metrics.encode(&metric, &mut self.value).map_err(|e| encode_error(&e))?;
            ctx.emit(METRICS, Some(ctx.partition()), metric.key().as_bytes(), Some(&self.value))?;
        }
        Ok(())
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (_, outcome) = self.letters.set_aside(record, WHOLE, poison, ctx)?;
        ctx.count([outcome.as_str(), outcome.detail(), ""]);
        Ok(())
    }
}

fn key(workspace: &WorkspaceId, place: &Place) -> Result<Vec<u8>, Failure> {
    postcard::to_allocvec(&(workspace, place)).map_err(|e| Failure::Fatal(format!("a cell's key: {e}")))
}

fn read_key(key: &[u8]) -> Result<(WorkspaceId, Place), Failure> {
    postcard::from_bytes(key).map_err(|e| Failure::Fatal(format!("a cell's key can't be read: {e}")))
}

fn get<T: DeserializeOwned>(ctx: &Context<'_>, table: Table, key: &[u8]) -> Result<Option<T>, Failure> {
    ctx.get(table, key)
        .map(|bytes| postcard::from_bytes(&bytes))
        .transpose()
        .map_err(|e| Failure::Fatal(format!("stored state of table {} can't be read: {e}", table.name)))
}

fn put<T: Serialize>(ctx: &mut Context<'_>, table: Table, key: &[u8], value: &T) -> Result<(), Failure> {
    let bytes = postcard::to_allocvec(value)
        .map_err(|e| Failure::Fatal(format!("state of table {} can't be stored: {e}", table.name)))?;
    ctx.put(table, key, &bytes)
}
