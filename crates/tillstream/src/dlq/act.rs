//! Redriving and discarding: transactions that hold a letter's new status and, when it is redriven, its record.
//!
//! All of it goes through one transactional id. Whoever starts ends what a killed predecessor left open and fences one
//! that still runs; then it reads all letters once more, up to and including what was just decided. So what it takes for
//! open is open, and nobody else can change that before its own commit.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use commerce::EventTime;
use commerce::letter::Status;
use serde_json::json;
use service::Config;
use stream::{Outgoing, WriteError, Writer};
use topics::{Encoder, SchemaRegistry, Schemas, Topic};

use super::back::{self, Back};
use super::book::{Book, Kept};
use super::pace::Pace;
use crate::progress::Progress;
use crate::{Output, Stop, data};

/// The one name under which letters are changed.
const TRANSACTIONAL_ID: &str = "tillstream-dlq";
/// How often an aborted transaction is begun anew.
const ATTEMPTS: u32 = 3;
/// The most letters, and about the most bytes, of one transaction.
const LARGEST: (usize, usize) = (100, 8 << 20);
/// What the record of a letter takes beside body and headers.
const OVERHEAD: usize = 4_096;

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// The cluster.
    pub config: &'a Config,
    /// [`Status::Redriven`] or [`Status::Discarded`].
    pub to: Status,
    /// Letters a second.
    pub rate: u32,
    /// How to write what was done.
    pub output: Output,
    /// Those of the raw topic: what was no record yet gets the lane that the gateway would have given it.
    pub raw_partitions: i32,
}

/// How many letters ended how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Redriven or discarded.
    pub done: usize,
    /// Left as they are, each with a sentence.
    pub skipped: usize,
}

/// A letter that is going to change.
struct Change {
    id: String,
    back: Option<Back>,
    body: Vec<u8>,
    partition: i32,
    /// The letter's new record.
    record: Vec<u8>,
    line: serde_json::Value,
}

impl Change {
    fn bytes(&self) -> usize {
        self.record.len() + self.back.as_ref().map_or(0, |_| self.body.len()) + OVERHEAD
    }
}

impl Job<'_> {
    /// Changes the letters: each id with the redrive count at which it was chosen.
    pub fn run(&self, mut chosen: BTreeMap<String, i32>) -> Result<Tally, Stop> {
        let registry = SchemaRegistry::new(&self.config.registry.url, Duration::from_secs(10))?;
        let encoder = Schemas::lookup(&registry)?.encoder(Topic::DeadLetters)?;
        let at = service::clock::now().as_event();
        let all = chosen.len();
        let mut tally = Tally::default();
        for attempt in 1.. {
            let writer = self.writer()?;
            // Only now: whatever was decided before is visible, and nothing else can be decided any more.
            let book = super::read(self.config, &|letter| chosen.contains_key(&letter.id))?;
            match self.write(&writer, &book, &encoder, at, &mut chosen, &mut tally, all)? {
                Ok(()) => return Ok(tally),
                Err(error @ (WriteError::Aborted(_) | WriteError::Unknown(_))) if attempt < ATTEMPTS => {
                    eprintln!("{error}; looking what counts, and going on");
                }
                Err(error) => {
                    return Err(Stop::Failed(anyhow!(
                        "{error}; {} of {all} are done, `tillstream dlq ls` shows the rest",
                        tally.done
                    )));
                }
            }
        }
        Ok(tally)
    }

    fn writer(&self) -> Result<Writer, Stop> {
        let largest = [Topic::Raw, Topic::Events, Topic::Facts, Topic::DeadLetters]
            .into_iter()
            .map(|topic| topic.spec().max_message.0)
            .max()
            .and_then(|bytes| usize::try_from(bytes).ok());
        let client = service::kafka::client_config(self.config);
        Ok(Writer::start(&client, TRANSACTIONAL_ID, largest.unwrap_or(usize::MAX), &|| false)?)
    }

    /// Writes transaction after transaction, at the rate. What is done is taken out of `chosen`.
    #[expect(clippy::too_many_arguments, reason = "what one attempt hands on to the next")]
    fn write(
        &self,
        writer: &Writer,
        book: &Book,
        encoder: &Encoder,
        at: EventTime,
        chosen: &mut BTreeMap<String, i32>,
        tally: &mut Tally,
        all: usize,
    ) -> Result<Result<(), WriteError>, Stop> {
        let mut progress = Progress::new(self.to.as_str(), all as u64);
        let (mut pace, began) = (Pace::new(self.rate), Instant::now());
        let mut open: Vec<Change> = Vec::new();
        // Oldest first, so that a letter's stage sees them in the order of their arrival.
        let mut left: Vec<(String, i32)> = chosen.iter().map(|(id, count)| (id.clone(), *count)).collect();
        left.sort_by_key(|(id, _)| book.get(id).map(|kept| (kept.letter.first_seen_at, id.clone())));
        let mut left = left.into_iter().peekable();
        while left.peek().is_some() || !open.is_empty() {
            let is_full = open.len() >= pace.at_once().min(LARGEST.0)
                || open.iter().map(Change::bytes).sum::<usize>() >= LARGEST.1;
            if is_full || left.peek().is_none() {
                if let Err(error) = commit(writer, &open) {
                    return Ok(Err(error));
                }
                pace.done(open.len());
                for change in open.drain(..) {
                    chosen.remove(&change.id);
                    tally.done += 1;
                    self.tell(&change.line, None)?;
                }
                progress.reach((tally.done + tally.skipped) as u64, &format!("{} skipped", tally.skipped));
                if left.peek().is_some() {
                    std::thread::sleep(pace.wait(began.elapsed()));
                }
                continue;
            }
            let Some((id, count)) = left.next() else { continue };
            let Some(kept) = book.get(&id) else {
                chosen.remove(&id);
                tally.skipped += 1;
                eprintln!("{id}: skipped, its topic doesn't keep it any more");
                continue;
            };
            match self.change(kept, count, at, encoder) {
                Ok(change) => open.push(change),
                // An attempt whose end wasn't known did it.
                Err(_) if kept.letter.status == self.to && kept.letter.changed_at == Some(at) => {
                    chosen.remove(&id);
                    tally.done += 1;
                    self.tell(&line(kept, self.to), None)?;
                }
                Err(why) => {
                    chosen.remove(&id);
                    tally.skipped += 1;
                    self.tell(&line(kept, kept.letter.status), Some(&why))?;
                }
            }
        }
        progress.end();
        Ok(Ok(()))
    }

    fn change(&self, kept: &Kept, count: i32, at: EventTime, encoder: &Encoder) -> Result<Change, String> {
        let letter = &kept.letter;
        if let Some(why) = back::not_open(letter) {
            return Err(why);
        }
        if letter.redrive_count != count {
            return Err("it was redriven meanwhile and failed again".to_owned());
        }
        let back =
            if self.to == Status::Redriven { Some(back::of(letter, self.raw_partitions)?) } else { None };
        let closed = back::closed(letter, self.to, at);
        let mut record = Vec::with_capacity(letter.body.len() + OVERHEAD);
        encoder.encode(&closed, &mut record).map_err(|error| error.to_string())?;
        let line = line(&Kept { letter: closed, partition: kept.partition }, self.to);
        Ok(Change {
            id: letter.id.clone(),
            back,
            body: letter.body.clone(),
            partition: kept.partition,
            record,
            line,
        })
    }

    fn tell(&self, line: &serde_json::Value, skipped: Option<&str>) -> Result<(), Stop> {
        if self.output == Output::Json {
            let mut line = line.clone();
            if let Some(why) = skipped {
                line["skipped"] = why.into();
            }
            return data(&line.to_string());
        }
        let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        match skipped {
            Some(why) => eprintln!("{}: skipped, {why}", word("id")),
            None => data(&format!(
                "{}  {:<9}  {:<18} {:<10} {}",
                word("id"),
                word("status"),
                word("reason"),
                word("stage"),
                word("source")
            ))?,
        }
        Ok(())
    }
}

fn line(kept: &Kept, status: Status) -> serde_json::Value {
    let letter = &kept.letter;
    json!({"id": letter.id, "reason": letter.reason, "stage": letter.stage, "source": letter.source,
        "status": status.as_str(), "redrive_count": letter.redrive_count})
}

/// The records of some letters, in one transaction.
fn commit(writer: &Writer, changes: &[Change]) -> Result<(), WriteError> {
    if changes.is_empty() {
        return Ok(());
    }
    let headers: Vec<Vec<(&str, &[u8])>> = changes
        .iter()
        .map(|change| {
            let headers = change.back.iter().flat_map(|back| &back.headers);
            headers.map(|(name, value)| (name.as_str(), value.as_bytes())).collect()
        })
        .collect();
    let mut records = Vec::with_capacity(changes.len() * 2);
    for (change, headers) in changes.iter().zip(&headers) {
        if let Some(back) = &change.back {
            records.push(Outgoing {
                topic: back.topic.name(),
                partition: back.partition,
                key: &back.key,
                value: Some(&change.body),
                timestamp_millis: back.timestamp_millis,
                headers,
            });
        }
        records.push(Outgoing {
            topic: Topic::DeadLetters.name(),
            partition: Some(change.partition),
            key: change.id.as_bytes(),
            value: Some(&change.record),
            timestamp_millis: 0,
            headers: &[],
        });
    }
    writer.write(&records)
}
