//! The names by which the orders of two sources are found to be one.

use serde::{Deserialize, Serialize};

use crate::event::{Event, OrderObservation};
use crate::{Mark, WorkspaceId};

/// A name of an order beside the id that its source has for it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) enum Name {
    /// The id that another source may have for it.
    Id(String),
    /// What its customer sees as its number, with total and currency: numbers alone are too easily equal.
    Number(Mark),
}

/// Whether an order stands under one of its names. Of the orders of one source that state the same name one does: else
/// a sender who gives a thousand orders one number would have them all compared with each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug, Serialize, Deserialize)]
pub(super) enum Standing {
    /// Not looked up yet.
    #[default]
    Open,
    /// It does, as far as is known.
    Held,
    /// Another order of its source has stated the name before.
    Lost,
}

/// Where an alias that is a display number begins.
const NUMBER: &str = "number:";
/// Another spelling of an id that every source's reader brings to the one that is known.
const GID: &str = "gid://";

impl Name {
    /// The names that a delivery states. Where it states no display number, its id may be one: those who call orders by
    /// what the customer sees have no other. A number counts with the total of the same delivery, so a total that is
    /// changed later takes no link away.
    pub(super) fn stated(event: &Event, order: &OrderObservation) -> Vec<Self> {
        let Event { workspace, entity, .. } = event;
        let mut names = Vec::new();
        let mut numbered = false;
        for alias in &entity.aliases {
            if let Some(number) = alias.strip_prefix(NUMBER) {
                numbered = true;
                names.extend(Self::number(workspace, number, order));
            } else if !alias.starts_with(GID) && *alias != entity.id {
                names.push(Self::Id(alias.clone()));
            }
        }
        if !numbered {
            names.extend(Self::number(workspace, &entity.id, order));
        }
        names
    }

    fn number(workspace: &WorkspaceId, number: &str, order: &OrderObservation) -> Option<Self> {
        let total = order.total?;
        let number = number.trim().trim_start_matches('#');
        let (workspace, currency) = (workspace.as_str().as_bytes(), total.currency.as_str().as_bytes());
        let mark = Mark::of(&[workspace, number.as_bytes(), currency, &total.minor.to_be_bytes()]);
        (!number.is_empty()).then_some(Self::Number(mark))
    }

    /// The key under which who has the name is found. That of an id is the key of an order with the id.
    pub(super) fn key(&self, workspace: &WorkspaceId) -> Vec<u8> {
        match self {
            Self::Id(id) => key(workspace, id),
            // A workspace's id has no zero in it. Half of the mark will do: orders that share a key without sharing the
            // name are kept together, and linked by what they say themselves.
            Self::Number(mark) => [workspace.as_str().as_bytes(), &[0], &mark.high().to_be_bytes()].concat(),
        }
    }
}

/// The key of an order by an id.
pub(super) fn key(workspace: &WorkspaceId, id: &str) -> Vec<u8> {
    [workspace.as_str(), ":", id].concat().into_bytes()
}
