//! Audiences: the people whom a rule picks out, over their orders or, where a workspace
//! says so, over their attributes ([`rule`]).
//!
//! Membership is a function of a person's counted orders and the clock of the stream, so it comes out the same in
//! whatever order they arrive. It says until when it holds if nothing else happens: whoever keeps it asks again then.

pub mod rule;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::event::words;
use crate::profile::Share;
use crate::{Currency, EventTime, time};

words! {
    /// An audience that is built in.
    Audience {
        /// More than three orders that weren't cancelled were placed in the last 90 days.
        Frequent90d = "frequent_90d",
        /// An order of more than 500 in the base currency is fully paid, and nothing of it went back.
        HighValuePaid = "high_value_paid",
        /// Something went back in the last 30 days.
        RecentRefund30d = "recent_refund_30d",
        /// The last order was placed 90 days ago or earlier.
        Lapsed90d = "lapsed_90d",
    }
}

/// So many orders in 90 days aren't frequent yet.
const OFTEN: usize = 3;
/// Major units of the base currency that aren't a high value yet.
const HIGH: i64 = 500;

/// How long an order counts as recent.
const ORDERS: i64 = 90 * time::DAY;
/// How long a refund does.
const REFUNDS: i64 = 30 * time::DAY;

/// The built-in audiences of one person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Membership {
    /// Which they are in.
    pub audiences: BTreeSet<Audience>,
    /// When the passage of time may change that; `None`: never.
    pub until: Option<EventTime>,
}

/// What audiences need to know of a person's counted orders at an instant. Orders are told to it in any order; of those
/// whose end came long ago only the newest need be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    now: EventTime,
    /// When the newest orders of the last 90 days were placed that weren't cancelled, the newest first, as many as
    /// tell whether they are frequent.
    placed: Vec<EventTime>,
    last: Option<EventTime>,
    refunded: Option<EventTime>,
    high: bool,
    /// The first instant yet to come at which an order is placed or something goes back.
    next: Option<EventTime>,
    /// True when that may be an order: who has one to come has not lapsed.
    order_to_come: bool,
}

impl Standing {
    /// Of a person without orders.
    pub const fn at(now: EventTime) -> Self {
        Self {
            now,
            placed: Vec::new(),
            last: None,
            refunded: None,
            high: false,
            next: None,
            order_to_come: false,
        }
    }

    /// With these orders.
    pub fn of(shares: &[Share], base: Currency, now: EventTime) -> Self {
        let mut standing = Self::at(now);
        standing.take(shares, base);
        standing
    }

    /// Takes in some orders.
    pub fn take(&mut self, shares: &[Share], base: Currency) {
        for share in shares {
            self.order(share.placed_at, share.cancelled);
            share.refunded_at().for_each(|at| self.refund(at));
            if share.is_high(base) {
                self.value_high();
            }
        }
    }

    /// When the last order was placed up to now.
    pub const fn last(&self) -> Option<EventTime> {
        self.last
    }

    /// An order was placed.
    pub fn order(&mut self, at: EventTime, cancelled: bool) {
        if at > self.now {
            self.comes(at);
            self.order_to_come = true;
            return;
        }
        self.last = self.last.max(Some(at));
        if !cancelled && self.now < after(at, ORDERS) {
            let place = self.placed.partition_point(|other| *other >= at);
            self.placed.insert(place, at);
            self.placed.truncate(OFTEN + 1);
        }
    }

    /// Something went back.
    pub fn refund(&mut self, at: EventTime) {
        if at > self.now {
            self.comes(at);
        } else {
            self.refunded = self.refunded.max(Some(at));
        }
    }

    /// An order is of a high value.
    pub const fn value_high(&mut self) {
        self.high = true;
    }

    /// True once no older order can tell anything: so many of the newest are known.
    pub fn is_frequent(&self) -> bool {
        self.placed.len() > OFTEN
    }

    /// The instant up to which orders were recent enough to be told.
    pub const fn horizon(&self) -> EventTime {
        EventTime(self.now.0.saturating_sub(ORDERS))
    }

    fn comes(&mut self, at: EventTime) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    /// The audiences.
    pub fn membership(&self) -> Membership {
        let mut membership = Membership { until: self.next, ..Membership::default() };
        let mut until = |end: EventTime| {
            membership.until = Some(membership.until.map_or(end, |until| until.min(end)));
        };
        // The oldest of the newest four falls out first.
        let frequent = self.placed.get(OFTEN).map(|oldest| after(*oldest, ORDERS));
        frequent.into_iter().for_each(&mut until);
        let refund = self.refunded.map(|at| after(at, REFUNDS)).filter(|end| self.now < *end);
        refund.into_iter().for_each(&mut until);
        let lapses = self.last.map(|last| after(last, ORDERS)).filter(|_| !self.order_to_come);
        lapses.filter(|end| self.now < *end).into_iter().for_each(&mut until);
        for (audience, holds) in [
            (Audience::Frequent90d, frequent.is_some()),
            (Audience::HighValuePaid, self.high),
            (Audience::RecentRefund30d, refund.is_some()),
            (Audience::Lapsed90d, lapses.is_some_and(|end| end <= self.now)),
        ] {
            if holds {
                membership.audiences.insert(audience);
            }
        }
        membership
    }
}

const fn after(at: EventTime, by: i64) -> EventTime {
    EventTime(at.0.saturating_add(by))
}

impl Share {
    /// When something of it went back.
    pub fn refunded_at(&self) -> impl Iterator<Item = EventTime> {
        self.refunds.iter().filter(|(_, minor)| *minor > 0).map(|(at, _)| *at)
    }

    /// True for an order above 500 of the base currency that is fully paid.
    pub fn is_high(&self, base: Currency) -> bool {
        let high = 10_i64.checked_pow(base.exponent()).and_then(|unit| unit.checked_mul(HIGH));
        let worth = self.worth(base).filter(|_| self.paid);
        worth.zip(high).is_some_and(|(worth, high)| worth.minor > high)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use Audience::{Frequent90d, HighValuePaid, Lapsed90d, RecentRefund30d};

    use super::*;
    use crate::Money;

    const fn day(n: i64) -> EventTime {
        EventTime(n * time::DAY)
    }

    fn share(placed: i64, minor: i64) -> Share {
        Share {
            placed_at: day(placed),
            total: Money::new(minor, Currency::USD),
            cancelled: false,
            paid: true,
            refunds: vec![],
            total_in_base: None,
            net_in_base: None,
            back_in_base: vec![],
        }
    }

    fn at(shares: &[Share], now: EventTime) -> (Vec<Audience>, Option<EventTime>) {
        let membership = Standing::of(shares, Currency::USD, now).membership();
        (membership.audiences.into_iter().collect(), membership.until)
    }

    #[test]
    fn four_orders_in_90_days_are_frequent_until_the_first_falls_out() {
        let mut shares = [0, 10, 20, 30].map(|day| share(day, 1000));
        assert_eq!(at(&shares[..3], day(30)).0, []);
        assert_eq!(at(&shares, day(30)), (vec![Frequent90d], Some(day(90))));
        assert_eq!(at(&shares, EventTime(day(90).0 - 1)).0, [Frequent90d]);
        assert_eq!(at(&shares, day(90)), (vec![], Some(day(120))), "nothing can change before they lapse");
        shares[1].cancelled = true;
        assert_eq!(at(&shares, day(30)).0, []);
    }

    #[test]
    fn a_high_value_is_above_500_of_the_base_currency_and_fully_paid() {
        assert_eq!(at(&[share(0, 50_001)], day(0)).0, [HighValuePaid]);
        assert_eq!(at(&[share(0, 50_000)], day(0)).0, []);
        assert_eq!(at(&[Share { paid: false, ..share(0, 50_001) }], day(0)).0, []);
        let yen = Currency::parse("JPY").unwrap();
        let in_yen = Share { total: Money::new(50_001, yen), ..share(0, 0) };
        assert_eq!(at(std::slice::from_ref(&in_yen), day(0)).0, [], "without a rate it isn't compared");
        let converted = Share { total_in_base: Some(Money::new(50_001, Currency::USD)), ..in_yen.clone() };
        assert_eq!(at(&[converted], day(0)).0, [HighValuePaid], "with one it is, in base");
        assert!(Standing::of(&[in_yen], yen, day(0)).membership().audiences.contains(&HighValuePaid));
    }

    #[test]
    fn a_refund_is_recent_for_30_days() {
        let refunded = [Share { refunds: vec![(day(5), 100)], ..share(0, 1000) }];
        assert_eq!(at(&refunded, day(4)), (vec![], Some(day(5))));
        assert_eq!(at(&refunded, day(5)), (vec![RecentRefund30d], Some(day(35))));
        assert_eq!(at(&refunded, day(35)).0, []);
    }

    #[test]
    fn whoever_ordered_last_90_days_ago_has_lapsed_and_nobody_without_orders_has() {
        assert_eq!(at(&[share(0, 1), share(9, 1)], day(98)), (vec![], Some(day(99))));
        assert_eq!(at(&[share(0, 1), share(9, 1)], day(99)), (vec![Lapsed90d], None));
        assert_eq!(at(&[], day(99)), (vec![], None));
    }

    #[test]
    fn an_order_to_come_changes_nothing_before_its_instant() {
        assert_eq!(at(&[share(0, 1), share(95, 1)], day(94)), (vec![], Some(day(95))));
        assert_eq!(at(&[share(0, 1), share(95, 1)], day(95)), (vec![], Some(day(185))));
    }

    proptest! {
        #[test]
        fn until_nothing_changes_that_was_not_announced(
            orders in prop::collection::vec((0..200_i64, any::<bool>(), prop::option::of(0..200_i64)), 0..12),
            from in 0..300_i64,
        ) {
            let shares: Vec<Share> = orders.into_iter().map(|(placed, cancelled, refund)| Share {
                cancelled,
                refunds: refund.map(|at| (day(at), 1)).into_iter().collect(),
                ..share(placed, 1)
            }).collect();
            let (then, until) = at(&shares, day(from));
            for later in from..400 {
                if until.is_some_and(|until| until <= day(later)) {
                    break;
                }
                prop_assert_eq!(&at(&shares, day(later)).0, &then);
            }
        }
    }
}
