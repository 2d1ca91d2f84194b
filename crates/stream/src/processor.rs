//! What a stage does with a record: pure, and blind to Kafka.

use crate::{Context, Record};

/// A stage's logic. One lives on each worker thread; its state is only what [`Context`] keeps, so that a transaction
/// that is dropped takes everything with it. A field of the implementing type may cache what is derived from
/// configuration, never from records.
pub trait Processor: Send {
    /// Handles one record. What it emits and stores counts only when it returns `Ok`.
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure>;

    /// Publishes what changed ([`Context::changed`]), once per task and transaction, right before the commit: a
    /// person who bought ten times within it is one record and not ten. An error here stops the stage.
    fn publish(&mut self, _ctx: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// When something of this task is due that no record may bring about, in the microseconds of [`crate::Wake::clock`].
    fn wakes_at(&self, _ctx: &Context<'_>) -> Result<Option<i64>, Failure> {
        Ok(None)
    }

    /// Called once that instant has passed, and everything that arrived up to `now` was handed on to the input: writes
    /// records to the input that say so. It changes no state itself, so that a replay of the input has the same time
    /// pass at the same places. Several may come to say the same, after a failed commit or from two copies.
    fn wake(&mut self, _now: i64, _ctx: &mut Context<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// Sets a poison record aside. An error here stops the stage: a record must not vanish.
    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure>;
}

/// Why a record couldn't be handled. The kind alone decides what happens next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The record's fault: it is set aside and the stage goes on.
    #[error(transparent)]
    Poison(#[from] Poison),
    /// The world's fault: the record is tried again after a pause.
    #[error("{0}")]
    Transient(String),
    /// Our fault: the stage stops with this message.
    #[error("{0}")]
    Fatal(String),
}

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {message}")]
pub struct Poison {
    /// A stable code.
    pub reason: &'static str,
    /// The path of the field at fault.
    pub field: Option<String>,
    /// A sentence.
    pub message: String,
}

impl Poison {
    /// The code of an output that its topic can't take.
    pub const OUTPUT_TOO_LARGE: &'static str = "output_too_large";
}
