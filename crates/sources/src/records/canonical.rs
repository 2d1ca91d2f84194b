//! The content of a record, by which the same key with another body is told from a repetition (D-REC-1).
//!
//! White space, the order of fields and the way in which a text is escaped are no content; how a number is written is.

use std::collections::BTreeMap;

use commerce::Mark;

use super::address::Address;
use super::validate;
use crate::json::Scalar;

/// Beyond this depth a value counts as it was written: nothing may recurse as deep as a sender likes.
const DEEPEST: u32 = 32;

/// Digests what a request says: all of its records. What can't be taken apart is what its bytes are.
pub(super) fn body(address: Address<'_>, body: &[u8]) -> Mark {
    let Ok(parts) = validate::body(address, body) else { return Mark::of(&[b"bytes", body]) };
    let mut marks = Vec::with_capacity(16 * parts.records.len());
    for record in &parts.records {
        marks.extend_from_slice(&content(*record, parts.match_key.as_deref()).0.to_be_bytes());
    }
    Mark::of(&[b"records", &marks])
}

/// Digests a record; `match_key` is a part of what an upsert asks for.
pub(super) fn content(record: Scalar<'_>, match_key: Option<&str>) -> Mark {
    let mut text = String::with_capacity(record.json().len());
    write(record, DEEPEST, &mut text);
    Mark::of(&[b"record", match_key.unwrap_or_default().as_bytes(), text.as_bytes()])
}

fn write(value: Scalar<'_>, depth: u32, to: &mut String) {
    let json = value.json();
    match json.as_bytes().first() {
        Some(b'{')
            if depth > 0
                && let Some(bag) = value.object() =>
        {
            // Of two equal keys the last one counts, here as everywhere.
            let fields: BTreeMap<&str, Scalar<'_>> = bag.entries().collect();
            to.push('{');
            for (name, value) in fields {
                to.push_str(&crate::json::quoted(name));
                to.push(':');
                write(value, depth - 1, to);
                to.push(',');
            }
            to.push('}');
        }
        Some(b'[')
            if depth > 0
                && let Some(list) = value.list() =>
        {
            to.push('[');
            for value in list {
                write(value, depth - 1, to);
                to.push(',');
            }
            to.push(']');
        }
        Some(b'"') if json.contains('\\') => match serde_json::from_str::<String>(json) {
            Ok(text) => to.push_str(&crate::json::quoted(&text)),
            Err(_) => to.push_str(json),
        },
        _ => to.push_str(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(record: &str) -> Mark {
        let bag = crate::json::bag(record.as_bytes()).unwrap();
        content(bag.get("record"), Some("email"))
    }

    #[test]
    fn white_space_order_and_escapes_are_no_content() {
        let one = of(r#"{"record":{"a":1,"b":[true,{"c":"x/y","d":null}]}}"#);
        assert_eq!(one, of(r#"{ "record" : {"b":[ true, {"d":null, "c":"x\/\u0079"} ], "\u0061":1} }"#));
        assert_eq!(one, of(r#"{"record":{"a":2,"a":1,"b":[true,{"c":"x/y","d":null}]}}"#));
    }

    #[test]
    fn another_value_order_of_a_list_or_match_key_is_another_content() {
        let one = of(r#"{"record":{"a":1.10,"b":["x","y"]}}"#);
        for other in [
            r#"{"record":{"a":1.1,"b":["x","y"]}}"#,
            r#"{"record":{"a":"1.10","b":["x","y"]}}"#,
            r#"{"record":{"a":1.10,"b":["y","x"]}}"#,
            r#"{"record":{"a":1.10,"b":["x","y"],"c":null}}"#,
            r#"{"record":{"a":1.10,"b":["x,y"]}}"#,
        ] {
            assert_ne!(one, of(other), "{other}");
        }
        let bag = crate::json::bag(br#"{"record":{"a":1.10,"b":["x","y"]}}"#).unwrap();
        assert_ne!(one, content(bag.get("record"), Some("phone")));
    }

    #[test]
    fn a_deep_record_is_no_danger() {
        let deep = format!(r#"{{"record":{{"a":{}{}}}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(of(&deep), of(&deep));
        let other = format!(r#"{{"record":{{"a":{}1{}}}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert_ne!(of(&deep), of(&other));
    }
}
