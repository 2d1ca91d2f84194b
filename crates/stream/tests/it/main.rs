//! The runtime against real Kafka, with a processor that is easy to check from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "a step that fails is a test that fails, helpers included"
)]

mod books;
mod cluster;
mod counting;
mod crashes;
mod delays;
mod group;
mod hardship;
mod lane;
mod name;
mod process;
mod runtime;
mod start;
mod store;
mod wake;
