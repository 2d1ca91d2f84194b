//! Whose key it is.

use crate::present::Presented;
use crate::workspace::WorkspaceConfig;
use commerce::ReceivedTime;
use commerce::{Mark, Source};

use crate::http::Request;
use crate::workspace::{Workspace, Workspaces};

/// Why a request is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Denied {
    /// No key, or none that is known.
    UnknownKey,
    /// The key of another workspace than the one named.
    OtherWorkspace,
}

/// The tenant of the `key` parameter, which must be the one that `workspace` names, if it names one; and what the rate
/// of the key is counted by.
pub(super) fn tenant<'w>(
    request: &Request<'_>,
    workspaces: &'w Workspaces,
) -> Result<(&'w Workspace, Mark), Denied> {
    let key = request.parameter("key").ok_or(Denied::UnknownKey)?;
    let (workspace, _) = workspaces.by_key(Source::Lifesight, &key).ok_or(Denied::UnknownKey)?;
    match request.parameter("workspace") {
        Some(named) if named != workspace.id.as_str() => Err(Denied::OtherWorkspace),
        _ => Ok((workspace, Mark::of(&[b"lifesight", b"credential", key.as_bytes()]))),
    }
}

/// What a sender of this source puts into its requests.
pub(super) fn present(workspace: &WorkspaceConfig, _: &[u8], _: ReceivedTime) -> Option<Presented> {
    let key = workspace.lifesight.as_ref()?.keys.first()?;
    Some(Presented::Query("key", key.expose().to_owned()))
}
