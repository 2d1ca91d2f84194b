//! No bytes make the analytics API panic, and what its door lets in is read or fails with a reason.

use proptest::prelude::*;
use serde_json::{Value, json};
use sources::{Decision, Raw, Workspace};

use crate::analytics_door::*;
use crate::fixture::*;

fn everything_reads(body: &[u8]) {
    for path in [TRACK, BATCH, "/v1/api/analytics/user/u", "/nowhere"] {
        let headers = [
            ("path", path),
            ("fraud", "0:2:x;;a:b:c;1:"),
            ("rejected_items", "1,,x"),
            ("country", "\u{0}\u{ff}"),
        ];
        let raw = Raw {
            source: commerce::Source::Analytics,
            workspace: &Workspace::development().unwrap(),
            received_at: received(NOW),
            partition: 0,
            offset: i64::MAX,
            headers: &headers,
            body,
        };
        let _ = sources::normalize(&raw);
    }
    for path in [TRACK, BATCH] {
        for headers in [&[][..], &[PUBLISHABLE]] {
            if let Decision::Accept(accepted) = post(&workspaces(), path, None, headers, body) {
                let _ = items(&accepted, body);
            }
        }
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
        Just(json!(u64::MAX)),
        Just(json!("\u{0}")),
        Just(json!("9999-12-31T23:59:59.999999999+23:59")),
        Just(json!("99999999999999999999.99")),
        any::<i64>().prop_map(|n| json!(n)),
        ".{0,20}".prop_map(|text| json!(text)),
    ]
}

fn odd_event() -> impl Strategy<Value = Value> {
    let fields = [
        "event_type",
        "transaction_id",
        "revenue",
        "currency",
        "user_id",
        "cart_id",
        "coupon_code",
        "discount",
        "items",
        "properties",
        "campaign",
        "platform",
        "country",
        "timestamp",
        "event_id",
        "apiKey",
    ];
    let kinds = prop::sample::select(vec!["purchase", "refund", "view_item", "rate", "begin_checkout"]);
    let changes = proptest::collection::vec((prop::sample::select(fields.to_vec()), odd_value()), 0..4);
    (kinds, changes, odd_value()).prop_map(|(kind, changes, deep)| {
        let mut event = with(purchase(), json!({"event_type": kind}));
        event["items"][0]["quantity"] = deep.clone();
        event["properties"]["country"] = deep;
        for (field, value) in changes {
            event[field] = value;
        }
        event
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        everything_reads(&body);
    }

    #[test]
    fn a_damaged_event_never_makes_it_panic(place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = json!({"apiKey": "pk_dev_demo", "events": [purchase()]}).to_string().into_bytes();
        let place = place.index(body.len());
        body[place] = byte;
        if cut {
            body.truncate(place);
        }
        everything_reads(&body);
    }

    #[test]
    fn what_a_batch_accepts_is_what_it_gives_events_or_reasons_for(events in proptest::collection::vec(odd_event(), 1..6)) {
        let body = json!({"events": events}).to_string();
        match post(&workspaces(), BATCH, None, &[PUBLISHABLE], body.as_bytes()) {
            Decision::Accept(accepted) => {
                let answer: Value = serde_json::from_str(&accepted.reply.body).unwrap();
                let told = answer["errors"].as_array().map_or(0, Vec::len);
                let found = items(&accepted, body.as_bytes()).unwrap();
                prop_assert_eq!(answer["accepted"].as_u64().unwrap(), found.len() as u64);
                prop_assert_eq!(found.len() + told, events.len());
                for fault in found.into_iter().filter_map(Result::err) {
                    // What the door has checked can't be what is missing.
                    let reason = fault.failure.reason.code();
                    prop_assert!(["bad_money", "bad_time", "bad_value"].contains(&reason), "{}", fault.failure);
                }
            }
            Decision::Answer(reply) => {
                let answer: Value = serde_json::from_str(&reply.body).unwrap();
                prop_assert_eq!(answer["accepted"].as_u64(), Some(0));
                prop_assert_eq!(answer["errors"].as_array().map(Vec::len), Some(events.len()));
            }
            Decision::Refuse(refused) => prop_assert!(false, "{}", refused.reply.body),
        }
    }

    #[test]
    fn no_header_and_no_path_make_it_panic(key in "[ -~]{0,40}", agent in "[ -~]{0,200}", user in "[!-.0-~]{1,40}") {
        let headers = [("authorization", key.as_str()), ("user-agent", agent.as_str())];
        let _ = post(&workspaces(), TRACK, None, &headers, b"{}");
        let path = format!("/v1/api/analytics/user/{user}");
        let decision = call(&workspaces(), &sources::meter::Unmetered, &http::Method::DELETE, &path, None, &[SECRET_KEY], b"");
        if let Decision::Accept(accepted) = decision {
            prop_assert_eq!(items(&accepted, b"").unwrap().len(), 1);
        }
    }
}

#[test]
fn deep_long_and_double_things_are_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let (open, close) = (open.repeat(100_000), close.repeat(100_000));
        for field in ["properties", "items", "apiKey", "events", "x"] {
            let body = format!("{{\"event_type\":\"search\",\"{field}\":{open}1{close}}}");
            everything_reads(body.as_bytes());
        }
    }
    let long = format!(r#"{{"event_type":"purchase","transaction_id":1,"revenue":{}}}"#, "9".repeat(300));
    everything_reads(long.as_bytes());
    let twice = r#"{"event_type":"search","event_type":"purchase","transaction_id":18446744073709551617,"revenue":1,"revenue":"2.50"}"#;
    let accepted = accepted(post(&workspaces(), TRACK, None, &[SECRET_KEY], twice.as_bytes()));
    let event = items(&accepted, twice.as_bytes()).unwrap().remove(0).unwrap();
    assert_eq!((event.entity.id.as_str(), event.order().total.unwrap().minor), ("18446744073709551617", 250));
}
