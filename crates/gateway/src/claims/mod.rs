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
mod reader;
mod table;
mod writer;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use commerce::{Mark, ReceivedTime};
use moka::sync::Cache;
use rdkafka::ClientConfig;
use service::{Config, Readiness, Shutdown, clock};
use sources::{Keyed, OtherContent};
use stream::Writer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use topics::{Lane, Topic};
use uuid::Uuid;

pub(crate) use entry::Answer;
use entry::{Claim, Entry};
use reader::View;
use table::{Holder, Place, Standing, Table};
pub(crate) use writer::Job;
use writer::Scribe;

use crate::producer::{self, Producer, Record};

/// Of answers that needn't be fetched from the topic, in bytes.
const AT_HAND: u64 = 16 * 1024 * 1024;
/// A larger answer is always fetched: that of a batch with many errors.
const LARGEST_AT_HAND: usize = 64 * 1024;
/// For fetching one that isn't at hand.
const FETCH_WITHIN: Duration = Duration::from_secs(2);
/// The largest record of a producer that writes none.
const SMALLEST: usize = 1_000_000;
/// A request that meets a claim without an answer waits this long for one, before it is told to come again.
const WAIT: Duration = Duration::from_millis(1_500);

/// Why it isn't known what a key stands for, or what became of a claim.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The claim can't be written.
    #[error("the claim can't be written")]
    Write(#[source] producer::Error),
    /// It wasn't read back in time.
    #[error("the claims weren't read in time")]
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

/// The right to go on, and the duty to say how it ended.
pub(crate) struct Turn {
    pub(crate) flight: Flight,
    /// The key was used before, and that is over.
    pub(crate) again: bool,
}

impl Turn {
    /// The record of an answer to it.
    pub(crate) fn answer(&self, answer: Answer) -> Vec<u8> {
        Entry::Answer(answer).to_bytes()
    }

    /// Tells this use of a key from those that are over.
    pub(crate) fn round(&self) -> String {
        self.flight.claim.to_string()
    }
}

/// A claim of this copy that may still get its answer, as long as this value is there.
pub(crate) struct Flight {
    pub(crate) key: Mark,
    pub(crate) claim: Uuid,
    session: u64,
    shared: Arc<Shared>,
}

impl Flight {
    fn begin(shared: &Arc<Shared>, key: Mark, session: u64) -> Self {
        let claim = Uuid::new_v4();
        lock(&shared.flying).insert(claim);
        Self { key, claim, session, shared: Arc::clone(shared) }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        lock(&self.shared.flying).remove(&self.claim);
    }
}

/// What the threads share.
pub(crate) struct Shared {
    table: Mutex<Table>,
    answers: Cache<Uuid, Arc<Answer>>,
    /// Who waits until a record of theirs was read, by view.
    waiting: [Mutex<HashMap<Uuid, oneshot::Sender<()>>>; 2],
    flying: Mutex<HashSet<Uuid>>,
    /// Which producer it is; the lowest bit is set while there is none.
    session: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn new() -> Self {
        let weight =
            |_: &Uuid, answer: &Arc<Answer>| u32::try_from(answer.body.len() + 200).unwrap_or(u32::MAX);
        Self {
            table: Mutex::default(),
            answers: Cache::builder().max_capacity(AT_HAND).weigher(weight).build(),
            waiting: Default::default(),
            flying: Mutex::default(),
            session: AtomicU64::new(1),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    fn keep(&self, answer: Answer) {
        if answer.body.len() <= LARGEST_AT_HAND {
            self.answers.insert(answer.claim, Arc::new(answer));
        }
    }

    fn forget(&self, now: ReceivedTime) {
        self.table().forget(now);
    }

    fn len(&self) -> usize {
        self.table().len()
    }

    fn passed(&self, view: View, id: Uuid) {
        if let Some(waiting) = lock(&self.waiting[view as usize]).remove(&id) {
            // Who waited may have gone.
            let _ = waiting.send(());
        }
    }

    fn session(&self) -> u64 {
        self.session.load(Ordering::SeqCst)
    }

    fn pause(&self) {
        self.session.fetch_or(1, Ordering::SeqCst);
    }

    fn begin(&self) {
        self.session.fetch_add(1, Ordering::SeqCst);
    }
}

/// Two waits for one record: until it was read as it stands there, and until everything before it is decided.
struct Passage {
    id: Uuid,
    views: [oneshot::Receiver<()>; 2],
    shared: Arc<Shared>,
}

impl Passage {
    /// To be made before the record is written.
    fn new(shared: &Arc<Shared>, id: Uuid) -> Self {
        let views = View::ALL.map(|view| {
            let (passed, waits) = oneshot::channel();
            lock(&shared.waiting[view as usize]).insert(id, passed);
            waits
        });
        Self { id, views, shared: Arc::clone(shared) }
    }

    async fn passed(&mut self, view: View, deadline: Instant) -> Result<(), Error> {
        match tokio::time::timeout_at(deadline, &mut self.views[view as usize]).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Error::Late),
        }
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        for view in View::ALL {
            lock(&self.shared.waiting[view as usize]).remove(&self.id);
        }
    }
}

/// A record of the claims topic that isn't part of a transaction.
struct Note {
    key: String,
    value: Vec<u8>,
    at: ReceivedTime,
}

impl Note {
    fn new(key: Mark, entry: &Entry) -> Self {
        Self { key: key.to_hex(), value: entry.to_bytes(), at: clock::now() }
    }

    fn record(&self) -> Record<'_> {
        Record {
            topic: Topic::Claims,
            key: &self.key,
            value: &self.value,
            headers: &[],
            received_at: self.at,
            lane: Lane::Live,
        }
    }
}

fn release(key: Mark, claim: Uuid) -> Note {
    Note::new(key, &Entry::Release { claim })
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
    /// One at a time fences another copy: it may have ended more claims than one.
    fencing: tokio::sync::Mutex<()>,
    /// Large answers are fetched one at a time.
    fetching: tokio::sync::Mutex<()>,
}

impl Claims {
    pub(crate) fn new(config: &Config, producer: Arc<Producer>) -> Self {
        let (jobs, receiver) = mpsc::channel(writer::WAITING);
        let instance = config.instance.as_deref().unwrap_or("local");
        // By then the request was told to come again, whatever became of it.
        let patience = config.gateway.commit_timeout.duration().saturating_mul(2);
        Self {
            shared: Arc::new(Shared::new()),
            producer,
            client: service::kafka::client_config(config),
            owner: format!("tillstream-gateway-{instance}-0").into(),
            jobs,
            receiver: Mutex::new(Some(receiver)),
            patience: i64::try_from(patience.as_micros()).unwrap_or(i64::MAX),
            fencing: tokio::sync::Mutex::default(),
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
            producer: Arc::clone(&self.producer),
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
                    return Ok(Met::Answered { answer: self.stored(place).await?, same });
                }
                Standing::Free { .. } if certain && !question.claims => return Ok(Met::Nobody),
                Standing::Free { previous, again } if question.claims => {
                    match self.claim(question, previous, deadline).await? {
                        Ok(flight) => return Ok(Met::Mine(Turn { flight, again })),
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
                    if let Ok(flight) = self.claim(question, Some(holder.id), deadline).await? {
                        return Ok(Met::Mine(Turn { flight, again: false }));
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

    /// Claims the key. `Err` within `Ok`: another claim was before it.
    async fn claim(
        &self,
        Question { keyed, at, .. }: Question<'_>,
        previous: Option<Uuid>,
        deadline: Instant,
    ) -> Result<Result<Flight, Passage>, Error> {
        // Before the claim is written: it is bound to this producer, or to none.
        let session = self.shared.session();
        if session & 1 == 1 {
            return Err(Error::NoTransactions);
        }
        let flight = Flight::begin(&self.shared, keyed.key, session);
        let mut passage = Passage::new(&self.shared, flight.claim);
        let owner = self.owner.to_string();
        let claim = Claim { id: flight.claim, owner, previous, content: keyed.content, at };
        let read = match self.write(&Note::new(keyed.key, &Entry::Claim(claim)), deadline).await {
            Ok(()) => passage.passed(View::Claims, deadline).await,
            Err(error) => Err(error),
        };
        if let Err(error) = read {
            self.give_up(flight);
            return Err(error);
        }
        let holds = self.shared.table().holds(keyed.key, flight.claim);
        Ok(if holds { Ok(flight) } else { Err(passage) })
    }

    /// Says that nothing comes of a claim.
    pub(crate) fn give_up(&self, flight: Flight) {
        self.producer.tell(&release(flight.key, flight.claim).record());
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
            // Of an earlier producer of this copy, or given up: either is decided, once a producer has begun.
            return Ok(self.shared.session() > 1 && !lock(&self.shared.flying).contains(&holder.id));
        }
        if clock::now().0.saturating_sub(holder.at.0) < self.patience {
            return Ok(false);
        }
        let _turn = self.fencing.lock().await;
        let (client, owner) = (self.client.clone(), Arc::clone(&holder.owner));
        let fence = tokio::task::spawn_blocking(move || {
            let late = || Instant::now() >= deadline;
            Writer::start(&client, &owner, SMALLEST, &late).map(drop)
        });
        tracing::warn!(
            owner = &*holder.owner,
            "ends the claims of another copy, which doesn't answer one of them"
        );
        match fence.await {
            Ok(Ok(())) => Ok(true),
            Ok(Err(error)) => Err(Error::Transaction(error.to_string())),
            Err(_) => Err(Error::NoTransactions),
        }
    }

    async fn stored(&self, place: Place) -> Result<Arc<Answer>, Error> {
        if let Some(answer) = self.shared.answers.get(&place.claim) {
            return Ok(answer);
        }
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
        tokio::time::timeout_at(deadline, asked).await.unwrap_or(Err(Error::Late))
    }
}

fn is_append(keyed: &Keyed) -> bool {
    keyed.other == OtherContent::IsLetter
}
