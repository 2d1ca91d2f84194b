//! `GET /v1/metrics/usage`: how many events of each calendar month (UTC) count against the plan.

use commerce::ReceivedTime;
use serde::Serialize;

use crate::cells::{Cells, Window};

/// The answer.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// By month and source, ascending.
    pub months: Vec<Month>,
    /// The newest arrival that is contained, RFC 3339; `null` before the first.
    pub as_of: Option<String>,
}

/// The events of one month and source.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Month {
    /// `2026-01`.
    pub month: String,
    /// The source key.
    pub source: String,
    /// Events, neither repeated nor blocked.
    pub events: i64,
}

/// Reads the counts.
pub fn of(cells: Option<&Cells>) -> Usage {
    let figure = cells.and_then(|cells| cells.figure("usage"));
    let mut months: Vec<Month> = figure
        .iter()
        .flat_map(|figure| figure.series())
        .filter_map(|series| {
            let text = |name: &str| series.dimensions.get(name).cloned().unwrap_or_default();
            let events = series.cell(Window::All)?.value("events");
            Some(Month { month: text("month"), source: text("source"), events })
        })
        .collect();
    months.sort();
    Usage { months, as_of: figure.and_then(|figure| figure.as_of).map(ReceivedTime::to_rfc3339) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::samples::cells;
    use commerce::{Metric, WorkspaceId};

    fn used(month: &str, events: i64) -> Metric {
        Metric {
            workspace: WorkspaceId::try_new("demo").unwrap(),
            metric: "usage".to_owned(),
            window: "all".to_owned(),
            window_start: String::new(),
            dimensions: [("month", month), ("source", "analytics")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            values: [("events".to_owned(), events)].into(),
            revision: 0,
            corrected: false,
            as_of: ReceivedTime(0),
            window_end_at: None,
            members: None,
        }
    }

    #[test]
    fn months_are_listed_in_their_order() {
        assert_eq!(of(None), Usage::default());
        let usage = of(Some(&cells(&[used("2026-02", 7), used("2026-01", 5)])));
        let months: Vec<_> = usage.months.iter().map(|m| (m.month.as_str(), m.events)).collect();
        assert_eq!(months, [("2026-01", 5), ("2026-02", 7)]);
    }
}
