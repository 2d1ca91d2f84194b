//! The table *expected | measured | equal?*.

use std::fmt::{self, Display};
use std::io::{self, Write};

use serde_json::json;

/// What the sender can't know: deliveries that may have arrived twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Uncertainty {
    /// Attempts whose fate is unknown and that were made again.
    pub retries: u64,
    /// The sender was killed and went on: what was in flight was sent again.
    pub resumed: bool,
}

impl Uncertainty {
    /// No uncertainty where a second arrival can't show.
    pub(super) const fn only_if(self, touched: bool) -> Self {
        if touched { self } else { Self { retries: 0, resumed: false } }
    }
}

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What is compared.
    pub name: String,
    /// What it must be; `at least …` and `… to …` where a retry may have arrived twice.
    pub expected: String,
    /// What it is; `None`: not measured.
    pub measured: Option<String>,
    /// True when what it is is what it must be.
    pub equal: bool,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Aligned columns for a person.
    Text,
    /// One JSON document.
    Json,
}

/// The table *expected, measured, equal?*.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Table {
    /// Its lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// True when everything was measured and is what it must be.
    pub fn all_equal(&self) -> bool {
        self.rows.iter().all(|row| row.equal)
    }

    pub(super) fn text(&mut self, name: String, expected: String, measured: Option<String>) {
        let equal = measured.as_ref() == Some(&expected);
        self.rows.push(Row { name, expected, measured, equal });
    }

    pub(super) fn count(&mut self, name: &str, expected: i64, measured: Option<i64>) {
        self.text(name.to_owned(), expected.to_string(), measured.map(|n| n.to_string()));
    }

    /// A count that deliveries of unknown fate may have raised.
    pub(super) fn about(
        &mut self,
        name: String,
        expected: i64,
        measured: Option<i64>,
        uncertainty: Uncertainty,
    ) {
        let most = match uncertainty {
            Uncertainty { resumed: true, .. } => i64::MAX,
            Uncertainty { retries, .. } => expected.saturating_add_unsigned(retries),
        };
        let equal = measured.is_some_and(|n| (expected..=most).contains(&n));
        let expected = match most {
            _ if most == expected => expected.to_string(),
            i64::MAX => format!("at least {expected}"),
            most => format!("{expected} to {most}"),
        };
        self.rows.push(Row { name, expected, measured: measured.map(|n| n.to_string()), equal });
    }

    /// Writes the table.
    pub fn print(&self, out: &mut dyn Write, format: Format) -> io::Result<()> {
        match format {
            Format::Text => write!(out, "{self}"),
            Format::Json => {
                let rows = self.rows.iter().map(|row| {
                    json!({"name": row.name, "expected": row.expected, "measured": row.measured, "equal": row.equal})
                });
                let rows: Vec<_> = rows.collect();
                writeln!(out, "{}", json!({"equal": self.all_equal(), "rows": rows}))
            }
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NONE: &str = "not measured";
        let head = ["", "expected", "measured", "equal?"];
        let measured = |row: &Row| row.measured.clone().unwrap_or_else(|| NONE.to_owned());
        let width = |column: usize, get: &dyn Fn(&Row) -> usize| {
            self.rows.iter().map(get).chain([head.get(column).map_or(0, |h| h.len())]).max().unwrap_or(0)
        };
        let names = width(0, &|row| row.name.chars().count());
        let expecteds = width(1, &|row| row.expected.chars().count());
        let measureds = width(2, &|row| measured(row).chars().count());
        let [_, expected_head, measured_head, equal_head] = head;
        writeln!(f, "{:names$}  {expected_head:>expecteds$}  {measured_head:>measureds$}  {equal_head}", "")?;
        for row in &self.rows {
            let equal = if row.equal { "yes" } else { "NO" };
            writeln!(
                f,
                "{:names$}  {:>expecteds$}  {:>measureds$}  {equal}",
                row.name,
                row.expected,
                measured(row)
            )?;
        }
        Ok(())
    }
}
