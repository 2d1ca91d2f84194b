//! Who did the steps of the funnel one after the other (D-ANA-17): somebody is at a step when it happened at or after
//! the step before it, and within the window of the first.
//!
//! An entry is a first step; it stands on its own day, and what follows may be on later ones. So any range of days is
//! united from the sets of its days, exactly: it counts whoever entered in it. The deepest step reached from an entry of
//! a day is kept per window, and its set is published; whoever is deeper has also been at every step before.
//!
//! Per actor and day there is one row with what was done, so nothing but these rows is read: a step that comes late, a
//! purchase that moves or goes, a merge of persons and an erasure compute the days anew that they can touch. The result
//! is a function of the rows and the purchases, whatever came first. A purchase has no row here: the actor's orders are
//! those of [`people`].
//!
//! Of each step the first [`MOST_A_DAY`] of a day, an actor and a source are kept, whichever came first: whoever does a
//! thing more often than that is no shopper. Actors who are nobody in particular (one event, one order) have no rows:
//! they can't do a second thing.

use std::collections::{BTreeMap, BTreeSet};

use commerce::EventTime;
use commerce::time::{DAY, Day, SECOND};
use serde::{Deserialize, Serialize};
use stream::Failure;

use crate::funnel::{Of, Set, Step, presence};
use crate::people::{Actor, Kind, orders};
use crate::rows::{Book, PEOPLE, read};

/// Of each step so many a day are kept.
const MOST_A_DAY: usize = 256;

/// How long after the first step the others may be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Window {
    HalfHour,
    Day,
    Week,
}

impl Window {
    /// All that are kept.
    pub(crate) const ALL: [Self; 3] = [Self::HalfHour, Self::Day, Self::Week];

    /// The name in figures and requests.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::HalfHour => "30m",
            Self::Day => "24h",
            Self::Week => "7d",
        }
    }

    /// How long it is.
    pub(crate) const fn micros(self) -> i64 {
        match self {
            Self::HalfHour => 1800 * SECOND,
            Self::Day => DAY,
            Self::Week => WIDEST,
        }
    }
}

/// The widest window.
const WIDEST: i64 = 7 * DAY;

/// Calendar days that the widest window can end after the day of its entry: a clock that is set back makes a day longer.
const DAYS_AFTER: i32 = 8;

/// What is done, in the order in which it counts: of one instant, the earlier step comes first.
type Done = BTreeSet<(EventTime, Step)>;

/// The deepest step that follows an entry of a day, per window; the first step alone is in the funnel's own set.
type Reached = [Option<Step>; Window::ALL.len()];

/// What an actor did on a day, by source.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Row {
    done: BTreeMap<String, Done>,
    /// What the published sets say, by source; under the empty name, of all sources together.
    shown: BTreeMap<String, Reached>,
}

impl Row {
    fn add(&mut self, source: &str, done: impl IntoIterator<Item = (EventTime, Step)>) {
        let known = self.done.entry(source.to_owned()).or_default();
        for (at, step) in done {
            known.insert((at, step));
            let mut same = known.iter().filter(|(_, other)| *other == step);
            if same.clone().count() > MOST_A_DAY
                && let Some(last) = same.next_back().copied()
            {
                known.remove(&last);
            }
        }
    }
}

/// The deepest steps that follow the entries of which `enters` is true. The latest entry that can be at a step is the
/// one from which the way was shortest, so one look at each thing done is enough.
fn reached(done: &Done, enters: impl Fn(EventTime) -> bool) -> Reached {
    let mut reached = Reached::default();
    // The latest entry that has led to each step so far.
    let mut entries: BTreeMap<Step, EventTime> = BTreeMap::new();
    for (at, step) in done {
        let entry = match step.before() {
            None => enters(*at).then_some(*at),
            Some(before) => entries.get(&before).copied(),
        };
        let Some(entry) = entry else { continue };
        let latest = entries.entry(*step).or_insert(entry);
        *latest = entry.max(*latest);
        if step.before().is_none() {
            continue;
        }
        for (window, deepest) in Window::ALL.iter().zip(&mut reached) {
            if at.0.saturating_sub(entry.0) <= window.micros() {
                *deepest = (*deepest).max(Some(*step));
            }
        }
    }
    reached
}

/// An actor does a step other than the purchase.
pub(crate) fn step(
    book: &mut Book<'_>,
    actor: Actor,
    step: Step,
    source: &str,
    at: EventTime,
) -> Result<(), Failure> {
    if !actor.can_return() {
        return Ok(());
    }
    let day = book.zone.day_of(at);
    let key = key(book, actor, day);
    let mut row: Row = book.get(PEOPLE, &key)?.unwrap_or_default();
    let before = row.done.get(source).cloned();
    row.add(source, [(at, step)]);
    if row.done.get(source) == before.as_ref() {
        return Ok(());
    }
    book.put(PEOPLE, &key, &row)?;
    let first = if step.before().is_none() { day } else { opens(book, at) };
    compute(book, actor, first, day)
}

/// An order of the actor at `at` has come or gone: the rows of orders say it already.
pub(crate) fn bought(book: &mut Book<'_>, actor: Actor, at: EventTime) -> Result<(), Failure> {
    if !actor.can_return() {
        return Ok(());
    }
    let (first, last) = (opens(book, at), book.zone.day_of(at));
    compute(book, actor, first, last)
}

/// What the old person did was done by the new one; their orders have moved already.
pub(crate) fn merge(book: &mut Book<'_>, from: Actor, to: Actor) -> Result<(), Failure> {
    let rows = take(book, from)?;
    for (day, row) in &rows {
        let key = key(book, to, *day);
        let mut known: Row = book.get(PEOPLE, &key)?.unwrap_or_default();
        for (source, done) in &row.done {
            known.add(source, done.iter().copied());
        }
        book.put(PEOPLE, &key, &known)?;
    }
    // The orders of either may complete what the other began.
    compute(book, to, Day(i32::MIN), Day(i32::MAX))
}

/// Erases what a person did.
pub(crate) fn forget(book: &mut Book<'_>, person: Actor) -> Result<(), Failure> {
    take(book, person).map(drop)
}

/// Takes the rows of an actor away, and the actor out of the sets.
fn take(book: &mut Book<'_>, actor: Actor) -> Result<BTreeMap<Day, Row>, Failure> {
    let rows = rows(book, actor, Day(i32::MIN), Day(i32::MAX))?;
    for (day, row) in &rows {
        show(book, actor, *day, &row.shown, &BTreeMap::new())?;
        let key = key(book, actor, *day);
        book.remove(&key)?;
    }
    Ok(rows)
}

/// The first day on which an entry can be from which something at `at` is within the widest window.
fn opens(book: &Book<'_>, at: EventTime) -> Day {
    book.zone.day_of(EventTime(at.0.saturating_sub(WIDEST)))
}

/// Computes what the entries of some days have led to, and moves what is shown of them.
fn compute(book: &mut Book<'_>, actor: Actor, first: Day, last: Day) -> Result<(), Failure> {
    let rows = rows(book, actor, first, Day(last.0.saturating_add(DAYS_AFTER)))?;
    let Some(oldest) = rows.keys().next() else { return Ok(()) };
    let mut done: BTreeMap<String, Done> = BTreeMap::new();
    for (source, of_day) in rows.values().flat_map(|row| &row.done) {
        done.entry(source.clone()).or_default().extend(of_day);
        done.entry(String::new()).or_default().extend(of_day);
    }
    // Only what comes before it makes a purchase the end of anything.
    let could_buy = |done: &Done| done.iter().any(|(_, step)| Some(*step) == Step::Purchase.before());
    if done.values().any(could_buy) {
        let newest = rows.keys().next_back().map_or(i64::MAX, |day| day.0.into());
        let until = EventTime(newest.saturating_add(i64::from(DAYS_AFTER) + 2).saturating_mul(DAY));
        let from = book.zone.start_of(*oldest);
        for (at, bought) in orders(book, actor, from, until)? {
            for source in [bought.source, String::new()] {
                done.entry(source).or_default().insert((at, Step::Purchase));
            }
        }
    }
    for (day, row) in rows.range(..=last) {
        let enters = |at| book.zone.day_of(at) == *day;
        let shown: BTreeMap<String, Reached> = (done.iter())
            .map(|(source, done)| (source.clone(), reached(done, enters)))
            .filter(|(_, reached)| reached.iter().any(Option::is_some))
            .collect();
        if shown != row.shown {
            show(book, actor, *day, &row.shown, &shown)?;
            let key = key(book, actor, *day);
            book.put(PEOPLE, &key, &Row { done: row.done.clone(), shown })?;
        }
    }
    Ok(())
}

/// Takes the actor out of the sets that were shown, and puts it into those that are.
fn show(
    book: &mut Book<'_>,
    actor: Actor,
    day: Day,
    before: &BTreeMap<String, Reached>,
    after: &BTreeMap<String, Reached>,
) -> Result<(), Failure> {
    let sets = |shown: &BTreeMap<String, Reached>| -> BTreeSet<Set> {
        let of = |(source, reached): (&String, &Reached)| {
            let source = source.clone();
            let steps = Window::ALL.into_iter().zip(*reached);
            steps.filter_map(move |(window, step)| {
                let of = Of::Ordered(window, step?);
                Some(Set { of, source: source.clone() })
            })
        };
        shown.iter().flat_map(of).collect()
    };
    let (before, after) = (sets(before), sets(after));
    for set in before.difference(&after) {
        presence(book, actor, set, day, false)?;
    }
    for set in after.difference(&before) {
        presence(book, actor, set, day, true)?;
    }
    Ok(())
}

/// The rows of an actor from one day to another, both included.
fn rows(book: &Book<'_>, actor: Actor, first: Day, last: Day) -> Result<BTreeMap<Day, Row>, Failure> {
    let run = actor.run(book, Kind::Steps);
    let mut found = BTreeMap::new();
    // A key that comes before that of the first day, and after that of the one before.
    let mut after = first.0.checked_sub(1).map(|day| [key(book, actor, Day(day)).as_slice(), &[0]].concat());
    while let Some((key, value)) = book.next(&run, after.as_deref()) {
        match day_of(&run, &key) {
            Some(day) if day <= last => drop(found.insert(day, read(&value)?)),
            _ => break,
        }
        after = Some(key);
    }
    Ok(found)
}

fn key(book: &Book<'_>, actor: Actor, day: Day) -> Vec<u8> {
    let mut key = actor.run(book, Kind::Steps);
    key.extend((day.0.cast_unsigned() ^ (1 << 31)).to_be_bytes());
    key
}

fn day_of(run: &[u8], key: &[u8]) -> Option<Day> {
    let bytes: &[u8; 4] = key.get(run.len()..)?.first_chunk()?;
    Some(Day((u32::from_be_bytes(*bytes) ^ (1 << 31)).cast_signed()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STEPS: [Step; 6] = [
        Step::ViewItem,
        Step::AddToCart,
        Step::ViewCart,
        Step::BeginCheckout,
        Step::AddPaymentInfo,
        Step::Purchase,
    ];

    fn at_hours(done: &[(i64, Step)]) -> Done {
        done.iter().map(|(hour, step)| (EventTime(hour * 3600 * SECOND), *step)).collect()
    }

    #[test]
    fn a_step_counts_after_the_one_before_it_and_within_the_window_of_the_first() {
        let done = at_hours(&[
            (0, Step::AddToCart),
            (1, Step::ViewItem),
            (1, Step::AddToCart),
            (20, Step::ViewCart),
            (30, Step::BeginCheckout),
        ]);
        let (cart, view, checkout) = (Step::AddToCart, Step::ViewCart, Step::BeginCheckout);
        assert_eq!(reached(&done, |_| true), [Some(cart), Some(view), Some(checkout)]);
        // An entry that isn't asked for leads nowhere.
        assert_eq!(reached(&done, |_| false), [None; 3]);
        // A later look at a product brings what follows nearer.
        let again = at_hours(&[(10, Step::ViewItem), (11, Step::AddToCart), (20, Step::ViewCart)]);
        let all: Done = done.union(&again).copied().collect();
        assert_eq!(reached(&all, |_| true), [Some(cart), Some(checkout), Some(checkout)]);
    }

    #[test]
    fn a_step_that_is_left_out_ends_the_way() {
        let done = at_hours(&[(0, Step::ViewItem), (0, Step::AddToCart), (0, Step::Purchase)]);
        assert_eq!(reached(&done, |_| true), [Some(Step::AddToCart); 3]);
    }

    #[test]
    fn more_of_a_step_than_anybody_does_in_a_day_keeps_the_first_of_them() {
        let times = |range: std::ops::Range<i64>| range.map(|n| (EventTime(n), Step::ViewItem));
        let (mut up, mut down) = (Row::default(), Row::default());
        up.add("analytics", times(0..400));
        down.add("analytics", times(0..400).rev());
        down.add("analytics", [(EventTime(900), Step::AddToCart)]);
        assert_eq!(up.done["analytics"], times(0..256).collect::<Done>());
        assert_eq!(down.done["analytics"].len(), 257);
    }

    /// Whether there is any choice of instants that gets to a step, found by trying all of them.
    fn is_reached(done: &Done, enters: &dyn Fn(EventTime) -> bool, window: Window, deepest: Step) -> bool {
        let of = |step: Step| done.iter().filter(move |(_, known)| *known == step).map(|(at, _)| *at);
        let ways = STEPS.iter().take_while(|step| **step <= deepest).fold(None, |ways, step| {
            let ways: Vec<(EventTime, EventTime)> = match ways {
                None => of(*step).filter(|at| enters(*at)).map(|at| (at, at)).collect(),
                Some(ways) => {
                    let ways: Vec<(EventTime, EventTime)> = ways;
                    let go = |(entry, now): (EventTime, EventTime)| {
                        let next = of(*step).filter(move |at| *at >= now);
                        next.filter(move |at| at.0 - entry.0 <= window.micros()).map(move |at| (entry, at))
                    };
                    ways.into_iter().flat_map(go).collect()
                }
            };
            Some(ways)
        });
        ways.is_some_and(|ways| !ways.is_empty())
    }

    proptest! {
        #[test]
        fn the_deepest_step_is_that_of_the_best_of_all_ways(
            hours in proptest::collection::vec((0_i64..400, 0_usize..6), 0..14),
            halves in proptest::collection::vec((0_i64..10, 0_usize..6), 0..14),
            entry_day in 0_i64..3,
        ) {
            let at = |unit: i64, (n, step): &(i64, usize)| (EventTime(n * unit * SECOND), STEPS[*step]);
            let done: Done =
                hours.iter().map(|one| at(3600, one)).chain(halves.iter().map(|one| at(600, one))).collect();
            let enters = |at: EventTime| at.0.div_euclid(DAY) == entry_day;
            let found = reached(&done, enters);
            for (window, deepest) in Window::ALL.into_iter().zip(found) {
                let expected = STEPS[1..].iter().copied().filter(|step| is_reached(&done, &enters, window, *step)).max();
                prop_assert_eq!(deepest, expected, "{:?}", window);
            }
        }
    }
}
