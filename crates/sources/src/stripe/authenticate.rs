//! Who signed it: HMAC-SHA256 over the header's time, a full stop and the exact body, compared in constant time.

use crate::present::{Presented, sign};
use crate::workspace::WorkspaceConfig;
use commerce::{ReceivedTime, time};
use hmac::digest::CtOutput;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::validate::Tenants;
use crate::http::Request;
use crate::workspace::{Workspace, Workspaces};

/// The tenant whose secret signed the request, not longer ago than it tolerates.
pub(super) fn signer<'w>(
    request: &Request<'_>,
    workspaces: &'w Workspaces,
    tenants: Tenants<'_>,
) -> Option<&'w Workspace> {
    let header = Header::parse(request.header("stripe-signature")?)?;
    let mut asked = workspaces.of_stripe().filter(|(workspace, _)| match tenants {
        Tenants::All => true,
        Tenants::One(id) => workspace.id.as_str() == id,
    });
    let (workspace, _) = asked.find(|(_, macs)| macs.iter().any(|mac| header.is_of(mac, request.body)))?;
    let tolerance = workspace.stripe.as_ref()?.tolerance_s;
    header.is_young(request.received_at, tolerance).then_some(workspace)
}

/// `Stripe-Signature`.
struct Header<'a> {
    /// As it was written, since it is a part of what is signed.
    timestamp: &'a str,
    at: i64,
    signatures: Vec<[u8; 32]>,
}

impl<'a> Header<'a> {
    /// Reads `t=1700000000,v1=…,v1=…`. Other schemes are ignored; without a time or a usable `v1` it is none.
    fn parse(text: &'a str) -> Option<Self> {
        let (mut timestamp, mut signatures) = (None, Vec::new());
        for (key, value) in text.split(',').filter_map(|pair| pair.trim().split_once('=')) {
            match key {
                "t" => timestamp = timestamp.or(Some(value)),
                "v1" => signatures.extend(lower_hex(value)),
                _ => {}
            }
        }
        let timestamp = timestamp.filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
        let at = timestamp.parse().ok()?;
        (!signatures.is_empty()).then_some(Self { timestamp, at, signatures })
    }

    fn is_of(&self, secret: &Hmac<Sha256>, body: &[u8]) -> bool {
        let signed = secret.clone().chain_update(self.timestamp).chain_update(b".").chain_update(body);
        let expected = signed.finalize();
        self.signatures.iter().any(|signature| expected == CtOutput::new((*signature).into()))
    }

    /// A time ahead of ours passes, as it does in Stripe's own libraries.
    fn is_young(&self, now: ReceivedTime, tolerance_s: u32) -> bool {
        let oldest = now.0.saturating_sub(i64::from(tolerance_s) * time::SECOND);
        tolerance_s == 0 || self.at.saturating_mul(time::SECOND) >= oldest
    }
}

/// 32 bytes in 64 lower-case hexadecimal digits.
fn lower_hex(text: &str) -> Option<[u8; 32]> {
    fn digit(b: u8) -> Option<u8> {
        match b {
            b'0'..=b'9' => Some(b - b'0'),
            b'a'..=b'f' => Some(b - b'a' + 10),
            _ => None,
        }
    }
    if text.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// What a sender of this source puts into its requests.
pub(super) fn present(workspace: &WorkspaceConfig, body: &[u8], now: ReceivedTime) -> Option<Presented> {
    let seconds = now.0.div_euclid(time::SECOND).to_string();
    let signature = sign(workspace.stripe.as_ref()?.secrets.first()?, &[seconds.as_bytes(), b".", body])?;
    let signature: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(Presented::Header("stripe-signature", format!("t={seconds},v1={signature}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNATURE: &str = "13941114bb88ac44a76abcfddea5b92aa6182a4b63d8be3aae908a616083bd7e";

    fn holds(header: &str, body: &[u8]) -> bool {
        let secret = Hmac::new_from_slice(b"whsec_test_secret").unwrap();
        Header::parse(header).is_some_and(|header| header.is_of(&secret, body))
    }

    #[test]
    fn the_vector_of_the_contract_holds_and_nothing_near_it_does() {
        let body = br#"{"id":"evt_test"}"#;
        assert!(holds(&format!("t=1700000000,v1={SIGNATURE}"), body));
        assert!(holds(&format!("v0=x, v1={SIGNATURE} ,t=1700000000,t=1"), body));
        for header in [
            format!("t=1700000001,v1={SIGNATURE}"),
            format!("t=+1700000000,v1={SIGNATURE}"),
            format!("t=01700000000,v1={SIGNATURE}"),
            format!("t=1700000000,v1={}", SIGNATURE.to_uppercase()),
            format!("t=1700000000,v1={SIGNATURE}00"),
            format!("t=1700000000,v0={SIGNATURE}"),
            format!("v1={SIGNATURE}"),
            format!("t=,v1={SIGNATURE}"),
            "t=1700000000,v1=".to_owned(),
            String::new(),
        ] {
            assert!(!holds(&header, body), "{header}");
        }
        assert!(!holds(&format!("t=1700000000,v1={SIGNATURE}"), br#"{"id":"evt_test"} "#));
    }
}
