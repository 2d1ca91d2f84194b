//! How many bytes may be held until Kafka has acknowledged them.

use std::sync::Arc;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a request costs beside its body: headers, key, librdkafka's own record.
const OVERHEAD: usize = 1024;

/// The bound, shared by all requests.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    bytes: Arc<Semaphore>,
    gauge: IntGauge,
}

impl Room {
    pub(crate) fn new(bytes: usize, gauge: IntGauge) -> Self {
        Self { bytes: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))), gauge }
    }

    /// A place for one request, or `None` when there is none. `declared` is only compared, not taken: a sender that
    /// announces megabytes and sends nothing must not shut others out.
    pub(crate) fn enter(&self, declared: usize) -> Option<Hold> {
        if declared.saturating_add(OVERHEAD) > self.bytes.available_permits() {
            return None;
        }
        let mut hold = Hold { room: self.clone(), permit: None, bytes: 0 };
        hold.grow(OVERHEAD).then_some(hold)
    }
}

/// What one request holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Hold {
    room: Room,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

impl Hold {
    /// Takes more; false when there is no more.
    pub(crate) fn grow(&mut self, bytes: usize) -> bool {
        let Ok(permits) = u32::try_from(bytes) else { return false };
        let Ok(more) = Arc::clone(&self.room.bytes).try_acquire_many_owned(permits) else { return false };
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        self.bytes += bytes;
        self.room.gauge.add(i64::from(permits));
        true
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.room.gauge.sub(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_bounded_and_given_back() {
        let gauge = IntGauge::new("g", "h").unwrap();
        let room = Room::new(10_000, gauge.clone());
        assert!(room.enter(9_500).is_none());
        let mut one = room.enter(8_000).unwrap();
        assert!(one.grow(8_000));
        assert_eq!(gauge.get(), 9_024);
        assert!(room.enter(0).is_none() && !one.grow(2_000));
        drop(one);
        assert_eq!(gauge.get(), 0);
        assert!(room.enter(8_000).is_some());
    }
}
