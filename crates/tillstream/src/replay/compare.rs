//! `replay compare`: two versions, cell by cell.
//!
//! Both go on while they are read, and one may be a moment ahead of the other. So both topics are followed, and a cell
//! counts as different only when neither version has touched it for a while; where orders come in all the time, what differs
//! at the end of a minute is told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde::Serialize;
use serde_json::{Value, json};
use service::Config;
use stream::{Follow, Followed, follow};
use topics::{Topic, Version};

use super::{list, name, status};
use crate::audit::compare::fields;
use crate::tail::Reader;
use crate::{Output, Stop, data};

/// For that long neither version has touched a cell that is told as different.
const LASTS: Duration = Duration::from_secs(3);
/// No longer than this is waited for cells to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// So many differences are shown in a table; JSON has all.
const SHOWN: usize = 20;

/// `replay compare`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The version to compare with the served one; may be left out where there is one only.
    #[arg(value_parser = name)]
    version: Option<Version>,
    /// How to write what differs.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// A cell that the two versions have otherwise.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// The record's key: workspace, metric, window and dimensions.
    pub key: String,
    /// Path of the field; empty where only one of the two has the cell.
    pub field: String,
    /// What the served version says; absent: it has no such cell.
    pub served: Option<Value>,
    /// What the other one says.
    pub other: Option<Value>,
}

/// Runs the command.
pub fn run(config: &Config, args: &Args) -> Result<(), Stop> {
    let versions = list::read(config)?;
    let other = match &args.version {
        Some(version) => versions.get(version).map(|entry| &entry.name),
        None => versions.beside().next().map(|entry| &entry.name),
    };
    let other = other.filter(|other| **other != versions.served).ok_or_else(|| {
        Stop::Failed(anyhow!(
            "there is nothing to compare {} with; see `tillstream replay status`",
            versions.served
        ))
    })?;
    for version in [&versions.served, other] {
        status::caught_up(config, version)?;
    }
    let (compared, differences) = read(config, &versions.served, other)?;
    let equal = differences.is_empty();
    if args.output == Output::Json {
        data(
            &json!({"equal": equal, "served": versions.served, "other": other, "compared": compared,
                "differences": differences})
            .to_string(),
        )?;
    } else {
        table(&versions.served, other, compared, &differences)?;
    }
    if equal {
        return Ok(());
    }
    let keys: std::collections::BTreeSet<&str> = differences.iter().map(|d| d.key.as_str()).collect();
    Err(Stop::Failed(anyhow!("{} of {compared} cells differ", keys.len())))
}

fn table(served: &Version, other: &Version, compared: usize, all: &[Difference]) -> Result<(), Stop> {
    if all.is_empty() {
        return data(&format!("{compared} cells of {served} and {other} compared: all equal"));
    }
    let only = |here: &dyn Fn(&Difference) -> bool| all.iter().filter(|one| here(one)).count();
    data(&format!(
        "{} fields differ, {} cells are only in {served}, {} only in {other}",
        only(&|one| one.served.is_some() && one.other.is_some()),
        only(&|one| one.other.is_none() && one.field.is_empty()),
        only(&|one| one.served.is_none() && one.field.is_empty()),
    ))?;
    for one in all.iter().take(SHOWN) {
        let said = |value: &Option<Value>| value.as_ref().map_or("absent".to_owned(), Value::to_string);
        let field = if one.field.is_empty() { "(cell)" } else { &one.field };
        data(&format!("{}  {field}: {served} {}, {other} {}", one.key, said(&one.served), said(&one.other)))?;
    }
    if all.len() > SHOWN {
        eprintln!("and {} more: -o json has all", all.len() - SHOWN);
    }
    Ok(())
}

/// Follows both topics until what differs, if anything, has come to rest.
fn read(config: &Config, served: &Version, other: &Version) -> Result<(usize, Vec<Difference>), Stop> {
    let what = Follow {
        client: service::kafka::client_config(config),
        topics: vec![served.metrics(), other.metrics()],
    };
    let both = RefCell::new(Both::new(Reader::new(config)?));
    let done = Cell::new(false);
    let mut began = None;
    follow(&what, &|| done.get(), &mut |met| {
        let now = Instant::now();
        match met {
            Followed::Record { topic, key, value, .. } => {
                let side = if topic == what.topics[0] { Side::Served } else { Side::Other };
                both.borrow_mut().take(side, key, value, now);
            }
            Followed::CaughtUp | Followed::Idle => {
                let began = *began.get_or_insert(now);
                done.set(both.borrow_mut().is_at_rest(now) || now.duration_since(began) >= PATIENCE);
            }
        }
        Ok(())
    })?;
    let mut both = both.into_inner();
    Ok((both.cells.len(), both.differences()))
}

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Served,
    Other,
}

/// Both versions as far as they have been read.
struct Both {
    reader: Reader,
    /// The record of each, by key. A key that neither has isn't here.
    cells: HashMap<Vec<u8>, [Option<Vec<u8>>; 2]>,
    /// The keys whose records aren't the same bytes, and when one of them came last.
    unequal: BTreeMap<Vec<u8>, Instant>,
}

impl Both {
    fn new(reader: Reader) -> Self {
        Self { reader, cells: HashMap::new(), unequal: BTreeMap::new() }
    }

    fn take(&mut self, side: Side, key: &[u8], value: Option<&[u8]>, now: Instant) {
        // There is one of these, in the topic of the first version.
        if commerce::metric::is_of_the_state(key) {
            return;
        }
        let cell = self.cells.entry(key.to_vec()).or_default();
        cell[usize::from(side == Side::Other)] = value.map(<[u8]>::to_vec);
        if cell[0] == cell[1] {
            self.unequal.remove(key);
            if cell[0].is_none() {
                self.cells.remove(key);
            }
        } else {
            self.unequal.insert(key.to_vec(), now);
        }
    }

    /// True when no cell differs that was touched a moment ago.
    fn is_at_rest(&mut self, now: Instant) -> bool {
        let moving: Vec<Vec<u8>> = self
            .unequal
            .iter()
            .filter(|(_, at)| now.duration_since(**at) < LASTS)
            .map(|(key, _)| key.clone())
            .collect();
        moving.iter().all(|key| self.of(key).is_empty())
    }

    fn of(&mut self, key: &[u8]) -> Vec<Difference> {
        let Some([served, other]) = self.cells.get(key) else { return Vec::new() };
        let mut read = |value: &Option<Vec<u8>>| {
            value.as_ref().map(|value| self.reader.read(Topic::Metrics, key, Some(value)))
        };
        let (served, other) = (read(served), read(other));
        let difference = |(field, served, other)| Difference {
            key: String::from_utf8_lossy(key).into_owned(),
            field,
            served,
            other,
        };
        fields(&served, &other).into_iter().map(difference).collect()
    }

    /// What differs, by key.
    fn differences(&mut self) -> Vec<Difference> {
        let keys: Vec<Vec<u8>> = self.unequal.keys().cloned().collect();
        keys.iter().flat_map(|key| self.of(key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use commerce::{Metric, ReceivedTime, WorkspaceId};
    use topics::Schemas;

    use super::*;

    fn record(orders: i64, as_of: i64) -> (Vec<u8>, Vec<u8>) {
        let metric = Metric {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            metric: "revenue".to_owned(),
            window: "day".to_owned(),
            window_start: "2026-01-31".to_owned(),
            dimensions: BTreeMap::from([("currency".to_owned(), "USD".to_owned())]),
            values: BTreeMap::from([("orders".to_owned(), orders)]),
            revision: 0,
            corrected: false,
            as_of: ReceivedTime(as_of),
            window_end_at: None,
            members: None,
        };
        let mut value = Vec::new();
        Schemas::offline().encoder(Topic::Metrics).unwrap().encode(&metric, &mut value).unwrap();
        (metric.key().into_bytes(), value)
    }

    fn both() -> (Both, Instant) {
        (Both::new(Reader::with(&Schemas::offline())), Instant::now())
    }

    #[test]
    fn a_cell_that_differs_is_named_with_both_values_and_one_that_only_one_has_too() {
        let (mut both, now) = both();
        let (key, three) = record(3, 1);
        both.take(Side::Served, &key, Some(&three), now);
        let found = both.differences();
        assert_eq!((found.len(), found[0].field.as_str(), &found[0].other), (1, "", &None));
        both.take(Side::Other, &key, Some(&record(4, 1).1), now);
        let found = both.differences();
        assert_eq!(
            (found[0].key.as_str(), found[0].field.as_str()),
            ("demo:revenue:day:2026-01-31:currency=USD", "values.orders")
        );
        assert_eq!((&found[0].served, &found[0].other), (&Some(json!(3)), &Some(json!(4))));
        both.take(Side::Other, &key, Some(&three), now);
        assert!(both.differences().is_empty() && both.cells.len() == 1);
        for side in [Side::Served, Side::Other] {
            both.take(side, &key, None, now);
        }
        assert!(both.cells.is_empty() && both.unequal.is_empty());
    }

    #[test]
    fn when_something_was_processed_and_what_the_state_keeps_make_no_difference() {
        let (mut both, now) = both();
        let (key, value) = record(3, 1);
        both.take(Side::Served, &key, Some(&value), now);
        both.take(Side::Other, &key, Some(&record(3, 2).1), now);
        both.take(Side::Served, b"demo:outcomes:all::stage=state", Some(&value), now);
        assert!(both.differences().is_empty() && both.is_at_rest(now));
        assert_eq!(both.cells.len(), 1);
    }

    #[test]
    fn a_difference_counts_only_when_its_cell_has_rested() {
        let (mut both, now) = both();
        let (key, value) = record(3, 1);
        both.take(Side::Served, &key, Some(&value), now);
        assert!(!both.is_at_rest(now) && both.is_at_rest(now + LASTS));
        both.take(Side::Served, &key, Some(&record(4, 1).1), now + LASTS);
        assert!(!both.is_at_rest(now + LASTS));
    }
}
