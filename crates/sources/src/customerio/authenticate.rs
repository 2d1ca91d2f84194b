//! Whose credentials they are: HTTP Basic, `site_id:api_key`.

use crate::present::Presented;
use crate::workspace::WorkspaceConfig;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use commerce::ReceivedTime;
use commerce::{Mark, Source};

use crate::http::Request;
use crate::workspace::{Workspace, Workspaces};

/// Tolerant of padding and of what is left in the last character: a lookup follows, which isn't.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The tenant of the credentials, and the mark by which their requests are counted.
pub(super) fn tenant<'w>(request: &Request<'_>, workspaces: &'w Workspaces) -> Option<(&'w Workspace, Mark)> {
    let (scheme, encoded) = request.header("authorization")?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // The Go client writes the URL-safe alphabet, everybody else the standard one; no text is valid in both ways with
    // different meanings.
    let standard: String = encoded
        .trim()
        .chars()
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let credentials = String::from_utf8(BASE64.decode(standard).ok()?).ok()?;
    let (workspace, _) = workspaces.by_key(Source::Customerio, &credentials)?;
    Some((workspace, Mark::of(&[b"customerio", credentials.as_bytes()])))
}

/// What a sender of this source puts into its requests.
pub(super) fn present(workspace: &WorkspaceConfig, _: &[u8], _: ReceivedTime) -> Option<Presented> {
    let credential = workspace.customerio.as_ref()?.credentials.first()?;
    Some(Presented::basic(&credential.site_id, &credential.api_key))
}
