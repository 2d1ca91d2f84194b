//! Facts and what they move, for the tests of the aggregations.

use commerce::event::Origin;
use commerce::order::{Figures, Line};
use commerce::time::{DAY, Zone};
use commerce::{Currency, EventName, EventTime, Fact, Money, ReceivedTime, Source, WorkspaceId};

use super::{add_up, named};
use crate::cell::{Deltas, Place};

/// A fact about nothing.
pub(crate) fn fact<V>() -> Fact<V> {
    Fact {
        event_id: "0f8fad5b-d9cb-869f-a165-70867728950e".to_owned(),
        event: EventName::OrderUpdated,
        schema_version: 1,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source: Source::Shopify,
        source_space: String::new(),
        source_event: String::new(),
        occurred_at: EventTime(0),
        received_at: ReceivedTime(0),
        entity_type: "order".to_owned(),
        entity_id: "1".to_owned(),
        order_id: Some("1".to_owned()),
        person_id: None,
        before: None,
        after: None,
        refund: None,
        activity: None,
        group: None,
        payment: None,
        subscription: None,
        properties: [].into(),
        flags: Vec::new(),
        origin: Origin::live(),
        trigger_eligible: false,
        qa: false,
        fraud: None,
        from_person_id: None,
    }
}

/// An order of so many US cents that was paid on a day.
pub(crate) fn paid(minor: i64, day: i64) -> Figures {
    Figures {
        id: "1".to_owned(),
        source: Some(Source::Shopify),
        counted: true,
        counted_at: Some(EventTime(day * DAY)),
        total: Some(Money::new(minor, Currency::USD)),
        item_count: 2,
        ..Figures::default()
    }
}

/// A cell that moves.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moved {
    pub(crate) metric: String,
    pub(crate) day: i32,
    pub(crate) dimensions: Vec<String>,
    pub(crate) sums: Vec<i64>,
}

/// What the step from one view to the next moves.
pub(crate) fn moved(before: Option<&Figures>, after: Option<&Figures>) -> Vec<Moved> {
    let fact = Fact { before: before.cloned(), after: after.cloned(), ..fact() };
    let cell = |(key, _, sums): (&[u8], crate::cell::Span, crate::cell::Sums)| {
        let (_, place) = Place::read(key).unwrap();
        let aggregation = named(&place.metric).unwrap();
        assert_eq!(place.dimensions.len(), aggregation.cut.len(), "{}", place.metric);
        assert!(sums[aggregation.figures.len()..].iter().all(|sum| *sum == 0), "{}", place.metric);
        Moved {
            metric: place.metric.to_string(),
            day: place.day.0,
            dimensions: place.dimensions.iter().map(ToString::to_string).collect(),
            sums: sums[..aggregation.figures.len()].to_vec(),
        }
    };
    let mut deltas = Deltas::new(&fact.workspace).unwrap();
    add_up(&fact, &Zone::utc(), &mut deltas);
    let mut moved: Vec<Moved> = deltas.moved().unwrap().map(cell).collect();
    moved.sort();
    moved
}

/// What the step moves in one metric, a line per cell: day, dimensions, figures.
pub(crate) fn cells_of(metric: &str, before: Option<&Figures>, after: Option<&Figures>) -> Vec<String> {
    let cells = moved(before, after).into_iter().filter(|cell| cell.metric == metric);
    cells.map(|cell| format!("{} {} {:?}", cell.day, cell.dimensions.join(" "), cell.sums)).collect()
}

/// So many of a product at a price in US cents.
pub(crate) fn line(product: &str, title: &str, quantity: i64, minor: i64) -> Line {
    Line {
        product_id: Some(product.to_owned()),
        sku: None,
        title: Some(title.to_owned()),
        quantity,
        price: Some(Money::new(minor, Currency::USD)),
        discount: None,
    }
}
