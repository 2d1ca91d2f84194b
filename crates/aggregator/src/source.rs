//! The figures of [`revenue`](crate::revenue) by the source whose word counts, refunds included.

use crate::aggregation::{Aggregation, Of, source};
use crate::revenue;

pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue_by_source",
    cut: &["currency", "source"],
    figures: &revenue::FIGURES,
    of: Of::Order(|view, zone, deltas| revenue::add(view, zone, deltas, Some(source(view)))),
};

#[cfg(test)]
mod tests {
    use commerce::order::Figures;
    use commerce::time::DAY;
    use commerce::{Currency, EventTime, Money, Source};

    use crate::aggregation::samples::{cells_of, paid};

    #[test]
    fn a_refund_after_sixty_days_stands_on_its_own_day_under_its_source() {
        let mut after = paid(100, 1);
        after.refunds.insert("r".into(), Money::new(40, Currency::USD));
        after.refund_times.insert("r".into(), EventTime(61 * DAY));
        let cells = cells_of("revenue_by_source", Some(&paid(100, 1)), Some(&after));
        assert_eq!(cells, ["61 USD shopify [0, 0, 0, 0, 0, 0, 40, 1]"]);
    }

    #[test]
    fn a_marked_order_is_summed_apart_too_until_it_isnt_marked_any_more() {
        let marked = Figures { flagged: true, ..paid(100, 1) };
        let apart = |before: Option<&Figures>, after: Option<&Figures>| {
            cells_of("flagged_revenue_by_source", before, after)
        };
        assert_eq!(apart(None, Some(&marked)), ["1 USD shopify [100, 1, 2, 0, 0, 0, 0, 0]"]);
        assert_eq!(
            apart(Some(&marked), Some(&paid(100, 1))),
            ["1 USD shopify [-100, -1, -2, 0, 0, 0, 0, 0]"]
        );
        assert!(apart(None, Some(&paid(100, 1))).is_empty());
        assert_eq!(cells_of("revenue_by_source", None, Some(&marked)).len(), 1);
        assert!(cells_of("revenue_by_source", Some(&marked), Some(&paid(100, 1))).is_empty());
    }

    #[test]
    fn another_source_that_takes_the_word_takes_the_order_with_it() {
        let after = Figures { source: Some(Source::Analytics), ..paid(100, 1) };
        let cells = cells_of("revenue_by_source", Some(&paid(100, 1)), Some(&after));
        assert_eq!(
            cells,
            ["1 USD analytics [100, 1, 2, 0, 0, 0, 0, 0]", "1 USD shopify [-100, -1, -2, 0, 0, 0, 0, 0]"]
        );
    }
}
