//! The rates that are published, and what may be added to them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use commerce::Currency;
use commerce::fx::{FxRate, Hour, Pair, Rate, Rates};

use super::provider::Quotes;

/// After a longer silence the hours between aren't filled with the last rate: that is a history, and loaded as one.
const LONGEST_GAP: i64 = 7 * 24;

/// Everything that is published.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Book {
    /// Hours in a row mostly have the same rates (a bank's day, hours that were carried): they share them, so that a
    /// history of decades is held at a rate a day and not at one an hour.
    rates: BTreeMap<(Currency, Hour), Arc<Rates>>,
    /// The page that was noted last: the next record mostly belongs to it.
    open: Option<(Currency, Hour)>,
}

/// Rates of one hour into one base, to be published together.
#[derive(Clone, PartialEq, Debug)]
pub struct Page {
    /// The base.
    pub base: Currency,
    /// The hour.
    pub hour: Hour,
    /// Those that aren't published yet; shared among the hours of a day.
    pub rates: Arc<Rates>,
    /// True where they are the last ones known, for want of any of that hour.
    pub carried: bool,
}

/// What becomes of rates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// They are new.
    pub published: usize,
    /// They are published like this.
    pub known: usize,
    /// Another rate is published for their pair and hour, and stays.
    pub refused: usize,
}

impl Book {
    /// Takes a published rate.
    pub fn note(&mut self, rate: &FxRate) {
        let page = (rate.base, Hour::of(rate.hour));
        if self.open.is_some_and(|open| open != page) {
            self.share();
        }
        self.open = Some(page);
        let rates = self.rates.entry(page).or_default();
        // The first one holds.
        if !rates.contains_key(&rate.currency) {
            Arc::make_mut(rates).insert(rate.currency, rate.rate);
        }
    }

    /// Lets the page that was noted last share its rates with the hour before, if they are the same.
    fn share(&mut self) {
        let Some((base, hour)) = self.open.take() else { return };
        let before = self.rates.get(&(base, Hour(hour.0 - 1))).cloned();
        if let (Some(before), Some(last)) = (before, self.rates.get_mut(&(base, hour)))
            && *before == **last
        {
            *last = before;
        }
    }

    /// What of a provider's quotes is new, in each of the bases.
    pub fn add(&self, quotes: &[Quotes], bases: &BTreeSet<Currency>) -> (Vec<Page>, Tally) {
        let (mut pages, mut tally) = (Vec::new(), Tally::default());
        for quote in quotes {
            for base in bases {
                let rates = Arc::new(quote.table.into_base(*base));
                for hour in quote.first.0..=quote.last.0 {
                    pages.extend(self.page(*base, Hour(hour), &rates, false, &mut tally));
                }
            }
        }
        (pages, tally)
    }

    /// What an hourly look at a provider adds: the newest quotes for this hour, whatever hour they name, and the last
    /// rates known for the hours in which nobody looked.
    pub fn poll(&self, newest: &Quotes, now: Hour, bases: &BTreeSet<Currency>) -> (Vec<Page>, Tally) {
        let (mut pages, mut tally) = (Vec::new(), Tally::default());
        for base in bases {
            let before = self.rates.range((*base, Hour(now.0 - LONGEST_GAP))..(*base, now)).next_back();
            if let Some(((_, last), rates)) = before {
                for hour in last.0 + 1..now.0 {
                    pages.extend(self.page(*base, Hour(hour), rates, true, &mut tally));
                }
            }
            let carried = !(newest.first..=newest.last).contains(&now);
            let rates = Arc::new(newest.table.into_base(*base));
            pages.extend(self.page(*base, now, &rates, carried, &mut tally));
        }
        (pages, tally)
    }

    fn page(
        &self,
        base: Currency,
        hour: Hour,
        rates: &Arc<Rates>,
        carried: bool,
        tally: &mut Tally,
    ) -> Option<Page> {
        let Some(known) = self.rates.get(&(base, hour)) else {
            tally.published += rates.len();
            return (!rates.is_empty()).then(|| Page { base, hour, rates: Arc::clone(rates), carried });
        };
        let mut new = Rates::new();
        for (currency, rate) in &**rates {
            match known.get(currency) {
                None => drop(new.insert(*currency, *rate)),
                Some(known) if known == rate => tally.known += 1,
                Some(_) => tally.refused += 1,
            }
        }
        tally.published += new.len();
        (!new.is_empty()).then(|| Page { base, hour, rates: Arc::new(new), carried })
    }

    /// The published rates, oldest first.
    pub fn all(&self) -> impl Iterator<Item = (Hour, Pair, Rate)> {
        let mut all: Vec<_> = self
            .rates
            .iter()
            .flat_map(|((base, hour), rates)| {
                rates.iter().map(|(currency, rate)| (*hour, Pair { currency: *currency, base: *base }, *rate))
            })
            .collect();
        all.sort_unstable();
        all.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use commerce::EventTime;

    use super::super::provider::Table;
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    fn quotes(first: i64, last: i64, eur: &str) -> Quotes {
        let pair = |code| Pair { currency: currency(code), base: Currency::USD };
        let rate = |text| Rate::parse(text).unwrap();
        let table = Table::Pairs(BTreeMap::from([(pair("EUR"), rate(eur)), (pair("GBP"), rate("1.3"))]));
        Quotes { first: Hour(first), last: Hour(last), table }
    }

    fn bases() -> BTreeSet<Currency> {
        BTreeSet::from([Currency::USD])
    }

    fn published(book: &mut Book, pages: &[Page]) {
        for page in pages {
            for (currency, rate) in &*page.rates {
                book.note(&FxRate {
                    currency: *currency,
                    base: page.base,
                    hour: page.hour.start(),
                    rate: *rate,
                    provider: "file".to_owned(),
                    carried: page.carried,
                    published_at: EventTime(0),
                });
            }
        }
    }

    #[test]
    fn a_published_rate_is_never_replaced() {
        let mut book = Book::default();
        let (pages, tally) = book.add(&[quotes(5, 5, "1.1")], &bases());
        assert_eq!((pages.len(), tally), (1, Tally { published: 2, known: 0, refused: 0 }));
        published(&mut book, &pages);
        let (pages, tally) = book.add(&[quotes(5, 6, "1.2")], &bases());
        assert_eq!(tally, Tally { published: 2, known: 1, refused: 1 });
        assert_eq!((pages.len(), pages[0].hour), (1, Hour(6)));
        published(&mut book, &pages);
        let euros: Vec<_> = book.all().filter(|(_, pair, _)| pair.currency == currency("EUR")).collect();
        assert_eq!((euros[0].2.to_string(), euros[1].2.to_string()), ("1.1".to_owned(), "1.2".to_owned()));
    }

    #[test]
    fn the_hours_of_a_day_are_held_once_and_a_late_rate_parts_them() {
        let mut book = Book::default();
        let (pages, tally) = book.add(&[quotes(24, 47, "1.1"), quotes(48, 71, "1.2")], &bases());
        assert_eq!((pages.len(), tally.published), (48, 96));
        let distinct = |all: Vec<&Arc<Rates>>| -> usize {
            all.iter().map(|rates| Arc::as_ptr(rates)).collect::<BTreeSet<_>>().len()
        };
        assert_eq!(distinct(pages.iter().map(|page| &page.rates).collect()), 2);
        published(&mut book, &pages);
        book.share();
        assert_eq!(distinct(book.rates.values().collect()), 2);
        // Another hour's rates aren't touched by what is added to one.
        let chf = Pair { currency: currency("CHF"), base: Currency::USD };
        let late = Table::Pairs(BTreeMap::from([(chf, Rate::parse("1.1").unwrap())]));
        let (pages, _) = book.add(&[Quotes { first: Hour(30), last: Hour(30), table: late }], &bases());
        published(&mut book, &pages);
        let of = |hour| book.rates[&(Currency::USD, Hour(hour))].len();
        assert_eq!((of(29), of(30), of(31)), (2, 3, 2));
    }

    #[test]
    fn hours_in_which_nobody_looked_get_the_last_rate_known() {
        let mut book = Book::default();
        let (pages, _) = book.poll(&quotes(5, 5, "1.1"), Hour(5), &bases());
        published(&mut book, &pages);
        let (pages, _) = book.poll(&quotes(8, 8, "1.4"), Hour(8), &bases());
        let shown: Vec<_> =
            pages.iter().map(|p| (p.hour.0, p.rates[&currency("EUR")].to_string(), p.carried)).collect();
        assert_eq!(
            shown,
            [(6, "1.1".to_owned(), true), (7, "1.1".to_owned(), true), (8, "1.4".to_owned(), false)]
        );
        published(&mut book, &pages);
        let known = |hour| bases().iter().all(|base| book.rates.contains_key(&(*base, Hour(hour))));
        assert!(known(8) && !known(9));
        // The provider has nothing newer than the hour before.
        let (pages, _) = book.poll(&quotes(8, 8, "1.4"), Hour(9), &bases());
        assert_eq!((pages.len(), pages[0].carried), (1, true));
    }

    #[test]
    fn after_a_long_silence_the_hours_between_stay_open() {
        let mut book = Book::default();
        let (pages, _) = book.poll(&quotes(5, 5, "1.1"), Hour(5), &bases());
        published(&mut book, &pages);
        let (pages, _) = book.poll(&quotes(1_000, 1_000, "1.4"), Hour(1_000), &bases());
        assert_eq!(pages.len(), 1);
    }
}
