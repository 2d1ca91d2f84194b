//! Refunds: what went back is the sum of the successful refund transactions.

use commerce::event::{FinancialStatus, Refund};
use commerce::reason::Failure;
use commerce::{Currency, EventTime, Mark, Money, Reason};

use super::body;
use crate::json::{List, Scalar};
use crate::read::{self, Reader};

/// The refunds of a body.
#[derive(Default)]
pub(crate) struct Refunds {
    /// Each once.
    pub(crate) list: Vec<Refund>,
    /// See [`commerce::event::OrderObservation::refunded_rest`].
    pub(crate) rest: Option<bool>,
}

/// Reads the refunds that an order lists, in the currency of the order. `version` stands in for a time that is absent.
pub(crate) fn of_order(
    reader: &mut Reader,
    refunds: &List<body::Refund<'_>>,
    status: Option<FinancialStatus>,
    currency: Currency,
    version: EventTime,
) -> Result<Refunds, Failure> {
    let mut found = Refunds::default();
    let mut any_amount = false;
    for (index, refund) in refunds.objects() {
        let path = format!("refunds[{index}].");
        let sum = sum(reader, refund, currency, &path)?;
        any_amount |= matches!(sum, Sum::Amount(_));
        if let Some(refund) = one(reader, refund, sum, currency, version, &path)?
            && !found.list.iter().any(|known| known.id == refund.id)
        {
            found.list.push(refund);
        }
    }
    found.rest = match status {
        _ if any_amount => Some(false),
        Some(FinancialStatus::Refunded) => Some(true),
        Some(FinancialStatus::PartiallyRefunded) => {
            reader.flag("refund_amount_unknown");
            None
        }
        _ => None,
    };
    Ok(found)
}

/// Reads a refund that is a body of its own. Only its transactions name a currency; without one there is nothing to
/// say about money, and the order's next version will.
pub(crate) fn alone(
    reader: &mut Reader,
    refund: &body::Refund<'_>,
    version: EventTime,
) -> Result<(Refunds, Option<Currency>), Failure> {
    let mut currency = None;
    for (index, transaction) in refund.transactions.objects() {
        currency = read::currency(transaction.currency, format_args!("transactions[{index}].currency"))?;
        if currency.is_some() {
            break;
        }
    }
    let Some(currency) = currency else {
        if refund.transactions.objects().next().is_some() {
            let message = "a refund's transactions name the currency";
            return Err(Failure::at(Reason::MissingField, "transactions[0].currency", message));
        }
        reader.flag("refund_without_transaction");
        return Ok((Refunds::default(), None));
    };
    let sum = sum(reader, refund, currency, "")?;
    let rest = matches!(sum, Sum::Amount(_)).then_some(false);
    let list = one(reader, refund, sum, currency, version, "")?.into_iter().collect();
    Ok((Refunds { list, rest }, Some(currency)))
}

enum Sum {
    /// No transaction is listed.
    NoTransaction,
    /// None of them is a successful refund.
    NoneSucceeded,
    /// What went back.
    Amount(Money),
}

fn sum(
    reader: &mut Reader,
    refund: &body::Refund<'_>,
    currency: Currency,
    path: &str,
) -> Result<Sum, Failure> {
    let (mut minor, mut listed, mut counted) = (0_i64, false, false);
    for (index, transaction) in refund.transactions.objects() {
        listed = true;
        if !is_or_absent(transaction.kind, "refund") || !is_or_absent(transaction.status, "success") {
            continue;
        }
        let path = format_args!("{path}transactions[{index}].amount").to_string();
        let Some(amount) = reader.money(transaction.amount, currency, format_args!("{path}"))? else {
            continue;
        };
        if amount.minor < 0 {
            return Err(Failure::at(Reason::BadMoney, path, "a refund is not negative"));
        }
        counted = true;
        let beyond = || Failure::at(Reason::BadMoney, path.as_str(), "the sum is beyond 10^15 minor units");
        minor = minor.checked_add(amount.minor).ok_or_else(beyond)?;
        Money::checked(minor, currency).map_err(|_| beyond())?;
    }
    Ok(match (listed, counted) {
        (false, _) => Sum::NoTransaction,
        (true, false) => Sum::NoneSucceeded,
        (true, true) => Sum::Amount(Money::new(minor, currency)),
    })
}

fn is_or_absent(value: Scalar<'_>, word: &str) -> bool {
    value.text().is_none_or(|text| text.eq_ignore_ascii_case(word))
}

fn one(
    reader: &mut Reader,
    refund: &body::Refund<'_>,
    sum: Sum,
    currency: Currency,
    version: EventTime,
    path: &str,
) -> Result<Option<Refund>, Failure> {
    let amount = match sum {
        Sum::Amount(amount) => amount,
        Sum::NoTransaction => {
            reader.flag("refund_without_transaction");
            Money::zero(currency)
        }
        Sum::NoneSucceeded => {
            // Nothing went back yet; when it does, the order is sent again.
            reader.flag("refund_not_successful");
            return Ok(None);
        }
    };
    let claimed = match reader.time(refund.created_at, format_args!("{path}created_at"))? {
        Some(at) => at,
        None => reader.time(refund.processed_at, format_args!("{path}processed_at"))?.unwrap_or(version),
    };
    let id = match read::id(refund.id, format_args!("{path}id"))? {
        Some(id) => id,
        None => {
            reader.flag("refund_id_derived");
            derived_id(refund)
        }
    };
    Ok(Some(Refund { id, amount, at: claimed.for_window(reader.received_at) }))
}

/// An id that is the same in every delivery of the refund: from its own time and transactions.
fn derived_id(refund: &body::Refund<'_>) -> String {
    let mut content = String::new();
    let mut add = |value: Scalar<'_>| {
        content.push_str(&value.text().unwrap_or_default());
        content.push('\n');
    };
    add(refund.created_at);
    for (_, transaction) in refund.transactions.objects() {
        for value in [transaction.id, transaction.amount, transaction.kind, transaction.status] {
            add(value);
        }
    }
    format!("derived:{}", Mark::of(&[b"refund", content.as_bytes()]).to_hex())
}
