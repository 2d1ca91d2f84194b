//! Build, run, drain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long a service may take from the signal to its end. An orchestrator that kills after 30 s leaves room for it.
pub const DRAIN_BUDGET: Duration = Duration::from_secs(10);

/// Says to all parts of a process, threads and tasks alike, that it is time to finish. Clones are the same value.
#[derive(Clone, Debug)]
pub struct Shutdown {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Read on hot paths, hence outside the lock.
    triggered: AtomicBool,
    tasks: watch::Sender<bool>,
    /// When it was triggered; threads that sleep are woken by `threads`.
    at: Mutex<Option<Instant>>,
    threads: Condvar,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// One that nobody has triggered.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                triggered: AtomicBool::new(false),
                tasks: watch::Sender::new(false),
                at: Mutex::new(None),
                threads: Condvar::new(),
            }),
        }
    }

    /// Begins the end. Only the first call counts.
    pub fn trigger(&self) {
        let mut at = self.inner.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.get_or_insert_with(Instant::now);
        drop(at);
        self.inner.triggered.store(true, Ordering::Release);
        self.inner.threads.notify_all();
        self.inner.tasks.send_replace(true);
    }

    /// Whether it was triggered; one atomic load.
    pub fn is_triggered(&self) -> bool {
        self.inner.triggered.load(Ordering::Acquire)
    }

    /// Waits, in a task, until it is triggered.
    pub async fn wait(&self) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.inner.tasks.subscribe().wait_for(|triggered| *triggered).await;
    }

    /// Sleeps, in a thread, for `span` or until it is triggered; true when it was.
    pub fn sleep(&self, span: Duration) -> bool {
        let at = self.inner.at.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, _) = self
            .inner
            .threads
            .wait_timeout_while(at, span, |at| at.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        at.is_some()
    }

    /// What is left of [`DRAIN_BUDGET`]; all of it before the trigger.
    pub fn remaining(&self) -> Duration {
        let at = self.inner.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.map_or(DRAIN_BUDGET, |at| DRAIN_BUDGET.saturating_sub(at.elapsed()))
    }
}

/// Triggers `shutdown` on SIGTERM or SIGINT; the second signal exits at once, with the status a shell gives it.
///
/// Call it once per process, inside a tokio runtime that lives as long as the process.
pub fn on_signals(shutdown: &Shutdown) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        loop {
            let (name, status) = tokio::select! {
                _ = terminate.recv() => ("SIGTERM", 143),
                _ = interrupt.recv() => ("SIGINT", 130),
            };
            if shutdown.is_triggered() {
                tracing::warn!(signal = name, "second signal, exiting at once");
                std::process::exit(status);
            }
            tracing::info!(signal = name, budget_s = DRAIN_BUDGET.as_secs(), "stopping");
            shutdown.trigger();
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_thread_is_woken() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.sleep(Duration::from_millis(1)));
        let other = shutdown.clone();
        let sleeper = std::thread::spawn(move || other.sleep(Duration::from_secs(60)));
        shutdown.trigger();
        assert!(sleeper.join().unwrap());
        assert!(shutdown.is_triggered() && shutdown.remaining() <= DRAIN_BUDGET);
    }

    #[tokio::test]
    async fn a_task_sees_a_trigger_from_before_its_wait() {
        let shutdown = Shutdown::new();
        shutdown.trigger();
        shutdown.wait().await;
    }
}
