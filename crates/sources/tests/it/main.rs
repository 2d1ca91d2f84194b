//! What the sources promise, by the lines of the contracts' checklists: `shop_c04` is line 4 of shopify.md §9.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod any_bytes;
mod checkouts;
mod customers;
mod facts;
mod fixture;
mod lifesight_door;
mod lifesight_events;
mod order_details;
mod routes;
mod shopify_door;
mod shopify_events;
