//! The query service: reports, look-ups and the dashboard, answered from memory.
//!
//! | in (read committed, from the beginning of every partition) | what becomes of it |
//! |---|---|
//! | `commerce.metrics.v1` | [`cells`]: the maintained figures, one immutable snapshot at a time |
//! | `commerce.dead-letters.v1` | [`letters`]: counts by reason, and the newest few without their bodies |
//! | `commerce.facts.v1` | [`journey`]: the last 1000 events of each person |
//! | `commerce.events.v1`, `commerce.facts.v1` | [`history`]: the versions of each order, the events of each person, payments, on disk |
//! | `commerce.profiles.v1`, `commerce.orders.v1` | [`store`]: one compact record per person and order, by every id |
//!
//! | out | |
//! |---|---|
//! | `GET /v1/api/analytics/ecommerce/{report}` | [`reports`]: `overview`, `revenue-timeseries`, `top-products`, `revenue-by-…`, `funnel`, `cart-abandonment`, `attribution`, `cohorts`, `user-journey`; [`csv`] for `Accept: text/csv` |
//! | `GET /v1/metrics/outcomes`, `GET /v1/metrics/summary`, `GET /v1/dead-letters/summary` | what the dashboard shows |
//! | `GET /v1/people/{id}`, `GET /v1/orders/{id}` | by any id or alias, e-mail, phone, person id |
//! | `GET /v1/people/{id}/events`, `GET /v1/orders/{id}/history`, `GET /v1/payments` | [`history`] |
//! | `GET /`, `/assets/*`, `/dashboard/*` | the [`page`], its [`live`] stream, its reports, its view of the [`pipeline`] |
//!
//! **What an answer promises.** A report is computed from one snapshot, so its figures belong together. `as_of` is the
//! newest arrival that is contained; `corrected` says that a day of the range changed after it had closed. Amounts are
//! printed from integers. Orders in a currency without a rate are in no total: they are listed under `held`.
//!
//! **Freshness.** A snapshot is published when the topics are drained for a moment, at the latest every 100 ms.
//! Readers never wait for the reading thread. Before everything that was there at the start has been read, reports
//! answer 503 rather than a number that is too small. When Kafka is gone, the last figures stay; `as_of` tells their age.
//!
//! **Bad input.** A record that can't be read is counted (`tillstream_query_unreadable_records_total`), logged and left
//! out; reading goes on. A request is answered with `{"error": "<sentence>"}`.
//!
//! The pure part ([`amount`], [`range`], [`cells`], [`letters`], [`reports`]) has no clock and no I/O.

pub mod amount;
mod business;
pub mod cells;
pub mod csv;
pub mod error;
pub mod history;
pub mod http;
pub mod journey;
pub mod letters;
pub mod live;
pub mod operations;
pub mod orders;
pub mod page;
pub mod people;
pub mod pipeline;
pub mod range;
mod reading;
pub mod reports;
mod serve;
pub mod snapshot;
pub mod store;
pub mod tenants;

pub use serve::{Door, Query, StartError};
