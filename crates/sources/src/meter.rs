//! What requests use up: rates, quotas, and how often somebody came lately.
//!
//! The counts outlive a request, so they are kept by whoever serves requests; the sources only ask.

use commerce::{Mark, ReceivedTime, WorkspaceId};

/// Counts that outlive a request. Each call counts what it asks for.
pub trait Meter: Sync {
    /// Lets a request of a credential through, or says after how many seconds it may come again. `per_second` is the
    /// workspace's limit.
    fn pace(&self, credential: Mark, per_second: u32) -> Result<(), u32>;

    /// Takes events from what is left of the workspace's calendar month (UTC) and says how many there were to take.
    /// `limit` is the workspace's limit, `at` when the events arrived.
    fn take(&self, workspace: &WorkspaceId, events: u64, limit: u64, at: ReceivedTime) -> u64;

    /// Counts events of an actor, and says how many it has sent lately, these included.
    fn velocity(&self, workspace: &WorkspaceId, actor: Mark, events: u32, purchases: u32) -> Velocity;
}

/// How often somebody came lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Velocity {
    /// Events in the minute that ends now.
    pub events_per_minute: u32,
    /// Purchases in the hour that ends now.
    pub purchases_per_hour: u32,
}

/// No limits and no memory: for tools and tests.
#[derive(Clone, Copy, Debug)]
pub struct Unmetered;

impl Meter for Unmetered {
    fn pace(&self, _: Mark, _: u32) -> Result<(), u32> {
        Ok(())
    }

    fn take(&self, _: &WorkspaceId, events: u64, _: u64, _: ReceivedTime) -> u64 {
        events
    }

    fn velocity(&self, _: &WorkspaceId, _: Mark, _: u32, _: u32) -> Velocity {
        Velocity::default()
    }
}
