//! What requests use up, in memory: rates per credential, monthly quotas, and how often an actor came lately.
//!
//! Each copy of the gateway counts for itself, so with several copies a rate is that of one copy. The quota alone is
//! told from outside what the pipeline has counted ([`Quotas::settle`]); to that it adds what it let in since.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use commerce::time::Zone;
use commerce::{Mark, ReceivedTime, WorkspaceId, time};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use moka::sync::Cache;
use service::clock;
use sources::Meter;
use sources::meter::Velocity;

/// Actors that are remembered at once; beyond it the one that was longest away is forgotten.
const MOST_ACTORS: u64 = 200_000;
const HOUR: i64 = 3_600 * time::SECOND;
const MINUTE: i64 = 60 * time::SECOND;

/// All of it.
pub(crate) struct Counts {
    limiters: RwLock<HashMap<NonZeroU32, Arc<DefaultKeyedRateLimiter<Mark>>>>,
    actors: Cache<Mark, Arc<Mutex<Actor>>>,
    pub(crate) quotas: Quotas,
    clock: DefaultClock,
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            limiters: RwLock::default(),
            actors: Cache::builder()
                .max_capacity(MOST_ACTORS)
                .time_to_idle(Duration::from_secs(3_600))
                .build(),
            quotas: Quotas::default(),
            clock: DefaultClock::default(),
        }
    }

    fn limiter(&self, per_second: NonZeroU32) -> Arc<DefaultKeyedRateLimiter<Mark>> {
        let known = self.limiters.read().unwrap_or_else(PoisonError::into_inner).get(&per_second).cloned();
        known.unwrap_or_else(|| {
            let mut limiters = self.limiters.write().unwrap_or_else(PoisonError::into_inner);
            let new = || Arc::new(RateLimiter::keyed(Quota::per_second(per_second)));
            Arc::clone(limiters.entry(per_second).or_insert_with(new))
        })
    }

    /// Forgets credentials that haven't come for a while.
    pub(crate) fn tidy(&self) {
        for limiter in self.limiters.read().unwrap_or_else(PoisonError::into_inner).values() {
            limiter.retain_recent();
        }
    }
}

impl Meter for Counts {
    fn pace(&self, credential: Mark, per_second: u32) -> Result<(), u32> {
        // A limit of nothing is a plan that has ended: try again later.
        let Some(per_second) = NonZeroU32::new(per_second) else { return Err(3_600) };
        self.limiter(per_second).check_key(&credential).map_err(|early| {
            let wait = early.wait_time_from(self.clock.now());
            u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1)
        })
    }

    fn take(&self, workspace: &WorkspaceId, events: u64, limit: u64, at: ReceivedTime) -> u64 {
        self.quotas.take(workspace, events, limit, at)
    }

    fn velocity(&self, workspace: &WorkspaceId, actor: Mark, events: u32, purchases: u32) -> Velocity {
        let key = Mark::of(&[workspace.as_str().as_bytes(), &actor.0.to_be_bytes()]);
        let actor = self.actors.get_with(key, Arc::default);
        let mut actor = actor.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now().0;
        Velocity {
            events_per_minute: actor.events.add(now, MINUTE, events),
            purchases_per_hour: actor.purchases.add(now, HOUR, purchases),
        }
    }
}

/// How often one actor came lately.
#[derive(Default)]
struct Actor {
    events: Lately,
    purchases: Lately,
}

/// A count over a span that ends now, in [`Lately::PARTS`] parts: what it says may be a part too much, never too little.
#[derive(Default)]
struct Lately {
    parts: [u32; Self::PARTS + 1],
    /// Which part of all time the last one is.
    newest: i64,
}

impl Lately {
    const PARTS: usize = 6;

    fn add(&mut self, now: i64, span: i64, count: u32) -> u32 {
        let parts = self.parts.len() as i64;
        let part = now.div_euclid(span / Self::PARTS as i64);
        for gone in (self.newest + 1).max(part - parts + 1)..=part {
            self.parts[gone.rem_euclid(parts) as usize] = 0;
        }
        self.newest = self.newest.max(part);
        let slot = &mut self.parts[self.newest.rem_euclid(parts) as usize];
        *slot = slot.saturating_add(count);
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// Events of the calendar month (UTC), by workspace.
#[derive(Default)]
pub(crate) struct Quotas(Mutex<HashMap<WorkspaceId, Usage>>);

#[derive(Default)]
struct Usage {
    /// `2026-01`.
    month: String,
    /// What the pipeline has counted in it.
    counted: u64,
    /// What was let in and may not be among that yet: events by their arrival.
    since: Vec<(ReceivedTime, u64)>,
    /// The sum of those.
    coming: u64,
}

impl Quotas {
    /// For so long what was let in is remembered, if the pipeline doesn't say that it is counted. It was a
    /// duplicate then, which uses nothing up, or the pipeline is further behind than that.
    const REMEMBERED: i64 = MINUTE;

    fn take(&self, workspace: &WorkspaceId, events: u64, limit: u64, now: ReceivedTime) -> u64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = all.entry(workspace.clone()).or_default();
        let month = month_of(now);
        if usage.month != month {
            *usage = Usage { month, ..Usage::default() };
        }
        let taken = events.min(limit.saturating_sub(usage.counted.saturating_add(usage.coming)));
        if taken > 0 {
            usage.since.push((now, taken));
            usage.coming = usage.coming.saturating_add(taken);
        }
        taken
    }

    /// Takes over what the pipeline has counted up to the arrival `as_of`. What was let in later is still on its way and
    /// goes on counting here; so the count lags by the pipeline's own lag, and by that of other copies.
    pub(crate) fn settle(
        &self,
        workspace: &WorkspaceId,
        counted: Counted,
        as_of: Option<ReceivedTime>,
        now: ReceivedTime,
    ) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = all.entry(workspace.clone()).or_default();
        let Counted { month, events } = counted;
        if usage.month != month {
            *usage = Usage { month, ..Usage::default() };
        }
        usage.counted = events;
        let forgotten = ReceivedTime(now.0.saturating_sub(Self::REMEMBERED));
        let settled = as_of.map_or(forgotten, |as_of| as_of.max(forgotten));
        usage.since.retain(|(arrived, _)| *arrived > settled);
        usage.coming = usage.since.iter().fold(0, |sum, (_, events)| sum.saturating_add(*events));
    }
}

/// The events of a month as the pipeline counts them.
pub(crate) struct Counted {
    /// `2026-01`.
    pub(crate) month: String,
    pub(crate) events: u64,
}

/// The calendar month (UTC) of an arrival: `2026-01`.
pub(crate) fn month_of(at: ReceivedTime) -> String {
    Zone::utc().day_of(at.as_event()).to_string().chars().take(7).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> WorkspaceId {
        WorkspaceId::try_new("acme").unwrap()
    }

    #[test]
    fn what_came_longer_ago_than_the_span_is_forgotten() {
        let mut lately = Lately::default();
        let start = 1_790_000_000 * time::SECOND;
        assert_eq!(lately.add(start, MINUTE, 5), 5);
        assert_eq!(lately.add(start + 59 * time::SECOND, MINUTE, 1), 6);
        assert_eq!(lately.add(start + 75 * time::SECOND, MINUTE, 1), 2);
        assert_eq!(lately.add(start + DAYS, MINUTE, 1), 1);
        // A clock that steps back loses nothing.
        assert_eq!(lately.add(start, MINUTE, 1), 2);
    }

    const DAYS: i64 = 9 * time::DAY;

    #[test]
    fn a_quota_ends_with_its_limit_and_begins_anew_with_the_month() {
        let (quotas, workspace) = (Quotas::default(), workspace());
        let march = time::parse_received("2026-03-31T23:59:59Z").unwrap();
        let april = time::parse_received("2026-04-01T00:00:00Z").unwrap();
        assert_eq!(quotas.take(&workspace, 80, 100, march), 80);
        assert_eq!(quotas.take(&workspace, 80, 100, march), 20);
        assert_eq!(quotas.take(&workspace, 1, 100, march), 0);
        assert_eq!(quotas.take(&workspace, 1, 100, april), 1);
    }

    #[test]
    fn what_is_counted_takes_the_place_of_what_was_let_in_before_and_what_came_after_still_counts() {
        let (quotas, workspace) = (Quotas::default(), workspace());
        let at = |second: i64| ReceivedTime((1_790_000_000 + second) * time::SECOND);
        let settle = |events, as_of: Option<i64>, now| {
            let counted = Counted { month: month_of(at(now)), events };
            quotas.settle(&workspace, counted, as_of.map(at), at(now));
        };
        assert_eq!(quotas.take(&workspace, 30, 100, at(0)), 30);
        assert_eq!(quotas.take(&workspace, 40, 100, at(4)), 40);
        // The first 30 are counted, ten of them as duplicates; the 40 are on their way.
        settle(20, Some(2), 5);
        assert_eq!(quotas.take(&workspace, 100, 100, at(6)), 40);
        settle(100, Some(6), 10);
        assert_eq!(quotas.take(&workspace, 1, 100, at(11)), 0);
    }

    #[test]
    fn duplicates_that_nothing_follows_give_their_room_back() {
        let (quotas, workspace) = (Quotas::default(), workspace());
        let at = |second: i64| ReceivedTime((1_790_000_000 + second) * time::SECOND);
        let settle = |now| {
            let counted = Counted { month: month_of(at(now)), events: 10 };
            quotas.settle(&workspace, counted, Some(at(0)), at(now));
        };
        settle(1);
        assert_eq!(quotas.take(&workspace, 200, 100, at(1)), 90);
        settle(30);
        assert_eq!(quotas.take(&workspace, 1, 100, at(30)), 0, "they may be on their way");
        settle(62);
        assert_eq!(quotas.take(&workspace, 200, 100, at(62)), 90);
    }

    #[test]
    fn a_rate_is_that_of_each_credential() {
        let counts = Counts::new();
        let (one, other) = (Mark(1), Mark(2));
        assert!((0..10).all(|_| counts.pace(one, 10).is_ok()));
        assert_eq!(counts.pace(one, 10), Err(1));
        assert_eq!(counts.pace(other, 10), Ok(()));
        assert!(counts.pace(other, 0).is_err());
    }
}
