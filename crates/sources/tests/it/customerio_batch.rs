//! Batches, of which the good items are taken.

use http::Method;
use serde_json::{Value, json};
use sources::Decision;

use crate::customerio_door::*;
use crate::fixture::*;

fn tracked(name: &str, more: Value) -> Value {
    json!({"type": "person", "action": "event", "identifiers": {"id": 5}, "name": name, "attributes": more})
}

#[test]
fn cio_c20_a_batch_with_one_bad_item_is_207_and_the_others_are_published() {
    let body = json!({"batch": [tracked("a", json!({})), tracked("", json!({})), tracked("c", json!({}))]})
        .to_string();
    let accepted = accepted(send(&Method::POST, "/api/v2/batch", body.as_bytes()));
    assert_eq!(accepted.reply.status, 207);
    assert_eq!(
        accepted.reply.body,
        r#"{"errors":[{"batch_index":1,"reason":"required","field":"name","message":"name cannot be blank"}]}"#
    );
    assert_eq!(accepted.body, None, "the stored body is the sent one");
    assert!(accepted.headers.contains(&("rejected_items".into(), "1".into())));
    let found = items(&accepted, body.as_bytes()).unwrap();
    let events: Vec<_> = found.iter().map(|item| item.as_ref().unwrap()).collect();
    let names: Vec<_> = events.iter().map(|e| (e.raw_item, e.raw_part, e.source_event.as_str())).collect();
    assert_eq!(names, [(0, 0, "a"), (2, 0, "c")]);
    assert_ne!(events[0].event_id, events[1].event_id);
}

#[test]
fn an_item_that_was_not_reported_is_a_fault_of_its_own() {
    let body =
        json!({"batch": [tracked("a", json!({})), tracked("", json!({})), tracked("order_paid", json!({}))]});
    let body = body.to_string();
    let mut accepted = accepted(send(&Method::POST, "/api/v2/batch", body.as_bytes()));
    accepted.headers.retain(|(name, _)| name != "rejected_items");
    let found = items(&accepted, body.as_bytes()).unwrap();
    let faults: Vec<_> = found
        .iter()
        .filter_map(|item| item.as_ref().err())
        .map(|fault| (fault.item, fault.failure.reason.code()))
        .collect();
    assert_eq!((found.len(), faults), (3, vec![(1, "missing_field"), (2, "missing_order_id")]));
}

#[test]
fn a_batch_of_bad_items_alone_is_207_and_leaves_nothing() {
    let refused = refused(sent("/api/v2/batch", json!({"batch": [1, tracked("", json!({}))]})));
    assert_eq!(refused.reply.status, 207);
    assert_eq!(
        refused.reply.body,
        concat!(
            r#"{"errors":[{"batch_index":0,"reason":"invalid","field":"entity","message":"an item must be an object"},"#,
            r#"{"batch_index":1,"reason":"required","field":"name","message":"name cannot be blank"}]}"#
        )
    );
    assert_eq!(refused.letter, None);
    let Decision::Answer(reply) = sent("/api/v2/batch", json!({"batch": []})) else { panic!() };
    assert_eq!((reply.status, reply.body.as_str()), (200, "{}\n"));
    let many = json!({"batch": vec![json!(1); 1_001]});
    assert_eq!(fault(sent("/api/v2/batch", many)), ("invalid".into(), "batch".into()));
}

#[test]
fn cio_c21_a_batch_that_is_too_large_is_400_and_an_item_fails_alone() {
    let filler = |bytes: usize| tracked("x", json!({"v": text(bytes)}));
    let whole = |last: usize| {
        let mut items = vec![filler(30_000); 16];
        items.push(filler(last));
        json!({"batch": items}).to_string()
    };
    let rest = 500_000 - whole(0).len();
    let fine = whole(rest);
    assert_eq!(
        (fine.len(), accepted(send(&Method::POST, "/api/v2/batch", fine.as_bytes())).reply.status),
        (500_000, 200)
    );
    let beyond = whole(rest + 1);
    assert_eq!(
        fault(send(&Method::POST, "/api/v2/batch", beyond.as_bytes())),
        ("too_large".into(), "batch".into())
    );

    let envelope = filler(0).to_string().len();
    let body = json!({"batch": [filler(32_000 - envelope), filler(32_001 - envelope)]}).to_string();
    let accepted = accepted(send(&Method::POST, "/api/v2/batch", body.as_bytes()));
    assert_eq!(accepted.reply.status, 207);
    assert_eq!(
        accepted.reply.body,
        r#"{"errors":[{"batch_index":1,"reason":"too_large","field":"entity","message":"entity cannot be larger than 32 kB"}]}"#
    );
    assert_eq!(items(&accepted, body.as_bytes()).unwrap().len(), 1);
}
