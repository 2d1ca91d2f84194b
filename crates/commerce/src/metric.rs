//! One cell of a maintained figure (`commerce.metrics.v1`, compacted).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::members::Written;
use crate::{EventTime, ReceivedTime, WorkspaceId};

/// The figures that the state stage keeps itself. They are no sums over facts, so there is one of each however many
/// versions of the other figures there are.
pub const OF_THE_STATE: [&str; 3] = ["outcomes", "usage", "disagreements"];

/// True for the record key of one of [`OF_THE_STATE`].
pub fn is_of_the_state(key: &[u8]) -> bool {
    let metric = key.split(|byte| *byte == b':').nth(1);
    OF_THE_STATE.iter().any(|known| Some(known.as_bytes()) == metric)
}

/// One record per (workspace, metric, window, dimensions).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Metric {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The name of the figure: `revenue`, `outcomes`, …
    pub metric: String,
    /// `day`, `hour` or `all`.
    pub window: String,
    /// The window in the workspace's zone: `2026-01-31`, `2026-01-31T15`, empty for `all`.
    pub window_start: String,
    /// What it is cut by: `currency`, `source`, …
    pub dimensions: BTreeMap<String, String>,
    /// The figures by name; amounts in minor units of the cell's `base` where it has that dimension, else of its
    /// `currency`; those of the metric `converted` are in its `currency` in any case.
    pub values: BTreeMap<String, i64>,
    /// Rises with every change of the cell after its window had closed.
    pub revision: i32,
    /// True once a closed window changed.
    pub corrected: bool,
    /// The newest arrival that moved the cell. History: it depends on the order of processing.
    pub as_of: ReceivedTime,
    /// End of the window, exclusive; absent for `all`.
    pub window_end_at: Option<EventTime>,
    /// Of a set: who is in it ([`Members`](crate::members::Members)). A union of sets over days counts each member once.
    #[serde(default)]
    pub members: Option<Written>,
}

impl Metric {
    /// The record key: `workspace:metric:window:start:dimension=value,…`. In a value `%`, `,` and `=` are written as in
    /// a URL: dimensions hold text from outside, and two cells must never share a key.
    pub fn key(&self) -> String {
        let mut key = format!("{}:{}:{}:{}:", self.workspace, self.metric, self.window, self.window_start);
        for (i, (name, value)) in self.dimensions.iter().enumerate() {
            if i > 0 {
                key.push(',');
            }
            key.push_str(name);
            key.push('=');
            for letter in value.chars() {
                match letter {
                    '%' => key.push_str("%25"),
                    ',' => key.push_str("%2C"),
                    '=' => key.push_str("%3D"),
                    letter => key.push(letter),
                }
            }
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_whether_the_state_stage_keeps_the_figure() {
        assert!(is_of_the_state(b"demo:outcomes:all::stage=state"));
        for other in ["demo:revenue:day:2026-01-31:currency=USD", "outcomes:revenue:all::", "demo", ""] {
            assert!(!is_of_the_state(other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn no_text_in_a_dimension_makes_two_cells_share_a_key() {
        let key = |dimensions: &[(&str, &str)]| {
            let dimensions = dimensions.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let metric = Metric {
                workspace: WorkspaceId::try_new("demo").unwrap(),
                metric: "revenue".to_owned(),
                window: "day".to_owned(),
                window_start: "2026-01-31".to_owned(),
                dimensions,
                values: BTreeMap::new(),
                revision: 0,
                corrected: false,
                as_of: ReceivedTime(0),
                window_end_at: None,
                members: None,
            };
            metric.key()
        };
        assert_eq!(key(&[("currency", "USD")]), "demo:revenue:day:2026-01-31:currency=USD");
        assert_ne!(key(&[("a", "x,b=y"), ("b", "z")]), key(&[("a", "x"), ("b", "y,b=z")]));
        assert_ne!(key(&[("a", "%2C")]), key(&[("a", ",")]));
    }
}
