//! The view: one order as everybody sees it, a pure function of the joined state and the policy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::base::Base;
use super::refund;
use super::register::Register;
use super::state::{SourceOrder, Space, State};
use crate::event::{Campaign, Context, FinancialStatus, FulfillmentStatus, Item};
use crate::person::{Identifier, representative};
use crate::{EventName, EventTime, Money, PersonId, Source, WorkspaceId};

/// What the workspace has settled. A change of it is a versioned step, never a silent reload.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The tenant.
    pub workspace: WorkspaceId,
    /// Whose word counts where sources disagree, best first.
    pub precedence: Vec<Source>,
    /// The one source that owns an event: the same from another source neither counts nor triggers (R13.4).
    pub ownership: BTreeMap<EventName, Source>,
}

impl Policy {
    /// True where a source may say that an event has happened.
    pub fn owns(&self, source: Source, event: EventName) -> bool {
        self.ownership.get(&event).is_none_or(|owner| *owner == source)
    }
}

/// The remark on an order whose purchase a fraud rule marked, as told by the source whose word counts. It counts, and
/// figures are kept of it apart.
pub const FLAGGED: &str = "flagged";

/// One order (`commerce.orders.v1`, and `before` and `after` of every order fact).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct View {
    /// The id by which it was seen first.
    pub id: String,
    /// Other ids and display numbers.
    pub aliases: Vec<String>,
    /// The source whose word counts.
    pub source: Option<Source>,
    /// Every source that speaks of it.
    pub sources: Vec<Source>,
    /// Whose order it is, absent for a guest.
    pub person_id: Option<PersonId>,
    /// The version of the source whose word counts.
    pub updated_at: Option<EventTime>,
    /// Payment state.
    pub financial_status: Option<FinancialStatus>,
    /// Delivery state.
    pub fulfillment_status: Option<FulfillmentStatus>,
    /// When it was placed.
    pub placed_at: Option<EventTime>,
    /// First evidence of full payment.
    pub paid_at: Option<EventTime>,
    /// First evidence of a partial hand-over.
    pub partially_fulfilled_at: Option<EventTime>,
    /// First evidence that all was handed over.
    pub fulfilled_at: Option<EventTime>,
    /// First evidence of a cancellation.
    pub cancelled_at: Option<EventTime>,
    /// True when it counts as a purchase: paid, and no test.
    pub counted: bool,
    /// The instant whose day it counts in.
    pub counted_at: Option<EventTime>,
    /// Grand total.
    pub total: Option<Money>,
    /// After discounts, without tax and shipping.
    pub subtotal: Option<Money>,
    /// Taken off.
    pub discount_total: Option<Money>,
    /// Shipping.
    pub shipping_total: Option<Money>,
    /// Tax.
    pub tax_total: Option<Money>,
    /// What went back, by refund id; together never more than the total.
    pub refunds: BTreeMap<String, Money>,
    /// When, by refund id.
    pub refund_times: BTreeMap<String, EventTime>,
    /// Sum of the refunds.
    pub refunded_total: Option<Money>,
    /// Total less refunds.
    pub net: Option<Money>,
    /// Sum of quantities.
    pub item_count: i64,
    /// The lines.
    pub items: Vec<Item>,
    /// Coupon codes, in order.
    pub coupon_codes: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Where the shopper came from.
    pub campaign: Option<Campaign>,
    /// ISO 3166 alpha-2.
    pub country: Option<String>,
    /// Where the shopper sat.
    pub context: Option<Context>,
    /// Test traffic.
    pub qa: bool,
    /// Remarks: `refund_exceeds_order`, `refunded_rest`, `currency_conflict`, `fx_missing`, [`FLAGGED`].
    pub flags: Vec<String>,
    /// The carts that it came of, ascending.
    #[serde(default)]
    pub carts: Vec<String>,
    /// The amounts in the workspace's base currency. Absent where they are in it already, and as long as the rate of
    /// the order's hour isn't known, then with the flag `fx_missing`.
    #[serde(default)]
    pub base: Option<Base>,
}

/// What figures are made of: the part of a [`View`] that the reader of many facts needs. Each field is as in the view.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct Figures {
    /// The id by which it was seen first.
    pub id: String,
    /// The source whose word counts.
    pub source: Option<Source>,
    /// Whose order it is, absent for a guest.
    pub person_id: Option<PersonId>,
    /// When it was placed.
    pub placed_at: Option<EventTime>,
    /// First evidence of a cancellation.
    pub cancelled_at: Option<EventTime>,
    /// True when it counts as a purchase.
    pub counted: bool,
    /// The instant whose day it counts in.
    pub counted_at: Option<EventTime>,
    /// Grand total.
    pub total: Option<Money>,
    /// Taken off.
    pub discount_total: Option<Money>,
    /// Shipping.
    pub shipping_total: Option<Money>,
    /// Tax.
    pub tax_total: Option<Money>,
    /// What went back, by refund id.
    pub refunds: BTreeMap<String, Money>,
    /// When, by refund id.
    pub refund_times: BTreeMap<String, EventTime>,
    /// Sum of quantities.
    pub item_count: i64,
    /// The lines.
    pub items: Vec<Line>,
    /// Coupon codes, in order.
    pub coupon_codes: Vec<String>,
    /// Where the shopper came from.
    pub campaign: Option<Campaign>,
    /// ISO 3166 alpha-2.
    pub country: Option<String>,
    /// Where the shopper sat.
    pub context: Option<Context>,
    /// Test traffic.
    pub qa: bool,
    /// True with the remark [`FLAGGED`].
    #[serde(default)]
    pub flagged: bool,
    /// The carts that it came of.
    #[serde(default)]
    pub carts: Vec<String>,
    /// The amounts in base.
    #[serde(default)]
    pub base: Option<Base>,
}

impl Figures {
    /// When and for how much it counts as a purchase; `None` as long as it doesn't.
    pub fn purchase(&self) -> Option<(EventTime, &Money)> {
        let counts = self.counted && !self.qa;
        counts.then_some(())?;
        Some((self.counted_at?, self.total.as_ref()?))
    }
}

/// The part of an [`Item`] that figures are made of. Each field is as in the item.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct Line {
    /// The product id as text, else the sku.
    pub product_id: Option<String>,
    /// Stock keeping unit.
    pub sku: Option<String>,
    /// Title of the product.
    pub title: Option<String>,
    /// How many.
    pub quantity: i64,
    /// Unit price.
    pub price: Option<Money>,
    /// Taken off this line.
    pub discount: Option<Money>,
}

/// The id of the refund that stands for "the rest of the total went back" when no amounts were given.
const REST: &str = "rest";

impl State {
    /// The handle of whoever placed the order: the best of all that its deliveries name.
    pub fn buyer(&self) -> Option<Identifier> {
        let identifiers: Vec<Identifier> = self.sources.values().flat_map(SourceOrder::identifiers).collect();
        representative(&identifiers).cloned()
    }

    /// What each source says, best first.
    pub(super) fn ranked(&self, policy: &Policy) -> Vec<(&Space, &SourceOrder)> {
        let mut ranked: Vec<(&Space, &SourceOrder)> = self.sources.iter().collect();
        let rank = |source: Source| {
            policy.precedence.iter().position(|s| *s == source).unwrap_or(policy.precedence.len())
        };
        // The map is sorted, so equal ranks keep a fixed order.
        ranked.sort_by_key(|(space, _)| (rank(space.source), space.source));
        ranked
    }

    /// The order as everybody sees it, but for the person: who [`State::buyer`] is depends on more than the order.
    /// `None` before any delivery.
    pub fn view(&self, policy: &Policy) -> Option<View> {
        let id = self.id()?;
        let ranked = self.ranked(policy);
        let orders: Vec<&SourceOrder> = ranked.iter().map(|(_, order)| *order).collect();
        let leader = *orders.first()?;

        let mut flags = Vec::new();
        let total = pick(&orders, |o| &o.total);
        let owners = |event: EventName| {
            ranked.iter().filter(move |(space, _)| policy.owns(space.source, event)).map(|(_, order)| *order)
        };
        let refunding: Vec<&SourceOrder> = owners(EventName::OrderRefunded).collect();
        let (refunds, refund_times) = refunds(&refunding, total, &mut flags);
        let refunded = refunds.values().try_fold(0_i64, |sum, money| sum.checked_add(money.minor));
        let currency = total.map(|t| t.currency).or_else(|| refunds.values().next().map(|m| m.currency));
        let refunded_total = currency.map(|currency| Money::new(refunded.unwrap_or(i64::MAX), currency));
        let net =
            total.zip(refunded_total).map(|(t, r)| Money::new(t.minor.saturating_sub(r.minor), t.currency));
        let parts = [
            pick(&orders, |o| &o.subtotal),
            pick(&orders, |o| &o.discount_total),
            pick(&orders, |o| &o.shipping_total),
            pick(&orders, |o| &o.tax_total),
        ];
        // Without a total and refunds the first of them says in what the order is.
        let own = currency.or_else(|| parts.iter().flatten().next().map(|money| money.currency));
        let [subtotal, discount_total, shipping_total, tax_total] = parts.map(|money| {
            let foreign = money.is_some_and(|money| Some(money.currency) != own);
            if foreign {
                flag(&mut flags, "currency_conflict");
            }
            money.filter(|_| !foreign)
        });
        let qa = orders.iter().any(|o| o.qa);
        let instant = |event: EventName, get: fn(&SourceOrder) -> Option<EventTime>| {
            owners(event).filter_map(get).min()
        };
        let counted_at = instant(EventName::OrderPaid, |o| o.counted_at);
        let mut sources: Vec<Source> = ranked.iter().map(|(space, _)| space.source).collect();
        sources.dedup();
        let others = orders.iter().filter_map(|o| o.id()).filter(|other| *other != id).map(str::to_owned);
        let mut aliases: Vec<String> =
            orders.iter().flat_map(|o| o.aliases.iter().cloned()).chain(others).collect();
        aliases.retain(|alias| alias != id);
        aliases.sort_unstable();
        aliases.dedup();
        let items = pick(&orders, |o| &o.items).unwrap_or_default();
        if leader.flagged {
            flag(&mut flags, FLAGGED);
        }
        Some(View {
            id: id.to_owned(),
            aliases,
            source: sources.first().copied(),
            sources,
            person_id: None,
            updated_at: leader.version().map(|version| version.at),
            financial_status: pick(&orders, |o| &o.financial_status),
            fulfillment_status: pick(&orders, |o| &o.fulfillment_status),
            placed_at: instant(EventName::OrderPlaced, |o| o.placed_at),
            paid_at: instant(EventName::OrderPaid, |o| o.paid_at),
            partially_fulfilled_at: instant(EventName::OrderPartiallyFulfilled, |o| o.partially_fulfilled_at),
            fulfilled_at: instant(EventName::OrderFulfilled, |o| o.fulfilled_at),
            cancelled_at: instant(EventName::OrderCancelled, |o| o.cancelled_at),
            counted: counted_at.is_some() && !qa,
            counted_at,
            total,
            subtotal,
            discount_total,
            shipping_total,
            tax_total,
            refunds,
            refund_times,
            refunded_total,
            net,
            item_count: pick(&orders, |o| &o.item_count)
                .unwrap_or_else(|| items.iter().fold(0, |sum, item| item.quantity.saturating_add(sum))),
            items,
            coupon_codes: pick(&orders, |o| &o.coupon_codes).unwrap_or_default(),
            tags: pick(&orders, |o| &o.tags).unwrap_or_default(),
            campaign: pick(&orders, |o| &o.campaign),
            country: pick(&orders, |o| &o.country),
            context: pick(&orders, |o| &o.context),
            qa,
            flags,
            carts: orders
                .iter()
                .flat_map(|o| &o.carts)
                .cloned()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            base: None,
        })
    }
}

/// The value of the best source that has one.
fn pick<T: Clone>(orders: &[&SourceOrder], get: impl Fn(&SourceOrder) -> &Register<T>) -> Option<T> {
    orders.iter().find_map(|order| get(order).as_ref().map(|(_, value)| value.clone()))
}

type Refunds = (BTreeMap<String, Money>, BTreeMap<String, EventTime>);

/// The refunds of the best source that lists any, in order of time, cut where they exceed the total (R4.3). A refund
/// in another currency than the order's can't be subtracted: it is left out and flagged.
fn refunds(orders: &[&SourceOrder], total: Option<Money>, flags: &mut Vec<String>) -> Refunds {
    let speaks = |o: &&&SourceOrder| !o.refunds.is_empty() || matches!(o.refunded_rest, Some((_, true)));
    let Some(order) = orders.iter().find(speaks) else { return Refunds::default() };
    let listed = refund::resolve(&order.refunds);
    let currency = total.map(|t| t.currency).or_else(|| listed.first().map(|(_, _, m)| m.currency));
    let (mut amounts, mut times) = Refunds::default();
    let mut left = total.map(|t| t.minor.max(0));
    for (at, id, amount) in listed {
        if Some(amount.currency) != currency {
            flag(flags, "currency_conflict");
            continue;
        }
        let mut minor = amount.minor.max(0);
        if let Some(left) = &mut left {
            if minor > *left {
                flag(flags, "refund_exceeds_order");
                minor = *left;
            }
            *left -= minor;
        }
        amounts.insert(id.clone(), Money::new(minor, amount.currency));
        times.insert(id, at);
    }
    let rest = matches!(order.refunded_rest, Some((_, true)));
    if let (true, Some(left @ 1..), Some(currency), Some(at)) = (rest, left, currency, order.rest_at) {
        flag(flags, "refunded_rest");
        amounts.insert(REST.to_owned(), Money::new(left, currency));
        times.insert(REST.to_owned(), at);
    }
    (amounts, times)
}

fn flag(flags: &mut Vec<String>, name: &str) {
    if !flags.iter().any(|f| f == name) {
        flags.push(name.to_owned());
    }
}
