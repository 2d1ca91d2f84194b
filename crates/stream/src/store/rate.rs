//! How fast the stores are, and how they grow. Not a test, because nothing is asserted of time:
//!
//! `STORE=disk ENTRIES=10000000 cargo test --release -p stream --lib store::rate -- --ignored --nocapture`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::*;
use crate::Table;

const ORDERS: Table = Table::hashed(0, "orders");
const PER_BATCH: u64 = 1_000;
const RECORDS: u64 = 300_000;

/// Fills a store with entries of about 300 bytes, then does what a stage does: transactions of 1,000 records, each a
/// look-up and a change of one key. Nine of ten keys are among the newest twentieth, as the open orders of a shop are.
#[test]
#[ignore = "a measurement, for a release build"]
fn look_ups_and_changes_per_second() {
    let kind = std::env::var("STORE").unwrap_or_else(|_| "disk".to_owned());
    let entries: u64 = std::env::var("ENTRIES").map_or(1_000_000, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut store: Box<dyn Store> = match kind.as_str() {
        "memory" => Box::new(Memory::new(&[ORDERS])),
        _ => disk(folder.path()),
    };
    let mut random = Random(42);
    let begun = Instant::now();
    for first in (0..entries).step_by(10_000) {
        let batch = (first..(first + 10_000).min(entries)).map(|n| (n, value(n, &mut random))).collect();
        put(&mut *store, &batch);
    }
    eprintln!("{kind} {entries}: filled at {} entries/s", per_second(entries, begun.elapsed()));
    for round in 1..=4 {
        let begun = Instant::now();
        for _ in 0..RECORDS / PER_BATCH {
            let mut changes = BTreeMap::new();
            for _ in 0..PER_BATCH {
                let recent = !random.next().is_multiple_of(10);
                let span = if recent { (entries / 20).max(1) } else { entries };
                let n = entries - 1 - random.next() % span;
                assert!(store.get(0, &key(n)).is_some());
                changes.insert(n, value(n, &mut random));
            }
            put(&mut *store, &changes);
        }
        let rate = per_second(RECORDS, begun.elapsed());
        eprintln!("{kind} {entries}: round {round}, {rate} records/s, each a look-up and a change");
    }
    eprintln!(
        "{kind} {entries}: {} entries by its own account, {} MiB resident, {} MiB on disk",
        store.len(),
        resident(),
        size(folder.path()) >> 20
    );
}

fn disk(folder: &Path) -> Box<dyn Store> {
    let mib = |name: &str, or: u64| std::env::var(name).map_or(or, |n| n.parse().unwrap()) << 20;
    let options = OnDisk {
        folder: PathBuf::new(),
        cache_bytes: mib("CACHE_MIB", 128),
        write_buffer_bytes: mib("WRITE_BUFFER_MIB", 64),
        clock: || 0,
    };
    let identity =
        Identity { stage: "s".into(), changelog: "c".into(), topic_id: None, partition: 0, partitions: 1 };
    let changelog = Changelog { low: 0, end: i64::MAX, tombstones: None };
    let folder = Folder::acquire(folder, &|| false).unwrap().unwrap();
    let opening =
        Opening { options: &options, identity: &identity, tables: &[ORDERS], changelog: &changelog };
    Box::new(opening.open(folder).unwrap())
}

fn put(store: &mut dyn Store, changes: &BTreeMap<u64, Vec<u8>>) {
    let keys: Vec<_> = changes.keys().map(|n| key(*n)).collect();
    let mut changes = keys.iter().zip(changes.values()).map(|(key, value)| (0, &**key, Some(&**value)));
    store.apply(&mut changes, Reached::Input(0)).unwrap();
}

fn per_second(n: u64, took: Duration) -> u128 {
    u128::from(n) * 1_000_000 / took.as_micros().max(1)
}

fn key(n: u64) -> Vec<u8> {
    format!("shop-{}:gid://order/{n:012}", n % 7).into_bytes()
}

/// About 300 bytes, a third of them incompressible.
fn value(n: u64, random: &mut Random) -> Vec<u8> {
    let mut value = format!("{{\"id\":{n},\"currency\":\"USD\",\"status\":\"paid\",\"items\":[").into_bytes();
    value.resize(200, b'.');
    value.extend((0..13).flat_map(|_| random.next().to_le_bytes()));
    value
}

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 3
    }
}

/// MiB of this process in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().unwrap().len() }).sum()
}
