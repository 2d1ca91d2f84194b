//! What each person did: the index behind `user-journey`, kept from `commerce.facts.v1`.
//!
//! Per person the last [`KEPT`] events by their time, in memory, each as the compact bytes of an [`Entry`]. An entry has
//! a name of its own (event, order, refund), so a fact that is read again changes nothing and a changed order replaces
//! its purchase. Persons that turn out to be one have one list: the old id leads to the new one. What counts nowhere
//! (tests, the shadow of another source, blocked events) is in no journey.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use commerce::event::Item;
use commerce::order::{Figures, Line};
use commerce::{EventName, EventTime, Fact, Mark, Money, PersonId};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

/// As many events of a person are kept, and answered.
pub const KEPT: usize = 1000;

/// Lists are spread over this many locks: the reading thread holds one of them for one insertion.
const SHARDS: u128 = 64;

/// How many forwards are followed, so that a circle of them ends.
const FORWARDS: usize = 16;

/// The severity from which on an event is in no figure (§7.1).
const BLOCKED: i32 = 2;

/// One event of a person.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// One of the 13 types.
    pub event_type: String,
    /// The order, of a purchase or refund.
    pub transaction_id: Option<String>,
    /// What it says about money.
    pub revenue: Option<Money>,
    /// Campaign, source and medium.
    pub channel: [Option<String>; 3],
    /// The cart.
    pub cart_id: Option<String>,
    /// Of a search.
    pub search_term: Option<String>,
    /// The items; `None` where it has none.
    pub items: Option<Vec<Thing>>,
}

/// An item of an event.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Thing {
    /// The product.
    pub item_id: Option<String>,
    /// Its name.
    pub item_name: Option<String>,
    /// How many.
    pub quantity: i64,
    /// The unit price.
    pub price: Option<Money>,
}

type List = BTreeMap<(EventTime, u128), Box<[u8]>>;

/// The journeys of all workspaces.
#[derive(Debug)]
pub struct Journeys {
    lists: Vec<RwLock<HashMap<u128, List>>>,
    /// From a person to who they are now. Written by the reading thread alone.
    forwards: RwLock<HashMap<u128, u128>>,
}

impl Default for Journeys {
    fn default() -> Self {
        Self { lists: (0..SHARDS).map(|_| RwLock::default()).collect(), forwards: RwLock::default() }
    }
}

impl Journeys {
    /// Takes in a fact.
    pub fn take(&self, fact: &Fact<Figures>) -> Result<(), postcard::Error> {
        let workspace = fact.workspace.as_str();
        let who = |person: PersonId| self.now(key(workspace, person));
        match (fact.event, fact.from_person_id, fact.person_id) {
            (EventName::CustomerMerged, Some(from), Some(to)) => self.join(who(from), who(to)),
            (EventName::CustomerSeparated, Some(_), Some(to)) => self.separate(key(workspace, to)),
            (EventName::CustomerDeleted, _, Some(person)) => drop(self.with(who(person), std::mem::take)),
            _ => {}
        }
        if fact.before != fact.after {
            for (view, holds) in [(&fact.before, false), (&fact.after, true)] {
                let Some((view, person)) = view.as_ref().and_then(|view| Some((view, view.person_id?)))
                else {
                    continue;
                };
                for (at, name, entry) in of_order(view) {
                    self.set(who(person), at, &name, holds.then_some(entry))?;
                }
            }
        }
        if let (Some(person), Some(event_type)) = (fact.person_id, activity_type(fact)) {
            let at = fact.occurred_at.for_window(fact.received_at);
            let name = fact.group.as_deref().unwrap_or(&fact.event_id);
            self.add(who(person), at, name, entry_of(fact, event_type))?;
        }
        Ok(())
    }

    /// What a person did from a time on, up to another (exclusive), ascending: the last [`KEPT`].
    pub fn of(
        &self,
        workspace: &str,
        person: PersonId,
        from: EventTime,
        to: EventTime,
    ) -> Vec<(EventTime, Entry)> {
        if from >= to {
            return Vec::new();
        }
        let person = self.now(key(workspace, person));
        let Some(shard) = self.shard(person) else { return Vec::new() };
        let lists = shard.read().unwrap_or_else(PoisonError::into_inner);
        let Some(list) = lists.get(&person) else { return Vec::new() };
        list.range((from, 0)..(to, 0))
            .filter_map(|((at, _), bytes)| Some((*at, postcard::from_bytes(bytes).ok()?)))
            .collect()
    }

    /// Adds an event, or the next item of one that is there.
    fn add(&self, person: u128, at: EventTime, name: &str, entry: Entry) -> Result<(), postcard::Error> {
        let known =
            self.with(person, |list| list.get(&(at, Mark::of(&[name.as_bytes()]).0)).cloned()).flatten();
        let Some(known) = known else { return self.set(person, at, name, Some(entry)) };
        let mut known: Entry = postcard::from_bytes(&known)?;
        // The items of one event are facts of their own. One that is read again is there already.
        for thing in entry.items.into_iter().flatten() {
            let things = known.items.get_or_insert_default();
            if !things.contains(&thing) {
                things.push(thing);
            }
        }
        self.set(person, at, name, Some(known))
    }

    fn set(
        &self,
        person: u128,
        at: EventTime,
        name: &str,
        entry: Option<Entry>,
    ) -> Result<(), postcard::Error> {
        let name = (at, Mark::of(&[name.as_bytes()]).0);
        let bytes = entry.as_ref().map(postcard::to_allocvec).transpose()?;
        self.with(person, |list| {
            match bytes {
                Some(bytes) => list.insert(name, bytes.into()),
                None => list.remove(&name),
            };
            while list.len() > KEPT {
                list.pop_first();
            }
        });
        Ok(())
    }

    fn join(&self, from: u128, to: u128) {
        if from == to {
            return;
        }
        let moved = self.with(from, std::mem::take).unwrap_or_default();
        self.with(to, |list| {
            list.extend(moved);
            while list.len() > KEPT {
                list.pop_first();
            }
        });
        self.forwards.write().unwrap_or_else(PoisonError::into_inner).insert(from, to);
    }

    /// A person who had become another one is somebody again; what they did until now stays where it is shown.
    fn separate(&self, person: u128) {
        self.forwards.write().unwrap_or_else(PoisonError::into_inner).remove(&person);
    }

    fn now(&self, person: u128) -> u128 {
        let forwards = self.forwards.read().unwrap_or_else(PoisonError::into_inner);
        let mut person = person;
        for _ in 0..FORWARDS {
            match forwards.get(&person) {
                Some(next) => person = *next,
                None => break,
            }
        }
        person
    }

    /// Changes the list of a person; one that is left empty goes.
    fn with<T>(&self, person: u128, change: impl FnOnce(&mut List) -> T) -> Option<T> {
        let mut lists = self.shard(person)?.write().unwrap_or_else(PoisonError::into_inner);
        let list = lists.entry(person).or_default();
        let result = change(list);
        if list.is_empty() {
            lists.remove(&person);
        }
        Some(result)
    }

    fn shard(&self, person: u128) -> Option<&RwLock<HashMap<u128, List>>> {
        self.lists.get(usize::try_from(person % SHARDS).unwrap_or(0))
    }
}

fn key(workspace: &str, person: PersonId) -> u128 {
    Mark::of(&[workspace.as_bytes(), &person.0.to_be_bytes()]).0
}

/// The type of what isn't an order's; `None` for what no type stands for and what counts nowhere.
fn activity_type(fact: &Fact<Figures>) -> Option<&'static str> {
    let blocked = fact.fraud.as_ref().is_some_and(|fraud| fraud.severity >= BLOCKED);
    if fact.qa || blocked || fact.flags.iter().any(|flag| flag == "shadow") {
        return None;
    }
    Some(match fact.event {
        EventName::ProductViewed => "view_item",
        EventName::CartItemAdded => "add_to_cart",
        EventName::CartItemRemoved => "remove_from_cart",
        EventName::WishlistItemAdded => "add_to_wishlist",
        EventName::CartViewed => "view_cart",
        EventName::CheckoutStarted => "begin_checkout",
        // A checkout begins once as a fact; each call of the shopper is an event.
        EventName::CheckoutUpdated if fact.source_event == "begin_checkout" => "begin_checkout",
        EventName::CheckoutPaymentInfoAdded => "add_payment_info",
        EventName::SearchPerformed => "search",
        EventName::ProductShared => "share",
        EventName::ProductRated => "rate",
        EventName::CreditsSpent => "spend_credits",
        _ => return None,
    })
}

fn entry_of(fact: &Fact<Figures>, event_type: &str) -> Entry {
    let activity = fact.activity.as_ref();
    let campaign = activity.and_then(|activity| activity.campaign.as_ref());
    let thing = |item: &Item| Thing {
        item_id: item.product_id.clone().or_else(|| item.sku.clone()),
        item_name: item.title.clone(),
        quantity: item.quantity,
        price: item.price,
    };
    let items = activity.and_then(|activity| activity.items.as_ref());
    Entry {
        event_type: event_type.to_owned(),
        transaction_id: None,
        revenue: activity.and_then(|activity| activity.value),
        channel: campaign
            .map_or_else(Default::default, |c| [&c.campaign, &c.source, &c.medium].map(Clone::clone)),
        cart_id: activity.and_then(|activity| activity.cart_id.clone()),
        search_term: activity.and_then(|activity| activity.search_term.clone()),
        items: items.filter(|items| !items.is_empty()).map(|items| items.iter().map(thing).collect()),
    }
}

/// The purchase and the refunds of an order, each with its time and name.
fn of_order(view: &Figures) -> Vec<(EventTime, String, Entry)> {
    if view.qa {
        return Vec::new();
    }
    let entry = |event_type: &str, revenue| Entry {
        event_type: event_type.to_owned(),
        transaction_id: Some(view.id.clone()),
        revenue: Some(revenue),
        channel: Default::default(),
        cart_id: None,
        search_term: None,
        items: None,
    };
    let (base, mut entries) = (view.base.as_ref(), Vec::new());
    if let Some((at, total)) = view.purchase() {
        let thing = |line: &Line| Thing {
            item_id: line.product_id.clone().or_else(|| line.sku.clone()),
            item_name: line.title.clone(),
            quantity: line.quantity,
            price: line.price,
        };
        let campaign = view.campaign.as_ref();
        let purchase = Entry {
            channel: campaign
                .map_or_else(Default::default, |c| [&c.campaign, &c.source, &c.medium].map(Clone::clone)),
            items: (!view.items.is_empty()).then(|| view.items.iter().map(thing).collect()),
            ..entry("purchase", base.and_then(|base| base.total).unwrap_or(*total))
        };
        entries.push((at, format!("purchase {}", view.id), purchase));
    }
    for (id, amount) in &view.refunds {
        if let Some(at) = view.refund_times.get(id) {
            let amount = base.and_then(|base| base.refunds.get(id)).unwrap_or(amount);
            entries.push((*at, format!("refund {} {id}", view.id), entry("refund", *amount)));
        }
    }
    entries
}

#[cfg(test)]
pub(crate) mod tests;
