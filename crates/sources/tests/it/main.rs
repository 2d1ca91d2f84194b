//! What the sources promise, source by source: `shop_c04` is line 4 of Shopify's,
//! and `tests/features/` says which capability it shows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod analytics_bytes;
mod analytics_door;
mod analytics_events;
mod analytics_fraud;
mod analytics_plan;
mod any_bytes;
mod call;
mod checkouts;
mod corpus;
mod customerio_batch;
mod customerio_bytes;
mod customerio_door;
mod customerio_events;
mod customerio_keys;
mod customerio_people;
mod customers;
mod errors;
mod facts;
mod fixture;
mod hostile;
mod labels;
mod lifesight_door;
mod lifesight_events;
mod operations;
mod order_details;
mod records_any_bytes;
mod records_door;
mod records_events;
mod records_keys;
mod records_profiles;
mod routes;
mod sequenzy_bytes;
mod sequenzy_door;
mod sequenzy_events;
mod sequenzy_refunds;
mod shopify_door;
mod shopify_events;
mod stripe_door;
mod stripe_events;
