//! `replay status`: how far each version is.

use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use serde_json::json;
use service::Config;
use stream::extents;
use topics::{Topic, Version, version::Entry};

use super::list;
use crate::progress::{Progress, bar};
use crate::{Output, Stop, data, lag};

/// Between two looks while waiting.
const PAUSE: Duration = Duration::from_millis(500);

/// `replay status`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Waits until every version has all facts that are there now.
    #[arg(long)]
    wait: bool,
    /// How to write the list.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How far a version is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Standing {
    /// Its name.
    pub version: Version,
    /// Whether reports are answered from it.
    pub served: bool,
    /// When it was begun, RFC 3339; `null` for the first one.
    pub begun_at: Option<String>,
    /// It has only the facts that arrived since then.
    pub from: Option<String>,
    /// Facts that wait for it.
    pub behind: i64,
    /// Offsets of the facts, all in all.
    pub of: i64,
    /// Seconds until it has come to the end, at the mean rate since it was begun.
    pub ready_in_s: Option<i64>,
    /// Its topic.
    pub metrics: String,
}

/// Runs the command.
pub fn run(config: &Config, args: &Args) -> Result<(), Stop> {
    if args.wait {
        wait(config)?;
    }
    let all = standings(config)?;
    if args.output == Output::Json {
        return data(&json!({"versions": all}).to_string());
    }
    data(&format!("{:<16} {:<6} {:<27} {:<32} {:>9}", "version", "served", "begun", "done", "behind"))?;
    for one in &all {
        let done = u64::try_from(one.of - one.behind).unwrap_or(0);
        let from = one.from.as_ref().map(|from| format!("  only since {from}")).unwrap_or_default();
        let ready = one.ready_in_s.map(|s| format!("  ready in about {s} s")).unwrap_or_default();
        data(&format!(
            "{:<16} {:<6} {:<27} {} {:>9}{ready}{from}",
            one.version.as_str(),
            if one.served { "yes" } else { "no" },
            one.begun_at.as_deref().unwrap_or("-"),
            bar(done, u64::try_from(one.of).unwrap_or(0)),
            one.behind,
        ))?;
    }
    Ok(())
}

/// How far all versions are.
pub fn standings(config: &Config) -> anyhow::Result<Vec<Standing>> {
    let versions = list::read(config)?;
    let client = service::kafka::client_config(config);
    let of = extents(&client, Topic::Facts.name(), &|| false)?.values().map(|extent| extent.high).sum();
    let now = service::clock::now().as_event().0;
    let standing = |entry: &Entry| -> anyhow::Result<Standing> {
        let behind = behind(config, &entry.name)?;
        let begun = entry.begun_at.as_deref().and_then(|at| commerce::time::parse_iso(at).ok());
        let ready_in_s = begun
            .filter(|_| behind > 0)
            .and_then(|begun| remaining(of - behind, behind, now.saturating_sub(begun.at.0) / 1_000_000));
        Ok(Standing {
            version: entry.name.clone(),
            served: entry.name == versions.served,
            begun_at: entry.begun_at.clone(),
            from: entry.from.clone(),
            behind,
            of,
            ready_in_s,
            metrics: entry.name.metrics(),
        })
    };
    versions.all.iter().map(standing).collect()
}

/// Facts that wait for a version.
pub fn behind(config: &Config, version: &Version) -> anyhow::Result<i64> {
    let places = lag::group(config, &version.group(), Topic::Facts, false)?;
    Ok(places.iter().map(|place| place.lag.saturating_add(place.open)).sum())
}

/// Seconds for what is left at the mean rate so far.
fn remaining(done: i64, left: i64, elapsed_s: i64) -> Option<i64> {
    let seconds = (i128::from(left) * i128::from(elapsed_s.max(1))).checked_div(i128::from(done.max(0)))?;
    i64::try_from(seconds).ok()
}

/// Waits until all versions have finished the facts that are there.
fn wait(config: &Config) -> Result<(), Stop> {
    for entry in list::read(config)?.all {
        caught_up(config, &entry.name)?;
    }
    Ok(())
}

/// Waits until a version has finished the facts that are there when this is called.
pub fn caught_up(config: &Config, version: &Version) -> Result<(), Stop> {
    let client = service::kafka::client_config(config);
    let of = behind(config, version)?;
    let mut progress = Progress::new(version.as_str(), u64::try_from(of).unwrap_or(0));
    let mut looked = None;
    let waited =
        stream::wait_until_finished(&client, &version.group(), Topic::Facts.name(), &|| false, &mut |_| {
            let now = std::time::Instant::now();
            if looked.is_none_or(|at| now.duration_since(at) >= PAUSE) {
                looked = Some(now);
                let left = behind(config, version).unwrap_or(of);
                progress.reach(u64::try_from(of - left).unwrap_or(0), "facts");
            }
        });
    progress.end();
    match waited {
        Ok(_) => Ok(()),
        Err(error @ stream::Error::Standstill { .. }) => Err(Stop::Failed(anyhow!(
            "version {version} doesn't get on: {error}; does an aggregator run, and what does it log?"
        ))),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_takes_as_long_as_what_is_done_did() {
        assert_eq!(remaining(100, 300, 10), Some(30));
        assert_eq!(remaining(100, 0, 10), Some(0));
        // Begun within this second.
        assert_eq!(remaining(100, 100, 0), Some(1));
        assert_eq!(remaining(0, 100, 5), None);
    }
}
