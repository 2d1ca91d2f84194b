//! The exactly-once runtime: consume, process, produce, changelog and offsets in one Kafka transaction.
//!
//! | in | out |
//! |---|---|
//! | records of one input topic, read committed | whatever the [`Processor`] emits, once per input record |
//! | the changelog, at start and after a rebalance | the changelog: every change of state, and the input offsets |
//!
//! A [`Worker`](run) is one OS thread that owns a consumer, a transactional producer and the state of its partitions.
//! It processes record after record into one open transaction and cuts it by time, count or size. What a commit
//! promises: the outputs, the changes of state and "these records are done" become visible together or not at all.
//!
//! State is in memory or on disk ([`Storage`]). Either way it is a copy of the changelog: what can't be trusted is wiped
//! and read back, and what is behind catches up. A processor sees rows of tables; those of one person, say, may lie
//! together in one stored record ([`Pages`]), which is read, written and restored as one.
//!
//! Bad input: a record that a processor can't digest ([`Failure::Poison`]) leaves nothing behind but what
//! [`Processor::dead_letter`] writes, in the same transaction; a letter that its topic can't take is cut, and says where
//! the whole record is. [`Failure::Transient`] backs off without losing the record's place. [`Failure::Fatal`] stops
//! the stage with its message, and so do a changed number of partitions, a changelog of a newer version and a taken
//! name. An outage of the cluster stops nothing: it is waited for, however long it takes. Nor does a broker that fences a
//! copy whose name nobody else has, as it may after a restart: the copy asks the group and begins anew.
//!
//! A tool has no input of a group and no state: its records count together or not at all through a [`Writer`], and what it
//! acts on it reads with [`read_decided`].
//!
//! This crate knows nothing of commerce: keys and values are bytes.

mod changelog;
mod client;
mod context;
mod error;
mod fault;
mod follow;
mod native;
mod outbox;
mod overlay;
mod page;
mod paged;
mod patience;
mod position;
mod processor;
mod producer;
mod rebalance;
mod record;
mod restore;
mod stage;
mod status;
mod store;
mod table;
mod task;
mod topic;
mod worker;
mod writer;

pub use context::{Context, Emitted, Harness};
pub use error::Error;
pub use follow::{Follow, Followed, follow, partition_count, read_decided};
pub use position::{Extent, Position, extents, offsets_at, wait_until_finished};
pub use processor::{Failure, Poison, Processor};
pub use record::Record;
pub use stage::{Cut, Output, Stage, Wake, run};
pub use status::{Committed, Labels, Observer, Phase, TaskStatus};
pub use store::{Change, Entry, LONGEST_KEY, Memory, OnDisk, Reached, Storage, Store, StoreError};
pub use table::{Pages, Table};
pub use writer::{Outgoing, WriteError, Writer};
