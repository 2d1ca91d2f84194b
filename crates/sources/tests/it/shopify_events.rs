//! What a webhook says.

use commerce::event::{FinancialStatus, FulfillmentStatus};
use commerce::{Currency, EventName, Money};
use serde_json::{Value, json};

use crate::fixture::*;

fn usd(minor: i64) -> Option<Money> {
    Some(Money::new(minor, Currency::USD))
}

fn create(fields: Value) -> commerce::Event {
    Delivery::shopify("orders/create").event(&with(order(), fields))
}

fn update(fields: Value) -> commerce::Event {
    Delivery::shopify("orders/updated").event(&with(order(), fields))
}

#[test]
fn shop_c01_a_creation_is_an_order_placed_with_the_id_as_text() {
    let event = create(json!({}));
    assert_eq!((event.event, event.source_event.as_str()), (EventName::OrderPlaced, "orders/create"));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("order", "5766207635539"));
    assert_eq!((event.source_space.as_str(), event.environment.as_str()), (SHOP, "production"));
    assert_eq!(event.occurred_at, at("2026-03-14T13:00:00Z"));
    assert_eq!(event.order().version, at("2026-03-14T13:05:00Z"));
    assert_eq!((event.raw_partition, event.raw_offset, event.raw_item), (3, 7, 0));
    assert!(event.trigger_eligible && !event.qa && event.flags.is_empty(), "{:?}", event.flags);
    assert_eq!(event.order().paid_at, None);
}

#[test]
fn shop_c05_the_same_delivery_gives_the_same_event_id_and_keys_whenever_it_is_read() {
    let body = order();
    let first = Delivery::shopify("orders/create").with("http.x-shopify-webhook-id", "a").event(&body);
    let later = Delivery::shopify("orders/create")
        .with("http.x-shopify-webhook-id", "a")
        .received("2026-03-15T00:00:00Z");
    let later = later.event(&body);
    assert_eq!((first.event_id, first.keys), (later.event_id, later.keys));
}

#[test]
fn shop_c05_the_transport_key_of_the_door_is_that_of_the_event() {
    let body = order().to_string();
    for headers in [&[("x-shopify-webhook-id", "w1")][..], &[]] {
        let accepted = accepted(shopify(CREATE, headers, body.as_bytes()));
        let mut delivery = Delivery::shopify("orders/create");
        delivery.headers = accepted.headers;
        assert_eq!(delivery.read(body.as_bytes()).unwrap().keys.transport, accepted.delivery.to_hex());
    }
}

#[test]
fn shop_c06_two_webhook_ids_with_the_same_content_are_one_event() {
    let read =
        |id: &str| Delivery::shopify("orders/updated").with("http.x-shopify-webhook-id", id).event(&order());
    let (a, b) = (read("a"), read("b"));
    assert_ne!(a.keys.transport, b.keys.transport);
    assert_eq!((a.keys.semantic, a.event_id), (b.keys.semantic, b.event_id));
    let other = update(json!({"tags": "vip"}));
    assert_ne!(
        update(json!({})).keys.semantic,
        other.keys.semantic,
        "other content of one version is another event"
    );
}

#[test]
fn shop_c07_amounts_are_exact_minor_units() {
    assert_eq!(create(json!({})).order().total, usd(3049));
    assert_eq!(
        create(json!({"total_price": 30.49})).order().total,
        usd(3049),
        "a number is read from its text"
    );
    let yen = create(json!({"total_price": "1999.00", "currency": "jpy"}));
    assert_eq!(yen.order().total.unwrap().minor, 1999);
    let rounded = create(json!({"total_price": "30.495"}));
    assert_eq!((rounded.order().total, rounded.flags), (usd(3050), vec!["amount_rounded".to_owned()]));
}

#[test]
fn all_amounts_are_read_and_an_absent_one_is_not_zero() {
    let event = create(json!({
        "total_discounts": "1.00", "total_tax": "2.00",
        "total_shipping_price_set": {"shop_money": {"amount": "7.00", "currency_code": "USD"}},
    }));
    let order = event.order();
    assert_eq!((order.subtotal, order.discount_total, order.tax_total), (usd(2349), usd(100), usd(200)));
    assert_eq!(order.shipping_total, usd(700));
    assert_eq!(
        (create(json!({"subtotal_price": null})).order().subtotal, create(json!({})).order().tax_total),
        (None, None)
    );
}

#[test]
fn a_faulty_amount_time_or_currency_fails_with_its_path() {
    for (fields, expected) in [
        (json!({"total_price": "a lot"}), ("bad_money", "total_price")),
        (json!({"total_price": [1]}), ("bad_money", "total_price")),
        (json!({"subtotal_price": "1,00"}), ("bad_money", "subtotal_price")),
        (
            json!({"line_items": [{"quantity": 1, "price": "1"}, {"quantity": 1, "price": "x"}]}),
            ("bad_money", "line_items[1].price"),
        ),
        (json!({"line_items": [{"quantity": -1, "price": "1"}]}), ("bad_value", "line_items[0].quantity")),
        (
            json!({"refunds": [{"id": 1, "transactions": [{"amount": "x"}]}]}),
            ("bad_money", "refunds[0].transactions[0].amount"),
        ),
        (
            json!({"refunds": [{"id": 1, "transactions": [{"amount": "-1"}]}]}),
            ("bad_money", "refunds[0].transactions[0].amount"),
        ),
        (json!({"refunds": [{"id": 1, "created_at": "x"}]}), ("bad_time", "refunds[0].created_at")),
        (json!({"customer": {"total_spent": "x"}}), ("bad_money", "customer.total_spent")),
        (json!({"currency": "XQQ"}), ("bad_currency", "currency")),
        (json!({"created_at": "yesterday"}), ("bad_time", "created_at")),
        (json!({"updated_at": 1700000000}), ("bad_time", "updated_at")),
        (json!({"cancelled_at": "x"}), ("bad_time", "cancelled_at")),
        (json!({"id": null}), ("missing_order_id", "id")),
        (json!({"id": "x".repeat(513)}), ("bad_value", "id")),
        (json!({"total_price": null}), ("missing_field", "total_price")),
        (json!({"currency": ""}), ("missing_field", "currency")),
        (json!({"created_at": null}), ("missing_field", "created_at")),
    ] {
        let (reason, field) = Delivery::shopify("orders/create").failure(&with(order(), fields.clone()));
        assert_eq!((reason, field.as_str()), expected, "{fields}");
    }
}

#[test]
fn shop_c08_the_item_count_is_the_sum_of_quantities() {
    let event = create(json!({"line_items": [
        {"quantity": 2, "price": "1.00", "product_id": 7, "title": "A"},
        null,
        {"quantity": "3", "price": "2.00", "product_id": null, "sku": "S-1"},
    ]}));
    let order = event.order();
    assert_eq!(order.item_count, Some(5));
    let products: Vec<_> =
        order.items.iter().flatten().map(|item| item.product_id.as_deref().unwrap()).collect();
    assert_eq!(products, ["7", "S-1"], "the sku stands in for a product that has no id");
    let silent = Delivery::shopify("orders/updated").event(&without(super::fixture::order(), "line_items"));
    assert_eq!((silent.order().item_count, &silent.order().items), (None, &None));
}

#[test]
fn shop_c09_an_order_without_email_takes_that_of_its_customer_normalised() {
    let event = create(json!({"email": null, "customer": {"id": 9, "email": " Jane.Doe@Example.COM "}}));
    assert_eq!(
        event.identifiers(),
        [("email", "jane.doe@example.com".into()), ("shopify_customer", "9".into())]
    );
    let space: Vec<_> = event.person.iter().flat_map(|p| &p.identifiers).map(|i| i.space.as_str()).collect();
    assert_eq!(space, ["", SHOP]);
    let event = create(json!({"email": "", "contact_email": "c@d.ef", "customer": []}));
    assert_eq!(event.identifiers(), [("email", "c@d.ef".into())]);
    let event = create(json!({"email": "[email protected]"}));
    assert_eq!((event.identifiers(), event.flags), (vec![], vec!["email_invalid".to_owned()]));
}

#[test]
fn shop_c10_an_order_of_nobody_is_an_order() {
    let event = create(json!({"email": null, "shipping_address": null}));
    assert_eq!((&event.person, event.order().total), (&None, usd(3049)));
}

#[test]
fn shop_c11_a_status_that_implies_payment_proves_it() {
    let created = at("2026-03-14T13:00:00Z");
    let version = at("2026-03-14T13:05:00Z");
    for status in ["paid", "partially_refunded", "refunded"] {
        assert_eq!(create(json!({"financial_status": status})).order().paid_at, Some(created), "{status}");
        assert_eq!(update(json!({"financial_status": status})).order().paid_at, Some(version), "{status}");
    }
    for status in ["pending", "authorized", "partially_paid", "voided", "expired", "unpaid", "new"] {
        assert_eq!(update(json!({"financial_status": status})).order().paid_at, None, "{status}");
    }
    let expired = update(json!({"financial_status": "expired"}));
    assert_eq!(expired.order().financial_status, Some(FinancialStatus::Voided));
    assert_eq!(update(json!({"financial_status": "new"})).flags, ["unknown_value:financial_status=new"]);
    let paid = Delivery::shopify("orders/paid").event(&order());
    assert_eq!((paid.event, paid.order().paid_at), (EventName::OrderPaid, Some(version)));
    assert_eq!(paid.order().financial_status, Some(FinancialStatus::Paid), "the topic states the fact");
}

#[test]
fn shop_c12_all_successful_transactions_of_each_refund_are_summed() {
    let refunds = json!([
        {"id": 1, "created_at": "2026-03-14T10:00:00-04:00", "transactions": [
            {"id": 11, "amount": "5.00", "kind": "refund", "status": "success"}, {"id": 12, "amount": "2.50"}]},
        {"id": 2, "created_at": "2026-03-14T10:30:00-04:00", "transactions": [{"id": 21, "amount": "1.00"}]},
        {"id": 1, "transactions": [{"amount": "9.00"}]},
    ]);
    let event = update(json!({"financial_status": "partially_refunded", "refunds": refunds}));
    let order = event.order();
    let found: Vec<_> = order.refunds.iter().map(|r| (r.id.as_str(), r.amount.minor, r.at)).collect();
    assert_eq!(found, [("1", 750, at("2026-03-14T14:00:00Z")), ("2", 100, at("2026-03-14T14:30:00Z"))]);
    assert_eq!((order.refunded_rest, event.flags.len()), (Some(false), 0));
}

#[test]
fn shop_c13_a_failed_refund_transaction_is_not_counted() {
    let transactions = json!([
        {"amount": "5.00", "kind": "refund", "status": "failure"}, {"amount": "4.00", "kind": "sale", "status": "success"},
        {"amount": "2.00", "kind": "REFUND", "status": "success"}]);
    let event = update(json!({"refunds": [{"id": 1, "transactions": transactions}]}));
    assert_eq!(event.order().refunds[0].amount.minor, 200);
    let event =
        update(json!({"refunds": [{"id": 1, "transactions": [{"amount": "5.00", "status": "pending"}]}]}));
    assert_eq!((event.order().refunds.len(), event.flags), (0, vec!["refund_not_successful".to_owned()]));
}

#[test]
fn a_refund_without_amounts_is_the_rest_of_the_total_or_unknown() {
    let event = update(json!({"financial_status": "refunded", "refunds": []}));
    assert_eq!(event.order().refunded_rest, Some(true));
    let event = update(
        json!({"financial_status": "refunded", "refunds": [{"id": 4, "created_at": "2026-03-14T10:00:00Z"}]}),
    );
    assert_eq!((event.order().refunds[0].amount.minor, event.order().refunded_rest), (0, Some(true)));
    assert_eq!(event.flags, ["refund_without_transaction"]);
    let event = update(json!({"financial_status": "partially_refunded"}));
    assert_eq!((event.order().refunded_rest, event.flags), (None, vec!["refund_amount_unknown".to_owned()]));
    assert_eq!(update(json!({"financial_status": "paid"})).order().refunded_rest, None);
}

#[test]
fn a_refund_without_an_id_gets_one_that_is_the_same_in_every_delivery() {
    let refunds = json!([{"created_at": "2026-03-14T10:00:00Z", "transactions": [{"amount": "5.00"}]}]);
    let first = update(json!({"refunds": refunds}));
    let second = update(json!({"refunds": refunds, "tags": "x"}));
    assert!(first.order().refunds[0].id.starts_with("derived:"));
    assert_eq!(first.order().refunds[0].id, second.order().refunds[0].id);
    assert_eq!(first.flags, ["refund_id_derived"]);
}

#[test]
fn a_refund_of_tomorrow_opens_no_window_and_other_claims_are_kept() {
    let refunds =
        json!([{"id": 1, "created_at": "2027-01-01T00:00:00Z", "transactions": [{"amount": "5.00"}]}]);
    let event = update(json!({"refunds": refunds, "created_at": "2027-01-01T00:00:00Z"}));
    assert_eq!(event.order().refunds[0].at.0, received(NOW).0);
    assert_eq!(event.order().placed_at, Some(at("2027-01-01T00:00:00Z")));
    assert_eq!(event.flags, ["timestamp_future"]);
}

#[test]
fn shop_c14_a_cancellation_is_proved_by_its_time() {
    let event = update(json!({"cancelled_at": "2026-03-14T11:00:00Z"}));
    assert_eq!(event.order().cancelled_at, Some(at("2026-03-14T11:00:00Z")));
    let event = Delivery::shopify("orders/cancelled").event(&order());
    assert_eq!(
        (event.event, event.order().cancelled_at),
        (EventName::OrderCancelled, Some(at("2026-03-14T13:05:00Z")))
    );
}

#[test]
fn shop_c15_fulfilment_follows_status_and_topic() {
    let version = Some(at("2026-03-14T13:05:00Z"));
    let said = |event: &commerce::Event| {
        let order = event.order();
        (order.fulfillment_status.unwrap(), order.partially_fulfilled_at, order.fulfilled_at)
    };
    assert_eq!(said(&update(json!({}))), (FulfillmentStatus::Unfulfilled, None, None));
    assert_eq!(
        said(&update(json!({"fulfillment_status": "partial"}))),
        (FulfillmentStatus::PartiallyFulfilled, version, None)
    );
    assert_eq!(
        said(&update(json!({"fulfillment_status": "fulfilled"}))),
        (FulfillmentStatus::Fulfilled, None, version)
    );
    let topic = |topic: &str| said(&Delivery::shopify(topic).event(&order()));
    assert_eq!(topic("orders/fulfilled"), (FulfillmentStatus::Fulfilled, None, version));
    assert_eq!(topic("orders/partially_fulfilled"), (FulfillmentStatus::PartiallyFulfilled, version, None));
    let silent = without(order(), "fulfillment_status");
    assert_eq!(Delivery::shopify("orders/updated").event(&silent).order().fulfillment_status, None);
    assert_eq!(said(&Delivery::shopify("orders/create").event(&silent)).0, FulfillmentStatus::Unfulfilled);
}

#[test]
fn shop_c17_a_customer_without_totals_reports_none() {
    let person = create(json!({"customer": {"id": 1}})).person.unwrap();
    let totals = (person.reported_orders_count, person.reported_total_spent, person.reported_at);
    assert_eq!(totals, (None, None, None));
}

#[test]
fn shop_c18_reported_totals_are_those_of_the_version_that_carries_them() {
    let person = |fields: Value| update(fields).person.unwrap();
    let reported = person(json!({"customer": {"id": 1, "orders_count": 5, "total_spent": "250.00"}}));
    assert_eq!((reported.reported_orders_count, reported.reported_total_spent), (Some(5), usd(25000)));
    assert_eq!(reported.reported_at, Some(at("2026-03-14T13:05:00Z")));
    let older =
        person(json!({"updated_at": "2026-03-14T13:00:00Z", "customer": {"id": 1, "orders_count": 4}}));
    assert!(older.reported_at < reported.reported_at, "so the older one can be told");
    assert_eq!((older.reported_orders_count, older.reported_total_spent), (Some(4), None));
    let odd = create(json!({"customer": {"orders_count": "many"}}));
    assert_eq!(odd.flags, ["bad_value:customer.orders_count"]);
}

#[test]
fn shop_c19_an_update_carries_the_time_of_the_order() {
    assert_eq!(update(json!({})).order().placed_at, Some(at("2026-03-14T13:00:00Z")));
    assert_eq!(update(json!({})).occurred_at, at("2026-03-14T13:05:00Z"));
}

#[test]
fn shop_c20_tests_and_staff_are_qa() {
    assert!(create(json!({"test": true})).qa);
    assert!(!create(json!({"test": false})).qa);
    let staging =
        Delivery::shopify("orders/create").configured(|config| config.environment = "staging".into());
    assert!(
        !staging.event(&with(order(), json!({"test": true}))).qa,
        "a staging workspace consists of tests"
    );
    for account in ["Jane.Doe@example.com", "example.com"] {
        let staff = Delivery::shopify("orders/create")
            .configured(|config| config.test_accounts = vec![account.into()]);
        assert!(staff.event(&order()).qa, "{account}");
    }
}

#[test]
fn shop_c21_a_body_that_is_no_json_object_is_malformed() {
    for body in [&b"not json"[..], b"[]", b"", b"{\"id\":1", b"{\"a\":\"\xff\"}"] {
        for topic in ["orders/create", "refunds/create", "orders/edited", "products/update"] {
            let failure = Delivery::shopify(topic).read(body).unwrap_err();
            assert_eq!(failure.reason.code(), "malformed_json", "{topic}");
        }
    }
}

#[test]
fn a_topic_without_an_event_is_unsupported() {
    for topic in ["products/update", "customers/merge", "customers/data_request", "shop/redact"] {
        assert_eq!(Delivery::shopify(topic).failure(&json!({"id": 1})).0, "unsupported_event", "{topic}");
    }
    let request = Delivery::shopify("shop/redact").read(b"{}").unwrap_err();
    assert!(request.message.contains("operator"), "{}", request.message);
    let mut unnamed = Delivery::shopify("x/y");
    unnamed.headers.remove(0);
    assert_eq!(unnamed.failure(&order()).0, "unsupported_event");
}

#[test]
fn the_topic_of_the_header_wins_over_the_path_and_is_flagged() {
    let event =
        Delivery::shopify("orders/create").with("http.x-shopify-topic", "orders/paid").event(&order());
    assert_eq!((event.event, event.flags), (EventName::OrderPaid, vec!["topic_mismatch".to_owned()]));
}

#[test]
fn a_refund_of_its_own_says_nothing_of_total_or_status() {
    let body = json!({"id": 8, "order_id": 5766207635539_u64, "created_at": "2026-03-14T11:00:00-04:00", "transactions": [
        {"id": 1, "amount": "5.00", "kind": "refund", "status": "success", "currency": "EUR"}]});
    let event = Delivery::shopify("refunds/create").event(&body);
    assert_eq!((event.event, event.entity.id.as_str()), (EventName::OrderRefunded, "5766207635539"));
    let order = event.order();
    assert_eq!((order.refunds[0].id.as_str(), order.refunds[0].amount.to_string()), ("8", "5.00 EUR".into()));
    assert_eq!((order.version, event.occurred_at), (at("2026-03-14T15:00:00Z"), at("2026-03-14T15:00:00Z")));
    assert_eq!(
        (order.total, order.financial_status, order.paid_at, order.placed_at),
        (None, None, None, None)
    );

    let plain = Delivery::shopify("refunds/create").event(&with(body.clone(), json!({"transactions": []})));
    assert_eq!((plain.order().currency, plain.order().refunds.len()), (None, 0));
    assert_eq!(plain.flags, ["refund_without_transaction"]);
    let failure = |fields| Delivery::shopify("refunds/create").failure(&with(body.clone(), fields));
    assert_eq!(failure(json!({"order_id": null})).0, "missing_order_id");
    assert_eq!(
        failure(json!({"transactions": [{"amount": "5"}]})),
        ("missing_field", "transactions[0].currency".into())
    );
}

#[test]
fn an_edit_is_a_new_version_of_an_order_that_is_not_in_the_body() {
    let body = json!({"order_edit": {"id": 1, "order_id": 77, "committed_at": "2026-03-14T11:00:00Z"}});
    let event = Delivery::shopify("orders/edited").event(&body);
    assert_eq!((event.event, event.entity.id.as_str()), (EventName::OrderUpdated, "77"));
    assert_eq!((event.order().version, event.order().total), (at("2026-03-14T11:00:00Z"), None));
    assert_eq!(Delivery::shopify("orders/edited").event(&order()).order().total, usd(3049));
}

#[test]
fn the_order_is_found_by_its_other_names_and_linked_to_its_checkout_and_cart() {
    let event = create(json!({
        "id": "gid://shopify/Order/123", "name": "#1001", "order_number": 1001,
        "checkout_id": 1, "checkout_token": "ct", "token": "t", "cart_token": "k",
    }));
    assert_eq!(event.entity.id, "123");
    assert_eq!(event.entity.aliases, ["number:1001", "gid://shopify/Order/123"]);
    let links: Vec<_> =
        event.order().links.iter().map(|link| (link.kind.as_str(), link.id.as_str())).collect();
    assert_eq!(links, [("checkout", "1"), ("checkout_token", "ct"), ("token", "t"), ("cart", "k")]);
}

#[test]
fn tags_coupons_campaign_and_country_are_kept() {
    let event = create(json!({
        "tags": " vip, ,spring ", "discount_codes": [{"code": "A"}, {"code": "B"}],
        "landing_site": "/p?utm_source=news%20letter&utm_campaign=spring&utm_medium=email#x",
        "referring_site": "https://example.com", "shipping_address": [], "billing_address": {"country_code": "de"},
    }));
    let order = event.order();
    assert_eq!(order.tags.as_deref().unwrap(), ["vip", "spring"]);
    assert_eq!(order.coupon_codes.as_deref().unwrap(), ["A", "B"]);
    let campaign = order.campaign.as_ref().unwrap();
    assert_eq!(
        (campaign.source.as_deref(), campaign.campaign.as_deref()),
        (Some("news letter"), Some("spring"))
    );
    assert_eq!(
        (campaign.medium.as_deref(), campaign.referrer.as_deref()),
        (Some("email"), Some("https://example.com"))
    );
    assert_eq!(order.country.as_deref(), Some("DE"));
}

#[test]
fn a_labelled_load_and_an_old_event_start_nothing() {
    let backfill =
        Delivery::shopify("orders/create").with("http.tillstream-backfill", "2025").event(&order());
    assert_eq!((backfill.origin.kind.as_str(), backfill.origin.label.as_deref()), ("backfill", Some("2025")));
    assert!(!backfill.trigger_eligible);
    let old = Delivery::shopify("orders/create").received("2026-03-17T13:00:00.000001Z").event(&order());
    assert!(!old.trigger_eligible && old.origin.kind == "live");
    assert!(
        Delivery::shopify("orders/create").received("2026-03-17T13:00:00Z").event(&order()).trigger_eligible
    );
}

#[test]
fn a_time_without_an_offset_is_utc_and_flagged() {
    let event = create(json!({"created_at": "2026-03-14T13:00:00"}));
    assert_eq!(
        (event.occurred_at, event.flags),
        (at("2026-03-14T13:00:00Z"), vec!["timestamp_naive".to_owned()])
    );
}

#[test]
fn a_record_without_a_space_belongs_to_the_only_shop() {
    let mut delivery = Delivery::shopify("orders/create");
    delivery.headers.retain(|(name, _)| name != "space");
    assert_eq!(delivery.event(&order()).source_space, SHOP);
}

#[test]
fn the_example_body_is_read_without_a_remark() {
    let event = Delivery::shopify("orders/create").read(SHOPIFY_EXAMPLE.as_bytes()).unwrap();
    assert_eq!((event.order().total, event.flags.as_slice()), (usd(8447), &[][..]));
    assert_eq!(event.order().item_count, Some(4));
}
