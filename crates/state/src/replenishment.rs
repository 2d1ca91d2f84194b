//! What a purchase does to automations of its products, and the reminders that it plans.

use commerce::event::{EventName, Item};
use commerce::order::{Policy, View};
use commerce::signal::{Automation as Kind, SignalName};
use commerce::{Event, EventTime, Mark, PersonId, ReceivedTime, WorkspaceId, time};
use stream::{Context, Failure};

use crate::automations::{self, Circle, Open};
use crate::baskets;
use crate::identity::{self, Who};
use crate::processor::{StateStage, Tenant};
use crate::signals::Cause;
use crate::tables;

/// Who waits for a product for longer is no longer remembered.
const WAITED: i64 = 365 * time::DAY;

/// A product that is bought again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Replenished {
    pub(crate) product: String,
    /// `None`: any.
    pub(crate) variant: Option<String>,
    pub(crate) days: u32,
}

impl Replenished {
    fn is(&self, item: &Item) -> bool {
        item.product_id.as_deref() == Some(&self.product)
            && (self.variant.is_none() || self.variant == item.variant_id)
    }
}

/// A fact of an order that automations wait for.
pub(crate) struct Said {
    pub(crate) name: EventName,
    pub(crate) at: EventTime,
    pub(crate) event_id: String,
}

/// An order after an event.
pub(crate) struct Order<'a> {
    pub(crate) key: &'a [u8],
    /// Of one that is called off: other keys under which it may have planned a reminder, none of which is another order's.
    pub(crate) former: &'a [Vec<u8>],
    pub(crate) view: &'a View,
    pub(crate) buyer: Option<PersonId>,
    /// The handle under which it was before.
    pub(crate) before: Option<PersonId>,
    /// True when it was published before.
    pub(crate) known: bool,
    /// What it is under.
    pub(crate) policy: &'a Policy,
}

impl StateStage {
    /// Brings automations up to date with an order.
    pub(crate) fn follow(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        order: &Order<'_>,
        said: &[Said],
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let find = |name| said.iter().find(|said| said.name == name);
        let paid = find(EventName::OrderPaid);
        if let Some(paid) = paid {
            let cause = cause(event, order, "order_paid", paid);
            self.close_named(&event.workspace, &baskets::of_order(event), &cause, ctx)?;
            if let Some(buyer) = order.buyer {
                let circle = self.circle(ctx, &event.workspace, buyer)?;
                self.kill(&event.workspace, (buyer, &circle), &cause, ctx)?;
                self.plan(event, tenant, (order, &circle), paid, ctx)?;
            }
        } else if let Some(placed) = find(EventName::OrderPlaced) {
            let cause = cause(event, order, "order_placed", placed);
            self.close_named(&event.workspace, &baskets::of_order(event), &cause, ctx)?;
        } else if let (Some(buyer), Some(paid_at), true) =
            (order.buyer, order.view.paid_at, order.known && order.buyer != order.before)
        {
            // It has become somebody's only now.
            let at = paid_at.for_window(event.received_at);
            let order_id = Some(order.view.id.clone());
            let cause = Cause { reason: "order_paid", at, order_id, trigger: None };
            let circle = self.circle(ctx, &event.workspace, buyer)?;
            self.kill(&event.workspace, (buyer, &circle), &cause, ctx)?;
        }
        let ended = find(EventName::OrderCancelled).map(|said| ("order_cancelled", said)).or_else(|| {
            let refunded = find(EventName::OrderRefunded).filter(|_| is_refunded(order.view));
            refunded.map(|said| ("order_refunded", said))
        });
        match ended {
            Some((reason, said)) => {
                self.unplan(&event.workspace, order, &cause(event, order, reason, said), ctx)
            }
            None => Ok(()),
        }
    }

    /// Calls off what waited for the products of a purchase, and plans their reminders.
    fn plan(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        (order, circle): (&Order<'_>, &Circle),
        paid: &Said,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (workspace, Some(buyer)) = (&event.workspace, order.buyer) else { return Ok(()) };
        let bought_at = order.view.placed_at.unwrap_or(paid.at).for_window(event.received_at);
        let cause = Cause { at: bought_at, ..cause(event, order, "bought", paid) };
        let mut newer = Vec::new();
        for kind in [Kind::Replenishment, Kind::BackInStock] {
            for (key, open) in automations::open_of(ctx, &circle.keys, kind)? {
                let mut items = order.view.items.iter();
                if !items.any(|item| open.is_for(item.product_id.as_deref(), item.variant_id.as_deref())) {
                    continue;
                }
                if open.opened_at > bought_at {
                    newer.push(open);
                } else {
                    self.call_off(workspace, (&key, &open), &cause, ctx)?;
                }
            }
        }
        let over = order.view.cancelled_at.is_some() || is_refunded(order.view);
        if !event.trigger_eligible || !order.policy.owns(event.source, paid.name) || over {
            return Ok(());
        }
        for (product, item) in due_again(&tenant.replenished, &order.view.items) {
            let variant = product.variant.as_deref();
            let replaced = |open: &Open| {
                open.kind == Kind::Replenishment && open.is_for(Some(&product.product), variant)
            };
            if newer.iter().any(replaced) {
                continue;
            }
            let parts = [order.key, product.product.as_bytes(), variant.unwrap_or_default().as_bytes()];
            let id = Mark::of(&[b"replenishment", parts[0], parts[1], parts[2]]);
            let key = automations::key(&tables::person(workspace.as_str(), buyer), Kind::Replenishment, id);
            let days = i64::from(product.days).saturating_mul(time::DAY);
            let mut open = Open {
                variant: product.variant.clone(),
                order: Some((order.key.to_vec(), order.view.id.clone())),
                opened_at: bought_at,
                due: ReceivedTime(bought_at.0.saturating_add(days)),
                reachable: true,
                qa: order.view.qa,
                trigger: (paid.name, paid.event_id.clone(), event.source),
                ..Open::new(event, Kind::Replenishment, id, ("product", &product.product))
            };
            open.fill(vec![item.clone()]);
            let what = (SignalName::ReplenishmentScheduled, "bought", bought_at);
            let mut signal = Self::signal_of(ctx, workspace, what, &open, circle)?;
            signal.due_at = Some(open.due.as_event());
            self.emit_signal(&signal, ctx)?;
            automations::store(ctx, workspace, &key, &open, &mut self.stored)?;
        }
        Ok(())
    }

    /// Calls off the reminders that an order planned.
    fn unplan(
        &mut self,
        workspace: &WorkspaceId,
        order: &Order<'_>,
        cause: &Cause,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let is_own = |key: &Vec<u8>| key == order.key || order.former.contains(key);
        for handle in [order.buyer, order.before].into_iter().flatten() {
            let circle = self.circle(ctx, workspace, handle)?;
            for (key, open) in automations::open_of(ctx, &circle.keys, Kind::Replenishment)? {
                if open.order.as_ref().is_some_and(|(planned_by, _)| is_own(planned_by)) {
                    self.call_off(workspace, (&key, &open), cause, ctx)?;
                }
            }
        }
        Ok(())
    }

    /// A reminder is due, unless people were joined since of whom another one has a newer one for the product.
    pub(crate) fn remind(
        &mut self,
        workspace: &WorkspaceId,
        key: &[u8],
        open: &Open,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let circle = self.circle_of(ctx, workspace, key)?;
        let others = automations::open_of(ctx, &circle.keys, Kind::Replenishment)?;
        let newer = |(other_key, other): &(Vec<u8>, Open)| {
            other.is_for(Some(&open.target), open.variant.as_deref())
                && (other.opened_at, other_key.as_slice()) > (open.opened_at, key)
        };
        if others.iter().any(newer) {
            let cause =
                Cause { reason: "superseded", at: open.due.as_event(), order_id: None, trigger: None };
            return self.call_off(workspace, (key, open), &cause, ctx);
        }
        let at = open.due.as_event();
        let what = (SignalName::ReplenishmentDue, "bought", at);
        let mut signal = Self::signal_of(ctx, workspace, what, open, &circle)?;
        signal.due_at = Some(at);
        self.emit_signal(&signal, ctx)?;
        automations::discard(ctx, workspace, key, open, &mut self.stored)
    }

    /// Opens what waits for a product to be available again.
    pub(crate) fn wait_for(
        &mut self,
        event: &Event,
        who: &Who,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (workspace, at) = (&event.workspace, event.occurred_at.for_window(event.received_at));
        let items = event.payload.activity.iter().flat_map(|activity| activity.items.iter().flatten());
        for item in items {
            let Some(product) = item.product_id.as_deref() else { continue };
            let circle = self.circle(ctx, workspace, who.id)?;
            let known = automations::open_of(ctx, &circle.keys, Kind::BackInStock)?;
            let same =
                |(_, open): &(Vec<u8>, Open)| open.target == product && open.variant == item.variant_id;
            let (key, mut open) = known.into_iter().find(same).unwrap_or_else(|| {
                let variant = item.variant_id.as_deref().unwrap_or_default();
                let id = Mark::of(&[
                    b"back in stock",
                    product.as_bytes(),
                    variant.as_bytes(),
                    event.event_id.as_bytes(),
                ]);
                let handle = tables::person(workspace.as_str(), who.id);
                let open = Open::new(event, Kind::BackInStock, id, ("product", product));
                (automations::key(&handle, Kind::BackInStock, id), open)
            });
            // Of two requests the last counts: a purchase between them doesn't call it off.
            open.opened_at = open.opened_at.max(at);
            open.active_at = open.active_at.max(event.received_at);
            let before =
                std::mem::replace(&mut open.due, ReceivedTime(event.received_at.0.saturating_add(WAITED)));
            open.due = open.due.max(before);
            open.variant.clone_from(&item.variant_id);
            open.reachable |= identity::can_buy(&who.handle);
            open.fill(vec![item.clone()]);
            automations::store(ctx, workspace, &key, &open, &mut self.stored)?;
        }
        Ok(())
    }
}

fn cause(event: &Event, order: &Order<'_>, reason: &'static str, said: &Said) -> Cause {
    Cause {
        reason,
        at: said.at.for_window(event.received_at),
        order_id: Some(order.view.id.clone()),
        trigger: Some((said.name, said.event_id.clone(), event.source)),
    }
}

/// True when all of the order went back.
fn is_refunded(view: &View) -> bool {
    !view.refunds.is_empty() && view.net.is_some_and(|net| net.minor <= 0)
}

/// The products of an order that are bought again, each once: the setting that names the variant goes first.
fn due_again<'a>(settings: &'a [Replenished], items: &'a [Item]) -> Vec<(&'a Replenished, &'a Item)> {
    let mut found: Vec<(&Replenished, &Item)> = Vec::new();
    for item in items {
        let mut fitting = settings.iter().filter(|setting| setting.is(item));
        let exact = fitting.clone().find(|setting| setting.variant.is_some());
        let Some(setting) = exact.or_else(|| fitting.next()) else { continue };
        if !found.iter().any(|(known, _)| *known == setting) {
            found.push((setting, item));
        }
    }
    found
}
