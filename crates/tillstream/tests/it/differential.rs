//! Every report against SQL over the facts, in `tests/differential`, which shares no code with the services.

use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use commerce::fx::Hour;
use commerce::{EventTime, ReceivedTime};
use tillstream::home::Home;

use crate::running::{Up, command, diagnosis, folder, turn, wait};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/differential");

/// For how long a cart rests until it is abandoned, in seconds, in both workspaces: the shortest that still leaves some
/// open.
const QUIET: &str = "3";
/// The development workspace, in which it does so. A file would be another cluster's to the tools.
const WORKSPACES: (&str, &str) = (
    "TILLSTREAM_WORKSPACES",
    "[{id = 'demo', base_currency = 'USD', abandoned_after_s = 3,\
       shopify = [{shop = 'demo-shop.myshopify.com', secrets = ['dev-shopify-secret']}],\
       lifesight = {keys = ['dev-backend-key']}, stripe = {secrets = ['whsec_dev']},\
       analytics = {publishable_keys = ['pk_dev_demo'], secret_keys = ['sk_dev_demo']},\
       customerio = {credentials = [{site_id = 'dev-site', api_key = 'dev-track-key'}]},\
       sequenzy = {keys = ['dev-orders-key']}, records = {keys = ['dev-records-key']}}]",
);

/// A zone whose clock is changed twice a year, so that some days have 23 and 25 hours.
const ZONE: &str = "America/New_York";

/// The Python side, and the shop that it looks at.
struct Scripts {
    python: String,
    dir: PathBuf,
    endpoints: String,
}

impl Scripts {
    fn new(dir: &Path) -> Self {
        let output =
            Command::new("sh").arg(format!("{DIR}/venv.sh")).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "venv.sh failed");
        let python = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        let endpoints = Home::new(Some(dir)).unwrap().endpoints_file().display().to_string();
        Self { python, dir: dir.to_owned(), endpoints }
    }

    fn run(&self, script: &str, further: &[&str]) {
        let mut command = Command::new(&self.python);
        command.args([&format!("{DIR}/{script}"), &self.endpoints]).args(further);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}\n{script} {further:?}:\n{said}", diagnosis(&self.dir));
        eprint!("{script}: {}", String::from_utf8_lossy(&output.stdout));
    }

    /// A shop's life from a seed.
    fn live(&self, up: &Up, seed: &str) {
        eprintln!("the life of seed {seed}");
        self.run("traffic.py", &[seed]);
        // Carts are abandoned when a fact comes after they have rested: views come until one of them finds some.
        let abandoned =
            || up.get("/v1/api/analytics/ecommerce/cart-abandonment?days=130")["abandoned_carts"].as_i64();
        let before = abandoned();
        wait("carts to be abandoned", || {
            up.ok(&["trigger", "analytics", "view_item"]);
            abandoned() > before
        });
    }
}

/// Rates of the last 140 days into US dollars, other ones each hour; now and then the yen has none, the dinar never.
fn rates(dir: &Path, now: ReceivedTime) -> String {
    let mut text = String::from("currency,base,rate,hour\n");
    for ago in 0..140 * 24_i64 {
        let hour = Hour::of(EventTime(now.0 - ago * 3600 * commerce::time::SECOND));
        writeln!(text, "EUR,USD,1.{:04},{hour}", 400 + ago * 37 % 1700).unwrap();
        if ago % 7 != 3 {
            writeln!(text, "JPY,USD,0.00{},{hour}", 6100 + ago * 13 % 977).unwrap();
        }
    }
    let path = dir.join("rates.csv");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn every_cell_of_every_report_is_what_sql_makes_of_the_facts() {
    let _turn = turn();
    let dir = folder();
    let scripts = Scripts::new(dir.path());
    let up = Up::start_with(dir.path(), &[], &[WORKSPACES]);
    // The demo shop first, with its repetitions, forgeries and late news, then lives that are made up.
    up.ok(&["demo", "--orders", "250", "--rate", "0"]);
    scripts.run("check.py", &[QUIET]);
    for seed in ["1", "2"] {
        scripts.live(&up, seed);
    }
    scripts.run("check.py", &[QUIET, "--varied"]);

    // The services' own core agrees as well, with people who were joined and erased in any cut of transactions.
    let audit = command(dir.path(), &["audit"]).env(WORKSPACES.0, WORKSPACES.1).output().unwrap();
    assert!(audit.status.success(), "{audit:?}");
}

#[test]
fn with_rates_of_exchange_and_days_of_another_zone_every_cell_is_what_sql_makes_of_the_facts() {
    let _turn = turn();
    let dir = folder();
    let scripts = Scripts::new(dir.path());
    let config = dir.path().join("zone.toml");
    let workspace = include_str!("differential/zone.toml").replace("ZONE", ZONE);
    std::fs::write(&config, workspace).unwrap();
    let up = Up::start_with(dir.path(), &[], &[("TILLSTREAM_CONFIG", config.to_str().unwrap())]);
    // One life before the rates are there, so that its orders wait for them, one after it.
    scripts.live(&up, "3");
    let rates = rates(dir.path(), service::clock::now());
    up.ok(&["fx", "put", &rates]);
    // Another one each time; what was said names it.
    let seed = RandomState::new().build_hasher().finish() % 900 + 100;
    scripts.live(&up, &seed.to_string());
    scripts.run("check.py", &[QUIET, "--zone", ZONE, "--rates", &rates, "--varied"]);
}
