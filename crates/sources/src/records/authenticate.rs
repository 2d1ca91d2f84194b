//! Whose token it is, and what it opens.

use crate::present::Presented;
use crate::workspace::WorkspaceConfig;
use commerce::ReceivedTime;
use commerce::{Mark, Source};

use crate::http::Request;
use crate::workspace::{Key, Workspace, Workspaces};

/// The tenant of a bearer token.
pub(super) struct Bearer<'w> {
    pub(super) workspace: &'w Workspace,
    key: &'w Key,
    /// Stands for the token wherever it has to be told from others: what is stored holds no secret.
    pub(super) credential: Mark,
}

impl Bearer<'_> {
    /// True where the token opens the object.
    pub(super) fn opens(&self, object: &str) -> bool {
        match self.key {
            Key::Full => true,
            Key::Object(only) => only == object,
            Key::Publishable => false,
        }
    }
}

/// The tenant of the `Authorization` header. `None`: no token, or one that nobody has.
pub(super) fn bearer<'w>(request: &Request<'_>, workspaces: &'w Workspaces) -> Option<Bearer<'w>> {
    let (scheme, token) = request.header("authorization")?.trim().split_once(' ')?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return None;
    }
    let (workspace, key) = workspaces.by_key(Source::Records, token)?;
    let credential = Mark::of(&[b"records credential", workspace.id.as_str().as_bytes(), token.as_bytes()]);
    Some(Bearer { workspace, key, credential })
}

/// What a sender of this source puts into its requests.
pub(super) fn present(workspace: &WorkspaceConfig, _: &[u8], _: ReceivedTime) -> Option<Presented> {
    Presented::bearer(&workspace.records.as_ref()?.keys)
}
