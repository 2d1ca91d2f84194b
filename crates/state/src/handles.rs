//! The handles of one person, as they are kept: with their names, or the keys alone where no names are needed.

use commerce::identity::Group;
use commerce::person::{Identifier, Kind};
use commerce::{PersonId, WorkspaceId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::processor::StateStage;
use crate::tables::{self, GROUP, LINK, get};

/// One person of a component, kept under the id of the handle that stands for them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) handles: Vec<(Identifier, PersonId)>,
    pub(crate) conflict: bool,
}

/// The beginning of a [`Kept`], for who needs no names: they are passed over.
#[derive(Deserialize)]
struct KeptHead<'a> {
    #[serde(borrow)]
    handles: Vec<((Kind, &'a str, &'a str), PersonId)>,
}

/// The handles of one person, and the keys under which things are kept of them.
pub(crate) type Handles = (Group, Vec<Vec<u8>>);
/// The kind of the handle that stands for somebody, with the keys of all their handles.
pub(crate) type Keys = (Kind, Vec<Vec<u8>>);

impl StateStage {
    /// The handles that are one person, and the keys under which things are kept of them.
    pub(crate) fn group_of(
        &self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        person: PersonId,
        alone: impl FnOnce() -> Result<Option<Identifier>, Failure>,
    ) -> Result<Option<Handles>, Failure> {
        let own = tables::person(workspace.as_str(), person);
        if let Some(Kept { handles, conflict }) = get(ctx, GROUP, &own)? {
            let keys = handles.iter().map(|(_, id)| tables::person(workspace.as_str(), *id)).collect();
            let stands = handles.iter().find(|(_, id)| *id == person).map(|(handle, _)| handle.clone());
            let handles = handles.into_iter().map(|(handle, _)| handle).collect();
            return Ok(stands.map(|representative| (Group { handles, representative, conflict }, keys)));
        }
        if ctx.get(LINK, &own).is_some() {
            return Ok(None);
        }
        let Some(handle) = alone()? else { return Ok(None) };
        let group = Group { handles: vec![handle.clone()], representative: handle, conflict: false };
        Ok(Some((group, vec![own])))
    }

    /// The same without their names: the kind of the handle that stands for them, and the keys.
    pub(crate) fn keys_of(
        &self,
        ctx: &Context<'_>,
        workspace: &WorkspaceId,
        person: PersonId,
        alone: impl FnOnce() -> Result<Option<Identifier>, Failure>,
    ) -> Result<Option<Keys>, Failure> {
        let own = tables::person(workspace.as_str(), person);
        if let Some(row) = ctx.get(GROUP, &own) {
            let KeptHead { handles } = tables::read(GROUP, &row)?;
            let stands = handles.iter().find(|(_, id)| *id == person).map(|((kind, ..), _)| *kind);
            let key = |(_, id): &(_, PersonId)| tables::person(workspace.as_str(), *id);
            return Ok(stands.map(|kind| (kind, handles.iter().map(key).collect())));
        }
        if ctx.get(LINK, &own).is_some() {
            return Ok(None);
        }
        Ok(alone()?.map(|handle| (handle.kind, vec![own])))
    }
}
