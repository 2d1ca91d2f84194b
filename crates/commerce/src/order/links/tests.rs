use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::order::tests::{delivery, policy};
use crate::{Currency, EventName, Money, Source};

/// A shelf in memory.
#[derive(Default)]
struct Kept {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// All display numbers have one key.
    crowded: bool,
}

impl Shelf for Kept {
    type Error = Infallible;

    fn get(&self, key: &[u8]) -> Result<Option<Entry>, Infallible> {
        Ok(self.entries.get(self.key(key)).cloned())
    }

    fn put(&mut self, key: &[u8], entry: Option<&Entry>) -> Result<(), Infallible> {
        let key = self.key(key).to_vec();
        match entry {
            Some(entry) => self.entries.insert(key, entry.clone()),
            None => self.entries.remove(&key),
        };
        Ok(())
    }
}

impl Kept {
    /// Takes deliveries in as the stage does: what is made of other sources is published under its id.
    fn of(events: &[Event]) -> Self {
        Self::default().with(events)
    }

    fn with(mut self, events: &[Event]) -> Self {
        for event in events {
            self.take(event);
        }
        self
    }

    fn key<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        let number = key.iter().position(|byte| *byte == 0).filter(|_| self.crowded);
        number.map_or(key, |zero| &key[..=zero])
    }

    fn take(&mut self, event: &Event) -> Joined {
        let Ok(mut cluster) = Cluster::find(self, &event.workspace, &event.entity.id);
        let Ok(joined) = cluster.join(self, event);
        for at in joined.change.changed.iter().copied().chain([joined.at]) {
            let state = &mut cluster.orders[at];
            state.published = state.view(&policy());
        }
        let Ok(()) = cluster.store(self);
        joined
    }

    fn states(&self) -> impl Iterator<Item = &State> {
        self.entries.values().flat_map(|entry| match entry {
            Entry::Orders(orders) => orders.as_slice(),
            Entry::At(_) => &[],
        })
    }

    /// All orders by their ids; two of one id would be lost to each other in the topic.
    fn views(&self) -> BTreeMap<String, View> {
        let mut views = BTreeMap::new();
        for state in self.states() {
            let view = state.view(&policy()).unwrap();
            assert_eq!(state.published.as_ref(), Some(&view), "what is published is behind");
            assert!(views.insert(view.id.clone(), view).is_none());
        }
        views
    }

    /// Which source orders are one.
    fn sets(&self) -> BTreeSet<BTreeSet<(Source, String, String)>> {
        let part = |(space, order): (&Space, &SourceOrder)| {
            (space.source, space.space.clone(), order.id().unwrap().to_owned())
        };
        self.states().map(|state| state.sources.iter().map(part).collect()).collect()
    }
}

/// A delivery of a source about an order.
fn said(n: i64, source: Source, id: &str, aliases: &[&str], total: Option<i64>) -> Event {
    let mut event = delivery(n, crate::event::FinancialStatus::Paid, &[]);
    event.source = source;
    event.source_space = String::new();
    event.event = EventName::OrderUpdated;
    event.raw_offset = n;
    event.entity.id = id.to_owned();
    event.entity.aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    event.keys.transport = format!("{n}");
    event.keys.semantic = format!("{n}");
    if let Some(order) = &mut event.payload.order {
        order.total = total.map(|minor| Money::new(minor, Currency::USD));
    }
    event
}

fn ids(events: &[Event]) -> Vec<(String, Vec<Source>)> {
    let views = Kept::of(events).views();
    views.into_iter().map(|(id, view)| (id, view.sources)).collect()
}

fn both(events: &[Event]) -> Vec<(String, Vec<Source>)> {
    let backwards: Vec<Event> = events.iter().rev().cloned().collect();
    let found = ids(events);
    assert_eq!(found, ids(&backwards));
    found
}

fn found(orders: &[(&str, &[Source])]) -> Vec<(String, Vec<Source>)> {
    orders.iter().map(|(id, sources)| ((*id).to_owned(), sources.to_vec())).collect()
}

use Source::{Analytics, Customerio, Lifesight, Records, Sequenzy, Shopify};

#[test]
fn equal_ids_of_two_sources_are_one_order() {
    let events = [said(1, Shopify, "5", &[], Some(10)), said(2, Analytics, "5", &[], Some(99))];
    assert_eq!(both(&events), found(&[("5", &[Shopify, Analytics])]));
}

#[test]
fn an_id_that_a_source_knows_from_elsewhere_links_whichever_comes_first() {
    let shopify = |n| said(n, Shopify, "5", &[], Some(10));
    let tracked = |n| said(n, Customerio, "c-9", &["5"], None);
    assert_eq!(both(&[shopify(1), tracked(2)]), found(&[("5", &[Shopify, Customerio])]));
    assert_eq!(both(&[tracked(1), shopify(2)]), found(&[("c-9", &[Shopify, Customerio])]));
    let view = &Kept::of(&[tracked(1), shopify(2)]).views()["c-9"];
    assert_eq!(view.aliases, ["5"]);
}

#[test]
fn what_two_say_that_a_third_has_is_no_link_until_the_third_comes() {
    let (a, b) = (said(1, Customerio, "c-9", &["5"], None), said(2, Records, "r-9", &["5"], None));
    assert_eq!(both(&[a.clone(), b.clone()]), found(&[("c-9", &[Customerio]), ("r-9", &[Records])]));
    let c = said(3, Shopify, "5", &[], None);
    assert_eq!(both(&[a, b, c]), found(&[("c-9", &[Shopify, Customerio, Records])]));
}

#[test]
fn a_display_number_links_only_where_total_and_currency_are_equal() {
    let shopify = said(1, Shopify, "5", &["number:1001"], Some(10));
    let pushed = |n, total| said(n, Sequenzy, "s-1", &["number:1001"], total);
    assert_eq!(both(&[shopify.clone(), pushed(2, Some(10))]), found(&[("5", &[Shopify, Sequenzy])]));
    let apart = found(&[("5", &[Shopify]), ("s-1", &[Sequenzy])]);
    assert_eq!(both(&[shopify.clone(), pushed(2, Some(11))]), apart);
    assert_eq!(both(&[shopify.clone(), pushed(2, None)]), apart);
    let mut euro = pushed(2, None);
    euro.payload.order.as_mut().unwrap().total = Some(Money::new(10, Currency::parse("EUR").unwrap()));
    assert_eq!(both(&[shopify.clone(), euro]), apart);
    // A total that changes later takes nothing away.
    let edited = said(3, Shopify, "5", &["number:1001"], Some(7));
    assert_eq!(both(&[shopify, pushed(2, Some(10)), edited]), found(&[("5", &[Shopify, Sequenzy])]));
}

#[test]
fn an_id_that_is_what_the_customer_sees_links_as_a_number() {
    let shopify = said(1, Shopify, "5", &["number:1001"], Some(10));
    let bought = |id, total| said(2, Analytics, id, &[], Some(total));
    assert_eq!(both(&[shopify.clone(), bought("#1001", 10)]), found(&[("5", &[Shopify, Analytics])]));
    let apart = found(&[("1001", &[Analytics]), ("5", &[Shopify])]);
    assert_eq!(both(&[shopify, bought("1001", 11)]), apart);
}

#[test]
fn orders_of_one_source_are_never_one_not_even_by_way_of_a_third() {
    let one = said(1, Shopify, "5", &["number:1001"], Some(10));
    let mut two = said(2, Shopify, "6", &["number:1001"], Some(10));
    two.source_space = "other".to_owned();
    let pushed = said(3, Sequenzy, "6", &["number:1001"], Some(10));
    // The id is stronger than the number.
    assert_eq!(both(&[one, two, pushed]), found(&[("5", &[Shopify]), ("6", &[Shopify, Sequenzy])]));
}

#[test]
fn two_shops_may_use_one_id_and_the_first_has_it() {
    let one = said(1, Shopify, "5", &[], Some(10));
    let mut two = said(2, Shopify, "5", &[], Some(20));
    two.source_space = "other".to_owned();
    let bought = said(3, Analytics, "5", &[], Some(10));
    let all = found(&[("5", &[Shopify, Analytics]), ("5@other", &[Shopify])]);
    assert_eq!(both(&[one, two, bought]), all);
}

#[test]
fn the_id_moves_with_the_smallest_stamp_and_the_former_one_is_told() {
    let mut kept = Kept::of(&[said(2, Shopify, "5", &["number:1001"], Some(10))]);
    let joined = kept.take(&said(1, Sequenzy, "s-1", &["number:1001"], Some(10)));
    let [former] = joined.change.former.as_slice() else { panic!("{:?}", joined.change) };
    assert_eq!((former.view.id.as_str(), former.moved), ("5", Some(joined.at)));
    // Of two that were published one goes on, the other one is gone.
    let mut kept = Kept::of(&[said(1, Shopify, "5", &[], None), said(2, Records, "r", &[], None)]);
    let joined = kept.take(&said(3, Records, "r", &["5"], None));
    let [former] = joined.change.former.as_slice() else { panic!("{:?}", joined.change) };
    assert_eq!((former.view.id.as_str(), former.moved), ("r", None));
    assert_eq!(kept.views().keys().collect::<Vec<_>>(), ["5"]);
}

#[test]
fn a_sender_who_gives_all_orders_one_name_gets_one_link_and_small_entries() {
    let mut kept = Kept::of(&[said(0, Shopify, "5", &[], None)]);
    for n in 1..200 {
        kept.take(&said(n, Customerio, &format!("c-{n}"), &["5"], None));
    }
    let largest = kept.entries.values().map(|entry| match entry {
        Entry::Orders(orders) => orders.len(),
        Entry::At(_) => 0,
    });
    assert_eq!((largest.max(), kept.views().len()), (Some(1), 199));
    assert_eq!(kept.views()["5"].sources, [Shopify, Customerio]);
}

#[test]
fn orders_that_turn_out_to_be_one_remember_no_more_who_lost_a_name_to_them_than_one_does() {
    let mut kept = Kept::of(&[said(0, Shopify, "5", &[], None), said(1, Lifesight, "6", &[], None)]);
    for n in 2..50 {
        let id = if n % 2 == 0 { "5" } else { "6" };
        kept.take(&said(n, Customerio, &format!("c-{n}"), &[id], None));
    }
    let remembered = |kept: &Kept| kept.states().map(|state| state.outdone.len()).max();
    assert_eq!(remembered(&kept), Some(MOST_OUTDONE));
    kept.take(&said(50, Lifesight, "6", &["5"], None));
    let is_one = |view: &View| [Shopify, Lifesight].iter().all(|source| view.sources.contains(source));
    assert!(kept.views().values().any(is_one));
    assert_eq!(remembered(&kept), Some(MOST_OUTDONE));
}

#[test]
fn an_order_without_a_link_is_looked_up_once() {
    let mut kept = Kept::of(&[said(1, Shopify, "5", &["number:1001"], Some(10))]);
    let entries = kept.entries.len();
    kept.take(&said(2, Shopify, "5", &["number:1001"], Some(10)));
    assert_eq!((entries, kept.entries.len()), (2, 2));
    let names = kept.states().flat_map(|state| state.sources.values()).flat_map(|order| order.names.values());
    assert_eq!(names.collect::<Vec<_>>(), [&Standing::Held]);
}

/// What is one by the letter of R4.5, from the whole list at once and in the plainest way.
fn by_the_letter(events: &[Event]) -> BTreeSet<BTreeSet<(Source, String, String)>> {
    type Own = (Source, String, String);
    let own = |event: &Event| (event.source, event.source_space.clone(), event.entity.id.clone());
    let mut firsts: BTreeMap<Own, Stamp> = BTreeMap::new();
    let mut names: BTreeMap<String, BTreeMap<Own, u8>> = BTreeMap::new();
    for event in events {
        let first = firsts.entry(own(event)).or_insert(event.stamp());
        *first = (*first).min(event.stamp());
        let mut name = |name: String, strength: u8| {
            let known = names.entry(name).or_default().entry(own(event)).or_insert(strength);
            *known = (*known).min(strength);
        };
        name(format!("id {}", event.entity.id), 0);
        let total = event.payload.order.as_ref().unwrap().total;
        let mut numbers = vec![];
        for alias in &event.entity.aliases {
            match alias.strip_prefix("number:") {
                Some(number) => numbers.push(number.to_owned()),
                None => name(format!("id {alias}"), 1),
            }
        }
        if numbers.is_empty() {
            numbers.push(event.entity.id.clone());
        }
        for (number, total) in numbers.iter().filter_map(|number| Some((number, total?))) {
            name(format!("number {number} {total}"), 1);
        }
    }
    let mut links = vec![];
    for (name, claims) in &names {
        for (a, strong) in claims {
            for (b, other) in claims {
                let first = |own: &Own, strength: &u8| {
                    let rivals = claims.iter().filter(|(rival, _)| rival.0 == own.0);
                    rivals.min_by_key(|(rival, s)| (**s, firsts[*rival])).unwrap() == (own, strength)
                };
                let number = name.starts_with("number");
                let strength = if number { 2 } else { strong + other };
                let counts = a.0 != b.0 && firsts[a] > firsts[b] && (number || strength < 2);
                if counts && first(a, strong) && first(b, other) {
                    links.push((strength, firsts[a], firsts[b], a.clone(), b.clone()));
                }
            }
        }
    }
    links.sort();
    let mut sets: Vec<BTreeSet<Own>> = firsts.keys().map(|own| BTreeSet::from([own.clone()])).collect();
    for (.., a, b) in links {
        let at = |own: &Own| sets.iter().position(|set| set.contains(own)).unwrap();
        let (i, j) = (at(&a), at(&b));
        let clash = sets[i].iter().any(|x| sets[j].iter().any(|y| x.0 == y.0));
        if i != j && !clash {
            let gone = std::mem::take(&mut sets[j]);
            sets[i].extend(gone);
        }
    }
    sets.into_iter().filter(|set| !set.is_empty()).collect()
}

fn deliveries() -> impl Strategy<Value = Vec<Event>> {
    let source = prop::sample::select(vec![Shopify, Lifesight, Sequenzy, Customerio, Analytics, Records]);
    let id = prop::sample::select(vec!["1", "2", "3", "4"]);
    let alias = prop::sample::select(vec!["1", "2", "3", "4", "number:1", "number:2", "number:3"]);
    let aliases = prop::collection::vec(alias, 0..3);
    let total = prop::sample::select(vec![None, Some(10), Some(20)]);
    let one = (source, prop::bool::weighted(0.2), id, aliases, total);
    prop::collection::vec(one, 1..14).prop_map(|list| {
        let mut events = vec![];
        for (n, (source, other, id, aliases, total)) in (0..).zip(list) {
            let aliases: Vec<&str> = aliases.into_iter().filter(|alias| *alias != id).collect();
            let mut event = said(n, source, id, &aliases, total);
            event.source_space = if other { "other" } else { "" }.to_owned();
            events.push(event);
        }
        events
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_order_and_repetition_of_linked_deliveries_gives_the_same_orders(
        (events, shuffled) in deliveries().prop_flat_map(|events| {
            let twice: Vec<Event> = events.iter().chain(&events).cloned().collect();
            (Just(events), Just(twice).prop_shuffle())
        })
    ) {
        let (a, b) = (Kept::of(&events), Kept::of(&shuffled));
        prop_assert_eq!(a.sets(), by_the_letter(&events));
        prop_assert_eq!(b.sets(), by_the_letter(&events));
        prop_assert_eq!(a.views(), b.views());
        let disagreements = |kept: &Kept| {
            let of = |state: &State| (state.id().unwrap().to_owned(), state.disagreements(&policy()));
            kept.states().map(of).collect::<BTreeMap<_, _>>()
        };
        prop_assert_eq!(disagreements(&a), disagreements(&b));
    }

    #[test]
    fn orders_whose_numbers_share_a_key_are_the_same_orders(events in deliveries()) {
        let crowded = Kept { crowded: true, ..Kept::default() }.with(&events);
        prop_assert_eq!(crowded.sets(), by_the_letter(&events));
        prop_assert_eq!(crowded.views(), Kept::of(&events).views());
    }

    #[test]
    fn no_source_order_is_lost_or_in_two_orders(events in deliveries()) {
        let kept = Kept::of(&events);
        let all: Vec<_> = kept.sets().into_iter().flatten().collect();
        let different: BTreeSet<_> =
            events.iter().map(|e| (e.source, e.source_space.clone(), e.entity.id.clone())).collect();
        prop_assert_eq!(all.len(), different.len());
        for event in &events {
            let Ok(cluster) = Cluster::find(&kept, &event.workspace, &event.entity.id);
            prop_assert!(cluster.order_of(event).is_some());
        }
    }
}
