//! The binary's own parts, against the other crates.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a step that fails is a test that fails, helpers included"
)]

mod audit;
mod bench;
mod books;
mod checklist;
mod clients;
mod convergence;
mod differential;
mod erasure;
mod fx;
mod letters;
mod policy;
mod product;
mod quota;
mod replay;
mod running;
mod scenarios;
mod tools;
