//! What the caller chooses.

use std::{path::PathBuf, time::Duration};

use crate::Error;

/// Sizes of a JVM's heap, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heap {
    /// Taken at the start (`-Xms`).
    pub initial: u32,
    /// Never exceeded (`-Xmx`).
    pub max: u32,
}

/// How to start a [`Cluster`](crate::Cluster).
#[derive(Debug, Clone)]
pub struct Options {
    /// Where everything is kept; made if missing.
    pub data_dir: PathBuf,
    /// 1, or 3 for what needs failover; a data folder keeps the number it was made with.
    pub brokers: u8,
    /// The first broker's port; `None` takes a free one. Second and third brokers always take free ones.
    pub kafka_port: Option<u16>,
    /// A port that the only broker announces on a listener of its own: that of a [`FaultProxy`](crate::FaultProxy).
    pub proxy_port: Option<u16>,
    /// The registry's port; `None` takes a free one.
    pub registry_port: Option<u16>,
    /// Whether the registry is started too.
    pub with_registry: bool,
    /// Of each broker.
    pub kafka_heap: Heap,
    /// Of the registry.
    pub registry_heap: Heap,
    /// Where the children's output goes; `None` is `logs` in the data folder. The previous start's is kept.
    pub log_dir: Option<PathBuf>,
    /// How long [`wait_kafka`](crate::Cluster::wait_kafka) and [`wait_registry`](crate::Cluster::wait_registry) wait.
    pub ready_within: Duration,
}

impl Options {
    /// One broker and a registry on free ports.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            brokers: 1,
            kafka_port: None,
            proxy_port: None,
            registry_port: None,
            with_registry: true,
            kafka_heap: Heap { initial: 128, max: 512 },
            registry_heap: Heap { initial: 64, max: 256 },
            log_dir: None,
            ready_within: Duration::from_secs(120),
        }
    }

    /// One broker without a registry on a free port, in little memory: for tests.
    #[must_use]
    pub fn ephemeral(data_dir: impl Into<PathBuf>) -> Self {
        Self { with_registry: false, kafka_heap: Heap { initial: 96, max: 384 }, ..Self::new(data_dir) }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.brokers {
            1 | 3 => Ok(()),
            other => Err(Error::BrokerCount(other)),
        }
    }
}
