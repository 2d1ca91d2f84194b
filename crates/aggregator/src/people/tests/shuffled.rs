//! Facts in any order, and beside a recomputation that knows nothing of lists.

use proptest::prelude::*;

use super::*;

fn any_moment() -> impl Strategy<Value = Fact<Figures>> {
    let events = prop::sample::select(vec![
        EventName::ProductViewed,
        EventName::CartItemAdded,
        EventName::CartItemRemoved,
        EventName::CartViewed,
        EventName::CheckoutStarted,
    ]);
    let names = prop::option::of(prop::sample::select(vec!["A", "B", "C"]));
    let carts = prop::option::of(prop::sample::select(vec!["c1", "c2"]));
    (events, prop::option::weighted(0.9, 0_u128..4), 0_i64..100, 0_i64..200, names, carts, 0_u32..1_000_000)
        .prop_map(|(event, person, at, late, name, cart, id)| {
            let mut fact = does(event, person, EventTime(at * DAY + at * MINUTE));
            fact.received_at = ReceivedTime(fact.occurred_at.0 + late * MINUTE * 20);
            if let Some(name) = name {
                fact = with_campaign(fact, name);
            }
            if let Some(cart) = cart {
                fact = in_cart(fact, cart, at * 10);
            }
            fact.event_id = id.to_string();
            fact
        })
}

fn any_view() -> impl Strategy<Value = Figures> {
    let names = prop::option::of(prop::sample::select(vec!["A", "B", "C"]));
    let carts = prop::collection::vec(prop::sample::select(vec!["c1".to_owned(), "c2".to_owned()]), 0..2);
    let person = prop::option::weighted(0.9, 0_u128..4);
    (person, 0_i64..100, 0_i64..100, any::<bool>(), names, carts).prop_map(
        |(person, minor, at, counted, name, carts)| Figures {
            counted,
            carts,
            campaign: name.map(|name| Campaign { campaign: Some(name.to_owned()), ..Campaign::default() }),
            ..bought(person, minor, EventTime(at * DAY + at * MINUTE))
        },
    )
}

/// Chains of facts: the order within each is kept.
fn any_chains() -> impl Strategy<Value = Vec<Vec<Fact<Figures>>>> {
    let moments = prop::collection::vec(any_moment().prop_map(|fact| vec![fact]), 0..25);
    let orders = prop::collection::vec(prop::collection::vec(any_view(), 1..4), 0..8);
    let merges = prop::collection::vec((0_u128..3, 1_u128..4), 0..3);
    (moments, orders, merges).prop_map(|(mut chains, orders, merges)| {
        chains.extend(orders.iter().enumerate().map(|(n, views)| order(&n.to_string(), views)));
        chains.extend(
            merges.into_iter().filter(|(from, to)| from < to).map(|(from, to)| vec![merged(from, to)]),
        );
        chains
    })
}

/// The facts of all chains, mixed by numbers that somebody drew.
pub(super) fn mixed(chains: &[Vec<Fact<Figures>>], drawn: &[u16]) -> Vec<Fact<Figures>> {
    let mut waiting: Vec<_> = chains.iter().map(|chain| chain.iter().peekable()).collect();
    let mut drawn = drawn.iter().cycle();
    let mut facts = Vec::new();
    while !waiting.is_empty() {
        let n = usize::from(*drawn.next().unwrap()) % waiting.len();
        match waiting[n].next() {
            Some(fact) => facts.push(fact.clone()),
            None => drop(waiting.swap_remove(n)),
        }
    }
    facts
}

/// Whose is whose after all merges.
fn root(merges: &[(u128, u128)], person: u128) -> u128 {
    let mut group = BTreeSet::from([person]);
    for _ in 0..merges.len() {
        for (from, to) in merges {
            if group.contains(from) || group.contains(to) {
                group.extend([*from, *to]);
            }
        }
    }
    group.first().copied().unwrap_or(person)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    #[test]
    fn any_order_of_the_same_facts_gives_the_same_figures(
        chains in any_chains(),
        drawn in prop::collection::vec(any::<u16>(), 40..80),
    ) {
        let straight = World::of(chains.iter().flatten());
        let other = World::of(&mixed(&chains, &drawn));
        prop_assert_eq!(straight.counts(), other.counts());
        prop_assert_eq!(&straight.cells, &other.cells);
    }

    #[test]
    fn the_figures_are_those_of_a_recomputation(chains in any_chains()) {
        let world = World::of(chains.iter().flatten());
        let merges: Vec<(u128, u128)> = chains.iter().flatten()
            .filter_map(|fact| Some((fact.from_person_id?.0, fact.person_id?.0))).collect();
        let who = |person: PersonId| root(&merges, person.0);
        let purchases: Vec<(&Figures, EventTime, i64)> = chains.iter()
            .filter_map(|chain| chain.last()?.after.as_ref())
            .filter_map(|view| view.purchase().map(|(at, total)| (view, at, total.minor)))
            .collect();

        // ana_c16: distinct actors per step over all days.
        for (step, event) in [(Step::ViewItem, EventName::ProductViewed), (Step::BeginCheckout, EventName::CheckoutStarted)] {
            let actors: BTreeSet<String> = chains.iter().flatten().filter(|fact| fact.event == event).map(|fact| {
                let cart = fact.activity.as_ref().and_then(|activity| activity.cart_id.clone());
                match (fact.person_id, cart) {
                    (Some(person), _) => format!("person {}", who(person)),
                    (None, Some(cart)) => format!("cart {cart}"),
                    (None, None) => format!("event {}", fact.event_id),
                }
            }).collect();
            prop_assert_eq!(world.step(step), actors.len());
        }

        // ana_c21: users by the month of their first purchase, revenue by month after it.
        let mut first: BTreeMap<u128, String> = BTreeMap::new();
        let month = |at: EventTime| Zone::utc().day_of(at).to_string()[..7].to_owned();
        for (view, at, _) in &purchases {
            if let Some(person) = view.person_id {
                let known = first.entry(who(person)).or_insert_with(|| month(*at));
                *known = known.clone().min(month(*at));
            }
        }
        let mut users: BTreeMap<String, i64> = BTreeMap::new();
        first.values().for_each(|month| *users.entry(month.clone()).or_default() += 1);
        let expected: Vec<String> = users.iter().map(|(month, n)| format!("{month}-01 [{n}]")).collect();
        prop_assert_eq!(world.lines("cohort_users"), expected);
        let mut revenue: BTreeMap<(String, String), i64> = BTreeMap::new();
        for (view, at, minor) in &purchases {
            if let Some(person) = view.person_id {
                *revenue.entry((month(*at), first[&who(person)].clone())).or_default() += minor;
            }
        }
        revenue.retain(|_, minor| *minor != 0);
        let expected: Vec<String> =
            revenue.iter().map(|((month, cohort), minor)| format!("{month}-01 USD {cohort}-01 [{minor}]")).collect();
        prop_assert_eq!(world.lines("cohort_revenue"), expected);

        // ana_c19: every model and window credits the whole revenue, and an order once in the last click.
        let total: i64 = purchases.iter().map(|(_, _, minor)| minor).sum();
        for name in attribution::NAMES.iter().filter(|name| name.ends_with("revenue")) {
            prop_assert_eq!(world.credited(name).values().sum::<i64>(), total, "{}", name);
        }
        let orders = i64::try_from(purchases.len()).unwrap();
        prop_assert_eq!(world.credited("last_click_30_orders").values().sum::<i64>(), orders);

        // ana_c22: no cart is two things at once, and none but an abandoned one has a value.
        for (spot, values) in &world.cells {
            if spot.metric == "carts" {
                prop_assert!(values[0] >= values[1] + values[2] && values.iter().all(|value| *value >= 0));
            }
        }
    }
}
