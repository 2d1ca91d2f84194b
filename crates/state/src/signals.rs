//! Signals: what is said of automations and of fraud, to whoever sends messages.
//!
//! A signal is written in the transaction of the state that it follows from, so it is said exactly once.

use commerce::event::EventName;
use commerce::signal::{Signal, SignalName};
use commerce::{Event, EventTime, Outcome, ReceivedTime, Source, WorkspaceId};
use service::stage::encode_error;
use stream::{Context, Failure};
use topics::Topic;

use crate::automations::{self, Circle, Open};
use crate::people;
use crate::processor::{StateStage, published};
use crate::seen::{self, Seen};
use crate::{SIGNALS, baskets, timers};

/// Why an automation is called off.
#[derive(Clone, Debug)]
pub(crate) struct Cause {
    pub(crate) reason: &'static str,
    /// When it came about, by the event's own time.
    pub(crate) at: EventTime,
    pub(crate) order_id: Option<String>,
    /// The event that brought it; `None`: it was found out later.
    pub(crate) trigger: Option<(EventName, String, Source)>,
}

impl StateStage {
    pub(crate) fn emit_signal(&mut self, signal: &Signal, ctx: &mut Context<'_>) -> Result<(), Failure> {
        self.value.clear();
        self.signals.encode(signal, &mut self.value).map_err(|e| encode_error(&e))?;
        let key = signal.key().into_bytes();
        let emitted = ctx.emit(SIGNALS, Some(ctx.partition()), &key, Some(&self.value));
        published(emitted, Topic::Signals, &key)
    }

    /// What a signal says of an automation, whichever it is.
    pub(crate) fn signal_of(
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        (name, reason, at): (SignalName, &str, EventTime),
        open: &Open,
        circle: &Circle,
    ) -> Result<Signal, Failure> {
        let target = (open.target_type.as_str(), open.target.as_str());
        let which: [&[u8]; 2] = [&open.id.0.to_be_bytes(), &open.period.to_be_bytes()];
        Ok(Signal {
            signal_id: Signal::id(name, workspace, &which),
            person_id: Some(circle.person),
            occurred_at: at,
            emitted_at: timers::now(ctx, workspace)?,
            kind: Some(open.kind),
            variant_id: open.variant.clone(),
            reason: reason.to_owned(),
            cart_id: open.cart_id.clone(),
            checkout_id: open.checkout_id.clone(),
            order_id: open.order.as_ref().map(|(_, id)| id.clone()),
            items: open.items.clone(),
            value: open.value,
            recovery_url: open.recovery_url.clone(),
            consent: people::consent(ctx, &circle.keys)?,
            qa: open.qa,
            trigger_event: Some(open.trigger.0),
            trigger_event_id: Some(open.trigger.1.clone()),
            trigger_source: Some(open.trigger.2),
            ..Signal::new(name, workspace, &open.environment, target)
        })
    }

    /// Calls an automation off: says so, and remembers of its names that they are settled.
    pub(crate) fn call_off(
        &mut self,
        workspace: &WorkspaceId,
        (key, open): (&[u8], &Open),
        cause: &Cause,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let circle = self.circle_of(ctx, workspace, key)?;
        let what = (SignalName::AutomationCancelled, cause.reason, cause.at);
        let mut signal = Self::signal_of(ctx, workspace, what, open, &circle)?;
        if let Some(order) = &cause.order_id {
            signal.order_id = Some(order.clone());
        }
        if let Some((event, id, source)) = &cause.trigger {
            signal.trigger_event = Some(*event);
            signal.trigger_event_id = Some(id.clone());
            signal.trigger_source = Some(*source);
        }
        self.emit_signal(&signal, ctx)?;
        automations::discard(ctx, workspace, key, open, &mut self.stored)?;
        baskets::close(ctx, workspace, &open.names, (cause.at, false), &mut self.stored)
    }

    /// Says that a fraud rule blocked an event, once however often it comes.
    pub(crate) fn tell_blocked(&mut self, event: &Event, ctx: &mut Context<'_>) -> Result<(), Failure> {
        // What corrects a version is another delivery that was blocked.
        let new = |seen| matches!(seen, Seen::New | Seen::Corrected);
        if event.raw_part > 0 || !new(seen::look(ctx, event, &mut self.stored)?) {
            return Ok(());
        }
        self.tell_fraud(SignalName::EventBlocked, event, ctx)
    }

    /// Says that a fraud rule marked an event that was new.
    pub(crate) fn tell_flagged(
        &mut self,
        event: &Event,
        outcome: Outcome,
        ctx: &mut Context<'_>,
    ) -> Result<(), Failure> {
        let new = matches!(outcome, Outcome::Published | Outcome::Stale | Outcome::Shadow);
        let flagged = event.fraud.as_ref().is_some_and(|fraud| fraud.severity == 1);
        if !new || !flagged || event.raw_part > 0 {
            return Ok(());
        }
        self.tell_fraud(SignalName::EventFlagged, event, ctx)
    }

    fn tell_fraud(&mut self, name: SignalName, event: &Event, ctx: &mut Context<'_>) -> Result<(), Failure> {
        let workspace = &event.workspace;
        // What is blocked links nobody: its best handle alone says who it is.
        let handle = event.person.as_ref().and_then(|person| person.identifiers.iter().min());
        let person = handle.map(|handle| self.person_of(ctx, workspace, self.id_of(workspace, handle)));
        let rules = event.fraud.as_ref().map(|fraud| fraud.rules.join(",")).unwrap_or_default();
        let now: ReceivedTime = timers::now(ctx, workspace)?;
        let place = format!("{}:{}:{}", event.raw_partition, event.raw_offset, event.raw_item);
        let signal = Signal {
            signal_id: Signal::id(name, workspace, &[event.event_id.as_bytes(), place.as_bytes()]),
            person_id: person.transpose()?,
            occurred_at: event.occurred_at,
            emitted_at: now,
            reason: rules,
            qa: event.qa,
            trigger_event: Some(event.event),
            trigger_event_id: Some(event.event_id.clone()),
            trigger_source: Some(event.source),
            ..Signal::new(name, workspace, &event.environment, ("event", &event.event_id))
        };
        self.emit_signal(&signal, ctx)
    }
}
