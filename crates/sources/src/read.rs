//! From scalars to domain values, with the remarks that reading them gives rise to.

use std::fmt;

use commerce::id::LONGEST_ID;
use commerce::money::MoneyError;
use commerce::reason::Failure;
use commerce::{Currency, EventTime, Money, Reason, ReceivedTime, time};

use crate::json::{Scalar, Value};

/// Reads the values of one body and collects its flags. A path is given as `format_args!` and costs nothing unless
/// there is something to say about it.
pub(crate) struct Reader {
    pub(crate) received_at: ReceivedTime,
    pub(crate) flags: Vec<String>,
}

impl Reader {
    pub(crate) fn new(received_at: ReceivedTime) -> Self {
        Self { received_at, flags: Vec::new() }
    }

    /// Adds a flag once.
    pub(crate) fn flag(&mut self, flag: &str) {
        if !self.flags.iter().any(|known| known == flag) {
            self.flags.push(flag.to_owned());
        }
    }

    /// Flags an expected field that is absent.
    pub(crate) fn missing(&mut self, path: fmt::Arguments<'_>) {
        self.flags.push(format!("missing:{path}"));
    }

    /// Reads an amount in major units.
    pub(crate) fn money(
        &mut self,
        value: Scalar<'_>,
        currency: Currency,
        path: fmt::Arguments<'_>,
    ) -> Result<Option<Money>, Failure> {
        let read = match value.value() {
            Value::Absent => return Ok(None),
            Value::Text(text) => Money::parse_major(&text, currency),
            Value::Number(text) => Money::parse_major(text, currency),
            Value::Bool(_) | Value::Other => Err(MoneyError::NotANumber("it".to_owned())),
        };
        let read =
            read.map_err(|error| Failure::at(Reason::BadMoney, path.to_string(), error.to_string()))?;
        if read.rounded {
            self.flag("amount_rounded");
        }
        Ok(Some(read.money))
    }

    /// Reads a whole number of the sender's own small unit, of which 10^`digits` make one major unit. The sender's unit
    /// needn't be that of ISO 4217 (R5.3).
    pub(crate) fn minor(
        &mut self,
        value: Scalar<'_>,
        currency: Currency,
        digits: u32,
        path: fmt::Arguments<'_>,
    ) -> Result<Option<Money>, Failure> {
        let text = match value.value() {
            Value::Absent => return Ok(None),
            Value::Text(text) => text,
            Value::Number(text) => text.into(),
            Value::Bool(_) | Value::Other => "it".into(),
        };
        let bad = |message: &str| Failure::at(Reason::BadMoney, path.to_string(), message);
        let number: i64 =
            whole(&text).parse().map_err(|_| bad("it is not a whole number of the smallest unit"))?;
        let exponent = currency.exponent();
        let minor = match 10_i64.checked_pow(exponent.abs_diff(digits)) {
            Some(factor) if exponent >= digits => number.checked_mul(factor),
            Some(factor) => {
                let (quotient, rest) = (number / factor, number % factor);
                if rest != 0 {
                    self.flag("amount_rounded");
                }
                let half_or_more = rest.unsigned_abs() >= factor.unsigned_abs().div_ceil(2);
                Some(quotient + if half_or_more { number.signum() } else { 0 })
            }
            None => None,
        };
        let money = minor.and_then(|minor| Money::checked(minor, currency).ok());
        money.map(Some).ok_or_else(|| bad("it is beyond 10^15 minor units"))
    }

    /// Reads an ISO 8601 time.
    pub(crate) fn time(
        &mut self,
        value: Scalar<'_>,
        path: fmt::Arguments<'_>,
    ) -> Result<Option<EventTime>, Failure> {
        let read = match value.value() {
            Value::Absent => return Ok(None),
            Value::Text(text) => time::parse_iso(&text).map_err(|error| error.to_string()),
            Value::Number(_) | Value::Bool(_) | Value::Other => Err("it is not an ISO 8601 time".to_owned()),
        };
        let read = read.map_err(|message| Failure::at(Reason::BadTime, path.to_string(), message))?;
        if read.naive {
            self.flag("timestamp_naive");
        }
        if read.at.is_future_of(self.received_at) {
            self.flag("timestamp_future");
        }
        Ok(Some(read.at))
    }
}

/// The first Unix value that can only be milliseconds (R6.4).
const MILLISECONDS_FROM: i64 = 100_000_000_000;

impl Reader {
    /// Reads whole Unix seconds; values that can only be milliseconds are taken as such (R6.4).
    pub(crate) fn unix(
        &mut self,
        value: Scalar<'_>,
        path: fmt::Arguments<'_>,
    ) -> Result<Option<EventTime>, Failure> {
        let bad = |path: fmt::Arguments<'_>| {
            Err(Failure::at(Reason::BadTime, path.to_string(), "it is not a Unix time in whole seconds"))
        };
        let text = match value.value() {
            Value::Absent => return Ok(None),
            Value::Text(text) => text,
            Value::Number(text) => text.into(),
            Value::Bool(_) | Value::Other => return bad(path),
        };
        let Ok(number) = whole(&text).parse::<i64>() else { return bad(path) };
        let micros = if number >= MILLISECONDS_FROM {
            self.flag("timestamp_unit_guessed");
            number.checked_mul(1_000)
        } else {
            number.checked_mul(time::SECOND)
        };
        match micros.filter(|micros| (0..=LATEST).contains(micros)) {
            Some(micros) => {
                let at = EventTime(micros);
                if at.is_future_of(self.received_at) {
                    self.flag("timestamp_future");
                }
                Ok(Some(at))
            }
            None => bad(path),
        }
    }
}

/// The end of the year 9999, in microseconds.
const LATEST: i64 = 253_402_300_799 * time::SECOND;

/// Reads a currency code.
pub(crate) fn currency(value: Scalar<'_>, path: fmt::Arguments<'_>) -> Result<Option<Currency>, Failure> {
    match value.value() {
        Value::Absent => Ok(None),
        Value::Text(text) => Currency::parse(&text).map(Some).map_err(|error| error.to_string()),
        Value::Number(_) | Value::Bool(_) | Value::Other => {
            Err("it is not an ISO 4217 currency code".to_owned())
        }
    }
    .map_err(|message| Failure::at(Reason::BadCurrency, path.to_string(), message))
}

/// Reads an id: a string or an integer, exactly as written; `gid://shopify/Order/123` is `123`.
pub(crate) fn id(value: Scalar<'_>, path: fmt::Arguments<'_>) -> Result<Option<String>, Failure> {
    let bad = |message: &str| Err(Failure::at(Reason::BadValue, path.to_string(), message));
    let text = match value.value() {
        Value::Absent => return Ok(None),
        Value::Text(text) => text,
        Value::Number(text) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => text.into(),
        Value::Number(_) | Value::Bool(_) | Value::Other => return bad("an id is a string or an integer"),
    };
    let text = match text.strip_prefix("gid://") {
        Some(gid) => {
            let last = gid.rsplit('/').next().unwrap_or_default();
            last.split('?').next().unwrap_or_default().to_owned()
        }
        None => text.into_owned(),
    };
    if text.is_empty() {
        return bad("the id is empty");
    }
    if text.len() > LONGEST_ID {
        return bad("the id is longer than 512 bytes");
    }
    Ok(Some(text))
}

/// Reads an id that is only kept if it is one: a fault in it loses a link, not an order.
pub(crate) fn loose_id(value: Scalar<'_>) -> Option<String> {
    id(value, format_args!("")).ok().flatten()
}

/// Reads a whole number that is not negative: `2`, `"2"`, `2.0`.
pub(crate) fn count(value: Scalar<'_>, path: fmt::Arguments<'_>) -> Result<Option<i64>, Failure> {
    let text = match value.value() {
        Value::Absent => return Ok(None),
        other @ (Value::Bool(_) | Value::Other) => {
            drop(other);
            String::new()
        }
        Value::Text(text) => text.into_owned(),
        Value::Number(text) => text.to_owned(),
    };
    match whole(&text).parse::<i64>() {
        Ok(number) if (0..=GREATEST_COUNT).contains(&number) => Ok(Some(number)),
        _ => Err(Failure::at(Reason::BadValue, path.to_string(), "it is not a whole number from 0 to 10^12")),
    }
}

/// A number without a fraction of zeros: `2.0` is `2`.
pub(crate) fn whole(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole,
        _ => text,
    }
}

/// The greatest count that is believed: sums of them can't overflow.
pub(crate) const GREATEST_COUNT: i64 = 1_000_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{self, object};

    object! {
        One<'a> { v: Scalar<'a>, }
    }

    fn with<T>(value: &str, read: impl FnOnce(Scalar<'_>) -> T) -> T {
        let body = format!(r#"{{"v":{value}}}"#);
        read(json::parse::<One<'_>>(body.as_bytes()).unwrap().v)
    }

    #[test]
    fn an_id_is_exact_in_every_form() {
        for (value, expected) in [
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
            (r#"" 5766207635539 ""#, "5766207635539"),
            (r#""gid://shopify/Order/123""#, "123"),
            (r#""gid://shopify/Order/123?x=1""#, "123"),
            (r#""ORD-7""#, "ORD-7"),
        ] {
            assert_eq!(with(value, |v| id(v, format_args!("id"))).unwrap().unwrap(), expected);
        }
        let long = format!("{:?}", "x".repeat(LONGEST_ID + 1));
        for value in ["1.5", "1e3", "true", "[1]", r#""gid://shopify/Order/""#, &long] {
            let failure = with(value, |v| id(v, format_args!("id"))).unwrap_err();
            assert_eq!((failure.reason, failure.field.as_deref()), (Reason::BadValue, Some("id")), "{value}");
        }
    }

    #[test]
    fn a_count_is_whole_and_not_negative() {
        for (value, expected) in [("2", 2), (r#""2""#, 2), ("2.0", 2), ("0", 0)] {
            assert_eq!(with(value, |v| count(v, format_args!("q"))).unwrap(), Some(expected));
        }
        for value in ["-1", "1.5", "1e3", r#""two""#, "true", "[1]", "99999999999999999999"] {
            assert!(with(value, |v| count(v, format_args!("q"))).is_err(), "{value}");
        }
    }

    #[test]
    fn a_senders_unit_becomes_that_of_the_currency() {
        let read = |value: &str, currency: &str, digits| {
            let mut reader = Reader::new(ReceivedTime(0));
            let currency = Currency::parse(currency).unwrap();
            let money = with(value, |v| reader.minor(v, currency, digits, format_args!("a")))?;
            Ok::<_, Failure>((money.map(|money| money.minor), reader.flags.len()))
        };
        for (value, currency, digits, expected) in [
            ("4999", "USD", 2, (Some(4999), 0)),
            (r#""4999""#, "USD", 2, (Some(4999), 0)),
            ("4999.0", "USD", 2, (Some(4999), 0)),
            ("5000", "MGA", 0, (Some(500_000), 0)),
            ("500000", "UGX", 2, (Some(5000), 0)),
            ("149", "UGX", 2, (Some(1), 1)),
            ("150", "UGX", 2, (Some(2), 1)),
            ("-150", "UGX", 2, (Some(-2), 1)),
            ("9", "JPY", 1, (Some(1), 1)),
            ("null", "USD", 2, (None, 0)),
        ] {
            assert_eq!(read(value, currency, digits).unwrap(), expected, "{value} {currency}");
        }
        for value in ["10.5", "1e3", "true", r#""ten""#, "1000000000000001", "9223372036854775808", "[1]"] {
            let failure = read(value, "USD", 2).unwrap_err();
            assert_eq!((failure.reason, failure.field.as_deref()), (Reason::BadMoney, Some("a")), "{value}");
        }
        assert!(read("9223372036854775807", "MGA", 0).is_err());
        assert!(read("1", "USD", 40).is_err());
    }

    #[test]
    fn a_fault_names_its_path() {
        let mut reader = Reader::new(ReceivedTime(0));
        let failure =
            with("true", |v| reader.money(v, Currency::USD, format_args!("line_items[{}].price", 3)))
                .unwrap_err();
        assert_eq!(
            (failure.reason, failure.field.as_deref()),
            (Reason::BadMoney, Some("line_items[3].price"))
        );
        assert_eq!(
            with("1700000000", |v| reader.time(v, format_args!("t"))).unwrap_err().reason,
            Reason::BadTime
        );
        assert_eq!(
            with(r#""XYZ""#, |v| currency(v, format_args!("c"))).unwrap_err().reason,
            Reason::BadCurrency
        );
    }
}
