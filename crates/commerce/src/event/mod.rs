//! The canonical event: what one delivery says, in one vocabulary (`commerce.events.v1`).
//!
//! The normalizer is stateless, so an event says what its delivery says and a repeated delivery repeats here. The
//! field names are those of the Avro schema `schemas/avro/event.avsc`; a field that is absent was not in the delivery,
//! and absent never overwrites what is known.

mod activity;
mod name;
mod order;
mod payment;
mod person;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Stamp;
use crate::order::Version;
use crate::{EventTime, ReceivedTime, Source, WorkspaceId};

pub use activity::{Activity, Context};
pub use name::EventName;
pub use order::{
    Allocation, Campaign, Discount, FinancialStatus, FulfillmentStatus, Item, Link, OrderObservation, Refund,
};
pub use payment::{Payment, Subscription};
pub use person::{Address, Channel, Consent, ConsentState, Person};

/// The version of the event's structure. A change of meaning raises it; names never change.
pub const SCHEMA_VERSION: i32 = 1;

/// A closed set of words, as they stand in topics.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[doc = $vdoc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }

            /// What it means, in sentences.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$variant => concat!($($vdoc),+).trim_ascii(),)+ }
            }

            /// Reads the word.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}
pub(crate) use words;

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
    /// Place inside a batch body, from 0.
    pub raw_item: i32,
    /// Which of the events that this place gave rise to, from 0.
    #[serde(default)]
    pub raw_part: i32,
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
    /// Decides between two statements of one time: the arrival where the source corrects what it has said of a version,
    /// elsewhere nothing.
    pub const fn turn(&self) -> ReceivedTime {
        if self.source.corrects_versions() { self.received_at } else { Version::NO_TURN }
    }

    /// The place and time of the delivery.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            received_at: self.received_at,
            partition: self.raw_partition,
            offset: self.raw_offset,
            item: self.raw_item,
            part: self.raw_part,
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
    /// The content behind a transport key that the sender chose and may use again with another body (D-REC-1).
    pub content: Option<String>,
    /// What the delivery states, as its source names it and whatever its content: of Shopify the event behind several
    /// deliveries, of the custom backend the version of an order. `None` where a source names neither.
    #[serde(default)]
    pub stated: Option<String>,
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

/// What an event says, one part per kind of entity.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Payload {
    /// Of an order event.
    pub order: Option<OrderObservation>,
    /// Of an event of a cart, checkout, product or search.
    pub activity: Option<Activity>,
    /// Of a payment event.
    pub payment: Option<Payment>,
    /// Of a subscription event.
    pub subscription: Option<Subscription>,
    /// What else a tracked event carries, by name, each value as JSON text (R7.5).
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
}
