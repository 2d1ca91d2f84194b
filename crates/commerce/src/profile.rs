//! Profiles: one record per person with the rollups of their orders (`commerce.profiles.v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::order::View;
use crate::person::Identifier;
use crate::{Currency, EventTime, Money, PersonId, ReceivedTime, WorkspaceId};

/// What one order adds to the rollups of its person. Sums move by `of(after) - of(before)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contribution {
    /// Whose rollups.
    pub person: PersonId,
    /// The order's currency.
    pub currency: Currency,
    /// 1 for a counted order.
    pub orders: i64,
    /// Its total.
    pub spent: i64,
    /// What the merchant kept of it: nothing when cancelled, else the total less refunds.
    pub lifetime: i64,
    /// What went back.
    pub refunded: i64,
    /// Where it stands among the person's orders.
    pub placed_at: EventTime,
}

impl Contribution {
    /// The contribution of an order; `None` when it has no person or doesn't count.
    pub fn of(view: &View) -> Option<Self> {
        let person = view.person_id?;
        if !view.counted {
            return None;
        }
        let total = view.total?;
        let refunded = view.refunded_total.map_or(0, |money| money.minor);
        Some(Self {
            person,
            currency: total.currency,
            orders: 1,
            spent: total.minor,
            lifetime: if view.cancelled_at.is_some() { 0 } else { total.minor.saturating_sub(refunded) },
            refunded,
            placed_at: view.placed_at.or(view.counted_at)?,
        })
    }
}

/// Sums in one currency, minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Counted orders.
    pub orders: i64,
    /// Gross.
    pub spent: i64,
    /// Net, without cancelled orders.
    pub lifetime: i64,
    /// Refunded.
    pub refunded: i64,
}

/// The rollups of one person.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rollup {
    /// By currency. A currency without anything left has no entry.
    pub by_currency: BTreeMap<Currency, Sums>,
}

/// A sum left the range of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a rollup went beyond 64 bits")]
pub struct Overflow;

impl Rollup {
    /// Adds (`sign` 1) or takes back (`sign` -1) a contribution.
    pub fn apply(&mut self, contribution: &Contribution, sign: i64) -> Result<(), Overflow> {
        let sums = self.by_currency.entry(contribution.currency).or_default();
        for (sum, part) in [
            (&mut sums.orders, contribution.orders),
            (&mut sums.spent, contribution.spent),
            (&mut sums.lifetime, contribution.lifetime),
            (&mut sums.refunded, contribution.refunded),
        ] {
            *sum = part.checked_mul(sign).and_then(|part| sum.checked_add(part)).ok_or(Overflow)?;
        }
        if *sums == Sums::default() {
            self.by_currency.remove(&contribution.currency);
        }
        Ok(())
    }

    /// Counted orders over all currencies.
    pub fn orders_count(&self) -> i64 {
        self.by_currency.values().fold(0, |sum, s| sum.saturating_add(s.orders))
    }

    fn in_base(&self, base: Currency, get: fn(&Sums) -> i64) -> Money {
        Money::new(self.by_currency.get(&base).map_or(0, get), base)
    }

    fn by(&self, get: fn(&Sums) -> i64) -> BTreeMap<Currency, i64> {
        self.by_currency.iter().map(|(currency, sums)| (*currency, get(sums))).collect()
    }
}

/// A value with the time of the delivery that gave it: the last writer by event time wins.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Dated {
    /// Event time of the delivery.
    pub at: EventTime,
    /// The value.
    pub value: String,
}

/// Contact data of a person: the sub-record that erasure empties.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Contact {
    /// Everything that identifies them.
    pub identifiers: Vec<Identifier>,
    /// E-mail as last given.
    pub email: Option<String>,
    /// Phone as last given.
    pub phone: Option<String>,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

/// One person (`commerce.profiles.v1`).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Profile {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// The person.
    pub person_id: PersonId,
    /// Set on a forwarding record: the person is found under this id now.
    pub merged_into: Option<PersonId>,
    /// Contact data.
    pub contact: Contact,
    /// Orders counted, each once, at payment. Not lowered by cancellation or refund.
    pub orders_count: i64,
    /// Gross totals of counted orders, in the base currency.
    pub total_spent: Money,
    /// The same by currency, minor units.
    pub total_spent_by_currency: BTreeMap<Currency, i64>,
    /// What the merchant kept: counted, not cancelled orders less their refunds, in the base currency.
    pub lifetime_value: Money,
    /// The same by currency, minor units.
    pub lifetime_value_by_currency: BTreeMap<Currency, i64>,
    /// What went back, in the base currency.
    pub refunded_total: Money,
    /// The same by currency, minor units.
    pub refunded_total_by_currency: BTreeMap<Currency, i64>,
    /// `total_spent` per order in the base currency, rounded half away from zero; absent without such orders.
    pub aov: Option<Money>,
    /// Placed time of the first counted order.
    pub first_order_at: Option<EventTime>,
    /// Placed time of the last counted order.
    pub last_order_at: Option<EventTime>,
    /// Remarks: `fx_missing` while orders in other currencies have no rate and are left out of the base figures.
    pub flags: Vec<String>,
    /// The newest arrival that changed the record. History: it depends on the order of processing.
    pub as_of: ReceivedTime,
}

impl Profile {
    /// Puts a profile together from its parts.
    pub fn new(
        workspace: WorkspaceId,
        person_id: PersonId,
        contact: Contact,
        rollup: &Rollup,
        base: Currency,
        span: Option<(EventTime, EventTime)>,
        as_of: ReceivedTime,
    ) -> Self {
        let in_base = rollup.by_currency.get(&base).copied().unwrap_or_default();
        let held = rollup.by_currency.keys().any(|currency| *currency != base);
        Self {
            workspace,
            person_id,
            merged_into: None,
            contact,
            orders_count: rollup.orders_count(),
            total_spent: rollup.in_base(base, |s| s.spent),
            total_spent_by_currency: rollup.by(|s| s.spent),
            lifetime_value: rollup.in_base(base, |s| s.lifetime),
            lifetime_value_by_currency: rollup.by(|s| s.lifetime),
            refunded_total: rollup.in_base(base, |s| s.refunded),
            refunded_total_by_currency: rollup.by(|s| s.refunded),
            aov: mean(in_base.spent, in_base.orders).map(|minor| Money::new(minor, base)),
            first_order_at: span.map(|s| s.0),
            last_order_at: span.map(|s| s.1),
            flags: if held { vec!["fx_missing".to_owned()] } else { Vec::new() },
            as_of,
        }
    }
}

/// `sum / n`, rounded half away from zero; `None` for no elements.
pub fn mean(sum: i64, n: i64) -> Option<i64> {
    if n <= 0 {
        return None;
    }
    let (sum, n) = (i128::from(sum), i128::from(n));
    let twice = 2 * sum.abs() + n;
    let magnitude = twice / (2 * n);
    i64::try_from(if sum < 0 { -magnitude } else { magnitude }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_rounds_half_away_from_zero() {
        assert_eq!(mean(5, 2), Some(3));
        assert_eq!(mean(-5, 2), Some(-3));
        assert_eq!(mean(4, 3), Some(1));
        assert_eq!(mean(i64::MAX, 1), Some(i64::MAX));
        assert_eq!(mean(1, 0), None);
    }
}
