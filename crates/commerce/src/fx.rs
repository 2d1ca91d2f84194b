//! Rates of exchange: exact decimals, pinned to an hour (R5.7).
//!
//! A rate says how many major units of the base one major unit of a currency is worth. Once published for a pair and an
//! hour it never changes, so an amount has one value in base, whenever and however often it is worked out. There is no
//! other rate than that of the hour: a missing one leaves the amount without a base value until it comes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::{Entity, Keys, Origin, Payload, SCHEMA_VERSION};
use crate::money::GREATEST_MINOR;
use crate::{Currency, Event, EventName, EventTime, Mark, Money, ReceivedTime, Source, WorkspaceId, time};

/// Digits that a rate keeps: enough that no believable amount is off by a minor unit, and few enough that amount times
/// rate fits 128 bits.
const DIGITS: u32 = 12;
/// The most digits after the point.
const LONGEST_FRACTION: u32 = 20;

/// Microseconds in an hour.
const HOUR: i64 = 3600 * time::SECOND;

/// The workspace in whose name rates stand among the events; no tenant can have it.
pub const WORKSPACE: &str = "_fx";

/// An hour of UTC.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hour(pub i64);

impl Hour {
    /// The hour that contains an instant.
    pub const fn of(at: EventTime) -> Self {
        Self(at.0.div_euclid(HOUR))
    }

    /// Its first instant.
    pub const fn start(self) -> EventTime {
        EventTime(self.0.saturating_mul(HOUR))
    }

    /// Reads what [`fmt::Display`] writes: `2026-01-31T10`.
    pub fn parse(text: &str) -> Option<Self> {
        let read = time::parse_iso(&format!("{}:00:00Z", text.trim())).ok()?;
        let hour = Self::of(read.at);
        (hour.to_string() == text.trim()).then_some(hour)
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.start().to_rfc3339().get(..13).unwrap_or_default())
    }
}

/// What is exchanged: an amount of `currency` for one of `base`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Pair {
    /// What it is in.
    pub currency: Currency,
    /// What it becomes.
    pub base: Currency,
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.currency, self.base)
    }
}

/// How much of the base one major unit is worth: above zero, at most 12 significant digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rate(Decimal);

/// Why something is no rate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' is not a rate: a decimal above 0 is needed, with at most 20 digits after the point")]
pub struct NoRate(String);

impl Rate {
    /// A rate of this value, rounded half away from zero to 12 significant digits.
    pub fn new(value: Decimal) -> Result<Self, NoRate> {
        let no = || NoRate(value.to_string());
        let rounded = value.round_sf_with_strategy(DIGITS, RoundingStrategy::MidpointAwayFromZero);
        let rate = rounded.ok_or_else(no)?.normalize();
        let fits = rate > Decimal::ZERO && rate.scale() <= LONGEST_FRACTION;
        // What is beyond this is no rate of any two currencies, and would leave 128 bits.
        (fits && rate < Decimal::from(1_000_000_000_000_i64)).then_some(Self(rate)).ok_or_else(no)
    }

    /// Reads a decimal text.
    pub fn parse(text: &str) -> Result<Self, NoRate> {
        let text = text.trim();
        let no = || NoRate(text.chars().take(40).collect());
        let plain = text.len() <= 40 && text.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        let value = if !plain {
            return Err(no());
        } else if text.bytes().any(|b| b == b'e' || b == b'E') {
            Decimal::from_scientific(text).map_err(|_| no())?
        } else {
            Decimal::from_str(text).map_err(|_| no())?
        };
        Self::new(value)
    }

    /// The rate of `to` for `from`, where both are quoted as units for one of a third.
    pub fn cross(from: Self, to: Self) -> Result<Self, NoRate> {
        let value = to.0.checked_div(from.0).ok_or_else(|| NoRate(format!("{to} / {from}")))?;
        Self::new(value)
    }

    /// The stored form.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.serialize()
    }

    /// Reads the stored form.
    pub fn from_bytes(bytes: [u8; 16]) -> Result<Self, NoRate> {
        Self::new(Decimal::deserialize(bytes))
    }

    /// An amount in the base: exact arithmetic on integers, rounded once, half away from zero. `None` beyond what is
    /// believed to be an amount.
    pub fn convert(self, money: Money, base: Currency) -> Option<Money> {
        if money.currency == base {
            return Some(money);
        }
        let product = i128::from(money.minor).checked_mul(self.0.mantissa())?;
        // The minor units of both sides and the digits of the rate shift the point.
        let shift =
            i64::from(self.0.scale()) + i64::from(money.currency.exponent()) - i64::from(base.exponent());
        let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
        let minor = if shift <= 0 {
            product.checked_mul(power)?
        } else {
            let (whole, rest) = (product / power, product % power);
            whole + if rest.abs() * 2 >= power { product.signum() } else { 0 }
        };
        let minor = i64::try_from(minor).ok().filter(|minor| minor.abs() <= GREATEST_MINOR)?;
        Some(Money::new(minor, base))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// The rates of one hour into one base.
pub type Rates = BTreeMap<Currency, Rate>;

/// The event that tells the tasks of the state stage the rates of one hour into one base.
pub fn announcement(base: Currency, hour: Hour, rates: &Rates, now: ReceivedTime) -> Result<Event, String> {
    let id = format!("{base}:{hour}");
    let listed: Vec<String> = rates.iter().map(|(currency, rate)| format!("{currency}={rate}")).collect();
    let mark = Mark::of(&[b"fx", id.as_bytes(), listed.join(",").as_bytes()]);
    let key = format!("{:032x}", mark.0);
    Ok(Event {
        event_id: mark.to_uuid(),
        event: EventName::FxRatesPublished,
        schema_version: SCHEMA_VERSION,
        workspace: WorkspaceId::try_new(WORKSPACE)?,
        environment: "production".to_owned(),
        // No source of a tenant; the field wants one of those that are known everywhere.
        source: Source::Records,
        source_space: WORKSPACE.to_owned(),
        source_event: "fx.rates_published".to_owned(),
        occurred_at: hour.start(),
        received_at: now,
        raw_partition: -1,
        raw_offset: -1,
        raw_item: 0,
        raw_part: 0,
        entity: Entity { r#type: "fx_rates".to_owned(), id, aliases: vec![] },
        person: None,
        payload: Payload {
            properties: rates
                .iter()
                .map(|(currency, rate)| (currency.to_string(), rate.to_string()))
                .collect(),
            ..Payload::default()
        },
        keys: Keys { transport: key.clone(), semantic: key, content: None, stated: None },
        flags: vec![],
        origin: Origin::live(),
        trigger_eligible: false,
        qa: false,
        fraud: None,
    })
}

/// What an [`announcement`] says; `None` where it says nothing that can be read, or doesn't come of our own publisher.
pub fn announced(event: &Event) -> Option<(Currency, Hour, Rates)> {
    if event.event != EventName::FxRatesPublished || event.workspace.as_str() != WORKSPACE {
        return None;
    }
    let (base, hour) = event.entity.id.split_once(':')?;
    let rates = event
        .payload
        .properties
        .iter()
        .map(|(currency, rate)| Some((Currency::parse(currency).ok()?, Rate::parse(rate).ok()?)));
    Some((Currency::parse(base).ok()?, Hour::parse(hour)?, rates.collect::<Option<_>>()?))
}

/// One published rate (`commerce.fx-rates.v1`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FxRate {
    /// What an amount is in.
    pub currency: Currency,
    /// What it becomes.
    pub base: Currency,
    /// Start of the hour in which the rate holds.
    pub hour: EventTime,
    /// How many major units of `base` one major unit of `currency` is worth, as a decimal text.
    pub rate: Rate,
    /// Who said so: `open_exchange_rates`, `ecb`, `file`.
    pub provider: String,
    /// True where the provider gave none for the hour and the last one known was carried forward.
    pub carried: bool,
    /// When it was published. History.
    pub published_at: EventTime,
}

impl FxRate {
    /// The pair.
    pub const fn pair(&self) -> Pair {
        Pair { currency: self.currency, base: self.base }
    }

    /// The record key: `EUR:USD:2026-01-31T10`.
    pub fn key(&self) -> String {
        format!("{}:{}", self.pair(), Hour::of(self.hour))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    fn converted(minor: i64, from: &str, rate: &str, to: &str) -> Option<i64> {
        let money = Money::new(minor, currency(from));
        Rate::parse(rate).unwrap().convert(money, currency(to)).map(|money| money.minor)
    }

    #[test]
    fn an_amount_is_converted_in_the_minor_units_of_both_sides() {
        assert_eq!(converted(10_000, "EUR", "1.0842", "USD"), Some(10_842));
        assert_eq!(converted(5_000, "JPY", "0.0064", "USD"), Some(3_200));
        assert_eq!(converted(3_200, "USD", "156.25", "JPY"), Some(5_000));
        assert_eq!(converted(1_000, "JPY", "0.00205", "KWD"), Some(2_050));
        assert_eq!(converted(1_234, "KWD", "3.25", "USD"), Some(401));
    }

    #[test]
    fn it_is_rounded_once_half_away_from_zero() {
        assert_eq!(converted(1, "EUR", "1.5", "USD"), Some(2));
        assert_eq!(converted(-1, "EUR", "1.5", "USD"), Some(-2));
        assert_eq!(converted(1, "EUR", "1.4999", "USD"), Some(1));
        assert_eq!(converted(1, "EUR", "0.5", "USD"), Some(1));
        assert_eq!(converted(1, "EUR", "0.499999999999", "USD"), Some(0));
    }

    #[test]
    fn what_is_in_the_base_already_stays_to_the_unit_whatever_a_rate_says() {
        assert_eq!(converted(12_345, "USD", "1.1", "USD"), Some(12_345));
    }

    #[test]
    fn the_greatest_amount_times_the_longest_rate_is_exact_or_none() {
        assert_eq!(converted(GREATEST_MINOR, "EUR", "0.999999999999", "USD"), Some(999_999_999_999_000));
        assert_eq!(converted(GREATEST_MINOR, "EUR", "2", "USD"), None);
        assert_eq!(converted(GREATEST_MINOR, "JPY", "999999999999", "KWD"), None);
        assert_eq!(converted(GREATEST_MINOR, "KWD", "0.00000000999999999999", "JPY"), Some(10_000));
    }

    #[test]
    fn a_rate_is_a_decimal_above_zero() {
        for text in
            ["", "0", "-1", "NaN", "1,5", "1e400", "0.000000000000000000000000001", "1000000000000", "x"]
        {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse(" 1.08420 ").unwrap().to_string(), "1.0842");
        assert_eq!(Rate::parse("5.3e-5").unwrap().to_string(), "0.000053");
        assert_eq!(Rate::parse("1.23456789012345").unwrap().to_string(), "1.23456789012");
    }

    #[test]
    fn two_quotes_for_a_third_make_a_rate() {
        let (eur, gbp) = (Rate::parse("0.92").unwrap(), Rate::parse("0.79").unwrap());
        assert_eq!(Rate::cross(eur, gbp).unwrap().to_string(), "0.858695652174");
    }

    #[test]
    fn what_is_announced_reads_back_and_only_our_own_word_counts() {
        let rates = Rates::from([(currency("EUR"), Rate::parse("1.0842").unwrap())]);
        let event = announcement(Currency::USD, Hour(500_000), &rates, ReceivedTime(7)).unwrap();
        assert_eq!(announced(&event), Some((Currency::USD, Hour(500_000), rates)));
        let foreign = Event { workspace: WorkspaceId::try_new("demo").unwrap(), ..event.clone() };
        assert_eq!(announced(&foreign), None);
        let mut damaged = event;
        damaged.payload.properties.insert("EUR".to_owned(), "0".to_owned());
        assert_eq!(announced(&damaged), None);
    }

    #[test]
    fn a_stored_rate_reads_back() {
        for text in ["1.0842", "0.00000000000000000001", "999999999999"] {
            let rate = Rate::parse(text).unwrap();
            assert_eq!(Rate::from_bytes(rate.to_bytes()), Ok(rate));
        }
    }

    #[test]
    fn an_hour_reads_back() {
        let hour = Hour::of(EventTime(-1));
        assert_eq!((hour, hour.to_string().as_str()), (Hour(-1), "1969-12-31T23"));
        assert_eq!(Hour::parse("1969-12-31T23"), Some(hour));
        for text in ["", "2026-01-31", "2026-01-31T10:00", "2026-01-31T25", "10"] {
            assert_eq!(Hour::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_conversion_is_off_by_half_a_unit_at_most(
            minor in -GREATEST_MINOR..=GREATEST_MINOR,
            mantissa in 1_i64..1_000_000_000_000,
            scale in 8_u32..=20,
        ) {
            let rate = Rate::new(Decimal::new(mantissa, scale)).unwrap();
            if let Some(money) = rate.convert(Money::new(minor, currency("EUR")), Currency::USD) {
                let error = i128::from(minor) * i128::from(mantissa) - i128::from(money.minor) * 10_i128.pow(scale);
                prop_assert!(error.abs() * 2 <= 10_i128.pow(scale));
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            let _ = Rate::parse(&text);
            let _ = Hour::parse(&text);
        }
    }
}
