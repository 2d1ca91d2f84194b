//! A stored delivery to its event.

use commerce::event::Person;
use commerce::reason::Failure;
use commerce::{Mark, Reason};

use super::{event_of, handles};
use crate::envelope::{Draft, entity, seal};
use crate::read::Reader;
use crate::{Item, Raw};

pub(super) fn normalize(raw: &Raw<'_>) -> Result<Vec<Item>, Failure> {
    let path = raw.header("path").unwrap_or_default();
    let event = event_of(path)
        .ok_or_else(|| Failure::new(Reason::UnsupportedEvent, "the path is none of an operator's"))?;
    let (a, b) = handles(raw.body)?;
    let workspace = raw.workspace.id.as_str().as_bytes();
    let mark = Mark::of(&[b"operator", workspace, path.as_bytes(), raw.body]);
    // Nobody is made known by it.
    let person = Person { identifiers: vec![a], absorbed: vec![b], update_only: true, ..Person::default() };
    let draft =
        Draft::new(event, path.trim_start_matches("/v1/"), "", entity("person", mark.to_hex()), (mark, mark));
    Ok(vec![Ok(seal(raw, Draft { person: Some(person), ..draft }, Reader::new(raw.received_at)))])
}
