//! What a measurement prints.

use anyhow::anyhow;
use serde_json::{Map, Value, json};

use super::machine;
use crate::{Output, Stop, data};

/// A measurement.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    method: String,
    versions: Value,
    figures: Vec<Figure>,
    checks: Vec<Check>,
}

#[derive(Debug)]
struct Figure {
    name: String,
    value: Value,
    unit: &'static str,
}

#[derive(Debug)]
struct Check {
    what: String,
    expected: String,
    found: String,
    equal: bool,
}

impl Report {
    /// Without figures yet. `method`: how it was measured, for who reads the figures without this program.
    pub fn new(bench: &'static str, local: bool, method: impl Into<String>) -> Self {
        Self {
            bench,
            method: method.into(),
            versions: machine::versions(local),
            figures: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Adds a figure; its name is its key in JSON.
    pub fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        // Three digits behind the point, of large figures none.
        let precision = if value.abs() >= 1000.0 { 1.0 } else { 1000.0 };
        let rounded = (value * precision).round() / precision;
        self.figures.push(Figure { name: name.into(), value: json!(rounded), unit });
    }

    /// Adds a figure where there is one.
    pub fn figure_if(&mut self, name: &str, value: Option<f64>, unit: &'static str) {
        if let Some(value) = value {
            self.figure(name, value, unit);
        }
    }

    /// Adds the percentiles of spans in milliseconds.
    pub fn spans(&mut self, name: &str, millis: &mut [f64]) {
        millis.sort_unstable_by(f64::total_cmp);
        for (which, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            self.figure_if(&format!("{name}_{which}_ms"), percentile(millis, share), "ms");
        }
    }

    /// Compares what must be with what is.
    pub fn check<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: impl Into<String>,
        expected: &T,
        found: &T,
    ) {
        let equal = expected == found;
        let (expected, found) = (format!("{expected:?}"), format!("{found:?}"));
        self.checks.push(Check { what: what.into(), expected, found, equal });
    }

    /// Writes it. Unequal totals are a failure.
    pub fn print(&self, output: Output) -> Result<(), Stop> {
        match output {
            Output::Json => data(&self.to_json().to_string())?,
            Output::Table => self.table()?,
        }
        if self.is_equal() {
            Ok(())
        } else {
            Err(Stop::Failed(anyhow!("the totals are not what they must be; the figures don't count")))
        }
    }

    /// Whether all totals are what they must be.
    pub fn is_equal(&self) -> bool {
        self.checks.iter().all(|check| check.equal)
    }

    /// One document: figures at the top, beside what they rest on.
    pub fn to_json(&self) -> Value {
        let mut document: Map<String, Value> =
            self.figures.iter().map(|figure| (figure.name.clone(), figure.value.clone())).collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|c| json!({"what": c.what, "expected": c.expected, "found": c.found, "equal": c.equal}))
            .collect();
        for (key, value) in [
            ("bench", json!(self.bench)),
            ("method", json!(self.method)),
            ("versions", self.versions.clone()),
            ("machine", machine::machine()),
            ("units", self.figures.iter().map(|figure| (figure.name.clone(), json!(figure.unit))).collect()),
            ("checks", json!(checks)),
            ("equal", json!(self.is_equal())),
        ] {
            document.insert(key.to_owned(), value);
        }
        Value::Object(document)
    }

    fn table(&self) -> Result<(), Stop> {
        data(&format!("bench {}: {}", self.bench, self.method))?;
        data(&format!("on {}", pairs(&machine::machine())))?;
        data(&format!("with {}", pairs(&self.versions)))?;
        let width = self.figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
        for figure in &self.figures {
            data(&format!("  {:<width$}  {:>12}  {}", figure.name, figure.value.to_string(), figure.unit))?;
        }
        let unequal: Vec<&Check> = self.checks.iter().filter(|check| !check.equal).collect();
        for check in &unequal {
            data(&format!("  UNEQUAL {}: {} instead of {}", check.what, check.found, check.expected))?;
        }
        if unequal.is_empty() && !self.checks.is_empty() {
            let checked: Vec<&str> = self.checks.iter().map(|check| check.what.as_str()).collect();
            data(&format!("  all {} totals are what they must be: {}", checked.len(), checked.join(", ")))?;
        }
        Ok(())
    }
}

/// `{"a":1,"b":"x"}` as `a 1, b x`.
fn pairs(value: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let pairs = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    pairs.map(|(name, value)| format!("{name} {}", text(value))).collect::<Vec<_>>().join(", ")
}

/// Of sorted values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a length is between 0 and the length"
)]
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((super::float(last as u64) * share).round() as usize).copied()
}
