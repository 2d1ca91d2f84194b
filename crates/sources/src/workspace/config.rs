//! The tables of the configuration file, as they are written.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret of a tenant. It is written by [`Serialize`] and never printed by [`fmt::Debug`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
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
}

/// What a tenant has paid for. An absent limit is no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `false` switches the e-commerce events of the analytics API off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecommerce: Option<bool>,
    /// Events a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly_events: Option<u64>,
    /// Requests a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
    /// How many days reports reach back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
}

/// One `[[workspaces.shopify]]` table.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShopConfig {
    /// The shop's permanent domain, `acme.myshopify.com`: the space of its ids.
    pub shop: String,
    /// Client secrets; several while one is rotated.
    pub secrets: Vec<Secret>,
}

/// `[workspaces.lifesight]`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// API keys; several while one is rotated.
    pub keys: Vec<Secret>,
}

/// `[workspaces.analytics]`: the kind of a key is where it stands, not how it looks.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnalyticsConfig {
    /// Keys that stand in web pages: they open ingestion alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub publishable_keys: Vec<Secret>,
    /// Keys that open everything; several while one is rotated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_keys: Vec<Secret>,
}

impl AnalyticsConfig {
    /// True without any key.
    pub fn is_empty(&self) -> bool {
        self.publishable_keys.is_empty() && self.secret_keys.is_empty()
    }
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
            },
            ..Self::new("demo")
        }
    }

    /// A copy that may be shown.
    pub fn redacted(&self) -> Self {
        let mut copy = self.clone();
        let keys = copy.lifesight.iter_mut().flat_map(|lifesight| &mut lifesight.keys);
        let keys = keys.chain(&mut copy.analytics.publishable_keys).chain(&mut copy.analytics.secret_keys);
        for secret in copy.shopify.iter_mut().flat_map(|shop| &mut shop.secrets).chain(keys) {
            *secret = Secret::new("<redacted>");
        }
        copy
    }
}
