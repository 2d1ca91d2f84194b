//! Profiles: one record per person with the rollups of their orders (`commerce.profiles.v1`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Consent, FinancialStatus};
use crate::order::{FX_MISSING, View};
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
    /// The three amounts in base, where it isn't the order's currency and the rate is known.
    pub converted: Option<Converted>,
    /// Where it stands among the person's orders.
    pub placed_at: EventTime,
}

/// The amounts of a contribution in base.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Converted {
    /// The base currency.
    pub base: Currency,
    /// As in the contribution, likewise the others.
    pub spent: i64,
    /// What the merchant kept.
    pub lifetime: i64,
    /// What went back.
    pub refunded: i64,
}

impl Contribution {
    /// What an order contributes to the rollups of a person or handle; `None` when it doesn't count.
    pub fn of(view: &View, person: PersonId) -> Option<Self> {
        if !view.counted {
            return None;
        }
        let total = view.total?;
        let minor = |money: Option<Money>| money.map_or(0, |money| money.minor);
        let refunded = minor(view.refunded_total);
        let kept = |net: i64| if view.cancelled_at.is_some() { 0 } else { net };
        let converted = view.base.as_ref().and_then(|base| {
            Some(Converted {
                base: base.currency,
                spent: base.total?.minor,
                lifetime: kept(minor(base.net)),
                refunded: minor(base.refunded_total),
            })
        });
        Some(Self {
            converted,
            person,
            currency: total.currency,
            orders: 1,
            spent: total.minor,
            lifetime: kept(total.minor.saturating_sub(refunded)),
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
    /// What of that is known in base: by base and by the currency that it is in.
    pub converted: BTreeMap<(Currency, Currency), Sums>,
}

/// A sum left the range of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a rollup went beyond 64 bits")]
pub struct Overflow;

impl Rollup {
    /// Adds (`sign` 1) or takes back (`sign` -1) a contribution.
    pub fn apply(&mut self, contribution: &Contribution, sign: i64) -> Result<(), Overflow> {
        let Contribution { currency, orders, spent, lifetime, refunded, converted, .. } = *contribution;
        let own = Sums { orders, spent, lifetime, refunded };
        add(&mut self.by_currency, currency, own, sign)?;
        let Some(Converted { base, spent, lifetime, refunded }) = converted else { return Ok(()) };
        add(&mut self.converted, (base, currency), Sums { orders, spent, lifetime, refunded }, sign)
    }

    /// Adds what another rollup has. What would leave 64 bits stays at their end.
    pub fn join(&mut self, other: Self) {
        for (currency, sums) in other.by_currency {
            self.by_currency.entry(currency).or_default().join(sums);
        }
        for (pair, sums) in other.converted {
            self.converted.entry(pair).or_default().join(sums);
        }
    }

    /// True while the rate of an order in another currency than the base isn't known.
    fn waits_for_rates(&self, base: Currency) -> bool {
        let orders = |currency| self.converted.get(&(base, currency)).map_or(0, |sums| sums.orders);
        self.by_currency.iter().any(|(currency, sums)| *currency != base && sums.orders != orders(*currency))
    }

    /// Everything that is known in base.
    fn all_in_base(&self, base: Currency) -> Sums {
        let mut all = self.by_currency.get(&base).copied().unwrap_or_default();
        self.converted.iter().filter(|((to, _), _)| *to == base).for_each(|(_, sums)| all.join(*sums));
        all
    }

    /// Counted orders over all currencies.
    pub fn orders_count(&self) -> i64 {
        self.by_currency.values().fold(0, |sum, s| sum.saturating_add(s.orders))
    }

    fn by(&self, get: fn(&Sums) -> i64) -> BTreeMap<Currency, i64> {
        self.by_currency.iter().map(|(currency, sums)| (*currency, get(sums))).collect()
    }
}

impl Sums {
    fn join(&mut self, other: Self) {
        self.orders = self.orders.saturating_add(other.orders);
        self.spent = self.spent.saturating_add(other.spent);
        self.lifetime = self.lifetime.saturating_add(other.lifetime);
        self.refunded = self.refunded.saturating_add(other.refunded);
    }
}

/// Adds to the sums of a key, and leaves none where nothing is left.
fn add<K: Ord + Copy>(all: &mut BTreeMap<K, Sums>, key: K, part: Sums, sign: i64) -> Result<(), Overflow> {
    let sums = all.entry(key).or_default();
    for (sum, part) in [
        (&mut sums.orders, part.orders),
        (&mut sums.spent, part.spent),
        (&mut sums.lifetime, part.lifetime),
        (&mut sums.refunded, part.refunded),
    ] {
        *sum = part.checked_mul(sign).and_then(|part| sum.checked_add(part)).ok_or(Overflow)?;
    }
    if *sums == Sums::default() {
        all.remove(&key);
    }
    Ok(())
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
    /// The newest totals that a source maintains itself: the base to which later orders are added (R11.1).
    #[serde(default)]
    pub reported: Reported,
    /// `current` or `past_due`, as the newest payment event says.
    pub payment_status: Option<String>,
    /// When a payment succeeded last.
    pub last_payment_at: Option<EventTime>,
    /// When a payment failed last.
    pub payment_failed_at: Option<EventTime>,
    /// When a source created the customer.
    pub created_at: Option<EventTime>,
    /// Further attributes by name, each value as JSON text. The last writer by event time wins.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// What the person agreed to, by channel.
    #[serde(default)]
    pub consent: Vec<Consent>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The audiences that the person is in ([`crate::audience::Audience`]).
    #[serde(default)]
    pub audiences: Vec<String>,
    /// Remarks: `fx_missing` while orders in other currencies have no rate and are left out of the base figures.
    pub flags: Vec<String>,
    /// The newest arrival that changed the record. History: it depends on the order of processing.
    pub as_of: ReceivedTime,
}

/// Totals that a source maintains itself. Each may come alone and then replaces only itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reported {
    /// Orders.
    pub orders_count: Option<i64>,
    /// The instant as of which the number holds.
    pub orders_count_at: Option<EventTime>,
    /// Gross.
    pub total_spent: Option<Money>,
    /// The instant as of which the amount holds.
    pub total_spent_at: Option<EventTime>,
    /// The last order that the source knows of.
    pub last_order_at: Option<EventTime>,
}

/// A counted order among those of its person, as far as reported totals need it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Share {
    /// When it was placed.
    pub placed_at: EventTime,
    /// Its total.
    pub total: Money,
    /// It adds nothing to the lifetime value.
    pub cancelled: bool,
    /// It is fully paid, and nothing of it went back.
    pub paid: bool,
    /// What went back, and when.
    pub refunds: Vec<(EventTime, i64)>,
    /// Its total in base, where that isn't its currency and the rate is known.
    pub total_in_base: Option<Money>,
    /// What is left of that.
    pub net_in_base: Option<Money>,
}

impl Share {
    /// Its total in base, if that is known.
    pub fn worth(&self, base: Currency) -> Option<Money> {
        [Some(self.total), self.total_in_base].into_iter().flatten().find(|money| money.currency == base)
    }
}

impl Share {
    /// The share of an order that contributes this.
    pub fn of(view: &View, contribution: &Contribution) -> Self {
        let refunds = view.refunds.iter();
        let refunds = refunds.filter_map(|(id, money)| Some((*view.refund_times.get(id)?, money.minor)));
        Self {
            placed_at: contribution.placed_at,
            total: Money::new(contribution.spent, contribution.currency),
            cancelled: view.cancelled_at.is_some(),
            paid: view.financial_status.is_none_or(|status| status == FinancialStatus::Paid)
                && view.refunds.is_empty(),
            refunds: refunds.collect(),
            total_in_base: contribution.converted.map(|sums| Money::new(sums.spent, sums.base)),
            net_in_base: contribution.converted.map(|sums| Money::new(sums.lifetime, sums.base)),
        }
    }
}

/// What a profile is put together from.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Contact data.
    pub contact: Contact,
    /// Our own sums.
    pub rollup: Rollup,
    /// First and last counted order.
    pub span: Option<(EventTime, EventTime)>,
    /// What a source says of its totals.
    pub reported: Reported,
    /// The counted orders.
    pub shares: Vec<Share>,
    /// As in the profile.
    pub payment_status: Option<String>,
    /// As in the profile.
    pub last_payment_at: Option<EventTime>,
    /// As in the profile.
    pub payment_failed_at: Option<EventTime>,
    /// As in the profile.
    pub created_at: Option<EventTime>,
    /// As in the profile.
    pub attributes: BTreeMap<String, String>,
    /// As in the profile.
    pub consent: Vec<Consent>,
    /// As in the profile.
    pub tags: Vec<String>,
    /// As in the profile.
    pub audiences: Vec<String>,
    /// Somebody else with an anchor was seen with the same handles (R10.3).
    pub conflict: bool,
}

impl Profile {
    /// Puts a profile together from its parts.
    pub fn new(
        workspace: WorkspaceId,
        person_id: PersonId,
        known: Known,
        base: Currency,
        as_of: ReceivedTime,
    ) -> Self {
        let mut flags = Vec::new();
        if known.rollup.waits_for_rates(base) {
            flags.push(FX_MISSING.to_owned());
        }
        if known.conflict {
            flags.push("identity_conflict".to_owned());
        }
        let (rollup, last_reported) = with_reported(&known, base, &mut flags);
        let in_base = rollup.all_in_base(base);
        let first = known.span.map(|span| span.0);
        Self {
            workspace,
            person_id,
            merged_into: None,
            contact: known.contact,
            orders_count: rollup.orders_count(),
            total_spent: Money::new(in_base.spent, base),
            total_spent_by_currency: rollup.by(|s| s.spent),
            lifetime_value: Money::new(in_base.lifetime, base),
            lifetime_value_by_currency: rollup.by(|s| s.lifetime),
            refunded_total: Money::new(in_base.refunded, base),
            refunded_total_by_currency: rollup.by(|s| s.refunded),
            aov: mean(in_base.spent, in_base.orders).map(|minor| Money::new(minor, base)),
            first_order_at: first,
            last_order_at: known.span.map(|span| span.1).max(last_reported),
            reported: known.reported,
            payment_status: known.payment_status,
            last_payment_at: known.last_payment_at,
            payment_failed_at: known.payment_failed_at,
            created_at: known.created_at,
            attributes: known.attributes,
            consent: known.consent,
            tags: known.tags,
            audiences: known.audiences,
            flags,
            as_of,
        }
    }

    /// The record that says under which id a person is found now.
    pub fn forwarding(
        workspace: WorkspaceId,
        person_id: PersonId,
        merged_into: PersonId,
        base: Currency,
        as_of: ReceivedTime,
    ) -> Self {
        let nothing = Self::new(workspace, person_id, Known::default(), base, as_of);
        Self { merged_into: Some(merged_into), ..nothing }
    }
}

/// Our own sums, or where a source reports totals, these with what came later (R11.1). A zero while we have counted
/// orders ourselves is not believed (R11.2).
fn with_reported(known: &Known, base: Currency, flags: &mut Vec<String>) -> (Rollup, Option<EventTime>) {
    let (reported, own) = (&known.reported, known.rollup.orders_count());
    let mut rollup = known.rollup.clone();
    let mut suspect = false;
    if let (Some(count), Some(at)) = (reported.orders_count, reported.orders_count_at) {
        if count == 0 && own > 0 {
            suspect = true;
        } else {
            let later = known.shares.iter().filter(|share| share.placed_at > at).count();
            let all = count.saturating_add(i64::try_from(later).unwrap_or(i64::MAX));
            let others = own.saturating_sub(rollup.by_currency.get(&base).map_or(0, |sums| sums.orders));
            rollup.by_currency.entry(base).or_default().orders = all.saturating_sub(others);
        }
    }
    if let (Some(total), Some(at)) = (reported.total_spent, reported.total_spent_at) {
        if total.minor == 0 && own > 0 {
            suspect = true;
        } else {
            let of_currency = known.shares.iter().filter(|share| share.total.currency == total.currency);
            let (mut spent, mut lifetime) = (total.minor, total.minor);
            for share in of_currency {
                let later = share.placed_at > at;
                if later {
                    spent = spent.saturating_add(share.total.minor);
                }
                if later && !share.cancelled {
                    lifetime = lifetime.saturating_add(share.total.minor);
                }
                if !share.cancelled {
                    let back = share.refunds.iter().filter(|(refunded_at, _)| later || *refunded_at > at);
                    lifetime = back.fold(lifetime, |sum, (_, minor)| sum.saturating_sub(*minor));
                }
            }
            let sums = rollup.by_currency.entry(total.currency).or_default();
            (sums.spent, sums.lifetime) = (spent, lifetime);
            if total.currency == base {
                // What the source has said in base has the orders up to then in it, whatever they were paid in.
                let later = known.shares.iter().filter(|share| share.placed_at > at);
                let sum = |get: fn(&Share) -> Option<Money>| {
                    let in_base = later.clone().filter_map(get).filter(|money| money.currency == base);
                    in_base.fold(0_i64, |sum, money| sum.saturating_add(money.minor))
                };
                let (spent, lifetime) = (sum(|share| share.total_in_base), sum(|share| share.net_in_base));
                let mut foreign = rollup.converted.iter_mut().filter(|((to, _), _)| *to == base);
                if let Some((_, first)) = foreign.next() {
                    (first.spent, first.lifetime) = (spent, lifetime);
                }
                foreign.for_each(|(_, rest)| (rest.spent, rest.lifetime) = (0, 0));
            }
        }
    }
    if suspect {
        flags.push("reported_total_suspect".to_owned());
    }
    (rollup, reported.last_order_at)
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
    use crate::fx::Rate;

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::USD)
    }

    fn share(placed_at: i64, minor: i64, refunds: &[(i64, i64)]) -> Share {
        Share {
            placed_at: EventTime(placed_at),
            total: usd(minor),
            cancelled: false,
            paid: refunds.is_empty(),
            refunds: refunds.iter().map(|(at, minor)| (EventTime(*at), *minor)).collect(),
            total_in_base: None,
            net_in_base: None,
        }
    }

    /// Count, gross and net of a person with these orders and reports.
    fn totals(shares: Vec<Share>, reported: Reported) -> (i64, i64, i64, Vec<String>) {
        let mut rollup = Rollup::default();
        for share in &shares {
            let back: i64 = share.refunds.iter().map(|(_, minor)| *minor).sum();
            let sums = rollup.by_currency.entry(Currency::USD).or_default();
            sums.orders += 1;
            sums.spent += share.total.minor;
            sums.lifetime += share.total.minor - back;
            sums.refunded += back;
        }
        let known = Known { rollup, shares, reported, ..Known::default() };
        let workspace = WorkspaceId::try_new("demo").unwrap();
        let profile = Profile::new(workspace, PersonId(1), known, Currency::USD, ReceivedTime(0));
        (profile.orders_count, profile.total_spent.minor, profile.lifetime_value.minor, profile.flags)
    }

    fn report(at: i64, orders: i64, spent: i64) -> Reported {
        Reported {
            orders_count: Some(orders),
            orders_count_at: Some(EventTime(at)),
            total_spent: Some(usd(spent)),
            total_spent_at: Some(EventTime(at)),
            last_order_at: None,
        }
    }

    #[test]
    fn a_reported_total_is_the_base_and_what_was_placed_later_is_added() {
        let orders = || vec![share(10, 1000, &[]), share(20, 1000, &[(30, 200)])];
        assert_eq!(totals(orders(), Reported::default()), (2, 2000, 1800, vec![]));
        // The order that carried the report is in it; a refund after it lowers the net alone.
        assert_eq!(totals(orders(), report(20, 5, 50_000)), (5, 50_000, 49_800, vec![]));
        assert_eq!(totals(orders(), report(10, 5, 50_000)), (6, 51_000, 50_800, vec![]));
    }

    #[test]
    fn a_number_alone_replaces_itself_alone_and_a_zero_is_not_believed() {
        let orders = || vec![share(10, 1000, &[])];
        let count = Reported { total_spent: None, ..report(10, 7, 0) };
        assert_eq!(totals(orders(), count), (7, 1000, 1000, vec![]));
        let suspect = vec!["reported_total_suspect".to_owned()];
        assert_eq!(totals(orders(), report(10, 0, 0)), (1, 1000, 1000, suspect));
        assert_eq!(totals(vec![], report(10, 0, 0)), (0, 0, 0, vec![]));
    }

    #[test]
    fn orders_in_another_currency_count_in_base_once_all_their_rates_are_known() {
        let eur = |minor| Money::new(minor, Currency::parse("EUR").unwrap());
        let view = |minor, rate: Option<&str>| {
            let mut view = View {
                person_id: Some(PersonId(1)),
                counted: true,
                counted_at: Some(EventTime(5)),
                total: Some(eur(minor)),
                net: Some(eur(minor)),
                ..View::default()
            };
            view.settle_base(Currency::USD, rate.map(|rate| Rate::parse(rate).unwrap()));
            view
        };
        let profile = |views: &[View]| {
            let mut known = Known::default();
            for view in views {
                let contribution = Contribution::of(view, PersonId(1)).unwrap();
                known.rollup.apply(&contribution, 1).unwrap();
                known.shares.push(Share::of(view, &contribution));
            }
            let workspace = WorkspaceId::try_new("demo").unwrap();
            Profile::new(workspace, PersonId(1), known, Currency::USD, ReceivedTime(0))
        };
        let waiting = profile(&[view(1_000, Some("1.1")), view(2_000, None)]);
        assert_eq!(
            (waiting.orders_count, waiting.total_spent, waiting.flags),
            (2, usd(1_100), vec![FX_MISSING.into()])
        );
        let known = profile(&[view(1_000, Some("1.1")), view(2_000, Some("1.2"))]);
        assert_eq!((known.total_spent, known.aov, known.flags), (usd(3_500), Some(usd(1_750)), vec![]));
        assert_eq!(known.total_spent_by_currency, BTreeMap::from([(eur(0).currency, 3_000)]));
        let mut rollup = Rollup::default();
        let contribution = Contribution::of(&view(1_000, Some("1.1")), PersonId(1)).unwrap();
        rollup.apply(&contribution, 1).unwrap();
        rollup.apply(&contribution, -1).unwrap();
        assert_eq!(rollup, Rollup::default());
    }

    #[test]
    fn a_mean_rounds_half_away_from_zero() {
        assert_eq!(mean(5, 2), Some(3));
        assert_eq!(mean(-5, 2), Some(-3));
        assert_eq!(mean(4, 3), Some(1));
        assert_eq!(mean(i64::MAX, 1), Some(i64::MAX));
        assert_eq!(mean(1, 0), None);
    }
}
