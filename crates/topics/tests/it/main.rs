//! Records, a real Kafka and a real schema registry.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails, helpers included"
)]

mod admin;
mod cluster;
mod python;
mod records;
mod registry;
mod samples;
