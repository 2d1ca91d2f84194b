//! Keys that senders chose for their rows: a row that comes under one within a day of the first, with another
//! body, is set aside by the state stage, and stands in the history as one that was (D-REC-1).

use commerce::{Event, Mark, ReceivedTime, time};

/// A key, and what came under it.
pub(super) type Keyed = ([u8; 16], u64);

const HOUR: i64 = 3_600 * time::SECOND;

/// The key of an event, and its content; `None` where its sender chose none.
pub(super) fn of(event: &Event) -> Option<Keyed> {
    let content = event.keys.content.as_deref()?;
    let (item, part) = (event.raw_item.to_be_bytes(), event.raw_part.to_be_bytes());
    let mark =
        Mark::of(&[event.workspace.as_str().as_bytes(), event.keys.transport.as_bytes(), &item, &part]);
    Some((mark.0.to_be_bytes(), Mark::of(&[content.as_bytes()]).high()))
}

/// One use of a key: its place among all deliveries, and what came.
pub(super) struct Use<'a> {
    pub(super) place: &'a [u8],
    pub(super) received_at: ReceivedTime,
    pub(super) content: u64,
}

/// True where another body stands at a place. `uses`: all of the key, by arrival. A key is free again when the hour is
/// over in which its day ends, as for the state stage.
pub(super) fn is_set_aside<'a>(uses: impl Iterator<Item = Use<'a>>, place: &[u8]) -> bool {
    let hour = |at: ReceivedTime| at.0.div_euclid(HOUR);
    let mut standing: Option<(i64, u64)> = None;
    for used in uses {
        let now = hour(used.received_at);
        let other = match standing {
            Some((end, content)) if end >= now => content != used.content,
            _ => {
                standing =
                    Some((hour(ReceivedTime(used.received_at.0.saturating_add(time::DAY))), used.content));
                false
            }
        };
        if used.place == place {
            return other;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_body_of_a_day_stands_and_its_repetitions_with_it() {
        let said = [(0, 1), (1, 2), (2, 1), (23, 3), (26, 2), (27, 1)];
        let places: Vec<[u8; 1]> = (0..6).map(|place| [place]).collect();
        let uses = || {
            places.iter().zip(said).map(|(place, (hours, content))| Use {
                place,
                received_at: ReceivedTime(hours * HOUR),
                content,
            })
        };
        let found: Vec<bool> = places.iter().map(|place| is_set_aside(uses(), place)).collect();
        assert_eq!(found, [false, true, false, true, false, true]);
    }
}
