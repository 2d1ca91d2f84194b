//! The amounts of an order in the workspace's base currency.
//!
//! All of them are at one rate, that of the order's hour, refunds included: a full refund nets to exactly zero, however
//! many parts it came in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::view::{Figures, View};
use crate::fx::{Hour, Rate};
use crate::{Currency, EventTime, Money};

/// The flag of an order whose rate isn't known yet.
pub const FX_MISSING: &str = "fx_missing";

/// What an order is worth in base.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Base {
    /// The base currency.
    pub currency: Currency,
    /// How many major units of it one major unit of the order's currency is worth.
    pub rate: Rate,
    /// Start of the hour whose rate it is.
    pub rate_at: EventTime,
    /// As in the order, likewise the others.
    pub total: Option<Money>,
    /// After discounts, without tax and shipping.
    pub subtotal: Option<Money>,
    /// Taken off.
    pub discount_total: Option<Money>,
    /// Shipping.
    pub shipping_total: Option<Money>,
    /// Tax.
    pub tax_total: Option<Money>,
    /// What went back, by refund id: shares of the whole, so that they sum to it.
    pub refunds: BTreeMap<String, Money>,
    /// Sum of the refunds.
    pub refunded_total: Option<Money>,
    /// Total less refunds.
    pub net: Option<Money>,
}

impl View {
    /// The currency of its amounts.
    pub fn currency(&self) -> Option<Currency> {
        self.total.or(self.refunded_total).map(|money| money.currency)
    }

    /// The hour whose rate holds for the order: that in which it counts, else that in which it was placed; of one of
    /// which nothing but a refund is known, that of the first refund.
    pub fn rate_hour(&self) -> Option<Hour> {
        let at = self.counted_at.or(self.placed_at).or_else(|| self.refund_times.values().min().copied());
        at.map(Hour::of)
    }

    /// What has to be known of it before its amounts can be said in `base`: nothing for amounts that are.
    pub fn foreign_to(&self, base: Currency) -> Option<Currency> {
        self.currency().filter(|currency| *currency != base)
    }

    /// Says the amounts at the rate at which another view of the order says its own.
    pub(super) fn take_rate(&mut self, other: Option<&Base>) {
        self.base =
            other.and_then(|other| Base::of(self, other.currency, Hour::of(other.rate_at), other.rate));
    }

    /// Says the amounts in `base` at the rate, or that it is missing.
    pub fn settle_base(&mut self, base: Currency, rate: Option<Rate>) {
        self.flags.retain(|flag| flag != FX_MISSING);
        self.base = self.rate_hour().zip(rate).and_then(|(hour, rate)| Base::of(self, base, hour, rate));
        if self.base.is_none() && self.foreign_to(base).is_some() {
            self.flags.push(FX_MISSING.to_owned());
        }
    }
}

impl Base {
    /// The amounts of a view. `None` where one goes beyond what is believed to be an amount.
    fn of(view: &View, base: Currency, hour: Hour, rate: Rate) -> Option<Self> {
        let convert = |money: Option<Money>| match money {
            Some(money) => rate.convert(money, base).map(Some),
            None => Some(None),
        };
        let (total, refunds) = (convert(view.total)?, shares(view, base, rate)?);
        let back = refunds.values().try_fold(0_i64, |sum, money| sum.checked_add(money.minor))?;
        Some(Self {
            currency: base,
            rate,
            rate_at: hour.start(),
            total,
            subtotal: convert(view.subtotal)?,
            discount_total: convert(view.discount_total)?,
            shipping_total: convert(view.shipping_total)?,
            tax_total: convert(view.tax_total)?,
            refunds,
            refunded_total: view.refunded_total.map(|_| Money::new(back, base)),
            net: total.map(|total| Money::new(total.minor.saturating_sub(back), base)),
        })
    }

    /// Another amount of the order in base.
    pub fn convert(&self, money: Money) -> Option<Money> {
        self.rate.convert(money, self.currency)
    }
}

impl Figures {
    /// The currency of its amounts.
    pub fn currency(&self) -> Option<Currency> {
        self.total.as_ref().or_else(|| self.refunds.values().next()).map(|money| money.currency)
    }

    /// The same order with its amounts in base; `None` where they are in it already, or the rate isn't known. Its lines
    /// stay in the order's currency, so that a line is converted as a whole.
    pub fn in_base(&self) -> Option<Self> {
        let base = self.base.as_ref()?;
        let own = self.currency()?;
        let mut figures = self.clone();
        for line in &mut figures.items {
            line.price = line.price.filter(|price| price.currency == own);
        }
        figures.total = base.total;
        figures.discount_total = base.discount_total;
        figures.shipping_total = base.shipping_total;
        figures.tax_total = base.tax_total;
        figures.refunds.clone_from(&base.refunds);
        Some(figures)
    }
}

/// The refunds in base. Each is what the sum up to it is worth less what the sum before it is worth, in the order of
/// their times: so their sum is the worth of the sum, and no cent is won or lost in parts.
fn shares(view: &View, base: Currency, rate: Rate) -> Option<BTreeMap<String, Money>> {
    let mut ordered: Vec<(Option<&EventTime>, &String, &Money)> =
        view.refunds.iter().map(|(id, money)| (view.refund_times.get(id), id, money)).collect();
    ordered.sort_unstable_by_key(|(at, id, _)| (*at, *id));
    let (mut sum, mut worth) = (0_i64, 0_i64);
    let mut shares = BTreeMap::new();
    for (_, id, money) in ordered {
        sum = sum.checked_add(money.minor)?;
        let now = rate.convert(Money::new(sum, money.currency), base)?.minor;
        shares.insert(id.clone(), Money::new(now - worth, base));
        worth = now;
    }
    Some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eur(minor: i64) -> Money {
        Money::new(minor, Currency::parse("EUR").unwrap())
    }

    fn view(total: i64, refunds: &[(&str, i64, i64)]) -> View {
        let back: i64 = refunds.iter().map(|(_, minor, _)| minor).sum();
        View {
            total: Some(eur(total)),
            counted_at: Some(EventTime(90 * 60 * 1_000_000)),
            refunds: refunds.iter().map(|(id, minor, _)| ((*id).to_owned(), eur(*minor))).collect(),
            refund_times: refunds.iter().map(|(id, _, at)| ((*id).to_owned(), EventTime(*at))).collect(),
            refunded_total: Some(eur(back)),
            net: Some(eur(total - back)),
            ..View::default()
        }
    }

    #[test]
    fn a_full_refund_in_parts_nets_to_exactly_zero() {
        let mut view = view(10_000, &[("a", 3_333, 1), ("b", 3_333, 2), ("c", 3_334, 3)]);
        view.settle_base(Currency::USD, Some(Rate::parse("1.08425").unwrap()));
        let base = view.base.unwrap();
        assert_eq!(base.total.unwrap().minor, 10_843);
        let parts: Vec<i64> = base.refunds.values().map(|money| money.minor).collect();
        assert_eq!((parts.iter().sum::<i64>(), base.net.unwrap().minor), (10_843, 0));
        // 3613.8, 7227.6 and 10842.5 in cents.
        assert_eq!(parts, [3_614, 3_614, 3_615]);
    }

    #[test]
    fn the_rate_is_that_of_the_hour_in_which_the_order_counts() {
        let mut view = view(100, &[]);
        view.placed_at = Some(EventTime(0));
        assert_eq!(view.rate_hour(), Some(Hour(1)));
        view.counted_at = None;
        assert_eq!(view.rate_hour(), Some(Hour(0)));
    }

    #[test]
    fn without_a_rate_it_says_so_and_with_one_it_no_longer_does() {
        let mut view = view(100, &[]);
        view.settle_base(Currency::USD, None);
        assert_eq!((view.base.is_none(), view.flags.as_slice()), (true, [FX_MISSING.to_owned()].as_slice()));
        view.settle_base(Currency::USD, Some(Rate::parse("1.1").unwrap()));
        assert_eq!((view.base.is_some(), view.flags.len()), (true, 0));
        view.settle_base(Currency::parse("EUR").unwrap(), None);
        assert_eq!((view.base.is_none(), view.flags.len()), (true, 0), "amounts in the base need no rate");
    }
}
