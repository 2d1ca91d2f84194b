//! What a shopper did around a cart, a checkout, a product or a search.

use serde::{Deserialize, Serialize};

use super::{Campaign, Item, Link};
use crate::{Currency, EventTime, Money};

/// What a delivery says about a cart, a checkout, products or a search. One event has all its items; among the facts
/// each of them is one of its own where the vocabulary names an item.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Activity {
    /// The version of this state of a checkout: the source's `updated_at`.
    pub version: Option<EventTime>,
    /// The cart.
    pub cart_id: Option<String>,
    /// The checkout.
    pub checkout_id: Option<String>,
    /// Other names of the cart or checkout, and the order that came of it.
    pub links: Vec<Link>,
    /// The currency of all amounts below.
    pub currency: Option<Currency>,
    /// What the cart or checkout is worth; of `credits.spent` the credits. Never revenue.
    pub value: Option<Money>,
    /// The lines; `None` when the delivery doesn't speak of them.
    pub items: Option<Vec<Item>>,
    /// Coupon codes, in order.
    pub coupon_codes: Vec<String>,
    /// Where the shopper came from. Any event with a campaign is a touch (D-ANA-7).
    pub campaign: Option<Campaign>,
    /// Where the shopper sat.
    pub context: Option<Context>,
    /// What was searched for.
    pub search_term: Option<String>,
    /// Of `product.rated`, as the source says.
    pub rating: Option<String>,
    /// Where an abandoned checkout is taken up again.
    pub recovery_url: Option<String>,
    /// When the cart or checkout came into being.
    pub started_at: Option<EventTime>,
    /// Present when the checkout was completed.
    pub completed_at: Option<EventTime>,
}

/// Where a shopper sat. `None` where nothing says.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Context {
    /// `mobile`, `tablet`, `desktop`, …
    pub device: Option<String>,
    /// `ios`, `android`, `web`, …
    pub platform: Option<String>,
    /// ISO 3166 alpha-2.
    pub country: Option<String>,
}
