//! The thirteen types, and what each of them needs (§3, §4.1). The sentences are those of the contract.

use std::fmt;

use commerce::reason::Failure;
use commerce::{Currency, EventName, Money, Reason, money::MoneyError};

use super::body::Tracked;
use crate::json::{Scalar, Value};

/// A type of event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    ViewItem,
    AddToCart,
    RemoveFromCart,
    AddToWishlist,
    ViewCart,
    BeginCheckout,
    AddPaymentInfo,
    Purchase,
    Refund,
    Search,
    Share,
    Rate,
    SpendCredits,
}

impl Kind {
    pub(super) const ALL: [Self; 13] = [
        Self::ViewItem,
        Self::AddToCart,
        Self::RemoveFromCart,
        Self::AddToWishlist,
        Self::ViewCart,
        Self::BeginCheckout,
        Self::AddPaymentInfo,
        Self::Purchase,
        Self::Refund,
        Self::Search,
        Self::Share,
        Self::Rate,
        Self::SpendCredits,
    ];

    /// The word of the contract.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ViewItem => "view_item",
            Self::AddToCart => "add_to_cart",
            Self::RemoveFromCart => "remove_from_cart",
            Self::AddToWishlist => "add_to_wishlist",
            Self::ViewCart => "view_cart",
            Self::BeginCheckout => "begin_checkout",
            Self::AddPaymentInfo => "add_payment_info",
            Self::Purchase => "purchase",
            Self::Refund => "refund",
            Self::Search => "search",
            Self::Share => "share",
            Self::Rate => "rate",
            Self::SpendCredits => "spend_credits",
        }
    }

    /// The canonical name.
    pub(super) const fn event(self) -> EventName {
        match self {
            Self::ViewItem => EventName::ProductViewed,
            Self::AddToCart => EventName::CartItemAdded,
            Self::RemoveFromCart => EventName::CartItemRemoved,
            Self::AddToWishlist => EventName::WishlistItemAdded,
            Self::ViewCart => EventName::CartViewed,
            Self::BeginCheckout => EventName::CheckoutStarted,
            Self::AddPaymentInfo => EventName::CheckoutPaymentInfoAdded,
            // It proves payment too, and says so by its `paid_at`.
            Self::Purchase => EventName::OrderPlaced,
            Self::Refund => EventName::OrderRefunded,
            Self::Search => EventName::SearchPerformed,
            Self::Share => EventName::ProductShared,
            Self::Rate => EventName::ProductRated,
            Self::SpendCredits => EventName::CreditsSpent,
        }
    }

    const fn needs_transaction(self) -> bool {
        matches!(self, Self::Purchase | Self::Refund)
    }

    const fn needs_revenue(self) -> bool {
        matches!(self, Self::Purchase | Self::Refund | Self::SpendCredits)
    }
}

/// The first thing that is wrong with an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    TypeMissing,
    TypeUnknown,
    TransactionMissing(Kind),
    RevenueMissing(Kind),
    ItemsMissing(Kind),
    ItemIdMissing(usize),
}

impl Fault {
    pub(super) const fn reason(self) -> Reason {
        match self {
            Self::TypeUnknown => Reason::UnsupportedEvent,
            Self::TransactionMissing(_) => Reason::MissingOrderId,
            Self::TypeMissing | Self::RevenueMissing(_) | Self::ItemsMissing(_) | Self::ItemIdMissing(_) => {
                Reason::MissingField
            }
        }
    }

    fn field(self) -> String {
        match self {
            Self::TypeMissing | Self::TypeUnknown => "event_type".to_owned(),
            Self::TransactionMissing(_) => "transaction_id".to_owned(),
            Self::RevenueMissing(_) => "revenue".to_owned(),
            Self::ItemsMissing(_) => "items".to_owned(),
            Self::ItemIdMissing(index) => format!("items[{index}].item_id"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TypeMissing => f.write_str("event_type is required"),
            Self::TypeUnknown => f.write_str("Invalid ecommerce event_type"),
            Self::TransactionMissing(kind) => {
                write!(f, "transaction_id is required for {} events", kind.as_str())
            }
            Self::RevenueMissing(kind) => write!(f, "revenue is required for {} events", kind.as_str()),
            Self::ItemsMissing(kind) => write!(f, "items is required for {} events", kind.as_str()),
            Self::ItemIdMissing(index) => write!(f, "items[{index}].item_id is required"),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::at(fault.reason(), fault.field(), fault.to_string())
    }
}

/// Checks an event, in the order of the table of §3. `None` stands where no object is.
pub(super) fn event(event: Option<&Tracked<'_>>) -> Result<Kind, Fault> {
    let Some(event) = event else { return Err(Fault::TypeMissing) };
    let kind = kind(event.event_type)?;
    if kind.needs_transaction() && event.transaction_id.text().is_none() {
        return Err(Fault::TransactionMissing(kind));
    }
    if kind.needs_revenue() && !is_number(event.revenue) {
        return Err(Fault::RevenueMissing(kind));
    }
    if kind.event().names_an_item() && event.items.entries().next().is_none() {
        return Err(Fault::ItemsMissing(kind));
    }
    let nameless = |line: Option<&super::body::Line<'_>>| line.is_none_or(|l| l.item_id.text().is_none());
    match event.items.entries().find(|(_, line)| nameless(*line)) {
        Some((index, _)) => Err(Fault::ItemIdMissing(index)),
        None => Ok(kind),
    }
}

/// The type, which is exact: white space around it makes another word of it.
fn kind(value: Scalar<'_>) -> Result<Kind, Fault> {
    if !matches!(value.value(), Value::Text(_)) {
        return Err(Fault::TypeMissing);
    }
    let text = serde_json::from_str::<String>(value.json()).unwrap_or_default();
    Kind::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(Fault::TypeUnknown)
}

/// True for a number and for the decimal text of one, also for one that is beyond belief: that is found out later.
fn is_number(value: Scalar<'_>) -> bool {
    match value.value() {
        Value::Number(_) => true,
        Value::Text(text) => {
            !matches!(Money::parse_major(&text, Currency::USD), Err(MoneyError::NotANumber(_)))
        }
        Value::Absent | Value::Bool(_) | Value::Other => false,
    }
}
