//! A story: requests that arrive at the development workspace, and what the stage says of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use commerce::fx::{Hour, Rate, announcement};
use commerce::order::View;
use commerce::person::{Identifier, Kind};
use commerce::policy::{Policy, Rules};
use commerce::{
    Currency, DeadLetter, EventName, EventTime, Fact, Metric, PersonId, Profile, ReceivedTime,
    Reconciliation, Signal, WorkspaceId,
};
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use service::stage::{Parts, Plan, harness};
use sources::meter::Unmetered;
use sources::{Decision, Request, WorkspaceConfig, Workspaces, accept, route};
use stream::{Emitted, Harness, Output, Record};
use topics::{Decoder, Schemas, Topic};

const KEY: &str = "key";
const SHOP: &str = "demo-shop.myshopify.com";

/// A request that was taken, as it is stored.
#[derive(Clone)]
pub(crate) struct Stored {
    offset: i64,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The last record of each key, `None` after a tombstone.
pub(crate) type Last<T> = Vec<(String, Option<T>)>;

/// Everything from the door to the published records.
pub(crate) struct Story {
    parts: Parts,
    decoder: Decoder,
    normalizer: Harness<normalizer::Normalizer>,
    state: Harness<state::StateStage>,
    now: ReceivedTime,
    offset: i64,
    /// All facts so far.
    pub(crate) facts: Vec<Fact>,
    /// The last record of each key, `None` after a tombstone.
    orders: BTreeMap<String, Option<View>>,
    profiles: BTreeMap<String, Option<Profile>>,
    /// Dead letters of the door and both stages.
    pub(crate) letters: Vec<DeadLetter>,
    counts: BTreeMap<String, i64>,
    /// How often records of rates were processed.
    pub(crate) rounds: usize,
    /// In what sources were found to disagree, and to agree again.
    pub(crate) reconciliations: Vec<Reconciliation>,
    /// What a sender of messages is told.
    pub(crate) signals: Vec<Signal>,
    /// The records of all facts.
    pub(crate) told: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Story {
    pub(crate) fn new() -> Self {
        Self::configured(|_| {})
    }

    pub(crate) fn configured(change: impl FnOnce(&mut WorkspaceConfig)) -> Self {
        let mut config = WorkspaceConfig::development();
        change(&mut config);
        Self::of([config])
    }

    pub(crate) fn of(configs: impl IntoIterator<Item = WorkspaceConfig>) -> Self {
        let workspaces = Arc::new(Workspaces::from_configs(configs).unwrap());
        let parts = Parts { workspaces, schemas: Schemas::offline(), event_partitions: 1 };
        Self {
            decoder: parts.schemas.decoder(),
            normalizer: harness(&normalizer::PLAN, normalizer::Normalizer::new(&parts).unwrap()),
            state: harness(&state::PLAN, state::StateStage::new(&parts, KEY).unwrap()),
            parts,
            now: received("2026-03-14T16:00:00Z"),
            offset: 0,
            facts: vec![],
            orders: BTreeMap::new(),
            profiles: BTreeMap::new(),
            letters: vec![],
            counts: BTreeMap::new(),
            rounds: 0,
            reconciliations: vec![],
            signals: vec![],
            told: vec![],
        }
    }

    /// The same, where no fact may take more bytes.
    pub(crate) fn with_facts_of_at_most(bytes: usize) -> Self {
        let mut story = Self::new();
        let output = |topic: &Topic| Output {
            topic: topic.name().to_owned(),
            max_message_bytes: if *topic == Topic::Facts { bytes } else { usize::MAX },
        };
        let stage = state::StateStage::new(&story.parts, KEY).unwrap();
        let outputs = state::PLAN.outputs.iter().map(output).collect();
        story.state = Harness::new(stage, state::PLAN.tables, outputs);
        story
    }

    /// Goes on with other workspaces, as after a restart.
    pub(crate) fn reconfigure(&mut self, configs: impl IntoIterator<Item = WorkspaceConfig>) {
        self.parts.workspaces = Arc::new(Workspaces::from_configs(configs).unwrap());
        self.normalizer.processor = normalizer::Normalizer::new(&self.parts).unwrap();
        self.state.processor = state::StateStage::new(&self.parts, KEY).unwrap();
    }

    /// What comes now arrives at this time.
    pub(crate) fn at(&mut self, time: &str) -> &mut Self {
        self.now = received(time);
        self
    }

    /// Takes a request in at the door alone; `None`: nothing is stored of it.
    pub(crate) fn store(
        &mut self,
        (method, path, query): (Method, &str, Option<&str>),
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> (u16, Option<Stored>) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let request = Request {
            method: &method,
            path,
            query,
            headers: &map,
            body: body.as_bytes(),
            received_at: self.now,
            correlation: "c-1",
            peer: None,
        };
        match accept(&route(&method, path).unwrap(), &request, &self.parts.workspaces, &Unmetered) {
            Decision::Accept(accepted) => {
                let mut headers = accepted.headers;
                headers.push(("source".into(), accepted.source.to_string()));
                headers.push(("workspace".into(), accepted.workspace.to_string()));
                headers.push(("received_at".into(), self.now.to_rfc3339()));
                let body = accepted.body.unwrap_or_else(|| body.as_bytes().to_vec());
                self.offset += 1;
                (accepted.reply.status, Some(Stored { offset: self.offset, headers, body }))
            }
            Decision::Refuse(refused) => (refused.reply.status, None),
            other => panic!("neither taken nor refused: {other:?}"),
        }
    }

    /// Brings a stored request through both stages, with a commit behind it.
    pub(crate) fn take(&mut self, stored: &Stored) {
        self.process(stored);
        self.commit();
    }

    /// Ends the transaction that the requests so far are in.
    pub(crate) fn commit(&mut self) {
        let published = self.state.commit(0).unwrap();
        self.collect(&state::PLAN, published);
    }

    /// Brings a stored request through both stages, within the open transaction.
    pub(crate) fn process(&mut self, stored: &Stored) {
        let mut record = Record::new(Topic::Raw.name(), 0, stored.offset, b"", &stored.body);
        for (name, value) in &stored.headers {
            record = record.with_header(name, value.as_bytes());
        }
        let emitted = self.normalizer.process(&record).unwrap();
        for (key, event) in self.collect(&normalizer::PLAN, emitted) {
            let emitted = self.state.process(&Record::new(Topic::Events.name(), 0, 0, &key, &event)).unwrap();
            self.collect(&state::PLAN, emitted);
        }
    }

    /// The rates of an hour are published: `("EUR", "1.0842")`. A record that the stage puts behind what is to be
    /// processed comes round again.
    pub(crate) fn rates(&mut self, base: &str, hour: &str, rates: &[(&str, &str)]) {
        let currency = |code: &str| Currency::parse(code).unwrap();
        let rates = rates.iter().map(|(code, rate)| (currency(code), Rate::parse(rate).unwrap())).collect();
        let event = announcement(currency(base), Hour::parse(hour).unwrap(), &rates, self.now).unwrap();
        let mut value = Vec::new();
        self.parts.schemas.encoder(Topic::Events).unwrap().encode(&event, &mut value).unwrap();
        let mut next = vec![(format!("_fx:{}", event.entity.id).into_bytes(), value)];
        while let Some((key, value)) = next.pop() {
            let emitted = self.state.process(&Record::new(Topic::Events.name(), 0, 0, &key, &value)).unwrap();
            next.extend(self.collect(&state::PLAN, emitted));
            self.rounds += 1;
        }
        let published = self.state.commit(0).unwrap();
        self.collect(&state::PLAN, published);
    }

    /// How many hours' rates are kept.
    pub(crate) fn rate_rows(&self) -> usize {
        self.state.sizes().iter().find(|(table, ..)| *table == "fx_rates").unwrap().1
    }

    /// What the workspace is configured with.
    pub(crate) fn rules(&self) -> Rules {
        self.parts.workspaces.get("demo").unwrap().rules.clone()
    }

    /// A version of the policy stands in the stream.
    pub(crate) fn policy(&mut self, policy: &Policy) {
        let (key, value) = self.announced(policy);
        let emitted = self.state.process(&Record::new(Topic::Events.name(), 0, 0, &key, &value)).unwrap();
        self.collect(&state::PLAN, emitted);
        self.commit();
    }

    /// Goes on with a processor that has seen more of the stream than what was committed.
    pub(crate) fn roll_back_to(&mut self, committed: &mut Self) {
        std::mem::swap(&mut self.state.processor, &mut committed.state.processor);
    }

    fn announced(&self, policy: &Policy) -> (Vec<u8>, Vec<u8>) {
        let event = policy.announcement().unwrap();
        let mut value = Vec::new();
        self.parts.schemas.encoder(Topic::Events).unwrap().encode(&event, &mut value).unwrap();
        (format!("demo:{}", event.entity.id).into_bytes(), value)
    }

    /// Goes on as a process that has just started.
    pub(crate) fn restart(&mut self) {
        self.state.processor = state::StateStage::new(&self.parts, KEY).unwrap();
    }

    fn collect(&mut self, plan: &Plan, emitted: Vec<Emitted>) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut onward = Vec::new();
        for (output, _, key, value) in emitted {
            let name = String::from_utf8_lossy(&key).into_owned();
            match (plan.outputs[output], value) {
                (Topic::Events, Some(value)) => onward.push((key, value)),
                (Topic::Facts, Some(value)) => {
                    self.facts.push(self.decoder.decode(&value).unwrap());
                    self.told.push((key, value));
                }
                (Topic::Reconciliation, Some(value)) => {
                    self.reconciliations.push(self.decoder.decode(&value).unwrap());
                }
                (Topic::DeadLetters, Some(value)) => self.letters.push(self.decoder.decode(&value).unwrap()),
                (Topic::Orders, value) => {
                    self.orders.insert(name, value.map(|value| self.decoder.decode(&value).unwrap()));
                }
                (Topic::Profiles, value) => {
                    self.profiles.insert(name, value.map(|value| self.decoder.decode(&value).unwrap()));
                }
                (Topic::Metrics, Some(value)) => {
                    let metric: Metric = self.decoder.decode(&value).unwrap();
                    if metric.metric == "disagreements" {
                        let name = [&*metric.dimensions["source"], &*metric.dimensions["matter"]].join("/");
                        self.counts.insert(name, metric.values["open"]);
                    }
                    if metric.metric == "outcomes" && plan.name == state::PLAN.name {
                        let dimension = |name: &str| metric.dimensions[name].clone();
                        let name = [dimension("source"), dimension("outcome"), dimension("detail")].join("/");
                        self.counts.insert(name, metric.values["count"]);
                    }
                }
                (Topic::Signals, Some(value)) => self.signals.push(self.decoder.decode(&value).unwrap()),
                (topic, value) => panic!("{topic:?} {value:?}"),
            }
        }
        onward
    }

    /// A request from the door to the published records; its status.
    pub(crate) fn call(
        &mut self,
        line: (Method, &str, Option<&str>),
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> u16 {
        let (status, stored) = self.store(line, headers, body);
        if let Some(stored) = stored {
            self.take(&stored);
        }
        status
    }
}

/// Requests of each source, with the development credentials.
impl Story {
    pub(crate) fn shopify_store(&mut self, topic: &str, body: &str) -> Stored {
        let signature = STANDARD.encode(sign("dev-shopify-secret", body.as_bytes()));
        let path = format!("/webhooks/shopify/{topic}");
        let headers = [("x-shopify-hmac-sha256", signature.as_str()), ("x-shopify-shop-domain", SHOP)];
        self.store((Method::POST, &path, None), &headers, body).1.unwrap()
    }

    pub(crate) fn shopify(&mut self, topic: &str, body: &Value) {
        let stored = self.shopify_store(topic, &body.to_string());
        self.take(&stored);
    }

    pub(crate) fn lifesight(&mut self, event_name: &str, body: &Value) {
        let query = format!("key=dev-backend-key&workspace=demo&source=shop&event_name={event_name}");
        let line = (Method::POST, "/transform-webhook-data", Some(query.as_str()));
        assert_eq!(self.call(line, &[("content-type", "application/json")], &body.to_string()), 200);
    }

    pub(crate) fn stripe(&mut self, body: &Value) {
        let (t, body) = (self.now.0 / commerce::time::SECOND, body.to_string());
        let signature =
            format!("t={t},v1={}", hex::encode(sign("whsec_dev", format!("{t}.{body}").as_bytes())));
        let line = (Method::POST, "/webhooks/stripe/payment", None);
        assert_eq!(self.call(line, &[("stripe-signature", &signature)], &body), 200);
    }

    pub(crate) fn sequenzy(&mut self, body: &Value) {
        let headers = [("authorization", "Bearer dev-orders-key"), ("content-type", "application/json")];
        assert_eq!(self.call((Method::POST, "/api/v1/orders", None), &headers, &body.to_string()), 202);
    }

    /// A call about a person by their path: `5`, `5/events`, `5/suppress`.
    pub(crate) fn track(&mut self, method: Method, path: &str, body: &Value) {
        let authorization = format!("Basic {}", STANDARD.encode("dev-site:dev-track-key"));
        let path = format!("/api/v1/customers/{path}");
        let headers = [("authorization", authorization.as_str())];
        assert_eq!(self.call((method, &path, None), &headers, &body.to_string()), 200);
    }

    pub(crate) fn identify(&mut self, id: &str, attributes: &Value) {
        self.track(Method::PUT, id, attributes);
    }

    pub(crate) fn event(&mut self, id: &str, name: &str, data: Value) {
        self.track(Method::POST, &format!("{id}/events"), &json!({"name": name, "data": data}));
    }

    pub(crate) fn analytics(&mut self, event: &Value) {
        let line = (Method::POST, "/v1/api/analytics/ecommerce/track", None);
        assert_eq!(self.call(line, &[("x-api-key", "sk_dev_demo")], &event.to_string()), 200);
    }

    pub(crate) fn records(&mut self, path: &str, key: &str, body: &Value) {
        let path = format!("/public/v1/records/{path}");
        let headers = [("authorization", "Bearer dev-records-key"), ("idempotency-key", key)];
        assert_eq!(self.call((Method::POST, &path, None), &headers, &body.to_string()), 200);
    }
}

/// What is to be seen.
impl Story {
    pub(crate) fn named(&self, name: EventName) -> Vec<&Fact> {
        self.facts.iter().filter(|fact| fact.event == name).collect()
    }

    /// How many facts have the name.
    pub(crate) fn count(&self, name: EventName) -> usize {
        self.named(name).len()
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.facts.iter().map(|fact| fact.event.as_str()).collect()
    }

    pub(crate) fn order(&self, id: &str) -> &View {
        self.orders[&format!("demo:{id}")].as_ref().unwrap()
    }

    pub(crate) fn has_order(&self, id: &str) -> bool {
        self.orders.get(&format!("demo:{id}")).is_some_and(Option::is_some)
    }

    /// True where a tombstone stands for a handle.
    pub(crate) fn is_gone(&self, kind: Kind, value: &str) -> bool {
        self.profiles.get(&format!("demo:{}", self.id(kind, value))).is_some_and(Option::is_none)
    }

    pub(crate) fn id(&self, kind: Kind, value: &str) -> PersonId {
        let identifier = match kind {
            Kind::ShopifyCustomer => Identifier { kind, space: SHOP.to_owned(), value: value.to_owned() },
            _ => Identifier::plain(kind, value),
        };
        PersonId::derive(KEY, &WorkspaceId::try_new("demo").unwrap(), &identifier)
    }

    /// The published record of the person whom a handle stands for, forwarding followed.
    pub(crate) fn find(&self, kind: Kind, value: &str) -> Option<&Profile> {
        let mut id = self.id(kind, value);
        loop {
            let profile = self.profiles.get(&format!("demo:{id}"))?.as_ref()?;
            match profile.merged_into {
                Some(to) => id = to,
                None => return Some(profile),
            }
        }
    }

    pub(crate) fn profile(&self, kind: Kind, value: &str) -> &Profile {
        self.find(kind, value).unwrap()
    }

    /// Everybody who has a profile.
    pub(crate) fn people(&self) -> Vec<&Profile> {
        let all = self.profiles.values().flatten();
        all.filter(|profile| profile.merged_into.is_none()).collect()
    }

    /// How many items ended so, by `source/outcome/detail`.
    pub(crate) fn outcomes(&self, name: &str) -> i64 {
        self.counts.get(name).copied().unwrap_or_default()
    }

    /// What is left at the end, without what depends on the order of processing.
    pub(crate) fn settled(&self) -> (Last<View>, Last<Profile>) {
        let profiles = self.profiles.iter().map(|(key, profile)| {
            let settled = |profile: &Profile| {
                let audiences_since = BTreeMap::new();
                Profile { as_of: ReceivedTime(0), audiences_since, ..profile.clone() }
            };
            (key.clone(), profile.as_ref().map(settled))
        });
        (self.orders.clone().into_iter().collect(), profiles.collect())
    }

    /// All orders that there are.
    pub(crate) fn all_orders(&self) -> Vec<&View> {
        self.orders.values().flatten().collect()
    }

    /// Goes through the chain of an order's facts: each begins where the one before it ended.
    pub(crate) fn assert_chain(&self, id: &str) {
        let mut last: Option<View> = None;
        for fact in self.facts.iter().filter(|fact| fact.order_id.as_deref() == Some(id)) {
            assert_eq!(fact.before, last, "{} {}", fact.event, fact.event_id);
            last.clone_from(&fact.after);
        }
    }
}

pub(crate) fn sign(secret: &str, body: &[u8]) -> Vec<u8> {
    Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes())
        .unwrap()
        .chain_update(body)
        .finalize()
        .into_bytes()
        .to_vec()
}

pub(crate) fn received(text: &str) -> ReceivedTime {
    commerce::time::parse_received(text).unwrap()
}

pub(crate) fn instant(text: &str) -> EventTime {
    commerce::time::parse_iso(text).unwrap().at
}

/// `body` with fields replaced; `null` replaces too.
pub(crate) fn with(mut body: Value, fields: Value) -> Value {
    for (key, value) in fields.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}
