//! Profiles: one record per person with the rollups of their orders (`commerce.profiles.v1`).

mod later;
mod payments;
mod reported;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Consent, FinancialStatus};
use crate::order::{FX_MISSING, View};
use crate::person::Identifier;
use crate::{Currency, EventTime, Money, PersonId, ReceivedTime, WorkspaceId};

pub use later::{Later, Since};
pub use payments::{Paid, Payments};
use reported::{orders_in_base, with_reported};

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
    /// When it arrived, as [`Event::turn`](crate::Event::turn) says.
    pub turn: ReceivedTime,
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
    /// What the merchant kept: counted, not cancelled orders less their refunds, in the base currency. With payments that
    /// name no order, where the policy includes them.
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
    /// What was collected from the person by payments, whatever they paid for, in the base currency; absent without such
    /// payments. Payments aren't converted: those in other currencies are by currency alone.
    #[serde(default)]
    pub payments_total: Option<Money>,
    /// The same by currency, minor units.
    #[serde(default)]
    pub payments_total_by_currency: BTreeMap<Currency, i64>,
    /// What of the lifetime value is of payments that name no order, less what went back of such, by currency.
    #[serde(default)]
    pub payments_in_lifetime_value_by_currency: BTreeMap<Currency, i64>,
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
    /// Since when, by their names. History: it depends on when the stage came to know of it.
    #[serde(default)]
    pub audiences_since: BTreeMap<String, EventTime>,
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
    /// What went back in base, and when, where the total is known in it.
    pub back_in_base: Vec<(EventTime, Money)>,
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
        let base = contribution.converted.and(view.base.as_ref());
        let back = base.into_iter().flat_map(|base| &base.refunds);
        let back = back.filter_map(|(id, money)| Some((*view.refund_times.get(id)?, *money)));
        Self {
            back_in_base: back.collect(),
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
    /// What the counted orders add to that.
    pub later: Later,
    /// Payments.
    pub payments: Payments,
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
    /// As in the profile: since when they are in which.
    pub audiences: BTreeMap<String, EventTime>,
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
        let rollup = with_reported(&known, base, &mut flags);
        let in_base = rollup.all_in_base(base);
        let priced = orders_in_base(&known, &rollup, base).unwrap_or(in_base.orders);
        let payments = &known.payments;
        let first = known.span.map(|span| span.0);
        Self {
            workspace,
            person_id,
            merged_into: None,
            contact: known.contact,
            orders_count: rollup.orders_count(),
            total_spent: Money::new(in_base.spent, base),
            total_spent_by_currency: rollup.by(|s| s.spent),
            lifetime_value: Money::new(payments.kept_with(in_base.lifetime, base), base),
            lifetime_value_by_currency: payments.kept_with_all(rollup.by(|s| s.lifetime)),
            refunded_total: Money::new(in_base.refunded, base),
            refunded_total_by_currency: rollup.by(|s| s.refunded),
            aov: mean(in_base.spent, priced).map(|minor| Money::new(minor, base)),
            first_order_at: first,
            last_order_at: known.span.map(|span| span.1).max(known.reported.last_order_at),
            reported: known.reported,
            payments_total: payments.total_in(base).map(|minor| Money::new(minor, base)),
            payments_total_by_currency: payments.totals(),
            payments_in_lifetime_value_by_currency: payments.kept(),
            payment_status: known.payment_status,
            last_payment_at: known.last_payment_at,
            payment_failed_at: known.payment_failed_at,
            created_at: known.created_at,
            attributes: known.attributes,
            consent: known.consent,
            tags: known.tags,
            audiences: known.audiences.keys().cloned().collect(),
            audiences_since: known.audiences,
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
mod tests;
