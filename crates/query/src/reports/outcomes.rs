//! `GET /v1/metrics/outcomes`: what became of every item, as the state stage keeps it durably.

use commerce::ReceivedTime;
use serde::Serialize;

use crate::cells::{Cells, Window};

/// The answer.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcomes {
    /// By stage, source, outcome and detail, in this order.
    pub outcomes: Vec<Outcome>,
    /// All of them together: what came in.
    pub total: i128,
    /// Those that were known already.
    pub duplicates: i128,
    /// The newest arrival that is contained, RFC 3339; `null` before the first.
    pub as_of: Option<String>,
}

/// Items with one outcome.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Outcome {
    /// The stage that decided.
    pub stage: String,
    /// The source key.
    pub source: String,
    /// `published`, `duplicate`, …
    pub outcome: String,
    /// The level of a duplicate, the reason of a refusal, else empty.
    pub detail: String,
    /// How many.
    pub count: i64,
}

/// Reads the counts.
pub fn of(cells: Option<&Cells>) -> Outcomes {
    let figure = cells.and_then(|cells| cells.figure("outcomes"));
    let mut outcomes: Vec<Outcome> = figure
        .iter()
        .flat_map(|figure| figure.series())
        .filter_map(|series| {
            let text = |name: &str| series.dimensions.get(name).cloned().unwrap_or_default();
            Some(Outcome {
                stage: text("stage"),
                source: text("source"),
                outcome: text("outcome"),
                detail: text("detail"),
                count: series.cell(Window::All)?.value("count"),
            })
        })
        .collect();
    outcomes.sort();
    let sum =
        |keep: fn(&Outcome) -> bool| outcomes.iter().filter(|o| keep(o)).map(|o| i128::from(o.count)).sum();
    Outcomes {
        total: sum(|_| true),
        duplicates: sum(|o| o.outcome == "duplicate"),
        as_of: figure.and_then(|figure| figure.as_of).map(ReceivedTime::to_rfc3339),
        outcomes,
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;
    use commerce::{Metric, WorkspaceId};

    /// A count of the state stage.
    pub(crate) fn outcome(source: &str, outcome: &str, detail: &str, count: i64) -> Metric {
        let dimensions = [("stage", "state"), ("source", source), ("outcome", outcome), ("detail", detail)];
        Metric {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            metric: "outcomes".to_owned(),
            window: "all".to_owned(),
            window_start: String::new(),
            dimensions: dimensions
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            values: [("count".to_owned(), count)].into(),
            revision: 0,
            corrected: false,
            as_of: ReceivedTime(0),
            window_end_at: None,
            members: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::outcome;
    use super::*;
    use crate::cells::samples::cells;

    #[test]
    fn duplicates_are_counted_over_all_levels_and_sources() {
        assert_eq!(of(None), Outcomes::default());
        let cells = cells(&[
            outcome("shopify", "published", "", 100),
            outcome("shopify", "duplicate", "transport", 4),
            outcome("lifesight", "duplicate", "semantic", 2),
        ]);
        let outcomes = of(Some(&cells));
        assert_eq!((outcomes.total, outcomes.duplicates), (106, 6));
        let first = &outcomes.outcomes[0];
        assert_eq!((first.source.as_str(), first.detail.as_str(), first.count), ("lifesight", "semantic", 2));
    }
}
