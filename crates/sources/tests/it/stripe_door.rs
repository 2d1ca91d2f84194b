//! Whose signature is accepted, and what a signed body is answered.

use commerce::{Reason, Source};
use serde_json::{Value, json};
use sources::meter::Unmetered;
use sources::workspace::{Secret, StripeConfig};
use sources::{Decision, WorkspaceConfig, Workspaces};

use crate::any_bytes::{odd_value, places};
use crate::fixture::*;
use crate::stripe_events::invoice_event;

const PATH: &str = "/webhooks/stripe/payment";
/// [`NOW`] in Unix seconds.
const T: i64 = 1_773_504_000;
const BODY: &[u8] = br#"{"id":"evt_1","object":"event","type":"customer.created"}"#;

fn v1(secret: &str, t: i64, body: &[u8]) -> String {
    let mut signed = format!("{t}.").into_bytes();
    signed.extend_from_slice(body);
    hex::encode(sign(secret, &signed))
}

fn at_path(workspaces: &Workspaces, path: &str, header: &str, body: &[u8]) -> Decision {
    post(workspaces, path, None, &[("stripe-signature", header), ("content-type", "application/json")], body)
}

fn with_header(header: &str) -> Decision {
    at_path(&workspaces(), PATH, header, BODY)
}

fn signed(body: &[u8]) -> Decision {
    at_path(&workspaces(), PATH, &format!("t={T},v1={}", v1("whsec_dev", T, body)), body)
}

fn configured(id: &str, secrets: &[&str], tolerance_s: u32) -> WorkspaceConfig {
    let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
    WorkspaceConfig { stripe: Some(StripeConfig { secrets, tolerance_s }), ..WorkspaceConfig::new(id) }
}

fn is_invalid_signature(decision: Decision) -> bool {
    let refused = refused(decision);
    refused.reply.status == 400
        && refused.reply.body == r#"{"error":"invalid signature"}"#
        && refused.letter.is_none()
        && refused.reason == Reason::BadSignature
}

#[test]
fn str_c01_a_signed_event_is_answered_200_ok_at_both_addresses() {
    let body = invoice_event("invoice.payment_succeeded", json!({})).to_string();
    let header = format!("t={T},v1={}", v1("whsec_dev", T, body.as_bytes()));
    for path in [PATH, "/webhooks/stripe", "/webhooks/stripe/demo"] {
        let accepted = accepted(at_path(&workspaces(), path, &header, body.as_bytes()));
        assert_eq!((accepted.reply.status, accepted.reply.body.as_str()), (200, r#"{"ok":true}"#), "{path}");
        assert_eq!((accepted.source, accepted.workspace.as_str()), (Source::Stripe, "demo"));
        assert_eq!((accepted.verdict, accepted.body), ("hmac", None));
    }
}

#[test]
fn str_c02_what_is_not_signed_is_400_and_leaves_nothing() {
    let right = v1("whsec_dev", T, BODY);
    for header in [
        String::new(),
        format!("v1={right}"),
        format!("t={T}"),
        format!("t={T},v1="),
        format!("t={T},v1={}", v1("another", T, BODY)),
        format!("t={T},v1={}", v1("whsec_dev", T, b"{}")),
        format!("t={},v1={right}", T + 1),
        format!("t=now,v1={right}"),
        format!("t=99999999999999999999,v1={right}"),
        format!("t={T};v1={right}"),
        format!("t={T},v1={}", right.to_uppercase()),
    ] {
        assert!(is_invalid_signature(with_header(&header)), "{header}");
    }
    assert!(is_invalid_signature(post(&workspaces(), PATH, None, &[], BODY)));
    let shopifys = [("x-shopify-hmac-sha256", right.as_str())];
    assert!(is_invalid_signature(post(&workspaces(), PATH, None, &shopifys, BODY)));
}

#[test]
fn str_c03_any_right_v1_is_enough_and_no_v0_is() {
    let (right, wrong) = (v1("whsec_dev", T, BODY), "0".repeat(64));
    for header in [
        format!("t={T},v1={wrong},v1={right}"),
        format!("t={T},v1={right},v1={wrong}"),
        format!("t={T},v1=short,v0={wrong},v1={right}"),
        format!("v1={right},t={T}"),
    ] {
        assert_eq!(accepted(with_header(&header)).reply.status, 200, "{header}");
    }
    for header in [format!("t={T},v0={right}"), format!("t={T},v0={right},v1={wrong}")] {
        assert!(is_invalid_signature(with_header(&header)), "{header}");
    }
}

#[test]
fn str_c04_a_signature_is_young_for_300_seconds_and_may_be_ahead() {
    for (age, fine) in [(299, true), (300, true), (301, false), (-60, true), (-86_400, true), (T, false)] {
        let t = T - age;
        let decision = with_header(&format!("t={t},v1={}", v1("whsec_dev", t, BODY)));
        if fine {
            assert_eq!(accepted(decision).reply.status, 200, "{age}");
        } else {
            assert!(is_invalid_signature(decision), "{age}");
        }
    }
    let patient = Workspaces::from_configs([configured("a", &["s"], 3600)]).unwrap();
    for (age, fine) in [(3600, true), (3601, false)] {
        let header = format!("t={},v1={}", T - age, v1("s", T - age, BODY));
        assert_eq!(matches!(at_path(&patient, PATH, &header, BODY), Decision::Accept(_)), fine, "{age}");
    }
}

#[test]
fn str_c05_the_vector_of_the_contract_verifies_with_the_tolerance_off() {
    let signature = "13941114bb88ac44a76abcfddea5b92aa6182a4b63d8be3aae908a616083bd7e";
    let header = format!("t=1700000000,v1={signature}");
    let body = br#"{"id":"evt_test"}"#;
    let timeless = Workspaces::from_configs([configured("a", &["whsec_test_secret"], 0)]).unwrap();
    // It has no type, so what is refused is the body and not the signature.
    let found = refused(at_path(&timeless, PATH, &header, body));
    assert_eq!(found.reply.body, r#"{"error":"invalid payload"}"#);
    let strict = Workspaces::from_configs([configured("a", &["whsec_test_secret"], 300)]).unwrap();
    assert!(is_invalid_signature(at_path(&strict, PATH, &header, body)));
}

/// Made with `stripe` 16.1.0 of PyPI: `WebhookSignature.generate_signature_header(body, "whsec_dev", 1773504000)`.
#[test]
fn a_signature_of_stripes_own_library_is_accepted() {
    let header = "t=1773504000,v1=5d5895007f43204926adeaaa4458bf1fa428b7abe754672af60fbfd209224edd";
    let body = r#"{"id":"evt_1PgafmB7WZ01zgkW6dKueIc5","object":"event","type":"customer.created","note":"größer ✓"}"#;
    assert_eq!(accepted(at_path(&workspaces(), PATH, header, body.as_bytes())).workspace.as_str(), "demo");
}

#[test]
fn every_secret_of_a_rotation_is_good_and_names_its_workspace() {
    let configs = [configured("a", &["old", "new"], 300), configured("b", &["other"], 300)];
    let workspaces = Workspaces::from_configs(configs).unwrap();
    let by = |secret: &str, path: &str| {
        at_path(&workspaces, path, &format!("t={T},v1={}", v1(secret, T, BODY)), BODY)
    };
    for (secret, tenant) in [("old", "a"), ("new", "a"), ("other", "b")] {
        assert_eq!(accepted(by(secret, PATH)).workspace.as_str(), tenant);
        assert_eq!(accepted(by(secret, &format!("/webhooks/stripe/{tenant}"))).workspace.as_str(), tenant);
    }
    for (secret, path) in
        [("other", "/webhooks/stripe/a"), ("old", "/webhooks/stripe/b"), ("old", "/webhooks/stripe/nobody")]
    {
        assert!(is_invalid_signature(by(secret, path)), "{secret} at {path}");
    }
}

#[test]
fn str_c17_a_type_that_is_not_used_is_answered_200() {
    for r#type in ["customer.created", "payout.paid", "x"] {
        let body = json!({"id": "evt_1", "type": r#type}).to_string();
        assert_eq!(accepted(signed(body.as_bytes())).reply.body, r#"{"ok":true}"#, "{type}");
    }
}

#[test]
fn str_c20_a_thin_event_is_400_and_kept() {
    let body = json!({"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found"});
    let refused = refused(signed(body.to_string().as_bytes()));
    assert_eq!((refused.reply.status, refused.reply.body.as_str()), (400, r#"{"error":"invalid payload"}"#));
    let letter = refused.letter.unwrap();
    assert_eq!((letter.workspace.as_str(), letter.verdict), ("demo", "hmac"));
    assert_eq!(
        (letter.failure.reason, letter.failure.field.as_deref()),
        (Reason::UnsupportedEvent, Some("object"))
    );
}

#[test]
fn a_signed_body_that_is_no_event_object_is_400_and_kept_with_its_fault() {
    for (body, reason, field) in [
        ("", Reason::MalformedJson, "body"),
        ("not json", Reason::MalformedJson, "body"),
        ("[]", Reason::MalformedJson, "body"),
        (r#"{"type":"x"}"#, Reason::MissingField, "id"),
        (r#"{"id":null,"type":"x"}"#, Reason::MissingField, "id"),
        (r#"{"id":7,"type":"x"}"#, Reason::BadValue, "id"),
        (r#"{"id":"evt_1"}"#, Reason::MissingField, "type"),
        (r#"{"id":"evt_1","type":["x"]}"#, Reason::BadValue, "type"),
    ] {
        let refused = refused(signed(body.as_bytes()));
        assert_eq!(
            (refused.reply.status, refused.reply.body.as_str()),
            (400, r#"{"error":"invalid payload"}"#),
            "{body}"
        );
        let letter = refused.letter.unwrap();
        assert_eq!((letter.failure.reason, letter.failure.field.as_deref()), (reason, Some(field)), "{body}");
        assert!(!letter.headers.iter().any(|(name, _)| name.contains("signature")));
    }
}

#[test]
fn what_can_not_be_taken_is_answered_in_the_same_shape() {
    let large = sources::too_large(Source::Stripe, "c-1");
    assert_eq!((large.status, large.body.as_str()), (413, r#"{"error":"payload too large"}"#));
    let later = sources::unavailable(Source::Stripe, "c-1");
    assert_eq!((later.status, later.body.as_str()), (503, r#"{"error":"unavailable"}"#));
    assert!(later.retry_after.is_some());
}

#[test]
fn an_address_of_stripe_takes_5_mib_by_post_alone() {
    for path in [PATH, "/webhooks/stripe", "/webhooks/stripe/acme"] {
        let route = sources::route(&http::Method::POST, path).unwrap();
        assert_eq!((route.source, route.body_limit), (Source::Stripe, 5 * 1024 * 1024));
        let refused = sources::route(&http::Method::GET, path).unwrap_err();
        assert_eq!((refused.status, refused.allow), (405, Some("POST")));
    }
    assert_eq!(sources::route(&http::Method::POST, "/webhooks/stripe/").unwrap_err().status, 404);
}

#[test]
fn str_c12_the_transport_key_is_the_event_id_alone() {
    let key = |body: &Value| accepted(signed(body.to_string().as_bytes())).delivery;
    let first = json!({"id": "evt_1", "type": "x"});
    assert_eq!(key(&first), key(&with(first.clone(), json!({"pending_webhooks": 3}))));
    assert_ne!(key(&first), key(&with(first.clone(), json!({"id": "evt_2"}))));
}

#[test]
fn neither_the_signature_nor_the_peer_is_stored() {
    let stored = format!("{:?}", accepted(signed(BODY)).headers);
    assert!(stored.contains("application/json") && stored.contains(PATH), "{stored}");
    assert!(!stored.contains("v1=") && !stored.contains("192.0.2"), "{stored}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_header_makes_the_door_panic(header in "[ -~]{0,120}") {
        assert!(is_invalid_signature(with_header(&header)));
    }

    #[test]
    fn no_body_makes_the_door_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120)) {
        let _ = signed(&body);
    }

    #[test]
    fn what_passes_the_door_is_read_or_fails_with_a_reason(
        changes in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), odd_value()), 1..4),
    ) {
        let mut body = invoice_event("invoice.payment_succeeded", json!({}));
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            let place = place.get(&found).clone();
            if let Some(target) = body.pointer_mut(&place).filter(|_| !place.is_empty()) {
                *target = value;
            }
        }
        let text = body.to_string();
        if let Decision::Accept(accepted) = signed(text.as_bytes()) {
            let _ = items(&accepted, text.as_bytes());
        }
    }
}

#[test]
fn a_deep_signed_body_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!(
            r#"{{"id":"evt_1","type":"invoice.paid","data":{{"object":{{"id":"in_1","metadata":{}1{}}}}}}}"#,
            open.repeat(100_000),
            close.repeat(100_000)
        );
        if let Decision::Accept(accepted) = signed(deep.as_bytes()) {
            let _ = items(&accepted, deep.as_bytes());
        }
    }
    let _ = call(&workspaces(), &Unmetered, &http::Method::POST, PATH, Some("?&=%"), &[], b"\0");
}
