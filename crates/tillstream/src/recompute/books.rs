//! The totals of each person from their orders, worked out by a way of its own: no sum is carried on from one change to the
//! next, and nothing of the stages' own code is used.

use std::collections::BTreeMap;

use commerce::event::FinancialStatus;
use commerce::order::View;
use commerce::profile::Reported;
use commerce::{Currency, EventTime, Money, PersonId, Profile};
use serde::Serialize;
use serde_json::{Value, json};

/// A person of a workspace.
pub(super) type Who = (String, PersonId);

fn is_of(who: &Who, workspace: Option<&str>) -> bool {
    workspace.is_none_or(|wanted| who.0 == wanted)
}

/// A sum left the range of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum went beyond 64 bits")]
pub(super) struct Overflow;

/// Minor units by currency. What is zero isn't there.
pub(super) type Sums = BTreeMap<Currency, i64>;

/// Orders and profiles as their topics have them now.
#[derive(Debug, Default)]
pub(super) struct Books {
    orders: BTreeMap<Vec<u8>, (Who, Order)>,
    people: BTreeMap<Who, Live>,
    /// The newest arrival that is in them, in microseconds.
    pub(super) as_of: i64,
}

/// An order that reached payment.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    placed_at: EventTime,
    total: Money,
    is_cancelled: bool,
    /// Its latest state is `paid`.
    is_paid: bool,
    refunds: Vec<(Option<EventTime>, i64)>,
    /// Its amounts in another currency than its own, where the rate is known.
    converted: Option<Converted>,
}

/// The amounts of an order in the base currency.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Converted {
    base: Currency,
    sums: InBase,
    /// What went back, and when.
    back: Vec<(EventTime, i64)>,
}

/// Amounts in the base currency, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct InBase {
    /// Gross.
    total_spent: i64,
    /// Net, without cancelled orders.
    lifetime_value: i64,
    refunded_total: i64,
}

impl InBase {
    fn plus(self, other: Self) -> Result<Self, Overflow> {
        let sum = |a: i64, b: i64| a.checked_add(b).ok_or(Overflow);
        Ok(Self {
            total_spent: sum(self.total_spent, other.total_spent)?,
            lifetime_value: sum(self.lifetime_value, other.lifetime_value)?,
            refunded_total: sum(self.refunded_total, other.refunded_total)?,
        })
    }
}

/// What a profile says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Live {
    email: Option<String>,
    base: Currency,
    reported: Reported,
    totals: Totals,
    in_base: InBase,
}

/// The totals of a person, as a profile has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Totals {
    pub(super) orders_count: i64,
    /// Gross.
    pub(super) total_spent: Sums,
    /// Net, without cancelled orders.
    pub(super) lifetime_value: Sums,
    pub(super) refunded_total: Sums,
    pub(super) first_order_at: Option<EventTime>,
    pub(super) last_order_at: Option<EventTime>,
}

/// A figure that isn't what the books say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) workspace: String,
    pub(super) person_id: PersonId,
    pub(super) field: &'static str,
    /// What the profile says; `null` where there is none.
    pub(super) live: Value,
    /// What the books say.
    pub(super) recomputed: Value,
}

/// A person as the import takes them: from the books alone, in the base currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) email: String,
    pub(super) ltv: Money,
    pub(super) order_count: i64,
    pub(super) last_order_at: Option<EventTime>,
    /// Of orders whose latest state is `paid` (D-REC-3).
    pub(super) paid_only_ltv: Money,
    pub(super) paid_only_order_count: i64,
    pub(super) paid_only_last_order_at: Option<EventTime>,
}

/// All rows, and how many people aren't among them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// People with orders and without an address of their own.
    pub(super) without_email: usize,
    /// People with orders in a currency that can't be added.
    pub(super) in_other_currencies: usize,
}

impl Books {
    /// Takes a record of the orders' topic; `None` is a tombstone.
    pub(super) fn order(&mut self, key: &[u8], view: Option<&View>) {
        let workspace = key.split(|byte| *byte == b':').next().unwrap_or_default();
        let workspace = String::from_utf8_lossy(workspace).into_owned();
        let read = view.and_then(|view| Some(((workspace, view.person_id?), Order::of(view)?)));
        match read {
            Some(order) => drop(self.orders.insert(key.to_vec(), order)),
            None => drop(self.orders.remove(key)),
        }
    }

    /// Takes a record of the profiles' topic.
    pub(super) fn profile(&mut self, key: &[u8], profile: Option<Profile>) {
        if let Some(profile) = profile {
            self.as_of = self.as_of.max(profile.as_of.0);
            let who = (profile.workspace.to_string(), profile.person_id);
            if profile.merged_into.is_none() {
                self.people.insert(who, Live::of(profile));
            } else {
                self.people.remove(&who);
            }
            return;
        }
        let text = String::from_utf8_lossy(key);
        let who = text
            .split_once(':')
            .and_then(|(workspace, id)| Some((workspace.to_owned(), PersonId::parse(id)?)));
        who.and_then(|who| self.people.remove(&who));
    }

    /// How many people there are with a profile or an order.
    pub(super) fn people(&self, workspace: Option<&str>) -> usize {
        let everybody = self.people.keys().chain(self.orders.values().map(|(who, _)| who));
        let people: std::collections::BTreeSet<&Who> =
            everybody.filter(|who| is_of(who, workspace)).collect();
        people.len()
    }

    /// How many orders reached payment and are somebody's.
    pub(super) fn orders(&self, workspace: Option<&str>) -> usize {
        self.orders.values().filter(|(who, _)| is_of(who, workspace)).count()
    }

    /// The workspaces that have people.
    pub(super) fn workspaces(&self) -> std::collections::BTreeSet<&str> {
        self.people.keys().map(|(workspace, _)| workspace.as_str()).collect()
    }

    /// Everything in which a profile isn't what the person's orders, and the totals that a source reported of them, make
    /// it.
    pub(super) fn differences(&self, workspace: Option<&str>) -> Result<Vec<Difference>, Overflow> {
        let is_wanted = |who: &Who| is_of(who, workspace);
        let mut differences = Vec::new();
        let mut orders = self.by_person();
        for (who, live) in self.people.iter().filter(|(who, _)| is_wanted(who)) {
            let orders = orders.remove(who).unwrap_or_default();
            let books = with_reported(&orders, &live.reported)?;
            compare(who, Some(&live.totals), &books, &mut differences);
            compare_in_base(who, live, &in_base(&orders, live, &books)?, &mut differences);
        }
        for (who, orders) in orders.into_iter().filter(|(who, _)| is_wanted(who)) {
            compare(who, None, &own(&orders)?, &mut differences);
        }
        Ok(differences)
    }

    /// The people of a workspace with orders, from the books alone.
    pub(super) fn rows(&self, workspace: &str) -> Result<Rows, Overflow> {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for (who, live) in &self.people {
            if let (true, Some(email)) = (who.0 == workspace, &live.email) {
                *known.entry(email).or_default() += 1;
            }
        }
        let mut all = Rows::default();
        for (who, orders) in self.by_person().into_iter().filter(|(who, _)| who.0 == workspace) {
            let live = self.people.get(who);
            let email = live.and_then(|live| Some((live.base, live.email.as_deref()?)));
            let Some((base, email)) = email.filter(|(_, email)| known.get(email) == Some(&1)) else {
                all.without_email += 1;
                continue;
            };
            if orders.iter().any(|order| order.total.currency != base) {
                all.in_other_currencies += 1;
                continue;
            }
            let paid: Vec<&Order> = orders.iter().copied().filter(|order| order.is_paid).collect();
            let (books, paid) = (own(&orders)?, own(&paid)?);
            let spent =
                |totals: &Totals| Money::new(totals.total_spent.get(&base).copied().unwrap_or(0), base);
            all.rows.push(Row {
                email: email.to_owned(),
                ltv: spent(&books),
                order_count: books.orders_count,
                last_order_at: books.last_order_at,
                paid_only_ltv: spent(&paid),
                paid_only_order_count: paid.orders_count,
                paid_only_last_order_at: paid.last_order_at,
            });
        }
        Ok(all)
    }

    fn by_person(&self) -> BTreeMap<&Who, Vec<&Order>> {
        let mut people: BTreeMap<&Who, Vec<&Order>> = BTreeMap::new();
        for (who, order) in self.orders.values() {
            people.entry(who).or_default().push(order);
        }
        people
    }
}

impl Order {
    /// `None` for an order that never reached payment, is a test, or of which no amount is known.
    fn of(view: &View) -> Option<Self> {
        let paid_at = view.counted_at.filter(|_| !view.qa)?;
        let minor = |money: Option<Money>| money.map_or(0, |money| money.minor);
        let converted = view.base.as_ref().and_then(|base| {
            let net = if view.cancelled_at.is_some() { 0 } else { minor(base.net) };
            let refunded_total = minor(base.refunded_total);
            let total_spent = base.total?.minor;
            let back = base.refunds.iter();
            let back =
                back.filter_map(|(id, money)| Some((*view.refund_times.get(id)?, money.minor))).collect();
            let sums = InBase { total_spent, lifetime_value: net, refunded_total };
            Some(Converted { base: base.currency, sums, back })
        });
        Some(Self {
            converted,
            placed_at: view.placed_at.unwrap_or(paid_at),
            total: view.total?,
            is_cancelled: view.cancelled_at.is_some(),
            is_paid: view.financial_status == Some(FinancialStatus::Paid),
            refunds: view
                .refunds
                .iter()
                .map(|(id, money)| (view.refund_times.get(id).copied(), money.minor))
                .collect(),
        })
    }
}

impl Live {
    fn of(profile: Profile) -> Self {
        let sums = |mut sums: Sums| {
            sums.retain(|_, minor| *minor != 0);
            sums
        };
        // The books are of orders: what payments add to the lifetime value is taken as the profile says.
        let base = profile.total_spent.currency;
        let mut kept = profile.lifetime_value_by_currency;
        let paid = profile.payments_in_lifetime_value_by_currency;
        for (currency, minor) in &paid {
            let sum = kept.entry(*currency).or_default();
            *sum = sum.saturating_sub(*minor);
        }
        let paid_in_base = paid.get(&base).copied().unwrap_or_default();
        Self {
            in_base: InBase {
                total_spent: profile.total_spent.minor,
                lifetime_value: profile.lifetime_value.minor.saturating_sub(paid_in_base),
                refunded_total: profile.refunded_total.minor,
            },
            email: profile.contact.email.as_deref().and_then(commerce::person::email),
            base,
            reported: profile.reported,
            totals: Totals {
                orders_count: profile.orders_count,
                total_spent: sums(profile.total_spent_by_currency),
                lifetime_value: sums(kept),
                refunded_total: sums(profile.refunded_total_by_currency),
                first_order_at: profile.first_order_at,
                last_order_at: profile.last_order_at,
            },
        }
    }
}

/// The totals of these orders and nothing else.
fn own(orders: &[&Order]) -> Result<Totals, Overflow> {
    let mut totals = Totals { orders_count: count(orders.len())?, ..Totals::default() };
    for order in orders {
        let currency = order.total.currency;
        let mut refunded = 0_i64;
        for (_, minor) in &order.refunds {
            refunded = refunded.checked_add(*minor).ok_or(Overflow)?;
        }
        add(&mut totals.total_spent, currency, order.total.minor)?;
        add(&mut totals.refunded_total, currency, refunded)?;
        if !order.is_cancelled {
            add(&mut totals.lifetime_value, currency, order.total.minor)?;
            add(&mut totals.lifetime_value, currency, refunded.checked_neg().ok_or(Overflow)?)?;
        }
    }
    totals.first_order_at = orders.iter().map(|order| order.placed_at).min();
    totals.last_order_at = orders.iter().map(|order| order.placed_at).max();
    Ok(totals)
}

/// The same on top of what a source reported (R11.1): its number and its amount replace what was before their instant, each
/// by itself. A zero beside orders that we have is not believed (R11.2).
fn with_reported(orders: &[&Order], reported: &Reported) -> Result<Totals, Overflow> {
    let mut totals = own(orders)?;
    let is_believed = |figure: i64| figure != 0 || orders.is_empty();
    if let (Some(number), Some(at)) = (reported.orders_count, reported.orders_count_at)
        && is_believed(number)
    {
        let later = orders.iter().filter(|order| order.placed_at > at).count();
        totals.orders_count = number.checked_add(count(later)?).ok_or(Overflow)?;
    }
    if let (Some(amount), Some(at)) = (reported.total_spent, reported.total_spent_at)
        && is_believed(amount.minor)
    {
        let currency = amount.currency;
        for sums in [&mut totals.total_spent, &mut totals.lifetime_value] {
            sums.remove(&currency);
            add(sums, currency, amount.minor)?;
        }
        for order in orders.iter().filter(|order| order.total.currency == currency) {
            let is_later = order.placed_at > at;
            if is_later {
                add(&mut totals.total_spent, currency, order.total.minor)?;
            }
            if order.is_cancelled {
                continue;
            }
            if is_later {
                add(&mut totals.lifetime_value, currency, order.total.minor)?;
            }
            for (refunded_at, minor) in &order.refunds {
                // A refund without a time can't be placed before or after the report.
                if refunded_at.is_some_and(|refunded_at| is_later || refunded_at > at) {
                    add(&mut totals.lifetime_value, currency, minor.checked_neg().ok_or(Overflow)?)?;
                }
            }
        }
    }
    totals.last_order_at = totals.last_order_at.max(reported.last_order_at);
    Ok(totals)
}

/// The totals in base: what is in base anyway, and what the rates of the other orders make of them. A total that a source
/// reported in base has the orders up to then in it, whatever they were paid in.
fn in_base(orders: &[&Order], live: &Live, totals: &Totals) -> Result<InBase, Overflow> {
    let base = live.base;
    let of = |sums: &Sums| sums.get(&base).copied().unwrap_or(0);
    let mut all = InBase {
        total_spent: of(&totals.total_spent),
        lifetime_value: of(&totals.lifetime_value),
        refunded_total: of(&totals.refunded_total),
    };
    let reported = &live.reported;
    let told =
        reported.total_spent.filter(|told| told.currency == base && (told.minor != 0 || orders.is_empty()));
    let until = told.and(reported.total_spent_at);
    for order in orders.iter().filter(|order| order.total.currency != base) {
        let Some(converted) = order.converted.as_ref().filter(|converted| converted.base == base) else {
            continue;
        };
        let mut sums = converted.sums;
        if let Some(until) = until.filter(|until| order.placed_at <= *until) {
            // It is in what was reported; what of it went back later is not.
            let later = converted.back.iter().filter(|(at, _)| *at > until && !order.is_cancelled);
            let back = later.map(|(_, minor)| *minor).try_fold(0_i64, i64::checked_add).ok_or(Overflow)?;
            (sums.total_spent, sums.lifetime_value) = (0, back.checked_neg().ok_or(Overflow)?);
        }
        all = all.plus(sums)?;
    }
    Ok(all)
}

fn compare_in_base(who: &Who, live: &Live, books: &InBase, differences: &mut Vec<Difference>) {
    let figures = |sums: &InBase| {
        [
            ("total_spent", sums.total_spent),
            ("lifetime_value", sums.lifetime_value),
            ("refunded_total", sums.refunded_total),
        ]
    };
    for ((field, live), (_, recomputed)) in figures(&live.in_base).into_iter().zip(figures(books)) {
        if live != recomputed {
            let (workspace, person_id) = (who.0.clone(), who.1);
            let (live, recomputed) = (json!(live), json!(recomputed));
            differences.push(Difference { workspace, person_id, field, live, recomputed });
        }
    }
}

fn add(sums: &mut Sums, currency: Currency, minor: i64) -> Result<(), Overflow> {
    let sum = sums.get(&currency).copied().unwrap_or(0).checked_add(minor).ok_or(Overflow)?;
    if sum == 0 {
        sums.remove(&currency);
    } else {
        sums.insert(currency, sum);
    }
    Ok(())
}

fn count(n: usize) -> Result<i64, Overflow> {
    i64::try_from(n).map_err(|_| Overflow)
}

/// A figure as it is compared and shown.
type Get = fn(&Totals) -> Value;

fn time(at: Option<EventTime>) -> Value {
    json!(at.map(EventTime::to_rfc3339))
}

fn compare(who: &Who, live: Option<&Totals>, books: &Totals, differences: &mut Vec<Difference>) {
    let fields: [(&'static str, Get); 6] = [
        ("orders_count", |totals| json!(totals.orders_count)),
        ("total_spent_by_currency", |totals| json!(totals.total_spent)),
        ("lifetime_value_by_currency", |totals| json!(totals.lifetime_value)),
        ("refunded_total_by_currency", |totals| json!(totals.refunded_total)),
        ("first_order_at", |totals| time(totals.first_order_at)),
        ("last_order_at", |totals| time(totals.last_order_at)),
    ];
    for (field, get) in fields {
        let (live, recomputed) = (live.map_or(Value::Null, get), get(books));
        if live != recomputed {
            let (workspace, person_id) = (who.0.clone(), who.1);
            differences.push(Difference { workspace, person_id, field, live, recomputed });
        }
    }
}

#[cfg(test)]
mod tests;
