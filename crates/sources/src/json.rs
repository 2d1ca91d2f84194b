//! Tolerant reading of JSON: a body is read once, borrowed, and only the fields that are named.
//!
//! A scalar keeps its text until somebody asks, so that an amount never passes through a float, an id of 64 bits is
//! not rounded, and an oddity in a field that nobody reads can't spoil an order. Where an object is expected,
//! anything else (`null`, `[]`, `""`) means *absent* (R7.4). A key that comes twice: the last one counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use commerce::Reason;
use commerce::reason::Failure;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text of one JSON value; empty when the key is missing.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Scalar<'a>(&'a str);

/// What a scalar holds.
pub(crate) enum Value<'a> {
    /// Missing, `null`, `""`, only white space, `[]` or `{}`.
    Absent,
    /// A string, trimmed.
    Text(Cow<'a, str>),
    /// A number, as it was written.
    Number(&'a str),
    /// A boolean.
    Bool(bool),
    /// An array or object with content, or a string that is no text.
    Other,
}

impl<'a> Scalar<'a> {
    /// The value, decoded.
    pub(crate) fn value(self) -> Value<'a> {
        match self.0.as_bytes() {
            [] | [b'n', ..] => Value::Absent,
            [b'"', inner @ .., b'"'] => {
                let text = if inner.contains(&b'\\') {
                    match serde_json::from_str::<String>(self.0) {
                        Ok(text) => Cow::Owned(text.trim().to_owned()),
                        Err(_) => return Value::Other,
                    }
                } else {
                    Cow::Borrowed(self.0.get(1..self.0.len() - 1).unwrap_or_default().trim())
                };
                if text.is_empty() { Value::Absent } else { Value::Text(text) }
            }
            [b't', ..] => Value::Bool(true),
            [b'f', ..] => Value::Bool(false),
            [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] if inner.trim_ascii().is_empty() => {
                Value::Absent
            }
            [b'[' | b'{', ..] => Value::Other,
            _ => Value::Number(self.0),
        }
    }

    /// True unless the value is absent.
    pub(crate) fn is_present(self) -> bool {
        !matches!(self.value(), Value::Absent)
    }

    /// True when the key was there, whatever its value: an explicit `null` says something.
    pub(crate) fn is_named(self) -> bool {
        !self.0.is_empty()
    }

    /// A string or number as text.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self.value() {
            Value::Text(text) => Some(text),
            Value::Number(text) => Some(Cow::Borrowed(text)),
            Value::Absent | Value::Bool(_) | Value::Other => None,
        }
    }

    /// A string or number as owned text.
    pub(crate) fn owned(self) -> Option<String> {
        self.text().map(Cow::into_owned)
    }

    /// The JSON text, as it was written; empty when the key is missing.
    pub(crate) fn json(self) -> &'a str {
        self.0
    }

    /// The object that stands here; anything else is none.
    pub(crate) fn object(self) -> Option<Bag<'a>> {
        serde_json::from_str(self.0.starts_with('{').then_some(self.0)?).ok()
    }

    /// The entries of the list that stands here; anything else is none.
    pub(crate) fn list(self) -> Option<Vec<Scalar<'a>>> {
        serde_json::from_str(self.0.starts_with('[').then_some(self.0)?).ok()
    }

    /// `true`, or the string of it.
    pub(crate) fn is_true(self) -> bool {
        match self.value() {
            Value::Bool(value) => value,
            Value::Text(text) => text.eq_ignore_ascii_case("true"),
            Value::Absent | Value::Number(_) | Value::Other => false,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// An object whose fields are read by name; see [`object!`].
pub(crate) trait Object<'de>: Default {
    /// Reads the value of `key`, or skips it.
    fn read<A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error>;
}

/// Declares a struct of scalars, objects and lists that is read tolerantly: the field names are the JSON keys, unless
/// another key stands behind `=`.
macro_rules! object {
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    ($($(#[$meta:meta])* $name:ident<$lt:lifetime> { $($field:ident: $kind:ty $(= $key:literal)?,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Default, Debug)]
        pub(crate) struct $name<$lt> {
            $(pub(crate) $field: $kind,)+
        }

        impl<$lt> crate::json::Object<$lt> for $name<$lt> {
            #[inline]
            fn read<A: serde::de::MapAccess<$lt>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
                $(if key == crate::json::object!(@key $field $($key)?) {
                    self.$field = map.next_value()?;
                    return Ok(());
                })+
                map.next_value::<serde::de::IgnoredAny>().map(|_| ())
            }
        }
    )+};
}
pub(crate) use object;

/// An object, or anything else, which means absent.
#[derive(Debug)]
pub(crate) struct Maybe<T>(Option<T>);

impl<T> Default for Maybe<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Maybe<T> {
    /// The object, where there is one.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything<T>(std::marker::PhantomData<T>);
        impl<'de, T: Object<'de>> Visitor<'de> for Anything<T> {
            type Value = Maybe<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Maybe<T>, A::Error> {
                let mut object = T::default();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    object.read(&key.0, &mut map)?;
                }
                Ok(Maybe(Some(object)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Maybe<T>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Maybe(None))
            }
            fn visit_unit<E>(self) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
            fn visit_str<E>(self, _: &str) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
        }
        deserializer.deserialize_any(Anything(std::marker::PhantomData))
    }
}

/// A list of objects. An entry that is no object is kept as an absent one, so that positions in paths stay right.
#[derive(Debug)]
pub(crate) struct List<T>(Option<Vec<Maybe<T>>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> List<T> {
    /// True when there was a list, an empty one included.
    pub(crate) fn is_present(&self) -> bool {
        self.0.is_some()
    }

    /// The entries with their positions; `None` where an entry is no object.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, Option<&T>)> {
        self.0.iter().flatten().map(Maybe::get).enumerate()
    }

    /// The entries that are objects, with their positions.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (usize, &T)> {
        self.entries().filter_map(|(index, entry)| entry.map(|entry| (index, entry)))
    }
}

impl<'de, T: Object<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Anything<T>(std::marker::PhantomData<T>);
        impl<'de, T: Object<'de>> Visitor<'de> for Anything<T> {
            type Value = List<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = seq.next_element()? {
                    entries.push(entry);
                }
                Ok(List(Some(entries)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List<T>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(List(None))
            }
            fn visit_unit<E>(self) -> Result<List<T>, E> {
                Ok(List(None))
            }
            fn visit_bool<E>(self, _: bool) -> Result<List<T>, E> {
                Ok(List(None))
            }
            fn visit_i64<E>(self, _: i64) -> Result<List<T>, E> {
                Ok(List(None))
            }
            fn visit_u64<E>(self, _: u64) -> Result<List<T>, E> {
                Ok(List(None))
            }
            fn visit_f64<E>(self, _: f64) -> Result<List<T>, E> {
                Ok(List(None))
            }
            fn visit_str<E>(self, _: &str) -> Result<List<T>, E> {
                Ok(List(None))
            }
        }
        deserializer.deserialize_any(Anything(std::marker::PhantomData))
    }
}

/// An object with whatever it holds, in the order in which it came. A key that comes twice: the last one counts.
#[derive(Clone, Default, Debug)]
pub(crate) struct Bag<'a>(Vec<(Cow<'a, str>, Scalar<'a>)>);

impl<'a> Bag<'a> {
    /// The value of a key; absent when it is missing.
    pub(crate) fn get(&self, key: &str) -> Scalar<'a> {
        let found = self.0.iter().rev().find(|(name, _)| name == key);
        found.map_or_else(Scalar::default, |(_, value)| *value)
    }

    /// The value of the first of the keys that is present.
    pub(crate) fn first(&self, keys: &[&str]) -> Scalar<'a> {
        let values = keys.iter().map(|key| self.get(key));
        values.into_iter().find(|value| value.is_present()).unwrap_or_default()
    }

    /// All keys with their values; of equal keys all.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, Scalar<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// True without any key.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values as JSON text by key, without the keys that are named.
    pub(crate) fn rest(&self, without: &[&str]) -> BTreeMap<String, String> {
        let rest = self.entries().filter(|(key, _)| !without.contains(key));
        rest.map(|(key, value)| (key.to_owned(), value.json().to_owned())).collect()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bag<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Bag<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bag<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    entries.push((key.0, map.next_value()?));
                }
                Ok(Bag(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Reads a body that must be one JSON object, with all its keys.
pub(crate) fn bag(body: &[u8]) -> Result<Bag<'_>, Failure> {
    let malformed = |message: String| Failure::at(Reason::MalformedJson, "body", message);
    let text =
        std::str::from_utf8(body).map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
    serde_json::from_str(text).map_err(|error| malformed(format!("the body is not a JSON object: {error}")))
}

/// A key, borrowed unless it has escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            #[inline]
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads a body that must be one JSON object.
pub(crate) fn parse<'a, T: Object<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    let malformed = |message: String| Failure::at(Reason::MalformedJson, "body", message);
    let text =
        std::str::from_utf8(body).map_err(|error| malformed(format!("the body is not UTF-8: {error}")))?;
    let Maybe(object) = serde_json::from_str::<Maybe<T>>(text)
        .map_err(|error| malformed(format!("the body is not JSON: {error}")))?;
    object.ok_or_else(|| malformed("the body is not a JSON object".to_owned()))
}

/// A text as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    object! {
        Inner<'a> { a: Scalar<'a>, }
        Outer<'a> { id: Scalar<'a>, inner: Maybe<Inner<'a>>, list: List<Inner<'a>>, }
    }

    fn read(body: &str) -> Outer<'_> {
        super::parse(body.as_bytes()).unwrap()
    }

    #[test]
    fn a_scalar_keeps_its_text_and_nothing_is_absent_in_many_ways() {
        assert_eq!(read(r#"{"id": 9007199254740993 }"#).id.text().unwrap(), "9007199254740993");
        assert_eq!(read(r#"{"id": " a\u0062 "}"#).id.text().unwrap(), "ab");
        assert_eq!(read(r#"{"id": 0.1000}"#).id.text().unwrap(), "0.1000");
        for body in
            ["{}", r#"{"id":null}"#, r#"{"id":""}"#, r#"{"id":"  "}"#, r#"{"id":[ ]}"#, r#"{"id":{}}"#]
        {
            assert!(!read(body).id.is_present(), "{body}");
        }
        assert!(read(r#"{"id":null}"#).id.is_named() && !read("{}").id.is_named());
        assert!(matches!(read(r#"{"id":"\ud800"}"#).id.value(), Value::Other));
    }

    #[test]
    fn anything_else_in_the_place_of_an_object_means_absent() {
        for value in ["null", "[]", "[1,{}]", r#""""#, "1", "-1", "1.5", "true"] {
            let body = format!(r#"{{"inner":{value},"id":1}}"#);
            let outer = read(&body);
            assert!(outer.inner.get().is_none() && outer.id.is_present(), "{value}");
        }
        for value in ["null", "{}", r#"{"a":[1]}"#, r#""""#, "1", "-1", "1.5", "true"] {
            let body = format!(r#"{{"list":{value},"id":1}}"#);
            let outer = read(&body);
            assert!(!outer.list.is_present() && outer.id.is_present(), "{value}");
        }
        let outer = read(r#"{"list":[{"a":1},null,{"a":2}],"inner":{"a":[1]}}"#);
        assert_eq!(outer.list.objects().map(|(index, _)| index).collect::<Vec<_>>(), [0, 2]);
        assert!(matches!(outer.inner.get().unwrap().a.value(), Value::Other));
    }

    #[test]
    fn the_last_of_two_equal_keys_counts_and_an_escaped_key_is_the_same_key() {
        assert_eq!(read(r#"{"id":1,"id":2}"#).id.text().unwrap(), "2");
        assert_eq!(read(r#"{"\u0069d":3}"#).id.text().unwrap(), "3");
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for body in ["", "not json", "[]", "1", "{", r#"{"id":1} x"#, r#"{"id":}"#, "null"] {
            let failure = super::parse::<Outer<'_>>(body.as_bytes()).unwrap_err();
            assert_eq!(failure.reason, Reason::MalformedJson, "{body}");
        }
        assert_eq!(
            super::parse::<Outer<'_>>(b"{\"id\":\"\xff\"}").unwrap_err().reason,
            Reason::MalformedJson
        );
    }
}
