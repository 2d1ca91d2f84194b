//! The figures of a day as Prometheus is told them: each currency by itself, and what is known in base.

use std::collections::BTreeMap;

use commerce::{Currency, ReceivedTime};

use super::{Question, Revenue, converted, value};
use crate::cells::Cells;
use crate::range::Range;

/// The sums of one currency, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sums {
    /// Gross.
    pub(crate) gross: i128,
    /// Counted orders.
    pub(crate) orders: i128,
    /// Sum of the refunds.
    pub(crate) refund_amount: i128,
    /// How many.
    pub(crate) refunds: i128,
}

/// What a day has brought so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Today {
    /// In their own currency.
    pub(crate) by_currency: BTreeMap<Currency, Sums>,
    /// All whose rate is known, in base.
    pub(crate) in_base: Sums,
    /// Carts that were opened, by what became of them.
    pub(crate) carts: [(&'static str, i128); 3],
    /// The newest arrival that is contained.
    pub(crate) as_of: Option<ReceivedTime>,
}

fn sums(revenue: &Revenue<'_>, currency: Currency, range: Range) -> Sums {
    let sum = |name| {
        revenue
            .series(currency)
            .map(|(series, sign)| series.sum(range, name) * i128::from(sign))
            .sum::<i128>()
    };
    Sums {
        gross: sum(value::GROSS),
        orders: sum(value::ORDERS),
        refund_amount: sum(value::REFUND_AMOUNT),
        refunds: sum(value::REFUNDS),
    }
}

/// Sums a day.
pub(crate) fn today(cells: &Cells, day: Range, base: Currency) -> Today {
    let question = Question::of_revenue(Some(cells), day, base);
    let revenue = Revenue::of(&question);
    let own = |currency| {
        let asked = Question { currency: Some(currency), ..question };
        sums(&Revenue::of(&asked), currency, day)
    };
    let carts = |name: &str| -> i128 {
        let figure = cells.figure("carts");
        figure.iter().flat_map(|figure| figure.series()).map(|series| series.sum(day, name)).sum()
    };
    let [opened, completed, abandoned] = ["opened", "completed", "abandoned"].map(carts);
    Today {
        by_currency: revenue.all.own.keys().map(|currency| (*currency, own(*currency))).collect(),
        in_base: sums(&revenue, base, day),
        carts: [("open", opened - completed - abandoned), ("completed", completed), ("abandoned", abandoned)],
        as_of: revenue.as_of,
    }
}

/// Counted orders whose worth in base isn't known, by currency.
pub(crate) fn held(cells: &Cells, range: Range, base: Currency) -> BTreeMap<Currency, i128> {
    let question = Question::of_revenue(Some(cells), range, base);
    let revenue = Revenue::of(&question);
    let others = revenue.all.own.keys().copied().filter(|currency| *currency != base);
    let orders = |currency: Currency| {
        let own = Revenue::of(&Question { currency: Some(currency), ..question });
        sums(&own, currency, range).orders - converted(&question, currency).0
    };
    others.map(|currency| (currency, orders(currency))).collect()
}
