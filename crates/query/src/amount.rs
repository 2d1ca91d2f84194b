//! Amounts, averages and percentages as JSON numbers, printed from integers.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use commerce::Currency;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A sum in minor units. Wider than one amount, so that no range of days overflows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount {
    /// Minor units of the currency.
    pub minor: i128,
    /// Digits after the point.
    pub exponent: u32,
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.minor, self.exponent, serializer)
    }
}

/// A share of a whole in percent with one decimal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Percent {
    tenths: i128,
}

impl Percent {
    /// `part` of `whole`, half away from zero. Of nothing, everything is 0 (§6.0.3).
    pub fn of(part: i128, whole: i128) -> Self {
        Self { tenths: divide(part.saturating_mul(1000), whole) }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        number(self.tenths, 1, serializer)
    }
}

/// Digits after the point of every currency that hasn't two, for pages that are given minor units.
pub fn digits() -> &'static BTreeMap<Currency, u32> {
    static DIGITS: OnceLock<BTreeMap<Currency, u32>> = OnceLock::new();
    DIGITS.get_or_init(|| {
        let letters = || 'A'..='Z';
        let codes = letters().flat_map(|a| letters().map(move |b| (a, b)));
        let codes = codes.flat_map(|(a, b)| letters().map(move |c| String::from_iter([a, b, c])));
        let known = codes.filter_map(|code| Currency::parse(&code).ok());
        known.map(|currency| (currency, currency.exponent())).filter(|(_, digits)| *digits != 2).collect()
    })
}

/// `n / d` to the nearest integer, half away from zero; 0 for a divisor of 0.
pub fn divide(n: i128, d: i128) -> i128 {
    if d == 0 {
        return 0;
    }
    let (quotient, rest) = (n / d, n % d);
    // |rest| < |d|, so the comparison by difference can't overflow where doubling could.
    if rest.unsigned_abs() >= d.unsigned_abs() - rest.unsigned_abs() {
        quotient + if (n < 0) == (d < 0) { 1 } else { -1 }
    } else {
        quotient
    }
}

/// The text of `value` units of which `10^digits` make one.
pub fn decimal(value: i128, digits: u32) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let magnitude = value.unsigned_abs();
    match 10_u128.checked_pow(digits) {
        None | Some(1) => format!("{sign}{magnitude}"),
        Some(unit) => {
            format!("{sign}{}.{:0width$}", magnitude / unit, magnitude % unit, width = digits as usize)
        }
    }
}

fn number<S: Serializer>(value: i128, digits: u32, serializer: S) -> Result<S::Ok, S::Error> {
    RawValue::from_string(decimal(value, digits)).map_err(S::Error::custom)?.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn currencies_without_two_digits_are_named_with_theirs() {
        let of = |code: &str| digits().get(&Currency::parse(code).unwrap()).copied();
        assert_eq!((of("JPY"), of("KWD"), of("CLF"), of("USD")), (Some(0), Some(3), Some(4), None));
    }

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn an_amount_has_the_digits_of_its_currency() {
        assert_eq!(json(Amount { minor: 1234, exponent: 2 }), "12.34");
        assert_eq!(json(Amount { minor: -5, exponent: 2 }), "-0.05");
        assert_eq!(json(Amount { minor: 0, exponent: 2 }), "0.00");
        assert_eq!(json(Amount { minor: 5000, exponent: 0 }), "5000");
        assert_eq!(json(Amount { minor: 1234, exponent: 3 }), "1.234");
        assert_eq!(json(Amount { minor: i128::MIN, exponent: 0 }), i128::MIN.to_string());
    }

    #[test]
    fn a_percentage_has_one_decimal_and_rounds_half_away_from_zero() {
        // 520 of 758 carts: the formula, not the sample (D-ANA-8).
        assert_eq!(json(Percent::of(520, 758)), "68.6");
        assert_eq!(json(Percent::of(1, 2000)), "0.1");
        assert_eq!(json(Percent::of(-1, 2000)), "-0.1");
        assert_eq!(json(Percent::of(49, 100_000)), "0.0");
        assert_eq!(json(Percent::of(1, 1)), "100.0");
        assert_eq!(json(Percent::of(7, 0)), "0.0");
    }

    #[test]
    fn a_quotient_rounds_half_away_from_zero() {
        for (n, d, expected) in
            [(5, 2, 3), (-5, 2, -3), (5, -2, -3), (4, 3, 1), (5, 3, 2), (1, 0, 0), (0, 5, 0)]
        {
            assert_eq!(divide(n, d), expected, "{n}/{d}");
        }
        assert_eq!(divide(i128::MAX, 1), i128::MAX);
        assert_eq!(divide(i128::MIN, 2), i128::MIN / 2);
    }

    proptest! {
        #[test]
        fn a_quotient_is_never_more_than_half_off(n in -1_000_000_000_i128..1_000_000_000, d in 1_i128..100_000) {
            let off = (divide(n, d) * d - n).abs() * 2;
            prop_assert!(off <= d);
        }

        #[test]
        fn the_text_of_an_amount_reads_back(minor in i64::MIN..i64::MAX, digits in 0_u32..4) {
            let text = decimal(i128::from(minor), digits);
            prop_assert_eq!(text.replace('.', "").parse::<i128>().unwrap(), i128::from(minor));
        }
    }
}
