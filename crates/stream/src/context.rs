//! What a processor sees of the world while it handles one record.

use std::borrow::Cow;
use std::ops::Bound;

use crate::outbox::Outbox;
use crate::overlay::Overlay;
use crate::paged::{Group, MOST_ADDED};
use crate::status::Counts;
use crate::store::Entry;
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
        if let Some(group) = Group::of(table, key) {
            let get = |(group, rest): (Group<'_>, &[u8])| group.get(self.overlay, self.store, rest);
            return self.sure(group.and_then(get));
        }
        match self.overlay.get(table.number, key) {
            Some(value) => value.map(Cow::Borrowed),
            None => self.store.get(table.number, key),
        }
    }

    /// An answer, or its default: then the record fails, whatever its processor makes of that.
    fn sure<T: Default>(&self, answer: Result<T, Failure>) -> T {
        answer.unwrap_or_else(|failure| {
            self.overlay.note(failure);
            T::default()
        })
    }

    /// Stores a value.
    pub fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), Failure> {
        // A row that has a page of its own has its key in there, too.
        let beside = if table.pages.is_some() { key.len() + 96 } else { 64 };
        if key.len() + value.len() + beside > self.changelog_limit {
            return Err(too_large(table.name, key.len() + value.len(), self.changelog_limit));
        }
        self.write(table, key, Some(value))
    }

    /// Removes a key.
    pub fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), Failure> {
        self.write(table, key, None)
    }

    fn write(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
        let longest = if table.pages.is_some() { LONGEST_KEY - MOST_ADDED } else { LONGEST_KEY };
        if key.len() > longest {
            return Err(too_large(table.name, key.len(), longest));
        }
        if let Some(group) = Group::of(table, key) {
            let (group, rest) = group?;
            return group.set(self.overlay, self.store, (rest, value), self.changelog_limit);
        }
        if self.overlay.set(table.number, key, value) {
            return Ok(());
        }
        Err(Failure::Fatal(format!("table {} isn't declared by its stage", table.name)))
    }

    /// The first entry of an ordered table whose key starts with `prefix`.
    pub fn first(&self, table: Table, prefix: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        self.scan(table, prefix, None, 1).pop()
    }

    /// The last entry of an ordered table whose key starts with `prefix`.
    pub fn last(&self, table: Table, prefix: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        if let Some(group) = Group::of(table, prefix) {
            let last = |(group, rest): (Group<'_>, &[u8])| {
                group.last(self.overlay, self.store, rest, after(rest).as_deref())
            };
            return self.sure(group.and_then(last));
        }
        let end = after(prefix);
        let bound = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.overlay.next(self.store, table.number, bound, true)?;
        found.0.starts_with(prefix).then(|| own(found))
    }

    /// The last entry of an ordered table whose key starts with `prefix` and is less than `end`.
    pub fn before(&self, table: Table, prefix: &[u8], end: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        if let Some(group) = Group::of(table, prefix) {
            let last = |(group, rest): (Group<'_>, &[u8])| {
                group.last(self.overlay, self.store, rest, Some(group.rest(end)?))
            };
            return self.sure(group.and_then(last));
        }
        let found = self.overlay.next(self.store, table.number, Bound::Excluded(end), true)?;
        found.0.starts_with(prefix).then(|| own(found))
    }

    /// The entries of an ordered table whose keys start with `prefix`, after the key `after` where given.
    pub fn scan(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Vec<(Vec<u8>, Vec<u8>)> {
        if let Some(group) = Group::of(table, prefix) {
            return self.sure(group.and_then(|(group, rest)| {
                let after = after.map(|key| group.rest(key)).transpose()?;
                group.scan(self.overlay, self.store, rest, after, limit)
            }));
        }
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        while found.len() < limit {
            let bound = match (found.last(), after) {
                (Some((key, _)), _) => Bound::Excluded(key.as_slice()),
                (None, Some(key)) => Bound::Excluded(key),
                (None, None) => Bound::Included(prefix),
            };
            match self.overlay.next(self.store, table.number, bound, false) {
                Some(entry) if entry.0.starts_with(prefix) => found.push(own(entry)),
                _ => break,
            }
        }
        found
    }

    /// Shows the entries of an ordered table whose keys start with `prefix`, ascending, as long as `see` says true: without
    /// a copy of any.
    pub fn each(
        &self,
        table: Table,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        if let Some(group) = Group::of(table, prefix) {
            let (group, rest) = group?;
            return group.each(self.overlay, self.store, rest, see);
        }
        let mut bound = Bound::Included(prefix.to_vec());
        loop {
            let from = bound.as_ref().map(Vec::as_slice);
            match self.overlay.next(self.store, table.number, from, false) {
                Some((key, value)) if key.starts_with(prefix) && see(&key, &value)? => {
                    bound = Bound::Excluded(key.into_owned());
                }
                _ => return Ok(()),
            }
        }
    }

    /// True when an ordered table has an entry whose key starts with `prefix`.
    pub fn has(&self, table: Table, prefix: &[u8]) -> bool {
        let mut found = false;
        let seen = self.each(table, prefix, |_, _| {
            found = true;
            Ok(false)
        });
        self.sure(seen.map(|()| found))
    }

    /// The keys of a table that the open transaction has changed so far.
    pub fn changed(&self, table: Table) -> Vec<Vec<u8>> {
        self.overlay.changed(table.number)
    }

    /// The keys of a table that the record in hand has changed, or tried to, ascending.
    pub fn touched(&self, table: Table) -> Vec<Vec<u8>> {
        self.overlay.touched(table.number)
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

    /// Does one part of a record's work that may be poison by itself: then nothing of the part is left, and what the
    /// record did before stays.
    pub fn attempt<T>(
        &mut self,
        part: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<Result<T, Poison>, Failure> {
        let (written, emitted, counted) =
            (self.overlay.written(), self.outbox.emitted(), self.counts.counted());
        match part(self) {
            Ok(done) => Ok(Ok(done)),
            Err(Failure::Poison(poison)) => {
                self.overlay.undo_to(written);
                self.outbox.clear_to(emitted);
                self.counts.undo_to(counted);
                Ok(Err(poison))
            }
            Err(failure) => Err(failure),
        }
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

fn own((key, value): Entry<'_>) -> (Vec<u8>, Vec<u8>) {
    (key.into_owned(), value.into_owned())
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
        let processed = processor.process(record, &mut ctx);
        let result = match ctx.overlay.fault().and(processed) {
            Err(Failure::Poison(poison)) => {
                ctx.overlay.undo();
                ctx.outbox.clear();
                ctx.counts.undo();
                let set_aside = processor.dead_letter(record, &poison, &mut ctx);
                ctx.overlay.fault().and(set_aside)
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
        let published = processor.publish(&mut ctx);
        ctx.overlay.fault().and(published)?;
        self.overlay.keep();
        self.overlay.merge_into(&mut self.store, 0).map_err(|e| Failure::Fatal(e.to_string()))?;
        Ok(self.emitted())
    }

    /// Wakes the processor as the worker would: what it emits at this instant.
    pub fn wake(&mut self, partition: i32, now: i64) -> Result<Vec<Emitted>, Failure> {
        self.outbox.begin(None);
        let (processor, mut ctx) = self.parts(partition, 0);
        if processor.wakes_at(&ctx)?.is_some_and(|at| at <= now) {
            processor.wake(now, &mut ctx)?;
        }
        Ok(self.emitted())
    }

    /// What was counted so far.
    pub fn counts(&self) -> &[(Labels, u64)] {
        self.counts.all()
    }

    /// The tables of the store after [`Harness::commit`], each with its entries and the bytes of their keys and values.
    pub fn sizes(&self) -> Vec<(&'static str, usize, usize)> {
        self.store.sizes()
    }

    /// Number of stored entries after [`Harness::commit`].
    pub fn entries(&self) -> usize {
        self.store.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table::ordered(0, "kept");

    /// Does three parts, of which the second one fails after it has written, emitted and counted.
    struct Parts;

    impl Processor for Parts {
        fn process(&mut self, _: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
            for part in ["a", "b", "c"] {
                let done = ctx.attempt(|ctx| {
                    ctx.put(TABLE, b"last", part.as_bytes())?;
                    ctx.put(TABLE, part.as_bytes(), b"")?;
                    ctx.count([part, "", ""]);
                    ctx.emit(0, None, part.as_bytes(), None)?;
                    if part == "b" { Err(too_large("b", 2, 1)) } else { Ok(()) }
                })?;
                assert_eq!(done.is_err(), part == "b");
            }
            Ok(())
        }

        fn dead_letter(&mut self, _: &Record<'_>, _: &Poison, _: &mut Context<'_>) -> Result<(), Failure> {
            panic!("the record isn't poison")
        }
    }

    #[test]
    fn a_part_of_a_record_that_is_poison_leaves_nothing_and_what_came_before_stays() {
        let output = Output { topic: "t".to_owned(), max_message_bytes: 1000 };
        let mut harness = Harness::new(Parts, &[TABLE], vec![output]);
        let emitted = harness.process(&Record::new("in", 0, 0, b"", b"")).unwrap();
        let keys: Vec<&[u8]> = emitted.iter().map(|(_, _, key, _)| key.as_slice()).collect();
        assert_eq!(keys, [b"a", b"c"]);
        assert_eq!(harness.counts().iter().map(|(labels, _)| labels[0]).collect::<Vec<_>>(), ["a", "c"]);
        harness.commit(0).unwrap();
        assert_eq!(harness.entries(), 3, "the last one, a and c");
        assert_eq!(harness.store.get(0, b"last").as_deref(), Some(&b"c"[..]));
    }

    #[test]
    fn the_end_of_a_prefix_is_the_next_key_without_it() {
        assert_eq!(after(b"ab"), Some(b"ac".to_vec()));
        assert_eq!(after(&[1, 255]), Some(vec![2]));
        assert_eq!(after(&[255, 255]), None);
    }
}
