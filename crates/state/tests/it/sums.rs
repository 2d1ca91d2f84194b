//! Random deliveries, with merges, refunds and erasures among them: what people have is what their orders are, what facts
//! add up to is what the orders are, and a merge that is called off leaves what was.

use std::collections::BTreeMap;
use std::sync::Arc;

use commerce::event::{FinancialStatus, Refund};
use commerce::fx::{Hour, Rate, announcement};
use commerce::order::View;
use commerce::person::Identifier;
use commerce::{Currency, Event, EventName, Fact, Money, PersonId, Profile, ReceivedTime, Source};
use proptest::prelude::*;
use service::stage::{Parts, harness};
use sources::{WorkspaceConfig, Workspaces};
use stream::{Harness, Record};
use topics::{Decoder, Encoder, Schemas, Topic};

use crate::world::*;

/// What is left on the compacted topics, and every fact.
struct Books {
    harness: Harness<state::StateStage>,
    decoder: Decoder,
    encoder: Encoder,
    orders: BTreeMap<Vec<u8>, View>,
    profiles: BTreeMap<Vec<u8>, Profile>,
    facts: Vec<Fact>,
}

impl Books {
    fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let workspaces = Arc::new(Workspaces::from_configs([WorkspaceConfig::development()]).unwrap());
        let schemas = Schemas::offline();
        let (decoder, encoder) = (schemas.decoder(), schemas.encoder(Topic::Events).unwrap());
        let parts = Parts { workspaces, schemas, event_partitions: 1 };
        let harness = harness(&state::PLAN, state::StateStage::new(&parts, "key").unwrap());
        let (orders, profiles) = (BTreeMap::new(), BTreeMap::new());
        let mut books = Self { harness, decoder, encoder, orders, profiles, facts: vec![] };
        for (n, event) in events.into_iter().enumerate() {
            books.take(event);
            if n % 3 == 2 {
                books.commit();
            }
        }
        books.commit();
        books
    }

    fn take(&mut self, event: &Event) {
        let mut bytes = Vec::new();
        self.encoder.encode(event, &mut bytes).unwrap();
        let key = format!("{}:x", event.workspace);
        let emitted = self.harness.process(&Record::new(Topic::Events.name(), 0, 0, key.as_bytes(), &bytes));
        self.collect(emitted.unwrap());
    }

    fn commit(&mut self) {
        let emitted = self.harness.commit(0).unwrap();
        self.collect(emitted);
    }

    fn collect(&mut self, emitted: Vec<stream::Emitted>) {
        for (output, _, key, value) in emitted {
            match (state::PLAN.outputs[output], value) {
                (Topic::Orders, Some(value)) => {
                    self.orders.insert(key, self.decoder.decode(&value).unwrap());
                }
                (Topic::Orders, None) => drop(self.orders.remove(&key)),
                (Topic::Profiles, value) => {
                    self.profiles.remove(&key);
                    let profile = value.map(|value| self.decoder.decode::<Profile>(&value).unwrap());
                    self.profiles.extend(profile.map(|profile| (key, profile)));
                }
                (Topic::Facts, Some(value)) => self.facts.push(self.decoder.decode(&value).unwrap()),
                (Topic::DeadLetters, Some(value)) => {
                    panic!("{:?}", self.decoder.decode::<commerce::DeadLetter>(&value).unwrap().message)
                }
                _ => {}
            }
        }
    }

    /// Everybody with a profile, without what is history.
    fn people(&self) -> BTreeMap<PersonId, Profile> {
        let people = self.profiles.values().filter(|profile| profile.merged_into.is_none());
        let settled = |profile: &Profile| Profile { as_of: ReceivedTime(0), ..profile.clone() };
        people.map(|profile| (profile.person_id, settled(profile))).collect()
    }
}

type Sums = BTreeMap<Currency, (i64, i64, i64, i64)>;

/// Orders, gross, kept and refunded by currency.
fn add(sums: &mut Sums, view: &View, sign: i64) {
    let Some(total) = view.total.filter(|_| view.counted) else { return };
    let back = view.refunded_total.map_or(0, |money| money.minor);
    let kept = if view.cancelled_at.is_some() { 0 } else { total.minor - back };
    let sum = sums.entry(total.currency).or_default();
    *sum = (sum.0 + sign, sum.1 + sign * total.minor, sum.2 + sign * kept, sum.3 + sign * back);
    if *sum == (0, 0, 0, 0) {
        sums.remove(&total.currency);
    }
}

fn currencies() -> [Currency; 2] {
    [Currency::USD, Currency::parse("EUR").unwrap()]
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Deed {
    Named(Vec<usize>),
    Ordered {
        source: usize,
        id: usize,
        who: Vec<usize>,
        minor: i64,
        currency: usize,
        back: i64,
        cancelled: bool,
        qa: bool,
    },
    Merged(usize, usize),
    Parted(usize, usize),
    Erased(usize),
    Rates,
}

fn handles() -> Vec<Identifier> {
    let users = ["u1", "u2", "u3"].map(user);
    let addresses = ["a@x.example", "b@x.example", "c@x.example"].map(email);
    users.into_iter().chain(addresses).chain(["d1", "d2"].map(anonymous)).collect()
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let who = || prop::collection::vec(0_usize..8, 1..4);
    let order = (0_usize..3, 0_usize..4, prop::collection::vec(0_usize..6, 0..3), 1_i64..500, 0_usize..2);
    let order = (order, 0_i64..600, prop::bool::weighted(0.15), prop::bool::weighted(0.05));
    prop_oneof![
        3 => who().prop_map(Deed::Named),
        6 => order.prop_map(|((source, id, who, minor, currency), back, cancelled, qa)| {
            Deed::Ordered { source, id, who, minor, currency, back: back - 300, cancelled, qa }
        }),
        1 => (0_usize..3, 0_usize..3).prop_map(|(a, b)| Deed::Merged(a, b)),
        1 => (0_usize..3, 0_usize..3).prop_map(|(a, b)| Deed::Parted(a, b)),
        1 => (0_usize..8).prop_map(Deed::Erased),
        1 => Just(Deed::Rates),
    ]
}

/// The deeds as events, one a minute.
fn events(deeds: &[Deed]) -> Vec<Event> {
    deeds.iter().zip(1_i64..).map(|(deed, n)| event(deed, n * MINUTE)).collect()
}

fn event(deed: &Deed, after: i64) -> Event {
    let all = handles();
    let some = |places: &[usize]| places.iter().map(|place| all[*place].clone()).collect::<Vec<_>>();
    match deed {
        Deed::Named(who) => by(&some(who), EventName::CustomerUpdated, after),
        Deed::Merged(a, b) => absorbing(&all[*a], &all[*b], EventName::CustomerMerged, after),
        Deed::Parted(a, b) => absorbing(&all[*a], &all[*b], EventName::CustomerSeparated, after),
        Deed::Erased(who) => by(&some(&[*who]), EventName::CustomerDeleted, after),
        Deed::Rates => {
            let rates = [(currencies()[1], Rate::parse("1.25").unwrap())].into();
            announcement(Currency::USD, Hour::of(at(0)), &rates, ReceivedTime(at(after).0)).unwrap()
        }
        Deed::Ordered { source, id, who, minor, currency, back, cancelled, qa } => {
            let currency = currencies()[*currency];
            let mut event = paid(&some(who), &format!("o{id}"), &["coffee"], after);
            event.source = [Source::Shopify, Source::Sequenzy, Source::Analytics][*source];
            event.event = EventName::OrderUpdated;
            event.qa = *qa;
            let order = event.payload.order.as_mut().unwrap();
            order.financial_status = Some(FinancialStatus::Paid);
            (order.placed_at, order.paid_at) = (Some(at(0)), Some(at(0)));
            (order.currency, order.total) = (Some(currency), Some(Money::new(*minor, currency)));
            if *back > 0 {
                let amount = Money::new(*back, currency);
                order.refunds = vec![Refund { id: format!("r{back}"), amount, at: at(after) }];
            }
            order.cancelled_at = cancelled.then(|| at(after));
            event
        }
    }
}

/// Two people are one, or aren't.
pub(crate) fn absorbing(stays: &Identifier, goes: &Identifier, name: EventName, after: i64) -> Event {
    let mut event = by(std::slice::from_ref(stays), name, after);
    event.source = Source::Operator;
    if let Some(person) = &mut event.person {
        person.absorbed = vec![goes.clone()];
        person.consent.clear();
        person.update_only = true;
    }
    event
}

/// What has to hold of any books.
fn check(books: &Books) -> Result<(), TestCaseError> {
    let mut by_person: BTreeMap<PersonId, Sums> = BTreeMap::new();
    let mut all = Sums::new();
    for view in books.orders.values() {
        add(&mut all, view, 1);
        if let Some(person) = view.person_id {
            add(by_person.entry(person).or_default(), view, 1);
        }
    }
    let people = books.people();
    for (id, profile) in &people {
        let mut sums = Sums::new();
        for (currency, gross) in &profile.total_spent_by_currency {
            let get = |by: &BTreeMap<Currency, i64>| by.get(currency).copied().unwrap_or(0);
            let (kept, back) = (&profile.lifetime_value_by_currency, &profile.refunded_total_by_currency);
            sums.insert(*currency, (0, *gross, get(kept), get(back)));
        }
        let of_orders = by_person.remove(id).unwrap_or_default();
        let count: i64 = of_orders.values().map(|sum| sum.0).sum();
        let amounts: Sums = of_orders.into_iter().map(|(c, sum)| (c, (0, sum.1, sum.2, sum.3))).collect();
        prop_assert_eq!((profile.orders_count, sums), (count, amounts), "{:?}", profile);
    }
    by_person.retain(|_, sums| !sums.is_empty());
    prop_assert!(by_person.is_empty(), "orders of people without a profile: {:?}", by_person);

    let (mut told, mut last) = (Sums::new(), BTreeMap::<&str, &View>::new());
    for fact in &books.facts {
        let (Some(id), Some(after)) = (&fact.order_id, &fact.after) else { continue };
        let before = last.insert(id, after).filter(|view| view.total.is_some());
        prop_assert_eq!(&fact.before.as_ref(), &before, "{} {}", id, fact.event);
        before.into_iter().for_each(|before| add(&mut told, before, -1));
        add(&mut told, after, 1);
    }
    prop_assert_eq!(told, all);
    last.retain(|_, view| view.total.is_some());
    let published: BTreeMap<&str, &View> =
        books.orders.values().map(|view| (view.id.as_str(), view)).collect();
    prop_assert_eq!(last, published);
    Ok(())
}

fn ordered(id: usize, who: &[usize]) -> Deed {
    let who = who.to_vec();
    Deed::Ordered { source: 0, id, who, minor: 1, currency: 0, back: 0, cancelled: false, qa: false }
}

#[test]
fn who_loses_a_handle_that_was_erased_with_somebody_else_is_published_without_its_orders() {
    // u1 has b@ and c@ with her, and an order under b@ alone. That c@ was u2's, who was erased, is processed late.
    let deeds =
        [ordered(2, &[4]), ordered(0, &[0, 4]), ordered(0, &[5, 1]), ordered(0, &[5, 4]), Deed::Erased(1)];
    let events = events(&deeds);
    let books = Books::of([0, 1, 3, 4, 2, 3].map(|at: usize| &events[at]));
    check(&books).unwrap();
    let jane = handles().remove(0);
    let people = books.people();
    let jane = people.values().find(|profile| profile.contact.identifiers.contains(&jane)).unwrap();
    assert_eq!((jane.orders_count, jane.contact.identifiers.len()), (1, 1), "{jane:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn profiles_are_the_sums_of_their_orders_and_orders_the_sums_of_their_facts(
        deeds in prop::collection::vec(any_deed(), 1..24),
        places in prop::collection::vec(any::<prop::sample::Index>(), 24),
    ) {
        let events = events(&deeds);
        check(&Books::of(&events))?;
        let mut mixed: Vec<&Event> = events.iter().collect();
        for (n, place) in places.iter().enumerate().take(mixed.len()) {
            let other = place.index(mixed.len());
            mixed.swap(n, other);
        }
        check(&Books::of(mixed.iter().copied().chain(&events)))?;
    }

    #[test]
    fn a_merge_that_is_called_off_leaves_orders_and_people_as_they_were(
        deeds in prop::collection::vec(any_deed(), 1..20),
        after in prop::collection::vec(any_deed(), 0..6),
    ) {
        // Of these two nobody else has said anything.
        let apart = |deed: &Deed| !matches!(deed, Deed::Merged(..) | Deed::Parted(..) | Deed::Erased(_));
        let before: Vec<Deed> = deeds.into_iter().filter(apart).collect();
        let after: Vec<Deed> = after.into_iter().filter(apart).collect();
        let minutes = |from: usize| (1_i64..).skip(from).map(|n| n * MINUTE);
        let of = |(deed, minute): (&Deed, i64)| event(deed, minute);
        let handles = handles();
        let mut all: Vec<Event> = before.iter().zip(minutes(0)).map(of).collect();
        let merge = all.len();
        let minute = minutes(merge).next().unwrap();
        all.push(absorbing(&handles[0], &handles[1], EventName::CustomerMerged, minute));
        all.extend(after.iter().zip(minutes(merge + 1)).map(of));
        let minute = minutes(all.len()).next().unwrap();
        all.push(absorbing(&handles[1], &handles[0], EventName::CustomerSeparated, minute));
        let parting = all.len() - 1;
        let undone = Books::of(&all);
        check(&undone)?;
        all.remove(parting);
        all.remove(merge);
        let expected = Books::of(&all);
        let orders = |books: &Books| books.orders.values().cloned().collect::<Vec<_>>();
        prop_assert_eq!(orders(&undone), orders(&expected));
        // That two accounts were named together is a conflict until somebody says that they are two; and audiences go by
        // the clock at which somebody's record was written last.
        let people = |books: &Books| {
            let mut people = books.people();
            for profile in people.values_mut() {
                profile.flags.retain(|flag| flag != "identity_conflict");
                profile.audiences.clear();
                profile.audiences_since.clear();
            }
            people
        };
        prop_assert_eq!(people(&undone), people(&expected));
    }
}
