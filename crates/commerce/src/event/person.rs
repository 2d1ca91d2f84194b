//! Who an event is about. Personal data is confined to what is here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words;
use crate::person::Identifier;
use crate::{EventTime, Money};

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
    /// The last order that the source knows of.
    pub reported_last_order_at: Option<EventTime>,
    /// The instant as of which the reported totals hold: the newest report is the base of the rollups (R11.1).
    pub reported_at: Option<EventTime>,
    /// When the source created the customer.
    pub created_at: Option<EventTime>,
    /// Further attributes by name, each value as JSON text. `null` clears the attribute.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// The instant as of which the attributes and contact data hold; absent: `occurred_at`.
    pub attributes_at: Option<EventTime>,
    /// Nothing is written unless the person is known already.
    #[serde(default)]
    pub update_only: bool,
    /// What the person agreed to, by channel.
    #[serde(default)]
    pub consent: Vec<Consent>,
    /// Tags.
    pub tags: Option<Vec<String>>,
    /// Of `customer.merged`: the identifiers of the person that becomes one with this one. Of `customer.separated`: of
    /// the one who is told apart from this one.
    #[serde(default)]
    pub absorbed: Vec<Identifier>,
}

/// What a person agreed to on one channel (R10.6).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Consent {
    /// The channel.
    pub channel: Channel,
    /// What holds.
    pub state: ConsentState,
    /// `single_opt_in`, `confirmed_opt_in` or `unknown`, as the source says.
    pub opt_in_level: Option<String>,
    /// Since when; absent: the event's own time. The newest wins.
    pub updated_at: Option<EventTime>,
    /// Where the person was asked, as the source says.
    pub region: Option<String>,
}

words! {
    /// A channel of messages.
    Channel {
        /// E-mail.
        Email = "email",
        /// Text messages.
        Sms = "sms",
    }
}

words! {
    /// What a person agreed to.
    ConsentState {
        /// Messages are welcome.
        Subscribed = "subscribed",
        /// Never asked for, or no longer.
        NotSubscribed = "not_subscribed",
        /// Asked for, not confirmed yet.
        Pending = "pending",
        /// Called off.
        Unsubscribed = "unsubscribed",
        /// The source doesn't say.
        Unknown = "unknown",
    }
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
