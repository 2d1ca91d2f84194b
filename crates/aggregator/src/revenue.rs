//! Revenue, orders and refunds per day and currency, in the workspace's zone.
//!
//! A counted order stands on the day of its payment with its gross total; a refund stands on its own day. Both move
//! when the order's view moves.

use std::collections::BTreeMap;

use commerce::Money;
use commerce::order::Figures;
use commerce::time::Zone;

use crate::cell::Place;

/// The metric's name.
pub(crate) const METRIC: &str = "revenue";

/// The figures of a cell, in stored order. New ones are added at the end.
pub(crate) const NAMES: [&str; 8] =
    ["gross", "orders", "items", "discount", "shipping", "tax", "refund_amount", "refunds"];

/// Changes by cell.
pub(crate) type Deltas = BTreeMap<Place, [i64; NAMES.len()]>;

/// Adds what an order stands for, times `sign`.
pub(crate) fn add(view: &Figures, zone: &Zone, sign: i64, deltas: &mut Deltas) {
    if view.qa {
        return;
    }
    if let (true, Some(at), Some(total)) = (view.counted, view.counted_at, view.total) {
        let place = Place { metric: METRIC.to_owned(), day: zone.day_of(at), currency: total.currency };
        let minor = |money: Option<Money>| money.map_or(0, |money| money.minor);
        let figures = [
            total.minor,
            1,
            view.item_count,
            minor(view.discount_total),
            minor(view.shipping_total),
            minor(view.tax_total),
            0,
            0,
        ];
        accumulate(deltas.entry(place).or_default(), &figures, sign);
    }
    for (id, amount) in &view.refunds {
        let Some(at) = view.refund_times.get(id) else { continue };
        let place = Place { metric: METRIC.to_owned(), day: zone.day_of(*at), currency: amount.currency };
        accumulate(deltas.entry(place).or_default(), &[0, 0, 0, 0, 0, 0, amount.minor, 1], sign);
    }
}

/// What moves between two views: cells that don't move are left out.
pub(crate) fn deltas(before: Option<&Figures>, after: Option<&Figures>, zone: &Zone) -> Deltas {
    let mut deltas = Deltas::new();
    if let Some(view) = before {
        add(view, zone, -1, &mut deltas);
    }
    if let Some(view) = after {
        add(view, zone, 1, &mut deltas);
    }
    deltas.retain(|_, figures| figures.iter().any(|figure| *figure != 0));
    deltas
}

fn accumulate(sums: &mut [i64; NAMES.len()], figures: &[i64; NAMES.len()], sign: i64) {
    for (sum, figure) in sums.iter_mut().zip(figures) {
        // Amounts from outside are below 10^15, so a handful of them can't leave 64 bits; a count of items could.
        *sum = sum.saturating_add(figure.saturating_mul(sign));
    }
}

#[cfg(test)]
mod tests {
    use commerce::time::DAY;
    use commerce::{Currency, EventTime};

    use super::*;

    fn paid(minor: i64, day: i64) -> Figures {
        Figures {
            counted: true,
            counted_at: Some(EventTime(day * DAY)),
            total: Some(Money::new(minor, Currency::USD)),
            item_count: 2,
            ..Figures::default()
        }
    }

    #[test]
    fn a_changed_amount_moves_its_cell_by_the_difference() {
        let deltas = deltas(Some(&paid(100, 1)), Some(&paid(250, 1)), &Zone::utc());
        assert_eq!(deltas.values().collect::<Vec<_>>(), [&[150, 0, 0, 0, 0, 0, 0, 0]]);
    }

    #[test]
    fn a_changed_day_moves_the_order_from_one_cell_to_the_other() {
        let deltas = deltas(Some(&paid(100, 1)), Some(&paid(100, 2)), &Zone::utc());
        assert_eq!(deltas.len(), 2);
        assert_eq!(deltas.values().map(|f| f[0]).collect::<Vec<_>>(), [-100, 100]);
    }

    #[test]
    fn a_refund_stands_on_its_own_day() {
        let mut after = paid(100, 1);
        after.refunds.insert("r".into(), Money::new(40, Currency::USD));
        after.refund_times.insert("r".into(), EventTime(60 * DAY));
        let deltas = deltas(Some(&paid(100, 1)), Some(&after), &Zone::utc());
        let (place, figures) = deltas.iter().next().unwrap();
        assert_eq!((place.day.0, figures[6], figures[7]), (60, 40, 1));
        assert_eq!(deltas.len(), 1);
    }

    #[test]
    fn a_test_order_is_in_no_figure() {
        let view = Figures { qa: true, ..paid(100, 1) };
        assert!(deltas(None, Some(&view), &Zone::utc()).is_empty());
    }
}
