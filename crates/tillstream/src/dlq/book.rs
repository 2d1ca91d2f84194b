//! The letters as they stand, and which of them are meant. Pure.

use std::collections::{BTreeMap, HashMap};

use anyhow::anyhow;
use commerce::letter::Status;
use commerce::{DeadLetter, EventTime, Reason, Source};
use service::unit::Span;

use crate::Stop;

/// A letter and the partition that its records are in, in order.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// Its newest record.
    pub letter: DeadLetter,
    /// Where its next record goes, so that it is the newest there.
    pub partition: i32,
}

/// All letters of the topic.
#[derive(Debug, Default)]
pub struct Book {
    letters: HashMap<String, Kept>,
}

impl Book {
    /// Takes a record; those of one partition come in their order. Bodies that nobody wants aren't kept: there may be
    /// more of them than memory.
    pub fn note(&mut self, mut letter: DeadLetter, partition: i32, is_body_wanted: bool) {
        if !is_body_wanted {
            letter.body = Vec::new();
            letter.headers = BTreeMap::new();
        }
        self.letters.insert(letter.id.clone(), Kept { letter, partition });
    }

    /// The letter of an id.
    pub fn get(&self, id: &str) -> Option<&Kept> {
        self.letters.get(id)
    }

    /// The letter whose id begins so.
    pub fn find(&self, id: &str) -> Result<&Kept, Stop> {
        let mut found = self.letters.values().filter(|kept| kept.letter.id.starts_with(id));
        match (found.next(), found.next()) {
            (Some(kept), None) => Ok(kept),
            (None, _) => Err(Stop::Failed(anyhow!("no dead letter with an id that begins with '{id}'"))),
            _ => Err(Stop::Failed(anyhow!("more than one dead letter with an id that begins with '{id}'"))),
        }
    }

    /// Those that a filter means, oldest first.
    pub fn choose(&self, filter: &Filter) -> Vec<&Kept> {
        let mut chosen: Vec<&Kept> =
            self.letters.values().filter(|kept| filter.takes(&kept.letter)).collect();
        chosen.sort_by(|a, b| {
            (a.letter.first_seen_at, &a.letter.id).cmp(&(b.letter.first_seen_at, &b.letter.id))
        });
        chosen
    }
}

/// Which letters are meant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// One of these reasons; empty is any.
    pub reasons: Vec<Reason>,
    /// One of these sources; empty is any.
    pub sources: Vec<Source>,
    /// Set aside for the first time from then on.
    pub since: Option<EventTime>,
    /// Also those that were redriven or discarded.
    pub closed_too: bool,
}

impl Filter {
    /// Reads what was typed. `since` is a span back from now, a time, or a day (UTC).
    pub fn parse(
        reasons: &[String],
        sources: &[String],
        since: Option<&str>,
        now: EventTime,
    ) -> Result<Self, Stop> {
        let reason = |code: &String| {
            Reason::parse(code).ok_or_else(|| {
                let known: Vec<&str> = Reason::ALL.iter().map(|reason| reason.code()).collect();
                Stop::Usage(anyhow!("no reason '{code}'; there are {}", known.join(", ")))
            })
        };
        let source = |name: &String| {
            Source::parse(name).ok_or_else(|| {
                let known: Vec<&str> = Source::ALL.iter().map(|source| source.as_str()).collect();
                Stop::Usage(anyhow!("no source '{name}'; there are {}", known.join(", ")))
            })
        };
        Ok(Self {
            reasons: reasons.iter().map(reason).collect::<Result<_, _>>()?,
            sources: sources.iter().map(source).collect::<Result<_, _>>()?,
            since: since.map(|text| moment(text, now)).transpose()?,
            closed_too: false,
        })
    }

    fn takes(&self, letter: &DeadLetter) -> bool {
        (self.closed_too || letter.status == Status::Open)
            && (self.reasons.is_empty() || self.reasons.iter().any(|r| r.code() == letter.reason))
            && (self.sources.is_empty() || self.sources.iter().any(|s| s.as_str() == letter.source))
            && self.since.is_none_or(|since| letter.first_seen_at >= since)
    }
}

fn moment(text: &str, now: EventTime) -> Result<EventTime, Stop> {
    if let Ok(span) = Span::parse(text) {
        let micros = i64::try_from(span.duration().as_micros()).unwrap_or(i64::MAX);
        return Ok(EventTime(now.0.saturating_sub(micros)));
    }
    let day = format!("{text}T00:00:00Z");
    let read = commerce::time::parse_iso(text).or_else(|_| commerce::time::parse_iso(&day));
    read.map(|read| read.at).map_err(|_| {
        Stop::Usage(anyhow!(
            "--since '{text}' is no span (2h, 3d), no time (2026-03-15T10:00:00Z) and no day"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dlq::samples::letter;

    const NOW: EventTime = EventTime(1_767_225_600_000_000);

    fn ids(book: &Book, filter: &Filter) -> Vec<String> {
        book.choose(filter).iter().map(|kept| kept.letter.id.clone()).collect()
    }

    #[test]
    fn the_newest_record_of_an_id_says_how_it_stands() {
        let mut book = Book::default();
        book.note(letter("a", "bad_money"), 1, true);
        book.note(DeadLetter { status: Status::Redriven, ..letter("a", "bad_money") }, 1, true);
        let all = Filter { closed_too: true, ..Filter::default() };
        assert_eq!((ids(&book, &Filter::default()), ids(&book, &all)), (vec![], vec!["a".to_owned()]));
        book.note(DeadLetter { redrive_count: 1, ..letter("a", "bad_time") }, 1, false);
        assert_eq!(ids(&book, &Filter::default()), ["a"]);
        let kept = book.get("a").unwrap();
        assert_eq!((kept.letter.reason.as_str(), kept.partition), ("bad_time", 1));
        assert!(kept.letter.body.is_empty());
    }

    #[test]
    fn filters_hold_together_and_the_oldest_comes_first() {
        let mut book = Book::default();
        let at = |letter: DeadLetter, hours: i64| DeadLetter {
            first_seen_at: EventTime(NOW.0 - hours * 3_600_000_000),
            ..letter
        };
        book.note(at(letter("new", "bad_money"), 1), 0, true);
        book.note(at(letter("old", "bad_money"), 9), 0, true);
        book.note(at(letter("other", "bad_time"), 1), 0, true);
        book.note(at(DeadLetter { source: "lifesight".into(), ..letter("far", "bad_money") }, 1), 0, true);
        let filter = |reasons: &[&str], sources: &[&str], since| {
            let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
            Filter::parse(&owned(reasons), &owned(sources), since, NOW).unwrap()
        };
        assert_eq!(ids(&book, &filter(&["bad_money"], &["shopify"], None)), ["old", "new"]);
        assert_eq!(ids(&book, &filter(&["bad_money"], &["shopify"], Some("2h"))), ["new"]);
        assert_eq!(
            ids(&book, &filter(&["bad_money", "bad_time"], &["shopify"], Some("2h"))),
            ["new", "other"]
        );
        assert_eq!(ids(&book, &filter(&[], &["lifesight"], Some("2025-12-31"))), ["far"]);
        assert_eq!(ids(&book, &filter(&[], &[], Some("2026-01-01T00:00:00Z"))), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_exist_is_a_mistake_of_the_command_line() {
        for (reasons, sources, since, said) in [
            (&["nonsense".to_owned()][..], &[][..], None, "malformed_json"),
            (&[], &["ebay".to_owned()][..], None, "shopify"),
            (&[], &[], Some("yesterday"), "2h"),
        ] {
            match Filter::parse(reasons, sources, since, NOW) {
                Err(Stop::Usage(error)) => assert!(error.to_string().contains(said), "{error}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_id_may_be_shortened_as_long_as_it_is_one() {
        let mut book = Book::default();
        book.note(letter("ab1", "bad_money"), 0, true);
        book.note(letter("ab2", "bad_money"), 0, true);
        assert_eq!(book.find("ab1").unwrap().letter.id, "ab1");
        let said = |id| book.find(id).unwrap_err().error().to_string();
        assert!(said("ab").starts_with("more than one") && said("x").starts_with("no dead letter"));
    }
}
