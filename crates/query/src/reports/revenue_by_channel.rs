//! `revenue-by-channel` (§6.5).

use serde::Serialize;

use super::actors::distinct;
use super::breakdown::Breakdown;
use super::{Basis, Question};
use crate::amount::{Amount, Percent};

/// The answer.
#[derive(Debug, Serialize)]
pub struct RevenueByChannel<'a> {
    /// By revenue descending; together all revenue.
    pub channels: Vec<Channel<'a>>,
    /// Days of the range.
    pub days: i32,
    /// What the figures rest on.
    #[serde(flatten)]
    pub basis: Basis,
}

/// One combination; what is absent is `(none)`.
#[derive(Debug, Serialize)]
pub struct Channel<'a> {
    /// The purchase's own campaign.
    pub campaign: &'a str,
    /// Its traffic source.
    pub source: &'a str,
    /// Its medium.
    pub medium: &'a str,
    /// Gross.
    pub revenue: Amount,
    /// Counted orders.
    pub orders: i128,
    /// Actors who bought, of all actors with any event of the channel.
    pub conversion_rate: Percent,
}

/// Computes the answer.
pub fn of<'a>(question: &Question<'a>) -> RevenueByChannel<'a> {
    let dimensions = ["utm_campaign", "utm_source", "utm_medium"];
    let found = Breakdown::of(question, "revenue_by_channel", dimensions, ["revenue", "orders"]);
    let [buyers, visitors] = ["buyers", "visitors"].map(|set| distinct(question, set, dimensions));
    let channel = |(channel, [revenue, orders]): &([&'a str; 3], [i128; 2])| {
        let [campaign, source, medium] = *channel;
        Channel {
            campaign,
            source,
            medium,
            revenue: found.amount(*revenue),
            orders: *orders,
            conversion_rate: Percent::of(buyers.of(channel), visitors.of(channel)),
        }
    };
    let channels = found.rows.iter().map(channel).collect();
    RevenueByChannel { channels, days: question.range.days(), basis: found.basis }
}

#[cfg(test)]
mod tests {
    use super::super::breakdown::samples::cell;
    use super::super::samples::question;
    use super::*;
    use crate::cells::samples::cells;

    fn sold(campaign: &str, source: &str, revenue: i64) -> commerce::Metric {
        let channel = [("utm_campaign", campaign), ("utm_source", source), ("utm_medium", "(none)")];
        cell("revenue_by_channel", "2026-03-01", &channel, &[("revenue", revenue), ("orders", 1)])
    }

    #[test]
    fn channels_are_by_revenue_then_by_their_text() {
        let known = cells(&[
            sold("spring", "b", 100),
            sold("spring", "a", 100),
            sold("(none)", "(none)", 100),
            sold("winter", "a", 700),
        ]);
        assert_eq!(
            serde_json::to_string(&of(&question(Some(&known), "2026-03-01", "2026-03-01"))).unwrap(),
            concat!(
                r#"{"channels":[{"campaign":"winter","source":"a","medium":"(none)","revenue":7.00,"orders":1,"conversion_rate":0.0},"#,
                r#"{"campaign":"(none)","source":"(none)","medium":"(none)","revenue":1.00,"orders":1,"conversion_rate":0.0},"#,
                r#"{"campaign":"spring","source":"a","medium":"(none)","revenue":1.00,"orders":1,"conversion_rate":0.0},"#,
                r#"{"campaign":"spring","source":"b","medium":"(none)","revenue":1.00,"orders":1,"conversion_rate":0.0}],"#,
                r#""days":1,"currency":"USD","held":{},"as_of":null,"corrected":false}"#
            )
        );
    }
}
