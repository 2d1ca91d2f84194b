//! What a delivery of the custom backend says.

use commerce::event::{FinancialStatus, FulfillmentStatus};
use commerce::{EventName, person::Kind};
use serde_json::{Value, json};

use crate::fixture::*;

fn event(name: &str, fields: Value) -> commerce::Event {
    Delivery::lifesight(name).event(&with(order(), fields))
}

#[test]
fn life_c01_the_sample_order_is_read_in_full() {
    let event = Delivery::lifesight("orders_create").read(ORDER.as_bytes()).unwrap();
    let order = event.order();
    assert_eq!((event.event, event.entity.id.as_str()), (EventName::OrderPlaced, "5766207635539"));
    assert_eq!(event.entity.aliases, ["number:5187793", "gid://shopify/Order/5766207635539"]);
    assert_eq!((event.source_space.as_str(), event.source_event.as_str()), ("shop", "orders_create"));
    assert_eq!(order.total.unwrap().to_string(), "30.49 USD");
    assert_eq!(order.shipping_total.unwrap().to_string(), "7.00 USD");
    assert_eq!(order.financial_status, Some(FinancialStatus::Paid));
    assert_eq!(
        (event.occurred_at, order.paid_at),
        (at("2023-11-19T14:04:57Z"), Some(at("2023-11-19T14:04:57Z")))
    );
    assert_eq!(order.version, at("2023-11-19T14:06:18Z"));
    let campaign = order.campaign.as_ref().unwrap();
    assert_eq!(campaign.source.as_deref(), Some("Instagram"), "the channel that the backend names");
    assert!(!event.trigger_eligible, "it is years old");
}

#[test]
fn d_life_9_a_masked_address_is_kept_and_the_customer_id_identifies() {
    let event = Delivery::lifesight("orders_create").read(ORDER.as_bytes()).unwrap();
    assert_eq!(event.identifiers(), [("backend_customer", "6980745363528".into())]);
    let person = event.person.as_ref().unwrap();
    assert_eq!(
        (person.identifiers[0].kind, person.identifiers[0].space.as_str()),
        (Kind::BackendCustomer, "shop")
    );
    assert_eq!(
        person.email.as_deref(),
        Some("[email\u{a0}protected]"),
        "as it was sent, with its no-break space"
    );
    assert_eq!(event.flags, ["email_invalid"]);
}

#[test]
fn each_event_name_states_its_fact_at_its_own_time() {
    let fields = || {
        json!({
            "processed_at": "2026-03-14T13:01:00Z", "cancelled_at": null, "financial_status": "pending",
            "fulfillment_status": "unshipped",
        })
    };
    let (created, updated, processed) =
        (at("2026-03-14T13:00:00Z"), at("2026-03-14T13:05:00Z"), at("2026-03-14T13:01:00Z"));
    let placed = event("orders_create", fields());
    assert_eq!(
        (placed.event, placed.occurred_at, placed.order().paid_at),
        (EventName::OrderPlaced, created, None)
    );
    let paid = event("orders_paid", fields());
    assert_eq!(
        (paid.event, paid.occurred_at, paid.order().paid_at),
        (EventName::OrderPaid, processed, Some(processed))
    );
    assert_eq!(event("orders_paid", json!({"processed_at": null})).occurred_at, created);
    let changed = event("orders_updated", fields());
    assert_eq!((changed.event, changed.occurred_at), (EventName::OrderUpdated, updated));
    let shipped = event("orders_fulfilled", fields());
    assert_eq!((shipped.event, shipped.order().fulfilled_at), (EventName::OrderFulfilled, Some(updated)));
    assert_eq!(
        shipped.order().fulfillment_status,
        Some(FulfillmentStatus::Fulfilled),
        "even if the status lags"
    );
    let partly = event("orders_partially_fulfilled", fields());
    assert_eq!(
        (partly.event, partly.order().partially_fulfilled_at),
        (EventName::OrderPartiallyFulfilled, Some(updated))
    );
    let off = event("orders_cancelled", json!({"cancelled_at": "2026-03-14T11:00:00-04:00"}));
    assert_eq!((off.event, off.occurred_at), (EventName::OrderCancelled, at("2026-03-14T15:00:00Z")));
    assert_eq!(off.order().cancelled_at, Some(off.occurred_at));
}

#[test]
fn a_cancellation_that_has_no_other_time_is_its_own_version() {
    let body = without(
        without(with(order(), json!({"cancelled_at": "2026-03-14T11:00:00Z"})), "created_at"),
        "updated_at",
    );
    let event = Delivery::lifesight("orders_cancelled").event(&body);
    assert_eq!((event.order().version, event.order().placed_at), (at("2026-03-14T11:00:00Z"), None));
    assert_eq!(event.flags, ["missing:created_at", "missing:updated_at"]);
}

#[test]
fn life_c08_an_empty_list_in_the_place_of_an_address_is_absent() {
    let event = event("orders_create", json!({"shipping_address": []}));
    assert_eq!(
        (event.person.as_ref().unwrap().address.as_ref(), event.order().country.as_ref()),
        (None, None)
    );
    assert_eq!(event.flags, ["missing:shipping_address"]);
}

#[test]
fn what_is_expected_and_absent_is_flagged_with_its_path() {
    let fields = json!({
        "subtotal_price": null, "updated_at": null, "shipping_address": {"city": "Salem", "zip": ""},
        "line_items": [{"price": "1.00", "quantity": 1, "title": "A", "product_id": 1}],
    });
    let expected = [
        "missing:updated_at",
        "missing:subtotal_price",
        "missing:shipping_address.zip",
        "missing:shipping_address.province",
        "missing:shipping_address.country",
        "missing:line_items[0].variant_id",
        "missing:line_items[0].total_discount",
    ];
    assert_eq!(event("orders_create", fields).flags, expected);
    assert_eq!(event("orders_create", json!({"line_items": []})).flags.len(), 0, "an empty list is a list");
    assert_eq!(event("orders_create", json!({"line_items": null})).flags, ["missing:line_items"]);
}

#[test]
fn life_c09_number_and_string_are_the_same_order_and_nothing_is_rounded() {
    let id = |id: Value| event("orders_create", json!({"id": id})).entity.id;
    assert_eq!(id(json!(5766207635539_u64)), id(json!("5766207635539")));
    assert_eq!(id(json!(9007199254740993_u64)), "9007199254740993");
    assert_eq!(id(json!(18446744073709551615_u64)), "18446744073709551615");
}

#[test]
fn life_c10_an_amount_may_lack_digits_and_all_coupons_are_kept_in_order() {
    let codes: Value = serde_json::from_str(DISCOUNT_CODES).unwrap();
    let event = event("orders_create", json!({"subtotal_price": "23.4", "discount_codes": codes}));
    assert_eq!(event.order().subtotal.unwrap().minor, 2340);
    assert_eq!(event.order().coupon_codes.as_deref().unwrap(), ["SPRING30", "SPRING10", "FLAT5"]);
}

#[test]
fn life_c12_another_event_name_is_another_event() {
    let key = |name: &str| event(name, json!({})).keys.semantic;
    assert_eq!(key("orders_create"), key("orders_create"));
    assert_ne!(key("orders_create"), key("orders_updated"));
}

#[test]
fn life_c13_the_same_instant_in_another_offset_is_the_same_semantic_key() {
    let one = event("orders_updated", json!({"updated_at": "2026-03-14T09:05:00-04:00"}));
    let same = event("orders_updated", json!({"updated_at": "2026-03-14T13:05:00+00:00"}));
    assert_eq!((one.keys.semantic, one.event_id), (same.keys.semantic, same.event_id.clone()));
    assert_ne!(one.keys.transport, same.keys.transport);
    let later = event("orders_updated", json!({"updated_at": "2026-03-14T13:05:01+00:00"}));
    assert_ne!(same.event_id, later.event_id);
}

#[test]
fn the_transport_key_of_the_door_is_that_of_the_event() {
    let accepted = accepted(lifesight("orders_create", ORDER.as_bytes()));
    let mut delivery = Delivery::lifesight("x");
    delivery.headers = accepted.headers;
    assert_eq!(delivery.read(ORDER.as_bytes()).unwrap().keys.transport, accepted.delivery.to_hex());
}

#[test]
fn life_c15_the_words_of_the_backend_map_to_canonical_ones() {
    let status =
        |word: &str| event("orders_updated", json!({"fulfillment_status": word})).order().fulfillment_status;
    for (word, expected) in [
        ("shipped", FulfillmentStatus::Fulfilled),
        ("fulfilled", FulfillmentStatus::Fulfilled),
        ("partial", FulfillmentStatus::PartiallyFulfilled),
        ("unshipped", FulfillmentStatus::Unfulfilled),
        ("unfulfilled", FulfillmentStatus::Unfulfilled),
        ("restocked", FulfillmentStatus::Restocked),
    ] {
        assert_eq!(status(word), Some(expected), "{word}");
    }
}

#[test]
fn life_c20_a_zip_keeps_its_zero() {
    let address = event("orders_create", json!({})).person.unwrap().address.unwrap();
    assert_eq!((address.zip.as_deref(), address.country_code.as_deref()), (Some("01907"), Some("US")));
}

#[test]
fn life_c21_two_variants_of_one_product_stay_two_items() {
    let lines: Value = serde_json::from_str(LINE_ITEMS).unwrap();
    let event = event("orders_create", json!({"line_items": lines}));
    let items: Vec<_> = event.order().items.iter().flatten().collect();
    let said = |n: usize| {
        let item = items[n];
        (
            item.product_id.as_deref(),
            item.variant_id.as_deref(),
            item.variant_title.as_deref(),
            item.price.unwrap().minor,
        )
    };
    assert_eq!(items.len(), 2);
    assert_eq!(said(0), (Some("3891553173576"), Some("29276034203720"), Some("M"), 2349));
    assert_eq!(said(1), (Some("3891553173576"), Some("29276034203721"), Some("L"), 2449));
    assert_eq!(
        (items[0].brand.as_deref(), items[0].sku.as_deref()),
        (Some("Lifesight"), Some("LS4000NAVYM"))
    );
    assert_eq!(event.order().item_count, Some(2));
    assert_eq!(event.flags.len(), 0, "nothing of the sample is missing: {:?}", event.flags);
}

#[test]
fn life_c23_a_national_phone_takes_the_country_of_the_address() {
    let phone = |fields| event("orders_create", fields);
    let us = phone(json!({"phone": "2025550100"}));
    assert!(us.identifiers().contains(&("phone", "+12025550100".into())));
    assert_eq!(us.person.unwrap().phone.as_deref(), Some("2025550100"), "kept as given");
    let by_name = json!({"phone": "2025550100", "shipping_address": {"country": "United States"}});
    assert!(phone(by_name).identifiers().contains(&("phone", "+12025550100".into())));
    let nowhere =
        json!({"phone": null, "customer": {"id": 1, "phone": "2025550100"}, "shipping_address": []});
    assert!(phone(nowhere.clone()).flags.contains(&"phone_unresolved".into()));
    let configured =
        Delivery::lifesight("orders_create").configured(|config| config.phone_region = Some("US".into()));
    let found = configured.event(&with(order(), nowhere)).identifiers();
    assert!(found.contains(&("phone", "+12025550100".into())));
}

#[test]
fn the_backend_prefers_the_contact_email_to_that_of_the_customer() {
    let fields = json!({"email": null, "contact_email": "contact@b.c", "customer": {"id": 1, "email": "customer@b.c"}});
    assert_eq!(event("orders_create", fields).identifiers()[0].1, "contact@b.c");
}

#[test]
fn an_unknown_name_has_no_event() {
    let failure = Delivery::lifesight("orders_lost").read(ORDER.as_bytes()).unwrap_err();
    assert_eq!((failure.reason.code(), failure.field.as_deref()), ("unsupported_event", Some("event_name")));
}

#[test]
fn a_redriven_body_that_still_lacks_a_field_fails_again() {
    let failure = |fields| Delivery::lifesight("orders_create").failure(&with(order(), fields));
    assert_eq!(failure(json!({"total_price": null})), ("missing_field", "total_price".into()));
    assert_eq!(failure(json!({"currency": null})), ("missing_field", "currency".into()));
    assert_eq!(failure(json!({"id": null})), ("missing_order_id", "id".into()));
}

#[test]
fn the_example_body_is_read_without_a_remark() {
    let event = Delivery::lifesight("orders_create").read(LIFESIGHT_EXAMPLE.as_bytes()).unwrap();
    assert_eq!(event.flags.as_slice(), &[] as &[String]);
    assert_eq!(event.identifiers().len(), 3);
    assert_eq!(accepted(lifesight("orders_create", LIFESIGHT_EXAMPLE.as_bytes())).reply.status, 200);
}
