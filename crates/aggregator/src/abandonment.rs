//! Carts: opened, then completed, abandoned, or neither yet.
//!
//! A cart is the cart id, without one the checkout's id, else what its actor did between two purchases. It is opened by
//! the first `add_to_cart` or `begin_checkout` and stands on that day. It is *completed* when an order linked to it
//! counts, or one that any of its actors bought at or after the opening; else *abandoned* once it was quiet for the
//! window. Quiet is measured by arrivals: the clock is the newest `received_at` of the workspace's facts, so neither a
//! sender's clock nor a pause of the pipeline abandons anything.
//!
//! A cart remembers what it has shown. Whatever touches it computes anew what it should show and moves the difference,
//! so a late purchase turns abandoned into completed, and a retraction turns it back.

use std::collections::{BTreeMap, BTreeSet};

use commerce::event::Activity;
use commerce::time::Day;
use commerce::{Currency, EventName, EventTime, Fact, Mark, Money, ReceivedTime};
use serde::{Deserialize, Serialize};
use stream::Failure;

use crate::aggregation::{Aggregation, Of};
use crate::people::{Actor, Kind, last_order, order_before, orders};
use crate::rows::{Book, DUE, PEOPLE, Spot, ascending, read, read_ascending};

/// Carts by the day of their opening.
pub(crate) const CARTS: Aggregation = Aggregation {
    metric: "carts",
    cut: &["source"],
    figures: &["opened", "completed", "abandoned"],
    of: Of::State,
};

/// What abandoned carts are worth, by currency.
pub(crate) const VALUE: Aggregation = Aggregation {
    metric: "abandoned_value",
    cut: &["currency", "source"],
    figures: &["value"],
    of: Of::State,
};

/// As many actors of a cart are known: the smallest, so that it doesn't matter who came first. A sender that gives all
/// its shoppers one cart id would let the cart grow with each of them.
const MOST_ACTORS: usize = 64;

/// As many carts are looked at when the clock moves: after a pause a fact that finds thousands of them due leaves the
/// rest to the facts that follow, so that no transaction grows without bound.
const AT_ONCE: usize = 1000;

/// What one fact does to a cart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Piece {
    /// The cart; `None`: the actor's open one.
    cart: Option<[u8; 17]>,
    at: EventTime,
    received_at: ReceivedTime,
    /// The fact, hashed: of two checkouts of one instant it decides which is the last.
    id: u128,
    opens: bool,
    source: String,
    /// What the checkout is worth.
    begin: Option<Money>,
    /// What was put in, less what was taken out.
    items: BTreeMap<Currency, i64>,
}

impl Piece {
    /// `None` for what has nothing to do with carts.
    pub(crate) fn of<V>(fact: &Fact<V>, activity: &Activity) -> Option<Self> {
        let (opens, checkout, sign) = match fact.event {
            EventName::CartItemAdded => (true, false, 1),
            EventName::CartItemRemoved => (false, false, -1),
            EventName::CheckoutStarted | EventName::CheckoutUpdated => (true, true, 0),
            EventName::CartCreated | EventName::CartViewed | EventName::CheckoutPaymentInfoAdded => {
                (false, false, 0)
            }
            _ => return None,
        };
        let mut items = BTreeMap::new();
        for item in activity.items.iter().flatten().filter(|_| sign != 0) {
            let Some(price) = item.price else { continue };
            let sum: &mut i64 = items.entry(price.currency).or_default();
            let worth = price.minor.saturating_mul(item.quantity);
            *sum = sum.saturating_add(worth.saturating_mul(sign));
        }
        let hashed = |kind: u8, id: &str| {
            let mut key = [kind; 17];
            if let Some(rest) = key.last_chunk_mut() {
                *rest = Mark::of(&[id.as_bytes()]).0.to_be_bytes();
            }
            key
        };
        let cart = activity.cart_id.as_deref().map(|id| hashed(b'c', id));
        Some(Self {
            cart: cart.or_else(|| activity.checkout_id.as_deref().map(|id| hashed(b'k', id))),
            at: fact.occurred_at.for_window(fact.received_at),
            received_at: fact.received_at,
            id: Mark::of(&[fact.event_id.as_bytes()]).0,
            opens,
            source: fact.source.as_str().to_owned(),
            begin: activity.value.filter(|_| checkout),
            items,
        })
    }
}

/// What is known of a cart.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Cart {
    /// When something opened it first, and the source that said so; without one it isn't in the figures.
    opened: Option<(EventTime, String)>,
    /// The newest arrival of anything about it.
    last: i64,
    /// The last checkout that said its value.
    begin: Option<(EventTime, u128, Money)>,
    items: BTreeMap<Currency, i64>,
    /// Who was seen with it.
    actors: BTreeSet<Actor>,
    /// Counted orders that are linked to it.
    linked: i64,
    /// The arrival at which it is looked at again.
    due: Option<i64>,
    /// What its figures say now.
    shown: Option<Shown>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
enum Ending {
    Open,
    Completed,
    Abandoned,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Shown {
    day: Day,
    source: String,
    ending: Ending,
    value: BTreeMap<Currency, i64>,
}

impl Cart {
    fn take(&mut self, piece: &Piece) {
        if piece.opens {
            let opened = (piece.at, piece.source.clone());
            if self.opened.as_ref().is_none_or(|known| opened < *known) {
                self.opened = Some(opened);
            }
        }
        self.last = self.last.max(piece.received_at.0);
        let begin = piece.begin.map(|money| (piece.at, piece.id, money));
        self.begin = self.begin.max(begin);
        for (currency, minor) in &piece.items {
            let sum = self.items.entry(*currency).or_default();
            *sum = sum.saturating_add(*minor);
        }
    }

    fn value(&self) -> BTreeMap<Currency, i64> {
        match self.begin {
            Some((_, _, money)) => BTreeMap::from([(money.currency, money.minor)]),
            None => self.items.iter().filter(|(_, minor)| **minor > 0).map(|(c, m)| (*c, *m)).collect(),
        }
    }

    fn is_completed(&self, book: &Book<'_>) -> bool {
        let bought = |opened: EventTime| {
            self.actors.iter().any(|actor| last_order(book, *actor).is_some_and(|order| order >= opened))
        };
        self.linked > 0 || self.opened.as_ref().is_some_and(|(opened, _)| bought(*opened))
    }

    fn index(&self) -> Kind {
        let completed = matches!(&self.shown, Some(Shown { ending: Ending::Completed, .. }));
        if completed { Kind::Completed } else { Kind::Cart }
    }
}

/// Something happens to a cart.
pub(crate) fn add(book: &mut Book<'_>, actor: Actor, piece: &Piece, quiet: i64) -> Result<(), Failure> {
    let key = match piece.cart {
        Some(id) => key(book, &id),
        None => {
            let run = actor.run(book, Kind::Piece);
            let row = [run.as_slice(), &ascending(piece.at), &piece.id.to_be_bytes()].concat();
            book.put(PEOPLE, &row, piece)?;
            own(book, actor, order_before(book, actor, piece.at))
        }
    };
    let mut cart: Cart = book.get(PEOPLE, &key)?.unwrap_or_default();
    cart.take(piece);
    if cart.actors.insert(actor) {
        let new = row(book, actor, cart.index(), &key);
        book.put(PEOPLE, &new, &())?;
    }
    if cart.actors.len() > MOST_ACTORS
        && let Some(last) = cart.actors.pop_last()
    {
        let gone = row(book, last, cart.index(), &key);
        book.remove(&gone)?;
    }
    look(book, &key, cart, quiet)
}

/// A counted order is linked to a cart (`by` 1), or not any more (`by` -1).
pub(crate) fn linked(book: &mut Book<'_>, cart_id: &str, by: i64, quiet: i64) -> Result<(), Failure> {
    let mut id = [b'c'; 17];
    if let Some(rest) = id.last_chunk_mut() {
        *rest = Mark::of(&[cart_id.as_bytes()]).0.to_be_bytes();
    }
    let key = key(book, &id);
    let mut cart: Cart = book.get(PEOPLE, &key)?.unwrap_or_default();
    cart.linked = cart.linked.saturating_add(by);
    look(book, &key, cart, quiet)
}

/// The actor has bought: the order's row is there.
pub(crate) fn bought(book: &mut Book<'_>, actor: Actor, at: EventTime, quiet: i64) -> Result<(), Failure> {
    divide(book, actor, at, quiet)?;
    settle(book, actor, Kind::Cart, quiet)
}

/// An order of the actor doesn't count any more: its row is gone.
pub(crate) fn taken_back(
    book: &mut Book<'_>,
    actor: Actor,
    at: EventTime,
    quiet: i64,
) -> Result<(), Failure> {
    divide(book, actor, at, quiet)?;
    settle(book, actor, Kind::Completed, quiet)
}

/// Looks again at the actor's carts of a kind.
fn settle(book: &mut Book<'_>, actor: Actor, kind: Kind, quiet: i64) -> Result<(), Failure> {
    let run = actor.run(book, kind);
    for (row, _) in book.all(&run) {
        let key = book.key(&[b"C", row.get(run.len()..).unwrap_or_default()]);
        if let Some(cart) = book.get(PEOPLE, &key)? {
            look(book, &key, cart, quiet)?;
        }
    }
    Ok(())
}

/// An order at `at` came or went: what the actor did without a cart id is cut anew, unless nothing came after it.
fn divide(book: &mut Book<'_>, actor: Actor, at: EventTime, quiet: i64) -> Result<(), Failure> {
    let pieces = actor.run(book, Kind::Piece);
    let after = [pieces.as_slice(), &ascending(at), &[u8::MAX; 17]].concat();
    if book.next(&pieces, Some(&after)).is_none() {
        return Ok(());
    }
    let start = order_before(book, actor, at);
    remove_own(book, actor, start)?;
    build_own(book, actor, start, quiet)
}

/// Takes the actor's own carts from `start` on out of the figures.
fn remove_own(book: &mut Book<'_>, actor: Actor, start: EventTime) -> Result<(), Failure> {
    let run = book.key(&[b"C", b"a", actor.bytes()]);
    for (key, value) in book.all(&run) {
        if read_ascending(key.get(run.len()..).unwrap_or_default()).is_some_and(|from| from >= start) {
            drop_cart(book, &key, &read(&value)?)?;
        }
    }
    Ok(())
}

/// Puts the actor's own carts together from `start` on, which an order or the beginning of time is at.
fn build_own(book: &mut Book<'_>, actor: Actor, start: EventTime, quiet: i64) -> Result<(), Failure> {
    let cuts: Vec<EventTime> =
        orders(book, actor, start, EventTime(i64::MAX))?.into_iter().map(|(at, _)| at).rev().collect();
    let pieces = actor.run(book, Kind::Piece);
    let mut carts: BTreeMap<EventTime, Cart> = BTreeMap::new();
    let mut after = Some([pieces.as_slice(), &ascending(start), &[u8::MAX; 17]].concat());
    if start.0 == i64::MIN {
        after = None;
    }
    while let Some((row, value)) = book.next(&pieces, after.as_deref()) {
        let piece: Piece = read(&value)?;
        // The last order before the piece; a purchase of the same instant completes what came with it.
        let from = cuts.partition_point(|cut| *cut < piece.at);
        let from = from.checked_sub(1).and_then(|i| cuts.get(i)).copied().unwrap_or(start);
        let cart = carts.entry(from).or_default();
        cart.take(&piece);
        cart.actors.insert(actor);
        after = Some(row);
    }
    for (from, cart) in carts {
        let key = own(book, actor, from);
        let row = row(book, actor, Kind::Cart, &key);
        book.put(PEOPLE, &row, &())?;
        look(book, &key, cart, quiet)?;
    }
    Ok(())
}

/// Before two persons are joined: the old one's carts become the new one's, and those without an id of both are lifted
/// out of the figures.
pub(crate) fn lift(book: &mut Book<'_>, from: Actor, to: Actor) -> Result<(), Failure> {
    remove_own(book, from, EventTime(i64::MIN))?;
    remove_own(book, to, EventTime(i64::MIN))?;
    for kind in [Kind::Cart, Kind::Completed] {
        let run = from.run(book, kind);
        for (old, _) in book.all(&run) {
            book.remove(&old)?;
            let key = book.key(&[b"C", old.get(run.len()..).unwrap_or_default()]);
            let Some(mut cart) = book.get::<Cart>(PEOPLE, &key)? else { continue };
            cart.actors.remove(&from);
            cart.actors.insert(to);
            book.put(PEOPLE, &key, &cart)?;
            let new = row(book, to, kind, &key);
            book.put(PEOPLE, &new, &())?;
        }
    }
    Ok(())
}

/// After two persons were joined: everything is looked at again.
pub(crate) fn joined(book: &mut Book<'_>, person: Actor, quiet: i64) -> Result<(), Failure> {
    build_own(book, person, EventTime(i64::MIN), quiet)?;
    settle(book, person, Kind::Cart, quiet)
}

/// Erases a person's carts; one that somebody else was seen with stays theirs.
pub(crate) fn forget(book: &mut Book<'_>, person: Actor, quiet: i64) -> Result<(), Failure> {
    for (row, _) in book.all(&person.run(book, Kind::Piece)) {
        book.remove(&row)?;
    }
    for kind in [Kind::Cart, Kind::Completed] {
        let run = person.run(book, kind);
        for (row, _) in book.all(&run) {
            book.remove(&row)?;
            let key = book.key(&[b"C", row.get(run.len()..).unwrap_or_default()]);
            let Some(mut cart) = book.get::<Cart>(PEOPLE, &key)? else { continue };
            cart.actors.remove(&person);
            if cart.actors.is_empty() {
                drop_cart(book, &key, &cart)?;
            } else {
                look(book, &key, cart, quiet)?;
            }
        }
    }
    Ok(())
}

/// Moves the clock, and looks at the carts whose time has come.
pub(crate) fn pass(book: &mut Book<'_>, received_at: ReceivedTime, quiet: i64) -> Result<(), Failure> {
    let known = clock(book)?;
    let clock = known.max(received_at.0);
    if clock > known {
        let key = book.key(&[b"T"]);
        book.put(PEOPLE, &key, &clock)?;
    }
    let run = book.key(&[]);
    for _ in 0..AT_ONCE {
        let Some((row, _)) = book.first_of(DUE, &run) else { break };
        let rest = row.get(run.len()..).unwrap_or_default();
        if read_ascending(rest).is_none_or(|due| due.0 > clock) {
            break;
        }
        let key = book.key(&[b"C", rest.get(8..).unwrap_or_default()]);
        book.remove_from(DUE, &row)?;
        if let Some(mut cart) = book.get::<Cart>(PEOPLE, &key)? {
            cart.due = None;
            look(book, &key, cart, quiet)?;
        }
    }
    Ok(())
}

fn clock(book: &Book<'_>) -> Result<i64, Failure> {
    Ok(book.get(PEOPLE, &book.key(&[b"T"]))?.unwrap_or(i64::MIN))
}

/// Computes what a cart should show, moves the difference, and stores it.
fn look(book: &mut Book<'_>, key: &[u8], mut cart: Cart, quiet: i64) -> Result<(), Failure> {
    let until = cart.last.saturating_add(quiet);
    let ending = if cart.is_completed(book) {
        Ending::Completed
    } else if until <= clock(book)? {
        Ending::Abandoned
    } else {
        Ending::Open
    };
    let shown = cart.opened.as_ref().map(|(opened, source)| Shown {
        day: book.zone.day_of(*opened),
        source: source.clone(),
        ending,
        value: cart.value(),
    });
    if ending == Ending::Open && shown.is_some() && cart.due.is_none_or(|due| due > until) {
        if let Some(due) = cart.due {
            let row = due_row(book, due, key);
            book.remove_from(DUE, &row)?;
        }
        let row = due_row(book, until, key);
        book.put(DUE, &row, &())?;
        cart.due = Some(until);
    }
    let kind = cart.index();
    if cart.shown != shown {
        show(book, cart.shown.as_ref(), -1);
        show(book, shown.as_ref(), 1);
        cart.shown = shown;
    }
    if cart.index() != kind {
        for actor in &cart.actors {
            let (old, new) = (row(book, *actor, kind, key), row(book, *actor, cart.index(), key));
            book.remove(&old)?;
            book.put(PEOPLE, &new, &())?;
        }
    }
    book.put(PEOPLE, key, &cart)
}

fn show(book: &mut Book<'_>, shown: Option<&Shown>, sign: i64) {
    let Some(shown) = shown else { return };
    let is = |ending| i64::from(shown.ending == ending);
    let figures = [1, is(Ending::Completed), is(Ending::Abandoned)];
    book.moves.add(Spot::new(&CARTS, shown.day, [shown.source.clone()]), &figures, sign);
    if shown.ending == Ending::Abandoned {
        for (currency, minor) in &shown.value {
            let spot = Spot::new(&VALUE, shown.day, [currency.to_string(), shown.source.clone()]);
            book.moves.add(spot, &[*minor], sign);
        }
    }
}

/// Takes a cart out of the figures and the rows.
fn drop_cart(book: &mut Book<'_>, key: &[u8], cart: &Cart) -> Result<(), Failure> {
    show(book, cart.shown.as_ref(), -1);
    for actor in &cart.actors {
        let row = row(book, *actor, cart.index(), key);
        book.remove(&row)?;
    }
    if let Some(due) = cart.due {
        let row = due_row(book, due, key);
        book.remove_from(DUE, &row)?;
    }
    book.remove(key)
}

/// The key of a cart.
fn key(book: &Book<'_>, id: &[u8]) -> Vec<u8> {
    book.key(&[b"C", id])
}

/// The key of an actor's own cart, which began after an order.
fn own(book: &Book<'_>, actor: Actor, from: EventTime) -> Vec<u8> {
    book.key(&[b"C", b"a", actor.bytes(), &ascending(from)])
}

/// The row by which an actor's cart is found.
fn row(book: &Book<'_>, actor: Actor, kind: Kind, key: &[u8]) -> Vec<u8> {
    let id = key.get(book.key(&[b"C"]).len()..).unwrap_or_default();
    [actor.run(book, kind).as_slice(), id].concat()
}

fn due_row(book: &Book<'_>, due: i64, key: &[u8]) -> Vec<u8> {
    let id = key.get(book.key(&[b"C"]).len()..).unwrap_or_default();
    book.key(&[&ascending(EventTime(due)), id])
}
