//! Signals: what somebody may want to act on now (`commerce.signals.v1`). The product sends no messages; a sender
//! obeys these.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Consent, Item, SCHEMA_VERSION, words};
use crate::{EventName, EventTime, Mark, Money, PersonId, ReceivedTime, Source, WorkspaceId};

words! {
    /// The names of signals. They are derived and never accepted from outside.
    SignalName {
        /// No purchase within the window after the last activity of a cart.
        CartAbandoned = "cart.abandoned",
        /// The same, where a checkout had begun.
        CheckoutAbandoned = "checkout.abandoned",
        /// An open automation must stop.
        AutomationCancelled = "automation.cancelled",
        /// A reminder for a bought product has been planned.
        ReplenishmentScheduled = "replenishment.scheduled",
        /// A reminder for a bought product is due.
        ReplenishmentDue = "replenishment.due",
        /// A person began to match an audience.
        AudienceEntered = "audience.entered",
        /// A person ceased to match an audience.
        AudienceExited = "audience.exited",
        /// A fraud rule that marks has matched.
        EventFlagged = "event.flagged",
        /// A fraud rule that blocks has matched.
        EventBlocked = "event.blocked",
    }
}

words! {
    /// What an automation is for.
    Automation {
        /// A cart or checkout that was left.
        Abandonment = "abandonment",
        /// A product that is used up.
        Replenishment = "replenishment",
        /// A product that somebody waits for.
        BackInStock = "back_in_stock",
    }
}

/// One signal.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Signal {
    /// UUID derived from what the signal is about, see [`Signal::id`].
    pub signal_id: String,
    /// What it says.
    pub signal: SignalName,
    /// Version of the structure.
    pub schema_version: i32,
    /// The tenant.
    pub workspace: WorkspaceId,
    /// `production`, `staging`, …
    pub environment: String,
    /// Whom it is about, as known when it was said.
    pub person_id: Option<PersonId>,
    /// When it came about: of a timer when it was due, else the time of the event that brought it.
    pub occurred_at: EventTime,
    /// The stream's time when it was said.
    pub emitted_at: ReceivedTime,
    /// Of `replenishment.scheduled` and `.due`: when the reminder is due.
    pub due_at: Option<EventTime>,
    /// Which automation it starts or stops.
    pub kind: Option<Automation>,
    /// What kind of thing the target is: `cart`, `checkout`, `product`, `audience` or `event`.
    pub target_type: String,
    /// Id of the cart, checkout, product, audience or event.
    pub target: String,
    /// Of a product, where one variant of it is meant.
    pub variant_id: Option<String>,
    /// Of a start the name of its rule, of a stop its cause: `quiet`, `order_paid`, …
    pub reason: String,
    /// The cart that is meant.
    pub cart_id: Option<String>,
    /// The checkout that is meant.
    pub checkout_id: Option<String>,
    /// The order that is the cause.
    pub order_id: Option<String>,
    /// What is in the cart or checkout, or is reminded of.
    pub items: Vec<Item>,
    /// What the cart or checkout is worth.
    pub value: Option<Money>,
    /// Where an abandoned checkout is taken up again.
    pub recovery_url: Option<String>,
    /// What the person had agreed to when it was said.
    pub consent: Vec<Consent>,
    /// Test traffic: served apart, in no figure.
    pub qa: bool,
    /// The event that is the cause; of a timer the one that set it.
    pub trigger_event: Option<EventName>,
    /// Its id.
    pub trigger_event_id: Option<String>,
    /// Its source.
    pub trigger_source: Option<Source>,
    /// Further remarks by name.
    pub properties: BTreeMap<String, String>,
}

impl Signal {
    /// A signal that says nothing but what it is about.
    pub fn new(name: SignalName, workspace: &WorkspaceId, environment: &str, target: (&str, &str)) -> Self {
        Self {
            signal_id: String::new(),
            signal: name,
            schema_version: SCHEMA_VERSION,
            workspace: workspace.clone(),
            environment: environment.to_owned(),
            person_id: None,
            occurred_at: EventTime(0),
            emitted_at: ReceivedTime(0),
            due_at: None,
            kind: None,
            target_type: target.0.to_owned(),
            target: target.1.to_owned(),
            variant_id: None,
            reason: String::new(),
            cart_id: None,
            checkout_id: None,
            order_id: None,
            items: Vec::new(),
            value: None,
            recovery_url: None,
            consent: Vec::new(),
            qa: false,
            trigger_event: None,
            trigger_event_id: None,
            trigger_source: None,
            properties: BTreeMap::new(),
        }
    }

    /// The id of a signal: of its name, its workspace and the parts that make it the only one of its kind.
    pub fn id(name: SignalName, workspace: &WorkspaceId, which: &[&[u8]]) -> String {
        let head: [&[u8]; 3] = [b"signal", workspace.as_str().as_bytes(), name.as_str().as_bytes()];
        let parts: Vec<&[u8]> = head.iter().copied().chain(which.iter().copied()).collect();
        Mark::of(&parts).to_uuid()
    }

    /// The key of its record: the person, else what it is about.
    pub fn key(&self) -> String {
        match self.person_id {
            Some(person) => format!("{}:{person}", self.workspace),
            None => format!("{}:{}", self.workspace, self.target),
        }
    }
}
