//! The thread that makes the index: events and facts in, rows on disk.

use std::sync::Arc;
use std::time::{Duration, Instant};

use commerce::order::View;
use commerce::{Event, Fact};
use prometheus::IntCounter;
use rdkafka::ClientConfig;
use service::Shutdown;
use stream::{Follow, Followed, follow};
use topics::{Decoder, SchemaRegistry, Schemas, Topic};

use super::Place;
use super::index::{self, Index, Waiting};
use crate::reading::{PAUSE, REGISTRY_BUDGET, chain, decode};
use crate::snapshot::Published;

/// The longest wait of a row while records come without a pause.
const WRITE_AT_LEAST: Duration = Duration::from_millis(100);

/// What the thread needs.
pub(crate) struct Reader {
    pub(crate) client: ClientConfig,
    pub(crate) registry: String,
    pub(crate) published: Arc<Published>,
    pub(crate) place: Place,
    pub(crate) unreadable: IntCounter,
    pub(crate) shutdown: Shutdown,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the schemas couldn't be looked up")]
    Registry(#[from] topics::schemas::Error),
    #[error("the topics couldn't be read")]
    Stream(#[from] stream::Error),
    #[error("the index couldn't be written")]
    Index(#[from] index::Error),
}

impl Reader {
    /// Reads until the end of the service. After a failure everything is read anew into a fresh index, while the last
    /// one is answered from.
    pub(crate) fn run(self) {
        let (folder, cleared) = match &self.place {
            Place::Folder(folder) => (folder.clone(), clear(folder)),
            Place::Temporary => {
                (std::env::temp_dir(), index::clear_left_behind(&std::env::temp_dir()).map(drop))
            }
        };
        if let Err(error) = cleared {
            tracing::warn!(folder = %folder.display(), %error, "what an earlier process left can't be removed");
        }
        while !self.shutdown.is_triggered() {
            if let Err(error) = self.once() {
                tracing::warn!(error = chain(&error), "reading histories stopped, trying again");
                self.shutdown.sleep(PAUSE);
            }
        }
    }

    fn once(&self) -> Result<(), Error> {
        let registry = SchemaRegistry::new(&self.registry, REGISTRY_BUDGET)?;
        let folder = match &self.place {
            Place::Temporary => std::env::temp_dir(),
            Place::Folder(folder) => folder.clone(),
        };
        let mut pass = Pass {
            reader: self,
            decoder: Schemas::lookup(&registry)?.decoder(),
            index: Arc::new(Index::create(&folder)?),
            waiting: Waiting::default(),
            last: Instant::now(),
            failed: None,
        };
        let topics = [Topic::Events, Topic::Facts].map(|topic| topic.name().to_owned()).to_vec();
        let what = Follow { client: self.client.clone(), topics };
        let failed = std::cell::Cell::new(false);
        let stop = || self.shutdown.is_triggered() || failed.get();
        follow(&what, &stop, &mut |followed| {
            if let Err(error) = pass.take(followed) {
                pass.failed.get_or_insert(error);
                failed.set(true);
            }
            Ok(())
        })?;
        pass.failed.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// One reading from the beginning.
struct Pass<'a> {
    reader: &'a Reader,
    decoder: Decoder,
    index: Arc<Index>,
    waiting: Waiting,
    last: Instant,
    failed: Option<index::Error>,
}

impl Pass<'_> {
    fn take(&mut self, followed: Followed<'_>) -> Result<(), index::Error> {
        match followed {
            Followed::Record { topic, partition, offset, value, .. } => {
                if let Err(reason) = self.record(topic, offset, value)? {
                    self.reader.unreadable.inc();
                    tracing::error!(
                        topic,
                        partition,
                        offset,
                        reason,
                        "a record can't be read and is in no history"
                    );
                }
                if self.last.elapsed() >= WRITE_AT_LEAST { self.write() } else { Ok(()) }
            }
            Followed::CaughtUp => {
                self.write()?;
                self.reader.published.history().complete(Arc::clone(&self.index));
                tracing::info!("histories are complete");
                Ok(())
            }
            Followed::Idle => self.write(),
        }
    }

    fn write(&mut self) -> Result<(), index::Error> {
        self.last = Instant::now();
        self.index.write(&mut self.waiting)
    }

    /// The inner error is the record's, the outer one the index'.
    fn record(
        &mut self,
        topic: &str,
        offset: i64,
        value: Option<&[u8]>,
    ) -> Result<Result<(), String>, index::Error> {
        if Topic::parse(topic) == Some(Topic::Events) {
            match decode::<Event>(&mut self.decoder, &self.reader.shutdown, value) {
                Ok(Some(event)) => self.index.event(&event, &mut self.waiting)?,
                Ok(None) => {}
                Err(reason) => return Ok(Err(reason)),
            }
        } else {
            match decode::<Fact<View>>(&mut self.decoder, &self.reader.shutdown, value) {
                Ok(Some(fact)) => self.index.fact(fact, offset, &mut self.waiting)?,
                Ok(None) => {}
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok(()))
    }
}

/// Removes the indexes of earlier processes.
fn clear(folder: &std::path::Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(index::PREFIX) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
