//! What a checkout says, whoever sends it.

use commerce::EventName;
use commerce::event::{Activity, Channel, ConsentState};
use serde_json::{Value, json};

use crate::fixture::*;

fn checkout() -> Value {
    json!({
        "id": 901, "token": "tok", "cart_token": "crt", "email": "Jane.Doe@example.com",
        "created_at": "2026-03-14T11:00:00-04:00", "updated_at": "2026-03-14T15:10:00Z", "currency": "USD",
        "total_price": "25.91", "subtotal_price": "23.99", "completed_at": null,
        "abandoned_checkout_url": "https://demo-shop.myshopify.com/recover?key=1",
        "line_items": [{"product_id": 1, "variant_id": 2, "title": "Bowl", "quantity": 2, "price": "11.99", "vendor": "Reddy"}],
        "shipping_address": {"city": "Salem", "zip": "01970", "province": "Massachusetts", "country": "United States"},
        "discount_codes": [{"code": "A"}, {"code": "B"}], "landing_site": "/?utm_source=news", "referring_site": "https://example.com",
    })
}

fn activity(event: &commerce::Event) -> &Activity {
    event.payload.activity.as_ref().unwrap()
}

fn links(event: &commerce::Event) -> Vec<(&str, &str)> {
    let links = event.payload.order.as_ref().map_or_else(|| &activity(event).links, |order| &order.links);
    links.iter().map(|link| (link.kind.as_str(), link.id.as_str())).collect()
}

#[test]
fn a_checkout_says_the_same_from_either_sender() {
    for (started, updated) in [
        (Delivery::shopify("checkouts/create"), Delivery::shopify("checkouts/update")),
        (Delivery::lifesight("checkouts_create"), Delivery::lifesight("checkouts_update")),
    ] {
        let event = started.event(&checkout());
        assert_eq!(
            (event.event, event.occurred_at),
            (EventName::CheckoutStarted, at("2026-03-14T15:00:00Z"))
        );
        assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("checkout", "901"));
        assert_eq!(event.entity.aliases, ["token:tok"]);
        assert!(
            event.payload.order.is_none() && event.trigger_eligible && event.flags.is_empty(),
            "{:?}",
            event.flags
        );
        let said = activity(&event);
        assert_eq!(said.version, Some(at("2026-03-14T15:10:00Z")));
        assert_eq!((said.started_at, said.completed_at), (Some(at("2026-03-14T15:00:00Z")), None));
        assert_eq!((said.checkout_id.as_deref(), said.cart_id.as_deref()), (Some("901"), Some("crt")));
        assert_eq!(links(&event), [("checkout", "901"), ("checkout_token", "tok"), ("cart", "crt")]);
        assert_eq!(said.value.unwrap().to_string(), "25.91 USD");
        assert_eq!(said.coupon_codes, ["A", "B"]);
        let item = &said.items.as_ref().unwrap()[0];
        assert_eq!(
            (item.quantity, item.price.unwrap().minor, item.brand.as_deref()),
            (2, 1199, Some("Reddy"))
        );
        assert_eq!(said.campaign.as_ref().unwrap().source.as_deref(), Some("news"));
        assert_eq!(said.context.as_ref().unwrap().country.as_deref(), Some("US"));
        assert_eq!(said.recovery_url.as_deref(), Some("https://demo-shop.myshopify.com/recover?key=1"));
        assert_eq!(event.identifiers(), [("email", "jane.doe@example.com".into()), ("cart", "crt".into())]);

        let event = updated.event(&checkout());
        assert_eq!(
            (event.event, event.occurred_at),
            (EventName::CheckoutUpdated, at("2026-03-14T15:10:00Z"))
        );
        assert_eq!(
            activity(&event).started_at,
            Some(at("2026-03-14T15:00:00Z")),
            "so that it can be inferred"
        );
    }
}

#[test]
fn life_c11_the_samples_update_is_later_than_its_creation_whatever_the_offsets() {
    let created = Delivery::lifesight("checkouts_create").read(CHECKOUT.as_bytes()).unwrap();
    let updated = Delivery::lifesight("checkouts_update").read(CHECKOUT.as_bytes()).unwrap();
    assert_eq!(created.occurred_at, at("2023-11-30T06:42:16Z"));
    assert_eq!(updated.occurred_at, at("2023-11-30T06:43:48Z"));
    assert!(created.occurred_at < updated.occurred_at);
    assert_eq!(created.flags, ["missing:shipping_address", "email_invalid"]);
    assert_eq!(activity(&created).value.unwrap().to_string(), "25.91 SGD");
}

#[test]
fn life_c16_a_checkout_has_its_recovery_url_and_is_named_as_its_order_names_it() {
    let sample = Delivery::lifesight("checkouts_create").read(CHECKOUT.as_bytes()).unwrap();
    let url = "https://example-shop-test.myshopify.com/80371122466/checkouts/ac/RVhBTVBMRS1DQVJULVRPS0VOLTAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw/recover?key=00000000000000000000000000000002";
    assert_eq!(activity(&sample).recovery_url.as_deref(), Some(url));
    let started = Delivery::lifesight("checkouts_create").event(&checkout());
    let fields = json!({"checkout_id": 901, "checkout_token": "tok", "cart_token": "crt"});
    let paid = Delivery::lifesight("orders_paid").event(&with(order(), fields));
    assert_eq!(links(&started), links(&paid));
    assert_eq!(started.source_space, paid.source_space);
}

#[test]
fn life_c17_a_completed_checkout_says_so() {
    let fields = json!({"completed_at": "2026-03-14T11:20:00-04:00", "order_id": 5766207635539_u64});
    let event = Delivery::lifesight("checkouts_update").event(&with(checkout(), fields));
    assert_eq!(activity(&event).completed_at, Some(at("2026-03-14T15:20:00Z")));
    assert!(links(&event).contains(&("order", "5766207635539")));
}

#[test]
fn d_life_4_a_checkout_of_nobody_is_taken_and_flagged_and_its_cart_identifies() {
    let nobody = with(checkout(), json!({"email": null, "phone": "", "customer": []}));
    let event = Delivery::lifesight("checkouts_create").event(&nobody);
    assert_eq!(
        (event.flags.as_slice(), event.identifiers()),
        (&["anonymous_checkout".to_owned()][..], vec![("cart", "crt".into())])
    );
    assert_eq!(accepted(lifesight("checkouts_create", nobody.to_string().as_bytes())).reply.status, 200);
    let someone = with(nobody, json!({"customer": {"id": 7}}));
    let event = Delivery::lifesight("checkouts_create").event(&someone);
    assert_eq!((event.flags.len(), event.identifiers()[0].clone()), (0, ("backend_customer", "7".into())));
}

#[test]
fn a_checkout_without_an_id_is_its_token() {
    let event = Delivery::shopify("checkouts/update").event(&without(checkout(), "id"));
    assert_eq!((event.entity.id.as_str(), event.entity.aliases.len()), ("tok", 0));
    assert_eq!(activity(&event).checkout_id.as_deref(), Some("tok"));
    assert_eq!(links(&event), [("checkout_token", "tok"), ("cart", "crt")]);
    let neither = without(without(checkout(), "id"), "token");
    assert_eq!(Delivery::shopify("checkouts/update").failure(&neither), ("missing_field", "id".into()));
}

#[test]
fn a_checkout_that_lacks_or_misstates_a_field_fails_with_its_path() {
    for (field, value, reason) in [
        ("currency", json!(null), "missing_field"),
        ("currency", json!("XQQ"), "bad_currency"),
        ("total_price", json!(""), "missing_field"),
        ("total_price", json!("x"), "bad_money"),
        ("created_at", json!("soon"), "bad_time"),
        ("completed_at", json!("x"), "bad_time"),
        ("id", json!(1.5), "bad_value"),
    ] {
        let body = with(checkout(), json!({field: value}));
        for delivery in [Delivery::shopify("checkouts/create"), Delivery::lifesight("checkouts_create")] {
            assert_eq!(delivery.failure(&body), (reason, field.to_owned()));
        }
    }
    let failure = |name, field| Delivery::lifesight(name).failure(&without(checkout(), field));
    assert_eq!(failure("checkouts_create", "created_at"), ("missing_field", "created_at".into()));
    assert_eq!(failure("checkouts_update", "updated_at"), ("missing_field", "updated_at".into()));
}

#[test]
fn what_is_expected_of_a_backends_checkout_and_absent_is_flagged() {
    let body = without(
        without(with(checkout(), json!({"line_items": [{"price": "1", "quantity": 1}]})), "subtotal_price"),
        "shipping_address",
    );
    let expected = [
        "missing:subtotal_price",
        "missing:shipping_address",
        "missing:line_items[0].product_id",
        "missing:line_items[0].title",
        "missing:line_items[0].variant_id",
    ];
    assert_eq!(Delivery::lifesight("checkouts_update").event(&body).flags, expected);
    assert_eq!(Delivery::shopify("checkouts/update").event(&body).flags.len(), 0);
}

#[test]
fn one_version_of_a_checkout_is_one_event_and_another_content_another() {
    let key =
        |fields: Value| Delivery::shopify("checkouts/update").event(&with(checkout(), fields)).keys.semantic;
    assert_eq!(key(json!({})), key(json!({"updated_at": "2026-03-14T11:10:00-04:00", "note": "x"})));
    for fields in [
        json!({"total_price": "26"}),
        json!({"completed_at": "2026-03-14T15:11:00Z"}),
        json!({"line_items": []}),
        json!({"email": "b@c.d"}),
        json!({"abandoned_checkout_url": "https://x"}),
        json!({"updated_at": "2026-03-14T15:10:01Z"}),
        json!({"id": 902}),
    ] {
        assert_ne!(key(json!({})), key(fields.clone()), "{fields}");
    }
    let started = Delivery::shopify("checkouts/create").event(&checkout()).keys.semantic;
    assert_ne!(started, key(json!({})));
}

#[test]
fn a_buyer_who_accepts_marketing_has_agreed_and_one_who_does_not_takes_nothing_back() {
    let consent = |fields: Value| {
        let event = Delivery::shopify("checkouts/update").event(&with(checkout(), fields));
        event.person.unwrap().consent.into_iter().map(|c| (c.channel, c.state)).collect::<Vec<_>>()
    };
    let yes = json!({"buyer_accepts_marketing": true, "buyer_accepts_sms_marketing": true});
    assert_eq!(
        consent(yes),
        [(Channel::Email, ConsentState::Subscribed), (Channel::Sms, ConsentState::Subscribed)]
    );
    assert_eq!(consent(json!({"buyer_accepts_marketing": false})), []);
    let record = json!({"buyer_accepts_marketing": true, "customer": {"id": 1, "email_marketing_consent": {"state": "unsubscribed"}}});
    assert_eq!(consent(record), [], "the customer's record stands before it, in the event behind");
}

#[test]
fn the_customer_inside_a_checkout_is_an_event_of_its_own() {
    let customer = json!({"id": 7, "orders_count": 2, "total_spent": "10.00", "tags": "vip"});
    let events =
        Delivery::shopify("checkouts/create").events(&with(checkout(), json!({"customer": customer})));
    assert_eq!(
        events.iter().map(|e| (e.event, e.raw_item, e.raw_part)).collect::<Vec<_>>(),
        [(EventName::CheckoutStarted, 0, 0), (EventName::CustomerUpdated, 0, 1),]
    );
    assert_eq!(events[1].person.as_ref().unwrap().reported_orders_count, Some(2));
}

#[test]
fn a_test_checkout_is_qa() {
    let test = with(checkout(), json!({"test": true, "customer": {"id": 7, "tags": "vip"}}));
    assert!(Delivery::shopify("checkouts/create").events(&test).iter().all(|event| event.qa));
    assert!(!Delivery::shopify("checkouts/create").event(&checkout()).qa);
}
