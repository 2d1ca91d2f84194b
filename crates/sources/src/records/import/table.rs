//! A CSV: the first line names the columns.

use commerce::Reason;
use commerce::reason::Failure;
use csv::{ByteRecord, ReaderBuilder};

use super::{AS_OF, EMAIL, bad, check, dated};
use crate::json;

/// A table that is being read.
pub(super) struct Table<'a> {
    rows: csv::Reader<&'a [u8]>,
    places: Places<'a>,
    columns: Vec<String>,
    ended: bool,
}

/// Opens a table. `Err`: the header can't be used.
pub(super) fn open(text: &[u8]) -> Result<Table<'_>, Failure> {
    let mut rows = ReaderBuilder::new().flexible(true).has_headers(true).from_reader(text);
    let header = rows.byte_headers().map_err(|error| bad("header", error.to_string()))?;
    let columns = columns(header)?;
    Ok(Table { rows, places: Places { text, byte: 0, line: 1 }, columns, ended: false })
}

impl Table<'_> {
    /// The next row as a record, with its line.
    pub(super) fn next(&mut self, as_of: Option<&str>) -> Option<(u64, Result<String, Failure>)> {
        if self.ended {
            return None;
        }
        let mut row = ByteRecord::new();
        let read = self.rows.read_byte_record(&mut row);
        let line = self.places.line_at(row.position().map_or(0, csv::Position::byte));
        match read {
            Ok(true) => Some((line, record(&self.columns, &row, as_of))),
            Ok(false) => {
                self.ended = true;
                None
            }
            Err(error) => {
                // Only reading itself can fail here, and memory doesn't; going on might never end.
                self.ended = true;
                Some((line, Err(bad("line", error.to_string()))))
            }
        }
    }
}

/// Numbers of lines. The reader's own ones are those of the line break that stands before a row.
struct Places<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl Places<'_> {
    /// The line of the first row at or after `byte`.
    fn line_at(&mut self, byte: u64) -> u64 {
        let start = usize::try_from(byte).unwrap_or(usize::MAX).min(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        let start = start + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        while self.byte < start {
            let here = self.text.get(self.byte);
            let pair = here == Some(&b'\r') && self.text.get(self.byte + 1) == Some(&b'\n');
            if matches!(here, Some(b'\n' | b'\r')) && !pair {
                self.line += 1;
            }
            self.byte += 1;
        }
        self.line
    }
}

fn columns(header: &ByteRecord) -> Result<Vec<String>, Failure> {
    let mut columns = Vec::with_capacity(header.len());
    for (index, name) in header.iter().enumerate() {
        let name =
            std::str::from_utf8(name).map_err(|_| bad("header", "a column's name is not UTF-8"))?.trim();
        let lower = name.to_ascii_lowercase();
        // The contract's columns in any case; an attribute is named as it is written.
        let known = [EMAIL, "ltv", "order_count", "last_order_at"].contains(&lower.as_str());
        let name = if known { lower } else { name.to_owned() };
        if name.is_empty() || name.starts_with('_') {
            return Err(bad(
                "header",
                format!("column {} has no name, or one that begins with '_'", index + 1),
            ));
        }
        if columns.contains(&name) {
            return Err(bad("header", format!("column {} has the name of another one", index + 1)));
        }
        columns.push(name);
    }
    if !columns.iter().any(|name| name == EMAIL) {
        return Err(bad("header", "there is no column 'email'"));
    }
    Ok(columns)
}

/// One line to one record. An empty cell says nothing.
fn record(columns: &[String], row: &ByteRecord, as_of: Option<&str>) -> Result<String, Failure> {
    if row.len() != columns.len() {
        let message = format!("{} cells where the header has {} columns", row.len(), columns.len());
        return Err(bad("line", message));
    }
    let mut fields = Vec::with_capacity(columns.len() + 1);
    let mut named = Vec::with_capacity(columns.len());
    for (column, cell) in columns.iter().zip(row) {
        let cell = std::str::from_utf8(cell).map_err(|_| bad(column, "the cell is not UTF-8"))?.trim();
        if cell.is_empty() {
            continue;
        }
        check(column, cell)?;
        named.push(column.as_str());
        fields.push(format!("{}:{}", json::quoted(column), json::quoted(cell)));
    }
    if !named.contains(&EMAIL) {
        return Err(Failure::at(Reason::MissingField, EMAIL, "the cell is empty"));
    }
    dated(|name| named.contains(&name), as_of)?;
    if let Some(as_of) = as_of {
        fields.push(format!(r#""{AS_OF}":"{as_of}""#));
    }
    Ok(format!("{{{}}}", fields.join(",")))
}
