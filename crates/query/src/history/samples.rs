//! An index as it is after an order, a payment and a search.

use std::collections::BTreeMap;

use commerce::event::{
    Activity, Entity, FinancialStatus, Keys, OrderObservation, Origin, Payload, Payment, Person,
};
use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::time::{SECOND, parse_iso};
use commerce::{
    Currency, Event, EventName, EventTime, Fact, Money, PersonId, ReceivedTime, Source, WorkspaceId,
};

use super::{Index, Waiting};

const JANE: &str = "jane+1@example.com";

fn usd(minor: i64) -> Option<Money> {
    Some(Money::new(minor, Currency::USD))
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Something about Jane, `seconds` after noon.
fn event(event: EventName, entity: (&str, &str), source: Source, seconds: i64) -> Event {
    let at = parse_iso("2026-03-15T11:00:00Z").unwrap().at.0 + seconds * SECOND;
    let identifiers =
        vec![Identifier::plain(Kind::Email, JANE), Identifier::plain(Kind::StripeCustomer, "cus_1")];
    Event {
        event_id: commerce::Mark::of(&[entity.1.as_bytes()]).to_uuid(),
        event,
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source,
        source_space: "demo-shop.myshopify.com".to_owned(),
        source_event: "orders/create".to_owned(),
        occurred_at: EventTime(at - SECOND),
        received_at: ReceivedTime(at),
        raw_partition: 0,
        raw_offset: seconds,
        raw_item: 0,
        raw_part: 0,
        entity: Entity { r#type: entity.0.to_owned(), id: entity.1.to_owned(), aliases: vec![] },
        person: Some(Person { identifiers, ..Person::default() }),
        payload: Payload::default(),
        keys: Keys { transport: String::new(), semantic: String::new(), content: None, stated: None },
        flags: vec![],
        origin: Origin::live(),
        trigger_eligible: true,
        qa: false,
        fraud: None,
    }
}

/// The index: the person is number 7, the order 450789469.
pub(crate) fn index() -> Index {
    let index = Index::create(&std::env::temp_dir()).unwrap();
    let mut waiting = Waiting::default();
    let jane = Some(PersonId(7));

    let mut order = event(EventName::OrderPlaced, ("order", "450789469"), Source::Shopify, 1);
    order.payload.order = Some(OrderObservation {
        currency: Some(Currency::USD),
        financial_status: Some(FinancialStatus::Paid),
        placed_at: Some(order.occurred_at),
        total: usd(3049),
        item_count: Some(1),
        tags: Some(vec!["vip".to_owned()]),
        ..OrderObservation::at(order.occurred_at)
    });
    index.event(&order, &mut waiting).unwrap();
    let view = View { person_id: jane, ..crate::orders::samples::order("450789469", &["#1001"]) };
    let mut paid = Fact::about(&order, EventName::OrderPaid, PersonId(7));
    (paid.entity_type, paid.entity_id) = ("order".to_owned(), view.id.clone());
    (paid.order_id, paid.after) = (Some(view.id.clone()), Some(view));
    index.fact(paid, 1, &mut waiting).unwrap();

    let mut payment = event(EventName::PaymentSucceeded, ("payment", "in_1"), Source::Stripe, 2);
    payment.source_event = "invoice.payment_succeeded".to_owned();
    payment.payload.payment = Some(Payment {
        amount: usd(4999),
        amount_due: usd(4999),
        paid_at: Some(payment.occurred_at),
        subscription_id: text("sub_1"),
        attempt: Some(1),
        ..Payment::default()
    });
    index.event(&payment, &mut waiting).unwrap();
    index.fact(Fact::of_event(&payment, jane).remove(0), 2, &mut waiting).unwrap();

    let mut searched = event(EventName::SearchPerformed, ("event", "searched"), Source::Customerio, 3);
    searched.source_event = "search_performed".to_owned();
    searched.flags = vec!["timestamp_naive".to_owned()];
    searched.payload.activity = Some(Activity { search_term: text("mug"), ..Activity::default() });
    searched.payload.properties = BTreeMap::from([("theme".to_owned(), "\"dark\"".to_owned())]);
    index.fact(Fact::of_event(&searched, jane).remove(0), 3, &mut waiting).unwrap();
    index.write(&mut waiting).unwrap();
    index
}
