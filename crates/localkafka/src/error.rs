//! What can go wrong, one variant per operation, each with what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why a local Kafka could not be started or has stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither `JAVA_HOME` nor `PATH` leads to a Java that runs.
    #[error("java was not found: install Java 17 or later, and have JAVA_HOME or PATH lead to it")]
    JavaMissing,
    /// Every Java that was found is older than Kafka needs.
    #[error("java at {} is version {found}, and Kafka needs {needed} or later: install one, and have JAVA_HOME lead to it", path.display())]
    JavaTooOld {
        /// The launcher that was asked.
        path: PathBuf,
        /// Its major version.
        found: u32,
        /// The least that is needed.
        needed: u32,
    },
    /// The cache is empty and there is no `mvn` to fill it.
    #[error(
        "mvn was not found on PATH: install Apache Maven, which fetches Kafka and the registry on the first run"
    )]
    MavenMissing,
    /// Maven ran and failed.
    #[error(
        "maven could not fetch Kafka and the registry: check the network or the mirror in its settings.xml, then try again; its last lines:\n{tail}"
    )]
    MavenFailed {
        /// The last lines it printed.
        tail: String,
    },
    /// Maven succeeded and yet a file is missing.
    #[error("maven left no {what} in {}: remove that folder and try again", dir.display())]
    ArtifactMissing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        dir: PathBuf,
    },
    /// The platform has no cache folder and none was given.
    #[error("this user has no cache folder: set TILLSTREAM_CACHE_DIR to a folder for the downloaded files")]
    NoCacheDir,
    /// A number of brokers that makes no sense on one machine.
    #[error("{0} brokers were asked for: choose 1 or 3")]
    BrokerCount(u8),
    /// The data folder was made for another number of brokers.
    #[error("data folder {} holds {kept} broker(s), and {asked} were asked for: ask for {kept}, or choose another folder", dir.display())]
    OtherBrokerCount {
        /// The data folder.
        dir: PathBuf,
        /// How many it was made for.
        kept: u8,
        /// How many were asked for.
        asked: u8,
    },
    /// A broker number outside of this cluster.
    #[error("there is no broker {broker}: this cluster has 1 to {brokers}")]
    NoSuchBroker {
        /// The number given.
        broker: u8,
        /// How many there are.
        brokers: u8,
    },
    /// A signal was meant for a broker that does not run.
    #[error("broker {0} does not run: restart it first")]
    NotRunning(u8),
    /// Something else listens on a port that was asked for.
    #[error("port {port} for {what} is in use: stop what listens there, or choose another port")]
    PortBusy {
        /// The port.
        port: u16,
        /// What it was meant for.
        what: &'static str,
    },
    /// No free port was found at all.
    #[error("no free port was found on 127.0.0.1 between {from} and {to}: close some listeners")]
    NoFreePort {
        /// The first that was tried.
        from: u16,
        /// One past the last.
        to: u16,
    },
    /// Another process works on this data folder.
    #[error("data folder {} is in use by {}: stop it, or choose another folder", dir.display(), holder(*pid))]
    InUse {
        /// The data folder.
        dir: PathBuf,
        /// Who holds it, when that is known.
        pid: Option<u32>,
    },
    /// Too little space for a broker to start with, or a write that found none.
    #[error("the disk that holds {} is full ({} MB free, {} MB needed): free some space, or choose another folder", path.display(), free >> 20, needed >> 20)]
    DiskFull {
        /// The folder or file.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that a start wants.
        needed: u64,
    },
    /// A file operation failed.
    #[error("could not {doing} {}", path.display())]
    Io {
        /// What was being done, as "could not …" reads.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A file of ours in the data folder cannot be read.
    #[error("{} is damaged ({reason}): restore it, or remove the data folder to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Kafka's storage tool refused the data folder.
    #[error("kafka could not prepare {}; its last lines:\n{tail}", dir.display())]
    FormatFailed {
        /// The broker's folder.
        dir: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// A child process ended by itself.
    #[error("{name} has stopped ({status}): its log is {}, and ends with\n{tail}", log.display())]
    ChildDied {
        /// `broker 1`, `registry`.
        name: String,
        /// Its exit status or signal.
        status: String,
        /// The whole log.
        log: PathBuf,
        /// The lines that matter of it.
        tail: String,
    },
    /// A child runs and does not answer.
    #[error("{name} was not ready within {} s: its log is {}, and ends with\n{tail}", within.as_secs(), log.display())]
    NotReady {
        /// `kafka`, `registry`.
        name: String,
        /// The time that was allowed.
        within: Duration,
        /// The whole log.
        log: PathBuf,
        /// The lines that matter of it.
        tail: String,
    },
    /// The cluster was started without a registry.
    #[error("this cluster was started without a registry: set Options::with_registry")]
    NoRegistry,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// What a start wants to find free: the brokers' first index files and journals, and room to work.
pub(crate) const NEEDED_BYTES: u64 = 500 << 20;

impl Error {
    /// Adds what was being done to a system error; a full disk gets its own sentence.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            let free = path.parent().and_then(|dir| crate::sys::free_bytes(dir).ok()).unwrap_or(0);
            return Self::DiskFull { path: path.to_owned(), free, needed: NEEDED_BYTES };
        }
        Self::Io { doing, path: path.to_owned(), source }
    }
}
