//! The binary's own parts, against the other crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails, helpers included"
)]

mod bench;
mod books;
mod clients;
mod convergence;
mod fx;
mod letters;
mod product;
mod running;
