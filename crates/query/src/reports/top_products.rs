//! `top-products` (§6.4).

use std::sync::Arc;

use commerce::Source;
use serde::Serialize;

use super::breakdown::{Breakdown, names};
use super::{Basis, Question, Revenue};
use crate::amount::Amount;
use crate::cells::Best;

/// What is summed.
const FIGURE: &str = "revenue_by_product";

/// How many products are listed when nobody says.
pub const DEFAULT_LIMIT: usize = 20;
/// How many are listed at most.
pub const GREATEST_LIMIT: usize = 100;

/// The answer.
#[derive(Debug, Serialize)]
pub struct TopProducts {
    /// By revenue descending.
    pub products: Vec<Product>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// One product.
#[derive(Debug, Serialize)]
pub struct Product {
    /// Its id.
    pub item_id: String,
    /// The title under which it was bought last; empty where it never had one.
    pub item_name: String,
    /// Price x quantity - discount over the lines of purchases.
    pub revenue: Amount,
    /// Sum of quantities.
    pub quantity: i128,
    /// Distinct orders with the product.
    pub orders: i128,
}

/// `limit` is not a positive integer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("Invalid limit")]
pub struct InvalidLimit;

/// Reads `limit`: a positive integer, of which more than the greatest is as good as the greatest.
pub fn limit(text: Option<&str>) -> Result<usize, InvalidLimit> {
    let Some(text) = text else { return Ok(DEFAULT_LIMIT) };
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidLimit);
    }
    // Digits that no number holds are a great many.
    match text.parse().unwrap_or(usize::MAX) {
        0 => Err(InvalidLimit),
        limit => Ok(limit.min(GREATEST_LIMIT)),
    }
}

/// Computes the answer.
pub fn of(question: &Question<'_>) -> TopProducts {
    let revenue = Revenue::of(question);
    let mut basis = revenue.basis(question);
    let (best, names) = (best(question, &revenue), names(question));
    basis.corrected = basis.corrected || best.corrected;
    let exponent = revenue.currency.exponent();
    let products = best.rows.iter().take(question.limit).map(|(id, [revenue, quantity, orders])| Product {
        item_id: id.clone(),
        item_name: names.get(id).cloned().unwrap_or_default(),
        revenue: Amount { minor: *revenue, exponent },
        quantity: *quantity,
        orders: *orders,
    });
    TopProducts { products: products.collect(), days: question.range.days(), basis }
}

/// As many of the best products as are ever listed.
fn best(question: &Question<'_>, revenue: &Revenue<'_>) -> Arc<Best> {
    let compute = || {
        let values = ["revenue", "quantity", "orders"];
        let found = Breakdown::first(question, FIGURE, ["item_id"], values, GREATEST_LIMIT);
        let rows = found.rows.iter().map(|([id], sums)| ((*id).to_owned(), *sums));
        Best { rows: rows.collect(), corrected: found.basis.corrected }
    };
    match question.cells.and_then(|cells| cells.figure(FIGURE)) {
        // Those that are marked are another figure.
        Some(figure) if !question.exclude_flagged => {
            let (range, source) = (question.range, question.source.map_or("", Source::as_str));
            let base = if question.currency.is_none() { question.base.as_str() } else { "" };
            let asked = format!("{} {base} {source} {} {}", revenue.currency, range.first(), range.days());
            figure.asked.best.answer(&asked, compute)
        }
        _ => Arc::new(compute()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::{cell, name};
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    fn sold(day: &str, product: &str, revenue: i64, quantity: i64) -> commerce::Metric {
        let values = [("revenue", revenue), ("quantity", quantity), ("orders", 1)];
        cell("revenue_by_product", day, &[("item_id", product)], &values)
    }

    #[test]
    fn ana_c17_products_are_by_revenue_then_by_id_and_at_most_a_hundred() {
        let mut records = vec![
            sold("2026-03-01", "b", 500, 1),
            sold("2026-03-02", "b", 500, 2),
            sold("2026-03-01", "a", 1_000, 5),
            sold("2026-03-01", "z", 2_000, 1),
            sold("2026-02-01", "old", 9_000, 1),
            sold("2026-03-01", "nothing", 0, 0),
            name("a", "Nano, \"red\""),
            name("other", "Other"),
        ];
        records[5].values.insert("orders".to_owned(), 0);
        let known = cells(&records);
        let asked = question(Some(&known), "2026-03-01", "2026-03-30");
        assert_eq!(
            serde_json::to_string(&of(&asked)).unwrap(),
            concat!(
                r#"{"products":[{"item_id":"z","item_name":"","revenue":20.00,"quantity":1,"orders":1},"#,
                r#"{"item_id":"a","item_name":"Nano, \"red\"","revenue":10.00,"quantity":5,"orders":1},"#,
                r#"{"item_id":"b","item_name":"","revenue":10.00,"quantity":3,"orders":2}],"days":30,"#,
                r#""currency":"USD","held":{},"as_of":null,"corrected":false}"#
            )
        );
        let many: Vec<_> = (0..150).map(|n| sold("2026-03-01", &format!("{n:03}"), 150 - n, 1)).collect();
        let known = cells(&many);
        let mut asked = question(Some(&known), "2026-03-01", "2026-03-30");
        asked.limit = limit(Some("500")).unwrap();
        let answer = of(&asked);
        assert_eq!((answer.products.len(), answer.products[99].item_id.as_str()), (100, "099"));
        asked.limit = limit(None).unwrap();
        assert_eq!(of(&asked).products.len(), 20);
    }

    #[test]
    fn a_limit_is_a_positive_integer() {
        for (text, expected) in
            [("1", 1), ("007", 7), ("100", 100), ("101", 100), ("99999999999999999999999", 100)]
        {
            assert_eq!(limit(Some(text)), Ok(expected), "{text}");
        }
        for text in ["0", "-1", "+1", "1.5", "ten", "1e2", " 1"] {
            assert_eq!(limit(Some(text)), Err(InvalidLimit), "{text}");
        }
        assert_eq!(InvalidLimit.to_string(), "Invalid limit");
    }
}
