//! An answer as a table (RFC 4180): one line of names, then one line per row.
//!
//! It is made from the answer's own JSON, so both say the same digits. A text that a spreadsheet would run as a formula
//! gets an apostrophe before it: campaigns and coupons come from whoever has the public key.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Which part of an answer is its table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    /// The member that holds the rows; `None`: the answer itself is the one row.
    pub rows: Option<&'static str>,
    /// The members of a row, in their order.
    pub columns: &'static [&'static str],
}

/// The members of a JSON object, each as it is written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    all.push(entry);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(All).map(Members)
    }
}

impl Table {
    /// The table of an answer.
    pub fn of(self, json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
        let answer: Members<'_> = serde_json::from_slice(json)?;
        let rows: Vec<Members<'_>> = match self.rows.and_then(|name| answer.get(name)) {
            Some(rows) => serde_json::from_str(rows.get())?,
            None => vec![answer],
        };
        let mut text = String::new();
        line(self.columns.iter().map(|name| (*name).to_owned()), &mut text);
        for row in &rows {
            let cells = self.columns.iter().map(|name| row.get(name).map_or_else(String::new, cell));
            line(cells, &mut text);
        }
        Ok(text.into_bytes())
    }
}

/// A member of an answer that is a text, a number or a truth.
pub fn member(json: &[u8], name: &str) -> Option<String> {
    let answer: Members<'_> = serde_json::from_slice(json).ok()?;
    answer.get(name).filter(|value| value.get() != "null").map(cell)
}

/// A value as a cell has it: numbers as they are, texts without their quotes.
fn cell(value: &RawValue) -> String {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r']) => format!("'{text}"),
        Ok(text) => text,
        Err(_) => value.get().to_owned(),
    }
}

fn line(cells: impl Iterator<Item = String>, text: &mut String) {
    for (i, cell) in cells.enumerate() {
        if i > 0 {
            text.push(',');
        }
        if cell.contains([',', '"', '\n', '\r']) {
            text.push('"');
            text.push_str(&cell.replace('"', "\"\""));
            text.push('"');
        } else {
            text.push_str(&cell);
        }
    }
    text.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: Option<&'static str>, columns: &'static [&'static str], json: &str) -> String {
        String::from_utf8(Table { rows, columns }.of(json.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn a_list_is_a_line_of_names_and_a_line_per_row_with_the_same_digits() {
        let json = r#"{"list":[{"b":12.50,"a":"x"},{"a":"y, \"z\"\n","b":-0.05}],"days":1}"#;
        let lines = "a,b\r\nx,12.50\r\n\"y, \"\"z\"\"\n\",-0.05\r\n";
        assert_eq!(table(Some("list"), &["a", "b"], json), lines);
        assert_eq!(table(Some("list"), &["a", "b"], r#"{"list":[]}"#), "a,b\r\n");
        assert_eq!(
            table(None, &["total", "days"], r#"{"total":1.10,"days":3,"held":{}}"#),
            "total,days\r\n1.10,3\r\n"
        );
    }

    #[test]
    fn a_text_is_never_a_formula() {
        let json = r#"{"list":[{"a":"=1+1"},{"a":"@x"},{"a":"-5"},{"a":"a=b"}]}"#;
        assert_eq!(table(Some("list"), &["a"], json), "a\r\n'=1+1\r\n'@x\r\n'-5\r\na=b\r\n");
    }
}
