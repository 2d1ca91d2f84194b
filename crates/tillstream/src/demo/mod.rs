//! The demo: a simulated shop whose deliveries are sent to the gateway, and what the figures must be afterwards.
//!
//! | file | step |
//! |---|---|
//! | [`shop`] | makes shoppers, orders and the deliveries that they cause, from a seed and a `now` |
//! | [`credentials`] | addresses and signs one request of each source |
//! | [`delivery`] | one request, and the answer that it must get |
//! | [`expected`] | says what every figure must be, from what the shop knows that it made |
//! | [`compare`], [`table`] | set what was found against it |
//! | [`send`] | sends the deliveries as a provider would, with retries, resumable |
//!
//! The expectation is bookkeeping of its own: it never asks the join, the view or any service. A table in which
//! everything is equal therefore says something about the services.

mod body;
mod compare;
pub mod credentials;
pub mod delivery;
pub mod expected;
mod rng;
pub mod send;
pub mod shop;
pub mod table;

pub(crate) use credentials::path_part;
pub use credentials::{AnalyticsKey, Credentials, WebhookIds};
pub use delivery::{Delivery, Purpose};
pub use expected::{Expected, Measured};
pub(crate) use rng::{ulid, uuid_text};
pub use shop::Shop;
pub use table::{Table, Uncertainty};
