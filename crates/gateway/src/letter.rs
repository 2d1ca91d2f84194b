//! Dead letters: what a known sender sent and its contract refuses.

use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};
use std::time::Duration;

use commerce::letter::{Status, WHOLE};
use commerce::{DeadLetter, Mark, ReceivedTime, Source};
use sources::http::Letter;
use tokio::sync::Mutex;
use tokio::time::Instant;
use topics::{EncodeError, Encoder, SchemaRegistry, Schemas, Topic, schemas};

/// How long the registry may take; the answer is due in 4 s, Kafka's part included.
const REGISTRY_WITHIN: Duration = Duration::from_millis(1_000);
/// After a failure the registry isn't asked again so long.
const PAUSE: Duration = Duration::from_millis(500);

/// Why there is no record of a dead letter.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The registry doesn't answer, or doesn't have the schema.
    #[error("the schema of dead letters can't be had")]
    Registry(#[source] schemas::Error),
    /// It was asked a moment ago and failed.
    #[error("the schema registry failed a moment ago")]
    Paused,
    /// A fault of this program.
    #[error("the dead letter can't be written")]
    Encode(#[source] EncodeError),
}

/// Writes dead letters, with a schema that is looked up when the first one comes: raw records need no registry.
pub(crate) struct Letters {
    registry: String,
    /// Taken out while in use; `None` until the registry has been asked.
    encoder: Arc<BlockingMutex<Option<Encoder>>>,
    /// When the registry failed last; held while it is asked, so that it is asked once.
    failed: Mutex<Option<Instant>>,
}

impl Letters {
    pub(crate) fn new(registry: &str) -> Self {
        Self { registry: registry.to_owned(), encoder: Arc::default(), failed: Mutex::default() }
    }

    /// Looks the schema up, unless it is known. Also the way to warm up.
    pub(crate) async fn prepare(&self) -> Result<(), Error> {
        if self.is_prepared() {
            return Ok(());
        }
        let mut failed = self.failed.lock().await;
        if self.is_prepared() {
            return Ok(());
        }
        if failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(Error::Paused);
        }
        let (registry, encoder) = (self.registry.clone(), Arc::clone(&self.encoder));
        // The registry's client must neither be used nor dropped in an async context.
        let asking = tokio::task::spawn_blocking(move || {
            let schemas =
                Schemas::lookup(&SchemaRegistry::new(&registry, REGISTRY_WITHIN).map_err(Error::Registry)?);
            let found =
                schemas.map_err(Error::Registry)?.encoder(Topic::DeadLetters).map_err(Error::Encode)?;
            *encoder.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            Ok(())
        });
        let result = asking.await.unwrap_or(Err(Error::Paused));
        *failed = result.is_err().then(Instant::now);
        result
    }

    fn is_prepared(&self) -> bool {
        self.encoder.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The record's bytes.
    pub(crate) async fn encode(&self, letter: &DeadLetter) -> Result<Vec<u8>, Error> {
        self.prepare().await?;
        let mut out = Vec::with_capacity(letter.body.len() + 1024);
        let mut encoder = self.encoder.lock().unwrap_or_else(PoisonError::into_inner);
        let encoder = encoder.as_mut().ok_or(Error::Paused)?;
        encoder.encode(letter, &mut out).map_err(Error::Encode)?;
        Ok(out)
    }
}

/// What a source's letter becomes. A sender that repeats itself writes another one: each stands for one refusal.
pub(crate) fn of(source: Source, letter: Letter, body: &[u8], received_at: ReceivedTime) -> DeadLetter {
    let body_mark = Mark::of(&[body]).0.to_be_bytes();
    let id = Mark::of(&[STAGE.as_bytes(), &received_at.0.to_be_bytes(), &body_mark]);
    DeadLetter {
        id: id.to_uuid(),
        workspace: letter.workspace.as_str().to_owned(),
        stage: STAGE.to_owned(),
        source: source.as_str().to_owned(),
        reason: letter.failure.reason.code().to_owned(),
        field: letter.failure.field,
        message: letter.failure.message,
        origin_topic: "http".to_owned(),
        origin_partition: -1,
        origin_offset: -1,
        received_at: Some(received_at),
        first_seen_at: received_at.as_event(),
        redrive_count: 0,
        verdict: letter.verdict.to_owned(),
        headers: letter.headers.into_iter().collect(),
        body: body.to_vec(),
        status: Status::Open,
        item: WHOLE,
        changed_at: None,
        key: Vec::new(),
        cut: false,
    }
}

/// The stage's name in dead letters and metrics.
pub(crate) const STAGE: &str = "gateway";
