//! Who did what on which day: sets of actors that any range of days is united from exactly.
//!
//! A set belongs to a step of the funnel, to those who were seen with a channel, or to those who bought with it. An
//! actor is in the set of a day while there is at least one reason for it, so reasons are counted per actor, set and
//! day: a retraction or a merge of persons takes a membership away exactly when its last reason goes. For the sets of
//! buyers the reasons are the orders themselves ([`people`](crate::people)).
//!
//! Actors are numbered as they appear, per workspace. Numbers depend on the order of processing; counts don't.

use std::collections::BTreeMap;

use commerce::event::Campaign;
use commerce::members::{Members, Written};
use commerce::time::Day;
use commerce::{EventName, EventTime, Metric, ReceivedTime, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::Failure;

use crate::cell::{Ends, Span, cut};
use crate::ordered::Window;
use crate::pending::News;
use crate::people::{Actor, Kind};
use crate::rows::{Book, PEOPLE, read, write};

/// The steps of the funnel, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Step {
    ViewItem,
    AddToCart,
    ViewCart,
    BeginCheckout,
    AddPaymentInfo,
    Purchase,
}

impl Step {
    /// The name in reports.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::ViewItem => "view_item",
            Self::AddToCart => "add_to_cart",
            Self::ViewCart => "view_cart",
            Self::BeginCheckout => "begin_checkout",
            Self::AddPaymentInfo => "add_payment_info",
            Self::Purchase => "purchase",
        }
    }

    /// The step that comes before it.
    pub(crate) const fn before(self) -> Option<Self> {
        Some(match self {
            Self::ViewItem => return None,
            Self::AddToCart => Self::ViewItem,
            Self::ViewCart => Self::AddToCart,
            Self::BeginCheckout => Self::ViewCart,
            Self::AddPaymentInfo => Self::BeginCheckout,
            Self::Purchase => Self::AddPaymentInfo,
        })
    }

    /// The step that a fact stands for. A checkout begins once as a fact; a shopper who begins it again on another day
    /// is in the step on that day too, so the source's own name decides there.
    pub(crate) fn of(event: EventName, source_event: &str) -> Option<Self> {
        Some(match event {
            EventName::ProductViewed => Self::ViewItem,
            EventName::CartItemAdded => Self::AddToCart,
            EventName::CartViewed => Self::ViewCart,
            EventName::CheckoutStarted => Self::BeginCheckout,
            EventName::CheckoutUpdated if source_event == Self::BeginCheckout.as_str() => Self::BeginCheckout,
            EventName::CheckoutPaymentInfoAdded => Self::AddPaymentInfo,
            _ => return None,
        })
    }
}

/// Where a shopper came from, as reports are cut by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Channel {
    pub(crate) campaign: Option<String>,
    pub(crate) source: Option<String>,
    pub(crate) medium: Option<String>,
}

/// What stands for an absent part.
pub(crate) const NONE: &str = "(none)";

impl Channel {
    /// The channel of an event or order.
    pub(crate) fn of(campaign: Option<&Campaign>) -> Self {
        // Cut as the dimensions of every cell are, so that visitors stand beside the revenue of their channel.
        let cut = |text: &Option<String>| -> Option<String> {
            let text = cut(text.as_deref()?.trim());
            (!text.is_empty()).then(|| text.to_owned())
        };
        campaign.map_or_else(Self::default, |campaign| Self {
            campaign: cut(&campaign.campaign),
            source: cut(&campaign.source),
            medium: cut(&campaign.medium),
        })
    }

    /// Campaign, source and medium as they stand in figures.
    pub(crate) fn words(&self) -> [String; 3] {
        [&self.campaign, &self.source, &self.medium]
            .map(|part| part.clone().unwrap_or_else(|| NONE.to_owned()))
    }
}

/// A set of actors per day, of one source; of all together where that is another set, under the empty name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) of: Of,
    pub(crate) source: String,
}

/// What the members of a set have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) enum Of {
    /// Who did a step.
    Step(Step),
    /// Who was seen with a channel.
    Visitors(Channel),
    /// Who bought with it.
    Buyers(Channel),
    /// Who got this far, and no farther, one step after the other ([`ordered`](crate::ordered)).
    Ordered(Window, Step),
}

impl Of {
    /// For how many microseconds after the end of its day a set can still move without a correction: what follows an
    /// entry of that day may be as late as this.
    const fn moves_after_its_day(&self) -> i64 {
        match self {
            Self::Ordered(window, _) => window.micros(),
            Self::Step(_) | Self::Visitors(_) | Self::Buyers(_) => 0,
        }
    }
}

impl Set {
    fn metric(&self) -> &'static str {
        match self.of {
            Of::Step(_) => "funnel",
            Of::Visitors(_) => "visitors",
            Of::Buyers(_) => "buyers",
            Of::Ordered(..) => "funnel_ordered",
        }
    }

    fn dimensions(&self) -> BTreeMap<String, String> {
        let mut dimensions = BTreeMap::new();
        if !self.source.is_empty() {
            dimensions.insert("source".to_owned(), self.source.clone());
        }
        match &self.of {
            Of::Step(step) => {
                dimensions.insert("step".to_owned(), step.as_str().to_owned());
            }
            Of::Ordered(window, step) => {
                dimensions.insert("window".to_owned(), window.as_str().to_owned());
                dimensions.insert("step".to_owned(), step.as_str().to_owned());
            }
            Of::Visitors(channel) | Of::Buyers(channel) => {
                let names = ["utm_campaign", "utm_source", "utm_medium"].map(str::to_owned);
                dimensions.extend(names.into_iter().zip(channel.words()));
            }
        }
        dimensions
    }
}

/// Where a stored chunk stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct ChunkPlace {
    pub(crate) workspace: String,
    pub(crate) set: Set,
    pub(crate) day: Day,
    pub(crate) chunk: u32,
}

/// A stored chunk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) members: Written,
    revision: i32,
    as_of: i64,
}

/// An actor comes into a set, or leaves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Presence {
    /// The key of the chunk.
    pub(crate) key: Vec<u8>,
    /// The actor's place in there.
    pub(crate) place: u16,
    pub(crate) inside: bool,
    /// The set's window had closed.
    pub(crate) late: bool,
}

/// Gives (`by` 1) or takes back (`by` -1) a reason for an actor to be in a day's set.
pub(crate) fn reason(book: &mut Book<'_>, actor: Actor, set: &Set, day: Day, by: i64) -> Result<(), Failure> {
    let key = row(book, actor, set, day)?;
    let before: i64 = book.get(PEOPLE, &key)?.unwrap_or(0);
    let after = before.saturating_add(by);
    if after == 0 {
        book.remove(&key)?;
    } else {
        book.put(PEOPLE, &key, &after)?;
    }
    if (before > 0) == (after > 0) {
        return Ok(());
    }
    presence(book, actor, set, day, after > 0)
}

/// Puts an actor into a day's set, or takes it out.
pub(crate) fn presence(
    book: &mut Book<'_>,
    actor: Actor,
    set: &Set,
    day: Day,
    inside: bool,
) -> Result<(), Failure> {
    let (chunk, place) = Members::place(number(book, actor)?);
    // As `ChunkPlace` is written, without a copy of any of it.
    let key = write(&(book.workspace(), set, day, chunk))?;
    let late = book.is_closed(day, set.of.moves_after_its_day());
    book.presences.push(Presence { key, place, inside, late });
    Ok(())
}

impl Chunk {
    /// Lets members come in and leave, in this order.
    pub(crate) fn change(&mut self, places: &[(u16, bool)], news: News) -> Result<(), Failure> {
        let mut members = Members::read(&self.members.0)
            .map_err(|e| Failure::Fatal(format!("a stored set can't be read: {e}")))?;
        for (place, inside) in places {
            if *inside { members.insert(*place) } else { members.remove(*place) }
        }
        self.members = members.written();
        self.revision = self.revision.saturating_add(news.late);
        self.as_of = self.as_of.max(news.as_of);
        Ok(())
    }
}

/// Every reason of an actor that is counted: set, day and how many. There may be others, which were counted before the
/// orders were asked for them.
pub(crate) fn reasons(book: &Book<'_>, actor: Actor) -> Result<Vec<(Set, Day, i64)>, Failure> {
    let prefix = actor.run(book, Kind::Reason);
    let mut all = Vec::new();
    for (key, value) in book.all(&prefix) {
        let (set, day): (Set, Day) = read(key.get(prefix.len()..).unwrap_or_default())?;
        if !matches!(set.of, Of::Buyers(_) | Of::Step(Step::Purchase)) {
            all.push((set, day, read(&value)?));
        }
    }
    Ok(all)
}

/// Takes every reason from one actor to another.
pub(crate) fn merge(book: &mut Book<'_>, from: Actor, to: Actor) -> Result<(), Failure> {
    for (set, day, count) in reasons(book, from)? {
        reason(book, from, &set, day, -count)?;
        reason(book, to, &set, day, count)?;
    }
    Ok(())
}

fn row(book: &Book<'_>, actor: Actor, set: &Set, day: Day) -> Result<Vec<u8>, Failure> {
    let mut key = actor.run(book, Kind::Reason);
    key.extend(write(&(set, day))?);
    Ok(key)
}

/// The number of an actor, given on first sight.
fn number(book: &mut Book<'_>, actor: Actor) -> Result<u32, Failure> {
    let key = actor.run(book, Kind::Number);
    if let Some(number) = book.get(PEOPLE, &key)? {
        return Ok(number);
    }
    let next_key = book.key(&[b"N"]);
    let next: u32 = book.get(PEOPLE, &next_key)?.unwrap_or(0);
    let after = next.checked_add(1).ok_or_else(|| Failure::Fatal("more than 2^32 actors".to_owned()))?;
    book.put(PEOPLE, &next_key, &after)?;
    book.put(PEOPLE, &key, &next)?;
    Ok(next)
}

/// The published form of a stored chunk.
pub(crate) fn metric(key: &[u8], chunk: &Chunk, ends: &mut Ends<'_>) -> Result<Metric, Failure> {
    let place: ChunkPlace = read(key)?;
    let workspace = WorkspaceId::try_new(&place.workspace)
        .map_err(|e| Failure::Fatal(format!("a stored workspace can't be read: {e}")))?;
    let count = Members::read(&chunk.members.0).map_or(0, |members| members.count());
    let mut dimensions = place.set.dimensions();
    dimensions.insert("chunk".to_owned(), place.chunk.to_string());
    let end = ends.of_span(&workspace, Span::Day(place.day)).0;
    Ok(Metric {
        window_end_at: Some(EventTime(end.saturating_add(place.set.of.moves_after_its_day()))),
        workspace,
        metric: place.set.metric().to_owned(),
        window: "day".to_owned(),
        window_start: place.day.to_string(),
        dimensions,
        values: BTreeMap::from([("actors".to_owned(), count)]),
        revision: chunk.revision,
        corrected: chunk.revision > 0,
        as_of: ReceivedTime(chunk.as_of),
        members: Some(chunk.members.clone()),
    })
}
