//! `dlq ls|show`: what couldn't be understood, with its reason and its bytes.

use std::cell::Cell;

use anyhow::anyhow;
use commerce::{DeadLetter, Reason};
use serde_json::json;
use service::Config;
use stream::{Follow, Followed, follow};
use topics::Topic;

use crate::tail::{Reader, shown};
use crate::{Output, Stop, data};

/// `dlq …`
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Lists dead letters, oldest first.
    #[command(after_help = "Example:\n  tillstream dlq ls --reason missing_field -o json")]
    Ls {
        /// Only this reason.
        #[arg(long)]
        reason: Option<String>,
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
}

/// Runs the command.
pub fn run(config: &Config, command: &Command) -> Result<(), Stop> {
    if let Command::Ls { reason: Some(reason), .. } = command
        && Reason::parse(reason).is_none()
    {
        let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        return Err(Stop::Usage(anyhow!("no reason '{reason}'; there are {}", known.join(", "))));
    }
    let letters = read(config)?;
    match command {
        Command::Ls { reason, limit, output } => list(&letters, reason.as_deref(), *limit, *output),
        Command::Show { id, output } => show(&letters, id, *output),
    }
}

/// All dead letters that are there now, in order of their arrival.
fn read(config: &Config) -> Result<Vec<DeadLetter>, Stop> {
    let mut reader = Reader::new(config)?;
    let done = Cell::new(false);
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut unreadable = 0_u64;
    let what = Follow {
        client: service::kafka::client_config(config),
        topics: vec![Topic::DeadLetters.name().to_owned()],
    };
    follow(&what, &|| done.get(), &mut |followed| {
        match followed {
            Followed::Record { value: Some(value), .. } => match reader.letter(value) {
                Ok(letter) => letters.push(letter),
                Err(_) => unreadable += 1,
            },
            Followed::CaughtUp => done.set(true),
            _ => {}
        }
        Ok(())
    })?;
    if unreadable > 0 {
        eprintln!("{unreadable} records of {} can't be read by this version", Topic::DeadLetters.name());
    }
    letters.sort_by(|a, b| (a.first_seen_at, &a.id).cmp(&(b.first_seen_at, &b.id)));
    Ok(letters)
}

fn list(letters: &[DeadLetter], reason: Option<&str>, limit: usize, output: Output) -> Result<(), Stop> {
    let wanted: Vec<&DeadLetter> =
        letters.iter().filter(|l| reason.is_none_or(|reason| l.reason == reason)).collect();
    let shown = &wanted[wanted.len().saturating_sub(limit)..];
    for letter in shown {
        let at = letter.first_seen_at.to_rfc3339();
        match output {
            Output::Json => data(
                &json!({"id": letter.id, "reason": letter.reason, "stage": letter.stage, "source": letter.source,
                    "workspace": letter.workspace, "field": letter.field, "message": letter.message,
                    "first_seen_at": at, "status": "open"})
                .to_string(),
            )?,
            Output::Table => data(&format!(
                "{}  {at}  {:<18} {:<10} {:<9} {}  {}",
                letter.id,
                letter.reason,
                letter.stage,
                letter.source,
                letter.field.as_deref().unwrap_or("-"),
                letter.message
            ))?,
        }
    }
    if output == Output::Table {
        eprintln!("{} of {} dead letters", shown.len(), letters.len());
    }
    Ok(())
}

fn show(letters: &[DeadLetter], id: &str, output: Output) -> Result<(), Stop> {
    let found: Vec<&DeadLetter> = letters.iter().filter(|letter| letter.id.starts_with(id)).collect();
    let [letter] = found.as_slice() else {
        let what = if found.is_empty() { "no dead letter" } else { "more than one dead letter" };
        return Err(Stop::Failed(anyhow!("{what} with an id that begins with '{id}'")));
    };
    let value = shown(letter);
    if output == Output::Json {
        return data(&value.to_string());
    }
    let reason = Reason::parse(&letter.reason).map_or("", Reason::explanation);
    data(&format!("id         {}", letter.id))?;
    data(&format!("reason     {}: {}", letter.reason, reason.trim()))?;
    data(&format!("message    {}", letter.message))?;
    data(&format!("field      {}", letter.field.as_deref().unwrap_or("-")))?;
    data(&format!("stage      {}, source {}, verdict {}", letter.stage, letter.source, letter.verdict))?;
    data(&format!(
        "origin     {} partition {} offset {}",
        letter.origin_topic, letter.origin_partition, letter.origin_offset
    ))?;
    data(&format!("first seen {}", letter.first_seen_at.to_rfc3339()))?;
    for (name, value) in &letter.headers {
        data(&format!("header     {name}: {value}"))?;
    }
    data(&format!("body       {} bytes", letter.body.len()))?;
    data(&String::from_utf8_lossy(&letter.body))
}
