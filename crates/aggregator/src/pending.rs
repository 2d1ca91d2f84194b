//! What the facts of the open transaction have moved so far: each cell and set once, however many facts move it.
//!
//! Facts add here, and the sums go to the state and to the topic when the transaction is cut: a cell that five hundred
//! orders move is read, written and published once. It is the scratch of the transaction, so an abort drops it with
//! everything else.

use commerce::{Metric, ReceivedTime};
use stream::{Context, Failure};

use crate::aggregation;
use crate::cell::{Cell, Ends, Place};
use crate::funnel::{Chunk, Presence};
use crate::kept::{get, put, unreadable_key};
use crate::rows::SETS;
use crate::title::Titles;
use crate::{CELL, funnel};

/// Sums by cell, memberships by chunk, and titles; the keys are those of the state.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) cells: hashbrown::HashMap<Vec<u8>, Moved>,
    pub(crate) sets: hashbrown::HashMap<Vec<u8>, Changed>,
    pub(crate) titles: Titles,
}

/// What moves one cell.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    values: Vec<i128>,
    news: News,
}

/// What changes one chunk, in the order in which it happened.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    places: Vec<(u16, bool)>,
    news: News,
}

/// What a cell says of its changes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct News {
    /// How many came after the end of the window.
    pub(crate) late: i32,
    /// The newest arrival.
    pub(crate) as_of: i64,
}

impl News {
    fn add(&mut self, late: bool, received_at: ReceivedTime) {
        self.late = self.late.saturating_add(i32::from(late));
        self.as_of = self.as_of.max(received_at.0);
    }
}

impl Pending {
    /// Adds to a cell. `late`: its window had closed.
    pub(crate) fn cell(&mut self, key: &[u8], sums: &[i64], late: bool, received_at: ReceivedTime) {
        let moved = self.cells.entry_ref(key).or_default();
        if moved.values.len() < sums.len() {
            moved.values.resize(sums.len(), 0);
        }
        for (value, sum) in moved.values.iter_mut().zip(sums) {
            *value = value.saturating_add(i128::from(*sum));
        }
        moved.news.add(late, received_at);
    }

    /// An actor comes into a set, or leaves it.
    pub(crate) fn set(&mut self, presence: Presence, received_at: ReceivedTime) {
        let changed = self.sets.entry(presence.key).or_default();
        changed.places.push((presence.place, presence.inside));
        changed.news.add(presence.late, received_at);
    }
}

impl Moved {
    /// Stores the cell, and gives it as it is published.
    pub(crate) fn store(
        &self,
        ctx: &mut Context<'_>,
        key: &[u8],
        ends: &mut Ends<'_>,
    ) -> Result<Metric, Failure> {
        let (workspace, place) = Place::read(key).map_err(|e| unreadable_key(&e))?;
        let Some(known) = aggregation::named(&place.metric) else {
            return Err(Failure::Fatal(format!("there is no aggregation of the metric {}", place.metric)));
        };
        let values = self.values.get(..known.figures.len().min(self.values.len())).unwrap_or_default();
        let mut cell: Cell = get(ctx, CELL, key)?.unwrap_or_default();
        cell.add(values, self.news);
        if cell.is_cut() {
            // One wrong amount must not stop the figures of everybody.
            tracing::error!(
                %workspace, metric = %place.metric, day = %place.day,
                "a figure is beyond 64 bits and is published at their end until an amount in it is corrected"
            );
        }
        put(ctx, CELL, key, &cell)?;
        let end = ends.of_span(&workspace, place.span(known));
        Ok(cell.metric(workspace, &place, known.cut, known.figures, end))
    }
}

impl Changed {
    /// Stores the chunk, and gives it as it is published.
    pub(crate) fn store(
        &self,
        ctx: &mut Context<'_>,
        key: &[u8],
        ends: &mut Ends<'_>,
    ) -> Result<Metric, Failure> {
        let mut chunk: Chunk = get(ctx, SETS, key)?.unwrap_or_default();
        chunk.change(&self.places, self.news)?;
        put(ctx, SETS, key, &chunk)?;
        funnel::metric(key, &chunk, ends)
    }
}
