//! What payments add to a person (D-R-3): a total of their own, and to the lifetime value what the policy lets them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Overflow;
use crate::{Currency, Money};

/// What one event of a payment adds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Paid {
    /// What was collected.
    pub amount: Money,
    /// What it adds to the lifetime value, less than nothing of a refund; 0 where it names an order or the policy leaves
    /// payments out.
    pub kept: i64,
}

/// The payments of a person, by currency. A currency without anything has no entry.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Payments(BTreeMap<Currency, Sums>);

/// Minor units.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Sums {
    total: i64,
    kept: i64,
}

impl Payments {
    /// Adds one.
    pub fn add(&mut self, paid: &Paid) -> Result<(), Overflow> {
        let sums = self.0.entry(paid.amount.currency).or_default();
        for (sum, part) in [(&mut sums.total, paid.amount.minor), (&mut sums.kept, paid.kept)] {
            *sum = sum.checked_add(part).ok_or(Overflow)?;
        }
        self.0.retain(|_, sums| *sums != Sums::default());
        Ok(())
    }

    /// Adds those of another handle. What would leave 64 bits stays at their end.
    pub fn join(&mut self, other: Self) {
        for (currency, theirs) in other.0 {
            let ours = self.0.entry(currency).or_default();
            ours.total = ours.total.saturating_add(theirs.total);
            ours.kept = ours.kept.saturating_add(theirs.kept);
        }
    }

    pub(super) fn total_in(&self, currency: Currency) -> Option<i64> {
        self.0.get(&currency).map(|sums| sums.total)
    }

    pub(super) fn totals(&self) -> BTreeMap<Currency, i64> {
        self.0.iter().map(|(currency, sums)| (*currency, sums.total)).collect()
    }

    /// What of the lifetime value is of payments.
    pub(super) fn kept(&self) -> BTreeMap<Currency, i64> {
        let kept = self.0.iter().map(|(currency, sums)| (*currency, sums.kept));
        kept.filter(|(_, kept)| *kept != 0).collect()
    }

    /// A lifetime value with what was kept of payments in its currency.
    pub(super) fn kept_with(&self, lifetime: i64, currency: Currency) -> i64 {
        lifetime.saturating_add(self.0.get(&currency).map_or(0, |sums| sums.kept))
    }

    /// The same of every currency.
    pub(super) fn kept_with_all(&self, mut lifetime: BTreeMap<Currency, i64>) -> BTreeMap<Currency, i64> {
        for (currency, kept) in self.kept() {
            let sum = lifetime.entry(currency).or_default();
            *sum = sum.saturating_add(kept);
        }
        lifetime
    }
}
