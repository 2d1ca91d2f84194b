//! `funnel` (§6.3): distinct actors per step, each counted on its own (D-ANA-6), or, asked for in order, each step after
//! the one before it and within a window of the first (D-ANA-17).
//!
//! In order, the range is that of the first step: a way that began in it counts as far as it got, also beyond its end.
//! With a source, a way is one of which that source said every step.

use std::collections::BTreeMap;

use commerce::members::Members;
use commerce::{ReceivedTime, Source};
use hashbrown::HashMap;
use serde::Serialize;

use super::{Question, actors};
use crate::amount::Percent;

/// The steps, in their order.
pub const STEPS: [&str; 6] =
    ["view_item", "add_to_cart", "view_cart", "begin_checkout", "add_payment_info", "purchase"];

/// The windows that are kept.
pub const WINDOWS: [&str; 3] = ["30m", "24h", "7d"];

/// The window where none is asked for.
const DEFAULT_WINDOW: &str = "24h";

/// What isn't offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Invalid {
    /// Neither `true` nor `false`.
    Ordered,
    /// Not one of the windows.
    Window,
}

/// Reads `ordered` and `window`: the window in which the steps are to follow each other, if they are.
pub fn window(ordered: Option<&str>, window: Option<&str>) -> Result<Option<&'static str>, Invalid> {
    match ordered {
        None | Some("false") => Ok(None),
        Some("true") => {
            let asked = window.unwrap_or(DEFAULT_WINDOW);
            WINDOWS.into_iter().find(|known| *known == asked).map(Some).ok_or(Invalid::Window)
        }
        Some(_) => Err(Invalid::Ordered),
    }
}

/// The answer.
#[derive(Debug, Serialize)]
pub struct Funnel {
    /// All steps, whether anybody did them or not.
    pub steps: Vec<Step>,
    /// Days of the range.
    pub days: i32,
    /// The window of the first step in which the others count, where they are counted in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<&'static str>,
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
    let alone = actors::distinct(question, "funnel", ["step"]);
    let in_order = question.ordered.map(|window| in_order(question, window));
    let counts = |step: &str| match &in_order {
        // Whoever entered is in the set of the first step by itself.
        Some(in_order) if step != STEPS[0] => in_order.of(&[step]),
        _ => alone.of(&[step]),
    };
    let mut before = None;
    let steps = STEPS.map(|name| {
        let count = counts(name);
        let percentage = before.map_or(Percent::of(1, 1), |before| Percent::of(count, before));
        before = Some(count);
        Step { name, count, percentage }
    });
    let figure = question.cells.and_then(|cells| cells.figure("funnel"));
    Funnel {
        steps: steps.into(),
        days: question.range.days(),
        window: question.ordered,
        as_of: figure.and_then(|figure| figure.as_of).map(ReceivedTime::to_rfc3339),
    }
}

/// Each step after the one before it. A set is of those who got to a step and no farther from an entry of a day: whoever
/// is in that of a later step was at the earlier ones too.
fn in_order(question: &Question<'_>, window: &str) -> actors::Counts {
    actors::remembered(question, "funnel_ordered", window, || reached(question, window))
}

fn reached(question: &Question<'_>, window: &str) -> HashMap<Vec<String>, i128> {
    let source = question.source.map_or("", Source::as_str);
    let deepest = actors::unions(question, "funnel_ordered", ["window", "step"], |known| known == source);
    let mut counts = HashMap::new();
    let mut reached: BTreeMap<&str, Members> = BTreeMap::new();
    for name in STEPS[1..].iter().rev() {
        for ((_, chunk), members) in
            deepest.iter().filter(|((dimensions, _), _)| *dimensions == [window, *name])
        {
            reached.entry(*chunk).or_default().unite(members);
        }
        counts.insert(
            vec![(*name).to_owned()],
            reached.values().map(|members| i128::from(members.count())).sum(),
        );
    }
    counts
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
    fn ana_d17_in_order_whoever_got_farther_was_at_every_step_before() {
        let way = |day: &str, window: &str, step: &str, source: &str, numbers: &[u32]| {
            let dimensions = [("window", window), ("step", step), ("source", source)];
            let mut known = set("funnel_ordered", day, &dimensions, numbers);
            known.dimensions.retain(|_, text| !text.is_empty());
            known
        };
        let known = cells(&[
            step("view_item", "2026-03-01", &[1, 2, 3, 4, 5_000]),
            step("purchase", "2026-03-01", &[1, 2, 3, 4]),
            way("2026-03-01", "24h", "add_to_cart", "", &[1, 2]),
            way("2026-03-02", "24h", "view_cart", "", &[2, 3]),
            way("2026-03-02", "24h", "purchase", "", &[1]),
            way("2026-03-02", "24h", "purchase", "", &[5_000]),
            way("2026-03-02", "7d", "purchase", "", &[4]),
            way("2026-04-02", "24h", "purchase", "", &[4]),
            way("2026-03-02", "24h", "purchase", "shopify", &[4]),
        ]);
        let mut question = question(Some(&known), "2026-03-01", "2026-03-30");
        let counts =
            |question: &Question<'_>| of(question).steps.iter().map(|step| step.count).collect::<Vec<_>>();
        assert_eq!(counts(&question), [5, 0, 0, 0, 0, 4]);
        question.ordered = Some("24h");
        assert_eq!(counts(&question), [5, 4, 4, 2, 2, 2]);
        question.ordered = Some("30m");
        assert_eq!(counts(&question), [5, 0, 0, 0, 0, 0]);
        question.ordered = Some("24h");
        question.source = Some(Source::Shopify);
        assert_eq!(counts(&question), [0, 1, 1, 1, 1, 1]);
        assert!(
            serde_json::to_string(&of(&question)).unwrap().contains(r#""days":30,"window":"24h","as_of""#)
        );
    }

    #[test]
    fn ana_d17_windows_are_those_that_are_kept() {
        assert_eq!(window(None, Some("nonsense")), Ok(None));
        assert_eq!(window(Some("false"), None), Ok(None));
        assert_eq!(window(Some("true"), None), Ok(Some("24h")));
        assert_eq!(window(Some("true"), Some("7d")), Ok(Some("7d")));
        assert_eq!(window(Some("true"), Some("1d")), Err(Invalid::Window));
        assert_eq!(window(Some("1"), None), Err(Invalid::Ordered));
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
