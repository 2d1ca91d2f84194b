//! Refunds: one event per refund id, from whichever Event object brings it.

use commerce::Reason;
use commerce::event::{Event, EventName, Payment};
use commerce::reason::Failure;

use super::invoice::order_id;
use super::normalize::{Delivery, reference};
use crate::envelope::entity;
use crate::json::{Bag, Scalar};
use crate::read;

/// `charge.refunded`: a charge with its refunds. Since API version 2022-11-15 a charge doesn't list them; then the
/// `refund.created` beside it is what counts, because a sum without ids can't be told from it.
pub(super) fn of_charge(delivery: &mut Delivery<'_>) -> Result<Vec<Event>, Failure> {
    let charge = delivery.id()?;
    let refunds = delivery.object.get("refunds");
    let listed = match refunds.object() {
        Some(page) => page.get("data").list(),
        None => refunds.list(),
    };
    let mut events = Vec::new();
    for (place, refund) in listed.unwrap_or_default().into_iter().enumerate() {
        let Some(refund) = refund.object() else { continue };
        let path = format!("data.object.refunds.data[{place}].");
        events.extend(one(delivery, &refund, Some(&charge), place, &path)?);
    }
    Ok(events)
}

/// `refund.created` and `refund.updated`: the refund itself.
pub(super) fn alone(delivery: &mut Delivery<'_>) -> Result<Vec<Event>, Failure> {
    let refund = delivery.object.clone();
    Ok(one(delivery, &refund, None, 0, "data.object.")?.into_iter().collect())
}

/// The event of a refund; none until the money has gone, and none if it never will.
fn one(
    delivery: &mut Delivery<'_>,
    refund: &Bag<'_>,
    charge: Option<&str>,
    place: usize,
    path: &str,
) -> Result<Option<Event>, Failure> {
    let id = read::id(refund.get("id"), format_args!("{path}id"))?;
    let id =
        id.ok_or_else(|| Failure::at(Reason::MissingField, format!("{path}id"), "a refund has an id"))?;
    if refund.get("status").text().is_some_and(|status| status != "succeeded") {
        return Ok(None);
    }
    let currency = delivery.currency(refund, path)?;
    let amount = delivery.money(refund.get("amount"), currency, &format!("{path}amount"))?;
    if amount.is_none() {
        let message = "a refund has an amount";
        return Err(Failure::at(Reason::MissingField, format!("{path}amount"), message));
    }
    // The refund's own time, so that every delivery of it says the same.
    let created = delivery.time(refund.get("created"), &format!("{path}created"))?;
    let of = charge
        .map(str::to_owned)
        .or_else(|| reference(refund.get("charge")))
        .or_else(|| reference(refund.get("payment_intent")))
        .unwrap_or_else(|| id.clone());
    let part = i32::try_from(place).unwrap_or(i32::MAX);
    let mut draft = delivery.draft(EventName::PaymentRefunded, entity("payment", of), &["refund", &id], part);
    draft.occurred_at = created.or(delivery.created);
    draft.person = delivery.person(Scalar::default());
    draft.payload.payment = Some(Payment {
        amount,
        reason: refund.get("reason").owned(),
        order_id: order_id(refund.get("metadata")).or_else(|| order_id(delivery.object.get("metadata"))),
        refund_id: Some(id.clone()),
        ..Payment::default()
    });
    Ok(Some(delivery.seal(draft)))
}
