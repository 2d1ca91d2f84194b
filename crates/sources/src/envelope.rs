//! The envelope around what was read of a delivery: the same for every source.

use commerce::event::{Entity, Event, EventName, Keys, Origin, Payload, Person, SCHEMA_VERSION};
use commerce::person::Kind;
use commerce::{EventTime, Mark, time};

use crate::Raw;
use crate::http::{BACKFILL, IMPORT};
use crate::read::Reader;

/// An event of more than this age starts nothing (R13.2).
const OLDEST_TRIGGER: i64 = 3 * time::DAY;

/// What an event is made of.
pub(crate) struct Draft<'a> {
    /// What it is about.
    pub(crate) event: EventName,
    /// Raised by a sender's own versions of its events.
    pub(crate) schema_version: i32,
    /// The source's own word for it.
    pub(crate) source_event: &'a str,
    /// The shop or system that ids belong to.
    pub(crate) space: &'a str,
    pub(crate) entity: Entity,
    /// When it happened, as far as the source says.
    pub(crate) occurred_at: Option<EventTime>,
    pub(crate) person: Option<Person>,
    pub(crate) payload: Payload,
    /// The transport key.
    pub(crate) transport: Mark,
    /// The semantic key.
    pub(crate) semantic: Mark,
    /// As [`Keys::content`].
    pub(crate) content: Option<String>,
    /// Place in the body.
    pub(crate) item: i32,
    /// Which of the events of that place.
    pub(crate) part: i32,
    /// The sender says that it is a test; counts as one in production (R2).
    pub(crate) test: bool,
    /// The label of a backfill that the body itself gives; empty: labelled without a name.
    pub(crate) backfill: Option<String>,
}

impl<'a> Draft<'a> {
    /// A draft with nothing but what every event has.
    pub(crate) fn new(
        event: EventName,
        source_event: &'a str,
        space: &'a str,
        entity: Entity,
        (transport, semantic): (Mark, Mark),
    ) -> Self {
        Self {
            event,
            schema_version: SCHEMA_VERSION,
            source_event,
            space,
            entity,
            occurred_at: None,
            person: None,
            payload: Payload::default(),
            transport,
            semantic,
            content: None,
            item: 0,
            part: 0,
            test: false,
            backfill: None,
        }
    }
}

/// An entity without other names.
pub(crate) fn entity(r#type: &str, id: impl Into<String>) -> Entity {
    Entity { r#type: r#type.to_owned(), id: id.into(), aliases: Vec::new() }
}

/// Puts the envelope around a draft; the flags are those of its reader.
pub(crate) fn seal(raw: &Raw<'_>, draft: Draft<'_>, reader: Reader) -> Event {
    let workspace = raw.workspace;
    let occurred_at = draft.occurred_at.unwrap_or(raw.received_at.as_event());
    let qa = draft.test && workspace.is_production()
        || draft.person.iter().flat_map(|person| &person.identifiers).any(|identifier| {
            match identifier.kind {
                Kind::Email => workspace.test_accounts.contains(&identifier.value),
                Kind::User => workspace.test_accounts.is_user(&identifier.value),
                _ => false,
            }
        });
    let origin = origin(raw, draft.backfill);
    let young = raw.received_at.0.saturating_sub(occurred_at.0) <= OLDEST_TRIGGER;
    Event {
        event_id: draft.semantic.to_uuid(),
        event: draft.event,
        schema_version: draft.schema_version,
        workspace: workspace.id.clone(),
        environment: workspace.environment.clone(),
        source: raw.source,
        source_space: draft.space.to_owned(),
        source_event: draft.source_event.to_owned(),
        occurred_at,
        received_at: raw.received_at,
        raw_partition: raw.partition,
        raw_offset: raw.offset,
        raw_item: draft.item,
        raw_part: draft.part,
        entity: draft.entity,
        person: draft.person,
        payload: draft.payload,
        keys: Keys {
            transport: draft.transport.to_hex(),
            semantic: draft.semantic.to_hex(),
            content: draft.content,
            stated: None,
        },
        flags: reader.flags,
        trigger_eligible: young && origin.kind == "live",
        origin,
        qa,
        fraud: raw.fraud(draft.item),
    }
}

/// A label in the body stands before the header's (R13.1); an import is labelled by whoever runs it.
fn origin(raw: &Raw<'_>, backfill: Option<String>) -> Origin {
    let labelled = |kind: &str, label: &str| {
        let label = label.trim();
        Origin { kind: kind.to_owned(), label: (!label.is_empty()).then(|| label.to_owned()) }
    };
    if let Some(label) = raw.http_header(IMPORT) {
        return labelled("bulk_import", label);
    }
    match backfill.as_deref().or_else(|| raw.http_header(BACKFILL)) {
        Some(label) => labelled("backfill", label),
        None => Origin::live(),
    }
}
