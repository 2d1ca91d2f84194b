//! The dashboard in a real browser, and its scripts' pure parts, where there is Node and a Chromium.

use std::process::{Command, Stdio};

use tokio::net::TcpListener;

use crate::shoppers::{service, story};

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");

/// Whether a program is here and of use.
fn has(program: &str, version: impl Fn(&str) -> bool) -> bool {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success() && version(&String::from_utf8_lossy(&output.stdout)))
}

fn node() -> bool {
    let major = |text: &str| text.trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok();
    let there = has("node", |text| major(text).is_some_and(|major| major >= 20));
    if !there {
        eprintln!("SKIPPED: there is no Node 20 here, so the dashboard's scripts were not run");
    }
    there
}

#[test]
fn the_scripts_of_the_dashboard_compute_right() {
    if node() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page");
        let status = Command::new("node").args([&format!("{DIR}/pure.mjs"), page]).status().unwrap();
        assert!(status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_its_key_and_shows_the_figures_on_small_and_large_screens() {
    if !node() {
        return;
    }
    let programs = ["chromium", "chromium-browser", "google-chrome"];
    let Some(program) = programs.into_iter().find(|program| has(program, |_| true)) else {
        eprintln!("SKIPPED: there is no Chromium here, so nobody looked at the dashboard");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = service(&story());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let script = format!("{DIR}/page.mjs");
    let run = move || Command::new("node").args([script.as_str(), program, &address]).status().unwrap();
    assert!(tokio::task::spawn_blocking(run).await.unwrap().success());
}
