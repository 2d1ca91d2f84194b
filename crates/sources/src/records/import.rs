//! Profiles from a file to bodies of `POST /public/v1/records/profiles/upsert-batch`: a CSV with the
//! columns `email`, `ltv`, `order_count` and `last_order_at`, in any order and with any more, or JSON lines with such
//! fields.
//!
//! The same file as of the same instant gives the same bodies under the same keys, so a second run changes nothing. A bad
//! line is reported with its number and stops nothing. Whoever sends the bodies labels them with the header
//! `tillstream-import`.

mod lines;
mod table;

use commerce::reason::Failure;
use commerce::{Currency, EventTime, Mark, Money, Reason, person, time};

use super::row::AS_OF;

/// Where the bodies are sent to.
pub const PATH: &str = "/public/v1/records/profiles/upsert-batch";

/// The header that labels the bodies as a load.
pub const LABEL: &str = crate::http::IMPORT;

/// The most records of one body.
pub const LARGEST_BODY: usize = 500;

/// The field by which records are matched.
const EMAIL: &str = "email";

/// One body, with the lines that it was made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The JSON text. `None`: there was no good line.
    pub body: Option<String>,
    /// `Idempotency-Key`: from the content of the file, the instant as of which it holds, and the place in it.
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
    rows: Rows<'a>,
    file: Mark,
    as_of: Option<String>,
    bodies: u64,
}

/// What the file is.
enum Rows<'a> {
    Table(table::Table<'a>),
    Lines(lines::Lines<'a>),
}

impl Rows<'_> {
    fn next(&mut self, as_of: Option<&str>) -> Option<(u64, Result<String, Failure>)> {
        match self {
            Self::Table(table) => table.next(as_of),
            Self::Lines(lines) => lines.next(as_of),
        }
    }
}

impl std::fmt::Debug for Profiles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profiles").field("file", &self.file).field("bodies", &self.bodies).finish()
    }
}

/// Opens a file. It is JSON lines where it begins with a brace, else a CSV. `as_of` is the instant as of which its totals
/// hold; without it each row counts as of its own `last_order_at`. `Err`: the header can't be used.
pub fn profiles(file: &[u8], as_of: Option<EventTime>) -> Result<Profiles<'_>, Failure> {
    let text = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let rows = if text.trim_ascii_start().starts_with(b"{") {
        Rows::Lines(lines::open(text))
    } else {
        Rows::Table(table::open(text)?)
    };
    let as_of = as_of.map(EventTime::to_rfc3339);
    let instant = as_of.as_deref().unwrap_or_default();
    let file = Mark::of(&[b"import profiles", file, instant.as_bytes()]);
    Ok(Profiles { rows, file, as_of, bodies: 0 })
}

impl Iterator for Profiles<'_> {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        let (mut records, mut lines, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        while records.len() < LARGEST_BODY && faults.len() < LARGEST_BODY {
            match self.rows.next(self.as_of.as_deref()) {
                Some((line, Ok(record))) => {
                    records.push(record);
                    lines.push(line);
                }
                Some((line, Err(failure))) => faults.push(BadLine { line, failure }),
                None => break,
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

fn bad(field: &str, message: impl Into<String>) -> Failure {
    Failure::at(Reason::BadValue, field, message)
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

/// Totals count as of an instant. Without one they would count as of their arrival, and a second run would be another
/// report, which swallows the orders between the two.
fn dated(has: impl Fn(&str) -> bool, as_of: Option<&str>) -> Result<(), Failure> {
    if as_of.is_none() && !has("last_order_at") && (has("ltv") || has("order_count")) {
        let message = "nothing says as of when the totals hold: neither it nor an instant for the whole file";
        return Err(Failure::at(Reason::MissingField, "last_order_at", message));
    }
    Ok(())
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

    /// The same as of an instant.
    fn dated_batches(file: &str, at: &str) -> Vec<Batch> {
        profiles(file.as_bytes(), Some(time::parse_iso(at).unwrap().at)).unwrap().collect()
    }

    /// The lines that were left out, each with its field.
    fn bad_lines(batch: &Batch) -> Vec<(u64, &str)> {
        batch.bad.iter().map(|bad| (bad.line, bad.failure.field.as_deref().unwrap())).collect()
    }

    fn body(batch: &Batch) -> Value {
        serde_json::from_str(batch.body.as_deref().unwrap()).unwrap()
    }

    #[test]
    fn columns_come_in_any_order_and_further_ones_are_attributes() {
        let file = "\u{feff}Last_Order_At,tier,EMAIL,order_count,ltv\r\n\
                    2026-01-05 10:00:00+00:00,\"gold, old\",Jane@Example.com,3,120.50\r\n\
                    2026-01-06T10:00:00Z,,joe@example.com,0,\r\n";
        let batches = batches(file);
        assert_eq!(batches.len(), 1);
        assert_eq!((batches[0].lines.as_slice(), batches[0].bad.len()), ([2, 3].as_slice(), 0));
        assert_eq!(
            body(&batches[0]),
            json!({"matchKey": "email", "records": [
                {"last_order_at": "2026-01-05 10:00:00+00:00", "tier": "gold, old", "email": "Jane@Example.com",
                 "order_count": "3", "ltv": "120.50"},
                {"last_order_at": "2026-01-06T10:00:00Z", "email": "joe@example.com", "order_count": "0"},
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
        let batches = dated_batches(file, "2026-01-06T00:00:00Z");
        assert_eq!(
            bad_lines(&batches[0]),
            [(3, "email"), (4, "email"), (7, "order_count"), (8, "ltv"), (9, "last_order_at"), (10, "line")]
        );
        // The cell with a line break in it counts as the line on which its row begins.
        assert_eq!(batches[0].lines, [2, 5, 12]);
    }

    #[test]
    fn a_body_has_at_most_500_records_and_its_key_names_the_file_and_the_place() {
        const AT: &str = "2026-01-06T00:00:00Z";
        let rows = |n: usize| (0..n).map(|i| format!("u{i}@b.c,{i}\n")).collect::<String>();
        let file = format!("email,ltv\n{}", rows(1_001));
        let found = dated_batches(&file, AT);
        assert_eq!(found.iter().map(|batch| batch.lines.len()).collect::<Vec<_>>(), [500, 500, 1]);
        assert_eq!(found[2].lines, [1_002]);
        assert_eq!(
            found,
            dated_batches(&file, AT),
            "the same file gives the same bodies under the same keys"
        );
        let keys: std::collections::HashSet<_> = found.iter().map(|batch| &batch.key).collect();
        assert_eq!(keys.len(), 3);
        let longer = dated_batches(&format!("email,ltv\n{}", rows(1_002)), AT);
        assert_ne!(longer[0].key, found[0].key, "another file has other keys");
        let later = dated_batches(&file, "2026-01-07T00:00:00Z");
        assert_ne!(later[0].key, found[0].key, "and so has the same file as of another instant");
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

    #[test]
    fn totals_that_hold_as_of_no_instant_are_not_taken() {
        let file = "email,ltv,order_count,last_order_at,tier\n\
                    a@b.c,1,,,x\nd@e.f,,1,,x\ng@h.i,1,1,2026-01-05T10:00:00Z,x\nj@k.l,,,,x\n";
        let batch = &batches(file)[0];
        assert_eq!(bad_lines(batch), [(2, "last_order_at"), (3, "last_order_at")]);
        assert_eq!(batch.lines, [4, 5]);
        assert_eq!(dated_batches(file, "2026-01-06T00:00:00Z")[0].lines, [2, 3, 4, 5]);
    }

    #[test]
    fn json_lines_keep_their_types_and_say_what_is_wrong_with_a_line() {
        let file = "\u{feff}{\"email\":\"a@b.c\",\"ltv\":120.50,\"order_count\":3,\"vip\":true,\"tier\":null}\r\n\
                    \n\
                    {\"email\":\"nobody\"}\n\
                    {\"ltv\":1}\n\
                    {\"email\":\"c@d.e\",\"order_count\":1.5}\n\
                    {\"email\":\"c@d.e\",\"ltv\":[1]}\n\
                    {\"email\":\"c@d.e\",\"_backfill\":1}\n\
                    {\"email\":\n\
                    [1]\n\
                    {\"email\":\"f@g.h\",\"last_order_at\":\"2026-01-05T10:00:00Z\"}";
        let batches = dated_batches(file, "2026-01-06T00:00:00Z");
        assert_eq!(
            bad_lines(&batches[0]),
            [
                (3, "email"),
                (4, "email"),
                (5, "order_count"),
                (6, "ltv"),
                (7, "line"),
                (8, "line"),
                (9, "line"),
            ]
        );
        assert_eq!(batches[0].lines, [1, 10]);
        assert_eq!(
            batches[0].body.as_deref().unwrap(),
            "{\"matchKey\":\"email\",\"records\":[{\"email\":\"a@b.c\",\"ltv\":120.50,\"order_count\":3,\"vip\":true,\
             \"tier\":null,\"_as_of\":\"2026-01-06T00:00:00Z\"},{\"email\":\"f@g.h\",\"last_order_at\":\
             \"2026-01-05T10:00:00Z\",\"_as_of\":\"2026-01-06T00:00:00Z\"}]}"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_each_body_is_json(file in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let with_header = [b"email,a\n", file.as_slice()].concat();
            let _ = profiles(&file, None);
            let lines = [b"{\"email\":\"a@b.c\"}\n{", file.as_slice()].concat();
            let as_of = Some(EventTime(1_767_225_600_000_000));
            for batch in profiles(&with_header, None).unwrap().chain(profiles(&lines, as_of).unwrap()) {
                if let Some(body) = &batch.body {
                    let body: Value = serde_json::from_str(body).unwrap();
                    proptest::prop_assert_eq!(body["records"].as_array().unwrap().len(), batch.lines.len());
                }
            }
        }
    }
}
