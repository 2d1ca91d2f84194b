//! `bench` as a user runs it: small, for its totals and not for its figures.

use std::process::Command;

use serde_json::Value;

/// Runs a measurement that must succeed, and gives its document.
fn bench(args: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tillstream"));
    let output = command.arg("bench").args(args).args(["-o", "json"]).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_pipeline_makes_the_workloads_totals_and_says_how_fast() {
    let document = bench(&["pipeline", "--n", "2000", "--workers", "2/1/1"]);
    assert_eq!(document["equal"], true, "{document}");
    let checks = document["checks"].as_array().unwrap();
    for what in ["USD totals", "cells of day and currency", "profiles", "duplicates", "facts order.refunded"]
    {
        assert!(checks.iter().any(|check| check["what"] == what), "{what} isn't among {checks:?}");
    }
    for figure in ["events_per_s", "cpu_s_per_million", "state_busy"] {
        assert!(document[figure].is_number(), "{figure} in {document}");
    }
    assert!(document["machine"]["cores"].is_number() && document["versions"]["kafka"].is_string());
}

#[test]
fn both_sources_read_the_workload_without_kafka() {
    for source in ["shopify", "lifesight"] {
        let document = bench(&["logic", "--source", source, "--n", "500"]);
        for stage in ["normalizer_us", "state_us", "aggregator_us"] {
            assert!(document[stage].as_f64().is_some_and(|time| time > 0.0), "{stage} in {document}");
        }
        assert_eq!(document["commerce.events.v1 records"], 1.0, "{document}");
    }
}

#[test]
fn the_normalizer_reads_typical_requests_of_all_sources() {
    let document = bench(&["normalize", "--n", "200", "--rounds", "1"]);
    for source in ["shopify", "stripe", "lifesight", "customerio", "sequenzy", "analytics", "records"] {
        assert_eq!(document[format!("{source}_events")].as_f64().map(|n| n >= 1.0), Some(true), "{document}");
        assert!(document[format!("{source}_ratio")].as_f64().is_some_and(|ratio| ratio > 0.0), "{document}");
    }
    assert_eq!(document["shopify_ratio"], 1.0);
}

#[test]
fn the_gateway_takes_events_one_by_one_and_in_batches() {
    let args = ["gateway", "--source", "analytics", "--secs", "1", "--rounds", "1", "--connections", "4"];
    let document = bench(&args);
    assert_eq!(document["equal"], true, "{document}");
    for figure in
        ["shopify_per_s", "analytics_ratio", "analytics_batch_events_per_s", "analytics_batch_ratio"]
    {
        assert!(document[figure].as_f64().is_some_and(|figure| figure > 0.0), "{figure} in {document}");
    }
}
