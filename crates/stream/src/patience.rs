//! Outages pass: a call to the cluster is repeated until it succeeds, and only an error that doesn't pass ends it.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::{Error, Observer};

/// First and longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How soon a wait notices that it has to end: a stopped service has ten seconds in all.
const STEP: Duration = Duration::from_millis(50);
/// For one attempt. Shorter than the time in which a service has to stop.
pub(crate) const CALL: Duration = Duration::from_secs(5);

/// How a wait for the cluster ends, and who is told that it goes on.
pub(crate) struct Patience<'a> {
    /// True when nobody waits for the result any more.
    pub(crate) stop: &'a dyn Fn() -> bool,
    /// Told before each pause what is being waited for, and the worker that waits.
    pub(crate) observer: Option<(&'a dyn Observer, usize)>,
}

impl Patience<'_> {
    /// Calls until it succeeds. [`Error::Stopped`] when it has to end before that.
    pub(crate) fn insist<T>(
        &self,
        what: &str,
        mut call: impl FnMut() -> Result<T, KafkaError>,
    ) -> Result<T, Error> {
        let mut pause = PAUSE.0;
        loop {
            let source = match call() {
                Ok(value) => return Ok(value),
                Err(source) => source,
            };
            if !passes(&source) {
                return Err(Error::Kafka { what: what.to_owned(), source });
            }
            tracing::warn!(error = %source, what, ?pause, "no success yet, trying again after a pause");
            if let Some((observer, slot)) = self.observer {
                observer.waiting(slot, what);
            }
            self.sleep(pause)?;
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    /// Sleeps, unless it has to end.
    pub(crate) fn sleep(&self, span: Duration) -> Result<(), Error> {
        let end = Instant::now() + span;
        loop {
            if (self.stop)() {
                return Err(Error::Stopped);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(STEP));
        }
    }
}

/// False for what a person has to change: rights, credentials, settings, versions.
pub(crate) fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let fatal = matches!(error, KafkaError::Transaction(e) if e.is_fatal());
    let permanent = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::Authentication
                | Code::SaslAuthenticationFailed
                | Code::UnsupportedSASLMechanism
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::InvalidTransactionTimeout
                | Code::InvalidConfig
                | Code::InvalidArgument
                | Code::UnsupportedFeature
                | Code::UnsupportedVersion
                | Code::NotImplemented
        )
    );
    !fatal && !permanent
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Mutex;

    use super::*;
    use crate::{Committed, TaskStatus};

    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);

    impl Observer for Told {
        fn committed(&self, _: &Committed<'_>) {}
        fn aborted(&self, _: &'static str) {}
        fn recycled(&self, _: &'static str) {}
        fn restored(&self, _: i32, _: u64, _: Duration) {}
        fn tasks(&self, _: usize, _: &[TaskStatus]) {}
        fn lag(&self, _: usize, _: i64) {}
        fn waiting(&self, slot: usize, what: &str) {
            self.0.lock().unwrap().push(format!("{slot} {what}"));
        }
    }

    fn outage() -> KafkaError {
        KafkaError::MetadataFetch(RDKafkaErrorCode::AllBrokersDown)
    }

    #[test]
    fn an_outage_is_waited_for_and_those_who_care_are_told() {
        let told = Told::default();
        let patience = Patience { stop: &|| false, observer: Some((&told, 3)) };
        let mut left = 2;
        let result = patience.insist("read", || {
            left -= 1;
            if left < 0 { Ok(7) } else { Err(outage()) }
        });
        assert_eq!(result.unwrap(), 7);
        assert_eq!(*told.0.lock().unwrap(), ["3 read", "3 read"]);
    }

    #[test]
    fn what_does_not_pass_ends_the_wait_at_once() {
        let calls = Cell::new(0);
        let patience = Patience { stop: &|| false, observer: None };
        let error = patience
            .insist("read the topic", || {
                calls.set(calls.get() + 1);
                Err::<(), _>(KafkaError::MetadataFetch(RDKafkaErrorCode::TopicAuthorizationFailed))
            })
            .unwrap_err();
        assert_eq!((error.to_string().as_str(), calls.get()), ("cannot read the topic", 1));
    }

    #[test]
    fn a_wait_ends_when_it_is_told_to() {
        let calls = Cell::new(0);
        let patience = Patience { stop: &|| calls.get() == 3, observer: None };
        let result = patience.insist("read", || {
            calls.set(calls.get() + 1);
            Err::<(), _>(outage())
        });
        assert!(matches!(result, Err(Error::Stopped)));
        assert_eq!(calls.get(), 3);
    }
}
