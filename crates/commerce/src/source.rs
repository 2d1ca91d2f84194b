//! The families of sources.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who sent it. The order of the variants is the default precedence where two sources speak of one order (R4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Shopify webhooks.
    Shopify,
    /// The custom backend (Lifesight form).
    Lifesight,
    /// Pushed orders (Sequenzy form).
    Sequenzy,
    /// Customer.io tracking.
    Customerio,
    /// The analytics API.
    Analytics,
    /// The records API.
    Records,
    /// Stripe webhooks.
    Stripe,
    /// Whoever runs the product: who is whom.
    Operator,
}

impl Source {
    /// All of them, in the default precedence.
    pub const ALL: [Self; 8] = [
        Self::Shopify,
        Self::Lifesight,
        Self::Sequenzy,
        Self::Customerio,
        Self::Analytics,
        Self::Records,
        Self::Stripe,
        Self::Operator,
    ];

    /// The key used in topics, labels and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shopify => "shopify",
            Self::Lifesight => "lifesight",
            Self::Sequenzy => "sequenzy",
            Self::Customerio => "customerio",
            Self::Analytics => "analytics",
            Self::Records => "records",
            Self::Stripe => "stripe",
            Self::Operator => "operator",
        }
    }

    /// True where a sender may say something else of a version that it has told of before: the later body is the newer
    /// one then (lifesight.md §6.4). Elsewhere what a version is known by names one fact.
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
