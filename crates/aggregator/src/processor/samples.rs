//! Facts through the whole stage, for the tests of what keeps state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use commerce::event::Item;
use commerce::order::{Figures, View};
use commerce::time::DAY;
use commerce::{Fact, Metric, ReceivedTime};
use service::stage::Parts;
use sources::Workspaces;
use sources::workspace::WorkspaceConfig;
use stream::{Harness, Output, Record};
use topics::{Schemas, Topic};

use super::Aggregator;
use crate::PLAN;
use crate::aggregation::samples::fact;

/// The stage after some facts, and what is left on its topic.
pub(crate) struct Folded {
    harness: Harness<Aggregator>,
    parts: Parts,
    pub(crate) metrics: BTreeMap<Vec<u8>, Metric>,
    /// Records of the last transaction.
    pub(crate) published: usize,
}

impl Folded {
    pub(crate) fn new() -> Self {
        let workspaces = Workspaces::from_configs([WorkspaceConfig::development()]).unwrap();
        let parts =
            Parts { workspaces: Arc::new(workspaces), schemas: Schemas::offline(), event_partitions: 1 };
        let output = |topic: &Topic| Output { topic: topic.name().to_owned(), max_message_bytes: usize::MAX };
        let aggregator = Aggregator::new(&parts, Duration::ZERO).unwrap();
        let harness = Harness::new(aggregator, PLAN.tables, PLAN.outputs.iter().map(output).collect());
        Self { harness, parts, metrics: BTreeMap::new(), published: 0 }
    }

    /// One fact of an order, in a transaction of its own.
    pub(crate) fn order(&mut self, before: Option<&Figures>, after: Option<&Figures>) {
        self.fact(Fact { before: before.map(view), after: after.map(view), ..fact() });
    }

    /// A fact that arrived on a day.
    pub(crate) fn order_on(&mut self, day: i64, before: Option<&Figures>, after: Option<&Figures>) {
        self.order_in(Fact { received_at: ReceivedTime(day * DAY), ..fact() }, before, after);
    }

    /// What a fact says of an order.
    pub(crate) fn order_in(&mut self, fact: Fact<View>, before: Option<&Figures>, after: Option<&Figures>) {
        self.fact(Fact { before: before.map(view), after: after.map(view), ..fact });
    }

    /// Any fact, in a transaction of its own.
    pub(crate) fn fact(&mut self, fact: Fact<View>) {
        self.process(&fact);
        self.commit();
    }

    /// One fact of an order, in the open transaction.
    pub(crate) fn take(&mut self, before: Option<&Figures>, after: Option<&Figures>) {
        self.process(&Fact { before: before.map(view), after: after.map(view), ..fact() });
    }

    fn process(&mut self, fact: &Fact<View>) {
        let mut bytes = Vec::new();
        self.parts.schemas.encoder(Topic::Facts).unwrap().encode(fact, &mut bytes).unwrap();
        let record = Record::new(Topic::Facts.name(), 0, 0, b"demo:1", &bytes);
        assert!(self.harness.process(&record).unwrap().is_empty());
    }

    /// Ends the transaction.
    pub(crate) fn commit(&mut self) {
        let mut decoder = self.parts.schemas.decoder();
        let emitted = self.harness.commit(0).unwrap();
        self.published = emitted.len();
        for (_, _, key, value) in emitted {
            match value {
                Some(value) => drop(self.metrics.insert(key, decoder.decode(&value).unwrap())),
                None => drop(self.metrics.remove(&key).unwrap()),
            }
        }
    }

    /// How many rows a table has.
    pub(crate) fn rows(&self, table: &str) -> usize {
        self.harness.sizes().into_iter().find(|(name, ..)| *name == table).unwrap().1
    }

    /// The cells of a metric that hold anything: window, dimensions in the order of their names, figures by name.
    pub(crate) fn cells(&self, metric: &str) -> Vec<String> {
        let holds = |m: &&Metric| {
            m.metric == metric && (m.values.is_empty() || m.values.values().any(|value| *value != 0))
        };
        let mut cells: Vec<String> = self.metrics.values().filter(holds).map(line).collect();
        cells.sort_unstable();
        cells
    }
}

fn line(metric: &Metric) -> String {
    let dimensions: Vec<&str> = metric.dimensions.values().map(String::as_str).collect();
    let values: Vec<String> = metric.values.iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!("{} {}: {}", metric.window_start, dimensions.join(" "), values.join(", "))
}

fn view(figures: &Figures) -> View {
    let item = |line: commerce::order::Line| Item {
        product_id: line.product_id,
        variant_id: None,
        sku: line.sku,
        title: line.title,
        variant_title: None,
        quantity: line.quantity,
        price: line.price,
        discount: line.discount,
        category: None,
        brand: None,
        allocations: Vec::new(),
    };
    let figures = figures.clone();
    View {
        id: figures.id,
        source: figures.source,
        person_id: figures.person_id,
        placed_at: figures.placed_at,
        cancelled_at: figures.cancelled_at,
        counted: figures.counted,
        counted_at: figures.counted_at,
        total: figures.total,
        discount_total: figures.discount_total,
        shipping_total: figures.shipping_total,
        tax_total: figures.tax_total,
        refunds: figures.refunds,
        refund_times: figures.refund_times,
        item_count: figures.item_count,
        items: figures.items.into_iter().map(item).collect(),
        coupon_codes: figures.coupon_codes,
        campaign: figures.campaign,
        country: figures.country,
        context: figures.context,
        qa: figures.qa,
        flags: figures.flagged.then(|| commerce::order::FLAGGED.to_owned()).into_iter().collect(),
        carts: figures.carts,
        base: figures.base,
        ..View::default()
    }
}
