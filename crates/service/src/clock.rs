//! The one place that reads the wall clock.

use commerce::ReceivedTime;

/// Now, in microseconds of UTC.
///
/// Everything that depends on time takes it as a value, so that tests and replays choose it.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> ReceivedTime {
    ReceivedTime(jiff::Timestamp::now().as_microsecond())
}
