//! Open automations: what a sender of messages may be busy with, as state.
//!
//! Each is kept under the handle that it came in with, so that joining and parting people moves nothing. An automation
//! has at most one timer, that of its `due`.

use commerce::event::{EventName, Item};
use commerce::id::Mark;
use commerce::signal::Automation as Kind;
use commerce::{Event, EventTime, Money, PersonId, ReceivedTime, Source, WorkspaceId, person};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::baskets::{self, Name};
use crate::people;
use crate::processor::StateStage;
use crate::tables::{self, AUTOMATION, PAID, get, put};
use crate::timers::{self, Due};

/// Automations of a handle are read in portions.
const PORTION: usize = 100;
/// As many lines are kept of a basket; what is sent to a person shows fewer.
const MOST_ITEMS: usize = 100;
/// A basket whose lines take more bytes is kept without them: it must fit into state and topic.
const MOST_BYTES: usize = 256 << 10;

/// How far an automation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// It waits for its instant.
    Waiting,
    /// Its instant passed and nobody could be reached; it goes on once it is known who it is.
    Held,
    /// It was said, and may have to be called off.
    Said,
}

/// One open automation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Open {
    /// The part of its key that makes it the only one of its kind.
    pub(crate) id: Mark,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    pub(crate) environment: String,
    /// `cart`, `checkout` or `product`.
    pub(crate) target_type: String,
    pub(crate) target: String,
    /// Of a product.
    pub(crate) variant: Option<String>,
    pub(crate) cart_id: Option<String>,
    pub(crate) checkout_id: Option<String>,
    /// Of a reminder: the order's key and id.
    pub(crate) order: Option<(Vec<u8>, String)>,
    /// Names by which orders and later activities find it.
    pub(crate) names: Vec<Name>,
    /// When it was opened, by the events' own time: an older order doesn't close it.
    pub(crate) opened_at: EventTime,
    /// The last arrival that kept it busy.
    pub(crate) active_at: ReceivedTime,
    /// When its timer fires.
    pub(crate) due: ReceivedTime,
    /// How many times it was said: each quiet period is a signal of its own.
    pub(crate) period: u32,
    /// True when a handle by which somebody can be reached came with it.
    pub(crate) reachable: bool,
    pub(crate) items: Vec<Item>,
    pub(crate) value: Option<Money>,
    /// How new the statement is that set items and value: its time, and its turn.
    pub(crate) said: (EventTime, ReceivedTime),
    pub(crate) recovery_url: Option<String>,
    pub(crate) qa: bool,
    pub(crate) trigger: (EventName, String, Source),
}

impl Open {
    /// A new one that an event opens; what it is about is for the caller to fill in.
    pub(crate) fn new(event: &Event, kind: Kind, id: Mark, target: (&str, &str)) -> Self {
        Self {
            id,
            kind,
            stage: Stage::Waiting,
            environment: event.environment.clone(),
            target_type: target.0.to_owned(),
            target: target.1.to_owned(),
            variant: None,
            cart_id: None,
            checkout_id: None,
            order: None,
            names: Vec::new(),
            opened_at: event.occurred_at.for_window(event.received_at),
            active_at: event.received_at,
            due: event.received_at,
            period: 0,
            reachable: false,
            items: Vec::new(),
            value: None,
            said: (EventTime(i64::MIN), ReceivedTime(i64::MIN)),
            recovery_url: None,
            qa: event.qa,
            trigger: (event.event, event.event_id.clone(), event.source),
        }
    }

    /// Puts lines in, as far as they fit.
    pub(crate) fn fill(&mut self, items: Vec<Item>) {
        self.items = items;
        self.items.truncate(MOST_ITEMS);
        for item in &mut self.items {
            item.allocations.clear();
        }
        if postcard::to_allocvec(&self.items).is_ok_and(|bytes| bytes.len() > MOST_BYTES) {
            self.items.clear();
        }
    }

    /// True where it is about the product; about its variant, where both name one (R12.2).
    pub(crate) fn is_for(&self, product: Option<&str>, variant: Option<&str>) -> bool {
        let variants = self.variant.as_deref().zip(variant);
        product == Some(self.target.as_str()) && variants.is_none_or(|(a, b)| a == b)
    }
}

/// The key of an automation.
pub(crate) fn key(handle: &[u8], kind: Kind, id: Mark) -> Vec<u8> {
    [handle, &[tag(kind)], &id.0.to_be_bytes()].concat()
}

/// The handle of an automation's key.
fn handle(key: &[u8]) -> Option<(&str, PersonId)> {
    tables::read_person(key.get(..key.len().checked_sub(17)?)?)
}

const fn tag(kind: Kind) -> u8 {
    match kind {
        Kind::Abandonment => b'a',
        Kind::Replenishment => b'r',
        Kind::BackInStock => b'b',
    }
}

/// Stores an automation with its timer and its names.
pub(crate) fn store(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    key: &[u8],
    open: &Open,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    if let Some(before) = get::<Open>(ctx, AUTOMATION, key)?
        && before.due != open.due
    {
        timers::clear(ctx, workspace, before.due, key)?;
    }
    put(ctx, AUTOMATION, key, open, buffer)?;
    timers::set(ctx, workspace, open.due, key)?;
    baskets::list(ctx, &open.names, key, true, buffer)
}

/// Removes an automation with its timer and from its names.
pub(crate) fn discard(
    ctx: &mut Context<'_>,
    workspace: &WorkspaceId,
    key: &[u8],
    open: &Open,
    buffer: &mut Vec<u8>,
) -> Result<(), Failure> {
    ctx.remove(AUTOMATION, key)?;
    timers::clear(ctx, workspace, open.due, key)?;
    baskets::list(ctx, &open.names, key, false, buffer)
}

/// The open automations of one kind of some handles.
pub(crate) fn open_of(
    ctx: &Context<'_>,
    handles: &[Vec<u8>],
    kind: Kind,
) -> Result<Vec<(Vec<u8>, Open)>, Failure> {
    let mut found = Vec::new();
    // Most people have none of any kind, and that is seen at once.
    for handle in handles.iter().filter(|handle| ctx.has(AUTOMATION, handle)) {
        let prefix = [handle.as_slice(), &[tag(kind)]].concat();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let portion = ctx.scan(AUTOMATION, &prefix, after.as_deref(), PORTION);
            let full = portion.len() == PORTION;
            after = portion.last().map(|(key, _)| key.clone());
            for (key, value) in portion {
                let open = postcard::from_bytes(&value).map_err(|e| {
                    Failure::Fatal(format!("stored state of table {} can't be read: {e}", AUTOMATION.name))
                })?;
                found.push((key, open));
            }
            if !full {
                break;
            }
        }
    }
    Ok(found)
}

/// The handles of one person, as they are known now.
pub(crate) struct Circle {
    pub(crate) person: PersonId,
    /// The keys under which things are kept of them.
    pub(crate) keys: Vec<Vec<u8>>,
    /// True where one of the handles is an address or an account.
    pub(crate) reachable: bool,
}

impl Circle {
    /// The last payment of the person.
    pub(crate) fn paid_at(&self, ctx: &Context<'_>) -> Result<Option<EventTime>, Failure> {
        let mut last = None;
        for key in &self.keys {
            last = last.max(get(ctx, PAID, key)?);
        }
        Ok(last)
    }
}

impl StateStage {
    /// The person of a handle with all their handles.
    pub(crate) fn circle(
        &self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        handle: PersonId,
    ) -> Result<Circle, Failure> {
        let person = self.person_of(ctx, workspace, handle)?;
        let own = tables::person(workspace.as_str(), person);
        let alone = || people::handle(ctx, &own);
        Ok(match self.keys_of(ctx, workspace, person, alone)? {
            Some((kind, keys)) => Circle { person, keys, reachable: kind <= person::Kind::Phone },
            None => Circle { person, keys: vec![own], reachable: false },
        })
    }

    /// The person of an automation.
    pub(crate) fn circle_of(
        &self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        key: &[u8],
    ) -> Result<Circle, Failure> {
        let Some((_, handle)) = handle(key) else {
            return Err(Failure::Fatal("the key of an automation can't be read".to_owned()));
        };
        self.circle(ctx, workspace, handle)
    }

    /// Moves the stream's time on to the event's arrival, and fires what is due by then, so many timers at most.
    pub(crate) fn pass_time(
        &mut self,
        event: &Event,
        most: usize,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let workspace = &event.workspace;
        let now = timers::advance(ctx, workspace, event.received_at, &mut self.stored)?;
        for _ in 0..most {
            let Some(due) = timers::take(ctx, workspace, now)? else { break };
            self.fire(workspace, &due, ctx)?;
        }
        Ok(())
    }

    fn fire(&mut self, workspace: &WorkspaceId, due: &Due, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let Some(open) = get::<Open>(ctx, AUTOMATION, &due.key)? else { return Ok(()) };
        if open.due != due.at {
            return Ok(());
        }
        match (open.kind, open.stage) {
            (Kind::Abandonment, Stage::Waiting) => self.abandon(workspace, &due.key, open, ctx),
            (Kind::Replenishment, Stage::Waiting) => self.remind(workspace, &due.key, &open, ctx),
            // Nothing came of it for long: whoever is busy with it has given up by now.
            _ => discard(ctx, workspace, &due.key, &open, &mut self.stored),
        }
    }
}
