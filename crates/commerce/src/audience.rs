//! Audiences: the people whom a rule picks out, over their orders (contracts R12.4, records.md §7.3) or, where a workspace
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

/// The audiences of one person.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Membership {
    /// Which they are in.
    pub audiences: BTreeSet<Audience>,
    /// When the passage of time may change that; `None`: never.
    pub until: Option<EventTime>,
    /// Those of the workspace that they are in, by name.
    pub own: BTreeSet<String>,
}

impl Membership {
    /// The names of all of them.
    pub fn names(&self) -> Vec<String> {
        let built_in = self.audiences.iter().map(|audience| audience.as_str().to_owned());
        built_in.chain(self.own.iter().cloned()).collect()
    }

    /// The audiences of a person with these counted orders at an instant.
    pub fn of(shares: &[Share], base: Currency, now: EventTime) -> Self {
        let mut membership = Self::default();
        let mut is_within = |at: EventTime, days: i64| {
            let end = EventTime(at.0.saturating_add(days * time::DAY));
            let next = if now < at { at } else { end };
            if now < next && membership.until.is_none_or(|until| next < until) {
                membership.until = Some(next);
            }
            at <= now && now < end
        };
        let placed = shares.iter().filter(|share| !share.cancelled);
        let recent = placed.filter(|share| is_within(share.placed_at, 90)).count();
        let refunds = shares.iter().flat_map(|share| &share.refunds).filter(|(_, minor)| *minor > 0);
        let refunded = refunds.filter(|(at, _)| is_within(*at, 30)).count();
        let last = shares.iter().map(|share| share.placed_at).max();
        let lapsed = last.is_some_and(|last| !is_within(last, 90) && last <= now);
        let high = 10_i64.checked_pow(base.exponent()).and_then(|unit| unit.checked_mul(HIGH));
        let is_high = |share: &Share| {
            let worth = share.worth(base).filter(|_| share.paid);
            worth.zip(high).is_some_and(|(worth, high)| worth.minor > high)
        };
        for (audience, holds) in [
            (Audience::Frequent90d, recent > OFTEN),
            (Audience::HighValuePaid, shares.iter().any(is_high)),
            (Audience::RecentRefund30d, refunded > 0),
            (Audience::Lapsed90d, lapsed),
        ] {
            if holds {
                membership.audiences.insert(audience);
            }
        }
        membership
    }

    /// Which audiences were entered and which left since: what the signals of R12.4 are made of.
    pub fn since(&self, before: &Self) -> (Vec<String>, Vec<String>) {
        let (now, then) = (self.names(), before.names());
        let without = |these: &[String], those: &[String]| {
            these.iter().filter(|name| !those.contains(name)).cloned().collect()
        };
        (without(&now, &then), without(&then, &now))
    }
}

#[cfg(test)]
mod tests {
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
        let membership = Membership::of(shares, Currency::USD, now);
        (membership.audiences.into_iter().collect(), membership.until)
    }

    #[test]
    fn four_orders_in_90_days_are_frequent_until_the_first_falls_out() {
        let mut shares = [0, 10, 20, 30].map(|day| share(day, 1000));
        assert_eq!(at(&shares[..3], day(30)).0, []);
        assert_eq!(at(&shares, day(30)), (vec![Frequent90d], Some(day(90))));
        assert_eq!(at(&shares, EventTime(day(90).0 - 1)).0, [Frequent90d]);
        assert_eq!(at(&shares, day(90)), (vec![], Some(day(100))));
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
        assert!(Membership::of(&[in_yen], yen, day(0)).audiences.contains(&HighValuePaid));
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
    fn the_difference_says_what_was_entered_and_what_left() {
        let of = |audiences: &[Audience]| Membership {
            audiences: audiences.iter().copied().collect(),
            own: BTreeSet::from(["gold".to_owned()]),
            until: None,
        };
        let (entered, left) = of(&[Lapsed90d]).since(&of(&[Frequent90d]));
        assert_eq!((entered, left), (vec!["lapsed_90d".to_owned()], vec!["frequent_90d".to_owned()]));
    }
}
