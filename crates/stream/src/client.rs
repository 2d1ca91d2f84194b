//! The client of a producer, and the thread that takes what it says: errors, log lines, messages that couldn't be
//! delivered. A flush, and with it a commit or an abort, waits until the last of those was taken.
//!
//! rdkafka's `ThreadedProducer` has such a thread too, which asks with a wait of 100 ms less what has passed. librdkafka
//! takes whole milliseconds, so what is left of the last one is asked for without any wait: up to a hundredth of a core
//! per producer, all day long. Here it is looked every [`TURN`] whether there is anything, and the rest is sleep.

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, ProducerContext};

use crate::Error;
use crate::native;

/// What an abort may wait longer than its messages take to be given up; nothing else waits for it.
const TURN: Duration = Duration::from_millis(20);

/// A producer whose events are taken. Dropping it ends it, as soon as what was in flight is given up.
pub(crate) struct Client<C: ProducerContext + 'static> {
    producer: Arc<BaseProducer<C>>,
    /// Held while events are taken: who has taken all can say that nothing is on its way through the other thread.
    taking: Arc<Mutex<()>>,
    /// `None` once the thread is to end: nothing is ever sent, and the other side sees that this one is gone.
    alive: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl<C: ProducerContext + 'static> Client<C> {
    /// Creates the producer and starts its thread.
    pub(crate) fn start(config: &ClientConfig, context: C) -> Result<Self, Error> {
        let failed = |source| Error::Client { what: "producer", source };
        let producer: Arc<BaseProducer<C>> = Arc::new(config.create_with_context(context).map_err(failed)?);
        let (alive, gone) = sync_channel(1);
        let taking = Arc::<Mutex<()>>::default();
        let (taken, turn) = (Arc::clone(&producer), Arc::clone(&taking));
        let turns = move || {
            while gone.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
                take(&taken, &turn);
            }
        };
        let thread = thread::Builder::new().name("producer-events".to_owned()).spawn(turns);
        let thread = thread.map_err(|e| failed(KafkaError::ClientCreation(e.to_string())))?;
        Ok(Self { producer, taking, alive: Some(alive), thread: Some(thread) })
    }

    pub(crate) fn producer(&self) -> &BaseProducer<C> {
        &self.producer
    }

    /// Takes what was said before the call.
    pub(crate) fn take(&self) {
        take(&self.producer, &self.taking);
    }
}

fn take<C: ProducerContext>(producer: &BaseProducer<C>, taking: &Mutex<()>) {
    let _taking = taking.lock().unwrap_or_else(PoisonError::into_inner);
    while native::waiting(producer) > 0 {
        // One event, without waiting for it.
        producer.poll(Duration::ZERO);
    }
}

impl<C: ProducerContext + 'static> Drop for Client<C> {
    fn drop(&mut self) {
        self.alive = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of a producer's events panicked");
        }
    }
}
