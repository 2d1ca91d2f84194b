//! `doctor`: what is wrong with an installation, and what to type next.
//!
//! | file | what it looks at |
//! |---|---|
//! | [`cluster`] | Kafka, the schema registry, topics, schemas, versions of the figures, lag, rates, open transactions |
//! | [`policy`] | whether the configuration is what is published |
//! | [`site`] | the services, the disk, the clock |
//!
//! A line is a warning where things work, and won't for long or not as they should.

mod cluster;
mod policy;
mod site;

use anyhow::anyhow;
use serde::Serialize;
use serde_json::json;

use crate::cli::Common;
use crate::{Output, Stop, data};

/// `doctor`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// How to write what was found.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Check {
    /// What it is, always the same word.
    check: &'static str,
    status: Status,
    /// A sentence on how it is.
    detail: String,
    /// What to do about it: a command, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl Check {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, detail: detail.into(), next: None }
    }

    fn warn(check: &'static str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, status: Status::Warn, detail: detail.into(), next: Some(next.into()) }
    }

    fn fail(check: &'static str, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { check, status: Status::Fail, detail: detail.into(), next: Some(next.into()) }
    }
}

/// Runs the command.
pub fn run(common: &Common, args: &Args) -> Result<(), Stop> {
    let mut report = Report { output: args.output, checks: Vec::new() };
    let config = match common.load(vec![]) {
        Ok(config) => config,
        Err(stop) => {
            let mistakes = format!("{:#}", stop.error());
            report.add(Check::fail("configuration", mistakes, "tillstream config show"))?;
            return report.end();
        }
    };
    report.add(configuration(common, &config))?;
    let home = common.home()?;
    let kafka = cluster::kafka(&config);
    let there = kafka.status != Status::Fail;
    report.add(kafka)?;
    let registry = cluster::registry(&config);
    let registered = registry.status != Status::Fail;
    report.add(registry)?;
    if there {
        report.add(cluster::topics(&config))?;
    }
    if there && registered {
        let schemas = cluster::schemas(&config);
        let readable = schemas.status != Status::Fail;
        report.add(schemas)?;
        if readable {
            report.add(policy::policies(&config))?;
        }
    }
    if there {
        report.add(cluster::figures(&config))?;
        report.add(cluster::lag(&config))?;
        if let Some(rates) = cluster::rates(&config).filter(|_| registered) {
            report.add(rates)?;
        }
        report.add(cluster::transactions(&config))?;
    }
    let services = site::services(&config, &home)?;
    for check in services.checks {
        report.add(check)?;
    }
    for check in site::disk(&config, &home) {
        report.add(check)?;
    }
    report.add(site::clock(services.ahead))?;
    report.end()
}

fn configuration(common: &Common, config: &service::Config) -> Check {
    let file = common.file().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    match config.workspaces.len() {
        0 => Check::warn(
            "configuration",
            format!("{file}: no workspace, so nothing but `up` can start"),
            "add a [[workspaces]] table; `tillstream up` alone has one for development",
        ),
        1 => Check::ok("configuration", format!("{file}: 1 workspace")),
        n => Check::ok("configuration", format!("{file}: {n} workspaces")),
    }
}

/// What has been found so far. Lines are written as they come, because some take a while.
struct Report {
    output: Output,
    checks: Vec<Check>,
}

impl Report {
    fn add(&mut self, check: Check) -> Result<(), Stop> {
        if self.output == Output::Table {
            for line in lines(&check) {
                data(&line)?;
            }
        }
        self.checks.push(check);
        Ok(())
    }

    fn end(self) -> Result<(), Stop> {
        let failed = self.checks.iter().filter(|check| check.status == Status::Fail).count();
        if self.output == Output::Json {
            data(&json!({"ok": failed == 0, "checks": self.checks}).to_string())?;
        }
        match failed {
            0 => Ok(()),
            1 => Err(Stop::Failed(anyhow!("one thing is wrong"))),
            n => Err(Stop::Failed(anyhow!("{n} things are wrong"))),
        }
    }
}

/// A check for a person: further lines stand below its sentence, and what to do stands last.
fn lines(check: &Check) -> Vec<String> {
    let word = match check.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "FAIL",
    };
    let mut sentences = check.detail.lines();
    let mut lines = vec![format!("{word}  {:<14} {}", check.check, sentences.next().unwrap_or_default())];
    lines.extend(sentences.map(|line| format!("{:21}{}", "", line.trim_start())));
    lines.extend(check.next.iter().map(|next| format!("{:21}→ {next}", "")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_it_is_and_what_to_do_next() {
        assert_eq!(lines(&Check::ok("kafka", "answers")), ["ok    kafka          answers"]);
        assert_eq!(
            lines(&Check::fail("topics", "2 differ\n  a\n  b", "tillstream topics apply")),
            [
                "FAIL  topics         2 differ",
                "                     a",
                "                     b",
                "                     → tillstream topics apply",
            ]
        );
    }

    #[test]
    fn only_a_failure_fails() {
        let report = |checks| Report { output: Output::Table, checks };
        assert!(report(vec![Check::ok("a", "b"), Check::warn("a", "b", "c")]).end().is_ok());
        assert!(matches!(report(vec![Check::fail("a", "b", "c")]).end(), Err(Stop::Failed(_))));
    }
}
