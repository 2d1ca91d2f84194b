//! The topics: what each is, how its records are placed and written, and how a cluster is brought to that state.
//!
//! | in | out |
//! |---|---|
//! | `schemas/topics/*.yaml`, `schemas/avro/*.avsc`, embedded | [`Topic`] and its [`Spec`]: the one list of topics |
//! | a value and a topic | [`Encoder`]: the Confluent wire format, written with this build's schema |
//! | a record's bytes | [`Decoder`]: the value, read with the schema it was written with |
//! | a cluster and a schema registry | [`Plan`]: what differs from the list; [`Admin::apply`]: nothing differs any more |
//! | the records of [`Topic::Versions`] | [`Versions`]: which versions of the figures there are, and the names of what is theirs |
//! | a key and a number of partitions | [`partition_of`]: where every other Kafka client would put it |
//!
//! **Promises.** A topic's name stands in its YAML alone. A record is decoded with its *writer's* schema, by names of
//! fields: a field that the reader doesn't know is skipped; one that the record doesn't have is `None` for an
//! `Option`, and needs `#[serde(default)]` otherwise. Subjects are `<topic>-value`, and new versions must read all
//! older ones (`BACKWARD_TRANSITIVE`). [`Admin::apply`] never deletes a topic, never takes a partition away, and does
//! nothing at all while anything is refused.
//!
//! **Bad input.** [`DecodeError`] and [`schemas::Error`] say by `is_transient` whether the fault is the record's (it is
//! a dead letter) or the moment's (the stage waits). An id that the registry doesn't know is the record's fault.
//!
//! **Threads.** Everything here blocks. [`SchemaRegistry`] and [`Admin`] must not be called, nor the last clone of a
//! [`SchemaRegistry`] (which a [`Schemas`] and a [`Decoder`] hold) be dropped, inside an async context: use a thread
//! or `spawn_blocking`.

pub mod admin;
mod avro;
mod difference;
mod partition;
mod plan;
mod registry;
pub mod schemas;
mod units;
pub mod version;
mod wire;

pub use admin::Admin;
pub use avro::{Avro, Schemas};
pub use partition::{Lane, murmur2, partition_of, raw_partition};
pub use plan::{Change, Layout, Plan, Refusal};
pub use registry::{Cleanup, Compression, Partitioning, Party, Spec, Topic, Value, largest_message};
pub use schemas::SchemaRegistry;
pub use units::{Retention, Size};
pub use version::{Version, Versions};
pub use wire::{DecodeError, Decoder, EncodeError, Encoder};
