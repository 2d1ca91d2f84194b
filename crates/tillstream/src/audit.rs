//! `audit`: the books once more from their first page, in a process of its own, against what the services publish.
//!
//! | file | what it is |
//! |---|---|
//! | [`cut`] | what is compared with what: places in topics, and the reading of them |
//! | [`fold`] | all events through the pure core of the state stage and the aggregator, with state in memory |
//! | [`compare`] | two records of one key, field by field; pure |
//!
//! Nothing is paused. The services go on while the audit reads, so a record may be ahead of the events that were there
//! when it began. That is no reason to leave it out: it must then have one of the values that the key took in between.

pub(crate) mod compare;
mod cut;
mod fold;

use std::time::Instant;

use anyhow::anyhow;
use serde::Serialize;
use service::Config;
use topics::Topic;

use crate::{Output, Stop, data};
use compare::{Comparison, Difference};

/// What is compared: what is kept as one record per key, and follows from the events alone. Of the figures it is the version
/// that is served.
pub const COMPARED: [Topic; 3] = [Topic::Orders, Topic::Profiles, Topic::Metrics];

/// So many differences are shown in a table; JSON has all.
const SHOWN: usize = 100;

/// `audit`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this workspace.
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<String>,
    /// How to write what is unequal.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What an audit found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// True when every record is what the events say.
    pub equal: bool,
    /// How many keys were compared.
    pub compared: usize,
    /// What is not equal, by topic, key and field.
    pub differences: Vec<Difference>,
}

/// Runs the command.
pub fn run(config: &Config, args: &Args) -> Result<(), Stop> {
    if let Some(workspace) = &args.workspace {
        let known = config.workspaces().map_err(|m| Stop::Usage(anyhow!(m.join("; "))))?;
        if known.get(workspace).is_none() {
            return Err(Stop::Usage(anyhow!("no workspace '{workspace}' is configured")));
        }
    }
    let began = Instant::now();
    let (comparison, folded) = of(config, args.workspace.as_deref())?;
    let report = Report {
        equal: comparison.differences.is_empty(),
        compared: comparison.compared,
        differences: comparison.differences,
    };
    match args.output {
        Output::Json => data(&serde_json::to_string(&report)?)?,
        Output::Table => table(&report)?,
    }
    let took = began.elapsed();
    eprintln!(
        "{} keys compared with what {folded} events say, {} of them moved meanwhile, in {took:.1?}",
        report.compared, comparison.moved
    );
    if report.equal {
        return Ok(());
    }
    let keys: std::collections::BTreeSet<_> =
        report.differences.iter().map(|difference| (difference.topic, &difference.key)).collect();
    Err(Stop::Failed(anyhow!("{} of {} keys are not what the events say", keys.len(), report.compared)))
}

/// Compares, and says how many events were folded.
fn of(config: &Config, workspace: Option<&str>) -> anyhow::Result<(Comparison, u64)> {
    let mut fold = fold::Fold::new(config)?;
    let served = crate::replay::list::read(config)?.served;
    let cut = cut::Cut::take(config, &served)?;
    let published = cut::published(config, &served, workspace)?;
    let events = cut.fold(config, workspace, &mut fold)?;
    let mut reader = crate::tail::Reader::new(config)?;
    Ok((compare::compare(&published, &fold.end()?, &mut reader)?, events))
}

fn table(report: &Report) -> Result<(), Stop> {
    if report.equal {
        return data("equal");
    }
    data(&format!("{:<22} {:<60} {:<24} {:<24} computed", "topic", "key", "field", "published"))?;
    for difference in report.differences.iter().take(SHOWN) {
        data(&format!(
            "{:<22} {:<60} {:<24} {:<24} {}",
            difference.topic,
            difference.key,
            if difference.field.is_empty() { "(record)" } else { &difference.field },
            short(difference.published.as_ref()),
            short(difference.computed.as_ref())
        ))?;
    }
    if report.differences.len() > SHOWN {
        eprintln!("and {} more: -o json has all", report.differences.len() - SHOWN);
    }
    eprintln!(
        "a setting that was changed since the first event shows here too: the events are computed with the settings of now"
    );
    Ok(())
}

/// A value in a column of the table.
fn short(value: Option<&serde_json::Value>) -> String {
    const WIDTH: usize = 60;
    let Some(value) = value else { return "absent".to_owned() };
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests;
