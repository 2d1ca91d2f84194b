//! The tables of the configuration file, as they are written.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::audiences::AudienceConfig;

/// A secret of a tenant. It is written by [`Serialize`] and never printed by [`fmt::Debug`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// One `[[workspaces]]` table, as it is written. All values are texts, so that every mistake can be listed at once.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceConfig {
    /// Lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// `production` unless said otherwise; only there does `test: true` mean QA.
    #[serde(default = "production")]
    pub environment: String,
    /// The currency of reports.
    #[serde(default = "usd")]
    pub base_currency: String,
    /// IANA name; cuts the days of reports.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Region (ISO 3166 alpha-2) of national phone numbers when nothing else says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_region: Option<String>,
    /// Who decides when two sources speak of one order; those not named follow in the default order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_precedence: Vec<String>,
    /// Addresses (`qa@acme.example`) and domains (`acme.example`) of staff and tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_accounts: Vec<String>,
    /// Limits; absent: none.
    #[serde(default)]
    pub plan: Plan,
    /// Shops and their app secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shopify: Vec<ShopConfig>,
    /// Keys of the custom backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifesight: Option<KeysConfig>,
    /// Keys of the analytics API and of the reports.
    #[serde(default, skip_serializing_if = "AnalyticsConfig::is_empty")]
    pub analytics: AnalyticsConfig,
    /// Secrets of Stripe's endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stripe: Option<StripeConfig>,
    /// Credentials of the Customer.io Track API, and its events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub customerio: Option<CustomerioConfig>,
    /// Keys of pushed orders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequenzy: Option<SequenzyConfig>,
    /// Keys of the records API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RecordsConfig>,
    /// The one source that owns a canonical event: `"order.paid" = "customerio"` (R13.4).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ownership: BTreeMap<String, String>,
    /// Handles that are nobody's: `"email:test@acme.example"`. A delivery that names one is read without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub blocked_handles: Vec<String>,
    /// A handle that was seen with more other ones than this links nobody. Absent: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_handle_neighbours: Option<u32>,
    /// A cart or checkout without activity for so many seconds counts as abandoned. Absent: 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned_after_s: Option<u32>,
    /// Payments that name no order enter the lifetime value (D-R-3). Off: an order that was paid through Stripe would
    /// count twice.
    #[serde(default)]
    pub include_unlinked_payments: bool,
    /// A purchase of the analytics API that comes so many seconds after the last one with its `transaction_id` is another
    /// order (D-ANA-1). Absent: an id names one order for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse_transaction_id_after_s: Option<u32>,
    /// Thresholds of the fraud rules; absent: the defaults.
    #[serde(default, skip_serializing_if = "FraudConfig::is_default")]
    pub fraud: FraudConfig,
    /// Products that are bought again (R12.3).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replenishment: Vec<ReplenishmentConfig>,
    /// Audiences of its own, beside those that are built in (R12.4).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<AudienceConfig>,
}

/// `[workspaces.stripe]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StripeConfig {
    /// Endpoint secrets (`whsec_…`); several while one is rotated.
    pub secrets: Vec<Secret>,
    /// The greatest age of a signature in seconds; 0 switches the check off.
    #[serde(default = "five_minutes")]
    pub tolerance_s: u32,
}

/// `[workspaces.customerio]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerioConfig {
    /// Site ids with their API keys.
    pub credentials: Vec<CustomerioCredential>,
    /// Further event names: `"Bought Something" = "order.paid"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub event_map: BTreeMap<String, String>,
}

/// One of `[[workspaces.customerio.credentials]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerioCredential {
    /// The name in Basic authentication.
    pub site_id: String,
    /// The password.
    pub api_key: Secret,
}

/// `[workspaces.sequenzy]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequenzyConfig {
    /// Bearer keys; several while one is rotated.
    pub keys: Vec<Secret>,
    /// "Cents" are hundredths of any currency, also of yen (D-SEQ-1).
    #[serde(default)]
    pub hundredths: bool,
}

/// `[workspaces.records]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordsConfig {
    /// Bearer keys for all objects; several while one is rotated.
    pub keys: Vec<Secret>,
    /// Bearer keys for some objects alone, by object: the others answer 403.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub object_keys: BTreeMap<String, Vec<Secret>>,
    /// Unknown fields are refused with 422.
    #[serde(default)]
    pub strict_schema: bool,
    /// Further objects that rows can be appended to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
}

/// `[workspaces.fraud]`. A rule has a threshold for severity 1, which marks, and one for severity 2,
/// which blocks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FraudConfig {
    /// Checks the `User-Agent` of traffic with a publishable key.
    pub bots: bool,
    /// Greatest revenue of one purchase in the base currency, major units; ten times as much is blocked.
    pub max_revenue: u64,
    /// Events a minute of one actor that mark and block.
    pub events_per_minute: [u32; 2],
    /// Purchases an hour of one actor that mark and block.
    pub purchases_per_hour: [u32; 2],
    /// The only currencies that are taken; empty: all.
    pub currencies: Vec<String>,
}

impl Default for FraudConfig {
    fn default() -> Self {
        Self {
            bots: true,
            max_revenue: 1_000_000,
            events_per_minute: [300, 1_200],
            purchases_per_hour: [20, 100],
            currencies: Vec::new(),
        }
    }
}

impl FraudConfig {
    /// True where nothing is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// One of `[[workspaces.replenishment]]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplenishmentConfig {
    /// The product.
    pub product_id: String,
    /// The variant; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant_id: Option<String>,
    /// How long it lasts.
    pub days: u32,
}

/// What a tenant has paid for. An absent limit is no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `false` switches the e-commerce events of the analytics API off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecommerce: Option<bool>,
    /// Events of the analytics API a calendar month (UTC), as the pipeline has counted them: it needs a secret analytics
    /// key, by which the gateway asks for the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_events: Option<u64>,
    /// Requests a second of each key, at each copy of the gateway. Webhooks of Shopify and Stripe have no rate: they would
    /// only be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// How many days reports reach back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

/// One `[[workspaces.shopify]]` table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShopConfig {
    /// The shop's permanent domain, `acme.myshopify.com`: the space of its ids.
    pub shop: String,
    /// Client secrets; several while one is rotated.
    pub secrets: Vec<Secret>,
}

/// `[workspaces.lifesight]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// API keys; several while one is rotated.
    pub keys: Vec<Secret>,
}

/// `[workspaces.analytics]`: the kind of a key is where it stands, not how it looks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnalyticsConfig {
    /// Keys that stand in web pages: they open ingestion alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publishable_keys: Vec<Secret>,
    /// Keys that open everything; several while one is rotated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_keys: Vec<Secret>,
    /// The header in which a proxy says the shopper's country, in lower case: `cf-ipcountry`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_header: Option<String>,
}

impl AnalyticsConfig {
    /// True where nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

const fn five_minutes() -> u32 {
    300
}

fn production() -> String {
    "production".to_owned()
}

fn usd() -> String {
    "USD".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}

impl WorkspaceConfig {
    /// A workspace with nothing but an id: no credential opens it.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            environment: production(),
            base_currency: usd(),
            time_zone: utc(),
            phone_region: None,
            source_precedence: Vec::new(),
            test_accounts: Vec::new(),
            plan: Plan::default(),
            shopify: Vec::new(),
            lifesight: None,
            analytics: AnalyticsConfig::default(),
            stripe: None,
            customerio: None,
            sequenzy: None,
            records: None,
            ownership: BTreeMap::new(),
            blocked_handles: Vec::new(),
            shared_handle_neighbours: None,
            abandoned_after_s: None,
            include_unlinked_payments: false,
            reuse_transaction_id_after_s: None,
            fraud: FraudConfig::default(),
            replenishment: Vec::new(),
            audiences: Vec::new(),
        }
    }

    /// The workspace `demo` of `tillstream up`, with credentials that are printed in the documentation.
    pub fn development() -> Self {
        Self {
            shopify: vec![ShopConfig {
                shop: "demo-shop.myshopify.com".to_owned(),
                secrets: vec![Secret::new("dev-shopify-secret")],
            }],
            lifesight: Some(KeysConfig { keys: vec![Secret::new("dev-backend-key")] }),
            analytics: AnalyticsConfig {
                publishable_keys: vec![Secret::new("pk_dev_demo")],
                secret_keys: vec![Secret::new("sk_dev_demo")],
                country_header: None,
            },
            stripe: Some(StripeConfig {
                secrets: vec![Secret::new("whsec_dev")],
                tolerance_s: five_minutes(),
            }),
            customerio: Some(CustomerioConfig {
                credentials: vec![CustomerioCredential {
                    site_id: "dev-site".to_owned(),
                    api_key: Secret::new("dev-track-key"),
                }],
                event_map: BTreeMap::new(),
            }),
            sequenzy: Some(SequenzyConfig { keys: vec![Secret::new("dev-orders-key")], hundredths: false }),
            records: Some(RecordsConfig {
                keys: vec![Secret::new("dev-records-key")],
                object_keys: BTreeMap::new(),
                strict_schema: false,
                objects: Vec::new(),
            }),
            ..Self::new("demo")
        }
    }

    /// A copy that may be shown.
    pub fn redacted(&self) -> Self {
        let mut copy = self.clone();
        let shops = copy.shopify.iter_mut().flat_map(|shop| &mut shop.secrets);
        let backend = copy.lifesight.iter_mut().flat_map(|lifesight| &mut lifesight.keys);
        let stripe = copy.stripe.iter_mut().flat_map(|stripe| &mut stripe.secrets);
        let orders = copy.sequenzy.iter_mut().flat_map(|sequenzy| &mut sequenzy.keys);
        let track = copy.customerio.iter_mut().flat_map(|customerio| &mut customerio.credentials);
        let rows = copy
            .records
            .iter_mut()
            .flat_map(|records| records.keys.iter_mut().chain(records.object_keys.values_mut().flatten()));
        let all = shops.chain(backend).chain(stripe).chain(orders).chain(rows);
        let all = all.chain(track.map(|credential| &mut credential.api_key));
        let all = all.chain(&mut copy.analytics.publishable_keys).chain(&mut copy.analytics.secret_keys);
        for secret in all {
            *secret = Secret::new("<redacted>");
        }
        copy
    }
}
