//! What an order says besides money and status: in the backend's form (what was taken off, and the lines' shares of
//! it), its country, and that fields which were read later move no event id.

use commerce::event::{Discount, Item};
use serde_json::{Value, json};

use crate::fixture::*;

fn read(fields: Value) -> commerce::Event {
    Delivery::lifesight("orders_create").event(&with(order(), fields))
}

fn minor(discount: &Discount) -> Option<i64> {
    discount.amount.map(|amount| amount.minor)
}

#[test]
fn life_c10_every_code_is_kept_in_order_with_its_money_type_and_rule() {
    let mut codes: Value = serde_json::from_str(DISCOUNT_CODES).unwrap();
    codes[2]["price_rule_id"] = json!(1445602380);
    let event = read(json!({"discount_codes": codes}));
    let discounts = &event.order().discounts;
    let said: Vec<_> = discounts
        .iter()
        .map(|d| {
            (d.kind.as_str(), d.title.as_deref().unwrap(), minor(d).unwrap(), d.r#type.as_deref().unwrap())
        })
        .collect();
    assert_eq!(
        said,
        [
            ("code", "SPRING30", 3000, "fixed_amount"),
            ("code", "SPRING10", 3000, "percentage"),
            ("code", "FLAT5", 500, "fixed_amount"),
        ],
        "30.00 is money, not percent (D-LIFE-3)"
    );
    assert_eq!(discounts[2].price_rule_id.as_deref(), Some("1445602380"));
    assert_eq!(event.order().total.unwrap().minor, 3049, "and is not taken off again");
}

#[test]
fn a_discount_application_is_kept_with_its_enumerations_in_major_units() {
    let application = json!({
        "target_selection": "all", "target_type": "line_item", "title": "SUMMER10!",
        "total_allocated_amount": "2.51", "type": "automatic", "value": "2.51", "value_type": "fixed_amount",
    });
    let second = with(
        application.clone(),
        json!({"title": null, "code": "C", "value": "10.0", "value_type": "percentage", "target_type": "shipping_line"}),
    );
    let event =
        read(json!({"discount_codes": [{"code": "A"}], "discount_applications": [application, {}, second]}));
    let found = &event.order().discounts;
    assert_eq!(
        found.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>(),
        ["code", "application", "application"]
    );
    let summer = &found[1];
    assert_eq!(
        (summer.title.as_deref(), minor(summer)),
        (Some("SUMMER10!"), Some(251)),
        "not subunits (D-LIFE-2)"
    );
    assert_eq!((summer.r#type.as_deref(), summer.value.as_deref()), (Some("automatic"), Some("2.51")));
    assert_eq!(
        (summer.value_type.as_deref(), summer.target_selection.as_deref()),
        (Some("fixed_amount"), Some("all"))
    );
    assert_eq!(summer.target_type.as_deref(), Some("line_item"));
    let code = &found[2];
    assert_eq!((code.title.as_deref(), code.value.as_deref()), (Some("C"), Some("10.0")));
    assert_eq!(code.target_type.as_deref(), Some("shipping_line"));
    assert_eq!(event.flags.len(), 0, "{:?}", event.flags);
}

#[test]
fn an_unknown_word_of_a_discount_is_kept_and_flagged() {
    let event = read(json!({
        "discount_codes": [{"code": "A", "type": "gift"}],
        "discount_applications": [{"title": "B", "type": "Script", "target_selection": "some"}],
    }));
    assert_eq!(
        event.flags,
        [
            "unknown_value:discount_codes[0].type=gift",
            "unknown_value:discount_applications[0].target_selection=some"
        ]
    );
    let found = &event.order().discounts;
    assert_eq!((found[0].r#type.as_deref(), found[1].r#type.as_deref()), (Some("gift"), Some("script")));
    assert_eq!(found[1].target_selection.as_deref(), Some("some"));
}

#[test]
fn a_lines_share_names_its_discount_by_title_or_by_place() {
    let line = |shares: Value| json!({"product_id": 1, "variant_id": 2, "title": "T", "quantity": 1, "price": "9", "total_discount": "0", "discount_allocations": shares});
    let event = read(json!({"line_items": [
        line(json!([{"amount": "2.51", "discount_application": "SUMMER10!"}, {"amount": "1", "discount_application_index": 1}])),
        line(json!([{"discount_application": "no amount"}])),
        line(json!(null)),
    ]}));
    let shares = |item: &Item| -> Vec<(i64, Option<String>)> {
        item.allocations.iter().map(|share| (share.amount.minor, share.application.clone())).collect()
    };
    let items = event.order().items.as_ref().unwrap();
    assert_eq!(shares(&items[0]), [(251, Some("SUMMER10!".to_owned())), (100, Some("1".to_owned()))]);
    assert!(items[1].allocations.is_empty() && items[2].allocations.is_empty());
}

#[test]
fn an_amount_of_a_discount_that_is_none_fails_with_its_path() {
    let failure = |fields: Value| Delivery::lifesight("orders_create").failure(&with(order(), fields));
    for (fields, path) in [
        (json!({"discount_codes": [{}, {"amount": "x"}]}), "discount_codes[1].amount"),
        (
            json!({"discount_applications": [{"total_allocated_amount": []}, {"total_allocated_amount": true}]}),
            "discount_applications[1].total_allocated_amount",
        ),
        (
            json!({"line_items": [{"quantity": 1, "price": "1", "discount_allocations": [{"amount": "x"}]}]}),
            "line_items[0].discount_allocations[0].amount",
        ),
    ] {
        assert_eq!(failure(fields), ("bad_money", path.to_owned()));
    }
}

#[test]
fn a_changed_discount_of_one_version_is_another_event() {
    let key = |amount: &str| read(json!({"discount_codes": [{"code": "A", "amount": amount}]})).keys.semantic;
    assert_eq!(key("1.00"), key("1"));
    assert_ne!(key("1.00"), key("2.00"));
}

#[test]
fn d_ana_15_the_country_is_that_of_the_shipping_address_by_code_or_name_else_of_the_billing_address() {
    let country = |shipping: Value, billing: Value| {
        Delivery::shopify("orders/create")
            .event(&with(order(), json!({"shipping_address": shipping, "billing_address": billing})))
            .order()
            .country
            .clone()
    };
    let billing = json!({"country": "Canada", "country_code": "CA"});
    let named = |name: &str| country(json!({"country": name}), billing.clone());
    assert_eq!(country(json!({"country": "France", "country_code": "us"}), billing.clone()).unwrap(), "US");
    assert_eq!(named("United States").unwrap(), "US");
    assert_eq!(named("C\u{f4}te d\u{2019}Ivoire").unwrap(), "CI");
    assert_eq!(named("Nowhere").unwrap(), "CA", "a name that no country has says nothing");
    assert_eq!(country(json!([]), json!({"country": "Canada"})).unwrap(), "CA");
    assert_eq!(country(json!({"country": "Nowhere"}), Value::Null), None);
}

#[test]
fn the_id_of_an_order_without_later_fields_stays_what_it_was() {
    let rich = json!({
        "financial_status": "partially_refunded", "tags": "a, b", "name": "#1001", "checkout_id": 5, "cart_token": "k",
        "customer": {"id": 9, "email": "jane.doe@example.com", "first_name": "Jane", "phone": "+12025550100", "orders_count": 5, "total_spent": "250.00"},
        "refunds": [{"id": 1, "created_at": "2026-03-14T10:00:00-04:00", "transactions": [{"amount": "5.00"}]}],
        "landing_site": "/p?utm_source=news", "cancelled_at": "2026-03-14T11:00:00Z",
    });
    let read = |delivery: Delivery, fields: Value| delivery.event(&with(order(), fields)).event_id;
    let found = [
        read(Delivery::shopify("orders/create"), json!({})),
        read(Delivery::shopify("orders/updated"), rich.clone()),
        read(Delivery::lifesight("orders_paid"), rich),
    ];
    assert_eq!(
        found,
        [
            "9f225827-bc7a-8571-806e-62082989d81f",
            "5849a432-cde3-8327-9d8b-34d25f2578c5",
            "a68ff2b2-f6e1-89eb-8c18-d2ac94f2d7d1",
        ]
    );
}
