//! A cell: sums by name, and whether they moved after their window had closed.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use commerce::time::{Day, Zone};
use commerce::{Currency, EventTime, Metric, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::aggregation::{Aggregation, FLAGGED};
use crate::pending::News;
use crate::unit::Unit;

/// As many figures as a cell may have.
pub(crate) const WIDTH: usize = 8;

/// What a cell's figures move by, in the order of its aggregation's names.
pub(crate) type Sums = [i64; WIDTH];

/// The window of a cell: what moves in it after its end is a correction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Span {
    /// An hour of a day, 0 to 23.
    Hour(Day, u8),
    Day(Day),
    /// The month that begins with this day.
    Month(Day),
}

/// Which cell of a workspace: the metric, its day, and its dimensions in the order of the aggregation's `cut`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) metric: Cow<'a, str>,
    pub(crate) day: Day,
    pub(crate) dimensions: Vec<Cow<'a, str>>,
}

/// The dimension that says what amounts are in.
const CURRENCY: &str = "currency";

/// The dimension that is published as a part of the window.
pub(crate) const HOUR: &str = "hour";

/// Longer texts of a dimension are cut: a key is bounded, and what is cut beyond this is told apart by nobody.
const LONGEST_TEXT: usize = 200;

impl Span {
    /// The day that it is in, or begins with.
    pub(crate) const fn day(self) -> Day {
        match self {
            Self::Hour(day, _) | Self::Day(day) | Self::Month(day) => day,
        }
    }
}

impl Place<'_> {
    /// The window of the cell.
    pub(crate) fn span(&self, of: &Aggregation) -> Span {
        let hour = of.cut.iter().position(|name| *name == HOUR);
        match hour.and_then(|at| self.dimensions.get(at)?.parse().ok()) {
            Some(hour) => Span::Hour(self.day, hour),
            None if of.is_of_months() => Span::Month(self.day),
            None => Span::Day(self.day),
        }
    }

    /// The key of the cell's state: workspace, metric and day, then one text per dimension.
    pub(crate) fn key(&self, workspace: &WorkspaceId) -> Result<Vec<u8>, postcard::Error> {
        // Room for most keys, so that it isn't moved as it grows.
        let mut key = postcard::to_extend(&(workspace, &self.metric, self.day), Vec::with_capacity(96))?;
        for text in &self.dimensions {
            key = postcard::to_extend(text, key)?;
        }
        Ok(key)
    }

    /// Reads the key back, without a copy of its texts.
    pub(crate) fn read(key: &[u8]) -> Result<(WorkspaceId, Place<'_>), postcard::Error> {
        let ((workspace, metric, day), mut rest): ((WorkspaceId, &str, Day), _) =
            postcard::take_from_bytes(key)?;
        let mut dimensions = Vec::new();
        while !rest.is_empty() {
            let (text, after): (&str, _) = postcard::take_from_bytes(rest)?;
            dimensions.push(Cow::Borrowed(text));
            rest = after;
        }
        Ok((workspace, Place { metric: Cow::Borrowed(metric), day, dimensions }))
    }
}

/// What one fact moves: cells and by how much. An aggregation adds to it, and never sees whether what it adds is what
/// holds now or what is taken back.
#[derive(Debug)]
pub(crate) struct Deltas {
    metric: &'static str,
    sign: i64,
    /// Set while what is added is in base: the currency that it was converted from.
    from: Option<Currency>,
    /// True while what is added goes to the figures of marked orders.
    flagged: bool,
    /// What the key of every cell starts with.
    workspace: Vec<u8>,
    /// The keys of the cells, one behind the other.
    keys: Vec<u8>,
    cells: Vec<Delta>,
    /// A key that couldn't be written.
    failed: Option<postcard::Error>,
}

/// What moves one cell. Its key is a part of [`Deltas`]' keys.
#[derive(Clone, Copy, Debug)]
struct Delta {
    start: usize,
    end: usize,
    span: Span,
    sums: Sums,
}

impl Deltas {
    /// Nothing moves yet.
    pub(crate) fn new(workspace: &WorkspaceId) -> Result<Self, postcard::Error> {
        let workspace = postcard::to_extend(workspace, Vec::with_capacity(64))?;
        let (keys, cells) = (Vec::with_capacity(1024), Vec::with_capacity(16));
        Ok(Self { metric: "", sign: 1, from: None, flagged: false, workspace, keys, cells, failed: None })
    }

    /// Says to what the next additions belong: the metric, and whether they hold (1) or are taken back (-1).
    pub(crate) fn turn_to(&mut self, metric: &'static str, sign: i64) {
        (self.metric, self.sign, self.from, self.flagged) = (metric, sign, None, false);
    }

    /// The same for amounts in base, which were converted from a currency.
    pub(crate) fn turn_to_base(&mut self, metric: &'static str, sign: i64, from: Currency) {
        (self.metric, self.sign, self.from, self.flagged) = (metric, sign, Some(from), false);
    }

    /// Says that the next additions belong to the figures of marked orders of the same metric.
    pub(crate) fn turn_to_flagged(&mut self) {
        self.flagged = true;
    }

    /// Adds to a cell of a day.
    pub(crate) fn add<'a, const N: usize>(
        &mut self,
        day: Day,
        dimensions: impl IntoIterator<Item = Cow<'a, str>>,
        figures: [i64; N],
    ) {
        self.add_in(Span::Day(day), dimensions, figures);
    }

    /// Adds to a cell.
    pub(crate) fn add_in<'a, const N: usize>(
        &mut self,
        span: Span,
        dimensions: impl IntoIterator<Item = Cow<'a, str>>,
        figures: [i64; N],
    ) {
        let day = span.day();
        const { assert!(N <= WIDTH, "a cell has at most WIDTH figures") };
        let start = self.keys.len();
        self.keys.extend_from_slice(&self.workspace);
        if self.flagged {
            self.write(&(format!("{FLAGGED}{}", self.metric), day));
        } else {
            self.write(&(self.metric, day));
        }
        let mut dimensions = dimensions.into_iter();
        // The first dimension of what is cut by currency is the currency.
        if let (Some(currency), Some(text)) = (self.from, self.from.and_then(|_| dimensions.next())) {
            let base = Currency::parse(&text).ok();
            self.write(&Unit { currency, base }.to_string());
        }
        for text in dimensions {
            self.write(cut(&text));
        }
        let mut sums = Sums::default();
        for (sum, figure) in sums.iter_mut().zip(figures) {
            *sum = figure.saturating_mul(self.sign);
        }
        self.cells.push(Delta { start, end: self.keys.len(), span, sums });
    }

    fn write<T: Serialize + ?Sized>(&mut self, part: &T) {
        match postcard::to_extend(part, std::mem::take(&mut self.keys)) {
            Ok(keys) => self.keys = keys,
            Err(error) => self.failed = Some(error),
        }
    }

    /// The cells that move, with their keys; those whose changes cancel out are left out.
    pub(crate) fn moved(&mut self) -> Result<impl Iterator<Item = (&[u8], Span, Sums)>, postcard::Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let keys = &self.keys;
        let key = |delta: &Delta| keys.get(delta.start..delta.end).unwrap_or_default();
        self.cells.sort_by(|a, b| key(a).cmp(key(b)));
        self.cells.dedup_by(|next, kept| {
            let same = key(next) == key(kept);
            if same {
                // Amounts and counts from outside are bounded, so the few of one fact can't leave 64 bits.
                for (sum, more) in kept.sums.iter_mut().zip(next.sums) {
                    *sum = sum.saturating_add(more);
                }
            }
            same
        });
        let moving = self.cells.iter().filter(|delta| delta.sums.iter().any(|sum| *sum != 0));
        Ok(moving.map(move |delta| (key(delta), delta.span, delta.sums)))
    }
}

/// The text, or as much of it as a dimension may have.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The stored form; `values` are in the order of the metric's names. They are kept exactly whatever they add up to: a
/// figure that is beyond 64 bits for a while, by amounts that nobody has paid, comes back with their correction.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) values: Vec<i128>,
    pub(crate) revision: i32,
    pub(crate) as_of: i64,
}

impl Cell {
    /// Adds changes.
    pub(crate) fn add(&mut self, sums: &[i128], news: News) {
        if self.values.len() < sums.len() {
            self.values.resize(sums.len(), 0);
        }
        for (value, sum) in self.values.iter_mut().zip(sums) {
            // The end of 128 bits is more changes away than there will ever be.
            *value = value.saturating_add(*sum);
        }
        self.revision = self.revision.saturating_add(news.late);
        self.as_of = self.as_of.max(news.as_of);
    }

    /// True while a figure is greater than what can be published of it.
    pub(crate) fn is_cut(&self) -> bool {
        self.values.iter().any(|value| i128::from(published(*value)) != *value)
    }

    /// The published form. `cut` names the dimensions, `values` the figures.
    pub(crate) fn metric(
        &self,
        workspace: WorkspaceId,
        place: &Place<'_>,
        cut: &[&str],
        values: &[&str],
        end: EventTime,
    ) -> Metric {
        let mut dimensions = BTreeMap::new();
        let (mut window, mut window_start) = ("day", place.day.to_string());
        for (name, text) in cut.iter().zip(&place.dimensions) {
            if *name == HOUR {
                (window, window_start) = ("hour", format!("{window_start}T{text}"));
                continue;
            }
            if *name != CURRENCY {
                dimensions.insert((*name).to_owned(), text.clone().into_owned());
                continue;
            }
            let (currency, base) = Unit::dimensions(text);
            dimensions.insert(CURRENCY.to_owned(), currency.to_owned());
            base.map(|base| dimensions.insert("base".to_owned(), base.to_owned()));
        }
        Metric {
            workspace,
            metric: place.metric.clone().into_owned(),
            window: window.to_owned(),
            window_start,
            dimensions,
            values: values
                .iter()
                .zip(&self.values)
                .map(|(name, value)| ((*name).to_owned(), published(*value)))
                .collect(),
            revision: self.revision,
            corrected: self.revision > 0,
            as_of: ReceivedTime(self.as_of),
            window_end_at: Some(end),
            members: None,
        }
    }
}

/// What is published of a figure: itself, or the end of 64 bits.
fn published(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// The end of a day, exclusive.
pub(crate) fn end_of(zone: &Zone, day: Day) -> EventTime {
    zone.start_of(Day(day.0.saturating_add(1)))
}

/// The ends of days that are asked for one after the other. Nearly all are one day of one workspace, and a zone's rules
/// take longer than the rest of a cell.
pub(crate) struct Ends<'a> {
    zones: &'a HashMap<WorkspaceId, Zone>,
    utc: Zone,
    last: Option<(WorkspaceId, Day, EventTime)>,
}

impl<'a> Ends<'a> {
    /// Days in the zones of their workspaces.
    pub(crate) fn new(zones: &'a HashMap<WorkspaceId, Zone>) -> Self {
        Self { zones, utc: Zone::utc(), last: None }
    }

    /// The end of a window, exclusive.
    pub(crate) fn of_span(&mut self, workspace: &WorkspaceId, span: Span) -> EventTime {
        let zone = self.zones.get(workspace).unwrap_or(&self.utc);
        match span {
            Span::Hour(day, hour) => zone.end_of_hour(day, hour),
            Span::Day(day) => self.of(workspace, day),
            // No month is longer than 31 days, and none shorter than 28.
            Span::Month(first) => zone.start_of(Day(first.0.saturating_add(31)).first_of_month()),
        }
    }

    /// The end of a day of a workspace, exclusive.
    pub(crate) fn of(&mut self, workspace: &WorkspaceId, day: Day) -> EventTime {
        if let Some((_, _, end)) = self.last.as_ref().filter(|last| (&last.0, last.1) == (workspace, day)) {
            return *end;
        }
        let end = end_of(self.zones.get(workspace).unwrap_or(&self.utc), day);
        self.last = Some((workspace.clone(), day, end));
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_day_is_that_of_its_workspace_whatever_was_asked_before() {
        let [here, there, nowhere] = ["here", "there", "nowhere"].map(|id| WorkspaceId::try_new(id).unwrap());
        let zones: HashMap<WorkspaceId, Zone> = [(&here, "Asia/Tokyo"), (&there, "America/New_York")]
            .map(|(id, zone)| (id.clone(), Zone::parse(zone).unwrap()))
            .into();
        let mut ends = Ends::new(&zones);
        for (day, workspace) in [(1, &here), (1, &there), (1, &there), (2, &there), (2, &here), (2, &nowhere)]
        {
            let zone = zones.get(workspace).cloned().unwrap_or_else(Zone::utc);
            assert_eq!(ends.of(workspace, Day(day)), zone.start_of(Day(day + 1)));
        }
    }

    #[test]
    fn a_place_reads_back_from_its_key() {
        let workspace = WorkspaceId::try_new("demo").unwrap();
        for dimensions in [vec![], vec!["USD".into()], vec!["USD".into(), "".into(), "ü".into()]] {
            let place = Place { metric: "revenue".into(), day: Day(-3), dimensions };
            assert_eq!(Place::read(&place.key(&workspace).unwrap()).unwrap(), (workspace.clone(), place));
        }
    }

    #[test]
    fn the_keys_of_revenue_are_those_that_are_stored_since_it_had_no_other_dimension() {
        let workspace = WorkspaceId::try_new("demo").unwrap();
        let place = Place { metric: "revenue".into(), day: Day(20_500), dimensions: vec!["USD".into()] };
        let stored = postcard::to_allocvec(&(&workspace, ("revenue", Day(20_500), Currency::USD))).unwrap();
        assert_eq!(place.key(&workspace).unwrap(), stored);
    }

    #[test]
    fn a_long_text_is_cut_between_two_letters() {
        let mut deltas = Deltas::new(&WorkspaceId::try_new("demo").unwrap()).unwrap();
        deltas.add(Day(1), ["x".into(), format!("x{}", "ü".repeat(200)).into()], [1]);
        let (key, _, _) = deltas.moved().unwrap().next().unwrap();
        let (_, place) = Place::read(key).unwrap();
        assert_eq!((place.dimensions[0].len(), place.dimensions[1].len()), (1, 199));
    }
}
