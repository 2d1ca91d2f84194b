//! A cell: sums by name, and whether they moved after their window had closed.

use commerce::time::{Day, Zone};
use commerce::{Currency, EventTime, Metric, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};

/// Which cell: the metric, its day and its currency.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) metric: String,
    pub(crate) day: Day,
    pub(crate) currency: Currency,
}

/// The stored form; `values` are in the order of the metric's names.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) values: Vec<i64>,
    pub(crate) revision: i32,
    pub(crate) as_of: i64,
}

/// A sum left the range of 64 bits.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a figure went beyond 64 bits")]
pub(crate) struct Overflow;

impl Cell {
    /// Adds a change. `closed`: the window had ended before, so this is a correction.
    pub(crate) fn add(
        &mut self,
        delta: &[i64],
        closed: bool,
        received_at: ReceivedTime,
    ) -> Result<(), Overflow> {
        if self.values.len() < delta.len() {
            self.values.resize(delta.len(), 0);
        }
        for (value, delta) in self.values.iter_mut().zip(delta) {
            *value = value.checked_add(*delta).ok_or(Overflow)?;
        }
        if closed {
            self.revision = self.revision.saturating_add(1);
        }
        self.as_of = self.as_of.max(received_at.0);
        Ok(())
    }

    /// The published form.
    pub(crate) fn metric(
        &self,
        workspace: WorkspaceId,
        place: &Place,
        names: &[&str],
        zone: &Zone,
    ) -> Metric {
        Metric {
            workspace,
            metric: place.metric.clone(),
            window: "day".to_owned(),
            window_start: place.day.to_string(),
            dimensions: [("currency".to_owned(), place.currency.to_string())].into(),
            values: names
                .iter()
                .zip(&self.values)
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            revision: self.revision,
            corrected: self.revision > 0,
            as_of: ReceivedTime(self.as_of),
            window_end_at: Some(end_of(zone, place.day)),
        }
    }
}

/// The end of a day, exclusive.
pub(crate) fn end_of(zone: &Zone, day: Day) -> EventTime {
    zone.start_of(Day(day.0.saturating_add(1)))
}
