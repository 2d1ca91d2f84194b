//! The canonical event: what one delivery says, in one vocabulary (`commerce.events.v1`).
//!
//! The normalizer is stateless, so an event says what its delivery says and a repeated delivery repeats here. The
//! field names are those of the Avro schema `schemas/avro/event.avsc`; a field that is absent was not in the delivery,
//! and absent never overwrites what is known.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::Stamp;
use crate::person::Identifier;
use crate::{Currency, EventTime, Money, ReceivedTime, Source, WorkspaceId};

/// The version of the event's structure. A change of meaning raises it; names never change.
pub const SCHEMA_VERSION: i32 = 1;

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// The canonical vocabulary (contracts R3). One name per business fact, whatever the source calls it.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum EventName {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $variant,)+
        }

        impl EventName {
            /// The whole vocabulary.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The canonical name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Reads the canonical name.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($name => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

names! {
    /// The shopper has submitted an order. Says nothing about payment. Once per order.
    OrderPlaced = "order.placed",
    /// Any other change of an order. One per order version.
    OrderUpdated = "order.updated",
    /// The order is fully paid. Once per order, at the first evidence of full payment.
    OrderPaid = "order.paid",
    /// At least one item, not all, has been handed over for delivery.
    OrderPartiallyFulfilled = "order.partially_fulfilled",
    /// All items have been handed over. Once per order.
    OrderFulfilled = "order.fulfilled",
    /// The order has been called off. Once per order.
    OrderCancelled = "order.cancelled",
    /// Money went back for an order. One per refund.
    OrderRefunded = "order.refunded",
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One canonical event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// UUID derived from the semantic key, so that a replay gives the same id.
    pub event_id: String,
    /// What the delivery is about.
    pub event: EventName,
    /// [`SCHEMA_VERSION`] when it was written.
    pub schema_version: i32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// `production`, `staging`, …
    pub environment: String,
    /// The family of the source.
    pub source: Source,
    /// The shop or system that the source's ids belong to: `demo-shop.myshopify.com`. Ids of two spaces never mix.
    pub source_space: String,
    /// The source's own name of the event: `orders/create`.
    pub source_event: String,
    /// When it happened, as the source says.
    pub occurred_at: EventTime,
    /// The gateway's stamp.
    pub received_at: ReceivedTime,
    /// Place in the raw topic: partition.
    pub raw_partition: i32,
    /// Place in the raw topic: offset.
    pub raw_offset: i64,
    /// Place inside a batch body.
    pub raw_item: i32,
    /// What it is about.
    pub entity: Entity,
    /// Who it is about. Personal data is confined to this sub-record.
    pub person: Option<Person>,
    /// What it says.
    pub payload: Payload,
    /// How a repetition is recognised.
    pub keys: Keys,
    /// Remarks of the normalizer: `missing:<path>`, `amount_rounded`, `timestamp_naive`, …
    pub flags: Vec<String>,
    /// Live traffic, or a labelled load.
    pub origin: Origin,
    /// False for backfilled and old events: they start no automation.
    pub trigger_eligible: bool,
    /// Test traffic: on every stream, in no figure.
    pub qa: bool,
    /// The verdict of the fraud rules, where one matched.
    pub fraud: Option<Fraud>,
}

impl Event {
    /// The place and time of the delivery.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            received_at: self.received_at,
            partition: self.raw_partition,
            offset: self.raw_offset,
            item: self.raw_item,
        }
    }
}

/// The thing that an event is about.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entity {
    /// `order`, `checkout`, `person`, …
    pub r#type: String,
    /// The source's primary id, as text.
    pub id: String,
    /// Other ids and display numbers by which the source knows it.
    pub aliases: Vec<String>,
}

/// Transport and semantic keys (R9), as 32 hexadecimal digits.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Keys {
    /// The same delivery again has the same transport key.
    pub transport: String,
    /// The same fact in another delivery has the same semantic key. It contains the content, so that it never
    /// suppresses what the join would change.
    pub semantic: String,
}

/// Where an event comes from in time.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// `live`, `backfill`, `bulk_import` or `replay`.
    pub kind: String,
    /// The label of a load.
    pub label: Option<String>,
}

impl Origin {
    /// Ordinary traffic.
    pub fn live() -> Self {
        Self { kind: "live".to_owned(), label: None }
    }
}

/// The verdict of the fraud rules.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Fraud {
    /// 1: stored and marked. 2: in no figure.
    pub severity: i32,
    /// Names of the rules that matched.
    pub rules: Vec<String>,
}

/// Who an event is about: identifiers and contact data.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Person {
    /// Everything that identifies.
    pub identifiers: Vec<Identifier>,
    /// As given, also when it is no valid identifier.
    pub email: Option<String>,
    /// As given, also when it couldn't be resolved.
    pub phone: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// Where the order is sent.
    pub address: Option<Address>,
    /// Totals that the source maintains itself.
    pub reported_orders_count: Option<i64>,
    /// Totals that the source maintains itself.
    pub reported_total_spent: Option<Money>,
}

/// A postal address, as far as figures and profiles need it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Address {
    /// City.
    pub city: Option<String>,
    /// Postal code as text: `01907` keeps its zero.
    pub zip: Option<String>,
    /// Province or state.
    pub province: Option<String>,
    /// Country as given.
    pub country: Option<String>,
    /// ISO 3166 alpha-2, upper-case.
    pub country_code: Option<String>,
}

/// What an event says, one part per kind of entity.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Payload {
    /// Of an order event.
    pub order: Option<OrderObservation>,
}

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

/// A link of an order to a checkout or cart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// `checkout`, `checkout_token`, `cart`, …
    pub kind: String,
    /// Its id.
    pub id: String,
}
