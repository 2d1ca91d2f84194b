//! Claims of this copy that are under way.
//!
//! However one ends, by a refusal, by a client that hangs up or by the end of the process, its key is given up with it; but
//! not once its answer may be in the log, for then only the log says what became of it.

use std::sync::Arc;

use commerce::Mark;
use uuid::Uuid;

use super::entry::{Answer, Entry, Note};
use super::shared::{Shared, lock};

/// The right to go on, and the duty to say how it ended.
pub(crate) struct Turn {
    pub(crate) flight: Flight,
    /// The use of the key before this one, if that is over: it tells the two apart.
    pub(super) round: Option<Uuid>,
}

impl Turn {
    /// The record of an answer to it.
    pub(crate) fn answer(&self, answer: Answer) -> Vec<u8> {
        Entry::Answer(answer).to_bytes()
    }

    /// Tells this use of a key from those that are over; it is the same however often it is tried.
    pub(crate) fn round(&self) -> Option<String> {
        self.round.map(|round| round.to_string())
    }
}

/// A claim of this copy that may still get its answer, as long as this value is there.
pub(crate) struct Flight {
    pub(crate) key: Mark,
    pub(crate) claim: Uuid,
    pub(super) session: u64,
    /// Its answer may be in the log: to give the key up now could have it applied twice.
    pub(super) attempted: bool,
    shared: Arc<Shared>,
}

impl Flight {
    pub(super) fn begin(shared: &Arc<Shared>, key: Mark, session: u64) -> Self {
        let claim = Uuid::new_v4();
        lock(&shared.flying).insert(claim);
        Self { key, claim, session, attempted: false, shared: Arc::clone(shared) }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.attempted {
            let release = Note::new(self.key, &Entry::Release { claim: self.claim });
            self.shared.producer.tell(&release.record());
        }
        lock(&self.shared.flying).remove(&self.claim);
    }
}
