//! What the dashboard says of open dead letters: counts by reason, and the newest few without their bodies. One that was
//! redriven or discarded is none of them any more.

use std::collections::{BTreeMap, VecDeque};

use commerce::letter::Status;
use commerce::time::{Day, Zone};
use commerce::{DeadLetter, EventTime, Reason};
use serde::Serialize;

/// How many letters are shown one by one.
pub const RECENT: usize = 20;

/// How many are kept for that, so that others move up when some are redriven or discarded.
const KEPT: usize = 10 * RECENT;

/// For how many days a letter is counted: as long as its topic keeps it.
pub const COUNTED_DAYS: i32 = 30;

/// One letter as it is shown: no body, no headers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Letter {
    /// Stable id, for `tillstream dlq show`.
    pub id: String,
    /// The reason's code.
    pub reason: String,
    /// Where it was set aside.
    pub stage: String,
    /// The source key, empty where it couldn't be read.
    pub source: String,
    /// Path of the field at fault.
    pub field: Option<String>,
    /// A sentence for a person.
    pub message: String,
    /// When it was set aside, RFC 3339.
    pub at: String,
}

impl Letter {
    fn of(letter: &DeadLetter) -> Self {
        Self {
            id: letter.id.clone(),
            reason: letter.reason.clone(),
            stage: letter.stage.clone(),
            source: letter.source.clone(),
            field: letter.field.clone(),
            message: shorten(&letter.message),
            at: letter.first_seen_at.to_rfc3339(),
        }
    }
}

/// What is counted apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Kind {
    /// The reason's code.
    pub reason: String,
    /// Where it was set aside.
    pub stage: String,
    /// The source key.
    pub source: String,
}

/// The dead letters of one workspace.
#[derive(Clone, Debug, Default)]
pub struct Letters {
    counts: BTreeMap<Kind, BTreeMap<Day, u64>>,
    recent: VecDeque<Letter>,
}

/// Letters of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Count {
    /// Which.
    #[serde(flatten)]
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// What the reason means and what to do; `null` for one of a newer version.
    pub explanation: Option<&'static str>,
    /// False where redriving can't help, whatever is mended.
    pub redrivable: bool,
}

/// Answer of `GET /v1/dead-letters/summary`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Summary {
    /// Open letters of the last [`COUNTED_DAYS`] days.
    pub total: u64,
    /// By reason, stage and source, most first.
    pub by_reason: Vec<Count>,
    /// The newest, newest first.
    pub recent: Vec<Letter>,
    /// The days that are counted.
    pub days: i32,
}

/// Open letters, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Open {
    /// By the reason's code.
    pub(crate) by_reason: BTreeMap<String, u64>,
    /// The day on which the oldest was set aside.
    pub(crate) oldest: Option<Day>,
}

impl Letters {
    /// Counts a record of a letter: an open one is one more, any other takes away the open one before it. The caller
    /// passes each record once, those of an id in their order.
    pub fn apply(&mut self, letter: &DeadLetter) {
        let kind = Kind {
            reason: letter.reason.clone(),
            stage: letter.stage.clone(),
            source: letter.source.clone(),
        };
        let day = Zone::utc().day_of(letter.first_seen_at);
        match letter.status {
            Status::Open => self.add(kind, day, letter),
            Status::Redriven | Status::Discarded => self.remove(&kind, day, letter),
        }
    }

    /// What isn't counted can't be taken away: the record before may have left the topic.
    fn remove(&mut self, kind: &Kind, day: Day, letter: &DeadLetter) {
        if let Some(days) = self.counts.get_mut(kind)
            && let Some(count) = days.get_mut(&day)
        {
            *count = count.saturating_sub(1);
        }
        self.recent.retain(|recent| recent.id != letter.id);
    }

    fn add(&mut self, kind: Kind, day: Day, letter: &DeadLetter) {
        let days = self.counts.entry(kind).or_default();
        *days.entry(day).or_default() += 1;
        // What has left the topic is forgotten here as well; one day of slack for a letter that comes out of order.
        while let Some(oldest) = days.first_entry() {
            if oldest.key().0 >= day.0.saturating_sub(COUNTED_DAYS) {
                break;
            }
            oldest.remove();
        }
        self.recent.push_front(Letter::of(letter));
        // Partitions are read side by side, so arrival here is not quite the order of time.
        self.recent.make_contiguous().sort_by(|a, b| b.at.cmp(&a.at));
        self.recent.truncate(KEPT);
    }

    /// How many are open at `now` by reason, and the day of the oldest.
    pub(crate) fn open(&self, now: EventTime) -> Open {
        let from = Day(Zone::utc().day_of(now).0.saturating_sub(COUNTED_DAYS - 1));
        let mut open = Open::default();
        for (kind, days) in &self.counts {
            for (day, count) in days.range(from..).filter(|(_, count)| **count > 0) {
                *open.by_reason.entry(kind.reason.clone()).or_default() += count;
                open.oldest = Some(open.oldest.map_or(*day, |oldest| oldest.min(*day)));
            }
        }
        open
    }

    /// The counts as they stand at `now`.
    pub fn summary(&self, now: EventTime) -> Summary {
        let oldest = Day(Zone::utc().day_of(now).0.saturating_sub(COUNTED_DAYS - 1));
        let mut by_reason: Vec<Count> = self
            .counts
            .iter()
            .map(|(kind, days)| Count {
                kind: kind.clone(),
                count: days.range(oldest..).map(|(_, n)| *n).sum(),
                explanation: Reason::parse(&kind.reason).map(|reason| reason.explanation().trim_start()),
                redrivable: !Reason::parse(&kind.reason).is_some_and(Reason::is_final),
            })
            .filter(|count| count.count > 0)
            .collect();
        by_reason.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.kind.cmp(&b.kind)));
        Summary {
            total: by_reason.iter().map(|count| count.count).sum(),
            by_reason,
            recent: self.recent.iter().take(RECENT).cloned().collect(),
            days: COUNTED_DAYS,
        }
    }
}

fn shorten(text: &str) -> String {
    const LONGEST: usize = 300;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(LONGEST).collect();
    short.push('…');
    short
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    /// A letter of the normalizer.
    pub(crate) fn letter(id: &str, reason: &str, at: &str) -> DeadLetter {
        DeadLetter {
            id: id.to_owned(),
            workspace: "demo".to_owned(),
            stage: "normalizer".to_owned(),
            source: "shopify".to_owned(),
            reason: reason.to_owned(),
            field: Some("total_price".to_owned()),
            message: "'abc' is not a decimal amount".to_owned(),
            origin_topic: "commerce.raw.v1".to_owned(),
            origin_partition: 0,
            origin_offset: 1,
            received_at: None,
            first_seen_at: commerce::time::parse_iso(at).unwrap().at,
            redrive_count: 0,
            verdict: "hmac".to_owned(),
            headers: BTreeMap::new(),
            body: b"secret".to_vec(),
            status: Status::Open,
            item: 0,
            changed_at: None,
            key: Vec::new(),
            cut: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::letter;
    use super::*;

    fn at(text: &str) -> EventTime {
        commerce::time::parse_iso(text).unwrap().at
    }

    #[test]
    fn letters_are_counted_by_reason_most_first_and_shown_newest_first() {
        let mut letters = Letters::default();
        letters.apply(&letter("a", "bad_money", "2026-03-15T10:00:00Z"));
        letters.apply(&letter("c", "bad_time", "2026-03-15T12:00:00Z"));
        letters.apply(&letter("b", "bad_time", "2026-03-15T11:00:00Z"));
        let summary = letters.summary(at("2026-03-15T13:00:00Z"));
        assert_eq!(summary.total, 3);
        let counts: Vec<_> = summary.by_reason.iter().map(|c| (c.kind.reason.as_str(), c.count)).collect();
        assert_eq!(counts, [("bad_time", 2), ("bad_money", 1)]);
        let ids: Vec<_> = summary.recent.iter().map(|letter| letter.id.as_str()).collect();
        assert_eq!(ids, ["c", "b", "a"]);
        assert!(!serde_json::to_string(&summary).unwrap().contains("secret"));
    }

    #[test]
    fn what_the_topic_no_longer_keeps_is_not_counted() {
        let mut letters = Letters::default();
        letters.apply(&letter("a", "bad_money", "2026-01-01T10:00:00Z"));
        assert_eq!(letters.summary(at("2026-01-30T10:00:00Z")).total, 1);
        assert_eq!(letters.summary(at("2026-01-31T10:00:00Z")).total, 0);
        letters.apply(&letter("b", "bad_money", "2026-03-15T10:00:00Z"));
        assert_eq!(letters.counts.values().map(BTreeMap::len).sum::<usize>(), 1);
    }

    #[test]
    fn a_letter_that_was_redriven_or_discarded_counts_no_more_until_it_fails_again() {
        let mut letters = Letters::default();
        let first = letter("a", "bad_money", "2026-03-15T10:00:00Z");
        letters.apply(&first);
        letters.apply(&letter("b", "bad_money", "2026-03-15T10:00:00Z"));
        letters.apply(&DeadLetter { status: Status::Redriven, redrive_count: 1, ..first.clone() });
        letters.apply(&DeadLetter {
            status: Status::Discarded,
            ..letter("b", "bad_money", "2026-03-15T10:00:00Z")
        });
        let now = at("2026-03-15T13:00:00Z");
        assert_eq!(letters.summary(now), Summary { days: COUNTED_DAYS, ..Summary::default() });
        letters.apply(&DeadLetter { reason: "bad_time".to_owned(), redrive_count: 1, ..first });
        let summary = letters.summary(now);
        assert_eq!((summary.total, summary.by_reason[0].kind.reason.as_str()), (1, "bad_time"));
        assert_eq!(summary.recent.len(), 1);
        // The end of one that was never seen open.
        letters.apply(&DeadLetter {
            status: Status::Discarded,
            ..letter("c", "bad_value", "2026-03-15T10:00:00Z")
        });
        assert_eq!(letters.summary(now).total, 1);
    }

    #[test]
    fn only_the_newest_few_are_kept() {
        let mut letters = Letters::default();
        for n in 0..RECENT + 5 {
            letters.apply(&letter(&n.to_string(), "bad_money", &format!("2026-03-15T10:00:{n:02}Z")));
        }
        let summary = letters.summary(at("2026-03-15T13:00:00Z"));
        assert_eq!((summary.total, summary.recent.len()), (25, RECENT));
        assert_eq!(summary.recent[0].id, "24");
    }
}
