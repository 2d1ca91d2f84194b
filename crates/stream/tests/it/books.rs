//! What the counting stage must have written, recomputed from its input with code of its own, and what it has.

use std::collections::BTreeMap;

use crate::cluster::{partitions, read, read_bytes};
use crate::counting::Job;

/// What a stage has written: outputs in order by partition, the last value by key, and its state by key.
#[derive(Debug, PartialEq, Eq)]
pub struct Books {
    pub out: BTreeMap<i32, Vec<(String, String)>>,
    pub latest: BTreeMap<String, String>,
    pub state: BTreeMap<(i32, Vec<u8>), Vec<u8>>,
}

/// Reads what is there.
pub fn books(job: &Job) -> Books {
    let out = |records: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
        records.into_iter().map(|(k, v)| (text(k), text(v.unwrap()))).collect()
    };
    let state = read_bytes(&job.stage.changelog).into_iter().flat_map(|(partition, records)| {
        records.into_iter().map(move |(key, value)| ((partition, key), value.unwrap()))
    });
    Books {
        out: read_bytes(job.out())
            .into_iter()
            .map(|(partition, records)| (partition, out(records)))
            .collect(),
        latest: read(job.latest()).into_values().flatten().map(|(k, v)| (k, v.unwrap())).collect(),
        state: state.collect(),
    }
}

/// What should be there.
pub fn expected(job: &Job) -> Books {
    let mut counts: BTreeMap<(i32, String), u64> = BTreeMap::new();
    let mut books = Books { out: BTreeMap::new(), latest: BTreeMap::new(), state: BTreeMap::new() };
    let input = read(&job.stage.input);
    let partitions = partitions(&job.stage.input);
    for (partition, records) in &input {
        for (key, value) in records {
            let n = counts.entry((*partition, key.clone())).or_default();
            *n += 1;
            let line = format!("{n}:{}", value.as_deref().unwrap());
            books.out.entry(*partition).or_default().push((key.clone(), line));
        }
        // The input offset: key 255 "offset", value the format, the number of partitions and the offset.
        let mut progress = vec![3];
        varint(u64::from(partitions.unsigned_abs()) * 2, &mut progress);
        varint(records.len() as u64 * 2, &mut progress);
        books.state.insert((*partition, b"\xFFoffset".to_vec()), progress);
    }
    for ((partition, key), n) in counts {
        books.state.insert((partition, [b"\0", key.as_bytes()].concat()), n.to_le_bytes().to_vec());
        books.latest.insert(key, n.to_string());
    }
    books
}

/// Seven bits per byte, the lowest first.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// What is wrong, as sentences; nothing when all is right.
pub fn anomalies(job: &Job) -> Vec<String> {
    let (expected, found) = (expected(job), books(job));
    let mut anomalies = Vec::new();
    let mut times: BTreeMap<(i32, &str), i64> = BTreeMap::new();
    let value_of = |line: &'_ str| line.split_once(':').unwrap().1.to_owned();
    let values = |books: &Books| -> Vec<(i32, String)> {
        let lines = |(partition, lines): (&i32, &Vec<(String, String)>)| {
            lines.iter().map(|(_, line)| (*partition, value_of(line))).collect::<Vec<_>>()
        };
        books.out.iter().flat_map(lines).collect()
    };
    let (wanted, written) = (values(&expected), values(&found));
    for (partition, value) in &wanted {
        *times.entry((*partition, value)).or_default() += 1;
    }
    for (partition, value) in &written {
        *times.entry((*partition, value)).or_default() -= 1;
    }
    for ((partition, value), missing) in times {
        match missing {
            0 => {}
            1.. => anomalies.push(format!("lost: {value} of partition {partition}")),
            _ => anomalies.push(format!("repeated: {value} of partition {partition}")),
        }
    }
    if anomalies.is_empty() && found.out != expected.out {
        anomalies.push("other: the outputs differ in their counts or order".to_owned());
    }
    if found.latest != expected.latest {
        anomalies.push("latest: the last counts differ".to_owned());
    }
    if found.state != expected.state {
        anomalies.push("state: the changelog differs".to_owned());
    }
    anomalies
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}
