//! records.md §6 and D-REC-1: what makes a request, and a row, the same one again.

use commerce::Mark;
use serde_json::{Value, json};
use sources::Accepted;
use sources::workspace::Secret;

use crate::fixture::*;
use crate::records_door::*;
use crate::records_events::*;

#[test]
fn rec_c21_a_key_of_256_characters_is_400_and_one_of_255_is_not() {
    let call = |key: &str| send(APPEND, &[("idempotency-key", key)], &json!({"record": row()}));
    assert_eq!(accepted(call(&"k".repeat(255))).reply.status, 200);
    for key in ["k".repeat(256), String::new(), "two words".to_owned(), "k\u{e9}y".to_owned()] {
        assert_eq!(error_of(call(&key)), invalid(json!({"path": "headers.idempotency-key"})), "{key}");
    }
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    assert_eq!(error_of(send(APPEND, &twice, &json!({"record": row()}))).0, 400);
}

fn delivery(key: &str, path: &str, body: &Value) -> Mark {
    accepted(send(path, &[("idempotency-key", key)], body)).delivery
}

#[test]
fn rec_c02_the_same_append_twice_is_one_delivery_with_two_equivalent_answers() {
    let body = json!({"record": row()});
    let first = accepted(send(APPEND, &[("idempotency-key", "k")], &body));
    let second = accepted(send(APPEND, &[("idempotency-key", "k")], &body));
    assert_eq!((first.delivery, &first.reply), (second.delivery, &second.reply));
    let others = [
        delivery("other", APPEND, &body),
        delivery(
            "k",
            "/public/v1/records/payments/append",
            &json!({"record": {"payment_id": "p", "amount_paid": 1}}),
        ),
        delivery("k", "/public/v1/records/orders/append-batch", &json!({"records": [row()]})),
        delivery("k", UPSERT, &json!({"record": {"email": "a@b.c"}})),
    ];
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, first.delivery, "{index}");
        assert!(!others[..index].contains(other), "{index}");
    }
}

#[test]
fn rec_c05_two_requests_with_one_key_are_both_taken_as_one_delivery() {
    let key = [("idempotency-key", "k")];
    let bodies = [json!({"record": row()}), json!({"record": with(row(), json!({"total": 1}))})];
    let [first, second] = bodies.map(|body| accepted(send(APPEND, &key, &body)));
    assert_eq!((first.reply.status, second.reply.status), (200, 200));
    assert_eq!(first.delivery, second.delivery, "one mark, so one partition: there the first one stands");
}

#[test]
fn a_key_belongs_to_its_credential() {
    let workspaces = configured(|config| {
        config.records.as_mut().unwrap().keys = vec![Secret::new("one"), Secret::new("two")];
    });
    let body = json!({"record": row()}).to_string();
    let [one, two] = ["Bearer one", "Bearer two"].map(|token| {
        let headers = [("authorization", token), ("idempotency-key", "k")];
        accepted(post(&workspaces, APPEND, None, &headers, body.as_bytes()))
    });
    assert_ne!(one.delivery, two.delivery);
}

#[test]
fn a_repetition_that_this_copy_knows_is_marked_as_one() {
    let meter = Stub { known: std::sync::Mutex::default(), wait: None };
    let call = |path: &str, key: Option<&str>, body: Value| -> Accepted {
        let mut headers = vec![("authorization", TOKEN)];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        let body = body.to_string();
        accepted(sources_call(&workspaces(), &meter, path, &headers, body.as_bytes()))
    };
    let other = json!({"record": with(row(), json!({"total": 1}))});
    assert!(!call(APPEND, Some("k"), json!({"record": row()})).reply.replayed);
    assert!(call(APPEND, Some("k"), json!({"record": row()})).reply.replayed);
    assert!(call(APPEND, Some("k"), other).reply.replayed, "of an append the first answer is returned");
    assert!(!call(UPSERT, Some("k"), json!({"record": {"email": "a@b.c", "ltv": 1}})).reply.replayed);
    assert!(call(UPSERT, Some("k"), json!({"record": {"email": "a@b.c", "ltv": 1}})).reply.replayed);
    assert!(!call(UPSERT, Some("k"), json!({"record": {"email": "a@b.c", "ltv": 2}})).reply.replayed);
    for _ in 0..2 {
        assert!(
            !call(APPEND, None, json!({"record": row()})).reply.replayed,
            "without a key nothing is known"
        );
    }
}

#[test]
fn rec_c06_rows_of_one_order_are_events_of_their_own_and_the_same_row_again_is_not() {
    let of = |stored: Stored, record: &Value| {
        let event = stored.event(record);
        (event.event_id, event.keys.transport)
    };
    let first = of(orders().key("k1"), &row());
    assert_eq!(of(orders().key("k1").offset(8), &row()), first, "the same request again");
    let mut seen = vec![first];
    for (key, record) in [
        ("k2", row()),
        ("k3", later(json!({}))),
        ("k4", later(json!({"total": 50}))),
        ("k5", later(json!({"gift": 1}))),
        ("k6", later(json!({"gift": 2}))),
    ] {
        let next = of(orders().key(key), &record);
        assert!(seen.iter().all(|(id, transport)| *id != next.0 && *transport != next.1), "{key}");
        seen.push(next);
    }
}

#[test]
fn without_a_key_only_a_row_with_its_version_is_recognised() {
    let [one, two] = [7, 8].map(|offset| orders().offset(offset).event(&later(json!({}))));
    assert_ne!(one.keys.transport, two.keys.transport, "nothing is remembered at transport level");
    assert_eq!(one.keys.semantic, two.keys.semantic);
    assert_eq!(one.keys.content, None);
    // The arrival is the version here: the same words later may take back what came in between.
    let [one, two] = [7, 8].map(|offset| orders().offset(offset).event(&row()));
    assert_ne!(one.keys.semantic, two.keys.semantic);
    assert_eq!(one.event_id, orders().event(&row()).event_id, "a replay of the same place gives the same id");
}

#[test]
fn rec_c03_the_same_key_with_another_total_is_one_delivery_of_two_contents() {
    let [one, two] =
        [json!(1), json!(2)].map(|total| orders().key("k").event(&with(row(), json!({"total": total}))));
    assert_eq!(one.keys.transport, two.keys.transport);
    assert!(one.keys.content.is_some() && one.keys.content != two.keys.content);
    let mut turned = String::from("{ \"record\": {");
    let record = with(row(), json!({"total": 1}));
    for (name, value) in record.as_object().unwrap().iter().rev() {
        turned.push_str(&format!(" {} : {},", json!(name), value));
    }
    turned.pop();
    turned.push_str("}}");
    let same = orders().key("k").items(turned.as_bytes()).unwrap().remove(0).unwrap();
    assert_eq!(same.keys.content, one.keys.content, "the order of fields and white space are no content");
}

#[test]
fn rec_c04_the_same_key_with_another_ltv_is_one_delivery_of_two_contents_and_two_facts() {
    let upsert = |ltv: i64| {
        Stored::at("profiles/upsert").key("k").offset(ltv).event(&json!({"email": EMAIL, "ltv": ltv}))
    };
    let (one, two) = (upsert(1), upsert(2));
    assert_eq!(one.keys.transport, two.keys.transport);
    assert!(one.keys.content.is_some() && one.keys.content != two.keys.content);
    assert_ne!(one.keys.semantic, two.keys.semantic, "nothing suppresses the second one");
    assert_eq!(two.person.unwrap().reported_total_spent, Some(usd(200)));
}

#[test]
fn the_door_and_the_normalizer_agree_on_the_transport_key() {
    let body = json!({"record": row()});
    let accepted = accepted(send("/public/v1/records/orders/append", &[("idempotency-key", "k")], &body));
    let event = items(&accepted, body.to_string().as_bytes()).unwrap().remove(0).unwrap();
    assert_eq!(event.keys.transport, accepted.delivery.to_hex());
}

#[test]
fn each_record_of_a_batch_has_the_key_and_its_place() {
    let body = json!({"records": [row(), row()]}).to_string();
    let stored = |key: &str| {
        let items = Stored::at("orders/append-batch").key(key).items(body.as_bytes()).unwrap();
        items.into_iter().map(|item| item.unwrap().keys.transport).collect::<Vec<_>>()
    };
    let (one, two) = (stored("k"), stored("l"));
    assert_eq!(one, stored("k"));
    assert!(one[0] != one[1] && one[0] != two[0] && one[1] != two[1]);
    assert_ne!(one[0], orders().key("k").event(&row()).keys.transport);
}

#[test]
fn rows_of_a_product_are_told_apart_by_their_key_alone() {
    let view = |stored: Stored| {
        stored.event(
            &json!({"event_type": "product_view", "product_id": 1, "occurred_at": "2026-03-14T15:00:00Z"}),
        )
    };
    let stored = || Stored::at("product_events/append");
    assert_eq!(view(stored().key("a")).event_id, view(stored().key("a").offset(9)).event_id);
    assert_ne!(view(stored().key("a")).event_id, view(stored().key("b")).event_id);
    assert_ne!(view(stored()).event_id, view(stored().offset(9)).event_id);
    let now = stored().event(&json!({"event_type": "product_view", "product_id": 1}));
    assert_eq!(now.occurred_at, at(NOW));
}
