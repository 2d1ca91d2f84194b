//! What a path means: an object, and what is done with its records.

use commerce::Reason;
use commerce::reason::Failure;

use crate::workspace::Workspace;

const BASE: &str = "/public/v1/records/";

/// What is done with records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Operation {
    /// Each record is a new row.
    Append,
    /// Each record merges into what has the same value of the match key.
    Upsert,
}

impl Operation {
    /// The word of the contract.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Upsert => "upsert",
        }
    }
}

/// A path, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address<'a> {
    /// The object as the sender names it; it need not exist.
    pub(super) object: &'a str,
    pub(super) operation: Operation,
    /// Many records in one body.
    pub(super) batch: bool,
}

impl<'a> Address<'a> {
    /// Takes a path apart. `None`: it is no path of this source.
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let (object, word) = path.strip_prefix(BASE)?.split_once('/')?;
        let (operation, batch) = match word {
            "append" => (Operation::Append, false),
            "upsert" => (Operation::Upsert, false),
            "append-batch" => (Operation::Append, true),
            "upsert-batch" => (Operation::Upsert, true),
            _ => return None,
        };
        (!object.is_empty()).then_some(Self { object, operation, batch })
    }

    /// Checks that the operation is the object's own.
    pub(super) fn check(self, object: Object) -> Result<(), Failure> {
        let message = match object.operation() {
            own if own == self.operation => return Ok(()),
            Operation::Append => "records of this object are appended",
            Operation::Upsert => "records of this object are upserted",
        };
        Err(Failure::at(Reason::BadValue, "operation", message))
    }

    /// The path of a record in the body.
    pub(super) fn path(self, index: usize) -> String {
        if self.batch { format!("records[{index}]") } else { "record".to_owned() }
    }
}

/// What the records of an object are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Object {
    /// State of customers.
    Profiles,
    /// Facts about orders.
    Orders,
    /// Facts about money that was collected.
    Payments,
    /// What shoppers did with products.
    ProductEvents,
    /// Rows that only the workspace knows the meaning of.
    Further,
}

impl Object {
    /// The object of a name in a workspace.
    pub(super) fn parse(name: &str, workspace: &Workspace) -> Option<Self> {
        Some(match name {
            "profiles" => Self::Profiles,
            "orders" => Self::Orders,
            "payments" => Self::Payments,
            "product_events" => Self::ProductEvents,
            _ => {
                let further = workspace.records.iter().flat_map(|records| &records.objects);
                further.into_iter().any(|known| known == name).then_some(Self::Further)?
            }
        })
    }

    /// The one operation on it: a profile is state, all else is a fact.
    pub(super) const fn operation(self) -> Operation {
        match self {
            Self::Profiles => Operation::Upsert,
            Self::Orders | Self::Payments | Self::ProductEvents | Self::Further => Operation::Append,
        }
    }
}
