//! Refunds that have no id of their own: sums so far, and calls that can't be told from their repetition.
//!
//! Both are kept as what they are, each observation under a key of its own, and become refunds when the order is
//! viewed. So it doesn't matter in which order they come.

use std::collections::BTreeMap;

use crate::event::Refund;
use crate::{EventTime, Money, ReceivedTime, time};

/// Within this time of the one before, a call without an id is the same refund (D-ANA-2).
const SAME_WITHIN: i64 = time::DAY;

const CUMULATIVE: &str = "cumulative:";
const UNNAMED: &str = "arrival:";

/// Under which key an observed refund is kept.
pub(super) fn key(refund: &Refund, received_at: ReceivedTime) -> String {
    // Padded, so that the keys sort as the numbers do.
    match refund.id.as_str() {
        Refund::CUMULATIVE => format!("{CUMULATIVE}{:020}", refund.amount.minor.max(0)),
        Refund::UNNAMED => format!("{UNNAMED}{:020}", received_at.0.max(0)),
        id => id.to_owned(),
    }
}

/// The refunds that observations stand for: a sum so far is a refund of what it grew by, and of calls without an id
/// the first of each 24 hours counts.
pub(super) fn resolve(
    observed: &BTreeMap<String, (u16, (Money, EventTime))>,
) -> Vec<(EventTime, String, Money)> {
    let mut refunds = Vec::with_capacity(observed.len());
    let (mut so_far, mut window) = (0, None::<i64>);
    for (key, (_, (amount, at))) in observed {
        if let Some(sum) = key.strip_prefix(CUMULATIVE) {
            let grown = amount.minor.max(0).saturating_sub(so_far);
            so_far = so_far.max(amount.minor);
            if grown > 0 {
                let id = format!("{CUMULATIVE}{}", sum.trim_start_matches('0'));
                refunds.push((*at, id, Money::new(grown, amount.currency)));
            }
        } else if let Some(arrival) = key.strip_prefix(UNNAMED).and_then(|text| text.parse::<i64>().ok()) {
            if window.is_none_or(|start| arrival.saturating_sub(start) >= SAME_WITHIN) {
                window = Some(arrival);
                refunds.push((*at, format!("{UNNAMED}{arrival}"), *amount));
            }
        } else {
            refunds.push((*at, key.clone(), *amount));
        }
    }
    refunds.sort_unstable();
    refunds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Currency;

    fn observed(refunds: &[(&str, i64, i64)]) -> BTreeMap<String, (u16, (Money, EventTime))> {
        let of = |(id, minor, hour): &(&str, i64, i64)| {
            let at = hour * 3_600 * time::SECOND;
            let amount = Money::new(*minor, Currency::USD);
            let refund = Refund { id: (*id).to_owned(), amount, at: EventTime(at) };
            (key(&refund, ReceivedTime(at)), (0, (amount, EventTime(at))))
        };
        refunds.iter().map(of).collect()
    }

    fn amounts(refunds: &[(&str, i64, i64)]) -> Vec<i64> {
        resolve(&observed(refunds)).iter().map(|(_, _, amount)| amount.minor).collect()
    }

    #[test]
    fn a_sum_so_far_is_a_refund_of_what_it_grew_by_in_any_order() {
        let id = Refund::CUMULATIVE;
        assert_eq!(amounts(&[(id, 1000, 1), (id, 1000, 2)]), [1000]);
        assert_eq!(amounts(&[(id, 1000, 1), (id, 2500, 5)]), [1000, 1500]);
        assert_eq!(amounts(&[(id, 2500, 5), (id, 1000, 1)]), [1000, 1500]);
        assert_eq!(amounts(&[(id, 0, 1)]), [] as [i64; 0]);
    }

    #[test]
    fn a_call_without_an_id_is_another_refund_only_after_a_day() {
        let id = Refund::UNNAMED;
        assert_eq!(amounts(&[(id, 500, 1), (id, 700, 24)]), [500]);
        assert_eq!(amounts(&[(id, 500, 1), (id, 600, 20), (id, 700, 25)]), [500, 700]);
        // The window runs from the one that counted: what was ignored doesn't extend it.
        assert_eq!(amounts(&[(id, 500, 1), (id, 600, 20), (id, 700, 26), (id, 800, 49)]), [500, 700]);
        assert_eq!(amounts(&[(id, 500, 1), ("re_1", 700, 2)]), [500, 700]);
    }
}
