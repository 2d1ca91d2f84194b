//! Invoices: what was collected, or couldn't be, for whom and for which plan.
//!
//! Places within a delivery: 0 the payment, 1 its person, 2 the plan that renewed.

use commerce::event::{Event, EventName, Payment, Person, Subscription};
use commerce::person;
use commerce::reason::Failure;
use commerce::{EventTime, Reason};

use super::normalize::{Delivery, reference};
use crate::envelope::entity;
use crate::json::Scalar;
use crate::{json, read};

/// `invoice.payment_succeeded` and `invoice.paid`, which say the same: an invoice is paid once for ever, so its id and
/// the word are the whole key.
pub(super) fn paid(delivery: &mut Delivery<'_>) -> Result<Vec<Event>, Failure> {
    let invoice = Invoice::read(delivery)?;
    let transitions = delivery.object.get("status_transitions").object().unwrap_or_default();
    let paid_at = delivery.time(transitions.get("paid_at"), "data.object.status_transitions.paid_at")?;
    let paid_at = paid_at.unwrap_or(invoice.at(delivery));
    if invoice.payment.amount.is_none() {
        let message = "a payment has an amount";
        return Err(Failure::at(Reason::MissingField, "data.object.amount_paid", message));
    }
    let payment = Payment { paid_at: Some(paid_at), ..invoice.payment.clone() };
    let id = invoice.id.as_str();

    let mut draft =
        delivery.draft(EventName::PaymentSucceeded, entity("payment", id), &["invoice", id, "paid"], 0);
    draft.payload.payment = Some(payment.clone());
    draft.person.clone_from(&invoice.person);
    let mut events = vec![delivery.seal(draft)];
    let status = [("payment_status", "current".to_owned()), ("last_payment_at", paid_at.to_rfc3339())];
    events.extend(profile(delivery, &invoice, &["invoice", id, "paid", "profile"], status));
    if payment.reason.as_deref() == Some("subscription_cycle") {
        let plan = payment.subscription_id.clone();
        let about = entity("subscription", plan.as_deref().unwrap_or(id));
        let fact = ["subscription", plan.as_deref().unwrap_or_default(), "renewed", id];
        let mut draft = delivery.draft(EventName::SubscriptionRenewed, about, &fact, 2);
        draft.payload.subscription = Some(Subscription {
            id: payment.subscription_id,
            period_start: payment.period_start,
            period_end: payment.period_end,
            amount: payment.amount,
        });
        draft.person = invoice.person;
        events.push(delivery.seal(draft));
    }
    Ok(events)
}

/// `invoice.payment_failed`: each attempt is a fact of its own.
pub(super) fn failed(delivery: &mut Delivery<'_>) -> Result<Vec<Event>, Failure> {
    let invoice = Invoice::read(delivery)?;
    let attempt = match invoice.payment.attempt {
        Some(attempt) => attempt.to_string(),
        None => delivery.event_id.to_owned(),
    };
    let (id, failed_at) = (invoice.id.as_str(), invoice.at(delivery).to_rfc3339());
    let fact = ["invoice", id, "failed", &attempt];
    let mut draft = delivery.draft(EventName::PaymentFailed, entity("payment", id), &fact, 0);
    draft.payload.payment = Some(invoice.payment.clone());
    draft.person.clone_from(&invoice.person);
    let mut events = vec![delivery.seal(draft)];
    let status = [("payment_status", "past_due".to_owned()), ("payment_failed_at", failed_at)];
    events.extend(profile(delivery, &invoice, &["invoice", id, "failed", &attempt, "profile"], status));
    Ok(events)
}

/// What an invoice changes about its person, as of the event's time; nothing when it names nobody.
fn profile<const N: usize>(
    delivery: &Delivery<'_>,
    invoice: &Invoice,
    fact: &[&str],
    status: [(&str, String); N],
) -> Option<Event> {
    let named = invoice.person.as_ref()?;
    let subject = person::representative(&named.identifiers)?.value.clone();
    let mut draft = delivery.draft(EventName::CustomerUpdated, entity("person", subject), fact, 1);
    let attributes = status.map(|(name, value)| (name.to_owned(), json::quoted(&value)));
    draft.person = Some(Person {
        attributes: attributes.into_iter().collect(),
        attributes_at: delivery.created,
        ..named.clone()
    });
    Some(delivery.seal(draft))
}

/// What both kinds of event say.
struct Invoice {
    id: String,
    person: Option<Person>,
    payment: Payment,
}

impl Invoice {
    fn read(delivery: &mut Delivery<'_>) -> Result<Self, Failure> {
        let id = delivery.id()?;
        let object = delivery.object.clone();
        let currency = delivery.currency(&object, "data.object.")?;
        let person = delivery.person(object.get("customer_email"));
        let next_attempt = object.get("next_payment_attempt");
        let payment = Payment {
            amount: delivery.money(object.get("amount_paid"), currency, "data.object.amount_paid")?,
            amount_due: delivery.money(object.get("amount_due"), currency, "data.object.amount_due")?,
            paid_at: None,
            subscription_id: reference(object.get("subscription"))
                .or_else(|| reference(parents_subscription(object.get("parent")))),
            period_start: delivery.planned(object.get("period_start"), "data.object.period_start")?,
            period_end: delivery.planned(object.get("period_end"), "data.object.period_end")?,
            attempt: read::count(object.get("attempt_count"), format_args!("data.object.attempt_count"))?,
            next_attempt_at: delivery.planned(next_attempt, "data.object.next_payment_attempt")?,
            reason: object.get("billing_reason").owned(),
            order_id: order_id(object.get("metadata")),
            refund_id: None,
        };
        Ok(Self { id, person, payment })
    }

    /// The event's time, else its arrival: a replay of the delivery says the same (D-STR-2).
    fn at(&self, delivery: &Delivery<'_>) -> EventTime {
        delivery.created.unwrap_or(delivery.raw.received_at.as_event())
    }
}

/// Where newer versions of the API name the plan.
fn parents_subscription(parent: Scalar<'_>) -> Scalar<'_> {
    let details = parent.object().and_then(|parent| parent.get("subscription_details").object());
    details.map_or_else(Scalar::default, |details| details.get("subscription"))
}

/// The order that the merchant has noted on an object.
pub(super) fn order_id(metadata: Scalar<'_>) -> Option<String> {
    read::loose_id(metadata.object()?.get("order_id"))
}
