//! The runtime against real Kafka, with a processor that is easy to check from outside.

mod cluster;
mod counting;
mod runtime;
