//! The shops of workload W as tenants, and their webhooks as the gateway takes and stores them.

use anyhow::anyhow;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sources::workspace::{AnalyticsConfig, KeysConfig, Secret, ShopConfig};
use sources::{Accepted, Decision, Request, WorkspaceConfig, Workspaces};

use super::workload::{SHOPS, Webhook};
use crate::demo::delivery::WebhookIds;
use crate::demo::{Credentials, Delivery};

/// Tenants and what opens their doors.
pub struct Shops {
    workspaces: Workspaces,
    credentials: Vec<Credentials>,
}

impl Shops {
    /// The four shops.
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self {
            workspaces: workspaces()?,
            credentials: SHOPS.iter().map(|shop| credentials(shop.workspace, shop.domain)).collect(),
        })
    }

    /// The tenants.
    pub const fn workspaces(&self) -> &Workspaces {
        &self.workspaces
    }

    /// The request that Shopify sends.
    pub fn request(&self, webhook: &Webhook) -> Option<Delivery> {
        let ids = WebhookIds {
            webhook: webhook.id.clone(),
            event: webhook.id.clone(),
            triggered_at: webhook.at.to_rfc3339(),
        };
        Some(self.credentials.get(webhook.shop)?.shopify(webhook.topic, &ids, webhook.body.to_vec()))
    }

    /// The same order as a custom backend sends it.
    pub fn backend_request(&self, webhook: &Webhook) -> Option<Delivery> {
        let event = if webhook.topic == "orders/create" { "orders_create" } else { "orders_updated" };
        Some(self.credentials.get(webhook.shop)?.backend(event, webhook.body.to_vec()))
    }

    /// What the gateway makes of a request.
    pub fn accept(&self, delivery: &Delivery) -> anyhow::Result<Accepted> {
        let mut headers = HeaderMap::new();
        for (name, value) in &delivery.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
        let (path, query) = match delivery.path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (delivery.path_and_query.as_str(), None),
        };
        let route = sources::route(&Method::POST, path).map_err(|reply| anyhow!("{path}: {}", reply.body))?;
        let request = Request { method: &Method::POST, path, query, headers: &headers, body: &delivery.body };
        match sources::accept(&route, &request, &self.workspaces) {
            Decision::Accept(accepted) => Ok(accepted),
            Decision::Refuse(refused) => Err(anyhow!("the gateway refuses {path}: {}", refused.reply.body)),
        }
    }
}

/// The secret analytics key of a workspace.
pub fn report_key(workspace: &str) -> String {
    format!("sk_bench_{workspace}")
}

fn credentials(workspace: &str, shop: &str) -> Credentials {
    Credentials {
        shop: shop.to_owned(),
        shopify_secret: format!("secret of {shop}"),
        backend_key: format!("key of {shop}"),
        workspace: workspace.to_owned(),
        ..Credentials::default()
    }
}

/// The tenants.
pub fn workspaces() -> anyhow::Result<Workspaces> {
    Workspaces::from_configs(configs()).map_err(|mistakes| anyhow!(mistakes.join("; ")))
}

/// One workspace per shop, days cut in UTC as W defines its totals.
pub fn configs() -> Vec<WorkspaceConfig> {
    let config = |shop: &super::workload::Shop| {
        let credentials = credentials(shop.workspace, shop.domain);
        WorkspaceConfig {
            base_currency: shop.currency.to_owned(),
            shopify: vec![ShopConfig {
                shop: shop.domain.to_owned(),
                secrets: vec![Secret::new(credentials.shopify_secret)],
            }],
            lifesight: Some(KeysConfig { keys: vec![Secret::new(credentials.backend_key)] }),
            analytics: AnalyticsConfig {
                publishable_keys: Vec::new(),
                secret_keys: vec![Secret::new(report_key(shop.workspace))],
            },
            ..WorkspaceConfig::new(shop.workspace)
        }
    };
    SHOPS.iter().map(config).collect()
}
