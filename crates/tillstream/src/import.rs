//! `import`: totals and attributes of customers from a file, as profile upserts.
//!
//! The bodies and their keys follow from the file's bytes and the instant as of which it holds: whatever is sent twice, by
//! a retry or by a second run, is recognized. Bodies go one after the other, so that of two lines about one person the
//! later one wins.

mod send;

use std::io::Read as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use commerce::{EventTime, time};
use serde::Serialize;
use service::Config;
use sources::records::import::{self, BadLine, Batch};

use crate::cli::Common;
use crate::progress::Progress;
use crate::{Output, Stop, data};
use send::{Door, Taken};

/// `import …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Reads a CSV with a column `email`, or JSON lines, and upserts a profile for each line.
    #[command(after_help = "Examples:
  tillstream import profiles customers.csv --as-of 2026-01-06T02:00:00Z --dry-run
  tillstream import profiles customers.csv --as-of 2026-01-06T02:00:00Z
A second run with the same file and instant changes nothing.")]
    Profiles(Args),
}

/// What `profiles` takes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The file; `-` is stdin. Of its columns `ltv`, `order_count` and `last_order_at` are totals, all others attributes.
    file: PathBuf,
    /// When the totals held (ISO 8601 with offset): orders placed later are added to them. Default: each line's own
    /// `last_order_at`.
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Whose profiles. Default: the first workspace with a key of the records API.
    #[arg(long, value_name = "ID")]
    workspace: Option<String>,
    /// The gateway. Default: that of the running `up`, else that of the configuration.
    #[arg(long, value_name = "URL")]
    gateway: Option<String>,
    /// A key of the records API. Default: the workspace's.
    #[arg(long, value_name = "KEY", env = "TILLSTREAM_RECORDS_KEY", hide_env_values = true)]
    key: Option<String>,
    /// How the load is called in the events that it makes.
    #[arg(long, default_value = "import")]
    label: String,
    /// Records a second.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Reads the file, lists its bad lines, and sends nothing.
    #[arg(long)]
    dry_run: bool,
    /// How to write what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Runs the command.
pub fn run(common: &Common, command: &Command) -> Result<(), Stop> {
    let Command::Profiles(args) = command;
    let as_of = args.as_of.as_deref().map(instant).transpose().map_err(Stop::Usage)?;
    let file = read(args)?;
    // All of it before anything is sent: a header that can't be used, and a dry run, send nothing.
    let batches: Vec<Batch> = import::profiles(&file, as_of)
        .map_err(|failure| Stop::Usage(anyhow!("{}: {}", args.file.display(), failure.message)))?
        .collect();
    let mut report = Report::of(&batches, args.dry_run);
    if !args.dry_run && report.records > 0 {
        let config = common.load(vec![])?;
        let door = Door::open(
            common.gateway(args.gateway.as_deref(), &config)?,
            key(args, &config)?,
            args.label.clone(),
        )?;
        if let Err(stop) = upsert(&door, &batches, args.rate, &mut report) {
            report.print(args.output)?;
            return Err(stop);
        }
    }
    report.print(args.output)?;
    match report.bad_lines.len() {
        0 => Ok(()),
        bad if args.dry_run => Err(Stop::Failed(anyhow!("{bad} lines can't be taken"))),
        bad => Err(Stop::Failed(anyhow!("{bad} lines were not taken; mend them and import the file again"))),
    }
}

fn instant(text: &str) -> anyhow::Result<EventTime> {
    let read = time::parse_iso(text).map_err(|error| anyhow!("--as-of {text}: {error}"))?;
    if read.naive {
        return Err(anyhow!("--as-of {text}: the time has no offset, such as Z or +02:00"));
    }
    if read.at > service::clock::now().as_event() {
        return Err(anyhow!("--as-of {text}: totals can't hold as of an instant that is still to come"));
    }
    Ok(read.at)
}

fn read(args: &Args) -> Result<Vec<u8>, Stop> {
    let mut bytes = Vec::new();
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(drop)
    } else {
        std::fs::read(&args.file).map(|read| bytes = read)
    };
    read.with_context(|| args.file.display().to_string()).map_err(Stop::Usage)?;
    Ok(bytes)
}

/// The key that was given, else the first of the workspace that opens profiles.
fn key(args: &Args, config: &Config) -> Result<String, Stop> {
    if let Some(key) = &args.key {
        return Ok(key.clone());
    }
    let workspaces = config.workspaces().map_err(|mistakes| Stop::Usage(anyhow!(mistakes.join("; "))))?;
    let mut chosen = workspaces
        .iter()
        .filter(|workspace| args.workspace.as_deref().is_none_or(|wanted| workspace.id.as_str() == wanted));
    let key = chosen.find_map(|workspace| {
        let records = workspace.records.as_ref()?;
        let of_object = records.object_keys.get("profiles").into_iter().flatten();
        records.keys.iter().chain(of_object).next().map(|key| key.expose().to_owned())
    });
    key.ok_or_else(|| {
        let whose = args.workspace.as_deref().map_or("no workspace".to_owned(), |id| format!("no {id}"));
        Stop::Usage(anyhow!(
            "{whose} with a key of the records API in the configuration: give --key, or set records.keys"
        ))
    })
}

/// Sends the bodies in their order.
fn upsert(door: &Door, batches: &[Batch], rate: u32, report: &mut Report) -> Result<(), Stop> {
    let mut progress = Progress::new("records", report.records as u64);
    let began = Instant::now();
    for batch in batches {
        let Some(body) = &batch.body else { continue };
        let due = Duration::from_secs(1).saturating_mul(report.sent()) / rate.max(1);
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        let taken = door.upsert(body, &batch.key).map_err(|error| {
            Stop::Failed(error.context(format!(
                "{} of {} records are sent; the same command again goes on without harm",
                report.sent(),
                report.records
            )))
        })?;
        report.note(batch, &taken)?;
        progress.reach(u64::from(report.sent()), "");
    }
    progress.end();
    Ok(())
}

/// What became of a file.
#[derive(Debug, Default, Serialize)]
struct Report {
    dry_run: bool,
    /// Lines that can be sent.
    records: usize,
    /// Records that the gateway took.
    accepted: usize,
    /// Of these, records of bodies that this copy of the gateway had taken before.
    repeated: usize,
    /// Lines that can't be sent, and records that the gateway refused, in the order of the file.
    bad_lines: Vec<Bad>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Bad {
    line: u64,
    field: String,
    reason: String,
    message: String,
}

impl From<&BadLine> for Bad {
    fn from(bad: &BadLine) -> Self {
        Self {
            line: bad.line,
            field: bad.failure.field.clone().unwrap_or_default(),
            reason: bad.failure.reason.code().to_owned(),
            message: bad.failure.message.clone(),
        }
    }
}

impl Report {
    fn of(batches: &[Batch], dry_run: bool) -> Self {
        let bad_lines = batches.iter().flat_map(|batch| &batch.bad).map(Bad::from).collect();
        let records = batches.iter().map(|batch| batch.lines.len()).sum();
        Self { dry_run, records, bad_lines, ..Self::default() }
    }

    /// Records that have their answer.
    fn sent(&self) -> u32 {
        let refused = self.bad_lines.iter().filter(|bad| bad.reason.starts_with(send::CODES)).count();
        u32::try_from(self.accepted + refused).unwrap_or(u32::MAX)
    }

    /// Adds an answer. Each record of the body is in it, as taken or as refused.
    fn note(&mut self, batch: &Batch, taken: &Taken) -> anyhow::Result<()> {
        if taken.accepted + taken.refused.len() != batch.lines.len() {
            return Err(anyhow!(
                "the gateway speaks of {} records, and {} were sent: something between changes requests",
                taken.accepted + taken.refused.len(),
                batch.lines.len()
            ));
        }
        for refused in &taken.refused {
            let line = batch.lines.get(refused.index).copied();
            let line = line.with_context(|| format!("the gateway refuses a record {}", refused.index))?;
            let field = refused.path.split_once("].").map_or("", |(_, field)| field);
            self.bad_lines.push(Bad {
                line,
                field: field.to_owned(),
                reason: refused.code.clone(),
                message: refused.message.clone(),
            });
        }
        self.bad_lines.sort_by_key(|bad| bad.line);
        self.accepted += taken.accepted;
        self.repeated += if taken.repeated { taken.accepted } else { 0 };
        Ok(())
    }

    fn print(&self, output: Output) -> Result<(), Stop> {
        if output == Output::Json {
            return data(&serde_json::to_string(self)?);
        }
        for bad in &self.bad_lines {
            data(&format!("line {}: {}: {} ({})", bad.line, bad.field, bad.message, bad.reason))?;
        }
        let bad = self.bad_lines.len();
        if self.dry_run {
            return data(&format!("{} records would be sent, {bad} lines are bad", self.records));
        }
        let repeated = match self.repeated {
            0 => String::new(),
            n => format!(" ({n} of them again)"),
        };
        data(&format!("{} of {} records accepted{repeated}, {bad} bad lines", self.accepted, self.records))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use send::Refused;

    fn batch(lines: &[u64]) -> Batch {
        Batch { body: Some(String::new()), key: "k".to_owned(), lines: lines.to_vec(), bad: vec![] }
    }

    fn refused(index: usize) -> Refused {
        let code = "CDP_ETL.VALIDATION.REQUEST_INVALID".to_owned();
        Refused { index, code, path: format!("records[{index}].ltv"), message: "no amount".to_owned() }
    }

    #[test]
    fn each_record_is_counted_once_as_taken_or_as_a_bad_line_of_the_file() {
        let batches = [batch(&[2, 4]), batch(&[5])];
        let mut report = Report::of(&batches, false);
        let taken = Taken { accepted: 1, refused: vec![refused(1)], repeated: false };
        report.note(&batches[0], &taken).unwrap();
        assert_eq!((report.sent(), report.bad_lines[0].line), (2, 4));
        assert_eq!(report.bad_lines[0].field, "ltv");
        report.note(&batches[1], &Taken { accepted: 1, refused: vec![], repeated: true }).unwrap();
        assert_eq!((report.sent(), report.accepted, report.repeated), (3, 2, 1));
    }

    #[test]
    fn an_answer_that_leaves_a_record_out_is_a_fault() {
        let batches = [batch(&[2, 4])];
        for (accepted, index) in [(1, None), (1, Some(7)), (2, Some(0))] {
            let taken =
                Taken { accepted, refused: index.map(refused).into_iter().collect(), repeated: false };
            assert!(Report::of(&batches, false).note(&batches[0], &taken).is_err());
        }
    }

    #[test]
    fn an_instant_has_an_offset_and_has_been() {
        assert!(instant("2026-01-06T02:00:00+02:00").is_ok());
        for wrong in ["2026-01-06T02:00:00", "2999-01-01T00:00:00Z", "yesterday"] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}
