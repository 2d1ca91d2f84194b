//! Golden scenarios: `tests/scenarios/*.yaml` tells what comes over HTTP and, in plain figures written by hand, what must
//! be left of it. Each is told as it is, in other orders, twice, and with restarts: the same must be left.

mod core;
mod kafka;
mod left;
mod requests;
mod told;

use core::{Way, parts, run};
use left::Difference;
use requests::Stored;
use told::Scenario;

const PLAIN: Way = Way { commit_every: 1, restart: false };

/// A small generator of its own, so that a failing order can be had again by its seed.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut state = seed;
    for i in (1..list.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
    }
}

fn report(found: &[(String, Vec<Difference>)]) {
    let text: Vec<String> = found
        .iter()
        .flat_map(|(run, differences)| {
            differences.iter().map(move |difference| format!("{run}: {difference}"))
        })
        .collect();
    assert!(text.is_empty(), "{} differences\n{}", text.len(), text.join("\n"));
}

/// As it came, with what was said on the way.
fn as_it_came(scenario: &Scenario) -> Vec<Difference> {
    let parts = parts(scenario);
    let stored = scenario.stored(&parts.workspaces);
    let (left, said) = run(&parts, &stored.iter().collect::<Vec<_>>(), PLAIN);
    let mut found = scenario.differences(&left);
    let expected = &scenario.expected;
    for (name, wanted, there) in [
        ("facts", expected.facts.as_ref(), &said.facts),
        ("signals", expected.signals.as_ref(), &said.signals),
        ("letters", Some(&expected.letters), &said.letters),
    ] {
        if let Some(wanted) = wanted.filter(|wanted| *wanted != there) {
            found.push(format!("{name}: expected {wanted:?}, is {there:?}"));
        }
    }
    found
}

type Run<'a> = (String, Vec<&'a Stored>, Way);

/// The same order: in other transactions, with restarts, repeated.
fn repeated<'a>(in_order: &[&'a Stored]) -> Vec<Run<'a>> {
    let twice = in_order.iter().flat_map(|one| [*one, *one]).collect();
    vec![
        ("in one transaction".into(), in_order.to_vec(), Way { commit_every: usize::MAX, ..PLAIN }),
        ("with restarts".into(), in_order.to_vec(), Way { restart: true, ..PLAIN }),
        ("each twice".into(), twice, PLAIN),
        ("all twice".into(), [in_order, in_order].concat(), PLAIN),
    ]
}

/// Other orders, some of them repeated and restarted as well.
fn reordered<'a>(in_order: &[&'a Stored]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = vec![("backwards".into(), in_order.iter().rev().copied().collect(), PLAIN)];
    for seed in 0..8 {
        let mut order = if seed % 2 == 1 { [in_order, in_order].concat() } else { in_order.to_vec() };
        shuffle(&mut order, seed);
        let way = Way { commit_every: 1 + usize::try_from(seed).unwrap(), restart: seed % 3 == 2 };
        runs.push((format!("shuffled by seed {seed}"), order, way));
    }
    runs
}

/// Against the run as it came.
fn otherwise(scenario: &Scenario) -> Vec<(String, Vec<Difference>)> {
    let parts = parts(scenario);
    let stored = scenario.stored(&parts.workspaces);
    let in_order: Vec<&Stored> = stored.iter().collect();
    let (reference, _) = run(&parts, &in_order, PLAIN);
    let compare = |(how, order, way): Run<'_>| {
        let (left, _) = run(&parts, &order, way);
        (format!("{}, {how}", scenario.name), reference.differences(&left))
    };
    let mut found: Vec<_> = repeated(&in_order).into_iter().map(compare).collect();
    let others: Vec<_> = reordered(&in_order).into_iter().map(compare).collect();
    match &scenario.depends_on_order {
        None => found.extend(others),
        Some(why) if others.iter().all(|(_, differences)| differences.is_empty()) => {
            let gone = format!("doesn't depend on the order any more: take the mark away ({why})");
            found.push((scenario.name.clone(), vec![gone]));
        }
        Some(_) => {}
    }
    found
}

#[test]
fn every_scenario_ends_in_the_figures_that_are_written_down() {
    let all = Scenario::all();
    assert!(all.len() >= 25, "there are {} scenarios", all.len());
    let found: Vec<_> = all.iter().map(|scenario| (scenario.name.clone(), as_it_came(scenario))).collect();
    report(&found);
}

#[test]
fn every_scenario_ends_the_same_in_any_order_repeated_and_restarted() {
    let found: Vec<_> = Scenario::all().iter().flat_map(otherwise).collect();
    report(&found);
}

#[test]
fn a_figure_that_is_wrong_by_a_cent_is_named() {
    let mut all = Scenario::all();
    let scenario = all.iter_mut().find(|scenario| !scenario.expected.orders.is_empty()).unwrap();
    let order = scenario.expected.orders.values_mut().next().unwrap();
    order.insert("total".to_owned(), serde_json::json!("0.01 USD"));
    let found = as_it_came(scenario);
    assert!(found.len() == 1 && found[0].contains(".total: expected \"0.01 USD\", is "), "{found:?}");
}
