//! What the amounts of a cell are in.

use std::fmt;

use commerce::order::Figures;
use commerce::{Currency, Money};
use serde::{Deserialize, Serialize};

use crate::aggregation::{Aggregation, Of, source};

/// Separates the two of an amount that was converted: `EUR>USD`.
const INTO: char = '>';

/// The currency of an order, or its currency and the base into which its amounts were converted: what is in base is
/// summed apart, so that both can be told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) currency: Currency,
    pub(crate) base: Option<Currency>,
}

impl Unit {
    /// The currency by itself.
    pub(crate) const fn own(currency: Currency) -> Self {
        Self { currency, base: None }
    }

    /// The amounts of a total: in its own currency, and in base where that is another and the rate is known.
    pub(crate) fn amounts(total: Money, in_base: Option<Money>) -> impl Iterator<Item = (Self, i64)> {
        let own = (Self::own(total.currency), total.minor);
        let base = in_base.map(|base| (Self { base: Some(base.currency), ..own.0 }, base.minor));
        [Some(own), base].into_iter().flatten()
    }

    /// The dimensions that a text stands for: the currency and, where it was converted, the base.
    pub(crate) fn dimensions(text: &str) -> (&str, Option<&str>) {
        text.split_once(INTO).map_or((text, None), |(currency, base)| (currency, Some(base)))
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.currency, f)?;
        self.base.map_or(Ok(()), |base| write!(f, "{INTO}{base}"))
    }
}

/// How much of each currency is known in base, in that currency: the rest waits for rates.
pub(crate) const CONVERTED: Aggregation = Aggregation {
    metric: "converted",
    cut: &["currency", "source"],
    figures: &["gross", "orders"],
    of: Of::Order(|view, zone, deltas| {
        if let (Some((at, total)), Some(unit)) = (view.purchase(), unit(view)) {
            let dimensions = [unit.to_string().into(), source(view).into()];
            deltas.add(zone.day_of(at), dimensions, [total.minor, 1]);
        }
    }),
};

/// The unit of a view that is in its own currency and known in base too.
fn unit(view: &Figures) -> Option<Unit> {
    let (own, base) = (view.total?.currency, view.base.as_ref()?.currency);
    (own != base).then_some(Unit { currency: own, base: Some(base) })
}

#[cfg(test)]
mod tests {
    use commerce::fx::Rate;
    use commerce::order::View;
    use commerce::{EventTime, PersonId};

    use super::*;
    use crate::aggregation::samples::{cells_of, line, paid};
    use crate::processor::samples::Folded;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    /// An order of so many euro cents, and its refunds, at a rate of dollars for the euro.
    fn euros(minor: i64, refunds: &[i64], rate: Option<&str>) -> Figures {
        let eur = |minor| Money::new(minor, currency("EUR"));
        let ids = || (0..refunds.len()).map(|n| n.to_string());
        let refunds: std::collections::BTreeMap<_, _> =
            ids().zip(refunds.iter().map(|minor| eur(*minor))).collect();
        let times: std::collections::BTreeMap<_, _> =
            refunds.keys().map(|id| (id.clone(), EventTime(5))).collect();
        let mut item = line("A", "Nano", 3, 0);
        item.price = Some(eur(minor / 3));
        let mut figures = Figures {
            total: Some(eur(minor)),
            discount_total: Some(eur(101)),
            refunds: refunds.clone(),
            refund_times: times.clone(),
            items: vec![item],
            coupon_codes: vec!["VIP".into()],
            person_id: Some(PersonId(7)),
            ..paid(minor, 1)
        };
        let mut view = View {
            total: figures.total,
            discount_total: figures.discount_total,
            counted_at: figures.counted_at,
            refunds,
            refund_times: times,
            ..View::default()
        };
        view.settle_base(Currency::USD, rate.map(|rate| Rate::parse(rate).unwrap()));
        figures.base = view.base;
        figures
    }

    #[test]
    fn an_order_in_another_currency_stands_in_both_units() {
        let view = euros(1_000, &[], Some("1.5"));
        assert_eq!(
            cells_of("revenue", None, Some(&view)),
            ["1 EUR [1000, 1, 2, 101, 0, 0, 0, 0]", "1 EUR>USD [1500, 1, 2, 152, 0, 0, 0, 0]"]
        );
        assert_eq!(
            cells_of("revenue_by_coupon", None, Some(&view)),
            ["1 EUR shopify VIP [1000, 1, 101]", "1 EUR>USD shopify VIP [1500, 1, 152]"]
        );
        // 3 x 3.33 is converted as a whole, and not a third three times.
        assert_eq!(
            cells_of("revenue_by_product", None, Some(&view)),
            ["1 EUR shopify A [999, 3, 1]", "1 EUR>USD shopify A [1499, 3, 1]"]
        );
        assert_eq!(cells_of("converted", None, Some(&view)), ["1 EUR>USD shopify [1000, 1]"]);
    }

    #[test]
    fn an_order_in_the_base_currency_stands_in_it_alone() {
        assert_eq!(cells_of("revenue", None, Some(&paid(1_000, 1))).len(), 1);
        assert!(cells_of("converted", None, Some(&paid(1_000, 1))).is_empty());
    }

    #[test]
    fn a_rate_that_comes_later_adds_the_cells_in_base_and_moves_no_other() {
        let (waiting, known) = (euros(1_000, &[], None), euros(1_000, &[], Some("1.5")));
        assert_eq!(
            cells_of("revenue", Some(&waiting), Some(&known)),
            ["1 EUR>USD [1500, 1, 2, 152, 0, 0, 0, 0]"]
        );
        let mut folded = Folded::new();
        folded.order(None, Some(&waiting));
        folded.order(Some(&waiting), Some(&known));
        for metric in ["revenue_by_buyer", "cohort_revenue", "unattributed"] {
            let cells = folded.cells(metric);
            assert_eq!(cells.len(), 2, "{metric}: {cells:?}");
            let in_base = cells.iter().find(|cell| cell.contains("USD")).unwrap();
            assert!(in_base.contains("EUR") && in_base.contains("1500"), "{in_base}");
        }
        folded.order(Some(&known), Some(&Figures { counted: false, ..known.clone() }));
        for metric in ["revenue", "revenue_by_buyer", "cohort_revenue", "unattributed", "converted"] {
            assert!(folded.cells(metric).is_empty(), "{metric}");
        }
    }

    #[test]
    fn a_full_refund_in_parts_leaves_nothing_in_base() {
        let view = euros(10_000, &[3_333, 3_333, 3_334], Some("1.08425"));
        let cells = cells_of("revenue", None, Some(&view));
        let sum = |figure: usize| -> i64 {
            let of = |cell: &String| {
                let list = cell.split_once('[').unwrap().1.trim_end_matches(']').to_owned();
                list.split(", ").nth(figure).unwrap().parse::<i64>().unwrap()
            };
            cells.iter().filter(|cell| cell.contains("EUR>USD")).map(of).sum()
        };
        assert_eq!((sum(0), sum(6), sum(7)), (10_843, 10_843, 3));
    }
}
