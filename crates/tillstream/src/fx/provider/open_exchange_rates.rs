//! Open Exchange Rates: `latest.json` and `historical/<day>.json`.

use std::collections::BTreeMap;

use commerce::fx::{Hour, Rate};
use commerce::{Currency, EventTime};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Provider, Quotes, Table, Unreadable};

/// The provider.
#[derive(Debug)]
pub struct OpenExchangeRates;

#[derive(Deserialize)]
struct Latest<'a> {
    timestamp: i64,
    base: String,
    #[serde(borrow)]
    rates: BTreeMap<String, &'a RawValue>,
}

impl Provider for OpenExchangeRates {
    fn name(&self) -> &'static str {
        "open_exchange_rates"
    }

    /// Each number is read from its digits, without a float between. What ISO 4217 doesn't know (metals, coins) is left
    /// out.
    fn read(&self, bytes: &[u8], _: Hour) -> Result<Vec<Quotes>, Unreadable> {
        let latest: Latest<'_> = serde_json::from_slice(bytes).map_err(Unreadable::new)?;
        let of = Currency::parse(&latest.base).map_err(Unreadable::new)?;
        let mut per = BTreeMap::new();
        for (code, rate) in &latest.rates {
            if let Ok(currency) = Currency::parse(code) {
                per.insert(currency, Rate::parse(rate.get()).map_err(Unreadable::new)?);
            }
        }
        let hour = Hour::of(EventTime(latest.timestamp.saturating_mul(commerce::time::SECOND)));
        Ok(vec![Quotes { first: hour, last: hour, table: Table::Units { of, per } }])
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::currency;
    use super::*;

    #[test]
    fn the_latest_rates_are_read_from_their_digits() {
        let body = br#"{"disclaimer":"x","license":"y","timestamp":1767261600,"base":"USD",
            "rates":{"EUR":0.851234567,"JPY":156.8,"KWD":3.1E-1,"XAU":0.0002,"NOPE":1}}"#;
        let quotes = OpenExchangeRates.read(body, Hour(0)).unwrap();
        assert_eq!((quotes.len(), quotes[0].first.to_string().as_str()), (1, "2026-01-01T10"));
        let Table::Units { of, per } = &quotes[0].table else { panic!("{quotes:?}") };
        assert_eq!((*of, per[&currency("EUR")].to_string()), (Currency::USD, "0.851234567".to_owned()));
        assert_eq!(per[&currency("KWD")].to_string(), "0.31");
    }

    #[test]
    fn what_is_something_else_is_said() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"timestamp":1,"base":"USD","rates":{"EUR":"x"}}"#,
            r#"{"error":true,"status":401}"#,
        ] {
            assert!(OpenExchangeRates.read(body.as_bytes(), Hour(0)).is_err(), "{body}");
        }
    }
}
