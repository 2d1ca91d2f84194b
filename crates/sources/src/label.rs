//! Which deliveries are a load of old records (R13.1): they wait in the slow lane, where they delay nothing that is live.
//!
//! A request says so in a header. A body says so in each of its items, in a place that differs by source; whoever
//! accepts it repeats that in a header of the record, so that the lane is known without the body.

use crate::http::{Accepted, BACKFILL, IMPORT, Request};
use crate::{Raw, Workspaces, normalize};

/// True for a stored header that labels a load.
pub fn is_load_label(name: &str) -> bool {
    name == IN_BODY || [BACKFILL, IMPORT].iter().any(|label| name.strip_prefix("http.") == Some(label))
}

/// The header that repeats a label which the body gives itself.
const IN_BODY: &str = "backfill";

/// Adds [`IN_BODY`] where every item of the body is labelled. A batch that has a live event isn't held back for those
/// that are none.
pub(crate) fn told(mut accepted: Accepted, request: &Request<'_>, workspaces: &Workspaces) -> Accepted {
    // Nearly no body has the word, and this is asked of each of them.
    if memchr::memmem::find(request.body, IN_BODY.as_bytes()).is_none()
        || accepted.headers.iter().any(|(name, _)| is_load_label(name))
    {
        return accepted;
    }
    if is_load(&accepted, request, workspaces) {
        accepted.headers.push((IN_BODY.to_owned(), "true".to_owned()));
    }
    accepted
}

/// The label is read where the normalizer reads it, so that the two can't disagree.
fn is_load(accepted: &Accepted, request: &Request<'_>, workspaces: &Workspaces) -> bool {
    let Some(workspace) = workspaces.get(accepted.workspace.as_str()) else { return false };
    let headers: Vec<_> =
        accepted.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let items = normalize(&Raw {
        source: accepted.source,
        workspace,
        received_at: request.received_at,
        partition: 0,
        offset: 0,
        headers: &headers,
        body: accepted.body.as_deref().unwrap_or(request.body),
    });
    let items = items.unwrap_or_default();
    let mut events = items.iter().flatten().peekable();
    events.peek().is_some() && events.all(|event| event.origin.kind == IN_BODY)
}
