//! The one named outcome in which each item ends, per stage. Conservation: in = sum of outcomes.

use crate::Reason;

/// At which level a duplicate was caught (R9).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum DuplicateLevel {
    /// The same delivery again.
    Transport,
    /// The same fact in another delivery.
    Semantic,
    /// The state itself had nothing to learn, however late.
    Entity,
}

impl DuplicateLevel {
    /// All levels.
    pub const ALL: [Self; 3] = [Self::Transport, Self::Semantic, Self::Entity];

    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transport => "transport",
            Self::Semantic => "semantic",
            Self::Entity => "entity",
        }
    }
}

/// What became of an item at a stage.
#[must_use = "an outcome that is dropped is an event that vanished"]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Outcome {
    /// It went on and changed something.
    Published,
    /// It was known already.
    Duplicate(DuplicateLevel),
    /// An older version than the known one: recorded, no descriptive field changed.
    Stale,
    /// Another source owns this moment: recorded, neither counts nor triggers.
    Shadow,
    /// Set aside with its bytes.
    DeadLettered(Reason),
    /// Refused at the door.
    Rejected(Reason),
    /// Left out on purpose.
    Filtered(Reason),
}

impl Outcome {
    /// The metric label of the outcome.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Duplicate(_) => "duplicate",
            Self::Stale => "stale",
            Self::Shadow => "shadow",
            Self::DeadLettered(_) => "dead_lettered",
            Self::Rejected(_) => "rejected",
            Self::Filtered(_) => "filtered",
        }
    }

    /// The metric label of its detail: the level of a duplicate, the reason of a refusal, else empty.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Published | Self::Stale | Self::Shadow => "",
            Self::Duplicate(level) => level.as_str(),
            Self::DeadLettered(reason) | Self::Rejected(reason) | Self::Filtered(reason) => reason.code(),
        }
    }
}
