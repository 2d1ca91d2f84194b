//! Revenue and orders by the purchase's own campaign, source and medium; absent ones are `(none)`.

use commerce::event::Campaign;

use crate::aggregation::{Aggregation, Of, by, words};
use crate::cell::Deltas;

pub(crate) const AGGREGATION: Aggregation = Aggregation {
    metric: "revenue_by_channel",
    cut: &["currency", "source", "utm_campaign", "utm_source", "utm_medium"],
    figures: &["revenue", "orders"],
    of: Of::Order(|view, zone, deltas: &mut Deltas| {
        let word = |get: fn(&Campaign) -> &Option<String>| words(view.campaign.as_ref().map(get), "(none)");
        if let Some((at, total)) = view.purchase() {
            let channel = [word(|c| &c.campaign), word(|c| &c.source), word(|c| &c.medium)];
            deltas.add(zone.day_of(at), by(view, total, channel), [total.minor, 1]);
        }
    }),
};

#[cfg(test)]
mod tests {
    use commerce::event::Campaign;
    use commerce::order::Figures;

    use crate::aggregation::samples::{cells_of, paid};

    #[test]
    fn a_purchase_stands_under_its_own_channel_and_what_is_absent_is_none() {
        let campaign = Campaign {
            campaign: Some("spring".into()),
            source: Some("  ".into()),
            medium: Some("email".into()),
            referrer: Some("https://example.com".into()),
        };
        let view = Figures { campaign: Some(campaign), ..paid(100, 1) };
        let cells = cells_of("revenue_by_channel", None, Some(&view));
        assert_eq!(cells, ["1 USD shopify spring (none) email [100, 1]"]);
        let cells = cells_of("revenue_by_channel", Some(&view), Some(&paid(130, 1)));
        assert_eq!(
            cells,
            ["1 USD shopify (none) (none) (none) [130, 1]", "1 USD shopify spring (none) email [-100, -1]"]
        );
    }
}
