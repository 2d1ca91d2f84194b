//! Revenue, orders and refunds per day and currency, in the workspace's zone.
//!
//! A counted order stands on the day of its payment with its gross total; a refund stands on its own day. Both move
//! when the order's view moves.

use std::borrow::Cow;

use commerce::Money;
use commerce::order::Figures;
use commerce::time::Zone;

use crate::aggregation::{Aggregation, Of, bounded};
use crate::cell::Deltas;

/// All of the workspace.
pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue",
    cut: &["currency"],
    figures: &FIGURES,
    of: Of::Order(|view, zone, deltas| add(view, zone, deltas, None)),
};

/// The figures of a cell.
pub(crate) const FIGURES: [&str; 8] =
    ["gross", "orders", "items", "discount", "shipping", "tax", "refund_amount", "refunds"];

/// Adds what an order stands for, cut by the currency and `by`.
pub(crate) fn add<'a>(view: &'a Figures, zone: &Zone, deltas: &mut Deltas, by: Option<&'a str>) {
    let dimensions =
        |money: &'a Money| [Some(money.currency.as_str()), by].into_iter().flatten().map(Cow::Borrowed);
    if let (true, Some(at), Some(total)) = (view.counted, view.counted_at, &view.total) {
        let minor = |money: Option<Money>| money.map_or(0, |money| money.minor);
        let figures = [
            total.minor,
            1,
            bounded(view.item_count),
            minor(view.discount_total),
            minor(view.shipping_total),
            minor(view.tax_total),
            0,
            0,
        ];
        deltas.add(zone.day_of(at), dimensions(total), figures);
    }
    for (id, amount) in &view.refunds {
        if let Some(at) = view.refund_times.get(id) {
            deltas.add(zone.day_of(*at), dimensions(amount), [0, 0, 0, 0, 0, 0, amount.minor, 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use commerce::time::DAY;
    use commerce::{Currency, EventTime};

    use super::*;
    use crate::aggregation::samples::{moved, paid};

    /// The cells of the metric that move, as day and figures.
    fn revenue(before: Option<&Figures>, after: Option<&Figures>) -> Vec<(i32, Vec<i64>)> {
        let cells = moved(before, after).into_iter().filter(|cell| cell.metric == "revenue");
        cells.map(|cell| (cell.day, cell.sums)).collect()
    }

    #[test]
    fn a_changed_amount_moves_its_cell_by_the_difference() {
        let moved = revenue(Some(&paid(100, 1)), Some(&paid(250, 1)));
        assert_eq!(moved, [(1, vec![150, 0, 0, 0, 0, 0, 0, 0])]);
    }

    #[test]
    fn a_changed_day_moves_the_order_from_one_cell_to_the_other() {
        let moved = revenue(Some(&paid(100, 1)), Some(&paid(100, 2)));
        assert_eq!(
            moved.iter().map(|(day, sums)| (*day, sums[0])).collect::<Vec<_>>(),
            [(1, -100), (2, 100)]
        );
    }

    #[test]
    fn a_refund_stands_on_its_own_day() {
        let mut after = paid(100, 1);
        after.refunds.insert("r".into(), Money::new(40, Currency::USD));
        after.refund_times.insert("r".into(), EventTime(60 * DAY));
        let moved = revenue(Some(&paid(100, 1)), Some(&after));
        assert_eq!(moved, [(60, vec![0, 0, 0, 0, 0, 0, 40, 1])]);
    }

    #[test]
    fn a_test_order_is_in_no_figure() {
        let view = Figures { qa: true, ..paid(100, 1) };
        assert_eq!(revenue(None, Some(&view)), []);
        assert_eq!(revenue(Some(&paid(100, 1)), Some(&view)).len(), 1);
    }
}
