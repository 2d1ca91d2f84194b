//! Orders that are made of other sources than before: a link has joined two, or what linked them is gone.
//!
//! What the former orders had counted is taken back, and the orders that there are now say what they are, all in the
//! step of the delivery that brought it. Nobody has seen an order of an earlier id: a fact carries it over to its new one.

use commerce::order::links::{Cluster, Former};
use commerce::order::{Step, View, steps};
use commerce::{Event, EventName, Fact, Mark};
use service::stage::encode_error;
use stream::{Context, Failure};
use topics::Topic;

use crate::ORDERS;
use crate::people::People;
use crate::processor::{StateStage, Tenant, published};
use crate::shelf::order_key;

/// Why orders are told of again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why {
    /// The flag of the facts.
    pub(crate) flag: &'static str,
    /// What makes the ids of the facts others than those of the event's own.
    pub(crate) mark: &'static [u8],
}

/// Two orders turned out to be one, or one to be two.
pub(crate) const LINKED: Why = Why { flag: "order_linked", mark: b"linked" };

const STEP: Step = Step { name: EventName::OrderUpdated, at: None, refund: None };

impl StateStage {
    /// Takes back what was published of an order that is none of its own any more.
    pub(crate) fn retire(
        &mut self,
        (event, why): (&Event, Why),
        former: &Former,
        cluster: &Cluster,
        people: &mut People,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (workspace, before) = (&event.workspace, &former.view);
        let key = order_key(workspace, &before.id);
        let gone = View { id: before.id.clone(), qa: before.qa, ..View::default() };
        if former.attached.is_some() {
            self.attach(event, &key, former.attached, None, ctx)?;
        }
        people.roll_up(ctx, event, &key, (former.attached, Some(before)), (None, &gone))?;
        self.tell_again((event, why), &STEP, (Some(before), &gone), ctx)?;
        ctx.emit(ORDERS, Some(ctx.partition()), &key, None)?;
        self.reconcile(event, &gone, &former.disagreements, &[], ctx)?;
        let moved = former.moved.and_then(|at| cluster.orders.get(at)?.published.as_ref());
        moved.map_or(Ok(()), |view| self.tell_again((event, why), &STEP, (None, view), ctx))
    }

    /// Says what an order is that is made of other sources than before.
    pub(crate) fn retell(
        &mut self,
        (event, why): (&Event, Why),
        tenant: &Tenant,
        (cluster, at): (&mut Cluster, usize),
        people: &mut People,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(state) = cluster.orders.get_mut(at) else { return Ok(()) };
        let Some((view, buyer)) = self.see(state, event, tenant, ctx)? else { return Ok(()) };
        let key = order_key(&event.workspace, &view.id);
        let before = state.published.take();
        let attached = std::mem::replace(&mut state.attached, buyer.as_ref().map(|(_, id)| *id));
        if attached != state.attached {
            self.attach(event, &key, attached, state.attached, ctx)?;
        }
        let now = buyer.as_ref().map(|(handle, id)| (handle, *id));
        people.roll_up(ctx, event, &key, (attached, before.as_ref()), (now, &view))?;
        let mut last = before.clone();
        steps(before.as_ref(), &view, false, |step, after| {
            self.tell_again((event, why), step, (last.as_ref(), after), ctx)?;
            last = Some(after.clone());
            Ok::<_, Failure>(())
        })?;
        self.value.clear();
        self.orders.encode(&view, &mut self.value).map_err(|e| encode_error(&e))?;
        published(ctx.emit(ORDERS, Some(ctx.partition()), &key, Some(&self.value)), Topic::Orders, &key)?;
        let disagreements = state.disagreements(&tenant.policy);
        self.reconcile(event, &view, &state.disagreements, &disagreements, ctx)?;
        state.disagreements = disagreements;
        state.published = Some(view);
        Ok(())
    }

    /// Says a fact of an order that the event isn't about. It starts nothing: it is no news of the shop.
    fn tell_again(
        &mut self,
        (event, why): (&Event, Why),
        step: &Step,
        (before, after): (Option<&View>, &View),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let key = order_key(&event.workspace, &after.id);
        let mut fact = Fact::of_step(event, step, after, (before.cloned(), after.clone()));
        let side: &[u8] = if before.is_some() { b"from" } else { b"to" };
        fact.event_id = Mark::of(&[why.mark, side, &key, fact.event_id.as_bytes()]).to_uuid();
        fact.flags.push(why.flag.to_owned());
        fact.trigger_eligible = false;
        self.tell(&key, &fact, ctx)
    }
}
