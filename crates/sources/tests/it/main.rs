//! What the sources promise, by the lines of the contracts' checklists: `shop_c4` is line 4 of shopify.md §9.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod any_bytes;
mod fixture;
mod lifesight_door;
mod lifesight_events;
mod records_any_bytes;
mod records_door;
mod records_events;
mod records_keys;
mod records_profiles;
mod routes;
mod shopify_door;
mod shopify_events;
