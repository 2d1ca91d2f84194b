//! Plans that ended or rest.

use commerce::event::{Event, EventName, Subscription};
use commerce::reason::Failure;

use super::normalize::Delivery;
use crate::envelope::entity;
use crate::json::Scalar;

/// `customer.subscription.deleted`: once per plan.
pub(super) fn cancelled(delivery: &mut Delivery<'_>) -> Result<Vec<Event>, Failure> {
    let id = delivery.id()?;
    one(delivery, EventName::SubscriptionCancelled, &id, &["subscription", &id, "cancelled"])
}

/// `customer.subscription.paused`: a plan can rest many times, so the time is part of the key.
pub(super) fn paused(delivery: &mut Delivery<'_>) -> Result<Vec<Event>, Failure> {
    let id = delivery.id()?;
    let since = match delivery.created {
        Some(created) => created.0.to_string(),
        None => delivery.event_id.to_owned(),
    };
    one(delivery, EventName::SubscriptionPaused, &id, &["subscription", &id, "paused", &since])
}

fn one(
    delivery: &mut Delivery<'_>,
    event: EventName,
    id: &str,
    fact: &[&str],
) -> Result<Vec<Event>, Failure> {
    // Newer versions of the API keep the period with each item of the plan.
    let items = delivery.object.get("items").object().and_then(|items| items.get("data").list());
    let item = items.and_then(|items| items.first()?.object()).unwrap_or_default();
    let mut period = |name: &str| {
        let own = delivery.object.get(name);
        let value = if own.is_present() { own } else { item.get(name) };
        delivery.planned(value, &format!("data.object.{name}"))
    };
    let (period_start, period_end) = (period("current_period_start")?, period("current_period_end")?);
    let mut draft = delivery.draft(event, entity("subscription", id), fact, 0);
    draft.person = delivery.person(Scalar::default());
    draft.payload.subscription =
        Some(Subscription { id: Some(id.to_owned()), period_start, period_end, amount: None });
    Ok(vec![delivery.seal(draft)])
}
