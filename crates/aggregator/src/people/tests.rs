use std::collections::{BTreeMap, BTreeSet};

use commerce::event::{Activity, Campaign, Item};
use commerce::members::{CHUNK, Members};
use commerce::order::Figures;
use commerce::time::{DAY, Day, SECOND, Zone};
use commerce::{Currency, EventName, EventTime, Fact, Money, PersonId, ReceivedTime};

use super::*;
use crate::aggregation::samples::{fact, paid};
use crate::cell::Ends;
use crate::funnel::{Chunk, ChunkPlace, metric};
use crate::pending::News;
use crate::rows::memory::Memory;
use crate::rows::{Rows, SETS, Spot, write};

mod ordered;
mod shuffled;

const MINUTE: i64 = 60 * SECOND;
const QUIET: i64 = 60 * MINUTE;

/// What some facts add up to.
#[derive(Default)]
struct World {
    rows: Memory,
    cells: BTreeMap<Spot, Vec<i64>>,
}

impl World {
    fn of<'a>(facts: impl IntoIterator<Item = &'a Fact<Figures>>) -> Self {
        let mut world = Self::default();
        facts.into_iter().for_each(|fact| world.say(fact));
        world
    }

    fn say(&mut self, fact: &Fact<Figures>) {
        let zone = Zone::utc();
        let mut book = Book::new(&mut self.rows, "demo", &zone, i64::MIN);
        apply(&mut book, fact, QUIET).unwrap();
        let (moves, presences) = (std::mem::take(&mut book.moves), std::mem::take(&mut book.presences));
        for presence in presences {
            let stored = self.rows.get(SETS, &presence.key);
            let mut chunk: Chunk = stored.map_or_else(Chunk::default, |bytes| read(&bytes).unwrap());
            let news = News { late: i32::from(presence.late), as_of: fact.received_at.0 };
            chunk.change(&[(presence.place, presence.inside)], news).unwrap();
            self.rows.set(SETS, &presence.key, Some(&write(&chunk).unwrap())).unwrap();
        }
        for (spot, sums) in moves.settle() {
            let cell = self.cells.entry(spot).or_insert_with(|| vec![0; sums.len()]);
            cell.iter_mut().zip(&sums).for_each(|(value, sum)| *value += sum);
        }
        self.cells.retain(|_, values| values.iter().any(|value| *value != 0));
    }

    /// The members of every set.
    fn sets(&self) -> BTreeMap<(Set, Day), BTreeSet<u32>> {
        let mut sets: BTreeMap<_, BTreeSet<u32>> = BTreeMap::new();
        for ((table, key), value) in &self.rows.0 {
            if *table == SETS.number {
                let (place, chunk): (ChunkPlace, Chunk) = (read(key).unwrap(), read(value).unwrap());
                let numbers = Members::read(&chunk.members.0).unwrap();
                let numbers = numbers.iter().map(|n| place.chunk * CHUNK + u32::from(n));
                sets.entry((place.set, place.day)).or_default().extend(numbers);
            }
        }
        sets.retain(|_, numbers| !numbers.is_empty());
        sets
    }

    /// How many there are in every set, by day and over all days: numbers depend on the order, counts don't.
    fn counts(&self) -> BTreeMap<(Set, Option<Day>), usize> {
        let mut all: BTreeMap<Set, BTreeSet<u32>> = BTreeMap::new();
        let mut counts = BTreeMap::new();
        for ((set, day), numbers) in self.sets() {
            counts.insert((set.clone(), Some(day)), numbers.len());
            all.entry(set).or_default().extend(numbers);
        }
        counts.extend(all.into_iter().map(|(set, numbers)| ((set, None), numbers.len())));
        counts
    }

    fn step(&self, step: Step) -> usize {
        let set = Set { of: Of::Step(step), source: "shopify".to_owned() };
        self.counts().get(&(set, None)).copied().unwrap_or(0)
    }

    /// The cells of a metric: day, dimensions, figures.
    fn lines(&self, metric: &str) -> Vec<String> {
        let cells = self.cells.iter().filter(|(spot, _)| spot.metric == metric);
        cells
            .map(|(spot, v)| format!("{} {} {v:?}", spot.day, spot.dimensions.join(" ")).replace("  ", " "))
            .collect()
    }

    /// What a figure of attribution sums to, by campaign; the empty one is nobody's.
    fn credited(&self, name: &str) -> BTreeMap<String, i64> {
        let place = attribution::NAMES.iter().position(|known| *known == name).unwrap();
        let mut sums = BTreeMap::new();
        for (spot, values) in &self.cells {
            if ["attribution", "unattributed"].contains(&spot.metric) && values[place] != 0 {
                *sums.entry(spot.dimensions.get(2).cloned().unwrap_or_default()).or_default() +=
                    values[place];
            }
        }
        sums
    }
}

fn day(day: i64) -> EventTime {
    EventTime(day * DAY)
}

/// Something that a shopper does: it arrives when it happens.
fn does(event: EventName, person: Option<u128>, at: EventTime) -> Fact<Figures> {
    Fact {
        event_id: format!("{event} {person:?} {}", at.0),
        event,
        person_id: person.map(PersonId),
        occurred_at: at,
        received_at: ReceivedTime(at.0),
        order_id: None,
        activity: Some(Activity::default()),
        ..fact()
    }
}

fn with_campaign(mut fact: Fact<Figures>, name: &str) -> Fact<Figures> {
    let campaign = Campaign { campaign: Some(name.to_owned()), ..Campaign::default() };
    fact.activity.get_or_insert_default().campaign = Some(campaign);
    fact.event_id.push_str(name);
    fact
}

fn in_cart(mut fact: Fact<Figures>, cart: &str, value: i64) -> Fact<Figures> {
    let activity = fact.activity.get_or_insert_default();
    activity.cart_id = Some(cart.to_owned());
    if matches!(fact.event, EventName::CartItemAdded | EventName::CartItemRemoved) {
        let price = Some(Money::new(value, Currency::USD));
        activity.items = Some(vec![Item {
            product_id: Some("p".to_owned()),
            variant_id: None,
            sku: None,
            title: None,
            variant_title: None,
            quantity: 1,
            price,
            discount: None,
            category: None,
            brand: None,
            allocations: Vec::new(),
        }]);
    } else {
        activity.value = Some(Money::new(value, Currency::USD));
    }
    fact.event_id.push_str(cart);
    fact
}

fn bought(person: Option<u128>, minor: i64, at: EventTime) -> Figures {
    Figures { person_id: person.map(PersonId), counted_at: Some(at), ..paid(minor, 0) }
}

/// The facts of an order with these views one after the other.
fn order(id: &str, views: &[Figures]) -> Vec<Fact<Figures>> {
    let mut before: Option<Figures> = None;
    let step = |(n, view): (usize, &Figures)| {
        let view = Figures { id: id.to_owned(), ..view.clone() };
        let after = Some(view);
        let received_at = ReceivedTime(after.as_ref().and_then(|view| view.counted_at).map_or(0, |at| at.0));
        Fact {
            event_id: format!("order {id} {n}"),
            order_id: Some(id.to_owned()),
            before: std::mem::replace(&mut before, after.clone()),
            after,
            received_at,
            ..fact()
        }
    };
    views.iter().enumerate().map(step).collect()
}

fn merged(from: u128, to: u128) -> Fact<Figures> {
    Fact {
        event: EventName::CustomerMerged,
        order_id: None,
        person_id: Some(PersonId(to)),
        from_person_id: Some(PersonId(from)),
        ..fact()
    }
}

fn separated(from: u128, to: u128) -> Fact<Figures> {
    Fact { event: EventName::CustomerSeparated, ..merged(from, to) }
}

#[test]
fn what_was_done_without_an_order_while_two_were_one_stays_with_the_one_and_each_has_what_comes_later() {
    let viewed = |person, at| does(EventName::ProductViewed, Some(person), at);
    let opened = |person, at| does(EventName::CartItemAdded, Some(person), at);
    // The second order of the two is told anew as that of the second person (R10.5).
    let views = |person| bought(Some(person), 100, day(2));
    let moves = order("b", &[views(1), views(2)]);
    let mut facts = vec![viewed(1, day(1)), merged(2, 1), viewed(1, day(2)), opened(1, day(2))];
    facts.extend(order("a", &[views(1)]));
    facts.extend([moves[0].clone(), separated(1, 2), moves[1].clone()]);
    let world = World::of(&facts);
    // As one they viewed, filled a cart and bought; apart each of them has an order and nobody has viewed twice.
    let steps =
        |world: &World| [Step::ViewItem, Step::AddToCart, Step::Purchase].map(|step| world.step(step));
    assert_eq!(steps(&world), [1, 1, 2]);
    assert_eq!(world.lines("carts"), ["1970-01-03 shopify [1, 1, 0]"]);
    assert_eq!(world.lines("cohort_users"), ["1970-01-01 [2]"]);
    let mut world = world;
    world.say(&viewed(2, day(3)));
    world.say(&opened(2, day(3)));
    assert_eq!(steps(&world), [2, 2, 2]);
    assert_eq!(world.lines("carts"), ["1970-01-03 shopify [1, 1, 0]", "1970-01-04 shopify [1, 0, 0]"]);
}

#[test]
fn ana_c16_the_funnel_counts_each_actor_once_over_any_range() {
    let view = EventName::ProductViewed;
    let mut facts = vec![
        does(view, Some(1), day(1)),
        does(view, Some(1), day(1)),
        does(view, Some(1), day(2)),
        does(view, Some(2), day(2)),
        does(EventName::CartItemAdded, Some(1), day(2)),
        // Without a person the cart is the actor.
        in_cart(does(view, None, day(2)), "c", 0),
        in_cart(does(EventName::CartItemAdded, None, day(2)), "c", 100),
        // Test traffic and another source's shadow.
        Fact { qa: true, ..does(view, Some(3), day(1)) },
        Fact { flags: vec!["shadow".to_owned()], ..does(view, Some(4), day(1)) },
    ];
    facts.extend(order("o", &[bought(Some(1), 100, day(2))]));
    let world = World::of(&facts);
    assert_eq!(
        (world.step(Step::ViewItem), world.step(Step::AddToCart), world.step(Step::Purchase)),
        (3, 2, 1)
    );
}

#[test]
fn the_items_of_one_event_are_one_actor_and_two_events_are_two() {
    let item = |event: &str, n: i64| Fact {
        event_id: format!("{event}{n}"),
        group: Some(event.to_owned()),
        ..does(EventName::ProductViewed, None, day(1))
    };
    let alone = does(EventName::ProductViewed, None, day(1));
    assert_eq!(World::of(&[item("a", 1), item("a", 2), alone]).step(Step::ViewItem), 2);
}

#[test]
fn a_purchase_that_stops_counting_leaves_every_set_and_cell() {
    let bought = bought(Some(1), 100, day(2));
    let world = World::of(&order("o", &[bought.clone(), Figures { counted: false, ..bought }]));
    assert!(world.cells.is_empty() && world.sets().is_empty(), "{:?}", world.cells);
}

#[test]
fn who_buys_twice_on_a_day_is_a_buyer_until_the_last_order_with_the_same_channel_has_gone() {
    let with = |name: &str| Figures {
        campaign: Some(Campaign { campaign: Some(name.to_owned()), ..Campaign::default() }),
        ..bought(Some(1), 100, day(2))
    };
    let gone = |view: &Figures| Figures { counted: false, ..view.clone() };
    let mut first = order("a", &[with("A"), gone(&with("A"))]);
    let mut second = order("b", &[with("A"), gone(&with("A"))]);
    let mut third = order("c", &[with("B"), gone(&with("B"))]);
    let (mut world, mut buyers) = (World::default(), Vec::new());
    let facts = [
        first.remove(0),
        second.remove(0),
        third.remove(0),
        first.remove(0),
        second.remove(0),
        third.remove(0),
    ];
    for fact in facts {
        world.say(&fact);
        let of = |set: &Set| matches!(&set.of, Of::Buyers(channel) if channel.campaign.is_some());
        let channels = world.counts().into_iter().filter(|((set, day), _)| day.is_none() && of(set)).count();
        buyers.push((world.step(Step::Purchase), channels));
    }
    assert_eq!(buyers, [(1, 1), (1, 1), (1, 2), (1, 2), (1, 1), (0, 0)]);
}

#[test]
fn two_buyers_of_a_day_that_become_one_are_one_buyer_until_both_orders_have_gone() {
    let of = |person: u128| order(&person.to_string(), &[bought(Some(person), 100, day(2))]).remove(0);
    let gone = |of: &Fact<Figures>| {
        let after = of.after.clone().map(|view| Figures { counted: false, ..view });
        Fact { before: of.after.clone(), after, ..of.clone() }
    };
    let (old, own) = (of(1), of(2));
    let mut world = World::of([&old, &own]);
    let mut buyers = vec![world.step(Step::Purchase)];
    for fact in [merged(1, 2), gone(&own), gone(&old)] {
        world.say(&fact);
        buyers.push(world.step(Step::Purchase));
    }
    assert_eq!(buyers, [2, 1, 1, 0]);
}

#[test]
fn two_persons_that_become_one_are_counted_once() {
    let facts = [
        does(EventName::ProductViewed, Some(1), day(1)),
        does(EventName::ProductViewed, Some(2), day(1)),
        merged(1, 2),
        does(EventName::ProductViewed, Some(1), day(2)),
    ];
    assert_eq!(World::of(&facts[..2]).step(Step::ViewItem), 2);
    assert_eq!(World::of(&facts).step(Step::ViewItem), 1);
}

#[test]
fn ana_c19_a_purchase_is_credited_to_the_touches_before_it() {
    let touch = |name: &str, at: i64| with_campaign(does(EventName::ProductViewed, Some(1), day(at)), name);
    let mut facts = vec![touch("A", 1), touch("B", 5), touch("A", 8), touch("C", 9)];
    facts.extend(order("o", &[bought(Some(1), 10_000, day(8))]));
    let world = World::of(&facts);
    let credited = |name: &str| world.credited(name).into_iter().collect::<Vec<_>>();
    assert_eq!(credited("last_click_30_revenue"), [("A".to_owned(), 10_000)]);
    assert_eq!(credited("linear_30_revenue"), [("A".to_owned(), 5_000), ("B".to_owned(), 5_000)]);
    let decayed = world.credited("time_decay_30_revenue");
    assert!(decayed["A"] > decayed["B"] && decayed.values().sum::<i64>() == 10_000);
    let mut lone = vec![touch("A", 1)];
    lone.extend(order("o", &[bought(Some(1), 10_000, day(9))]));
    assert_eq!(World::of(&lone).credited("last_click_7_revenue"), BTreeMap::from([(String::new(), 10_000)]));
}

#[test]
fn ana_c20_a_purchase_without_a_person_is_unattributed() {
    let campaign = Campaign { campaign: Some("A".to_owned()), ..Campaign::default() };
    let guest = Figures { campaign: Some(campaign), ..bought(None, 10_000, day(8)) };
    let known = Figures { person_id: Some(PersonId(1)), ..guest.clone() };
    let credited =
        |view: &Figures| World::of(&order("o", std::slice::from_ref(view))).credited("linear_30_revenue");
    assert_eq!(credited(&guest), BTreeMap::from([(String::new(), 10_000)]));
    // The purchase's own campaign is a touch.
    assert_eq!(credited(&known), BTreeMap::from([("A".to_owned(), 10_000)]));
}

#[test]
fn ana_c21_an_older_purchase_that_comes_late_moves_the_person_to_its_month() {
    let mut facts = order("b", &[bought(Some(1), 200, day(70))]);
    facts.extend(order("c", &[bought(Some(1), 50, day(75))]));
    let world = World::of(&facts);
    assert_eq!(world.lines("cohort_users"), ["1970-03-01 [1]"]);
    assert_eq!(world.lines("cohort_revenue"), ["1970-03-01 USD 1970-03-01 [250]"]);
    facts.extend(order("a", &[bought(Some(1), 100, day(3))]));
    let world = World::of(&facts);
    assert_eq!(world.lines("cohort_users"), ["1970-01-01 [1]"]);
    assert_eq!(
        world.lines("cohort_revenue"),
        ["1970-01-01 USD 1970-01-01 [100]", "1970-03-01 USD 1970-01-01 [250]"]
    );
}

#[test]
fn ana_c22_a_cart_is_open_then_abandoned_and_a_later_purchase_completes_it() {
    let mut world = World::default();
    let at = |minutes: i64| EventTime(DAY + minutes * MINUTE);
    let later = |minutes| does(EventName::ProductViewed, Some(9), at(minutes));
    world.say(&in_cart(does(EventName::CheckoutStarted, Some(1), at(0)), "c", 5_000));
    world.say(&later(59));
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 0, 0]"]);
    world.say(&later(60));
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 0, 1]"]);
    assert_eq!(world.lines("abandoned_value"), ["1970-01-02 USD shopify [5000]"]);
    let bought = bought(Some(1), 5_000, at(600));
    let facts = order("o", &[bought.clone(), Figures { qa: true, ..bought }]);
    world.say(&facts[0]);
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 1, 0]"]);
    assert!(world.lines("abandoned_value").is_empty());
    world.say(&facts[1]);
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 0, 1]"]);
}

#[test]
fn ana_c22_an_order_that_names_the_cart_completes_it_whoever_bought() {
    let opened = in_cart(does(EventName::CheckoutStarted, None, day(1)), "c", 5_000);
    let later = does(EventName::ProductViewed, Some(9), day(3));
    let named = Figures { carts: vec!["c".to_owned()], ..bought(Some(1), 5_000, day(2)) };
    let mut facts = vec![opened, later];
    facts.extend(order("o", &[bought(Some(1), 5_000, day(2)), named]));
    assert_eq!(World::of(&facts[..3]).lines("carts"), ["1970-01-02 shopify [1, 0, 1]"]);
    assert_eq!(World::of(&facts).lines("carts"), ["1970-01-02 shopify [1, 1, 0]"]);
}

#[test]
fn a_cart_that_moves_again_is_open_again_and_its_clock_starts_anew() {
    let mut world = World::default();
    let at = |minutes: i64| EventTime(DAY + minutes * MINUTE);
    let add = |minutes| in_cart(does(EventName::CartItemAdded, Some(1), at(minutes)), "c", 700);
    world.say(&add(0));
    world.say(&does(EventName::ProductViewed, Some(9), at(61)));
    assert_eq!(world.lines("abandoned_value"), ["1970-01-02 USD shopify [700]"]);
    world.say(&add(70));
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 0, 0]"]);
    world.say(&in_cart(does(EventName::CartItemRemoved, Some(1), at(80)), "c", 300));
    world.say(&does(EventName::ProductViewed, Some(9), at(139)));
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 0, 0]"]);
    world.say(&does(EventName::ProductViewed, Some(9), at(140)));
    assert_eq!(world.lines("abandoned_value"), ["1970-01-02 USD shopify [1100]"]);
}

#[test]
fn without_a_cart_id_what_follows_a_purchase_is_another_cart() {
    let add = |at| does(EventName::CartItemAdded, Some(1), day(at));
    let mut facts = vec![add(1), add(2), add(5)];
    facts.extend(order("o", &[bought(Some(1), 100, day(3))]));
    facts.push(does(EventName::ProductViewed, Some(9), day(9)));
    let world = World::of(&facts);
    assert_eq!(world.lines("carts"), ["1970-01-02 shopify [1, 1, 0]", "1970-01-06 shopify [1, 0, 1]"]);
    // Without the purchase they are one.
    facts.remove(3);
    assert_eq!(World::of(&facts).lines("carts"), ["1970-01-02 shopify [1, 0, 1]"]);
}

#[test]
fn a_person_who_is_erased_leaves_orders_and_nothing_else() {
    let mut facts = vec![
        with_campaign(in_cart(does(EventName::CartItemAdded, Some(1), day(1)), "c", 700), "A"),
        does(EventName::CheckoutStarted, Some(1), day(1)),
    ];
    let orders = order("o", &[bought(Some(1), 100, day(3))]);
    facts.extend(orders.clone());
    facts.push(Fact { event: EventName::CustomerDeleted, person_id: Some(PersonId(1)), ..merged(1, 1) });
    let (erased, bare) = (World::of(&facts), World::of(&orders));
    assert_eq!(erased.counts(), bare.counts());
    assert_eq!(erased.cells, bare.cells);
}

#[test]
fn a_cart_id_that_everybody_shares_and_campaigns_without_end_stay_within_bounds() {
    let mut world = World::default();
    for n in 0..600_i64 {
        let person = Some(u128::try_from(n).unwrap());
        world.say(&in_cart(does(EventName::CartItemAdded, person, EventTime(n * MINUTE)), "default", 1));
        world.say(&with_campaign(
            does(EventName::ProductViewed, Some(1), EventTime(n * MINUTE)),
            &n.to_string(),
        ));
    }
    assert!(world.rows.0.values().all(|value| value.len() < 4096));
    assert_eq!(world.lines("carts"), ["1970-01-01 shopify [1, 0, 0]"]);
    for fact in order("o", &[bought(Some(1), 1_000, day(1)), Figures { qa: true, ..paid(1, 1) }]) {
        world.say(&fact);
    }
    assert!(world.credited("linear_30_revenue").is_empty());
}

#[test]
fn a_chunk_is_published_with_its_members_and_where_it_stands() {
    let world = World::of(&[with_campaign(does(EventName::ProductViewed, Some(1), day(1)), "A,B")]);
    let zones = std::collections::HashMap::new();
    let mut keys = Vec::new();
    for ((table, key), value) in &world.rows.0 {
        if *table == SETS.number {
            let metric = metric(key, &read(value).unwrap(), &mut Ends::new(&zones)).unwrap();
            assert_eq!((metric.values["actors"], metric.members.clone().unwrap().0), (1, vec![0, 0]));
            keys.push(metric.key());
        }
    }
    keys.sort();
    assert_eq!(
        keys,
        [
            "demo:funnel:day:1970-01-02:chunk=0,source=shopify,step=view_item",
            "demo:visitors:day:1970-01-02:chunk=0,source=shopify,utm_campaign=A%2CB,utm_medium=(none),utm_source=(none)",
        ]
    );
}
