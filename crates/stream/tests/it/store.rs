//! Stores on disk that were killed, damaged, or outlived by their changelog: the runtime goes on exactly once.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use stream::{OnDisk, Stage, Storage};

use crate::cluster::{self, count, produce, wait};
use crate::counting::{Job, Kind, clock, on_disk};
use crate::process::Process;
use crate::runtime::check;

fn store_of(job: &Job, partition: i32) -> PathBuf {
    job.folder.path().join(format!("{}-a", job.stage.name)).join(partition.to_string())
}

fn files(folder: &Path, is_it: impl Fn(&Path) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What is in use changes while it is listed.
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for path in entries.flatten().map(|entry| entry.path()) {
        match path.is_dir() {
            true => found.extend(files(&path, is_it)),
            false if is_it(&path) => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

fn journals(store: &Path) -> Vec<PathBuf> {
    files(&store.join("data"), |path| path.extension().is_some_and(|extension| extension == "jnl"))
}

/// Tables of state; keyspace 0 is fjall's own.
fn tables(store: &Path) -> Vec<PathBuf> {
    let in_tables = |path: &Path| path.parent().is_some_and(|parent| parent.ends_with("tables"));
    files(&store.join("data/keyspaces/1"), in_tables)
}

fn alter(file: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

/// Where the content of a journal ends.
fn content(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_store_that_was_killed_and_whose_journal_is_torn_or_garbled_goes_on_exactly_once() {
    let job = Job::on(Kind::Disk, "killed", 2);
    let damages: [(&str, fn(&mut Vec<u8>)); 7] = [
        ("none", |_| {}),
        ("one byte is missing", |bytes| bytes.truncate(content(bytes) - 1)),
        ("the last 100 bytes are missing", |bytes| bytes.truncate(content(bytes).saturating_sub(100))),
        ("the second half is missing", |bytes| bytes.truncate(content(bytes) / 2)),
        ("the last 500 bytes are zeros", |bytes| {
            let end = content(bytes);
            bytes[end.saturating_sub(500)..end].fill(0);
        }),
        ("a byte in the middle is another one", |bytes| {
            let middle = content(bytes) / 2;
            bytes[middle] ^= 0x10;
        }),
        ("everything is missing", Vec::clear),
    ];
    let (mut total, keys) = (0, 60);
    for (what, damage) in damages {
        let copy = Process::start(&job, "a", "", None);
        let before = count(job.out());
        // Killed in the middle of work.
        produce(&job.stage.input, total, 3_000, keys);
        total += 3_000;
        wait("some of it", || count(job.out()) > before + 500);
        copy.kill();
        for partition in 0..2 {
            let store = store_of(&job, partition);
            // As if the accidents were not within one hour.
            let _ = fs::remove_file(store.join("rebuilt"));
            alter(journals(&store).last().expect("a store has a journal"), damage);
        }
        let copy = Process::start(&job, "a", "", None);
        wait(what, || count(job.out()) >= usize::try_from(total).unwrap());
        copy.kill();
    }
    check(&job, usize::try_from(total).unwrap());
    // A fresh restore agrees with every key of what the store has become.
    let in_memory = Job { stage: Stage { storage: Storage::Memory, ..job.stage.clone() }, ..job };
    produce(&in_memory.stage.input, total, keys, keys);
    let copy = in_memory.start("a");
    wait("a record of each key", || copy.records() == keys);
    copy.stop().unwrap();
    check(&in_memory, usize::try_from(total + keys).unwrap());
}

#[test]
fn a_table_that_is_corrupt_is_noticed_at_a_read_and_the_store_is_wiped_and_restored_and_the_log_says_so() {
    let job = Job::on(Kind::Disk, "corrupt", 1);
    let keys = 40_000;
    let copy = Process::start(&job, "a", "", None);
    produce(&job.stage.input, 0, keys, keys);
    let keys_done = || count(job.out()) >= usize::try_from(keys).unwrap();
    wait("as many records as make a table", || !tables(&store_of(&job, 0)).is_empty() && keys_done());
    copy.kill();
    for table in tables(&store_of(&job, 0)) {
        alter(&table, |bytes| {
            let middle = bytes.len() / 2;
            bytes[..middle].iter_mut().step_by(61).for_each(|byte| *byte = !*byte);
        });
    }
    let copy = Process::start(&job, "a", "", None);
    produce(&job.stage.input, keys, keys, keys);
    wait("all of it", || count(job.out()) >= 2 * usize::try_from(keys).unwrap());
    let said = copy.kill();
    check(&job, 2 * usize::try_from(keys).unwrap());
    assert!(said.contains("a local store failed"), "{said}");
    assert!(said.contains("it is wiped and restored from the changelog"), "{said}");
    assert!(store_of(&job, 0).join("rebuilt").exists());
}

#[test]
fn a_store_that_is_older_than_the_tombstones_of_its_changelog_is_rebuilt() {
    /// Milliseconds by which this test's clock is fast.
    static FAST: AtomicI64 = AtomicI64::new(0);
    let mut job = Job::of(Kind::Disk, &cluster::unique("old"));
    job.stage.storage = Storage::Disk(OnDisk {
        clock: || clock() + FAST.load(Ordering::Relaxed),
        ..on_disk(job.folder.path())
    });
    job.create(1, &[("cleanup.policy", "compact"), ("delete.retention.ms", "600000")]);
    let mut total = 0;
    // 0: young enough; later, a quarter before the ten minutes are over, too old.
    for (fast, rebuilt) in [(0, false), (300_000, false), (300_000 + 451_000, true)] {
        FAST.store(fast, Ordering::Relaxed);
        produce(&job.stage.input, total, 500, 50);
        total += 500;
        let copy = job.start("a");
        wait("500 records", || copy.records() == 500);
        let restored = copy.seen.restored.load(Ordering::Relaxed);
        copy.stop().unwrap();
        // The first start has nothing to restore; there are 50 keys and some input offsets to read.
        assert_eq!(restored >= 50, rebuilt, "{fast} ms later {restored} records were read");
    }
    check(&job, usize::try_from(total).unwrap());
}

#[test]
fn a_store_of_an_earlier_topic_of_the_same_name_is_not_believed() {
    let job = Job::on(Kind::Disk, "anew", 1);
    produce(&job.stage.input, 0, 300, 30);
    let copy = job.start("a");
    wait("the first life", || copy.records() == 300);
    copy.stop().unwrap();
    cluster::delete(&[&job.stage.input, job.out(), job.dead(), job.latest(), &job.stage.changelog]);
    job.create(1, &[("cleanup.policy", "compact")]);

    // Without the disk, until the new changelog is longer than the old one was.
    let in_memory = Job {
        stage: Stage { storage: Storage::Memory, ..job.stage.clone() },
        world: job.world.clone(),
        folder: job.folder.clone(),
    };
    produce(&in_memory.stage.input, 0, 900, 20);
    let copy = in_memory.start("a");
    wait("the second life", || copy.records() == 900);
    copy.stop().unwrap();

    produce(&job.stage.input, 900, 300, 30);
    let copy = job.start("a");
    wait("the rest", || copy.records() == 300);
    copy.stop().unwrap();
    check(&job, 1_200);
}

/// What a store says of itself, as it is stored: format, whose it is, batch, input, changelog, time, sampled entries.
type Marks = (u16, (String, String, Option<String>, i32, i32), u64, Option<i64>, i64, i64, u64);

/// Makes a closed store say that it goes on for so many input records and so many changelog records.
fn push(store: &Path, input: i64, changelog: i64) {
    let database = fjall::Database::builder(store.join("data")).open().unwrap();
    let state = database.keyspace("state", fjall::KeyspaceCreateOptions::default).unwrap();
    let mut marks: Marks = postcard::from_bytes(&state.get(b"\xFFmarks").unwrap().unwrap()).unwrap();
    marks.3 = marks.3.map(|offset| offset + input);
    marks.4 += changelog;
    state.insert(b"\xFFmarks", postcard::to_allocvec(&marks).unwrap()).unwrap();
}

/// As after a crash of a broker's machine: the changelog's last records weren't written yet, those of the store were.
/// Aborted records make the changelog long enough for what the store says of it.
#[test]
fn a_store_that_is_ahead_of_a_changelog_that_lost_its_end_is_rebuilt() {
    let job = Job::on(Kind::Disk, "ahead", 1);
    let mut total = 0;
    // Where the changelog is found to be behind: nowhere, before the part that is read, in that part.
    for (input, changelog, rebuilt) in [(0, 0, false), (50, 0, true), (50, -20, true)] {
        produce(&job.stage.input, total, 100, 10);
        let copy = job.start("a");
        wait("what the changelog has", || copy.records() == 100);
        copy.stop().unwrap();
        let foreign: ThreadedProducer<DefaultProducerContext> =
            cluster::client().set("transactional.id", &job.stage.name).create().unwrap();
        foreign.init_transactions(Duration::from_secs(20)).unwrap();
        foreign.begin_transaction().unwrap();
        for _ in 0..500 {
            let aborted = BaseRecord::to(&job.stage.changelog).partition(0).key("x").payload("x");
            foreign.send(aborted).map_err(|(e, _)| e).unwrap();
        }
        foreign.flush(Duration::from_secs(20)).unwrap();
        foreign.abort_transaction(Duration::from_secs(20)).unwrap();
        push(&store_of(&job, 0), input, changelog);
        produce(&job.stage.input, total + 100, 100, 10);
        total += 200;
        let copy = job.start("a");
        wait("the rest", || copy.records() == 100);
        let restored = copy.seen.restored.load(Ordering::Relaxed);
        copy.stop().unwrap();
        assert_eq!(restored > 0, rebuilt, "{input} {changelog}: {restored} records were read");
    }
    check(&job, usize::try_from(total).unwrap());
}

#[test]
fn a_store_that_stayed_behind_while_another_copy_worked_catches_up() {
    let job = Job::on(Kind::Disk, "behind", 2);
    let mut total = 0;
    for copy in ["a", "b", "a", "b"] {
        produce(&job.stage.input, total, 1_000, 40);
        total += 1_000;
        let copy = job.start(copy);
        // The other one's membership has to time out.
        wait("1,000 records", || copy.records() == 1_000);
        copy.stop().unwrap();
    }
    check(&job, 4_000);
}

#[test]
fn a_folder_that_cannot_be_made_stops_the_stage_with_a_sentence() {
    let job = Job::on(Kind::Disk, "no-folder", 1);
    let file = job.folder.path().join("file");
    fs::write(&file, "").unwrap();
    let job = Job { stage: Stage { storage: Storage::Disk(on_disk(&file)), ..job.stage.clone() }, ..job };
    let error = job.start("a").end().unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with("cannot make the folder of the store in "), "{error}: {cause}");
}
