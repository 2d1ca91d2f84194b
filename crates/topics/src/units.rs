//! Durations and sizes as people write them: `30d`, `11MiB`.

use std::fmt;
use std::time::Duration;

const DURATIONS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZES: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// How long records are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retention {
    /// At least this long; then the segment that they are in may go.
    For(Duration),
    /// Never deleted.
    Forever,
}

impl Retention {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "forever" { Ok(Self::Forever) } else { duration(text).map(Self::For) }
    }

    /// As `retention.ms` takes it.
    pub(crate) fn millis(self) -> String {
        match self {
            Self::For(duration) => duration.as_millis().to_string(),
            Self::Forever => "-1".to_owned(),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(duration) => f.write_str(&largest(duration.as_millis(), DURATIONS)),
            Self::Forever => f.write_str("forever"),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Size(pub u64);

impl Size {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        number(text, SIZES, "a size such as 11MiB").map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&largest(u128::from(self.0), SIZES))
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    number(text, DURATIONS, "a duration such as 30d").map(Duration::from_millis)
}

fn number(text: &str, units: &[(&str, u64)], wanted: &str) -> Result<u64, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let value = number.parse::<u64>().ok().zip(factor).and_then(|(n, factor)| n.checked_mul(factor));
    value.ok_or_else(|| format!("'{text}' is not {wanted}"))
}

fn largest(value: u128, units: &[(&str, u64)]) -> String {
    let whole = units.iter().rev().find(|(_, factor)| value > 0 && value.is_multiple_of(u128::from(*factor)));
    let (unit, factor) = whole.or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{unit}", value / u128::from(factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_printed() {
        for text in ["30d", "36h", "90m", "1500ms", "forever"] {
            assert_eq!(Retention::parse(text).unwrap().to_string(), text);
        }
        for text in ["11MiB", "1GiB", "1023KiB", "1B"] {
            assert_eq!(Size::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Size::parse("11MiB").unwrap().0, 11_534_336);
        assert_eq!(Retention::parse("1d").unwrap().millis(), "86400000");
        assert_eq!(Retention::Forever.millis(), "-1");
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["", "30", "d", "30 d", "-1d", "1.5h", "30D", "99999999999999999d"] {
            assert!(Retention::parse(text).is_err(), "{text}");
        }
        for text in ["", "11", "11MB", "11M", "MiB", "99999999999999GiB"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }
}
