//! Tenants: what is configured, checked once, and looked up by id or credential.

mod audiences;
mod config;
mod policy;
mod test_accounts;

use std::collections::HashMap;
use std::fmt;

use commerce::audience::rule::Rule;
use commerce::policy::Rules;
use commerce::time::Zone;
use commerce::{Currency, EventName, Source, WorkspaceId};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

pub use audiences::{AudienceConfig, ConditionConfig};
pub use config::{
    AnalyticsConfig, CustomerioConfig, CustomerioCredential, FraudConfig, KeysConfig, Plan, RecordsConfig,
    ReplenishmentConfig, Secret, SequenzyConfig, ShopConfig, StripeConfig, WorkspaceConfig,
};
pub use test_accounts::TestAccounts;

/// A tenant whose settings have been checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// `production`, `staging`, …
    pub environment: String,
    /// The currency of reports: that of the rules.
    pub base_currency: Currency,
    /// Cuts the days of reports: that of the rules.
    pub zone: Zone,
    /// Region of national phone numbers, upper-case.
    pub phone_region: Option<String>,
    /// Staff and tests.
    pub test_accounts: TestAccounts,
    /// Limits.
    pub plan: Plan,
    /// Shops and their app secrets.
    pub shopify: Vec<ShopConfig>,
    /// Keys of the custom backend.
    pub lifesight: Vec<Secret>,
    /// Keys of the analytics API and of the reports.
    pub analytics: AnalyticsConfig,
    /// Stripe's endpoints.
    pub stripe: Option<StripeConfig>,
    /// The Track API: credentials, and the canonical names of further events.
    pub customerio: Option<CustomerioConfig>,
    /// Pushed orders.
    pub sequenzy: Option<SequenzyConfig>,
    /// The records API.
    pub records: Option<RecordsConfig>,
    /// What the configuration says of what changes the meaning of figures. Version 1 of the policy is made of it; from
    /// then on the published versions count.
    pub rules: Rules,
    /// Thresholds of the fraud rules.
    pub fraud: FraudConfig,
    /// Products that are bought again.
    pub replenishment: Vec<ReplenishmentConfig>,
    /// Audiences of its own (R12.4).
    pub audiences: Vec<Rule>,
}

impl Workspace {
    /// Checks a configuration and lists all its mistakes, each with its place.
    pub fn try_new(config: WorkspaceConfig) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let name: String = config.id.chars().take(70).collect();
        let mut wrong =
            |key: &str, message: String| mistakes.push(format!("workspaces.{name}.{key}: {message}"));

        check_keys(&config, &mut wrong);
        let ownership = policy::ownership(&config.ownership, &mut wrong);
        let blocked_handles = policy::blocked(&config.blocked_handles, &mut wrong);
        let shared_handle_neighbours = policy::neighbours(config.shared_handle_neighbours, &mut wrong);
        let abandoned_after_s = policy::abandoned_after(config.abandoned_after_s, &mut wrong);
        let reuse_transaction_id_after_s =
            policy::reused_after(config.reuse_transaction_id_after_s, &mut wrong);
        let id = WorkspaceId::try_new(config.id.as_str()).map_err(|message| wrong("id", message)).ok();
        if config.id == commerce::fx::WORKSPACE {
            wrong("id", format!("'{}' stands for rates of exchange", config.id));
        }
        if WorkspaceId::try_new(config.environment.as_str()).is_err() {
            wrong("environment", format!("'{}' is not a lower-case name", config.environment));
        }
        let base_currency = Currency::parse(&config.base_currency)
            .map_err(|error| wrong("base_currency", error.to_string()))
            .unwrap_or(Currency::USD);
        let zone = Zone::parse(&config.time_zone)
            .map_err(|message| wrong("time_zone", message))
            .unwrap_or(Zone::utc());
        let phone_region = config.phone_region.map(|region| region.to_ascii_uppercase());
        if let Some(region) = &phone_region
            && region.parse::<phonenumber::country::Id>().is_err()
        {
            wrong("phone_region", format!("'{region}' is not an ISO 3166 region"));
        }
        let source_precedence = policy::precedence(&config.source_precedence, &mut wrong);
        let test_accounts = TestAccounts::read(&config.test_accounts, &mut wrong);
        check_shops(&config.shopify, &mut wrong);
        let audiences = audiences::rules(&config.audiences, &mut wrong);
        let lifesight = match config.lifesight {
            Some(lifesight) => {
                check_secrets("lifesight.keys", &lifesight.keys, &mut wrong);
                lifesight.keys
            }
            None => Vec::new(),
        };
        // No analytics keys at all is a choice, an empty one a mistake.
        for (key, keys) in [
            ("analytics.publishable_keys", &config.analytics.publishable_keys),
            ("analytics.secret_keys", &config.analytics.secret_keys),
        ] {
            if !keys.is_empty() {
                check_secrets(key, keys, &mut wrong);
            }
        }
        if config.plan.monthly_events.is_some() && config.analytics.secret_keys.is_empty() {
            let message = "it needs analytics.secret_keys: the gateway asks by such a key what was counted";
            wrong("plan.monthly_events", message.to_owned());
        }
        match id {
            Some(id) if mistakes.is_empty() => Ok(Self {
                id,
                environment: config.environment,
                base_currency,
                rules: Rules {
                    base_currency,
                    time_zone: zone.name().to_owned(),
                    source_precedence,
                    ownership,
                    blocked_handles,
                    shared_handle_neighbours,
                    abandoned_after_s,
                    include_unlinked_payments: config.include_unlinked_payments,
                    reuse_transaction_id_after_s,
                },
                zone,
                phone_region,
                test_accounts,
                plan: config.plan,
                shopify: config.shopify,
                lifesight,
                analytics: config.analytics,
                stripe: config.stripe,
                customerio: config.customerio,
                sequenzy: config.sequenzy,
                records: config.records,
                fraud: config.fraud,
                replenishment: config.replenishment,
                audiences,
            }),
            _ => Err(mistakes),
        }
    }

    /// The workspace of [`WorkspaceConfig::development`].
    pub fn development() -> Result<Self, Vec<String>> {
        Self::try_new(WorkspaceConfig::development())
    }

    /// The same under the rules that were published for it. The error is a time zone that isn't known here.
    pub fn under(mut self, rules: &Rules) -> Result<Self, String> {
        self.zone = Zone::parse(&rules.time_zone)?;
        self.base_currency = rules.base_currency;
        self.rules = rules.clone();
        Ok(self)
    }

    /// True where `test: true` marks QA (R2): a staging workspace consists of tests.
    pub fn is_production(&self) -> bool {
        self.environment == "production"
    }

    /// Leaves as they were the settings of sources by which the normalizer reads what is stored: it doesn't reload.
    fn keep_meanings(&mut self, old: &Self, keep: &mut dyn FnMut(&str, bool)) {
        if let (Some(next), Some(old)) = (&mut self.customerio, &old.customerio) {
            keep("customerio.event_map", next.event_map == old.event_map);
            next.event_map.clone_from(&old.event_map);
        }
        if let (Some(next), Some(old)) = (&mut self.sequenzy, &old.sequenzy) {
            keep("sequenzy.hundredths", next.hundredths == old.hundredths);
            next.hundredths = old.hundredths;
        }
        if let (Some(next), Some(old)) = (&mut self.records, &old.records) {
            keep("records.objects", next.objects == old.objects);
            next.objects.clone_from(&old.objects);
        }
    }
}

/// The keys and names of the sources that have been given any.
fn check_keys(config: &WorkspaceConfig, wrong: &mut impl FnMut(&str, String)) {
    if let Some(stripe) = &config.stripe {
        check_secrets("stripe.secrets", &stripe.secrets, wrong);
    }
    if let Some(sequenzy) = &config.sequenzy {
        check_secrets("sequenzy.keys", &sequenzy.keys, wrong);
    }
    if let Some(records) = &config.records {
        if records.object_keys.is_empty() || !records.keys.is_empty() {
            check_secrets("records.keys", &records.keys, wrong);
        }
        for (object, keys) in &records.object_keys {
            check_secrets(&format!("records.object_keys.{object}"), keys, wrong);
        }
        for (index, object) in records.objects.iter().enumerate() {
            if WorkspaceId::try_new(object.as_str()).is_err() {
                wrong(&format!("records.objects[{index}]"), format!("'{object}' is not a lower-case name"));
            }
        }
    }
    if let Some(customerio) = &config.customerio {
        for (index, credential) in customerio.credentials.iter().enumerate() {
            let at = format!("customerio.credentials[{index}]");
            check_secrets(&format!("{at}.api_key"), std::slice::from_ref(&credential.api_key), wrong);
            if credential.site_id.trim().is_empty() || credential.site_id.contains(':') {
                wrong(&format!("{at}.site_id"), "it is empty or has a colon".to_owned());
            }
        }
        for (name, event) in &customerio.event_map {
            let is_ours = |name: &EventName| {
                matches!(
                    name,
                    EventName::FxRatesPublished | EventName::PolicyPublished | EventName::TimePassed
                )
            };
            if EventName::parse(event).is_none_or(|name| is_ours(&name)) {
                wrong(&format!("customerio.event_map.{name}"), format!("'{event}' is not a canonical event"));
            }
        }
    }
    for (index, code) in config.fraud.currencies.iter().enumerate() {
        if let Err(error) = Currency::parse(code) {
            wrong(&format!("fraud.currencies[{index}]"), error.to_string());
        }
    }
    for (key, [marks, blocks]) in [
        ("fraud.events_per_minute", config.fraud.events_per_minute),
        ("fraud.purchases_per_hour", config.fraud.purchases_per_hour),
    ] {
        if marks > blocks {
            wrong(key, "the first number, which marks, is above the second, which blocks".to_owned());
        }
    }
    for (index, product) in config.replenishment.iter().enumerate() {
        if product.product_id.trim().is_empty() || product.days == 0 {
            wrong(
                &format!("replenishment[{index}]"),
                "it needs a product_id and at least one day".to_owned(),
            );
        }
    }
}

fn check_shops(shops: &[ShopConfig], wrong: &mut impl FnMut(&str, String)) {
    for (index, shop) in shops.iter().enumerate() {
        let domain = &shop.shop;
        let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        if domain.len() > 255 || !domain.contains('.') || !domain.bytes().all(fine) {
            wrong(
                &format!("shopify[{index}].shop"),
                format!("'{domain}' is not a shop's domain in lower case"),
            );
        }
        if shops.iter().take(index).any(|other| other.shop == *domain) {
            wrong(
                &format!("shopify[{index}].shop"),
                format!("'{domain}' is there twice: put its secrets in one list"),
            );
        }
        check_secrets(&format!("shopify[{index}].secrets"), &shop.secrets, wrong);
    }
}

fn check_secrets(key: &str, secrets: &[Secret], wrong: &mut impl FnMut(&str, String)) {
    if secrets.is_empty() {
        wrong(key, "the list is empty".to_owned());
    }
    for (index, secret) in secrets.iter().enumerate() {
        if secret.expose().trim().is_empty() || secret.expose().trim() != secret.expose() {
            wrong(&format!("{key}[{index}]"), "it is empty or has white space around it".to_owned());
        }
    }
}

/// All tenants of a deployment.
#[derive(Clone, Debug)]
pub struct Workspaces {
    all: Vec<Workspace>,
    by_id: HashMap<String, usize>,
    shops: Vec<Shop>,
    by_shop: HashMap<String, usize>,
    /// By the SHA-256 of the key, so that the time of a lookup says nothing about a key.
    by_key: HashMap<(Source, [u8; 32]), (usize, Key)>,
    stripe: Vec<(usize, Vec<Hmac<Sha256>>)>,
}

/// What a key opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Key {
    /// Everything of its source.
    Full,
    /// Ingestion alone: it stands in web pages.
    Publishable,
    /// One object of the records API.
    Object(String),
}

#[derive(Clone)]
struct Shop {
    domain: String,
    workspace: usize,
    /// With the secret already mixed in: two blocks less per delivery.
    macs: Vec<Hmac<Sha256>>,
}

impl fmt::Debug for Shop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} secrets)", self.domain, self.macs.len())
    }
}

impl Workspaces {
    /// Joins tenants; lists all ids, shops and credentials that are not unique.
    pub fn try_new(all: Vec<Workspace>) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut found = Self {
            by_id: HashMap::new(),
            shops: Vec::new(),
            by_shop: HashMap::new(),
            by_key: HashMap::new(),
            stripe: Vec::new(),
            all,
        };
        let mut owners: HashMap<&str, usize> = HashMap::new();
        let mut stripe_owners: HashMap<&str, usize> = HashMap::new();
        for (index, workspace) in found.all.iter().enumerate() {
            let id = workspace.id.as_str();
            if found.by_id.insert(id.to_owned(), index).is_some() {
                mistakes.push(format!("workspaces.{id}: the id is there twice"));
            }
            for shop in &workspace.shopify {
                if found.by_shop.insert(shop.shop.clone(), found.shops.len()).is_some() {
                    mistakes
                        .push(format!("workspaces.{id}.shopify: '{}' belongs to two workspaces", shop.shop));
                }
                for secret in &shop.secrets {
                    if *owners.entry(secret.expose()).or_insert(index) != index {
                        mistakes.push(format!(
                            "workspaces.{id}.shopify: a secret of '{}' opens another workspace too",
                            shop.shop
                        ));
                    }
                }
                let macs = shop
                    .secrets
                    .iter()
                    .filter_map(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok());
                found.shops.push(Shop { domain: shop.shop.clone(), workspace: index, macs: macs.collect() });
            }
            for (source, text, key) in keys(workspace) {
                let before = found.by_key.insert((source, digest(&text)), (index, key));
                if let Some((other, _)) = before {
                    let what = if other == index { "is there twice" } else { "opens another workspace too" };
                    mistakes.push(format!("workspaces.{id}.{source}: a key {what}"));
                }
            }
            if let Some(stripe) = &workspace.stripe {
                for secret in &stripe.secrets {
                    if stripe_owners.insert(secret.expose(), index).is_some_and(|other| other != index) {
                        mistakes
                            .push(format!("workspaces.{id}.stripe: a secret opens another workspace too"));
                    }
                }
                let macs = stripe
                    .secrets
                    .iter()
                    .filter_map(|secret| Hmac::new_from_slice(secret.expose().as_bytes()).ok());
                found.stripe.push((index, macs.collect()));
            }
        }
        if mistakes.is_empty() { Ok(found) } else { Err(mistakes) }
    }

    /// Checks all tables; lists the mistakes of all of them.
    pub fn from_configs(configs: impl IntoIterator<Item = WorkspaceConfig>) -> Result<Self, Vec<String>> {
        let (mut all, mut mistakes) = (Vec::new(), Vec::new());
        for config in configs {
            match Workspace::try_new(config) {
                Ok(workspace) => all.push(workspace),
                Err(found) => mistakes.extend(found),
            }
        }
        match Self::try_new(all) {
            Ok(workspaces) if mistakes.is_empty() => Ok(workspaces),
            Ok(_) => Err(mistakes),
            Err(found) => {
                mistakes.extend(found);
                Err(mistakes)
            }
        }
    }

    /// Takes over the credentials and limits of another reading of the configuration. What changes the meaning of what
    /// is stored already stays as it is, and so do the tenants: each such difference is listed, it needs a restart.
    pub fn reloaded(&self, new: &Self) -> Result<(Self, Vec<String>), Vec<String>> {
        let mut kept = Vec::new();
        let mut all = Vec::with_capacity(self.all.len());
        for old in &self.all {
            let Some(new) = new.get(old.id.as_str()) else {
                kept.push(format!("workspaces.{}: it is gone from the configuration", old.id));
                all.push(old.clone());
                continue;
            };
            let mut next = new.clone();
            let mut keep = |key: &str, same: bool| {
                if !same {
                    kept.push(format!("workspaces.{}.{key}: it changes what is counted", old.id));
                }
            };
            keep("environment", next.environment == old.environment);
            for difference in old.rules.differences(&next.rules) {
                keep(difference.key, false);
            }
            keep("phone_region", next.phone_region == old.phone_region);
            keep("test_accounts", next.test_accounts == old.test_accounts);
            keep("replenishment", next.replenishment == old.replenishment);
            keep("audiences", next.audiences == old.audiences);
            next.keep_meanings(old, &mut keep);
            next.environment.clone_from(&old.environment);
            next.base_currency = old.base_currency;
            next.zone.clone_from(&old.zone);
            next.phone_region.clone_from(&old.phone_region);
            next.test_accounts.clone_from(&old.test_accounts);
            next.rules.clone_from(&old.rules);
            next.replenishment.clone_from(&old.replenishment);
            next.audiences.clone_from(&old.audiences);
            all.push(next);
        }
        for new in new.iter().filter(|new| self.get(new.id.as_str()).is_none()) {
            kept.push(format!("workspaces.{}: it is new", new.id));
        }
        Ok((Self::try_new(all)?, kept))
    }

    /// The tenant of an id.
    pub fn get(&self, id: &str) -> Option<&Workspace> {
        self.by_id.get(id).and_then(|index| self.all.get(*index))
    }

    /// All tenants, as configured.
    pub fn iter(&self) -> impl Iterator<Item = &Workspace> {
        self.all.iter()
    }

    /// The tenant and shop whose secret signed `body`. `hint` is the unsigned name of the shop: its secrets are tried
    /// first, then all others.
    pub(crate) fn shop_that_signed(
        &self,
        hint: Option<&str>,
        body: &[u8],
        signature: &[u8],
    ) -> Option<(&Workspace, &str)> {
        let signed = |shop: &Shop| {
            shop.macs.iter().any(|mac| mac.clone().chain_update(body).verify_slice(signature).is_ok())
        };
        let hinted = hint
            .map(|domain| domain.trim().to_ascii_lowercase())
            .and_then(|domain| self.by_shop.get(&domain).copied());
        let first = hinted.and_then(|index| self.shops.get(index)).filter(|shop| signed(shop));
        let shop = first.or_else(|| {
            let others = self.shops.iter().enumerate().filter(|(index, _)| Some(*index) != hinted);
            others.map(|(_, shop)| shop).find(|shop| signed(shop))
        })?;
        Some((self.all.get(shop.workspace)?, &shop.domain))
    }

    /// The tenant of a key of a source, and what the key opens. The Track API's is `site_id:api_key`.
    pub(crate) fn by_key(&self, source: Source, key: &str) -> Option<(&Workspace, &Key)> {
        let (index, key) = self.by_key.get(&(source, digest(key)))?;
        Some((self.all.get(*index)?, key))
    }

    /// The tenants that have secrets of Stripe, each with its secrets already mixed in.
    pub(crate) fn of_stripe(&self) -> impl Iterator<Item = (&Workspace, &[Hmac<Sha256>])> {
        self.stripe.iter().filter_map(|(index, macs)| Some((self.all.get(*index)?, macs.as_slice())))
    }
}

/// All keys of a tenant that are looked up by their text.
fn keys(workspace: &Workspace) -> Vec<(Source, String, Key)> {
    let mut keys = Vec::new();
    let mut add = |source, secrets: &[Secret], key: &Key| {
        keys.extend(secrets.iter().map(|secret| (source, secret.expose().to_owned(), key.clone())));
    };
    add(Source::Lifesight, &workspace.lifesight, &Key::Full);
    add(Source::Analytics, &workspace.analytics.publishable_keys, &Key::Publishable);
    add(Source::Analytics, &workspace.analytics.secret_keys, &Key::Full);
    if let Some(sequenzy) = &workspace.sequenzy {
        add(Source::Sequenzy, &sequenzy.keys, &Key::Full);
    }
    if let Some(records) = &workspace.records {
        add(Source::Records, &records.keys, &Key::Full);
        for (object, secrets) in &records.object_keys {
            add(Source::Records, secrets, &Key::Object(object.clone()));
        }
    }
    for credential in workspace.customerio.iter().flat_map(|customerio| &customerio.credentials) {
        let text = format!("{}:{}", credential.site_id, credential.api_key.expose());
        keys.push((Source::Customerio, text, Key::Full));
    }
    keys
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    const FULL: &str = r#"
        [[workspaces]]
        id = "acme"
        environment = "staging"
        base_currency = "EUR"
        time_zone = "Europe/Berlin"
        phone_region = "de"
        source_precedence = ["lifesight", "shopify"]
        test_accounts = ["QA@acme.example", "@test.example", "bots.example"]
        [workspaces.plan]
        retention_days = 30
        [[workspaces.shopify]]
        shop = "acme.myshopify.com"
        secrets = ["one", "two"]
        [workspaces.lifesight]
        keys = ["three"]
        [workspaces.analytics]
        publishable_keys = ["four"]
        secret_keys = ["five"]
    "#;

    #[derive(Serialize, Deserialize)]
    struct File {
        workspaces: Vec<WorkspaceConfig>,
    }

    fn config() -> WorkspaceConfig {
        toml::from_str::<File>(FULL).unwrap().workspaces.remove(0)
    }

    #[test]
    fn a_table_becomes_a_workspace_and_is_written_back_unchanged() {
        let workspace = Workspace::try_new(config()).unwrap();
        assert_eq!(
            workspace.rules.source_precedence[..3],
            [Source::Lifesight, Source::Shopify, Source::Sequenzy]
        );
        assert_eq!(workspace.phone_region.as_deref(), Some("DE"));
        assert!(!workspace.is_production());
        for (email, expected) in [
            ("qa@acme.example", true),
            ("x@test.example", true),
            ("x@bots.example", true),
            ("x@acme.example", false),
        ] {
            assert_eq!(workspace.test_accounts.contains(email), expected, "{email}");
        }
        let text = toml::to_string(&File { workspaces: vec![config()] }).unwrap();
        assert_eq!(toml::from_str::<File>(&text).unwrap().workspaces, [config()]);
    }

    #[test]
    fn a_secret_is_never_printed() {
        let mine = config();
        let printed =
            format!("{mine:?} {:?} {:?}", mine.redacted(), Workspaces::from_configs([config()]).unwrap());
        for secret in ["one", "two", "three", "four", "five"] {
            assert!(!printed.contains(&format!("\"{secret}\"")), "{printed}");
        }
        assert!(!toml::to_string(&File { workspaces: vec![mine.redacted()] }).unwrap().contains("three"));
    }

    #[test]
    fn all_mistakes_of_all_workspaces_are_listed() {
        let bad = WorkspaceConfig {
            environment: "Prod".into(),
            base_currency: "EURO".into(),
            time_zone: "Mars".into(),
            phone_region: Some("XX".into()),
            source_precedence: vec!["shopify".into(), "shopify".into(), "ebay".into()],
            test_accounts: vec!["nobody".into()],
            shopify: vec![ShopConfig { shop: "https://x".into(), secrets: vec![] }],
            lifesight: Some(KeysConfig { keys: vec![Secret::new(" ")] }),
            ..WorkspaceConfig::new("Acme")
        };
        let twice = [bad, config(), config(), WorkspaceConfig { id: "other".into(), ..config() }];
        let mistakes = Workspaces::from_configs(twice).unwrap_err();
        for part in [
            "Acme.id",
            "Acme.environment",
            "Acme.base_currency",
            "Acme.time_zone",
            "Acme.phone_region",
            "named twice",
            "'ebay'",
            "test_accounts[0]",
            "shopify[0].shop",
            "shopify[0].secrets",
            "lifesight.keys[0]",
            "workspaces.acme: the id is there twice",
            "belongs to two workspaces",
            "opens another workspace",
            "a key opens another",
            "workspaces.other.analytics: a key opens another",
        ] {
            assert!(mistakes.iter().any(|mistake| mistake.contains(part)), "{part} in {mistakes:#?}");
        }
    }

    #[test]
    fn a_reload_takes_keys_and_limits_and_leaves_what_changes_the_meaning() {
        let old = Workspaces::from_configs([config()]).unwrap();
        let mut changed = config();
        changed.base_currency = "USD".into();
        changed.plan.retention_days = Some(90);
        changed.lifesight = Some(KeysConfig { keys: vec![Secret::new("rotated")] });
        let new = Workspaces::from_configs([changed, WorkspaceConfig::new("added")]).unwrap();
        let (after, kept) = old.reloaded(&new).unwrap();
        let acme = after.get("acme").unwrap();
        assert_eq!(acme.base_currency.as_str(), "EUR");
        assert_eq!(acme.plan.retention_days, Some(90));
        assert!(after.by_key(Source::Lifesight, "rotated").is_some());
        assert!(after.by_key(Source::Lifesight, "three").is_none());
        assert!(after.get("added").is_none());
        assert_eq!(kept.len(), 2, "{kept:?}");
        let sequenzy = |key: &str, hundredths| SequenzyConfig { keys: vec![Secret::new(key)], hundredths };
        let [old, new] = [sequenzy("one-push-key", false), sequenzy("another-push-key", true)]
            .map(|sequenzy| WorkspaceConfig { sequenzy: Some(sequenzy), ..config() })
            .map(|config| Workspaces::from_configs([config]).unwrap());
        let (after, kept) = old.reloaded(&new).unwrap();
        assert!(kept[0].starts_with("workspaces.acme.sequenzy.hundredths: ") && kept.len() == 1, "{kept:?}");
        assert_eq!(after.get("acme").unwrap().sequenzy, Some(sequenzy("another-push-key", false)));
        let (after, kept) = old.reloaded(&Workspaces::from_configs([]).unwrap()).unwrap();
        assert!(after.by_key(Source::Lifesight, "three").is_some() && kept.len() == 1);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(toml::from_str::<WorkspaceConfig>("id = 'a'\nbase_curency = 'USD'").is_err());
    }
}
