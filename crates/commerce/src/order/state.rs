//! The joined state of one order.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::disagreement::Disagreement;
use super::kept::Kept;
use super::name::{Name, Standing};
use super::refund;
use super::register::{Join, Register, Version, Versions, prune};
use super::view::View;
use crate::event::{Campaign, Context, Event, FinancialStatus, FulfillmentStatus, Item, OrderObservation};
use crate::id::Stamp;
use crate::person::Identifier;
use crate::{DuplicateLevel, EventName, EventTime, Mark, Money, Outcome, PersonId, ReceivedTime, Source};

/// How many marks of deliveries an order remembers, to say at which level a repetition was caught. Repetitions older than
/// that are still without effect: the join itself has nothing to learn from them.
pub(super) const REMEMBERED: usize = 32;

/// Stands in the place of a semantic mark beside what a delivery has stated.
const STATED: u64 = 0;

/// More identifiers of the buyer aren't kept by source: the newest ones are. Nobody's address is corrected so often.
const MOST_IDENTIFIERS: usize = 32;

/// More names and other ids of one order aren't kept by source, the smallest ones are: a sender who gives one order
/// thousands of them makes nothing grow.
pub(super) const MOST_NAMES: usize = 64;

/// An id space: one shop of one source. Orders of one source never link with each other.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Space {
    /// The family of the source.
    pub source: Source,
    /// The shop or system.
    pub space: String,
}

impl Space {
    /// Where an event comes from.
    pub fn of(event: &Event) -> Self {
        Self { source: event.source, space: event.source_space.clone() }
    }
}

/// What one source knows of the order.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SourceOrder {
    pub(super) versions: Versions,
    pub(super) financial_status: Register<FinancialStatus>,
    pub(super) fulfillment_status: Register<FulfillmentStatus>,
    pub(super) total: Register<Money>,
    pub(super) subtotal: Register<Money>,
    pub(super) discount_total: Register<Money>,
    pub(super) shipping_total: Register<Money>,
    pub(super) tax_total: Register<Money>,
    pub(super) item_count: Register<i64>,
    pub(super) items: Register<Vec<Item>>,
    pub(super) refunded_rest: Register<bool>,
    pub(super) coupon_codes: Register<Vec<String>>,
    pub(super) tags: Register<Vec<String>>,
    pub(super) campaign: Register<Campaign>,
    pub(super) country: Register<String>,
    pub(super) context: Register<Context>,
    /// Identifiers of the buyer, the newest of each kind and space being the one that counts: an update without an e-mail
    /// doesn't take the e-mail away, and where the newest is erased the one before it counts again.
    pub(super) identifiers: BTreeMap<Identifier, (u16, ())>,
    /// Refunds by id: amount and instant.
    pub(super) refunds: BTreeMap<String, (u16, (Money, EventTime))>,
    /// Earliest evidence of each instant, also from versions that lost.
    pub(super) placed_at: Option<EventTime>,
    pub(super) paid_at: Option<EventTime>,
    /// As `paid_at`, but a claim from the far future is replaced by the arrival: decides the window.
    pub(super) counted_at: Option<EventTime>,
    pub(super) partially_fulfilled_at: Option<EventTime>,
    pub(super) fulfilled_at: Option<EventTime>,
    pub(super) cancelled_at: Option<EventTime>,
    /// First evidence that the rest of the total went back, clamped for windows.
    pub(super) rest_at: Option<EventTime>,
    /// Test traffic, as soon as one delivery says so.
    pub(super) qa: bool,
    /// The smallest stamp of its deliveries, and the id that the source has for it.
    pub(super) first: Option<(Stamp, String)>,
    /// Other ids and display numbers.
    pub(super) aliases: BTreeSet<String>,
    /// The names by which another source may know it, and whether it stands under them: see [`super::links`].
    pub(super) names: BTreeMap<Name, Standing>,
    /// Carts that it came of.
    pub(super) carts: BTreeSet<String>,
    /// Arrival of the last purchase that the analytics API brought: see [`SourceOrder::purchased_at`].
    pub(super) purchased_at: Option<ReceivedTime>,
    /// True once a fraud rule has marked a delivery that says that it was placed or paid.
    pub(super) flagged: bool,
    /// Bodies of one version, each with what it alone said, by version: see [`super::rivals`].
    pub(super) rivals: Vec<Self>,
}

impl SourceOrder {
    /// What a single delivery says.
    fn from_event(event: &Event, order: &OrderObservation, version: Version) -> Self {
        fn at<T: Clone>(value: &Option<T>) -> Register<T> {
            value.clone().map(|value| (0, value))
        }
        let identifiers = event.person.iter().flat_map(|person| &person.identifiers);
        Self {
            versions: Versions::of(version),
            financial_status: at(&order.financial_status),
            fulfillment_status: at(&order.fulfillment_status),
            total: at(&order.total),
            subtotal: at(&order.subtotal),
            discount_total: at(&order.discount_total),
            shipping_total: at(&order.shipping_total),
            tax_total: at(&order.tax_total),
            item_count: at(&order.item_count),
            items: at(&order.items),
            refunded_rest: at(&order.refunded_rest),
            coupon_codes: at(&order.coupon_codes),
            tags: at(&order.tags),
            campaign: at(&order.campaign),
            country: at(&order.country),
            context: at(&order.context),
            identifiers: identifiers.map(|identifier| (identifier.clone(), (0, ()))).collect(),
            refunds: order
                .refunds
                .iter()
                .map(|refund| (refund::key(refund, event.received_at), (0, (refund.amount, refund.at))))
                .collect(),
            placed_at: order.placed_at,
            paid_at: order.paid_at,
            counted_at: order.paid_at.map(|at| at.for_window(event.received_at)),
            partially_fulfilled_at: order.partially_fulfilled_at,
            fulfilled_at: order.fulfilled_at,
            cancelled_at: order.cancelled_at,
            rest_at: (order.refunded_rest == Some(true)).then(|| order.version.for_window(event.received_at)),
            qa: event.qa,
            first: Some((event.stamp(), event.entity.id.clone())),
            aliases: smallest(event.entity.aliases.iter().cloned()),
            names: Name::stated(event, order)
                .into_iter()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .take(MOST_NAMES)
                .map(|name| (name, Standing::Open))
                .collect(),
            carts: smallest(
                order.links.iter().filter(|link| link.kind == "cart").map(|link| link.id.clone()),
            ),
            purchased_at: (event.source == Source::Analytics && event.event == EventName::OrderPlaced)
                .then_some(event.received_at),
            flagged: event.fraud.is_some() && (order.placed_at.is_some() || order.paid_at.is_some()),
            rivals: Vec::new(),
        }
    }

    /// The join of two whose versions have the same turns, without their rivals.
    pub(super) fn plain(&self, other: &Self) -> Self {
        let union = self.versions.union(&other.versions);
        let join = Join { left: &self.versions, right: &other.versions, union: &union };
        let mut merged = Self {
            financial_status: join.register(&self.financial_status, &other.financial_status),
            fulfillment_status: join.register(&self.fulfillment_status, &other.fulfillment_status),
            total: join.register(&self.total, &other.total),
            subtotal: join.register(&self.subtotal, &other.subtotal),
            discount_total: join.register(&self.discount_total, &other.discount_total),
            shipping_total: join.register(&self.shipping_total, &other.shipping_total),
            tax_total: join.register(&self.tax_total, &other.tax_total),
            item_count: join.register(&self.item_count, &other.item_count),
            items: join.register(&self.items, &other.items),
            refunded_rest: join.register(&self.refunded_rest, &other.refunded_rest),
            coupon_codes: join.register(&self.coupon_codes, &other.coupon_codes),
            tags: join.register(&self.tags, &other.tags),
            campaign: join.register(&self.campaign, &other.campaign),
            country: join.register(&self.country, &other.country),
            context: join.register(&self.context, &other.context),
            identifiers: join.map(&self.identifiers, &other.identifiers),
            refunds: join.map(&self.refunds, &other.refunds),
            placed_at: earliest(self.placed_at, other.placed_at),
            paid_at: earliest(self.paid_at, other.paid_at),
            counted_at: earliest(self.counted_at, other.counted_at),
            partially_fulfilled_at: earliest(self.partially_fulfilled_at, other.partially_fulfilled_at),
            fulfilled_at: earliest(self.fulfilled_at, other.fulfilled_at),
            cancelled_at: earliest(self.cancelled_at, other.cancelled_at),
            rest_at: earliest(self.rest_at, other.rest_at),
            qa: self.qa || other.qa,
            first: self.first.iter().chain(&other.first).min().cloned(),
            aliases: self.aliases.union(&other.aliases).take(MOST_NAMES).cloned().collect(),
            names: joined(&self.names, &other.names),
            carts: self.carts.union(&other.carts).take(MOST_NAMES).cloned().collect(),
            purchased_at: self.purchased_at.max(other.purchased_at),
            flagged: self.flagged || other.flagged,
            versions: Versions::default(),
            rivals: Vec::new(),
        };
        merged.versions = union;
        merged.bound_identifiers();
        merged.prune();
        merged
    }

    fn prune(&mut self) {
        let mut versions = std::mem::take(&mut self.versions);
        prune(&mut versions, |visit| self.each_index(visit));
        self.versions = versions;
    }

    /// The id that its source has for it.
    pub(super) fn id(&self) -> Option<&str> {
        self.first.as_ref().map(|(_, id)| id.as_str())
    }

    /// The greatest version that was seen.
    pub(super) fn version(&self) -> Option<Version> {
        self.versions.greatest()
    }

    /// When the first of its deliveries arrived.
    pub fn first_arrival(&self) -> Option<ReceivedTime> {
        self.first.as_ref().map(|(stamp, _)| stamp.received_at)
    }

    /// When the last purchase of the analytics API arrived that was taken in. Those that came within a day of it are
    /// the same call.
    pub const fn purchased_at(&self) -> Option<ReceivedTime> {
        self.purchased_at
    }

    /// Forgets who the buyer is, as far as these are what names them (R10.7). True when it was named so.
    pub fn forget(&mut self, handles: &[Identifier]) -> bool {
        let before = self.identifiers.len();
        self.identifiers.retain(|identifier, _| !handles.contains(identifier));
        for rival in &mut self.rivals {
            rival.identifiers.retain(|identifier, _| !handles.contains(identifier));
        }
        self.identifiers.len() != before
    }

    /// All that its deliveries have named its buyer by, also what was corrected since.
    pub fn named(&self) -> impl Iterator<Item = &Identifier> {
        self.identifiers.keys()
    }

    /// Identifiers of the buyer: of each kind and space the newest.
    pub fn identifiers(&self) -> Vec<Identifier> {
        let mut newest: Vec<(Option<Version>, &Identifier)> = Vec::new();
        for (identifier, (version, ())) in &self.identifiers {
            let version = self.versions.get(*version);
            match newest.last_mut() {
                // The map is sorted by kind and space; of equal versions the greater value counts.
                Some(known) if (known.1.kind, &known.1.space) == (identifier.kind, &identifier.space) => {
                    if known.0 <= version {
                        *known = (version, identifier);
                    }
                }
                _ => newest.push((version, identifier)),
            }
        }
        newest.into_iter().map(|(_, identifier)| identifier.clone()).collect()
    }

    /// Leaves the newest of very many corrections.
    fn bound_identifiers(&mut self) {
        while self.identifiers.len() > MOST_IDENTIFIERS {
            let versions = &self.versions;
            let rank = |(id, (version, ())): (&Identifier, &(u16, ()))| (versions.get(*version), id.clone());
            let Some((_, oldest)) = self.identifiers.iter().map(rank).min() else { return };
            self.identifiers.remove(&oldest);
        }
    }
}

/// The union; of a name that was settled it stays so.
fn joined(a: &BTreeMap<Name, Standing>, b: &BTreeMap<Name, Standing>) -> BTreeMap<Name, Standing> {
    let mut all = a.clone();
    for (name, standing) in b {
        let known = all.entry(name.clone()).or_default();
        *known = (*known).max(*standing);
    }
    while all.len() > MOST_NAMES {
        all.pop_last();
    }
    all
}

/// The smallest texts, each once.
fn smallest(texts: impl Iterator<Item = String>) -> BTreeSet<String> {
    texts.collect::<BTreeSet<_>>().into_iter().take(MOST_NAMES).collect()
}

fn earliest(a: Option<EventTime>, b: Option<EventTime>) -> Option<EventTime> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Everything that is known of one order.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(from = "Kept")]
pub struct State {
    /// What each source knows.
    pub sources: BTreeMap<Space, SourceOrder>,
    /// The id under which it is published where another order has come by the id of its first delivery before it: two
    /// shops of one source may use the same ids.
    pub(super) apart: Option<String>,
    /// Transport and semantic marks of the last deliveries, and what they have stated ([`Keys::stated`]), with [`STATED`].
    /// History, outside the claim.
    ///
    /// [`Keys::stated`]: crate::event::Keys::stated
    pub(super) remembered: Vec<(u64, u64)>,
    /// The handle under which the order counts among its buyer's.
    pub attached: Option<PersonId>,
    /// Handles of other people by which its deliveries name its buyer, too: it is listed under them, and counts there not.
    pub others: Vec<PersonId>,
    /// Under which ids orders of its sources are kept that have lost a name to it.
    pub outdone: BTreeSet<String>,
    /// The view that was published last. Facts are the difference to it, never to something recomputed, so that a
    /// changed policy can't make totals drift.
    pub published: Option<View>,
    /// In what its sources disagree, as published last.
    pub disagreements: Vec<Disagreement>,
}

/// What a delivery did to the state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Observed {
    /// The outcome of the item at this stage.
    pub outcome: Outcome,
    /// True when it is a version of the order that wasn't known, be it old or new.
    pub new_version: bool,
    /// True when it says something else of a version that the same kind of delivery has told of before.
    pub corrects: bool,
    /// True when the state has changed in any way, if only in what it remembers of deliveries.
    pub changed: bool,
    /// The level at which the delivery is known, whatever its arrival has added.
    repeats: Option<DuplicateLevel>,
}

impl Observed {
    /// The outcome, by the view that was published before and the one after. A call that is repeated without a time of
    /// its own is a version of its arrival: where nothing but that time has moved, it is a repetition, the view keeps
    /// the time that was published, and so there is no fact of it.
    pub fn settle(&self, before: Option<&View>, view: &mut View) -> Outcome {
        let (Some(level), Some(before)) = (self.repeats, before) else { return self.outcome };
        let arrived = std::mem::replace(&mut view.updated_at, before.updated_at);
        if view == before {
            return Outcome::Duplicate(level);
        }
        view.updated_at = arrived;
        self.outcome
    }
}

impl State {
    /// What the source of an event has said.
    pub fn source(&self, event: &Event) -> Option<&SourceOrder> {
        self.sources.get(&Space::of(event))
    }

    pub(super) fn source_mut(&mut self, event: &Event) -> Option<&mut SourceOrder> {
        self.sources.get_mut(&Space::of(event))
    }

    /// The id under which it is published: that of the smallest stamp, unless another order has it. `None` before any
    /// delivery.
    pub fn id(&self) -> Option<&str> {
        let first = || self.sources.values().filter_map(|order| order.first.as_ref()).min();
        self.apart.as_deref().or_else(|| first().map(|(_, id)| id.as_str()))
    }

    /// The smallest stamp of all its deliveries; `None` before any.
    pub fn first_stamp(&self) -> Option<Stamp> {
        self.sources.values().filter_map(|order| order.first.as_ref()).map(|(stamp, _)| *stamp).min()
    }

    /// Joins one delivery in. An event without an order part changes nothing.
    pub fn observe(&mut self, event: &Event) -> Observed {
        let Some(order) = &event.payload.order else {
            let outcome = Outcome::Duplicate(DuplicateLevel::Entity);
            return Observed { outcome, new_version: false, corrects: false, changed: false, repeats: None };
        };
        let marks = (mark(&event.keys.transport), mark(&event.keys.semantic));
        let version = Version {
            at: order.version,
            rank: order.financial_status.map_or(0, FinancialStatus::rank),
            turn: event.turn(),
            hash: content(order),
        };
        let stated = event.keys.stated.as_deref().map(|stated| (mark(stated), STATED));
        let told_before = stated.is_some_and(|stated| self.remembered.contains(&stated));
        let space = Space::of(event);
        let said = SourceOrder::from_event(event, order, version);

        let seen_transport = self.remembered.iter().any(|(transport, _)| *transport == marks.0);
        // Of one fact that is told twice: what the second says is joined in, whatever an unsigned header says of it.
        let seen_semantic = self.remembered.iter().any(|(_, semantic)| *semantic == marks.1)
            || (told_before && !event.source.corrects_versions());
        let known = self.sources.get(&space);
        // When this body arrived first: that it comes again makes it no newer.
        let told = known.and_then(|known| known.turn_of(version));
        let version = Version { turn: told.map_or(version.turn, |told| told.min(version.turn)), ..version };
        // A call without a time of its own would be a new version each time. When the order was heard of first is news.
        let said = if event.source.corrects_versions() && seen_semantic && told.is_none() {
            SourceOrder { first: said.first, ..SourceOrder::default() }
        } else {
            said
        };
        let newest = known.and_then(SourceOrder::version).filter(|newest| !newest.is_body_of(version));
        let merged = match known {
            None => Some(said),
            Some(known) => Some(known.merge(&said)).filter(|merged| merged != known),
        };
        // An earlier arrival alone says nothing of the order.
        let learned = match (known, &merged) {
            (Some(known), Some(merged)) => known.timeless() != merged.timeless(),
            (_, merged) => merged.is_some(),
        };
        let moved = merged.is_some();
        let known_body = told.is_some() && event.source.corrects_versions();
        if let Some(merged) = merged {
            self.sources.insert(space, merged);
        }
        let remembered = seen_transport && seen_semantic && (told_before || stated.is_none());
        if !remembered {
            self.remembered.push(marks);
            self.remembered.extend(stated.filter(|_| !told_before));
            let excess = self.remembered.len().saturating_sub(REMEMBERED);
            self.remembered.drain(..excess);
        }

        let stale = newest.is_some_and(|newest| version < newest);
        let outcome = match (learned, seen_transport, seen_semantic) {
            (true, _, _) if stale => Outcome::Stale,
            (true, _, _) => Outcome::Published,
            (false, true, _) => Outcome::Duplicate(DuplicateLevel::Transport),
            (false, false, true) => Outcome::Duplicate(DuplicateLevel::Semantic),
            (false, false, false) if known_body => Outcome::Duplicate(DuplicateLevel::Entity),
            // Nothing to learn, but a version that wasn't seen: history, not a repetition.
            (false, false, false) if stale => Outcome::Stale,
            (false, false, false) => Outcome::Duplicate(DuplicateLevel::Entity),
        };
        // Its first arrival may be what makes another body the one that counts.
        let turned = known_body && learned;
        let unseen = turned || (!seen_transport && !seen_semantic);
        let new_version = unseen && !matches!(outcome, Outcome::Duplicate(_));
        let repeats = match (seen_transport, seen_semantic) {
            // A sender's own key may come again with another body.
            (_, false) => None,
            (true, true) => Some(DuplicateLevel::Transport),
            (false, true) => Some(DuplicateLevel::Semantic),
        };
        let corrects = told_before && new_version && event.source.corrects_versions();
        Observed { outcome, new_version, corrects, changed: moved || !remembered, repeats }
    }

    /// Joins two states of one order: commutative, associative, idempotent.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        let mut sources = self.sources.clone();
        for (space, theirs) in &other.sources {
            let merged = sources.get(space).map_or_else(|| theirs.clone(), |ours| ours.merge(theirs));
            sources.insert(space.clone(), merged);
        }
        Self { sources, ..Self::default() }
    }

    /// True when both are joined from the same set of deliveries.
    pub fn same_as(&self, other: &Self) -> bool {
        self.sources == other.sources
    }
}

/// The content of an observation as 64 bits, for ties between versions: from the canonical content and not from the
/// bytes, so that two encodings of one content are one version.
fn content(order: &OrderObservation) -> u64 {
    postcard::to_allocvec(order).map_or(0, |bytes| Mark::of(&[&bytes]).high())
}

fn mark(hex: &str) -> u64 {
    Mark::from_hex(hex).map_or_else(|| Mark::of(&[hex.as_bytes()]).high(), Mark::high)
}
