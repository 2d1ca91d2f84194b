//! `features`: which tests show which capability, and how they ended when all tests ran last.
//!
//! `tests/features/<source>.yaml` maps the rows of the feature matrix to names of tests; `tests/run.sh` leaves the test
//! runners' own lines in `target/tests.log`. Nothing is claimed that isn't in both.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use serde::Serialize;

use crate::{Output, Stop};

/// One source of the matrix.
struct Matrix {
    source: &'static str,
    /// Before the numbers of its rows.
    prefix: &'static str,
    rows: u32,
    /// Rows to tests.
    map: &'static str,
}

/// Reads the map of a source.
macro_rules! matrix {
    ($source:literal, $prefix:literal, $rows:literal) => {
        Matrix {
            source: $source,
            prefix: $prefix,
            rows: $rows,
            map: include_str!(concat!("../../../tests/features/", $source, ".yaml")),
        }
    };
}

/// All of it: one line per source.
const MATRIX: [Matrix; 7] = [
    matrix!("shopify", "SHOP", 16),
    matrix!("stripe", "STR", 11),
    matrix!("records", "REC", 16),
    matrix!("lifesight", "LIFE", 30),
    matrix!("customerio", "CIO", 29),
    matrix!("sequenzy", "SEQ", 16),
    matrix!("analytics", "ANA", 32),
];

/// `features`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What the test runners printed. Default: `target/tests.log`, which `tests/run.sh` leaves.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// How to write the list.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// One row of the matrix.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Row {
    /// As in the matrix: `SHOP-01`.
    pub id: String,
    /// The tests that show it.
    pub tests: Vec<String>,
    /// How they ended.
    pub result: Outcome,
}

/// How the tests of a row ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All of them ran and passed.
    Pass,
    /// One of them failed.
    Fail,
    /// There is none, or one of them hasn't run.
    Missing,
}

/// Prints the list.
pub fn run(args: &Args) -> Result<(), Stop> {
    let path = args.log.clone().unwrap_or_else(|| PathBuf::from("target/tests.log"));
    let results = match std::fs::read_to_string(&path) {
        Ok(text) => results(&text),
        Err(error) if args.log.is_none() => {
            eprintln!("no results in {} ({error}): run ./tests/run.sh first", path.display());
            HashMap::new()
        }
        Err(error) => return Err(Stop::Usage(anyhow!("{} can't be read: {error}", path.display()))),
    };
    let rows = rows(&maps()?, &results);
    let count = |outcome| rows.iter().filter(|row| row.result == outcome).count();
    match args.output {
        Output::Json => {
            let text = serde_json::to_string_pretty(&rows).context("the list can't be written")?;
            crate::data(&text)?;
        }
        Output::Table => {
            for row in &rows {
                let result = match row.result {
                    Outcome::Pass => "pass",
                    Outcome::Fail => "FAIL",
                    Outcome::Missing => "missing",
                };
                crate::data(&format!("{:<8} {result:<8} {}", row.id, row.tests.join(", ")))?;
            }
            crate::data(&format!(
                "{} rows: {} pass, {} fail, {} missing",
                rows.len(),
                count(Outcome::Pass),
                count(Outcome::Fail),
                count(Outcome::Missing)
            ))?;
        }
    }
    if count(Outcome::Fail) > 0 {
        return Err(Stop::Failed(anyhow!("{} rows have a test that failed", count(Outcome::Fail))));
    }
    Ok(())
}

/// What a map says beside its rows.
const REMARKS: &str = "elsewhere";

type Map = BTreeMap<String, Vec<String>>;

fn maps() -> anyhow::Result<Map> {
    let mut all = Map::new();
    for Matrix { source, map, .. } in MATRIX {
        let map: BTreeMap<String, serde_json::Value> =
            serde_saphyr::from_str(map).with_context(|| format!("tests/features/{source}.yaml"))?;
        for (row, tests) in map.into_iter().filter(|(row, _)| row != REMARKS) {
            let tests: Vec<String> =
                serde_json::from_value(tests).with_context(|| format!("{row} of {source}"))?;
            all.entry(row).or_default().extend(tests);
        }
    }
    Ok(all)
}

/// The lines `test <name> ... ok|FAILED|ignored` of all runners. A name that ran twice has passed only if it did twice.
/// A crate's unit tests have its name before them, too.
fn results(log: &str) -> HashMap<String, bool> {
    let mut results = HashMap::new();
    let mut unit = None;
    for line in log.lines() {
        if let Some(runner) = line.trim_start().strip_prefix("Running ") {
            unit = of_unit_tests(runner);
        }
        let Some((name, end)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            continue;
        };
        let name = name.strip_suffix(" - should panic").unwrap_or(name);
        let passed = match end.trim() {
            "ok" => true,
            "FAILED" => false,
            _ => continue,
        };
        let with_crate = unit.map(|unit| format!("{unit}::{name}"));
        for name in with_crate.into_iter().chain([name.to_owned()]) {
            let known = results.entry(name).or_insert(true);
            *known &= passed;
        }
    }
    results
}

/// The crate in `unittests src/lib.rs (target/debug/deps/sources-0a1b2c)`.
fn of_unit_tests(runner: &str) -> Option<&str> {
    let (_, path) = runner.strip_prefix("unittests ")?.split_once('(')?;
    let (name, _) = path.rsplit('/').next()?.rsplit_once('-')?;
    Some(name)
}

fn rows(map: &Map, results: &HashMap<String, bool>) -> Vec<Row> {
    let ids = MATRIX
        .iter()
        .flat_map(|Matrix { prefix, rows, .. }| (1..=*rows).map(move |n| format!("{prefix}-{n:02}")));
    let row = |id: String| {
        let tests = map.get(&id).cloned().unwrap_or_default();
        let ended: Vec<Option<bool>> = tests.iter().map(|test| results.get(test).copied()).collect();
        let result = if ended.contains(&Some(false)) {
            Outcome::Fail
        } else if ended.is_empty() || ended.contains(&None) {
            Outcome::Missing
        } else {
            Outcome::Pass
        };
        Row { id, tests, result }
    };
    ids.map(row).collect()
}

#[cfg(test)]
mod checklist;

#[cfg(test)]
mod tests {
    use super::*;

    /// What goes beyond the demands has rows of its own, which aren't counted.
    const BEYOND: (&str, u32) = ("X", 12);

    fn is_row(text: &str) -> bool {
        let mut all = MATRIX.iter().map(|source| (source.prefix, source.rows)).chain([BEYOND]);
        text.split_once('-').is_some_and(|(prefix, number)| {
            all.any(|(known, rows)| known == prefix && number.parse().is_ok_and(|n| (1..=rows).contains(&n)))
        })
    }

    #[test]
    fn a_row_passes_only_if_all_of_its_tests_ran_and_passed() {
        let log = "running 3 tests\ntest a::one ... ok\ntest a::two ... FAILED\ntest three ... ignored\ntest four ... ok\n";
        let map = Map::from([
            ("SHOP-01".to_owned(), vec!["a::one".to_owned(), "four".to_owned()]),
            ("SHOP-02".to_owned(), vec!["a::one".to_owned(), "a::two".to_owned()]),
            ("SHOP-03".to_owned(), vec!["three".to_owned()]),
            ("SHOP-04".to_owned(), vec![]),
        ]);
        let rows = rows(&map, &results(log));
        assert_eq!(rows.len(), 150);
        let of = |id: &str| rows.iter().find(|row| row.id == id).unwrap().result;
        assert_eq!(of("SHOP-01"), Outcome::Pass);
        assert_eq!(of("SHOP-02"), Outcome::Fail);
        assert_eq!(["SHOP-03", "SHOP-04", "ANA-32"].map(of), [Outcome::Missing; 3]);
    }

    #[test]
    fn unit_tests_are_known_by_their_crate() {
        let log = "     Running unittests src/lib.rs (target/debug/deps/sources-0a1b)\ntest a::tests::one ... ok\n     \
                   Running tests/it/main.rs (target/debug/deps/it-0c)\ntest a::two ... ok\n";
        let results = results(log);
        for name in ["sources::a::tests::one", "a::tests::one", "a::two"] {
            assert_eq!(results.get(name), Some(&true), "{name}");
        }
        assert_eq!(results.len(), 3);
    }

    #[test]
    fn the_maps_can_be_read_and_name_rows_of_the_matrix_alone() {
        assert!(maps().unwrap().keys().all(|row| is_row(row)));
        assert!(is_row("CIO-29") && !is_row("CIO-30") && !is_row("elsewhere"));
    }
}
