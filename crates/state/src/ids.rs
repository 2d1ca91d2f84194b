//! Ids of handles, remembered for as long as one event needs them.

use commerce::person::Identifier;
use commerce::{PersonId, WorkspaceId};

/// The ids of the handles that were asked about last: one event asks about each of its own several times.
#[derive(Default)]
pub(crate) struct Ids {
    workspace: Option<WorkspaceId>,
    known: Vec<(Identifier, PersonId)>,
}

impl Ids {
    /// As many are remembered.
    const MOST: usize = 16;

    /// The id of a handle.
    pub(crate) fn get(&mut self, key: &str, workspace: &WorkspaceId, handle: &Identifier) -> PersonId {
        if self.workspace.as_ref() != Some(workspace) {
            self.known.clear();
            self.workspace = Some(workspace.clone());
        }
        if let Some((_, id)) = self.known.iter().rev().find(|(known, _)| known == handle) {
            return *id;
        }
        let id = PersonId::derive(key, workspace, handle);
        if self.known.len() == Self::MOST {
            self.known.clear();
        }
        self.known.push((handle.clone(), id));
        id
    }
}
