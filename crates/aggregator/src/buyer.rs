//! Revenue and orders of new and returning customers: a person's first purchase is `new`, every later one
//! `returning`, one without a person `guest`.
//!
//! The first is the earliest by the time of payment, whichever was seen first. So each person's purchases are kept in
//! that order, and one that comes late, moves or goes makes its neighbour what it has become.

use std::borrow::Cow;

use commerce::order::Figures;
use commerce::time::Zone;
use commerce::{Currency, EventTime, Fact, Money, PersonId};
use serde::{Deserialize, Serialize};
use stream::{Context, Failure};

use crate::BUYER;
use crate::aggregation::{Aggregation, Of, source};
use crate::cell::Deltas;
use crate::kept;
use crate::people::Actor;
use crate::unit::Unit;

pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue_by_buyer",
    cut: &["currency", "source", "buyer"],
    figures: &["revenue", "orders"],
    of: Of::State,
};

const NEW: &str = "new";
const RETURNING: &str = "returning";
const GUEST: &str = "guest";

/// One purchase of a person, under a key that ends with its time and its order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct Purchase {
    at: i64,
    minor: i64,
    currency: Currency,
    source: String,
    /// The amount in base, where that isn't its currency and the rate is known.
    in_base: Option<Money>,
}

/// A purchase and whose it is.
struct Bought<'a> {
    person: Option<PersonId>,
    order: &'a str,
    purchase: Purchase,
}

/// Moves what a fact changes.
pub(crate) fn apply(
    fact: &Fact<Figures>,
    zone: &Zone,
    ctx: &mut Context<'_>,
    deltas: &mut Deltas,
) -> Result<(), Failure> {
    let (before, after) = (fact.before.as_ref().and_then(bought), fact.after.as_ref().and_then(bought));
    let same = |a: &Bought<'_>, b: &Bought<'_>| {
        a.person == b.person && a.order == b.order && a.purchase == b.purchase
    };
    if before.as_ref().zip(after.as_ref()).is_some_and(|(a, b)| same(a, b)) {
        return Ok(());
    }
    for (bought, sign) in [(before, -1), (after, 1)] {
        let Some(Bought { person, order, purchase }) = bought else { continue };
        let Some(person) = person else {
            say(&purchase, GUEST, sign, zone, deltas);
            continue;
        };
        let whose = Actor::person(person).head(fact.workspace.as_str());
        let key = [&whose, &kept::sortable(purchase.at)[..], order.as_bytes()].concat();
        // Without this purchase: before it comes, or after it has gone.
        if sign < 0 {
            ctx.remove(BUYER, &key)?;
        }
        let first = ctx.first(BUYER, &whose);
        if first.as_ref().is_some_and(|(known, _)| *known < key) {
            say(&purchase, RETURNING, sign, zone, deltas);
        } else {
            say(&purchase, NEW, sign, zone, deltas);
            if let Some((_, next)) = first {
                let next: Purchase = kept::read(BUYER, &next)?;
                say(&next, NEW, -sign, zone, deltas);
                say(&next, RETURNING, sign, zone, deltas);
            }
        }
        if sign > 0 {
            kept::put(ctx, BUYER, &key, &purchase)?;
        }
    }
    Ok(())
}

fn bought(view: &Figures) -> Option<Bought<'_>> {
    let (at, total) = view.purchase()?;
    let Money { minor, currency } = *total;
    let in_base = view.base.as_ref().and_then(|base| base.total);
    let purchase = Purchase { at: at.0, minor, currency, source: source(view).to_owned(), in_base };
    Some(Bought { person: view.person_id, order: &view.id, purchase })
}

fn say(purchase: &Purchase, buyer: &'static str, sign: i64, zone: &Zone, deltas: &mut Deltas) {
    let total = Money::new(purchase.minor, purchase.currency);
    deltas.turn_to(AGGREGATION.metric, sign);
    for (unit, minor) in Unit::amounts(total, purchase.in_base) {
        let dimensions =
            [Cow::Owned(unit.to_string()), Cow::Owned(purchase.source.clone()), Cow::Borrowed(buyer)];
        deltas.add(zone.day_of(EventTime(purchase.at)), dimensions, [minor, 1]);
    }
}

#[cfg(test)]
mod tests {
    use commerce::order::Figures;
    use commerce::time::DAY;
    use commerce::{EventTime, PersonId};

    use crate::aggregation::samples::paid;
    use crate::processor::samples::Folded;

    fn by(person: u128, order: &str, minor: i64, day: i64) -> Figures {
        Figures { id: order.to_owned(), person_id: Some(PersonId(person)), ..paid(minor, day) }
    }

    #[test]
    fn an_earlier_purchase_that_comes_late_is_the_first() {
        let mut folded = Folded::new();
        folded.order(None, Some(&by(1, "b", 200, 5)));
        folded.order(None, Some(&by(1, "c", 300, 9)));
        folded.order(None, Some(&by(1, "a", 100, 1)));
        assert_eq!(
            folded.cells("revenue_by_buyer"),
            [
                "1970-01-02 new USD shopify: orders 1, revenue 100",
                "1970-01-06 returning USD shopify: orders 1, revenue 200",
                "1970-01-10 returning USD shopify: orders 1, revenue 300",
            ]
        );
    }

    #[test]
    fn when_the_first_purchase_goes_the_next_is_the_first() {
        let mut folded = Folded::new();
        let first = by(1, "a", 100, 1);
        folded.order(None, Some(&first));
        folded.order(None, Some(&by(1, "b", 200, 5)));
        folded.order(Some(&first), Some(&Figures { counted: false, ..first.clone() }));
        assert_eq!(folded.cells("revenue_by_buyer"), ["1970-01-06 new USD shopify: orders 1, revenue 200"]);
    }

    #[test]
    fn a_purchase_that_changes_its_person_day_or_amount_is_counted_once() {
        let mut folded = Folded::new();
        let guest = Figures { person_id: None, ..by(0, "a", 100, 3) };
        let known = by(1, "a", 150, 2);
        let later = Figures { counted_at: Some(EventTime(7 * DAY)), ..known.clone() };
        folded.order(None, Some(&by(1, "b", 200, 5)));
        folded.order(None, Some(&guest));
        assert_eq!(
            folded.cells("revenue_by_buyer")[0],
            "1970-01-04 guest USD shopify: orders 1, revenue 100"
        );
        folded.order(Some(&guest), Some(&known));
        folded.order(Some(&known), Some(&later));
        // The same again moves nothing.
        folded.order(Some(&later), Some(&Figures { item_count: 9, ..later.clone() }));
        assert_eq!(
            folded.cells("revenue_by_buyer"),
            [
                "1970-01-06 new USD shopify: orders 1, revenue 200",
                "1970-01-08 returning USD shopify: orders 1, revenue 150",
            ]
        );
    }

    #[test]
    fn two_people_who_turn_out_to_be_one_have_one_first_purchase() {
        let mut folded = Folded::new();
        let (old, own) = (by(1, "a", 100, 1), by(2, "b", 200, 5));
        folded.order(None, Some(&own));
        folded.order(None, Some(&old));
        assert!(folded.cells("revenue_by_buyer").iter().all(|cell| cell.contains(" new ")));
        folded.order(Some(&old), Some(&Figures { person_id: own.person_id, ..old.clone() }));
        assert_eq!(
            folded.cells("revenue_by_buyer"),
            [
                "1970-01-02 new USD shopify: orders 1, revenue 100",
                "1970-01-06 returning USD shopify: orders 1, revenue 200",
            ]
        );
    }
}
