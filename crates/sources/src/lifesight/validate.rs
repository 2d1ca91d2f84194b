//! Event names, and the fields without which a body is refused.

use commerce::reason::Failure;
use commerce::{Currency, EventName, Reason, ReceivedTime};

use crate::json::{self, Scalar};
use crate::order::body::Order;
use crate::read::{self, Reader};

/// The ten events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    OrdersCreate,
    OrdersUpdated,
    OrdersFulfilled,
    OrdersPartiallyFulfilled,
    OrdersPaid,
    OrdersCancelled,
    CheckoutsCreate,
    CheckoutsUpdate,
    CustomersCreate,
    CustomersUpdate,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::OrdersCreate,
        Self::OrdersUpdated,
        Self::OrdersFulfilled,
        Self::OrdersPartiallyFulfilled,
        Self::OrdersPaid,
        Self::OrdersCancelled,
        Self::CheckoutsCreate,
        Self::CheckoutsUpdate,
        Self::CustomersCreate,
        Self::CustomersUpdate,
    ];

    /// Reads an `event_name`, in any case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text.trim()))
    }

    /// The word of the contract.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::OrdersCreate => "orders_create",
            Self::OrdersUpdated => "orders_updated",
            Self::OrdersFulfilled => "orders_fulfilled",
            Self::OrdersPartiallyFulfilled => "orders_partially_fulfilled",
            Self::OrdersPaid => "orders_paid",
            Self::OrdersCancelled => "orders_cancelled",
            Self::CheckoutsCreate => "checkouts_create",
            Self::CheckoutsUpdate => "checkouts_update",
            Self::CustomersCreate => "customers_create",
            Self::CustomersUpdate => "customers_update",
        }
    }

    /// What its event is named after.
    pub(super) const fn event(self) -> EventName {
        match self {
            Self::OrdersCreate => EventName::OrderPlaced,
            Self::OrdersUpdated => EventName::OrderUpdated,
            Self::OrdersFulfilled => EventName::OrderFulfilled,
            Self::OrdersPartiallyFulfilled => EventName::OrderPartiallyFulfilled,
            Self::OrdersPaid => EventName::OrderPaid,
            Self::OrdersCancelled => EventName::OrderCancelled,
            Self::CheckoutsCreate => EventName::CheckoutStarted,
            Self::CheckoutsUpdate => EventName::CheckoutUpdated,
            Self::CustomersCreate => EventName::CustomerCreated,
            Self::CustomersUpdate => EventName::CustomerUpdated,
        }
    }

    /// The time without which the event has no place.
    const fn required_time(self) -> &'static str {
        match self {
            Self::OrdersCreate | Self::OrdersPaid | Self::CheckoutsCreate | Self::CustomersCreate => {
                "created_at"
            }
            Self::OrdersCancelled => "cancelled_at",
            Self::OrdersUpdated
            | Self::OrdersFulfilled
            | Self::OrdersPartiallyFulfilled
            | Self::CheckoutsUpdate
            | Self::CustomersUpdate => "updated_at",
        }
    }

    pub(super) const fn is_customer(self) -> bool {
        matches!(self, Self::CustomersCreate | Self::CustomersUpdate)
    }

    pub(super) const fn is_checkout(self) -> bool {
        matches!(self, Self::CheckoutsCreate | Self::CheckoutsUpdate)
    }
}

/// One thing that is wrong with a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) field: String,
    pub(super) reason: Reason,
    pub(super) message: &'static str,
}

impl Fault {
    pub(super) fn new(field: impl Into<String>, reason: Reason, message: &'static str) -> Self {
        Self { field: field.into(), reason, message }
    }
}

/// Checks a body. `Ok` is the id for the answer; `Err` lists everything that is missing or unreadable, and is never
/// empty.
pub(super) fn body(kind: Kind, body: &[u8]) -> Result<String, Vec<Fault>> {
    let order = json::parse::<Order<'_>>(body)
        .map_err(|failure| vec![Fault::new("body", failure.reason, "must be a JSON object")])?;
    let mut check = Check(Vec::new());

    let id_value = if kind.is_checkout() && !order.id.is_present() { order.token } else { order.id };
    let id = check.read("id", read::id(id_value, format_args!("id")));
    let time = kind.required_time();
    let time_value = match time {
        "created_at" => order.created_at,
        "cancelled_at" => order.cancelled_at,
        _ => order.updated_at,
    };
    check.read(time, Reader::new(ReceivedTime(0)).time(time_value, format_args!("{time}")));
    if kind.is_customer() {
        if !order.email.is_present() && !order.phone.is_present() {
            check.missing("email", "email or phone is required");
        }
    } else {
        let currency = check.currency(order.currency).unwrap_or(Currency::USD);
        check.money("total_price", order.total_price, currency);
        if !kind.is_checkout() && !is_somebodys(&order) {
            check.missing(
                "email",
                "one of email, phone, customer.id, customer.email, customer.phone is required",
            );
        }
        for (index, line) in order.line_items.entries() {
            let (price, quantity) = line.map_or_else(Default::default, |line| (line.price, line.quantity));
            let path = format_args!("line_items[{index}].price").to_string();
            check.money(&path, price, currency);
            let path = format_args!("line_items[{index}].quantity").to_string();
            check.read(&path, read::count(quantity, format_args!("")));
        }
    }
    match id {
        Some(id) if check.0.is_empty() => Ok(id),
        _ => Err(check.0),
    }
}

/// The identity rule of orders: presence counts, so that a masked address next to nothing else is still an order.
fn is_somebodys(order: &Order<'_>) -> bool {
    let own = [order.email, order.contact_email, order.phone];
    let customers = order.customer.get().map(|customer| [customer.id, customer.email, customer.phone]);
    own.into_iter().chain(customers.into_iter().flatten()).any(Scalar::is_present)
}

struct Check(Vec<Fault>);

impl Check {
    fn missing(&mut self, field: &str, message: &'static str) {
        self.0.push(Fault::new(field, Reason::MissingField, message));
    }

    fn read<T>(&mut self, field: &str, value: Result<Option<T>, Failure>) -> Option<T> {
        match value {
            Ok(Some(value)) => return Some(value),
            Ok(None) => self.missing(field, "is required"),
            Err(failure) => self.missing(field, unreadable(failure.reason)),
        }
        None
    }

    fn money(&mut self, field: &str, value: Scalar<'_>, currency: Currency) {
        let read = Reader::new(ReceivedTime(0)).money(value, currency, format_args!(""));
        self.read(field, read);
    }

    fn currency(&mut self, value: Scalar<'_>) -> Option<Currency> {
        match read::currency(value, format_args!("currency")) {
            Err(failure) => {
                self.0.push(Fault::new("currency", failure.reason, unreadable(failure.reason)));
                None
            }
            fine => self.read("currency", fine),
        }
    }
}

/// The sentence for a field that is there and can't be read.
const fn unreadable(reason: Reason) -> &'static str {
    match reason {
        Reason::BadMoney => "must be a decimal amount",
        Reason::BadTime => "must be an ISO 8601 time",
        Reason::BadCurrency => "must be an ISO 4217 currency code",
        _ => "can't be read",
    }
}
