//! What makes a request, and a row, the same one again.

use commerce::{Mark, Reason};
use serde_json::{Value, json};
use sources::workspace::Secret;
use sources::{Decision, Keyed, OtherContent};

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

fn claimed(path: &str, key: Option<&str>, body: &str) -> Option<Keyed> {
    let mut headers = vec![("authorization", TOKEN)];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    match sources_call(&workspaces(), &sources::meter::Unmetered, path, &headers, body.as_bytes()) {
        Decision::Accept(accepted) => accepted.keyed,
        Decision::Refuse(refused) => refused.keyed,
        other @ Decision::Answer(_) => panic!("{other:?}"),
    }
}

#[test]
fn a_key_goes_with_what_its_request_says_and_what_another_content_means() {
    let row_of = |total: u32| json!({"record": with(row(), json!({"total": total}))}).to_string();
    let first = claimed(APPEND, Some("k"), &row_of(1)).unwrap();
    let spaced = claimed(APPEND, Some("k"), &row_of(1).replace("\":", "\" : ")).unwrap();
    let other = claimed(APPEND, Some("k"), &row_of(2)).unwrap();
    assert_eq!((first.key, first.content, first.records), (spaced.key, spaced.content, 1));
    assert!(first.key == other.key && first.content != other.content);
    assert_eq!(first.other, OtherContent::IsLetter);
    assert_eq!(first.letter.failure.reason, Reason::IdempotencyBodyMismatch);
    assert!(!format!("{:?}", first.letter).contains(TOKEN));
    let profile = |ltv: u32| json!({"record": {"email": "a@b.c", "ltv": ltv}}).to_string();
    let [one, two] = [1, 2].map(|ltv| claimed(UPSERT, Some("k"), &profile(ltv)).unwrap());
    assert!(one.key == two.key && one.content != two.content && one.other == OtherContent::IsApplied);
    let by = |key: &str| json!({"record": {"email": "a@b.c", "phone": "+12025550100"}, "matchKey": key});
    let [one, two] = ["email", "phone"].map(|key| claimed(UPSERT, Some("k"), &by(key).to_string()).unwrap());
    assert_ne!(one.content, two.content, "the match key is a part of what is asked");
    assert_eq!(claimed(APPEND, None, &row_of(1)), None, "without a key nothing is known");
}

#[test]
fn the_key_of_an_append_is_asked_about_even_if_its_body_is_worth_nothing() {
    let first = claimed(APPEND, Some("k"), &json!({"record": row()}).to_string()).unwrap();
    for body in ["", "not json", "[]", r#"{"record":{}}"#, r#"{"record":{"order_id":1,"total":"much"}}"#] {
        let keyed = claimed(APPEND, Some("k"), body).unwrap();
        assert!(keyed.key == first.key && keyed.content != first.content, "{body}");
        assert_eq!(
            claimed(UPSERT, Some("k"), body),
            None,
            "an upsert that can't be applied is refused: {body}"
        );
        assert_eq!(claimed(APPEND, None, body), None);
    }
}

#[test]
fn a_batch_says_what_its_records_say_in_their_order() {
    let path = "/public/v1/records/orders/append-batch";
    let of = |totals: &[u32]| {
        let rows: Vec<_> = totals.iter().map(|total| with(row(), json!({"total": total}))).collect();
        claimed(path, Some("k"), &json!({"records": rows}).to_string()).unwrap()
    };
    let first = of(&[1, 2]);
    assert_eq!((first.records, first.content), (2, of(&[1, 2]).content));
    for other in [&[2, 1][..], &[1], &[1, 2, 3]] {
        assert!(first.key == of(other).key && first.content != of(other).content, "{other:?}");
    }
}

#[test]
fn a_key_whose_time_was_over_is_a_new_one_downstream() {
    let of = |round: Option<&str>| {
        let mut stored = orders().key("k");
        if let Some(round) = round {
            stored = stored.with(sources::KEY_ROUND, round);
        }
        stored.event(&row()).keys.transport
    };
    assert_eq!(of(None), of(None));
    assert!(of(Some("a")) == of(Some("a")) && of(Some("a")) != of(Some("b")) && of(Some("a")) != of(None));
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
