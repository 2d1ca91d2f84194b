//! What was said of each person, order and payment, one row after the other: the index behind
//! `GET /v1/people/{id}/events`, `/v1/orders/{id}/history` and `/v1/payments`.
//!
//! | row | made of | found by |
//! |---|---|---|
//! | an event of a person | a fact, so each once and with the person that it attached to; nothing is left out | person |
//! | a version of an order | what one delivery said in `commerce.events.v1`; never changed by a later one. A row whose key came before with another body is among them as `set_aside` (D-REC-1) | order |
//! | a payment | the fact `payment.succeeded`, one per invoice | workspace, person |
//!
//! The rows are kept on disk ([`index`]), as many as there are. They are read by a thread of their own ([`reading`]), so
//! that figures don't wait for them; after a start the index is made anew, and until it is complete its paths answer
//! 503. Each copy of the service has an index of its own.
//!
//! **People.** A row stands under the person id that its fact carries. `customer.merged` leads from a former id to the one
//! of today, so that nothing is moved and a person who stands alone again has their own rows again. An erasure
//! removes the rows of all these ids. Identifiers of people (addresses, customer ids) are kept as marks, and an answer
//! shows those that a profile has today. What a sender puts into `properties` is kept as it came, whatever it is, and
//! goes with the rows of its person.

mod index;
mod keys;
mod reading;
mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use commerce::person::{Identifier, Kind};
use commerce::{PersonId, WorkspaceId};

pub use index::{Cursor, Error, Index, Waiting};
pub(crate) use reading::Reader;
pub use rows::{OrderRow, PaymentRow, mark_of};

/// The index that is answered from.
#[derive(Debug, Default)]
pub struct History {
    /// `None` until everything that was there at the start has been read.
    complete: ArcSwapOption<Index>,
    /// The key of person ids; `None`: that of development.
    person_key: Option<String>,
}

/// A handle that stands for a person alone may have no profile to be found by.
const KINDS: [Kind; 5] = [Kind::User, Kind::Email, Kind::Phone, Kind::Anonymous, Kind::Cart];

impl History {
    /// A history that knows how ids of persons are made.
    pub fn new(person_key: Option<String>) -> Self {
        Self { complete: ArcSwapOption::empty(), person_key }
    }

    /// The index; `None` while it is made.
    pub fn index(&self) -> Option<Arc<Index>> {
        self.complete.load_full()
    }

    /// Makes an index what everybody sees.
    pub fn complete(&self, index: Arc<Index>) {
        self.complete.store(Some(index));
    }

    /// The persons for whom an identifier stands while it is linked with no better one.
    pub fn alone<'a>(
        &'a self,
        workspace: &'a WorkspaceId,
        id: &'a str,
    ) -> impl Iterator<Item = PersonId> + 'a {
        let key = self.person_key.as_deref().unwrap_or(PersonId::DEVELOPMENT_KEY);
        KINDS.into_iter().map(move |kind| PersonId::derive(key, workspace, &Identifier::plain(kind, id)))
    }
}

/// Where the index is kept.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a folder among the temporary ones that goes with the process; what a process that was killed has left there is
    /// removed at the next start.
    Temporary,
    /// In this folder, which is this copy's alone: what is in it is removed at the start.
    Folder(PathBuf),
}

#[cfg(test)]
pub(crate) mod samples;
