//! `user-journey` (§6.13): what one person did, ascending.

use commerce::{Currency, EventTime};
use serde::Serialize;

use crate::amount::Amount;
use crate::journey::Entry;

/// The answer.
#[derive(Debug, Serialize)]
pub struct UserJourney<'a> {
    /// Ascending; empty for somebody unknown.
    pub events: Vec<Event>,
    /// As it was asked.
    pub user_id: &'a str,
}

/// One event. What it doesn't have is left out.
#[derive(Debug, Serialize)]
pub struct Event {
    /// One of the 13 types.
    pub event_type: String,
    /// UTC.
    pub timestamp: String,
    /// The order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction_id: Option<String>,
    /// In the base currency; left out where there is no rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revenue: Option<Amount>,
    /// The cart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cart_id: Option<String>,
    /// Of a search.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_term: Option<String>,
    /// Where the shopper came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    /// The traffic source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The medium.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<String>,
    /// The items.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Vec<Item>>,
}

/// An item.
#[derive(Debug, Serialize)]
pub struct Item {
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_name: Option<String>,
    /// How many.
    pub quantity: i64,
    /// The unit price, in its own currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
}

/// Puts the answer together.
pub fn of(user_id: &str, events: Vec<(EventTime, Entry)>, base: Currency) -> UserJourney<'_> {
    let event = |(at, entry): (EventTime, Entry)| {
        let [campaign, source, medium] = entry.channel;
        let in_base = entry.revenue.filter(|money| money.currency == base);
        let item = |thing: crate::journey::Thing| Item {
            item_id: thing.item_id,
            item_name: thing.item_name,
            quantity: thing.quantity,
            price: thing.price.map(amount),
        };
        Event {
            event_type: entry.event_type,
            timestamp: at.to_rfc3339(),
            transaction_id: entry.transaction_id,
            revenue: in_base.map(amount),
            cart_id: entry.cart_id,
            search_term: entry.search_term,
            campaign,
            source,
            medium,
            items: entry.items.map(|items| items.into_iter().map(item).collect()),
        }
    };
    UserJourney { events: events.into_iter().map(event).collect(), user_id }
}

fn amount(money: commerce::Money) -> Amount {
    Amount { minor: i128::from(money.minor), exponent: money.currency.exponent() }
}
