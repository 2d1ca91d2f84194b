//! The records of [`topics::Topic::Claims`], as they are written: JSON, keyed by the digest of key and scope.

use commerce::{Mark, ReceivedTime};
use serde::{Deserialize, Serialize};
use service::clock;
use topics::{Lane, Topic};
use uuid::Uuid;

use crate::producer::Record;

/// One record.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(crate) enum Entry {
    /// A request wants the key. Not transactional: it must be seen while it is undecided.
    Claim(Claim),
    /// It got it, and this is its answer. In one transaction with the raw record.
    Answer(Answer),
    /// It was given up before anything came of it, and never will be taken up again.
    Release {
        /// The claim.
        claim: Uuid,
    },
    /// Nothing: whoever wrote it waits until it has been read, and so everything before it.
    Look {
        /// Names it.
        id: Uuid,
    },
}

/// The wish to be the request that a key stands for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// Names it.
    pub(crate) id: Uuid,
    /// The transactional id under which its answer is written: to fence that one is to end the claim.
    pub(crate) owner: String,
    /// Whose place it takes. It counts only if that one still holds the key then.
    pub(crate) previous: Option<Uuid>,
    /// What the request says.
    #[serde(with = "hex")]
    pub(crate) content: Mark,
    /// When the request arrived, in microseconds; the 24 hours begin here.
    #[serde(with = "micros")]
    pub(crate) at: ReceivedTime,
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// To whom.
    pub(crate) claim: Uuid,
    /// When that request arrived.
    #[serde(with = "micros")]
    pub(crate) at: ReceivedTime,
    /// How many records were taken.
    pub(crate) records: u32,
    /// The answer's `x-correlation-id`.
    pub(crate) correlation: String,
    /// HTTP status.
    pub(crate) status: u16,
    /// JSON.
    pub(crate) body: String,
}

mod hex {
    use commerce::Mark;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(mark: &Mark, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&mark.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Mark, D::Error> {
        let text = String::deserialize(from)?;
        Mark::from_hex(&text).ok_or_else(|| D::Error::custom("not 32 hexadecimal digits"))
    }
}

mod micros {
    use commerce::ReceivedTime;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &ReceivedTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(at.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<ReceivedTime, D::Error> {
        i64::deserialize(from).map(ReceivedTime)
    }
}

impl Entry {
    /// The record's value.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // None of its types can fail to be JSON; an empty value would be skipped by every reader, and its writer would
        // wait in vain and say so.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A record of the claims topic that isn't part of a transaction.
pub(super) struct Note {
    key: String,
    value: Vec<u8>,
    at: ReceivedTime,
}

impl Note {
    pub(super) fn new(key: Mark, entry: &Entry) -> Self {
        Self { key: key.to_hex(), value: entry.to_bytes(), at: clock::now() }
    }

    pub(super) fn record(&self) -> Record<'_> {
        Record {
            topic: Topic::Claims,
            key: &self.key,
            value: &self.value,
            headers: &[],
            received_at: self.at,
            lane: Lane::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        let id = Uuid::from_u128(7);
        let claim = Claim {
            id,
            owner: "tillstream-gateway-a-0".to_owned(),
            previous: Some(Uuid::from_u128(6)),
            content: Mark(1),
            at: ReceivedTime(1_790_000_000_000_001),
        };
        let bytes = Entry::Claim(claim.clone()).to_bytes();
        assert!(matches!(serde_json::from_slice(&bytes), Ok(Entry::Claim(read)) if read == claim));
        let answer = Answer {
            claim: id,
            at: claim.at,
            records: 2,
            correlation: "c".to_owned(),
            status: 200,
            body: r#"{"success":true}"#.to_owned(),
        };
        let bytes = Entry::Answer(answer.clone()).to_bytes();
        assert!(matches!(serde_json::from_slice(&bytes), Ok(Entry::Answer(read)) if read == answer));
        let bytes = Entry::Release { claim: id }.to_bytes();
        assert!(matches!(serde_json::from_slice(&bytes), Ok(Entry::Release { claim }) if claim == id));
    }
}
