//! A file of one's own: CSV with the columns `currency`, `base`, `rate` and, if it isn't the hour of the reading, `hour`
//! (`2026-01-31T10`).

use std::collections::BTreeMap;

use commerce::Currency;
use commerce::fx::{Hour, Pair, Rate};
use serde::Deserialize;

use super::{Provider, Quotes, Table, Unreadable};

/// The provider.
#[derive(Debug)]
pub struct File;

#[derive(Deserialize)]
struct Row {
    currency: String,
    base: String,
    rate: String,
    #[serde(default)]
    hour: Option<String>,
}

impl Provider for File {
    fn name(&self) -> &'static str {
        "file"
    }

    fn read(&self, bytes: &[u8], now: Hour) -> Result<Vec<Quotes>, Unreadable> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(bytes);
        let mut hours: BTreeMap<Hour, BTreeMap<Pair, Rate>> = BTreeMap::new();
        for (number, row) in reader.deserialize().enumerate() {
            let row: Row = row.map_err(Unreadable::new)?;
            let wrong = |error: String| Unreadable(format!("row {}: {error}", number + 1));
            let code = |text: &str| Currency::parse(text).map_err(|e| wrong(e.to_string()));
            let pair = Pair { currency: code(&row.currency)?, base: code(&row.base)? };
            let rate = Rate::parse(&row.rate).map_err(|e| wrong(e.to_string()))?;
            let hour = match row.hour.as_deref().filter(|text| !text.is_empty()) {
                Some(text) => Hour::parse(text).ok_or_else(|| wrong(format!("'{text}' is not an hour")))?,
                None => now,
            };
            if hours.entry(hour).or_default().insert(pair, rate).is_some_and(|known| known != rate) {
                return Err(wrong(format!("{pair} has another rate in {hour} above")));
            }
        }
        if hours.is_empty() {
            return Err(Unreadable("there is no rate in it".to_owned()));
        }
        let quotes = |(hour, pairs)| Quotes { first: hour, last: hour, table: Table::Pairs(pairs) };
        Ok(hours.into_iter().map(quotes).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::currency;
    use super::*;

    #[test]
    fn rows_without_an_hour_hold_now() {
        let body = "currency, base, rate, hour\nEUR,USD,1.0842,2026-01-31T10\n# Pegged.\nAED,USD,0.2723,\n";
        let quotes = File.read(body.as_bytes(), Hour(5)).unwrap();
        assert_eq!((quotes[0].first, quotes[1].first.to_string().as_str()), (Hour(5), "2026-01-31T10"));
        assert_eq!(quotes[1].table.into_base(Currency::USD)[&currency("EUR")].to_string(), "1.0842");
        assert!(quotes[1].table.into_base(currency("GBP")).is_empty());
        assert_eq!(File.read(b"currency,base,rate\nEUR,USD,1.1\n", Hour(5)).unwrap()[0].last, Hour(5));
    }

    #[test]
    fn a_mistake_is_said_with_its_row() {
        for (body, said) in [
            ("", "no rate"),
            ("currency,base\nEUR,USD\n", "rate"),
            ("currency,base,rate\nEUR,USD,0\n", "row 1"),
            ("currency,base,rate\nEUR,USD,1\nEUR,XXY,1\n", "row 2"),
            ("currency,base,rate\nEUR,USD,1\nEUR,USD,2\n", "another rate"),
            ("currency,base,rate,hour\nEUR,USD,1,noon\n", "noon"),
        ] {
            let error = File.read(body.as_bytes(), Hour(0)).unwrap_err().to_string();
            assert!(error.contains(said), "{body}: {error}");
        }
    }
}
