//! Totals that a source maintains itself, in the place of our own (R11.1).

use super::{Known, Rollup};
use crate::Currency;

/// Our own sums, or where a source reports totals, these with what came later (R11.1). A zero while we have counted
/// orders ourselves is not believed (R11.2).
pub(super) fn with_reported(known: &Known, base: Currency, flags: &mut Vec<String>) -> Rollup {
    let (reported, own) = (&known.reported, known.rollup.orders_count());
    let mut rollup = known.rollup.clone();
    let mut suspect = false;
    if let (Some(count), Some(_)) = (reported.orders_count, reported.orders_count_at) {
        if count == 0 && own > 0 {
            suspect = true;
        } else {
            let all = count.saturating_add(known.later.orders);
            let others = own.saturating_sub(rollup.by_currency.get(&base).map_or(0, |sums| sums.orders));
            rollup.by_currency.entry(base).or_default().orders = all.saturating_sub(others);
        }
    }
    if let (Some(total), Some(_)) = (reported.total_spent, reported.total_spent_at) {
        if total.minor == 0 && own > 0 {
            suspect = true;
        } else {
            let spent = total.minor.saturating_add(known.later.spent);
            let lifetime = total.minor.saturating_add(known.later.lifetime);
            let sums = rollup.by_currency.entry(total.currency).or_default();
            (sums.spent, sums.lifetime) = (spent, lifetime);
            if total.currency == base {
                // What the source has said in base has the orders up to then in it, whatever they were paid in; what of
                // them went back later lowers the net.
                let (spent, lifetime) = (known.later.base_spent, known.later.base_lifetime);
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
    rollup
}

/// How many orders the amount in base is of, where a source reports that amount: all but those that came later and have
/// no rate yet.
pub(super) fn orders_in_base(known: &Known, rollup: &Rollup, base: Currency) -> Option<i64> {
    let (total, _) = known.reported.total_spent.zip(known.reported.total_spent_at)?;
    let is_suspect = total.minor == 0 && known.rollup.orders_count() > 0;
    if total.currency != base || is_suspect {
        return None;
    }
    Some(rollup.orders_count().saturating_sub(known.later.unpriced))
}
