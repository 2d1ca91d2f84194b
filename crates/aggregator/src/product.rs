//! Revenue, quantity and orders by product: `price x quantity - discount` over the lines of
//! purchases. The product is the line's product id, else its sku (D-ANA-14); a line with neither is in no product.

use std::borrow::Cow;
use std::collections::BTreeMap;

use commerce::money::GREATEST_MINOR;
use commerce::order::{Base, Line};
use commerce::{Currency, Money};

use crate::aggregation::{Aggregation, Of, bounded, by};
use crate::cell::Deltas;

pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue_by_product",
    cut: &["currency", "source", "item_id"],
    figures: &["revenue", "quantity", "orders"],
    of: Of::Order(|view, zone, deltas: &mut Deltas| {
        let Some((at, total)) = view.purchase() else { return };
        let mut products: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for line in &view.items {
            if let Some(id) = item_id(line) {
                let (revenue, quantity) = products.entry(id).or_default();
                *revenue = revenue.saturating_add(worth(line, total.currency, view.base.as_ref()));
                *quantity = quantity.saturating_add(bounded(line.quantity));
            }
        }
        for (id, (revenue, quantity)) in products {
            deltas.add(zone.day_of(at), by(view, total, [Cow::Borrowed(id)]), [revenue, quantity, 1]);
        }
    }),
};

/// The product of a line.
pub(crate) fn item_id(line: &Line) -> Option<&str> {
    let given = |text: &'_ Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    let id = if given(&line.product_id) { &line.product_id } else { &line.sku };
    id.as_deref().map(str::trim).filter(|id| !id.is_empty())
}

/// What a line is worth in the currency of the view, converted as a whole where the view is in base. One without a
/// price, or with one in another currency than the order's, is worth nothing. What
/// a forged quantity makes of it stays within what is believed to be an amount.
fn worth(line: &Line, currency: Currency, base: Option<&Base>) -> i64 {
    let Some(price) = line.price else { return 0 };
    let discount = line
        .discount
        .filter(|money| money.currency == price.currency)
        .map_or(0, |money| i128::from(money.minor));
    let worth = i128::from(price.minor) * i128::from(line.quantity) - discount;
    let bound = i128::from(GREATEST_MINOR);
    let worth = Money::new(i64::try_from(worth.clamp(-bound, bound)).unwrap_or_default(), price.currency);
    if worth.currency == currency {
        return worth.minor;
    }
    let base = base.filter(|base| base.currency == currency);
    base.and_then(|base| base.convert(worth)).map_or(0, |money| money.minor)
}

#[cfg(test)]
mod tests {
    use commerce::order::{Figures, Line};
    use commerce::time::DAY;
    use commerce::{Currency, EventTime, Money};

    use crate::aggregation::samples::{cells_of, line, paid};

    #[test]
    fn an_order_counts_once_for_a_product_on_several_lines() {
        let usd = |minor| Some(Money::new(minor, Currency::USD));
        let view = Figures {
            items: vec![
                Line { discount: usd(50), ..line("A", "Nano", 2, 1_000) },
                line("A", "Nano", 1, 900),
                Line { product_id: None, sku: Some("SKU-1".into()), ..line("", "Case", 3, 10) },
                Line { product_id: None, ..line("", "Nameless", 1, 7) },
                Line { price: None, ..line("B", "Gift", 4, 0) },
                Line { price: Some(Money::new(5, Currency::parse("EUR").unwrap())), ..line("C", "", 1, 0) },
            ],
            ..paid(5_000, 1)
        };
        let cells = cells_of("revenue_by_product", None, Some(&view));
        assert_eq!(
            cells,
            [
                "1 USD shopify A [2850, 3, 1]",
                "1 USD shopify B [0, 4, 1]",
                "1 USD shopify C [0, 1, 1]",
                "1 USD shopify SKU-1 [30, 3, 1]",
            ]
        );
    }

    #[test]
    fn a_line_that_leaves_an_order_leaves_its_product() {
        let before = Figures { items: vec![line("A", "", 1, 10), line("B", "", 1, 20)], ..paid(30, 1) };
        let after = Figures { items: vec![line("A", "", 2, 10)], ..paid(30, 1) };
        let cells = cells_of("revenue_by_product", Some(&before), Some(&after));
        assert_eq!(cells, ["1 USD shopify A [10, 1, 0]", "1 USD shopify B [-20, -1, -1]"]);
        let moved = Figures { counted_at: Some(EventTime(2 * DAY)), ..after.clone() };
        let cells = cells_of("revenue_by_product", Some(&after), Some(&moved));
        assert_eq!(cells, ["1 USD shopify A [-20, -2, -1]", "2 USD shopify A [20, 2, 1]"]);
    }

    #[test]
    fn a_forged_quantity_stays_within_bounds() {
        let view = Figures { items: vec![line("A", "", i64::MAX, i64::MAX)], ..paid(1, 1) };
        let cells = cells_of("revenue_by_product", None, Some(&view));
        assert_eq!(cells, ["1 USD shopify A [1000000000000000, 1000000000000, 1]"]);
    }
}
