//! The order join: one delivery about an order, what it changes, and the facts that come of it.

use std::ops::Range;

use commerce::avro::{Encoded, Write as _};
use commerce::order::links::{Cluster, Joined};
use commerce::order::{SourceOrder, State, View, steps};
use commerce::person::Identifier;
use commerce::{
    DuplicateLevel, Event, EventName, Fact, Outcome, PersonId, Reason, Source, WorkspaceId, time,
};
use service::stage::encode_error;
use stream::{Context, Failure};

use crate::linked::LINKED;
use crate::people::People;
use crate::processor::{StateStage, Tenant, poison};
use crate::replenishment::{Order as Followed, Said};
use crate::shelf::{Orders, order_key};
use crate::tables::{self, ORDER_OF};
use crate::{FACTS, identity};

/// More refunds than any order has; each is a fact of its own with the order before and after.
const MOST_REFUNDS: usize = 250;

/// An order as it is now, and the handle of its buyer.
pub(crate) type Seen = (View, Option<(Identifier, PersonId)>);

impl StateStage {
    /// The orders that an event may be about.
    fn cluster_of(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<Cluster, Failure> {
        let shelf = Orders { ctx, buffer: &mut self.stored };
        Cluster::find(&shelf, &event.workspace, &event.entity.id)
    }

    /// Lists an order under the handle of its buyer, and under those by which it is somebody else's as well: whoever is
    /// erased is found in all orders that name them.
    pub(crate) fn attach(
        &self,
        event: &Event,
        order: &[u8],
        state: &mut State,
        to: Listed,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let entry = |handle| [&*tables::person(event.workspace.as_str(), handle), order].concat();
        let before = Listed { buyer: state.attached, others: std::mem::take(&mut state.others) };
        for gone in before.all().filter(|handle| !to.all().any(|now| now == *handle)) {
            ctx.remove(ORDER_OF, &entry(gone))?;
        }
        for new in to.all().filter(|handle| !before.all().any(|known| known == *handle)) {
            ctx.put(ORDER_OF, &entry(new), &[])?;
        }
        (state.attached, state.others) = (to.buyer, to.others);
        Ok(())
    }

    /// Under which handles an order is to be listed.
    pub(crate) fn listed(
        &self,
        state: &State,
        buyer: Option<PersonId>,
        workspace: &WorkspaceId,
        ctx: &Context<'_>,
    ) -> Result<Listed, Failure> {
        let mut others = Vec::new();
        let person = buyer.map(|buyer| self.person_of(ctx, workspace, buyer)).transpose()?;
        for named in state.sources.values().flat_map(SourceOrder::named) {
            let handle = self.id_of(workspace, named);
            if Some(handle) != buyer && Some(self.person_of(ctx, workspace, handle)?) != person {
                others.push(handle);
            }
        }
        others.sort_unstable();
        others.dedup();
        Ok(Listed { buyer, others })
    }
}

/// The handles under which an order is listed.
#[derive(Default)]
pub(crate) struct Listed {
    /// That of its buyer, as [`State::attached`].
    pub(crate) buyer: Option<PersonId>,
    /// As [`State::others`].
    pub(crate) others: Vec<PersonId>,
}

impl Listed {
    fn all(&self) -> impl Iterator<Item = PersonId> {
        self.buyer.into_iter().chain(self.others.iter().copied())
    }
}

/// The flag of what corrects a version that was told of before.
pub(crate) const CORRECTED: &str = "same_version_new_content";

/// A purchase of the analytics API that comes again within this time of the one that counted is the same call.
const SAME_PURCHASE: i64 = time::DAY;

impl StateStage {
    /// The order as it is now, with its person, and the handle under which it counts among theirs.
    pub(crate) fn see(
        &self,
        state: &State,
        event: &Event,
        tenant: &Tenant,
        ctx: &mut Context<'_>,
    ) -> Result<Option<Seen>, Failure> {
        let Some(mut view) = state.view(tenant.versions.of_order(state)) else { return Ok(None) };
        let buyer = state.buyer().map(|handle| (self.id_of(&event.workspace, &handle), handle));
        if let Some((id, _)) = &buyer {
            view.person_id = Some(self.person_of(ctx, &event.workspace, *id)?);
        }
        Self::in_base(&mut view, state.published.as_ref(), tenant, &event.workspace, ctx)?;
        Ok(Some((view, buyer.map(|(id, handle)| (handle, id)))))
    }

    /// Joins an order event. Everything that it says is taken in before anything is left out: what another source owns
    /// or an older version says is for the view to weigh.
    pub(crate) fn order(
        &mut self,
        event: &Event,
        tenant: &Tenant,
        ctx: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        self.encoded.0.clear();
        let cluster = self.cluster_of(event, ctx)?;
        if cluster.order_of(event).is_some_and(|state| is_same_purchase(state, event)) {
            return Ok(Outcome::Duplicate(DuplicateLevel::Semantic));
        }
        let who = self.identify(event, ctx)?;
        let joined = who.as_ref().is_some_and(|who| who.joined);
        // Joining people may have published this very order again.
        let mut cluster = if joined { self.cluster_of(event, ctx)? } else { cluster };
        let shelf = &mut Orders { ctx, buffer: &mut self.stored };
        let Joined { observed, at, change } = cluster.join(shelf, event)?;
        let mut people = People::default();
        if let Some(who) = who.filter(|who| identity::can_buy(&who.handle)) {
            people.learn(ctx, event, (&who.handle, who.id))?;
        }
        let others = change.changed.iter().copied().filter(|other| *other != at).collect();
        self.rearrange((event, LINKED), tenant, (&mut cluster, &change.former, others), &mut people, ctx)?;
        let moved = change.former.iter().any(|former| former.moved == Some(at));
        let state = &mut cluster.orders[at];
        let Some((mut view, buyer)) = self.see(state, event, tenant, ctx)? else {
            return Err(poison(Reason::MissingOrderId, "an order event without an order".to_owned()));
        };
        if view.refunds.len() > MOST_REFUNDS {
            return Err(poison(
                Reason::BadValue,
                format!("the order would have {} refunds", view.refunds.len()),
            ));
        }
        let key = order_key(&event.workspace, &view.id);
        let before = state.published.take();
        let attached = state.attached;
        let listed = self.listed(state, buyer.as_ref().map(|(_, id)| *id), &event.workspace, ctx)?;
        self.attach(event, &key, state, listed, ctx)?;
        let outcome = observed.settle(before.as_ref(), &mut view);
        let now = buyer.as_ref().map(|(handle, id)| (handle, *id));
        people.roll_up(ctx, event, &key, (attached, before.as_ref()), (now, &view))?;
        people.store(ctx, &mut self.stored)?;
        let update = observed.new_version && event.event == EventName::OrderUpdated;
        let stale = outcome == Outcome::Stale;
        let mut last = before.as_ref().map(|before| self.encoded.push(before));
        let mut said: Vec<Said> = Vec::new();
        let facts = steps(before.as_ref(), &view, update, |step, after| {
            let range = self.encoded.push(after);
            let datum = |range: &Range<usize>| Encoded(&self.encoded.0[range.clone()]);
            let mut fact = Fact::of_step(event, step, after, (last.as_ref().map(datum), datum(&range)));
            if stale {
                fact.flags.push("stale".to_owned());
            }
            if observed.corrects {
                fact.flags.push(CORRECTED.to_owned());
            }
            if matters(step.name) {
                said.push(Said { name: step.name, at: fact.occurred_at, event_id: fact.event_id.clone() });
            }
            self.value.clear();
            self.facts.encode(&fact, &mut self.value).map_err(|e| encode_error(&e))?;
            ctx.emit(FACTS, Some(ctx.partition()), &key, Some(&self.value))?;
            last = Some(range);
            Ok::<_, Failure>(())
        })?;
        if let (true, Some(range)) = (facts > 0 || moved, last) {
            let encoded = std::mem::take(&mut self.encoded);
            self.publish_order(&key, &Encoded(&encoded.0[range]), ctx)?;
            self.encoded = encoded;
        }
        let ends = |said: &Said| matches!(said.name, EventName::OrderCancelled | EventName::OrderRefunded);
        let mut ids = Vec::new();
        if said.iter().any(ends) {
            let shelf = Orders { ctx, buffer: &mut self.stored };
            for id in &view.aliases {
                if !cluster.is_of_another(&shelf, id, at)? {
                    ids.push(order_key(&event.workspace, id));
                }
            }
        }
        let state = &mut cluster.orders[at];
        let policy = tenant.versions.of_order(state);
        let order = Followed {
            key: &key,
            former: &ids,
            view: &view,
            buyer: state.attached,
            before: attached,
            known: before.is_some(),
            policy,
        };
        self.follow(event, tenant, &order, &said, ctx)?;
        let disagreements = state.disagreements(policy);
        let was_qa = before.as_ref().is_some_and(|before| before.qa);
        self.reconcile(event, (&view, was_qa), &state.disagreements, &disagreements, ctx)?;
        let disagrees_anew = state.disagreements != disagreements;
        state.disagreements = disagreements;
        state.published = Some(view);
        // A delivery that was known to the last byte leaves the order as it is; facts come of a changed policy, too.
        if observed.changed || facts > 0 || disagrees_anew {
            cluster.store(&mut Orders { ctx, buffer: &mut self.stored })?;
        }
        let shadow = !policy.owns(event.source, event.event) && !matches!(outcome, Outcome::Duplicate(_));
        Ok(if shadow { Outcome::Shadow } else { outcome })
    }
}

/// The facts that automations wait for.
const fn matters(name: EventName) -> bool {
    matches!(
        name,
        EventName::OrderPlaced | EventName::OrderPaid | EventName::OrderCancelled | EventName::OrderRefunded
    )
}

/// A purchase of the analytics API that comes again within a day of the one that counted is ignored, whatever it says
///; later it updates the order.
fn is_same_purchase(state: &State, event: &Event) -> bool {
    if event.source != Source::Analytics || event.event != EventName::OrderPlaced {
        return false;
    }
    let known = state.sources.iter().filter(|(space, _)| space.source == Source::Analytics);
    let mut arrivals = known.filter_map(|(_, order)| order.purchased_at());
    arrivals.any(|arrival| event.received_at.0.abs_diff(arrival.0) < SAME_PURCHASE.unsigned_abs())
}

/// Views of the order in hand, each encoded once and written several times.
#[derive(Default)]
pub(crate) struct Views(Vec<u8>);

impl Views {
    fn push(&mut self, view: &View) -> Range<usize> {
        let start = self.0.len();
        view.write(&mut self.0);
        start..self.0.len()
    }
}
