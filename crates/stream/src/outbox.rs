//! What the current record emits, until it is known that it counts.

use std::ops::Range;

/// A message waiting for its record's verdict.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) topic: u16,
    pub(crate) partition: Option<i32>,
    key: Range<usize>,
    /// `None` is a tombstone.
    value: Option<Range<usize>>,
    pub(crate) timestamp_millis: i64,
    pub(crate) traceparent: Option<Range<usize>>,
}

/// Buffer of one record's messages; one allocation serves all records.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    arena: Vec<u8>,
    pending: Vec<Pending>,
    traceparent: Option<Range<usize>>,
}

impl Outbox {
    /// Starts a record.
    pub(crate) fn begin(&mut self, traceparent: Option<&[u8]>) {
        self.arena.clear();
        self.pending.clear();
        self.traceparent = traceparent.map(|t| self.store(t));
    }

    /// Drops what was emitted since [`Outbox::begin`].
    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// How many messages the record has emitted so far.
    pub(crate) fn emitted(&self) -> usize {
        self.pending.len()
    }

    /// Drops what the record emitted but for the first messages.
    pub(crate) fn clear_to(&mut self, emitted: usize) {
        self.pending.truncate(emitted);
    }

    fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }

    pub(crate) fn push(
        &mut self,
        topic: u16,
        partition: Option<i32>,
        key: &[u8],
        value: Option<&[u8]>,
        timestamp_millis: i64,
    ) {
        let key = self.store(key);
        let value = value.map(|v| self.store(v));
        let traceparent = self.traceparent.clone();
        self.pending.push(Pending { topic, partition, key, value, timestamp_millis, traceparent });
    }

    pub(crate) fn drain(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.pending)
    }

    /// Gives the vector of a finished record back, to be used again.
    pub(crate) fn recycle(&mut self, mut pending: Vec<Pending>) {
        pending.clear();
        self.pending = pending;
    }

    pub(crate) fn key<'a>(&'a self, pending: &Pending) -> &'a [u8] {
        &self.arena[pending.key.clone()]
    }

    pub(crate) fn value<'a>(&'a self, pending: &Pending) -> Option<&'a [u8]> {
        pending.value.clone().map(|range| &self.arena[range])
    }

    pub(crate) fn traceparent<'a>(&'a self, pending: &Pending) -> Option<&'a [u8]> {
        pending.traceparent.clone().map(|range| &self.arena[range])
    }
}
