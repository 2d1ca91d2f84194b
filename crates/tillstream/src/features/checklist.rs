//! The conformance checklists of the contracts: each line has a test that is named after it.
//!
//! `tests/features/checklist.txt` has the lines, `shop_c05 The same delivery sent 10 times …`. A test shows a line by having
//! its id in its name; which tests are there is read from the sources, so that one that is renamed or ignored fails here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{MATRIX, maps};

const LINES: &str = include_str!("../../../../tests/features/checklist.txt");

/// Names of all tests that run: functions behind `#[test]` or `#[tokio::test]` and not behind `#[ignore]`.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_test, mut is_ignored) = (false, false);
    text.lines().map(str::trim).filter_map(move |line| {
        if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            is_ignored |= line.starts_with("#[ignore");
            return None;
        }
        let (_, rest) = line.split_once("fn ").filter(|(before, _)| matches!(*before, "" | "async "))?;
        let runs = is_test && !is_ignored;
        (is_test, is_ignored) = (false, false);
        rest.split(['(', '<']).next().filter(|_| runs)
    })
}

fn all_names(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_names(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(names(&std::fs::read_to_string(&path).unwrap()).map(str::to_owned));
        }
    }
}

fn of_this_tree() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    all_names(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    found
}

/// `shop_c05` of `shop_c05_ten_equal_deliveries_are_one_order`; a name may have several.
fn ids(name: &str) -> Vec<String> {
    let parts: Vec<&str> = name.split('_').collect();
    let is_prefix = |part: &str| MATRIX.iter().any(|source| source.prefix.eq_ignore_ascii_case(part));
    let is_line = |part: &str| {
        part.strip_prefix('c').is_some_and(|n| n.len() == 2 && n.bytes().all(|b| b.is_ascii_digit()))
    };
    let pairs = parts.windows(2).filter(|pair| is_prefix(pair[0]) && is_line(pair[1]));
    pairs.map(|pair| pair.join("_")).collect()
}

fn lines() -> BTreeMap<&'static str, &'static str> {
    LINES.lines().filter_map(|line| line.split_once(' ')).collect()
}

#[test]
fn every_line_of_every_checklist_has_a_test_of_its_name() {
    let names = of_this_tree();
    let shown: BTreeSet<String> = names.iter().flat_map(|name| ids(name)).collect();
    let lines = lines();
    assert_eq!((lines.len(), LINES.lines().count()), (159, 159), "a line is missing or stands twice");
    let without: Vec<_> = lines.iter().filter(|(id, _)| !shown.contains(**id)).collect();
    assert!(without.is_empty(), "no test has these in its name: {without:#?}");
    let unknown: Vec<_> = shown.iter().filter(|id| !lines.contains_key(id.as_str())).collect();
    assert!(unknown.is_empty(), "tests are named after lines that no checklist has: {unknown:?}");
}

#[test]
fn the_maps_name_tests_that_are_there() {
    let names = of_this_tree();
    let last = |path: &str| path.rsplit("::").next().unwrap_or_default().to_owned();
    let maps = maps().unwrap();
    let all = maps.iter().flat_map(|(row, tests)| tests.iter().map(move |test| (row, test)));
    let gone: Vec<_> = all.filter(|(_, test)| !names.contains(&last(test))).collect();
    assert!(gone.is_empty(), "{gone:#?}");
}

#[test]
fn a_test_that_is_ignored_or_only_looks_like_one_shows_nothing() {
    let text = "#[test]\nfn shop_c01_a() {}\n#[test]\n#[ignore = \"slow\"]\nfn shop_c02_b() {}\nfn shop_c03_c() {}\n\
                #[tokio::test]\n// why\nasync fn shop_c04_and_str_c05_d() {}\n// #[test]\nfn shop_c06() {}\n";
    let found: Vec<String> = names(text).flat_map(ids).collect();
    assert_eq!(found, ["shop_c01", "shop_c04", "str_c05"]);
    assert!(ids("life_6_4_another_body").is_empty() && ids("shop_c1_x").is_empty());
}
