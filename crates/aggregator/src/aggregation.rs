//! What an aggregation is, and what a fact moves in all of them. Pure.
//!
//! An aggregation is a file that says its metric's name, what it is cut by, its figures, and what one order (or one
//! activity) stands for. It is listed once, in [`ALL`]; nothing else knows of it.

use std::borrow::Cow;

use commerce::order::Figures;
use commerce::time::Zone;
use commerce::{Fact, Money, Source};

use crate::cell::Deltas;
use crate::{
    abandonment, attribution, buyer, channel, cohorts, coupon, hour, place, product, revenue, source, unit,
};

/// One metric of sums per day.
#[derive(Debug)]
pub(crate) struct Aggregation {
    /// The metric's name.
    pub(crate) metric: &'static str,
    /// The names of the dimensions.
    pub(crate) cut: &'static [&'static str],
    /// The names of the figures, in stored order. New ones are added at the end.
    pub(crate) figures: &'static [&'static str],
    /// What it is summed from.
    pub(crate) of: Of,
}

impl Aggregation {
    /// True where a cell stands on the first day of its month and is of all of it.
    pub(crate) fn is_of_months(&self) -> bool {
        [cohorts::USERS.metric, cohorts::REVENUE.metric].contains(&self.metric)
    }
}

/// From what figures are summed.
#[derive(Debug)]
pub(crate) enum Of {
    /// What an order stands for as long as it has this view. Called with the view before the fact, which is taken back,
    /// and the view after it.
    Order(fn(&Figures, &Zone, &mut Deltas)),
    /// What a fact about a cart, a checkout, a product or a search adds.
    #[expect(dead_code, reason = "the funnel is summed from activities")]
    Activity(fn(&Fact<Figures>, &Zone, &mut Deltas)),
    /// What came before decides: its module keeps that, and the processor calls it.
    State,
}

/// Every aggregation.
pub(crate) const ALL: &[Aggregation] = &[
    revenue::AGGREGATION,
    hour::AGGREGATION,
    source::AGGREGATION,
    channel::AGGREGATION,
    coupon::AGGREGATION,
    place::DEVICE,
    place::PLATFORM,
    place::COUNTRY,
    product::AGGREGATION,
    buyer::AGGREGATION,
    cohorts::USERS,
    cohorts::REVENUE,
    attribution::CREDITED,
    attribution::UNATTRIBUTED,
    abandonment::CARTS,
    abandonment::VALUE,
    unit::CONVERTED,
];

/// What the name of a metric starts with that is summed over the orders alone that a fraud rule has marked. They are in
/// the metric itself too: who wants it without them takes these figures off.
pub(crate) const FLAGGED: &str = "flagged_";

/// The aggregation of a metric.
pub(crate) fn named(metric: &str) -> Option<&'static Aggregation> {
    let metric = metric.strip_prefix(FLAGGED).unwrap_or(metric);
    ALL.iter().find(|aggregation| aggregation.metric == metric)
}

/// What a fact moves.
pub(crate) fn add_up(fact: &Fact<Figures>, zone: &Zone, deltas: &mut Deltas) {
    let order = fact.before != fact.after;
    let activity = fact.activity.is_some() && counts(fact);
    if !order && !activity {
        return;
    }
    // An order in the base currency has none.
    let in_base = [&fact.before, &fact.after].map(|view| view.as_ref().and_then(Figures::in_base));
    for aggregation in ALL {
        match aggregation.of {
            Of::Order(add) if order => {
                for (view, sign) in [(&fact.before, -1), (&fact.after, 1)] {
                    // A test order is in no figure, whatever it says.
                    if let Some(view) = view.as_ref().filter(|view| !view.qa) {
                        deltas.turn_to(aggregation.metric, sign);
                        add(view, zone, deltas);
                        if view.flagged {
                            deltas.turn_to_flagged();
                            add(view, zone, deltas);
                        }
                    }
                }
                for (view, own, sign) in [(&in_base[0], &fact.before, -1), (&in_base[1], &fact.after, 1)] {
                    let from = own.as_ref().and_then(Figures::currency);
                    if let (Some(view), Some(from)) = (view.as_ref().filter(|view| !view.qa), from) {
                        deltas.turn_to_base(aggregation.metric, sign, from);
                        add(view, zone, deltas);
                        if view.flagged {
                            deltas.turn_to_flagged();
                            add(view, zone, deltas);
                        }
                    }
                }
            }
            Of::Activity(add) if activity => {
                deltas.turn_to(aggregation.metric, 1);
                add(fact, zone, deltas);
            }
            Of::Order(_) | Of::Activity(_) | Of::State => {}
        }
    }
}

/// True for a fact without an order that counts: no test, not in the shadow of another source, not blocked (§6.0.4).
pub(crate) fn counts<V>(fact: &Fact<V>) -> bool {
    let blocked = fact.fraud.as_ref().is_some_and(|fraud| fraud.severity >= BLOCKED);
    !fact.qa && !blocked && !fact.flags.iter().any(|flag| flag == "shadow")
}

/// The severity from which on an event is in no figure.
const BLOCKED: i32 = 2;

/// The source of an order: the one whose word counts.
pub(crate) fn source(view: &Figures) -> &str {
    view.source.map_or(UNKNOWN, Source::as_str)
}

/// The dimensions of a breakdown: each is cut by currency and source before anything else, so that every report can be
/// asked for one source (§6.0.4).
pub(crate) fn by<'a, const N: usize>(
    view: &'a Figures,
    total: &'a Money,
    further: [Cow<'a, str>; N],
) -> impl Iterator<Item = Cow<'a, str>> {
    [total.currency.as_str(), source(view)].into_iter().map(Cow::Borrowed).chain(further)
}

/// A text as it is counted: without the blanks around it; `absent` where there is none.
pub(crate) fn words<'a>(text: Option<&'a Option<String>>, absent: &'static str) -> Cow<'a, str> {
    let text = text.and_then(|text| text.as_deref()).map(str::trim).filter(|text| !text.is_empty());
    Cow::Borrowed(text.unwrap_or(absent))
}

/// A count from outside. Two forged ones must not make a sum leave 64 bits, which would stop the stage.
pub(crate) fn bounded(count: i64) -> i64 {
    count.clamp(-GREATEST_COUNT, GREATEST_COUNT)
}

/// The greatest count that is believed to be one.
const GREATEST_COUNT: i64 = 1_000_000_000_000;

/// What stands where nothing is said.
pub(crate) const UNKNOWN: &str = "unknown";

#[cfg(test)]
pub(crate) mod samples;
