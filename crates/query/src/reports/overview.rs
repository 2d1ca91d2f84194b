//! `overview` (§6.1).

use serde::Serialize;

use super::{Basis, Question, Revenue, actors, cart_abandonment};
use crate::amount::{Amount, Percent};

/// The answer.
#[derive(Debug, Serialize)]
pub struct Overview {
    /// Sum of purchases, gross.
    pub total_revenue: Amount,
    /// `total_revenue` less `refund_amount`.
    pub net_revenue: Amount,
    /// Counted orders.
    pub total_orders: i128,
    /// Refunds dated in the range.
    pub total_refunds: i128,
    /// Their sum.
    pub refund_amount: Amount,
    /// `total_revenue / total_orders`, 0 without orders.
    pub avg_order_value: Amount,
    /// Sum of quantities.
    pub total_items_sold: i128,
    /// Abandoned of the carts that ended (§6.10).
    pub cart_abandonment_rate: Percent,
    /// Actors with `add_to_cart` of those with `view_item`.
    pub add_to_cart_rate: Percent,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// The figures of the answer, in their order.
pub(super) const COLUMNS: [&str; 10] = [
    "total_revenue",
    "net_revenue",
    "total_orders",
    "total_refunds",
    "refund_amount",
    "avg_order_value",
    "total_items_sold",
    "cart_abandonment_rate",
    "add_to_cart_rate",
    "days",
];

/// Computes the answer.
pub fn of(question: &Question<'_>) -> Overview {
    let steps = actors::distinct(question, "funnel", ["step"]);
    let did = |step| steps.of(&[step]);
    let revenue = Revenue::of(question);
    let sums = revenue.sums(revenue.currency, question.range);
    Overview {
        total_revenue: sums.amount(sums.gross),
        net_revenue: sums.amount(sums.net()),
        total_orders: sums.orders,
        total_refunds: sums.refunds,
        refund_amount: sums.amount(sums.refund_amount),
        avg_order_value: sums.amount(sums.average()),
        total_items_sold: sums.items,
        cart_abandonment_rate: cart_abandonment::rate(question),
        add_to_cart_rate: Percent::of(did("add_to_cart"), did("view_item")),
        days: question.range.days(),
        basis: revenue.basis(question),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::{cells, revenue};
    use commerce::{Currency, ReceivedTime};

    fn json(question: &Question<'_>) -> String {
        serde_json::to_string(&of(question)).unwrap()
    }

    #[test]
    fn without_data_the_shape_is_the_same_with_zeros() {
        assert_eq!(
            json(&question(None, "2026-03-01", "2026-03-30")),
            concat!(
                r#"{"total_revenue":0.00,"net_revenue":0.00,"total_orders":0,"total_refunds":0,"#,
                r#""refund_amount":0.00,"avg_order_value":0.00,"total_items_sold":0,"#,
                r#""cart_abandonment_rate":0.0,"add_to_cart_rate":0.0,"days":30,"#,
                r#""currency":"USD","held":{},"as_of":null,"corrected":false}"#
            )
        );
    }

    #[test]
    fn the_totals_are_those_of_the_base_currency_and_the_rest_is_held() {
        let mut first = revenue(
            "2026-03-01",
            "USD",
            &[("gross", 10_001), ("orders", 3), ("refunds", 1), ("refund_amount", 2_001), ("items", 7)],
        );
        first.as_of = ReceivedTime(1_000_000);
        let mut eur = revenue("2026-03-02", "EUR", &[("gross", 1_234), ("orders", 2), ("items", 100)]);
        eur.as_of = ReceivedTime(3_000_000);
        let jpy = revenue("2026-02-01", "JPY", &[("gross", 5_000), ("orders", 1)]);
        let cells = cells(&[first, eur, jpy]);
        let mut question = question(Some(&cells), "2026-03-01", "2026-03-30");
        assert_eq!(
            json(&question),
            concat!(
                r#"{"total_revenue":100.01,"net_revenue":80.00,"total_orders":3,"total_refunds":1,"#,
                r#""refund_amount":20.01,"avg_order_value":33.34,"total_items_sold":7,"#,
                r#""cart_abandonment_rate":0.0,"add_to_cart_rate":0.0,"days":30,"currency":"USD","#,
                r#""held":{"EUR":{"orders":2,"revenue":12.34}},"as_of":"1970-01-01T00:00:03Z","corrected":false}"#
            )
        );
        question.currency = Currency::parse("EUR").ok();
        let own = json(&question);
        assert!(own.starts_with(r#"{"total_revenue":12.34,"net_revenue":12.34,"total_orders":2,"#), "{own}");
        assert!(own.contains(r#""avg_order_value":6.17"#) && own.contains(r#""held":{}"#), "{own}");
    }

    #[test]
    fn what_was_converted_is_in_the_totals_and_only_the_rest_is_held() {
        let part = |metric: &str, of: (&str, &str), values: &[(&str, i64)]| {
            let mut cell = revenue("2026-03-02", of.0, values);
            cell.metric = metric.to_owned();
            cell.dimensions.insert("base".to_owned(), of.1.to_owned());
            cell
        };
        let mut converted = part("converted", ("EUR", "USD"), &[("gross", 1_000), ("orders", 1)]);
        converted.dimensions.insert("source".to_owned(), "shopify".to_owned());
        let refunded = [("gross", 1_100), ("orders", 1), ("refund_amount", 550), ("refunds", 1)];
        let cells = cells(&[
            revenue("2026-03-01", "USD", &[("gross", 10_000), ("orders", 2)]),
            revenue(
                "2026-03-02",
                "EUR",
                &[("gross", 1_234), ("orders", 2), ("refund_amount", 500), ("refunds", 1)],
            ),
            part("revenue", ("EUR", "USD"), &refunded),
            // The base currency was another one once.
            part("revenue", ("USD", "GBP"), &[("gross", 7), ("orders", 7)]),
            converted,
        ]);
        let mut question = question(Some(&cells), "2026-03-01", "2026-03-30");
        let all = json(&question);
        assert!(
            all.starts_with(
                r#"{"total_revenue":111.00,"net_revenue":105.50,"total_orders":3,"total_refunds":1,"#
            ),
            "{all}"
        );
        assert!(all.contains(r#""held":{"EUR":{"orders":1,"revenue":2.34}}"#), "{all}");
        question.currency = Some(Currency::USD);
        let own = json(&question);
        assert!(own.starts_with(r#"{"total_revenue":100.00,"#) && own.contains(r#""held":{}"#), "{own}");
        question.currency = Currency::parse("EUR").ok();
        let own = json(&question);
        assert!(own.starts_with(r#"{"total_revenue":12.34,"#), "{own}");
    }

    #[test]
    fn marked_orders_are_left_out_where_that_is_asked_also_of_what_is_held() {
        let named = |metric: &str, currency: &str, values: &[(&str, i64)]| {
            let mut cell = revenue("2026-03-01", currency, values);
            cell.metric = metric.to_owned();
            cell
        };
        let cells = cells(&[
            named(
                "revenue",
                "USD",
                &[("gross", 10_000), ("orders", 3), ("refund_amount", 500), ("refunds", 2)],
            ),
            named(
                "flagged_revenue",
                "USD",
                &[("gross", 4_000), ("orders", 1), ("refund_amount", 100), ("refunds", 1)],
            ),
            named("revenue", "EUR", &[("gross", 700), ("orders", 2)]),
            named("flagged_revenue", "EUR", &[("gross", 200), ("orders", 1)]),
        ]);
        let mut question = question(Some(&cells), "2026-03-01", "2026-03-30");
        assert!(
            json(&question).starts_with(r#"{"total_revenue":100.00,"net_revenue":95.00,"total_orders":3,"#)
        );
        question.exclude_flagged = true;
        let clean = json(&question);
        assert!(
            clean.starts_with(
                r#"{"total_revenue":60.00,"net_revenue":56.00,"total_orders":2,"total_refunds":1,"#
            ),
            "{clean}"
        );
        assert!(clean.contains(r#""held":{"EUR":{"orders":1,"revenue":5.00}}"#), "{clean}");
    }

    #[test]
    fn a_currency_without_decimals_is_shown_without() {
        let cells = cells(&[revenue("2026-03-01", "JPY", &[("gross", 5_000), ("orders", 3)])]);
        let mut question = question(Some(&cells), "2026-03-01", "2026-03-30");
        question.base = Currency::parse("JPY").unwrap();
        let json = json(&question);
        assert!(
            json.contains(r#""total_revenue":5000,"#) && json.contains(r#""avg_order_value":1667,"#),
            "{json}"
        );
    }

    #[test]
    fn a_day_that_changed_after_its_end_is_said() {
        let mut late = revenue("2026-03-01", "USD", &[("gross", 1)]);
        late.corrected = true;
        let cells = cells(&[late]);
        assert!(of(&question(Some(&cells), "2026-03-01", "2026-03-02")).basis.corrected);
        assert!(!of(&question(Some(&cells), "2026-03-02", "2026-03-02")).basis.corrected);
    }

    #[test]
    fn refunds_of_older_orders_can_make_a_range_negative() {
        let cells = cells(&[revenue("2026-03-01", "USD", &[("refunds", 1), ("refund_amount", 500)])]);
        let json = json(&question(Some(&cells), "2026-03-01", "2026-03-01"));
        assert!(json.contains(r#""net_revenue":-5.00"#), "{json}");
    }
}
