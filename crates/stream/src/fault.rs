//! Places where tests make the runtime crash or misbehave. Without the feature `failpoints` they compile to nothing.
//!
//! The environment variable `FAILPOINTS` says which: `name=action;name=action`, in the grammar of the crate `fail`.
//!
//! - `return(abort)` at a crash point ends the process at once, `return` stops the stage with an error:
//!   `stream::after-commit=3*off->return(abort)` dies after the fourth commit.
//! - `return` at a sabotage point takes a protection away, so that a test can prove that it would notice.

use crate::Error;

/// Where a crash is interesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// The outputs are on the broker, the changelog is not.
    AfterProduce,
    /// All messages are on the broker, the offsets are not.
    BeforeOffsets,
    /// The offsets are in the transaction, which is open.
    BeforeCommit,
    /// Committed, but the state in memory doesn't have it yet.
    AfterCommit,
    /// After a record of the changelog was read.
    InRestore,
    /// What was open is committed, the partition isn't handed over yet.
    InRevocation,
}

/// What a test can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// A plain producer; the consumer commits the offsets.
    NoTransactionalId,
    /// Offsets without a membership, which a broker takes unchecked.
    StaleGroupMetadata,
    /// A restore ends at the last stable offset, whatever is open below the end.
    RestoreToLso,
    /// The consumer commits the offsets before the transaction ends, and a start trusts them.
    OffsetsOutside,
    /// A producer whose end of transaction was slow or disturbed is used again.
    NoRecycling,
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;

    use super::{Crash, Error, Sabotage};

    impl Crash {
        const ALL: [Self; 6] = [
            Self::AfterProduce,
            Self::BeforeOffsets,
            Self::BeforeCommit,
            Self::AfterCommit,
            Self::InRestore,
            Self::InRevocation,
        ];

        fn name(self) -> &'static str {
            match self {
                Self::AfterProduce => "stream::after-produce",
                Self::BeforeOffsets => "stream::before-offsets",
                Self::BeforeCommit => "stream::before-commit",
                Self::AfterCommit => "stream::after-commit",
                Self::InRestore => "stream::in-restore",
                Self::InRevocation => "stream::in-revocation",
            }
        }
    }

    impl Sabotage {
        const ALL: [Self; 5] = [
            Self::NoTransactionalId,
            Self::StaleGroupMetadata,
            Self::RestoreToLso,
            Self::OffsetsOutside,
            Self::NoRecycling,
        ];

        fn name(self) -> &'static str {
            match self {
                Self::NoTransactionalId => "stream::no-transactional-id",
                Self::StaleGroupMetadata => "stream::stale-group-metadata",
                Self::RestoreToLso => "stream::restore-to-lso",
                Self::OffsetsOutside => "stream::offsets-outside",
                Self::NoRecycling => "stream::no-recycling",
            }
        }
    }

    /// Reads `FAILPOINTS`, once per process. A name that doesn't exist is an error: a test that breaks nothing would
    /// prove nothing.
    pub(crate) fn arm() -> Result<(), Error> {
        static ARMED: OnceLock<Result<(), String>> = OnceLock::new();
        let read = || match std::env::var("FAILPOINTS") {
            Ok(text) => text.split(';').filter(|point| !point.trim().is_empty()).try_for_each(configure),
            Err(_) => Ok(()),
        };
        ARMED.get_or_init(read).clone().map_err(|message| Error::Processor(format!("FAILPOINTS: {message}")))
    }

    fn configure(point: &str) -> Result<(), String> {
        let (name, actions) = point.split_once('=').ok_or_else(|| format!("'{point}' is no name=action"))?;
        let mut known = Crash::ALL.map(Crash::name).into_iter().chain(Sabotage::ALL.map(Sabotage::name));
        if !known.any(|known| known == name.trim()) {
            return Err(format!("there is no point '{}'", name.trim()));
        }
        tracing::warn!(name = name.trim(), actions, "this process is told to fail");
        fail::cfg(name.trim(), actions)
    }

    /// A crash, if the test wants one here; `settle` first brings what was sent to the broker.
    pub(crate) fn crash(at: Crash, settle: impl FnOnce()) -> Result<(), Error> {
        fail::fail_point!(at.name(), |how| {
            settle();
            if how.as_deref() == Some("abort") {
                std::process::abort();
            }
            Err(Error::Processor(format!("told to fail at {}", at.name())))
        });
        Ok(())
    }

    /// True when the test has taken this protection away.
    pub(crate) fn is_broken(what: Sabotage) -> bool {
        fail::fail_point!(what.name(), |_| true);
        false
    }

    #[cfg(test)]
    mod tests {
        use super::configure;

        #[test]
        fn a_point_that_does_not_exist_is_refused() {
            assert!(configure("stream::nowhere=return").unwrap_err().contains("stream::nowhere"));
            assert!(configure("stream::after-commit").is_err());
            assert!(configure("stream::after-commit=explode").is_err());
        }
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use armed::{arm, crash, is_broken};

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as with the feature")]
pub(crate) const fn arm() -> Result<(), Error> {
    Ok(())
}

#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature as with the feature")]
pub(crate) fn crash(_: Crash, _: impl FnOnce()) -> Result<(), Error> {
    Ok(())
}

#[cfg(not(feature = "failpoints"))]
pub(crate) const fn is_broken(_: Sabotage) -> bool {
    false
}
