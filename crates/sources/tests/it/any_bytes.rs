//! No bytes make a source panic, and what the door lets in is read or fails with a reason.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fixture::*;

const TOPICS: [&str; 10] = [
    "orders/create",
    "orders/updated",
    "orders/cancelled",
    "refunds/create",
    "orders/edited",
    "checkouts/create",
    "checkouts/update",
    "customers/update",
    "customers/delete",
    "customers/redact",
];
const EVENTS: [&str; 5] =
    ["orders_create", "orders_paid", "orders_cancelled", "checkouts_update", "customers_create"];

fn everything_reads(body: &[u8]) {
    for topic in TOPICS {
        let _ = Delivery::shopify(topic).read(body);
        let _ = shopify(&format!("/webhooks/shopify/{topic}"), &[], body);
    }
    for name in EVENTS {
        let _ = Delivery::lifesight(name).read(body);
        let _ = lifesight(name, body);
    }
}

pub(crate) fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[], {}, null, 1])),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!(18446744073709551615_u64)),
        Just(json!("gid://")),
        Just(json!("#")),
        Just(json!("9999-12-31T23:59:59.999999999+23:59")),
        Just(json!("-009999-01-01T00:00:00Z")),
        Just(json!("99999999999999999999.99")),
        any::<i64>().prop_map(|n| json!(n)),
        ".{0,20}".prop_map(|text| json!(text)),
        "[+0-9() -]{0,20}".prop_map(|text| json!(text)),
    ]
}

/// All places of a value that can be replaced.
pub(crate) fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, format!("{at}/{key}"), found)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| places(value, format!("{at}/{i}"), found))
        }
        _ => {}
    }
    found.push(at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        everything_reads(&body);
    }

    #[test]
    fn a_damaged_order_never_makes_it_panic(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = SHOPIFY_EXAMPLE.as_bytes().to_vec();
        let place = place.index(body.len());
        body[place] = byte;
        if cut {
            body.truncate(place);
        }
        everything_reads(&body);
    }

    #[test]
    fn an_order_with_odd_values_never_makes_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), odd_value()), 1..5),
    ) {
        let refund = json!([{"id": 1, "created_at": "2026-03-14T10:00:00Z", "transactions": [{"amount": "1", "currency": "USD"}]}]);
        let mut body = with(serde_json::from_str(LIFESIGHT_EXAMPLE).unwrap(), json!({"refunds": refund}));
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            let place = place.get(&found).clone();
            if let Some(target) = body.pointer_mut(&place).filter(|_| !place.is_empty()) {
                *target = value;
            }
        }
        everything_reads(body.to_string().as_bytes());
    }

    #[test]
    fn a_checkout_or_customer_with_odd_values_never_makes_it_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), odd_value()), 1..5),
        is_checkout in any::<bool>(),
    ) {
        let customer: Value = serde_json::from_str(CUSTOMER).unwrap();
        let mut body = if is_checkout {
            with(serde_json::from_str(CHECKOUT).unwrap(), json!({"customer": customer, "completed_at": NOW}))
        } else {
            with(customer.clone(), json!({"customer": customer, "orders_to_redact": [1]}))
        };
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            let place = place.get(&found).clone();
            if let Some(target) = body.pointer_mut(&place).filter(|_| !place.is_empty()) {
                *target = value;
            }
        }
        everything_reads(body.to_string().as_bytes());
    }

    #[test]
    fn no_query_and_no_signature_make_the_door_panic(query in ".{0,80}", signature in "[ -~]{0,80}") {
        let _ = post(&workspaces(), "/transform-webhook-data", Some(&query), &[], b"{}");
        let _ = post(&workspaces(), CREATE, None, &[("x-shopify-hmac-sha256", &signature)], b"{}");
    }

    #[test]
    fn what_has_passed_the_door_as_an_order_has_the_required_fields(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), odd_value()), 0..3),
    ) {
        let mut body: Value = serde_json::from_str(LIFESIGHT_EXAMPLE).unwrap();
        for (place, value) in changes {
            let fields: Vec<String> = body.as_object().unwrap().keys().cloned().collect();
            body[place.get(&fields)] = value;
        }
        let text = body.to_string();
        if let sources::Decision::Accept(_) = lifesight("orders_create", text.as_bytes())
            && let Err(failure) = Delivery::lifesight("orders_create").read(text.as_bytes())
        {
            let field = failure.field.clone().unwrap_or_default();
            let required = ["id", "created_at", "currency", "total_price", "email", "body"];
            prop_assert!(!required.contains(&field.as_str()), "{failure} in {text}");
        }
    }
}

#[test]
fn a_deep_body_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        everything_reads(deep.as_bytes());
        let deep = format!("{{\"customer\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        everything_reads(deep.as_bytes());
    }
}

#[test]
fn bodies_that_no_library_writes_are_read_or_refused() {
    let digits = "9".repeat(300);
    for value in [
        digits.as_str(),
        "-0",
        "1E400",
        "0.1e-5",
        "18446744073709551616",
        "\"9007199254740993\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"9999-12-31T23:59:60Z\"",
    ] {
        for field in [
            "id",
            "token",
            "total_price",
            "updated_at",
            "completed_at",
            "orders_count",
            "total_spent",
            "tags",
            "accepts_marketing",
            "abandoned_checkout_url",
        ] {
            let body = format!(
                r#"{{"id":1,"id":2,"currency":"USD","total_price":"1","created_at":"2026-03-14T10:00:00Z","{field}":{value},"customer":{{"{field}":{value}}}}}"#
            );
            everything_reads(body.as_bytes());
        }
    }
    let twice = br#"{"id":1,"id":9007199254740993,"created_at":"2026-03-14T10:00:00Z","email":"a@b.c"}"#;
    assert_eq!(Delivery::shopify("customers/create").read(twice).unwrap().entity.id, "9007199254740993");
}
