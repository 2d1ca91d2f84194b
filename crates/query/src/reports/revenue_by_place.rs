//! `revenue-by-device`, `revenue-by-platform`, `revenue-by-country` (§6.7 to §6.9): each list is by revenue descending,
//! has what nobody said under `unknown`, and sums to all revenue.

use serde::Serialize;

use super::breakdown::{Row, by_one};
use super::{Basis, Question};

/// The answer by device.
#[derive(Debug, Serialize)]
pub struct Devices<'a> {
    /// `device_type`, `revenue`, `orders`.
    pub devices: Vec<Row<'a>>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// The answer by platform.
#[derive(Debug, Serialize)]
pub struct Platforms<'a> {
    /// `platform`, `revenue`, `orders`.
    pub platforms: Vec<Row<'a>>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// The answer by country.
#[derive(Debug, Serialize)]
pub struct Countries<'a> {
    /// `country` (ISO 3166 alpha-2), `revenue`, `orders`.
    pub countries: Vec<Row<'a>>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// Computes the answer by device.
pub fn devices<'a>(question: &Question<'a>) -> Devices<'a> {
    let (devices, basis) = by_one(question, "revenue_by_device", "device", "device_type");
    Devices { devices, days: question.range.days(), basis }
}

/// Computes the answer by platform.
pub fn platforms<'a>(question: &Question<'a>) -> Platforms<'a> {
    let (platforms, basis) = by_one(question, "revenue_by_platform", "platform", "platform");
    Platforms { platforms, days: question.range.days(), basis }
}

/// Computes the answer by country.
pub fn countries<'a>(question: &Question<'a>) -> Countries<'a> {
    let (countries, basis) = by_one(question, "revenue_by_country", "country", "country");
    Countries { countries, days: question.range.days(), basis }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::cell;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;
    use commerce::Source;

    #[test]
    fn a_list_has_what_nobody_said_and_can_be_asked_for_one_source() {
        let sold = |country: &str, source: &str, revenue: i64| {
            let dimensions = [("country", country), ("source", source)];
            cell("revenue_by_country", "2026-03-01", &dimensions, &[("revenue", revenue), ("orders", 1)])
        };
        let known = cells(&[
            sold("DE", "shopify", 100),
            sold("DE", "analytics", 30),
            sold("unknown", "shopify", 900),
            sold("AT", "shopify", 100),
        ]);
        let mut asked = question(Some(&known), "2026-03-01", "2026-03-01");
        let json = |asked: &Question<'_>| serde_json::to_string(&countries(asked).countries).unwrap();
        assert_eq!(
            json(&asked),
            concat!(
                r#"[{"country":"unknown","revenue":9.00,"orders":1},{"country":"DE","revenue":1.30,"orders":2},"#,
                r#"{"country":"AT","revenue":1.00,"orders":1}]"#
            )
        );
        asked.source = Some(Source::Analytics);
        assert_eq!(json(&asked), r#"[{"country":"DE","revenue":0.30,"orders":1}]"#);
        asked.source = Some(Source::Stripe);
        assert_eq!(json(&asked), "[]");
    }

    #[test]
    fn marked_orders_are_taken_off_each_row() {
        let row = |metric: &str, country: &str, revenue: i64, orders: i64| {
            cell(metric, "2026-03-01", &[("country", country)], &[("revenue", revenue), ("orders", orders)])
        };
        let known = cells(&[
            row("revenue_by_country", "DE", 900, 2),
            row("revenue_by_country", "FR", 500, 1),
            row("flagged_revenue_by_country", "DE", 800, 1),
            row("flagged_revenue_by_country", "FR", 500, 1),
        ]);
        let mut asked = question(Some(&known), "2026-03-01", "2026-03-01");
        asked.exclude_flagged = true;
        let json = serde_json::to_string(&countries(&asked).countries).unwrap();
        assert_eq!(json, r#"[{"country":"DE","revenue":1.00,"orders":1}]"#);
    }

    #[test]
    fn a_breakdown_that_changed_after_its_day_is_said() {
        let mut late = cell("revenue_by_device", "2026-03-01", &[("device", "tablet")], &[("revenue", 5)]);
        late.corrected = true;
        let known = cells(&[late]);
        assert!(devices(&question(Some(&known), "2026-03-01", "2026-03-02")).basis.corrected);
        assert!(!devices(&question(Some(&known), "2026-03-02", "2026-03-02")).basis.corrected);
        assert!(!platforms(&question(Some(&known), "2026-03-01", "2026-03-02")).basis.corrected);
    }
}
