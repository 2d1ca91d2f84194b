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
    /// The source's topic or event name has no canonical event. Nothing is lost: redrive it when a version knows the event,
    /// or discard it.
    UnsupportedEvent = "unsupported_event",
    /// A field that the contract requires is absent or unreadable; the field's path is named. The sender must send it; a
    /// field that we ask for in vain is ours to mend, then redrive.
    MissingField = "missing_field",
    /// A field holds a value that its contract doesn't allow. The sender must send another; a value that should be allowed
    /// is ours to mend, then redrive.
    BadValue = "bad_value",
    /// An amount is not a decimal number, or is beyond 10^15 minor units. The sender must be mended; no amount is guessed.
    BadMoney = "bad_money",
    /// A currency code is unknown to ISO 4217. The sender must send one that is known.
    BadCurrency = "bad_currency",
    /// A time is not ISO 8601. The sender must be mended; no time is guessed.
    BadTime = "bad_time",
    /// An order has no id. Without one it can't be told from others; the sender must send it.
    MissingOrderId = "missing_order_id",
    /// An idempotency key came again with another body. The first body stands, so redriving changes nothing: discard it, or
    /// let the sender send it under a key of its own.
    IdempotencyBodyMismatch = "idempotency_body_mismatch",
    /// The signature is missing, malformed or wrong. Nothing is stored; compare the secret with the provider's
    /// (`tillstream config show`).
    BadSignature = "bad_signature",
    /// The key is missing or unknown. Nothing is stored; add the key to its workspace, or mend the sender.
    UnknownKey = "unknown_key",
    /// The key belongs to another workspace. Nothing is stored; the sender must name the key's own.
    WrongWorkspace = "wrong_workspace",
    /// The key is known and doesn't open this: a publishable key where a secret one is needed. Nothing is stored; another
    /// key is needed.
    KeyNotAllowed = "key_not_allowed",
    /// The workspace's plan doesn't cover it, or its quota is used up. Nothing is stored; the next month or another plan
    /// has more.
    PlanLimit = "plan_limit",
    /// Requests come faster than the workspace's plan allows. Nothing is stored; the sender comes again later.
    RateLimited = "rate_limited",
    /// Another request with the same idempotency key is on its way. Nothing is stored; the sender comes again later.
    InProgress = "in_progress",
    /// The body is larger than the source's limit. Nothing is stored; the sender must send smaller batches.
    PayloadTooLarge = "payload_too_large",
    /// The body didn't arrive in time or couldn't be decompressed. Nothing is stored; the sender may try again.
    UnreadableBody = "unreadable_body",
    /// No such address. Nothing is stored; compare the sender's address with the source's contract.
    UnknownPath = "unknown_path",
    /// The method is not allowed at this address. Nothing is stored; the answer's `Allow` lists those that are.
    WrongMethod = "wrong_method",
    /// A fraud rule of severity 2 matched: answered like success, in no figure. Nothing is to be done, unless the rule is
    /// wrong.
    FraudBlocked = "fraud_blocked",
    /// The customer inside another delivery, of whom everything was known. Nothing is to be done.
    NothingNew = "nothing_new",
    /// Its person asked to be forgotten after it had arrived. Nothing is to be done: what is said of somebody again starts
    /// anew.
    Erased = "erased",
    /// Its person is barred from processing. Nothing is to be done; the source that barred them can readmit them.
    Suppressed = "suppressed",
    /// The request only asks. Nothing is stored, and nothing is to be done.
    Question = "question",
    /// The record couldn't be committed to Kafka in time, or too much is in flight: the sender retries.
    Unavailable = "unavailable",
    /// The workspace named by the record isn't configured. It was when the gateway took the record: configure it at this
    /// stage as well, then redrive. Counts for the breaker.
    UnknownWorkspace = "unknown_workspace",
    /// A record of a topic can't be decoded: not in the Confluent wire format, an unknown schema id, or damaged. Find who
    /// writes to the topic, or run the version that knows the schema, then redrive. Counts for the breaker.
    UnreadableRecord = "unreadable_record",
    /// A result would be larger than its topic allows. Raise the topic's limit (`tillstream topics plan` shows it), then
    /// redrive. Counts for the breaker.
    OutputTooLarge = "output_too_large",
    /// A sum went beyond what 64 bits hold. An amount in it is wrong: find it, correct it at its source, then discard.
    /// Counts for the breaker.
    AmountOverflow = "amount_overflow",
}

impl Reason {
    /// True for what can be our own fault at any stage: nothing that a sender sends through the gateway brings it about by
    /// itself. It is what a stage's breaker counts.
    pub const fn may_be_ours(self) -> bool {
        matches!(
            self,
            Self::UnreadableRecord | Self::UnknownWorkspace | Self::OutputTooLarge | Self::AmountOverflow
        )
    }

    /// True where redriving can't help, whatever is mended: what came first stands.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::IdempotencyBodyMismatch)
    }

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
        }
    }

    #[test]
    fn every_reason_says_what_it_means_and_what_to_do() {
        for reason in Reason::ALL {
            let text = reason.explanation().trim();
            let code = reason.code();
            assert!(text.ends_with('.') || text.ends_with(')'), "{code}: {text}");
            assert!(text.contains(". ") || text.contains(": "), "{code} has one sentence: {text}");
            assert_eq!(text.contains("breaker"), reason.may_be_ours(), "{code}: {text}");
        }
    }
}
