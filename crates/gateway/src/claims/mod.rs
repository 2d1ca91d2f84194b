//! What each `Idempotency-Key` stands for, over all copies of the gateway.
//!
//! | in | out |
//! |---|---|
//! | a request with a key | it may go on ([`Met::Mine`]), or the answer that is stored, or a 409 |
//! | its raw record and its answer | both, in one transaction: [`topics::Topic::Raw`] and [`topics::Topic::Claims`] |
//!
//! **How copies agree.** A request that finds its key free writes a claim and reads until it meets it: the order of the
//! partition says which of two claims holds the key ([`table`]). Only the holder goes on.
//!
//! **How a claim ends without an answer.** Its copy gives it up and says so. A copy that can't say so any more is fenced:
//! each claim names the transactional id under which its answer would be written, and whoever starts a producer of that id
//! ends what is open and everything that could still come. Then it is read up to the end whether there is an answer, and if
//! there is none another claim takes its place. The time after which that is done decides nothing but patience.
//!
//! **What a copy doesn't know yet** it finds out before it answers: it writes a record and reads until it meets that one.
//!
//! Requests without a key have nothing to do with any of it.

mod entry;
mod fence;
mod flight;
mod reader;
mod shared;
mod table;
mod writer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use commerce::{Mark, ReceivedTime};
use rdkafka::ClientConfig;
use service::health::Part;
use service::{Config, Readiness, Shutdown, clock};
use sources::{Keyed, OtherContent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

pub(crate) use entry::Answer;
use entry::{Claim, Entry, Note};
use fence::Fence;
use flight::Flight;
pub(crate) use flight::Turn;
use reader::View;
use shared::{Passage, Shared, lock};
use table::{Holder, Place, Standing};
pub(crate) use writer::Job;
use writer::Scribe;

use crate::producer::{self, Producer};

/// For fetching an answer that isn't at hand.
const FETCH_WITHIN: Duration = Duration::from_secs(2);
/// A request that meets a claim without an answer waits this long for one, before it is told to come again.
const WAIT: Duration = Duration::from_millis(1_500);

/// Why it isn't known what a key stands for, or what became of a claim.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The claim can't be written.
    #[error("the claim can't be written")]
    Write(#[source] producer::Error),
    /// A record wasn't read back in time, or a step wasn't done.
    #[error("what a key stands for wasn't found out in time")]
    Late,
    /// No producer has begun, or its end has.
    #[error("there are no transactions for keyed requests now")]
    NoTransactions,
    /// The transaction failed.
    #[error("the transaction of a keyed request failed: {0}")]
    Transaction(String),
    /// The answer is stored and can't be had.
    #[error("a stored answer can't be read: {0}")]
    Fetch(String),
}

/// What a request with a key meets.
pub(crate) enum Met {
    /// The key is its own: it goes on.
    Mine(Turn),
    /// Nobody has the key, and it wasn't asked for.
    Nobody,
    /// Its key was answered.
    Answered {
        answer: Arc<Answer>,
        /// It says the same as the request that was answered.
        same: bool,
    },
    /// Another request of the same key is on its way.
    Busy,
}

/// One request's question.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) keyed: &'a Keyed,
    /// When it arrived.
    pub(crate) at: ReceivedTime,
    /// Whether it wants the key; a request that is refused doesn't.
    pub(crate) claims: bool,
}

/// The keys, as one copy of the gateway sees them.
pub(crate) struct Claims {
    shared: Arc<Shared>,
    producer: Arc<Producer>,
    client: ClientConfig,
    owner: Arc<str>,
    jobs: mpsc::Sender<Job>,
    /// What the writer is given; taken by [`Claims::start`].
    receiver: Mutex<Option<mpsc::Receiver<Job>>>,
    /// After that long a claim of another copy is ended, in microseconds.
    patience: i64,
    fence: Fence,
    /// Large answers are fetched one at a time.
    fetching: tokio::sync::Mutex<()>,
}

impl Claims {
    pub(crate) fn new(config: &Config, producer: Arc<Producer>) -> Self {
        let (jobs, receiver) = mpsc::channel(writer::WAITING);
        let instance = config.instance.as_deref().unwrap_or("local");
        // By then the request was told to come again, whatever became of it.
        let patience = config.gateway.commit_timeout.duration().saturating_mul(2);
        let client = service::kafka::client_config(config);
        Self {
            shared: Arc::new(Shared::new(Arc::clone(&producer))),
            producer,
            fence: Fence::new(client.clone()),
            client,
            owner: format!("tillstream-gateway-{instance}-0").into(),
            jobs,
            receiver: Mutex::new(Some(receiver)),
            patience: i64::try_from(patience.as_micros()).unwrap_or(i64::MAX),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Starts the readers and the writer; they end with `end`. They aren't waited for: a call of the writer's may hang as
    /// long as no broker answers, and whatever it leaves open its successor ends.
    pub(crate) fn start(&self, readiness: &Readiness, end: &Shutdown) -> std::io::Result<()> {
        let parts = [readiness.part("claims"), readiness.part("answers")];
        for (view, part) in View::ALL.into_iter().zip(parts) {
            let (shared, client, end) = (Arc::clone(&self.shared), self.client.clone(), end.clone());
            let name = format!("claims-{view:?}").to_lowercase();
            std::thread::Builder::new().name(name).spawn(move || {
                reader::run(view, &client, &shared, &part, &end);
            })?;
        }
        let Some(jobs) = lock(&self.receiver).take() else { return Ok(()) };
        let part = readiness.part("keys");
        let scribe = Scribe {
            part,
            client: self.client.clone(),
            id: Arc::clone(&self.owner),
            shared: Arc::clone(&self.shared),
            end: end.clone(),
        };
        std::thread::Builder::new().name("claims-writer".to_owned()).spawn(move || scribe.run(jobs))?;
        Ok(())
    }

    /// Says what a request's key stands for.
    pub(crate) async fn ask(&self, question: Question<'_>, deadline: Instant) -> Result<Met, Error> {
        let wait = deadline.min(Instant::now() + WAIT);
        // Whether everything has been read that was there when the request came.
        let mut certain = false;
        loop {
            match self.look(question) {
                // Of an append the first answer stands, whatever came since; an upsert's may have been replaced.
                Standing::Answered { place, same } if certain || is_append(question.keyed) => {
                    return Ok(Met::Answered { answer: self.stored(place, deadline).await?, same });
                }
                Standing::Free { .. } if certain && !question.claims => return Ok(Met::Nobody),
                Standing::Free { previous } if question.claims => {
                    match self.claim(question, previous, deadline).await? {
                        Ok(turn) => return Ok(Met::Mine(turn)),
                        // Another one was first, and may have its answer already.
                        Err(mut passage) => certain = passage.passed(View::Answers, wait).await.is_ok(),
                    }
                }
                Standing::Pending(holder) => {
                    if !certain {
                        certain = self.catch_up(question.keyed.key, wait).await.is_ok();
                        if certain {
                            continue;
                        }
                    }
                    if !self.end(&holder, deadline).await? {
                        return Ok(Met::Busy);
                    }
                    self.catch_up(question.keyed.key, deadline).await?;
                    certain = true;
                    let ended =
                        |standing| matches!(standing, Standing::Pending(found) if found.id == holder.id);
                    if !ended(self.look(question)) {
                        continue;
                    }
                    if !question.claims {
                        return Ok(Met::Nobody);
                    }
                    if let Ok(turn) = self.claim(question, Some(holder.id), deadline).await? {
                        return Ok(Met::Mine(turn));
                    }
                    certain = false;
                }
                Standing::Free { .. } | Standing::Answered { .. } => {
                    self.catch_up(question.keyed.key, deadline).await?;
                    certain = true;
                }
            }
        }
    }

    fn look(&self, Question { keyed, at, .. }: Question<'_>) -> Standing {
        self.shared.table().look(keyed.key, keyed.content, keyed.other, at)
    }

    /// Claims the key. `Err` within `Ok`: another claim was before it, and this one is given up.
    async fn claim(
        &self,
        Question { keyed, at, .. }: Question<'_>,
        previous: Option<Uuid>,
        deadline: Instant,
    ) -> Result<Result<Turn, Passage>, Error> {
        // Before the claim is written: it is bound to this producer, or to none.
        let session = self.shared.session();
        if session & 1 == 1 {
            return Err(Error::NoTransactions);
        }
        let flight = Flight::begin(&self.shared, keyed.key, session);
        let mut passage = Passage::new(&self.shared, flight.claim);
        let owner = self.owner.to_string();
        let claim = Claim { id: flight.claim, owner, previous, content: keyed.content, at };
        self.write(&Note::new(keyed.key, &Entry::Claim(claim)), deadline).await?;
        passage.passed(View::Claims, deadline).await?;
        let round = self.shared.table().held(keyed.key, flight.claim).map(|holder| holder.round);
        Ok(round.map(|round| Turn { flight, round }).ok_or(passage))
    }

    async fn write(&self, note: &Note, deadline: Instant) -> Result<(), Error> {
        self.producer.note(&note.record(), deadline).await.map_err(Error::Write)
    }

    /// Reads all that there is about a key.
    async fn catch_up(&self, key: Mark, deadline: Instant) -> Result<(), Error> {
        let id = Uuid::new_v4();
        let mut passage = Passage::new(&self.shared, id);
        self.write(&Note::new(key, &Entry::Look { id }), deadline).await?;
        for view in View::ALL {
            passage.passed(view, deadline).await?;
        }
        Ok(())
    }

    /// Makes sure that a claim without an answer never gets one that isn't there yet; false when it is too early for that.
    async fn end(&self, holder: &Holder, deadline: Instant) -> Result<bool, Error> {
        if holder.owner == self.owner {
            // Of an earlier producer of this copy, or given up: either is decided once the next one has begun.
            return Ok(self.shared.session() & 1 == 0 && !lock(&self.shared.flying).contains(&holder.id));
        }
        if clock::now().0.saturating_sub(holder.at.0) < self.patience {
            return Ok(false);
        }
        self.fence.end(&holder.owner, holder.seen, deadline).await?;
        Ok(true)
    }

    async fn stored(&self, place: Place, deadline: Instant) -> Result<Arc<Answer>, Error> {
        if let Some(answer) = self.shared.answers.get(&place.claim) {
            return Ok(answer);
        }
        timeout_at(deadline, self.fetch(place)).await.unwrap_or(Err(Error::Late))
    }

    async fn fetch(&self, place: Place) -> Result<Arc<Answer>, Error> {
        let _turn = self.fetching.lock().await;
        let client = self.client.clone();
        let fetched = tokio::task::spawn_blocking(move || reader::fetch(&client, place, FETCH_WITHIN)).await;
        let answer = match fetched {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Err(Error::Fetch(reason)),
            Err(_) => return Err(Error::Fetch("its reader ended early".to_owned())),
        };
        self.shared.keep(answer.clone());
        Ok(Arc::new(answer))
    }

    /// Commits a raw record with its answer.
    pub(crate) async fn commit(
        &self,
        job: Job,
        done: oneshot::Receiver<Result<(), String>>,
        deadline: Instant,
    ) -> Result<(), Error> {
        let asked = async {
            self.jobs.send(job).await.map_err(|_| Error::NoTransactions)?;
            done.await.map_err(|_| Error::NoTransactions)?.map_err(Error::Transaction)
        };
        timeout_at(deadline, asked).await.unwrap_or(Err(Error::Late))
    }
}

/// Says what a person has to mend. It doesn't make the gateway unready: only requests with a key need it.
fn wants(part: &Part, reason: &str) {
    part.ready(format!("requests with a key get 503: {reason}"));
}

fn is_append(keyed: &Keyed) -> bool {
    keyed.other == OtherContent::IsLetter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_requests_with_a_key_need_is_told_and_keeps_no_other_out() {
        let readiness = Readiness::new(Shutdown::new());
        readiness.part("kafka").ready("3 brokers");
        let keys = readiness.part("keys");
        assert!(!readiness.is_ready(), "it is still starting");
        wants(&keys, "no transactions");
        assert!(readiness.is_ready());
        assert!(readiness.to_json().contains("requests with a key get 503: no transactions"));
    }
}
