//! So many letters a second, in small steps. Pure: how long it has gone on is passed in.

use std::time::Duration;

/// How many steps a second has where the rate allows it.
const STEPS: u32 = 10;

/// What was done of a rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    rate: u32,
    done: u32,
}

impl Pace {
    /// So many a second, at least one.
    pub fn new(rate: u32) -> Self {
        Self { rate: rate.max(1), done: 0 }
    }

    /// How many may be done at once: what a tenth of a second allows.
    pub fn at_once(&self) -> usize {
        (self.rate / STEPS).max(1) as usize
    }

    /// Says that so many more were done.
    pub fn done(&mut self, letters: usize) {
        self.done = self.done.saturating_add(u32::try_from(letters).unwrap_or(u32::MAX));
    }

    /// How long to wait before the next ones, given how long it has gone on.
    pub fn wait(&self, gone_on: Duration) -> Duration {
        (Duration::from_secs(1).saturating_mul(self.done) / self.rate).saturating_sub(gone_on)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does letters at a rate, each step taking so long, and says how long it went on.
    fn gone_on(rate: u32, letters: usize, step: Duration) -> Duration {
        let mut pace = Pace::new(rate);
        let (mut left, mut gone_on) = (letters, Duration::ZERO);
        while left > 0 {
            let now = left.min(pace.at_once());
            gone_on += step;
            pace.done(now);
            left -= now;
            if left > 0 {
                gone_on += pace.wait(gone_on);
            }
        }
        gone_on
    }

    #[test]
    fn letters_are_spread_over_the_seconds_that_their_rate_asks_for() {
        let quick = Duration::from_millis(1);
        for (rate, letters, expected) in
            [(1, 3, 2_001), (2, 5, 2_001), (100, 250, 2_401), (1_000, 1_000, 901)]
        {
            let millis = gone_on(rate, letters, quick).as_millis();
            assert_eq!(millis, expected, "{letters} at {rate} a second");
        }
    }

    #[test]
    fn a_cluster_that_is_slower_than_the_rate_is_not_waited_for() {
        // 20 steps of 10 letters.
        assert_eq!(gone_on(100, 200, Duration::from_millis(300)), Duration::from_secs(6));
        let mut pace = Pace::new(10);
        pace.done(5);
        assert_eq!(pace.wait(Duration::from_millis(200)), Duration::from_millis(300));
        assert_eq!(pace.wait(Duration::from_secs(9)), Duration::ZERO);
    }

    #[test]
    fn a_step_is_a_tenth_of_a_second_and_at_least_one_letter() {
        let steps = [0, 1, 9, 10, 99, 100_000].map(|rate| Pace::new(rate).at_once());
        assert_eq!(steps, [1, 1, 1, 1, 9, 10_000]);
        assert_eq!(Pace::new(0).wait(Duration::ZERO), Duration::ZERO);
    }
}
