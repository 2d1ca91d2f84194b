//! What dashboards and alerts ask for, held against the table of families: every name, every label, and the values of
//! those labels whose values are a closed list.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use commerce::{DuplicateLevel, Outcome, Reason, Source};

use super::{Family, NO_SOURCE, table};

/// Labels that Prometheus adds, as `deploy/prometheus/prometheus.yml` sets them, and that of a histogram's buckets.
const OF_TARGETS: [&str; 3] = ["job", "service", "instance"];
/// Parts of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

/// An expression and where it stands.
struct Asked {
    place: String,
    expression: String,
    /// The labels that the legend or an annotation shows.
    shown: Vec<String>,
}

fn dashboards() -> Vec<Asked> {
    let mut asked = Vec::new();
    for entry in fs::read_dir(deploy().join("grafana/dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let board: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        for panel in board["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                asked.push(Asked {
                    place: format!("{}: {}", path.display(), panel["title"]),
                    expression: target["expr"].as_str().unwrap().to_owned(),
                    shown: between(target["legendFormat"].as_str().unwrap_or_default(), "{{", "}}"),
                });
            }
        }
        for variable in board["templating"]["list"].as_array().into_iter().flatten() {
            let query = variable["query"]["query"].as_str().unwrap_or_default();
            let (name, label) = query
                .strip_prefix("label_values(")
                .unwrap()
                .strip_suffix(')')
                .unwrap()
                .split_once(", ")
                .unwrap();
            asked.push(Asked {
                place: format!("{}: variable", path.display()),
                expression: format!("sum by ({label}) ({name})"),
                shown: vec![],
            });
        }
    }
    asked
}

fn alerts() -> Vec<Asked> {
    let text = fs::read_to_string(deploy().join("prometheus/alerts.yml")).unwrap();
    let rules = text.split("- alert: ").skip(1).map(|rule| {
        let expression = rule.split_once("expr:").unwrap().1;
        let end = ["\n        for:", "\n        labels:"]
            .iter()
            .filter_map(|end| expression.find(end))
            .min()
            .unwrap();
        Asked {
            place: rule.lines().next().unwrap().to_owned(),
            expression: expression[..end].to_owned(),
            shown: between(rule, "{{ $labels.", " }}"),
        }
    });
    rules.collect()
}

fn between(text: &str, open: &str, close: &str) -> Vec<String> {
    let parts = text.split(open).skip(1).filter_map(|rest| rest.split_once(close));
    parts.map(|(label, _)| label.trim().to_owned()).collect()
}

/// The metrics of an expression, each with what its selector says.
fn selectors(expression: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    let mut rest = expression;
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    while let Some(start) = ["tillstream_", "process_"].iter().filter_map(|known| rest.find(known)).min() {
        rest = &rest[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        rest = &rest[end..];
        let matchers =
            rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).map_or("", |(inner, _)| inner);
        let pairs = matchers.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| {
            let (label, value) = part.split_once('=').unwrap();
            let value = value.trim_start_matches(['=', '~']).trim_matches('"');
            (label.trim_end_matches('!').trim().to_owned(), value.to_owned())
        });
        found.push((name, pairs.collect()));
    }
    found
}

/// The labels that an expression groups or joins by.
fn grouped(expression: &str) -> Vec<String> {
    let lists =
        ["by (", "on (", "group_left (", "without ("].iter().flat_map(|open| between(expression, open, ")"));
    let labels =
        lists.flat_map(|list| list.split(',').map(|part| part.trim().to_owned()).collect::<Vec<_>>());
    labels.filter(|label| !label.is_empty()).collect()
}

fn family(name: &str) -> Option<Family> {
    let plain = |family: &Family| {
        family.name == name
            || family.kind == "histogram"
                && PARTS.iter().any(|part| name.strip_suffix(part) == Some(family.name))
    };
    table().into_iter().find(plain)
}

/// What a label can say, where that is a closed list.
fn values(label: &str) -> Option<BTreeSet<String>> {
    let owned = |all: &[&str]| Some(all.iter().map(|text| (*text).to_owned()).collect());
    match label {
        "endpoint" => owned(&["ingest", "reports", "dashboard", "preflight"]),
        "result" => owned(&["committed", "aborted", "unknown"]),
        "ending" => owned(&["open", "completed", "abandoned"]),
        "stage" => owned(&["gateway", "normalizer", "state", "aggregator", "replay"]),
        "level" => Some(DuplicateLevel::ALL.iter().map(|level| level.as_str().to_owned()).collect()),
        "source" => Some(
            Source::ALL.iter().map(|source| source.as_str()).chain([NO_SOURCE]).map(str::to_owned).collect(),
        ),
        "outcome" => {
            let all = [
                Outcome::Published,
                Outcome::Stale,
                Outcome::Shadow,
                Outcome::DeadLettered(Reason::MalformedJson),
                Outcome::Rejected(Reason::UnknownPath),
                Outcome::Filtered(Reason::UnknownPath),
                Outcome::Duplicate(DuplicateLevel::Semantic),
            ];
            Some(all.iter().map(|outcome| outcome.as_str().to_owned()).collect())
        }
        _ => None,
    }
}

#[test]
fn every_metric_and_label_that_dashboards_and_alerts_ask_for_is_there() {
    let (boards, rules) = (dashboards(), alerts());
    assert!(boards.len() > 20 && rules.len() > 10, "{} expressions, {} rules", boards.len(), rules.len());
    for Asked { place, expression, shown } in boards.into_iter().chain(rules) {
        let asked = selectors(&expression);
        assert!(
            !asked.is_empty() || expression.contains("up{"),
            "{place}: nothing is asked for in {expression}"
        );
        let mut known: BTreeSet<&str> = OF_TARGETS.into();
        for (name, matchers) in &asked {
            let Some(family) = family(name) else { panic!("{place}: no service counts {name}") };
            let buckets = name.ends_with("_bucket") && family.kind == "histogram";
            known.extend(family.labels.iter().copied().chain(buckets.then_some("le")));
            for (label, value) in matchers {
                let own = family.labels.contains(&label.as_str()) || OF_TARGETS.contains(&label.as_str());
                assert!(own, "{place}: {name} has no label {label}");
                let Some(values) = values(label).filter(|_| !value.starts_with('$')) else { continue };
                for value in value.split('|') {
                    assert!(values.contains(value), "{place}: {label} of {name} is never {value}");
                }
            }
        }
        for label in grouped(&expression).iter().chain(&shown) {
            assert!(known.contains(label.as_str()), "{place}: nothing in {expression} has the label {label}");
        }
    }
}

#[test]
fn the_examples_of_alerts_are_of_metrics_with_all_their_labels() {
    let text = fs::read_to_string(deploy().join("prometheus/alerts.test.yml")).unwrap();
    let series = text.lines().filter_map(|line| line.trim().strip_prefix("- series: "));
    let series: Vec<_> = series.flat_map(|series| selectors(series.trim_matches('\''))).collect();
    assert!(series.len() > 20, "{}", series.len());
    for (name, labels) in series {
        let family = family(&name).unwrap_or_else(|| panic!("no service counts {name}"));
        for (label, _) in labels {
            let own = family.labels.contains(&label.as_str())
                || label == "le"
                || OF_TARGETS.contains(&label.as_str());
            assert!(own, "{name} has no label {label}");
        }
    }
}
