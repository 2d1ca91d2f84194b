//! The families of sources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines the families: one line each.
macro_rules! families {
    ($($(#[doc = $doc:literal])+ $family:ident = $key:literal, kept $days:literal days;)+) => {
        /// Who sent it. The order of the variants is the default precedence where two sources speak of one order (R4.5).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum Source {
            $($(#[doc = $doc])+ #[serde(rename = $key)] $family,)+
        }

        impl Source {
            /// All of them, in the default precedence.
            pub const ALL: [Self; [$($key),+].len()] = [$(Self::$family),+];

            /// The key used in topics, labels and configuration.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$family => $key,)+
                }
            }

            /// For how many days after its arrival a delivery that no join takes in is known when it comes again (R9).
            pub const fn kept_days(self) -> i64 {
                match self {
                    $(Self::$family => $days,)+
                }
            }
        }
    };
}

families! {
    /// Shopify webhooks.
    Shopify = "shopify", kept 2 days;
    /// The custom backend (Lifesight form).
    Lifesight = "lifesight", kept 7 days;
    /// Pushed orders (Sequenzy form).
    Sequenzy = "sequenzy", kept 30 days;
    /// Customer.io tracking.
    Customerio = "customerio", kept 30 days;
    /// The analytics API.
    Analytics = "analytics", kept 1 days;
    /// The records API.
    Records = "records", kept 1 days;
    /// Stripe webhooks.
    Stripe = "stripe", kept 30 days;
    /// Whoever runs the product: who is whom.
    Operator = "operator", kept 30 days;
}

impl Source {
    /// True where a sender may say something else of a version that it has told of before: the later body is the newer
    /// one then. Elsewhere what a version is known by names one fact.
    pub const fn corrects_versions(self) -> bool {
        matches!(self, Self::Lifesight)
    }

    /// Reads the key.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == text)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
