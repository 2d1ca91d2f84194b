//! Ends what other copies had begun, by a producer of their transactional id.
//!
//! One fence ends all claims that its copy had made by then. So it is remembered when the last one began: of many requests
//! that meet claims of a copy that is gone one fences it, the others go on, and its successor is left in peace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rdkafka::ClientConfig;
use stream::{WriteError, Writer};
use tokio::time::timeout_at;

use super::Error;
use super::shared::lock;

/// The largest record of a producer that writes none.
const SMALLEST: usize = 1_000_000;

/// When the last fence of each copy began.
#[derive(Default)]
struct Fenced(HashMap<Arc<str>, Instant>);

impl Fenced {
    fn add(&mut self, owner: Arc<str>, began: Instant) {
        self.0.insert(owner, began);
    }

    /// Whether a claim that was seen then can't get an answer any more. One that was seen later may be the successor's.
    fn ended(&self, owner: &str, seen: Instant) -> bool {
        self.0.get(owner).is_some_and(|began| seen < *began)
    }
}

/// Fences other copies, one at a time.
pub(super) struct Fence {
    client: ClientConfig,
    fenced: Arc<Mutex<Fenced>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Fence {
    pub(super) fn new(client: ClientConfig) -> Self {
        Self { client, fenced: Arc::default(), turn: Arc::default() }
    }

    /// When it returns, it is decided of each claim of that copy that was seen by then whether it has an answer.
    pub(super) async fn end(
        &self,
        owner: &Arc<str>,
        seen: Instant,
        deadline: tokio::time::Instant,
    ) -> Result<(), Error> {
        let ended = || lock(&self.fenced).ended(owner, seen);
        if ended() {
            return Ok(());
        }
        let turn = Arc::clone(&self.turn).lock_owned();
        let turn = timeout_at(deadline, turn).await.map_err(|_| Error::Late)?;
        if ended() {
            return Ok(());
        }
        tracing::warn!(owner = &**owner, "ends the claims of another copy, which doesn't answer one of them");
        let (client, owner, fenced) = (self.client.clone(), Arc::clone(owner), Arc::clone(&self.fenced));
        let fence = tokio::task::spawn_blocking(move || {
            let late = || tokio::time::Instant::now() >= deadline;
            let began = Instant::now();
            Writer::start(&client, &owner, SMALLEST, &late)?;
            // Here, so that one which came too late for its request serves the next.
            lock(&fenced).add(owner, began);
            drop(turn);
            Ok::<(), WriteError>(())
        });
        match timeout_at(deadline, fence).await {
            Ok(Ok(result)) => result.map_err(|error| Error::Transaction(error.to_string())),
            Ok(Err(_)) => Err(Error::NoTransactions),
            Err(_) => Err(Error::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_fence_ends_all_claims_that_were_seen_before_it_and_none_of_the_successor() {
        let (gone, other): (Arc<str>, Arc<str>) = ("gone".into(), "other".into());
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut fenced = Fenced::default();
        assert!(!fenced.ended(&gone, at(0)));
        fenced.add(Arc::clone(&gone), at(2));
        assert!(fenced.ended(&gone, at(0)) && fenced.ended(&gone, at(1)), "none of them needs another fence");
        assert!(!fenced.ended(&gone, at(2)) && !fenced.ended(&gone, at(3)), "the successor's claims");
        assert!(!fenced.ended(&other, at(0)), "another copy");
        fenced.add(gone, at(5));
        assert!(fenced.ended("gone", at(3)) && !fenced.ended("gone", at(5)));
    }
}
