//! Whose key it is.

use crate::present::Presented;
use crate::workspace::WorkspaceConfig;
use commerce::ReceivedTime;
use commerce::{Mark, Source};

use crate::http::Request;
use crate::workspace::{Workspace, Workspaces};

/// The tenant of the Bearer key, and a mark of the key by which its requests are counted.
pub(super) fn tenant<'w>(request: &Request<'_>, workspaces: &'w Workspaces) -> Option<(&'w Workspace, Mark)> {
    let (scheme, key) = request.header("authorization")?.trim().split_once(' ')?;
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let (workspace, _) = workspaces.by_key(Source::Sequenzy, key)?;
    Some((workspace, Mark::of(&[b"sequenzy", b"key", key.as_bytes()])))
}

/// What a sender of this source puts into its requests.
pub(super) fn present(workspace: &WorkspaceConfig, _: &[u8], _: ReceivedTime) -> Option<Presented> {
    Presented::bearer(&workspace.sequenzy.as_ref()?.keys)
}
