//! Revenue, orders and discount by coupon code: upper-case, an order under each of its codes, an
//! order without a code under none.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::aggregation::{Aggregation, Of, by};
use crate::cell::Deltas;

pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue_by_coupon",
    cut: &["currency", "source", "coupon"],
    figures: &["revenue", "orders", "discount"],
    of: Of::Order(|view, zone, deltas: &mut Deltas| {
        let Some((at, total)) = view.purchase() else { return };
        let codes: BTreeSet<String> =
            view.coupon_codes.iter().map(|code| code.trim().to_uppercase()).collect();
        let discount = view.discount_total.map_or(0, |money| money.minor);
        for code in codes.into_iter().filter(|code| !code.is_empty()) {
            deltas.add(zone.day_of(at), by(view, total, [Cow::Owned(code)]), [total.minor, 1, discount]);
        }
    }),
};

#[cfg(test)]
mod tests {
    use commerce::order::Figures;
    use commerce::{Currency, Money};

    use crate::aggregation::samples::{cells_of, paid};

    #[test]
    fn an_order_stands_once_under_each_of_its_codes() {
        let view = Figures {
            coupon_codes: ["vip", "Spring ", "SPRING", " "].map(str::to_owned).into(),
            discount_total: Some(Money::new(30, Currency::USD)),
            ..paid(100, 1)
        };
        let cells = cells_of("revenue_by_coupon", None, Some(&view));
        assert_eq!(cells, ["1 USD shopify SPRING [100, 1, 30]", "1 USD shopify VIP [100, 1, 30]"]);
        assert!(cells_of("revenue_by_coupon", None, Some(&paid(100, 1))).is_empty());
        let less = Figures { coupon_codes: vec!["vip".into()], discount_total: None, ..view.clone() };
        let cells = cells_of("revenue_by_coupon", Some(&view), Some(&less));
        assert_eq!(cells, ["1 USD shopify SPRING [-100, -1, -30]", "1 USD shopify VIP [0, 0, -30]"]);
    }
}
