//! Cells and a range in, an answer out. Pure.
//!
//! A report is a function `of(&Question) -> impl Serialize`. All of them read one [`Cells`] of one snapshot.

mod actors;
pub mod attribution;
pub(crate) mod breakdown;
pub mod cart_abandonment;
pub mod cohorts;
pub mod funnel;
pub mod outcomes;
pub mod overview;
pub mod revenue_by_channel;
pub mod revenue_by_coupon;
pub mod revenue_by_place;
pub mod revenue_timeseries;
pub mod summary;
pub(crate) mod today;
pub mod top_products;
pub mod usage;
pub mod user_journey;

use std::collections::BTreeMap;

use commerce::time::Day;
use commerce::{Currency, ReceivedTime, Source};
use serde::Serialize;

use crate::amount::Amount;
use crate::cells::{Cells, Figure, Series};
use crate::csv::Table;
use crate::range::Range;

/// The reports that exist, by the last part of their path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Report {
    /// §6.1
    Overview,
    /// §6.2
    RevenueTimeseries,
    /// §6.4
    TopProducts,
    /// §6.5
    RevenueByChannel,
    /// §6.6
    RevenueByCoupon,
    /// §6.7
    RevenueByDevice,
    /// §6.8
    RevenueByPlatform,
    /// §6.9
    RevenueByCountry,
    /// §6.3
    Funnel,
    /// §6.10
    CartAbandonment,
    /// §6.11
    Attribution,
    /// §6.12
    Cohorts,
}

impl Report {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Overview,
        Self::RevenueTimeseries,
        Self::TopProducts,
        Self::RevenueByChannel,
        Self::RevenueByCoupon,
        Self::RevenueByDevice,
        Self::RevenueByPlatform,
        Self::RevenueByCountry,
        Self::Funnel,
        Self::CartAbandonment,
        Self::Attribution,
        Self::Cohorts,
    ];

    /// The last part of the path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overview => "overview",
            Self::RevenueTimeseries => "revenue-timeseries",
            Self::TopProducts => "top-products",
            Self::RevenueByChannel => "revenue-by-channel",
            Self::RevenueByCoupon => "revenue-by-coupon",
            Self::RevenueByDevice => "revenue-by-device",
            Self::RevenueByPlatform => "revenue-by-platform",
            Self::RevenueByCountry => "revenue-by-country",
            Self::Funnel => "funnel",
            Self::CartAbandonment => "cart-abandonment",
            Self::Attribution => "attribution",
            Self::Cohorts => "cohorts",
        }
    }

    /// Reads the last part of the path.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|report| report.as_str() == text)
    }

    /// True where the figures are sums over orders, so that marked ones can be left out.
    pub const fn is_of_orders(self) -> bool {
        !matches!(self, Self::Funnel | Self::CartAbandonment | Self::Attribution | Self::Cohorts)
    }

    /// The answer as JSON.
    pub fn json(self, question: &Question<'_>) -> Result<Vec<u8>, serde_json::Error> {
        match self {
            Self::Overview => serde_json::to_vec(&overview::of(question)),
            Self::RevenueTimeseries if question.hourly => {
                serde_json::to_vec(&revenue_timeseries::by_hour(question))
            }
            Self::RevenueTimeseries => serde_json::to_vec(&revenue_timeseries::of(question)),
            Self::TopProducts => serde_json::to_vec(&top_products::of(question)),
            Self::RevenueByChannel => serde_json::to_vec(&revenue_by_channel::of(question)),
            Self::RevenueByCoupon => serde_json::to_vec(&revenue_by_coupon::of(question)),
            Self::RevenueByDevice => serde_json::to_vec(&revenue_by_place::devices(question)),
            Self::RevenueByPlatform => serde_json::to_vec(&revenue_by_place::platforms(question)),
            Self::RevenueByCountry => serde_json::to_vec(&revenue_by_place::countries(question)),
            Self::Funnel => serde_json::to_vec(&funnel::of(question)),
            Self::CartAbandonment => serde_json::to_vec(&cart_abandonment::of(question)),
            Self::Attribution => serde_json::to_vec(&attribution::of(question, question.attribution)),
            Self::Cohorts => serde_json::to_vec(&cohorts::of(question, question.cohorts)),
        }
    }

    /// The part of the answer that is its table, of one by hour or not.
    pub const fn table(self, hourly: bool) -> Table {
        let (rows, columns): (_, &'static [&'static str]) = match self {
            Self::Overview => (None, &overview::COLUMNS),
            Self::RevenueTimeseries if hourly => (Some("series"), &["date", "hour", "revenue", "orders"]),
            Self::RevenueTimeseries => (Some("series"), &["date", "revenue", "orders"]),
            Self::TopProducts => {
                (Some("products"), &["item_id", "item_name", "revenue", "quantity", "orders"])
            }
            Self::RevenueByChannel => {
                (Some("channels"), &["campaign", "source", "medium", "revenue", "orders", "conversion_rate"])
            }
            Self::RevenueByCoupon => (Some("coupons"), &["coupon_code", "revenue", "orders", "avg_discount"]),
            Self::RevenueByDevice => (Some("devices"), &["device_type", "revenue", "orders"]),
            Self::RevenueByPlatform => (Some("platforms"), &["platform", "revenue", "orders"]),
            Self::RevenueByCountry => (Some("countries"), &["country", "revenue", "orders"]),
            Self::Funnel => (Some("steps"), &["name", "count", "percentage"]),
            Self::CartAbandonment => (None, &cart_abandonment::COLUMNS),
            Self::Attribution => {
                (Some("attributed"), &["campaign", "source", "medium", "revenue", "orders", "pct_of_total"])
            }
            Self::Cohorts => (Some("cohorts"), &["month", "users", "revenue_by_month"]),
        };
        Table { rows, columns }
    }
}

/// What is asked of the cells of one workspace.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `None`: nothing of the workspace has been seen, which is the same as zeros.
    pub cells: Option<&'a Cells>,
    /// The days.
    pub range: Range,
    /// The workspace's base currency.
    pub base: Currency,
    /// Asks for the figures of one currency by itself, in that currency (beyond the contract).
    pub currency: Option<Currency>,
    /// Asks for the purchases of one source: those of which its word counts (beyond the contract).
    pub source: Option<Source>,
    /// Asks for hours in the place of days (beyond the contract).
    pub hourly: bool,
    /// How many rows a list of products may have.
    pub limit: usize,
    /// Asks for the figures without the orders that a fraud rule has marked (beyond the contract).
    pub exclude_flagged: bool,
    /// The window in which the steps of the funnel are to follow each other, if they are.
    pub ordered: Option<&'static str>,
    /// How orders are credited.
    pub attribution: attribution::Asked,
    /// Which cohorts.
    pub cohorts: cohorts::Asked,
}

impl<'a> Question<'a> {
    /// Asks for what all sources brought in.
    pub(crate) fn of_revenue(cells: Option<&'a Cells>, range: Range, base: Currency) -> Self {
        Self {
            cells,
            range,
            base,
            currency: None,
            source: None,
            hourly: false,
            limit: 0,
            exclude_flagged: false,
            ordered: None,
            attribution: attribution::Asked::default(),
            cohorts: cohorts::Asked::default(),
        }
    }
}

/// The names of the values of the figure `revenue`, as the aggregator writes them.
mod value {
    pub(super) const FIGURE: &str = "revenue";
    /// The same values, cut by the source too.
    pub(super) const BY_SOURCE: &str = "revenue_by_source";
    /// Gross, orders and refunds of each hour.
    pub(super) const BY_HOUR: &str = "revenue_by_hour";
    pub(super) const GROSS: &str = "gross";
    pub(super) const ORDERS: &str = "orders";
    pub(super) const REFUND_AMOUNT: &str = "refund_amount";
    pub(super) const REFUNDS: &str = "refunds";
    pub(super) const ITEMS: &str = "items";
}

/// The revenue cells of a workspace, one series per currency.
struct Revenue<'a> {
    /// What the amounts of the answer are in.
    currency: Currency,
    /// The base currency, unless one currency is asked for by itself: what was converted into it is part of it then.
    base: Option<Currency>,
    all: ByCurrency<'a>,
    /// What is taken off.
    flagged: ByCurrency<'a>,
    as_of: Option<ReceivedTime>,
}

/// The series of revenue of some orders.
#[derive(Default)]
struct ByCurrency<'a> {
    own: BTreeMap<Currency, &'a Series>,
    /// By the currency that it was converted from, in the base currency.
    in_base: BTreeMap<Currency, &'a Series>,
}

impl<'a> ByCurrency<'a> {
    fn of(question: &Question<'_>, figure: Option<&'a Figure>) -> Self {
        let mut found = Self::default();
        for series in figure.iter().flat_map(|figure| figure.series()) {
            let source = series.dimensions.get("source").map(String::as_str);
            // A series that is cut by more than what is asked for is part of the one that isn't.
            let asked = source == question.source.map(Source::as_str)
                && series.dimensions.len()
                    == 1 + usize::from(question.source.is_some())
                        + usize::from(series.dimensions.contains_key(BASE));
            let cut = series.dimensions.get("currency").filter(|_| asked);
            let Some(currency) = cut.and_then(|code| Currency::parse(code).ok()) else { continue };
            match series.dimensions.get(BASE) {
                None => drop(found.own.insert(currency, series)),
                Some(base) if base == question.base.as_str() => drop(found.in_base.insert(currency, series)),
                // What was converted before the base currency was another one.
                Some(_) => {}
            }
        }
        found
    }

    /// The series that make up the figures of a currency: of the base currency also what was converted into it.
    fn series(&self, currency: Currency, base: Option<Currency>) -> impl Iterator<Item = &'a Series> {
        let converted = (base == Some(currency)).then(|| self.in_base.values().copied());
        self.own.get(&currency).copied().into_iter().chain(converted.into_iter().flatten())
    }
}

/// The figure of a name with 1, and that of the marked orders with -1 where they are to be left out.
fn parts<'a>(question: &Question<'a>, name: &str) -> impl Iterator<Item = (&'a Figure, i64)> {
    let figure = |name: &str| question.cells.and_then(|cells| cells.figure(name));
    let flagged = question.exclude_flagged.then(|| figure(&format!("flagged_{name}"))).flatten();
    figure(name).map(|figure| (figure, 1)).into_iter().chain(flagged.map(|figure| (figure, -1)))
}

impl<'a> Revenue<'a> {
    fn of(question: &Question<'a>) -> Self {
        Self::named(question, if question.source.is_some() { value::BY_SOURCE } else { value::FIGURE })
    }

    /// The same cells of another figure.
    fn named(question: &Question<'a>, name: &str) -> Self {
        let figure = |sign| parts(question, name).find(|(_, known)| *known == sign).map(|(figure, _)| figure);
        Self {
            currency: question.currency.unwrap_or(question.base),
            base: question.currency.is_none().then_some(question.base),
            all: ByCurrency::of(question, figure(1)),
            flagged: ByCurrency::of(question, figure(-1)),
            as_of: figure(1).and_then(|figure| figure.as_of),
        }
    }

    /// The series that make up the figures of a currency, each with 1, or with -1 where it is taken off.
    fn series(&self, currency: Currency) -> impl Iterator<Item = (&'a Series, i64)> {
        let all = self.all.series(currency, self.base).map(|series| (series, 1));
        all.chain(self.flagged.series(currency, self.base).map(|series| (series, -1)))
    }

    /// True for the cells of a breakdown that are in the currency of the answer.
    fn takes(&self, series: &Series) -> bool {
        match series.choice.base {
            None => series.choice.currency == Some(self.currency),
            Some(base) => base == self.currency && self.base == Some(self.currency),
        }
    }

    /// The sums of one value by day.
    fn by_day(&self, currency: Currency, range: Range, name: &str) -> BTreeMap<Day, i64> {
        let mut days: BTreeMap<Day, i64> = BTreeMap::new();
        for (series, sign) in self.series(currency) {
            for (day, cell) in series.days(range) {
                let sum = days.entry(day).or_default();
                *sum = sum.saturating_add(cell.value(name).saturating_mul(sign));
            }
        }
        days
    }

    /// The sums of one currency over a range.
    fn sums(&self, currency: Currency, range: Range) -> Sums {
        let sum = |name| {
            self.series(currency).map(|(series, sign)| series.sum(range, name) * i128::from(sign)).sum()
        };
        Sums {
            gross: sum(value::GROSS),
            orders: sum(value::ORDERS),
            refund_amount: sum(value::REFUND_AMOUNT),
            refunds: sum(value::REFUNDS),
            items: sum(value::ITEMS),
            exponent: currency.exponent(),
        }
    }

    /// What every revenue report says besides its figures.
    fn basis(&self, question: &Question<'_>) -> Basis {
        let mut held = BTreeMap::new();
        // Asked for one currency by itself, nothing is held back from the answer.
        for currency in self.all.own.keys().filter(|c| question.currency.is_none() && **c != question.base) {
            let sums = self.sums(*currency, question.range);
            let (known, gross) = converted(question, *currency);
            let (orders, gross) = (sums.orders - known, sums.gross - gross);
            if orders != 0 || gross != 0 {
                held.insert(*currency, Held { orders, revenue: sums.amount(gross) });
            }
        }
        let corrected = self.series(self.currency).any(|(series, _)| series.corrected(question.range));
        Basis { currency: self.currency, held, as_of: self.as_of.map(ReceivedTime::to_rfc3339), corrected }
    }
}

/// The orders of a currency whose worth in base is known, and their gross total in their own currency.
fn converted(question: &Question<'_>, currency: Currency) -> (i128, i128) {
    let is = |series: &Series, name: &str, text: &str| {
        series.dimensions.get(name).is_some_and(|known| known == text)
    };
    let asked = |series: &&Series| {
        is(series, "currency", currency.as_str())
            && is(series, BASE, question.base.as_str())
            && question.source.is_none_or(|source| is(series, "source", source.as_str()))
    };
    let (mut orders, mut gross) = (0, 0);
    for (figure, sign) in parts(question, "converted") {
        for series in figure.series().filter(asked) {
            let sum = |name| series.sum(question.range, name) * i128::from(sign);
            (orders, gross) = (orders + sum(value::ORDERS), gross + sum(value::GROSS));
        }
    }
    (orders, gross)
}

/// The dimension of cells whose amounts were converted.
const BASE: &str = "base";

/// Sums over a range, minor units.
#[derive(Clone, Copy, Debug)]
struct Sums {
    gross: i128,
    orders: i128,
    refund_amount: i128,
    refunds: i128,
    items: i128,
    exponent: u32,
}

impl Sums {
    fn amount(&self, minor: i128) -> Amount {
        Amount { minor, exponent: self.exponent }
    }

    fn net(&self) -> i128 {
        self.gross - self.refund_amount
    }

    fn average(&self) -> i128 {
        crate::amount::divide(self.gross, self.orders)
    }
}

/// What the figures of an answer rest on.
#[derive(Debug, Serialize)]
pub struct Basis {
    /// What its amounts are in.
    pub currency: Currency,
    /// Orders whose rate into the base currency isn't known yet: in no total.
    pub held: BTreeMap<Currency, Held>,
    /// The newest arrival that is contained, RFC 3339; `null` before the first.
    pub as_of: Option<String>,
    /// True when a day of the range changed after it had closed.
    pub corrected: bool,
}

/// Orders that wait for a rate.
#[derive(Debug, Serialize)]
pub struct Held {
    /// How many.
    pub orders: i128,
    /// Their gross total in their own currency.
    pub revenue: Amount,
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use crate::range::Asked;

    /// The question for `start..=end` in base USD.
    pub(crate) fn question<'a>(cells: Option<&'a Cells>, start: &str, end: &str) -> Question<'a> {
        let asked = Asked { days: None, start: Some(start), end: Some(end) };
        let range = Range::read(asked, Day::parse(end).unwrap(), None).unwrap();
        Question {
            cells,
            range,
            base: Currency::USD,
            currency: None,
            source: None,
            hourly: false,
            limit: top_products::DEFAULT_LIMIT,
            exclude_flagged: false,
            ordered: None,
            attribution: attribution::Asked::default(),
            cohorts: cohorts::Asked::read(None, None, Day::parse(end).unwrap()).unwrap(),
        }
    }
}
