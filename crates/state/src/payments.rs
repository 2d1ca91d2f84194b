//! Payments: each succeeds once for ever, each refund of it happens once (R9), and its person has the total of it (D-R-3).
//!
//! A refund names a charge and a payment mostly an invoice, so neither finds the other here: each moves what its person
//! has, under the version of the policy that it arrived under.

use std::collections::BTreeSet;

use commerce::profile::Paid;
use commerce::{Event, EventName, Money};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::tables::{PAYMENT, get, put};

/// What guards a payment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Payment {
    paid: bool,
    refunds: BTreeSet<String>,
}

/// False for what a payment has been through before.
pub(crate) fn guard(event: &Event, ctx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Result<bool, Failure> {
    let Some(said) = &event.payload.payment else { return Ok(true) };
    let key = [event.workspace.as_str(), &event.entity.id].join("\0").into_bytes();
    let mut payment: Payment = get(ctx, PAYMENT, &key)?.unwrap_or_default();
    let is_new = match (event.event, &said.refund_id) {
        (EventName::PaymentSucceeded, _) => !std::mem::replace(&mut payment.paid, true),
        (EventName::PaymentRefunded, Some(id)) => payment.refunds.insert(id.clone()),
        _ => return Ok(true),
    };
    if is_new {
        put(ctx, PAYMENT, &key, &payment, buffer)?;
    }
    Ok(is_new)
}

/// What an event of a payment adds to what its person has; `includes_unlinked`: the policy lets payments that name no
/// order into the lifetime value.
pub(crate) fn added(event: &Event, includes_unlinked: bool) -> Option<Paid> {
    let said = event.payload.payment.as_ref()?;
    let amount = said.amount?;
    let counts = includes_unlinked && said.order_id.is_none();
    let kept = |minor: i64| if counts { minor } else { 0 };
    match event.event {
        EventName::PaymentSucceeded => Some(Paid { amount, kept: kept(amount.minor) }),
        EventName::PaymentRefunded => {
            Some(Paid { amount: Money::new(0, amount.currency), kept: kept(amount.minor.saturating_neg()) })
        }
        _ => None,
    }
}
