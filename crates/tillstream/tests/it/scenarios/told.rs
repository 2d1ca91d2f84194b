//! A scenario as it is written down in `tests/scenarios/<name>.yaml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value};

/// One story: what comes over HTTP, and what must be left of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The name of the file.
    #[serde(skip)]
    pub name: String,
    /// What happens and why the figures are what they are, for readers.
    #[expect(dead_code, reason = "for readers")]
    story: String,
    /// Why what is left depends on the order of processing all the same: a known gap in the claim. The test fails once
    /// the gap is closed, so that the mark goes with it.
    pub depends_on_order: Option<String>,
    /// Settings of the workspace beside its credentials, as in the configuration file.
    #[serde(default)]
    pub workspace: Map<String, Value>,
    /// Bodies by name, which deliveries take up and change.
    #[serde(default)]
    bodies: BTreeMap<String, Map<String, Value>>,
    /// What arrives, in this order.
    pub deliveries: Vec<Delivery>,
    /// What is left.
    pub expected: Expected,
}

/// One request. Exactly one of the sources is given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// When it arrives; a second after the one before it unless said.
    pub at: Option<String>,
    /// The topic of a webhook: `orders/create`.
    pub shopify: Option<String>,
    /// `event_name` of a call of the custom backend: `orders_create`.
    pub lifesight: Option<String>,
    /// The name of a Stripe endpoint: `payment`.
    pub stripe: Option<String>,
    /// `orders` or `checkouts`.
    pub sequenzy: Option<String>,
    /// Method and path after `/api/v1/`: `PUT customers/5`.
    pub customerio: Option<String>,
    /// Method and path after `/v1/api/analytics/`: `POST ecommerce/track`.
    pub analytics: Option<String>,
    /// Path after `/public/v1/records/`: `orders/append`.
    pub records: Option<String>,
    /// Path after `/v1/identity/`: `merge`, `unmerge`.
    pub operator: Option<String>,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    /// The body that `fields` change.
    pub body: Option<String>,
    /// The fields of the body.
    #[serde(default)]
    pub fields: Map<String, Value>,
    /// The whole body where it is no JSON object.
    pub text: Option<String>,
    /// The signature or key is wrong.
    #[serde(default)]
    pub forged: bool,
    /// It comes so many times.
    #[serde(default = "once")]
    pub times: usize,
    /// The status of the answer; any success unless said.
    pub status: Option<u16>,
}

const fn once() -> usize {
    1
}

/// What is left at the end. Of an order or person the fields that are named must be equal, and there is no order and no
/// person beside those that are named; of a metric that is named all its cells must be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// By id.
    #[serde(default)]
    pub orders: BTreeMap<String, Map<String, Value>>,
    /// Everybody who has a profile, by one of their handles: `email:jane@example.com`.
    #[serde(default)]
    pub profiles: BTreeMap<String, Map<String, Value>>,
    /// By metric the cells that hold anything, by day and dimensions.
    #[serde(default)]
    pub metrics: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    /// The signals in their order: name and target. History, so only where everything is processed as it came.
    pub signals: Option<Vec<String>>,
    /// The names of the facts in their order. History as well.
    pub facts: Option<Vec<String>>,
    /// Why something became a dead letter.
    #[serde(default)]
    pub letters: Vec<String>,
}

impl Scenario {
    /// Everything that is written down.
    pub fn all() -> Vec<Self> {
        let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/scenarios"));
        let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let mut paths: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
        paths.sort();
        paths.iter().map(|path| Self::read(path)).collect()
    }

    fn read(path: &std::path::Path) -> Self {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let told: Self = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        Self { name, ..told }
    }

    /// The workspace that it plays in.
    pub fn id(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The bytes of a delivery's body.
    pub fn body(&self, delivery: &Delivery) -> Vec<u8> {
        if let Some(text) = &delivery.text {
            return text.clone().into_bytes();
        }
        let mut body = match &delivery.body {
            Some(name) => {
                self.bodies.get(name).unwrap_or_else(|| panic!("{}: no body {name}", self.name)).clone()
            }
            None => Map::new(),
        };
        body.extend(delivery.fields.clone());
        Value::Object(body).to_string().into_bytes()
    }
}
