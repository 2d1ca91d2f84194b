//! Purchases and refunds: what they say about an order.

use commerce::event::{FinancialStatus, Item as Line, Link, OrderObservation, Refund};
use commerce::id::LONGEST_ID;
use commerce::reason::Failure;
use commerce::{Currency, Money, Reason};

use super::body::{self, Tracked};
use super::normalize::{Basics, of_kind};
use super::properties::Properties;
use crate::Raw;
use crate::envelope::Draft;
use crate::order::{self, Delivery, Parts};
use crate::read::Reader;

/// The total of an order and what went back: an amount that must be there.
fn revenue(reader: &mut Reader, event: &Tracked<'_>, currency: Currency) -> Result<Money, Failure> {
    reader
        .money(event.revenue, currency, format_args!("revenue"))?
        .ok_or_else(|| Failure::at(Reason::MissingField, "revenue", "the field is absent"))
}

/// The draft of an order event, of the one space of ids that this source has.
fn order<'a>(
    raw: &Raw<'_>,
    basics: &Basics,
    event: &Tracked<'_>,
    observation: OrderObservation,
) -> Result<Draft<'a>, Failure> {
    let id = body::required_id(event.transaction_id, "transaction_id", Reason::MissingOrderId)?;
    let kind = basics.kind;
    let delivery =
        Delivery { event: kind.event(), source_event: kind.as_str(), space: "", transport: basics.transport };
    let parts = Parts {
        id,
        aliases: Vec::new(),
        occurred_at: basics.at,
        version: basics.at,
        person: basics.person.clone(),
        observation,
        test: false,
    };
    Ok(order::draft(raw, delivery, parts))
}

/// A purchase is an order that is placed and paid at once (R3.4).
pub(super) fn purchase<'a>(
    raw: &Raw<'_>,
    basics: &Basics,
    event: &Tracked<'_>,
    reader: &mut Reader,
) -> Result<Draft<'a>, Failure> {
    let currency = basics.currency;
    let total = revenue(reader, event, currency)?;
    if total.minor < 0 && raw.fraud(basics.item).is_none() {
        // The gateway's rules block it, so this one has not come by them.
        return Err(Failure::at(Reason::BadMoney, "revenue", "a purchase is not negative"));
    }
    let mut amount = |value, field: &str| reader.money(value, currency, format_args!("{field}"));
    let at = basics.at.unwrap_or(raw.received_at.as_event());
    let quantities = |lines: &Vec<Line>| lines.iter().fold(0_i64, |n, line| n.saturating_add(line.quantity));
    let cart = basics.cart.iter().map(|id| Link { kind: "cart".to_owned(), id: id.clone() });
    let observation = OrderObservation {
        currency: Some(currency),
        financial_status: Some(FinancialStatus::Paid),
        placed_at: Some(at),
        paid_at: Some(at),
        total: Some(total),
        discount_total: amount(event.discount, "discount")?,
        shipping_total: amount(event.shipping, "shipping")?,
        tax_total: amount(event.tax, "tax")?,
        item_count: basics.lines.as_ref().map(quantities),
        items: basics.lines.clone(),
        coupon_codes: basics.coupon.clone().map(|code| vec![code]),
        campaign: basics.campaign.clone(),
        country: basics.context.as_ref().and_then(|context| context.country.clone()),
        links: cart.collect(),
        context: basics.context.clone(),
        ..OrderObservation::at(at)
    };
    order(raw, basics, event, observation)
}

/// A refund says nothing of the order but what went back: its items are those that came back.
pub(super) fn refund<'a>(
    raw: &Raw<'_>,
    basics: &Basics,
    event: &Tracked<'_>,
    properties: &mut Properties<'_>,
    reader: &mut Reader,
) -> Result<Draft<'a>, Failure> {
    let returned = revenue(reader, event, basics.currency)?;
    let id = properties.take_if("refund_id", |id| id.len() <= LONGEST_ID);
    let is_told_apart = id.is_some() || basics.at.is_some();
    let at = basics.at.unwrap_or(raw.received_at.as_event());
    let observation = OrderObservation {
        currency: Some(basics.currency),
        refunds: vec![Refund {
            id: id.unwrap_or_else(|| UNNAMED_REFUND.to_owned()),
            amount: Money::new(returned.minor.saturating_abs(), returned.currency),
            at: at.for_window(raw.received_at),
        }],
        refunded_rest: Some(false),
        ..OrderObservation::at(at)
    };
    let mut draft = order(raw, basics, event, observation)?;
    if !is_told_apart {
        draft.semantic = of_kind(raw, basics);
    }
    Ok(draft)
}

/// The id of every refund that has none. Whether a second one is the first again is decided by its arrival.
const UNNAMED_REFUND: &str = "refund";
