//! Revenue, orders and refunds per hour of the workspace's zone, by currency: the shape of a day. An order stands in the
//! hour of its payment, a refund in its own. The hour that a clock set back shows twice is one of two hours' length.

use std::borrow::Cow;

use commerce::EventTime;
use commerce::time::Zone;

use crate::aggregation::{Aggregation, Of};
use crate::cell::{Deltas, HOUR, Span};

pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue_by_hour",
    cut: &["currency", HOUR],
    figures: &["gross", "orders", "refund_amount", "refunds"],
    of: Of::Order(|view, zone, deltas| {
        if let Some((at, total)) = view.purchase() {
            add(zone, deltas, at, total.currency.as_str(), [total.minor, 1, 0, 0]);
        }
        for (id, amount) in &view.refunds {
            if let Some(at) = view.refund_times.get(id) {
                add(zone, deltas, *at, amount.currency.as_str(), [0, 0, amount.minor, 1]);
            }
        }
    }),
};

fn add(zone: &Zone, deltas: &mut Deltas, at: EventTime, currency: &str, figures: [i64; 4]) {
    let (day, hour) = zone.hour_of(at);
    let dimensions = [Cow::Borrowed(currency), Cow::Owned(format!("{hour:02}"))];
    deltas.add_in(Span::Hour(day, hour), dimensions, figures);
}

#[cfg(test)]
mod tests {
    use commerce::order::Figures;
    use commerce::time::{DAY, SECOND};
    use commerce::{Currency, EventTime, Fact, Money, ReceivedTime};

    use crate::aggregation::samples::{cells_of, fact, paid};
    use crate::processor::samples::Folded;

    #[test]
    fn an_order_and_its_refund_stand_each_in_their_own_hour() {
        let mut view = Figures { counted_at: Some(EventTime(DAY + 5 * 3600 * SECOND)), ..paid(100, 1) };
        view.refunds.insert("r".into(), Money::new(40, Currency::USD));
        view.refund_times.insert("r".into(), EventTime(3 * DAY - 1));
        let cells = cells_of("revenue_by_hour", None, Some(&view));
        assert_eq!(cells, ["1 USD 05 [100, 1, 0, 0]", "2 USD 23 [0, 0, 40, 1]"]);
        let later = Figures { counted_at: Some(EventTime(DAY + 6 * 3600 * SECOND)), ..view.clone() };
        let cells = cells_of("revenue_by_hour", Some(&view), Some(&later));
        assert_eq!(cells, ["1 USD 05 [-100, -1, 0, 0]", "1 USD 06 [100, 1, 0, 0]"]);
    }

    #[test]
    fn the_window_of_a_cell_is_its_hour() {
        let mut folded = Folded::new();
        let view = Figures { counted_at: Some(EventTime(DAY + 23 * 3600 * SECOND)), ..paid(100, 1) };
        folded.order(None, Some(&view));
        let cell = folded.metrics.values().find(|cell| cell.metric == "revenue_by_hour").unwrap();
        assert_eq!((cell.window.as_str(), cell.window_start.as_str()), ("hour", "1970-01-02T23"));
        assert_eq!(cell.window_end_at, Some(EventTime(2 * DAY)));
        assert_eq!(cell.dimensions.keys().collect::<Vec<_>>(), ["currency"]);
        assert_eq!(cell.values["gross"], 100);
    }

    #[test]
    fn an_hour_that_moves_after_its_end_is_corrected_although_its_day_goes_on() {
        let at = |hour: i64| DAY + hour * 3600 * SECOND;
        let arrived = |hour: i64| Fact { received_at: ReceivedTime(at(hour)), ..fact() };
        let corrected = |folded: &Folded, name: &str| {
            let cell = folded.metrics.values().find(|cell| cell.metric == name).unwrap();
            (cell.corrected, cell.revision)
        };
        let mut folded = Folded::new();
        let view = Figures { counted_at: Some(EventTime(at(5))), ..paid(100, 1) };
        folded.order_in(arrived(5), None, Some(&view));
        assert_eq!(corrected(&folded, "revenue_by_hour"), (false, 0));
        let more = Figures { total: Some(Money::new(150, Currency::USD)), ..view.clone() };
        folded.order_in(arrived(6), Some(&view), Some(&more));
        assert_eq!(corrected(&folded, "revenue_by_hour"), (true, 1));
        assert_eq!(corrected(&folded, "revenue"), (false, 0), "the day isn't over");
    }
}
