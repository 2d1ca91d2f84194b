//! Where orders are kept: by each of their names, see [`commerce::order::links`].

use commerce::WorkspaceId;
use commerce::order::State;
use commerce::order::links::{Cluster, Entry, Shelf};
use stream::{Context, Failure};

use crate::tables::{ORDER, get, put};

/// The table of orders.
pub(crate) struct Orders<'a, 'b> {
    pub(crate) ctx: &'a mut Context<'b>,
    pub(crate) buffer: &'a mut Vec<u8>,
}

impl Shelf for Orders<'_, '_> {
    type Error = Failure;

    fn get(&self, key: &[u8]) -> Result<Option<Entry>, Failure> {
        get(self.ctx, ORDER, key)
    }

    fn put(&mut self, key: &[u8], entry: Option<&Entry>) -> Result<(), Failure> {
        match entry {
            Some(entry) => put(self.ctx, ORDER, key, entry, self.buffer),
            None => self.ctx.remove(ORDER, key),
        }
    }
}

/// The key of an order in topics, and where it is found.
pub(crate) fn order_key(workspace: &WorkspaceId, id: &str) -> Vec<u8> {
    [workspace.as_str(), ":", id].concat().into_bytes()
}

/// A published order, among those that share names with it.
pub(crate) struct Stored {
    pub(crate) cluster: Cluster,
    pub(crate) at: usize,
}

impl Stored {
    /// The order that is published under a key.
    pub(crate) fn find(
        ctx: &mut Context<'_>,
        key: &[u8],
        buffer: &mut Vec<u8>,
    ) -> Result<Option<Self>, Failure> {
        let Some((workspace, id)) = std::str::from_utf8(key).ok().and_then(|key| key.split_once(':')) else {
            return Ok(None);
        };
        let workspace = WorkspaceId::try_new(workspace).map_err(Failure::Fatal)?;
        let cluster = Cluster::find(&Orders { ctx, buffer }, &workspace, id)?;
        Ok(cluster.place_of_id(id).map(|at| Self { cluster, at }))
    }

    pub(crate) fn state(&mut self) -> &mut State {
        &mut self.cluster.orders[self.at]
    }

    pub(crate) fn store(self, ctx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Result<(), Failure> {
        self.cluster.store(&mut Orders { ctx, buffer })
    }
}
