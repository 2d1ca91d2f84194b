//! The published taxonomy: every canonical name with what it means, who says it and what it needs, and a sample.
//!
//! Nothing of it is kept by hand but requests as senders make them (`deliveries` of each source): names come from the vocabulary and
//! from the sources' own tables, samples from sending the requests, and a field is called required because without it the
//! request has no such event any more.

mod deliveries;

use std::collections::{BTreeMap, BTreeSet};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method};
use commerce::time::parse_received;
use commerce::{Event, EventName, SignalName, Source};
use serde::Serialize;
use serde_json::Value;

use crate::meter::Unmetered;
use crate::operation::{CORRELATION, RECEIVED_AT};
use crate::{
    Decision, FAMILIES, Presented, Raw, Request, WorkspaceConfig, Workspaces, accept, normalize, present,
    route,
};
pub(crate) use deliveries::{Delivery, of_shop, post, read, shown, with};

/// How deep in a body fields are looked for.
const DEEP: usize = 5;

/// The taxonomy.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Taxonomy {
    /// What sources say.
    pub events: Vec<Named>,
    /// What the product says of itself.
    pub signals: Vec<Signal>,
}

/// A canonical name.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Named {
    /// The name, which never changes.
    pub name: EventName,
    /// What it means.
    pub definition: &'static str,
    /// The version of its structure.
    pub schema_version: i32,
    /// Who says it.
    pub said_by: Vec<SaidBy>,
    /// One such event, as in `commerce.events.v1`: money in minor units, times in microseconds since 1970.
    pub sample: Value,
}

/// How a source says it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct SaidBy {
    /// The source.
    pub source: Source,
    /// Its own name of the event.
    pub source_event: String,
    /// Fields of its body without which there is no such event.
    pub required: Vec<String>,
    /// Fields without which the event is published with a flag.
    pub expected: Vec<String>,
}

/// A name that is never taken from outside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Signal {
    /// The name.
    pub name: &'static str,
    /// What it means.
    pub definition: &'static str,
}

/// Makes the taxonomy, in the order of the vocabulary. The requests are those of the development workspace.
pub fn taxonomy(workspaces: &Workspaces) -> Taxonomy {
    let mut said: BTreeMap<EventName, (BTreeSet<SaidBy>, Option<Value>)> = BTreeMap::new();
    for delivery in FAMILIES.iter().flat_map(|family| (family.deliveries)()) {
        for event in delivery.send(&delivery.body, workspaces) {
            let (required, expected) = delivery.needs(&event, workspaces);
            let (by, sample) = said.entry(event.event).or_default();
            by.insert(SaidBy {
                source: event.source,
                source_event: event.source_event.clone(),
                required,
                expected,
            });
            sample.get_or_insert_with(|| lean(serde_json::to_value(&event).unwrap_or_default()));
        }
    }
    let named = |name: &EventName| {
        let (by, sample) = said.remove(name).unwrap_or_default();
        Named {
            name: *name,
            definition: name.about(),
            schema_version: commerce::event::SCHEMA_VERSION,
            said_by: by.into_iter().collect(),
            sample: sample.unwrap_or_default(),
        }
    };
    let signal = |name: &SignalName| Signal { name: name.as_str(), definition: name.about() };
    let events = EventName::ALL.iter().map(named);
    Taxonomy {
        // What nobody outside may say is none of the sources' vocabulary.
        events: events.filter(|named| !named.said_by.is_empty()).collect(),
        signals: SignalName::ALL.iter().map(signal).collect(),
    }
}

impl Delivery {
    /// The events of a request with this body; none where it is refused.
    fn send(&self, body: &Value, workspaces: &Workspaces) -> Vec<Event> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.events(&body, workspaces).unwrap_or_default()
    }

    fn events(&self, body: &str, workspaces: &Workspaces) -> Option<Vec<Event>> {
        let received_at = parse_received(RECEIVED_AT).ok()?;
        let (path, query) =
            self.target.split_once('?').map_or((&*self.target, None), |(path, query)| (path, Some(query)));
        let method: Method = self.method.parse().ok()?;
        let mut headers = HeaderMap::new();
        let own = WorkspaceConfig::development();
        // What belongs into the query is there.
        if let Some(Presented::Header(name, value)) = present(self.source, &own, body.as_bytes(), received_at)
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
        }
        if self.source == Source::Shopify {
            let shop = HeaderValue::from_static("demo-shop.myshopify.com");
            headers.insert(HeaderName::from_static("x-shopify-shop-domain"), shop);
        }
        let request = Request {
            method: &method,
            path,
            query,
            headers: &headers,
            body: body.as_bytes(),
            received_at,
            correlation: CORRELATION,
            peer: None,
        };
        let Decision::Accept(accepted) =
            accept(&route(&method, path).ok()?, &request, workspaces, &Unmetered)
        else {
            return None;
        };
        let headers: Vec<(&str, &str)> =
            accepted.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let raw = Raw {
            source: accepted.source,
            workspace: workspaces.get(accepted.workspace.as_str())?,
            received_at,
            partition: 0,
            offset: 0,
            headers: &headers,
            body: accepted.body.as_deref().unwrap_or(body.as_bytes()),
        };
        normalize(&raw).ok()?.into_iter().collect::<Result<_, _>>().ok()
    }

    /// What an event of this request needs: fields without which it isn't there, and those without which it is flagged.
    fn needs(&self, event: &Event, workspaces: &Workspaces) -> (Vec<String>, Vec<String>) {
        let (mut required, mut expected) = (Vec::new(), Vec::new());
        let of = |events: &[Event]| {
            let same = |other: &&Event| (other.event, other.raw_part) == (event.event, event.raw_part);
            events.iter().find(same).map(missing)
        };
        for path in paths(&self.body) {
            let mut body = self.body.clone();
            if !remove(&mut body, &path) {
                continue;
            }
            match of(&self.send(&body, workspaces)) {
                None => required.push(shown(&path)),
                Some(flags) if flags > missing(event) => expected.push(shown(&path)),
                Some(_) => {}
            }
        }
        (required, expected)
    }
}

/// How many remarks an event has of what isn't there.
fn missing(event: &Event) -> usize {
    event.flags.iter().filter(|flag| flag.starts_with("missing:")).count()
}

/// All fields of a body; of a list those of its first element.
fn paths(body: &Value) -> Vec<Vec<String>> {
    fn walk(value: &Value, at: &[String], found: &mut Vec<Vec<String>>) {
        if at.len() >= DEEP {
            return;
        }
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let path = [at, std::slice::from_ref(name)].concat();
                    found.push(path.clone());
                    walk(member, &path, found);
                }
            }
            Value::Array(elements) => {
                if let Some(first) = elements.first().filter(|first| first.is_object()) {
                    walk(first, &[at, &["0".to_owned()]].concat(), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(body, &[], &mut found);
    found
}

/// As the contracts write it: `items[].title` is of every element.
fn shown(path: &[String]) -> String {
    path.join(".").replace(".0.", "[].")
}

fn remove(body: &mut Value, path: &[String]) -> bool {
    let Some((last, way)) = path.split_last() else { return false };
    let parent = way.iter().try_fold(body, |value, step| match value {
        Value::Array(elements) => elements.get_mut(step.parse::<usize>().ok()?),
        other => other.get_mut(step),
    });
    parent.and_then(Value::as_object_mut).is_some_and(|members| members.remove(last).is_some())
}

/// Without what is absent.
fn lean(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let there = members.into_iter().filter(|(_, member)| !member.is_null());
            Value::Object(there.map(|(name, member)| (name, lean(member))).collect())
        }
        Value::Array(elements) => elements.into_iter().map(lean).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taxonomy() -> Taxonomy {
        super::taxonomy(&Workspaces::from_configs([WorkspaceConfig::development()]).unwrap())
    }

    fn of(taxonomy: &Taxonomy, source: Source, source_event: &str) -> Vec<(EventName, SaidBy)> {
        let by = |named: &Named| named.said_by.iter().map(|by| (named.name, by.clone())).collect::<Vec<_>>();
        let all = taxonomy.events.iter().flat_map(by);
        all.filter(|(_, by)| by.source == source && by.source_event == source_event).collect()
    }

    #[test]
    fn cio_26_every_canonical_name_is_published_with_its_meaning_who_says_it_and_a_sample() {
        let taxonomy = taxonomy();
        let published: Vec<EventName> = taxonomy.events.iter().map(|named| named.name).collect();
        let nobody_says: Vec<_> = EventName::ALL.iter().filter(|name| !published.contains(name)).collect();
        // Rates and policies are published by the product's own tools, that time passes the state stage tells itself, and
        // nobody sends them. What anybody else says belongs to `deliveries`.
        let own = [&EventName::FxRatesPublished, &EventName::PolicyPublished, &EventName::TimePassed];
        assert_eq!(nobody_says, own);
        for named in &taxonomy.events {
            assert!(named.definition.ends_with('.') && !named.said_by.is_empty(), "{}", named.name);
            assert_eq!(named.sample["event"], named.name.as_str());
            let sample: Result<Event, _> = serde_json::from_value(named.sample.clone());
            assert!(sample.is_ok(), "{} isn't an event: {sample:?}", named.name);
        }
        assert_eq!(taxonomy.signals.len(), SignalName::ALL.len());
    }

    #[test]
    fn cio_26_the_names_of_every_source_are_there() {
        let taxonomy = taxonomy();
        for family in FAMILIES {
            let source = family.source;
            for (name, event) in (family.vocabulary)() {
                let said = of(&taxonomy, source, name);
                assert!(
                    said.iter().any(|(by, _)| *by == event),
                    "{source} says {name}, which is {event}: {said:?}"
                );
            }
        }
    }

    #[test]
    fn cio_26_a_field_is_required_where_there_is_no_event_without_it() {
        let taxonomy = taxonomy();
        let only = |source, name, event| {
            let said = of(&taxonomy, source, name);
            said.into_iter().find(|(by, _)| *by == event).unwrap().1
        };
        let paid = only(Source::Customerio, "order_paid", EventName::OrderPaid);
        assert_eq!(paid.required, ["data", "data.order_id", "name"]);
        let checkout = only(Source::Customerio, "checkout_started", EventName::CheckoutStarted);
        assert!(checkout.expected.contains(&"data.items".to_owned()), "{checkout:?}");
        let pushed = only(Source::Sequenzy, "ecommerce.order_placed", EventName::OrderPlaced);
        for field in ["orderId", "totalCents", "currency", "customer", "customer.email", "items[].title"] {
            assert!(pushed.required.iter().any(|required| required == field), "{field}: {pushed:?}");
        }
        assert!(!pushed.required.iter().any(|required| required == "orderNumber"), "{pushed:?}");
    }
}
