//! The ordered funnel: known ways, and any facts in any order beside a recomputation.

use proptest::prelude::*;

use super::*;
use crate::ordered::Window;

const STEPS: [Step; 6] = [
    Step::ViewItem,
    Step::AddToCart,
    Step::ViewCart,
    Step::BeginCheckout,
    Step::AddPaymentInfo,
    Step::Purchase,
];
const EVENTS: [EventName; 5] = [
    EventName::ProductViewed,
    EventName::CartItemAdded,
    EventName::CartViewed,
    EventName::CheckoutStarted,
    EventName::CheckoutPaymentInfoAdded,
];

impl World {
    /// How many entered on some days and got to a step, of one source or, under the empty name, of all together.
    fn ordered(&self, window: Window, step: Step, source: &str, days: std::ops::Range<i32>) -> usize {
        let is = |set: &Set| {
            set.source == source
                && matches!(set.of, Of::Ordered(of, deepest) if of == window && deepest >= step)
        };
        let sets = self.sets();
        let members = sets.iter().filter(|((set, day), _)| is(set) && days.contains(&day.0));
        members.flat_map(|(_, numbers)| numbers).collect::<BTreeSet<_>>().len()
    }
}

fn hours(hours: i64) -> EventTime {
    EventTime(hours * 60 * MINUTE)
}

/// All steps of a person, an hour between each of them.
fn way(person: u128, first: i64) -> Vec<Fact<Figures>> {
    let steps = EVENTS.iter().zip(first..).map(|(event, hour)| does(*event, Some(person), hours(hour)));
    let mut facts: Vec<_> = steps.collect();
    facts.extend(order(&format!("of {person}"), &[bought(Some(person), 100, hours(first + 5))]));
    facts
}

#[test]
fn ana_d17_a_shopper_is_at_a_step_after_the_one_before_it_within_the_window_of_the_first() {
    let world = World::of(&[way(1, 20), way(2, 20)[..3].to_vec()].concat());
    let count = |window, step| world.ordered(window, step, "", 0..1);
    assert_eq!((count(Window::Day, Step::ViewCart), count(Window::Day, Step::Purchase)), (2, 1));
    assert_eq!((count(Window::HalfHour, Step::AddToCart), count(Window::Week, Step::Purchase)), (0, 1));
    // The way ended on the next day; it began on this one.
    assert_eq!(world.ordered(Window::Week, Step::AddToCart, "", 1..9), 0);
}

#[test]
fn ana_d17_the_same_steps_the_other_way_round_are_no_way() {
    let mut facts = way(1, 1);
    for (fact, hour) in facts.iter_mut().zip((0..6).rev()) {
        fact.occurred_at = hours(hour);
    }
    assert_eq!(World::of(&facts[..5]).ordered(Window::Week, Step::AddToCart, "", 0..9), 0);
}

#[test]
fn a_purchase_that_stops_counting_and_a_person_who_is_erased_leave_the_way() {
    let mut facts = way(1, 1);
    let gone = Figures { counted: false, ..bought(Some(1), 100, hours(6)) };
    facts.extend(order("of 1", &[bought(Some(1), 100, hours(6)), gone]).pop());
    let at = |world: &World, step| world.ordered(Window::Day, step, "", 0..1);
    let world = World::of(&facts);
    assert_eq!((at(&world, Step::AddPaymentInfo), at(&world, Step::Purchase)), (1, 0));
    facts.push(Fact {
        event: EventName::CustomerDeleted,
        person_id: Some(PersonId(1)),
        order_id: None,
        ..fact()
    });
    let world = World::of(&facts);
    assert_eq!(at(&world, Step::AddToCart), 0);
    let left: Vec<_> = world.rows.0.keys().filter(|(_, key)| key.get(5..7) == Some(b"Ap")).collect();
    assert!(left.iter().all(|(_, key)| key.get(22) != Some(&b's')), "{left:?}");
}

#[test]
fn two_halves_of_a_way_are_whole_once_the_two_are_known_to_be_one() {
    let mut facts = way(1, 1);
    let other = facts.split_off(3).into_iter().map(|fact| Fact {
        person_id: fact.activity.is_some().then_some(PersonId(2)),
        after: fact.after.map(|view| Figures { person_id: Some(PersonId(2)), ..view }),
        ..fact
    });
    facts.extend(other);
    let bought = |world: &World| world.ordered(Window::Day, Step::Purchase, "", 0..1);
    assert_eq!(bought(&World::of(&facts)), 0);
    facts.push(merged(1, 2));
    assert_eq!(bought(&World::of(&facts)), 1);
}

fn any_step() -> impl Strategy<Value = Fact<Figures>> {
    let sources = prop::sample::select(vec![commerce::Source::Shopify, commerce::Source::Analytics]);
    (0_usize..5, 0_u128..3, 0_i64..480, sources, any::<u32>()).prop_map(|(event, person, at, source, id)| {
        let at = EventTime(at * 30 * MINUTE);
        Fact { source, event_id: id.to_string(), ..does(EVENTS[event], Some(person), at) }
    })
}

fn any_order() -> impl Strategy<Value = Vec<Figures>> {
    let view = (0_u128..3, 0_i64..480, any::<bool>()).prop_map(|(person, at, counted)| Figures {
        counted,
        ..bought(Some(person), 100, EventTime(at * 30 * MINUTE))
    });
    prop::collection::vec(view, 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_order_of_the_same_steps_gives_the_ways_of_a_recomputation(
        steps in prop::collection::vec(any_step(), 0..60),
        // Somebody who goes the whole way, often, so that there is something to count.
        walks in prop::collection::vec((0_u128..3, 0_i64..240), 0..3),
        orders in prop::collection::vec(any_order(), 0..5),
        joined in any::<bool>(),
        drawn in prop::collection::vec(any::<u16>(), 40..80),
    ) {
        let mut chains: Vec<Vec<Fact<Figures>>> = steps.into_iter().map(|fact| vec![fact]).collect();
        for (n, (person, first)) in walks.into_iter().enumerate() {
            for mut fact in way(person, first) {
                fact.event_id.push_str(&n.to_string());
                fact.order_id = fact.order_id.map(|id| format!("{id} {n}"));
                chains.push(vec![fact]);
            }
        }
        chains.extend(orders.iter().enumerate().map(|(n, views)| order(&n.to_string(), views)));
        if joined {
            chains.push(vec![merged(1, 2)]);
        }
        let world = World::of(&shuffled::mixed(&chains, &drawn));

        let who = |person: Option<PersonId>| person.map(|id| if joined && id.0 == 1 { 2 } else { id.0 });
        let mut done: Vec<(u128, &str, EventTime, Step)> = Vec::new();
        for fact in chains.iter().filter_map(|chain| chain.last()) {
            if let (Some(person), Some(n)) = (who(fact.person_id), EVENTS.iter().position(|e| *e == fact.event)) {
                done.push((person, fact.source.as_str(), fact.occurred_at, STEPS[n]));
            }
            if let Some((view, (at, _))) = fact.after.as_ref().and_then(|view| Some((view, view.purchase()?))) {
                done.extend(who(view.person_id).map(|person| (person, "shopify", at, Step::Purchase)));
            }
        }
        // Who got from an entry of the days to a step: by the earliest next step, from each entry for itself.
        let count = |window: i64, step: Step, source: &str, days: &std::ops::Range<i32>| {
            let of = |person: u128, known: Step| {
                let own = move |(p, s, _, d): &&(u128, &str, EventTime, Step)| {
                    *p == person && *d == known && (source.is_empty() || *s == source)
                };
                done.iter().filter(own).map(|(_, _, at, _)| *at)
            };
            let gets_there = |person: &u128| {
                of(*person, Step::ViewItem).any(|entry| {
                    let within = days.contains(&Zone::utc().day_of(entry).0);
                    let last = STEPS[1..].iter().take_while(|known| **known <= step).try_fold(entry, |now, known| {
                        of(*person, *known).filter(|at| *at >= now).min()
                    });
                    within && last.is_some_and(|last| last.0 - entry.0 <= window)
                })
            };
            (0..3).filter(gets_there).count()
        };
        for (window, micros) in Window::ALL.into_iter().zip([30 * MINUTE, DAY, 7 * DAY]) {
            for step in &STEPS[1..] {
                for source in ["", "shopify", "analytics"] {
                    for days in [0..30, 0..1, 2..5] {
                        prop_assert_eq!(
                            world.ordered(window, *step, source, days.clone()),
                            count(micros, *step, source, &days),
                            "{:?} {:?} {} {:?}", window, step, source, days
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_way_is_corrected_after_the_end_of_its_window_and_a_step_after_that_of_its_day() {
    // Two steps of the first day, an hour apart, when windows that end before this have closed.
    let late = |closed_before: EventTime| {
        let (zone, mut rows) = (Zone::utc(), Memory::default());
        let mut late = BTreeSet::new();
        for fact in &way(1, 20)[..2] {
            let mut book = Book::new(&mut rows, "demo", &zone, closed_before.0);
            apply(&mut book, fact, QUIET).unwrap();
            let of = |key: &[u8]| read::<ChunkPlace>(key).unwrap().set.of;
            late.extend(book.presences.iter().filter(|one| one.late).map(|one| match of(&one.key) {
                Of::Ordered(window, _) => window.as_str(),
                _ => "step",
            }));
        }
        late.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(late(hours(23)), Vec::<&str>::new());
    assert_eq!(late(hours(24)), ["step"]);
    assert_eq!(late(hours(2 * 24)), ["24h", "step"]);
    assert_eq!(late(hours(8 * 24 - 1)), ["24h", "step"]);
    assert_eq!(late(hours(8 * 24)), ["24h", "7d", "step"]);
}
