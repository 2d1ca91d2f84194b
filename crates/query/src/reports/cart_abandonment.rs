//! `cart-abandonment` (§6.10): what became of the carts that were opened in the range.

use serde::Serialize;

use super::breakdown::Breakdown;
use super::{Basis, Question};
use crate::amount::{Amount, Percent};

/// The answer.
#[derive(Debug, Serialize)]
pub struct CartAbandonment {
    /// Abandoned carts of those that were abandoned or completed; 0 without any.
    pub abandonment_rate: Percent,
    /// Carts without a purchase within the window after the last activity.
    pub abandoned_carts: i128,
    /// What they are worth.
    pub abandoned_revenue: Amount,
    /// Carts that ended in a purchase, also a late one.
    pub completed_carts: i128,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// The figures of the answer, in their order.
pub(super) const COLUMNS: [&str; 5] =
    ["abandonment_rate", "abandoned_carts", "abandoned_revenue", "completed_carts", "days"];

/// The rate alone.
pub(super) fn rate(question: &Question<'_>) -> Percent {
    let [abandoned, completed] = carts(question);
    Percent::of(abandoned, abandoned + completed)
}

/// Abandoned and completed carts.
fn carts(question: &Question<'_>) -> [i128; 2] {
    let figure = question.cells.and_then(|cells| cells.figure("carts"));
    let asked = |series: &&crate::cells::Series| {
        let source = series.dimensions.get("source").map(String::as_str);
        question.source.is_none_or(|asked| source == Some(asked.as_str()))
    };
    let series: Vec<_> = figure.iter().flat_map(|figure| figure.series()).filter(asked).collect();
    ["abandoned", "completed"].map(|name| series.iter().map(|s| s.sum(question.range, name)).sum())
}

/// Computes the answer.
pub fn of(question: &Question<'_>) -> CartAbandonment {
    let [abandoned, completed] = carts(question);
    let value = Breakdown::of(question, "abandoned_value", [], ["value"]);
    CartAbandonment {
        abandonment_rate: rate(question),
        abandoned_carts: abandoned,
        abandoned_revenue: value.amount(value.rows.iter().map(|([], [minor])| minor).sum()),
        completed_carts: completed,
        days: question.range.days(),
        basis: value.basis,
    }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::cell;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    #[test]
    fn ana_c22_carts_that_are_neither_are_in_no_rate() {
        let carts = |day: &str, opened, completed, abandoned| {
            let values = [("opened", opened), ("completed", completed), ("abandoned", abandoned)];
            let mut metric = cell("carts", day, &[], &values);
            metric.dimensions.remove("currency");
            metric
        };
        let known = cells(&[
            carts("2026-03-01", 500, 100, 300),
            carts("2026-03-02", 300, 138, 220),
            carts("2026-04-02", 1, 1, 0),
            cell("abandoned_value", "2026-03-01", &[], &[("value", 12_345)]),
        ]);
        assert_eq!(
            serde_json::to_string(&of(&question(Some(&known), "2026-03-01", "2026-03-30"))).unwrap(),
            concat!(
                r#"{"abandonment_rate":68.6,"abandoned_carts":520,"abandoned_revenue":123.45,"#,
                r#""completed_carts":238,"days":30,"currency":"USD","held":{},"as_of":null,"corrected":false}"#
            )
        );
    }
}
