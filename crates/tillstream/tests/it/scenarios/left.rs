//! What is left after a scenario, in the words in which it is expected, and the differences.

use std::collections::BTreeMap;

use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::{Currency, EventTime, Metric, Money, PersonId, Profile, WorkspaceId};
use serde_json::{Map, Value, json};

use super::told::Scenario;

/// The key of person ids where none is configured.
pub const KEY: &str = "development";

/// The last records of the compacted topics, without what depends on the order of processing.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Left {
    pub orders: BTreeMap<String, View>,
    pub profiles: BTreeMap<PersonId, Profile>,
    pub metrics: BTreeMap<String, Metric>,
}

/// What was said on the way. It depends on the order of processing.
#[derive(Clone, Default, Debug)]
pub struct Said {
    pub facts: Vec<String>,
    pub signals: Vec<String>,
    pub letters: Vec<String>,
}

impl Left {
    /// Takes an order; `None` is a tombstone.
    pub fn order(&mut self, key: &str, view: Option<View>) {
        let id = key.split_once(':').unwrap().1.to_owned();
        match view {
            Some(view) => drop(self.orders.insert(id, view)),
            None => drop(self.orders.remove(&id)),
        }
    }

    /// Takes a profile. A forwarding record is left only where somebody was published under another id before.
    pub fn profile(&mut self, key: &str, profile: Option<Profile>) {
        let id = PersonId::parse(key.split_once(':').unwrap().1).unwrap();
        match profile.filter(|profile| profile.merged_into.is_none()) {
            Some(profile) => {
                let settled =
                    Profile { as_of: commerce::ReceivedTime(0), audiences_since: BTreeMap::new(), ..profile };
                self.profiles.insert(id, settled);
            }
            None => drop(self.profiles.remove(&id)),
        }
    }

    /// Takes a cell. Revisions and counts of outcomes are history; actors are numbered as they are seen.
    pub fn metric(&mut self, key: String, metric: Option<Metric>) {
        let holds = |metric: &Metric| {
            let history = ["outcomes", "usage"].contains(&metric.metric.as_str());
            !history && (metric.values.is_empty() || metric.values.values().any(|value| *value != 0))
        };
        match metric.filter(holds) {
            Some(metric) => {
                let as_of = commerce::ReceivedTime(0);
                let settled = Metric { revision: 0, corrected: false, as_of, members: None, ..metric };
                self.metrics.insert(key, settled);
            }
            None => drop(self.metrics.remove(&key)),
        }
    }
}

/// One difference: where it is, what is expected, what is there.
pub type Difference = String;

impl Scenario {
    /// Where what is left isn't what is written down.
    pub fn differences(&self, left: &Left) -> Vec<Difference> {
        let mut found = Vec::new();
        let orders = left.orders.iter().map(|(id, view)| (id.clone(), self.order(view))).collect();
        some_fields(&mut found, "order", &self.expected.orders, &orders);
        let mut names: BTreeMap<PersonId, String> = BTreeMap::new();
        for handle in self.expected.profiles.keys() {
            names.insert(self.person(handle), handle.clone());
        }
        let name = |id: &PersonId| names.get(id).cloned().unwrap_or_else(|| self.name_of(left, *id));
        let profiles = left.profiles.iter().map(|(id, profile)| (name(id), person_fields(profile))).collect();
        some_fields(&mut found, "profile", &self.expected.profiles, &profiles);
        for (metric, expected) in &self.expected.metrics {
            let cells = left.metrics.values().filter(|cell| cell.metric == *metric);
            let cells: BTreeMap<String, Map<String, Value>> = cells.map(cell).collect();
            all_fields(&mut found, metric, expected, &cells);
        }
        found
    }

    /// The id of the person whom a handle stands for.
    fn person(&self, handle: &str) -> PersonId {
        let (kind, value) = handle.split_once(':').unwrap_or_else(|| panic!("{}: {handle}", self.name));
        let kind = Kind::parse(kind).unwrap_or_else(|| panic!("{}: {handle}", self.name));
        let space = match kind {
            Kind::ShopifyCustomer => self.shop(),
            Kind::BackendCustomer => "backend".to_owned(),
            _ => String::new(),
        };
        let workspace = WorkspaceId::try_new(self.id()).unwrap();
        PersonId::derive(KEY, &workspace, &Identifier { kind, space, value: value.to_owned() })
    }

    fn name_of(&self, left: &Left, id: PersonId) -> String {
        let handles = left.profiles.get(&id).map(|profile| profile.contact.identifiers.iter().map(handle));
        let mut handles = handles.into_iter().flatten();
        handles.find(|handle| self.person(handle) == id).unwrap_or_else(|| id.to_string())
    }

    fn order(&self, view: &View) -> Map<String, Value> {
        let person = view.person_id.map(|id| {
            let known = self.expected.profiles.keys().find(|handle| self.person(handle) == id);
            known.cloned().unwrap_or_else(|| self.handle_of(id))
        });
        let refunds: Map<String, Value> =
            view.refunds.iter().map(|(id, money)| (id.clone(), json!(money.to_string()))).collect();
        fields([
            ("source", json!(view.source)),
            ("sources", json!(view.sources)),
            ("aliases", json!(view.aliases)),
            ("person", json!(person)),
            ("financial_status", json!(view.financial_status)),
            ("fulfillment_status", json!(view.fulfillment_status)),
            ("placed_at", time(view.placed_at)),
            ("paid_at", time(view.paid_at)),
            ("fulfilled_at", time(view.fulfilled_at)),
            ("cancelled_at", time(view.cancelled_at)),
            ("counted", json!(view.counted)),
            ("counted_at", time(view.counted_at)),
            ("total", money(view.total)),
            ("subtotal", money(view.subtotal)),
            ("discount", money(view.discount_total)),
            ("shipping", money(view.shipping_total)),
            ("tax", money(view.tax_total)),
            ("refunds", Value::Object(refunds)),
            ("refunded", money(view.refunded_total)),
            ("net", money(view.net)),
            ("items", json!(view.item_count)),
            ("coupons", json!(view.coupon_codes)),
            ("tags", json!(view.tags)),
            ("country", json!(view.country)),
            ("campaign", json!(view.campaign.as_ref().and_then(|campaign| campaign.campaign.clone()))),
            ("qa", json!(view.qa)),
            ("flags", json!(view.flags)),
            ("carts", json!(view.carts)),
        ])
    }

    /// The handle of somebody who isn't among the expected people, where an order's person is expected by it.
    fn handle_of(&self, id: PersonId) -> String {
        let mut named = self.expected.orders.values().filter_map(|order| order.get("person")?.as_str());
        named.find(|handle| self.person(handle) == id).map_or_else(|| id.to_string(), str::to_owned)
    }
}

fn person_fields(profile: &Profile) -> Map<String, Value> {
    let by = |sums: &BTreeMap<Currency, i64>| {
        let texts = sums.iter().map(|(currency, minor)| Money::new(*minor, *currency).to_string());
        json!(texts.collect::<Vec<String>>())
    };
    let consent: Map<String, Value> = profile
        .consent
        .iter()
        .map(|given| (given.channel.as_str().to_owned(), json!(given.state.as_str())))
        .collect();
    let attribute = |text: &String| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    let attributes: Map<String, Value> =
        profile.attributes.iter().map(|(name, text)| (name.clone(), attribute(text))).collect();
    fields([
        ("orders_count", json!(profile.orders_count)),
        ("total_spent", money(Some(profile.total_spent))),
        ("total_spent_by_currency", by(&profile.total_spent_by_currency)),
        ("lifetime_value", money(Some(profile.lifetime_value))),
        ("lifetime_value_by_currency", by(&profile.lifetime_value_by_currency)),
        ("refunded_total", money(Some(profile.refunded_total))),
        ("aov", money(profile.aov)),
        ("first_order_at", time(profile.first_order_at)),
        ("last_order_at", time(profile.last_order_at)),
        ("email", json!(profile.contact.email)),
        ("phone", json!(profile.contact.phone)),
        ("first_name", json!(profile.contact.first_name)),
        ("last_name", json!(profile.contact.last_name)),
        ("handles", json!(profile.contact.identifiers.iter().map(handle).collect::<Vec<String>>())),
        ("attributes", Value::Object(attributes)),
        ("consent", Value::Object(consent)),
        ("payment_status", json!(profile.payment_status)),
        ("audiences", json!(profile.audiences)),
        ("tags", json!(profile.tags)),
        ("flags", json!(profile.flags)),
    ])
}

/// A cell by its day and dimensions; amounts with their currency, nothing of what is zero.
fn cell(metric: &Metric) -> (String, Map<String, Value>) {
    let dimensions =
        metric.dimensions.iter().filter(|(name, _)| *name != "chunk").map(|(_, text)| text.as_str());
    let place: Vec<&str> = std::iter::once(metric.window_start.as_str()).chain(dimensions).collect();
    let currency = metric.dimensions.get("currency").map(|text| Currency::parse(text).unwrap());
    let figure = |(name, value): (&String, &i64)| {
        let counts = ["orders", "items", "refunds", "quantity", "users", "actors"].contains(&name.as_str());
        let shown =
            currency.filter(|_| !counts).map(|currency| json!(Money::new(*value, currency).to_string()));
        (name.clone(), shown.unwrap_or_else(|| json!(value)))
    };
    (place.join(" "), metric.values.iter().filter(|(_, value)| **value != 0).map(figure).collect())
}

fn handle(identifier: &Identifier) -> String {
    format!("{}:{}", identifier.kind.as_str(), identifier.value)
}

fn money(money: Option<Money>) -> Value {
    json!(money.map(|money| money.to_string()))
}

fn time(at: Option<EventTime>) -> Value {
    json!(at.map(EventTime::to_rfc3339))
}

fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

type Things = BTreeMap<String, Map<String, Value>>;

/// Both have the same things; of each the fields that are expected must be equal.
fn some_fields(found: &mut Vec<Difference>, kind: &str, expected: &Things, there: &Things) {
    things(found, kind, expected, there, |found, place, expected, there| {
        for (name, wanted) in expected {
            let Some(value) = there.get(name) else {
                found.push(format!("{place}: there is no field '{name}'"));
                continue;
            };
            differ(found, &format!("{place}.{name}"), wanted, value);
        }
    });
}

/// Both have the same things with the same fields.
fn all_fields(found: &mut Vec<Difference>, kind: &str, expected: &Things, there: &Things) {
    things(found, kind, expected, there, |found, place, expected, there| {
        for name in expected.keys().chain(there.keys().filter(|name| !expected.contains_key(*name))) {
            let of = |fields: &Map<String, Value>| fields.get(name).cloned().unwrap_or(Value::Null);
            differ(found, &format!("{place}.{name}"), &of(expected), &of(there));
        }
    });
}

fn things(
    found: &mut Vec<Difference>,
    kind: &str,
    expected: &Things,
    there: &Things,
    compare: impl Fn(&mut Vec<Difference>, &str, &Map<String, Value>, &Map<String, Value>),
) {
    for (name, wanted) in expected {
        match there.get(name) {
            Some(fields) => compare(found, &format!("{kind} {name}"), wanted, fields),
            None => found.push(format!("{kind} {name}: isn't there")),
        }
    }
    for (name, fields) in there.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        found.push(format!("{kind} {name}: isn't expected: {}", Value::Object(fields.clone())));
    }
}

fn differ(found: &mut Vec<Difference>, place: &str, expected: &Value, there: &Value) {
    if expected != there {
        found.push(format!("{place}: expected {expected}, is {there}"));
    }
}

impl Left {
    /// Where two runs of one scenario differ, field by field.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        fn leaves<K: ToString, V: serde::Serialize>(
            kind: &str,
            all: &BTreeMap<K, V>,
        ) -> BTreeMap<String, Value> {
            let mut leaves = BTreeMap::new();
            for (key, value) in all {
                let Value::Object(fields) = serde_json::to_value(value).unwrap() else { continue };
                let place = |name: String| format!("{kind} {}.{name}", key.to_string());
                leaves.extend(fields.into_iter().map(|(name, value)| (place(name), value)));
            }
            leaves
        }
        let all = |left: &Self| {
            let mut all = leaves("order", &left.orders);
            all.extend(leaves("profile", &left.profiles));
            all.extend(leaves("metric", &left.metrics));
            all
        };
        let (ours, theirs) = (all(self), all(other));
        let mut found = Vec::new();
        for place in ours.keys().chain(theirs.keys().filter(|place| !ours.contains_key(*place))) {
            let of = |leaves: &BTreeMap<String, Value>| leaves.get(place).cloned().unwrap_or(Value::Null);
            differ(&mut found, place, &of(&ours), &of(&theirs));
        }
        found
    }
}
