//! The services, the disk and the clock.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::blocking::Client;
use serde::Deserialize;
use service::Config;
use service::config::{FxProvider, Store};

use super::Check;
use crate::home::{Home, here};

const ANSWER: Duration = Duration::from_secs(3);
/// Clocks of different machines may be this far apart, in seconds. What is compared has whole seconds.
const APART: i64 = 5;
const GIB: u64 = 1 << 30;

/// What the services say, and how far ahead of this machine the clock of one of them is, in seconds.
pub(super) struct Services {
    pub(super) checks: Vec<Check>,
    pub(super) ahead: Vec<(&'static str, i64)>,
}

/// The document of `/readyz`.
#[derive(Deserialize)]
struct Ready {
    ready: bool,
    #[serde(default)]
    draining: bool,
    #[serde(default)]
    parts: BTreeMap<String, Part>,
}

#[derive(Deserialize)]
struct Part {
    ready: bool,
    detail: String,
}

/// Asks each service whether it is ready.
pub(super) fn services(config: &Config, home: &Home) -> anyhow::Result<Services> {
    let client = Client::builder().no_proxy().timeout(ANSWER).build()?;
    let running = home.endpoints().ok();
    let named: Vec<(&'static str, String)> = match &running {
        Some(up) => {
            vec![("gateway", up.gateway.clone()), ("stages", up.metrics.clone()), ("query", up.query.clone())]
        }
        None => {
            let mut named = vec![
                ("gateway", here(config.gateway.listen)),
                ("normalizer", here(config.normalizer.listen)),
                ("state", here(config.state.listen)),
                ("aggregator", here(config.aggregator.listen)),
                ("query", here(config.query.listen)),
            ];
            if config.fx.provider != FxProvider::Off {
                named.push(("fx", here(config.fx.listen)));
            }
            named
        }
    };
    let mut found = Services { checks: Vec::new(), ahead: Vec::new() };
    let mut asked: Vec<String> = Vec::new();
    for (name, url) in named {
        // Stages that are configured alike are one address, and one of them or none.
        if asked.contains(&url) {
            continue;
        }
        let check = match client.get(format!("{url}/readyz")).send() {
            Ok(answer) => {
                let date = answer.headers().get("date").and_then(|date| date.to_str().ok()).and_then(seconds);
                let now = service::clock::now().0 / 1_000_000;
                found.ahead.extend(date.map(|date| (name, date - now)));
                judge(name, &url, &answer.text().unwrap_or_default())
            }
            Err(_) if running.is_some() => {
                Check::fail(name, format!("{url} doesn't answer, and `up` said it would"), "tillstream up")
            }
            Err(_) => Check::warn(
                name,
                format!("{url} doesn't answer: it isn't running, or not on this machine"),
                if name == "gateway" { "tillstream up".to_owned() } else { serve(name) },
            ),
        };
        found.checks.push(check);
        asked.push(url);
    }
    Ok(found)
}

fn serve(name: &str) -> String {
    format!("tillstream serve {name} --instance NAME, or `tillstream up` for all of them")
}

fn judge(name: &'static str, url: &str, answer: &str) -> Check {
    let Ok(ready) = serde_json::from_str::<Ready>(answer) else {
        let detail = format!("{url}/readyz answers something else: another program has the port");
        return Check::fail(name, detail, "tillstream config show, and choose another address");
    };
    if ready.ready {
        return Check::ok(name, format!("{url} is ready"));
    }
    if ready.draining {
        return Check::warn(name, format!("{url} is about to end"), serve(name));
    }
    let missing = ready.parts.iter().filter(|(_, part)| !part.ready);
    let missing: Vec<String> = missing.map(|(name, part)| format!("{name}: {}", part.detail)).collect();
    let detail = format!("{url} isn't ready\n{}", missing.join("\n"));
    Check::fail(name, detail, format!("mend what it waits for; `curl {url}/readyz` shows when it is there"))
}

/// Seconds since 1970 of an HTTP date.
fn seconds(date: &str) -> Option<i64> {
    jiff::fmt::rfc2822::parse(date).ok().map(|at| at.timestamp().as_second())
}

/// Whether the clocks of the services and this one agree: the stamps of all gateways are compared with each other.
pub(super) fn clock(ahead: Vec<(&'static str, i64)>) -> Check {
    let Some((name, ahead)) = ahead.into_iter().max_by_key(|(_, ahead)| ahead.abs()) else {
        return Check::warn(
            "clock",
            "no service answers whose clock it could be compared with",
            "tillstream up",
        );
    };
    if ahead.abs() <= APART {
        return Check::ok("clock", format!("it agrees with that of the services within {APART} s"));
    }
    let way = if ahead > 0 { "ahead of" } else { "behind" };
    Check::fail(
        "clock",
        format!("the clock of {name} is {} s {way} this one: deliveries are stamped with it", ahead.abs()),
        "timedatectl status, on both machines: NTP must be on",
    )
}

/// Whether there is room where data is kept on this machine.
pub(super) fn disk(config: &Config, home: &Home) -> Vec<Check> {
    let stages = [
        (config.state.store, config.state.folder.as_ref()),
        (config.aggregator.store, config.aggregator.folder.as_ref()),
    ];
    let on_disk = stages.into_iter().filter(|(store, _)| *store == Store::Disk);
    let mut folders: Vec<PathBuf> = vec![home.dir().to_owned()];
    folders.extend(on_disk.filter_map(|(_, folder)| folder.cloned()));
    folders.push(config.query.folder.clone().unwrap_or_else(std::env::temp_dir));
    folders.sort();
    folders.dedup();
    let mut checks = Vec::new();
    for folder in folders {
        // It may not be there before the first start.
        let Some(there) = folder.ancestors().find(|folder| folder.exists()) else { continue };
        checks.push(match rustix::fs::statvfs(there) {
            Ok(stat) => room(&folder, stat.f_bavail.saturating_mul(stat.f_frsize)),
            Err(error) => Check::warn("disk", format!("{}: {error}", folder.display()), "df -h"),
        });
    }
    checks
}

fn room(folder: &Path, free: u64) -> Check {
    let detail = format!("{}: {} GiB free", folder.display(), free / GIB);
    let next = format!("df -h {}", folder.display());
    match free / GIB {
        0 => Check::fail("disk", format!("{}: {} MiB free", folder.display(), free >> 20), next),
        1..5 => Check::warn("disk", detail, next),
        _ => Check::ok("disk", detail),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_service_that_waits_says_what_for() {
        let parts =
            r#"{"kafka":{"ready":false,"detail":"connecting"},"registry":{"ready":true,"detail":"x"}}"#;
        let answer = format!(r#"{{"ready":false,"draining":false,"parts":{parts}}}"#);
        let check = judge("state", "http://h:1", &answer);
        assert_eq!(
            (check.status, check.detail.as_str()),
            (Status::Fail, "http://h:1 isn't ready\nkafka: connecting")
        );
        assert_eq!(judge("state", "u", r#"{"ready":true,"parts":{}}"#).status, Status::Ok);
        assert_eq!(judge("state", "u", r#"{"ready":false,"draining":true}"#).status, Status::Warn);
        assert!(judge("state", "u", "<html>").detail.contains("another program"));
    }

    #[test]
    fn clocks_that_are_far_apart_fail_in_either_direction() {
        assert_eq!(seconds("Mon, 23 Nov 2026 02:41:45 GMT"), Some(1_795_401_705));
        for (ahead, status) in [(0, Status::Ok), (-5, Status::Ok), (6, Status::Fail), (-90, Status::Fail)] {
            assert_eq!(clock(vec![("query", 1), ("gateway", ahead)]).status, status, "{ahead}");
        }
        assert_eq!(clock(vec![]).status, Status::Warn);
    }

    #[test]
    fn a_disk_fails_before_it_is_full() {
        for (free, status) in [(GIB - 1, Status::Fail), (GIB, Status::Warn), (5 * GIB, Status::Ok)] {
            assert_eq!(room(Path::new("/x"), free).status, status, "{free}");
        }
    }
}
