//! The slow lane: the last partition of the input, read at a bounded rate so that a load of old records can't delay
//! what comes live.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::Consumer;

use super::Worker;
use crate::Error;
use crate::task::Task;

/// Records are let through in portions of this time: a pause throws the fetched records away, so it must be rare.
const PORTION: Duration = Duration::from_secs(1);

/// What was let through lately. Pure: the time is passed in.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// When the present portion began, and how many records it had.
    portion: Option<(Instant, u32)>,
    /// The partition that is paused, until when.
    paused: Option<(i32, Instant)>,
}

impl Lane {
    /// Counts a record. `Some`: that was the last one until then.
    fn count(&mut self, per_second: u32, now: Instant) -> Option<Instant> {
        let portion = self.portion.get_or_insert((now, 0));
        if now.duration_since(portion.0) >= PORTION {
            *portion = (now, 0);
        }
        portion.1 += 1;
        (portion.1 >= per_second).then(|| portion.0 + PORTION)
    }
}

impl Worker<'_> {
    /// Counts a record of the lane and pauses it when its portion is used up.
    pub(super) fn pace(&mut self, partition: i32) -> Result<(), Error> {
        let Some(per_second) = self.stage.lane_per_second else { return Ok(()) };
        let is_lane = match self.tasks.get(&partition) {
            Some(Task::Running(task)) => task.input_partitions > 1 && partition == task.input_partitions - 1,
            _ => false,
        };
        if !is_lane {
            return Ok(());
        }
        let now = Instant::now();
        if let Some(until) = self.lane.count(per_second.get(), now).filter(|until| *until > now) {
            self.pause(partition)?;
            self.lane.paused = Some((partition, until));
        }
        Ok(())
    }

    /// Lets the lane go on when its time has come. A partition that was taken away or is being restored meanwhile is
    /// none of its business any more: whoever adopts it resumes it.
    pub(super) fn resume_lane(&mut self) -> Result<(), Error> {
        let Some((partition, until)) = self.lane.paused else { return Ok(()) };
        if Instant::now() < until {
            return Ok(());
        }
        self.lane.paused = None;
        let Some(Task::Running(task)) = self.tasks.get(&partition) else { return Ok(()) };
        // The pause has thrown away what was fetched.
        self.seek(partition, task.position)?;
        self.resume(partition)
    }

    fn pause(&self, partition: i32) -> Result<(), Error> {
        self.consumer.pause(&self.list(&[partition], Offset::Invalid)).map_err(|source| Error::Kafka {
            what: format!("pause {}-{partition}", self.stage.input),
            source,
        })
    }

    pub(super) fn resume(&self, partition: i32) -> Result<(), Error> {
        self.consumer.resume(&self.list(&[partition], Offset::Invalid)).map_err(|source| Error::Kafka {
            what: format!("resume {}-{partition}", self.stage.input),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lets_no_more_through_than_its_portion() {
        let start = Instant::now();
        let mut lane = Lane::default();
        let at = |millis| start + Duration::from_millis(millis);
        assert!((0..9).all(|i| lane.count(10, at(i)).is_none()));
        assert_eq!(lane.count(10, at(20)), Some(at(1000)));
        assert_eq!(lane.count(10, at(1000)), None);
        // Slower than the rate, it is never paused.
        assert!((0..30).all(|i| lane.count(10, at(2000 + i * 150)).is_none()));
    }
}
