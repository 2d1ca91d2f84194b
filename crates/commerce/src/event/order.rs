//! What a delivery says about an order.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::{Currency, EventTime, Money};

/// What one delivery says about an order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct OrderObservation {
    /// The version of this state of the order: the source's `updated_at`, else the best time that it gives.
    pub version: EventTime,
    /// The currency of all amounts below.
    pub currency: Option<Currency>,
    /// As the source says, in canonical words.
    pub financial_status: Option<FinancialStatus>,
    /// As the source says, in canonical words.
    pub fulfillment_status: Option<FulfillmentStatus>,
    /// When the order was placed.
    pub placed_at: Option<EventTime>,
    /// Present when the delivery proves full payment: the instant that it proves.
    pub paid_at: Option<EventTime>,
    /// Present when the delivery proves a partial hand-over.
    pub partially_fulfilled_at: Option<EventTime>,
    /// Present when the delivery proves that all was handed over.
    pub fulfilled_at: Option<EventTime>,
    /// Present when the delivery proves a cancellation.
    pub cancelled_at: Option<EventTime>,
    /// Grand total.
    pub total: Option<Money>,
    /// After discounts, without tax and shipping.
    pub subtotal: Option<Money>,
    /// Taken off.
    pub discount_total: Option<Money>,
    /// Shipping.
    pub shipping_total: Option<Money>,
    /// Tax.
    pub tax_total: Option<Money>,
    /// Sum of quantities.
    pub item_count: Option<i64>,
    /// The lines; `None` when the delivery doesn't speak of them.
    pub items: Option<Vec<Item>>,
    /// Refunds that the delivery lists, each once.
    pub refunds: Vec<Refund>,
    /// `true`: the status says fully refunded and no usable amount is given, so the rest of the total went back.
    /// `false`: amounts are given. `None`: the delivery doesn't speak of refunds.
    pub refunded_rest: Option<bool>,
    /// Coupon codes, in order.
    pub coupon_codes: Option<Vec<String>>,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// Where the shopper came from.
    pub campaign: Option<Campaign>,
    /// ISO 3166 alpha-2 of the country that the order is sent to.
    pub country: Option<String>,
    /// Checkout, cart and their tokens.
    pub links: Vec<Link>,
    /// What was taken off and why: codes first, then applications, each in the source's order.
    #[serde(default)]
    pub discounts: Vec<Discount>,
    /// Where the shopper sat, as [`Activity::context`](super::Activity::context).
    pub context: Option<Context>,
}

impl OrderObservation {
    /// An observation that says nothing but its version.
    pub fn at(version: EventTime) -> Self {
        Self {
            version,
            currency: None,
            financial_status: None,
            fulfillment_status: None,
            placed_at: None,
            paid_at: None,
            partially_fulfilled_at: None,
            fulfilled_at: None,
            cancelled_at: None,
            total: None,
            subtotal: None,
            discount_total: None,
            shipping_total: None,
            tax_total: None,
            item_count: None,
            items: None,
            refunds: Vec::new(),
            refunded_rest: None,
            coupon_codes: None,
            tags: None,
            campaign: None,
            country: None,
            links: Vec::new(),
            discounts: Vec::new(),
            context: None,
        }
    }
}

/// Payment states, in lifecycle order: the rank decides between versions of one instant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinancialStatus {
    /// Not paid yet.
    Pending,
    /// Authorised, not captured.
    Authorized,
    /// Called off before payment.
    Voided,
    /// Paid in part.
    PartiallyPaid,
    /// Paid.
    Paid,
    /// Paid, part of it went back.
    PartiallyRefunded,
    /// Paid, all of it went back.
    Refunded,
}

impl FinancialStatus {
    /// The canonical word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Authorized => "authorized",
            Self::Voided => "voided",
            Self::PartiallyPaid => "partially_paid",
            Self::Paid => "paid",
            Self::PartiallyRefunded => "partially_refunded",
            Self::Refunded => "refunded",
        }
    }

    /// Reads the canonical word.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "pending" => Self::Pending,
            "authorized" => Self::Authorized,
            "voided" => Self::Voided,
            "partially_paid" => Self::PartiallyPaid,
            "paid" => Self::Paid,
            "partially_refunded" => Self::PartiallyRefunded,
            "refunded" => Self::Refunded,
            _ => return None,
        })
    }

    /// True for the states that imply full payment (R3.4).
    pub const fn implies_payment(self) -> bool {
        matches!(self, Self::Paid | Self::PartiallyRefunded | Self::Refunded)
    }

    /// The lifecycle rank.
    pub const fn rank(self) -> u8 {
        self as u8 + 1
    }
}

/// Delivery states.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentStatus {
    /// Nothing was handed over.
    Unfulfilled,
    /// Part of it.
    PartiallyFulfilled,
    /// All of it.
    Fulfilled,
    /// It came back.
    Restocked,
}

impl FulfillmentStatus {
    /// The canonical word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unfulfilled => "unfulfilled",
            Self::PartiallyFulfilled => "partially_fulfilled",
            Self::Fulfilled => "fulfilled",
            Self::Restocked => "restocked",
        }
    }

    /// Reads the canonical word.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "unfulfilled" => Self::Unfulfilled,
            "partially_fulfilled" => Self::PartiallyFulfilled,
            "fulfilled" => Self::Fulfilled,
            "restocked" => Self::Restocked,
            _ => return None,
        })
    }
}

/// One line of an order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Item {
    /// The product id as text, else the sku (D-ANA-14).
    pub product_id: Option<String>,
    /// Variant id.
    pub variant_id: Option<String>,
    /// Stock keeping unit.
    pub sku: Option<String>,
    /// Title of the product.
    pub title: Option<String>,
    /// Title of the variant.
    pub variant_title: Option<String>,
    /// How many.
    pub quantity: i64,
    /// Unit price.
    pub price: Option<Money>,
    /// Taken off this line.
    pub discount: Option<Money>,
    /// Category.
    pub category: Option<String>,
    /// Brand or vendor.
    pub brand: Option<String>,
    /// Shares of the order's discounts that fall on this line.
    #[serde(default)]
    pub allocations: Vec<Allocation>,
}

/// A line's share of a discount.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Allocation {
    /// What was taken off.
    pub amount: Money,
    /// Which discount: its title, or its place among the discount applications.
    pub application: Option<String>,
}

/// One discount code or discount application of an order.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Discount {
    /// `code` or `application`.
    pub kind: String,
    /// The code, or the title that the customer sees.
    pub title: Option<String>,
    /// What was taken off, in money whatever its type (D-LIFE-3).
    pub amount: Option<Money>,
    /// Of a code `fixed_amount`, `percentage`, `shipping`; of an application `automatic`, `discount_code`, `manual`,
    /// `script`.
    pub r#type: Option<String>,
    /// Of an application: its size, in percent or money.
    pub value: Option<String>,
    /// What `value` is: `fixed_amount` or `percentage`.
    pub value_type: Option<String>,
    /// `all`, `entitled` or `explicit`.
    pub target_selection: Option<String>,
    /// `line_item` or `shipping_line`.
    pub target_type: Option<String>,
    /// The source's id of the rule.
    pub price_rule_id: Option<String>,
}

/// One refund of an order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refund {
    /// The source's id of the refund.
    pub id: String,
    /// What went back: all successful transactions.
    pub amount: Money,
    /// When, already clamped for windows.
    pub at: EventTime,
}

impl Refund {
    /// The id of an amount that says how much of the order went back so far (D-SEQ-2).
    pub const CUMULATIVE: &'static str = "cumulative";
    /// The id of a refund that has none: a second one within 24 hours is the same (D-ANA-2).
    pub const UNNAMED: &'static str = "refund";
}

/// Where a shopper came from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Campaign {
    /// Campaign name.
    pub campaign: Option<String>,
    /// Traffic source.
    pub source: Option<String>,
    /// Medium.
    pub medium: Option<String>,
    /// The site that referred.
    pub referrer: Option<String>,
}

/// A link to a checkout, cart or order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// `checkout`, `checkout_token`, `cart`, …
    pub kind: String,
    /// Its id.
    pub id: String,
}
