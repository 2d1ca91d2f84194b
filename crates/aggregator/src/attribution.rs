//! Which channels a purchase is credited to.
//!
//! A touch is an event of a person with a campaign; the purchase's own campaign is a touch at its time. Before a
//! purchase only the latest touch of each channel counts, and one that is in a narrow window is in every wider one: so
//! per channel one look finds what all windows and models need. Credits are gross (D-ANA-11).
//!
//! Shares are integers. Weights of `time_decay` are fixed-point numbers with 60 bits after the point; what is left after
//! cutting to minor units goes to the greatest remainder, so the parts of an order sum exactly.

use commerce::time::DAY;
use commerce::{EventTime, Mark};
use stream::Failure;

use crate::aggregation::{Aggregation, Of};
use crate::funnel::Channel;
use crate::people::{Actor, Bought, Kind, orders};
use crate::rows::{Book, PEOPLE, Spot, descending, read, read_descending, write};
use crate::unit::Unit;

/// What channels are credited with.
pub(crate) const CREDITED: Aggregation = Aggregation {
    metric: "attribution",
    cut: &["currency", "source", "utm_campaign", "utm_source", "utm_medium"],
    figures: &NAMES,
    of: Of::State,
};

/// What no channel is credited with.
pub(crate) const UNATTRIBUTED: Aggregation =
    Aggregation { metric: "unattributed", cut: &["currency", "source"], figures: &NAMES, of: Of::State };

/// The models, in the order of [`NAMES`].
const MODELS: [Model; 3] = [Model::LastClick, Model::Linear, Model::TimeDecay];

/// The windows in days, in the order of [`NAMES`].
const WINDOWS: [i64; 5] = [7, 14, 30, 60, 90];

/// Touches of further channels are passed over. Whoever has the public key can make up a campaign for each click, and
/// every channel of a person is looked at when they buy.
const MOST_CHANNELS: u32 = 500;

/// The widest window.
const WIDEST: i64 = 90 * DAY;

/// The figures of a cell: per model and window revenue and orders.
pub(crate) const NAMES: [&str; 30] = [
    "last_click_7_revenue",
    "last_click_7_orders",
    "last_click_14_revenue",
    "last_click_14_orders",
    "last_click_30_revenue",
    "last_click_30_orders",
    "last_click_60_revenue",
    "last_click_60_orders",
    "last_click_90_revenue",
    "last_click_90_orders",
    "linear_7_revenue",
    "linear_7_orders",
    "linear_14_revenue",
    "linear_14_orders",
    "linear_30_revenue",
    "linear_30_orders",
    "linear_60_revenue",
    "linear_60_orders",
    "linear_90_revenue",
    "linear_90_orders",
    "time_decay_7_revenue",
    "time_decay_7_orders",
    "time_decay_14_revenue",
    "time_decay_14_orders",
    "time_decay_30_revenue",
    "time_decay_30_orders",
    "time_decay_60_revenue",
    "time_decay_60_orders",
    "time_decay_90_revenue",
    "time_decay_90_orders",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Model {
    LastClick,
    Linear,
    TimeDecay,
}

/// The latest touch of a channel before a purchase.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Touch {
    /// Microseconds before the purchase.
    age: i64,
    /// False for the purchase's own campaign, which comes first among touches of one instant.
    foreign: bool,
    channel: Channel,
}

/// A person is touched.
pub(crate) fn touch(
    book: &mut Book<'_>,
    person: Actor,
    channel: &Channel,
    at: EventTime,
) -> Result<(), Failure> {
    let of_channel = [person.run(book, Kind::Touch).as_slice(), &hash(channel)?].concat();
    let key = [of_channel.as_slice(), &descending(at)].concat();
    if book.has(&key) {
        return Ok(());
    }
    if book.next(&of_channel, None).is_none() {
        let counter = person.run(book, Kind::Channels);
        let channels: u32 = book.get(PEOPLE, &counter)?.unwrap_or(0);
        if channels >= MOST_CHANNELS {
            return Ok(());
        }
        book.put(PEOPLE, &counter, &(channels + 1))?;
    }
    let affected = orders(book, person, at, EventTime(at.0.saturating_add(WIDEST)))?;
    for (at, bought) in &affected {
        credit(book, person, *at, bought, -1)?;
    }
    book.put(PEOPLE, &key, channel)?;
    for (at, bought) in &affected {
        credit(book, person, *at, bought, 1)?;
    }
    Ok(())
}

/// Adds up how many channels have touched two persons that are joined; one that has touched both counts twice.
pub(crate) fn merge(book: &mut Book<'_>, from: Actor, to: Actor) -> Result<(), Failure> {
    let (old, new) = (from.run(book, Kind::Channels), to.run(book, Kind::Channels));
    let count = |book: &Book<'_>, key: &[u8]| book.get::<u32>(PEOPLE, key).map(|n| n.unwrap_or(0));
    let sum = count(book, &old)?.saturating_add(count(book, &new)?);
    book.remove(&old)?;
    if sum > 0 {
        book.put(PEOPLE, &new, &sum)?;
    }
    Ok(())
}

/// The credits of one purchase, times `sign`.
pub(crate) fn credit(
    book: &mut Book<'_>,
    actor: Actor,
    at: EventTime,
    bought: &Bought,
    sign: i64,
) -> Result<(), Failure> {
    let Bought { total, channel: own, source, in_base } = bought;
    let touches = if actor.is_person() { latest(book, actor, at, own)? } else { Vec::new() };
    let day = book.zone.day_of(at);
    for (unit, minor) in Unit::amounts(*total, *in_base) {
        let unit = unit.to_string();
        for (channel, figures) in shared(&touches, minor) {
            let spot = match channel {
                Some(channel) => {
                    let [campaign, medium_source, medium] = channel.words();
                    let cut = [unit.clone(), source.to_owned(), campaign, medium_source, medium];
                    Spot::new(&CREDITED, day, cut)
                }
                None => Spot::new(&UNATTRIBUTED, day, [unit.clone(), source.to_owned()]),
            };
            book.moves.add(spot, &figures, sign);
        }
    }
    Ok(())
}

/// The latest touch of each channel at or before a purchase, latest first.
fn latest(book: &Book<'_>, person: Actor, at: EventTime, own: &Channel) -> Result<Vec<Touch>, Failure> {
    let run = person.run(book, Kind::Touch);
    let mut touches = Vec::new();
    if own.campaign.is_some() {
        touches.push(Touch { age: 0, foreign: false, channel: own.clone() });
    }
    let mut after: Option<Vec<u8>> = None;
    while let Some((key, _)) = book.next(&run, after.as_deref()) {
        let of_channel = key.get(..run.len() + 16).unwrap_or(&key).to_vec();
        // Times stand newest first, so all that follow this key are not after the purchase.
        let later = [of_channel.as_slice(), &descending(EventTime(at.0.saturating_add(1)))].concat();
        if let Some((key, value)) = book.next(&of_channel, Some(&later)) {
            let channel: Channel = read(&value)?;
            let time = read_descending(key.get(of_channel.len()..).unwrap_or_default());
            if let Some(time) = time.filter(|_| channel != *own) {
                touches.push(Touch { age: at.0.saturating_sub(time.0), foreign: true, channel });
            }
        }
        after = Some([of_channel.as_slice(), &[u8::MAX; 9]].concat());
    }
    touches.sort();
    Ok(touches)
}

/// What each channel gets of a purchase in all models and windows; `None` gets what nobody is credited with.
fn shared(touches: &[Touch], minor: i64) -> Vec<(Option<&Channel>, [i64; NAMES.len()])> {
    let mut all: Vec<_> = touches.iter().map(|touch| (Some(&touch.channel), [0; NAMES.len()])).collect();
    let mut none = [0; NAMES.len()];
    for (w, window) in WINDOWS.iter().enumerate() {
        // Latest first, so those within the window are the first ones.
        let within = touches.iter().take_while(|touch| touch.age <= window * DAY).count();
        for (m, model) in MODELS.iter().enumerate() {
            let place = (m * WINDOWS.len() + w) * 2;
            let credited = if *model == Model::LastClick { within.min(1) } else { within };
            let weights: Vec<u128> = touches
                .iter()
                .take(credited)
                .map(|touch| if *model == Model::TimeDecay { decayed(touch.age) } else { ONE })
                .collect();
            if weights.is_empty() {
                none[place] = minor;
                none[place + 1] = 1;
            }
            for ((_, figures), share) in all.iter_mut().zip(shares(minor, &weights)) {
                figures[place] = share;
                figures[place + 1] = 1;
            }
        }
    }
    if none != [0; NAMES.len()] {
        all.push((None, none));
    }
    all
}

/// Splits an amount by weights into minor units that sum to it: cut down, and the rest to the greatest remainders. Of
/// equal remainders the earlier one gets it.
fn shares(minor: i64, weights: &[u128]) -> Vec<i64> {
    let whole: u128 = weights.iter().sum();
    if whole == 0 {
        return Vec::new();
    }
    // Amounts are below 2^50 and weights at most 2^60, so the products stay within 128 bits.
    let amount = u128::from(minor.unsigned_abs());
    let mut parts: Vec<(u128, u128)> =
        weights.iter().map(|weight| (amount * weight / whole, amount * weight % whole)).collect();
    let given: u128 = parts.iter().map(|(part, _)| part).sum();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(parts.get(*i).map(|(_, rest)| *rest)));
    // Less is left than there are parts.
    for i in order.into_iter().take(usize::try_from(amount - given).unwrap_or(0)) {
        if let Some((part, _)) = parts.get_mut(i) {
            *part += 1;
        }
    }
    let signed = |part: u128| i64::try_from(part).unwrap_or(i64::MAX).saturating_mul(minor.signum());
    parts.into_iter().map(|(part, _)| signed(part)).collect()
}

/// The weight of a touch at the purchase.
const ONE: u128 = 1 << 60;

/// After this a touch weighs half.
const HALF_LIFE: i64 = 7 * DAY;

/// `2^(-1/2)`, `2^(-1/4)`, … in fixed point: each is the root of the one before it.
const ROOTS: [u128; 32] = {
    let mut roots = [0; 32];
    let mut root = ONE / 2;
    let mut i = 0;
    while i < roots.len() {
        root = (root * ONE).isqrt();
        roots[i] = root;
        i += 1;
    }
    roots
};

/// `2^(-age / 7 days)` in fixed point. The part of a half-life is taken bit by bit, so no float is needed and every
/// machine finds the same.
fn decayed(age: i64) -> u128 {
    let age = age.max(0);
    let whole = u32::try_from(age / HALF_LIFE).unwrap_or(u32::MAX);
    let part = (u128::from((age % HALF_LIFE).unsigned_abs()) << 32) / u128::from(HALF_LIFE.unsigned_abs());
    let mut weight = ONE;
    for (bit, root) in (0..32).rev().zip(ROOTS) {
        if part >> bit & 1 == 1 {
            weight = weight * root / ONE;
        }
    }
    weight.checked_shr(whole).unwrap_or(0)
}

fn hash(channel: &Channel) -> Result<[u8; 16], Failure> {
    Ok(Mark::of(&[&write(channel)?]).0.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn touches(touches: &[(&str, i64)]) -> Vec<Touch> {
        let channel = |name: &str| Channel { campaign: Some(name.to_owned()), ..Channel::default() };
        let mut touches: Vec<_> = touches
            .iter()
            .map(|(name, days)| Touch { age: days * DAY, foreign: *days > 0, channel: channel(name) })
            .collect();
        touches.sort();
        touches
    }

    /// The revenue of a channel under a name of a figure.
    fn revenue(touches: &[Touch], minor: i64, channel: Option<&str>, name: &str) -> i64 {
        let place = NAMES.iter().position(|known| *known == name).unwrap();
        let found = shared(touches, minor)
            .into_iter()
            .find(|(of, _)| of.map(|of| of.campaign.clone().unwrap()) == channel.map(str::to_owned));
        found.map_or(0, |(_, figures)| figures[place])
    }

    #[test]
    fn ana_c19_the_latest_touch_of_each_channel_shares_by_the_model() {
        // A on day 1 is superseded by A on day 8, the day of the purchase.
        let touches = touches(&[("A", 0), ("B", 3)]);
        let of = |channel, name| revenue(&touches, 10_000, Some(channel), name);
        assert_eq!((of("A", "last_click_30_revenue"), of("B", "last_click_30_revenue")), (10_000, 0));
        assert_eq!((of("A", "linear_30_revenue"), of("B", "linear_30_revenue")), (5_000, 5_000));
        let (a, b) = (of("A", "time_decay_30_revenue"), of("B", "time_decay_30_revenue"));
        assert!(a > b && a + b == 10_000, "{a} and {b}");
        // 1 / (1 + 2^(-3/7)) of 100.00
        assert_eq!(a, 5_737);
        assert_eq!((of("B", "linear_30_orders"), of("B", "last_click_30_orders")), (1, 0));
    }

    #[test]
    fn ana_c19_a_lone_touch_before_the_window_gives_no_credit() {
        let touches = touches(&[("A", 8)]);
        assert_eq!(revenue(&touches, 10_000, Some("A"), "last_click_7_revenue"), 0);
        assert_eq!(revenue(&touches, 10_000, None, "last_click_7_revenue"), 10_000);
        assert_eq!(revenue(&touches, 10_000, Some("A"), "last_click_14_revenue"), 10_000);
        assert_eq!(revenue(&touches, 10_000, None, "last_click_14_revenue"), 0);
    }

    #[test]
    fn a_weight_halves_in_seven_days() {
        assert_eq!(decayed(0), ONE);
        assert_eq!(decayed(HALF_LIFE), ONE / 2);
        assert_eq!(decayed(3 * HALF_LIFE), ONE / 8);
        // 2^(-1/2) is 0.70710678118…
        let root = decayed(HALF_LIFE / 2) * 1_000_000_000 / ONE;
        assert!((707_106_780..=707_106_782).contains(&root), "{root}");
        assert_eq!(decayed(i64::MAX), 0);
    }

    #[test]
    fn a_rest_goes_to_the_greatest_remainder() {
        assert_eq!(shares(100, &[1, 1, 1]), [34, 33, 33]);
        assert_eq!(shares(-100, &[1, 1, 1]), [-34, -33, -33]);
        assert_eq!(shares(100, &[1, 2, 3]), [17, 33, 50]);
        assert_eq!(shares(1, &[1, 3]), [0, 1]);
        assert_eq!(shares(0, &[1, 3]), [0, 0]);
        assert!(shares(100, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn the_parts_of_an_order_sum_exactly(
            minor in -1_000_000_000_000_000_i64..=1_000_000_000_000_000,
            ages in proptest::collection::vec(0_i64..WIDEST, 1..20),
        ) {
            let weights: Vec<u128> = ages.iter().map(|age| decayed(*age)).collect();
            let parts = shares(minor, &weights);
            prop_assert_eq!(parts.iter().sum::<i64>(), minor);
            prop_assert!(parts.iter().all(|part| part.signum() * minor.signum() >= 0));
        }

        #[test]
        fn an_older_touch_never_weighs_more(a in 0_i64..WIDEST, b in 0_i64..WIDEST) {
            prop_assert!(decayed(a.min(b)) >= decayed(a.max(b)));
        }
    }
}
