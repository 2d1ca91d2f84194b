//! The breaker: when the share of dead letters says that the fault is ours, a partition is held instead of drained.
//!
//! A wrong configuration or a broken deployment makes a dead letter of every record, thousands a second, and each has to
//! be redriven later. So the last records of each partition are remembered; where too many of them couldn't go on for a
//! reason that can be our own fault ([`is_ours`]), the next such record is not set aside: it stays where it is, readiness
//! says why, and it is tried again every minute with a small window ([`TRIAL`]). What a sender did wrong never counts, or
//! one sender could stop everybody.
//!
//! [`Breaker`] is pure. [`Guarded`] puts it around a stage's logic. What is remembered is lost with a restart, which is
//! how an operator lifts it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use commerce::{EventTime, Reason, time};
use stream::{Context, Failure, Poison, Processor, Record};

use crate::clock;
use crate::health::Part;
use crate::unit::Share;

/// How long a partition is held before the next trial.
pub const PAUSE: i64 = 60 * time::SECOND;

/// How many records a trial takes: when the share of bad ones reaches the setting within it, the partition is held anew.
pub const TRIAL: usize = 10;

/// When a partition is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Of the last records, this share.
    pub share: Share,
    /// So many records; 0 switches the breaker off.
    pub records: usize,
}

/// True for a reason that can be our own fault at this stage.
///
/// `unreadable_record`, `unknown_workspace`, `output_too_large` and `amount_overflow` are: a sender has passed the gateway,
/// so its key is known, and it writes no records. From the events on `unsupported_event` is as well: what the
/// normalizer wrote, a later stage must know. A field that is missing or wrong may be a mistake of ours too, but it
/// mostly is a sender's, and one sender's mistake must not stop the others.
pub fn is_ours(stage: &str, reason: &str) -> bool {
    match Reason::parse(reason) {
        Some(Reason::UnsupportedEvent) => stage != "normalizer",
        Some(reason) => reason.may_be_ours(),
        None => false,
    }
}

/// Why a partition is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// How many records were bad, the one at hand included.
    pub bad: usize,
    /// Of so many.
    pub of: usize,
    /// When it is tried again.
    pub until: EventTime,
    /// The reason of the record at hand.
    pub reason: String,
}

/// The records that were taken last, partition by partition.
#[derive(Debug)]
pub struct Breaker {
    settings: Settings,
    partitions: HashMap<i32, Window>,
}

#[derive(Debug, Default)]
struct Window {
    /// Offset, and whether it was bad; oldest first.
    seen: VecDeque<(i64, bool)>,
    held: Option<Hold>,
    trial: bool,
}

impl Window {
    fn bad(&self) -> usize {
        self.seen.iter().filter(|(_, bad)| *bad).count()
    }

    /// An aborted transaction comes again: what was seen of it doesn't count.
    fn forget_from(&mut self, offset: i64) {
        while self.seen.back().is_some_and(|(seen, _)| *seen >= offset) {
            self.seen.pop_back();
        }
    }
}

impl Breaker {
    /// One that has seen nothing.
    pub fn new(settings: Settings) -> Self {
        Self { settings, partitions: HashMap::new() }
    }

    /// Asks whether a record may be tried. It isn't seen by that.
    pub fn admit(&mut self, partition: i32, offset: i64, now: EventTime) -> Result<(), Hold> {
        let Some(window) = self.partitions.get_mut(&partition) else { return Ok(()) };
        window.forget_from(offset);
        match &window.held {
            Some(hold) if now < hold.until => Err(hold.clone()),
            Some(_) => {
                *window = Window { trial: true, ..Window::default() };
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Notes a record that went on, or was set aside for a fault that isn't ours.
    pub fn good(&mut self, partition: i32, offset: i64) {
        self.see(partition, offset, false);
    }

    /// Notes a record that is to be set aside for `reason`, which can be our fault. `Err`: it must not be, the partition
    /// is held from now on.
    pub fn bad(&mut self, partition: i32, offset: i64, reason: &str, now: EventTime) -> Result<(), Hold> {
        let settings = self.settings;
        let window = self.partitions.entry(partition).or_default();
        window.forget_from(offset);
        let (size, least) = if window.trial {
            // At least two, so that one record that is bad for good can't hold a partition for ever.
            let size = TRIAL.min(settings.records);
            (size, settings.share.of(size).max(2))
        } else {
            (settings.records, settings.share.of(settings.records).max(1))
        };
        let bad = window.bad() + 1;
        if bad < least {
            self.see(partition, offset, true);
            return Ok(());
        }
        let of = (window.seen.len() + 1).min(size.max(1));
        let hold = Hold { bad, of, until: EventTime(now.0.saturating_add(PAUSE)), reason: reason.to_owned() };
        *window = Window { held: Some(hold.clone()), ..Window::default() };
        Err(hold)
    }

    fn see(&mut self, partition: i32, offset: i64, bad: bool) {
        let window = self.partitions.entry(partition).or_default();
        window.forget_from(offset);
        window.seen.push_back((offset, bad));
        if window.trial && window.seen.len() >= TRIAL.min(self.settings.records) {
            window.trial = false;
        }
        // One place is kept free for the record that is judged next.
        while window.seen.len() >= self.settings.records.max(2) {
            window.seen.pop_front();
        }
    }
}

/// What is held at the moment, for readiness: shared by the workers of a stage.
#[derive(Clone)]
pub struct Held {
    stage: &'static str,
    partitions: Arc<Mutex<BTreeMap<i32, String>>>,
    part: Part,
}

impl Held {
    /// Nothing yet.
    pub fn new(stage: &'static str, part: Part) -> Self {
        part.ready("takes all records");
        Self { stage, partitions: Arc::default(), part }
    }

    /// Forgets the partitions that aren't this copy's any more; gives how many are held.
    pub fn retain(&self, is_ours: impl Fn(i32) -> bool) -> usize {
        self.change(|held| held.retain(|partition, _| is_ours(*partition)))
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<i32, String>)) -> usize {
        let mut held = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.len();
        change(&mut held);
        match held.values().next() {
            Some(message) => self.part.not_ready(message.as_str()),
            None if before > 0 => self.part.ready("takes all records"),
            None => {}
        }
        held.len()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// A stage's logic with the breaker around it.
pub struct Guarded {
    inner: Box<dyn Processor>,
    breaker: Breaker,
    held: Held,
    /// What this worker has told `held`, so that a record that goes on costs no lock.
    told: HashSet<i32>,
}

impl Guarded {
    /// Puts the breaker around it, unless it is switched off.
    pub fn around(inner: Box<dyn Processor>, settings: Settings, held: &Held) -> Box<dyn Processor> {
        if settings.records == 0 {
            return inner;
        }
        Box::new(Self { inner, breaker: Breaker::new(settings), held: held.clone(), told: HashSet::new() })
    }

    fn hold(&mut self, record: &Record<'_>, hold: &Hold) -> Failure {
        let (stage, topic, partition) = (self.held.stage, record.topic, record.partition);
        let Hold { bad, of, until, reason } = hold;
        let message = format!(
            "the breaker holds {topic}-{partition} at offset {}: {bad} of its last {of} records couldn't go on, and \
             {reason} can be our own fault (`tillstream explain {reason}`); the next try is at {}, a restart or \
             {stage}.breaker_records = 0 lifts it",
            record.offset,
            until.to_rfc3339(),
        );
        self.held.change(|held| {
            held.insert(partition, message.clone());
        });
        self.told.insert(partition);
        Failure::Transient(message)
    }

    fn let_go(&mut self, partition: i32) {
        if self.told.remove(&partition) {
            self.held.change(|held| {
                held.remove(&partition);
            });
        }
    }
}

impl Processor for Guarded {
    fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let (partition, offset) = (record.partition, record.offset);
        if let Err(hold) = self.breaker.admit(partition, offset, clock::now().as_event()) {
            return Err(self.hold(record, &hold));
        }
        let result = self.inner.process(record, ctx);
        if result.is_ok() {
            self.breaker.good(partition, offset);
            self.let_go(partition);
        }
        result
    }

    fn publish(&mut self, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.inner.publish(ctx)
    }

    fn wakes_at(&self, ctx: &Context<'_>) -> Result<Option<i64>, Failure> {
        self.inner.wakes_at(ctx)
    }

    fn wake(&mut self, now: i64, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.inner.wake(now, ctx)
    }

    fn dead_letter(
        &mut self,
        record: &Record<'_>,
        poison: &Poison,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (partition, offset) = (record.partition, record.offset);
        // A letter that is written again because its topic can't take all of it was judged before.
        if !record.is_cut() {
            if is_ours(self.held.stage, poison.reason) {
                let now = clock::now().as_event();
                if let Err(hold) = self.breaker.bad(partition, offset, poison.reason, now) {
                    return Err(self.hold(record, &hold));
                }
            } else {
                self.breaker.good(partition, offset);
                self.let_go(partition);
            }
        }
        self.inner.dead_letter(record, poison, ctx)
    }
}

#[cfg(test)]
mod tests {
    use stream::{Harness, Output};

    use super::*;
    use crate::{Readiness, Shutdown};

    const START: EventTime = EventTime(1_767_225_600_000_000);
    const HALF_OF_20: Settings = Settings { share: Share::per_mille(500), records: 20 };

    fn after(seconds: i64) -> EventTime {
        EventTime(START.0 + seconds * time::SECOND)
    }

    /// The first offset of a run of bad records that isn't let through.
    fn run_of_bad(breaker: &mut Breaker, from: i64, now: EventTime) -> (i64, Hold) {
        for offset in from.. {
            if let Err(hold) = breaker.admit(0, offset, now) {
                return (offset, hold);
            }
            if let Err(hold) = breaker.bad(0, offset, "unknown_workspace", now) {
                return (offset, hold);
            }
        }
        unreachable!()
    }

    #[test]
    fn half_of_the_last_records_hold_the_partition_and_the_record_that_tips_it_is_not_set_aside() {
        let mut breaker = Breaker::new(HALF_OF_20);
        let (offset, hold) = run_of_bad(&mut breaker, 0, START);
        assert_eq!((offset, hold.bad, hold.until), (9, 10, after(60)));
        assert_eq!(breaker.admit(0, 9, after(59)), Err(hold));
        // Another partition has nothing to do with it.
        assert_eq!(breaker.admit(1, 9, after(59)), Ok(()));
    }

    #[test]
    fn good_records_push_the_bad_ones_out_of_the_window() {
        let mut breaker = Breaker::new(HALF_OF_20);
        for offset in 0..10_000 {
            if offset % 3 == 0 {
                assert_eq!(breaker.bad(0, offset, "unknown_workspace", START), Ok(()), "{offset}");
            } else {
                breaker.good(0, offset);
            }
        }
        // Every second one is half.
        let mut held = None;
        for offset in 10_000..10_100 {
            if offset % 2 == 0 {
                breaker.good(0, offset);
            } else if let Err(hold) = breaker.bad(0, offset, "unknown_workspace", START) {
                held = Some((offset, hold));
                break;
            }
        }
        let (offset, hold) = held.unwrap();
        assert!(offset < 10_020, "{offset}");
        assert_eq!((hold.bad, hold.of), (10, 20));
    }

    #[test]
    fn each_minute_a_few_are_tried_and_good_ones_end_it() {
        let mut breaker = Breaker::new(HALF_OF_20);
        let (at, _) = run_of_bad(&mut breaker, 0, START);
        // Still broken: four of them are set aside, the fifth holds again.
        let (next, hold) = run_of_bad(&mut breaker, at, after(60));
        assert_eq!((next - at, hold.bad, hold.until), (4, 5, after(120)));
        // Mended: a trial's records go through, and then it takes the full window again.
        for offset in next..next + 10 {
            assert_eq!(breaker.admit(0, offset, after(120)), Ok(()));
            breaker.good(0, offset);
        }
        let (last, _) = run_of_bad(&mut breaker, next + 10, after(121));
        assert_eq!(last - (next + 10), 9);
    }

    #[test]
    fn a_record_that_is_done_again_counts_once() {
        let mut breaker = Breaker::new(HALF_OF_20);
        for _ in 0..50 {
            for offset in 0..5 {
                assert_eq!(breaker.admit(0, offset, START), Ok(()));
                assert_eq!(breaker.bad(0, offset, "unknown_workspace", START), Ok(()));
            }
        }
        assert_eq!(breaker.partitions[&0].seen.len(), 5);
    }

    #[test]
    fn a_small_share_still_lets_one_bad_record_through_a_trial() {
        let mut breaker = Breaker::new(Settings { share: Share::per_mille(10), records: 100 });
        let (at, _) = run_of_bad(&mut breaker, 0, START);
        assert_eq!(at, 0);
        let (next, _) = run_of_bad(&mut breaker, at, after(60));
        assert_eq!(next, 1);
    }

    #[test]
    fn only_what_can_be_our_fault_counts() {
        let of = |stage: &'static str| {
            let codes = Reason::ALL.iter().map(|reason| reason.code());
            codes.filter(move |code| is_ours(stage, code)).collect::<Vec<_>>()
        };
        let always = ["unknown_workspace", "unreadable_record", "output_too_large", "amount_overflow"];
        assert_eq!(of("normalizer"), always);
        assert_eq!(of("state").len(), always.len() + 1);
        assert!(is_ours("state", "unsupported_event") && !is_ours("state", "idempotency_body_mismatch"));
        assert!(!is_ours("normalizer", "malformed_json") && !is_ours("normalizer", "no such reason"));
    }

    /// Makes a dead letter of each record, for the reason that the record's value names.
    struct Broken;

    impl Processor for Broken {
        fn process(&mut self, record: &Record<'_>, _: &mut Context<'_>) -> Result<(), Failure> {
            let reason = match record.value {
                Some(b"ours") => "unknown_workspace",
                Some(b"theirs") => "malformed_json",
                _ => return Ok(()),
            };
            Err(Failure::Poison(Poison { reason, field: None, message: String::new() }))
        }

        fn dead_letter(
            &mut self,
            _: &Record<'_>,
            poison: &Poison,
            ctx: &mut Context<'_>,
        ) -> Result<(), Failure> {
            ctx.emit(0, None, poison.reason.as_bytes(), Some(b"letter"))
        }
    }

    /// The trait object as a processor, for the harness.
    struct Boxed(Box<dyn Processor>);

    impl Processor for Boxed {
        fn process(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Failure> {
            self.0.process(record, ctx)
        }

        fn dead_letter(&mut self, r: &Record<'_>, p: &Poison, ctx: &mut Context<'_>) -> Result<(), Failure> {
            self.0.dead_letter(r, p, ctx)
        }
    }

    #[test]
    fn a_stage_whose_records_all_fail_for_our_fault_waits_and_says_so() {
        let readiness = Readiness::new(Shutdown::new());
        let held = Held::new("normalizer", readiness.part("breaker"));
        let guarded = |settings| {
            let outputs = vec![Output { topic: "letters".to_owned(), max_message_bytes: 1_000 }];
            Harness::new(Boxed(Guarded::around(Box::new(Broken), settings, &held)), &[], outputs)
        };
        let mut harness = guarded(HALF_OF_20);
        let mut letters = 0;
        // However many a sender sends wrongly, nothing is held.
        for offset in 0..100 {
            let record = Record::new("commerce.raw.v1", 3, offset, b"k", b"theirs");
            letters += harness.process(&record).unwrap().len();
        }
        assert_eq!((letters, readiness.is_ready()), (100, true));
        let failure = (100..200)
            .find_map(|offset| {
                let record = Record::new("commerce.raw.v1", 3, offset, b"k", b"ours");
                harness.process(&record).map(|emitted| letters += emitted.len()).err()
            })
            .unwrap();
        assert_eq!(letters, 109);
        let said = failure.to_string();
        assert!(matches!(failure, Failure::Transient(_)), "{said}");
        assert!(said.contains("commerce.raw.v1-3 at offset 109: 10 of its last 20"), "{said}");
        assert!(said.contains("tillstream explain unknown_workspace"), "{said}");
        assert_eq!(readiness.missing(), [format!("breaker: {said}")]);
        // Even a good record waits until the next try.
        let good = Record::new("commerce.raw.v1", 3, 109, b"k", b"good");
        assert!(matches!(harness.process(&good), Err(Failure::Transient(_))));
        // Its partition goes to another copy.
        assert_eq!(held.retain(|partition| partition != 3), 0);
        assert!(readiness.is_ready());
        // Switched off, it drains.
        let mut off = guarded(Settings { records: 0, ..HALF_OF_20 });
        for offset in 0..500 {
            off.process(&Record::new("commerce.raw.v1", 3, offset, b"k", b"ours")).unwrap();
        }
    }
}
