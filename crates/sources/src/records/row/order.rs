//! A row of `orders`: a state of an order at a moment. Rows add up to the order's history.

use commerce::event::{FinancialStatus, FulfillmentStatus, OrderObservation, Payload, Refund};
use commerce::reason::Failure;
use commerce::{EventName, EventTime, Money, Reason};

use super::{Context, Row, by_email, currency, instant, money, properties, required};
use crate::envelope::entity;
use crate::json::Bag;
use crate::order::{self, observe};
use crate::read::{self, Reader};

pub(super) const FIELDS: &[&str] = &[
    "shopify_order_id",
    "order_id",
    "customer_email",
    "total",
    "subtotal",
    "discount_total",
    "currency",
    "item_count",
    "financial_status",
    "fulfillment_status",
    "placed_at",
    "updated_at",
    "refund_total",
    "tags",
];

/// The id of the one refund that a growing sum is: a row doesn't say which refunds the sum is made of.
const CUMULATIVE: &str = "cumulative";

pub(super) fn read(reader: &mut Reader, context: Context<'_>, record: &Bag<'_>) -> Result<Row, Failure> {
    let (first, second) = (record.get("shopify_order_id"), record.get("order_id"));
    let field = if second.is_present() && !first.is_present() { "order_id" } else { "shopify_order_id" };
    let id = order::order_id(record.get(field), field)?;
    let mut entity = entity("order", id);
    entity.aliases.extend(read::loose_id(second).filter(|other| *other != entity.id));

    let currency = currency(reader, context, record)?;
    let total = required(money(reader, record, "total", currency)?, "total")?;
    let financial = observe::financial_status(reader, record.get("financial_status"));
    let refunded = refunded(money(reader, record, "refund_total", currency)?, financial)?;
    let times = Times {
        placed: instant(reader, record, "placed_at")?,
        updated: instant(reader, record, "updated_at")?,
    };
    // Only an order's later rows may leave it out, and which row is the first one is not known here.
    if times.placed.is_none() {
        reader.missing(format_args!("placed_at"));
    }
    if times.updated.is_none() {
        reader.flag("version_defaulted");
    }
    let status = record.get("fulfillment_status");
    let fulfillment = observe::fulfillment_status(reader, EventName::OrderUpdated, status);
    let handed_over =
        matches!(fulfillment, Some(FulfillmentStatus::Fulfilled | FulfillmentStatus::PartiallyFulfilled));
    let late = !context.labelled && (refunded.is_some() || handed_over);
    let event = times.event(late);
    let fulfillment =
        fulfillment.or_else(|| (event == EventName::OrderPlaced).then_some(FulfillmentStatus::Unfulfilled));
    let arrival = reader.received_at.as_event();
    let version = times.of_row(late).unwrap_or(arrival);
    let is = |status| (fulfillment == Some(status)).then_some(version);

    let mut observation = OrderObservation {
        currency: Some(currency),
        financial_status: financial,
        fulfillment_status: fulfillment,
        placed_at: times.placed,
        paid_at: financial.filter(|status| status.implies_payment()).map(|_| times.said().unwrap_or(arrival)),
        partially_fulfilled_at: is(FulfillmentStatus::PartiallyFulfilled),
        fulfilled_at: is(FulfillmentStatus::Fulfilled),
        total: Some(total),
        subtotal: money(reader, record, "subtotal", currency)?,
        discount_total: money(reader, record, "discount_total", currency)?,
        item_count: read::count(record.get("item_count"), format_args!("item_count"))?,
        tags: observe::tags(record.get("tags")),
        ..OrderObservation::at(version)
    };
    match refunded {
        Some(Refunded::Amount(amount)) => {
            let at = version.for_window(reader.received_at);
            observation.refunds.push(Refund { id: CUMULATIVE.to_owned(), amount, at });
            observation.refunded_rest = Some(false);
        }
        Some(Refunded::Rest) => observation.refunded_rest = Some(true),
        Some(Refunded::Unknown) => reader.flag("refund_amount_unknown"),
        None => {}
    }
    Ok(Row {
        occurred_at: times.of_row(late),
        version: times.updated,
        person: by_email(reader, record),
        payload: Payload {
            order: Some(observation),
            properties: properties(record, FIELDS),
            ..Payload::default()
        },
        ..Row::new(event, "orders/append", entity)
    })
}

/// What a row says about money that went back.
enum Refunded {
    /// The sum so far.
    Amount(Money),
    /// All that was left, and no sum says how much.
    Rest,
    /// Part of it, and no sum says how much.
    Unknown,
}

/// A sum of nothing beside a status that says otherwise is no sum: the sender couldn't add it up.
fn refunded(sum: Option<Money>, status: Option<FinancialStatus>) -> Result<Option<Refunded>, Failure> {
    match (sum, status) {
        (Some(sum), _) if sum.minor < 0 => {
            Err(Failure::at(Reason::BadMoney, "refund_total", "a sum of refunds is not negative"))
        }
        (Some(sum), _) if sum.minor > 0 => Ok(Some(Refunded::Amount(sum))),
        (_, Some(FinancialStatus::Refunded)) => Ok(Some(Refunded::Rest)),
        (_, Some(FinancialStatus::PartiallyRefunded)) => Ok(Some(Refunded::Unknown)),
        _ => Ok(None),
    }
}

/// The times of a row.
struct Times {
    placed: Option<EventTime>,
    updated: Option<EventTime>,
}

impl Times {
    /// The best time that the row itself gives.
    fn said(&self) -> Option<EventTime> {
        self.updated.or(self.placed)
    }

    /// The time of the state that the row describes: `None` is the arrival. A live row without `updated_at` that tells of a
    /// hand-over or a refund (`late`) doesn't describe the moment at which the order was placed; in a load it may well be
    /// the order's only row.
    fn of_row(&self, late: bool) -> Option<EventTime> {
        self.updated.or(self.placed.filter(|_| !late))
    }

    fn event(&self, late: bool) -> EventName {
        let unchanged = self.updated.is_none_or(|updated| Some(updated) == self.placed);
        if self.placed.is_some() && unchanged && !late {
            EventName::OrderPlaced
        } else {
            EventName::OrderUpdated
        }
    }
}
