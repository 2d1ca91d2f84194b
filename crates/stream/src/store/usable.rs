//! Whether a store that was found can be caught up, or has to be restored from nothing. Pure.

use std::time::Duration;

use super::marks::{Identity, Marks};

/// A clock that is wrong by no more than this is not held against the store.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);

/// What is known of the changelog at a start.
#[derive(Debug, Clone)]
pub(crate) struct Changelog {
    /// Its first offset.
    pub(crate) low: i64,
    /// The offset behind its last record, open transactions included.
    pub(crate) end: i64,
    /// How long it keeps tombstones (`delete.retention.ms`); `None` when the brokers don't tell.
    pub(crate) tombstones: Option<Duration>,
}

/// Why a store can't be caught up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("it was written by another version, in format {0}")]
    OtherFormat(u16),
    #[error("it is the state of something else: {0}")]
    Foreign(String),
    #[error(
        "it goes to offset {at} of a changelog that ends at {end}: the topic was made anew or lost records"
    )]
    BeyondEnd { at: i64, end: i64 },
    #[error("it goes to offset {at} of a changelog that begins at {low}: records between are gone")]
    BeforeStart { at: i64, low: i64 },
    #[error(
        "it was complete {age:?} ago, and the changelog keeps tombstones for {kept:?}: removals may be missing"
    )]
    TooOld { age: Duration, kept: Duration },
    #[error("it is from the future: the clock was moved, so its age isn't known")]
    Future,
    #[error(
        "it goes to input offset {store} and the changelog to {}: the changelog has lost its end",
        changelog.map_or_else(|| "none".to_owned(), |offset| offset.to_string())
    )]
    Ahead { store: i64, changelog: Option<i64> },
    #[error("records of the changelog that it lacks were removed while they were read")]
    Overtaken,
    #[error("the brokers don't say how long the changelog keeps tombstones (DescribeConfigs is needed)")]
    RetentionUnknown,
}

/// Decides about a store by its marks.
pub(crate) fn check(
    marks: &Marks,
    identity: &Identity,
    changelog: &Changelog,
    now: i64,
) -> Result<(), Unusable> {
    if !marks.identity.serves(identity) {
        return Err(Unusable::Foreign(difference(&marks.identity, identity)));
    }
    let at = marks.changelog;
    if at > changelog.end {
        return Err(Unusable::BeyondEnd { at, end: changelog.end });
    }
    if at < changelog.low {
        return Err(Unusable::BeforeStart { at, low: changelog.low });
    }
    let kept = changelog.tombstones.ok_or(Unusable::RetentionUnknown)?;
    let age = now.saturating_sub(marks.complete_at);
    match u64::try_from(age).map(Duration::from_millis) {
        // A quarter is left for what can't be measured: clocks that differ, and the time that catching up takes.
        Ok(age) if age > kept - kept / 4 => Err(Unusable::TooOld { age, kept }),
        Ok(_) => Ok(()),
        Err(_) if age.unsigned_abs() > CLOCKS_DIFFER.as_millis() as u64 => Err(Unusable::Future),
        Err(_) => Ok(()),
    }
}

fn difference(found: &Identity, expected: &Identity) -> String {
    let partition = |i: &Identity| format!("{}-{} of {}", i.changelog, i.partition, i.partitions);
    if found.stage != expected.stage {
        format!("of stage {}, not {}", found.stage, expected.stage)
    } else if partition(found) != partition(expected) {
        format!("of {}, not {}", partition(found), partition(expected))
    } else if expected.topic_id.is_none() {
        format!("of topic {} with an id that isn't told any more", expected.changelog)
    } else {
        format!("of an earlier topic {}", expected.changelog)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn identity() -> Identity {
        Identity {
            stage: "s".into(),
            changelog: "c".into(),
            topic_id: Some("one".into()),
            partition: 1,
            partitions: 4,
        }
    }

    fn changelog() -> Changelog {
        Changelog { low: 10, end: 200, tombstones: Some(Duration::from_secs(24 * 3_600)) }
    }

    fn verdict(marks: impl Fn(&mut Marks), now: i64) -> Result<(), Unusable> {
        let mut found = Marks { changelog: 100, ..Marks::new(identity(), 0) };
        marks(&mut found);
        check(&found, &identity(), &changelog(), now)
    }

    #[test]
    fn a_store_is_caught_up_while_three_quarters_of_the_tombstones_time_have_not_passed() {
        assert_eq!(verdict(|_| {}, 18 * HOUR), Ok(()));
        let too_old = verdict(|_| {}, 18 * HOUR + 1).unwrap_err();
        assert!(matches!(too_old, Unusable::TooOld { .. }), "{too_old}");
    }

    #[test]
    fn a_store_must_lie_within_the_changelog() {
        assert_eq!(verdict(|m| m.changelog = 10, 0), Ok(()));
        assert_eq!(verdict(|m| m.changelog = 200, 0), Ok(()));
        assert_eq!(verdict(|m| m.changelog = 9, 0), Err(Unusable::BeforeStart { at: 9, low: 10 }));
        assert_eq!(verdict(|m| m.changelog = 201, 0), Err(Unusable::BeyondEnd { at: 201, end: 200 }));
    }

    #[test]
    fn a_store_of_something_else_is_refused() {
        for change in [
            |m: &mut Marks| m.identity.stage = "t".into(),
            |m: &mut Marks| m.identity.partition = 2,
            |m: &mut Marks| m.identity.partitions = 8,
            |m: &mut Marks| m.identity.topic_id = Some("two".into()),
        ] {
            assert!(matches!(verdict(change, 0), Err(Unusable::Foreign(_))));
        }
        assert_eq!(verdict(|m| m.identity.topic_id = None, 0), Ok(()), "the brokers didn't tell then");
        let untold = Identity { topic_id: None, ..identity() };
        let marks = Marks { changelog: 100, ..Marks::new(identity(), 0) };
        let refused = check(&marks, &untold, &changelog(), 0).unwrap_err().to_string();
        assert_eq!(
            refused,
            "it is the state of something else: of topic c with an id that isn't told any more"
        );
    }

    #[test]
    fn without_a_known_age_or_retention_nothing_is_believed() {
        assert_eq!(verdict(|m| m.complete_at = 60_000, 0), Ok(()), "clocks differ");
        assert_eq!(verdict(|m| m.complete_at = HOUR, 0), Err(Unusable::Future));
        let unknown = Changelog { tombstones: None, ..changelog() };
        let marks = Marks { changelog: 100, ..Marks::new(identity(), 0) };
        assert_eq!(check(&marks, &identity(), &unknown, 0), Err(Unusable::RetentionUnknown));
    }
}
