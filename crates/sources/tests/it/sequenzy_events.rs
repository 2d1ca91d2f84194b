//! What a push says.

use commerce::event::{Event, FinancialStatus, FulfillmentStatus};
use commerce::order::{Policy, State, View};
use commerce::{EventName, Source};
use serde_json::{Value, json};
use sources::workspace::ReplenishmentConfig;
use sources::{Raw, Workspace, WorkspaceConfig};

use crate::fixture::*;
use crate::sequenzy_door::{CHECKOUTS, ORDERS, least};

pub(crate) struct Push {
    workspace: Workspace,
    path: &'static str,
    received_at: &'static str,
    offset: i64,
    headers: Vec<(&'static str, &'static str)>,
}

impl Default for Push {
    fn default() -> Self {
        Self {
            workspace: Workspace::development().unwrap(),
            path: ORDERS,
            received_at: NOW,
            offset: 7,
            headers: vec![],
        }
    }
}

impl Push {
    fn configured(change: impl FnOnce(&mut WorkspaceConfig)) -> Self {
        let mut config = WorkspaceConfig::development();
        change(&mut config);
        Self { workspace: Workspace::try_new(config).unwrap(), ..Self::default() }
    }

    fn both(&self, fields: Value) -> [Event; 2] {
        self.body(&with(least(), fields).to_string()).try_into().unwrap()
    }

    fn body(&self, body: &str) -> Vec<Event> {
        let mut headers = vec![("path", self.path)];
        headers.extend_from_slice(&self.headers);
        let raw = Raw {
            source: Source::Sequenzy,
            workspace: &self.workspace,
            received_at: received(self.received_at),
            partition: 3,
            offset: self.offset,
            headers: &headers,
            body: body.as_bytes(),
        };
        sources::normalize(&raw).unwrap().into_iter().map(Result::unwrap).collect()
    }
}

pub(crate) fn both(fields: Value) -> [Event; 2] {
    Push::default().both(fields)
}

pub(crate) fn order(fields: Value) -> Event {
    let [order, _] = both(fields);
    order
}

fn customer(fields: Value) -> Event {
    let [_, customer] = both(fields);
    customer
}

fn attribute<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    event.person.as_ref().unwrap().attributes.get(name).map(String::as_str)
}

pub(crate) fn view(events: &[Event]) -> View {
    let mut state = State::default();
    for event in events {
        state.observe(event);
    }
    let workspace = Workspace::development().unwrap();
    let policy = Policy {
        workspace: workspace.id.clone(),
        precedence: workspace.rules.source_precedence.clone(),
        ownership: workspace.rules.ownership.clone(),
    };
    state.view(&policy).unwrap()
}

pub(crate) const AT: &str = "2026-03-14T12:30:00Z";

#[test]
fn seq_c01_a_placed_order_is_placed_and_paid_at_its_own_time() {
    let [order, customer] = both(json!({"orderedAt": AT, "orderNumber": "#1001"}));
    assert_eq!(
        (order.event, order.source_event.as_str()),
        (EventName::OrderPlaced, "ecommerce.order_placed")
    );
    assert_eq!((order.entity.r#type.as_str(), order.entity.id.as_str()), ("order", "order-1001"));
    assert_eq!(order.entity.aliases, ["number:1001"]);
    assert_eq!((order.raw_item, order.raw_part, customer.raw_part), (0, 0, 1));
    assert_eq!(order.source_space, "");
    let said = order.order();
    assert_eq!((order.occurred_at, said.version), (at(AT), at(AT)));
    assert_eq!((said.placed_at, said.paid_at), (Some(at(AT)), Some(at(AT))));
    assert_eq!((said.financial_status, said.fulfillment_status), (Some(FinancialStatus::Paid), None));
    assert_eq!(said.total.unwrap().to_string(), "50.00 USD");
    assert!(order.trigger_eligible && order.flags.is_empty());
    assert!(view(&[order]).counted);
}

#[test]
fn a_display_number_is_an_alias_only_where_it_differs() {
    for number in [json!(null), json!("order-1001"), json!("#order-1001"), json!("#"), json!("x".repeat(600))]
    {
        assert_eq!(order(json!({"orderNumber": number})).entity.aliases, Vec::<String>::new());
    }
    assert_eq!(order(json!({"orderNumber": 1001})).entity.aliases, ["number:1001"]);
}

#[test]
fn an_id_is_exact_as_a_string_and_as_a_number() {
    for (id, expected) in
        [(json!(9007199254740993_u64), "9007199254740993"), (json!(" A-1 "), "A-1"), (json!("00"), "00")]
    {
        assert_eq!(order(json!({"orderId": id})).entity.id, expected);
    }
}

#[test]
fn seq_c08_each_status_states_its_own_fact_and_only_placed_is_a_payment() {
    for (status, event, alias) in [
        ("cancelled", EventName::OrderCancelled, "ecommerce.order_cancelled"),
        ("fulfilled", EventName::OrderFulfilled, "ecommerce.order_fulfilled"),
        ("refunded", EventName::OrderRefunded, "ecommerce.order_refunded"),
    ] {
        let order = order(json!({"status": status, "orderedAt": AT}));
        assert_eq!((order.event, order.source_event.as_str()), (event, alias));
        let said = order.order();
        assert_eq!((said.placed_at, said.paid_at), (None, None), "{status}");
        assert_eq!(said.cancelled_at, (status == "cancelled").then(|| at(AT)));
        assert_eq!(said.fulfilled_at, (status == "fulfilled").then(|| at(AT)));
        assert_eq!(said.fulfillment_status, (status == "fulfilled").then_some(FulfillmentStatus::Fulfilled));
        assert_eq!(said.refunded_rest, (status == "refunded").then_some(true));
        assert!(!view(&[order]).counted, "{status}: the order is known and doesn't count");
    }
}

/// All orders of four things.
pub(crate) fn permutations() -> Vec<[usize; 4]> {
    let mut found = Vec::new();
    for a in 0..4 {
        for b in (0..4).filter(|b| *b != a) {
            for c in (0..4).filter(|c| *c != a && *c != b) {
                found.push([a, b, c, 6 - a - b - c]);
            }
        }
    }
    found
}

#[test]
fn seq_c09_all_24_arrival_orders_of_the_four_statuses_end_in_the_same_state() {
    let statuses = ["placed", "fulfilled", "refunded", "cancelled"];
    for times in [["12:30", "13:00", "14:00", "15:00"], ["12:30"; 4]] {
        let views: Vec<View> = permutations()
            .into_iter()
            .map(|order| {
                let events: Vec<Event> = order
                    .into_iter()
                    .zip(0..)
                    .map(|(status, offset)| {
                        let time = format!("2026-03-14T{}:00Z", times[status]);
                        let fields =
                            json!({"status": statuses[status], "orderedAt": time, "refundAmountCents": 1000});
                        let [event, _] = Push { offset, ..Push::default() }.both(fields);
                        event
                    })
                    .collect();
                view(&events)
            })
            .collect();
        assert_eq!(views.len(), 24);
        assert!(views.iter().all(|view| *view == views[0]), "{times:?}");
        let end = &views[0];
        assert!(end.counted && end.cancelled_at.is_some() && end.fulfilled_at.is_some());
        assert_eq!(end.placed_at, Some(at(AT)));
        assert_eq!(end.refunded_total.unwrap().minor, 1000);
        assert_eq!(end.financial_status, Some(FinancialStatus::PartiallyRefunded));
        assert_eq!(end.fulfillment_status, Some(FulfillmentStatus::Fulfilled));
    }
}

pub(crate) fn usd(minor: i64) -> commerce::Money {
    commerce::Money::new(minor, commerce::Currency::USD)
}

#[test]
fn seq_c12_reported_totals_are_those_of_the_push_as_of_its_order() {
    let totals = json!({"ordersCount": 5, "totalSpentCents": 50000});
    let event = customer(json!({"orderedAt": AT, "customerTotals": totals, "status": "fulfilled"}));
    let person = event.person.as_ref().unwrap();
    assert_eq!(person.reported_orders_count, Some(5));
    assert_eq!(person.reported_total_spent.unwrap().to_string(), "500.00 USD");
    assert_eq!(person.reported_at, Some(at(AT)));
    assert_eq!(
        customer(json!({"customerTotals": totals})).person.unwrap().reported_at,
        Some(at(NOW)),
        "without a time the arrival"
    );
    let half = customer(json!({"customerTotals": {"ordersCount": 0}})).person.unwrap();
    assert_eq!((half.reported_orders_count, half.reported_total_spent), (Some(0), None));
    for nothing in [json!(null), json!({}), json!([]), json!({"ordersCount": null})] {
        let person = customer(json!({"customerTotals": nothing})).person.unwrap();
        assert_eq!((person.reported_orders_count, person.reported_at), (None, None));
    }
}

#[test]
fn seq_c14_properties_travel_with_the_event_and_reserved_ones_do_not() {
    let properties = json!({"gift": true, "note": {"to": ["x"]}, "n": 1.50, "none": null});
    let [plain, customer] = both(json!({"properties": properties}));
    let found: Vec<_> = plain.payload.properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, [("gift", "true"), ("n", "1.5"), ("none", "null"), ("note", r#"{"to":["x"]}"#)]);
    assert_eq!(plain.flags, Vec::<String>::new());
    assert!(customer.payload.properties.is_empty());
    for key in [
        "provider",
        "event",
        "status",
        "orderId",
        "orderNumber",
        "totalCents",
        "total",
        "currency",
        "orderedAt",
        "lineItems",
        "items",
        "refundAmountCents",
        "customer",
        "customerTotals",
        "subscriberId",
        "eventId",
        "checkoutId",
        "checkoutUrl",
    ] {
        let event = order(json!({"properties": {key: "other", "kept": 1}}));
        assert_eq!(event.flags, ["reserved_property_ignored"], "{key}");
        assert_eq!(event.payload.properties.keys().collect::<Vec<_>>(), ["kept"], "{key}");
        assert_eq!((event.entity.id.as_str(), event.event), ("order-1001", EventName::OrderPlaced));
    }
}

#[test]
fn seq_c15_the_time_of_a_push_is_its_orders_or_its_arrival() {
    let event = order(json!({"orderedAt": "2026-01-05T10:00:00+02:00"}));
    assert_eq!(event.occurred_at, at("2026-01-05T08:00:00Z"));
    assert!(!event.trigger_eligible, "it is older than three days");
    for nothing in [json!(null), json!("")] {
        let event = order(json!({"orderedAt": nothing}));
        assert_eq!((event.occurred_at, event.order().placed_at), (at(NOW), Some(at(NOW))));
    }
    let naive = order(json!({"orderedAt": "2026-03-14T12:30:00"}));
    assert_eq!((naive.occurred_at, naive.flags.as_slice()), (at(AT), &["timestamp_naive".to_owned()][..]));
    let late =
        order(json!({"orderedAt": "9999-12-31T23:59:59Z", "status": "refunded", "refundAmountCents": 1}));
    assert_eq!(late.flags, ["timestamp_future"]);
    assert_eq!(late.order().refunds[0].at, at(NOW), "a window is that of the arrival");
}

#[test]
fn seq_c19_every_push_says_who_the_customer_is_with_the_attributes_that_it_names() {
    let fields = json!({"orderedAt": AT, "customer": {
        "email": " Jane@Example.com ", "externalId": "u-1", "firstName": "Jane", "lastName": "Doe",
        "attributes": {"tier": "gold", "age": 41, "sizes": ["M"], "cleared": null, "empty": ""},
    }});
    for status in ["placed", "cancelled", "fulfilled", "refunded"] {
        let [order, customer] = both(with(fields.clone(), json!({"status": status})));
        assert_eq!(customer.event, EventName::CustomerUpdated);
        assert_eq!((customer.entity.r#type.as_str(), customer.entity.id.as_str()), ("person", "u-1"));
        assert_eq!(
            customer.identifiers(),
            [("user", "u-1".to_owned()), ("email", "jane@example.com".to_owned())]
        );
        assert_eq!(order.identifiers(), customer.identifiers());
        let person = customer.person.as_ref().unwrap();
        assert_eq!((person.first_name.as_deref(), person.last_name.as_deref()), (Some("Jane"), Some("Doe")));
        assert_eq!(person.email.as_deref(), Some("Jane@Example.com"));
        let names: Vec<_> = person.attributes.keys().map(String::as_str).collect();
        assert_eq!(names, ["age", "sizes", "tier"], "what says nothing takes nothing away");
        assert_eq!(attribute(&customer, "tier"), Some(r#""gold""#));
        assert!(order.person.as_ref().unwrap().attributes.is_empty());
        assert_eq!(customer.occurred_at, at(AT));
    }
    assert_eq!(customer(json!({})).entity.id, "jane@example.com");
}

#[test]
fn seq_c20_cents_are_the_minor_unit_of_the_currency_or_hundredths_by_setting() {
    let total = |push: &Push, cents: i64, currency: &str| {
        let item = json!({"productId": "p", "title": "t", "quantity": 1, "priceCents": cents});
        let [event, _] = push.both(json!({"totalCents": cents, "currency": currency, "items": [item]}));
        let order = event.order();
        assert_eq!(order.items.as_ref().unwrap()[0].price, order.total);
        (order.total.unwrap().to_string(), event.flags.join(","))
    };
    let minor = Push::default();
    for (cents, currency, expected) in [
        (5000, "JPY", "5000 JPY"),
        (5000, "usd", "50.00 USD"),
        (5000, "KWD", "5.000 KWD"),
        (0, "USD", "0.00 USD"),
    ] {
        assert_eq!(total(&minor, cents, currency), (expected.to_owned(), String::new()));
    }
    let hundredths = Push::configured(|config| config.sequenzy.as_mut().unwrap().hundredths = true);
    for (cents, currency, expected, flags) in [
        (500_000, "JPY", "5000 JPY", ""),
        (500_050, "JPY", "5001 JPY", "amount_rounded"),
        (5000, "USD", "50.00 USD", ""),
        (5000, "KWD", "50.000 KWD", ""),
    ] {
        assert_eq!(total(&hundredths, cents, currency), (expected.to_owned(), flags.to_owned()));
    }
}

#[test]
fn items_are_read_with_all_their_fields() {
    let item = json!({
        "productId": 9007199254740993_u64, "title": "Shirt", "quantity": 2, "variantId": "v-1", "sku": "S-1",
        "variantTitle": "M", "priceCents": 2500, "unknown": 1,
    });
    let event = order(json!({"items": [item, {"productId": "p", "title": "Hat", "quantity": 1}]}));
    let order = event.order();
    let items = order.items.as_ref().unwrap();
    assert_eq!(order.item_count, Some(3));
    assert_eq!(items[0].product_id.as_deref(), Some("9007199254740993"));
    assert_eq!((items[0].variant_id.as_deref(), items[0].sku.as_deref()), (Some("v-1"), Some("S-1")));
    assert_eq!((items[0].title.as_deref(), items[0].variant_title.as_deref()), (Some("Shirt"), Some("M")));
    assert_eq!((items[0].price, items[1].price), (Some(usd(2500)), None));
    assert_eq!(self::order(json!({})).order().items, None, "a push without items says nothing of them");
}

#[test]
fn a_product_that_the_settings_do_not_name_is_flagged() {
    let push = Push::configured(|config| {
        let product = ReplenishmentConfig { product_id: "p-1".into(), variant_id: None, days: 30 };
        config.replenishment.push(product);
    });
    let bought = |push: &Push, id: &str| {
        let [event, _] = push.both(json!({"items": [{"productId": id, "title": "t", "quantity": 1}]}));
        event.flags
    };
    assert_eq!(bought(&push, "p-1"), Vec::<String>::new());
    assert_eq!(bought(&push, "p-2"), ["product_unknown"]);
    assert_eq!(bought(&Push::default(), "p-2"), Vec::<String>::new(), "without settings nothing is unknown");
}

#[test]
fn a_repeat_is_the_same_fact_whenever_it_arrives_and_a_change_is_another() {
    let key = |push: &Push, fields: Value| {
        let [order, customer] = push.both(fields);
        (order.keys.semantic, customer.keys.semantic)
    };
    let now = Push::default();
    let later = Push { received_at: "2027-03-14T16:00:00Z", offset: 99, ..Push::default() };
    for fields in
        [json!({}), json!({"orderedAt": AT}), json!({"status": "refunded", "refundAmountCents": 1000})]
    {
        assert_eq!(key(&now, fields.clone()), key(&later, fields));
    }
    let first = key(&now, json!({}));
    for fields in [
        json!({"orderId": "order-1002"}),
        json!({"status": "fulfilled"}),
        json!({"totalCents": 5001}),
        json!({"currency": "EUR"}),
        json!({"orderedAt": AT}),
        json!({"orderNumber": "1001"}),
        json!({"items": []}),
        json!({"properties": {"a": 1}}),
        json!({"customer": {"email": "john@example.com"}}),
    ] {
        assert_ne!(key(&now, fields.clone()).0, first.0, "{fields}");
    }
    for fields in [
        json!({"customer": {"email": "jane@example.com", "attributes": {"tier": "gold"}}}),
        json!({"customerTotals": {"ordersCount": 5}}),
        json!({"customer": {"email": "jane@example.com", "firstName": "Jane"}}),
    ] {
        let changed = key(&now, fields.clone());
        assert_eq!(changed.0, first.0, "the order is as it was: {fields}");
        assert_ne!(changed.1, first.1, "{fields}");
    }
    let elsewhere = Push::configured(|config| config.id = "elsewhere".into());
    assert_ne!(key(&elsewhere, json!({})).0, first.0);
    let cancelled = |word: &str| key(&now, json!({"status": word}));
    assert_eq!(cancelled("canceled"), cancelled(" Cancelled"));
}

#[test]
fn a_backfill_is_labelled_by_the_body_before_the_header() {
    for (value, label) in
        [(json!(true), None), (json!("true"), None), (json!("2025"), Some("2025".to_owned()))]
    {
        for event in both(json!({"properties": {"backfill": value}})) {
            assert_eq!((event.origin.kind.as_str(), &event.origin.label), ("backfill", &label));
            assert!(!event.trigger_eligible);
        }
    }
    for value in [json!(false), json!("false"), json!(null), json!(0)] {
        assert_eq!(order(json!({"properties": {"backfill": value}})).origin.kind, "live");
    }
    let headed = Push { headers: vec![("http.tillstream-backfill", "load")], ..Push::default() };
    let [event, _] = headed.both(json!({}));
    assert_eq!(event.origin.label.as_deref(), Some("load"));
    assert_eq!(order(json!({"properties": {"backfill": true}})).payload.properties["backfill"], "true");
}

#[test]
fn staff_and_test_accounts_are_qa() {
    let push =
        Push::configured(|config| config.test_accounts = vec!["example.com".into(), "user:u-1".into()]);
    assert!(push.both(json!({})).iter().all(|event| event.qa));
    let other = |customer: Value| push.both(json!({"customer": customer})).map(|event| event.qa);
    assert_eq!(other(json!({"email": "a@b.c", "externalId": "u-1"})), [true, true]);
    assert_eq!(other(json!({"email": "a@b.c"})), [false, false]);
}

#[test]
fn a_checkout_starts_with_its_items_value_and_address() {
    let push = Push { path: CHECKOUTS, ..Push::default() };
    let body = json!({
        "checkoutId": "chk-1", "customer": {"email": "jane@example.com"}, "totalCents": 5000, "currency": "eur",
        "checkoutUrl": "https://shop.example/c/1", "items": [{"productId": "p", "title": "t", "quantity": 1}],
        "properties": {"step": 2, "orderId": "x"},
    });
    let events = push.body(&body.to_string());
    let [started, customer] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((started.event, started.raw_part), (EventName::CheckoutStarted, 0));
    assert_eq!(started.source_event, "ecommerce.checkout_started");
    assert_eq!((started.entity.r#type.as_str(), started.entity.id.as_str()), ("checkout", "chk-1"));
    let activity = started.payload.activity.as_ref().unwrap();
    assert_eq!(activity.checkout_id.as_deref(), Some("chk-1"));
    assert_eq!(activity.value.unwrap().to_string(), "50.00 EUR");
    assert_eq!(activity.recovery_url.as_deref(), Some("https://shop.example/c/1"));
    assert_eq!(activity.items.as_ref().unwrap().len(), 1);
    assert_eq!((started.payload.order.as_ref(), started.occurred_at), (None, at(NOW)));
    assert_eq!(started.payload.properties.keys().collect::<Vec<_>>(), ["step"]);
    assert_eq!(started.flags, ["reserved_property_ignored"]);
    assert_eq!((customer.event, customer.raw_part), (EventName::CustomerUpdated, 1));

    let bare = json!({"checkoutId": "chk-1", "customer": {"email": "jane@example.com"}, "totalCents": 5000});
    let bare = push.body(&bare.to_string());
    let worth = bare[0].payload.activity.as_ref().unwrap().value.unwrap();
    assert_eq!(worth.to_string(), "50.00 USD", "without a currency the workspace's");
    assert_ne!(bare[0].keys.semantic, started.keys.semantic);
}
