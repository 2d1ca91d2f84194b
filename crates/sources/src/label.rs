//! Which deliveries travel on a lane of their own (R13): loads of old records, which wait so that they delay nothing
//! that is live, and tests, which wait for nobody.
//!
//! A request labels a load in a header. A body does so in each of its items, in a place that differs by source, and
//! whether something is a test depends on the settings, too: whoever accepts a body notes both in headers of the
//! record, so that the lane is known without the body.

use crate::http::{Accepted, BACKFILL, IMPORT, Request};
use crate::{Raw, Workspace, Workspaces, normalize};

/// True for a stored header that labels a load.
pub fn is_load_label(name: &str) -> bool {
    name == LOAD || [BACKFILL, IMPORT].iter().any(|label| name.strip_prefix("http.") == Some(label))
}

/// True for a stored header that says that everything in a delivery is a test.
pub fn is_test_label(name: &str) -> bool {
    name == TEST
}

/// The header that repeats a label which the body gives itself.
const LOAD: &str = "backfill";

/// The header that says what became of `test: true`, `livemode: false` and the test accounts.
const TEST: &str = "qa";

/// Adds [`LOAD`] or [`TEST`] where every item of the body is one. A batch that has a live event isn't held back, nor
/// let through first, for the others.
pub(crate) fn told(mut accepted: Accepted, request: &Request<'_>, workspaces: &Workspaces) -> Accepted {
    if accepted.headers.iter().any(|(name, _)| is_load_label(name)) {
        return accepted;
    }
    let Some(workspace) = workspaces.get(accepted.workspace.as_str()) else { return accepted };
    // Nearly no body is either, and this is asked of each of them: it is read only where it looks like one.
    let may_be_load = contains(request.body, LOAD);
    if !may_be_load && !may_be_test(workspace, request) {
        return accepted;
    }
    let (is_load, is_test) = read(&accepted, request, workspace);
    if is_load {
        accepted.headers.push((LOAD.to_owned(), "true".to_owned()));
    } else if is_test {
        accepted.headers.push((TEST.to_owned(), "true".to_owned()));
    }
    accepted
}

fn contains(body: &[u8], text: &str) -> bool {
    memchr::memmem::find(body, text.as_bytes()).is_some()
}

fn may_be_test(workspace: &Workspace, request: &Request<'_>) -> bool {
    let marked = workspace.is_production()
        && (is_set(request.body, "\"test\"", b't') || is_set(request.body, "\"livemode\"", b'f'));
    marked || workspace.test_accounts.may_be_named(request.path.as_bytes(), request.body)
}

/// Whether a key stands before a value that begins like that.
fn is_set(body: &[u8], key: &str, first: u8) -> bool {
    memchr::memmem::find_iter(body, key.as_bytes()).any(|at| {
        let rest = body.get(at + key.len()..).unwrap_or_default().trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|value| value.trim_ascii_start().first() == Some(&first))
    })
}

/// What the normalizer will make of it, so that the two can't disagree: whether all is a load, and all is a test.
fn read(accepted: &Accepted, request: &Request<'_>, workspace: &Workspace) -> (bool, bool) {
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
    let any = items.iter().any(Result::is_ok);
    let mut events = items.iter().flatten();
    let is_load = any && events.clone().all(|event| event.origin.kind == LOAD);
    (is_load, any && events.all(|event| event.qa))
}
