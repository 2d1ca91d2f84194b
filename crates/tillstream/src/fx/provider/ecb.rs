//! The European Central Bank's reference rates: `eurofxref-daily.xml`, and `-hist-90d.xml` and `-hist.xml`, which have
//! a day each. Units per euro.

use commerce::fx::{Hour, Rate, Rates};
use commerce::{Currency, time};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::{Provider, Quotes, Table, Unreadable};

/// The provider.
#[derive(Debug)]
pub struct Ecb;

impl Provider for Ecb {
    fn name(&self) -> &'static str {
        "ecb"
    }

    /// The rates of a day hold in all hours of that day.
    fn read(&self, bytes: &[u8], _: Hour) -> Result<Vec<Quotes>, Unreadable> {
        let text = std::str::from_utf8(bytes).map_err(Unreadable::new)?;
        let of = Currency::parse("EUR").map_err(Unreadable::new)?;
        let mut reader = Reader::from_str(text);
        let mut days: Vec<(Hour, Rates)> = Vec::new();
        loop {
            match reader.read_event().map_err(Unreadable::new)? {
                Event::Start(element) | Event::Empty(element) if element.local_name().as_ref() == b"Cube" => {
                    let [day, currency, rate] = attributes(&element, ["time", "currency", "rate"])?;
                    if let Some(day) = day {
                        let start = Hour::parse(&format!("{day}T00"));
                        let start = start.ok_or_else(|| Unreadable(format!("'{day}' is not a day")))?;
                        days.push((start, Rates::new()));
                    }
                    if let (Some(currency), Some(rate)) = (currency, rate) {
                        let (_, rates) = days
                            .last_mut()
                            .ok_or_else(|| Unreadable("a rate stands before its day".to_owned()))?;
                        // What ISO 4217 doesn't know any more stands in the history.
                        if let Ok(currency) = Currency::parse(&currency) {
                            rates.insert(currency, Rate::parse(&rate).map_err(Unreadable::new)?);
                        }
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if days.is_empty() {
            return Err(Unreadable("there is no day in it".to_owned()));
        }
        days.sort_by_key(|(start, _)| *start);
        let hours = time::DAY / (3600 * time::SECOND);
        let quotes = days.into_iter().map(|(first, per)| Quotes {
            first,
            last: Hour(first.0 + hours - 1),
            table: Table::Units { of, per },
        });
        Ok(quotes.collect())
    }
}

/// The attributes of these names.
fn attributes<const N: usize>(
    element: &BytesStart<'_>,
    names: [&str; N],
) -> Result<[Option<String>; N], Unreadable> {
    let mut found = [const { None }; N];
    for attribute in element.attributes() {
        let attribute = attribute.map_err(Unreadable::new)?;
        if let Some(at) = names.iter().position(|name| name.as_bytes() == attribute.key.local_name().as_ref())
        {
            // Days, codes and digits: nothing that would be escaped.
            let text = std::str::from_utf8(&attribute.value).map_err(Unreadable::new)?;
            found[at] = Some(text.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::tests::currency;
    use super::*;

    const DAILY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <Cube>
    <Cube time='2026-01-30'><Cube currency='USD' rate='1.1840'/><Cube currency='JPY' rate='183.59'/></Cube>
    <Cube time='2026-01-29'><Cube currency='USD' rate='1.1800'/><Cube currency='CYP' rate='0.58'/></Cube>
  </Cube>
</gesmes:Envelope>"#;

    #[test]
    fn a_day_of_rates_holds_in_all_its_hours() {
        let quotes = Ecb.read(DAILY.as_bytes(), Hour(0)).unwrap();
        let hours: Vec<_> = quotes.iter().map(|q| (q.first.to_string(), q.last.to_string())).collect();
        assert_eq!(hours[0], ("2026-01-29T00".to_owned(), "2026-01-29T23".to_owned()));
        assert_eq!(hours[1], ("2026-01-30T00".to_owned(), "2026-01-30T23".to_owned()));
        let rates = quotes[1].table.into_base(Currency::USD);
        assert_eq!(rates[&currency("EUR")].to_string(), "1.184");
        assert_eq!(rates[&currency("JPY")].to_string(), "0.00644915300398");
    }

    #[test]
    fn what_is_something_else_is_said() {
        for body in [
            "",
            "<html></html>",
            "<Cube currency='USD' rate='1'/>",
            "<Cube time='tomorrow'/>",
            "<Cube time='2026-01-30'><Cube currency='USD' rate='-'/></Cube>",
            "<Cube",
        ] {
            assert!(Ecb.read(body.as_bytes(), Hour(0)).is_err(), "{body}");
        }
    }
}
