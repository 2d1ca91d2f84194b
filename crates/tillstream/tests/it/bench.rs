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
