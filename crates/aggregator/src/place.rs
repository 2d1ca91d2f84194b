//! Revenue and orders by where the shopper sat: device, platform, country. What nothing
//! says is `unknown`, so each of them sums to the whole.

use std::borrow::Cow;

use commerce::order::Figures;
use commerce::time::Zone;

use crate::aggregation::{Aggregation, Of, UNKNOWN, by, words};
use crate::cell::Deltas;

pub(crate) const DEVICE: Aggregation = Aggregation {
    metric: "revenue_by_device",
    cut: &["currency", "source", "device"],
    figures: &FIGURES,
    of: Of::Order(|view, zone, deltas| {
        add(view, zone, deltas, view.context.as_ref().map(|context| &context.device));
    }),
};

pub(crate) const PLATFORM: Aggregation = Aggregation {
    metric: "revenue_by_platform",
    cut: &["currency", "source", "platform"],
    figures: &FIGURES,
    of: Of::Order(|view, zone, deltas| {
        add(view, zone, deltas, view.context.as_ref().map(|context| &context.platform));
    }),
};

/// The order's country, else that of the shopper (D-ANA-15).
pub(crate) const COUNTRY: Aggregation = Aggregation {
    metric: "revenue_by_country",
    cut: &["currency", "source", "country"],
    figures: &FIGURES,
    of: Of::Order(|view, zone, deltas| {
        let own = Some(&view.country).filter(|country| country.is_some());
        add(view, zone, deltas, own.or_else(|| view.context.as_ref().map(|context| &context.country)));
    }),
};

const FIGURES: [&str; 2] = ["revenue", "orders"];

fn add<'a>(view: &'a Figures, zone: &Zone, deltas: &mut Deltas, word: Option<&'a Option<String>>) {
    if let Some((at, total)) = view.purchase() {
        let word: [Cow<'a, str>; 1] = [words(word, UNKNOWN)];
        deltas.add(zone.day_of(at), by(view, total, word), [total.minor, 1]);
    }
}

#[cfg(test)]
mod tests {
    use commerce::event::Context;
    use commerce::order::Figures;

    use crate::aggregation::samples::{cells_of, paid};

    #[test]
    fn each_of_the_three_has_every_purchase_once() {
        let context = Context { device: Some("mobile".into()), platform: None, country: Some("DE".into()) };
        let view = Figures { context: Some(context), ..paid(100, 1) };
        let cells = |name: &str, view: &Figures| cells_of(name, None, Some(view));
        assert_eq!(cells("revenue_by_device", &view), ["1 USD shopify mobile [100, 1]"]);
        assert_eq!(cells("revenue_by_platform", &view), ["1 USD shopify unknown [100, 1]"]);
        assert_eq!(cells("revenue_by_country", &view), ["1 USD shopify DE [100, 1]"]);
        let sent = Figures { country: Some("FR".into()), ..view };
        assert_eq!(cells("revenue_by_country", &sent), ["1 USD shopify FR [100, 1]"]);
        assert_eq!(cells("revenue_by_country", &paid(5, 1)), ["1 USD shopify unknown [5, 1]"]);
    }
}
