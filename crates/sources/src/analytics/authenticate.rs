//! Whose key it is, and of which kind.

use crate::present::Presented;
use crate::workspace::WorkspaceConfig;
use commerce::ReceivedTime;
use commerce::{Mark, Source};

use super::IDEMPOTENCY_KEY;
use crate::http::Request;
use crate::workspace::{Key, Workspace, Workspaces};

/// Whoever sent a request.
pub(crate) struct Caller<'w> {
    pub(crate) workspace: &'w Workspace,
    /// A secret key: it opens everything and stays on servers.
    pub(crate) is_secret: bool,
    /// What rates are counted by.
    pub(super) credential: Mark,
}

/// Finds the tenant of the key: that of `X-API-Key`, else the bearer token, else the one in the body. The first that
/// is there decides, known or not.
pub(crate) fn caller<'w>(
    request: &Request<'_>,
    workspaces: &'w Workspaces,
    in_body: Option<&str>,
) -> Option<Caller<'w>> {
    let named = request.header("x-api-key").map(str::trim).filter(|key| !key.is_empty());
    let key = named.or_else(|| bearer(request)).or(in_body)?;
    let (workspace, kind) = workspaces.by_key(Source::Analytics, key)?;
    let credential = Mark::of(&[b"analytics", b"credential", key.as_bytes()]);
    Some(Caller { workspace, is_secret: *kind == Key::Full, credential })
}

fn bearer<'a>(request: &Request<'a>) -> Option<&'a str> {
    let (scheme, token) = request.header("authorization")?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The key by which the sender recognises a request that it sends again.
pub(super) fn idempotency_key<'a>(request: &Request<'a>) -> Option<&'a str> {
    request.header(IDEMPOTENCY_KEY).map(str::trim).filter(|key| !key.is_empty())
}

/// What a sender of this source puts into its requests.
pub(crate) fn present(workspace: &WorkspaceConfig, _: &[u8], _: ReceivedTime) -> Option<Presented> {
    let key = workspace.analytics.secret_keys.first()?;
    Some(Presented::Header("x-api-key", key.expose().to_owned()))
}
