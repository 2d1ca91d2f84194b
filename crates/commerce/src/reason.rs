//! Why an item was refused or set aside: one closed set of stable codes.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)+) => {
        /// The closed set of reasons. [`Reason::code`] is the one stable string: metric label, dead-letter field,
        /// log field, HTTP error and documentation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[doc = $doc])+ #[serde(rename = $code)] $variant,)+
        }

        impl Reason {
            /// All reasons, in the order in which they are documented.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable code.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)+ }
            }

            /// What it means and what to do, as documented.
            pub const fn explanation(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+),)+ }
            }
        }
    };
}

reasons! {
    /// The body is not JSON, or not a JSON object. The sender must be mended; a retry brings the same bytes.
    MalformedJson = "malformed_json",
    /// The source's topic or event name has no canonical event.
    UnsupportedEvent = "unsupported_event",
    /// A field that the contract requires is absent or unreadable; the field's path is named.
    MissingField = "missing_field",
    /// A field holds a value that its contract doesn't allow.
    BadValue = "bad_value",
    /// An amount is not a decimal number, or is beyond 10^15 minor units.
    BadMoney = "bad_money",
    /// A currency code is unknown to ISO 4217.
    BadCurrency = "bad_currency",
    /// A time is not ISO 8601.
    BadTime = "bad_time",
    /// An order has no id.
    MissingOrderId = "missing_order_id",
    /// An idempotency key came again with another body.
    IdempotencyBodyMismatch = "idempotency_body_mismatch",
    /// The signature is missing, malformed or wrong. Nothing is stored.
    BadSignature = "bad_signature",
    /// The key is missing or unknown. Nothing is stored.
    UnknownKey = "unknown_key",
    /// The key belongs to another workspace. Nothing is stored.
    WrongWorkspace = "wrong_workspace",
    /// The key is known and doesn't open this: a publishable key where a secret one is needed. Nothing is stored.
    KeyNotAllowed = "key_not_allowed",
    /// The workspace's plan doesn't cover it, or its quota is used up. Nothing is stored.
    PlanLimit = "plan_limit",
    /// Requests come faster than the workspace's plan allows: the sender slows down and retries.
    RateLimited = "rate_limited",
    /// The body is larger than the source's limit.
    PayloadTooLarge = "payload_too_large",
    /// The body didn't arrive in time or couldn't be decompressed.
    UnreadableBody = "unreadable_body",
    /// No such address.
    UnknownPath = "unknown_path",
    /// The method is not allowed at this address.
    WrongMethod = "wrong_method",
    /// A fraud rule of severity 2 matched: answered like success, in no figure.
    FraudBlocked = "fraud_blocked",
    /// The customer inside another delivery, of whom everything was known.
    NothingNew = "nothing_new",
    /// The request only asks. Nothing is stored.
    Question = "question",
    /// The record couldn't be committed to Kafka in time, or too much is in flight: the sender retries.
    Unavailable = "unavailable",
    /// The workspace named by the record isn't configured.
    UnknownWorkspace = "unknown_workspace",
    /// A record of a topic can't be decoded: not in the Confluent wire format, an unknown schema id, or damaged.
    UnreadableRecord = "unreadable_record",
    /// A result would be larger than its topic allows.
    OutputTooLarge = "output_too_large",
    /// A sum went beyond what 64 bits hold.
    AmountOverflow = "amount_overflow",
}

impl Reason {
    /// Reads a code.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A reason with its place: what becomes a dead letter or a typed refusal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}{}: {message}", field.as_deref().map(|f| format!(" at {f}")).unwrap_or_default())]
pub struct Failure {
    /// The stable reason.
    pub reason: Reason,
    /// The path of the field at fault (`line_items[0].price`), where there is one.
    pub field: Option<String>,
    /// A sentence for a person, without personal data.
    pub message: String,
}

impl Failure {
    /// A failure that has no field.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, field: None, message: message.into() }
    }

    /// A failure at a field.
    pub fn at(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: Some(field.into()), message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.code()), Some(*reason));
            assert!(reason.explanation().len() > 10);
        }
    }
}
