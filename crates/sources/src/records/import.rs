//! Profiles from a file (records.md §7.2): a CSV with the columns `email`, `ltv`, `order_count` and `last_order_at`, in any
//! order and with any more, to bodies of `POST /public/v1/records/profiles/upsert-batch`.
//!
//! The same file gives the same bodies under the same keys, so a second run changes nothing. A bad line is reported
//! with its number and stops nothing. Whoever sends the bodies labels them with the header `tillstream-import`.

use commerce::reason::Failure;
use commerce::{Currency, EventTime, Mark, Money, Reason, person, time};
use csv::{ByteRecord, ReaderBuilder};

use super::row::AS_OF;
use crate::json;

/// Where the bodies are sent to.
pub const PATH: &str = "/public/v1/records/profiles/upsert-batch";

/// The most records of one body.
pub const LARGEST_BODY: usize = 500;

/// The column by which rows are matched.
const EMAIL: &str = "email";

/// One body, with the lines that it was made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The JSON text. `None`: there was no good line.
    pub body: Option<String>,
    /// `Idempotency-Key`: from the content of the file and the place in it.
    pub key: String,
    /// The line of each record: an error at `records[i]` of the answer is about `lines[i]`.
    pub lines: Vec<u64>,
    /// The lines that were left out.
    pub bad: Vec<BadLine>,
}

/// A line that can't be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadLine {
    /// Counted from 1; the header is a line.
    pub line: u64,
    /// What is wrong, without personal data: the field is the column.
    pub failure: Failure,
}

/// A file that is being read: an iterator over its bodies.
pub struct Profiles<'a> {
    rows: csv::Reader<&'a [u8]>,
    lines: Lines<'a>,
    columns: Vec<String>,
    file: Mark,
    as_of: Option<String>,
    bodies: u64,
    ended: bool,
}

impl std::fmt::Debug for Profiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profiles").field("columns", &self.columns).field("file", &self.file).finish()
    }
}

/// Opens a file. `as_of` is the instant as of which its totals hold; without it each row counts as of its own
/// `last_order_at`. `Err`: the header can't be used.
pub fn profiles(file: &[u8], as_of: Option<EventTime>) -> Result<Profiles<'_>, Failure> {
    let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut rows = ReaderBuilder::new().flexible(true).has_headers(true).from_reader(text);
    let header = rows.byte_headers().map_err(|error| bad("header", error.to_string()))?;
    let columns = columns(header)?;
    Ok(Profiles {
        rows,
        lines: Lines { text, byte: 0, line: 1 },
        columns,
        file: Mark::of(&[b"import profiles", file]),
        as_of: as_of.map(EventTime::to_rfc3339),
        bodies: 0,
        ended: false,
    })
}

/// Numbers of lines. The reader's own ones are those of the line break that stands before a row.
struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: u64,
}

impl Lines<'_> {
    /// The line of the first row at or after `byte`.
    fn at(&mut self, byte: u64) -> u64 {
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

fn bad(field: &str, message: impl Into<String>) -> Failure {
    Failure::at(Reason::BadValue, field, message)
}

impl Iterator for Profiles<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        if self.ended {
            return None;
        }
        let (mut records, mut lines, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        let mut row = ByteRecord::new();
        while records.len() < LARGEST_BODY && faults.len() < LARGEST_BODY {
            let read = self.rows.read_byte_record(&mut row);
            let line = self.lines.at(row.position().map_or(0, csv::Position::byte));
            match read {
                Ok(true) => match record(&self.columns, &row, self.as_of.as_deref()) {
                    Ok(record) => {
                        records.push(record);
                        lines.push(line);
                    }
                    Err(failure) => faults.push(BadLine { line, failure }),
                },
                Ok(false) => {
                    self.ended = true;
                    break;
                }
                Err(error) => {
                    // Only reading itself can fail here, and memory doesn't; going on might never end.
                    self.ended = true;
                    faults.push(BadLine { line, failure: bad("line", error.to_string()) });
                    break;
                }
            }
        }
        if records.is_empty() && faults.is_empty() {
            return None;
        }
        self.bodies += 1;
        let body = (!records.is_empty())
            .then(|| format!(r#"{{"matchKey":"{EMAIL}","records":[{}]}}"#, records.join(",")));
        let key = format!("import:profiles:{}:{}", self.file.to_hex(), self.bodies);
        Some(Batch { body, key, lines, bad: faults })
    }
}

/// One line to one record. An empty cell says nothing.
fn record(columns: &[String], row: &ByteRecord, as_of: Option<&str>) -> Result<String, Failure> {
    if row.len() != columns.len() {
        let message = format!("{} cells where the header has {} columns", row.len(), columns.len());
        return Err(bad("line", message));
    }
    let mut fields = Vec::with_capacity(columns.len() + 1);
    let mut has_email = false;
    for (column, cell) in columns.iter().zip(row) {
        let cell = std::str::from_utf8(cell).map_err(|_| bad(column, "the cell is not UTF-8"))?.trim();
        if cell.is_empty() {
            continue;
        }
        check(column, cell)?;
        has_email |= column == EMAIL;
        fields.push(format!("{}:{}", json::quoted(column), json::quoted(cell)));
    }
    if !has_email {
        return Err(Failure::at(Reason::MissingField, EMAIL, "the cell is empty"));
    }
    if let Some(as_of) = as_of {
        fields.push(format!(r#""{AS_OF}":"{as_of}""#));
    }
    Ok(format!("{{{}}}", fields.join(",")))
}

/// Says beforehand what the door would refuse.
fn check(column: &str, cell: &str) -> Result<(), Failure> {
    match column {
        EMAIL if person::email(cell).is_none() => Err(bad(column, "it is not an e-mail address")),
        // The currency is the workspace's; whether a text is an amount hardly depends on it.
        "ltv" if Money::parse_major(cell, Currency::USD).is_err() => {
            Err(Failure::at(Reason::BadMoney, column, "it is not a decimal amount"))
        }
        "order_count" if whole(cell).is_none() => Err(bad(column, "it is not a whole number")),
        "last_order_at" if time::parse_iso(cell).map_or(true, |read| read.naive) => {
            Err(Failure::at(Reason::BadTime, column, "it is not an ISO 8601 time with an offset"))
        }
        _ => Ok(()),
    }
}

fn whole(cell: &str) -> Option<u64> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, ""));
    whole.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn batches(file: &str) -> Vec<Batch> {
        profiles(file.as_bytes(), None).unwrap().collect()
    }

    fn body(batch: &Batch) -> Value {
        serde_json::from_str(batch.body.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn columns_come_in_any_order_and_further_ones_are_attributes() {
        let file = "\u{feff}Last_Order_At,tier,EMAIL,order_count,ltv\r\n\
                    2026-01-05 10:00:00+00:00,\"gold, old\",Jane@Example.com,3,120.50\r\n\
                    ,,joe@example.com,0,\r\n";
        let batches = batches(file);
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0].lines.as_slice(), batches[0].bad.len()), ([2, 3].as_slice(), 0));
        assert_eq!(
            body(&batches[0]),
            json!({"matchKey": "email", "records": [
                {"last_order_at": "2026-01-05 10:00:00+00:00", "tier": "gold, old", "email": "Jane@Example.com",
                 "order_count": "3", "ltv": "120.50"},
                {"email": "joe@example.com", "order_count": "0"},
            ]})
        );
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_stops_nothing() {
        let file = "email,ltv,order_count,last_order_at\n\
                    a@b.c,1,1,2026-01-05T10:00:00Z\n\
                    nobody,1,1,\n\
                    ,1,1,\n\
                    \"d@b.c\",\"1\n\",1,\n\
                    e@b.c,1,one,\n\
                    f@b.c,\"1,5\",1,\n\
                    g@b.c,1,1,2026-01-05T10:00:00\n\
                    h@b.c,1\n\
                    \n\
                    i@b.c,1,1.0,\n";
        let batches = batches(file);
        let bad: Vec<_> =
            batches[0].bad.iter().map(|bad| (bad.line, bad.failure.field.as_deref().unwrap())).collect();
        assert_eq!(
            bad,
            [(3, "email"), (4, "email"), (7, "order_count"), (8, "ltv"), (9, "last_order_at"), (10, "line")]
        );
        // The cell with a line break in it counts as the line on which its row begins.
        assert_eq!(batches[0].lines, [2, 5, 12]);
    }

    #[test]
    fn a_body_has_at_most_500_records_and_its_key_names_the_file_and_the_place() {
        let rows = |n: usize| (0..n).map(|i| format!("u{i}@b.c,{i}\n")).collect::<String>();
        let file = format!("email,ltv\n{}", rows(1_001));
        let found = batches(&file);
        assert_eq!(found.iter().map(|batch| batch.lines.len()).collect::<Vec<_>>(), [500, 500, 1]);
        assert_eq!(found[2].lines, [1_002]);
        assert_eq!(found, batches(&file), "the same file gives the same bodies under the same keys");
        let keys: std::collections::HashSet<_> = found.iter().map(|batch| &batch.key).collect();
        assert_eq!(keys.len(), 3);
        let longer = batches(&format!("email,ltv\n{}", rows(1_002)));
        assert_ne!(longer[0].key, found[0].key, "another file has other keys");
        assert!(batches(&format!("email\n{}", rows(500))).iter().all(|batch| !batch.key.contains(' ')));
    }

    #[test]
    fn an_instant_for_the_whole_file_stands_in_every_record() {
        let at = time::parse_iso("2026-01-06T02:00:00+02:00").unwrap().at;
        let batch = profiles(b"email,ltv\na@b.c,1\n", Some(at)).unwrap().next().unwrap();
        assert_eq!(body(&batch)["records"][0][AS_OF], "2026-01-06T00:00:00Z");
    }

    #[test]
    fn a_header_that_names_no_email_or_a_name_twice_is_refused() {
        for file in ["", "ltv\n1\n", "email,ltv,LTV\n", "email,\n", "email,_as_of\n", "email,\u{a0}\n"] {
            assert!(profiles(file.as_bytes(), None).is_err(), "{file:?}");
        }
        assert!(profiles(b"email,\xff\n", None).is_err());
        assert_eq!(batches("email\n"), []);
    }

    #[test]
    fn a_file_of_bad_lines_has_no_body() {
        let batch = &batches("email\nx\n\u{0}\n")[0];
        assert_eq!((batch.body.as_ref(), batch.bad.len()), (None, 2));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_each_body_is_json(file in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let with_header = [b"email,a\n", file.as_slice()].concat();
            let _ = profiles(&file, None);
            for batch in profiles(&with_header, None).unwrap() {
                if let Some(body) = &batch.body {
                    let body: Value = serde_json::from_str(body).unwrap();
                    proptest::prop_assert_eq!(body["records"].as_array().unwrap().len(), batch.lines.len());
                }
            }
        }
    }
}
