//! The shops of workload W as tenants, and their webhooks as the gateway takes and stores them.

use anyhow::anyhow;
use service::clock;
use sources::workspace::{AnalyticsConfig, KeysConfig, Secret, ShopConfig};
use sources::{Accepted, Decision, Refused, WorkspaceConfig, Workspaces};

use super::workload::{SHOPS, Webhook};
use crate::demo::credentials::WebhookIds;
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
        match delivery.decide(&self.workspaces, clock::now())? {
            Decision::Accept(accepted) => Ok(accepted),
            Decision::Refuse(Refused { reply, .. }) | Decision::Answer(reply) => {
                Err(anyhow!("the gateway refuses a webhook: {}", reply.body))
            }
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
                secret_keys: vec![Secret::new(report_key(shop.workspace))],
                ..AnalyticsConfig::default()
            },
            ..WorkspaceConfig::new(shop.workspace)
        }
    };
    SHOPS.iter().map(config).collect()
}
