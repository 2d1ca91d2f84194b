//! Events that no join takes in: each is a fact of its own, once, and some have a guard that outlives every mark.

use commerce::event::Activity;
use commerce::{DuplicateLevel, Event, EventName, Fact, Outcome};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::payments;
use crate::people::People;
use crate::processor::{StateStage, Tenant};
use crate::tables::{BASKET, get, put};

/// What is known of a cart or checkout: it begins once.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Basket {
    started: bool,
}

impl StateStage {
    /// Says an event that was not seen before as facts; `left_out`: it names somebody who isn't to be known by it.
    pub(crate) fn moment(
        &mut self,
        (event, left_out): (&Event, bool),
        tenant: &Tenant,
        ctx: &mut Context<'_>,
    ) -> Result<Outcome, Failure> {
        match event.event {
            EventName::CustomerDeleted => return self.forget(event, tenant, ctx),
            EventName::CustomerSuppressed | EventName::CustomerUnsuppressed => return self.bar(event, ctx),
            _ => {}
        }
        let rules = tenant.versions.at(event.received_at);
        let owned = rules.orders.owns(event.source, event.event);
        let counts = owned && !event.qa;
        let names = event.person.as_ref().is_some_and(|person| !person.identifiers.is_empty());
        let is_new = payments::is_new(event, owned, ctx, &mut self.stored)?;
        let mut paid = payments::added(event, rules.includes_unlinked_payments()).filter(|_| counts && names);
        if !is_new && paid.is_some() && !payments::waited(event, ctx, &mut self.stored)? {
            paid = None;
        }
        if !is_new && paid.is_none() {
            return Ok(Outcome::Duplicate(DuplicateLevel::Entity));
        }
        // Whoever isn't to be known by it isn't to have it by a repetition either.
        if is_new && counts && paid.is_none() && !left_out {
            payments::wait(event, ctx, &mut self.stored)?;
        }
        let who = self.identify(event, ctx)?;
        let mut learned = false;
        if let Some(who) = &who {
            let mut people = People::default();
            learned = people.learn(ctx, event, (&who.handle, who.id))?;
            if let Some(paid) = &paid {
                people.pay(ctx, event, who.id, paid)?;
            }
            people.store(ctx, &mut self.stored)?;
        }
        if !is_new {
            // It was told before. Only whose it is was news.
            return Ok(Outcome::Duplicate(DuplicateLevel::Entity));
        }
        let person = who.as_ref().map(|who| who.person);
        // The customer inside another delivery is news only if something changed (R3.3).
        if event.event == EventName::CustomerUpdated && event.raw_part > 0 && !learned {
            return Ok(Outcome::Duplicate(DuplicateLevel::Entity));
        }
        let mut facts = Fact::<commerce::order::View>::of_event(event, person);
        if let Some(first) = facts.first_mut() {
            first.event = self.begun(event, ctx)?;
            if first.event == EventName::CheckoutStarted && event.event == EventName::CheckoutUpdated {
                // The beginning was missed: it is inferred, and the change follows.
                let mut update = first.clone();
                update.event = EventName::CheckoutUpdated;
                first.event_id = inferred(&first.event_id);
                first.flags.push("started_inferred".to_owned());
                facts.insert(1, update);
            }
        }
        let key = format!("{}:{}", event.workspace, event.entity.id);
        for mut fact in facts {
            if !owned {
                fact.flags.push("shadow".to_owned());
                fact.trigger_eligible = false;
            }
            self.tell(key.as_bytes(), &fact, ctx)?;
        }
        let starts = owned && event.trigger_eligible;
        match (event.event, &who) {
            (EventName::BackInStockRequested, Some(who)) if starts => self.wait_for(event, who, ctx)?,
            _ => self.shop(event, who.as_ref(), starts, ctx)?,
        }
        Ok(if owned { Outcome::Published } else { Outcome::Shadow })
    }

    /// The name of a fact about a cart or checkout, which begins once: a second beginning is a change, a change of one
    /// that is unknown is its beginning.
    fn begun(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<EventName, Failure> {
        let (kind, id) = match (event.event, &event.payload.activity) {
            (
                EventName::CheckoutStarted | EventName::CheckoutUpdated,
                Some(Activity { checkout_id, cart_id, .. }),
            ) => ("checkout", checkout_id.as_ref().or(cart_id.as_ref())),
            _ => return Ok(event.event),
        };
        let Some(id) = id else { return Ok(event.event) };
        let key = [event.workspace.as_str(), kind, id].join("\0").into_bytes();
        let basket: Basket = get(ctx, BASKET, &key)?.unwrap_or_default();
        if basket.started {
            return Ok(EventName::CheckoutUpdated);
        }
        put(ctx, BASKET, &key, &Basket { started: true }, &mut self.stored)?;
        Ok(EventName::CheckoutStarted)
    }
}

fn inferred(event_id: &str) -> String {
    commerce::Mark::of(&[event_id.as_bytes(), b"inferred"]).to_uuid()
}
