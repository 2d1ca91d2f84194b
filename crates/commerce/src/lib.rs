//! The domain: money, time, identifiers, canonical events, the order join and its view, facts and rollups.
//!
//! Everything here is pure. Nothing reads a clock, a file or a socket; values come in, values go out, and the same
//! values always give the same answer. The claim of the product rests on it: *final orders, profiles and figures are
//! a function of the set of stamped deliveries*, not of the order or the number of times in which they are processed.
//!
//! | in | out |
//! |---|---|
//! | [`Event`]: what one delivery says | [`order::State::observe`]: the joined state |
//! | [`order::State`] | [`order::View`]: one order as everybody sees it |
//! | the view before and after | [`Fact`]s: each business fact once, with both views |
//! | facts | [`profile`] rollups and the cells of the aggregator |
//!
//! Bad input never panics: constructors are called `try_new` or `parse` and return a sentence that says what is wrong.

pub mod audience;
pub mod avro;
pub mod event;
pub mod fact;
pub mod fx;
pub mod id;
pub mod identity;
pub mod letter;
pub mod members;
pub mod metric;
pub mod money;
pub mod order;
pub mod outcome;
pub mod person;
pub mod policy;
pub mod profile;
pub mod reason;
pub mod reconciliation;
pub mod signal;
pub mod source;
pub mod tick;
pub mod time;

pub use event::{Event, EventName};
pub use fact::Fact;
pub use fx::FxRate;
pub use id::{Mark, WorkspaceId};
pub use letter::DeadLetter;
pub use metric::Metric;
pub use money::{Currency, Money};
pub use outcome::{DuplicateLevel, Outcome};
pub use person::PersonId;
pub use policy::Policy;
pub use profile::Profile;
pub use reason::Reason;
pub use reconciliation::Reconciliation;
pub use signal::{Signal, SignalName};
pub use source::Source;
pub use time::{EventTime, ReceivedTime};
