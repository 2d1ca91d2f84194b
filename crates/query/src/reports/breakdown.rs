//! What all reports that cut the revenue share: the rows of a figure over a range, in their order.

use std::sync::Arc;

use hashbrown::HashMap;

use serde::Serialize;

use super::{Basis, Question, Revenue, parts};
use crate::amount::Amount;

/// The rows of one figure: `D` dimensions besides currency and source, `V` values, the first of which is the revenue.
pub(super) struct Breakdown<'a, const D: usize, const V: usize> {
    /// By revenue descending, ties by the dimensions ascending (§6.0.8). Without the combinations of which nothing is
    /// left in the range.
    pub(super) rows: Vec<([&'a str; D], [i128; V])>,
    /// What the rows rest on.
    pub(super) basis: Basis,
    exponent: u32,
}

impl<'a, const D: usize, const V: usize> Breakdown<'a, D, V> {
    /// Sums a figure.
    pub(super) fn of(
        question: &Question<'a>,
        figure: &str,
        dimensions: [&str; D],
        values: [&str; V],
    ) -> Self {
        Self::first(question, figure, dimensions, values, usize::MAX)
    }

    /// Sums a figure, of which the first so many rows are wanted.
    pub(super) fn first(
        question: &Question<'a>,
        figure: &str,
        dimensions: [&str; D],
        values: [&str; V],
        most: usize,
    ) -> Self {
        let revenue = Revenue::of(question);
        let mut basis = revenue.basis(question);
        let mut sums: HashMap<[&'a str; D], [i128; V]> = HashMap::new();
        let all = parts(question, figure)
            .flat_map(|(figure, sign)| figure.series().map(move |series| (series, i128::from(sign))));
        for (series, sign) in all {
            let text = |name: &str| series.dimensions.get(name).map(String::as_str);
            let asked = question.source.is_none_or(|source| series.choice.source == Some(source));
            if !asked || !revenue.takes(series) {
                continue;
            }
            let Some(more) = series.sums(question.range, values) else { continue };
            let row = sums.entry(dimensions.map(|name| text(name).unwrap_or_default())).or_insert([0; V]);
            for (sum, more) in row.iter_mut().zip(more) {
                *sum = sum.saturating_add(more * sign);
            }
            basis.corrected = basis.corrected || series.corrected(question.range);
        }
        let mut rows: Vec<_> =
            sums.into_iter().filter(|(_, sums)| sums.iter().any(|sum| *sum != 0)).collect();
        let order = |(a, sums_of_a): &([&str; D], [i128; V]), (b, sums_of_b): &([&str; D], [i128; V])| {
            sums_of_b.first().cmp(&sums_of_a.first()).then_with(|| a.cmp(b))
        };
        if rows.len() > most {
            rows.select_nth_unstable_by(most, order);
            rows.truncate(most);
        }
        rows.sort_unstable_by(order);
        Self { rows, basis, exponent: revenue.currency.exponent() }
    }

    /// An amount in the currency of the answer.
    pub(super) fn amount(&self, minor: i128) -> Amount {
        Amount { minor, exponent: self.exponent }
    }
}

/// Revenue and orders of one value of a dimension, under that dimension's name.
#[derive(Debug)]
pub struct Row<'a> {
    name: &'static str,
    text: &'a str,
    revenue: Amount,
    orders: i128,
}

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry(self.name, self.text)?;
        map.serialize_entry("revenue", &self.revenue)?;
        map.serialize_entry("orders", &self.orders)?;
        map.end()
    }
}

/// The rows of a figure that is cut by one dimension, each under `name`.
pub(super) fn by_one<'a>(
    question: &Question<'a>,
    figure: &str,
    dimension: &str,
    name: &'static str,
) -> (Vec<Row<'a>>, Basis) {
    let found = Breakdown::of(question, figure, [dimension], ["revenue", "orders"]);
    let rows = found.rows.iter().map(|([text], [revenue, orders])| Row {
        name,
        text,
        revenue: found.amount(*revenue),
        orders: *orders,
    });
    (rows.collect(), found.basis)
}

/// The names of all products.
pub(super) fn names(question: &Question<'_>) -> Arc<HashMap<String, String>> {
    let Some(figure) = question.cells.and_then(|cells| cells.figure("product_name")) else {
        return Arc::default();
    };
    let pair = |series: &crate::cells::Series| {
        Some((series.dimensions.get("item_id")?.clone(), series.dimensions.get("title")?.clone()))
    };
    figure.asked.names.answer("", || figure.series().filter_map(pair).collect())
}

#[cfg(test)]
pub(crate) mod samples {
    use commerce::{Metric, ReceivedTime, WorkspaceId};

    /// A cell of a breakdown in US dollars.
    pub(crate) fn cell(
        metric: &str,
        day: &str,
        dimensions: &[(&str, &str)],
        values: &[(&str, i64)],
    ) -> Metric {
        let mut all: std::collections::BTreeMap<String, String> =
            [("currency", "USD"), ("source", "shopify")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        all.extend(dimensions.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        Metric {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            metric: metric.to_owned(),
            window: "day".to_owned(),
            window_start: day.to_owned(),
            dimensions: all,
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            revision: 0,
            corrected: false,
            as_of: ReceivedTime(0),
            window_end_at: None,
            members: None,
        }
    }

    /// What a product is called.
    pub(crate) fn name(product: &str, title: &str) -> Metric {
        Metric {
            window: "all".to_owned(),
            window_start: String::new(),
            dimensions: [("item_id", product), ("title", title)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            ..cell("product_name", "", &[], &[])
        }
    }
}
