//! Payments: each succeeds once for ever, each refund of it happens once (R9), and its person has the total of it (D-R-3).
//!
//! What doesn't count spends nothing of what does: deliveries of a source that another one outranks, and tests, have
//! guards of their own. A payment that was told of nobody waits for the delivery that names its person: that is no second
//! payment, and moves what the person has. So in whichever order they come, the same is told and counted.
//!
//! A refund names a charge and a payment mostly an invoice, so neither finds the other here: each moves what its person
//! has, under the version of the policy that it arrived under.

use std::collections::BTreeSet;

use commerce::profile::Paid;
use commerce::{Event, EventName, Money};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::tables::{PAYMENT, get, put};

/// Lanes of guards, each a byte that no workspace's id has.
const COUNTS: u8 = 0;
const SHADOW: u8 = 1;
const TEST: u8 = 2;
/// What was told, and counts for nobody so far.
const WAITS: u8 = 4;

/// What guards a payment, or waits of it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Payment {
    paid: bool,
    refunds: BTreeSet<String>,
}

impl Payment {
    /// Notes what an event says, or takes it out; `None`: it is something that nothing guards. True if that was news.
    fn turn(&mut self, event: &Event, on: bool) -> Option<bool> {
        let said = event.payload.payment.as_ref()?;
        match (event.event, &said.refund_id) {
            (EventName::PaymentSucceeded, _) => Some(std::mem::replace(&mut self.paid, on) != on),
            (EventName::PaymentRefunded, Some(id)) if on => Some(self.refunds.insert(id.clone())),
            (EventName::PaymentRefunded, Some(id)) => Some(self.refunds.remove(id)),
            _ => None,
        }
    }
}

/// False for what a payment has been through before; `owned`: the source's word counts.
pub(crate) fn is_new(
    event: &Event,
    owned: bool,
    ctx: &mut Context<'_>,
    buffer: &mut Vec<u8>,
) -> Result<bool, Failure> {
    let lane = if owned { COUNTS } else { SHADOW } | if event.qa { TEST } else { 0 };
    Ok(turn(event, lane, true, ctx, buffer)?.unwrap_or(true))
}

/// Remembers that what an event told counts for nobody so far.
pub(crate) fn wait(event: &Event, ctx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
    turn(event, WAITS, true, ctx, buffer).map(drop)
}

/// True where the same was told before and counts for nobody so far. From now on it counts.
pub(crate) fn waited(event: &Event, ctx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Result<bool, Failure> {
    Ok(turn(event, WAITS, false, ctx, buffer)?.unwrap_or(false))
}

fn turn(
    event: &Event,
    lane: u8,
    on: bool,
    ctx: &mut Context<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Option<bool>, Failure> {
    if event.payload.payment.is_none() {
        return Ok(None);
    }
    let key = [event.workspace.as_str().as_bytes(), &[lane], event.entity.id.as_bytes()].concat();
    let mut payment: Payment = get(ctx, PAYMENT, &key)?.unwrap_or_default();
    let is_news = payment.turn(event, on);
    if is_news == Some(true) {
        if payment == Payment::default() {
            ctx.remove(PAYMENT, &key)?;
        } else {
            put(ctx, PAYMENT, &key, &payment, buffer)?;
        }
    }
    Ok(is_news)
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
