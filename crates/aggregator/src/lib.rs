//! The aggregator: keeps the figures, one cell per window and dimensions.
//!
//! | in | out |
//! |---|---|
//! | `commerce.facts.v1` | `commerce.metrics.v1`: compacted, one record per (workspace, metric, window, dimensions) |
//! | | `commerce.dead-letters.v1`: facts that can't be read |
//!
//! Every figure moves by what the order is after a fact less what it was before it. So a late fact, a changed amount,
//! day or person, a refund and a retraction all move the right cells, and any order of processing ends in the same
//! sums. No late fact is dropped: a cell that moves after its window has closed raises its `revision` and says
//! `corrected`.
//!
//! | metric | cut by | figures |
//! |---|---|---|
//! | `revenue` | currency | gross, orders, items, discount, shipping, tax, refund_amount, refunds |
//! | `revenue_by_hour`, per hour | currency | gross, orders, refund_amount, refunds |
//! | `revenue_by_source` | currency, source | the same |
//! | `revenue_by_channel` | currency, source, utm_campaign, utm_source, utm_medium | revenue, orders |
//! | `revenue_by_coupon` | currency, source, coupon | revenue, orders, discount |
//! | `revenue_by_device`, `_platform`, `_country` | currency, source, device (platform, country) | revenue, orders |
//! | `revenue_by_product` | currency, source, item_id | revenue, quantity, orders |
//! | `revenue_by_buyer` | currency, source, buyer (`new`, `returning`, `guest`) | revenue, orders |
//! | `converted` | currency, source | gross, orders: how much of the currency is known in base |
//! | `product_name` | item_id, title | none: the title is the name; not by day |
//!
//! The first nine and `converted` are there a second time under `flagged_` and the name, for the orders alone that a
//! fraud rule has marked: who wants a figure without them takes theirs off.
//!
//! What is cut by currency is there once for the orders of each currency, in it, and once more, with the dimension
//! `base`, for those of them whose rate into the base currency is known, in base.
//!
//! All but the last and that per hour are per day of the workspace's zone. `source` is the one whose word counts for the
//! order, and a refund stands on its own day. What moves after `window_end_at` and the grace is a correction: that is the
//! end of the hour, of the day, of the month where a cohort's figures stand on its first day, and for a set of the
//! ordered funnel the end of its day and of its window after that, because a way may end so much later than it began.
//!
//! Several versions of all this can be kept side by side, each from the same facts, in topics of its own: [`versions`]
//! follows the list of them (`tillstream.aggregator.versions`) and runs the stage once for each.
//! [`ordered`] keeps the sets of those who did its steps one after the other.
//!
//! [`aggregation`] says what is summed: one file per metric. [`processor`] adds and publishes, whatever the metric.
//!
//! What isn't a sum is kept as what it is, per person an ordered list of what matters ([`people`]): [`funnel`] keeps
//! the set of actors of each day, which any range is united from; [`cohorts`], [`attribution`] and [`abandonment`] move
//! cells by what the list says after a fact less what it said before.

mod abandonment;
mod aggregation;
mod attribution;
mod buyer;
mod cell;
mod channel;
mod cohorts;
mod coupon;
mod funnel;
mod hour;
mod kept;
mod ordered;
mod pending;
mod people;
mod place;
mod processor;
mod product;
mod revenue;
mod rows;
mod source;
mod title;
mod unit;
mod versions;

pub use processor::Aggregator;

use service::stage::{Parts, Plan};
use service::{Config, Metrics, Readiness, Shutdown};
use stream::Table;
use topics::Topic;

use crate::rows::{DUE, PAGES, PEOPLE, SETS};

pub(crate) const STAGE: &str = "aggregator";
pub(crate) const METRICS: usize = 0;
pub(crate) const LETTERS: usize = 1;

/// `workspace`, metric, window and dimensions to [`cell::Cell`].
pub(crate) const CELL: Table = Table::hashed(0, "cells");
/// `workspace` to the greatest arrival seen, in steps: the clock that says whether a window has closed. It decides
/// the marks `revision` and `corrected` alone, which are history; no figure depends on it. `zone:workspace` to the
/// zone in which its days are cut.
pub(crate) const CLOCK: Table = Table::hashed(1, "clock");
/// A person's head ([`people::Actor::head`]), time of payment and order to what was bought: the purchases of a person in
/// their order.
pub(crate) const BUYER: Table = Table::ordered(2, "buyers").in_pages(&PAGES);
/// `workspace`, product, day and title to how often orders paid on that day say it, and when: see [`title`].
pub(crate) const TITLE: Table = Table::ordered(3, "titles");
/// `workspace` and product to the latest of its titles. Written only when that or its day changes.
pub(crate) const NAME: Table = Table::hashed(4, "names");

/// What the stage reads, keeps and writes.
pub const PLAN: Plan = Plan {
    name: STAGE,
    input: Topic::Facts,
    changelog: Topic::AggregatorChangelog,
    outputs: &[Topic::Metrics, Topic::DeadLetters],
    tables: &[CELL, CLOCK, BUYER, TITLE, NAME, PEOPLE, SETS, DUE],
    storage: |config| {
        let kept = &config.aggregator;
        service::stage::storage(kept.store, kept.folder.as_deref(), kept.cache, kept.write_buffer)
    },
    lane_per_second: |_| None,
    wake: |_| None,
};

/// Runs the service until the shutdown. Blocks.
pub fn run(
    config: &Config,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    versions::run(config, metrics, readiness, shutdown)
}

/// The stage's logic as the service runs it.
pub fn processor(config: &Config, parts: &Parts) -> anyhow::Result<Aggregator> {
    Aggregator::new(parts, config.aggregator.grace.0)
}
