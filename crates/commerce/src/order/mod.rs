//! One order: the join of everything that was said about it, the view that everybody sees, and the facts between
//! two views.
//!
//! ```text
//! Event ─▶ State::observe ─▶ State ─▶ view(policy) ─▶ View ─▶ facts(before, after)
//! ```
//!
//! Which deliveries are about one order is [`links`]' affair: an order that two sources tell of is one.
//!
//! [`State::merge`] is commutative, associative and idempotent: any permutation and any repetition of the same
//! deliveries ends in the same state, and so in the same view.

mod base;
mod disagreement;
mod kept;
pub mod links;
mod name;
mod refund;
mod register;
mod rivals;
mod state;
mod steps;
mod view;

pub use base::{Base, FX_MISSING};
pub use disagreement::{Disagreement, Matter, Said};
pub use register::{Register, Version};
pub use state::{Observed, SourceOrder, Space, State};
pub use steps::{Step, steps};
pub use view::{FLAGGED, Figures, Line, Policy, View};

#[cfg(test)]
mod tests;
