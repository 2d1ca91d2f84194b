//! What is said about customers, one at a time and in files.

use commerce::event::{Event, EventName};
use serde_json::{Value, json};
use sources::records::import;

use crate::fixture::*;
use crate::records_events::*;

fn profile(record: Value) -> Event {
    Stored::at("profiles/upsert").event(&with(json!({"email": EMAIL}), record))
}

#[test]
fn rec_c07_null_clears_attributes_and_neither_identifiers_nor_totals() {
    let event = profile(json!({
        "first_name": null, "last_name": "Doe", "phone": null, "stripe_customer_id": null, "order_count": null, "ltv": null,
        "last_order_at": null, "tier": null, "city": "", "sizes": [], "vip": true, "payment_status": "current",
    }));
    assert_eq!((event.event, event.source_event.as_str()), (EventName::CustomerUpdated, "profiles/upsert"));
    let person = event.person.as_ref().unwrap();
    let attributes: Vec<_> =
        person.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        attributes,
        [
            ("first_name", "null"),
            ("payment_status", "\"current\""),
            ("sizes", "[]"),
            ("tier", "null"),
            ("vip", "true")
        ]
    );
    assert_eq!((person.first_name.as_deref(), person.last_name.as_deref()), (None, Some("Doe")));
    assert_eq!(
        (person.reported_orders_count, person.reported_total_spent, person.reported_at),
        (None, None, None)
    );
    assert_eq!(event.identifiers(), [("email", EMAIL.to_owned())]);
    assert_eq!(person.phone, None);
}

#[test]
fn the_last_of_two_equal_fields_counts() {
    let stored = Stored::at("profiles/upsert");
    let read = |fields: &str| {
        let body = format!(r#"{{"record":{{"email":"a@b.c",{fields}}}}}"#);
        let person = stored.items(body.as_bytes()).unwrap().remove(0).unwrap().person.unwrap();
        (person.first_name, person.attributes.get("first_name").cloned())
    };
    assert_eq!(read(r#""first_name":null,"first_name":"Ann""#), (Some("Ann".to_owned()), None));
    assert_eq!(read(r#""first_name":"Ann","first_name":null"#), (None, Some("null".to_owned())));
}

#[test]
fn rec_c09_an_address_in_another_form_is_the_same_person() {
    let of = |email: &str| Stored::at("profiles/upsert").event(&json!({"email": email, "tier": "gold"}));
    let (one, two) = (of(" JANE.DOE@example.com "), of("jane.doe@example.com"));
    assert_eq!(one.identifiers(), [("email", EMAIL.to_owned())]);
    assert_eq!((one.identifiers(), &one.entity), (two.identifiers(), &two.entity));
    assert!(!one.entity.id.contains("jane"), "the entity is no personal data");
}

#[test]
fn all_identifiers_of_a_profile_are_named() {
    let event = profile(json!({
        "customer_id": 7, "phone": "(202) 555-0100", "stripe_customer_id": "cus_1", "shopify_customer_id": 9007199254740993_i64,
    }));
    let shop = event.person.as_ref().unwrap().identifiers.last().unwrap();
    assert_eq!(
        (shop.space.as_str(), shop.value.as_str()),
        (SHOP, "9007199254740993"),
        "the workspace has one shop"
    );
    assert_eq!(event.flags, ["phone_unresolved"], "no country is set");
    let record = json!({"email": "no address", "customer_id": "7", "phone": "(202) 555-0100"});
    let body = json!({"record": record, "matchKey": "customer_id"}).to_string();
    let stored =
        Stored::at("profiles/upsert").configured(|config| config.phone_region = Some("US".to_owned()));
    let event = stored.items(body.as_bytes()).unwrap().remove(0).unwrap();
    assert_eq!(event.identifiers(), [("user", "7".to_owned()), ("phone", "+12025550100".to_owned())]);
    assert_eq!(
        (event.flags.as_slice(), event.person.unwrap().email.as_deref()),
        (["email_invalid".to_owned()].as_slice(), Some("no address"))
    );
}

#[test]
fn totals_that_a_sender_maintains_are_reported_as_of_their_arrival() {
    let event =
        profile(json!({"order_count": 4, "ltv": 812.5, "last_order_at": "2026-03-14T09:00:00-04:00"}));
    let person = event.person.unwrap();
    assert_eq!((person.reported_orders_count, person.reported_total_spent), (Some(4), Some(usd(81_250))));
    assert_eq!(person.reported_last_order_at, Some(at("2026-03-14T13:00:00Z")));
    assert_eq!(person.reported_at, Some(at(NOW)));
    assert_eq!(event.occurred_at, at(NOW));
    let zero = profile(json!({"ltv": 0})).person.unwrap();
    assert_eq!(
        (zero.reported_total_spent, zero.reported_orders_count),
        (Some(usd(0)), None),
        "a zero is a value"
    );
}

#[test]
fn fields_of_an_order_on_a_profile_are_attributes() {
    let event = profile(json!({"shopify_order_id": "1001", "total": 49.99, "financial_status": "paid"}));
    assert_eq!(
        (event.event, event.payload.order.is_none(), event.entity.r#type.as_str()),
        (EventName::CustomerUpdated, true, "person")
    );
    assert_eq!(event.person.unwrap().attributes["total"], "49.99");
}

#[test]
fn a_label_starts_nothing() {
    for (label, expected) in
        [(json!(true), None), (json!("2019 orders"), Some("2019 orders")), (json!(2019), Some("2019"))]
    {
        let event = orders().event(&with(row(), json!({"_backfill": label})));
        assert_eq!((event.origin.kind.as_str(), event.origin.label.as_deref()), ("backfill", expected));
        assert!(!event.trigger_eligible && !event.payload.properties.contains_key("_backfill"));
    }
    for label in [json!(false), json!(null), json!("")] {
        assert_eq!(orders().event(&with(row(), json!({"_backfill": label}))).origin.kind, "live");
    }
    let labelled = orders().with("http.tillstream-backfill", "header").event(&row());
    assert_eq!(
        (labelled.origin.kind.as_str(), labelled.origin.label.as_deref()),
        ("backfill", Some("header"))
    );
    let profile = profile(json!({"_backfill": "x", "tier": 1}));
    assert_eq!(profile.person.unwrap().attributes.len(), 1);
}

#[test]
fn rec_c19_an_imported_file_reports_totals_and_starts_nothing() {
    let file = "order_count,email,ltv,last_order_at,tier\n4,a@b.c,120.50,2026-01-05T10:00:00Z,gold\n,nobody,,,\n1,d@e.f,9,2026-01-06T10:00:00Z,\n";
    let read = |as_of| {
        let batch = import::profiles(file.as_bytes(), as_of).unwrap().next().unwrap();
        assert_eq!(batch.bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3]);
        let body = batch.body.unwrap();
        let headers = [
            ("authorization", "Bearer dev-records-key"),
            ("idempotency-key", batch.key.as_str()),
            ("tillstream-import", "nightly"),
        ];
        let accepted = accepted(post(&workspaces(), import::PATH, None, &headers, body.as_bytes()));
        assert!(accepted.reply.body.contains(r#""acceptedRecords":2"#));
        let items = items(&accepted, body.as_bytes()).unwrap();
        items.into_iter().map(Result::unwrap).collect::<Vec<_>>()
    };
    let events = read(None);
    assert_eq!(read(None), events, "a second run says the same under the same keys");
    for event in &events {
        assert_eq!(
            (event.origin.kind.as_str(), event.origin.label.as_deref()),
            ("bulk_import", Some("nightly"))
        );
        assert!(!event.trigger_eligible);
    }
    let person = events[0].person.as_ref().unwrap();
    assert_eq!((person.reported_orders_count, person.reported_total_spent), (Some(4), Some(usd(12_050))));
    assert_eq!(person.reported_at, Some(at("2026-01-05T10:00:00Z")), "as of the last order that it knows of");
    assert_eq!(person.attributes["tier"], "\"gold\"");
    assert_eq!(events[1].person.as_ref().unwrap().reported_at, Some(at("2026-01-06T10:00:00Z")));
    let as_of = at("2026-02-01T00:00:00Z");
    for event in read(Some(as_of)) {
        let person = event.person.unwrap();
        assert_eq!((person.reported_at, person.attributes.contains_key("_as_of")), (Some(as_of), false));
    }
}
