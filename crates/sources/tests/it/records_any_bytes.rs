//! No bytes make the records API panic, every answer is JSON, and what was taken can be read.

use proptest::prelude::*;
use serde_json::{Value, json};
use sources::Workspaces;

use crate::fixture::*;
use crate::records_door::configured;
use crate::records_events::Stored;

const PATHS: [&str; 6] = [
    "orders/append",
    "payments/append",
    "product_events/append",
    "profiles/upsert",
    "orders/append-batch",
    "profiles/upsert-batch",
];

fn strict() -> Workspaces {
    configured(|config| config.records.as_mut().unwrap().strict_schema = true)
}

fn everything_reads(body: &[u8]) {
    let strict = strict();
    let token = [("authorization", "Bearer dev-records-key"), ("idempotency-key", "k")];
    for path in PATHS {
        let _ = Stored::at(path).key("k").items(body);
        let _ = Stored::at(path).items(body);
        for workspaces in [&workspaces(), &strict] {
            let decision = post(workspaces, &format!("/public/v1/records/{path}"), None, &token, body);
            // Whatever the bytes, the answer is JSON, and what was taken can be read.
            let reply = match &decision {
                sources::Decision::Accept(accepted) => {
                    let items = items(accepted, body).unwrap();
                    assert!(!items.is_empty() && items.iter().all(Result::is_ok));
                    &accepted.reply
                }
                sources::Decision::Refuse(refused) => &refused.reply,
                sources::Decision::Answer(reply) => reply,
            };
            serde_json::from_str::<Value>(&reply.body).unwrap();
        }
    }
}

#[test]
fn odd_bodies_are_answered_and_never_make_it_panic() {
    let digits = "9".repeat(300);
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    for value in [
        digits.as_str(),
        &deep,
        "-0.00",
        "1e400",
        "\"1e5\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "18446744073709551616",
        "\"9999-12-31T23:59:59.999999999+23:59\"",
        "\"-009999-01-01T00:00:00Z\"",
        "{\"a\":{\"a\":null}}",
        "true",
    ] {
        let record = format!(
            r#"{{"shopify_order_id":"1","total":1,"email":"a@b.c","payment_id":"p","amount_paid":1,"event_type":"product_view","product_id":1,"x":{value},"total":{value}}}"#
        );
        everything_reads(format!(r#"{{"record":{record}}}"#).as_bytes());
        everything_reads(format!(r#"{{"record":{value},"matchKey":{value}}}"#).as_bytes());
        everything_reads(format!(r#"{{"records":[{record},{value},{record}]}}"#).as_bytes());
    }
    everything_reads(b"{\"record\":{\"email\":\"\xff\"}}");
    everything_reads(b"{\"record\":{\"email\":\"a@b.c\0\"}}");
}

fn odd_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!([])),
        Just(json!({})),
        Just(json!(true)),
        Just(json!(1e300)),
        Just(json!(18_446_744_073_709_551_615_u64)),
        Just(json!("gid://")),
        Just(json!("2026-03-14T09:00:00")),
        Just(json!("9999-12-31T23:59:59Z")),
        Just(json!("refunded")),
        any::<i64>().prop_map(|n| json!(n)),
        ".{0,20}".prop_map(|text| json!(text)),
        "[0-9.eE+-]{0,12}".prop_map(|text| json!(text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_records_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        everything_reads(&body);
    }

    #[test]
    fn records_with_odd_values_never_make_it_panic(
        fields in proptest::collection::btree_map(
            prop::sample::select(vec![
                "shopify_order_id", "order_id", "total", "refund_total", "currency", "financial_status", "fulfillment_status",
                "placed_at", "updated_at", "item_count", "tags", "email", "customer_email", "phone", "ltv", "order_count",
                "last_order_at", "event_type", "product_id", "price", "quantity", "line_total", "occurred_at", "payment_id",
                "amount_paid", "paid_at", "_backfill", "_as_of", "first_name", "x",
            ]),
            odd_value(),
            0..12,
        ),
    ) {
        let fine = json!({"shopify_order_id": "1", "total": 1, "email": "a@b.c", "payment_id": "p", "amount_paid": 1,
                          "event_type": "add_to_cart", "product_id": 1});
        let record = with(fine, json!(fields));
        everything_reads(json!({"record": record, "records": [record, record]}).to_string().as_bytes());
    }
}
