//! A body to a push: its fields as `/docs` lists them, and everything that is wrong with them.

use std::collections::BTreeMap;

use commerce::event::{Item, Person};
use commerce::person::{self, Identifier, Kind as Identity};
use commerce::{Currency, EventName, EventTime, Money, Reason, ReceivedTime};

use super::check::{Check, Fault};
use crate::json::{self, Bag, Scalar, Value};
use crate::read::Reader;
use crate::workspace::Workspace;

/// What is pushed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Order,
    Checkout,
}

impl Kind {
    /// The event of a push, and its name at the sender's.
    pub(super) const fn event(self, status: Status) -> (EventName, &'static str) {
        match (self, status) {
            (Self::Checkout, _) => (EventName::CheckoutStarted, "ecommerce.checkout_started"),
            (_, Status::Placed) => (EventName::OrderPlaced, "ecommerce.order_placed"),
            (_, Status::Cancelled) => (EventName::OrderCancelled, "ecommerce.order_cancelled"),
            (_, Status::Fulfilled) => (EventName::OrderFulfilled, "ecommerce.order_fulfilled"),
            (_, Status::Refunded) => (EventName::OrderRefunded, "ecommerce.order_refunded"),
        }
    }

    pub(super) fn of_path(path: &str) -> Option<Self> {
        match path {
            "/api/v1/orders" => Some(Self::Order),
            "/api/v1/checkouts" => Some(Self::Checkout),
            _ => None,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Checkout => "checkout",
        }
    }
}

/// What an order push is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    Placed,
    Cancelled,
    Fulfilled,
    Refunded,
}

impl Status {
    pub(super) const ALL: [Self; 4] = [Self::Placed, Self::Cancelled, Self::Fulfilled, Self::Refunded];

    fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "placed" => Self::Placed,
            "cancelled" | "canceled" => Self::Cancelled,
            "fulfilled" => Self::Fulfilled,
            "refunded" => Self::Refunded,
            _ => return None,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Cancelled => "cancelled",
            Self::Fulfilled => "fulfilled",
            Self::Refunded => "refunded",
        }
    }
}

/// A push without a fault.
pub(super) struct Push {
    pub(super) kind: Kind,
    /// Of the order or checkout.
    pub(super) id: String,
    /// What a person calls the order.
    pub(super) number: Option<String>,
    pub(super) status: Status,
    pub(super) currency: Option<Currency>,
    pub(super) total: Option<Money>,
    pub(super) ordered_at: Option<EventTime>,
    /// With names, attributes and reported totals.
    pub(super) customer: Person,
    pub(super) items: Option<Vec<Item>>,
    pub(super) refund: Option<Money>,
    /// The sender's own id of a refund: then amounts add up instead of being the sum so far (D-SEQ-2).
    pub(super) refund_id: Option<String>,
    /// Where the checkout is taken up again.
    pub(super) url: Option<String>,
    /// Without the reserved keys.
    pub(super) properties: BTreeMap<String, String>,
    pub(super) backfill: Option<String>,
    pub(super) reader: Reader,
}

impl Push {
    /// The event, and its name at the sender's.
    pub(super) const fn event(&self) -> (EventName, &'static str) {
        self.kind.event(self.status)
    }
}

/// The keys of an event that its properties can't override.
const RESERVED: [&str; 18] = [
    "provider",
    "event",
    "status",
    "orderId",
    "orderNumber",
    "totalCents",
    "total",
    "currency",
    "orderedAt",
    "lineItems",
    "items",
    "refundAmountCents",
    "customer",
    "customerTotals",
    "subscriberId",
    "eventId",
    "checkoutId",
    "checkoutUrl",
];

/// Reads a body. `Err` lists all its faults and is never empty.
pub(super) fn push(
    kind: Kind,
    workspace: &Workspace,
    received_at: ReceivedTime,
    body: &[u8],
) -> Result<Push, Vec<Fault>> {
    let body = json::bag(body).map_err(|failure| {
        vec![Fault { field: "body".into(), reason: failure.reason, message: "must be a JSON object" }]
    })?;
    let hundredths = workspace.sequenzy.as_ref().is_some_and(|sequenzy| sequenzy.hundredths);
    let mut check = Check::new(received_at, hundredths.then_some(2));
    let push = match kind {
        Kind::Order => order(&mut check, &body, received_at),
        Kind::Checkout => checkout(&mut check, &body, workspace.base_currency),
    };
    if !check.faults.is_empty() {
        return Err(check.faults);
    }
    flag_unknown_products(&mut check.reader, workspace, push.items.as_deref());
    Ok(Push { reader: check.reader, ..push })
}

fn order(check: &mut Check, body: &Bag<'_>, received_at: ReceivedTime) -> Push {
    let id = check.id(body.get("orderId"), "orderId");
    let total = body.get("totalCents");
    let currency = check.currency(body.get("currency"), "currency");
    let money = check.cents(total, "totalCents", currency);
    check.required(total.is_present(), "totalCents", Some(()));
    check.required(body.get("currency").is_present(), "currency", Some(()));
    let status = status(check, body.get("status"));
    let ordered_at = check.time(body.get("orderedAt"), "orderedAt");
    let mut customer = customer(check, body.get("customer")).unwrap_or_default();
    if let Some(totals) = check.object(body.get("customerTotals"), "customerTotals") {
        customer.reported_orders_count =
            check.count(totals.get("ordersCount"), "customerTotals.ordersCount", 0);
        let spent = totals.get("totalSpentCents");
        customer.reported_total_spent = check.cents(spent, "customerTotals.totalSpentCents", currency);
        if customer.reported_orders_count.is_some() || customer.reported_total_spent.is_some() {
            customer.reported_at = Some(ordered_at.unwrap_or(received_at.as_event()));
        }
    }
    let refund = check.cents(body.get("refundAmountCents"), "refundAmountCents", currency);
    Push {
        id: id.unwrap_or_default(),
        number: check.text(body.get("orderNumber"), "orderNumber"),
        status,
        currency,
        total: money,
        ordered_at,
        refund,
        ..rest(check, Kind::Order, body, customer, currency)
    }
}

fn checkout(check: &mut Check, body: &Bag<'_>, base: Currency) -> Push {
    let id = check.id(body.get("checkoutId"), "checkoutId");
    let customer = customer(check, body.get("customer")).unwrap_or_default();
    let currency = check.currency(body.get("currency"), "currency").unwrap_or(base);
    let total = check.cents(body.get("totalCents"), "totalCents", Some(currency));
    Push {
        id: id.unwrap_or_default(),
        total,
        url: check.text(body.get("checkoutUrl"), "checkoutUrl"),
        ..rest(check, Kind::Checkout, body, customer, Some(currency))
    }
}

/// What orders and checkouts have in common.
fn rest(check: &mut Check, kind: Kind, body: &Bag<'_>, customer: Person, currency: Option<Currency>) -> Push {
    let items = items(check, body.get("items"), currency);
    let properties = check.object(body.get("properties"), "properties").unwrap_or_default();
    let mut refund_id = None;
    if properties.get("refundId").is_present() {
        refund_id = check.id(properties.get("refundId"), "properties.refundId");
    }
    if properties.entries().any(|(key, _)| RESERVED.contains(&key)) {
        check.reader.flag("reserved_property_ignored");
    }
    Push {
        kind,
        id: String::new(),
        number: None,
        status: Status::Placed,
        currency,
        total: None,
        ordered_at: None,
        customer,
        items,
        refund: None,
        refund_id,
        url: None,
        properties: properties.rest(&RESERVED),
        backfill: backfill(properties.get("backfill")),
        reader: Reader::new(check.reader.received_at),
    }
}

fn status(check: &mut Check, value: Scalar<'_>) -> Status {
    match value.value() {
        Value::Absent => return Status::Placed,
        Value::Text(text) => {
            if let Some(status) = Status::parse(&text) {
                return status;
            }
        }
        Value::Number(_) | Value::Bool(_) | Value::Other => {}
    }
    check.fault("status", Reason::BadValue, "must be one of placed, cancelled, fulfilled, refunded");
    Status::Placed
}

fn customer(check: &mut Check, value: Scalar<'_>) -> Option<Person> {
    let customer = check.object(value, "customer");
    let Some(customer) = customer else {
        return check.required(value.is_present(), "customer", None);
    };
    let mut found = Person::default();
    let external_id = customer.get("externalId");
    if external_id.is_present() {
        let id = check.id(external_id, "customer.externalId");
        found.identifiers.extend(id.map(|id| Identifier::plain(Identity::User, id)));
    }
    match customer.get("email").value() {
        Value::Absent => check.fault("customer.email", Reason::MissingField, "is required"),
        Value::Text(text) => match person::email(&text) {
            Some(email) => {
                found.identifiers.push(Identifier::plain(Identity::Email, email));
                found.email = Some(text.into_owned());
            }
            None => check.fault("customer.email", Reason::BadValue, "must be a valid e-mail address"),
        },
        _ => check.fault("customer.email", Reason::BadValue, "must be a valid e-mail address"),
    }
    found.first_name = check.text(customer.get("firstName"), "customer.firstName");
    found.last_name = check.text(customer.get("lastName"), "customer.lastName");
    found.attributes = check.values(customer.get("attributes"), "customer.attributes");
    Some(found)
}

fn items(check: &mut Check, value: Scalar<'_>, currency: Option<Currency>) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    for (index, value) in check.list(value, "items")?.into_iter().enumerate() {
        let path = format!("items[{index}]");
        let Some(item) = value.object() else {
            check.fault(&path, Reason::BadValue, "must be an object");
            continue;
        };
        let at = |name: &str| format!("{path}.{name}");
        let title = check.text(item.get("title"), &at("title"));
        check.required(item.get("title").is_present(), &at("title"), Some(()));
        let quantity = check.count(item.get("quantity"), &at("quantity"), 1);
        check.required(item.get("quantity").is_present(), &at("quantity"), Some(()));
        let variant_id = item.get("variantId");
        items.push(Item {
            product_id: check.id(item.get("productId"), &at("productId")),
            variant_id: if variant_id.is_present() { check.id(variant_id, &at("variantId")) } else { None },
            sku: check.text(item.get("sku"), &at("sku")),
            title,
            variant_title: check.text(item.get("variantTitle"), &at("variantTitle")),
            quantity: quantity.unwrap_or_default(),
            price: check.cents(item.get("priceCents"), &at("priceCents"), currency),
            discount: None,
            category: None,
            brand: None,
            allocations: Vec::new(),
        });
    }
    Some(items)
}

/// `true`, or the label of a load (R13.1).
fn backfill(value: Scalar<'_>) -> Option<String> {
    match value.value() {
        Value::Bool(true) => Some(String::new()),
        Value::Text(text) if text.eq_ignore_ascii_case("true") => Some(String::new()),
        Value::Text(text) if !text.eq_ignore_ascii_case("false") => Some(text.into_owned()),
        _ => None,
    }
}

/// Products that the settings don't name can't be matched with reminders. Without any settings there
/// is nothing to be unknown to.
fn flag_unknown_products(reader: &mut Reader, workspace: &Workspace, items: Option<&[Item]>) {
    let settings = &workspace.replenishment;
    let known = |item: &Item| settings.iter().any(|set| item.product_id.as_ref() == Some(&set.product_id));
    if !settings.is_empty() && !items.unwrap_or_default().iter().all(known) {
        reader.flag("product_unknown");
    }
}
