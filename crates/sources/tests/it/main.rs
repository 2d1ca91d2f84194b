//! What the sources promise, by the lines of the contracts' checklists: `shop_c4` is line 4 of shopify.md §9.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod any_bytes;
mod fixture;
mod lifesight_door;
mod lifesight_events;
mod routes;
mod sequenzy_bytes;
mod sequenzy_door;
mod sequenzy_events;
mod sequenzy_refunds;
mod shopify_door;
mod shopify_events;
mod stripe_door;
mod stripe_events;
