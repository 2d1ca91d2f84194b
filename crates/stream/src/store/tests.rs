//! The same tests over every store, and what only a store on disk can go through.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::disk::Disk;
use super::marks::{FORMAT, Marks};
use super::*;
use crate::Table;
use crate::overlay::Overlay;

const HASHED: Table = Table::hashed(0, "hashed");
const ORDERED: Table = Table::ordered(7, "ordered");
const LAST: Table = Table::ordered(254, "last");
const TABLES: [Table; 3] = [HASHED, ORDERED, LAST];

type Model = BTreeMap<(u8, Vec<u8>), Vec<u8>>;

fn clock() -> i64 {
    1_000_000_000
}

fn later() -> i64 {
    clock() + 7_200_000
}

fn identity() -> Identity {
    Identity { stage: "s".into(), changelog: "c".into(), topic_id: None, partition: 0, partitions: 4 }
}

fn on_disk(clock: fn() -> i64) -> OnDisk {
    OnDisk { folder: PathBuf::new(), cache_bytes: 8 << 20, write_buffer_bytes: 8 << 20, clock }
}

const CHANGELOG: Changelog =
    Changelog { low: 0, end: i64::MAX, tombstones: Some(Duration::from_secs(86_400)) };

fn try_open_at(dir: &Path, changelog: &Changelog, clock: fn() -> i64) -> Result<Disk, StoreError> {
    let folder = Folder::acquire(dir, &|| false)?.unwrap();
    let options = on_disk(clock);
    Opening { options: &options, identity: &identity(), tables: &TABLES, changelog }.open(folder)
}

fn try_open(dir: &Path) -> Result<Disk, StoreError> {
    try_open_at(dir, &CHANGELOG, clock)
}

fn open(dir: &Path) -> Disk {
    try_open(dir).unwrap()
}

/// Every kind of store, empty.
fn stores() -> Vec<(Box<dyn Store>, Option<TempDir>)> {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path());
    vec![(Box::new(Memory::new(&TABLES)), None), (Box::new(disk), Some(dir))]
}

fn put(store: &mut dyn Store, input: i64, changes: &[Change<'_>]) {
    store.apply(&mut changes.iter().copied(), Reached::Input(input)).unwrap();
}

/// All entries of an ordered table, forwards.
fn walk(store: &dyn Store, table: u8) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    while let Some((key, value)) = store.next(
        table,
        found.last().map_or(Bound::Unbounded, |(key, _)| Bound::Excluded(key.as_slice())),
        false,
    ) {
        found.push((key.into_owned(), value.into_owned()));
    }
    found
}

#[test]
fn a_table_that_is_not_declared_is_an_error_and_has_nothing() {
    for (mut store, _dir) in stores() {
        let undeclared: [Change<'_>; 1] = [(3, b"k", Some(b"v"))];
        let error = store.apply(&mut undeclared.into_iter(), Reached::Input(1)).unwrap_err();
        assert_eq!(error, StoreError::Undeclared(3));
        assert!(store.get(3, b"k").is_none());
        assert!(store.is_empty());
    }
}

#[test]
fn neighbours_stay_within_their_table() {
    for (mut store, _dir) in stores() {
        put(
            &mut *store,
            1,
            &[
                (0, b"\xFF\xFF", Some(b"hashed")),
                (7, b"", Some(b"empty")),
                (7, b"\xFF\xFF", Some(b"end")),
                (254, b"\xFF", Some(b"last")),
            ],
        );
        let ends = |table, reverse| {
            store.next(table, Bound::Unbounded, reverse).map(|(_, value)| value.into_owned())
        };
        assert_eq!((ends(7, false), ends(7, true)), (Some(b"empty".to_vec()), Some(b"end".to_vec())));
        assert_eq!((ends(254, false), ends(254, true)), (Some(b"last".to_vec()), Some(b"last".to_vec())));
        assert_eq!(ends(0, false), None, "a hashed table has no order");
        assert!(store.next(7, Bound::Excluded(b""), true).is_none());
        assert!(store.next(7, Bound::Excluded(b"\xFF\xFF"), false).is_none());
    }
}

#[test]
fn a_key_that_is_too_long_is_asked_about_without_harm() {
    let longest = vec![b'm'; LONGEST_KEY];
    let longer = vec![b'm'; 70_000];
    for (mut store, _dir) in stores() {
        put(&mut *store, 1, &[(7, b"a", Some(b"1")), (7, &longest, Some(b"2")), (7, b"z", Some(b"3"))]);
        assert_eq!(store.get(7, &longest).as_deref(), Some(&b"2"[..]));
        assert!(store.get(7, &longer).is_none());
        for from in [Bound::Included(&*longer), Bound::Excluded(&*longer)] {
            let value = |reverse| store.next(7, from, reverse).map(|(_, value)| value.into_owned());
            assert_eq!((value(false), value(true)), (Some(b"3".to_vec()), Some(b"2".to_vec())));
        }
        assert_eq!(store.failure(), None);
    }
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    // Few and close together, so that they meet; bytes at both ends of the order.
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'a', 254, 255]), 0..4)
}

fn change() -> impl Strategy<Value = (u8, Vec<u8>, Option<Vec<u8>>)> {
    let value = prop::option::weighted(0.7, prop::collection::vec(any::<u8>(), 0..40));
    (prop::sample::select(vec![0_u8, 7, 254]), key(), value)
}

/// What the model finds next.
fn expected(model: &Model, table: u8, from: &Bound<Vec<u8>>, reverse: bool) -> Option<(Vec<u8>, Vec<u8>)> {
    let inside = |key: &Vec<u8>| match (from, reverse) {
        (Bound::Unbounded, _) => true,
        (Bound::Included(from), false) => key >= from,
        (Bound::Excluded(from), false) => key > from,
        (Bound::Included(from), true) => key <= from,
        (Bound::Excluded(from), true) => key < from,
    };
    let mut all = model.iter().filter(|((t, key), _)| *t == table && inside(key));
    let found = if reverse { all.next_back() } else { all.next() };
    found.map(|((_, key), value)| (key.clone(), value.clone()))
}

fn bounds() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![Just(Bound::Unbounded), key().prop_map(Bound::Included), key().prop_map(Bound::Excluded)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Transactions of changes through the overlay, some dropped, look-ups between them; and a store on disk is closed
    /// and opened now and then.
    #[test]
    fn every_store_is_a_sorted_map_per_table(
        transactions in prop::collection::vec(
            (prop::collection::vec(change(), 0..12), any::<bool>(), any::<bool>()), 1..12),
        questions in prop::collection::vec((key(), bounds(), any::<bool>()), 8),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Some(open(dir.path()));
        let mut memory = Memory::new(&TABLES);
        let mut overlay = Overlay::new(&TABLES);
        let mut model = Model::new();
        for (number, (changes, commit, reopen)) in (1_i64..).zip(&transactions) {
            let mut next = model.clone();
            for (table, key, value) in changes {
                prop_assert!(overlay.set(*table, key, value.as_deref()));
                match value {
                    Some(value) => next.insert((*table, key.clone()), value.clone()),
                    None => next.remove(&(*table, key.clone())),
                };
            }
            if *reopen {
                drop(disk.take());
                disk = Some(open(dir.path()));
            }
            let on_disk = disk.as_mut().unwrap();
            for store in [&memory as &dyn Store, on_disk] {
                for (key, from, reverse) in &questions {
                    let bound = from.as_ref().map(Vec::as_slice);
                    for table in [7, 254] {
                        let plain = store.next(table, bound, *reverse);
                        let plain = plain.map(|(k, v)| (k.into_owned(), v.into_owned()));
                        prop_assert_eq!(plain, expected(&model, table, from, *reverse));
                        let overlaid = overlay.next(store, table, bound, *reverse);
                        let overlaid = overlaid.map(|(k, v)| (k.into_owned(), v.into_owned()));
                        prop_assert_eq!(overlaid, expected(&next, table, from, *reverse));
                    }
                    let got = store.get(0, key).map(Cow::into_owned);
                    prop_assert_eq!(got.as_ref(), model.get(&(0, key.clone())));
                }
                prop_assert_eq!(store.is_empty(), model.is_empty());
                prop_assert_eq!(store.failure(), None);
            }
            if *commit {
                memory.apply(&mut overlay.changes(), Reached::Input(number)).unwrap();
                overlay.merge_into(on_disk, number).unwrap();
                prop_assert_eq!(on_disk.reached().unwrap().0, Some(number));
                model = next;
            } else {
                overlay.clear();
            }
        }
    }
}

#[test]
fn a_store_on_disk_says_after_a_reopening_how_far_it_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    assert_eq!(store.reached(), None);
    let reached = Reached::Changelog { next: 40, input: Some(9), complete_at: Some(clock()) };
    store.apply(&mut std::iter::empty(), reached).unwrap();
    put(&mut store, 12, &[(0, b"a", Some(b"1")), (0, b"b", None)]);
    assert_eq!(store.reached(), Some((Some(12), 44)));
    drop(store);
    assert_eq!(open(dir.path()).reached(), Some((Some(12), 44)));
}

#[test]
fn a_restore_that_was_interrupted_is_found_as_far_as_it_had_come_and_no_younger() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let on_the_way = |next, input| Reached::Changelog { next, input, complete_at: None };
    let first: [Change<'_>; 2] = [(7, b"a", Some(b"1")), (7, b"b", Some(b"1"))];
    store.apply(&mut first.into_iter(), on_the_way(40, None)).unwrap();
    drop(store);
    let mut store = try_open_at(dir.path(), &CHANGELOG, later).unwrap();
    assert_eq!(store.reached(), Some((None, 40)), "the input offset stands further on");
    assert_eq!(walk(&store, 7).len(), 2);
    let second: [Change<'_>; 1] = [(7, b"a", None)];
    store.apply(&mut second.into_iter(), on_the_way(60, Some(5))).unwrap();
    assert_eq!((store.reached(), store.marks.complete_at), (Some((Some(5), 60)), clock()));
    let end = Reached::Changelog { next: 61, input: Some(6), complete_at: Some(later()) };
    store.apply(&mut std::iter::empty(), end).unwrap();
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.reached(), None, "from the future: the clock of this opening is two hours behind");
}

#[test]
fn the_number_of_entries_on_disk_is_estimated_and_follows_removals() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let keys: Vec<String> = (0..20_000).map(|n| format!("key-{n}")).collect();
    let all = |value: Option<&'static [u8]>| keys.iter().map(move |key| (0, key.as_bytes(), value));
    for input in 0..2 {
        store.apply(&mut all(Some(b"v")), Reached::Input(input)).unwrap();
        assert!((18_000..22_000).contains(&store.len()), "{}", store.len());
    }
    store.apply(&mut all(None), Reached::Input(2)).unwrap();
    assert_eq!(store.len(), 0);
    assert!(store.is_empty());
}

/// A store with `batches` batches, each of one new entry and one that every batch changes, closed.
fn filled(dir: &Path, batches: i64) {
    let mut store = open(dir);
    for n in 1..=batches {
        let (key, value) = (n.to_be_bytes(), n.to_string());
        put(&mut store, n, &[(7, &key, Some(value.as_bytes())), (0, b"shared", Some(value.as_bytes()))]);
    }
}

/// The store is what its first batches made of it, as many as it says; and new when it says nothing.
fn is_a_prefix(store: &Disk, at_most: i64) -> i64 {
    let entries = walk(store, 7);
    let Some((Some(input), _)) = store.reached() else {
        assert!(entries.is_empty() && store.is_empty(), "a wiped store has something");
        return 0;
    };
    assert!(input <= at_most);
    let expected: Vec<_> =
        (1..=input).map(|n| (n.to_be_bytes().to_vec(), n.to_string().into_bytes())).collect();
    assert_eq!(entries, expected);
    assert_eq!(store.get(0, b"shared").as_deref(), Some(input.to_string().as_bytes()));
    assert_eq!(store.failure(), None);
    input
}

fn journals(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let mut journals: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "jnl")).collect();
    journals.sort();
    journals
}

/// Where the journal's content ends: it is written into space that was claimed before.
fn content(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn copy_of(dir: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let copied = tempfile::tempdir().unwrap();
    copy(dir, copied.path());
    copied
}

#[test]
fn a_torn_journal_leaves_a_store_that_is_behind_and_never_one_that_is_half() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 60);
    let journal = journals(dir.path()).pop().unwrap();
    let name = journal.strip_prefix(dir.path()).unwrap();
    let whole = fs::read(&journal).unwrap();
    let end = content(&whole);
    let mut behind = 0;
    for cut in (0..24).map(|n| end - n).chain((1..16).map(|n| end * n / 16)) {
        let torn = copy_of(dir.path());
        fs::write(torn.path().join(name), &whole[..cut]).unwrap();
        let reached = is_a_prefix(&open(torn.path()), 60);
        behind += i32::from((1..60).contains(&reached));
        if end - cut < 40 {
            assert!(reached >= 59, "{cut} of {end} bytes made {reached} of 60 batches");
        }
    }
    assert!(behind > 20, "only {behind} cuts left a store that was behind");
}

#[test]
fn garbage_anywhere_in_the_journal_is_a_store_that_is_behind_or_wiped_and_never_a_wrong_one() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 60);
    let journal = journals(dir.path()).pop().unwrap();
    let name = journal.strip_prefix(dir.path()).unwrap();
    let whole = fs::read(&journal).unwrap();
    let end = content(&whole);
    let mut seen = [0, 0];
    for n in 0..60 {
        let garbled = copy_of(dir.path());
        let mut bytes = whole.clone();
        // One changed byte, or a lost block of them.
        let at = end * n / 60;
        if n % 3 == 0 {
            bytes[at..(at + 64).min(end)].fill(0);
        } else {
            bytes[at] ^= 1 << (n % 8);
        }
        fs::write(garbled.path().join(name), bytes).unwrap();
        let reached = is_a_prefix(&open(garbled.path()), 60);
        seen[usize::from(reached > 0)] += 1;
    }
    assert!(seen.iter().all(|n| *n > 0), "wiped and behind: {seen:?}");
}

#[test]
fn a_batch_that_vanished_from_the_middle_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    for n in 1..=5 {
        put(&mut store, n, &[(0, b"k", Some(b"v"))]);
    }
    // What a lost batch looks like: the number that it would have left isn't there.
    store.marks.batch += 1;
    put(&mut store, 7, &[(0, b"k", Some(b"v"))]);
    drop(store);
    assert_eq!(open(dir.path()).reached(), None, "wiped");
}

/// The files of tables, with the largest first.
fn tables(dir: &Path) -> Vec<PathBuf> {
    fn files(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => files(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let mut found = Vec::new();
    files(&dir.join("data/keyspaces"), &mut found);
    found.retain(|path| path.parent().is_some_and(|parent| parent.ends_with("tables")));
    found.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    found
}

/// A store of which everything is in tables.
fn settled(dir: &Path) {
    let mut store = open(dir);
    for n in 0..50_i64 {
        let entries: Vec<_> = (0..100).map(|k| format!("{n:04}-{k:04}")).collect();
        let changes: Vec<Change<'_>> =
            entries.iter().map(|key| (7, key.as_bytes(), Some(key.as_bytes()))).collect();
        store.apply(&mut changes.into_iter(), Reached::Input(n)).unwrap();
    }
    store.files.keyspace.rotate_memtable_and_wait().unwrap();
}

#[test]
fn a_table_with_garbage_is_noticed_when_it_is_read_and_the_store_is_wiped_once() {
    let dir = tempfile::tempdir().unwrap();
    settled(dir.path());
    let garble = |dir: &Path| {
        let table = tables(dir).remove(0);
        let mut bytes = fs::read(&table).unwrap();
        // The first half is data; what opening reads stands behind it.
        let middle = bytes.len() / 2;
        bytes[..middle].iter_mut().step_by(97).for_each(|byte| *byte ^= 0x55);
        fs::write(&table, bytes).unwrap();
    };
    garble(dir.path());
    let store = open(dir.path());
    if store.reached().is_some() {
        let found = walk(&store, 7);
        assert!(found.len() < 5_000, "the garbage was read");
        let failure = store.failure().expect("what was read can't be believed");
        assert!(failure.is_corrupt(), "{failure}");
    }
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.reached(), None, "wiped");
    drop(store);

    settled(dir.path());
    garble(dir.path());
    let again = try_open(dir.path()).map(|store| {
        walk(&store, 7);
        assert!(store.failure().is_some());
    });
    let again = again.and_then(|()| try_open(dir.path()).map(|_| ())).unwrap_err();
    assert!(matches!(again, StoreError::CorruptAgain { .. }), "{again}");
    let store = try_open_at(dir.path(), &CHANGELOG, later).unwrap();
    assert_eq!(store.reached(), None, "an hour later it is an accident again");
}

#[test]
fn a_background_thread_that_failed_stops_the_stage_and_costs_no_store() {
    let error = super::disk::sorted(Path::new("f"), "write to", &fjall::Error::Poisoned);
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(error.to_string().starts_with("cannot write to the store in f: a background thread"), "{error}");
}

#[test]
fn a_store_is_closed_by_a_thread_of_its_own_and_the_next_user_of_the_folder_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path()).closing_apart().unwrap();
    put(&mut store, 1, &[(7, b"a", Some(b"1"))]);
    let files = Arc::downgrade(&store.files);
    assert_eq!(files.strong_count(), 2, "the store isn't the last to have them");
    drop(store);
    assert_eq!(open(dir.path()).get(7, b"a").as_deref(), Some(&b"1"[..]));
    assert_eq!(files.strong_count(), 0);
}

#[test]
fn any_damage_to_any_file_is_an_intact_store_or_a_wiped_one() {
    let dir = tempfile::tempdir().unwrap();
    settled(dir.path());
    let mut files = tables(dir.path());
    let data = dir.path().join("data");
    files.extend(["version", "keyspaces/1/current", "keyspaces/0/current"].map(|name| data.join(name)));
    for file in files {
        let name = file.strip_prefix(dir.path()).unwrap();
        for damage in 0..4 {
            let damaged = copy_of(dir.path());
            let path = damaged.path().join(name);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                0 => fs::remove_file(&path).unwrap(),
                1 => fs::write(&path, b"").unwrap(),
                2 => fs::write(&path, &bytes[..bytes.len() / 2]).unwrap(),
                _ => {
                    bytes.iter_mut().for_each(|byte| *byte = !*byte);
                    fs::write(&path, bytes).unwrap();
                }
            }
            let store = try_open(damaged.path()).unwrap();
            let entries = walk(&store, 7).len();
            let intact = store.reached().is_some() && store.failure().is_none() && entries == 5_000;
            let wiped = store.reached().is_none() && entries == 0;
            let noticed = store.failure().is_some_and(|failure| failure.is_corrupt());
            assert!(intact || wiped || noticed, "{} {damage}: {entries} entries", name.display());
        }
    }
}

#[test]
fn a_store_of_another_format_is_rebuilt() {
    for format in [FORMAT - 1, FORMAT + 1] {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path(), 3);
        let mut store = open(dir.path());
        store.marks.format = format;
        put(&mut store, 4, &[(0, b"k", Some(b"v"))]);
        drop(store);
        assert_eq!(is_a_prefix(&open(dir.path()), 3), 0);
    }
}

#[test]
fn a_store_that_the_changelog_has_left_behind_is_rebuilt_and_that_is_no_corruption() {
    for changelog in [
        Changelog { low: 1_000, ..CHANGELOG },
        Changelog { end: 5, ..CHANGELOG },
        Changelog { tombstones: Some(Duration::from_secs(2 * 3_600)), ..CHANGELOG },
        Changelog { tombstones: None, ..CHANGELOG },
    ] {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            filled(dir.path(), 3);
            let store = try_open_at(dir.path(), &changelog, later).unwrap();
            assert_eq!(store.reached(), None);
            assert!(store.is_empty());
        }
    }
}

#[test]
fn a_process_that_was_stopped_between_a_commit_and_its_batch_does_not_make_the_store_younger() {
    static NOW: AtomicI64 = AtomicI64::new(1_000_000_000);
    let dir = tempfile::tempdir().unwrap();
    let mut store = try_open_at(dir.path(), &CHANGELOG, || NOW.load(Ordering::Relaxed)).unwrap();
    put(&mut store, 1, &[(0, b"k", Some(b"v"))]);
    // The transaction begins with a look-up, is committed, and the process sleeps for an hour.
    NOW.fetch_add(60_000, Ordering::Relaxed);
    let begun = NOW.load(Ordering::Relaxed);
    assert!(store.get(0, b"k").is_some());
    NOW.fetch_add(3_600_000, Ordering::Relaxed);
    put(&mut store, 2, &[(0, b"k", Some(b"w"))]);
    assert_eq!(store.marks.complete_at, begun);
}

#[test]
fn everything_that_a_journal_can_lose_is_covered_by_batch_numbers() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 2 * 2_048 + 100);
    let store = open(dir.path());
    assert_eq!(is_a_prefix(&store, i64::MAX), 2 * 2_048 + 100);
    drop(store);
    assert!(
        !tables(dir.path()).is_empty(),
        "batches are written to tables long before numbers are used again"
    );
}

#[test]
fn marks_are_in_the_batch_that_they_speak_of() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 3);
    let store = open(dir.path());
    let stored = store.files.keyspace.get(b"\xFFmarks").unwrap().unwrap();
    let marks = Marks::decode(&stored).unwrap();
    assert_eq!((marks.input, marks.batch, marks.identity), (Some(3), 3, identity()));
}

#[test]
fn what_a_copy_of_a_stage_that_is_no_more_has_kept_is_removed_and_no_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let options = OnDisk { folder: dir.path().to_owned(), ..on_disk(clock) };
    for (stage, instance) in [("figures-old", "a"), ("figures-v2", "a"), ("figures-old", "b")] {
        let path = options.of_copy(stage, instance).join("0");
        put(&mut open(&path), 1, &[(0, b"k", Some(b"v"))]);
    }
    let mut kept = options.stages("a").unwrap();
    kept.sort();
    assert_eq!(kept, ["figures-old", "figures-v2"]);
    for _ in 0..2 {
        assert!(options.remove("figures-old", "a", &|| false).unwrap());
        assert_eq!(options.stages("a").unwrap(), ["figures-v2"]);
    }
    assert_eq!(options.stages("b").unwrap(), ["figures-old"]);
    // What somebody still has is left to them.
    let held = Folder::acquire(&options.of_copy("figures-v2", "a").join("0"), &|| false).unwrap();
    assert!(!options.remove("figures-v2", "a", &|| true).unwrap());
    drop(held);
    assert_eq!(options.stages("a").unwrap(), ["figures-v2"]);
    let nowhere = OnDisk { folder: dir.path().join("nowhere"), ..on_disk(clock) };
    assert_eq!(nowhere.stages("a").unwrap(), Vec::<String>::new());
}
