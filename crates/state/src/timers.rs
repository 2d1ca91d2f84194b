//! Timers: what is to happen at an instant of the stream's time.
//!
//! The stream's time of a workspace is the greatest arrival that was seen of it; where nothing arrives, that of its ticks
//! ([`crate::tick`]). What a provider says of time never
//! moves it, so an event dated 2099 fires nothing. Timers are state like everything else: they survive a restart, and
//! each fires in the transaction that takes it away.

use commerce::{ReceivedTime, WorkspaceId};
use stream::{Context, Failure};

use crate::tables::{CLOCK, TIMER, get, put};

/// A timer that is due.
pub(crate) struct Due {
    pub(crate) at: ReceivedTime,
    /// The key of an automation.
    pub(crate) key: Vec<u8>,
}

/// The stream's time of a workspace.
pub(crate) fn now(ctx: &Context<'_>, workspace: &WorkspaceId) -> Result<ReceivedTime, Failure> {
    Ok(get(ctx, CLOCK, workspace.as_str().as_bytes())?.unwrap_or(ReceivedTime(i64::MIN)))
}

/// Moves the stream's time on to an arrival; an earlier one leaves it where it is.
pub(crate) fn advance(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    arrival: ReceivedTime,
    buffer: &mut Vec<u8>,
) -> Result<ReceivedTime, Failure> {
    let before = now(ctx, workspace)?;
    if arrival <= before {
        return Ok(before);
    }
    put(ctx, CLOCK, workspace.as_str().as_bytes(), &arrival, buffer)?;
    Ok(arrival)
}

/// Sets a timer.
pub(crate) fn set(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    at: ReceivedTime,
    key: &[u8],
) -> Result<(), Failure> {
    ctx.put(TIMER, &entry(workspace, at, key), &[])
}

/// Takes a timer away; there need be none.
pub(crate) fn clear(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    at: ReceivedTime,
    key: &[u8],
) -> Result<(), Failure> {
    ctx.remove(TIMER, &entry(workspace, at, key))
}

/// When the earliest timer is due.
pub(crate) fn first(ctx: &Context<'_>, workspace: &WorkspaceId) -> Result<Option<ReceivedTime>, Failure> {
    let prefix = prefix(workspace);
    let Some((entry, _)) = ctx.first(TIMER, &prefix) else { return Ok(None) };
    match read(&entry[prefix.len()..]) {
        Some(due) => Ok(Some(due.at)),
        None => Err(Failure::Fatal("a stored timer can't be read".to_owned())),
    }
}

/// Takes the earliest timer that is due.
pub(crate) fn take(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    now: ReceivedTime,
) -> Result<Option<Due>, Failure> {
    let prefix = prefix(workspace);
    let Some((entry, _)) = ctx.first(TIMER, &prefix) else { return Ok(None) };
    let Some(due) = read(&entry[prefix.len()..]) else {
        return Err(Failure::Fatal("a stored timer can't be read".to_owned()));
    };
    if due.at > now {
        return Ok(None);
    }
    ctx.remove(TIMER, &entry)?;
    Ok(Some(due))
}

fn prefix(workspace: &WorkspaceId) -> Vec<u8> {
    [workspace.as_str().as_bytes(), b"\0"].concat()
}

fn entry(workspace: &WorkspaceId, at: ReceivedTime, key: &[u8]) -> Vec<u8> {
    // With the sign bit flipped, bytes sort as the numbers do.
    let at = at.0.cast_unsigned() ^ (1 << 63);
    [&*prefix(workspace), &at.to_be_bytes(), key].concat()
}

fn read(entry: &[u8]) -> Option<Due> {
    let (at, key) = entry.split_first_chunk::<8>()?;
    let at = ReceivedTime((u64::from_be_bytes(*at) ^ (1 << 63)).cast_signed());
    Some(Due { at, key: key.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_sort_by_their_instant_and_read_back() {
        let workspace = WorkspaceId::try_new("demo").unwrap();
        let times = [i64::MIN, -1, 0, 1, i64::MAX];
        let entries: Vec<Vec<u8>> =
            times.iter().map(|at| entry(&workspace, ReceivedTime(*at), b"key")).collect();
        assert!(entries.is_sorted());
        for (at, entry) in times.iter().zip(&entries) {
            let due = read(&entry[prefix(&workspace).len()..]).unwrap();
            assert_eq!((due.at.0, due.key.as_slice()), (*at, &b"key"[..]));
        }
    }
}
