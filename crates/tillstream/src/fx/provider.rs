//! Who gives rates, and what they look like. Pure.

mod ecb;
mod file;
mod open_exchange_rates;

use std::collections::BTreeMap;

use commerce::Currency;
use commerce::fx::{Hour, Pair, Rate, Rates};
use service::config::FxProvider;

pub use ecb::Ecb;
pub use file::File;
pub use open_exchange_rates::OpenExchangeRates;

/// Somebody who publishes rates in a form of their own.
pub trait Provider: Sync {
    /// The name under which the rates are published.
    fn name(&self) -> &'static str;

    /// Reads what they publish, oldest first. `now` is the hour of what doesn't name one.
    fn read(&self, bytes: &[u8], now: Hour) -> Result<Vec<Quotes>, Unreadable>;
}

/// Why a publication can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

impl Unreadable {
    fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// The rates of one hour, or of some in a row.
#[derive(Clone, PartialEq, Debug)]
pub struct Quotes {
    /// The first hour in which they hold.
    pub first: Hour,
    /// The last one.
    pub last: Hour,
    /// The rates.
    pub table: Table,
}

/// Rates in the way in which a provider states them.
#[derive(Clone, PartialEq, Debug)]
pub enum Table {
    /// How many units of each currency one unit of `of` is worth.
    Units {
        /// The provider's own base.
        of: Currency,
        /// By currency.
        per: Rates,
    },
    /// Pair by pair, as they are published here.
    Pairs(BTreeMap<Pair, Rate>),
}

impl Table {
    /// The rates into a base. Empty where the provider doesn't know it.
    pub fn into_base(&self, base: Currency) -> Rates {
        match self {
            Self::Units { of, per } => {
                let Ok(one) = Rate::parse("1") else { return Rates::new() };
                let units = |currency: Currency| {
                    if currency == *of { Some(one) } else { per.get(&currency).copied() }
                };
                let Some(to) = units(base) else { return Rates::new() };
                let all = per.keys().copied().chain([*of]).filter(|currency| *currency != base);
                all.filter_map(|currency| Some((currency, Rate::cross(units(currency)?, to).ok()?))).collect()
            }
            Self::Pairs(pairs) => {
                let of_base = pairs.iter().filter(|(pair, _)| pair.base == base && pair.currency != base);
                of_base.map(|(pair, rate)| (pair.currency, *rate)).collect()
            }
        }
    }
}

/// The provider of the configuration; `None` when rates aren't fetched.
pub fn configured(provider: FxProvider) -> Option<&'static dyn Provider> {
    match provider {
        FxProvider::Off => None,
        FxProvider::OpenExchangeRates => Some(&OpenExchangeRates),
        FxProvider::Ecb => Some(&Ecb),
        FxProvider::File => Some(&File),
    }
}

/// The provider whose form a file has.
pub fn of_file(bytes: &[u8]) -> &'static dyn Provider {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace() && !b"\xEF\xBB\xBF".contains(byte)) {
        Some(b'{') => &OpenExchangeRates,
        Some(b'<') => &Ecb,
        _ => &File,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn any_base_is_worked_out_from_the_providers_own() {
        let rates = |list: &[(&str, &str)]| -> Rates {
            list.iter().map(|(code, rate)| (currency(code), Rate::parse(rate).unwrap())).collect()
        };
        let table = Table::Units { of: Currency::USD, per: rates(&[("EUR", "0.8"), ("JPY", "160")]) };
        assert_eq!(table.into_base(Currency::USD), rates(&[("EUR", "1.25"), ("JPY", "0.00625")]));
        assert_eq!(table.into_base(currency("EUR")), rates(&[("USD", "0.8"), ("JPY", "0.005")]));
        assert_eq!(table.into_base(currency("CHF")), Rates::new());
    }

    #[test]
    fn the_form_of_a_file_is_seen() {
        assert_eq!(of_file(b" \n{\"base\"").name(), "open_exchange_rates");
        assert_eq!(of_file(b"<?xml").name(), "ecb");
        assert_eq!(of_file(b"currency,base,rate").name(), "file");
    }
}
