//! The gateway: takes webhooks and tracking calls over HTTP and puts them, byte for byte, into the raw topic.
//!
//! | in | out |
//! |---|---|
//! | `POST`, `PUT`, … on a source's paths (see [`sources::route`]) | one record of [`topics::Topic::Raw`]; the source's answer |
//! | the same with a key of the records API (`claims`) | that, and the answer in [`topics::Topic::Claims`], in one transaction; or the stored answer; or a 409 |
//! | a request whose sender is known and whose content its contract refuses | one record of [`topics::Topic::DeadLetters`]; a 4xx |
//! | a report's path, when `gateway.reports_url` is set | whatever the query service answers |
//! | `/livez`, `/readyz`, `/metrics` | see [`service::health`] |
//!
//! **A 2xx promises** that the record is committed: acknowledged by all in-sync replicas to an idempotent producer
//! (R8.1). Whatever stands in the way of that is a 503 with `Retry-After`, at most 4 s after the last byte of the
//! body; the sender comes again, and what was stored nevertheless is found to be a duplicate downstream.
//!
//! **Requests with an `Idempotency-Key`** of the records API are answered for 24 hours as the first one was, by every copy:
//! the answer is kept in one transaction with the raw record. What a copy that was killed had begun, another one ends. It
//! costs them some 20 ms, and needs memory for each key of a day, about 200 bytes. All other requests go their way as
//! before.
//!
//! **The record**: key = the delivery's mark, so that a delivery sent twice meets itself on one partition; value = the
//! body; headers `source`, `workspace`, `received_at`, `content-type`, `verdict`, `traceparent`, and those the source
//! stores. No secret is among them, nor in any log line.
//!
//! **Compressed bodies** (`Content-Encoding: gzip`) are verified and stored decompressed. A signature covers what the
//! sender's program wrote; compression is the transport's affair, put on after signing by an HTTP library or a proxy.
//! So the decompressed bytes are the ones the signature was made over, the ones whose hash finds a repeated delivery
//! however it was packed, and the ones every reader of the topic expects.
//!
//! **Bad input** ends in the answer that the source's contract names and in one outcome of
//! `tillstream_records_total{stage="gateway"}`: published, dead_lettered(reason) or rejected(reason). Bodies are
//! bounded while they are read and while they are inflated, in bytes and in time; the sum of what is held until Kafka
//! acknowledges it is bounded too. The schema registry is needed for dead letters only.

mod answer;
mod body;
mod claims;
mod intake;
mod keyed;
mod letter;
mod meter;
pub mod operations;
mod producer;
mod reports;
mod room;
mod server;
mod trace;
mod usage;

pub use server::{Door, Error, Gateway, check, run};
