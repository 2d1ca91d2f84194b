//! Identifiers, and the 128-bit marks by which deliveries and facts are recognised.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The tenant, one environment of it: `acme`, `acme-staging`. Everything is scoped by it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkspaceId(String);

impl WorkspaceId {
    /// Lower-case letters, digits, `-` and `_`, 1 to 64 of them: it is part of keys, labels and addresses.
    pub fn try_new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fine) {
            return Err(format!(
                "a workspace id has 1 to 64 lower-case letters, digits, '-' and '_', unlike '{}'",
                text.chars().take(70).collect::<String>()
            ));
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for WorkspaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The longest id that is taken from outside, in bytes: a longer one is a fault of the sender, not an order.
pub const LONGEST_ID: usize = 512;

/// A 128-bit digest that stands for a delivery, a fact or a content. Two different inputs never share one in practice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mark(pub u128);

impl Mark {
    /// Digests the parts with their lengths, so that `("ab", "c")` and `("a", "bc")` differ.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut first = [0_u8; 16];
        first.copy_from_slice(&digest[..16]);
        Self(u128::from_be_bytes(first))
    }

    /// 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Reads what [`Mark::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 16];
        hex::decode_to_slice(text, &mut bytes).ok().map(|()| Self(u128::from_be_bytes(bytes)))
    }

    /// The mark as a version-8 UUID, the form in which event ids are published.
    pub fn to_uuid(self) -> String {
        uuid::Builder::from_custom_bytes(self.0.to_be_bytes()).into_uuid().to_string()
    }

    /// The upper half, where 64 bits are enough (ties between versions of one order).
    pub fn high(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or(u64::MAX)
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The place of a delivery in the raw topic, with its arrival: the order of the world, as far as there is one.
///
/// "First" always means the smallest stamp, never "processed first".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Stamp {
    /// When the gateway accepted it.
    pub received_at: crate::ReceivedTime,
    /// Partition of the raw topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
    /// Place inside a batch body, 0 for a body of one.
    pub item: i32,
    /// Which of the events that this place gave rise to.
    pub part: i32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_id_is_safe_in_keys_and_labels() {
        assert!(WorkspaceId::try_new("acme-staging_2").is_ok());
        for text in ["", "Acme", "a:b", "ä", "a b", &"x".repeat(65)] {
            assert!(WorkspaceId::try_new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(Mark::of(&[b"ab", b"c"]), Mark::of(&[b"a", b"bc"]));
        let mark = Mark::of(&[b"x"]);
        assert_eq!(Mark::from_hex(&mark.to_hex()), Some(mark));
    }
}
