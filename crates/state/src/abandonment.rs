//! Abandonment: carts and checkouts that were left.
//!
//! An activity opens or refreshes an automation; after a time of quiet that the workspace has settled it is said to be abandoned, once per quiet
//! period; a purchase calls it off. What was paid is kept by handle, and what was closed by name, so that an activity
//! from before the purchase that comes late opens nothing.

use commerce::event::{Activity, EventName, Item};
use commerce::signal::{Automation as Kind, Signal, SignalName};
use commerce::{Event, EventTime, Mark, Money, PersonId, ReceivedTime, WorkspaceId, time};
use stream::{Context, Failure};

use crate::automations::{self, Circle, Open, Stage};
use crate::baskets::{self, Name};
use crate::identity::{self, Who};
use crate::processor::StateStage;
use crate::signals::Cause;
use crate::tables::{self, AUTOMATION, PAID, get, put};

/// What was abandoned can be called off for as long; later nobody is busy with it.
const FOLLOWED: i64 = 30 * time::DAY;
/// A person who becomes known has what they left anonymously said if it is younger (R10.4).
const STITCHED: i64 = 3 * time::DAY;

/// A longer address is none that anybody follows.
const LONGEST: usize = 8 << 10;

/// Events that open an automation.
const fn opens(event: EventName) -> bool {
    matches!(
        event,
        EventName::CartCreated
            | EventName::CartItemAdded
            | EventName::CheckoutStarted
            | EventName::CheckoutUpdated
    )
}

/// Events that keep an open one busy.
const fn refreshes(event: EventName) -> bool {
    opens(event)
        || matches!(
            event,
            EventName::CartViewed | EventName::CartItemRemoved | EventName::CheckoutPaymentInfoAdded
        )
}

const fn is_checkout(event: EventName) -> bool {
    matches!(event, EventName::CheckoutStarted | EventName::CheckoutUpdated)
}

impl StateStage {
    /// Takes in what somebody did with a cart or checkout. `starts`: it may start something; what stops always does.
    pub(crate) fn shop(
        &mut self,
        event: &Event,
        who: Option<&Who>,
        starts: bool,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(activity) = event.payload.activity.as_ref().filter(|_| refreshes(event.event)) else {
            return Ok(());
        };
        let at = event.occurred_at.for_window(event.received_at);
        let names = baskets::of_activity(event, activity);
        if activity.completed_at.is_some() && is_checkout(event.event) {
            let cause = Cause {
                reason: "checkout_completed",
                at,
                order_id: None,
                trigger: Some((event.event, event.event_id.clone(), event.source)),
            };
            return self.close_named(&event.workspace, &names, &cause, ctx);
        }
        if !starts {
            return Ok(());
        }
        let circle = who.map(|who| self.circle(ctx, &event.workspace, who.id)).transpose()?;
        // Where the source names no baskets the person has one, whichever handle it was filled under.
        let keys = circle.iter().flat_map(|circle| &circle.keys).filter(|_| names.is_empty());
        let unnamed: Vec<Name> = keys.map(|key| baskets::unnamed(key, &event.workspace)).collect();
        let paid_at = circle.as_ref().map(|circle| circle.paid_at(ctx)).transpose()?.flatten();
        if paid_at.is_some_and(|paid_at| paid_at >= at) {
            return Ok(());
        }
        let mut known = Vec::new();
        for name in names.iter().chain(&unnamed) {
            let named = baskets::look(ctx, &event.workspace, name)?;
            if named.is_settled(at) {
                return Ok(());
            }
            known.extend(named.open);
        }
        known.sort_unstable();
        known.dedup();
        let mut open: Option<(Vec<u8>, Open)> = None;
        for key in known {
            let Some(one) = get::<Open>(ctx, AUTOMATION, &key)? else { continue };
            automations::discard(ctx, &event.workspace, &key, &one, &mut self.stored)?;
            open = Some(match open {
                // Two that turn out to be one go on as the one that was opened first.
                Some(first) if first.1.opened_at <= one.opened_at => first,
                _ => (key, one),
            });
        }
        if open.is_none() && (!opens(event.event) || who.is_none()) {
            return Ok(());
        }
        let (key, mut open) = match (open, who) {
            (Some((key, open)), None) => (key, open),
            (Some((_, open)), Some(who)) => (self.place(event, who, open.id), open),
            (None, Some(who)) => {
                let id = Mark::of(&[b"abandonment", event.event_id.as_bytes()]);
                (self.place(event, who, id), Open::new(event, Kind::Abandonment, id, ("cart", "")))
            }
            (None, None) => return Ok(()),
        };
        open.names.extend(names);
        if let (true, Some(who)) = (open.names.is_empty(), who) {
            let handle = tables::person(event.workspace.as_str(), who.id);
            open.names.push(baskets::unnamed(&handle, &event.workspace));
        }
        open.names.sort_unstable();
        open.names.dedup();
        open.reachable |= who.is_some_and(|who| identity::can_buy(&who.handle));
        refresh(&mut open, event, activity, (at, self.window(event)));
        if open.target.is_empty() {
            open.target = circle.map(|circle| circle.person.to_string()).unwrap_or_default();
        }
        automations::store(ctx, &event.workspace, &key, &open, &mut self.stored)
    }

    /// A cart or checkout without activity for as long in stream time counts as abandoned.
    fn window(&self, event: &Event) -> i64 {
        let tenant = self.tenants.get(&event.workspace);
        tenant.map_or(0, |tenant| tenant.versions.at(event.received_at).abandoned_after())
    }

    fn place(&self, event: &Event, who: &Who, id: Mark) -> Vec<u8> {
        automations::key(&tables::person(event.workspace.as_str(), who.id), Kind::Abandonment, id)
    }

    /// The quiet period is over: says so, unless it turns out that the person bought, or nobody can be reached.
    pub(crate) fn abandon(
        &mut self,
        workspace: &WorkspaceId,
        key: &[u8],
        mut open: Open,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let circle = self.circle_of(ctx, workspace, key)?;
        if let Some(paid_at) = circle.paid_at(ctx)?.filter(|paid_at| *paid_at >= open.opened_at) {
            return self.call_off(workspace, (key, &open), &found_paid(paid_at), ctx);
        }
        let due = open.due;
        if circle.reachable || open.reachable {
            let checkout = open.target_type == "checkout";
            let name = if checkout { SignalName::CheckoutAbandoned } else { SignalName::CartAbandoned };
            let signal: Signal =
                Self::signal_of(ctx, workspace, (name, "quiet", due.as_event()), &open, &circle)?;
            self.emit_signal(&signal, ctx)?;
            open.period += 1;
            open.stage = Stage::Said;
        } else {
            open.stage = Stage::Held;
        }
        open.due = later(due, FOLLOWED);
        automations::store(ctx, workspace, key, &open, &mut self.stored)
    }

    /// The kill switch: a payment closes all that the person left before it, under whichever handle.
    pub(crate) fn kill(
        &mut self,
        workspace: &WorkspaceId,
        (buyer, circle): (PersonId, &Circle),
        cause: &Cause,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let handle = tables::person(workspace.as_str(), buyer);
        let paid_at: Option<EventTime> = get(ctx, PAID, &handle)?;
        if paid_at < Some(cause.at) {
            put(ctx, PAID, &handle, &cause.at, &mut self.stored)?;
        }
        for (key, open) in automations::open_of(ctx, &circle.keys, Kind::Abandonment)? {
            if open.opened_at <= cause.at {
                self.call_off(workspace, (&key, &open), cause, ctx)?;
            }
        }
        Ok(())
    }

    /// Closes the carts and checkouts of some names: a checkout for ever, a cart as it was until then.
    pub(crate) fn close_named(
        &mut self,
        workspace: &WorkspaceId,
        names: &[Name],
        cause: &Cause,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        for name in names {
            for key in baskets::open(ctx, name)? {
                let Some(open) = get::<Open>(ctx, AUTOMATION, &key)? else { continue };
                if name.once || open.opened_at <= cause.at {
                    self.call_off(workspace, (&key, &open), cause, ctx)?;
                }
            }
        }
        baskets::close(ctx, workspace, names, (cause.at, true), &mut self.stored)
    }

    /// People were joined: what one handle left and another one paid for is called off, and what was held back because
    /// nobody could be reached is due again.
    pub(crate) fn rejoin(
        &mut self,
        event: &Event,
        handle: PersonId,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let workspace = &event.workspace;
        let circle: Circle = self.circle(ctx, workspace, handle)?;
        let open = automations::open_of(ctx, &circle.keys, Kind::Abandonment)?;
        if open.is_empty() {
            return Ok(());
        }
        let paid_at = circle.paid_at(ctx)?;
        for (key, mut open) in open {
            if let Some(paid_at) = paid_at.filter(|paid_at| *paid_at >= open.opened_at) {
                self.call_off(workspace, (&key, &open), &found_paid(paid_at), ctx)?;
            } else if open.stage == Stage::Held && circle.reachable {
                if event.received_at > later(open.active_at, STITCHED) {
                    automations::discard(ctx, workspace, &key, &open, &mut self.stored)?;
                    continue;
                }
                // Not said at once: the very event that joins them may be the purchase.
                open.stage = Stage::Waiting;
                open.due = later(open.active_at, self.window(event));
                automations::store(ctx, workspace, &key, &open, &mut self.stored)?;
            }
        }
        Ok(())
    }
}

fn found_paid(at: EventTime) -> Cause {
    Cause { reason: "order_paid", at, order_id: None, trigger: None }
}

fn later(at: ReceivedTime, by: i64) -> ReceivedTime {
    ReceivedTime(at.0.saturating_add(by))
}

/// Takes over what an activity says of a basket, and starts its quiet period anew.
fn refresh(open: &mut Open, event: &Event, activity: &Activity, (at, window): (EventTime, i64)) {
    open.opened_at = open.opened_at.min(at);
    open.active_at = open.active_at.max(event.received_at);
    open.due = later(open.active_at, window);
    open.stage = Stage::Waiting;
    open.qa |= event.qa;
    if opens(event.event) {
        open.trigger = (event.event, event.event_id.clone(), event.source);
    }
    for (known, said) in [
        (&mut open.cart_id, &activity.cart_id),
        (&mut open.checkout_id, &activity.checkout_id),
        (&mut open.recovery_url, &activity.recovery_url),
    ] {
        if said.as_ref().is_some_and(|said| said.len() <= LONGEST) {
            known.clone_from(said);
        }
    }
    if is_checkout(event.event) {
        "checkout".clone_into(&mut open.target_type);
    }
    let (own, other) = match open.target_type.as_str() {
        "checkout" => (&open.checkout_id, &open.cart_id),
        _ => (&open.cart_id, &open.checkout_id),
    };
    if let Some(id) = own.as_ref().or(other.as_ref()) {
        open.target.clone_from(id);
    }
    match (event.event, &activity.items) {
        (EventName::CartItemAdded, Some(added)) => {
            let mut items = std::mem::take(&mut open.items);
            added.iter().for_each(|item| add(&mut items, item));
            open.value = worth(&items).or(open.value);
            open.fill(items);
        }
        (EventName::CartItemRemoved, Some(removed)) => {
            let mut items = std::mem::take(&mut open.items);
            removed.iter().for_each(|item| take_out(&mut items, item));
            open.value = worth(&items).or(open.value);
            open.fill(items);
        }
        // What was corrected since may be processed behind its correction.
        (..) if event.source.corrects_versions() && (at, event.turn()) < open.said => {}
        (_, items) => {
            open.said = open.said.max((at, event.turn()));
            if let Some(items) = items {
                open.fill(items.clone());
            }
            open.value = activity.value.or(open.value);
        }
    }
}

fn same(a: &Item, b: &Item) -> bool {
    (&a.product_id, &a.variant_id, &a.sku) == (&b.product_id, &b.variant_id, &b.sku)
}

fn add(items: &mut Vec<Item>, item: &Item) {
    match items.iter_mut().find(|known| same(known, item)) {
        Some(known) => known.quantity = known.quantity.saturating_add(item.quantity),
        None => items.push(item.clone()),
    }
}

fn take_out(items: &mut Vec<Item>, item: &Item) {
    if let Some(known) = items.iter_mut().find(|known| same(known, item)) {
        known.quantity = known.quantity.saturating_sub(item.quantity);
    }
    items.retain(|item| item.quantity > 0);
}

/// What the lines are worth together; `None` where one has no price, or another currency.
fn worth(items: &[Item]) -> Option<Money> {
    let currency = items.first()?.price?.currency;
    let minor = items.iter().try_fold(0_i64, |sum, item| {
        let price = item.price.filter(|price| price.currency == currency)?;
        sum.checked_add(price.minor.checked_mul(item.quantity)?)
    })?;
    Money::checked(minor, currency).ok()
}

#[cfg(test)]
mod tests {
    use commerce::Currency;

    use super::*;

    fn item(product: &str, quantity: i64, minor: Option<i64>) -> Item {
        Item {
            product_id: Some(product.to_owned()),
            variant_id: None,
            sku: None,
            title: None,
            variant_title: None,
            quantity,
            price: minor.map(|minor| Money::new(minor, Currency::USD)),
            discount: None,
            category: None,
            brand: None,
            allocations: vec![],
        }
    }

    #[test]
    fn what_is_added_and_taken_out_adds_up() {
        let mut items = vec![];
        for added in [item("a", 2, Some(500)), item("b", 1, Some(99)), item("a", 1, Some(500))] {
            add(&mut items, &added);
        }
        assert_eq!(worth(&items), Some(Money::new(1_599, Currency::USD)));
        take_out(&mut items, &item("b", 4, None));
        assert_eq!(items, [item("a", 3, Some(500))]);
    }

    #[test]
    fn a_line_without_a_price_leaves_the_worth_unsaid() {
        assert_eq!(worth(&[item("a", 1, Some(500)), item("b", 1, None)]), None);
        assert_eq!(worth(&[item("a", i64::MAX, Some(500))]), None);
    }
}
