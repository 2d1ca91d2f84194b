//! Orders that are made of other sources than before: a link has joined two, or what linked them is gone.
//!
//! What the former orders had counted is taken back, and the orders that there are now say what they are, all in the
//! step of the delivery that brought it. Nobody has seen an order of an earlier id: a fact carries it over to its new one.

use commerce::order::links::{Cluster, Former};
use commerce::order::{State, Step, View, steps};
use commerce::{Event, EventName, Fact, Mark, avro};
use service::stage::encode_error;
use stream::{Context, Failure};
use topics::Topic;

use crate::ORDERS;
use crate::order::Listed;
use crate::people::People;
use crate::processor::{StateStage, Tenant, published};
use crate::shelf::{Stored, order_key};

/// Why orders are told of again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Why<'a> {
    /// The flag of the facts.
    pub(crate) flag: &'static str,
    /// What makes the ids of the facts others than those of the event's own.
    pub(crate) mark: &'a [u8],
}

/// Two orders turned out to be one, or one to be two.
pub(crate) const LINKED: Why<'_> = Why { flag: "order_linked", mark: b"linked" };

const STEP: Step = Step { name: EventName::OrderUpdated, at: None, refund: None };

impl StateStage {
    /// Brings what is published in line with orders that are made of other sources than before.
    pub(crate) fn rearrange(
        &mut self,
        (event, why): (&Event, Why<'_>),
        tenant: &Tenant,
        (cluster, former, changed): (&mut Cluster, &[Former], Vec<usize>),
        people: &mut People,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        for former in former {
            self.retire((event, why), former, cluster, people, ctx)?;
        }
        for at in changed {
            self.retell((event, why), tenant, (&mut *cluster, at), people, ctx)?;
        }
        Ok(())
    }

    /// Takes back what was published of an order that is none of its own any more.
    pub(crate) fn retire(
        &mut self,
        (event, why): (&Event, Why<'_>),
        former: &Former,
        cluster: &Cluster,
        people: &mut People,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let (workspace, before) = (&event.workspace, &former.view);
        let key = order_key(workspace, &before.id);
        let gone = View { id: before.id.clone(), qa: before.qa, ..View::default() };
        let mut state = State::default();
        (state.attached, state.others) = (former.attached, former.others.clone());
        self.attach(event, &key, &mut state, Listed::default(), ctx)?;
        people.roll_up(ctx, event, &key, (former.attached, Some(before)), (None, &gone))?;
        self.tell_again((event, why), &STEP, (Some(before), &gone), ctx)?;
        ctx.emit(ORDERS, Some(ctx.partition()), &key, None)?;
        self.reconcile(event, (&gone, before.qa), &former.disagreements, &[], ctx)?;
        let moved = former.moved.and_then(|at| cluster.orders.get(at)?.published.as_ref());
        moved.map_or(Ok(()), |view| self.tell_again((event, why), &STEP, (None, view), ctx))
    }

    /// Says what an order is that is made of other sources than before.
    pub(crate) fn retell(
        &mut self,
        (event, why): (&Event, Why<'_>),
        tenant: &Tenant,
        (cluster, at): (&mut Cluster, usize),
        people: &mut People,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let Some(state) = cluster.orders.get_mut(at) else { return Ok(()) };
        let Some((view, buyer)) = self.see(state, event, tenant, ctx)? else { return Ok(()) };
        let key = order_key(&event.workspace, &view.id);
        let before = state.published.take();
        let attached = state.attached;
        let listed = self.listed(state, buyer.as_ref().map(|(_, id)| *id), &event.workspace, ctx)?;
        self.attach(event, &key, state, listed, ctx)?;
        let now = buyer.as_ref().map(|(handle, id)| (handle, *id));
        people.roll_up(ctx, event, &key, (attached, before.as_ref()), (now, &view))?;
        let mut last = before.clone();
        steps(before.as_ref(), &view, false, |step, after| {
            self.tell_again((event, why), step, (last.as_ref(), after), ctx)?;
            last = Some(after.clone());
            Ok::<_, Failure>(())
        })?;
        self.publish_order(&key, &view, ctx)?;
        let disagreements = state.disagreements(tenant.versions.of_order(state));
        let was_qa = before.as_ref().is_some_and(|before| before.qa);
        self.reconcile(event, (&view, was_qa), &state.disagreements, &disagreements, ctx)?;
        state.disagreements = disagreements;
        state.published = Some(view);
        Ok(())
    }

    /// Says what an order is now of which the event is no delivery.
    pub(crate) fn republish(
        &mut self,
        (event, why): (&Event, Why<'_>),
        key: &[u8],
        mut stored: Stored,
        (before, after): (View, View),
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.tell_again((event, why), &STEP, (Some(&before), &after), ctx)?;
        self.publish_order(key, &after, ctx)?;
        stored.state().published = Some(after);
        stored.store(ctx, &mut self.stored)
    }

    /// Publishes the record of an order.
    pub(crate) fn publish_order<T: avro::Write + avro::Record>(
        &mut self,
        key: &[u8],
        view: &T,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        self.value.clear();
        self.orders.encode(view, &mut self.value).map_err(|e| encode_error(&e))?;
        published(ctx.emit(ORDERS, Some(ctx.partition()), key, Some(&self.value)), Topic::Orders, key)
    }

    /// Says a fact of an order that the event isn't about. It starts nothing: it is no news of the shop.
    fn tell_again(
        &mut self,
        (event, why): (&Event, Why<'_>),
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
