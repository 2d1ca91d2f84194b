//! Every report against SQL over the facts, in `tests/differential`, which shares no code with the services.

use std::process::{Command, Stdio};

use tillstream::home::Home;

use crate::running::{Up, command, diagnosis, folder, turn, wait};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/differential");

/// For how long a cart rests until it is abandoned, in seconds: the shortest that still leaves some open.
const QUIET: &str = "3";
const QUIET_SETTING: &str = "TILLSTREAM_AGGREGATOR__ABANDONED_AFTER";

#[test]
fn every_cell_of_every_report_is_what_sql_makes_of_the_facts() {
    let _turn = turn();
    let dir = folder();
    let output = Command::new("sh").arg(format!("{DIR}/venv.sh")).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "venv.sh failed");
    let python = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let endpoints = Home::new(Some(dir.path())).unwrap().endpoints_file().display().to_string();
    let run = |script: &str, further: &[&str]| {
        let mut command = Command::new(&python);
        command.args([&format!("{DIR}/{script}"), &endpoints]).args(further);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{script} {further:?}:\n{said}", diagnosis(dir.path()));
        eprint!("{script}: {}", String::from_utf8_lossy(&output.stdout));
    };

    let quiet = format!("{QUIET}s");
    let up = Up::start_with(dir.path(), &[], &[(QUIET_SETTING, quiet.as_str())]);
    // The demo shop first, with its repetitions, forgeries and late news, then lives that are made up.
    up.ok(&["demo", "--orders", "250", "--rate", "0"]);
    run("check.py", &[QUIET]);
    for seed in ["1", "2"] {
        run("traffic.py", &[seed]);
        // Carts are abandoned when a fact comes after they have rested: views come until one of them finds some.
        let abandoned =
            || up.get("/v1/api/analytics/ecommerce/cart-abandonment?days=30")["abandoned_carts"].as_i64();
        let before = abandoned();
        wait("carts to be abandoned", || {
            up.ok(&["trigger", "analytics", "view_item"]);
            abandoned() > before
        });
    }
    run("check.py", &[QUIET, "varied"]);

    // The services' own core agrees as well, with people who were joined and erased in any cut of transactions.
    let audit = command(dir.path(), &["audit"]).env(QUIET_SETTING, &quiet).output().unwrap();
    assert!(audit.status.success(), "{audit:?}");
}
