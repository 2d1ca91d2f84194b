//! How senders open a door: what the documentation, the benchmarks and the taxonomy put into their requests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::workspace::Secret;

/// What a sender puts into a request beside the body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Presented {
    /// A header, by its name in lower case.
    Header(&'static str, String),
    /// A parameter of the query.
    Query(&'static str, String),
}

impl Presented {
    /// The first of some keys, as a Bearer token.
    pub(crate) fn bearer(keys: &[Secret]) -> Option<Self> {
        let key = keys.first()?.expose();
        Some(Self::Header("authorization", format!("Bearer {key}")))
    }

    /// A name and a password.
    pub(crate) fn basic(name: &str, password: &Secret) -> Self {
        let both = STANDARD.encode(format!("{name}:{}", password.expose()));
        Self::Header("authorization", format!("Basic {both}"))
    }
}

/// HMAC-SHA256 of what is signed, under a secret as it is written.
pub(crate) fn sign(secret: &Secret, parts: &[&[u8]]) -> Option<Vec<u8>> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    let mac = parts.iter().fold(mac, |mac, part| mac.chain_update(part));
    Some(mac.finalize().into_bytes().to_vec())
}
