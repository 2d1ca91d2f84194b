//! The dead letter: an item that couldn't go on, with everything needed to mend and redrive it.
//!
//! A letter's topic also holds how it stands: a further record under the same id, with another [`Status`]. The newest
//! record of an id is the letter. Redriving one sends its bytes back to the input of its stage with the headers of
//! [`redrive`], so that an item that fails again is the same letter and not one more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EventTime, ReceivedTime};

/// One record of `commerce.dead-letters.v1`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Stable id: derived from stage, topic, partition, offset and item, so that a retry writes the same one. That of
    /// the first letter where the item was redriven.
    pub id: String,
    /// The tenant, empty where it couldn't be read.
    pub workspace: String,
    /// `gateway`, `normalizer`, `state`, `aggregator`.
    pub stage: String,
    /// The source key, empty where it couldn't be read.
    pub source: String,
    /// [`crate::Reason::code`].
    pub reason: String,
    /// Path of the field at fault.
    pub field: Option<String>,
    /// A sentence for a person.
    pub message: String,
    /// Where the item stood: topic (`http` for the gateway).
    pub origin_topic: String,
    /// Where the item stood: partition, -1 for the gateway.
    pub origin_partition: i32,
    /// Where the item stood: offset, -1 for the gateway.
    pub origin_offset: i64,
    /// When the gateway accepted it.
    pub received_at: Option<ReceivedTime>,
    /// When it was set aside for the first time.
    pub first_seen_at: EventTime,
    /// How often it was redriven already.
    pub redrive_count: i32,
    /// How the delivery was authenticated: `hmac`, `key`, …
    pub verdict: String,
    /// The item's headers, without secrets.
    pub headers: BTreeMap<String, String>,
    /// The original bytes.
    #[serde(with = "bytes")]
    pub body: Vec<u8>,
    /// How it stands.
    #[serde(default)]
    pub status: Status,
    /// The item's place in a batch body, [`WHOLE`] where the whole record was set aside.
    #[serde(default)]
    pub item: i32,
    /// When an operator redrove or discarded it.
    #[serde(default)]
    pub changed_at: Option<EventTime>,
    /// The original record's key, empty for the gateway: there was no record yet.
    #[serde(default, with = "bytes")]
    pub key: Vec<u8>,
    /// True where the body is only the beginning of the original bytes, because the topic takes no more.
    #[serde(default)]
    pub cut: bool,
}

/// [`DeadLetter::item`] of a record that was set aside as a whole.
pub const WHOLE: i32 = -1;

/// How a letter stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for somebody.
    #[default]
    Open,
    /// It was sent back to its stage. One that fails there again is open again.
    Redriven,
    /// Somebody decided that it isn't wanted.
    Discarded,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Redriven, Self::Discarded];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }

    /// Reads the word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// The headers of a record that was redriven, by which its stage knows the letter again.
pub mod redrive {
    use crate::{EventTime, Mark};

    use super::WHOLE;

    /// The letter's id.
    pub const OF: &str = "redrive_of";
    /// How often it was redriven, this time included.
    pub const COUNT: &str = "redrive_count";
    /// The only item that is meant, absent where all are: the others of its batch went on long ago.
    pub const ITEM: &str = "redrive_item";
    /// When the item was set aside for the first time, RFC 3339.
    pub const FIRST_SEEN: &str = "redrive_first_seen_at";
    /// All of them: no header of the sender, so they aren't kept in a letter's headers.
    pub const HEADERS: [&str; 4] = [OF, COUNT, ITEM, FIRST_SEEN];

    /// What a redriven record's headers say.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub struct Redriven {
        /// [`OF`]
        pub of: String,
        /// [`COUNT`]
        pub count: i32,
        /// [`ITEM`]
        pub item: Option<i32>,
        /// [`FIRST_SEEN`]
        pub first_seen_at: Option<EventTime>,
    }

    impl Redriven {
        /// Reads the headers; `None` for a record that was never redriven.
        pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
            Some(Self {
                of: header(OF)?.to_owned(),
                count: header(COUNT).and_then(|count| count.parse().ok()).unwrap_or(1),
                item: header(ITEM).and_then(|item| item.parse().ok()),
                first_seen_at: header(FIRST_SEEN)
                    .and_then(|at| crate::time::parse_received(at).ok())
                    .map(crate::ReceivedTime::as_event),
            })
        }

        /// True for an item that this redriving is about.
        pub fn takes(&self, item: i32) -> bool {
            self.item.is_none_or(|only| only == item)
        }

        /// The id of the letter of an item that failed again: that of the letter before it. A whole record can come
        /// apart into several bad items when it is redriven: then the first place keeps the id, and each other has one
        /// of its own that is as stable.
        pub fn letter_id(&self, item: i32) -> String {
            if self.item.is_some() || item == WHOLE || item == 0 {
                return self.of.clone();
            }
            Mark::of(&[self.of.as_bytes(), &item.to_be_bytes()]).to_uuid()
        }
    }
}

/// Avro `bytes` in place of an array of numbers.
pub(crate) mod bytes {
    use std::fmt;

    use serde::{Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(value: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl<'de> de::Visitor<'de> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: de::Error>(self, v: &[u8]) -> Result<Vec<u8>, E> {
                Ok(v.to_vec())
            }
            fn visit_byte_buf<E: de::Error>(self, v: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(v)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<u8>, A::Error> {
                let mut out = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    out.push(byte);
                }
                Ok(out)
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::redrive::Redriven;
    use super::*;

    #[test]
    fn a_status_reads_back() {
        for status in Status::ALL {
            assert_eq!(Status::parse(status.as_str()), Some(status));
        }
        assert_eq!((Status::parse("lost"), Status::default()), (None, Status::Open));
    }

    #[test]
    fn a_redriven_record_is_known_by_its_headers() {
        let headers = [
            (redrive::OF, "abc"),
            (redrive::COUNT, "3"),
            (redrive::ITEM, "7"),
            (redrive::FIRST_SEEN, "2026-03-15T10:00:00.5Z"),
        ];
        let header = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
        let redriven = Redriven::read(header).unwrap();
        assert_eq!((redriven.of.as_str(), redriven.count, redriven.item), ("abc", 3, Some(7)));
        assert_eq!(redriven.first_seen_at.unwrap().to_rfc3339(), "2026-03-15T10:00:00.5Z");
        assert!(redriven.takes(7) && !redriven.takes(0));
        assert_eq!(redriven.letter_id(7), "abc");
        assert_eq!(Redriven::read(|_| None), None);
    }

    #[test]
    fn a_whole_record_that_comes_apart_gives_each_bad_item_an_id_of_its_own() {
        let redriven = Redriven { of: "abc".into(), count: 1, item: None, first_seen_at: None };
        assert!(redriven.takes(0) && redriven.takes(9));
        assert_eq!([redriven.letter_id(WHOLE), redriven.letter_id(0)], ["abc", "abc"]);
        assert_ne!(redriven.letter_id(1), redriven.letter_id(2));
        assert_eq!(redriven.letter_id(2), redriven.letter_id(2));
    }
}
