//! The configuration: what is in `config.default.toml`, typed.
//!
//! In: the embedded defaults, a file, the environment, the command line. Out: a [`Config`] that can be worked with,
//! or [`Errors`] that list every mistake with the place it came from. The defaults file is the documentation.

mod check;
mod error;
mod load;
mod schema;
mod show;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sources::{WorkspaceConfig, Workspaces};

use crate::breaker;
pub use crate::config::error::{Errors, Mistake, Origin};
pub use crate::config::load::Overrides;
use crate::unit::{ByteSize, Share, Span};

/// The documented defaults of every key.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

/// Everything that can be set.
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of this copy; `None` until the caller has checked that its command can do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// `[kafka]`
    pub kafka: Kafka,
    /// `[registry]`
    pub registry: Registry,
    /// `[gateway]`
    pub gateway: Gateway,
    /// `[normalizer]`
    pub normalizer: Normalizer,
    /// `[state]`
    pub state: State,
    /// `[aggregator]`
    pub aggregator: Aggregator,
    /// `[query]`
    pub query: Query,
    /// `[fx]`
    pub fx: Fx,
    /// `[log]`
    pub log: Log,
    /// `[[workspaces]]`; empty when none is configured, where `up` adds the development workspace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceConfig>,
    /// Which layer each key came from, by its dotted path.
    #[serde(skip)]
    origins: BTreeMap<String, Origin>,
}

/// Secrets are part of a configuration: it is shown by [`Config::to_toml_redacted`] only.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

impl Config {
    /// The configured tenants, ready for use. A loaded configuration has been checked; one that was changed
    /// afterwards may have mistakes.
    pub fn workspaces(&self) -> Result<Workspaces, Vec<String>> {
        // Nothing but its own table says what a workspace is counted by: version 1 of its policy is published by
        // whichever process comes first, and the sections of that process are no other's.
        Workspaces::from_configs(self.workspaces.iter().cloned())
    }
}

/// `[kafka]`
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// Addresses of brokers, comma-separated.
    pub bootstrap: String,
    /// For librdkafka; none of [`crate::kafka::RESERVED`].
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub properties: BTreeMap<String, String>,
}

/// `[registry]`
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Up to the path that is followed by `/subjects`; no slash at its end.
    pub url: String,
}

/// `[gateway]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    /// Ingestion, health and metrics.
    pub listen: SocketAddr,
    /// Threads of the HTTP runtime; 0 is one per core.
    pub threads: usize,
    /// Bytes that may be held until Kafka has acknowledged them.
    pub max_in_flight_bytes: ByteSize,
    /// Connections held open at once.
    pub max_connections: usize,
    /// For a request's head.
    pub header_timeout: Span,
    /// For a request's body.
    pub body_timeout: Span,
    /// For Kafka's acknowledgement; the answer is never later than 4 s after the body (R8.3).
    pub commit_timeout: Span,
    /// The query service, where report paths are forwarded to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports_url: Option<String>,
}

/// What all stages have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage {
    /// Health and metrics, when it runs alone.
    pub listen: SocketAddr,
    /// Worker threads.
    pub workers: usize,
    /// The longest transaction.
    pub commit_interval: Span,
    /// The shortest, when the input is drained.
    pub idle_commit_interval: Span,
    /// The most input records of a transaction.
    pub max_transaction_records: usize,
    /// The most bytes of output of a transaction.
    pub max_transaction_bytes: ByteSize,
    /// After this silence the partitions go to others.
    pub session_timeout: Span,
    /// When a partition is held because the fault is ours.
    pub breaker: breaker::Settings,
}

/// One section per stage: the keys of [`Stage`] and its own.
macro_rules! stages {
    ($($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* })+) => {$(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// [`Stage::listen`]
            pub listen: SocketAddr,
            /// [`Stage::workers`]
            pub workers: usize,
            /// [`Stage::commit_interval`]
            pub commit_interval: Span,
            /// [`Stage::idle_commit_interval`]
            pub idle_commit_interval: Span,
            /// [`Stage::max_transaction_records`]
            pub max_transaction_records: usize,
            /// [`Stage::max_transaction_bytes`]
            pub max_transaction_bytes: ByteSize,
            /// [`Stage::session_timeout`]
            pub session_timeout: Span,
            /// [`breaker::Settings::share`]
            pub breaker_share: Share,
            /// [`breaker::Settings::records`]
            pub breaker_records: usize,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $name {
            /// What it has in common with the other stages.
            pub const fn stage(&self) -> Stage {
                Stage {
                    listen: self.listen,
                    workers: self.workers,
                    commit_interval: self.commit_interval,
                    idle_commit_interval: self.idle_commit_interval,
                    max_transaction_records: self.max_transaction_records,
                    max_transaction_bytes: self.max_transaction_bytes,
                    session_timeout: self.session_timeout,
                    breaker: breaker::Settings {
                        share: self.breaker_share,
                        records: self.breaker_records,
                    },
                }
            }
        }
    )+};
}

stages! {
    /// `[normalizer]`
    Normalizer {
        /// Deliveries a second that are read of labelled loads.
        backfill_per_second: NonZeroU32,
    }

    /// `[state]`
    State {
        /// Where its state is kept.
        store: Store,
        /// The folder of a store on disk.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
        /// What a store on disk keeps in memory of what it read.
        cache: ByteSize,
        /// What a store on disk keeps in memory of what it wrote.
        write_buffer: ByteSize,
        /// How often it is asked what is due where no events come; 0 switches that off.
        tick: Span,
        /// Key of the hash that makes person ids.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person_id_key: Option<String>,
    }

    /// `[aggregator]`
    Aggregator {
        /// [`State::store`]
        store: Store,
        /// [`State::folder`]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        folder: Option<PathBuf>,
        /// [`State::cache`]
        cache: ByteSize,
        /// [`State::write_buffer`]
        write_buffer: ByteSize,
        /// How long after its end a window may move without being marked as corrected.
        grace: Span,
    }
}

/// Where a stage keeps its state between transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In memory.
    Memory,
    /// On disk.
    Disk,
}

/// `[query]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Reports, dashboard, docs, health and metrics.
    pub listen: SocketAddr,
    /// Who may see the dashboard.
    pub dashboard: Dashboard,
    /// Where histories are kept while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// The other services, whose counters the dashboard shows; empty: those of this configuration on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
}

/// Who may see the dashboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dashboard {
    /// Everybody who reaches the address.
    Open,
    /// Whoever has a secret analytics key.
    Key,
}

/// `[fx]`
#[derive(Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fx {
    /// Health and metrics, when it runs alone.
    pub listen: SocketAddr,
    /// Who is asked for rates of exchange every hour.
    pub provider: FxProvider,
    /// Where, if not at the provider's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The key that Open Exchange Rates gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// The file of the provider `file`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

/// The key is a secret.
impl fmt::Debug for Fx {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fx").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Fx {
    /// Where the provider is asked.
    pub fn url(&self) -> &str {
        let own = match self.provider {
            FxProvider::OpenExchangeRates => "https://openexchangerates.org/api/latest.json",
            FxProvider::Ecb => "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-daily.xml",
            FxProvider::Off | FxProvider::File => "",
        };
        self.url.as_deref().unwrap_or(own)
    }
}

/// Who gives rates of exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FxProvider {
    /// Nobody is asked.
    Off,
    /// Open Exchange Rates.
    OpenExchangeRates,
    /// The European Central Bank.
    Ecb,
    /// A file of one's own.
    File,
}

/// `[log]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// A level, or directives of `tracing`.
    pub level: String,
}

/// How a log line looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}
