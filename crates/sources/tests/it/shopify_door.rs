//! Who may come in, and what is stored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::Reason;
use sources::workspace::{Secret, ShopConfig};
use sources::{WorkspaceConfig, Workspaces};

use crate::fixture::*;

fn signed_with(workspaces: &Workspaces, signature: &str, body: &[u8]) -> sources::Decision {
    post(workspaces, CREATE, None, &[("x-shopify-hmac-sha256", signature)], body)
}

#[test]
fn shop_c01_a_correct_hmac_is_answered_200_ok_true() {
    let accepted = accepted(shopify(CREATE, &[], b"{}"));
    assert_eq!((accepted.reply.status, accepted.reply.body.as_str()), (200, r#"{"ok":true}"#));
    assert_eq!((accepted.workspace.as_str(), accepted.verdict), ("demo", "hmac"));
}

#[test]
fn shop_c02_a_wrong_missing_or_hex_encoded_hmac_is_401_and_leaves_nothing() {
    let body = br#"{"id":1}"#;
    let right = sign(SECRET, body);
    let without_padding = STANDARD.encode(&right).trim_end_matches('=').to_owned();
    let of_nothing = STANDARD.encode(sign(SECRET, b""));
    for signature in [
        hex::encode(&right),
        hex::encode(&right).to_uppercase(),
        without_padding,
        of_nothing,
        "%%%".into(),
        String::new(),
    ] {
        let refused = refused(signed_with(&workspaces(), &signature, body));
        assert_eq!((refused.reason, refused.reply.status), (Reason::BadSignature, 401), "{signature}");
        assert_eq!(refused.reply.body, r#"{"error":"invalid signature"}"#);
        assert_eq!(refused.letter, None);
    }
    assert_eq!(refused(post(&workspaces(), CREATE, None, &[], body)).reply.status, 401);
}

#[test]
fn shop_c03_one_byte_of_white_space_after_signing_is_401() {
    let signature = STANDARD.encode(sign(SECRET, br#"{"id":1}"#));
    assert_eq!(accepted(signed_with(&workspaces(), &signature, br#"{"id":1}"#)).reply.status, 200);
    assert_eq!(refused(signed_with(&workspaces(), &signature, br#"{"id": 1}"#)).reply.status, 401);
}

#[test]
fn shop_c04_the_test_vector_verifies_and_so_does_a_second_secret() {
    let shop = |secrets: &[&str]| WorkspaceConfig {
        shopify: vec![ShopConfig {
            shop: "acme.myshopify.com".into(),
            secrets: secrets.iter().map(|secret| Secret::new(*secret)).collect(),
        }],
        ..WorkspaceConfig::new("acme")
    };
    let vector = "B23tXN681gZ0qIWNRrgtzBE9XSDo5yaUu6wfmhu3a7g=";
    for secrets in [&["test_secret_key"][..], &["new", "test_secret_key"]] {
        let workspaces = Workspaces::from_configs([shop(secrets)]).unwrap();
        assert_eq!(
            accepted(signed_with(&workspaces, vector, br#"{"foo": "bar"}"#)).workspace.as_str(),
            "acme"
        );
    }
}

#[test]
fn shop_c04_what_pythons_hmac_signs_verifies() {
    // base64.b64encode(hmac.new(b"hush", body, hashlib.sha256).digest()), the form of Shopify's own examples.
    let acme = WorkspaceConfig {
        shopify: vec![ShopConfig { shop: "acme.myshopify.com".into(), secrets: vec![Secret::new("hush")] }],
        ..WorkspaceConfig::new("acme")
    };
    let workspaces = Workspaces::from_configs([acme]).unwrap();
    let utf8 = "{\"id\":820982911946154508,\"email\":\"jon@example.com\",\"note\":\"Zo\u{eb} \u{2013} \u{1f6d2}\",\"total_price\":\"409.94\"}\n";
    let escaped = r#"{"id":820982911946154508,"note":"Zo\u00eb \/ 1","total_price":"409.94"}"#;
    for (body, signature) in [
        (utf8, "QmClcOqXqCJGL0qE3cHEnp/fNTUdHpeyZqTr+AxZofo="),
        (escaped, "cLYTV4V/c81k9CqdbhW0J2IQaLb0kZJ3wUnhqcLgTXU="),
    ] {
        assert_eq!(accepted(signed_with(&workspaces, signature, body.as_bytes())).workspace.as_str(), "acme");
    }
    let refused =
        refused(signed_with(&workspaces, "cLYTV4V/c81k9CqdbhW0J2IQaLb0kZJ3wUnhqcLgTXU=", utf8.as_bytes()));
    assert_eq!(refused.reply.status, 401);
}

#[test]
fn the_secret_decides_whose_delivery_it_is_and_not_the_unsigned_name_of_the_shop() {
    let acme = WorkspaceConfig {
        shopify: vec![ShopConfig {
            shop: "acme.myshopify.com".into(),
            secrets: vec![Secret::new("acme-secret")],
        }],
        ..WorkspaceConfig::new("acme")
    };
    let workspaces = Workspaces::from_configs([WorkspaceConfig::development(), acme]).unwrap();
    let signature = STANDARD.encode(sign("acme-secret", b"{}"));
    for named in [SHOP, "ACME.myshopify.com", "nobody.example"] {
        let headers = [("x-shopify-hmac-sha256", signature.as_str()), ("x-shopify-shop-domain", named)];
        let accepted = accepted(post(&workspaces, CREATE, None, &headers, b"{}"));
        assert_eq!(accepted.workspace.as_str(), "acme", "{named}");
        assert!(accepted.headers.contains(&("space".into(), "acme.myshopify.com".into())));
    }
}

#[test]
fn what_is_stored_beside_the_body_holds_no_secret() {
    let headers = [
        ("x-shopify-topic", "orders/create"),
        ("x-shopify-shop-domain", SHOP),
        ("x-shopify-webhook-id", "w1"),
        ("content-type", "application/json"),
        ("user-agent", "Shopify-Captain-Hook"),
        ("tillstream-backfill", "2025"),
        ("authorization", "Bearer hidden"),
        ("cookie", "hidden"),
    ];
    let stored = accepted(shopify(CREATE, &headers, b"{}")).headers;
    for expected in [
        ("path", CREATE),
        ("space", SHOP),
        ("http.x-shopify-topic", "orders/create"),
        ("http.x-shopify-webhook-id", "w1"),
        ("http.content-type", "application/json"),
        ("http.user-agent", "Shopify-Captain-Hook"),
        ("http.tillstream-backfill", "2025"),
    ] {
        assert!(stored.contains(&(expected.0.into(), expected.1.into())), "{expected:?}");
    }
    let printed = format!("{stored:?}");
    assert!(!printed.contains("hidden") && !printed.contains("hmac"), "{printed}");
}

#[test]
fn shop_c05_the_same_delivery_has_the_same_transport_key() {
    let key =
        |headers: &[(&'static str, &str)], body: &[u8]| accepted(shopify(CREATE, headers, body)).delivery;
    let id = |id: &'static str| [("x-shopify-webhook-id", id)];
    assert_eq!(key(&id("a"), b"{}"), key(&id("a"), b"{}"));
    assert_ne!(key(&id("a"), b"{}"), key(&id("b"), b"{}"));
    assert_eq!(key(&[], b"{}"), key(&[], b"{}"));
    assert_ne!(key(&[], b"{}"), key(&[], b"{} "));
    let updated = accepted(shopify("/webhooks/shopify/orders/updated", &[], b"{}")).delivery;
    assert_ne!(key(&[], b"{}"), updated, "without a webhook id the topic is part of the key");
}

#[test]
fn shop_c05_the_same_delivery_sent_ten_times_is_answered_200_ten_times() {
    let body = order().to_string();
    let answers: Vec<_> = (0..10)
        .map(|_| accepted(shopify(CREATE, &[("x-shopify-webhook-id", "w1")], body.as_bytes())))
        .map(|accepted| (accepted.reply.status, accepted.reply.body, accepted.delivery))
        .collect();
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    assert_eq!((answers[0].0, answers[0].1.as_str()), (200, r#"{"ok":true}"#));
}

#[test]
fn shop_c10_an_order_of_nobody_is_answered_200() {
    let body = with(order(), serde_json::json!({"email": null, "customer": null})).to_string();
    assert_eq!(accepted(shopify(CREATE, &[], body.as_bytes())).reply.body, r#"{"ok":true}"#);
}

#[test]
fn shop_c21_a_signed_body_that_is_no_json_is_answered_200() {
    let accepted = accepted(shopify(CREATE, &[], b"not json"));
    assert_eq!((accepted.reply.status, accepted.reply.body.as_str()), (200, r#"{"ok":true}"#));
}

#[test]
fn shop_c22_what_cannot_be_committed_or_is_too_large_has_its_answer() {
    let reply = sources::unavailable(commerce::Source::Shopify, "c-1");
    assert_eq!((reply.status, reply.body.as_str()), (503, r#"{"error":"unavailable"}"#));
    assert_eq!(reply.retry_after, Some(5));
    let reply = sources::too_large(commerce::Source::Shopify, "c-1");
    assert_eq!((reply.status, reply.body.as_str()), (413, r#"{"error":"payload too large"}"#));
}

#[test]
fn any_topic_and_any_body_are_answered_200_when_the_signature_is_right() {
    for path in ["/webhooks/shopify", CREATE, "/webhooks/shopify/app/uninstalled"] {
        for body in [&b"{}"[..], b"not json", b"", b"\xff"] {
            assert_eq!(accepted(shopify(path, &[], body)).reply.status, 200);
        }
    }
}
