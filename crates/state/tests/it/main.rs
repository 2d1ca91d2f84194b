//! What the stage promises, source by source: `shop_c10` is line 10 of Shopify's,
//! and `tests/features/` says which capability it shows. Each
//! test tells a story from requests to facts, orders and profiles.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod abandonment;
mod analytics_facts;
mod audience_signals;
mod audiences;
mod customerio_facts;
mod fixture;
mod fx;
mod hard_orders;
mod identity;
mod linked_orders;
mod payments;
mod policy;
mod privacy;
mod products;
mod records_facts;
mod reuse;
mod sequenzy_facts;
mod shopify_facts;
mod stripe_facts;
mod sums;
mod versions;
mod wide;
mod world;
