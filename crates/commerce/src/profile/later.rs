//! What came after the totals that a source reports (R11.1).

use serde::{Deserialize, Serialize};

use super::{Reported, Share};
use crate::{Currency, EventTime, Money};

/// What the orders of a person add to the totals that a source reports: those that came after the report, and what went
/// back after it (R11.1). A sum over the orders, so that each can be added and taken back alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Later {
    /// Orders placed after the reported number.
    pub(super) orders: i64,
    /// Their totals, after the reported amount and in its currency.
    pub(super) spent: i64,
    /// What is left of these, less what went back of earlier ones.
    pub(super) lifetime: i64,
    /// The totals of later orders in other currencies, in base.
    pub(super) base_spent: i64,
    /// What is left of these, less what went back of earlier ones.
    pub(super) base_lifetime: i64,
    /// Later orders that aren't worth anything in base yet.
    pub(super) unpriced: i64,
}

/// As of when totals were reported, and in which currencies they are to be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Since {
    /// The number of orders.
    pub orders: Option<EventTime>,
    /// The amount.
    pub spent: Option<(EventTime, Currency)>,
    /// The base currency.
    pub base: Currency,
}

impl Since {
    /// Of what was reported; `None`: nothing was.
    pub fn of(reported: &Reported, base: Currency) -> Option<Self> {
        let orders = reported.orders_count.and(reported.orders_count_at);
        let spent = reported.total_spent.zip(reported.total_spent_at);
        let spent = spent.map(|(total, at)| (at, total.currency));
        (orders.is_some() || spent.is_some()).then_some(Self { orders, spent, base })
    }

    /// From the earliest to the latest instant at which something must have happened that adds to one of the two and not
    /// to the other. `None`: they differ in more than their instants.
    pub fn between(&self, other: &Self) -> Option<(EventTime, EventTime)> {
        let currency =
            |since: &Self| (since.spent.map(|(_, currency)| currency), since.base, since.orders.is_some());
        if currency(self) != currency(other) {
            return None;
        }
        let pairs = [
            self.orders.zip(other.orders),
            self.spent.zip(other.spent).map(|(ours, theirs)| (ours.0, theirs.0)),
        ];
        let moved = pairs.into_iter().flatten().filter(|(ours, theirs)| ours != theirs);
        let spans = moved.map(|(ours, theirs)| (ours.min(theirs), ours.max(theirs)));
        spans.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }
}

impl Later {
    /// Adds an order (`sign` 1) or takes it back (-1). The same sums are kept with a check by [`Rollup`], which refuses
    /// what leaves 64 bits before it comes here: going round is only what makes taking back exact.
    pub fn apply(&mut self, share: &Share, since: &Since, sign: i64) {
        let add = |sum: &mut i64, minor: i64| *sum = sum.wrapping_add(minor.wrapping_mul(sign));
        if since.orders.is_some_and(|at| share.placed_at > at) {
            add(&mut self.orders, 1);
        }
        let Some((at, currency)) = since.spent else { return };
        let later = share.placed_at > at;
        if share.total.currency == currency {
            if later {
                add(&mut self.spent, share.total.minor);
            }
            if !share.cancelled {
                let total = if later { share.total.minor } else { 0 };
                let back = share.refunds.iter().filter(|(refunded_at, _)| later || *refunded_at > at);
                let left = back.fold(total, |sum, (_, minor)| sum.wrapping_sub(*minor));
                add(&mut self.lifetime, left);
            }
        }
        if currency != since.base {
            return;
        }
        let in_base = |money: Option<Money>| money.filter(|money| money.currency == since.base);
        if later {
            add(&mut self.unpriced, i64::from(share.worth(since.base).is_none()));
            add(&mut self.base_spent, in_base(share.total_in_base).map_or(0, |money| money.minor));
            add(&mut self.base_lifetime, in_base(share.net_in_base).map_or(0, |money| money.minor));
        } else if !share.cancelled {
            let back = share.back_in_base.iter().filter(|(refunded_at, _)| *refunded_at > at);
            let back = back.filter_map(|(_, money)| in_base(Some(*money)));
            add(&mut self.base_lifetime, back.fold(0_i64, |sum, money| sum.wrapping_sub(money.minor)));
        }
    }

    /// All of some orders.
    pub fn of<'a>(shares: impl IntoIterator<Item = &'a Share>, since: &Since) -> Self {
        let mut later = Self::default();
        shares.into_iter().for_each(|share| later.apply(share, since, 1));
        later
    }

    /// Adds what another one has.
    pub fn join(&mut self, other: Self) {
        for (ours, theirs) in [
            (&mut self.orders, other.orders),
            (&mut self.spent, other.spent),
            (&mut self.lifetime, other.lifetime),
            (&mut self.base_spent, other.base_spent),
            (&mut self.base_lifetime, other.base_lifetime),
            (&mut self.unpriced, other.unpriced),
        ] {
            *ours = ours.wrapping_add(theirs);
        }
    }
}
