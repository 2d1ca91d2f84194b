//! No bytes make a push panic, and what the door lets in is read.

use commerce::Source;
use serde_json::json;
use sources::{Decision, Raw, Workspace};

use crate::any_bytes::{odd_value, places};
use crate::fixture::*;
use crate::sequenzy_door::{CHECKOUTS, ORDERS, least, push};

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn no_body_makes_the_door_panic(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = push(ORDERS, &body);
        let _ = push(CHECKOUTS, &body);
    }

    #[test]
    fn what_passes_the_door_is_always_read(
        changes in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), odd_value()), 1..4),
    ) {
        let mut body = with(least(), json!({
            "orderNumber": "#7", "status": "refunded", "orderedAt": "2026-03-14T12:30:00Z", "refundAmountCents": 1,
            "items": [{"productId": "p", "title": "t", "quantity": 1, "priceCents": 1, "sku": "s"}],
            "customerTotals": {"ordersCount": 1, "totalSpentCents": 2}, "properties": {"a": {"b": 1}, "refundId": 1},
            "checkoutId": "chk-1", "checkoutUrl": "u",
        }));
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            let place = place.get(&found).clone();
            if let Some(target) = body.pointer_mut(&place).filter(|_| !place.is_empty()) {
                *target = value;
            }
        }
        let text = body.to_string();
        for path in [ORDERS, CHECKOUTS] {
            if let Decision::Accept(accepted) = push(path, text.as_bytes()) {
                proptest::prop_assert_eq!(items(&accepted, text.as_bytes()).unwrap().len(), 2);
            }
        }
    }
}

#[test]
fn a_deep_push_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for field in ["customer", "items", "properties", "x"] {
            let deep = format!("{{\"{field}\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
            assert_eq!(refused(push(ORDERS, deep.as_bytes())).reply.status, 400);
        }
    }
}

#[test]
fn a_stored_body_with_a_fault_fails_with_its_first() {
    let workspace = Workspace::development().unwrap();
    let failure = |path: &str, body: &[u8]| {
        let headers = [("path", path)];
        let raw = Raw {
            source: Source::Sequenzy,
            workspace: &workspace,
            received_at: received(NOW),
            partition: 0,
            offset: 0,
            headers: &headers,
            body,
        };
        let failure = sources::normalize(&raw).unwrap_err();
        (failure.reason.code(), failure.field.unwrap_or_default())
    };
    assert_eq!(failure(ORDERS, b"{}"), ("missing_field", "orderId".into()));
    assert_eq!(failure(ORDERS, b"\xff"), ("malformed_json", "body".into()));
    assert_eq!(failure("/elsewhere", b"{}"), ("unsupported_event", "path".into()));
    let long = least().to_string().replace("5000", &"9".repeat(300));
    assert_eq!(failure(ORDERS, long.as_bytes()), ("bad_value", "totalCents".into()));
    let twice = least().to_string().replace("\"totalCents\":5000", "\"totalCents\":1,\"totalCents\":\"x\"");
    assert_eq!(failure(ORDERS, twice.as_bytes()), ("bad_value", "totalCents".into()));
}
