//! Actors and what is kept of each: the ordered list of what matters for figures that aren't sums.
//!
//! An actor is the person; without one the cart, without that the order, else the event itself.
//! Its rows, each a key of its own after the workspace, `A` and the actor:
//!
//! | kind | rest of the key | value |
//! |---|---|---|
//! | [`Kind::Forward`] | | the actor that it is now |
//! | [`Kind::Number`] | | its number in sets |
//! | [`Kind::Reason`] | set, day | how many reasons it has to be in there ([`funnel`]); of buyers the orders say it |
//! | [`Kind::Order`] | time of counting (newest first), order | [`Bought`] |
//! | [`Kind::Touch`] | channel, time (newest first) | the channel ([`attribution`]) |
//! | [`Kind::Channels`] | | how many channels have touched it |
//! | [`Kind::Month`] | month | [`cohorts::Month`] |
//! | [`Kind::Steps`] | day | what was done of the funnel ([`ordered`]) |
//! | [`Kind::Cart`], [`Kind::Completed`], [`Kind::Piece`] | | see [`abandonment`] |
//!
//! What a list contributes is a function of its rows, so whatever comes first, the figures end the same. Persons that
//! turn out to be one are joined by a forward: the old person's rows move, and whatever is said of the old person later
//! (also the `before` of an order) is said of the new one. A person who is told apart from another again
//! (`customer.separated`) loses the forward; their orders come back by facts of their own.

use std::collections::BTreeSet;

use commerce::order::Figures;
use commerce::time::Day;
use commerce::{EventName, EventTime, Fact, Mark, Money, PersonId};
use serde::{Deserialize, Serialize};
use stream::Failure;

use crate::abandonment::{self, Piece};
use crate::aggregation::{counts, source};
use crate::funnel::{self, Channel, Of, Set, Step};
use crate::rows::{Book, PEOPLE, descending, read, read_descending};
use crate::{attribution, cohorts, ordered};

/// Who did something. Ids from outside are hashed, so that every key has the same length.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Actor([u8; Self::LENGTH]);

/// The kinds of rows of an actor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Forward = b'f' as isize,
    Number = b'n' as isize,
    Reason = b'r' as isize,
    Order = b'o' as isize,
    Touch = b't' as isize,
    Month = b'm' as isize,
    Cart = b'c' as isize,
    Completed = b'd' as isize,
    Piece = b'p' as isize,
    Channels = b'x' as isize,
    Steps = b's' as isize,
}

impl Actor {
    /// Of its bytes.
    pub(crate) const LENGTH: usize = 17;

    fn new(kind: u8, id: u128) -> Self {
        let mut bytes = [kind; Self::LENGTH];
        if let Some(rest) = bytes.last_chunk_mut() {
            *rest = id.to_be_bytes();
        }
        Self(bytes)
    }

    /// A person.
    pub(crate) fn person(id: PersonId) -> Self {
        Self::new(b'p', id.0)
    }

    /// Whoever has the cart.
    pub(crate) fn cart(id: &str) -> Self {
        Self::new(b'c', Mark::of(&[id.as_bytes()]).0)
    }

    /// Whoever bought an order.
    pub(crate) fn order(id: &str) -> Self {
        Self::new(b'o', Mark::of(&[id.as_bytes()]).0)
    }

    /// Whoever did one thing.
    pub(crate) fn event(id: &str) -> Self {
        Self::new(b'e', Mark::of(&[id.as_bytes()]).0)
    }

    /// True for a person: nobody else can be sold to again.
    pub(crate) fn is_person(self) -> bool {
        self.0[0] == b'p'
    }

    /// True for whoever may be seen a second time: a person, or whoever has a cart.
    pub(crate) fn can_return(self) -> bool {
        matches!(self.0[0], b'p' | b'c')
    }

    /// The bytes that stand in keys.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What all keys of its rows start with.
    pub(crate) fn head(self, workspace: &str) -> Vec<u8> {
        [workspace.as_bytes(), &[0], b"A", &self.0].concat()
    }

    /// What the keys of a kind of its rows start with.
    pub(crate) fn run(self, book: &Book<'_>, kind: Kind) -> Vec<u8> {
        book.key(&[b"A", &self.0, &[kind as u8]])
    }

    /// The actor that it is now.
    pub(crate) fn now(self, book: &Book<'_>) -> Result<Self, Failure> {
        let mut actor = self;
        if !self.is_person() {
            return Ok(self);
        }
        while let Some(next) = book.get(PEOPLE, &actor.run(book, Kind::Forward))? {
            actor = next;
        }
        Ok(actor)
    }
}

/// A counted order, as figures of people need it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Purchase {
    /// Whose it is.
    pub(crate) actor: Actor,
    /// The order.
    pub(crate) order: u128,
    /// When it counts.
    pub(crate) at: EventTime,
    /// Gross.
    pub(crate) total: Money,
    /// The same in base, where that isn't its currency and the rate is known.
    pub(crate) in_base: Option<Money>,
    /// Its own campaign.
    pub(crate) channel: Channel,
    /// The source whose word counts.
    pub(crate) source: String,
    /// Carts that it is linked to.
    pub(crate) carts: Vec<String>,
}

impl Purchase {
    /// The purchase that a view stands for; `None` where it counts nowhere.
    pub(crate) fn of(view: &Figures, id: &str) -> Option<Self> {
        if view.qa {
            return None;
        }
        let (at, total) = view.purchase()?;
        Some(Self {
            actor: match (view.person_id, view.carts.first()) {
                (Some(person), _) => Actor::person(person),
                (None, Some(cart)) => Actor::cart(cart),
                (None, None) => Actor::order(id),
            },
            order: Mark::of(&[id.as_bytes()]).0,
            at,
            total: *total,
            in_base: view.base.as_ref().and_then(|base| base.total),
            channel: Channel::of(view.campaign.as_ref()),
            source: source(view).to_owned(),
            carts: view.carts.clone(),
        })
    }
}

impl Purchase {
    /// What makes it a step of the funnel.
    fn step(&self) -> (Actor, EventTime, String) {
        (self.actor, self.at, self.source.clone())
    }

    fn bought(&self) -> Bought {
        let (total, in_base) = (self.total, self.in_base);
        Bought { total, channel: self.channel.clone(), source: self.source.clone(), in_base }
    }
}

/// The stored form of a purchase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Bought {
    pub(crate) total: Money,
    pub(crate) channel: Channel,
    pub(crate) source: String,
    pub(crate) in_base: Option<Money>,
}

/// Something that was done around products, carts and checkouts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Moment {
    pub(crate) actor: Actor,
    pub(crate) at: EventTime,
    pub(crate) step: Option<Step>,
    pub(crate) channel: Channel,
    pub(crate) source: String,
    /// What it does to a cart.
    pub(crate) piece: Option<Piece>,
}

impl Moment {
    /// What a fact says; `None` for one that isn't about what a shopper did, and for one that counts nowhere.
    pub(crate) fn of<V>(fact: &Fact<V>) -> Option<Self> {
        let activity = fact.activity.as_ref()?;
        if !counts(fact) {
            return None;
        }
        let actor = match (fact.person_id, &activity.cart_id, &fact.group) {
            (Some(person), _, _) => Actor::person(person),
            (None, Some(cart), _) => Actor::cart(cart),
            // The items of one event are one actor.
            (None, None, Some(group)) => Actor::event(group),
            (None, None, None) => Actor::event(&fact.event_id),
        };
        Some(Self {
            actor,
            at: fact.occurred_at.for_window(fact.received_at),
            step: Step::of(fact.event, &fact.source_event),
            channel: Channel::of(activity.campaign.as_ref()),
            source: fact.source.as_str().to_owned(),
            piece: Piece::of(fact, activity),
        })
    }
}

/// Handles one fact. `quiet`: how long a cart may rest before it is abandoned, in microseconds.
pub(crate) fn apply(book: &mut Book<'_>, fact: &Fact<Figures>, quiet: i64) -> Result<(), Failure> {
    let id = fact.order_id.as_deref().unwrap_or_default();
    let before = fact.before.as_ref().and_then(|view| Purchase::of(view, id));
    let after = fact.after.as_ref().and_then(|view| Purchase::of(view, id));
    if before != after {
        if let Some(purchase) = &before {
            takes_back(book, purchase, quiet)?;
        }
        if let Some(purchase) = &after {
            buys(book, purchase, quiet)?;
        }
        let step = |purchase: &Option<Purchase>| purchase.as_ref().map(Purchase::step);
        if step(&before) != step(&after) {
            for purchase in [before, after].into_iter().flatten() {
                ordered::bought(book, purchase.actor.now(book)?, purchase.at)?;
            }
        }
    }
    if let Some(moment) = Moment::of(fact) {
        does(book, &moment, quiet)?;
    }
    match (fact.event, fact.from_person_id, fact.person_id) {
        (EventName::CustomerMerged, Some(from), Some(to)) => {
            merge(book, Actor::person(from), Actor::person(to), quiet)?;
        }
        (EventName::CustomerSeparated, Some(_), Some(to)) => separate(book, Actor::person(to))?,
        (EventName::CustomerDeleted, _, Some(person)) => forget(book, Actor::person(person), quiet)?,
        _ => {}
    }
    abandonment::pass(book, fact.received_at, quiet)
}

/// An actor does something.
fn does(book: &mut Book<'_>, moment: &Moment, quiet: i64) -> Result<(), Failure> {
    let actor = moment.actor.now(book)?;
    let day = book.zone.day_of(moment.at);
    let set = |of| Set { of, source: moment.source.clone() };
    if let Some(step) = moment.step {
        funnel::reason(book, actor, &set(Of::Step(step)), day, 1)?;
        ordered::step(book, actor, step, &moment.source, moment.at)?;
    }
    funnel::reason(book, actor, &set(Of::Visitors(moment.channel.clone())), day, 1)?;
    if actor.is_person() && moment.channel.campaign.is_some() {
        attribution::touch(book, actor, &moment.channel, moment.at)?;
    }
    match &moment.piece {
        Some(piece) => abandonment::add(book, actor, piece, quiet),
        None => Ok(()),
    }
}

/// An order begins to count.
fn buys(book: &mut Book<'_>, purchase: &Purchase, quiet: i64) -> Result<(), Failure> {
    let purchase = Purchase { actor: purchase.actor.now(book)?, ..purchase.clone() };
    let key = order_key(book, &purchase);
    let bought = purchase.bought();
    book.put(PEOPLE, &key, &bought)?;
    figures(book, &purchase, 1)?;
    for cart in &purchase.carts {
        abandonment::linked(book, cart, 1, quiet)?;
    }
    abandonment::bought(book, purchase.actor, purchase.at, quiet)
}

/// An order doesn't count any more, or not like this.
fn takes_back(book: &mut Book<'_>, purchase: &Purchase, quiet: i64) -> Result<(), Failure> {
    let purchase = Purchase { actor: purchase.actor.now(book)?, ..purchase.clone() };
    figures(book, &purchase, -1)?;
    let key = order_key(book, &purchase);
    book.remove(&key)?;
    for cart in &purchase.carts {
        abandonment::linked(book, cart, -1, quiet)?;
    }
    abandonment::taken_back(book, purchase.actor, purchase.at, quiet)
}

/// The figures of a purchase but for carts, times `sign`.
fn figures(book: &mut Book<'_>, purchase: &Purchase, sign: i64) -> Result<(), Failure> {
    let day = book.zone.day_of(purchase.at);
    let visitors = Set { of: Of::Visitors(purchase.channel.clone()), source: purchase.source.clone() };
    funnel::reason(book, purchase.actor, &visitors, day, sign)?;
    for set in only_reason(book, purchase, day)? {
        funnel::presence(book, purchase.actor, &set, day, sign > 0)?;
    }
    attribution::credit(book, purchase.actor, purchase.at, &purchase.bought(), sign)?;
    if purchase.actor.is_person() {
        cohorts::purchase(book, purchase.actor, purchase.at, (purchase.total, purchase.in_base), sign)?;
    }
    Ok(())
}

/// The sets of buyers in which an actor is on a day for this order alone, whose row is there. Orders have rows as it is, so
/// these sets need none of their own.
fn only_reason(book: &Book<'_>, purchase: &Purchase, day: Day) -> Result<Vec<Set>, Failure> {
    let run = purchase.actor.run(book, Kind::Order);
    let (own, end) = (order_key(book, purchase), book.zone.start_of(Day(day.0.saturating_add(1))));
    let mut is_there = false;
    let mut left = buyers(&purchase.channel, &purchase.source);
    let mut after = beyond(&run, end);
    while let Some((key, value)) = book.next(&run, Some(&after)) {
        if time_of(&run, &key).is_none_or(|at| book.zone.day_of(at) < day) {
            break;
        }
        if key == own {
            is_there = true;
        } else {
            let other: Bought = read(&value)?;
            let others = buyers(&other.channel, &other.source);
            left.retain(|set| !others.contains(set));
        }
        after = key;
    }
    left.retain(|_| is_there);
    Ok(left)
}

/// The sets of a day that a purchase puts its actor into, and nothing else does.
fn buyers(channel: &Channel, source: &str) -> Vec<Set> {
    let all = [Of::Step(Step::Purchase), Of::Buyers(channel.clone())];
    all.into_iter().map(|of| Set { of, source: source.to_owned() }).collect()
}

/// These sets of all orders of an actor.
fn all_buyers(book: &Book<'_>, actor: Actor) -> Result<BTreeSet<(Day, Set)>, Failure> {
    let orders = orders(book, actor, EventTime(i64::MIN), EventTime(i64::MAX))?;
    let sets = |(at, bought): (EventTime, Bought)| {
        let day = book.zone.day_of(at);
        buyers(&bought.channel, &bought.source).into_iter().map(move |set| (day, set))
    };
    Ok(orders.into_iter().flat_map(sets).collect())
}

fn order_key(book: &Book<'_>, purchase: &Purchase) -> Vec<u8> {
    let mut key = purchase.actor.run(book, Kind::Order);
    key.extend(descending(purchase.at));
    key.extend(purchase.order.to_be_bytes());
    key
}

/// The counted orders of an actor between two times, both included, newest first.
pub(crate) fn orders(
    book: &Book<'_>,
    actor: Actor,
    from: EventTime,
    to: EventTime,
) -> Result<Vec<(EventTime, Bought)>, Failure> {
    let run = actor.run(book, Kind::Order);
    let mut found = Vec::new();
    let mut after = to.0.checked_add(1).map(|end| beyond(&run, EventTime(end)));
    while let Some((key, value)) = book.next(&run, after.as_deref()) {
        match time_of(&run, &key) {
            Some(at) if at >= from => found.push((at, read(&value)?)),
            _ => break,
        }
        after = Some(key);
    }
    Ok(found)
}

/// The time of the actor's last counted order.
pub(crate) fn last_order(book: &Book<'_>, actor: Actor) -> Option<EventTime> {
    let run = actor.run(book, Kind::Order);
    let (key, _) = book.next(&run, None)?;
    time_of(&run, &key)
}

/// The time of the actor's last counted order before `at`; the beginning of time without one.
pub(crate) fn order_before(book: &Book<'_>, actor: Actor, at: EventTime) -> EventTime {
    let run = actor.run(book, Kind::Order);
    let found = book.next(&run, Some(&beyond(&run, at)));
    found.and_then(|(key, _)| time_of(&run, &key)).unwrap_or(EventTime(i64::MIN))
}

/// A key after all orders of a time, and before all older ones.
fn beyond(run: &[u8], at: EventTime) -> Vec<u8> {
    [run, &descending(at), &[u8::MAX; 17]].concat()
}

fn time_of(run: &[u8], key: &[u8]) -> Option<EventTime> {
    read_descending(key.get(run.len()..)?)
}

/// The old person's list moves to the new one.
fn merge(book: &mut Book<'_>, from: Actor, to: Actor, quiet: i64) -> Result<(), Failure> {
    let (from, to) = (from.now(book)?, to.now(book)?);
    if from == to {
        return Ok(());
    }
    funnel::merge(book, from, to)?;
    let (old, own) = (all_buyers(book, from)?, all_buyers(book, to)?);
    for (day, set) in &old {
        funnel::presence(book, from, set, *day, false)?;
    }
    for (day, set) in old.difference(&own) {
        funnel::presence(book, to, set, *day, true)?;
    }
    cohorts::merge(book, from, to)?;
    abandonment::lift(book, from, to)?;
    // What an order is credited to depends on the touches of both.
    credits(book, from, -1)?;
    credits(book, to, -1)?;
    for kind in [Kind::Order, Kind::Touch, Kind::Piece] {
        let (old, new) = (from.run(book, kind), to.run(book, kind));
        for (key, value) in book.all(&old) {
            book.remove(&key)?;
            book.put_bytes(&[&new, key.get(old.len()..).unwrap_or_default()].concat(), &value)?;
        }
    }
    attribution::merge(book, from, to)?;
    ordered::merge(book, from, to)?;
    credits(book, to, 1)?;
    let key = from.run(book, Kind::Forward);
    book.put(PEOPLE, &key, &to)?;
    abandonment::joined(book, to, quiet)
}

/// A person who had become another one is somebody again. Their orders follow by facts of their own; what was done
/// otherwise up to now stays with whom it was counted for.
fn separate(book: &mut Book<'_>, person: Actor) -> Result<(), Failure> {
    let key = person.run(book, Kind::Forward);
    book.remove(&key)
}

/// The credits of all orders of an actor, times `sign`.
fn credits(book: &mut Book<'_>, actor: Actor, sign: i64) -> Result<(), Failure> {
    for (at, bought) in orders(book, actor, EventTime(i64::MIN), EventTime(i64::MAX))? {
        attribution::credit(book, actor, at, &bought, sign)?;
    }
    Ok(())
}

/// Erases what a person did. Orders are the affair of their own facts: those of a platform stay.
fn forget(book: &mut Book<'_>, person: Actor, quiet: i64) -> Result<(), Failure> {
    let person = person.now(book)?;
    for (set, day, count) in funnel::reasons(book, person)? {
        funnel::reason(book, person, &set, day, -count)?;
    }
    for (at, bought) in orders(book, person, EventTime(i64::MIN), EventTime(i64::MAX))? {
        let day = book.zone.day_of(at);
        let set = Set { of: Of::Visitors(bought.channel), source: bought.source };
        funnel::reason(book, person, &set, day, 1)?;
    }
    credits(book, person, -1)?;
    for kind in [Kind::Touch, Kind::Channels] {
        for (key, _) in book.all(&person.run(book, kind)) {
            book.remove(&key)?;
        }
    }
    credits(book, person, 1)?;
    ordered::forget(book, person)?;
    abandonment::forget(book, person, quiet)
}

#[cfg(test)]
mod tests;
