//! `funnel` (§6.3): distinct actors per step, each counted on its own (D-ANA-6).

use commerce::ReceivedTime;
use serde::Serialize;

use super::{Question, actors};
use crate::amount::Percent;

/// The steps, in their order.
pub const STEPS: [&str; 6] =
    ["view_item", "add_to_cart", "view_cart", "begin_checkout", "add_payment_info", "purchase"];

/// The answer.
#[derive(Debug, Serialize)]
pub struct Funnel {
    /// All steps, whether anybody did them or not.
    pub steps: Vec<Step>,
    /// Days of the range.
    pub days: i32,
    /// The newest arrival that is contained, RFC 3339; `null` before the first.
    pub as_of: Option<String>,
}

/// One step.
#[derive(Debug, Serialize)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// Distinct actors with the event in the range.
    pub count: i128,
    /// Of the step before; a step that shoppers may skip can have less than the one after it.
    pub percentage: Percent,
}

/// Computes the answer.
pub fn of(question: &Question<'_>) -> Funnel {
    let counts = actors::distinct(question, "funnel", ["step"]);
    let mut before = None;
    let steps = STEPS.map(|name| {
        let count = counts.get(&[name]).copied().unwrap_or(0);
        let percentage = before.map_or(Percent::of(1, 1), |before| Percent::of(count, before));
        before = Some(count);
        Step { name, count, percentage }
    });
    let figure = question.cells.and_then(|cells| cells.figure("funnel"));
    Funnel {
        steps: steps.into(),
        days: question.range.days(),
        as_of: figure.and_then(|figure| figure.as_of).map(ReceivedTime::to_rfc3339),
    }
}

#[cfg(test)]
mod tests {
    use super::super::actors::samples::set;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    fn step(step: &str, day: &str, numbers: &[u32]) -> commerce::Metric {
        set("funnel", day, &[("step", step)], numbers)
    }

    #[test]
    fn ana_c16_an_actor_of_several_days_counts_once_and_percentages_are_of_the_step_before() {
        let known = cells(&[
            step("view_item", "2026-03-01", &[1, 2, 3]),
            step("view_item", "2026-03-02", &[3, 4, 5, 6]),
            step("view_item", "2026-03-02", &[5_000, 5_001]),
            step("view_item", "2026-04-02", &[7]),
            step("add_to_cart", "2026-03-02", &[3, 4]),
            step("purchase", "2026-03-02", &[4]),
        ]);
        assert_eq!(
            serde_json::to_string(&of(&question(Some(&known), "2026-03-01", "2026-03-30"))).unwrap(),
            concat!(
                r#"{"steps":[{"name":"view_item","count":8,"percentage":100.0},"#,
                r#"{"name":"add_to_cart","count":2,"percentage":25.0},"#,
                r#"{"name":"view_cart","count":0,"percentage":0.0},"#,
                r#"{"name":"begin_checkout","count":0,"percentage":0.0},"#,
                r#"{"name":"add_payment_info","count":0,"percentage":0.0},"#,
                r#"{"name":"purchase","count":1,"percentage":0.0}],"days":30,"as_of":"1970-01-01T00:00:00Z"}"#
            )
        );
    }

    #[test]
    fn ana_c16_the_first_step_is_100_also_without_anybody() {
        let funnel = of(&question(None, "2026-03-01", "2026-03-01"));
        assert_eq!(funnel.steps.len(), 6);
        assert_eq!(funnel.steps[0].percentage, Percent::of(1, 1));
    }

    #[test]
    fn one_source_is_asked_for_by_itself_and_all_are_united() {
        let other = set("funnel", "2026-03-01", &[("step", "view_item"), ("source", "shopify")], &[1, 9]);
        let known = cells(&[step("view_item", "2026-03-01", &[1, 2]), other]);
        let mut question = question(Some(&known), "2026-03-01", "2026-03-01");
        assert_eq!(of(&question).steps[0].count, 3);
        question.source = Some(commerce::Source::Shopify);
        assert_eq!(of(&question).steps[0].count, 2);
    }
}
