use commerce::event::{Activity, Origin};
use commerce::time::SECOND;
use commerce::{Currency, ReceivedTime, Source, WorkspaceId};

use super::*;

/// A fact of the workspace `demo` that arrived at a second.
pub(crate) fn fact(event: EventName, id: &str, person: u128, second: i64) -> Fact<Figures> {
    Fact {
        event_id: id.to_owned(),
        event,
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source: Source::Analytics,
        source_space: String::new(),
        source_event: String::new(),
        occurred_at: EventTime(second * SECOND),
        received_at: ReceivedTime(second * SECOND),
        entity_type: String::new(),
        entity_id: String::new(),
        order_id: None,
        person_id: Some(PersonId(person)),
        before: None,
        after: None,
        refund: None,
        activity: Some(Activity::default()),
        group: None,
        payment: None,
        subscription: None,
        properties: BTreeMap::new(),
        flags: Vec::new(),
        origin: Origin::live(),
        trigger_eligible: false,
        qa: false,
        fraud: None,
        from_person_id: None,
    }
}

fn types(journeys: &Journeys, person: u128) -> Vec<String> {
    let (from, to) = (EventTime(i64::MIN), EventTime(i64::MAX));
    journeys.of("demo", PersonId(person), from, to).into_iter().map(|(_, entry)| entry.event_type).collect()
}

fn bought(person: u128, minor: i64, second: i64) -> Figures {
    Figures {
        id: "o1".to_owned(),
        person_id: Some(PersonId(person)),
        counted: true,
        counted_at: Some(EventTime(second * SECOND)),
        total: Some(Money::new(minor, Currency::USD)),
        ..Figures::default()
    }
}

fn step(before: Option<Figures>, after: Option<Figures>) -> Fact<Figures> {
    let person = after.as_ref().and_then(|view| view.person_id);
    Fact { before, after, activity: None, person_id: person, ..fact(EventName::OrderPaid, "o", 0, 0) }
}

#[test]
fn a_journey_ascends_and_has_one_entry_per_event_and_order() {
    let journeys = Journeys::default();
    for item in ["a", "b"] {
        let mut part = fact(EventName::CartItemAdded, item, 1, 20);
        part.group = Some("event".to_owned());
        let thing = Item {
            product_id: Some(item.to_owned()),
            variant_id: None,
            sku: None,
            title: None,
            variant_title: None,
            quantity: 1,
            price: None,
            discount: None,
            category: None,
            brand: None,
            allocations: Vec::new(),
        };
        part.activity = Some(Activity { items: Some(vec![thing]), ..Activity::default() });
        // A fact that is read again changes nothing.
        for _ in 0..2 {
            journeys.take(&part).unwrap();
        }
    }
    journeys.take(&fact(EventName::ProductViewed, "v", 1, 10)).unwrap();
    journeys.take(&fact(EventName::CustomerUpdated, "c", 1, 11)).unwrap();
    journeys.take(&Fact { qa: true, ..fact(EventName::ProductViewed, "q", 1, 12) }).unwrap();
    let (first, second) = (bought(1, 100, 30), bought(1, 250, 31));
    journeys.take(&step(None, Some(first.clone()))).unwrap();
    journeys.take(&step(Some(first), Some(second))).unwrap();
    assert_eq!(types(&journeys, 1), ["view_item", "add_to_cart", "purchase"]);
    let all = journeys.of("demo", PersonId(1), EventTime(0), EventTime(i64::MAX));
    assert_eq!(all[1].1.items.as_ref().map(Vec::len), Some(2));
    assert_eq!(all[2].1.revenue, Some(Money::new(250, Currency::USD)));
    assert!(types(&journeys, 2).is_empty());
    assert!(journeys.of("other", PersonId(1), EventTime(0), EventTime(i64::MAX)).is_empty());
}

#[test]
fn a_person_that_was_merged_has_one_journey_under_both_ids() {
    let journeys = Journeys::default();
    journeys.take(&fact(EventName::ProductViewed, "a", 1, 10)).unwrap();
    journeys.take(&fact(EventName::CartViewed, "b", 2, 20)).unwrap();
    let merged = Fact {
        from_person_id: Some(PersonId(1)),
        activity: None,
        ..fact(EventName::CustomerMerged, "m", 2, 30)
    };
    journeys.take(&merged).unwrap();
    journeys.take(&fact(EventName::SearchPerformed, "c", 1, 40)).unwrap();
    for person in [1, 2] {
        assert_eq!(types(&journeys, person), ["view_item", "view_cart", "search"], "{person}");
    }
    let order = step(Some(bought(1, 100, 5)), Some(bought(2, 100, 5)));
    journeys.take(&order).unwrap();
    assert_eq!(types(&journeys, 2)[0], "purchase");
}

#[test]
fn ana_c25_an_erased_person_has_an_empty_journey_and_later_events_begin_another() {
    let journeys = Journeys::default();
    journeys.take(&fact(EventName::ProductViewed, "a", 1, 10)).unwrap();
    journeys.take(&Fact { activity: None, ..fact(EventName::CustomerDeleted, "d", 1, 20) }).unwrap();
    assert!(types(&journeys, 1).is_empty());
    journeys.take(&fact(EventName::CartViewed, "b", 1, 30)).unwrap();
    assert_eq!(types(&journeys, 1), ["view_cart"]);
}

#[test]
fn the_last_thousand_events_of_a_person_are_kept() {
    let journeys = Journeys::default();
    for n in 0..1_100 {
        journeys.take(&fact(EventName::ProductViewed, &n.to_string(), 1, n)).unwrap();
    }
    let all = journeys.of("demo", PersonId(1), EventTime(i64::MIN), EventTime(i64::MAX));
    assert_eq!((all.len(), all[0].0), (KEPT, EventTime(100 * SECOND)));
    let some = journeys.of("demo", PersonId(1), EventTime(200 * SECOND), EventTime(210 * SECOND));
    assert_eq!(some.len(), 10);
}

#[test]
fn a_person_whose_handle_became_somebody_elses_keeps_their_journey() {
    let journeys = Journeys::default();
    journeys.take(&fact(EventName::ProductViewed, "a", 1, 10)).unwrap();
    let moved = Fact {
        from_person_id: Some(PersonId(1)),
        activity: None,
        ..fact(EventName::CustomerSeparated, "m", 2, 30)
    };
    journeys.take(&moved).unwrap();
    journeys.take(&fact(EventName::SearchPerformed, "c", 1, 40)).unwrap();
    assert_eq!(
        (types(&journeys, 1), types(&journeys, 2)),
        (vec!["view_item".to_owned(), "search".to_owned()], vec![])
    );
}
