//! Keys of the records API over two copies of the gateway.

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use topics::Topic;

use crate::rig::{Record, Rig};

const APPEND: &str = "orders/append";
const UPSERT: &str = "profiles/upsert";

pub fn order(total: &str) -> String {
    let placed = "2026-03-14T09:00:00-04:00";
    json!({"record": {"order_id": "1001", "total": total, "currency": "USD", "placed_at": placed}})
        .to_string()
}

fn profile(ltv: u32) -> String {
    json!({"record": {"email": "a@example.com", "ltv": ltv}}).to_string()
}

/// An answer, as far as a client sees it.
#[derive(Clone, Debug)]
pub struct Said {
    pub status: StatusCode,
    pub replayed: bool,
    /// It was told to come again before: what came of that isn't known.
    pub retried: bool,
    correlation: String,
    pub body: String,
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// It is the stored answer to that request.
    fn repeats(&self, first: &Self) -> bool {
        self.replayed && self.says(first)
    }

    fn says(&self, other: &Self) -> bool {
        let of = |said: &Self| (said.status, said.correlation.clone(), said.body.clone());
        of(self) == of(other)
    }

    /// Its request was the one that was applied.
    pub fn is_first(&self) -> bool {
        self.status == StatusCode::OK && (!self.replayed || self.retried)
    }
}

/// One try.
pub async fn try_once(request: RequestBuilder) -> Said {
    let answer = request.send().await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, replayed) = (answer.status(), header("idempotency-replayed").as_deref() == Some("true"));
    let correlation = header("x-correlation-id").unwrap();
    let after = header("retry-after").map(|seconds| seconds.parse::<u32>().unwrap());
    let said = Said { status, replayed, retried: false, correlation, body: answer.text().await.unwrap() };
    assert_eq!(
        said.json()["correlationId"],
        said.correlation.as_str(),
        "the id of the answer is in its head, too"
    );
    let code = said.json()["error"]["code"].as_str().unwrap_or_default().to_owned();
    match status {
        StatusCode::CONFLICT => assert!(code == "CDP_ETL.CONFLICT.IN_PROGRESS" && after > Some(0)),
        StatusCode::SERVICE_UNAVAILABLE => assert!(after > Some(0)),
        _ => {}
    }
    said
}

/// Comes again while it is told to, as every client does.
pub async fn say(request: RequestBuilder) -> Said {
    for tries in 0..300 {
        let said = try_once(request.try_clone().unwrap()).await;
        if ![StatusCode::CONFLICT, StatusCode::SERVICE_UNAVAILABLE].contains(&said.status) {
            return Said { retried: tries > 0, ..said };
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it never got an answer");
}

fn values(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| std::str::from_utf8(&record.value).unwrap()).collect()
}

async fn rows(rig: &Rig) -> Vec<Record> {
    rig.records(Topic::Raw).await
}

/// The letters by their names: a name twice is the same letter.
async fn letters(rig: &Rig) -> BTreeMap<String, (String, String)> {
    let letters = rig.letters().await.into_iter();
    letters.map(|letter| (letter.id, (letter.reason, String::from_utf8(letter.body).unwrap()))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rec_c02_the_same_append_twice_through_two_copies_is_one_row_and_one_stored_answer() {
    let one = Rig::start("keys-same").await;
    let two = one.copy("keys-same-two").await;
    let first = say(one.row(APPEND, "k", order("49.99"))).await;
    assert!(first.is_first(), "{first:?}");
    assert_eq!(first.json()["data"]["acceptedRecords"], 1);
    for copy in [&two, &one, &two] {
        assert!(say(copy.row(APPEND, "k", order("49.99"))).await.repeats(&first));
    }
    let spaced = order("49.99").replace(':', " : ").replace("09 : 00 : 00-04 : 00", "09:00:00-04:00");
    assert!(say(two.row(APPEND, "k", spaced)).await.repeats(&first), "white space says nothing");
    assert_eq!(values(&rows(&one).await), [order("49.99")]);
    assert!(letters(&one).await.is_empty());
    let counted = r#"tillstream_duplicates_total{level="transport",source="records"}"#;
    let metrics = two.get("/metrics").await.1;
    assert!(metrics.contains(&format!("{counted} 3")), "{metrics}");
    let other = say(two.row(APPEND, "l", order("49.99"))).await;
    assert!(other.is_first() && rows(&one).await.len() == 2, "another key is another row");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_starts_anew_has_the_answers_of_the_one_before() {
    let one = Rig::start("keys-restart").await;
    let two = one.copy("keys-restart-two").await;
    let first = say(one.row(APPEND, "k", order("1"))).await;
    one.stop().await;
    let again = two.copy("keys-restart").await;
    assert!(say(again.row(APPEND, "k", order("1"))).await.repeats(&first));
    assert_eq!(rows(&two).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rec_c03_the_same_key_with_another_total_leaves_the_first_row_its_answer_and_one_failed_record() {
    let one = Rig::start("keys-other").await;
    let two = one.copy("keys-other-two").await;
    let first = say(one.row(APPEND, "k", order("49.99"))).await;
    for copy in [&two, &one, &two] {
        assert!(say(copy.row(APPEND, "k", order("59.99"))).await.repeats(&first));
    }
    assert_eq!(values(&rows(&one).await), [order("49.99")], "the first row stands, and it alone");
    let letters = letters(&one).await;
    let expected = ("idempotency_body_mismatch".to_owned(), order("59.99"));
    assert_eq!(letters.into_values().collect::<Vec<_>>(), [expected], "one failed record");
    assert!(
        say(two.row(APPEND, "k", order("49.99"))).await.repeats(&first),
        "the first one is known as before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_body_of_an_append_is_answered_like_the_first_even_if_it_is_worth_nothing() {
    let one = Rig::start("keys-invalid").await;
    let two = one.copy("keys-invalid-two").await;
    let first = say(one.row(APPEND, "k", order("1"))).await;
    let worthless = ["not json", r#"{"record":{}}"#, r#"{"record":{"order_id":"1001","total":"much"}}"#];
    for body in worthless {
        assert!(say(two.row(APPEND, "k", body)).await.repeats(&first), "{body}");
    }
    assert_eq!(rows(&one).await.len(), 1);
    let found: Vec<_> = letters(&one).await.into_values().collect();
    let mut bodies: Vec<_> = found.iter().map(|(_, body)| body.as_str()).collect();
    bodies.sort_unstable();
    let mut expected = worthless;
    expected.sort_unstable();
    assert_eq!(bodies, expected);
    assert!(found.iter().all(|(reason, _)| reason == "idempotency_body_mismatch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_not_remembered_so_the_mended_request_takes_the_key() {
    let one = Rig::start("keys-mended").await;
    let two = one.copy("keys-mended-two").await;
    for _ in 0..2 {
        let said = say(one.row(APPEND, "k", r#"{"record":{"order_id":"1001"}}"#)).await;
        assert_eq!((said.status, said.replayed), (StatusCode::BAD_REQUEST, false));
    }
    assert!(rows(&one).await.is_empty() && letters(&one).await.is_empty());
    assert_eq!(say(two.row(APPEND, "k", order("1"))).await.status, StatusCode::OK);
    assert_eq!(rows(&one).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_batch_under_the_key_of_a_shorter_one_adds_nothing() {
    let one = Rig::start("keys-longer").await;
    let two = one.copy("keys-longer-two").await;
    let batch = |count: usize| {
        let rows = (0..count).map(|at| json!({"payment_id": format!("p{at}"), "amount_paid": 1}));
        json!({"records": rows.collect::<Vec<_>>()}).to_string()
    };
    let first = say(one.row("payments/append-batch", "k", batch(2))).await;
    assert_eq!(first.json()["data"]["acceptedRecords"], 2);
    assert!(say(two.row("payments/append-batch", "k", batch(3))).await.repeats(&first));
    assert_eq!(values(&rows(&one).await), [batch(2)], "the surplus record isn't applied");
    let expected = ("idempotency_body_mismatch".to_owned(), batch(3));
    assert_eq!(letters(&one).await.into_values().collect::<Vec<_>>(), [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_answer_is_repeated_from_where_it_is_kept() {
    let one = Rig::start("keys-large").await;
    let two = one.copy("keys-large-two").await;
    let mut payments = vec![json!({"payment_id": "p", "amount_paid": 1})];
    payments.extend((0..999).map(|at| json!({"payment_id": at, "amount_paid": "much"})));
    let body = json!({"records": payments}).to_string();
    let first = say(one.row("payments/append-batch", "k", body.as_str())).await;
    assert_eq!(first.json()["data"]["rejectedRecords"], 999);
    assert!(first.body.len() > 64 * 1024);
    for copy in [&one, &two] {
        assert!(say(copy.row("payments/append-batch", "k", body.as_str())).await.repeats(&first));
    }
    assert_eq!(rows(&one).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rec_c04_an_upsert_with_another_body_is_applied_and_the_last_one_is_what_is_known() {
    let one = Rig::start("keys-upsert").await;
    let two = one.copy("keys-upsert-two").await;
    let first = say(one.row(UPSERT, "k", profile(1))).await;
    assert!(say(two.row(UPSERT, "k", profile(1))).await.repeats(&first));
    let second = say(two.row(UPSERT, "k", profile(2))).await;
    assert!(second.is_first() && !second.says(&first));
    assert!(say(one.row(UPSERT, "k", profile(2))).await.repeats(&second));
    let bad = say(one.row(UPSERT, "k", r#"{"record":{"ltv":3}}"#)).await;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST, "what can't be applied isn't answered as if it were");
    assert!(say(two.row(UPSERT, "k", profile(2))).await.repeats(&second));
    let third = say(one.row(UPSERT, "k", profile(1))).await;
    assert!(third.is_first() && !third.says(&first), "back to the first is a change");
    assert_eq!(values(&rows(&one).await), [profile(1), profile(2), profile(1)]);
    assert!(letters(&one).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rec_c05_of_many_requests_with_one_key_to_two_copies_at_once_one_is_applied() {
    let one = Rig::start("keys-race").await;
    let two = one.copy("keys-race-two").await;
    for round in 0..8 {
        let key = format!("k{round}");
        // Every other one says something else.
        let requests = (0..12).map(|at| {
            let copy = if at % 2 == 0 { &one } else { &two };
            say(copy.row(APPEND, &key, order(if at % 4 < 2 { "1" } else { "2" })))
        });
        let said = futures_util::future::join_all(requests).await;
        assert!(said.iter().all(|one| one.status == StatusCode::OK && one.says(&said[0])), "{said:?}");
        assert!(said.iter().filter(|one| !one.replayed).count() <= 1, "{said:?}");
        assert!(said.iter().any(Said::is_first), "{said:?}");
        assert_eq!(rows(&one).await.len(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_key_is_taken_as_often_as_it_comes() {
    let rig = Rig::start("keys-none").await;
    let path = format!("/public/v1/records/{APPEND}");
    for _ in 0..2 {
        let request = rig.post(&path).header("authorization", format!("Bearer records-{}", rig.workspace));
        let said = say(request.body(order("1"))).await;
        assert!(said.is_first());
    }
    assert_eq!(rows(&rig).await.len(), 2);
}
