//! What calls of the Track API say.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::event::{FinancialStatus, FulfillmentStatus};
use commerce::{Event, EventName, EventTime, Money};
use http::Method;
use serde_json::{Value, json};
use sources::meter::Unmetered;
use sources::{Item, Workspace, WorkspaceConfig, Workspaces};

use crate::fixture::*;

pub(crate) const PERSON: &str = "/api/v1/customers/5";
pub(crate) const EVENTS: &str = "/api/v1/customers/5/events";
pub(crate) const ULID: &str = "01HB4HBDKTFWYZCK01DMRSWRFD";

/// A call that the door takes, read in the same workspace.
pub(crate) struct Sender {
    pub(crate) workspaces: Workspaces,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

pub(crate) fn sender() -> Sender {
    configured(|_| {})
}

pub(crate) fn configured(change: impl FnOnce(&mut WorkspaceConfig)) -> Sender {
    let mut config = WorkspaceConfig::development();
    change(&mut config);
    Sender { workspaces: Workspaces::from_configs([config]).unwrap(), headers: Vec::new() }
}

pub(crate) fn mapped(name: &str, event: &str) -> Sender {
    configured(|config| {
        let map = &mut config.customerio.as_mut().unwrap().event_map;
        map.insert(name.to_owned(), event.to_owned());
    })
}

impl Sender {
    fn workspace(&self) -> &Workspace {
        self.workspaces.get("demo").unwrap()
    }

    pub(crate) fn items(&self, method: &Method, path: &str, body: &str) -> Vec<Item> {
        let authorization = format!("Basic {}", STANDARD.encode("dev-site:dev-track-key"));
        let mut headers = vec![("authorization", authorization.as_str())];
        headers.extend(&self.headers);
        let decision = call(&self.workspaces, &Unmetered, method, path, None, &headers, body.as_bytes());
        let accepted = accepted(decision);
        assert!(matches!(accepted.reply.status, 200 | 204 | 207));
        match items_of(self.workspace(), &accepted, body.as_bytes()) {
            Ok(items) => items,
            Err(failure) => vec![Err(sources::Fault { item: 0, failure })],
        }
    }

    pub(crate) fn event(&self, method: &Method, path: &str, body: Value) -> Event {
        let mut items = self.items(method, path, &body.to_string());
        assert_eq!(items.len(), 1, "{items:?}");
        items.remove(0).unwrap()
    }

    pub(crate) fn track(&self, name: &str, data: Value) -> Event {
        self.event(&Method::POST, EVENTS, json!({"name": name, "data": data}))
    }

    fn failure(&self, name: &str, data: Value) -> (&'static str, String) {
        let body = json!({"name": name, "data": data}).to_string();
        let failure = self.items(&Method::POST, EVENTS, &body).remove(0).unwrap_err().failure;
        (failure.reason.code(), failure.field.unwrap_or_default())
    }
}

pub(crate) fn track(name: &str, data: Value) -> Event {
    sender().track(name, data)
}

pub(crate) fn identify(path: &str, body: Value) -> Event {
    sender().event(&Method::PUT, path, body)
}

pub(crate) fn usd(minor: i64) -> Option<Money> {
    Some(Money::new(minor, commerce::Currency::USD))
}

pub(crate) fn paid() -> Value {
    json!({
        "order_id": "A-1", "total": 84.47, "currency": "USD", "discount": 5, "shipping": "7.00", "tax": 0,
        "line_items": [{"sku": "S-1", "product_id": "P-1", "name": "Shirt", "category": "Tops", "quantity": 2, "price": 41.23}],
    })
}

pub(crate) fn unflagged(event: &Event) {
    assert_eq!(event.flags, Vec::<String>::new());
}

pub(crate) fn properties(event: &Event) -> Value {
    let found = event.payload.properties.iter();
    json!(
        found
            .map(|(name, text)| (name.clone(), serde_json::from_str(text).unwrap()))
            .collect::<serde_json::Map<_, _>>()
    )
}

#[test]
fn each_name_of_the_table_has_its_event() {
    for (name, event) in [
        ("cart_created", EventName::CartCreated),
        ("checkout_started", EventName::CheckoutStarted),
        ("order_paid", EventName::OrderPaid),
        ("order_fulfilled", EventName::OrderFulfilled),
        ("product_viewed", EventName::ProductViewed),
        ("back_in_stock_requested", EventName::BackInStockRequested),
        ("subscription_renewed", EventName::SubscriptionRenewed),
        ("subscription_cancelled", EventName::SubscriptionCancelled),
        ("subscription_skipped", EventName::SubscriptionSkipped),
        ("subscription_paused", EventName::SubscriptionPaused),
        ("order_created", EventName::CustomTracked),
        ("order_placed", EventName::CustomTracked),
        ("anything", EventName::CustomTracked),
    ] {
        let found = track(&format!(" {name} "), json!({"order_id": 1}));
        assert_eq!((found.event, found.source_event.as_str()), (event, name));
        assert!(!found.flags.iter().any(|flag| flag.starts_with("event_name_drift")), "{name}");
    }
}

#[test]
fn cio_c24_both_spellings_of_a_cancelled_subscription_are_one() {
    let body =
        json!({"subscription_id": "S-9", "value": "12.00", "period_start": 1_770_000_000, "plan": "gold"});
    let event = track("subscription_canceled", body);
    assert_eq!(event.event, EventName::SubscriptionCancelled);
    let subscription = event.payload.subscription.as_ref().unwrap();
    assert_eq!((subscription.id.as_deref(), subscription.amount), (Some("S-9"), usd(1200)));
    assert_eq!(subscription.period_start, Some(EventTime(1_770_000_000_000_000)));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("subscription", "S-9"));
    assert_eq!(properties(&event), json!({"plan": "gold"}));
}

#[test]
fn cio_c18_a_drifting_name_is_loud_and_a_version_is_the_same_event() {
    for name in ["Order Paid", "orderPaid", "ORDER-PAID", "order paid", "Order_Paid_v3"] {
        let event = track(name, paid());
        assert_eq!((event.event, event.source_event.as_str()), (EventName::CustomTracked, name));
        assert_eq!(event.flags, ["event_name_drift", "event_name_drift:order.paid"], "{name}");
        assert_eq!(event.payload.order, None, "it triggers no money rule");
    }
    for name in ["order_paid_v2", "order_paid v2", "order_paid.v2"] {
        let event = track(name, paid());
        assert_eq!(
            (event.event, event.schema_version, event.source_event.as_str()),
            (EventName::OrderPaid, 2, name)
        );
        unflagged(&event);
    }
    assert_eq!(track("order_paid_v17", paid()).schema_version, 17);
    for name in ["order_paid_v0", "order_paid_v", "order_paid_v99999999999", "order_paidv2", "_v2"] {
        let event = track(name, paid());
        assert_eq!((event.event, event.schema_version), (EventName::CustomTracked, 1), "{name}");
    }
    assert_eq!(track("order_paid", paid()).schema_version, 1);
}

#[test]
fn further_names_are_mapped_by_the_workspace() {
    let sender = mapped("Bought Something", "order.placed");
    let event = sender.track("Bought Something", paid());
    assert_eq!((event.event, event.order().paid_at), (EventName::OrderPlaced, None));
    assert_eq!(event.order().placed_at, Some(at(NOW)));
    assert_eq!(sender.track("bought_something", paid()).flags[1], "event_name_drift:order.placed");
    assert_eq!(sender.track("Bought Something_v2", paid()).schema_version, 2);
    let refund = mapped("refunded", "order.refunded");
    let event =
        refund.track("refunded", json!({"order_id": 1, "refund_id": "R", "amount": 5, "currency": "USD"}));
    let order = event.order();
    assert_eq!(
        (order.refunds[0].id.as_str(), Some(order.refunds[0].amount), order.total),
        ("R", usd(500), None)
    );
    assert_eq!(refund.failure("refunded", json!({"amount": 5})).0, "missing_order_id");
    assert_eq!(refund.failure("refunded", json!({"order_id": 1, "amount": -5})).0, "bad_money");
    let cancelled = mapped("called_off", "order.cancelled").track("called_off", json!({"order_id": 1}));
    assert_eq!((cancelled.order().cancelled_at, cancelled.order().currency), (Some(at(NOW)), None));
    let payment = mapped("charged", "payment.succeeded").track("charged", json!({"amount": "9.99"}));
    assert_eq!(payment.payload.payment.unwrap().amount, usd(999));
    assert_eq!(payment.entity.r#type, "payment", "a person has many");
    let named = json!({"payment_id": "p-1", "amount": "9.99"});
    let named = mapped("charged", "payment.succeeded").track("charged", named);
    assert_eq!(
        (named.entity.id.as_str(), named.payload.properties["payment_id"].as_str()),
        ("p-1", r#""p-1""#)
    );
    let back = mapped("returned", "payment.refunded").track("returned", json!({"amount": "9.99"}));
    assert!(back.flags.iter().any(|flag| flag == "refund_id_derived"), "{:?}", back.flags);
    assert_eq!(back.payload.payment.unwrap().refund_id, Some(back.entity.id));
    let search = mapped("searched", "search.performed").track("searched", json!({"search_term": "shirt"}));
    assert_eq!(search.payload.activity.unwrap().search_term.as_deref(), Some("shirt"));
}

#[test]
fn a_page_and_a_screen_are_custom_whatever_they_are_called() {
    for kind in ["page", "screen"] {
        let body = json!({"name": "order_paid", "type": kind, "data": {"referrer": "x"}});
        let event = sender().event(&Method::POST, EVENTS, body);
        assert_eq!((event.event, properties(&event)), (EventName::CustomTracked, json!({"referrer": "x"})));
        unflagged(&event);
        let body = json!({"type": "person", "action": kind, "identifiers": {"id": 5}, "name": "order_paid"});
        assert_eq!(sender().event(&Method::POST, "/api/v2/entity", body).event, EventName::CustomTracked);
    }
}

#[test]
fn an_order_is_read_by_its_canonical_names() {
    let data = with(
        paid(),
        json!({
            "coupon": "SPRING", "campaign": "march", "source": "google", "medium": "cpc", "cart_id": "C-1",
            "checkout_id": "K-1", "subscription_id": "S-1", "order_number": "#1001", "gift": true, "score": 9007199254740993_u64,
        }),
    );
    let body = json!({"name": "order_paid", "data": data, "timestamp": 1_773_500_000});
    let event = sender().event(&Method::POST, EVENTS, body);
    unflagged(&event);
    let order = event.order();
    let instant = EventTime(1_773_500_000_000_000);
    assert_eq!((order.paid_at, order.placed_at, order.version), (Some(instant), Some(instant), instant));
    assert_eq!((order.financial_status, order.fulfillment_status), (Some(FinancialStatus::Paid), None));
    assert_eq!(
        (order.total, order.discount_total, order.shipping_total, order.tax_total),
        (usd(8447), usd(500), usd(700), usd(0))
    );
    let item = &order.items.as_ref().unwrap()[0];
    assert_eq!(
        (item.sku.as_deref(), item.product_id.as_deref(), item.title.as_deref()),
        (Some("S-1"), Some("P-1"), Some("Shirt"))
    );
    assert_eq!(
        (item.category.as_deref(), item.quantity, item.price, order.item_count),
        (Some("Tops"), 2, usd(4123), Some(2))
    );
    assert_eq!(order.coupon_codes.as_deref().unwrap(), ["SPRING"]);
    let campaign = order.campaign.as_ref().unwrap();
    assert_eq!(
        (campaign.campaign.as_deref(), campaign.source.as_deref(), campaign.medium.as_deref()),
        (Some("march"), Some("google"), Some("cpc"))
    );
    let links: Vec<_> = order.links.iter().map(|link| (link.kind.as_str(), link.id.as_str())).collect();
    assert_eq!(links, [("checkout", "K-1"), ("cart", "C-1"), ("subscription", "S-1")]);
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("order", "A-1"));
    assert_eq!(event.entity.aliases, ["number:1001"]);
    assert_eq!(event.identifiers(), [("user", "5".into()), ("cart", "C-1".into())]);
    assert_eq!(
        properties(&event),
        json!({"gift": true, "score": 9007199254740993_u64, "order_number": "#1001"})
    );
}

#[test]
fn the_first_name_that_is_present_wins_and_the_others_travel_on() {
    for (name, value) in [("order_id", "1"), ("orderId", "2"), ("id", "3")] {
        let event = track("order_paid", with(without(paid(), "order_id"), json!({name: value})));
        assert_eq!(event.entity.id, value);
    }
    for name in ["value", "total", "total_price", "revenue"] {
        let event = track("order_paid", with(without(paid(), "total"), json!({name: "1.50"})));
        assert_eq!(event.order().total, usd(150), "{name}");
    }
    for name in ["line_items", "items", "products"] {
        let event = track("order_paid", with(without(paid(), "line_items"), json!({name: [{"sku": "x"}]})));
        let item = &event.order().items.as_ref().unwrap()[0];
        assert_eq!((item.product_id.as_deref(), item.quantity, item.price), (Some("x"), 1, None), "{name}");
    }
    for name in ["coupon", "coupon_code", "discount_code"] {
        let event = track("order_paid", with(paid(), json!({name: "X"})));
        assert_eq!(event.order().coupon_codes.as_deref().unwrap(), ["X"], "{name}");
    }
    let both =
        track("order_paid", with(paid(), json!({"value": "", "revenue": 1, "id": 9, "total_discount": 3})));
    assert_eq!(
        (both.entity.id.as_str(), both.order().total, both.order().discount_total),
        ("A-1", usd(8447), usd(500))
    );
    assert_eq!(properties(&both), json!({"value": "", "revenue": 1, "id": 9, "total_discount": 3}));
}

#[test]
fn cio_c06_an_order_without_an_id_fails_and_is_answered_200() {
    for data in [
        without(paid(), "order_id"),
        with(paid(), json!({"order_id": null})),
        with(paid(), json!({"order_id": " "})),
    ] {
        assert_eq!(
            sender().failure("order_paid", data.clone()),
            ("missing_order_id", "data.order_id".into())
        );
        assert_eq!(sender().failure("order_fulfilled", data).0, "missing_order_id");
    }
}

#[test]
fn cio_c07_a_time_is_read_in_seconds_and_milliseconds_are_flagged() {
    let send = |timestamp: Value| {
        sender().event(&Method::POST, EVENTS, json!({"name": "x", "timestamp": timestamp}))
    };
    let (plain, milli) = (send(json!(1_700_000_000)), send(json!(1_700_000_000_000_u64)));
    assert_eq!(plain.occurred_at, at("2023-11-14T22:13:20Z"));
    unflagged(&plain);
    assert_eq!(
        (milli.occurred_at, milli.flags.as_slice()),
        (plain.occurred_at, &["timestamp_unit_guessed".to_owned()][..])
    );
    let coerced = send(json!("2023-11-14T23:13:20+01:00"));
    assert_eq!(
        (coerced.occurred_at, coerced.flags.as_slice()),
        (plain.occurred_at, &["timestamp_coerced".to_owned()][..])
    );
    assert_eq!(send(json!(null)).occurred_at, at(NOW));
    assert_eq!(send(json!(4_000_000_000_u32)).flags, ["timestamp_future"]);
}

#[test]
fn a_gap_in_an_order_is_published_with_its_name() {
    let event = track("order_paid", json!({"order_id": 7}));
    assert_eq!(
        event.flags,
        [
            "missing:total",
            "missing:items",
            "missing:discount",
            "missing:shipping",
            "missing:tax",
            "currency_defaulted"
        ]
    );
    assert_eq!(
        (event.order().total, event.order().items.as_ref(), event.order().paid_at),
        (None, None, Some(at(NOW)))
    );
    let event = configured(|config| config.base_currency = "EUR".into())
        .track("order_paid", without(paid(), "currency"));
    assert_eq!(event.order().total.unwrap().to_string(), "84.47 EUR");
    assert!(event.flags.contains(&"currency_defaulted".to_owned()));
    let event =
        track("order_paid", with(paid(), json!({"line_items": [{"name": "x", "quantity": "many"}, 5]})));
    assert_eq!(event.flags, ["missing:items.product_id", "bad_value:items.quantity", "bad_value:items"]);
    assert_eq!(event.order().items.as_ref().unwrap()[0].quantity, 1);
}

#[test]
fn an_amount_that_is_none_fails_and_an_object_in_its_place_is_a_property() {
    let failure = |fields| sender().failure("order_paid", with(paid(), fields));
    assert_eq!(failure(json!({"total": "lots"})), ("bad_money", "data.total".into()));
    assert_eq!(failure(json!({"total": true})), ("bad_money", "data.total".into()));
    assert_eq!(failure(json!({"total": 1e16})), ("bad_money", "data.total".into()));
    assert_eq!(failure(json!({"shipping": "fast"})), ("bad_money", "data.shipping".into()));
    assert_eq!(failure(json!({"currency": "EURO"})), ("bad_currency", "data.currency".into()));
    let items = json!({"line_items": [{"sku": "a"}, {"sku": "b", "price": "x"}]});
    assert_eq!(failure(items), ("bad_money", "data.line_items[1].price".into()));
    assert_eq!(failure(json!({"order_id": 1.5})), ("bad_value", "data.order_id".into()));
    let event = track("order_paid", with(paid(), json!({"shipping": {"method": "fast"}})));
    assert_eq!(event.order().shipping_total, None);
    assert_eq!(properties(&event), json!({"shipping": {"method": "fast"}}));
    assert!(event.flags.contains(&"bad_value:shipping".to_owned()));
    let rounded = track("order_paid", with(paid(), json!({"total": 84.475})));
    assert_eq!((rounded.order().total, rounded.flags), (usd(8448), vec!["amount_rounded".to_owned()]));
    let exact = track("order_paid", with(paid(), json!({"total": "0.1", "currency": "KWD"})));
    assert_eq!(exact.order().total.unwrap().minor, 100);
}

#[test]
fn a_fulfilled_order_says_nothing_of_payment() {
    let event = track("order_fulfilled", json!({"order_id": "A-1", "carrier": "x"}));
    let order = event.order();
    assert_eq!((event.event, order.fulfilled_at), (EventName::OrderFulfilled, Some(at(NOW))));
    assert_eq!(order.fulfillment_status, Some(FulfillmentStatus::Fulfilled));
    assert_eq!(
        (order.paid_at, order.placed_at, order.financial_status, order.total),
        (None, None, None, None)
    );
    unflagged(&event);
}

#[test]
fn cio_c19_a_checkout_without_items_is_published_with_a_flag() {
    let data = json!({"cart_id": "C-1", "value": 30.5, "currency": "usd"});
    let event = track("checkout_started", data.clone());
    assert_eq!(
        (event.event, event.flags.as_slice()),
        (EventName::CheckoutStarted, &["missing:items".to_owned()][..])
    );
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("checkout", "C-1"));
    let items = json!({"items": [{"sku": "S", "quantity": 2, "price": "15.25"}], "checkout_id": "K-1", "coupon": ["A", "B"], "checkout_url": "https://x"});
    let event = track("checkout_started", with(data, items));
    unflagged(&event);
    let activity = event.payload.activity.as_ref().unwrap();
    assert_eq!((activity.cart_id.as_deref(), activity.checkout_id.as_deref()), (Some("C-1"), Some("K-1")));
    assert_eq!((activity.value, activity.items.as_ref().unwrap()[0].price), (usd(3050), usd(1525)));
    assert_eq!(
        (activity.coupon_codes.as_slice(), activity.recovery_url.as_deref()),
        (&["A".to_owned(), "B".to_owned()][..], Some("https://x"))
    );
    assert_eq!(
        (event.entity.id.as_str(), event.identifiers()),
        ("K-1", vec![("user", "5".into()), ("cart", "C-1".into())])
    );
    let bare = track("checkout_started", json!({}));
    assert_eq!(bare.flags, ["missing:cart_id", "missing:value", "missing:items", "currency_defaulted"]);
    assert_eq!((bare.entity.r#type.as_str(), bare.entity.id.as_str()), ("person", "5"));
    let cart = track("cart_created", json!({"cart_id": "C-1"}));
    assert_eq!((cart.entity.r#type.as_str(), cart.entity.id.as_str()), ("cart", "C-1"));
    unflagged(&cart);
}

#[test]
fn a_product_stands_in_the_data_or_in_a_list() {
    let data = json!({"product_id": 77, "variant_id": "v", "sku": "S", "name": "Shirt", "category": "Tops", "price": "9.99", "colour": "red"});
    let event = track("product_viewed", data.clone());
    let activity = event.payload.activity.as_ref().unwrap();
    let item = &activity.items.as_ref().unwrap()[0];
    assert_eq!(
        (item.product_id.as_deref(), item.variant_id.as_deref(), item.price),
        (Some("77"), Some("v"), usd(999))
    );
    assert_eq!(
        (item.title.as_deref(), item.category.as_deref(), item.quantity),
        (Some("Shirt"), Some("Tops"), 1)
    );
    assert_eq!(
        (event.flags.as_slice(), properties(&event)),
        (&["currency_defaulted".to_owned()][..], json!({"colour": "red"}))
    );
    let event = track("back_in_stock_requested", json!({"product_id": "P", "variant_id": 3}));
    let items = event.payload.activity.as_ref().unwrap().items.as_ref().unwrap();
    assert_eq!((items.len(), items[0].variant_id.as_deref()), (1, Some("3")));
    unflagged(&event);
    assert_eq!(track("back_in_stock_requested", json!({})).flags, ["missing:product_id"]);
}

#[test]
fn the_one_line_structure_is_published_for_custom_events_too_and_their_data_stays_whole() {
    let data = json!({"items": [{"sku": "S", "price": 5}], "total": "whatever"});
    let event = track("quiz_finished", data.clone());
    assert_eq!(event.payload.activity.as_ref().unwrap().items.as_ref().unwrap()[0].price, usd(500));
    assert_eq!(properties(&event), data);
    let odd = track("quiz_finished", json!({"items": [{"price": "none"}], "currency": "?"}));
    assert_eq!((odd.payload.activity, odd.payload.properties.len()), (None, 2));
}
