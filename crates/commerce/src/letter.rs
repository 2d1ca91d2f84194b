//! The dead letter: an item that couldn't go on, with everything needed to mend and redrive it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{EventTime, ReceivedTime};

/// One record of `commerce.dead-letters.v1`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Stable id: derived from stage, topic, partition, offset and item, so that a retry writes the same one.
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
