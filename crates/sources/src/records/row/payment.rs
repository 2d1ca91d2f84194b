//! A row of `payments`: a provider collected money.

use commerce::EventName;
use commerce::event::{Payload, Payment, Person};
use commerce::person::{Identifier, Kind};
use commerce::reason::Failure;

use super::{Context, Row, by_email, currency, instant, money, properties, required};
use crate::envelope::entity;
use crate::json::Bag;
use crate::read::{self, Reader};

pub(super) const FIELDS: &[&str] = &[
    "stripe_invoice_id",
    "payment_id",
    "stripe_customer_id",
    "customer_email",
    "amount_paid",
    "amount_due",
    "currency",
    "subscription_id",
    "period_start",
    "period_end",
    "paid_at",
];

pub(super) fn read(reader: &mut Reader, context: Context<'_>, record: &Bag<'_>) -> Result<Row, Failure> {
    let (first, second) = (record.get("stripe_invoice_id"), record.get("payment_id"));
    let field = if second.is_present() && !first.is_present() { "payment_id" } else { "stripe_invoice_id" };
    let id = required(read::id(record.get(field), format_args!("{field}"))?, field)?;
    let mut entity = entity("payment", id);
    entity.aliases.extend(read::loose_id(second).filter(|other| *other != entity.id));

    let currency = currency(reader, context, record)?;
    let amount = required(money(reader, record, "amount_paid", currency)?, "amount_paid")?;
    let paid_at = instant(reader, record, "paid_at")?;
    let payment = Payment {
        amount: Some(amount),
        amount_due: money(reader, record, "amount_due", currency)?,
        paid_at: Some(paid_at.unwrap_or(reader.received_at.as_event())),
        subscription_id: read::loose_id(record.get("subscription_id")),
        period_start: instant(reader, record, "period_start")?,
        period_end: instant(reader, record, "period_end")?,
        ..Payment::default()
    };
    let mut person = by_email(reader, record);
    if let Some(id) = read::id(record.get("stripe_customer_id"), format_args!("stripe_customer_id"))? {
        let person = person.get_or_insert_with(Person::default);
        person.identifiers.push(Identifier::plain(Kind::StripeCustomer, id));
    }
    let payload =
        Payload { payment: Some(payment), properties: properties(record, FIELDS), ..Payload::default() };
    Ok(Row {
        occurred_at: paid_at,
        person,
        payload,
        ..Row::new(EventName::PaymentSucceeded, "payments/append", entity)
    })
}
