//! Money: an integer number of minor units and an ISO 4217 code. No float comes near it.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The greatest amount, in minor units, that is believed to be one: beyond it a number is a fault of the sender.
pub const GREATEST_MINOR: i64 = 1_000_000_000_000_000;

/// An ISO 4217 currency code that is known to exist.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

impl Currency {
    /// US dollar, the default base currency.
    pub const USD: Self = Self(*b"USD");

    /// Reads a code: trimmed, upper-cased, three letters, known to ISO 4217.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        let text = text.trim();
        let bytes: [u8; 3] =
            text.as_bytes().try_into().map_err(|_| MoneyError::UnknownCurrency(shorten(text)))?;
        let code = bytes.map(|b| b.to_ascii_uppercase());
        match code {
            // The common ones skip the table.
            [b'U', b'S', b'D'] | [b'E', b'U', b'R'] | [b'G', b'B', b'P'] | [b'J', b'P', b'Y'] => {
                Ok(Self(code))
            }
            _ => {
                let known = std::str::from_utf8(&code).ok().and_then(iso_currency::Currency::from_code);
                known.map(|_| Self(code)).ok_or_else(|| MoneyError::UnknownCurrency(shorten(text)))
            }
        }
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// The number of digits after the decimal point in ISO 4217 (USD 2, JPY 0, KWD 3).
    pub fn exponent(self) -> u32 {
        match &self.0 {
            b"USD" | b"EUR" | b"GBP" => 2,
            b"JPY" => 0,
            _ => iso_currency::Currency::from_code(self.as_str())
                .and_then(iso_currency::Currency::exponent)
                .map_or(2, u32::from),
        }
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::parse(s)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Code;
        impl de::Visitor<'_> for Code {
            type Value = Currency;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an ISO 4217 currency code")
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Currency, E> {
                Currency::parse(v).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Code)
    }
}

/// An amount in minor units of its currency.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, PartialOrd, Ord)]
pub struct Money {
    /// Minor units (cents of USD, yen of JPY).
    pub minor: i64,
    /// The currency that the minor units belong to.
    pub currency: Currency,
}

/// An amount that was read, and whether reading it had to round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// The amount.
    pub money: Money,
    /// True when non-zero digits beyond the currency's exponent were rounded (flag `amount_rounded`).
    pub rounded: bool,
}

impl Money {
    /// An amount of nothing in `currency`.
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// An amount of `minor` units.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads a decimal text in major units (`"30.49"`), exactly as it was written.
    ///
    /// More digits than the currency has: trailing zeros are dropped silently, anything else rounds half away from
    /// zero and says so. Above [`GREATEST_MINOR`], or not a number: an error.
    pub fn parse_major(text: &str, currency: Currency) -> Result<Read, MoneyError> {
        let text = text.trim();
        if let Some(minor) = plain(text.as_bytes(), currency.exponent()) {
            return Self::checked(minor, currency).map(|money| Read { money, rounded: false });
        }
        let bad = || MoneyError::NotANumber(shorten(text));
        if text.is_empty() || text.len() > 64 {
            return Err(bad());
        }
        let value = if text.bytes().any(|b| b == b'e' || b == b'E') {
            Decimal::from_scientific(text).map_err(|_| bad())?
        } else if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-' || b == b'+') {
            Decimal::from_str(text).map_err(|_| bad())?
        } else {
            return Err(bad());
        };
        let exponent = currency.exponent();
        let rounded = value
            .round_dp_with_strategy(exponent, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
            .normalize();
        let scaled = rounded
            .checked_mul(Decimal::from(10_i64.pow(exponent)))
            .and_then(|d| d.to_i64())
            .ok_or_else(|| MoneyError::TooLarge(shorten(text)))?;
        let money = Self::checked(scaled, currency)?;
        Ok(Read { money, rounded: rounded != value })
    }

    /// An amount in minor units from outside: refused above [`GREATEST_MINOR`].
    pub fn checked(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if minor.unsigned_abs() > GREATEST_MINOR.unsigned_abs() {
            return Err(MoneyError::TooLarge(minor.to_string()));
        }
        Ok(Self { minor, currency })
    }

    /// The amount in major units with all digits of the currency: `30.49`, `3049` for yen.
    pub fn to_major(self) -> String {
        major(self.minor, self.currency.exponent())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.to_major(), self.currency)
    }
}

/// Prints `minor` units with `exponent` digits after the point, from the integer alone.
pub fn major(minor: i64, exponent: u32) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let magnitude = minor.unsigned_abs();
    if exponent == 0 {
        return format!("{sign}{magnitude}");
    }
    let unit = 10_u64.pow(exponent);
    format!("{sign}{}.{:0width$}", magnitude / unit, magnitude % unit, width = exponent as usize)
}

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a decimal number.
    #[error("'{0}' is not a decimal amount")]
    NotANumber(String),
    /// Beyond [`GREATEST_MINOR`].
    #[error("{0} is beyond 10^15 minor units")]
    TooLarge(String),
    /// Not a code of ISO 4217.
    #[error("'{0}' is not an ISO 4217 currency code")]
    UnknownCurrency(String),
}

/// The form that nearly every amount has: digits, perhaps a point and no more digits than the currency knows.
fn plain(text: &[u8], exponent: u32) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 || !digits[0].is_ascii_digit() {
        return None;
    }
    let (mut value, mut fraction) = (0_i64, None::<u32>);
    for &b in digits {
        match b {
            b'0'..=b'9' => {
                if let Some(n) = &mut fraction {
                    *n += 1;
                    if *n > exponent {
                        if b == b'0' {
                            continue;
                        }
                        return None;
                    }
                }
                value = value.checked_mul(10)?.checked_add(i64::from(b - b'0'))?;
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            _ => return None,
        }
    }
    for _ in fraction.unwrap_or(0).min(exponent)..exponent {
        value = value.checked_mul(10)?;
    }
    Some(if negative { -value } else { value })
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(text: &str) -> Result<Read, MoneyError> {
        Money::parse_major(text, Currency::USD)
    }

    #[test]
    fn a_decimal_string_becomes_exact_minor_units() {
        assert_eq!(usd("30.49").unwrap().money.minor, 3049);
        assert_eq!(usd("23.4").unwrap().money.minor, 2340);
        assert_eq!(usd("-0.05").unwrap().money.minor, -5);
        assert_eq!(usd("0").unwrap().money.minor, 0);
        let jpy = Currency::parse("jpy").unwrap();
        assert_eq!(
            Money::parse_major("1999.00", jpy).unwrap(),
            Read { money: Money::new(1999, jpy), rounded: false }
        );
        let kwd = Currency::parse("KWD").unwrap();
        assert_eq!(Money::parse_major("1.234", kwd).unwrap().money.minor, 1234);
    }

    #[test]
    fn more_digits_than_the_currency_has_round_half_away_from_zero_and_say_so() {
        assert_eq!(usd("1.005").unwrap(), Read { money: Money::new(101, Currency::USD), rounded: true });
        assert_eq!(usd("-1.005").unwrap().money.minor, -101);
        assert_eq!(usd("1.0049").unwrap().money.minor, 100);
        assert!(!usd("1.5000000").unwrap().rounded);
        assert_eq!(usd("1.5e2").unwrap().money.minor, 15000);
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for text in ["", " ", ".", "-", "abc", "1,5", "1.2.3", "NaN", "0x10", "1e400", &"9".repeat(300)] {
            assert!(usd(text).is_err(), "{text}");
        }
        assert!(matches!(usd("10000000000000.01"), Err(MoneyError::TooLarge(_))));
        assert!(usd("10000000000000.00").is_ok());
    }

    #[test]
    fn a_currency_must_exist() {
        assert_eq!(Currency::parse(" eur ").unwrap().as_str(), "EUR");
        for text in ["", "US", "USDX", "ABC", "ÄÖÜ", "12a"] {
            assert!(Currency::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_printing_and_reading(minor in -GREATEST_MINOR..=GREATEST_MINOR, code in "USD|JPY|KWD|EUR") {
            let money = Money::new(minor, Currency::parse(&code).unwrap());
            prop_assert_eq!(Money::parse_major(&money.to_major(), money.currency).unwrap(), Read { money, rounded: false });
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = usd(&text);
        }
    }
}
