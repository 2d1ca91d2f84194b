//! What makes a repetition one.

use commerce::EventName;
use http::Method;
use serde_json::{Value, json};

use crate::customerio_events::*;
use crate::fixture::*;

#[test]
fn cio_c05_an_order_paid_is_known_by_its_order_whatever_the_event_ids() {
    let send = |id: &str| {
        sender().event(&Method::POST, EVENTS, json!({"name": "order_paid", "id": id, "data": paid()}))
    };
    let events = [send("01HB4HBDKTFWYZCK01DMRSWRF1"), send("01HB4HBDKTFWYZCK01DMRSWRF2"), send(ULID)];
    for event in &events {
        assert_eq!((event.entity.id.as_str(), event.event), ("A-1", EventName::OrderPaid));
        assert_eq!(event.keys.semantic, events[0].keys.semantic);
        unflagged(event);
    }
    assert_ne!(events[0].keys.transport, events[1].keys.transport);
    let other = track("order_paid", with(paid(), json!({"total": 1})));
    assert_ne!(
        other.keys.semantic, events[0].keys.semantic,
        "another content is for the order's state to judge"
    );
    let other = sender().event(
        &Method::POST,
        "/api/v1/customers/6/events",
        json!({"name": "order_paid", "data": paid()}),
    );
    assert_ne!(other.keys.semantic, events[0].keys.semantic);
}

#[test]
fn an_id_of_the_senders_makes_a_repetition_one_and_nothing_else_does() {
    let send = |name: &str, id: Value| sender().event(&Method::POST, EVENTS, json!({"name": name, "id": id}));
    let (first, second) = (send("x", json!(ULID)), send("x", json!(ULID)));
    assert_eq!((&first.keys, &first.event_id), (&second.keys, &second.event_id));
    unflagged(&first);
    let odd = send("x", json!("my-event-1"));
    assert_eq!(odd.flags, ["event_id_not_ulid"]);
    assert_eq!(odd.keys, send("x", json!("my-event-1")).keys);
    assert_eq!(
        send("x", json!("81HB4HBDKTFWYZCK01DMRSWRFD")).flags,
        ["event_id_not_ulid"],
        "beyond 128 bits"
    );
    // Two equal calls without an id stand at two places of the raw topic.
    let body = r#"{"name":"product_viewed","data":{"product_id":"P"}}"#;
    let batch = r#"{"type":"person","action":"event","identifiers":{"id":5},"name":"product_viewed","attributes":{"product_id":"P"}}"#;
    let twice = sender().items(&Method::POST, "/api/v2/batch", &format!(r#"{{"batch":[{batch},{batch}]}}"#));
    let [Ok(first), Ok(second)] = twice.as_slice() else { panic!("{twice:?}") };
    assert_ne!(first.keys.semantic, second.keys.semantic);
    let again = || sender().items(&Method::POST, EVENTS, body).remove(0).unwrap();
    assert_eq!(
        again().event_id,
        again().event_id,
        "the same place is the same event, however often it is read"
    );
}

#[test]
fn a_retry_of_what_has_a_business_id_is_one_and_next_months_renewal_is_another() {
    let batch = |one: &str, two: &str| {
        let item =
            |body: &str| format!(r#"{{"type":"person","action":"event","identifiers":{{"id":5}},{body}}}"#);
        let body = format!(r#"{{"batch":[{},{}]}}"#, item(one), item(two));
        let items = sender().items(&Method::POST, "/api/v2/batch", &body);
        let [Ok(first), Ok(second)] = items.as_slice() else { panic!("{items:?}") };
        first.keys.semantic == second.keys.semantic
    };
    for (same, body) in [
        (true, r#""name":"checkout_started","attributes":{"checkout_id":"K","value":5}"#),
        (true, r#""name":"cart_created","attributes":{"cart_id":"C"}"#),
        (true, r#""name":"order_fulfilled","attributes":{"order_id":"A"}"#),
        (
            true,
            r#""name":"subscription_renewed","attributes":{"subscription_id":"S","period_start":1770000000}"#,
        ),
        (
            true,
            r#""name":"subscription_renewed","timestamp":1770000000,"attributes":{"subscription_id":"S"}"#,
        ),
        (false, r#""name":"subscription_renewed","attributes":{"subscription_id":"S"}"#),
        (false, r#""name":"checkout_started","attributes":{"value":5}"#),
        (false, r#""name":"back_in_stock_requested","attributes":{"product_id":"P"}"#),
        (false, r#""name":"anything","attributes":{}"#),
    ] {
        assert_eq!(batch(body, body), same, "{body}");
    }
    let checkout = |time: u32| {
        format!(r#""name":"checkout_started","timestamp":{time},"attributes":{{"checkout_id":"K"}}"#)
    };
    assert!(
        !batch(&checkout(1_770_000_000), &checkout(1_770_000_060)),
        "a later state of a checkout is another"
    );
    let versioned = r#""name":"order_fulfilled_v2","attributes":{"order_id":"A"}"#;
    assert!(!batch(r#""name":"order_fulfilled","attributes":{"order_id":"A"}"#, versioned));
}
