//! `revenue-by-coupon` (§6.6).

use serde::Serialize;

use super::breakdown::Breakdown;
use super::{Basis, Question};
use crate::amount::{Amount, divide};

/// The answer.
#[derive(Debug, Serialize)]
pub struct RevenueByCoupon<'a> {
    /// By revenue descending. An order with several codes stands under each.
    pub coupons: Vec<Coupon<'a>>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// One code.
#[derive(Debug, Serialize)]
pub struct Coupon<'a> {
    /// Upper-case.
    pub coupon_code: &'a str,
    /// Gross.
    pub revenue: Amount,
    /// Counted orders.
    pub orders: i128,
    /// What was taken off an order on average; an order that doesn't say so took off 0.
    pub avg_discount: Amount,
}

/// Computes the answer.
pub fn of<'a>(question: &Question<'a>) -> RevenueByCoupon<'a> {
    let values = ["revenue", "orders", "discount"];
    let found = Breakdown::of(question, "revenue_by_coupon", ["coupon"], values);
    let coupons = found.rows.iter().map(|([code], [revenue, orders, discount])| Coupon {
        coupon_code: code,
        revenue: found.amount(*revenue),
        orders: *orders,
        avg_discount: found.amount(divide(*discount, *orders)),
    });
    RevenueByCoupon { coupons: coupons.collect(), days: question.range.days(), basis: found.basis }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::cell;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    #[test]
    fn the_average_discount_is_over_all_orders_of_the_code_and_rounds_half_up() {
        let used = |day: &str, revenue: i64, orders: i64, discount: i64| {
            let values = [("revenue", revenue), ("orders", orders), ("discount", discount)];
            cell("revenue_by_coupon", day, &[("coupon", "SPRING")], &values)
        };
        let known = cells(&[used("2026-03-01", 1_000, 1, 101), used("2026-03-02", 500, 1, 0)]);
        assert_eq!(
            serde_json::to_string(&of(&question(Some(&known), "2026-03-01", "2026-03-02"))).unwrap(),
            concat!(
                r#"{"coupons":[{"coupon_code":"SPRING","revenue":15.00,"orders":2,"avg_discount":0.51}],"#,
                r#""days":2,"currency":"USD","held":{},"as_of":null,"corrected":false}"#
            )
        );
    }
}
