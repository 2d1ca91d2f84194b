//! Paths, methods and the answers that belong to no body.

use commerce::Source;
use http::Method;
use sources::{route, too_large, unavailable, unreadable_body};

#[test]
fn a_path_leads_to_its_source_and_limit() {
    for (path, source) in [
        ("/webhooks/shopify", Source::Shopify),
        ("/webhooks/shopify/orders/create", Source::Shopify),
        ("/transform-webhook-data", Source::Lifesight),
    ] {
        let route = route(&Method::POST, path).unwrap();
        assert_eq!((route.source, route.body_limit), (source, 5 * 1024 * 1024));
    }
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let reply = route(&Method::POST, "/nowhere").unwrap_err();
    assert_eq!((reply.status, reply.body.as_str(), reply.allow), (404, r#"{"error":"not found"}"#, None));
    let reply = route(&Method::GET, "/transform-webhook-data").unwrap_err();
    assert_eq!((reply.status, reply.body.as_str()), (405, r#"{"error":"method not allowed"}"#));
    assert_eq!(reply.allow, Some("POST"));
}

#[test]
fn errors_have_the_shape_of_their_source() {
    assert_eq!(too_large(Source::Shopify, "c-1").body, r#"{"error":"payload too large"}"#);
    assert_eq!(too_large(Source::Lifesight, "c-1").body, r#"{"success":false,"error":"payload too large"}"#);
    assert_eq!(too_large(Source::Shopify, "c-1").status, 413);
    for source in [Source::Shopify, Source::Lifesight] {
        let reply = unavailable(source, "c-1");
        assert_eq!(reply.status, 503);
        assert!(reply.retry_after.is_some() && reply.body.contains(r#""error":"unavailable""#));
        assert_eq!(unreadable_body(source, "c-1").status, 400);
    }
}
