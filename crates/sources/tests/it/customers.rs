//! What is said of customers, in bodies of their own and
//! inside orders.

use commerce::event::{Channel, Consent, ConsentState, EventName, Person};
use serde_json::{Value, json};

use crate::fixture::*;

fn customer() -> Value {
    json!({
        "id": 7, "admin_graphql_api_id": "gid://shopify/Customer/7", "email": " Jane.Doe@Example.COM ", "phone": null,
        "created_at": "2026-01-02T10:00:00Z", "updated_at": "2026-03-14T11:00:00-04:00",
        "first_name": "Jane", "last_name": "Doe", "orders_count": 3, "total_spent": "99.00", "currency": "SGD",
        "tags": "vip, ,early", "default_address": {"city": "Salem", "zip": "01970", "country": "United States"},
    })
}

fn person(fields: Value) -> Person {
    Delivery::lifesight("customers_update").event(&with(customer(), fields)).person.unwrap()
}

fn consent(fields: Value) -> Vec<Consent> {
    person(fields).consent
}

fn said(consent: &Consent) -> (Channel, ConsentState, Option<&str>) {
    (consent.channel, consent.state, consent.opt_in_level.as_deref())
}

#[test]
fn a_customer_says_the_same_from_either_sender() {
    for (created, updated, kind) in [
        (Delivery::shopify("customers/create"), Delivery::shopify("customers/update"), "shopify_customer"),
        (
            Delivery::lifesight("customers_create"),
            Delivery::lifesight("customers_update"),
            "backend_customer",
        ),
    ] {
        let event = created.event(&customer());
        assert_eq!(
            (event.event, event.occurred_at),
            (EventName::CustomerCreated, at("2026-01-02T10:00:00Z"))
        );
        let event = updated.event(&customer());
        assert_eq!(
            (event.event, event.occurred_at),
            (EventName::CustomerUpdated, at("2026-03-14T15:00:00Z"))
        );
        assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("person", "7"));
        assert_eq!(event.entity.aliases, ["gid://shopify/Customer/7"]);
        assert_eq!(event.identifiers(), [("email", "jane.doe@example.com".into()), (kind, "7".into())]);
        assert_eq!((event.raw_item, event.raw_part, event.flags.len()), (0, 0, 0));
        assert!(event.payload.order.is_none() && event.payload.activity.is_none());
        let person = event.person.unwrap();
        assert_eq!((person.first_name.as_deref(), person.last_name.as_deref()), (Some("Jane"), Some("Doe")));
        assert_eq!(person.created_at, Some(at("2026-01-02T10:00:00Z")));
        assert_eq!(person.tags.as_deref().unwrap(), ["vip", "early"]);
        let address = person.address.unwrap();
        assert_eq!((address.zip.as_deref(), address.country_code.as_deref()), (Some("01970"), Some("US")));
    }
}

#[test]
fn life_c18_the_totals_of_a_customer_are_reported_as_of_the_update() {
    let found = person(json!({}));
    assert_eq!(found.reported_orders_count, Some(3));
    assert_eq!(found.reported_total_spent.unwrap().to_string(), "99.00 SGD");
    assert_eq!(found.reported_at, Some(at("2026-03-14T15:00:00Z")));
    let silent = person(json!({"orders_count": null, "total_spent": ""}));
    assert_eq!(
        (silent.reported_orders_count, silent.reported_total_spent, silent.reported_at),
        (None, None, None)
    );
    let zero = Delivery::lifesight("customers_create").read(CUSTOMER.as_bytes()).unwrap().person.unwrap();
    assert_eq!(
        (zero.reported_orders_count, zero.reported_total_spent.unwrap().minor),
        (Some(0), 0),
        "a zero is said"
    );
    let alone = person(json!({"orders_count": "4", "total_spent": null}));
    assert_eq!((alone.reported_orders_count, alone.reported_total_spent), (Some(4), None));
}

#[test]
fn a_total_without_a_currency_is_in_that_of_the_workspace_and_flagged() {
    let delivery =
        Delivery::lifesight("customers_update").configured(|config| config.base_currency = "JPY".into());
    let event = delivery.event(&with(customer(), json!({"currency": null})));
    assert_eq!(event.person.unwrap().reported_total_spent.unwrap().to_string(), "99 JPY");
    assert_eq!(event.flags, ["currency_assumed"]);
}

#[test]
fn life_c19_a_consent_is_published_with_its_level_and_since_the_update_if_it_has_no_time() {
    let event = Delivery::lifesight("customers_update").read(CUSTOMER.as_bytes()).unwrap();
    let consent = event.person.unwrap().consent;
    assert_eq!(consent.len(), 1, "a null says nothing of the other channel");
    assert_eq!(said(&consent[0]), (Channel::Email, ConsentState::NotSubscribed, Some("single_opt_in")));
    assert_eq!(consent[0].updated_at, Some(at("2023-12-01T11:44:57Z")));
}

#[test]
fn each_channel_has_its_own_word_and_time() {
    let found = consent(json!({
        "accepts_marketing": false,
        "email_marketing_consent": {"state": "SUBSCRIBED", "opt_in_level": "CONFIRMED_OPT_IN", "consent_updated_at": "2026-02-01T00:00:00Z"},
        "sms_marketing_consent": {"state": "pending", "opt_in_level": null, "consent_updated_at": null, "consent_collected_from": "OTHER"},
    }));
    assert_eq!(
        found.iter().map(said).collect::<Vec<_>>(),
        [
            (Channel::Email, ConsentState::Subscribed, Some("confirmed_opt_in")),
            (Channel::Sms, ConsentState::Pending, None),
        ]
    );
    assert_eq!(found[0].updated_at, Some(at("2026-02-01T00:00:00Z")));
    assert_eq!(found[1].updated_at, Some(at("2026-03-14T15:00:00Z")));
}

#[test]
fn the_older_yes_or_no_counts_where_the_email_has_no_word() {
    let since = json!("2026-02-02T00:00:00Z");
    let yes = consent(
        json!({"accepts_marketing": true, "accepts_marketing_updated_at": since, "marketing_opt_in_level": "single_opt_in"}),
    );
    assert_eq!(said(&yes[0]), (Channel::Email, ConsentState::Subscribed, Some("single_opt_in")));
    assert_eq!(yes[0].updated_at, Some(at("2026-02-02T00:00:00Z")));
    let no = consent(json!({"accepts_marketing": false, "email_marketing_consent": {}}));
    assert_eq!(said(&no[0]), (Channel::Email, ConsentState::NotSubscribed, None));
    assert_eq!(consent(json!({"accepts_marketing": null, "email_marketing_consent": []})), []);
}

#[test]
fn an_unknown_word_or_time_of_a_consent_is_flagged_and_costs_no_customer() {
    let body = with(
        customer(),
        json!({"email_marketing_consent": {"state": "redacted", "consent_updated_at": "x"}}),
    );
    let event = Delivery::lifesight("customers_update").event(&body);
    assert_eq!(
        event.flags,
        [
            "unknown_value:email_marketing_consent.state=redacted",
            "bad_time:email_marketing_consent.consent_updated_at"
        ]
    );
    assert_eq!(said(&event.person.unwrap().consent[0]), (Channel::Email, ConsentState::Unknown, None));
}

#[test]
fn the_default_address_is_the_one_that_is_called_so_else_the_first() {
    let list = json!([{"city": "A", "country_code": "DE"}, {"city": "B", "default": true}]);
    let city = |fields: Value| person(fields).address.and_then(|address| address.city);
    assert_eq!(city(json!({"addresses": list})).as_deref(), Some("Salem"));
    assert_eq!(city(json!({"default_address": null, "addresses": list})).as_deref(), Some("B"));
    assert_eq!(city(json!({"default_address": [], "addresses": [{"city": "A"}]})).as_deref(), Some("A"));
    assert_eq!(city(json!({"default_address": null, "addresses": []})), None);
    let phone = person(json!({"phone": "030 123456", "default_address": null, "addresses": list}));
    assert!(phone.identifiers.iter().any(|identifier| identifier.value == "+4930123456"));
}

#[test]
fn a_customer_that_lacks_or_misstates_a_field_fails_with_its_path() {
    for (field, value, reason) in [
        ("id", json!(null), "missing_field"),
        ("id", json!(true), "bad_value"),
        ("updated_at", json!("x"), "bad_time"),
        ("orders_count", json!("many"), "bad_value"),
        ("total_spent", json!("x"), "bad_money"),
        ("currency", json!("XQQ"), "bad_currency"),
    ] {
        let body = with(customer(), json!({field: value}));
        for delivery in [Delivery::shopify("customers/update"), Delivery::lifesight("customers_update")] {
            assert_eq!(delivery.failure(&body), (reason, field.to_owned()));
        }
    }
    let failure = |name, fields| Delivery::lifesight(name).failure(&with(customer(), fields));
    assert_eq!(
        failure("customers_create", json!({"created_at": null})),
        ("missing_field", "created_at".into())
    );
    assert_eq!(
        failure("customers_update", json!({"updated_at": null})),
        ("missing_field", "updated_at".into())
    );
    assert_eq!(failure("customers_update", json!({"email": null})), ("missing_field", "email".into()));
    let nobody = with(customer(), json!({"email": null}));
    assert_eq!(
        Delivery::shopify("customers/update").event(&nobody).identifiers(),
        [("shopify_customer", "7".into())]
    );
}

#[test]
fn one_version_of_a_customer_is_one_event_and_another_content_another() {
    let key =
        |fields: Value| Delivery::shopify("customers/update").event(&with(customer(), fields)).keys.semantic;
    assert_eq!(key(json!({})), key(json!({"updated_at": "2026-03-14T15:00:00Z", "note": "x"})));
    for fields in [
        json!({"orders_count": 4}),
        json!({"total_spent": "99.01"}),
        json!({"currency": "USD"}),
        json!({"tags": "vip"}),
        json!({"first_name": "Joan"}),
        json!({"email_marketing_consent": {"state": "subscribed"}}),
        json!({"updated_at": "2026-03-14T15:00:01Z"}),
        json!({"id": 8}),
    ] {
        assert_ne!(key(json!({})), key(fields.clone()), "{fields}");
    }
}

#[test]
fn a_request_to_forget_a_customer_names_them_and_keeps_nothing_else() {
    let body = json!({
        "shop_id": 954889, "shop_domain": SHOP, "orders_to_redact": [299938, 280263],
        "customer": {"id": 191167, "email": "John@example.com", "phone": "555-625-1199", "first_name": "John"},
    });
    let event = Delivery::shopify("customers/redact").event(&body);
    assert_eq!((event.event, event.source_event.as_str()), (EventName::CustomerDeleted, "customers/redact"));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("person", "191167"));
    assert_eq!(
        event.identifiers(),
        [("email", "john@example.com".into()), ("shopify_customer", "191167".into())]
    );
    assert_eq!(event.occurred_at.0, event.received_at.0);
    assert_eq!(event.payload.properties.get("orders_to_redact").unwrap(), "[299938,280263]");
    let kept =
        Person { identifiers: event.person.as_ref().unwrap().identifiers.clone(), ..Person::default() };
    assert_eq!(event.person, Some(kept));

    for body in [json!({"customer": {}}), json!({"customer": {"email": "[email protected]"}})] {
        assert_eq!(
            Delivery::shopify("customers/redact").failure(&body),
            ("missing_field", "customer.id".into())
        );
    }
    assert_eq!(
        Delivery::shopify("customers/redact").failure(&json!({})),
        ("missing_field", "customer".into())
    );
    let guest =
        Delivery::shopify("customers/redact").event(&json!({"customer": {"id": null, "email": "g@h.ij"}}));
    assert!(!guest.entity.id.contains('@') && guest.entity.id.len() == 32, "{}", guest.entity.id);
}

#[test]
fn the_same_erasure_again_is_one_event_and_a_later_one_another() {
    let body = json!({"customer": {"id": 1}});
    let of = |id: &str| Delivery::shopify("customers/redact").with("http.x-shopify-webhook-id", id);
    let (first, again, later) = (of("a"), of("a").received("2026-03-15T00:00:00Z"), of("b"));
    assert_eq!(first.event(&body).event_id, again.event(&body).event_id);
    assert_ne!(first.event(&body).event_id, later.event(&body).event_id);
}

#[test]
fn a_customer_that_the_shop_removed_is_deleted_by_its_id() {
    let event =
        Delivery::shopify("customers/delete").event(&json!({"id": 7, "phone": null, "addresses": []}));
    assert_eq!(
        (event.event, event.identifiers()),
        (EventName::CustomerDeleted, vec![("shopify_customer", "7".into())])
    );
    assert_eq!(Delivery::shopify("customers/delete").failure(&json!({})), ("missing_field", "id".into()));
}

fn orders(fields: Value) -> Vec<commerce::Event> {
    Delivery::shopify("orders/updated").events(&with(order(), fields))
}

#[test]
fn an_order_gives_an_event_of_its_customer_only_if_the_customer_object_reports_something() {
    for silent in [
        json!(null),
        json!([]),
        json!({}),
        json!({"id": 7, "email": "a@b.c", "first_name": "Jane", "phone": "1", "tags": "", "state": "enabled"}),
        json!({"id": 7, "email_marketing_consent": null, "sms_marketing_consent": {}, "orders_count": null}),
    ] {
        assert_eq!(orders(json!({"customer": silent})).len(), 1, "{silent}");
    }
    for telling in [
        json!({"id": 7, "orders_count": 0}),
        json!({"id": 7, "total_spent": "0.00"}),
        json!({"id": 7, "tags": "vip"}),
        json!({"id": 7, "accepts_marketing": false}),
        json!({"id": 7, "email_marketing_consent": {"state": "subscribed"}}),
        json!({"id": 7, "created_at": "2026-01-01T00:00:00Z"}),
    ] {
        let events = orders(json!({"customer": telling}));
        assert_eq!(events.len(), 2, "{telling}");
        assert_eq!((events[0].event, events[1].event), (EventName::OrderUpdated, EventName::CustomerUpdated));
    }
    let nobody = orders(json!({"email": null, "customer": {"tags": "vip"}}));
    assert_eq!(nobody.len(), 1, "nobody can be told of");
}

#[test]
fn the_customer_of_an_order_is_the_person_of_the_order_as_of_its_version() {
    let customer = json!({
        "id": 7, "email": "other@example.com", "first_name": "Jane", "orders_count": 5, "total_spent": "250.00", "tags": "vip",
        "created_at": "2026-01-01T00:00:00Z", "email_marketing_consent": {"state": "subscribed", "consent_updated_at": null},
        "default_address": {"city": "Lynn"},
    });
    let events = orders(json!({"customer": customer}));
    let (order, event) = (&events[0], &events[1]);
    let version = at("2026-03-14T13:05:00Z");
    assert_eq!((event.raw_item, event.raw_part, event.occurred_at), (0, 1, version));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("person", "7"));
    assert_eq!((event.source_event.as_str(), &event.source_space), ("orders/updated", &order.source_space));
    assert_eq!(event.keys.transport, order.keys.transport);
    assert_ne!(event.event_id, order.event_id);
    assert_eq!(event.payload, Default::default());
    let (of_order, person) = (order.person.as_ref().unwrap(), event.person.as_ref().unwrap());
    assert_eq!(person.identifiers, of_order.identifiers);
    assert_eq!((person.reported_orders_count, person.reported_at), (Some(5), Some(version)));
    assert_eq!(person.reported_total_spent.unwrap().minor, 25000);
    assert_eq!(
        (person.tags.as_deref().unwrap(), person.created_at),
        (&["vip".to_owned()][..], Some(at("2026-01-01T00:00:00Z")))
    );
    assert_eq!(person.consent[0].updated_at, Some(version));
    assert_eq!(person.address.as_ref().unwrap().city.as_deref(), Some("Lynn"));
    assert_eq!(of_order.consent, [], "the order's own event stays as it was");
    assert_eq!(of_order.tags, None);
}

#[test]
fn d_shop_4_each_version_of_an_order_reports_its_customer_anew_and_a_repetition_is_one() {
    let key = |topic: &str, fields: Value| {
        let body = with(with(order(), json!({"customer": {"id": 7, "orders_count": 5}})), fields);
        Delivery::shopify(topic).events(&body)[1].keys.semantic.clone()
    };
    assert_eq!(key("orders/updated", json!({})), key("orders/updated", json!({"tags": "x"})));
    assert_eq!(
        key("orders/updated", json!({})),
        key("orders/create", json!({})),
        "one state, whatever brought it"
    );
    assert_ne!(
        key("orders/updated", json!({})),
        key("orders/updated", json!({"updated_at": "2026-03-14T13:06:00Z"}))
    );
    assert_ne!(
        key("orders/updated", json!({})),
        key("orders/updated", json!({"customer": {"id": 7, "orders_count": 6}}))
    );
}

#[test]
fn a_faulty_time_of_the_customer_costs_no_order() {
    let events = orders(json!({"customer": {"id": 7, "created_at": "x", "tags": "vip"}}));
    assert_eq!(events[1].flags, ["bad_time:customer.created_at"]);
    assert_eq!(events[0].flags.len(), 0);
}

#[test]
fn the_samples_customer_is_told_of_with_the_consent_of_the_record() {
    let events = Delivery::lifesight("orders_create").read_all(ORDER.as_bytes()).unwrap();
    assert_eq!(events.len(), 2);
    let person = events[1].person.as_ref().unwrap();
    assert_eq!(
        person.consent.iter().map(said).collect::<Vec<_>>(),
        [(Channel::Email, ConsentState::Subscribed, Some("single_opt_in"))]
    );
    assert_eq!(person.consent[0].updated_at, Some(at("2023-11-19T14:04:35Z")));
    assert_eq!(
        (person.reported_orders_count, person.reported_at),
        (None, None),
        "shop_c17: it has no totals"
    );
    assert_eq!(events[0].person.as_ref().unwrap().consent, [], "the buyer's yes is in the record already");
}

#[test]
fn a_buyers_yes_is_the_orders_own_where_no_customer_speaks() {
    let events = orders(json!({"buyer_accepts_marketing": true, "customer": {"id": 7}}));
    assert_eq!(events.len(), 1);
    let consent = &events[0].person.as_ref().unwrap().consent;
    assert_eq!(
        consent.iter().map(said).collect::<Vec<_>>(),
        [(Channel::Email, ConsentState::Subscribed, None)]
    );
    assert_eq!(consent[0].updated_at, Some(at("2026-03-14T13:00:00Z")));
    assert_eq!(orders(json!({"buyer_accepts_marketing": false}))[0].person.as_ref().unwrap().consent, []);
}

#[test]
fn a_test_order_tells_nothing_of_its_customer_but_qa() {
    let events = orders(json!({"test": true, "customer": {"id": 7, "orders_count": 5}}));
    assert!(events.len() == 2 && events.iter().all(|event| event.qa));
}
