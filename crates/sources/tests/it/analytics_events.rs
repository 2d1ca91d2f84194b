//! What an event says.

use commerce::event::{Activity, Event, FinancialStatus};
use commerce::{Currency, EventName, EventTime, Money, Source};
use serde_json::{Value, json};

use crate::analytics_door::*;
use crate::fixture::*;

fn usd(minor: i64) -> Option<Money> {
    Some(Money::new(minor, Currency::USD))
}

/// A stored event, as the door leaves it.
fn stored(path: &str) -> Delivery {
    Delivery { source: Source::Analytics, headers: vec![], ..Delivery::shopify("") }.with("path", path)
}

fn event(body: &Value) -> Event {
    stored(TRACK).event(body)
}

fn of(kind: &str, fields: Value) -> Event {
    event(&with(minimal(kind), fields))
}

fn activity(event: &Event) -> &Activity {
    event.payload.activity.as_ref().unwrap()
}

#[test]
fn ana_c01_the_sample_purchase_is_read_in_full() {
    let event = event(&purchase());
    assert_eq!((event.event, event.source_event.as_str()), (EventName::OrderPlaced, "purchase"));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("order", "order_456"));
    assert_eq!((event.source, event.source_space.as_str()), (Source::Analytics, ""));
    assert_eq!(event.occurred_at.0, received(NOW).0, "the event has no time, so its arrival counts");
    let order = event.order();
    assert_eq!((order.total, order.discount_total), (usd(4999), usd(500)));
    assert_eq!((order.shipping_total, order.tax_total, order.subtotal), (usd(499), usd(375), None));
    assert_eq!(order.financial_status, Some(FinancialStatus::Paid));
    assert_eq!((order.placed_at, order.paid_at), (Some(event.occurred_at), Some(event.occurred_at)));
    assert_eq!(order.coupon_codes.as_deref().unwrap(), ["SAVE10"]);
    let campaign = order.campaign.as_ref().unwrap();
    assert_eq!(
        (campaign.campaign.as_deref(), campaign.source.as_deref()),
        (Some("spring-sale"), Some("email"))
    );
    assert_eq!((campaign.medium.as_deref(), order.item_count), (None, Some(2)));
    let item = &order.items.as_ref().unwrap()[0];
    assert_eq!((item.product_id.as_deref(), item.title.as_deref()), (Some("sku_1"), Some("T-Shirt")));
    assert_eq!((item.category.as_deref(), item.brand.as_deref()), (Some("Apparel"), Some("MyBrand")));
    assert_eq!((item.variant_title.as_deref(), item.quantity, item.price), (Some("Red / L"), 2, usd(2499)));
    assert_eq!(event.identifiers(), [("user", "user_123".to_owned())]);
    assert!(event.payload.properties.is_empty() && event.flags.is_empty() && event.fraud.is_none());
    assert!(event.trigger_eligible);
}

#[test]
fn ana_c04_each_type_has_its_canonical_name() {
    for (kind, name) in [
        ("view_item", "product.viewed"),
        ("add_to_cart", "cart.item_added"),
        ("remove_from_cart", "cart.item_removed"),
        ("add_to_wishlist", "wishlist.item_added"),
        ("view_cart", "cart.viewed"),
        ("begin_checkout", "checkout.started"),
        ("add_payment_info", "checkout.payment_info_added"),
        ("purchase", "order.placed"),
        ("refund", "order.refunded"),
        ("search", "search.performed"),
        ("share", "product.shared"),
        ("rate", "product.rated"),
        ("spend_credits", "credits.spent"),
    ] {
        let event = event(&minimal(kind));
        assert_eq!((event.event.as_str(), event.source_event.as_str()), (name, kind));
        assert_eq!(event.payload.order.is_some(), matches!(kind, "purchase" | "refund"), "{kind}");
        assert_eq!(event.payload.activity.is_some(), event.payload.order.is_none(), "{kind}");
    }
    let failure = stored(TRACK).failure(&json!({"event_type": "add_shipping_info"}));
    assert_eq!(failure, ("unsupported_event", "event_type".into()));
}

#[test]
fn ana_c05_an_order_of_nothing_is_an_order() {
    let event = of("purchase", json!({"revenue": 0}));
    assert_eq!((event.order().total, event.order().paid_at.is_some()), (usd(0), true));
}

#[test]
fn an_event_with_several_items_stays_one_event() {
    let items = json!([{"item_id": "a", "price": "1.50"}, {"item_id": 7, "quantity": 3, "discount": 0.5}]);
    let event = of("add_to_cart", json!({"items": items, "cart_id": "c1"}));
    let items = activity(&event).items.as_ref().unwrap();
    let read: Vec<_> =
        items.iter().map(|i| (i.product_id.as_deref().unwrap(), i.quantity, i.price, i.discount)).collect();
    assert_eq!(
        read,
        [("a", 1, usd(150), None), ("7", 3, None, usd(50))],
        "a quantity is 1 unless it is said"
    );
    assert_eq!((event.raw_item, event.raw_part), (0, 0));
}

#[test]
fn what_has_no_place_in_an_item_or_activity_travels_among_the_properties() {
    let event = of(
        "view_item",
        json!({
            "items": [{"item_id": "a", "item_list_name": "Search \"x\"", "item_list_id": 7, "item_image_url": "u", "coupon_code": "C"}],
            "discount": 1.50,
            "properties": {"discount": "mine", "color": "red", "size": 42, "new": true, "nested": {"a": [1]}, "none": null, "empty": ""},
        }),
    );
    let expected = [
        ("color", r#""red""#),
        ("discount", r#""mine""#),
        ("items[0].coupon_code", r#""C""#),
        ("items[0].item_image_url", r#""u""#),
        ("items[0].item_list_id", r#""7""#),
        ("items[0].item_list_name", r#""Search \"x\"""#),
        ("nested", r#""{\"a\":[1]}""#),
        ("new", r#""true""#),
        ("size", r#""42""#),
    ];
    let found: Vec<_> = event.payload.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected, "each value is the JSON of a text");
}

#[test]
fn search_share_rate_and_credits_keep_what_they_are_about() {
    let search = of("search", json!({"properties": {"search_term": " red shoes "}}));
    assert_eq!((activity(&search).search_term.as_deref(), search.flags.len()), (Some("red shoes"), 0));
    let rate = of("rate", json!({"properties": {"item_id": "sku_1", "rating": 4.5}}));
    assert_eq!(activity(&rate).rating.as_deref(), Some("4.5"));
    assert_eq!(activity(&rate).items.as_ref().unwrap()[0].product_id.as_deref(), Some("sku_1"));
    let share = of("share", json!({"items": [{"item_id": "sku_2"}]}));
    assert_eq!(activity(&share).items.as_ref().unwrap()[0].product_id.as_deref(), Some("sku_2"));
    let credits = of("spend_credits", json!({"revenue": 12.5, "transaction_id": "o1"}));
    assert_eq!(activity(&credits).value, usd(1250));
    assert_eq!(
        (activity(&credits).links[0].kind.as_str(), activity(&credits).links[0].id.as_str()),
        ("order", "o1")
    );
    for (kind, missing) in [
        ("search", &["missing:properties.search_term"][..]),
        ("share", &["missing:properties.item_id"]),
        ("rate", &["missing:properties.item_id", "missing:properties.rating"]),
    ] {
        assert_eq!(event(&minimal(kind)).flags, missing, "{kind}");
    }
    let kept = of("view_cart", json!({"properties": {"search_term": "x", "rating": "5"}}));
    assert_eq!(kept.payload.properties.len(), 2, "where it has no place of its own it stays a property");
}

#[test]
fn the_value_of_a_checkout_is_no_revenue() {
    let event = of("begin_checkout", json!({"revenue": "80.00", "cart_id": "c1", "coupon_code": " Save10 "}));
    assert_eq!((activity(&event).value, event.payload.order.is_none()), (usd(8000), true));
    assert_eq!((activity(&event).cart_id.as_deref(), event.entity.r#type.as_str()), (Some("c1"), "checkout"));
    assert_eq!(activity(&event).coupon_codes, ["Save10"]);
    assert_eq!(activity(&of("begin_checkout", json!({}))).value, None);
}

#[test]
fn user_and_cart_in_one_event_identify_one_person() {
    let event = of("purchase", json!({"user_id": 42, "cart_id": "c1"}));
    assert_eq!(event.identifiers(), [("user", "42".to_owned()), ("cart", "c1".to_owned())]);
    let links = &event.order().links;
    assert_eq!((links[0].kind.as_str(), links[0].id.as_str()), ("cart", "c1"));
    let entity = |fields: Value| {
        let entity = of("view_cart", fields).entity;
        (entity.r#type, entity.id)
    };
    assert_eq!(entity(json!({"user_id": "u", "cart_id": "c"})), ("cart".into(), "c".into()));
    assert_eq!(entity(json!({"user_id": "u"})), ("person".into(), "u".into()));
    assert_eq!(entity(json!({})).0, "event");
    let odd = of("purchase", json!({"user_id": {"a": 1}, "cart_id": "x".repeat(513)}));
    assert_eq!((odd.person, odd.flags), (None, vec!["bad_value:user_id".into(), "bad_value:cart_id".into()]));
}

#[test]
fn ana_c20_a_purchase_without_a_user_is_nobodys() {
    assert_eq!(event(&without(purchase(), "user_id")).person, None);
}

#[test]
fn ana_c08_the_same_purchase_twice_is_one_fact_and_another_amount_is_another() {
    let (first, later) = (stored(TRACK), stored(TRACK).received("2026-03-14T16:00:09Z"));
    let (a, b) = (first.event(&purchase()), later.event(&purchase()));
    assert_eq!((&a.keys.semantic, &a.event_id), (&b.keys.semantic, &b.event_id));
    assert_ne!(
        a.keys.transport, b.keys.transport,
        "without a key of the sender each call is its own delivery"
    );
    let other = later.event(&with(purchase(), json!({"revenue": 50})));
    assert_ne!(
        a.keys.semantic, other.keys.semantic,
        "the amount would change the order, so the key lets it through"
    );
    let refund = first.event(&with(purchase(), json!({"event_type": "refund"})));
    assert_ne!(a.keys.semantic, refund.keys.semantic);
}

#[test]
fn ana_c09_a_refund_id_tells_refunds_apart() {
    let refund = |fields: Value| of("refund", with(fields, json!({"revenue": -20})));
    let named = refund(json!({"properties": {"refund_id": "r1", "reason": "torn"}}));
    assert_eq!((named.event, named.entity.id.as_str()), (EventName::OrderRefunded, "order_456"));
    let said = &named.order().refunds[0];
    assert_eq!(
        (said.id.as_str(), said.amount.minor, said.at.0),
        ("r1", 2000, received(NOW).0),
        "the sign is ignored"
    );
    assert_eq!(named.order().refunded_rest, Some(false));
    assert_eq!(named.payload.properties.keys().collect::<Vec<_>>(), ["reason"]);
    assert_eq!(
        (named.order().total, named.order().paid_at, named.order().financial_status),
        (None, None, None)
    );
    let second = refund(json!({"properties": {"refund_id": "r2"}}));
    assert_ne!(named.keys.semantic, second.keys.semantic);
    let again = refund(json!({"properties": {"refund_id": "r1", "reason": "torn"}}));
    assert_eq!(named.keys.semantic, again.keys.semantic);
}

#[test]
fn ana_c09_refunds_without_an_id_are_left_to_the_hours_between_them() {
    let body = minimal("refund");
    let (a, b) = (stored(TRACK).event(&body), stored(TRACK).received("2026-03-16T16:00:00Z").event(&body));
    assert_eq!((a.order().refunds[0].id.as_str(), b.order().refunds[0].id.as_str()), ("refund", "refund"));
    assert_ne!(
        a.keys.semantic, b.keys.semantic,
        "two days later it is another refund, so no key may suppress it"
    );
    let claimed = |at: &str| of("refund", json!({"timestamp": at})).keys.semantic;
    assert_eq!(claimed("2026-03-14T10:00:00Z"), claimed("2026-03-14T11:00:00+01:00"));
}

#[test]
fn a_refund_leaves_what_the_order_says_of_itself() {
    let event = of(
        "refund",
        json!({"items": [{"item_id": "a"}], "campaign": "x", "properties": {"campaign": "y", "device_type": "tv"}, "coupon_code": "C"}),
    );
    let order = event.order();
    assert_eq!(
        (&order.items, &order.campaign, &order.context, &order.coupon_codes),
        (&None, &None, &None, &None)
    );
    assert_eq!(event.payload.properties.keys().collect::<Vec<_>>(), ["campaign", "device_type"]);
}

#[test]
fn each_call_counts_unless_the_sender_gives_it_a_key() {
    let keys = |delivery: Delivery, fields: Value| {
        let event = delivery.event(&with(minimal("view_cart"), fields));
        (event.keys.transport, event.event_id)
    };
    let later = || stored(TRACK).received("2026-03-14T16:00:01Z");
    let (none, id) = (|| json!({}), || json!({"event_id": "e1"}));
    assert_ne!(keys(stored(TRACK), none()), keys(later(), none()));
    assert_eq!(
        keys(stored(TRACK), none()),
        keys(stored(TRACK), none()),
        "one record is read the same each time"
    );
    assert_eq!(keys(stored(TRACK), id()), keys(later(), id()));
    let keyed = |delivery: Delivery| delivery.with("http.idempotency-key", "k1");
    assert_eq!(keys(keyed(stored(TRACK)), none()), keys(keyed(later()), none()));
    assert_eq!(
        keys(keyed(stored(TRACK)), id()),
        keys(later(), id()),
        "the key of the event stands before that of the request"
    );
}

#[test]
fn the_transport_key_of_the_door_is_that_of_the_event_where_the_sender_chose_it() {
    let plain = minimal("search");
    let named = with(plain.clone(), json!({"event_id": 7}));
    for (headers, body) in [(&[SECRET_KEY, ("idempotency-key", "k")][..], plain), (&[SECRET_KEY], named)] {
        let accepted = accepted(track(headers, &body));
        let event = items(&accepted, body.to_string().as_bytes()).unwrap().remove(0).unwrap();
        assert_eq!(event.keys.transport, accepted.delivery.to_hex());
    }
}

#[test]
fn a_batch_keeps_its_order_and_each_event_its_place_and_keys() {
    let events =
        [minimal("view_cart"), purchase(), json!({"event_type": "nope"}), minimal("view_cart"), json!(7)];
    let body = json!({"events": events}).to_string();
    let read = |delivery: Delivery| {
        let headers: Vec<_> = delivery.headers.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        sources::normalize(&sources::Raw {
            source: Source::Analytics,
            workspace: &delivery.workspace,
            received_at: received(NOW),
            partition: 3,
            offset: 7,
            headers: &headers,
            body: body.as_bytes(),
        })
        .unwrap()
    };
    let items = read(stored(BATCH).with("http.idempotency-key", "k"));
    let said: Vec<_> = items
        .iter()
        .map(|item| match item {
            Ok(event) => (event.raw_item, event.event.as_str()),
            Err(fault) => (fault.item, fault.failure.reason.code()),
        })
        .collect();
    let expected = [
        (0, "cart.viewed"),
        (1, "order.placed"),
        (2, "unsupported_event"),
        (3, "cart.viewed"),
        (4, "missing_field"),
    ];
    assert_eq!(said, expected);
    let key = |place: usize| items[place].as_ref().unwrap().keys.transport.clone();
    assert_ne!(key(0), key(3), "two equal events of one batch are two");
    let without =
        read(stored(BATCH).with("rejected_items", "0,2").with("fraud", "1:1:velocity;3:2:velocity"));
    let left: Vec<_> = without
        .iter()
        .map(|item| item.as_ref().ok().map(|e| (e.raw_item, e.fraud.as_ref().map(|f| f.severity))))
        .collect();
    assert_eq!(left, [Some((1, Some(1))), Some((3, Some(2))), None]);
}

#[test]
fn ana_c11_amounts_are_exact_minor_units_of_their_currency() {
    let total = |revenue: Value, currency: &str| {
        of("purchase", json!({"revenue": revenue, "currency": currency})).order().total.unwrap()
    };
    assert_eq!(total(json!(49.99), "USD").minor, 4999);
    assert_eq!(
        (total(json!(5000), "JPY").minor, total(json!("5000.00"), "jpy").to_string()),
        (5000, "5000 JPY".into())
    );
    assert_eq!(total(json!("1.234"), "KWD").minor, 1234);
    let body = r#"{"event_type":"purchase","transaction_id":"t","revenue":4.350}"#;
    let event = stored(TRACK).read(body.as_bytes()).unwrap();
    assert_eq!((event.order().total, event.flags.len()), (usd(435), 0), "a float would say 434");
    let rounded = of("purchase", json!({"revenue": "1.005"}));
    assert_eq!((rounded.order().total, rounded.flags), (usd(101), vec!["amount_rounded".to_owned()]));
}

#[test]
fn without_a_currency_the_base_currency_is_meant() {
    let yen = stored(TRACK).configured(|config| config.base_currency = "JPY".into());
    let event = yen.event(&with(
        minimal("purchase"),
        json!({"items": [{"item_id": "a", "price": 7, "currency": "USD"}, {"item_id": "b", "price": 7}]}),
    ));
    let order = event.order();
    assert_eq!(order.total.unwrap().to_string(), "50 JPY");
    let prices: Vec<_> = order.items.iter().flatten().map(|item| item.price.unwrap().to_string()).collect();
    assert_eq!(prices, ["7.00 USD", "7 JPY"], "an item may have a currency of its own");
}

#[test]
fn ana_c12_an_unknown_currency_is_kept_under_a_code_that_no_rate_leads_from() {
    for code in [json!("ZQZ"), json!("dollars"), json!("$"), json!(840)] {
        let event = of("purchase", json!({"currency": code}));
        assert_eq!(event.flags, ["currency_unknown"], "{code}");
        let total = event.order().total.unwrap();
        assert_eq!((total.minor, total.currency), (4999, Currency::parse("xxx").unwrap()));
        assert_eq!(event.payload.properties["currency"], code.to_string());
    }
}

#[test]
fn a_bad_amount_or_time_is_a_fault_with_its_path_and_an_odd_quantity_is_not() {
    let failure = |fields: Value| stored(TRACK).failure(&with(minimal("purchase"), fields));
    assert_eq!(failure(json!({"revenue": 1e300})), ("bad_money", "revenue".into()));
    assert_eq!(failure(json!({"tax": "much"})), ("bad_money", "tax".into()));
    assert_eq!(
        failure(json!({"items": [{"item_id": "a", "price": []}, {"item_id": "b", "price": {"a": 1}}]})),
        ("bad_money", "items[1].price".into())
    );
    assert_eq!(failure(json!({"timestamp": "yesterday"})), ("bad_time", "timestamp".into()));
    assert_eq!(failure(json!({"transaction_id": "x".repeat(513)})), ("bad_value", "transaction_id".into()));
    assert_eq!(failure(json!({"transaction_id": null})), ("missing_order_id", "transaction_id".into()));
    assert_eq!(failure(json!({"revenue": -1})), ("bad_money", "revenue".into()), "no rule has judged it");
    let odd = of("purchase", json!({"items": [{"item_id": "a", "quantity": 1.5}]}));
    assert_eq!(
        (odd.order().item_count, odd.flags),
        (Some(1), vec!["bad_value:items[0].quantity".to_owned()])
    );
    let batch = stored(BATCH).failure(&json!({"events": []}));
    assert_eq!(batch, ("missing_field", "events".into()));
    assert_eq!(stored("/elsewhere").failure(&purchase()).0, "unsupported_event");
    assert_eq!(stored("/v1/api/analytics/user/%20").failure(&json!({})), ("missing_field", "path".into()));
}

#[test]
fn an_event_of_three_days_starts_something_and_one_of_a_microsecond_more_does_not() {
    let oldest = received(NOW).0 - 72 * 3_600 * commerce::time::SECOND;
    for (at, starts) in [(oldest, true), (oldest - 1, false)] {
        let event = of("purchase", json!({"timestamp": EventTime(at).to_rfc3339()}));
        assert_eq!((event.occurred_at, event.trigger_eligible), (EventTime(at), starts));
    }
}

#[test]
fn a_timestamp_is_the_time_of_the_event() {
    let event = of("purchase", json!({"timestamp": "2026-03-14T10:00:00.5+01:00"}));
    let time = at("2026-03-14T09:00:00.5Z");
    assert_eq!((event.occurred_at, event.order().version, event.order().paid_at), (time, time, Some(time)));
    let old = of("view_cart", json!({"timestamp": "2026-03-01T00:00:00Z"}));
    assert!(!old.trigger_eligible);
    let naive = of("view_cart", json!({"timestamp": "2026-03-14T10:00:00"}));
    assert_eq!(naive.flags, ["timestamp_naive"]);
    let far = of("refund", json!({"timestamp": "9999-12-31T23:59:59Z"}));
    assert_eq!(
        (far.flags, far.payload.order.unwrap().refunds[0].at.0),
        (vec!["timestamp_future".to_owned()], received(NOW).0)
    );
}

#[test]
fn a_label_of_a_load_is_taken_from_the_properties() {
    for (value, label) in [
        (json!(true), None),
        (json!("true"), None),
        (json!("2025"), Some("2025")),
        (json!(2025), Some("2025")),
    ] {
        for kind in ["purchase", "view_cart"] {
            let event = of(kind, json!({"properties": {"backfill": value}}));
            assert_eq!(
                (event.origin.kind.as_str(), event.origin.label.as_deref()),
                ("backfill", label),
                "{value}"
            );
            assert!(!event.trigger_eligible && event.payload.properties.is_empty());
        }
    }
    for value in [json!(false), json!("false"), json!(null), json!({"a": 1})] {
        assert_eq!(of("purchase", json!({"properties": {"backfill": value}})).origin.kind, "live");
    }
}

#[test]
fn campaign_and_context_are_those_of_the_event_before_its_properties_and_those_before_the_request() {
    let agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";
    let around = || stored(TRACK).with("http.user-agent", agent).with("country", "de");
    let context = |event: Event| {
        let context = event.payload.activity.and_then(|a| a.context).unwrap();
        [context.device, context.platform, context.country].map(Option::unwrap_or_default)
    };
    let bare = minimal("view_cart");
    assert_eq!(context(around().event(&bare)), ["mobile", "ios", "DE"]);
    let own = json!({"device_type": "Tablet", "platform": "android", "country": "gb"});
    let said = with(bare.clone(), json!({"properties": own}));
    assert_eq!(context(around().event(&said)), ["tablet", "android", "GB"]);
    let top = with(said, json!({"platform": "web", "device_type": "desktop", "country": "FR"}));
    assert_eq!(context(around().event(&top)), ["desktop", "web", "FR"]);
    let order = around().event(&purchase());
    assert_eq!((order.order().country.as_deref(), order.order().context.is_some()), (Some("DE"), true));

    let unknown = around().event(&with(bare.clone(), json!({"properties": {"country": "Germany"}})));
    assert_eq!(
        (unknown.flags.as_slice(), unknown.payload.properties["country"].as_str()),
        (&["country_unknown".to_owned()][..], r#""Germany""#)
    );
    assert_eq!(context(unknown)[2], "DE");
    for nowhere in ["XX", "T1", ""] {
        assert_eq!(activity(&stored(TRACK).with("country", nowhere).event(&bare)).context, None, "{nowhere}");
    }

    let campaign = of(
        "search",
        json!({"campaign": "top", "properties": {"campaign": "below", "source": "email", "medium": 7, "search_term": "x"}}),
    );
    let found = activity(&campaign).campaign.as_ref().unwrap();
    assert_eq!(
        (found.campaign.as_deref(), found.source.as_deref(), found.medium.as_deref()),
        (Some("top"), Some("email"), Some("7"))
    );
    assert_eq!(campaign.payload.properties.keys().collect::<Vec<_>>(), ["campaign"], "what lost is kept");
    assert_eq!(activity(&of("search", json!({}))).campaign, None);
}

#[test]
fn ana_c25_each_erasure_is_its_own_and_says_only_who() {
    let path = "/v1/api/analytics/user/user_123";
    let (a, b) =
        (stored(path).read(b"").unwrap(), stored(path).received("2026-03-15T00:00:00Z").read(b"").unwrap());
    assert_eq!((a.event, a.source_event.as_str()), (EventName::CustomerDeleted, "delete_user"));
    assert_ne!(a.keys.semantic, b.keys.semantic, "after the first the same id began a new history");
    assert_eq!(a.identifiers(), [("user", "user_123".to_owned())]);
    assert_eq!(a.payload, commerce::event::Payload::default());
}

#[test]
fn a_tester_of_the_workspace_is_qa() {
    let delivery = stored(TRACK).configured(|config| config.test_accounts = vec!["user:user_123".into()]);
    assert!(delivery.event(&purchase()).qa);
    assert!(!delivery.event(&with(purchase(), json!({"user_id": "other"}))).qa);
}
