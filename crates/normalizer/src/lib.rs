//! The normalizer: turns stored deliveries into canonical events.
//!
//! | in | out |
//! |---|---|
//! | `commerce.raw.v1` | `commerce.events.v1`: what each delivery says, key `workspace:entity`, partition by workspace |
//! | | `commerce.dead-letters.v1`: what can't be understood, with its bytes |
//!
//! Stateless: a repeated delivery repeats here, and the state stage finds out. A commit promises that every delivery
//! before it ended in exactly one outcome per item: published or dead-lettered. A delivery that was redriven for one item
//! of its batch (header `redrive_item`) gives that item alone. Its changelog holds nothing but the
//! input offsets, so that a group whose offsets have expired doesn't start again from the beginning.

use std::sync::Arc;

use commerce::letter::WHOLE;
use commerce::letter::redrive::Redriven;
use commerce::reason::Failure as Reject;
use commerce::time::parse_received;
use commerce::{Outcome, Reason};
use service::stage::{Letters, Parts, Plan, encode_error, source_label};
use service::{Config, Metrics, Readiness, Shutdown};
use sources::Raw;
use stream::{Context, Failure, Poison, Processor, Record};
use topics::{Encoder, Topic, partition_of};

const STAGE: &str = "normalizer";
const EVENTS: usize = 0;
const LETTERS: usize = 1;

/// What the stage reads and writes.
pub const PLAN: Plan = Plan {
    name: STAGE,
    input: Topic::Raw,
    changelog: Topic::NormalizerChangelog,
    outputs: &[Topic::Events, Topic::DeadLetters],
    tables: &[],
    storage: |_| Ok(stream::Storage::Memory),
    lane_per_second: |config| Some(config.normalizer.backfill_per_second),
    wake: |_| None,
};

/// Runs the service until the shutdown. Blocks.
pub fn run(
    config: &Config,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let settings = config.normalizer.stage();
    service::stage::run(&PLAN, config, settings, metrics, readiness, shutdown, &|parts| {
        Ok(Box::new(Normalizer::new(parts)?))
    })
}

/// The stage's logic.
pub struct Normalizer {
    parts: Parts,
    events: Encoder,
    letters: Letters,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Normalizer {
    /// A processor with its encoders.
    pub fn new(parts: &Parts) -> anyhow::Result<Self> {
        Ok(Self {
            events: parts.schemas.encoder(Topic::Events)?,
            letters: Letters::new(parts, STAGE, LETTERS)?,
            parts: parts.clone(),
            key: Vec::new(),
            value: Vec::new(),
        })
    }

    fn set_aside(
        &mut self,
        record: &Record<'_>,
        item: i32,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (letter, outcome) = self.letters.set_aside(record, item, poison, ctx)?;
        count(ctx, outcome, source_label(&letter.source));
        Ok(())
    }
}

impl Processor for Normalizer {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let headers: Vec<(&str, &str)> = record
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((*name, std::str::from_utf8(value).ok()?)))
            .collect();
        let header = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let need = |name: &str| {
            header(name).ok_or_else(|| {
                poison(&Reject::at(
                    Reason::UnreadableRecord,
                    name,
                    format!("the record has no header '{name}'"),
                ))
            })
        };
        let source = need("source")?;
        let source = commerce::Source::parse(source).ok_or_else(|| {
            poison(&Reject::at(Reason::UnreadableRecord, "source", format!("'{source}' is no source")))
        })?;
        let id = need("workspace")?;
        let workspaces = Arc::clone(&self.parts.workspaces);
        let workspace = workspaces.get(id).ok_or_else(|| {
            let message = format!("workspace '{id}' isn't configured");
            poison(&Reject::at(Reason::UnknownWorkspace, "workspace", message))
        })?;
        let received_at = parse_received(need("received_at")?)
            .map_err(|e| poison(&Reject::at(Reason::UnreadableRecord, "received_at", e.to_string())))?;
        let raw = Raw {
            source,
            workspace,
            received_at,
            partition: record.partition,
            offset: record.offset,
            headers: &headers,
            body: record.value.unwrap_or_default(),
        };
        let partition = partition_of(id.as_bytes(), self.parts.event_partitions);
        let redriven = Redriven::read(header);
        let is_meant = |item: i32| redriven.as_ref().is_none_or(|redriven| redriven.takes(item));
        let items = sources::normalize(&raw).map_err(|e| poison(&e))?;
        if items.is_empty() {
            // What a source sends and nothing uses: it stays in the raw topic.
            count(ctx, Outcome::Filtered(Reason::UnsupportedEvent), source.as_str());
        }
        for item in items {
            match item {
                Ok(event) if is_meant(event.raw_item) => {
                    self.key.clear();
                    self.key.extend_from_slice(id.as_bytes());
                    self.key.push(b':');
                    self.key.extend_from_slice(event.entity.id.as_bytes());
                    self.value.clear();
                    self.events.encode(&event, &mut self.value).map_err(|e| encode_error(&e))?;
                    ctx.emit(EVENTS, Some(partition), &self.key, Some(&self.value))?;
                    count(ctx, Outcome::Published, source.as_str());
                }
                Err(fault) if is_meant(fault.item) => {
                    let Failure::Poison(poison) = poison(&fault.failure) else { continue };
                    self.set_aside(record, fault.item, &poison, ctx)?;
                }
                // The rest of a batch of which one item was redriven: it had its outcome when the batch came.
                _ => {}
            }
        }
        Ok(())
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.set_aside(record, WHOLE, poison, ctx)
    }
}

fn count(ctx: &mut Context<'_>, outcome: Outcome, source: &'static str) {
    ctx.count([outcome.as_str(), outcome.detail(), source]);
}

fn poison(reject: &Reject) -> Failure {
    Failure::Poison(Poison {
        reason: reject.reason.code(),
        field: reject.field.clone(),
        message: reject.message.clone(),
    })
}
