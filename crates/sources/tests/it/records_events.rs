//! What rows and profiles say.

use commerce::event::{Event, EventName, FinancialStatus, FulfillmentStatus};
use commerce::{Currency, Money, Source};
use serde_json::{Value, json};
use sources::{Item, Workspace, WorkspaceConfig};

use crate::fixture::*;

pub(crate) const EMAIL: &str = "jane.doe@example.com";

/// A stored request without the door before it.
pub(crate) struct Stored {
    workspace: Workspace,
    headers: Vec<(String, String)>,
    offset: i64,
}

impl Stored {
    pub(crate) fn at(path: &str) -> Self {
        let stored = Self { workspace: Workspace::development().unwrap(), headers: vec![], offset: 7 };
        stored.with("path", &format!("/public/v1/records/{path}")).with("credential", "c")
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.with("http.idempotency-key", key)
    }

    pub(crate) fn offset(self, offset: i64) -> Self {
        Self { offset, ..self }
    }

    pub(crate) fn configured(mut self, change: impl FnOnce(&mut WorkspaceConfig)) -> Self {
        let mut config = WorkspaceConfig::development();
        change(&mut config);
        self.workspace = Workspace::try_new(config).unwrap();
        self
    }

    pub(crate) fn items(&self, body: &[u8]) -> Result<Vec<Item>, commerce::reason::Failure> {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        sources::normalize(&sources::Raw {
            source: Source::Records,
            workspace: &self.workspace,
            received_at: received(NOW),
            partition: 3,
            offset: self.offset,
            headers: &headers,
            body,
        })
    }

    pub(crate) fn event(&self, record: &Value) -> Event {
        let body = json!({"record": record}).to_string();
        self.items(body.as_bytes()).unwrap().remove(0).unwrap()
    }

    pub(crate) fn failure(&self, body: &Value) -> (&'static str, String) {
        let failure = self.items(body.to_string().as_bytes()).unwrap_err();
        (failure.reason.code(), failure.field.unwrap_or_default())
    }
}

pub(crate) fn orders() -> Stored {
    Stored::at("orders/append")
}

fn product(record: Value) -> Event {
    let record = with(
        json!({"product_id": 77, "customer_email": EMAIL, "occurred_at": "2026-03-14T15:00:00.5Z"}),
        record,
    );
    Stored::at("product_events/append").event(&record)
}

pub(crate) fn usd(minor: i64) -> Money {
    Money::new(minor, Currency::USD)
}

pub(crate) fn row() -> Value {
    json!({
        "shopify_order_id": 9007199254740993_i64, "customer_email": " Jane.Doe@Example.com", "total": 49.99, "subtotal": "59.99",
        "discount_total": 10, "currency": "usd", "item_count": 3, "financial_status": "pending", "tags": "vip, , new",
        "placed_at": "2026-03-14T09:00:00-04:00",
    })
}

/// The first row of the seed's handler, and the one of a later state.
pub(crate) fn later(fields: Value) -> Value {
    let row = json!({
        "shopify_order_id": "9007199254740993", "customer_email": EMAIL, "total": 49.99, "financial_status": "paid",
        "fulfillment_status": null, "refund_total": 0, "placed_at": "2026-03-14T09:00:00-04:00",
        "updated_at": "2026-03-14T10:00:00-04:00",
    });
    with(row, fields)
}

#[test]
fn every_field_of_an_order_row_is_read() {
    let event =
        orders().event(&with(row(), json!({"order_id": "A-1", "gift": {"wrap": true}, "note": null})));
    assert_eq!((event.event, event.source_event.as_str()), (EventName::OrderPlaced, "orders/append"));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("order", "9007199254740993"));
    assert_eq!(event.entity.aliases, ["A-1"]);
    assert_eq!((event.source, event.source_space.as_str()), (Source::Records, ""));
    let order = event.order();
    assert_eq!(
        (order.total, order.subtotal, order.discount_total),
        (Some(usd(4999)), Some(usd(5999)), Some(usd(1000)))
    );
    assert_eq!((order.currency, order.item_count), (Some(Currency::USD), Some(3)));
    assert_eq!(order.financial_status, Some(FinancialStatus::Pending));
    assert_eq!(order.fulfillment_status, Some(FulfillmentStatus::Unfulfilled));
    assert_eq!(order.tags.as_deref().unwrap(), ["vip", "new"]);
    let placed = at("2026-03-14T13:00:00Z");
    assert_eq!((order.placed_at, order.version, event.occurred_at), (Some(placed), placed, placed));
    assert_eq!((order.paid_at, order.fulfilled_at, order.refunded_rest), (None, None, None));
    assert_eq!(event.identifiers(), [("email", EMAIL.to_owned())]);
    assert_eq!(event.person.as_ref().unwrap().email.as_deref(), Some("Jane.Doe@Example.com"));
    let properties: Vec<_> = event.payload.properties.iter().collect();
    assert_eq!(properties, [(&"gift".to_owned(), &r#"{"wrap":true}"#.to_owned())]);
    assert_eq!(event.flags, ["version_defaulted"]);
    assert_eq!((event.raw_item, event.raw_part, event.trigger_eligible), (0, 0, true));
}

#[test]
fn rec_c13_a_total_as_number_and_as_string_are_the_same_minor_units() {
    for total in [json!(49.99), json!("49.99"), json!("49.990"), json!(" 49.99 ")] {
        let event = orders().event(&with(row(), json!({"total": total})));
        assert_eq!(event.order().total, Some(usd(4999)), "{total}");
    }
    // What the seed's own floats look like on the wire.
    let event = orders().event(&later(json!({"refund_total": 30.000000000000004_f64, "currency": "USD"})));
    assert_eq!(event.order().refunds[0].amount, usd(3000));
    assert!(event.flags.contains(&"amount_rounded".to_owned()));
}

#[test]
fn rec_c11_a_paid_row_proves_the_payment_and_a_growing_sum_is_one_refund() {
    let paid = orders().event(&later(json!({})));
    assert_eq!(paid.event, EventName::OrderUpdated);
    assert_eq!(paid.order().paid_at, Some(at("2026-03-14T14:00:00Z")));
    assert_eq!((paid.order().refunds.len(), paid.order().refunded_rest), (0, None));
    for (sum, minor) in [("10.00", 1000), ("25.5", 2550)] {
        let event =
            orders().event(&later(json!({"financial_status": "partially_refunded", "refund_total": sum})));
        let refund = &event.order().refunds[0];
        assert_eq!((refund.id.as_str(), refund.amount), ("cumulative", usd(minor)));
        assert_eq!((refund.at, event.order().refunded_rest), (at("2026-03-14T14:00:00Z"), Some(false)));
        assert_eq!(event.order().refunds.len(), 1);
    }
}

#[test]
fn a_status_without_a_sum_says_what_it_can_about_the_refund() {
    for sum in [json!(0), json!(null), json!("0.00")] {
        let full = orders().event(&later(json!({"financial_status": "refunded", "refund_total": sum})));
        assert_eq!((full.order().refunds.len(), full.order().refunded_rest), (0, Some(true)));
        let part =
            orders().event(&later(json!({"financial_status": "partially_refunded", "refund_total": sum})));
        assert_eq!((part.order().refunds.len(), part.order().refunded_rest), (0, None));
        assert!(part.flags.contains(&"refund_amount_unknown".to_owned()));
    }
}

#[test]
fn payment_is_implied_by_three_states_and_no_other() {
    for (word, paid) in [
        ("paid", true),
        ("Partially_Refunded", true),
        ("refunded", true),
        ("authorized", false),
        ("partially_paid", false),
        ("voided", false),
        ("unpaid", false),
        ("strange", false),
    ] {
        let event = orders().event(&with(row(), json!({"financial_status": word})));
        assert_eq!(event.order().paid_at.is_some(), paid, "{word}");
    }
    let event = orders().event(&with(row(), json!({"financial_status": "paid"})));
    assert_eq!(
        (event.event, event.order().paid_at),
        (EventName::OrderPlaced, Some(at("2026-03-14T13:00:00Z")))
    );
}

#[test]
fn a_row_with_its_version_hands_over_at_it() {
    let event = orders().event(&later(json!({"fulfillment_status": "fulfilled"})));
    assert_eq!(event.order().fulfilled_at, Some(at("2026-03-14T14:00:00Z")));
    assert!(!event.flags.contains(&"version_defaulted".to_owned()));
    let event = orders().event(&later(json!({"fulfillment_status": "partial"})));
    assert_eq!(event.order().partially_fulfilled_at, Some(at("2026-03-14T14:00:00Z")));
    assert_eq!(event.order().fulfilled_at, None);
    assert_eq!(
        orders().event(&later(json!({"fulfillment_status": null}))).order().fulfillment_status,
        Some(FulfillmentStatus::Unfulfilled)
    );
}

#[test]
fn a_live_row_that_tells_of_a_later_state_without_its_version_is_as_of_its_arrival() {
    let now = at(NOW);
    for fields in [
        json!({"fulfillment_status": "fulfilled"}),
        json!({"fulfillment_status": "partial"}),
        json!({"refund_total": 1}),
    ] {
        let record = with(without(row(), "tags"), fields);
        let event = orders().event(&record);
        assert_eq!(
            (event.event, event.occurred_at, event.order().version),
            (EventName::OrderUpdated, now, now)
        );
        assert_eq!(event.order().placed_at, Some(at("2026-03-14T13:00:00Z")));
        // In a load it may be the order's only row.
        let loaded = orders().event(&with(record, json!({"_backfill": true})));
        assert_eq!(
            (loaded.event, loaded.order().version),
            (EventName::OrderPlaced, at("2026-03-14T13:00:00Z"))
        );
    }
    let bare = orders().event(&json!({"order_id": "A", "total": 1, "financial_status": "paid"}));
    assert_eq!(
        (bare.event, bare.occurred_at, bare.order().paid_at),
        (EventName::OrderUpdated, now, Some(now))
    );
    assert!(bare.flags.contains(&"missing:placed_at".to_owned()) && bare.person.is_none());
}

#[test]
fn an_absent_currency_is_the_workspaces_own_and_says_so() {
    let record = without(row(), "currency");
    let event = orders()
        .configured(|config| config.base_currency = "JPY".to_owned())
        .event(&with(record, json!({"total": 5000, "subtotal": null})));
    let yen = Currency::parse("JPY").unwrap();
    assert_eq!((event.order().currency, event.order().total), (Some(yen), Some(Money::new(5000, yen))));
    assert!(event.flags.contains(&"currency_defaulted".to_owned()));
    assert!(!orders().event(&row()).flags.contains(&"currency_defaulted".to_owned()));
}

#[test]
fn rec_c20_a_bad_record_of_a_stored_batch_is_a_fault_with_its_place() {
    let body = json!({"records": [row(), with(row(), json!({"total": "abc"})), 7, row()]}).to_string();
    let items = Stored::at("orders/append-batch").items(body.as_bytes()).unwrap();
    let found: Vec<_> = items
        .iter()
        .map(|item| match item {
            Ok(event) => (event.raw_item, String::new()),
            Err(fault) => (fault.item, fault.failure.field.clone().unwrap()),
        })
        .collect();
    let expected = [(0, ""), (1, "records[1].total"), (2, "records[2]"), (3, "")];
    assert_eq!(found, expected.map(|(item, field)| (item, field.to_owned())));
    let rest =
        Stored::at("orders/append-batch").with("rejected_items", "1,2").items(body.as_bytes()).unwrap();
    assert_eq!(rest.iter().map(|item| item.as_ref().unwrap().raw_item).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn a_stored_body_that_cant_be_read_names_its_reason() {
    assert_eq!(orders().failure(&json!([])), ("malformed_json", "body".to_owned()));
    assert_eq!(
        orders().failure(&json!({"record": {"total": 1}})),
        ("missing_order_id", "record.shopify_order_id".to_owned())
    );
    assert_eq!(orders().failure(&json!({"record": 1})), ("missing_field", "record".to_owned()));
    assert_eq!(
        Stored::at("visits/append").failure(&json!({"record": row()})),
        ("unsupported_event", "object".to_owned())
    );
    assert_eq!(
        Stored::at("profiles/append").failure(&json!({"record": row()})),
        ("bad_value", "operation".to_owned())
    );
    assert_eq!(
        Stored::at("orders").failure(&json!({"record": row()})),
        ("unsupported_event", "path".to_owned())
    );
    assert_eq!(
        Stored::at("profiles/upsert").failure(&json!({"record": row()})),
        ("missing_field", "matchKey".to_owned())
    );
    let naive = with(row(), json!({"placed_at": "2026-03-14T09:00:00"}));
    assert_eq!(orders().failure(&json!({"record": naive})), ("bad_time", "record.placed_at".to_owned()));
}

#[test]
fn a_payment_row_is_read_and_is_one_per_invoice() {
    let record = json!({
        "stripe_invoice_id": "in_1", "stripe_customer_id": "cus_1", "customer_email": EMAIL, "amount_paid": 49.99,
        "amount_due": "59.99", "currency": "USD", "subscription_id": "sub_1", "period_start": "2026-03-01T00:00:00+00:00",
        "period_end": "2026-04-01T00:00:00+00:00", "paid_at": "2026-03-14T12:00:00+00:00", "note": "x",
    });
    let event = Stored::at("payments/append").key("evt_1").event(&record);
    assert_eq!((event.event, event.source_event.as_str()), (EventName::PaymentSucceeded, "payments/append"));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("payment", "in_1"));
    assert_eq!(event.occurred_at, at("2026-03-14T12:00:00Z"));
    assert_eq!(event.identifiers(), [("email", EMAIL.to_owned()), ("stripe_customer", "cus_1".to_owned())]);
    let payment = event.payload.payment.as_ref().unwrap();
    assert_eq!((payment.amount, payment.amount_due), (Some(usd(4999)), Some(usd(5999))));
    assert_eq!(
        (payment.paid_at, payment.subscription_id.as_deref()),
        (Some(at("2026-03-14T12:00:00Z")), Some("sub_1"))
    );
    assert_eq!(
        (payment.period_start, payment.period_end),
        (Some(at("2026-03-01T00:00:00Z")), Some(at("2026-04-01T00:00:00Z")))
    );
    assert_eq!(event.payload.properties["note"], "\"x\"");
    assert_eq!(event.payload.order, None);

    let again = Stored::at("payments/append")
        .key("evt_2")
        .offset(9)
        .event(&with(record.clone(), json!({"note": "y"})));
    assert_ne!(again.keys.transport, event.keys.transport);
    assert_eq!(again.keys.semantic, event.keys.semantic, "an invoice is paid once");
    let other = Stored::at("payments/append")
        .key("evt_1")
        .event(&with(without(record, "stripe_invoice_id"), json!({"payment_id": "p", "paid_at": null})));
    assert_ne!(other.keys.semantic, event.keys.semantic);
    assert_eq!((other.entity.id.as_str(), other.occurred_at), ("p", at(NOW)));
    let free = Stored::at("payments/append")
        .event(&json!({"payment_id": "p", "amount_paid": 0, "stripe_customer_id": "cus_2"}));
    assert_eq!(free.payload.payment.as_ref().unwrap().amount, Some(usd(0)));
    assert_eq!(free.identifiers(), [("stripe_customer", "cus_2".to_owned())]);
}

#[test]
fn rec_c10_a_view_and_an_addition_to_the_cart_have_product_quantity_and_line_total() {
    let view = product(json!({"event_type": "product_view", "product_name": "Shirt", "price": 19.99}));
    assert_eq!((view.event, view.source_event.as_str()), (EventName::ProductViewed, "product_view"));
    assert_eq!(view.occurred_at, at("2026-03-14T15:00:00.5Z"));
    assert_eq!((view.entity.r#type.as_str(), view.entity.id.as_str()), ("product", "77"));
    assert_eq!(view.identifiers(), [("email", EMAIL.to_owned())]);
    let activity = view.payload.activity.as_ref().unwrap();
    let item = &activity.items.as_ref().unwrap()[0];
    assert_eq!((item.product_id.as_deref(), item.title.as_deref()), (Some("77"), Some("Shirt")));
    assert_eq!((item.quantity, item.price, activity.value), (1, Some(usd(1999)), None));
    assert_eq!(view.flags, ["currency_defaulted"]);

    // The seed sends the line's total alone, and a float that isn't one.
    let cart =
        product(json!({"event_type": "add_to_cart", "quantity": 3, "line_total": 59.97, "currency": "USD"}));
    assert_eq!(cart.event, EventName::CartItemAdded);
    let activity = cart.payload.activity.as_ref().unwrap();
    assert_eq!((activity.items.as_ref().unwrap()[0].quantity, activity.value), (3, Some(usd(5997))));
    assert_eq!(activity.items.as_ref().unwrap()[0].price, None);

    let cart =
        product(json!({"event_type": "add_to_cart", "quantity": "3", "price": "19.99", "currency": "USD"}));
    assert_eq!(cart.payload.activity.as_ref().unwrap().value, Some(usd(5997)));
    assert_eq!(cart.flags, [""; 0]);
    let cart = product(
        json!({"event_type": "Add_To_Cart", "quantity": 3, "price": 19.99, "line_total": 50, "currency": "USD"}),
    );
    assert_eq!(
        (cart.event, cart.payload.activity.as_ref().unwrap().value),
        (EventName::CartItemAdded, Some(usd(5000)))
    );
    assert_eq!(cart.flags, ["line_total_mismatch"]);
}

#[test]
fn other_words_of_a_product_are_a_wish_for_stock_or_tracked_under_their_own_name() {
    let wish = product(json!({"event_type": "back_in_stock_requested", "variant_id": "v"}));
    assert_eq!(wish.event, EventName::BackInStockRequested);
    assert_eq!(
        wish.payload.activity.as_ref().unwrap().items.as_ref().unwrap()[0].variant_id.as_deref(),
        Some("v")
    );
    assert_eq!(wish.flags, [""; 0], "without an amount there is no currency to miss");
    let other = product(json!({"event_type": "size_guide_opened", "size": "XL"}));
    assert_eq!((other.event, other.source_event.as_str()), (EventName::CustomTracked, "size_guide_opened"));
    assert_eq!(other.payload.properties["size"], "\"XL\"");
    assert!(!other.payload.properties.contains_key("customer_email"));
}

#[test]
fn a_row_of_a_further_object_is_tracked_under_the_objects_name() {
    let stored = || {
        Stored::at("visits/append")
            .configured(|config| config.records.as_mut().unwrap().objects = vec!["visits".to_owned()])
    };
    let event = stored().event(&json!({"id": 5, "shop": "Kiel", "customer_email": EMAIL, "occurred_at": "2026-03-14T15:00:00Z", "_backfill": "old"}));
    assert_eq!((event.event, event.source_event.as_str()), (EventName::CustomTracked, "visits"));
    assert_eq!((event.entity.r#type.as_str(), event.entity.id.as_str()), ("visits", "5"));
    assert_eq!(event.occurred_at, at("2026-03-14T15:00:00Z"));
    assert_eq!(event.identifiers(), [("email", EMAIL.to_owned())]);
    let names: Vec<_> = event.payload.properties.keys().map(String::as_str).collect();
    assert_eq!(names, ["id", "occurred_at", "shop"]);
    assert_eq!(stored().event(&json!({"shop": "Kiel"})).entity.id.len(), 32);
}

#[test]
fn staff_is_marked_as_test() {
    let stored = orders().configured(|config| config.test_accounts = vec!["@example.com".to_owned()]);
    assert!(stored.event(&row()).qa && !orders().event(&row()).qa);
}

#[test]
fn a_claim_of_the_far_future_is_flagged_and_its_refund_falls_into_no_later_window() {
    let event = orders().event(&later(json!({"updated_at": "9999-12-31T23:59:59Z", "refund_total": 1})));
    assert!(event.flags.contains(&"timestamp_future".to_owned()));
    assert_eq!((event.order().version, event.order().refunds[0].at), (at("9999-12-31T23:59:59Z"), at(NOW)));
}
