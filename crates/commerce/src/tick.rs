//! Ticks: events that say nothing but that time has passed in a workspace where nothing arrives.
//!
//! They are written to the events like all else that arrives, so a replay has the same time pass at the same places.

use crate::event::{Entity, Keys, Origin, Payload, SCHEMA_VERSION};
use crate::{Event, EventName, Mark, ReceivedTime, Source, WorkspaceId};

/// The event that says that it is so late in a workspace.
pub fn tick(workspace: &WorkspaceId, environment: &str, now: ReceivedTime) -> Event {
    let mark = Mark::of(&[b"tick", workspace.as_str().as_bytes(), &now.0.to_be_bytes()]);
    let key = mark.to_hex();
    Event {
        event_id: mark.to_uuid(),
        event: EventName::TimePassed,
        schema_version: SCHEMA_VERSION,
        workspace: workspace.clone(),
        environment: environment.to_owned(),
        // No source has said it; the field wants one of those that are known everywhere.
        source: Source::Records,
        source_space: "_tick".to_owned(),
        source_event: EventName::TimePassed.to_string(),
        occurred_at: now.as_event(),
        received_at: now,
        raw_partition: -1,
        raw_offset: -1,
        raw_item: 0,
        raw_part: 0,
        entity: Entity { r#type: "tick".to_owned(), id: workspace.to_string(), aliases: vec![] },
        person: None,
        payload: Payload::default(),
        keys: Keys { transport: key.clone(), semantic: key, content: None, stated: None },
        flags: vec![],
        origin: Origin::live(),
        trigger_eligible: false,
        qa: false,
        fraud: None,
    }
}
