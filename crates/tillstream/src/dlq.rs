//! `dlq ls|show|redrive|discard`: what couldn't be understood, with its reason and its bytes.
//!
//! | file | what it is |
//! |---|---|
//! | [`book`] | the letters as they stand, and filters; pure |
//! | [`back`] | from a letter to the record that goes back to its stage; pure |
//! | [`act`] | the transactions |
//! | [`pace`] | so many a second; pure |
//!
//! A redriven record and the letter's new status are in one Kafka transaction: a tool that is killed leaves both or
//! neither. The stage that gets the record knows the letter by its headers; one that fails again is the same letter, open
//! again, with a count.

mod act;
mod back;
mod book;
mod pace;

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use anyhow::anyhow;
use commerce::letter::{Status, WHOLE};
use commerce::{DeadLetter, Reason};
use serde_json::json;
use service::Config;
use stream::{Followed, read_decided};
use topics::Topic;

use crate::tail::{Reader, shown};
use crate::{Output, Stop, data};
use act::Job;
use book::{Book, Filter, Kept};

/// `dlq …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Lists dead letters, oldest first: open ones, unless all are asked for.
    #[command(after_help = "Example:\n  tillstream dlq ls --reason missing_field --since 2h -o json")]
    Ls {
        /// Which.
        #[command(flatten)]
        which: Which,
        /// Also those that were redriven or discarded.
        #[arg(long)]
        all: bool,
        /// The newest so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// How to write the list.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Shows one with headers and body.
    #[command(after_help = "Example:\n  tillstream dlq show 0198c1f2-…")]
    Show {
        /// Its id, or the beginning of it.
        id: String,
        /// How to write it.
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
    /// Sends letters back to their stage, exactly once, when what was wrong is mended.
    #[command(after_help = "Examples:
  tillstream dlq redrive 0198c1f2
  tillstream dlq redrive --reason unknown_workspace --dry-run
  tillstream dlq redrive --reason unknown_workspace --rate 500 --yes")]
    Redrive {
        /// Which, and how.
        #[command(flatten)]
        change: Change,
        /// So many a second.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
    },
    /// Closes letters that nobody wants. They stay in their topic as long as it keeps them.
    #[command(after_help = "Examples:
  tillstream dlq discard 0198c1f2 5d0e77a1
  tillstream dlq discard --reason malformed_json --source shopify --since 1d --yes")]
    Discard {
        /// Which, and how.
        #[command(flatten)]
        change: Change,
        /// So many a second.
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
    },
}

/// A filter.
#[derive(clap::Args, Debug)]
pub struct Which {
    /// Only this reason. Repeatable.
    #[arg(long)]
    reason: Vec<String>,
    /// Only this source. Repeatable.
    #[arg(long)]
    source: Vec<String>,
    /// Only those set aside since: a span (2h, 3d), a time, a day.
    #[arg(long)]
    since: Option<String>,
}

/// What `redrive` and `discard` take.
#[derive(clap::Args, Debug)]
pub struct Change {
    /// Ids, or the beginnings of them.
    ids: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// All open letters, where there is no other filter.
    #[arg(long)]
    all: bool,
    /// The oldest so many.
    #[arg(long)]
    limit: Option<usize>,
    /// Counts by reason, and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Doesn't ask.
    #[arg(short, long)]
    yes: bool,
    /// How to write what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

impl Which {
    fn filter(&self) -> Result<Filter, Stop> {
        let now = service::clock::now().as_event();
        Filter::parse(&self.reason, &self.source, self.since.as_deref(), now)
    }

    fn is_any(&self) -> bool {
        self.reason.is_empty() && self.source.is_empty() && self.since.is_none()
    }
}

/// Runs the command.
pub fn run(config: &Config, command: &Command) -> Result<(), Stop> {
    match command {
        Command::Ls { which, all, limit, output } => {
            let filter = Filter { closed_too: *all, ..which.filter()? };
            list(&read(config, &|_| false)?, &filter, *limit, *output)
        }
        Command::Show { id, output } => {
            let book = read(config, &|letter| letter.id.starts_with(id.as_str()))?;
            show(&book.find(id)?.letter, *output)
        }
        Command::Redrive { change, rate } => self::change(config, Status::Redriven, change, *rate),
        Command::Discard { change, rate } => self::change(config, Status::Discarded, change, *rate),
    }
}

/// All letters as they stand now; bodies of those that are wanted.
fn read(config: &Config, is_body_wanted: &dyn Fn(&DeadLetter) -> bool) -> Result<Book, Stop> {
    let mut reader = Reader::new(config)?;
    let mut book = Book::default();
    let mut unreadable = 0_u64;
    let client = service::kafka::client_config(config);
    read_decided(&client, Topic::DeadLetters.name(), &|| false, &mut |followed| {
        if let Followed::Record { value: Some(value), partition, .. } = followed {
            match reader.letter(value) {
                Ok(letter) => {
                    let wanted = is_body_wanted(&letter);
                    book.note(letter, partition, wanted);
                }
                Err(_) => unreadable += 1,
            }
        }
        Ok(())
    })?;
    if unreadable > 0 {
        eprintln!("{unreadable} records of {} can't be read by this version", Topic::DeadLetters.name());
    }
    Ok(book)
}

fn list(book: &Book, filter: &Filter, limit: usize, output: Output) -> Result<(), Stop> {
    let wanted = book.choose(filter);
    let shown = &wanted[wanted.len().saturating_sub(limit)..];
    for Kept { letter, .. } in shown {
        let at = letter.first_seen_at.to_rfc3339();
        match output {
            Output::Json => data(
                &json!({"id": letter.id, "reason": letter.reason, "stage": letter.stage, "source": letter.source,
                    "status": letter.status.as_str(), "redrive_count": letter.redrive_count,
                    "workspace": letter.workspace, "field": letter.field, "message": letter.message,
                    "item": (letter.item != WHOLE).then_some(letter.item), "first_seen_at": at,
                    "changed_at": letter.changed_at.map(|at| at.to_rfc3339())})
                .to_string(),
            )?,
            Output::Table => {
                // Only where there is something to tell apart.
                let status = if filter.closed_too {
                    format!(" {:<9}", letter.status.as_str())
                } else {
                    String::new()
                };
                data(&format!(
                    "{}  {at} {status} {:<18} {:<10} {:<9} {}  {}{}",
                    letter.id,
                    letter.reason,
                    letter.stage,
                    letter.source,
                    letter.field.as_deref().unwrap_or("-"),
                    letter.message,
                    match letter.redrive_count {
                        0 => String::new(),
                        n => format!("  (redriven {n}x)"),
                    }
                ))?;
            }
        }
    }
    if output == Output::Table {
        let open = if filter.closed_too { "" } else { "open " };
        eprintln!("{} of {} {open}dead letters", shown.len(), wanted.len());
    }
    Ok(())
}

fn show(letter: &DeadLetter, output: Output) -> Result<(), Stop> {
    let value = shown(letter);
    if output == Output::Json {
        return data(&value.to_string());
    }
    let reason = Reason::parse(&letter.reason).map_or("", Reason::explanation);
    data(&format!("id         {}", letter.id))?;
    let since = letter.changed_at.map_or_else(String::new, |at| format!(" since {}", at.to_rfc3339()));
    data(&format!("status     {}{since}, redriven {} times", letter.status.as_str(), letter.redrive_count))?;
    data(&format!("reason     {}: {}", letter.reason, reason.trim()))?;
    data(&format!("message    {}", letter.message))?;
    data(&format!("field      {}", letter.field.as_deref().unwrap_or("-")))?;
    data(&format!("stage      {}, source {}, verdict {}", letter.stage, letter.source, letter.verdict))?;
    data(&format!(
        "origin     {} partition {} offset {}{}",
        letter.origin_topic,
        letter.origin_partition,
        letter.origin_offset,
        if letter.item == WHOLE { String::new() } else { format!(", item {}", letter.item) }
    ))?;
    data(&format!("first seen {}", letter.first_seen_at.to_rfc3339()))?;
    for (name, value) in &letter.headers {
        data(&format!("header     {name}: {value}"))?;
    }
    data(&format!("body       {} bytes", letter.body.len()))?;
    data(&String::from_utf8_lossy(&letter.body))
}

fn change(config: &Config, to: Status, args: &Change, rate: u32) -> Result<(), Stop> {
    let verb = if to == Status::Redriven { "redrive" } else { "discard" };
    let by_filter = args.all || !args.which.is_any();
    if args.ids.is_empty() != by_filter {
        let mistake = "name ids, or a filter (--reason, --source, --since), or --all";
        return Err(Stop::Usage(anyhow!("dlq {verb}: {mistake}, and not both")));
    }
    if !args.ids.is_empty() && args.limit.is_some() {
        return Err(Stop::Usage(anyhow!("dlq {verb}: --limit goes with a filter")));
    }
    let asks = by_filter && !args.yes && !args.dry_run;
    if asks && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Stop::Usage(anyhow!(
            "dlq {verb} by filter asks first: repeat it with --yes or --dry-run"
        )));
    }
    let filter = args.which.filter()?;
    let book = read(config, &|_| false)?;
    let mut wanted: Vec<&Kept> = if by_filter {
        book.choose(&filter)
    } else {
        args.ids.iter().map(|id| book.find(id)).collect::<Result<_, _>>()?
    };
    wanted.truncate(args.limit.unwrap_or(usize::MAX));
    if by_filter {
        counts(&wanted, to, args)?;
    }
    if args.dry_run {
        if !by_filter {
            counts(&wanted, to, args)?;
        }
        return Ok(());
    }
    if wanted.is_empty() {
        return Ok(());
    }
    if asks && !confirmed(verb, wanted.len())? {
        return Err(Stop::Failed(anyhow!("nothing was changed")));
    }
    let chosen: BTreeMap<String, i32> =
        wanted.iter().map(|kept| (kept.letter.id.clone(), kept.letter.redrive_count)).collect();
    let named = if by_filter { 0 } else { chosen.len() };
    let client = service::kafka::client_config(config);
    let raw_partitions = stream::partition_count(&client, Topic::Raw.name(), &|| false)?;
    let tally = Job { config, to, rate, output: args.output, raw_partitions }.run(chosen)?;
    eprintln!("{} {}, {} skipped", tally.done, to.as_str(), tally.skipped);
    if tally.done < named {
        return Err(Stop::Failed(anyhow!("not all that were named could be {}", to.as_str())));
    }
    Ok(())
}

/// How many there are, by reason and stage, most first: the answer of a dry run, else for the person who is asked.
fn counts(wanted: &[&Kept], to: Status, args: &Change) -> Result<(), Stop> {
    let mut counts: BTreeMap<(&str, &str), (usize, usize)> = BTreeMap::new();
    for Kept { letter, .. } in wanted {
        let (all, skipped) = counts.entry((&letter.reason, &letter.stage)).or_default();
        *all += 1;
        let why = if to == Status::Redriven { back::topic(letter).err() } else { back::not_open(letter) };
        *skipped += usize::from(why.is_some());
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(kind, (all, _))| (std::cmp::Reverse(*all), *kind));
    let put = |line: &str| {
        if args.dry_run {
            return data(line);
        }
        eprintln!("{line}");
        Ok(())
    };
    for ((reason, stage), (all, skipped)) in counts {
        if args.dry_run && args.output == Output::Json {
            put(&json!({"reason": reason, "stage": stage, "letters": all, "skipped": skipped}).to_string())?;
            continue;
        }
        let note =
            if skipped > 0 { format!("  ({skipped} of them would be skipped)") } else { String::new() };
        put(&format!("{all:>8}  {reason:<26} {stage}{note}"))?;
    }
    eprintln!("{} open dead letters match", wanted.len());
    Ok(())
}

fn confirmed(verb: &str, letters: usize) -> Result<bool, Stop> {
    eprint!("{verb} {letters} dead letters? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
pub(crate) mod samples {
    use std::collections::BTreeMap;

    use commerce::letter::{Status, WHOLE};
    use commerce::{DeadLetter, EventTime, ReceivedTime};

    /// An open letter of the normalizer.
    pub(crate) fn letter(id: &str, reason: &str) -> DeadLetter {
        DeadLetter {
            id: id.to_owned(),
            workspace: "demo".to_owned(),
            stage: "normalizer".to_owned(),
            source: "shopify".to_owned(),
            reason: reason.to_owned(),
            field: None,
            message: "it is wrong".to_owned(),
            origin_topic: "commerce.raw.v1".to_owned(),
            origin_partition: 3,
            origin_offset: 7,
            received_at: Some(ReceivedTime(1_767_225_600_000_000)),
            first_seen_at: EventTime(1_767_225_601_000_000),
            redrive_count: 0,
            verdict: "hmac".to_owned(),
            headers: BTreeMap::from([
                ("received_at".to_owned(), "2026-01-01T00:00:00Z".to_owned()),
                ("source".to_owned(), "shopify".to_owned()),
            ]),
            body: b"{}".to_vec(),
            status: Status::Open,
            item: WHOLE,
            changed_at: None,
            key: b"0123".to_vec(),
            cut: false,
        }
    }
}
