//! A stage with a workspace of its own, and events for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use commerce::event::{
    Activity, Channel, Consent, ConsentState, Entity, Fraud, Item, Keys, Link, OrderObservation, Origin,
    Payload, Person, Refund, SCHEMA_VERSION,
};
use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::time::{DAY, SECOND};
use commerce::{
    Currency, Event, EventName, EventTime, Mark, Money, Profile, ReceivedTime, Signal, SignalName, Source,
    WorkspaceId,
};
use service::stage::Parts;
use sources::{WorkspaceConfig, Workspaces};
use state::StateStage;
use stream::{Harness, Output, Record};
use topics::{Decoder, Schemas, Topic};

pub(crate) const MINUTE: i64 = 60 * SECOND;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const START: i64 = 1_795_000_000 * SECOND;

/// An instant after the start.
pub(crate) fn at(after: i64) -> EventTime {
    EventTime(START + after)
}

pub(crate) struct World {
    harness: Harness<StateStage>,
    parts: Parts,
    decoder: Decoder,
    encoder: topics::Encoder,
    /// All signals so far.
    pub(crate) signals: Vec<Signal>,
    orders: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    profiles: BTreeMap<Vec<u8>, Option<Profile>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::configured(|_| {})
    }

    pub(crate) fn configured(change: impl FnOnce(&mut WorkspaceConfig)) -> Self {
        let replenishment = serde_json::json!([
            { "product_id": "coffee", "days": 30 },
            { "product_id": "tea", "variant_id": "green", "days": 10 },
        ]);
        let mut config = WorkspaceConfig {
            replenishment: serde_json::from_value(replenishment).unwrap(),
            ownership: [("cart.created".to_owned(), "customerio".to_owned())].into(),
            ..WorkspaceConfig::development()
        };
        change(&mut config);
        let workspaces = Arc::new(Workspaces::from_configs([config]).unwrap());
        let schemas = Schemas::offline();
        let (decoder, encoder) = (schemas.decoder(), schemas.encoder(Topic::Events).unwrap());
        let parts = Parts { workspaces, schemas, event_partitions: 1 };
        let output = |topic: &Topic| Output { topic: topic.name().to_owned(), max_message_bytes: usize::MAX };
        let outputs = state::PLAN.outputs.iter().map(output).collect();
        let harness = Harness::new(StateStage::new(&parts, "key").unwrap(), state::PLAN.tables, outputs);
        Self {
            harness,
            parts,
            decoder,
            encoder,
            signals: vec![],
            orders: BTreeMap::new(),
            profiles: BTreeMap::new(),
        }
    }

    /// Commits, and goes on as a process that has just started.
    pub(crate) fn restart(&mut self) {
        self.harness.commit(0).unwrap();
        self.harness.processor = StateStage::new(&self.parts, "key").unwrap();
    }

    /// How many rows a table has.
    pub(crate) fn rows(&mut self, table: &str) -> usize {
        self.harness.commit(0).unwrap();
        self.harness.sizes().into_iter().find(|(name, ..)| *name == table).unwrap().1
    }

    /// Processes an event and gives the signals that come of it, by name and target; those about audiences are
    /// [`World::enlisted`].
    pub(crate) fn send(&mut self, event: &Event) -> Vec<(SignalName, String)> {
        let mut bytes = Vec::new();
        self.encoder.encode(event, &mut bytes).unwrap();
        self.process(&bytes)
    }

    pub(crate) fn process(&mut self, event: &[u8]) -> Vec<(SignalName, String)> {
        let record = Record::new(Topic::Events.name(), 0, 0, b"demo:1", event);
        let mut said = Vec::new();
        for (output, _, key, value) in self.harness.process(&record).unwrap() {
            match state::PLAN.outputs[output] {
                Topic::Orders => drop(self.orders.insert(key, value)),
                // Within the transaction a record is only ever taken away.
                Topic::Profiles => drop(self.profiles.insert(key, None)),
                Topic::Signals => {
                    let signal: Signal = self.decoder.decode(&value.unwrap()).unwrap();
                    assert_eq!(signal.key().as_bytes(), key);
                    if signal.target_type != "audience" {
                        said.push((signal.signal, signal.target.clone()));
                    }
                    self.signals.push(signal);
                }
                Topic::DeadLetters => panic!("an event became a dead letter"),
                _ => {}
            }
        }
        said
    }

    /// Lets the stage find out by itself that it is so late, and gives how many ticks it wrote and what is said.
    pub(crate) fn wake(&mut self, after: i64) -> (usize, Vec<(SignalName, String)>) {
        let ticks = self.ticks(after);
        let said = ticks.iter().flat_map(|tick| self.process(tick)).collect();
        (ticks.len(), said)
    }

    /// The ticks that the stage writes at an instant.
    pub(crate) fn ticks(&mut self, after: i64) -> Vec<Vec<u8>> {
        let tick = |(output, partition, _, value): (usize, Option<i32>, Vec<u8>, Option<Vec<u8>>)| {
            assert_eq!((state::PLAN.outputs[output], partition), (Topic::Events, Some(0)));
            value.unwrap()
        };
        self.harness.wake(0, START + after).unwrap().into_iter().map(tick).collect()
    }

    /// Commits, and gives the profiles that are published.
    pub(crate) fn commit(&mut self) -> Vec<Profile> {
        let mut told = Vec::new();
        for (output, _, key, value) in self.harness.commit(0).unwrap() {
            if state::PLAN.outputs[output] == Topic::Profiles {
                let profile: Option<Profile> = value.map(|value| self.decoder.decode(&value).unwrap());
                told.extend(profile.clone());
                self.profiles.insert(key, profile);
            }
        }
        told
    }

    /// Everybody who has a profile, as it was published last.
    pub(crate) fn people(&self) -> Vec<Profile> {
        let all = self.profiles.values().flatten();
        all.filter(|profile| profile.merged_into.is_none()).cloned().collect()
    }

    /// The orders as they were published last.
    pub(crate) fn views(&mut self) -> Vec<View> {
        let orders: Vec<Vec<u8>> = self.orders.values().flatten().cloned().collect();
        orders.iter().map(|order| self.decoder.decode(order).unwrap()).collect()
    }

    /// Lets the stream's time pass, by an event of somebody else.
    pub(crate) fn pass(&mut self, after: i64) -> Vec<(SignalName, String)> {
        self.send(&by(&[anonymous("bystander")], EventName::ProductViewed, after))
    }

    /// The last signal that isn't about an audience.
    pub(crate) fn last(&self) -> &Signal {
        self.signals.iter().rfind(|signal| signal.target_type != "audience").unwrap()
    }

    /// What is said of audiences while something happens, by name and audience.
    pub(crate) fn enlisted(&mut self, happens: impl FnOnce(&mut Self)) -> Vec<(SignalName, String)> {
        let before = self.signals.len();
        happens(self);
        let said = self.signals[before..].iter().filter(|signal| signal.target_type == "audience");
        said.map(|signal| (signal.signal, signal.target.clone())).collect()
    }
}

pub(crate) fn user(id: &str) -> Identifier {
    Identifier::plain(Kind::User, id)
}

pub(crate) fn email(address: &str) -> Identifier {
    Identifier::plain(Kind::Email, address)
}

pub(crate) fn anonymous(id: &str) -> Identifier {
    Identifier::plain(Kind::Anonymous, id)
}

/// An event of somebody, at an instant after the start. Each is another one.
pub(crate) fn by(identifiers: &[Identifier], name: EventName, after: i64) -> Event {
    use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
    static NUMBER: AtomicI64 = AtomicI64::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let mark = Mark::of(&[&number.to_le_bytes()]);
    let consent = Consent {
        channel: Channel::Email,
        state: ConsentState::Subscribed,
        opt_in_level: None,
        updated_at: None,
        region: None,
    };
    let person = Person { identifiers: identifiers.to_vec(), consent: vec![consent], ..Person::default() };
    Event {
        event_id: mark.to_uuid(),
        event: name,
        schema_version: SCHEMA_VERSION,
        workspace: WorkspaceId::try_new("demo").unwrap(),
        environment: "production".to_owned(),
        source: Source::Customerio,
        source_space: String::new(),
        source_event: name.to_string(),
        occurred_at: at(after),
        received_at: ReceivedTime(START + after),
        raw_partition: 0,
        raw_offset: number,
        raw_item: 0,
        raw_part: 0,
        entity: Entity { r#type: "event".to_owned(), id: mark.to_hex(), aliases: vec![] },
        person: (!identifiers.is_empty()).then_some(person),
        payload: Payload { activity: Some(Activity::default()), ..Payload::default() },
        keys: Keys { transport: mark.to_hex(), semantic: mark.to_hex(), content: None, stated: None },
        flags: vec![],
        origin: Origin::live(),
        trigger_eligible: true,
        qa: false,
        fraud: None,
    }
}

pub(crate) fn item(product: &str, variant: Option<&str>) -> Item {
    Item {
        product_id: Some(product.to_owned()),
        variant_id: variant.map(str::to_owned),
        sku: None,
        title: Some(format!("the {product}")),
        variant_title: None,
        quantity: 1,
        price: Some(Money::new(1_000, Currency::USD)),
        discount: None,
        category: None,
        brand: None,
        allocations: vec![],
    }
}

pub(crate) fn link(kind: &str, id: &str) -> Link {
    Link { kind: kind.to_owned(), id: id.to_owned() }
}

/// A checkout of somebody.
pub(crate) fn checkout(identifiers: &[Identifier], id: &str, after: i64) -> Event {
    let mut event = by(identifiers, EventName::CheckoutStarted, after);
    event.payload.activity = Some(Activity {
        checkout_id: Some(id.to_owned()),
        value: Some(Money::new(1_000, Currency::USD)),
        items: Some(vec![item("coffee", None)]),
        recovery_url: Some(format!("https://shop.example/recover/{id}")),
        ..Activity::default()
    });
    event
}

/// The same checkout again.
pub(crate) fn updated(identifiers: &[Identifier], id: &str, after: i64) -> Event {
    Event { event: EventName::CheckoutUpdated, ..checkout(identifiers, id, after) }
}

/// An order that is paid, with some products.
pub(crate) fn paid(identifiers: &[Identifier], id: &str, products: &[&str], after: i64) -> Event {
    let mut event = by(identifiers, EventName::OrderPaid, after);
    event.entity = Entity { r#type: "order".to_owned(), id: id.to_owned(), aliases: vec![] };
    event.payload = Payload {
        order: Some(OrderObservation {
            currency: Some(Currency::USD),
            placed_at: Some(at(after)),
            paid_at: Some(at(after)),
            total: Some(Money::new(1_000, Currency::USD)),
            items: Some(products.iter().map(|product| item(product, None)).collect()),
            ..OrderObservation::at(at(after))
        }),
        ..Payload::default()
    };
    event
}

/// The same order, placed and not paid.
pub(crate) fn placed(identifiers: &[Identifier], id: &str, links: Vec<Link>, after: i64) -> Event {
    let mut event = paid(identifiers, id, &[], after);
    event.event = EventName::OrderPlaced;
    if let Some(order) = &mut event.payload.order {
        order.paid_at = None;
        order.links = links;
    }
    event
}

/// Something of an order in dollars that went back.
pub(crate) fn refund_of(id: &str, minor: i64, after: i64) -> Refund {
    Refund { id: id.to_owned(), amount: Money::new(minor, Currency::USD), at: at(after) }
}

/// The same order, called off.
pub(crate) fn cancelled(identifiers: &[Identifier], id: &str, after: i64) -> Event {
    let mut event = paid(identifiers, id, &[], after);
    event.event = EventName::OrderCancelled;
    event.payload.order =
        Some(OrderObservation { cancelled_at: Some(at(after)), ..OrderObservation::at(at(after)) });
    event
}

pub(crate) fn fraud(severity: i32) -> Option<Fraud> {
    Some(Fraud { severity, rules: vec!["velocity".to_owned()] })
}

pub(crate) fn days(days: i64) -> i64 {
    days * DAY
}
