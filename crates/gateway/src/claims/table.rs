//! Who holds each key, and what was answered: the fold of the claims topic. No I/O, and no clock but what is passed in.
//!
//! A claim counts if, at its place in the partition, the key is held by nobody, or by the one whose place it takes, or by
//! one whose 24 hours are over at its own time. That depends on the records alone, so all copies agree.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use commerce::{Mark, ReceivedTime, time};
use sources::OtherContent;
use uuid::Uuid;

use super::entry::{Answer, Claim};

/// As long as an answer is repeated, from the arrival of the request that got it (R9).
pub(crate) const KEPT: i64 = time::DAY;
const HOUR: i64 = 3_600 * time::SECOND;
/// As long stages downstream may take a key for the one before, from that one's arrival: they count the 24 hours up to the
/// end of the hour.
const TOLD_APART: i64 = KEPT + 2 * HOUR;
/// What is that old is forgotten: later than it could still be told apart from what comes next, so that all copies agree
/// on that, and before the topic does.
const FORGOTTEN: i64 = TOLD_APART + HOUR;

/// The claim that holds a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub(crate) id: Uuid,
    pub(crate) owner: Arc<str>,
    content: Mark,
    pub(crate) at: ReceivedTime,
    /// The latest use of the key that is over, if stages downstream could take this one for it. It is the same for all
    /// claims that follow each other within one use.
    pub(crate) round: Option<Uuid>,
    /// When this copy read it.
    pub(crate) seen: Instant,
    /// Whose place it took: it holds the key again if this one is given up. Of those further back only the one in
    /// `round` is kept.
    before: Option<Box<Self>>,
}

impl Holder {
    /// As it is kept behind its successor.
    fn kept(mut self) -> Box<Self> {
        let (round, mut behind) = (self.round, self.before.take());
        while let Some(mut holder) = behind {
            behind = holder.before.take();
            if Some(holder.id) == round {
                self.before = Some(holder);
                break;
            }
        }
        Box::new(self)
    }

    fn forget_before(&mut self, stays: &impl Fn(ReceivedTime) -> bool) {
        self.before = self.before.take().filter(|before| stays(before.at));
        if let Some(before) = &mut self.before {
            before.forget_before(stays);
        }
    }
}

/// Where an answer stands in the claims topic. Answers are many, so the table has no more of them than that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) claim: Uuid,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    at: ReceivedTime,
}

/// What a request meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// The key is there to be claimed.
    Free {
        /// Whose place the claim takes.
        previous: Option<Uuid>,
    },
    /// It was answered.
    Answered {
        place: Place,
        /// The request says the same as the one that was answered.
        same: bool,
    },
    /// Somebody holds it and has no answer yet.
    Pending(Holder),
}

/// All that is known.
#[derive(Default)]
pub(crate) struct Table {
    holders: HashMap<Mark, Holder>,
    answers: HashMap<Uuid, Place>,
    owners: HashSet<Arc<str>>,
}

impl Table {
    /// What a request meets that arrived `now`.
    pub(crate) fn look(&self, key: Mark, content: Mark, other: OtherContent, now: ReceivedTime) -> Standing {
        let Some(holder) = self.holders.get(&key) else {
            return Standing::Free { previous: None };
        };
        if is_over(holder.at, now) {
            return Standing::Free { previous: Some(holder.id) };
        }
        match self.answers.get(&holder.id) {
            None => Standing::Pending(holder.clone()),
            Some(place) if holder.content == content => Standing::Answered { place: *place, same: true },
            Some(place) if other == OtherContent::IsLetter => {
                Standing::Answered { place: *place, same: false }
            }
            Some(_) => Standing::Free { previous: Some(holder.id) },
        }
    }

    /// A claim, if it holds its key.
    pub(crate) fn held(&self, key: Mark, claim: Uuid) -> Option<&Holder> {
        self.holders.get(&key).filter(|holder| holder.id == claim)
    }

    /// Takes in a claim that was read at `seen`, the records of its partition in their order.
    pub(crate) fn claim(&mut self, key: Mark, claim: &Claim, seen: Instant) {
        let held = self
            .holders
            .get(&key)
            .is_some_and(|holder| claim.previous != Some(holder.id) && !is_over(holder.at, claim.at));
        if held {
            return;
        }
        let owner = self.owners.get(claim.owner.as_str()).cloned().unwrap_or_else(|| {
            let owner: Arc<str> = claim.owner.as_str().into();
            self.owners.insert(Arc::clone(&owner));
            owner
        });
        let before = self.holders.remove(&key);
        let round = before.as_ref().and_then(|before| {
            let later = claim.at.0.saturating_sub(before.at.0);
            if later < KEPT { before.round } else { (later < TOLD_APART).then_some(before.id) }
        });
        let (id, content, at) = (claim.id, claim.content, claim.at);
        let before = before.map(Holder::kept);
        self.holders.insert(key, Holder { id, owner, content, at, round, seen, before });
    }

    /// Takes in that a claim was given up.
    pub(crate) fn release(&mut self, key: Mark, claim: Uuid) {
        if let Some(held) = self.holders.remove(&key) {
            let holder = if held.id == claim { held.before.map(|before| *before) } else { Some(held) };
            self.holders.extend(holder.map(|holder| (key, holder)));
        }
    }

    /// Takes in a committed answer. It may come before its claim: the two are read by different readers.
    pub(crate) fn answer(&mut self, answer: &Answer, partition: i32, offset: i64) {
        let place = Place { claim: answer.claim, partition, offset, at: answer.at };
        self.answers.insert(answer.claim, place);
    }

    /// Forgets what has been over for a while.
    pub(crate) fn forget(&mut self, now: ReceivedTime) {
        let stays = |at: ReceivedTime| now.0.saturating_sub(at.0) < FORGOTTEN;
        self.holders.retain(|_, holder| {
            holder.forget_before(&stays);
            stays(holder.at)
        });
        self.answers.retain(|_, place| stays(place.at));
    }

    /// How many keys are known.
    pub(crate) fn len(&self) -> usize {
        self.holders.len()
    }
}

/// Whether the time of a claim is over for a request that arrived `now`.
fn is_over(at: ReceivedTime, now: ReceivedTime) -> bool {
    now.0.saturating_sub(at.0) >= KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Mark = Mark(1);
    const BODY: Mark = Mark(10);
    const START: i64 = 1_790_000_000 * time::SECOND;

    fn at(after: i64) -> ReceivedTime {
        ReceivedTime(START + after)
    }

    fn claim(id: u128, previous: Option<u128>, content: Mark, after: i64) -> Claim {
        Claim {
            id: Uuid::from_u128(id),
            owner: format!("copy-{id}"),
            previous: previous.map(Uuid::from_u128),
            content,
            at: at(after),
        }
    }

    impl Table {
        fn take(&mut self, claim: &Claim) {
            self.claim(KEY, claim, Instant::now());
        }

        fn holds(&self, key: Mark, claim: Uuid) -> bool {
            self.held(key, claim).is_some()
        }

        fn round(&self, id: u128) -> Option<u128> {
            let holder = self.held(KEY, Uuid::from_u128(id)).expect("it holds the key");
            holder.round.map(|round| round.as_u128())
        }
    }

    fn answer(claim: &Claim) -> Answer {
        let (correlation, body) = (String::new(), String::new());
        Answer { claim: claim.id, at: claim.at, records: 1, correlation, status: 200, body }
    }

    fn append(table: &Table, content: Mark, after: i64) -> Standing {
        table.look(KEY, content, OtherContent::IsLetter, at(after))
    }

    fn answered() -> (Table, Claim) {
        let (mut table, one) = (Table::default(), claim(1, None, BODY, 0));
        table.take(&one);
        table.answer(&answer(&one), 3, 7);
        (table, one)
    }

    #[test]
    fn of_two_claims_the_first_in_the_log_holds_the_key() {
        let mut table = Table::default();
        let (one, two) = (claim(1, None, BODY, 5), claim(2, None, BODY, 0));
        table.take(&one);
        table.take(&two);
        assert!(table.holds(KEY, one.id) && !table.holds(KEY, two.id));
        assert!(matches!(append(&table, BODY, 6), Standing::Pending(holder) if holder.id == one.id));
        assert_eq!(
            table.look(Mark(2), BODY, OtherContent::IsLetter, at(6)),
            Standing::Free { previous: None },
            "another key"
        );
    }

    #[test]
    fn the_same_body_gets_the_answer_and_another_one_of_an_append_too() {
        let (table, _) = answered();
        let met = |content| match append(&table, content, 1) {
            Standing::Answered { place, same } => (place.partition, place.offset, same),
            other => panic!("{other:?}"),
        };
        assert_eq!(met(BODY), (3, 7, true));
        assert_eq!(met(Mark(11)), (3, 7, false));
    }

    #[test]
    fn an_upsert_with_another_body_takes_the_place_of_the_one_before() {
        let (mut table, one) = answered();
        let look = |table: &Table, content| table.look(KEY, content, OtherContent::IsApplied, at(1));
        assert!(matches!(look(&table, BODY), Standing::Answered { same: true, .. }));
        assert_eq!(look(&table, Mark(11)), Standing::Free { previous: Some(one.id) });
        let two = claim(2, Some(1), Mark(11), 1);
        table.take(&two);
        table.take(&claim(3, Some(1), Mark(12), 1));
        assert!(table.holds(KEY, two.id), "only one takes the place of the first");
        table.answer(&answer(&two), 3, 9);
        assert!(matches!(look(&table, BODY), Standing::Free { .. }), "the first body again is another one");
    }

    #[test]
    fn an_answer_is_repeated_until_24_hours_are_over_and_not_after() {
        let (mut table, one) = answered();
        assert!(matches!(append(&table, BODY, KEPT - 1), Standing::Answered { same: true, .. }));
        assert!(matches!(append(&table, Mark(11), KEPT - 1), Standing::Answered { same: false, .. }));
        for content in [BODY, Mark(11)] {
            let free = Standing::Free { previous: Some(one.id) };
            assert_eq!(append(&table, content, KEPT), free);
        }
        table.take(&claim(2, None, BODY, KEPT - 1));
        assert!(table.holds(KEY, one.id));
        table.take(&claim(3, None, BODY, KEPT));
        assert!(table.holds(KEY, Uuid::from_u128(3)));
    }

    #[test]
    fn a_copy_that_has_forgotten_agrees_with_one_that_has_not() {
        let (mut table, one) = answered();
        table.forget(at(FORGOTTEN - 1));
        assert!(table.holds(KEY, one.id));
        let mut kept = answered().0;
        table.forget(at(FORGOTTEN));
        assert_eq!((table.len(), table.answers.len()), (0, 0));
        let next = claim(2, Some(1), BODY, FORGOTTEN);
        for table in [&mut table, &mut kept] {
            table.take(&next);
            assert!(table.holds(KEY, next.id));
        }
    }

    #[test]
    fn what_was_given_up_leaves_the_key_free_and_nobody_elses_place() {
        let mut table = Table::default();
        let one = claim(1, None, BODY, 0);
        table.take(&one);
        table.release(KEY, Uuid::from_u128(9));
        assert!(table.holds(KEY, one.id));
        table.release(KEY, one.id);
        assert_eq!(append(&table, BODY, 1), Standing::Free { previous: None });
        let (mut table, one) = answered();
        let two = claim(2, Some(1), Mark(11), 1);
        table.take(&two);
        table.release(KEY, two.id);
        assert!(table.holds(KEY, one.id), "an upsert that failed leaves the answer before it");
    }

    #[test]
    fn an_answer_that_is_read_before_its_claim_counts_with_it() {
        let (mut table, one) = (Table::default(), claim(1, None, BODY, 0));
        table.answer(&answer(&one), 0, 1);
        assert!(matches!(append(&table, BODY, 1), Standing::Free { .. }));
        table.take(&one);
        assert!(matches!(append(&table, BODY, 1), Standing::Answered { .. }));
    }

    #[test]
    fn a_key_whose_time_is_over_is_told_apart_from_then_on_even_if_a_try_was_given_up() {
        let (mut table, one) = answered();
        table.take(&claim(2, Some(1), BODY, KEPT));
        assert_eq!(table.round(2), Some(1));
        table.release(KEY, Uuid::from_u128(2));
        let free = Standing::Free { previous: Some(one.id) };
        assert_eq!(append(&table, BODY, KEPT + 1), free, "what is over is known as before");
        table.take(&claim(3, Some(1), BODY, KEPT + 1));
        assert_eq!(table.round(3), Some(1), "the second try is the same use");
        table.take(&claim(4, Some(3), BODY, 2 * KEPT + 1));
        assert_eq!(table.round(4), Some(3), "and the next one is another");
    }

    #[test]
    fn who_takes_the_place_of_a_copy_that_is_gone_goes_on_with_the_same_use_of_the_key() {
        let (mut table, one) = answered();
        table.take(&claim(2, Some(1), BODY, KEPT));
        for (id, previous) in [(3, 2), (4, 3), (5, 4)] {
            table.take(&claim(id, Some(previous), BODY, KEPT + 1));
            assert_eq!(table.round(id), Some(1));
        }
        table.release(KEY, Uuid::from_u128(5));
        assert_eq!(table.round(4), Some(1));
        table.release(KEY, Uuid::from_u128(4));
        assert!(table.holds(KEY, one.id), "of all that were given up nothing is left but the first use");
        table.take(&claim(6, Some(1), BODY, KEPT + 2));
        assert_eq!(table.round(6), Some(1));
    }

    #[test]
    fn an_upsert_that_follows_one_of_the_second_day_is_told_apart_from_the_first_day_too() {
        let (mut table, _) = answered();
        table.take(&claim(2, Some(1), Mark(11), KEPT + 600 * time::SECOND));
        table.answer(&answer(&claim(2, Some(1), Mark(11), KEPT + 600 * time::SECOND)), 3, 9);
        table.take(&claim(3, Some(2), BODY, KEPT + 1_200 * time::SECOND));
        assert_eq!(table.round(3), Some(1));
        let (mut table, _) = answered();
        table.take(&claim(2, Some(1), Mark(11), KEPT - 1));
        assert_eq!(table.round(2), None, "within the first day it is one use");
    }

    #[test]
    fn copies_agree_on_what_is_told_apart_whether_or_not_they_have_forgotten_and_keep_no_more_than_that() {
        let next = claim(2, Some(1), BODY, TOLD_APART);
        let (mut late, mut kept) = (answered().0, answered().0);
        late.forget(at(FORGOTTEN));
        assert_eq!(late.len(), 0);
        for table in [&mut late, &mut kept] {
            table.take(&next);
            assert_eq!(table.round(2), None);
        }
        let mut table = answered().0;
        table.forget(at(FORGOTTEN - 1));
        table.take(&claim(2, Some(1), BODY, TOLD_APART - 1));
        assert_eq!(table.round(2), Some(1));
        table.take(&claim(3, Some(2), BODY, TOLD_APART));
        table.forget(at(FORGOTTEN));
        table.release(KEY, Uuid::from_u128(3));
        table.release(KEY, Uuid::from_u128(2));
        assert_eq!(table.len(), 0, "what was behind them is forgotten");
    }
}
