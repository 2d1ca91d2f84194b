//! Starts a real Apache Kafka and an Apicurio Registry on this machine, as child processes of the caller.
//!
//! **In**: a data folder, one or three brokers, and whether the registry is wanted ([`Options`]). The Java side comes
//! from Maven, once, into a cache folder ([`Artifacts::resolve`]); Java 17 or later must be installed, and Maven for
//! the first run only.
//!
//! **Out**: a bootstrap address and the URL of a Confluent-compatible schema registry, both on 127.0.0.1 only.
//! [`Cluster::wait_kafka`] returning `Ok` promises that every running broker has joined, that clients are told of all
//! of them, that topics can be created, and that what a kill had left in Kafka is mended (transactions without an end,
//! partitions that no member of a group has); [`Cluster::wait_registry`] that schemas can be read and registered.
//!
//! **Kept**: everything in the data folder. A second start with the same folder has the same cluster id, topics,
//! groups, schemas and compatibility rules, on other ports if need be. Topics that set no `retention.ms` of their own
//! are kept for ever, because the registry's journal is such a topic. Topics are never created by accident
//! (`auto.create.topics.enable=false`).
//!
//! **Never left behind**: a process. [`Cluster::stop`] and `Drop` end the children in order (registry, then brokers).
//! On Linux the kernel kills them when this process dies by whatever means, `kill -9` included; see `process`. They
//! are in process groups of their own, so Ctrl-C in a terminal reaches the caller only, which can drain before it
//! stops them. A data folder is used by one process at a time; the lock is inherited by the children, so that it is
//! free only when the last of them has gone.
//!
//! **Refused**, with a sentence that says what to do ([`Error`]): no or too old a Java, no Maven, a busy port, a full
//! disk, a data folder in use; a child that died is reported with the last lines of its log.
//!
//! ```no_run
//! use localkafka::{Artifacts, Cluster, Options};
//!
//! let artifacts = Artifacts::resolve(&|line| eprintln!("{line}"))?;
//! let cluster = Cluster::start(&artifacts, Options::new("/var/lib/tillstream"))?;
//! cluster.wait_kafka()?;
//! // create topics on cluster.bootstrap() while the registry is still starting
//! cluster.wait_registry()?;
//! cluster.stop();
//! # Ok::<(), localkafka::Error>(())
//! ```
//!
//! Tests take [`shared`] or [`shared_kafka`]: one cluster per test process, in a temporary folder. [`shared_proxy`] stands
//! in front of it and holds or cuts single requests.

mod artifacts;
mod cluster;
mod error;
mod folder;
mod http;
mod java;
mod options;
mod ports;
mod process;
mod proxy;
mod settings;
mod shared;
mod sys;
mod transactions;
mod turns;
mod wire;

pub use artifacts::Artifacts;
pub use cluster::Cluster;
pub use error::Error;
pub use options::{Heap, Options};
pub use proxy::{ApiKey, FaultProxy, Held};
pub use shared::{shared, shared_kafka, shared_proxy};
pub use turns::{Turn, Turns};
