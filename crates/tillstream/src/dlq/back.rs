//! From a letter to the record that goes back to its stage. Pure.

use commerce::letter::{Status, WHOLE, redrive};
use commerce::{DeadLetter, EventTime, Reason};
use topics::{Lane, Topic};

/// A record for a stage's input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Back {
    /// The input.
    pub topic: Topic,
    /// Where the original was, or where the gateway would have put what was no record yet; `None`: by the key.
    pub partition: Option<i32>,
    /// The original's key.
    pub key: Vec<u8>,
    /// The original's headers, then those of [`redrive`].
    pub headers: Vec<(String, String)>,
    /// The original's, so that the stages after it see the same arrival.
    pub timestamp_millis: i64,
}

/// The letter as it stands after an operator's decision.
pub fn closed(letter: &DeadLetter, status: Status, at: EventTime) -> DeadLetter {
    let redriven = i32::from(status == Status::Redriven);
    DeadLetter {
        status,
        redrive_count: letter.redrive_count.saturating_add(redriven),
        changed_at: Some(at),
        ..letter.clone()
    }
}

/// Why a letter can't be closed, in a sentence.
pub fn not_open(letter: &DeadLetter) -> Option<String> {
    (letter.status != Status::Open).then(|| format!("it is {} already", letter.status.as_str()))
}

/// The topic that redriving writes to, or why the letter can't be redriven.
pub fn topic(letter: &DeadLetter) -> Result<Topic, String> {
    if let Some(why) = not_open(letter) {
        return Err(why);
    }
    if Reason::parse(&letter.reason).is_some_and(Reason::is_final) {
        return Err(
            "the first body of its idempotency key stands whatever comes after it, so redriving can't help: \
                    discard it, or let the sender use a key of its own"
                .to_owned(),
        );
    }
    if letter.cut {
        return Err(format!(
            "only the first {} bytes of it are kept here; the whole record is in {} partition {} at offset {}",
            letter.body.len(),
            letter.origin_topic,
            letter.origin_partition,
            letter.origin_offset
        ));
    }
    let topic = match letter.stage.as_str() {
        "gateway" | "normalizer" => Topic::Raw,
        "state" => Topic::Events,
        "aggregator" => Topic::Facts,
        other => return Err(format!("this version knows no stage '{other}'")),
    };
    let limit = topic.spec().max_message.0;
    if letter.body.len() as u64 + 1_024 > limit {
        return Err(format!(
            "its {} bytes are more than {} takes ({limit})",
            letter.body.len(),
            topic.name()
        ));
    }
    Ok(topic)
}

/// The record that redriving writes, or why it can't be redriven. The raw topic has so many partitions.
pub fn of(letter: &DeadLetter, raw_partitions: i32) -> Result<Back, String> {
    let topic = topic(letter)?;
    let at_origin = letter.origin_topic == topic.name() && letter.origin_partition >= 0;
    // Any key will do for what never was a record, as long as it stays the same.
    let key = if letter.key.is_empty() { letter.id.as_bytes() } else { &letter.key };
    let headers = headers(letter);
    let anew = || {
        let is_load = headers.iter().any(|(name, _)| sources::is_load_label(name));
        let lane = if is_load { Lane::Slow } else { Lane::Live };
        (topic == Topic::Raw).then(|| topics::raw_partition(key, raw_partitions, lane))
    };
    Ok(Back {
        topic,
        partition: at_origin.then_some(letter.origin_partition).or_else(anew),
        key: key.to_vec(),
        headers,
        timestamp_millis: letter.received_at.map_or(0, |at| at.0 / 1_000),
    })
}

fn headers(letter: &DeadLetter) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> = Vec::new();
    if letter.stage == "gateway" {
        // What the gateway writes beside a body that it takes.
        let stamp = letter.received_at.map(|at| at.to_rfc3339());
        let own = [
            ("source", Some(letter.source.clone())),
            ("workspace", Some(letter.workspace.clone())),
            ("received_at", stamp),
            ("verdict", Some(letter.verdict.clone())),
        ];
        let own = own.into_iter().filter(|(name, _)| !letter.headers.contains_key(*name));
        headers.extend(own.filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    headers.extend(letter.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers.extend([
        (redrive::OF.to_owned(), letter.id.clone()),
        (redrive::COUNT.to_owned(), letter.redrive_count.saturating_add(1).to_string()),
        (redrive::FIRST_SEEN.to_owned(), letter.first_seen_at.to_rfc3339()),
    ]);
    if letter.item != WHOLE {
        headers.push((redrive::ITEM.to_owned(), letter.item.to_string()));
    }
    headers
}

#[cfg(test)]
mod tests {
    use commerce::ReceivedTime;
    use commerce::letter::redrive::Redriven;

    use super::*;
    use crate::dlq::samples::letter;

    fn header<'a>(back: &'a Back, name: &str) -> Option<&'a str> {
        back.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_letter_of_the_normalizer_goes_back_as_it_came() {
        let kept = DeadLetter { item: 4, redrive_count: 2, ..letter("a", "bad_money") };
        let back = of(&kept, 4).unwrap();
        assert_eq!((back.topic, back.partition), (Topic::Raw, Some(kept.origin_partition)));
        assert_eq!(
            (back.key, back.timestamp_millis),
            (kept.key.clone(), kept.received_at.unwrap().0 / 1_000)
        );
        let back = of(&kept, 4).unwrap();
        assert_eq!(header(&back, "received_at"), Some("2026-01-01T00:00:00Z"));
        let redriven = Redriven::read(|name| header(&back, name)).unwrap();
        let first_seen_at = Some(kept.first_seen_at);
        assert_eq!(redriven, Redriven { of: "a".into(), count: 3, item: Some(4), first_seen_at });
        assert_eq!(header(&of(&letter("a", "bad_money"), 4).unwrap(), redrive::ITEM), None);
    }

    #[test]
    fn a_letter_of_the_gateway_gets_the_stamp_that_it_never_had() {
        let kept = DeadLetter {
            stage: "gateway".into(),
            origin_topic: "http".into(),
            origin_partition: -1,
            key: vec![],
            headers: [("path".to_owned(), "/x".to_owned())].into(),
            received_at: Some(ReceivedTime(1_767_225_600_000_000)),
            ..letter("a", "missing_field")
        };
        let back = of(&kept, 4).unwrap();
        assert_eq!((back.topic, back.key.as_slice()), (Topic::Raw, &b"a"[..]));
        assert_eq!(back.partition, Some(topics::raw_partition(b"a", 4, Lane::Live)));
        let mut load = kept.clone();
        load.headers.insert("http.tillstream-backfill".to_owned(), "spring".to_owned());
        assert_eq!(of(&load, 4).unwrap().partition, Some(3), "a load waits, redriven too");
        for (name, value) in [
            ("source", "shopify"),
            ("workspace", "demo"),
            ("verdict", "hmac"),
            ("path", "/x"),
            ("received_at", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(header(&back, name), Some(value), "{name}");
        }
    }

    #[test]
    fn later_stages_get_theirs_at_its_own_partition() {
        for (stage, topic) in [("state", Topic::Events), ("aggregator", Topic::Facts)] {
            let kept = DeadLetter {
                stage: stage.into(),
                origin_topic: topic.name().into(),
                origin_partition: 2,
                ..letter("a", "unknown_workspace")
            };
            let back = of(&kept, 4).unwrap();
            assert_eq!((back.topic, back.partition), (topic, Some(2)));
        }
    }

    #[test]
    fn what_redriving_cannot_help_is_skipped_with_a_sentence() {
        let a = |change: &dyn Fn(&mut DeadLetter)| {
            let mut kept = letter("a", "bad_money");
            change(&mut kept);
            of(&kept, 4).unwrap_err()
        };
        assert!(a(&|l| l.reason = "idempotency_body_mismatch".into()).contains("first body"));
        assert!(a(&|l| l.status = Status::Redriven).contains("redriven already"));
        assert!(a(&|l| l.cut = true).contains("at offset 7"));
        assert!(a(&|l| l.stage = "signals".into()).contains("'signals'"));
        assert!(a(&|l| l.body = vec![0; 12 << 20]).contains("commerce.raw.v1"));
    }

    #[test]
    fn closing_a_letter_keeps_everything_else() {
        let open = letter("a", "bad_money");
        let at = EventTime(7);
        let redriven = closed(&open, Status::Redriven, at);
        assert_eq!((redriven.redrive_count, redriven.changed_at), (1, Some(at)));
        let discarded = closed(&open, Status::Discarded, at);
        assert_eq!(discarded.redrive_count, 0);
        assert_eq!(DeadLetter { status: Status::Open, redrive_count: 0, changed_at: None, ..redriven }, open);
    }
}
