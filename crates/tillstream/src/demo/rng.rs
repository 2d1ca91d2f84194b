//! The demo's only source of chance: splitmix64, so that one seed makes one shop on every machine.

/// A generator of pseudo-random numbers.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// Starts a sequence. Near seeds give unrelated sequences.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed ^ 0x5EED_7111_57BE_A700)
    }

    /// The next 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`; 0 for `n` of 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        let wide = (u128::from(self.next()) * u128::from(n)) >> 64;
        u64::try_from(wide).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high.saturating_sub(low)).unwrap_or(0);
        low.saturating_add_unsigned(self.below(span.saturating_add(1)))
    }

    /// True in `per_mille` of a thousand cases.
    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < u64::from(per_mille)
    }

    /// An index below `n`, small ones more often: some shoppers buy a lot.
    pub(super) fn skewed(&mut self, n: usize) -> usize {
        let least = (0..3).map(|_| self.below(n as u64)).min();
        least.and_then(|index| usize::try_from(index).ok()).unwrap_or(0)
    }

    /// One of `choices`; the default if there is none.
    pub(super) fn pick<T: Copy + Default>(&mut self, choices: &[T]) -> T {
        self.pick_from(choices).unwrap_or_default()
    }

    /// One of `choices`, if there is any.
    pub(super) fn pick_from<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices.get(index).copied()
    }

    /// 128 bits in the form of a UUID, as providers name deliveries.
    pub(super) fn uuid(&mut self) -> String {
        uuid_text(self.bits())
    }

    /// 128 bits.
    pub(super) fn bits(&mut self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }
}

/// Writes 128 bits as a version-4 UUID.
pub(crate) fn uuid_text(bits: u128) -> String {
    let bits = (bits & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

/// Writes 128 bits as a ULID.
pub(crate) fn ulid(bits: u128) -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |place: u32| {
        let index = usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0);
        char::from(DIGITS.get(index).copied().unwrap_or(b'0'))
    };
    (0..26).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ulid_has_26_digits_of_which_the_first_is_at_most_7() {
        assert_eq!(ulid(u128::MAX), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
        assert_eq!(ulid(33), "00000000000000000000000011");
    }

    #[test]
    fn one_seed_is_one_sequence() {
        let take = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next(), rng.next(), rng.next()]
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut rng = Rng::new(7);
        for _ in 0..10_000 {
            assert!((-3..=4).contains(&rng.between(-3, 4)));
            assert!(rng.skewed(10) < 10);
            assert!(rng.below(5) < 5);
        }
        assert_eq!(rng.below(0), 0);
        assert!((0..10_000).filter(|_| rng.chance(50)).count().abs_diff(500) < 120);
    }

    #[test]
    fn a_delivery_is_named_by_a_valid_uuid() {
        let text = uuid_text(u128::MAX);
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
