//! How many pipelines a test binary runs at a time.

use std::sync::{Condvar, Mutex, PoisonError};

/// Tests that run whole pipelines wait for Kafka more than they compute, so that several at once end sooner than one
/// after another; all of them at once would be more than a small machine carries.
#[derive(Debug)]
pub struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// Is given back when it is dropped.
#[derive(Debug)]
#[must_use = "it is given back at once"]
pub struct Turn<'a> {
    turns: &'a Turns,
    weight: usize,
}

impl Turns {
    /// So many of weight 1 at a time.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { free: Mutex::new(most), freed: Condvar::new() }
    }

    /// Waits until there is room for it. What weighs more than all room there is waits for ever.
    pub fn take(&self, weight: usize) -> Turn<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free =
            self.freed.wait_while(free, |free| *free < weight).unwrap_or_else(PoisonError::into_inner);
        *free -= weight;
        Turn { turns: self, weight }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.turns.free.lock().unwrap_or_else(PoisonError::into_inner) += self.weight;
        self.turns.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn no_more_run_than_there_is_room_for_and_all_get_their_turn() {
        let turns = Turns::new(3);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let total: usize = thread::scope(|scope| {
            let one = |weight: usize| {
                let (turns, inside, most) = (&turns, &inside, &most);
                scope.spawn(move || {
                    let _turn = turns.take(weight);
                    most.fetch_max(inside.fetch_add(weight, Ordering::SeqCst) + weight, Ordering::SeqCst);
                    thread::yield_now();
                    inside.fetch_sub(weight, Ordering::SeqCst);
                    weight
                })
            };
            let all: Vec<_> = (0..60).map(|n| one(1 + n % 3)).collect();
            all.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 120);
        assert!((1..=3).contains(&most.into_inner()));
        assert_eq!(*turns.free.lock().unwrap(), 3);
    }
}
