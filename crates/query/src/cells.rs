//! The maintained figures of one workspace, and their sums over days.
//!
//! A copy shares everything: a change copies only the path to the changed cell (the map of figures, the map of series,
//! the days of one series), and only when a snapshot still holds the old one.

mod days;
mod memo;

use std::collections::BTreeMap;
use std::sync::Arc;

use commerce::members::Members;
use commerce::time::Day;
use commerce::{Currency, Metric, ReceivedTime, Source};
use hashbrown::{HashMap, HashSet};

pub use crate::cells::days::Cell;
use crate::cells::days::Days;
use crate::cells::memo::Memo;
use crate::range::Range;

/// Names of figures and values, each kept once.
#[derive(Debug, Default)]
pub struct Names(HashSet<Arc<str>>);

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        match self.0.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = name.into();
                self.0.insert(Arc::clone(&new));
                new
            }
        }
    }
}

/// Where a cell stands, read from the record key `workspace:metric:window:start:dimension=value,…`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// The tenant.
    pub workspace: &'a str,
    /// The figure.
    pub metric: &'a str,
    /// The window.
    pub window: Window,
    /// The dimensions as the key writes them: equal texts are one series.
    pub dimensions: &'a str,
}

/// The windows that are answered from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Window {
    /// Since ever.
    All,
    /// A calendar day of the workspace's zone.
    Day(Day),
    /// An hour of such a day, 0 to 23.
    Hour(Day, u8),
}

impl<'a> Place<'a> {
    /// Reads a record key. `None`: no key of a metric. `Some(None)`: of a window that no report uses yet.
    pub fn parse(key: &'a str) -> Option<Option<Self>> {
        let mut parts = key.splitn(3, ':');
        let (workspace, metric, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let (window, rest) = rest.split_once(':')?;
        let (start, dimensions) = rest.split_once(':')?;
        let window = match window {
            "all" => Window::All,
            "day" => Window::Day(Day::parse(start)?),
            "hour" => {
                let (day, hour) = start.split_once('T')?;
                let hour = hour.parse().ok().filter(|hour| *hour < HOURS_OF_A_DAY)?;
                Window::Hour(Day::parse(day)?, hour)
            }
            _ => return Some(None),
        };
        Some(Some(Self { workspace, metric, window, dimensions }))
    }
}

/// What series of amounts are chosen by, read from the dimensions once: a figure by product has tens of thousands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Choice {
    /// What the amounts are of.
    pub currency: Option<Currency>,
    /// What they were converted into.
    pub base: Option<Currency>,
    /// Whose word counts for their orders.
    pub source: Option<Source>,
}

impl Choice {
    fn of(dimensions: &BTreeMap<String, String>) -> Self {
        let text = |name: &str| dimensions.get(name).map(String::as_str);
        let currency = |name: &str| text(name).map(|code| Currency::parse(code).ok());
        let source = text("source").and_then(Source::parse);
        match (currency("currency"), currency("base")) {
            // Of a base that can't be read the series is of no currency: it must not look like one that has none.
            (_, Some(None)) | (None, _) => Self { source, ..Self::default() },
            (Some(currency), base) => Self { currency, base: base.flatten(), source },
        }
    }
}

/// The cells of one combination of dimensions.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// What it is cut by.
    pub dimensions: Arc<BTreeMap<String, String>>,
    /// The same as far as amounts are chosen by it.
    pub choice: Choice,
    days: Days,
    /// The cell of [`Window::All`], as that of [`ALL`].
    all: Days,
    /// The cells of [`Window::Hour`], each in the place of a day: that of [`hour_of`]. Few figures have any.
    hours: Option<Box<Days>>,
}

/// Hours that a clock shows.
const HOURS_OF_A_DAY: u8 = 24;

/// The place of an hour among all hours.
fn hour_of(day: Day, hour: u8) -> Day {
    Day(day.0.saturating_mul(HOURS_OF_A_DAY.into()).saturating_add(hour.into()))
}

/// Where the cell stands that is of no day.
const ALL: Day = Day(0);

impl Series {
    /// The cell of a window.
    pub fn cell(&self, window: Window) -> Option<Cell<'_>> {
        match window {
            Window::All => self.all.cell(ALL),
            Window::Day(day) => self.days.cell(day),
            Window::Hour(day, hour) => self.hours.as_ref()?.cell(hour_of(day, hour)),
        }
    }

    /// The cells of the hours of a range of days that have one, ascending.
    pub fn hours(&self, range: Range) -> impl Iterator<Item = (Day, u8, Cell<'_>)> {
        let hours = self.hours.as_deref().into_iter().flat_map(move |hours| hours.cells(range.in_hours()));
        hours.map(|(place, cell)| {
            let of_day = i32::from(HOURS_OF_A_DAY);
            let hour = u8::try_from(place.0.rem_euclid(of_day)).unwrap_or_default();
            (Day(place.0.div_euclid(of_day)), hour, cell)
        })
    }

    /// True when a cell of an hour of the range changed after that hour had closed.
    pub fn hours_corrected(&self, range: Range) -> bool {
        self.hours.as_ref().is_some_and(|hours| hours.corrected(range.in_hours()))
    }

    /// The cells of the days of a range that have one, ascending.
    pub fn days(&self, range: Range) -> impl Iterator<Item = (Day, Cell<'_>)> {
        self.days.cells(range)
    }

    /// The sum of one value over the days of a range.
    pub fn sum(&self, range: Range, name: &str) -> i128 {
        self.sums(range, [name]).map_or(0, |[sum]| sum)
    }

    /// The sums of some values over the days of a range; `None` where none of them has a cell.
    pub fn sums<const V: usize>(&self, range: Range, names: [&str; V]) -> Option<[i128; V]> {
        self.days.sums(range, names)
    }

    /// True when a cell of the range changed after its day had closed.
    pub fn corrected(&self, range: Range) -> bool {
        self.days.corrected(range)
    }

    /// Unites the members of the days of a range; false where there are none.
    pub fn unite(&self, range: Range, into: &mut Members) -> bool {
        self.days.unite(range, into)
    }
}

/// All series of one figure.
#[derive(Clone, Debug, Default)]
pub struct Figure {
    /// The names are shared too: a figure by product has a great many, and each snapshot copies the map.
    series: BTreeMap<Arc<str>, Arc<Series>>,
    /// The newest arrival that a cell of it contains.
    pub as_of: Option<ReceivedTime>,
    /// What was asked of it since it changed last.
    pub(crate) asked: Asked,
}

/// What was computed of a figure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// How many actors are in sets, by what these are cut by.
    pub(crate) counts: Memo<HashMap<Vec<String>, i128>>,
    /// The best products.
    pub(crate) best: Memo<Best>,
    /// The names of products.
    pub(crate) names: Memo<HashMap<String, String>>,
}

/// The rows of a figure with the greatest first values.
#[derive(Debug, Default)]
pub(crate) struct Best {
    /// The product, and its sums.
    pub(crate) rows: Vec<(String, [i128; 3])>,
    /// True when a cell of it changed after its day had closed.
    pub(crate) corrected: bool,
}

impl Figure {
    /// The series, ordered by the text of their dimensions.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.values().map(|series| &**series)
    }
}

/// All figures of one workspace.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    figures: HashMap<Arc<str>, Arc<Figure>>,
}

impl Cells {
    /// One figure; `None` before its first cell.
    pub fn figure(&self, metric: &str) -> Option<&Figure> {
        self.figures.get(metric).map(|figure| &**figure)
    }

    /// Puts a cell in its place, or takes it away. The last word about a place holds, so reading a record again
    /// changes nothing.
    pub fn apply(&mut self, names: &mut Names, place: &Place<'_>, metric: Option<&Metric>) {
        let figure = Arc::make_mut(self.figures.entry(names.get(place.metric)).or_default());
        figure.asked = Asked::default();
        let Some(metric) = metric else {
            if let Some(series) = figure.series.get_mut(place.dimensions) {
                let series = Arc::make_mut(series);
                match place.window {
                    Window::All => series.all.remove(ALL),
                    Window::Day(day) => series.days.remove(day),
                    Window::Hour(day, hour) => {
                        if let Some(hours) = &mut series.hours {
                            hours.remove(hour_of(day, hour));
                        }
                    }
                }
                let no_hour = series.hours.as_ref().is_none_or(|hours| hours.is_empty());
                if series.days.is_empty() && series.all.is_empty() && no_hour {
                    figure.series.remove(place.dimensions);
                }
            }
            return;
        };
        if !figure.series.contains_key(place.dimensions) {
            let dimensions = Arc::new(metric.dimensions.clone());
            let new = Series { choice: Choice::of(&dimensions), dimensions, ..Series::default() };
            figure.series.insert(place.dimensions.into(), Arc::new(new));
        }
        let Some(series) = figure.series.get_mut(place.dimensions) else { return };
        let values: Vec<_> = metric.values.iter().map(|(name, value)| (names.get(name), *value)).collect();
        let members = metric.members.as_ref().map(|members| members.0.as_slice());
        let series = Arc::make_mut(series);
        let (days, day) = match place.window {
            Window::All => (&mut series.all, ALL),
            Window::Day(day) => (&mut series.days, day),
            Window::Hour(day, hour) => (&mut **series.hours.get_or_insert_default(), hour_of(day, hour)),
        };
        days.set(day, &values, metric.corrected, members);
        figure.as_of = figure.as_of.max(Some(metric.as_of));
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use commerce::WorkspaceId;

    /// A cell of revenue of an hour of a day.
    pub(crate) fn of_hour(day: &str, hour: u8, currency: &str, values: &[(&str, i64)]) -> Metric {
        Metric {
            metric: "revenue_by_hour".to_owned(),
            window: "hour".to_owned(),
            window_start: format!("{day}T{hour:02}"),
            ..revenue(day, currency, values)
        }
    }

    /// A cell of revenue: `(name, value)`s in one currency on one day.
    pub(crate) fn revenue(day: &str, currency: &str, values: &[(&str, i64)]) -> Metric {
        Metric {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            metric: "revenue".to_owned(),
            window: "day".to_owned(),
            window_start: day.to_owned(),
            dimensions: BTreeMap::from([("currency".to_owned(), currency.to_owned())]),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            revision: 0,
            corrected: false,
            as_of: ReceivedTime(0),
            window_end_at: None,
            members: None,
        }
    }

    /// Cells put together from records.
    pub(crate) fn cells(metrics: &[Metric]) -> Cells {
        let (mut cells, mut names) = (Cells::default(), Names::default());
        for metric in metrics {
            let key = metric.key();
            cells.apply(&mut names, &Place::parse(&key).unwrap().unwrap(), Some(metric));
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{cells, revenue};
    use super::*;
    use crate::range::Asked;

    fn march() -> Range {
        let asked = Asked { days: None, start: Some("2026-03-01"), end: Some("2026-03-31") };
        Range::read(asked, Day::parse("2026-03-31").unwrap(), None).unwrap()
    }

    #[test]
    fn a_key_is_a_place() {
        let key = "demo:outcomes:all::detail=a:b,stage=state";
        let place = Place::parse(key).unwrap().unwrap();
        assert_eq!((place.workspace, place.metric, place.window), ("demo", "outcomes", Window::All));
        assert_eq!(place.dimensions, "detail=a:b,stage=state");
        let hour = Place::parse("demo:revenue_by_hour:hour:2026-01-31T15:currency=USD").unwrap().unwrap();
        assert_eq!(hour.window, Window::Hour(Day::parse("2026-01-31").unwrap(), 15));
        assert_eq!(Place::parse("demo:revenue:week:2026-W05:currency=USD"), Some(None));
        for key in [
            "",
            "demo",
            "demo:revenue:day",
            "demo:revenue:day:tomorrow:",
            "demo:revenue:day:2026-01-01",
            "demo:revenue_by_hour:hour:2026-01-31:",
            "demo:revenue_by_hour:hour:2026-01-31T24:",
        ] {
            assert_eq!(Place::parse(key), None, "{key}");
        }
    }

    #[test]
    fn a_series_is_chosen_by_currency_base_and_source_and_one_of_an_unknown_base_by_no_currency() {
        let of = |dimensions: &[(&str, &str)]| {
            let texts = dimensions.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
            let Choice { currency, base, source } = Choice::of(&texts.collect());
            let text = |currency: Option<Currency>| currency.map(|currency| currency.as_str().to_owned());
            (text(currency), text(base), source)
        };
        let (usd, eur) = (Some("USD".to_owned()), Some("EUR".to_owned()));
        assert_eq!(
            of(&[("currency", "USD"), ("source", "shopify")]),
            (usd.clone(), None, Some(Source::Shopify))
        );
        assert_eq!(of(&[("currency", "EUR"), ("base", "USD"), ("source", "unknown")]), (eur, usd, None));
        assert_eq!(of(&[("currency", "EUR"), ("base", "?")]), (None, None, None));
        assert_eq!(of(&[("item_id", "1")]), (None, None, None));
    }

    #[test]
    fn a_range_sums_its_days_and_no_other() {
        let cells = cells(&[
            revenue("2026-02-28", "USD", &[("gross", 1)]),
            revenue("2026-03-01", "USD", &[("gross", 10), ("orders", 1)]),
            revenue("2026-03-31", "USD", &[("gross", 100)]),
            revenue("2026-04-01", "USD", &[("gross", 1000)]),
        ]);
        let series = cells.figure("revenue").unwrap().series().next().unwrap();
        assert_eq!(series.sum(march(), "gross"), 110);
        assert_eq!(series.sum(march(), "orders"), 1);
        assert_eq!(series.sum(march(), "unheard_of"), 0);
        assert!(!series.corrected(march()));
    }

    #[test]
    fn the_last_word_about_a_cell_holds_and_a_tombstone_takes_it_away() {
        let (mut cells, mut names) = (Cells::default(), Names::default());
        let mut metric = revenue("2026-03-01", "USD", &[("gross", 10)]);
        let key = metric.key();
        let place = Place::parse(&key).unwrap().unwrap();
        cells.apply(&mut names, &place, Some(&metric));
        metric.values.insert("gross".to_owned(), 7);
        metric.corrected = true;
        for _ in 0..2 {
            cells.apply(&mut names, &place, Some(&metric));
        }
        let series = cells.figure("revenue").unwrap().series().next().unwrap();
        assert_eq!(series.sum(march(), "gross"), 7);
        assert!(series.corrected(march()));
        cells.apply(&mut names, &place, None);
        cells.apply(&mut names, &place, None);
        assert_eq!(cells.figure("revenue").unwrap().series().count(), 0);
    }

    #[test]
    fn the_cells_of_hours_are_those_of_their_days_and_of_none_before_1970_either() {
        let hours = [("1969-12-31", 23), ("2026-02-28", 23), ("2026-03-01", 0), ("2026-03-31", 23)];
        let records = hours.map(|(day, hour)| samples::of_hour(day, hour, "USD", &[("gross", 1)]));
        let known = cells(&records);
        let series = known.figure("revenue_by_hour").unwrap().series().next().unwrap();
        let of = |range| {
            let found =
                series.hours(range).map(|(day, hour, cell)| (day.to_string(), hour, cell.value("gross")));
            found.collect::<Vec<_>>()
        };
        let in_march = [("2026-03-01".to_owned(), 0, 1), ("2026-03-31".to_owned(), 23, 1)];
        assert_eq!(of(march()), in_march);
        assert_eq!(of(Range::always()).first().unwrap(), &("1969-12-31".to_owned(), 23, 1));
        assert_eq!(series.days(Range::always()).count(), 0, "an hour is no day");

        let (mut cells, mut names) = (known.clone(), Names::default());
        for metric in &records {
            let key = metric.key();
            cells.apply(&mut names, &Place::parse(&key).unwrap().unwrap(), None);
        }
        assert_eq!(cells.figure("revenue_by_hour").unwrap().series().count(), 0);
    }

    #[test]
    fn a_copy_keeps_what_it_had() {
        let (mut cells, mut names) = (Cells::default(), Names::default());
        let metric = revenue("2026-03-01", "USD", &[("gross", 10)]);
        let key = metric.key();
        let place = Place::parse(&key).unwrap().unwrap();
        cells.apply(&mut names, &place, Some(&metric));
        let copy = cells.clone();
        cells.apply(&mut names, &place, Some(&revenue("2026-03-01", "USD", &[("gross", 99)])));
        let sum =
            |cells: &Cells| cells.figure("revenue").unwrap().series().next().unwrap().sum(march(), "gross");
        assert_eq!((sum(&copy), sum(&cells)), (10, 99));
    }
}
