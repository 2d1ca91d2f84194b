//! What a processor sees of the world while it handles one record.

use std::borrow::Cow;
use std::ops::Bound;

use crate::outbox::Outbox;
use crate::overlay::Overlay;
use crate::status::Counts;
use crate::{Failure, LONGEST_KEY, Labels, Memory, Output, Poison, Processor, Record, Store, Table};

/// State, outputs and counters of the current record. Nothing written here counts unless the processor returns `Ok`.
pub struct Context<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) overlay: &'a mut Overlay,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) counts: &'a mut Counts,
    pub(crate) outputs: &'a [Output],
    pub(crate) changelog_limit: usize,
    pub(crate) partition: i32,
    pub(crate) timestamp_millis: i64,
}

impl Context<'_> {
    /// The value of a key. With a store that fails it is `None`, and the worker then drops whatever came of that.
    pub fn get(&self, table: Table, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        match self.overlay.get(table.number, key) {
            Some(value) => value.map(Cow::Borrowed),
            None => self.store.get(table.number, key),
        }
    }

    /// Stores a value.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        if key.len() + value.len() + 64 > self.changelog_limit {
            return Err(too_large(table.name, key.len() + value.len(), self.changelog_limit));
        }
        self.write(table, key, Some(value))
    }

    /// Removes a key.
    pub fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Failure> {
        self.write(table, key, None)
    }

    fn write(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        if key.len() > LONGEST_KEY {
            return Err(too_large(table.name, key.len(), LONGEST_KEY));
        }
        if self.overlay.set(table.number, key, value) {
            return Ok(());
        }
        Err(Failure::Fatal(format!("table {} isn't declared by its stage", table.name)))
    }

    /// The first entry of an ordered table whose key starts with `prefix`.
    pub fn first(&self, table: Table, prefix: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let found = self.overlay.next(self.store, table.number, Bound::Included(prefix), false)?;
        found.0.starts_with(prefix).then_some(found)
    }

    /// The last entry of an ordered table whose key starts with `prefix`.
    pub fn last(&self, table: Table, prefix: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let end = after(prefix);
        let bound = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.overlay.next(self.store, table.number, bound, true)?;
        found.0.starts_with(prefix).then_some(found)
    }

    /// The entries of an ordered table whose keys start with `prefix`, after the key `after` where given.
    pub fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut from = after.map_or(Bound::Included(prefix.to_vec()), |key| Bound::Excluded(key.to_vec()));
        while found.len() < limit {
            let bound = match &from {
                Bound::Included(k) => Bound::Included(k.as_slice()),
                Bound::Excluded(k) => Bound::Excluded(k.as_slice()),
                Bound::Unbounded => Bound::Unbounded,
            };
            match self.overlay.next(self.store, table.number, bound, false) {
                Some(entry) if entry.0.starts_with(prefix) => {
                    from = Bound::Excluded(entry.0.clone());
                    found.push(entry);
                }
                _ => break,
            }
        }
        found
    }

    /// The keys of a table that the open transaction has changed so far.
    pub fn changed(&self, table: Table) -> Vec<Vec<u8>> {
        self.overlay.changed(table.number)
    }

    /// What the processor keeps of this task's part of the open transaction, empty at its start: changes that it adds up
    /// and stores once, in [`Processor::publish`]. It goes with the transaction, committed or not. Unlike the tables it
    /// knows no savepoint: write to it last, when nothing of the record can fail any more.
    pub fn scratch<T: std::any::Any + Send + Default>(&mut self) -> &mut T {
        self.overlay.scratch()
    }

    /// Emits a record, or with `None` a tombstone. `partition` `None` partitions by key.
    pub fn emit(
        &mut self,
        output: usize,
        partition: Option<i32>,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let Some((topic, spec)) = u16::try_from(output).ok().zip(self.outputs.get(output)) else {
            return Err(Failure::Fatal(format!("output {output} isn't declared by its stage")));
        };
        // A record batch adds a header of about 70 bytes and a few per record.
        let size = key.len() + value.map_or(0, <[u8]>::len) + 256;
        if size > spec.max_message_bytes {
            return Err(too_large(&spec.topic, size, spec.max_message_bytes));
        }
        self.outbox.push(topic, partition, key, value, self.timestamp_millis);
        Ok(())
    }

    /// Counts something under its labels, once the transaction is committed.
    pub fn count(&mut self, labels: Labels) {
        self.counts.add(labels);
    }

    /// The partition that is being processed: what is emitted to a co-partitioned topic goes to the same one.
    pub fn partition(&self) -> i32 {
        self.partition
    }
}

fn too_large(what: &str, size: usize, limit: usize) -> Failure {
    Failure::Poison(Poison {
        reason: Poison::OUTPUT_TOO_LARGE,
        field: None,
        message: format!("{what} would get {size} bytes where {limit} are allowed"),
    })
}

/// The smallest key that is greater than all keys with the prefix.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return Some(end);
        }
    }
    None
}

/// A record that a harness collected: output index, partition, key and value.
pub type Emitted = (usize, Option<i32>, Vec<u8>, Option<Vec<u8>>);

/// Runs a processor without Kafka: for unit tests and for the audit, which folds a topic through the same code.
pub struct Harness<P> {
    /// The processor.
    pub processor: P,
    outputs: Vec<Output>,
    store: Memory,
    overlay: Overlay,
    outbox: Outbox,
    counts: Counts,
    changelog_limit: usize,
}

impl<P: Processor> Harness<P> {
    /// A harness with empty state.
    pub fn new(processor: P, tables: &[Table], outputs: Vec<Output>) -> Self {
        Self {
            processor,
            outputs,
            store: Memory::new(tables),
            overlay: Overlay::new(tables),
            outbox: Outbox::default(),
            counts: Counts::default(),
            changelog_limit: usize::MAX,
        }
    }

    /// The same with the largest record that the stage's changelog takes: what is beyond it is poison here as well.
    #[must_use]
    pub fn with_changelog_limit(mut self, bytes: usize) -> Self {
        self.changelog_limit = bytes;
        self
    }

    /// Processes one record as the worker would, and gives what it emitted.
    pub fn process(&mut self, record: &Record<'_>) -> Result<Vec<Emitted>, Failure> {
        self.outbox.begin(None);
        let (processor, mut ctx) = self.parts(record.partition, record.timestamp_millis);
        let result = match processor.process(record, &mut ctx) {
            Err(Failure::Poison(poison)) => {
                ctx.overlay.undo();
                ctx.outbox.clear();
                ctx.counts.undo();
                processor.dead_letter(record, &poison, &mut ctx)
            }
            other => other,
        };
        match result {
            Ok(()) => {
                self.overlay.keep();
                self.counts.keep();
            }
            Err(failure) => {
                self.overlay.undo();
                self.counts.undo();
                return Err(failure);
            }
        }
        Ok(self.emitted())
    }

    /// The processor, and what it sees.
    fn parts(&mut self, partition: i32, timestamp_millis: i64) -> (&mut P, Context<'_>) {
        let ctx = Context {
            store: &self.store,
            overlay: &mut self.overlay,
            outbox: &mut self.outbox,
            counts: &mut self.counts,
            outputs: &self.outputs,
            changelog_limit: self.changelog_limit,
            partition,
            timestamp_millis,
        };
        (&mut self.processor, ctx)
    }

    fn emitted(&mut self) -> Vec<Emitted> {
        let pending = self.outbox.drain();
        let own = |p: &crate::outbox::Pending| {
            let value = self.outbox.value(p).map(<[u8]>::to_vec);
            (usize::from(p.topic), p.partition, self.outbox.key(p).to_vec(), value)
        };
        let emitted = pending.iter().map(own).collect();
        self.outbox.recycle(pending);
        emitted
    }

    /// Ends the transaction as the worker would: publishes what changed, and merges it into the store.
    pub fn commit(&mut self, partition: i32) -> Result<Vec<Emitted>, Failure> {
        self.outbox.begin(None);
        let (processor, mut ctx) = self.parts(partition, 0);
        processor.publish(&mut ctx)?;
        self.overlay.keep();
        self.overlay.merge_into(&mut self.store, 0).map_err(|e| Failure::Fatal(e.to_string()))?;
        Ok(self.emitted())
    }

    /// What was counted so far.
    pub fn counts(&self) -> &[(Labels, u64)] {
        self.counts.all()
    }

    /// Entries of a table after [`Harness::commit`], and the bytes of their keys and values.
    pub fn size(&self, table: Table) -> (usize, usize) {
        self.store.size(table.number)
    }

    /// Number of stored entries after [`Harness::commit`].
    pub fn entries(&self) -> usize {
        self.store.len()
    }
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_without_it() {
        assert_eq!(after(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after(&[1, 255]), Some(vec![2]));
        assert_eq!(after(&[255, 255]), None);
    }
}
