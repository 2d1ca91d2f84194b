//! Reading with all faults noted: the sender is told everything at once.

use std::collections::BTreeMap;

use commerce::reason::Failure;
use commerce::{Currency, EventTime, Money, Reason, ReceivedTime};

use crate::json::{Bag, Scalar, Value};
use crate::read::{self, Reader};

/// One thing that is wrong with a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    /// `items[0].quantity`
    pub(super) field: String,
    pub(super) reason: Reason,
    /// Follows the field in a sentence: `must be an integer`.
    pub(super) message: &'static str,
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::at(fault.reason, fault.field, fault.message)
    }
}

/// Nobody reads more of them, and an answer is not to be many times its question.
const MOST_FAULTS: usize = 1_000;

/// Reads fields and notes what is wrong with them. What it returns counts only if there is no fault.
pub(super) struct Check {
    pub(super) faults: Vec<Fault>,
    pub(super) reader: Reader,
    /// The digits of the sender's "cents" where they aren't those of the currency (D-SEQ-1).
    pub(super) digits: Option<u32>,
}

impl Check {
    pub(super) fn new(received_at: ReceivedTime, digits: Option<u32>) -> Self {
        Self { faults: Vec::new(), reader: Reader::new(received_at), digits }
    }

    pub(super) fn fault(&mut self, field: &str, reason: Reason, message: &'static str) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(Fault { field: field.to_owned(), reason, message });
        }
    }

    /// Notes the absence of a value that has to be there.
    pub(super) fn required<T>(&mut self, present: bool, field: &str, value: Option<T>) -> Option<T> {
        if !present {
            self.fault(field, Reason::MissingField, "is required");
        }
        value
    }

    pub(super) fn id(&mut self, value: Scalar<'_>, field: &str) -> Option<String> {
        let id = match read::id(value, format_args!("")) {
            Ok(id) => id,
            Err(_) => {
                self.fault(field, Reason::BadValue, "must be a string of at most 512 bytes");
                None
            }
        };
        self.required(value.is_present(), field, id)
    }

    pub(super) fn text(&mut self, value: Scalar<'_>, field: &str) -> Option<String> {
        if value.is_present() && value.text().is_none() {
            self.fault(field, Reason::BadValue, "must be a string");
        }
        value.owned()
    }

    /// An empty object is one; an empty list in its place is none (R7.4).
    pub(super) fn object<'a>(&mut self, value: Scalar<'a>, field: &str) -> Option<Bag<'a>> {
        let object = value.object();
        if object.is_none() && value.is_present() {
            self.fault(field, Reason::BadValue, "must be an object");
        }
        object
    }

    pub(super) fn list<'a>(&mut self, value: Scalar<'a>, field: &str) -> Option<Vec<Scalar<'a>>> {
        let list = value.list();
        if list.is_none() && value.is_present() {
            self.fault(field, Reason::BadValue, "must be an array");
        }
        list
    }

    /// A JSON number without a fraction: a string isn't one.
    pub(super) fn integer(&mut self, value: Scalar<'_>, field: &str, least: i64) -> Option<i64> {
        let number = match value.value() {
            Value::Absent => return None,
            Value::Number(text) => read::whole(text).parse::<i64>().ok(),
            Value::Text(_) | Value::Bool(_) | Value::Other => None,
        };
        let message = match number {
            None => "must be an integer",
            Some(number) if number < least && least > 0 => "must be at least 1",
            Some(number) if number < least => "must not be negative",
            Some(number) => return Some(number),
        };
        self.fault(field, Reason::BadValue, message);
        None
    }

    /// As [`Self::integer`], of things that are counted.
    pub(super) fn count(&mut self, value: Scalar<'_>, field: &str, least: i64) -> Option<i64> {
        let number = self.integer(value, field, least)?;
        if number > read::GREATEST_COUNT {
            self.fault(field, Reason::BadValue, "is too large");
        }
        Some(number)
    }

    /// An amount in "cents". Where the currency is at fault, the number is still checked.
    pub(super) fn cents(
        &mut self,
        value: Scalar<'_>,
        field: &str,
        currency: Option<Currency>,
    ) -> Option<Money> {
        self.integer(value, field, 0)?;
        let currency = currency.unwrap_or(Currency::USD);
        let digits = self.digits.unwrap_or(currency.exponent());
        match self.reader.minor(value, currency, digits, format_args!("")) {
            Ok(money) => money,
            Err(failure) => {
                self.fault(field, failure.reason, "is too large");
                None
            }
        }
    }

    pub(super) fn currency(&mut self, value: Scalar<'_>, field: &str) -> Option<Currency> {
        read::currency(value, format_args!("")).unwrap_or_else(|failure| {
            self.fault(field, failure.reason, "must be an ISO 4217 currency code");
            None
        })
    }

    pub(super) fn time(&mut self, value: Scalar<'_>, field: &str) -> Option<EventTime> {
        self.reader.time(value, format_args!("")).unwrap_or_else(|failure| {
            self.fault(field, failure.reason, "must be an ISO 8601 time");
            None
        })
    }

    /// The values of an object as JSON text; those that say nothing are left out.
    pub(super) fn values(&mut self, value: Scalar<'_>, field: &str) -> BTreeMap<String, String> {
        let mut values = self.object(value, field).map(|object| object.rest(&[])).unwrap_or_default();
        values.retain(|_, text| text != "null" && text != "\"\"");
        values
    }
}
