//! What every service of tillstream is made of: configuration, lifecycle, health, metrics, logs, the clock.
//!
//! A service is built from a [`Config`], runs until its [`Shutdown`] is triggered, and then has
//! [`lifecycle::DRAIN_BUDGET`] to finish what it began. Meanwhile it says through [`Readiness`] whether it can do its
//! work, and through [`Metrics`] what it does.
//!
//! | in | out |
//! |---|---|
//! | `config.default.toml` < file < environment < command line | [`Config`], or [`config::Errors`]: every mistake with its place |
//! | SIGTERM, SIGINT | [`Shutdown`]; a second one exits at once |
//! | parts of a service that become ready or not | `/readyz`: 200 only when all are ready, 503 otherwise and while draining |
//! | a stage's dead letters that are our own fault | [`breaker`]: the partition is held, and `/readyz` says why |
//! | the families of [`metrics::table`] | `/metrics`, Prometheus text |
//! | `schemas/openapi.json` | `/openapi.json`, and `/docs` for people |
//! | `tracing` | stderr: text on a terminal, JSON otherwise |
//!
//! Several services may live in one process (`up`): they share one [`Metrics`] and one [`Shutdown`], and each has a
//! [`Readiness`] of its own.

pub mod breaker;
pub mod clock;
pub mod config;
pub mod docs;
pub mod health;
pub mod http;
pub mod kafka;
pub mod lifecycle;
pub mod log;
pub mod metrics;
pub mod policy;
pub mod stage;
pub mod unit;

pub use config::Config;
pub use health::Readiness;
pub use lifecycle::Shutdown;
pub use metrics::Metrics;
