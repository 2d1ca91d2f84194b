//! Tables in pages beside the same tables without: every answer is the same.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::outbox::Outbox;
use crate::overlay::Written;
use crate::status::Counts;
use crate::store::{Change, Reached};
use crate::{Context, Memory, Poison, StoreError};

/// The first byte of a key says how long the rest of its group is.
const PAGES: Pages = Pages {
    numbers: (20, 21),
    name: "pages",
    group: |key| Some(1 + usize::from(*key.first()?)).filter(|length| key.len() >= *length),
};
const PAGED: [Table; 3] = [
    Table::hashed(3, "a").in_pages(&PAGES),
    Table::ordered(4, "b").in_pages(&PAGES),
    Table::ordered(254, "c").in_pages(&PAGES),
];
const PLAIN: [Table; 3] = [Table::ordered(13, "a"), Table::ordered(14, "b"), Table::ordered(15, "c")];
const GROUPS: [&[u8]; 3] = [b"\x01a", b"\x02ab", b"\x00"];

/// Gives copies, as a store on disk does.
struct Copies(Memory);

impl Store for Copies {
    fn get(&self, table: u8, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        self.0.get(table, key).map(|value| Cow::Owned(value.into_owned()))
    }

    fn next(&self, table: u8, from: Bound<&[u8]>, reverse: bool) -> Option<Entry<'_>> {
        let own = |(key, value): Entry<'_>| (Cow::Owned(key.into_owned()), Cow::Owned(value.into_owned()));
        self.0.next(table, from, reverse).map(own)
    }

    fn apply(
        &mut self,
        changes: &mut dyn Iterator<Item = Change<'_>>,
        reached: Reached,
    ) -> Result<(), StoreError> {
        self.0.apply(changes, reached)
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> u64 {
        self.0.bytes()
    }
}

/// A store and the open transaction over it.
struct World {
    store: Box<dyn Store>,
    copies: bool,
    overlay: Overlay,
    part: Option<Written>,
    outbox: Outbox,
    counts: Counts,
    limit: usize,
    /// What a changelog says after compaction.
    changelog: BTreeMap<(u8, Vec<u8>), Vec<u8>>,
}

impl World {
    fn new(limit: usize) -> Self {
        Self::over(limit, false)
    }

    fn over(limit: usize, copies: bool) -> Self {
        Self {
            store: Self::empty(copies),
            copies,
            overlay: Overlay::new(&Self::tables()),
            part: None,
            outbox: Outbox::default(),
            counts: Counts::default(),
            limit,
            changelog: BTreeMap::new(),
        }
    }

    fn empty(copies: bool) -> Box<dyn Store> {
        let memory = Memory::new(&Self::tables());
        if copies { Box::new(Copies(memory)) } else { Box::new(memory) }
    }

    fn tables() -> Vec<Table> {
        [PAGED, PLAIN].concat()
    }

    fn ctx(&mut self) -> Context<'_> {
        Context {
            store: &*self.store,
            overlay: &mut self.overlay,
            outbox: &mut self.outbox,
            counts: &mut self.counts,
            outputs: &[],
            changelog_limit: self.limit,
            partition: 0,
            timestamp_millis: 0,
        }
    }

    fn commit(&mut self) {
        for (table, key, value) in self.overlay.changes() {
            let key = (table, key.to_vec());
            match value {
                Some(value) => self.changelog.insert(key, value.to_vec()),
                None => self.changelog.remove(&key),
            };
        }
        self.overlay.keep();
        self.overlay.merge_into(&mut *self.store, 1).unwrap();
    }

    /// A store that was lost and read back.
    fn restore(&mut self) {
        self.overlay.clear();
        self.store = Self::empty(self.copies);
        let mut changes = self.changelog.iter().map(|((t, key), value)| (*t, &**key, Some(&**value)));
        self.store.apply(&mut changes, Reached::Input(1)).unwrap();
    }

    /// The lengths of the pages of a group, in their order.
    fn pages(&self, group: &[u8]) -> Vec<usize> {
        let found = Group { pages: &PAGES, table: PAGED[0], group };
        let mut lengths = Vec::new();
        let mut next = found.first(&self.overlay, &*self.store).map(|page| (None, page));
        while let Some((place, page)) = next {
            lengths.push(page.len());
            next = found.neighbour(&self.overlay, &*self.store, &place, false);
        }
        lengths
    }

    fn records(&self) -> usize {
        self.changelog.keys().filter(|(table, _)| [20, 21].contains(table)).count()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Vec<u8>, usize),
    Remove(usize, Vec<u8>),
    /// Removes what a scan finds.
    Drain(usize, Vec<u8>),
    /// A part of the record begins, and is undone.
    Part,
    UndoPart,
    Keep,
    Undo,
    Commit,
    Abort,
    Restore,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let rest = prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', 254, 255]), 0..4);
    (prop::sample::select(GROUPS.to_vec()), rest).prop_map(|(group, rest)| [group, &rest].concat())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (0..3_usize, key(), 0..250_usize).prop_map(|(t, key, length)| Step::Put(t, key, length)),
        10 => (0..3_usize, key()).prop_map(|(t, key)| Step::Remove(t, key)),
        2 => (0..3_usize, key()).prop_map(|(t, key)| Step::Drain(t, key)),
        4 => Just(Step::Part),
        3 => Just(Step::UndoPart),
        8 => Just(Step::Keep),
        3 => Just(Step::Undo),
        3 => Just(Step::Commit),
        1 => Just(Step::Abort),
        1 => Just(Step::Restore),
    ]
}

fn take(world: &mut World, step: &Step) {
    let value = |length: usize| vec![u8::try_from(length % 251).unwrap(); length];
    let mut ctx = world.ctx();
    for tables in [PAGED, PLAIN] {
        match step {
            Step::Put(table, key, length) => ctx.put(tables[*table], key, &value(*length)).unwrap(),
            Step::Remove(table, key) => ctx.remove(tables[*table], key).unwrap(),
            Step::Drain(table, prefix) => {
                for (key, _) in ctx.scan(tables[*table], prefix, None, usize::MAX) {
                    ctx.remove(tables[*table], &key).unwrap();
                }
            }
            _ => {}
        }
    }
    if matches!(step, Step::Keep | Step::Undo | Step::Commit | Step::Abort | Step::Restore) {
        world.part = None;
    }
    match step {
        Step::Part => world.part = Some(world.overlay.written()),
        Step::UndoPart => {
            if let Some(part) = world.part.take() {
                world.overlay.undo_to(part);
            }
        }
        Step::Keep => world.overlay.keep(),
        Step::Undo => world.overlay.undo(),
        Step::Commit => world.commit(),
        Step::Abort => world.overlay.clear(),
        Step::Restore => world.restore(),
        _ => {}
    }
}

/// Asks the tables in pages and those without the same.
fn compare(world: &mut World, prefix: &[u8], after: &[u8], limit: usize) {
    let ctx = world.ctx();
    for (paged, plain) in PAGED.into_iter().zip(PLAIN) {
        assert_eq!(ctx.get(paged, prefix), ctx.get(plain, prefix));
        assert_eq!(ctx.first(paged, prefix), ctx.first(plain, prefix));
        assert_eq!(ctx.last(paged, prefix), ctx.last(plain, prefix));
        let group = &prefix[..(PAGES.group)(prefix).unwrap()];
        let after = [group, after].concat();
        for after in [None, Some(after.as_slice())] {
            let scan = |table, prefix| ctx.scan(table, prefix, after, limit);
            assert_eq!(scan(paged, prefix), scan(plain, prefix));
            assert_eq!(scan(paged, group), scan(plain, group));
        }
        let each = |table: Table| {
            let mut found = Vec::new();
            let see = |key: &[u8], value: &[u8]| {
                found.push((key.to_vec(), value.to_vec()));
                Ok(found.len() < limit)
            };
            ctx.each(table, prefix, see).unwrap();
            found
        };
        assert_eq!(each(paged), each(plain));
        assert_eq!(each(paged), ctx.scan(plain, prefix, None, limit.max(1)));
        assert_eq!(ctx.has(paged, prefix), ctx.first(plain, prefix).is_some());
        let plain: BTreeSet<_> = ctx.changed(plain).into_iter().collect();
        assert_eq!(ctx.changed(paged), plain.into_iter().collect::<Vec<_>>());
    }
    ctx.overlay.fault().unwrap();
}

fn whole(world: &mut World) {
    for group in GROUPS {
        compare(world, group, b"", usize::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn tables_in_pages_answer_as_tables_without_through_commits_aborts_and_restores(
        steps in prop::collection::vec((step(), key(), key(), 0..4_usize), 1..120),
        copies: bool,
    ) {
        let mut world = World::over(700, copies);
        for (step, prefix, after, limit) in &steps {
            take(&mut world, step);
            compare(&mut world, prefix, after, *limit);
        }
        whole(&mut world);
        world.commit();
        world.restore();
        whole(&mut world);
        for table in 0..3 {
            for group in GROUPS {
                take(&mut world, &Step::Drain(table, group.to_vec()));
            }
        }
        world.commit();
        prop_assert_eq!(world.records(), 0, "what has no rows has no records");
    }
}

#[test]
fn a_group_of_many_rows_is_written_a_page_at_a_time_and_is_one_page_again_when_it_has_shrunk() {
    let mut world = World::new(1 << 20);
    let row = |n: u32| [b"\x01a".as_slice(), &n.wrapping_mul(2_654_435_761).to_be_bytes()].concat();
    for n in 0..3_000 {
        let mut ctx = world.ctx();
        ctx.put(PAGED[1], &row(n), &[7; 50]).unwrap();
        ctx.put(PLAIN[1], &row(n), &[7; 50]).unwrap();
        world.overlay.keep();
        if n % 100 == 99 {
            world.commit();
        }
    }
    let pages = world.pages(b"\x01a");
    assert!(pages.len() > 40 && pages.iter().all(|length| *length <= PAGE), "{pages:?}");
    whole(&mut world);
    for n in 0..2_995 {
        world.ctx().remove(PAGED[1], &row(n)).unwrap();
        world.ctx().remove(PLAIN[1], &row(n)).unwrap();
        if n % 300 == 0 {
            compare(&mut world, b"\x01a", b"", 50);
            world.commit();
        }
    }
    whole(&mut world);
    world.commit();
    assert_eq!((world.pages(b"\x01a").len(), world.records()), (1, 1));
}

#[test]
fn a_row_that_is_written_as_it_is_counts_as_changed_and_costs_no_record() {
    let mut world = World::new(1 << 20);
    world.ctx().put(PAGED[0], b"\x01a1", b"same").unwrap();
    world.commit();
    world.ctx().put(PAGED[0], b"\x01a1", b"same").unwrap();
    assert_eq!(world.ctx().changed(PAGED[0]), [b"\x01a1"]);
    assert_eq!(world.overlay.changes().count(), 0);
}

#[test]
fn rows_of_one_group_are_one_record_of_the_changelog() {
    let mut world = World::new(1 << 20);
    for table in PAGED {
        world.ctx().put(table, b"\x02ab1", b"x").unwrap();
        world.ctx().put(table, b"\x02ab2", b"y").unwrap();
    }
    let changes: Vec<_> = world.overlay.changes().collect();
    assert!(matches!(changes[..], [(20, b"\x02ab", Some(_))]), "{changes:?}");
}

#[test]
fn the_largest_row_that_is_taken_is_a_record_that_the_changelog_takes() {
    for limit in [300, 1_000, 20_000] {
        let mut world = World::new(limit);
        let key = [b"\x01a".as_slice(), &[3; 40]].concat();
        let most = (0..limit).rev().find(|most| world.ctx().put(PAGED[2], &key, &vec![1; *most]).is_ok());
        for n in 0..40 {
            world.ctx().put(PAGED[0], &[b"\x01a".as_slice(), &[n; 30]].concat(), &[n; 20]).unwrap();
        }
        world.ctx().put(PAGED[2], &key, &vec![2; most.unwrap()]).unwrap();
        let longest =
            world.overlay.changes().map(|(_, key, value)| 1 + key.len() + value.unwrap().len()).max();
        assert!(longest.unwrap() + 32 <= limit, "{longest:?} of {limit}");
        let beyond = world.ctx().put(PAGED[2], &key, &vec![1; most.unwrap() + 1]);
        assert!(
            matches!(&beyond, Err(Failure::Poison(poison)) if poison.reason == Poison::OUTPUT_TOO_LARGE),
            "{beyond:?}"
        );
    }
}

#[test]
fn what_names_no_group_is_a_mistake_of_the_stage() {
    let mut world = World::new(1 << 20);
    let written = world.ctx().put(PAGED[0], b"\x05a", b"x");
    assert!(matches!(written, Err(Failure::Fatal(_))), "{written:?}");
    let looks: [fn(&Context<'_>); 4] = [
        |ctx| assert!(ctx.get(PAGED[0], b"").is_none()),
        |ctx| assert!(ctx.first(PAGED[0], b"\x05").is_none()),
        |ctx| assert!(ctx.last(PAGED[0], b"\x05").is_none()),
        |ctx| assert!(ctx.scan(PAGED[0], b"\x01a", Some(b"\x01b"), 1).is_empty()),
    ];
    for look in looks {
        look(&world.ctx());
        let fault = world.overlay.fault();
        assert!(matches!(&fault, Err(Failure::Fatal(said)) if said.contains("group")), "{fault:?}");
        world.overlay.fault().unwrap();
    }
    let undeclared = Table::ordered(99, "x").in_pages(&PAGES);
    let refused = world.ctx().put(undeclared, b"\x01a", b"x");
    assert!(matches!(&refused, Err(Failure::Fatal(said)) if said.contains("isn't declared")), "{refused:?}");
}

#[test]
fn a_page_that_cannot_be_read_is_said_and_not_taken_for_nothing() {
    let mut world = World::new(1 << 20);
    world.overlay.set(20, b"\x01a", Some(b"\x00\x03\xFF"));
    world.commit();
    assert!(world.ctx().get(PAGED[0], b"\x01ab").is_none());
    let fault = world.overlay.fault();
    assert!(matches!(&fault, Err(Failure::Fatal(said)) if said.contains("can't be read")), "{fault:?}");
    assert!(world.ctx().put(PAGED[0], b"\x01ab", b"x").is_err());
}
