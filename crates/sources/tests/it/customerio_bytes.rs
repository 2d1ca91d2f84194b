//! No bytes make the Track API panic, and what the door takes the normalizer can read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use sources::meter::Unmetered;
use sources::{Accepted, Decision, route};

use crate::fixture::*;

const CALLS: [(&str, &str); 9] = [
    ("PUT", "/api/v1/customers/5"),
    ("DELETE", "/api/v1/customers/5"),
    ("POST", "/api/v1/customers/5/events"),
    ("POST", "/api/v1/events"),
    ("POST", "/api/v1/merge_customers"),
    ("PUT", "/api/v1/customers/5/devices"),
    ("POST", "/unsubscribe/d1"),
    ("POST", "/api/v2/entity"),
    ("POST", "/api/v2/batch"),
];

fn send(method: &str, path: &str, body: &[u8]) -> Decision {
    let authorization = format!("Basic {}", STANDARD.encode("dev-site:dev-track-key"));
    let method: Method = method.parse().unwrap();
    call(&workspaces(), &Unmetered, &method, path, None, &[("authorization", &authorization)], body)
}

/// What the door takes is read without a fault of form; what it doesn't take is read all the same, as after a redrive.
fn everything_reads(body: &[u8]) {
    for (method, path) in CALLS {
        match send(method, path, body) {
            Decision::Accept(accepted) => {
                let found = items(&accepted, body);
                let faults = match found {
                    Ok(items) => {
                        items.into_iter().filter_map(Result::err).map(|fault| fault.failure).collect()
                    }
                    Err(failure) => vec![failure],
                };
                for failure in faults {
                    let about_data = failure.field.as_deref().is_some_and(|field| field.starts_with("data."));
                    assert!(about_data, "{failure} in {}", String::from_utf8_lossy(body));
                }
            }
            Decision::Refuse(refused) => assert!(matches!(refused.reply.status, 207 | 400)),
            Decision::Answer(_) => {}
        }
        let headers = vec![("path".to_owned(), path.to_owned()), ("method".to_owned(), method.to_owned())];
        let mut stored = accepted(send("PUT", "/api/v1/customers/5", b"{}"));
        stored.headers = headers;
        let stored: Accepted = stored;
        let _ = items(&stored, body);
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!([[], {}, null, 1])),
        Just(json!(true)),
        Just(json!(-1)),
        Just(json!(1e300)),
        Just(json!(9007199254740993_u64)),
        Just(json!(18446744073709551615_u64)),
        Just(json!("gid://")),
        Just(json!("cio_")),
        Just(json!("a\u{0}b")),
        Just(json!("9999-12-31T23:59:59.999999999+23:59")),
        Just(json!("-009999-01-01T00:00:00Z")),
        Just(json!("99999999999999999999.99")),
        Just(json!(253_402_300_800_000_u64)),
        any::<i64>().prop_map(|n| json!(n)),
        any::<i64>().prop_map(|n| json!(n.to_string())),
        ".{0,20}".prop_map(|text| json!(text)),
    ]
}

fn example() -> Value {
    let data = json!({
        "order_id": "A", "total": 5, "currency": "USD", "discount": 1, "shipping": 1, "tax": 1, "coupon": "X",
        "line_items": [{"sku": "S", "product_id": "P", "quantity": 1, "price": 5}], "checkout_id": "K", "cart_id": "C",
        "subscription_id": "S", "period_start": 5, "backfill": true, "campaign": "c",
    });
    json!({
        "name": "order_paid", "timestamp": 1_700_000_000, "id": "x", "anonymous_id": "a", "data": data, "attributes": data,
        "type": "person", "action": "event", "identifiers": {"id": 5, "email": "a@b.c", "phone": "+12025550100"},
        "email": "a@b.c", "phone": "1", "_timestamp": 5, "unsubscribed": true, "unsubscribe": true,
        "cio_subscription_preferences": {"topics": {"t": true}}, "primary": {"id": 1}, "secondary": {"cio_id": 2},
        "device": {"id": "t", "platform": "ios"}, "created_at": 5,
    })
}

fn places(value: &Value, at: String, found: &mut Vec<String>) {
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
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_bytes_make_the_track_api_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        everything_reads(&body);
    }

    #[test]
    fn a_damaged_call_never_makes_it_panic(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = example().to_string().into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        if cut {
            body.truncate(place);
        }
        everything_reads(&body);
    }

    #[test]
    fn odd_values_never_make_it_panic(
        name in "order_paid|order_fulfilled|checkout_started|product_viewed|subscription_renewed|cart_created|Order Paid|x",
        action in "event|identify|delete|merge|page|add_device",
        changes in proptest::collection::vec((any::<prop::sample::Index>(), odd_value()), 0..4),
    ) {
        let mut body = with(example(), json!({"name": name, "action": action}));
        for (place, value) in changes {
            let mut found = Vec::new();
            places(&body, String::new(), &mut found);
            let place = place.get(&found).clone();
            if let Some(target) = body.pointer_mut(&place).filter(|_| !place.is_empty()) {
                *target = value;
            }
        }
        everything_reads(body.to_string().as_bytes());
        everything_reads(json!({"batch": [body.clone(), example(), body]}).to_string().as_bytes());
    }

    #[test]
    fn no_path_and_no_credentials_make_it_panic(id in "[!-~]{0,60}", authorization in "[ -~]{0,60}", name in ".{0,40}") {
        for path in [format!("/api/v1/customers/{id}"), format!("/unsubscribe/{id}"), format!("/api/v1/customers/{id}/events")] {
            for method in [Method::PUT, Method::POST, Method::DELETE] {
                if route(&method, &path).is_ok() {
                    let _ = send(method.as_str(), &path, br#"{"name":"x","unsubscribe":true}"#);
                    let headers = [("authorization", authorization.as_str())];
                    let _ = call(&workspaces(), &Unmetered, &method, &path, None, &headers, b"{}");
                }
            }
        }
        everything_reads(json!({"name": name}).to_string().as_bytes());
    }
}

#[test]
fn a_deep_body_a_long_number_and_a_key_that_comes_twice_are_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
        for field in ["data", "attributes", "identifiers", "batch", "name", "primary", "x"] {
            everything_reads(format!(r#"{{"name":"x","{field}":{deep}}}"#).as_bytes());
        }
    }
    let long = "9".repeat(300);
    everything_reads(
        format!(r#"{{"name":"order_paid","timestamp":{long},"data":{{"order_id":{long},"total":{long}}}}}"#)
            .as_bytes(),
    );
    everything_reads(
        format!(r#"{{"name":"order_paid","data":{{"order_id":{long},"total":{long}}}}}"#).as_bytes(),
    );
    let twice = br#"{"name":"x","name":"order_paid","data":{"order_id":1,"order_id":2,"\u006frder_id":3}}"#;
    let Decision::Accept(accepted) = send("POST", "/api/v1/events", twice) else { panic!() };
    let event = items(&accepted, twice).unwrap().remove(0).unwrap();
    assert_eq!((event.source_event.as_str(), event.entity.id.as_str()), ("order_paid", "3"));
    everything_reads(b"{\"name\":\"a\\u0000b\",\"data\":{\"order_id\":\"\\u0000\"}}");
    everything_reads(b"{\"name\":\"\xff\"}");
}
