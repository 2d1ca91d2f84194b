//! The state stage without Kafka: events that are made by hand, and what is said of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod abandonment;
mod products;
mod world;
