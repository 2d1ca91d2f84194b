//! Who signed it: HMAC-SHA256 over the exact body, standard base64, compared in constant time.

use crate::present::{Presented, sign};
use crate::workspace::WorkspaceConfig;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::ReceivedTime;

use crate::http::Request;
use crate::workspace::{Workspace, Workspaces};

/// The tenant and shop whose secret signed the body.
pub(super) fn signer<'w>(
    request: &Request<'_>,
    workspaces: &'w Workspaces,
) -> Option<(&'w Workspace, &'w str)> {
    let signature = STANDARD.decode(request.header("x-shopify-hmac-sha256")?).ok()?;
    // The hexadecimal form is valid base64 too, of 48 bytes.
    if signature.len() != 32 {
        return None;
    }
    workspaces.shop_that_signed(request.header("x-shopify-shop-domain"), request.body, &signature)
}

/// What a sender of this source puts into its requests.
pub(super) fn present(workspace: &WorkspaceConfig, body: &[u8], _: ReceivedTime) -> Option<Presented> {
    let signature = sign(workspace.shopify.first()?.secrets.first()?, &[body])?;
    Some(Presented::Header("x-shopify-hmac-sha256", STANDARD.encode(signature)))
}
