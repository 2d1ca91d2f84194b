//! People, their attributes and consent, and what starts nothing.

use commerce::event::{Channel, ConsentState};
use commerce::person::Kind;
use commerce::{EventName, EventTime};
use http::Method;
use serde_json::{Value, json};

use crate::customerio_events::*;
use crate::fixture::*;

#[test]
fn cio_c13_an_anonymous_event_and_an_identify_share_the_anonymous_id() {
    let body = json!({"name": "product_viewed", "anonymous_id": "anon-1", "data": {"product_id": "P"}});
    let event = sender().event(&Method::POST, "/api/v1/events", body);
    assert_eq!(event.identifiers(), [("anonymous", "anon-1".into())]);
    assert!(event.entity.r#type == "person" && !event.entity.id.contains("anon-1"));
    let known = identify(PERSON, json!({"anonymous_id": "anon-1"}));
    assert_eq!(known.identifiers(), [("user", "5".into()), ("anonymous", "anon-1".into())]);
    assert!(known.person.unwrap().attributes.is_empty());
    let nobody = sender().event(&Method::POST, "/api/v1/events", json!({"name": "x"}));
    assert_eq!((nobody.person, nobody.entity.r#type.as_str()), (None, "event"));
    let body =
        json!({"type": "person", "action": "event", "identifiers": {"anonymous_id": "anon-1"}, "name": "x"});
    assert_eq!(
        sender().event(&Method::POST, "/api/v2/entity", body).identifiers(),
        [("anonymous", "anon-1".into())]
    );
}

#[test]
fn cio_c10_a_path_names_an_id_an_email_or_the_providers_own_id() {
    for (path, kind, space, value) in [
        ("5", Kind::User, "", "5"),
        ("Jane%40Example.com", Kind::Email, "", "jane@example.com"),
        ("jane@example.com", Kind::Email, "", "jane@example.com"),
        ("cio_03000001", Kind::User, "cio", "03000001"),
        ("a%2Fb%20c", Kind::User, "", "a/b c"),
        ("cio_", Kind::User, "", "cio_"),
        ("@handle", Kind::User, "", "@handle"),
    ] {
        let event =
            sender().event(&Method::POST, &format!("/api/v1/customers/{path}/events"), json!({"name": "x"}));
        let person = event.person.as_ref().unwrap();
        let found = &person.identifiers[0];
        assert_eq!((found.kind, found.space.as_str(), found.value.as_str()), (kind, space, value), "{path}");
        assert_eq!(
            (person.identifiers.len(), person.email.as_deref()),
            (1, None),
            "a track sets no attribute"
        );
        assert_eq!(
            event.entity.id == value,
            kind == Kind::User && space.is_empty(),
            "an entity shows no e-mail"
        );
    }
}

#[test]
fn an_identify_is_a_person_with_attributes_and_no_order() {
    let event = identify(
        PERSON,
        json!({
            "email": " Jane@Example.com ", "phone": "+1 202 555 0100", "created_at": 1_700_000_000, "first_name": "Jane",
            "last_name": "Doe", "vip_tier": "gold", "age": 41, "active": true, "score": null, "note": "", "tags": ["a"],
            "first_order_date": "2023-01-01", "orders_count": 4, "lifetime_value": 120.5, "last_order_at": 1_700_000_000,
        }),
    );
    assert_eq!((event.event, event.source_event.as_str()), (EventName::CustomerUpdated, "identify"));
    unflagged(&event);
    let person = event.person.as_ref().unwrap();
    assert_eq!(
        event.identifiers(),
        [("user", "5".into()), ("email", "jane@example.com".into()), ("phone", "+12025550100".into())]
    );
    assert_eq!(
        (person.email.as_deref(), person.phone.as_deref()),
        (Some("Jane@Example.com"), Some("+1 202 555 0100"))
    );
    assert_eq!((person.first_name.as_deref(), person.last_name.as_deref()), (Some("Jane"), Some("Doe")));
    assert_eq!(person.created_at, Some(at("2023-11-14T22:13:20Z")));
    let attributes: Vec<_> =
        person.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        attributes,
        [
            ("active", "true"),
            ("age", "41"),
            ("first_order_date", "\"2023-01-01\""),
            ("reported_last_order_at", "1700000000"),
            ("reported_lifetime_value", "120.5"),
            ("reported_orders_count", "4"),
            ("tags", "[\"a\"]"),
            ("vip_tier", "\"gold\""),
        ]
    );
    assert_eq!(
        (person.reported_orders_count, person.reported_total_spent, person.reported_last_order_at),
        (None, None, None)
    );
    assert_eq!(
        (person.update_only, person.attributes_at, event.payload),
        (false, None, commerce::event::Payload::default())
    );
}

#[test]
fn cio_c25_attributes_hold_as_of_their_own_time() {
    let event = identify(
        PERSON,
        json!({"plan": "x", "_timestamp": 1_773_500_000, "_update": true, "email_opt_in": true}),
    );
    let instant = Some(EventTime(1_773_500_000_000_000));
    let person = event.person.as_ref().unwrap();
    assert_eq!((person.attributes_at, Some(event.occurred_at), person.update_only), (instant, instant, true));
    assert_eq!(person.consent[0].updated_at, instant);
    assert_eq!(person.attributes.keys().collect::<Vec<_>>(), ["email_opt_in", "plan"]);
    let body = json!({"type": "person", "action": "identify", "identifiers": {"id": 5}, "timestamp": 1_773_500_000,
        "attributes": {"plan": "x", "_update": true}});
    let person = sender().event(&Method::POST, "/api/v2/entity", body).person.unwrap();
    assert_eq!(
        (person.attributes_at, person.update_only, person.attributes["plan"].as_str()),
        (instant, true, "\"x\"")
    );
}

#[test]
fn cio_c14_an_identify_with_somebody_elses_email_merges_nobody() {
    let event = identify(PERSON, json!({"email": "other@example.com"}));
    assert_eq!(event.event, EventName::CustomerUpdated);
    assert!(event.person.as_ref().unwrap().absorbed.is_empty());
    assert_eq!(event.identifiers(), [("user", "5".into()), ("email", "other@example.com".into())]);
    let other_id = identify(PERSON, json!({"id": "6"}));
    assert_eq!(
        (other_id.identifiers(), other_id.flags),
        (vec![("user", "5".into())], vec!["identity_conflict".to_owned()])
    );
    let other_email = identify("/api/v1/customers/a%40b.c", json!({"email": "x@y.z", "id": 5}));
    assert_eq!(other_email.identifiers(), [("email", "a@b.c".into()), ("user", "5".into())]);
    assert_eq!(
        (other_email.flags.as_slice(), other_email.person.unwrap().email.as_deref()),
        (&["identity_conflict".to_owned()][..], Some("x@y.z"))
    );
    let named = identify("/api/v1/customers/cio_1", json!({"id": 5, "email": "a@b.c"}));
    assert_eq!(named.identifiers(), [("user", "1".into()), ("email", "a@b.c".into()), ("user", "5".into())]);
    unflagged(&named);
    let odd =
        identify(PERSON, json!({"email": "[email protected]", "phone": "call me", "created_at": "long ago"}));
    assert_eq!(odd.identifiers(), [("user", "5".into())]);
    let mut flags = odd.flags.clone();
    flags.sort();
    assert_eq!(flags, ["bad_value:created_at", "email_invalid", "phone_unresolved"]);
}

#[test]
fn consent_is_read_by_channel() {
    use ConsentState::{NotSubscribed, Subscribed, Unsubscribed};
    let said = |body: Value| {
        let consent = identify(PERSON, body).person.unwrap().consent;
        let of = |channel| consent.iter().find(|c| c.channel == channel).map(|c| c.state);
        (of(Channel::Email), of(Channel::Sms))
    };
    for (body, expected) in [
        (json!({}), (None, None)),
        (json!({"marketing_opt_in": true}), (Some(Subscribed), None)),
        (json!({"marketing_opt_in": true, "email_opt_in": false}), (Some(NotSubscribed), None)),
        (json!({"sms_opt_in": "true", "email_opt_in": "false"}), (Some(NotSubscribed), Some(Subscribed))),
        (
            json!({"unsubscribed": true, "email_opt_in": true, "sms_opt_in": true}),
            (Some(Unsubscribed), Some(Unsubscribed)),
        ),
        (json!({"unsubscribed": false}), (Some(Subscribed), None)),
        (json!({"unsubscribed": false, "email_opt_in": false}), (Some(NotSubscribed), None)),
        (
            json!({"cio_subscription_preferences": {"topics": {"topic_1": false, "topic_2": true}}}),
            (Some(Subscribed), None),
        ),
        (
            json!({"cio_subscription_preferences": "{\"topics\":{\"topic_1\":false}}"}),
            (Some(NotSubscribed), None),
        ),
        (json!({"cio_subscription_preferences": {"topics": {}}}), (None, None)),
        (json!({"cio_subscription_preferences": "nonsense"}), (None, None)),
    ] {
        assert_eq!(said(body.clone()), expected, "{body}");
    }
    let event =
        identify(PERSON, json!({"email_opt_in": "perhaps", "sms_opt_in": true, "consent_region": "EU"}));
    assert_eq!(event.flags, ["bad_value:email_opt_in"]);
    let person = event.person.unwrap();
    assert_eq!((person.consent.len(), person.consent[0].region.as_deref()), (1, Some("EU")));
    assert!(person.attributes.contains_key("sms_opt_in"), "flags stay usable in filters");
}

#[test]
fn people_are_merged_deleted_suppressed_and_readmitted() {
    let merge = json!({"primary": {"id": 5}, "secondary": {"email": "Jane@Example.com"}});
    let v2 = with(merge.clone(), json!({"type": "person", "action": "merge"}));
    for (path, body) in [("/api/v1/merge_customers", merge), ("/api/v2/entity", v2)] {
        let event = sender().event(&Method::POST, path, body);
        assert_eq!(
            (event.event, event.identifiers()),
            (EventName::CustomerMerged, vec![("user", "5".into())])
        );
        let absorbed = &event.person.as_ref().unwrap().absorbed;
        assert_eq!(
            (absorbed.len(), absorbed[0].kind, absorbed[0].value.as_str()),
            (1, Kind::Email, "jane@example.com")
        );
    }
    let cio = json!({"primary": {"cio_id": "cio_03"}, "secondary": {"id": "7"}});
    let event = sender().event(&Method::POST, "/api/v1/merge_customers", cio);
    let primary = &event.person.as_ref().unwrap().identifiers[0];
    assert_eq!((primary.kind, primary.space.as_str(), primary.value.as_str()), (Kind::User, "cio", "03"));

    let deleted = sender().event(&Method::DELETE, PERSON, json!({}));
    assert_eq!(
        (deleted.event, deleted.identifiers()),
        (EventName::CustomerDeleted, vec![("user", "5".into())])
    );
    for (verb, event) in
        [("suppress", EventName::CustomerSuppressed), ("unsuppress", EventName::CustomerUnsuppressed)]
    {
        let v1 = sender().items(&Method::POST, &format!("{PERSON}/{verb}"), "").remove(0).unwrap();
        assert_eq!(
            (v1.event, v1.source_event.as_str(), v1.identifiers()),
            (event, verb, vec![("user", "5".into())])
        );
    }
    for (action, event) in [
        ("delete", EventName::CustomerDeleted),
        ("suppress", EventName::CustomerSuppressed),
        ("unsuppress", EventName::CustomerUnsuppressed),
        ("identify", EventName::CustomerUpdated),
    ] {
        let body = json!({"type": "person", "action": action, "identifiers": {"email": "a@b.c"}});
        let found = sender().event(&Method::POST, "/api/v2/entity", body);
        assert_eq!((found.event, found.identifiers()), (event, vec![("email", "a@b.c".into())]));
    }
}

#[test]
fn an_unsubscription_is_a_consent_of_whoever_the_message_went_to() {
    let event = sender().event(&Method::POST, "/unsubscribe/dlv-1", json!({"unsubscribe": true}));
    assert_eq!(
        (event.event, event.flags.as_slice()),
        (EventName::CustomerUpdated, &["person_unknown".to_owned()][..])
    );
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("delivery", "dlv-1"));
    let person = event.person.as_ref().unwrap();
    assert!(person.identifiers.is_empty());
    assert!(
        person.consent.len() == 2 && person.consent.iter().all(|c| c.state == ConsentState::Unsubscribed)
    );
    let named =
        sender().event(&Method::POST, "/unsubscribe/dlv-1", json!({"unsubscribe": true, "email": "a@b.c"}));
    assert_eq!((named.identifiers(), named.flags.len()), (vec![("email", "a@b.c".into())], 0));
    assert!(sender().items(&Method::POST, "/unsubscribe/dlv-1", r#"{"unsubscribe":false}"#).is_empty());
}

#[test]
fn what_is_only_kept_has_no_event() {
    for (method, path, body) in [
        (Method::PUT, "/api/v1/customers/5/devices", r#"{"device":{"id":"t","platform":"ios"}}"#),
        (Method::DELETE, "/api/v1/customers/5/devices/t", ""),
        (Method::POST, "/api/v1/segments/3/add_customers", r#"{"ids":["1"]}"#),
        (Method::POST, "/api/v1/forms/f/submit", r#"{"data":{"email":"a@b.c"}}"#),
        (Method::POST, "/api/v1/metrics", r#"{"delivery_id":"d","metric":"opened"}"#),
        (Method::POST, "/api/v1/push/events", r#"{"delivery_id":"d","event":"opened"}"#),
        (
            Method::POST,
            "/api/v2/entity",
            r#"{"type":"object","action":"identify","identifiers":{"object_id":1}}"#,
        ),
        (Method::POST, "/api/v2/entity", r#"{"type":"delivery","action":"event","name":"opened"}"#),
    ] {
        assert_eq!(sender().items(&method, path, body).len(), 0, "{path}");
    }
}

#[test]
fn cio_c15_a_late_event_keeps_its_own_time_and_starts_nothing() {
    let ten_days = 1_773_504_000 - 10 * 86_400;
    let event = sender().event(
        &Method::POST,
        EVENTS,
        json!({"name": "order_paid", "timestamp": ten_days, "data": paid()}),
    );
    assert_eq!(event.occurred_at, at("2026-03-04T16:00:00Z"));
    assert_eq!((event.trigger_eligible, event.order().paid_at), (false, Some(event.occurred_at)));
    assert!(track("order_paid", paid()).trigger_eligible);
}

#[test]
fn cio_c16_a_backfill_is_labelled_and_starts_nothing() {
    for (value, label) in [(json!(true), None), (json!("true"), None), (json!("spring"), Some("spring"))] {
        let event = track("order_paid", with(paid(), json!({"backfill": value})));
        assert_eq!((event.origin.kind.as_str(), event.origin.label.as_deref()), ("backfill", label));
        assert!(!event.trigger_eligible && event.payload.properties.is_empty());
    }
    let live = track("order_paid", with(paid(), json!({"backfill": false})));
    assert!(live.origin.kind == "live" && live.trigger_eligible);
    let mut labelled = sender();
    labelled.headers.push(("tillstream-backfill", "2025"));
    assert_eq!(labelled.track("x", json!({})).origin.label.as_deref(), Some("2025"));
}

#[test]
fn cio_c17_staff_is_qa() {
    let sender = configured(|config| config.test_accounts = vec!["qa.example".into(), "user:42".into()]);
    for (path, qa) in [("a%40qa.example", true), ("42", true), ("5", false), ("a%40b.c", false)] {
        let path = format!("/api/v1/customers/{path}/events");
        let event = sender.event(&Method::POST, &path, json!({"name": "order_paid", "data": paid()}));
        assert_eq!(event.qa, qa, "{path}");
    }
}
