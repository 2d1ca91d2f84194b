//! Marks of what was seen, for events that no join takes in: transport and semantic keys, as long as R9 demands.
//!
//! A mark and what the event brings about are in one transaction, so "seen" can't outrun "stored". A mark counts until
//! the hour in which it ends, whether or not it has been swept away by then; a repetition doesn't prolong it.

use commerce::{DuplicateLevel, Event, Mark, time};
use stream::{Context, Failure};

use crate::order::CORRECTED;
use crate::tables::{SEEN, SEEN_END};

const HOUR: i64 = 3_600 * time::SECOND;
/// A mark is swept away this many hours after its end: partitions of the raw topic may be read so far apart.
const SLACK: u32 = 6;
/// As many marks are swept away per event at most: twice as many as an event makes, so that they can't pile up.
const SWEPT: usize = 6;

/// What is known of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seen {
    /// Nothing: its marks are set now.
    New,
    /// It says something else of a version that was told of before.
    Corrected,
    /// The same came before.
    Again(DuplicateLevel),
    /// Its sender used the key before, for another body.
    OtherBody,
}

/// Looks an event up and sets its marks if it is new.
pub(crate) fn look(ctx: &mut Context<'_>, event: &Event, buffer: &mut Vec<u8>) -> Result<Seen, Failure> {
    let now = hour(event.received_at.0);
    sweep(ctx, now)?;
    // One delivery may give rise to several events under one transport key.
    let place = [event.raw_item.to_be_bytes(), event.raw_part.to_be_bytes()].concat();
    let transport = key(event, b't', &event.keys.transport, &place);
    let semantic = key(event, b's', &event.keys.semantic, &[]);
    let content = event.keys.content.as_deref().unwrap_or_default().as_bytes();
    if let Some(before) = valid(ctx, &transport, now) {
        let same = before == content;
        // An upsert applies the last body (D-REC-1); what it says is joined by its own time.
        let applies = event.event == commerce::EventName::CustomerUpdated;
        match (same, applies) {
            (true, _) => return Ok(Seen::Again(DuplicateLevel::Transport)),
            (false, false) => return Ok(Seen::OtherBody),
            (false, true) => {}
        }
    } else if valid(ctx, &semantic, now).is_some() {
        set(ctx, &transport, content, event, buffer)?;
        return Ok(Seen::Again(DuplicateLevel::Semantic));
    }
    let stated = event.keys.stated.as_deref().map(|mark| key(event, b'v', mark, &[]));
    let told_before = stated.as_ref().is_some_and(|stated| valid(ctx, stated, now).is_some());
    set(ctx, &transport, content, event, buffer)?;
    if told_before && !event.source.corrects_versions() {
        return Ok(Seen::Again(DuplicateLevel::Semantic));
    }
    set(ctx, &semantic, &[], event, buffer)?;
    match stated {
        Some(_) if told_before => return Ok(Seen::Corrected),
        Some(stated) => set(ctx, &stated, &[], event, buffer)?,
        None => {}
    }
    Ok(Seen::New)
}

/// A correction as it is taken in: marked. That it is the newer one follows from its arrival ([`Event::turn`]).
pub(crate) fn corrected(event: &Event) -> Event {
    let mut event = event.clone();
    event.flags.push(CORRECTED.to_owned());
    event
}

fn hour(micros: i64) -> u32 {
    u32::try_from(micros.div_euclid(HOUR)).unwrap_or(0)
}

fn key(event: &Event, kind: u8, mark: &str, place: &[u8]) -> Vec<u8> {
    let mark = Mark::from_hex(mark).unwrap_or_else(|| Mark::of(&[mark.as_bytes()]));
    let mut key = Vec::with_capacity(event.workspace.as_str().len() + 26);
    key.extend_from_slice(event.workspace.as_str().as_bytes());
    key.extend_from_slice(&[0, kind]);
    key.extend_from_slice(&mark.0.to_be_bytes());
    key.extend_from_slice(place);
    key
}

/// What stands behind a mark that still counts.
fn valid(ctx: &Context<'_>, key: &[u8], now: u32) -> Option<Vec<u8>> {
    let value = ctx.get(SEEN, key)?;
    let (end, content) = value.split_first_chunk::<4>()?;
    (u32::from_be_bytes(*end) >= now).then(|| content.to_vec())
}

fn set(
    ctx: &mut Context<'_>,
    key: &[u8],
    content: &[u8],
    event: &Event,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    let end = hour(event.received_at.0.saturating_add(event.source.kept_days() * time::DAY));
    buffer.clear();
    buffer.extend_from_slice(&end.to_be_bytes());
    buffer.extend_from_slice(content);
    ctx.put(SEEN, key, buffer)?;
    buffer.clear();
    buffer.extend_from_slice(&end.to_be_bytes());
    buffer.extend_from_slice(key);
    ctx.put(SEEN_END, buffer, &[])
}

fn sweep(ctx: &mut Context<'_>, now: u32) -> Result<(), Failure> {
    for _ in 0..SWEPT {
        let Some((entry, _)) = ctx.first(SEEN_END, &[]) else { return Ok(()) };
        let Some((end, key)) = entry.split_first_chunk::<4>() else { return Ok(()) };
        let end = u32::from_be_bytes(*end);
        if end.saturating_add(SLACK) >= now {
            return Ok(());
        }
        // The mark may have been set anew since, with a later end.
        if ctx.get(SEEN, key).is_some_and(|value| value.starts_with(&end.to_be_bytes())) {
            ctx.remove(SEEN, key)?;
        }
        ctx.remove(SEEN_END, &entry)?;
    }
    Ok(())
}
